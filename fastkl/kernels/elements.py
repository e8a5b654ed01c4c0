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


@block
def _are_ordinary(x, y):
    """Whether all pairs have x and y between SMALLEST and LARGEST, or x = 0, or both 0."""
    low, high = LARGEST_BITS, SMALLEST_BITS
    for i in range(x.size):
        bits_x, bits_y = float_bits(np.float64(x[i])), float_bits(np.float64(y[i]))
        high = max(high, max(bits_x, bits_y))
        low = min(low, LARGEST_BITS if bits_x == 0 else bits_x)
        low = min(low, LARGEST_BITS if bits_x | bits_y == 0 else bits_y)
    return low >= SMALLEST_BITS and high <= LARGEST_BITS


def _binary(partial, start, stop, x, y, out):
    """out = the function of x and y."""
    x, y, out = x[start:stop], y[start:stop], out[start:stop]
    for begin in range(0, x.size, BLOCK):
        end = min(begin + BLOCK, x.size)
        u, v, w = x[begin:end], y[begin:end], out[begin:end]
        if _are_ordinary(u, v):
            for i in range(w.size):
                w[i] = short(np.float64(u[i]), np.float64(v[i]))  # type: ignore[name-defined]  # noqa: F821
        else:
            for i in range(w.size):
                w[i] = long(np.float64(u[i]), np.float64(v[i]))  # type: ignore[name-defined]  # noqa: F821


@scalar
def _ordinary_entr(x):
    return -x * fast_log_ratio(x, 1.0)


@tiled(outputs=0)
def entr_elements(partial, start, stop, x, out):
    """out = -x log(x)."""
    x, out = x[start:stop], out[start:stop]
    for begin in range(0, x.size, BLOCK):
        end = min(begin + BLOCK, x.size)
        u, w = x[begin:end], out[begin:end]
        if _are_ordinary(u, u):
            for i in range(w.size):
                w[i] = _ordinary_entr(np.float64(u[i]))
        else:
            for i in range(w.size):
                w[i] = entr(np.float64(u[i]))


rel_entr_elements = tiled(outputs=0)(instance(_binary, "rel_entr_elements", short=ordinary_rel_entr, long=rel_entr))
kl_div_elements = tiled(outputs=0)(instance(_binary, "kl_div_elements", short=kl_term, long=kl_div))
