"""The largest log-density in every cell of a grid, by which the modes of a density are found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary.bits import float_bits, from_bits
from fastkl.jit import block, buffer, scalar, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.axes import count, length_of_row
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.walk import enter_row, fill_logs, fill_run, new_run

ALL_BUT_SIGN = np.int64(2**63 - 1)
LOWEST = np.int64(-(2**63))


@scalar
def _ordered(bits):
    """The bits of a double as an integer in the order of doubles, and the inverse: a maximum of these vectorises."""
    return bits ^ ((bits >> 63) & ALL_BUT_SIGN)


@block
def extremes(values):
    """The smallest and the largest of the *values*; a NaN is below or above all numbers."""
    least, most = ALL_BUT_SIGN, LOWEST
    for i in range(values.size):
        rank = _ordered(float_bits(values[i]))
        least = min(least, rank)
        most = max(most, rank)
    return from_bits(_ordered(least)), from_bits(_ordered(most))


class Cells(NamedTuple):
    """Division of the nodes of a grid into cells, and of the cells into strips."""

    sides: Any
    """Number of nodes of a cell along each axis."""
    counts: Any
    """Number of cells along each axis."""
    in_strip: int
    """Number of cells in a strip, which is a run of cells along the last axis."""


@tiled(outputs=1)
def cell_peaks(partial, start, stop, p, grid, cells, peaks):
    """Fill in peaks[c] = the largest log-density in cell c; the result is 1 if the density is 0 somewhere.

    A point of this kernel is a strip.
    """
    D, length = grid.layout.shape[0], length_of_row(grid)
    run, log_p = new_run(grid), buffer(BLOCK)
    corner, sizes = np.zeros(D, np.int64), np.ones(D, np.int64)
    side = cells.sides[D - 1]
    together = max(BLOCK // side, 1) * side
    strips = -(-cells.counts[D - 1] // cells.in_strip)
    lowest = np.inf
    for strip in range(start, stop):
        rest, rows = strip // strips, 1
        line = rest * cells.counts[D - 1]
        for d in range(D - 2, -1, -1):
            corner[d] = rest % cells.counts[d] * cells.sides[d]
            sizes[d] = min(cells.sides[d], count(grid.layout[d]) - corner[d])
            rows *= sizes[d]
            rest //= cells.counts[d]
        first = strip % strips * cells.in_strip * side
        after = min(first + cells.in_strip * side, length)
        for r in range(rows):
            row, rest, stretch = 0, r, 1
            for d in range(D - 2, -1, -1):
                row += (corner[d] + rest % sizes[d]) * stretch
                rest //= sizes[d]
                stretch *= count(grid.layout[d])
            enter_row(run, grid, row)
            for begin in range(first, after, together):
                end = min(begin + together, after)
                for i in range(begin, end, BLOCK):  # a cell may be longer than a block, or a block hold many cells
                    m = min(BLOCK, end - i)
                    fill_run(run, grid, i, m)
                    fill_logs(p, run, m, log_p)
                    for j in range(i, i + m, min(side, BLOCK)):
                        least, most = extremes(log_p[j - i : min(j - i + side, m)])
                        cell = line + j // side
                        peaks[cell] = max(peaks[cell], most)
                        lowest = min(lowest, least)
    partial[0] = 1.0 if lowest == -np.inf else 0.0
