"""Records that the Python layer hands to a kernel: the axes of a grid, and a density, each as a few arrays.

Arrays and numbers alone cross into parallel code and hit the disk cache; so a family is given by the addresses of its
functions, and one compiled kernel serves every grid and density.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.jit import Implementation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LOWER, UPPER, STEP = range(3)
LAST, STRIDE, NODES, WEIGHTS, EDGES, FILL = range(6)
FACTOR, BY_LOG, LOWEST = range(3)
LOG_DENSITY_OF, DENSITY_OF, BOUNDS_OF, REACH_OF = range(4)
BASE, START, EVERY, END, EVEN = range(5)
PLACE = 5
"""Length of ``at``, the place of a run of points: see `fastkl.kernels.interfaces`."""


class AxisLayout(NamedTuple):
    """Integers that describe an axis; they are a row of `GridRecord.layout`."""

    last: int
    """Index of the last node."""
    stride: int
    """Distance of the nodes that are used, counted in nodes; the last node is always used."""
    nodes: int
    """Index of the axis's first node in `GridRecord.nodes`; -1 if the nodes are equally spaced."""
    weights: int
    """Index of the axis's first weight in `GridRecord.weights`; -1 for the trapezoid and the midpoint rule."""
    edges: int
    """Index of the first edge of the axis's cells in `GridRecord.weights`; -1 unless the rule is the midpoint one."""
    fill: int
    """Address of the function that fills in nodes and weights: see `fastkl.kernels.axes`."""


class GridRecord(NamedTuple):
    """The axes of a grid, as a kernel reads them; equally spaced nodes take no memory."""

    nodes: Floats
    weights: Floats
    ends: Floats
    """Rows, one for each axis, of its lower end, its upper end, and the step of equally spaced nodes."""
    layout: Integers
    """Rows, one for each axis, of integers: see `AxisLayout`."""


class GridRecords(NamedTuple):
    """Grids with the same axes, each with strides of its own."""

    nodes: Floats
    weights: Floats
    ends: Floats
    layouts: Integers
    """The layout of each grid, shape (grids, axes, 6)."""

    @classmethod
    def of_strides(cls, grid: GridRecord, strides: Integers) -> GridRecords:
        """One grid for each row of *strides*, which has an entry for every axis."""
        layouts = np.repeat(grid.layout[np.newaxis], len(strides), axis=0)
        layouts[:, :, STRIDE] = strides
        return cls(grid.nodes, grid.weights, grid.ends, layouts)


class DensityRecord(NamedTuple):
    """A density, as a kernel reads it: see `fastkl.kernels.interfaces`."""

    functions: Integers
    """Addresses of the log-density and, if a kernel needs them, of the density, its bounds and its reach."""
    parts: Integers
    """Addresses of the log-densities that a mixture of several families is made of."""
    components: Floats
    """Rows of numbers, one for each component of a mixture."""
    values: Floats
    """The values of a table, in the order of its grid."""
    nodes: Floats
    """The nodes of a table that has a grid of its own: all axes, one after the other."""


class Normals(NamedTuple):
    """Normals in D dimensions, exp(-|W (x - centre)|**2/2) up to a factor."""

    centres: Floats
    whitenings: Floats
    """The lower triangular matrix W of each Normal, shape (n, D, D)."""


class NormalComponent(NamedTuple):
    """Component exp(factor - z**2/2) of a mixture of Normals, with z = (x - loc) * inverse_scale.

    In D dimensions a component is ``(factor, mean[0] ... mean[D - 1], W[0, 0], W[1, 0], W[1, 1] ...)`` with
    z = W (x - mean) and W lower triangular; this class is the case D = 1.
    """

    factor: float
    loc: float
    inverse_scale: float


class TableComponent(NamedTuple):
    """Density exp(factor + log of the value) of a table, no lower than exp(lowest)."""

    factor: float
    by_log: float
    """Whether the table holds logarithms."""
    lowest: float


NOTHING: Floats = np.empty(0)
NOTHING.flags.writeable = False


@dataclass(frozen=True)
class Evaluation:
    """Functions that evaluate a density, which are compiled when they are asked for, and the arrays that they read."""

    log_density: Implementation
    components: Floats
    values: Floats
    nodes: Floats
    parts: tuple[Implementation, ...] = ()
    """The log-densities of the components of a mixture of several families."""
    others: tuple[Implementation, ...] = ()
    """The functions for the density itself, its bounds and its reach; empty if there are none."""

    @property
    def work(self) -> int:
        """Number of densities that may be evaluated at a point."""
        return len(self.components)

    def by_logs(self) -> DensityRecord:
        """The record for a kernel that takes logarithms."""
        return self._record(self.log_density)

    def by_all(self) -> DensityRecord:
        """The record for a kernel that skips what is negligible."""
        return self._record(self.log_density, *self.others)

    def _record(self, *functions: Implementation) -> DensityRecord:
        return DensityRecord(_addresses(functions), _addresses(self.parts), self.components, self.values, self.nodes)


NO_ADDRESSES: Integers = np.empty(0, np.int64)
"""The addresses of no functions."""


def _addresses(functions: Sequence[Implementation]) -> Integers:
    if not functions:
        return NO_ADDRESSES
    return np.array([function.address for function in functions], dtype=np.int64)


def evaluation(
    log_density: Implementation,
    components: Sequence[Sequence[float]],
    *,
    parts: tuple[Implementation, ...] = (),
    others: tuple[Implementation, ...] = (),
    values: Floats = NOTHING,
    nodes: Floats = NOTHING,
) -> Evaluation:
    """The evaluation of a density by the given functions and arrays."""
    values, nodes = values.view(), nodes.view()
    for array in (values, nodes):
        array.flags.writeable = False  # writable and read-only arrays would be two types to compile for
    return Evaluation(log_density, np.array(components, dtype=np.float64), values, nodes, parts, others)
