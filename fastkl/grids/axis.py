"""One axis of a grid: its nodes, and the quadrature rule on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.grids import rules
from fastkl.kernels.axes import even_axis, given_axis
from fastkl.kernels.records import NOTHING, AxisLayout
from fastkl.validation import Floats, as_count, as_line, as_real

MIN_POINTS = 8
"""Smallest number of nodes of an axis."""

MIN_ORDER = 4
"""Least number of nodes in a panel: each panel then holds one of every four nodes, which an error is estimated from."""

IRREGULAR = 0.1
"""Relative difference above which neighbouring steps do not follow a smooth map of equal ones."""

RUN = 2**16
"""Number of nodes that are examined together."""

Rule = Literal["trapezoid", "simpson", "midpoint", "gauss-legendre"]


@dataclass(frozen=True, eq=False)
class Axis:
    """Strictly increasing nodes between `lower` and `upper`; no node is stored if they are equally spaced."""

    lower: float
    upper: float
    n: int
    rule: Rule = "trapezoid"
    nodes: Floats = field(default_factory=lambda: NOTHING, repr=False)
    edges: Floats = field(default_factory=lambda: NOTHING, repr=False)
    """Edges of the cells of the midpoint rule, or of the panels of the Gauss-Legendre rule."""
    tails: tuple[float, float] = (1.0, 1.0)
    """Factors on the weights of the first and the last panel, which stand for all that lies beyond as well."""

    @classmethod
    def uniform(cls, lower: float, upper: float, n: int) -> Axis:
        """An axis of equally spaced nodes, both ends included."""
        lower, upper, n = as_real(lower, "lower"), as_real(upper, "upper"), as_count(n, "n")
        _check_ends(lower, upper)
        _check_points(n)
        if not lower + (upper - lower) / (n - 1) > lower or not upper - (upper - lower) / (n - 1) < upper:
            raise ValueError(f"{n} points between {lower!r} and {upper!r} are closer than doubles are")
        return cls(lower, upper, n)

    @classmethod
    def through(cls, nodes: ArrayLike, rule: Rule = "trapezoid") -> Axis:
        """An axis of given nodes."""
        line = _increasing(nodes, "an axis", "node")
        _check_points(line.size)
        if rule == "simpson" and line.size % 2 == 0:
            raise ValueError(f"Simpson's rule takes an odd number of nodes, got {line.size}")
        return cls(float(line[0]), float(line[-1]), line.size, rule, line)

    @classmethod
    def of_cells(cls, edges: ArrayLike) -> Axis:
        """An axis of the middles of cells, weighted by their widths."""
        line = _increasing(edges, "edges", "edge")
        if line.size < 3:
            raise ValueError(f"an axis needs at least 2 cells, got {max(line.size - 1, 0)}")
        middles = _frozen(0.5 * (line[1:] + line[:-1]))
        return cls(float(line[0]), float(line[-1]), middles.size, "midpoint", middles, line)

    @classmethod
    def gauss_legendre(cls, edges: ArrayLike, order: int, tails: tuple[float, float] = (1.0, 1.0)) -> Axis:
        """An axis of `order` Gauss-Legendre nodes in each of the panels between the edges; for `tails` see there."""
        line = _increasing(edges, "edges", "edge")
        order = as_count(order, "the number of nodes")
        _check_points(order * (line.size - 1))
        if order < MIN_ORDER:
            raise ValueError(f"a panel takes at least {MIN_ORDER} nodes, got {order}")
        nodes = _frozen(rules.gauss_legendre(line[:-1], line[1:], order)[0].ravel())
        if not np.all(np.diff(nodes) > 0.0):
            raise ValueError(f"{order} nodes in a panel are closer than doubles are")
        return cls(float(line[0]), float(line[-1]), nodes.size, "gauss-legendre", nodes, line, tails)

    @property
    def reach(self) -> tuple[float, float]:
        """The ends of the line that the rule sums: infinite where an end panel stands for all beyond it."""
        low, high = self.tails
        return self.lower if low == 1.0 else -math.inf, self.upper if high == 1.0 else math.inf

    @property
    def is_uniform(self) -> bool:
        """Whether the nodes are equally spaced."""
        return self.nodes.size == 0

    @property
    def step(self) -> float:
        """The distance of neighbouring nodes; the mean distance if they are not equally spaced."""
        return (self.upper - self.lower) / (self.n - 1)

    @cached_property
    def all_nodes(self) -> Floats:
        """The coordinates of all nodes."""
        return _frozen(self.nodes_at(np.arange(self.n))) if self.is_uniform else self.nodes

    def nodes_at(self, j: NDArray[np.int64]) -> Floats:
        """The coordinates of the nodes with these indices."""
        if not self.is_uniform:
            return np.asarray(self.nodes[j], dtype=np.float64)
        return np.where(j == self.n - 1, self.upper, self.lower + self.step * j)

    def node(self, i: int) -> float:
        """The coordinate of node `i`."""
        return float(self.nodes_at(np.array([i]))[0])

    def count(self, stride: int) -> int:
        """Number of nodes if every `stride`-th and the last one are taken."""
        return -(-(self.n - 1) // stride) + 1

    def weights(self, stride: int = 1) -> Floats:
        """The weights of every `stride`-th node and the last one."""
        if self.rule == "midpoint" and stride == 1:
            return rules.widths(self.edges)
        chosen = rules.every(self.n, stride)
        if self.rule == "trapezoid" and self.is_uniform:
            i = np.arange(chosen.size)
            after, before = np.minimum(i + 1, i[-1]), np.maximum(i - 1, 0)
            return np.asarray(0.5 * self.step * (chosen[after] - chosen[before]), dtype=np.float64)
        nodes = self.nodes_at(chosen)
        if self.rule == "simpson" and nodes.size % 2:
            return rules.simpson(nodes)
        if self.rule == "midpoint":
            return rules.between_edges(nodes, self.lower, self.upper)
        if self.rule == "gauss-legendre":
            weights = self._weights_of_panels(chosen)
            order = self.n // (self.edges.size - 1)
            weights[chosen < order] *= self.tails[0]
            weights[chosen >= self.n - order] *= self.tails[1]
            return weights
        return rules.trapezoid(nodes)

    def _weights_of_panels(self, chosen: NDArray[np.int64]) -> Floats:
        panels = self.edges.size - 1
        order = self.n // panels
        if chosen.size == self.n:
            return rules.gauss_legendre(self.edges[:-1], self.edges[1:], order)[1].ravel()
        half, x = 0.5 * np.diff(self.edges), rules.legendre(order)[0]
        begins = np.searchsorted(chosen, order * np.arange(panels + 1))
        counts = np.diff(begins)
        first = chosen[np.minimum(begins[:-1], chosen.size - 1)] - order * np.arange(panels)
        pattern = first * (order + 1) + counts
        pattern[-1] = -1  # the last node need not be a stride away from the one before
        pattern[counts == 0] = -2
        weights = np.zeros(chosen.size)
        for one in np.unique(pattern[counts > 0]):
            alike = np.flatnonzero(pattern == one)
            where = begins[alike, np.newaxis] + np.arange(counts[alike[0]])
            places = chosen[where[0]] - order * alike[0]
            weights[where] = half[alike, np.newaxis] * rules.of_polynomials(x[places], -1.0, 1.0)
        return weights

    def window(self, lower: float, upper: float, stride: int = 1) -> tuple[int, int]:
        """(first, count) of every `stride`-th node in [lower, upper], with a neighbour on either side."""
        if self.is_uniform:
            before, after = (lower - self.lower) / self.step, (upper - self.lower) / self.step
        else:
            before, after = np.searchsorted(self.nodes, [lower, upper]).tolist()
        most = self.count(stride) - 1
        first = int(min(max((before - 1.0) // stride, 0), most))
        last = int(min(max((after + 2.0) // stride + 1, 0), most))
        return first, last - first + 1

    def step_near(self, x: float) -> float:
        """The larger of the distances from the node nearest to `x` to its neighbours."""
        if self.is_uniform:
            return self.step
        at = int(np.clip(np.searchsorted(self.nodes, x), 1, self.n - 2))
        return float(max(self.nodes[at] - self.nodes[at - 1], self.nodes[at + 1] - self.nodes[at]))

    @cached_property
    def is_irregular(self) -> bool:
        """Whether steps jump, so that a rule on every second node has little to do with the rule on all of them."""
        if self.is_uniform or self.rule == "gauss-legendre":
            return False
        return any(
            (np.abs(np.diff(steps)) > IRREGULAR * steps[1:]).any()
            for steps in (np.diff(self.nodes[at : at + RUN + 2]) for at in range(0, self.n - 2, RUN))
        )

    @property
    def ends(self) -> tuple[float, float, float]:
        """The lower end, the upper end and the step, as a kernel reads them."""
        return self.lower, self.upper, self.step

    def layout(self, stride: int, nodes_begin: int, weights_begin: int) -> AxisLayout:
        """The integers that a kernel reads; *nodes_begin* and *weights_begin* are the axis' places in a record."""
        begins = (
            -1 if self.is_uniform else nodes_begin,
            weights_begin if self.rule in ("simpson", "gauss-legendre") else -1,
            weights_begin if self.rule == "midpoint" else -1,
        )
        fill = (even_axis if begins == (-1, -1, -1) else given_axis).address
        return AxisLayout(self.n - 1, stride, *begins, fill)

    def for_weights(self, stride: int) -> Floats:
        """Numbers from which a kernel takes the weights: the edges of the cells, the weights themselves, or none."""
        if self.rule == "trapezoid":
            return NOTHING
        return self.edges if self.rule == "midpoint" else self.weights(stride)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Axis):
            return NotImplemented
        own = (self.lower, self.upper, self.n, self.rule, self.tails)
        same = own == (other.lower, other.upper, other.n, other.rule, other.tails)
        return same and all(
            mine is theirs or np.array_equal(mine, theirs)
            for mine, theirs in ((self.nodes, other.nodes), (self.edges, other.edges))
        )

    def __hash__(self) -> int:
        return hash((self.lower, self.upper, self.n, self.rule, self.is_uniform))


def _frozen(line: Floats) -> Floats:
    line.flags.writeable = False
    return line


def _increasing(values: ArrayLike, name: str, item: str) -> Floats:
    line = as_line(values, name, item=item).copy()
    falling = np.flatnonzero(line[1:] <= line[:-1])
    if falling.size:
        at = int(falling[0])
        raise ValueError(
            f"{name} must increase strictly, but {item} {at} is {line[at]} and {item} {at + 1} is {line[at + 1]}"
        )
    if line.size > 1:
        _check_ends(float(line[0]), float(line[-1]))
    return _frozen(line)


def _check_ends(lower: float, upper: float) -> None:
    if not lower < upper:
        raise ValueError(f"a grid needs lower < upper, got lower={lower!r}, upper={upper!r}")
    if math.isinf(upper - lower):
        raise ValueError(f"the length of a grid must be finite, got lower={lower!r}, upper={upper!r}")


def _check_points(n: int) -> None:
    if n < MIN_POINTS:
        raise ValueError(f"a grid needs at least {MIN_POINTS} points, got {n}")
