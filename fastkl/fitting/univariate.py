"""Charts of the families on the line; see `fastkl.fitting.charts`."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from fastkl.densities import Beta, Density, Gamma, Laplace, Logistic, LogNormal, StudentT
from fastkl.densities.normal import LOG_SQRT_2PI
from fastkl.densities.stirling import curvature, stirling, stirling_slope
from fastkl.fitting.charts import Chart
from fastkl.jit import Implementation
from fastkl.kernels import scores, statistics
from fastkl.validation import Floats

FAR = 45.0
"""Distance from the mode, in scales, at which an exponential tail is below 3e-20."""

USUAL_DF = 6.0
"""Degrees of freedom at which a search for df starts."""

LARGEST_DF = 1e4
"""Degrees of freedom beyond which a StudentT is a Normal to four digits, and the divergence hardly depends on df."""

SMALLEST_EXCESS = 1e-3


POSITIVE = (0.0, math.inf)


class UnivariateChart(Chart):
    """Chart of a family whose log-density and scores a kernel evaluates."""

    family: Any
    scores: Implementation
    window: float = math.inf
    """Distance from its place, in scales, beyond which the density is negligible."""

    def parameters(self, states: Floats) -> Floats:
        """Parameters of the kernel, a row for each state."""
        return np.array([self._parameters(*state) for state in states.tolist()])

    @abstractmethod
    def _parameters(self, *state: float) -> list[float]:
        """Parameters of the kernel for one state."""

    @property
    def parameter_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.names

    def parameters_of_state(self, state: Floats) -> Floats:
        return np.asarray(np.log(state))

    def state_of_parameters(self, parameters: Floats) -> Floats:
        return np.asarray(np.exp(parameters))

    def tangent(self, state: Floats) -> Floats:
        return np.eye(state.size)

    def apart(self, state: Floats, other: Floats) -> float:
        return float(np.abs(np.log(state / other)).max())

    def move(self, states: Floats, steps: Floats) -> Floats:
        """The states to which steps of the logarithms lead; every parameter is positive."""
        return np.asarray(states * np.exp(steps), dtype=np.float64)

    def density(self, state: Floats) -> Any:
        return self.family(*state.tolist())

    def state(self, q: Density) -> Floats:
        if not isinstance(q, self.family):
            raise TypeError(f"expected a {self.family.__name__}, got {q!r}")
        return self._state(q)

    @abstractmethod
    def _state(self, q: Any) -> Floats:
        """The state of a member of the family."""


class ExponentialChart(UnivariateChart):
    """Chart of an exponential family: all that counts of p is the means of two statistics."""

    of_x: Implementation
    """Statistics as a kernel computes them, relative to a state: they keep their digits if that is near the fit."""

    @abstractmethod
    def statistics(self, state: Floats, means: Floats) -> Floats:
        """The means, which are relative to *state*, in a form that serves any other state."""

    @abstractmethod
    def at_statistics(self, state: Floats, statistics: Floats) -> tuple[float, Floats, Floats]:
        """The means of log q, of the scores and of their derivatives, from what `statistics` returns."""


class LocationScaleChart(UnivariateChart):
    """Chart of a family with states (loc, scale), perhaps followed by another positive parameter."""

    names: tuple[str, ...] = ("loc/scale", "log(scale)")
    scale_of_std = 1.0

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        if not cov[0, 0] > 0.0:
            return None
        return np.array([mean[0], math.sqrt(cov[0, 0]) * self.scale_of_std])

    def move(self, states: Floats, steps: Floats) -> Floats:
        moved = states.copy()
        moved[:, 0] += states[:, 1] * steps[:, 0]
        moved[:, 1:] *= np.exp(steps[:, 1:])
        return moved

    @property
    def parameter_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("loc", *self.names[1:])

    def parameters_of_state(self, state: Floats) -> Floats:
        return np.concatenate([state[:1], np.log(state[1:])])

    def state_of_parameters(self, parameters: Floats) -> Floats:
        return np.concatenate([parameters[:1], np.exp(parameters[1:])])

    def tangent(self, state: Floats) -> Floats:
        return np.diag([state[1], *np.ones(state.size - 1)])

    def places(self, states: Floats) -> Floats:
        return states[:, :1]

    def scales(self, states: Floats) -> Floats:
        return states[:, 1:2]

    def apart(self, state: Floats, other: Floats) -> float:
        along = abs(state[0] - other[0]) / min(state[1], other[1])
        return float(max(along, np.abs(np.log(state[1:] / other[1:])).max()))

    def _parameters(self, *state: float) -> list[float]:
        density = self.density(np.array(state))
        return list(density._parameters())[:4]

    def _state(self, q: Any) -> Floats:
        return np.array([q.loc, q.scale])


class LaplaceChart(LocationScaleChart):
    """Chart of the Laplace family, with states (loc, scale)."""

    family, scores, window, scale_of_std = Laplace, scores.laplace, FAR, math.sqrt(0.5)
    kinked = True


class LogisticChart(LocationScaleChart):
    """Chart of the Logistic family, with states (loc, scale)."""

    family, scores, window, scale_of_std = Logistic, scores.logistic, FAR, math.sqrt(3.0) / math.pi


class StudentTChart(LocationScaleChart):
    """Chart of the StudentT family, with states (loc, scale, df)."""

    names = ("loc/scale", "log(scale)", "log(df)")
    family, scores = StudentT, scores.student_t

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        start = super().of_moments(mean, cov)
        if start is None:
            return None
        return np.array([start[0], start[1] * math.sqrt((USUAL_DF - 2.0) / USUAL_DF), USUAL_DF])

    def limit(self, state: Floats) -> str:
        return (
            f"df has passed {LARGEST_DF:g}: the tails are those of a Normal, fit one" if state[2] > LARGEST_DF else ""
        )

    def density(self, state: Floats) -> StudentT:
        loc, scale, df = state.tolist()
        return StudentT(df, loc, scale)

    def _state(self, q: Any) -> Floats:
        return np.array([q.loc, q.scale, q.df])

    def _parameters(self, *state: float) -> list[float]:
        from scipy.special import digamma, polygamma

        df = state[2]
        half = 0.5 * df
        slope = half * float(digamma(half + 0.5) - digamma(half)) - 0.5
        bend = slope + 0.5 + half * half * float(polygamma(1, half + 0.5) - polygamma(1, half))
        return [*super()._parameters(*state), slope, bend]


class StudentTOfDfChart(LocationScaleChart):
    """Chart of the StudentT family with a fixed df, with states (loc, scale)."""

    family, scores = StudentT, scores.student_t_of_df

    def __init__(self, df: float) -> None:
        self.df = df
        self.scale_of_std = math.sqrt((df - 2.0) / df) if df > 2.5 else 0.5

    def density(self, state: Floats) -> StudentT:
        return StudentT(self.df, *state.tolist())


class LogNormalChart(LocationScaleChart, ExponentialChart):
    """Chart of the LogNormal family, with states (log(scale), s): a Normal of log x."""

    names = ("log(scale)/s", "log(s)")
    family, scores, of_x, support = LogNormal, scores.log_normal, statistics.log_normal, POSITIVE

    def statistics(self, state: Floats, means: Floats) -> Floats:
        """The mean and the variance of log x."""
        loc, s = state
        return np.array([loc + s * means[0], s * s * (means[1] - means[0] ** 2)])

    def at_statistics(self, state: Floats, statistics: Floats) -> tuple[float, Floats, Floats]:
        loc, s = state
        first = (statistics[0] - loc) / s
        second = statistics[1] / (s * s) + first * first
        log_q = self.parameters(state[np.newaxis])[0, 0] - s * first - 0.5 * second
        return log_q, np.array([first, second - 1.0]), -np.array([[1.0, 2.0 * first], [2.0 * first, 2.0 * second]])

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        if not (mean[0] > 0.0 and cov[0, 0] > 0.0):
            return None
        square = math.log1p(cov[0, 0] / mean[0] ** 2)
        return np.array([math.log(mean[0]) - 0.5 * square, math.sqrt(square)])

    def density(self, state: Floats) -> LogNormal:
        loc, s = state.tolist()
        return LogNormal(s, math.exp(loc))

    def _state(self, q: Any) -> Floats:
        return np.array([math.log(q.scale), q.s])

    @property
    def parameter_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("log(scale)", "log(s)")

    def places(self, states: Floats) -> Floats:
        return np.exp(states[:, :1])

    def scales(self, states: Floats) -> Floats:
        """The scale around the mode, where it is smallest."""
        return np.exp(states[:, :1] - states[:, 1:] ** 2) * states[:, 1:]

    def _parameters(self, *state: float) -> list[float]:
        loc, s = state
        return [-LOG_SQRT_2PI - math.log(s) - loc, math.exp(loc), 1.0 / s]


class GammaChart(ExponentialChart):
    """Chart of the Gamma family with loc = 0, with states (a, scale)."""

    names = ("log(a)", "log(scale)")
    family, scores, of_x, support = Gamma, scores.gamma, statistics.gamma, POSITIVE

    def statistics(self, state: Floats, means: Floats) -> Floats:
        """A place m, and the means of log(x/m) and x/m - 1."""
        return np.array([state[0] * state[1], *means])

    def at_statistics(self, state: Floats, statistics: Floats) -> tuple[float, Floats, Floats]:
        factor, a, scale, of_a, of_a_twice = self.parameters(state[np.newaxis])[0]
        moved = math.log(statistics[0] / (a * scale))
        logarithm = statistics[1] + moved
        position = math.expm1(moved) + math.exp(moved) * statistics[2]
        second = np.array([[a * logarithm + of_a_twice, -a], [-a, -a * (1.0 + position)]])
        log_q = factor + (a - 1.0) * logarithm - a * position
        return log_q, np.array([a * logarithm + of_a, a * position]), second

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        if not (mean[0] > 0.0 and cov[0, 0] > 0.0):
            return None
        return np.array([mean[0] ** 2 / cov[0, 0], cov[0, 0] / mean[0]])

    def density(self, state: Floats) -> Gamma:
        a, scale = state.tolist()
        return Gamma(a, 0.0, scale)

    def _state(self, q: Any) -> Floats:
        if q.loc != 0.0:
            raise ValueError(f"a Gamma is fitted with loc = 0, got {q!r}")
        return np.array([q.a, q.scale])

    def places(self, states: Floats) -> Floats:
        return states[:, :1] * states[:, 1:]

    def scales(self, states: Floats) -> Floats:
        return np.sqrt(states[:, :1]) * states[:, 1:]

    def _parameters(self, *state: float) -> list[float]:
        a, scale = state
        factor = -LOG_SQRT_2PI - 0.5 * math.log(a) - stirling(a) - math.log(scale)
        slope = 0.5 - a * stirling_slope(a)
        return [factor, a, scale, slope, slope - a - float(curvature(np.array(a)))]


class BetaChart(ExponentialChart):
    """Chart of the Beta family, with states (a, b)."""

    names = ("log(a)", "log(b)")
    family, scores, of_x, support = Beta, scores.beta, statistics.beta, (0.0, 1.0)

    def statistics(self, state: Floats, means: Floats) -> Floats:
        """A place as m and 1 - m, and the means of log(x/m) and log((1 - x)/(1 - m))."""
        return np.array([*(state / state.sum()), *means])

    def at_statistics(self, state: Floats, statistics: Floats) -> tuple[float, Floats, Floats]:
        factor, _, _, of_a, of_b, aa, ab, bb = self.parameters(state[np.newaxis])[0]
        logarithms = statistics[2:] + np.log(statistics[:2] / (state / state.sum()))
        left, right = state * logarithms
        log_q = factor + left + right - logarithms.sum()
        return log_q, np.array([left + of_a, right + of_b]), np.array([[left + aa, ab], [ab, right + bb]])

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        m, variance = float(mean[0]), float(cov[0, 0])
        if not (0.0 < m < 1.0 and variance > 0.0):
            return None
        total = max(m * (1.0 - m) / variance - 1.0, SMALLEST_EXCESS)
        return np.array([m * total, (1.0 - m) * total])

    def _state(self, q: Any) -> Floats:
        return np.array([q.a, q.b])

    def places(self, states: Floats) -> Floats:
        return np.asarray(states[:, :1] / states.sum(axis=1, keepdims=True))

    def scales(self, states: Floats) -> Floats:
        mean, total = self.places(states), states.sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt(mean * (1.0 - mean) / (total + 1.0)))

    def _parameters(self, *state: float) -> list[float]:
        a, b = state
        n = a + b
        factor = 1.5 * math.log(n) - 0.5 * math.log(a) - 0.5 * math.log(b) - LOG_SQRT_2PI
        factor -= stirling(a) + stirling(b) - stirling(n)
        slope = stirling_slope(n) - 0.5 / n
        of_a, of_b = (0.5 + x * (slope - stirling_slope(x)) for x in (a, b))
        bends = curvature(np.array([a, b, n])).tolist()
        both = (1.0 + bends[2] / n) / n
        # a**2 (psi'(n) - psi'(a)), with a - a**2/n = a b/n
        aa, bb = (
            of - a * b / n + (x / n) ** 2 * bends[2] - bend
            for x, of, bend in ((a, of_a, bends[0]), (b, of_b, bends[1]))
        )
        return [factor, a, b, of_a, of_b, aa, a * b * both, bb]
