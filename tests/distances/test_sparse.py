"""Matrices of divergences of sparse rows, against mpmath and against dense arrays."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

import fastkl
from fastkl.distances.sparse import Rows, compressed, sparse_matrix
from fastkl.jit import JIT_DISABLED
from fastkl.kernels.sparse_pairs import WIDEST
from tests.arrays import exact

METRICS = ("js", "kl", "reverse_kl", "jeffreys")
SYMMETRIC = ("js", "jeffreys")

RTOL = 1e-13


def matrix(X: NDArray[Any], Y: NDArray[Any], metric: str, pseudocount: float = 0.0) -> NDArray[np.float64]:
    out = np.full((len(X), len(Y)), -7.0)
    sparse_matrix(compressed(X), compressed(Y), metric, out=out, pseudocount=pseudocount)
    return out


def definition(p: NDArray[Any], q: NDArray[Any], metric: str, pseudocount: float = 0.0) -> mp.mpf:
    a, b = (exact.numbers(values.astype(float) + pseudocount) for values in (p, q))
    if not mp.fsum(a) or not mp.fsum(b):
        return mp.nan
    if metric == "js":
        return exact.jensenshannon(a, b) ** 2
    forward, reverse = exact.kl(a, b), exact.kl(b, a)
    return {"kl": forward, "reverse_kl": reverse, "jeffreys": forward + reverse}[metric]


def assert_exact(X: NDArray[Any], Y: NDArray[Any], metric: str, pseudocount: float = 0.0) -> None:
    out = matrix(X, Y, metric, pseudocount)
    for i, p in enumerate(X):
        for j, q in enumerate(Y):
            truth, value = definition(p, q, metric, pseudocount), float(out[i, j])
            if mp.isnan(truth) or mp.isinf(truth):
                assert str(value) == str(float(truth))
            else:
                assert abs(mp.mpf(value) - truth) <= RTOL * truth + mp.mpf(10) ** -60
                assert value > 0.0 or truth < mp.mpf(10) ** -50


def histograms(n: int, columns: int, zeros: float, seed: int = 0, kind: str = "f8") -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, columns)) < zeros, 0.0, rng.random((n, columns))).astype(kind)


A, B, EMPTY = [3.0, 1.0, 0.0, 2.0, 0.0, 5.0], [1.0, 0.0, 4.0, 2.0, 0.0, 1.0], [0.0] * 6
PATTERNS = {
    "some shared": (A, B),
    "alike": (A, [3.0, 1.0 + 1e-9, 0.0, 2.0, 0.0, 5.0]),
    "the same": (A, A),
    "proportional": (A, [9.0, 3.0, 0.0, 6.0, 0.0, 15.0]),
    "disjoint": ([1.0, 2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0, 2.0]),
    "p within q": ([1.0, 0.0, 0.0, 0.0, 0.0, 2.0], A),
    "q within p": (A, [1.0, 0.0, 0.0, 0.0, 0.0, 2.0]),
    "one entry each": ([0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
    "nearly all in one shared cell": ([1.0, 1e-13, 0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1e-14, 0.0, 0.0, 0.0]),
    "no zeros": ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]),
    "p without mass": (EMPTY, B),
    "both without mass": (EMPTY, EMPTY),
}


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_zeros_of_every_pattern(pattern: str, kind: str) -> None:
    p, q = (np.array([values], kind) for values in PATTERNS[pattern])
    for metric in METRICS:
        for pseudocount in (0.0, 0.5):
            assert_exact(p, q, metric, pseudocount)
            assert_exact(q, p, metric, pseudocount)
    if pattern in ("the same", "proportional", "one entry each"):
        assert [matrix(p, q, metric)[0, 0] for metric in METRICS] == [0.0] * 4


STRATA = {
    "plain": lambda x, rng: rng.permutation(x, axis=1),
    "alike": lambda x, rng: x * (1.0 + 1e-8 * rng.standard_normal(x.shape)),
    "alike but for a cell": lambda x, rng: x + np.eye(*x.shape) * 10.0 ** -rng.uniform(3, 18),
    "other masses": lambda x, rng: rng.permutation(x, axis=1) * 10.0 ** rng.uniform(-20, 20, (len(x), 1)),
    "tiny": lambda x, rng: np.ldexp(x, -1040),
    "huge": lambda x, rng: np.ldexp(rng.permutation(x, axis=1), 1015),
    "wide": lambda x, rng: x * np.exp(rng.uniform(-300, 300, x.shape)),
}


@pytest.mark.parametrize("stratum", STRATA)
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_every_entry_is_right_to_13_digits(stratum: str, zeros: float) -> None:
    rng = np.random.default_rng(round(10 * zeros))
    X = histograms(3, 40, zeros, seed=1)
    Y = STRATA[stratum](X, rng)
    for metric in METRICS:
        for pseudocount in (0.0, 1.0):
            assert_exact(X, Y, metric, pseudocount)


def test_rows_of_many_blocks() -> None:
    X, Y = histograms(2, 900, 0.3, seed=2), histograms(2, 900, 0.3, seed=3)
    for Z in (Y, X + 1e-3 * Y, X * (1.0 + 1e-7 * Y), np.where(np.arange(900) == 450, 0.0, X)):
        for metric in METRICS:
            assert_exact(X, Z, metric)
            assert_exact(X, Z, metric, 0.5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("pseudocount", [0.0, 0.5])
def test_sparse_equals_dense(metric: str, pseudocount: float) -> None:
    X, Y = histograms(20, 300, 0.6, seed=4), histograms(30, 300, 0.4, seed=5)
    Y[:5] = X[:5]
    Y[5:10] = np.where(X[5:10] > 0.0, 1.0, 0.0)
    p, q = X[:, None], Y[None]
    call: dict[str, Any] = {"axis": -1, "pseudocount": pseudocount}
    dense = {
        "js": lambda: fastkl.jensenshannon(p, q, **call) ** 2,
        "kl": lambda: fastkl.entropy(p, q, **call),
        "reverse_kl": lambda: fastkl.entropy(q, p, **call),
        "jeffreys": lambda: fastkl.jeffreys(p, q, **call),
    }
    np.testing.assert_allclose(matrix(X, Y, metric, pseudocount), dense[metric](), rtol=RTOL)


@pytest.mark.parametrize("metric", SYMMETRIC)
@pytest.mark.parametrize("pseudocount", [0.0, 0.5])
def test_symmetric_rows_and_the_condensed_form(metric: str, pseudocount: float) -> None:
    rows = compressed(np.vstack([histograms(600, 40, 0.8, seed=6), np.zeros((1, 40))]))
    n = rows.indptr.size - 1
    plain, square, condensed = np.empty((n, n)), np.empty((n, n)), np.empty(n * (n - 1) // 2)
    sparse_matrix(rows, rows, metric, out=plain, pseudocount=pseudocount)
    sparse_matrix(rows, rows, metric, out=square, pseudocount=pseudocount, symmetric=True)
    sparse_matrix(rows, rows, metric, out=condensed, pseudocount=pseudocount, symmetric=True)
    upper = np.triu_indices(n, 1)
    np.testing.assert_array_equal(square[upper], plain[upper])
    np.testing.assert_array_equal(square, square.T)
    np.testing.assert_array_equal(condensed, square[upper])
    np.testing.assert_array_equal(np.diag(square), np.diag(plain))
    np.testing.assert_allclose(square, plain, rtol=1e-14)


def test_memory_of_any_strides_is_filled() -> None:
    X, Y = compressed(histograms(5, 30, 0.5)), compressed(histograms(7, 30, 0.5, seed=1))
    plain, room = np.empty((5, 7)), np.full((14, 15), np.nan)
    sparse_matrix(X, Y, "js", out=plain)
    for out in (room[::2, ::3].T, room[:10:2, 13::-2][:, :7]):
        room[...] = np.nan
        sparse_matrix(X, Y, "js", out=out)
        np.testing.assert_array_equal(out, plain)
        assert np.isnan(room).sum() == room.size - out.size


@pytest.mark.skipif(JIT_DISABLED, reason="the driver of many tiles is not used without compiled code")
@pytest.mark.parametrize("metric", ["js", "kl"])
def test_bits_depend_on_no_other_row(metric: str) -> None:
    X, Y = histograms(40, 500, 0.9, seed=7), histograms(600, 500, 0.3, seed=8)
    whole = matrix(X, Y, metric)
    np.testing.assert_array_equal(matrix(X[17:18], Y, metric)[0], whole[17])
    np.testing.assert_array_equal(matrix(X, Y[300:301], metric)[:, 0], whole[:, 300])


def test_rows_too_wide_to_be_spread_out() -> None:
    X, Y = histograms(4, 60, 0.7, seed=9), histograms(5, 60, 0.4, seed=10)
    for metric in METRICS:
        out = np.empty((4, 5))
        wide = (rows._replace(n_columns=WIDEST + 1, indices=2000 * rows.indices) for rows in map(compressed, (X, Y)))
        sparse_matrix(*wide, metric, out=out)
        np.testing.assert_allclose(out, matrix(X, Y, metric), rtol=1e-14)


def test_powers_of_two_change_no_bit() -> None:
    X, Y = histograms(4, 60, 0.5, seed=11), histograms(4, 60, 0.5, seed=12)
    for metric in METRICS:
        for pseudocount in (0.0, 0.5):
            plain = matrix(X, Y, metric, pseudocount)
            for k in (-900, 3, 900):
                again = matrix(np.ldexp(X, k), np.ldexp(Y, k), metric, math.ldexp(pseudocount, k))
                np.testing.assert_array_equal(again, plain)


def test_entries_of_0_are_no_entries() -> None:
    X = histograms(3, 20, 0.5, seed=13)
    n = X.size
    full = Rows(X.ravel(), np.tile(np.arange(20, dtype=np.int32), 3), np.arange(0, n + 1, 20), 20)
    for metric in METRICS:
        for pseudocount in (0.0, 0.5):
            out = np.empty((3, 3))
            sparse_matrix(full, full, metric, out=out, pseudocount=pseudocount)
            expected = matrix(X, X, metric, pseudocount)
            np.testing.assert_allclose(out, expected, rtol=1e-14)
            assert (np.diag(out) == 0.0).all()


def test_an_infinite_divergence_stays_infinite_however_small_the_entry() -> None:
    p, q = np.array([[1e237, 1e-260, 1.0]]), np.array([[1.0, 0.0, 1e-300]])
    for metric in ("kl", "jeffreys"):
        assert matrix(p, q, metric)[0, 0] == math.inf
    assert 0.0 < matrix(q, p, "kl")[0, 0] < math.inf


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "u1", "?"])
def test_compressing_keeps_every_number(kind: str) -> None:
    X = (10.0 * histograms(70, 33, 0.8, seed=14)).astype(kind)
    for given in (X, np.asfortranarray(X), X[::-1, ::2], X[:0], X[:, :0]):
        rows = compressed(given)
        assert rows.data.dtype == (np.float32 if kind == "f4" else np.float64)
        back = np.zeros(given.shape)
        for i in range(len(given)):
            own = slice(rows.indptr[i], rows.indptr[i + 1])
            assert (np.diff(rows.indices[own]) > 0).all()
            back[i, rows.indices[own]] = rows.data[own]
        np.testing.assert_array_equal(back, given)
        assert np.count_nonzero(rows.data) == rows.data.size


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes without compiled code")
def test_memory_beside_the_result_is_small() -> None:
    X, out = histograms(300, 5000, 0.95, seed=15), np.empty((300, 300))
    rows = compressed(X)
    sparse_matrix(rows, rows, "js", out=out)
    tracemalloc.start()
    sparse_matrix(rows, rows, "js", out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    compressed(X)
    entries = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 2**20
    assert entries < 2**24 + 3 * rows.data.size * 12
