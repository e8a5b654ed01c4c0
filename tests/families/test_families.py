"""The families of densities against SciPy, and against mpmath where SciPy has not the digits."""

import math
from functools import partial

import mpmath as mp
import numpy as np
import pytest

from fastkl import Beta, Gamma, GeneralizedPareto, Grid, Laplace, LogNormal, StudentT, Weibull, elementary
from fastkl.families import FAMILIES
from fastkl.jit import JIT_DISABLED, scalar
from tests.references import REFERENCES, cases, density, kernel_values, naive_log_density

POINTS = 20 if JIT_DISABLED else 100
SHARES = np.linspace(0.001, 0.999, POINTS)
LARGEST = np.finfo(float).max
TAILS = [1e-300, 1e-30, 1e-9, 1 - 1e-9]

each_instance = pytest.mark.parametrize(("name", "parameters"), cases("instances"))
each_extreme = pytest.mark.parametrize(("name", "parameters"), cases("instances", "extreme"))


def log_density(q, x):
    return kernel_values(q._name(), type(q)._log_density, q._parameters(), x)


def points_of(q):
    """Quantiles, points far in the tails, and the edges of the doubles, all inside the support."""
    with np.errstate(all="ignore"):
        x = q.to_scipy().ppf([*TAILS, *SHARES])
    width = q.std if math.isfinite(q.std) else 1.0
    far = q.mode + width * np.array([-1e3, -40.0, -10.0, 10.0, 40.0, 1e3])
    lower, upper = q.support
    x = np.concatenate([x, far, [1e-300, 1e-9, 0.3, 1 - 1e-9]])
    return x[np.isfinite(x) & (x > lower) & (x < upper)]


def error(computed, exact):
    """The largest error, relative to the exact value or to 1, whichever is larger; none if both are beyond doubles."""
    pairs = [(c, e) for c, e in zip(computed, exact, strict=True) if not (abs(e) > LARGEST and c == -math.inf)]
    return max(float(abs(c - e) / max(1, abs(e))) for c, e in pairs)


@each_extreme
def test_log_densities_have_13_digits(name, parameters):
    q = density(name, parameters)
    x = points_of(q)
    naive = naive_log_density(name, parameters)
    assert error(log_density(q, x), [naive(mp.mpf(float(point))) for point in x]) < 1e-13


@each_instance
def test_log_densities_are_scipys(name, parameters):
    q = density(name, parameters)
    x = points_of(q)
    with np.errstate(all="ignore"):
        expected = q.to_scipy().logpdf(x)
    has_logs = np.isfinite(expected)  # some of SciPy's are the logarithm of a density that has underflowed
    assert has_logs.mean() > 0.7
    assert error(log_density(q, x[has_logs]), expected[has_logs]) < 1e-13


@each_instance
def test_off_the_support_at_its_ends_and_for_nan(name, parameters):
    q = density(name, parameters)
    lower, upper = q.support
    off = [x for x in (lower - 1.0, -1e300, upper + 1.0, 1e300) if not lower <= x <= upper]
    np.testing.assert_array_equal(log_density(q, [-np.inf, np.inf, *off]), -np.inf)
    assert np.isnan(log_density(q, [np.nan])).all()
    for end in (lower, upper):
        if math.isfinite(end):
            ends = [end, -0.0] if end == 0.0 else [end]
            expected = q.to_scipy().logpdf(end)
            np.testing.assert_allclose(log_density(q, ends), np.full(len(ends), expected), rtol=1e-13, atol=1e-13)


def test_a_t_density_at_points_whose_square_overflows():
    q = StudentT(3)
    naive = naive_log_density("student_t", (3, 0, 1))
    assert error(log_density(q, [1e160, -1e300]), [naive(mp.mpf(1e160)), naive(mp.mpf(1e300))]) < 1e-14


@scalar
def log1p(x, factor, loc, inverse_scale, first, second):
    return elementary.log1p(x)


def test_log1p():
    u = np.array([-1.0, -1 + 2**-53, -0.9, -1e-3, -1e-20, 0.0, 1e-300, 1e-17, 0.3, 7.0, 1e20, np.inf])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(kernel_values("log1p", log1p, (0,) * 5, u), np.log1p(u), rtol=3e-16)
    assert np.isnan(kernel_values("log1p", log1p, (0,) * 5, [np.nan])[0])


@each_instance
def test_moments_are_scipys(name, parameters):
    q = density(name, parameters)
    frozen = q.to_scipy()
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(q.mean, frozen.mean(), rtol=1e-13)
        if not (name == "log_normal" and q.s < 0.1):  # SciPy takes expm1 of a rounded exp there
            expected = frozen.std()
            if name == "generalized_pareto" and np.isnan(expected):  # SciPy has no word for an infinite variance
                expected = math.inf
            np.testing.assert_allclose(q.std, expected, rtol=1e-12)
    assert q.support == frozen.support()


@each_extreme
def test_the_mode_is_where_the_log_density_is_largest(name, parameters):
    q = density(name, parameters)
    assert log_density(q, [q.mode])[0] >= log_density(q, points_of(q)).max() - 1e-13
    assert all(q.support[0] < kink < q.support[1] for kink in q._kinks)


def test_the_moments_that_do_not_exist():
    assert StudentT(1).mean == math.inf
    assert math.isnan(StudentT(1).std)
    assert (StudentT(1.5, 3).mean, StudentT(1.5, 3).std) == (3.0, math.inf)
    assert (LogNormal(40).mean, LogNormal(40).std) == (math.inf, math.inf)


def test_the_modes_at_the_ends():
    assert [Beta(*pair).mode for pair in [(0.5, 0.7), (0.7, 0.5), (1, 0.5), (0.5, 1), (1, 1)]] == [0, 1, 1, 0, 0.5]
    assert Gamma(0.5, loc=3).mode == 3
    assert Laplace(2, 1)._kinks == (2.0,)
    q = GeneralizedPareto(-1.55, 0.1, 0.7)  # whose end is no double
    assert q.logpdf(q.mode) > 10


def test_a_mean_whose_gamma_function_overflows():
    # mpmath: 1e-300 * gamma(201)
    np.testing.assert_allclose(Weibull(0.005, scale=1e-300).mean, 7.886578673647905e74, rtol=1e-13)
    assert Weibull(0.005).mean == math.inf


def test_every_family_has_a_reference():
    assert set(REFERENCES) == set(FAMILIES)


def mass_below(name, parameters, x):
    """The probability of less than x in mpmath, with its digits where it is small."""
    numbers = {field: mp.mpf(float(number)) for field, number in vars(density(name, parameters)).items()}
    return REFERENCES[name].below(mp.mpf(float(x)), **numbers)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_references_are_those_of_one_density(name):
    """The distribution function's derivative is the density: both are the textbook's, and the tests rest on them."""
    for parameters in REFERENCES[name].tame:
        q, log_density = density(name, parameters), naive_log_density(name, parameters)
        below = partial(REFERENCES[name].below, **{field: mp.mpf(number) for field, number in vars(q).items()})
        for x in (q.mode + 0.3 * q._landmark[1], q.mode + 1.1 * q._landmark[1]):
            if q.support[0] < x < q.support[1]:
                assert abs(mp.diff(below, x) / mp.exp(log_density(mp.mpf(x))) - 1) < 1e-12


@each_instance
@pytest.mark.parametrize("share", [0.6, 0.3, 1e-4, 1e-12, 1e-40])
def test_the_mass_beyond_has_its_digits_in_both_tails(name, parameters, share):
    q = density(name, parameters)
    with np.errstate(all="ignore"):
        lower, upper = q.to_scipy().ppf(share), q.to_scipy().isf(share)
    with mp.workdps(110):  # 1 - (1 - 1e-40) keeps its digits
        below = mass_below(name, parameters, lower)
        above = 1 - mass_below(name, parameters, upper)
        ends = [(lower, 1e290, below), (-1e290, upper, above)]
        for start, stop, exact in [*ends, (lower, upper, below + above)] if lower < upper else ends:
            computed = q.mass_outside(Grid.uniform(start, stop, 9))
            assert abs(computed - exact) <= 1e-12 * exact + 1e-80  # some of a t density lies beyond 1e290


def test_the_mass_outside_a_grid():
    grid = Grid.uniform(-3, 5, 9)
    for q in (Laplace(1, 2), Gamma(2, loc=-1), Beta(2, 3)):
        frozen = q.to_scipy()
        np.testing.assert_allclose(q.mass_outside(grid), frozen.cdf(-3) + frozen.sf(5), rtol=1e-13)
    assert Beta(2, 3).mass_outside(Grid.uniform(2, 3, 9)) == 1.0


@pytest.mark.parametrize("name", REFERENCES)
def test_bad_parameters_are_named(name):
    parameters, family = REFERENCES[name].instances[0], FAMILIES[name]
    for at, (field, is_positive) in enumerate(family._fields):

        def with_value(value, at=at):
            return family(*(value if i == at else number for i, number in enumerate(parameters)))

        with pytest.raises(ValueError, match=f"{field} must be finite, got nan"):
            with_value(math.nan)
        with pytest.raises(TypeError, match=f"{field} must be a real number, got 'wide'"):
            with_value("wide")
        if is_positive:
            with pytest.raises(ValueError, match=f"{field} must be > 0, got -1.5"):
                with_value(-1.5)
            with pytest.raises(ValueError, match=f"{field} must be at least .* got 1e-310"):
                with_value(1e-310)
