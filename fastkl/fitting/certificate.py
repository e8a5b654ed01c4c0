"""The certificate of a fit: gates that it has to pass, in order, each a reason why it is no success."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastkl.closed_forms import closed_form
from fastkl.fitting.charts import MixtureChart
from fastkl.fitting.objectives import ForwardExponential
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
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

SUCCESS = "converged; quadrature error and mass outside are within their tolerances"


class Tolerances(NamedTuple):
    """Largest error and largest mass outside of a fit that is a success."""

    rtol: float
    atol: float
    mass_tol: float


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

    @property
    def allowed(self) -> float:
        """Largest quadrature error of a success."""
        return self.tolerances.rtol * self.whole.divergence + self.tolerances.atol


def evidence(reading: Reading, best: Point, runs: int, tolerances: Tolerances) -> Evidence:
    """The figures of the best end of all runs, which take up to three passes over the grid."""
    task, whole = reading.task, _integral(reading, best)
    error = quadrature_error(*task.order(best.q), task.grid, whole)
    mass_p, mass_q = (whole.mass_a, whole.mass_b) if task.direction == "forward" else (whole.mass_b, whole.mass_a)
    outside_p = mass_outside(task.target, task.grid, mass_p)
    outside_q = mass_outside(best.q, task.grid, mass_q)
    return Evidence(reading, best, runs, whole, error, outside_p, outside_q, tolerances)


def _integral(reading: Reading, end: Point) -> Integral:
    """The divergence at the end of a run, without another pass if an earlier one has given it."""
    task, q, state = reading.task, end.q, end.state[np.newaxis]
    order = task.order(q)
    if isinstance(task.chart, MixtureChart):
        return integrate(*order, task.grid)
    objective = reading.objective
    if isinstance(objective, ForwardExponential):
        fallen = objective.fallen(end.state)
        whole = None if fallen is None else integral_of_sums(*order, task.grid, objective.found.sums)
        if fallen is not None and whole is not None:
            return whole._replace(divergence=max(whole.divergence - fallen, 0.0))
    resolved = (task.chart.scales(state) >= RESOLVED * objective.steps(state)).all()
    if reading.is_own_table and resolved and end.outcome is Outcome.CONVERGED and end.value > objective.digits_above:
        mass_q = 1.0 - q.mass_outside(task.grid)
        mass_a, mass_b = (1.0, mass_q) if task.direction == "forward" else (mass_q, 1.0)
        return Integral(end.value, mass_a, mass_b, 0)
    return integrate(*order, task.grid)


def complaint(found: Evidence) -> str:
    """The first reason why a fit is no success; empty for a success."""
    return next((reason for gate in GATES if (reason := gate(found))), "")


def _has_converged(found: Evidence) -> str:
    best, message = found.best, found.best.outcome.value
    if best.outcome is Outcome.ESCAPED:
        return message.format(runs=found.runs)
    if best.outcome is Outcome.AT_STEP:
        return message.format(step=best.smallest_scale)
    if best.outcome is Outcome.AT_LIMIT:
        return message.format(limit=best.chart.limit(best.state))
    hint = "; fewer components may do" if isinstance(best.chart, MixtureChart) else ""
    return message.format(gradient=best.gradient_norm, hint=hint)


def _grid_resolves_p(found: Evidence) -> str:
    return too_coarse(found.reading.task.target, found.reading.task.grid)


def _mass_is_inside(found: Evidence) -> str:
    forward = found.reading.task.direction == "forward"
    outside, name = (found.outside_p, "p") if forward else (found.outside_q, "q")
    if outside <= found.tolerances.mass_tol:
        return ""
    limit = f"mass_tol={found.tolerances.mass_tol:g}"
    return f"{outside:.2g} of {name} lies outside the grid, above {limit}; take a wider grid"


def _error_is_small(found: Evidence) -> str:
    if found.quadrature_error <= found.allowed:
        return ""
    limit = f"rtol * divergence + atol = {found.allowed:.2g}"
    return f"the quadrature error {found.quadrature_error:.2g} is above {limit}; take a finer grid"


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


GATES: tuple[Callable[[Evidence], str], ...] = (
    _has_converged,
    _grid_resolves_p,
    _mass_is_inside,
    _error_is_small,
    _another_grid_agrees,
)
