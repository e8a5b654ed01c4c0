"""Terms for the hot loops of sums, for numbers of ordinary size: a third of the instructions of `kl_term`.

Method. With q' = 2**k q, k such that p/q' lies in [2/3, 3/2], and s = (p - q')/(p + q'),

    log(p/q) = k ln 2 + 2 s + s R(s**2),
    p log(p/q) - p + q = [(p - q') s + p s R(s**2)] + [p k ln 2 + q - q'],

where R is that of `log_ratio`. The first bracket does not cancel, and where k = 0 the second one is 0. p - q'
is exact, so the relative accuracy holds as p -> q. The residual of the division is left out.

The Jensen-Shannon term is the half of two such terms, of p and of q against m = (p + q)/2. Sorted as a <= m <= b they
share h = b - m = m - a, in which no rounding of m counts, and one division: 1/x and 1/y are y/(x y) and x/(x y).

No operation has a subnormal operand or result, each of which takes an Intel processor some 150 cycles: numbers
below `TINY` count as `TINY`. The caller says where that matters. All numbers are at most `LARGEST`.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import LN2_HI, LN2_LO, float_bits, fma, from_bits, horner
from fastkl.elementary.log_ratio import (
    ATANH_TAIL,
    HALF_AN_EXPONENT,
    MIN_NORMAL_BITS,
    TWO_52,
    TWO_52_BITS,
    expanded,
)
from fastkl.jit import scalar

TINY = 2.0**-900
"""The least number of a KL term: the square of a difference of its neighbours, 2**-953, is a normal double times s."""
LARGEST = 2.0**900

JS_TINY, JS_LARGEST = 2.0**-500, 2.0**490
"""The ends of the range of a Jensen-Shannon term, in which products of two sums are normal doubles."""

LIFT = 200
LOWERED = 2.0**-LIFT
"""What undoes `lifted`."""

SIGN_AND_EXPONENT = np.int64(-(1 << 52))
LIFT_BITS = np.int64(LIFT << 52)
LN2 = LN2_HI + LN2_LO
LN2_BITS, LN2_HI_BITS, LN2_LO_BITS = (part * 2.0**-52 for part in (LN2, LN2_HI, LN2_LO))
"""ln 2 in units of the lowest bit of the exponent."""
LIFTED_LEAST = 2.0 ** (LIFT - 1074)
"""The least subnormal number, lifted."""

WIDE_ATANH_TAIL = (
    0.168773463306643,
    0.10319904097551344,
    0.1350280768841272,
    0.1537323434151672,
    0.18182263052656578,
    0.22222212507665834,
    0.28571428677293453,
    0.3999999999955713,
    0.6666666666666697,
)
"""R(z)/z for z in [0, 1/9], relative error 5e-15 (``python -m bench.coefficients``): R is a 27th of the term there."""


@scalar
def lifted(x):
    """2**200 x for 0 <= x < 2**823, without any arithmetic on subnormal numbers.

    To the bits of a normal double 200 exponents are added; those of a subnormal one are an integer, the mantissa of
    2**52 plus it.
    """
    bits = float_bits(x)
    integer = from_bits(bits | TWO_52_BITS) - TWO_52
    return from_bits(bits + LIFT_BITS) if bits >= MIN_NORMAL_BITS else integer * LIFTED_LEAST


@scalar
def _near(p, q):
    """(q' = 2**k q with p/q' in [2/3, 3/2], k as it stands in the exponent bits)."""
    bits = float_bits(q)
    k = (float_bits(p) - bits + HALF_AN_EXPONENT) & SIGN_AND_EXPONENT
    return from_bits(bits + k), k


@scalar
def ordinary_log_ratio(p, q):
    """log(p/q), with the bits of `log_ratio`, for p and q from `TINY` to `LARGEST`; finite for any p >= 0."""
    p = p if p > TINY else TINY
    near, k = _near(p, q)
    _, _, _, high, low = expanded(np.float64(k), p, near, LN2_HI_BITS, LN2_LO_BITS)
    return high + low


@scalar
def fast_kl_term(p, q):
    """p log(p/q) - p + q >= 0."""
    p = p if p > TINY else TINY
    q = q if q > TINY else TINY
    near, k = _near(p, q)
    difference = p - near
    s = difference / (p + near)
    z = s * s
    shift = fma(p, np.float64(k) * LN2_BITS, q - near)
    return fma(difference, s, fma(p, s * (z * horner(z, ATANH_TAIL)), shift))


@scalar
def fast_scaled_kl_term(p, q, c):
    """p log(p/(c q)) - p + c q >= 0, as if c q had not been rounded; a c q below `TINY` counts as `TINY`."""
    p = p if p > TINY else TINY
    q = q if q > TINY else TINY
    product = c * q
    error = fma(c, q, -product)
    product = product if product > TINY else TINY
    near, k = _near(p, product)
    difference = (p - near) - (error if k == 0 else 0.0)  # elsewhere it is beyond the last place
    s = difference / (p + near)
    z = s * s
    shift = fma(p, np.float64(k) * LN2_BITS, product - near)
    return fma(difference, s, fma(p, s * (z * horner(z, ATANH_TAIL)), shift))


@scalar
def fast_entropy_term(p, mass):
    """p log(mass/p); 0 for p = 0."""
    positive = p if p > TINY else TINY
    near, k = _near(positive, mass)
    s = (near - positive) / (near + positive)
    z = s * s
    return p * fma(s, fma(z, horner(z, ATANH_TAIL), 2.0), np.float64(k) * -LN2_BITS)


@scalar
def fast_js_term(p, q, error):
    """(p log(p/m) + q log(q/m))/2 >= 0 with m = (p + q)/2, where *error* is what rounding took from q."""
    p = p if p > JS_TINY else JS_TINY
    q = q if q > JS_TINY else JS_TINY
    a, b = (p, q) if p < q else (q, p)
    m = 0.5 * (a + b)
    h = abs(0.5 * ((p - q) - error))
    near, k = _near(a, m)
    gap = h if k == 0 else near - a
    x, y = b + m, a + near
    reciprocal = 1.0 / (x * y)
    s, t = (
        h * (reciprocal * y),
        gap * (reciprocal * x),
    )  # log(b/m) = 2 s + s R(s**2), log(a/m) = k ln 2 - 2 t - t R(t**2)
    z, w = s * s, t * t
    tail_b = s * (z * horner(z, WIDE_ATANH_TAIL))
    tail_a = fma(np.float64(k), LN2_BITS, -t * (w * horner(w, ATANH_TAIL)))
    half = 0.5 * fma(h, s, fma(gap, t, fma(b, tail_b, fma(a, tail_a, m - near))))
    return half if a > JS_TINY else h * LN2  # where one is 0, to the last digit; 0 where both are
