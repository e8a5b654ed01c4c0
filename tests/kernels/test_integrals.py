"""KL integrals, and what they skip, against the oracle."""

import mpmath as mp
import numpy as np
import pytest

from fastkl import Grid, Mixture, MultivariateNormal
from fastkl.jit import JIT_DISABLED, tiled
from fastkl.kernels.integrals import (
    kl_integral,
    kl_integral_of_bounded,
    kl_integral_of_logs,
    kl_integral_of_values,
)
from fastkl.kernels.interfaces import bound
from fastkl.kernels.records import BOUNDS_OF
from fastkl.kernels.sums import kl_sums
from tests import naive
from tests.kernels.cases import (
    GRIDS_OF_MORE_AXES,
    NORMALS,
    P,
    Q,
    exact_normal,
    exact_p,
    exact_q,
    naive_points,
)

RNG = np.random.default_rng(8)


@tiled(outputs=0)
def box_bounds(partial, start, stop, p, lower, upper, out):
    bound(p.functions[BOUNDS_OF], p.parts, p.components, p.values, p.nodes, lower, upper, out)


def test_kl_sums():
    rng = np.random.default_rng(2)
    p, q = rng.random(500), rng.random(500)
    p[::7] = 0.0
    expected = [
        mp.fsum(naive.kl_term(a, b) if a else mp.mpf(b) for a, b in zip(p, q, strict=True)),
        mp.fsum(map(mp.mpf, p)),
        mp.fsum(mp.mpf(b) - mp.mpf(a) for a, b in zip(p, q, strict=True)),
    ]
    np.testing.assert_allclose(kl_sums.total(p.size, p, q), [float(e) for e in expected], rtol=1e-14)


@pytest.mark.parametrize("kernel", ["formulas", "logs", "values"])
def test_kl_integral(grid, kernel):
    x = grid.axes[0]
    if kernel == "formulas":
        p, q = [exact_p(node) for node in x], [exact_q(node) for node in x]
        total = kl_integral.total(
            grid.size, P._evaluation(grid).by_logs(), Q._evaluation(grid).by_logs(), 0.25, grid._record()
        )
    elif kernel == "logs":
        a, b = P.logpdf(x), Q.logpdf(x)
        p, q = [mp.exp(v) for v in a], [mp.exp(v) for v in b]
        total = kl_integral_of_logs.total(grid.size, a - 1.0, b + 2.0, 1.0, 0.25 - 2.0, grid._record())
    else:
        a, b = P.pdf(x), Q.pdf(x)
        p, q = [mp.mpf(v) for v in a], [mp.mpf(v) for v in b]
        total = kl_integral_of_values.total(grid.size, a, b, 0.0, np.exp(0.25), grid._record())
    w, q = naive.trapezoid_weights(x), [mp.exp(0.25) * v for v in q]
    expected = [
        mp.fsum(wi * (a * mp.log(a / b) - a + b) for wi, a, b in zip(w, p, q, strict=True)),
        mp.fdot(w, p),
        mp.fdot(w, q),
        mp.fsum(wi * (b - a) for wi, a, b in zip(w, p, q, strict=True)),
    ]
    np.testing.assert_allclose(total[:4], [float(e) for e in expected], rtol=2e-14)
    assert total[4] == 0  # points skipped


@pytest.mark.study
@pytest.mark.parametrize("grid", GRIDS_OF_MORE_AXES.values(), ids=GRIDS_OF_MORE_AXES)
@pytest.mark.parametrize("scale", [1.0, 1e-4], ids=["densities", "logarithms"])
@pytest.mark.parametrize("bounded", [False, True])
def test_kl_integral_on_more_axes(grid, scale, bounded):
    parts = NORMALS[grid.ndim]
    # where q falls below the doubles, the logarithms are taken
    p, q = Mixture(parts[:3], [0.5, 0.3, 0.2]), MultivariateNormal(parts[3].mean, scale * parts[3].cov)
    if bounded:
        both = p._evaluation().by_all(), q._evaluation().by_all()
        total = kl_integral_of_bounded.total(grid.size, *both, 0.25, 1e-300, grid._record())
    else:
        total = kl_integral.total(grid.size, p._evaluation().by_logs(), q._evaluation().by_logs(), 0.25, grid._record())
    shares = zip(p.weights, p.components, strict=True)
    shares = list(shares)
    expected = [mp.mpf(0)] * 3
    for w, x in naive_points(grid):
        a = mp.fsum(mp.mpf(share) * exact_normal(part, x) for share, part in shares)
        b = mp.exp(0.25) * exact_normal(q, x)
        expected = [e + w * v for e, v in zip(expected, (a * mp.log(a / b) - a + b, a, b), strict=True)]
    # the exponents of q are up to 1e6 with scale 1e-4: an ulp of them is 1e-10
    np.testing.assert_allclose(total[:3], [float(e) for e in expected], rtol=2e-13 / scale, atol=1e-300)


def test_bounds_hold_in_any_box():
    p = Mixture(NORMALS[3][:3], [0.5, 0.3, 0.2])
    record, bounds = p._evaluation().by_all(), np.empty(2)
    for _ in range(40):
        lower = RNG.normal(scale=4.0, size=3)
        upper = lower + RNG.choice([0.0, 0.5, 6.0], size=3) * RNG.random(3)
        box_bounds(1, record, lower, upper, bounds)
        inside = p.logpdf(RNG.uniform(lower, upper, size=(400, 3)))
        assert bounds[0] <= inside.min() + 1e-12
        assert inside.max() <= bounds[1] + 1e-12


def test_what_is_skipped_is_negligible():
    p, q = Mixture(NORMALS[2][:3], [0.5, 0.3, 0.2]), NORMALS[2][3]
    n = 61 if JIT_DISABLED else 361
    grid = Grid.uniform([-90, -90], [90, 90], n)
    limit = 2.0**-64 / grid.volume
    every = kl_integral.total(grid.size, p._evaluation().by_logs(), q._evaluation().by_logs(), 0.0, grid._record())
    both = p._evaluation().by_all(), q._evaluation().by_all()
    some = kl_integral_of_bounded.total(grid.size, *both, 0.0, limit, grid._record())
    assert every[4] == 0
    assert some[4] > 0.8 * grid.size
    np.testing.assert_allclose(some[:3], every[:3], rtol=1e-14)
