"""Running of kernels: in tiles of a fixed size, launched in short spans, in threads or in one thread.

A kernel is a serial *tile function* ``tile(partial, start, stop, *args)``. It handles the points
``start <= i < stop`` and fills ``partial``, its own row of results (or writes to an output array among
``args``). :func:`tiled` turns it into a :class:`TiledKernel`, which owns everything else:

Bits
    Tiles have a fixed size and every tile has a row of its own, so a result does not depend on the
    number of threads, nor on the ends of spans.
Ctrl-C
    A compiled loop cannot be interrupted. Tiles are therefore launched in spans that are made to last
    about ``SPAN_SECONDS``, and Python looks for signals between them.
Threads
    Numba's workqueue layer aborts the process when two Python threads launch at once, and its OpenMP
    layer kills a forked child. So launches take turns: a span that finds another launch in flight runs in
    the calling thread instead of waiting, and after a fork every span does. Small work is run in the calling
    thread too, and then the parallel driver is never compiled.
Load
    If another process keeps a core busy, or a quota leaves fewer cores than there are threads, the
    threads wait for the slowest of them, and spin meanwhile. So now and then a span of a kernel whose points
    all cost the same is run in one thread, and all are for as long as that is faster (`Pace`).
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
"""Points in a tile: enough to hide a call and its buffers, few enough that 16 threads share a million points."""

SMALL_POINTS = 2**16
"""Largest number of points for which the tile function is called from Python and no driver is compiled."""


def numpy_suffices(points: int) -> bool:
    """Whether functions of so few points are evaluated by NumPy where they can be, and no kernel is compiled."""
    return points <= SMALL_POINTS


SPREAD = 16
"""Distance, in tiles, of the tiles that a thread runs one after the other, so that they are spread over the span."""

FIRST_SPAN_POINTS = 2**17
LARGEST_SPAN_WORK = 2**27
"""Largest number of points in a span, times the work that a point can take: a bound for spans of cheap points."""
SPAN_SECONDS = 0.05
"""Seconds that a span is made to last, and that a signal waits; more only if points suddenly cost more."""
SPAN_GROWTH = 16.0

SETTLED, TRIAL = 0.2, 0.02
"""Seconds of a kernel's work in the way that seems faster, before a trial, and in the other way, during the trial."""
MEMORY = 0.05
"""Seconds of work over which the cost of an item is averaged, so that a slow start after a pause changes nothing."""

Progress = Callable[..., None]
_progress: ContextVar[Progress | None] = ContextVar("fastkl_progress", default=None)

_launcher: dict[str, int] = {}
"""Identifier of the thread that has the turn to launch, under the key "thread"; empty if no thread has it.

A lock would stay taken for good if Ctrl-C came between acquiring it and entering the ``try``; here the
interrupted thread finds that it still has the turn, and gives it back after its next launch.
"""
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # systems on which processes can be forked
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def progress(report: Progress) -> Iterator[None]:
    """Context in which ``report(points_done, points_in_all)`` is called after every span of a kernel.

    Work that is counted in another unit, such as rows, calls it with the unit as a third argument.
    """
    token = _progress.set(report)
    try:
        yield
    finally:
        _progress.reset(token)


@contextmanager
def counting(unit: str) -> Iterator[Progress]:
    """Context in which kernels report nothing, with a function that reports items done and in all, of a named unit."""
    report = _progress.get()
    token = _progress.set(None)
    try:
        yield lambda done, size: None if report is None else report(done, size, unit)
    finally:
        _progress.reset(token)


def report_progress(done: int, size: int) -> None:
    """Call the function that `progress` has set, if there is one, with the points done and the points in all."""
    report = _progress.get()
    if report is not None:
        report(done, size)


class Pace:
    """Choice between running spans in threads and in one thread, by which way is faster at present.

    Each way has a running mean of the seconds that an item takes, over the last `MEMORY` seconds of work. After
    `SETTLED` seconds the other way is tried for `TRIAL` seconds, of which the first half does not count: threads that
    have slept share a core at first.
    """

    def __init__(self) -> None:
        self.costs: dict[bool, float] = {}
        self.warm: set[bool] = set()
        """Ways that have been taken before; the first time does not count, since code is compiled or loaded then."""
        self.spent = 0.0
        """Seconds of work since the last trial."""
        self.trial = [0.0, 0.0, 0]
        """Seconds of the current trial, seconds of it that count, and number of items computed in those."""

    def in_threads(self) -> bool:
        """Whether the next span should be run in threads."""
        best = len(self.costs) < 2 or self.costs[True] <= self.costs[False]
        return best if self.spent < SETTLED else not best

    def note(self, in_threads: bool, seconds: float, items: int) -> None:
        """Record that *items* items took *seconds* seconds, in threads or in one thread."""
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
    """Run the tiles ``first <= t < last``: a template whose holes :func:`_driver_of` fills.

    Every thread takes a run of numbers k. The tiles of neighbouring k are `SPREAD` apart, since cheap tiles tend to
    be neighbours.
    """
    each = -(-(last - first) // SPREAD)
    slots = each * SPREAD if each > 1 else last - first  # no empty slots if the tiles are few
    for k in numba.prange(slots):
        t = first + k % each * SPREAD + k // each
        if t < last:
            start = t * length
            compute(partials[t], offset + start, offset + min(start + length, size), *pack(args))


def _driver_of(tile_function: Callable[..., None], compiled: Any, suffix: str, layout: Layout) -> FunctionType:
    """A copy of :func:`_drive` that calls *compiled* and has the file and line of *tile_function*."""
    return instance(_drive, tile_function.__name__ + suffix, tile_function, compute=compiled, pack=packer(layout))


class TiledKernel:
    """A tile function together with its serial and its parallel driver.

    Parameters
    ----------
    tile_function : callable
        ``tile_function(partial, start, stop, *args)``.
    outputs : int
        Length of ``partial``; 0 for a kernel that fills an array among its arguments, or whose number of results is
        given with every call.
    even : bool
        Whether all points cost about the same, so that the durations of spans can be compared (`Pace`).
    """

    def __init__(self, tile_function: Callable[..., None], outputs: int, even: bool = False) -> None:
        self.outputs = outputs
        self.tile_function = tile(tile_function)
        self.__name__ = tile_function.__name__
        self.__doc__ = tile_function.__doc__
        self._driver = functools.partial(_driver_of, tile_function, self.tile_function)
        self._pace = Pace() if even else None
        self._layout: Layout = ()
        """Layout of the named tuples among the arguments, which is the same in all calls."""

    @functools.cached_property
    def serial(self) -> Any:
        """Compiled loop over tiles in the calling thread, given the members of named tuples one after the other."""
        return serial(self._driver("_serial", self._layout))

    @functools.cached_property
    def parallel(self) -> Any:
        """Compiled loop over tiles in Numba's threads, given the members of named tuples one after the other."""
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
        """Run the kernel over the points ``offset <= i < offset + size``, in tiles of `length` points.

        `work` is the number of densities that may be evaluated at a point; many of them may be skipped. `items` is
        the number of numbers that a point of a kernel over rows or tasks stands for. `outputs` is the number of
        results of a kernel for which it depends on the arguments.

        Returns
        -------
        ndarray, shape (number of tiles, outputs)
            One row of partial results for each tile.
        """
        tiles = -(-size // length)
        partials = np.zeros((tiles, self.outputs if outputs is None else outputs))
        largest = max(LARGEST_SPAN_WORK // (length * items * work), 1)
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

    def _launch(self, work: int, partials: NDArray[np.float64], first: int, last: int, *rest: Any) -> None:
        """Run the tiles ``first <= t < last``, *work* items in all."""
        if JIT_DISABLED or work <= SMALL_POINTS:
            with np.errstate(all="ignore") if JIT_DISABLED else nullcontext():  # compiled code never warns
                self._run_tiles(partials, first, last, *rest)
        elif not _forked and _launcher.setdefault("thread", threading.get_ident()) == threading.get_ident():
            try:
                in_threads = self._pace is None or self._pace.in_threads()
                began = time.perf_counter()
                if in_threads:
                    self._run_driver("parallel", partials, first, last, *rest)
                else:
                    self._run_tiles(partials, first, last, *rest)
                if self._pace is not None:
                    self._pace.note(in_threads, time.perf_counter() - began, work)
            finally:
                _launcher.pop("thread", None)
        else:
            self._run_driver("serial", partials, first, last, *rest)

    def _run_driver(self, name: str, *launch: Any) -> None:
        """Run tiles by the driver of that name, which is compiled for the layout of the arguments."""
        *where, args = launch
        self._layout = layout_of(args)
        getattr(self, name)(*where, tuple(flattened(args)))

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
        """Run the tiles ``first <= t < last`` one after the other from Python, without a compiled driver."""
        for t in range(first, last):
            self.tile_function(partials[t], offset + t * length, offset + min(t * length + length, size), *args)


def next_span(span: int, seconds: float) -> int:
    """Number of tiles to launch next, after *span* tiles took *seconds*."""
    factor = SPAN_SECONDS / max(seconds, 1e-9)
    return max(1, int(span * min(factor, SPAN_GROWTH)))


def tiled(*, outputs: int, even: bool = False) -> Callable[[Callable[..., None]], TiledKernel]:
    """Decorator that makes a `TiledKernel` of a tile function; its parameters are those of `TiledKernel`."""
    return lambda tile_function: TiledKernel(tile_function, outputs, even)
