"""The Gamma density: z**(a - 1) exp(-z) / (Gamma(a) scale), z = (x - loc)/scale > 0.

The textbook's normaliser and power are huge numbers that cancel: at a = 1e6 ten digits would be lost. So the
log-density is written in two forms, each with a non-negative KL term that is 0 at some z:

- about the mode, z = a - 1, for values anywhere (`log_density`): the constant is the log-density at the mode, and the
  rest grows from 0 on both sides. Below a = 1 there is no mode, and the powers are small.
- about the mean, z = a, for fits (`gamma_scores`, `gamma_statistics`): the scores of log(a) and log(scale) are
  a log(z/a) + const and z - a, parts of one KL term, so that they keep their digits together with the log-density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastkl.elementary import kl_term, log
from fastkl.families.differences import log_ratio, phi_of
from fastkl.families.kernels import around, log_of_power
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.stirling import (
    LOG_SQRT_2PI,
    curvature,
    log_factorial_excess,
    log_gamma_divergence,
    shape_to_normal,
    stirling,
    stirling_slope,
)
from fastkl.families.univariate import (
    HALF_LINE,
    Coordinate,
    Exponential,
    FamilyParameters,
    family,
    formula,
    positive,
    real,
)
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.kernels.statistics import STATISTICS
from fastkl.validation import Floats


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> float:
    """Log-density of a gamma distribution: factor - [m log(m/z) - m + z], m = a - 1, a = `first`.

    For a < 1 it is factor - [z - m log z].
    """
    z = (x - loc) * inverse_scale + 0.0  # turns -0 into 0
    m = first - 1.0
    distance = kl_term(m, z) if m >= 0.0 else z - m * log(z)
    distance = np.inf if z < 0.0 else distance
    return factor - distance


@SCORES.implement
def gamma_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a gamma distribution in (log(a), log(scale)); derivatives of the constant come with the parameters."""
    factor, a, scale, of_a, of_a_twice = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(x.size):
        z = x[i] / scale
        logarithm, distance = around(a, z)
        out[0, i] = factor + log_of_power(a, z, distance)
        out[1, i] = logarithm + of_a
        out[2, i] = z - a
        out[3, i] = logarithm + of_a_twice
        out[4, i] = -a
        out[5, i] = -z


@STATISTICS.implement
def gamma_statistics(parameters: Floats, x: Floats, first: Floats, second: Floats, log_q: Floats) -> None:
    """Statistics of a gamma distribution: log(x/m) and x/m - 1, m = a * scale."""
    factor, a, scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = x[i] / scale
        logarithm, distance = around(a, z)
        first[i], second[i] = logarithm / a, (z - a) / a
        log_q[i] = factor + log_of_power(a, z, distance)


@family
class Gamma(Exponential):
    """The Gamma density of shape `a`, from `loc` up.

    Parameters
    ----------
    a : float
        Shape, > 0.
    loc : float, default 0
        Lower end of the support.
    scale : float, default 1
        Scale, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `a` or `scale` is not positive.

    Examples
    --------
    >>> from fastkl import Gamma
    >>> q = Gamma(4, scale=0.5)
    >>> q.mean, q.std, q.mode, q.support
    (2.0, 1.0, 1.5, (0.0, inf))
    """

    a: float = positive()
    loc: float = real(default=0.0)
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("a", log=True), Coordinate("scale", log=True))
    _held = MappingProxyType({"loc": 0.0})
    _scores = gamma_scores
    _statistics = gamma_statistics
    _common_support = HALF_LINE
    _forward_fit = "the means of x and log x"
    _scipy_name = "gamma"

    @property
    def mean(self) -> float:
        return self.loc + self.a * self.scale

    @property
    def std(self) -> float:
        return math.sqrt(self.a) * self.scale

    @property
    def mode(self) -> float:
        return self.loc + max(self.a - 1.0, 0.0) * self.scale

    @property
    def support(self) -> tuple[float, float]:
        return self.loc, math.inf

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.mode, self.std

    def _parameters(self) -> FamilyParameters:
        at_mode = math.lgamma(self.a) if self.a < 1.0 else log_factorial_excess(self.a - 1.0)
        return FamilyParameters(-at_mode - math.log(self.scale), self.loc, 1.0 / self.scale, self.a)

    def _mass_below(self, x: float) -> float:
        from scipy.special import gammainc

        return float(gammainc(self.a, max((x - self.loc) / self.scale, 0.0)))

    def _mass_above(self, x: float) -> float:
        from scipy.special import gammaincc

        return float(gammaincc(self.a, max((x - self.loc) / self.scale, 0.0)))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        return {"a": mean**2 / variance, "scale": variance / mean} if mean > 0.0 else None

    def _place_and_scale(self) -> tuple[Any, Any]:
        return self.a * self.scale, np.sqrt(self.a) * self.scale

    def _score_parameters(self) -> Sequence[float]:
        factor = -LOG_SQRT_2PI - 0.5 * math.log(self.a) - stirling(self.a) - math.log(self.scale)
        return [factor, self.a, self.scale, *slopes_of_constant(self.a)]

    def _absolute(self, means: Floats) -> Floats:
        """A place m, and the means of log(x/m) and x/m - 1."""
        return np.array([self.a * self.scale, *means])

    def _expected(self, statistics: Floats) -> tuple[float, Floats, Floats]:
        factor, a, scale, of_a, of_a_twice = self._score_parameters()
        moved = math.log(statistics[0] / (a * scale))
        logarithm = statistics[1] + moved
        position = math.expm1(moved) + math.exp(moved) * statistics[2]
        second = np.array([[a * logarithm + of_a_twice, -a], [-a, -a * (1.0 + position)]])
        log_q = factor + (a - 1.0) * logarithm - a * position
        return log_q, np.array([a * logarithm + of_a, a * position]), second


def slopes_of_constant(a: float) -> tuple[float, float]:
    """Score of log(a) and its derivative, without a log(z/a): a (log(a) - psi(a)), and that less a**2 psi'(a)."""
    slope = 0.5 - a * stirling_slope(a)
    return slope, slope - a - curvature(a)


@formula(Gamma, Gamma)
def _from_gamma(p: Gamma, q: Gamma) -> float | None:
    return between_gammas(p, q, p.scale, q.scale) if p.loc == q.loc else None


def between_gammas(p: Any, q: Any, p_scale: float, q_scale: float) -> float:
    """KL of two Gamma densities of equal loc: q.a phi(m - 1) + D(p.a, q.a), m the ratio of the means.

    D is `log_gamma_divergence`. In shape and mean the Fisher information is diagonal, so the two parts do not cancel.
    """
    if math.isinf(p_scale / q_scale):
        return math.inf
    difference = p.a - q.a
    u = p_scale / q_scale * (difference / q.a) + (p_scale - q_scale) / q_scale
    means = phi_of(u, log_ratio(p.a, q.a) + log_ratio(p_scale, q_scale))
    return float(q.a * means) + log_gamma_divergence(p.a, q.a, -difference)


@formula(Gamma, Normal)
def _from_normal(p: Gamma, q: Normal) -> float:
    return shape_to_normal(p.a) + moments_to_normal(p, q)
