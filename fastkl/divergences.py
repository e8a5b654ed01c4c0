"""Entropy, relative entropy and Jensen-Shannon distance of arrays, as in SciPy, in one pass."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.arguments import Operands, checked_base, checked_policy, operands
from fastkl.by_definition import entropy_by_definition, jensenshannon_by_definition
from fastkl.jit import JIT_DISABLED, Implementation, TiledKernel
from fastkl.kernels import terms
from fastkl.kernels.sums import entropy_sums, js_sums, kl_sums, scaled_kl_sums
from fastkl.normalization import phi, phi_of_array
from fastkl.validation import Floats

SMALL = 2**16

LEAST_MASS, LARGEST_MASS = 1e-280, 1e300
"""Sums that lie in between were made of numbers that the short formulas are meant for."""

LARGEST_LOG = 700.0
"""The kernels' exponential is meant for less than 709."""

CANCELLED = 0.25
"""The share of the sum that the correction for unequal masses may take; beyond it, q is scaled and summed again."""

EQUAL_MASSES, EQUAL_MASSES_OF_SINGLES = 1e-15, 2.0**-24
"""Masses whose difference, d times their mean, is no larger than this are normalised by the mean.

By Taylor's theorem the Jensen-Shannon divergence J is then off by (KL(q||m) - KL(p||m)) d/4, which is at most J d/2,
and by d**2 / 8, which counts where p and q are close and is subtracted. So the distance is off by a factor of at most
1 + d/4: in single precision, where rounding leaves no two sums equal, a quarter of an ulp.
"""

LN2 = math.log(2.0)


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
) -> Any:
    """The Shannon entropy of pk, or the relative entropy KL(pk||qk), as `scipy.stats.entropy`.

    Parameters
    ----------
    pk : array_like
        Densities or probabilities along `axis`; they are normalised.
    qk : array_like, optional
        The same for the second distribution; broadcast against pk.
    base : float, optional
        Base of the logarithm, > 0; by default the result is in nats.
    axis : int, tuple of ints or None, default 0
        What is summed over; None is everything.
    nan_policy : {'propagate', 'omit', 'raise'}
        A NaN makes the result NaN, is left out together with its partner, or is an error. What a masked array
        masks is always left out.
    keepdims : bool, default False
        Keep the axes that are summed over, with length 1.
    normalize : bool, default True
        False: the sum of the terms as it stands, which may be negative.
    weights : array_like, optional
        Cell widths, >= 0, broadcast against the input by NumPy's rules: sums become sum(w * term), and
        normalising makes sum(w * p) = 1. These are not weights of observations.
    log : bool, default False
        Whether pk and qk are log-densities; -inf stands for 0.

    Returns
    -------
    scalar or ndarray
        float32 if all input is float16 or float32, else float64. inf where qk is 0 and pk is not; NaN where a
        sum is 0; 0 for no numbers. Never negative for non-negative input that is normalised.

    Raises
    ------
    ValueError
        If shapes do not broadcast, `base` is not positive, `nan_policy` is unknown or forbids the NaN that is
        there, or a weight is negative or not finite.
    TypeError
        If the input is not real numbers in at most double precision.

    Notes
    -----
    The terms are summed as p log(p/q) - p + q >= 0, so no digit is lost as q approaches p. Deviations from
    SciPy are listed in ``docs/arrays.md``.

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
    """
    if _are_vectors(pk, pk if qk is None else qk) and (
        axis == 0 and nan_policy == "propagate" and not keepdims and normalize and weights is None and not log
    ):
        value = _entropy_of_vector(pk) if qk is None else _kl_of_vectors(pk, qk)
        if value is not None:
            unit = checked_base(base)
            return pk.dtype.type(value if unit == 1.0 else _quotient(value, unit))  # type: ignore[union-attr]
    unit = checked_base(base)
    checked_policy(nan_policy)
    name, arrays = ("entr", (pk,)) if qk is None else ("rel_entr", (pk, qk))
    given = operands(name, arrays, axis, weights=weights, log=log)
    formula = functools.partial(_of_rows, normalize=normalize)
    result = given.evaluate(formula)
    if nan_policy != "propagate" and np.isnan(result).any() and given.has_nan():
        if nan_policy == "raise":
            raise ValueError("The input contains nan values, and nan_policy is 'raise'")
        result = given.omitting_nans().evaluate(formula)
    return given.finish(_quotient(result, unit), keepdims)


def jensenshannon(
    p: ArrayLike,
    q: ArrayLike,
    base: float | None = None,
    *,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
    weights: ArrayLike | None = None,
    log: bool = False,
) -> Any:
    """The Jensen-Shannon distance, as `scipy.spatial.distance.jensenshannon`.

    It is the square root of (KL(p||m) + KL(q||m))/2, m = (p + q)/2, for p and q normalised.

    Parameters
    ----------
    p, q : array_like
        Densities or probabilities along `axis`; broadcast against each other.
    base : float, optional
        Base of the logarithm, > 0; by default natural.
    axis : int, tuple of ints or None, default 0
    keepdims : bool, default False
    weights, log
        As in `entropy`.

    Returns
    -------
    scalar or ndarray
        Between 0 and sqrt(log 2) (1 for ``base=2``). Types and special values as in `entropy`.

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
    if _are_vectors(p, q) and axis == 0 and not keepdims and weights is None and not log:
        value = _js_of_vectors(p, q)
        if value is not None:
            if base is None:
                return p.dtype.type(math.sqrt(value))  # type: ignore[union-attr]
            return _root(value, checked_base(base))
    unit = checked_base(base)
    given = operands("rel_entr", (p, q), axis, weights=weights, log=log, broadcast_first=False)
    result = _root(given.evaluate(_js_of_rows), unit)
    if base is not None and given.kept == 0 and not keepdims:
        return result[()]  # in double precision, as NumPy divides a scalar by the logarithm of the base
    return given.finish(result, keepdims)


def jeffreys(
    p: ArrayLike,
    q: ArrayLike,
    base: float | None = None,
    *,
    axis: int | tuple[int, ...] | None = 0,
    keepdims: bool = False,
    weights: ArrayLike | None = None,
    log: bool = False,
) -> Any:
    """The Jeffreys divergence KL(p||q) + KL(q||p), the population-stability index of drift monitoring.

    Parameters
    ----------
    p, q, base, axis, keepdims, weights, log
        As in `jensenshannon`.

    Returns
    -------
    scalar or ndarray
        >= 0, symmetric in p and q; inf where one of them is 0 and the other is not.

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
    """
    settings: dict[str, Any] = {"axis": axis, "keepdims": keepdims, "weights": weights, "log": log}
    return entropy(p, q, base, **settings) + entropy(q, p, base, **settings)


# one long row


DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)

PLAIN = 0x101
"""NumPy's flags of an array that is C-contiguous and aligned."""


def _are_vectors(p: Any, q: Any) -> bool:
    """Whether p and q are contiguous vectors of one type that the kernels read as they are."""
    if type(p) is not np.ndarray or type(q) is not np.ndarray or p.ndim != 1 or p.size == 0:
        return False
    kind = p.dtype
    return (
        (kind is DOUBLE or kind is SINGLE)
        and q.dtype is kind
        and p.shape == q.shape
        and p.flags.num & q.flags.num & PLAIN == PLAIN
    )


def _vector_sums(kernel: TiledKernel, p: Any, *rest: Any) -> list[float]:
    if p.size > SMALL or JIT_DISABLED:
        return kernel.total(p.size, p, *rest).tolist()  # type: ignore[no-any-return]
    partial = np.empty(kernel.outputs)
    kernel.tile_function(partial, 0, p.size, p, *rest)  # the same without what long rows need: a microsecond
    return partial.tolist()


def _is_ordinary(mass: float) -> bool:
    return LEAST_MASS < mass < LARGEST_MASS


def _kl_of_vectors(p: Any, q: Any) -> float | None:
    """KL of the normalised vectors; None where the definition has to be asked."""
    total, mass_p, mass_q, surplus = _vector_sums(kl_sums, p, q, 1.0)
    if not (_is_ordinary(mass_p) and _is_ordinary(mass_q)) or total != total:
        return None
    if total == math.inf:
        return total
    correction = phi(surplus / mass_p)
    if correction > CANCELLED * total / mass_p:
        total, _, _, surplus = _vector_sums(scaled_kl_sums, p, q, mass_p / mass_q)
        correction = phi(surplus / mass_p)
    return max(total / mass_p - correction, 0.0)


def _entropy_of_vector(p: Any) -> float | None:
    total, mass = _vector_sums(entropy_sums, p, 1.0)
    if not _is_ordinary(mass) or total != total:
        return None
    value = total / mass + math.log(mass)
    if abs(math.log(mass)) > CANCELLED * value:
        value = _vector_sums(entropy_sums, p, mass)[0] / mass
    return max(value, 0.0)


def _js_of_vectors(p: Any, q: Any) -> float | None:
    total, mass_p, mass_q, surplus = _vector_sums(js_sums, p, q, 1.0)
    if not (_is_ordinary(mass_p) and _is_ordinary(mass_q)) or total != total:
        return None
    mass = 0.5 * mass_p + 0.5 * mass_q
    if abs(surplus) > (EQUAL_MASSES_OF_SINGLES if p.dtype is SINGLE else EQUAL_MASSES) * mass:
        total, mass, _, surplus = _vector_sums(js_sums, p, q, mass_p / mass_q)
    return min(max(total / mass - 0.125 * (surplus / mass) ** 2, 0.0), LN2)


# many rows


def _of_rows(given: Operands, normalize: bool) -> Floats:
    single = len(given.arrays) == 1
    if not normalize:
        return _sum_as_it_stands(given, single)
    return _entropy_of_rows(given) if single else _kl_of_rows(given)


def _settled(given: Operands, total: Floats, *masses: Floats) -> NDArray[np.bool_]:
    """Where the sums can be trusted; elsewhere the definition has to be asked."""
    settled = ~np.isnan(total)
    for mass in masses:
        settled &= (mass > LEAST_MASS) & (mass < LARGEST_MASS)
    return settled


def _shifts(given: Operands) -> tuple[list[Any], dict[str, bool]]:
    """What is subtracted from logarithms so that nothing overflows."""
    if not given.log:
        return [None] * len(given.arrays), {}
    return [given.largest(i) for i in range(len(given.arrays))], {"in_place": False}


def _kl_of_rows(given: Operands) -> Floats:
    rows, log = given.rows(), given.log
    (a, b), how = _shifts(given)
    first, again = (terms.kl_terms_of_logs,) * 2 if log else (terms.kl_terms, terms.scaled_kl_terms)
    with np.errstate(all="ignore"):
        total, mass_p, mass_q, surplus = rows.sums(first, a=a, b=b, **how)
        if log:
            surplus = mass_q - mass_p
        settled = _settled(given, total, mass_p, mass_q)
        correction = phi_of_array(surplus / mass_p)
        unequal = settled & (total < np.inf) & (correction > CANCELLED * total / mass_p)
        if unequal.any():
            if log:
                b = np.where(unequal, b + np.log(mass_q / mass_p), b)
            else:
                b = np.where(unequal, mass_p / mass_q, 1.0)
            new = rows.sums(again, a=a, b=b, **how)
            if log:
                new[3] = new[2] - new[1]
            total, surplus = (np.where(unequal, n, old) for n, old in ((new[0], total), (new[3], surplus)))
            correction = phi_of_array(surplus / mass_p)
        value = np.where(total == np.inf, np.inf, np.maximum(total / mass_p - correction, 0.0))
    return given.amend(value, settled, entropy_by_definition, mass_p, mass_q)


def _entropy_of_rows(given: Operands) -> Floats:
    rows = given.rows()
    (a,), how = _shifts(given)
    one = np.ones(rows.kept)
    with np.errstate(all="ignore"):
        if given.log:
            total, mass = rows.sums(terms.entropy_terms_of_logs, a=a, b=one, **how)[:2]
        else:
            total, mass = rows.sums(terms.entropy_terms, a=one, b=one)[:2]
        settled = _settled(given, total, mass)
        value = total / mass + np.log(mass)
        cancelled = settled & (np.abs(np.log(mass)) > CANCELLED * value)
        if cancelled.any():
            if given.log:
                own = np.where(cancelled, a + np.log(mass), a)
                again = rows.sums(terms.entropy_terms_of_logs, a=own, b=one, **how)
                value = np.where(cancelled, again[0] / again[1] + np.log(again[1]), value)
            else:
                again = rows.sums(terms.entropy_terms, a=np.where(cancelled, mass, 1.0), b=one)
                value = np.where(cancelled, again[0] / mass, value)
        if given.weights is None:  # with cell widths it may be negative, as that of any density
            value = np.maximum(value, 0.0)
    return given.amend(value, settled, entropy_by_definition, mass)


def _js_of_rows(given: Operands) -> Floats:
    rows, log = given.rows(), given.log
    (a, b), how = _shifts(given)
    kernel = terms.js_terms_of_logs if log else terms.js_terms
    copies_p, copies_q = given.copies
    with np.errstate(all="ignore"):
        total, mass_p, mass_q, surplus = rows.sums(kernel, a=a, b=b, **how)
        mass_p, mass_q = mass_p / copies_p, mass_q / copies_q
        if log or not copies_p == copies_q == 1:
            surplus = mass_q - mass_p
        settled = _settled(given, total, mass_p, mass_q)
        mass = 0.5 * mass_p + 0.5 * mass_q
        equal = EQUAL_MASSES_OF_SINGLES if given.dtype is np.float32 else EQUAL_MASSES
        unequal = settled & (np.abs(surplus) > equal * mass)
        if unequal.any():
            if log:
                b = np.where(unequal, b + np.log(mass_q / mass_p), b)
            else:
                b = np.where(unequal, mass_p / mass_q, 1.0)
            again = rows.sums(kernel, a=a, b=b, **how)
            total, mass = np.where(unequal, again[0], total), np.where(unequal, mass_p, mass)
            surplus = np.where(unequal, 0.0 if log or not copies_p == copies_q == 1 else again[3], surplus)
        value = np.maximum(total / mass - 0.125 * (surplus / mass) ** 2, 0.0)
        if copies_p == copies_q == 1:
            value = np.minimum(value, LN2)
    return given.amend(value, settled, jensenshannon_by_definition, mass_p, mass_q)


def _sum_as_it_stands(given: Operands, single: bool) -> Floats:
    """The sum of the terms of densities that are taken as they are."""
    rows = given.rows()
    kernel: Implementation
    if single:
        kernel = terms.entropy_terms_of_logs if given.log else terms.entropy_terms
    else:
        kernel = terms.kl_terms_of_logs if given.log else terms.kl_terms
    zero = np.zeros(rows.kept) if given.log else np.ones(rows.kept)
    plain = not single and not given.log
    with np.errstate(all="ignore"):
        total, mass_p, mass_q, surplus = rows.sums(
            kernel, in_place=not given.log, a=None if plain else zero, b=None if plain else zero
        )
        if given.log:
            surplus = mass_q - mass_p
        value = total if single else np.where(total == np.inf, np.inf, np.maximum(total, 0.0) - surplus)
        settled = ~np.isnan(total) & (mass_p < LARGEST_MASS) & (single | (mass_q < LARGEST_MASS))
        if given.log:
            for which in range(len(given.arrays)):
                settled &= given.largest(which) < LARGEST_LOG
    return given.amend(value, settled, entropy_by_definition, normalize=False)


def _root(value: Any, unit: float) -> Any:
    with np.errstate(invalid="ignore"):  # a base below 1
        return np.sqrt(_quotient(value, unit))


def _quotient(value: Any, unit: float) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):  # base 1, as SciPy has it, gives inf and NaN
        return np.divide(value, unit)
