"""Divergences of pairs of rows that are mostly empty, in work proportional to their entries.

Rows are neither normalised nor copied: q is multiplied by the factor c = P/Q of the masses in every term, as in
`fastkl.kernels.reductions`. The part e of c that rounding takes away, relative to c, is known from the low parts of the
masses, and by Taylor's theorem the divergence of the normalised rows is S/P - e**2/2, or S/P - e**2/8 for
Jensen-Shannon, where S is the sum of the terms.

There are two walks over a pair.

Gathered
    A row of A lies spread out in a dense buffer. For every entry of a row of B one number is read from it, and the
    pairs that are shared are collected for the terms, a block at a time. What only B has is c q in a KL term and
    ln 2 c q / 2 in a Jensen-Shannon term. What only A has makes KL infinite, and for Jensen-Shannon its mass is that of
    A minus the mass of the shared entries. The sum of a block of n numbers has an error of n u at most, u = 2**-53, so
    that mass is off by `BLOCK` u P and the divergence by half of that times ln 2: from `LEAST_CLOSED` on this is below
    8e-14 of it, and a smaller one is computed by the other walk, unless A has no entry of its own.
Merged
    The union of the entries of both rows, in order, with zeros where one of them has none, and every pair as a term:
    nothing cancels. It is also the walk for a pseudocount, with which the cells that are empty in both rows have one
    term times their number, and for rows too wide for the buffer.

A pair is left `OPEN`, to be computed by other means, if a row's entries span more than doubles can hold after
scaling, or if the sum of the terms is so small that numbers which count as TINY could be seen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import fast_js_term, fma, is_product, kl_term_of_difference, two_sum, with_lost
from fastkl.jit import block, buffer, buffers, scalar, tiled, write_double
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.terms import fill_terms, product

JS, KL, JEFFREYS = range(3)
"""Divergences: Jensen-Shannon, Kullback-Leibler and the sum of both Kullback-Leibler divergences."""

BLOCK = 128
"""Number of pairs of entries whose terms are computed together."""

LEAST_CLOSED = 2.0**-4
"""Least Jensen-Shannon divergence for which the mass of A's own entries may be a difference of masses."""

ALIKE = 2.0**-80
"""Divergence below which rows are compared entry by entry: those that are proportional have a divergence of 0."""

OPEN = -1.0
"""Value of a pair that this module cannot compute."""

CHUNK = 256
"""Number of rows of B that are walked over with one row of A: they stay in the cache for the next row of A."""

WIDEST = 2**17
"""Largest number of columns for which a row of A is spread out, which takes 8 bytes for each of them."""

PEAK_EXPONENT = 330
"""Exponent of the largest entry of a row after scaling, up to 1: numbers of 2**-1400 times that still count."""
SMALLEST_NORMAL = 2.0**-1022

LN2 = math.log(2.0)
WIDTH = 8

MASS, LOST, SCALE, COUNT = range(4)
"""Columns of the facts about rows: mass after scaling, its low part, the power of two that entries are multiplied by
twice (negative if that takes digits of an entry), and number of entries above 0."""
FACTS = 4


class Rows(NamedTuple):
    """Compressed rows of a matrix: the entries of row i are number ``indptr[i]`` to ``indptr[i + 1] - 1``."""

    data: Any
    """The entries, finite and >= 0, in single or double precision."""
    indices: Any
    """Column of each entry, increasing within a row."""
    indptr: Any
    """Place of the first entry of each row, and behind them the number of all entries."""
    n_columns: int


class Weighed(NamedTuple):
    """Compressed rows with the facts about each of them."""

    data: Any
    indices: Any
    indptr: Any
    facts: Any


class Work(NamedTuple):
    """Work of `sparse_pairs` and `sparse_twins`."""

    metric: int
    terms: int
    """Address of the terms, with a factor of the second argument."""
    columns: int
    pseudocount: float
    least: float
    """Least sum of terms, per entry, for which numbers that count as TINY do not matter."""
    gathers: bool
    """Whether rows of A are spread out."""


class Place(NamedTuple):
    """Memory of the results."""

    address: int
    row_step: int
    """Bytes from row to row."""
    step: int
    symmetric: bool
    """Whether A is B, and only pairs i < j are computed."""
    condensed: bool
    """Whether pairs i < j lie side by side; if not, those of symmetric rows are written twice."""


class Row(NamedTuple):
    """A row, seen as (entry + pseudocount) * scale**2: the square may be beyond the range of doubles."""

    values: Any
    places: Any
    pseudocount: float
    scale: float


@scalar
def _scaled(x, scale):
    return x * scale * scale


@scalar
def _scale_of(peak):
    """The power of two that a row with this largest entry is multiplied by twice."""
    return 1.0 if peak == 0.0 else math.ldexp(1.0, (PEAK_EXPONENT - math.frexp(peak)[1]) >> 1)


@block
def _weigh(values, columns, pseudocount, facts):
    """Fill in the facts about a row with these entries."""
    peak, smallest, count = pseudocount, np.inf, 0
    for k in range(values.size):
        x = np.float64(values[k])
        count += 1 if x > 0.0 else 0
        x += pseudocount
        peak = max(peak, x)
        smallest = min(smallest, x) if x > 0.0 else smallest
    scale = _scale_of(peak)
    mass, lost = 0.0, 0.0
    for k in range(values.size):
        mass, error = two_sum(mass, _scaled(np.float64(values[k]) + pseudocount, scale))
        lost += error
    empty, cell = np.float64(columns - values.size), _scaled(pseudocount, scale)
    rest = product(empty, cell)
    mass, error = two_sum(mass, rest)
    lost += error + fma(empty, cell, -rest)
    facts[MASS], facts[LOST] = two_sum(mass, lost)
    facts[SCALE] = -scale if scale < 1.0 and (_scaled(smallest, scale) < SMALLEST_NORMAL or peak == np.inf) else scale
    facts[COUNT] = count


@tiled(outputs=0)
def weigh(partial, start, stop, rows, columns, pseudocount):
    """Fill in the facts about rows."""
    for i in range(start, stop):
        _weigh(rows.data[rows.indptr[i] : rows.indptr[i + 1]], columns, pseudocount, rows.facts[i])


@block
def _row(rows, i, pseudocount):
    """Row number i."""
    first, end = rows.indptr[i], rows.indptr[i + 1]
    return Row(rows.data[first:end], rows.indices[first:end], pseudocount, rows.facts[i, SCALE])


@block
def _next_cells(work, x, y, i, j, seen, room):
    """(number of pairs, number of cells that each stands for, next i, next j) of a run of cells of two rows.

    The pairs are filled in in *room*: the union of the entries, from entry i of x and entry j of y on, and at last,
    if there is a pseudocount, one for all of the cells beyond those *seen*. The number of pairs is 0 at the end.
    """
    n, size_x, size_y, u, v = 0, x.values.size, y.values.size, room[0], room[1]
    empty_x, empty_y = _scaled(x.pseudocount, x.scale), _scaled(y.pseudocount, y.scale)
    if i == size_x and j == size_y:
        u[0], v[0] = empty_x, empty_y
        left = work.columns - seen if work.pseudocount > 0.0 else 0
        return min(left, 1), left, i, j
    while n < BLOCK and i < size_x and j < size_y:
        column_x, column_y = x.places[i], y.places[j]
        in_x, in_y = column_x <= column_y, column_y <= column_x
        p = _scaled(np.float64(x.values[i]) + x.pseudocount, x.scale)
        q = _scaled(np.float64(y.values[j]) + y.pseudocount, y.scale)
        u[n], v[n] = p if in_x else empty_x, q if in_y else empty_y
        n += 1
        i += np.int64(in_x)
        j += np.int64(in_y)
    if j == size_y:
        while n < BLOCK and i < size_x:
            u[n], v[n] = _scaled(np.float64(x.values[i]) + x.pseudocount, x.scale), empty_y
            n += 1
            i += 1
    if i == size_x:
        while n < BLOCK and j < size_y:
            u[n], v[n] = empty_x, _scaled(np.float64(y.values[j]) + y.pseudocount, y.scale)
            n += 1
            j += 1
    return n, 1, i, j


TOTAL, OTHER, SHARED, REST = range(0, 8, 2)
"""Places of the sums of a pair, each with the part that it has lost behind it: of the terms of a and c b, of those of b
and a/c (for Jeffreys), of the entries of a that b has too, and of the entries of b that a has not."""
SUMS = 8


@scalar
def _add(sums, k, x):
    """Add x to sum number k."""
    sums[k], error = two_sum(sums[k], x)
    sums[k + 1] += error


@scalar
def _sum(sums, k):
    return with_lost(sums[k], sums[k + 1])


@block
def _add_terms(work, n, times, factors, room):
    """Add the terms of n pairs in the first rows of *room*, so many times, to the sums in its last row."""
    u, v, term, sums = room[0, :n], room[1, :n], room[2, :n], room[3]
    fill_terms(work.terms, u, v, 0.0, factors[0], term)
    total = 0.0
    for k in range(n):
        total += term[k]
    _add(sums, TOTAL, product(times, total))
    if work.metric == JEFFREYS:
        fill_terms(work.terms, v, u, 0.0, factors[1], term)
        total = 0.0
        for k in range(n):
            total += term[k]
        _add(sums, OTHER, product(times, total))


@block
def _clear(sums):
    for k in range(SUMS):
        sums[k] = 0.0


@block
def _merge(work, x, y, factors, room):
    """Sum the terms over all cells."""
    _clear(room[3])
    seen = 0
    n, times, i, j = _next_cells(work, x, y, 0, 0, seen, room)
    while n > 0:
        _add_terms(work, n, np.float64(times), factors, room)
        seen += n * times
        n, times, i, j = _next_cells(work, x, y, i, j, seen, room)


@block
def _gather(work, dense, count, y, factors, room):
    """Number of entries of y among the *count* entries above 0 that are spread out in *dense*; makes the sums over y.

    It is -1 if a row has an entry that makes the divergence infinite.
    """
    sums, size, shared = room[3], y.values.size, 0
    _clear(sums)
    for begin in range(0, size, BLOCK):
        end = min(begin + BLOCK, size)
        values, places = y.values[begin:end], y.places[begin:end]
        u, v = room[0], room[1]
        n, rest = 0, 0.0
        for k in range(values.size):
            p, q = dense[np.uint64(places[k])], _scaled(np.float64(values[k]), y.scale)
            u[n], v[n] = p, q
            rest += q if p == 0.0 else 0.0
            n += np.int64(p > 0.0) & np.int64(q > 0.0)  # type: ignore[assignment]
        shared += n
        if (work.metric != JS and shared + size - end < count) or (work.metric == JEFFREYS and rest > 0.0):
            return -1
        _add(sums, REST, rest)
        if n > 0:
            both = 0.0
            for k in range(n):
                both += u[k]
            _add(sums, SHARED, both)
            _add_terms(work, n, 1.0, factors, room)
    return shared


@block
def _are_proportional(work, x, y, room):
    """Whether two rows, each with a mass, are the same but for a factor."""
    seen, first_u, first_v = 0, 0.0, 0.0
    n, times, i, j = _next_cells(work, x, y, 0, 0, seen, room)
    while n > 0:
        for k in range(n):
            u, v = room[0, k], room[1, k]
            if first_u == 0.0 and first_v == 0.0:
                first_u, first_v = u, v
            if not is_product(u, first_v, v, first_u):
                return False
        seen += n * times
        n, times, i, j = _next_cells(work, x, y, i, j, seen, room)
    return True


@scalar
def _difference(p, q, error):
    """p - (q + error), which a block would be free to reassociate."""
    return (p - q) - error


@block
def _near(work, x, y, factor, loss, room):
    """The sum of the terms of a and c b, c = factor (1 + loss), over all cells."""
    _clear(room[3])
    seen = 0
    n, times, i, j = _next_cells(work, x, y, 0, 0, seen, room)
    while n > 0:
        for k in range(n):
            p, q = room[0, k], factor * room[1, k]
            error = fma(factor, room[1, k], -q) + loss * q
            if work.metric == JS:
                term = fast_js_term(p, q, error)
            else:
                difference = _difference(p, q, error)
                term = kl_term_of_difference(p, q, difference)
                term += kl_term_of_difference(q, p, -difference) if work.metric == JEFFREYS else 0.0
            _add(room[3], TOTAL, np.float64(times) * term)
        seen += n * times
        n, times, i, j = _next_cells(work, x, y, i, j, seen, room)
    return _sum(room[3], TOTAL)


@scalar
def _loss(factor, mass_a, lost_a, mass_b, lost_b):
    """The part that the ratio of the masses has lost by rounding to *factor*, relative to it."""
    return (fma(-factor, mass_b, mass_a) + (lost_a - factor * lost_b)) / mass_a


@block
def _divergence(work, x, y, of_x, of_y, dense, room):
    """The divergence of two rows with their facts; NaN if one has no mass, `OPEN` if it takes other means."""
    mass_x, mass_y = of_x[MASS], of_y[MASS]
    if not (mass_x > 0.0 and mass_y > 0.0):
        return np.nan
    if x.scale < 0.0 or y.scale < 0.0:
        return OPEN
    factors = (mass_x / mass_y, mass_y / mass_x)
    sums, total, is_merged = room[3], 0.0, not work.gathers
    if work.gathers:
        shared = _gather(work, dense, of_x[COUNT], y, factors, room)
        if shared < 0:
            return np.inf
        total, rest = _sum(sums, TOTAL), factors[0] * _sum(sums, REST)
        if work.metric == JS:
            own = (mass_x - sums[SHARED]) + (of_x[LOST] - sums[SHARED + 1]) if shared < of_x[COUNT] else 0.0
            total += 0.5 * LN2 * (own + rest)
            is_merged = shared < of_x[COUNT] and total < LEAST_CLOSED * mass_x
        else:
            total += rest
    if is_merged:
        _merge(work, x, y, factors, room)
        total = _sum(sums, TOTAL)
    other = _sum(sums, OTHER)
    loss = _loss(factors[0], mass_x, of_x[LOST], mass_y, of_y[LOST])
    value = total / mass_x - (0.125 if work.metric == JS else 0.5) * (loss * loss)
    if work.metric == JS:
        value = min(value, LN2)
    elif work.metric == JEFFREYS:
        back = _loss(factors[1], mass_y, of_y[LOST], mass_x, of_x[LOST])
        value += other / mass_y - 0.5 * (back * back)
    if value < ALIKE:
        if _are_proportional(work, x, y, room):
            return 0.0
        total = _near(work, x, y, factors[0], loss, room)
        if total < work.least * (x.values.size + y.values.size):
            return OPEN
        value = total / mass_x
    return value


@tiled(outputs=1)
def sparse_pairs(partial, start, stop, work, a, b, place):
    """Divergences of all pairs of a row of A and one of B; the result is the number of pairs left `OPEN`.

    A point of this kernel is a row of A with `CHUNK` rows of B.
    """
    dense = buffer(work.columns if work.gathers else 0)
    partial[0] = _pairs(start, stop, work, a, b, place, dense, buffers(4, BLOCK))


@block
def _pairs(start, stop, work, a, b, place, dense, room):
    """The work of `sparse_pairs`; a block, since no reference to a row is counted."""
    rows_a, rows_b, n_open = a.facts.shape[0], b.facts.shape[0], 0
    for k in range(dense.size):
        dense[k] = 0.0
    for point in range(start, stop):
        i, first = point % rows_a, point // rows_a * CHUNK
        end = min(first + CHUNK, rows_b)
        if place.symmetric:
            first = max(first, i + 1)
        if first >= end:
            continue
        x = _row(a, i, work.pseudocount)
        if work.gathers:
            for k in range(x.values.size):
                dense[x.places[k]] = _scaled(np.float64(x.values[k]), x.scale)
        at = place.address + i * place.row_step
        if place.condensed:
            at = place.address + (i * (2 * rows_b - i - 3) // 2 - 1) * WIDTH
        for j in range(first, end):
            value = _divergence(work, x, _row(b, j, work.pseudocount), a.facts[i], b.facts[j], dense, room)
            n_open += 1 if value == OPEN else 0
            write_double(at, j * place.step, value)
            if place.symmetric and not place.condensed:
                write_double(place.address, j * place.row_step + i * place.step, value)
        if work.gathers:
            for k in range(x.values.size):
                dense[x.places[k]] = 0.0
    return n_open


@tiled(outputs=0)
def sparse_twins(partial, start, stop, work, a, b, out):
    """Fill in the divergences of the rows of A and B with the same number; a single row is compared with all others."""
    _twins(start, stop, work, a, b, out, buffer(0), buffers(4, BLOCK))


@block
def _twins(start, stop, work, a, b, out, dense, room):
    """The work of `sparse_twins`; a block, since no reference to a row is counted."""
    for i in range(start, stop):
        k, j = (i if a.facts.shape[0] > 1 else 0), (i if b.facts.shape[0] > 1 else 0)
        x, y = _row(a, k, work.pseudocount), _row(b, j, work.pseudocount)
        out[i] = _divergence(work, x, y, a.facts[k], b.facts[j], dense, room)


@tiled(outputs=0)
def sparse_entropies(partial, start, stop, work, a, out):
    """Fill in the entropies of rows."""
    _entropies(start, stop, work, a, out, buffers(4, BLOCK))


@block
def _entropies(start, stop, work, a, out, room):
    """The work of `sparse_entropies`; a block, since no reference to a row is counted."""
    for i in range(start, stop):
        x = _row(a, i, work.pseudocount)
        out[i] = _entropy(work, x, abs(x.scale), a.facts[i, MASS], room)


@block
def _entropy(work, x, scale, mass, room):
    """The entropy of a row; NaN if it has no mass."""
    if not mass > 0.0:
        return np.nan
    _clear(room[3])
    factors = (mass, mass)
    for begin in range(0, x.values.size, BLOCK):
        n = min(BLOCK, x.values.size - begin)
        for k in range(n):
            room[0, k] = _scaled(np.float64(x.values[begin + k]) + x.pseudocount, scale)
            room[1, k] = room[0, k]
        _add_terms(work, n, 1.0, factors, room)
    room[0, 0] = _scaled(x.pseudocount, scale)
    room[1, 0] = room[0, 0]
    _add_terms(work, 1, np.float64(work.columns - x.values.size), factors, room)
    return max(_sum(room[3], TOTAL) / mass, 0.0)
