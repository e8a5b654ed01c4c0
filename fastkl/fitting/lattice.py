"""The lattice of Normals that a scan of a table compares with it: places all over an axis, on a ladder of scales.

As a function of its mean, the mean of log p under a Normal is log p, smoothed on the scale of the Normal, so that
places half a scale apart show all of it. With scales a factor of `RATIO` apart, every minimum of a reverse fit has a
member of the lattice near it. What a member weighs at each node is the same for all tables on an axis.

Members much wider than the steps of the nodes are compared with pools of neighbouring nodes, of 2, 4, 8 and more.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.grids import Axis
from fastkl.kernels.row_fits import TOGETHER
from fastkl.validation import Floats

RATIO = 1.4
"""Ratio of neighbouring scales."""
SPACING = 0.5
"""Distance of neighbouring places, in scales."""
LEAST_SCALE = 1.5
"""Least scale of a member, in distances of the nodes around it."""
WIDEST = 0.5
"""Largest scale, as a part of the length of the axis: a third of the Normal in its middle lies outside."""
REACH = 4.0
"""Distance from its place, in scales, up to which a member is compared."""
POOLS_IN_SCALE = 2.0
"""Least number of pools in a scale, if they are pools of more than one node."""

NONE = -1
"""Number that stands for no neighbour."""


class Lattice(NamedTuple):
    """Normals on an axis, as kernels read them."""

    blends: Floats
    """Share of the second of two pools in the pool that they make, for all pools of all levels but the nodes."""
    levels: NDArray[np.int64]
    """Index of the first pool of each level, and the number of all pools; level 0 are the nodes."""
    normals: Floats
    """Rows, one for each member: its mean, its scale, its mean of log q, and its mass outside the axis."""
    windows: NDArray[np.int64]
    """Rows, one for each member: its first pool, the number of pools, and the index of its first share."""
    shares: Floats
    """Shares of the pools in each member, one member after the other."""
    neighbours: NDArray[np.int64]
    """Rows, one for each member: the numbers of those beside it on the same scale, and of the nearest ones on the next
    smaller and the next larger scale."""


@functools.lru_cache(maxsize=16)
def lattice_of(axis: Axis) -> Lattice:
    """The lattice of an axis."""
    pools = _pools(axis)
    length = axis.upper - axis.lower
    least = 0.5 * LEAST_SCALE * float(_over_two_steps(axis).min())
    count = max(math.ceil(math.log(WIDEST * length / least) / math.log(RATIO)), 0) + 1
    members = [_on_scale(axis, pools, WIDEST * length * RATIO ** (k + 1 - count)) for k in range(count)]
    members = [member for member in members if member.normals.size]
    begins = np.cumsum([0, *(len(member.normals) for member in members)])
    neighbours = []
    for k, member in enumerate(members):
        places = member.normals[:, 0]
        own = np.arange(begins[k], begins[k + 1])
        gap = np.diff(places) > 1.5 * SPACING * member.normals[0, 1]
        left = np.append(NONE, np.where(gap, NONE, own[:-1]))
        right = np.append(np.where(gap, NONE, own[1:]), NONE)
        beside = [
            _nearest(members[j].normals[:, 0], places, member.normals[0, 1]) if 0 <= j < len(members) else None
            for j in (k - 1, k + 1)
        ]
        across = [
            np.full(own.size, NONE) if found is None else np.where(found < 0, NONE, found + begins[j])
            for found, j in zip(beside, (k - 1, k + 1), strict=True)
        ]
        neighbours.append(np.column_stack([left, right, *across]))
    sizes = np.concatenate([member.windows[:, 1] for member in members])
    windows = np.concatenate([member.windows for member in members])
    windows[:, 2] = np.cumsum(sizes) - sizes
    return Lattice(
        pools.blends,
        pools.levels,
        np.concatenate([member.normals for member in members]),
        windows,
        np.concatenate([member.shares for member in members]),
        np.concatenate(neighbours),
    )


class _Pools(NamedTuple):
    """Neighbouring nodes as one, on levels of 1, 2, 4 and more nodes."""

    places: list[Floats]
    weights: list[Floats]
    blends: Floats
    levels: NDArray[np.int64]


def _pools(axis: Axis) -> _Pools:
    places, weights, blends = [axis.all_nodes], [axis.weights()], []
    while places[-1].size >= 16:
        x, w = places[-1], weights[-1]
        if x.size % 2:  # the last one stays alone
            x, w = np.append(x, x[-1]), np.append(w, 0.0)
        pooled = w[::2] + w[1::2]
        share = w[1::2] / pooled
        blends.append(share)
        places.append(x[::2] + share * (x[1::2] - x[::2]))
        weights.append(pooled)
    begins = np.cumsum([0, *(x.size for x in places)])
    return _Pools(places, weights, np.concatenate([np.empty(0), *blends]), begins)


def _over_two_steps(axis: Axis) -> Floats:
    """The distance of each node from the next but one."""
    return axis.all_nodes[2:] - axis.all_nodes[:-2]


class _Members(NamedTuple):
    """Members of one scale."""

    normals: Floats
    windows: NDArray[np.int64]
    shares: Floats


def _on_scale(axis: Axis, pools: _Pools, scale: float) -> _Members:
    """The members of a scale, at places where the nodes are close enough."""
    from scipy.special import ndtr

    x, middle, spacing = axis.all_nodes, 0.5 * axis.lower + 0.5 * axis.upper, SPACING * scale
    close = np.flatnonzero(_over_two_steps(axis) <= 4.0 * scale)
    first, last = (np.round((x[close + k] - middle) / spacing) for k in (0, 2))
    numbers = np.unique(np.concatenate([np.clip(first + k, first, last) for k in range(math.ceil(4.0 / SPACING) + 1)]))
    places = middle + spacing * numbers
    places = places[(places >= axis.lower) & (places <= axis.upper)]
    around = np.diff(np.searchsorted(axis.all_nodes, [places - 2.0 * scale, places + 2.0 * scale]), axis=0)[0]
    ends = np.minimum(places - axis.lower, axis.upper - places) < 2.0 * scale
    places = places[around >= np.where(ends, 2.0, 4.0) * LEAST_SCALE - 1]
    level = 0
    while level + 1 < len(pools.weights) and POOLS_IN_SCALE * pools.weights[level + 1].max() <= scale:
        level += 1
    x, w = pools.places[level], pools.weights[level]
    first = np.searchsorted(x, places - REACH * scale)
    sizes = np.searchsorted(x, places + REACH * scale) - first
    which = np.repeat(np.arange(places.size), sizes)
    index = np.arange(which.size) - np.repeat(np.cumsum(sizes) - sizes, sizes) + first[which]
    exponents = -0.5 * ((x[index] - places[which]) / scale) ** 2
    shares = w[index] * np.exp(exponents)
    totals = np.bincount(which, shares, places.size)
    shares /= totals[which]
    padded = sizes + -sizes % TOGETHER  # further shares are 0
    all_shares = np.zeros(int(padded.sum()))
    all_shares[np.arange(which.size) + np.repeat(np.cumsum(padded - sizes) - (padded - sizes), sizes)] = shares
    mean_log = np.bincount(which, shares * exponents, places.size) - np.log(totals)
    outside = ndtr((axis.lower - places) / scale) + ndtr((places - axis.upper) / scale)
    normals = np.column_stack([places, np.full(places.size, scale), mean_log, outside])
    windows = np.column_stack([first + pools.levels[level], padded, np.zeros_like(sizes)])
    return _Members(normals, windows, all_shares)


def _nearest(sorted_places: Floats, places: Floats, reach: float) -> NDArray[np.int64]:
    """The index of the nearest of *sorted_places* for each place; -1 if it is further than *reach*."""
    after = np.clip(np.searchsorted(sorted_places, places), 1, max(sorted_places.size - 1, 1))
    before = after - 1
    after = np.minimum(after, sorted_places.size - 1)
    nearer = np.where(places - sorted_places[before] <= sorted_places[after] - places, before, after)
    return np.where(np.abs(sorted_places[nearer] - places) <= reach, nearer, NONE)
