"""The automatic choice of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastkl.grids.axis import Axis
from fastkl.grids.grid import Grid
from fastkl.grids.panels import ORDER, Landmarked, panels

TAIL_EXPONENT_SHARE = 2.0
"""Power of rtol to which a Normal has fallen at the ends, where z**2 = -4 log(rtol): its KL integrand is far below."""

STEPS_PER_SCALE = {1: 32, 2: 12, 3: 8}
FEWEST_STEPS_PER_SCALE = 6
"""Number of steps in the smallest scale, by the number of axes.

A single Normal needs 2 for 15 digits. The logarithm of a mixture has branch points near the real axis between
its modes, and resolving those takes more; the farther apart the modes are, the nearer the points come to the axis, but
the less they weigh: with 12 steps e**-36 at most, with 8 steps e**-27 for components of one scale.
"""

MOST_POINTS = {1: 1_000_000}
"""Largest number of points of a chosen grid, by the number of axes."""
MOST_POINTS_OF_MORE_AXES = 200_000_000
"""Largest number of points of a chosen grid of more axes than `MOST_POINTS` lists."""


class Covered(Landmarked, Protocol):
    """A density for which a grid can be chosen."""

    _is_normal: bool

    @property
    def ndim(self) -> int: ...
    def _bumps(self) -> Sequence[Any]: ...
    def _named(self) -> str: ...


def cover(p: Covered, q: Covered | None, rtol: float) -> Grid:
    """A grid that covers p and q, see :meth:`Grid.cover`."""
    if not 0.0 < rtol < 1.0:
        raise ValueError(f"rtol must lie between 0 and 1, got {rtol!r}")
    densities = [density for density in (p, q) if density is not None]
    for density in densities:
        if not getattr(density, "_bumps", tuple)():
            name = density._named() if hasattr(density, "_named") else type(density).__name__
            raise TypeError(f"a grid cannot be chosen automatically for {name}; give grid=")
    if len({density.ndim for density in densities}) > 1:
        raise ValueError(f"p and q must have as many dimensions, got {[density.ndim for density in densities]}")
    if not all(density._is_normal for density in densities):
        return _of_panels(p, q, rtol)
    bumps = [bump for density in densities for bump in density._bumps()]
    reach = math.sqrt(-2.0 * TAIL_EXPONENT_SHARE * math.log(rtol))
    lower = np.min([b.place - reach * b.reach for b in bumps], axis=0)
    upper = np.max([b.place + reach * b.reach for b in bumps], axis=0)
    smallest = np.min([b.scale for b in bumps], axis=0)
    steps = STEPS_PER_SCALE.get(p.ndim, FEWEST_STEPS_PER_SCALE)
    n = [math.ceil(steps * (high - low) / s) | 1 for low, high, s in zip(lower, upper, smallest, strict=True)]
    most = MOST_POINTS.get(p.ndim, MOST_POINTS_OF_MORE_AXES)
    if math.prod(n) > most:
        if p.ndim == 1:
            return _of_panels(p, q, rtol)
        box = " x ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(lower, upper, strict=True))
        raise ValueError(
            f"covering {box} at a smallest scale of {', '.join(f'{s:.6g}' for s in smallest)} would take "
            f"{math.prod(n)} points, more than {most}; choose a grid yourself"
        )
    return Grid.uniform(lower, upper, n)


def _of_panels(p: Covered, q: Covered | None, rtol: float) -> Grid:
    found = panels(p, q, rtol=rtol)
    return Grid((Axis.gauss_legendre(found.edges, ORDER, found.tails),))
