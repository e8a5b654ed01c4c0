"""Terms for the hot loops of sums, for arguments of ordinary size: a third of the instructions of `kl_term`.

Method. With q' = 2**k q, k such that p/q' lies in [2/3, 3/2], and s = (p - q')/(p + q'),

    p log(p/q) - p + q = [(p - q') s + p s R(s**2)] + [p k ln 2 + q - q'],

where R is that of `log_ratio`. The first bracket does not cancel, and where k = 0 the second one is 0. p - q'
is exact, so the relative accuracy holds as p -> q.

Only the residual of the division is left out, which costs a unit in the last place of the term: a relative
error of 4e-16 where k = 0, and up to 8 units where k = 1 or -1 (``tests/elementary/test_fast_terms.py``).
Both arguments must be finite and below `LARGEST`, and q (here also: c q, and the mass) at least `SMALLEST`;
p may be anything from 0 up, since a p below `TINY` counts as `TINY` in the logarithm alone.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import LN2_HI, LN2_LO, float_bits, fma, from_bits, horner
from fastkl.elementary.log_ratio import ATANH_TAIL, JS_NEAR, js_near
from fastkl.jit import scalar

SMALLEST = 2.0**-960
LARGEST = 2.0**1000
TINY = 2.0**-1021

HALF_AN_EXPONENT = np.int64(1 << 51)
SIGN_AND_EXPONENT = np.int64(-(1 << 52))
LN2_BITS, LN2_HI_BITS, LN2_LO_BITS = (part * 2.0**-52 for part in (LN2_HI + LN2_LO, LN2_HI, LN2_LO))
"""ln 2 in units of the lowest bit of the exponent."""


@scalar
def _reduced(p, q):
    """(max(p, TINY), q' = 2**k q, k as it stands in the exponent bits)."""
    positive = p if p > TINY else TINY
    bits = float_bits(q)
    k = (float_bits(positive) - bits + HALF_AN_EXPONENT) & SIGN_AND_EXPONENT
    return positive, from_bits(bits + k), k


@scalar
def fast_kl_term(p, q):
    """p log(p/q) - p + q >= 0."""
    positive, near, k = _reduced(p, q)
    difference = positive - near
    s = difference / (positive + near)
    z = s * s
    first = fma(difference, s, p * s * z * horner(z, ATANH_TAIL))
    return first + fma(p, np.float64(k) * LN2_BITS, q - near)


@scalar
def fast_scaled_kl_term(p, q, c):
    """p log(p/(c q)) - p + c q >= 0, as if c q had not been rounded."""
    product = c * q
    positive, near, k = _reduced(p, product)
    error = fma(c, q, -product)
    difference = (positive - near) - (error if k == 0 else 0.0)  # elsewhere it is beyond the last place
    s = difference / (positive + near)
    z = s * s
    first = fma(difference, s, p * s * z * horner(z, ATANH_TAIL))
    return first + fma(p, np.float64(k) * LN2_BITS, product - near)


@scalar
def fast_log_ratio(p, q):
    """log(p/q), with the residual of the division and both parts of ln 2; finite for p = 0."""
    positive, near, k = _reduced(p, q)
    difference, total = positive - near, positive + near
    reciprocal = 1.0 / total
    s = difference * reciprocal
    z = s * s
    exponent = np.float64(k)
    high = fma(exponent, LN2_HI_BITS, 2.0 * s)
    lost = fma(exponent, LN2_HI_BITS, -high) + 2.0 * s
    residual = fma(-s, total, difference) * reciprocal
    return high + fma(exponent, LN2_LO_BITS, fma(s * z, horner(z, ATANH_TAIL), fma(2.0, residual, lost)))


@scalar
def fast_entropy_term(p, mass):
    """p log(mass/p); 0 for p = 0."""
    return -p * fast_log_ratio(p, mass)


@scalar
def fast_js_term(p, q, error):
    """(p log(p/m) + q log(q/m))/2 >= 0 with m = (p + q)/2, where *error* is what rounding took from q."""
    m = 0.5 * p + 0.5 * q
    near, correction, z = js_near(p, q, error, m)
    return near if z < JS_NEAR else 0.5 * (fast_kl_term(p, m) + fast_kl_term(q, m)) + correction
