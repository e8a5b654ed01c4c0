"""Log-densities of the families on the line, and of mixtures of them, a run of points at a time."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero
from fastkl.jit import holes, instance
from fastkl.kernels import families
from fastkl.kernels.families import log1p
from fastkl.kernels.interfaces import EVALUATE, evaluate

log_density = holes("log_density")


def _fill(parts, components, values, nodes, outer, at, x, scratch, out):
    """Log-density of a family; the component holds the arguments of its function, after x."""
    factor, loc, inverse_scale = components[0, 0], components[0, 1], components[0, 2]
    first, second = components[0, 3], components[0, 4]
    for i in range(x.size):
        out[i] = log_density(x[i], factor, loc, inverse_scale, first, second)


FAMILIES = {
    function.__name__: EVALUATE.implement(instance(_fill, f"{function.__name__}_run", log_density=function))
    for function in (
        families.normal,
        families.laplace,
        families.logistic,
        families.student_t,
        families.gamma,
        families.beta,
        families.log_normal,
    )
}
"""Log-density of each family on a run of points, by the name of its function in `fastkl.kernels.families`."""


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
