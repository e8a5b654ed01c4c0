"""The logistic density: exp(-|z|) / (1 + exp(-|z|))**2 / scale, z = (x - loc)/scale."""

from __future__ import annotations

import math
from typing import Any

from fastkl.elementary import exp_or_zero, log1p
from fastkl.families.kernels import location_scale
from fastkl.families.univariate import FAR, Symmetric, family, positive, real
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.validation import Floats


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of a logistic distribution: factor - |z| - 2 log(1 + exp(-|z|))."""
    distance = abs((x - loc) * inverse_scale)
    return factor - distance - 2.0 * log1p(exp_or_zero(-distance))


@SCORES.implement
def logistic_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a logistic distribution in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        e = exp_or_zero(-abs(z))
        half = (1.0 - e) / (1.0 + e)
        out[0, i] = factor - abs(z) - 2.0 * log1p(e)
        curvature = -2.0 * e / ((1.0 + e) * (1.0 + e))
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = location_scale(
            z, -half if z >= 0.0 else half, curvature
        )


@family
class Logistic(Symmetric):
    """The logistic density, whose distribution function is 1 / (1 + exp(-(x - loc)/scale)).

    Parameters
    ----------
    loc : float
        Mean, median and mode.
    scale : float
        Scale, > 0; the standard deviation is pi / sqrt(3) times as large.

    Raises
    ------
    ValueError
        If a parameter is not finite or `scale` is not positive.

    Examples
    --------
    >>> from fastkl import Logistic
    >>> q = Logistic(1, 2)
    >>> q.mean, round(q.std, 6)
    (1.0, 3.627599)
    """

    loc: float = real()
    scale: float = positive()

    _log_density = staticmethod(log_density)
    _scores = logistic_scores
    _window = FAR
    _scipy_name = "logistic"

    @property
    def std(self) -> float:
        return math.pi / math.sqrt(3.0) * self.scale

    def _tail(self, z: float) -> float:
        ratio = math.exp(-z)
        return ratio / (1.0 + ratio)

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float]:
        return {"loc": mean, "scale": math.sqrt(variance) * math.sqrt(3.0) / math.pi}
