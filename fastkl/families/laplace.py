"""The Laplace density: exp(-|z|) / (2 scale), z = (x - loc)/scale. It has a kink at loc."""

from __future__ import annotations

import math

from fastkl.families.differences import in_units, log_ratio, phi_of
from fastkl.families.kernels import location_scale
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.univariate import FAR, FamilyParameters, Symmetric, family, formula, positive, real
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.measures import phi
from fastkl.validation import Floats

TO_NORMAL = 0.5 * (math.log(math.pi) - 1.0)
"""KL of a Laplace density from the Normal with its moments."""


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> float:
    """Log-density of a Laplace distribution: factor - |z|."""
    return factor - abs((x - loc) * inverse_scale)


@SCORES.implement
def laplace_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Laplace distribution in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        sign = 1.0 if z > 0.0 else -1.0 if z < 0.0 else 0.0
        out[0, i] = factor - abs(z)
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = location_scale(z, -sign, 0.0)


@family
class Laplace(Symmetric):
    """The Laplace density exp(-|x - loc|/scale) / (2 scale).

    Parameters
    ----------
    loc : float
        Mean, median and mode.
    scale : float
        Mean distance from `loc`, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite or `scale` is not positive.

    Examples
    --------
    >>> from fastkl import Laplace
    >>> q = Laplace(1, 2)
    >>> q.mean, round(q.std, 6)
    (1.0, 2.828427)
    """

    loc: float = real()
    scale: float = positive()

    _log_density = staticmethod(log_density)
    _scores = laplace_scores
    _window = FAR
    _has_kink = True
    _forward_fit = "median, and mean distance from it"
    _scipy_name = "laplace"

    @property
    def std(self) -> float:
        return math.sqrt(2.0) * self.scale

    @property
    def _kinks(self) -> tuple[float, ...]:
        return (self.loc,)

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(-math.log(2.0) - math.log(self.scale), self.loc, 1.0 / self.scale)

    def _tail(self, z: float) -> float:
        return 0.5 * math.exp(-z)

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float]:
        return {"loc": mean, "scale": math.sqrt(variance) * math.sqrt(0.5)}


@formula(Laplace, Laplace)
def _from_laplace(p: Laplace, q: Laplace) -> float:
    """KL of two Laplaces, phi(r - 1) + r (t + exp(-t) - 1), r = p.scale/q.scale, t = |p.loc - q.loc|/p.scale."""
    if math.isinf(p.scale / q.scale):
        return math.inf
    t = abs(in_units(p.loc, q.loc, p.scale))
    fallen = math.expm1(-t)
    shift = phi(fallen) if t < 1.0 else t + fallen  # t = -log(1 + fallen)
    return phi_of((p.scale - q.scale) / q.scale, log_ratio(p.scale, q.scale)) + p.scale / q.scale * shift


@formula(Laplace, Normal)
def _from_normal(p: Laplace, q: Normal) -> float:
    return TO_NORMAL + moments_to_normal(p, q)
