"""The arguments of the divergences of arrays: checked, broadcast, and arranged as rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

from fastkl.arrays.containers import SINGLES, as_array, checked_weights
from fastkl.arrays.rows import LOADERS, ROWS_AT_ONCE, Rows
from fastkl.validation import Floats

SMALLEST = np.finfo(np.float64).smallest_subnormal

POLICIES = ("propagate", "omit", "raise")


def checked_policy(policy: Any) -> None:
    """Refuse an unknown nan_policy."""
    if policy not in POLICIES:
        raise ValueError(f"nan_policy must be one of {{'raise', 'propagate', 'omit'}}, got {policy!r}")


@dataclass(frozen=True)
class Operands:
    """p, or p and q, with weights if there are any, arranged as rows."""

    arrays: tuple[NDArray[Any], ...]
    """Arrays of one shape: first the axes that are kept, and then those that are summed over."""
    weights: NDArray[Any] | None
    omitted: NDArray[np.bool_] | None
    """Mask of the points that are left out; None if there is none."""
    kept: int
    shape: tuple[int, ...]
    """Shape of the arrays before their axes were moved."""
    axes: tuple[int, ...]
    log: bool
    dtype: type[np.floating[Any]]
    copies: tuple[int, ...]
    """Number of times that each array was repeated along the axes that are summed over, after it was normalised."""
    weight_exponent: int = 0
    """Exponent of the power of two that the weights have been divided by, so that the largest is of ordinary size."""
    nans_omitted: bool = False
    pseudocount: float = 0.0
    """Number that is added to every number that is not left out."""
    exponents: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
    """Exponents of the powers of two that p and q are multiplied by, in the shape of the arrays."""
    shifts: tuple[NDArray[Any], NDArray[Any]] | None = None
    """Numbers that are subtracted from the logarithms p and q, in the shape of the arrays."""

    @property
    def _views(self) -> list[NDArray[Any]]:
        """p, q (or p again), and those of weights, mask of omitted points, exponents and shifts that there are."""
        p, q = self.arrays[0], self.arrays[-1]
        extra = [view for view in (self.weights, self.omitted) if view is not None]
        return [p, q, *extra, *(self.exponents or ()), *(self.shifts or ())]

    def rows(self) -> Rows:
        """The operands as rows that can be summed."""
        loadable = all(view.dtype.name in LOADERS and view.dtype.isnative for view in self._views)
        as_they_are = loadable and not (self.nans_omitted or self.pseudocount or self.shifts)
        return Rows(self._views, self.kept, None if as_they_are else self._prepared)

    def _prepared(self, *pieces: NDArray[Any]) -> Sequence[Floats]:
        """Pieces of the views as doubles, shifted and scaled, with a density of 0 at points that are left out."""
        given = list(pieces)
        shifts = [given.pop(), given.pop()][::-1] if self.shifts is not None else []
        exponents = [given.pop(), given.pop()][::-1] if self.exponents is not None else []
        omitted = given.pop() if self.omitted is not None else None
        doubles = [np.array(piece, dtype=np.float64) for piece in given]
        if self.pseudocount:
            for values in doubles[:2]:
                values += self.pseudocount
        if self.nans_omitted:
            nans = np.isnan(doubles[0]) | np.isnan(doubles[1])
            omitted = nans if omitted is None else omitted | nans
        if omitted is not None:
            for values in doubles[:2]:
                values[omitted] = -np.inf if self.log else 0.0
        with np.errstate(all="ignore"):
            for values, shift in zip(doubles[:2], shifts, strict=False):
                values -= shift
            for values, exponent in zip(doubles[:2], exponents, strict=False):
                above_0 = values > 0.0 if (exponent < 0).any() else None
                np.ldexp(values, exponent, out=values)
                if above_0 is not None:  # q = 0 makes a divergence infinite, a very small q does not
                    values[above_0 & (values == 0.0)] = SMALLEST
        return doubles

    def swapped(self) -> Operands:
        """The operands with p and q exchanged."""
        return replace(self, arrays=self.arrays[::-1])

    def select(self, rows: tuple[Any, ...]) -> Operands:
        """The operands of the rows that *rows* selects along the axes that are kept."""
        arrays = tuple(array[rows] for array in self.arrays)
        return replace(
            self,
            arrays=arrays,
            weights=None if self.weights is None else self.weights[rows],
            omitted=None if self.omitted is None else self.omitted[rows],
            exponents=None if self.exponents is None else tuple(e[rows] for e in self.exponents),
            shifts=None if self.shifts is None else tuple(e[rows] for e in self.shifts),
            kept=arrays[0].ndim - (self.arrays[0].ndim - self.kept),
        )

    def scaled(self, *exponents: NDArray[np.int32]) -> Operands:
        """The operands times powers of two, one for each row of p and of q."""
        return replace(self, exponents=(self._along(exponents[0]), self._along(exponents[-1])))

    def shifted(self, p: Floats, q: Floats) -> Operands:
        """The operands minus a number for each row of p and of q."""
        return replace(self, shifts=(self._along(p), self._along(q)))

    def _along(self, of_rows: NDArray[Any]) -> NDArray[Any]:
        """An array with a number for each row, broadcast to the shape of the operands."""
        summed = (1,) * (self.arrays[0].ndim - self.kept)
        return np.broadcast_to(of_rows.reshape(of_rows.shape + summed), self.arrays[0].shape)

    def peaks(self, which: int) -> Floats:
        """The largest number of each row of array number *which*; 0 if all are negative."""
        rows = self.rows()
        found = np.zeros(rows.kept)
        axes = tuple(range(self.kept, self.arrays[0].ndim))
        for index in rows.chunks():
            piece = self._prepared(*(view[index] for view in rows.views))[which]
            kept = index[: self.kept]
            found[kept] = np.maximum(found[kept], piece.max(axis=axes))
        return found

    def underflows(self) -> NDArray[np.bool_]:
        """Whether a row of q has a number above 0 that is no normal double after scaling."""
        rows = self.rows()
        found = np.zeros(rows.kept, bool)
        axes = tuple(range(self.kept, self.arrays[0].ndim))
        for index in rows.chunks():
            q = self._prepared(*(view[index] for view in rows.views))[1]
            found[index[: self.kept]] |= ((q > 0.0) & (q < np.finfo(np.float64).tiny)).any(axis=axes)
        return found

    def are_proportional(self, factor: Floats) -> NDArray[np.bool_]:
        """Whether p = factor * q to the last digit, for all numbers of a row."""
        rows = self.rows()
        alike = np.ones(rows.kept, bool)
        summed = (1,) * (self.arrays[0].ndim - self.kept)
        axes = tuple(range(self.kept, self.arrays[0].ndim))
        for index in rows.chunks():
            p, q = self._prepared(*(view[index] for view in rows.views))[:2]
            kept = index[: self.kept]
            own = factor[kept]
            alike[kept] &= (p == own.reshape(own.shape + summed) * q).all(axis=axes)
        return alike

    def pieces(self, index: tuple[Any, ...]) -> list[Floats]:
        """[p, q or p again, weights or 1] as doubles, not logarithms, for the points that *index* selects."""
        doubles = list(self._prepared(*(view[index] for view in self._views)))
        if self.log:
            with np.errstate(all="ignore"):
                doubles[:2] = [np.exp(values) for values in doubles[:2]]
        return doubles if self.weights is not None else [*doubles, np.float64(1.0)]  # type: ignore[list-item]

    def largest(self, which: int) -> Floats:
        """The largest logarithm of each row of array number *which*; 0 if it is not finite."""
        axes = tuple(range(self.kept, self.arrays[0].ndim))
        if self.arrays[0].size == 0:
            return np.zeros(self.arrays[0].shape[: self.kept])
        if self.omitted is None and not self.nans_omitted:
            with np.errstate(invalid="ignore"):  # of a NaN in bfloat16
                found = np.max(self.arrays[which], axis=axes).astype(np.float64)
        else:
            rows = self.rows()
            found = np.full(rows.kept, -np.inf)
            for index in rows.chunks():
                piece = self._prepared(*(view[index] for view in rows.views))[which]
                kept = index[: self.kept]
                found[kept] = np.maximum(found[kept], piece.max(axis=axes))
        return np.where(np.isfinite(found), found, 0.0)

    def has_nan(self) -> bool:
        """Whether the arrays have a NaN that is not left out already."""
        rows = Rows(self.arrays, self.kept)
        for index in rows.chunks():
            nan = np.logical_or.reduce([np.isnan(array[index]) for array in self.arrays])
            if (nan if self.omitted is None else nan & ~self.omitted[index]).any():
                return True
        return False

    def parts(self) -> Iterator[tuple[tuple[slice, ...], Operands]]:
        """Pairs of the index of a limited number of rows and the operands of these rows, which cover all rows."""
        kept = self.arrays[0].shape[: self.kept]
        if math.prod(kept) <= ROWS_AT_ONCE:
            yield (), self
            return
        longest = int(np.argmax(kept))
        step = max(ROWS_AT_ONCE // (math.prod(kept) // kept[longest]), 1)
        for first in range(0, kept[longest], step):
            index = (*(slice(None) for _ in range(longest)), slice(first, first + step))
            yield (
                index,
                replace(
                    self,
                    arrays=tuple(a[index] for a in self.arrays),
                    weights=None if self.weights is None else self.weights[index],
                    omitted=None if self.omitted is None else self.omitted[index],
                ),
            )

    def evaluate(self, formula: Callable[[Operands], Floats]) -> Floats:
        """The values of *formula* for all rows, a limited number of rows at a time."""
        result = np.empty(self.arrays[0].shape[: self.kept])
        for index, part in self.parts():
            result[index] = formula(part)
        return result

    def omitting_nans(self) -> Operands:
        """The operands with every point left out at which an array is NaN."""
        return replace(self, nans_omitted=True)

    @cached_property
    def any_left(self) -> NDArray[np.bool_] | None:
        """Whether a row has a point that is not left out; None if no point is left out."""
        if self.omitted is None and not self.nans_omitted:
            return None
        rows = Rows(self.arrays, self.kept)
        left = np.zeros(rows.kept, bool)
        for index in rows.chunks():
            out = np.zeros(self.arrays[0][index].shape, bool)
            if self.omitted is not None:
                out |= self.omitted[index]
            if self.nans_omitted:
                out |= np.logical_or.reduce([np.isnan(array[index]) for array in self.arrays])
            left[index[: self.kept]] |= ~out.all(axis=tuple(range(self.kept, out.ndim)))
        return left

    def finish(self, value: Floats, keepdims: bool) -> Any:
        """The result in the shape and type that the caller expects."""
        if keepdims:
            value = value.reshape([1 if d in self.axes else n for d, n in enumerate(self.shape)])
        with np.errstate(over="ignore"):
            return value.astype(self.dtype)[()]


def operands(
    names: str,
    given: tuple[Any, ...],
    axis: Any,
    *,
    weights: ArrayLike | None,
    log: bool,
    pseudocount: float = 0.0,
    broadcast_first: bool = True,
) -> Operands:
    """The arguments *given*, checked, broadcast and arranged as rows; *names* are for error messages."""
    masked = [np.ma.getmaskarray(a) for a in given if np.ma.isMaskedArray(a)]
    arrays = [as_array(a, name) for a, name in zip(given, names.split(), strict=False)]
    single = all(a.dtype.name in SINGLES for a in arrays)
    if axis is None and len({a.shape for a in arrays}) > 1 and broadcast_first:
        arrays, masked = [a.ravel() for a in arrays], [m.ravel() for m in masked]
    extra, weight_exponent = [], 0
    if weights is not None:
        own, weight_exponent = checked_weights(weights)
        extra = [own]
    arrays = [np.atleast_1d(a) for a in arrays]
    try:
        everything = np.broadcast_arrays(*arrays, *extra, *masked)
    except ValueError:
        shapes = ", ".join(str(a.shape) for a in arrays)
        beside = f" and weights of {extra[0].shape}" if extra else ""
        raise ValueError(f"Array shapes are incompatible for broadcasting. Got {shapes}{beside}") from None
    shape, ndim = everything[0].shape, everything[0].ndim
    if not broadcast_first:
        _check_axis_of_each(arrays, axis)
    if extra and np.broadcast_shapes(*(a.shape for a in arrays)) != shape:
        raise ValueError(f"weights of shape {extra[0].shape} do not broadcast to the shape of the arrays")
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim, "source")
    order = [d for d in range(ndim) if d not in axes] + list(axes)
    copies = [1] * len(arrays)
    if not broadcast_first:
        for i, a in enumerate(arrays):
            full = (1,) * (ndim - a.ndim) + a.shape
            copies[i] = math.prod(shape[d] for d in axes if full[d] != shape[d])
    moved = [array.transpose(order) for array in everything]
    n = len(arrays)
    return Operands(
        arrays=tuple(moved[:n]),
        weights=moved[n] if extra else None,
        omitted=np.logical_or.reduce(moved[n + len(extra) :]) if masked else None,
        kept=ndim - len(axes),
        shape=shape,
        axes=axes,
        log=log,
        dtype=np.float32 if single else np.float64,
        copies=tuple(copies),
        weight_exponent=weight_exponent,
        pseudocount=pseudocount,
    )


def _check_axis_of_each(arrays: list[NDArray[Any]], axis: Any) -> None:
    """Refuse an `axis` that SciPy, which counts it in each array, would take for different axes of the broadcast."""
    if axis is None:
        return
    ndims = sorted({array.ndim for array in arrays})
    normalize_axis_tuple(axis, ndims[-1], "source")
    if len(ndims) > 1 and any(a >= 0 for a in np.atleast_1d(axis)):
        raise ValueError(f"arrays of {ndims[0]} and {ndims[-1]} axes: count axis from the right, got {axis!r}")
    normalize_axis_tuple(axis, ndims[0], "source")
