"""The chart of a family on the line, which follows from the coordinates that the family declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastkl.density import Density
from fastkl.families import Exponential, Univariate
from fastkl.families.univariate import ENDS_TOO_EARLY, one
from fastkl.fitting.charts.chart import Chart
from fastkl.validation import Floats, with_article


class LineChart(Chart):
    """Chart of a family on the line: a state holds the parameters of the family's coordinates, in their order.

    Parameters
    ----------
    family : type
        The class of the family.
    held : mapping
        Values of the parameters that the user holds, beside those that the family does.
    upper : float
        Where p ends, in a forward fit, up to where q has to reach.
    in_cells : bool
        Whether members count by their masses in cells.
    """

    def __init__(
        self, family: type[Univariate], held: Mapping[str, float], upper: float = -math.inf, in_cells: bool = False
    ) -> None:
        self.upper, self.in_cells = upper, in_cells
        self.family: type[Univariate] = family
        self.held = {**family._held, **held}
        self.coordinates = [c for c in family._coordinates if c.parameter not in held]
        self.parameter_names = tuple(c.name for c in self.coordinates)
        self.scores = next((family._scores_of_held[name] for name in held), family._scores)
        self.support, self.window, self.kinked = family._common_support, family._window, family._has_kink
        self.is_regular_at_ends, self.is_zero_at_ends = family._is_regular_at_ends, family._is_zero_at_ends
        self.is_log = np.array([c.log for c in self.coordinates])
        self.are_logs = bool(self.is_log.all())
        self.are_plain = all(c.unit is one for c in self.coordinates)
        self.may_end = self.upper > -math.inf and family._end is not Univariate._end
        self.has_limit = family._limit is not Univariate._limit

    def members(self, state: Any) -> Any:
        """The member with a state, or, from the transpose of several states, one whose parameters are arrays."""
        numbers = zip(self.coordinates, state, strict=True)
        return self.family._unchecked(self.held | {c.parameter: number for c, number in numbers})

    def member(self, state: Floats) -> Any:
        """The member with a state, which is not checked, so that it may lie beyond the family's end."""
        return self.members(state.tolist())

    def units(self, state: Floats) -> Floats:
        """The unit of each coordinate at a state, or, from the transpose of several states, at each of them."""
        if self.are_plain:
            return np.ones(np.shape(state))
        q = self.members(state)
        return np.array([np.broadcast_to(c.unit(q), np.shape(state[0])) for c in self.coordinates])

    def score_parameters(self, states: Floats) -> Floats:
        """Parameters of the kernels for scores and statistics, a row for each state."""
        return np.array([self.member(state)._score_parameters() for state in states])

    def state(self, q: Density) -> Floats:
        if not isinstance(q, self.family):
            raise TypeError(f"expected {with_article(self.family.__name__)}, got {q!r}")
        for name, value in self.held.items():
            if getattr(q, name) != value:
                raise ValueError(f"{with_article(self.family.__name__)} is fitted with {name} = {value:g}, got {q!r}")
        return np.array([getattr(q, c.parameter) for c in self.coordinates])

    def density(self, state: Floats) -> Univariate:
        numbers = {c.parameter: number for c, number in zip(self.coordinates, state.tolist(), strict=True)}
        return self.family(**self.held, **numbers)._reaching(self.upper)

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        if not cov[0, 0] > 0.0:
            return None
        found = self.family._of_moments(float(mean[0]), float(cov[0, 0]), **self.held)
        return None if found is None else np.array([found[c.parameter] for c in self.coordinates])

    def move(self, states: Floats, steps: Floats) -> Floats:
        change = steps if self.are_plain else steps * self.units(states.T).T
        scaled = states * np.exp(change)
        return scaled if self.are_logs else np.where(self.is_log, scaled, states + change)

    def places(self, states: Floats) -> Floats:
        return np.asarray(self.members(states.T)._place_and_scale()[0])[:, np.newaxis]

    def scales(self, states: Floats) -> Floats:
        return np.asarray(self.members(states.T)._place_and_scale()[1])[:, np.newaxis]

    def sizes(self, states: Floats) -> Floats:
        return np.where(self.is_log, 0.0, np.abs(states) / self.units(states.T).T)

    def covers(self, states: Floats) -> Any:
        if not self.may_end:
            return np.ones(len(states), bool)
        ends = np.broadcast_to(self.members(states.T)._end(), len(states))
        return ends * (1.0 + ENDS_TOO_EARLY) >= self.upper

    def limit(self, state: Floats) -> str:
        return str(self.member(state)._limit(self.in_cells)) if self.has_limit else ""

    def parameters_of_state(self, state: Floats) -> Floats:
        return np.where(self.is_log, np.log(state, where=self.is_log, out=np.zeros_like(state)), state)

    def state_of_parameters(self, parameters: Floats) -> Floats:
        return np.where(self.is_log, np.exp(parameters), parameters)

    def tangent(self, state: Floats) -> Floats:
        return np.diag(self.units(state))

    def apart(self, state: Floats, other: Floats) -> float:
        shifts = np.log(state / other) if self.are_logs else np.where(self.is_log, np.log(state / other), state - other)
        if not self.are_plain:
            shifts = shifts / np.minimum(self.units(state), self.units(other))
        return float(np.abs(shifts).max())


class ExponentialChart(LineChart):
    """Chart of an exponential family: a forward fit needs but the means of two statistics."""

    family: type[Exponential]
