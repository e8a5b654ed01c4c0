"""The divergence of a histogram as a function of the parameters of q, by the masses of q in the cells.

With Q the mass of a cell, s its score, the derivative of log Q, and c the second derivative, the divergence is that of
`fastkl.fitting.objectives`, with cells in the place of nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastkl.densities import Histogram
from fastkl.densities.cells import CellScores, normal_in_cells, scores_in_cells
from fastkl.families.normal import Normal
from fastkl.fitting.charts import LineChart, NormalChart
from fastkl.fitting.objectives import Expected, Local, Objective, local_of_reverse
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE
from fastkl.kernels.polynomials import exponents
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.fitting.reading import Reading

SMALLEST_IN_CELLS = {"forward": 1e-3, "reverse": 0.1}
"""Least scale of q in cells: a forward fit may place it by the counts beside a full cell, a reverse fit cannot."""


class Binned(Objective):
    """KL(p||q) or KL(q||p) for a histogram p."""

    def __init__(self, reading: Reading) -> None:
        task = reading.task
        assert isinstance(task.target, Histogram)
        self.grid, self.chart, self.count, self.direction = task.grid, task.chart, reading.count, task.direction
        self.edges, p = task.target.edges, task.target.probabilities.ravel()
        self.occupied = np.flatnonzero(p)
        self.p, self.log_p = p[self.occupied], np.log(p[self.occupied])

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        of_state = self._forward if self.direction == "forward" else self._reverse
        found = [of_state(self.cells(state)) for state in states]
        self.count.points += self.grid.size * len(states)
        return Local(*(np.array(column) for column in zip(*found, strict=True)))

    def cells(self, state: Floats) -> CellScores:
        """The log-masses of a member in all cells, with their derivatives by the coordinates of the chart."""
        chart = self.chart
        if isinstance(chart, LineChart):
            return scores_in_cells(chart.member(state), chart.scores, len(chart.coordinates), self.edges[0])
        assert isinstance(chart, NormalChart)
        if chart.ndim == 1:
            member = Normal._unchecked({"loc": float(state[0]), "scale": float(state[1])})
            return scores_in_cells(member, Normal._scores, 2, self.edges[0])
        return _of_normal(chart, state, self.edges)

    def _forward(self, q: CellScores) -> tuple[Any, ...]:
        own = self.occupied
        value = self.p @ (self.log_p - q.log_mass[own])
        return value, -q.slope[:, own] @ self.p, -q.bend[:, :, own] @ self.p, 1.0

    def _reverse(self, q: CellScores) -> tuple[Any, ...]:
        there = q.log_mass > -np.inf
        Q, s, c = np.exp(q.log_mass[there]), q.slope[:, there], q.bend[:, :, there]
        log_p = np.full(there.size, -np.inf)
        log_p[self.occupied] = self.log_p
        G = q.log_mass[there] - log_p[there]
        inside = Q.sum()
        u = Q / inside
        v = u * G
        ss = np.einsum("ai,bi->abi", s, s)
        means = Expected(inside, v.sum(), s @ u, s @ v, ss @ u, ss @ v, c @ u, c @ v)
        local = local_of_reverse(Expected(*(np.asarray(part)[np.newaxis] for part in means)))
        return tuple(part[0] for part in local._replace(value=local.value - np.log(inside)))

    def strides(self, states: Floats, level: int) -> Any:
        """Strides of 1: every cell counts."""
        return np.ones((len(states), self.grid.ndim), np.int64)

    def steps(self, states: Floats) -> Floats:
        """The smallest scales of q that the cells around the states can tell."""
        return super().steps(states) * SMALLEST_IN_CELLS[self.direction]


def _of_normal(chart: NormalChart, state: Floats, edges: Any) -> CellScores:
    """Scores of the log-masses of a Normal in several dimensions, from means of polynomials in the cells."""
    mean, L = chart.split(state)
    moments = normal_in_cells(mean, L, edges, TILTED_DEGREE)
    log_mass = moments[0].copy()
    moments[0] = log_mass > -np.inf
    raw, constant = moments[chart.scores], chart.slope_of_constant
    s = raw - constant[:, np.newaxis] * moments[0]
    low = len(exponents(chart.ndim, DEGREE))
    second = moments[chart.products] + chart.curvature @ moments[:low] - np.einsum("ai,bi->abi", raw, raw)
    basis = chart.basis
    return CellScores(log_mass, basis.T @ s, np.einsum("ap,abi,bq->pqi", basis, second, basis))
