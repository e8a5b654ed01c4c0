"""Every kernel against a slow, readable oracle."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest

from fastkl import Beta, Grid, Mixture, MultivariateNormal, Normal, Tabulated
from fastkl.fitting import univariate as charts
from fastkl.jit import JIT_DISABLED, tiled
from fastkl.kernels.density import BLOCK, bound, log_density
from fastkl.kernels.integrals import (
    DIVERGENCE,
    MASS_B,
    SURPLUS,
    kl_integral,
    kl_integral_of_bounded,
    kl_integral_of_logs,
    kl_integral_of_values,
)
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE, WINDOW, density_moments, normal_moments
from fastkl.kernels.peaks import cell_peaks
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.kernels.records import BOUNDS_OF, STRIDE
from fastkl.kernels.scores import score_sums
from fastkl.kernels.statistics import statistic_sums
from fastkl.kernels.sums import kl_sums
from tests import naive
from tests.families import TEXTBOOK


@tiled(outputs=0)
def box_bounds(partial, start, stop, functions, components, values, nodes, lower, upper, out):
    bound(functions[BOUNDS_OF], components, values, nodes, lower, upper, out)


def bounds_of(record, lower, upper, out):
    box_bounds(1, *record.bounded(), lower, upper, out)


GRIDS = {
    "uniform": Grid.uniform(-6, 7, 130),
    "any spacing": Grid.from_axes(np.sort(np.random.default_rng(1).uniform(-6, 7, 130))),
}
P = Mixture([Normal(-2, 0.6), Normal(1.5, 0.9), Normal(0, 2)], [0.5, 0.3, 0.2])
Q = Normal(0.3, 1.7)


@pytest.fixture(params=GRIDS.values(), ids=GRIDS.keys())
def grid(request):
    return request.param


def exact_p(x):
    parts = zip(P.weights, P.components, strict=True)
    return mp.fsum(mp.mpf(w) * naive.normal_pdf(x, part.loc, part.scale) for w, part in parts)


def exact_q(x):
    return naive.normal_pdf(x, Q.loc, Q.scale)


def test_kl_sums():
    rng = np.random.default_rng(2)
    p, q = rng.random(500), rng.random(500)
    p[::7] = 0.0
    expected = [
        mp.fsum(naive.kl_term(a, b) if a else mp.mpf(b) for a, b in zip(p, q, strict=True)),
        mp.fsum(map(mp.mpf, p)),
        mp.fsum(map(mp.mpf, q)),
        mp.fsum(mp.mpf(b) - mp.mpf(a) for a, b in zip(p, q, strict=True)),
    ]
    np.testing.assert_allclose(kl_sums.total(p.size, p, q), [float(e) for e in expected], rtol=1e-14)


def test_nodes_and_weights_of_the_edge_are_those_of_the_oracle(grid):
    expected = [float(w) for w in naive.trapezoid_weights(grid.axes[0])]
    # neighbouring nodes of about 6 differ by 0.1 and each is rounded: 2**-53 * 60
    np.testing.assert_allclose(grid.weights[0], expected, rtol=1e-14)


@pytest.mark.parametrize("stride", [1, 3])
def test_log_density_of_a_mixture(grid, stride):
    out = np.empty(grid.count(stride))
    log_density(out.size, *P.record(grid), *grid.record(stride), 0, out)
    x = np.append(grid.axes[0][:-1:stride], grid.axes[0][-1])
    # a log-density of -30 is a difference of squares: a few ulp of 30
    np.testing.assert_allclose(out, [float(mp.log(exact_p(node))) for node in x], rtol=1e-15, atol=2e-14)


@pytest.mark.parametrize("floor", [None, 0.1])
def test_log_density_of_a_table_on_another_grid(grid, floor):
    table = Tabulated(Grid.uniform(-3, 4, 40), P.pdf(np.linspace(-3, 4, 40)), floor=floor)
    out = np.empty(grid.size)
    log_density(grid.size, *table.record(grid), *grid.record(), 0, out)
    np.testing.assert_allclose(out, table.logpdf(grid.axes[0]), rtol=1e-13)


@pytest.mark.parametrize("kernel", ["formulas", "logs", "values"])
def test_kl_integral(grid, kernel):
    x = grid.axes[0]
    if kernel == "formulas":
        p, q = [exact_p(node) for node in x], [exact_q(node) for node in x]
        total = kl_integral.total(grid.size, *P.record(grid), *Q.record(grid), 0.25, *grid.record())
    elif kernel == "logs":
        a, b = P.logpdf(x), Q.logpdf(x)
        p, q = [mp.exp(v) for v in a], [mp.exp(v) for v in b]
        total = kl_integral_of_logs.total(grid.size, a - 1.0, b + 2.0, 1.0, 0.25 - 2.0, *grid.record())
    else:
        a, b = P.pdf(x), Q.pdf(x)
        p, q = [mp.mpf(v) for v in a], [mp.mpf(v) for v in b]
        total = kl_integral_of_values.total(grid.size, a, b, 0.0, np.exp(0.25), *grid.record())
    w, q = naive.trapezoid_weights(x), [mp.exp(0.25) * v for v in q]
    expected = [
        mp.fsum(wi * (a * mp.log(a / b) - a + b) for wi, a, b in zip(w, p, q, strict=True)),
        mp.fdot(w, p),
        mp.fdot(w, q),
        mp.fsum(wi * (b - a) for wi, a, b in zip(w, p, q, strict=True)),
    ]
    np.testing.assert_allclose(total[:4], [float(e) for e in expected], rtol=2e-14)
    assert total[4] == 0  # points skipped


BOX = Grid.uniform([-5, -4, -6], [4, 5, 5], [9, 10, 11])
GRIDS_OF_MORE_AXES = {
    "two uniform axes": Grid.uniform([-5, -6], [6, 5], [31, 24]),
    "a uniform axis and given nodes": Grid.from_axes(
        np.linspace(-5, 5, 12), np.sort(GRIDS["any spacing"].axes[0][:20])
    ),
    "Simpson's rule": Grid.from_axes(np.linspace(-5, 5, 13), np.linspace(-6, 4, 15) ** 3 / 20, rule="simpson"),
    "cells": Grid.from_edges(np.linspace(-6, 5, 20), np.linspace(-2, 2, 14) ** 3),
    "Gauss-Legendre": Grid.gauss_legendre([-6, -5], [5, 7], [14, 11]),
    "three axes": BOX,
}
RNG = np.random.default_rng(6)


def random_normal(ndim):
    A = RNG.normal(size=(ndim, ndim))
    return MultivariateNormal(RNG.normal(size=ndim), A @ A.T + 0.5 * np.eye(ndim))


NORMALS = {ndim: [random_normal(ndim) for _ in range(4)] for ndim in (2, 3)}


def exact_normal(q, x):
    d = mp.matrix([mp.mpf(a) - mp.mpf(b) for a, b in zip(x, q.mean.tolist(), strict=True)])
    cov = mp.matrix(q.cov.tolist())
    return mp.exp(-(d.T * cov**-1 * d)[0] / 2) / mp.sqrt((2 * mp.pi) ** q.ndim * mp.det(cov))


def naive_points(grid):
    """(weight, point) one after the other, the last axis fastest."""
    for number in np.ndindex(grid.shape):
        yield (
            mp.fprod(mp.mpf(float(w[i])) for w, i in zip(grid.weights, number, strict=True)),
            [float(x[i]) for x, i in zip(grid.axes, number, strict=True)],
        )


@pytest.mark.parametrize("grid", GRIDS_OF_MORE_AXES.values(), ids=GRIDS_OF_MORE_AXES)
@pytest.mark.parametrize("scale", [1.0, 1e-4], ids=["densities", "logarithms"])
@pytest.mark.parametrize("bounded", [False, True])
def test_kl_integral_on_more_axes(grid, scale, bounded):
    parts = NORMALS[grid.ndim]
    # where q falls below the doubles, the logarithms are taken
    p, q = Mixture(parts[:3], [0.5, 0.3, 0.2]), MultivariateNormal(parts[3].mean, scale * parts[3].cov)
    if bounded:
        both = *p.record().bounded(), *q.record().bounded()
        total = kl_integral_of_bounded.total(grid.size, *both, 0.25, 1e-300, *grid.record())
    else:
        total = kl_integral.total(grid.size, *p.record(), *q.record(), 0.25, *grid.record())
    shares = zip(p.weights, p.components, strict=True)
    shares = list(shares)
    expected = [mp.mpf(0)] * 3
    for w, x in naive_points(grid):
        a = mp.fsum(mp.mpf(share) * exact_normal(part, x) for share, part in shares)
        b = mp.exp(0.25) * exact_normal(q, x)
        expected = [e + w * v for e, v in zip(expected, (a * mp.log(a / b) - a + b, a, b), strict=True)]
    # the exponents of q are up to 1e6 with scale 1e-4: an ulp of them is 1e-10
    np.testing.assert_allclose(total[:3], [float(e) for e in expected], rtol=2e-13 / scale, atol=1e-300)


@pytest.mark.parametrize("grid", GRIDS_OF_MORE_AXES.values(), ids=GRIDS_OF_MORE_AXES)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_log_density_on_more_axes(grid, stride):
    p = Mixture(NORMALS[grid.ndim][:3])
    out = np.empty(grid.count(stride))
    log_density(out.size, *p.record(grid), *grid.record(stride), 0, out)
    chosen = [np.append(x[:-1:stride], x[-1]) for x in grid.axes]
    points = np.stack(np.meshgrid(*chosen, indexing="ij"), axis=-1)
    np.testing.assert_allclose(out, p.logpdf(points).ravel(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("log", [False, True])
def test_a_table_on_another_grid_is_linear_in_the_log_along_every_axis(log):
    logs = RNG.normal(size=BOX.shape)
    logs[3, 4:6, 5] = -np.inf
    table = Tabulated(BOX, logs if log else np.exp(logs), log=log)
    grid = Grid.uniform([-5.5, -4, -6], [4, 4.5, 5], [13, 9, 17])
    out = np.empty(grid.size)
    log_density(grid.size, *table.record(grid), *grid.record(), 0, out)
    np.testing.assert_allclose(out, table.logpdf(grid.points(np.arange(grid.size))), rtol=1e-13)

    from scipy.interpolate import RegularGridInterpolator

    finite = Tabulated(BOX, RNG.normal(size=BOX.shape), log=True)
    linear = RegularGridInterpolator(BOX.axes, finite.values, bounds_error=False, fill_value=-np.inf)
    points = RNG.uniform([-5.5, -4.5, -6.5], [4.5, 5.5, 5.5], size=(300, 3))
    np.testing.assert_allclose(finite.logpdf(points) + finite.log_normalizer, linear(points), atol=1e-13)
    assert np.isnan(finite.logpdf([0.0, np.nan, 0.0]))
    nodes = BOX.points(np.arange(BOX.size))
    np.testing.assert_array_equal(np.isneginf(table.logpdf(nodes)), np.isneginf(logs.ravel()))


def test_bounds_hold_in_any_box():
    p = Mixture(NORMALS[3][:3], [0.5, 0.3, 0.2])
    record, bounds = p.record(), np.empty(2)
    for _ in range(40):
        lower = RNG.normal(scale=4.0, size=3)
        upper = lower + RNG.choice([0.0, 0.5, 6.0], size=3) * RNG.random(3)
        bounds_of(record, lower, upper, bounds)
        inside = p.logpdf(RNG.uniform(lower, upper, size=(400, 3)))
        assert bounds[0] <= inside.min() + 1e-12
        assert inside.max() <= bounds[1] + 1e-12


def test_what_is_skipped_is_negligible():
    p, q = Mixture(NORMALS[2][:3], [0.5, 0.3, 0.2]), NORMALS[2][3]
    n = 61 if JIT_DISABLED else 361
    grid = Grid.uniform([-90, -90], [90, 90], n)
    limit = 2.0**-64 / grid.volume
    every = kl_integral.total(grid.size, *p.record(), *q.record(), 0.0, *grid.record())
    both = *p.record().bounded(), *q.record().bounded()
    some = kl_integral_of_bounded.total(grid.size, *both, 0.0, limit, *grid.record())
    assert every[4] == 0
    assert some[4] > 0.8 * grid.size
    np.testing.assert_allclose(some[:3], every[:3], rtol=1e-14)


LINES = {f"one axis, {name}": grid for name, grid in GRIDS.items()}
GRIDS_OF_ANY_AXES = LINES | GRIDS_OF_MORE_AXES
every_grid = pytest.mark.parametrize("grid", GRIDS_OF_ANY_AXES.values(), ids=GRIDS_OF_ANY_AXES)


def mixture_on(grid):
    return P if grid.ndim == 1 else Mixture(NORMALS[grid.ndim][:3], [0.5, 0.3, 0.2])


def points_and_weights(grid, strides=None):
    """Of every so many-th node of each axis and always the last, by the trapezoid rule; shape (points, ndim)."""
    axes, weights = grid.axes, grid.weights
    if strides is not None and max(strides) > 1:
        axes = [np.append(x[:-1:s], x[-1]) for x, s in zip(axes, strides, strict=True)]
        padded = [np.pad(x, 1, mode="edge") for x in axes]
        weights = [0.5 * (x[2:] - x[:-2]) for x in padded]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    return points, np.prod(np.stack(np.meshgrid(*weights, indexing="ij")), axis=0).ravel()


def logs_of(p, points):
    return p.logpdf(points if p.ndim > 1 else points[:, 0])


def powers_of(z, degree):
    """Every monomial at every z, shape (monomials, points)."""
    return np.array([np.prod(z**power, axis=1) for power in exponents(z.shape[1], degree)])


def sums_and_sizes(terms):
    """Of each row of terms, and of their magnitudes, which is what a sum is accurate to."""
    return terms.sum(axis=-1), np.abs(terms).sum(axis=-1)


@every_grid
def test_density_moments(grid):
    p, D = mixture_on(grid), grid.ndim
    centre, slopes = np.array([0.4, -1.2, 0.7])[:D], np.array([0.3, 2.0, 0.1])[:D]
    M = len(exponents(D, DEGREE))
    sums = density_moments.total(
        grid.size, *p.record(grid), *grid.record(), centre, slopes, *monomials(D, DEGREE), outputs=M + 1
    )
    x, w = points_and_weights(grid)
    log_p = logs_of(p, x)
    share = w * np.exp(log_p)
    expected, sizes = sums_and_sizes(np.vstack([share * powers_of((x - centre) * slopes, DEGREE), share * log_p]))
    # each term is off by a few ulp of exponents of up to 30, and the sum of at most 1,000 by less
    np.testing.assert_array_less(np.abs(sums - expected), 1e-13 * sizes)


@pytest.mark.parametrize("log", [False, True])
def test_density_moments_of_a_table_with_zeros(grid, log):
    values = P.pdf(grid.axes[0])
    values[[0, 45, 77]] = 0.0
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    table = Tabulated(grid, logs if log else values, log=log)
    about = np.array([0.4]), np.array([0.3])
    sums = density_moments.total(
        grid.size, *table.record(grid), *grid.record(), *about, *monomials(1, DEGREE), outputs=4
    )
    share = grid.weights[0] * table.pdf(grid.axes[0])
    z = (grid.axes[0] - 0.4) * 0.3
    finite = np.where(share > 0, logs - table.log_normalizer, 0.0)
    expected, sizes = sums_and_sizes(np.array([share, share * z, share * z * z, share * finite]))
    np.testing.assert_array_less(np.abs(sums - expected), 1e-13 * sizes)


def tilted_sums(x, w, log_p, mean, W):
    """Sums of u and of u g times every monomial, the sizes of their terms, and what the window may leave out."""
    z = (x - mean) @ W.T
    square = (z**2).sum(axis=1)
    u, g = w * np.exp(-0.5 * square), -0.5 * square - log_p
    powers = powers_of(z, TILTED_DEGREE)
    terms = np.vstack([u * powers, u * g * powers])
    return *sums_and_sizes(terms), np.abs(terms[:, square > WINDOW**2]).sum(axis=1)


def tasks_of(points, cut):
    """Runs of all points of each Normal that end anywhere, also within a row."""
    tasks = []
    for k, n in enumerate(points):
        ends = [0, *(int(share * n) for share in cut), n]
        tasks += [(k, begin, end) for begin, end in pairwise(ends)]
    return np.array(tasks, dtype=np.int64)


@every_grid
@pytest.mark.parametrize("size", [1.0, 0.3], ids=["wide", "narrow"])
def test_normal_moments(grid, size):
    p, D = mixture_on(grid), grid.ndim
    even = all(axis.rule == "trapezoid" for axis in grid.parts)
    strides = np.array([[1, 1, 1], [2, 3, 1]] if even else [[1, 1, 1]] * 2)[:, :D]
    lower = np.tril(np.array([[1.1, 0.0, 0.0], [-0.3, 0.9, 0.0], [0.4, 0.2, 0.8]])[:D, :D])
    corner, extent = np.array(grid.lower), np.subtract(grid.upper, grid.lower)
    means = corner + np.array([[0.55, 0.4, 0.6], [0.35, 0.65, 0.5]])[:, :D] * extent
    whitenings = np.stack([lower, 1.3 * lower]) / size
    tasks = tasks_of([grid.count(own) for own in strides.tolist()], (0.3, 0.31, 0.7))
    geometries = np.repeat(grid.record().geometry[np.newaxis], 2, axis=0)
    geometries[:, :, STRIDE] = strides
    nodes, weights, _ = grid.record()
    M = len(exponents(D, TILTED_DEGREE))
    found = normal_moments(
        len(tasks), tasks, means, whitenings, geometries, *p.record(grid), nodes, weights,
        *monomials(D, TILTED_DEGREE), length=1, outputs=2 * M,
    )  # fmt: skip
    for k, own in enumerate(strides):
        x, w = points_and_weights(grid, own)
        sums = found[tasks[:, 0] == k].sum(axis=0)
        expected, sizes, beyond = tilted_sums(x, w, logs_of(p, x), means[k], whitenings[k])
        # an ulp of an exponent of up to 40 in every term, and what lies beyond the window; the exponential stays above
        # 1e-308 and monomials are up to 1e8
        np.testing.assert_array_less(np.abs(sums - expected), 2e-14 * sizes + beyond + 1e-290)
        assert sums[0] > 0


SIDES = {
    "a point": 1,
    "a few": 3,
    "half a block and one": BLOCK // 2 + 1,
    "a block": BLOCK,
    "a block and some": BLOCK + 7,
    "blocks": 3 * BLOCK - 1,
}


def peaks_of(p, grid, sides, in_strip):
    """(the largest log-density of each cell, whether a zero was seen)."""
    cells = np.array([-(-n // side) for n, side in zip(grid.shape, sides, strict=True)], dtype=np.int64)
    peaks = np.full(int(np.prod(cells)), -np.inf)
    strips = int(np.prod(cells[:-1])) * -(-int(cells[-1]) // in_strip)
    zeros = cell_peaks(
        strips, *p.record(grid), *grid.record(), np.array(sides, np.int64), cells, in_strip, peaks, length=1
    )
    return peaks.reshape(cells), bool(zeros.any())


def expected_peaks(logs, sides):
    for axis, side in enumerate(sides):
        logs = np.maximum.reduceat(logs, np.arange(0, logs.shape[axis], side), axis=axis)
    return logs


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("in_strip", [1, 4])
def test_cell_peaks_on_one_axis(side, in_strip):
    n = 5 * BLOCK + 17
    logs = RNG.normal(size=n) * 10.0 ** RNG.integers(-3, 3, size=n)  # of both signs
    table = Tabulated(Grid.uniform(0, 1, n), logs, log=True)
    peaks, has_zero = peaks_of(table, table.grid, [side], in_strip)
    np.testing.assert_array_equal(peaks, expected_peaks(logs - table.log_normalizer, [side]))
    assert not has_zero


@pytest.mark.parametrize("sides", [(1, 1, 1), (3, 2, 4), (2, 20, 5), (9, 10, 11)], ids=str)
def test_cell_peaks_on_three_axes(sides):
    logs = RNG.normal(size=BOX.shape)
    table = Tabulated(BOX, logs, log=True)
    peaks, has_zero = peaks_of(table, BOX, sides, 2)
    np.testing.assert_array_equal(peaks, expected_peaks(logs - table.log_normalizer, sides))
    assert not has_zero


def test_cell_peaks_of_a_mixture():
    grid = GRIDS_OF_MORE_AXES["a uniform axis and given nodes"]
    p = mixture_on(grid)
    peaks, has_zero = peaks_of(p, grid, [5, 3], 3)
    logs = logs_of(p, points_and_weights(grid)[0]).reshape(grid.shape)
    np.testing.assert_allclose(peaks, expected_peaks(logs, [5, 3]), rtol=1e-13, atol=1e-13)
    assert not has_zero


@pytest.mark.parametrize("zero", [0, BLOCK] if JIT_DISABLED else [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 16])
@pytest.mark.parametrize("side", [7] if JIT_DISABLED else [1, 7, BLOCK + 7])
@pytest.mark.parametrize("log", [False, True])
def test_cell_peaks_see_a_single_zero(zero, side, log):
    n = 5 * BLOCK + 17
    values = np.full(n, 2.0)
    values[zero] = -np.inf if log else 0.0
    table = Tabulated(Grid.uniform(0, 1, n), values, log=log)
    peaks, has_zero = peaks_of(table, table.grid, [side], 4)
    assert has_zero
    expected = np.where(np.arange(n) == zero, -np.inf, table.logpdf(0.5))
    np.testing.assert_allclose(peaks, expected_peaks(expected, [side]), rtol=1e-15)


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
    geometries = np.repeat(grid.record().geometry[np.newaxis], len(states), axis=0)
    geometries[:, 0, STRIDE] = strides
    tasks = tasks_of([grid.count(stride) for stride in strides], cut)
    nodes, weights, _ = grid.record()
    partial = score_sums(
        len(tasks), tasks, chart.scores.address, chart.parameters(states), len(chart.names), by_p, geometries,
        *p.record(grid), nodes, weights, length=1,
    )  # fmt: skip
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
    "gamma": ((3.4, 0.2), lambda x, state: (np.log(x / state[1]), x / state[1])),
    "beta": ((3.0, 4.0), lambda x, state: (np.log(x), np.log1p(-x))),
    "log_normal": ((-0.7, 0.5), lambda x, state: ((np.log(x) - state[0]) / state[1],) * 2),
}
"""A state whose density is 0 at the ends of its support, and both statistics; the second of log_normal is a square."""


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", STATISTICS)
def test_statistic_sums(name, stride):
    chart, (state, of_x) = SCORES[name][0], STATISTICS[name]
    grid = Grid.uniform(0, 1, 130)  # with both ends, where statistics are infinite and p is 0
    with np.errstate(divide="ignore"):
        logs = 2 * np.log(grid.axes[0]) + np.log1p(-grid.axes[0])
    p, state = Tabulated(grid, logs + P.logpdf(grid.axes[0]), log=True), np.array(state)
    sums = statistic_sums.total(
        grid.count(stride), chart.of_x.address, *chart.linear(state), *p.record(grid), *grid.record(stride)
    )
    points, w = points_and_weights(grid, [stride])
    x = points[:, 0]
    of_q = w * chart.density(state).pdf(x)
    inside = slice(1, -1)
    log_p, log_q = p.logpdf(x[inside]), chart.density(state).logpdf(x[inside])
    share = w[inside] * np.exp(log_p)
    first, second = of_x(x[inside], state)
    second = second**2 if name == "log_normal" else second
    term = share * (log_p - log_q) - share + of_q[inside]
    rows = [term, share, of_q[inside], of_q[inside] - share, 0 * term, share * (log_p - log_q), share * first]
    expected, sizes = sums_and_sizes(np.vstack([*rows, share * second]))
    ends = of_q.sum() - of_q[inside].sum()  # q alone is there
    expected[[DIVERGENCE, MASS_B, SURPLUS]] += ends
    sizes += (share * (abs(log_p) + abs(log_q))).sum()  # of which the terms are differences
    np.testing.assert_array_less(np.abs(sums - expected), 1e-14 * sizes)
