"""The terms of the sums of which a divergence is made.

A term has two forms. The short one (`fastkl.elementary.fast_terms`) needs numbers of ordinary size, and the careful
one takes all that the masses of the sums allow. A block of points is computed by the short form, and meanwhile the
signs of some differences tell whether a pair does not fit it; if so, the block is computed again by the careful form.
(To look through the block first takes a fifth longer: the memory then waits for the arithmetic, and the arithmetic for
the memory.) A negative number makes a term NaN. The second argument is multiplied by a factor b first.

A short form replaces numbers below its least one by that one. The change does not show in a sum of terms that is
not much smaller than the masses; the caller checks that.

`fill_terms` calls a function of this file through its address, and `fill_terms_across` one that has a factor b for
each number. A function that takes logarithms leaves the densities in their place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import (
    LOWERED,
    exp_or_zero,
    fast_entropy_term,
    fast_js_term,
    fast_kl_term,
    fast_scaled_kl_term,
    float_bits,
    fma,
    kl_term_of_logs,
    lifted,
)
from fastkl.jit import Implementation, Interface, block, holes, instance, scalar, widest_vectors
from fastkl.jit import least as min

TERMS = Interface("void(float64[::1], float64[::1], float64, float64, float64[::1])")
"""Interface ``(p, q, a, b, out)`` to fill in out[i] = the term of p[i] and q[i]; a and b differ between functions."""
fill_terms = TERMS.call

TERMS_ACROSS = Interface("void(float64[::1], float64[::1], float64[::1], float64[::1])")
"""Interface ``(p, q, b, out)`` to fill in out[i] = the term of p[i] and b[i] q[i], or of p[i] and b[i]."""
fill_terms_across = TERMS_ACROSS.call

LEAST_MASS, LARGEST_MASS = 2.0**-300, 2.0**400
"""Least and largest sum of p or of q whose numbers the short terms take."""

SMALLEST = 2.0**-800
"""Least q that the short KL term takes if p is larger."""

PEEK = 3
"""Distance of the three numbers by which a part of a row is judged before it is computed.

They lie at its head, which is needed next: numbers from its middle and its end would be waited for.
"""


@scalar
def misfits_kl(p, q):
    """A negative integer if q < min(p, SMALLEST), or if p or q is negative or -0; else one that is not negative."""
    return float_bits(p) | float_bits(q - (p if p < SMALLEST else SMALLEST))


@scalar
def misfits_js(p, q):
    """A negative integer if p or q is negative or -0; else one that is not negative."""
    return float_bits(p) | float_bits(q)


@scalar
def is_small(q):
    """Whether the short KL term does not take q."""
    return 0.0 < q < SMALLEST


@scalar
def never_small(q):
    """False: the short Jensen-Shannon term takes any q."""
    return False


@scalar
def short_kl(p, q, b):
    """The KL term p log(p/q) - p + q, for ordinary numbers and b = 1."""
    return fast_kl_term(p, q)


@scalar
def short_scaled_kl(p, q, b):
    """The KL term p log(p/(b q)) - p + b q, for ordinary numbers, as if b q had not been rounded."""
    return fast_scaled_kl_term(p, q, b)


@scalar
def careful_kl(p, q, b):
    """The KL term p log(p/(b q)) - p + b q for p and q below 2**690, divided by `LOWERED`; inf for q = 0 < p."""
    if p >= 0.0 and q >= 0.0:
        term = fast_scaled_kl_term(lifted(p + 0.0), lifted(q + 0.0), b)
        return term if q > 0.0 else np.inf if p > 0.0 else 0.0
    return np.nan


@scalar
def short_js(p, q, b):
    """The Jensen-Shannon term (p log(p/m) + q log(q/m))/2 with m = (p + q)/2, for ordinary numbers and b = 1."""
    return fast_js_term(p, q, 0.0)


@scalar
def short_scaled_js(p, q, b):
    """The Jensen-Shannon term (p log(p/m) + b q log(b q/m))/2 with m = (p + b q)/2, for ordinary numbers.

    It is computed as if b q had not been rounded.
    """
    product = b * q
    return fast_js_term(p, product, fma(b, q, -product))


@scalar
def careful_js(p, q, b):
    """The Jensen-Shannon term (p log(p/m) + b q log(b q/m))/2 with m = (p + b q)/2; NaN for a negative number."""
    return short_scaled_js(p + 0.0, q + 0.0, b) if p >= 0.0 and q >= 0.0 else np.nan


@scalar
def product(x, y):
    """The product of two numbers, which a block would be free to reassociate."""
    return x * y


@scalar
def difference(p, q, b):
    """The difference q - p, for b = 1: a product with a subnormal number would be slow."""
    return q - p


@scalar
def scaled_difference(p, q, b):
    """The difference b q - p, rounded once."""
    return fma(b, q, -p)


class Forms(NamedTuple):
    """The forms of a term, which fill the holes of the templates of this module."""

    short: Any
    careful: Any
    misfits: Any
    small: Any
    surplus: Any
    lowered: float
    """Number that the careful form is multiplied by."""


KL = Forms(short_kl, careful_kl, misfits_kl, is_small, difference, LOWERED)
SCALED_KL = KL._replace(short=short_scaled_kl, surplus=scaled_difference)
JS = Forms(short_js, careful_js, misfits_js, never_small, difference, 1.0)
SCALED_JS = JS._replace(short=short_scaled_js, surplus=scaled_difference)


short, careful, misfits, small, surplus, lowered = holes(*Forms._fields)


def _block_sums(p, q, b, infinite, wary):
    widest_vectors()
    n = p.size
    signs = np.int64(-1 if wary else 0)
    t, s, d = 0.0, 0.0, 0.0
    if signs == 0:
        for i in range(n):
            u, v = np.float64(p[i]), np.float64(q[i])
            t += short(u, v, b)
            s += u
            d += surplus(u, v, b)
            signs |= misfits(u, v)
    if signs < 0 and infinite:  # the sum stays infinite, unless a number is negative
        signs = np.int64(0)
        for i in range(n):
            signs |= float_bits(np.float64(p[i])) | float_bits(np.float64(q[i]))
    wary = False
    if signs < 0:
        t, s, d = 0.0, 0.0, 0.0
        for i in range(n):
            u, v = np.float64(p[i]), np.float64(q[i])
            t += careful(u, v, b)
            s += u
            d += surplus(u, v, b)
            wary |= small(v)
        t = product(t, lowered)
    return t, s, d, wary


def block_sums(name: str, forms: Forms) -> Any:
    """Function ``(p, q, b, infinite, wary)``: the sums of the terms, p and b q - p over a block, and the next `wary`.

    *infinite* says that the sum of the terms is inf whatever the block adds, so that it need not be careful. *wary*
    says that the short form need not be tried: small numbers mostly lie side by side, and it would be slow at them as
    well. The block before tells; a look at numbers of this block would wait for the memory, so that sums of 10^7
    numbers would take twice the time.
    """
    return block(instance(_block_sums, f"{name}_of_block", **forms._asdict()))


def _fill(p, q, a, b, out):
    widest_vectors()
    n = out.size
    u, v, w = q[0], q[min(PEEK, n - 1)], q[min(2 * PEEK, n - 1)]
    signs = np.int64(-1 if small(u) or small(v) or small(w) else 0)
    if signs == 0:
        for i in range(n):
            out[i] = short(p[i], q[i], b)
            signs |= misfits(p[i], q[i])
    if signs < 0:
        for i in range(n):
            out[i] = lowered * careful(p[i], q[i], b)


def _fill_across(p, q, b, out):
    widest_vectors()
    n = out.size
    u, v, w = q[0], q[min(PEEK, n - 1)], q[min(2 * PEEK, n - 1)]
    signs = np.int64(-1 if small(u) or small(v) or small(w) else 0)
    if signs == 0:
        for i in range(n):
            out[i] = short(p[i], q[i], b[i])
            signs |= misfits(p[i], q[i])
    if signs < 0:
        for i in range(n):
            out[i] = lowered * careful(p[i], q[i], b[i])


class Terms(NamedTuple):
    """The functions that compute a term for arrays."""

    along: Implementation
    """Function that fills an array with the terms."""
    across: Implementation | None = None
    """Function that fills an array with terms that have a factor each; None if there is none."""


def _terms(name: str, forms: Forms) -> Terms:
    return Terms(
        TERMS.implement(instance(_fill, name, **forms._asdict())),
        TERMS_ACROSS.implement(instance(_fill_across, f"{name}_across", **forms._asdict())),
    )


kl_terms = _terms("kl_terms", KL)
scaled_kl_terms = _terms("scaled_kl_terms", SCALED_KL)
scaled_js_terms = _terms("scaled_js_terms", SCALED_JS)


@scalar
def _entropy_term(p, q, a, b):
    return fast_entropy_term(p, b) if p >= 0.0 else np.nan, p, q


@scalar
def _kl_of_logs(p, q, a, b):
    return kl_term_of_logs(p - a, q - b)


@scalar
def _exp_or_nan(x):
    """`exp_or_zero`, but NaN for a NaN."""
    return exp_or_zero(x) if x == x else x


@scalar
def _js_of_logs(p, q, a, b):
    p, q = _exp_or_nan(p - a), _exp_or_nan(q - b)
    return fast_js_term(p, q, 0.0), p, q


@scalar
def _entropy_of_logs(p, q, a, b):
    log_p = p - a
    p = _exp_or_nan(log_p)
    return -p * log_p if p > 0.0 else p, p, q


term = holes("term")


def _fill_simply(p, q, a, b, out):
    for i in range(out.size):
        out[i], _, _ = term(p[i], q[i], a, b)


def _fill_simply_across(p, q, b, out):
    for i in range(out.size):
        out[i], _, _ = term(p[i], q[i], 0.0, b[i])


def _fill_from_logs(p, q, a, b, out):
    for i in range(out.size):
        out[i], p[i], q[i] = term(p[i], q[i], a, b)


def _simple_terms(name: str, term: Any) -> Terms:
    return Terms(
        TERMS.implement(instance(_fill_simply, name, term=term)),
        TERMS_ACROSS.implement(instance(_fill_simply_across, f"{name}_across", term=term)),
    )


def _terms_of_logs(name: str, term: Any) -> Terms:
    return Terms(
        TERMS.implement(instance(_fill_from_logs, name, term=term)),
    )


entropy_terms = _simple_terms("entropy_terms", _entropy_term)
"""Entropy terms, p log(b/p)."""
kl_terms_of_logs = _terms_of_logs("kl_terms_of_logs", _kl_of_logs)
"""KL terms, p log(p/q) - p + q, from log p + a and log q + b."""
js_terms_of_logs = _terms_of_logs("js_terms_of_logs", _js_of_logs)
"""Jensen-Shannon terms, (p log(p/m) + q log(q/m))/2 with m = (p + q)/2, from log p + a and log q + b."""
entropy_terms_of_logs = _terms_of_logs("entropy_terms_of_logs", _entropy_of_logs)
"""Entropy terms, -p log p, from log p + a."""
