"""Densities and grids as dictionaries that JSON can hold, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastkl.densities.histogram import Histogram
from fastkl.densities.mixture import Mixture
from fastkl.densities.tabulated import Tabulated
from fastkl.families import FAMILIES, MultivariateNormal
from fastkl.grids import Grid
from fastkl.grids.axis import Axis, Rule

MIXTURE, MULTIVARIATE, TABLE, CELLS = "mixture", "multivariate_normal", "tabulated", "histogram"
"""Values of the key ``family`` for densities that are no family on the line."""


def plain(value: Any) -> Any:
    """*value* with lists for arrays and tuples, and strings that float() reads for inf and NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def family_name(q: Any) -> str:
    """The name of the family of q, as `fit` takes it."""
    if isinstance(q, Mixture):
        return MIXTURE
    return MULTIVARIATE if isinstance(q, MultivariateNormal) else str(q._name())


def parameters(q: Any) -> dict[str, Any]:
    """The parameters of a member of a family, by the names of its class."""
    if isinstance(q, Mixture):
        parts = [{"family": family_name(part), **parameters(part)} for part in q.components]
        return {"weights": list(q.weights), "components": parts}
    if isinstance(q, MultivariateNormal):
        return {"mean": q.mean.tolist(), "cov": q.cov.tolist()}
    return dataclasses.asdict(q)


def with_parameters(family: str, numbers: Mapping[str, Any]) -> Any:
    """The member of a family with these parameters; other keys are passed over."""
    if family == MIXTURE:
        parts = [with_parameters(part["family"], part) for part in numbers["components"]]
        return Mixture(parts, numbers["weights"])
    if family == MULTIVARIATE:
        return MultivariateNormal(numbers["mean"], numbers["cov"])
    if family not in FAMILIES:
        raise ValueError(f"family must be {', '.join(map(repr, [*FAMILIES, MULTIVARIATE, MIXTURE]))}, got {family!r}")
    known: Any = FAMILIES[family]
    return known(**{field.name: numbers[field.name] for field in dataclasses.fields(known)})


def density_as_dict(p: Any, *, values: bool) -> dict[str, Any]:
    """A target, from which `density_from_dict` restores it; a table only if its *values* are to be kept."""
    if isinstance(p, Histogram):
        kept = {"counts": plain(p.counts), "edges": plain(p.edges), "pseudocount": p.pseudocount, "n": p.n}
        return {"family": CELLS, **(kept if values else {})}
    if isinstance(p, Tabulated):
        kept = {"grid": grid_as_dict(p.grid), "log": p.log, "floor": p.floor, "values": plain(p.values)}
        return {"family": TABLE, **(kept if values else {})}
    if isinstance(p, Mixture | MultivariateNormal) or type(p) in FAMILIES.values():
        return {"family": family_name(p), **parameters(p)}
    return {"family": None, "repr": repr(p)}


def density_from_dict(content: Mapping[str, Any]) -> Any:
    """The density that `density_as_dict` was given; None if the dictionary does not hold it."""
    if content["family"] == CELLS and "counts" in content:
        counts, edges = np.array(content["counts"], dtype=np.float64), [np.array(e, float) for e in content["edges"]]
        return Histogram(counts, edges, pseudocount=content["pseudocount"])
    if content["family"] == TABLE and "values" in content:
        values = np.array(content["values"], dtype=np.float64)
        return Tabulated(grid_from_dict(content["grid"]), values, log=content["log"], floor=content["floor"])
    return None if content["family"] in (None, TABLE, CELLS) else with_parameters(content["family"], content)


def grid_as_dict(grid: Grid) -> dict[str, Any]:
    """Ends, numbers of nodes and rules of the axes; for several axes, in lists.

    Nodes, or for rules on cells and panels their edges, are there if the nodes are not equally spaced.
    """
    axes = [
        {
            "lower": axis.lower,
            "upper": axis.upper,
            "n": axis.n,
            "rule": axis.rule,
            "nodes": None if axis.is_uniform or axis.edges.size else axis.nodes.tolist(),
            "edges": axis.edges.tolist() if axis.edges.size else None,
        }
        for axis in grid._parts
    ]
    return axes[0] if len(axes) == 1 else {name: [axis[name] for axis in axes] for name in axes[0]}


def grid_from_dict(content: Mapping[str, Any]) -> Grid:
    """The grid that `grid_as_dict` was given."""
    axes = [content]
    if isinstance(content["rule"], list):
        axes = [{name: content[name][d] for name in content} for d in range(len(content["rule"]))]
    return Grid(tuple(_axis(**axis) for axis in axes))


def _axis(lower: float, upper: float, n: int, rule: Rule, nodes: list[float] | None, edges: list[float] | None) -> Axis:
    if nodes is not None:
        return Axis.through(nodes, rule)
    if edges is None:
        return Axis.uniform(lower, upper, n)
    return Axis.of_cells(edges) if rule == "midpoint" else Axis.gauss_legendre(edges, n // (len(edges) - 1))
