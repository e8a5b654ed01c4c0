"""The divergence of rows of logits, as language models make them, against 60 digits: of every type, sign and layout."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED, TILE, tiled
from fastkl.kernels.logarithms import BLOCK
from fastkl.kernels.reductions import load
from tests.arrays import exact

ml_dtypes = pytest.importorskip("ml_dtypes")

BFLOAT = np.dtype(ml_dtypes.bfloat16)
KINDS = [np.dtype("f2"), BFLOAT, np.dtype("f4"), np.dtype("f8")]
LENGTHS = (9,) if JIT_DISABLED else (9, BLOCK + 1, 3 * BLOCK)
WHOLE = 151_936
"""Number of tokens of a language model."""

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="long rows take minutes without compiled code")


def kl(a: Any, b: Any, **settings: Any) -> Any:
    """The divergence in double precision; of the numbers as they are, since every type is one of doubles."""
    return fastkl.entropy(a.astype(float), b.astype(float), log=True, axis=-1, **settings)


def truth(a: Any, b: Any) -> mp.mpf:
    return exact.kl_of_logs(exact.numbers(a), exact.numbers(b))


def next_to(x: Any) -> Any:
    """The number after x, of the same type."""
    bits = x.view(f"i{x.itemsize}") + (1 if x > 0 else -1)
    return bits.astype(f"i{x.itemsize}").view(x.dtype)


def logits(rng: np.random.Generator, n: int, kind: Any = "f8", peaks: int = 2) -> Any:
    """Logits with a few tokens that stand out."""
    a = rng.normal(0.0, 3.0, n)
    a[rng.integers(0, n, peaks)] += rng.uniform(5.0, 25.0, peaks)
    return a.astype(kind)


def pairs(rng: np.random.Generator, n: int, kind: Any) -> dict[str, tuple[Any, Any]]:
    a = logits(rng, n, kind)
    noise = rng.standard_normal(n)
    found = {
        "unrelated": (a, logits(rng, n, kind)),
        "noise": (a, (a.astype(float) + 0.1 * noise).astype(kind)),
        "little noise": (a, (a.astype(float) * (1.0 + 1e-3 * noise)).astype(kind)),
        "sharper": (a, (a.astype(float) * 1.3).astype(kind)),
        "one-sided": (a, (a.astype(float) + np.where(a > a.mean(), 0.5, 0.0)).astype(kind)),
        "flat": (np.zeros(n, kind), logits(rng, n, kind)),
        "rising": (np.sort(a), a),
        "shifted by rounded numbers": (a, (a.astype(float) + 7.3).astype(kind)),
    }
    for name, j in (("one", n // 2), ("the largest", int(a.argmax())), ("the first", 0), ("the smallest", a.argmin())):
        b = a.copy()
        b[j] = next_to(a[j])
        found[f"{name} differs by one last place"] = a, b
    return found


@every_kind
@pytest.mark.parametrize("n", LENGTHS)
def test_all_digits(kind: Any, n: int) -> None:
    for name, (a, b) in pairs(np.random.default_rng(n), n, kind).items():
        expected = truth(a, b)
        value = kl(a, b)
        assert abs(mp.mpf(float(value)) - expected) <= 1e-13 * expected, (name, value, mp.nstr(expected, 20))
        assert value >= 0.0
        if kind != np.float64:
            single = fastkl.entropy(a, b, log=True, axis=-1)
            assert single.dtype == np.float32
            np.testing.assert_allclose(single, np.float32(value), rtol=2.0**-23)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("constant", [0.0, 0.5, -1e4, 1e8])
def test_doubles_that_differ_by_1e_8(n: int, constant: float) -> None:
    rng = np.random.default_rng(n)
    a = logits(rng, n)
    b = a + constant + 1e-8 * rng.standard_normal(n)
    expected = truth(a, b)
    assert abs(mp.mpf(float(kl(a, b))) - expected) <= 1e-13 * expected
    assert abs(mp.mpf(float(kl(b, a))) - truth(b, a)) <= 1e-13 * expected


@every_kind
def test_identical_rows_and_rows_that_differ_by_a_constant(kind: Any) -> None:
    rng = np.random.default_rng(3)
    for n in (*LENGTHS, *(() if JIT_DISABLED else (TILE + 5, 3 * TILE))):
        a = logits(rng, n, kind)
        assert kl(a, a.copy()) == 0.0
        a = rng.integers(-40, 40, n).astype(kind)  # whole numbers, whose sums with the constant are exact in any type
        for constant in (32.0, -48.0):
            value = fastkl.entropy(a, (a.astype(float) + constant).astype(kind), log=True, axis=-1)
            assert value == 0.0
            assert not np.signbit(value)


def test_a_constant_that_is_rounded_leaves_the_divergence_of_the_rounded_numbers() -> None:
    a = logits(np.random.default_rng(4), 50)
    b = a + 12345.6
    expected = truth(a, b)
    assert 0.0 < expected < 1e-22
    assert abs(mp.mpf(float(kl(a, b))) - expected) <= 1e-13 * expected


@pytest.mark.parametrize("n", LENGTHS)
def test_far_logarithms(n: int) -> None:
    rng = np.random.default_rng(n)
    wide = rng.uniform(-65504.0, 65504.0, n).astype("f2")
    edges = np.resize(np.array([65504.0, -65504.0, 0.0, 1.0], "f2"), n)
    swapped = edges.copy()
    swapped[: n // 2] = edges[: n // 2][::-1]
    late = np.full(n, -1e4)
    late[-1] = 1e4
    early = late[::-1].copy()
    spread = rng.normal(size=(2, n))
    spread[0, -1], spread[1, 0], spread[1, -2] = 206.0, 177.0, 193.0  # q above the range where p is in it
    half = np.where(np.arange(n) < n // 2, -60.0, 60.0) + rng.normal(size=n)
    for a, b in (
        (wide, rng.permutation(wide)),
        (edges, swapped),
        (late, early),
        (early, late),
        (late, late + 0.1 * rng.normal(size=n)),
        (half, half[::-1].copy()),
        (300.0 * half, 290.0 * half),
        (spread[0], spread[1]),
        (spread[1], spread[0]),
        (1e4 * rng.normal(size=n), 1e4 * rng.normal(size=n)),
    ):
        expected = truth(a, b)
        assert abs(mp.mpf(float(kl(a, b))) - expected) <= 1e-13 * expected + 1e-55, (a, b)  # the reference cancels


STEPS = (10.0, 150.0, 199.0, 201.0, 400.0, 700.0, 800.0, 2000.0, 30000.0)


def landscape(rng: np.random.Generator, n: int) -> Any:
    """Logits with a few plateaus, at the heights where scales have to be changed."""
    a = rng.choice([0.1, 3.0, 50.0, 1000.0]) * rng.standard_normal(n)
    for _ in range(rng.integers(0, 4)):
        i, j = sorted(rng.integers(0, n, 2))
        a[i : j + 1] += rng.choice([-1.0, 1.0]) * rng.choice(STEPS)
    return a


@pytest.mark.parametrize("seed", range(4))
def test_steps_of_any_height(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 9 if JIT_DISABLED else 2 * BLOCK + 6
    for _ in range(20):
        a = landscape(rng, n)
        b = landscape(rng, n) if rng.random() < 0.5 else a + 10.0 ** rng.uniform(-6.0, 1.0) * rng.normal(size=n)
        i, j = sorted(rng.integers(0, n, 2))
        a[i:j] = b[i:j] = -math.inf
        expected = truth(a, b)
        # the last place of an offset of 3e4 moves the ratio of the masses by 1e-12, and the divergence by its square
        assert abs(mp.mpf(float(kl(a, b))) - expected) <= 1e-13 * expected + 1e-38


@every_kind
@pytest.mark.parametrize("n", LENGTHS)
def test_masked_tokens(kind: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    a = logits(rng, n, kind)
    b = (a.astype(float) + 0.1 * rng.standard_normal(n)).astype(kind)
    first, last, some = np.arange(n) < n // 3, np.arange(n) > n // 2, rng.random(n) < 0.3
    for masked in (first, last, some, ~(np.arange(n) == n - 2)):
        p, q = a.copy(), b.copy()
        p[masked] = q[masked] = -math.inf
        left = truth(p[~masked], q[~masked])
        limit = 1e-13 * left
        assert abs(mp.mpf(float(kl(p, q))) - left) <= limit
        assert kl(p, p) == 0.0
        # what p alone has masked counts for the mass of q alone
        assert abs(mp.mpf(float(kl(p, b))) - truth(p, b)) <= 1e-13 * truth(p, b)
        assert kl(b, p) == math.inf
        lowest = p.copy()
        lowest[masked] = np.finfo("f4").min if kind.itemsize > 2 or kind == BFLOAT else -65504.0
        assert abs(mp.mpf(float(kl(lowest, q))) - left) <= limit or kl(lowest, q) == math.inf
        assert kl(lowest, lowest) == 0.0


@pytest.mark.parametrize("level", [0.0, -5000.0, 5000.0])
@pytest.mark.parametrize("n", LENGTHS)
def test_the_first_block_may_have_no_p_or_no_q(level: float, n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = level + rng.normal(size=n), 2.0 * level + rng.normal(size=n)
    masked = np.where(np.arange(n) < n - 3, -math.inf, a)
    expected = truth(masked, b)
    assert abs(mp.mpf(float(kl(masked, b))) - expected) <= 1e-13 * expected
    assert kl(b, masked) == math.inf


@every_kind
@pytest.mark.parametrize("n", [20] if JIT_DISABLED else [20, 3 * TILE + 5])
def test_rows_without_a_value_leave_the_others_alone(kind: Any, n: int) -> None:
    rng = np.random.default_rng(5)
    a, b = (np.stack([logits(rng, n, kind) for _ in range(9)]) for _ in range(2))
    expected = fastkl.entropy(a, b, log=True, axis=-1)
    a[1], b[2] = -math.inf, -math.inf
    a[3, 4], b[4, n // 2] = math.nan, math.nan
    a[5, 6], b[6, n - 7] = math.inf, math.inf
    b[7, 3] = -math.inf
    value = fastkl.entropy(a, b, log=True, axis=-1)
    assert np.isnan(value[1:7]).all()
    assert value[7] == math.inf
    np.testing.assert_array_equal(value[[0, 8]], expected[[0, 8]])
    assert (value[[0, 8]] > 0.0).all()


def test_one_logarithm_is_no_distance_from_another() -> None:
    a, b = np.array([[2.0**60], [1.0], [math.nan], [1.0]]), np.array([[0.3], [1e-9], [1.0], [-math.inf]])
    np.testing.assert_array_equal(fastkl.entropy(a, b, log=True, axis=1), [0.0, 0.0, math.nan, math.nan])


@every_kind
@pytest.mark.parametrize("n", [9] if JIT_DISABLED else [9, 700])
def test_a_nan_among_logarithms_makes_its_row_nan(kind: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = (np.stack([logits(rng, n, kind) for _ in range(3)]) for _ in range(2))
    a[1, n // 2] = b[2, n - 1] = math.nan
    of_a, of_both = [False, True, False], [False, True, True]
    assert np.isnan(fastkl.entropy(a, log=True, axis=-1)).tolist() == of_a
    assert np.isnan(fastkl.entropy(a, log=True, axis=-1, normalize=False)).tolist() == of_a
    assert np.isnan(fastkl.entropy(a.T, log=True, axis=0)).tolist() == of_a
    for measure in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
        assert np.isnan(measure(a, b, log=True, axis=-1)).tolist() == of_both
    with pytest.raises(ValueError, match="contains nan values"):
        fastkl.entropy(a, log=True, axis=-1, nan_policy="raise")


def unaligned(a: Any) -> Any:
    room = np.zeros(a.nbytes + 1, np.uint8)
    view = room[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


VIEWS = {
    "unaligned": unaligned,
    "Fortran order": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "three axes": lambda a: a.reshape(len(a), 2, -1),
    "three axes, mixed": lambda a: a.reshape(len(a), 2, -1).transpose(0, 2, 1).copy().transpose(0, 2, 1),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()) if a.dtype != BFLOAT else a,
    "doubles": lambda a: a.astype(float),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@every_kind
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_same_numbers_in_other_memory(kind: Any, view: Any) -> None:
    rng = np.random.default_rng(6)
    n = 12 if JIT_DISABLED else 2 * BLOCK + 10
    a, b = (np.stack([logits(rng, n, kind) for _ in range(3)]) for _ in range(2))
    expected = kl(a, b)
    axes = tuple(range(1, view(a).ndim))
    limit = 1e-14 if kind == np.float64 else 2.0**-23
    for p, q in ((view(a), view(b)), (a.reshape(view(a).shape), view(b))):
        np.testing.assert_allclose(fastkl.entropy(p, q, log=True, axis=axes), expected, rtol=limit)


def test_weights_stand_for_repeated_numbers_and_0_leaves_one_out() -> None:
    rng = np.random.default_rng(7)
    a, b = logits(rng, 40), logits(rng, 40)
    w = rng.integers(0, 4, 40).astype(float)
    repeated = [np.repeat(x, w.astype(int)) for x in (a, b)]
    assert kl(a, b, weights=w) == pytest.approx(float(kl(*repeated)), rel=1e-14)
    a[w == 0.0] = math.nan
    b[w == 0.0] = -math.inf
    assert kl(a, b, weights=w) == pytest.approx(float(kl(*repeated)), rel=1e-14)


@needs_jit
@every_kind
def test_the_bits_of_a_row_depend_on_no_other_row(kind: Any) -> None:
    rng = np.random.default_rng(8)
    n = 3 * TILE + 77
    a, b = (np.stack([logits(rng, n, kind) for _ in range(4)]) for _ in range(2))
    whole = fastkl.entropy(a, b, log=True, axis=-1)
    for i in range(4):
        assert fastkl.entropy(a[i], b[i], log=True, axis=-1).tobytes() == whole[i].tobytes()
    assert fastkl.entropy(a[::-1], b[::-1], log=True, axis=-1)[::-1].tobytes() == whole.tobytes()


@needs_jit
@pytest.mark.study
@pytest.mark.parametrize("scale", [0.1, 1e-3, 1e-7])
def test_a_row_of_all_tokens(scale: float) -> None:
    rng = np.random.default_rng(9)
    a = logits(rng, WHOLE, "f4", peaks=30)
    b = a + (scale * rng.standard_normal(WHOLE)).astype("f4")
    expected = truth(a, b)
    assert abs(mp.mpf(float(kl(a, b))) - expected) <= 1e-13 * expected


@needs_jit
def test_pieces_of_a_row_with_masses_of_any_size() -> None:
    rng = np.random.default_rng(10)
    n = 3 * TILE
    a, b = rng.normal(size=n), rng.normal(size=n)
    # a piece without p, one without q but for a number, and masses that are far apart
    a[:TILE] = -math.inf
    b[TILE : 2 * TILE] += 800.0
    a[2 * TILE :] += 900.0
    few = np.r_[0:TILE:997, TILE : 2 * TILE : 997, 2 * TILE : n : 997]
    p, q = np.full(n, -math.inf), np.full(n, -math.inf)
    p[few], q[few] = a[few], b[few]
    expected = truth(a[few], b[few])
    assert abs(mp.mpf(float(kl(p, q))) - expected) <= 1e-13 * expected
    assert kl(p, p) == 0.0
    assert math.isnan(kl(p, np.full(n, -math.inf)))


@needs_jit
@every_kind
def test_a_mapped_file_is_read_where_it_lies(kind: Any, tmp_path: Path) -> None:
    rows = 40
    rng = np.random.default_rng(11)
    row = logits(rng, WHOLE, kind)
    maps = []
    for name in ("p", "q"):
        mapped = np.memmap(tmp_path / name, kind, "w+", shape=(rows, WHOLE))  # ten times the limit in half precision
        mapped[:] = row
        row = (row.astype(float) + 0.1 * rng.standard_normal(WHOLE)).astype(kind)
        maps.append(mapped)
    for a, b in (maps, (maps[0].T, maps[1].T)):
        axis = -1 if a is maps[0] else 0
        expected = fastkl.entropy(a, b, log=True, axis=axis)  # what is compiled or loaded now does not count
        tracemalloc.start()
        value = fastkl.entropy(a, b, log=True, axis=axis)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < maps[0].nbytes / 10
        np.testing.assert_array_equal(value, expected)
        assert (value == value[0]).all()


@tiled(outputs=0)
def _load_all(partial: Any, start: Any, stop: Any, function: Any, address: Any, step: Any, out: Any) -> None:
    load(function, address, step, out)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
@pytest.mark.parametrize("step", [2, 4])
def test_every_number_of_two_bytes_is_loaded_as_it_is(kind: Any, step: int) -> None:
    from fastkl.arrays.rows import LOADERS

    values = np.arange(0, 2**16, 97 if JIT_DISABLED else 1, dtype=np.uint16)
    room = np.zeros((values.size, step // 2), np.uint16)
    room[:, 0] = values
    out = np.empty(values.size)
    _load_all(1, LOADERS[kind.name].address, room.ctypes.data, step, out)
    with np.errstate(invalid="ignore"):
        expected = values.view(kind).astype(float)
    np.testing.assert_array_equal(out, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(out[number]), np.signbit(expected[number]))
