"""Divergences of all pairs of rows that are mostly empty, a bounded number of entries at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.containers import is_sparse
from fastkl.distances.sparse import Rows, compressed, compressed_rows, pays, sparse_matrix
from fastkl.distances.table import Table
from fastkl.kernels.pairs import JEFFREYS, JS, KL, REVERSE_KL
from fastkl.validation import Floats

ENTRIES = 2**20
"""Largest number of entries of a matrix that are compressed at a time: 12 MiB."""

MOST_ROWS = 2**10
"""Largest number of rows whose pairs are put into an array of their own, 8 MiB, before they go to the result."""

NAMES = {JS: "js", KL: "kl", REVERSE_KL: "reverse_kl", JEFFREYS: "jeffreys"}


class Matrix:
    """A sparse matrix, or a dense one of which most entries are 0, as compressed rows."""

    def __init__(self, given: Any, name: str) -> None:
        self.name = name
        self.given = given.tocsr() if is_sparse(given) else given
        self.rows: int = given.shape[0]

    @functools.cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of entries of each row."""
        if is_sparse(self.given):
            counts: NDArray[np.int64] = np.diff(self.given.indptr).astype(np.int64)
            return counts
        step = max(ENTRIES // max(self.given.shape[1], 1), 1)
        parts = [np.count_nonzero(self.given[first : first + step], axis=1) for first in range(0, self.rows, step)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def compressed(self, rows: slice) -> Rows:
        """Some of the rows, checked."""
        part = self.given if rows.stop - rows.start == self.rows else self.given[rows]
        if is_sparse(part):
            return compressed_rows(part, self.name)
        found = compressed(part)
        bad = (found.data < 0.0) | np.isinf(found.data)
        if bad.any():
            raise ValueError(
                f"{self.name} must be finite and >= 0 beside a sparse matrix, got {float(found.data[bad][0])!r}"
            )
        return found

    def spans(self, most_rows: int) -> Iterator[slice]:
        """Runs of rows with a bounded number of entries."""
        total, first = 0, 0
        for row, count in enumerate(self.counts.tolist()):
            total += count
            if row > first and (total > ENTRIES or row - first >= most_rows):
                yield slice(first, row)
                total, first = count, row
        yield slice(first, self.rows)


def suits(a: Table, b: Table, metric: int) -> bool:
    """Whether dense rows are computed faster, and as well, from their entries that are not 0."""
    options, size = a.options, a.given.size + b.given.size
    if not options.normalize or options.weights is not None or options.log:
        return False
    if any(np.isnan(table.weighed[0]).any() for table in (a, b)):
        return False
    if options.pseudocount:
        entries = int(sum(Matrix(table.given, "").counts.sum() for table in (a, b)))
    else:
        entries = size - int(sum(table.weighed[1].sum() for table in (a, b)))
    if not pays(a.rows, b.rows, a.columns, entries / size, NAMES[metric], options.pseudocount):
        return False
    return not options.pseudocount or min(table.given.min() for table in (a, b)) >= 0


def fill_from_entries(a: Matrix, b: Matrix, metric: int, out: Floats, pseudocount: float, symmetric: bool) -> None:
    """Fill in the divergences in nats of all rows of a and b, or of the pairs i < j of one matrix in condensed form."""
    fill = functools.partial(sparse_matrix, metric=NAMES[metric], pseudocount=pseudocount)
    if symmetric and a.counts.sum() <= ENTRIES:
        rows = a.compressed(slice(0, a.rows))
        fill(rows, rows, out=out, symmetric=True)
        return
    most = MOST_ROWS if symmetric else max(a.rows, b.rows)
    for left in a.spans(most):
        p = a.compressed(left)
        for right in b.spans(most):
            if not symmetric:
                fill(p, b.compressed(right), out=out[left, right])
            elif right.stop > left.start + 1:
                own = np.empty((left.stop - left.start, right.stop - right.start))
                fill(p, b.compressed(right), out=own)
                _condense(own, left, right, b.rows, out)


def _condense(own: Floats, left: slice, right: slice, n: int, out: Floats) -> None:
    """Put the pairs i < j of some rows and columns to their places in the condensed form."""
    for i in range(left.start, left.stop):
        first = max(right.start, i + 1)
        at = i * (2 * n - i - 1) // 2 - i - 1
        if first < right.stop:
            out[at + first : at + right.stop] = own[i - left.start, first - right.start :]
