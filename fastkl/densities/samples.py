"""Kernel density estimates: linear binning onto a grid, then a sum of Normals on it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastkl.grids import Grid, as_grid
from fastkl.kernels.density import log_density
from fastkl.kernels.normal_mixture import evaluation_of_normals
from fastkl.kernels.records import NormalComponent
from fastkl.validation import Floats, as_line, as_real

DEFAULT_POINTS = 2049
"""Number of points of the grid of a density from samples, if none is given."""
REACH = 8.0
"""Reach of the default grid: bandwidths beyond the observations, and standard deviations from the mean."""

EXPONENT_OF_RULE = {"scott": (1.0, -0.2), "silverman": (0.75, -0.2)}
"""Factor and exponent of each rule: bandwidth = std * (factor * n_eff) ** exponent, in one dimension."""


def estimate(
    x: ArrayLike, grid: Grid | None, *, weights: ArrayLike | None, bandwidth: str | float
) -> tuple[Grid, Floats]:
    """The grid of a kernel density estimate and the log-densities on it; see `Tabulated.from_samples`."""
    x = as_line(x, "observations")
    if x.size < 2:
        raise ValueError(f"a density estimate needs at least 2 observations, got {x.size}")
    shares = _shares(weights, x)
    mean = float(shares @ x)
    n_effective = 1.0 / float(shares @ shares)
    present = x[shares > 0.0]
    if present.min() == present.max():
        raise ValueError(f"the observations must vary, but all {present.size} of positive weight are {present[0]}")
    std = math.sqrt(float(shares @ (x - mean) ** 2) * n_effective / (n_effective - 1.0))
    width = _bandwidth(bandwidth, std, n_effective)
    if grid is not None:
        as_grid(grid)
    else:
        lower = min(x.min() - REACH * width, mean - REACH * std)
        upper = max(x.max() + REACH * width, mean + REACH * std)
        grid = Grid.uniform(lower, upper, DEFAULT_POINTS)
    line = grid._line
    if x.min() < line.lower or x.max() > line.upper:
        off = x.min() if x.min() < line.lower else x.max()
        raise ValueError(f"observation {off} lies off the grid [{line.lower!r}, {line.upper!r}]")

    nodes = grid.axes[0]
    step = float(np.max(np.diff(nodes)))
    if width < step:
        raise ValueError(f"a bandwidth of {width:.6g} is below the grid's step of {step:.6g}: take more points")
    bins = _linear_bins(x, shares, nodes)
    filled = np.flatnonzero(bins)
    log_peak = -math.log(width * math.sqrt(2.0 * math.pi))
    rows = [NormalComponent(math.log(bins[i]) + log_peak, nodes[i], 1.0 / width) for i in filled]
    out = np.empty(grid.size)
    log_density(grid.size, evaluation_of_normals(rows).by_logs(), grid._record(), 0, out)
    return grid, out


def _linear_bins(x: Floats, shares: Floats, nodes: Floats) -> Floats:
    """Shares at the nodes: that of each observation is split between the two nodes beside it, the nearer gets more."""
    left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, nodes.size - 2)
    to_right = (x - nodes[left]) / (nodes[left + 1] - nodes[left])
    bins = np.zeros(nodes.size)
    np.add.at(bins, left, shares * (1.0 - to_right))
    np.add.at(bins, left + 1, shares * to_right)
    return bins


def _shares(weights: ArrayLike | None, x: Floats) -> Floats:
    if weights is None:
        return np.full(x.size, 1.0 / x.size)
    array = as_line(weights, "weights")
    if array.shape != x.shape:
        raise ValueError(f"{x.size} observations need as many weights, got an array of shape {array.shape}")
    if not (array.min() >= 0.0 and array.sum() > 0.0):
        raise ValueError(f"weights must be >= 0 and not all 0, got {array.min()} ... {array.max()}")
    shares: Floats = array / array.sum()
    return shares


def _bandwidth(bandwidth: str | float, std: float, n_effective: float) -> float:
    if isinstance(bandwidth, str):
        if bandwidth not in EXPONENT_OF_RULE:
            raise ValueError(
                f"bandwidth must be {' or '.join(map(repr, EXPONENT_OF_RULE))} or a number, got {bandwidth!r}"
            )
        factor, exponent = EXPONENT_OF_RULE[bandwidth]
        return std * float((factor * n_effective) ** exponent)
    width = as_real(bandwidth, "bandwidth")
    if width <= 0.0:
        raise ValueError(f"bandwidth must be > 0, got {bandwidth!r}")
    return width
