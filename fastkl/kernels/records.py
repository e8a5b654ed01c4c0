"""What the edge hands to a kernel: an axis and a density, each as two arrays.

Arrays and numbers alone cross into parallel code and hit the disk cache; so a family is the address of a
function, and one compiled kernel serves every axis and density.

An axis is ``(nodes, geometry)``: its nodes, or no nodes where they are equally spaced, and one row of
numbers in the order of :class:`Geometry`. A density is a :class:`DensityRecord`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.jit import Implementation

Floats = NDArray[np.float64]

LOWER, UPPER, STEP, LAST, STRIDE = range(5)
FACTOR, LOC, INVERSE_SCALE = range(3)
BY_LOG, LOWEST = range(1, 3)


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

    factor: float
    loc: float
    inverse_scale: float


class TableComponent(NamedTuple):
    """exp(factor + log of the value), no lower than exp(lowest)."""

    factor: float
    by_log: float
    """Whether the table holds logarithms."""
    lowest: float


class DensityRecord(NamedTuple):
    """A density, as the functions of `fastkl.kernels.log_density` read it."""

    address: Any
    """Of the function that evaluates it."""
    components: Floats
    """One row for each component of a mixture."""
    table: Floats
    """The values in row 0 and, where they have an axis of their own, its nodes in row 1."""

    @property
    def work(self) -> int:
        """How many densities a point can take."""
        return len(self.components)


NO_NODES: Floats = np.empty(0)
NO_TABLE: Floats = np.empty((1, 0))


def density_record(
    function: Implementation, components: Sequence[NamedTuple], table: Floats = NO_TABLE
) -> DensityRecord:
    """The record of a density that *function* evaluates."""
    table = table.view()
    table.flags.writeable = False  # writable and read-only arrays would be two types to compile for
    return DensityRecord(function.address, np.array(components), table)
