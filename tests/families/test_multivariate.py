"""Densities and divergences in several dimensions: laws, closed forms, SciPy, and tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fastkl import Grid, Mixture, MultivariateNormal, Normal, Tabulated, kl_divergence
from fastkl.jit import JIT_DISABLED
from tests import naive
from tests.jit import test_bits as bits

RNG = np.random.default_rng(31)

pytestmark = pytest.mark.filterwarnings("ignore:the grid is too coarse")
"""Laws hold on any grid, and small ones are fast."""

N = {2: 13, 3: 8, 4: 8} if JIT_DISABLED else {2: 121, 3: 61, 4: 21}
"""Points on an axis."""


def covariance(ndim, spread=1.0):
    A = RNG.normal(size=(ndim, ndim))
    return spread * (0.3 * A @ A.T + np.eye(ndim))


def normal(ndim, spread=1.0):
    return MultivariateNormal(RNG.uniform(-0.5, 0.5, ndim), covariance(ndim, spread))


def box(ndim, reach=9.0):
    return Grid.uniform([-reach] * ndim, [reach] * ndim, N[ndim])


NORMALS = {ndim: (normal(ndim), normal(ndim, 1.5)) for ndim in (2, 3, 4)}
MIXTURES = {
    ndim: (
        Mixture([normal(ndim), MultivariateNormal(1.5 * np.ones(ndim), covariance(ndim, 0.7))], [0.3, 0.7]),
        Mixture([normal(ndim, 2.0), normal(ndim), normal(ndim, 1.4)], [0.2, 0.5, 0.3]),
    )
    for ndim in (2, 3, 4)
}
several = pytest.mark.parametrize("ndim", [2, 3] if JIT_DISABLED else [2, 3, 4])
two_or_three = pytest.mark.parametrize("ndim", [2] if JIT_DISABLED else [2, 3])
compiled = pytest.mark.skipif(JIT_DISABLED, reason="hundreds of thousands of points take minutes in plain Python")


def by_scipy(p, q, grid):
    """KL of p and q, both normalised on the grid, and the logarithm of the ratio of their masses: see the docstring."""
    mesh = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)
    w = math.prod(np.ix_(*grid.weights))
    logs = []
    for density in (p, q):
        parts = (
            zip(density.weights, density.components, strict=True) if isinstance(density, Mixture) else [(1, density)]
        )
        logs.append(np.logaddexp.reduce([math.log(s) + part.to_scipy().logpdf(mesh) for s, part in parts]))
    mass = [(w * np.exp(log)).sum() for log in logs]
    a = np.exp(logs[0]) / mass[0]
    inside = [min(1.0, m) for m in mass]
    log_ratio = logs[0] - logs[1] - math.log(mass[0] / mass[1])
    return (w * a * log_ratio).sum() + max(math.log(inside[0] / inside[1]), 0.0)


@several
def test_log_densities_are_scipys(ndim):
    points = RNG.normal(scale=3.0, size=(5, 7, ndim))
    for p in (*NORMALS[ndim], MIXTURES[ndim][0]):
        parts = zip(p.weights, p.components, strict=True) if isinstance(p, Mixture) else [(1.0, p)]
        expected = np.logaddexp.reduce([math.log(w) + part.to_scipy().logpdf(points) for w, part in parts])
        assert p.logpdf(points).shape == (5, 7)
        # z'z of up to 100, each from a product with a matrix of condition 10
        np.testing.assert_allclose(p.logpdf(points), expected, rtol=1e-13)
        np.testing.assert_allclose(p.pdf(points), np.exp(expected), rtol=1e-11)
        assert np.shape(p.logpdf(points[0, 0])) == ()


@several
@pytest.mark.parametrize("kind", [NORMALS, MIXTURES], ids=["Normals", "mixtures"])
def test_a_divergence_on_a_grid_is_the_sum_of_its_definition(ndim, kind):
    p, q = kind[ndim]
    # Tails are cut off and steps are wide here: only the definition on the grid counts. SciPy's sum cancels, and its
    # log-densities of up to 100 are rounded.
    grid = Grid.uniform([-5.0] * ndim, np.arange(4.0, 4.0 + ndim), [N[ndim] + 1, *[N[ndim]] * (ndim - 1)])
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(kl_divergence(p, q, grid), by_scipy(p, q, grid), rtol=1e-11)


@compiled
@pytest.mark.parametrize(("ndim", "n", "rtol"), [(2, 241, 1e-13), (3, 121, 1e-13), (4, 31, 1e-4)])
def test_a_divergence_of_normals_is_the_closed_form(ndim, n, rtol):
    p, q = NORMALS[ndim]
    # the box reaches to nine of the largest scales; with a step of a scale the error is exp(-2 pi**2) and more
    grid = Grid.uniform([-15.0] * ndim, [15.0] * ndim, n)
    np.testing.assert_allclose(kl_divergence(p, q, grid), kl_divergence(p, q), rtol=rtol)


@compiled
@pytest.mark.parametrize("make", [Grid.gauss_legendre, Grid.uniform], ids=["Gauss-Legendre", "trapezoid"])
def test_rules_agree(make):
    p, q = MIXTURES[2]
    reference = kl_divergence(p, q, Grid.uniform([-10, -10], [10, 10], 401))
    # what lies off the box is 1e-15; 150 nodes resolve scales of 0.8 on a length of 20 to rounding
    np.testing.assert_allclose(kl_divergence(p, q, make([-10, -10], [10, 10], 150)), reference, rtol=1e-12)
    nodes = np.linspace(-10, 10, 401)
    for grid in (Grid.from_axes(nodes, nodes), Grid.from_edges(np.append(nodes, 10.05), np.append(nodes, 10.05))):
        # the trapezoid and the midpoint rule at other nodes are as good for what has decayed at the ends
        np.testing.assert_allclose(kl_divergence(p, q, grid), reference, rtol=1e-12)


@several
@pytest.mark.parametrize("kind", [NORMALS, MIXTURES], ids=["Normals", "mixtures"])
def test_gibbs(ndim, kind):
    p, q = kind[ndim]
    grid = Grid.uniform([-6.0] * ndim, [5.0] * ndim, min(N[ndim], 21))
    assert kl_divergence(p, q, grid) > 0.0
    assert kl_divergence(p, p, grid) == 0.0
    assert kl_divergence(p, p) == 0.0


def moved(p, A, b):
    """The density of A x + b."""
    if isinstance(p, Mixture):
        return Mixture([moved(part, A, b) for part in p.components], p.weights)
    return MultivariateNormal(A @ p.mean + b, A @ p.cov @ A.T)


@several
def test_a_closed_form_does_not_change_under_affine_maps(ndim):
    p, q = NORMALS[ndim]
    A, b = RNG.normal(size=(ndim, ndim)) + 2 * np.eye(ndim), RNG.normal(size=ndim)
    # the map's condition number is about 10
    np.testing.assert_allclose(kl_divergence(moved(p, A, b), moved(q, A, b)), kl_divergence(p, q), rtol=1e-12)


@two_or_three
def test_a_sum_does_not_change_when_the_axes_are_stretched(ndim):
    p, q = MIXTURES[ndim]
    factors, b = np.array([0.25, 8.0, 2.0])[:ndim], np.array([3.0, -1.0, 0.5])[:ndim]
    n = min(N[ndim], 41)
    grid = Grid.uniform([-6.0] * ndim, [6.0] * ndim, n)
    stretched = Grid.uniform(-6.0 * factors + b, 6.0 * factors + b, n)
    value = kl_divergence(moved(p, np.diag(factors), b), moved(q, np.diag(factors), b), stretched)
    # nodes and means are rounded beside b: 3 beside a scale of 0.25
    np.testing.assert_allclose(value, kl_divergence(p, q, grid), rtol=1e-12)


@several
def test_the_order_of_axes_does_not_matter(ndim):
    p, q = MIXTURES[ndim]
    order = np.roll(np.arange(ndim), 1)
    P = np.eye(ndim)[order]
    lower, upper, n = -5.0 - np.arange(ndim), 6.0 + np.arange(ndim), 8 + np.arange(ndim)
    value = kl_divergence(p, q, Grid.uniform(lower, upper, n))
    permuted = kl_divergence(
        moved(p, P, np.zeros(ndim)), moved(q, P, np.zeros(ndim)), Grid.uniform(lower[order], upper[order], n[order])
    )
    np.testing.assert_allclose(permuted, value, rtol=1e-13)  # another Cholesky factor, another order of sums


def product(p, q):
    """The density of a pair of independent numbers."""
    parts = [
        (v * w, MultivariateNormal([a.loc, b.loc], np.diag([a.scale**2, b.scale**2])))
        for v, a in zip(p.weights, p.components, strict=True)
        for w, b in zip(q.weights, q.components, strict=True)
    ]
    return Mixture([part for _, part in parts], [w for w, _ in parts])


def test_divergences_of_independent_numbers_add_up():
    def line(*parts):
        return Mixture([Normal(loc, scale) for loc, scale in parts])

    p, q = (line((-1, 0.8), (1.5, 1)), line((0, 1))), (line((0, 1.5)), line((0.5, 1), (-1, 1.3)))
    grids = Grid.uniform(-7, 7, 41), Grid.uniform(-6, 7, 45)
    both = Grid(grids[0]._parts + grids[1]._parts)
    # On each axis tails of up to 1e-5 are cut off, and log(A/B) counts where it is positive: of the product that is
    # the sum of the two, which have the same sign.
    expected = [kl_divergence(a, b, grid) for a, b, grid in zip(p, q, grids, strict=True)]
    results = [kl_divergence(a, b, grid, full_output=True) for a, b, grid in zip(p, q, grids, strict=True)]
    assert all(r.mass_outside_q > r.mass_outside_p for r in results)
    np.testing.assert_allclose(kl_divergence(product(*p), product(*q), both), sum(expected), rtol=1e-12)


def test_one_dimension_is_the_line():
    x = np.linspace(-4, 5, 11)
    p, q = MultivariateNormal([0.5], [[4.0]]), MultivariateNormal([-1.0], [[1.0]])
    np.testing.assert_allclose(p.logpdf(x), Normal(0.5, 2).logpdf(x), rtol=1e-15)
    assert (p.std, p.ndim) == (2.0, 1)
    assert kl_divergence(p, q) == kl_divergence(Normal(0.5, 2), Normal(-1, 1))
    grid = Grid.uniform(-12, 13, 301)
    assert kl_divergence(p, q, grid) == kl_divergence(Normal(0.5, 2), Normal(-1, 1), grid)
    both = Mixture([p, Normal(3, 1)])
    same = Mixture([Normal(0.5, 2), Normal(3, 1)])
    assert (both.mean, both.std) == (same.mean, same.std)
    np.testing.assert_allclose(kl_divergence(both, q, grid), kl_divergence(same, q, grid), rtol=1e-14)


def test_moments_of_mixtures():
    for ndim in (2, 3):
        p = MIXTURES[ndim][0]
        mean = sum(w * part.mean for w, part in zip(p.weights, p.components, strict=True))
        second = sum(
            w * (part.cov + np.outer(part.mean, part.mean)) for w, part in zip(p.weights, p.components, strict=True)
        )
        np.testing.assert_allclose(p.mean, mean, rtol=1e-14)
        np.testing.assert_allclose(p.cov, second - np.outer(mean, mean), rtol=1e-13)
        with pytest.raises(TypeError, match="covariance"):
            _ = p.std


def test_mass_outside_is_a_bound():
    p = NORMALS[2][0]
    grid = Grid.uniform([-2, -1.5], [2.5, 2], 9)
    exact = 1.0 - p.to_scipy().cdf(grid.upper, lower_limit=grid.lower)
    assert exact < p.mass_outside(grid) < 2 * exact  # the corners count twice
    for kind in (NORMALS, MIXTURES):
        result = kl_divergence(*kind[2], Grid.uniform([-6, -6], [6, 6], N[2]), full_output=True)
        assert 0.0 < result.mass_outside_p < 1e-3


def test_full_output_accounts_for_a_plane():
    p, q = NORMALS[2]
    grid = box(2)
    result = kl_divergence(p, q, grid, full_output=True)
    assert result.n_evaluated + result.n_skipped == grid.size
    assert result.method == "trapezoid"
    assert result.first_infinite is None
    if not JIT_DISABLED:  # 17 points on an axis are too few
        assert abs(result.value - kl_divergence(p, q)) <= result.error < 1e-9


def test_a_grid_too_coarse_along_one_axis_is_reported():
    p = MultivariateNormal([0, 0], np.diag([1.0, 0.01**2]))
    q = MultivariateNormal([0, 0], np.diag([1.0, 0.02**2]))
    with pytest.warns(UserWarning, match=r"too coarse for a MultivariateNormal of scale 0\.01 at 0: its step is 0\.5"):
        result = kl_divergence(p, q, Grid.uniform([-8, -8], [8, 8], 33), full_output=True)
    assert result.error == math.inf


def test_a_grid_that_misses_p_is_reported():
    p, q = MultivariateNormal([0, 20], np.eye(2)), MultivariateNormal([0, 0], 10 * np.eye(2))
    with pytest.warns(UserWarning, match="misses p: 1 of its mass"):
        kl_divergence(p, q, Grid.uniform([-9, -9], [9, 9], 33))


# Tables


def table(p, grid, log=True, constant=0.0):
    logs = p.logpdf(grid.points(np.arange(grid.size))).reshape(grid.shape) + constant
    return Tabulated(grid, logs if log else np.exp(logs), log=log)


@pytest.mark.parametrize("log", [False, True], ids=["values", "logarithms"])
@two_or_three
def test_a_table_of_a_formula(ndim, log):
    p, q = MIXTURES[ndim]
    grid = Grid.uniform([-9.0] * ndim, [10.0] * ndim, 11 if JIT_DISABLED else 41 if ndim == 3 else 121)
    t = table(p, grid, log, 7.5)
    points = grid.points(np.arange(grid.size))
    w = math.prod(np.ix_(*grid.weights)).ravel()
    density = p.pdf(points)
    mass = w @ density
    np.testing.assert_allclose(t.log_normalizer, 7.5 + math.log(mass), rtol=1e-13)
    # the sum over the grid is what the table has for its mean, whatever the step
    mean = (w * density) @ points / mass
    offsets = points - mean
    np.testing.assert_allclose(t.mean, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(t.cov, (offsets.T * (w * density)) @ offsets / mass, rtol=1e-12, atol=1e-13)
    # A formula's mass counts as at most 1, a table's as 1; with log(A/B) of 0 both are conditioned on the grid alike.
    expected = kl_divergence(table(p, grid), table(q, grid))
    np.testing.assert_allclose(kl_divergence(t, table(q, grid, log, -3.0)), expected, rtol=1e-12)
    lost = max(-math.log(min(1.0, w @ q.pdf(points))), 0.0)
    np.testing.assert_allclose(kl_divergence(t, q), expected + lost, rtol=1e-12)
    with pytest.raises(TypeError, match="covariance"):
        _ = t.std


def test_a_table_is_a_sum_over_its_nodes():
    grid = Grid.from_axes(np.sort(RNG.random(9)), np.sort(RNG.random(11)))
    a, b = RNG.random((2, 9, 11))
    a[2, 3] = 0.0
    w = [naive.mp.mpf(x) for x in math.prod(np.ix_(*grid.weights)).ravel()]
    p, q = ([naive.mp.mpf(x) for x in v.ravel()] for v in (a, b))
    P, Q = naive.mp.fdot(w, p), naive.mp.fdot(w, q)
    exact = naive.mp.fsum(wi * x / P * naive.mp.log(x / P * Q / y) for wi, x, y in zip(w, p, q, strict=True) if x)
    # sums of 99 non-negative terms of a few ulp each, and weights that are rounded
    assert naive.relative(kl_divergence(Tabulated(grid, a), Tabulated(grid, b)), exact) < 1e-14


@two_or_three
def test_a_table_on_another_grid(ndim):
    # the logarithm of this density is linear between the nodes, along every axis
    n = 9 if JIT_DISABLED else 17
    grid = Grid.uniform([0.0] * ndim, [2.0] * ndim, n)
    fine = Grid.uniform([0.0] * ndim, [2.0] * ndim, 2 * n - 1)

    def log_density(x):
        return -1.5 * x[:, 0] + 0.5 * x[:, 1] * x[:, 0]

    tables = [Tabulated(g, log_density(g.points(np.arange(g.size))).reshape(g.shape), log=True) for g in (grid, fine)]
    q = MultivariateNormal(np.ones(ndim), np.eye(ndim))
    # both have the same values at the nodes of the fine grid, up to a constant and rounding
    np.testing.assert_allclose(kl_divergence(tables[0], q, fine), kl_divergence(tables[1], q, fine), rtol=1e-13)
    assert kl_divergence(tables[0], tables[1], fine) < 1e-28  # a square of rounding errors
    inner = Grid.uniform([0.5] * ndim, [1.5] * ndim, 8)
    assert kl_divergence(tables[0], tables[0], inner) == 0.0


@two_or_three
@pytest.mark.parametrize("log", [False, True], ids=["values", "logarithms"])
def test_where_q_is_zero_the_divergence_is_infinite_and_says_where(ndim, log):
    grid = Grid.from_axes(*[np.sort(RNG.random(9 + d)) for d in range(ndim)])
    zeros = np.ones(grid.shape)
    places = [(3, 4, 2)[:ndim], (3, 8, 1)[:ndim], (7, 0, 0)[:ndim]]
    for place in places:
        zeros[place] = 0.0
    with np.errstate(divide="ignore"):
        q = Tabulated(grid, np.log(zeros) if log else zeros, log=log)
    result = kl_divergence(Tabulated(grid, np.ones(grid.shape)), q, full_output=True)
    assert result.value == math.inf
    assert math.isnan(result.error)
    assert result.first_infinite == tuple(float(x[i]) for x, i in zip(grid.axes, places[0], strict=True))
    assert 0.0 < kl_divergence(q, Tabulated(grid, np.ones(grid.shape))) < math.inf
    assert kl_divergence(q, q) == 0.0


def test_to_scipy():
    p = NORMALS[3][0]
    frozen = p.to_scipy()
    np.testing.assert_array_equal(frozen.mean, p.mean)
    np.testing.assert_array_equal(frozen.cov, p.cov)
    assert isinstance(frozen, stats._multivariate.multivariate_normal_frozen)


def test_equality_is_by_value():
    p = MultivariateNormal([0, 1], np.eye(2))
    assert p == MultivariateNormal([0.0, 1.0], np.eye(2))
    assert hash(p) == hash(MultivariateNormal([0, 1], np.eye(2)))
    assert p != MultivariateNormal([0, 2], np.eye(2))
    assert p != "a density"


def test_a_density_does_not_change_with_its_arguments():
    mean, cov = np.zeros(2), np.eye(2)
    p = MultivariateNormal(mean, cov)
    mean[:], cov[:] = 5.0, 0.0
    np.testing.assert_array_equal(p.mean, [0, 0])
    np.testing.assert_array_equal(p.cov, np.eye(2))
    with pytest.raises(ValueError, match="read-only"):
        p.mean[0] = 1.0


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        ([[1, 1], [1, 1]], r"positive definite, but its smallest eigenvalue is"),
        ([[0, 0], [0, 1]], r"positive definite"),
        ([[-1, 0], [0, 1]], r"smallest eigenvalue is -1 \(the largest is 1\)"),
        ([[1, np.nan], [np.nan, 1]], r"cov must be finite, got nan"),
        ([[1, 2e-12], [0, 1]], r"symmetric, but cov\[0, 1\] is 2e-12 and cov\[1, 0\] 0"),
        ([1, 1], r"shape \(2, 2\), got \(2,\)"),
        (np.eye(3), r"shape \(2, 2\), got \(3, 3\)"),
    ],
    ids=["singular", "no variance", "negative variance", "NaN", "not symmetric", "a line", "of three dimensions"],
)
def test_a_bad_covariance_is_refused(cov, message):
    with pytest.raises(ValueError, match=message):
        MultivariateNormal([0, 0], cov)


def test_an_asymmetry_of_rounding_is_none():
    cov = np.array([[1.0, 0.5], [0.5 * (1 + 1e-15), 1.0]])
    p = MultivariateNormal([0, 0], cov)
    np.testing.assert_array_equal(p.cov, p.cov.T)


# Bits


def a_plane():
    return kl_divergence(*MIXTURES[2], Grid.uniform([-9, -9], [9, 9], [400, 401]))


def a_cube():
    return kl_divergence(*MIXTURES[3], Grid.uniform([-9] * 3, [9] * 3, [50, 61, 70]))


def a_table_of_a_plane():
    grid = Grid.from_axes(np.linspace(-4, 4, 300), np.linspace(-2, 2, 501) ** 3)
    return kl_divergence(table(MIXTURES[2][0], grid), MIXTURES[2][1], Grid.uniform([-4, -8], [4, 8], 401))


@compiled
@pytest.mark.parametrize("compute", [a_plane, a_cube, a_table_of_a_plane], ids=lambda c: c.__name__)
@pytest.mark.parametrize("launch", [bits.one_thread, bits.two_threads], ids=["1 thread", "2 threads"])
def test_a_result_does_not_depend_on_threads(compute, launch, monkeypatch):
    numba = pytest.importorskip("numba")
    if launch is bits.two_threads and numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads")
    before = numba.get_num_threads()
    try:
        expected_rows, expected = bits.rows_and_result(compute, bits.serial_driver, monkeypatch)
        rows, result = bits.rows_and_result(compute, launch, monkeypatch)
    finally:
        numba.set_num_threads(before)
    assert len(rows) == len(expected_rows) > 0
    assert all(np.array_equal(row, known) for row, known in zip(rows, expected_rows, strict=True))
    assert result == expected


@compiled
@pytest.mark.parametrize("compute", [a_plane, a_cube], ids=lambda c: c.__name__)
def test_a_result_does_not_depend_on_where_spans_end(compute, monkeypatch):
    from fastkl.jit import driver

    expected = compute()
    monkeypatch.setattr(driver, "FIRST_SPAN_POINTS", 1)
    assert compute() == expected
