"""A result has the same bits however its tiles are run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED, TiledKernel, driver
from fastkl.kernels.sums import kl_sums

SIZE = 300_000
GRID = fastkl.Grid.uniform(-9.0, 11.0, SIZE)
NARROW = fastkl.Mixture([fastkl.Normal(-1.0, 0.7), fastkl.Normal(2.0, 1.1), fastkl.Normal(2.5, 0.2)], [0.3, 0.5, 0.2])
WIDE = fastkl.Normal(0.5, 2.0)

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")


def tile_by_tile(
    kernel: TiledKernel, partials: Any, first: int, last: int, size: int, length: int, offset: int, args: Any
) -> None:
    for t in range(first, last):
        start, stop = t * length, min(t * length + length, size)
        kernel.tile_function(partials[t], offset + start, offset + stop, *args)


def serial_driver(kernel: TiledKernel, *launch: Any) -> None:
    kernel._run_driver("serial", *launch)


def parallel_driver(kernel: TiledKernel, *launch: Any, threads: int) -> None:
    numba.set_num_threads(threads)
    kernel._run_driver("parallel", *launch)


one_thread = functools.partial(parallel_driver, threads=1)
two_threads = functools.partial(parallel_driver, threads=2)
needs_two = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")


def element_sums() -> Any:
    rng = np.random.default_rng(20240521)
    return kl_sums(SIZE, rng.random(SIZE), rng.random(SIZE))


def mixture_against_normal() -> float:
    return fastkl.kl_divergence(NARROW, WIDE, GRID)


def tables(log: bool) -> list[fastkl.Tabulated]:
    logs = [density.logpdf(GRID.axes[0]) for density in (NARROW, WIDE)]
    return [fastkl.Tabulated(GRID, values if log else np.exp(values), log=log) for values in logs]


def table_against_table() -> float:
    return fastkl.kl_divergence(*tables(log=False))


def log_table_against_log_table() -> float:
    return fastkl.kl_divergence(*tables(log=True))


COMPUTATIONS = [element_sums, mixture_against_normal, table_against_table, log_table_against_log_table]


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def rows_and_result(
    compute: Callable[[], Any], launch: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], Any]:
    """What *compute* returns when its kernels run as *launch* says, and all their partial results."""
    rows: list[Any] = []

    def recorded(kernel: TiledKernel, small: bool, partials: Any, *rest: Any) -> None:
        launch(kernel, partials, *rest)
        rows.append(partials.copy())

    with monkeypatch.context() as patch:
        patch.setattr(TiledKernel, "_launch", recorded)
        patch.setattr(driver, "FIRST_SPAN_POINTS", 2 * SIZE)  # each kernel is launched once
        result = compute()
    return rows, result


@pytest.mark.parametrize("compute", COMPUTATIONS, ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    "launch",
    [
        pytest.param(serial_driver, id="serial driver"),
        pytest.param(one_thread, id="1 thread"),
        pytest.param(two_threads, id="2 threads", marks=needs_two),
    ],
)
def test_a_driver_has_the_bits_of_a_python_loop_over_tiles(
    compute: Callable[[], Any], launch: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_rows, expected = rows_and_result(compute, tile_by_tile, monkeypatch)
    rows, result = rows_and_result(compute, launch, monkeypatch)
    assert len(rows) == len(expected_rows) > 0
    assert all(np.any(row) and (row == known).all() for row, known in zip(rows, expected_rows, strict=True))
    assert np.all(result == expected)


@pytest.mark.parametrize("compute", COMPUTATIONS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("first_span", [1, 9 * driver.TILE, 2 * SIZE])
def test_a_result_does_not_depend_on_where_spans_end(
    compute: Callable[[], Any], first_span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute()
    monkeypatch.setattr(driver, "FIRST_SPAN_POINTS", first_span)
    assert np.all(compute() == expected)
