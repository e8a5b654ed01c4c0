"""What a fit minimises against `kl_divergence`: its value, and its derivatives by central differences."""

from __future__ import annotations

import numpy as np

from fastkl import kl_divergence

PLACES = np.arange(-3.0, 4.0)
FIRST = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
SECOND = np.array([2, -27, 270, -490, 270, -27, 2]) / 180
"""Both are of the sixth order: off by step**6/140 and step**6/560 times the derivative that comes next."""


def check_derivatives(problem, q, step=0.01):
    """At q; over 3 steps the sum over the grid must be smooth, which for a Laplace means: no node is passed."""
    chart = problem.chart
    state = chart.state(q)
    local = problem.objective(state[np.newaxis])

    def along(direction):
        steps = step * np.multiply.outer(PLACES, direction)
        states = chart.move(np.repeat(state[np.newaxis], len(steps), axis=0), steps)
        return np.array([kl_divergence(*problem.order(chart.density(at)), problem.grid) for at in states])

    axes = np.eye(len(chart.parameter_names))
    values = [along(axis) for axis in axes]
    np.testing.assert_allclose(local.value[0], values[0][3], rtol=1e-12, atol=1e-14)
    gradient = np.array([FIRST @ line for line in values]) / step
    hessian = np.diag([SECOND @ line for line in values]) / step**2
    for i, j in zip(*np.triu_indices(len(axes), 1), strict=True):
        diagonal = SECOND @ along(axes[i] + axes[j]) / step**2
        hessian[i, j] = hessian[j, i] = 0.5 * (diagonal - hessian[i, i] - hessian[j, j])
    # a value is rounded to a few 1e-16 of its terms, which second differences divide by step**2 = 1e-4: 1e-11 of a
    # value of a few nats; the differences themselves err by 1e-12/140 times a derivative that is up to 1e3 here
    size = max(1.0, float(values[0][3]), float(np.abs(hessian).max()))
    np.testing.assert_allclose(local.gradient[0], gradient, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(local.hessian[0], hessian, rtol=0, atol=1e-9 * size)
