"""Nodes and weights of the axes of a grid, computed where they are used.

The points of a grid are numbered with the last axis running fastest; a *row* is what they have in common that
differ in it alone. Node i of an axis with a stride is node ``j(i) = min(i * stride, last)`` of the full one: both
ends always belong to it. The trapezoid weight is half the distance of its neighbours. On equally spaced nodes
that distance is a difference of *indices* times the step, which costs no digits, where a difference of
neighbouring nodes costs up to 1e-12.
"""

from __future__ import annotations

from fastkl.jit import block, scalar
from fastkl.kernels.records import BASE, END, EVEN, EVERY, LAST, LOWER, NODES, STEP, STRIDE, UPPER, WEIGHTS


@scalar
def full_index(i, stride, last):
    """The index on the full axis of node i of an axis with a stride."""
    return min(max(i, 0) * stride, last)


@block
def count(axis):
    """How many nodes an axis with its stride has."""
    last, stride = int(axis[LAST]), int(axis[STRIDE])
    return (last + stride - 1) // stride + 1


@block
def fill_nodes(nodes, axis, start, x):
    """x[i] = node start + i."""
    stride, last, begin = int(axis[STRIDE]), int(axis[LAST]), int(axis[NODES])
    if begin >= 0:
        for i in range(x.size):
            x[i] = nodes[begin + full_index(start + i, stride, last)]
    else:
        lower, upper, step = axis[LOWER], axis[UPPER], axis[STEP]
        for i in range(x.size):
            j = full_index(start + i, stride, last)
            x[i] = upper if j == last else lower + step * j


@block
def fill_weights(nodes, weights, axis, start, w):
    """w[i] = weight of node start + i."""
    stride, last, begin, given = int(axis[STRIDE]), int(axis[LAST]), int(axis[NODES]), int(axis[WEIGHTS])
    if given >= 0:
        for i in range(w.size):
            w[i] = weights[given + start + i]
    elif begin >= 0:
        for i in range(w.size):
            after, before = full_index(start + i + 1, stride, last), full_index(start + i - 1, stride, last)
            w[i] = 0.5 * (nodes[begin + after] - nodes[begin + before])
    elif start > 0 and (start + w.size) * stride <= last:  # between the ends all are equal
        step = axis[STEP] * stride
        for i in range(w.size):
            w[i] = step
    else:
        half_step = 0.5 * axis[STEP]
        for i in range(w.size):
            after, before = full_index(start + i + 1, stride, last), full_index(start + i - 1, stride, last)
            w[i] = half_step * (after - before)


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
    begin, last = int(axis[NODES]), int(axis[LAST])
    left, right = 0, n - 1
    while right - left > 1:
        middle = (left + right) // 2
        if nodes[begin + full_index(middle, stride, last)] <= x:
            left = middle
        else:
            right = middle
    return left


@block
def enter_row(nodes, weights, geometry, row, outer, at):
    """The weight that the points of a row share; fills in its coordinates on the other axes, and where it begins.

    ``at`` is what a table needs to find its values: see `fastkl.kernels.density`.
    """
    inner = geometry.shape[0] - 1
    shared, base, size = 1.0, 0, int(geometry[inner, LAST]) + 1
    for d in range(inner - 1, -1, -1):
        axis = geometry[d]
        n = count(axis)
        i = row % n
        row //= n
        fill_weights(nodes, weights, axis, i, outer[d : d + 1])
        shared *= outer[d]
        fill_nodes(nodes, axis, i, outer[d : d + 1])
        base += full_index(i, int(axis[STRIDE]), int(axis[LAST])) * size
        size *= int(axis[LAST]) + 1
    stride, last = int(geometry[inner, STRIDE]), int(geometry[inner, LAST])
    at[BASE], at[EVERY], at[END] = base, stride, last
    at[EVEN] = 1 if geometry[inner, NODES] < 0.0 and last % stride == 0 else 0
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
        from_, to = (0, n - 1) if split else (first // rest, last // rest)
        fill_nodes(nodes, geometry[d], from_, lower[d : d + 1])
        fill_nodes(nodes, geometry[d], to, upper[d : d + 1])
        split = split or from_ != to
        first, last = first % rest, last % rest
