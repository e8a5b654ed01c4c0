"""The interface of a method: a problem and options in, the ends of a search out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastkl.fitting.point import Point
from fastkl.fitting.problem import Problem
from fastkl.validation import Floats


class Options(NamedTuple):
    """Arguments of a fit that a method looks at."""

    starts: Sequence[Floats]
    """States from which runs begin, beside those that the method finds."""
    gtol: float
    max_passes: int


class Search(NamedTuple):
    """The outcome of a method."""

    problem: Problem
    """The problem on the last grid, which may have been chosen anew."""
    ends: list[Point]
    points_read: int
    """Points at which densities were evaluated."""


Method = Callable[[Problem, Options], Search]
