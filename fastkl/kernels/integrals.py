"""The KL integral of two densities over a grid, both evaluated on the way."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, fast_kl_term, kl_term, kl_term_of_logs
from fastkl.jit import block, tiled
from fastkl.kernels.axes import count, enter_row, fill_box, fill_nodes, fill_weights, full_index
from fastkl.kernels.density import BLOCK, bound, evaluate
from fastkl.kernels.records import BASE, BOUNDS_OF, DENSITY_OF, END, EVERY, LOG_DENSITY_OF, START

RUN = 256
"""Points of a row that are bounded, and skipped or not, together, where there is more than one axis."""

SMALLEST_LOG, LARGEST_LOG = -650.0, 690.0
"""Logarithms of numbers that the short term takes."""

DIVERGENCE, MASS_A, MASS_B, SURPLUS, SKIPPED = range(5)


@block
def _negligible(low_a, high_a, low_b, high_b, limit):
    """Whether a log(a/b) - a + b cannot be above *limit* in size between these bounds of log a and log b."""
    if not (high_a < LARGEST_LOG and high_b < LARGEST_LOG):
        return False
    return exp_or_zero(high_a) * (1.0 + max(high_a - low_b, 0.0)) + exp_or_zero(high_b) <= limit


@tiled(outputs=5)
def kl_integral(
    partial, start, stop, functions_a, components_a, values_a, nodes_a, functions_b, components_b, values_b, nodes_b,
    log_factor, limit, nodes, weights, geometry,
):  # fmt: skip
    """The integrals of a log(a/b) - a + b, a, b and b - a, where b is multiplied by exp(log_factor).

    What both densities say of a box, a tile or a run of a row, decides how it is done: not at all, if the term is
    below *limit*; by the densities, if they neither underflow nor overflow; or else by their logarithms. The last
    output is the number of points that were skipped.
    """
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, scratch, a, b = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    lower, upper, bounds_a, bounds_b = np.empty(D), np.empty(D), np.empty(2), np.empty(2)
    at = np.empty(4, np.int64)
    outer = lower[: D - 1]
    bounded = functions_a[BOUNDS_OF] != 0 and functions_b[BOUNDS_OF] != 0
    by_value = bounded and functions_a[DENSITY_OF] != 0 and functions_b[DENSITY_OF] != 0
    factor = np.exp(log_factor)
    divergence, mass_a, mass_b, surplus, skipped = 0.0, 0.0, 0.0, 0.0, 0.0
    begin = start
    if bounded and D > 1:
        fill_box(nodes, geometry, start, stop, lower, upper)
        bound(functions_a[BOUNDS_OF], components_a, values_a, nodes_a, lower, upper, bounds_a)
        bound(functions_b[BOUNDS_OF], components_b, values_b, nodes_b, lower, upper, bounds_b)
        if _negligible(bounds_a[0], bounds_a[1], bounds_b[0] + log_factor, bounds_b[1] + log_factor, limit):
            skipped, begin = float(stop - start), stop
    row, shared, piece = -1, 0.0, BLOCK if D == 1 else RUN
    while begin < stop:
        first = begin % length
        if begin // length != row:
            row = begin // length
            shared = enter_row(nodes, weights, geometry, row, outer, at)
            for k in range(D - 1):
                upper[k] = outer[k]
        n = min(piece, stop - begin, length - first)
        begin += n
        at[START] = first
        ordinary = False
        if bounded:
            fill_nodes(nodes, inner, first, lower[D - 1 :])
            fill_nodes(nodes, inner, first + n - 1, upper[D - 1 :])
            bound(functions_a[BOUNDS_OF], components_a, values_a, nodes_a, lower, upper, bounds_a)
            bound(functions_b[BOUNDS_OF], components_b, values_b, nodes_b, lower, upper, bounds_b)
            low_a, low_b, high_b = bounds_a[0], bounds_b[0] + log_factor, bounds_b[1] + log_factor
            if _negligible(low_a, bounds_a[1], low_b, high_b, limit):
                skipped += n
                continue
            ordinary = min(low_a, low_b) > SMALLEST_LOG and max(bounds_a[1], high_b) < LARGEST_LOG
        fill_nodes(nodes, inner, first, x[:n])
        fill_weights(nodes, weights, inner, first, w[:n])
        s, s_a, s_b, d = 0.0, 0.0, 0.0, 0.0
        if by_value and ordinary:
            evaluate(functions_a[DENSITY_OF], components_a, values_a, nodes_a, outer, at, x[:n], scratch, a[:n])
            evaluate(functions_b[DENSITY_OF], components_b, values_b, nodes_b, outer, at, x[:n], scratch, b[:n])
            for i in range(n):
                density_b = factor * b[i]
                s += w[i] * fast_kl_term(a[i], density_b)
                s_a += w[i] * a[i]
                s_b += w[i] * density_b
                d += w[i] * (density_b - a[i])
        else:
            evaluate(functions_a[LOG_DENSITY_OF], components_a, values_a, nodes_a, outer, at, x[:n], scratch, a[:n])
            evaluate(functions_b[LOG_DENSITY_OF], components_b, values_b, nodes_b, outer, at, x[:n], scratch, b[:n])
            for i in range(n):
                term, density_a, density_b = kl_term_of_logs(a[i], b[i] + log_factor)
                s += w[i] * term
                s_a += w[i] * density_a
                s_b += w[i] * density_b
                d += w[i] * (density_b - density_a)
        divergence += shared * s
        mass_a += shared * s_a
        mass_b += shared * s_b
        surplus += shared * d
    partial[DIVERGENCE], partial[MASS_A], partial[MASS_B] = divergence, mass_a, mass_b
    partial[SURPLUS], partial[SKIPPED] = surplus, skipped


@tiled(outputs=5)
def kl_integral_of_values(partial, start, stop, a, b, factor, nodes, weights, geometry):
    """The same for two tables of values at the nodes, without logarithms: keeps all digits as b -> a."""
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    w, outer, at = np.empty(BLOCK), np.empty(D - 1), np.empty(4, np.int64)
    divergence, mass_a, mass_b, surplus = 0.0, 0.0, 0.0, 0.0
    begin = start
    while begin < stop:
        first = begin % length
        shared = enter_row(nodes, weights, geometry, begin // length, outer, at)
        base, stride, last = at[BASE], at[EVERY], at[END]
        n = min(BLOCK, stop - begin, length - first)
        fill_weights(nodes, weights, inner, first, w[:n])
        s, s_a, s_b, d = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            j = base + full_index(first + i, stride, last)
            density_a, density_b = a[j], factor * b[j]
            s += w[i] * kl_term(density_a, density_b)
            s_a += w[i] * density_a
            s_b += w[i] * density_b
            d += w[i] * (density_b - density_a)
        divergence += shared * s
        mass_a += shared * s_a
        mass_b += shared * s_b
        surplus += shared * d
        begin += n
    partial[DIVERGENCE], partial[MASS_A], partial[MASS_B] = divergence, mass_a, mass_b
    partial[SURPLUS], partial[SKIPPED] = surplus, 0.0


@tiled(outputs=1)
def mass(partial, start, stop, functions, components, values, table_nodes, nodes, weights, geometry):
    """The integral of a density."""
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, scratch, log_p = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    outer, at = np.empty(D - 1), np.empty(4, np.int64)
    total, begin = 0.0, start
    while begin < stop:
        first = begin % length
        shared = enter_row(nodes, weights, geometry, begin // length, outer, at)
        at[START] = first
        n = min(BLOCK, stop - begin, length - first)
        fill_nodes(nodes, inner, first, x[:n])
        fill_weights(nodes, weights, inner, first, w[:n])
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        s = 0.0
        for i in range(n):
            s += w[i] * exp_or_zero(log_p[i])
        total += shared * s
        begin += n
    partial[0] = total
