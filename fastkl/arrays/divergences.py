"""Entropy, relative entropy and Jensen-Shannon distance of arrays, as in SciPy, in one pass."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.arrays.along_axes import entropy_along, jensenshannon_along
from fastkl.arrays.containers import as_array, checked_pseudocount, in_the_type_of, is_sparse
from fastkl.arrays.operands import checked_policy, operands
from fastkl.arrays.sparse import SparseOperands
from fastkl.arrays.vectors import are_vectors, entropy_of_vector, js_of_vectors, kl_of_vectors
from fastkl.validation import nats_per_unit


def entropy(
    pk: ArrayLike,
    qk: ArrayLike | None = None,
    base: float | None = None,
    axis: int | tuple[int, ...] | None = 0,
    *,
    nan_policy: str = "propagate",
    keepdims: bool = False,
    normalize: bool = True,
    weights: ArrayLike | None = None,
    log: bool = False,
    pseudocount: float = 0.0,
) -> Any:
    """The Shannon entropy of pk, or the relative entropy KL(pk||qk), as `scipy.stats.entropy`.

    Parameters
    ----------
    pk : array_like or sparse matrix
        Densities or probabilities along `axis`; they are normalised. If pk or qk is a sparse matrix or array of SciPy,
        the work is in proportion to its entries, `axis` is 0 or 1, both have one shape or one of them a single row
        (column), and `weights`, `log`, ``normalize=False`` and ``nan_policy='omit'`` are refused.
    qk : array_like or sparse matrix, optional
        Densities or probabilities of the second distribution; broadcast against pk.
    base : float, optional
        Base of the logarithm, > 0; by default the result is in nats.
    axis : int, tuple of ints or None, default 0
        Axes that are summed over; None stands for all of them.
    nan_policy : {'propagate', 'omit', 'raise'}
        Treatment of a NaN: it makes the result NaN, is left out together with its partner, or is an error. Masked
        entries are always left out.
    keepdims : bool, default False
        Whether to keep the axes that are summed over, with length 1.
    normalize : bool, default True
        Whether to normalise pk and qk; if not, the result is the sum of the terms, which may be negative.
    weights : array_like, optional
        Cell widths, >= 0, broadcast against the input by NumPy's rules: sums become sum(w * term), and
        normalising makes sum(w * p) = 1. Cell widths are not weights of observations.
    log : bool, default False
        Whether pk and qk are log-densities; -inf stands for 0.
    pseudocount : float, default 0
        A number >= 0 that is added to every entry of pk and qk before they are normalised (1/2 is Jeffreys' prior,
        1 is Laplace's): no bin of a histogram is empty then, and the divergence is finite. Masked entries, and those
        that ``nan_policy='omit'`` leaves out, get none. It is a count, and is refused for logarithms, for densities
        with `weights`, and with ``normalize=False``.

    Returns
    -------
    scalar or ndarray
        float32 if all input is float16, bfloat16 or float32, else float64; a tensor or a JAX array if pk or qk is
        one. It is inf if qk is 0 where pk is not, NaN if a sum is 0, 0 for no numbers, and never negative for
        non-negative input that is normalised.

    Raises
    ------
    ValueError
        If shapes do not broadcast, `base` is not positive, `nan_policy` is unknown or forbids the NaN that is
        there, a weight or `pseudocount` is negative or not finite, `pseudocount` does not fit the other arguments, or
        something does not fit sparse input.
    TypeError
        If the input is not real numbers in at most double precision, or is a tensor that requires a gradient or is not
        on the CPU.

    Notes
    -----
    The terms are summed as p log(p/q) - p + q >= 0, so no digit is lost as q approaches p, down to a divergence of
    1e-33 if the masses differ, and of any size if they do not. With ``log=True`` the same holds for the logarithms as
    they are given, whatever is added to all logarithms of a row; rows of logits, their special values and the
    statistics of many rows are the subject of ``docs/tokens.md``. The entropy of a single distribution has an absolute
    error of 1e-16 if it is near 0. Deviations from SciPy are listed in ``docs/arrays.md``.

    References
    ----------
    Shannon (1948), A mathematical theory of communication. Kullback and Leibler (1951), On information and
    sufficiency.

    Examples
    --------
    >>> import fastkl
    >>> round(float(fastkl.entropy([0.5, 0.5], base=2)), 12)
    1.0
    >>> round(float(fastkl.entropy([0.5, 0.5], [0.9, 0.1])), 12)
    0.510825623766

    From logits, which need not be normalised, of two models for two tokens:

    >>> a, b = [[5.0, 2.0, 1.0], [0.0, 3.0, 9.0]], [[5.0, 2.0, 1.0], [0.0, 3.5, 9.0]]
    >>> fastkl.entropy(a, b, log=True, axis=-1).round(7)
    array([0.       , 0.0003664])
    """
    own, p, q = _readable(pk, qk, "pk", "qk")
    if own is None:
        options = {"normalize=False": not normalize, "weights=": weights is not None, "log=True": log}
        return _entropy_of_sparse(pk, qk, base, axis, nan_policy, keepdims, pseudocount, options)
    if pseudocount != 0.0:
        pseudocount = checked_pseudocount(pseudocount, log=log, normalize=normalize, weights=weights)
    masses = None
    is_plain = axis == 0 and nan_policy == "propagate" and not (keepdims or log or pseudocount)
    if is_plain and normalize and weights is None and are_vectors(p, p if q is None else q):
        found = entropy_of_vector(p) if q is None else kl_of_vectors(p, q)
        if isinstance(found, float):
            unit = nats_per_unit(base)
            return own(p.dtype.type(found if unit == 1.0 else _quotient(found, unit)))
        masses = found
    unit = nats_per_unit(base)
    checked_policy(nan_policy)
    arrays = (p,) if q is None else (p, q)
    given = operands("pk qk", arrays, axis, weights=weights, log=log, pseudocount=pseudocount)
    formula = functools.partial(entropy_along, normalize=normalize, masses=masses)
    result = given.evaluate(formula)
    if nan_policy != "propagate" and np.isnan(result).any() and given.has_nan():
        if nan_policy == "raise":
            raise ValueError("The input contains nan values, and nan_policy is 'raise'")
        result = given.omitting_nans().evaluate(formula)
    return own(given.finish(_quotient(result, unit), keepdims))


def jensenshannon(
    p: ArrayLike,
    q: ArrayLike,
    base: float | None = None,
    *,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
    weights: ArrayLike | None = None,
    log: bool = False,
    pseudocount: float = 0.0,
) -> Any:
    """The Jensen-Shannon distance, as `scipy.spatial.distance.jensenshannon`.

    It is the square root of (KL(p||m) + KL(q||m))/2, m = (p + q)/2, for p and q normalised.

    Parameters
    ----------
    p, q : array_like or sparse matrix
        Densities or probabilities along `axis`; broadcast against each other. Sparse ones as in `entropy`.
    base : float, optional
        Base of the logarithm, > 0; by default natural.
    axis : int, tuple of ints or None, default 0
        Axes that are summed over; None stands for all of them.
    keepdims : bool, default False
        Whether to keep the axes that are summed over, with length 1.
    weights, log, pseudocount
        As in `entropy`.

    Returns
    -------
    scalar or ndarray
        Between 0 and sqrt(log 2) (1 for ``base=2``). Types and special values as in `entropy`, but for a scalar with
        a `base`, which is float64, as in SciPy. If one array is repeated along `axis`, it is normalised before, as in
        SciPy, and the result is no distance of distributions.

    Raises
    ------
    ValueError, TypeError
        As `entropy`.

    References
    ----------
    Lin (1991), Divergence measures based on the Shannon entropy; Endres and Schindelin (2003), A new metric for
    probability distributions.

    Examples
    --------
    >>> import fastkl
    >>> float(fastkl.jensenshannon([1.0, 0.0], [0.0, 1.0], 2))
    1.0
    """
    own, a, b = _readable(p, q, "p", "q")
    if own is None:
        sparse = _sparse_pair(p, q, axis, weights, log, pseudocount)
        return sparse.finish(_root(sparse.divergence("js"), nats_per_unit(base)), keepdims)
    if pseudocount != 0.0:
        pseudocount = checked_pseudocount(pseudocount, log=log, normalize=True, weights=weights)
    masses = None
    if axis == 0 and not (keepdims or log or pseudocount) and weights is None and are_vectors(a, b):
        found = js_of_vectors(a, b)
        if isinstance(found, float):
            if base is None:
                return own(a.dtype.type(math.sqrt(found)))
            return own(_root(found, nats_per_unit(base)))
        masses = found
    unit = nats_per_unit(base)
    given = operands("p q", (a, b), axis, weights=weights, log=log, pseudocount=pseudocount, broadcast_first=False)
    divergence = given.evaluate(functools.partial(jensenshannon_along, masses=masses))
    result = _root(divergence, unit)
    if base is not None and given.kept == 0 and not keepdims:
        return own(result[()])  # in double precision, as NumPy divides a scalar by the logarithm of the base
    return own(given.finish(result, keepdims))


def jeffreys(
    p: ArrayLike,
    q: ArrayLike,
    base: float | None = None,
    *,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
    weights: ArrayLike | None = None,
    log: bool = False,
    pseudocount: float = 0.0,
) -> Any:
    """The Jeffreys divergence KL(p||q) + KL(q||p), the population-stability index of drift monitoring.

    Parameters
    ----------
    p, q, base, axis, keepdims, weights, log, pseudocount
        As in `jensenshannon`.

    Returns
    -------
    scalar or ndarray
        A number >= 0, symmetric in p and q; inf if one of them is 0 where the other is not, without a `pseudocount`.

    Raises
    ------
    ValueError, TypeError
        As `entropy`.

    References
    ----------
    Jeffreys (1946), An invariant form for the prior probability in estimation problems.

    Examples
    --------
    >>> import fastkl
    >>> round(float(fastkl.jeffreys([0.5, 0.5], [0.9, 0.1])), 12)
    0.878889830934
    >>> round(float(fastkl.jeffreys([3, 0, 1], [2, 1, 1], pseudocount=0.5)), 12)
    0.260924459144
    """
    own, a, b = _readable(p, q, "p", "q")
    if own is None:
        sparse = _sparse_pair(p, q, axis, weights, log, pseudocount)
        return sparse.finish(_quotient(sparse.divergence("jeffreys"), nats_per_unit(base)), keepdims)
    if pseudocount != 0.0:
        pseudocount = checked_pseudocount(pseudocount, log=log, normalize=True, weights=weights)
    unit = nats_per_unit(base)
    if axis == 0 and not (keepdims or log or pseudocount) and weights is None and are_vectors(a, b):
        forward, reverse = kl_of_vectors(a, b), kl_of_vectors(b, a)
        if isinstance(forward, float) and isinstance(reverse, float):
            return own(a.dtype.type(_quotient(forward + reverse, unit)))
    given = operands("p q", (a, b), axis, weights=weights, log=log, pseudocount=pseudocount)
    formula = functools.partial(entropy_along, normalize=True)
    value = given.evaluate(formula) + given.swapped().evaluate(formula)  # rounded to single precision once
    return own(given.finish(_quotient(value, unit), keepdims))


def _entropy_of_sparse(
    pk: Any,
    qk: Any,
    base: Any,
    axis: Any,
    nan_policy: Any,
    keepdims: bool,
    pseudocount: Any,
    options: dict[str, bool],
) -> Any:
    """`entropy` of rows of which some are sparse."""
    unit = nats_per_unit(base)
    checked_policy(nan_policy)
    pseudocount = checked_pseudocount(pseudocount, log=False, normalize=True, weights=None)
    given = SparseOperands(pk, qk, "pk qk", axis, pseudocount, options)
    if nan_policy != "propagate" and given.has_nan():
        if nan_policy == "raise":
            raise ValueError("The input contains nan values, and nan_policy is 'raise'")
        raise ValueError("nan_policy='omit' is not for sparse arrays; set their NaNs to 0, or pass pk.toarray()")
    value = given.entropy() if qk is None else given.divergence("kl")
    return given.finish(_quotient(value, unit), keepdims)


def _sparse_pair(p: Any, q: Any, axis: Any, weights: Any, log: bool, pseudocount: Any) -> SparseOperands:
    pseudocount = checked_pseudocount(pseudocount, log=False, normalize=True, weights=None)
    return SparseOperands(p, q, "p q", axis, pseudocount, {"weights=": weights is not None, "log=True": log})


def _readable(p: Any, q: Any, name_p: str, name_q: str) -> tuple[Callable[[Any], Any] | None, Any, Any]:
    """(function that gives a result the type of p or q, p, q), the latter two as NumPy arrays.

    If one of them is sparse, the function is None.
    """
    if type(p) is np.ndarray and (type(q) is np.ndarray or q is None):
        return _as_it_is, p, q
    if is_sparse(p) or is_sparse(q):
        return None, p, q
    own = in_the_type_of(p, q)
    p = p if np.ma.isMaskedArray(p) else as_array(p, name_p)
    q = q if q is None or np.ma.isMaskedArray(q) else as_array(q, name_q)
    return own, p, q


def _as_it_is(result: Any) -> Any:
    return result


def _root(value: Any, unit: float) -> Any:
    with np.errstate(invalid="ignore"):  # a base below 1 gives NaN
        return np.sqrt(_quotient(value, unit))


def _quotient(value: Any, unit: float) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):  # base 1 gives inf and NaN, as in SciPy
        return np.divide(value, unit)
