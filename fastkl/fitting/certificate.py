"""The certificate of a fit: gates that it has to pass, in order, each a reason why it is no success."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastkl.closed_forms import closed_form
from fastkl.densities import Density, Histogram, Tabulated
from fastkl.families.univariate import LocationScale
from fastkl.fitting.binned import cells_of_narrow
from fastkl.fitting.charts import Chart, MixtureChart, NormalChart
from fastkl.fitting.objectives import ForwardExponential
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.result import short
from fastkl.fitting.scan import is_lower
from fastkl.fitting.status import FitStatus
from fastkl.grids.panels import DivergentTailError
from fastkl.integrals import (
    Integral,
    common_grid,
    integral_of_sums,
    integrate,
    mass_outside,
    quadrature_error,
    too_coarse,
)

RESOLVED = 2.0
"""Number of steps in a scale from which a sum over the nodes counts as an integral."""

SAME_DIGITS = 1e-9
"""Relative difference of two quadratures that are both right."""

FLAT = 1e-8
"""Share of the largest eigenvalue of the Hessian up to which counts do not tell parameters apart: a standard error of
1e4 divided by the root of n. The df of a StudentT at 1e4, where its family ends, has three times as much."""
FLAT_VALLEY = (
    "not identified: many q fit the cells equally well, since they are fewer than the parameters can tell apart; take "
    "more cells, or hold a parameter"
)

NARROW_DATA = (
    "p has a spike of a few nodes or cells: pool neighbours, smooth p, or estimate it from the observations "
    "(Tabulated.from_samples)"
)
"""Remedy for a q that is too narrow for a table."""

SUCCESS = "converged; quadrature error and mass outside are within their tolerances"
SUCCESS_ON_DATA = "converged; the mass outside is within its tolerance"
MOST_DIGITS = 15


RTOL, MASS_TOL = 1e-6, 1e-6
"""Tolerances for a formula: of the quadrature error, relative to the divergence, and of the mass outside."""
MASS_TOL_OF_DATA = 0.1
"""Mass of q outside the range of a table or a histogram that a reverse fit may have: its q is q conditioned on it."""
MISCOUNTED = 0.05
"""Largest difference between the sum of q over the nodes of a table and its mass there, for a q that they resolve."""


class Tolerances(NamedTuple):
    """Largest error and largest mass outside of a fit that is a success."""

    rtol: float
    atol: float
    mass_tol: float

    @classmethod
    def of(cls, target: Density, rtol: float | None, atol: float, mass_tol: float | None) -> Tolerances:
        """The tolerances that are given, and else those for the kind of p: no error refuses a table."""
        data = isinstance(target, Tabulated)
        return cls(
            (math.inf if data else RTOL) if rtol is None else rtol,
            atol,
            (MASS_TOL_OF_DATA if data else MASS_TOL) if mass_tol is None else mass_tol,
        )


class Evidence(NamedTuple):
    """The fit that is judged, and the figures that the gates look at."""

    reading: Reading
    best: Point
    runs: int
    whole: Integral
    """The divergence on the grid, and the masses of both densities there."""
    quadrature_error: float
    outside_p: float
    outside_q: float
    tolerances: Tolerances
    scale_in_steps: float
    """The smallest scale of q in steps of the grid."""
    lower: Point | None = None
    """A q on the grid that a scan has found below the ends of the runs before it, if there is one."""

    @property
    def allowed(self) -> float:
        """Largest quadrature error of a success."""
        rtol, atol, _ = self.tolerances
        return math.inf if math.isinf(rtol) else rtol * self.whole.divergence + atol

    @property
    def is_data(self) -> bool:
        """Whether p is a table or a histogram, so that there is no finer grid."""
        return isinstance(self.reading.task.target, Tabulated)


def evidence(reading: Reading, best: Point, runs: int, tolerances: Tolerances, lower: Point | None = None) -> Evidence:
    """The figures of the best end of all runs, which take up to three passes over the grid."""
    task, order = reading.task, reading.task.order(best.q)
    scale_in_steps = _scale_in_steps(reading, best)
    whole = _integral(reading, best, order, scale_in_steps)
    error = quadrature_error(*order, task.grid, whole)
    masses = whole.mass_a, whole.mass_b
    outside = [mass_outside(density, task.grid, mass) for density, mass in zip(order, masses, strict=True)]
    outside_p, outside_q = outside if task.direction == "forward" else outside[::-1]
    return Evidence(reading, best, runs, whole, error, outside_p, outside_q, tolerances, scale_in_steps, lower)


def _scale_in_steps(reading: Reading, end: Point) -> float:
    """The smallest scale of q in steps of the grid; inf for a mixture and a histogram, whose q is not told by it."""
    task, state = reading.task, end.state[np.newaxis]
    if isinstance(task.chart, MixtureChart) or isinstance(task.target, Histogram):
        return math.inf
    with np.errstate(divide="ignore"):  # the steps of an objective that needs no nodes are 0
        return float((task.chart.scales(state) / reading.objective.steps(state)).min())


def _integral(reading: Reading, end: Point, order: tuple[Density, Density], scale_in_steps: float) -> Integral:
    """The divergence at the end of a run, without another pass if an earlier one has given it."""
    task = reading.task
    if isinstance(task.chart, MixtureChart) or isinstance(task.target, Histogram):
        return integrate(*order, task.grid)
    objective = reading.objective
    if isinstance(objective, ForwardExponential):
        fallen = objective.fallen(end.state)
        whole = None if fallen is None else integral_of_sums(*order, task.grid, objective.found.sums)
        if fallen is not None and whole is not None:
            return whole._replace(divergence=max(whole.divergence - fallen, 0.0))
    resolved = scale_in_steps >= RESOLVED and _is_told_by_scale(task.chart)
    if reading.is_own_table and resolved and end.outcome is Outcome.CONVERGED and end.value > objective.digits_above:
        mass_q = 1.0 - end.q.mass_outside(task.grid)
        mass_a, mass_b = (1.0, mass_q) if task.direction == "forward" else (mass_q, 1.0)
        return Integral(end.value, mass_a, mass_b, 0)
    return integrate(*order, task.grid)


def _is_told_by_scale(chart: Chart) -> bool:
    """Whether nodes that are close in the scale of a member resolve it everywhere."""
    return isinstance(chart, NormalChart) or issubclass(chart.family, LocationScale)


def praise(found: Evidence) -> str:
    """Message about a success; that of a table says how many digits speak of more than its nodes."""
    if math.isfinite(found.tolerances.rtol):
        return SUCCESS
    if isinstance(found.reading.task.target, Histogram):
        return f"{SUCCESS_ON_DATA}; a sum over cells has no quadrature error"
    error, divergence = found.quadrature_error, found.whole.divergence
    if divergence <= found.tolerances.atol:
        return SUCCESS_ON_DATA
    digits = MOST_DIGITS if error == 0.0 else 0
    if 0.0 < error < divergence:
        digits = min(int(math.log10(divergence / error)), MOST_DIGITS)
    return f"{SUCCESS_ON_DATA}; {digits} digits of the divergence do not depend on the nodes of the table"


def complaint(found: Evidence) -> tuple[FitStatus, str]:
    """The first reason why a fit is no success, as a status and in words, which are empty for a success."""
    for status, gate in GATES.items():
        reason = gate(found)
        if reason:
            outcome = found.best.outcome
            return (status if outcome is Outcome.CONVERGED else FitStatus[outcome.name]), reason
    return FitStatus.SUCCESS, ""


def _has_converged(found: Evidence) -> str:
    best, message = found.best, found.best.outcome.value
    if best.outcome is Outcome.ESCAPED:
        return message.format(runs=found.runs)
    if best.outcome is Outcome.AT_STEP:
        return message.format(step=best.smallest_scale, remedy=NARROW_DATA if found.is_data else "take a finer grid")
    if best.outcome is Outcome.NOT_IDENTIFIED:
        return message.format(cells=cells_of_narrow(found.reading.task.target))
    if best.outcome is Outcome.CONVERGED and isinstance(found.reading.task.target, Histogram):
        eigenvalues = np.linalg.eigvalsh(best.hessian)
        return FLAT_VALLEY if eigenvalues[0] <= FLAT * eigenvalues[-1] else ""
    if best.outcome is Outcome.AT_LIMIT:
        return message.format(limit=best.chart.limit(best.state))
    hint = "; fewer components may do" if isinstance(best.chart, MixtureChart) else ""
    return message.format(gradient=best.gradient_norm, hint=hint)


def _nothing_is_lower(found: Evidence) -> str:
    """Nothing, unless a q on the grid is closer to p than the best minimum, though runs from it leave the grid."""
    lower, value = found.lower, found.best.value
    if lower is None or not is_lower(lower.value, value):
        return ""
    outside = lower.q.mass_outside(found.reading.task.grid)
    wider = "a wider range of data" if found.is_data else "a wider grid"
    return (
        f"the divergence from {short(lower.q)} is lower, {lower.value:.6g}, with {outside:.2g} of it outside the grid, "
        f"and falls on towards the end of the grid, where p is cut off: take {wider}, or a family that ends there"
    )


def _grid_resolves_p(found: Evidence) -> str:
    return too_coarse(found.reading.task.target, found.reading.task.grid)


def _mass_is_inside(found: Evidence) -> str:
    forward = found.reading.task.direction == "forward"
    outside, name = (found.outside_p, "p") if forward else (found.outside_q, "q")
    if outside <= found.tolerances.mass_tol:
        return ""
    limit, part = f"mass_tol={found.tolerances.mass_tol:g}", _above(outside, found.tolerances.mass_tol)
    if found.is_data:
        return (
            f"{part} of {name} lies outside the range of the data, above {limit}: p is cut off there, or flat; "
            "a larger mass_tol accepts a q that is conditioned on the range"
        )
    return f"{part} of {name} lies outside the grid, above {limit}; take a wider grid"


def _above(number: float, limit: float) -> str:
    """A number above a limit with two digits, or with as many more as show that it is above."""
    texts = (f"{number:.{digits}g}" for digits in range(2, 18))
    return next((text for text in texts if float(text) > limit), f"{number:.2g}")


def _is_resolved(found: Evidence) -> str:
    """Nothing, if the nodes of a table see q as it is: a scale above their step, and a sum that is its mass there."""
    task = found.reading.task
    if not found.is_data or isinstance(task.target, Histogram):
        return ""
    if found.scale_in_steps >= RESOLVED and _is_told_by_scale(task.chart):
        return ""
    narrow, known = found.scale_in_steps < 1.0, found.best.q.mass_outside(task.grid)
    summed = found.whole.mass_b if task.direction == "forward" else found.whole.mass_a
    if not narrow and (task.grid.ndim > 1 or abs(summed - (1.0 - known)) <= MISCOUNTED):
        return ""
    if narrow:
        return f"q is too narrow for the nodes of the table, on which it sums to {summed:.3g}; {NARROW_DATA}"
    return (
        f"the nodes of the table do not resolve q, which sums to {summed:.3g} on them, not to {1.0 - known:.3g}: it is "
        "steep or infinite near an end of its support; leave out the nodes beside that end, or take a histogram or "
        "Tabulated.from_samples(..., support=...)"
    )


def _error_is_small(found: Evidence) -> str:
    if found.quadrature_error <= found.allowed:
        return ""
    limit = f"rtol * divergence + atol = {found.allowed:.2g}"
    remedy = "rtol=None, the default, accepts the sum over a table as it is" if found.is_data else "take a finer grid"
    return f"the quadrature error {found.quadrature_error:.2g} is above {limit}; {remedy}"


def _another_grid_agrees(found: Evidence) -> str:
    """Nothing, if a grid that is chosen for p and this q gives the same divergence as the one of the fit."""
    task, q, divergence = found.reading.task, found.best.q, found.whole.divergence
    if not task.chosen or (task.target._is_normal and q._is_normal):
        return ""
    order = task.order(q)
    try:
        again = closed_form(*order)
        again = integrate(*order, common_grid(*order)).divergence if again is None else again
    except DivergentTailError as error:
        return str(error)
    if abs(again - divergence) <= found.allowed + abs(divergence) * SAME_DIGITS:
        return ""
    return f"on a grid for this q the divergence is {again:.6g}, not {divergence:.6g}; give a grid"


GATES: dict[FitStatus, Callable[[Evidence], str]] = {
    FitStatus.NOT_IDENTIFIED: _has_converged,
    FitStatus.NOT_RESOLVED: _is_resolved,
    FitStatus.NOT_LOWEST: _nothing_is_lower,
    FitStatus.COARSE_GRID: _grid_resolves_p,
    FitStatus.MASS_OUTSIDE: _mass_is_inside,
    FitStatus.INEXACT: _error_is_small,
    FitStatus.GRIDS_DISAGREE: _another_grid_agrees,
}
"""The gates in their order, by the status of a fit that has converged and does not pass."""
