"""Mixtures of Normals, fitted forward by expectation maximisation."""

import numpy as np
import pytest

from fastkl import Grid, Laplace, Mixture, MultivariateNormal, Normal, Tabulated, fit, kl_divergence
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
    for p, grid, parts in ((THREE, Grid.uniform(-9, 9, 361), 4), (IN_PLANE, PLANE, 3), (Normal(0, 1), None, 2)):
        result = fit(p, "mixture", grid, direction="forward", n_components=parts)
        assert not result.success
        assert result.divergence < 1e-9  # EM stops below 1e-10 on the coarse grid
        assert "not identified: the divergence is flat" in result.message
        assert "fewer components may do" in result.message


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


@slow
@pytest.mark.parametrize("parts", [2, 3])
def test_the_hessian_is_that_at_q(parts):
    grid = Grid.uniform(-9, 9, 361)
    p = Mixture([Laplace(-2, 1), Normal(2, 0.5)])
    result = fit(p, "mixture", grid, direction="forward", n_components=parts)
    task = task_of(p, "mixture", grid, "forward", n_components=parts)
    divergence, state = Expectation(Reading(task), [1]), task.chart.state(result.q)
    h = 1e-3  # the error of a second difference is h**2 / 12 times a fourth derivative of about 10, and 1e-15 / h**2

    def second(step):
        moved = task.chart.move(np.stack([state] * 3), np.stack([-h * step, 0 * step, h * step]))
        return np.array([1, -2, 1]) @ [divergence(one).value for one in moved] / h**2

    axes = np.eye(len(result.parameter_names))
    np.testing.assert_allclose(np.diag(result.hessian), [second(step) for step in axes], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        axes.sum(axis=0) @ result.hessian @ axes.sum(axis=0), second(axes.sum(axis=0)), rtol=1e-4
    )


def best_of_many_starts(p, parts, *, runs=40, steps=1500):
    """The least divergence of plain expectation maximisation from random places and scales: an oracle."""
    x, w = p.grid.axes[0][::8], (p.grid.weights[0] * p.pdf(p.grid.axes[0]))[::8]
    w, rng = w / w.sum(), np.random.default_rng(0)
    means = rng.choice(x, (runs, parts), p=w)
    scales, shares = p.std * rng.uniform(0.1, 1, (runs, parts)), rng.dirichlet(np.ones(parts), runs)
    for _ in range(steps):
        logs = np.log(shares / scales)[..., None] - 0.5 * ((x - means[..., None]) / scales[..., None]) ** 2
        log_q = np.logaddexp.reduce(logs, axis=1)
        r = np.exp(logs - log_q[:, None]) * w
        shares = r.sum(axis=2)
        means = r @ x / shares
        scales = np.sqrt((r * (x - means[..., None]) ** 2).sum(axis=2) / shares) + 1e-9 * p.std
    best = np.argmax(log_q @ w)
    parts = [Normal(*pair) for pair in zip(means[best], scales[best], strict=True)]
    return kl_divergence(p, Mixture(parts, shares[best] / shares[best].sum()), p.grid)


@slow
@pytest.mark.parametrize(("column", "parts"), [("total_phenols", 3), ("ash", 4), ("proanthocyanins", 3)])
def test_the_best_of_many_starts_is_found_on_real_samples(column, parts):
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    wine = datasets.load_wine()
    x = wine.data[:, wine.feature_names.index(column)]
    p = Tabulated.from_samples(x, bandwidth=0.5 * x.std() * x.size**-0.2)
    result = fit(p, "mixture", direction="forward", n_components=parts)
    assert result.converged
    # the oracle sees every eighth node and stops after 1500 steps
    assert result.divergence <= 1.001 * best_of_many_starts(p, parts)
    assert fit(p, "mixture", direction="forward", n_components=parts).divergence == result.divergence


@slow
def test_an_outlier_has_a_component_of_its_own():
    x = np.concatenate([np.random.default_rng(2).normal(size=300), [6.0]])
    result = fit(Tabulated.from_samples(x), "mixture", direction="forward", n_components=2)
    assert result.success, result.message
    np.testing.assert_allclose(result.q.weights[1], 1 / 301, rtol=0.05)
    np.testing.assert_allclose(result.q.components[1].loc, 6.0, atol=0.02)


@slow
def test_many_components_on_two_axes_are_found():
    places = [(-4, -4), (-4, 4), (4, -4), (4, 4), (0, 0)]
    p = Mixture([MultivariateNormal(m, [[1, 0.3], [0.3, 0.6]]) for m in places], [0.1, 0.15, 0.2, 0.25, 0.3])
    result = fit(p, "mixture", Grid.uniform([-10, -10], [10, 10], 161), direction="forward", n_components=5)
    assert result.success, result.message
    assert result.divergence < 1e-12


@slow
def test_a_narrow_ridge_of_a_plane_is_resolved_by_the_cells():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    p = Tabulated.from_samples(datasets.load_iris().data[:, 2:])  # petals, with a correlation of 0.96
    result = fit(p, "mixture", direction="forward", n_components=3, rtol=1e-3)
    assert result.success, result.message
    # GaussianMixture with 20 random starts reaches 0.01243 on 3,000 draws from p
    assert result.divergence < 0.0105


@slow
def test_few_cells_hold_the_components_of_a_narrow_table():
    values = np.zeros(64)
    values[30:42] = np.arange(1, 13) % 5 + 1
    result = fit(Tabulated(Grid.uniform(0, 63, 64), values), "mixture", direction="forward", n_components=3)
    assert 0 < result.divergence < 0.1
