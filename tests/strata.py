"""Seeded samples of the plane of (p, q), one generator for each region where an error could hide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Sample = tuple[NDArray[np.float64], NDArray[np.float64]]
LARGEST, SMALLEST = np.finfo(float).max, np.nextafter(0.0, 1.0)


def _random_doubles(rng: np.random.Generator, n: int, lowest: int, highest: int) -> NDArray[np.float64]:
    return np.ldexp(1.0 + rng.random(n), rng.integers(lowest, highest, n))


def any_exponents(rng: np.random.Generator, n: int) -> Sample:
    """Random mantissas and exponents over the whole range of normal numbers."""
    return _random_doubles(rng, n, -1022, 1024), _random_doubles(rng, n, -1022, 1024)


def same_size(rng: np.random.Generator, n: int) -> Sample:
    """Two numbers in [0, 1)."""
    return rng.random(n) + SMALLEST, rng.random(n) + SMALLEST


def neighbours(rng: np.random.Generator, n: int) -> Sample:
    """p within 1e-16 ... 1e-1 of q, relatively."""
    q = _random_doubles(rng, n, -1000, 1000)
    return q * (1.0 + rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-16, -1, n)), q


def branch_edges(rng: np.random.Generator, n: int) -> Sample:
    """Ratios around 2/3, 3/4, 4/3 and 3/2, where the number of factors of 2 changes."""
    q = 1.0 + rng.random(n)
    edge = rng.choice([2 / 3, 3 / 4, 4 / 3, 3 / 2, 2.0, 0.5], n)
    return q * edge * (1.0 + rng.uniform(-1e-2, 1e-2, n)), q


def subnormals(rng: np.random.Generator, n: int) -> Sample:
    """At least one subnormal."""
    p = rng.integers(1, 2**52, n).astype(float) * SMALLEST
    q = np.where(rng.random(n) < 0.5, rng.integers(1, 2**52, n) * SMALLEST, _random_doubles(rng, n, -1022, -900))
    swap = rng.random(n) < 0.5
    return np.where(swap, q, p), np.where(swap, p, q)


def ends_of_range(rng: np.random.Generator, n: int) -> Sample:
    """The largest and smallest doubles against each other and against everything."""
    ends = np.array([SMALLEST, 3 * SMALLEST, 2.0**-1022, 2.0**-1021, 1.0, 2.0**1023, LARGEST])
    other = np.where(rng.random(n) < 0.5, rng.choice(ends, n), _random_doubles(rng, n, -1022, 1024))
    return (rng.choice(ends, n), other) if rng.random() < 0.5 else (other, rng.choice(ends, n))


STRATA: tuple[Callable[[np.random.Generator, int], Sample], ...] = (
    any_exponents,
    same_size,
    neighbours,
    branch_edges,
    subnormals,
    ends_of_range,
)
