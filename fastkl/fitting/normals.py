"""Fits of Normals to tables on a line: one compiled road for a single table and for every row of a batch."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Histogram, Tabulated
from fastkl.densities.values import NUMBERS_TOGETHER
from fastkl.families.normal import Normal
from fastkl.fitting.certificate import MISCOUNTED, RESOLVED, Evidence, Tolerances
from fastkl.fitting.charts import Chart
from fastkl.fitting.lattice import lattice_of
from fastkl.fitting.methods import Found, Options
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.reading import Reading
from fastkl.fitting.scan import is_lower
from fastkl.fitting.starts import no_spread
from fastkl.fitting.status import FitStatus
from fastkl.grids import Axis, Grid
from fastkl.grids.rules import every
from fastkl.integrals import Integral, error_of_tables
from fastkl.kernels import row_fits
from fastkl.kernels.reductions import doubles, singles
from fastkl.kernels.row_fits import Coarser, Limits, Line, Record, RowsOfTable
from fastkl.validation import Floats

MOST_NODES = 4096
"""Largest number of nodes of a table for this road, in which every pass of a run reads all of them."""

ROWS_AT_ONCE = 2**13
"""Number of rows that are fitted between two reports, and whose records are held in memory."""

TILE = 64
"""Number of rows in a tile."""

PASSES = {"forward": 4, "reverse": 24}
"""About the number of passes over a row that a fit takes."""

STRIDES = 2, 4
"""Strides of the coarser rules by which the error is estimated."""

UNKNOWN = np.full(2, np.nan), np.full((2, 2), np.nan)
"""The gradient and the Hessian of a q of which only the divergence is known."""


def are_served(target: Any, grid: Grid, chart: Chart) -> bool:
    """Whether a fit to a table, or to a batch of them, takes this road."""
    return (
        isinstance(target, Tabulated)
        and not isinstance(target, Histogram)
        and chart.family is Normal
        and grid.size <= MOST_NODES
        and target.grid == grid
    )


def found_by_rows(reading: Reading, options: Options, tolerances: Tolerances) -> Found:
    """The minima of a single table, and the evidence for the best end of all runs."""
    task, target = reading.task, reading.task.target
    assert isinstance(target, Tabulated)
    limits = Limits(options.gtol, options.max_passes, tolerances.mass_tol)
    ends = np.full((1, row_fits.MOST_RUNS, row_fits.END), np.nan)
    numbers = records_of(target, task.direction, limits, ends)[0]
    record = Record(*numbers.tolist())
    if record.status == FitStatus.ZERO:
        reading.refuse_zeros()
    if record.status == FitStatus.NO_SPREAD:
        raise no_spread(task, np.array([record.loc]))
    best = _point(task.chart, numbers)
    others = ends[0][(ends[0, :, row_fits.STATUS] == row_fits.CONVERGED) & (ends[0, :, row_fits.LOC] != record.loc)]
    lower = Point(task.chart, numbers[-2:], record.lower, *UNKNOWN, Outcome.OUT_OF_PASSES)
    masses = (1.0, record.summed) if task.direction == "forward" else (record.summed, 1.0)
    seen = Evidence(
        reading=reading,
        best=best,
        runs=int(record.runs),
        whole=Integral(record.value, masses[0], masses[1], 0),
        quadrature_error=float(errors_of(target, task.direction, best.state, record.value, record.outside)),
        outside_p=0.0,
        outside_q=record.outside,
        tolerances=tolerances,
        scale_in_steps=float(_scales_in_steps(task.grid._line, record.loc, record.scale)),
        lower=None if math.isnan(record.lower) else lower,
    )
    minima = [best, *(_point(task.chart, end) for end in others)]
    return Found(minima, seen, int(record.nodes_read), record.log_normalizer)


def _point(chart: Chart, end: Floats) -> Point:
    """The end of a run, as kernels give it."""
    loc, scale, value, g0, g1, h00, h01, h11, _, status, nit = end[: row_fits.END].tolist()
    hessian = np.array([[h00, h01], [h01, h11]])
    outcome = Outcome.CONVERGED if status == row_fits.CONVERGED else Outcome[FitStatus(int(status)).name]
    return Point(chart, np.array([loc, scale]), value, np.array([g0, g1]), hessian, outcome, int(nit))


def statuses_of(table: Tabulated, direction: str, records: Record, tolerances: Tolerances) -> NDArray[np.int8]:
    """The status of every row after the gates of the certificate, in their order."""
    status: NDArray[np.int8] = records.status.astype(np.int8)
    scale_in_steps = _scales_in_steps(table.grid._line, records.loc, records.scale)
    miscounted = np.abs(records.summed - (1.0 - records.outside)) > MISCOUNTED
    unresolved = (scale_in_steps < RESOLVED) & ((scale_in_steps < 1.0) | miscounted)
    gates = {FitStatus.NOT_RESOLVED: unresolved, FitStatus.NOT_LOWEST: is_lower(records.lower, records.value)}
    if direction == "reverse":
        gates[FitStatus.MASS_OUTSIDE] = ~(records.outside <= tolerances.mass_tol)
    if math.isfinite(tolerances.rtol):
        normals = np.column_stack([records.loc, records.scale])
        errors = errors_of(table, direction, normals, records.value, records.outside)
        gates[FitStatus.INEXACT] = ~(errors <= tolerances.rtol * records.value + tolerances.atol)
    for code, fails in gates.items():
        status[(status == FitStatus.SUCCESS) & fails] = code
    return status


def _scales_in_steps(axis: Axis, loc: Any, scale: Any) -> Any:
    """Scales in steps of the nodes around a place, as `Axis.step_near` gives them."""
    if axis.is_uniform:
        return scale / axis.step
    line = _line_of(axis)
    return scale / line.steps[np.clip(np.searchsorted(line.x, loc), 1, axis.n - 2)]


def records_of(table: Tabulated, direction: str, limits: Limits, ends: Floats | None = None) -> Floats:
    """The numbers of a `Record` of the fit of each row; *ends* gets those of the ends of all runs."""
    axis, (values, rows) = table.grid._line, _rows_of(table)
    records = np.empty((len(values), row_fits.FIELDS))
    size = {"length": max(min(TILE, len(values)), 1), "items": axis.n * PASSES[direction]}
    if direction == "forward":
        row_fits.forward_fits(len(values), rows, _line_of(axis), records, **size)
    else:
        found = row_fits.Found(records, np.empty((0, 0, row_fits.END)) if ends is None else ends)
        row_fits.reverse_fits(len(values), rows, _line_of(axis), lattice_of(axis), limits, found, **size)
    return records


def errors_of(table: Tabulated, direction: str, normals: Floats, divergence: Any, outside: Any) -> Floats:
    """The quadrature errors of the divergences of all rows from Normals, given as (loc, scale), or between them."""
    axis, (values, rows) = table.grid._line, _rows_of(table)
    forward, pairs = direction == "forward", np.ascontiguousarray(normals).reshape(-1, 2)
    rules, out = _coarser_of(axis, forward), np.empty((len(values), 3))
    size = {"length": max(min(TILE, len(values)), 1), "items": 3 * axis.n}
    row_fits.coarser_divergences(len(values), rows, _line_of(axis), rules, pairs, out, **size)
    if rules.half.size == axis.n:  # the same sum again would show nothing
        out[:, row_fits.HALF] = np.inf
    first, second, summed = (column.reshape(np.shape(divergence)) for column in out.T)
    return np.asarray(error_of_tables(table.grid, divergence, first, second, summed, outside, forward=forward))


def pieces_of(batch: Tabulated, rows: int) -> Iterator[tuple[slice, Tabulated]]:
    """Parts of so many rows of a batch, in C order, as batches of one axis, and the places of their rows.

    They are views, unless the rows are not evenly spaced in memory: then they are copied, a few at a time.
    """
    shape, values, size = batch.batch_shape, batch.values, batch.grid.size
    axes = [(length, step) for length, step in zip(shape, values.strides, strict=False) if length > 1]
    even = all(step == length * inner for (_, step), (length, inner) in itertools.pairwise(axes))
    rows = rows if even else min(rows, max(NUMBERS_TOGETHER // size, 1))
    for begin in range(0, math.prod(shape), rows):
        at = slice(begin, min(begin + rows, math.prod(shape)))
        own = values.reshape(-1, size)[at] if even else values[np.unravel_index(np.arange(at.start, at.stop), shape)]
        yield at, Tabulated(batch.grid, own, log=batch.log, floor=batch.floor)


def _rows_of(table: Tabulated) -> tuple[NDArray[Any], RowsOfTable]:
    """The rows of a table in memory, which have to be kept alive, and their description."""
    values = table.values.reshape(-1, table.grid.size)
    load = (singles if values.dtype == np.float32 else doubles).address
    row_step, step = values.strides
    return values, RowsOfTable(load, values.ctypes.data, row_step, step, table.log, table.floor or 0.0)


@functools.lru_cache(maxsize=16)
def _line_of(axis: Axis) -> Line:
    x = np.ascontiguousarray(axis.all_nodes)
    steps = np.diff(x)
    longer = np.maximum(np.append(steps, steps[-1]), np.append(steps[0], steps))
    longer = np.full(axis.n, axis.step) if axis.is_uniform else longer
    return Line(x, np.ascontiguousarray(axis.weights()), longer, *axis.reach, axis.is_uniform)


@functools.lru_cache(maxsize=16)
def _coarser_of(axis: Axis, forward: bool) -> Coarser:
    half, quarter = (every(axis.n, stride) for stride in STRIDES)
    half_w, quarter_w = (np.ascontiguousarray(axis.weights(stride)) for stride in STRIDES)
    return Coarser(half, half_w, quarter, quarter_w, forward)
