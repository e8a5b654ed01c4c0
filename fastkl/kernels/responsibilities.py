"""Sums for a step of expectation maximisation: how much of p each component of a mixture of Normals answers for."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, log
from fastkl.jit import block, buffer, buffers, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.axes import length_of_row
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.moments import DEGREE
from fastkl.kernels.polynomials import add_row, enter_component, fill_products
from fastkl.kernels.walk import enter_row, fill_logs, fill_run, new_run


@block
def _exponents(x, factor, loc, slope, out, top):
    """Fill in out = factor - z**2/2, the logarithm of a component, and top = max(top, out)."""
    for i in range(x.size):
        z = (x[i] - loc) * slope
        out[i] = factor - 0.5 * z * z
        top[i] = max(top[i], out[i])


@block
def _moments(x, share, part, loc, slope, sums):
    """Add the sums of share * part * z**k, k = 0, 1, 2, to *sums*."""
    s0, s1, s2 = 0.0, 0.0, 0.0
    for i in range(x.size):
        z = (x[i] - loc) * slope
        own = share[i] * part[i]
        s0 += own
        s1 += own * z
        s2 += own * z * z
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2


@tiled(outputs=0)
def responsibility_sums(partial, start, stop, factors, normals, p, grid, monomials):
    """The integrals of p, of p log q, and for each component of p r times every monomial up to degree 2 of its z.

    r is the component's share of q, and z = W (x - centre). A component is exp(factor - |z|**2/2).
    """
    D, parts, M = grid.layout.shape[0], factors.size, monomials.outer.size
    length, run, share = length_of_row(grid), new_run(grid), buffer(BLOCK)
    top, total, logs = buffer(BLOCK), buffer(BLOCK), buffers(parts, BLOCK)
    z, on_row, sums = np.zeros((parts, D)), buffers(parts, 3), buffers(parts, DEGREE + 1)
    products = buffer(monomials.parent.size)
    point = start
    while point < stop:
        first = point % length
        n = min(length - first, stop - point)
        shared = enter_row(run, grid, point // length)
        point += n
        for k in range(parts):
            squared, loc = enter_component(normals.whitenings[k], normals.centres[k], run.outer, z[k])
            on_row[k, 0] = factors[k] - 0.5 * squared
            on_row[k, 1] = loc
            on_row[k, 2] = normals.whitenings[k, D - 1, D - 1]
        sums[:] = 0.0
        mass, log_q = 0.0, 0.0
        for i in range(first, first + n, BLOCK):
            m = min(BLOCK, first + n - i)
            fill_run(run, grid, i, m)
            fill_logs(p, run, m, share)
            x, w = run.x[:m], run.w[:m]
            for j in range(m):
                share[j] = w[j] * exp_or_zero(share[j])
                top[j] = -np.inf
                total[j] = 0.0
            for k in range(parts):
                _exponents(x, on_row[k, 0], on_row[k, 1], on_row[k, 2], logs[k, :m], top[:m])
            for k in range(parts):
                for j in range(m):
                    logs[k, j] = exp_or_zero(logs[k, j] - top[j])
                    total[j] += logs[k, j]
            for j in range(m):
                mass += share[j]
                log_q += share[j] * (top[j] + log(total[j]))
                share[j] /= total[j]
            for k in range(parts):
                _moments(x, share[:m], logs[k, :m], on_row[k, 1], on_row[k, 2], sums[k])
        partial[0] += shared * mass
        partial[1] += shared * log_q
        for k in range(parts):
            fill_products(shared, z[k], monomials, products)
            add_row(products, sums[k], monomials, partial[2 + k * M : 2 + (k + 1) * M])
