"""The statistics of exponential families on the line, and their sums over a density.

All that such a family sees of p is the means of two functions of x, in which its own logarithm is linear.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, log
from fastkl.jit import Interface, block, tiled
from fastkl.kernels.axes import fill_axis, place_in_row
from fastkl.kernels.density import BLOCK, evaluate
from fastkl.kernels.families import log1p
from fastkl.kernels.integrals import DIVERGENCE, MASS_A, MASS_B, SURPLUS, sums_of_logs
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE, START

LOG_RATIO, FIRST, SECOND = 5, 6, 7

STATISTICS = Interface("void(float64[::1], float64[::1], float64[::1], float64[::1])")
"""``(parameters, x, first, second)``: fills in both statistics; the parameters keep them about 1."""
_statistics = STATISTICS.call


@STATISTICS.implement
def gamma(parameters, x, first, second):
    """log z and z = x/scale."""
    scale = parameters[0]
    for i in range(x.size):
        z = x[i] / scale
        first[i], second[i] = log(z), z


@STATISTICS.implement
def beta(parameters, x, first, second):
    """log x and log(1 - x)."""
    for i in range(x.size):
        first[i], second[i] = log(x[i]), log1p(-x[i])


@STATISTICS.implement
def log_normal(parameters, x, first, second):
    """z and z**2, z = (log x - loc)/s."""
    loc, inverse_scale = parameters[0], parameters[1]
    for i in range(x.size):
        z = (log(x[i]) - loc) * inverse_scale
        first[i], second[i] = z, z * z


@block
def _fill_log_density(first, second, coefficients, log_q):
    """A logarithm that is linear in both statistics."""
    constant, by_first, by_second = coefficients[0], coefficients[1], coefficients[2]
    for i in range(log_q.size):
        value = constant + by_first * first[i] + by_second * second[i]
        log_q[i] = value if value == value else -np.inf  # a LogNormal at 0, where it has inf - inf


@block
def _add_means(w, log_p, log_q, first, second, partial):
    """Add the sums of p times log(p/q) and both statistics."""
    log_ratio, one, two = 0.0, 0.0, 0.0
    for i in range(w.size):
        share = w[i] * exp_or_zero(log_p[i])
        there = share > 0.0  # else they may be infinite
        log_ratio += share * (log_p[i] - log_q[i] if there else 0.0)
        one += share * (first[i] if there else 0.0)
        two += share * (second[i] if there else 0.0)
    partial[LOG_RATIO] += log_ratio
    partial[FIRST] += one
    partial[SECOND] += two


@tiled(outputs=8)
def statistic_sums(
    partial, start, stop, address, parameters, coefficients, functions, components, values, table_nodes, nodes,
    weights, geometry,
):  # fmt: skip
    """What `kl_integral` gives for p and q, and the integrals of p times log(p/q) and both statistics.

    log q is linear in the statistics, with these coefficients: a constant and one for each.
    """
    axis = geometry[0]
    x, w, scratch, log_p = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    first, second, log_q = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    outer, at = np.empty(0), np.empty(PLACE, np.int64)
    place_in_row(axis, at)
    for i in range(start, stop, BLOCK):
        n = min(BLOCK, stop - i)
        at[START] = i
        fill_axis(nodes, weights, axis, i, x[:n], w[:n])
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        _statistics(address, parameters, x[:n], first[:n], second[:n])
        _fill_log_density(first[:n], second[:n], coefficients, log_q[:n])
        total, mass_p, mass_q, surplus = sums_of_logs(log_p[:n], log_q[:n], w[:n], 0.0, 0.0)
        partial[DIVERGENCE] += total
        partial[MASS_A] += mass_p
        partial[MASS_B] += mass_q
        partial[SURPLUS] += surplus
        _add_means(w[:n], log_p[:n], log_q[:n], first[:n], second[:n], partial)
