"""The KL integral of two densities over an axis, both evaluated on the way."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import kl_term, kl_term_of_logs
from fastkl.jit import tiled
from fastkl.kernels.axes import fill_nodes, fill_weights, full_index
from fastkl.kernels.log_density import BLOCK, fill_log_density
from fastkl.kernels.records import LAST, STRIDE


@tiled(outputs=4)
def kl_integral(partial, start, stop, a, components_a, table_a, b, components_b, table_b, log_factor, nodes, geometry):
    """The integrals of a log(a/b) - a + b, a, b and b - a, where b is multiplied by exp(log_factor)."""
    x, w, scratch = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    log_a, log_b = np.empty(BLOCK), np.empty(BLOCK)
    divergence, mass_a, mass_b, surplus = 0.0, 0.0, 0.0, 0.0
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        fill_nodes(nodes, geometry, begin, x[:n])
        fill_weights(nodes, geometry, begin, w[:n])
        fill_log_density(a, components_a, table_a, geometry, begin, x[:n], scratch[:n], log_a[:n])
        fill_log_density(b, components_b, table_b, geometry, begin, x[:n], scratch[:n], log_b[:n])
        for i in range(n):
            term, density_a, density_b = kl_term_of_logs(log_a[i], log_b[i] + log_factor)
            divergence += w[i] * term
            mass_a += w[i] * density_a
            mass_b += w[i] * density_b
            surplus += w[i] * (density_b - density_a)
    partial[0], partial[1], partial[2], partial[3] = divergence, mass_a, mass_b, surplus


@tiled(outputs=4)
def kl_integral_of_values(partial, start, stop, a, b, factor, nodes, geometry):
    """The same for two tables of values on the axis, without logarithms: keeps all digits as b -> a."""
    w, stride, last = np.empty(BLOCK), int(geometry[STRIDE]), int(geometry[LAST])
    divergence, mass_a, mass_b, surplus = 0.0, 0.0, 0.0, 0.0
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        fill_weights(nodes, geometry, begin, w[:n])
        for i in range(n):
            j = full_index(begin + i, stride, last)
            density_a, density_b = a[j], factor * b[j]
            divergence += w[i] * kl_term(density_a, density_b)
            mass_a += w[i] * density_a
            mass_b += w[i] * density_b
            surplus += w[i] * (density_b - density_a)
    partial[0], partial[1], partial[2], partial[3] = divergence, mass_a, mass_b, surplus
