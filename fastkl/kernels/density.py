"""Log-densities at the points of a grid, and at any points."""

from __future__ import annotations

import numpy as np

from fastkl.jit import buffer, tiled
from fastkl.kernels.interfaces import BLOCK, evaluate
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE
from fastkl.kernels.walk import fill_logs, new_run, next_run


@tiled(outputs=0)
def log_density(partial, start, stop, p, grid, origin, out):
    """Fill in out[i] = log-density of p at point origin + i of the grid."""
    run, point = new_run(grid), start
    while point < stop:
        n, _ = next_run(run, grid, point, stop)
        fill_logs(p, run, n, out[point - origin : point - origin + n])
        point += n


@tiled(outputs=0)
def log_density_at(partial, start, stop, p, points, out):
    """Fill in out[i] = log-density of p at points[i], which need not lie on a grid, one point after the other."""
    D = points.shape[1]
    scratch, at = buffer(BLOCK), np.zeros(PLACE, np.int64)
    for i in range(start, stop):
        x, outer, run = points[i, D - 1 :], points[i, : D - 1], out[i : i + 1]
        evaluate(p.functions[LOG_DENSITY_OF], p.parts, p.components, p.values, p.nodes, outer, at, x, scratch, run)
