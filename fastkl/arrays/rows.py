"""Arrays seen as rows to be summed, of any axes, strides and types; no array is copied as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.logarithms import together
from fastkl.jit import TILE
from fastkl.kernels import logarithms, reductions
from fastkl.kernels.logarithms import LogWork, log_sums
from fastkl.kernels.reductions import ColumnWork, Operand, Operands, RowWork, column_sums, row_sums
from fastkl.kernels.terms import Terms
from fastkl.validation import Floats

CHUNK = 2**17
"""Largest number of elements that are copied at a time, if they have to be."""

ROWS_AT_ONCE = 2**13
"""Largest number of rows whose sums are computed at a time."""

COLUMNS = 64
"""Number of rows from which on it pays to work across them, if the memory lies that way or they are short."""

SHORT = 32
"""Largest length of rows that are worked across wherever they lie."""

PIECES = 256
"""Largest number of pieces that rows worked across are cut into: each piece has sums of its own for every row."""

LOADERS = {
    "float64": reductions.doubles,
    "float32": reductions.singles,
    "float16": reductions.halves,
    "bfloat16": reductions.bfloats,
}
"""Functions that load numbers, by the name of their type: that of bfloat16 is not NumPy's own."""
LOG_SUMS = {
    "float64": logarithms.of_doubles,
    "float32": logarithms.of_singles,
    "float16": logarithms.of_halves,
    "bfloat16": logarithms.of_bfloats,
}
"""Functions that sum over logarithms side by side, by the name of their type."""
NO_WEIGHTS = Operand(0, 0, 0, 0)

Axis = tuple[int, tuple[int, ...]]
"""The length of an axis, and the strides of all operands along it."""

Forms = tuple[Terms | None, Terms | None]
"""The terms, and the terms for factors that a balance finds; None if only the masses are asked for."""

Place = tuple[int, int, int]
"""(address, bytes from row to row, bytes from number to number within a row) of an operand."""

Kernel = Callable[[list[Place], int, int, Callable[[Floats], Any]], Floats]
"""Function ``(places, rows, size, own)`` that gives results of shape ``(5, rows)``; ``own(values)`` takes the values of
these rows from an array with one for each."""

Prepare = Callable[..., Sequence[NDArray[Any]]]


class Rows:
    """Operands of one shape, whose last axes are summed over.

    Parameters
    ----------
    views : sequence of ndarray
        p, q and, if there are weights, w; of the same shape.
    outer : int
        Number of leading axes, which are kept.
    prepare : callable, optional
        Function that makes doubles of pieces of the views. Without it the views need a type that the kernels load.
    """

    def __init__(self, views: Sequence[NDArray[Any]], outer: int, prepare: Prepare | None = None) -> None:
        self.views = tuple(views)
        self.shape = self.views[0].shape
        self.kept = self.shape[:outer]
        self.outer = outer
        self.size = math.prod(self.shape[outer:])
        self.prepare = prepare

    @cached_property
    def go_across(self) -> bool:
        """Whether a kernel works across the rows, each with a factor of its own."""
        if self.prepare is not None or self.size == 0:
            return False
        kept, summed = self._merged_axes()
        still = (0,) * len(self.views)
        rows, row_steps = max(kept, key=lambda axis: axis[0], default=(1, still))
        size, steps = max(summed, key=lambda axis: axis[0], default=(1, still))
        return _goes_across(rows, size, list(zip(row_steps, steps, strict=True)))

    @cached_property
    def are_balanced(self) -> bool:
        """Whether a kernel sees a whole row at once, and can sum its masses first."""
        whole = self.prepare is None and 0 < self.size <= TILE and len(self._merged_axes()[1]) <= 1
        return whole and not self.go_across

    def sums(
        self,
        terms: Terms | None,
        *,
        scaled: Terms | None = None,
        in_place: bool = True,
        a: Floats | None = None,
        b: Floats | None = None,
        balance: int = reductions.AS_GIVEN,
    ) -> Floats:
        """The four sums of `fastkl.kernels.reductions` and the factors of q, shape ``(5, *kept)``.

        *scaled* are the terms for factors that a balance finds.
        """
        if self.prepare is None:
            return self._sums((terms, scaled or terms), in_place, a, b, balance)
        result = np.zeros((5, *self.kept))
        for index in self.chunks():
            kept: Any = index[: self.outer]
            piece = Rows(self.prepare(*(view[index] for view in self.views)), self.outer)
            factors = [None if f is None else np.ascontiguousarray(f[kept]) for f in (a, b)]
            found = piece._sums((terms, terms), in_place, factors[0], factors[1], balance)
            result[(slice(None, 4), *kept)] += found[:4]
            result[(4, *kept)] = found[4]
        return result

    def log_sums(self) -> Floats:
        """The sums of rows of logarithms: see `fastkl.arrays.logarithms`."""
        if self.prepare is None:
            kinds = [view.dtype for view in self.views]
            return self._walk(lambda places, rows, size, own: _kernel_log_sums(kinds, places, rows, size), _joined)
        result = np.zeros((5, *self.kept))
        for index in self.chunks():
            at = (slice(None), *index[: self.outer])
            piece = Rows(self.prepare(*(view[index] for view in self.views)), self.outer)
            result[at] = _joined(piece.log_sums(), result[at])
        return result

    def masses(self) -> Floats:
        """The sums of p and of q, shape ``(2, *kept)``."""
        return self.sums(None)[1:3]

    def chunks(self) -> Iterator[tuple[slice, ...]]:
        """Indices that cut the views into pieces of at most `CHUNK` numbers."""
        lengths, room = [], CHUNK
        for n in reversed(self.shape):
            lengths.append(max(min(n, room), 1))
            room = max(room // max(n, 1), 1)
        lengths.reverse()
        for corner in np.ndindex(*(-(-n // length) for n, length in zip(self.shape, lengths, strict=True))):
            yield tuple(slice(i * length, (i + 1) * length) for i, length in zip(corner, lengths, strict=True))

    def _merged_axes(self) -> tuple[list[Axis], list[Axis]]:
        """(axes that are kept, axes that are summed over), with neighbours merged if the memory allows it."""
        strides = list(zip(*(view.strides for view in self.views), strict=True))
        by_stride = sorted(
            zip(self.shape[self.outer :], strides[self.outer :], strict=True), key=lambda d: -max(map(abs, d[1]))
        )
        summed = _merged([n for n, _ in by_stride], [s for _, s in by_stride])
        return _merged(self.kept, strides[: self.outer]), summed

    def _sums(self, terms: Forms, in_place: bool, a: Floats | None, b: Floats | None, balance: int) -> Floats:
        b = np.ones(self.kept) if b is None else np.array(b).reshape(self.kept)
        factors = [b if a is None else a.reshape(self.kept), b]
        kinds = [view.dtype for view in self.views]
        may_go_across = a is None and in_place and (terms[0] is None or terms[0].across is not None)

        def sums(places: list[Place], rows: int, size: int, own: Callable[[Floats], Any]) -> Floats:
            a, b = (np.ascontiguousarray(own(f)).reshape(rows) for f in factors)
            return _kernel_sums(terms, in_place, may_go_across, kinds, places, rows, size, balance, a, b)

        def add(new: Floats, old: Floats) -> Floats:
            new[:4] += old[:4]
            return new

        return self._walk(sums, add)

    def _walk(self, kernel: Kernel, add: Callable[[Floats, Floats], Floats]) -> Floats:
        """Results of a kernel, shape ``(5, *kept)``; *add* puts those of two parts of the same rows together."""
        kept, summed = self._merged_axes()
        if self.size == 0 or math.prod(self.kept) == 0:
            return np.zeros((5, *self.kept))
        shape = tuple(n for n, _ in kept)
        result = np.empty((5, *shape))

        # the longest kept axis and the longest summed axis are left to the kernel
        long = max(range(len(kept)), key=lambda d: kept[d][0], default=None)
        rows, row_steps = (1, (0,) * len(self.views)) if long is None else kept[long]
        deep = max(range(len(summed)), key=lambda d: summed[d][0], default=None)
        size, steps = (1, (0,) * len(self.views)) if deep is None else summed[deep]
        outside = [(n, s) if d != long else (1, s) for d, (n, s) in enumerate(kept)]
        inside = [(n, s) for d, (n, s) in enumerate(summed) if d != deep]

        start = [view.__array_interface__["data"][0] for view in self.views]
        for corner in np.ndindex(*(n for n, _ in outside)):
            at = tuple(slice(None) if d == long else i for d, i in enumerate(corner))
            for depth in np.ndindex(*(n for n, _ in inside)):
                addresses = [
                    base
                    + sum(i * s[v] for i, (_, s) in zip(corner, outside, strict=True))
                    + sum(i * s[v] for i, (_, s) in zip(depth, inside, strict=True))
                    for v, base in enumerate(start)
                ]
                places = list(zip(addresses, row_steps, steps, strict=True))
                part = result[(slice(None), *at)]

                def own(values: Floats, at: Any = at) -> Any:
                    return values.reshape(shape)[at]

                found = kernel(places, rows, size, own)
                found = found.reshape(part.shape)
                if len(outside) <= 1 and not inside:
                    return found.reshape(5, *self.kept)
                result[(slice(None), *at)] = add(found, part) if any(depth) else found
        return result.reshape(5, *self.kept)


def _joined(new: Floats, old: Floats) -> Floats:
    return together(np.stack((old, new), axis=1))


def _kernel_log_sums(kinds: list[np.dtype[Any]], places: list[Place], rows: int, size: int) -> Floats:
    """The sums of rows of logarithms that one pair of steps describes, shape ``(5, rows)``."""
    operands = [Operand(LOADERS[kind.name].address, *place) for kind, place in zip(kinds, places, strict=True)]
    pieces, weighted = -(-size // TILE), len(operands) == 3
    kind = kinds[0]
    in_place = not weighted and kinds[1] == kind and all(place[2] == kind.itemsize for place in places)
    sums = narrow = logarithms.NO_SUMS
    if in_place:
        sums, narrow = (function.address for function in LOG_SUMS[kind.name])
    work = LogWork(sums, narrow, weighted, size, pieces, TILE)
    step, items = max(ROWS_AT_ONCE // pieces, 1), min(size, TILE)
    results = []
    for first in range(0, rows, step):
        n = min(step, rows - first)
        moved = [o._replace(address=o.address + first * o.row_step) for o in operands]
        found = np.empty((logarithms.RESULTS, pieces, n))
        given = Operands(moved[0], moved[1], moved[2] if weighted else NO_WEIGHTS)
        log_sums(n * pieces, work, given, found, length=max(1, TILE // items), items=items)
        results.append(together(found))
    return results[0] if len(results) == 1 else np.concatenate(results, axis=1)


def _kernel_sums(
    terms: Forms,
    in_place: bool,
    may_go_across: bool,
    kinds: list[np.dtype[Any]],
    places: list[Place],
    rows: int,
    size: int,
    balance: int,
    a: Floats,
    b: Floats,
) -> Floats:
    """The sums of rows that one pair of steps describes, shape ``(5, rows)``; the last is b."""
    across = may_go_across and _goes_across(rows, size, [place[1:] for place in places])
    operands = []
    for number, (kind, (address, row_step, step)) in enumerate(zip(kinds, places, strict=True)):
        # weights need a buffer, and so do numbers that the terms write to
        side_by_side = kind == np.float64 and (row_step if across else step) == kind.itemsize and in_place
        load = reductions.SIDE_BY_SIDE if side_by_side and number < 2 else LOADERS[kind.name].address
        operands.append(Operand(load, address, row_step, step))
    if across:
        length = max(TILE // reductions.ACROSS, -(-size // PIECES))
        pieces = -(-size // length)
        items = reductions.ACROSS * min(length, size)
    else:
        length, pieces, items = TILE, -(-size // TILE), min(size, TILE)
    step, weighted = max(ROWS_AT_ONCE // pieces, reductions.ACROSS), len(operands) == 3
    results = []
    for first in range(0, rows, step):
        n = min(step, rows - first)
        moved = [o._replace(address=o.address + first * o.row_step) for o in operands]
        given = Operands(moved[0], moved[1], moved[2] if weighted else NO_WEIGHTS)
        sums = np.zeros((5, pieces, n))
        tile = max(1, TILE // items)
        factors = b[first : first + n]
        if across:
            blocks = -(-n // reductions.ACROSS)
            columns = ColumnWork(_address(terms[0], "across"), weighted, size, n, pieces, length)
            column_sums(blocks * pieces, columns, given, factors, sums, length=tile, items=items)
        else:
            work = RowWork(
                _address(terms[0], "along"), _address(terms[1], "along"), weighted, size, pieces, length, balance
            )
            row_sums(n * pieces, work, given, a[first : first + n], factors, sums, length=tile, items=items)
        results.append(sums[:, 0] if pieces == 1 else sums.sum(axis=1))
        results[-1][4] = b[first : first + n]
    return results[0] if len(results) == 1 else np.concatenate(results, axis=1)


def _address(terms: Terms | None, name: str) -> int:
    return reductions.NO_TERMS if terms is None else int(getattr(terms, name).address)


def _goes_across(rows: int, size: int, steps: list[tuple[int, int]]) -> bool:
    """Whether rows are worked across; *steps* are the bytes from row to row and within a row, for each operand."""
    moving = [(row_step, step) for row_step, step in steps if row_step or step]
    lie_in_columns = any(row_step for row_step, _ in moving) and all(abs(row) < abs(step) for row, step in moving)
    return rows >= COLUMNS and (size <= SHORT or lie_in_columns)


def _merged(shape: Sequence[int], strides: Sequence[tuple[int, ...]]) -> list[Axis]:
    """Axes as (length, strides of all operands), with neighbours merged if the memory allows it."""
    merged: list[Axis] = []
    for n, steps in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if merged and all(wide == n * step for wide, step in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * n, steps)
        else:
            merged.append((n, steps))
    return merged
