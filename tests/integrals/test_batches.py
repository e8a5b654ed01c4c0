"""Batches of tables: the same as one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastkl import (
    Gamma,
    Grid,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Tabulated,
    as_density,
    compare,
    fit,
    kl_divergence,
    kl_objective,
)
from fastkl.jit import JIT_DISABLED

RNG = np.random.default_rng(41)
BATCH = 3, 4
FEWER, MOST = (slice(None, None, 6), 2) if JIT_DISABLED else (slice(None), None)
"""In plain Python a few hundred points take a second."""

LINE = Grid.uniform(0.0, 1.0, 33)
GRIDS = {
    "a line": LINE,
    "given nodes": Grid.from_axes(np.sort(RNG.random(20))),
    "cells": Grid.from_edges(np.sort(RNG.random(21))),
    "a plane": Grid.uniform([0, 0], [1, 2], [9, 11]),
    "a plane of Gauss-Legendre nodes": Grid.gauss_legendre([0, 0], [1, 2], [9, 8]),
    "three axes": Grid.uniform([0, 0, 0], [1, 1, 2], [8, 9, 10]),
}
each_grid = pytest.mark.parametrize("grid", list(GRIDS.values())[FEWER], ids=list(GRIDS)[FEWER])
KINDS = {
    "f8": (np.float64, False),
    "f4 logs": (np.float32, True),
    "f8 logs": (np.float64, True),
    "f4": (np.float32, False),
}
each_kind = pytest.mark.parametrize(("dtype", "log"), list(KINDS.values())[:MOST], ids=list(KINDS)[:MOST])
TOLERANCE = {np.float64: 1e-13, np.float32: 2e-6}
"""Both sums are of non-negative terms, in another order, and in double precision. But where one of p and q is in
single precision and values have to become logarithms, or the result is in single precision, an ulp of 6e-8 shows."""


def values_on(grid, batch, dtype=np.float64, log=False):
    values = (RNG.random((*batch, *grid.shape)) + 0.05).astype(dtype)
    return np.log(values) if log else values


def one_by_one(p, q, shape, grid=None):
    """The same, a pair at a time."""

    def part(density, index):
        own = getattr(density, "batch_shape", ())
        if not own:
            return density
        return density[tuple(0 if n == 1 else i for n, i in zip(own, index[len(index) - len(own) :], strict=True))]

    return np.array([kl_divergence(part(p, i), part(q, i), grid) for i in np.ndindex(shape)]).reshape(shape)


@each_grid
@each_kind
def test_values_are_not_copied(grid, dtype, log):
    values = values_on(grid, BATCH, dtype, log)
    batch = Tabulated(grid, values, log=log)
    assert batch.batch_shape == BATCH
    assert np.shares_memory(batch.values, values)
    assert batch.values.dtype == dtype
    assert not batch.values.flags.writeable
    assert values.flags.writeable


def test_views_are_not_copied_either():
    values = values_on(LINE, (8, 3))
    for view in (values[::2], values.transpose(1, 0, 2), np.broadcast_to(values[0], (5, 3, 33))):
        batch = Tabulated(LINE, view)
        assert np.shares_memory(batch.values, values)
        # rows are read where they lie
        expected = one_by_one(batch, Tabulated(LINE, values[0, 0]), view.shape[:2])
        np.testing.assert_allclose(
            kl_divergence(batch, Tabulated(LINE, values[0, 0])), expected, rtol=1e-13, atol=1e-17
        )


@pytest.mark.parametrize("dtype", [np.float16, np.int64, ">f8"])
def test_other_types_become_doubles(dtype):
    values = RNG.integers(1, 9, (2, 33)).astype(dtype)
    assert Tabulated(LINE, values).values.dtype == np.float64


@each_grid
@each_kind
def test_against_one_table(grid, dtype, log):
    batch = Tabulated(grid, values_on(grid, BATCH, dtype, log), log=log)
    q = Tabulated(grid, values_on(grid, ()))
    for pair in ((batch, q), (q, batch)):
        value = kl_divergence(*pair)
        assert value.shape == BATCH
        assert value.dtype == np.float64  # one of them is in double precision
        np.testing.assert_allclose(value, one_by_one(*pair, BATCH), rtol=TOLERANCE[dtype])


@each_grid
@each_kind
@pytest.mark.parametrize("other", [(4,), (3, 1), (5, 1, 1), (3, 4)][FEWER], ids=str)
def test_against_another_batch(grid, dtype, log, other):
    p = Tabulated(grid, values_on(grid, BATCH, dtype, log), log=log)
    q = Tabulated(grid, values_on(grid, other, dtype, log), log=log)
    value = kl_divergence(p, q)
    shape = np.broadcast_shapes(BATCH, other)
    assert value.shape == shape
    assert value.dtype == dtype  # two batches in single precision give single precision, which was summed in double
    np.testing.assert_allclose(value, one_by_one(p, q, shape), rtol=TOLERANCE[dtype])


def test_values_against_logarithms():
    p, q = values_on(LINE, BATCH), values_on(LINE, (4,))
    p[0, 1, 5:9] = 0.0
    mixed = kl_divergence(Tabulated(LINE, p), Tabulated(LINE, np.log(q), log=True))
    np.testing.assert_allclose(mixed, kl_divergence(Tabulated(LINE, p), Tabulated(LINE, q)), rtol=1e-13)


ON_THE_LINE = [
    Normal(0.4, 0.3),
    Normal(0.5, 4.0),  # most of it off the grid
    Mixture([Normal(0.2, 0.1), Laplace(0.7, 0.2)]),
    Gamma(2, -0.1, 0.3),
    as_density(lambda x: np.exp(-x) * (1 + x)),
]


@pytest.mark.parametrize("density", ON_THE_LINE[:MOST], ids=lambda d: type(d).__name__)
@each_kind
@pytest.mark.filterwarnings("ignore:the grid misses")  # 0.9005 of a wide one
def test_against_a_formula(density, dtype, log):
    batch = Tabulated(LINE, values_on(LINE, BATCH, dtype, log), log=log)
    for p, q in ((batch, density), (density, batch)):
        np.testing.assert_allclose(kl_divergence(p, q), one_by_one(p, q, BATCH, LINE), rtol=TOLERANCE[dtype])


@each_kind
def test_against_a_formula_on_a_plane(dtype, log):
    grid = GRIDS["a plane"]
    batch = Tabulated(grid, values_on(grid, BATCH, dtype, log), log=log)
    normal = MultivariateNormal([0.4, 1.2], [[0.5, 0.2], [0.2, 0.4]])
    for p, q in ((batch, normal), (normal, batch), (batch, Mixture([normal])), (Mixture([normal]), batch)):
        np.testing.assert_allclose(kl_divergence(p, q), one_by_one(p, q, BATCH), rtol=TOLERANCE[dtype])


@pytest.mark.filterwarnings("ignore:the grid is too coarse")
@each_kind
def test_a_formula_that_underflows_is_not_taken_for_zero(dtype, log):
    batch = Tabulated(LINE, values_on(LINE, (3,), dtype, log), log=log)
    q = Normal(0.5, 0.01)  # its log-density is -1250 at the ends
    value = kl_divergence(batch, q)
    assert np.isfinite(value).all()
    np.testing.assert_allclose(value, one_by_one(batch, q, (3,)), rtol=TOLERANCE[dtype])


def test_against_a_table_with_a_floor():
    batch = Tabulated(LINE, values_on(LINE, BATCH))
    floored = Tabulated(LINE, np.maximum(values_on(LINE, ()) - 0.5, 0.0), floor=1e-3)
    assert floored.n_floored > 0
    for p, q in ((batch, floored), (floored, batch)):
        np.testing.assert_allclose(kl_divergence(p, q), one_by_one(p, q, BATCH), rtol=1e-13)


@each_grid
@each_kind
def test_gibbs(grid, dtype, log):
    values = values_on(grid, BATCH, dtype, log)
    p, same = (Tabulated(grid, values, log=log) for _ in range(2))
    q = Tabulated(grid, values_on(grid, (4,), dtype, log), log=log)
    assert np.all(kl_divergence(p, q) > 0.0)
    np.testing.assert_array_equal(kl_divergence(p, same), np.zeros(BATCH))


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_constants_do_not_matter(factor):
    values, q = values_on(LINE, BATCH), Tabulated(LINE, values_on(LINE, ()))
    scaled = Tabulated(LINE, factor * values)
    for pair, known in (((scaled, q), (Tabulated(LINE, values), q)), ((q, scaled), (q, Tabulated(LINE, values)))):
        # a product with the factor is rounded
        np.testing.assert_allclose(kl_divergence(*pair), kl_divergence(*known), rtol=1e-13)


@each_kind
def test_rows_without_mass_are_nan_and_zeros_of_q_are_inf(dtype, log):
    values = values_on(LINE, (4,), dtype)
    values[1] = 0.0
    values[2, 5] = 0.0
    with np.errstate(divide="ignore"):
        batch = Tabulated(LINE, np.log(values) if log else values, log=log)
    q = Tabulated(LINE, values_on(LINE, ()))
    forward, reverse = kl_divergence(batch, q), kl_divergence(q, batch)
    np.testing.assert_array_equal(np.isnan(forward), [False, True, False, False])
    np.testing.assert_array_equal(np.isnan(reverse), [False, True, False, False])
    np.testing.assert_array_equal(np.isinf(reverse), [False, False, True, False])
    np.testing.assert_allclose(forward[2], kl_divergence(batch[2], q), rtol=TOLERANCE[dtype])
    with pytest.raises(ValueError, match="no mass"):
        _ = batch[1]


@each_grid
@each_kind
def test_a_table_that_is_no_density_is_nan_and_touches_no_other(grid, dtype, log):
    values = values_on(grid, (6,), dtype, log)
    good = Tabulated(grid, values.copy(), log=log)
    bad = [(1, np.nan), (2, np.inf), (3, np.nan if log else -1.0)]
    for row, value in bad:
        values[row].flat[5] = value
    values[4] = -np.inf if log else 0.0
    batch, q = Tabulated(grid, values, log=log), Tabulated(grid, values_on(grid, ()))
    for pair, known in (((batch, q), (good, q)), ((q, batch), (q, good)), ((batch, batch), (good, good))):
        found = kl_divergence(*pair)
        np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, True, False])
        np.testing.assert_array_equal(found[[0, 5]], kl_divergence(*known)[[0, 5]])
    for found in (batch.mean, batch.cov):
        np.testing.assert_array_equal(np.isnan(found).reshape(6, -1).all(axis=1), np.isin(range(6), [1, 2, 3, 4]))
    for row in (1, 2, 3, 4):
        with pytest.raises(ValueError, match=r"must|no mass"):
            _ = batch[row]


def test_a_table_of_negative_values_is_no_density():
    batch = Tabulated(LINE, np.stack([-np.ones(33), np.ones(33)]))  # divided by their sum they would be one
    np.testing.assert_array_equal(kl_divergence(batch, Tabulated(LINE, np.ones(33))), [np.nan, 0.0])


@each_grid
@each_kind
def test_a_floor_is_that_of_each_table(grid, dtype, log):
    densities = RNG.random((*BATCH, *grid.shape)) * np.geomspace(1.0, 1e6, 12).reshape(*BATCH, *[1] * grid.ndim)
    densities *= RNG.random(densities.shape) > 0.3
    with np.errstate(divide="ignore"):
        values = (np.log(densities) if log else densities).astype(dtype)
    batch, q = Tabulated(grid, values, log=log, floor=0.1), Tabulated(grid, values_on(grid, ()))
    parts = [batch[index] for index in np.ndindex(BATCH)]
    np.testing.assert_array_equal(batch.n_floored, np.reshape([part.n_floored for part in parts], BATCH))
    assert batch.n_floored.min() > 0
    for pair in ((batch, q), (q, batch)):
        found = kl_divergence(*pair)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, one_by_one(*pair, BATCH), rtol=1e-12)
    np.testing.assert_allclose(batch[1].cov, [part.cov for part in parts[4:8]], rtol=1e-10, atol=1e-12)


def test_base_divides_by_its_logarithm():
    batch, q = Tabulated(LINE, values_on(LINE, BATCH)), Tabulated(LINE, values_on(LINE, ()))
    np.testing.assert_array_equal(kl_divergence(batch, q, base=2), kl_divergence(batch, q) / math.log(2))


def test_an_empty_batch():
    empty = Tabulated(LINE, np.empty((0, 33)))
    assert kl_divergence(empty, Tabulated(LINE, np.ones(33))).shape == (0,)


@pytest.mark.parametrize("index", [0, -1, (1, 2), (slice(None), 3), (..., 0), slice(1, 3), ([0, 2],)], ids=str)
def test_a_part_of_a_batch(index):
    values = values_on(LINE, BATCH)
    part = Tabulated(LINE, values)[index]
    chosen = np.arange(12).reshape(BATCH)[index]
    np.testing.assert_array_equal(part.values, values.reshape(12, 33)[chosen])
    assert part.batch_shape == chosen.shape


@pytest.mark.parametrize("index", [3, (0, 4), (0, 0, 0), "first"], ids=str)
def test_a_part_that_is_not_there(index):
    with pytest.raises(IndexError):
        _ = Tabulated(LINE, values_on(LINE, BATCH))[index]
    with pytest.raises(IndexError, match=r"a batch of shape \(\) has no part 0"):
        _ = Tabulated(LINE, np.ones(33))[0]


ONE = Tabulated(LINE, np.ones(33))
MANY = Tabulated(LINE, values_on(LINE, BATCH))
REFUSED = {
    "full_output": (lambda: kl_divergence(MANY, ONE, full_output=True), r"full_output=True is for single densities"),
    "shapes": (
        lambda: kl_divergence(MANY, Tabulated(LINE, np.ones((5, 33)))),
        r"batches of shapes \(3, 4\) and \(5,\) do not broadcast",
    ),
    "two grids": (
        lambda: kl_divergence(MANY, Tabulated(Grid.uniform(0, 2, 33), np.ones(33))),
        r"different grids, Grid\(\[0\.0, 1\.0\].* and Grid\(\[0\.0, 2\.0\]",
    ),
    "another grid": (
        lambda: kl_divergence(MANY, ONE, Grid.uniform(0, 1, 9)),
        r"a batch is summed on its own grid, Grid\(.*shape=\(9,\).*\(33,\)",
    ),
    "no mass": (lambda: kl_divergence(MANY, Normal(90, 0.01)), r"Normal\(loc=90\.0.* has no mass"),
    "shape": (
        lambda: Tabulated(LINE, np.ones((33, 2))),
        r"values of shape \(33, 2\) do not fit a grid of shape \(33,\)",
    ),
    "negative": (
        lambda: Tabulated(LINE, np.where(np.arange(99).reshape(3, 33) == 49, -0.5, 1.0))[1],
        r"value 16 \(x = 0\.5\) is -0\.5$",
    ),
    "NaN": (
        lambda: Tabulated(LINE, np.where(np.arange(99).reshape(3, 33) == 66, np.nan, np.float32(1.0)), log=True)[2],
        r"log-densities must not be NaN, but value 0 \(x = 0\) is nan",
    ),
    "logpdf": (
        lambda: MANY.logpdf(0.5),
        r"a batch of shape \(3, 4\) is no single density; take one with batch\[index\]",
    ),
    "compare": (lambda: compare(MANY, direction="forward"), r"no single density"),
    "objective": (lambda: kl_objective(MANY, "normal", direction="forward"), r"no single density"),
    "fit on a plane": (
        lambda: fit(np.ones((3, 9, 11)), "multivariate_normal", GRIDS["a plane"], direction="forward"),
        r"batches are fitted on one axis, got a batch of shape \(3,\) on 2 axes: fit batch\[index\]",
    ),
    "fit on another grid": (
        lambda: fit(MANY, "normal", Grid.uniform(0, 1, 9), direction="forward"),
        r"a batch is fitted on its own grid, Grid\(.*\(33,\).*, got Grid\(.*\(9,\).*: leave out the grid",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bad_value_of_a_plane_is_named_by_its_coordinates():
    grid = GRIDS["a plane"]
    values = np.ones(grid.shape)
    values[4, 3] = -1.0
    with pytest.raises(ValueError, match=r"value 47 \(x = \(0\.5, 0\.6\)\) is -1\.0"):
        Tabulated(grid, values)


def test_it_says_what_it_is():
    assert repr(MANY) == "Tabulated(Grid([0.0, 1.0], shape=(33,), rule='trapezoid'), log=False, batch_shape=(3, 4))"


def test_a_batch_against_itself_is_an_array_of_zeros():
    values = RNG.random((3, 33))
    values[1] = 0.0
    batch = Tabulated(LINE, values)
    np.testing.assert_array_equal(kl_divergence(batch, batch), [0.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="full_output"):
        kl_divergence(batch, batch, full_output=True)


def test_a_grid_that_is_too_coarse_for_the_formula_is_reported():
    with pytest.warns(UserWarning, match=r"scale 0\.001 at 0\.5"):
        kl_divergence(Tabulated(LINE, RNG.random((2, 33))), Laplace(0.5, 0.001))
