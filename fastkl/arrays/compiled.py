"""Entropy, Jensen-Shannon distance and Jeffreys divergence of vectors, for callers that are compiled themselves.

A user's function that is compiled by Numba cannot call the Python functions of `fastkl.arrays.divergences`; the
functions of this module take their place there. The sums are those of the kernels. The masses are summed first; if they
are not ordinary, or the terms are too small, both vectors are copied, multiplied by powers of two. A negative number
makes the result NaN, and axes, weights, logarithms and masks are left to the Python functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.arrays import divergences
from fastkl.arrays.ranges import EQUAL_MASSES, LEAST_JS_TERM, LEAST_RATIO, LEAST_TERM, LN2, SCALED_MASS_EXPONENT
from fastkl.elementary import fast_entropy_term, two_sum, with_lost
from fastkl.jit import JIT_DISABLED, callable_from_compiled_code, holes, instance, is_missing, is_vector, routine
from fastkl.kernels.sums import BLOCK
from fastkl.kernels.terms import JS, KL, LARGEST_MASS, LEAST_MASS, SCALED_JS, SCALED_KL, block_sums

SMALLEST = 5e-324


@routine
def _masses(p, q):
    """The sums of p and of q."""
    mass_p, lost_p, mass_q, lost_q = 0.0, 0.0, 0.0, 0.0
    for i in range(p.size):
        mass_p, error = two_sum(mass_p, np.float64(p[i]))
        lost_p += error
        mass_q, error = two_sum(mass_q, np.float64(q[i]))
        lost_q += error
    return with_lost(mass_p, lost_p), with_lost(mass_q, lost_q)


@routine
def _is_ordinary(mass):
    return LEAST_MASS < mass < LARGEST_MASS


sums = holes("sums")
plain, scaled, least = holes("plain", "scaled", "least")
balanced, share = holes("balanced", "share")


def _sums(p, q, factor):
    total, lost, surplus, wary = 0.0, 0.0, 0.0, np.bool_(False)
    for begin in range(0, p.size, BLOCK):
        end = min(begin + BLOCK, p.size)
        t, _, d, wary = sums(p[begin:end], q[begin:end], factor, total == np.inf, wary)
        total, error = two_sum(total, t)
        lost += error
        surplus += d
    return with_lost(total, lost), surplus


def _sums_of(name: str, forms: Any) -> Any:
    return routine(instance(_sums, f"{name}_of_vectors", sums=block_sums(name, forms)))


_plain_kl, _scaled_kl = _sums_of("plain_kl", KL), _sums_of("scaled_kl", SCALED_KL)
_plain_js, _scaled_js = _sums_of("plain_js", JS), _sums_of("scaled_js", SCALED_JS)


def _balanced(p, q, mass_p, mass_q):
    """(sum of the terms, surplus of q, both in units of p's mass, whether the sum is large enough to be trusted)."""
    if abs(mass_p - mass_q) <= EQUAL_MASSES * mass_p:
        total, surplus = plain(p, q, 1.0)
    else:
        total, surplus = scaled(p, q, mass_p / mass_q)
    return total / mass_p, surplus / mass_p, total >= least * p.size or total != total


_balanced_kl = routine(instance(_balanced, "balanced_kl", plain=_plain_kl, scaled=_scaled_kl, least=LEAST_TERM))
_balanced_js = routine(instance(_balanced, "balanced_js", plain=_plain_js, scaled=_scaled_js, least=LEAST_JS_TERM))


@routine
def _exponent(values):
    """Exponent of the power of two that *values* are multiplied by, to get a mass of ordinary size."""
    largest = 0.0
    for i in range(values.size):
        largest = max(largest, np.float64(values[i]))
    return SCALED_MASS_EXPONENT - math.frexp(largest)[1]


@routine
def _multiplied(values, exponent):
    """The *values* times 2**exponent; no number above 0 becomes 0."""
    result = np.empty(values.size)
    for i in range(values.size):
        result[i] = math.ldexp(np.float64(values[i]), exponent)
        if result[i] == 0.0 and values[i] > 0.0:
            result[i] = SMALLEST
    return result


def _divergence(p, q):
    """The divergence of the normalised vectors p and q: a template for several divergences."""
    if p.size == 0:
        return 0.0
    mass_p, mass_q = _masses(p, q)
    if not (mass_p > 0.0 and mass_q > 0.0):
        return np.nan
    if _is_ordinary(mass_p) and _is_ordinary(mass_q) and mass_p >= LEAST_RATIO * mass_q:
        whole, surplus, seen = balanced(p, q, mass_p, mass_q)
        if seen:
            return 0.0 if p.size == 1 and whole == whole else max(whole - share * surplus * surplus, 0.0)
    up_p, up_q = _exponent(p), _exponent(q)
    x, y = _multiplied(p, up_p), _multiplied(q, up_p if abs(up_p - up_q) < 20 else up_q)
    mass_p, mass_q = _masses(x, y)
    if not (_is_ordinary(mass_p) and _is_ordinary(mass_q)):
        return np.nan
    whole, surplus, _ = balanced(x, y, mass_p, mass_q)
    return 0.0 if p.size == 1 and whole == whole else max(whole - share * surplus * surplus, 0.0)


# phi(u) is u**2 / 2 if u is only the rounding of masses that have been made equal
kl = routine(instance(_divergence, "kl", balanced=_balanced_kl, share=0.5))
js = routine(instance(_divergence, "js", balanced=_balanced_js, share=0.125))


@routine
def shannon(p):
    """The entropy of the normalised vector p."""
    if p.size == 0:
        return 0.0
    mass, _ = _masses(p, p)
    if not mass > 0.0:
        return np.nan
    if not _is_ordinary(mass):
        scaled = _multiplied(p, _exponent(p))
        mass, _ = _masses(scaled, scaled)
        return _shannon_sum(scaled, mass) / mass if _is_ordinary(mass) else np.nan
    return _shannon_sum(p, mass) / mass


@routine
def _shannon_sum(p, mass):
    total, lost = 0.0, 0.0
    for i in range(p.size):
        u = np.float64(p[i])
        total, error = two_sum(total, fast_entropy_term(u, mass) if u >= 0.0 else np.nan)
        lost += error
    return max(with_lost(total, lost), 0.0)


@routine
def require_one_length(p, q):
    """Refuse vectors of different lengths."""
    if p.size != q.size:
        raise ValueError("p and q must have the same length")


def _entropy(pk: Any, qk: Any = None, base: Any = None) -> Any:
    if not is_vector(pk):
        return None
    number = np.float32 if pk.dtype.bitwidth == 32 else np.float64
    nats = is_missing(base)
    if is_missing(qk):
        if nats:
            return lambda pk, qk=None, base=None: number(shannon(pk))
        return lambda pk, qk=None, base=None: number(shannon(pk) / math.log(base))
    if not (is_vector(qk) and pk.dtype == qk.dtype):
        return None

    def in_nats(pk: Any, qk: Any = None, base: Any = None) -> Any:
        require_one_length(pk, qk)
        return number(kl(pk, qk))

    def in_base(pk: Any, qk: Any = None, base: Any = None) -> Any:
        require_one_length(pk, qk)
        return number(kl(pk, qk) / math.log(base))

    return in_nats if nats else in_base


def _jensenshannon(p: Any, q: Any, base: Any = None) -> Any:
    if not (is_vector(p) and is_vector(q) and p.dtype == q.dtype):
        return None
    number = np.float32 if p.dtype.bitwidth == 32 else np.float64

    def in_nats(p: Any, q: Any, base: Any = None) -> Any:
        require_one_length(p, q)
        return number(math.sqrt(min(js(p, q), LN2)))

    def in_base(p: Any, q: Any, base: Any = None) -> Any:
        require_one_length(p, q)
        return math.sqrt(min(js(p, q), LN2) / math.log(base))

    return in_nats if is_missing(base) else in_base


def _jeffreys(p: Any, q: Any, base: Any = None) -> Any:
    if not (is_vector(p) and is_vector(q) and p.dtype == q.dtype):
        return None
    number = np.float32 if p.dtype.bitwidth == 32 else np.float64

    def in_nats(p: Any, q: Any, base: Any = None) -> Any:
        require_one_length(p, q)
        return number(kl(p, q) + kl(q, p))

    def in_base(p: Any, q: Any, base: Any = None) -> Any:
        require_one_length(p, q)
        return number((kl(p, q) + kl(q, p)) / math.log(base))

    return in_nats if is_missing(base) else in_base


def register() -> None:
    """Let users' compiled code call `entropy`, `jensenshannon` and `jeffreys`."""
    if not JIT_DISABLED:
        callable_from_compiled_code(divergences.entropy, _entropy)
        callable_from_compiled_code(divergences.jensenshannon, _jensenshannon)
        callable_from_compiled_code(divergences.jeffreys, _jeffreys)
