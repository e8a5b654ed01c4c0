"""The generalised Jensen-Shannon divergence of several weighted distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from fastkl.arrays.containers import SINGLES, as_array, checked_pseudocount, checked_weights, in_the_type_of, is_sparse
from fastkl.arrays.divergences import entropy
from fastkl.arrays.rows import CHUNK, LOADERS
from fastkl.jit import TILE
from fastkl.kernels.many import Groups, divergences_of_groups
from fastkl.kernels.reductions import Operand
from fastkl.validation import Floats, nats_per_unit

WEIGHT_SUM_TOLERANCE = 1e-9
"""Largest distance from 1 of the sum of weights."""

LEAST = 2.0**-200
"""Least divergence: what rounding leaves of distributions that are multiples of each other is far below it."""


def generalized_jensenshannon(
    P: ArrayLike,
    weights: ArrayLike | None = None,
    base: float | None = None,
    *,
    axis: int = -1,
    over: int = -2,
    keepdims: bool = False,
    widths: ArrayLike | None = None,
    log: bool = False,
    pseudocount: float = 0.0,
) -> Any:
    """The Jensen-Shannon divergence of several weighted distributions, sum(w_i KL(p_i||m)) with m = sum(w_i p_i).

    It is the entropy of their mixture minus the mean of their entropies: the information that a draw from the mixture
    has about the distribution that it was drawn from. It is a divergence, not a distance: for two distributions of
    equal weights it is the square of `jensenshannon`.

    Parameters
    ----------
    P : array_like, shape (..., k, n)
        k distributions over n cells; they are normalised. A list of k vectors will do.
    weights : array_like, shape (k,) or (..., k), optional
        Weights of the distributions, >= 0, with a sum of 1 within 1e-9; equal by default. A distribution of weight 0
        is left out.
    base : float, optional
        Base of the logarithm, > 0; by default the result is in nats.
    axis : int, default -1
        Axis that runs over the cells.
    over : int, default -2
        Axis that runs over the distributions.
    keepdims : bool, default False
        Whether to keep both axes, with length 1.
    widths : array_like, shape (n,), optional
        Cell widths, >= 0, if P holds densities; `entropy` and `jensenshannon` call them `weights`.
    log : bool, default False
        Whether P holds log-densities; -inf stands for 0.
    pseudocount : float, default 0
        A number >= 0 that is added to every entry of P before it is normalised.

    Returns
    -------
    scalar or ndarray
        Between 0 (for equal distributions, and below 1e-60) and the entropy of the weights (for disjoint ones); NaN if
        a distribution of positive weight has a sum of 0 or a NaN. float32 if P is of float16, bfloat16 or float32,
        else float64.

    Raises
    ------
    ValueError
        If P has less than two axes or a number that is negative or infinite, or an argument does not fit.
    TypeError
        If the input is not real numbers in at most double precision.

    Notes
    -----
    The terms w_i (p_i log(p_i/m) - p_i + m) >= 0 are summed, with differences p_i - m that keep their digits where the
    distributions are alike.

    References
    ----------
    Lin (1991), Divergence measures based on the Shannon entropy.

    Examples
    --------
    >>> import fastkl
    >>> P = [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    >>> round(float(fastkl.generalized_jensenshannon(P, base=2)), 12)
    0.584962500721
    >>> round(float(fastkl.generalized_jensenshannon(P, [0.25, 0.25, 0.5])), 12)
    0.389048349479
    """
    own = in_the_type_of(P)
    array = _distributions(P)
    cells, distributions = (normalize_axis_index(a, array.ndim) for a in (axis, over))
    if cells == distributions:
        raise ValueError(f"axis and over must be two axes, got {axis!r} and {over!r}")
    single = array.dtype.name in SINGLES
    moved = np.moveaxis(array, (distributions, cells), (-2, -1))
    kept, (k, n) = moved.shape[:-2], moved.shape[-2:]
    shares = _shares(weights, kept, k, n)
    unit = nats_per_unit(base)
    pseudocount = checked_pseudocount(pseudocount, log=log, normalize=True, weights=widths, of_cells="widths")
    value = np.zeros(kept)
    if n and k and value.size:
        value = _divergences(moved, shares, _widths(widths, n), log, pseudocount)
        value[value < LEAST] = 0.0
        value = np.minimum(value, entropy(shares, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = np.divide(value, unit)
        value = value.reshape(
            [1 if d in (cells, distributions) else m for d, m in enumerate(array.shape)] if keepdims else kept
        )
        return own(value.astype(np.float32 if single else np.float64)[()])


def _distributions(P: Any) -> NDArray[Any]:
    if np.ma.is_masked(P):
        raise TypeError("P must not be masked; pass P.filled(0), or numpy.ma.filled(P, -inf) for logarithms")
    if is_sparse(P):
        raise TypeError("P must not be sparse; pass P.toarray()")
    if isinstance(P, list | tuple):
        lengths = sorted({np.shape(p) for p in P})
        if len(lengths) > 1:
            raise ValueError(
                f"P must have distributions over the same cells, got shapes {lengths[0]} and {lengths[-1]}"
            )
    array = as_array(P, "P")
    if array.ndim < 2:
        raise ValueError(f"P must have an axis over distributions and one over cells, got shape {array.shape}")
    return array


def _shares(weights: Any, kept: tuple[int, ...], k: int, n: int) -> Floats:
    """The weights of the distributions, a row for each group or for all of them."""
    if weights is None:
        return np.full((*kept, k), 1.0 / max(k, 1))
    shares = np.asarray(as_array(weights, "weights"), np.float64)
    if shares.ndim == 0 or shares.shape[-1] != k:
        remedy = "; cell widths are given by widths=" if shares.shape == (n,) else ""
        raise ValueError(f"weights must have a number for each of {k} distributions, got shape {shares.shape}{remedy}")
    bad = ~(np.isfinite(shares) & (shares >= 0.0))
    if bad.any():
        raise ValueError(f"weights must be finite and >= 0, got {float(shares[bad][0])!r}")
    sums = shares.sum(axis=-1)
    off = np.abs(sums - 1.0) > WEIGHT_SUM_TOLERANCE
    if off.any():
        raise ValueError(
            f"weights must sum to 1 within {WEIGHT_SUM_TOLERANCE}, got {float(sums[off].flat[0])!r}; divide them by "
            "their sum"
        )
    return np.broadcast_to(shares, (*kept, k))


def _widths(widths: Any, n: int) -> Floats:
    if widths is None:
        return np.broadcast_to(1.0, (n,))
    given, _ = checked_weights(widths, "widths")
    if given.shape != (n,):
        raise ValueError(f"widths must have a number for each of {n} cells, got shape {given.shape}")
    return np.ascontiguousarray(given)


def _divergences(moved: NDArray[Any], shares: Floats, widths: Floats, log: bool, pseudocount: float) -> Floats:
    """The divergence of each group of rows, in nats; what has to be converted is, a limited number at a time."""
    kept, (k, n) = moved.shape[:-2], moved.shape[-2:]
    groups = math.prod(kept)
    value = np.empty(groups)
    as_they_are = moved.dtype.name in LOADERS and moved.dtype.isnative and not log
    step = groups if as_they_are else max(CHUNK // (k * n), 1)
    for first in range(0, groups, step):
        at = np.unravel_index(np.arange(first, min(first + step, groups)), kept) if kept else ()
        numbers = moved if as_they_are else _converted(moved[at], log).reshape(-1, k, n)
        offsets = np.zeros(len(at[0]) if kept else 1, np.int64)
        if as_they_are:
            for index, stride in zip(at, moved.strides, strict=False):
                offsets += index * stride
        else:
            offsets += np.arange(offsets.size) * numbers.strides[0]
        value[first : first + step] = _of_rows(
            numbers, offsets, np.ascontiguousarray(shares[at]).reshape(-1, k), widths, pseudocount
        )
    if (value < 0.0).any():
        bad = moved == np.inf if log else (moved < 0.0) | np.isinf(moved)
        what = "hold logarithms below inf" if log else "be finite and >= 0"
        raise ValueError(f"P must {what}, got {float(moved[bad][0])!r}")
    return value.reshape(kept)


def _converted(numbers: NDArray[Any], log: bool) -> Floats:
    doubles = numbers.astype(np.float64)
    if log:
        largest = doubles.max(axis=-1, keepdims=True, initial=-np.inf)
        with np.errstate(under="ignore", invalid="ignore"):
            doubles -= np.where(np.isfinite(largest), largest, 0.0)
            np.exp(doubles, out=doubles)
    return doubles


def _of_rows(numbers: NDArray[Any], offsets: Any, shares: Floats, widths: Floats, pseudocount: float) -> Floats:
    k, n = numbers.shape[-2:]
    places = Groups(
        numbers=Operand(
            LOADERS[numbers.dtype.name].address, numbers.__array_interface__["data"][0], *numbers.strides[-2:]
        ),
        widths=Operand(LOADERS[widths.dtype.name].address, widths.__array_interface__["data"][0], 0, widths.strides[0]),
        rows=k,
        size=n,
        pseudocount=pseudocount,
    )
    out = np.empty(offsets.size)
    divergences_of_groups(offsets.size, places, offsets, shares, out, length=max(TILE // (k * n), 1), items=k * n)
    return out
