"""Divergences along axes by fast sums of many rows, of any strides and types, with weights or from logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.arrays.by_definition import entropy_by_definition, jensenshannon_by_definition, sum_by_definition
from fastkl.arrays.logarithms import divergence
from fastkl.arrays.operands import Operands
from fastkl.arrays.ranges import (
    EQUAL_MASSES,
    EQUAL_MASSES_OF_SINGLES,
    LARGEST_LOG,
    LEAST_JS_TERM,
    LEAST_RATIO,
    LEAST_TERM,
    LN2,
    SCALED_MASS_EXPONENT,
)
from fastkl.arrays.rows import Rows
from fastkl.arrays.settle import Measured, are_ordinary, batches, settle
from fastkl.kernels import terms
from fastkl.kernels.reductions import BY_MASS, BY_RATIO, IF_NEEDED
from fastkl.kernels.terms import LARGEST_MASS, Terms
from fastkl.measures import divergence_of_sums
from fastkl.validation import Floats

Masses = tuple[float, ...]

WORTH_A_LOOK = 2**14
"""Size of an array from which on it pays to look whether the masses are about the same."""

FEW, FEW_NUMBERS = 32, 16
"""Number of entries along every kept axis, and along every summed axis, by which masses are judged to be alike."""

FAR_LOG = 64.0
"""Size of a row's largest logarithm from which on it is subtracted before anything else: its last place is 1.4e-14."""

MOST = 0.75
"""Largest share of rows with masses that are alike for which the masses are summed first."""


def entropy_along(given: Operands, normalize: bool, masses: Masses | None = None) -> Floats:
    """The entropy of each row of p, or KL(p||q) of each pair; *masses* are those of a single row, if already known."""
    if not normalize:
        value = settle(given, _sum_as_it_stands, sum_by_definition)
        return np.ldexp(value, given.weight_exponent)
    single = len(given.arrays) == 1
    alone, both = (_entropy_of_logs, _kl_of_logs) if given.log else (_entropy, _kl)
    measure = alone if single else both
    value = settle(given, measure, entropy_by_definition, _unsettled(masses))
    return value + given.weight_exponent * LN2 if single else value


def jensenshannon_along(given: Operands, masses: Masses | None = None) -> Floats:
    """The Jensen-Shannon divergence of each pair of rows; *masses* are those of a single pair, if already known."""
    measure = _jensenshannon_of_logs if given.log else _jensenshannon
    return settle(given, measure, jensenshannon_by_definition, _unsettled(masses))


def _unsettled(masses: Masses | None) -> Measured | None:
    if masses is None:
        return None
    return Measured(np.array(np.nan), np.array(False), tuple(np.array(mass) for mass in masses))


def _shifted(given: Operands) -> tuple[Rows, list[Any], dict[str, Any]]:
    """(rows of logarithms, shifts to subtract from them so that nothing overflows, keywords for `Rows.sums`).

    Large shifts are subtracted here, and 0 is returned for them: whatever was added to a large shift would be rounded.
    """
    largest = [given.largest(i) for i in range(len(given.arrays))]
    if max(np.max(np.abs(shift), initial=0.0) for shift in largest) > FAR_LOG:
        given = given.shifted(largest[0], largest[-1])
        largest = [np.zeros_like(shift) for shift in largest]
    return given.rows(), largest, {"in_place": False}


def _seen(given: Operands, total: Floats, settled: NDArray[np.bool_], least: float, factor: Floats) -> Any:
    """Whether a row is settled and no number that counts as TINY matters: its sum is large, or p = factor * q."""
    size = math.prod(given.arrays[0].shape[given.kept :])
    small = settled & ~((total >= least * size) | ((total == 0.0) & np.signbit(total)))
    if small.any():
        settled = np.array(settled)
        for rows in batches(given, small):
            settled[rows] = given.select(rows).are_proportional(np.asarray(factor[rows]))
    return settled


def _is_single_point(given: Operands) -> bool:
    return math.prod(given.arrays[0].shape[given.kept :]) == 1


def _balance(given: Operands, rows: Rows) -> Floats | None:
    """The ratio of p's mass to q's of each row, 1 if they are alike; None if they seem to be alike in most rows.

    If they are not, sums with q as it is would be made in vain. A few numbers of a few rows are looked at; the factor
    that a row has in the end does not depend on the other rows.
    """
    if given.arrays[0].size < WORTH_A_LOOK or not rows.go_across:
        return None
    shape = given.arrays[0].shape
    few = tuple(slice(None, None, -(-n // (FEW if d < given.kept else FEW_NUMBERS))) for d, n in enumerate(shape))
    axes = tuple(range(given.kept, len(shape)))
    p, q = (given.arrays[i][few].astype(np.float64).sum(axis=axes) for i in (0, 1))
    if _are_alike(p, q).mean() > MOST:
        return None
    mass_p, mass_q = rows.masses()
    return np.where(_are_alike(mass_p, mass_q), 1.0, _ratio(mass_p, mass_q))


def _are_alike(mass_p: Floats, mass_q: Floats) -> NDArray[np.bool_]:
    """Whether neither mass is more than twice the other, for each row."""
    return (mass_p >= 0.5 * mass_q) & (mass_p <= 2.0 * mass_q)


def _ratio(mass_p: Floats, mass_q: Floats) -> Floats:
    return np.where(are_ordinary(mass_p, mass_q), mass_p / mass_q, 1.0)


def _kl(given: Operands) -> Measured:
    rows = given.rows()
    with np.errstate(all="ignore"):
        if rows.are_balanced:
            sums = rows.sums(terms.kl_terms, scaled=terms.scaled_kl_terms, balance=IF_NEEDED)
        else:
            ratio = _balance(given, rows)
            sums = rows.sums(terms.kl_terms if ratio is None else terms.scaled_kl_terms, b=ratio)
        total, mass_p, mass_q, surplus, factor = sums
        value, lossy = divergence_of_sums(total, mass_p, surplus)
        settled = are_ordinary(mass_p, mass_q) & (mass_p >= LEAST_RATIO * mass_q) & ~np.isnan(total)
        if lossy.any():
            lossy &= settled & (total < np.inf)
        if lossy.any():
            factor = np.where(lossy, mass_p / mass_q, factor)
            again = rows.sums(terms.scaled_kl_terms, b=factor)
            total, surplus = np.where(lossy, again[0], total), np.where(lossy, again[3], surplus)
            value, _ = divergence_of_sums(total, mass_p, surplus)
        settled = _seen(given, total, settled, LEAST_TERM, factor)
        value = np.where(total < np.inf, 0.0 if _is_single_point(given) else np.maximum(value, 0.0) + 0.0, np.inf)
    return Measured(value, settled, (mass_p, mass_q), needs_q=True)


def _kl_of_logs(given: Operands) -> Measured:
    value = divergence(given.rows().log_sums())
    if _is_single_point(given):
        value = np.where(value < np.inf, 0.0, value)
    return Measured(value, ~np.isnan(value), (value,))


def _entropy(given: Operands) -> Measured:
    rows = given.rows()
    with np.errstate(all="ignore"):
        if rows.are_balanced:
            total, mass, _, _, factor = rows.sums(terms.entropy_terms, balance=BY_MASS)
        else:  # a second pass is rare if the masses are about as guessed
            guess = 1.0 if given.exponents is None else 2.0**SCALED_MASS_EXPONENT
            if rows.prepare is None:
                mass = rows.masses()[0]
                factor = np.where(are_ordinary(mass), mass, 1.0)
            else:
                factor = np.full(rows.kept, guess)
            total, mass, *_ = rows.sums(terms.entropy_terms, b=factor)
        shift = np.log(mass / factor)
        value = total / mass + shift
        lossy = are_ordinary(mass) & (np.abs(shift) > 0.25 * np.abs(value))
        if lossy.any():
            total = np.where(lossy, rows.sums(terms.entropy_terms, b=np.where(lossy, mass, factor))[0], total)
            value = np.where(lossy, total / mass, value)
        settled = ~np.isnan(value) & are_ordinary(mass)
        if given.weights is None:  # with cell widths an entropy may be negative, as that of any density
            value = np.maximum(value, 0.0)
        size = math.prod(given.arrays[0].shape[given.kept :])
        settled &= (value == 0.0) | (np.abs(value) * mass >= LEAST_TERM * size)
    return Measured(value, settled, (mass,))


def _entropy_of_logs(given: Operands) -> Measured:
    rows, (a,), how = _shifted(given)
    one = np.ones(rows.kept)
    with np.errstate(all="ignore"):
        total, mass = rows.sums(terms.entropy_terms_of_logs, a=a, b=one, **how)[:2]
        settled = ~np.isnan(total) & are_ordinary(mass)
        value = total / mass + np.log(mass)
        lossy = settled & (np.abs(np.log(mass)) > 0.25 * value)
        if lossy.any():
            own = np.where(lossy, a + np.log(mass), a)
            again = rows.sums(terms.entropy_terms_of_logs, a=own, b=one, **how)
            value = np.where(lossy, again[0] / again[1] + np.log(again[1]), value)
        if given.weights is None:
            value = np.maximum(value, 0.0)
    return Measured(value, settled, (mass,))


def _jensenshannon(given: Operands) -> Measured:
    rows = given.rows()
    with np.errstate(all="ignore"):
        if rows.are_balanced and given.copies == (1, 1):
            total, mass_p, mass_q, surplus, ratio = rows.sums(terms.scaled_js_terms, balance=BY_RATIO)
        else:
            masses = rows.masses()
            mass_p, mass_q = (mass / copies for mass, copies in zip(masses, given.copies, strict=True))
            equal = EQUAL_MASSES_OF_SINGLES if given.dtype is np.float32 else EQUAL_MASSES
            ratio = np.where(np.abs(mass_p / mass_q - 1.0) <= equal, 1.0, _ratio(mass_p, mass_q))
            total, _, _, surplus, _ = rows.sums(terms.scaled_js_terms, b=ratio)
        settled = ~np.isnan(total) & are_ordinary(mass_p, mass_q)
        settled = _seen(given, total, settled, LEAST_JS_TERM, ratio)
        surplus = surplus if given.copies == (1, 1) else 0.0
        value = _js_of_sums(given, total, np.where(ratio == 1.0, 0.5 * mass_p + 0.5 * mass_q, mass_p), surplus)
    return Measured(value, settled, (mass_p, mass_q))


def _jensenshannon_of_logs(given: Operands) -> Measured:
    rows, (a, b), how = _shifted(given)
    copies_p, copies_q = given.copies
    with np.errstate(all="ignore"):
        total, mass_p, mass_q, *_ = rows.sums(terms.js_terms_of_logs, a=a, b=b, **how)
        mass_p, mass_q = mass_p / copies_p, mass_q / copies_q
        settled = ~np.isnan(total) & are_ordinary(mass_p, mass_q)
        mass, surplus = 0.5 * mass_p + 0.5 * mass_q, mass_q - mass_p
        unequal = settled & (np.abs(surplus) > EQUAL_MASSES * mass)
        if unequal.any():
            again = rows.sums(terms.js_terms_of_logs, a=a, b=np.where(unequal, b + np.log(mass_q / mass_p), b), **how)
            total, mass = np.where(unequal, again[0], total), np.where(unequal, mass_p, mass)
            surplus = np.where(unequal, 0.0, surplus)
    return Measured(_js_of_sums(given, total, mass, surplus), settled, (mass_p, mass_q))


def _js_of_sums(given: Operands, total: Floats, mass: Floats, surplus: Any) -> Floats:
    with np.errstate(all="ignore"):
        value: Floats = total / mass - 0.125 * (surplus / mass) ** 2
    highest = np.inf if given.copies != (1, 1) else 0.0 if _is_single_point(given) else LN2
    return np.clip(value, 0.0, highest) + 0.0  # turns -0 into 0


def _sum_as_it_stands(given: Operands) -> Measured:
    """The sum of the terms of each row, which is not normalised."""
    rows = given.rows()
    single = len(given.arrays) == 1
    kernel: Terms
    if single:
        kernel = terms.entropy_terms_of_logs if given.log else terms.entropy_terms
    else:
        kernel = terms.kl_terms_of_logs if given.log else terms.kl_terms
    zero = np.zeros(rows.kept) if given.log else np.ones(rows.kept)
    plain = not single and not given.log
    with np.errstate(all="ignore"):
        total, mass_p, mass_q, surplus, _ = rows.sums(
            kernel, in_place=not given.log, a=zero if given.log else None, b=None if plain else zero
        )
        if given.log:
            surplus = mass_q - mass_p
        value = total if single else np.where(total == np.inf, np.inf, np.maximum(total, 0.0) - surplus)
        settled = ~np.isnan(total) & (mass_p < LARGEST_MASS) & (single | (mass_q < LARGEST_MASS))
        if given.log:
            for which in range(len(given.arrays)):
                settled &= given.largest(which) < LARGEST_LOG
        else:
            size = math.prod(given.arrays[0].shape[given.kept :])
            settled &= (value == 0.0) | (np.abs(value) >= LEAST_TERM * size)
    return Measured(value, settled, ())
