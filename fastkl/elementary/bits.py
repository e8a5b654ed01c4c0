"""Bit casts, the fused multiply-add and Horner's rule, of which the elementary functions are made.

The casts are NumPy views: they vectorise as well as an LLVM intrinsic does, and they run with the JIT
switched off. The multiply-add is LLVM's, or with the JIT switched off a function in rational arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkl.jit import scalar, ternary_instruction

MANTISSA_WIDTH = np.int64(52)
MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
EXPONENT = np.int64(0x7FF0000000000000)
EXPONENT_BIAS = np.int64(1023)
EXPONENT_OF_ONE = np.int64(0x3FF0000000000000)

LN2_HI = float.fromhex("0x1.62e42fefa3800p-1")
"""The leading 42 bits of ln 2, whose product with an integer below 2**11 is exact."""
LN2_LO = float.fromhex("0x1.ef35793c76730p-45")
"""The rest of ln 2, ln 2 - LN2_HI."""


@scalar
def float_bits(x):
    """The 64 bits of a double, as an integer."""
    return np.float64(x).view(np.int64)


@scalar
def from_bits(b):
    """The double with these 64 bits."""
    return np.int64(b).view(np.float64)


SIGN_AND_HALF = np.int64(-(1 << 63) | ((1 << 57) - 1))
"""Mask of a double's sign, and of the bits that exponent and mantissa of a half have when shifted by `HALF_SHIFT`."""
HALF_SHIFT = np.int64(42)
LIFTED_BY = 2.0**1008
"""Quotient of the power of two that a half stands for and the one that a double with the same exponent bits does."""
LARGEST_HALF = 65504.0
BFLOAT_SHIFT = np.int32(16)


@scalar
def from_half(h):
    """The double that equals a half, given by its 16 bits.

    The bits of the half are those of a double 2**1008 times smaller, also for a subnormal half. An exponent of ones,
    of an infinity or a NaN, is made one of a double.
    """
    x = from_bits((np.int64(h) << HALF_SHIFT) & SIGN_AND_HALF) * LIFTED_BY
    return x if abs(x) <= LARGEST_HALF else from_bits(float_bits(x) | EXPONENT)


@scalar
def from_bfloat(h):
    """The double that equals a bfloat16, given by its 16 bits, which are the upper ones of a single."""
    return np.float64(np.int32(np.int32(h) << BFLOAT_SHIFT).view(np.float32))


def _rational_fma(a: float, b: float, c: float) -> Any:
    from fractions import Fraction

    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(c)):
        return np.float64(a) * np.float64(b) + np.float64(c)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    try:
        return np.float64(float(exact))
    except OverflowError:  # Fraction.__float__ refuses what IEEE arithmetic rounds to inf
        return np.float64(np.inf if exact > 0 else -np.inf)


@ternary_instruction(python_twin=_rational_fma)
def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a*b + c, rounded once."""
    return builder.fma(a, b, c)


@ternary_instruction(python_twin=lambda x, y, total: total + x * y)
def add_product(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """total + x*y, for a loop that sums: rounded once or twice, and added in any order."""
    return builder.fadd(builder.fmul(x, y, flags=("contract",)), total, flags=("contract", "reassoc"))


@scalar
def horner(x, coefficients):
    """The value at x of the polynomial with these coefficients, highest power first."""
    value = coefficients[0]
    for c in coefficients[1:]:
        value = fma(value, x, c)
    return value
