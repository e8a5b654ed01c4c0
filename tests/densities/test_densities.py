"""Densities against SciPy, and tables against what they were made of."""

import numpy as np
import pytest
from scipy import stats

from fastkl import Grid, Mixture, Normal, Tabulated
from fastkl.jit import JIT_DISABLED

X = np.linspace(-30, 30, 101)
P = Mixture([Normal(-2, 0.6), Normal(3, 1.5)], [0.25, 0.75])


def test_normal_is_scipys():
    q = Normal(1.5, 0.7)
    np.testing.assert_allclose(q.logpdf(X), stats.norm(1.5, 0.7).logpdf(X), rtol=1e-13)
    np.testing.assert_allclose(q.pdf(X), q.to_scipy().pdf(X), rtol=1e-12)  # exp of up to -1000
    assert (q.mean, q.std) == (1.5, 0.7)
    assert q.logpdf(0.0).shape == ()
    assert q.logpdf([[0.0, 1.0]]).shape == (1, 2)


def test_mixture_is_scipys():
    np.testing.assert_allclose(P.logpdf(X), P.to_scipy().logpdf(X), rtol=1e-13)
    np.testing.assert_allclose(P.mean, P.to_scipy().mean(), rtol=1e-14)
    np.testing.assert_allclose(P.std, P.to_scipy().standard_deviation(), rtol=1e-14)


def test_equal_weights_by_default():
    parts = [Normal(0, 1), Normal(1, 1), Normal(2, 1)]
    assert Mixture(parts).weights == (1 / 3,) * 3


def test_a_component_of_weight_zero_is_absent():
    with_zero = Mixture([Normal(0, 1), Normal(50, 1)], [1.0, 0.0])
    np.testing.assert_array_equal(with_zero.logpdf(X), Mixture([Normal(0, 1)]).logpdf(X))


def test_mass_outside_is_exact_in_the_tails():
    grid = Grid.uniform(-9, 12, 100)
    np.testing.assert_allclose(Normal(1, 1).mass_outside(grid), stats.norm.sf(10) + stats.norm.sf(11), rtol=1e-13)
    expected = 0.25 * (stats.norm.sf(7 / 0.6) + stats.norm.sf(14 / 0.6)) + 0.75 * (stats.norm.sf(8) + stats.norm.sf(6))
    np.testing.assert_allclose(P.mass_outside(grid), expected, rtol=1e-12)


@pytest.mark.parametrize("log", [False, True])
def test_a_table_is_its_values_normalised(log):
    grid = Grid.uniform(-6, 12, 361)
    values = P.logpdf(grid.axes[0]) + 7.5 if log else P.pdf(grid.axes[0]) * np.exp(7.5)
    table = Tabulated(grid, values, log=log)
    np.testing.assert_allclose(table.log_normalizer, 7.5, rtol=1e-9)  # 2e-9 of P is off the grid
    np.testing.assert_allclose(grid.integrate(table.pdf(grid.axes[0])), 1.0, rtol=1e-14)
    np.testing.assert_allclose((table.mean, table.std), (P.mean, P.std), rtol=1e-7)


def test_a_table_is_linear_in_the_log_between_nodes_and_zero_off_them():
    grid = Grid.uniform(0, 8, 9)
    logs = np.array([0.0, 1, 3, 2, -np.inf, -np.inf, 0, 1, 1])
    table = Tabulated(grid, logs, log=True)
    at = table.logpdf([0.5, 2.0, 2.25, 3.5, 4.0, 4.5, 6.0, -0.1, 8.1, np.nan]) + table.log_normalizer
    np.testing.assert_allclose(at[:3], [0.5, 3.0, 2.75], rtol=1e-14)
    np.testing.assert_array_equal(at[[3, 4, 5, 7, 8]], -np.inf)
    np.testing.assert_allclose(at[6], 0.0, atol=1e-15)
    assert np.isnan(at[9])


def test_huge_and_tiny_values_do_not_overflow():
    grid = Grid.uniform(0, 1, 11)
    for scale in (1e300, 1e-300):
        table = Tabulated(grid, np.full(11, scale))
        np.testing.assert_allclose(table.log_normalizer, np.log(scale), rtol=1e-14)
    assert Tabulated(grid, np.full(11, 1e6), log=True).log_normalizer == 1e6


def test_a_floor_raises_small_values_and_counts_them():
    grid = Grid.uniform(0, 10, 11)
    values = np.array([0.0, 0, 1, 5, 10, 5, 1, 1e-9, 0, 0, 0])
    table = Tabulated(grid, values, floor=1e-3)
    raised = Tabulated(grid, np.maximum(values, 1e-2))
    assert table.n_floored == 6
    np.testing.assert_allclose(table.log_normalizer, raised.log_normalizer, rtol=1e-14)
    np.testing.assert_allclose(table.logpdf(grid.axes[0]), raised.logpdf(grid.axes[0]), rtol=1e-13)
    assert Tabulated(grid, values).n_floored == 0


def test_values_are_not_copied_and_not_written_to():
    grid, values = Grid.uniform(0, 1, 11), np.ones(11)
    table = Tabulated(grid, values)
    assert np.shares_memory(table.values, values)
    assert not table.values.flags.writeable
    assert values.flags.writeable


def test_samples_give_scipys_kernel_density_estimate():
    rng = np.random.default_rng(4)
    n = 4 if JIT_DISABLED else 50
    x = np.concatenate([rng.normal(-2, 0.5, 3 * n), rng.normal(2, 1, n)])
    weights = rng.random(4 * n)
    table = Tabulated.from_samples(x, weights=weights)
    kde = stats.gaussian_kde(x, weights=weights)
    near = np.linspace(-4, 5, 50)
    # Linear binning adds at most step**2 / 4 to the variance of each bump, (0.012 / 0.6)**2 / 4 = 1e-4 of it;
    # the estimate is normalised, and cut off eight standard deviations away.
    np.testing.assert_allclose(table.pdf(near), kde.pdf(near), rtol=5e-4)
    assert np.isfinite(table.values).all()


def test_bandwidths():
    n = 20 if JIT_DISABLED else 300
    x = np.random.default_rng(5).normal(size=n)
    by_rule = Tabulated.from_samples(x, Grid.uniform(-10, 10, 501), bandwidth="silverman")
    width = x.std(ddof=1) * (n * 3 / 4) ** -0.2
    by_hand = Tabulated.from_samples(x, Grid.uniform(-10, 10, 501), bandwidth=width)
    np.testing.assert_allclose(by_rule.values, by_hand.values, rtol=1e-12)
