"""The elementwise functions over whole arrays whose numbers lie side by side.

Each result is bit for bit that of `fastkl.elementary.special`: the short forms are the same arithmetic, without the
parts that only numbers beyond the ordinary need.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkl.elementary import LARGEST, TINY, float_bits, kl_term
from fastkl.elementary.special import entr, kl_div, ordinary_entr, ordinary_rel_entr, rel_entr
from fastkl.jit import TiledKernel, block, holes, instance, scalar, tiled, widest_vectors
from fastkl.jit import least as min
from fastkl.jit import most as max

BLOCK = 256
"""Number of elements that are checked together, and then computed while they are in the L1 cache."""

TINY_BITS, LARGEST_BITS = (np.int64(np.float64(x).view(np.int64)) for x in (TINY, LARGEST))


@scalar
def _bounds(low, high, x):
    """The least and the largest bits so far, *low* and *high*, updated by those of x; 0 counts as ordinary."""
    bits = float_bits(x)
    return min(low, LARGEST_BITS if bits == 0 else bits), max(high, bits)


@block
def _are_ordinary(x, y):
    """Whether all numbers of x and y lie between TINY and LARGEST, or are 0."""
    low, high = LARGEST_BITS, TINY_BITS
    for i in range(x.size):
        low, high = _bounds(low, high, np.float64(x[i]))
        low, high = _bounds(low, high, np.float64(y[i]))
    return low >= TINY_BITS and high <= LARGEST_BITS


short, long = holes("short", "long")


def _elements(partial, start, stop, x, y, out, in_place):
    """Fill in out = the function of x and y; `in_place` says that out may be x or y."""
    widest_vectors()
    x, y, out = x[start:stop], y[start:stop], out[start:stop]
    for begin in range(0, x.size, BLOCK):
        end = min(begin + BLOCK, x.size)
        u, v, w = x[begin:end], y[begin:end], out[begin:end]
        # the first and last numbers give away most blocks of small ones, at which the short form would be slow
        ordinary = _are_ordinary(u, v) if in_place else _are_ordinary(u[:1], v[:1]) and _are_ordinary(u[-1:], v[-1:])
        if ordinary:
            low, high = LARGEST_BITS, TINY_BITS
            for i in range(w.size):
                a, b = np.float64(u[i]), np.float64(v[i])
                w[i] = short(a, b)
                low, high = _bounds(low, high, a)
                low, high = _bounds(low, high, b)
            ordinary = in_place or (low >= TINY_BITS and high <= LARGEST_BITS)
        if not ordinary:
            for i in range(w.size):
                w[i] = long(np.float64(u[i]), np.float64(v[i]))


@scalar
def _ordinary_entr(x, y):
    return ordinary_entr(x)


@scalar
def _entr(x, y):
    return entr(x)


def _kernel(name: str, short: Any, long: Any) -> TiledKernel:
    return tiled(outputs=0, even=True)(instance(_elements, name, short=short, long=long))


rel_entr_elements = _kernel("rel_entr_elements", ordinary_rel_entr, rel_entr)
kl_div_elements = _kernel("kl_div_elements", kl_term, kl_div)
entr_elements = _kernel("entr_elements", _ordinary_entr, _entr)
