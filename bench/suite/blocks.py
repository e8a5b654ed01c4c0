"""Fair timings of competitors on a shared machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

Call = Callable[[], object]

BLOCKS = 7
CALLS = 20
PAUSE = 0.1
"""Seconds; OpenBLAS lets its threads spin for some tens of milliseconds."""


def medians(*competitors: Call, blocks: int = BLOCKS, calls: int = CALLS, pause: float = PAUSE) -> list[float]:
    """Seconds of one call of each competitor.

    Every competitor has blocks of calls to itself, and the blocks alternate: call by call, the thread
    pools of BLAS, OpenMP and XLA would fight over the cores. Their threads go on spinning for a while, so a
    block begins with a pause; its first calls find their own pool asleep and are left out. The median of all
    others is returned.
    """
    times: list[list[float]] = [[] for _ in competitors]
    for _ in range(blocks):
        for call, seen in zip(competitors, times, strict=True):
            time.sleep(pause)
            for number in range(calls):
                began = time.perf_counter()
                call()
                if number >= calls // 4:
                    seen.append(time.perf_counter() - began)
    return [median(seen) for seen in times]


def ratio(call: Call, reference: Call, **counts: Any) -> float:
    """Time of *call* in units of the time of *reference*."""
    ours, theirs = medians(call, reference, **counts)
    return ours / theirs
