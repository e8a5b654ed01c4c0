"""The Beta density: x**(a - 1) (1 - x)**(b - 1) / B(a, b) on [0, 1].

Like the Gamma (`fastkl.families.gamma`, which says why) it is written in two forms: about the mode for values anywhere,
and about the mean for fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkl.elementary import kl_term, log, log1p
from fastkl.families.differences import kl_term as kl_term_of_numbers
from fastkl.families.kernels import around, log_of_power, power
from fastkl.families.normal import Normal, between_normals
from fastkl.families.stirling import (
    LOG_SQRT_2PI,
    curvature,
    log_beta,
    log_factorial_excess,
    log_gamma_divergence,
    shape_to_normal,
    stirling,
    stirling_slope,
)
from fastkl.families.univariate import (
    UNIT_INTERVAL,
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

SMALLEST_TOTAL = 1e-3
"""Smallest a + b of a start."""


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> float:
    """Log-density of a beta distribution: factor - [m log(m/(n z)) + k log(k/(n (1 - z)))], n = m + k.

    m = a - 1 and k = b - 1 with a = `first` and b = `second`. For a < 1 or b < 1 it is
    factor + m log z + k log(1 - z).
    """
    z = (x - loc) * inverse_scale + 0.0  # turns -0 into 0
    m, k = first - 1.0, second - 1.0
    n, rest = m + k, 1.0 - z
    if min(m, k) >= 0.0:
        distance = kl_term(m, n * z) + kl_term(k, n * rest)
    else:
        distance = -(power(m, log(z)) + power(k, log1p(-z)))
    distance = np.inf if (z < 0.0) | (z > 1.0) else distance
    return factor - distance


@SCORES.implement
def beta_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a beta distribution in (log(a), log(b)); derivatives of the constant come with the parameters."""
    factor, a, b = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        y, z = (a + b) * x[i], (a + b) * (1.0 - x[i])
        left, from_left = around(a, y)
        right, from_right = around(b, z)
        out[0, i] = factor + log_of_power(a, y, from_left) + log_of_power(b, z, from_right)
        out[1, i] = left + parameters[3]
        out[2, i] = right + parameters[4]
        out[3, i] = left + parameters[5]
        out[4, i] = parameters[6]
        out[5, i] = right + parameters[7]


@STATISTICS.implement
def beta_statistics(parameters: Floats, x: Floats, first: Floats, second: Floats, log_q: Floats) -> None:
    """Statistics of a beta distribution: log(x/m) and log((1 - x)/(1 - m)), m = a/(a + b)."""
    factor, a, b = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        y, z = (a + b) * x[i], (a + b) * (1.0 - x[i])
        left, from_left = around(a, y)
        right, from_right = around(b, z)
        first[i], second[i] = left / a, right / b
        log_q[i] = factor + log_of_power(a, y, from_left) + log_of_power(b, z, from_right)


@family
class Beta(Exponential):
    """The Beta density on [0, 1].

    Parameters
    ----------
    a, b : float
        The powers of x and of 1 - x, each plus 1; > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite or not positive.

    Notes
    -----
    If the density is unbounded at both ends, `mode` is the end with the smaller parameter; for a
    constant density it is 1/2.

    Examples
    --------
    >>> from fastkl import Beta
    >>> q = Beta(2, 6)
    >>> q.mean, round(q.std, 6), round(q.mode, 6), q.support
    (0.25, 0.144338, 0.166667, (0.0, 1.0))
    """

    a: float = positive()
    b: float = positive()

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("a", log=True), Coordinate("b", log=True))
    _scores = beta_scores
    _statistics = beta_statistics
    _common_support = UNIT_INTERVAL
    _forward_fit = "the means of log x and log(1 - x)"
    _scipy_name = "beta"

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def std(self) -> float:
        total = self.a + self.b
        return math.sqrt(self.a / total * (self.b / total) / (total + 1.0))

    @property
    def mode(self) -> float:
        m, k = self.a - 1.0, self.b - 1.0
        if min(m, k) < 0.0:
            return 0.0 if m <= k else 1.0
        return m / (m + k) if m + k > 0.0 else 0.5

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.mean, self.std

    def _parameters(self) -> FamilyParameters:
        m, k = self.a - 1.0, self.b - 1.0
        if min(m, k) < 0.0:
            factor = -log_beta(self.a, self.b)
        else:
            n = m + k
            factor = math.log1p(n) + log_factorial_excess(n) - log_factorial_excess(m) - log_factorial_excess(k)
        return FamilyParameters(factor, 0.0, 1.0, self.a, self.b)

    def _mass_below(self, x: float) -> float:
        from scipy.special import betainc

        return float(betainc(self.a, self.b, min(max(x, 0.0), 1.0)))

    def _mass_above(self, x: float) -> float:
        from scipy.special import betaincc

        return float(betaincc(self.a, self.b, min(max(x, 0.0), 1.0)))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        if not 0.0 < mean < 1.0:
            return None
        total = max(mean * (1.0 - mean) / variance - 1.0, SMALLEST_TOTAL)
        return {"a": mean * total, "b": (1.0 - mean) * total}

    def _mirrored(self) -> Beta:
        return Beta._unchecked({"a": self.b, "b": self.a})  # type: ignore[no-any-return]

    def _place_and_scale(self) -> tuple[Any, Any]:
        total = self.a + self.b
        mean = self.a / total
        return mean, np.sqrt(mean * (1.0 - mean) / (total + 1.0))

    def _score_parameters(self) -> Sequence[float]:
        a, b = self.a, self.b
        n = a + b
        factor = 1.5 * math.log(n) - 0.5 * math.log(a) - 0.5 * math.log(b) - LOG_SQRT_2PI
        factor -= stirling(a) + stirling(b) - stirling(n)
        slope = stirling_slope(n) - 0.5 / n
        of_a, of_b = (0.5 + x * (slope - stirling_slope(x)) for x in (a, b))
        bends = [curvature(x) for x in (a, b, n)]
        both = (1.0 + bends[2] / n) / n
        # a**2 (psi'(n) - psi'(a)), with a - a**2/n = a b/n
        aa, bb = (
            of - a * b / n + (x / n) ** 2 * bends[2] - bend
            for x, of, bend in ((a, of_a, bends[0]), (b, of_b, bends[1]))
        )
        return [factor, a, b, of_a, of_b, aa, a * b * both, bb]

    def _absolute(self, means: Floats) -> Floats:
        """A place as m and 1 - m, and the means of log(x/m) and log((1 - x)/(1 - m))."""
        total = self.a + self.b
        return np.array([self.a / total, self.b / total, *means])

    def _expected(self, statistics: Floats) -> tuple[float, Floats, Floats]:
        factor, a, b, of_a, of_b, aa, ab, bb = self._score_parameters()
        shapes = np.array([a, b])
        logarithms = statistics[2:] + np.log(statistics[:2] / (shapes / shapes.sum()))
        left, right = shapes * logarithms
        log_q = factor + left + right - logarithms.sum()
        return log_q, np.array([left + of_a, right + of_b]), np.array([[left + aa, ab], [ab, right + bb]])


@formula(Beta, Beta)
def _from_beta(p: Beta, q: Beta) -> float:
    """KL of two Betas, D(p.a, q.a) + D(p.b, q.b) - D(p.a + p.b, q.a + q.b), and (q.a + q.b) times that of the means.

    D is `log_gamma_divergence`. The means of q and p count as probabilities of two outcomes.
    """
    da, db = q.a - p.a, q.b - p.b
    p_total, q_total = p.a + p.b, q.a + q.b
    shapes = log_gamma_divergence(p.a, q.a, da) + log_gamma_divergence(p.b, q.b, db)
    shapes -= log_gamma_divergence(p_total, q_total, da + db)
    near = p.a * abs(db) + p.b * abs(da) < p.a * q.b + p.b * q.a  # of two differences, the one that cancels less
    gap = (p.a * db - p.b * da if near else p.a * q.b - p.b * q.a) / p_total
    means = kl_term_of_numbers(q.a, p.a / p_total * q_total, gap)
    means += kl_term_of_numbers(q.b, p.b / p_total * q_total, -gap)
    return max(shapes, 0.0) + means


@formula(Beta, Normal)
def _from_normal(p: Beta, q: Normal) -> float:
    """KL of a Beta from a Normal by the entropy log B(a, b) - (a-1) psi(a) - (b-1) psi(b) + (c-2) psi(c), c = a + b."""
    c = p.a + p.b
    shape = shape_to_normal(p.a) + shape_to_normal(p.b)
    shape -= 1.0 / c - stirling(c) + (c - 2.0) * stirling_slope(c) + 0.5 * math.log1p(1.0 / c)
    distance = (p.a * (1.0 - q.loc) - p.b * q.loc) / c  # the mean itself may be rounded by more than q.scale
    return max(shape, 0.0) + between_normals(distance / q.scale, p.std, q.scale)
