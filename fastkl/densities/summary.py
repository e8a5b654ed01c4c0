"""What one pass over a density tells: its mass, moments, peaks and zeros, by cells of the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastkl.grids import Grid
from fastkl.kernels.moments import CENTRE, FIRST, MASS, PEAK, PEAK_INDEX, SECOND, ZERO_INDEX, cell_moments
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.densities.density import Density

CELLS = 1024
"""Enough to tell the modes apart that a fit can tell apart; a few kilobytes at any grid size."""


@dataclass(frozen=True)
class Summary:
    """Moments of a density on a grid, cell by cell.

    Each array has one entry for each cell, a run of neighbouring nodes. `first` and `second` are
    moments about `centre`, not divided by the mass.
    """

    grid: Grid
    mass: Floats
    first: Floats
    second: Floats
    centre: Floats
    peak: Floats
    """The largest log-density in the cell."""
    peak_index: Floats
    """The node where it is."""
    zero_index: int | None
    """The first node where the density is 0."""

    def moments(self, cells: slice = slice(None)) -> tuple[float, float, float]:
        """(mass, mean, standard deviation) of the part of the density in these cells."""
        mass, first, second, centre = self.mass[cells], self.first[cells], self.second[cells], self.centre[cells]
        total = float(mass.sum())
        if total <= 0.0:
            return 0.0, math.nan, math.nan
        # relative to one cell's centre, so that a far-away grid costs no digits
        origin = float(centre[int(mass.argmax())])
        mean = origin + float((mass * (centre - origin) + first).sum()) / total
        offset = centre - mean
        variance = float((second + offset * (2.0 * first + offset * mass)).sum()) / total
        return total, mean, math.sqrt(max(variance, 0.0))

    def moments_about(self, loc: float, scale: float) -> tuple[float, float]:
        """(E z, E z**2) with z = (x - loc)/scale."""
        total, offset = float(self.mass.sum()), self.centre - loc
        first = float((self.mass * offset + self.first).sum()) / total
        second = float((self.second + offset * (2.0 * self.first + offset * self.mass)).sum()) / total
        return first / scale, second / scale**2


def summarize(density: Density, grid: Grid) -> Summary:
    """One pass over `grid`."""
    record = density.record(grid)
    length = -(-grid.size // CELLS)
    cells = cell_moments(grid.size, *record, *grid.record(), length=length, work=record.work).T
    zeros = cells[ZERO_INDEX][cells[ZERO_INDEX] >= 0]
    return Summary(
        grid=grid,
        mass=cells[MASS],
        first=cells[FIRST],
        second=cells[SECOND],
        centre=cells[CENTRE],
        peak=cells[PEAK],
        peak_index=cells[PEAK_INDEX],
        zero_index=int(zeros[0]) if zeros.size else None,
    )
