"""Damped Newton steps from every start, on grids that are chosen anew for the minima they find."""

from __future__ import annotations

import numpy as np

from fastkl.densities import Histogram
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.binned import cells_of_narrow
from fastkl.fitting.charts import LineChart
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.objectives import ForwardOnTable
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import add_new, descend, ends_of_runs
from fastkl.fitting.starts import starts, state_of_moments
from fastkl.kernels.descent import SAME_MINIMUM
from fastkl.validation import Floats

MAX_GRIDS = 3
"""Grids that are chosen, at most: for a guess, for the minima found, and for what became of them."""
STEPS_ASIDE = [-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0]
"""Distances, in steps of a given grid, of places from which minima beside one of a q with a kink are sought."""
EDGE_STEPS = 20
"""Largest number of Newton's steps along the edge where q sums to 1 over the nodes."""
NEGLIGIBLE = 1e-3
"""Logarithm of the sum of q over the nodes of a table that moves no fit: the moments of p then settle it."""


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
    return Search(reading, normalised(reading, ends, options))


def normalised(reading: Reading, ends: list[Point], options: Options) -> list[Point]:
    """The ends of a forward fit to a table, or where q sums to more than 1 over its nodes, those that count the sum."""
    task, known = reading.task, of_minima(ends)
    is_table = reading.is_own_table and not isinstance(task.target, Histogram)
    if task.direction == "reverse" or not is_table or not isinstance(task.chart, LineChart) or not known:
        return ends
    objective = ForwardOnTable(reading)
    states = np.array([end.state for end in known])
    if not (objective(states).value > np.array([end.value for end in known]) + NEGLIGIBLE).any():
        return ends
    states = np.concatenate([states, [state_of_moments(task, reading.guess.mean, reading.guess.cov)]])
    if task.chart.kinked:  # the nodes are kinks: begin between them
        half = 0.5 * objective.steps(states)[:, 0]
        states = np.concatenate([states + side * np.column_stack([half, np.zeros_like(half)]) for side in (-1.0, 1.0)])
    found = descend(objective, states, gtol=options.gtol, max_passes=options.max_passes)
    found = [end if end.outcome is Outcome.CONVERGED else _on_edge(objective, end, options) for end in found]
    return distinct([end for end in found if end.outcome is Outcome.CONVERGED] or found)


def _on_edge(objective: ForwardOnTable, end: Point, options: Options) -> Point:
    """The minimum near the end of a run on the edge where q sums to 1, beyond which log(B) begins; else the end itself.

    The slopes on both sides of the edge point towards it: a mean of them with a weight from 0 to 1 is 0. Newton's steps
    solve for the place and the weight.
    """
    chart, state, weight = end.chart, end.state, 0.5
    for _ in range(EDGE_STEPS):
        local, more, slopes, bends = objective.parts(state[np.newaxis])
        slope, gradient = slopes[0], local.gradient[0] + weight * slopes[0]
        hessian = local.hessian[0] + weight * bends[0]
        if max(np.abs(gradient).max(), abs(more[0])) <= options.gtol:
            across = np.linalg.svd(slope[np.newaxis])[2][1:]  # the directions along the edge
            along = across @ hessian @ across.T
            is_minimum = 0.0 <= weight <= 1.0 and (np.linalg.eigvalsh(along) > 0.0).all()
            value = float(local.value[0]) + max(float(more[0]), 0.0)
            return Point(chart, state, value, gradient, hessian, Outcome.CONVERGED, end.nit) if is_minimum else end
        system = np.block([[hessian, slope[:, np.newaxis]], [slope, 0.0]])
        try:
            step = np.linalg.solve(system, -np.append(gradient, more[0]))
        except np.linalg.LinAlgError:
            break
        if not np.abs(step[:-1]).max() <= 1.0:
            break
        state, weight = chart.move(state[np.newaxis], step[np.newaxis, :-1])[0], weight + float(step[-1])
    return end


def _unidentified(reading: Reading, state: Floats) -> Point:
    local = reading.objective(state[np.newaxis])
    numbers = float(local.value[0]), local.gradient[0], local.hessian[0]
    return Point(reading.task.chart, state, *numbers, Outcome.NOT_IDENTIFIED)


def ends_from(reading: Reading, begins: list[Floats], options: Options) -> list[Point]:
    """The ends of the runs from the given states, each once."""
    gtol, max_passes = options.gtol, options.max_passes
    if reading.task.direction == "reverse":
        ends = ends_of_runs(reading.objective, begins, gtol=gtol, max_passes=max_passes)
        return [_lowest_nearby(reading, end, options) for end in ends]
    return distinct(descend(reading.objective, np.array(begins), gtol=gtol, max_passes=max_passes))


def _lowest_nearby(reading: Reading, end: Point, options: Options) -> Point:
    """The lowest of the minima into which given nodes split one, if q has a kink; the end itself if it is none."""
    task = reading.task
    splits = task.chart.kinked and not task.chosen and not isinstance(task.target, Histogram)
    if not splits or end.outcome is not Outcome.CONVERGED:
        return end
    step = float(reading.objective.steps(end.state[np.newaxis])[0, 0])
    states = end.state + np.outer(STEPS_ASIDE, [step, 0.0])
    found = descend(reading.objective, states, gtol=options.gtol, max_passes=options.max_passes, nits=end.nit)
    return min([end, *(f for f in found if f.outcome is Outcome.CONVERGED)], key=lambda f: f.value)


def of_minima(ends: list[Point]) -> list[Point]:
    """The ends that are at a minimum or on the way to one."""
    return [end for end in ends if end.outcome not in (Outcome.ESCAPED, Outcome.AT_LIMIT)]


def distinct(points: list[Point]) -> list[Point]:
    """Points that are apart, the best of each group."""
    ends: list[Point] = []
    for point in sorted(points, key=lambda point: point.value):
        add_new(ends, point, SAME_MINIMUM)
    return ends
