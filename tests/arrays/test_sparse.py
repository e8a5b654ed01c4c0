"""Divergences of the rows and columns of sparse matrices, against dense ones and mpmath."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

import fastkl
from fastkl.jit import JIT_DISABLED
from tests.arrays import exact

FUNCTIONS = ("entropy", "jensenshannon", "jeffreys")
FORMATS = (sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix, sparse.lil_array)
if JIT_DISABLED:
    FORMATS = FORMATS[:1]

RTOL = 1e-13


def pair(
    kind: str = "f8", shape: tuple[int, int] = (25, 12 if JIT_DISABLED else 30)
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Matrices with a row and a column of zeros, alike rows, and rows of which one has no entry outside the other."""
    rng = np.random.default_rng(0)
    p, q = (np.where(rng.random(shape) < share, 0.0, rng.random(shape)) for share in (0.7, 0.3))
    q[:5] = p[:5] * (1.0 + 1e-3 * rng.random((5, shape[1])))
    q[5:9] = np.where(p[5:9] > 0.0, 0.25, 0.0)
    q[9:12] = np.where(p[9:12] > 0.0, 1.0, q[9:12])
    p[12] = q[13] = p[:, 2] = q[:, 3] = 0.0
    return p.astype(kind), q.astype(kind)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("pseudocount", [0.0, 0.5])
def test_sparse_equals_dense(name: str, axis: int, pseudocount: float) -> None:
    function, (p, q) = getattr(fastkl, name), pair()
    call: dict[str, Any] = {"axis": axis, "pseudocount": pseudocount}
    expected = function(p, q, **call)
    for made in FORMATS:
        for a, b in ((made(p), made(q)), (made(p), q), (p, made(q))):
            result = function(a, b, **call)
            assert type(result) is np.ndarray
            np.testing.assert_allclose(result, expected, rtol=RTOL)
    one = (slice(20, 21), slice(None)) if axis else (slice(None), slice(8, 9))
    for a, b in ((p, q[one]), (p[one], q)):
        expected = function(a, b, base=2, keepdims=True, **call)
        result = function(sparse.csr_array(a), sparse.csr_array(b), base=2, keepdims=True, **call)
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=RTOL)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pseudocount", [0.0, 0.5])
def test_the_entropy_of_sparse_rows(axis: int, pseudocount: float) -> None:
    p, _ = pair()
    result = fastkl.entropy(sparse.csr_array(p), axis=axis, pseudocount=pseudocount)
    np.testing.assert_allclose(result, fastkl.entropy(p, axis=axis, pseudocount=pseudocount), rtol=RTOL)
    for i in range(3):
        values = exact.numbers((p[i] if axis else p[:, i]) + pseudocount)
        assert result[i] == pytest.approx(
            float(exact.entropy(values)) if any(values) else math.nan, rel=1e-15, nan_ok=True
        )


def test_a_dense_row_beside_many_sparse_ones() -> None:
    p, q = pair()
    for name in FUNCTIONS:
        function = getattr(fastkl, name)
        np.testing.assert_allclose(function(sparse.csr_array(p), q[20], axis=1), function(p, q[20], axis=-1), rtol=RTOL)
        with pytest.raises(
            ValueError, match=r"q.* must have two axes beside a sparse array, got 1; pass q.*\[:, None\]"
        ):
            function(sparse.csr_array(p), p[:, 4], axis=0)


def test_integers_singles_and_repeated_entries() -> None:
    counts = sparse.coo_array(([1, 2, 4, 3], ([0, 0, 1, 0], [4, 1, 2, 4])), shape=(2, 6))
    before = counts.data.copy(), counts.nnz
    assert fastkl.entropy(counts, axis=1).tolist() == pytest.approx(fastkl.entropy(counts.toarray(), axis=1).tolist())
    assert (before[0] == counts.data).all()
    assert before[1] == counts.nnz
    unsorted = sparse.csr_array(([1.0, 2.0, 4.0], [3, 1, 0], [0, 2, 3]), shape=(2, 4))
    dense = unsorted.toarray()
    np.testing.assert_allclose(
        fastkl.jensenshannon(unsorted, dense[:1], axis=1), fastkl.jensenshannon(dense, dense[:1], axis=1)
    )
    assert unsorted.indices.tolist() == [3, 1, 0]
    p, q = pair("f4")
    for name in FUNCTIONS:
        result = getattr(fastkl, name)(sparse.csr_array(p), sparse.csr_array(q), axis=1)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, getattr(fastkl, name)(p, q, axis=1))
    long = sparse.csr_array(p)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    np.testing.assert_array_equal(fastkl.entropy(long, axis=1), fastkl.entropy(sparse.csr_array(p), axis=1))


def test_nans() -> None:
    p, q = pair()
    p[4, np.flatnonzero(p[4])[0]] = np.nan
    a, b = sparse.csr_array(p), sparse.csr_array(q)
    assert np.flatnonzero(np.isnan(fastkl.entropy(a, axis=1))).tolist() == [4, 12]
    for result in (fastkl.entropy(a, b, axis=1), fastkl.jensenshannon(b, a, axis=1)):
        assert np.flatnonzero(np.isnan(result)).tolist() == [4, 12, 13]
    with pytest.raises(ValueError, match="contains nan values"):
        fastkl.entropy(a, axis=1, nan_policy="raise")
    with pytest.raises(ValueError, match=r"nan_policy='omit' is not for sparse arrays.*pk\.toarray\(\)"):
        fastkl.entropy(a, axis=1, nan_policy="omit")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("shape", "axis"), [((2, 0), 1), ((0, 3), 0), ((0, 3), 1)])
def test_without_cells_the_results_are_those_of_dense_arrays(name: str, shape: tuple[int, int], axis: int) -> None:
    measure, empty = getattr(fastkl, name), sparse.csr_array(shape)
    expected = measure(np.zeros(shape), np.zeros(shape), axis=axis)
    np.testing.assert_array_equal(measure(empty, empty, axis=axis), expected)
    np.testing.assert_array_equal(measure(np.zeros(shape), empty, axis=axis), expected)
    np.testing.assert_array_equal(fastkl.entropy(empty, axis=axis), expected)


@pytest.mark.skipif(JIT_DISABLED, reason="the driver of many tiles is not used without compiled code")
def test_many_rows_are_worked_at_in_tiles() -> None:
    rng = np.random.default_rng(1)
    a, b = (sparse.random_array((20_000, 400), density=0.02, format="csr", rng=rng) for _ in range(2))
    whole = fastkl.jensenshannon(a, b, axis=1)
    for i in (0, 777, 19_999):
        np.testing.assert_array_equal(fastkl.jensenshannon(a[[i]], b[[i]], axis=1)[0], whole[i])
    assert fastkl.entropy(a, axis=1)[777] == fastkl.entropy(a[[777]], axis=1)[0]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda s: fastkl.entropy(s, axis=1, log=True), ValueError, r"log=True is not for sparse.*pk\.toarray\(\)"),
        (lambda s: fastkl.jensenshannon(s, s, axis=1, log=True), ValueError, r"log=True.*p\.toarray\(\)"),
        (lambda s: fastkl.jeffreys(np.eye(3), s, weights=np.ones(3)), ValueError, r"weights=.*q\.toarray\(\)"),
        (lambda s: fastkl.entropy(s, normalize=False), ValueError, r"normalize=False.*pk\.toarray\(\)"),
        (lambda s: fastkl.entropy(s, axis=None), ValueError, "axis must be 0 or 1 for a sparse array, got None"),
        (lambda s: fastkl.entropy(s, axis=(0, 1)), ValueError, r"axis must be 0 or 1 .*got \(0, 1\)"),
        (lambda s: fastkl.entropy(-s, axis=1), ValueError, r"pk must be finite and >= 0 if it is sparse, got -1\.0"),
        (lambda s: fastkl.jeffreys(s, s * np.inf, axis=1), ValueError, "q must be finite and >= 0.*got inf"),
        (lambda s: fastkl.jeffreys(s, -np.eye(3), axis=1), ValueError, "q must be finite.*beside a sparse.*got -1.0"),
        (
            lambda s: fastkl.entropy(s, s[:2], axis=1),
            ValueError,
            r"pk and qk must have one shape.*\(3, 3\) and \(2, 3\)",
        ),
        (lambda s: fastkl.entropy(s, s[:, :1], axis=1), ValueError, r"a single row, got \(3, 3\) and \(3, 1\)"),
        (lambda s: fastkl.entropy(s, s[:1], axis=0), ValueError, r"a single column, got \(3, 3\) and \(1, 3\)"),
        (lambda s: fastkl.entropy(s * 1j, axis=1), TypeError, "pk must be real numbers"),
        (
            lambda s: fastkl.entropy(s, np.ma.masked_array(np.eye(3), np.eye(3)), axis=1),
            TypeError,
            "must not be masked",
        ),
        (lambda s: fastkl.entropy(s, np.ones((2, 3, 3)), axis=1), ValueError, "qk must have two axes.*got 3"),
        (lambda s: fastkl.entropy(s, axis=1, pseudocount=-1), ValueError, "pseudocount must be finite and >= 0"),
        (lambda s: fastkl.entropy(s, axis=1, nan_policy="drop"), ValueError, "nan_policy must be"),
        (lambda s: fastkl.entropy(sparse.coo_array([1.0, 2.0])), ValueError, r"two axes if it is sparse, got 1"),
    ],
)
def test_what_is_not_for_sparse_arrays_is_refused(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call(sparse.csr_array(np.eye(3)))


@pytest.mark.parametrize("index", [-1, 3, 10**8])
def test_a_damaged_matrix_is_refused(index):
    matrix = sparse.csr_array(np.array([[1.0, 0.0, 2.0]]))
    matrix.indices[1] = index
    for call in (lambda: fastkl.entropy(matrix, axis=1), lambda: fastkl.cdist(matrix, matrix)):
        with pytest.raises(ValueError, match=f"is damaged: its indices run from .*{index}"):
            call()
