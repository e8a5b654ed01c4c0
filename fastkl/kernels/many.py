"""The generalised Jensen-Shannon divergence of several rows, sum(w_i KL(p_i||m)) with m = sum(w_i p_i).

It is summed as the terms w_i (p_i log(p_i/m) - p_i + m) >= 0, which add up to the same. The differences count where the
rows are alike: p_i = x_i c_i is kept with the part that rounding takes, d_i is its difference from the row of the
largest weight, and p_i - m = d_i - sum(w_k d_k), so that equal rows have differences of exactly 0. An error of m, or of
a row's mass, does not show: the sum is stationary in m, and changes by the share w_i KL(p_i||m) of an error of c_i.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastkl.elementary import fma, kl_term_of_difference, two_sum, with_lost
from fastkl.jit import block, buffers, scalar, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.reductions import Operand, load

BLOCK = 128
"""Number of cells that are worked at together."""

MASS_EXPONENT = 300
"""Exponent of the mass of all rows after scaling, so that numbers of 2**-1300 times the mass still count."""

SCALE, HIGH, LOW = range(3)
"""Columns of the factors of a row: the power of two that multiplies it twice, and what then gives the common mass."""

NUMBERS, WIDTHS, REFERENCE, REST, MEAN, TOTAL = range(6)
"""Rows of the buffers: numbers, cell widths, the row of the largest weight and the part that it has lost by rounding,
the mean of all differences from it, and the sums over the rows."""


class Groups(NamedTuple):
    """Groups of rows, whose divergences are asked for."""

    numbers: Operand
    """Place of the first group: the step from row to row, and from cell to cell."""
    widths: Operand
    """Place of the cell widths."""
    rows: int
    size: int
    pseudocount: float


@tiled(outputs=0)
def divergences_of_groups(partial, start, stop, groups, offsets, weights, out):
    """Fill in the divergence of each group, NaN if a row that counts has no mass, -1 for a negative or infinite number.

    The offsets are those of the groups in bytes, and the weights of each group sum to about 1.
    """
    _divergences(start, stop, groups, offsets, weights, out, buffers(groups.rows, 3), buffers(6, BLOCK))


@block
def _divergences(start, stop, groups, offsets, weights, out, factors, room):
    for g in range(start, stop):
        at, w = groups.numbers.address + offsets[g], weights[g]
        mark = 0.0
        for i in range(groups.rows):
            if w[i] > 0.0:
                mark += _weigh(groups, at + i * groups.numbers.row_step, factors[i], room)
        out[g] = _divergence(groups, at, w, factors, room) if mark == 0.0 else mark


@block
def _read(groups, at, begin, n, room):
    """Fill in n numbers of the row at this address and their cell widths."""
    load(groups.numbers.load, at + begin * groups.numbers.step, groups.numbers.step, room[NUMBERS, :n])
    load(groups.widths.load, groups.widths.address + begin * groups.widths.step, groups.widths.step, room[WIDTHS, :n])


@block
def _weigh(groups, at, factors, room):
    """Fill in the factors of a row; 0, or -inf for a number that is negative or infinite, or NaN without a mass."""
    peak, least, largest = 0.0, 0.0, 0.0
    x, w = room[NUMBERS], room[WIDTHS]
    for begin in range(0, groups.size, BLOCK):
        n = min(BLOCK, groups.size - begin)
        _read(groups, at, begin, n, room)
        for k in range(n):
            least, largest = min(least, x[k]), max(largest, x[k])
            peak = max(peak, x[k] + groups.pseudocount if w[k] > 0.0 else 0.0)
    if least < 0.0 or largest == np.inf:
        return -np.inf
    if not peak > 0.0:
        return np.nan
    scale = math.ldexp(1.0, (MASS_EXPONENT - math.frexp(peak)[1]) >> 1)
    mass, lost = 0.0, 0.0
    for begin in range(0, groups.size, BLOCK):
        n = min(BLOCK, groups.size - begin)
        _read(groups, at, begin, n, room)
        for k in range(n):
            u = _scaled(x[k] + groups.pseudocount, scale)
            product = w[k] * u
            mass, error = two_sum(mass, product)
            lost += error + fma(w[k], u, -product)
    if not mass > 0.0:
        return np.nan
    whole = 2.0**MASS_EXPONENT
    factors[SCALE], factors[HIGH] = scale, whole / mass
    factors[LOW] = (fma(-factors[HIGH], mass, whole) - factors[HIGH] * lost) / mass
    return 0.0


@scalar
def _scaled(x, scale):
    return x * scale * scale


@scalar
def _difference(p, low, reference, rest):
    """p + low - (reference + rest), which a block would be free to reassociate."""
    return (p - reference) + (low - rest)


@scalar
def _parts(x, factors):
    """The number x times the factors, and the part of it that rounding takes."""
    u = _scaled(x, factors[SCALE])
    high = u * factors[HIGH]
    return high, fma(u, factors[HIGH], -high) + u * factors[LOW]


@block
def _divergence(groups, at, w, factors, room):
    """The divergence of a group of which every row that counts has its factors."""
    first, whole = 0, 0.0
    for i in range(groups.rows):
        first = i if w[i] > w[first] else first
        whole += w[i]
    total, lost = 0.0, 0.0
    x, reference, rest, mean, sums = room[NUMBERS], room[REFERENCE], room[REST], room[MEAN], room[TOTAL]
    for begin in range(0, groups.size, BLOCK):
        n = min(BLOCK, groups.size - begin)
        _read(groups, at + first * groups.numbers.row_step, begin, n, room)
        for k in range(n):
            reference[k], rest[k] = _parts(x[k] + groups.pseudocount, factors[first])
            mean[k], sums[k] = 0.0, 0.0
        for i in range(groups.rows):
            if w[i] > 0.0 and i != first:
                _read(groups, at + i * groups.numbers.row_step, begin, n, room)
                for k in range(n):
                    p, low = _parts(x[k] + groups.pseudocount, factors[i])
                    mean[k] += w[i] * _difference(p, low, reference[k], rest[k])
        for k in range(n):
            mean[k] /= whole
        for i in range(groups.rows):
            if w[i] > 0.0:
                _read(groups, at + i * groups.numbers.row_step, begin, n, room)
                for k in range(n):
                    p, low = _parts(x[k] + groups.pseudocount, factors[i])
                    difference = _difference(p, low, reference[k], rest[k])
                    sums[k] += w[i] * kl_term_of_difference(p, reference[k] + mean[k], difference - mean[k])
        part = 0.0
        for k in range(n):
            part += room[WIDTHS, k] * sums[k]
        total, error = two_sum(total, part)
        lost += error
    return with_lost(total, lost) / whole * 2.0**-MASS_EXPONENT
