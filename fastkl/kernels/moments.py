"""Moments of a density over the only axis of a grid: of the density itself, and of a Normal tilted by it."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero
from fastkl.jit import tiled
from fastkl.kernels.axes import fill_axis, node_at, place_in_row
from fastkl.kernels.density import BLOCK, evaluate
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE, START

MASS, FIRST, SECOND, CENTRE, PEAK, PEAK_INDEX, ZERO_INDEX = range(7)


@tiled(outputs=7)
def cell_moments(partial, start, stop, functions, components, values, table_nodes, nodes, weights, geometry):
    """Mass and the first two moments about the cell's centre; the peak; the first zero (or -1).

    A cell is a tile. Moments about a nearby centre add up to those of the whole without cancellation.
    """
    x, w, scratch, log_p = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    axis, outer, at = geometry[0], np.empty(0), np.empty(PLACE, np.int64)
    place_in_row(axis, 0, at)
    centre = node_at(nodes, axis, (start + stop) // 2)
    mass, first, second = 0.0, 0.0, 0.0
    peak, peak_index, zero_index = -np.inf, start, -1
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        fill_axis(nodes, weights, axis, begin, x[:n], w[:n])
        at[START] = begin
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        for i in range(n):
            share, distance = w[i] * exp_or_zero(log_p[i]), x[i] - centre
            mass += share
            first += share * distance
            second += share * distance * distance
        for i in range(n):
            if log_p[i] > peak:
                peak, peak_index = log_p[i], begin + i
            if log_p[i] == -np.inf and zero_index < 0:
                zero_index = begin + i
    partial[MASS], partial[FIRST], partial[SECOND], partial[CENTRE] = mass, first, second, centre
    partial[PEAK], partial[PEAK_INDEX], partial[ZERO_INDEX] = peak, peak_index, zero_index


@tiled(outputs=10)
def normal_moments(
    partial, start, stop, loc, scale, functions, components, values, table_nodes, nodes, weights, geometry
):
    """Sums of u z**k and of u z**k g, k = 0 ... 4, for a Normal against a density p.

    z = (x - loc)/scale, u = w exp(-z**2/2) and g = -z**2/2 - log p: what the value, the gradient and the
    Hessian of KL(q||p) in (loc, log scale) are made of.
    """
    x, w, scratch, log_p = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    axis, outer, at = geometry[0], np.empty(0), np.empty(PLACE, np.int64)
    place_in_row(axis, 0, at)
    m0, m1, m2, m3, m4 = 0.0, 0.0, 0.0, 0.0, 0.0
    g0, g1, g2, g3, g4 = 0.0, 0.0, 0.0, 0.0, 0.0
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        fill_axis(nodes, weights, axis, begin, x[:n], w[:n])
        at[START] = begin
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        for i in range(n):
            z = (x[i] - loc) / scale
            exponent = -0.5 * z * z
            u0 = w[i] * exp_or_zero(exponent)
            u1 = u0 * z
            u2 = u1 * z
            u3 = u2 * z
            u4 = u3 * z
            g = exponent - log_p[i]
            m0 += u0
            m1 += u1
            m2 += u2
            m3 += u3
            m4 += u4
            g0 += u0 * g
            g1 += u1 * g
            g2 += u2 * g
            g3 += u3 * g
            g4 += u4 * g
    partial[0], partial[1], partial[2], partial[3], partial[4] = m0, m1, m2, m3, m4
    partial[5], partial[6], partial[7], partial[8], partial[9] = g0, g1, g2, g3, g4
