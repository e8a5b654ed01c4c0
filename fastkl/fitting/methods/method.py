"""The interface of a method: a reading of p and options in, the ends of a search out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastkl.fitting.point import Point
from fastkl.fitting.reading import Reading
from fastkl.validation import Floats


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


Method = Callable[[Reading, Options], Search]
