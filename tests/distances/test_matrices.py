"""`cdist` and `pdist`: every entry against 60 digits, laws, and what they say to bad input."""

from __future__ import annotations

import tracemalloc
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.sparse
import scipy.spatial.distance

import fastkl
from fastkl.distances import matrices
from fastkl.distances.pairs import Counts
from fastkl.jit import JIT_DISABLED, progress
from tests.arrays import exact
from tests.distances.patterns import ANSWERS, PATTERNS
from tests.processes import run_python

METRICS = "js", "kl", "reverse_kl", "jeffreys"
SYMMETRIC = "js", "jeffreys"
COMPILED = pytest.mark.skipif(JIT_DISABLED, reason="millions of pairs of numbers take minutes without compiled code")
LN2 = np.log(2.0)


def rng_of(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def exact_matrix(a: Any, b: Any, metric: str) -> Any:
    """The matrix in 60 digits, rounded once."""
    p, q = ([exact.numbers(row) for row in matrix] for matrix in (a, b))
    formulas = {
        "js": exact.jensenshannon,
        "kl": exact.kl,
        "reverse_kl": lambda x, y: exact.kl(y, x),
        "jeffreys": lambda x, y: exact.kl(x, y) + exact.kl(y, x),
    }
    return np.array([[float(formulas[metric](x, y)) for y in q] for x in p])


def pairwise(a: Any, b: Any, metric: str, **options: Any) -> Any:
    """The same by the functions for arrays, in double precision."""
    p, q = np.broadcast_arrays(np.asarray(a, float)[:, None], np.asarray(b, float)[None])
    if metric == "js":
        return fastkl.jensenshannon(p, q, axis=-1, **options)
    if metric == "jeffreys":
        return fastkl.jeffreys(p, q, axis=-1, **options)
    return fastkl.entropy(*((p, q) if metric == "kl" else (q, p)), axis=-1, **options)


def assert_digits(found: Any, expected: Any, rtol: float = 1e-13) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=0.0)
    assert not (found < 0.0).any()


def counts_of(a: Any, b: Any | None, metric: str) -> Counts:
    """How the pairs of a matrix were computed."""
    n = len(a)
    out = np.empty(n * (n - 1) // 2 if b is None else (n, len(b)))
    number = matrices.METRICS[metric]
    return matrices._evaluate(a, b, number, metric, out, None, True, None, 0.0, False)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["f8", "f4"])
@pytest.mark.parametrize("spread", [1.0, 1e-1, 1e-3, 1e-6, 1e-8])
def test_rows_that_differ_by_any_amount(metric: str, kind: str, spread: float) -> None:
    """Rows around one another, with two that are much nearer to each other, have all digits at once."""
    rng = rng_of(1)
    rows = rng.random(200) + 0.5
    a = (rows * (1.0 + spread * (rng.random((9, 200)) - 0.5))).astype(kind)
    b = (rows * (1.0 + spread * (rng.random((8, 200)) - 0.5))).astype(kind)
    b[0] = a[0] * kind_of(a, 1.0 + 1e-3 * spread * (rng.random(200) - 0.5))
    assert_digits(fastkl.cdist(a, b, metric), exact_matrix(a, b, metric))


def kind_of(like: Any, values: Any) -> Any:
    return np.asarray(values, like.dtype)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_zero_patterns(metric: str, kind: str) -> None:
    a, b = (np.array(rows, kind) for rows in PATTERNS)
    expected = exact_matrix(a, b, metric)
    assert_digits(fastkl.cdist(a, b, metric), expected)
    if JIT_DISABLED:
        return
    tiled = [np.repeat(x, 9, axis=0) for x in (a, b)]  # enough rows for sums of all pairs
    assert_digits(fastkl.cdist(*tiled, metric), np.repeat(np.repeat(expected, 9, 0), 9, 1))


@pytest.mark.cold
@pytest.mark.skipif(JIT_DISABLED, reason="compiles for other processors")
@pytest.mark.parametrize("processor", ["haswell", "skylake-avx512"])
def test_zero_patterns_in_code_for_other_processors(processor: str, tmp_path: Any) -> None:
    names = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    try:
        answers = run_python(ANSWERS, **names)
    except AssertionError as failure:
        if "exit code -4" in str(failure):
            pytest.skip(f"this machine cannot run code for {processor}")
        raise
    own = run_python(ANSWERS)
    for found, expected in zip(eval(answers, {"inf": np.inf}), eval(own, {"inf": np.inf}), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-13)


EXTREMES = {
    "subnormal rows": 1e-310,
    "rows of mass 1e-300": 1e-300,
    "rows of mass 1e300": 1e300,
    "rows whose mass overflows": 8e307,
}


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factor", EXTREMES.values(), ids=EXTREMES)
def test_rows_of_any_size(metric: str, factor: float) -> None:
    rng = rng_of(2)
    a, b = rng.random((8, 300)), rng.random((9, 300))
    sizes = np.where(np.arange(8) % 2, factor, 1.0)[:, None]
    assert_digits(fastkl.cdist(a * sizes, b, metric), exact_matrix(a * sizes, b, metric), 2e-13)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
def test_numbers_of_many_sizes_in_a_row(metric: str) -> None:
    rng = rng_of(3)
    a, b = rng.random((20, 300)), rng.random((21, 300))
    a, b = a * np.exp(-700.0 * rng.random(a.shape)), b * np.exp(-745.0 * rng.random(b.shape))
    found, some = fastkl.cdist(a, b, metric), (slice(0, 4), slice(0, 5))
    assert_digits(found[some], exact_matrix(a[:4], b[:5], metric))
    assert_digits(found, pairwise(a, b, metric))
    subnormal = [(x * np.float32(1e-41)).astype("f4") for x in (rng.random((7, 90)), rng.random((8, 90)))]
    assert_digits(fastkl.cdist(*subnormal, metric), exact_matrix(*subnormal, metric))


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "base": {"base": 2},
    "weights": {"weights": np.linspace(0.0, 2.0, 130)},
    "tiny weights": {"weights": np.linspace(0.0, 2e-30, 130)},
    "pseudocount": {"pseudocount": 0.5},
    "log": {"log": True},
    "log, weights": {"log": True, "weights": np.linspace(0.1, 2.0, 130)},
    "not normalised": {"normalize": False},
    "not normalised, weights": {"normalize": False, "weights": np.linspace(1e-30, 2e-30, 130)},
    "not normalised, log": {"normalize": False, "log": True},
}
SHAPES = {"many": (40, 37), "few": (2, 9), "single": (1, 40), "wide apart": (40, 3)}


KINDS = ["f4", "f2", ">f8", "i4", "u1", "?", "columns", "reversed"]


def assert_like_arrays(metric: str, options: dict[str, Any], shape: tuple[int, int], kind: str) -> None:
    """That a matrix of rows of one kind is that of the functions for arrays."""
    if "normalize" in options and metric in SYMMETRIC:
        return
    rng = rng_of(4)
    a, b = (rng.integers(0, 6, (n, 130)) * (1 if kind in ("i4", "u1", "?") else rng.random((n, 130))) for n in shape)
    a[:, 0], b[:, 0] = 1.0, 2.0
    if options.get("log"):
        with np.errstate(divide="ignore"):
            a, b = np.log(a), np.log(b)
    if kind in ("columns", "reversed"):
        a, b = (np.asfortranarray(x) if kind == "columns" else x[::-1, ::-1] for x in (a, b))
    else:
        a, b = a.astype(kind), b.astype(kind)
    expected = pairwise(a, b, metric, **options)
    # a sum that is not normalised may cancel
    rtol = 1e-11 if "normalize" in options else 1e-13
    np.testing.assert_allclose(fastkl.cdist(a, b, metric, **options), expected, rtol=rtol, atol=0.0)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_option_is_that_of_the_functions_for_arrays(
    metric: str, options: dict[str, Any], shape: tuple[int, int]
) -> None:
    assert_like_arrays(metric, options, shape, "f8")


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_and_order_in_memory(metric: str, kind: str) -> None:
    assert_like_arrays(metric, {}, SHAPES["many"], kind)
    assert_like_arrays(metric, OPTIONS["pseudocount"], SHAPES["many"], kind)
    if kind not in ("i4", "u1", "?"):
        assert_like_arrays(metric, OPTIONS["log"], SHAPES["many"], kind)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_rows_that_are_no_distributions(metric: str, kind: str) -> None:
    rng = rng_of(5)
    a, b = rng.random((30, 60)).astype(kind), rng.random((28, 60)).astype(kind)
    a[3], a[5, 2], a[7, 3], a[9, 4], a[11] = 0.0, np.nan, np.inf, -1.0, -a[11]
    b[2], b[4, 4], b[6, 6], b[8, 1] = 0.0, np.nan, -np.inf, -0.5
    np.testing.assert_allclose(fastkl.cdist(a, b, metric), pairwise(a, b, metric), rtol=1e-13)
    if metric in ("kl", "reverse_kl"):
        found = fastkl.cdist(a, b, metric, normalize=False)
        np.testing.assert_allclose(found, pairwise(a, b, metric, normalize=False), rtol=1e-11)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
def test_equal_and_proportional_rows_are_at_distance_0(metric: str) -> None:
    rng = rng_of(6)
    a = rng.random((40, 33))
    assert (np.diag(fastkl.cdist(a, a, metric)) == 0.0).all()
    assert (np.diag(fastkl.cdist(a, 4.0 * a, metric)) == 0.0).all()
    counts = rng.integers(0, 9, (40, 33))
    for factor in (3, 7, 10):
        assert (np.diag(fastkl.cdist(counts, factor * counts, metric)) == 0.0).all()
    assert (fastkl.cdist(a[:, :1], a[:, 1:2], metric) == 0.0).all()


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ([-1.7e308, 1.7e308], {"log": True}),
        ([np.inf, 1.0], {"weights": [0.0, 1.0]}),
        ([1.7e308, 1.7e308], {"weights": [1e5, 3.0]}),
    ],
)
def test_overflow_gives_no_warning(row: list[float], options: dict[str, Any]) -> None:
    assert fastkl.cdist([row], [[2.0, 1.0]], "kl", **options).shape == (1, 1)


def test_a_nan_of_bfloat16_among_logarithms_gives_no_warning() -> None:
    kind = pytest.importorskip("ml_dtypes").bfloat16
    a = np.array([[0.0, np.nan], [1.0, 2.0]]).astype(kind)
    assert np.isnan(fastkl.cdist(a, a, "kl", log=True)).tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("metric", SYMMETRIC)
@pytest.mark.parametrize("n", [0, 1, 2, 11, *([] if JIT_DISABLED else [31, 32, 33, 70])])
def test_the_condensed_form_has_the_upper_triangle(metric: str, n: int) -> None:
    x = rng_of(7, n).random((n, 17))
    square = fastkl.cdist(x, x, metric)
    np.testing.assert_allclose(fastkl.pdist(x, metric), square[np.triu_indices(n, 1)], rtol=2e-13)
    np.testing.assert_allclose(square, square.T, rtol=2e-13)


@COMPILED
@pytest.mark.parametrize("metric", SYMMETRIC)
def test_more_rows_than_a_panel_has(metric: str) -> None:
    x = rng_of(8).random((2100, 3))
    square = fastkl.cdist(x, x[::-1], metric)[:, ::-1]
    np.testing.assert_allclose(fastkl.pdist(x, metric), square[np.triu_indices(2100, 1)], rtol=2e-13)
    some = rng_of(9).integers(0, 2100, (2, 200))
    own = fastkl.jensenshannon if metric == "js" else fastkl.jeffreys
    np.testing.assert_allclose(square[*some], own(x[some[0]], x[some[1]], axis=1), rtol=1e-13)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["f8", "f4", "i4"])
def test_more_columns_than_a_panel_has(metric: str, kind: str) -> None:
    rng = rng_of(10)
    a, b = ((9 * rng.random((40, 30_011)) + 1).astype(kind) for _ in range(2))
    a[1, 29_000] = b[2, 29_500] = b[3, 7] = 0
    assert_digits(fastkl.cdist(a, b, metric), pairwise(a, b, metric))


@COMPILED
def test_laws() -> None:
    rng = rng_of(11)
    x = rng.dirichlet(np.full(20, 0.3), 60)
    for metric in METRICS:
        assert (fastkl.cdist(x, x, metric) >= 0.0).all()  # Gibbs' inequality
    np.testing.assert_allclose(fastkl.cdist(x, x[:9], "kl"), fastkl.cdist(x[:9], x, "reverse_kl").T, rtol=2e-13)
    both = fastkl.cdist(x, x, "kl") + fastkl.cdist(x, x, "reverse_kl")
    np.testing.assert_allclose(fastkl.cdist(x, x, "psi"), both, rtol=1e-12)
    d = fastkl.cdist(x, x)
    assert (d <= np.sqrt(LN2)).all()
    assert (d[:, None, :] <= (d[:, :, None] + d[None, :, :]) * (1 + 1e-12)).all()  # the triangle inequality
    merged = x.reshape(60, 10, 2).sum(axis=2)
    for metric in METRICS:
        fine, coarse = fastkl.cdist(x, x, metric), fastkl.cdist(merged, merged, metric)
        assert (coarse <= fine * (1 + 1e-12)).all()  # merging cells loses information


@COMPILED
def test_nearly_no_pair_is_computed_again() -> None:
    """Random rows have all digits at once, and so have alike ones, as in drift; rows of a group have to be repeated."""
    rng = rng_of(12)
    x, y = rng.random((2, 100, 500))
    shift = rng.random(500) + 0.5
    for metric in METRICS:
        assert counts_of(x, y, metric) == Counts()
        for noise in (0.01, 0.022):  # KL of 1e-4 to 5e-4
            alike, others = (shift * (1.0 + noise * rng.standard_normal((100, 500))) for _ in range(2))
            assert 0.9e-4 < np.median(fastkl.cdist(alike, others, "kl")) < 5.5e-4
            assert counts_of(alike, others, metric) == Counts()
            assert counts_of(alike, alike.copy(), metric) == Counts(again=100)
    groups = np.repeat(rng.random((10, 500)), 10, axis=0) * (1.0 + 1e-3 * rng.standard_normal((100, 500)))
    for metric in METRICS:
        assert counts_of(groups, groups.copy(), metric) == Counts(again=1000)
    assert counts_of(groups, None, "js") == Counts(again=450)


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
def test_bits_do_not_depend_on_threads(metric: str) -> None:
    code = f"""
import numpy as np, fastkl, hashlib
rng = np.random.default_rng(0)
a, b = rng.random((300, 400)), rng.random((310, 400))
a[::7] = b[:43] * (1 + 1e-6 * rng.random((43, 400)))
print(hashlib.sha256(fastkl.cdist(a, b, {metric!r})).hexdigest())
"""
    assert len({run_python(code, NUMBA_NUM_THREADS=n) for n in "12"}) == 1


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["f8", "f4", "i2"])
@pytest.mark.parametrize("shape", [(1200, 900, 700), (40, 33, 100_000)], ids=str)
def test_memory_is_bounded(metric: str, kind: str, shape: tuple[int, int, int]) -> None:
    rng = rng_of(13)
    a, b = ((99 * rng.random((n, shape[2]), "f4") + 1).astype(kind) for n in shape[:2])
    out = np.empty(shape[:2])
    fastkl.cdist(a[:40, :200], b[:40, :200], metric)  # what is compiled or loaded now does not count
    tracemalloc.start()
    try:
        assert fastkl.cdist(a, b, metric, out=out) is out
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@COMPILED
def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    with progress(lambda done, size: seen.append((done, size))):
        fastkl.cdist(rng_of(14).random((40, 50)), rng_of(15).random((40, 50)))
    assert seen
    assert all(0 < done <= size for done, size in seen)


def test_out_and_containers() -> None:
    import pandas as pd

    x = rng_of(16).random((6, 5))
    expected = fastkl.cdist(x, x[:2])
    out = np.empty((6, 2))
    assert fastkl.cdist(x, x[:2], out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(fastkl.cdist(pd.DataFrame(x), pd.DataFrame(x[:2])), expected)
    np.testing.assert_array_equal(fastkl.cdist(x.tolist(), x[:2].tolist(), "JensenShannon"), expected)
    np.testing.assert_array_equal(fastkl.cdist(np.ma.masked_array(x), x[:2]), expected)
    assert fastkl.cdist(x.astype("f4"), x.astype("f4")).dtype == np.float64
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(fastkl.cdist(read_only, x[:2]), expected)


@pytest.mark.parametrize("shape", [((0, 3), (4, 3)), ((4, 3), (0, 3)), ((0, 3), (0, 3))], ids=str)
def test_nothing_gives_what_scipy_gives(shape: Any) -> None:
    a, b = np.ones(shape[0]), np.ones(shape[1])
    found, theirs = fastkl.cdist(a, b), scipy.spatial.distance.cdist(a, b, "jensenshannon")
    assert found.shape == theirs.shape
    np.testing.assert_array_equal(found, theirs)
    assert (fastkl.cdist(np.ones((2, 0)), np.ones((3, 0))) == 0.0).all()  # as for two empty arrays; SciPy: inf
    assert fastkl.pdist(a).shape == scipy.spatial.distance.pdist(a, "jensenshannon").shape


@COMPILED
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("density", [0.005, 0.04, 0.3])
def test_mostly_empty_rows(metric: str, density: float) -> None:
    rng = rng_of(17)
    a, b = ((rng.random((n, 150)) < density) * rng.integers(1, 9, (n, 150)) for n in (40, 33))
    a[:, 0] = b[:, 0] = 1
    a[5] = 0
    expected = pairwise(a, b, metric)
    np.testing.assert_allclose(fastkl.cdist(a, b, metric), expected, rtol=1e-13)
    compressed = scipy.sparse.csr_array(a), scipy.sparse.csr_matrix(b)
    np.testing.assert_allclose(fastkl.cdist(*compressed, metric), expected, rtol=1e-13)
    np.testing.assert_allclose(fastkl.cdist(a, compressed[1], metric), expected, rtol=1e-13)
    with_counts = pairwise(a, b, metric, pseudocount=0.5)
    np.testing.assert_allclose(fastkl.cdist(*compressed, metric, pseudocount=0.5), with_counts, rtol=1e-13)
    if metric in SYMMETRIC:
        upper = pairwise(a, a, metric)[np.triu_indices(40, 1)]
        np.testing.assert_allclose(fastkl.pdist(compressed[0], metric), upper, rtol=1e-13)
        np.testing.assert_allclose(fastkl.pdist(a, metric), upper, rtol=1e-13)


@COMPILED
@pytest.mark.parametrize("metric", SYMMETRIC)
def test_entries_are_compressed_in_bounded_runs_of_rows(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastkl.distances import entries

    rng = rng_of(18)
    a = (rng.random((40, 150)) < 0.05) * rng.integers(1, 9, (40, 150))
    a[:, 0] = 1
    whole, square = fastkl.pdist(a, metric), fastkl.cdist(a, a[:33], metric)
    monkeypatch.setattr(entries, "ENTRIES", 60)
    np.testing.assert_array_equal(fastkl.pdist(a, metric), whole)
    np.testing.assert_array_equal(fastkl.cdist(a, a[:33], metric), square)


A = np.ones((3, 4))
VALUE_ERRORS = {
    "widths": (lambda: fastkl.cdist(A, np.ones((3, 5))), "number of columns | (3, 4) | (3, 5)"),
    "vector": (lambda: fastkl.cdist([1, 2], A), "XA must be a 2-dimensional | (2,) | XA[numpy.newaxis]"),
    "batch": (lambda: fastkl.cdist(A, np.ones((2, 3, 4))), "XB must be | (2, 3, 4) | XB.reshape(-1, 4)"),
    "unknown metric": (lambda: fastkl.cdist(A, A, "euclid"), "'jensenshannon' | 'reverse_kl' | 'psi' | got 'euclid'"),
    "condensed kl": (lambda: fastkl.pdist(A, "KL"), "not symmetric | cdist(X, X, 'kl')"),
    "shape of out": (lambda: fastkl.cdist(A, A, out=np.empty((3, 4))), "(3, 3) | (3, 4)"),
    "type of out": (lambda: fastkl.cdist(A, A, out=np.empty((3, 3), "f4")), "float64 | float32"),
    "order of out": (lambda: fastkl.cdist(A, A, out=np.empty((3, 3), order="F")), "C-contiguous"),
    "shape of condensed out": (lambda: fastkl.pdist(A, out=np.empty(4)), "(3,) | (4,)"),
    "base": (lambda: fastkl.cdist(A, A, base=-1), "base | -1"),
    "js not normalised": (lambda: fastkl.cdist(A, A, normalize=False), "'kl' and 'reverse_kl' | 'jensenshannon'"),
    "length of weights": (lambda: fastkl.cdist(A, A, weights=[1, 2]), "4 columns | (2,)"),
    "negative weight": (lambda: fastkl.cdist(A, A, weights=[1, 2, -3, 1]), "weights | -3.0"),
    "pseudocount of logarithms": (lambda: fastkl.cdist(A, A, pseudocount=1, log=True), "log=True"),
    "negative pseudocount": (lambda: fastkl.cdist(A, A, pseudocount=-1), "pseudocount | -1"),
    "sparse logarithms": (lambda: fastkl.pdist(scipy.sparse.csr_array(A), log=True), "log=True | .toarray()"),
    "negative entry": (lambda: fastkl.cdist(scipy.sparse.csr_array(-A), A), "XA must be finite and >= 0 | -1.0"),
    "negative beside sparse": (lambda: fastkl.cdist(scipy.sparse.csr_array(A), -A), "XB must be finite | -1.0"),
}
TYPE_ERRORS = {
    "metric": (lambda: fastkl.cdist(A, A, len), "metric must be one of | len"),
    "complex": (lambda: fastkl.cdist(A * 1j, A), "XA must be real numbers | complex128"),
    "strings": (lambda: fastkl.pdist([["a", "b"]]), "X must be real numbers | 'a'"),
    "masked": (lambda: fastkl.pdist(np.ma.masked_array(A, A > 0)), "X must not be masked | X.filled(0)"),
    "no array for out": (lambda: fastkl.cdist(A, A, out=[[0.0] * 3] * 3), "out must be a NumPy array of float64"),
    "pseudocount": (lambda: fastkl.cdist(A, A, pseudocount="1"), "pseudocount must be a real number | '1'"),
}


@pytest.mark.parametrize(("call", "parts"), VALUE_ERRORS.values(), ids=VALUE_ERRORS)
def test_value_errors(call: Any, parts: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    assert all(part.strip() in str(error.value) for part in parts.split(" | ")), error.value


@pytest.mark.parametrize(("call", "parts"), TYPE_ERRORS.values(), ids=TYPE_ERRORS)
def test_type_errors(call: Any, parts: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert all(part.strip() in str(error.value) for part in parts.split(" | ")), error.value


def test_a_result_that_is_too_large_is_refused_before_it_is_allocated() -> None:
    rows = np.broadcast_to(np.ones(3), (10_000_000, 3))
    with pytest.raises(MemoryError, match=r"\(10000000, 10000000\) takes 800,000 GB"):
        fastkl.cdist(rows, rows)
    with pytest.raises(MemoryError, match=r"\(49999995000000,\) takes 400,000 GB"):
        fastkl.pdist(rows)


def test_a_base_of_1_or_less_is_as_in_jensenshannon() -> None:
    x = rng_of(19).random((2, 5))
    for base in (1, 0.5):
        np.testing.assert_array_equal(fastkl.cdist(x[:1], x[1:], base=base)[0, 0], fastkl.jensenshannon(*x, base))


def test_the_reference_is_a_reference() -> None:
    assert exact_matrix([[1, 1]], [[1, 3]], "kl")[0, 0] == pytest.approx(0.5 * float(mp.log(mp.mpf(4) / 3)), rel=1e-15)
