"""The scan of a given grid for a q on it that is closer to p than all minima of a reverse fit.

Runs may miss a wide part of p beside the end of a grid: they widen q, leave the grid, and only a narrow mode elsewhere
is left of the minima. The scan costs no pass over p. It compares Normals of a few scales at places all over the grid
with the cells of the landscape, all at once, and only those that seem to be closer to p than the best minimum are
evaluated as members of the family, on a part of the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.families.normal import Normal
from fastkl.families.univariate import LocationScale
from fastkl.fitting.charts import Chart
from fastkl.fitting.landscape import Moments
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.kernels.descent import LOWER_BY
from fastkl.validation import Floats

SCALES = 5
"""Largest number of scales on an axis, each half of the one before; those of two cells and less are left to starts."""
CELLS_IN_SCALE = 2
"""Number of cells in a scale that a sum takes, if there are more."""
FEWEST_CELLS_IN_SCALE = 2
PLACES_IN_SCALE = 1.0
SLACK = 1.0
"""Allowance for the mass of p in a part of the grid, in nats, as the peaks of cells show it."""

LEAST_REACH, MOST_REACH, HALVINGS = 1.0, 64.0, 20
"""Bounds on the distance of a place from the ends of the grid, in scales, and the halvings that find it."""

DEEPEST = 745.0
"""Depth below the peak of p, in nats, up to which the scan tells logarithms apart; a double is 0 beyond."""


def is_lower(value: Any, other: Any) -> Any:
    """Whether the divergence *value* is below *other* by more than rounding; of numbers or arrays."""
    return value < other - LOWER_BY * np.maximum(1.0, np.abs(other))


def lower_member(reading: Reading, least: float, mass_tol: float) -> Point | None:
    """A member of the family, at most *mass_tol* of it outside the grid, with a divergence below *least*; None if none.

    Parameters
    ----------
    reading : Reading
        The reading of p on a grid that the user gave, for a reverse fit.
    least : float
        The divergence of the best minimum, or inf.
    mass_tol : float
        Largest mass of the member outside the grid.
    """
    task, objective = reading.task, reading.objective
    states = [task.chart.of_moments(*pair, task.direction) for pair in _normals(reading, least, mass_tol)]
    known = [state for state in states if state is not None and np.isfinite(state).all()]
    fine = [s for s in known if (task.chart.scales(s[np.newaxis]) >= objective.steps(s[np.newaxis])).all()]
    inside = [s for s in fine if task.chart.density(s).mass_outside(task.grid) <= mass_tol]
    if not inside:
        return None
    trials = np.array(inside)
    values = objective(trials, objective.strides(trials, 0)).value
    lowest = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
    if not is_lower(float(values[lowest]), least):
        return None
    local = objective(trials[[lowest]])
    if not is_lower(float(local.value[0]), least):
        return None
    return Point(
        task.chart, trials[lowest], float(local.value[0]), local.gradient[0], local.hessian[0], Outcome.OUT_OF_PASSES
    )


def _normals(reading: Reading, least: float, mass_tol: float) -> Iterator[Moments]:
    """The mean and the covariance of the closest Normal of each scale that seems to be closer to p than *least*."""
    land, parts = reading.landscape, reading.task.grid._parts
    reach = _reach(reading.task.chart, mass_tol)
    logs = np.maximum(land.peak, land.peak.max() - DEEPEST)
    masses = land.mass.reshape(logs.shape)
    passed = [masses.sum(axis=tuple({*range(logs.ndim)} - {d})).cumsum() for d in range(logs.ndim)]
    for k in range(SCALES):
        axes = [
            _OnAxis.of(axis.lower, widths, sums / sums[-1], reach, 2.0**-k, math.exp(-least - SLACK))
            for axis, widths, sums in zip(parts, land.widths, passed, strict=True)
        ]
        if min(axis.scale / axis.cell for axis in axes) < FEWEST_CELLS_IN_SCALE:
            return
        if not all(axis.places.size for axis in axes):
            continue
        pooled = logs
        for d, axis in enumerate(axes):
            pooled = np.add.reduceat(pooled * _along(axis.parts, d, logs.ndim), axis.begins, axis=d)
        for axis in axes:  # each axis is the first in its turn, and goes to the end
            pooled = np.tensordot(pooled, axis.masses, axes=(0, 1))
        divergence = reduce(np.add.outer, [axis.mean_log for axis in axes]) - pooled
        at = np.unravel_index(int(np.argmin(divergence)), divergence.shape)
        if is_lower(float(divergence[at]), least):
            mean = np.array([axis.places[i] for axis, i in zip(axes, at, strict=True)])
            yield mean, np.diag([axis.scale**2 for axis in axes])


class _OnAxis(NamedTuple):
    """Normals of one scale at places along an axis of a landscape, and their mass in groups of its cells."""

    cell: float
    """The mean width of a cell."""
    scale: float
    places: Floats
    masses: Floats
    """The mass of each Normal in each group of cells."""
    mean_log: Floats
    """The mean of log q for each Normal q."""
    parts: Floats
    """The width of each cell, as a part of that of its group."""
    begins: NDArray[np.int64]
    """The index of the first cell of each group."""

    @classmethod
    def of(cls, lower: float, widths: Floats, passed: Floats, reach: float, share: float, least_mass: float) -> _OnAxis:
        """The Normals of a *share* of the scale of the widest, which reaches both ends of the axis at once.

        *passed* is the share of p up to the end of each cell. With m of p within the reach of q, KL(q||p) is -log(m) at
        least; places where m is below *least_mass* are left out.
        """
        ends = np.cumsum(widths)
        length = float(ends[-1])
        scale = 0.5 * length / reach * share
        room = 0.5 * length * (1.0 - share)
        places = 0.5 * length + np.linspace(-room, room, 1 + math.ceil(2.0 * room / scale * PLACES_IN_SCALE))
        edges, sums = np.append(0.0, ends), np.append(0.0, passed)
        within = [np.interp(places + side * reach * scale, edges, sums) for side in (1.0, -1.0)]
        places = places[within[0] - within[1] >= least_mass]
        begins = np.arange(0, widths.size, max(int(scale * widths.size / length / CELLS_IN_SCALE), 1))
        of_groups = np.add.reduceat(widths, begins)
        centres = np.cumsum(of_groups) - 0.5 * of_groups
        exponents = -0.5 * ((centres - places[:, np.newaxis]) / scale) ** 2
        masses = np.exp(exponents) * of_groups
        totals = masses.sum(axis=1, keepdims=True)
        masses /= totals
        mean_log = (masses * (exponents - np.log(totals))).sum(axis=1)
        parts = widths / np.repeat(of_groups, np.diff(np.append(begins, widths.size)))
        return cls(length / widths.size, scale, lower + places, masses, mean_log, parts, begins)


def _along(weights: Floats, d: int, ndim: int) -> Floats:
    """The weights of the cells of axis *d*, in a shape that multiplies an array of all cells."""
    return weights.reshape([-1 if axis == d else 1 for axis in range(ndim)])


def _reach(chart: Chart, mass_tol: float) -> float:
    """Distance from its mean, in standard deviations, within which a member has all of its mass but *mass_tol*."""
    family = chart.family if issubclass(chart.family, LocationScale) else Normal
    found = family._of_moments(0.0, 1.0, **getattr(chart, "held", {})) or {"loc": 0.0, "scale": 1.0}
    member = family(**found)
    low, high = LEAST_REACH, MOST_REACH
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        inside = chart.ndim * member._mass_beyond(-middle, middle) <= mass_tol
        low, high = (low, middle) if inside else (middle, high)
    return high
