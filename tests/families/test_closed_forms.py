"""Closed forms against the textbook's with 60 digits, and those against quadrature."""

import math

import mpmath as mp
import numpy as np
import pytest

from fastkl import (
    Beta,
    Gamma,
    GeneralizedPareto,
    Gumbel,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    Normal,
    StudentT,
    Weibull,
)
from fastkl.closed_forms import closed_form
from fastkl.families.multivariate_normal import multivariate_normal_kl
from tests.references import REFERENCES, density, naive_log_density

EVERYTHING = [
    (name, other, p, q)
    for name, reference in REFERENCES.items()
    for other, pairs in ((name, reference.pairs), ("normal", reference.to_normal))
    for p, q in pairs
]
APART = [case for case in EVERYTHING if case[0] != case[1] or not np.allclose(case[2], case[3], rtol=1e-5)]


def textbook(p_name, q_name, p, q):
    """The formulas as they are usually written, which need the digits that mpmath has."""
    p, q = (tuple(map(mp.mpf, map(float, numbers))) for numbers in (p, q))
    if p_name != q_name:
        entropy, mean, variance = REFERENCES[p_name].moments(*p)
        loc, scale = q
        return mp.log(2 * mp.pi * scale**2) / 2 + (variance + (mean - loc) ** 2) / (2 * scale**2) - entropy
    return REFERENCES[p_name].divergence(*p, *q)


def quadrature(p_name, q_name, p, q):
    """The integral of p log(p/q)."""
    log_p, log_q = naive_log_density(p_name, p), naive_log_density(q_name, q)
    of_p = density(p_name, p)
    lower, upper = of_p.support
    place, width = (of_p.mean, of_p.std) if math.isfinite(of_p.std) else of_p._landmark
    pieces = {place + step * width for step in (-50, -10, -3, 0, 3, 10, 50, 200, 1000, 1e6, 1e12, 1e24, 1e48)}
    pieces |= {*density(p_name, p)._kinks, *density(q_name, q)._kinks}
    pieces |= {lower + width * step for step in (0, 1e-12, 1e-6, 1e-3)} if math.isfinite(lower) else set()
    ends = sorted({min(max(piece, lower), upper) for piece in pieces})

    def integrand(x):
        log = log_p(x) if lower < x < upper else -mp.inf
        return mp.exp(log) * (log - log_q(x)) if log > -mp.inf else mp.mpf(0)

    return mp.quad(integrand, ends)


@pytest.mark.parametrize(("p_name", "q_name", "p", "q"), EVERYTHING)
def test_closed_forms_have_13_digits(p_name, q_name, p, q):
    computed = closed_form(density(p_name, p), density(q_name, q))
    exact = textbook(p_name, q_name, p, q)
    assert computed >= 0.0
    assert abs(computed - exact) <= 1e-13 * exact


@pytest.mark.parametrize(("p_name", "q_name", "p", "q"), APART)
def test_the_textbook_is_right(p_name, q_name, p, q):
    with mp.workdps(40):
        value = quadrature(p_name, q_name, p, q)
    # a power like x**-0.7 at an end of the support costs the quadrature digits
    assert abs(value - textbook(p_name, q_name, p, q)) <= 1e-5 * abs(value)


INSTANCES = [density(name, reference.shape) for name, reference in REFERENCES.items()]


@pytest.mark.parametrize("p", INSTANCES, ids=repr)
def test_equal_densities_have_none(p):
    assert closed_form(p, type(p)(**vars(p))) == 0.0


def test_mass_off_the_support_is_infinitely_far():
    for p in INSTANCES:
        for q in INSTANCES:
            leaves = p.support[0] < q.support[0] or p.support[1] > q.support[1]
            assert (closed_form(p, q) == math.inf) == leaves


@pytest.mark.parametrize(
    ("p", "q", "exact"),
    [
        (Normal(0, 1), Normal(0, 1e-155), math.inf),  # 5e309
        (Normal(-1e308, 1e308), Normal(0, 1e308), 0.5),
        (Normal(-1e308, 1e308), Normal(1e308, 1e308), 2.0),
        (Laplace(-1e308, 1e308), Laplace(1e308, 1e308), 1 + math.exp(-2)),
        (Laplace(0, 1), Normal(0, 1e-154), 1e308),
        (Laplace(0, 1e300), Laplace(0, 1e-300), math.inf),
        (Gumbel(0, 1e300), Gumbel(0, 1e-300), math.inf),
        # log(q.scale/p.scale) - gamma, and a term of the order of 1e-600
        (Gumbel(0, 1e-300), Gumbel(0, 1e300), 600 * math.log(10) - np.euler_gamma),
        (Weibull(1e300), Weibull(1e-300), 600 * math.log(10) - np.euler_gamma),
        (Gumbel(-1e308, 1e308), Gumbel(1e308, 1e308), math.expm1(2) - 2),
        (Gamma(1, scale=1e300), Gamma(1, scale=1e-300), math.inf),
        (Gamma(1e-300), Gamma(1e300), math.inf),
        (InverseGamma(1e-300), InverseGamma(1e300), math.inf),
        (Beta(1e-300, 1), Beta(1e300, 1), math.inf),
        (GeneralizedPareto(0, 0, 1e300), GeneralizedPareto(0, 0, 1e-300), math.inf),
        (LogNormal(1), LogNormal(1e-160), math.inf),
        (Beta(2, 2), Normal(0.5, 1e-160), math.inf),
    ],
    ids=str,
)
def test_squares_and_differences_that_overflow(p, q, exact):
    assert closed_form(p, q) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("df", [2 + 1e-9, 2.1, 2.12, 3.0, 5.5, 20.0, 39.99, 40.01, 1e3, 1e8])
def test_a_student_t_keeps_its_digits_for_any_df(df):
    """Against the formula in 40 digits; quadrature converges too slowly for a test where df is small."""
    with mp.workdps(40):
        exact = textbook("student_t", "normal", (df, 0, 1), (0, 1))
    assert closed_form(StudentT(df), Normal(0, 1)) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize(("df", "exact"), [(2.1, 9.485547129571794), (2.12, 7.823947479893814)])
def test_a_student_t_that_has_hardly_a_variance(df, exact):
    assert closed_form(StudentT(df), Normal(0, 1)) == pytest.approx(exact, rel=1e-14)


def test_gammas_that_begin_elsewhere():
    assert closed_form(Gamma(2, loc=0), Gamma(2, loc=1)) == math.inf
    assert closed_form(Gamma(2, loc=1), Gamma(2, loc=0)) is None


def test_no_formula():
    assert closed_form(Logistic(0, 1), Normal(0, 1)) is None
    assert closed_form(Mixture([Normal(0, 1), Normal(1, 1)]), Normal(0, 1)) is None
    assert closed_form(Normal(0, 1), Mixture([Normal(0, 1), Normal(1, 1)])) is None
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
