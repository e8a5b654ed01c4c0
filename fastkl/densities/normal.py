"""The Normal density, in one dimension and in more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities.density import Bump, Density, as_points
from fastkl.grids import Grid
from fastkl.kernels.normal_mixture import (
    log_normal_mixture,
    normal_mixture,
    normal_mixture_bounds,
    normal_mixture_reach,
)
from fastkl.kernels.records import Evaluation, NormalComponent, evaluation
from fastkl.validation import Floats, as_line, as_real, as_reals

LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)

SMALLEST_SCALE = 2.0**-1022

SYMMETRIC = 1e-12
"""Largest difference between entries that mirror each other, relative to the standard deviations."""


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
    _is_normal = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "loc", as_real(self.loc, "loc"))
        object.__setattr__(self, "scale", as_real(self.scale, "scale"))
        if self.scale <= 0.0:
            raise ValueError(f"scale must be > 0, got {self.scale!r}")
        if self.scale < SMALLEST_SCALE:
            raise ValueError(f"scale must be at least {SMALLEST_SCALE}, so that 1/scale is finite, got {self.scale!r}")

    def logpdf(self, x: ArrayLike) -> Any:
        z = (as_reals(x, "x") - self.loc) / self.scale
        return self._log_factor - 0.5 * z * z

    @property
    def _log_factor(self) -> float:
        """The log-density at the mean."""
        return -LOG_SQRT_2PI - math.log(self.scale)

    @property
    def mean(self) -> float:
        return self.loc

    @property
    def std(self) -> float:
        """The standard deviation."""
        return self.scale

    def mass_outside(self, grid: Grid) -> float:
        return _mass_beyond(self.loc, self.scale, grid._line.lower, grid._line.upper)

    def _component(self, log_weight: float = 0.0) -> NormalComponent:
        """The row that stands for this Normal in a kernel's record."""
        return NormalComponent(log_weight + self._log_factor, self.loc, 1.0 / self.scale)

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        return evaluation_of_normals([self._component()])

    def _bumps(self) -> Sequence[Bump]:
        scale = np.array([self.scale])
        return (Bump(np.array([self.loc]), scale, scale),)

    def to_scipy(self) -> Any:
        """The frozen `scipy.stats.norm`, which has ``rvs``, ``cdf`` and ``ppf``."""
        from scipy.stats import norm

        return norm(self.loc, self.scale)


class MultivariateNormal(Density):
    """The Normal density in D dimensions.

    Parameters
    ----------
    mean : array_like, shape (D,)
    cov : array_like, shape (D, D)
        The covariance, symmetric and positive definite.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, or `cov` is not symmetric and positive definite; the
        message says which entry or eigenvalue.

    Examples
    --------
    >>> import fastkl
    >>> q = fastkl.MultivariateNormal([0, 0], [[1, 0.5], [0.5, 1]])
    >>> round(float(q.logpdf([0.0, 0.0])), 6)
    -1.694036
    """

    _is_normal = True

    def __init__(self, mean: ArrayLike, cov: ArrayLike) -> None:
        self._mean = as_line(mean, "mean").copy()
        self._cov = _checked_covariance(cov, self._mean.size)
        for array in (self._mean, self._cov):
            array.flags.writeable = False

    @property
    def ndim(self) -> int:
        return int(self._mean.size)

    @property
    def mean(self) -> Floats:
        return self._mean

    @property
    def cov(self) -> Floats:
        """The covariance."""
        return self._cov

    @property
    def std(self) -> float:
        """The standard deviation, in one dimension."""
        return math.sqrt(self._cov[0, 0]) if self.ndim == 1 else super().std

    @cached_property
    def cholesky(self) -> Floats:
        """The lower triangular L with L L' = cov."""
        return np.asarray(np.linalg.cholesky(self.cov), dtype=np.float64)

    @cached_property
    def whitening(self) -> Floats:
        """The inverse W of `cholesky`: W (x - mean) has the unit matrix for its covariance."""
        W: Floats = np.tril(np.linalg.solve(self.cholesky, np.eye(self.ndim)))
        return W

    @property
    def _log_factor(self) -> float:
        """The log-density at the mean."""
        return -self.ndim * LOG_SQRT_2PI - float(np.log(np.diag(self.cholesky)).sum())

    def logpdf(self, x: ArrayLike) -> Any:
        z = (as_points(x, self.ndim) - self.mean) @ self.whitening.T
        return (self._log_factor - 0.5 * (z * z).sum(axis=-1))[()]

    def mass_outside(self, grid: Grid) -> float:
        """The probability outside the box; in several dimensions a bound on it, the sum over the axes."""
        std = np.sqrt(np.diag(self.cov))
        ends = zip(self.mean.tolist(), std.tolist(), grid.lower, grid.upper, strict=True)
        return min(math.fsum(_mass_beyond(*numbers) for numbers in ends), 1.0)

    def _component(self, log_weight: float = 0.0) -> list[float]:
        """The row that stands for this Normal in a kernel's record."""
        entries = self.whitening[np.tril_indices(self.ndim)]
        return [log_weight + self._log_factor, *self.mean.tolist(), *entries.tolist()]

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        return evaluation_of_normals([self._component()])

    def _bumps(self) -> Sequence[Bump]:
        precision = self.whitening.T @ self.whitening
        return (Bump(self.mean, np.sqrt(np.diag(self.cov)), 1.0 / np.sqrt(np.diag(precision))),)

    def to_scipy(self) -> Any:
        """The frozen `scipy.stats.multivariate_normal`, which has ``rvs`` and ``cdf``."""
        from scipy.stats import multivariate_normal

        return multivariate_normal(self.mean, self.cov)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MultivariateNormal):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.cov, other.cov)

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.cov.tobytes()))

    def __repr__(self) -> str:
        return f"MultivariateNormal(mean={self.mean.tolist()}, cov={self.cov.tolist()})"


def _checked_covariance(cov: ArrayLike, D: int) -> Floats:
    matrix = np.array(as_reals(cov, "cov"))
    if D == 0:
        raise ValueError("a mean needs at least one number, got none")
    if matrix.shape != (D, D):
        raise ValueError(f"a mean of {D} numbers needs a covariance of shape {(D, D)}, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"cov must be finite, got {matrix[~np.isfinite(matrix)][0]}")
    std = np.sqrt(np.abs(np.diag(matrix)))
    uneven = np.abs(matrix - matrix.T) > SYMMETRIC * np.outer(std, std)
    if uneven.any():
        i, j = (int(k) for k in np.argwhere(uneven)[0])
        raise ValueError(f"cov must be symmetric, but cov[{i}, {j}] is {matrix[i, j]} and cov[{j}, {i}] {matrix[j, i]}")
    matrix = 0.5 * (matrix + matrix.T)
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        eigenvalues = np.linalg.eigvalsh(matrix)
        raise ValueError(
            f"cov must be positive definite, but its smallest eigenvalue is {eigenvalues[0]:.6g} "
            f"(the largest is {eigenvalues[-1]:.6g})"
        ) from None
    return matrix


def evaluation_of_normals(components: Sequence[Sequence[float]]) -> Evaluation:
    """The evaluation of a mixture of Normals, from the rows of its components."""
    return evaluation(
        log_normal_mixture,
        components,
        others=(normal_mixture, normal_mixture_bounds, normal_mixture_reach),
        values=np.array([math.log(len(components))]),
    )


def _mass_beyond(loc: float, scale: float, lower: float, upper: float) -> float:
    below, above = (loc - lower) / (scale * math.sqrt(2.0)), (upper - loc) / (scale * math.sqrt(2.0))
    return 0.5 * (math.erfc(below) + math.erfc(above))
