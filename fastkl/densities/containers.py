"""Tables from containers that carry their own axes: columns in long form, a Series with its index, a DataArray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastkl.grids import Grid
from fastkl.grids.axis import Axis
from fastkl.validation import Floats, as_line, as_reals


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


def of_series(series: Any) -> tuple[Grid, Floats]:
    """The grid of a pandas Series, from its index, and its values."""
    index: Any = getattr(series, "index", None)
    if not hasattr(index, "nlevels") or series.ndim != 1:
        raise TypeError(
            f"from_series takes a pandas Series, whose index is x, got {type(series).__name__}; columns, such as those "
            'of a polars DataFrame, go into Tabulated(Grid.from_axes(df["x"]), df["p"])'
        )
    known = series.dtype.kind in "biuf"  # of pandas' own kinds of numbers too, in which NA stands for no number
    values = as_reals(series.to_numpy(np.float64, na_value=np.nan) if known else series.to_numpy(), "values")
    if index.nlevels > 1:
        numbers = [_numbers(index.get_level_values(i), f"level {i} of the index") for i in range(index.nlevels)]
        named = len(set(index.names) - {None}) == index.nlevels
        names = map(str, index.names) if named else (f"level {i}" for i in range(index.nlevels))
        return on_tensor_grid(dict(zip(names, numbers, strict=True)), values)
    nodes = _numbers(index, "the index")
    falling = np.flatnonzero(np.diff(nodes) <= 0.0)
    if falling.size:
        at = int(falling[0])
        remedy = "sort it with series.sort_index()" if nodes[at + 1] < nodes[at] else "every x has one value"
        raise ValueError(
            f"the index must increase strictly, but entry {at} is {nodes[at]} and entry {at + 1} is {nodes[at + 1]}; "
            f"{remedy}"
        )
    return Grid.from_axes(nodes), values


def of_data_array(array: Any) -> tuple[Grid, Floats]:
    """The grid of an xarray.DataArray, from the coordinates of its dimensions, and its values in their order."""
    from xarray import DataArray, Dataset

    if not isinstance(array, DataArray):
        hint = "; take one of its variables, dataset[name]" if isinstance(array, Dataset) else ""
        raise TypeError(f"from_xarray takes an xarray.DataArray, got {type(array).__name__}{hint}")
    if not array.dims:
        raise ValueError("a DataArray without dimensions is no table: it needs at least one")
    values, axes = as_reals(array.values, "values"), []
    for d, name in enumerate(array.dims):
        if name not in array.coords:
            raise ValueError(
                f"dimension {name!r} has no coordinate: give it one with array.assign_coords({{{name!r}: nodes}})"
            )
        nodes = _numbers(array.coords[name], f"coordinate {name!r}")
        if nodes.size > 1 and nodes[0] > nodes[-1]:
            nodes, values = nodes[::-1], np.flip(values, axis=d)
        level = np.flatnonzero(np.diff(nodes) <= 0.0)
        if level.size:
            at = int(level[0])
            raise ValueError(
                f"coordinate {name!r} must increase or decrease strictly, but {nodes[at]} and {nodes[at + 1]} are "
                f"neighbours; sort it with array.sortby({name!r})"
            )
        try:
            axes.append(Axis.through(nodes))
        except ValueError as error:
            raise ValueError(f"coordinate {name!r}: {error}") from None
    return Grid(tuple(axes)), values


def _numbers(labels: Any, name: str) -> Floats:
    """The labels of an axis, which have to be numbers: dates would count days or nanoseconds unasked."""
    if getattr(labels.dtype, "kind", "O") not in "iuf":
        raise TypeError(f"{name} must be numbers, got {labels.dtype}; for dates take the time since a start in a unit")
    return as_line(labels.to_numpy(), name)
