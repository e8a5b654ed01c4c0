"""What the edge hands to a kernel: the axes of a grid, and a density, each as a few arrays.

Arrays and numbers alone cross into parallel code and hit the disk cache; so a family is the addresses of its
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
"""Numbers that say where a run of points is: see `fastkl.kernels.interfaces`."""


class AxisLayout(NamedTuple):
    """The integers of an axis; they are a row of `GridRecord.layout`."""

    last: int
    """Index of the last node."""
    stride: int
    """Distance of the nodes that are used, in nodes; the last one always is."""
    nodes: int
    """Where its nodes begin in `GridRecord.nodes`; -1 where they are equally spaced."""
    weights: int
    """Where its weights begin in `GridRecord.weights`; -1 for those of the trapezoid and of the midpoint rule."""
    edges: int
    """Where the edges of its cells begin in `GridRecord.weights`; -1 unless the rule is the midpoint one."""
    fill: int
    """The address of the function that fills in nodes and weights: see `fastkl.kernels.axes`."""


class GridRecord(NamedTuple):
    """The axes of a grid, as a kernel reads them; equally spaced nodes take no memory."""

    nodes: Floats
    weights: Floats
    ends: Floats
    """A row of each axis: its lower end, its upper end, and the step of equally spaced nodes."""
    layout: Integers
    """A row of each axis: see `AxisLayout`."""


class GridRecords(NamedTuple):
    """Grids with the same axes and strides of their own."""

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
    """Addresses: of the log-density, and then of the density, its bounds and its reach if a kernel needs them."""
    parts: Integers
    """Addresses of the log-densities that a mixture of several families is made of."""
    components: Floats
    """A row of each component of a mixture."""
    values: Floats
    """The values of a table, in the order of its grid."""
    nodes: Floats
    """The nodes of a table that has a grid of its own: all axes, one after the other."""


class Normals(NamedTuple):
    """Normals in D dimensions, exp(-|W (x - centre)|**2/2) but for a factor."""

    centres: Floats
    whitenings: Floats
    """The lower triangular W of each, shape (n, D, D)."""


class NormalComponent(NamedTuple):
    """exp(factor - z**2/2) with z = (x - loc) * inverse_scale.

    In D dimensions a component is ``(factor, mean[0] ... mean[D - 1], W[0, 0], W[1, 0], W[1, 1] ...)`` with
    z = W (x - mean) and W lower triangular; this is D = 1.
    """

    factor: float
    loc: float
    inverse_scale: float


class TableComponent(NamedTuple):
    """exp(factor + log of the value), no lower than exp(lowest)."""

    factor: float
    by_log: float
    """Whether the table holds logarithms."""
    lowest: float


NOTHING: Floats = np.empty(0)
NOTHING.flags.writeable = False


@dataclass(frozen=True)
class Evaluation:
    """How a density is evaluated: the functions, which are compiled when they are asked for, and what they read."""

    log_density: Implementation
    components: Floats
    values: Floats
    nodes: Floats
    parts: tuple[Implementation, ...] = ()
    """The log-densities of the components of a mixture of several families."""
    others: tuple[Implementation, ...] = ()
    """The functions that give the density itself, its bounds and its reach, or none of them."""

    @property
    def work(self) -> int:
        """How many densities a point can take."""
        return len(self.components)

    def by_logs(self) -> DensityRecord:
        """The record for a kernel that takes logarithms."""
        return self._record(self.log_density)

    def by_all(self) -> DensityRecord:
        """The record for a kernel that skips what is negligible."""
        return self._record(self.log_density, *self.others)

    def _record(self, *functions: Implementation) -> DensityRecord:
        return DensityRecord(_addresses(functions), _addresses(self.parts), self.components, self.values, self.nodes)


def _addresses(functions: Sequence[Implementation]) -> Integers:
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
    """The evaluation of a density by these functions."""
    values, nodes = values.view(), nodes.view()
    for array in (values, nodes):
        array.flags.writeable = False  # writable and read-only arrays would be two types to compile for
    return Evaluation(log_density, np.array(components, dtype=np.float64), values, nodes, parts, others)
