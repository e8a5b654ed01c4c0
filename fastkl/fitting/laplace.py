"""The forward fit of a Laplace density: the median of p, and the mean distance from it.

KL(p||q) has a kink wherever loc meets a node, and is least at the weighted median of the nodes; so it is found there
and not by Newton steps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastkl.densities import Laplace
from fastkl.densities.values import log_values
from fastkl.fitting.objectives import Objective
from fastkl.fitting.point import CONVERGED, STALLED, Point
from fastkl.fitting.problem import Problem
from fastkl.grids import Grid
from fastkl.jit import TILE
from fastkl.kernels.integrals import mass
from fastkl.validation import Floats

MAX_GRIDS = 30


def forward_laplace(problem: Problem, gtol: float) -> tuple[Problem, Point, int]:
    """(the problem, on the grid that was chosen last; the fit; points read)."""
    median, weight = _weighted_median(problem)
    state = np.array([median, 1.0])
    objective, step = problem.objective, 0.0
    state[1] = _mean_distance(objective, state)
    for _ in range(MAX_GRIDS if problem.chosen else 0):
        # with panels that end at the median its kink costs nothing, and the median need not be a node
        problem = replace(problem, grid=Grid.cover(problem.target, Laplace(*state)))
        objective, weight = problem.objective, 0.0
        above = -float(objective(state[np.newaxis]).gradient[0, 0])  # P(x > loc) - P(x < loc)
        slope = 2.0 * float(problem.target.pdf(state[0]))
        step = above / slope if slope > 0.0 else 0.0
        if abs(step) < 0.1 * gtol * state[1]:
            break
        state[0] += step
        state[1] = _mean_distance(objective, state)
    state[1] = _mean_distance(objective, state)
    local = objective(state[np.newaxis])
    gradient = local.gradient[0]
    # the gradient jumps by twice the weight of the node at the median: 0 is one of the values between
    gradient[0] = np.sign(gradient[0]) * max(abs(gradient[0]) - weight, 0.0)
    hessian = local.hessian[0]
    hessian[0, 0] = 2.0 * state[1] * float(problem.target.pdf(state[0])) / problem.mass
    hessian[0, 1] = hessian[1, 0] = 0.0
    good = np.abs(gradient).max() <= gtol and np.linalg.eigvalsh(hessian)[0] > 0.0
    end = Point(problem.chart, state, float(local.value[0]), gradient, hessian, CONVERGED if good else STALLED)
    return problem, end, objective.points_read + problem.grid.size


def _mean_distance(objective: Objective, state: Floats) -> float:
    """The mean of |x - loc| under p; the score of log(scale) is |z| - 1."""
    return float((1.0 - objective(state[np.newaxis]).gradient[0, 1]) * state[1])


def _weighted_median(problem: Problem) -> tuple[float, float]:
    """The node at which half of the mass is passed, and its share of the mass."""
    grid, record = problem.grid, problem.target.record(problem.grid)
    of_tiles = mass(grid.size, *record, *grid.record(), work=record.work)[:, 0]
    passed = np.cumsum(of_tiles)
    tile = int(np.searchsorted(passed, 0.5 * passed[-1]))
    start, stop = tile * TILE, min(tile * TILE + TILE, grid.size)
    logs = log_values(problem.target, grid, start, stop)
    weights = grid.weights[0][start:stop] * np.exp(logs)
    inside = np.cumsum(weights) + (passed[tile - 1] if tile else 0.0)
    at = min(int(np.searchsorted(inside, 0.5 * passed[-1])), logs.size - 1)
    return grid.line.node(start + at), float(weights[at] / passed[-1]) * (1.0 + 1e-9)
