"""Sums of terms over whole arrays whose numbers lie side by side, without the detours of many rows."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import fast_entropy_term, two_sum, with_lost
from fastkl.jit import TiledKernel, holes, instance, tiled, widest_vectors
from fastkl.jit import least as min
from fastkl.kernels.terms import JS, KL, SCALED_JS, SCALED_KL, Forms, block_sums

BLOCK = 256
"""Number of elements that the short form sums, and the careful one again if needed, from the L1 cache."""


sums = holes("sums")


def _sums(partial, start, stop, p, q, b=1.0):
    """The sums of the terms, of p and of b q - p."""
    widest_vectors()
    p, q = p[start:stop], q[start:stop]
    total, lost, mass, lost_mass, surplus, wary = 0.0, 0.0, 0.0, 0.0, 0.0, np.bool_(False)
    for begin in range(0, p.size, BLOCK):
        end = min(begin + BLOCK, p.size)
        t, s, d, wary = sums(p[begin:end], q[begin:end], b, total == np.inf, wary)
        total, error = two_sum(total, t)
        lost += error
        mass, error = two_sum(mass, s)
        lost_mass += error
        surplus += d
    partial[0], partial[1], partial[2] = with_lost(total, lost), with_lost(mass, lost_mass), surplus


def _kernel(name: str, forms: Forms) -> TiledKernel:
    return tiled(outputs=3, even=True)(instance(_sums, name, sums=block_sums(name, forms)))


kl_sums = _kernel("kl_sums", KL)
scaled_kl_sums = _kernel("scaled_kl_sums", SCALED_KL)
js_sums = _kernel("js_sums", JS)
scaled_js_sums = _kernel("scaled_js_sums", SCALED_JS)


@tiled(outputs=2, even=True)
def masses(partial, start, stop, p, q):
    """The sums of p and of q."""
    p, q = p[start:stop], q[start:stop]
    mass_p, lost_p, mass_q, lost_q = 0.0, 0.0, 0.0, 0.0
    for begin in range(0, p.size, BLOCK):
        x, y = p[begin : min(begin + BLOCK, p.size)], q[begin : min(begin + BLOCK, p.size)]
        s_p, s_q = 0.0, 0.0
        for i in range(x.size):
            s_p += np.float64(x[i])
            s_q += np.float64(y[i])
        mass_p, error = two_sum(mass_p, s_p)
        lost_p += error
        mass_q, error = two_sum(mass_q, s_q)
        lost_q += error
    partial[0], partial[1] = with_lost(mass_p, lost_p), with_lost(mass_q, lost_q)


@tiled(outputs=1)
def share_of_surplus(partial, start, stop, p, q, step):
    """Surplus of q in units of p's mass, for every *step*-th number; NaN if hardly a sixteenth have most of both."""
    mass, surplus, both, squares = 0.0, 0.0, 0.0, 0.0
    for i in range(start, stop):
        u, v = np.float64(p[i * step]), np.float64(q[i * step])
        mass += u
        surplus += v - u
        both += u + v
        squares += (u + v) * (u + v)
    partial[0] = surplus / mass if 16.0 * both * both > squares * (stop - start) else np.nan


@tiled(outputs=2, even=True)
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
