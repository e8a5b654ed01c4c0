"""The divergence of a histogram as a function of the parameters of q, by the masses of q in the cells.

With Q the mass of a cell, s its score, the derivative of log Q, and c the second derivative, the divergence is that of
`fastkl.fitting.objectives`, with cells in the place of nodes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastkl.densities import Density, Histogram
from fastkl.densities.cells import CellScores, normal_in_cells, scores_in_cells
from fastkl.families.normal import Normal
from fastkl.fitting.charts import LineChart, NormalChart
from fastkl.fitting.objectives import Expected, Local, Objective, local_of_reverse
from fastkl.grids import Axis
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE
from fastkl.kernels.polynomials import exponents
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.fitting.reading import Reading

SMALLEST_IN_CELLS = {"forward": 1e-3, "reverse": 0.1}
"""Least scale of q in cells: a forward fit may place it by the counts beside a full cell, a reverse fit cannot."""


def cells_of_narrow(target: Density) -> str:
    """Words for the filled cells of a histogram's axis if they are one or two neighbours, which any narrow q fits."""
    if not isinstance(target, Histogram):
        return ""
    for d in range(target.ndim):
        filled = np.flatnonzero(target.probabilities.sum(axis=tuple(k for k in range(target.ndim) if k != d)))
        if filled[-1] - filled[0] < 2:
            return "a single cell" if filled.size == 1 else "two neighbouring cells"
    return ""


def width_at(axis: Axis, x: float) -> float:
    """The least width of the cell at x and its neighbours, or of those at the end that is nearest to x."""
    cell = int(np.clip(np.searchsorted(axis.edges, x, side="right") - 1, 0, axis.n - 1))
    return float(np.diff(axis.edges[max(cell - 1, 0) : cell + 3]).min())


LEAST_LOG_MASS = -90.0
"""Logarithm of the mass of q in a cell below which the cell adds nothing to a reverse divergence."""


class Binned(Objective):
    """KL(p||q) or KL(q||p) for a histogram p."""

    def __init__(self, reading: Reading) -> None:
        task = reading.task
        assert isinstance(task.target, Histogram)
        self.grid, self.chart, self.count, self.direction = task.grid, task.chart, reading.count, task.direction
        self.edges, p = task.target.edges, task.target.probabilities.ravel()
        self.chosen = np.flatnonzero(p) if task.direction == "forward" else np.arange(p.size)
        self.p = p[self.chosen]
        self.lowest = -math.inf if task.direction == "forward" else LEAST_LOG_MASS
        with np.errstate(divide="ignore"):
            self.log_p = np.log(self.p)

    def __call__(self, states: Floats, strides: Any = None) -> Local:
        of_state = self._forward if self.direction == "forward" else self._reverse
        found = [of_state(self.cells(state)) for state in states]
        self.count.points += self.grid.size * len(states)
        return Local(*(np.array(column) for column in zip(*found, strict=True)))

    def cells(self, state: Floats) -> CellScores:
        """The log-masses of a member, with their derivatives by the coordinates of the chart.

        Forward they are those of the filled cells, in reverse those of all.
        """
        chart = self.chart
        if chart.ndim > 1:
            return self._of_normal(state)
        lower, upper = self.edges[0][self.chosen], self.edges[0][self.chosen + 1]
        if isinstance(chart, LineChart):
            return scores_in_cells(chart.member(state), chart.scores, len(chart.coordinates), lower, upper, self.lowest)
        member = Normal._unchecked({"loc": float(state[0]), "scale": float(state[1])})
        return scores_in_cells(member, Normal._scores, len(chart.parameter_names), lower, upper, self.lowest)

    def _forward(self, q: CellScores) -> tuple[Any, ...]:
        return self.p @ (self.log_p - q.log_mass), -q.slope @ self.p, -q.bend @ self.p, 1.0

    def _reverse(self, q: CellScores) -> tuple[Any, ...]:
        there = q.log_mass > -np.inf
        Q, s, c = np.exp(q.log_mass[there]), q.slope[:, there], q.bend[:, :, there]
        G = q.log_mass[there] - self.log_p[there]
        inside = Q.sum()
        u = Q / inside
        v = u * G
        ss = np.einsum("ai,bi->abi", s, s)
        means = Expected(inside, v.sum(), s @ u, s @ v, ss @ u, ss @ v, c @ u, c @ v)
        local = local_of_reverse(Expected(*(np.asarray(part)[np.newaxis] for part in means)))
        return tuple(part[0] for part in local._replace(value=local.value - np.log(inside)))

    def _of_normal(self, state: Floats) -> CellScores:
        """Scores of the log-masses of a Normal in several dimensions, from means of polynomials in the cells."""
        chart = self.chart
        assert isinstance(chart, NormalChart)
        moments = normal_in_cells(*chart.split(state), self.edges, TILTED_DEGREE, self.chosen, self.lowest)
        log_mass = moments[0].copy()
        moments[0] = log_mass > -np.inf
        raw, constant, basis = moments[chart.scores], chart.slope_of_constant, chart.basis
        s = raw - constant[:, np.newaxis] * moments[0]
        low = len(exponents(chart.ndim, DEGREE))
        second = moments[chart.products] + chart.curvature @ moments[:low] - np.einsum("ai,bi->abi", raw, raw)
        return CellScores(log_mass, basis.T @ s, np.einsum("ap,abi,bq->pqi", basis, second, basis))

    def strides(self, states: Floats, level: int) -> Any:
        """Strides of 1: every cell counts."""
        return np.ones((len(states), self.grid.ndim), np.int64)

    def steps(self, states: Floats) -> Floats:
        """The smallest scales of q that the cells at the states can tell."""
        places = self.chart.places(states)
        widths = [width_at(axis, x) for at in places.tolist() for axis, x in zip(self.grid._parts, at, strict=True)]
        return np.reshape(widths, places.shape) * SMALLEST_IN_CELLS[self.direction]
