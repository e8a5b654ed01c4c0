"""Log-densities of mixtures and tables, a block of nodes at a time.

Each is a function of the same interface, and kernels call it through its address: a kernel knows nothing of
families.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, log
from fastkl.jit import Interface, scalar, tiled
from fastkl.kernels.axes import fill_nodes, full_index
from fastkl.kernels.records import BY_LOG, FACTOR, INVERSE_SCALE, LAST, LOC, LOWEST, STRIDE

BLOCK = 1024
"""Nodes that are evaluated together: five buffers of them stay in a L1 cache of 48 kB."""

NEGLIGIBLE = 37.0
"""exp(-37) is less than half a unit in the last place of 1: adding it changes nothing."""

LOG_DENSITY = Interface(
    "void(float64[:, ::1], float64[:, ::1], float64[::1], int64, float64[::1], float64[::1], float64[::1])"
)
"""``(components, table, geometry, start, x, scratch, out)``: out[i] = the log-density at x[i].

x[i] is node start + i of the axis that `geometry` describes; see `fastkl.kernels.records`.
"""
fill_log_density = LOG_DENSITY.call


@scalar
def _exponent(x, factor, loc, inverse_scale):
    z = (x - loc) * inverse_scale
    return factor - 0.5 * z * z


@LOG_DENSITY.implement
def normal_mixture(components, table, geometry, start, x, scratch, out):
    """The log of the sum over components of exp(factor - z**2/2), z = (x - loc) * inverse_scale.

    It is out + log(total), where out is the largest exponent, so nothing underflows; every further component
    costs one exp. A component that lies so far below the others over the whole block that its addition
    would round away costs nothing, and where one is left there is no logarithm to take.
    """
    total = scratch
    negligible = NEGLIGIBLE + np.log(components.shape[0])
    left, right = x[0], x[-1]
    floor, ceiling, shared = -np.inf, -np.inf, False  # floor <= out <= ceiling
    for c in range(components.shape[0]):
        factor, loc, inverse_scale = components[c, FACTOR], components[c, LOC], components[c, INVERSE_SCALE]
        lowest = min(_exponent(left, factor, loc, inverse_scale), _exponent(right, factor, loc, inverse_scale))
        highest = _exponent(min(max(loc, left), right), factor, loc, inverse_scale)
        if highest < floor - negligible:
            continue
        if lowest > ceiling + negligible:
            shared = False
            for i in range(x.size):
                out[i] = _exponent(x[i], factor, loc, inverse_scale)
                total[i] = 1.0
        else:
            shared = True
            for i in range(x.size):
                exponent = _exponent(x[i], factor, loc, inverse_scale)
                lead = out[i] - exponent
                ratio = exp_or_zero(-abs(lead))
                total[i] = total[i] + ratio if lead >= 0.0 else total[i] * ratio + 1.0
                out[i] = out[i] if lead >= 0.0 else exponent
        floor, ceiling = max(floor, lowest), max(ceiling, highest)
    if shared:
        for i in range(x.size):
            out[i] += log(total[i])


@LOG_DENSITY.implement
def table_at_nodes(components, table, geometry, start, x, scratch, out):
    """The log of a value for each node of the axis."""
    values, stride, last = table[0], int(geometry[STRIDE]), int(geometry[LAST])
    factor, by_log, lowest = components[0, FACTOR], components[0, BY_LOG] == 1.0, components[0, LOWEST]
    if stride == 1:
        run = values[start : start + out.size]
    else:
        run = scratch
        for i in range(out.size):
            run[i] = values[full_index(start + i, stride, last)]
    if by_log:
        for i in range(out.size):
            out[i] = max(factor + run[i], lowest)
    else:
        for i in range(out.size):
            out[i] = max(factor + log(run[i]), lowest)


@LOG_DENSITY.implement
def table_between_nodes(components, table, geometry, start, x, scratch, out):
    """The log of a value between the nodes of a table, linear in the log; -inf off the table.

    x increases, so the interval that holds it is found once and from then on moves to the right.
    """
    values, nodes = table[0], table[1]
    factor, by_log, lowest = components[0, FACTOR], components[0, BY_LOG] == 1.0, components[0, LOWEST]
    left, right = 0, nodes.size - 1
    while right - left > 1:
        middle = (left + right) // 2
        if nodes[middle] <= x[0]:
            left = middle
        else:
            right = middle
    for i in range(x.size):
        if not nodes[0] <= x[i] <= nodes[-1]:
            out[i] = -np.inf
            continue
        while left + 2 < nodes.size and nodes[left + 1] <= x[i]:
            left += 1
        share = (x[i] - nodes[left]) / (nodes[left + 1] - nodes[left])
        log_left, log_right = values[left], values[left + 1]
        if not by_log:
            log_left, log_right = log(log_left), log(log_right)
        log_left, log_right = max(factor + log_left, lowest), max(factor + log_right, lowest)
        # at a node, and where both are -inf, the product would be 0 * inf or inf - inf
        if share == 0.0 or log_left == log_right:
            out[i] = log_left
        elif share == 1.0:
            out[i] = log_right
        else:
            out[i] = log_left + (log_right - log_left) * share if min(log_left, log_right) > -np.inf else -np.inf


@tiled(outputs=0)
def log_density(partial, start, stop, density, components, table, nodes, geometry, origin, out):
    """out[i] = log-density at node origin + i of the axis."""
    x, scratch = np.empty(BLOCK), np.empty(BLOCK)
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        fill_nodes(nodes, geometry, begin, x[:n])
        run = out[begin - origin : begin - origin + n]
        fill_log_density(density, components, table, geometry, begin, x[:n], scratch[:n], run)
