"""Sums of terms over the rows of arrays of any stride and type.

An operand is four integers: the address of a function that loads numbers as doubles, the address of its first
number, the bytes from row to row, and the bytes from one number of a row to the next. The memory is read once,
a block at a time; doubles that lie side by side are read where they are.

Four sums are made for every row: of the terms, of p, of q, and of b q - p, where b is the factor of q in the
term. A row is cut into pieces, each of which has sums of its own, so that a long row occupies all threads. They
go to ``sums[k, piece, row]``.
"""

from __future__ import annotations

from typing import NamedTuple

from fastkl.elementary import fma, two_sum, with_lost
from fastkl.jit import (
    Interface,
    block,
    buffers,
    holes,
    instance,
    read_double,
    read_single,
    scalar,
    tiled,
    view_of_doubles,
)
from fastkl.kernels.terms import LARGEST_MASS, LEAST_MASS, fill_terms, fill_terms_across

BLOCK = 192
"""Numbers that are loaded together: with more, their buffers and the arrays get into the same sets of the cache."""

LONG_BLOCK = 1024
"""Numbers that are summed together where no buffers are needed."""

NEAR = 2.0**-40
"""The sum of the terms, in units of p's mass, below which the square of the rounding of the masses counts."""

ACROSS = 384
"""Rows that are worked across together."""

AS_GIVEN, IF_NEEDED, BY_RATIO, BY_MASS = range(4)
"""What the factor of q in a row is: the one that is given; 1, or the ratio of the masses of p and q if digits would be
lost; that ratio; or p's mass."""

NO_TERMS = 0
"""The address of the terms where only the masses are asked for."""

FEW = 16
"""Numbers of a row that are looked at for whether its masses seem to be alike."""

EQUAL = 1e-15
"""The difference, in units of p's mass, up to which two masses are those of normalised numbers."""

WIDTH = 8
"""Bytes of a double."""

LOAD = Interface("void(int64, int64, float64[::1])")
"""``(address, step, out)``: out[i] = the number at address + i * step."""
load = LOAD.call


read, width = holes("read", "width")


def _load(address, step, out):
    if step == width:
        for i in range(out.size):
            out[i] = read(address, i * width)
    else:
        for i in range(out.size):
            out[i] = read(address, i * step)


doubles = LOAD.implement(instance(_load, "doubles", read=read_double, width=WIDTH))
singles = LOAD.implement(instance(_load, "singles", read=read_single, width=4))


SIDE_BY_SIDE = 0
"""The address of what loads doubles that lie side by side and may be read where they are."""


class Operand(NamedTuple):
    """Where the numbers of an array are; the kernels take it apart."""

    load: int
    address: int
    row_step: int
    step: int


@scalar
def are_alike(mass_p, mass_q):
    """Whether neither mass is more than twice the other."""
    return 0.5 * mass_q <= mass_p <= 2.0 * mass_q


@scalar
def factor_of(balance, mass_p, mass_q):
    """The factor of q for these masses: their ratio, or p's; 1 for masses that are equal or not ordinary."""
    if not (LEAST_MASS < mass_p < LARGEST_MASS and LEAST_MASS < mass_q < LARGEST_MASS):
        return 1.0
    if balance == BY_MASS:
        return mass_p
    return 1.0 if abs(mass_p - mass_q) <= EQUAL * mass_p else mass_p / mass_q


@scalar
def loses_digits(total, mass_p, surplus):
    """Whether phi(D/P), which is at most (D/P)**2 near 0, may take a quarter of S/P."""
    relative = surplus / mass_p
    return abs(relative) > 0.5 or relative * relative > 0.25 * (total / mass_p)


@tiled(outputs=0, even=True)
def row_sums(
    partial, start, stop, terms, scaled_terms, load_p, at_p, row_p, step_p, load_q, at_q, row_q, step_q,
    load_w, at_w, row_w, step_w, weighted, size, pieces, length, balance, a, b, sums,
):  # fmt: skip
    """Sums along rows of `size` numbers, in pieces of `length`; a and b hold a number for each row.

    A point of this kernel is a piece. With *balance* a row is one piece, and its factor is made from its masses and
    left in b: such a row is looked at twice where it has to be. A sum of terms is -0 if p = b q to the last digit.
    """
    room = buffers(4, BLOCK)
    for point in range(start, stop):
        row, piece = point // pieces, point % pieces
        base_p, base_q, base_w = at_p + row * row_p, at_q + row * row_q, at_w + row * row_w
        first, end = piece * length, min(piece * length + length, size)
        total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        only_masses, function = terms == NO_TERMS or balance >= BY_RATIO, terms
        looks = 1
        while looks > 0:
            factor = b[row]
            for begin in range(first, end, BLOCK):
                n = min(BLOCK, end - begin)
                p, q, term = room[0, :n], room[1, :n], room[2, :n]
                if load_p == SIDE_BY_SIDE:
                    p = view_of_doubles(base_p + begin * WIDTH, n)
                else:
                    load(load_p, base_p + begin * step_p, step_p, p)
                if load_q == SIDE_BY_SIDE:
                    q = view_of_doubles(base_q + begin * WIDTH, n)
                else:
                    load(load_q, base_q + begin * step_q, step_q, q)
                t, s_p, s_q, d = 0.0, 0.0, 0.0, 0.0
                if balance == IF_NEEDED and looks == 1 and begin == first and not only_masses and function == terms:
                    for i in range(min(n, FEW)):
                        s_p += p[i]
                        s_q += q[i]
                    only_masses = not are_alike(s_p, s_q)
                    s_p, s_q = 0.0, 0.0
                if not only_masses:
                    fill_terms(function, p, q, a[row], factor, term)
                if weighted:
                    w = room[3, :n]
                    load(load_w, base_w + begin * step_w, step_w, w)
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
            if terms != NO_TERMS and (
                only_masses or (function == terms and balance == IF_NEEDED and loses_digits(total, mass_p, surplus))
            ):
                b[row] = factor_of(balance, with_lost(mass_p, lost_p), with_lost(mass_q, lost_q))
                total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                only_masses, function, looks = False, scaled_terms, 1
        if total == 0.0 and not weighted and terms != NO_TERMS:
            # numbers that count as TINY are hidden in it: -0 says that there are none which differ
            differences = 0
            for begin in range(first, end, BLOCK):
                n = min(BLOCK, end - begin)
                p, q = room[0, :n], room[1, :n]
                if load_p == SIDE_BY_SIDE:
                    p = view_of_doubles(base_p + begin * WIDTH, n)
                else:
                    load(load_p, base_p + begin * step_p, step_p, p)
                if load_q == SIDE_BY_SIDE:
                    q = view_of_doubles(base_q + begin * WIDTH, n)
                else:
                    load(load_q, base_q + begin * step_q, step_q, q)
                for i in range(n):
                    differences += 0 if p[i] == b[row] * q[i] else 1
            total = 0.0 if differences > 0 else -0.0
            lost = total
        sums[0, piece, row], sums[1, piece, row] = with_lost(total, lost), with_lost(mass_p, lost_p)
        sums[2, piece, row], sums[3, piece, row] = with_lost(mass_q, lost_q), surplus


RUN = 16
"""Numbers of a column that are added up before what rounding takes is looked at."""


@block
def fill_with_zeros(values):
    """Values = 0."""
    for k in range(values.shape[0]):
        for i in range(values.shape[1]):
            values[k, i] = 0.0


@tiled(outputs=0, even=True)
def column_sums(
    partial, start, stop, terms, load_p, at_p, row_p, step_p, load_q, at_q, row_q, step_q,
    load_w, at_w, row_w, step_w, weighted, size, rows, pieces, length, b, sums,
):  # fmt: skip
    """Sums along many rows whose numbers lie side by side across the rows; b holds a number for each row.

    A point of this kernel is a piece of ACROSS rows. `RUN` numbers of a row are summed at a time, and what
    rounding takes when these sums are added up is kept.
    """
    room, run, lost = buffers(4, ACROSS), buffers(4, ACROSS), buffers(4, ACROSS)
    fill_with_zeros(room)  # terms that are not asked for are 0
    for point in range(start, stop):
        first, piece = point // pieces * ACROSS, point % pieces
        n = min(ACROSS, rows - first)
        end = min(piece * length + length, size)
        factor = b[first : first + n]
        fill_with_zeros(lost)
        for begin in range(piece * length, end, RUN):
            fill_with_zeros(run)
            for at in range(begin, min(begin + RUN, end)):
                p, q, term = room[0, :n], room[1, :n], room[2, :n]
                if load_p == SIDE_BY_SIDE:
                    p = view_of_doubles(at_p + first * row_p + at * step_p, n)
                else:
                    load(load_p, at_p + first * row_p + at * step_p, row_p, p)
                if load_q == SIDE_BY_SIDE:
                    q = view_of_doubles(at_q + first * row_q + at * step_q, n)
                else:
                    load(load_q, at_q + first * row_q + at * step_q, row_q, q)
                if terms != NO_TERMS:
                    fill_terms_across(terms, p, q, factor, term)
                totals, masses_p, masses_q, surpluses = run[0, :n], run[1, :n], run[2, :n], run[3, :n]
                if weighted:
                    w = room[3, :n]
                    load(load_w, at_w + first * row_w + at * step_w, row_w, w)
                    for i in range(n):
                        totals[i] += w[i] * term[i]
                        masses_p[i] += w[i] * p[i]
                        masses_q[i] += w[i] * q[i]
                        surpluses[i] += w[i] * fma(factor[i], q[i], -p[i])
                elif terms == NO_TERMS:
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
