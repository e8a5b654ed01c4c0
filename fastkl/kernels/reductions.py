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

import numpy as np

from fastkl.elementary import fma, two_sum, with_lost
from fastkl.jit import Interface, block, instance, read_double, read_single, tiled, view_of_doubles
from fastkl.kernels.terms import fill_terms

BLOCK = 192
"""Numbers that are loaded together: with more, their buffers and the arrays get into the same sets of the cache."""

ACROSS = 384
"""Rows that are worked across together."""

WIDTH = 8
"""Bytes of a double."""

LOAD = Interface("void(int64, int64, float64[::1])")
"""``(address, step, out)``: out[i] = the number at address + i * step."""
load = LOAD.call


def _load(address, step, out):
    if step == width:  # type: ignore[name-defined]  # noqa: F821
        for i in range(out.size):
            out[i] = read(address, i * width)  # type: ignore[name-defined]  # noqa: F821
    else:
        for i in range(out.size):
            out[i] = read(address, i * step)  # type: ignore[name-defined]  # noqa: F821


doubles = LOAD.implement(instance(_load, "doubles", read=read_double, width=WIDTH))
singles = LOAD.implement(instance(_load, "singles", read=read_single, width=4))


class Operand(NamedTuple):
    """Where the numbers of an array are; the kernels take it apart."""

    load: int
    address: int
    row_step: int
    step: int


@tiled(outputs=0)
def row_sums(
    partial, start, stop, terms, in_place, load_p, at_p, row_p, step_p, load_q, at_q, row_q, step_q,
    load_w, at_w, row_w, step_w, weighted, size, pieces, length, a, b, sums,
):  # fmt: skip
    """Sums along rows of `size` numbers, in pieces of `length`; a and b hold a number for each row.

    A point of this kernel is a piece. `in_place` says that the terms may not write to p and q.
    """
    buffers = np.empty((4, BLOCK))
    for point in range(start, stop):
        row, piece = point // pieces, point % pieces
        base_p, base_q, base_w = at_p + row * row_p, at_q + row * row_q, at_w + row * row_w
        factor = b[row]
        total, lost, mass_p, lost_p, mass_q, lost_q, surplus = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for begin in range(piece * length, min(piece * length + length, size), BLOCK):
            n = min(BLOCK, min(piece * length + length, size) - begin)
            p, q, term = buffers[0, :n], buffers[1, :n], buffers[2, :n]
            if in_place and step_p == WIDTH:
                p = view_of_doubles(base_p + begin * WIDTH, n)
            else:
                load(load_p, base_p + begin * step_p, step_p, p)
            if in_place and step_q == WIDTH:
                q = view_of_doubles(base_q + begin * WIDTH, n)
            else:
                load(load_q, base_q + begin * step_q, step_q, q)
            fill_terms(terms, p, q, a[row], factor, term)
            t, s_p, s_q, d = 0.0, 0.0, 0.0, 0.0
            if weighted:
                w = buffers[3, :n]
                load(load_w, base_w + begin * step_w, step_w, w)
                for i in range(n):
                    t += w[i] * term[i]
                    s_p += w[i] * p[i]
                    s_q += w[i] * q[i]
                    d += w[i] * fma(factor, q[i], -p[i])
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


@tiled(outputs=0)
def column_sums(
    partial, start, stop, terms, load_p, at_p, row_p, step_p, load_q, at_q, row_q, step_q,
    load_w, at_w, row_w, step_w, weighted, size, rows, pieces, length, sums,
):  # fmt: skip
    """The same with a = b = 1, for many rows whose numbers lie side by side across the rows.

    A point of this kernel is a piece of ACROSS rows. `RUN` numbers of a row are summed at a time, and what
    rounding takes when these sums are added up is kept.
    """
    buffers, run, lost = np.empty((4, ACROSS)), np.empty((4, ACROSS)), np.empty((4, ACROSS))
    for point in range(start, stop):
        first, piece = point // pieces * ACROSS, point % pieces
        n = min(ACROSS, rows - first)
        end = min(piece * length + length, size)
        fill_with_zeros(lost)
        for begin in range(piece * length, end, RUN):
            fill_with_zeros(run)
            for at in range(begin, min(begin + RUN, end)):
                p, q, term = buffers[0, :n], buffers[1, :n], buffers[2, :n]
                if row_p == WIDTH:
                    p = view_of_doubles(at_p + first * row_p + at * step_p, n)
                else:
                    load(load_p, at_p + first * row_p + at * step_p, row_p, p)
                if row_q == WIDTH:
                    q = view_of_doubles(at_q + first * row_q + at * step_q, n)
                else:
                    load(load_q, at_q + first * row_q + at * step_q, row_q, q)
                fill_terms(terms, p, q, 1.0, 1.0, term)
                totals, masses_p, masses_q, surpluses = run[0, :n], run[1, :n], run[2, :n], run[3, :n]
                if weighted:
                    w = buffers[3, :n]
                    load(load_w, at_w + first * row_w + at * step_w, row_w, w)
                    for i in range(n):
                        totals[i] += w[i] * term[i]
                        masses_p[i] += w[i] * p[i]
                        masses_q[i] += w[i] * q[i]
                        surpluses[i] += w[i] * (q[i] - p[i])
                else:
                    for i in range(n):
                        totals[i] += term[i]
                        masses_p[i] += p[i]
                        masses_q[i] += q[i]
                        surpluses[i] += q[i] - p[i]
            for k in range(4):
                total = sums[k, piece, first : first + n]
                for i in range(n):
                    total[i], error = two_sum(total[i], run[k, i])
                    lost[k, i] += error
        for k in range(4):
            total = sums[k, piece, first : first + n]
            for i in range(n):
                total[i] = with_lost(total[i], lost[k, i])
