"""Densities that another library, or a function of the user's, evaluates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities.mixture import Mixture
from fastkl.densities.tabulated import Tabulated
from fastkl.density import Bump, Density, as_points
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.grids import Grid
from fastkl.jit import report_progress
from fastkl.kernels.records import Evaluation, TableComponent, evaluation
from fastkl.kernels.tables import table_at_nodes
from fastkl.validation import Floats, as_count, as_reals

CHUNK = 2**16
"""Number of points at which the function is evaluated at a time."""

MOST_POINTS = 2**30
"""Largest number of values of an evaluated density that are kept: 8 GiB."""

QUARTILES = 0.25, 0.5, 0.75
"""Probabilities whose quantiles show the place and the width of a frozen distribution."""

LogDensity = Callable[[Floats], Any]


class Evaluated(Density):
    """A density that is evaluated by a function from outside; made by `as_density`.

    The density is tabulated on a grid, a chunk of points at a time, and the table kept until another grid is used.
    """

    def __init__(self, function: LogDensity, source: Any, *, log: bool, ndim: int) -> None:
        self.source = source
        self._function = function
        self._log = log
        self._ndim = ndim
        self._known: tuple[Grid, Floats] | None = None

    @property
    def ndim(self) -> int:
        return self._ndim

    def logpdf(self, x: ArrayLike) -> Any:
        points = as_points(x, self.ndim)
        flat = points.reshape(-1, self.ndim)
        return self._evaluate(flat[:, 0] if self.ndim == 1 else flat).reshape(points.shape[:-1])[()]

    @property
    def mean(self) -> Any:
        if not hasattr(self.source, "dist"):
            raise TypeError(f"the mean of {self!r} is not known; a Tabulated has one")
        return self.source.mean() if callable(self.source.mean) else self.source.mean

    @property
    def std(self) -> float:
        """The standard deviation of a frozen distribution of one dimension."""
        if not hasattr(self.source, "std"):
            raise TypeError(f"the standard deviation of {self!r} is not known; a Tabulated has one")
        return float(self.source.std())

    @property
    def support(self) -> tuple[float, float]:
        lower, upper = self.source.support() if hasattr(self.source, "support") else (-math.inf, math.inf)
        return float(lower), float(upper)

    def _bumps(self) -> Sequence[Bump]:
        """The bump of a frozen distribution: its median, and the distance of its quartiles."""
        if self.ndim > 1 or not hasattr(self.source, "ppf"):
            return ()
        lower, middle, upper = (float(x) for x in self.source.ppf(QUARTILES))
        width = np.array([upper - lower])
        return (Bump(np.array([middle]), width, width),)

    def mass_outside(self, grid: Grid) -> None:
        return None

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        if grid is None:
            raise TypeError(f"{self!r} is evaluated on a grid")
        if self._known is None or self._known[0] != grid:
            self._known = grid, self._tabulate(grid)
        return evaluation(table_at_nodes, [TableComponent(0.0, 1.0, -math.inf)], values=self._known[1])

    def __repr__(self) -> str:
        return f"as_density({self.source!r})"

    def _tabulate(self, grid: Grid) -> Floats:
        if grid.size > MOST_POINTS:
            raise ValueError(f"{self!r} would have to be evaluated at {grid.size} points, more than {MOST_POINTS}")
        logs = np.empty(grid.size)
        for run, points in grid.chunk(CHUNK):
            logs[run] = self._evaluate(points)
            report_progress(run.stop, grid.size)
        return logs

    def _evaluate(self, points: Floats) -> Floats:
        with np.errstate(all="ignore"):  # a function of the user's may take the logarithm of 0
            values = as_reals(self._function(points), f"what {self.source!r} gives")
        if values.shape != (len(points),):
            raise ValueError(f"{self.source!r} gave an array of shape {values.shape} for {len(points)} points")
        if not self._log:
            bad = ~(values >= 0.0) | np.isinf(values)
            if not bad.any():
                with np.errstate(divide="ignore"):
                    return np.log(values)
            what = "a density must be >= 0 and finite"
        else:
            bad = np.isnan(values) | (values == np.inf)
            if not bad.any():
                return values
            what = "a log-density must be below inf and not NaN"
        at = int(np.argmax(bad))
        place = ", ".join(map(repr, np.atleast_1d(points[at]).tolist()))
        raise ValueError(f"{what}, but {self.source!r} gave {values[at]} at x = {place}")


def as_density(obj: Any, *, log: bool = False, ndim: int = 1) -> Density:
    """A density of another library, or a function, as a `Density`.

    Parameters
    ----------
    obj : object
        A frozen distribution of `scipy.stats`; a fitted ``sklearn.mixture.GaussianMixture``, which becomes a
        `Mixture`; a `scipy.stats.gaussian_kde`; any object with a vectorised ``logpdf`` or ``pdf``; or a
        vectorised function of points of shape (n,), in more dimensions (n, ndim), that returns n numbers. It has to
        be normalised: the amount that its sum over a grid lacks of 1 counts as mass outside. `Tabulated` normalises.
    log : bool, default False
        Whether a function returns log-densities.
    ndim : int, default 1
        The number of dimensions, if `obj` does not state it.

    Returns
    -------
    Density
        The density, evaluated on a grid in chunks when it is used; an 8-byte number is then kept for each point.

    Raises
    ------
    TypeError
        If `obj` is none of these, or `ndim` is not a whole number. Later, a ValueError names the point where a
        function returns NaN or a negative density, or the shape if it is not one number for each point.

    Examples
    --------
    >>> import fastkl
    >>> from scipy import stats
    >>> grid = fastkl.Grid.uniform(-9, 9, 401)
    >>> p = fastkl.as_density(stats.norm(1, 1))
    >>> round(fastkl.kl_divergence(p, fastkl.Normal(0, 1), grid), 12)
    0.5
    """
    if isinstance(obj, Density):
        return obj
    if hasattr(getattr(obj, "dist", obj), "_hbins"):  # a scipy.stats.rv_histogram, which has no public name for them
        return Tabulated.from_histogram(obj)
    if hasattr(obj, "freeze"):
        raise TypeError(f"{obj!r} has parameters: give a frozen one, such as scipy.stats.norm(0, 1)")
    if hasattr(obj, "score_samples") and not hasattr(obj, "means_"):
        raise TypeError(f"{obj!r} is not fitted, or not a GaussianMixture; fit it first")
    if isinstance(obj, np.ndarray | list | tuple):
        raise TypeError("numbers are no density: values go into Tabulated, observations into Tabulated.from_samples")
    if hasattr(obj, "score_samples") and hasattr(obj, "means_") and hasattr(obj, "covariances_"):
        return _of_gaussian_mixture(obj)
    if hasattr(obj, "dataset") and hasattr(obj, "logpdf"):  # a gaussian_kde takes points as columns
        return Evaluated(lambda x: obj.logpdf(x.T), obj, log=True, ndim=int(obj.d))
    ndim = as_count(getattr(obj, "dim", ndim), "ndim")
    if ndim < 1:
        raise ValueError(f"a density has at least 1 dimension, got ndim={ndim!r}")
    if callable(getattr(obj, "logpdf", None)):
        return Evaluated(lambda x: np.reshape(obj.logpdf(x), len(x)), obj, log=True, ndim=ndim)
    if callable(getattr(obj, "pdf", None)):
        return Evaluated(obj.pdf, obj, log=False, ndim=ndim)
    if callable(obj):
        return Evaluated(obj, obj, log=log, ndim=ndim)
    raise TypeError(f"a density has logpdf or pdf, or is a function; got {obj!r}")


def _of_gaussian_mixture(fitted: Any) -> Mixture:
    """The mixture with the components of a GaussianMixture of scikit-learn, whatever its type of covariance.

    If it was fitted in single precision, covariances are symmetric and weights sum to 1 in single precision only.
    """
    means = np.asarray(fitted.means_)
    count, D = means.shape
    given = np.asarray(fitted.covariances_, dtype=np.float64)
    if fitted.covariance_type == "tied":
        covariances = np.broadcast_to(given, (count, D, D))
    elif fitted.covariance_type == "full":
        covariances = given
    else:  # variances: one for each axis, or one for all
        covariances = given.reshape(count, -1, 1) * np.eye(D)
    covariances = 0.5 * (covariances + covariances.transpose(0, 2, 1))
    weights = np.asarray(fitted.weights_, dtype=np.float64)
    weights = weights / weights.sum()
    if D == 1:
        parts = [Normal(m[0], math.sqrt(c[0, 0])) for m, c in zip(means, covariances, strict=True)]
        return Mixture(parts, weights)
    return Mixture([MultivariateNormal(m, c) for m, c in zip(means, covariances, strict=True)], weights)
