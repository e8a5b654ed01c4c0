"""Densities that another library, or a function of the user's, evaluates."""

from __future__ import annotations

import functools
import io
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities.mixture import Mixture
from fastkl.densities.tabulated import Tabulated
from fastkl.densities.values import hint_for_negative
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
"""Probabilities whose quantiles show the place and the width of a distribution."""

BANDWIDTHS = 4.0
"""Distance, in bandwidths, within which one landmark stands for all observations of a kernel estimate."""

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
        given = getattr(self.source, "mean", None)
        if given is None or not (self._is_distribution or hasattr(self.source, "dist")):
            raise TypeError(f"the mean of {self!r} is not known; a Tabulated has one")
        return given() if callable(given) else given

    @property
    def std(self) -> float:
        """The standard deviation of a distribution of one dimension."""
        given = getattr(self.source, "std", None) or getattr(self.source, "standard_deviation", None)
        if given is None or self.ndim > 1:
            raise TypeError(f"the standard deviation of {self!r} is not known; a Tabulated has one")
        return float(given())

    @property
    def support(self) -> tuple[float, float]:
        lower, upper = self.source.support() if hasattr(self.source, "support") else (-math.inf, math.inf)
        return float(lower), float(upper)

    @property
    def _kinks(self) -> Sequence[float]:
        """The ends of the supports of a mixture's components."""
        ends = {float(x) for part in self._parts for x in part.support() if math.isfinite(x)}
        return tuple(sorted(ends - set(self.support)))

    def _bumps(self) -> Sequence[Bump]:
        """The bumps of a distribution: the median of each component, and the distance of its quartiles."""
        bumps = []
        for part in self._parts:
            lower, middle, upper = (float(x) for x in _quantile(part)(np.array(QUARTILES)))
            width = np.array([upper - lower])
            bumps.append(Bump(np.array([middle]), width, width))
        return tuple(bumps)

    @property
    def _is_distribution(self) -> bool:
        """Whether the source knows its quantiles, or is a mixture of such."""
        return self.ndim == 1 and hasattr(self.source, "support") and _quantile(self.source) is not None

    @property
    def _parts(self) -> Sequence[Any]:
        """The components of a mixture, or the source itself; none if its quantiles are not known."""
        return getattr(self.source, "components", (self.source,)) if self._is_distribution else ()

    def _named(self) -> str:
        return repr(self)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_known": None}  # the table can be large, and is made again
        if not _is_new(type(self.source)):
            return state
        buffer = io.BytesIO()
        _Pickler(buffer).dump(state)
        return {"pickled": buffer.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(pickle.loads(state["pickled"]) if "pickled" in state else state)

    def mass_outside(self, grid: Grid) -> None:
        return None

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        if grid is None:
            raise TypeError(f"{self!r} is evaluated on a grid")
        if self._known is None or self._known[0] != grid:
            self._known = grid, self._tabulate(grid)
        return evaluation(table_at_nodes, [TableComponent(0.0, 1.0, -math.inf)], values=self._known[1])

    def __repr__(self) -> str:
        return f"as_density({_text(self.source)})"

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
            values = as_reals(self._function(points), f"what {_text(self.source)} gives")
        if values.shape != (len(points),):
            raise ValueError(f"{_text(self.source)} gave an array of shape {values.shape} for {len(points)} points")
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
        hint = (
            hint_for_negative(values, "values")
            if values[at] < 0.0 and not self._log and np.isfinite(values).all()
            else ""
        )
        place = ", ".join(map(repr, np.atleast_1d(points[at]).tolist()))
        raise ValueError(f"{what}, but {_text(self.source)} gave {values[at]} at x = {place}{hint}")


class _Pickler(pickle.Pickler):
    """A pickler of SciPy's new distributions: with pickle alone, a Normal(mu=2) comes back as a standard Normal.

    Its class makes a standard Normal where it is called without arguments, as pickle does.
    """

    def reducer_override(self, obj: Any) -> Any:
        return (object.__new__, (type(obj),), obj.__getstate__()) if _is_new(type(obj)) else NotImplemented


def _is_new(kind: type[Any]) -> bool:
    """Whether a class is that of one of SciPy's new distributions."""
    return any(base.__name__ == "_ProbabilityDistribution" for base in kind.__mro__)


class KernelEstimate(Evaluated):
    """A `scipy.stats.gaussian_kde`: a Normal at each of its observations."""

    def __init__(self, source: Any) -> None:
        super().__init__(functools.partial(_of_columns, source), source, log=True, ndim=int(source.d))

    @property
    def mean(self) -> Any:
        mean = self.source.dataset @ self.source.weights
        return float(mean[0]) if self.ndim == 1 else mean

    @property
    def std(self) -> float:
        return math.sqrt(self.cov) if self.ndim == 1 else super().std

    @property
    def cov(self) -> Any:
        """The covariance; in one dimension the variance, a float."""
        offset = (self.source.dataset.T - self.mean).T
        cov = (offset * self.source.weights) @ offset.T + self.source.covariance
        return float(cov[0, 0]) if self.ndim == 1 else cov

    @functools.cached_property
    def _places(self) -> Sequence[Bump]:
        """A bump for each stretch of a few bandwidths in which there are observations."""
        width = np.sqrt(np.diag(self.source.covariance))
        stretches = np.unique(np.round(self.source.dataset[0] / (BANDWIDTHS * width[0])))
        return tuple(Bump(np.array([k * BANDWIDTHS * width[0]]), width, width) for k in stretches.tolist())

    def _bumps(self) -> Sequence[Bump]:
        return self._places if self.ndim == 1 else ()


def _of_columns(source: Any, x: Floats) -> Any:
    """The log-density of a gaussian_kde, which takes points as columns."""
    return source.logpdf(x.T)


def _of_rows(source: Any, x: Floats) -> Any:
    """The log-density of a distribution, one number for each point."""
    return np.reshape(source.logpdf(x), len(x))


class OneTurn:
    """A frozen `scipy.stats.vonmises`, whose density SciPy repeats all along the line, on one turn around its `loc`."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.dist, self.ppf, self.std = source.dist, source.ppf, source.std
        names = [*(source.dist.shapes or "").replace(",", " ").split(), "loc", "scale"]
        given = {"loc": 0.0, "scale": 1.0} | dict(zip(names, source.args, strict=False)) | source.kwds
        self.loc, self.half = float(given["loc"]), math.pi * float(given["scale"])

    def support(self) -> tuple[float, float]:
        """The ends of the turn."""
        return self.loc - self.half, self.loc + self.half

    def mean(self) -> float:
        """The mean on the turn."""
        return self.loc

    def logpdf(self, x: Floats) -> Floats:
        """The log-density, -inf off the turn."""
        return np.where(np.abs(x - self.loc) <= self.half, self.source.logpdf(x), -np.inf)


def _quantile(source: Any) -> Any:
    """The function of quantiles of a distribution; None if there is none."""
    return getattr(source, "ppf", None) or getattr(source, "icdf", None)


def _text(source: Any) -> str:
    """Text for an object of another library, short if it is one of SciPy's."""
    if isinstance(source, OneTurn):
        return _text(source.source)
    if hasattr(source, "dist") and hasattr(source, "kwds") and hasattr(source.dist, "name"):
        numbers = [*map(str, source.args), *(f"{name}={value}" for name, value in source.kwds.items())]
        return f"{source.dist.name}({', '.join(numbers)})"
    if hasattr(source, "dataset"):
        return f"gaussian_kde of {source.n} observations"
    return " ".join(repr(source).split())


def why_no_density(obj: Any) -> str:
    """Message about an object that is no density of this package: the way to make one of it; empty if there is none."""
    name = type(obj).__name__
    if hasattr(obj, "pmf") and not (hasattr(obj, "pdf") and not _is_discrete(type(obj))):
        return (
            f"{name} is a discrete distribution, which has no density: compare arrays of probabilities with "
            "fastkl.entropy(pk, qk)"
        )
    if hasattr(obj, "freeze"):
        return f"{name} has parameters: give as_density(...) of a frozen one, such as scipy.stats.norm(0, 1)"
    if any(hasattr(obj, known) for known in ("logpdf", "pdf", "score_samples")) or (
        callable(obj) and not isinstance(obj, type)
    ):
        return f"{name} is not a density of fastkl: give as_density(...) of it"
    return ""


def _is_discrete(kind: type[Any]) -> bool:
    """Whether a class of SciPy's new distributions, which have a pmf and a pdf, is one of discrete ones."""
    return any(base.__name__ == "DiscreteDistribution" for base in kind.__mro__)


def as_density(obj: Any, *, log: bool = False, ndim: int = 1) -> Density:
    """A density of another library, or a function, as a `Density`.

    Parameters
    ----------
    obj : object
        A frozen distribution of `scipy.stats`, or one of its new ones, such as ``scipy.stats.Normal(mu=1)``; a
        `scipy.stats.gaussian_kde`; a fitted ``sklearn.mixture.GaussianMixture``, which becomes a `Mixture`; any object
        with a vectorised ``logpdf`` or ``pdf``; or a vectorised function of points of shape (n,), in more dimensions
        (n, ndim), that returns n numbers. It has to be normalised: the amount that its sum over a grid lacks of 1
        counts as mass outside. `Tabulated` normalises. A ``vonmises`` lives on one turn around its ``loc``.
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
        If `obj` is none of these, or a discrete distribution, or `ndim` is not a whole number. Later, a ValueError
        names the point where a function returns NaN or a negative density, or the shape if it is not one number for
        each point.

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
    if hasattr(obj, "pmf") and "discrete" in why_no_density(obj):
        raise TypeError(why_no_density(obj))
    if hasattr(obj, "freeze"):
        raise TypeError(f"{obj!r} has parameters: give a frozen one, such as scipy.stats.norm(0, 1)")
    if hasattr(obj, "score_samples") and not hasattr(obj, "means_"):
        raise TypeError(f"{obj!r} is not fitted, or not a GaussianMixture; fit it first")
    if isinstance(obj, np.ndarray | list | tuple):
        raise TypeError("numbers are no density: values go into Tabulated, observations into Tabulated.from_samples")
    if hasattr(obj, "score_samples") and hasattr(obj, "means_") and hasattr(obj, "covariances_"):
        return _of_gaussian_mixture(obj)
    if hasattr(obj, "dataset") and hasattr(obj, "logpdf"):
        return KernelEstimate(obj)
    if getattr(getattr(obj, "dist", None), "name", None) == "vonmises":
        obj = OneTurn(obj)
    ndim = as_count(getattr(obj, "dim", ndim), "ndim")
    if ndim < 1:
        raise ValueError(f"a density has at least 1 dimension, got ndim={ndim!r}")
    if callable(getattr(obj, "logpdf", None)):
        return Evaluated(functools.partial(_of_rows, obj), obj, log=True, ndim=ndim)
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
