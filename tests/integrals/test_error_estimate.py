"""Laws of the error estimate: it covers the truth, grows with the step, and says what it cannot know."""

import math
import warnings

import numpy as np
import pytest

from fastkl import Beta, Gamma, Grid, Laplace, Logistic, Mixture, MultivariateNormal, Normal, Tabulated, kl_divergence
from fastkl.grids import Axis
from fastkl.integrals import integrate, quadrature_error
from fastkl.jit import JIT_DISABLED

P, Q = Normal(0, 1), Normal(0.5, 1.4)
P2, Q2 = MultivariateNormal([0, 0], [[1, 0.3], [0.3, 1.2]]), MultivariateNormal([0.3, 0], [[1.5, 0], [0, 1.3]])
ROUNDING = 1e-15
"""Of the closed form itself."""

RNG = np.random.default_rng(5)
JITTERED = -8 + 16 * np.concatenate([[0], np.cumsum(RNG.uniform(0.5, 1.5, 60))]) / 90  # beyond 8 at its upper end
GRIDS = {
    "trapezoid": Grid.uniform(-9, 9, 41),
    "coarse trapezoid": Grid.uniform(-9, 9, 23),
    "cut trapezoid": Grid.uniform(-2.5, 3, 31),
    "simpson": Grid.from_axes(np.linspace(-9, 9, 65), rule="simpson"),
    "simpson, whose half has an even number of nodes": Grid.from_axes(np.linspace(-9, 9, 63), rule="simpson"),
    "simpson on jittered nodes": Grid.from_axes(JITTERED, rule="simpson"),
    "midpoint": Grid.from_edges(np.linspace(-9, 9, 41)),
    "jittered midpoint": Grid.from_edges(JITTERED),
    "jittered trapezoid": Grid.from_axes(JITTERED),
    "sinh": Grid.from_axes(np.sinh(np.linspace(-3, 3, 81))),
    "gauss-legendre": Grid.gauss_legendre(-9, 9, 40),
    "few of gauss-legendre": Grid.gauss_legendre(-4, 4, 13),
    "cover": Grid.cover(P, Q),
}
PLANES = {
    "trapezoid": Grid.uniform([-8, -8], 8, 25),
    "cut trapezoid": Grid.uniform([-3, -3], 3, 13),
    "simpson": Grid.from_axes(*[np.linspace(-8, 8, 33)] * 2, rule="simpson"),
    "midpoint": Grid.from_edges(*[np.linspace(-8, 8, 25)] * 2),
    "gauss-legendre": Grid.gauss_legendre([-8, -8], [8, 8], [32, 32]),
}


def covers(p, q, grid, exact):
    result = kl_divergence(p, q, grid, full_output=True)
    assert math.isfinite(result.error)
    return abs(result.value - exact) <= result.error + ROUNDING * exact


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_covers_the_truth_on_every_rule(grid):
    assert covers(P, Q, grid, kl_divergence(P, Q))


@pytest.mark.parametrize("grid", PLANES.values(), ids=PLANES)
def test_covers_the_truth_in_the_plane(grid):
    assert covers(P2, Q2, grid, kl_divergence(P2, Q2))


@pytest.mark.parametrize(("p", "q"), [(Laplace(0, 1), Laplace(1, 2)), (Beta(2, 0.9), Beta(3, 1.5))])
def test_covers_the_truth_at_kinks_and_singular_ends(p, q):
    assert covers(p, q, Grid.cover(p, q), kl_divergence(p, q))


@pytest.mark.parametrize("offset", np.linspace(0, 0.9, 7))
@pytest.mark.parametrize("d", [1e-6, 1e-3, 1.0])
def test_covers_wherever_the_nodes_are(offset, d):
    # the error of the trapezoid rule has the sign of a cosine of the offset, and may vanish on one of the grids
    p, q = Normal(0, 1), Normal(d, 1 + d)
    assert covers(p, q, Grid.uniform(-10 + offset, 10 + offset, 25), kl_divergence(p, q))


def test_is_tight_where_the_rule_converges():
    result = kl_divergence(P, Q, Grid.uniform(-12, 12, 97), full_output=True)
    assert result.error < 1e-14
    mixture = Mixture([Logistic(-2, 1), Logistic(3, 0.5)])
    assert kl_divergence(mixture, Logistic(0, 2), full_output=True).error < 1e-9


def test_grows_as_the_grid_gets_coarser():
    errors = [kl_divergence(P, Q, Grid.uniform(-12, 12, n), full_output=True).error for n in (97, 49, 33, 25)]
    assert errors == sorted(errors)
    assert errors[-1] > 100 * errors[0]


def test_truncation_dominates_where_tails_are_cut():
    wide, narrow = (kl_divergence(P, Q, Grid.uniform(-x, x, 401), full_output=True) for x in (10, 2.5))
    assert narrow.error > narrow.mass_outside_p > 1e6 * wide.error
    grid = Grid.uniform(-2.5, 2.5, 401)
    assert quadrature_error(P, Q, grid, integrate(P, Q, grid)) < 0.1 * narrow.error


def test_nothing_is_cut_off_a_table():
    grid = Grid.uniform(-2.5, 2.5, 401)
    p, q = (Tabulated(grid, density.logpdf(grid.axes[0]), log=True) for density in (P, Q))
    assert kl_divergence(p, q, full_output=True).error < 1e-4


@pytest.mark.filterwarnings("ignore:[pq] sums to")
def test_a_kink_is_not_taken_for_a_smooth_density():
    # nodes on the kink: the trapezoid rule is of second order, its error h**2/12 of the jump of the slope
    p, q = Laplace(0, 1), Laplace(0.5, 1.5)
    for n in (241, 481, 961):
        assert covers(p, q, Grid.uniform(-30, 30, n), kl_divergence(p, q))


def test_grids_that_are_too_coarse_are_named_with_both_numbers():
    with pytest.warns(UserWarning, match=r"scale 0\.5 at 0: its step is 0\.625"):
        result = kl_divergence(Normal(0, 0.5), Q, Grid.uniform(-10, 10, 33), full_output=True)
    assert result.error == math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kl_divergence(Normal(0, 0.7), Q, Grid.uniform(-10, 10, 33))


def test_base_divides_the_error_too():
    grid = Grid.uniform(-2.5, 2.5, 41)
    nats, bits = (kl_divergence(P, Q, grid, base=base, full_output=True) for base in (None, 2))
    np.testing.assert_allclose(bits.error, nats.error / math.log(2), rtol=1e-15)


def test_a_density_and_itself():
    result = kl_divergence(P, P, GRIDS["trapezoid"], full_output=True)
    assert (result.value, result.error) == (0.0, 0.0)


@pytest.mark.filterwarnings("ignore:[pq] sums to")
def test_a_kink_between_two_nodes_is_not_left_to_chance():
    p, q = Laplace(0.013, 0.5), Laplace(0.4, 0.9)
    exact = kl_divergence(p, q)
    for n in range(100, 400, 75 if JIT_DISABLED else 1):
        assert covers(p, q, Grid.uniform(-20, 20, n), exact)


@pytest.mark.skipif(JIT_DISABLED, reason="millions of points take minutes in plain Python")
@pytest.mark.parametrize(
    ("p", "q", "ends"),
    [
        (P, Q, (-9.0, 9.0)),
        (P, Q, (-2.5, 3.0)),  # cut tails: the error falls with the square of the step
        (Gamma(1.8), Gamma(2.5), (1e-6, 60.0)),  # an infinite slope, for which few points do not do
        (Gamma(3), Gamma(4, 0, 0.8), (1e-6, 60.0)),
    ],
    ids=["smooth", "cut", "infinite slope", "a power at the end"],
)
def test_covers_the_truth_on_many_points(p, q, ends):
    edges = np.linspace(*ends, 91)
    if ends[0] > 0:
        edges = np.concatenate([np.geomspace(ends[0], edges[1], 61), edges[2:]])  # panels of 20 nodes have all digits
    truth = integrate(p, q, Grid((Axis.gauss_legendre(edges, 20),))).divergence
    grid = Grid.uniform(*ends, 2_000_000)
    whole = integrate(p, q, grid)
    error = quadrature_error(p, q, grid, whole)
    assert abs(whole.divergence - truth) <= error + ROUNDING
    assert error <= 1e-6 * whole.divergence
