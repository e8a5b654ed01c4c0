"""The log-densities at the nodes of a grid, as an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastkl.grids import Grid
from fastkl.jit import numpy_suffices
from fastkl.kernels.density import log_density
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.density import Density

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
