"""The divergence as a surface over (loc, scale), and as a function for other people's optimisers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fastkl import (
    Beta,
    Gamma,
    Grid,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    StudentT,
    Tabulated,
    fit,
    kl_divergence,
    kl_objective,
    kl_surface,
)
from fastkl.families import FAMILIES
from fastkl.jit import JIT_DISABLED
from tests.references import REFERENCES, density

P = Mixture([Normal(-2, 0.6), Normal(2, 0.6)], [0.4, 0.6])
LINE = Grid.uniform(-16, 16, 101 if JIT_DISABLED else 641)
TABLE = Tabulated(LINE, P.logpdf(LINE.axes[0]) + 3.0, log=True)
PLANE = Grid.uniform([-12, -12], [12, 12], 81)
BUMPS = Mixture([MultivariateNormal([-1, 0], [[1, 0.4], [0.4, 1]]), MultivariateNormal([1, 1], [[0.8, 0], [0, 1.3]])])
HALF = Grid.from_edges(np.linspace(0, 40, 401))
UNIT = Grid.from_edges(np.linspace(0, 1, 401))
P_OF = {
    (-np.inf, np.inf): TABLE,
    (0.0, np.inf): Tabulated(HALF, Gamma(3, scale=2).logpdf(HALF.axes[0]) + 0.3 * np.sin(HALF.axes[0]), log=True),
    (0.0, 1.0): Tabulated(UNIT, Beta(3, 2).logpdf(UNIT.axes[0]) + 0.3 * np.sin(9 * UNIT.axes[0]), log=True),
}
"""A table for the families of each support."""

CASES = {
    **{name: (P_OF[FAMILIES[name]._common_support], density(name, r.shape), {}) for name, r in REFERENCES.items()},
    "laplace": (TABLE, Laplace(0.475, 1.3), {}),  # between two nodes
    "student_t of df": (TABLE, StudentT(5, 0.3, 1.1), {"df": 5}),
    "full": (BUMPS, MultivariateNormal([0.2, 0.1], [[1.1, 0.3], [0.3, 1.2]]), {}),
    "diag": (BUMPS, MultivariateNormal([0.2, 0.1], np.diag([1.1, 1.2])), {"covariance_type": "diag"}),
    "spherical": (BUMPS, MultivariateNormal([0.2, 0.1], 1.2 * np.eye(2)), {"covariance_type": "spherical"}),
}


LARGE = ("full", "diag", "spherical") if JIT_DISABLED else ()


def skip_large(name):
    if name in LARGE:
        pytest.skip("a grid of 6,561 points takes seconds a pass without compiled code")


def objective_of(name, direction):
    p, q, options = CASES[name]
    return kl_objective(p, type(q), PLANE if p is BUMPS else None, direction=direction, **options), p, q


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("name", CASES)
def test_an_objective_is_the_divergence_with_its_derivatives(name, direction):
    skip_large(name)
    objective, p, q = objective_of(name, direction)
    theta = objective.theta(q)
    value, gradient, hessian = objective(theta)
    pair = (p, q) if direction == "forward" else (q, p)
    # where the sum of q over the grid is above 1, the divergence counts that: by its logarithm
    grid = objective.grid
    excess = max(grid.integrate(q.pdf(grid.axes[0])) - 1.0, 0.0) if grid.ndim == 1 else 0.0
    np.testing.assert_allclose(value, kl_divergence(*pair, grid), rtol=1e-12, atol=2.0 * excess)
    # central differences of exact values and gradients: h**2 times a third derivative of up to 100
    h = 1e-4
    steps = h * np.eye(theta.size)
    slopes = [(objective.fun(theta + s) - objective.fun(theta - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)
    bends = [(objective.jac(theta + s) - objective.jac(theta - s)) / (2 * h) for s in steps]
    # where a kink crosses a node, as Laplace's does, a difference of gradients sees it
    if name != "laplace":
        np.testing.assert_allclose(hessian, bends, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(hessian, hessian.T)
    np.testing.assert_allclose(objective.theta(objective.density(theta)), theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "laplace"])
def test_a_fit_has_the_parameters_and_the_hessian_of_the_objective(name, direction):
    skip_large(name)
    objective, p, q = objective_of(name, direction)
    result = fit(p, type(q), objective.grid, direction=direction, **CASES[name][2])
    assert result.parameter_names == objective.names
    hessian = objective(objective.theta(result.q))[2]
    # a gradient of at most gtol = 1e-8 at the fit, whose parameters went through a density and back
    np.testing.assert_allclose(result.hessian, hessian, rtol=1e-6, atol=1e-6 * np.abs(hessian).max())


@pytest.mark.skipif(JIT_DISABLED, reason="dozens of passes take seconds each without compiled code")
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("name", ["normal", "student_t", "full"])
def test_another_optimiser_finds_what_a_fit_finds(name, direction):
    skip_large(name)
    objective, p, q = objective_of(name, direction)
    start = objective.theta(q)
    found = minimize(objective.fun, start, jac=objective.jac, hess=objective.hess, method="trust-exact", tol=1e-10)
    result = fit(p, type(q), objective.grid, direction=direction, starts=[q], atol=1.0)
    if name == "student_t" and direction == "forward":
        assert "df" in result.message  # p is lighter than any StudentT
        return
    assert min(abs(m.divergence - found.fun) for m in result.minima) < 1e-9


def test_names_are_those_of_unconstrained_parameters():
    assert objective_of("student_t", "reverse")[0].names == ("loc", "log(scale)", "log(df)")
    assert objective_of("full", "reverse")[0].names == ("mean[0]", "mean[1]", "log(L[0,0])", "L[1,0]", "log(L[1,1])")
    assert objective_of("spherical", "reverse")[0].names == ("mean[0]", "mean[1]", "log(scale)")
    with pytest.raises(ValueError, match=r"2 entries, loc, log\(scale\), got 3"):
        objective_of("normal", "reverse")[0]([0.0, 0.0, 0.0])
    with pytest.raises(TypeError, match="expected a Normal, got Laplace"):
        objective_of("normal", "reverse")[0].theta(Laplace(0, 1))
    with pytest.raises(ValueError, match="p is 0 at x = "):
        kl_objective(Tabulated(LINE, np.where(LINE.axes[0] > 0, 1.0, 0.0)), "normal", direction="reverse")


def test_off_the_grid_an_objective_is_infinite():
    value, gradient, hessian = objective_of("normal", "reverse")[0]([1e6, 0.0])
    assert value == np.inf
    assert np.isnan(gradient).all()
    assert np.isnan(hessian).all()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("p", [P, TABLE], ids=["formula", "table"])
def test_a_surface_holds_divergences(p, direction):
    locs, scales = np.linspace(-3, 3, 7), np.geomspace(0.4, 4, 5)
    surface = kl_surface(p, locs, scales, LINE, direction=direction)
    assert surface.divergence.shape == (7, 5)
    pairs = [(i, j, Normal(locs[i], scales[j])) for i in range(7) for j in range(5)]
    expected = [kl_divergence(*((p, q) if direction == "forward" else (q, p)), LINE) for _, _, q in pairs]
    # a difference of logarithms of up to 100
    np.testing.assert_allclose([surface.divergence[i, j] for i, j, _ in pairs], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.skipif(JIT_DISABLED, reason="dozens of passes take seconds each without compiled code")
def test_the_minima_of_a_surface_are_those_of_the_fit_within_its_range():
    result = fit(P, Normal, LINE, direction="reverse")
    whole = kl_surface(P, np.linspace(-4, 4, 33), np.geomspace(0.3, 4, 20), LINE, direction="reverse")
    right = kl_surface(P, np.linspace(0.5, 4, 15), np.geomspace(0.3, 4, 20), LINE, direction="reverse")
    np.testing.assert_allclose([m.q.loc for m in whole.minima], [m.q.loc for m in result.minima], atol=1e-9)
    assert whole.divergence.min() >= result.divergence
    assert [m.q.loc > 0 for m in right.minima] == [True]


@pytest.mark.parametrize(
    ("loc", "scale", "words"),
    [([], [1.0], "loc needs at least one"), ([0.0], [1.0, -2.0], "got .*-2.0"), ([np.nan], [1.0], "loc")],
)
def test_bad_ranges_are_refused(loc, scale, words):
    with pytest.raises(ValueError, match=words):
        kl_surface(P, loc, scale, direction="reverse")


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_surface_of_a_histogram_counts_by_cells(direction):
    p = Tabulated.from_histogram([1, 4, 6, 2, 1], [0, 1, 2, 3, 4, 6])
    locs, scales = np.linspace(1, 3, 5), np.geomspace(0.5, 2, 4)
    surface = kl_surface(p, locs, scales, direction=direction)
    for i, j in np.ndindex(surface.divergence.shape):
        q = Normal(locs[i], scales[j])
        expected = kl_divergence(p, q) if direction == "forward" else kl_divergence(q, p)
        assert surface.divergence[i, j] == pytest.approx(expected, rel=1e-12)
    best = fit(p, "normal", direction=direction)
    assert surface.minima[0].divergence == pytest.approx(best.divergence, rel=1e-12)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_colours_of_a_surface_follow_its_levels(direction):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    surface = kl_surface(P, np.linspace(-6, 6, 31), np.geomspace(0.2, 4, 21), direction=direction)
    colours = surface.plot().collections[0].get_facecolor()
    red, green, blue = colours[:, 0], colours[:, 1], colours[:, 2]
    lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    steps = -np.diff(lightness)
    # from yellow, 0.88, to dark purple, 0.08: every level takes its part of the way
    assert lightness[0] - lightness[-1] > 0.75
    assert (steps > 0.0).all()
    assert steps.max() < 0.1
    pyplot.close("all")
