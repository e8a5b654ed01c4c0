"""Grids: the points on which densities are known and integrals are summed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.kernels.records import NO_NODES, Geometry
from fastkl.validation import Floats, as_count, as_line, as_real, as_reals

MIN_POINTS = 8
MAX_COVER_POINTS = 10_000_000

TAIL_EXPONENT_SHARE = 2.0
"""A Normal has fallen to rtol**2 where z**2 = -4 log(rtol); its KL integrand is then far below rtol."""

STEPS_PER_SCALE = 32
"""Resolves the kinks in the logarithm of a mixture, which lie between modes: see :meth:`Grid.cover`."""


class Bump(Protocol):
    """Something with a place and a width."""

    @property
    def loc(self) -> float: ...
    @property
    def scale(self) -> float: ...


class MadeOfBumps(Protocol):
    """A density that can say which Normals it is made of."""

    def normals(self) -> Sequence[Bump]: ...


@dataclass(frozen=True, eq=False)
class Grid:
    """The points of a tensor grid with trapezoid weights; one axis so far.

    Make one with :meth:`uniform`, :meth:`from_axes` or :meth:`cover`.

    Attributes
    ----------
    ndim : int
        Number of axes.
    shape : tuple of int
        Number of points on each axis.
    size : int
        Number of points in all.
    axes : tuple of ndarray
        The nodes of each axis, increasing.
    weights : tuple of ndarray
        The trapezoid weights of each axis; they sum to the length of the axis.

    Examples
    --------
    >>> import fastkl
    >>> grid = fastkl.Grid.uniform(-8, 8, 1001)
    >>> grid.size, grid.shape
    (1001, (1001,))
    >>> round(grid.integrate(grid.axes[0] ** 2), 3)
    341.334
    """

    lower: float
    upper: float
    n: int
    nodes: Floats = field(default_factory=lambda: NO_NODES, repr=False)

    @classmethod
    def uniform(cls, lower: float, upper: float, n: int) -> Grid:
        """A grid of `n` equally spaced points from `lower` to `upper`, both included.

        Nothing of length `n` is allocated.

        Raises
        ------
        ValueError
            If the bounds are not finite and increasing, or `n` is below 8.
        TypeError
            If `n` is not a whole number.
        """
        lower, upper, n = as_real(lower, "lower"), as_real(upper, "upper"), as_count(n, "n")
        if not lower < upper:
            raise ValueError(f"a grid needs lower < upper, got lower={lower!r}, upper={upper!r}")
        if math.isinf(upper - lower):
            raise ValueError(f"the length of a grid must be finite, got lower={lower!r}, upper={upper!r}")
        _check_points(n)
        if not lower + (upper - lower) / (n - 1) > lower or not upper - (upper - lower) / (n - 1) < upper:
            raise ValueError(f"{n} points between {lower!r} and {upper!r} are closer than doubles are")
        return cls(lower, upper, n)

    @classmethod
    def from_axes(cls, *axes: ArrayLike, rule: str = "trapezoid") -> Grid:
        """A grid on given nodes.

        Parameters
        ----------
        *axes : array_like, shape (n,)
            Strictly increasing, finite nodes; one axis so far.
        rule : {'trapezoid'}
            The quadrature rule.

        Raises
        ------
        ValueError
            If an axis is not one-dimensional, finite and strictly increasing, or has fewer than 8 points.
        """
        if len(axes) != 1:
            raise ValueError(f"grids have one axis so far, got {len(axes)}")
        if rule != "trapezoid":
            raise ValueError(f"rule must be 'trapezoid', got {rule!r}")
        nodes = as_line(axes[0], "an axis", item="node").copy()
        _check_points(nodes.size)
        falling = np.flatnonzero(nodes[1:] <= nodes[:-1])
        if falling.size:
            at = int(falling[0])
            raise ValueError(
                f"an axis must increase strictly, but node {at} is {nodes[at]} and node {at + 1} is {nodes[at + 1]}"
            )
        nodes.flags.writeable = False
        return cls(float(nodes[0]), float(nodes[-1]), nodes.size, nodes)

    @classmethod
    def cover(cls, p: MadeOfBumps, q: MadeOfBumps | None = None, *, rtol: float = 1e-10) -> Grid:
        """A uniform grid wide and fine enough for the KL integrals of Normals and mixtures of them.

        It reaches to where every component has fallen below ``rtol**2`` of its peak, and has 32 steps in
        the smallest scale: log p of a mixture has branch points near the real axis between its modes, and
        resolving those takes more than the 2 steps that a single Normal needs.

        Raises
        ------
        ValueError
            If the scales are so different that more than 10 million points would be needed.
        TypeError
            For a density that is not made of Normals.
        """
        if not 0.0 < rtol < 1.0:
            raise ValueError(f"rtol must lie between 0 and 1, got {rtol!r}")
        for density in (p, q):
            if density is not None and not hasattr(density, "normals"):
                raise TypeError(f"a grid covers densities made of Normals, got {type(density).__name__}")
        bumps = [bump for density in (p, q) if density is not None for bump in density.normals()]
        reach = math.sqrt(-2.0 * TAIL_EXPONENT_SHARE * math.log(rtol))
        lower = min(b.loc - reach * b.scale for b in bumps)
        upper = max(b.loc + reach * b.scale for b in bumps)
        smallest = min(b.scale for b in bumps)
        n = math.ceil(STEPS_PER_SCALE * (upper - lower) / smallest) | 1
        if n > MAX_COVER_POINTS:
            raise ValueError(
                f"covering [{lower:.6g}, {upper:.6g}] at a smallest scale of {smallest:.6g} would take {n} points, "
                f"more than {MAX_COVER_POINTS}; choose a grid yourself"
            )
        return cls.uniform(lower, upper, n)

    @property
    def ndim(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return self.n

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def is_uniform(self) -> bool:
        """Whether the nodes are equally spaced."""
        return self.nodes.size == 0

    @property
    def step(self) -> float:
        """The distance of neighbouring nodes; for an axis of any spacing, the mean one."""
        return (self.upper - self.lower) / (self.n - 1)

    @cached_property
    def axes(self) -> tuple[Floats, ...]:
        return (self._nodes_at(np.arange(self.n)),)

    @cached_property
    def weights(self) -> tuple[Floats, ...]:
        i = np.arange(self.n)
        after, before = np.minimum(i + 1, self.n - 1), np.maximum(i - 1, 0)
        if self.is_uniform:
            return (0.5 * self.step * (after - before),)
        return (0.5 * (self.nodes[after] - self.nodes[before]),)

    def integrate(self, values: ArrayLike) -> float:
        """The trapezoid integral of values at the nodes.

        Raises
        ------
        ValueError
            If the shape of `values` is not that of the grid.
        """
        values = as_reals(values, "values")
        if values.shape != self.shape:
            raise ValueError(f"values of shape {values.shape} do not fit a grid of shape {self.shape}")
        return float(np.sum(self.weights[0] * values))

    def chunk(self, n: int) -> Iterator[tuple[slice, Floats]]:
        """Walk over the grid in runs of at most `n` points, as ``(slice, nodes)``."""
        if n < 1:
            raise ValueError(f"a chunk has at least 1 point, got n={n!r}")
        for start in range(0, self.n, n):
            stop = min(start + n, self.n)
            yield slice(start, stop), self._nodes_at(np.arange(start, stop))

    def count(self, stride: int) -> int:
        """How many points there are when every `stride`-th is taken, and the last one."""
        return -(-(self.n - 1) // stride) + 1

    def window(self, lower: float, upper: float, stride: int = 1) -> tuple[int, int]:
        """(first, count) of the points in [lower, upper] with a neighbour on either side."""
        if self.is_uniform:
            full = np.array([(lower - self.lower) / self.step, (upper - self.lower) / self.step])
        else:
            full = np.searchsorted(self.nodes, [lower, upper]).astype(np.float64)
        ends = np.array([np.floor(full[0]) - 1, np.ceil(full[1]) + 1]) / stride
        first, last = np.clip(ends, 0, self.count(stride) - 1)
        return int(first), math.ceil(last) - int(first) + 1

    def step_near(self, x: float) -> float:
        """The larger of the distances from the node nearest to `x` to its neighbours."""
        if self.is_uniform:
            return self.step
        at = int(np.clip(np.searchsorted(self.nodes, x), 1, self.n - 2))
        return float(max(self.nodes[at] - self.nodes[at - 1], self.nodes[at + 1] - self.nodes[at]))

    def node(self, i: int) -> float:
        """The coordinate of node `i`."""
        return float(self._nodes_at(np.array([i]))[0])

    def record(self, stride: int = 1) -> tuple[Floats, Floats]:
        """The axis as a kernel wants it: its nodes, and the row of its numbers."""
        return self.nodes, np.array(Geometry(self.lower, self.upper, self.step, self.n - 1, stride), dtype=np.float64)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        same = (self.lower, self.upper, self.n) == (other.lower, other.upper, other.n)
        return same and (self.nodes is other.nodes or np.array_equal(self.nodes, other.nodes))

    def __hash__(self) -> int:
        return hash((self.lower, self.upper, self.n, self.is_uniform))

    def _nodes_at(self, j: NDArray[np.int64]) -> Floats:
        if not self.is_uniform:
            return self.nodes[j]
        return np.where(j == self.n - 1, self.upper, self.lower + self.step * j)


def _check_points(n: int) -> None:
    if n < MIN_POINTS:
        raise ValueError(f"a grid needs at least {MIN_POINTS} points, got {n}")


def as_grid(grid: Any) -> Grid:
    """*grid* itself, or a TypeError that says what a grid is."""
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a fastkl.Grid, got {type(grid).__name__}; see Grid.uniform and Grid.from_axes")
    return grid
