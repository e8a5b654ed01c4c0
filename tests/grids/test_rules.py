"""Quadrature rules: what they integrate exactly, their coarser versions, and what a grid keeps and shares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastkl import Grid
from fastkl.grids import Axis
from fastkl.jit import tiled
from fastkl.kernels.axes import fill_axis, weight_at

RNG = np.random.default_rng(12)
EDGES = np.array([-1.0, -0.7, 0.1, 0.15, 2.0])
STEPS = RNG.uniform(1.0, 2.0, 20)
"""Neighbouring steps differ by less than a factor of 2: Simpson's weights are positive."""
MILD = np.concatenate([[-1.0], -1.0 + 3.0 * np.cumsum(STEPS) / STEPS.sum()])
WILD = np.sort(RNG.uniform(-1.0, 2.0, 21))
UNEVEN_CELLS = np.sort(RNG.uniform(-1.0, 2.0, 20))

# The axis, and the degree up to which polynomials are integrated exactly with strides of 1, 2 and 4.
AXES = {
    "uniform, even number": (Axis.uniform(-1.0, 2.0, 30), (1, 1, 1)),
    "uniform, odd number": (Axis.uniform(-1.0, 2.0, 33), (1, 1, 1)),
    "any nodes": (Axis.through(WILD), (1, 1, 1)),
    "Simpson, uniform": (Axis.through(np.linspace(-1.0, 2.0, 33), "simpson"), (3, 3, 3)),
    "Simpson, mild steps": (Axis.through(MILD, "simpson"), (2, 1, 1)),  # 21, 11 and 6 nodes: strides may be wild
    "Simpson, wild steps": (Axis.through(WILD, "simpson"), (1, 1, 1)),
    # A coarser midpoint rule is constant from its outer nodes to the ends.
    "cells": (Axis.of_cells(np.linspace(-1.0, 2.0, 31)), (1, 0, 0)),
    "uneven cells": (Axis.of_cells(UNEVEN_CELLS), (1, 0, 0)),
    # n nodes chosen among those of a panel: degree n - 1
    "Gauss-Legendre, 8 nodes": (Axis.gauss_legendre([-1.0, 2.0], 8), (15, 4, 2)),
    "Gauss-Legendre, 9 nodes": (Axis.gauss_legendre([-1.0, 2.0], 9), (17, 4, 2)),
    "panels of 4 nodes": (Axis.gauss_legendre(EDGES, 4), (7, 1, 0)),
    "panels of 7 nodes": (Axis.gauss_legendre(EDGES, 7), (13, 2, 0)),
    "panels of 16 nodes": (Axis.gauss_legendre(EDGES, 16), (31, 7, 3)),
}
each_axis = pytest.mark.parametrize(("axis", "degrees"), AXES.values(), ids=AXES)
each_stride = pytest.mark.parametrize("stride", [1, 2, 4])


def chosen(axis, stride):
    """Every stride-th node and the last one."""
    nodes = axis.all_nodes
    return nodes[np.unique([*range(0, nodes.size, stride), nodes.size - 1])]


@tiled(outputs=0)
def seen(partial, start, stop, grid, x, filled, single):
    fill_axis(grid, 0, start, x[start:stop], filled[start:stop])
    for i in range(start, stop):
        single[i] = weight_at(grid.nodes, grid.weights, grid.ends[0], grid.layout[0], i)


@each_axis
@each_stride
def test_a_rule_is_exact_for_its_polynomials(axis, degrees, stride):
    nodes, weights = chosen(axis, stride), axis.weights(stride)
    assert nodes.shape == weights.shape == (axis.count(stride),)
    length = axis.upper - axis.lower
    for degree in range(degrees[stride // 2] + 1):
        values = ((nodes - axis.lower) / length) ** degree
        # a node that is an ulp away changes its power by as many as the degree, and Gauss-Legendre nodes are
        np.testing.assert_allclose(weights @ values, length / (degree + 1), rtol=2e-16 * (40 + degree))


@each_axis
@each_stride
def test_weights_are_not_negative_and_sum_to_the_length(axis, degrees, stride):
    weights = axis.weights(stride)
    # With a negative weight a mass, and so a divergence, could be negative. Those of coarser panels, which an error is
    # estimated from, are the solution of equations: 0 is rounded.
    assert weights.min() >= (0.0 if stride == 1 else -1e-16)
    np.testing.assert_allclose(weights.sum(), axis.upper - axis.lower, rtol=1e-14)  # a sum of up to 64 numbers


@each_axis
def test_the_degree_is_the_highest(axis, degrees):
    degree = degrees[0] + 1
    values = ((axis.all_nodes - axis.lower) / (axis.upper - axis.lower)) ** degree
    relative = axis.weights() @ values * (degree + 1) / (axis.upper - axis.lower) - 1.0
    # that of 16 nodes in each of 4 panels is far below rounding
    assert abs(relative) > 1e-12 or degree == 32


def test_simpsons_rule_on_uneven_nodes_is_scipys():
    from scipy.integrate import simpson

    values = np.exp(MILD)
    # the same three-point formula in another order of operations
    np.testing.assert_allclose(
        Grid.from_axes(MILD, rule="simpson").integrate(values), simpson(values, x=MILD), rtol=1e-14
    )


def test_uneven_nodes_keep_divergences_positive_under_simpsons_rule():
    from fastkl import Tabulated, kl_divergence

    grid = Grid.from_axes([0, 0.5, 2, 3, 4, 5, 6, 6.9, 7], rule="simpson")
    for node in range(grid.size):  # the parabola's weight of the last node is -1.2, and of the first -0.3
        values = np.ones(grid.size)
        values[node] = 1e-9
        assert kl_divergence(Tabulated(grid, np.ones(grid.size)), Tabulated(grid, values)) > 0.0
        assert math.isfinite(Tabulated(grid, 1.0 - 0.999 * values).log_normalizer)


def test_orders_of_convergence():
    """A smooth integrand: halving the step divides the error by 4, by 16, or by far more."""

    def errors(make):
        return [abs(grid.integrate(np.exp(grid.axes[0])) - (math.e**2 - 1.0)) for grid in map(make, (16, 32))]

    for make, least, most in (
        (lambda n: Grid.uniform(0, 2, n + 1), 3.9, 4.1),
        (lambda n: Grid.from_edges(np.linspace(0, 2, n + 1)), 3.9, 4.1),
        (lambda n: Grid.from_axes(np.linspace(0, 2, n + 1), rule="simpson"), 15.0, 17.0),
    ):
        coarse, fine = errors(make)
        assert least < coarse / fine < most
    assert max(errors(lambda n: Grid.gauss_legendre(0, 2, n))) < 1e-14 * math.e**2  # 2/(2n)! of it: rounding alone


BOXES = {
    "uniform": Grid.uniform([-1, 0], [2, 0.5], [9, 12]),
    "numbers for every axis": Grid.uniform([-1, 0, 2], [2, 0.5, 3], 8),
    "nodes": Grid.from_axes(WILD, np.linspace(0, 1, 9)),
    "Simpson": Grid.from_axes(MILD, np.linspace(0, 1, 9), rule="simpson"),
    "cells": Grid.from_edges(UNEVEN_CELLS, np.linspace(0, 1, 10)),
    "Gauss-Legendre": Grid.gauss_legendre([-1, 0, 2], [2, 0.5, 3], [8, 9, 10]),
}
each_box = pytest.mark.parametrize("grid", BOXES.values(), ids=BOXES)


@each_box
def test_the_integral_of_a_product_is_the_product_of_integrals(grid):
    lines = [np.exp(-x) + x for x in grid.axes]
    values = math.prod(np.ix_(*lines))
    expected = math.prod(float(w @ line) for w, line in zip(grid.weights, lines, strict=True))
    np.testing.assert_allclose(grid.integrate(values), expected, rtol=1e-14)  # sums of up to 720 numbers, pairwise
    np.testing.assert_allclose(grid.integrate(np.ones(grid.shape)), grid.volume, rtol=1e-14)


@each_box
def test_points_are_those_of_meshgrid(grid):
    mesh = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    np.testing.assert_array_equal(grid.points(np.arange(grid.size)), mesh)
    np.testing.assert_array_equal([grid.point(i) for i in (0, 7, grid.size - 1)], mesh[[0, 7, -1]])
    runs = list(grid.chunk(50))
    np.testing.assert_array_equal(np.concatenate([points for _, points in runs]), mesh)
    np.testing.assert_array_equal(np.concatenate([np.arange(grid.size)[run] for run, _ in runs]), np.arange(grid.size))
    assert max(len(points) for _, points in runs) == 50


def test_points_on_one_axis_are_numbers():
    grid = Grid.gauss_legendre(0, 1, 9)
    np.testing.assert_array_equal(grid.points([3, 1]), grid.axes[0][[3, 1]])
    assert grid.point(3) == (grid.axes[0][3],)
    assert next(grid.chunk(4))[1].shape == (4,)


def test_a_record_has_nothing_of_the_length_of_a_uniform_axis():
    record = Grid.uniform([0] * 3, [1] * 3, 10**5)._record()
    assert record.nodes.size == record.weights.size == 0
    assert record.ends.shape == (3, 3)
    mixed = Grid((Axis.uniform(0.0, 1.0, 10**8), Axis.gauss_legendre([0.0, 1.0], 9)))
    assert mixed.size == 9 * 10**8
    assert mixed._record().nodes.size == mixed._record().weights.size == 9


@each_axis
@each_stride
def test_a_kernel_sees_the_nodes_and_weights_of_a_rule(axis, degrees, stride):
    grid, n = Grid((axis,)), axis.count(stride)
    x, filled, single = np.empty(n), np.empty(n), np.empty(n)
    seen(n, grid._record(stride), x, filled, single, length=5)
    np.testing.assert_array_equal(x, chosen(axis, stride))
    np.testing.assert_array_equal(filled, single)
    # up to three sums of numbers up to 2
    np.testing.assert_allclose(filled, axis.weights(stride), rtol=0, atol=1e-15)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_record_has_the_weights_of_its_stride(stride):
    grid = BOXES["Gauss-Legendre"]
    expected = np.concatenate([axis.weights(stride) for axis in grid._parts])
    np.testing.assert_array_equal(grid._record(stride).weights, expected)
    assert grid._count(stride) == math.prod(axis.count(stride) for axis in grid._parts)


def test_a_grid_is_equal_to_one_that_is_made_alike():
    makers = {
        "uniform": lambda n: Grid.uniform([0, 0], [1, 2], [9, n]),
        "nodes": lambda n: Grid.from_axes(np.linspace(0, 1, 9), np.linspace(0, 2, n)),
        "Simpson": lambda n: Grid.from_axes(np.linspace(0, 1, 9), np.linspace(0, 2, n), rule="simpson"),
        "cells": lambda n: Grid.from_edges(np.linspace(0, 1, 10), np.linspace(0, 2, n + 1)),
        "Gauss-Legendre": lambda n: Grid.gauss_legendre([0, 0], [1, 2], [9, n]),
    }
    grids = [make(11) for make in makers.values()]
    for make, grid in zip(makers.values(), grids, strict=True):
        assert make(11) == grid
        assert hash(make(11)) == hash(grid)
        assert make(13) != grid
    assert len(set(grids)) == len(grids)  # the rules differ


def test_the_same_ends_and_number_do_not_make_grids_equal():
    moved = np.linspace(0, 1, 9)
    moved[4] += 1e-9
    assert Grid.from_axes(moved) != Grid.from_axes(np.linspace(0, 1, 9))
    # the middles of these cells are those of equal ones, but the widths are not
    edges = np.arange(10.0)
    edges[1::2] += 0.25
    edges[::2] -= 0.25
    cells = Grid.from_edges(edges)
    np.testing.assert_array_equal(cells.axes[0], Grid.from_edges(np.arange(10.0)).axes[0])
    assert cells != Grid.from_edges(np.arange(10.0))


@pytest.mark.parametrize("make", [Grid.from_axes, Grid.from_edges], ids=["nodes", "edges"])
def test_a_grid_does_not_change_with_its_arguments(make):
    lines = [np.linspace(0, 1, 10), np.linspace(0, 2, 12)]
    grid = make(*lines)
    before = [axis.copy() for axis in (*grid.axes, *grid.weights)]
    for line in lines:
        line[:] = 0.0
    for axis, known in zip((*grid.axes, *grid.weights), before, strict=True):
        np.testing.assert_array_equal(axis, known)


@pytest.mark.parametrize("rule", ["trapezoid", "simpson"])
def test_kept_arrays_are_read_only(rule):
    for grid in (
        Grid.from_axes(MILD, rule=rule),
        BOXES["uniform"],
        Grid.from_edges(MILD),
        Grid.gauss_legendre(0, 1, 9),
    ):
        kept = [
            *grid.axes,
            *grid.weights,
            *(axis.nodes for axis in grid._parts),
            *grid._record()[:2],
        ]
        for array in kept:
            assert not array.flags.writeable
    with pytest.raises(AttributeError):
        grid._parts = ()


def test_a_grid_says_what_it_is():
    assert repr(BOXES["uniform"]) == "Grid([-1.0, 2.0] x [0.0, 0.5], shape=(9, 12), rule='trapezoid')"
    assert BOXES["cells"].rule == "midpoint"
    assert Grid((Axis.uniform(0.0, 1.0, 9), Axis.gauss_legendre([0.0, 1.0], 9))).rule == "trapezoid, gauss-legendre"
    with pytest.raises(ValueError, match=r"one axis, got one of shape \(9, 12\)"):
        _ = BOXES["uniform"]._line


def test_a_grid_that_contains_another():
    grid = Grid.uniform([-1, 0], [2, 1], 9)
    assert grid.contains(grid)
    assert grid.contains(Grid.gauss_legendre([-1, 0.5], [1, 1], 8))
    assert not grid.contains(Grid.uniform([-1, 0.5], [1, 1.5], 9))


def test_a_panel_has_enough_nodes_for_every_fourth_to_be_in_it():
    with pytest.raises(ValueError, match="a panel takes at least 4 nodes, got 3"):
        Axis.gauss_legendre(EDGES, 3)
