"""Sums over a grid: a divergence, the masses of both densities inside and outside, and their zeros and poles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastkl.densities import Density, Tabulated
from fastkl.densities.values import log_values
from fastkl.grids import Grid
from fastkl.jit import SMALL_POINTS
from fastkl.kernels.integrals import (
    DIVERGENCE,
    MASS_P,
    MASS_Q,
    SKIPPED,
    kl_integral,
    kl_integral_of_bounded,
    kl_integral_of_logs,
    kl_integral_of_values,
)
from fastkl.measures import divergence_of_sums
from fastkl.validation import Floats

LEFT_OUT = 2.0**-64
"""Largest amount that all skipped points together could add to a sum: far below an ulp of a probability."""

SMALL_MASS = 1e-3
"""Mass of a density on the grid below which no point is skipped: skipped points might be all that there is."""

LARGEST = math.log(np.finfo(np.float64).max)
"""Logarithm of the largest double."""

POINTS_AT_ONCE = 2**16
"""Number of log-densities that a search for a node holds in memory."""


class NoMassError(ValueError):
    """Error for a density that is 0, or too small for a double, at every node of a grid."""


class Integral(NamedTuple):
    """A divergence on a grid, and the sums of the two densities over it."""

    divergence: float
    mass_a: float
    mass_b: float
    skipped: int
    """Number of points whose terms were bounded and left out."""


def integrate(a: Density, b: Density, grid: Grid, *, stride: int = 1) -> Integral:
    """KL(a||b) on every *stride*-th node of *grid*, as :func:`fastkl.kl_divergence` defines it.

    With P, Q, D and S the sums of a, b, b - a and a log(a/b) - a + b, the divergence of the normalised
    densities is S/P - phi(D/P), phi(u) = u - log(1 + u). If the second part would cancel much of the
    first, a second pass with b scaled by P/Q leaves S/P alone.
    """
    count, nodes = grid._count(stride), grid._record(stride)
    tables = [d for d in (a, b) if isinstance(d, Tabulated) and d.grid == grid]

    limit = LEFT_OUT / grid.volume

    def sums(log_factor: float) -> Floats:
        if len(tables) == 2:
            flat = [table.values.reshape(-1) for table in tables]
            if all(table._has_plain_values for table in tables):
                return kl_integral_of_values.total(count, *flat, 0.0, math.exp(log_factor), nodes)
            if all(table.log and table.floor is None for table in tables):
                to_a, to_b = (-table.log_normalizer for table in tables)
                return kl_integral_of_logs.total(count, *flat, to_a, to_b + log_factor, nodes)
        p, q = a._evaluation(grid), b._evaluation(grid)
        work = p.work + q.work
        if limit > 0.0 and count > SMALL_POINTS and p.others and q.others:
            both = p.by_all(), q.by_all()
            return kl_integral_of_bounded.total(count, *both, log_factor, limit, nodes, work=work)
        return kl_integral.total(count, p.by_logs(), q.by_logs(), log_factor, nodes, work=work)

    found = sums(0.0)
    if found[SKIPPED] and min(found[MASS_P], found[MASS_Q]) < SMALL_MASS:
        limit = 0.0
        found = sums(0.0)
    whole = integral_of_sums(a, b, grid, found)
    if whole is None:
        mass_a, mass_b = found[[MASS_P, MASS_Q]].tolist()
        again = sums(math.log(mass_a) - math.log(mass_b))
        divergence = float(again[DIVERGENCE]) / mass_a + _lost(a, b, mass_a, mass_b)
        whole = Integral(divergence, mass_a, mass_b, int(again[SKIPPED]))
    return whole


def integral_of_sums(a: Density, b: Density, grid: Grid, sums: Floats) -> Integral | None:
    """The integral from the sums of a kernel; None if b has to be scaled to the mass of a first."""
    total, mass_a, mass_b, surplus, skipped = sums.tolist()
    if not (math.isfinite(mass_a) and math.isfinite(mass_b)):
        refuse_poles(grid, a, b)
    for density, mass in ((a, mass_a), (b, mass_b)):
        require_mass(density, grid, mass)
    divergence, has_lost_digits = divergence_of_sums(total, mass_a, surplus)
    if has_lost_digits:
        return None
    return Integral(divergence + _lost(a, b, mass_a, mass_b), mass_a, mass_b, int(skipped))


def _lost(a: Density, b: Density, mass_a: float, mass_b: float) -> float:
    """The term of a divergence for unequal masses: log(A/B) if the grid holds more of a (A) than of b (B), else 0."""
    return max(log_mass_inside(a, mass_a) - log_mass_inside(b, mass_b), 0.0)


def require_mass(density: Density, grid: Grid, mass: float) -> None:
    """Refuse a density whose sum over the grid is 0."""
    if not mass > 0.0:
        box = " x ".join(f"[{axis.lower!r}, {axis.upper!r}]" for axis in grid._parts)
        raise NoMassError(f"{density!r} has no mass on the grid {box}: its sum is {mass!r}")


def refuse_poles(grid: Grid, *densities: Density) -> None:
    """Refuse densities of which one is infinite at a node, or above the largest double; the error names both."""
    for density in densities:
        for start, logs in _log_densities(grid, density):
            if (logs[0] > LARGEST).any():
                at = int(np.argmax(logs[0] > LARGEST))
                x = ", ".join(map(repr, grid.point(start + at)))
                if logs[0][at] == np.inf:
                    raise ValueError(
                        f"{density!r} is infinite at the node x = {x}: take cells (Grid.from_edges) or panels "
                        "(Grid.gauss_legendre), whose nodes lie inside"
                    )
                raise ValueError(
                    f"{density!r} is above the largest double at x = {x}, so that no sum has all of it: give grid= "
                    "with nodes further from there, and look at the mass outside"
                )


def mass_outside(density: Density, grid: Grid, summed: float) -> float:
    """The probability outside the grid, from the formula or else from the sum over the grid."""
    outside = density.mass_outside(grid)
    return max(1.0 - summed, 0.0) if outside is None else outside


def log_mass_inside(density: Density, summed: float) -> float:
    """The logarithm of the probability inside the grid as a divergence counts it: at most 0."""
    return density._log_mass if isinstance(density, Tabulated) else math.log(min(1.0, summed))


def first_infinite(p: Density, q: Density, grid: Grid) -> tuple[float, ...] | None:
    """The first point of the grid where q = 0 < p; None if there is none."""
    for start, (log_p, log_q) in _log_densities(grid, p, q):
        infinite = (log_p > -np.inf) & (log_q == -np.inf)
        if infinite.any():
            return grid.point(start + int(np.argmax(infinite)))
    return None


def first_zero(p: Density, grid: Grid, support: tuple[float, float]) -> tuple[float, ...] | None:
    """The first point of the grid where p = 0, on the line between the ends of *support*; None if there is none."""
    for start, (log_p,) in _log_densities(grid, p):
        zero = log_p == -np.inf
        if grid.ndim == 1:
            x = grid.points(np.arange(start, start + zero.size))
            zero &= (x > support[0]) & (x < support[1])
        if zero.any():
            return grid.point(start + int(np.argmax(zero)))
    return None


def _log_densities(grid: Grid, *densities: Density) -> Iterator[tuple[int, list[Floats]]]:
    """The log-densities at the nodes, a limited number at a time, each run with the number of its first node."""
    for start in range(0, grid.size, POINTS_AT_ONCE):
        stop = min(start + POINTS_AT_ONCE, grid.size)
        yield start, [log_values(density, grid, start, stop) for density in densities]
