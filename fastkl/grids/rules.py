"""Quadrature rules on given nodes, and the coarser ones that a rule is compared with.

A rule is a vector of weights. Its comparison uses every second or every fourth node, and the last one: what it
would have said had the nodes been fewer.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastkl.validation import Floats


def every(n: int, stride: int) -> NDArray[np.int64]:
    """Every *stride*-th of n indices, and the last one."""
    return np.minimum(np.arange(-(-(n - 1) // stride) + 1) * stride, n - 1)


@cache
def legendre(order: int) -> tuple[Floats, Floats]:
    """The nodes and weights of the Gauss-Legendre rule between -1 and 1: kept, as they take the cube of the order."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    for array in (nodes, weights):
        array.flags.writeable = False
    return nodes, weights


def gauss_legendre(left: Floats, right: Floats, order: int) -> tuple[Floats, Floats]:
    """Nodes and weights of every panel, shape (panels, order).

    Nodes are counted from the left edge: beside an end of a support at 0 their distances from it have all digits.
    """
    nodes, weights = legendre(order)
    width = (right - left)[:, np.newaxis]
    return left[:, np.newaxis] + width * (0.5 + 0.5 * nodes), width * (0.5 * weights)


def trapezoid(nodes: Floats) -> Floats:
    """Half the distance between the neighbours."""
    i = np.arange(nodes.size)
    return 0.5 * (nodes[np.minimum(i + 1, nodes.size - 1)] - nodes[np.maximum(i - 1, 0)])


def simpson(nodes: Floats) -> Floats:
    """Simpson's rule for an odd number of nodes: the parabola through each three of them.

    Where one of their two steps is more than twice the other, a weight would be negative, and so might be a mass or a
    divergence. The trapezoid rule is taken for such three.
    """
    weights = np.zeros(nodes.size)
    h, k = nodes[1:-1:2] - nodes[:-2:2], nodes[2::2] - nodes[1:-1:2]
    both = h + k
    even = np.maximum(h, k) <= 2.0 * np.minimum(h, k)
    weights[:-2:2] += np.where(even, both * (2.0 * h - k) / (6.0 * h), 0.5 * h)
    weights[1:-1:2] += np.where(even, both / h * (both / k) * (both / 6.0), 0.5 * both)
    weights[2::2] += np.where(even, both * (2.0 * k - h) / (6.0 * k), 0.5 * k)
    return weights


def widths(edges: Floats) -> Floats:
    """The midpoint rule: the width of each cell."""
    return edges[1:] - edges[:-1]


def between_edges(nodes: Floats, lower: float, upper: float) -> Floats:
    """The trapezoid rule, with the function constant from the outer nodes to the ends."""
    weights = trapezoid(nodes)
    weights[0] += nodes[0] - lower
    weights[-1] += upper - nodes[-1]
    return weights


def of_polynomials(nodes: Floats, lower: float, upper: float) -> Floats:
    """The weights that integrate every polynomial of degree below the number of nodes, few of them, exactly."""
    n = nodes.size
    x = (2.0 * nodes - (lower + upper)) / (upper - lower)
    moments = np.zeros(n)
    moments[0] = upper - lower
    return np.asarray(np.linalg.solve(np.polynomial.legendre.legvander(x, n - 1).T, moments), dtype=np.float64)
