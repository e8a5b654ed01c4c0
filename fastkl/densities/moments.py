"""Moments of a density on a grid, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastkl.grids import Grid
from fastkl.kernels.moments import DEGREE, density_moments
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.densities.density import Density

OFF_CENTRE = 5.0
"""Standard deviations between the mean and the place that moments are taken about: beyond it they lose two digits."""


class Moments(NamedTuple):
    """What one pass tells."""

    mass: float
    """The integral over the grid; the rest is of the density divided by it."""
    mean: Floats
    cov: Floats
    log_p: float
    """The mean of log p, p as it was given."""


def moments(density: Density, grid: Grid) -> Moments:
    """Moments of the part of *density* that is on *grid*; NaN where it has no mass there."""
    lower, upper = np.array(grid.lower), np.array(grid.upper)
    found = _about(density, grid, 0.5 * (lower + upper), 2.0 / (upper - lower))
    offset = found.mean - 0.5 * (lower + upper)
    variance = np.diag(found.cov)
    if found.mass > 0.0 and (np.abs(offset) > OFF_CENTRE * np.sqrt(np.maximum(variance, 0.0))).any():
        # a difference of squares has lost the digits of a far-away or narrow density: take them about the mean
        found = _about(density, grid, found.mean, 2.0 / (upper - lower))
    return found


def _about(density: Density, grid: Grid, centre: Floats, slopes: Floats) -> Moments:
    powers = exponents(grid.ndim, DEGREE)
    record = density.record(grid)
    about = (np.asarray(centre, dtype=np.float64), slopes)
    sums = density_moments.total(
        grid.size, *record, *grid.record(), *about, *monomials(grid.ndim, DEGREE), work=record.work,
        outputs=len(powers) + 1,
    )  # fmt: skip
    mass = float(sums[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / mass
    first = means[1 : grid.ndim + 1]
    second = np.empty((grid.ndim, grid.ndim))
    for mean, power in zip(means[grid.ndim + 1 :], powers[grid.ndim + 1 :], strict=False):
        i, *rest = (d for d, count in enumerate(power) for _ in range(count))
        second[i, rest[0]] = second[rest[0], i] = mean
    scale = 1.0 / slopes
    return Moments(mass, centre + first * scale, (second - np.outer(first, first)) * np.outer(scale, scale), means[-1])
