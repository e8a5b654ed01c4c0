"""Student's t density: (1 + z**2/df)**(-(df + 1)/2) / (B(df/2, 1/2) sqrt(df) scale), z = (x - loc)/scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from fastkl.elementary import log1p
from fastkl.families.differences import in_units, log_ratio
from fastkl.families.kernels import location_scale
from fastkl.families.normal import Normal, between_normals
from fastkl.families.stirling import log_beta, stirling, stirling_slope
from fastkl.families.univariate import (
    LOCATION_SCALE,
    Coordinate,
    FamilyParameters,
    Symmetric,
    family,
    formula,
    positive,
    real,
)
from fastkl.jit import scalar
from fastkl.kernels.scores import SCORES
from fastkl.validation import Floats

FAR = 2.0**60
"""Number beyond which log(1 + u**2) is 2 log(1 + u) to the last place, and u**2 may overflow."""

USUAL_DF = 6.0
"""Degrees of freedom at which a search for df starts."""

SERIES_FROM = 20.0
"""Half of df from which up the series of `OF_SHAPE` is exact to the last place."""

OF_SHAPE = (
    3 / 16, 3 / 16, 17 / 128, 29 / 320, 61 / 768, 145 / 1792, 273 / 4096, 119 / 3072, 869 / 20480, 4121 / 45056,
    6169 / 98304, -30035 / 212992, -21843 / 458752,
)  # fmt: skip
"""Coefficients of (2/df)**2, (2/df)**3, ... in the KL of a StudentT from the Normal with its moments."""

LARGEST_DF = 1e4
"""Degrees of freedom beyond which a StudentT is a Normal to four digits, and the divergence hardly depends on df."""


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of a Student t distribution: factor - (df + 1)/2 log(1 + z**2/df), df = `first`."""
    u = abs((x - loc) * inverse_scale) * (1.0 / np.sqrt(first))
    far = u > FAR
    return factor - 0.5 * (first + 1.0) * (2.0 if far else 1.0) * log1p(u if far else u * u)


@scalar
def _along_the_line(z: float, df: float) -> Any:
    """Scores and second derivatives in the coordinates (loc/scale, log(scale)); see `location_scale`."""
    square, total = z * z, df + z * z
    return location_scale(z, -(df + 1.0) * z / total, -(df + 1.0) * (df - square) / (total * total))


@SCORES.implement
def student_t_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Student t distribution in the coordinates (loc/scale, log(scale), log(df))."""
    factor, loc, inverse_scale, df = parameters[0], parameters[1], parameters[2], parameters[3]
    of_df, of_df_twice = parameters[4], parameters[5]  # derivatives of -A, the log of the constant, by log(df)
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        square, total = z * z, df + z * z
        logarithm = log1p(square / df)
        s1, s2, c11, c12, c22 = _along_the_line(z, df)
        along = df * (square - 1.0) / (total * total)
        out[0, i] = factor - 0.5 * (df + 1.0) * logarithm
        out[1, i], out[2, i] = s1, s2
        out[3, i] = of_df - 0.5 * df * logarithm + 0.5 * (df + 1.0) * square / total
        out[4, i], out[5, i], out[6, i], out[7, i], out[8, i] = c11, c12, z * along, c22, square * along
        bend = -0.5 * logarithm + square / total - 0.5 * (df + 1.0) * square / (total * total)
        out[9, i] = of_df_twice + df * bend


@SCORES.implement
def student_t_scores_of_df(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Student t distribution of a given df in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale, df = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        out[0, i] = factor - 0.5 * (df + 1.0) * log1p(z * z / df)
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = _along_the_line(z, df)


@family
class StudentT(Symmetric):
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

    df: float = positive()
    loc: float = real(default=0.0)
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (*LOCATION_SCALE, Coordinate("df", log=True))
    _scores = student_t_scores
    _scores_of_held = MappingProxyType({"df": student_t_scores_of_df})
    _scipy_name = "t"

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

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float]:
        df = held.get("df", USUAL_DF)
        share = math.sqrt((df - 2.0) / df) if df > 2.5 else 0.5
        return {"loc": mean, "scale": math.sqrt(variance) * share, "df": df}

    def _limit(self, in_cells: bool) -> str:
        if self.df <= LARGEST_DF:
            return ""
        return f"df has passed {LARGEST_DF:g}: the tails are those of a Normal, fit one"

    def _score_parameters(self) -> Sequence[float]:
        from scipy.special import digamma, polygamma

        half = 0.5 * self.df
        slope = half * float(digamma(half + 0.5) - digamma(half)) - 0.5
        bend = slope + 0.5 + half * half * float(polygamma(1, half + 0.5) - polygamma(1, half))
        return [*self._parameters()[:4], slope, bend]


@formula(StudentT, Normal)
def _from_normal(p: StudentT, q: Normal) -> float:
    """KL of a StudentT from a Normal: that of the Normal with its moments, and a part of df; inf without a std."""
    if p.df <= 2.0:
        return math.inf
    return _of_shape(p.df) + between_normals(in_units(p.loc, q.loc, q.scale), p.scale, q.scale, 2.0 / (p.df - 2.0))


def _of_shape(df: float) -> float:
    """KL of a StudentT from the Normal with its moments, log Gamma and psi being taken as Stirling's formula."""
    m = 0.5 * df
    if m > SERIES_FROM:
        return float(np.polynomial.polynomial.polyval(1.0 / m, OF_SHAPE)) / (m * m)
    remainders = stirling(m + 0.5) - stirling(m), stirling_slope(m + 0.5) - stirling_slope(m)
    logarithms = log_ratio(df, df - 2.0) - math.log1p(0.5 / m)
    return 0.5 * logarithms - 0.25 / m + remainders[0] - (m + 0.5) * remainders[1]
