"""Moments of densities and of tilted Normals against the oracle."""

import numpy as np
import pytest

from fastkl import Tabulated
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE, WINDOW, density_moments, normal_moments
from fastkl.kernels.polynomials import exponents, monomials
from fastkl.kernels.records import GridRecords, Normals
from tests.kernels.cases import (
    P,
    every_grid,
    logs_of,
    mixture_on,
    points_and_weights,
    powers_of,
    sums_and_sizes,
    tasks_of,
)


@every_grid
def test_density_moments(grid):
    p, D = mixture_on(grid), grid.ndim
    centre, slopes = np.array([0.4, -1.2, 0.7])[:D], np.array([0.3, 2.0, 0.1])[:D]
    M = len(exponents(D, DEGREE))
    sums = density_moments.total(
        grid.size, p._evaluation(grid).by_logs(), grid._record(), centre, slopes, monomials(D, DEGREE), outputs=M + 1
    )
    x, w = points_and_weights(grid)
    log_p = logs_of(p, x)
    share = w * np.exp(log_p)
    expected, sizes = sums_and_sizes(np.vstack([share * powers_of((x - centre) * slopes, DEGREE), share * log_p]))
    # each term is off by a few ulp of exponents of up to 30, and the sum of at most 1,000 by less
    np.testing.assert_array_less(np.abs(sums - expected), 1e-13 * sizes)


@pytest.mark.parametrize("log", [False, True])
def test_density_moments_of_a_table_with_zeros(grid, log):
    values = P.pdf(grid.axes[0])
    values[[0, 45, 77]] = 0.0
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    table = Tabulated(grid, logs if log else values, log=log)
    about = np.array([0.4]), np.array([0.3])
    sums = density_moments.total(
        grid.size, table._evaluation(grid).by_logs(), grid._record(), *about, monomials(1, DEGREE), outputs=4
    )
    share = grid.weights[0] * table.pdf(grid.axes[0])
    z = (grid.axes[0] - 0.4) * 0.3
    finite = np.where(share > 0, logs - table.log_normalizer, 0.0)
    expected, sizes = sums_and_sizes(np.array([share, share * z, share * z * z, share * finite]))
    np.testing.assert_array_less(np.abs(sums - expected), 1e-13 * sizes)


def tilted_sums(x, w, log_p, mean, W):
    """Sums of u and of u g times every monomial, the sizes of their terms, and what the window may leave out."""
    z = (x - mean) @ W.T
    square = (z**2).sum(axis=1)
    u, g = w * np.exp(-0.5 * square), -0.5 * square - log_p
    powers = powers_of(z, TILTED_DEGREE)
    terms = np.vstack([u * powers, u * g * powers])
    return *sums_and_sizes(terms), np.abs(terms[:, square > WINDOW**2]).sum(axis=1)


@every_grid
@pytest.mark.parametrize("size", [1.0, 0.3], ids=["wide", "narrow"])
def test_normal_moments(grid, size):
    p, D = mixture_on(grid), grid.ndim
    even = all(axis.rule == "trapezoid" for axis in grid._parts)
    strides = np.array([[1, 1, 1], [2, 3, 1]] if even else [[1, 1, 1]] * 2)[:, :D]
    lower = np.tril(np.array([[1.1, 0.0, 0.0], [-0.3, 0.9, 0.0], [0.4, 0.2, 0.8]])[:D, :D])
    corner, extent = np.array(grid.lower), np.subtract(grid.upper, grid.lower)
    means = corner + np.array([[0.55, 0.4, 0.6], [0.35, 0.65, 0.5]])[:, :D] * extent
    whitenings = np.stack([lower, 1.3 * lower]) / size
    tasks = tasks_of([grid._count(own) for own in strides.tolist()], (0.3, 0.31, 0.7))
    grids = GridRecords.of_strides(grid._record(), strides)
    M = len(exponents(D, TILTED_DEGREE))
    found = normal_moments(
        len(tasks),
        tasks,
        Normals(means, whitenings),
        p._evaluation(grid).by_logs(),
        grids,
        monomials(D, TILTED_DEGREE),
        length=1,
        outputs=2 * M,
    )
    for k, own in enumerate(strides):
        x, w = points_and_weights(grid, own)
        sums = found[tasks[:, 0] == k].sum(axis=0)
        expected, sizes, beyond = tilted_sums(x, w, logs_of(p, x), means[k], whitenings[k])
        # an ulp of an exponent of up to 40 in every term, and what lies beyond the window; the exponential stays above
        # 1e-308 and monomials are up to 1e8
        np.testing.assert_array_less(np.abs(sums - expected), 2e-14 * sizes + beyond + 1e-290)
        assert sums[0] > 0
