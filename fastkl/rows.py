"""Arrays seen as rows to be summed: any axes, strides and types, nothing copied whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.jit import TILE, Implementation
from fastkl.kernels import reductions
from fastkl.kernels.reductions import Operand, column_sums, row_sums
from fastkl.validation import Floats

CHUNK = 2**17
"""Numbers that are copied at a time, where they have to be."""

ROWS_AT_ONCE = 2**16
"""Rows whose sums are in work at a time."""

COLUMNS = 64
"""From this many rows on it pays to work across them, where that is how the memory lies or they are short."""

SHORT = 32
"""Rows of up to this many numbers are worked across wherever they lie."""

PIECES = 256
"""The most pieces that columns are cut into: each has sums of its own for every row."""

LOADERS = {np.dtype(np.float64): reductions.doubles, np.dtype(np.float32): reductions.singles}
NO_WEIGHTS = (0, 0, 0, 0)

Prepare = Callable[..., Sequence[NDArray[Any]]]


class Rows:
    """Operands of one shape, whose last axes are summed over.

    Parameters
    ----------
    views : sequence of ndarray
        p, q and, if there are weights, w; of the same shape.
    outer : int
        How many of the first axes are kept.
    prepare : callable, optional
        Makes doubles of pieces of the views. Without it the views have to be of a kind that the kernels load.
    """

    def __init__(self, views: Sequence[NDArray[Any]], outer: int, prepare: Prepare | None = None) -> None:
        self.views = tuple(views)
        self.shape = self.views[0].shape
        self.kept = self.shape[:outer]
        self.outer = outer
        self.size = math.prod(self.shape[outer:])
        self.prepare = prepare

    def sums(
        self, terms: Implementation, *, in_place: bool = True, a: Floats | None = None, b: Floats | None = None
    ) -> Floats:
        """The four sums of `fastkl.kernels.reductions`, shape ``(4, *kept)``."""
        if self.prepare is None:
            return self._sums(terms, in_place, a, b)
        result = np.zeros((4, *self.kept))
        for index in self.chunks():
            kept = index[: self.outer]
            piece = Rows(self.prepare(*(view[index] for view in self.views)), self.outer)
            factors = [None if f is None else np.ascontiguousarray(f[kept]) for f in (a, b)]
            result[(slice(None), *kept)] += piece._sums(terms, in_place, *factors)
        return result

    def chunks(self) -> Iterator[tuple[slice, ...]]:
        """Indices that cut the views into pieces of at most `CHUNK` numbers."""
        lengths, room = [], CHUNK
        for n in reversed(self.shape):
            lengths.append(max(min(n, room), 1))
            room = max(room // max(n, 1), 1)
        lengths.reverse()
        for corner in np.ndindex(*(-(-n // length) for n, length in zip(self.shape, lengths, strict=True))):
            yield tuple(slice(i * length, (i + 1) * length) for i, length in zip(corner, lengths, strict=True))

    def _sums(self, terms: Implementation, in_place: bool, a: Floats | None, b: Floats | None) -> Floats:
        strides = list(zip(*(view.strides for view in self.views), strict=True))
        kept = _merged(self.kept, strides[: self.outer])
        by_stride = sorted(
            zip(self.shape[self.outer :], strides[self.outer :], strict=True), key=lambda d: -max(map(abs, d[1]))
        )
        summed = _merged([n for n, _ in by_stride], [s for _, s in by_stride])
        result = np.empty((4, *(n for n, _ in kept)))
        if self.size == 0 or result.size == 0:
            return np.zeros((4, *self.kept))
        factors = [np.ones(result.shape[1:]) if f is None else f.reshape(result.shape[1:]) for f in (a, b)]

        # the longest axis of either sort is left to the kernel
        long = max(range(len(kept)), key=lambda d: kept[d][0], default=None)
        rows, row_steps = (1, (0,) * len(self.views)) if long is None else kept[long]
        deep = max(range(len(summed)), key=lambda d: summed[d][0], default=None)
        size, steps = (1, (0,) * len(self.views)) if deep is None else summed[deep]
        outside = [(n, s) if d != long else (1, s) for d, (n, s) in enumerate(kept)]
        inside = [(n, s) for d, (n, s) in enumerate(summed) if d != deep]

        unit = a is None and b is None and in_place
        start = [view.__array_interface__["data"][0] for view in self.views]
        loads = [LOADERS[view.dtype].address for view in self.views]
        for corner in np.ndindex(*(n for n, _ in outside)):
            at = tuple(slice(None) if d == long else i for d, i in enumerate(corner))
            for depth in np.ndindex(*(n for n, _ in inside)):
                addresses = [
                    base
                    + sum(i * s[v] for i, (_, s) in zip(corner, outside, strict=True))
                    + sum(i * s[v] for i, (_, s) in zip(depth, inside, strict=True))
                    for v, base in enumerate(start)
                ]
                operands = [Operand(*o) for o in zip(loads, addresses, row_steps, steps, strict=True)]
                part = result[(slice(None), *at)]
                own = [np.ascontiguousarray(f[at]).reshape(rows) for f in factors]
                sums = _kernel_sums(terms, in_place, unit, operands, rows, size, *own).reshape(part.shape)
                result[(slice(None), *at)] = part + sums if any(depth) else sums
        return result.reshape(4, *self.kept)


def _kernel_sums(
    terms: Implementation,
    in_place: bool,
    unit: bool,
    operands: list[Operand],
    rows: int,
    size: int,
    a: Floats,
    b: Floats,
) -> Floats:
    """The sums of rows that one pair of steps describes, shape ``(4, rows)``."""
    result = np.empty((4, rows))
    across = unit and rows >= COLUMNS and (size <= SHORT or _lies_in_columns(operands))
    if across:
        length = max(TILE // reductions.ACROSS, -(-size // PIECES))
        pieces = -(-size // length)
        items = reductions.ACROSS * min(length, size)
    else:
        length, pieces, items = TILE, -(-size // TILE), min(size, TILE)
    step = max(ROWS_AT_ONCE // pieces, reductions.ACROSS)
    for first in range(0, rows, step):
        n = min(step, rows - first)
        moved = [o._replace(address=o.address + first * o.row_step) for o in operands]
        p, q = moved[:2]
        w = moved[2] if len(moved) == 3 else NO_WEIGHTS
        sums = np.zeros((4, pieces, n))
        tile = max(1, TILE // items)
        if across:
            blocks = -(-n // reductions.ACROSS)
            args: tuple[Any, ...] = (terms.address, *p, *q, *w, len(moved) == 3, size, n, pieces, length, sums)
            column_sums(blocks * pieces, *args, length=tile, items=items)
        else:
            own = a[first : first + n], b[first : first + n]
            args = (terms.address, in_place, *p, *q, *w, len(moved) == 3, size, pieces, length, *own, sums)
            row_sums(n * pieces, *args, length=tile, items=items)
        result[:, first : first + n] = sums[:, 0] if pieces == 1 else sums.sum(axis=1)
    return result


def _lies_in_columns(operands: list[Operand]) -> bool:
    moving = [o for o in operands if o.row_step or o.step]
    return any(o.row_step for o in moving) and all(abs(o.row_step) < abs(o.step) for o in moving)


def _merged(shape: Sequence[int], strides: Sequence[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """Axes as (length, strides of all operands), with neighbours made one where the memory allows it."""
    merged: list[tuple[int, tuple[int, ...]]] = []
    for n, steps in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if merged and all(wide == n * step for wide, step in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * n, steps)
        else:
            merged.append((n, steps))
    return merged
