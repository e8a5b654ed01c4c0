"""The elementwise functions over whole arrays whose numbers lie side by side."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import LARGEST, fast_log_ratio, float_bits, kl_term
from fastkl.elementary.special import entr, kl_div, ordinary_rel_entr, rel_entr
from fastkl.jit import block, instance, scalar, tiled
from fastkl.kernels.terms import SMALLEST_BITS

BLOCK = 256
"""Points that are looked through, and then computed while they are in the first cache."""

LARGEST_BITS = np.int64(np.float64(LARGEST).view(np.int64))


@scalar
def _bounds(low, high, x, y):
    """The least and the largest of the bits so far and those of x and y; x = 0 <= y counts as ordinary."""
    bits_x, bits_y = float_bits(x), float_bits(y)
    high = max(high, max(bits_x, bits_y))
    low = min(low, LARGEST_BITS if bits_x == 0 else bits_x)
    return min(low, LARGEST_BITS if bits_x | bits_y == 0 else bits_y), high


@block
def _are_ordinary(x, y):
    """Whether all pairs have x and y between SMALLEST and LARGEST, or x = 0, or both 0."""
    low, high = LARGEST_BITS, SMALLEST_BITS
    for i in range(x.size):
        low, high = _bounds(low, high, np.float64(x[i]), np.float64(y[i]))
    return low >= SMALLEST_BITS and high <= LARGEST_BITS


def _elements(partial, start, stop, x, y, out, in_place):
    """out = the function of x and y; `in_place` says that it may be one of them."""
    x, y, out = x[start:stop], y[start:stop], out[start:stop]
    for begin in range(0, x.size, BLOCK):
        end = min(begin + BLOCK, x.size)
        u, v, w = x[begin:end], y[begin:end], out[begin:end]
        ordinary = _are_ordinary(u, v) if in_place else True
        if ordinary:
            low, high = LARGEST_BITS, SMALLEST_BITS
            for i in range(w.size):
                a, b = np.float64(u[i]), np.float64(v[i])
                w[i] = short(a, b)  # type: ignore[name-defined]  # noqa: F821
                low, high = _bounds(low, high, a, b)
            ordinary = in_place or (low >= SMALLEST_BITS and high <= LARGEST_BITS)
        if not ordinary:
            for i in range(w.size):
                w[i] = long(np.float64(u[i]), np.float64(v[i]))  # type: ignore[name-defined]  # noqa: F821


@scalar
def _ordinary_entr(x, y):
    return -x * fast_log_ratio(x, 1.0)


@scalar
def _entr(x, y):
    return entr(x)


def _kernel(name, short, long):
    return tiled(outputs=0)(instance(_elements, name, short=short, long=long))


rel_entr_elements = _kernel("rel_entr_elements", ordinary_rel_entr, rel_entr)
kl_div_elements = _kernel("kl_div_elements", kl_term, kl_div)
entr_elements = _kernel("entr_elements", _ordinary_entr, _entr)
