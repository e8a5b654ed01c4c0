"""Divergences of contiguous vectors of ordinary numbers, without detours: a quarter of a microsecond for 100 numbers.

A function returns the value, or the masses that it has found if it is not meant for such numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.arrays.ranges import (
    EQUAL_MASSES,
    EQUAL_MASSES_OF_SINGLES,
    LEAST_JS_TERM,
    LEAST_RATIO,
    LEAST_TERM,
    LN2,
)
from fastkl.arrays.rows import CHUNK
from fastkl.jit import JIT_DISABLED, TiledKernel
from fastkl.kernels.sums import (
    entropy_sums,
    js_sums,
    kl_sums,
    masses,
    scaled_js_sums,
    scaled_kl_sums,
    share_of_surplus,
)
from fastkl.kernels.terms import LARGEST_MASS, LEAST_MASS
from fastkl.measures import divergence_of_sums

SMALL = 2**16

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)

PLAIN = 0x101
"""Flags of NumPy for an array that is C-contiguous and aligned."""

CANCELLED = 0.25
"""Share of p's mass below which q's mass, computed from p's and the surplus, is not right to its last digits."""

WORTH_A_LOOK, FEW = 2**15, 64
"""Size from which on masses are guessed, lest sums with q as it is be made in vain, and number of entries looked at."""

MANY = 2**18
"""Size from which on sixteen times as many entries are looked at: another pass would have to read the memory again."""

SEEM_ALIKE = -0.35, 0.5
"""Range of guessed surplus of q, in units of p's mass, for a factor of 1: two standard errors from -0.5 and from 1."""

LEAST_GUESS = 2.0**-4
"""Ratio of the masses below which, or above whose inverse, a few numbers are no guide."""

NO_SHARE = 2.0**-54
"""Share of S/P below which phi(D/P) <= (D/P)**2 does not count, with the sums S, P and D of `fastkl.measures`."""

CACHED = 2**13, 2**19
"""Least and largest size of vectors whose masses are summed first, since the cache holds them for a second pass."""

Masses = tuple[float, ...]


def are_vectors(p: Any, q: Any) -> bool:
    """Whether p and q are contiguous vectors of one type, which the kernels read as they are."""
    if type(p) is not np.ndarray or type(q) is not np.ndarray or p.ndim != 1 or p.size == 0:
        return False
    kind = p.dtype
    return (
        (kind is DOUBLE or kind is SINGLE)
        and q.dtype is kind
        and p.shape == q.shape
        and p.flags.num & q.flags.num & PLAIN == PLAIN
    )


def kl_of_vectors(p: Any, q: Any) -> float | Masses:
    """KL(p||q) of the normalised vectors, or the masses of p and q."""
    factor = _about_equal_masses(p, q) if p.size >= WORTH_A_LOOK and not JIT_DISABLED else 1.0
    total, mass, surplus = _sums(kl_sums, p, q, 1.0) if factor == 1.0 else _sums(scaled_kl_sums, p, q, factor)
    mass_q = _mass_of_q(q, mass, surplus, factor)
    if not (LEAST_MASS < mass < LARGEST_MASS and LEAST_MASS < mass_q < LARGEST_MASS) or total != total:
        return mass, mass_q
    if mass < LEAST_RATIO * mass_q:
        return mass, mass_q
    if p.size == 1 or total == math.inf:
        return 0.0 if total < math.inf else total
    if total >= LEAST_TERM * p.size and surplus * surplus <= NO_SHARE * total * mass:
        return total / mass
    value, lossy = divergence_of_sums(total, mass, surplus)
    if lossy:
        factor = mass / mass_q
        total, _, surplus = _sums(scaled_kl_sums, p, q, factor)
        value, _ = divergence_of_sums(total, mass, surplus)
    if total < LEAST_TERM * p.size and not _are_proportional(p, q, factor):
        return mass, mass_q
    return max(float(value), 0.0)


def entropy_of_vector(p: Any) -> float | Masses:
    """The Shannon entropy of the normalised vector p, or its mass, twice."""
    known = _sums(masses, p, p)[0] if _is_cheap_to_weigh(p) else 1.0
    if not _is_ordinary(known):
        return known, known
    total, mass = _sums(entropy_sums, p, known)
    if not _is_ordinary(mass) or total != total:
        return mass, mass
    value = total / mass + math.log(mass / known)
    if abs(math.log(mass / known)) > 0.25 * value:
        value = _sums(entropy_sums, p, mass)[0] / mass
    if value != 0.0 and value * mass < LEAST_TERM * p.size:
        return mass, mass
    return max(value, 0.0)


def js_of_vectors(p: Any, q: Any) -> float | Masses:
    """The Jensen-Shannon divergence of the normalised vectors, or the masses of p and q."""
    equal, factor = EQUAL_MASSES_OF_SINGLES if p.dtype is SINGLE else EQUAL_MASSES, 1.0
    if _is_cheap_to_weigh(p):
        mass_p, mass_q = _sums(masses, p, q)
        if not (_is_ordinary(mass_p) and _is_ordinary(mass_q)):
            return mass_p, mass_q
        if abs(mass_q - mass_p) > equal * mass_p:
            factor = mass_p / mass_q
        total, _, surplus = _sums(js_sums, p, q, 1.0) if factor == 1.0 else _sums(scaled_js_sums, p, q, factor)
    else:
        total, mass_p, surplus = _sums(js_sums, p, q, 1.0)
        mass_q = _mass_of_q(q, mass_p, surplus)
    if not (_is_ordinary(mass_p) and _is_ordinary(mass_q)) or total != total:
        return mass_p, mass_q
    if p.size == 1:
        return 0.0
    mass = mass_p if factor != 1.0 else 0.5 * mass_p + 0.5 * mass_q
    if abs(surplus) > equal * mass:
        factor, mass = mass_p / mass_q, mass_p
        total, _, surplus = _sums(scaled_js_sums, p, q, factor)
    if total < LEAST_JS_TERM * p.size and not _are_proportional(p, q, factor):
        return mass_p, mass_q
    return min(max(total / mass - 0.125 * (surplus / mass) ** 2, 0.0), LN2)


def _is_cheap_to_weigh(p: Any) -> bool:
    """Whether summing the masses first costs little: the numbers fit in the cache, and outweigh the cost of a call."""
    return CACHED[0] <= p.size <= CACHED[1] and not JIT_DISABLED


def _sums(kernel: TiledKernel, p: Any, *rest: Any) -> list[float]:
    size = p.size
    if size > SMALL or JIT_DISABLED:
        return kernel.total(size, p, *rest).tolist()  # type: ignore[no-any-return]
    partial = np.empty(kernel.outputs)
    kernel.tile_function(partial, 0, size, p, *rest)  # saves a microsecond against `total`, which long vectors need
    return partial.tolist()


def _about_equal_masses(p: Any, q: Any) -> float:
    """A factor for q with which the masses differ by less than the factor of two that would cost another pass.

    The divergence does not depend on the factor, so a guess by a few numbers will do. The factor is rounded to single
    precision, so that it is exact if p is a multiple of q by a simple ratio.
    """
    share = np.empty(1)
    few = FEW if p.size < MANY else 16 * FEW
    share_of_surplus.tile_function(share, 0, few, p, q, p.size // few)
    surplus = float(share[0])
    if SEEM_ALIKE[0] <= surplus <= SEEM_ALIKE[1]:
        return 1.0
    if LEAST_GUESS < 1.0 + surplus < 1.0 / LEAST_GUESS:
        return float(np.float32(1.0 / (1.0 + surplus)))
    mass_p, mass_q = _sums(masses, p, q)
    return mass_p / mass_q if _is_ordinary(mass_p) and _is_ordinary(mass_q) else 1.0


def _mass_of_q(q: Any, mass: float, surplus: float, factor: float = 1.0) -> float:
    mass_q = mass + surplus
    if mass_q > CANCELLED * mass:
        return mass_q / factor
    with np.errstate(over="ignore"):
        return float(np.add.reduce(q, dtype=np.float64))


def _is_ordinary(mass: float) -> bool:
    return LEAST_MASS < mass < LARGEST_MASS


def _are_proportional(p: Any, q: Any, factor: float) -> bool:
    """Whether p = factor * q to the last digit."""
    pieces = (slice(first, first + CHUNK) for first in range(0, p.size, CHUNK))
    return all((p[piece].astype(np.float64) == factor * q[piece]).all() for piece in pieces)
