"""Matrices of divergences of rows that are mostly empty, in work proportional to their entries."""

from __future__ import annotations

import numpy as np

from fastkl.arrays.sparse import alike, compressed, compressed_rows, divergence_of_pair, weighed, work_of
from fastkl.jit import TILE
from fastkl.kernels.sparse_pairs import CHUNK, MASS, OPEN, Place, Rows, sparse_pairs
from fastkl.validation import Floats

__all__ = ["Rows", "compressed", "compressed_rows", "pays", "sparse_matrix"]


DENSE = {"js": 0.5, "kl": 0.05, "reverse_kl": 0.05, "jeffreys": 0.1}
PAIR, GATHERED, SHARED, MERGED, COMPRESSED = 45.0, 1.1, 2.4, 4.5, 1.5
"""Nanoseconds of one core: for a column of a dense row; for a pair of sparse rows, an entry of a row, a shared entry,
an entry of the union; and for compressing a number."""


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
    work = work_of(metric, A.n_columns, pseudocount, gathers=True)
    A, B = alike(A, B)
    a = weighed(A, pseudocount)
    b = a if symmetric else weighed(B, pseudocount)
    condensed = out.ndim == 1
    place = Place(out.ctypes.data, 0 if condensed else out.strides[0], out.strides[-1], symmetric, condensed)
    rows_a, chunks = len(a.facts), -(-len(b.facts) // CHUNK)
    if rows_a == 0 or chunks == 0:
        return
    items = max(b.data.size // chunks, CHUNK)
    length = max(TILE // items, work.columns // items if work.gathers else 1, 1)
    n_open = sparse_pairs(rows_a * chunks, work, a, b, place, length=length, items=items).sum()
    if symmetric and not condensed:
        np.fill_diagonal(out, np.where(a.facts[:, MASS] > 0.0, 0.0, np.nan))
    if n_open:
        for at in zip(*np.nonzero(out == OPEN), strict=True):
            i, j = _pair_of(int(at[0]), rows_a) if condensed else (int(k) for k in at)
            out[at] = divergence_of_pair(A, i, B, j, metric, pseudocount)


def pays(rows_a: int, rows_b: int, columns: int, share: float, metric: str, pseudocount: float) -> bool:
    """Whether compressing two dense matrices, of whose entries *share* are not 0, and `sparse_matrix` save time.

    The times are measured (``python -m bench.sparse``): a pair of rows takes a constant time, one for each entry of a
    row and one for each entry that is shared, or, with a pseudocount, for each of the union of their entries.
    """
    dense = DENSE[metric] * columns
    entries, shared = share * columns, share * share * columns
    if pseudocount:
        sparse = PAIR + MERGED * (2.0 * entries - shared)
    else:
        sparse = PAIR + GATHERED * entries + (SHARED * shared if metric == "js" else 0.0)
    return rows_a * rows_b * (dense - sparse) > COMPRESSED * columns * (rows_a + rows_b)


def _pair_of(at: int, n: int) -> tuple[int, int]:
    """The pair i < j of n rows that stands at place *at* of the condensed form."""
    i = int(np.searchsorted(np.cumsum(np.arange(n - 1, 0, -1)), at, side="right"))
    return i, at - i * (2 * n - i - 3) // 2 + 1
