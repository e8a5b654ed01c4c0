"""Densities of other libraries and functions of the user's."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import fastkl
from fastkl import (
    Density,
    Gamma,
    Grid,
    MultivariateNormal,
    Normal,
    StudentT,
    Tabulated,
    as_density,
    fit,
    kl_divergence,
)
from fastkl.densities import adapted
from fastkl.jit import JIT_DISABLED, progress

GRID = Grid.uniform(-9, 10, 191)
PLANE = Grid.uniform([-5, -6], [6, 5], [23, 25])
Q = Normal(0.5, 2)
Q2 = MultivariateNormal([0, 0.2], [[2, 0.3], [0.3, 1.5]])
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
X = np.linspace(-4, 5, 10)
POINTS = np.random.default_rng(0).normal(size=(6, 2))


def log_normal_density(x):
    return -0.5 * x * x - LOG_SQRT_2PI


class WithPdf:
    def pdf(self, x):
        return np.exp(log_normal_density(x))


class WithLogpdf:
    dim = 2

    def logpdf(self, x):
        return log_normal_density(x).sum(axis=-1)


# What is adapted, with which keywords, and the same density of this package.
KINDS = {
    "a frozen norm": (stats.norm(1, 1), {}, Normal(1, 1)),
    "a frozen t": (stats.t(4, 1, 2), {}, StudentT(4, 1, 2)),
    "a new Normal of SciPy": (stats.Normal(mu=1.0, sigma=2.0), {}, Normal(1, 2)),
    "an object with pdf": (WithPdf(), {}, Normal(0, 1)),
    "an object with logpdf and dim": (WithLogpdf(), {}, MultivariateNormal([0, 0], np.eye(2))),
    "a function": (WithPdf().pdf, {}, Normal(0, 1)),
    "a function of logarithms": (log_normal_density, {"log": True}, Normal(0, 1)),
    "a function on the plane": (
        lambda x: np.exp(log_normal_density(x[:, 0]) + log_normal_density(x[:, 1] - 1)),
        {"ndim": 2},
        MultivariateNormal([0, 1], np.eye(2)),
    ),
    "a frozen multivariate_normal": (
        stats.multivariate_normal([1, 0], [[1, 0.5], [0.5, 2]]),
        {},
        MultivariateNormal([1, 0], [[1, 0.5], [0.5, 2]]),
    ),
}
each_kind = pytest.mark.parametrize(("obj", "keywords", "same"), KINDS.values(), ids=KINDS)


@each_kind
def test_the_divergence_is_that_of_the_formula(obj, keywords, same):
    p = as_density(obj, **keywords)
    assert isinstance(p, Density)
    assert p.ndim == same.ndim
    grid, q, x = (GRID, Q, X) if p.ndim == 1 else (PLANE, Q2, POINTS)
    # SciPy's log-densities of up to 100 are rounded at other places
    np.testing.assert_allclose(p.logpdf(x), same.logpdf(x), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(p.pdf(x), same.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(kl_divergence(p, q, grid), kl_divergence(same, q, grid), rtol=1e-11)
    np.testing.assert_allclose(kl_divergence(q, p, grid), kl_divergence(q, same, grid), rtol=1e-11)
    assert kl_divergence(p, p, grid) == 0.0


def test_a_density_stays_itself():
    assert as_density(Q) is Q


def test_a_frozen_distribution_says_where_it_is():
    p = as_density(stats.gamma(2.5))
    assert p.support == (0.0, math.inf)
    assert (p.mean, p.std) == (2.5, pytest.approx(math.sqrt(2.5), rel=1e-15))
    # so a grid is chosen for it; 1e-9 is the tolerance of singular ends
    np.testing.assert_allclose(kl_divergence(p, Gamma(3)), kl_divergence(Gamma(2.5), Gamma(3)), rtol=1e-9)
    assert kl_divergence(Normal(0, 1), p) == math.inf


@pytest.mark.filterwarnings("ignore:q sums to 1.04992")  # the trapezoid rule at a jump
def test_a_frozen_distribution_has_no_mass_off_its_support():
    result = kl_divergence(Normal(1, 1), as_density(stats.expon()), Grid.uniform(-5, 7, 121), full_output=True)
    assert result.value == math.inf
    assert result.first_infinite == -5.0


def test_kernel_density_estimates():
    rng = np.random.default_rng(3)
    for ndim, grid, q in ((1, GRID, Q), (2, PLANE, Q2)):
        kde = stats.gaussian_kde(rng.normal(size=(ndim, 40)))
        p = as_density(kde)
        assert p.ndim == ndim
        points = grid.points(np.arange(grid.size))
        np.testing.assert_allclose(p.pdf(points), kde.pdf(points.T), rtol=1e-12)  # exp of its own logpdf
        table = Tabulated(grid, kde.logpdf(points.T).reshape(grid.shape), log=True)
        # the table is normalised on the grid, of which the box holds all but 1e-6 of the estimate
        np.testing.assert_allclose(kl_divergence(p, q, grid), kl_divergence(table, q, grid), rtol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussian_mixtures_of_scikit_learn(ndim, covariance_type, dtype):
    mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is not installed")
    x = np.random.default_rng(5).normal(size=(200, ndim)) * np.arange(1, ndim + 1)
    x[:80] += 4.0
    fitted = mixture.GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(x.astype(dtype))
    p = as_density(fitted)
    assert p.ndim == ndim
    # it becomes a formula of this package; in single precision weights and covariances are off by 1e-7 of themselves
    rtol = 1e-12 if dtype is np.float64 else 1e-4
    expected = fitted.score_samples(x.astype(dtype))
    np.testing.assert_allclose(p.logpdf(x[:, 0] if ndim == 1 else x), expected, rtol=rtol, atol=rtol)
    assert math.fsum(p.weights) == pytest.approx(1.0, abs=1e-15)


def test_a_gaussian_mixture_that_is_not_fitted():
    mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is not installed")
    with pytest.raises(TypeError, match="GaussianMixture"):
        as_density(mixture.GaussianMixture(2))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(adapted, "CHUNK", 100)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("grid", "q"), [(GRID, Q), (PLANE, Q2)], ids=["a line", "a plane"])
def test_a_function_never_gets_more_points_than_a_chunk(grid, q):
    seen = []

    def function(x):
        seen.append(x.copy())
        return log_normal_density(x if x.ndim == 1 else x[:, 0] + 0.1 * x[:, 1] ** 2)

    p = as_density(function, log=True, ndim=grid.ndim)
    first = kl_divergence(p, q, grid, full_output=True).value
    assert max(map(len, seen)) == 100
    # every point once, in the order of the grid: the coarser sums of the error take the same values
    np.testing.assert_array_equal(np.concatenate(seen), grid.points(np.arange(grid.size)))
    assert kl_divergence(p, q, grid) == first
    assert sum(map(len, seen)) == grid.size  # they are kept
    kl_divergence(p, q, Grid.uniform([-4] * grid.ndim, [4] * grid.ndim, 20))
    assert sum(map(len, seen)) == grid.size + 20**grid.ndim


def test_the_chunk_of_the_package():
    assert adapted.CHUNK == 2**16
    if JIT_DISABLED:
        return  # that many points take long in the sums
    seen = []

    def function(x):
        seen.append(len(x))
        return log_normal_density(x)

    kl_divergence(as_density(function, log=True), Q, Grid.uniform(-9, 9, 150_001))
    assert seen == [2**16, 2**16, 150_001 - 2**17]


@pytest.mark.usefixtures("small_chunks")
def test_progress_is_reported():
    reports = []
    with progress(lambda done, size: reports.append((done, size))):
        kl_divergence(as_density(log_normal_density, log=True), Q, GRID)
    assert reports[:2] == [(100, 191), (191, 191)]
    assert reports[-1] == (191, 191)  # of the sum


def test_fits_take_them():
    p = as_density(stats.norm(1, 2))
    result = fit(p, "normal", Grid.uniform(-17, 19, 361), direction="reverse")
    assert (result.q.loc, result.q.scale) == pytest.approx((1, 2), abs=1e-9)  # gtol


def where(bad, good=1.0):
    """A function that is *bad* beyond 1, on the line or along the first axis."""

    def function(x):
        return np.where((x if x.ndim == 1 else x[:, 0]) > 1.0, bad, good)

    return function


def integrate(obj, **keywords):
    ndim = keywords.get("ndim", 1)
    return kl_divergence(as_density(obj, **keywords), Q if ndim == 1 else Q2, GRID if ndim == 1 else PLANE)


BAD = {
    "NaN": (lambda: integrate(where(np.nan)), ValueError, r"a density must be >= 0 and finite.*gave nan at x = 1\.1"),
    "negative": (lambda: integrate(where(-0.5)), ValueError, r"a density must be >= 0.*gave -0\.5 at x = 1\.1"),
    "infinite": (lambda: integrate(where(np.inf)), ValueError, r"finite.*gave inf at x = 1\.1"),
    "log NaN": (lambda: integrate(where(np.nan), log=True), ValueError, r"a log-density.*gave nan at x = 1\.1"),
    "log inf": (lambda: integrate(where(np.inf), log=True), ValueError, r"below inf.*gave inf at x = 1\.1"),
    "NaN on a plane": (lambda: integrate(where(np.nan), ndim=2), ValueError, r"gave nan at x = 1\.5, -6\.0"),
    "a column": (lambda: integrate(lambda x: x[:, None]), ValueError, r"shape \(191, 1\) for 191 points"),
    "one number": (lambda: integrate(lambda x: 1.0), ValueError, r"shape \(\) for 191 points"),
    "nothing": (lambda: integrate(lambda x: None), ValueError, r"shape \(\) for 191 points"),
    "points of a plane": (lambda: integrate(lambda x: x, ndim=2), ValueError, r"shape \(575, 2\) for 575 points"),
    "text": (lambda: integrate(lambda x: ["a"] * len(x)), TypeError, "must be numbers, got 'a'"),
    "complex numbers": (lambda: integrate(lambda x: x + 1j), TypeError, "must be real, got complex numbers"),
    "all 0": (lambda: integrate(where(0.0, 0.0)), ValueError, r"no mass on the grid \[-9\.0, 10\.0\]"),
    "no density": (lambda: as_density(3), TypeError, "has logpdf or pdf, or is a function; got 3"),
    "counts": (lambda: as_density(stats.poisson(3)), TypeError, "discrete distribution"),
    "no dimension": (lambda: as_density(where(1.0), ndim=0), ValueError, "at least 1 dimension, got ndim=0"),
    "1.5 dimensions": (lambda: as_density(where(1.0), ndim=1.5), TypeError, "ndim must be a whole number, got 1.5"),
    "no grid": (lambda: kl_divergence(as_density(where(1.0)), Q), TypeError, "automatically.*give grid="),
    "no moments": (lambda: as_density(where(1.0)).mean, TypeError, "the mean of as_density.* is not known"),
    "no deviation": (lambda: as_density(where(1.0)).std, TypeError, "deviation of as_density.* is not known"),
    "too many points": (
        lambda: kl_divergence(as_density(where(1.0)), Q, Grid.uniform(0, 1, 2**31)),
        ValueError,
        "evaluated at 2147483648 points, more than 1073741824",
    ),
    "another number of dimensions": (
        lambda: kl_divergence(as_density(where(1.0), ndim=2), Q2, GRID),
        ValueError,
        "2 dimensions",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_functions_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_function_may_take_the_logarithm_of_zero():
    def function(x):
        return np.log(np.maximum(1.0 - x * x / 64.0, 0.0) * 3.0 / 32.0)  # warns outside of [-8, 8]

    p = as_density(function, log=True)
    assert kl_divergence(Normal(0, 1), p, GRID) == math.inf
    assert 0.0 < kl_divergence(p, Normal(0, 3), GRID) < math.inf


def test_what_a_function_raises_passes():
    with pytest.raises(ZeroDivisionError):
        integrate(lambda x: 1 / 0)


def test_a_function_has_to_be_normalised():
    """What its sum over the grid lacks of 1 counts as mass outside, as for any formula."""
    p, half = Normal(0, 1), as_density(lambda x: 0.5 * Normal(0, 1).pdf(x))
    result = kl_divergence(p, half, GRID, full_output=True)
    assert (result.mass_outside_q, result.value) == pytest.approx((0.5, math.log(2)), rel=1e-13)
    with pytest.warns(UserWarning, match="misses q: 1 of its mass"):
        kl_divergence(p, as_density(lambda x: 1e-200 * Normal(0, 1).pdf(x)), GRID)


def test_it_says_what_it_is():
    assert repr(as_density(WithPdf.pdf)).startswith("as_density(<function WithPdf.pdf")


def test_more_than_1_is_warned_of():
    with pytest.warns(UserWarning, match=r"p sums to 2\.50663 on the grid, not to 1: is it resolved, and normalised"):
        kl_divergence(as_density(lambda x: np.exp(-0.5 * x * x)), Normal(0, 1), GRID)


OBSERVATIONS = np.random.default_rng(0).normal(size=200)


def scipy_mixture():
    return stats.Mixture([stats.Normal(mu=-3.0), stats.Uniform(a=2.0, b=4.0)], weights=[0.4, 0.6])


@pytest.mark.parametrize(
    ("make", "same"),
    [
        (lambda: stats.Normal(mu=1.0, sigma=2.0), Normal(1, 2)),
        (lambda: stats.make_distribution(stats.gamma)(a=2.0), fastkl.Gamma(2)),
        (lambda: 2.0 * stats.Normal() + 1.0, Normal(1, 2)),
        (lambda: stats.Uniform(a=0.0, b=1.0), fastkl.Beta(1, 1)),
        (lambda: stats.uniform(0, 1), fastkl.Beta(1, 1)),
        (lambda: stats.arcsine(), fastkl.Beta(0.5, 0.5)),
    ],
    ids=["Normal", "make_distribution", "shifted", "Uniform", "uniform", "arcsine"],
)
@pytest.mark.skipif(not hasattr(stats, "make_distribution"), reason="an older SciPy has no new distributions")
def test_a_grid_is_chosen_for_a_distribution(make, same):
    p = as_density(make())
    assert kl_divergence(p, Normal(0, 3)) == pytest.approx(kl_divergence(same, Normal(0, 3)), rel=1e-7)
    found = fit(p, "normal", direction="forward")
    assert (found.q.loc, found.q.scale) == pytest.approx((same.mean, same.std), rel=1e-7)
    assert found.success


@pytest.mark.skipif(not hasattr(stats, "make_distribution"), reason="an older SciPy has no new distributions")
def test_a_grid_is_chosen_for_a_mixture_of_distributions():
    p = as_density(scipy_mixture())
    assert p._kinks == (2.0, 4.0)
    mean = 0.4 * -3 + 0.6 * 3
    variance = 0.4 * (1 + (3 + mean) ** 2) + 0.6 * (4 / 12 + (3 - mean) ** 2)
    found = fit(p, "normal", direction="forward")
    assert (found.q.loc, found.q.scale) == pytest.approx((mean, math.sqrt(variance)), rel=1e-9)


def test_a_grid_is_chosen_for_a_kernel_estimate():
    source = stats.gaussian_kde(np.append(OBSERVATIONS, [40.0, 40.1]), weights=np.arange(1, 203))
    p, width = as_density(source), math.sqrt(source.covariance[0, 0])
    same = fastkl.Mixture([Normal(x, width) for x in source.dataset[0]], source.weights)
    assert (p.mean, p.std) == pytest.approx((same.mean, same.std), rel=1e-12)
    assert kl_divergence(p, Normal(1, 5)) == pytest.approx(kl_divergence(same, Normal(1, 5)), rel=1e-9)
    found = fit(p, "normal", direction="forward")
    assert (found.q.loc, found.q.scale) == pytest.approx((same.mean, same.std), rel=1e-9)


@pytest.mark.parametrize(
    ("load", "column"),
    [(load_iris, 1), (load_iris, 2), (load_breast_cancer, 0), (load_diabetes, 5), (load_diabetes, 8)],
)
def test_a_grid_is_chosen_for_a_kernel_estimate_of_real_columns(load, column):
    x = load().data[:, column]
    source = stats.gaussian_kde(x)
    p, q = as_density(source), Normal(x.mean(), x.std())
    reach = 12.0 * x.std()
    fine = Grid.uniform(x.mean() - reach, x.mean() + reach, 20001)  # to 12 sigma, where a Normal is 1e-32
    for one, other in ((p, q), (q, p)):
        assert kl_divergence(one, other) == pytest.approx(kl_divergence(one, other, fine), rel=1e-12)
    for direction in ("forward", "reverse"):
        chosen, reference = (fit(p, "normal", grid, direction=direction) for grid in (None, fine))
        assert chosen.success, chosen.message
        assert chosen.q.loc == pytest.approx(reference.q.loc, rel=1e-9, abs=1e-9 * x.std())
        assert chosen.q.scale == pytest.approx(reference.q.scale, rel=1e-9)


@pytest.mark.parametrize("loc", [0.0, 5.0])
def test_a_von_mises_lives_on_one_turn(loc):
    p = as_density(stats.vonmises(2.0, loc=loc))
    same = as_density(stats.vonmises_line(2.0, loc))
    assert p.support == pytest.approx((loc - math.pi, loc + math.pi))
    assert p.logpdf(loc + 3.2) == -math.inf
    assert kl_divergence(p, Normal(loc, 3)) == pytest.approx(kl_divergence(same, Normal(loc, 3)), rel=1e-12)
    assert fit(p, "normal", direction="forward").q.loc == pytest.approx(loc, abs=1e-9)


def test_the_error_of_a_heavy_tail_is_small():
    found = kl_divergence(as_density(stats.t(5)), Normal(0, 1), full_output=True)
    exact = kl_divergence(fastkl.StudentT(5), Normal(0, 1))
    assert abs(found.value - exact) <= found.error <= 1e-8 * exact
    assert kl_divergence(as_density(stats.invgamma(1.2)), fastkl.Gamma(2), full_output=True).error < 1e-8


@pytest.mark.parametrize(
    "make", [lambda: stats.t(3), lambda: stats.gaussian_kde(OBSERVATIONS), lambda: stats.vonmises(2.0)]
)
def test_a_density_pickles_without_its_table(make):
    p = as_density(make())
    found = fit(p, "normal", direction="forward")
    again = pickle.loads(pickle.dumps(found))
    assert again.q == found.q
    assert again.divergence == found.divergence
    assert again.p._known is None
    assert again.p.logpdf(0.3) == p.logpdf(0.3)


@pytest.mark.skipif(not hasattr(stats, "make_distribution"), reason="an older SciPy has no new distributions")
@pytest.mark.parametrize(
    "make",
    [
        lambda: stats.Normal(mu=2.0, sigma=3.0),
        lambda: stats.Mixture([stats.Normal(mu=2.0), stats.Normal(mu=5.0, sigma=0.5)]),
        lambda: stats.truncate(stats.Normal(mu=2.0), 0, 4),
        lambda: 2 * stats.Normal(mu=1.0) + 5,
    ],
    ids=["Normal", "Mixture", "truncated", "shifted"],
)
def test_a_new_distribution_pickles_with_its_parameters(make):
    """SciPy's own pickles of these have the parameters of the standard Normal."""
    p = as_density(make())
    again = pickle.loads(pickle.dumps(p))
    x = np.linspace(0.5, 3.5, 7)
    np.testing.assert_array_equal(again.logpdf(x), p.logpdf(x))
    assert again.support == p.support
    assert kl_divergence(again, Normal(0, 3)) == kl_divergence(p, Normal(0, 3))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: stats.poisson(3), "discrete distribution"),
        (lambda: stats.poisson, "discrete distribution"),
        (lambda: stats.norm(0, 1), r"rv_continuous_frozen is not a density of fastkl: give as_density"),
        (lambda: stats.norm, "give as_density.* of a frozen one"),
        (lambda: stats.gaussian_kde(OBSERVATIONS), "gaussian_kde is not a density of fastkl: give as_density"),
        (lambda: lambda x: x, "function is not a density of fastkl: give as_density"),
    ],
)
def test_an_object_of_another_library_hears_of_as_density(make, text):
    grid = Grid.uniform(-9, 9, 101)
    for given in (None, grid):
        with pytest.raises(TypeError, match=text):
            fit(make(), "normal", given, direction="forward")
    with pytest.raises(TypeError, match=text):
        kl_divergence(make(), Normal(0, 1))


@pytest.mark.skipif(not hasattr(stats, "Binomial"), reason="an older SciPy has no new distributions")
def test_a_new_discrete_distribution_is_called_discrete():
    with pytest.raises(TypeError, match="Binomial is a discrete distribution"):
        as_density(stats.Binomial(n=3, p=0.5))


def test_messages_name_no_class_of_the_package():
    with pytest.raises(TypeError, match=r"automatically for as_density\(<function"):
        kl_divergence(as_density(lambda x: x), Normal(0, 1))
    assert repr(as_density(stats.t(2.5, loc=1))) == "as_density(t(2.5, loc=1))"
    with pytest.warns(UserWarning, match=r"too coarse for as_density\(norm\(0, 0.01\)\) of scale"):
        kl_divergence(as_density(stats.norm(0, 0.01)), Normal(0, 1), Grid.uniform(-9, 9, 101))
