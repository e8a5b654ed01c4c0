"""The terms of the sums that make a divergence.

A term has two forms. The short one (`fastkl.elementary.fast_terms`) wants numbers of ordinary size, the long one
takes any. A block of points is computed by the short one, and while that goes on the lowest rank of a pair is
noted; if it is too low, the block is computed again by the long one. (To look through the block first takes a
fifth longer: the memory then waits for the arithmetic, and the arithmetic for the memory.) A negative number makes
a term NaN. The second argument is multiplied by a factor b first.

`fill_terms` calls a function of this file through its address. A function that takes logarithms leaves the
densities in their place.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary import (
    SMALLEST,
    exp_or_zero,
    fast_entropy_term,
    fast_js_term,
    fast_kl_term,
    fast_scaled_kl_term,
    float_bits,
    fma,
    js_term,
    kl_term,
    kl_term_of_logs,
)
from fastkl.jit import Interface, instance, scalar

TERMS = Interface("void(float64[::1], float64[::1], float64, float64, float64[::1])")
"""``(p, q, a, b, out)``: out[i] = the term of p[i] and q[i]; what a and b are, the function says."""
fill_terms = TERMS.call

SMALLEST_BITS = np.int64(np.float64(SMALLEST).view(np.int64))
ORDINARY_BITS = np.int64(np.float64(1.0).view(np.int64))
ONE_EXPONENT = np.int64(1 << 52)
SIGN = np.int64(-(1 << 63))


# As integers, the bits of doubles are in the order of the doubles from 0 up, and below 0 for a negative one.


@scalar
def kl_rank(p, q, b):
    """At least SMALLEST_BITS if 0 <= p and SMALLEST <= b q, or both are 0."""
    bits_p, bits_q = float_bits(p), float_bits(b * q)
    return (ORDINARY_BITS if bits_p | bits_q == 0 else bits_q) | (bits_p & SIGN)


@scalar
def js_rank(p, q, b):
    """At least SMALLEST_BITS if 0 <= p, 0 <= b q and SMALLEST <= (p + b q)/2, or both are 0."""
    bits_p, bits_q = float_bits(p), float_bits(b * q)
    higher = max(bits_p, bits_q)  # m is at least half of it
    return (ORDINARY_BITS if higher == 0 else higher - ONE_EXPONENT) | ((bits_p | bits_q) & SIGN)


@scalar
def unscaled_kl(p, q, b):
    """p log(p/q) - p + q, for ordinary numbers and b = 1."""
    return fast_kl_term(p, q)


@scalar
def scaled_kl(p, q, b):
    """p log(p/(b q)) - p + b q, for ordinary numbers, as if b q had not been rounded."""
    return fast_scaled_kl_term(p, q, b)


@scalar
def any_kl(p, q, b):
    """The same for any numbers."""
    return kl_term(p + 0.0, b * q + 0.0) if p >= 0.0 and q >= 0.0 else np.nan


@scalar
def ordinary_js(p, q, b):
    """(p log(p/m) + b q log(b q/m))/2 with m = (p + b q)/2, for ordinary numbers."""
    product = b * q
    return fast_js_term(p, product, fma(b, q, -product))


@scalar
def any_js(p, q, b):
    """The same for any numbers."""
    product = b * q
    return js_term(p + 0.0, product + 0.0, fma(b, q, -product)) if p >= 0.0 and q >= 0.0 else np.nan


def _fill(p, q, a, b, out):
    lowest = ORDINARY_BITS
    for i in range(out.size):
        out[i] = short(p[i], q[i], b)  # type: ignore[name-defined]  # noqa: F821
        lowest = min(lowest, rank(p[i], q[i], b))  # type: ignore[name-defined]  # noqa: F821
    if lowest < SMALLEST_BITS:
        for i in range(out.size):
            out[i] = long(p[i], q[i], b)  # type: ignore[name-defined]  # noqa: F821


def _terms(name, rank, short, long):
    return TERMS.implement(instance(_fill, name, rank=rank, short=short, long=long))


kl_terms = _terms("kl_terms", kl_rank, unscaled_kl, any_kl)
scaled_kl_terms = _terms("scaled_kl_terms", kl_rank, scaled_kl, any_kl)
js_terms = _terms("js_terms", js_rank, ordinary_js, any_js)


@TERMS.implement
def entropy_terms(p, q, a, b, out):
    """p log(a/p)."""
    for i in range(out.size):
        out[i] = fast_entropy_term(p[i], a) if p[i] >= 0.0 else np.nan


@TERMS.implement
def kl_terms_of_logs(p, q, a, b, out):
    """p log(p/q) - p + q from log p + a and log q + b."""
    for i in range(out.size):
        out[i], p[i], q[i] = kl_term_of_logs(p[i] - a, q[i] - b)


@TERMS.implement
def js_terms_of_logs(p, q, a, b, out):
    """(p log(p/m) + q log(q/m))/2 with m = (p + q)/2, from log p + a and log q + b."""
    for i in range(out.size):
        p[i], q[i] = exp_or_zero(p[i] - a), exp_or_zero(q[i] - b)
        out[i] = js_term(p[i], q[i], 0.0)


@TERMS.implement
def entropy_terms_of_logs(p, q, a, b, out):
    """-p log p from log p + a."""
    for i in range(out.size):
        log_p = p[i] - a
        p[i] = exp_or_zero(log_p)
        out[i] = -p[i] * log_p if p[i] > 0.0 else p[i]
