"""How far a divergence on a grid can be from the truth."""

from __future__ import annotations

import math

import numpy as np

from fastkl.densities import Density, Tabulated
from fastkl.grids import Grid
from fastkl.integrals.quadrature import LEFT_OUT, Integral, NoMassError, integrate

SAFETY = 4.0
"""Halving the step divides the error by 4 or more for all rules and densities here, 4/3 of the difference at most."""

BEYOND = 2.0
"""log(p/q) goes on growing beyond the ends, while p falls: its mean there is below twice that at the end."""

ROUNDING = 4.0 * 2.0**-52
"""Relative error of a density, a few ulp of a logarithm of about 1."""


def too_coarse(density: Density, grid: Grid) -> str:
    """What to say of a grid whose step is above the scale of a bump of *density* on it, or nothing."""
    for bump in density.bumps():
        places = bump.place.tolist()
        if not all(axis.lower <= x <= axis.upper for axis, x in zip(grid.parts, places, strict=True)):
            continue
        for axis, x, scale in zip(grid.parts, places, bump.scale.tolist(), strict=True):
            step = axis.step_near(x)
            if step > scale:
                where = f"a {type(density).__name__} of scale {scale:.6g} at {x:.6g}"
                return (
                    f"the grid is too coarse for {where}: its step is {step:.6g} there, and the error cannot be known"
                )
    return ""


def estimate(p: Density, q: Density, grid: Grid, whole: Integral, outside: float) -> float:
    """An estimate that is meant to be above the error of *whole*, in nats; *outside* is the mass of p there."""
    truncation = _truncation(p, q, grid, outside, whole.divergence)
    return quadrature_error(p, q, grid, whole) + truncation + _rounding(whole) + _skipped(whole)


def quadrature_error(a: Density, b: Density, grid: Grid, whole: Integral) -> float:
    """From the same sum on every second and every fourth node of each axis.

    Where the error falls by a factor r from each grid to the next, the one of the whole grid is at most r/(1 - r)
    times the last difference. A factor that falls itself, as that of the trapezoid rule for analytic densities does,
    only makes this an estimate from above. Where it does not fall, nothing is known.
    """
    try:
        half, quarter = integrate(a, b, grid, stride=2), integrate(a, b, grid, stride=4)
    except NoMassError:  # a density lies between the nodes that are left
        return math.inf
    last, before = abs(whole.divergence - half.divergence), abs(half.divergence - quarter.divergence)
    if last == 0.0 or before == 0.0:
        return SAFETY * max(last, before)
    return SAFETY * last * min(last / before, 1.0) if last < before else SAFETY * last


def _truncation(p: Density, q: Density, grid: Grid, outside: float, value: float) -> float:
    """What lies beyond the ends.

    With A and B the masses inside, the divergence inside is A (KL of the normalised + log(A/B)), of which the sum
    leaves out the factor A and, where B > A, the logarithm: at most 1 - A of the value and of 1. Beyond the ends
    p log(p/q) integrates to about 1 - A times its logarithm there. A table has nothing there.
    """
    bumps = p.bumps()
    if outside == 0.0 or isinstance(p, Tabulated):
        return 0.0
    largest = 0.0
    if bumps:
        centre = np.mean([bump.place for bump in bumps], axis=0)
        faces = [
            np.where(np.arange(grid.ndim) == d, end, centre)
            for d, axis in enumerate(grid.parts)
            for end in (axis.lower, axis.upper)
        ]
        points = np.array(faces) if grid.ndim > 1 else np.array(faces)[:, 0]
        logs_p, logs_q = p.logpdf(points), q.logpdf(points)
        there = logs_p > -np.inf
        largest = float(np.abs(logs_p[there] - logs_q[there]).max()) if there.any() else 0.0
    return BEYOND * outside * (1.0 + largest + value)


def _rounding(whole: Integral) -> float:
    """Densities are off by a few ulp, which moves a divergence by as much, and by the root of it where it is small."""
    return ROUNDING * (whole.divergence + math.sqrt(whole.divergence))


def _skipped(whole: Integral) -> float:
    return LEFT_OUT if whole.skipped else 0.0
