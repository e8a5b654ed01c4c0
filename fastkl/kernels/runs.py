"""Log-densities on runs of points: of a family on the line, and of mixtures of families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastkl.elementary import exp_or_zero, log1p
from fastkl.jit import Implementation, holes, instance
from fastkl.kernels.interfaces import EVALUATE, evaluate

log_density = holes("log_density")


def _fill(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a family; the component holds the arguments of its function, after x."""
    factor, loc, inverse_scale = components[0, 0], components[0, 1], components[0, 2]
    first, second = components[0, 3], components[0, 4]
    for i in range(x.size):
        out[i] = log_density(x[i], factor, loc, inverse_scale, first, second)


def on_runs(name: str, function: Callable[..., Any]) -> Implementation:
    """The function that evaluates a family on runs, from its log-density ``(x, factor, loc, 1/scale, first, second)``.

    *name* is that of the family, by which profiles and the disk cache know the compiled code.
    """
    return EVALUATE.implement(instance(_fill, f"{name}_run", log_density=function))


@EVALUATE.implement
def mixture(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a mixture of families: the log of a weighted sum.

    ``parts`` holds the address of each component's function, and ``values`` the logarithm of its weight. The larger of
    two logarithms stays in front, so nothing underflows.
    """
    total = scratch[: x.size]
    for c in range(components.shape[0]):
        evaluate(parts[c], parts, components[c : c + 1], values, nodes, outer, at, x, scratch, total)
        for i in range(x.size):
            before = out[i] if c > 0 else -np.inf
            new = total[i] + values[c]
            ratio = exp_or_zero(-abs(before - new))  # 0 if both are infinite
            out[i] = max(before, new) + log1p(ratio)
