"""Entropies by their definition, for rows that the fast formulas leave open: negative or infinite numbers, ratios
beyond the range of a double.

The arithmetic is SciPy's, so that the answers are SciPy's too: every number is divided by the sum, and the terms are
summed.
Rows are scaled by a power of two first, so that the sum neither overflows nor loses digits below the normals. The
terms of a divergence are those of `kl_div`, which the rounding of normalised numbers changes by its square alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastkl.arrays.elementwise import entr, kl_div, log_ratio, rel_entr
from fastkl.arrays.operands import Operands
from fastkl.arrays.rows import CHUNK
from fastkl.validation import Floats

SMALLEST_NORMAL = 2.0**-1022

FAR = 1000
"""Largest exponent of a power of two that rows are scaled by: it and its inverse are normal doubles."""

Piece = tuple[Floats, Floats, Floats]
Term = Callable[[Any, Any], Any]


def entropy_by_definition(given: Operands) -> Floats:
    """The entropy or relative entropy of each row, normalised."""
    return _by_definition(given, _entr if len(given.arrays) == 1 else kl_div, True)


def sum_by_definition(given: Operands) -> Floats:
    """The sum of the terms of entropy or relative entropy of each row, which is not normalised."""
    return _by_definition(given, _entr if len(given.arrays) == 1 else rel_entr, False)


def jensenshannon_by_definition(given: Operands) -> Floats:
    """The Jensen-Shannon divergence of each pair of rows, normalised."""

    def term(p: Floats, q: Floats) -> Any:
        m = (p + q) / 2.0
        return 0.5 * (rel_entr(p, m) + rel_entr(q, m))

    return _by_definition(given, term, True, given.copies)


def _entr(p: Floats, q: Floats) -> Any:
    return entr(p)


def _pieces(given: Operands) -> Iterator[Piece]:
    """p, q and the weights in shape (rows, numbers), a limited number of numbers at a time."""
    kept, shape = given.arrays[0].shape[: given.kept], given.arrays[0].shape[given.kept :]
    count = int(np.prod(kept))
    step = max(CHUNK // count // max(int(np.prod(shape[1:])), 1), 1)
    for first in range(0, shape[0], step):
        p, q, w = given.pieces((*(slice(None) for _ in kept), slice(first, first + step)))
        yield p.reshape(count, -1), q.reshape(count, -1), w if np.ndim(w) == 0 else w.reshape(count, -1)


def _by_definition(given: Operands, term: Term, normalize: bool, copies: tuple[int, ...] = (1, 1)) -> Floats:
    kept = given.arrays[0].shape[: given.kept]
    count = int(np.prod(kept))
    scale, mass = np.ones((2, count, 1)), np.ones((2, count, 1))
    with np.errstate(all="ignore"):
        if normalize:
            peak, mass = np.zeros((2, count, 1)), np.zeros((2, count, 1))
            for p, q, _ in _pieces(given):
                for k, values in enumerate((p, q)):
                    peak[k] = np.maximum(peak[k], np.abs(values).max(axis=1, keepdims=True))
            usable = np.isfinite(peak) & (peak > 0.0)
            exponent = np.frexp(np.where(usable, peak, 1.0))[1]
            scale = np.ldexp(1.0, np.clip(-exponent, -FAR, FAR))
            for p, q, w in _pieces(given):
                mass += [(w * v * s).sum(axis=1, keepdims=True) for v, s in zip((p, q), scale, strict=True)]
            mass /= np.reshape(copies if len(copies) == 2 else copies * 2, (2, 1, 1))
        total = np.zeros(count)
        for p, q, w in _pieces(given):
            a, b = (p * scale[0] / mass[0], q * scale[1] / mass[1]) if normalize else (p, q)
            values = term(a, b)
            if term is kl_div:  # if q underflows, the logarithm is made of the original numbers
                beyond = (b >= 0.0) & (b < SMALLEST_NORMAL) & (q > 0.0) & (a > 0.0)
                shift = log_ratio(mass[0], mass[1]) + log_ratio(scale[1], scale[0])
                values = np.where(beyond, a * (log_ratio(p, q) - shift) - a + b, values)
                values = np.where((p > 0.0) & (q == 0.0) & (b == 0.0), np.inf, values)  # also where a underflows
            total += np.where(w == 0.0, 0.0, w * values).sum(axis=1)
    if normalize and given.weights is not None:
        total[(mass == 0.0).any(axis=(0, 2))] = np.nan
    if normalize and len(given.arrays) == 2:
        total = np.maximum(total, 0.0)  # a negative value is rounding
    return total.reshape(kept)
