"""Charts of mixtures of Normals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.densities import Mixture
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.charts.chart import Chart
from fastkl.fitting.charts.normal import NormalChart
from fastkl.validation import Floats


class MixtureChart(NormalChart):
    """Mixtures of `parts` Normals: a state is, for each Normal, the log of its weight, its mean, and L row by row."""

    def __init__(self, parts: int, ndim: int, *, line: bool) -> None:
        super().__init__(ndim, line=line)
        self.parts = parts
        self.family = Mixture
        of_parts = [f"{name} of component {k}" for k in range(parts) for name in self.parameter_names]
        self.parameter_names = (*of_parts, *(f"log(weight[{k}]/weight[{parts - 1}])" for k in range(parts - 1)))

    def sizes(self, states: Floats) -> Floats:
        return Chart.sizes(self, states)

    def in_parameters(self, state: Floats, gradient: Floats, hessian: Floats) -> tuple[Floats, Floats]:
        return gradient, hessian  # the parameters of a mixture are its local coordinates

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> None:
        """Nothing: many mixtures have the same moments."""

    def rows(self, state: Floats) -> Floats:
        """A state as a matrix with a row for each component."""
        return state.reshape(self.parts, -1)

    def density(self, state: Floats) -> Mixture:  # type: ignore[override]
        rows = self.rows(self.in_order(state))
        one = NormalChart(self.ndim, line=self.line)
        weights = np.exp(rows[:, 0])
        components: list[Normal | MultivariateNormal] = [one.density(row) for row in rows[:, 1:]]
        return Mixture(components, (weights / weights.sum()).tolist())

    def in_order(self, state: Floats) -> Floats:
        """The same mixture with its components in the order of their means."""
        rows = self.rows(state)
        return rows[sorted(range(self.parts), key=lambda k: rows[k, 1:].tolist())].ravel()

    def state(self, q: Any) -> Floats:
        if not isinstance(q, Mixture) or len(q.components) != self.parts or min(q.weights) <= 0.0:
            raise TypeError(f"expected a Mixture of {self.parts} Normals of positive weights, got {q!r}")
        one = NormalChart(self.ndim, line=self.line)
        rows = [[math.log(w), *one.state(part)] for w, part in zip(q.weights, q.components, strict=True)]
        return np.array(rows).ravel()

    def move(self, states: Floats, steps: Floats) -> Floats:
        return np.stack([self._moved(state, step) for state, step in zip(states, steps, strict=True)])

    def _moved(self, state: Floats, step: Floats) -> Floats:
        rows, size = self.rows(state), len(self.basis)
        steps = step[: self.parts * size].reshape(self.parts, size)
        logs = rows[:, 0] + np.append(step[self.parts * size :], 0.0)
        logs -= np.logaddexp.reduce(logs)
        return np.column_stack([logs, super().move(rows[:, 1:], steps)]).ravel()

    def places(self, states: Floats) -> Floats:
        """The mean of the component that comes first in the order of means, for each state."""
        return np.stack([min(self.rows(state)[:, 1 : self.ndim + 1].tolist()) for state in states])

    def scales(self, states: Floats) -> Floats:
        """The smallest scale of any component along each axis, for each state."""
        return np.stack([super(MixtureChart, self).scales(self.rows(state)[:, 1:]).min(axis=0) for state in states])

    def apart(self, state: Floats, other: Floats) -> float:
        """The largest difference in any coordinate, between components in the order of their means."""
        mine, theirs = (sorted(self.rows(s).tolist(), key=lambda row: row[1:]) for s in (state, other))
        pairs = [(np.array(a), np.array(b)) for a, b in zip(mine, theirs, strict=True)]
        return float(max(max(super(MixtureChart, self).apart(a[1:], b[1:]), abs(a[0] - b[0])) for a, b in pairs))
