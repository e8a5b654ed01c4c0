"""Starting points of a fit: the modes of p and its basins, seen in the peaks of the cells of a grid.

A minimum that spans two modes is not reached from either of them, but from the Normal that has the moments of both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastkl.densities import Density
from fastkl.densities.values import log_values
from fastkl.grids import Grid
from fastkl.jit import numpy_suffices
from fastkl.kernels.peaks import Cells, cell_peaks
from fastkl.validation import Floats

CELLS = {1: 1024, 2: 96, 3: 32}
"""Largest number of cells along each axis, by the number of axes: enough to separate the modes that a fit can."""
FEWEST_CELLS = 16
"""Largest number of cells along each axis of a grid of more axes than `CELLS` lists."""

STRIP_POINTS = 2**13
"""Number of points of a row that a task of the kernel handles, in whole cells."""
VECTOR = 8
"""Divisor of the number of points in a long side of a cell: the doubles in the widest vector."""

MAX_BASINS = 12
"""Largest number of basins: if there are more, the shallowest are merged first."""

MAX_GROUPS = 80
"""Largest number of groups of basins whose moments are starts, small groups first."""

CORE = 1.0
"""Depth of the core of a mode below its peak, in nats: a Normal falls by one nat within 1.4 standard deviations."""

Moments = tuple[Floats, Floats]
"""Mean and covariance of a part of p."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """The largest log-density in every cell of a grid, and the starts of a fit that follow from it."""

    peak: Floats
    centres: tuple[Floats, ...]
    """Centres of the cells along each axis."""
    widths: tuple[Floats, ...]
    has_zero: bool
    """Whether p is 0 at some node."""

    @cached_property
    def points(self) -> Floats:
        """The centres of all cells, shape (cells, ndim)."""
        return np.stack([axis.ravel() for axis in np.meshgrid(*self.centres, indexing="ij")], axis=1)

    @cached_property
    def mass(self) -> Floats:
        """The approximate mass of each cell, with p scaled to 1 at its peak."""
        volume = np.ones(())
        for width in self.widths:
            volume = np.multiply.outer(volume, width)
        share = np.exp(np.maximum(self.peak - self.peak.max(), -700.0)) * volume
        return np.asarray(share.ravel())

    def moments(self, cells: Any) -> Moments | None:
        """The approximate mean and covariance of p on some cells; None if they have no mass."""
        share, points = self.mass[cells], self.points[cells]
        total = share.sum()
        if not total > 0.0:
            return None
        mean = share @ points / total
        offset = points - mean
        cov = (offset * share[:, np.newaxis]).T @ offset / total
        return mean, cov + np.diag([float(np.median(width)) ** 2 / 12.0 for width in self.widths])

    @cached_property
    def basins(self) -> tuple[Any, set[tuple[int, int]]]:
        """The number of the basin of each cell, that of the mode at the end of its ascent, and pairs of neighbours."""
        return _merged(self.peak, _ascents(self.peak))

    def starts(self) -> Iterator[Moments]:
        """The starts of a reverse fit, each as (mean, covariance)."""
        basins, neighbours = self.basins
        count = int(basins.max()) + 1
        flat = self.peak.ravel()
        own: dict[int, Moments] = {}
        for basin in range(count):
            inside = basins == basin
            top = int(np.flatnonzero(inside)[np.argmax(flat[inside])])
            core, whole = self.moments(inside & (flat >= flat[top] - CORE)), self.moments(inside)
            if core is not None and whole is not None:
                yield self.points[top], 0.5 * core[1]  # a cell counts by its peak, which widens the core
                own[basin] = whole
        if count > 1:
            yield from own.values()
        for group in itertools.islice(_groups(count, neighbours), MAX_GROUPS):
            if all(basin in own for basin in group):
                yield _between([own[basin] for basin in group])
        yield from self._dispersed()

    def _dispersed(self) -> Iterator[Moments]:
        """Starts on the main axes of p, a standard deviation from its mean, with half of its scales."""
        whole = self.moments(slice(None))
        if whole is None:
            return
        mean, cov = whole
        variances, directions = np.linalg.eigh(cov)
        for variance, direction in zip(variances, directions.T, strict=True):
            for side in (-1.0, 1.0):
                yield mean + side * np.sqrt(max(variance, 0.0)) * direction, 0.25 * cov


def _between(parts: list[Moments]) -> Moments:
    """The moments of several basins with equal weights: a reverse fit sees only the logarithms of their weights."""
    means = np.array([mean for mean, _ in parts])
    mean = means.mean(axis=0)
    offset = means - mean
    return mean, np.mean([cov for _, cov in parts], axis=0) + offset.T @ offset / len(parts)


def landscape(p: Density, grid: Grid) -> Landscape:
    """The landscape of p on a grid, from one pass over p."""
    most = CELLS.get(grid.ndim, FEWEST_CELLS)
    sides = np.array([-(-n // most) for n in grid.shape], dtype=np.int64)
    sides[-1] += -sides[-1] % VECTOR if sides[-1] > VECTOR else 0  # vector loops have no remainder
    cells = np.array([-(-n // side) for n, side in zip(grid.shape, sides.tolist(), strict=True)], dtype=np.int64)
    peaks, has_zero = (_peaks_of_values if numpy_suffices(grid.size) else _peaks)(p, grid, sides, cells)
    centres, widths = [], []
    for axis, side, count in zip(grid._parts, sides.tolist(), cells.tolist(), strict=True):
        first = np.arange(count) * side
        begin, end = axis.nodes_at(first), axis.nodes_at(np.minimum(first + side, axis.n) - 1)
        centres.append(0.5 * (begin + end))
        widths.append(np.diff([axis.lower, *(0.5 * (end[:-1] + begin[1:])), axis.upper]))
    return Landscape(peaks, tuple(centres), tuple(widths), has_zero)


def _peaks_of_values(p: Density, grid: Grid, sides: Any, cells: Any) -> tuple[Floats, bool]:
    """The peak of each cell, and whether p is 0 somewhere, by NumPy, so that no kernel has to be compiled."""
    logs = log_values(p, grid).reshape(grid.shape)
    has_zero = bool((logs == -np.inf).any())
    for d, side in enumerate(sides.tolist()):
        logs = np.maximum.reduceat(logs, np.arange(0, grid.shape[d], side), axis=d)
    return logs, has_zero


def _peaks(p: Density, grid: Grid, sides: Any, cells: Any) -> tuple[Floats, bool]:
    """The peak of each cell, and whether p is 0 somewhere, by a kernel."""
    in_strip = int(min(max(STRIP_POINTS // sides[-1], 1), cells[-1]))
    strips = int(np.prod(cells[:-1])) * -(-int(cells[-1]) // in_strip)
    peaks = np.full(int(np.prod(cells)), -np.inf)
    evaluation = p._evaluation(grid)
    zeros = cell_peaks(
        strips, evaluation.by_logs(), grid._record(), Cells(sides, cells, in_strip), peaks, length=1,
        items=int(np.prod(sides)) * in_strip, work=evaluation.work,
    )  # fmt: skip
    return peaks.reshape(cells), bool(zeros.any())


def _shifted(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[Any, Any]:
    """Slices of all cells that have a neighbour at this offset, and of those neighbours."""
    here = tuple(slice(max(0, -o), n - max(0, o)) for n, o in zip(shape, offset, strict=True))
    there = tuple(slice(max(0, o), n - max(0, -o)) for n, o in zip(shape, offset, strict=True))
    return here, there


def _offsets(ndim: int) -> list[tuple[int, ...]]:
    return [offset for offset in itertools.product((-1, 0, 1), repeat=ndim) if any(offset)]


def _ascents(peak: Floats) -> Any:
    """The mode to which the steepest ascent from each cell leads, as the number of a cell, one for a plateau."""
    number = np.arange(peak.size).reshape(peak.shape)
    best, target = peak.copy(), number.copy()
    for offset in _offsets(peak.ndim):
        here, there = _shifted(peak.shape, offset)
        # on a plateau the cell with the larger number counts as higher, so that no ascent runs in a circle
        higher = (peak[there] > best[here]) | ((peak[there] == best[here]) & (number[there] > target[here]))
        best[here] = np.where(higher, peak[there], best[here])
        target[here] = np.where(higher, number[there], target[here])
    way = target.ravel()
    while True:
        further = way[way]
        if np.array_equal(further, way):
            return way
        way = further


def _merged(peak: Floats, way: Any) -> tuple[Any, set[tuple[int, int]]]:
    """Basins of the cells, numbered from 0, and pairs of neighbours; surplus ones merge across their highest pass."""
    modes, basins = np.unique(way, return_inverse=True)
    basins = basins.ravel()
    heights = peak.ravel()[modes].tolist()
    passes = _passes(peak, basins)
    alive = set(range(len(heights)))
    parent = list(range(len(heights)))
    while len(alive) > MAX_BASINS:
        highest: dict[int, tuple[float, int]] = {}
        for (a, b), height in passes.items():
            for one, other in ((a, b), (b, a)):
                if one not in highest or height > highest[one][0]:
                    highest[one] = (height, other)
        lowest = min(highest, key=lambda basin: heights[basin] - highest[basin][0])
        into = highest[lowest][1]
        if heights[lowest] > heights[into]:
            lowest, into = into, lowest
        parent[lowest] = into
        alive.remove(lowest)
        joined: dict[tuple[int, int], float] = {}
        for (a, b), height in passes.items():
            a, b = into if a == lowest else a, into if b == lowest else b
            if a != b:
                pair = (min(a, b), max(a, b))
                joined[pair] = max(height, joined.get(pair, -np.inf))
        passes = joined
    number = {basin: k for k, basin in enumerate(sorted(alive))}
    final = np.array([number[_root(parent, basin)] for basin in range(len(heights))])
    return final[basins], {(number[a], number[b]) for a, b in passes}


def _root(parent: list[int], basin: int) -> int:
    while parent[basin] != basin:
        basin = parent[basin]
    return basin


def _passes(peak: Floats, basins: Any) -> dict[tuple[int, int], float]:
    """The height of the highest pass between each pair of neighbouring basins."""
    of, count = basins.reshape(peak.shape), int(basins.max()) + 1
    pairs, heights = [], []
    for offset in _offsets(peak.ndim)[: len(_offsets(peak.ndim)) // 2]:
        here, there = _shifted(peak.shape, offset)
        a, b, height = of[here], of[there], np.minimum(peak[here], peak[there])
        different = a != b
        pairs.append(np.minimum(a, b)[different] * count + np.maximum(a, b)[different])
        heights.append(height[different])
    numbers, which = np.unique(np.concatenate(pairs), return_inverse=True)
    highest = np.full(numbers.size, -np.inf)
    np.maximum.at(highest, which, np.concatenate(heights))
    return {divmod(pair, count): height for pair, height in zip(numbers.tolist(), highest.tolist(), strict=True)}


def _groups(count: int, neighbours: set[tuple[int, int]]) -> Iterator[list[int]]:
    """Connected groups of at least two basins, small ones first, and then all basins."""
    beside: dict[int, set[int]] = {basin: set() for basin in range(count)}
    for a, b in neighbours:
        beside[a].add(b)
        beside[b].add(a)
    level = {frozenset([basin]) for basin in range(count)}
    while level:
        level = {group | {other} for group in level for basin in group for other in beside[basin] - group}
        ordered = sorted(sorted(group) for group in level)
        yield from ordered
        if len(ordered) > MAX_GROUPS:
            break
    yield list(range(count))
