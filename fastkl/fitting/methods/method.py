"""The interface of a method: a reading of p and options in, the ends of a search out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastkl.fitting.point import Point
from fastkl.fitting.reading import Reading
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.fitting.certificate import Evidence


class Options(NamedTuple):
    """Arguments of a fit that a method looks at."""

    starts: Sequence[Floats]
    """States from which runs begin, beside those that the method finds."""
    gtol: float
    max_passes: int


class Search(NamedTuple):
    """The outcome of a method."""

    reading: Reading
    """The reading of p on the last grid, which may have been chosen anew."""
    ends: list[Point]


class Found(NamedTuple):
    """The outcome of a road from a reading to the evidence for a fit."""

    ends: list[Point]
    seen: Evidence
    points: int
    """Number of points at which densities were evaluated."""
    log_normalizer: float


Method = Callable[[Reading, Options], Search]
