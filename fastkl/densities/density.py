"""What every density offers to the rest of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.grids import Grid
from fastkl.kernels.records import DensityRecord

if TYPE_CHECKING:
    from fastkl.densities.normal import Normal


class Density(ABC):
    """A probability density on the line.

    A subclass says what its log-density is twice: in NumPy, for the user (:meth:`logpdf`), and as a
    record, for the kernels (:meth:`record`).
    """

    log_normalizer: float = 0.0
    """The logarithm of the integral that the density was given with; 0 where it was normalised."""

    @abstractmethod
    def logpdf(self, x: ArrayLike) -> Any:
        """The log-density in nats at `x`, in the shape of `x`."""

    def pdf(self, x: ArrayLike) -> Any:
        """The density at `x`, in the shape of `x`."""
        return np.exp(self.logpdf(x))

    @property
    @abstractmethod
    def mean(self) -> float:
        """The mean."""

    @property
    @abstractmethod
    def std(self) -> float:
        """The standard deviation."""

    @abstractmethod
    def mass_outside(self, grid: Grid) -> float | None:
        """The probability outside the interval of `grid`; None where only a sum over the grid can tell."""

    @abstractmethod
    def record(self, grid: Grid) -> DensityRecord:
        """What the kernels need to evaluate the density on `grid`."""

    def normals(self) -> Sequence[Normal]:
        """The Normals that the density is made of."""
        raise TypeError(f"a grid for a {type(self).__name__} cannot be chosen automatically; give grid=")
