"""Densities known by their values on a grid."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import log
from fastkl.jit import block, scalar
from fastkl.kernels.axes import full_index
from fastkl.kernels.interfaces import EVALUATE
from fastkl.kernels.records import BASE, BY_LOG, END, EVERY, FACTOR, LOWEST, START


@EVALUATE.implement
def table_at_nodes(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a table at nodes of its own grid."""
    base, first, stride, last = at[BASE], at[START], at[EVERY], at[END]
    factor, by_log, lowest = components[0, FACTOR], components[0, BY_LOG] == 1.0, components[0, LOWEST]
    if stride == 1:
        run = values[base + first : base + first + out.size]
    else:
        run = scratch
        whole = min(max((last - first * stride) // stride + 1, 0), out.size)  # nodes but the last, which may be nearer
        begin = base + first * stride
        for i in range(whole):
            run[i] = values[begin + i * stride]
        for i in range(whole, out.size):
            run[i] = values[base + full_index(first + i, stride, last)]
    if by_log:
        for i in range(out.size):
            out[i] = max(factor + run[i], lowest)
    else:
        for i in range(out.size):
            out[i] = max(factor + log(run[i]), lowest)


@block
def _interval(nodes, x):
    """Largest index i with nodes[i] <= x, but at most that of the last node but one."""
    left, right = 0, nodes.size - 1
    while right - left > 1:
        middle = (left + right) // 2
        if nodes[middle] <= x:
            left = middle
        else:
            right = middle
    return left


@scalar
def _mixed(low, high, share):
    """Linear interpolation between two logarithms, either of which may be -inf."""
    # at a node, or if both are -inf, the product would be 0 * inf or inf - inf
    if share == 0.0 or low == high:
        return low
    if share == 1.0:
        return high
    return low + (high - low) * share if min(low, high) > -np.inf else -np.inf


@block
def _value(component, values, index):
    """Log-density of a table at node number *index*."""
    value = values[index] if component[BY_LOG] == 1.0 else log(values[index])
    return max(component[FACTOR] + value, component[LOWEST])


@EVALUATE.implement
def table_between_nodes(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a table between its nodes, linear in the log along every axis; -inf outside the table.

    The numbers of nodes of the axes stand behind the numbers of the component. x increases, so the interval that
    holds it is found once and from then on moves to the right. Of the other axes, which do not change along a row,
    every combination of neighbouring nodes is a corner: 2**(D - 1) of them are mixed at each of the two nodes beside x.
    """
    inner = outer.size
    component = components[0]
    shares, steps, corners = scratch[:inner], scratch[inner : 2 * inner], scratch[2 * inner : 2 * inner + (1 << inner)]
    base, begin, size, inside = 0, nodes.size, 1, True
    length = int(component[LOWEST + 1 + inner])
    for d in range(inner, -1, -1):
        n = int(component[LOWEST + 1 + d])
        begin -= n
        if d < inner:
            own = nodes[begin : begin + n]
            inside = inside and own[0] <= outer[d] <= own[-1]
            i = _interval(own, outer[d])
            shares[d] = (outer[d] - own[i]) / (own[i + 1] - own[i])
            steps[d] = size
            base += i * size
        size *= n
    own = nodes[nodes.size - length :]
    left = _interval(own, x[0])
    known = -1  # index of the node of which `low` is the value
    low, high = 0.0, 0.0
    for i in range(x.size):
        if not inside or not own[0] <= x[i] <= own[-1]:
            out[i] = -np.inf
            continue
        while left + 2 < length and own[left + 1] <= x[i]:
            left += 1
        if left != known:
            if known >= 0 and known == left - 1:
                low = high
            else:
                low = _at_node(component, values, base + left, shares, steps, corners)
            high = _at_node(component, values, base + left + 1, shares, steps, corners)
            known = left
        out[i] = _mixed(low, high, (x[i] - own[left]) / (own[left + 1] - own[left]))


@block
def _at_node(component, values, index, shares, steps, corners):
    """Log-density on the row at one node of the last axis, mixed from the corners around the row."""
    for corner in range(corners.size):
        offset = 0
        for d in range(shares.size):
            offset += int(steps[d]) if corner >> d & 1 else 0
        corners[corner] = _value(component, values, index + offset)
    width = corners.size
    for d in range(shares.size - 1, -1, -1):
        width >>= 1
        for corner in range(width):
            corners[corner] = _mixed(corners[corner], corners[corner + width], shares[d])
    return corners[0]


@EVALUATE.implement
def table_of_cells(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a table that is constant in cells, whose edges are the nodes; -inf outside the cells.

    The numbers of cells of the axes stand behind the numbers of the component. A cell includes its lower edge, and the
    last one of an axis its upper edge too.
    """
    inner, component = outer.size, components[0]
    base, begin, size, inside = 0, nodes.size, 1, True
    length = int(component[LOWEST + 1 + inner])
    for d in range(inner, -1, -1):
        n = int(component[LOWEST + 1 + d])
        begin -= n + 1
        if d < inner:
            own = nodes[begin : begin + n + 1]
            inside = inside and own[0] <= outer[d] <= own[-1]
            base += _interval(own, outer[d]) * size
        size *= n
    own = nodes[nodes.size - length - 1 :]
    for i in range(x.size):
        inside_here = inside and own[0] <= x[i] <= own[-1]
        out[i] = _value(component, values, base + _interval(own, x[i])) if inside_here else -np.inf
