"""The log-densities at the nodes of a grid, as an array."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastkl.grids import Grid
from fastkl.jit import numpy_suffices
from fastkl.kernels.density import log_density
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.density import Density


class Fault(enum.IntEnum):
    """A reason why numbers are no density."""

    NONE = 0
    NAN = 20
    INFINITE = 21
    NEGATIVE = 22
    NO_MASS = 23


OF_ROUNDING = 1e-6
"""Size of a negative value beside the largest up to which it is rounding, of single precision or of a transform."""


def log_values(density: Density, grid: Grid, start: int = 0, stop: int | None = None) -> Floats:
    """The log-densities at the points start <= i < stop of a grid, in order; by default at all of them."""
    stop = grid.size if stop is None else stop
    if density._is_normal and numpy_suffices(stop - start):
        return np.asarray(density.logpdf(grid.points(np.arange(start, stop))), dtype=np.float64)
    p = density._evaluation(grid)
    logs = np.empty(stop - start)
    log_density(logs.size, p.by_logs(), grid._record(), start, logs, offset=start, work=p.work)
    return logs


NUMBERS_TOGETHER = 2**20
"""Number of values of a batch that are copied together."""


def blocks(shape: tuple[int, ...], size: int) -> Iterator[tuple[NDArray[np.intp], ...]]:
    """The places of a few tables of *size* values at a time, of a batch of some shape, in order."""
    count, together = math.prod(shape), max(NUMBERS_TOGETHER // size, 1)
    for start in range(0, count, together):
        yield np.unravel_index(np.arange(start, min(start + together, count)), shape)


def faults(values: NDArray[Any], ndim: int, *, log: bool) -> NDArray[np.int8]:
    """The `Fault` of each table of a batch, whose last *ndim* axes are those of a grid."""
    axes = tuple(range(-ndim, 0))
    lowest, highest = values.min(axis=axes), values.max(axis=axes)  # NaN if there is one
    found = np.full(lowest.shape, Fault.NONE, np.int8)
    found[highest == (-np.inf if log else 0)] = Fault.NO_MASS
    if not log:
        found[lowest < 0] = Fault.NEGATIVE
    found[highest == np.inf] = Fault.INFINITE
    found[lowest != lowest] = Fault.NAN
    return found


def hint_for_negative(values: Any, name: str) -> str:
    """The end of a message about values of a density, called *name*, of which one is negative: the probable cause.

    It is empty if there is none, or no negative value.
    """
    lowest, highest = float(values.min()), float(values.max())
    if 0.0 < -lowest <= OF_ROUNDING * highest < np.inf:
        return f", tiny beside the largest, {highest:.3g}, as rounding leaves it: give numpy.maximum({name}, 0)"
    if -lowest > highest or np.count_nonzero(values < 0.0) > 0.5 * values.size:
        return "; are these logarithms (log=True)?"
    return ""
