"""The KL integral of two densities over a grid, both evaluated on the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import LOWERED, exp_or_zero, fast_kl_term, fast_kl_term_of_logs, kl_term_of_logs
from fastkl.jit import block, buffer, buffers, holes, instance, scalar, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.axes import fill_axis, fill_box, full_index, has_one_weight, last_below, length_of_row
from fastkl.kernels.interfaces import BLOCK, bound, reach
from fastkl.kernels.records import BASE, BOUNDS_OF, END, EVERY, REACH_OF, START
from fastkl.kernels.terms import PEEK, careful_kl, is_small, misfits_kl
from fastkl.kernels.walk import Run, enter_row, fill_densities, fill_logs, fill_run, new_run, next_run

WHOLE = 16
"""Number of points that are skipped together or not: unrolled vectors leave no rest, which would take as long."""

SMALLEST_LOG, LARGEST_LOG = -650.0, 690.0
"""Least and largest logarithm of a number that the short term takes."""

LARGEST_OF_TWO = 50.0
"""Largest logarithm that the short term of two logarithms takes, since their difference may be 700."""

DIVERGENCE, MASS_P, MASS_Q, SURPLUS, SKIPPED = range(5)


@scalar
def _negligible(high_a, low_b, high_b, limit):
    """Whether a log(a/b) - a + b cannot be above *limit* in size if log a <= high_a and low_b <= log b <= high_b."""
    if not max(high_a, high_b) < LARGEST_LOG:
        return False
    return exp_or_zero(high_a) * (1.0 + max(high_a - low_b, 0.0)) + exp_or_zero(high_b) <= limit


@scalar
def logs_are_ordinary(log_a, log_b):
    """Whether the short term of two logarithms takes these."""
    return min(log_a, log_b) >= SMALLEST_LOG and max(log_a, log_b) <= LARGEST_OF_TWO


@block
def sums_of_logs(log_a, log_b, w, add_a, add_b):
    """The sums of w times the KL term, a, b and b - a, for a = exp(log_a + add_a) and b = exp(log_b + add_b)."""
    s, s_a, s_b, d, exceptions = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(w.size):
        u, v = log_a[i] + add_a, log_b[i] + add_b
        term, density_a, density_b = fast_kl_term_of_logs(u, v)
        s += w[i] * term
        s_a += w[i] * density_a
        s_b += w[i] * density_b
        d += w[i] * (density_b - density_a)
        exceptions += 0 if logs_are_ordinary(u, v) else 1
    if exceptions > 0:
        s, s_a, s_b, d = 0.0, 0.0, 0.0, 0.0
        for i in range(w.size):
            term, density_a, density_b = kl_term_of_logs(log_a[i] + add_a, log_b[i] + add_b)
            s += w[i] * term
            s_a += w[i] * density_a
            s_b += w[i] * density_b
            d += w[i] * (density_b - density_a)
    return s, s_a, s_b, d


@block
def sums_of_values(a, b, w, ignored, factor):
    """The sums of w times the KL term, a, factor * b and factor * b - a, from densities a and b."""
    n = w.size
    s, s_a, s_b, d = 0.0, 0.0, 0.0, 0.0
    first, second, third = b[0], b[min(PEEK, n - 1)], b[min(2 * PEEK, n - 1)]
    signs = np.int64(-1 if is_small(first) or is_small(second) or is_small(third) else 0)
    if signs == 0:
        for i in range(n):
            density_a, density_b = a[i], factor * b[i]
            s += w[i] * fast_kl_term(density_a, density_b)
            s_a += w[i] * density_a
            s_b += w[i] * density_b
            d += w[i] * (density_b - density_a)
            signs |= misfits_kl(density_a, density_b)
    if signs < 0:
        s, s_a, s_b, d = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            density_a, density_b = a[i], factor * b[i]
            s += w[i] * careful_kl(density_a, density_b, 1.0)
            s_a += w[i] * density_a
            s_b += w[i] * density_b
            d += w[i] * (density_b - density_a)
        s *= LOWERED
    return s, s_a, s_b, d


@tiled(outputs=5)
def kl_integral(partial, start, stop, p, q, log_factor, grid):
    """The integrals of p log(p/q) - p + q, p, q and q - p, with q multiplied by exp(log_factor).

    The last output is the number of points that are skipped: 0.
    """
    run, log_p, log_q = new_run(grid), buffer(BLOCK), buffer(BLOCK)
    divergence, mass_p, mass_q, surplus, point = 0.0, 0.0, 0.0, 0.0, start
    while point < stop:
        n, shared = next_run(run, grid, point, stop)
        fill_logs(p, run, n, log_p)
        fill_logs(q, run, n, log_q)
        s, s_p, s_q, d = sums_of_logs(log_p[:n], log_q[:n], run.w[:n], 0.0, log_factor)
        divergence += shared * s
        mass_p += shared * s_p
        mass_q += shared * s_q
        surplus += shared * d
        point += n
    partial[DIVERGENCE], partial[MASS_P], partial[MASS_Q] = divergence, mass_p, mass_q
    partial[SURPLUS], partial[SKIPPED] = surplus, 0.0


@block
def _interval(grid, ends):
    """(first, one behind the last) of a row's nodes between the ends of a reach, widened to a multiple of `WHOLE`."""
    length = length_of_row(grid)
    if not ends[0] <= ends[1]:
        return length, 0
    first, last = last_below(grid, ends[0]), last_below(grid, ends[1]) + 2
    return first, min(first + (last - first + WHOLE) // WHOLE * WHOLE, length)


@block
def _weighted(values, w):
    total = 0.0
    for i in range(w.size):
        total += w[i] * values[i]
    return total


@scalar
def _fill_bounds(p, lower, upper, out):
    bound(p.functions[BOUNDS_OF], p.parts, p.components, p.values, p.nodes, lower, upper, out)


@scalar
def _fill_reach(p, outer, level, out):
    reach(p.functions[REACH_OF], p.parts, p.components, p.values, p.nodes, outer, level, out)


class Room(NamedTuple):
    """Arrays of `kl_integral_of_bounded`."""

    run: Run
    a: Any
    b: Any
    x: Any
    """Nodes of a row, if all rows have the same."""
    w: Any
    ends: Any
    """Corners of a box, and the bounds of p and of q."""


@tiled(outputs=5)
def kl_integral_of_bounded(partial, start, stop, p, q, log_factor, limit, grid):
    """The integrals of `kl_integral`, for densities that know their bounds and their reach.

    Points with terms below *limit* are skipped: a tile, by the bounds in its box, or the ends of a row, outside the
    reach of both densities. Outside the reach of p alone the term is q. The rest is computed from the densities
    themselves if q does not underflow and neither of them overflows, and else from their logarithms.
    """
    D, length = grid.layout.shape[0], length_of_row(grid)
    kept = length if D > 1 and length <= stop - start else 0  # all rows have the same nodes
    room = Room(new_run(grid), buffer(BLOCK), buffer(BLOCK), buffer(kept), buffer(kept), buffers(4, max(D, 2)))
    _sum_bounded(partial, start, stop, p, q, log_factor, limit, grid, room)


@block
def _sum_bounded(partial, start, stop, p, q, log_factor, limit, grid, room):
    """The sums of `kl_integral_of_bounded`; a block, since counting references takes longer than a short run."""
    D, length = grid.layout.shape[0], length_of_row(grid)
    kept, run, a, b, x, w = room.x.size > 0, room.run, room.a, room.b, room.x, room.w
    lower, upper, bounds_p, bounds_q = room.ends[0, :D], room.ends[1, :D], room.ends[2, :2], room.ends[3, :2]
    divergence, mass_p, mass_q, surplus, skipped, point = 0.0, 0.0, 0.0, 0.0, 0.0, start

    fill_box(grid, start, stop, lower, upper)
    _fill_bounds(p, lower, upper, bounds_p)
    _fill_bounds(q, lower, upper, bounds_q)
    low_q, high_q = bounds_q[0] + log_factor, bounds_q[1] + log_factor
    limited, tame = max(bounds_p[1], high_q) < LARGEST_LOG, low_q > SMALLEST_LOG
    if _negligible(bounds_p[1], low_q, high_q, limit):
        skipped, point = float(stop - start), stop
    level_q = np.log(0.5 * limit)
    level_p = level_q - np.log(1.0 + max(level_q - low_q, 0.0))
    level_q -= log_factor
    if kept and point < stop:
        fill_axis(grid, D - 1, 0, x, w)
    row, shared, active, after, from_p, to_p = -1, 0.0, 0, 0, 0, 0
    while point < stop:
        first = point % length
        if point // length != row:
            row = point // length
            shared = enter_row(run, grid, row)
            _fill_reach(p, run.outer, level_p, bounds_p)
            _fill_reach(q, run.outer, level_q, bounds_q)
            from_p, to_p = _interval(grid, bounds_p)
            from_q, to_q = _interval(grid, bounds_q)
            active, after = min(from_p, from_q), max(to_p, to_q)
        if first < active or first >= after:
            n = min(active if first < active else length, first + stop - point) - first
            skipped += n
            point += n
            continue
        alone = first < from_p or first >= to_p
        end = after if first >= to_p else from_p if first < from_p else to_p
        n = min(BLOCK, stop - point, end - first)
        point += n
        if kept:
            here = Run(x[first : first + n], w[first : first + n], run.outer, run.at, run.scratch)
            here.at[START] = first
        else:
            here = run
            fill_run(run, grid, first, n)
        ordinary = limited and tame
        if limited and not tame:
            for k in range(D - 1):
                lower[k], upper[k] = run.outer[k], run.outer[k]
            lower[D - 1], upper[D - 1] = here.x[0], here.x[n - 1]
            _fill_bounds(q, lower, upper, bounds_q)
            ordinary = bounds_q[0] + log_factor > SMALLEST_LOG
        if not ordinary:
            fill_logs(q, here, n, b)
            fill_logs(p, here, n, a)
            s, s_p, s_q, d = sums_of_logs(a[:n], b[:n], here.w[:n], 0.0, log_factor)
        elif alone:
            fill_densities(q, here, n, b)
            s = np.exp(log_factor) * _weighted(b[:n], here.w[:n])
            s_p, s_q, d = 0.0, s, s
        else:
            fill_densities(q, here, n, b)
            fill_densities(p, here, n, a)
            s, s_p, s_q, d = sums_of_values(a[:n], b[:n], here.w[:n], 0.0, np.exp(log_factor))
        divergence += shared * s
        mass_p += shared * s_p
        mass_q += shared * s_q
        surplus += shared * d
    partial[DIVERGENCE], partial[MASS_P], partial[MASS_Q] = divergence, mass_p, mass_q
    partial[SURPLUS], partial[SKIPPED] = surplus, skipped


sums = holes("sums")


def _of_tables(partial, start, stop, p, q, change_p, change_q, grid):
    """The integrals of `kl_integral` for two tables of values at the nodes, read in place."""
    inner, length = grid.layout.shape[0] - 1, length_of_row(grid)
    run, a, b = new_run(grid), buffer(BLOCK), buffer(BLOCK)
    divergence, mass_p, mass_q, surplus = 0.0, 0.0, 0.0, 0.0
    point, known = start, 0  # `known` entries of w hold the weight of every node between the ends
    while point < stop:
        first = point % length
        shared = enter_row(run, grid, point // length)
        base, stride, last = run.at[BASE], run.at[EVERY], run.at[END]
        n = min(BLOCK, stop - point, length - first)
        same = has_one_weight(grid.layout[inner], first, n)
        if not same or n > known:
            fill_run(run, grid, first, n)
            known = n if same else 0
        if stride == 1:
            at = base + first
            s, s_p, s_q, d = sums(p[at : at + n], q[at : at + n], run.w[:n], change_p, change_q)
        else:
            for i in range(n):
                j = base + full_index(first + i, stride, last)
                a[i], b[i] = p[j], q[j]
            s, s_p, s_q, d = sums(a[:n], b[:n], run.w[:n], change_p, change_q)
        divergence += shared * s
        mass_p += shared * s_p
        mass_q += shared * s_q
        surplus += shared * d
        point += n
    partial[DIVERGENCE], partial[MASS_P], partial[MASS_Q] = divergence, mass_p, mass_q
    partial[SURPLUS], partial[SKIPPED] = surplus, 0.0


kl_integral_of_values = tiled(outputs=5, even=True)(instance(_of_tables, "kl_integral_of_values", sums=sums_of_values))
"""Integrals of `kl_integral` for tables of densities, q times *change_q*: all digits are kept as q -> p."""
kl_integral_of_logs = tiled(outputs=5, even=True)(instance(_of_tables, "kl_integral_of_logs", sums=sums_of_logs))
"""Integrals of `kl_integral` for tables of log-densities, to which *change_p* and *change_q* are added."""


@tiled(outputs=1)
def mass(partial, start, stop, p, grid):
    """The integral of a density over a grid."""
    run, log_p, total, point = new_run(grid), buffer(BLOCK), 0.0, start
    while point < stop:
        n, shared = next_run(run, grid, point, stop)
        fill_logs(p, run, n, log_p)
        s = 0.0
        for i in range(n):
            s += run.w[i] * exp_or_zero(log_p[i])
        total += shared * s
        point += n
    partial[0] = total
