"""The log-densities at the nodes of a grid, as an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastkl.grids import Grid
from fastkl.jit import numpy_suffices
from fastkl.kernels.density import log_density
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.density import Density


def log_values(density: Density, grid: Grid, start: int = 0, stop: int | None = None) -> Floats:
    """The log-densities at the points start <= i < stop of a grid, in order; by default at all of them."""
    stop = grid.size if stop is None else stop
    if density._is_normal and numpy_suffices(stop - start):
        return np.asarray(density.logpdf(grid.points(np.arange(start, stop))), dtype=np.float64)
    p = density._evaluation(grid)
    logs = np.empty(stop - start)
    log_density(logs.size, p.by_logs(), grid._record(), start, logs, offset=start, work=p.work)
    return logs
