"""The inverse gamma density: y**(a + 1) exp(-y) / (Gamma(a) scale), y = scale/(x - loc); y is a Gamma variable.

Like the Gamma (`fastkl.families.gamma`, which says why) it is written in two forms: about the mode, y = a + 1, for
values anywhere, and about y = a for fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastkl.elementary import kl_term
from fastkl.families.gamma import between_gammas, slopes_of_constant
from fastkl.families.kernels import around
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.stirling import LOG_SQRT_2PI, log_factorial_excess, stirling, stirling_slope
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
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of an inverse gamma distribution: factor - [m log(m/y) - m + y], m = a + 1, a = `first`."""
    z = (x - loc) * inverse_scale + 0.0  # turns -0 into 0
    return factor - (np.inf if z < 0.0 else kl_term(first + 1.0, 1.0 / z))


@scalar
def _log_q(factor: float, a: float, y: float, distance: float) -> float:
    """Log-density from *distance* = a log(a/y) - a + y, which is infinite at the ends of the support."""
    return factor + (y - a) / a - (1.0 + 1.0 / a) * distance if distance < np.inf else -np.inf


@SCORES.implement
def inverse_gamma_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of an inverse gamma distribution in (log(a), log(scale)); see `fastkl.families.gamma.gamma_scores`."""
    factor, a, scale, of_a, of_a_twice = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(x.size):
        y = scale / x[i]
        logarithm, distance = around(a, y)
        out[0, i] = _log_q(factor, a, y, distance)
        out[1, i] = logarithm + of_a
        out[2, i] = a - y
        out[3, i] = logarithm + of_a_twice
        out[4, i] = a
        out[5, i] = -y


@STATISTICS.implement
def inverse_gamma_statistics(parameters: Floats, x: Floats, first: Floats, second: Floats, log_q: Floats) -> None:
    """Statistics of an inverse gamma distribution: log(m/x) and m/x - 1, m = scale/a."""
    factor, a, scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        y = scale / x[i]
        logarithm, distance = around(a, y)
        first[i], second[i] = logarithm / a, (y - a) / a
        log_q[i] = _log_q(factor, a, y, distance)


@family
class InverseGamma(Exponential):
    """The inverse gamma density of shape `a`, from `loc` up, `scipy.stats.invgamma`.

    Parameters
    ----------
    a : float
        Shape, > 0; the density falls like x**(-a - 1).
    loc : float, default 0
        Lower end of the support.
    scale : float, default 1
        Scale, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `a` or `scale` is not positive.

    Notes
    -----
    As in SciPy, `mean` is inf for ``a <= 1`` and `std` is inf for ``a <= 2``.

    Examples
    --------
    >>> from fastkl import InverseGamma
    >>> q = InverseGamma(6, scale=10)
    >>> q.mean, q.std, round(q.mode, 6), q.support
    (2.0, 1.0, 1.428571, (0.0, inf))
    """

    a: float = positive()
    loc: float = real(default=0.0)
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("a", log=True), Coordinate("scale", log=True))
    _held = MappingProxyType({"loc": 0.0})
    _scores = inverse_gamma_scores
    _statistics = inverse_gamma_statistics
    _common_support = HALF_LINE
    _is_zero_at_ends = True
    _forward_fit = "the means of 1/x and log x"
    _scipy_name = "invgamma"

    @property
    def mean(self) -> float:
        return self.loc + self.scale / (self.a - 1.0) if self.a > 1.0 else math.inf

    @property
    def std(self) -> float:
        return self.scale / (self.a - 1.0) / math.sqrt(self.a - 2.0) if self.a > 2.0 else math.inf

    @property
    def mode(self) -> float:
        return self.loc + self.scale / (self.a + 1.0)

    @property
    def support(self) -> tuple[float, float]:
        return self.loc, math.inf

    @property
    def _landmark(self) -> tuple[float, float]:
        place, scale = self._place_and_scale()
        return self.loc + place, float(scale)

    def _parameters(self) -> FamilyParameters:
        m = self.a + 1.0
        factor = math.log(m) + math.log(self.a) - log_factorial_excess(m) - math.log(self.scale)
        return FamilyParameters(factor, self.loc, 1.0 / self.scale, self.a)

    def _inverse(self, x: float) -> float:
        """The Gamma variable y at x."""
        return self.scale / (x - self.loc) if x > self.loc else math.inf

    def _mass_below(self, x: float) -> float:
        from scipy.special import gammaincc

        return float(gammaincc(self.a, self._inverse(x)))

    def _mass_above(self, x: float) -> float:
        from scipy.special import gammainc

        return float(gammainc(self.a, self._inverse(x)))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        if not mean > 0.0:
            return None
        a = mean**2 / variance + 2.0
        return {"a": a, "scale": mean * (a - 1.0)}

    def _place_and_scale(self) -> tuple[Any, Any]:
        """The mode, and the scale there."""
        mode = self.scale / (self.a + 1.0)
        return mode, mode / np.sqrt(self.a + 1.0)

    def _score_parameters(self) -> Sequence[float]:
        factor = -LOG_SQRT_2PI + 1.5 * math.log(self.a) - stirling(self.a) - math.log(self.scale)
        return [factor, self.a, self.scale, *slopes_of_constant(self.a)]

    def _absolute(self, means: Floats) -> Floats:
        """A place m, and the means of log(m/x) and m/x - 1."""
        return np.array([self.scale / self.a, *means])

    def _expected(self, statistics: Floats) -> tuple[float, Floats, Floats]:
        factor, a, scale, of_a, of_a_twice = self._score_parameters()
        moved = math.log(scale / a / statistics[0])
        logarithm = statistics[1] + moved
        position = math.expm1(moved) + math.exp(moved) * statistics[2]
        second = np.array([[a * logarithm + of_a_twice, a], [a, -a * (1.0 + position)]])
        log_q = factor + (a + 1.0) * logarithm - a * position
        return log_q, np.array([a * logarithm + of_a, -a * position]), second


@formula(InverseGamma, InverseGamma)
def _from_inverse_gamma(p: InverseGamma, q: InverseGamma) -> float | None:
    """KL of two inverse Gammas: that of 1/(x - loc), Gammas whose scales are the inverse ones."""
    return between_gammas(p, q, q.scale, p.scale) if p.loc == q.loc else None


@formula(InverseGamma, Normal)
def _from_normal(p: InverseGamma, q: Normal) -> float:
    """KL of an inverse Gamma from a Normal by the entropy a + log(scale Gamma(a)) - (1 + a) psi(a); inf without a std.

    log Gamma and psi are taken as Stirling's formula and its remainder; the shape's part is 4/(3 a) for large a.
    """
    if p.a <= 2.0:
        return math.inf
    shape = -math.log1p(-1.0 / p.a) - 0.5 * math.log1p(-2.0 / p.a) - 0.5 / p.a
    shape += (1.0 + p.a) * stirling_slope(p.a) - stirling(p.a)
    return max(shape, 0.0) + moments_to_normal(p, q)
