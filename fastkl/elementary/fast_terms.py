"""Fast terms for the hot loops of sums of ordinary numbers, with a third of the instructions of `kl_term`.

Method. With q' = 2**k q, k such that p/q' lies in [2/3, 3/2], and s = (p - q')/(p + q'),

    log(p/q) = k ln 2 + 2 s + s R(s**2),
    p log(p/q) - p + q = [(p - q') s + p s R(s**2)] + [p k ln 2 + q - q'],

with the R of `log_ratio`. The first bracket does not cancel, and the second one is 0 if k = 0. p - q'
is exact, so the relative accuracy holds as p -> q. The residual of the division is left out.

The Jensen-Shannon term is half the sum of two such terms, of p and of q against m = (p + q)/2. Sorted as a <= m <= b,
they share h = b - m = m - a, in which no rounding of m counts, and one division: 1/x and 1/y are y/(x y) and x/(x y).

No operation has a subnormal operand or result, each of which takes an Intel processor some 150 cycles: numbers
below `TINY` count as `TINY`. The caller finds out whether that matters. All numbers are at most `LARGEST`.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import (
    EXPONENT_BIAS,
    LN2_HI,
    LN2_LO,
    MANTISSA_WIDTH,
    float_bits,
    fma,
    from_bits,
    horner,
)
from fastkl.elementary.log_ratio import (
    ATANH_TAIL,
    HALF_AN_EXPONENT,
    MIN_NORMAL_BITS,
    TWELVE_BITS,
    TWO_52,
    TWO_52_BITS,
    expanded,
)
from fastkl.jit import scalar

TINY = 2.0**-900
"""Least number in a KL term: the difference of two neighbouring ones, 2**-953, times s is still a normal double."""
LARGEST = 2.0**900

JS_TINY, JS_LARGEST = 2.0**-500, 2.0**490
"""Least and largest number in a Jensen-Shannon term: products of two sums of such numbers are normal doubles."""

LIFT = 200
LOWERED = 2.0**-LIFT
"""Factor that undoes `lifted`."""

SIGN_AND_EXPONENT = np.int64(-(1 << 52))
LIFT_BITS = np.int64(LIFT << 52)
LN2 = LN2_HI + LN2_LO
LN2_BITS, LN2_HI_BITS, LN2_LO_BITS = (part * 2.0**-52 for part in (LN2, LN2_HI, LN2_LO))
"""ln 2, and its high and low part, times 2**-52: factors of a k that is shifted to the exponent bits."""
TWO_52_AND_BIAS = TWO_52 + np.float64(EXPONENT_BIAS)
LIFTED_LEAST = 2.0 ** (LIFT - 1074)
"""The least subnormal number, 2**-1074, times 2**LIFT."""

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
"""Coefficients of R(z)/z for z in [0, 1/9], relative error 5e-15 (``python -m bench.coefficients``).

R is a 27th of the term there.
"""


@scalar
def lifted(x):
    """2**200 x for 0 <= x < 2**823, without any arithmetic on subnormal numbers.

    A normal double has 200 added to its exponent. The bits of a subnormal one are an integer, which is the mantissa of
    the double 2**52 plus that integer.
    """
    bits = float_bits(x)
    integer = from_bits(bits | TWO_52_BITS) - TWO_52
    return from_bits(bits + LIFT_BITS) if bits >= MIN_NORMAL_BITS else integer * LIFTED_LEAST


@scalar
def _near(p, q):
    """(q', k) with q' = 2**k q and p/q' in [2/3, 3/2]; k is shifted to the exponent bits."""
    bits = float_bits(q)
    k = (float_bits(p) - bits + HALF_AN_EXPONENT) & SIGN_AND_EXPONENT
    return from_bits(bits + k), k


@scalar
def ordinary_log_ratio(p, q):
    """log(p/q), bit for bit as `log_ratio`, for p and q from `TINY` to `LARGEST`; finite for any p >= 0."""
    p = p if p > TINY else TINY
    near, k = _near(p, q)
    _, _, _, high, low = expanded(np.float64(k), p, near, LN2_HI_BITS, LN2_LO_BITS)
    return high + low


@scalar
def fast_kl_term(p, q):
    """The KL term p log(p/q) - p + q >= 0; p and q below `TINY` count as `TINY`."""
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
    """The KL term p log(p/(c q)) - p + c q >= 0, as if c q were not rounded; p, q and c q count as `TINY` at least."""
    p = p if p > TINY else TINY
    q = q if q > TINY else TINY
    product = c * q
    error = fma(c, q, -product)
    product = product if product > TINY else TINY
    near, k = _near(p, product)
    difference = (p - near) - (error if k == 0 else 0.0)  # with k != 0 the error is beyond the last place
    s = difference / (p + near)
    z = s * s
    shift = fma(p, np.float64(k) * LN2_BITS, product - near)
    return fma(difference, s, fma(p, s * (z * horner(z, ATANH_TAIL)), shift))


@scalar
def fast_log(x):
    """log(x) for x >= `TINY`, within 2**-51 |log(x)|, and 2**-52 more away from 1.

    It is -inf for 0, and log(`TINY`) for numbers between 0 and `TINY`.
    """
    positive = x if x > TINY else TINY
    near, k = _near(positive, 1.0)
    s = (positive - near) / (positive + near)
    z = s * s
    value = fma(s, fma(z, horner(z, ATANH_TAIL), 2.0), np.float64(k) * LN2_BITS)
    return value if x > 0.0 else -np.inf


@scalar
def fast_entropy_term(p, mass):
    """The entropy term p log(mass/p); 0 for p = 0."""
    positive = p if p > TINY else TINY
    near, k = _near(positive, mass)
    s = (near - positive) / (near + positive)
    z = s * s
    return p * fma(s, fma(z, horner(z, ATANH_TAIL), 2.0), np.float64(k) * -LN2_BITS)


@scalar
def fast_js_term(p, q, error):
    """The Jensen-Shannon term (p log(p/m) + q log(q/m))/2 >= 0, m = (p + q)/2; *error* is what q lost by rounding."""
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
    return half if a > JS_TINY else h * LN2  # right to the last digit if one number is 0; 0 if both are


@scalar
def fast_unit_kl_term(r):
    """The KL term r log(r) - r + 1 >= 0 of r against 1; r below `TINY` counts as `TINY`."""
    r = r if r > TINY else TINY
    bits = float_bits(r) + HALF_AN_EXPONENT
    near = from_bits(bits & SIGN_AND_EXPONENT)
    # the bits of a double from 2**52 on hold k: not every processor has an instruction that makes a double of k
    k = from_bits(((bits >> MANTISSA_WIDTH) & TWELVE_BITS) | TWO_52_BITS) - TWO_52_AND_BIAS
    difference = r - near
    s = difference / (r + near)
    z = s * s
    return fma(difference, s, fma(r, s * (z * horner(z, ATANH_TAIL)), fma(r, k * LN2, 1.0 - near)))


@scalar
def fast_centred(p, c, m):
    """(c p - m, log(c p/m), the KL terms of c p against m and of m against c p), as if c p were not rounded.

    The product counts as `TINY` at least in the logarithm and the terms.
    """
    product = c * p
    error = fma(c, p, -product)
    product = product if product > TINY else TINY
    near, k = _near(product, m)
    difference = (product - near) + (error if k == 0 else 0.0)  # with k != 0 the error is beyond the last place
    s = difference / (product + near)
    z = s * s
    tail = s * (z * horner(z, ATANH_TAIL))
    logarithm = fma(np.float64(k), LN2_BITS, fma(2.0, s, tail))
    of_product = fma(difference, s, fma(product, tail, fma(product, np.float64(k) * LN2_BITS, m - near)))
    excess = fma(c, p, -m)
    of_centre = fma(difference, s, -m * tail) if k == 0 else fma(-m, logarithm, excess)
    return excess, logarithm, of_product, of_centre
