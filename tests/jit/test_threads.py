"""Kernels run from forked processes and from many Python threads at once."""

from __future__ import annotations

import os

import pytest

from fastkl.jit import JIT_DISABLED
from tests.jit.processes import run_python

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
