"""The largest log-density in every cell of a grid: where the modes of a density are."""

from __future__ import annotations

import numpy as np

from fastkl.elementary.bits import float_bits, from_bits
from fastkl.jit import block, buffer, scalar, tiled
from fastkl.kernels.axes import count, enter_row, fill_axis
from fastkl.kernels.density import BLOCK, evaluate
from fastkl.kernels.records import LOG_DENSITY_OF, PLACE, START

ALL_BUT_SIGN = np.int64(2**63 - 1)
LOWEST = np.int64(-(2**63))


@scalar
def _ordered(bits):
    """The bits of a double as an integer in the order of the doubles, and back: a maximum of them vectorises."""
    return bits ^ ((bits >> 63) & ALL_BUT_SIGN)


@block
def _extremes(values):
    """The smallest and the largest number."""
    least, most = ALL_BUT_SIGN, LOWEST
    for i in range(values.size):
        rank = _ordered(float_bits(values[i]))
        least = min(least, rank)
        most = max(most, rank)
    return from_bits(_ordered(least)), from_bits(_ordered(most))


@tiled(outputs=1)
def cell_peaks(
    partial, start, stop, functions, components, values, table_nodes, nodes, weights, geometry, sides, cells,
    cells_in_strip, peaks,
):  # fmt: skip
    """peaks[c] = the largest log-density in cell c; the result is 1 where the density is 0 somewhere, for each strip.

    A cell has ``sides[d]`` nodes along axis d, of which there are ``cells[d]`` cells; a strip, which is what start and
    stop count, is a run of `cells_in_strip` cells along the last axis.
    """
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, scratch, log_p = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    outer, at = np.empty(D - 1), np.empty(PLACE, np.int64)
    corner, sizes = np.zeros(D, np.int64), np.ones(D, np.int64)
    side = sides[D - 1]
    together = max(BLOCK // side, 1) * side
    strips = -(-cells[D - 1] // cells_in_strip)
    lowest = np.inf
    for strip in range(start, stop):
        rest, rows = strip // strips, 1
        line = rest * cells[D - 1]
        for d in range(D - 2, -1, -1):
            corner[d] = rest % cells[d] * sides[d]
            sizes[d] = min(sides[d], count(geometry[d]) - corner[d])
            rows *= sizes[d]
            rest //= cells[d]
        first = strip % strips * cells_in_strip * side
        after = min(first + cells_in_strip * side, length)
        for r in range(rows):
            row, rest, stretch = 0, r, 1
            for d in range(D - 2, -1, -1):
                row += (corner[d] + rest % sizes[d]) * stretch
                rest //= sizes[d]
                stretch *= count(geometry[d])
            enter_row(nodes, weights, geometry, row, outer, at, scratch)
            for begin in range(first, after, together):
                end = min(begin + together, after)
                for i in range(begin, end, BLOCK):  # a cell may be longer than a block, or a block hold many cells
                    m = min(BLOCK, end - i)
                    at[START] = i
                    fill_axis(nodes, weights, inner, i, x[:m], w[:m])
                    run = log_p[:m]
                    evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:m], scratch, run)
                    for j in range(i, i + m, min(side, BLOCK)):
                        least, most = _extremes(log_p[j - i : min(j - i + side, m)])
                        cell = line + j // side
                        peaks[cell] = max(peaks[cell], most)
                        lowest = min(lowest, least)
    partial[0] = 1.0 if lowest == -np.inf else 0.0
