"""The Normal: exp(-z**2/2) / (sqrt(2 pi) scale), z = (x - loc)/scale.

Kernels evaluate Normals and mixtures of them as `fastkl.kernels.normal_mixture`, which skips what is negligible, and a
fit takes sums of powers of z (`fastkl.kernels.moments`). Only in a mixture with other families a Normal is evaluated by
`log_density`, and only in the cells of a histogram by its scores.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from fastkl.density import Density
from fastkl.families.differences import in_units, log_ratio, phi_of
from fastkl.families.kernels import location_scale
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.families.univariate import FamilyParameters, Symmetric, family, formula, positive, real
from fastkl.grids import Grid
from fastkl.jit import scalar
from fastkl.kernels.normal_mixture import evaluation_of_normals
from fastkl.kernels.records import Evaluation, NormalComponent
from fastkl.kernels.scores import SCORES
from fastkl.validation import Floats, as_reals


@scalar
def log_density(x: float, factor: float, loc: float, inverse_scale: float, first: float, second: float) -> float:
    """Log-density of a Normal: factor - z**2/2."""
    z = (x - loc) * inverse_scale
    return factor - 0.5 * z * z


@SCORES.implement
def normal_scores(parameters: Floats, x: Floats, out: Floats) -> None:
    """Scores of a Normal in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        out[0, i] = factor - 0.5 * z * z
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = location_scale(z, -z, -1.0)


@family
class Normal(Symmetric):
    """The Normal density with mean `loc` and standard deviation `scale`.

    Parameters
    ----------
    loc : float
        Mean.
    scale : float
        Standard deviation, > 0.

    Raises
    ------
    ValueError
        If a parameter is not finite or `scale` is not positive.

    Examples
    --------
    >>> import fastkl
    >>> q = fastkl.Normal(1, 2)
    >>> round(float(q.pdf(1.0)), 6)
    0.199471
    >>> q.mean, q.std
    (1.0, 2.0)
    """

    loc: float = real()
    scale: float = positive()

    _log_density = staticmethod(log_density)
    _scores = normal_scores
    _forward_fit = "mean and standard deviation of p"
    _scipy_name = "norm"
    _is_normal = True

    def logpdf(self, x: ArrayLike) -> Any:
        z = (as_reals(x, "x") - self.loc) / self.scale
        return self._log_factor - 0.5 * z * z

    @property
    def _log_factor(self) -> float:
        """The log-density at the mean."""
        return -LOG_SQRT_2PI - math.log(self.scale)

    @property
    def std(self) -> float:
        """The standard deviation."""
        return self.scale

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(self._log_factor, self.loc, 1.0 / self.scale)

    def _component(self, log_weight: float = 0.0) -> NormalComponent:
        """The row that stands for this Normal in a kernel's record."""
        return NormalComponent(log_weight + self._log_factor, self.loc, 1.0 / self.scale)

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        return evaluation_of_normals([self._component()])

    def _tail(self, z: float) -> float:
        return normal_tail(z)

    @classmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float]:
        return {"loc": mean, "scale": math.sqrt(variance)}


def normal_tail(z: float) -> float:
    """The probability of more than z for the standard Normal."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


WIDER = 1e100
"""Ratio of standard deviations above which its square may overflow, and its logarithm is as good as nothing."""


def between_normals(z: float, p_std: float, q_std: float, more: float = 0.0) -> float:
    """KL of two Normals, [v - 1 - log(v)]/2 + z**2/2 with z the distance over q_std, v the ratio of variances.

    It is (p_std/q_std)**2 (1 + more), so that a variance of p near p_std**2 keeps its digits.
    """
    r, logarithm = p_std / q_std, log_ratio(p_std, q_std)
    excess = 0.5 * (p_std - q_std) / q_std * (r + 1.0) + 0.5 * r * (r * more)
    if r > WIDER:
        return excess - logarithm - 0.5 * math.log1p(more) + 0.5 * z * z
    return 0.5 * phi_of(2.0 * excess, 2.0 * logarithm + math.log1p(more)) + 0.5 * z * z


def moments_to_normal(p: Density, q: Normal) -> float:
    """KL of the Normal with the moments of p from q."""
    return between_normals(in_units(p.mean, q.loc, q.scale), p.std, q.scale)


@formula(Normal, Normal)
def _from_normal(p: Normal, q: Normal) -> float:
    return between_normals(in_units(p.loc, q.loc, q.scale), p.scale, q.scale)
