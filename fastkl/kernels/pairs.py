"""Divergences of all pairs of rows of two matrices, by sums in which nearly nothing cancels.

Method. Let m > 0 be a centre of the rows, here their mean. The terms of the generalised divergence
D(p||q) = sum p log(p/q) - p + q obey

    D(p||q) = D(p||m) + D(m||q) + sum (p - m) log(m/q),
    2 JS(p, q) = D(p||m) + D(q||m) - 2 D((p + q)/2||m),

whatever m is. The first two parts belong to single rows, and are sums of terms >= 0. The third one of KL is a matrix
product, and that of JS needs one logarithm for each pair of numbers. Where the rows differ little from each other, they
differ little from m, and all parts are small of second order: the differences p - m and the logarithms are computed
without cancellation, and without the rounding of normalised numbers. So digits are lost only where two rows are much
nearer to each other than to m. The bound that `finish_pairs` has tells, and such a pair is computed again by terms
of its own (`fastkl.kernels.terms`).

Work. Rows are prepared in *panels*, a bounded number of rows and columns at a time (`fill_panel`); then all pairs of
rows of two panels are added up (`add_products`, `add_mixed_terms`), in blocks of `ROWS` by `ROWS` pairs. Sums of
`STEP` columns are added up with their rounding errors, so that the error does not grow with the number of columns.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import (
    TINY,
    fast_centred,
    fast_unit_kl_term,
    fma,
    is_product,
    log,
    log_ratio,
    two_sum,
    with_lost,
)
from fastkl.jit import block, buffer, buffers, scalar, tiled, widest_vectors
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.reductions import BLOCK, EQUAL, Operand, loaded
from fastkl.kernels.terms import SCALED_JS, SCALED_KL, block_sums

ROWS = 32
"""Number of rows in a block of a panel."""

STEP = 64
"""Number of columns whose products are added up before a rounding error is kept; one of them has a bit in a word."""

RUN = 256
"""Number of columns whose Jensen-Shannon terms are added up before a rounding error is kept."""

LEAST_CENTRE = 2.0**-600
"""Least number of a centre, which stands where all rows are 0."""

LEFT, RIGHT, BOTH, MIXED = range(4)
"""Parts that a row plays: the first argument of KL, the second one, both, and an argument of Jensen-Shannon."""

KL, REVERSE_KL, JEFFREYS, JS = range(4)
"""Metrics; the reverse KL has its arguments exchanged."""

TERM, LOST, EXCESSES, LOGARITHMS, GAP, VOID, MASS = range(7)
"""Facts about a row, with its numbers x and the centre m: the sum of its terms against the centre and the part
that this sum has lost by rounding, the sums of (x - m)**2/m, m log(x/m)**2 and |x - m|, m's mass where x is 0, and the
mass before it was normalised."""
FACTS = 7

UNIT = 2.0**-53
"""Largest relative error of a rounding."""

ALIKE = 2.0**-80
"""Divergence below which rows are compared number by number: those that are proportional have a divergence of 0."""

KL_ERROR, JS_ERROR = 64, 16
"""Largest error of a term of KL or of a product, and of a Jensen-Shannon term, in units of `UNIT`."""

LN2 = math.log(2.0)


class Filling(NamedTuple):
    """Work of `fill_panel`."""

    part: int
    across: bool
    """Whether the numbers of one column lie side by side in a block; if not, runs of `STEP` numbers of each row do.

    The `MIXED` part has whole rows side by side.
    """
    rows: int
    first: int
    """Number of the first column."""
    columns: int


class Summing(NamedTuple):
    """Work of `add_products` and `add_mixed_terms`, for the rows of two panels."""

    metric: int
    rows: int
    """Number of rows of the first panel; it and the next one are rounded up to whole blocks."""
    others: int
    ahead: int
    """Number of rows by which the second panel starts after the first, in the same matrix."""
    symmetric: bool
    """Whether only pairs i < j of rows of the same matrix count."""
    zeros: bool
    """Whether any row has a 0."""


class Place(NamedTuple):
    """Place of the pairs of two panels in the result."""

    row: int
    column: int
    """Row and column of the first pair."""
    width: int
    """Number of columns of the matrix."""
    condensed: bool
    """Whether only the pairs i < j are there, row after row."""


class Finish(NamedTuple):
    """Work of `finish_pairs`."""

    metric: int
    others: int
    columns: int
    normalize: bool
    again: bool
    """Whether the rows can be read again as they are, for pairs whose sums have lost digits."""
    input_error: float
    """Largest relative error of a number of a row."""
    rtol: float
    """Largest relative error of a divergence that is not computed again."""
    least: float
    """Least sum of terms, per number, for which numbers that count as `TINY` do not matter."""
    place: Place


class Source(NamedTuple):
    """Rows as they are in memory, and the factor of each, 0 for a row that is left out."""

    place: Operand
    factors: Any


class Prepared(NamedTuple):
    """Rows of a panel that are prepared for their part."""

    values: Any
    """Numbers of each block of rows, for one or two factors of a product."""
    zeros: Any
    """Bit k of ``zeros[row, word]`` says whether number STEP * word + k is 0."""
    facts: Any
    """Array of shape (FACTS, rows)."""


class Sums(NamedTuple):
    """Sums of all pairs of rows of two panels."""

    totals: Any
    lost: Any
    """The parts that the totals have lost by rounding."""


class Facts(NamedTuple):
    """Facts about the rows of two panels."""

    p: Any
    q: Any


class Given(NamedTuple):
    """The rows of two panels as they are in memory."""

    p: Operand
    q: Operand


@tiled(outputs=0, even=True)
def weigh_rows(partial, start, stop, given, columns, masses, zeros):
    """The mass of each row, NaN if a number is negative or not finite, and its number of zeros."""
    _weigh(start, stop, given, columns, masses, zeros, buffer(BLOCK))


@block
def _weigh(start, stop, given, columns, masses, zeros, room):
    for row in range(start, stop):
        mass, lost, seen, negative = 0.0, 0.0, 0, 0
        for begin in range(0, columns, BLOCK):
            n = min(BLOCK, columns - begin)
            x = loaded(given, given.address + row * given.row_step + begin * given.step, given.step, room[:n])
            s = 0.0
            for i in range(n):
                s += x[i]
                seen += 1 if x[i] == 0.0 else 0
                negative += 0 if x[i] >= 0.0 else 1
            mass, error = two_sum(mass, s)
            lost += error
        masses[row] = with_lost(mass, lost) if negative == 0 and mass < np.inf else np.nan
        zeros[row] = seen


@tiled(outputs=0, even=True)
def add_to_centre(partial, start, stop, given, rows, factors, first, centre):
    """Add factor * row to the centre, for each row; a point is a column, and the centre begins at column *first*."""
    _add_to_centre(start, stop, given, rows, factors, first, centre, buffer(BLOCK))


@block
def _add_to_centre(start, stop, given, rows, factors, first, centre, room):
    for begin in range(start, stop, BLOCK):
        n = min(BLOCK, stop - begin)
        m = centre[begin - first : begin - first + n]
        for row in range(rows):
            if factors[row] > 0.0:
                x = loaded(given, given.address + row * given.row_step + begin * given.step, given.step, room[:n])
                for i in range(n):
                    m[i] = fma(factors[row], x[i], m[i])


@tiled(outputs=0, even=True)
def fill_panel(partial, start, stop, work, source, centre, panel):
    """Prepare the columns of rows for their part, and add to what is known of these rows; a point is a block of rows.

    *centre* is that of these columns, and its second row has the inverses of the first one.
    """
    _fill_panel(start, stop, work, source, centre, panel, buffers(4, STEP))


@block
def _fill_panel(start, stop, work, source, centre, panel, room):
    given, factors, values, facts = source.place, source.factors, panel.values, panel.facts
    width = values.shape[2] // ROWS
    pieces = width // STEP
    excesses, logarithms, terms = room[1], room[2], room[3]
    for number in range(start, stop):
        for item in range(ROWS * pieces):
            r, begin = item % ROWS, item // ROWS * STEP
            at, step = (begin * ROWS + r, ROWS) if work.across else (begin * ROWS + r * STEP, 1)
            if work.part == MIXED:
                r, begin = item // pieces, item % pieces * STEP
                at, step = item * STEP, 1
            row, first = number * ROWS + r, work.first + begin
            n = max(min(STEP, work.columns - begin), 0)
            for i in range(STEP):
                excesses[i], logarithms[i], terms[i] = 0.0, 0.0, 0.0
            word = np.int64(-1)
            if row < work.rows and factors[row] > 0.0:
                place = given.address + row * given.row_step + first * given.step
                x = loaded(given, place, given.step, room[0, :n])
                m, inverse = centre[0, begin : begin + n], centre[1, begin : begin + n]
                if work.part == MIXED:
                    _mix(x, factors[row], m, inverse, excesses, terms, facts, row)
                else:
                    word = _centre(work.part, x, factors[row], m, inverse, excesses, logarithms, terms, facts, row)
                total = 0.0
                for i in range(STEP):
                    total += terms[i]
                facts[TERM, row], error = two_sum(facts[TERM, row], total)
                facts[LOST, row] += error
            panel.zeros[row, begin // STEP] = word
            swapped = work.part == RIGHT or (work.part == BOTH and work.across)
            _copy(logarithms if swapped else excesses, values[number, 0, at:], step)
            if work.part == BOTH:
                _copy(excesses if swapped else logarithms, values[number, 1, at:], step)


@block
def _copy(values, out, step):
    """Copy numbers to places that are *step* apart."""
    if step == 1:
        for i in range(STEP):
            out[i] = values[i]
    else:
        for i in range(STEP):
            out[i * step] = values[i]


@block
def _mix(x, c, m, inverse, halves, terms, facts, row):
    """Fill in half the ratios of a row's numbers to the centre, and the terms."""
    widest_vectors()
    gap = 0.0
    for i in range(x.size):
        product, half_inverse = c * x[i], 0.5 * inverse[i]  # rounded alike in all rows, so that it does not count
        half = fma(product, half_inverse, fma(c, x[i], -product) * half_inverse)
        halves[i] = half
        terms[i] = m[i] * fast_unit_kl_term(half + half)
        gap += abs(fma(c, x[i], -m[i]))
    facts[GAP, row] += gap


@block
def _centre(part, x, c, m, inverse, excesses, logarithms, terms, facts, row):
    """Fill in x - m, log(m/x), which is 0 where x is 0, and the terms; give back a word with a bit where x is 0."""
    widest_vectors()
    few = np.int64(0)
    word = np.int64(0)
    for i in range(x.size):
        excess, logarithm, of_x, of_centre = fast_centred(x[i], c, m[i])
        is_zero = x[i] == 0.0
        logarithm = 0.0 if is_zero else logarithm
        of_centre = -m[i] if is_zero else of_centre
        excesses[i], logarithms[i] = excess, -logarithm
        terms[i] = of_x if part == LEFT else of_centre if part == RIGHT else excess * logarithm
        few |= np.int64(1) if c * x[i] < TINY and not is_zero else np.int64(0)
    for i in range(x.size):
        word |= (np.int64(1) if x[i] == 0.0 else np.int64(0)) << np.int64(i)
    if few != 0:
        for i in range(x.size):
            if x[i] > 0.0 and c * x[i] < TINY:
                logarithm = log_ratio(x[i], m[i]) + log(c)
                logarithms[i] = -logarithm
                if part == RIGHT:
                    terms[i] = fma(-m[i], logarithm, excesses[i])
                elif part == BOTH:
                    terms[i] = excesses[i] * logarithm
    squares, logs, void = 0.0, 0.0, 0.0
    for i in range(x.size):
        squares += excesses[i] * (excesses[i] * inverse[i])
        logs += m[i] * logarithms[i] * logarithms[i]
        void += m[i] if x[i] == 0.0 else 0.0
    for i in range(x.size, STEP):
        word |= np.int64(1) << np.int64(i)
    facts[EXCESSES, row] += squares
    facts[LOGARITHMS, row] += logs
    facts[VOID, row] += void
    return word


@scalar
def _counts(work, first, second):
    """Whether a pair of blocks has a pair that is asked for."""
    return not work.symmetric or (second + 1) * ROWS + work.ahead - 1 > first * ROWS


@tiled(outputs=0, even=True)
def add_products(partial, start, stop, work, left, right, sums):
    """Add the products of all pairs of rows to their sums, or inf where a divergence is infinite.

    A point is a pair of blocks. In *left* the numbers of `STEP` columns of a row lie side by side, and in *right* those
    of the rows of a block.
    """
    _add_products(start, stop, work, left, right, sums.totals, sums.lost, buffer(4 * ROWS))


@block
def _add_products(start, stop, work, left, right, sums, lost, room):
    blocks, width = right.values.shape[0], left.values.shape[2] // ROWS
    for point in range(start, stop):
        first, second = point // blocks, point % blocks
        if _counts(work, first, second):
            at = second * ROWS
            for plane in range(left.values.shape[1]):
                for begin in range(0, width, STEP):
                    w = right.values[second, plane, begin * ROWS : (begin + STEP) * ROWS]
                    u = left.values[first, plane, begin * ROWS : (begin + STEP) * ROWS]
                    for r in range(0, ROWS, 4):
                        _multiply(u[r * STEP : (r + 4) * STEP], w, room)
                        for s in range(4):
                            row = first * ROWS + r + s
                            _add(room[s * ROWS : (s + 1) * ROWS], sums[row, at : at + ROWS], lost[row, at : at + ROWS])
            if work.zeros:
                for r in range(first * ROWS, min((first + 1) * ROWS, work.rows)):
                    for s in range(at, min(at + ROWS, work.others)):
                        if _is_infinite(work.metric, left.zeros[r], right.zeros[s]):
                            sums[r, s] = np.inf


@block
def _is_infinite(metric, left, right):
    """Whether a row is 0 where the other one is not, such that their divergence is infinite."""
    met = np.int64(0)
    if metric != REVERSE_KL:
        for k in range(left.size):
            met |= ~left[k] & right[k]
    if metric != KL:
        for k in range(left.size):
            met |= left[k] & ~right[k]
    return met != 0


@block
def _multiply(u, w, room):
    """Fill in the products of four rows with a block of ROWS rows, for STEP columns."""
    widest_vectors()
    p, q, r, s = u[:STEP], u[STEP : 2 * STEP], u[2 * STEP : 3 * STEP], u[3 * STEP : 4 * STEP]
    for j in range(4 * ROWS):
        room[j] = 0.0
    for k in range(0, STEP, 4):
        p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
        q0, q1, q2, q3 = q[k], q[k + 1], q[k + 2], q[k + 3]
        r0, r1, r2, r3 = r[k], r[k + 1], r[k + 2], r[k + 3]
        s0, s1, s2, s3 = s[k], s[k + 1], s[k + 2], s[k + 3]
        x = w[k * ROWS : (k + 4) * ROWS]
        for j in range(ROWS):
            a, b, c, d = x[j], x[j + ROWS], x[j + 2 * ROWS], x[j + 3 * ROWS]
            room[j] = fma(p3, d, fma(p2, c, fma(p1, b, fma(p0, a, room[j]))))
            room[j + ROWS] = fma(q3, d, fma(q2, c, fma(q1, b, fma(q0, a, room[j + ROWS]))))
            room[j + 2 * ROWS] = fma(r3, d, fma(r2, c, fma(r1, b, fma(r0, a, room[j + 2 * ROWS]))))
            room[j + 3 * ROWS] = fma(s3, d, fma(s2, c, fma(s1, b, fma(s0, a, room[j + 3 * ROWS]))))


@block
def _add(values, sums, lost):
    for j in range(values.size):
        sums[j], error = two_sum(sums[j], values[j])
        lost[j] += error


@tiled(outputs=0, even=True)
def add_mixed_terms(partial, start, stop, work, left, right, centre, sums):
    """Add the terms of the mean of two rows against the centre, for all pairs of rows; a point is a pair of blocks."""
    _add_mixed_terms(start, stop, work, left.values, right.values, centre, sums.totals, sums.lost)


@block
def _add_mixed_terms(start, stop, work, left, right, centre, sums, lost):
    blocks, width = right.shape[0], left.shape[2] // ROWS
    for point in range(start, stop):
        first, second = point // blocks, point % blocks
        if _counts(work, first, second):
            for r in range(min(ROWS, work.rows - first * ROWS)):
                for s in range(min(ROWS, work.others - second * ROWS)):
                    total, rest = 0.0, 0.0
                    p, q = left[first, 0, r * width :], right[second, 0, s * width :]
                    for begin in range(0, centre.size, RUN):
                        end = min(begin + RUN, centre.size)
                        part = _mixed_sum(p[begin:end], q[begin:end], centre[begin:end])
                        total, error = two_sum(total, part)
                        rest += error
                    i, j = first * ROWS + r, second * ROWS + s
                    sums[i, j], error = two_sum(sums[i, j], total)
                    lost[i, j] += error + rest


@block
def _mixed_sum(p, q, m):
    widest_vectors()
    total = 0.0
    for i in range(m.size):
        total += m[i] * fast_unit_kl_term(p[i] + q[i])
    return total


_kl_sums = block_sums("kl_of_pairs", SCALED_KL)
_js_sums = block_sums("js_of_pairs", SCALED_JS)


@scalar
def _at(place, i, j):
    """Index of pair (i, j) in the result; negative if it is not there."""
    row, column = place.row + i, place.column + j
    if not place.condensed:
        return row * place.width + column
    return row * (2 * place.width - row - 1) // 2 + column - row - 1 if row < column else -1


@tiled(outputs=2)
def finish_pairs(partial, start, stop, work, given, facts, sums, out):
    """Fill in the divergences in nats; a point is a row of the first panel with a block of the second one.

    The partial results are the numbers of pairs that were computed again, and of those that are left open, as NaN.
    """
    _finish(partial, start, stop, work, given, facts, sums, out, buffers(2, BLOCK))


@block
def _finish(partial, start, stop, work, given, facts, sums, out, room):
    again, left_open = 0, 0
    blocks = -(-work.others // ROWS)
    for point in range(start, stop):
        i, first = point // blocks, point % blocks * ROWS
        for j in range(first, min(first + ROWS, work.others)):
            at = _at(work.place, i, j)
            if at >= 0:
                value, are_known = np.nan, facts.p[MASS, i] > 0.0 and facts.q[MASS, j] > 0.0
                if are_known:
                    value, error = _value(work, facts.p[:, i], facts.q[:, j], sums.totals[i, j], sums.lost[i, j])
                    if not (error <= work.rtol * abs(value) or value == np.inf):
                        again += 1
                        value = np.nan
                        if work.again:
                            value = _again(work, given, i, j, facts.p[MASS, i], facts.q[MASS, j], room)
                left_open += 1 if value != value else 0
                out[at] = value
    partial[0] += again
    partial[1] += left_open


@scalar
def _value(work, p, q, total, lost):
    """(divergence of a pair of rows, bound of its error), from what is known of the rows and from their sum.

    A sum of n products or terms has an error of at most n UNIT times the sum of their sizes, which Cauchy's inequality
    bounds for the products; each of them has an error of a few UNIT. Masses that differ from 1 by 2 UNIT change
    a divergence by at most (4 UNIT)**2 / 2.

    A relative error e of the numbers of p or q changes KL by at most e times sum p |log(p/q)| + |p - q|, which is at
    most KL + 2 |p - q|, and |p - q| is at most sqrt(2 KL), by Pinsker's inequality, or the sum of the masses. It
    changes JS by at most e sqrt(2 JS); in this way the rounding of the ratios to the centre counts. That of their mean
    r changes its term by UNIT r |log(r)|.
    """
    if total == np.inf:
        return total, 0.0
    if work.metric == JS:
        own = 0.5 * (p[TERM] + q[TERM])
        value = (own - total) + (0.5 * (p[LOST] + q[LOST]) - lost)
        root = math.sqrt(2.0 * max(value, 0.0))
        error = UNIT * (
            (STEP + JS_ERROR) * own + (RUN + JS_ERROR) * total + 0.5 * (p[GAP] + q[GAP]) + root + 2.0 * UNIT
        )
        return min(value, LN2), error + work.input_error * root
    value = ((p[TERM] + q[TERM]) + total) + (p[LOST] + q[LOST] + lost)
    sizes = abs(p[TERM]) + abs(q[TERM]) + 2.0 * (p[VOID] + q[VOID])
    products = 0.0
    if work.metric != REVERSE_KL:
        products += math.sqrt(p[EXCESSES] * q[LOGARITHMS])
    if work.metric != KL:
        products += math.sqrt(q[EXCESSES] * p[LOGARITHMS])
    error = UNIT * ((STEP + KL_ERROR) * (sizes + products) + 8.0 * UNIT)
    if work.normalize:
        error += work.input_error * (value + 4.0 * math.sqrt(max(value, 0.0)))
    else:
        error += work.input_error * (value + 2.0 * (p[MASS] + q[MASS]))
        surplus = p[MASS] - q[MASS] if work.metric == KL else q[MASS] - p[MASS]
        value += surplus
        error += 2.0 * UNIT * (p[MASS] + q[MASS])
    return value, error


@block
def _again(work, given, i, j, mass_p, mass_q, room):
    """The divergence of a pair of rows by terms of its own; NaN if they are too small."""
    p, q = given.p, given.q
    at_p, at_q = p.address + i * p.row_step, q.address + j * q.row_step
    if work.metric == JS:
        return _again_js(work, p, q, at_p, at_q, mass_p, mass_q, room)
    value = 0.0
    if work.metric != REVERSE_KL:
        value += _again_kl(work, p, q, at_p, at_q, mass_p, mass_q, room)
    if work.metric != KL:
        value += _again_kl(work, q, p, at_q, at_p, mass_q, mass_p, room)
    return value


@scalar
def _balance(mass_p, mass_q):
    return 1.0 if abs(mass_p - mass_q) <= EQUAL * mass_p else mass_p / mass_q


@block
def _again_kl(work, p, q, at_p, at_q, mass_p, mass_q, room):
    factor = _balance(mass_p, mass_q) if work.normalize else 1.0
    total, lost, surplus, wary = 0.0, 0.0, 0.0, np.bool_(False)
    for begin in range(0, work.columns, BLOCK):
        n = min(BLOCK, work.columns - begin)
        x = loaded(p, at_p + begin * p.step, p.step, room[0, :n])
        y = loaded(q, at_q + begin * q.step, q.step, room[1, :n])
        t, _, d, wary = _kl_sums(x, y, factor, total == np.inf, wary)
        total, error = two_sum(total, t)
        lost += error
        surplus += d
    total = with_lost(total, lost)
    relative = surplus / mass_p
    value = max(total / mass_p - 0.5 * relative * relative, 0.0)
    if value < ALIKE and _are_proportional(work, p, q, at_p, at_q, room):
        value = 0.0
    elif total < work.least * work.columns:
        value = np.nan
    return value if work.normalize or total != total or total == np.inf else total - surplus


@block
def _again_js(work, p, q, at_p, at_q, mass_p, mass_q, room):
    factor = _balance(mass_p, mass_q)
    total, lost, surplus, wary = 0.0, 0.0, 0.0, np.bool_(False)
    for begin in range(0, work.columns, BLOCK):
        n = min(BLOCK, work.columns - begin)
        x = loaded(p, at_p + begin * p.step, p.step, room[0, :n])
        y = loaded(q, at_q + begin * q.step, q.step, room[1, :n])
        t, _, d, wary = _js_sums(x, y, factor, total == np.inf, wary)
        total, error = two_sum(total, t)
        lost += error
        surplus += d
    total = with_lost(total, lost)
    relative = surplus / mass_p
    value = min(max(total / mass_p - 0.125 * relative * relative, 0.0), LN2)
    if value < ALIKE and _are_proportional(work, p, q, at_p, at_q, room):
        value = 0.0
    elif total < work.least * work.columns:
        value = np.nan
    return value


@block
def _are_proportional(work, p, q, at_p, at_q, room):
    """Whether two rows are the same but for a factor."""
    first_x, first_y = 0.0, 0.0
    for begin in range(0, work.columns, BLOCK):
        n = min(BLOCK, work.columns - begin)
        x = loaded(p, at_p + begin * p.step, p.step, room[0, :n])
        y = loaded(q, at_q + begin * q.step, q.step, room[1, :n])
        for i in range(n):
            if first_x == 0.0 and first_y == 0.0:
                first_x, first_y = x[i], y[i]
            if not is_product(x[i], first_y, y[i], first_x):
                return False
    return True
