"""Nothing is copied whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED

MEBIBYTE = 2**20
LIMIT = 8 * MEBIBYTE
N = 4_000_000
"""32 MB: a single copy in single precision would be twice the limit. The study for 10**8 is ``bench.memory``."""

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="millions of numbers take minutes without compiled code")


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    rng = np.random.default_rng(15)
    return rng.random(N), rng.random(N)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda a: a,
    "strided": lambda a: a[::2],
    "reversed": lambda a: a[::-1],
    "rows": lambda a: a.reshape(2000, 2000),
    "columns": lambda a: a.reshape(2000, 2000).T,
    "short rows": lambda a: a.reshape(-1, 5).T,
    "three axes": lambda a: a.reshape(100, 200, 200).transpose(1, 0, 2),
    "byte-swapped": lambda a: a.view(">f8"),
}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "entropy": fastkl.entropy,
    "entropy of one": lambda p, q: fastkl.entropy(p),
    "jensenshannon": fastkl.jensenshannon,
    "logarithms": lambda p, q: fastkl.entropy(p, q, log=True),
    "no normalising": lambda p, q: fastkl.entropy(p, q, normalize=False),
    "last axis": lambda p, q: fastkl.entropy(p, q, axis=-1),
    "everything": lambda p, q: fastkl.entropy(p, q, axis=None),
    "omit": lambda p, q: fastkl.entropy(p, q, nan_policy="omit"),
}


def peak(call: Callable[[], Any]) -> int:
    """Bytes that were in use at once, above the result's own."""
    result = call()  # what is compiled or loaded now does not count
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] - np.asarray(result).nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_view_is_copied(pair: tuple[Any, Any], view: Callable[[Any], Any], call: Callable[[Any, Any], Any]) -> None:
    p, q = (view(a) for a in pair)
    with np.errstate(all="ignore"):
        # a result for each of many short rows is as large as it is; it is divided by the unit and converted
        results = np.asarray(call(p, q)).nbytes
        assert peak(lambda: call(p, q)) < LIMIT + 2 * results


def test_nothing_of_the_broadcast_size_is_made() -> None:
    rng = np.random.default_rng(16)
    p, q = rng.random((200, 400)), rng.random((150, 400))  # 12 million pairs
    assert peak(lambda: fastkl.entropy(p[:, None, :], q[None, :, :], axis=2)) < LIMIT
    assert peak(lambda: fastkl.jensenshannon(p[:, None, :], q[None, :, :], axis=2)) < LIMIT


def test_elements_need_their_result_alone(pair: tuple[Any, Any]) -> None:
    out = np.empty(N)
    for function in (fastkl.rel_entr, fastkl.kl_div):
        assert peak(lambda function=function: function(*pair, out=out)) < MEBIBYTE
