"""Nodes and weights of the axes of a grid, computed where they are used.

The points of a grid are numbered with the last axis running fastest; a *row* is what they have in common that
differ in it alone. Node i of an axis with a stride is node ``j(i) = min(i * stride, last)`` of the full one: both
ends always belong to it. The trapezoid weight is half the distance of its neighbours. On equally spaced nodes
that distance is a difference of *indices* times the step, which costs no digits, where a difference of
neighbouring nodes costs up to 1e-12.
"""

from __future__ import annotations

from fastkl.jit import Interface, block, scalar
from fastkl.kernels.records import BASE, EDGES, END, EVEN, EVERY, FILL, LAST, LOWER, NODES, STEP, STRIDE, UPPER, WEIGHTS

AXIS = Interface("void(float64[::1], float64[::1], float64[::1], int64, float64[::1], float64[::1])")
"""``(nodes, weights, axis, start, x, w)``: x[i] = node start + i, w[i] = its weight."""
_fill = AXIS.call


@scalar
def full_index(i, stride, last):
    """The index on the full axis of node i of an axis with a stride."""
    return min(max(i, 0) * stride, last)


@scalar
def count(axis):
    """How many nodes an axis with its stride has."""
    last, stride = int(axis[LAST]), int(axis[STRIDE])
    return (last + stride - 1) // stride + 1


@scalar
def _even_node(axis, j):
    """Node j of the full axis, where nodes are equally spaced."""
    return axis[UPPER] if j == int(axis[LAST]) else axis[LOWER] + axis[STEP] * j


@scalar
def _even_weight(i, step, stride, last):
    """The trapezoid weight of node i, where nodes are equally spaced."""
    return 0.5 * step * (full_index(i + 1, stride, last) - full_index(i - 1, stride, last))


@scalar
def node_at(nodes, axis, i):
    """Node i."""
    j = full_index(i, int(axis[STRIDE]), int(axis[LAST]))
    return nodes[int(axis[NODES]) + j] if axis[NODES] >= 0.0 else _even_node(axis, j)


@scalar
def weight_at(nodes, weights, axis, i):
    """The weight of node i."""
    if axis[WEIGHTS] >= 0.0:
        return weights[int(axis[WEIGHTS]) + i]
    stride, last = int(axis[STRIDE]), int(axis[LAST])
    if axis[EDGES] >= 0.0 and stride == 1:
        return weights[int(axis[EDGES]) + i + 1] - weights[int(axis[EDGES]) + i]
    if axis[NODES] < 0.0:
        return _even_weight(i, axis[STEP], stride, last)
    first, after, before = int(axis[NODES]), full_index(i + 1, stride, last), full_index(i - 1, stride, last)
    weight = 0.5 * (nodes[first + after] - nodes[first + before])
    # some of the cells: the function is constant from the outer nodes to the ends, which are nodes of other rules
    if i == 0:
        weight += nodes[first] - axis[LOWER]
    if full_index(i, stride, last) == last:
        weight += axis[UPPER] - nodes[first + last]
    return weight


@scalar
def has_one_weight(axis, start, n):
    """Whether these nodes are equally spaced, with both neighbours, under the trapezoid rule."""
    stride = int(axis[STRIDE])
    return axis[NODES] < 0.0 and axis[WEIGHTS] < 0.0 and start > 0 and (start + n) * stride <= int(axis[LAST])


@AXIS.implement
def even_axis(nodes, weights, axis, start, x, w):
    """Equally spaced nodes, and the weights of the trapezoid rule."""
    stride, last = int(axis[STRIDE]), int(axis[LAST])
    lower, step = axis[LOWER], axis[STEP]
    whole = min(max((last - start * stride) // stride, 0), x.size)  # those before the last node
    for i in range(whole):
        x[i] = lower + step * ((start + i) * stride)
    for i in range(whole, x.size):
        x[i] = _even_node(axis, full_index(start + i, stride, last))
    for i in range(w.size):
        w[i] = step * stride
    for k in range(-2, 1):  # the last two, whose steps may be shorter, and the first one
        i = (count(axis) + k if k < 0 else 0) - start
        if 0 <= i < w.size:
            w[i] = _even_weight(start + i, step, stride, last)


@AXIS.implement
def given_axis(nodes, weights, axis, start, x, w):
    """Any nodes and weights."""
    if axis[NODES] >= 0.0 and axis[STRIDE] == 1.0:
        run = nodes[int(axis[NODES]) + start : int(axis[NODES]) + start + x.size]
        for i in range(x.size):
            x[i] = run[i]
    else:
        for i in range(x.size):
            x[i] = node_at(nodes, axis, start + i)
    if axis[EDGES] >= 0.0 and axis[STRIDE] == 1.0:
        edges = weights[int(axis[EDGES]) + start : int(axis[EDGES]) + start + w.size + 1]
        for i in range(w.size):
            w[i] = edges[i + 1] - edges[i]
    else:
        for i in range(w.size):
            w[i] = weight_at(nodes, weights, axis, start + i)


@scalar
def fill_axis(nodes, weights, axis, start, x, w):
    """x[i] = node start + i, w[i] = its weight."""
    _fill(int(axis[FILL]), nodes, weights, axis, start, x, w)


@block
def last_below(nodes, axis, x):
    """The last node at or below x, or one before it; the first one if all are above."""
    n, stride = count(axis), int(axis[STRIDE])
    if not x > axis[LOWER]:
        return 0
    if x >= axis[UPPER]:
        return n - 1
    if axis[NODES] < 0.0:
        return min(max(int((x - axis[LOWER]) / (axis[STEP] * stride)) - 1, 0), n - 1)
    left, right, begin = 0, n - 1, int(axis[NODES])
    while right - left > 1:
        middle = (left + right) // 2
        if nodes[begin + middle * stride] <= x:
            left = middle
        else:
            right = middle
    return left


@scalar
def place_in_row(axis, at):
    """Fill in what a table needs to find the values of a row whose first one is number 0."""
    stride, last = int(axis[STRIDE]), int(axis[LAST])
    at[BASE], at[EVERY], at[END] = 0, stride, last
    at[EVEN] = 1 if axis[NODES] < 0.0 and last % stride == 0 else 0


@block
def enter_row(nodes, weights, geometry, row, outer, at, scratch):
    """The weight that the points of a row share; fills in its coordinates on the other axes, and where it begins.

    ``at`` is what a table needs to find its values: see `fastkl.kernels.density`; scratch has room for a number.
    """
    inner = geometry.shape[0] - 1
    shared, base, size = 1.0, 0, int(geometry[inner, LAST]) + 1
    for d in range(inner - 1, -1, -1):
        axis = geometry[d]
        n = count(axis)
        i = row % n
        row //= n
        stride, last = int(axis[STRIDE]), int(axis[LAST])
        j = full_index(i, stride, last)
        if axis[NODES] < 0.0 and axis[WEIGHTS] < 0.0:
            outer[d] = _even_node(axis, j)
            shared *= _even_weight(i, axis[STEP], stride, last)
        else:  # by a call, which takes longer, but keeps all other rules out of every kernel that is compiled
            fill_axis(nodes, weights, axis, i, outer[d : d + 1], scratch[:1])
            shared *= scratch[0]
        base += j * size
        size *= last + 1
    place_in_row(geometry[inner], at)
    at[BASE] = base
    return shared


@block
def fill_box(nodes, geometry, start, stop, lower, upper):
    """The smallest box with sides along the axes that holds the points start <= i < stop."""
    first, last, rest, split = start, stop - 1, 1, False
    for d in range(geometry.shape[0]):
        rest *= count(geometry[d])
    for d in range(geometry.shape[0]):
        n = count(geometry[d])
        rest //= n
        lower[d] = node_at(nodes, geometry[d], 0 if split else first // rest)
        upper[d] = node_at(nodes, geometry[d], n - 1 if split else last // rest)
        split = split or first // rest != last // rest
        first, last = first % rest, last % rest
