"""Sums of terms over the rows of arrays of any stride and type.

The memory is read once, a block at a time; doubles that lie side by side are read in place.

Four sums are made for every row: of the terms, of p, of q, and of b q - p, where b is the factor of q in the
term. A row is cut into pieces, each of which has sums of its own, so that a long row occupies all threads. Sum k of a
piece goes to ``sums[k, piece, row]``.
"""

from __future__ import annotations

from typing import NamedTuple

from fastkl.elementary import fma, from_bfloat, from_half, two_sum, with_lost
from fastkl.jit import (
    Interface,
    block,
    buffers,
    holes,
    instance,
    pasted,
    read_double,
    read_half,
    read_short,
    read_single,
    scalar,
    tiled,
    view_of_doubles,
)
from fastkl.jit import least as min
from fastkl.kernels.terms import LARGEST_MASS, LEAST_MASS, fill_terms, fill_terms_across

BLOCK = 192
"""Number of elements that are loaded together: with more, buffers and arrays get into the same sets of the cache."""

ACROSS = 384
"""Number of rows that are worked across together."""

AS_GIVEN, IF_NEEDED, BY_RATIO, BY_MASS = range(4)
"""Choices of the factor of q in a row: the given one; 1, or the ratio of the masses of p and q if digits would be lost;
that ratio; p's mass."""

NO_TERMS = 0
"""Address that stands for no terms, if only the masses are asked for."""

FEW = 16
"""Number of elements of a row by which it is judged whether its masses seem to be alike."""

EQUAL = 1e-15
"""Largest difference of two masses, in units of p's, for which they count as equal, as of normalised numbers."""

WIDTH = 8
"""Number of bytes in a double."""

LOAD = Interface("void(int64, int64, float64[::1])")
"""Interface ``(address, step, out)`` to fill in out[i] = the number at address + i * step."""
load = LOAD.call


read, width = holes("read", "width")


def _load(address, step, out):
    if step == width:
        for i in range(out.size):
            out[i] = read(address, i * width)
    else:
        for i in range(out.size):
            out[i] = read(address, i * step)


@scalar
def _half_of_bits(address, offset):
    return from_half(read_short(address, offset))


@scalar
def bfloat_at(address, offset):
    """The bfloat16 *offset* bytes behind the address, as a double."""
    return from_bfloat(read_short(address, offset))


half_at = read_half or _half_of_bits
"""``half_at(address, offset)``: the half *offset* bytes behind the address, as a double."""

doubles = LOAD.implement(instance(_load, "doubles", read=read_double, width=WIDTH))
singles = LOAD.implement(instance(_load, "singles", read=read_single, width=4))
halves = LOAD.implement(instance(_load, "halves", read=half_at, width=2))
bfloats = LOAD.implement(instance(_load, "bfloats", read=bfloat_at, width=2))


SIDE_BY_SIDE = 0
"""Address that stands for no loader, if doubles lie side by side and may be read in place."""


class Operand(NamedTuple):
    """Place of the numbers of an array in memory, in bytes."""

    load: int
    """Address of the function that loads numbers as doubles, or `SIDE_BY_SIDE`."""
    address: int
    row_step: int
    step: int
    """Distance of one number of a row from the next."""


class Operands(NamedTuple):
    """The arrays of a sum; w is read only if there are weights."""

    p: Operand
    q: Operand
    w: Operand


class RowWork(NamedTuple):
    """Work of `row_sums`, which sums along rows."""

    terms: int
    """Address of the terms, or `NO_TERMS`."""
    scaled_terms: int
    """Address of the terms for a factor that a balance finds."""
    weighted: bool
    size: int
    """Number of elements in a row."""
    pieces: int
    """Number of pieces that a row is cut into."""
    length: int
    """Number of elements in a piece."""
    balance: int


class ColumnWork(NamedTuple):
    """Work of `column_sums`, which sums along many rows at once."""

    terms: int
    weighted: bool
    size: int
    rows: int
    pieces: int
    length: int


@pasted
def loaded(operand, address, step, room):
    """The numbers that lie *step* bytes apart from *address* on: in place, or loaded into the buffer *room*."""
    if operand.load == SIDE_BY_SIDE:
        room = view_of_doubles(address, room.size)
    else:
        load(operand.load, address, step, room)
    return room


@scalar
def are_alike(mass_p, mass_q):
    """Whether neither mass is more than twice the other."""
    return 0.5 * mass_q <= mass_p <= 2.0 * mass_q


@scalar
def factor_of(balance, mass_p, mass_q):
    """The factor of q for two masses: p's mass or their ratio, 1 if they are equal; 1 if they are not ordinary."""
    if not (LEAST_MASS < mass_p < LARGEST_MASS and LEAST_MASS < mass_q < LARGEST_MASS):
        return 1.0
    if balance == BY_MASS:
        return mass_p
    return 1.0 if abs(mass_p - mass_q) <= EQUAL * mass_p else mass_p / mass_q


@scalar
def loses_digits(total, mass_p, surplus):
    """Whether phi(D/P), which is at most (D/P)**2 near 0, may take a quarter of S/P: see `fastkl.measures`."""
    relative = surplus / mass_p
    return abs(relative) > 0.5 or relative * relative > 0.25 * (total / mass_p)


@tiled(outputs=0, even=True)
def row_sums(partial, start, stop, work, given, a, b, sums):
    """Sums along rows, in pieces; a and b hold a number for each row.

    A point of this kernel is a piece. With a balance a row is one piece, and its factor is made from its masses and
    left in b: such a row is looked at twice if needed. A sum of terms without weights is -0 if p = b q to the last
    digit.
    """
    _sum_rows(start, stop, work, given, a, b, sums, buffers(4, BLOCK))


@block
def _sum_rows(start, stop, work, given, a, b, sums, room):
    """The sums of `row_sums`; a block, since counting references takes longer than a short row."""
    for point in range(start, stop):
        row, piece = point // work.pieces, point % work.pieces
        at_p = given.p.address + row * given.p.row_step
        at_q = given.q.address + row * given.q.row_step
        at_w = given.w.address + row * given.w.row_step
        first, end = piece * work.length, min(piece * work.length + work.length, work.size)
        total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        only_masses, function = work.terms == NO_TERMS or work.balance >= BY_RATIO, work.terms
        looks = 1
        while looks > 0:
            factor = b[row]
            for begin in range(first, end, BLOCK):
                n = min(BLOCK, end - begin)
                term = room[2, :n]
                p = loaded(given.p, at_p + begin * given.p.step, given.p.step, room[0, :n])
                q = loaded(given.q, at_q + begin * given.q.step, given.q.step, room[1, :n])
                t, s_p, s_q, d = 0.0, 0.0, 0.0, 0.0
                unseen = looks == 1 and begin == first and function == work.terms
                if work.balance == IF_NEEDED and unseen and not only_masses:
                    for i in range(min(n, FEW)):
                        s_p += p[i]
                        s_q += q[i]
                    only_masses = not are_alike(s_p, s_q)
                    s_p, s_q = 0.0, 0.0
                if not only_masses:
                    fill_terms(function, p, q, a[row], factor, term)
                if work.weighted:
                    w = room[3, :n]
                    load(given.w.load, at_w + begin * given.w.step, given.w.step, w)
                    if only_masses:
                        for i in range(n):
                            s_p += w[i] * p[i]
                            s_q += w[i] * q[i]
                    else:
                        for i in range(n):
                            t += w[i] * term[i]
                            s_p += w[i] * p[i]
                            s_q += w[i] * q[i]
                            d += w[i] * fma(factor, q[i], -p[i])
                elif only_masses:
                    for i in range(n):
                        s_p += p[i]
                        s_q += q[i]
                elif factor == 1.0:  # a product with a subnormal number would be slow
                    for i in range(n):
                        t += term[i]
                        s_p += p[i]
                        s_q += q[i]
                        d += q[i] - p[i]
                else:
                    for i in range(n):
                        t += term[i]
                        s_p += p[i]
                        s_q += q[i]
                        d += fma(factor, q[i], -p[i])
                total, error = two_sum(total, t)
                lost += error
                mass_p, error = two_sum(mass_p, s_p)
                lost_p += error
                mass_q, error = two_sum(mass_q, s_q)
                lost_q += error
                surplus += d
            looks -= 1
            lossy = function == work.terms and work.balance == IF_NEEDED and loses_digits(total, mass_p, surplus)
            if work.terms != NO_TERMS and (only_masses or lossy):
                b[row] = factor_of(work.balance, with_lost(mass_p, lost_p), with_lost(mass_q, lost_q))
                total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                only_masses, function, looks = False, work.scaled_terms, 1
        if total == 0.0 and not work.weighted and work.terms != NO_TERMS:
            # a total of 0 may hide numbers that count as TINY: -0 says that p = b q for all of them
            differences = 0
            for begin in range(first, end, BLOCK):
                n = min(BLOCK, end - begin)
                p = loaded(given.p, at_p + begin * given.p.step, given.p.step, room[0, :n])
                q = loaded(given.q, at_q + begin * given.q.step, given.q.step, room[1, :n])
                for i in range(n):
                    differences += 0 if p[i] == b[row] * q[i] else 1
            total = 0.0 if differences > 0 else -0.0
            lost = total
        sums[0, piece, row], sums[1, piece, row] = with_lost(total, lost), with_lost(mass_p, lost_p)
        sums[2, piece, row], sums[3, piece, row] = with_lost(mass_q, lost_q), surplus


RUN = 16
"""Number of elements of a row that are added up before a rounding error is kept, if rows are worked across."""


@block
def fill_with_zeros(values):
    """Set all *values*, which have two dimensions, to 0."""
    for k in range(values.shape[0]):
        for i in range(values.shape[1]):
            values[k, i] = 0.0


@tiled(outputs=0, even=True)
def column_sums(partial, start, stop, work, given, b, sums):
    """Sums along many rows whose numbers lie side by side across the rows; b holds a number for each row.

    A point of this kernel is a piece of `ACROSS` rows. `RUN` numbers of a row are summed at a time, and the
    rounding errors of adding up these sums are kept.
    """
    _sum_columns(start, stop, work, given, b, sums, buffers(4, ACROSS), buffers(4, ACROSS), buffers(4, ACROSS))


@block
def _sum_columns(start, stop, work, given, b, sums, room, run, lost):
    """The sums of `column_sums`; a block, since counting references takes time."""
    fill_with_zeros(room)  # terms that are not asked for are 0
    for point in range(start, stop):
        first, piece = point // work.pieces * ACROSS, point % work.pieces
        n = min(ACROSS, work.rows - first)
        opening, end = piece * work.length, min(piece * work.length + work.length, work.size)
        at_p = given.p.address + first * given.p.row_step
        at_q = given.q.address + first * given.q.row_step
        at_w = given.w.address + first * given.w.row_step
        factor = b[first : first + n]
        fill_with_zeros(lost)
        for begin in range(opening, end, RUN):
            fill_with_zeros(run)
            for at in range(begin, min(begin + RUN, end)):
                term = room[2, :n]
                p = loaded(given.p, at_p + at * given.p.step, given.p.row_step, room[0, :n])
                q = loaded(given.q, at_q + at * given.q.step, given.q.row_step, room[1, :n])
                if work.terms != NO_TERMS:
                    fill_terms_across(work.terms, p, q, factor, term)
                totals, masses_p, masses_q, surpluses = run[0, :n], run[1, :n], run[2, :n], run[3, :n]
                if work.weighted:
                    w = room[3, :n]
                    load(given.w.load, at_w + at * given.w.step, given.w.row_step, w)
                    for i in range(n):
                        totals[i] += w[i] * term[i]
                        masses_p[i] += w[i] * p[i]
                        masses_q[i] += w[i] * q[i]
                        surpluses[i] += w[i] * fma(factor[i], q[i], -p[i])
                elif work.terms == NO_TERMS:
                    for i in range(n):
                        masses_p[i] += p[i]
                        masses_q[i] += q[i]
                else:
                    for i in range(n):
                        totals[i] += term[i]
                        masses_p[i] += p[i]
                        masses_q[i] += q[i]
                        surpluses[i] += fma(factor[i], q[i], -p[i])
            for k in range(4):
                total = sums[k, piece, first : first + n]
                for i in range(n):
                    total[i], error = two_sum(total[i], run[k, i])
                    lost[k, i] += error
        for k in range(4):
            total = sums[k, piece, first : first + n]
            for i in range(n):
                total[i] = with_lost(total[i], lost[k, i])
