"""The functions of arrays on data as people have them: against dense numbers, SciPy and NumKong in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba
import numpy as np

from bench.cases import DATA, FUNCTIONS, Array
from tests.arrays.strata import STRATA, Stratum

from . import fastkl
from .blocks import medians

DENSE = STRATA[0]


class Layout(NamedTuple):
    """How the numbers lie, and on how many threads they are worked at."""

    name: str
    size: int
    row: int | None = None
    axis: int = 0
    threads: int | None = None


LAYOUTS = (
    Layout("65,536 numbers, one thread", 2**16, threads=1),
    Layout("10⁶ numbers", 10**6),
    Layout("rows of 64", 4096 * 64, 64, axis=1),
    Layout("rows of 300", 1000 * 300, 300, axis=1),
    Layout("rows of 10⁴", 30 * 10**4, 10**4, axis=1),
    Layout("columns of 300", 1000 * 300, 300),
)


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """A limited number of Numba's threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(number or before)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def is_asked(function: str, stratum: Stratum) -> bool:
    """Whether the function is finite for this kind of data."""
    return stratum.finite or function != "entropy(p, q)"


class Timing(NamedTuple):
    """Seconds of one call."""

    ours: float
    dense: float
    scipy: float


def timing(
    function: str, stratum: Stratum, layout: Layout, kind: str, *, with_scipy: bool = True, **counts: Any
) -> Timing:
    """The times of fastkl on this data and on dense numbers, and of SciPy on this data or NaN."""
    here, dense = (Array(function, s.name, kind, layout.row, layout.axis) for s in (stratum, DENSE))
    with threads(layout.threads):
        calls = [here.make(layout.size), dense.make(layout.size)]
        if with_scipy:
            calls.append(here.by_scipy(layout.size))
        return Timing(*medians(*calls, **counts), *(() if with_scipy else (float("nan"),)))


class Data:
    """Every kind of data in every layout, in units of dense numbers and of SciPy."""

    params = (tuple(DATA), FUNCTIONS[:3], tuple(layout.name for layout in LAYOUTS))
    param_names = ("data", "function", "layout")
    timeout = 300

    def setup(self, data, function, layout):
        if not is_asked(function, DATA[data]):
            raise NotImplementedError(f"{function} of {data} is infinite")
        self.layout = next(known for known in LAYOUTS if known.name == layout)

    def track_ratio_to_dense(self, data, function, layout):
        found = timing(function, DATA[data], self.layout, "f8", blocks=3, calls=8)
        return found.ours / found.dense

    track_ratio_to_dense.unit = "dense"

    def track_ratio_to_scipy(self, data, function, layout):
        found = timing(function, DATA[data], self.layout, "f8", blocks=3, calls=8)
        return found.ours / found.scipy

    track_ratio_to_scipy.unit = "SciPy"


class Broadcast:
    """A matrix of Jensen-Shannon distances of mostly empty histograms by broadcasting, in units of SciPy's cdist."""

    timeout = 300

    def setup(self):
        rng = np.random.default_rng(0)
        self.histograms = np.where(rng.random((256, 512)) < 0.96, 0.0, rng.random((256, 512)))
        self.histograms[:, 0] = 1.0

    def track_ratio_to_scipy(self):
        from scipy.spatial.distance import cdist

        h = self.histograms
        ours, theirs = medians(
            lambda: fastkl.jensenshannon(h[:, None], h[None], axis=-1),
            lambda: cdist(h, h, "jensenshannon"),
            blocks=3,
            calls=4,
        )
        return ours / theirs

    track_ratio_to_scipy.unit = "SciPy"


class AgainstNumKong:
    """Plain calls on normalised vectors, one thread each, in units of NumKong."""

    params = (("kullbackleibler", "jensenshannon"), ("f4", "f8"), (256, 1024, 4096, 65536, 10**6))
    param_names = ("function", "type", "N")
    timeout = 300

    def setup(self, function, kind, n):
        try:
            import numkong
        except ModuleNotFoundError:
            raise NotImplementedError("NumKong is not installed") from None
        rng = np.random.default_rng(0)
        p, q = rng.random(n), rng.random(n)
        self.pair = (p / p.sum()).astype(kind), (q / q.sum()).astype(kind)
        self.theirs = getattr(numkong, function)
        self.ours = fastkl.entropy if function == "kullbackleibler" else fastkl.jensenshannon

    def track_ratio_to_numkong(self, function, kind, n):
        p, q = self.pair
        with threads(1):
            ours, theirs = medians(
                lambda: self.ours(p, q), lambda: self.theirs(p, q), blocks=5, calls=max(20, min(2000, 10**6 // n))
            )
        return ours / theirs

    track_ratio_to_numkong.unit = "NumKong"


class BusyCore:
    """Calls while another process keeps a core busy, in units of the same on one thread."""

    params = (("entropy", "jensenshannon"), (10**5, 10**6, 10**7))
    param_names = ("function", "N")
    timeout = 300

    def setup(self, function, n):
        rng = np.random.default_rng(0)
        self.pair = rng.random(n), rng.random(n)
        self.function = getattr(fastkl, function)
        self.counts = {"blocks": 3, "calls": 20 if n > 10**6 else 60}

    def track_ratio_to_one_thread(self, function, n):
        import subprocess
        import sys

        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            (loaded,) = medians(lambda: self.function(*self.pair), **self.counts)
            with threads(1):
                (alone,) = medians(lambda: self.function(*self.pair), **self.counts)
        finally:
            busy.kill()
            busy.wait()
        return loaded / alone

    track_ratio_to_one_thread.unit = "one thread"
