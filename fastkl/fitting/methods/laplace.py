"""Fits of a Laplace density, whose kink moves with loc.

On given nodes the forward divergence KL(p||q) has a kink wherever loc meets a node, and its minimum at the weighted
median of the nodes; the scale of q is the mean distance from it. On an automatic grid, in both directions, panels end
at the kink, so that sums and their gradients are exact, and every step takes a grid of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkl.densities.values import log_values
from fastkl.families.laplace import Laplace
from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.methods.newton import distinct, ends_from, normalised, of_minima
from fastkl.fitting.objectives import Local, Objective
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import descend
from fastkl.fitting.starts import starts, state_of_moments
from fastkl.grids import Grid
from fastkl.jit import TILE
from fastkl.kernels.integrals import mass
from fastkl.validation import Floats

MAX_GRIDS = 30
"""Largest number of grids that a run may take on its way to a minimum."""


def solve_forward(reading: Reading, options: Options) -> Search:
    """The weighted median of p and the mean distance from it."""
    gtol = options.gtol
    state_of_moments(reading.task, reading.moments.mean, reading.moments.cov)  # refuses a p without spread
    target = reading.task.target
    median, weight = _weighted_median(reading)
    state = np.array([median, 1.0])
    state[1] = _mean_distance(reading.objective, state)
    for _ in range(MAX_GRIDS if reading.task.chosen else 0):
        # with panels that end at the median its kink costs nothing, and the median need not be a node
        reading = reading.on(reading.task.on(Grid.cover(target, Laplace(*state))))
        objective, weight = reading.objective, 0.0
        state[1] = _mean_distance(objective, state)
        above = -float(objective(state[np.newaxis]).gradient[0, 0])  # P(x > loc) - P(x < loc)
        slope = 2.0 * float(target.pdf(state[0]))
        step = above / slope if slope > 0.0 else 0.0
        if abs(step) < 0.1 * gtol * state[1]:
            break
        state[0] += step
    local = reading.objective(state[np.newaxis])
    gradient = local.gradient[0]
    # the gradient jumps by twice the weight of the node at the median: 0 is one of the values between
    gradient[0] = np.sign(gradient[0]) * max(abs(gradient[0]) - weight, 0.0)
    hessian = local.hessian[0]
    hessian[0, 0] = 2.0 * state[1] * float(target.pdf(state[0])) / reading.mass
    hessian[0, 1] = hessian[1, 0] = 0.0
    good = np.abs(gradient).max() <= gtol and np.linalg.eigvalsh(hessian)[0] > 0.0
    outcome = Outcome.CONVERGED if good else Outcome.STALLED
    end = Point(reading.task.chart, state, float(local.value[0]), gradient, hessian, outcome)
    return Search(reading, normalised(reading, [end], options))


def _mean_distance(objective: Objective, state: Floats) -> float:
    """The mean of |x - loc| under p; the score of log(scale) is |z| - 1."""
    return float((1.0 - objective(state[np.newaxis]).gradient[0, 1]) * state[1])


def _weighted_median(reading: Reading) -> tuple[float, float]:
    """The node at which half of the mass is passed, and its share of the mass."""
    target, grid = reading.task.target, reading.task.grid
    p = target._evaluation(grid)
    reading.count.points += grid.size
    of_tiles = mass(grid.size, p.by_logs(), grid._record(), work=p.work)[:, 0]
    passed = np.cumsum(of_tiles)
    tile = int(np.searchsorted(passed, 0.5 * passed[-1]))
    start, stop = tile * TILE, min(tile * TILE + TILE, grid.size)
    logs = log_values(target, grid, start, stop)
    weights = grid.weights[0][start:stop] * np.exp(logs)
    inside = np.cumsum(weights) + (passed[tile - 1] if tile else 0.0)
    at = min(int(np.searchsorted(inside, 0.5 * passed[-1])), logs.size - 1)
    return grid._line.node(start + at), float(weights[at] / passed[-1]) * (1.0 + 1e-9)


def solve_reverse(reading: Reading, options: Options) -> Search:
    """The ends of Newton's steps; where the grid was chosen, each is polished on grids of its own."""
    ends = ends_from(reading, [*starts(reading), *options.starts], options)
    kept = of_minima(ends)
    if not kept or not reading.task.chosen:
        return Search(reading, ends)
    states, nits = np.array([end.state for end in kept]), np.array([end.nit for end in kept])
    polished = descend(AtKink(reading), states, gtol=options.gtol, max_passes=MAX_GRIDS, nits=nits)
    found = [end.q for end in polished if end.outcome is Outcome.CONVERGED]
    task = reading.task.covering(found) if found else reading.task
    return Search(reading.on(task), distinct(polished))


class AtKink(Objective):
    """KL(q||p), for each Laplace density q on panels that end at its kink.

    The Hessian includes the term that the jump of the slope adds there: the derivative of the score sign(x - loc) is
    -2 scale at loc alone, whose mean is -1, so the Hessian changes by -(G(loc) - E G), G = log(q/p).
    """

    def __init__(self, reading: Reading) -> None:
        self.reading, self.chart, self.grid = reading, reading.task.chart, reading.task.grid

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        found = [self._at(state) for state in states]
        return Local(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))

    def _at(self, state: Floats) -> Local:
        q, target = Laplace(*state), self.reading.task.target
        local = self.reading.on(self.reading.task.covering([q])).objective(state[np.newaxis])
        local.hessian[0, 0, 0] -= float(q.logpdf(q.loc) - target.logpdf(q.loc)) - float(local.value[0])
        return local

    def steps(self, states: Floats) -> Floats:
        """Steps of 0: every q has nodes of its own."""
        return np.zeros((len(states), 1))
