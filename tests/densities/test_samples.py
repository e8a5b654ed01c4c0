"""Kernel density estimates from samples: on a support, on several axes, and again for a fit."""

import math
import pickle
import re

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer

from fastkl import Grid, Tabulated, fit
from fastkl.densities import samples
from fastkl.jit import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="sums over thousands of bins take minutes without compiled code")

RNG = np.random.default_rng(11)
POSITIVE = RNG.gamma(0.7, 2.0, 200)
UNIT = RNG.beta(0.8, 2.0, 200)
IN_PLANE = RNG.multivariate_normal([1, -2], [[1, 0.9], [0.9, 1.2]], 300)
IN_SPACE = RNG.normal(size=(300, 3)) @ np.array([[1, 0.4, 0.1], [0, 2, 0.5], [0, 0, 0.3]])
BINNING = 2e-4
"""Relative error of a density from linear bins, 64 in a bandwidth: about step**2 / 4, times a curvature of a few."""


def logit(x):
    return np.log(x) - np.log1p(-x)


@pytest.mark.parametrize(
    ("x", "support", "y", "slope"),
    [
        (POSITIVE, (0, math.inf), np.log, lambda x: 1 / x),
        (7 + POSITIVE, (7, math.inf), lambda x: np.log(x - 7), lambda x: 1 / (x - 7)),
        (-POSITIVE, (-math.inf, 0), lambda x: -np.log(-x), lambda x: -1 / x),
        (UNIT, (0, 1), logit, lambda x: 1 / (x * (1 - x))),
        (2 * UNIT - 5, (-5, -3), lambda x: logit((x + 5) / 2), lambda x: 2 / ((x + 5) * (-3 - x))),
    ],
)
def test_a_support_is_that_of_scipys_estimate_in_a_logarithm(x, support, y, slope):
    p = Tabulated.from_samples(x, support=support)
    lower, upper = support
    nodes = p.grid.axes[0]
    assert lower < nodes[0]
    assert nodes[-1] < upper
    assert p.support == support
    assert np.isfinite(p.values).all()
    outside = [end for end in (lower - 0.1, upper + 0.1) if math.isfinite(end)]
    assert (p.pdf(outside) == 0).all()
    assert abs(p.log_normalizer) < 1e-7  # the ends of the grid, 1e-13 of an end away from it, round the panels there
    kde = stats.gaussian_kde(y(x))
    near = nodes[(nodes > np.quantile(x, 0.001)) & (nodes < np.quantile(x, 0.999))]
    np.testing.assert_allclose(p.pdf(near), kde.pdf(y(near)) * slope(near), rtol=5 * BINNING)


def test_the_mean_on_a_half_line_is_that_of_log_normals():
    p = Tabulated.from_samples(POSITIVE, support=(0, math.inf), weights=np.arange(200.0))
    weights = np.arange(200.0) / np.arange(200.0).sum()
    kde = stats.gaussian_kde(np.log(POSITIVE), weights=weights)
    np.testing.assert_allclose(p.mean, weights @ POSITIVE * np.exp(kde.covariance[0, 0] / 2), rtol=BINNING)


def test_a_given_grid_may_reach_beyond_the_support():
    p = Tabulated.from_samples(POSITIVE, Grid.uniform(-2, 40, 8401), support=(0, math.inf))
    nodes = p.grid.axes[0]
    assert np.isneginf(p.values[nodes <= 0]).all()
    assert np.isfinite(p.values[nodes > 0]).all()
    cells = Tabulated.from_samples(POSITIVE, Grid.from_edges(np.linspace(0, 40, 8001)), support=(0, math.inf))
    assert np.isfinite(cells.values).all()


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("bandwidth", ["scott", 0.4])
def test_a_family_with_an_end_is_fitted_to_an_estimate_on_its_support(direction, bandwidth):
    # KL does not depend on the coordinate: a LogNormal of x is a Normal of log x
    result = fit(Tabulated.from_samples(POSITIVE, bandwidth=bandwidth), "log_normal", direction=direction)
    if not isinstance(bandwidth, str):  # the ratio to the standard deviation is kept
        bandwidth *= np.log(POSITIVE).std() / POSITIVE.std()
    of_logs = fit(Tabulated.from_samples(np.log(POSITIVE), bandwidth=bandwidth), "normal", direction=direction)
    assert result.success, result.message
    assert "estimated again from its samples with support=(0, inf)" in result.message
    assert result.p.support == (0, math.inf)
    np.testing.assert_allclose(np.log(result.q.scale), of_logs.q.loc, rtol=1e-7)
    np.testing.assert_allclose(result.q.s, of_logs.q.scale, rtol=1e-7)
    np.testing.assert_allclose(result.divergence, of_logs.divergence, rtol=1e-6)


def test_a_log_normal_has_the_moments_of_the_logarithms():
    result = fit(Tabulated.from_samples(POSITIVE), "log_normal", direction="forward")
    logs, factor = np.log(POSITIVE), 200**-0.2
    np.testing.assert_allclose(np.log(result.q.scale), logs.mean(), rtol=1e-9)
    np.testing.assert_allclose(result.q.s**2, logs.var() + factor**2 * logs.var(ddof=1), rtol=1e-4)  # of the bins


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize(
    ("family", "x"),
    [
        ("gamma", POSITIVE),
        ("gamma", 50 + POSITIVE),
        ("weibull", POSITIVE),
        ("log_normal", 40 * np.exp(2 * IN_PLANE[:, 0])),
        ("inverse_gamma", 1 / POSITIVE),
        ("beta", UNIT),
        ("beta", (np.arange(100) + 0.5) / 100),
    ],
)
def test_fits_of_families_with_an_end_are_successes(family, x, direction):
    result = fit(Tabulated.from_samples(x), family, direction=direction, rtol=1e-5, mass_tol=1e-4)
    assert result.success, result.message
    assert result.divergence < 0.3


def test_an_estimate_is_made_again_only_where_it_reaches_beyond_the_family():
    within = Tabulated.from_samples(UNIT, support=(0, 1))
    assert "again" not in fit(within, "beta", direction="forward").message
    assert "again" not in fit(within, "gamma", direction="forward").message
    on_half_line = Tabulated.from_samples(UNIT, support=(0, math.inf))
    assert "support=(0, 1)" in fit(on_half_line, "beta", direction="forward").message
    assert "again" not in fit(Tabulated.from_samples(UNIT), "normal", direction="forward").message
    given = Tabulated.from_samples(UNIT, Grid.uniform(-1, 2, 1001))
    with pytest.raises(ValueError, match="the grid has a node at -1"):
        fit(given, "beta", direction="forward")
    with pytest.raises(ValueError, match="lives between 0 and 1, but the grid has a node at -"):
        fit(Tabulated.from_samples(-UNIT, support=(-1, 0)), "beta", direction="forward")


def test_an_estimate_is_pickled_and_says_where_it_comes_from():
    p = Tabulated.from_samples(UNIT, support=(0, 1))
    copy = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(copy.values, p.values)
    assert repr(copy) == repr(p)
    assert repr(p).startswith("Tabulated.from_samples(200 observations, Grid(")
    assert "support=[(0.0, 1.0)]" in repr(p)


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.7])
@pytest.mark.parametrize("x", [IN_PLANE, IN_SPACE])
def test_samples_on_several_axes_give_scipys_estimate(x, bandwidth):
    weights = np.linspace(0.5, 1.5, 300)
    p = Tabulated.from_samples(x, weights=weights, bandwidth=bandwidth)
    kde = stats.gaussian_kde(x.T, weights=weights, bw_method=bandwidth)
    nodes = p.grid.points(np.arange(p.grid.size))[:: 1 if p.ndim == 2 else 11]
    expected, found = kde.logpdf(nodes.T), p.values.ravel()[:: 1 if p.ndim == 2 else 11] - p.log_normalizer
    # at a distance of r bandwidths a step between bins changes r**2 / 2 by at most half a step times r on each axis
    distance = np.sqrt(2 * (expected.max() - expected))
    step = {2: 1 / 16, 3: 1 / 4}[p.ndim]
    off = np.abs(found - expected)
    assert (off < 0.5 * step * np.sqrt(p.ndim) * distance + step**2).all()
    assert off[distance < 3].max() < step**2  # where many observations lie, their offsets from the bins cancel
    assert abs(p.log_normalizer) < 1e-5
    assert found.min() < -300  # far below the doubles, but kept as logarithms
    result = fit(p, "multivariate_normal", direction="forward", rtol=1e-3)
    assert result.success, result.message
    smoothed = np.cov(x.T, aweights=weights, bias=True) + kde.covariance
    np.testing.assert_allclose(result.q.mean, np.average(x, axis=0, weights=weights), atol=1e-6)
    np.testing.assert_allclose(result.q.cov, smoothed, rtol=2e-3, atol=2e-3)


def test_a_column_is_a_line():
    column, line = Tabulated.from_samples(UNIT[:, None]), Tabulated.from_samples(UNIT)
    assert column.grid == line.grid
    np.testing.assert_array_equal(column.values, line.values)


def test_each_axis_has_a_support():
    x = np.column_stack([POSITIVE, UNIT, IN_PLANE[:200, 0]])[:, :2]
    p = Tabulated.from_samples(x, support=[(0, math.inf), (0, 1)])
    assert np.isfinite(p.values).all()
    assert abs(p.log_normalizer) < 1e-5
    kde = stats.gaussian_kde(np.stack([np.log(x[:, 0]), logit(x[:, 1])]))
    at = np.array([0.5, 0.3])
    i, j = (int(np.argmin(abs(axis - c))) for axis, c in zip(p.grid.axes, at, strict=True))
    a, b = p.grid.axes[0][i], p.grid.axes[1][j]
    np.testing.assert_allclose(np.exp(p.values[i, j]), kde.pdf([np.log(a), logit(b)])[0] / (a * b * (1 - b)), rtol=0.02)


CORRELATED = load_breast_cancer().data[:, [0, 2]]  # radius and perimeter: 0.998


@pytest.mark.parametrize(
    ("x", "support"),
    [
        (load_breast_cancer().data[:, [0, 1, 3]], None),
        (np.exp(RNG.multivariate_normal([0, 0], [[1, 0.998], [0.998, 1]], 200)), [(0, math.inf)] * 2),
    ],
)
def test_the_default_grid_resolves_the_bandwidth(x, support):
    p = Tabulated.from_samples(x, support=support)
    y = x if support is None else np.log(x)
    kde = stats.gaussian_kde(y.T)
    widths = 1.0 / np.sqrt(np.diag(kde.inv_cov))
    for axis, width, column in zip(p.grid.axes, widths, y.T, strict=True):
        line = axis if support is None else np.log(axis)
        beside = np.searchsorted(line, column)
        assert np.mean(line[beside] - line[beside - 1] <= width) >= 0.99
    assert abs(p.log_normalizer) < 1e-4
    if support is None:
        np.testing.assert_allclose(p.cov, np.cov(y.T, bias=True) + kde.covariance, rtol=5e-3)


@pytest.mark.parametrize(
    ("x", "support", "bandwidth"),
    [
        (CORRELATED, None, "scott"),
        (CORRELATED[:, 0], None, 0.004),
        (CORRELATED[:, 0], (0, math.inf), 0.001),
    ],
)
def test_remedies_for_a_default_grid_that_would_be_too_large_work(x, support, bandwidth, monkeypatch):
    monkeypatch.setitem(samples.MOST_POINTS, x.ndim, {1: 5000, 2: 300_000}[x.ndim])
    with pytest.raises(ValueError, match="the default grid would take") as caught:
        Tabulated.from_samples(x, support=support, bandwidth=bandwidth)
    message = str(caught.value)
    assert ("0 and 1 have a correlation of 0.9979" in message) == (x.ndim == 2)
    suffices = float(re.search(r"bandwidth=([\d.e-]+) or more", message)[1])
    Tabulated.from_samples(x, support=support, bandwidth=suffices)
    with pytest.raises(ValueError, match="the default grid would take"):
        Tabulated.from_samples(x, support=support, bandwidth=0.95 * suffices)
    steps = [float(text.split()[0]) for text in message.partition("steps of at most ")[2].split(", ")]
    y = np.reshape(x if support is None else np.log(x), (len(x), -1))
    low, high = y.min(axis=0) - 1, y.max(axis=0) + 1
    axes = [np.linspace(a, b, math.ceil((b - a) / step) + 1) for a, b, step in zip(low, high, steps, strict=True)]
    grid = Grid.from_axes(*(axis if support is None else np.exp(axis) for axis in axes))
    Tabulated.from_samples(x, grid, support=support, bandwidth=bandwidth)


def test_no_bandwidth_is_named_where_none_suffices(monkeypatch):
    monkeypatch.setitem(samples.MOST_POINTS, 2, 70_000)
    with pytest.raises(ValueError, match=r"have a correlation of 0.9979\), or grid= with steps of at most 0\.\d+, "):
        Tabulated.from_samples(CORRELATED)


def test_a_given_grid_hears_how_many_points_it_needs():
    with pytest.raises(ValueError, match="is below the grid's step of ") as caught:
        Tabulated.from_samples(CORRELATED, Grid.uniform([0, 20], [40, 250], [4001, 101]))
    n = int(re.search(r"take (\d+) points instead of 101 on axis 1", str(caught.value))[1])
    Tabulated.from_samples(CORRELATED, Grid.uniform([0, 20], [40, 250], [4001, n]))
