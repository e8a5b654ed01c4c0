"""The short formulas for numbers of ordinary size, against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest

from fastkl.elementary import TINY
from fastkl.jit import JIT_DISABLED
from fastkl.kernels.pairs import JS_ERROR, KL_ERROR
from tests import elementwise, naive

N = 100 if JIT_DISABLED else 3000


def pairs(rng: np.random.Generator, stratum: str) -> tuple[np.ndarray, np.ndarray]:
    q = rng.random(N) * 2.0 ** rng.integers(-60, 60, N) + 1e-30
    if stratum == "close":
        return q * (1.0 + 10.0 ** -rng.uniform(0.6, 15, N) * rng.choice([-1, 1], N)), q
    return q * np.exp(rng.uniform(-3, 3, N) if stratum == "moderate" else rng.uniform(-400, 400, N)), q


@pytest.mark.parametrize(("stratum", "limit"), [("close", 3.0), ("moderate", 8.0), ("far", 3.0)])
def test_fast_kl_term(stratum: str, limit: float) -> None:
    p, q = pairs(np.random.default_rng(1), stratum)
    terms = elementwise.fast_kl_term(p, q)
    assert max(map(naive.ulps, terms, map(naive.kl_term, p, q))) <= limit
    assert terms.min() >= 0.0


@pytest.mark.parametrize("stratum", ["close", "moderate", "far"])
def test_an_ordinary_log_ratio_has_the_bits_of_any(stratum: str) -> None:
    p, q = pairs(np.random.default_rng(2), stratum)
    np.testing.assert_array_equal(elementwise.ordinary_log_ratio(p, q), elementwise.log_ratio(p, q))


def test_lifted_numbers_are_exact() -> None:
    rng = np.random.default_rng(7)
    least = np.finfo(float).smallest_subnormal
    x = np.concatenate([[0.0, least, 2.0**-1022, 2.0**-1022 - least], rng.integers(1, 2**52, N) * least, rng.random(N)])
    np.testing.assert_array_equal(elementwise.lifted(x), np.ldexp(x, 200))


def test_a_scaled_term_is_that_of_the_product_before_rounding() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(N)
    c = 10.0 ** rng.uniform(-8, 8, N)
    q = p / c * (1.0 + 10.0 ** -rng.uniform(1, 14, N) * rng.choice([-1, 1], N))
    exact = [
        mp.mpf(a) * mp.log(mp.mpf(a) / (mp.mpf(b) * k)) - mp.mpf(a) + mp.mpf(b) * k
        for a, b, k in zip(p, q, c, strict=True)
    ]
    assert max(map(naive.ulps, elementwise.fast_scaled_kl_term(p, q, c), exact)) <= 4.0


@pytest.mark.parametrize("spread", [1e-14, 1e-8, 1e-3, 0.3, 3.0, 60.0])
def test_terms_against_a_centre(spread: float) -> None:
    rng = np.random.default_rng(8)
    m = rng.random(N) + 0.01
    c = 10.0 ** rng.uniform(-8, 8, N)
    p = m / c * np.exp(spread * rng.uniform(-1, 1, N))
    found = elementwise.fast_centred(p, c, m)
    for numbers, (a, k, b) in zip(found, zip(*(map(mp.mpf, x) for x in (p, c, m)), strict=True), strict=True):
        v = k * a
        logarithm = mp.log(v / b)
        exact = v - b, logarithm, v * logarithm - v + b, v - b - b * logarithm
        limits = 0.51, 5.0, KL_ERROR / 2, KL_ERROR / 2  # an ulp is at most two units of rounding
        assert all(naive.ulps(x, y) <= limit for x, y, limit in zip(numbers, exact, limits, strict=True))
    r = np.exp(spread * rng.uniform(-1, 1, N))
    exact = [x * mp.log(x) - x + 1 for x in map(mp.mpf, r)]
    assert max(map(naive.ulps, elementwise.fast_unit_kl_term(r), exact)) <= JS_ERROR / 2


def test_fast_js_term() -> None:
    rng = np.random.default_rng(4)
    for stratum in ("close", "moderate", "far"):
        p, q = pairs(rng, stratum)
        exact = []
        for a, b in zip(map(mp.mpf, p), map(mp.mpf, q), strict=True):
            m = (a + b) / 2
            exact.append((a * mp.log(a / m) + b * mp.log(b / m)) / 2)
        assert max(map(naive.ulps, elementwise.fast_js_term(p, q, np.zeros(N)), exact)) <= 8.0


def test_zeros() -> None:
    assert elementwise.fast_kl_term(0.0, 0.5) == 0.5
    assert elementwise.fast_kl_term(0.0, 0.0) == 0.0
    assert elementwise.fast_unit_kl_term(0.0) == 1.0
    assert elementwise.fast_js_term(0.0, 0.0, 0.0) == 0.0
    assert elementwise.fast_entropy_term(0.0, 1.0) == 0.0
    assert elementwise.fast_js_term(0.0, 1.0, 0.0) == pytest.approx(0.5 * np.log(2.0), rel=1e-15)


@pytest.mark.parametrize(("distance", "limit"), [((1e-10, 0.3), 1e-15), ((0.3, 3.0), 3e-15), ((3.0, 690.0), 2e-15)])
def test_fast_kl_term_of_logs(distance: tuple[float, float], limit: float) -> None:
    rng = np.random.default_rng(5)
    apart = np.exp(rng.uniform(*np.log(distance), N)) * rng.choice([-1, 1], N)
    log_p = np.clip(rng.uniform(-640, 40, N), -640 + np.maximum(apart, 0), 40 + np.minimum(apart, 0))
    log_q = log_p - apart
    terms, p, q = elementwise.fast_kl_term_of_logs(log_p, log_q).T
    exact = list(map(naive.kl_term_of_logs, log_p, log_q))
    assert max(map(naive.relative, terms, exact)) <= limit
    assert terms.min() >= 0.0
    assert max(map(naive.ulps, p, map(naive.exp, log_p))) <= 1.1
    # p times exp of a difference, each within 1.1 ulp, and the product is rounded
    assert max(map(naive.ulps, q, map(naive.exp, log_q))) <= 5.0


def test_ordinary_exp() -> None:
    x = np.random.default_rng(6).uniform(-708, 709, N)
    assert max(map(naive.ulps, elementwise.ordinary_exp(x), map(naive.exp, x))) <= 1.1


def test_short_exp() -> None:
    x = np.random.default_rng(7).uniform(-700, 709, N)
    errors = map(naive.relative, elementwise.short_exp(x), map(naive.exp, x))
    assert max(error - 3.4e-17 * abs(v) for error, v in zip(errors, x, strict=True)) <= 2.0 * 2.0**-52


@pytest.mark.parametrize(
    ("function", "distance", "limit"),
    [
        (elementwise.shares_of_gap, (1e-150, 1e-10), 1e-15),
        (elementwise.shares_of_gap, (1e-10, 0.3), 1e-15),
        (elementwise.shares_of_gap, (0.3, 3.0), 3e-15),  # the term is just beyond 0.05 where the formula changes
        (elementwise.shares_of_gap, (3.0, 690.0), 2.5e-14),  # 3.4e-17 of 690
        (elementwise.shares_of_narrow_gap, (1e-150, 1e-10), 1e-15),
        (elementwise.shares_of_narrow_gap, (1e-10, 1.0), 1e-15),
    ],
)
def test_shares_of_a_gap(function: Any, distance: tuple[float, float], limit: float) -> None:
    rng = np.random.default_rng(8)
    d = np.exp(rng.uniform(*np.log(distance), N)) * rng.choice([-1, 1], N)
    surplus, term = function(d).T
    with mp.workdps(700):
        small = [mp.expm1(-mp.mpf(v)) for v in d]
        assert max(map(naive.relative, term, [e + mp.mpf(v) for e, v in zip(small, d, strict=True)])) <= limit
        assert max(map(naive.relative, surplus, small)) <= limit
    assert term.min() >= 0.0


def test_a_gap_is_rounded_as_if_the_difference_were_not() -> None:
    rng = np.random.default_rng(9)
    a, offset = rng.normal(size=N), rng.choice([0.5, -12345.6, 1e8], N)
    b = a - offset - 1e-8 * rng.normal(size=N)
    exact = [mp.mpf(x) - mp.mpf(y) - mp.mpf(c) for x, y, c in zip(a, b, offset, strict=True)]
    assert max(map(naive.relative, elementwise.gap(a, b, offset), exact)) <= 2.0**-52
    assert (elementwise.gap(a + 0.5, a + 0.5, np.zeros(N)) == 0.0).all()


def test_a_fast_logarithm_is_right_to_an_ulp_or_two() -> None:
    rng = np.random.default_rng(11)
    spread = np.exp(rng.uniform(-600, 600, N))
    x = np.concatenate([spread, 1.0 + rng.uniform(-0.4, 0.4, N), 1.0 + 1e-9 * rng.uniform(-1, 1, N)])
    for found, number in zip(elementwise.fast_log(x), x, strict=True):
        exact = mp.log(mp.mpf(number))
        assert abs(found - exact) <= 2.0**-51 * abs(exact) + (2.0**-52 if abs(exact) > 0.4 else 0.0)
    found = elementwise.fast_log(np.array([1.0, 0.0, 2.0**-1000, TINY]))
    assert found[:2].tolist() == [0.0, -np.inf]
    assert found[2] == found[3]
