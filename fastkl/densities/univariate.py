"""The base class of the families of densities on the line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastkl.densities.density import Bump, Density
from fastkl.grids import Grid
from fastkl.kernels.records import Evaluation, evaluation
from fastkl.kernels.univariate import FAMILIES as KERNELS
from fastkl.validation import as_real

SMALLEST_POSITIVE = 2.0**-1022
"""Smallest positive parameter: the inverse of a smaller number may not be finite."""


class FamilyParameters(NamedTuple):
    """The arguments of a function of `fastkl.kernels.families`, after x."""

    factor: float
    loc: float
    inverse_scale: float
    first: float = 0.0
    second: float = 0.0


class Univariate(Density):
    """A density of a family on the line; every parameter but `loc` is positive."""

    _log_density: ClassVar[Callable[..., Any]]
    """Log-density in a kernel, a function of x and of :meth:`parameters`."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = as_real(getattr(self, field.name), field.name)
            if field.name != "loc" and value <= 0.0:
                raise ValueError(f"{field.name} must be > 0, got {value!r}")
            if field.name != "loc" and value < SMALLEST_POSITIVE:
                raise ValueError(
                    f"{field.name} must be at least {SMALLEST_POSITIVE}, so that its inverse is finite, got {value!r}"
                )
            object.__setattr__(self, field.name, value)

    @property
    @abstractmethod
    def std(self) -> float:
        """The standard deviation."""

    @property
    @abstractmethod
    def mode(self) -> float:
        """The place at which the log-density is largest."""

    @abstractmethod
    def _parameters(self) -> FamilyParameters:
        """The arguments of `log_density`."""

    @property
    @abstractmethod
    def _landmark(self) -> tuple[float, float]:
        """A place where much of the density is, and the scale on which it changes there."""

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        return evaluation(KERNELS[self._log_density.__name__], [self._parameters()])

    def _bumps(self) -> Sequence[Bump]:
        place, width = (np.array([number]) for number in self._landmark)
        return (Bump(place, width, width),)

    @abstractmethod
    def _mass_below(self, x: float) -> float:
        """The probability of less than x, with all digits even if it is small."""

    @abstractmethod
    def _mass_above(self, x: float) -> float:
        """The probability of more than x, with all digits even if it is small."""

    def _mass_beyond(self, lower: float, upper: float) -> float:
        """The probability outside [lower, upper]."""
        return self._mass_below(lower) + self._mass_above(upper)

    def mass_outside(self, grid: Grid) -> float:
        return self._mass_beyond(grid._line.lower, grid._line.upper)

    @abstractmethod
    def to_scipy(self) -> Any:
        """The frozen distribution of `scipy.stats`, which has ``rvs``, ``cdf`` and ``ppf``."""
