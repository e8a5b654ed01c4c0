"""The fit of one density, from its arguments to the best end of its runs and the evidence about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastkl.fitting.certificate import Evidence, Tolerances, complaint, evidence, praise
from fastkl.fitting.methods import Found, Options, Search, solve
from fastkl.fitting.methods.newton import ends_from
from fastkl.fitting.normals import are_served, found_by_rows
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.result import FitResult, Minimum
from fastkl.fitting.scan import is_lower, lower_member
from fastkl.fitting.search import add_new
from fastkl.fitting.starts import given_states
from fastkl.fitting.status import FitStatus
from fastkl.fitting.task import Task, task_of
from fastkl.grids import Grid
from fastkl.kernels.descent import SAME_MINIMUM, TIE


class Settings(NamedTuple):
    """The arguments of `fit` beside p and its grid."""

    family: Any
    direction: str | None
    covariance_type: str
    n_components: int | None
    df: float | None
    starts: Sequence[Any]
    max_passes: int
    gtol: float
    rtol: float | None
    atol: float
    mass_tol: float | None

    def task(self, p: Any, grid: Grid | None = None, *, log: bool = False) -> Task:
        """The task of the fit of p, all arguments checked."""
        return task_of(
            p,
            self.family,
            grid,
            self.direction,
            log=log,
            covariance_type=self.covariance_type,
            n_components=self.n_components,
            df=self.df,
        )


class Solution(NamedTuple):
    """The fit of one density."""

    seen: Evidence
    found: list[Point]
    """The minima, best first."""
    points: int
    """Number of points at which densities were evaluated."""
    log_normalizer: float
    status: FitStatus
    reason: str
    """The reason why the fit is no success; empty for a success."""

    @property
    def passes(self) -> float:
        """Number of passes over the grid."""
        return self.points / self.seen.reading.task.grid.size

    @property
    def hessian(self) -> Any:
        """The Hessian with respect to the parameters."""
        best = self.seen.best
        return best.chart.in_parameters(best.state, best.gradient, best.hessian)[1]

    def result(self) -> FitResult:
        """The result as the user gets it."""
        seen, best, task = self.seen, self.seen.best, self.seen.reading.task
        divergence = seen.whole.divergence
        return FitResult(
            q=best.q,
            p=task.target,
            grid=task.grid,
            direction=task.direction,
            divergence=divergence,
            minima=tuple(_minimum(end, divergence if end is best else end.value) for end in self.found),
            hessian=self.hessian,
            parameter_names=best.chart.parameter_names,
            gradient_norm=best.gradient_norm,
            min_eigenvalue=best.min_eigenvalue,
            log_normalizer=self.log_normalizer,
            quadrature_error=seen.quadrature_error,
            mass_outside=seen.outside_q,
            mass_outside_p=seen.outside_p,
            nit=best.nit,
            passes=self.passes,
            converged=best.outcome is Outcome.CONVERGED,
            success=self.status is FitStatus.SUCCESS,
            message="; ".join(filter(None, (self.reason or praise(seen), task.note))),
            status=self.status,
            **seen.tolerances._asdict(),
        )


def solution(p: Any, grid: Grid | None, settings: Settings, *, log: bool = False) -> Solution:
    """The fit of one density, or of an array of its values on a grid."""
    reading, states = stated(p, grid, settings, log=log)
    tolerances = Tolerances.of(reading.task.target, settings.rtol, settings.atol, settings.mass_tol)
    options = Options(states, settings.gtol, settings.max_passes)
    task = reading.task
    road = found_by_rows if are_served(task.target, task.grid, task.chart) and not states else _found
    with np.errstate(all="ignore"):  # of runs that have left the grid, whose numbers are not used
        ends, seen, points, log_normalizer = road(reading, options, tolerances)
    return Solution(seen, _minima(ends), points, log_normalizer, *complaint(seen))


def _found(reading: Reading, options: Options, tolerances: Tolerances) -> Found:
    """The ends of all runs, and the evidence for the best of them."""
    if reading.task.direction == "reverse":
        reading.refuse_zeros()
    search = solve(reading, options)
    best = _best(search.ends)
    lower = None
    if reading.task.direction == "reverse" and not reading.task.chosen:
        search, lower = _scanned(search, best, options, tolerances.mass_tol)
        best = _best(search.ends)
    points = reading.count.points
    seen = evidence(search.reading, best, len(search.ends), tolerances, lower)
    return Found(search.ends, seen, points, reading.task.target.log_normalizer)


def stated(p: Any, grid: Grid | None, settings: Settings, *, log: bool = False) -> tuple[Reading, list[Any]]:
    """The reading of p for the task that the arguments state, and the states of the user's starts; all are checked."""
    reading = Reading(settings.task(p, grid, log=log))
    with np.errstate(all="ignore"):
        return reading, given_states(reading, settings.starts)


def _minimum(end: Point, divergence: float) -> Minimum:
    return Minimum(end.q, divergence, end.gradient_norm, end.min_eigenvalue)


def _ordered(ends: list[Point]) -> list[Point]:
    """The ends, best first; each run of ends within `TIE` of its first is ordered by place."""
    by_value = sorted(ends, key=lambda end: end.value)
    ordered: list[Point] = []
    while by_value:
        limit = by_value[0].value + TIE
        ties = [end for end in by_value if end.value <= limit]
        ordered += sorted(ties, key=lambda end: tuple(end.chart.places(end.state[np.newaxis])[0]))
        by_value = by_value[len(ties) :]
    return ordered


def _minima(ends: list[Point]) -> list[Point]:
    return _ordered([end for end in ends if end.outcome is Outcome.CONVERGED])


def _best(ends: list[Point]) -> Point:
    """The best minimum, or the end of a run that came lower without converging; an escaped one only if all escaped."""
    lowest = min(ends, key=lambda end: (end.outcome is Outcome.ESCAPED, math.isnan(end.value), end.value))
    minima = _minima(ends)
    if not minima or (lowest.outcome is not Outcome.ESCAPED and is_lower(lowest.value, minima[0].value)):
        return lowest
    return minima[0]


def _scanned(search: Search, best: Point, options: Options, mass_tol: float) -> tuple[Search, Point | None]:
    """The search with a run from a q on the grid that a scan finds below the best end, and that q; None if none."""
    least = math.inf if best.outcome is Outcome.ESCAPED or math.isnan(best.value) else best.value
    lower = lower_member(search.reading, least, mass_tol)
    if lower is None:
        return search, None
    ends = list(search.ends)
    for end in ends_from(search.reading, [lower.state], options):
        add_new(ends, end, SAME_MINIMUM)
    return Search(search.reading, ends), lower
