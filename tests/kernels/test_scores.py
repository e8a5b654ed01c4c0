"""Sums of scores and of statistics against derivatives of the textbook's formulas."""

from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest

from fastkl import Beta, Grid, Tabulated
from fastkl.families import FAMILIES, Exponential
from fastkl.fitting.charts import LineChart
from fastkl.kernels.integrals import (
    DIVERGENCE,
    MASS_Q,
    SURPLUS,
)
from fastkl.kernels.records import GridRecords
from fastkl.kernels.scores import Scored, score_sums
from fastkl.kernels.statistics import statistic_sums
from tests.kernels.cases import P, exact_p, points_and_weights, sums_and_sizes, tasks_of
from tests.references import REFERENCES

HELD_DF = {"df": 4.0}
SCORES = [
    (name, held, parameters)
    for name, reference in REFERENCES.items()
    for held in ({}, HELD_DF if name == "student_t" else None)
    if held is not None and reference.scored
    for parameters in [reference.scored]
]
"""The family, what is held, and two members."""


def chart_of(name, held=()):
    return LineChart(FAMILIES[name], dict(held))


def states_of(chart, members):
    """The states of members, of whose parameters some may be held."""
    names = [field for field, _ in chart.family._fields]
    return np.array([[dict(zip(names, p, strict=True))[c.parameter] for c in chart.coordinates] for p in members])


def moved(chart, state, steps):
    """The parameters, in the order of the constructor, after a step of the coordinates."""
    at = SimpleNamespace(**chart.held, **{c.parameter: x for c, x in zip(chart.coordinates, state, strict=True)})
    numbers = dict(vars(at))
    for c, step in zip(chart.coordinates, steps, strict=True):
        change = c.unit(at) * step
        numbers[c.parameter] = numbers[c.parameter] * mp.exp(change) if c.log else numbers[c.parameter] + change
    return [mp.mpf(numbers[field]) for field, _ in chart.family._fields]


def exact_scores(chart, state, x):
    """log q, its first derivatives, and the upper triangle of the second, at x."""
    state = [mp.mpf(number) for number in state]
    k = len(state)

    def log_q(*steps):
        return REFERENCES[chart.family._name()].log_density(*moved(chart, state, steps))(mp.mpf(x))

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
    members = Scored(chart.scores.address, chart.score_parameters(states), len(chart.coordinates), by_p)
    partial = score_sums(len(tasks), tasks, members, p._evaluation(grid).by_logs(), grids, length=1)
    k = len(chart.coordinates)
    whole = np.array([partial[tasks[:, 0] == state].sum(axis=0) for state in range(len(states))])
    return whole[:, : 2 * (1 + k + k * (k + 1))]


@pytest.mark.parametrize("by_p", [0, 1])
@pytest.mark.parametrize(("name", "held", "members"), SCORES)
def test_score_sums(name, held, members, by_p):
    chart = chart_of(name, held)
    states, inside = states_of(chart, members), chart.support[0] == 0.0
    grid = Grid.from_edges(np.linspace(0, 1, 24) ** 2) if inside else Grid.uniform(-6, 7, 34)
    # the weights of cells do not thin out
    strides = [1, 1] if inside else [1, 3]
    found = sums_of_scores(chart, P, grid, states, strides, by_p, (0.4, 0.5))
    for sums, state, stride in zip(found, states, strides, strict=True):
        points, weights = points_and_weights(grid, [stride])
        expected, sizes = 0, 0
        for x, w in zip(points[:, 0].tolist(), weights.tolist(), strict=True):
            log_q, *rest = exact_scores(chart, state, x)
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
    sums = sums_of_scores(chart_of("beta"), table, grid, [(3.0, 4.0)], [1], by_p)[0]
    log_p, log_q = table.logpdf(x[1:-1]), Beta(3, 4).logpdf(x[1:-1])
    u = grid.weights[0][1:-1] * np.exp(log_p if by_p else log_q)
    np.testing.assert_allclose(sums[:2], [u.sum(), (u * (log_q - log_p)).sum()], rtol=1e-13)
    assert np.isfinite(sums).all()


EXPONENTIAL = {
    name: reference.statistics for name, reference in REFERENCES.items() if issubclass(FAMILIES[name], Exponential)
}


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", EXPONENTIAL)
def test_statistic_sums(name, stride):
    chart, of_x = chart_of(name), EXPONENTIAL[name]
    state = states_of(chart, [REFERENCES[name].at_ends])[0]
    grid = Grid.uniform(0, 1, 130)  # with both ends, where statistics are infinite and p is 0
    with np.errstate(divide="ignore"):
        logs = 2 * np.log(grid.axes[0]) + np.log1p(-grid.axes[0])
    p, q = Tabulated(grid, logs + P.logpdf(grid.axes[0]), log=True), chart.member(state)
    sums = statistic_sums.total(
        grid._count(stride),
        q._statistics.address,
        np.array(q._score_parameters()),
        p._evaluation(grid).by_logs(),
        grid._record(stride),
    )
    points, w = points_and_weights(grid, [stride])
    x = points[:, 0]
    of_q = w * q.pdf(x)
    inside = slice(1, -1)
    log_p, log_q = p.logpdf(x[inside]), q.logpdf(x[inside])
    share = w[inside] * np.exp(log_p)
    first, second = of_x(x[inside], *vars(chart.density(state)).values())
    term = share * (log_p - log_q) - share + of_q[inside]
    rows = [term, share, of_q[inside], of_q[inside] - share, 0 * term, share * (log_p - log_q), share * first]
    expected, sizes = sums_and_sizes(np.vstack([*rows, share * second]))
    ends = of_q.sum() - of_q[inside].sum()  # q alone is there
    expected[[DIVERGENCE, MASS_Q, SURPLUS]] += ends
    sizes += (share * (abs(log_p) + abs(log_q))).sum()  # of which the terms are differences
    np.testing.assert_array_less(np.abs(sums - expected), 1e-14 * sizes)
