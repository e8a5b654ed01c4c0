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

from fastkl.rows import LOADERS, ROWS_AT_ONCE, Rows
from fastkl.validation import Floats

POLICIES = ("propagate", "omit", "raise")


def checked_base(base: float | None) -> float:
    """log(base), or 1 for nats."""
    if base is None:
        return 1.0
    if base <= 0:
        raise ValueError(f"`base` must be a positive number or `None`., got {base!r}")
    return math.log(base)


def checked_policy(policy: Any) -> None:
    """Refuse an unknown nan_policy."""
    if policy not in POLICIES:
        raise ValueError(f"nan_policy must be one of {{'raise', 'propagate', 'omit'}}., got {policy!r}")


@dataclass(frozen=True)
class Operands:
    """p, or p and q, with weights or not, arranged as rows."""

    arrays: tuple[NDArray[Any], ...]
    """Of one shape: the axes that are kept, and then those that are summed over."""
    weights: NDArray[Any] | None
    omitted: NDArray[np.bool_] | None
    """Which points are left out, or None."""
    kept: int
    shape: tuple[int, ...]
    """Before the axes were moved."""
    axes: tuple[int, ...]
    log: bool
    dtype: type[np.floating[Any]]
    copies: tuple[int, ...]
    """How often each array was repeated along the axes that are summed over, after it was normalised."""
    nans_omitted: bool = False

    @property
    def _views(self) -> list[NDArray[Any]]:
        """p, q or p again, and, where there are any, the weights and what is left out."""
        p, q = self.arrays[0], self.arrays[-1]
        return [p, q, *(view for view in (self.weights, self.omitted) if view is not None)]

    def rows(self) -> Rows:
        """What is to be summed."""
        loadable = all(view.dtype in LOADERS and view.dtype.isnative for view in self._views)
        return Rows(self._views, self.kept, None if loadable and not self.nans_omitted else self._prepared)

    def _prepared(self, *pieces: NDArray[Any]) -> Sequence[Floats]:
        """Doubles, with a density of 0 where a point is left out."""
        omitted = None
        if self.omitted is not None:
            *pieces, omitted = pieces  # type: ignore[assignment]
        doubles = [np.array(piece, dtype=np.float64) for piece in pieces]
        if self.nans_omitted:
            nans = np.isnan(doubles[0]) | np.isnan(doubles[1])
            omitted = nans if omitted is None else omitted | nans
        if omitted is not None:
            for values in doubles[:2]:
                values[omitted] = -np.inf if self.log else 0.0
        return doubles

    def pieces(self, index: tuple[Any, ...]) -> list[Floats]:
        """[p, q or p, weights or 1] as doubles, for the points that *index* selects."""
        doubles = list(self._prepared(*(view[index] for view in self._views)))
        if self.log:
            with np.errstate(all="ignore"):
                doubles[:2] = [np.exp(values) for values in doubles[:2]]
        return doubles if self.weights is not None else [*doubles, np.float64(1.0)]  # type: ignore[list-item]

    def largest(self, which: int) -> Floats:
        """The largest logarithm of each row; 0 where it is not finite."""
        axes = tuple(range(self.kept, self.arrays[0].ndim))
        if self.arrays[0].size == 0:
            return np.zeros(self.arrays[0].shape[: self.kept])
        if self.omitted is None and not self.nans_omitted:
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
        """Whether there is a NaN that is not left out already."""
        rows = Rows(self.arrays, self.kept)
        for index in rows.chunks():
            nan = np.logical_or.reduce([np.isnan(array[index]) for array in self.arrays])
            if (nan if self.omitted is None else nan & ~self.omitted[index]).any():
                return True
        return False

    def parts(self) -> Iterator[tuple[tuple[slice, ...], Operands]]:
        """The same, a limited number of rows at a time, with where their results belong."""
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
        """What *formula* says of the rows."""
        result = np.empty(self.arrays[0].shape[: self.kept])
        for index, part in self.parts():
            result[index] = formula(part)
        return result

    def omitting_nans(self) -> Operands:
        """The same, with every point left out where an array is NaN."""
        return replace(self, nans_omitted=True)

    @cached_property
    def _any_left(self) -> NDArray[np.bool_]:
        """Whether a row has a point that is not left out."""
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

    def amend(
        self, value: Floats, settled: NDArray[np.bool_], definition: Callable[..., Floats], *masses: Floats, **how: Any
    ) -> Floats:
        """*value*, and what the definition says where it is not settled."""
        if math.prod(self.arrays[0].shape[self.kept :]) == 0:
            return np.zeros(value.shape)
        value = np.array(value)
        open_rows = ~settled
        if self.omitted is not None or self.nans_omitted:
            value[~self._any_left] = 0.0
            open_rows = open_rows & self._any_left
        if masses:  # a NaN, or nothing at all to be normalised
            hopeless = open_rows & np.logical_or.reduce([np.isnan(mass) for mass in masses])
            value[hopeless] = np.nan
            open_rows = open_rows & ~hopeless
        if open_rows.any():
            value[open_rows] = definition(self, open_rows, **how)
        return value

    def finish(self, value: Floats, keepdims: bool) -> Any:
        """The result in the shape and type that the caller expects."""
        if keepdims:
            value = value.reshape([1 if d in self.axes else n for d, n in enumerate(self.shape)])
        with np.errstate(over="ignore"):
            return value.astype(self.dtype)[()]


def operands(
    name: str,
    given: tuple[Any, ...],
    axis: Any,
    *,
    weights: ArrayLike | None,
    log: bool,
    broadcast_first: bool = True,
) -> Operands:
    """The arguments, checked; *name* is the ufunc that SciPy would complain about."""
    masked = [np.ma.getmaskarray(a) for a in given if np.ma.isMaskedArray(a)]
    arrays = [_array_of_reals(a, name) for a in given]
    single = all(a.dtype in (np.float16, np.float32) for a in arrays)
    if axis is None and len({a.shape for a in arrays}) > 1 and broadcast_first:
        arrays, masked = [a.ravel() for a in arrays], [m.ravel() for m in masked]
    extra = [] if weights is None else [_checked_weights(weights)]
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
    )


def _check_axis_of_each(arrays: list[NDArray[Any]], axis: Any) -> None:
    """SciPy takes `axis` for that of each array; from the left it means another one where their numbers differ."""
    if axis is None:
        return
    for array in arrays:
        normalize_axis_tuple(axis, array.ndim, "source")
    ndims = sorted({array.ndim for array in arrays})
    if len(ndims) > 1 and any(a >= 0 for a in np.atleast_1d(axis)):
        raise ValueError(f"arrays of {ndims[0]} and {ndims[-1]} axes: count axis from the right, got {axis!r}")


def _array_of_reals(values: Any, name: str) -> NDArray[Any]:
    array = np.ma.getdata(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    if values is None:
        raise ValueError("at least one array or dtype is required, got None")
    if array.dtype.kind not in "biuf" or (not np.can_cast(array.dtype, np.float64) and array.dtype.kind not in "iu"):
        raise TypeError(
            f"ufunc {name!r} not supported for the input types, and the inputs could not be safely coerced to any "
            f"supported types according to the casting rule ''safe'': got {array.dtype} ({_glimpse(array)})"
        )
    return array


def _glimpse(array: NDArray[Any]) -> str:
    return repr(array.flat[0]) if array.size else "no element"


def _checked_weights(weights: ArrayLike) -> Floats:
    w = np.asarray(_array_of_reals(weights, "weights"), dtype=np.float64)
    bad = ~(np.isfinite(w) & (w >= 0.0))
    if bad.any():
        raise ValueError(f"weights must be finite and >= 0, got {float(w[bad].flat[0])!r}")
    return np.atleast_1d(w)
