"""The Normal density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from fastkl.densities.density import Density
from fastkl.grids import Grid
from fastkl.kernels.log_density import normal_mixture
from fastkl.kernels.records import DensityRecord, NormalComponent, density_record
from fastkl.validation import as_real, as_reals

LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)

SMALLEST_SCALE = 2.0**-1022


@dataclass(frozen=True)
class Normal(Density):
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

    loc: float
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "loc", as_real(self.loc, "loc"))
        object.__setattr__(self, "scale", as_real(self.scale, "scale"))
        if self.scale <= 0.0:
            raise ValueError(f"scale must be > 0, got {self.scale!r}")
        if self.scale < SMALLEST_SCALE:
            raise ValueError(f"scale must be at least {SMALLEST_SCALE}, so that 1/scale is finite, got {self.scale!r}")

    def logpdf(self, x: ArrayLike) -> Any:
        z = (as_reals(x, "x") - self.loc) / self.scale
        return self.log_factor - 0.5 * z * z

    @property
    def log_factor(self) -> float:
        """The log-density at the mean."""
        return -LOG_SQRT_2PI - math.log(self.scale)

    @property
    def mean(self) -> float:
        return self.loc

    @property
    def std(self) -> float:
        return self.scale

    def mass_outside(self, grid: Grid) -> float:
        below = (self.loc - grid.lower) / (self.scale * math.sqrt(2.0))
        above = (grid.upper - self.loc) / (self.scale * math.sqrt(2.0))
        return 0.5 * (math.erfc(below) + math.erfc(above))

    def component(self, log_weight: float = 0.0) -> NormalComponent:
        """The row that stands for this Normal in a kernel's record."""
        return NormalComponent(log_weight + self.log_factor, self.loc, 1.0 / self.scale)

    def record(self, grid: Grid) -> DensityRecord:
        return density_record(normal_mixture, [self.component()])

    def normals(self) -> Sequence[Normal]:
        return (self,)

    def to_scipy(self) -> Any:
        """The frozen `scipy.stats.norm`, which has ``rvs``, ``cdf`` and ``ppf``."""
        from scipy.stats import norm

        return norm(self.loc, self.scale)
