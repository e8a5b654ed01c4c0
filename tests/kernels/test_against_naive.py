"""Every kernel against a slow, readable oracle."""

import mpmath as mp
import numpy as np
import pytest

from fastkl import Grid, Mixture, MultivariateNormal, Normal, Tabulated
from fastkl.jit import JIT_DISABLED, tiled
from fastkl.kernels import moments as m
from fastkl.kernels.density import bound, log_density
from fastkl.kernels.integrals import kl_integral, kl_integral_of_bounded, kl_integral_of_logs, kl_integral_of_values
from fastkl.kernels.moments import cell_moments, normal_moments
from fastkl.kernels.records import BOUNDS_OF
from fastkl.kernels.sums import kl_sums
from tests import naive


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


def test_cell_moments(grid):
    cells = cell_moments(grid.size, *P.record(grid), *grid.record(), length=20)
    x, w = grid.axes[0], naive.trapezoid_weights(grid.axes[0])
    for number, cell in enumerate(cells):
        inside = range(20 * number, min(20 * number + 20, grid.size))
        share = [w[i] * exact_p(x[i]) for i in inside]
        distance = [mp.mpf(x[i]) - mp.mpf(cell[m.CENTRE]) for i in inside]
        expected = [mp.fsum(s * d**k for s, d in zip(share, distance, strict=True)) for k in range(3)]
        scale = float(expected[0])
        np.testing.assert_allclose(
            cell[[m.MASS, m.FIRST, m.SECOND]], [float(e) for e in expected], rtol=1e-13, atol=1e-13 * scale
        )
        peak = max(inside, key=lambda i: exact_p(x[i]))
        assert cell[m.PEAK_INDEX] == peak
        assert cell[m.ZERO_INDEX] == -1
        np.testing.assert_allclose(cell[m.PEAK], float(mp.log(exact_p(x[peak]))), rtol=1e-13)


def test_cell_moments_name_the_first_zero(grid):
    values = np.ones(grid.size)
    values[[45, 77]] = 0.0
    cells = cell_moments(grid.size, *Tabulated(grid, values).record(grid), *grid.record(), length=20)
    assert [int(z) for z in cells[:, m.ZERO_INDEX] if z >= 0] == [45, 77]


def test_normal_moments(grid):
    loc, scale = 0.4, 1.3
    sums = normal_moments.total(grid.size, loc, scale, *P.record(grid), *grid.record())
    x, w = grid.axes[0], naive.trapezoid_weights(grid.axes[0])
    z = [(mp.mpf(node) - mp.mpf(loc)) / mp.mpf(scale) for node in x]
    u = [wi * mp.exp(-zi * zi / 2) for wi, zi in zip(w, z, strict=True)]
    g = [-zi * zi / 2 - mp.log(exact_p(node)) for zi, node in zip(z, x, strict=True)]
    expected = [mp.fsum(ui * zi**k for ui, zi in zip(u, z, strict=True)) for k in range(5)]
    expected += [mp.fsum(ui * zi**k * gi for ui, zi, gi in zip(u, z, g, strict=True)) for k in range(5)]
    # odd sums cancel: the error is relative to the sum of magnitudes, which is about 10
    np.testing.assert_allclose(sums, [float(e) for e in expected], rtol=1e-13, atol=1e-13)


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
