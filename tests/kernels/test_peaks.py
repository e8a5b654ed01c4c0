"""Peaks of cells against NumPy."""

import numpy as np
import pytest

from fastkl import Grid, Tabulated
from fastkl.jit import JIT_DISABLED
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.peaks import Cells, cell_peaks
from tests.kernels.cases import (
    BOX,
    GRIDS_OF_MORE_AXES,
    logs_of,
    mixture_on,
    points_and_weights,
)

RNG = np.random.default_rng(9)

SIDES = {
    "a point": 1,
    "a few": 3,
    "half a block and one": BLOCK // 2 + 1,
    "a block": BLOCK,
    "a block and some": BLOCK + 7,
    "blocks": 3 * BLOCK - 1,
}


def peaks_of(p, grid, sides, in_strip):
    """(the largest log-density of each cell, whether a zero was seen)."""
    cells = np.array([-(-n // side) for n, side in zip(grid.shape, sides, strict=True)], dtype=np.int64)
    peaks = np.full(int(np.prod(cells)), -np.inf)
    strips = int(np.prod(cells[:-1])) * -(-int(cells[-1]) // in_strip)
    zeros = cell_peaks(
        strips,
        p._evaluation(grid).by_logs(),
        grid._record(),
        Cells(np.array(sides, np.int64), cells, in_strip),
        peaks,
        length=1,
    )
    return peaks.reshape(cells), bool(zeros.any())


def expected_peaks(logs, sides):
    for axis, side in enumerate(sides):
        logs = np.maximum.reduceat(logs, np.arange(0, logs.shape[axis], side), axis=axis)
    return logs


@pytest.mark.parametrize("side", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("in_strip", [1, 4])
def test_cell_peaks_on_one_axis(side, in_strip):
    n = 5 * BLOCK + 17
    logs = RNG.normal(size=n) * 10.0 ** RNG.integers(-3, 3, size=n)  # of both signs
    table = Tabulated(Grid.uniform(0, 1, n), logs, log=True)
    peaks, has_zero = peaks_of(table, table.grid, [side], in_strip)
    np.testing.assert_array_equal(peaks, expected_peaks(logs - table.log_normalizer, [side]))
    assert not has_zero


@pytest.mark.parametrize("sides", [(1, 1, 1), (3, 2, 4), (2, 20, 5), (9, 10, 11)], ids=str)
def test_cell_peaks_on_three_axes(sides):
    logs = RNG.normal(size=BOX.shape)
    table = Tabulated(BOX, logs, log=True)
    peaks, has_zero = peaks_of(table, BOX, sides, 2)
    np.testing.assert_array_equal(peaks, expected_peaks(logs - table.log_normalizer, sides))
    assert not has_zero


def test_cell_peaks_of_a_mixture():
    grid = GRIDS_OF_MORE_AXES["a uniform axis and given nodes"]
    p = mixture_on(grid)
    peaks, has_zero = peaks_of(p, grid, [5, 3], 3)
    logs = logs_of(p, points_and_weights(grid)[0]).reshape(grid.shape)
    np.testing.assert_allclose(peaks, expected_peaks(logs, [5, 3]), rtol=1e-13, atol=1e-13)
    assert not has_zero


@pytest.mark.parametrize("zero", [0, BLOCK] if JIT_DISABLED else [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 16])
@pytest.mark.parametrize("side", [7] if JIT_DISABLED else [1, 7, BLOCK + 7])
@pytest.mark.parametrize("log", [False, True])
def test_cell_peaks_see_a_single_zero(zero, side, log):
    n = 5 * BLOCK + 17
    values = np.full(n, 2.0)
    values[zero] = -np.inf if log else 0.0
    table = Tabulated(Grid.uniform(0, 1, n), values, log=log)
    peaks, has_zero = peaks_of(table, table.grid, [side], 4)
    assert has_zero
    expected = np.where(np.arange(n) == zero, -np.inf, table.logpdf(0.5))
    np.testing.assert_allclose(peaks, expected_peaks(expected, [side]), rtol=1e-15)
