"""The density of a number whose logarithm is Normal: exp(-z**2/2) / (sqrt(2 pi) s x), z = log(x/scale)/s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkl.elementary import log_ratio
from fastkl.families import differences
from fastkl.families.kernels import location_scale
from fastkl.families.normal import between_normals, normal_tail
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.families.univariate import (
    HALF_LINE,
    Coordinate,
    Exponential,
    FamilyParameters,
    family,
    formula,
    positive,
)
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.kernels.statistics import STATISTICS
from fastkl.validation import Floats


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> float:
    """Log-density of a log-normal: factor - l - (l/s)**2/2, l = log((x - loc)/scale), s = `first`, scale = `second`."""
    position = x - loc
    logarithm = log_ratio(position, second)
    z = logarithm * (1.0 / first)
    distance = np.inf if position <= 0.0 else logarithm + 0.5 * z * z
    return factor - distance


@SCORES.implement
def log_normal_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a log-normal, a Normal in log x, in the coordinates (log(scale)/s, log(s))."""
    factor, scale, inverse_s = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        logarithm = log_ratio(x[i], scale)
        z = logarithm * inverse_s
        out[0, i] = factor - logarithm - 0.5 * z * z
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = location_scale(z, -z, -1.0)


@STATISTICS.implement
def log_normal_statistics(parameters: Floats, x: Floats, first: Floats, second: Floats, log_q: Floats) -> None:
    """Statistics of a log-normal: z and z**2, z = log(x/scale)/s."""
    factor, scale, inverse_s = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        logarithm = log_ratio(x[i], scale)
        z = logarithm * inverse_s
        first[i], second[i] = z, z * z
        log_q[i] = factor - logarithm - 0.5 * z * z if logarithm > -np.inf else -np.inf


@family
class LogNormal(Exponential):
    """The density of a number whose logarithm is Normal.

    Parameters
    ----------
    s : float
        Standard deviation of the logarithm, > 0.
    scale : float, default 1
        Median, > 0: its logarithm is the mean of the logarithm.

    Raises
    ------
    ValueError
        If a parameter is not finite or not positive.

    Examples
    --------
    >>> from fastkl import LogNormal
    >>> q = LogNormal(0.5, scale=2)
    >>> round(q.mean, 6), round(q.std, 6), round(q.mode, 6)
    (2.266297, 1.207801, 1.557602)
    """

    s: float = positive()
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("scale", log=True, unit=lambda q: q.s), Coordinate("s", log=True))
    _scores = log_normal_scores
    _statistics = log_normal_statistics
    _common_support = HALF_LINE
    _is_zero_at_ends = True
    _forward_fit = "mean and standard deviation of log x"
    _scipy_name = "lognorm"

    @property
    def mean(self) -> float:
        return self.scale * differences.exp_or_inf(0.5 * self.s * self.s)

    @property
    def std(self) -> float:
        variance = self.s * self.s
        return self.scale * differences.exp_or_inf(variance) * math.sqrt(-math.expm1(-variance))

    @property
    def mode(self) -> float:
        return self.scale * math.exp(-self.s * self.s)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, math.inf

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.scale, min(self.s, 1.0) * self.scale

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(self._factor, 0.0, 1.0 / self.scale, self.s, self.scale)

    @property
    def _factor(self) -> float:
        """The log-density at the median."""
        return -LOG_SQRT_2PI - math.log(self.s) - math.log(self.scale)

    def _mass_below(self, x: float) -> float:
        return normal_tail(-differences.log_ratio(x, self.scale) / self.s) if x > 0.0 else 0.0

    def _mass_above(self, x: float) -> float:
        return normal_tail(differences.log_ratio(x, self.scale) / self.s) if x > 0.0 else 1.0

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        if not mean > 0.0:
            return None
        square = math.log1p(variance / mean**2)
        return {"scale": mean * math.exp(-0.5 * square), "s": math.sqrt(square)}

    def _place_and_scale(self) -> tuple[Any, Any]:
        """The mode, and the scale there, where it is smallest."""
        mode = self.scale * np.exp(-self.s * self.s)
        return mode, mode * self.s

    def _score_parameters(self) -> Sequence[float]:
        return [self._factor, self.scale, 1.0 / self.s]

    def _absolute(self, means: Floats) -> Floats:
        """The mean and the variance of log x."""
        return np.array([math.log(self.scale) + self.s * means[0], self.s**2 * (means[1] - means[0] ** 2)])

    def _expected(self, statistics: Floats) -> tuple[float, Floats, Floats]:
        first = (statistics[0] - math.log(self.scale)) / self.s
        second = statistics[1] / (self.s * self.s) + first * first
        log_q = self._factor - self.s * first - 0.5 * second
        return log_q, np.array([first, second - 1.0]), -np.array([[1.0, 2.0 * first], [2.0 * first, 2.0 * second]])


@formula(LogNormal, LogNormal)
def _from_log_normal(p: LogNormal, q: LogNormal) -> float:
    return between_normals(differences.log_ratio(p.scale, q.scale) / q.s, p.s, q.s)
