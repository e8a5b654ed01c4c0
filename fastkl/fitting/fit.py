"""The fit of a family of densities to p, in either direction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from fastkl.densities import Density
from fastkl.fitting.batch import batch_of, fit_batch
from fastkl.fitting.solution import Settings, solution
from fastkl.grids import Grid
from fastkl.validation import as_count, as_real


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
) -> Any:
    """Find the member q of a family that is closest to p.

    Parameters
    ----------
    p : Density or array_like
        The target; an array holds densities at the nodes of `grid`, or log-densities if `log`, up to a
        constant. A batch, of tables on one axis (an array of shape ``(..., n)``) or of histograms, is fitted row by
        row: see `FitResults`. A `Tabulated.from_samples` that reaches beyond the support of the family is estimated
        again on it, if all grids are the default ones; ``message`` says so.
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
        Further starting points, the same for every row of a batch.
    max_passes : int, default 100
        Largest number of passes over the grid that one run may take.
    gtol : float, default 1e-9
        Largest gradient of a converged fit, in coordinates such as (loc/scale, log(scale)); see
        `FitResult.parameter_names`. Where a place is so far from 0, in scales, that its last place changes the gradient
        by more, that much is allowed too.
    rtol, atol : float
        Tolerances of the quadrature error: a success has at most ``rtol * divergence + atol``. By default rtol is 1e-6,
        and inf if p is a table or a histogram: the sum over what is known of p is the divergence that is asked for.
    mass_tol : float, optional
        Largest mass outside the grid that a success may have: of q in a reverse fit, of p in a forward one. By default
        1e-6, and 0.1 if p is a table or a histogram, where the q of a reverse fit is q conditioned on their range.

    Returns
    -------
    FitResult or FitResults
        The fitted density and the evidence for it; in a reverse fit, with every local minimum that was found. A fit
        that fails a check has ``success=False`` and a message that names the check. For a batch, `FitResults`, in which
        a row that cannot be fitted is NaN, with a status that says why.

    Raises
    ------
    ValueError
        If the direction or the family is unknown, values are bad (see `Tabulated`), the grid reaches beyond the
        support of the family, p is 0 somewhere on the grid of a reverse fit, which makes every divergence infinite, or
        a batch is not on one axis or not on its own grid.
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

    A fit of every row:

    >>> grid = fastkl.Grid.uniform(-8, 8, 301)
    >>> rows = fastkl.Normal(0, 1).pdf(grid.axes[0] - [[-1.0], [0.5], [2.0]])
    >>> results = fastkl.fit(rows, "normal", grid, direction="forward")
    >>> results.q.loc.round(6).tolist(), results.success.all()
    ([-1.0, 0.5, 2.0], np.True_)
    """
    if as_count(max_passes, "max_passes") < 1:
        raise ValueError(f"max_passes must be at least 1, got {max_passes!r}")
    for name, tolerance in (("gtol", gtol), ("rtol", rtol), ("atol", atol), ("mass_tol", mass_tol)):
        if tolerance is not None and as_real(tolerance, name) < 0.0:
            raise ValueError(f"{name} must be >= 0, got {tolerance!r}")
    if isinstance(starts, Density) or not isinstance(starts, Iterable | None):
        raise TypeError(f"starts is a sequence of densities or of pairs (loc, scale), got {starts!r}")
    settings = Settings(
        family=family,
        direction=direction,
        covariance_type=covariance_type,
        n_components=n_components,
        df=df,
        starts=() if starts is None else tuple(starts),
        max_passes=max_passes,
        gtol=gtol,
        rtol=rtol,
        atol=atol,
        mass_tol=mass_tol,
    )
    batch = batch_of(p, grid, log)
    return solution(p, grid, settings, log=log).result() if batch is None else fit_batch(batch, settings)
