"""Kernels run from forked processes and from many Python threads at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED
from fastkl.jit.driver import Pace
from fastkl.kernels.sums import kl_sums
from tests.processes import run_python

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
on_every_layer = pytest.mark.parametrize("layer", ["default", "workqueue"])

VALUE = """
import numpy as np
from fastkl.kernels.sums import kl_sums

rng = np.random.default_rng(7)
p, q = rng.random(300_000), rng.random(300_000)

def value(_=None):
    return kl_sums.total(p.size, p, q).tobytes()
"""

FORK = """
import os, signal

in_parent = value()
child = os.fork()
if child == 0:
    signal.alarm(20)  # a child that hangs ends all the same
    os._exit(0 if value() == in_parent else 1)
_, status = os.waitpid(child, 0)
assert value() == in_parent
print(status)
"""

POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

in_parent = value()
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    print(len({in_parent, *pool.map(value, range(8))}))
"""

THREADS = """
import threading
from concurrent.futures import ThreadPoolExecutor

together = threading.Barrier(8)

def many_values(_):
    together.wait()
    return {value() for _ in range(50)}

with ThreadPoolExecutor(8) as pool:
    seen = set().union(*pool.map(many_values, range(8)))
print(len(seen | {value()}))
"""


@needs_fork
@on_every_layer
def test_a_forked_child_computes_the_same_and_exits(layer: str) -> None:
    status = run_python(VALUE + FORK, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert int(status) == 0


@needs_fork
@on_every_layer
def test_a_pool_of_forked_workers_computes_the_same(layer: str) -> None:
    different = run_python(VALUE + POOL, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert int(different) == 1


@on_every_layer
def test_eight_threads_at_once_get_the_same_bits(layer: str) -> None:
    different = run_python(VALUE + THREADS, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert int(different) == 1


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that launch the parallel driver of kl_sums, one entry for each launch."""
    parallel, seen = kl_sums.parallel, []

    def noted(*launch: Any) -> None:
        seen.append(threading.current_thread())
        parallel(*launch)

    monkeypatch.setattr(kl_sums, "parallel", noted)
    monkeypatch.setattr(kl_sums, "_pace", Pace())  # which begins in threads
    return seen


def sums() -> Any:
    p = np.linspace(1.0, 2.0, 100_000)
    return kl_sums(p.size, p, p[::-1].copy())


def sums_in_another_thread() -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(sums).result()


def test_threads_that_follow_each_other_all_launch_in_parallel(launches: list[threading.Thread]) -> None:
    for compute in (sums, sums_in_another_thread, sums, sums_in_another_thread):
        compute()
    assert len(launches) == 4
    assert len(set(launches)) == 3


def test_a_failed_launch_gives_the_turn_back(launches: list[threading.Thread], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*launch: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(kl_sums, "parallel", fail)
        with pytest.raises(MemoryError):
            sums()
    sums_in_another_thread()
    assert len(launches) == 1


def test_a_thread_that_finds_a_launch_in_flight_neither_waits_nor_joins_it(
    launches: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    parallel, meanwhile = kl_sums.parallel, []

    def visited(*launch: Any) -> None:
        meanwhile.append(sums_in_another_thread())
        parallel(*launch)

    monkeypatch.setattr(kl_sums, "parallel", visited)
    assert (sums() == meanwhile[0]).all()
    assert launches == [threading.current_thread()]


def test_the_pace_follows_the_faster_way() -> None:
    pace, ways = Pace(), []
    for seconds in ({True: 1e-3, False: 2e-3}, {True: 3e-3, False: 2e-3}, {True: 1e-3, False: 2e-3}):
        for _ in range(1000):
            way = pace.in_threads()
            pace.note(way, seconds[way], 100)
            ways.append(way)
    shares = np.reshape(ways, (3, 1000))[:, 500:].mean(axis=1)  # when it has noticed
    assert shares[0] > 0.9
    assert shares[1] < 0.1
    assert shares[2] > 0.9
