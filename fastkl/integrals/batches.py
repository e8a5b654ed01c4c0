"""Divergences of batches of tables: one pass over all of them, in threads, with no copy of a whole batch."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays import entropy
from fastkl.densities import Density, Histogram, Tabulated
from fastkl.densities.values import Fault, blocks, log_values
from fastkl.grids import Grid
from fastkl.integrals.quadrature import log_mass_inside, require_mass
from fastkl.validation import Floats

LOWEST = -700.0
"""Logarithm above which exp gives a normal double; a formula that falls lower is compared by logarithms."""


def is_batch(density: Density) -> bool:
    """Whether *density* is a table of more than one density."""
    return isinstance(density, Tabulated) and density.batch_shape != ()


def batch_divergence(p: Density, q: Density, grid: Grid) -> Floats:
    """KL(p||q) for every table of a batch, in the shape of the batches of p and q broadcast against each other.

    The sums are those of `fastkl.entropy` along the axes of the grid, with its weights; a formula is evaluated once. A
    table of a batch that is no density gives NaN. Values that cannot be summed as they are stored, of a batch with a
    floor for instance, are taken a few rows at a time.
    """
    for density in (p, q):
        if isinstance(density, Tabulated) and density.grid != grid:
            raise ValueError(f"a batch is summed on its own grid, {grid!r}, but a table lives on {density.grid!r}")
    _check_shapes(p, q)
    logs = [None if _is_stored(density) else log_values(density, grid).reshape(grid.shape) for density in (p, q)]
    log = any(isinstance(d, Tabulated) and d.log for d in (p, q)) or any(map(_underflows, logs))
    weights: Any = math.prod(np.ix_(*grid.weights)) if grid.ndim > 1 else grid.weights[0]
    axes = tuple(range(-grid.ndim, 0))
    a, b = operands = [_Operand(density, own, log) for density, own in zip((p, q), logs, strict=True)]
    shape = np.broadcast_shapes(a.batch_shape, b.batch_shape)
    if all(operand.is_plain for operand in operands):
        divergence = entropy(a.values, b.values, axis=axes, weights=weights, log=log)
    else:
        parts = [
            entropy(a.rows(places, shape), b.rows(places, shape), axis=axes, weights=weights, log=log)
            for places in blocks(shape, grid.size)
        ]
        divergence = np.concatenate(parts).reshape(shape) if parts else np.empty(shape)
    for operand in operands:
        if operand.batch_shape and operand.table._faults.any():
            divergence[np.broadcast_to(operand.table._faults != Fault.NONE, shape)] = np.nan
    masses = [1.0 if isinstance(d, Tabulated) else o.mass(weights) for d, o in zip((p, q), operands, strict=True)]
    for density, mass in zip((p, q), masses, strict=True):
        require_mass(density, grid, mass)
    lost = log_mass_inside(p, masses[0]) - log_mass_inside(q, masses[1])
    return np.asarray(divergence + max(lost, 0.0))


def _check_shapes(p: Density, q: Density) -> None:
    shapes = [d.batch_shape for d in (p, q) if isinstance(d, Tabulated)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"batches of shapes {shapes[0]} and {shapes[1]} do not broadcast") from None


def _is_stored(density: Density) -> bool:
    """Whether *density* is a batch, or a table without a floor, whose values are used in the form that they have."""
    return isinstance(density, Tabulated) and (density.batch_shape != () or density.floor is None)


def _underflows(logs: Floats | None) -> bool:
    """Whether the exp of a logarithm would be 0 or lose digits, for a density that is not 0."""
    return logs is not None and bool(((logs < LOWEST) & (logs > -np.inf)).any())


class _Operand:
    """One of the two densities: its values on the grid as they are summed, densities or logarithms."""

    def __init__(self, density: Density, logs: Floats | None, log: bool) -> None:
        self.log = log
        self.batch_shape: tuple[int, ...] = ()
        if logs is not None:
            self.values: Any = logs if log else np.exp(logs)
            self.is_plain = True
            return
        self.table = cast(Tabulated, density)
        self.batch_shape = self.table.batch_shape
        self.is_plain = not self.batch_shape or (
            self.table.log == log and self.table.floor is None and not isinstance(density, Histogram)
        )
        if self.is_plain:
            self.values = self._as_summed(self.table.values)

    def _as_summed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the table, as logarithms if those are summed."""
        if self.table.log == self.log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(values))

    def rows(self, places: tuple[NDArray[np.intp], ...], shape: tuple[int, ...]) -> NDArray[Any]:
        """The values at some places of a batch of some shape, against which this one is broadcast."""
        if not self.batch_shape:
            return np.asarray(self.values)
        aligned = zip(places[len(shape) - len(self.batch_shape) :], self.batch_shape, strict=True)
        return self._as_summed(self.table._rows(tuple(at * (length > 1) for at, length in aligned)))

    def mass(self, weights: Floats) -> float:
        """The sum of a formula over the grid."""
        return float((weights * (np.exp(self.values) if self.log else self.values)).sum())
