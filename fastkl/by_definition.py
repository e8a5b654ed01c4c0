"""Entropies by their definition, for rows that the fast formulas leave open: negative, infinite or extreme numbers.

The arithmetic is SciPy's, so that the answers are: every number is divided by the sum, and the terms are summed.
Rows are scaled by a power of two first, so that the sum neither overflows nor loses digits below the normals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastkl.elementwise import entr, rel_entr
from fastkl.rows import CHUNK
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.arguments import Operands

FAR = 1000
"""Exponents up to which a power of two and its inverse are normal doubles."""

Piece = tuple[Floats, Floats, Floats]
Term = Callable[[Any, Any], Any]


def entropy_by_definition(given: Operands, which: NDArray[np.bool_], *, normalize: bool = True) -> Floats:
    """Entropy or relative entropy of the rows that *which* marks."""
    single = len(given.arrays) == 1
    term: Term = (lambda p, q: entr(p)) if single else rel_entr
    return _by_definition(given, which, term, normalize)


def jensenshannon_by_definition(given: Operands, which: NDArray[np.bool_]) -> Floats:
    """The Jensen-Shannon divergence of the rows that *which* marks."""

    def term(p: Floats, q: Floats) -> Any:
        m = (p + q) / 2.0
        return 0.5 * (rel_entr(p, m) + rel_entr(q, m))

    return _by_definition(given, which, term, True, given.copies)


def _by_definition(
    given: Operands, which: NDArray[np.bool_], term: Term, normalize: bool, copies: tuple[int, ...] = (1, 1)
) -> Floats:
    results = []
    size = max(int(np.prod(given.arrays[0].shape[given.kept :])), 1)
    numbers = np.flatnonzero(which)
    for batch in np.array_split(numbers, max(1, -(-numbers.size * size // CHUNK))):
        if batch.size:
            rows = np.unravel_index(batch, which.shape) if which.shape else ()
            with np.errstate(all="ignore"):
                results.append(_of_batch(given, rows, term, normalize, copies))
    return np.concatenate(results) if which.shape else results[0].reshape(())


def _pieces(given: Operands, rows: tuple[NDArray[Any], ...]) -> Iterator[Piece]:
    """The rows as (rows, numbers), at most about `CHUNK` numbers at a time."""
    shape = given.arrays[0].shape[given.kept :]
    count = rows[0].size if rows else 1
    step = max(CHUNK // count // max(int(np.prod(shape[1:])), 1), 1)
    for first in range(0, shape[0], step):
        p, q, w = given.pieces((*rows, slice(first, first + step)))
        yield p.reshape(count, -1), q.reshape(count, -1), w if np.ndim(w) == 0 else w.reshape(count, -1)


def _of_batch(
    given: Operands, rows: tuple[NDArray[Any], ...], term: Term, normalize: bool, copies: tuple[int, ...]
) -> Floats:
    count = rows[0].size if rows else 1
    scale, mass = np.ones((2, count, 1)), np.ones((2, count, 1))
    if normalize:
        peak, mass = np.zeros((2, count, 1)), np.zeros((2, count, 1))
        for p, q, _ in _pieces(given, rows):
            for k, values in enumerate((p, q)):
                peak[k] = np.maximum(peak[k], np.abs(values).max(axis=1, keepdims=True))
        usable = np.isfinite(peak) & (peak > 0.0)
        exponent = np.frexp(np.where(usable, peak, 1.0))[1]
        scale = np.ldexp(1.0, np.clip(-exponent, -FAR, FAR))
        for p, q, w in _pieces(given, rows):
            mass += [(w * v * s).sum(axis=1, keepdims=True) for v, s in zip((p, q), scale, strict=True)]
        mass /= np.reshape(copies if len(copies) == 2 else copies * 2, (2, 1, 1))
    total = np.zeros(count)
    for p, q, w in _pieces(given, rows):
        values = term(p * scale[0] / mass[0], q * scale[1] / mass[1])
        total += np.where(w == 0.0, 0.0, w * values).sum(axis=1)
    if normalize and given.weights is not None:
        total[(mass == 0.0).any(axis=(0, 2))] = np.nan
    if normalize and len(given.arrays) == 2:
        total = np.maximum(total, 0.0)  # what is below is rounding
    return total
