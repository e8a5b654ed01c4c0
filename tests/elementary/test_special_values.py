"""What the elementary functions give at 0, inf, NaN and for negative numbers."""

import math

import numpy as np
import pytest

from tests import elementwise, naive

inf, nan = math.inf, math.nan
tiny, huge = 5e-324, np.finfo(float).max


def same(computed, expected):
    np.testing.assert_array_equal(computed, np.atleast_1d(expected))


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (0.0, 1.0, -inf),
        (1.0, 0.0, inf),
        (0.0, 0.0, nan),
        (inf, 1.0, inf),
        (1.0, inf, -inf),
        (inf, inf, nan),
        (-1.0, 1.0, nan),
        (1.0, -1.0, nan),
        (-1.0, -1.0, nan),
        (nan, 1.0, nan),
        (1.0, nan, nan),
        (3.0, 3.0, 0.0),
        (tiny, tiny, 0.0),
        (huge, huge, 0.0),
    ],
)
def test_log_ratio(p, q, expected):
    same(elementwise.log_ratio(p, q), expected)


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        (0.0, 0.0, 0.0),
        (0.0, 0.25, 0.25),
        (0.0, tiny, tiny),
        (0.25, 0.0, inf),
        (tiny, 0.0, inf),
        (inf, 1.0, inf),
        (1.0, inf, inf),
        (0.0, inf, inf),
        (inf, inf, nan),
        (nan, 1.0, nan),
        (1.0, nan, nan),
        (0.3, 0.3, 0.0),
        (tiny, tiny, 0.0),
        (huge, huge, 0.0),
    ],
)
def test_kl_term(p, q, expected):
    same(elementwise.kl_term(p, q), expected)


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (nan, nan), (710.0, inf), (-746.0, 0.0), (-744.5, tiny)],
)
def test_exp(x, expected):
    same(elementwise.exp(x), expected)


@pytest.mark.parametrize(("x", "expected"), [(1.0, 0.0), (0.0, -inf), (inf, inf), (-1.0, nan), (nan, nan)])
def test_log(x, expected):
    same(elementwise.log(x), expected)


@pytest.mark.parametrize(
    ("log_p", "log_q", "expected"),
    [
        (-inf, -inf, (0.0, 0.0, 0.0)),
        (-inf, 0.0, (1.0, 0.0, 1.0)),
        (0.0, -inf, (inf, 1.0, 0.0)),
        (-900.0, -inf, (inf, 0.0, 0.0)),  # p underflows, and the divergence is infinite all the same
        (-900.0, -2000.0, (0.0, 0.0, 0.0)),
        (0.0, 0.0, (0.0, 1.0, 1.0)),
    ],
)
def test_kl_term_of_logs(log_p, log_q, expected):
    same(elementwise.kl_term_of_logs(log_p, log_q)[0], expected)


def test_kl_term_does_not_overflow_where_the_quotient_does():
    computed = elementwise.kl_term(4.0, 2.2e-308)[0]
    assert naive.ulps(computed, naive.kl_term(4.0, 2.2e-308)) <= 4.0
