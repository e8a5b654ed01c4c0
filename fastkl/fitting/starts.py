"""The states from which runs of a fit begin: members of the family with the moments of p or of parts of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastkl.densities import Density, Histogram, Mixture
from fastkl.families.normal import Normal
from fastkl.fitting.binned import width_at
from fastkl.fitting.objectives import ForwardExponential
from fastkl.fitting.status import FitStatus, RefusedFitError
from fastkl.fitting.task import Task
from fastkl.grids import Axis
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.fitting.reading import Reading

FLAT = 1e-12
"""Eigenvalue of the correlations of p below which p has no spread in some direction, up to rounding."""

POINTLIKE = 1e-6
"""Standard deviation of p, in steps of the grid, below which p sits on one node."""

STEPS_OF_START = 2.0
"""Smallest standard deviation of a start, in steps of the grid."""

QUARTILES = 0.25, 0.5, 0.75
NORMAL_QUARTILE = 0.6744897501960817
"""Distance of a Normal's quartiles from its mean, in standard deviations."""


def starts(reading: Reading) -> list[Floats]:
    """States at which the runs begin."""
    if isinstance(reading.objective, ForwardExponential):
        return [reading.objective.found.state]  # there is one minimum, and it is near
    found = [_wide_enough(reading.task, *pair) for pair in _pairs(reading)]
    return [state for state in found if state is not None]


def _pairs(reading: Reading) -> Iterable[tuple[Floats, Floats]]:
    """Pairs of a mean and a covariance."""
    if reading.task.direction == "reverse":
        yield from reading.landscape.starts()
        if isinstance(reading.task.target, Histogram) and reading.task.grid.ndim == 1:
            yield _of_quartiles(reading.task.target)
    else:
        mean, cov = reading.guess.mean, reading.guess.cov
        yield from ((mean, share * cov) for share in (1.0, 0.1))
        if isinstance(reading.task.target, Histogram) and reading.task.grid.ndim == 1:
            yield _of_quartiles(reading.task.target)


def _of_quartiles(target: Histogram) -> tuple[Floats, Floats]:
    """The median, and the variance of the Normal with the quartiles of p: a far tail moves neither."""
    edges = target.grid._line.edges
    below = np.concatenate([[0.0], np.cumsum(target.probabilities)])
    lower, median, upper = np.interp(QUARTILES, below, edges)
    return np.array([median]), np.array([[((upper - lower) / (2.0 * NORMAL_QUARTILE)) ** 2]])


def given_states(reading: Reading, given: Iterable[Any]) -> list[Floats]:
    """The states of the starts that the user gives, each a density or a pair (loc, scale)."""
    return [_as_state(reading, start) for start in given]


def _as_state(reading: Reading, start: Any) -> Floats:
    task, chart = reading.task, reading.task.chart
    if not isinstance(start, Density):
        try:
            loc, scale = start
        except (TypeError, ValueError):
            raise TypeError(f"a start must be a density or a pair (loc, scale), got {start!r}") from None
        start = Normal(loc, scale)
    if start.ndim != task.grid.ndim:
        raise ValueError(f"a start must have {task.grid.ndim} dimensions, got {start!r}")
    if isinstance(start, Normal) and chart.family not in (Normal, Mixture):
        return state_of_moments(task, np.array([start.loc]), np.array([[start.scale**2]]))
    state = chart.state(start)
    if task.direction == "reverse":
        places, scales = chart.places(state[np.newaxis])[0], chart.scales(state[np.newaxis])[0]
        if (scales < reading.objective.steps(state[np.newaxis])[0]).any():  # too narrow for the nodes to see
            wider = _wide_enough(task, places, np.diag(scales**2))
            return state if wider is None else wider
    return state


def state_of_moments(task: Task, mean: Floats, cov: Floats) -> Floats:
    """The state of the member of the family with these moments of p; a ValueError if p has no spread."""
    state = task.chart.of_moments(mean, cov, task.direction)
    std = np.sqrt(np.maximum(np.diag(cov), 0.0))
    flat = state is not None and task.chart.is_correlated and _least_share(cov, std) < FLAT
    steps = _steps(task, mean)
    if state is None or flat or (std < POINTLIKE * steps).any():
        raise no_spread(task, mean)
    return state


def no_spread(task: Task, mean: Floats) -> RefusedFitError:
    """The error for a p without a spread that a q has."""
    places = np.where(np.abs(mean) < 1e-9 * _steps(task, mean), 0.0, mean)
    return RefusedFitError.of(
        FitStatus.NO_SPREAD,
        f"p sits on the single grid point x = {', '.join(f'{x:.6g}' for x in places)}, or has no spread in some "
        "direction, which no q has",
    )


def _wide_enough(task: Task, mean: Floats, cov: Floats) -> Floats | None:
    """The state of the member with these moments, made wide enough for the nodes to see it; None if there is none."""
    widths = STEPS_OF_START * _steps(task, mean)
    return task.chart.of_moments(mean, cov + np.diag(np.square(widths)), task.direction)


def _steps(task: Task, place: Floats) -> Floats:
    """The distances between the nodes around a place, or the widths of the cells of a histogram there, on each axis."""
    of_axis = width_at if isinstance(task.target, Histogram) else Axis.step_near
    return np.array([of_axis(axis, x) for axis, x in zip(task.grid._parts, place, strict=True)])


def _least_share(cov: Floats, std: Floats) -> float:
    """The smallest eigenvalue of the correlation matrix."""
    return float(np.linalg.eigvalsh(cov / np.outer(std, std))[0])
