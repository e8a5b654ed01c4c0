"""The law of a table between its nodes, where it is linear in the log: distribution function, quantiles and draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.grids import Grid
from fastkl.validation import Floats, as_reals

NO_CELL = (
    "a table whose positive nodes all lie beside zeros has no mass between its nodes, where it is linear in the log: "
    "choose a floor, or take Tabulated.from_histogram for counts"
)

FIRST_TRIALS = 1024
"""Least number of points that are tried together."""
MOST_TRIALS = 2**22
"""Largest number of points that are tried together."""
LEAST_SHARE = 1e-4
"""Share of the points that have to be accepted, once `MOST_TRIALS` were tried."""


class LogLinear(NamedTuple):
    """A density on the line that is linear in the log between nodes; the normalisation is exact."""

    nodes: Floats
    logs: Floats
    """Log-densities at the nodes, the largest 0."""
    masses: Floats
    """Integrals between neighbouring nodes."""
    mass_below: Floats
    """Integral up to each node."""

    @classmethod
    def through(cls, nodes: Floats, logs: Floats) -> LogLinear:
        """The density with these logarithms at the nodes, up to a constant."""
        logs = logs - logs.max()
        masses = _mass(logs[:-1], logs[1:], np.diff(nodes))
        if not masses.any():
            raise ValueError(NO_CELL)
        return cls(nodes, logs, masses, np.concatenate([[0.0], np.cumsum(masses)]))

    def cdf(self, x: ArrayLike) -> Any:
        """The probability of at most x."""
        x = as_reals(x, "x")
        inside = np.clip(x, self.nodes[0], self.nodes[-1])
        i = np.clip(np.searchsorted(self.nodes, inside, side="right") - 1, 0, self.nodes.size - 2)
        left, right = self.nodes[i], self.nodes[i + 1]
        low, high = self.logs[i], self.logs[i + 1]
        with np.errstate(invalid="ignore"):
            at_x = low + (high - low) * ((inside - left) / (right - left))
        at_x = np.where(np.isfinite(np.minimum(low, high)), at_x, -np.inf)
        below = self.mass_below[i] + _mass(low, at_x, inside - left)
        return np.where(np.isnan(x), np.nan, np.minimum(below / self.mass_below[-1], 1.0))[()]

    def quantile(self, q: ArrayLike) -> Any:
        """The least x with a cdf of at least q, for q = 0 the lower end of the support; NaN for q off [0, 1]."""
        q = as_reals(q, "q")
        valid = (q >= 0.0) & (q <= 1.0)
        wanted = np.where(valid, q, 0.5) * self.mass_below[-1]
        first, last = np.flatnonzero(self.masses)[[0, -1]]
        i = np.maximum(np.searchsorted(self.mass_below, wanted, side="left") - 1, first)
        left, right = self.nodes[i], self.nodes[i + 1]
        low, high = self.logs[i], self.logs[i + 1]
        # from the end at which the density is larger, so that a steep slope costs no digits
        rises = high > low
        rest = np.where(rises, self.mass_below[i + 1] - wanted, wanted - self.mass_below[i])
        step = np.maximum(rest, 0.0) / np.exp(np.maximum(low, high))
        slope = np.abs(high - low) / (right - left)
        distance = np.minimum(step * _log_ratio(np.minimum(slope * step, 1.0)), right - left)
        x = np.where(rises, right - distance, left + distance)
        # rounded sums may reach the total before the end of the support
        return np.where(valid, np.where(q == 1.0, self.nodes[last + 1], x), np.nan)[()]


def _mass(low: Floats, high: Floats, width: Floats) -> Floats:
    """The integral over intervals at whose ends a density that is linear in the log has these logarithms."""
    return np.where(np.isfinite(np.minimum(low, high)), width * np.exp(np.maximum(low, high)) * to_peak(low, high), 0.0)


def to_peak(low: Floats, high: Floats) -> Floats:
    """The ratio of the mean of a density that is linear in the log to its larger end, from the logarithms of both."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drop = np.abs(high - low)
        return np.where(drop > 0.0, -np.expm1(-drop) / drop, 1.0)


def _log_ratio(u: Floats) -> Floats:
    """-log(1 - u)/u for 0 <= u <= 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(u > 0.0, -np.log1p(-u) / u, 1.0)


def draws(grid: Grid, logs: Floats, logpdf: Callable[[Floats], Any], n: int, rng: Any) -> Floats:
    """Points from a table on several axes, shape (n, ndim).

    A cell is drawn by its volume and its largest corner, and a point in it is accepted with the ratio of the density
    to that corner.

    Raises
    ------
    ValueError
        If no cell has mass, or too few points are accepted, since the density falls steeply within cells.
    """
    low = high = logs
    volumes: NDArray[Any] = np.ones(())
    for d, nodes in enumerate(grid.axes):
        before, after = (tuple([slice(None)] * d + [part]) for part in (slice(None, -1), slice(1, None)))
        low, high = np.minimum(low[before], low[after]), np.maximum(high[before], high[after])
        volumes = np.multiply.outer(volumes, np.diff(nodes))
    bound = np.where(low > -np.inf, high, -np.inf).ravel()
    if bound.max() == -np.inf:
        raise ValueError(NO_CELL)
    chances = np.cumsum(np.exp(bound - bound.max()) * volumes.ravel())
    last = int(np.searchsorted(chances, chances[-1]))
    found, accepted, tried = [np.empty((0, grid.ndim))], 0, 0
    while accepted < n:
        k = min(max(2 * (n - accepted), FIRST_TRIALS), MOST_TRIALS)
        cells = np.minimum(np.searchsorted(chances, rng.random(k) * chances[-1], side="right"), last)
        places = np.unravel_index(cells, volumes.shape)
        ends = [(nodes[i], nodes[i + 1]) for nodes, i in zip(grid.axes, places, strict=True)]
        points = np.stack([left + (right - left) * rng.random(k) for left, right in ends], axis=-1)
        chosen = points[np.log1p(-rng.random(k)) <= logpdf(points) - bound[cells]]
        found.append(chosen)
        accepted, tried = accepted + len(chosen), tried + k
        if tried >= MOST_TRIALS and accepted < LEAST_SHARE * tried:
            raise ValueError(
                f"only {accepted} of {tried} points were accepted: the density falls too steeply within the cells of "
                "this grid to draw from it; take a finer grid"
            )
    return np.concatenate(found)[:n]
