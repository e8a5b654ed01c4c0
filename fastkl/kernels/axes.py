"""Nodes and weights of the axes of a grid, computed where they are used.

The points of a grid are numbered with the last axis running fastest; a *row* is a set of points that differ in the
last coordinate alone. Node i of an axis with a stride is node ``j(i) = min(i * stride, last)`` of the full axis: both
ends always belong to it. The trapezoid weight of a node is half the distance of its neighbours. On equally spaced
nodes that distance is a difference of *indices* times the step, which costs no digits, whereas a difference of
neighbouring nodes costs up to 1e-12.
"""

from __future__ import annotations

from fastkl.jit import Interface, block, pasted, scalar
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.records import (
    EDGES,
    FILL,
    LAST,
    LOWER,
    NODES,
    STEP,
    STRIDE,
    UPPER,
    WEIGHTS,
    GridRecord,
)

AXIS = Interface("void(float64[::1], float64[::1], float64[::1], int64[::1], int64, float64[::1], float64[::1])")
"""Interface ``(nodes, weights, ends, layout, start, x, w)`` to fill in x[i] = node start + i and w[i] = its weight.

*ends* and *layout* are the rows of one axis in a `fastkl.kernels.records.GridRecord`.
"""
_fill = AXIS.call


@scalar
def full_index(i, stride, last):
    """Index on the full axis of node i of an axis with a stride."""
    return min(max(i, 0) * stride, last)


@scalar
def count(layout):
    """Number of nodes of an axis with its stride."""
    return (layout[LAST] + layout[STRIDE] - 1) // layout[STRIDE] + 1


@pasted
def grid_of(grids, k):
    """Grid number k of several grids."""
    return GridRecord(grids.nodes, grids.weights, grids.ends, grids.layouts[k])


@pasted
def length_of_row(grid):
    """Number of points in a row of a grid."""
    return count(grid.layout[grid.layout.shape[0] - 1])


@scalar
def even_node(ends, last, j):
    """Node j of a full axis with equally spaced nodes."""
    return ends[UPPER] if j == last else ends[LOWER] + ends[STEP] * j


@scalar
def even_weight(i, step, stride, last):
    """Trapezoid weight of node i of an axis with equally spaced nodes."""
    return 0.5 * step * (full_index(i + 1, stride, last) - full_index(i - 1, stride, last))


@scalar
def node_at(nodes, ends, layout, i):
    """Node i of an axis with its stride."""
    j = full_index(i, layout[STRIDE], layout[LAST])
    return nodes[layout[NODES] + j] if layout[NODES] >= 0 else even_node(ends, layout[LAST], j)


@scalar
def weight_at(nodes, weights, ends, layout, i):
    """Weight of node i of an axis with its stride."""
    if layout[WEIGHTS] >= 0:
        return weights[layout[WEIGHTS] + i]
    stride, last = layout[STRIDE], layout[LAST]
    if layout[EDGES] >= 0 and stride == 1:
        return weights[layout[EDGES] + i + 1] - weights[layout[EDGES] + i]
    if layout[NODES] < 0:
        return even_weight(i, ends[STEP], stride, last)
    first, after, before = layout[NODES], full_index(i + 1, stride, last), full_index(i - 1, stride, last)
    weight = 0.5 * (nodes[first + after] - nodes[first + before])
    # midpoint rule with a stride: the function is constant from the outer nodes to the ends; other rules add 0 here
    if i == 0:
        weight += nodes[first] - ends[LOWER]
    if full_index(i, stride, last) == last:
        weight += ends[UPPER] - nodes[first + last]
    return weight


@scalar
def has_one_weight(layout, start, n):
    """Whether the n nodes from *start* on are equally spaced, with both neighbours, under the trapezoid rule."""
    return layout[NODES] < 0 and layout[WEIGHTS] < 0 and start > 0 and (start + n) * layout[STRIDE] <= layout[LAST]


@AXIS.implement
def even_axis(nodes, weights, ends, layout, start, x, w):
    """Fill in equally spaced nodes, and the weights of the trapezoid rule."""
    stride, last = layout[STRIDE], layout[LAST]
    lower, step = ends[LOWER], ends[STEP]
    whole = min(max((last - start * stride) // stride, 0), x.size)  # number of nodes before the last one
    for i in range(whole):
        x[i] = lower + step * ((start + i) * stride)
    for i in range(whole, x.size):
        x[i] = even_node(ends, last, full_index(start + i, stride, last))
    for i in range(w.size):
        w[i] = step * stride
    for k in range(-2, 1):  # weights of the last two nodes, whose steps may be shorter, and of the first
        i = (count(layout) + k if k < 0 else 0) - start
        if 0 <= i < w.size:
            w[i] = even_weight(start + i, step, stride, last)


@AXIS.implement
def given_axis(nodes, weights, ends, layout, start, x, w):
    """Fill in the nodes and weights of any axis."""
    if layout[NODES] >= 0 and layout[STRIDE] == 1:
        run = nodes[layout[NODES] + start : layout[NODES] + start + x.size]
        for i in range(x.size):
            x[i] = run[i]
    else:
        for i in range(x.size):
            x[i] = node_at(nodes, ends, layout, start + i)
    if layout[EDGES] >= 0 and layout[STRIDE] == 1:
        edges = weights[layout[EDGES] + start : layout[EDGES] + start + w.size + 1]
        for i in range(w.size):
            w[i] = edges[i + 1] - edges[i]
    else:
        for i in range(w.size):
            w[i] = weight_at(nodes, weights, ends, layout, start + i)


@pasted
def fill_axis(grid, d, start, x, w):
    """Fill in x[i] = node start + i of axis d, and w[i] = its weight."""
    _fill(grid.layout[d, FILL], grid.nodes, grid.weights, grid.ends[d], grid.layout[d], start, x, w)


@block
def last_below(grid, x):
    """Index of the last node of a row at or below x, or of one before it; 0 if all nodes are above x."""
    inner = grid.layout.shape[0] - 1
    ends, layout = grid.ends[inner], grid.layout[inner]
    n, stride = count(layout), layout[STRIDE]
    if not x > ends[LOWER]:
        return 0
    if x >= ends[UPPER]:
        return n - 1
    if layout[NODES] < 0:
        return min(max(int((x - ends[LOWER]) / (ends[STEP] * stride)) - 1, 0), n - 1)
    left, right, begin = 0, n - 1, layout[NODES]
    while right - left > 1:
        middle = (left + right) // 2
        if grid.nodes[begin + middle * stride] <= x:
            left = middle
        else:
            right = middle
    return left


@block
def fill_box(grid, start, stop, lower, upper):
    """Fill in the corners of the smallest box, with sides along the axes, that holds the points start <= i < stop."""
    first, last, rest, split = start, stop - 1, 1, False
    for d in range(grid.layout.shape[0]):
        rest *= count(grid.layout[d])
    for d in range(grid.layout.shape[0]):
        n = count(grid.layout[d])
        rest //= n
        lower[d] = node_at(grid.nodes, grid.ends[d], grid.layout[d], 0 if split else first // rest)
        upper[d] = node_at(grid.nodes, grid.ends[d], grid.layout[d], n - 1 if split else last // rest)
        split = split or first // rest != last // rest
        first, last = first % rest, last % rest
