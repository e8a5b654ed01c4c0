"""Sums of terms over whole arrays whose numbers lie side by side: the same as one long row, without detours."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import fast_entropy_term, fma, two_sum, with_lost
from fastkl.jit import instance, tiled
from fastkl.kernels.terms import (
    ORDINARY_BITS,
    SMALLEST_BITS,
    any_js,
    any_kl,
    js_rank,
    kl_rank,
    ordinary_js,
    scaled_kl,
    unscaled_kl,
)

BLOCK = 256
"""Points that are summed by the short terms, and again by the long ones if they have to, from the first cache."""


def _sums(partial, start, stop, p, q, b=1.0):
    """The sums of the terms, of p, of q and of b q - p."""
    p, q = p[start:stop], q[start:stop]
    total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for begin in range(0, p.size, BLOCK):
        end = min(begin + BLOCK, p.size)
        x, y = p[begin:end], q[begin:end]
        t, s_p, s_q, d = 0.0, 0.0, 0.0, 0.0
        lowest = ORDINARY_BITS
        for i in range(x.size):
            u, v = np.float64(x[i]), np.float64(y[i])
            t += short(u, v, b)  # type: ignore[name-defined]  # noqa: F821
            s_p += u
            s_q += v
            d += fma(b, v, -u)
            lowest = min(lowest, rank(u, v, b))  # type: ignore[name-defined]  # noqa: F821
        if lowest < SMALLEST_BITS:
            t = 0.0
            for i in range(x.size):
                t += long(np.float64(x[i]), np.float64(y[i]), b)  # type: ignore[name-defined]  # noqa: F821
        total, error = two_sum(total, t)
        lost += error
        mass_p, error = two_sum(mass_p, s_p)
        lost_p += error
        mass_q, error = two_sum(mass_q, s_q)
        lost_q += error
        surplus += d
    partial[0], partial[1] = with_lost(total, lost), with_lost(mass_p, lost_p)
    partial[2], partial[3] = with_lost(mass_q, lost_q), surplus


def _kernel(name, rank, short, long):
    return tiled(outputs=4)(instance(_sums, name, rank=rank, short=short, long=long))


kl_sums = _kernel("kl_sums", kl_rank, unscaled_kl, any_kl)
scaled_kl_sums = _kernel("scaled_kl_sums", kl_rank, scaled_kl, any_kl)
js_sums = _kernel("js_sums", js_rank, ordinary_js, any_js)


@tiled(outputs=2)
def entropy_sums(partial, start, stop, p, mass):
    """The sums of p log(mass/p) and of p."""
    p = p[start:stop]
    total, lost, mass_p, lost_p = 0.0, 0.0, 0.0, 0.0
    for begin in range(0, p.size, BLOCK):
        x = p[begin : min(begin + BLOCK, p.size)]
        t, s = 0.0, 0.0
        for i in range(x.size):
            u = np.float64(x[i])
            t += fast_entropy_term(u, mass) if u >= 0.0 else np.nan
            s += u
        total, error = two_sum(total, t)
        lost += error
        mass_p, error = two_sum(mass_p, s)
        lost_p += error
    partial[0], partial[1] = with_lost(total, lost), with_lost(mass_p, lost_p)
