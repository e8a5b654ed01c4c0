"""Log-densities of formulas and tables against the oracle."""

import mpmath as mp
import numpy as np
import pytest

from fastkl import Grid, Mixture, Tabulated
from fastkl.kernels.density import log_density
from tests import naive
from tests.kernels.cases import (
    BOX,
    GRIDS_OF_MORE_AXES,
    NORMALS,
    P,
    exact_p,
)

RNG = np.random.default_rng(7)


def test_nodes_and_weights_of_the_edge_are_those_of_the_oracle(grid):
    expected = [float(w) for w in naive.trapezoid_weights(grid.axes[0])]
    # neighbouring nodes of about 6 differ by 0.1 and each is rounded: 2**-53 * 60
    np.testing.assert_allclose(grid.weights[0], expected, rtol=1e-14)


@pytest.mark.parametrize("stride", [1, 3])
def test_log_density_of_a_mixture(grid, stride):
    out = np.empty(grid._count(stride))
    log_density(out.size, P._evaluation(grid).by_logs(), grid._record(stride), 0, out)
    x = np.append(grid.axes[0][:-1:stride], grid.axes[0][-1])
    # a log-density of -30 is a difference of squares: a few ulp of 30
    np.testing.assert_allclose(out, [float(mp.log(exact_p(node))) for node in x], rtol=1e-15, atol=2e-14)


@pytest.mark.parametrize("floor", [None, 0.1])
def test_log_density_of_a_table_on_another_grid(grid, floor):
    table = Tabulated(Grid.uniform(-3, 4, 40), P.pdf(np.linspace(-3, 4, 40)), floor=floor)
    out = np.empty(grid.size)
    log_density(grid.size, table._evaluation(grid).by_logs(), grid._record(), 0, out)
    np.testing.assert_allclose(out, table.logpdf(grid.axes[0]), rtol=1e-13)


@pytest.mark.parametrize("grid", GRIDS_OF_MORE_AXES.values(), ids=GRIDS_OF_MORE_AXES)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_log_density_on_more_axes(grid, stride):
    p = Mixture(NORMALS[grid.ndim][:3])
    out = np.empty(grid._count(stride))
    log_density(out.size, p._evaluation(grid).by_logs(), grid._record(stride), 0, out)
    chosen = [np.append(x[:-1:stride], x[-1]) for x in grid.axes]
    points = np.stack(np.meshgrid(*chosen, indexing="ij"), axis=-1)
    np.testing.assert_allclose(out, p.logpdf(points).ravel(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("log", [False, True])
def test_a_table_on_another_grid_is_linear_in_the_log_along_every_axis(log):
    logs = RNG.normal(size=BOX.shape)
    logs[3, 4:6, 5] = -np.inf
    table = Tabulated(BOX, logs if log else np.exp(logs), log=log)
    grid = Grid.uniform([-5.5, -4, -6], [4, 4.5, 5], [13, 9, 17])
    out = np.empty(grid.size)
    log_density(grid.size, table._evaluation(grid).by_logs(), grid._record(), 0, out)
    np.testing.assert_allclose(out, table.logpdf(grid.points(np.arange(grid.size))), rtol=1e-13)

    from scipy.interpolate import RegularGridInterpolator

    finite = Tabulated(BOX, RNG.normal(size=BOX.shape), log=True)
    linear = RegularGridInterpolator(BOX.axes, finite.values, bounds_error=False, fill_value=-np.inf)
    points = RNG.uniform([-5.5, -4.5, -6.5], [4.5, 5.5, 5.5], size=(300, 3))
    np.testing.assert_allclose(finite.logpdf(points) + finite.log_normalizer, linear(points), atol=1e-13)
    assert np.isnan(finite.logpdf([0.0, np.nan, 0.0]))
    nodes = BOX.points(np.arange(BOX.size))
    np.testing.assert_array_equal(np.isneginf(table.logpdf(nodes)), np.isneginf(logs.ravel()))
