"""Measures of rows of every sort: by the fast sums for most, after scaling for some, and by definition for few."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.operands import Operands
from fastkl.arrays.ranges import SCALED_MASS_EXPONENT
from fastkl.arrays.rows import CHUNK
from fastkl.kernels.terms import LARGEST_MASS, LEAST_MASS
from fastkl.validation import Floats

ALIKE = 20
"""Largest difference of two masses' exponents for which p and q are multiplied by the same power of two."""


class Measured(NamedTuple):
    """Results of the fast sums for rows."""

    value: Floats
    settled: NDArray[np.bool_]
    """Whether the value of each row can be trusted."""
    masses: tuple[Floats, ...]
    """The sums of p and of q."""
    needs_q: bool = False
    """Whether every q counts, however small it is, since its logarithm is taken."""


Measure = Callable[[Operands], Measured]
Definition = Callable[[Operands], Floats]


def are_ordinary(*masses: Floats) -> NDArray[np.bool_]:
    """Whether all masses of a row are in the range of numbers that the short terms take."""
    least, largest = masses[0], masses[-1]
    if len(masses) > 1:
        least, largest = np.minimum(*masses), np.maximum(*masses)
    return (least > LEAST_MASS) & (largest < LARGEST_MASS)


def settle(given: Operands, measure: Measure, definition: Definition, found: Measured | None = None) -> Floats:
    """The measure of every row; *found* is the result of the fast sums, if already known."""
    if math.prod(given.arrays[0].shape[given.kept :]) == 0:
        return np.zeros(given.arrays[0].shape[: given.kept])
    found = found or measure(given)
    if found.settled.all():
        return found.value
    value, open_rows = np.array(found.value), ~found.settled
    if given.any_left is not None:
        value[~given.any_left] = 0.0
        open_rows &= given.any_left
    if found.masses:
        hopeless = open_rows & np.logical_or.reduce([np.isnan(mass) for mass in found.masses])
        value[hopeless] = np.nan
        open_rows &= ~hopeless
    for rows in batches(given, open_rows):
        part = given.select(rows)
        masses = tuple(np.asarray(mass[rows]) for mass in found.masses)
        value[rows] = _beyond_the_range(part, measure, definition, masses)
    return value


def _beyond_the_range(part: Operands, measure: Measure, definition: Definition, masses: tuple[Floats, ...]) -> Floats:
    """The measure of rows after scaling them by powers of two, or by the definition if that does not help."""
    if part.log or not masses:
        return definition(part)
    sizes = [
        np.where(np.isinf(mass), part.peaks(i), mass) if np.isinf(mass).any() else mass for i, mass in enumerate(masses)
    ]
    usable = np.logical_and.reduce([np.isfinite(size) & (size > 0.0) for size in sizes])
    if not usable.any():
        return definition(part)
    exponents = [SCALED_MASS_EXPONENT - np.frexp(np.where(usable, size, 1.0))[1] for size in sizes]
    # p and q with masses that are alike are scaled alike
    exponents[-1] = np.where(np.abs(exponents[0] - exponents[-1]) <= ALIKE, exponents[0], exponents[-1])
    scaled = part.scaled(*exponents)
    found = measure(scaled)
    value, open_rows = np.array(found.value), ~(found.settled & usable)
    if len(masses) == 2 and found.needs_q and (exponents[-1] < 0).any():
        open_rows |= scaled.underflows()
    for rows in batches(part, open_rows):
        value[rows] = definition(part.select(rows))
    return value


def batches(given: Operands, which: NDArray[np.bool_]) -> Iterator[tuple[Any, ...]]:
    """Indices of the rows that *which* marks, for a limited number of numbers at a time; one long row gives a view."""
    size = math.prod(given.arrays[0].shape[given.kept :])
    if which.size and which.all() and (which.size == 1 or which.size * size <= CHUNK):
        yield ()
        return
    numbers = np.flatnonzero(which)
    step = max(CHUNK // size, 1)
    for first in range(0, numbers.size, step):
        batch = np.unravel_index(numbers[first : first + step], which.shape)
        yield tuple(int(i[0]) for i in batch) if step == 1 else batch
