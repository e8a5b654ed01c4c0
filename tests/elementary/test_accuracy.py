"""Error bounds of the elementary functions, against mpmath with 60 digits."""

import mpmath as mp
import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED
from tests import elementwise, naive
from tests.strata import STRATA

# The bounds are the contract; `python -m bench.accuracy` looks for worse points among many more.
POINTS = 300 if JIT_DISABLED else 3000


@pytest.fixture(params=STRATA, ids=lambda stratum: stratum.__name__)
def sample(request):
    return request.param(np.random.default_rng(7), POINTS)


def worst(computed, exact):
    return max(map(naive.ulps, computed, exact))


def test_log_ratio_is_within_1_ulp(sample):
    p, q = sample
    assert worst(elementwise.log_ratio(p, q), map(naive.log_ratio, p, q)) <= 1.0


def test_p_log_ratio_is_within_2_ulp(sample):
    p, q = sample
    with np.errstate(over="ignore"):  # the exact product is beyond the range as well
        products = p * elementwise.log_ratio(p, q)
    assert worst(products, map(naive.p_log_ratio, p, q)) <= 2.0


def test_kl_term_is_within_4_ulp_and_never_negative(sample):
    p, q = sample
    terms = elementwise.kl_term(p, q)
    assert worst(terms, map(naive.kl_term, p, q)) <= 4.0
    assert terms.min() >= 0.0


def test_kl_term_of_a_difference_has_the_digits_of_the_difference():
    rng = np.random.default_rng(10)
    p = rng.random(300) + 0.1
    # q = (p rounded to 30 bits) + low, whose sum is no double: p - q is low but for what p loses
    q = np.round(p * 2.0**30) * 2.0**-30
    low = q * 2.0 ** -rng.uniform(54, 70, p.size)
    terms = elementwise.kl_term_of_difference(p, q, (p - q) - low)
    exact = [naive.kl_term(mp.mpf(a), mp.mpf(b) + mp.mpf(c)) for a, b, c in zip(p, q, low, strict=True)]
    assert worst(terms, exact) <= 4.0
    same = elementwise.kl_term_of_difference(p, p, -low)
    exact = [naive.kl_term(mp.mpf(a), mp.mpf(a) + mp.mpf(c)) for a, c in zip(p, low, strict=True)]
    assert worst(same, exact) <= 4.0
    ends = elementwise.kl_term_of_difference([0.0, 0.0, 2.0], [0.0, 2.0, 0.0], [0.0, -2.0, 2.0])
    np.testing.assert_array_equal(ends, [0.0, 2.0, np.inf])


@pytest.mark.parametrize(("lower", "upper"), [(-746.0, 710.0), (-1.0, 1.0), (-746.0, -707.0), (707.0, 710.0)])
def test_exp_is_within_1_ulp(lower, upper):
    x = np.random.default_rng(8).uniform(lower, upper, POINTS)
    assert worst(elementwise.exp(x), map(naive.exp, x)) <= 1.0


def test_kl_term_of_logs_has_its_digits_where_the_logs_are_close():
    rng = np.random.default_rng(9)
    log_p = rng.uniform(-30, 3, POINTS)
    log_q = log_p + rng.choice([-1.0, 1.0], POINTS) * 10.0 ** rng.uniform(-9, 0.5, POINTS)
    terms = elementwise.kl_term_of_logs(log_p, log_q)
    exact = map(naive.kl_term_of_logs, log_p, log_q)
    # Just beyond the branch, |L| = 0.35, the term is 1/18 of what it is the difference of: 32 half ulps.
    assert max(map(naive.relative, terms[:, 0], exact)) <= 32 * 2**-53
    np.testing.assert_allclose(terms[:, 1], np.exp(log_p), rtol=4e-16)  # two exps of less than 1 ulp
    np.testing.assert_allclose(terms[:, 2], np.exp(log_q), rtol=6e-16)  # and a product
