"""Divergences of batches of tables: one pass over all of them, in threads, with no copy of a whole batch."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from fastkl.arrays import entropy
from fastkl.densities import Density, Tabulated
from fastkl.densities.values import log_values
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

    The sums are those of `fastkl.entropy` along the axes of the grid, with its weights; a formula is evaluated once.
    """
    for density in (p, q):
        if isinstance(density, Tabulated) and density.grid != grid:
            raise ValueError(f"a batch is summed on its own grid, {grid!r}, but a table lives on {density.grid!r}")
    _check_shapes(p, q)
    logs = [None if _is_plain(density) else log_values(density, grid).reshape(grid.shape) for density in (p, q)]
    log = any(isinstance(d, Tabulated) and d.log for d in (p, q)) or any(map(_underflows, logs))
    values = [_values(density, own, log) for density, own in zip((p, q), logs, strict=True)]
    weights = math.prod(np.ix_(*grid.weights)) if grid.ndim > 1 else grid.weights[0]
    axes = tuple(range(-grid.ndim, 0))
    divergence = entropy(values[0], values[1], axis=axes, weights=weights, log=log)
    masses = [
        float((weights * (np.exp(v) if log else v)).sum()) if not isinstance(d, Tabulated) else 1.0
        for v, d in zip(values, (p, q), strict=True)
    ]
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


def _is_plain(density: Density) -> bool:
    """Whether *density* is a table whose values are used as they are stored."""
    return isinstance(density, Tabulated) and density.floor is None


def _underflows(logs: Floats | None) -> bool:
    """Whether the exp of a logarithm would be 0 or lose digits, for a density that is not 0."""
    return logs is not None and bool(((logs < LOWEST) & (logs > -np.inf)).any())


def _values(density: Density, logs: Floats | None, log: bool) -> Any:
    if logs is not None:
        return logs if log else np.exp(logs)
    table = cast(Tabulated, density)
    if table.log == log:
        return table.values
    with np.errstate(divide="ignore"):
        return np.log(table.values)
