"""The families of densities: the errors of their automatic grids, and the parameters and methods of their fits.

``python -m bench.families`` writes them into ``docs/densities.md`` and ``docs/fits.md``; with ``--print`` it only
prints them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np

from bench.pages import write_part
from fastkl import Density, Grid, MultivariateNormal, Normal, kl_divergence
from fastkl.closed_forms import closed_form
from fastkl.families import FAMILIES, FORMULAS
from tests.grids.test_cover import reference
from tests.references import REFERENCES

OTHER = Normal(0.5, 2)
"""The density that each of them is compared with, besides those of its own family."""

PLACES = -1000.0, -100.0, -30.0, -10.0, -3.0, 0.0, 3.0, 10.0, 30.0, 100.0, 1000.0
"""Where mpmath splits the line, in widths from each place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="do not write the page")
    lines = [
        "| family | support | closed form for q in | automatic grid | worst relative error, number of pairs |",
        "|---|---|---|---|---|",
        *(_row(family, [family(*numbers) for numbers in REFERENCES[name].tame]) for name, family in FAMILIES.items()),
        *(_row(MultivariateNormal, _normals(ndim)) for ndim in (2, 3)),
    ]
    pages = {"densities.md": "\n".join(lines), "fits.md": "\n".join(_rows_of_fits())}
    print("\n\n".join(pages.values()))
    if not parser.parse_args().print:
        for page, text in pages.items():
            write_part(page, "families", text)


def _rows_of_fits() -> Iterator[str]:
    yield "| family | parameters, as `parameter_names` has them | forward |"
    yield "|---|---|---|"
    for name, family in FAMILIES.items():
        parameters = ", ".join(coordinate.name for coordinate in family._coordinates)
        held = "".join(f"; `{held}=` holds it" for held in family._scores_of_held)
        fixed = "".join(f"; {fixed} is {value:g}" for fixed, value in family._held.items())
        yield f"| `{name}` | {parameters}{held}{fixed} | {family._forward_fit} |"
    yield (
        "| `multivariate_normal` | mean, and the Cholesky factor L of the covariance, its diagonal by logarithms; "
        "`covariance_type` 'full', 'diag' (mean field), 'spherical' | mean and covariance, variances, mean variance |"
    )
    yield (
        "| `mixture` | weights and Normals of `n_components` components, on one axis or more "
        "| expectation maximisation; forward only |"
    )


def _row(family: type[Density], instances: list[Density]) -> str:
    pairs = list(itertools.permutations(instances, 2))
    if instances[0].ndim == 1:
        pairs += [(p, OTHER) for p in instances]
    errors, grids = [], []
    for p, q in pairs:
        exact = closed_form(p, q)
        if exact == math.inf:
            continue
        grids.append(Grid.cover(p, q))
        exact = reference(p, q, _breaks(p, q)) if exact is None else exact
        errors.append(abs(kl_divergence(p, q, grids[-1]) / exact - 1.0))
    sizes = [grid.size for grid in grids]
    rule = "uniform" if grids[0].rule == "trapezoid" else "panels"
    where = "" if instances[0].ndim == 1 else f" in {instances[0].ndim} dimensions"
    return (
        f"| `{_signature(family)}`{where} | {_support(instances[0])} | {_formulas(family)} "
        f"| {rule}, {min(sizes)} to {max(sizes)} points | {max(errors):.0e}, {len(errors)} |"
    )


def _signature(family: type[Density]) -> str:
    if not dataclasses.is_dataclass(family):
        return f"{family.__name__}(mean, cov)"
    parts = [
        field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default:g}"
        for field in dataclasses.fields(family)
    ]
    return f"{family.__name__}({', '.join(parts)})"


def _support(density: Density) -> str:
    if density.ndim > 1:
        return "everywhere"
    lower, upper = density.support
    if math.isinf(lower):
        return "the line"
    start = "loc" if hasattr(density, "loc") else f"{lower:g}"
    return f"above {start}" if math.isinf(upper) else f"[{start}, {upper:g}]"


def _formulas(family: type[Density]) -> str:
    others = [q.__name__ for p, q in FORMULAS if p is family]
    return ", ".join(others) if others else "none"


def _normals(ndim: int) -> list[Density]:
    rng = np.random.default_rng(ndim)
    shapes = rng.normal(size=(3, ndim, ndim))
    return [MultivariateNormal(rng.normal(size=ndim), 0.3 * A @ A.T + np.eye(ndim)) for A in shapes]


def _breaks(p: Density, q: Density) -> list[float]:
    """Where a reference is split: far and near on both scales, at kinks, and at the ends of the support of p."""
    lower, upper = p.support
    marks = [(place, width) for density in (p, q) for place, width in density._landmarks]
    inner = {place + width * far for place, width in marks for far in PLACES} | {*p._kinks, *q._kinks}
    return [lower, *sorted(x for x in inner if lower < x < upper), upper]


if __name__ == "__main__":
    main()
