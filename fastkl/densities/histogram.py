"""Histograms: densities that are known by their probabilities in cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.densities.cells import log_masses
from fastkl.densities.tabulated import Tabulated, axes_that_are_kept, require_line, shape_and_generator
from fastkl.densities.values import Fault, faults
from fastkl.density import Density
from fastkl.grids import Grid
from fastkl.kernels.records import Evaluation, evaluation
from fastkl.kernels.tables import table_of_cells
from fastkl.validation import Floats, as_real, as_reals


class Histogram(Tabulated):
    """A density that is known by its probability in each cell, or a batch; made by `Tabulated.from_histogram`.

    Any other density counts in a cell with its mass there, so that a divergence is the sum of P log(P/Q) over the
    cells and has no quadrature error. Off its own cells the density is constant in each cell.

    Attributes
    ----------
    edges : tuple of ndarray
        The edges of the cells of each axis; the first and the last one may be infinite.
    counts : ndarray
        The counts, without the pseudocount; those of a batch as they were given.
    probabilities : ndarray
        The probability of each cell.
    n : int or None
        The number of observations, if the counts are whole numbers and no pseudocount was added; None otherwise, and
        for a batch.
    batch_shape : tuple of int
        ``()`` for a single histogram; ``batch[index]`` is a part of a batch.
    grid : Grid
        The cells as a grid; a cell without an end counts as wide as its neighbour there.
    """

    def __init__(self, counts: ArrayLike, edges: Any, *, pseudocount: float = 0.0, density: bool = False) -> None:
        given = _numbers(counts)
        axes = _axes_of(edges)
        several = given.ndim > axes == 1
        self.edges = _checked_edges(edges, 1 if several else given.ndim)
        if not isinstance(density, bool | np.bool_):
            raise TypeError(f"density must be True or False, got {density!r}")
        if as_real(pseudocount, "pseudocount") < 0.0:
            raise ValueError(f"pseudocount must be >= 0, got {pseudocount!r}")
        finite = tuple(map(_closed, self.edges))
        of_axes: Any = np.ix_(*map(np.diff, finite)) if len(finite) > 1 else map(np.diff, finite)
        self._widths: Floats = np.asarray(math.prod(of_axes))
        self._are_densities = bool(density)
        self.pseudocount = float(pseudocount)
        if density and not all(np.isfinite(line).all() for line in self.edges):
            raise ValueError("a density in a cell without an end has no mass: give counts, with density=False")
        if several:
            self._hold(given, Grid.from_edges(*finite))
            return
        given = given.astype(np.float64)
        _check_counts(given, self.edges)
        if density:
            given = given * self._widths
        self.counts = given
        weights = given / given.max() + pseudocount / given.max()  # a sum of large counts might overflow
        self.probabilities: Floats = weights / weights.sum()
        for array in (self.counts, self.probabilities):
            array.flags.writeable = False
        whole = not density and pseudocount == 0.0 and bool((given == np.floor(given)).all())
        self.n = int(given.sum()) if whole else None
        super().__init__(Grid.from_edges(*finite), self.probabilities / self._widths)

    def _hold(self, counts: NDArray[Any], grid: Grid) -> None:
        """Be a batch, with the counts as they are: what else there is of a batch is made of a few rows at a time."""
        cells = grid.size
        if counts.shape[-1] != cells:
            raise ValueError(f"rows of {counts.shape[-1]} counts need {counts.shape[-1] + 1} edges, got {cells + 1}")
        self.counts = counts.view()
        self.counts.flags.writeable = False
        self.n = None
        self.grid, self.log, self.floor = grid, False, None
        self.batch_shape = counts.shape[:-1]

    @cached_property
    def probabilities(self) -> Floats:
        """The probability of each cell; in a batch, NaN in a row that is no histogram."""
        return self.values * self._widths

    @cached_property
    def values(self) -> NDArray[Any]:  # type: ignore[override]
        """The density in each cell."""
        values = np.empty(self.counts.shape)
        for rows in self._blocks():
            values[rows] = self._rows(rows)
        values[self._faults != Fault.NONE] = np.nan
        values.flags.writeable = False
        return values

    @cached_property
    def _faults(self) -> NDArray[np.int8]:
        return faults(self.counts, 1, log=False)

    def _rows(self, places: Any) -> Floats:
        given = self.counts[places].astype(np.float64)
        if self._are_densities:
            given *= self._widths
        with np.errstate(divide="ignore", invalid="ignore"):
            largest = given.max(axis=-1, keepdims=True)
            weights = given / largest + self.pseudocount / largest
            return np.asarray(weights / weights.sum(axis=-1, keepdims=True) / self._widths)

    def __getitem__(self, index: Any) -> Histogram:
        """The part of a batch at *index*: a histogram or a smaller batch."""
        places = self._places(index)
        return Histogram(self.counts[places], self.edges[0], pseudocount=self.pseudocount, density=self._are_densities)

    def require_ends(self, purpose: str) -> None:
        """Refuse cells without an end for a purpose that takes their width."""
        for line in self.edges:
            for cell, end in ((line[:2], line[0]), (line[-2:], line[-1])):
                if math.isinf(end):
                    raise ValueError(
                        f"{purpose} takes cells of finite width, but one reaches from {cell[0]:g} to {cell[1]:g}: "
                        "put its counts into a cell with an end, or leave it out"
                    )

    def on(self, edges: Sequence[Floats]) -> Histogram:
        """A histogram of this density between other edges, which include the edges of this one inside of them."""
        masses = self.probabilities
        for axis, (own, line) in enumerate(zip(self.edges, edges, strict=True)):
            masses = np.moveaxis(np.tensordot(_shares(own, line), masses, (1, axis)), 0, axis)
        return Histogram(masses, edges)

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        self._require_single()
        if grid == self.grid:
            return super()._evaluation(grid)
        self.require_ends("a density off the cells")
        numbers = [-self.log_normalizer, 0.0, -math.inf, *self.grid.shape]
        return evaluation(table_of_cells, [numbers], values=self.values.reshape(-1), nodes=np.concatenate(self.edges))

    @property
    def support(self) -> tuple[float, float]:
        return float(self.edges[0][0]), float(self.edges[0][-1])

    @property
    def _kinks(self) -> Sequence[float]:
        return tuple(self.edges[0][1:-1].tolist())

    def __repr__(self) -> str:
        cells = " x ".join(map(str, self.grid.shape))
        sides = " x ".join(f"[{line[0]:.6g}, {line[-1]:.6g}]" for line in self.edges)
        kind = f"batch_shape={self.batch_shape}" if self.batch_shape else "masses" if self.n is None else f"n={self.n}"
        return f"Histogram({cells} cells on {sides}, {kind})"

    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Random draws: a cell by its probability, and a point in it; see `Tabulated.rvs`."""
        self._require_single()
        self.require_ends("a draw")
        shape, rng = shape_and_generator(size, random_state)
        cells = rng.choice(self.probabilities.size, size=shape, p=self.probabilities.ravel())
        places = np.unravel_index(cells, self.probabilities.shape)
        points = [line[at] + np.diff(line)[at] * rng.random(shape) for line, at in zip(self.edges, places, strict=True)]
        return points[0][()] if self.ndim == 1 else np.stack(points, axis=-1)

    def marginal(self, axis: int | Sequence[int]) -> Histogram:
        """The histogram of some of the coordinates, with the sums of the counts over the others.

        Parameters
        ----------
        axis : int or sequence of int
            The axes that are kept, in this order; negative ones count from the last.

        Raises
        ------
        ValueError
            If an axis is named twice, or there is none, or this is a batch.
        IndexError
            If there is no such axis.
        """
        self._require_single()
        kept = axes_that_are_kept(axis, self.ndim)
        others = tuple(d for d in range(self.ndim) if d not in kept)
        order = np.argsort(np.argsort(kept))
        edges = [self.edges[d] for d in kept]
        cells = math.prod(self.counts.shape[d] for d in others)
        return Histogram(self.counts.sum(axis=others).transpose(order), edges, pseudocount=self.pseudocount * cells)

    @cached_property
    def _law(self) -> Steps:  # type: ignore[override]
        self._require_single()
        self.require_ends("a distribution function")
        require_line(self.ndim)
        return Steps(self.edges[0], np.concatenate([[0.0], np.cumsum(self.probabilities)]))

    @cached_property
    def _mean_and_cov(self) -> tuple[Floats, Floats]:
        self.require_ends("a mean or a variance")
        mean, cov = super()._mean_and_cov
        cov = cov.copy()
        if self.batch_shape:
            within = np.diff(self.edges[0]) ** 2 / 12.0
            for rows in self._blocks():
                cov[rows] += ((self._rows(rows) * self._widths) @ within)[:, np.newaxis, np.newaxis]
            return mean, cov
        for d, line in enumerate(self.edges):  # the spread within the cells
            others = tuple(k for k in range(self.ndim) if k != d)
            cov[d, d] += self.probabilities.sum(axis=others) @ np.diff(line) ** 2 / 12.0
        return mean, cov


class Steps(NamedTuple):
    """A distribution function that is linear between edges."""

    edges: Floats
    below: Floats
    """Probability below each edge."""

    def cdf(self, x: ArrayLike) -> Any:
        """The probability of at most x."""
        return np.interp(as_reals(x, "x"), self.edges, self.below / self.below[-1])[()]

    def quantile(self, q: ArrayLike) -> Any:
        """The least x with a cdf of at least q, for q = 0 the lower end of the support; NaN for q off [0, 1]."""
        q = as_reals(q, "q")
        valid = (q >= 0.0) & (q <= 1.0)
        wanted = np.where(valid, q, 0.5) * self.below[-1]
        first = int(np.flatnonzero(np.diff(self.below))[0])
        i = np.maximum(np.searchsorted(self.below, wanted, side="left") - 1, first)
        share = (wanted - self.below[i]) / np.diff(self.below)[i]
        return np.where(valid, self.edges[i] + np.maximum(share, 0.0) * np.diff(self.edges)[i], np.nan)[()]


class InCells(Tabulated):
    """A density by its masses in the cells of a histogram: their shares as a table, and their sum."""

    def __init__(self, density: Density, cells: Histogram) -> None:
        logs = log_masses(density, cells.edges)
        if not (logs > -np.inf).any():
            raise ValueError(f"{density!r} has no mass in any cell of {cells!r}")
        self.density = density
        self._log_mass = min(float(np.logaddexp.reduce(logs, axis=None)), 0.0)
        widths = math.prod(np.ix_(*cells.grid.weights)) if cells.ndim > 1 else cells.grid.weights[0]
        super().__init__(cells.grid, logs - np.log(widths), log=True)

    def mass_outside(self, grid: Grid) -> float:
        return -math.expm1(self._log_mass)

    def __repr__(self) -> str:
        return repr(self.density)


def on_common_cells(p: Density, q: Density) -> tuple[Density, Density]:
    """Two densities, of which one is a histogram, by their masses in the same cells: the union of two histograms'."""
    histograms = [density for density in (p, q) if isinstance(density, Histogram)]
    if len(histograms) == 2:
        one, other = histograms
        if one.ndim != other.ndim:
            raise ValueError(f"p has {p.ndim} dimensions and q has {q.ndim}")
        if all(map(np.array_equal, one.edges, other.edges)):
            return p, q
        for histogram in histograms:
            histogram._require_single()
            histogram.require_ends("a union of different edges")
        union = [np.union1d(*lines) for lines in zip(one.edges, other.edges, strict=True)]
        return one.on(union), other.on(union)
    cells = histograms[0]
    return cast(tuple[Density, Density], tuple(d if d is cells else InCells(d, cells) for d in (p, q)))


def _shares(own: Floats, line: Floats) -> Floats:
    """The share of each cell between the edges *own*, in columns, that each cell between *line* holds, in rows."""
    overlap = np.minimum(own[1:], line[1:, np.newaxis]) - np.maximum(own[:-1], line[:-1, np.newaxis])
    shares: Floats = np.maximum(overlap, 0.0) / np.diff(own)
    return shares


def _numbers(counts: ArrayLike) -> NDArray[Any]:
    """*counts* as an array of numbers, the same memory if it is one of real ones."""
    array = np.asarray(counts)
    return array if array.dtype.kind in "biuf" and not np.ma.isMaskedArray(counts) else as_reals(counts, "counts")


def _axes_of(edges: Any) -> int:
    """The number of axes that edges are of: of one if they are numbers, else of as many as there are sequences."""
    lines = list(edges) if isinstance(edges, Iterable) else []
    return len(lines) if lines and np.ndim(lines[0]) else 1


def _checked_edges(edges: Any, ndim: int) -> tuple[Floats, ...]:
    if ndim == 0:
        raise ValueError("counts must be an array with one axis for each dimension, got a single number")
    several = list(edges) if ndim > 1 or (len(edges) == 1 and np.ndim(edges[0]) == 1) else [edges]
    if len(several) != ndim:
        raise ValueError(
            f"counts of {ndim} dimensions need the edges of as many axes, got {len(several)}; a batch of histograms "
            "has one axis"
        )
    return tuple(_checked_line(line, "" if ndim == 1 else f" of axis {d}") for d, line in enumerate(several))


def _checked_line(edges: ArrayLike, where: str) -> Floats:
    line = np.array(as_reals(edges, f"edges{where}"))
    if line.ndim != 1 or line.size < 3:
        raise ValueError(f"edges{where} must be a line of at least 3 numbers, got an array of shape {line.shape}")
    inner = line[1:-1]
    if np.isnan(line).any() or not np.isfinite(inner).all():
        bad = line[np.isnan(line)][0] if np.isnan(line).any() else inner[~np.isfinite(inner)][0]
        raise ValueError(f"edges{where} must be finite, the first and the last may be infinite, but one is {bad}")
    falling = np.flatnonzero(~(line[1:] > line[:-1]))
    if falling.size:
        at = int(falling[0])
        raise ValueError(
            f"edges{where} must increase strictly, but edge {at} is {line[at]:g} and edge {at + 1} is {line[at + 1]:g}"
        )
    if inner.size < 2 and not np.isfinite(line).all():
        raise ValueError(f"edges{where} need at least one cell with two ends, got {line.tolist()}")
    line.flags.writeable = False
    return line


def _check_counts(counts: Floats, edges: Sequence[Floats]) -> None:
    expected = tuple(line.size - 1 for line in edges)
    if counts.shape != expected:
        numbers = f"{counts.size} counts need {counts.size + 1} edges, got {edges[0].size}"
        shapes = f"counts of shape {counts.shape} need as many edges on each axis plus 1, got {[e.size for e in edges]}"
        raise ValueError(numbers if counts.ndim == 1 else shapes)
    bad = ~((counts >= 0.0) & np.isfinite(counts))
    if bad.any():
        at = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"counts must be >= 0 and finite, but that of cell {at[0] if len(at) == 1 else at} is {counts[at]}"
        )
    if not counts.any():
        raise ValueError(f"all {counts.size} counts are 0: there is no mass")


def _closed(line: Floats) -> Floats:
    """Edges with an infinite end moved to the width of the neighbouring cell."""
    closed = line.copy()
    if math.isinf(line[0]):
        closed[0] = line[1] - (line[2] - line[1])
    if math.isinf(line[-1]):
        closed[-1] = line[-2] + (line[-2] - line[-3])
    return closed
