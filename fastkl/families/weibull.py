"""The Weibull density: c z**(c - 1) exp(-z**c) / scale, z = (x - loc)/scale > 0.

With u = c log(z) it is c exp(u - exp(u)) / (x - loc): -u is a Gumbel variable. The logarithm is that of a ratio, which
keeps its digits near z = 1, where u is c times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastkl.elementary import exp, log_ratio
from fastkl.families import differences
from fastkl.families.gumbel import between_extremes
from fastkl.families.kernels import power
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.stirling import LOG_SQRT_2PI, log_gamma_divergence
from fastkl.families.univariate import (
    HALF_LINE,
    Coordinate,
    FamilyParameters,
    Univariate,
    family,
    formula,
    positive,
    real,
)
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.validation import Floats

TO_NORMAL = LOG_SQRT_2PI - 0.5 - float(np.euler_gamma)
"""The part of the KL of a Weibull from the Normal with its moments that does not depend on the shape."""


LEAST_C = 0.1
"""Smallest shape of a start."""


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of a Weibull distribution: factor + (c - 1) l - exp(c l), l = log((x - loc)/scale), c = `first`."""
    position = x - loc
    logarithm = log_ratio(position, second)
    falling = exp(first * logarithm)
    return factor + (-np.inf if (position < 0.0) | (falling == np.inf) else power(first - 1.0, logarithm) - falling)


@SCORES.implement
def weibull_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Weibull distribution in the coordinates (log(c), c log(scale)), by u = c log(x/scale)."""
    factor, c, scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        logarithm = log_ratio(x[i], scale)
        u = c * logarithm
        falling = exp(u)
        slope = 1.0 - falling
        out[0, i] = factor + (c - 1.0) * logarithm - falling
        out[1, i] = 1.0 + u * slope
        out[2, i] = -slope
        out[3, i] = u * slope - u * u * falling
        out[4, i] = u * falling - slope
        out[5, i] = -falling


@family
class Weibull(Univariate):
    """The Weibull density of shape `c`, from `loc` up, `scipy.stats.weibull_min`.

    Parameters
    ----------
    c : float
        Shape, > 0; 1 is the exponential density.
    loc : float, default 0
        Lower end of the support.
    scale : float, default 1
        Scale, > 0: a share of 1 - 1/e lies between `loc` and `loc + scale`.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `c` or `scale` is not positive.

    Examples
    --------
    >>> from fastkl import Weibull
    >>> q = Weibull(2, scale=3)
    >>> round(q.mean, 6), round(q.std, 6), round(q.mode, 6), q.support
    (2.658681, 1.389754, 2.12132, (0.0, inf))
    """

    c: float = positive()
    loc: float = real(default=0.0)
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("c", log=True), Coordinate("scale", log=True, unit=lambda q: 1.0 / q.c))
    _held = MappingProxyType({"loc": 0.0})
    _scores = weibull_scores
    _common_support = HALF_LINE
    _scipy_name = "weibull_min"

    @property
    def mean(self) -> float:
        v = 1.0 / self.c
        if v < 170.0:
            return self.loc + self.scale * math.gamma(1.0 + v)
        # the Gamma function alone may overflow
        return self.loc + differences.exp_or_inf(math.log(self.scale) + math.lgamma(1.0 + v))

    @property
    def std(self) -> float:
        """The standard deviation."""
        v = 1.0 / self.c
        over_mean = 0.5 * _log_of_spread(v)
        if v < 80.0:
            return self.scale * math.gamma(1.0 + v) * math.exp(over_mean)
        return differences.exp_or_inf(math.log(self.scale) + math.lgamma(1.0 + v) + over_mean)

    @property
    def mode(self) -> float:
        v = 1.0 / self.c
        return self.loc + self.scale * math.exp(v * math.log1p(-v)) if v < 1.0 else self.loc

    @property
    def support(self) -> tuple[float, float]:
        return self.loc, math.inf

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.loc + self.scale, self.scale / max(self.c, 1.0)

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(self._factor, self.loc, 1.0 / self.scale, self.c, self.scale)

    @property
    def _factor(self) -> float:
        return math.log(self.c) - math.log(self.scale)

    def _expected_below(self, x: float) -> float:
        """z**c, which is -log of the probability of more than x."""
        if x <= self.loc:
            return 0.0
        return differences.exp_or_inf(self.c * differences.log_ratio(x - self.loc, self.scale))

    def _mass_below(self, x: float) -> float:
        return -math.expm1(-self._expected_below(x))

    def _mass_above(self, x: float) -> float:
        return math.exp(-self._expected_below(x))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        if not mean > 0.0:
            return None
        c = max((math.sqrt(variance) / mean) ** -1.086, LEAST_C)  # within 3 % for c from 1 to 10
        return {"c": c, "scale": mean / math.exp(math.lgamma(1.0 + 1.0 / c))}

    def _place_and_scale(self) -> tuple[Any, Any]:
        return self.scale, self.scale / np.maximum(self.c, 1.0)

    def _score_parameters(self) -> Sequence[float]:
        return [self._factor, self.c, self.scale]


def _bregman(v: float) -> float:
    """log Gamma(1 + v) + gamma v, gamma Euler's constant: about (pi v)**2/12, with all its digits."""
    return log_gamma_divergence(1.0, 1.0 + v, v) + differences.kl_term(1.0 + v, 1.0, -v)


def _log_of_spread(v: float) -> float:
    """The logarithm of the square of std/mean, for loc = 0: about log((pi v)**2/6)."""
    excess = _bregman(2.0 * v) - 2.0 * _bregman(v)  # log of the second moment over the square of the first
    return math.log(math.expm1(excess)) if excess < differences.LARGEST else excess


@formula(Weibull, Weibull)
def _from_weibull(p: Weibull, q: Weibull) -> float | None:
    if p.loc != q.loc:
        return None
    return between_extremes(q.c, p.c, q.c * differences.log_ratio(p.scale, q.scale))


@formula(Weibull, Normal)
def _from_normal(p: Weibull, q: Normal) -> float:
    """KL of a Weibull from a Normal by the entropy gamma (1 - 1/c) + log(scale/c) + 1."""
    v = 1.0 / p.c
    return TO_NORMAL + _bregman(v) + 0.5 * _log_of_spread(v) - math.log(v) + moments_to_normal(p, q)
