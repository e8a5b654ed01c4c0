"""Moments of a density on a grid, in one pass.

On a small grid moments are sums over arrays, so that no kernel has to be compiled for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastkl.densities.values import Fault, log_values
from fastkl.grids import Grid
from fastkl.jit import numpy_suffices
from fastkl.kernels.moments import DEGREE, density_moments
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.validation import Floats

if TYPE_CHECKING:
    from fastkl.densities.tabulated import Tabulated
    from fastkl.density import Density

OFF_CENTRE = 5.0
"""Largest distance of the mean from the centre of moments, in standard deviations: beyond it they lose two digits."""

MAX_CENTRES = 10
"""Largest number of centres: re-centring converges in a round or two, except for a density on a single node, which has
no spread."""

SMALL_SHIFT = 1e-12
"""Relative shift of the mean below which re-centring has converged."""

ROUGH_POINTS = 2**14
"""Number of points that suffice to tell where a density is."""


class Moments(NamedTuple):
    """Moments of a density on a grid, from one pass."""

    mass: float
    """Integral over the grid; the other moments are of the density divided by it."""
    mean: Floats
    cov: Floats
    log_p: float
    """Mean of log p, with p as it was given."""


def moments(density: Density, grid: Grid) -> Moments:
    """Moments of the part of *density* that is on *grid*; NaN if it has no mass there."""
    if numpy_suffices(grid.size):
        return _of_values(log_values(density, grid).reshape(grid.shape), grid)
    rough = rough_moments(density, grid)
    return _centred(density, grid, rough.mean if np.isfinite(rough.mean).all() else _middle(grid))


def rough_moments(density: Density, grid: Grid) -> Moments:
    """Moments of *density* on *grid*, from a few of the points if there are many; NaN if it lies between them."""
    if numpy_suffices(grid.size):
        return moments(density, grid)
    return _centred(density, grid, _middle(grid), int((grid.size / ROUGH_POINTS) ** (1.0 / grid.ndim)))


def _centred(density: Density, grid: Grid, centre: Floats, stride: int = 1) -> Moments:
    """Moments about a place near the mean: about a far one a mean loses digits, and a difference of squares all."""
    for _ in range(MAX_CENTRES):
        found = _about(density, grid, centre, stride)
        std = np.sqrt(np.maximum(np.diag(found.cov), 0.0))
        if not found.mass > 0.0 or not (np.abs(found.mean - centre) > OFF_CENTRE * std).any():
            break
        centre = found.mean
    return found


def _middle(grid: Grid) -> Floats:
    return np.array([0.5 * (axis.lower + axis.upper) for axis in grid._parts])


def _of_values(logs: Floats, grid: Grid) -> Moments:
    """Moments from an array of log-densities, by its marginals on one axis and on two."""
    with np.errstate(over="ignore"):
        share = np.exp(logs)
    for d, weights in enumerate(grid.weights):
        share *= weights.reshape([-1 if k == d else 1 for k in range(grid.ndim)])
    mass, others = float(share.sum()), [tuple(k for k in range(grid.ndim) if k != d) for d in range(grid.ndim)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, marginals = _middle(grid), [share.sum(axis=o) for o in others]
        for _ in range(MAX_CENTRES):  # on a wide grid the first mean has few digits
            offsets = [x - centre for x, centre in zip(grid.axes, mean, strict=True)]
            shifts = np.array([w @ x for w, x in zip(marginals, offsets, strict=True)]) / mass
            mean = mean + shifts
            if not (np.abs(shifts) > SMALL_SHIFT * np.abs(mean)).any():
                break
        offsets = [x - centre for x, centre in zip(grid.axes, mean, strict=True)]
        cov = np.empty((grid.ndim, grid.ndim))
        for i in range(grid.ndim):
            cov[i, i] = marginals[i] @ offsets[i] ** 2 / mass
            for j in range(i):
                both = share.sum(axis=tuple(k for k in range(grid.ndim) if k not in (i, j)))
                cov[i, j] = cov[j, i] = offsets[j] @ both @ offsets[i] / mass
        log_p = float((share * np.where(share > 0.0, logs, 0.0)).sum()) / mass if mass > 0.0 else np.nan
    return Moments(mass, mean, cov, log_p)


def moments_of_batch(batch: Tabulated) -> tuple[Floats, Floats]:
    """Means and covariances of the tables of a batch, its axes in front; NaN for a table that is no density."""
    grid, shape = batch.grid, batch.batch_shape
    mean, cov = np.empty((*shape, grid.ndim)), np.empty((*shape, grid.ndim, grid.ndim))
    for rows in batch._blocks():
        mean[rows], cov[rows] = _of_rows(batch._rows(rows).astype(np.float64), grid, batch.log)
    bad = batch._faults != Fault.NONE
    mean[bad], cov[bad] = np.nan, np.nan
    return mean, cov


def _of_rows(values: Floats, grid: Grid, log: bool) -> tuple[Floats, Floats]:
    """Means and covariances of tables, one for each entry of the first axis."""
    peak = values.max(axis=tuple(range(1, values.ndim)), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.exp(values - peak) if log else values / peak
        for d, weights in enumerate(grid.weights):
            share *= weights.reshape([-1 if k == d else 1 for k in range(grid.ndim)])
        share /= share.sum(axis=tuple(range(1, values.ndim)), keepdims=True)
    marginals = [share.sum(axis=tuple(k + 1 for k in range(grid.ndim) if k != d)) for d in range(grid.ndim)]
    mean = np.empty((len(values), grid.ndim))
    offsets = []
    for d, (x, centre) in enumerate(zip(grid.axes, _middle(grid), strict=True)):
        rough = centre + marginals[d] @ (x - centre)
        near = x - rough[:, np.newaxis]
        mean[:, d] = rough + np.einsum("ri,ri->r", marginals[d], near)  # on a wide grid the first mean has few digits
        offsets.append(x - mean[:, d, np.newaxis])
    cov = np.empty((len(values), grid.ndim, grid.ndim))
    for i in range(grid.ndim):
        cov[:, i, i] = np.einsum("ri,ri->r", marginals[i], offsets[i] ** 2)
        for j in range(i):
            both = share.sum(axis=tuple(k + 1 for k in range(grid.ndim) if k not in (i, j)))
            cov[:, i, j] = cov[:, j, i] = np.einsum("rj,rji,ri->r", offsets[j], both, offsets[i])
    return mean, cov


def _about(density: Density, grid: Grid, centre: Floats, stride: int = 1) -> Moments:
    slopes = 2.0 / (np.array(grid.upper) - np.array(grid.lower))
    powers = exponents(grid.ndim, DEGREE)
    p = density._evaluation(grid)
    about = (np.asarray(centre, dtype=np.float64), slopes)
    sums = density_moments.total(
        grid._count(stride), p.by_logs(), grid._record(stride), *about, monomials(grid.ndim, DEGREE), work=p.work,
        outputs=len(powers) + 1,
    )  # fmt: skip
    mass = float(sums[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / mass
    first = means[1 : grid.ndim + 1]
    second = np.empty((grid.ndim, grid.ndim))
    for mean, power in zip(means[grid.ndim + 1 :], powers[grid.ndim + 1 :], strict=False):
        i, *rest = (d for d, count in enumerate(power) for _ in range(count))
        second[i, rest[0]] = second[rest[0], i] = mean
    scale = 1.0 / slopes
    return Moments(mass, centre + first * scale, (second - np.outer(first, first)) * np.outer(scale, scale), means[-1])
