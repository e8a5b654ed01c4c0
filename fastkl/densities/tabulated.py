"""Densities that are given by their values on a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.densities.log_linear import LogLinear, draws
from fastkl.densities.moments import moments, moments_of_batch
from fastkl.densities.values import blocks, faults, hint_for_negative
from fastkl.density import Density
from fastkl.grids import Grid, as_grid
from fastkl.kernels.integrals import mass
from fastkl.kernels.records import Evaluation, TableComponent, evaluation
from fastkl.kernels.tables import table_at_nodes, table_between_nodes
from fastkl.validation import Floats, as_count, as_real, as_reals, require_unmasked

if TYPE_CHECKING:
    from fastkl.densities.histogram import Histogram

MODERATE = 200.0
"""Largest size of a moderate log_normalizer: quotients of sums from exp(-200) to exp(200) are within the doubles."""


class Tabulated(Density):
    """A density given by its values at the nodes of a grid, up to a constant; or a batch of them.

    Between the nodes the density is linear in the logarithm, along every axis; off the grid it is 0. The values are not
    copied if they are a float64 array already, so do not write to that array afterwards.

    Parameters
    ----------
    grid : Grid
    values : array_like, shape ``(..., *grid.shape)``
        Densities, or log-densities if `log`. They need not be normalised: the constant is kept as
        ``log_normalizer``. Axes before those of the grid make a batch, which `kl_divergence` and, on one axis, `fit`
        take whole; its values are not copied in single precision either, and two such batches give divergences in
        single precision. A table of a batch that is no density makes results of NaN.
    log : bool, default False
        Whether `values` are log-densities; -inf stands for 0.
    floor : float, optional
        Values below ``floor * max`` are read as ``floor * max``, of a batch with the largest of each table;
        ``n_floored`` counts them. By default nothing is raised.

    Attributes
    ----------
    log_normalizer : float
        Logarithm of the integral of the values as they were given, in nats; 0 for a batch.
    n_floored : int or ndarray
        Number of values below the floor; of a batch, an array of its shape.
    batch_shape : tuple of int
        ``()`` for a single density; ``batch[index]`` is a part of a batch.

    Raises
    ------
    ValueError
        If the shape is not that of the grid, `floor` is not in (0, 1), or, in a single density, a value is NaN,
        infinite or (unless `log`) negative, or all are 0. The message names the value and its place.

    Examples
    --------
    >>> import numpy as np, fastkl
    >>> grid = fastkl.Grid.uniform(-10, 10, 2001)
    >>> p = fastkl.Tabulated(grid, -0.5 * grid.axes[0] ** 2, log=True)
    >>> round(p.log_normalizer, 9), round(p.std, 9)  # log(sqrt(2 pi)), 1
    (0.918938533, 1.0)
    """

    def __init__(self, grid: Grid, values: ArrayLike, *, log: bool = False, floor: float | None = None) -> None:
        if floor is not None and not 0.0 < as_real(floor, "floor") < 1.0:
            raise ValueError(f"floor must lie between 0 and 1, got {floor!r}")
        self.grid = as_grid(grid)
        self.log = bool(log)
        self.floor = floor
        self.values = _checked(values, self.grid, self.log)
        self.batch_shape = self.values.shape[: self.values.ndim - self.grid.ndim]
        self._log_floor = -math.inf
        if self.batch_shape:
            return
        peak = float(self.values.max())
        self._log_peak = peak if self.log else math.log(peak)
        if floor is not None:
            self._log_floor = self._log_peak + math.log(floor)
        self.log_normalizer = self._log_peak  # with the peak scaled to 1 the sum cannot overflow
        p = self._evaluation(self.grid).by_logs()
        self.log_normalizer += math.log(mass.total(self.grid.size, p, self.grid._record())[0])

    @staticmethod
    def from_histogram(
        counts: ArrayLike, edges: Any = None, *, pseudocount: float = 0.0, density: bool = False
    ) -> Histogram:
        """A histogram: a density that is known by its probability in each cell.

        Any other density counts in a cell with its *mass* there. So a forward fit is maximum likelihood of the binned
        observations, wide cells do not bias it, and a divergence, the sum of P log(P/Q), has no quadrature error. Off
        its own cells the density is constant in each cell.

        Parameters
        ----------
        counts : array_like, shape (n,), (n, m) or (n, m, k), or (..., n) for a batch; or scipy.stats.rv_histogram
            The count, or any mass >= 0, of each cell, whatever its width, as `numpy.histogram` and
            `numpy.histogramdd` give them. Whole numbers are counts of observations, whose total `n` gives a fit its
            standard errors. A `scipy.stats.rv_histogram` brings its own edges. Rows of counts on one axis with the
            same edges make a batch, which holds the counts as they are, in any type of real numbers; a row of a batch
            that is no histogram makes results of NaN.
        edges : array_like, shape (n + 1,), or sequence of them with one for each axis
            Edges of the cells, increasing. The first and the last one may be infinite; pictures, unions with other
            edges, moments and reverse fits take finite ones.
        pseudocount : float, default 0
            Number that is added to every count, such as 0.5: it keeps empty cells from being impossible, and makes a
            reverse fit possible.
        density : bool, default False
            Whether `counts` are densities, as ``numpy.histogram(..., density=True)`` gives them, to be multiplied by
            the widths of the cells.

        Returns
        -------
        Histogram

        Raises
        ------
        ValueError
            If the edges do not increase, their number is not one more than that of the counts, or, in a single
            histogram, a count is negative or not finite, or all are 0.
        TypeError
            If counts or edges are no numbers, dates for instance, or `density` is neither True nor False.

        Examples
        --------
        >>> import fastkl
        >>> p = fastkl.Tabulated.from_histogram([6, 24, 38, 24, 8], [0, 10, 20, 30, 40, 50])
        >>> p.n, round(p.mean, 6)
        (100, 25.4)
        >>> result = fastkl.fit(p, "normal", direction="forward")
        >>> round(result.q.loc, 4), round(result.q.scale, 4), result.success
        (25.4005, 9.7662, True)
        >>> fastkl.Tabulated.from_histogram([[6, 24, 38, 24, 8], [9, 1, 0, 0, 0]], [0, 10, 20, 30, 40, 50]).batch_shape
        (2,)
        """
        from fastkl.densities.histogram import Histogram

        if edges is None:
            counts, edges, density = *_of_scipy(counts), True
        return Histogram(counts, edges, pseudocount=pseudocount, density=density)

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike,
        grid: Grid | None = None,
        *,
        support: Sequence[Any] | None = None,
        weights: ArrayLike | None = None,
        bandwidth: str | float = "scott",
    ) -> Tabulated:
        """A kernel density estimate from observations on one to three axes.

        The observations are binned linearly, and every bin becomes a Normal, whose tails are kept as logarithms: the
        estimate is nowhere 0 inside the support. On a support with an end the estimate is made in a coordinate that
        runs over the whole line, log(x - lower) or log(upper - x) or the difference of both, and carried back. No mass
        lies beyond an end, the density is finite before it, and the spread of the Normals follows the size of x.

        Parameters
        ----------
        x : array_like, shape (n,) or (n, ndim)
            Observations, at least two different ones.
        grid : Grid, optional
            The grid of the estimate, inside the support if no node is to be 0. By default 2049 points or more on the
            line, 257 or more along each axis of a plane, 65 or more along each of three, as many as resolve the
            bandwidth; they reach eight (six) bandwidths beyond the observations and as many standard deviations from
            the mean. On a support with an end they are nodes of Gauss-Legendre panels inside it, at least twice as
            many, and reach twice as far in the coordinate above. Strongly correlated columns take a fine grid, of up to
            2**24 points in a plane, 2**25 on three axes, and 2**16 on the line.
        support : (float, float), or a sequence of such pairs, one for each axis; optional
            The ends of the open interval of possible values, such as ``(0, inf)``; the whole line by default.
        weights : array_like, shape (n,), optional
            Observation weights, >= 0.
        bandwidth : {'scott', 'silverman'} or float
            Rule that chooses the covariance of the Normals, as in `scipy.stats.gaussian_kde`: a factor squared times
            the covariance of the observations. A number is the standard deviation of the Normals on the line, and that
            factor on several axes. On a support with an end all these are taken in the coordinate above.

        Returns
        -------
        Tabulated
            A density that remembers its observations: `fit` to a family with a bounded support estimates it again on
            that support, if its grid is the default one, and says so in ``message``.

        Raises
        ------
        ValueError
            If an observation is not finite, outside the support or off the grid, the observations do not vary in
            every direction, the weights do not fit, the bandwidth is not positive, the grid's step is above it, or the
            default grid would need more points than these.
        TypeError
            If the observations are no numbers: of dates, take the time since a start.

        Notes
        -----
        A reflection at the ends would be an alternative for samples that pile up at an end with a finite density. It
        smooths with one bandwidth everywhere, so of Gamma(0.5) and LogNormal(2) it retains little.

        Examples
        --------
        >>> import fastkl
        >>> p = fastkl.Tabulated.from_samples([0.3, 0.5, 1.1, 2.4], support=(0, float("inf")))
        >>> p.support, float(p.pdf(-0.1))
        ((0.0, inf), 0.0)
        """
        from fastkl.densities.samples import estimate

        return estimate(x, grid, support=support, weights=weights, bandwidth=bandwidth)

    @classmethod
    def from_series(cls, series: Any, *, log: bool = False, floor: float | None = None) -> Tabulated:
        """A density from a pandas Series, whose index is x.

        Parameters
        ----------
        series : pandas.Series, shape (n,)
            Densities, or log-densities if `log`, up to a constant. The index holds the nodes and increases. An index
            of several levels makes as many axes: the rows are the nodes of their tensor grid, in any order.
        log, floor
            As in `Tabulated`.

        Raises
        ------
        ValueError
            If the index does not increase, or a node of the tensor grid has no row or more than one.
        TypeError
            If the index does not hold numbers, or this is no pandas Series. A polars Series has no index: see the
            example.

        Examples
        --------
        >>> import numpy as np, pandas as pd, fastkl
        >>> x = np.linspace(-8, 8, 161)
        >>> p = fastkl.Tabulated.from_series(pd.Series(np.exp(-0.5 * x**2), index=x))
        >>> round(p.std, 6)
        1.0
        >>> frame = pd.DataFrame({"x": x, "logp": -0.5 * x**2})  # or of polars
        >>> p = fastkl.Tabulated(fastkl.Grid.from_axes(frame["x"]), frame["logp"], log=True)
        """
        from fastkl.densities.containers import of_series

        return cls(*of_series(series), log=log, floor=floor)

    @classmethod
    def from_xarray(cls, array: Any, *, log: bool = False, floor: float | None = None) -> Tabulated:
        """A density from an xarray.DataArray, which brings its own axes.

        Parameters
        ----------
        array : xarray.DataArray
            Densities, or log-densities if `log`, up to a constant. Every dimension has a coordinate of numbers, which
            increases, or decreases and is turned round; the axes are in the order of the dimensions.
        log, floor
            As in `Tabulated`.

        Raises
        ------
        ValueError
            If a dimension has no coordinate, or one that is not strictly monotonic or has fewer than 8 nodes.
        TypeError
            If a coordinate does not hold numbers, or this is no DataArray.

        Examples
        --------
        >>> import numpy as np, xarray, fastkl
        >>> t, h = np.linspace(0, 9, 91), np.linspace(4, -4, 81)
        >>> array = xarray.DataArray(-t[:, None] - 0.5 * h**2, coords={"t": t, "height": h})
        >>> p = fastkl.Tabulated.from_xarray(array, log=True)
        >>> p.grid.lower, p.grid.upper
        ((0.0, -4.0), (9.0, 4.0))
        """
        from fastkl.densities.containers import of_data_array

        return cls(*of_data_array(array), log=log, floor=floor)

    _log_mass = 0.0
    """Logarithm of the mass on the grid: 0, since a table lives on its grid."""

    @property
    def ndim(self) -> int:
        return self.grid.ndim

    @property
    def mean(self) -> Any:
        """The mean: a float, or an array of shape (ndim,); of a batch, an array of shape (*batch_shape[, ndim])."""
        mean = self._mean_and_cov[0]
        return mean if self.ndim > 1 else mean[..., 0] if self.batch_shape else float(mean[0])

    @property
    def std(self) -> Any:
        """The standard deviation, in one dimension: a float, or of a batch an array of the batch shape."""
        if self.ndim > 1:
            return super().std
        std = np.sqrt(np.maximum(self._mean_and_cov[1][..., 0, 0], 0.0))
        return std if self.batch_shape else float(std)

    @property
    def cov(self) -> Any:
        """The covariance; in one dimension the variance, a float. That of a batch has the batch's axes in front."""
        cov = self._mean_and_cov[1]
        return cov if self.ndim > 1 else cov[..., 0, 0] if self.batch_shape else float(cov[0, 0])

    def cdf(self, x: ArrayLike) -> Any:
        """The probability of at most `x`, in one dimension.

        Parameters
        ----------
        x : array_like

        Returns
        -------
        float or ndarray
            The exact integral of the density up to `x`, divided by that up to the last node, in the shape of `x`; NaN
            for NaN. The density is linear in the log between nodes, and 0 beside a node that is 0.

        Raises
        ------
        ValueError
            If there is more than one dimension (see `marginal`), this is a batch, or no interval has mass.

        Examples
        --------
        >>> import numpy as np, fastkl
        >>> p = fastkl.Tabulated(fastkl.Grid.uniform(0, 40, 401), -np.linspace(0, 40, 401), log=True)  # exp(-x)
        >>> round(float(p.cdf(1.0)), 12), round(float(p.quantile(0.5)), 12)  # 1 - 1/e, log(2)
        (0.632120558829, 0.69314718056)
        """
        return self._law.cdf(x)

    def quantile(self, q: ArrayLike) -> Any:
        """Quantiles, the inverse of `cdf`, as ``ppf`` of SciPy's distributions.

        Parameters
        ----------
        q : array_like
            Probabilities.

        Returns
        -------
        float or ndarray
            The least x with ``cdf(x) >= q``; the ends of the support for 0 and 1, NaN for numbers off [0, 1].
        """
        return self._law.quantile(q)

    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Random draws, with the density between the nodes as `logpdf` has it.

        Parameters
        ----------
        size : int or tuple of int, optional
            Shape of the draws; by default a single one.
        random_state : int, numpy.random.Generator or numpy.random.RandomState, optional
            A generator, or the seed of a new one; by default the seed is random.

        Returns
        -------
        float or ndarray
            Draws in the shape `size`, on several axes (*size, ndim). In one dimension they are quantiles of uniform
            numbers; on several axes cells are drawn, and points in them by rejection.

        Raises
        ------
        ValueError
            If this is a batch, no interval or cell has mass, or on several axes the density falls so steeply within
            cells that hardly a point is accepted.
        """
        self._require_single()
        shape, rng = shape_and_generator(size, random_state)
        if self.ndim == 1:
            return self._law.quantile(rng.random(shape))
        logs = self._log_values - self.log_normalizer
        return draws(self.grid, logs, self.logpdf, math.prod(shape), rng).reshape(*shape, self.ndim)

    def marginal(self, axis: int | Sequence[int]) -> Tabulated:
        """The density of some of the coordinates.

        Parameters
        ----------
        axis : int or sequence of int
            The axes of the grid that are kept, in this order; negative ones count from the last.

        Returns
        -------
        Tabulated
            The sums over the other axes with the weights of the grid, as log-densities on the axes that are kept; of a
            batch without a floor, a batch. ``log_normalizer`` is that of this table, up to rounding.

        Raises
        ------
        ValueError
            If an axis is named twice, or there is none, or this is a batch with a floor.
        IndexError
            If the grid has no such axis.

        Examples
        --------
        >>> import numpy as np, fastkl
        >>> square = fastkl.Grid.uniform([-8, -8], [8, 8], 161)
        >>> x, y = np.meshgrid(*square.axes, indexing="ij")
        >>> p = fastkl.Tabulated(square, -0.5 * x**2 - 0.125 * (y - 1) ** 2, log=True)
        >>> round(p.marginal(1).mean, 3), round(p.marginal(1).std, 3)  # the normal with mean 1 and scale 2, cut at 8
        (0.998, 1.997)
        """
        from scipy.special import logsumexp

        if self.floor is not None:
            self._require_single()
        kept = axes_that_are_kept(axis, self.ndim)
        others = [d for d in range(self.ndim) if d not in kept]
        before = len(self.batch_shape)
        logs = np.moveaxis(self._log_values, [before + d for d in kept], range(before, before + len(kept)))
        for d in reversed(others):
            logs = logsumexp(logs, axis=-1, b=self.grid.weights[d])
        return Tabulated(Grid(tuple(self.grid._parts[d] for d in kept)), logs, log=True)

    @property
    def _log_values(self) -> Floats:
        """The log-densities as they were given, those below the floor raised to it."""
        values = np.asarray(self.values, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):  # negative values of a batch become NaN
            return np.maximum(values if self.log else np.log(values), self._log_floor)

    @cached_property
    def n_floored(self) -> Any:
        """Number of values below the floor; of a batch, an array of its shape."""
        if not self.batch_shape:
            limit = self._log_floor if self.log else math.exp(self._log_floor)
            return int(np.count_nonzero(self.values < limit))
        found = np.zeros(self.batch_shape, np.int64)
        axes = tuple(range(1, self.ndim + 1))
        for rows in self._blocks() if self.floor is not None else ():
            given = self.values[rows]
            found[rows] = np.count_nonzero(given < self._raised(given), axis=axes)
        return found

    @cached_property
    def _faults(self) -> NDArray[np.int8]:
        """The `Fault` of each table of a batch."""
        return faults(self.values, self.ndim, log=self.log)

    def _blocks(self) -> Iterator[tuple[NDArray[np.intp], ...]]:
        """The places of a limited number of tables of a batch at a time, in order."""
        return blocks(self.batch_shape, self.grid.size)

    def _rows(self, places: Any) -> NDArray[Any]:
        """The densities, or log-densities, of some tables of a batch, as doubles if they had to be raised or made."""
        values = self.values[places]
        return values if self.floor is None else self._raised(values)

    def _raised(self, values: NDArray[Any]) -> Floats:
        """Tables with the values below the floor of each raised to it."""
        assert self.floor is not None
        peak = values.max(axis=tuple(range(-self.ndim, 0)), keepdims=True).astype(np.float64)
        raised: Floats = np.maximum(values, peak + math.log(self.floor) if self.log else peak * self.floor)
        return raised

    @cached_property
    def _law(self) -> LogLinear:
        """The law on the line."""
        self._require_single()
        require_line(self.ndim)
        return LogLinear.through(self.grid.axes[0], self._log_values)

    @property
    def _has_plain_values(self) -> bool:
        """Whether the values can be summed as they are: neither logarithms, nor raised, nor extreme in size."""
        return not self.log and self.floor is None and abs(self.log_normalizer) < MODERATE

    def mass_outside(self, grid: Grid) -> float | None:
        return 0.0 if grid.contains(self.grid) else None

    def _evaluation(self, grid: Grid | None = None) -> Evaluation:
        self._require_single()
        component = TableComponent(-self.log_normalizer, float(self.log), self._log_floor - self.log_normalizer)
        values = self.values.reshape(-1)
        if grid == self.grid:
            return evaluation(table_at_nodes, [component], values=values)
        nodes = np.concatenate(self.grid.axes)
        return evaluation(table_between_nodes, [(*component, *self.grid.shape)], values=values, nodes=nodes)

    def _require_single(self) -> None:
        if self.batch_shape:
            raise ValueError(f"a batch of shape {self.batch_shape} is no single density; take one with batch[index]")

    def __getitem__(self, index: Any) -> Tabulated:
        """The part of a batch at *index*: a density or a smaller batch."""
        return Tabulated(self.grid, self.values[self._places(index)], log=self.log, floor=self.floor)

    def _places(self, index: Any) -> tuple[Any, ...]:
        """An index into the values of the part of a batch at *index*."""
        places = index if isinstance(index, tuple) else (index,)
        if len(places) > len(self.batch_shape):
            raise IndexError(f"a batch of shape {self.batch_shape} has no part {index!r}")
        if any(place is Ellipsis for place in places):  # an Ellipsis would reach into the axes of the grid
            places = (*places, *[slice(None)] * self.ndim)
        return places

    def __repr__(self) -> str:
        what = f"batch_shape={self.batch_shape}" if self.batch_shape else f"log_normalizer={self.log_normalizer:.6g}"
        return f"Tabulated({self.grid!r}, log={self.log}, {what})"

    @cached_property
    def _mean_and_cov(self) -> tuple[Floats, Floats]:
        if self.batch_shape:
            return moments_of_batch(self)
        found = moments(self, self.grid)
        return found.mean, found.cov


def shape_and_generator(size: int | tuple[int, ...] | None, random_state: Any) -> tuple[tuple[int, ...], Any]:
    """The shape of draws, and the generator that makes them; see `Tabulated.rvs`."""
    known = isinstance(random_state, np.random.Generator | np.random.RandomState)
    shape = () if size is None else tuple(as_count(n, "size") for n in np.atleast_1d(size).tolist())
    if min(shape, default=0) < 0:
        raise ValueError(f"size must be >= 0, got {size!r}")
    return shape, random_state if known else np.random.default_rng(random_state)


def require_line(ndim: int) -> None:
    """Refuse a distribution function on several axes."""
    if ndim > 1:
        raise ValueError(f"cdf and quantile are of one dimension, got {ndim}: take one with marginal(axis)")


def axes_that_are_kept(axis: int | Sequence[int], ndim: int) -> list[int]:
    """The numbers of the axes of a marginal, counted from the first one."""
    kept = [_axis(given, ndim) for given in np.atleast_1d(axis).tolist()]
    if not kept or len(set(kept)) < len(kept):
        raise ValueError(f"a marginal keeps one axis or several different ones, got {axis!r}")
    return kept


def _axis(given: int, ndim: int) -> int:
    """The number of an axis, counted from the first one."""
    if not -ndim <= given < ndim:
        raise IndexError(f"a grid of {ndim} axes has no axis {given}")
    return given % ndim


def _checked(values: ArrayLike, grid: Grid, log: bool) -> NDArray[Any]:
    """A read-only view of *values*, for a single density as doubles in C order; an error names its first bad one."""
    require_unmasked(values, "values")
    array = np.asarray(values)
    if array.ndim > grid.ndim and array.dtype in (np.float32, np.float64):
        array = array.view()
    else:
        array = np.ascontiguousarray(as_reals(values, "values")).view()
    array.flags.writeable = False
    if array.shape[max(array.ndim - grid.ndim, 0) :] != grid.shape:
        raise ValueError(f"values of shape {array.shape} do not fit a grid of shape {grid.shape}")
    if array.size == 0 or array.ndim > grid.ndim:
        return array
    lowest, highest = array.min(), array.max()  # NaN if there is one
    what = "log-densities" if log else "densities"
    if np.isnan(lowest):
        raise ValueError(f"{what} must not be NaN, but {_first(np.isnan(array), array, grid)}")
    if highest == np.inf:
        raise ValueError(f"{what} must be finite, but {_first(array == np.inf, array, grid)}")
    if not log and lowest < 0.0:
        raise ValueError(
            f"densities must be >= 0, but {_first(array < 0.0, array, grid)}{hint_for_negative(array, 'values')}"
        )
    if highest == (-np.inf if log else 0.0):
        raise ValueError(f"all {array.size} {what} are {highest}: there is no mass")
    return array


def _of_scipy(histogram: Any) -> tuple[Floats, Floats]:
    """The densities and the edges of a `scipy.stats.rv_histogram`, frozen or not."""
    source = getattr(histogram, "dist", histogram)
    if not (hasattr(source, "_hpdf") and hasattr(source, "_hbins")):
        raise TypeError(f"counts need edges, one more than there are counts; got {type(histogram).__name__} alone")
    return np.asarray(source._hpdf[1:-1]), np.asarray(source._hbins)


def _first(bad: NDArray[np.bool_], array: NDArray[Any], grid: Grid) -> str:
    at = int(np.argmax(bad))
    place = ", ".join(f"{x:.6g}" for x in grid.point(at))
    place = place if grid.ndim == 1 else f"({place})"
    return f"value {at} (x = {place}) is {array.flat[at]}"
