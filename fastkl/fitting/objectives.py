"""The divergence as a function of the parameters of q, for many q at once, with gradients and Hessians.

In reverse q is conditioned on the grid: q_i = u_i / sum(u), and with G = log(q/p) the divergence is E[G] under q. Its
derivatives follow from the scores s of log u and from their derivatives C:

    gradient  cov(s, G)
    Hessian   cov(s, s) + E[(s - E s)(s - E s)' (G - E G)] + cov(C, G).

So all of them are made of sums of u and u g, g = log(u/p), times 1, s, s s' and C: one pass gives one Newton step. The
forward divergence is a constant less E[log q] under p, with the gradient -E[s] and the Hessian -E[C].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastkl.density import Density
from fastkl.fitting.charts import Chart, ExponentialChart, LineChart, NormalChart
from fastkl.grids import Grid
from fastkl.jit import TILE
from fastkl.kernels.integrals import MASS_P
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE, WINDOW, normal_moments
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.kernels.records import GridRecords, Normals
from fastkl.kernels.scores import Scored, score_sums
from fastkl.kernels.statistics import LOG_RATIO, statistic_sums
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.fitting.reading import Reading

POINTS_IN_SCALE = {1: (10, 80), 2: (5, 24), 3: (4, 8)}
"""Points in a scale on the coarse and the middle level, by the number of axes; q needs 2 for 15 digits, the rest is for
p."""
FEWEST_IN_SCALE = (3, 5)
"""Points in a scale on the two levels for grids of more axes than `POINTS_IN_SCALE` lists."""

AT_KINK = 1e-12
"""Largest log(A/B) that counts as 0, for the masses A of q and B of p: for q = p the minimum lies on the kink at 0."""

NEAR = 1e-5
"""Distance from a minimum, in any coordinate, within which the divergence is a parabola, up to the cube of it."""


class Local(NamedTuple):
    """The divergence, its gradient and its Hessian at n states."""

    value: Floats
    gradient: Floats
    hessian: Floats
    inside: Floats
    """The mass of q on the grid."""

    def at(self, chosen: Any) -> Local:
        """The entries of the *chosen* states."""
        return Local(*(array[chosen] for array in self))


class Expected(NamedTuple):
    """Means over a grid for n states: of g, of the scores, their products and derivatives, and of g times these."""

    total: Floats
    g: Floats
    s: Floats
    sg: Floats
    ss: Floats
    ssg: Floats
    c: Floats
    cg: Floats


class Objective(ABC):
    """A divergence as a function of states, to be minimised."""

    chart: Any
    grid: Grid
    digits_above: float = math.inf
    """Value above which the divergence has 13 digits; a smaller one is a difference of larger numbers."""

    @abstractmethod
    def __call__(self, states: Floats, strides: Any = None) -> Local:
        """The divergence and its derivatives at *states*, on every stride-th node of each axis, by default on all."""

    def strides(self, states: Floats, level: int) -> Any:
        """The largest strides that the states allow, shape (n, ndim), on the coarse (0) or the middle level (1)."""
        points = POINTS_IN_SCALE.get(self.grid.ndim, FEWEST_IN_SCALE)[level]
        wanted = self.chart.scales(states) / (points * self.steps(states))
        even = np.array([axis.rule in ("trapezoid", "midpoint") for axis in self.grid._parts])
        return np.maximum(np.where(even, wanted, 1.0), 1.0).astype(np.int64)

    def steps(self, states: Floats) -> Floats:
        """The distances between the nodes around the states, shape (n, ndim)."""
        places = self.chart.places(states)
        steps = [[axis.step_near(x) for axis, x in zip(self.grid._parts, at, strict=True)] for at in places.tolist()]
        return np.array(steps)


class _OnGrid(Objective):
    """A divergence from sums over the grid, in tasks: runs of points for one state each."""

    def __init__(self, reading: Reading) -> None:
        self.grid, self.chart, self.count = reading.task.grid, reading.task.chart, reading.count
        self.p, self.record = reading.task.target._evaluation(self.grid), self.grid._record()
        self.log_mass, self.log_mass_inside = math.log(reading.mass), reading.log_mass_inside

    def _tasks(self, strides: Any, lower: Floats, upper: Floats) -> tuple[Any, GridRecords]:
        """The tasks, each (index of a state, first point, one behind the last), and the grid of each state.

        Points outside [*lower*, *upper*] of a state, on the first axis, are left out.
        """
        tasks, first_axis = [], self.grid._parts[0]
        for k, own in enumerate(strides.tolist()):
            rest = math.prod(axis.count(s) for axis, s in zip(self.grid._parts[1:], own[1:], strict=True))
            first, count = first_axis.window(lower[k], upper[k], own[0])
            begin, end = first * rest, (first + count) * rest
            self.count.points += end - begin
            tasks += [(k, at, min(at + TILE, end)) for at in range(begin, end, TILE)]
        return np.array(tasks, dtype=np.int64), GridRecords.of_strides(self.record, strides)

    def _local(self, e: Expected, log_inside: Floats, slope: Floats | None = None, bend: Floats | None = None) -> Local:
        """The reverse divergence; *slope* and *bend* are the derivatives of the logarithm of the integral of u."""
        local = local_of_reverse(e)
        value, gradient, hessian = local.value - np.log(e.total) + self.log_mass, local.gradient, local.hessian
        # if the grid holds more of q (mass A) than of p (mass B), the divergence includes log(A/B)
        more = np.minimum(log_inside, 0.0) - self.log_mass_inside
        added = more > AT_KINK
        if added.any():
            value = value + np.where(added, more, 0.0)
            moving = added & (log_inside < 0.0)
            slope = np.zeros(1) if slope is None else slope
            bend = np.zeros(1) if bend is None else bend
            gradient = gradient + np.where(moving[:, np.newaxis], e.s - slope, 0.0)
            cov_s = e.ss - _outer(e.s, e.s)
            hessian = hessian + np.where(moving[:, np.newaxis, np.newaxis], cov_s + e.c - bend, 0.0)
        return Local(value, gradient, hessian, np.exp(np.minimum(log_inside, 0.0)))


def local_of_reverse(e: Expected) -> Local:
    """E[G] under q conditioned on the grid, with its gradient and its Hessian, from means under it."""
    outer = _outer(e.s, e.s)
    cov_s = e.ss - outer
    gradient = e.sg - e.s * e.g[:, np.newaxis]
    crossed = _outer(e.s, e.sg)
    third = e.ssg - crossed - crossed.transpose(0, 2, 1) + (outer - cov_s) * e.g[:, np.newaxis, np.newaxis]
    hessian = cov_s + third + e.cg - e.c * e.g[:, np.newaxis, np.newaxis]
    return Local(e.g, gradient, hessian, e.total)


def _outer(a: Floats, b: Floats) -> Floats:
    return a[:, :, np.newaxis] * b[:, np.newaxis, :]


class ReverseNormal(_OnGrid):
    """KL(q||p) for Normals q of any dimension."""

    chart: NormalChart
    digits_above = 0.05

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        chart, D = self.chart, self.grid.ndim
        strides = np.ones((len(states), D), np.int64) if strides is None else strides
        means, L = chart.split(states)
        reach = WINDOW * L[:, 0, 0]
        tasks, grids = self._tasks(strides, means[:, 0] - reach, means[:, 0] + reach)
        M = len(exponents(D, TILTED_DEGREE))
        partial = normal_moments(
            len(tasks),
            tasks,
            Normals(np.ascontiguousarray(means), chart.whitenings(states)),
            self.p.by_logs(),
            grids,
            monomials(D, TILTED_DEGREE),
            length=1,
            items=_items(tasks),
            work=self.p.work,
            outputs=2 * M,
        )
        sums = _by_state(partial, tasks, len(states))
        total = sums[:, 0]
        with np.errstate(all="ignore"):  # a state that has left the grid has no sums
            m, g = sums[:, :M] / total[:, np.newaxis], sums[:, M:] / total[:, np.newaxis]
            low = len(exponents(D, DEGREE))
            means_of = Expected(
                total, g[:, 0], m[:, chart.scores], g[:, chart.scores], m[:, chart.products], g[:, chart.products],
                m[:, :low] @ chart.curvature.transpose(0, 2, 1), g[:, :low] @ chart.curvature.transpose(0, 2, 1),
            )  # fmt: skip
            means_of = means_of._replace(c=_by_first(means_of.c), cg=_by_first(means_of.cg))
            log_inside = np.log(total) - chart.log_constants(states)
            return _projected(self._local(means_of, log_inside, chart.slope_of_constant), chart.basis)


def _by_first(array: Floats) -> Floats:
    """The array of shape (k, n, k) with its axes in the order (n, k, k)."""
    return array.transpose(1, 0, 2)


def _projected(local: Local, basis: Floats) -> Local:
    """The divergence in the coordinates of a part of a larger family: the columns of *basis* are its steps."""
    return local._replace(gradient=local.gradient @ basis, hessian=basis.T @ local.hessian @ basis)


def _items(tasks: Any) -> int:
    return int((tasks[:, 2] - tasks[:, 1]).max(initial=1))


def _by_state(partial: Floats, tasks: Any, n: int) -> Floats:
    """The sums for each state, whose tasks follow one another."""
    begins = np.searchsorted(tasks[:, 0], np.arange(n))
    return np.add.reduceat(partial, begins, axis=0)


class ForwardNormal(Objective):
    """KL(p||q) for Normals q: a function of the moments of p, from one pass."""

    digits_above = 0.05

    chart: NormalChart

    def __init__(self, reading: Reading) -> None:
        self.grid, self.chart = reading.task.grid, reading.task.chart  # type: ignore[assignment]
        self.moments, self.log_mass_inside = reading.moments, reading.log_mass_inside

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        chart, D = self.chart, self.grid.ndim
        W = chart.whitenings(states)
        first = np.einsum("nij,nj->ni", W, self.moments.mean - chart.places(states))
        second = W @ self.moments.cov @ W.transpose(0, 2, 1) + _outer(first, first)
        by_power: dict[tuple[int, ...], Floats] = {(): np.ones(len(states))}
        by_power |= {(i,): first[:, i] for i in range(D)}
        by_power |= {(i, j): second[:, i, j] for i in range(D) for j in range(i, D)}
        places = [tuple(d for d, count in enumerate(power) for _ in range(count)) for power in exponents(D, DEGREE)]
        m = np.stack([by_power[place] for place in places], axis=1)
        spread = 0.5 * np.trace(second, axis1=1, axis2=2) + chart.log_constants(states)
        value = self.moments.log_p - math.log(self.moments.mass) + self.log_mass_inside + spread
        gradient = chart.slope_of_constant - m[:, chart.scores]
        hessian = -_by_first(m @ chart.curvature.transpose(0, 2, 1))
        return _projected(Local(value, gradient, hessian, np.ones(len(states))), chart.basis)


class _Univariate(_OnGrid):
    """A divergence for a family on the line, from sums of its scores."""

    chart: LineChart
    by_p = False

    def _expected(self, states: Floats, strides: Any) -> Expected:
        chart, k = self.chart, len(self.chart.parameter_names)
        strides = np.ones((len(states), 1), np.int64) if strides is None else strides
        reach = math.inf if self.by_p else chart.window
        places, scales = chart.places(states)[:, 0], chart.scales(states)[:, 0]
        ends = np.array([self.grid._line.lower, self.grid._line.upper])
        tasks, grids = self._tasks(
            strides, np.maximum(places - reach * scales, ends[0]), np.minimum(places + reach * scales, ends[1])
        )
        members = Scored(chart.scores.address, chart.score_parameters(states), k, self.by_p)
        partial = score_sums(
            len(tasks), tasks, members, self.p.by_logs(), grids, length=1, items=_items(tasks), work=self.p.work
        )
        sums = _by_state(partial, tasks, len(states))
        pairs = k * (k + 1) // 2
        total = sums[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            m, g = sums[:, ::2] / total[:, np.newaxis], sums[:, 1::2] / total[:, np.newaxis]
        first, second, last = 1 + k, 1 + k + pairs, 1 + k + 2 * pairs
        return Expected(
            total, g[:, 0], m[:, 1:first], g[:, 1:first],
            _square(m[:, first:second], k), _square(g[:, first:second], k),
            _square(m[:, second:last], k), _square(g[:, second:last], k),
        )  # fmt: skip


def _square(upper: Floats, k: int) -> Floats:
    """Symmetric matrices from their upper triangles."""
    whole = np.empty((len(upper), k, k))
    rows, columns = np.triu_indices(k)
    whole[:, rows, columns] = upper
    whole[:, columns, rows] = upper
    return whole


class ReverseUnivariate(_Univariate):
    """KL(q||p) for a family on the line."""

    digits_above = 0.01

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        expected = self._expected(states, strides)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._local(expected, np.log(expected.total))


class ForwardUnivariate(_Univariate):
    """KL(p||q) for a family on the line."""

    by_p = True

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        expected = self._expected(states, strides)
        value = -expected.g - self.log_mass + self.log_mass_inside
        return Local(value, -expected.s, -expected.c, np.ones(len(states)))

    def strides(self, states: Floats, level: int) -> Any:
        """Strides of 1: all of p counts, on whatever scale it changes."""
        return np.ones((len(states), 1), np.int64)


class Statistics(NamedTuple):
    """Sums and means from a pass over p for an exponential family, relative to one member q of it."""

    state: Floats
    """State of q."""
    sums: Floats
    """Outputs of `fastkl.kernels.integrals.kl_integral` for p and q."""
    log_ratio: float
    """Mean of log(p/q) under p."""
    means: Floats
    """Means of the statistics under p, as `Exponential._absolute` gives them."""

    @property
    def mass(self) -> float:
        """The integral of p over the grid."""
        return float(self.sums[MASS_P])


def statistics(p: Density, grid: Grid, chart: ExponentialChart, state: Floats, stride: int = 1) -> Statistics:
    """The statistics of p relative to the member *state*, in one pass over every *stride*-th node."""
    evaluation, member = p._evaluation(grid), chart.member(state)
    sums = statistic_sums.total(
        grid._count(stride),
        member._statistics.address,
        np.array(member._score_parameters()),
        evaluation.by_logs(),
        grid._record(stride),
        work=evaluation.work,
    )
    log_ratio, *means = sums[LOG_RATIO:] / sums[MASS_P]
    return Statistics(state, sums[:LOG_RATIO], float(log_ratio), member._absolute(np.array(means)))


class ForwardExponential(Objective):
    """KL(p||q) for an exponential family: a function of the means of its statistics under p."""

    chart: ExponentialChart

    def __init__(self, grid: Grid, chart: ExponentialChart, found: Statistics, log_mass_inside: float) -> None:
        self.grid, self.chart, self.found = grid, chart, found
        log_q, _, _ = chart.member(found.state)._expected(found.means)
        self.constant = found.log_ratio - math.log(found.mass) + log_mass_inside + log_q

    @classmethod
    def of(cls, reading: Reading) -> ForwardExponential:
        """The objective from the statistics of all points."""
        chart = reading.task.chart
        assert isinstance(chart, ExponentialChart)
        return cls(reading.task.grid, chart, reading.statistics, reading.log_mass_inside)

    def fallen(self, state: Floats) -> float | None:
        """Drop of the divergence from the member of the pass to the minimum *state*; None if they are far apart."""
        if self.chart.apart(self.found.state, state) > NEAR:
            return None
        _, s, c = self.chart.member(self.found.state)._expected(self.found.means)
        return float(-0.5 * s @ np.linalg.solve(c, s))

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        parts = [self.chart.member(state)._expected(self.found.means) for state in states]
        log_q, s, c = (np.array(column) for column in zip(*parts, strict=True))
        return Local(self.constant - log_q, -s, -c, np.ones(len(states)))

    def steps(self, states: Floats) -> Floats:
        """Steps of 0: no node matters, since the statistics are all that is known of p."""
        return np.zeros((len(states), 1))


class ForwardOnTable(Objective):
    """KL(p||q) for a table p and a family on the line, with the sum B of q over the nodes: plus log(B) where B > 1.

    This is the divergence of two normalised tables. Other objectives leave log(B) out, which is negligible where the
    nodes resolve q.
    """

    chart: LineChart

    def __init__(self, reading: Reading) -> None:
        self.base, self.of_q = reading.objective, ReverseUnivariate(reading)
        self.grid, self.chart = reading.task.grid, reading.task.chart  # type: ignore[assignment]

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        local, more, slope, bend = self.parts(states)
        over = more > 0.0
        return Local(
            local.value + np.where(over, more, 0.0),
            local.gradient + np.where(over[:, np.newaxis], slope, 0.0),
            local.hessian + np.where(over[:, np.newaxis, np.newaxis], bend, 0.0),
            local.inside,
        )

    def parts(self, states: Floats) -> tuple[Local, Floats, Floats, Floats]:
        """The divergence without log(B), and log(B) with its first and second derivatives."""
        local, e = self.base(states), self.of_q._expected(states, None)
        with np.errstate(divide="ignore", invalid="ignore"):
            return local, np.log(e.total), e.s, e.ss - _outer(e.s, e.s) + e.c

    def steps(self, states: Floats) -> Floats:
        return self.base.steps(states)


OBJECTIVES: dict[tuple[str, type[Chart]], Callable[[Reading], Objective]] = {
    ("forward", NormalChart): ForwardNormal,
    ("reverse", NormalChart): ReverseNormal,
    ("forward", LineChart): ForwardUnivariate,
    ("reverse", LineChart): ReverseUnivariate,
    ("forward", ExponentialChart): ForwardExponential.of,
    ("reverse", ExponentialChart): ReverseUnivariate,
}
"""Objectives by direction and chart; a mixture has one of its own (`fastkl.fitting.methods.mixture`)."""
