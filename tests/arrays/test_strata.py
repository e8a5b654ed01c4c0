"""Arrays as people have them, against 60 digits: empty bins, counts, tails, subnormal numbers, and any masses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED
from tests.arrays import exact
from tests.arrays.strata import STRATA, Stratum

N = 9 if JIT_DISABLED else 257
KINDS_OF_DATA = STRATA[::8] if JIT_DISABLED else STRATA  # plain Python takes a thousand times as long

Call = Callable[[Any, Any], Any]

every_stratum = pytest.mark.parametrize("stratum", KINDS_OF_DATA, ids=lambda stratum: stratum.name)
both_kinds = pytest.mark.parametrize("kind", ["f8", "f4"])

EXACT: dict[str, Call] = {
    "entropy of both": exact.kl,
    "entropy of p": lambda p, q: exact.entropy(p),
    "jensenshannon": exact.jensenshannon,
    "jeffreys": lambda p, q: exact.kl(p, q) + exact.kl(q, p),
}


def call(name: str, p: Any, q: Any, **settings: Any) -> Any:
    if name == "entropy of p":
        return fastkl.entropy(p, **settings)
    return getattr(fastkl, "entropy" if name == "entropy of both" else name)(p, q, **settings)


def in_every_layout(name: str, p: Any, q: Any) -> dict[str, Any]:
    """The value of vectors that lie in memory in different ways, and beside other rows."""
    with np.errstate(all="ignore"):
        logs = np.log(p.astype(float)), np.log(q.astype(float))
    rows, columns = ([np.stack([a, a]) for a in (p, q)], [np.stack([a] * 70, axis=1) for a in (p, q)])
    strided, reverse = (np.repeat(a, 2)[::2] for a in (p, q)), (a[::-1].copy()[::-1] for a in (p, q))
    w = np.ones(p.size)
    return {
        "vector": call(name, p, q),
        "rows": call(name, *rows, axis=1)[1],
        "columns": call(name, *columns)[3],
        "strided": call(name, *strided),
        "reversed": call(name, *reverse),
        "weights": call(name, p, q, weights=w),
        "weights of columns": call(name, *columns, weights=w[:, None])[69],
        "log": call(name, *logs, log=True),
    }


def assert_exact(value: Any, truth: mp.mpf, name: str, kind: str, label: str) -> None:
    if mp.isinf(truth):
        assert value == math.inf, label
        return
    # in single precision the result is rounded once
    limit = mp.mpf(1e-13) if kind == "f8" else mp.mpf(2) ** -24 * mp.mpf(1.001)
    # numbers below lose digits by themselves; a distance is the root of one
    least = np.finfo(kind).tiny / (1e-15 if kind == "f8" else 1e-6)
    if name == "jensenshannon" and kind == "f8":
        least = math.sqrt(least)
    assert abs(mp.mpf(float(value)) - truth) <= limit * abs(truth) + least, (label, value, mp.nstr(truth, 20))


@every_stratum
@both_kinds
@pytest.mark.parametrize("name", EXACT)
def test_every_kind_of_data_in_every_layout(stratum: Stratum, kind: str, name: str) -> None:
    p, q = stratum.pair((N,), kind, seed=1)
    truth = EXACT[name](exact.numbers(p), exact.numbers(q))
    for layout, value in in_every_layout(name, p, q).items():
        if layout != "log":  # logarithms are rounded themselves
            assert_exact(value, truth, name, kind, layout)
        elif math.isfinite(truth):
            # an ulp of a logarithm of 700 moves a ratio by 1e-13, and the term where p and q are close by its root
            assert value == pytest.approx(float(truth), rel=1e-6 if kind == "f4" else 1e-9, abs=1e-12)


@every_stratum
@both_kinds
@pytest.mark.parametrize("name", ["rel_entr", "kl_div", "entr"])
def test_elements_of_every_kind_of_data(stratum: Stratum, kind: str, name: str) -> None:
    p, q = stratum.pair((N,), kind, seed=2)
    values = fastkl.entr(p) if name == "entr" else getattr(fastkl, name)(p, q)
    for x, y, value in zip(*map(exact.numbers, (p, q)), values, strict=True):
        if name == "entr":
            truth = -x * mp.log(x) if x else mp.mpf(0)
        elif y == 0 < x:
            truth = mp.inf
        else:
            truth = (x * mp.log(x / y) if x else mp.mpf(0)) + (y - x if name == "kl_div" else 0)
        nearest = float(truth) if kind == "f8" else np.float32(float(truth))
        ulp = np.spacing(abs(np.dtype(kind).type(nearest))) if math.isfinite(nearest) else 1.0
        assert value == nearest or abs(mp.mpf(float(value)) - truth) <= 4 * mp.mpf(float(ulp))


@pytest.mark.skipif(JIT_DISABLED, reason="large arrays have kernels of their own in compiled code alone")
@every_stratum
@both_kinds
def test_a_slice_of_the_elements_is_the_elements_of_the_slice(stratum: Stratum, kind: str) -> None:
    p, q = stratum.pair((2**16 + 100,), kind, seed=3)
    for function, arrays in ((fastkl.rel_entr, (p, q)), (fastkl.kl_div, (p, q)), (fastkl.entr, (p,))):
        whole, part = function(*arrays), function(*(a[1000:3000] for a in arrays))
        assert whole[1000:3000].tobytes() == part.tobytes()


def scaled(rng: np.random.Generator, values: Any) -> Any:
    """*values* times a power of two that keeps all of them normal."""
    used = np.frexp(values[values > 0.0])[1]
    info = np.finfo(values.dtype)
    return np.ldexp(values, rng.integers(info.minexp + 1 - used.min(), info.maxexp - used.max()))


@every_stratum
@both_kinds
@pytest.mark.parametrize("name", EXACT)
def test_powers_of_two_change_nothing(stratum: Stratum, kind: str, name: str) -> None:
    if stratum.subnormal:
        kind = "f8"
    rng = np.random.default_rng(4)
    p, q = stratum.pair((N,), kind, seed=5)
    if stratum.subnormal:
        p, q = np.ldexp(p, 300), np.ldexp(q, 300)
    p[p < np.finfo(kind).tiny], q[q < np.finfo(kind).tiny] = 0.0, 0.0
    expected = call(name, p, q)
    for _ in range(1 if JIT_DISABLED else 4):
        a, b = scaled(rng, p), scaled(rng, q)
        for layout, value in in_every_layout(name, a, b).items():
            if layout != "log":
                np.testing.assert_allclose(value, expected, rtol=1e-13 if kind == "f8" else 1e-7, err_msg=layout)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("near", [False, True])
def test_any_masses(name: str, near: bool) -> None:
    rng = np.random.default_rng(6)
    for exponents in [(0, -100), (-200, 200), (-290, 290), (290, -290), (0, 16), (0, -17), (-290, -290), (290, 290)]:
        p = rng.random(N)
        q = p * (1.0 + 1e-7 * rng.standard_normal(N)) if near else rng.random(N)
        p, q = p * 10.0 ** exponents[0], q * 10.0 ** exponents[1]
        truth = EXACT[name](exact.numbers(p), exact.numbers(q))
        for layout, value in in_every_layout(name, p, q).items():
            # the ulp of a logarithm of 668 is 1.1e-13
            rel = 1e-13 if layout != "log" else 3e-5 if near else 1e-12
            assert abs(mp.mpf(float(value)) - truth) <= rel * truth, (exponents, layout, value, truth)


@pytest.mark.parametrize("name", EXACT)
def test_weights_of_any_size(name: str) -> None:
    rng = np.random.default_rng(7)
    for exponent in (-300, -150, 0, 150, 290):
        p, q, w = rng.random(30), rng.random(30), rng.random(30) * 10.0**exponent
        weights = exact.numbers(w)
        a, b = exact.numbers(p), exact.numbers(q)
        truth = {
            "entropy of both": lambda: exact.kl(a, b, weights),  # noqa: B023  # called at once
            "entropy of p": lambda: exact.entropy(a, weights),  # noqa: B023
            "jensenshannon": lambda: exact.jensenshannon(a, b, weights),  # noqa: B023
            "jeffreys": lambda: exact.kl(a, b, weights) + exact.kl(b, a, weights),  # noqa: B023
        }[name]()
        value = call(name, p, q, weights=w)
        assert abs(mp.mpf(float(value)) - truth) <= 1e-13 * abs(truth), (exponent, value, truth)


@pytest.mark.study
@both_kinds
def test_one_number_is_no_distance_from_another(kind: str) -> None:
    rng = np.random.default_rng(8)
    info = np.finfo(kind)
    sizes = [1.0, info.tiny, info.smallest_subnormal, info.max, *(2.0 ** rng.uniform(-120, 120, 20))]
    for a, b in itertools.product(np.array(sizes[: 4 if JIT_DISABLED else None], kind)[:, None], repeat=2):
        for name in EXACT:
            for layout, value in in_every_layout(name, a, b).items():
                assert value == 0.0, (name, layout, a, b)


SPECIAL = [0.0, 5e-324, 1e-310, 1e-160, 1.0, 3.0, 1e160, 1e308]


@pytest.mark.study
@pytest.mark.parametrize("name", ["entropy of both", "entropy of p", "jensenshannon"])
def test_pairs_of_special_numbers_in_every_layout(name: str) -> None:
    rng = np.random.default_rng(9)
    pairs = list(itertools.product(SPECIAL, repeat=4))
    chosen = rng.choice(len(pairs), 8 if JIT_DISABLED else 800, replace=False)
    for a, b, c, d in (pairs[k] for k in chosen):
        p, q = np.array([a, b]), np.array([c, d])
        undefined = not p.any() or (not q.any() and name != "entropy of p")
        truth = None if undefined else EXACT[name](exact.numbers(p), exact.numbers(q))
        for layout, value in in_every_layout(name, p, q).items():
            if truth is None:
                assert math.isnan(value), (name, layout, p, q)
            elif layout == "log":  # logarithms are rounded themselves
                assert value >= 0.0
            elif truth > (1e-20 if name == "jensenshannon" else 1e-40):
                assert_exact(value, truth, name, "f8", f"{layout} {p} {q}")
            else:  # the ratio of the masses is rounded: 1e-16, whose square is what two equal distributions differ by
                assert value <= (1e-15 if name == "jensenshannon" else 1e-30)
