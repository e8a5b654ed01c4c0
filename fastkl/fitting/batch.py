"""Fits of every row of a batch: each row has a status, and none touches another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Density, Histogram, Tabulated
from fastkl.fitting.certificate import Tolerances
from fastkl.fitting.charts import Chart, chart_of, family_of
from fastkl.fitting.normals import ROWS_AT_ONCE, are_served, pieces_of, records_of, statuses_of
from fastkl.fitting.point import Outcome, smaller_eigenvalue
from fastkl.fitting.results import FitResults, Members, Parameters, layout_of, numbers_of
from fastkl.fitting.solution import Settings, Solution, solution, stated
from fastkl.fitting.status import FitStatus, RefusedFitError
from fastkl.fitting.task import checked_direction
from fastkl.grids import Grid, as_grid
from fastkl.jit import Progress, counting
from fastkl.kernels import row_fits
from fastkl.kernels.row_fits import Limits, Record
from fastkl.validation import Floats


def batch_of(p: Any, grid: Grid | None, log: bool) -> Tabulated | None:
    """The batch that p is, or that an array is on a grid; None for a single density."""
    if not isinstance(p, Density):
        if grid is None or np.ndim(p) <= as_grid(grid).ndim:
            return None
        p, grid = Tabulated(grid, p, log=log), None
    elif not (isinstance(p, Tabulated) and p.batch_shape):
        return None
    elif log:
        raise TypeError(f"log=True is for arrays; {p._named()} knows itself whether it holds logarithms")
    if p.ndim > 1:
        raise ValueError(
            f"batches are fitted on one axis, got a batch of shape {p.batch_shape} on {p.ndim} axes: fit batch[index]"
        )
    if grid is not None and grid != p.grid:
        raise ValueError(f"a batch is fitted on its own grid, {p.grid!r}, got {grid!r}: leave out the grid")
    batch: Tabulated = p
    return batch


@dataclass(eq=False)
class Rows:
    """The figures of the fits of a batch as arrays with an entry for each row, in C order.

    Until a road enters a row, its status is a success, its figures are NaN and its counts 0.
    """

    status: NDArray[np.int8]
    q: Parameters
    runner_up_q: Parameters
    divergence: Floats
    runner_up: Floats
    gradient_norm: Floats
    min_eigenvalue: Floats
    log_normalizer: Floats
    quadrature_error: Floats
    mass_outside: Floats
    mass_outside_p: Floats
    passes: Floats
    hessian: Floats
    nit: NDArray[np.int64]
    n_minima: NDArray[np.int64]
    converged: NDArray[np.bool_]

    @classmethod
    def empty(cls, status: NDArray[np.int8], chart: Chart) -> Rows:
        """Rows with some statuses and without any figures, for members of the family of a chart."""
        count, k, layout = status.size, len(chart.parameter_names), layout_of(chart)

        def numbers(*own: int) -> Floats:
            return np.full((count, *own), np.nan)

        return cls(
            status=status,
            q={name: numbers(*own) for name, own in layout.items()},
            runner_up_q={name: numbers(*own) for name, own in layout.items()},
            divergence=numbers(),
            runner_up=numbers(),
            gradient_norm=numbers(),
            min_eigenvalue=numbers(),
            log_normalizer=numbers(),
            quadrature_error=numbers(),
            mass_outside=numbers(),
            mass_outside_p=numbers(),
            passes=numbers(),
            hessian=numbers(k, k),
            nit=np.zeros(count, np.int64),
            n_minima=np.zeros(count, np.int64),
            converged=np.zeros(count, bool),
        )

    def enter(self, row: int, found: Solution) -> None:
        """Enter the fit of one row; if it has no q after all, an error leaves the row as it is."""
        seen, best = found.seen, found.seen.best
        q, second = numbers_of(best.q), found.found[1] if len(found.found) > 1 else None
        runner_up_q = {} if second is None else numbers_of(second.q)
        self.hessian[row] = found.hessian
        self.status[row] = found.status
        self.divergence[row] = seen.whole.divergence
        self.gradient_norm[row] = best.gradient_norm
        self.min_eigenvalue[row] = best.min_eigenvalue
        self.log_normalizer[row] = found.log_normalizer
        self.quadrature_error[row] = seen.quadrature_error
        self.mass_outside[row], self.mass_outside_p[row] = seen.outside_q, seen.outside_p
        self.passes[row] = found.passes
        self.nit[row] = best.nit
        self.n_minima[row] = len(found.found)
        self.converged[row] = best.outcome is Outcome.CONVERGED
        if second is not None:
            self.runner_up[row] = seen.whole.divergence if second is best else second.value
        for columns, numbers in ((self.q, q), (self.runner_up_q, runner_up_q)):
            for name, number in numbers.items():
                columns[name][row] = number

    def enter_records(self, at: slice, of: Record, status: NDArray[np.int8], nodes: int) -> None:
        """Enter the fits of Normals to several rows of tables with so many nodes."""
        self.status[at] = status
        self.q["loc"][at], self.q["scale"][at] = of.loc, of.scale
        self.divergence[at], self.log_normalizer[at], self.mass_outside[at] = of.value, of.log_normalizer, of.outside
        self.mass_outside_p[at] = 0.0 * of.outside
        self.gradient_norm[at] = np.maximum(np.abs(of.g0), np.abs(of.g1))
        self.min_eigenvalue[at] = smaller_eigenvalue(of.h00, of.h01, of.h11)
        with np.errstate(over="ignore"):  # a curvature by loc may be beyond the doubles
            per_scale = 1.0 / of.scale
            self.hessian[at, 0, 0], self.hessian[at, 1, 1] = of.h00 * per_scale * per_scale, of.h11
            self.hessian[at, 0, 1] = self.hessian[at, 1, 0] = of.h01 * per_scale
        self.passes[at] = of.nodes_read / nodes
        self.nit[at], self.n_minima[at] = np.nan_to_num(of.nit), np.nan_to_num(of.n_minima)
        self.converged[at] = of.status == row_fits.CONVERGED
        self.runner_up[at] = of.runner_up
        self.runner_up_q["loc"][at], self.runner_up_q["scale"][at] = of.runner_loc, of.runner_scale


Road = Callable[[Tabulated, Settings, Rows, Progress], None]
"""A way to fit the rows of a batch: it enters every row whose status is a success when it is called, and reports the
numbers of rows that are done and of all."""


def fit_batch(batch: Tabulated, settings: Settings) -> FitResults:
    """The fits of all densities of a batch on one axis."""
    direction = checked_direction(settings.direction)
    chart = chart_of(
        family_of(settings.family), 1, settings.covariance_type, settings.n_components, settings.df,
        in_cells=isinstance(batch, Histogram),
    )  # fmt: skip
    with counting("row") as report:
        stated(_stand_in(batch, chart), None, settings)  # raises what is wrong with the arguments
        served = are_served(batch, batch.grid, chart) and not settings.starts
        known = np.zeros(batch.batch_shape, np.int8) if served else batch._faults.copy()  # the road of rows finds them
        rows = Rows.empty(known.ravel(), chart)
        road: Road = by_rows if served else one_by_one
        road(batch, settings, rows, report)
    shape = batch.batch_shape
    arrays: dict[str, Any] = {name: _shaped(a, shape) for name, a in vars(rows).items() if isinstance(a, np.ndarray)}
    errors = arrays.pop("quadrature_error")
    results = FitResults(
        q=Members(chart.family, {name: _shaped(array, shape) for name, array in rows.q.items()}, shape),
        runner_up_q=Members(chart.family, {name: _shaped(a, shape) for name, a in rows.runner_up_q.items()}, shape),
        p=batch,
        grid=batch.grid,
        direction=direction,
        parameter_names=chart.parameter_names,
        settings=settings,
        **arrays,
        **Tolerances.of(batch, settings.rtol, settings.atol, settings.mass_tol)._asdict(),
    )
    if not served:
        vars(results)["quadrature_error"] = errors
    return results


def _shaped(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of rows in the shape of the batch."""
    return array.reshape(*shape, *array.shape[1:])


def _stand_in(batch: Tabulated, chart: Chart) -> Tabulated:
    """A density like those of a batch that the family can stand for, if it can for any."""
    if isinstance(batch, Histogram):
        (edges,), (lower, upper) = batch.edges, chart.support
        inside = (edges[1:] > lower) & (edges[:-1] < upper)
        return Histogram(inside if inside.any() else ~inside, edges)
    values = np.ones(batch.grid.shape)
    values[[0, -1]] = 0.0  # where q may be infinite
    return Tabulated(batch.grid, values)


def one_by_one(batch: Tabulated, settings: Settings, rows: Rows, report: Progress) -> None:
    """The road for all families: the rows one after the other."""
    for row, index in enumerate(np.ndindex(batch.batch_shape)):
        if rows.status[row] == FitStatus.SUCCESS:
            try:
                rows.enter(row, solution(batch[index], None, settings))
            except RefusedFitError as refusal:
                rows.status[row] = refusal.status
            except (ValueError, ArithmeticError):  # results[index] raises it again
                rows.status[row] = FitStatus.REFUSED
        report(row + 1, rows.status.size)


def by_rows(batch: Tabulated, settings: Settings, rows: Rows, report: Progress) -> None:
    """The road of Normals on tables: many rows at a time, in threads."""
    direction = checked_direction(settings.direction)
    tolerances = Tolerances.of(batch, settings.rtol, settings.atol, settings.mass_tol)
    limits = Limits(settings.gtol, settings.max_passes, tolerances.mass_tol)
    for at, part in pieces_of(batch, ROWS_AT_ONCE):
        numbers = records_of(part, direction, limits)
        numbers[numbers[:, row_fits.STATUS] >= FitStatus.NAN, : row_fits.STATUS] = np.nan
        records = Record(*numbers.T)
        rows.enter_records(at, records, statuses_of(part, direction, records, tolerances), batch.grid.size)
        report(at.stop, rows.status.size)
