"""The forward fit of a mixture of Normals: expectation maximisation on the grid, accelerated, and then Newton steps.

It begins at the mixtures that win a race on few cells (`fastkl.fitting.methods.race`). A step of EM takes one pass and
never raises the divergence, but thousands may be needed; so EM is extrapolated (Varadhan and Roland 2008, SQUAREM), on
a coarse grid, until it is near a minimum. There a few Newton steps, with Hessians from differences of exact gradients,
suffice, the last of them on the whole grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastkl.densities import Histogram
from fastkl.densities.cells import normal_in_cells
from fastkl.fitting.charts import MixtureChart, NormalChart
from fastkl.fitting.landscape import Landscape
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.methods.race import Race
from fastkl.fitting.objectives import Local, Objective
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import add_new, descend
from fastkl.fitting.status import FitStatus, RefusedFitError
from fastkl.kernels.descent import SAME_MINIMUM
from fastkl.kernels.moments import DEGREE
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.kernels.records import Normals
from fastkl.kernels.responsibilities import responsibility_sums
from fastkl.validation import Floats

COARSE_POINTS = {1: 4096, 2: 192, 3: 48}
"""Points of the coarse grid along each axis, up to a factor of 2, by the number of axes."""
FEWEST_COARSE_POINTS = 24
"""Points of the coarse grid along each axis for more axes than `COARSE_POINTS` lists."""

NEAR_ENOUGH = 1e-4
"""Largest entry of the gradient at which EM gives way to Newton steps."""
NEAR = 1e-3
"""Distance in any coordinate below which the end of EM leads to a minimum that is known already."""
COARSE_PASSES = 20
"""Passes over the coarse grid that a run may take for each pass over the whole one."""
STENCIL = 1e-4, ((1, 0.5),)
"""Step and weights of the differences that a Hessian is made of: its error is of the order of the step squared."""
EXACT_STENCIL = 1e-3, ((1, 2.0 / 3.0), (2, -1.0 / 12.0))
"""The same with an error of the order of the fourth power, for a Hessian that is nearly flat."""
NEARLY_FLAT = 1e-5
"""Eigenvalue of the Hessian below which it takes the more exact differences."""
FLAT = 1e-9
"""Eigenvalue of the Hessian below which it is 0 within the precision of the differences."""
EXACT = 1e-10
"""Divergence below which no other q is closer, for all that counts."""
NEWTON_PASSES = 20
"""Passes over the coarse grid after which Newton's steps with one Hessian give way to EM again."""
LED_ON = 0.5
"""Ratio of the gradients after and before Newton's steps up to which a new Hessian is worth its passes."""
SMALLEST_IN_CELL = 0.1
"""Smallest scale of a component, in cells of a histogram: a narrower one has all of its mass in a cell or two."""
NODES_OF_PART = 4
"""Least number of nodes with mass for each component."""


Stencil = tuple[float, tuple[tuple[int, float], ...]]


@dataclass(frozen=True, eq=False)
class _Step:
    """The divergence of a mixture, its gradient, and the next step of EM, from one pass."""

    value: float
    gradient: Floats
    next: Floats
    """State to which a step of EM leads."""


class Expectation:
    """KL(p||q) for mixtures q, summed over every stride-th node of each axis."""

    def __init__(self, reading: Reading, strides: list[int]) -> None:
        task = reading.task
        assert isinstance(task.chart, MixtureChart)
        self.reading, self.chart = reading, task.chart
        self.p, self.grid = task.target._evaluation(task.grid), task.grid._record(strides)
        self.size = task.grid._count(strides)
        self.left = math.inf
        """Number of passes that a run may still take."""

    def __call__(self, state: Floats) -> _Step:
        chart = self.chart
        rows = chart.rows(state)
        logs, normals = rows[:, 0] - np.logaddexp.reduce(rows[:, 0]), rows[:, 1:]
        value, own = self._sums(logs, normals)
        self.reading.count.points += self.size
        self.left -= 1
        shares = own[:, 0]
        of_parts = shares[:, np.newaxis] * chart.slope_of_constant - own[:, chart.scores]
        gradient = np.concatenate([of_parts.ravel(), (np.exp(logs) - shares)[:-1]])
        return _Step(value, gradient, self._next(normals, own))

    def _sums(self, logs: Floats, normals: Floats) -> tuple[float, Floats]:
        """The divergence, and for each component the means under p of its share in q times the monomials of z.

        *logs* are the logarithms of the weights, *normals* the states of the components.
        """
        chart, D = self.chart, self.chart.ndim
        M = len(exponents(D, DEGREE))
        sums = responsibility_sums.total(
            self.size,
            logs - chart.log_constants(normals),
            Normals(np.ascontiguousarray(normals[:, :D]), chart.whitenings(normals)),
            self.p.by_logs(),
            self.grid,
            monomials(D, DEGREE),
            work=self.p.work + chart.parts,
            outputs=2 + chart.parts * M,
        )
        mass, log_q = sums[:2].tolist()
        moments = self.reading.moments
        value = moments.log_p - math.log(moments.mass) + self.reading.log_mass_inside - log_q / mass
        return value, sums[2:].reshape(chart.parts, M) / mass

    def _next(self, normals: Floats, own: Floats) -> Floats:
        """The next state of EM: weight, mean and covariance of the part of p for which each component answers."""
        chart, D = self.chart, self.chart.ndim
        shares = np.maximum(own[:, 0], 1e-300)
        first = own[:, 1 : D + 1] / shares[:, np.newaxis]
        second = np.empty((chart.parts, D, D))
        for m, powers in enumerate(exponents(D, DEGREE)[D + 1 :], start=D + 1):
            i, j = (d for d, power in enumerate(powers) for _ in range(power))
            second[:, i, j] = second[:, j, i] = own[:, m] / shares
        means, L = chart.split(normals)
        inner = second - first[:, :, np.newaxis] * first[:, np.newaxis, :]
        try:
            factors = L @ np.linalg.cholesky(inner)
        except np.linalg.LinAlgError:  # no node, or a single one, is left for a component
            factors = L * 0.5
        moved = means + np.einsum("nij,nj->ni", L, first)
        return np.column_stack([np.log(shares), moved, factors.reshape(chart.parts, -1)]).ravel()


class ExpectationInCells(Expectation):
    """KL(p||q) of a histogram p for mixtures q, by the masses of the components in its cells."""

    def __init__(self, reading: Reading, target: Histogram) -> None:
        assert isinstance(reading.task.chart, MixtureChart)
        self.reading, self.chart, self.size, self.left = reading, reading.task.chart, reading.task.grid.size, math.inf
        self.edges, self.filled = target.edges, np.flatnonzero(target.probabilities)
        self.shares = target.probabilities.ravel()[self.filled]

    def _sums(self, logs: Floats, normals: Floats) -> tuple[float, Floats]:
        cells = [normal_in_cells(*self.chart.split(state), self.edges, DEGREE, self.filled) for state in normals]
        masses = np.array([log + rows[0] for log, rows in zip(logs, cells, strict=True)])
        log_q = np.logaddexp.reduce(masses, axis=0)
        own = np.array([self._own(np.exp(m - log_q), rows) for m, rows in zip(masses, cells, strict=True)])
        return float(self.shares @ (np.log(self.shares) - log_q)), own

    def _own(self, responsibility: Floats, rows: Floats) -> Floats:
        """The means under p of a component's responsibility times the means of the monomials in each cell."""
        share = self.shares * responsibility
        return np.concatenate([[share.sum()], rows[1:] @ share])


def solve(reading: Reading, options: Options) -> Search:
    """The minima that expectation maximisation leads to from several starts."""
    grid, landscape, chart = reading.task.grid, reading.landscape, reading.task.chart
    assert isinstance(chart, MixtureChart)
    parts = chart.parts
    held = int(min(grid.size, (landscape.peak > -np.inf).sum() * max(grid.size // landscape.peak.size, 1)))
    if parts * NODES_OF_PART > held:
        raise RefusedFitError.of(
            FitStatus.FEW_NODES,
            f"n_components={parts} is more than the grid can hold: a component takes {NODES_OF_PART} nodes or cells, "
            f"and p is positive at {held}",
        )
    most = COARSE_POINTS.get(grid.ndim, FEWEST_COARSE_POINTS)
    strides = [max(1, axis.n // most) if axis.rule == "trapezoid" else 1 for axis in grid._parts]
    if isinstance(reading.task.target, Histogram):
        coarse: Expectation = ExpectationInCells(reading, reading.task.target)
        fine = coarse
    else:
        coarse, fine = Expectation(reading, strides), Expectation(reading, [1] * grid.ndim)
    floor = np.array([axis.step if axis.is_uniform else np.diff(axis.nodes).min() for axis in grid._parts])
    if coarse is fine:
        floor *= SMALLEST_IN_CELL
    budget = COARSE_PASSES * options.max_passes
    ends: list[Point] = []
    for start in (*_starts(landscape, chart, floor), *options.starts):
        coarse.left = budget
        near = _near_minimum(coarse, start, floor)
        if any(chart.apart(near, end.state) < NEAR for end in ends):
            continue
        end = _polished(coarse, fine, near, floor, options.gtol, options.max_passes)
        add_new(ends, end, SAME_MINIMUM)
        if end.value <= EXACT:
            break
    return Search(reading, ends)


def _near_minimum(expectation: Expectation, state: Floats, floor: Floats) -> Floats:
    """A state near a minimum, by steps of EM, extrapolated if that lowers the divergence."""
    chart, here = expectation.chart, expectation(state)
    while expectation.left > 0:
        if (
            np.abs(here.gradient).max() <= NEAR_ENOUGH
            or here.value <= EXACT
            or (chart.scales(state[np.newaxis])[0] < floor).any()
        ):
            break
        once = here.next
        twice = expectation(once).next
        further = _extrapolated(chart, state, once, twice)
        found = None if further is None else expectation(further)
        if further is not None and found is not None and found.value <= here.value:
            state, here = further, found
        else:
            state, here = twice, expectation(twice)
    return state


def _extrapolated(chart: MixtureChart, state: Floats, once: Floats, twice: Floats) -> Floats | None:
    """The state for which two steps of EM are heading, in unconstrained parameters; None if it is not ahead."""
    start, r = _free(chart, state), _free(chart, once) - _free(chart, state)
    v = _free(chart, twice) - _free(chart, once) - r
    length = math.sqrt(float(r @ r) / max(float(v @ v), 1e-300))
    if not (length > 1.0 and np.isfinite(v).all()):
        return None
    return _bound(chart, start + 2.0 * length * r + length * length * v)


def _diagonal(chart: MixtureChart) -> list[int]:
    """Positions of the diagonal of L in the row of a component."""
    return [1 + chart.ndim + i * (chart.ndim + 1) for i in range(chart.ndim)]


def _free(chart: MixtureChart, state: Floats) -> Floats:
    """Unconstrained parameters of a state: diagonals of L as logarithms, so that any numbers make a mixture."""
    rows = chart.rows(state).copy()
    rows[:, _diagonal(chart)] = np.log(rows[:, _diagonal(chart)])
    return rows.ravel()


def _bound(chart: MixtureChart, free: Floats) -> Floats:
    """The state with these unconstrained parameters, the inverse of `_free`, and weights that sum to 1."""
    rows = chart.rows(free).copy()
    rows[:, _diagonal(chart)] = np.exp(np.clip(rows[:, _diagonal(chart)], -300.0, 300.0))
    rows[:, 0] -= np.logaddexp.reduce(rows[:, 0])
    return rows.ravel()


def _hessian(expectation: Expectation, state: Floats, stencil: Stencil = STENCIL) -> Floats:
    """The Hessian from differences of gradients; symmetry takes out the turning of the coordinates with a step."""
    chart, (size, weights) = expectation.chart, stencil

    def slope(step: Floats) -> Floats:
        pairs = (chart.move(np.stack([state, state]), np.stack([k * step, -k * step])) for k, _ in weights)
        changes = np.array([expectation(ahead).gradient - expectation(behind).gradient for ahead, behind in pairs])
        return np.asarray(np.array([w for _, w in weights]) @ changes / size)

    hessian: Floats = np.array([slope(step) for step in size * np.eye(len(chart.parameter_names))])
    return 0.5 * (hessian + hessian.T)


class AtHessian(Objective):
    """The divergence of mixtures with the Hessian of a place nearby, which takes many passes."""

    def __init__(self, expectation: Expectation, hessian: Floats, floor: Floats) -> None:
        self.chart, self.grid = expectation.chart, expectation.reading.task.grid
        self.expectation, self.hessian, self.floor = expectation, hessian, floor

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        found, n = [self.expectation(state) for state in states], len(states)
        values, gradients = np.array([step.value for step in found]), np.array([step.gradient for step in found])
        return Local(values, gradients, np.repeat(self.hessian[np.newaxis], n, axis=0), np.ones(n))

    def steps(self, states: Floats) -> Floats:
        """The smallest distance between nodes on each axis."""
        return np.tile(self.floor, (len(states), 1))


def _polished(
    coarse: Expectation, fine: Expectation, state: Floats, floor: Floats, gtol: float, max_passes: int
) -> Point:
    """The end of Newton's steps with one Hessian, on the coarse grid and then on the whole one."""
    while True:
        objective = AtHessian(coarse, _hessian(coarse, state), floor)
        end = descend(objective, state[np.newaxis], gtol=0.1 * gtol, max_passes=NEWTON_PASSES)[0]
        # the Hessian belongs to another place; where even that has not led on, take EM again
        led_on = end.gradient_norm < LED_ON * np.abs(coarse(state).gradient).max()
        is_over = coarse.left <= 0 or (end.value <= EXACT and not led_on)
        if end.outcome in (Outcome.CONVERGED, Outcome.AT_STEP) or end.gradient_norm <= gtol or is_over:
            break
        state = end.state if led_on else _near_minimum(coarse, coarse(end.state).next, floor)
    if end.outcome is Outcome.CONVERGED or (end.outcome is not Outcome.AT_STEP and end.gradient_norm <= gtol):
        whole = AtHessian(fine, objective.hessian, floor)
        end = descend(whole, end.state[np.newaxis], gtol=gtol, max_passes=max_passes, nits=end.nit)[0]
        if end.gradient_norm <= gtol and end.outcome is not Outcome.AT_STEP:
            end = replace(end, outcome=Outcome.CONVERGED)  # the Hessian at the end says whether it is flat
    elif end.outcome is not Outcome.AT_STEP:
        end = replace(end, outcome=Outcome.FLAT if end.value <= EXACT else Outcome.OUT_OF_PASSES)
    state = coarse.chart.in_order(end.state)  # as the names of the parameters number them
    here = fine(state)
    end = replace(end, state=state, value=here.value, gradient=here.gradient, hessian=_hessian(coarse, state))
    if end.min_eigenvalue < NEARLY_FLAT:
        end = replace(end, hessian=_hessian(coarse, state, EXACT_STENCIL))
    is_flat = end.outcome is Outcome.CONVERGED and end.min_eigenvalue <= FLAT
    return replace(end, outcome=Outcome.FLAT) if is_flat else end


def _starts(landscape: Landscape, chart: MixtureChart, floor: Floats) -> Iterator[Floats]:
    """The states of the mixtures that win a race (`fastkl.fitting.methods.race`), each component wider than a step."""
    normal, narrowest = NormalChart(chart.ndim), np.diag(np.square(2.0 * floor))
    for shares, means, covs in zip(*Race(landscape).winners(chart.parts), strict=True):
        states = [normal.of_moments(mean, cov + narrowest) for mean, cov in zip(means, covs, strict=True)]
        yield np.column_stack([np.log(shares), np.array(states, dtype=np.float64)]).ravel()
