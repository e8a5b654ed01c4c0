"""Both fits of a Normal: references, laws of the minima, and honest failures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import minimum_filter
from scipy.optimize import minimize

import fastkl
from fastkl import Grid, Mixture, Normal, Tabulated, fit, kl_divergence
from fastkl.jit import JIT_DISABLED
from tests.laws import check_derivatives

P = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
WIDE = Grid.uniform(-20, 20, 321 if JIT_DISABLED else 4001)
CHEAP = Grid.uniform(-24, 24, 241) if JIT_DISABLED else None
slow = pytest.mark.skipif(JIT_DISABLED, reason="dozens of passes take seconds each without compiled code")
few = settings(max_examples=3 if JIT_DISABLED else 40, deadline=None)


def test_forward_reference():
    result = fit(P, Normal, WIDE, direction="forward")
    np.testing.assert_allclose((result.q.loc, result.q.scale), (0, 2.08806), atol=5e-6)
    np.testing.assert_allclose(result.divergence, 0.555156, atol=5e-7)
    assert result.success
    assert result.reverse == kl_divergence(result.q, P, WIDE)


def test_reverse_reference_with_all_three_minima():
    result = fit(P, Normal, WIDE, direction="reverse")
    found = [(m.q.loc, m.q.scale, m.divergence) for m in result.minima]
    expected = [(-1.997, 0.605, 0.69184), (1.997, 0.605, 0.69184), (0, 1.790, 1.13838)]
    np.testing.assert_allclose(found, expected, atol=5e-4)
    np.testing.assert_allclose([f[2] for f in found], [e[2] for e in expected], atol=5e-6)
    assert result.success
    assert result.q == result.minima[0].q
    assert result.divergence == result.minima[0].divergence
    assert result.forward == kl_divergence(P, result.q, WIDE)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("grid", [None, Grid.uniform(-30, 30, 301)])
def test_a_normal_is_its_own_fit(direction, grid):
    result = fit(Normal(1, 2), "normal", grid, direction=direction)
    np.testing.assert_allclose((result.q.loc, result.q.scale), (1, 2), rtol=1e-10)
    assert 0 <= result.divergence < 1e-12
    assert len(result.minima) == 1
    assert result.success


normals = st.builds(Normal, st.floats(-4, 4), st.floats(0.3, 2))


@few
@given(st.lists(normals, min_size=1, max_size=4))
def test_every_minimum_is_one(parts):
    p = Mixture(parts)
    result = fit(p, Normal, CHEAP, direction="reverse")
    assert result.converged
    assert list(result.minima) == sorted(result.minima, key=lambda m: round(m.divergence, 11))
    assert result.divergence == result.minima[0].divergence == kl_divergence(result.q, p, result.grid)
    for minimum in result.minima:
        q, here = minimum.q, kl_divergence(minimum.q, p, result.grid)
        # those after the best carry the value of their last Newton step
        assert minimum.divergence == pytest.approx(here, rel=1e-12, abs=1e-14)
        for loc, scale in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
            nearby = Normal(q.loc + loc * q.scale, q.scale * np.exp(scale))
            # a minimum of positive curvature is lower than its surroundings, up to rounding
            assert kl_divergence(nearby, p, result.grid) > here - 1e-14


@few
@given(st.lists(normals, min_size=1, max_size=4))
def test_the_forward_fit_has_the_moments_of_p(parts):
    p = Mixture(parts)
    q = fit(p, Normal, CHEAP, direction="forward").q
    # both are sums over the grid, which is exact to rounding for Normals
    np.testing.assert_allclose((q.loc, q.scale), (p.mean, p.std), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(JIT_DISABLED, reason="a surface of 10,000 divergences takes minutes without compiled code")
@pytest.mark.parametrize(
    "p",
    [
        Mixture([Normal(-3, 0.5), Normal(0, 1), Normal(2.5, 0.4)], [0.3, 0.3, 0.4]),
        Mixture([Normal(-3, 0.3), Normal(-1, 0.3), Normal(1, 0.3), Normal(4, 0.3)]),
    ],
    ids=["three bumps", "four bumps"],
)
def test_the_minima_are_those_of_the_whole_surface(p):
    grid = Grid.uniform(-25, 25, 1501)
    result = fit(p, Normal, grid, direction="reverse")
    locs, log_scales = np.linspace(-5, 5, 101), np.linspace(np.log(0.15), np.log(5), 100)

    def value(theta):
        return kl_divergence(Normal(theta[0], np.exp(theta[1])), p, grid)

    surface = np.array([[value((loc, log_scale)) for log_scale in log_scales] for loc in locs])
    assert surface.min() >= result.divergence
    # a pit of the surface may lie in a slanting valley: follow each to where it leads
    pits = np.argwhere(surface == minimum_filter(surface, size=3, mode="nearest"))
    ends = [minimize(value, (locs[i], log_scales[j]), method="Nelder-Mead", tol=1e-8).x for i, j in pits]
    found = np.array([(m.q.loc, np.log(m.q.scale)) for m in result.minima])
    nearest = [np.abs(found - end).max(axis=1) for end in ends]
    assert all(distances.min() < 1e-4 for distances in nearest)
    assert {int(distances.argmin()) for distances in nearest} == set(range(len(found)))


@slow
@pytest.mark.parametrize("shift", [-900.0, 0.0, 12345.678])
def test_the_constant_of_log_values_does_not_matter(shift):
    x = WIDE.axes[0]
    result = fit(P.logpdf(x) + shift, "normal", WIDE, direction="reverse", log=True)
    assert result.success
    np.testing.assert_allclose(result.divergence, fit(P, Normal, WIDE, direction="reverse").divergence, rtol=1e-9)
    np.testing.assert_allclose(result.log_normalizer, shift, atol=1e-9)
    np.testing.assert_allclose(result.elbo, shift - result.divergence, atol=1e-9)


@slow
@pytest.mark.parametrize(("factor", "shift"), [(1e-3, 0.0), (100.0, 500.0)])
def test_affine_equivariance(factor, shift):
    moved = Mixture([Normal(shift + factor * n.loc, factor * n.scale) for n in P.components])
    grid = Grid.uniform(shift - 20 * factor, shift + 20 * factor, WIDE.size)
    for direction in ("forward", "reverse"):
        here, there = fit(P, Normal, WIDE, direction=direction), fit(moved, Normal, grid, direction=direction)
        np.testing.assert_allclose(there.divergence, here.divergence, rtol=1e-9)
        np.testing.assert_allclose((there.q.loc - shift) / factor, here.q.loc, atol=1e-7)


def test_uneven_nodes():
    n = 300 if JIT_DISABLED else 1500
    nodes = np.sort(np.concatenate([np.linspace(-20, 20, n // 3), np.linspace(-5, 5, n) + 1e-4]))
    result = fit(P, Normal, Grid.from_axes(nodes), direction="reverse", rtol=1e-3)
    np.testing.assert_allclose([m.divergence for m in result.minima], [0.69184, 0.69184, 1.13838], atol=1e-3)


@pytest.mark.parametrize("loc", [0.0] if JIT_DISABLED else [-2.5, 0.0, 3.0])
@pytest.mark.parametrize("scale", [0.4, 1.9])
def test_gradient_and_hessian_are_those_of_the_divergence(loc, scale):
    grid = Grid.uniform(-4, 4.5, 300)  # p and q are cut off, so that the logarithm of the masses takes part
    p = Mixture([Normal(-2, 0.9), Normal(2, 1.6)])
    check_derivatives(p, "normal", Normal(loc, scale), grid, "reverse")


def test_a_falling_p_has_its_infimum_at_infinity_and_is_no_success():
    grid = Grid.uniform(0, 10, 501)
    result = fit(-grid.axes[0], "normal", grid, direction="reverse", log=True)
    assert not result.success
    assert not result.converged
    assert result.minima == ()
    assert "escaped" in result.message


@slow
def test_a_wide_p_is_not_fitted_by_leaving_the_grid():
    # from (0, 2.5) on [-16, 16] a plain optimiser of KL(q||p) ended at scale 4e10
    result = fit(P, Normal, Grid.uniform(-16, 16, 401), direction="reverse", starts=[(0, 2.5), Normal(3, 40)])
    assert result.success
    assert all(m.q.scale < 2 for m in result.minima)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"gtol": 1e-300}, "gtol"),
        ({"max_passes": 1}, "max_passes"),
        ({"rtol": 0, "atol": 0}, "rtol"),
    ],
)
def test_a_fit_that_fails_a_check_names_its_keyword(options, word):
    grid = Grid.uniform(-20, 20, 120)
    result = fit(P, Normal, grid, direction="reverse", **options)
    assert not result.success
    assert word in result.message
    assert np.isfinite(result.divergence)


def test_mass_outside_is_gated_by_the_direction():
    narrow = Grid.uniform(-4, 4, 801)
    reverse = fit(Normal(0, 1), Normal, narrow, direction="reverse")
    forward = fit(Normal(0, 1), Normal, narrow, direction="forward")
    assert not reverse.success
    assert not forward.success
    assert "mass_tol" in reverse.message
    assert "mass_tol" in forward.message
    assert fit(Normal(0, 1), Normal, narrow, direction="forward", mass_tol=1e-3).success


def test_a_spike_shrinks_to_the_step_and_says_so():
    grid = Grid.uniform(0, 10, 101)
    values = np.zeros(101)
    values[50] = 1.0
    result = fit(Tabulated(grid, values, floor=1e-100), Normal, direction="reverse")
    assert not result.success
    assert "step" in result.message
    assert result.q.scale >= grid._line.step


def test_a_flat_p_is_never_called_a_success():
    grid = Grid.uniform(0, 1, 201)
    assert not fit(np.ones(201), Normal, grid, direction="reverse").success


def test_str_holds_what_the_command_line_prints():
    text = str(fit(P, Normal, WIDE, direction="reverse"))
    for part in ("N(-1.99708, 0.604856)", "0.691836", "1.13838", "error", "mass outside", "success"):
        assert part in text


def test_results_are_frozen():
    result = fit(P, Normal, WIDE, direction="forward")
    with pytest.raises(AttributeError):
        result.q = Normal(0, 1)
    assert fastkl.FitResult is type(result)
