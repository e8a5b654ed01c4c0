"""Mixtures: weighted sums of densities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from fastkl.density import Bump, Density
from fastkl.families import MultivariateNormal, Univariate
from fastkl.families.normal import Normal
from fastkl.grids import Grid
from fastkl.kernels.normal_mixture import evaluation_of_normals
from fastkl.kernels.records import Evaluation, evaluation
from fastkl.kernels.runs import mixture
from fastkl.validation import as_real

WEIGHT_SUM_TOLERANCE = 1e-9
"""Largest distance from 1 of the sum of weights."""

Component = Univariate | MultivariateNormal


@dataclass(frozen=True, init=False)
class Mixture(Density):
    """A weighted sum of densities.

    Parameters
    ----------
    components : sequence of densities
        Densities of any families, all of the same number of dimensions.
    weights : sequence of float, optional
        Weights of the components, non-negative and summing to 1 within 1e-9; equal by default.

    Raises
    ------
    ValueError
        If there is no component, the lengths or dimensions differ, or the weights are not a distribution.
    TypeError
        If a component is not a density of a family.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> round(p.std, 5)
    2.08806
    >>> float(p.logpdf(30.0)) < -900  # a far tail, not -inf
    True
    """

    components: tuple[Component, ...]
    weights: tuple[float, ...]

    def __init__(self, components: Iterable[Component], weights: Iterable[float] | None = None) -> None:
        parts = tuple(components)
        if not parts:
            raise ValueError("a mixture needs at least one component, got none")
        for part in parts:
            if not isinstance(part, Component):
                raise TypeError(f"components must be densities of a family, such as fastkl.Normal, got {part!r}")
        if len({part.ndim for part in parts}) > 1:
            raise ValueError(f"components must have one number of dimensions, got {[part.ndim for part in parts]}")
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

    @property
    def ndim(self) -> int:
        return self.components[0].ndim

    def logpdf(self, x: ArrayLike) -> Any:
        logs = [math.log(w) + part.logpdf(x) for w, part in self._present()]
        return np.logaddexp.reduce(logs, axis=0)

    @property
    def mean(self) -> Any:
        if self.ndim == 1:
            return math.fsum(w * _place(part) for w, part in self._present())
        return sum(w * part.mean for w, part in self._present())

    @property
    def std(self) -> float:
        if self.ndim > 1:
            return super().std
        return math.sqrt(float(self.cov))

    @property
    def cov(self) -> Any:
        """The covariance; in one dimension the variance, a float."""
        mean = self.mean
        if self.ndim == 1:
            spread = [(w, _place(part) - mean, part.std**2) for w, part in self._present()]
            return math.fsum(w * (variance + offset**2) for w, offset, variance in spread)
        offsets = [part.mean - mean for _, part in self._present()]
        pairs = zip(self._present(), offsets, strict=True)
        return sum(w * (cast(MultivariateNormal, part).cov + np.outer(o, o)) for (w, part), o in pairs)

    def mass_outside(self, grid: Grid) -> float:
        return math.fsum(w * part.mass_outside(grid) for w, part in self._present())

    @property
    def _is_normal(self) -> bool:  # type: ignore[override]
        return all(part._is_normal for part in self.components)

    @property
    def support(self) -> tuple[float, float]:
        ends = [part.support for _, part in self._present()]
        return min(lower for lower, _ in ends), max(upper for _, upper in ends)

    @property
    def _kinks(self) -> Sequence[float]:
        inside = [x for _, part in self._present() for x in (*part._kinks, *part.support) if math.isfinite(x)]
        return tuple(sorted(set(inside) - set(self.support)))

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        present = self._present()
        if self._is_normal:
            return evaluation_of_normals([part._component(math.log(w)) for w, part in present])  # type: ignore[union-attr]
        functions, rows = zip(*((part._run, part._parameters()) for _, part in present), strict=True)
        values = np.array([math.log(w) for w, _ in present])
        return evaluation(mixture, rows, values=values, parts=functions)

    def _bumps(self) -> Sequence[Bump]:
        return tuple(bump for _, part in self._present() for bump in part._bumps())

    def to_scipy(self) -> Any:
        """The `scipy.stats.Mixture`, which has ``sample``, ``cdf`` and ``icdf``; for Normals of one dimension."""
        from scipy import stats

        if not all(isinstance(part, Normal) for part in self.components):
            raise TypeError(f"a scipy.stats.Mixture is made of Normals here, got {self.components!r}")
        parts = [stats.Normal(mu=part.loc, sigma=part.scale) for part in self.components]  # type: ignore[union-attr]
        return stats.Mixture(parts, weights=self.weights)

    def _present(self) -> list[tuple[float, Component]]:
        """(weight, component) for the components of positive weight."""
        return [(w, part) for w, part in zip(self.weights, self.components, strict=True) if w > 0.0]


def _place(part: Component) -> float:
    """The mean of a component on the line."""
    return float(part.mean[0]) if isinstance(part, MultivariateNormal) else part.mean
