"""Grids: the points on which densities are known and integrals are summed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from fastkl.grids.axis import Axis, Rule
from fastkl.kernels.records import NOTHING, GridRecord
from fastkl.validation import Floats, as_count, as_reals

if TYPE_CHECKING:
    from fastkl.grids.cover import Covered

MOST_POINTS = 2**53
"""Largest number of points: a larger index is no double, and no sum over so many points would end."""

GIVEN_RULES = ("trapezoid", "simpson")


@dataclass(frozen=True)
class Grid:
    """The points of a tensor grid, and the weights of a quadrature rule on each axis.

    Make one with :meth:`uniform`, :meth:`from_axes`, :meth:`from_edges`, :meth:`gauss_legendre` or :meth:`cover`.

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
        The weights of each axis; the weight of a point is their product, which is never formed.

    Examples
    --------
    >>> import fastkl
    >>> grid = fastkl.Grid.uniform(-8, 8, 1001)
    >>> grid.size, grid.shape
    (1001, (1001,))
    >>> round(grid.integrate(grid.axes[0] ** 2), 3)
    341.334
    >>> fastkl.Grid.uniform([-8, 0], [8, 1], [1001, 51]).shape
    (1001, 51)
    """

    _parts: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not self._parts:
            raise ValueError("a grid needs at least one axis, got none")
        if self.size > MOST_POINTS:
            raise ValueError(f"a grid of shape {self.shape} has {self.size} points, more than 2**53")

    @classmethod
    def uniform(cls, lower: ArrayLike, upper: ArrayLike, n: ArrayLike) -> Grid:
        """A grid of equally spaced points, with both ends included and trapezoid weights.

        No array of the length of an axis is allocated.

        Parameters
        ----------
        lower, upper : float, or sequence of float with one for each axis
            Ends of each axis.
        n : int, or sequence of int
            Number of points on each axis, at least 8. A single number beside sequences counts for every axis.

        Raises
        ------
        ValueError
            If the bounds are not finite and increasing, or `n` is below 8.
        TypeError
            If `n` is not a whole number.
        """
        return cls(tuple(Axis.uniform(*numbers) for numbers in _by_axis(lower=lower, upper=upper, n=n)))

    @classmethod
    def from_axes(cls, *axes: ArrayLike, rule: str = "trapezoid") -> Grid:
        """A grid on given nodes.

        Parameters
        ----------
        *axes : array_like, shape (n,)
            Strictly increasing, finite nodes of each axis.
        rule : {'trapezoid', 'simpson'}
            The quadrature rule. Simpson's takes an odd number of nodes; where neighbouring steps differ by more
            than a factor of 2, so that its weights would be negative, the trapezoid rule is used.

        Raises
        ------
        ValueError
            If an axis is not one-dimensional, finite and strictly increasing, or has fewer than 8 points.
        """
        if rule not in GIVEN_RULES:
            raise ValueError(f"rule must be {' or '.join(map(repr, GIVEN_RULES))}, got {rule!r}")
        named: Rule = next(known for known in get_args(Rule) if known == rule)
        return cls(tuple(Axis.through(nodes, named) for nodes in axes))

    @classmethod
    def from_edges(cls, *edges: ArrayLike) -> Grid:
        """A grid of the middles of cells, weighted by their widths, such as the bins of a histogram.

        Parameters
        ----------
        *edges : array_like, shape (n + 1,)
            Strictly increasing, finite edges of the cells of each axis, at least 2 cells.
        """
        return cls(tuple(Axis.of_cells(line) for line in edges))

    @classmethod
    def gauss_legendre(cls, lower: ArrayLike, upper: ArrayLike, n: ArrayLike) -> Grid:
        """A grid of `n` Gauss-Legendre nodes between `lower` and `upper`, for functions that are smooth there.

        Parameters
        ----------
        lower, upper : float, or sequence of float with one for each axis
            Ends of each axis.
        n : int, or sequence of int
            Number of nodes on each axis, at least 8.
        """
        sides = _by_axis(lower=lower, upper=upper, n=n)
        return cls(tuple(Axis.gauss_legendre([low, high], count) for low, high, count in sides))

    @classmethod
    def cover(cls, p: Covered, q: Covered | None = None, *, rtol: float = 1e-10) -> Grid:
        """A grid that is wide and fine enough for the KL integrals of p and q.

        For Normals and mixtures of them, of any dimension, it is uniform: it reaches to where every component
        has fallen below ``rtol**2`` of its peak, with steps that are set by the smallest scale, since log p of a
        mixture has branch points near the real axis between its modes. For other densities of one dimension it
        has Gauss-Legendre panels, broken at kinks and growing into heavy tails.

        Raises
        ------
        ValueError
            If too many points would be needed.
        TypeError
            If p or q does not show where it is: a table has a grid of its own, and other densities need one.
        """
        from fastkl.grids.cover import cover

        return cover(p, q, rtol)

    @property
    def ndim(self) -> int:
        return len(self._parts)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.n for axis in self._parts)

    @property
    def lower(self) -> tuple[float, ...]:
        """The lower end of each axis."""
        return tuple(axis.lower for axis in self._parts)

    @property
    def upper(self) -> tuple[float, ...]:
        """The upper end of each axis."""
        return tuple(axis.upper for axis in self._parts)

    @property
    def _line(self) -> Axis:
        """The only axis of a grid on the line.

        Raises
        ------
        ValueError
            If there is more than one.
        """
        if self.ndim != 1:
            raise ValueError(f"this takes a grid of one axis, got one of shape {self.shape}")
        return self._parts[0]

    @property
    def volume(self) -> float:
        """The product of the lengths of the axes."""
        return math.prod(axis.upper - axis.lower for axis in self._parts)

    @property
    def rule(self) -> str:
        """The names of the quadrature rules of the axes, each once."""
        return ", ".join(dict.fromkeys(axis.rule for axis in self._parts))

    @cached_property
    def axes(self) -> tuple[Floats, ...]:
        return tuple(axis.all_nodes for axis in self._parts)

    @cached_property
    def weights(self) -> tuple[Floats, ...]:
        lines = tuple(axis.weights() for axis in self._parts)
        for line in lines:
            line.flags.writeable = False
        return lines

    def integrate(self, values: ArrayLike) -> float:
        """The integral of values at the nodes.

        Raises
        ------
        ValueError
            If the shape of `values` is not that of the grid.
        """
        rest = as_reals(values, "values")
        if rest.shape != self.shape:
            raise ValueError(f"values of shape {rest.shape} do not fit a grid of shape {self.shape}")
        for weights in reversed(self.weights):
            rest = (weights * rest).sum(axis=-1)
        return float(rest)

    def chunk(self, n: int) -> Iterator[tuple[slice, Floats]]:
        """Walk over the grid in runs of at most `n` points, the last axis fastest.

        Yields
        ------
        run : slice
            Numbers of the points in the run.
        points : ndarray, shape (m,) on one axis, else (m, ndim)
            Coordinates of the points.
        """
        n = as_count(n, "n")
        if n < 1:
            raise ValueError(f"a chunk has at least 1 point, got n={n!r}")
        for start in range(0, self.size, n):
            stop = min(start + n, self.size)
            yield slice(start, stop), self.points(np.arange(start, stop))

    def points(self, numbers: Any) -> Floats:
        """The points with these numbers, shape (m,) on one axis, else (m, ndim)."""
        places = np.unravel_index(numbers, self.shape)
        columns = [axis.nodes_at(np.asarray(i)) for axis, i in zip(self._parts, places, strict=True)]
        return columns[0] if self.ndim == 1 else np.stack(columns, axis=-1)

    def point(self, number: int) -> tuple[float, ...]:
        """The coordinates of one point."""
        return tuple(float(x) for x in np.atleast_1d(self.points(np.array([number]))[0]))

    def _count(self, stride: int | Sequence[int]) -> int:
        """Number of points if every `stride`-th node and the last one are taken on each axis."""
        return math.prod(axis.count(own) for axis, own in zip(self._parts, self._strides(stride), strict=True))

    def _strides(self, stride: int | Sequence[int]) -> Sequence[int]:
        return (stride,) * self.ndim if isinstance(stride, int) else stride

    def _record(self, stride: int | Sequence[int] = 1) -> GridRecord:
        """The grid as a kernel reads it; with a stride for all axes or one for each."""
        nodes, weights, rows = [NOTHING], [NOTHING], []
        for axis, own in zip(self._parts, self._strides(stride), strict=True):
            rows.append(axis.layout(own, sum(map(len, nodes)), sum(map(len, weights))))
            nodes.append(axis.nodes)
            weights.append(axis.for_weights(own))
        ends = np.array([axis.ends for axis in self._parts])
        return GridRecord(_joined(nodes), _joined(weights), ends, np.array(rows, dtype=np.int64))

    def contains(self, other: Grid) -> bool:
        """Whether no axis of *other* reaches beyond the same axis of this grid."""
        return all(
            mine.lower <= theirs.lower and theirs.upper <= mine.upper
            for mine, theirs in zip(self._parts, other._parts, strict=True)
        )

    def __repr__(self) -> str:
        sides = " x ".join(f"[{axis.lower!r}, {axis.upper!r}]" for axis in self._parts)
        return f"Grid({sides}, shape={self.shape}, rule={self.rule!r})"


def _by_axis(**given: Any) -> list[tuple[Any, ...]]:
    """The arguments of each axis; a single number beside sequences counts for every axis."""
    arrays = {name: np.asarray(value) for name, value in given.items()}
    ndim = max(array.size for array in arrays.values())
    for name, array in arrays.items():
        if array.ndim > 1:
            raise ValueError(f"{name} must be a number or one for each axis, got an array of shape {array.shape}")
        if array.size not in (1, ndim):
            raise ValueError(f"{ndim} axes need as many values of {name}, got {array.size}")
    columns = [[given[name]] if array.ndim == 0 else array.tolist() for name, array in arrays.items()]
    return list(zip(*(column * ndim if len(column) == 1 else column for column in columns), strict=True))


def _joined(parts: list[Floats]) -> Floats:
    """The arrays one after the other; the same memory if only one has entries."""
    filled = [part for part in parts if part.size]
    joined = (filled[0] if len(filled) == 1 else np.concatenate(filled) if filled else NOTHING).view()
    joined.flags.writeable = False
    return joined


def as_grid(grid: Any) -> Grid:
    """*grid* itself, or a TypeError that says what a grid is."""
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a fastkl.Grid, got {type(grid).__name__}; see Grid.uniform and Grid.from_axes")
    return grid
