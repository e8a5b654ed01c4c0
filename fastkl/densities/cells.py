"""Masses of densities in the cells of a histogram, as logarithms, so that no cell of a far tail underflows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.densities.log_linear import to_peak
from fastkl.densities.mixture import Mixture
from fastkl.densities.tabulated import Tabulated
from fastkl.density import Density
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.families.univariate import Univariate
from fastkl.grids.rules import gauss_legendre
from fastkl.jit import Implementation
from fastkl.kernels.cells import OUTPUTS, Placed, cell_scores
from fastkl.kernels.normal_cells import Boxes, PlacedNormal, normal_cells
from fastkl.kernels.polynomials import monomials
from fastkl.validation import Floats

ORDER = 16
"""Number of nodes of a panel, for a density that is a function alone."""
AGREE = 1e-12
"""Relative difference of a panel's mass from that of its halves, above which the halves are cut again."""
CELLS_IN_TILE = 32
"""Number of cells of several axes that a thread takes together."""
MOST_CUTS = 40
"""Largest number of times that a panel is halved."""

Edges = Sequence[Floats]


class CellScores(NamedTuple):
    """Cells and a member of a family of k coordinates: log-masses, and the derivatives of these."""

    log_mass: Floats
    slope: Floats
    """First derivatives, shape (k, cells)."""
    bend: Floats
    """Second derivatives, shape (k, k, cells)."""


def scores_in_cells(
    member: Univariate, scores: Implementation, k: int, lower: Floats, upper: Floats, lowest: float = -math.inf
) -> CellScores:
    """The log-masses of a member of a family on the line, and their derivatives by k coordinates.

    The derivative of a log-mass is the mean of the scores in the cell; the second one is the mean of products of
    scores and of their derivatives, less the product of the means. A cell of a tail whose log-mass is below *lowest*
    counts as empty.
    """
    shift = member.loc if "loc" in member._held else 0.0  # type: ignore[attr-defined]
    lower, upper = lower - shift, upper - shift
    ends = member.support[0] - shift, member.support[1] - shift
    mirrored = member._mirrored()
    if mirrored is None:
        rows = _rows(member, scores, k, ends, lower, upper, lowest)
    else:  # a half of each cell on either side of 1/2, so that both x and 1 - x keep their digits
        left = _rows(member, scores, k, ends, np.minimum(lower, 0.5), np.minimum(upper, 0.5), lowest)
        right = _rows(mirrored, scores, k, ends, 1.0 - np.maximum(upper, 0.5), 1.0 - np.maximum(lower, 0.5), lowest)
        rows = _joined(left, right[_backwards(k)])
    slope = rows[1 : 1 + k]
    second = rows[_rows_of_pairs(k)] - slope[:, np.newaxis] * slope
    own = member._derivatives_in_cells(lower, upper) if k else None
    if own is not None:
        return CellScores(rows[0], *own)
    if k and member._has_kink:  # the score of loc jumps at loc by -2, and the density there is 1/(2 scale)
        at = np.flatnonzero((lower <= member.loc) & (member.loc < upper))  # type: ignore[attr-defined]
        second[0, 0, at] -= np.exp(-rows[0, at])
    return CellScores(rows[0], slope, second)


def _rows(
    member: Univariate,
    scores: Implementation,
    k: int,
    ends: tuple[float, float],
    lower: Floats,
    upper: Floats,
    lowest: float,
) -> Floats:
    """The rows that the kernel fills in: log-mass, means of scores, and of their products plus their derivatives."""
    out = np.empty((OUTPUTS, lower.size))
    where = np.array([*member._place_and_scale(), *ends], dtype=np.float64)
    parameters = np.array(member._score_parameters(), dtype=np.float64)
    cell_scores(lower.size, Placed(scores.address, parameters, k, where, lowest), lower, upper, out)
    return out


@cache
def _rows_of_pairs(k: int) -> NDArray[np.int64]:
    """The row of the kernel for each pair of k coordinates, shape (k, k)."""
    rows = np.zeros((k, k), np.int64)
    upper = np.triu_indices(k)
    rows[upper] = 1 + k + np.arange(len(upper[0]))
    rows.T[upper] = rows[upper]
    return rows


@cache
def _backwards(k: int) -> NDArray[np.int64]:
    """The order of the kernel's rows that makes the last of k coordinates the first one."""
    pairs = _rows_of_pairs(k)[::-1, ::-1][np.triu_indices(k)]
    used = np.concatenate([[0], np.arange(k, 0, -1), pairs]).astype(np.int64)
    return np.concatenate([used, np.arange(used.size, OUTPUTS)])


def _joined(one: Floats, other: Floats) -> Floats:
    """The rows for cells of two parts."""
    whole = np.logaddexp(one[0], other[0])
    with np.errstate(invalid="ignore"):
        shares = [np.where(whole > -np.inf, np.exp(part[0] - whole), 0.0) for part in (one, other)]
    return np.concatenate([whole[np.newaxis], shares[0] * one[1:] + shares[1] * other[1:]])


def normal_in_cells(
    mean: Floats, L: Floats, edges: Edges, degree: int, chosen: Any = None, lowest: float = -math.inf
) -> Floats:
    """Log-masses of a Normal of covariance L L', and the means of monomials of z = L**-1 (x - mean) in each cell.

    The rows are those of `fastkl.kernels.polynomials.exponents`; the first one holds the log-mass. *chosen* are the
    numbers of the cells that are wanted, by default all; those whose log-mass is below *lowest* count as empty.
    """
    W = np.tril(np.linalg.inv(L))
    shape, table = np.array([line.size - 1 for line in edges]), monomials(mean.size, degree)
    chosen = np.arange(int(shape.prod())) if chosen is None else chosen
    out = np.empty((table.outer.size, chosen.size))
    stds = np.sqrt((L * L).sum(axis=1))
    normal = PlacedNormal(np.ascontiguousarray(mean), W, W.T @ W, stds)
    constant = float(np.log(np.diag(W)).sum()) - mean.size * LOG_SQRT_2PI
    boxes = Boxes(np.concatenate(edges), shape, chosen, lowest - constant)
    # a cell takes a few thousand points on three axes
    normal_cells(chosen.size, normal, boxes, table, out, length=CELLS_IN_TILE, items=10**mean.size)
    out[0] += constant
    return out


def log_masses(density: Density, edges: Edges) -> Floats:
    """The logarithms of the masses of a density in the cells between *edges*, in the shape of the cells."""
    shape = tuple(line.size - 1 for line in edges)
    if isinstance(density, Mixture):
        parts = [math.log(w) + log_masses(part, edges) for w, part in density._present()]
        return np.asarray(reduce(np.logaddexp, parts), dtype=np.float64)
    if isinstance(density, MultivariateNormal):
        if density.ndim == 1:
            return log_masses(Normal(float(density.mean[0]), density.std), edges)
        L: Floats = np.asarray(np.linalg.cholesky(density.cov), dtype=np.float64)
        return np.reshape(normal_in_cells(density.mean, L, edges, 0)[0], shape)
    if isinstance(density, Univariate):
        return scores_in_cells(density, density._scores, 0, edges[0][:-1], edges[0][1:]).log_mass
    if density.ndim > 1:
        raise TypeError(f"the mass of {density!r} in cells of {density.ndim} dimensions is not known: give a Normal")
    return _of_table(density, edges[0]) if isinstance(density, Tabulated) else _of_function(density, edges[0])


def _of_table(table: Tabulated, edges: Floats) -> Floats:
    """Log-masses of a table on the line, which is linear in the log between its nodes, relative to their sum."""
    from scipy.special import logsumexp

    nodes = table.grid.axes[0]
    inside = edges[(edges > nodes[0]) & (edges < nodes[-1])]
    ends = np.union1d(nodes, inside)
    logs = np.asarray(table.logpdf(ends))
    low, high = logs[:-1], logs[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        pieces = np.maximum(low, high) + np.log(np.diff(ends) * to_peak(low, high))
    pieces[~np.isfinite(np.minimum(low, high))] = -np.inf
    return _by_cell(pieces - logsumexp(pieces), ends[:-1], edges)


def _of_function(density: Density, edges: Floats) -> Floats:
    """Log-masses of a density of which only values are known: panels are halved until their sums agree."""
    low, high = density.support
    lower, upper = np.clip(edges[[0, -1]], low, high)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise TypeError(f"the mass of {density!r} in a cell without an end is not known: take finite edges")
    marks = [x for place, width in density._landmarks for x in (place - width, place, place + width)]
    cuts = np.concatenate([edges, [*density._kinks, lower, upper, *marks]])
    left = np.unique(cuts[(cuts >= lower) & (cuts <= upper)])
    left, right = left[:-1], left[1:]
    settled: list[tuple[Floats, Floats]] = []
    whole = _panels(density.logpdf, left, right)
    for _ in range(MOST_CUTS):
        middle = 0.5 * (left + right)
        halves = np.stack([_panels(density.logpdf, left, middle), _panels(density.logpdf, middle, right)])
        both = np.logaddexp(*halves)
        top = max((float(sums.max()) for sums, _ in settled), default=-np.inf)
        level = max(top, float(both.max(initial=-np.inf)))
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.expm1(whole - both)) * np.exp(both - level)
        done = ~(apart > AGREE)
        settled.append((both[done], left[done]))
        left, right = (np.concatenate([x[~done], y[~done]]) for x, y in ((left, middle), (middle, right)))
        whole = halves[:, ~done].ravel()
        if not left.size:
            break
    settled.append((whole, left))
    sums, begins = (np.concatenate(column) for column in zip(*settled, strict=True))
    return _by_cell(sums, begins, edges)


def _panels(logpdf: Callable[[Floats], Any], left: Floats, right: Floats) -> Floats:
    """The logarithm of the integral over each panel."""
    from scipy.special import logsumexp

    nodes, weights = gauss_legendre(left, right, ORDER)
    with np.errstate(divide="ignore"):
        return np.asarray(logsumexp(np.asarray(logpdf(nodes)), b=weights, axis=-1), dtype=np.float64)


def _by_cell(logs: Floats, begins: Floats, edges: Floats) -> Floats:
    """The sums of exp(*logs*) over the pieces of each cell, as logarithms; pieces outside all cells are left out."""
    cell = np.searchsorted(edges, begins, side="right") - 1
    out = np.full(edges.size - 1, -np.inf)
    inside = (cell >= 0) & (cell < out.size)
    np.logaddexp.at(out, cell[inside], logs[inside])
    return out
