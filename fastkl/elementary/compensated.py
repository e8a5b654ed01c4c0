"""Sums and products with their rounding errors."""

from __future__ import annotations

import math

from fastkl.elementary.bits import fma
from fastkl.jit import scalar


@scalar
def two_sum(a, b):
    """(a + b rounded, the part lost by rounding), after Knuth; exact for finite numbers that do not overflow."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


@scalar
def with_lost(total, lost):
    """The sum *total* plus the part *lost* by rounding; *total* alone if it has overflowed."""
    return total + lost if lost - lost == 0.0 else total


@scalar
def is_product(a, b, c, d):
    """Whether a b = c d exactly, for numbers >= 0."""
    if a == 0.0 or b == 0.0 or c == 0.0 or d == 0.0:
        return (a == 0.0 or b == 0.0) and (c == 0.0 or d == 0.0)
    (a, i), (b, j), (c, k), (d, m) = math.frexp(a), math.frexp(b), math.frexp(c), math.frexp(d)
    shift = i + j - k - m
    if shift < -1 or shift > 1:
        return False
    left, right = math.ldexp(a * b, shift), c * d
    return left == right and math.ldexp(fma(a, b, -(a * b)), shift) == fma(c, d, -right)
