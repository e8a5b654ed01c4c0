"""Grids that are chosen automatically reach the references."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from fastkl import (
    Beta,
    Gamma,
    Grid,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    MultivariateNormal,
    Normal,
    StudentT,
    kl_divergence,
)
from fastkl.grids.panels import DivergentTailError
from fastkl.jit import JIT_DISABLED
from tests.references import naive_log_density

SMOOTH = 1e-13
"""Of densities that are analytic, or are between kinks: rounding of logarithms of up to 40 where p has mass."""

SINGULAR = 1e-9
"""Power-law tails and ends of supports; the default rtol is 1e-10."""

CLOSED = {
    "Normals": [(Normal(0, 1), Normal(1, 2)), (Normal(0, 1), Normal(0.1, 0.9)), (Normal(1e3, 2), Normal(995, 1))],
    "Normals of far scales": [(Normal(0, 1), Normal(0.5, 1e3)), (Normal(0, 1e-3), Normal(0, 1))],
    "Normals that are far apart": [(Normal(0, 1), Normal(50, 1)), (Normal(-500, 1), Normal(500, 30))],
    "Normals whose scales differ by a million": [(Normal(0, 1e-6), Normal(0, 1))],  # panels
    "Laplace densities": [(Laplace(0, 1), Laplace(1, 2)), (Laplace(0, 0.01), Laplace(3, 5))],
    "a Laplace density and a Normal": [(Laplace(0, 1), Normal(1, 2)), (Laplace(2, 0.1), Normal(0, 1))],
    "LogNormals": [(LogNormal(0.5, 2), LogNormal(1, 3)), (LogNormal(0.1, 1), LogNormal(0.3, 1.2))],
}
SINGULAR_CLOSED = {
    "Gammas": [(Gamma(1), Gamma(2.5)), (Gamma(3, 0, 2), Gamma(1.5, 0, 0.5)), (Gamma(40), Gamma(30, 0, 1.5))],
    "a Gamma and a Normal": [(Gamma(2.5), Normal(2, 2)), (Gamma(1, 3), Normal(4, 1))],
    "Betas": [(Beta(1, 1), Beta(2, 3)), (Beta(2, 5), Beta(1.5, 1)), (Beta(40, 20), Beta(3, 4))],
    "a Beta and a Normal": [(Beta(2, 3), Normal(0.4, 0.2)), (Beta(1, 1), Normal(0, 1))],
}


FEWER = slice(None, None, 8 if JIT_DISABLED else 1)
"""A grid takes a second and more to choose in plain Python."""


def listed(table):
    pairs = [(f"{name} {i}", *pair) for name, pairs in table.items() for i, pair in enumerate(pairs)]
    return [pytest.param(p, q, id=name) for name, p, q in pairs[FEWER]]


@pytest.mark.parametrize(("p", "q"), listed(CLOSED))
def test_smooth_densities(p, q):
    np.testing.assert_allclose(kl_divergence(p, q, Grid.cover(p, q)), kl_divergence(p, q), rtol=SMOOTH)


@pytest.mark.parametrize(("p", "q"), listed(SINGULAR_CLOSED))
def test_densities_with_ends(p, q):
    np.testing.assert_allclose(kl_divergence(p, q, Grid.cover(p, q)), kl_divergence(p, q), rtol=SINGULAR)


CORRELATED = np.array([[1.0, 0.6, -0.2], [0.6, 2.0, 0.3], [-0.2, 0.3, 0.5]])


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", [1.0, 30.0], ids=["of one", "of 30"])
def test_normals_of_several_dimensions(ndim, size):
    if JIT_DISABLED and ndim > 1:
        pytest.skip("a hundred thousand points and more take minutes without compiled code")
    p = MultivariateNormal(np.arange(ndim) * size, size**2 * CORRELATED[:ndim, :ndim])
    q = MultivariateNormal(0.5 * np.ones(ndim) * size, size**2 * (np.diag([1.5, 1.0, 0.8]) + 0.1)[:ndim, :ndim])
    np.testing.assert_allclose(kl_divergence(p, q, Grid.cover(p, q)), kl_divergence(p, q), rtol=SMOOTH)


def reference(p, q, breaks):
    """KL(p||q) by mpmath's tanh-sinh quadrature between *breaks*, of the textbook's log-densities."""

    def log_density(density):
        parts = (
            zip(density.weights, density.components, strict=True) if isinstance(density, Mixture) else [(1, density)]
        )
        logs = [
            (mp.mpf(w), naive_log_density(type(part)._name(), tuple(vars(part).values())), part.support)
            for w, part in parts
        ]
        return lambda x: mp.log(mp.fsum(w * mp.exp(log(x)) for w, log, ends in logs if ends[0] < x < ends[1]))

    with mp.workdps(25):
        log_p, log_q = log_density(p), log_density(q)
        return float(mp.quad(lambda x: mp.exp(log_p(x)) * (log_p(x) - log_q(x)), breaks))


TWO = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
MANY_DIGITS = [
    # p, q, where mpmath splits the line, relative tolerance
    (Logistic(0, 1), Logistic(1, 2), [-mp.inf, -9, 0, 9, mp.inf], SMOOTH),
    (Logistic(0, 1), Normal(0.5, 2), [-mp.inf, -9, 0, 9, mp.inf], SMOOTH),
    (Normal(0, 1), Logistic(0, 3), [-mp.inf, -4, 0, 4, mp.inf], SMOOTH),
    (Logistic(0, 0.01), Laplace(0.02, 1), [-mp.inf, -0.1, 0, 0.02, 0.1, mp.inf], SMOOTH),
    (Normal(0, 1), Laplace(0.3, 1), [-mp.inf, -4, 0.3, 4, mp.inf], SMOOTH),
    (TWO, Normal(0, 2), [-mp.inf, -3, -2, -1, 0, 1, 2, 3, mp.inf], SMOOTH),
    (Normal(0, 2), TWO, [-mp.inf, -6, -2, -1, 0, 1, 2, 6, mp.inf], SMOOTH),
    (Mixture([Normal(0, 1), Laplace(3, 0.5)], [0.7, 0.3]), Logistic(1, 1.5), [-mp.inf, -3, 0, 3, 9, mp.inf], SMOOTH),
    (Mixture([LogNormal(0.5), Gamma(3)]), Gamma(2), [0, 0.2, 1, 3, 20, mp.inf], SINGULAR),
    (StudentT(2), StudentT(5, 1, 2), [-mp.inf, -100, -5, 0, 5, 100, mp.inf], SINGULAR),
    (StudentT(3), Normal(0, 1), [-mp.inf, -100, -5, 0, 5, 100, mp.inf], SINGULAR),
    (Normal(0, 1), StudentT(2), [-mp.inf, -4, 0, 4, mp.inf], SINGULAR),
    (Mixture([StudentT(3), Normal(4, 0.1)]), StudentT(2), [-mp.inf, -99, -5, 0, 3, 4, 5, 99, mp.inf], SINGULAR),
    (Beta(2, 3), Gamma(2), [0, 0.5, 1], SINGULAR),
]


@pytest.mark.parametrize(("p", "q", "breaks", "rtol"), MANY_DIGITS[FEWER])
def test_against_many_digits(p, q, breaks, rtol):
    np.testing.assert_allclose(kl_divergence(p, q, Grid.cover(p, q)), reference(p, q, breaks), rtol=rtol)


@pytest.mark.parametrize("df", [0.5, 1, 2][FEWER])
def test_a_student_t_without_a_variance_is_infinitely_far_from_a_normal(df):
    assert kl_divergence(StudentT(df), Normal(0, 1)) == math.inf
    with pytest.raises(DivergentTailError, match="infinite or converges too slowly"):
        Grid.cover(StudentT(df), Normal(0, 1))
    # the other way round it is finite
    assert 0.0 < kl_divergence(Normal(0, 1), StudentT(df)) < 1.0


def test_a_mixture_with_such_a_tail_has_no_grid():
    with pytest.raises(DivergentTailError, match="towards -inf"):
        kl_divergence(Mixture([StudentT(1), Normal(0, 1)]), Normal(0, 1))


OFF_THE_SUPPORT = [
    (Gamma(2), Gamma(2, 1)),
    (Normal(0, 1), LogNormal(1)),
    (Mixture([Beta(2, 2), Normal(0, 1)]), Beta(2, 2)),
]


@pytest.mark.parametrize(("p", "q"), OFF_THE_SUPPORT[FEWER])
def test_mass_off_the_support_of_q_is_infinite_with_and_without_a_grid(p, q):
    assert kl_divergence(p, q) == math.inf
    result = kl_divergence(p, q, Grid.cover(p, q), full_output=True)
    assert result.value == math.inf
    assert float(p.logpdf(result.first_infinite)) > float(q.logpdf(result.first_infinite)) == -math.inf


@pytest.mark.parametrize(("p", "q"), listed(CLOSED | SINGULAR_CLOSED))
def test_next_to_no_mass_lies_outside(p, q):
    result = kl_divergence(p, q, Grid.cover(p, q), full_output=True)
    # rtol**2 of the peak of a Normal, and 1e-14 of an integral over panels; q's own tail may matter to p less
    assert result.mass_outside_p < 1e-13
    assert result.mass_outside_q < 1e-10


def test_rtol_trades_points_for_digits():
    p, q = Normal(0, 1), Normal(1, 2)
    grids = [Grid.cover(p, q, rtol=rtol) for rtol in (1e-3, 1e-6, 1e-12)]
    assert grids[0].size < grids[1].size < grids[2].size
    for grid, rtol in zip(grids, (1e-3, 1e-6, 1e-12), strict=True):
        np.testing.assert_allclose(kl_divergence(p, q, grid), kl_divergence(p, q), rtol=rtol)


def test_a_grid_for_one_density_has_its_mass_and_moments():
    plane = MultivariateNormal([1, 2], [[1, 0.3], [0.3, 2]])
    for p in (TWO, Gamma(2.5, 1, 3), LogNormal(0.5, 2), Laplace(1, 2), plane)[FEWER]:
        grid = Grid.cover(p)
        points = grid.points(np.arange(grid.size))
        density = p.pdf(points).reshape(grid.shape)
        np.testing.assert_allclose(grid.integrate(density), 1.0, rtol=1e-12)
        first = points if p.ndim == 1 else points[:, 0]
        mean = grid.integrate(density * first.reshape(grid.shape))
        np.testing.assert_allclose(mean, np.ravel(p.mean)[0], rtol=1e-12, atol=1e-15)


def test_a_component_of_weight_zero_does_not_stretch_the_grid():
    assert Grid.cover(Mixture([Normal(0, 1), Normal(1e6, 1)], [1, 0])) == Grid.cover(Normal(0, 1))
    assert Grid.cover(Mixture([Laplace(0, 1), Laplace(1e6, 1)], [1, 0])) == Grid.cover(Laplace(0, 1))


def test_the_grid_moves_and_stretches_with_the_densities():
    a = Grid.cover(Normal(0, 1), Normal(1, 2))
    b = Grid.cover(Normal(-100, 4), Normal(-96, 8))
    assert a.shape == b.shape
    np.testing.assert_allclose(b.axes[0], 4 * a.axes[0] - 100, rtol=0, atol=1e-13 * 100)  # ulps of 100


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_narrow_density_takes_a_finer_axis_only_where_it_is_narrow(ndim):
    scales = np.array([1.0, 0.1, 1.0][:ndim])
    n = Grid.cover(
        MultivariateNormal(np.zeros(ndim), np.eye(ndim)), MultivariateNormal(np.zeros(ndim), np.diag(scales**2))
    )
    assert n.shape[0] < n.shape[1] / 5  # ten times as fine
    assert len(set(np.delete(n.shape, 1))) == 1
