"""Sums that keep what rounding loses."""

from __future__ import annotations

from fastkl.jit import scalar


@scalar
def two_sum(a, b):
    """(a + b rounded, what the rounding lost), after Knuth; exact for finite numbers that do not overflow."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


@scalar
def with_lost(total, lost):
    """total + lost, or total where it has overflowed."""
    return total + lost if lost - lost == 0.0 else total
