"""Fit a family of densities to p, in either direction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, get_args

from numpy.typing import ArrayLike

from fastkl.densities import Density, Normal, Tabulated
from fastkl.densities.summary import Summary, summarize
from fastkl.fitting.forward import moment_match
from fastkl.fitting.point import AT_STEP, CONVERGED, ESCAPED, OUT_OF_PASSES, STALLED, Point
from fastkl.fitting.result import Direction, FitResult, Minimum
from fastkl.fitting.reverse import ReverseObjective, ends_of_runs
from fastkl.fitting.starts import Start, starting_points
from fastkl.grids import Grid, as_grid
from fastkl.integrals import common_grid, integrate, mass_inside, mass_outside, require_mass
from fastkl.validation import as_count, as_real

FAMILIES: dict[str, type[Density]] = {"normal": Normal}

DIRECTIONS = "'forward' (min KL(p||q), q covers all of p) or 'reverse' (min KL(q||p), q settles on a mode of p)"

TIE = 1e-12
"""Divergences this close count as equal, and their minima are ordered by loc."""

LOWER = 1e-9
"""A run that has not converged counts as lower than a minimum by this much, relatively."""


def fit(
    p: Density | ArrayLike,
    family: type[Density] | str,
    grid: Grid | None = None,
    *,
    direction: str | None = None,
    log: bool = False,
    starts: Iterable[Start | Normal] | None = None,
    max_passes: int = 100,
    gtol: float = 1e-9,
    rtol: float = 1e-6,
    atol: float = 1e-12,
    mass_tol: float = 1e-6,
) -> FitResult:
    """Find the member q of a family that is closest to p.

    Parameters
    ----------
    p : Density or array_like
        The target; an array holds densities at the nodes of `grid`, or log-densities if `log`, up to a
        constant.
    family : type or str
        `Normal` or ``'normal'``.
    grid : Grid, optional
        Where to integrate. By default the grid of a `Tabulated`; for a formula, `Grid.cover` of p and of
        the Normal with its moments.
    direction : {'forward', 'reverse'}
        Required. 'forward' minimises KL(p||q): q covers all of p. 'reverse' minimises KL(q||p): q avoids where p is
        0 and settles on a mode.
    log : bool, default False
        Whether an array `p` holds log-densities.
    starts : iterable of Normal or (loc, scale), optional
        Further starting points of a reverse fit.
    max_passes : int, default 100
        Passes over the grid that one run of a reverse fit may take.
    gtol : float, default 1e-9
        Largest gradient, in (loc/scale, log(scale)), of a converged fit.
    rtol, atol : float
        A success has a quadrature error of at most ``rtol * divergence + atol``.
    mass_tol : float, default 1e-6
        A success has at most this much mass outside the grid: of q in a reverse fit, of p in a forward one.

    Returns
    -------
    FitResult
        In a reverse fit with every local minimum that was found. A fit that fails a check has
        ``success=False`` and a message that names it.

    Raises
    ------
    ValueError
        If the direction or the family is unknown, values are bad (see `Tabulated`), or p is 0 somewhere on
        the grid of a reverse fit, which makes the divergence infinite for every Normal.
    TypeError
        If the direction is missing, or an array comes without a grid.

    Notes
    -----
    Forward, for an exponential family: the moments of p, in one pass. Reverse: damped Newton steps from
    every mode of p and from the moment match of every group of neighbouring modes, on a coarse and then
    on the whole grid.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> result = fastkl.fit(p, fastkl.Normal, direction="reverse")
    >>> [round(m.divergence, 4) for m in result.minima], result.success
    ([0.6918, 0.6918, 1.1384], True)
    """
    direction = _checked_direction(direction)
    if as_count(max_passes, "max_passes") < 1:
        raise ValueError(f"max_passes must be at least 1, got {max_passes!r}")
    for name, tolerance in (("gtol", gtol), ("rtol", rtol), ("atol", atol), ("mass_tol", mass_tol)):
        if as_real(tolerance, name) < 0.0:
            raise ValueError(f"{name} must be >= 0, got {tolerance!r}")
    target, grid = _prepare(p, family, grid, log)
    summary = summarize(target, grid)
    mass = summary.moments()[0]
    require_mass(target, grid, mass)
    read = grid.size
    if direction == "forward":
        ends = [moment_match(summary, gtol)]
    else:
        _refuse_zeros(target, grid, summary)
        objective = ReverseObjective(target, grid, mass=mass, log_mass_inside=math.log(mass_inside(target, mass)))
        places = [*starting_points(summary), *map(_as_start, () if starts is None else starts)]
        ends = ends_of_runs(objective, places, gtol=gtol, max_passes=max_passes)
        read += objective.points_read
    minima = _ordered([_minimum(end, target, grid, direction) for end in ends if end.status == CONVERGED])
    best = _best(ends, minima[0][0] if minima else None)

    a, b = (target, best.q) if direction == "forward" else (best.q, target)
    whole, half = integrate(a, b, grid), integrate(a, b, grid, stride=2)
    error = abs(whole.divergence - half.divergence)
    outside_q = best.q.mass_outside(grid)
    outside_p = mass_outside(target, grid, whole.mass_a if direction == "forward" else whole.mass_b)
    complaint = _complaint(best, ends, error, rtol * whole.divergence + atol)
    gated, name = (outside_p, "p") if direction == "forward" else (outside_q, "q")
    if not complaint and not gated <= mass_tol:
        complaint = f"{gated:.2g} of {name} lies outside the grid, above mass_tol={mass_tol:g}; take a wider grid"
    return FitResult(
        q=best.q,
        p=target,
        grid=grid,
        direction=direction,
        divergence=whole.divergence,
        minima=tuple(minimum for _, minimum in minima),
        hessian=best.hessian,
        gradient_norm=best.gradient_norm,
        min_eigenvalue=best.min_eigenvalue,
        log_normalizer=target.log_normalizer,
        elbo=target.log_normalizer - whole.divergence if direction == "reverse" else None,
        quadrature_error=error,
        mass_outside=outside_q,
        mass_outside_p=outside_p,
        nit=best.nit,
        passes=read / grid.size + len(minima) + 1.5,
        converged=best.status == CONVERGED,
        success=not complaint,
        message=complaint or "converged; quadrature error and mass outside are within their tolerances",
    )


def _checked_direction(direction: str | None) -> Direction:
    if direction is None:
        raise TypeError(f"fit() needs a direction: {DIRECTIONS}")
    for known in get_args(Direction):
        if direction == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"direction must be {DIRECTIONS}; got {direction!r}")


def _prepare(p: Density | ArrayLike, family: Any, grid: Grid | None, log: bool) -> tuple[Density, Grid]:
    """The target as a density, and the grid to use."""
    if family is not Normal and not (isinstance(family, str) and family in FAMILIES):
        raise ValueError(f"family must be {' or '.join(map(repr, FAMILIES))} or its class, got {family!r}")
    if grid is not None:
        as_grid(grid)
    if isinstance(p, Density):
        if log:
            raise TypeError(f"log=True is for arrays; a {type(p).__name__} knows itself whether it holds logarithms")
        return p, grid or common_grid(p, None if isinstance(p, Tabulated) else Normal(p.mean, p.std))
    if grid is None:
        raise TypeError(
            f"p is not a density but a {type(p).__name__}: values at the nodes of a grid need grid=, "
            "and raw observations go through Tabulated.from_samples"
        )
    return Tabulated(grid, p, log=log), grid


def _refuse_zeros(target: Density, grid: Grid, summary: Summary) -> None:
    if summary.zero_index is not None:
        raise ValueError(
            f"p is 0 at x = {grid.node(summary.zero_index):.6g}, so KL(q||p) is infinite for every Normal q; give p as "
            "log-densities (log=True), which do not underflow, or choose a floor (Tabulated(..., floor=1e-300))"
        )


def _as_start(start: Start | Normal) -> Start:
    if isinstance(start, Normal):
        return start.loc, start.scale
    try:
        loc, scale = start
    except (TypeError, ValueError):
        raise TypeError(f"a start must be a Normal or a pair (loc, scale), got {start!r}") from None
    q = Normal(loc, scale)
    return q.loc, q.scale


def _minimum(end: Point, target: Density, grid: Grid, direction: str) -> tuple[Point, Minimum]:
    a, b = (target, end.q) if direction == "forward" else (end.q, target)
    divergence = integrate(a, b, grid).divergence
    return end, Minimum(end.q, divergence, end.gradient_norm, end.min_eigenvalue)


def _ordered(minima: list[tuple[Point, Minimum]]) -> list[tuple[Point, Minimum]]:
    """Best first; those within TIE of the first of a run of ties by loc."""
    by_value = sorted(minima, key=lambda pair: pair[1].divergence)
    ordered: list[tuple[Point, Minimum]] = []
    while by_value:
        limit = by_value[0][1].divergence + TIE
        ties = [pair for pair in by_value if pair[1].divergence <= limit]
        ordered += sorted(ties, key=lambda pair: pair[1].q.loc)
        by_value = by_value[len(ties) :]
    return ordered


def _best(ends: list[Point], minimum: Point | None) -> Point:
    """The best minimum, unless a run that did not converge has come lower; one that escaped only if all did."""
    lowest = min(ends, key=lambda end: (end.status == ESCAPED, end.value))
    if minimum is None or (
        lowest.status != ESCAPED and lowest.value < minimum.value - LOWER * max(1.0, abs(minimum.value))
    ):
        return lowest
    return minimum


def _complaint(best: Point, ends: list[Point], error: float, allowed: float) -> str:
    if best.status == ESCAPED:
        runs = f"all {len(ends)} runs escaped, with more than half of q outside the grid"
        return f"no minimum on the grid: {runs}; is p still falling at its edge, or flat?"
    if best.status == AT_STEP:
        return f"q has shrunk to the step of the grid, {best.scale:.3g}; take a finer grid"
    if best.status == OUT_OF_PASSES:
        return f"not converged: a gradient of {best.gradient_norm:.2g} after max_passes; raise max_passes"
    if best.status == STALLED:
        return f"not converged: the divergence no longer falls at a gradient of {best.gradient_norm:.2g}, above gtol"
    if not error <= allowed:
        return f"the quadrature error {error:.2g} is above rtol * divergence + atol = {allowed:.2g}; take a finer grid"
    return ""
