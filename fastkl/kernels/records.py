"""What the edge hands to a kernel: an axis and a density, each as two arrays.

Arrays alone cross into parallel code and hit the disk cache; so families are coded as numbers, and one
compiled kernel serves every axis and density.

An axis is ``(nodes, geometry)``: its nodes, or no nodes where they are equally spaced, and one row of
numbers in the order of :class:`Geometry`. A density is ``(components, table)``: one row for each
component of a mixture, in the order of :class:`Component`, and the table that a row of code ``TABLE``
speaks of, with the values in row 0 and, where it has an axis of its own, that axis's nodes in row 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL, TABLE = 0.0, 1.0
"""The codes of families."""

LOWER, UPPER, STEP, LAST, STRIDE = range(5)
CODE, FACTOR, LOC, INVERSE_SCALE = range(4)
BY_LOG, LOWEST = LOC, INVERSE_SCALE


class Geometry(NamedTuple):
    """The numbers of an axis."""

    lower: float
    upper: float
    step: float
    last: float
    """Index of the last node."""
    stride: float
    """Every how many-th node is used; the last one always is."""


class NormalComponent(NamedTuple):
    """exp(factor - z**2/2) with z = (x - loc) * inverse_scale."""

    code: float
    factor: float
    loc: float
    inverse_scale: float


class TableComponent(NamedTuple):
    """exp(factor + log of the value), no lower than exp(lowest)."""

    code: float
    factor: float
    by_log: float
    """Whether the table holds logarithms."""
    lowest: float


NO_NODES: Floats = np.empty(0)
NO_TABLE: Floats = np.empty((1, 0))
