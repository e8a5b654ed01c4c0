"""Sums over two arrays of densities or probabilities."""

from __future__ import annotations

from fastkl.elementary import kl_term
from fastkl.jit import tiled


@tiled(outputs=4)
def kl_sums(partial, start, stop, p, q):
    """The sums of p log(p/q) - p + q, p, q and q - p."""
    p, q = p[start:stop], q[start:stop]
    divergence, mass_p, mass_q, surplus = 0.0, 0.0, 0.0, 0.0
    for i in range(p.size):
        divergence += kl_term(p[i], q[i])
        mass_p += p[i]
        mass_q += q[i]
        surplus += q[i] - p[i]
    partial[0], partial[1], partial[2], partial[3] = divergence, mass_p, mass_q, surplus
