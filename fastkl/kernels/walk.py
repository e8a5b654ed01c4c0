"""The walk of a kernel over a grid: row by row, and along a row a run of points at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastkl.jit import block, buffer, integers, pasted, scalar
from fastkl.jit import least as min
from fastkl.kernels.axes import count, even_node, even_weight, fill_axis, full_index, length_of_row
from fastkl.kernels.interfaces import BLOCK, evaluate
from fastkl.kernels.records import (
    BASE,
    DENSITY_OF,
    END,
    EVEN,
    EVERY,
    LAST,
    LOG_DENSITY_OF,
    NODES,
    PLACE,
    START,
    STEP,
    STRIDE,
    WEIGHTS,
)


class Run(NamedTuple):
    """Points of a row side by side, and a buffer to evaluate densities there."""

    x: Any
    """The last coordinate of each point; `BLOCK` of them at most."""
    w: Any
    """The weight of each point on the last axis."""
    outer: Any
    """The other coordinates, which the points of a row share."""
    at: Any
    """Place of the values in a table on the same grid: see `fastkl.kernels.interfaces`."""
    scratch: Any


@pasted
def new_run(grid):
    """A run with buffers for the points of a grid."""
    inner = grid.layout.shape[0] - 1
    return Run(buffer(BLOCK), buffer(BLOCK), buffer(inner), integers(PLACE), buffer(BLOCK))


@block
def enter_row(run, grid, row):
    """The weight that the points of a row share; puts the run into that row."""
    inner = grid.layout.shape[0] - 1
    last, stride = grid.layout[inner, LAST], grid.layout[inner, STRIDE]
    run.at[EVERY], run.at[END] = stride, last
    run.at[EVEN] = 1 if grid.layout[inner, NODES] < 0 and last % stride == 0 else 0
    shared, base, size = 1.0, 0, last + 1
    for d in range(inner - 1, -1, -1):
        ends, layout = grid.ends[d], grid.layout[d]
        n = count(layout)
        i = row % n
        row //= n
        stride, last = layout[STRIDE], layout[LAST]
        j = full_index(i, stride, last)
        if layout[NODES] < 0 and layout[WEIGHTS] < 0:
            run.outer[d] = even_node(ends, last, j)
            shared *= even_weight(i, ends[STEP], stride, last)
        else:  # by a call, which takes longer, but keeps all other rules out of every kernel that is compiled
            fill_axis(grid, d, i, run.outer[d : d + 1], run.scratch[:1])
            shared *= run.scratch[0]
        base += j * size
        size *= last + 1
    run.at[BASE] = base
    return shared


@scalar
def fill_run(run, grid, first, n):
    """Fill in n points of the row that the run is in, from number *first* on."""
    run.at[START] = first
    fill_axis(grid, grid.layout.shape[0] - 1, first, run.x[:n], run.w[:n])


@block
def next_run(run, grid, point, stop):
    """(number of points that a run takes from *point* on, before *stop*; the weight that they share); fills them in."""
    length = length_of_row(grid)
    first = point % length
    shared = enter_row(run, grid, point // length)
    n = min(BLOCK, stop - point, length - first)
    fill_run(run, grid, first, n)
    return n, shared


@scalar
def fill_logs(p, run, n, out):
    """Fill in out[i] = the log-density of p at point i of the run."""
    function, x = p.functions[LOG_DENSITY_OF], run.x[:n]
    evaluate(function, p.parts, p.components, p.values, p.nodes, run.outer, run.at, x, run.scratch, out[:n])


@scalar
def fill_densities(p, run, n, out):
    """Fill in out[i] = the density of p at point i of the run."""
    function, x = p.functions[DENSITY_OF], run.x[:n]
    evaluate(function, p.parts, p.components, p.values, p.nodes, run.outer, run.at, x, run.scratch, out[:n])
