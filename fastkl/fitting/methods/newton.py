"""Damped Newton steps from every start, on grids that are chosen anew for the minima they find."""

from __future__ import annotations

import numpy as np

from fastkl.densities import Density, Histogram
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import SAME_MINIMUM, add_new, descend, ends_of_runs
from fastkl.fitting.starts import starts
from fastkl.validation import Floats

MAX_GRIDS = 3
"""Grids that are chosen, at most: for a guess, for the minima found, and for what became of them."""


def solve(reading: Reading, options: Options) -> Search:
    """The ends of the runs on a grid that fits them."""
    task = reading.task
    if cells_of_narrow(task.target):
        return Search(reading, [_unidentified(reading, starts(reading)[0])])
    # a grid for a mixture of Normals resolves the Normals that are near it as well
    smooth = task.target._is_normal and task.chart.family in (Normal, MultivariateNormal)
    begins = [*starts(reading), *options.starts]
    for left in reversed(range(MAX_GRIDS)):
        ends = ends_from(reading, begins, options)
        kept = of_minima(ends)
        if not left or not kept or not task.chosen or smooth:
            break
        # the grid was chosen for a guess: take one for the minima, and see whether they move
        moved = reading.task.covering([end.q for end in kept])
        if moved.grid == reading.task.grid:
            break
        reading, begins = reading.on(moved), [end.state for end in kept]
    return Search(reading, ends)


def cells_of_narrow(target: Density) -> str:
    """Words for the filled cells of a histogram's axis if they are one or two neighbours, which any narrow q fits."""
    if not isinstance(target, Histogram):
        return ""
    for d in range(target.ndim):
        filled = np.flatnonzero(target.probabilities.sum(axis=tuple(k for k in range(target.ndim) if k != d)))
        if filled[-1] - filled[0] < 2:
            return "a single cell" if filled.size == 1 else "two neighbouring cells"
    return ""


def _unidentified(reading: Reading, state: Floats) -> Point:
    local = reading.objective(state[np.newaxis])
    numbers = float(local.value[0]), local.gradient[0], local.hessian[0]
    return Point(reading.task.chart, state, *numbers, Outcome.NOT_IDENTIFIED)


def ends_from(reading: Reading, begins: list[Floats], options: Options) -> list[Point]:
    """The ends of the runs from the given states, each once."""
    gtol, max_passes = options.gtol, options.max_passes
    if reading.task.direction == "reverse":
        return ends_of_runs(reading.objective, begins, gtol=gtol, max_passes=max_passes)
    return distinct(descend(reading.objective, np.array(begins), gtol=gtol, max_passes=max_passes))


def of_minima(ends: list[Point]) -> list[Point]:
    """The ends that are at a minimum or on the way to one."""
    return [end for end in ends if end.outcome not in (Outcome.ESCAPED, Outcome.AT_LIMIT)]


def distinct(points: list[Point]) -> list[Point]:
    """Points that are apart, the best of each group."""
    ends: list[Point] = []
    for point in sorted(points, key=lambda point: point.value):
        add_new(ends, point, SAME_MINIMUM)
    return ends
