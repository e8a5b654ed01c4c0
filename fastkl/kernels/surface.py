"""Sums for many Normals against one density p, which is evaluated once for all Normals of a tile."""

from __future__ import annotations

from fastkl.elementary import fast_exp
from fastkl.jit import block, buffer, tiled
from fastkl.kernels.axes import length_of_row
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.moments import WINDOW
from fastkl.kernels.walk import fill_logs, new_run, next_run


@block
def _sums(x, w, log_p, loc, slope):
    """The sums of u = w exp(-z**2/2) and of u (-z**2/2 - log p)."""
    total, tilted = 0.0, 0.0
    for i in range(x.size):
        z = (x[i] - loc) * slope
        exponent = -0.5 * z * z
        u = w[i] * fast_exp(exponent)
        total += u
        tilted += u * (exponent - log_p[i])
    return total, tilted


@tiled(outputs=0)
def surface_sums(partial, start, stop, locs, scales, p, grid, out):
    """Add the sums of u and of u (-z**2/2 - log p) over the only axis of a grid to out[q], for start <= q < stop."""
    run, log_p, point, length = new_run(grid), buffer(BLOCK), 0, length_of_row(grid)
    while point < length:
        n, _ = next_run(run, grid, point, length)
        fill_logs(p, run, n, log_p)
        for q in range(start, stop):
            reach = WINDOW * scales[q]
            if run.x[n - 1] >= locs[q] - reach and run.x[0] <= locs[q] + reach:
                total, tilted = _sums(run.x[:n], run.w[:n], log_p[:n], locs[q], 1.0 / scales[q])
                out[q, 0] += total
                out[q, 1] += tilted
        point += n
