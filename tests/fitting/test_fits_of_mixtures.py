"""Mixtures of Normals, fitted forward by expectation maximisation."""

import numpy as np
import pytest

from fastkl import Grid, Mixture, MultivariateNormal, Normal, Tabulated, fit, kl_divergence
from fastkl.fitting.charts import MixtureChart
from fastkl.fitting.methods.mixture import Expectation
from fastkl.fitting.reading import Reading
from fastkl.fitting.task import task_of
from fastkl.jit import JIT_DISABLED

slow = pytest.mark.skipif(JIT_DISABLED, reason="passes over thousands of points take minutes without compiled code")

THREE = Mixture([Normal(-3, 0.5), Normal(0, 1), Normal(2.5, 0.4)], [0.3, 0.3, 0.4])
PLANE = Grid.uniform([-12, -12], [12, 12], 241)
IN_PLANE = Mixture(
    [MultivariateNormal([-2, 0], [[1, 0.5], [0.5, 1]]), MultivariateNormal([2, 1], [[0.5, -0.2], [-0.2, 1]])],
    [0.35, 0.65],
)


def em(p, grid, parts):
    """Plain expectation maximisation in NumPy, from quantiles: an oracle."""
    x, w = grid.axes[0], grid.weights[0] * p.pdf(grid.axes[0])
    w = w / w.sum()
    means = np.interp((np.arange(parts) + 0.5) / parts, np.cumsum(w), x)
    scales, shares = np.full(parts, p.std / parts), np.full(parts, 1 / parts)
    for _ in range(20_000):
        logs = np.log(shares / scales) - 0.5 * ((x[:, None] - means) / scales) ** 2
        r = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None]) * w[:, None]
        shares = r.sum(axis=0)
        means = x @ r / shares
        scales = np.sqrt((r * (x[:, None] - means) ** 2).sum(axis=0) / shares)
    return Mixture([Normal(*pair) for pair in zip(means, scales, strict=True)], shares / shares.sum())


@slow
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_line_is_fitted_as_by_plain_expectation_maximisation(parts):
    grid = Grid.uniform(-9, 9, 361)
    result = fit(THREE, "mixture", grid, direction="forward", n_components=parts)
    assert result.success, result.message
    q = em(THREE, grid, parts)
    assert result.divergence <= kl_divergence(THREE, q, grid) + 1e-10
    np.testing.assert_allclose([n.loc for n in result.q.components], [n.loc for n in q.components], atol=1e-5)
    np.testing.assert_allclose(result.q.weights, q.weights, atol=1e-5)


@slow
def test_a_mixture_is_its_own_fit_on_two_axes():
    table = Tabulated(PLANE, IN_PLANE.logpdf(PLANE.points(np.arange(PLANE.size))).reshape(PLANE.shape), log=True)
    for p in (IN_PLANE, table):
        result = fit(p, Mixture, PLANE, direction="forward", n_components=2)
        assert result.success, result.message
        assert result.divergence < 1e-14  # what log(A/B) leaves of two masses of about 1
        for mine, theirs in zip(result.q.components, IN_PLANE.components, strict=True):
            np.testing.assert_allclose(mine.mean, theirs.mean, atol=1e-8)
            np.testing.assert_allclose(mine.cov, theirs.cov, atol=1e-8)
        np.testing.assert_allclose(result.q.weights, IN_PLANE.weights, atol=1e-8)


@slow
def test_one_component_is_the_moment_match():
    result = fit(IN_PLANE, "mixture", PLANE, direction="forward", n_components=1)
    normal = fit(IN_PLANE, "multivariate_normal", PLANE, direction="forward")
    np.testing.assert_allclose(result.q.components[0].cov, normal.q.cov, rtol=1e-9)
    np.testing.assert_allclose(result.divergence, normal.divergence, rtol=1e-12)


@slow
def test_more_components_come_closer():
    grid = Grid.uniform(-9, 9, 361)
    divergences = [fit(THREE, "mixture", grid, direction="forward", n_components=k).divergence for k in (1, 2, 3)]
    assert divergences == sorted(divergences, reverse=True)
    assert divergences[2] < 1e-15


@slow
def test_a_component_too_many_is_no_success():
    result = fit(THREE, "mixture", Grid.uniform(-9, 9, 361), direction="forward", n_components=4)
    assert not result.success
    assert "converged" in result.message


@pytest.mark.parametrize("ndim", [1, pytest.param(2, marks=slow)])
def test_the_gradient_is_that_of_the_divergence(ndim):
    p, grid = (THREE, Grid.uniform(-9, 9, 61)) if ndim == 1 else (IN_PLANE, PLANE)
    task = task_of(p, "mixture", grid, "forward", n_components=2)
    chart = task.chart
    assert isinstance(chart, MixtureChart)
    if ndim == 1:
        q = Mixture([Normal(-1.5, 1.2), Normal(1.7, 1.6)], [0.3, 0.7])
    else:
        parts = [
            MultivariateNormal([-1, 0.2], [[1.5, 0.2], [0.2, 1]]),
            MultivariateNormal([1.5, 1], [[1, 0.1], [0.1, 1.3]]),
        ]
        q = Mixture(parts, [0.3, 0.7])
    state = chart.state(q)
    step = Expectation(Reading(task), [1] * ndim)(state)
    np.testing.assert_allclose(step.value, kl_divergence(p, q, grid), rtol=1e-12)
    # central differences: h**2 times a third derivative of about 1
    h = 1e-4
    slopes = []
    for s in h * np.eye(len(chart.parameter_names)):
        ahead, behind = (
            kl_divergence(p, chart.density(chart.move(state[None], sign * s[None])[0]), grid) for sign in (1, -1)
        )
        slopes.append((ahead - behind) / (2 * h))
    np.testing.assert_allclose(step.gradient, slopes, atol=1e-7)


@slow
def test_starts_are_taken():
    grid = Grid.uniform(-9, 9, 361)
    start = Mixture([Normal(-3, 1), Normal(2, 1)], [0.5, 0.5])
    result = fit(THREE, "mixture", grid, direction="forward", n_components=2, starts=[start])
    assert result.success, result.message
    with pytest.raises(TypeError, match="expected a Mixture of 2 Normals"):
        fit(THREE, "mixture", grid, direction="forward", n_components=2, starts=[Normal(0, 1)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"direction": "reverse", "n_components": 2}, "direction='forward'"),
        ({"direction": "forward"}, "n_components"),
        ({"direction": "forward", "n_components": 0}, "at least 1, got 0"),
        ({"direction": "forward", "n_components": 40}, "n_components=40 is more than the grid can hold"),
    ],
)
def test_bad_requests_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fit(THREE, "mixture", Grid.uniform(-9, 9, 61), **options)
    with pytest.raises(ValueError, match="n_components"):
        fit(THREE, "normal", Grid.uniform(-9, 9, 61), direction="forward", n_components=2)
