"""Fit a family of densities to p, in either direction."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.typing import ArrayLike

from fastkl.densities import Density, Normal
from fastkl.fitting.forward import moment_match
from fastkl.fitting.point import AT_STEP, CONVERGED, ESCAPED, OUT_OF_PASSES, STALLED, Point
from fastkl.fitting.problem import Problem, problem_of
from fastkl.fitting.result import FitResult, Minimum
from fastkl.fitting.reverse import ReverseObjective, ends_of_runs
from fastkl.fitting.starts import Start, starting_points
from fastkl.grids import Grid
from fastkl.integrals import mass_outside, quadrature_error, too_coarse
from fastkl.validation import as_count, as_real

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
    if as_count(max_passes, "max_passes") < 1:
        raise ValueError(f"max_passes must be at least 1, got {max_passes!r}")
    for name, tolerance in (("gtol", gtol), ("rtol", rtol), ("atol", atol), ("mass_tol", mass_tol)):
        if as_real(tolerance, name) < 0.0:
            raise ValueError(f"{name} must be >= 0, got {tolerance!r}")
    problem = problem_of(p, family, grid, direction, log)
    further = [_as_start(start) for start in (() if starts is None else starts)]

    ends, read = _solve(problem, further, gtol, max_passes)
    minima = _ordered([(end, _minimum(problem, end)) for end in ends if end.status == CONVERGED])
    best = _best(ends, minima[0][0] if minima else None)

    whole = problem.integral(best.q)
    error = quadrature_error(*problem.order(best.q), problem.grid, whole)
    forward = problem.direction == "forward"
    outside_q = best.q.mass_outside(problem.grid)
    outside_p = mass_outside(problem.target, problem.grid, whole.mass_a if forward else whole.mass_b)
    complaint = _complaint(best, len(ends), error, rtol * whole.divergence + atol)
    complaint = complaint or too_coarse(problem.target, problem.grid)
    gated = outside_p if forward else outside_q
    if not complaint and not gated <= mass_tol:
        name = "p" if forward else "q"
        complaint = f"{gated:.2g} of {name} lies outside the grid, above mass_tol={mass_tol:g}; take a wider grid"
    log_normalizer = problem.target.log_normalizer
    return FitResult(
        q=best.q,
        p=problem.target,
        grid=problem.grid,
        direction=problem.direction,
        divergence=whole.divergence,
        minima=tuple(minimum for _, minimum in minima),
        hessian=best.hessian,
        gradient_norm=best.gradient_norm,
        min_eigenvalue=best.min_eigenvalue,
        log_normalizer=log_normalizer,
        elbo=None if forward else log_normalizer - whole.divergence,
        quadrature_error=error,
        mass_outside=outside_q,
        mass_outside_p=outside_p,
        nit=best.nit,
        passes=read / problem.grid.size + len(minima) + 1.75,
        converged=best.status == CONVERGED,
        success=not complaint,
        message=complaint or "converged; quadrature error and mass outside are within their tolerances",
    )


def _solve(problem: Problem, starts: list[Start], gtol: float, max_passes: int) -> tuple[list[Point], int]:
    """Where the search ends, and how many points of the grid it has read."""
    if problem.direction == "forward":
        return [moment_match(problem.summary, gtol)], problem.grid.size
    problem.refuse_zeros()
    mass = problem.summary.moments()[0]
    objective = ReverseObjective(problem.target, problem.grid, mass=mass, log_mass_inside=problem.log_mass_inside)
    starts = [*starting_points(problem.summary), *starts]
    ends = ends_of_runs(objective, starts, gtol=gtol, max_passes=max_passes)
    return ends, problem.grid.size + objective.points_read


def _as_start(start: Start | Normal) -> Start:
    if isinstance(start, Normal):
        return start.loc, start.scale
    try:
        loc, scale = start
    except (TypeError, ValueError):
        raise TypeError(f"a start must be a Normal or a pair (loc, scale), got {start!r}") from None
    q = Normal(loc, scale)
    return q.loc, q.scale


def _minimum(problem: Problem, end: Point) -> Minimum:
    return Minimum(end.q, problem.integral(end.q).divergence, end.gradient_norm, end.min_eigenvalue)


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


def _complaint(best: Point, runs: int, error: float, allowed: float) -> str:
    """Why the fit is no success, or nothing."""
    if best.status == ESCAPED:
        escape = f"all {runs} runs escaped, with more than half of q outside"
        return f"no minimum on the grid: {escape}; is p still falling at its edge, or flat?"
    if best.status == AT_STEP:
        return f"q has shrunk to the step of the grid, {best.scale:.3g}; take a finer grid"
    if best.status == OUT_OF_PASSES:
        return f"not converged: a gradient of {best.gradient_norm:.2g} after max_passes; raise max_passes"
    if best.status == STALLED:
        return f"not converged: the divergence no longer falls at a gradient of {best.gradient_norm:.2g}, above gtol"
    if not error <= allowed:
        return f"the quadrature error {error:.2g} is above rtol * divergence + atol = {allowed:.2g}; take a finer grid"
    return ""
