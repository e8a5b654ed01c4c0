"""The rows of a matrix as non-negative numbers that kernels read, of any type and strides, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.rows import LOADERS
from fastkl.kernels.pairs import add_to_centre, weigh_rows
from fastkl.kernels.reductions import BLOCK, SIDE_BY_SIDE, Operand
from fastkl.kernels.terms import LARGEST_MASS, LEAST_MASS
from fastkl.validation import Floats

NUMBERS = 2**20
"""Largest number of numbers that are copied at a time: 8 MiB."""

LEAST_NUMBER = 1e-290
"""Least product with a weight, or exponential of a logarithm, that has all its digits."""


class Options(NamedTuple):
    """How the numbers of all rows are read."""

    normalize: bool = True
    weights: Floats | None = None
    """Cell widths, a number for each column, divided by a power of two; None for 1."""
    pseudocount: float = 0.0
    log: bool = False

    @property
    def input_error(self) -> float:
        """Largest relative error of a number that is read."""
        return 2.0**-52 if self.log else 2.0**-53 if self.weights is not None else 0.0


@dataclass(frozen=True)
class Table:
    """A matrix whose rows are distributions."""

    given: NDArray[Any]
    """The matrix as the user has given it."""
    options: Options
    copies: dict[str, Floats] = field(default_factory=dict)
    """A small matrix that has been converted as a whole, under the key "all"."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.given.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.given.shape[1])

    @cached_property
    def is_direct(self) -> bool:
        """Whether kernels read the matrix where it lies."""
        dtype, options = self.given.dtype, self.options
        as_they_are = options.weights is None and not (options.pseudocount or options.log)
        return as_they_are and dtype.name in LOADERS and dtype.isnative

    def operand(self, rows: slice, columns: slice) -> tuple[Operand, NDArray[Any]]:
        """(place of the rows in memory as if all columns were there, the array that owns the memory)."""
        if self.is_direct:
            values, first = self.given[rows], 0
        elif self.given.size <= NUMBERS:
            if "all" not in self.copies:
                self.copies["all"] = self._converted(slice(None), slice(None))
            values, first = self.copies["all"][rows], 0
        else:
            values, first = self._converted(rows, columns), columns.start
        row_step, step = values.strides
        side_by_side = values.dtype == np.float64 and step == values.itemsize
        load = SIDE_BY_SIDE if side_by_side else LOADERS[values.dtype.name].address
        address = values.__array_interface__["data"][0] - first * step
        return Operand(load, address, row_step, step), values

    @property
    def can_be_read_again(self) -> bool:
        """Whether kernels can read whole rows that are exact."""
        return self.is_direct or (self.given.size <= NUMBERS and self.options.input_error == 0.0)

    def _converted(self, rows: slice, columns: slice) -> Floats:
        """Densities as doubles; NaN in a row with digits that are lost in them."""
        options = self.options
        values = np.array(self.given[rows, columns], dtype=np.float64)
        if options.log:
            with np.errstate(under="ignore", over="ignore", invalid="ignore"):
                if options.normalize:
                    values -= self._largest_logs[rows, np.newaxis]
                above_0 = values > -np.inf
                np.exp(values, out=values)
                values[above_0 & (values < LEAST_NUMBER)] = np.nan
        if options.pseudocount:
            values += options.pseudocount
        if options.weights is not None:
            weights = options.weights[columns]
            with np.errstate(under="ignore", over="ignore", invalid="ignore"):
                above_0 = (values > 0.0) & (weights > 0.0)
                values *= weights
                values[above_0 & (values < LEAST_NUMBER)] = np.nan
                values[:, weights == 0.0] = 0.0
        return values

    @cached_property
    def _largest_logs(self) -> Floats:
        with np.errstate(invalid="ignore"):  # of a NaN in bfloat16
            largest = np.max(self.given, axis=1, initial=-np.inf).astype(np.float64)
        return np.where(np.isfinite(largest), largest, 0.0)

    def blocks(self, columns: slice) -> list[slice]:
        """Runs of rows of which these columns are read at once."""
        step = max(NUMBERS // (columns.stop - columns.start), 1)
        if self.is_direct or self.given.size <= NUMBERS:
            step = self.rows
        return [slice(first, min(first + step, self.rows)) for first in range(0, self.rows, max(step, 1))]

    @cached_property
    def weighed(self) -> tuple[Floats, Floats]:
        """(mass of each row, NaN for a number that is negative or not finite; number of zeros of each row)."""
        masses, zeros = np.zeros(self.rows), np.zeros(self.rows)
        columns = slice(0, self.columns)
        for rows in self.blocks(columns):
            operand, owner = self.operand(rows, columns)
            weigh_rows(len(owner), operand, self.columns, masses[rows], zeros[rows], length=16, items=self.columns)
        return masses, zeros

    @cached_property
    def factors(self) -> Floats:
        """The factor that normalises each row, or 1 if it stays as it is; 0 for a row out of the kernels' range."""
        masses, _ = self.weighed
        factors = np.zeros(self.rows)
        ordinary = (masses > LEAST_MASS) & (masses < LARGEST_MASS)
        factors[ordinary] = 1.0 / masses[ordinary] if self.options.normalize else 1.0
        return factors

    @cached_property
    def are_hopeless(self) -> NDArray[np.bool_]:
        """Whether all divergences from a row are NaN, since it has a NaN, or nothing that could be normalised."""
        masses, zeros = self.weighed
        hopeless: NDArray[np.bool_] = (zeros == self.columns) & self.options.normalize
        for row in np.flatnonzero(np.isnan(masses)):
            hopeless[row] = np.isnan(self.given[row]).any()
        return hopeless

    def add_to(self, centre: Floats, columns: slice) -> None:
        """Add these columns of all rows, normalised, to *centre*."""
        for rows in self.blocks(columns):
            given, owner = self.operand(rows, columns)
            length = max(BLOCK, 2**15 // len(owner) // BLOCK * BLOCK)
            add_to_centre(
                centre.size,
                given,
                len(owner),
                self.factors[rows],
                columns.start,
                centre,
                offset=columns.start,
                length=length,
                items=len(owner),
            )
