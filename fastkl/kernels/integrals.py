"""The KL integral of two densities over a grid, both evaluated on the way."""

from __future__ import annotations

import numpy as np

from fastkl.elementary import LOWERED, exp_or_zero, fast_kl_term, fast_kl_term_of_logs, kl_term_of_logs
from fastkl.jit import block, buffer, holes, instance, scalar, tiled
from fastkl.kernels.axes import count, enter_row, fill_axis, fill_box, full_index, has_one_weight, last_below, node_at
from fastkl.kernels.density import BLOCK, bound, evaluate, reach
from fastkl.kernels.records import BASE, BOUNDS_OF, DENSITY_OF, END, EVERY, LOG_DENSITY_OF, PLACE, REACH_OF, START
from fastkl.kernels.terms import PEEK, careful_kl, is_small, misfits_kl

WHOLE = 16
"""Points that are skipped or not together: vectors, unrolled, leave no rest, which would take as long as they do."""

SMALLEST_LOG, LARGEST_LOG = -650.0, 690.0
"""Logarithms of numbers that the short term takes."""

LARGEST_OF_TWO = 50.0
"""The short term of two logarithms takes a difference of 700."""

DIVERGENCE, MASS_A, MASS_B, SURPLUS, SKIPPED = range(5)


@scalar
def _negligible(high_a, low_b, high_b, limit):
    """Whether a log(a/b) - a + b cannot be above *limit* in size between these bounds of log a and log b."""
    if not max(high_a, high_b) < LARGEST_LOG:
        return False
    return exp_or_zero(high_a) * (1.0 + max(high_a - low_b, 0.0)) + exp_or_zero(high_b) <= limit


@scalar
def logs_are_ordinary(log_a, log_b):
    """Whether the short term takes them."""
    return min(log_a, log_b) >= SMALLEST_LOG and max(log_a, log_b) <= LARGEST_OF_TWO


@block
def sums_of_logs(log_a, log_b, w, add_a, add_b):
    """The sums of w times the term, a, b and b - a, from log a + add_a and log b + add_b."""
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
    """The sums of w times the term, a, factor * b and factor * b - a, from densities."""
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
def kl_integral(
    partial, start, stop, functions_a, components_a, values_a, nodes_a, functions_b, components_b, values_b, nodes_b,
    log_factor, nodes, weights, geometry,
):  # fmt: skip
    """The integrals of a log(a/b) - a + b, a, b and b - a, where b is multiplied by exp(log_factor).

    The last output is the number of points that were skipped: none.
    """
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, scratch, a, b = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    outer, at = np.empty(D - 1), np.empty(PLACE, np.int64)
    divergence, mass_a, mass_b, surplus, begin = 0.0, 0.0, 0.0, 0.0, start
    while begin < stop:
        first = begin % length
        shared = enter_row(nodes, weights, geometry, begin // length, outer, at, scratch)
        at[START] = first
        n = min(BLOCK, stop - begin, length - first)
        begin += n
        fill_axis(nodes, weights, inner, first, x[:n], w[:n])
        evaluate(functions_a[LOG_DENSITY_OF], components_a, values_a, nodes_a, outer, at, x[:n], scratch, a[:n])
        evaluate(functions_b[LOG_DENSITY_OF], components_b, values_b, nodes_b, outer, at, x[:n], scratch, b[:n])
        s, s_a, s_b, d = sums_of_logs(a[:n], b[:n], w[:n], 0.0, log_factor)
        divergence += shared * s
        mass_a += shared * s_a
        mass_b += shared * s_b
        surplus += shared * d
    partial[DIVERGENCE], partial[MASS_A], partial[MASS_B] = divergence, mass_a, mass_b
    partial[SURPLUS], partial[SKIPPED] = surplus, 0.0


@block
def _interval(nodes, axis, ends, length):
    """The nodes between the ends of a reach, first and one behind the last, widened to `WHOLE` of them."""
    if not ends[0] <= ends[1]:
        return length, 0
    first, last = last_below(nodes, axis, ends[0]), last_below(nodes, axis, ends[1]) + 2
    return first, min(first + (last - first + WHOLE) // WHOLE * WHOLE, length)


@block
def _weighted(values, w):
    total = 0.0
    for i in range(w.size):
        total += w[i] * values[i]
    return total


@tiled(outputs=5)
def kl_integral_of_bounded(
    partial, start, stop, functions_a, components_a, values_a, nodes_a, functions_b, components_b, values_b, nodes_b,
    log_factor, limit, nodes, weights, geometry,
):  # fmt: skip
    """The same for densities that know their bounds and their reach: what is below *limit* is skipped.

    That is a tile, by the bounds of its box, or the ends of a row, off the reach of both densities. Off the reach of
    a alone the term is b. What is left is done by the densities themselves, if b does not underflow nor either of
    them overflow, and else by their logarithms.
    """
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    scratch, a, b = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    kept = D > 1 and length <= stop - start  # all rows have the same nodes
    x, w = buffer(length if kept else BLOCK), buffer(length if kept else BLOCK)
    lower, upper, bounds_a, bounds_b = np.empty(D), np.empty(D), np.empty(2), np.empty(2)
    at = np.empty(PLACE, np.int64)
    outer = lower[: D - 1]
    divergence, mass_a, mass_b, surplus, skipped, begin = 0.0, 0.0, 0.0, 0.0, 0.0, start

    fill_box(nodes, geometry, start, stop, lower, upper)
    bound(functions_a[BOUNDS_OF], components_a, values_a, nodes_a, lower, upper, bounds_a)
    bound(functions_b[BOUNDS_OF], components_b, values_b, nodes_b, lower, upper, bounds_b)
    low_b, high_b = bounds_b[0] + log_factor, bounds_b[1] + log_factor
    limited, tame = max(bounds_a[1], high_b) < LARGEST_LOG, low_b > SMALLEST_LOG
    if _negligible(bounds_a[1], low_b, high_b, limit):
        skipped, begin = float(stop - start), stop
    level_b = np.log(0.5 * limit)
    level_a = level_b - np.log(1.0 + max(level_b - low_b, 0.0))
    level_b -= log_factor
    if kept and begin < stop:
        fill_axis(nodes, weights, inner, 0, x, w)
    row, shared, active, after, from_a, to_a = -1, 0.0, 0, 0, 0, 0
    while begin < stop:
        first = begin % length
        if begin // length != row:
            row = begin // length
            shared = enter_row(nodes, weights, geometry, row, outer, at, scratch)
            reach(functions_a[REACH_OF], components_a, values_a, nodes_a, outer, level_a, bounds_a)
            reach(functions_b[REACH_OF], components_b, values_b, nodes_b, outer, level_b, bounds_b)
            from_a, to_a = _interval(nodes, inner, bounds_a, length)
            from_b, to_b = _interval(nodes, inner, bounds_b, length)
            active, after = min(from_a, from_b), max(to_a, to_b)
        if first < active or first >= after:
            n = min(active if first < active else length, first + stop - begin) - first
            skipped += n
            begin += n
            continue
        alone = first < from_a or first >= to_a
        end = after if first >= to_a else from_a if first < from_a else to_a
        n = min(BLOCK, stop - begin, end - first)
        begin += n
        at[START] = first
        ordinary = limited and tame
        if limited and not tame:
            for k in range(D - 1):
                upper[k] = outer[k]
            lower[D - 1], upper[D - 1] = node_at(nodes, inner, first), node_at(nodes, inner, first + n - 1)
            bound(functions_b[BOUNDS_OF], components_b, values_b, nodes_b, lower, upper, bounds_b)
            ordinary = bounds_b[0] + log_factor > SMALLEST_LOG
        place = first if kept else 0
        own_x, own_w = x[place : place + n], w[place : place + n]
        if not kept:
            fill_axis(nodes, weights, inner, first, own_x, own_w)
        which = DENSITY_OF if ordinary else LOG_DENSITY_OF
        evaluate(functions_b[which], components_b, values_b, nodes_b, outer, at, own_x, scratch, b[:n])
        if ordinary and alone:
            s = np.exp(log_factor) * _weighted(b[:n], own_w)
            s_a, s_b, d = 0.0, s, s
        else:
            evaluate(functions_a[which], components_a, values_a, nodes_a, outer, at, own_x, scratch, a[:n])
            if ordinary:
                s, s_a, s_b, d = sums_of_values(a[:n], b[:n], own_w, 0.0, np.exp(log_factor))
            else:
                s, s_a, s_b, d = sums_of_logs(a[:n], b[:n], own_w, 0.0, log_factor)
        divergence += shared * s
        mass_a += shared * s_a
        mass_b += shared * s_b
        surplus += shared * d
    partial[DIVERGENCE], partial[MASS_A], partial[MASS_B] = divergence, mass_a, mass_b
    partial[SURPLUS], partial[SKIPPED] = surplus, skipped


sums = holes("sums")


def _of_tables(partial, start, stop, a, b, add_a, add_b, nodes, weights, geometry):
    """The same for two tables at the nodes, read where they are."""
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, u, v = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    outer, at = np.empty(D - 1), np.empty(PLACE, np.int64)
    divergence, mass_a, mass_b, surplus = 0.0, 0.0, 0.0, 0.0
    begin, known = start, 0  # so many entries of w are the weight of every node between the ends
    while begin < stop:
        first = begin % length
        shared = enter_row(nodes, weights, geometry, begin // length, outer, at, u)
        base, stride, last = at[BASE], at[EVERY], at[END]
        n = min(BLOCK, stop - begin, length - first)
        same = has_one_weight(inner, first, n)
        if not same or n > known:
            fill_axis(nodes, weights, inner, first, x[:n], w[:n])
            known = n if same else 0
        if stride == 1:
            at_first = base + first
            s, s_a, s_b, d = sums(a[at_first : at_first + n], b[at_first : at_first + n], w[:n], add_a, add_b)
        else:
            for i in range(n):
                j = base + full_index(first + i, stride, last)
                u[i], v[i] = a[j], b[j]
            s, s_a, s_b, d = sums(u[:n], v[:n], w[:n], add_a, add_b)
        divergence += shared * s
        mass_a += shared * s_a
        mass_b += shared * s_b
        surplus += shared * d
        begin += n
    partial[DIVERGENCE], partial[MASS_A], partial[MASS_B] = divergence, mass_a, mass_b
    partial[SURPLUS], partial[SKIPPED] = surplus, 0.0


kl_integral_of_values = tiled(outputs=5, even=True)(instance(_of_tables, "kl_integral_of_values", sums=sums_of_values))
"""Of tables of densities, the second of which is multiplied by the last number: keeps all digits as b -> a."""
kl_integral_of_logs = tiled(outputs=5, even=True)(instance(_of_tables, "kl_integral_of_logs", sums=sums_of_logs))
"""Of tables of log-densities, to each of which a number is added."""


@tiled(outputs=1)
def mass(partial, start, stop, functions, components, values, table_nodes, nodes, weights, geometry):
    """The integral of a density."""
    D = geometry.shape[0]
    inner, length = geometry[D - 1], count(geometry[D - 1])
    x, w, scratch, log_p = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    outer, at = np.empty(D - 1), np.empty(PLACE, np.int64)
    total, begin = 0.0, start
    while begin < stop:
        first = begin % length
        shared = enter_row(nodes, weights, geometry, begin // length, outer, at, scratch)
        at[START] = first
        n = min(BLOCK, stop - begin, length - first)
        fill_axis(nodes, weights, inner, first, x[:n], w[:n])
        evaluate(functions[LOG_DENSITY_OF], components, values, table_nodes, outer, at, x[:n], scratch, log_p[:n])
        s = 0.0
        for i in range(n):
            s += w[i] * exp_or_zero(log_p[i])
        total += shared * s
        begin += n
    partial[0] = total
