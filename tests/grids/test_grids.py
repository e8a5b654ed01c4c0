"""Grids: nodes, weights, windows and the automatic choice."""

import numpy as np
import pytest

from fastkl import Grid, Mixture, Normal, Tabulated

UNEVEN = np.sort(np.random.default_rng(0).uniform(-3, 5, 40))


@pytest.fixture(params=["uniform", "any spacing"])
def grid(request):
    return Grid.uniform(-3, 5, 41) if request.param == "uniform" else Grid.from_axes(UNEVEN)


def test_uniform_nodes_are_those_of_linspace():
    # one rounding of lower + i * step against linspace's own: an ulp of 5
    np.testing.assert_allclose(Grid.uniform(-3, 5, 41).axes[0], np.linspace(-3, 5, 41), rtol=0, atol=1e-15)
    assert Grid.uniform(-0.1, 0.3, 17).axes[0][-1] == 0.3


def test_shape(grid):
    assert grid.ndim == 1
    assert grid.shape == (grid.size,) == grid.axes[0].shape == grid.weights[0].shape


def test_weights_are_those_of_the_trapezoid_rule(grid):
    values = np.cos(grid.axes[0])
    np.testing.assert_allclose(grid.integrate(values), np.trapezoid(values, grid.axes[0]), rtol=1e-14)
    np.testing.assert_allclose(grid.weights[0].sum(), grid.volume, rtol=1e-14)


def test_a_billion_points_cost_nothing():
    grid = Grid.uniform(0, 1, 10**9)
    assert grid.size == 10**9
    assert grid._line.node(10**9 - 1) == 1.0


def test_chunks_join_to_the_nodes(grid):
    runs = list(grid.chunk(7))
    np.testing.assert_array_equal(np.concatenate([x for _, x in runs]), grid.axes[0])
    assert [run.stop - run.start for run, _ in runs[:-1]] == [7] * (len(runs) - 1)


@pytest.mark.parametrize("stride", [1, 3, 7, 1000])
def test_every_stride_ends_with_the_last_node(grid, stride):
    indices = np.minimum(np.arange(grid._count(stride)) * stride, grid.size - 1)
    assert indices[-1] == grid.size - 1
    assert np.all(np.diff(indices) > 0)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize(("lower", "upper"), [(-1.0, 2.0), (-9.0, -8.0), (-9.0, 9.0), (4.9, 20.0), (0.5, 0.5001)])
def test_a_window_holds_every_node_of_its_interval(grid, stride, lower, upper):
    first, count = grid._line.window(lower, upper, stride)
    points = grid.axes[0][np.minimum(np.arange(grid._count(stride)) * stride, grid.size - 1)]
    inside = np.flatnonzero((points >= lower) & (points <= upper))
    assert count >= 1
    assert set(inside) <= set(range(first, first + count)) <= set(range(points.size))


def test_equality_is_by_value(grid):
    same = Grid.uniform(-3, 5, 41) if grid._line.is_uniform else Grid.from_axes(UNEVEN.copy())
    assert same == grid
    assert hash(same) == hash(grid)
    assert grid != Grid.uniform(-3, 5, 42)
    assert grid != "grid"


def test_cover_reaches_the_tails_and_resolves_the_smallest_scale():
    p = Mixture([Normal(-20, 1), Normal(5, 0.1)])
    grid = Grid.cover(p, Normal(0, 3))
    assert grid._line.lower <= -20 - 9
    assert grid._line.upper >= 27
    assert grid._line.step <= 0.1 / 16


def test_from_axes_does_not_share_memory_with_its_argument():
    nodes = UNEVEN.copy()
    grid = Grid.from_axes(nodes)
    nodes[0] = -100.0
    assert grid.axes[0][0] == UNEVEN[0]


def test_a_table_has_no_formula_to_cover():
    with pytest.raises(TypeError, match="grid="):
        Grid.cover(Tabulated(Grid.uniform(0, 1, 9), np.ones(9)))
