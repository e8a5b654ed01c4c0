"""Sparse matrices as compressed rows, and the divergences of their rows in work proportional to their entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.along_axes import entropy_along, jensenshannon_along
from fastkl.arrays.containers import SINGLES, as_array, is_sparse
from fastkl.arrays.operands import operands
from fastkl.arrays.ranges import LEAST_JS_TERM, LEAST_TERM
from fastkl.jit import TILE
from fastkl.kernels.sparse_pairs import (
    FACTS,
    JEFFREYS,
    JS,
    KL,
    OPEN,
    WIDEST,
    Rows,
    Weighed,
    Work,
    sparse_entropies,
    sparse_twins,
    weigh,
)
from fastkl.kernels.terms import entropy_terms, scaled_js_terms, scaled_kl_terms
from fastkl.validation import Floats

PIECE = 2**20
"""Largest number of elements of a dense array that are looked at at a time."""

LARGEST_INDEX = np.iinfo(np.int32).max

METRICS = {"js": JS, "kl": KL, "jeffreys": JEFFREYS}


def compressed(X: NDArray[Any]) -> Rows:
    """The entries of a dense matrix of numbers that are not 0, in single precision if it has that, else in double."""
    n, columns = X.shape
    step = max(PIECE // max(columns, 1), 1)
    pieces = [slice(first, first + step) for first in range(0, n, step)]
    counts = np.zeros(n + 1, np.int64)
    for piece in pieces:
        counts[1:][piece] = np.count_nonzero(X[piece], axis=1)
    indptr = np.cumsum(counts)
    data, indices = np.empty(indptr[-1], _kind(X.dtype)), np.empty(indptr[-1], np.int32)
    for piece in pieces:
        block = np.ascontiguousarray(X[piece]).reshape(-1)
        at = np.flatnonzero(block)
        own = slice(indptr[piece.start], indptr[piece.start] + at.size)
        data[own] = block[at]
        indices[own] = at % columns
    return Rows(data, indices, indptr, columns)


def _kind(given: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32 if given.name in SINGLES else np.float64)


def compressed_rows(matrix: Any, name: str, axis: int = 1) -> Rows:
    """The rows of a sparse matrix, or its columns if *axis* is 0, with entries checked; *matrix* stays as it is."""
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two axes if it is sparse, got {matrix.ndim}; pass {name}.toarray()")
    found = matrix.tocsr() if axis == 1 else matrix.tocsc()
    data = as_array(found.data, name)
    last = found.shape[axis] - 1
    if found.indices.size and not 0 <= found.indices.min() <= found.indices.max() <= last:
        first, end = found.indices.min(), found.indices.max()
        raise ValueError(f"{name} is damaged: its indices run from {first} to {end}, and should from 0 to {last}")
    if not found.has_canonical_format:  # entries of one cell are added up, and those of a row put in order
        found = found.copy()
        found.sum_duplicates()
        data = found.data
    data = np.ascontiguousarray(data, _kind(data.dtype))
    bad = (data < 0.0) | np.isinf(data)
    if bad.any():
        raise ValueError(
            f"{name} must be finite and >= 0 if it is sparse, got {float(data[bad][0])!r}; set such entries to another "
            f"number, or pass {name}.toarray()"
        )
    columns = found.shape[axis]
    indices = np.ascontiguousarray(found.indices, np.int32 if columns <= LARGEST_INDEX else np.int64)
    return Rows(data, indices, found.indptr.astype(np.int64), columns)


def alike(A: Rows, B: Rows) -> tuple[Rows, Rows]:
    """Both matrices with numbers of one type, for which a kernel is compiled."""
    data, indices = np.result_type(A.data, B.data), np.result_type(A.indices, B.indices)
    first, second = (
        rows._replace(data=rows.data.astype(data, copy=False), indices=rows.indices.astype(indices, copy=False))
        for rows in (A, B)
    )
    return first, second


def weighed(rows: Rows, pseudocount: float) -> Weighed:
    """The rows with their masses."""
    indptr = np.asarray(rows.indptr, np.int64)
    n = indptr.size - 1
    found = Weighed(rows.data, rows.indices, indptr, np.empty((n, FACTS)))
    weigh(n, found, rows.n_columns, pseudocount, **tiles(found))
    return found


def tiles(*matrices: Weighed) -> dict[str, int]:
    """Keywords that cut a kernel over the rows of all *matrices* into tiles of about the same number of entries."""
    entries = sum(m.data.size // max(m.indptr.size - 1, 1) for m in matrices)
    return {"length": max(TILE // max(entries, 1), 1), "items": max(entries, 1)}


def work_of(metric: str, columns: int, pseudocount: float, *, gathers: bool) -> Work:
    """The work of a kernel for a metric; *gathers* says that rows are spread out where they may be."""
    code = METRICS[metric]
    return Work(
        metric=code,
        terms=int((scaled_js_terms if code == JS else scaled_kl_terms).along.address),
        columns=columns,
        pseudocount=pseudocount,
        least=LEAST_JS_TERM if code == JS else LEAST_TERM,
        gathers=gathers and pseudocount == 0.0 and columns <= WIDEST,
    )


def divergence_of_pair(A: Rows, i: int, B: Rows, j: int, metric: str, pseudocount: float) -> float:
    """The divergence of two rows by the functions of dense arrays, on the union of their entries."""
    (x, at_x), (y, at_y) = _entries(A, i), _entries(B, j)
    columns = np.union1d(at_x, at_y)
    p, q = np.zeros((2, columns.size))
    p[np.searchsorted(columns, at_x)], q[np.searchsorted(columns, at_y)] = x, y
    weights = None
    if pseudocount and columns.size < A.n_columns:  # one cell in the place of all that are empty
        p, q = np.append(p, 0.0), np.append(q, 0.0)
        weights = np.append(np.ones(columns.size), float(A.n_columns - columns.size))
    given = operands("p q", (p + pseudocount, q + pseudocount), 0, weights=weights, log=False)
    if metric == "js":
        return float(jensenshannon_along(given))
    forward = entropy_along(given, True)
    return float(forward if metric == "kl" else forward + entropy_along(given.swapped(), True))


def _entries(rows: Rows, i: int) -> tuple[NDArray[Any], NDArray[Any]]:
    own = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
    return rows.data[own].astype(np.float64), rows.indices[own]


class SparseOperands:
    """The arguments of a divergence of which at least one is sparse, as rows that are summed over.

    Parameters
    ----------
    p, q : sparse matrix, array_like or None
        Two matrices of one shape, or one of them with a single row (or column, for `axis` 0); q is None for an entropy.
    names : str
        Their names in error messages.
    axis : int
        Axis of the sums.
    pseudocount : float
        Number that is added to every cell.
    options : dict
        Names of options that are for dense arrays alone, and whether each is given.
    """

    def __init__(self, p: Any, q: Any, names: str, axis: Any, pseudocount: float, options: dict[str, bool]) -> None:
        given = {name: values for name, values in zip(names.split(), (p, q), strict=True) if values is not None}
        for option in (option for option, is_given in options.items() if is_given):
            dense = " and ".join(f"{name}.toarray()" for name, values in given.items() if is_sparse(values))
            raise ValueError(f"{option} is not for sparse arrays; pass {dense}")
        if axis not in (0, 1, -1, -2):
            raise ValueError(f"axis must be 0 or 1 for a sparse array, got {axis!r}")
        self.axis = int(axis) % 2
        self.pseudocount = pseudocount
        self.rows = [self._rows(values, name) for name, values in given.items()]
        self.dtype = np.result_type(*(rows.data.dtype for rows in self.rows))
        shapes = [(rows.indptr.size - 1, rows.n_columns) for rows in self.rows]
        counts, widths = zip(*shapes, strict=True)
        if len(set(widths)) > 1 or len(set(counts) - {1}) > 1:
            own = " and ".join(str(shape if self.axis else shape[::-1]) for shape in shapes)
            raise ValueError(
                f"{' and '.join(given)} must have one shape if one of them is sparse, or one of them a single "
                f"{'row' if self.axis else 'column'}, got {own}"
            )
        self.count = max(counts, key=lambda n: n != 1)

    def _rows(self, values: Any, name: str) -> Rows:
        if is_sparse(values):
            return compressed_rows(values, name, self.axis)
        if np.ma.is_masked(values):
            raise TypeError(f"{name} must not be masked beside a sparse array; pass {name}.filled(0)")
        array = as_array(values, name)
        if array.ndim == 1 and self.axis == 1:
            array = array[None]
        if array.ndim != 2:
            remedy = f"; pass {name}[:, None]" if array.ndim == 1 else ""
            raise ValueError(f"{name} must have two axes beside a sparse array, got {array.ndim}{remedy}")
        matrix = array if self.axis == 1 else array.T
        bad = (matrix < 0.0) | np.isinf(matrix)
        if bad.any():
            raise ValueError(f"{name} must be finite and >= 0 beside a sparse array, got {float(matrix[bad][0])!r}")
        return compressed(matrix)

    def has_nan(self) -> bool:
        """Whether an entry is NaN."""
        return any(np.isnan(rows.data).any() for rows in self.rows)

    def entropy(self) -> Floats:
        """The entropy of each row."""
        (rows,) = self.rows
        if rows.n_columns == 0:
            return np.zeros(self.count)
        found, out = weighed(rows, self.pseudocount), np.empty(self.count)
        work = work_of("kl", rows.n_columns, self.pseudocount, gathers=False)
        sparse_entropies(self.count, work._replace(terms=int(entropy_terms.along.address)), found, out, **tiles(found))
        return out

    def divergence(self, metric: str) -> Floats:
        """The divergence of each pair of rows, in nats."""
        p, q = alike(*self.rows)
        if p.n_columns == 0:
            return np.zeros(self.count)
        a, b = weighed(p, self.pseudocount), weighed(q, self.pseudocount)
        work = work_of(metric, p.n_columns, self.pseudocount, gathers=False)
        out = np.empty(self.count)
        sparse_twins(self.count, work, a, b, out, **tiles(a, b))
        for i in np.flatnonzero(out == OPEN):
            at_p, at_q = (int(i) if rows.indptr.size > 2 else 0 for rows in self.rows)
            out[i] = divergence_of_pair(p, at_p, q, at_q, metric, self.pseudocount)
        return out

    def finish(self, value: Floats, keepdims: bool) -> Any:
        """The result in the shape and type that the caller expects."""
        if keepdims:
            value = np.expand_dims(value, self.axis)
        with np.errstate(over="ignore"):
            return value.astype(self.dtype)
