"""Fits of a Laplace density, whose kink moves with loc.

On given nodes the forward divergence KL(p||q) has a kink wherever loc meets a node, and its minimum at the weighted
median of the nodes; the scale of q is the mean distance from it. On an automatic grid, in both directions, panels end
at the kink, so that sums and their gradients are exact, and every step takes a grid of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastkl.densities.values import log_values
from fastkl.families.laplace import Laplace
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.methods.newton import distinct, ends_from, of_minima
from fastkl.fitting.objectives import Local, Objective
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.problem import Problem
from fastkl.fitting.search import SUFFICIENT, newton_steps
from fastkl.grids import Grid
from fastkl.jit import TILE
from fastkl.kernels.integrals import mass
from fastkl.validation import Floats

MAX_GRIDS = 30
SMALLEST_SHARE = 1e-6
ROUNDING = 1e-13


def solve_forward(problem: Problem, options: Options) -> Search:
    """The weighted median of p and the mean distance from it."""
    gtol = options.gtol
    problem.state_of_moments(problem.moments.mean, problem.moments.cov)  # refuses a p without spread
    median, weight = _weighted_median(problem)
    state = np.array([median, 1.0])
    objective = problem.objective
    state[1] = _mean_distance(objective, state)
    for _ in range(MAX_GRIDS if problem.chosen else 0):
        # with panels that end at the median its kink costs nothing, and the median need not be a node
        problem = replace(problem, grid=Grid.cover(problem.target, Laplace(*state)))
        objective, weight = problem.objective, 0.0
        state[1] = _mean_distance(objective, state)
        above = -float(objective(state[np.newaxis]).gradient[0, 0])  # P(x > loc) - P(x < loc)
        slope = 2.0 * float(problem.target.pdf(state[0]))
        step = above / slope if slope > 0.0 else 0.0
        if abs(step) < 0.1 * gtol * state[1]:
            break
        state[0] += step
    local = objective(state[np.newaxis])
    gradient = local.gradient[0]
    # the gradient jumps by twice the weight of the node at the median: 0 is one of the values between
    gradient[0] = np.sign(gradient[0]) * max(abs(gradient[0]) - weight, 0.0)
    hessian = local.hessian[0]
    hessian[0, 0] = 2.0 * state[1] * float(problem.target.pdf(state[0])) / problem.mass
    hessian[0, 1] = hessian[1, 0] = 0.0
    good = np.abs(gradient).max() <= gtol and np.linalg.eigvalsh(hessian)[0] > 0.0
    end = Point(
        problem.chart, state, float(local.value[0]), gradient, hessian, Outcome.CONVERGED if good else Outcome.STALLED
    )
    return Search(problem, [end], objective.points_read + problem.grid.size)


def _mean_distance(objective: Objective, state: Floats) -> float:
    """The mean of |x - loc| under p; the score of log(scale) is |z| - 1."""
    return float((1.0 - objective(state[np.newaxis]).gradient[0, 1]) * state[1])


def _weighted_median(problem: Problem) -> tuple[float, float]:
    """The node at which half of the mass is passed, and its share of the mass."""
    grid, p = problem.grid, problem.target._evaluation(problem.grid)
    of_tiles = mass(grid.size, p.by_logs(), grid._record(), work=p.work)[:, 0]
    passed = np.cumsum(of_tiles)
    tile = int(np.searchsorted(passed, 0.5 * passed[-1]))
    start, stop = tile * TILE, min(tile * TILE + TILE, grid.size)
    logs = log_values(problem.target, grid, start, stop)
    weights = grid.weights[0][start:stop] * np.exp(logs)
    inside = np.cumsum(weights) + (passed[tile - 1] if tile else 0.0)
    at = min(int(np.searchsorted(inside, 0.5 * passed[-1])), logs.size - 1)
    return grid._line.node(start + at), float(weights[at] / passed[-1]) * (1.0 + 1e-9)


def solve_reverse(problem: Problem, options: Options) -> Search:
    """The ends of Newton's steps; where the grid was chosen, each is polished on grids of its own."""
    ends = ends_from(problem, [*problem.starts(), *options.starts], options)
    read, kept = problem.points_read, of_minima(ends)
    if not kept or not problem.chosen:
        return Search(problem, ends, read)
    polished = [_polished(problem, end, options.gtol) for end in kept]
    found = [end.q for end in polished if end.outcome is Outcome.CONVERGED]
    return Search(problem.covering(found) if found else problem, distinct(polished), read)


def _polished(problem: Problem, end: Point, gtol: float) -> Point:
    state, local, nit, outcome = end.state, _at_kink(problem, end.state), end.nit, Outcome.STALLED
    for _ in range(MAX_GRIDS):
        step, slope, lowest = newton_steps(local)
        if np.abs(local.gradient).max() <= gtol:
            outcome = Outcome.CONVERGED if lowest[0] > 0.0 else Outcome.STALLED
            break
        share = 1.0
        while share > SMALLEST_SHARE:
            trial = problem.chart.move(state[np.newaxis], share * step)[0]
            found = _at_kink(problem, trial)
            if found.value[0] <= local.value[0] + SUFFICIENT * share * slope[0] + ROUNDING:
                break
            share *= 0.5
        else:
            break
        state, local, nit = trial, found, nit + 1
    return Point(problem.chart, state, float(local.value[0]), local.gradient[0], local.hessian[0], outcome, nit)


def _at_kink(problem: Problem, state: Floats) -> Local:
    """The divergence on panels that end at loc; its Hessian includes the term that the jump of the slope adds there.

    The derivative of the score sign(x - loc) is -2 scale at loc alone, whose mean is -1: the Hessian changes by
    -(G(loc) - E G), G = log(q/p).
    """
    q = Laplace(*state)
    own = problem.covering([q])
    local = own.objective(state[np.newaxis])
    local.hessian[0, 0, 0] -= float(q.logpdf(q.loc) - problem.target.logpdf(q.loc)) - float(local.value[0])
    return local
