"""What the edge hands to a kernel: the axes of a grid, and a density, each as a few arrays.

Arrays and numbers alone cross into parallel code and hit the disk cache; so a family is the addresses of its
functions, and one compiled kernel serves every grid and density.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.jit import Implementation

Floats = NDArray[np.float64]

LOWER, UPPER, STEP, LAST, STRIDE, NODES, WEIGHTS, EDGES, FILL = range(9)
FACTOR, BY_LOG, LOWEST = range(3)
LOG_DENSITY_OF, DENSITY_OF, BOUNDS_OF, REACH_OF = range(4)
BASE, START, EVERY, END, EVEN = range(5)
PLACE = 5
"""Numbers that say where a run of points is: see `fastkl.kernels.density`."""


class Geometry(NamedTuple):
    """The numbers of an axis; they are a row of `Axes.geometry`."""

    lower: float
    upper: float
    step: float
    last: float
    """Index of the last node."""
    stride: float
    """Every how many-th node is used; the last one always is."""
    nodes: float
    """Where its nodes begin in `Axes.nodes`; -1 where they are equally spaced."""
    weights: float
    """Where its weights begin in `Axes.weights`; -1 for those of the trapezoid and of the midpoint rule."""
    edges: float
    """Where the edges of its cells begin in `Axes.weights`; -1 unless the rule is the midpoint one."""
    fill: float
    """The address of the function that fills in nodes and weights: see `fastkl.kernels.axes`."""


class Axes(NamedTuple):
    """The axes of a grid; nothing of the length of an axis where the nodes are equally spaced."""

    nodes: Floats
    weights: Floats
    geometry: Floats


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
class DensityRecord:
    """A density, as the functions of `fastkl.kernels.density` read it; unpacked, what a kernel takes."""

    log_density: Implementation
    components: Floats
    """One row for each component of a mixture."""
    values: Floats
    """Of a table, in the order of its grid."""
    nodes: Floats
    """Of a table that has a grid of its own: all axes, one after the other."""
    others: tuple[Implementation, ...] = ()
    """The functions that give the density itself, its bounds and its reach, or none of them."""

    @property
    def work(self) -> int:
        """How many densities a point can take."""
        return len(self.components)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self._arrays(self.log_density)

    def bounded(self) -> Iterator[NDArray[Any]]:
        """With the addresses of all functions, for a kernel that skips what is negligible."""
        return self._arrays(self.log_density, *self.others)

    def _arrays(self, *functions: Implementation) -> Iterator[NDArray[Any]]:
        # a function is compiled when its address is asked for, so only those that are called are
        yield np.array([function.address for function in functions], dtype=np.int64)
        yield from (self.components, self.values, self.nodes)


def density_record(
    log_density: Implementation,
    components: Sequence[Sequence[float]],
    *,
    others: tuple[Implementation, ...] = (),
    values: Floats = NOTHING,
    nodes: Floats = NOTHING,
) -> DensityRecord:
    """The record of a density that these functions evaluate."""
    values, nodes = values.view(), nodes.view()
    for array in (values, nodes):
        array.flags.writeable = False  # writable and read-only arrays would be two types to compile for
    return DensityRecord(log_density, np.array(components, dtype=np.float64), values, nodes, others)
