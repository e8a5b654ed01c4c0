"""Families on a half-line or an interval, named and parametrised as in SciPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastkl.densities.stirling import LOG_SQRT_2PI, log_beta, log_factorial_excess
from fastkl.densities.univariate import FamilyParameters, Univariate
from fastkl.kernels import families


@dataclass(frozen=True)
class Gamma(Univariate):
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

    a: float
    loc: float = 0.0
    scale: float = 1.0

    _log_density = staticmethod(families.gamma)

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

    def to_scipy(self) -> Any:
        from scipy.stats import gamma

        return gamma(self.a, self.loc, self.scale)


@dataclass(frozen=True)
class Beta(Univariate):
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

    a: float
    b: float

    _log_density = staticmethod(families.beta)

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

    def to_scipy(self) -> Any:
        from scipy.stats import beta

        return beta(self.a, self.b)


@dataclass(frozen=True)
class LogNormal(Univariate):
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

    s: float
    scale: float = 1.0

    _log_density = staticmethod(families.log_normal)

    @property
    def mean(self) -> float:
        return self.scale * _exp(0.5 * self.s * self.s)

    @property
    def std(self) -> float:
        variance = self.s * self.s
        return self.scale * _exp(variance) * math.sqrt(-math.expm1(-variance))

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
        factor = -LOG_SQRT_2PI - math.log(self.s) - math.log(self.scale)
        return FamilyParameters(factor, 0.0, 1.0 / self.scale, self.s, self.scale)

    def _mass_below(self, x: float) -> float:
        return _normal_tail(-log_ratio(x, self.scale) / self.s) if x > 0.0 else 0.0

    def _mass_above(self, x: float) -> float:
        return _normal_tail(log_ratio(x, self.scale) / self.s) if x > 0.0 else 1.0

    def to_scipy(self) -> Any:
        from scipy.stats import lognorm

        return lognorm(self.s, scale=self.scale)


def log_ratio(p: float, q: float) -> float:
    """log(p/q) for positive numbers, with all digits even if they are close."""
    if 0.5 * q < p < 2.0 * q:
        return math.log1p((p - q) / q)
    return math.log(p) - math.log(q)


def _normal_tail(z: float) -> float:
    """The probability of more than z for the standard Normal."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _exp(x: float) -> float:
    """exp(x); inf beyond the range, as in SciPy."""
    return math.exp(x) if x < 709.0 else math.inf
