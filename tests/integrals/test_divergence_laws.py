"""Laws of the divergence: Gibbs, affine invariance, refinement, closed forms, and its definition."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastkl
from fastkl import Grid, Mixture, Normal, Tabulated, kl_divergence
from fastkl.jit import JIT_DISABLED
from tests import naive

locs = st.floats(-5, 5)
scales = st.floats(0.3, 4)
normals = st.builds(Normal, locs, scales)
mixtures = st.builds(
    lambda parts: Mixture([n for n, _ in parts], np.array([w for _, w in parts]) / sum(w for _, w in parts)),
    st.lists(st.tuples(normals, st.floats(0.05, 1)), min_size=1, max_size=3),
)
grids = st.builds(
    lambda lower, length, n: Grid.uniform(lower, lower + length, n),
    st.floats(-10, 0),
    st.floats(1, 30),
    st.integers(8, 200),
)
few = settings(max_examples=4 if JIT_DISABLED else 60, deadline=None)


@few
@pytest.mark.filterwarnings("ignore:the grid is too coarse", "ignore:the grid misses", "ignore:[pq] sums to")
@given(mixtures, mixtures, grids)
def test_gibbs_without_any_tolerance(p, q, grid):
    try:
        value = kl_divergence(p, q, grid)
    except ValueError as error:  # a density of which the grid holds less than the least double is refused
        assume("no mass on the grid" not in str(error))
        raise
    assert value >= 0.0


@few
@pytest.mark.filterwarnings("ignore:the grid is too coarse", "ignore:the grid misses", "ignore:[pq] sums to")
@given(mixtures, grids)
def test_divergence_from_itself_is_zero(p, grid):
    try:
        value = kl_divergence(p, p, grid)
    except ValueError as error:
        assume("no mass on the grid" not in str(error))
        raise
    assert value == 0.0


@few
@given(st.lists(st.floats(0, 1), min_size=9, max_size=60), st.integers(0, 2**32 - 1), st.booleans())
def test_gibbs_for_tables(values, seed, log):
    grid = Grid.uniform(0, 1, len(values))
    other = np.random.default_rng(seed).random(len(values)) + 1e-3
    values = np.array(values) + (0 if max(values) > 0 else 1)
    with np.errstate(divide="ignore"):
        p = Tabulated(grid, np.log(values), log=True) if log else Tabulated(grid, values)
    q = Tabulated(grid, other)
    assert kl_divergence(p, q) >= 0.0
    assert kl_divergence(p, p) == 0.0


@few
@given(normals, normals)
def test_quadrature_of_two_normals_is_the_closed_form(p, q):
    grid = Grid.cover(p, q)
    # The conditioning is that of exp(logpdf): log-densities of up to 40 where p has mass, 1e-14.
    np.testing.assert_allclose(kl_divergence(p, q, grid), kl_divergence(p, q), rtol=1e-13, atol=1e-15)


def test_closed_form_keeps_its_digits_as_the_two_agree():
    # KL(N(0, 1) || N(d, 1 + d)) from its series in mpmath; d**2 (1/2 + 1) to first order
    for d in (1e-3, 1e-6, 1e-9, 1e-12):
        q = Normal(d, 1 + d)
        mean, scale = naive.mp.mpf(q.loc), naive.mp.mpf(q.scale)
        exact = naive.mp.log(scale) + (1 + mean**2) / (2 * scale**2) - naive.mp.mpf(1) / 2
        assert naive.relative(kl_divergence(Normal(0, 1), q), exact) < 1e-14


@few
@given(mixtures, mixtures, st.floats(-20, 20), st.floats(0.01, 100))
def test_affine_invariance(p, q, shift, factor):
    def moved(density):
        parts = [Normal(shift + factor * n.loc, factor * n.scale) for n in density.components]
        return Mixture(parts, density.weights)

    grid = Grid.uniform(-30, 30, 2001)
    moved_grid = Grid.uniform(shift - 30 * factor, shift + 30 * factor, 2001)
    value = kl_divergence(p, q, grid)
    # x - loc is rounded relative to x: with |shift| / (0.3 * factor) of up to 7e3 scales that is 1e-12 of z
    tolerance = 1e-12 * (1 + abs(shift) / factor)
    np.testing.assert_allclose(kl_divergence(moved(p), moved(q), moved_grid), value, rtol=tolerance, atol=tolerance)


def test_refinement_converges_exponentially_for_a_mixture():
    p, q = Mixture([Normal(-2, 0.6), Normal(2, 0.6)]), Normal(0, 2)
    exact = kl_divergence(p, q, Grid.uniform(-16, 16, 4001))
    errors = [abs(kl_divergence(p, q, Grid.uniform(-16, 16, n)) - exact) for n in (81, 161, 321)]
    # an algebraic rule gains the same factor, 4 or 16, with every halving of the step; this one gains more each time
    gains = errors[0] / errors[1], errors[1] / errors[2]
    assert errors[0] < 1e-4
    assert gains[0] > 100
    assert gains[1] > 20 * gains[0]


def test_uneven_nodes():
    p, q = Normal(0, 1), Normal(0.5, 1.5)
    nodes = np.sinh(np.linspace(-3, 3, 4001))
    # the trapezoid rule is of second order here: step 0.0015 * cosh(3)
    np.testing.assert_allclose(kl_divergence(p, q, Grid.from_axes(nodes)), kl_divergence(p, q), rtol=1e-5)


@pytest.mark.parametrize(
    ("p", "q", "grid"),
    [
        (Normal(0, 1), Normal(0.5, 6), Grid.uniform(-4, 5, 60)),  # q is wider than the grid, p is not
        (Normal(0, 6), Normal(0.5, 1), Grid.uniform(-4, 5, 60)),  # the other way round
        (Normal(0, 6), Normal(0.5, 9), Grid.uniform(-4, 5, 60)),  # both
        (Normal(0, 1), Normal(0.5, 1), Grid.uniform(0, 1, 20)),  # a grid inside both
    ],
    ids=["q is wider", "p is wider", "both are wider", "inside"],
)
@pytest.mark.filterwarnings("ignore:the grid misses", "ignore:[pq] sums to")
def test_definition_on_a_grid_that_cuts_off_tails(p, q, grid):
    x = grid.axes[0]
    a = [naive.normal_pdf(node, p.loc, p.scale) for node in x]
    b = [naive.normal_pdf(node, q.loc, q.scale) for node in x]
    # rounding of 60 terms
    np.testing.assert_allclose(kl_divergence(p, q, grid), float(naive.divergence(x, a, b)), rtol=1e-13)


@pytest.mark.filterwarnings("ignore:the grid misses")
def test_a_wider_q_is_not_taken_for_a_narrower_one():
    p, q, narrow = Normal(0, 1), Normal(0, 100), Grid.uniform(-9, 9, 2001)
    np.testing.assert_allclose(kl_divergence(p, q, narrow), kl_divergence(p, q), rtol=1e-12)


def test_far_tails_are_finite():
    p = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
    result = kl_divergence(Normal(0, 4), p, Grid.uniform(-40, 40, 4001), full_output=True)
    assert math.isfinite(result.value)
    assert p.logpdf(40.0) < -2000


@pytest.mark.parametrize("epsilon", [1e-1, 1e-4, 1e-7, 1e-10, 1e-13])
def test_tables_of_values_keep_their_digits_as_q_approaches_p(epsilon):
    rng = np.random.default_rng(3)
    grid = Grid.uniform(0, 1, 150)
    p = rng.random(150) + 0.1
    q = p * (1 + epsilon * rng.standard_normal(150))
    exact = naive.conditional_kl(grid.axes[0], list(map(naive.mp.mpf, p)), list(map(naive.mp.mpf, q)))
    value = kl_divergence(Tabulated(grid, p), Tabulated(grid, q))
    # a sum of non-negative terms of 1.5 ulp each, less the correction for unequal masses
    assert naive.relative(value, exact) < 1e-13


def test_base_divides_by_its_logarithm():
    p, q = Normal(0, 1), Normal(1, 2)
    assert kl_divergence(p, q, base=2) == kl_divergence(p, q) / math.log(2)


def test_infinite_divergence_names_its_first_node():
    grid = Grid.uniform(0, 10, 101)
    values = np.ones(101)
    values[[30, 60]] = 0.0
    result = kl_divergence(Tabulated(grid, np.ones(101)), Tabulated(grid, values), full_output=True)
    assert result.value == math.inf
    assert result.first_infinite == grid.axes[0][30]
    assert kl_divergence(Tabulated(grid, values), Tabulated(grid, np.ones(101))) < math.inf


def test_full_output_accounts_for_the_grid():
    p, q = Normal(0, 1), Normal(1, 2)
    result = kl_divergence(p, q, Grid.uniform(-3, 3, 101), full_output=True)
    from scipy.stats import norm

    np.testing.assert_allclose(result.mass_outside_p, 2 * norm.sf(3), rtol=1e-13)
    np.testing.assert_allclose(result.mass_outside_q, norm.sf(1) + norm.sf(2), rtol=1e-13)
    assert (result.n_evaluated, result.n_skipped, result.method) == (101, 0, "trapezoid")
    assert abs(result.value - kl_divergence(p, q)) < result.error < 1.0  # most of it is beyond the ends


def test_a_grid_that_is_too_coarse_is_reported_with_both_numbers():
    # only one node sees the two densities, and every sum over every stride has that node
    p, q, grid = Normal(0, 0.001), Normal(0.0005, 0.002), Grid.uniform(-10, 10, 101)
    with pytest.warns(UserWarning, match=r"scale 0\.001 at 0: its step is 0\.2"):
        result = kl_divergence(p, q, grid, full_output=True)
    assert result.error == math.inf
    assert not fastkl.fit(p, "normal", grid, direction="reverse").success


def test_a_table_brings_its_own_grid():
    grid = Grid.uniform(-9, 9, 901)
    table = Tabulated(grid, Normal(0, 1).logpdf(grid.axes[0]), log=True)
    np.testing.assert_allclose(
        kl_divergence(table, Normal(1, 2)), kl_divergence(Normal(0, 1), Normal(1, 2)), rtol=1e-12
    )
    assert fastkl.kl_divergence(table, table, Grid.uniform(-5, 5, 333)) == 0.0
