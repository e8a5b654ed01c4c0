"""Estimates of the error of a divergence on a grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.densities import Density, Histogram, Tabulated
from fastkl.densities.histogram import InCells
from fastkl.grids import Axis, Grid
from fastkl.grids.axis import MIN_POINTS
from fastkl.integrals.quadrature import LEFT_OUT, Integral, NoMassError, integrate, log_mass_inside

SAFETY = 4.0
"""Factor that covers 99.9 % of the problems of `bench.coverage`, which fix all numbers here that are not derived."""

STRIDE_POWER, ORDER_POWER = 3.0, 0.5
"""Exponents e in `before * (before/u)**e`, see `quadrature_error`. For an error exp(-c n), theory gives e = 3 if nodes
are halved and quartered, and e = 1 for 3/4 and 1/2 of them; for panels the calibration asks for 1/2."""

ENOUGH = 2**17
"""Number of points from which the error on a much larger grid is estimated, if it is then below `FINE_ENOUGH`."""

FINE_ENOUGH = 1e-9
"""Error, relative to the divergence, below which an estimate from few of the points is taken."""

FEWER = 8
"""Factor by which the stride falls until an estimate is below `FINE_ENOUGH`."""

IRREGULAR_SAFETY, IRREGULAR_GAIN = 6.0, 8.0
"""Factor on the differences of an irregular rule, and divisor of the earlier one: halving the steps gains about 4, give
or take chance, and the gain from the earlier to the last difference may be chance."""

KINK, SLOPE = 0.75, 1e-3
"""KINK: error of a kink, in units of step**2 * jump of the slope (1/8 is the maximum for the trapezoid rule; 3/4 covers
every rule). SLOPE: step for the one-sided slopes, in node distances."""

BEYOND = 2.0
"""Mean of log(p/q) beyond the ends of the grid, in units of its largest size at the ends and a scale further out."""

OF_TAIL = 10.0
"""Mass beyond an end, in units of the density there times the distance from the centre: 1/df for a StudentT."""

ROUNDING = 4.0 * 2.0**-52
"""Relative error of a density, a few ulp of a logarithm of about 1."""

MASS_ROUNDING = 16.0 * 2.0**-52
"""Largest error of a sum that should be 1, for weights that are themselves off by a few ulp."""


def too_coarse(density: Density, grid: Grid) -> str:
    """Warning about a grid whose step is above the scale of a bump of *density* on it; empty if there is none."""
    for bump in density._bumps():
        places = bump.place.tolist()
        if not all(axis.lower <= x <= axis.upper for axis, x in zip(grid._parts, places, strict=True)):
            continue
        for axis, x, scale in zip(grid._parts, places, bump.scale.tolist(), strict=True):
            step = axis.step_near(x)
            if step > scale:
                where = f"{density._named()} of scale {scale:.6g} at {x:.6g}"
                return (
                    f"the grid is too coarse for {where}: its step is {step:.6g} there, and the error cannot be known"
                )
    return ""


def estimate(p: Density, q: Density, grid: Grid, whole: Integral, outside: float) -> float:
    """Estimate that is meant to be above the error of *whole*, in nats; *outside* is the mass of p outside the grid."""
    if by_cells(p, q, grid):
        return _rounding(whole)
    truncation = _truncation(p, q, grid, outside, whole)
    masses = _of_masses(p, q, whole)
    return quadrature_error(p, q, grid, whole) + truncation + masses + _skipped(whole)


def quadrature_error(a: Density, b: Density, grid: Grid, whole: Integral) -> float:
    """Error from the sums of two coarser rules: 1/2 and 1/4 of the nodes of each axis, or 3/4 and 1/2 of a panel's.

    Let `last` be the difference of the whole sum and the first of them, `before` that of the two coarser sums, and
    r = last/before. For smooth densities the error falls like exp(-c n), and the next difference is about last r, or
    even less. But r may be small by chance: the error of the trapezoid rule has the sign of cos(2 pi x/h), x the offset
    of a bump from the nodes. So the estimate relies on the root of r only, which is also enough for kinks and cut tails
    (r = 1/4, error = last/3), and is not below `before * (before/u)**e` either, u the divergence, at most 1, and e
    the exponent of `STRIDE_POWER, ORDER_POWER`. Kinks, rounding and unequal masses add their own parts.
    """
    if by_cells(a, b, grid):
        return _rounding(whole)
    least = _kinks(a, b, grid) + _rounding(whole) + _mass_gap(a, b, grid, whole)
    coarse = _coarser_panels(grid) if not any(isinstance(d, Tabulated) for d in (a, b)) else None
    if coarse:
        return least + _from_coarser(a, b, whole, [(other, 1) for other in coarse], ORDER_POWER)
    stride = 2 ** int(math.log2(max(grid.size / ENOUGH, 1.0)) / grid.ndim)
    while stride > 2:  # if there are far more points than enough, a few may do, or some more
        found = _from_coarser(a, b, whole, [(grid, stride), (grid, 2 * stride)], STRIDE_POWER)
        if found <= FINE_ENOUGH * whole.divergence:
            return least + found
        stride //= FEWER
    return least + _from_coarser(a, b, whole, [(grid, 2), (grid, 4)], STRIDE_POWER)


def by_cells(a: Density, b: Density, grid: Grid) -> bool:
    """Whether two densities are compared by their masses in the cells of a histogram, so that no rule is at work."""
    return all(isinstance(d, Histogram | InCells) and d.grid == grid for d in (a, b))


def _from_coarser(a: Density, b: Density, whole: Integral, rules: list[tuple[Grid, int]], power: float) -> float:
    """Error from the sums of two coarser rules, each a grid and a stride; *power* is the exponent e of `before`."""
    grid, stride = rules[0]
    if stride > 1 and grid._count(stride) == grid.size:  # the same sum again would show nothing
        return math.inf
    try:
        first, second = (integrate(a, b, own, stride=every) for own, every in rules)
    except NoMassError:  # a density lies between the nodes that are left
        return math.inf
    return float(_from_differences(grid, whole.divergence, first.divergence, second.divergence, power))


def _from_differences(grid: Grid, whole: Any, first: Any, second: Any, power: float) -> Any:
    """Error of a divergence from those by two coarser rules; of numbers, or of arrays of the same shape."""
    last, before = np.abs(np.subtract(whole, first)), np.abs(np.subtract(first, second))
    if any(axis.is_irregular for axis in grid._parts):
        return IRREGULAR_SAFETY * np.maximum(last, before / IRREGULAR_GAIN)
    unit = np.minimum(whole, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        falls = np.logical_and(last < before, not _hides_its_error(grid))
        gain = np.sqrt(np.where(falls, last / before, 1.0))
        fallen = np.where(before < unit, before / unit, 1.0) ** power
        return SAFETY * np.maximum(last * gain, before * fallen)


def error_of_tables(
    grid: Grid, divergence: Any, first: Any, second: Any, summed: Any, outside: Any, *, forward: bool
) -> Any:
    """Error of divergences between tables and smooth densities q on the line, as `quadrature_error` has it.

    Parameters
    ----------
    grid : Grid
    divergence : array_like
    first, second : array_like
        The divergences by every second and by every fourth node; inf if a density lies between them.
    summed, outside : array_like
        The sums of q over the nodes, and its masses outside the grid.
    forward : bool
        Whether the divergences are those of the tables from q, else those of q from the tables.
    """
    with np.errstate(invalid="ignore"):
        found = np.where(
            np.isinf(first) | np.isinf(second), np.inf, _from_differences(grid, divergence, first, second, STRIDE_POWER)
        )
        gap = -np.log1p(-np.minimum(outside, 1.0)) if forward else np.zeros(())
        counts = (np.asarray(summed) > 1.0 + MASS_ROUNDING) & (gap > MASS_ROUNDING)
        return found + ROUNDING * (divergence + np.sqrt(divergence)) + np.where(counts, gap, 0.0)


def _mass_gap(a: Density, b: Density, grid: Grid, whole: Integral) -> float:
    """Difference of two values of the term for unequal masses, max(log(A/B), 0): from the sums, and from the formulas.

    It is 0 if no sum is above 1: then none is cut down to 1, and the term is consistent with the rest.
    """
    if grid.ndim > 1 or max(whole.mass_a, whole.mass_b) <= 1.0 + MASS_ROUNDING:
        return 0.0
    counted = [log_mass_inside(d, summed) for d, summed in ((a, whole.mass_a), (b, whole.mass_b))]
    known = [_log_mass(d, grid, sum_) for d, sum_ in zip((a, b), counted, strict=True)]
    gap = abs(max(counted[0] - counted[1], 0.0) - max(known[0] - known[1], 0.0))
    return gap if gap > MASS_ROUNDING else 0.0


def _log_mass(density: Density, grid: Grid, counted: float) -> float:
    outside = None if isinstance(density, Tabulated) else density.mass_outside(grid)
    return counted if outside is None or not outside < 1.0 else math.log1p(-outside)


def _kinks(p: Density, q: Density, grid: Grid) -> float:
    """Error from kinks between the nodes.

    If the slope of the term jumps by J between two nodes h apart, the trapezoid rule is off by up to h**2 J/8; the
    coarser sums see that only by chance, as it depends on where the kink lies between the nodes.
    """
    if grid.ndim > 1:
        return 0.0
    axis, total = grid._line, 0.0
    for x in {*p._kinks, *q._kinks}:
        if not axis.lower < x < axis.upper or x in axis.edges:
            continue
        h = axis.step_near(x)
        around = x + SLOPE * h * np.array([-1.0, 0.0, 1.0])
        log_p, log_q = p.logpdf(around), q.logpdf(around)
        if np.isfinite(log_p).all() and np.isfinite(log_q).all():
            term = np.exp(log_p) * (log_p - log_q) - np.exp(log_p) + np.exp(log_q)
            total += KINK * h * float(abs(term[2] - 2.0 * term[1] + term[0])) / SLOPE
    return total


def _coarser_panels(grid: Grid) -> tuple[Grid, Grid] | None:
    """Gauss-Legendre rules of 3/4 and 1/2 of the order, sharper than a rule on a part of its nodes; None if too few."""
    orders = [axis.n // (axis.edges.size - 1) if axis.rule == "gauss-legendre" else 0 for axis in grid._parts]
    fewest = [order // 2 * (axis.edges.size - 1) for order, axis in zip(orders, grid._parts, strict=True)]
    if min(orders) < 4 or min(fewest) < MIN_POINTS:
        return None
    with_orders = list(zip(grid._parts, orders, strict=True))
    return (
        Grid(tuple(Axis.gauss_legendre(axis.edges, 3 * order // 4, axis.tails) for axis, order in with_orders)),
        Grid(tuple(Axis.gauss_legendre(axis.edges, order // 2, axis.tails) for axis, order in with_orders)),
    )


def _hides_its_error(grid: Grid) -> bool:
    """Whether the coarser sums do not show how fast the error falls.

    With several panels the difference may come from smooth ones, and the error from panels at the end of a support.
    If every second node makes an even number of nodes, Simpson's rule cannot take them, and the difference is the
    error of the trapezoid rule.
    """
    return any(axis.edges.size > 2 for axis in grid._parts if axis.rule == "gauss-legendre") or any(
        axis.rule == "simpson" and axis.count(2) % 2 == 0 for axis in grid._parts
    )


def _truncation(p: Density, q: Density, grid: Grid, outside: float, whole: Integral) -> float:
    """Error from the parts of the densities beyond the ends of the grid; 0 for a table, which ends there.

    With A and B the masses inside, the divergence inside is A (KL of the normalised densities + log(A/B)), of which the
    sum leaves out the factor A and, if B > A, the logarithm. Beyond the ends p log(p/q) integrates to (1 - A) times the
    mean of its logarithm there.
    """
    bumps = p._bumps()
    if outside == 0.0 or isinstance(p, Tabulated):
        return 0.0
    gained = log_mass_inside(q, whole.mass_b) - log_mass_inside(p, whole.mass_a)
    most = -math.log1p(-outside) if outside < 1.0 else math.inf  # log(B/A), as B <= 1; more is rounding
    there = 0.0
    if bumps:
        centre = np.mean([bump.place for bump in bumps], axis=0)
        reach = np.max([bump.reach for bump in bumps], axis=0)
        faces = [
            np.where(np.arange(grid.ndim) == d, end, centre)
            for d, axis in enumerate(grid._parts)
            for further in (0.0, float(reach[d]))
            for end, factor in zip((axis.lower - further, axis.upper + further), axis.tails, strict=True)
            if factor == 1.0  # otherwise the sum counts the parts beyond
        ]
        points = np.array(faces).reshape(-1, grid.ndim)
        if grid.ndim == 1:  # a density may be infinite at the end of its support
            points = points[(points > p.support[0]) & (points < p.support[1])]
        logs_p, logs_q = p.logpdf(points), q.logpdf(points)
        if outside <= MASS_ROUNDING and grid.ndim == 1 and p.mass_outside(grid) is None:  # the rounding of a sum
            far = np.abs(points - centre)
            outside = min(outside, OF_TAIL * float((np.exp(logs_p) * far).max(initial=0.0)))
        known = np.isfinite(logs_p) & np.isfinite(logs_q)
        there = float(np.abs(logs_p[known] - logs_q[known]).max(initial=0.0))
    return outside * (whole.divergence + BEYOND * there) + min(max(gained, 0.0), most)


def _rounding(whole: Integral) -> float:
    """Error from rounding: densities that are off by a few ulp move a divergence by a few ulp of it and of its root."""
    return ROUNDING * (whole.divergence + math.sqrt(whole.divergence))


def _of_masses(p: Density, q: Density, whole: Integral) -> float:
    """Error of the term log(A/B): rounding if it was added, and the part that min(1, sum) hides if sums are above 1."""
    added = max(log_mass_inside(p, whole.mass_a) - log_mass_inside(q, whole.mass_b), 0.0)
    hidden = math.log(whole.mass_a / whole.mass_b) - added
    tables = isinstance(p, Tabulated) or isinstance(q, Tabulated)
    return min(added, MASS_ROUNDING) + (hidden if hidden > MASS_ROUNDING and not tables else 0.0)


def _skipped(whole: Integral) -> float:
    return LEFT_OUT if whole.skipped else 0.0
