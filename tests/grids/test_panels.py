"""Panels resolve the KL integrals of densities with heavy tails, kinks, singular ends and several scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from scipy import stats

import fastkl
from fastkl import GeneralizedPareto, InverseGamma, Mixture, StudentT, as_density, kl_divergence
from fastkl.grids import Axis
from fastkl.grids.panels import MAX_PANELS, MIN_ULPS, ORDER, DivergentTailError, panels
from fastkl.measures import phi

SMOOTH = 1e-13


def gauss_legendre(edges, order=ORDER, tails=(1.0, 1.0)):
    axis = Axis.gauss_legendre(edges, order, tails)
    return axis.nodes, axis.weights()


"""What analytic densities reach, at the default rtol of 1e-10."""

SINGULAR = 1e-9
"""Asked of power-law tails and ends."""

NEARLY_EQUAL = 1e-9
"""Relative, of divergences near 1e-13: log p - log q is 1e-6, and has lost 6 digits to rounding."""


@dataclass(frozen=True)
class Frozen:
    """A frozen distribution of SciPy with its landmarks."""

    distribution: object
    _landmarks: tuple
    _kinks: tuple = ()

    @property
    def support(self):
        return tuple(float(end) for end in self.distribution.support())

    def logpdf(self, x):
        return self.distribution.logpdf(x)


@dataclass(frozen=True)
class Laplace:
    """SciPy's is -inf beyond 745 scales, where its pdf underflows."""

    loc: float
    scale: float
    support = (-math.inf, math.inf)

    @property
    def _landmarks(self):
        return ((self.loc, self.scale),)

    @property
    def _kinks(self):
        return (self.loc,)

    def logpdf(self, x):
        return -np.abs(x - self.loc) / self.scale - math.log(2.0 * self.scale)


@dataclass(frozen=True)
class Mix:
    weights: tuple
    components: tuple

    @property
    def support(self):
        return min(c.support[0] for c in self.components), max(c.support[1] for c in self.components)

    @property
    def _landmarks(self):
        return tuple(mark for c in self.components for mark in c._landmarks)

    @property
    def _kinks(self):
        return tuple(x for c in self.components for x in (*c._kinks, *c.support) if math.isfinite(x))

    def logpdf(self, x):
        logs = [math.log(w) + c.logpdf(x) for w, c in zip(self.weights, self.components, strict=True)]
        return np.logaddexp.reduce(logs, axis=0)


@dataclass(frozen=True)
class Formula:
    """A log-density on [0, 1] without landmarks of interest."""

    logpdf: object
    support = (0.0, 1.0)
    _kinks = ()
    _landmarks = ((0.5, 0.3),)


def normal(loc=0.0, scale=1.0):
    return Frozen(stats.norm(loc, scale), ((loc, scale),))


def student(df, loc=0.0, scale=1.0):
    return Frozen(stats.t(df, loc, scale), ((loc, scale),))


def logistic(loc=0.0, scale=1.0):
    return Frozen(stats.logistic(loc, scale), ((loc, scale),))


def gamma(a, scale=1.0, loc=0.0):
    return Frozen(stats.gamma(a, loc, scale), ((loc + max(a - 1.0, 0.0) * scale, math.sqrt(a) * scale),))


def beta(a, b):
    distribution = stats.beta(a, b)
    return Frozen(distribution, ((distribution.mean(), distribution.std()),))


def lognormal(s, scale=1.0):
    return Frozen(stats.lognorm(s, scale=scale), ((scale, min(s, 1.0) * scale),))


def divergence(p, q, **options):
    """KL(p||q), both normalised on the panels, and how many there are."""
    edges, tails = panels(p, q, **options)
    nodes, weights = gauss_legendre(edges, tails=tails)
    assert (np.diff(nodes) > 0.0).all()
    assert edges[0] <= nodes[0]
    assert nodes[-1] <= edges[-1]
    log_p, log_q = p.logpdf(nodes), q.logpdf(nodes)
    d, p_at, q_at = log_p - log_q, np.exp(log_p), np.exp(log_q)
    with np.errstate(all="ignore"):
        terms = np.where(np.abs(d) < 1.0, p_at * phi(np.expm1(-d)), p_at * d - p_at + q_at)
        terms = np.where(p_at > 0.0, terms, q_at)
        mass = weights @ p_at
        return float(weights @ terms / mass) - phi(float(weights @ (q_at - p_at) / mass)), edges.size - 1


# Closed forms, in 50 digits: nearly equal arguments leave few of them.


def kl_of_laplace(m, b, n, c):
    d = abs(m - n)
    return mpmath.log(c / b) + (b * mpmath.exp(-d / b) + d) / c - 1


def kl_of_cauchy(m, b, n, c):
    return mpmath.log(((b + c) ** 2 + (m - n) ** 2) / (4 * b * c))


def kl_of_normal(m, b, n, c):
    return mpmath.log(c / b) + (b**2 + (m - n) ** 2) / (2 * c**2) - mpf(1) / 2


def kl_of_gamma(a, s, b, r):
    shape = (a - b) * mpmath.digamma(a) - mpmath.loggamma(a) + mpmath.loggamma(b)
    return shape + b * mpmath.log(r / s) + a * (s - r) / r


def kl_of_beta(a, b, c, d):
    both = (c - a + d - b) * mpmath.digamma(a + b)
    return (
        mpmath.log(mpmath.beta(c, d) / mpmath.beta(a, b))
        + (a - c) * mpmath.digamma(a)
        + (b - d) * mpmath.digamma(b)
        + both
    )


def kl_of_lognormal(s, m, u, n):
    return kl_of_normal(mpmath.log(m), s, mpmath.log(n), u)


def cauchy(loc, scale):
    return student(1.0, loc, scale)


CLOSED_FORMS = [
    *[
        (Laplace, kl_of_laplace, SMOOTH, numbers)
        for numbers in [(0, 1, 1, 2), (0, 1, 30, 1), (0, 1e-4, 0, 1), (0, 1, 0, 1e-4), (30, 1e-4, 0, 1)]
    ],
    *[
        (lognormal, kl_of_lognormal, SMOOTH, numbers)
        for numbers in [(1, 1, 2, 3), (0.01, 1, 1, 1), (1, 1, 0.01, 1), (5, 1, 4, 2), (1, 1, 1, 1e4), (0.1, 1, 0.1, 20)]
    ],
    *[(normal, kl_of_normal, SMOOTH, numbers) for numbers in [(0, 1, 30, 1), (0, 1, 0, 1e4), (0, 1, 0, 1e-2)]],
    *[
        (cauchy, kl_of_cauchy, SINGULAR, numbers)
        for numbers in [(0, 1, 1, 2), (0, 1, 30, 1), (0, 1e-4, 0, 1), (0, 1, 0, 1e-4), (1e6, 1, 1e6 + 1e-3, 1.1)]
    ],
    *[
        (gamma, kl_of_gamma, SINGULAR, numbers)
        for numbers in [
            *[(2, 1, 3, 2), (1, 1, 1, 1e4), (1, 1e4, 1, 1), (100, 1, 101, 1), (1e4, 1, 1e4, 1.5)],
            *[(0.3, 1, 0.5, 1), (0.3, 1e4, 0.3, 1), (5, 1, 0.3, 1)],
        ]
    ],
    *[
        (beta, kl_of_beta, SINGULAR, numbers)
        for numbers in [(1, 1, 2, 3), (2, 3, 50, 50), (500, 500, 1, 1), (1.5, 1.5, 5, 1000), (0.3, 1, 1, 1)]
    ],
]

ALMOST = 1.0 + 1e-6

NEARLY_EQUAL_PAIRS = [
    (Laplace, kl_of_laplace, (0, 1, 1e-6, 1)),
    (lognormal, kl_of_lognormal, (1, 1, 1, ALMOST)),
    (cauchy, kl_of_cauchy, (0, 1, 1e-6, 1)),
    (gamma, kl_of_gamma, (2, 1, 2 * ALMOST, 1)),
    (beta, kl_of_beta, (2, 3, 2 * ALMOST, 3)),
]


def closed_form(formula, numbers):
    with mpmath.workdps(50):
        return float(formula(*map(mpf, numbers)))


@pytest.mark.parametrize(("family", "formula", "rtol", "numbers"), CLOSED_FORMS)
def test_divergence_is_the_closed_form(family, formula, rtol, numbers):
    value, count = divergence(family(*numbers[:2]), family(*numbers[2:]))
    assert value == pytest.approx(closed_form(formula, numbers), rel=rtol, abs=rtol)
    assert count <= 100


@pytest.mark.parametrize(("family", "formula", "numbers"), NEARLY_EQUAL_PAIRS)
def test_nearly_equal_densities_have_a_relative_accuracy(family, formula, numbers):
    value, count = divergence(family(*numbers[:2]), family(*numbers[2:]))
    assert value == pytest.approx(closed_form(formula, numbers), rel=NEARLY_EQUAL)
    assert count <= 100


# Formulas for mpmath, which sums between the given points with another rule in 25 digits.


def log_normal(x, loc, scale):
    return -(((x - loc) / scale) ** 2) / 2 - mpmath.log(scale * mpmath.sqrt(2 * mpmath.pi))


def log_student(x, df, loc, scale):
    constant = mpmath.loggamma((df + 1) / 2) - mpmath.loggamma(df / 2) - mpmath.log(df * mpmath.pi) / 2
    return constant - mpmath.log(scale) - (df + 1) / 2 * mpmath.log1p(((x - loc) / scale) ** 2 / df)


def log_logistic(x, loc, scale):
    z = abs(x - loc) / scale
    return -z - 2 * mpmath.log1p(mpmath.exp(-z)) - mpmath.log(scale)


def log_laplace(x, loc, scale):
    return -abs(x - loc) / scale - mpmath.log(2 * scale)


FORMULAS = {normal: log_normal, student: log_student, logistic: log_logistic, Laplace: log_laplace}


def in_many_digits(parts):
    """log p at a number of mpmath, of a mixture given as (weight, family, parameters)."""

    def log_density(x):
        return mpmath.log(
            mpmath.fsum(w * mpmath.exp(FORMULAS[family](x, *map(mpf, numbers))) for w, family, numbers in parts)
        )

    return log_density


def as_mix(parts):
    return Mix(tuple(w for w, _, _ in parts), tuple(family(*numbers) for _, family, numbers in parts))


@pytest.mark.parametrize(
    ("p", "q", "points", "rtol"),
    [
        ([(1, logistic, (0, 1))], [(1, logistic, (1, 2))], [-100, -10, 0, 1, 10, 100], SMOOTH),
        ([(1, logistic, (0, 1))], [(1, logistic, (30, 1))], [-80, -10, 0, 30, 40, 100], SMOOTH),
        ([(1, logistic, (0, 1))], [(1, logistic, (1e-6, 1))], [-80, -10, 0, 10, 80], SMOOTH),
        ([(1, logistic, (0, 1e-4))], [(1, logistic, (3, 1))], [-70, -0.01, 0, 0.01, 3, 70], SMOOTH),
        ([(1, student, (2, 0, 1))], [(1, student, (3, 0, 1))], [-math.inf, -1, 1, math.inf], SINGULAR),
        ([(1, student, (2, 0, 1))], [(1, student, (5, 30, 9))], [-math.inf, -3, 0, 3, 30, 60, math.inf], SINGULAR),
        ([(1, student, (3, 0, 1))], [(1, normal, (0, 1))], [-math.inf, -10, 0, 10, math.inf], SINGULAR),
        ([(1, normal, (0, 1))], [(1, student, (1, 0, 1))], [-math.inf, -9, 0, 9, math.inf], SINGULAR),
        (
            [(0.5, normal, (-15, 1)), (0.5, normal, (15, 1))],
            [(1, normal, (0, 15))],
            [-250, -30, -15, -2, 2, 15, 30, 250],
            SMOOTH,
        ),
        (
            [(0.7, student, (3, 0, 1)), (0.3, Laplace, (2, 0.01))],
            [(0.9, logistic, (0, 3)), (0.1, student, (3, 100, 0.1))],
            [-math.inf, -5, 0, 1.9, 2, 2.1, 5, 50, 99, 100, 101, 200, math.inf],
            SINGULAR,
        ),
    ],
)
def test_divergence_is_that_of_many_digits(p, q, points, rtol):
    with mpmath.workdps(25):
        log_p, log_q = in_many_digits(p), in_many_digits(q)

        def term(x):
            a, b = log_p(x), log_q(x)
            return mpmath.exp(a) * (a - b) - mpmath.exp(a) + mpmath.exp(b)

        reference = float(mpmath.quad(term, points))
    value, count = divergence(as_mix(p), as_mix(q))
    assert value == pytest.approx(reference, rel=rtol, abs=rtol)
    assert count <= 100


def test_components_with_ends_inside_the_support_of_the_other():
    p = Mix((0.5, 0.5), (gamma(0.5), gamma(2.0, 1.0, 5.0)))
    q = Mix((0.2, 0.8), (normal(0.0, 3.0), Laplace(3.0, 2.0)))
    edges = panels(p, q).edges
    nodes, weights = gauss_legendre(edges)
    assert {0.0, 3.0, 5.0} <= set(edges)
    for density in (p, q):
        assert weights @ np.exp(density.logpdf(nodes)) == pytest.approx(1.0, abs=1e-13)


def test_scales_and_places_far_apart():
    p = Mix((0.5, 0.5), (Laplace(-1e4, 1e-3), student(2.0, 1e4, 1e3)))
    q = Mix((0.5, 0.5), (student(2.0, 0.0, 1e4), logistic(-1e4, 1e-2)))
    edges = panels(p, q).edges
    nodes, weights = gauss_legendre(edges)
    for density in (p, q):
        assert weights @ np.exp(density.logpdf(nodes)) == pytest.approx(1.0, abs=1e-11)  # A scale is 1e9 ulps at -1e4.
    assert divergence(p, q)[0] == pytest.approx(divergence(p, q, rtol=1e-11)[0], rel=1e-11)


def test_singular_end_at_1_is_resolved_as_far_as_doubles_are():
    value, _ = divergence(beta(1.0, 0.5), beta(1.0, 1.0))
    assert value == pytest.approx(closed_form(kl_of_beta, (1, 0.5, 1, 1)), abs=1e-6)


@pytest.mark.parametrize(
    "p", [normal(), Laplace(2.0, 1e-3), student(1.0), gamma(0.3), beta(1.0, 1.0), beta(2.0, 5.0), lognormal(2.0)]
)
def test_one_density_gives_its_mass_and_entropy(p):
    nodes, weights = gauss_legendre(panels(p).edges)
    logs = p.logpdf(nodes)
    assert weights @ np.exp(logs) == pytest.approx(1.0, abs=1e-12)
    distribution = stats.laplace(2.0, 1e-3) if isinstance(p, Laplace) else p.distribution
    assert -(weights @ (np.exp(logs) * logs)) == pytest.approx(distribution.entropy(), rel=1e-10, abs=1e-10)


def test_equal_densities_have_no_divergence():
    assert divergence(student(2.0), student(2.0))[0] == 0.0


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (gamma(2.0), beta(2.0, 2.0)),
        (normal(30.0), gamma(2.0)),
        (student(1.0), gamma(2.0)),
        (student(1.0), beta(2.0, 2.0)),
        (beta(1.0, 1.0), gamma(1.0, 1.0, 0.5)),
    ],
)
def test_infinite_divergence_ends_and_shows(p, q):
    assert divergence(p, q)[0] == math.inf


@pytest.mark.parametrize("df", [1.0, 2.0])
def test_a_tail_that_is_too_heavy_is_an_error(df):
    with pytest.raises(DivergentTailError, match=r"p log\(p/q\) - p \+ q towards -inf is infinite"):
        panels(student(df), normal())


def test_smaller_tolerance_takes_more_panels_and_a_larger_one_is_kept():
    p, q = student(1.0), student(1.0, 1.0, 2.0)
    loose, tight = divergence(p, q, rtol=1e-4), divergence(p, q, rtol=1e-11)
    assert loose[1] < tight[1]
    assert loose[0] == pytest.approx(tight[0], rel=1e-4)


def test_nan_is_an_error_that_names_the_point():
    with pytest.raises(ValueError, match=r"is NaN at x = 0\.[5-9]"):
        panels(Formula(lambda x: np.where(x > 0.5, np.nan, 0.0)))


def test_more_panels_than_the_limit_are_an_error():
    with pytest.raises(ValueError, match=f"{MAX_PANELS} panels do not resolve .* between 0.* is a kink"):
        panels(Formula(lambda x: np.log1p(0.5 * np.sin(1e9 * x))))


def test_no_mass_is_an_error():
    with pytest.raises(ValueError, match="no mass near its landmarks"):
        panels(Formula(lambda x: np.full_like(x, -np.inf)))


@pytest.mark.parametrize("rtol", [0.0, 1.0, math.nan])
def test_tolerance_is_checked(rtol):
    with pytest.raises(ValueError, match="rtol"):
        panels(normal(), rtol=rtol)


def test_a_jump_that_is_not_declared_is_found():
    uniform = Formula(lambda x: np.where(np.abs(x - 0.4) < 0.123, -math.log(0.246), -np.inf))
    nodes, weights = gauss_legendre(panels(uniform).edges)
    assert weights @ np.exp(uniform.logpdf(nodes)) == pytest.approx(1.0, abs=1e-9)


def test_gauss_legendre_is_exact_for_polynomials():
    edges = np.array([-1.0, 0.5, 4.0])
    nodes, weights = gauss_legendre(edges)
    assert nodes.size == 2 * ORDER
    for n in range(2 * ORDER):
        exact = (4.0 ** (n + 1) - (-1.0) ** (n + 1)) / (n + 1)
        assert weights @ nodes**n == pytest.approx(exact, rel=1e-13)
    for left, right in pairwise(edges):
        inside = (nodes > left) & (nodes < right)
        assert weights[inside].sum() == pytest.approx(right - left)


POWERS = [
    # by mpmath: the closed form of StudentT and Normal; elsewhere quadrature of 30 digits in the logarithm of x
    (StudentT(1.1), fastkl.Laplace(0, 1), 5.394991699100636),
    (StudentT(1.12), fastkl.Laplace(0, 1), 4.353095860740143),
    (StudentT(1.02), fastkl.Logistic(0, 1), 30.7022732713132),
    (StudentT(1.5), fastkl.Logistic(0, 1), 0.568459641748571),
    (Mixture([StudentT(2.1)]), fastkl.Normal(0, 1), 9.485547129571794),
    (Mixture([StudentT(2.12)]), fastkl.Normal(0, 1), 7.823947479893814),
    (as_density(stats.t(1.1)), fastkl.Laplace(0, 1), 5.394991699100636),
    (as_density(stats.t(2.1)), fastkl.Normal(0, 1), 9.485547129571794),
    (as_density(stats.t(2.12)), as_density(stats.norm()), 7.823947479893814),
    (InverseGamma(1.05), fastkl.Gamma(2), 17.4584258490377),
    (InverseGamma(1.2), fastkl.Gamma(2), 2.96044642090832),
    (GeneralizedPareto(0.9), fastkl.Weibull(1), 8.1),
    (GeneralizedPareto(0.45), fastkl.Weibull(2), 34.5561438971867),
    (GeneralizedPareto(0.19), fastkl.Weibull(5), 46306.9906987464),
    (GeneralizedPareto(0.6), fastkl.Weibull(1.5), 15.7550942914871),
]
"""Divergences whose terms fall like powers of x just below -1."""


@pytest.mark.parametrize(("p", "q", "exact"), POWERS, ids=str)
def test_a_power_is_summed_to_infinity(p, q, exact):
    found = kl_divergence(p, q, full_output=True)
    assert found.value == pytest.approx(exact, rel=2e-13)
    assert found.error <= 1e-8 * exact


@pytest.mark.parametrize(("df", "exact"), [(0.05, 1.98182165967518578880), (0.01, 3.38949968528842617184)])
def test_a_density_whose_mass_lies_far_out_counts_whole(df, exact):
    found = kl_divergence(fastkl.Normal(0, 1), StudentT(df), full_output=True)
    assert found.value == pytest.approx(exact, rel=1e-12)
    assert abs(found.value - exact) <= found.error
    assert found.mass_outside_q == 0.0


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (StudentT(1), fastkl.Laplace(0, 1)),
        (StudentT(0.99), fastkl.Logistic(0, 1)),
        (Mixture([StudentT(2)]), fastkl.Normal(0, 1)),
        (GeneralizedPareto(0.5), fastkl.Weibull(2)),
        (InverseGamma(1), fastkl.Gamma(1)),
        (InverseGamma(5), fastkl.Weibull(5)),
    ],
    ids=str,
)
def test_a_power_that_has_no_integral_is_an_error(p, q):
    with pytest.raises(DivergentTailError, match="is infinite or converges too slowly"):
        kl_divergence(p, q)


@pytest.mark.parametrize(
    ("p", "q"), [(fastkl.Beta(0.01, 2), fastkl.Gamma(0.5)), (fastkl.Gamma(0.02), fastkl.Laplace(0, 0.001))], ids=str
)
def test_a_density_above_the_largest_double_is_an_error(p, q):
    with pytest.raises(ValueError, match=r"is above the largest double at x = .*e-3\d\d,"):
        kl_divergence(p, q)


@pytest.mark.parametrize("scale", np.random.default_rng(0).uniform(0.01, 1.0, 20))
def test_panels_of_equally_spaced_places_have_room_for_their_nodes(scale):
    # FIRST_PANEL widths from either place meet in the middle between places that are 4 widths apart
    places = tuple((4.0 * k * scale, scale) for k in range(3, 20))
    edges = panels(Frozen(stats.norm(40.0 * scale, 15.0 * scale), places)).edges
    assert (np.diff(edges) >= MIN_ULPS * np.spacing(np.abs(edges[1:]))).all()
    Axis.gauss_legendre(edges, ORDER)
