"""What a density is to a kernel: up to four functions that it calls through their addresses, a run of a row at a time.

A kernel knows nothing of families. Every function takes what a `fastkl.kernels.records.DensityRecord` holds beside
the functions, ``(components, values, nodes)``, and then

``(outer, at, x, scratch, out)``
    for the logarithm of the density, and for the density itself: out[i] = the one at the point whose last
    coordinate is x[i] and whose others are `outer`. x increases; scratch holds `BLOCK` numbers. `at` is where a
    table on the same grid has its values: value i is number ``at[BASE] + min((at[START] + i) * at[EVERY], at[END])``;
    ``at[EVEN]`` is 1 where x is equally spaced.
``(lower, upper, out)``
    for bounds: out[0] <= log-density <= out[1] in the box between these corners.
``(outer, level, out)``
    for the reach on a row: off the interval from out[0] to out[1] the log-density is at most `level`.
"""

from __future__ import annotations

import numpy as np

from fastkl.jit import Interface, buffer, tiled
from fastkl.kernels.axes import count, enter_row, fill_axis
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE, START

BLOCK = 1024
"""Points that are evaluated together: five buffers of them stay in a L1 cache of 48 kB."""

_RECORD = "float64[:, ::1], float64[::1], float64[::1]"
EVALUATE = Interface(f"void({_RECORD}, float64[::1], int64[::1], float64[::1], float64[::1], float64[::1])")
BOUND = Interface(f"void({_RECORD}, float64[::1], float64[::1], float64[::1])")
REACH = Interface(f"void({_RECORD}, float64[::1], float64, float64[::1])")
evaluate = EVALUATE.call
bound = BOUND.call
reach = REACH.call


@tiled(outputs=0)
def log_density(
    partial, start, stop, functions, components, values, table_nodes, nodes, weights, geometry, origin, out
):
    """out[i] = log-density at point origin + i of the grid."""
    inner = geometry[geometry.shape[0] - 1]
    length = count(inner)
    x, scratch = buffer(BLOCK), buffer(BLOCK)
    outer, at = np.empty(geometry.shape[0] - 1), np.empty(PLACE, np.int64)
    begin = start
    while begin < stop:
        first = begin % length
        enter_row(nodes, weights, geometry, begin // length, outer, at, scratch)
        at[START] = first
        n = min(BLOCK, stop - begin, length - first)
        fill_axis(nodes, weights, inner, first, x[:n], scratch[:n])
        run = out[begin - origin : begin - origin + n]
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, run)
        begin += n


@tiled(outputs=0)
def log_density_at(partial, start, stop, functions, components, values, table_nodes, points, out):
    """out[i] = log-density at points[i], one point of any grid after the other."""
    D = points.shape[1]
    scratch, at = buffer(BLOCK), np.zeros(PLACE, np.int64)
    for i in range(start, stop):
        x, outer, run = points[i, D - 1 :], points[i, : D - 1], out[i : i + 1]
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x, scratch, run)
