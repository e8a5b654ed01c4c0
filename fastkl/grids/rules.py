"""Quadrature rules on given nodes, and the coarser ones that a rule is compared with.

A rule is a vector of weights. It is compared with the same rule on every second or every fourth node, and the last one.
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
    """Nodes and weights of the Gauss-Legendre rule on [-1, 1], cached because their cost is cubic in the order."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    for array in (nodes, weights):
        array.flags.writeable = False
    return nodes, weights


def gauss_legendre(left: Floats, right: Floats, order: int) -> tuple[Floats, Floats]:
    """Nodes and weights of every panel, shape (panels, order).

    Nodes are computed from the left edge: beside an end of a support at 0 their distances from it have all digits.
    """
    nodes, weights = legendre(order)
    width = (right - left)[:, np.newaxis]
    return left[:, np.newaxis] + width * (0.5 + 0.5 * nodes), width * (0.5 * weights)


def trapezoid(nodes: Floats) -> Floats:
    """Weights of the trapezoid rule: half the distance between the neighbours of each node."""
    i = np.arange(nodes.size)
    return 0.5 * (nodes[np.minimum(i + 1, nodes.size - 1)] - nodes[np.maximum(i - 1, 0)])


def simpson(nodes: Floats) -> Floats:
    """Weights of Simpson's rule for an odd number of nodes: the parabola through each three of them.

    If one of the two steps between three nodes is more than twice the other, a weight would be negative, and so might
    be a mass or a divergence: the trapezoid rule is taken for these three.
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
    """Weights of the midpoint rule: the width of each cell."""
    return edges[1:] - edges[:-1]


def between_edges(nodes: Floats, lower: float, upper: float) -> Floats:
    """Weights of the trapezoid rule, with the function constant from the outer nodes to the ends."""
    weights = trapezoid(nodes)
    weights[0] += nodes[0] - lower
    weights[-1] += upper - nodes[-1]
    return weights


def of_polynomials(nodes: Floats, lower: float, upper: float) -> Floats:
    """Weights that integrate every polynomial of degree below the number of nodes exactly, for few nodes."""
    n = nodes.size
    x = (2.0 * nodes - (lower + upper)) / (upper - lower)
    moments = np.zeros(n)
    moments[0] = upper - lower
    return np.asarray(np.linalg.solve(np.polynomial.legendre.legvander(x, n - 1).T, moments), dtype=np.float64)
