"""Ctrl-C is heard within 0.2 s, and leaves the kernels as they were.

Seconds are those that the processor works for this process: on a busy machine they are the same.
"""

from __future__ import annotations

import os
import time

import numba
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED, TILE, progress
from fastkl.jit.driver import FIRST_SPAN_POINTS, SPAN_GROWTH, SPAN_SECONDS, next_span
from tests.processes import run_python

PATIENCE = 0.2
"""Seconds that each thread may work until a signal is heard."""

needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")
needs_signals = pytest.mark.skipif(os.name != "posix", reason="needs signals between processes")

INTERRUPTIONS = """
import os, signal, threading, time
import numba
import fastkl

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job begins without
p = fastkl.Mixture([fastkl.Normal(-2.0 + 0.1 * i, 1.5 + 0.01 * i) for i in range(40)])
q = fastkl.Normal(0.0, 3.0)

def seconds_until_heard(after):
    sent = []

    def send():
        time.sleep(after)
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    try:
        thread.start()
        fastkl.kl_divergence(p, q, fastkl.Grid.uniform(-20, 20, 10**9))
    except KeyboardInterrupt:
        return (time.process_time() - sent[0]) / numba.get_num_threads()
    finally:
        thread.join()
    raise AssertionError("the divergence was computed to its end")

fastkl.kl_divergence(p, q, fastkl.Grid.uniform(-20, 20, 1000))
fastkl.kl_divergence(p, q, fastkl.Grid.uniform(-20, 20, 10**6))
print(seconds_until_heard(AFTER))
"""

MANY_INTERRUPTIONS = """
import random, signal
import numpy as np
from fastkl.kernels.sums import kl_sums

size = 70_000
p = np.linspace(1.0, 2.0, size)
kl_sums(size, p, p)
# these compile: Numba minds interrupts
kl_sums.serial(np.zeros((9, kl_sums.outputs)), 0, 9, size, 8192, 0, (p, p))
kl_sums.tile_function(np.zeros(kl_sums.outputs), 0, 9, p, p)
signal.signal(signal.SIGALRM, signal.default_int_handler)
random.seed(1)
for _ in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
        while True:
            kl_sums(size, p, p)
    except KeyboardInterrupt:
        pass

kl_sums._pace = type(kl_sums._pace)()  # begins in threads
parallel, launches = kl_sums.parallel, []
kl_sums.parallel = lambda *launch: (launches.append(launch), parallel(*launch))
kl_sums(size, p, p)
print(len(launches))
"""


@needs_jit
@needs_signals
@pytest.mark.parametrize("after", [0.005, 0.5])
def test_an_interrupt_is_heard(after: float) -> None:
    assert float(run_python(INTERRUPTIONS.replace("AFTER", str(after)))) < PATIENCE


@needs_jit
@needs_signals
def test_interrupts_do_not_stop_later_parallel_launches() -> None:
    assert int(run_python(MANY_INTERRUPTIONS, NUMBA_NUM_THREADS="2")) == 1


def mixture(count: int, lower: float, upper: float, scale: float) -> list[fastkl.Normal]:
    return [fastkl.Normal(float(loc), scale) for loc in np.linspace(lower, upper, count)]


def longest_silence(p: fastkl.Density, points: int) -> float:
    """Seconds that a thread works between two moments at which Python could hear a signal."""
    grid, q = fastkl.Grid.uniform(-20.0, 20.0, points), fastkl.Normal(0.0, 3.0)
    moments = [time.process_time()]
    with progress(lambda done, total: moments.append(time.process_time())):
        fastkl.kl_divergence(p, q, grid)
    return float(np.diff(moments).max()) / numba.get_num_threads()


def patience_suffices(components: list[fastkl.Normal], points: int) -> bool:
    p = fastkl.Mixture(components)
    longest_silence(p, 10**6)  # compiles
    return longest_silence(p, points) < PATIENCE


@needs_jit
@pytest.mark.parametrize(("count", "points"), [(40, 4 * 10**6), (1000, 10**6)])
def test_no_span_of_a_large_mixture_outlasts_patience(count: int, points: int) -> None:
    assert patience_suffices(mixture(count, -2.0, 2.0, 1.5), points)


@needs_jit
@pytest.mark.parametrize("border", [10.0, 12.8, 15.6])
def test_no_span_across_the_border_of_cheap_and_expensive_points_outlasts_patience(border: float) -> None:
    cheap, expensive = fastkl.Normal(border - 3.0, 0.5), fastkl.Normal(border + 3.0, 0.5)
    assert patience_suffices([cheap, *[expensive] * 400], 2 * 10**7)


@pytest.mark.parametrize("seconds_per_tile", [1e-7, 3e-6, 1e-4, 7e-3, 0.04, 1.0])
def test_spans_of_equal_tiles_settle_at_span_seconds(seconds_per_tile: float) -> None:
    span, lengths = max(FIRST_SPAN_POINTS // TILE, 1), []
    for _ in range(40):
        span = next_span(span, span * seconds_per_tile)
        lengths.append(span * seconds_per_tile)
    at_least_one_tile = max(SPAN_SECONDS, seconds_per_tile)
    assert max(lengths) <= at_least_one_tile * (1 + 1e-9)
    assert lengths[-1] > SPAN_SECONDS - seconds_per_tile


@pytest.mark.parametrize("span", [1, 128, 10**6])
def test_a_span_grows_by_a_bounded_factor_and_never_to_nothing(span: int) -> None:
    for seconds in (0.0, 1e-12, 1e-3, SPAN_SECONDS, 1.0, 1e9):
        assert 1 <= next_span(span, seconds) <= SPAN_GROWTH * span
