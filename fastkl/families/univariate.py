"""The base classes of the families of densities on the line, and the words in which a family declares itself.

A family is one file: its log-density as kernels evaluate it, its scores for fits, and a class with

- its parameters, as fields that are `real` or `positive`;
- `_coordinates`, in which a fit moves, and `_held`, parameters that a fit leaves alone;
- its support, moments, mode and tails;
- a start of a fit from moments, and where a member is and on what scale it changes;
- if it is an exponential family, its sufficient statistics (`Exponential`);
- its divergences that have a formula, with the decorator `formula`.

The checks of parameters, names, steps and derivatives of a fit, the command, tests, benchmarks and tables of the
documentation follow from that and from the line of the family in `fastkl.families.table`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar, dataclass_transform

import numpy as np

from fastkl.density import Bump, Density
from fastkl.grids import Grid
from fastkl.jit import Implementation
from fastkl.kernels.records import Evaluation, evaluation
from fastkl.kernels.runs import on_runs
from fastkl.validation import Floats, as_real

SMALLEST_POSITIVE = 2.0**-1022
"""Smallest positive parameter: the inverse of a smaller number may not be finite."""

FAR = 45.0
"""Distance from the place of a density with exponential tails, in scales, at which it is below 3e-20."""

ENDS_TOO_EARLY = 1e-7
"""Share of its end by which a fitted density may end before p, because Newton's steps end at a gradient of gtol."""

LINE = (-math.inf, math.inf)
HALF_LINE = (0.0, math.inf)
UNIT_INTERVAL = (0.0, 1.0)


def real(*, default: Any = dataclasses.MISSING) -> Any:
    """A parameter that may be any finite number."""
    return dataclasses.field(default=default)


def positive(*, default: Any = dataclasses.MISSING) -> Any:
    """A parameter that is positive."""
    return dataclasses.field(default=default, metadata={"positive": True})


F = TypeVar("F", bound="type[Univariate]")


@dataclass_transform(frozen_default=True, field_specifiers=(real, positive))
def family(kind: F) -> F:
    """The class decorator of a family: a frozen dataclass of the parameters that it declares."""
    made: Any = dataclasses.dataclass(frozen=True)(kind)
    made._fields = tuple((field.name, "positive" in field.metadata) for field in dataclasses.fields(made))
    return made  # type: ignore[no-any-return]


def one(q: Any) -> float:
    """The unit of a coordinate that needs none."""
    return 1.0


class Coordinate(NamedTuple):
    """A coordinate in which a fit moves: a parameter or its logarithm, in a unit in which a step of 1 is large."""

    parameter: str
    log: bool = False
    unit: Callable[[Any], Any] = one
    """The unit at a member q."""

    @property
    def name(self) -> str:
        """The name of what moves: the parameter, or its logarithm."""
        return f"log({self.parameter})" if self.log else self.parameter


LOCATION_SCALE: tuple[Coordinate, ...] = (Coordinate("loc", unit=lambda q: q.scale), Coordinate("scale", log=True))
"""Coordinates of loc, in units of the scale, and of the logarithm of the scale."""


class FamilyParameters(NamedTuple):
    """The arguments of a family's log-density in a kernel, after x."""

    factor: float
    loc: float
    inverse_scale: float
    first: float = 0.0
    second: float = 0.0


class Univariate(Density):
    """A density of a family on the line."""

    _log_density: ClassVar[Callable[..., Any]]
    """Log-density in a kernel: a function of x and of `_parameters`."""
    _run: ClassVar[Implementation]
    """Log-density on a run of points, which follows from `_log_density`."""
    _scores: ClassVar[Implementation]
    """Log-density with its first and second derivatives with respect to the coordinates, for fits.

    Its rows (`fastkl.kernels.scores.SCORES`): log q, the scores, and the upper triangle of their derivatives.
    """
    _scores_of_held: ClassVar[Mapping[str, Implementation]] = MappingProxyType({})
    """The scores for a parameter that the user holds, by its name."""
    _coordinates: ClassVar[tuple[Coordinate, ...]]
    _held: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """Values of the parameters that a fit does not move."""
    _common_support: ClassVar[tuple[float, float]] = LINE
    """Interval on which every member that a fit may reach is positive, or else the support of its limit."""
    _is_regular_at_ends: ClassVar[bool] = False
    """Whether every member is finite and positive at the finite ends of `_common_support`."""
    _is_zero_at_ends: ClassVar[bool] = False
    """Whether every member is 0 at the finite ends of `_common_support`."""
    _window: ClassVar[float] = math.inf
    """Distance from its place, in scales, beyond which a member is negligible."""
    _has_kink: ClassVar[bool] = False
    _fields: ClassVar[tuple[tuple[str, bool], ...]]
    """The name of each parameter, and whether it is positive."""
    _forward_fit: ClassVar[str] = "Newton steps"
    """Method of a forward fit, or what it takes of p, for the documentation."""
    _scipy_name: ClassVar[str]
    """Name of the distribution in `scipy.stats`, which has parameters of the same names."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_log_density" in cls.__dict__:
            cls._run = on_runs(cls._name(), cls._log_density)

    @classmethod
    def _name(cls) -> str:
        """The name of the family: that of the class, in lower case with underscores."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __post_init__(self) -> None:
        for name, is_positive in self._fields:
            value = as_real(getattr(self, name), name)
            if is_positive and value <= 0.0:
                raise ValueError(f"{name} must be > 0, got {value!r}")
            if is_positive and value < SMALLEST_POSITIVE:
                raise ValueError(
                    f"{name} must be at least {SMALLEST_POSITIVE}, so that its inverse is finite, got {value!r}"
                )
            object.__setattr__(self, name, value)

    @classmethod
    def _unchecked(cls, parameters: Mapping[str, Any]) -> Any:
        """A member whose parameters are not checked, and may be arrays, with a number for each of several members."""
        member = object.__new__(cls)
        vars(member).update(parameters)
        return member

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
        """The arguments of `_log_density`."""

    @property
    @abstractmethod
    def _landmark(self) -> tuple[float, float]:
        """A place where much of the density is, and the scale on which it changes there."""

    @abstractmethod
    def _mass_below(self, x: float) -> float:
        """The probability of less than x, with all digits even if it is small."""

    @abstractmethod
    def _mass_above(self, x: float) -> float:
        """The probability of more than x, with all digits even if it is small."""

    @classmethod
    @abstractmethod
    def _of_moments(cls, mean: float, variance: float, **held: float) -> dict[str, float] | None:
        """The parameters of a member with about these moments, the variance positive; None if there is none."""

    @abstractmethod
    def _score_parameters(self) -> Sequence[float]:
        """The parameters that `_scores` takes, and the statistics of an exponential family."""

    @abstractmethod
    def _place_and_scale(self) -> tuple[Any, Any]:
        """A place such as the mean or the median, and the scale on which the density changes; arrays for several."""

    def _end(self) -> Any:
        """The upper end of the support, or an array for several members, if it moves with the parameters; else inf."""
        return math.inf

    def _reaching(self, upper: float) -> Univariate:
        """The member itself, or one that ends at *upper* if rounding alone keeps it from there."""
        return self

    def _mirrored(self) -> Univariate | None:
        """The density of 1 - x, in the coordinates of this one backwards, for a family on [0, 1]; None for others."""
        return None

    def _derivatives_in_cells(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats] | None:
        """The first and second derivatives of log-masses in cells, if means of scores do not give them; else None."""
        return None

    def _limit(self, in_cells: bool) -> str:
        """Message about a member at which the family ends, as far as a fit can tell; empty for any other member.

        *in_cells* says whether the fit counts members by their masses in cells.
        """
        return ""

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        return evaluation(self._run, [self._parameters()])

    def _bumps(self) -> Sequence[Bump]:
        place, width = (np.array([number]) for number in self._landmark)
        return (Bump(place, width, width),)

    def _mass_beyond(self, lower: float, upper: float) -> float:
        """The probability outside [lower, upper]."""
        return self._mass_below(lower) + self._mass_above(upper)

    def mass_outside(self, grid: Grid) -> float:
        return self._mass_beyond(*grid._line.reach)

    def to_scipy(self) -> Any:
        """The frozen distribution of `scipy.stats`, which has ``rvs``, ``cdf`` and ``ppf``."""
        from scipy import stats

        return getattr(stats, self._scipy_name)(**dataclasses.asdict(self))  # type: ignore[call-overload]


class LocationScale(Univariate):
    """A density of (x - loc)/scale, with these two parameters."""

    loc: float
    scale: float

    _coordinates = LOCATION_SCALE

    def _parameters(self) -> FamilyParameters:
        return FamilyParameters(-math.log(self.scale), self.loc, 1.0 / self.scale)

    def _score_parameters(self) -> Sequence[float]:
        return self._parameters()[:3]

    def _place_and_scale(self) -> tuple[Any, Any]:
        return self.loc, self.scale


class Symmetric(LocationScale):
    """A density that is symmetric about `loc`, where it has its mode."""

    @property
    def mean(self) -> float:
        return self.loc

    @property
    def mode(self) -> float:
        return self.loc

    @property
    def _landmark(self) -> tuple[float, float]:
        return self.loc, self.scale

    @abstractmethod
    def _tail(self, z: float) -> float:
        """The probability of more than loc + z * scale, for z >= 0."""

    def _beyond(self, z: float) -> float:
        return self._tail(z) if z >= 0.0 else 1.0 - self._tail(-z)

    def _mass_below(self, x: float) -> float:
        return self._beyond((self.loc - x) / self.scale)

    def _mass_above(self, x: float) -> float:
        return self._beyond((x - self.loc) / self.scale)


class Exponential(Univariate):
    """A density of an exponential family: all that counts of p in a forward fit is the means of two statistics."""

    _statistics: ClassVar[Implementation]
    """Statistics as a kernel computes them, relative to a member: they keep their digits if that is near the fit."""

    @abstractmethod
    def _absolute(self, means: Floats) -> Floats:
        """The means of the statistics relative to this member, in a form that serves any other member."""

    @abstractmethod
    def _expected(self, statistics: Floats) -> tuple[float, Floats, Floats]:
        """The means of log q, of the scores and of their derivatives, from what `_absolute` returns."""


Formula = Callable[[Any, Any], float | None]

FORMULAS: dict[tuple[type[Density], type[Density]], Formula] = {}
"""Formula for KL(p||q) in nats, by the types of p and q; None from a formula that does not serve the pair."""


def formula(p: type[Density], q: type[Density]) -> Callable[[Formula], Formula]:
    """The decorator of a function of p and q that is the formula for KL(p||q)."""

    def register(function: Formula) -> Formula:
        FORMULAS[p, q] = function
        return function

    return register
