"""Tables from containers that carry their own axes: columns in long form, a Series with its index, a DataArray."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastkl.grids import Grid
from fastkl.validation import Floats, as_line


def on_tensor_grid(columns: Mapping[str, Floats], values: Floats) -> tuple[Grid, Floats]:
    """The grid whose nodes are the rows of *columns*, one for each axis, in any order; and *values* in its shape.

    Raises
    ------
    ValueError
        If a node of the tensor grid has no row, or more than one; the message names the first.
    """
    lines = [np.unique(as_line(column, f"column {name}"), return_inverse=True) for name, column in columns.items()]
    shape = tuple(nodes.size for nodes, _ in lines)
    numbers = np.ravel_multi_index([places for _, places in lines], shape)
    taken, counts = np.unique(numbers, return_counts=True)
    n_missing = int(np.prod(shape, dtype=float)) - taken.size
    gap = int(np.argmax(np.append(taken, -1) != np.arange(taken.size + 1)))
    for first, n, are in (
        (taken[int(np.argmax(counts))], int((counts > 1).sum()), "stand in more than one row"),
        (gap, n_missing, "have no row"),
    ):
        if n:
            places = np.unravel_index(first, shape)
            named = zip(columns, lines, places, strict=True)
            node = ", ".join(f"{name} = {nodes[i]:.6g}" for name, (nodes, _), i in named)
            raise ValueError(
                f"a table on the axes {', '.join(columns)} has one row for each of its {' x '.join(map(str, shape))} "
                f"nodes, but {n} of them {are}, the first at {node}"
            )
    ordered = np.empty(shape)
    ordered.flat[numbers] = values
    return Grid.from_axes(*(nodes for nodes, _ in lines)), ordered
