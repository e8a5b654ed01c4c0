"""Moments over a grid of any number of axes: of a density, and of Normals tilted by it.

Both moments are sums of polynomials of z = W (x - centre), with W lower triangular, so that along a row the last entry
of z alone changes: see `fastkl.kernels.polynomials`.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, fast_exp
from fastkl.jit import block, buffer, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.axes import grid_of, last_below, length_of_row
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.polynomials import add_row, enter_component, fill_products
from fastkl.kernels.walk import enter_row, fill_logs, fill_run, new_run

WINDOW = 9.0
"""Largest |z| of points that are not left out: those beyond weigh less than 3e-18 times a point at the mean."""

TILTED_DEGREE, DEGREE = 4, 2
"""Degrees of polynomials, of Normals and of densities: a divergence's Hessian takes products of scores of degree 2."""


@block
def _row_of_density(x, w, log_p, loc, slope, sums, entropy):
    """Add the sums of p z**k, k = 0, 1, 2, over points of a row to *sums*, and that of p log p to *entropy*."""
    s0, s1, s2, e = 0.0, 0.0, 0.0, 0.0
    for i in range(x.size):
        z = (x[i] - loc) * slope
        share = w[i] * exp_or_zero(log_p[i])
        s0 += share
        s1 += share * z
        s2 += share * z * z
        e += share * max(log_p[i], -1e300)  # not 0 * -inf
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2
    entropy[0] += e


@tiled(outputs=0)
def density_moments(partial, start, stop, p, grid, centre, slopes, monomials):
    """The integrals of p times every monomial up to degree 2 of z = (x - centre) slopes, and, last, of p log p."""
    D, length, last = grid.layout.shape[0], length_of_row(grid), monomials.outer.size
    run, log_p = new_run(grid), buffer(BLOCK)
    z, sums, entropy, products = buffer(D - 1), buffer(DEGREE + 1), buffer(1), buffer(monomials.parent.size)
    point = start
    while point < stop:
        first = point % length
        shared = enter_row(run, grid, point // length)
        n = min(length - first, stop - point)
        for k in range(sums.size):
            sums[k] = 0.0
        entropy[0] = 0.0
        for i in range(first, first + n, BLOCK):
            m = min(BLOCK, first + n - i)
            fill_run(run, grid, i, m)
            fill_logs(p, run, m, log_p)
            _row_of_density(run.x[:m], run.w[:m], log_p[:m], centre[D - 1], slopes[D - 1], sums, entropy)
        for d in range(D - 1):
            z[d] = (run.outer[d] - centre[d]) * slopes[d]
        fill_products(shared, z, monomials, products)
        add_row(products, sums, monomials, partial[:last])
        partial[last] += shared * entropy[0]
        point += n


@block
def add_powers(z, u, g, sums, tilted):
    """Add the sums of u z**k to *sums* and those of g z**k to *tilted*, k from 0 to 4."""
    m0, m1, m2, m3, m4 = 0.0, 0.0, 0.0, 0.0, 0.0
    g0, g1, g2, g3, g4 = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(z.size):
        square, uz, gz = z[i] * z[i], u[i] * z[i], g[i] * z[i]
        m0 += u[i]
        m1 += uz
        m2 += u[i] * square
        m3 += uz * square
        m4 += u[i] * square * square
        g0 += g[i]
        g1 += gz
        g2 += g[i] * square
        g3 += gz * square
        g4 += g[i] * square * square
    sums[0] += m0
    sums[1] += m1
    sums[2] += m2
    sums[3] += m3
    sums[4] += m4
    tilted[0] += g0
    tilted[1] += g1
    tilted[2] += g2
    tilted[3] += g3
    tilted[4] += g4


@block
def _row_of_normal(x, w, log_p, loc, slope, exponent, sums, tilted):
    """Add the sums of u z**k and of u z**k g, u = w exp(exponent - z**2/2), g = exponent - z**2/2 - log p.

    x, w and log_p become z, u and u g: in one loop, the ten sums would not fit into the registers beside the exp.
    """
    for i in range(x.size):
        z = (x[i] - loc) * slope
        e = exponent - 0.5 * z * z
        u = w[i] * fast_exp(e)
        x[i], w[i], log_p[i] = z, u, u * (e - log_p[i])
    add_powers(x, w, log_p, sums, tilted)


@tiled(outputs=0)
def normal_moments(partial, start, stop, tasks, normals, p, grids, monomials):
    """Sums of u and of u g, times every monomial up to degree 4 of z = W (x - mean), for Normals against a density p.

    With u = w exp(-|z|**2/2) and g = -|z|**2/2 - log p, the value, the gradient and the Hessian of KL(q||p) are made
    of these sums. A task is (number of the Normal, first point, one behind the last point); every Normal has a grid
    with strides of its own.
    """
    D, count_of_all = normals.centres.shape[1], monomials.outer.size
    run, log_p = new_run(grid_of(grids, 0)), buffer(BLOCK)
    z, products = buffer(D - 1), buffer(monomials.parent.size)
    sums, tilted = buffer(TILTED_DEGREE + 1), buffer(TILTED_DEGREE + 1)
    for t in range(start, stop):
        q, point, end = tasks[t, 0], tasks[t, 1], tasks[t, 2]
        centre, W = normals.centres[q], normals.whitenings[q]
        grid = grid_of(grids, q)
        length, slope = length_of_row(grid), W[D - 1, D - 1]
        while point < end:
            first = point % length
            n = min(length - first, end - point)
            shared = enter_row(run, grid, point // length)
            point += n
            squared, loc = enter_component(W, centre, run.outer, z)
            room = WINDOW * WINDOW - squared
            if room <= 0.0:
                continue
            half = np.sqrt(room) / slope
            after = min(first + n, last_below(grid, loc + half) + 2)
            first = max(first, last_below(grid, loc - half))
            for k in range(sums.size):
                sums[k], tilted[k] = 0.0, 0.0
            for i in range(first, after, BLOCK):
                m = min(BLOCK, after - i)
                fill_run(run, grid, i, m)
                fill_logs(p, run, m, log_p)
                _row_of_normal(run.x[:m], run.w[:m], log_p[:m], loc, slope, -0.5 * squared, sums, tilted)
            fill_products(shared, z, monomials, products)
            add_row(products, sums, monomials, partial[:count_of_all])
            add_row(products, tilted, monomials, partial[count_of_all:])
