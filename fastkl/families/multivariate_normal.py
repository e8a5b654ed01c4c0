"""The Normal density in several dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.density import Bump, Density, as_points
from fastkl.families.normal import Normal, normal_tail
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.families.univariate import FamilyParameters, formula
from fastkl.grids import Grid
from fastkl.kernels.normal_mixture import evaluation_of_normals
from fastkl.kernels.records import Evaluation
from fastkl.measures import phi
from fastkl.validation import Floats, as_line, as_reals

SIMILAR = 0.5
"""Largest difference from 1 of the ratio of variances, in any direction, of two covariances that are similar."""

SYMMETRIC = 1e-12
"""Largest difference between entries that mirror each other, relative to the standard deviations."""


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
    _run = Normal._run  # in a mixture on the line

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
        beyond = (normal_tail((m - a) / s) + normal_tail((b - m) / s) for m, s, a, b in ends)
        return min(math.fsum(beyond), 1.0)

    def _component(self, log_weight: float = 0.0) -> list[float]:
        """The row that stands for this Normal in a kernel's record."""
        entries = self.whitening[np.tril_indices(self.ndim)]
        return [log_weight + self._log_factor, *self.mean.tolist(), *entries.tolist()]

    def _parameters(self) -> FamilyParameters:
        """The arguments of `_run`, in one dimension."""
        return FamilyParameters(*self._component())

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


@formula(MultivariateNormal, MultivariateNormal)
def _from_normal(p: MultivariateNormal, q: MultivariateNormal) -> float:
    return multivariate_normal_kl(p.mean, p.cov, q.mean, q.cov)


def multivariate_normal_kl(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    """KL(p, q) in nats between two Normals in D dimensions.

    It is the sum of phi(e)/2 over the eigenvalues e of L**-1 (cov_p - cov_q) L**-T, L L**T = cov_q, and of
    |L**-1 (mean_p - mean_q)|**2 / 2. The factors of both covariances would lose the digits of their difference.

    Parameters
    ----------
    mean_p, mean_q : array_like, shape (D,)
    cov_p, cov_q : array_like, shape (D, D)
        Symmetric and positive definite.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a covariance is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastkl.families.multivariate_normal import multivariate_normal_kl
    >>> multivariate_normal_kl([0, 0], np.eye(2), [1, 1], np.eye(2))
    1.0
    """
    from scipy.linalg import solve_triangular

    p, q = np.asarray(cov_p, dtype=float), np.asarray(cov_q, dtype=float)
    p_factor, q_factor = np.linalg.cholesky(p), np.linalg.cholesky(q)
    z = solve_triangular(q_factor, np.asarray(mean_p, dtype=float) - np.asarray(mean_q, dtype=float), lower=True)
    excess = solve_triangular(q_factor, solve_triangular(q_factor, p - q, lower=True).T, lower=True)
    eigenvalues = np.linalg.eigvalsh(excess)
    if np.abs(eigenvalues).max() <= SIMILAR:
        spread = phi(eigenvalues).sum()
    else:  # an eigenvalue near -1 would have no digits in log(1 + e)
        relative = solve_triangular(q_factor, p_factor, lower=True)
        m = np.diag(relative)
        spread = np.sum((m - 1.0) * (m + 1.0) - 2.0 * np.log(m)) + np.sum(np.tril(relative, -1) ** 2)
    return float(0.5 * spread + 0.5 * (z @ z))
