"""Densities that are known by their values on a grid."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.densities.density import Density
from fastkl.densities.summary import Summary, summarize
from fastkl.grids import Grid, as_grid
from fastkl.kernels.log_density import table_at_nodes, table_between_nodes
from fastkl.kernels.records import DensityRecord, TableComponent, density_record
from fastkl.validation import Floats, as_real, as_reals

MODERATE = 200.0
"""exp(+-200): a sum of values of this size can be divided by another one without leaving the doubles."""


class Tabulated(Density):
    """A density given by its values at the nodes of a grid, up to a constant.

    Between the nodes it is linear in the logarithm; off the grid it is 0. The values are not copied
    when they are a float64 array already, so do not write to that array afterwards.

    Parameters
    ----------
    grid : Grid
    values : array_like, shape ``grid.shape``
        Densities, or log-densities if `log`. They need not be normalised: the constant is kept as
        ``log_normalizer``.
    log : bool, default False
        Whether `values` are log-densities; -inf stands for 0.
    floor : float, optional
        Values below ``floor * max`` are read as ``floor * max``; ``n_floored`` counts them. By default
        nothing is raised.

    Attributes
    ----------
    log_normalizer : float
        Logarithm of the integral of the values as they were given, in nats.
    n_floored : int
        How many values lie below the floor.

    Raises
    ------
    ValueError
        If the shape is not that of the grid, a value is NaN, infinite or (unless `log`) negative, all
        values are 0, or `floor` is not in (0, 1). The message names the value and where it is.

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
        peak = float(self.values.max())
        self._log_peak = peak if self.log else math.log(peak)
        self._log_floor = -math.inf if floor is None else self._log_peak + math.log(floor)
        limit = self._log_floor if self.log else math.exp(self._log_floor)
        self.n_floored = 0 if floor is None else int(np.count_nonzero(self.values < limit))
        self.log_normalizer = self._log_peak  # with the peak scaled to 1 the sum cannot overflow
        self.log_normalizer += math.log(summarize(self, self.grid).moments()[0])

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike,
        grid: Grid | None = None,
        *,
        weights: ArrayLike | None = None,
        bandwidth: str | float = "scott",
    ) -> Tabulated:
        """A kernel density estimate from observations.

        The observations are binned linearly onto the grid, and every bin becomes a Normal, whose tails
        are kept as logarithms: the estimate is nowhere 0.

        Parameters
        ----------
        x : array_like, shape (n,)
            Observations, at least two different ones.
        grid : Grid, optional
            By default 2049 points that hold the observations and eight bandwidths, and the mean and eight
            standard deviations.
        weights : array_like, shape (n,), optional
            Observation weights, >= 0.
        bandwidth : {'scott', 'silverman'} or float
            Standard deviation of the Normals, or the rule that chooses it (as `scipy.stats.gaussian_kde`).

        Raises
        ------
        ValueError
            If an observation is not finite or off the grid, the observations do not vary, the weights do
            not fit, the bandwidth is not positive, or the grid's step is above it.
        """
        from fastkl.densities.samples import estimate

        return cls(*estimate(x, grid, weights=weights, bandwidth=bandwidth), log=True)

    def logpdf(self, x: ArrayLike) -> Any:
        x = as_reals(x, "x")
        nodes = self.grid.axes[0]
        left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, nodes.size - 2)
        share = (x - nodes[left]) / (nodes[left + 1] - nodes[left])
        low, high = self._log_values(left), self._log_values(left + 1)
        with np.errstate(invalid="ignore"):  # -inf times a share of 0: replaced below
            between = low + (high - low) * share
        at_node = np.where(share == 0.0, low, np.where(share == 1.0, high, between))
        flat = np.where(low == high, low, at_node)
        inside = (nodes[0] <= x) & (x <= nodes[-1])
        zero = (np.minimum(low, high) == -np.inf) & (share > 0.0) & (share < 1.0)
        return np.where(inside & ~zero, flat, np.where(np.isnan(x), np.nan, -np.inf))[()]

    @property
    def mean(self) -> float:
        return self._summary.moments()[1]

    @property
    def std(self) -> float:
        return self._summary.moments()[2]

    @property
    def has_plain_values(self) -> bool:
        """Whether the values can be summed as they are: neither logarithms, nor raised, nor extreme in size."""
        return not self.log and self.floor is None and abs(self.log_normalizer) < MODERATE

    def mass_outside(self, grid: Grid) -> float | None:
        return 0.0 if grid.lower <= self.grid.lower and grid.upper >= self.grid.upper else None

    def record(self, grid: Grid) -> DensityRecord:
        lowest = self._log_floor - self.log_normalizer
        component = TableComponent(-self.log_normalizer, float(self.log), lowest)
        if grid == self.grid:
            return density_record(table_at_nodes, [component], self.values[np.newaxis])
        return density_record(table_between_nodes, [component], np.stack([self.values, self.grid.axes[0]]))

    def __repr__(self) -> str:
        return f"Tabulated({self.grid!r}, log={self.log}, log_normalizer={self.log_normalizer:.6g})"

    def _log_values(self, index: Any) -> Any:
        values = self.values[index]
        if not self.log:
            with np.errstate(divide="ignore"):  # log(0) = -inf is meant
                values = np.log(values)
        return np.maximum(values, self._log_floor) - self.log_normalizer

    @cached_property
    def _summary(self) -> Summary:
        return summarize(self, self.grid)


def _checked(values: ArrayLike, grid: Grid, log: bool) -> Floats:
    """A read-only view of *values* as doubles, or an error that names the first bad one."""
    array = np.ascontiguousarray(as_reals(values, "values")).view()
    array.flags.writeable = False
    if array.shape != grid.shape:
        raise ValueError(f"values of shape {array.shape} do not fit a grid of shape {grid.shape}")
    lowest, highest = array.min(), array.max()  # NaN if there is one
    what = "log-densities" if log else "densities"
    if np.isnan(lowest):
        raise ValueError(f"{what} must not be NaN, but {_first(np.isnan(array), array, grid)}")
    if highest == np.inf:
        raise ValueError(f"{what} must be finite, but {_first(array == np.inf, array, grid)}")
    if not log and lowest < 0.0:
        raise ValueError(
            f"densities must be >= 0, but {_first(array < 0.0, array, grid)}; are these logarithms (log=True)?"
        )
    if highest == (-np.inf if log else 0.0):
        raise ValueError(f"all {array.size} {what} are {highest}: there is no mass")
    return array


def _first(bad: NDArray[np.bool_], array: Floats, grid: Grid) -> str:
    at = int(np.argmax(bad))
    return f"value {at} (x = {grid.node(at):.6g}) is {array[at]}"
