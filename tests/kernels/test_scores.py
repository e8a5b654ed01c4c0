"""Sums of scores and of statistics against derivatives of the textbook's formulas."""

import mpmath as mp
import numpy as np
import pytest

from fastkl import Beta, Grid, Tabulated
from fastkl.fitting import univariate as charts
from fastkl.kernels.integrals import (
    DIVERGENCE,
    MASS_Q,
    SURPLUS,
)
from fastkl.kernels.records import GridRecords
from fastkl.kernels.scores import Scored, score_sums
from fastkl.kernels.statistics import statistic_sums
from tests.families import TEXTBOOK
from tests.kernels.cases import P, exact_p, points_and_weights, sums_and_sizes, tasks_of


def moved_location_scale(state, steps):
    loc, scale, *rest = state
    shifted = (loc + scale * steps[0], scale * mp.exp(steps[1]))
    return (rest[0] * mp.exp(steps[2]), *shifted) if rest else shifted


def moved_by_logarithms(state, steps):
    return [mp.mpf(number) * mp.exp(step) for number, step in zip(state, steps, strict=True)]


def moved_gamma(state, steps):
    a, scale = moved_by_logarithms(state, steps)
    return a, mp.mpf(0), scale


def moved_log_normal(state, steps):
    loc, s = state
    return s * mp.exp(steps[1]), mp.exp(loc + s * steps[0])


DF = 4.0
SCORES = {
    "laplace": (charts.LaplaceChart(), "laplace", moved_location_scale, [(0.31, 0.8), (1.2, 0.4)]),
    "logistic": (charts.LogisticChart(), "logistic", moved_location_scale, [(0.31, 0.8), (1.2, 0.4)]),
    "student_t": (charts.StudentTChart(), "student_t", moved_location_scale, [(0.31, 0.8, 1.5), (1.2, 0.4, 30.0)]),
    "student_t of df": (
        charts.StudentTOfDfChart(DF),
        "student_t",
        lambda state, steps: (mp.mpf(DF), *moved_location_scale(state, steps)),
        [(0.31, 0.8), (1.2, 0.4)],
    ),
    "gamma": (charts.GammaChart(), "gamma", moved_gamma, [(0.4, 2.0), (30.0, 0.05)]),
    "beta": (charts.BetaChart(), "beta", moved_by_logarithms, [(0.3, 2.5), (20.0, 4.0)]),
    "log_normal": (charts.LogNormalChart(), "log_normal", moved_log_normal, [(-0.7, 0.5), (0.2, 1.5)]),
}
"""The chart, the textbook's log-density, its parameters after a step in local coordinates, and two states."""


def exact_scores(textbook, moved, state, x):
    """log q, its first derivatives, and the upper triangle of the second, at x."""
    state = [mp.mpf(number) for number in state]
    k = len(state)

    def log_q(*steps):
        return TEXTBOOK[textbook](*moved(state, steps))(mp.mpf(x))

    def derivative(*axes):
        return mp.diff(log_q, (0,) * k, tuple(axes.count(d) for d in range(k)))

    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    first = [derivative(i) for i in range(k)]
    return (
        log_q(*[mp.mpf(0)] * k),
        first,
        [first[i] * first[j] for i, j in pairs],
        [derivative(*pair) for pair in pairs],
    )


def sums_of_scores(chart, p, grid, states, strides, by_p, cut=()):
    states = np.array(states)
    grids = GridRecords.of_strides(grid._record(), np.array(strides)[:, np.newaxis])
    tasks = tasks_of([grid._count(stride) for stride in strides], cut)
    members = Scored(chart.scores.address, chart.parameters(states), len(chart.names), by_p)
    partial = score_sums(len(tasks), tasks, members, p._evaluation(grid).by_logs(), grids, length=1)
    k = len(chart.names)
    whole = np.array([partial[tasks[:, 0] == state].sum(axis=0) for state in range(len(states))])
    return whole[:, : 2 * (1 + k + k * (k + 1))]


@pytest.mark.parametrize("by_p", [0, 1])
@pytest.mark.parametrize("name", SCORES)
def test_score_sums(name, by_p):
    chart, textbook, moved, states = SCORES[name]
    inside = textbook in ("gamma", "beta", "log_normal")
    grid = Grid.from_edges(np.linspace(0, 1, 24) ** 2) if inside else Grid.uniform(-6, 7, 34)
    # the weights of cells do not thin out
    strides = [1, 1] if inside else [1, 3]
    found = sums_of_scores(chart, P, grid, states, strides, by_p, (0.4, 0.5))
    for sums, state, stride in zip(found, states, strides, strict=True):
        points, weights = points_and_weights(grid, [stride])
        expected, sizes = 0, 0
        for x, w in zip(points[:, 0].tolist(), weights.tolist(), strict=True):
            log_q, *rest = exact_scores(textbook, moved, state, x)
            log_p = mp.log(exact_p(x))
            u = mp.mpf(w) * mp.exp(log_p if by_p else log_q)
            values = [mp.mpf(1), *rest[0], *rest[1], *rest[2]]
            terms = np.array([term for value in values for term in (u * value, u * value * (log_q - log_p))])
            expected, sizes = expected + terms, sizes + abs(terms)
        # a few ulp of exponents and logarithms of up to 100, where a score is a difference of them
        np.testing.assert_array_less(np.abs((sums - expected).astype(float)), 1e-12 * sizes.astype(float) + 1e-300)


@pytest.mark.parametrize("by_p", [0, 1])
def test_score_sums_leave_out_nodes_without_mass(by_p):
    grid = Grid.uniform(0, 1, 41)  # log q is -inf at both ends
    x = grid.axes[0]
    with np.errstate(divide="ignore"):
        table = Tabulated(grid, 2 * np.log(x) + np.log1p(-x), log=True)
    sums = sums_of_scores(charts.BetaChart(), table, grid, [(3.0, 4.0)], [1], by_p)[0]
    log_p, log_q = table.logpdf(x[1:-1]), Beta(3, 4).logpdf(x[1:-1])
    u = grid.weights[0][1:-1] * np.exp(log_p if by_p else log_q)
    np.testing.assert_allclose(sums[:2], [u.sum(), (u * (log_q - log_p)).sum()], rtol=1e-13)
    assert np.isfinite(sums).all()


STATISTICS = {
    "gamma": ((3.4, 0.2), lambda x, a, scale: (np.log(x / (a * scale)), x / (a * scale) - 1)),
    "beta": ((3.0, 4.0), lambda x, a, b: (np.log(x / a * (a + b)), np.log((1 - x) / b * (a + b)))),
    "log_normal": ((-0.7, 0.5), lambda x, loc, s: ((np.log(x) - loc) / s, ((np.log(x) - loc) / s) ** 2)),
}
"""A state whose density is 0 at the ends of its support, and both statistics."""


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", STATISTICS)
def test_statistic_sums(name, stride):
    chart, (state, of_x) = SCORES[name][0], STATISTICS[name]
    grid = Grid.uniform(0, 1, 130)  # with both ends, where statistics are infinite and p is 0
    with np.errstate(divide="ignore"):
        logs = 2 * np.log(grid.axes[0]) + np.log1p(-grid.axes[0])
    p, state = Tabulated(grid, logs + P.logpdf(grid.axes[0]), log=True), np.array(state)
    sums = statistic_sums.total(
        grid._count(stride),
        chart.of_x.address,
        chart.parameters(state[np.newaxis])[0],
        p._evaluation(grid).by_logs(),
        grid._record(stride),
    )
    points, w = points_and_weights(grid, [stride])
    x = points[:, 0]
    of_q = w * chart.density(state).pdf(x)
    inside = slice(1, -1)
    log_p, log_q = p.logpdf(x[inside]), chart.density(state).logpdf(x[inside])
    share = w[inside] * np.exp(log_p)
    first, second = of_x(x[inside], *state)
    term = share * (log_p - log_q) - share + of_q[inside]
    rows = [term, share, of_q[inside], of_q[inside] - share, 0 * term, share * (log_p - log_q), share * first]
    expected, sizes = sums_and_sizes(np.vstack([*rows, share * second]))
    ends = of_q.sum() - of_q[inside].sum()  # q alone is there
    expected[[DIVERGENCE, MASS_Q, SURPLUS]] += ends
    sizes += (share * (abs(log_p) + abs(log_q))).sum()  # of which the terms are differences
    np.testing.assert_array_less(np.abs(sums - expected), 1e-14 * sizes)
