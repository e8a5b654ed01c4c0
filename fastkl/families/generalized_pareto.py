"""The generalized Pareto density of excesses over a threshold: t**(-1/c - 1) / scale, t = 1 + c z, z = (x - loc)/scale.

For c = 0 it is the exponential density exp(-z) / scale. For c < 0 it ends at z = -1/c, a place that moves with the
parameters. log(t) is taken as log(1 + c z) where c z is small, and from scale + c (x - loc), rounded once, elsewhere,
so that it keeps its digits near that end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval

from fastkl.elementary import fma, log1p, log_ratio
from fastkl.families import differences
from fastkl.families.kernels import power
from fastkl.families.normal import Normal, moments_to_normal
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.families.univariate import (
    ENDS_TOO_EARLY,
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
from fastkl.measures import phi
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fractions import Fraction

SMALLEST_C = 1e-290
"""Size of c below which it counts as 0; c z would be a subnormal number."""

NEAR = 0.06
"""Size of c z up to which `_bent` is a series."""

BENT = [(-1.0) ** k * (k + 1.0) / (k + 2.0) for k in range(14)]
"""Coefficients of the series of `_bent`, whose last power is below an ulp."""

STEEP_C = -0.1
"""Shape below which the square of a score is too steep for quadrature in the last cell."""
LOWEST_C = -0.5
"""Smallest c of a fit: at its end a density with a lower one has a score without a variance, and no Hessian."""
LOWEST_IN_CELLS = -1.0
"""Smallest c of a fit by masses in cells, which are smooth functions of c: a density with a lower one is infinite."""


@scalar
def _log_t(c: float, position: float, scale: float, u: float) -> Any:
    """log(t) from u = c z; NaN beyond the end."""
    return log1p(u) if abs(u) < 0.5 else log_ratio(fma(c, position, scale), scale)


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> Any:
    """Log-density of a generalized Pareto distribution: factor - (1 + 1/c) log(t), c = `first`, scale = `second`."""
    position = x - loc + 0.0  # turns -0 into 0
    z = position * inverse_scale
    u = first * z
    distance = z if abs(first) < SMALLEST_C else power(1.0 + 1.0 / first, _log_t(first, position, second, u))
    outside = (position < 0.0) | (fma(first, position, second) < 0.0) | (position == np.inf)
    return factor - (np.inf if outside else distance)


@scalar
def _bent(u: float, t: float, logarithm: float) -> tuple[float, float]:
    """((log(t) - u/t)/u**2 and its derivative, for t = 1 + u: 1/2 - 2 u/3 + 3 u**2/4 - ...)."""
    value, slope = 0.0, 0.0
    for k in range(13, -1, -1):  # the last power is below an ulp
        value = (k + 1.0) / (k + 2.0) - u * value
        slope = -(k + 1.0) * (k + 2.0) / (k + 3.0) - u * slope
    if abs(u) > NEAR:
        value = (logarithm - u / t) / (u * u)
        slope = (1.0 / (t * t) - 2.0 * value) / u
    return value, slope


@SCORES.implement
def generalized_pareto_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a generalized Pareto distribution in the coordinates (c, log(scale))."""
    factor, c, scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = x[i] / scale
        u, t = c * z, fma(c, x[i], scale) / scale
        logarithm = _log_t(c, x[i], scale, u)
        value, slope = _bent(u, t, logarithm)
        w = z / t
        inside = (t > 0.0) & (z >= 0.0)
        out[0, i] = factor - (z if abs(c) < SMALLEST_C else (1.0 + 1.0 / c) * logarithm) if inside else -np.inf
        out[1, i] = z * z * value - w
        out[2, i] = (1.0 + c) * w - 1.0
        out[3, i] = z * z * z * slope + w * w
        out[4, i] = w - (1.0 + c) * w * w
        out[5, i] = -(1.0 + c) * w / t


@family
class GeneralizedPareto(Univariate):
    """The generalized Pareto density of shape `c`, from `loc` up, `scipy.stats.genpareto`.

    Parameters
    ----------
    c : float
        Shape: the tail falls like x**(-1/c - 1) for c > 0; for c < 0 the density ends at ``loc - scale/c``.
    loc : float, default 0
        Lower end of the support, the threshold.
    scale : float, default 1
        Scale, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite, or `scale` is not positive.

    Notes
    -----
    `mean` is inf for ``c >= 1`` and `std` is inf for ``c >= 1/2``, where SciPy has NaN. A fit holds loc = 0 and ends at
    c = -1/2, below which the divergence has no second derivative; that to a histogram ends at -1.

    Examples
    --------
    >>> from fastkl import GeneralizedPareto
    >>> q = GeneralizedPareto(-0.25, scale=3)
    >>> q.mean, round(q.std, 6), q.mode, q.support
    (2.4, 1.959592, 0.0, (0.0, 12.0))
    """

    c: float = real()
    loc: float = real(default=0.0)
    scale: float = positive(default=1.0)

    _log_density = staticmethod(log_density)
    _coordinates = (Coordinate("c"), Coordinate("scale", log=True))
    _held = MappingProxyType({"loc": 0.0})
    _scores = generalized_pareto_scores
    _common_support = HALF_LINE
    _is_regular_at_ends = True
    _scipy_name = "genpareto"

    @property
    def mean(self) -> float:
        return self.loc + self.scale / (1.0 - self.c) if self.c < 1.0 else math.inf

    @property
    def std(self) -> float:
        """The standard deviation."""
        return self.scale / (1.0 - self.c) / math.sqrt(1.0 - 2.0 * self.c) if self.c < 0.5 else math.inf

    @property
    def mode(self) -> float:
        if self.c >= -1.0:
            return self.loc
        end = self.support[1]
        while self._t(end) < 0:  # the end is rounded
            end = math.nextafter(end, self.loc)
        return end

    @property
    def support(self) -> tuple[float, float]:
        return self.loc, self.loc - self.scale / self.c if self.c < 0.0 else math.inf

    def _t(self, x: float) -> Fraction:
        """t = 1 + c z, exactly."""
        from fractions import Fraction

        scale, position = Fraction(self.scale), Fraction(x) - Fraction(self.loc)
        return (scale + Fraction(self.c) * position) / scale

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.mode, self.scale

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(-math.log(self.scale), self.loc, 1.0 / self.scale, self.c, self.scale)

    def _log_above(self, x: float) -> float:
        """The logarithm of the probability of more than x, -log(t)/c."""
        z = max((x - self.loc) / self.scale, 0.0)
        u = self.c * z
        if abs(self.c) < SMALLEST_C or z == 0.0:
            return -z
        if abs(u) < 0.5 or math.isinf(u):
            return -math.log1p(u) / self.c if u > -1.0 else -math.inf
        t = float(self._t(x))
        return -math.log(t) / self.c if t > 0.0 else -math.inf

    def _mass_below(self, x: float) -> float:
        return -math.expm1(self._log_above(x))

    def _mass_above(self, x: float) -> float:
        return math.exp(self._log_above(x))

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        if not mean > 0.0:
            return None
        c = max(0.5 * (1.0 - mean**2 / variance), 0.0)  # with c < 0 it might end before p does
        return {"c": c, "scale": mean * (1.0 - c)}

    def _end(self) -> Any:
        with np.errstate(divide="ignore"):
            return np.where(self.c < 0.0, self.loc - self.scale / self.c, math.inf)

    def _reaching(self, upper: float) -> GeneralizedPareto:
        end = self.support[1]
        if not end < upper <= end * (1.0 + ENDS_TOO_EARLY):
            return self
        c = -self.scale / (upper - self.loc)
        while self.loc - self.scale / c < upper:
            c = math.nextafter(c, 0.0)
        return GeneralizedPareto(c, self.loc, self.scale)

    def _limit(self, in_cells: bool) -> str:
        if in_cells:
            return "" if self.c >= LOWEST_IN_CELLS else f"c has passed {LOWEST_IN_CELLS:g}: q is infinite where it ends"
        if self.c >= LOWEST_C:
            return ""
        return f"c has passed {LOWEST_C:g}: q ends so steeply that the divergence has no second derivative"

    def _derivatives_in_cells(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats] | None:
        """The derivatives of log-masses from those of log S(x), S the probability above x.

        The mean of a product of scores, which gives them otherwise, is infinite in the last cell for c <= -1/2.
        """
        if self.c >= STEEP_C:
            return None
        below, above = (self._of_survival(x) for x in (lower, upper))
        mass = below[0] - above[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope, second = ((a - b) / mass for a, b in zip(below[1:], above[1:], strict=True))
        slope, second = (np.where(mass > 0.0, part, 0.0) for part in (slope, second))
        return slope, second - slope[:, np.newaxis] * slope

    def _of_survival(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """S at each x, with its first and second derivatives by c and log(scale); for c < 0."""
        z = np.maximum(x, 0.0) / self.scale
        u = np.maximum(self.c * z, -1.0)
        t = 1.0 + u
        with np.errstate(divide="ignore", invalid="ignore"):
            log_t = np.log1p(u)
            far = np.abs(u) > NEAR
            value = np.where(far, (log_t - u / t) / (u * u), polyval(u, BENT))
            slope = np.where(far, (1.0 / (t * t) - 2.0 * value) / u, polyval(u, polyder(BENT)))
            survival, w = np.exp(-log_t / self.c), z / t
            first = np.array([z * z * value, w])
            second = np.array([[z**3 * slope, -w * w], [-w * w, -w / t]]) + first[:, np.newaxis] * first
            parts = survival * first, survival * second
        inside = t > 0.0
        return np.where(inside, survival, 0.0), *(np.where(inside, part, 0.0) for part in parts)  # type: ignore[return-value]

    def _place_and_scale(self) -> tuple[Any, Any]:
        return 0.5 * self.scale, self.scale

    def _score_parameters(self) -> Sequence[float]:
        return [-math.log(self.scale), self.c, self.scale]


@formula(GeneralizedPareto, GeneralizedPareto)
def _from_generalized_pareto(p: GeneralizedPareto, q: GeneralizedPareto) -> float | None:
    """KL from an exponential density, phi(r - 1) + phi(-c), r the ratio of the means; None for any other q."""
    if q.c != 0.0 or p.loc != q.loc:
        return None
    if p.c >= 1.0:
        return math.inf
    scales = (p.scale - q.scale) / q.scale
    logarithm = differences.log_ratio(p.scale, q.scale) - math.log1p(-p.c)
    return differences.phi_of((scales + p.c) / (1.0 - p.c), logarithm) + float(phi(-p.c))


@formula(GeneralizedPareto, Normal)
def _from_normal(p: GeneralizedPareto, q: Normal) -> float:
    """KL from a Normal by the entropy log(scale) + c + 1; inf if p has no variance."""
    if p.c >= 0.5:
        return math.inf
    shape = LOG_SQRT_2PI - 0.5 - p.c - math.log1p(-p.c) - 0.5 * math.log1p(-2.0 * p.c)
    return shape + moments_to_normal(p, q)
