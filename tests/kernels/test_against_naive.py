"""Every kernel against a slow, readable oracle."""

import mpmath as mp
import numpy as np
import pytest

from fastkl import Grid, Mixture, Normal, Tabulated
from fastkl.kernels import moments as m
from fastkl.kernels.integrals import kl_integral, kl_integral_of_values
from fastkl.kernels.log_density import log_density
from fastkl.kernels.moments import cell_moments, normal_moments
from fastkl.kernels.sums import kl_sums
from tests import naive

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


@pytest.mark.parametrize("kernel", ["logs", "values"])
def test_kl_integral(grid, kernel):
    x = grid.axes[0]
    if kernel == "logs":
        p, q = [exact_p(node) for node in x], [exact_q(node) for node in x]
        total = kl_integral.total(grid.size, *P.record(grid), *Q.record(grid), 0.25, *grid.record())
    else:
        a, b = P.pdf(x), Q.pdf(x)
        p, q = [mp.mpf(v) for v in a], [mp.mpf(v) for v in b]
        total = kl_integral_of_values.total(grid.size, a, b, np.exp(0.25), *grid.record())
    w, q = naive.trapezoid_weights(x), [mp.exp(0.25) * v for v in q]
    expected = [
        mp.fsum(wi * (a * mp.log(a / b) - a + b) for wi, a, b in zip(w, p, q, strict=True)),
        mp.fdot(w, p),
        mp.fdot(w, q),
        mp.fsum(wi * (b - a) for wi, a, b in zip(w, p, q, strict=True)),
    ]
    np.testing.assert_allclose(total, [float(e) for e in expected], rtol=2e-14)


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
