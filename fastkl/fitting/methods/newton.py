"""Damped Newton steps from every start, on grids that are chosen anew for the minima they find."""

from __future__ import annotations

import numpy as np

from fastkl.fitting.charts import NormalChart
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.problem import Problem
from fastkl.fitting.search import SAME_MINIMUM, add_new, descend, ends_of_runs
from fastkl.validation import Floats

MAX_GRIDS = 3
"""Grids that are chosen, at most: for a guess, for the minima found, and for what became of them."""


def solve(problem: Problem, options: Options) -> Search:
    """The ends of the runs on a grid that fits them."""
    # a grid for a mixture of Normals resolves the Normals that are near it as well
    smooth = problem.target._is_normal and isinstance(problem.chart, NormalChart)
    starts, read = [*problem.starts(), *options.starts], 0
    for _ in range(MAX_GRIDS):
        ends = ends_from(problem, starts, options)
        read += problem.points_read
        kept = of_minima(ends)
        if not kept or not problem.chosen or smooth:
            break
        # the grid was chosen for a guess: take one for the minima, and see whether they move
        moved = problem.covering([end.q for end in kept])
        if moved.grid == problem.grid:
            break
        problem, starts = moved, [end.state for end in kept]
    return Search(problem, ends, read)


def ends_from(problem: Problem, starts: list[Floats], options: Options) -> list[Point]:
    """The ends of the runs from these starts, each once."""
    gtol, max_passes = options.gtol, options.max_passes
    if problem.direction == "reverse":
        return ends_of_runs(problem.objective, starts, gtol=gtol, max_passes=max_passes)
    return distinct(descend(problem.objective, np.array(starts), gtol=gtol, max_passes=max_passes))


def of_minima(ends: list[Point]) -> list[Point]:
    """The ends that are at a minimum or on the way to one."""
    return [end for end in ends if end.outcome not in (Outcome.ESCAPED, Outcome.AT_LIMIT)]


def distinct(points: list[Point]) -> list[Point]:
    """Points that are apart, the best of each group."""
    ends: list[Point] = []
    for point in sorted(points, key=lambda point: point.value):
        add_new(ends, point, SAME_MINIMUM)
    return ends
