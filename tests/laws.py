"""The objective of a fit against `kl_divergence`: its value, and its derivatives by central differences."""

from __future__ import annotations

import numpy as np

from fastkl import kl_divergence, kl_objective

PLACES = np.arange(-3.0, 4.0)
FIRST = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
SECOND = np.array([2, -27, 270, -490, 270, -27, 2]) / 180
"""Both are of the sixth order: off by step**6/140 and step**6/560 times the derivative that comes next."""


def check_derivatives(p, family, q, grid, direction, step=0.01, **options):
    """At q; over 3 steps the sum over the grid must be smooth, which for a Laplace means: no node is passed."""
    objective = kl_objective(p, family, grid, direction=direction, **options)
    theta = objective.theta(q)
    value, gradient, hessian = objective(theta)
    # a place, and an entry of a Cholesky factor, move in units of the standard deviation, a logarithm by itself
    scale = np.sqrt(np.mean(np.diag(q.cov))) if q.ndim > 1 or hasattr(q, "cov") else getattr(q, "scale", 1.0)
    units = np.array([1.0 if "log(" in name or name == "c" else scale for name in objective.names])

    def along(direction_of_step):
        pairs = [objective.density(theta + step * place * units * direction_of_step) for place in PLACES]
        return np.array([kl_divergence(*((p, at) if direction == "forward" else (at, p)), grid) for at in pairs])

    axes = np.eye(len(objective.names))
    values = [along(axis) for axis in axes]
    np.testing.assert_allclose(value, values[0][3], rtol=1e-12, atol=1e-14)
    slopes = np.array([FIRST @ line for line in values]) / step
    bends = np.diag([SECOND @ line for line in values]) / step**2
    for i, j in zip(*np.triu_indices(len(axes), 1), strict=True):
        diagonal = SECOND @ along(axes[i] + axes[j]) / step**2
        bends[i, j] = bends[j, i] = 0.5 * (diagonal - bends[i, i] - bends[j, j])
    # a value is rounded to a few 1e-16 of its terms, which second differences divide by step**2 = 1e-4: 1e-11 of a
    # value of a few nats; the differences themselves err by 1e-12/140 times a derivative that is up to 1e3 here
    size = max(1.0, float(values[0][3]), float(np.abs(bends).max()))
    np.testing.assert_allclose(gradient * units, slopes, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(hessian * np.outer(units, units), bends, rtol=0, atol=1e-9 * size)
