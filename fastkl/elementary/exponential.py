"""exp(x), and the non-negative KL term of two log-densities.

Method for exp. x = k ln 2 + r with |r| <= ln(2)/2, and exp(r) = (1 + r) + r**2 E(r) with a polynomial E;
the rounding error of 1 + r is added to the small summand. 2**k is multiplied on as two powers of
two, each of which is a normal double, so that a subnormal result is rounded once.

Worst error seen against mpmath on 2e5 points (``python -m bench.accuracy``): exp 0.82 ulp.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import (
    EXPONENT_BIAS,
    EXPONENT_OF_ONE,
    LN2_HI,
    LN2_LO,
    MANTISSA_WIDTH,
    float_bits,
    fma,
    from_bits,
    horner,
)
from fastkl.elementary.compensated import two_sum
from fastkl.jit import scalar

LOG2_E = 1.4426950408889634

# TO_INTEGER, added to a number below 2**51, rounds it to an integer, which is then in the low bits.
TO_INTEGER = 1.5 * 2.0**52
TO_INTEGER_BITS = np.int64(0x4338000000000000)

LARGEST = 710.0
"""Argument above which exp(x) is inf (it overflows from 709.79 on)."""
SMALLEST = -746.0
"""Argument below which exp(x) is 0 (it underflows from -745.14 down)."""

SMALLEST_NORMAL = -708.0
"""Argument above which exp(x) is a normal double (it is one from -708.40 up)."""

LOWEST = -700.0
"""Argument below which `fast_exp` stays the same, 1e-304."""

LN2 = LN2_HI + LN2_LO

EXP_TAIL = (
    2.51004110820149e-08,
    2.7620121717381933e-07,
    2.7557268406190795e-06,
    2.4801521225986432e-05,
    0.00019841269863088255,
    0.0013888888917258759,
    0.008333333333330055,
    0.04166666666662404,
    0.16666666666666669,
    0.5000000000000001,
)
"""Coefficients of (exp(r) - 1 - r)/r**2 for |r| <= 0.3467, relative error 3e-16 (``python -m bench.coefficients``)."""


WIDE_EXP_TAIL = (
    7.746178593018827e-13,
    1.1639194124150522e-11,
    1.6057679623801638e-10,
    2.0874435575864273e-09,
    2.5052117695907823e-08,
    2.755733506893373e-07,
    2.7557319191381816e-06,
    2.4801587246096818e-05,
    0.00019841269841324198,
    0.0013888888888981404,
    0.008333333333333299,
    0.04166666666666609,
    0.16666666666666666,
    0.5,
)
"""Coefficients of (exp(r) - 1 - r)/r**2 for |r| <= 1, relative error 1.5e-17 (``python -m bench.coefficients``)."""


@scalar
def _reduced(x):
    """(k, r, T) with x = k ln 2 + r, |r| <= 0.3467 and exp(r) = 1 + r + r**2 T; k is an integer."""
    shifted = fma(x, LOG2_E, TO_INTEGER)
    k = shifted - TO_INTEGER
    r = fma(-k, LN2_LO, fma(-k, LN2_HI, x))
    return float_bits(shifted) - TO_INTEGER_BITS, r, horner(r, EXP_TAIL)


@scalar
def exp(x):
    """exp(x) within 1 ulp; 0 and inf beyond the range, NaN for NaN."""
    x = SMALLEST if x < SMALLEST else x
    x = LARGEST if x > LARGEST else x
    k, r, tail = _reduced(x)
    leading = 1.0 + r
    value = leading + fma(r * r, tail, r - (leading - 1.0))
    exponents = k + 2 * EXPONENT_BIAS
    half = exponents >> 1
    return value * from_bits(half << MANTISSA_WIDTH) * from_bits((exponents - half) << MANTISSA_WIDTH)


@scalar
def _power(k, r, tail):
    """2**k exp(r), if that is a normal double."""
    return (1.0 + fma(r * r, tail, r)) * from_bits((k + EXPONENT_BIAS) << MANTISSA_WIDTH)


@scalar
def exp_or_zero(x):
    """exp(x) within 1.1 ulp for x <= 709, and 0 if that is below the normal doubles; for hot loops."""
    normal = x >= SMALLEST_NORMAL
    k, r, tail = _reduced(x if normal else SMALLEST_NORMAL)
    return _power(k, r, tail) if normal else 0.0


@scalar
def ordinary_exp(x):
    """exp(x) within 1.1 ulp for -708 <= x <= 709; meaningless for any other x."""
    k, r, tail = _reduced(x)
    return _power(k, r, tail)


@scalar
def fast_exp(x):
    """exp(max(x, -700)) for x <= 709, with a relative error of 2 ulp plus 3e-17 |x|.

    ln 2 is not split, which costs less than the last place of x does, and k is added to the exponent's bits.
    """
    x = LOWEST if x < LOWEST else x
    shifted = fma(x, LOG2_E, TO_INTEGER)
    r = fma(TO_INTEGER - shifted, LN2, x)
    value = fma(r, fma(r, horner(r, EXP_TAIL), 1.0), 1.0)
    return from_bits(float_bits(value) + (float_bits(shifted) << MANTISSA_WIDTH))


@scalar
def _short_tail(r, square):
    """The polynomial `EXP_TAIL` at r, as two polynomials in r**2: two short chains of instructions, not a long one."""
    return fma(horner(square, EXP_TAIL[0::2]), r, horner(square, EXP_TAIL[1::2]))


@scalar
def short_exp(x):
    """exp(x) for -700 <= x <= 709, with a relative error of 2 ulp plus 3.4e-17 |x|; meaningless for any other x."""
    shifted = fma(x, LOG2_E, TO_INTEGER)
    r = fma(TO_INTEGER - shifted, LN2, x)
    square = r * r
    value = fma(square, _short_tail(r, square), r) + 1.0
    return from_bits(float_bits(value) + (float_bits(shifted) << MANTISSA_WIDTH))


@scalar
def fast_kl_term_of_logs(log_p, log_q):
    """(p log(p/q) - p + q, p, q) from the logarithms of p and q, if they and their difference are from -708 to 709.

    With the difference d and E = exp(-d), the term is p (E - 1 + d) >= 0, and is computed as p r**2 T if d is small,
    E = 1 + r + r**2 T with r = -d. Its relative error is 2e-15 at worst, for d just beyond that; an ulp of a logarithm
    of 30 moves d by as much.
    """
    d = log_p - log_q
    k, r, tail = _reduced(-d)
    E = _power(k, r, tail)
    p = ordinary_exp(log_p)
    excess = r * r * tail if k == 0 else (E - 1.0) + d
    return p * excess, p, p * E


@scalar
def gap(log_p, log_q, offset):
    """log_p - log_q - offset, as if the first difference had not been rounded."""
    difference, lost = two_sum(log_p, -log_q)
    return (difference - offset) + lost


@scalar
def shares_of_gap(d):
    """(q/p - 1, q/p - 1 + d) for d = log(p/q) from -700 to 700: the surplus of q and the KL term, in units of p.

    Neither cancels as d -> 0: with -d = k ln 2 + r and exp(r) = 1 + r + r**2 T, the differences 2**k - 1 and r + d,
    which are made first, are exactly 0 for k = 0. For other k the relative errors are 2e-15 plus 3.4e-17 |d|.
    """
    shifted = fma(-d, LOG2_E, TO_INTEGER)
    r = fma(TO_INTEGER - shifted, LN2, -d)
    square = r * r
    tail = square * _short_tail(r, square)
    power = from_bits((float_bits(shifted) << MANTISSA_WIDTH) + EXPONENT_OF_ONE)
    rest = power - 1.0
    return fma(power, r + tail, rest), fma(power, tail, fma(power, r, rest) + d)


@scalar
def shares_of_narrow_gap(d):
    """(q/p - 1, q/p - 1 + d) for d = log(p/q) from -1 to 1, as `shares_of_gap` has them."""
    square = d * d
    tail = square * fma(horner(square, WIDE_EXP_TAIL[0::2]), -d, horner(square, WIDE_EXP_TAIL[1::2]))
    return tail - d, tail


@scalar
def kl_term_of_logs(log_p, log_q):
    """(p log(p/q) - p + q, p, q) from the logarithms of p and q, which are at most 709; the term is >= 0.

    The term is q for p = 0, and inf for q = 0 < p, however small p is.

    With the larger of p and q in front and E = exp(-|L|), L = log(p/q), the term is

        p (L - (1 - E))          if p >= q,
        q (1 - E - E |L|)        if p < q.

    Both formulas cancel as L -> 0. Then E = 1 + r + r**2 T with r = -|L|, and the terms are p r**2 T and
    q r**2 (1 - T (1 - r)), without a difference of nearly equal numbers.
    """
    difference = log_p - log_q
    distance = abs(difference)
    p_leads = difference >= 0.0
    front = exp_or_zero(log_p if p_leads else log_q)
    comparable = distance <= -SMALLEST_NORMAL  # not if both are -inf
    k, r, tail = _reduced(-distance if comparable else SMALLEST_NORMAL)
    E = _power(k, r, tail) if comparable else 0.0
    if k == 0:
        share = r * r * (tail if p_leads else fma(tail, r - 1.0, 1.0))
    else:
        share = distance - (1.0 - E) if p_leads else fma(-E, distance, 1.0 - E)
    back = front * E
    p, q = front if p_leads else back, back if p_leads else front
    term = np.inf if log_q == -np.inf else front * share
    return q if log_p == -np.inf else term, p, q
