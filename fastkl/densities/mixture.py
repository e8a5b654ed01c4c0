"""Mixtures of Normals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities.density import Density
from fastkl.densities.normal import Normal
from fastkl.grids import Grid
from fastkl.kernels.log_density import normal_mixture
from fastkl.kernels.records import DensityRecord, density_record
from fastkl.validation import as_real

WEIGHT_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, init=False)
class Mixture(Density):
    """A weighted sum of Normals.

    Parameters
    ----------
    components : sequence of Normal
    weights : sequence of float, optional
        Non-negative and summing to 1 within 1e-9; equal weights if left out.

    Raises
    ------
    ValueError
        If there is no component, the lengths differ, or the weights are not a distribution.
    TypeError
        If a component is not a `Normal`.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> round(p.std, 5)
    2.08806
    >>> float(p.logpdf(30.0)) < -900  # a far tail, not -inf
    True
    """

    components: tuple[Normal, ...]
    weights: tuple[float, ...]

    def __init__(self, components: Iterable[Normal], weights: Iterable[float] | None = None) -> None:
        parts = tuple(components)
        if not parts:
            raise ValueError("a mixture needs at least one component, got none")
        for part in parts:
            if not isinstance(part, Normal):
                raise TypeError(f"components must be fastkl.Normal, got {part!r}")
        if weights is None:
            shares = (1.0 / len(parts),) * len(parts)
        else:
            shares = tuple(as_real(w, "a weight") for w in weights)
        if len(shares) != len(parts):
            raise ValueError(f"{len(parts)} components need as many weights, got {len(shares)}")
        if min(shares) < 0.0:
            raise ValueError(f"weights must be >= 0, got {min(shares)!r}")
        if abs(math.fsum(shares) - 1.0) > WEIGHT_SUM_TOLERANCE:
            raise ValueError(f"weights must sum to 1 within {WEIGHT_SUM_TOLERANCE}, got {math.fsum(shares)!r}")
        object.__setattr__(self, "components", parts)
        object.__setattr__(self, "weights", shares)

    def logpdf(self, x: ArrayLike) -> Any:
        logs = [math.log(w) + part.logpdf(x) for w, part in self._present()]
        return np.logaddexp.reduce(logs, axis=0)

    @property
    def mean(self) -> float:
        return math.fsum(w * part.loc for w, part in self._present())

    @property
    def std(self) -> float:
        mean = self.mean
        return math.sqrt(math.fsum(w * (part.scale**2 + (part.loc - mean) ** 2) for w, part in self._present()))

    def mass_outside(self, grid: Grid) -> float:
        return math.fsum(w * part.mass_outside(grid) for w, part in self._present())

    def record(self, grid: Grid) -> DensityRecord:
        return density_record(normal_mixture, [part.component(math.log(w)) for w, part in self._present()])

    def normals(self) -> Sequence[Normal]:
        return tuple(part for _, part in self._present())

    def to_scipy(self) -> Any:
        """The `scipy.stats.Mixture`, which has ``sample``, ``cdf`` and ``icdf``."""
        from scipy import stats

        parts = [stats.Normal(mu=part.loc, sigma=part.scale) for part in self.components]
        return stats.Mixture(parts, weights=self.weights)

    def _present(self) -> list[tuple[float, Normal]]:
        """The components of positive weight."""
        return [(w, part) for w, part in zip(self.weights, self.components, strict=True) if w > 0.0]
