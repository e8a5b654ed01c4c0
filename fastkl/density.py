"""The base class of densities: all that they offer to the rest of the package."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastkl.grids import Grid
from fastkl.kernels.density import log_density_at
from fastkl.kernels.records import Evaluation
from fastkl.validation import Floats, as_reals, with_article


class Bump(NamedTuple):
    """A place of a density, its width and the scale on which it changes there: one number of each for every axis."""

    place: Floats
    reach: Floats
    """Width of the bump in the direction of each axis, such as its standard deviation."""
    scale: Floats
    """Width of the bump on a line parallel to each axis: less than `reach` in a correlated density."""


class Density(ABC):
    """A probability density on the line, or in `ndim` dimensions.

    A subclass states its log-density once, as functions and numbers for the kernels (:meth:`evaluation`).
    """

    log_normalizer: float = 0.0
    """Logarithm of the integral of the density as it was given; 0 if it was normalised."""

    _is_normal: bool = False
    """Whether the density is a Normal or a mixture of Normals."""

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return 1

    def logpdf(self, x: ArrayLike) -> Any:
        """The log-density in nats at `x`.

        Parameters
        ----------
        x : array_like, shape (...) in one dimension, else (..., ndim)

        Returns
        -------
        float or ndarray
            The log-density, in the shape of `x`, without its last axis if there is more than one dimension.

        Raises
        ------
        ValueError
            If the last axis of `x` is not of length `ndim`.
        """
        points = as_points(x, self.ndim)
        flat = np.ascontiguousarray(points.reshape(-1, self.ndim))
        out = np.empty(len(flat))
        log_density_at(out.size, self._evaluation().by_logs(), flat, out)
        out[np.isnan(flat).any(axis=1)] = np.nan
        return out.reshape(points.shape[:-1])[()]

    def pdf(self, x: ArrayLike) -> Any:
        """The density at `x`, in the shape of `logpdf`."""
        return np.exp(self.logpdf(x))

    @property
    @abstractmethod
    def mean(self) -> Any:
        """The mean: a float, or an array of shape (ndim,)."""

    @property
    def std(self) -> float:
        """The standard deviation, in one dimension."""
        raise TypeError(f"{self._named()} of {self.ndim} dimensions has a covariance, cov")

    @abstractmethod
    def mass_outside(self, grid: Grid) -> float | None:
        """The probability outside the box of `grid`; None if only a sum over the grid can tell."""

    @abstractmethod
    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        """The functions and numbers by which kernels evaluate the density on `grid`, or anywhere."""

    @property
    def support(self) -> tuple[float, float]:
        """The interval outside of which the density is 0, in one dimension."""
        return -math.inf, math.inf

    def _named(self) -> str:
        """The kind of density, as messages name it."""
        return with_article(type(self).__name__)

    @property
    def _kinks(self) -> Sequence[float]:
        """Points at which the density is not smooth, in one dimension."""
        return ()

    @property
    def _landmarks(self) -> Sequence[tuple[float, float]]:
        """Place and width of each bump, in one dimension."""
        return [(float(bump.place[0]), float(bump.reach[0])) for bump in self._bumps()]

    def _bumps(self) -> Sequence[Bump]:
        """Bumps that show where the density is, and on which scales it changes; none if that is not known."""
        return ()


def as_points(x: ArrayLike, ndim: int) -> Floats:
    """*x* as an array of shape (..., ndim)."""
    points = as_reals(x, "x")
    if ndim == 1:
        return points[..., np.newaxis]
    if points.ndim == 0 or points.shape[-1] != ndim:
        raise ValueError(f"points of {ndim} dimensions need an array of shape (..., {ndim}), got {points.shape}")
    return points
