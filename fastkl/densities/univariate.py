"""Families of densities on the line, named and parametrised as in SciPy."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastkl.densities.density import Bump, Density
from fastkl.densities.stirling import LOG_SQRT_2PI, log_beta, log_factorial_excess
from fastkl.grids import Grid
from fastkl.kernels import families
from fastkl.kernels.records import DensityRecord, density_record
from fastkl.kernels.univariate import FAMILIES as KERNELS
from fastkl.validation import as_real

SMALLEST_POSITIVE = 2.0**-1022
"""Smaller numbers have no finite inverse."""


class FamilyParameters(NamedTuple):
    """The arguments of a function of `fastkl.kernels.families`, after x."""

    factor: float
    loc: float
    inverse_scale: float
    first: float = 0.0
    second: float = 0.0


class Univariate(Density):
    """A density of a family on the line; every parameter but `loc` is positive."""

    log_density: ClassVar[Callable[..., Any]]
    """The kernel's function of x and of :meth:`parameters`."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = as_real(getattr(self, field.name), field.name)
            if field.name != "loc" and value <= 0.0:
                raise ValueError(f"{field.name} must be > 0, got {value!r}")
            if field.name != "loc" and value < SMALLEST_POSITIVE:
                raise ValueError(
                    f"{field.name} must be at least {SMALLEST_POSITIVE}, so that its inverse is finite, got {value!r}"
                )
            object.__setattr__(self, field.name, value)

    @property
    @abstractmethod
    def std(self) -> float:
        """The standard deviation."""

    @property
    @abstractmethod
    def mode(self) -> float:
        """Where the log-density is largest."""

    @abstractmethod
    def parameters(self) -> FamilyParameters:
        """The arguments of `log_density`."""

    @property
    @abstractmethod
    def landmark(self) -> tuple[float, float]:
        """A place where much of the density is, and the scale on which it changes there."""

    def record(self, grid: Grid | None = None) -> DensityRecord:
        return density_record(KERNELS[self.log_density.__name__], [self.parameters()])

    def bumps(self) -> Sequence[Bump]:
        place, width = (np.array([number]) for number in self.landmark)
        return (Bump(place, width, width),)

    @abstractmethod
    def _mass_below(self, x: float) -> float:
        """The probability of less than x, with its digits where it is small."""

    @abstractmethod
    def _mass_above(self, x: float) -> float:
        """The probability of more than x, with its digits where it is small."""

    def _mass_beyond(self, lower: float, upper: float) -> float:
        """The probability outside [lower, upper]."""
        return self._mass_below(lower) + self._mass_above(upper)

    def mass_outside(self, grid: Grid) -> float:
        return self._mass_beyond(grid.line.lower, grid.line.upper)

    @abstractmethod
    def to_scipy(self) -> Any:
        """The frozen distribution of `scipy.stats`, which has ``rvs``, ``cdf`` and ``ppf``."""


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
    def landmark(self) -> tuple[float, float]:
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
    >>> from fastkl.densities.univariate import Laplace
    >>> q = Laplace(1, 2)
    >>> q.mean, round(q.std, 6), q.kinks
    (1.0, 2.828427, (1.0,))
    """

    loc: float
    scale: float

    log_density = staticmethod(families.laplace)

    @property
    def std(self) -> float:
        return math.sqrt(2.0) * self.scale

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.loc,)

    def parameters(self) -> FamilyParameters:
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
        > 0; the standard deviation is pi / sqrt(3) times as large.

    Raises
    ------
    ValueError
        If a parameter is not finite or `scale` is not positive.

    Examples
    --------
    >>> from fastkl.densities.univariate import Logistic
    >>> q = Logistic(1, 2)
    >>> q.mean, round(q.std, 6)
    (1.0, 3.627599)
    """

    loc: float
    scale: float

    log_density = staticmethod(families.logistic)

    @property
    def std(self) -> float:
        return math.pi / math.sqrt(3.0) * self.scale

    def parameters(self) -> FamilyParameters:
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
        > 0.

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
    >>> from fastkl.densities.univariate import StudentT
    >>> q = StudentT(4, 1)
    >>> q.mean, round(q.std, 6)
    (1.0, 1.414214)
    >>> StudentT(2).std
    inf
    """

    df: float
    loc: float = 0.0
    scale: float = 1.0

    log_density = staticmethod(families.student_t)

    @property
    def mean(self) -> float:
        return self.loc if self.df > 1.0 else math.inf

    @property
    def std(self) -> float:
        if self.df <= 2.0:
            return math.inf if self.df > 1.0 else math.nan
        return self.scale * math.sqrt(self.df / (self.df - 2.0))

    def parameters(self) -> FamilyParameters:
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
        > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `a` or `scale` is not positive.

    Examples
    --------
    >>> from fastkl.densities.univariate import Gamma
    >>> q = Gamma(4, scale=0.5)
    >>> q.mean, q.std, q.mode, q.support
    (2.0, 1.0, 1.5, (0.0, inf))
    """

    a: float
    loc: float = 0.0
    scale: float = 1.0

    log_density = staticmethod(families.gamma)

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
    def landmark(self) -> tuple[float, float]:
        return self.mode, self.std

    def parameters(self) -> FamilyParameters:
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
    Where the density is unbounded at both ends, `mode` is the end with the smaller parameter; for a
    constant density it is 1/2.

    Examples
    --------
    >>> from fastkl.densities.univariate import Beta
    >>> q = Beta(2, 6)
    >>> q.mean, round(q.std, 6), round(q.mode, 6), q.support
    (0.25, 0.144338, 0.166667, (0.0, 1.0))
    """

    a: float
    b: float

    log_density = staticmethod(families.beta)

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
    def landmark(self) -> tuple[float, float]:
        return self.mean, self.std

    def parameters(self) -> FamilyParameters:
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
    >>> from fastkl.densities.univariate import LogNormal
    >>> q = LogNormal(0.5, scale=2)
    >>> round(q.mean, 6), round(q.std, 6), round(q.mode, 6)
    (2.266297, 1.207801, 1.557602)
    """

    s: float
    scale: float = 1.0

    log_density = staticmethod(families.log_normal)

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
    def landmark(self) -> tuple[float, float]:
        return self.scale, min(self.s, 1.0) * self.scale

    def parameters(self) -> FamilyParameters:
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
    """log(p/q) for positive numbers, with its digits where they are close."""
    if 0.5 * q < p < 2.0 * q:
        return math.log1p((p - q) / q)
    return math.log(p) - math.log(q)


def _normal_tail(z: float) -> float:
    """The probability of more than z for the standard Normal."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _exp(x: float) -> float:
    """exp(x); inf beyond the range, as in SciPy."""
    return math.exp(x) if x < 709.0 else math.inf


FAMILIES: dict[str, Callable[..., Univariate]] = {
    "laplace": Laplace,
    "logistic": Logistic,
    "student_t": StudentT,
    "gamma": Gamma,
    "beta": Beta,
    "log_normal": LogNormal,
}
