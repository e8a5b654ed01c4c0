"""Where to start a reverse fit: at every mode, and at the moment match of every group of neighbours.

A minimum that spans two modes is not reached from either of them, but from the Normal that has the
moments of both.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from fastkl.densities.summary import Summary
from fastkl.validation import Floats

MAX_BASINS = 12
"""More modes than this are merged, the shallowest first: n basins make n(n+1)/2 groups."""

HALF_NAT = 0.5
"""A Normal has fallen by half a nat at one standard deviation from its peak."""

Start = tuple[float, float]
"""(loc, scale)"""


def starting_points(summary: Summary) -> list[Start]:
    """Starting points for a Normal, from one pass over p."""
    edges = basins(summary.peak)
    found: list[Start] = []
    for left in range(len(edges) - 1):
        found.append(_at_mode(summary, edges[left], edges[left + 1]))
        for right in range(left + 1, len(edges)):
            mass, mean, std = summary.moments(slice(edges[left], edges[right]))
            if mass > 0.0:
                found.append((mean, std))
    return [(loc, scale) for loc, scale in found if math.isfinite(loc) and scale > 0.0]


def basins(peak: Floats) -> list[int]:
    """Cut the cells at the valleys between modes: ``[0, ..., len(peak)]``, one basin for each mode.

    While there are too many, the mode that rises least above the higher of its valleys is merged into
    its neighbour across that valley.
    """
    modes = _local_maxima(peak)
    valleys = [a + int(np.argmin(peak[a : b + 1])) for a, b in itertools.pairwise(modes)]
    while len(modes) > MAX_BASINS:
        rise = [
            peak[m]
            - max(
                peak[valleys[i - 1]] if i > 0 else -math.inf,
                peak[valleys[i]] if i < len(valleys) else -math.inf,
            )
            for i, m in enumerate(modes)
        ]
        i = int(np.argmin(rise))
        after = i < len(valleys) and (i == 0 or peak[valleys[i]] >= peak[valleys[i - 1]])
        valleys.pop(i if after else i - 1)
        modes.pop(i)
    return [0, *valleys, len(peak)]


def _local_maxima(peak: Floats) -> list[int]:
    """Indices of local maxima; of a plateau, the middle."""
    change = np.flatnonzero(np.diff(peak)) + 1
    begins, ends = np.concatenate(([0], change)), np.concatenate((change, [peak.size]))
    level = peak[begins]
    rises = np.concatenate(([True], level[1:] > level[:-1]))
    falls = np.concatenate((level[:-1] > level[1:], [True]))
    top = np.flatnonzero(rises & falls)
    return [int(begins[t] + ends[t] - 1) // 2 for t in top]


def _at_mode(summary: Summary, left: int, right: int) -> Start:
    """The mode of a basin, with the mean distance at which log p has fallen by half a nat."""
    peak = summary.peak[left:right]
    top = int(np.argmax(peak))
    fallen = np.flatnonzero(peak < peak[top] - HALF_NAT)
    before, after = fallen[fallen < top], fallen[fallen > top]
    loc = summary.grid.line.node(int(summary.peak_index[left + top]))
    reach = [abs(summary.centre[left + side] - loc) for side in (before[-1:], after[:1]) for side in side]
    return loc, float(np.mean(reach)) if reach else summary.moments(slice(left, right))[2]
