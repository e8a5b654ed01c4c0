"""Matrices of divergences of rows that are mostly empty, in work proportional to their entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.divergences import entropy, jeffreys, jensenshannon
from fastkl.arrays.ranges import LEAST_JS_TERM, LEAST_TERM
from fastkl.jit import TILE
from fastkl.kernels.sparse_pairs import (
    CHUNK,
    FACTS,
    JEFFREYS,
    JS,
    KL,
    OPEN,
    WIDEST,
    Place,
    Rows,
    Weighed,
    Work,
    sparse_pairs,
    weigh,
)
from fastkl.kernels.terms import scaled_js_terms, scaled_kl_terms
from fastkl.validation import Floats

__all__ = ["Rows", "compressed", "sparse_matrix"]

PIECE = 2**20
"""Largest number of elements of a dense array that are looked at at a time."""

METRICS = {"js": JS, "kl": KL, "jeffreys": JEFFREYS}


def sparse_matrix(
    A: Rows, B: Rows, metric: str, *, out: Floats, pseudocount: float = 0.0, symmetric: bool = False
) -> None:
    """Fill in the divergences of all pairs of a row of A and a row of B, in nats.

    Parameters
    ----------
    A, B : Rows
        Rows of one width; they are normalised. Entries of 0 are allowed.
    metric : {'js', 'kl', 'reverse_kl', 'jeffreys'}
        The Jensen-Shannon divergence (not its root), KL(a||b), KL(b||a) or their sum.
    out : ndarray
        Array of doubles, of shape (rows of A, rows of B) and any strides; or, for the pairs i < j of `symmetric` rows
        side by side, as SciPy's condensed matrices have them, of shape (rows * (rows - 1) / 2,).
    pseudocount : float, default 0
        Number that is added to every cell, also to those without an entry.
    symmetric : bool, default False
        Whether A is B and the metric symmetric, so that each pair is computed once.
    """
    if metric == "reverse_kl":
        sparse_matrix(B, A, "kl", out=out.T, pseudocount=pseudocount)
        return
    code = METRICS[metric]
    work = Work(
        metric=code,
        terms=int((scaled_js_terms if code == JS else scaled_kl_terms).along.address),
        columns=A.n_columns,
        pseudocount=pseudocount,
        least=LEAST_JS_TERM if code == JS else LEAST_TERM,
        gathers=pseudocount == 0.0 and A.n_columns <= WIDEST,
    )
    a = weighed(A, pseudocount)
    b = a if symmetric else weighed(B, pseudocount)
    condensed = out.ndim == 1
    place = Place(out.ctypes.data, 0 if condensed else out.strides[0], out.strides[-1], symmetric, condensed)
    rows_a, rows_b = len(a.facts), len(b.facts)
    if rows_a == 0 or rows_b == 0:
        return
    items = max(b.data.size // -(-rows_b // CHUNK), CHUNK)
    length = max(TILE // items, work.columns // items if work.gathers else 1, 1)
    n_open = sparse_pairs(rows_a * -(-rows_b // CHUNK), work, a, b, place, length=length, items=items).sum()
    if symmetric and not condensed:
        np.fill_diagonal(out, np.where(a.facts[:, 0] > 0.0, 0.0, np.nan))
    if n_open:
        _compute_open_pairs(A, B, metric, pseudocount, symmetric, out)


def weighed(rows: Rows, pseudocount: float) -> Weighed:
    """The rows with their masses."""
    indptr = np.asarray(rows.indptr, np.int64)
    found = Weighed(rows.data, rows.indices, indptr, np.empty((indptr.size - 1, FACTS)))
    items = max(rows.data.size // max(indptr.size - 1, 1), 1)
    weigh(indptr.size - 1, found, rows.n_columns, pseudocount, length=max(TILE // items, 1), items=items)
    return found


def _compute_open_pairs(A: Rows, B: Rows, metric: str, pseudocount: float, symmetric: bool, out: Floats) -> None:
    """Fill in the pairs that the kernel has left open."""
    n = A.indptr.size - 1
    for at in zip(*np.nonzero(out == OPEN), strict=True):
        if out.ndim == 1:
            i = int(np.searchsorted(np.cumsum(np.arange(n - 1, 0, -1)), at[0], side="right"))
            j = int(at[0]) - i * (2 * n - i - 3) // 2 + 1
        else:
            i, j = (int(k) for k in at)
        out[at] = divergence_of_pair(A, i, B, j, metric, pseudocount)


def divergence_of_pair(A: Rows, i: int, B: Rows, j: int, metric: str, pseudocount: float) -> float:
    """The divergence of two rows by the functions of dense arrays, on the union of their entries."""
    (x, at_x), (y, at_y) = _entries(A, i), _entries(B, j)
    columns = np.union1d(at_x, at_y)
    p, q = np.zeros((2, columns.size))
    p[np.searchsorted(columns, at_x)], q[np.searchsorted(columns, at_y)] = x, y
    weights = None
    if pseudocount and columns.size < A.n_columns:
        p, q = (np.append(values, 0.0) for values in (p, q))
        weights = np.append(np.ones(columns.size), float(A.n_columns - columns.size))
    p, q = p + pseudocount, q + pseudocount
    if metric == "js":
        return float(jensenshannon(p, q, weights=weights)) ** 2
    return float((entropy if metric == "kl" else jeffreys)(p, q, weights=weights))


def _entries(rows: Rows, i: int) -> tuple[NDArray[Any], NDArray[Any]]:
    own = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
    return rows.data[own].astype(np.float64), rows.indices[own]


def compressed(X: NDArray[Any]) -> Rows:
    """The entries of a dense matrix of numbers that are not 0, in single precision if it has that, else in double."""
    n, columns = X.shape
    step = max(PIECE // max(columns, 1), 1)
    pieces = [slice(first, first + step) for first in range(0, n, step)]
    counts = np.zeros(n + 1, np.int64)
    for piece in pieces:
        counts[1:][piece] = np.count_nonzero(X[piece], axis=1)
    indptr = np.cumsum(counts)
    kind = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
    data, indices = np.empty(indptr[-1], kind), np.empty(indptr[-1], np.int32)
    for piece in pieces:
        block = np.ascontiguousarray(X[piece]).reshape(-1)
        at = np.flatnonzero(block)
        own = slice(indptr[piece.start], indptr[piece.start] + at.size)
        data[own] = block[at]
        indices[own] = at % columns
    return Rows(data, indices, indptr, columns)
