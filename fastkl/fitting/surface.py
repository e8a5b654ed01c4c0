"""Surfaces: the divergences of p and every Normal of a range of means and standard deviations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density, Histogram
from fastkl.families.normal import Normal
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.fitting.fit import fit
from fastkl.fitting.objectives import ForwardNormal
from fastkl.fitting.reading import Reading
from fastkl.fitting.result import Direction, Minimum
from fastkl.fitting.task import task_of
from fastkl.grids import Grid
from fastkl.integrals import log_mass_inside
from fastkl.kernels.surface import surface_sums
from fastkl.validation import Floats, as_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOGETHER = 64
"""Number of Normals that are compared with p each time it is read."""


@dataclass(frozen=True, eq=False)
class KLSurface:
    """Divergences of p and every Normal of a range, in nats.

    Attributes
    ----------
    divergence : ndarray, shape (len(loc), len(scale))
        KL(p||q) forward, KL(q||p) reverse; inf where q has no mass on the grid.
    loc, scale : ndarray
        Means and standard deviations of the Normals q.
    minima : tuple of Minimum
        The local minima in that range, best first, as `fit` finds them.
    direction : {'forward', 'reverse'}
    """

    divergence: Floats
    loc: Floats
    scale: Floats
    minima: tuple[Minimum, ...]
    direction: Direction

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the levels and mark the minima. Needs the extra ``fastkl[plot]``."""
        from fastkl.plotting import plot_surface

        return plot_surface(self, ax)


def kl_surface(
    p: Density | ArrayLike,
    loc: ArrayLike,
    scale: ArrayLike,
    grid: Grid | None = None,
    *,
    direction: str | None = None,
    log: bool = False,
) -> KLSurface:
    """The divergence of p and every Normal(loc[i], scale[j]), p being read once for many of them.

    Parameters
    ----------
    p : Density or array_like
        The target, of one dimension, as in `fit`.
    loc : array_like, shape (n,)
        Means of the Normals.
    scale : array_like, shape (m,)
        Standard deviations of the Normals, > 0.
    grid : Grid, optional
        The grid of the integrals, as in `fit`.
    direction : {'forward', 'reverse'}
        Required: the direction, as in `fit`.
    log : bool, default False
        Whether an array `p` holds log-densities.

    Returns
    -------
    KLSurface

    Raises
    ------
    ValueError
        If `loc` or `scale` is empty, not of one dimension or not finite, or a scale is not positive.

    Examples
    --------
    >>> import numpy as np, fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> surface = fastkl.kl_surface(p, np.linspace(-3, 3, 31), np.geomspace(0.3, 3, 20), direction="reverse")
    >>> surface.divergence.shape, [round(m.divergence, 4) for m in surface.minima]
    ((31, 20), [0.6918, 0.6918, 1.1384])
    """
    locs, scales = as_line(loc, "loc"), as_line(scale, "scale")
    for name, values in (("loc", locs), ("scale", scales)):
        if values.size == 0:
            raise ValueError(f"{name} needs at least one number, got none")
    if not (scales > 0.0).all():
        raise ValueError(f"every scale must be > 0, got {float(scales[scales <= 0.0][0])!r}")
    task = task_of(p, Normal, grid, direction, log=log)
    by_nodes = _forward if task.direction == "forward" else _reverse
    divergence = (_of_cells if isinstance(task.target, Histogram) else by_nodes)(Reading(task), locs, scales)
    result = fit(task.target, Normal, task.grid, direction=task.direction, starts=_pits(divergence, locs, scales))
    inside = tuple(
        m for m in result.minima if locs.min() <= m.q.loc <= locs.max() and scales.min() <= m.q.scale <= scales.max()
    )
    return KLSurface(divergence, locs, scales, inside, task.direction)


def _of_cells(reading: Reading, locs: Floats, scales: Floats) -> Floats:
    """Divergences of a histogram, by the masses in its cells."""
    states = np.column_stack([np.repeat(locs, scales.size), np.tile(scales, locs.size)])
    return np.asarray(np.maximum(reading.objective(states).value, 0.0).reshape(locs.size, scales.size))


def _reverse(reading: Reading, locs: Floats, scales: Floats) -> Floats:
    """Reverse divergences from sums over the grid; see `fastkl.fitting.objectives`."""
    every_loc, every_scale = np.repeat(locs, scales.size), np.tile(scales, locs.size)
    sums, p = np.zeros((every_loc.size, 2)), reading.task.target._evaluation(reading.task.grid)
    surface_sums(
        every_loc.size, every_loc, every_scale, p.by_logs(), reading.task.grid._record(), sums, length=TOGETHER,
        items=reading.task.grid.size, work=p.work,
    )  # fmt: skip
    total, tilted = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        log_inside = np.minimum(np.log(total) - np.log(every_scale) - LOG_SQRT_2PI, 0.0)
        value = tilted / total - np.log(total) + math.log(reading.mass)
    more = log_inside - log_mass_inside(reading.task.target, reading.mass)
    value = np.where(total > 0.0, np.maximum(value, 0.0) + np.maximum(more, 0.0), np.inf)
    return np.asarray(value.reshape(locs.size, scales.size))


def _forward(reading: Reading, locs: Floats, scales: Floats) -> Floats:
    """Forward divergences from the moments of p; if the grid holds more of q (B) than of p (A), they add log(B/A)."""
    objective = reading.objective
    assert isinstance(objective, ForwardNormal)
    states = np.column_stack([np.repeat(locs, scales.size), np.tile(scales, locs.size)])
    more = [
        math.log1p(-outside) - objective.log_mass_inside if outside < 1.0 else 0.0
        for outside in (Normal(*state).mass_outside(reading.task.grid) for state in states.tolist())
    ]
    value = np.maximum(objective(states).value, 0.0) + np.maximum(more, 0.0)
    return np.asarray(value.reshape(locs.size, scales.size))


def _pits(divergence: Floats, locs: Floats, scales: Floats) -> list[tuple[float, float]]:
    """Points (loc, scale) at which the surface is lower than at all neighbours: further starts of a fit."""
    padded = np.pad(divergence, 1, constant_values=np.inf)
    n, m = divergence.shape
    around = [padded[i : i + n, j : j + m] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    with np.errstate(invalid="ignore"):
        low = np.isfinite(divergence) & np.all([divergence < other for other in around], axis=0)
    return [(float(locs[i]), float(scales[j])) for i, j in np.argwhere(low)]
