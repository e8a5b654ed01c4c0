"""The task of a fit: the target, the grid, the family and the direction, all checked, and nothing computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density, Histogram, Mixture, Tabulated
from fastkl.densities.adapted import why_no_density
from fastkl.densities.histogram import InCells
from fastkl.densities.samples import Estimate
from fastkl.families.univariate import Univariate
from fastkl.fitting.charts import Chart, chart_of, family_of
from fastkl.fitting.result import Direction
from fastkl.fitting.status import FitStatus, RefusedFitError
from fastkl.grids import Axis, Grid, as_grid
from fastkl.grids.panels import DivergentTailError
from fastkl.integrals import common_grid
from fastkl.validation import with_article

DIRECTIONS = "'forward' (min KL(p||q), q covers all of p) or 'reverse' (min KL(q||p), q settles on a mode of p)"


@dataclass(frozen=True, eq=False)
class Task:
    """A search for the member q of a family with the least divergence from `target` on `grid`, in one direction."""

    target: Density
    grid: Grid
    direction: Direction
    chart: Chart
    chosen: bool
    """Whether the grid is chosen automatically, and so may be chosen anew."""
    note: str = ""
    """How the target differs from the one that was given; empty if it does not."""

    def order(self, q: Density) -> tuple[Density, Density]:
        """The pair (p, q) forward, (q, p) in reverse: the fit minimises KL of the first from the second.

        If p is a histogram, q counts by its masses in the cells.
        """
        if isinstance(self.target, Histogram):
            q = InCells(q, self.target)
        return (self.target, q) if self.direction == "forward" else (q, self.target)

    def on(self, grid: Grid) -> Task:
        """The task on another grid."""
        return replace(self, grid=grid)

    def covering(self, minima: Iterable[Density]) -> Task:
        """The task on a grid that covers the target and the minima."""
        q = Mixture(minima)  # type: ignore[arg-type]
        return self.on(common_grid(self.target, q) if self.direction == "forward" else _for_either(q, self.target))


def task_of(
    p: Density | ArrayLike,
    family: Any,
    grid: Grid | None,
    direction: str | None,
    *,
    log: bool = False,
    covariance_type: str = "full",
    n_components: int | None = None,
    df: float | None = None,
) -> Task:
    """The task that the arguments of `fit` state, all of them checked."""
    known = checked_direction(direction)
    kind = family_of(family)
    p, note = _on_support_of(kind, p, grid)
    target, grid, chosen = target_of(p, grid, log)
    upper = _end_of(target) if known == "forward" else -math.inf
    in_cells = isinstance(target, Histogram)
    chart = chart_of(kind, target.ndim, covariance_type, n_components, df, upper, in_cells)
    if kind is Mixture and known == "reverse":
        raise ValueError("a mixture is fitted with direction='forward', by expectation maximisation; got 'reverse'")
    if grid is None:
        grid = _cover(target, chart, known)
    if isinstance(target, Histogram) and known == "reverse":
        target.require_ends("a reverse fit")
    elif known == "reverse" and not chosen and target.ndim == 1:
        target, grid = _inside_support(target, grid, chart)
    task = Task(target, grid, known, chart, chosen, note)
    _check_support(task, kind.__name__)
    return task


def _on_support_of(kind: type[Density], p: Any, grid: Grid | None) -> tuple[Any, str]:
    """*p* without a note; or, on the support of a family that ends, its estimate from the same samples with a note."""
    if not (isinstance(p, Estimate) and issubclass(kind, Univariate) and p.ndim == 1 and grid is None):
        return p, ""
    again = p.on(kind._common_support)
    lower, upper = again.support
    return again, "" if again is p else f"p is estimated again from its samples with support=({lower:g}, {upper:g})"


def _end_of(target: Density) -> float:
    """Where the target ends: a table at its last node that is not 0, a histogram where its last filled cell begins."""
    if not isinstance(target, Tabulated) or target.ndim > 1:
        return target.support[1]
    positive = np.flatnonzero(target.values > (-np.inf if target.log else 0.0))
    line = target.grid._line
    if not positive.size:
        return target.support[1]
    last = int(positive[-1]) % line.n
    return float(target.edges[0][last]) if isinstance(target, Histogram) else line.node(last)


def target_of(p: Density | ArrayLike, grid: Grid | None, log: bool) -> tuple[Density, Grid | None, bool]:
    """(the density, the grid or None if it has to be chosen, whether it has to be chosen)."""
    if isinstance(p, Density):
        if log:
            raise TypeError(f"log=True is for arrays; {p._named()} knows itself whether it holds logarithms")
        if grid is not None and as_grid(grid).ndim != p.ndim:
            dimensions = "1 dimension" if p.ndim == 1 else f"{p.ndim} dimensions"
            raise ValueError(f"p has {dimensions}, but the grid is of shape {grid.shape}")
        if isinstance(p, Histogram) and grid not in (None, p.grid):
            raise ValueError(f"{p!r} is fitted on its own cells: leave out the grid")
        if isinstance(p, Tabulated):
            p._require_single()
            return p, p.grid if grid is None else grid, False
        return p, grid, grid is None
    if why_no_density(p):
        raise TypeError(f"p cannot be fitted: {why_no_density(p)}")
    if grid is None:
        raise TypeError(
            f"p is not a density but a {type(p).__name__}: values at the nodes of a grid need grid=, "
            "and raw observations go through Tabulated.from_samples"
        )
    table = Tabulated(as_grid(grid), p, log=log)
    table._require_single()
    return table, grid, False


def _cover(target: Density, chart: Chart, direction: Direction) -> Grid:
    """A grid for p and for a q that covers all of it, which may be wider than every part of p."""
    if not target._bumps():
        raise TypeError(f"{target!r} does not say where it is: give grid=")
    mean = np.atleast_1d(target.mean)
    cov = np.atleast_2d(target.std**2 if target.ndim == 1 else target.cov)  # type: ignore[attr-defined]
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        return common_grid(target)
    state = chart.of_moments(mean, cov, direction)
    if state is None:
        return common_grid(target)
    q = chart.density(state)
    return common_grid(target, q) if direction == "forward" else _for_either(target, q)


def _for_either(a: Density, b: Any) -> Grid:
    """A grid for KL(a||b), or for KL(b||a) if KL(a||b) is infinite."""
    try:
        return common_grid(a, b)
    except DivergentTailError:
        return common_grid(b, a)


def _inside_support(target: Density, grid: Grid, chart: Chart) -> tuple[Density, Grid]:
    """The target and the grid without nodes at which p is positive and q may be 0, finite or infinite.

    These are the ends of a support. A sum over the nodes would jump where q passes from 0 to inf there. So the node
    beside such an end takes over its weight, and the grid still reaches up to the end.
    """
    line, ends = grid._line, chart.support
    if chart.is_regular_at_ends or chart.is_zero_at_ends:
        return target, grid
    first, last = (x in ends and math.isfinite(target.logpdf(x)) for x in (line.lower, line.upper))
    first, last = first and line.node(0) == line.lower, last and line.node(line.n - 1) == line.upper
    if not (first or last):
        return target, grid
    inside = slice(int(first), line.n - int(last))
    nodes = line.all_nodes[inside]
    edges = np.concatenate([[line.lower], 0.5 * (nodes[1:] + nodes[:-1]), [line.upper]])
    within = Grid((Axis(line.lower, line.upper, nodes.size, "midpoint", nodes, edges),))
    if isinstance(target, Tabulated) and target.grid == grid:
        target = Tabulated(within, target.values[inside], log=target.log, floor=target.floor)
    return target, within


def _check_support(task: Task, family: str) -> None:
    lower, upper = task.chart.support
    if math.isinf(lower) and math.isinf(upper):
        return
    if isinstance(task.target, Histogram):
        _check_cells(task.target, lower, upper, family)
        return
    line = task.grid._line
    first, last = line.node(0), line.node(line.n - 1)
    if first < lower or last > upper:
        outside = first if first < lower else last
        raise ValueError(
            f"{with_article(family)} lives between {lower:g} and {upper:g}, but the grid has a node at {outside:.6g}, "
            "where it is 0"
        )
    if task.direction == "forward" and not task.chart.is_regular_at_ends:
        for x in (first, last):
            if x in (lower, upper) and task.target.logpdf(x) > -math.inf:
                raise RefusedFitError.of(
                    FitStatus.POSITIVE_AT_END,
                    f"p is positive at x = {x:g}, where {with_article(family)} may be 0 or infinite: take a grid "
                    "whose nodes lie inside (Grid.from_edges, Grid.gauss_legendre, or later nodes)",
                )


def _check_cells(target: Histogram, lower: float, upper: float, family: str) -> None:
    """Refuse a histogram that has filled cells outside the support of the family."""
    edges = target.edges[0]
    outside = (target.probabilities > 0.0) & ((edges[1:] <= lower) | (edges[:-1] >= upper))
    if outside.any():
        at = int(np.argmax(outside))
        raise RefusedFitError.of(
            FitStatus.OUTSIDE_SUPPORT,
            f"{with_article(family)} lives between {lower:g} and {upper:g}, but {np.count_nonzero(outside)} cells "
            f"outside are filled, first that from {edges[at]:g} to {edges[at + 1]:g}: take a family that reaches "
            "there, or shift the observations",
        )


def checked_direction(direction: str | None) -> Direction:
    """*direction* itself, or an error that explains both directions."""
    if direction is None:
        raise TypeError(f"a direction is required: {DIRECTIONS}")
    for known in get_args(Direction):
        if direction == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"direction must be {DIRECTIONS}; got {direction!r}")
