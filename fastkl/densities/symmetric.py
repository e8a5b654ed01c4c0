"""Families on the line that are symmetric about a place, named and parametrised as in SciPy."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from fastkl.densities.stirling import log_beta
from fastkl.densities.univariate import FamilyParameters, Univariate
from fastkl.kernels import families


class _Symmetric(Univariate):
    """A density that is symmetric about `loc`, where it has its mode."""

    loc: float
    scale: float

    @property
    def mean(self) -> float:
        return self.loc

    @property
    def mode(self) -> float:
        return self.loc

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.loc, self.scale

    @abstractmethod
    def _tail(self, z: float) -> float:
        """The probability of more than loc + z * scale, for z >= 0."""

    def _beyond(self, z: float) -> float:
        return self._tail(z) if z >= 0.0 else 1.0 - self._tail(-z)

    def _mass_below(self, x: float) -> float:
        return self._beyond((self.loc - x) / self.scale)

    def _mass_above(self, x: float) -> float:
        return self._beyond((x - self.loc) / self.scale)


@dataclass(frozen=True)
class Laplace(_Symmetric):
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
    >>> q.mean, round(q.std, 6), q._kinks
    (1.0, 2.828427, (1.0,))
    """

    loc: float
    scale: float

    _log_density = staticmethod(families.laplace)

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

    def to_scipy(self) -> Any:
        from scipy.stats import laplace

        return laplace(self.loc, self.scale)


@dataclass(frozen=True)
class Logistic(_Symmetric):
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

    loc: float
    scale: float

    _log_density = staticmethod(families.logistic)

    @property
    def std(self) -> float:
        return math.pi / math.sqrt(3.0) * self.scale

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(-math.log(self.scale), self.loc, 1.0 / self.scale)

    def _tail(self, z: float) -> float:
        ratio = math.exp(-z)
        return ratio / (1.0 + ratio)

    def to_scipy(self) -> Any:
        from scipy.stats import logistic

        return logistic(self.loc, self.scale)


@dataclass(frozen=True)
class StudentT(_Symmetric):
    """Student's t density.

    Parameters
    ----------
    df : float
        Degrees of freedom, > 0, not necessarily whole; 1 is the Cauchy density.
    loc : float, default 0
        Median and mode.
    scale : float, default 1
        Scale, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `df` or `scale` is not positive.

    Notes
    -----
    As in SciPy, `mean` is inf for ``df <= 1``, where the integral does not exist, and `std` is inf for
    ``1 < df <= 2`` and NaN for ``df <= 1``.

    Examples
    --------
    >>> from fastkl import StudentT
    >>> q = StudentT(4, 1)
    >>> q.mean, round(q.std, 6)
    (1.0, 1.414214)
    >>> StudentT(2).std
    inf
    """

    df: float
    loc: float = 0.0
    scale: float = 1.0

    _log_density = staticmethod(families.student_t)

    @property
    def mean(self) -> float:
        return self.loc if self.df > 1.0 else math.inf

    @property
    def std(self) -> float:
        if self.df <= 2.0:
            return math.inf if self.df > 1.0 else math.nan
        return self.scale * math.sqrt(self.df / (self.df - 2.0))

    def _parameters(self) -> FamilyParameters:
        factor = -log_beta(0.5 * self.df, 0.5) - 0.5 * math.log(self.df) - math.log(self.scale)
        return FamilyParameters(factor, self.loc, 1.0 / self.scale, self.df)

    def _tail(self, z: float) -> float:
        from scipy.special import betainc, betaincc

        square = z * z
        if square < self.df:  # the smaller of the two arguments has the digits
            return 0.5 * float(betaincc(0.5, 0.5 * self.df, square / (self.df + square)))
        return 0.5 * float(betainc(0.5 * self.df, 0.5, self.df / (self.df + square)))

    def to_scipy(self) -> Any:
        from scipy.stats import t

        return t(self.df, self.loc, self.scale)
