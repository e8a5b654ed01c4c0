"""log(p/q) and the non-negative KL term, without forming p/q.

Method. Subtracting the bits of q from those of p and rounding to whole exponents gives a k for which
p/q = 2**k * m/n with m/n in [2/3, 3/2]. Then

    log(p/q) = k ln 2 + 2 atanh(s),    s = (m - n)/(m + n),    |s| <= 1/5,
             = k ln 2 + 2 s + s R(s**2).

m - n is exact, so the relative accuracy holds as p -> q, and nothing overflows or underflows on the
way. The error of s is carried along, and k ln 2 + 2 s is kept as an unevaluated sum.

The KL term p log(p/q) - p + q >= 0 is, if k = 0,

    (p - q) s + p s R(s**2),

two summands of which the second is at most 7 % of the first: no cancellation. If k != 0, the
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
    float_bits,
    fma,
    from_bits,
    horner,
)
from fastkl.jit import scalar

SUBNORMAL_SHIFT = 1074
"""Minus the exponent of 2**-1074, the least subnormal number; the bits of a subnormal one are its multiple of that."""

MIN_NORMAL_BITS = np.int64(1 << MANTISSA_WIDTH)
HALF_AN_EXPONENT = np.int64(1 << 51)
TWELVE_BITS = np.int64(0xFFF)

# K_BIAS makes the number from which k is extracted positive, so that a logical shift will do, which every SIMD
# instruction set has. The double 2**52 + j has j in its low bits, which turns k into a double.
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
"""Coefficients of R(z)/z for z in [0, 0.04], relative error 4e-17 (``python -m bench.coefficients``)."""


@scalar
def _reduced(p, q):
    """(k, m, n) with p/q = 2**k * m/n, k a double, n in [1, 2) and m/n in [2/3, 3/2]."""
    bits_p, bits_q = float_bits(p), float_bits(q)
    small_p, small_q = bits_p < MIN_NORMAL_BITS, bits_q < MIN_NORMAL_BITS
    # no arithmetic on subnormal numbers, each of which takes an Intel processor some 150 cycles
    bits_p = float_bits(from_bits(bits_p | TWO_52_BITS) - TWO_52) if small_p else bits_p
    bits_q = float_bits(from_bits(bits_q | TWO_52_BITS) - TWO_52) if small_q else bits_q
    biased = bits_p - bits_q + HALF_AN_EXPONENT + K_BIAS_BITS
    k_biased = (biased >> MANTISSA_WIDTH) & TWELVE_BITS
    bits_n = (bits_q & MANTISSA) | EXPONENT_OF_ONE
    bits_m = bits_p - ((k_biased - K_BIAS) << MANTISSA_WIDTH) - (bits_q & EXPONENT) + EXPONENT_OF_ONE
    k = from_bits(k_biased | TWO_52_BITS) - (TWO_52 + K_BIAS)
    k -= SUBNORMAL_SHIFT if small_p else 0.0
    k += SUBNORMAL_SHIFT if small_q else 0.0
    return k, from_bits(bits_m), from_bits(bits_n)


@scalar
def expanded(k, m, n, ln2_hi, ln2_lo):
    """(s, error of s, R, high, low) as named at the head of this file, with log(p/q) = high + low.

    ln2_hi + ln2_lo is ln 2 for every unit of k.
    """
    difference = m - n
    reciprocal = 1.0 / (m + n)
    s = difference * reciprocal
    tail = horner(s * s, ATANH_TAIL) * (s * s)
    larger, smaller = (m, n) if m > n else (n, m)
    sum_error = smaller - ((m + n) - larger)
    residual = fma(-s, sum_error, fma(-s, m + n, difference)) * reciprocal
    high = fma(k, ln2_hi, 2.0 * s)
    high_error = fma(k, ln2_hi, -high) + 2.0 * s
    low = fma(k, ln2_lo, fma(s, tail, fma(2.0, residual, high_error)))
    return s, residual, tail, high, low


@scalar
def log_ratio(p, q):
    """log(p/q) for p, q >= 0, within 1 ulp.

    It is -inf for p = 0 or q = inf, inf for q = 0 or p = inf, and NaN for 0/0, inf/inf, a negative number or a NaN.
    """
    k, m, n = _reduced(p, q)
    _, _, _, high, low = expanded(k, m, n, LN2_HI, LN2_LO)
    if p > 0.0 and q > 0.0 and p < np.inf and q < np.inf:
        return high + low
    if p < 0.0 or q < 0.0:
        return np.nan
    return (p - q) * np.inf


@scalar
def log(x):
    """log(x) within 1 ulp; -inf for 0, NaN for a negative number or a NaN."""
    return log_ratio(x, 1.0)


@scalar
def kl_term(p, q):
    """p log(p/q) - p + q >= 0 for p, q >= 0, within 4 ulp.

    It is q for p = 0, inf for q = 0 < p and if one argument is inf, and NaN if both are inf or one is NaN.
    """
    k, m, n = _reduced(p, q)
    s, residual, tail, high, low = expanded(k, m, n, LN2_HI, LN2_LO)
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
def kl_term_of_difference(p, q, difference):
    """p log(p/q) - p + q >= 0 for p, q >= 0, where *difference* is p - q to more digits than p and q hold."""
    if not (0.0 < 0.75 * q <= p <= 1.25 * q):
        return kl_term(p, q)
    s = difference / (p + q)
    return fma(difference, s, p * s * (s * s * horner(s * s, ATANH_TAIL)))
