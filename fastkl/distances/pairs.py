"""Divergences of all pairs of dense rows, a bounded number of rows and columns at a time."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.along_axes import entropy_along, jensenshannon_along
from fastkl.arrays.operands import operands
from fastkl.arrays.ranges import LEAST_JS_TERM, LEAST_TERM
from fastkl.distances.table import NUMBERS, Table
from fastkl.kernels import pairs
from fastkl.kernels.pairs import (
    BOTH,
    FACTS,
    JEFFREYS,
    JS,
    KL,
    LEAST_CENTRE,
    LEFT,
    MASS,
    MIXED,
    REVERSE_KL,
    RIGHT,
    ROWS,
    STEP,
    Facts,
    Filling,
    Finish,
    Given,
    Place,
    Prepared,
    Source,
    Summing,
    Sums,
)
from fastkl.kernels.reductions import Operand
from fastkl.validation import Floats

RTOL = 0.9e-13
"""Largest relative error of a divergence whose digits have not been lost; its root has half of it."""

CACHED = 2**15
"""Largest number of numbers of a block in a panel: 256 KiB."""

FEW = 5
"""Number of pairs for each row up to which all pairs are computed by terms of their own at once."""

LONG = 2**15
"""Number of columns from which on a few pairs are left to the functions for arrays, which share a row among threads."""

MOST_ROWS = 2**10
"""Largest number of rows in a panel: the sums of all pairs of two panels take 16 MiB."""

PARTS = {KL: (LEFT, RIGHT), REVERSE_KL: (RIGHT, LEFT), JEFFREYS: (BOTH, BOTH), JS: (MIXED, MIXED)}

CHUNK = 2**17
"""Largest number of numbers of rows that are put into arrays of their own at a time."""

LINE = 8
"""Number of doubles in a line of the cache, and in the longest vector."""

NOWHERE = Operand(0, 0, 0, 0)

Metric = int


class Counts(NamedTuple):
    """Numbers of pairs by the way in which they were computed."""

    again: int = 0
    """Pairs whose sums have lost digits, and which were computed again by terms of their own."""
    apart: int = 0
    """Pairs of them, or of rows out of the range of the kernels, that were computed from arrays of both rows."""


def _aligned(*shape: int) -> Floats:
    """An uninitialised array that begins with a line of the cache: else most vectors would lie in two lines."""
    room = np.empty(math.prod(shape) + LINE - 1)
    first = -(room.ctypes.data // room.itemsize) % LINE
    return room[first : first + math.prod(shape)].reshape(shape)


class Panel:
    """Rows that are prepared for their part in pairs, some of their columns at a time."""

    def __init__(self, table: Table, part: int, across: bool, width: int, rows_at_once: int) -> None:
        self.table, self.part, self.across = table, part, across
        padded, blocks = -(-width // STEP) * STEP, -(-min(rows_at_once, table.rows) // ROWS)
        self.values = _aligned(blocks, 2 if part == BOTH else 1, ROWS * padded)
        self.zeros = np.empty((blocks * ROWS, padded // STEP), np.int64)
        self.facts = np.zeros((FACTS, blocks * ROWS))
        self.filled: tuple[int, int] | None = None

    def begin(self, rows: slice) -> None:
        """Forget what is known of rows, but for the masses of these ones."""
        factors, (masses, _) = self.table.factors[rows], self.table.weighed
        self.facts[:] = 0.0
        self.facts[MASS, : factors.size] = np.where(factors > 0.0, masses[rows], 0.0)

    def fill(self, rows: slice, columns: slice, centre: Floats) -> Prepared:
        """The blocks of these rows and columns, prepared."""
        blocks = -(-(rows.stop - rows.start) // ROWS)
        prepared = Prepared(self.values[:blocks], self.zeros, self.facts)
        if self.filled != (rows.start, columns.start):
            self.filled = rows.start, columns.start
            if columns.start == 0:
                self.begin(rows)
            place, owner = self.table.operand(rows, columns)
            count = columns.stop - columns.start
            work = Filling(self.part, self.across, rows.stop - rows.start, columns.start, count)
            source = Source(place, self.table.factors[rows])
            pairs.fill_panel(blocks, work, source, centre, prepared, length=1, items=ROWS * count)
            del owner
        return prepared


def fill_matrix(a: Table, b: Table, metric: Metric, out: NDArray[np.float64], symmetric: bool) -> Counts:
    """Fill in the divergences in nats of all rows of a and b, or of the pairs i < j of one table in condensed form."""
    few = a.rows * b.rows <= FEW * (a.rows + b.rows)
    width = _width(a, b)
    most = max(min(MOST_ROWS, NUMBERS // (width * (2 if metric == JEFFREYS else 1)) // ROWS * ROWS), ROWS)
    left_part, right_part = PARTS[metric]
    left = Panel(a, left_part, False, 0 if few else width, most)
    right = Panel(b, right_part, metric != JS, 0 if few else width, most)
    centre = Centre(a, b)
    sums = Sums(*_aligned(2, left.facts.shape[1], right.facts.shape[1]))
    zeros = bool(max(table.weighed[1].max() for table in (a, b)))
    flat, counts = out.reshape(-1), np.zeros(2, np.int64)
    for rows in _spans(a.rows, most):
        for others in _spans(b.rows, most):
            if symmetric and others.stop <= rows.start + 1:
                continue
            sums.totals.fill(np.nan if few else 0.0)
            sums.lost.fill(0.0)
            if few:
                left.begin(rows)
                right.begin(others)
            else:
                n, m = rows.stop - rows.start, others.stop - others.start
                work = Summing(metric, n, m, others.start - rows.start, symmetric, zeros)
                for columns in _spans(a.columns, width):
                    own = centre.of(columns)
                    p, q = left.fill(rows, columns, own), right.fill(others, columns, own)
                    points = len(p.values) * len(q.values)
                    how = {"length": 1, "items": ROWS * ROWS * (columns.stop - columns.start)}
                    if metric == JS:
                        pairs.add_mixed_terms(points, work, p, q, own[0], sums, **how)
                    else:
                        pairs.add_products(points, work, p, q, sums, **how)
            counts += _finish(left, right, metric, rows, others, sums, flat, symmetric)
    return Counts(*(int(count) for count in counts))


def _width(a: Table, b: Table) -> int:
    """Number of columns in a panel: all columns have about equal shares of as few panels as the cache allows."""
    most = CACHED // min(max(a.rows, b.rows), ROWS)
    panels = math.ceil(a.columns / most)
    return math.ceil(a.columns / panels / STEP) * STEP


def _spans(rows: int, most: int) -> list[slice]:
    return [slice(first, min(first + most, rows)) for first in range(0, rows, most)]


class Centre:
    """The mean of all rows, or a number above 0 where they are 0, and its inverse."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables if tables[0] is not tables[-1] else tables[:1]
        self.rows = max(sum(np.count_nonzero(table.factors) for table in self.tables), 1)
        self.known: dict[int, Floats] = {}

    def of(self, columns: slice) -> Floats:
        """The centre of these columns."""
        found = self.known.get(columns.start)
        if found is None:
            found = _aligned(2, columns.stop - columns.start)
            found[0] = 0.0
            for table in self.tables:
                table.add_to(found[0], columns)
            np.maximum(found[0] / self.rows, LEAST_CENTRE, out=found[0])
            np.divide(1.0, found[0], out=found[1])
            if self.tables[0].columns > NUMBERS:
                self.known.clear()
            self.known[columns.start] = found
        return found


def _finish(
    left: Panel,
    right: Panel,
    metric: Metric,
    rows: slice,
    others: slice,
    sums: Sums,
    flat: Floats,
    condensed: bool,
) -> tuple[int, int]:
    a, b = left.table, right.table
    n, m = rows.stop - rows.start, others.stop - others.start
    again = a.can_be_read_again and b.can_be_read_again and not (n * m < ROWS and a.columns > LONG)
    (p, owner), (q, other_owner) = (
        table.operand(span, slice(0, table.columns)) if again else (NOWHERE, None)
        for table, span in ((a, rows), (b, others))
    )
    rtol, least = (2.0 * RTOL, LEAST_JS_TERM) if metric == JS else (RTOL, LEAST_TERM)
    place = Place(rows.start, others.start, b.rows, condensed)
    work = Finish(metric, m, a.columns, a.options.normalize, again, a.options.input_error, rtol, least, place)
    facts, points = Facts(left.facts, right.facts), n * -(-m // ROWS)
    partial = pairs.finish_pairs(points, work, Given(p, q), facts, sums, flat, length=4, items=ROWS)
    del owner, other_owner
    recomputed, left_open = (int(count) for count in partial.sum(axis=0))
    return recomputed, _settle(a, b, metric, rows, others, flat, condensed) if left_open else 0


def _settle(a: Table, b: Table, metric: Metric, rows: slice, others: slice, flat: Floats, condensed: bool) -> int:
    """Compute the pairs that were left open from arrays of both rows; the number of them."""
    at_once = max(CHUNK // max(a.columns, 1), 1)
    count = 0
    for i in range(rows.start, rows.stop):
        first = max(others.start, i + 1) if condensed else others.start
        base = i * (2 * b.rows - i - 1) // 2 - i - 1 if condensed else i * b.rows
        values = flat[base + first : base + others.stop]
        if a.are_hopeless[i]:
            continue
        left_open = first + np.flatnonzero(np.isnan(values) & ~b.are_hopeless[first : others.stop])
        for begin in range(0, left_open.size, at_once):
            j = left_open[begin : begin + at_once]
            values[j - first] = _of_pairs(a, b, metric, i, j)
        count += left_open.size
    return count


def _of_pairs(a: Table, b: Table, metric: Metric, i: int, j: NDArray[np.intp]) -> Floats:
    """The divergences in nats of row i of a and rows j of b, by the functions for arrays."""
    options = a.options
    p, q = np.asarray(a.given[i], np.float64), np.asarray(b.given[j], np.float64)
    given = operands("XA XB", (p, q), -1, weights=options.weights, log=options.log, pseudocount=options.pseudocount)
    if metric == JS:
        return given.evaluate(jensenshannon_along)
    formula = functools.partial(entropy_along, normalize=options.normalize)
    value = np.zeros(j.size)
    if metric != REVERSE_KL:
        value = value + given.evaluate(formula)
    if metric != KL:
        value = value + given.swapped().evaluate(formula)
    return value
