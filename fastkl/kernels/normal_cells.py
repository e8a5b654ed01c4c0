"""Masses of Normals in the boxes of a grid of cells, in several dimensions, with the means of polynomials there.

In a box that is wide, or far out, all that counts lies near the point where the density is largest, at most `REACH`
standard deviations, or `FALLEN` in the exponent, away from it. That part is covered by panels no wider than the scale
of the Normal on a line parallel to each axis, and a product of Gauss's rules in each of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import exp_or_zero, log
from fastkl.jit import block, buffer, integers, tiled
from fastkl.kernels.polynomials import add_row, enter_component, fill_products

REACH = 9.0
"""Distance from the largest density, in standard deviations, beyond which a Normal is below 3e-18 of it."""
FALLEN = 42.0
"""Drop of the exponent below which a density is negligible."""
PANEL = 6.0
"""Largest change of the exponent over a panel, by its slope where the density is largest."""
SWEEPS = 200
"""Largest number of rounds of the search for the largest density: two strongly correlated axes may take many."""

ORDERS = 4, 6, 10
"""Numbers of nodes of a panel; the smaller ones give 15 digits up to the limits below."""
NARROW = 0.1, 0.5
"""Largest width of a panel, in scales, for the first two orders: 4 nodes err by 6e-8 h**8, 6 nodes by 2e-12 h**12."""
FLAT = 0.15, 0.8
"""Largest change of the exponent over a panel for the first two orders, if it is linear."""
RULES = [np.polynomial.legendre.leggauss(order) for order in ORDERS]
NODES, WEIGHTS = (np.concatenate([rule[k] for rule in RULES]) for k in range(2))
BEGINS = np.array([0, 4, 10])


@block
def _find_largest(precision, centre, low, high, place, slope):
    """Fill in the place of the largest density in a box, by steps along each axis, and the slope of the exponent."""
    D = place.size
    for d in range(D):
        place[d] = min(max(centre[d], low[d]), high[d])
    for _ in range(SWEEPS):
        moved = 0.0
        for d in range(D):
            slope[d] = 0.0
            for j in range(D):
                slope[d] -= precision[d, j] * (place[j] - centre[j])
            to = min(max(place[d] + slope[d] / precision[d, d], low[d]), high[d])
            moved = max(moved, abs(to - place[d]) * np.sqrt(precision[d, d]))
            place[d] = to
        if moved < 1e-6:
            break
    for d in range(D):
        slope[d] = 0.0
        for j in range(D):
            slope[d] -= precision[d, j] * (place[j] - centre[j])


class PlacedNormal(NamedTuple):
    """A Normal, as `normal_cells` takes it."""

    centre: Any
    whitening: Any
    """The lower triangular matrix W, with which z = W (x - centre) is a standard Normal."""
    precision: Any
    stds: Any


class Boxes(NamedTuple):
    """Cells of a grid, as `normal_cells` takes them."""

    edges: Any
    """The edges of all axes, one after the other."""
    shape: Any
    """The number of cells along each axis."""
    chosen: Any
    """The numbers of the cells that are wanted, the last axis running fastest."""
    lowest: float
    """Logarithm of a mass, up to the Normal's constant, below which a cell counts as empty; -inf if all are wanted."""


@tiled(outputs=0)
def normal_cells(partial, start, stop, normal, boxes, monomials, out):
    """Fill in, for the chosen cells, the log-mass of a Normal up to its constant and the means of monomials of z.

    The first row of *out* is the logarithm, the others are the means, in the order of the monomials, which are 0
    without mass.
    """
    edges, shape = boxes.edges, boxes.shape
    D, M, degree = shape.size, monomials.outer.size, monomials.power.max()
    centre, W, precision, stds = normal.centre, normal.whitening, normal.precision, normal.stds
    low, high, place, slope = buffer(D), buffer(D), buffer(D), buffer(D)
    width, counts, orders, panel, node = buffer(D), integers(D), integers(D), integers(D), integers(D)
    outer, z, sums, products = buffer(D - 1), buffer(D - 1), buffer(degree + 1), buffer(monomials.parent.size)
    total = buffer(M)
    for cell in range(start, stop):
        rest, begin = boxes.chosen[cell], edges.size
        for d in range(D - 1, -1, -1):
            begin -= shape[d] + 1
            low[d], high[d] = edges[begin + rest % shape[d]], edges[begin + rest % shape[d] + 1]
            rest //= shape[d]
        _find_largest(precision, centre, low, high, place, slope)
        top, panels = 0.0, 1
        for d in range(D):
            top += 0.5 * slope[d] * (place[d] - centre[d])  # slope = -precision (place - centre)
            scale = 1.0 / np.sqrt(precision[d, d])
            reach, h = REACH * stds[d], scale
            if abs(slope[d]) > 1e-3 / stds[d]:
                reach, h = min(reach, FALLEN / abs(slope[d])), min(h, PANEL / abs(slope[d]))
            low[d], high[d] = max(low[d], place[d] - reach), min(high[d], place[d] + reach)
            counts[d] = max(int(np.ceil((high[d] - low[d]) / h)), 1)
            width[d] = (high[d] - low[d]) / counts[d]
            steep = 0.0
            for j in range(D):
                steep += abs(precision[d, j]) * max(high[j] - place[j], place[j] - low[j])
            change, narrow = width[d] * (abs(slope[d]) + steep), width[d] / scale
            few, some = change < FLAT[0] and narrow < NARROW[0], change < FLAT[1] and narrow < NARROW[1]
            orders[d] = 0 if few else 1 if some else 2
            panels *= counts[d]
        volume = 1.0
        for d in range(D):
            volume *= high[d] - low[d]
        if top + log(volume) < boxes.lowest:
            out[:, cell] = 0.0
            out[0, cell] = -np.inf
            continue
        for m in range(M):
            total[m] = 0.0
        for number in range(panels):
            rest = number
            for d in range(D - 1, -1, -1):
                panel[d], node[d] = rest % counts[d], 0
                rest //= counts[d]
            rows, weight = 1, 1.0
            for d in range(D - 1):
                rows *= ORDERS[orders[d]]
            for d in range(D):
                weight *= 0.5 * width[d]
            for row in range(rows):
                rest, share = row, weight
                for d in range(D - 1):
                    order = ORDERS[orders[d]]
                    at = BEGINS[orders[d]] + rest % order
                    rest //= order
                    outer[d] = low[d] + width[d] * (panel[d] + 0.5 * (1.0 + NODES[at]))
                    share *= WEIGHTS[at]
                squared, loc = enter_component(W, centre, outer, z)
                last = D - 1
                begin = low[last] + width[last] * panel[last]
                nearest = (min(max(loc, begin), begin + width[last]) - loc) * W[last, last]
                if -0.5 * (squared + nearest * nearest) - top < -FALLEN:
                    continue
                for k in range(degree + 1):
                    sums[k] = 0.0
                for i in range(ORDERS[orders[last]]):
                    at = BEGINS[orders[last]] + i
                    end = (begin + width[last] * 0.5 * (1.0 + NODES[at]) - loc) * W[last, last]
                    power = WEIGHTS[at] * exp_or_zero(min(-0.5 * (squared + end * end) - top, 1.0))
                    for k in range(degree + 1):
                        sums[k] += power
                        power *= end
                fill_products(share, z, monomials, products)
                add_row(products, sums, monomials, total)
        for m in range(1, M):
            out[m, cell] = total[m] / total[0] if total[0] > 0.0 else 0.0
        out[0, cell] = top + log(total[0])
