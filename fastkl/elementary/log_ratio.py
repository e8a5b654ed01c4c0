"""log(p/q) and the non-negative KL term, without forming p/q.

Method. Subtracting the bits of q from those of p and rounding to whole exponents gives a k for which
p/q = 2**k * m/n with m/n in [2/3, 3/2]. Then

    log(p/q) = k ln 2 + 2 atanh(s),    s = (m - n)/(m + n),    |s| <= 1/5,
             = k ln 2 + 2 s + s R(s**2).

m - n is exact, so the relative accuracy holds as p -> q, and nothing overflows or underflows on the
way. The error of s is carried along, and k ln 2 + 2 s is kept as an unevaluated sum.

The KL term p log(p/q) - p + q >= 0 is, where k = 0,

    (p - q) s + p s R(s**2),

two summands of which the second is at most 7 % of the first: no cancellation. Where k != 0 the
logarithm and p - q both enter with their low parts, so that their difference does not cost digits.

Worst errors seen against mpmath on 3e5 points (``python -m bench.accuracy``): log_ratio 0.54 ulp,
p * log_ratio 1.45 ulp, kl_term 1.5 ulp.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import (
    EXPONENT,
    EXPONENT_OF_ONE,
    LN2_HI,
    LN2_LO,
    MANTISSA,
    MANTISSA_WIDTH,
    MIN_NORMAL,
    float_bits,
    fma,
    from_bits,
    horner,
)
from fastkl.jit import scalar

SUBNORMAL_SHIFT = 54
SUBNORMAL_SCALE = 2.0**SUBNORMAL_SHIFT

HALF_AN_EXPONENT = np.int64(1 << 51)
TWELVE_BITS = np.int64(0xFFF)

# The shift that extracts k is a logical one, which every SIMD instruction set has, of a number made
# positive by this bias; the double 2**52 + j has j in its low bits, which turns k into a double.
K_BIAS = np.int64(2048)
K_BIAS_BITS = np.int64(-(2**63))
TWO_52 = 2.0**52
TWO_52_BITS = np.int64(0x4330000000000000)

ATANH_TAIL = (
    0.13609030262858499,
    0.13209708242059462,
    0.15388867805613718,
    0.18181737626302938,
    0.2222222304835159,
    0.28571428567275936,
    0.4000000000000794,
    0.6666666666666666,
)
"""R(z)/z for z in [0, 0.04], relative error 4e-17 (``python -m bench.coefficients``)."""


JS_NEAR = 2.0**-14
"""Below this z the series of the Jensen-Shannon term is exact to 3e-19."""


@scalar
def _reduced(p, q):
    """(k, m, n) with p/q = 2**k * m/n, k a double, n in [1, 2) and m/n in [2/3, 3/2]."""
    small_p, small_q = p < MIN_NORMAL, q < MIN_NORMAL
    bits_p = float_bits(p * SUBNORMAL_SCALE if small_p else p)
    bits_q = float_bits(q * SUBNORMAL_SCALE if small_q else q)
    biased = bits_p - bits_q + HALF_AN_EXPONENT + K_BIAS_BITS
    k_biased = (biased >> MANTISSA_WIDTH) & TWELVE_BITS
    bits_n = (bits_q & MANTISSA) | EXPONENT_OF_ONE
    bits_m = bits_p - ((k_biased - K_BIAS) << MANTISSA_WIDTH) - (bits_q & EXPONENT) + EXPONENT_OF_ONE
    k = from_bits(k_biased | TWO_52_BITS) - (TWO_52 + K_BIAS)
    k -= SUBNORMAL_SHIFT if small_p else 0.0
    k += SUBNORMAL_SHIFT if small_q else 0.0
    return k, from_bits(bits_m), from_bits(bits_n)


@scalar
def _expanded(p, q):
    """(k, s, error of s, R, high, low) as named in the head of this file; log(p/q) = high + low."""
    k, m, n = _reduced(p, q)
    difference = m - n
    reciprocal = 1.0 / (m + n)
    s = difference * reciprocal
    tail = horner(s * s, ATANH_TAIL) * (s * s)
    larger, smaller = (m, n) if m > n else (n, m)
    sum_error = smaller - ((m + n) - larger)
    residual = fma(-s, sum_error, fma(-s, m + n, difference)) * reciprocal
    high = fma(k, LN2_HI, 2.0 * s)
    high_error = fma(k, LN2_HI, -high) + 2.0 * s
    low = fma(k, LN2_LO, fma(s, tail, fma(2.0, residual, high_error)))
    return k, s, residual, tail, high, low


@scalar
def log_ratio(p, q):
    """log(p/q) for p, q >= 0, within 1 ulp.

    -inf for p = 0 or q = inf, inf for q = 0 or p = inf; NaN for 0/0, inf/inf, a negative or a NaN.
    """
    _, _, _, _, high, low = _expanded(p, q)
    if p > 0.0 and q > 0.0 and p < np.inf and q < np.inf:
        return high + low
    if p < 0.0 or q < 0.0:
        return np.nan
    return (p - q) * np.inf


@scalar
def log(x):
    """log(x) within 1 ulp; -inf for 0, NaN for a negative or a NaN."""
    return log_ratio(x, 1.0)


@scalar
def kl_term(p, q):
    """p log(p/q) - p + q >= 0 for p, q >= 0, within 4 ulp.

    q for p = 0; inf for q = 0 < p, and where one argument is inf; NaN for inf and inf, or a NaN.
    """
    k, s, residual, tail, high, low = _expanded(p, q)
    difference = p - q
    if q == 0.0 and p > 0.0:
        return np.inf
    if p == np.inf or q == np.inf:
        return difference * difference
    if k == 0.0:
        return fma(difference, s, fma(p * s, tail, difference * residual))
    shortened = difference - p
    rounding = (p - (difference - shortened)) - (q + shortened)
    return fma(p, high, -difference) + fma(p, low, -rounding)


@scalar
def js_near(p, q, error, m):
    """(the Jensen-Shannon term by its series, what *error* adds to the term elsewhere, d**2).

    With d = (p - q - error)/(2 m), p = m (1 + d) and q = m (1 - d), the term is
    m/2 [(1 + d) log(1 + d) + (1 - d) log(1 - d)], even in d. It changes with q by log(q/m)/2 = log(1 - d)/2.
    """
    d = 0.5 * ((p - q) - error) / m
    z = d * d
    series = 0.5 * m * z * fma(z, fma(z, fma(z, 1.0 / 28.0, 1.0 / 15.0), 1.0 / 6.0), 1.0)
    return series, -0.5 * error * fma(0.5 * d, d, d), z


@scalar
def js_term(p, q, error):
    """(p log(p/m) + q log(q/m))/2 >= 0 for p, q >= 0, m = (p + q)/2, where *error* is what rounding took from q.

    An error of m only counts squared; it does count where p and q differ by a few units in the last place.
    """
    m = 0.5 * p + 0.5 * q
    near, correction, z = js_near(p, q, error, m)
    far = 0.5 * (kl_term(p, m) + kl_term(q, m)) + correction
    # 0 for p = q = 0, and for the two smallest subnormals, whose mean is rounded to 0
    return 0.0 if m == 0.0 else near if z < JS_NEAR else far
