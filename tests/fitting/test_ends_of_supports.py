"""Fits of families that live on a part of the line to tables with a node at the end of it."""

import numpy as np
import pytest

from fastkl import Beta, Gamma, GeneralizedPareto, Grid, LogNormal, Tabulated, Weibull, fit, kl_objective

LINE, UNIT = Grid.uniform(0, 40, 801), Grid.uniform(0, 1, 401)
X, T = LINE.axes[0], UNIT.axes[0]
CASES = {
    "gamma of 1": (Tabulated(LINE, -X, log=True), "gamma", Gamma(1)),
    "gamma of 1, values": (Tabulated(LINE, np.exp(-X)), "gamma", Gamma(1)),
    "gamma of 1, on Simpson's rule": (Tabulated(Grid.from_axes(X, rule="simpson"), -X, log=True), "gamma", Gamma(1)),
    "gamma of 2": (Tabulated(LINE, X * np.exp(-X)), "gamma", Gamma(2)),
    "weibull of 1": (Tabulated(LINE, -0.5 * X, log=True), "weibull", Weibull(1, scale=2)),
    "weibull of 2": (Tabulated(LINE, X * np.exp(-X * X / 20)), "weibull", Weibull(2, scale=np.sqrt(20))),
    "generalized pareto": (Tabulated(LINE, -X, log=True), "generalized_pareto", GeneralizedPareto(0)),
    "beta of 1, 1": (Tabulated(UNIT, np.ones(401)), "beta", Beta(1, 1)),
    "beta of 2, 1": (Tabulated(UNIT, T), "beta", Beta(2, 1)),
    "beta of 1, 3": (Tabulated(UNIT, (1 - T) ** 2), "beta", Beta(1, 3)),
    "beta of 2, 3": (Tabulated(UNIT, T * (1 - T) ** 2), "beta", Beta(2, 3)),
}


@pytest.mark.parametrize(("p", "family", "q"), CASES.values(), ids=CASES)
def test_a_reverse_fit_finds_the_member_that_p_is(p, family, q):
    result = fit(p, family, direction="reverse")
    np.testing.assert_allclose(
        [getattr(result.q, name) for name, _ in type(q)._fields], [getattr(q, name) for name, _ in type(q)._fields],
        rtol=1e-9, atol=1e-11,
    )  # fmt: skip
    assert 0.0 <= result.divergence < 1e-12
    assert result.success


def test_a_formula_on_a_given_grid_with_a_node_at_the_end():
    result = fit(GeneralizedPareto(0, scale=2), "gamma", Grid.uniform(0, 80, 1601), direction="reverse")
    assert (result.q.a, result.q.scale) == pytest.approx((1, 2), rel=1e-6)
    assert result.success


def test_a_log_normal_is_0_at_the_end_and_takes_its_node():
    p = Tabulated(LINE, -X, log=True)
    result = fit(p, "log_normal", direction="reverse")
    assert result.grid == LINE
    assert result.converged


def test_the_node_at_the_end_gives_its_weight_to_the_next_one():
    result = fit(Tabulated(LINE, -X, log=True), "gamma", direction="reverse")
    assert (result.grid._line.lower, result.grid._line.upper) == (0.0, 40.0)
    np.testing.assert_array_equal(result.grid.axes[0], X[1:])
    step = X[1]
    np.testing.assert_allclose(result.grid.weights[0][:3], [1.5 * step, step, step], rtol=1e-12)
    value, gradient, _ = kl_objective(Tabulated(LINE, -X, log=True), "gamma", direction="reverse")([0.0, 0.0])
    assert value == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


@pytest.mark.parametrize("family", ["gamma", "weibull", "log_normal", "inverse_gamma"])
def test_a_forward_fit_says_why_it_takes_no_node_at_the_end(family):
    with pytest.raises(ValueError, match=r"positive at x = 0, where .* take a grid whose nodes lie inside"):
        fit(Tabulated(LINE, -X, log=True), family, direction="forward")


def test_starts_of_a_weibull_beside_0_are_finite():
    grid = Grid.uniform(0, 40, 4001)
    result = fit(Tabulated(grid, -grid.axes[0], log=True), "weibull", direction="reverse")
    assert result.q.c == pytest.approx(1, rel=1e-9)
    assert result.success
    assert LogNormal._of_moments(1e-3, 1.0) is not None
