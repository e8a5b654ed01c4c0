"""The fit of a family of densities to p, in either direction."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density
from fastkl.fitting.certificate import Tolerances, complaint, evidence, praise
from fastkl.fitting.methods import Options, Search, solve
from fastkl.fitting.methods.newton import ends_from
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.result import FitResult, Minimum
from fastkl.fitting.scan import is_lower, lower_member
from fastkl.fitting.search import SAME_MINIMUM, add_new
from fastkl.fitting.starts import given_states
from fastkl.fitting.task import task_of
from fastkl.grids import Grid
from fastkl.validation import as_count, as_real

TIE = 1e-12
"""Difference up to which divergences count as equal, so that their minima are ordered by loc."""


def fit(
    p: Density | ArrayLike,
    family: type[Density] | str,
    grid: Grid | None = None,
    *,
    direction: str | None = None,
    log: bool = False,
    covariance_type: str = "full",
    n_components: int | None = None,
    df: float | None = None,
    starts: Iterable[Density | tuple[float, float]] | None = None,
    max_passes: int = 100,
    gtol: float = 1e-9,
    rtol: float | None = None,
    atol: float = 1e-12,
    mass_tol: float | None = None,
) -> FitResult:
    """Find the member q of a family that is closest to p.

    Parameters
    ----------
    p : Density or array_like
        The target; an array holds densities at the nodes of `grid`, or log-densities if `log`, up to a
        constant. A `Tabulated.from_samples` that reaches beyond the support of the family is estimated again on it,
        if all grids are the default ones; ``message`` says so.
    family : type or str
        The class of the family, or its name in lower case with underscores, such as 'student_t': one of the families
        on the line, 'multivariate_normal' or 'mixture'. docs/fits.md lists them.
    grid : Grid, optional
        The grid of the integrals. By default that of a `Tabulated`; for a formula, `Grid.cover` of p and of
        the q with its moments, and then of p and the minima.
    direction : {'forward', 'reverse'}
        Required. 'forward' minimises KL(p||q): q covers all of p. 'reverse' minimises KL(q||p): q avoids places where
        p is 0 and settles on a mode.
    log : bool, default False
        Whether an array `p` holds log-densities.
    covariance_type : {'full', 'diag', 'spherical'}
        Covariance of a 'multivariate_normal': any, one without correlations (mean field), or one variance for all axes.
    n_components : int, optional
        Number of Normals in a 'mixture', which is fitted forward, by expectation maximisation.
    df : float, optional
        Degrees of freedom at which a 'student_t' is held; by default they are fitted.
    starts : iterable of densities or (loc, scale), optional
        Further starting points.
    max_passes : int, default 100
        Largest number of passes over the grid that one run may take.
    gtol : float, default 1e-9
        Largest gradient of a converged fit, in coordinates such as (loc/scale, log(scale)); see
        `FitResult.parameter_names`.
    rtol, atol : float
        Tolerances of the quadrature error: a success has at most ``rtol * divergence + atol``. By default rtol is 1e-6,
        and inf if p is a table or a histogram: the sum over what is known of p is the divergence that is asked for.
    mass_tol : float, optional
        Largest mass outside the grid that a success may have: of q in a reverse fit, of p in a forward one. By default
        1e-6, and 0.1 if p is a table or a histogram, where the q of a reverse fit is q conditioned on their range.

    Returns
    -------
    FitResult
        The fitted density and the evidence for it; in a reverse fit, with every local minimum that was found. A fit
        that fails a check has ``success=False`` and a message that names the check.

    Raises
    ------
    ValueError
        If the direction or the family is unknown, values are bad (see `Tabulated`), the grid reaches beyond the
        support of the family, or p is 0 somewhere on the grid of a reverse fit, which makes every divergence infinite.
    TypeError
        If the direction is missing, or an array comes without a grid.

    Notes
    -----
    A forward fit of an exponential family takes the moments of p, from one pass. Other fits, except that of a mixture,
    take damped Newton steps, each of one pass over the grid; in reverse they start at every mode of p, at the moment
    match of every group of neighbouring modes and at a few other places, on a coarse and then on the whole grid. See
    docs/fits.md.

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
        if tolerance is not None and as_real(tolerance, name) < 0.0:
            raise ValueError(f"{name} must be >= 0, got {tolerance!r}")
    reading = Reading(
        task_of(p, family, grid, direction, log=log, covariance_type=covariance_type, n_components=n_components, df=df)
    )
    tolerances = Tolerances.of(reading.task.target, rtol, atol, mass_tol)
    with np.errstate(all="ignore"):  # of runs that have left the grid, whose numbers are not used
        options = Options(given_states(reading, starts), gtol, max_passes)
        if reading.task.direction == "reverse":
            reading.refuse_zeros()
        search = solve(reading, options)
        best = _best(search.ends)
        lower = None
        if reading.task.direction == "reverse" and not reading.task.chosen:
            search, lower = _scanned(search, best, options, tolerances.mass_tol)
            best = _best(search.ends)
    task, ends = search.reading.task, search.ends
    points = reading.count.points
    found = _minima(ends)
    seen = evidence(search.reading, best, len(ends), tolerances, lower)
    reason = complaint(seen)
    divergence = seen.whole.divergence
    return FitResult(
        q=best.q,
        p=task.target,
        grid=task.grid,
        direction=task.direction,
        divergence=divergence,
        minima=tuple(_minimum(end, divergence if end is best else end.value) for end in found),
        hessian=best.chart.in_parameters(best.state, best.gradient, best.hessian)[1],
        parameter_names=best.chart.parameter_names,
        gradient_norm=best.gradient_norm,
        min_eigenvalue=best.min_eigenvalue,
        log_normalizer=task.target.log_normalizer,
        quadrature_error=seen.quadrature_error,
        mass_outside=seen.outside_q,
        mass_outside_p=seen.outside_p,
        nit=best.nit,
        passes=points / task.grid.size,
        converged=best.outcome is Outcome.CONVERGED,
        success=not reason,
        message="; ".join(filter(None, (reason or praise(seen), task.note))),
        **tolerances._asdict(),
    )


def _minimum(end: Point, divergence: float) -> Minimum:
    return Minimum(end.q, divergence, end.gradient_norm, end.min_eigenvalue)


def _ordered(ends: list[Point]) -> list[Point]:
    """The ends, best first; each run of ends within `TIE` of its first is ordered by place."""
    by_value = sorted(ends, key=lambda end: end.value)
    ordered: list[Point] = []
    while by_value:
        limit = by_value[0].value + TIE
        ties = [end for end in by_value if end.value <= limit]
        ordered += sorted(ties, key=lambda end: tuple(end.chart.places(end.state[np.newaxis])[0]))
        by_value = by_value[len(ties) :]
    return ordered


def _minima(ends: list[Point]) -> list[Point]:
    return _ordered([end for end in ends if end.outcome is Outcome.CONVERGED])


def _best(ends: list[Point]) -> Point:
    """The best minimum, or the end of a run that came lower without converging; an escaped one only if all escaped."""
    lowest = min(ends, key=lambda end: (end.outcome is Outcome.ESCAPED, math.isnan(end.value), end.value))
    minima = _minima(ends)
    if not minima or (lowest.outcome is not Outcome.ESCAPED and is_lower(lowest.value, minima[0].value)):
        return lowest
    return minima[0]


def _scanned(search: Search, best: Point, options: Options, mass_tol: float) -> tuple[Search, Point | None]:
    """The search with a run from a q on the grid that a scan finds below the best end, and that q; None if none."""
    least = math.inf if best.outcome is Outcome.ESCAPED or math.isnan(best.value) else best.value
    lower = lower_member(search.reading, least, mass_tol)
    if lower is None:
        return search, None
    ends = list(search.ends)
    for end in ends_from(search.reading, [lower.state], options):
        add_new(ends, end, SAME_MINIMUM)
    return Search(search.reading, ends), lower
