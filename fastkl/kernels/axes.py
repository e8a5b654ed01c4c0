"""Nodes and trapezoid weights of an axis, computed where they are used.

Node i of an axis with a stride is node ``j(i) = min(i * stride, last)`` of the full one: both ends
always belong to it. The trapezoid weight is half the distance of its neighbours. On equally spaced
nodes that distance is a difference of *indices* times the step, which costs no digits, where a
difference of neighbouring nodes costs up to 1e-12.
"""

from __future__ import annotations

from fastkl.jit import block, scalar
from fastkl.kernels.records import LAST, LOWER, STEP, STRIDE, UPPER


@scalar
def full_index(i, stride, last):
    """The index on the full axis of node i of an axis with a stride."""
    return min(max(i, 0) * stride, last)


@block
def fill_nodes(nodes, geometry, start, x):
    """x[i] = node start + i."""
    stride, last = int(geometry[STRIDE]), int(geometry[LAST])
    if nodes.size > 0:
        for i in range(x.size):
            x[i] = nodes[full_index(start + i, stride, last)]
    else:
        lower, upper, step = geometry[LOWER], geometry[UPPER], geometry[STEP]
        for i in range(x.size):
            j = full_index(start + i, stride, last)
            x[i] = upper if j == last else lower + step * j


@block
def fill_weights(nodes, geometry, start, w):
    """w[i] = trapezoid weight of node start + i."""
    stride, last = int(geometry[STRIDE]), int(geometry[LAST])
    if nodes.size > 0:
        for i in range(w.size):
            after, before = full_index(start + i + 1, stride, last), full_index(start + i - 1, stride, last)
            w[i] = 0.5 * (nodes[after] - nodes[before])
    else:
        half_step = 0.5 * geometry[STEP]
        for i in range(w.size):
            after, before = full_index(start + i + 1, stride, last), full_index(start + i - 1, stride, last)
            w[i] = half_step * (after - before)
