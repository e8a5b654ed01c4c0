"""Twelve patterns of zeros in two rows, and their divergences in a process of its own."""

from __future__ import annotations

PATTERNS = (
    [
        [0.5, 0.25, 0.25, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.25, 0.25, 0.5],
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 2.0],
        [0.125, 0.25, 0.125, 0.25, 0.125, 0.125],
        [0.0, 0.5, 0.0, 0.5, 0.0, 1.0],
        [0.5, 0.0, 0.5, 0.0, 1.0, 0.0],
        [1.0, 1.0, 0.0, 0.0, 1.0, 1.0],
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],
        [1e-30, 1.0, 0.0, 0.0, 0.0, 1e-30],
    ],
    [
        [0.25, 0.5, 0.25, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.5, 0.25, 0.25],
        [0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5, 0.5],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, 0.5, 0.0, 0.5, 0.0, 0.0],
        [0.0, 0.5, 0.0, 0.5, 0.0, 1.0],
        [1.0, 2.0, 0.0, 0.0, 1.0, 2.0],
        [0.0, 0.0, 1.0, 2.0, 0.0, 0.0],
        [0.0, 5.0, 2.0, 3.0, 4.0, 1.0],
        [1.0, 4.0, 3.0, 2.0, 5.0, 0.0],
        [1e-30, 1.0, 1e-30, 0.0, 1e-30, 1e-30],
    ],
)
"""Rows of p and of q: disjoint, nested, crossing and equal supports, in all pairs."""

ANSWERS = f"""
import numpy as np, fastkl
a, b = (np.repeat(np.array(rows), 9, axis=0) for rows in {PATTERNS!r})
print([
    fastkl.cdist(a.astype(kind), b.astype(kind), metric)[::9, ::9].tolist()
    for metric in ("js", "kl", "reverse_kl", "jeffreys") for kind in ("f8", "f4")
])
"""
