"""The one way a kernel is run: fixed tiles, in short spans, in threads or not.

A kernel is a serial *tile function* ``tile(partial, start, stop, *args)``. It looks at the points
``start <= i < stop`` and fills ``partial``, its own row of results (or writes to an output array among
``args``). :func:`tiled` turns it into a :class:`TiledKernel`, which owns everything else:

Bits
    Tiles have a fixed size and every tile has a row of its own, so a result does not depend on the
    number of threads, nor on where a span ends.
Ctrl-C
    A compiled loop cannot be interrupted. Tiles are therefore launched in spans that are made to last
    about ``SPAN_SECONDS``, and Python looks for signals between them.
Threads
    Numba's workqueue layer aborts the process when two Python threads launch at once, and its OpenMP
    layer kills a forked child. So launches take turns, a span that finds another one in flight runs in
    its own thread instead of waiting, and after a fork everything does. Small work is run that way
    too, and then the parallel driver is never compiled.
Load
    Where another process keeps a core busy, or a quota leaves fewer cores than there are threads, the
    threads wait for the slowest of them, and spin meanwhile. So now and then a span of a kernel whose points
    all cost the same is run in one thread, and while that is the faster way it is taken (`Pace`).
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fastkl.jit.options import JIT_DISABLED, parallel, serial, tile
from fastkl.jit.records import Layout, flattened, layout_of, packer
from fastkl.jit.templates import holes, instance

TILE = 32768
"""Points in a tile: long enough to hide a call and its buffers, short enough that 16 threads share a million points."""

SMALL_POINTS = 2**16
"""Up to this many points, the tile function is called from Python and no driver is compiled."""

SPREAD = 16
"""Places in a span that every thread works at."""

FIRST_SPAN_POINTS = 2**17
LARGEST_SPAN_WORK = 2**27
"""Points times the work that a point can take: bounds a span that cheap points have made long."""
SPAN_SECONDS = 0.05
"""What a span should last; a signal waits for as long, and longer only where points suddenly cost more."""
SPAN_GROWTH = 16.0

SETTLED, TRIAL = 0.2, 0.02
"""Seconds of a kernel's work in the way that seems faster, and in the other one."""
MEMORY = 0.05
"""Seconds of work that the cost of an item is a mean of: a start after a pause is no reason for a change."""

Progress = Callable[[int, int], None]
_progress: ContextVar[Progress | None] = ContextVar("fastkl_progress", default=None)

_launcher: dict[str, int] = {}
"""The thread that has the turn to launch, if one has.

A lock would stay taken for good when Ctrl-C comes between acquiring it and entering the ``try``; here the
thread that was interrupted finds itself to have the turn, and gives it back after its next launch.
"""
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # where processes can be forked at all
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def progress(report: Progress) -> Iterator[None]:
    """Within this context, call ``report(points_done, points_in_all)`` after every span of a kernel."""
    token = _progress.set(report)
    try:
        yield
    finally:
        _progress.reset(token)


def report_progress(done: int, size: int) -> None:
    """Say to whoever listens that so many points are done: for work that is not a kernel's."""
    report = _progress.get()
    if report is not None:
        report(done, size)


class Pace:
    """Which of two ways of running spans is the faster one at present: in threads, or in one.

    Every way has a running mean of the seconds that an item takes, over the last `MEMORY` seconds of work. After
    `SETTLED` seconds the other way is tried for `TRIAL` seconds, of which the first half does not count: threads that
    have slept share a core at first.
    """

    def __init__(self) -> None:
        self.costs: dict[bool, float] = {}
        self.warm: set[bool] = set()
        """The ways that have been gone before: the first time, code is compiled or loaded."""
        self.spent = 0.0
        """Seconds of work since the last trial."""
        self.trial = [0.0, 0.0, 0]
        """Seconds of the trial at hand, those of them that count, and the items that they took."""

    def in_threads(self) -> bool:
        """Whether the next span had better be run in threads."""
        best = len(self.costs) < 2 or self.costs[True] <= self.costs[False]
        return best if self.spent < SETTLED else not best

    def note(self, in_threads: bool, seconds: float, items: int) -> None:
        """Take down that so many items took so many seconds."""
        if in_threads not in self.warm:
            self.warm.add(in_threads)
        elif self.spent < SETTLED:
            self.spent += seconds
            cost = seconds / items
            mean = self.costs.setdefault(in_threads, cost)
            self.costs[in_threads] = mean + min(seconds / MEMORY, 1.0) * (cost - mean)
        else:
            self.trial[0] += seconds
            if self.trial[0] > 0.5 * TRIAL:
                self.trial[1] += seconds
                self.trial[2] += items
            if self.trial[0] >= TRIAL:
                self.costs[in_threads] = self.trial[1] / self.trial[2]
                self.spent, self.trial = 0.0, [0.0, 0.0, 0]


compute, pack = holes("compute", "pack")


def _drive(
    partials: NDArray[Any], first: int, last: int, size: int, length: int, offset: int, args: tuple[Any, ...]
) -> None:
    """Run the tiles ``first <= t < last``; :func:`_driver_of` fills the holes.

    Every thread has a run of numbers k. The tiles of such a run are spread over all that there are, since the cheap
    ones tend to be neighbours.
    """
    each = -(-(last - first) // SPREAD)
    slots = each * SPREAD if each > 1 else last - first  # a few tiles are shared out as well
    for k in numba.prange(slots):
        t = first + k % each * SPREAD + k // each
        if t < last:
            start = t * length
            compute(partials[t], offset + start, offset + min(start + length, size), *pack(args))


def _driver_of(tile_function: Callable[..., None], compiled: Any, suffix: str, layout: Layout) -> FunctionType:
    """A copy of :func:`_drive` that calls *compiled* and says that it lives beside it."""
    return instance(_drive, tile_function.__name__ + suffix, tile_function, compute=compiled, pack=packer(layout))


class TiledKernel:
    """A tile function together with its serial and its parallel driver.

    Parameters
    ----------
    tile_function : callable
        ``tile_function(partial, start, stop, *args)``.
    outputs : int
        Length of ``partial``; 0 for a kernel that fills an array of its own, or is told with every call.
    even : bool
        Whether all points cost about the same, so that spans tell what threads gain.
    """

    def __init__(self, tile_function: Callable[..., None], outputs: int, even: bool = False) -> None:
        self.outputs = outputs
        self.tile_function = tile(tile_function)
        self.__name__ = tile_function.__name__
        self.__doc__ = tile_function.__doc__
        self._driver = functools.partial(_driver_of, tile_function, self.tile_function)
        self._pace = Pace() if even else None
        self._layout: Layout = ()
        """The records among the arguments, which are the same in all calls."""

    @functools.cached_property
    def serial(self) -> Any:
        """The loop over tiles in the calling thread, which takes the members of all records one after the other."""
        return serial(self._driver("_serial", self._layout))

    @functools.cached_property
    def parallel(self) -> Any:
        """The loop over tiles in Numba's threads, which takes the members of all records one after the other."""
        return parallel(self._driver("_parallel", self._layout))

    def __repr__(self) -> str:
        return f"<TiledKernel {self.__name__}>"

    def __call__(
        self,
        size: int,
        *args: Any,
        offset: int = 0,
        length: int = TILE,
        work: int = 1,
        items: int = 1,
        outputs: int | None = None,
    ) -> NDArray[np.float64]:
        """Run over the points ``offset <= i < offset + size``, in tiles of `length` points.

        `work` is the number of densities that a point can take; many of them may be skipped. A point of a
        kernel over rows or tasks stands for `items` numbers. `outputs` is for a kernel whose results are as many as
        its arguments say.

        Returns
        -------
        ndarray, shape (number of tiles, outputs)
            One row of partial results for each tile.
        """
        tiles = -(-size // length)
        partials = np.zeros((tiles, self.outputs if outputs is None else outputs))
        largest = max(LARGEST_SPAN_WORK // (length * items * work), 1)
        self._layout = layout_of(args)
        first, span = 0, min(max(FIRST_SPAN_POINTS // (length * items), 1), largest)
        while first < tiles:
            last = min(first + span, tiles)
            began = time.perf_counter()
            self._launch((last - first) * length * items, partials, first, last, size, length, offset, args)
            span = min(next_span(span, time.perf_counter() - began), largest)
            first = last
            report_progress(min(first * length, size), size)
        return partials

    def total(
        self, size: int, *args: Any, offset: int = 0, work: int = 1, outputs: int | None = None
    ) -> NDArray[np.float64]:
        """The partial results summed over the tiles, shape (outputs,).

        NumPy sums the contiguous rows of the transpose pairwise, always in the same order.
        """
        partials = self(size, *args, offset=offset, work=work, outputs=outputs)
        totals: NDArray[np.float64] = np.ascontiguousarray(partials.T).sum(axis=1)
        return totals

    def _launch(
        self,
        work: int,
        partials: NDArray[np.float64],
        first: int,
        last: int,
        size: int,
        length: int,
        offset: int,
        args: tuple[Any, ...],
    ) -> None:
        """Run the tiles ``first <= t < last``, *work* items in all."""
        rest = size, length, offset, args
        if JIT_DISABLED or work <= SMALL_POINTS:
            with np.errstate(all="ignore") if JIT_DISABLED else nullcontext():  # compiled code never warns
                self._run_tiles(partials, first, last, *rest)
        elif not _forked and _launcher.setdefault("thread", threading.get_ident()) == threading.get_ident():
            try:
                in_threads = self._pace is None or self._pace.in_threads()
                began = time.perf_counter()
                if in_threads:
                    self.parallel(partials, first, last, size, length, offset, tuple(flattened(args)))
                else:
                    self._run_tiles(partials, first, last, *rest)
                if self._pace is not None:
                    self._pace.note(in_threads, time.perf_counter() - began, work)
            finally:
                _launcher.pop("thread", None)
        else:
            self.serial(partials, first, last, size, length, offset, tuple(flattened(args)))

    def _run_tiles(
        self,
        partials: NDArray[np.float64],
        first: int,
        last: int,
        size: int,
        length: int,
        offset: int,
        args: tuple[Any, ...],
    ) -> None:
        """Run tiles one after the other from Python, for which no driver is compiled."""
        for t in range(first, last):
            self.tile_function(partials[t], offset + t * length, offset + min(t * length + length, size), *args)


def next_span(span: int, seconds: float) -> int:
    """The number of tiles to launch next, when *span* tiles took *seconds*."""
    factor = SPAN_SECONDS / max(seconds, 1e-9)
    return max(1, int(span * min(factor, SPAN_GROWTH)))


def tiled(*, outputs: int, even: bool = False) -> Callable[[Callable[..., None]], TiledKernel]:
    """Declare a tile function to be a kernel with *outputs* partial results; `even`, if all points cost the same."""
    return lambda tile_function: TiledKernel(tile_function, outputs, even)
