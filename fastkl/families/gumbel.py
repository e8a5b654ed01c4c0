"""The Gumbel density of the largest of many numbers: exp(-z - exp(-z)) / scale, z = (x - loc)/scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.elementary import exp
from fastkl.families.differences import LARGEST, exp_or_inf, in_units, kl_term, log_ratio, phi_of
from fastkl.families.kernels import location_scale
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.stirling import LOG_SQRT_2PI, log_gamma_divergence
from fastkl.families.univariate import FAR, LocationScale, family, formula, positive, real
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.validation import Floats

STD = math.pi / math.sqrt(6.0)
"""Standard deviation of a Gumbel density of scale 1."""

TO_NORMAL = LOG_SQRT_2PI + math.log(STD) - np.euler_gamma - 0.5
"""KL of a Gumbel density from the Normal with its moments."""


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of a Gumbel distribution: factor - z - exp(-z)."""
    z = (x - loc) * inverse_scale
    falling = exp(-z)
    return factor - (falling if falling == np.inf else z + falling)  # not -inf + inf


@SCORES.implement
def gumbel_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Gumbel distribution in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        falling = exp(-z)
        out[0, i] = factor - z - falling
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = location_scale(z, falling - 1.0, -falling)


@family
class Gumbel(LocationScale):
    """The Gumbel density of the largest of many numbers, `scipy.stats.gumbel_r`.

    Parameters
    ----------
    loc : float
        Mode.
    scale : float
        Scale, > 0; the standard deviation is pi / sqrt(6) times as large.

    Raises
    ------
    ValueError
        If a parameter is not finite or `scale` is not positive.

    Notes
    -----
    If X is the smallest of many numbers (`scipy.stats.gumbel_l`), -X has this density.

    Examples
    --------
    >>> from fastkl import Gumbel
    >>> q = Gumbel(1, 2)
    >>> round(q.mean, 6), round(q.std, 6), q.mode
    (2.154431, 2.5651, 1.0)
    """

    loc: float = real()
    scale: float = positive()

    _log_density = staticmethod(log_density)
    _scores = gumbel_scores
    _window = FAR
    _scipy_name = "gumbel_r"

    @property
    def mean(self) -> float:
        return self.loc + float(np.euler_gamma) * self.scale

    @property
    def std(self) -> float:
        return STD * self.scale

    @property
    def mode(self) -> float:
        return self.loc

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.loc, self.scale

    def _expected_above(self, x: float) -> float:
        """exp(-z), the expected count of numbers above x if there are many of which this is the largest."""
        return exp_or_inf((self.loc - x) / self.scale)

    def _mass_below(self, x: float) -> float:
        return math.exp(-self._expected_above(x))

    def _mass_above(self, x: float) -> float:
        return -math.expm1(-self._expected_above(x))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float]:
        scale = math.sqrt(variance) / STD
        return {"loc": mean - float(np.euler_gamma) * scale, "scale": scale}


@formula(Gumbel, Gumbel)
def _from_gumbel(p: Gumbel, q: Gumbel) -> float:
    return between_extremes(p.scale, q.scale, in_units(q.loc, p.loc, q.scale))


def between_extremes(top: float, bottom: float, shift: float) -> float:
    """KL of two densities of log E and r log E + shift, E exponential, r = top/bottom: exp(A) - 1 - A + B.

    B = log Gamma(r) + gamma (r - 1) is the Bregman divergence of log Gamma from 1 to r, gamma Euler's constant, and
    A = shift + log Gamma(1 + r) = shift + log(r) - gamma (r - 1) + B. Both parts are never negative.
    """
    r, excess = top / bottom, (top - bottom) / bottom
    if math.isinf(r):
        return math.inf
    logarithm, gamma = log_ratio(top, bottom), float(np.euler_gamma)
    if r > 0.0:
        bregman = log_gamma_divergence(1.0, r, excess) + kl_term(r, 1.0, -excess)
    else:  # r has underflown: log Gamma(r) is -log(r)
        bregman = -logarithm - gamma
    a = shift + logarithm - gamma * excess + bregman
    return phi_of(math.expm1(a), a) + bregman if a < LARGEST else math.inf


@formula(Gumbel, Normal)
def _from_normal(p: Gumbel, q: Normal) -> float:
    return TO_NORMAL + moments_to_normal(p, q)
