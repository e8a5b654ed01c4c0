"""Compensated sums, which keep the rounding errors."""

from __future__ import annotations

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
