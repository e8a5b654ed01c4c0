"""Many Normals against one density: p is read once for all of a tile."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import fast_exp
from fastkl.jit import block, buffer, tiled
from fastkl.kernels.axes import count, fill_axis, place_in_row
from fastkl.kernels.density import BLOCK, evaluate
from fastkl.kernels.moments import WINDOW
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE, START


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
def surface_sums(
    partial, start, stop, locs, scales, functions, components, values, table_nodes, nodes, weights, geometry, out
):
    """out[q] = those sums over the only axis of a grid, for the Normals start <= q < stop."""
    x, w, scratch, log_p = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    axis, outer, at = geometry[0], np.empty(0), np.empty(PLACE, np.int64)
    length = count(axis)
    place_in_row(axis, at)
    for begin in range(0, length, BLOCK):
        n = min(BLOCK, length - begin)
        at[START] = begin
        fill_axis(nodes, weights, axis, begin, x[:n], w[:n])
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        for q in range(start, stop):
            reach = WINDOW * scales[q]
            if x[n - 1] >= locs[q] - reach and x[0] <= locs[q] + reach:
                total, tilted = _sums(x[:n], w[:n], log_p[:n], locs[q], 1.0 / scales[q])
                out[q, 0] += total
                out[q, 1] += tilted
