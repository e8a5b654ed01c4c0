"""Closed forms against the textbook's with 60 digits, and those against quadrature."""

import math

import mpmath as mp
import numpy as np
import pytest

from fastkl import Beta, Gamma, Laplace, Logistic, LogNormal, Mixture, Normal, StudentT
from fastkl.closed_forms import closed_form, multivariate_normal_kl
from fastkl.densities.families import FAMILIES
from tests.families import naive_log_density

CLOSE = 1.0 + 1e-6

PAIRS = {
    ("normal", "normal"): [
        ((0, 1), (1, 2)),
        ((0, 1), (0, 1e-3)),
        ((0, 1e-3), (3, 10)),
        ((1, 2), (1, 2 * CLOSE)),
        ((1, 2), (CLOSE, 2)),
        ((1, 2), (CLOSE, 2 / CLOSE)),
    ],
    ("laplace", "laplace"): [
        ((0, 1), (1, 2)),
        ((0, 1), (10, 0.3)),
        ((0, 0.01), (0.5, 20)),
        ((1, 2), (1, 2 * CLOSE)),
        ((1, 2), (CLOSE, 2)),
        ((1, 2), (CLOSE, 2 / CLOSE)),
        ((1, 2), (2.9, 2)),
        ((1, 2), (3.1, 2)),
    ],
    ("gamma", "gamma"): [
        ((2, 0, 1), (3, 0, 2)),
        ((0.5, 0, 1), (0.1, 0, 3)),
        ((0.3, 0, 2), (30, 0, 0.1)),
        ((30, 0, 1), (0.3, 0, 4)),
        ((2, 1, 3), (2 * CLOSE, 1, 3)),
        ((2, 1, 3), (2, 1, 3 * CLOSE)),
        ((2, 1, 3), (2 * CLOSE, 1, 3 / CLOSE)),
        ((0.4, 0, 3), (0.4 * CLOSE, 0, 3 * CLOSE)),
        ((1e3, 0, 1), (1e3 * CLOSE, 0, 1 / CLOSE)),
        ((1e3, 0, 1), (1e3 * CLOSE, 0, CLOSE)),
        ((1e4, 0, 1), (1.1e4, 0, 0.9)),
    ],
    ("beta", "beta"): [
        ((2, 3), (3, 2)),
        ((0.5, 0.5), (2, 1)),
        ((2, 1), (0.3, 4)),
        ((30, 5), (3, 0.5)),
        ((2, 3), (2 * CLOSE, 3)),
        ((2, 3), (2, 3 * CLOSE)),
        ((2, 3), (2 * CLOSE, 3 * CLOSE)),
        ((2, 3), (2 * CLOSE, 3 / CLOSE)),
        ((0.5, 0.4), (0.5 * CLOSE, 0.4)),
        ((300, 200), (300 * CLOSE, 200 * CLOSE)),
        ((300, 2), (300 * CLOSE, 2 / CLOSE)),
        ((5e4, 4e4), (0.01, 0.07)),
    ],
    ("log_normal", "log_normal"): [
        ((0.5, 2), (1, 3)),
        ((1, 1), (0.2, 1.5)),
        ((0.5, 2), (0.5 * CLOSE, 2)),
        ((0.5, 2), (0.5, 2 * CLOSE)),
        ((0.01, 2), (0.01 / CLOSE, 2 * CLOSE)),
    ],
    ("laplace", "normal"): [
        ((0, 1), (0, math.sqrt(2))),
        ((0, 1), (3, 0.5)),
        ((0, 1), (CLOSE, 20)),
        ((5, 0.01), (5, 1)),
    ],
    ("gamma", "normal"): [
        ((2, 0, 1), (2, math.sqrt(2))),
        ((0.2, 1, 3), (0, 4)),
        ((7.9, 0, 1), (8, 3)),
        ((8.1, 0, 1), (8.1, math.sqrt(8.1))),
        ((1e4, 0, 1), (1e4, 100)),
        ((1, 0, 1), (50, 0.7)),
    ],
    ("beta", "normal"): [
        ((2, 3), (0.4, 0.2)),
        ((0.5, 0.3), (0.5, 0.4)),
        ((1, 1), (0.5, 12**-0.5)),
        ((300, 20), (0.93, 0.015)),
        ((40, 40), (0.5, 0.055)),
        ((2, 5), (3, 0.4)),
        ((1e5, 2), (1.0, 1.5e-5)),
    ],
}

BUILD = {"normal": Normal, **FAMILIES}
EVERYTHING = [(*names, p, q) for names, pairs in PAIRS.items() for p, q in pairs]
APART = [case for case in EVERYTHING if case[0] != case[1] or not np.allclose(case[2], case[3], rtol=1e-5)]


def textbook(p_name, q_name, p, q):
    """The formulas as they are usually written, which need the digits that mpmath has."""
    p, q = (tuple(map(mp.mpf, map(float, numbers))) for numbers in (p, q))
    if p_name != q_name:
        entropy, mean, variance = MOMENTS[p_name](*p)
        loc, scale = q
        return mp.log(2 * mp.pi * scale**2) / 2 + (variance + (mean - loc) ** 2) / (2 * scale**2) - entropy
    return SAME_FAMILY[p_name](*p, *q)


def _normal(m, s, loc, scale):
    return mp.log(scale / s) + (s**2 + (m - loc) ** 2) / (2 * scale**2) - mp.mpf(1) / 2


def _laplace(m, s, loc, scale):
    d = abs(m - loc)
    return mp.log(scale / s) + (s * mp.exp(-d / s) + d) / scale - 1


def _gamma(a, _, s, shape, __, scale):
    powers = (a - shape) * mp.psi(0, a) - mp.loggamma(a) + mp.loggamma(shape)
    return powers + shape * mp.log(scale / s) + a * (s - scale) / scale


def _beta(a, b, c, d):
    log_b = lambda x, y: mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y)  # noqa: E731
    powers = (a - c) * mp.psi(0, a) + (b - d) * mp.psi(0, b) + (c - a + d - b) * mp.psi(0, a + b)
    return log_b(c, d) - log_b(a, b) + powers


def _log_normal(s, scale, s_q, scale_q):
    return _normal(mp.log(scale), s, mp.log(scale_q), s_q)


def _laplace_moments(loc, scale):
    return 1 + mp.log(2 * scale), loc, 2 * scale**2


def _gamma_moments(a, loc, scale):
    entropy = a + mp.log(scale) + mp.loggamma(a) + (1 - a) * mp.psi(0, a)
    return entropy, loc + a * scale, a * scale**2


def _beta_moments(a, b):
    c = a + b
    log_b = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(c)
    entropy = log_b - (a - 1) * mp.psi(0, a) - (b - 1) * mp.psi(0, b) + (c - 2) * mp.psi(0, c)
    return entropy, a / c, a * b / (c**2 * (c + 1))


SAME_FAMILY = {"normal": _normal, "laplace": _laplace, "gamma": _gamma, "beta": _beta, "log_normal": _log_normal}
MOMENTS = {"laplace": _laplace_moments, "gamma": _gamma_moments, "beta": _beta_moments}


def quadrature(p_name, q_name, p, q):
    """The integral of p log(p/q)."""
    log_p, log_q = naive_log_density(p_name, p), naive_log_density(q_name, q)
    density = BUILD[p_name](*p)
    lower, upper = (-math.inf, math.inf) if p_name == "normal" else density.support
    pieces = {density.mean + step * density.std for step in (-50, -10, -3, 0, 3, 10, 50, 200, 1000)}
    pieces |= {float(numbers[0]) for numbers in (p, q) if p_name == "laplace"}
    pieces |= {lower + density.std * step for step in (0, 1e-6, 1e-3)} if math.isfinite(lower) else set()
    ends = sorted({min(max(piece, lower), upper) for piece in pieces})

    def integrand(x):
        log = log_p(x)
        return mp.exp(log) * (log - log_q(x)) if log > -mp.inf else mp.mpf(0)

    return mp.quad(integrand, ends)


@pytest.mark.parametrize(("p_name", "q_name", "p", "q"), EVERYTHING)
def test_closed_forms_have_13_digits(p_name, q_name, p, q):
    computed = closed_form(BUILD[p_name](*p), BUILD[q_name](*q))
    exact = textbook(p_name, q_name, p, q)
    assert computed >= 0.0
    assert abs(computed - exact) <= 1e-13 * exact


@pytest.mark.parametrize(("p_name", "q_name", "p", "q"), APART)
def test_the_textbook_is_right(p_name, q_name, p, q):
    with mp.workdps(20):
        value = quadrature(p_name, q_name, p, q)
    # a power like x**-0.7 at an end of the support costs the quadrature digits
    assert abs(value - textbook(p_name, q_name, p, q)) <= 1e-5 * abs(value)


INSTANCES = [
    Normal(0.3, 2),
    Laplace(0.3, 2),
    Logistic(0.3, 2),
    StudentT(2.5, 0.3),
    Gamma(2.5, 0.3),
    Beta(0.3, 2),
    LogNormal(0.3, 2),
]


@pytest.mark.parametrize("p", INSTANCES, ids=repr)
def test_equal_densities_have_none(p):
    assert closed_form(p, type(p)(**vars(p))) == 0.0


def test_mass_off_the_support_is_infinitely_far():
    line, half, bounded = INSTANCES[:4], [Gamma(2), LogNormal(1)], [Beta(2, 3)]
    for narrow, wide in ((bounded, half), (bounded, line), (half, line)):
        for p in narrow:
            for q in wide:
                assert closed_form(q, p) == math.inf
                assert closed_form(p, q) != math.inf


def test_gammas_that_begin_elsewhere():
    assert closed_form(Gamma(2, loc=0), Gamma(2, loc=1)) == math.inf
    assert closed_form(Gamma(2, loc=1), Gamma(2, loc=0)) is None


def test_no_formula():
    assert closed_form(Logistic(0, 1), Normal(0, 1)) is None
    assert closed_form(Mixture([Normal(0, 1), Normal(1, 1)]), Normal(0, 1)) is None
    assert closed_form(Normal(0, 1), Mixture([Normal(0, 1), Normal(1, 1)])) is None
    assert closed_form(StudentT(3), Normal(0, 1)) is None
    assert closed_form(StudentT(2), Normal(0, 1)) == math.inf  # it has no variance


def multivariate(mean_p, cov_p, mean_q, cov_q):
    P, Q = mp.matrix(cov_p.tolist()), mp.matrix(cov_q.tolist())
    d = mp.matrix([mp.mpf(a) - mp.mpf(b) for a, b in zip(mean_p.tolist(), mean_q.tolist(), strict=True)])
    inverse = Q**-1
    product = inverse * P
    trace = sum(product[i, i] for i in range(len(d)))
    return (trace - len(d) - mp.log(mp.det(P) / mp.det(Q)) + (d.T * inverse * d)[0]) / 2


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("distance", [1e-8, 1e-6, 1e-3, 0.1, 1.0, 10.0])
def test_normals_in_several_dimensions(size, distance):
    rng = np.random.default_rng(size)
    A, B = rng.normal(size=(2, size, size))
    cov_p = A @ A.T + np.eye(size)
    cov_q = cov_p + distance * (B @ B.T)
    mean_p = rng.normal(size=size)
    mean_q = mean_p + distance * rng.normal(size=size)
    for arguments in ((mean_p, cov_p, mean_q, cov_q), (mean_q, cov_q, mean_p, cov_p), (mean_p, cov_p, mean_p, cov_q)):
        exact = multivariate(*arguments)
        assert abs(multivariate_normal_kl(*arguments) - exact) <= 1e-13 * exact
    assert multivariate_normal_kl(mean_p, cov_p, mean_p, cov_p) == 0.0


def test_a_normal_that_is_much_narrower():
    cov = np.diag([1e-24, 1.0, 4.0])
    exact = multivariate(np.zeros(3), cov, np.ones(3), np.eye(3))
    assert abs(multivariate_normal_kl(np.zeros(3), cov, np.ones(3), np.eye(3)) - exact) <= 1e-13 * exact
