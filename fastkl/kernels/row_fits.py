"""Fits of a Normal to every row of a table on a line, in both directions.

A point of these kernels is a row. Rows are read as they lie in memory, whatever their type, and no result depends on
the other rows. A reverse fit compares a row with all Normals of a lattice (`fastkl.fitting.lattice`), for `LANES` rows
side by side, and takes Newton's steps from those that are closer to it than the ones around them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import TINY, exp_or_zero, fast_exp, fast_log, fma, kl_term_of_logs, log
from fastkl.jit import block, buffer, buffers, scalar, tiled
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.descent import (
    FAR,
    FLAT,
    LARGEST_STEP,
    LAST_PLACES,
    LOWER_BY,
    MASS_OF_ESCAPE,
    NUDGE,
    ROUNDING,
    SAME_MINIMUM,
    SMALLEST_SHARE,
    SUFFICIENT,
    TIE,
)
from fastkl.kernels.moments import WINDOW, add_powers
from fastkl.kernels.peaks import extremes
from fastkl.kernels.reductions import load

LANES = 32
"""Number of rows that are scanned side by side."""
TOGETHER = 4
"""Divisor of the number of shares of a member of the lattice, so that they are summed together."""

# The status of a row, as in `fastkl.FitStatus`, before the gates of a certificate.
CONVERGED, ESCAPED, AT_STEP, OUT_OF_PASSES, STALLED = 0, 1, 2, 6, 8
NOT_A_NUMBER, INFINITE, NEGATIVE, NO_MASS, HAS_ZERO, NO_SPREAD = 20, 21, 22, 23, 24, 27


class Record(NamedTuple):
    """Numbers in the record of a row, or columns of them; the first ones are those of the end of a run."""

    loc: Any
    scale: Any
    value: Any
    """The divergence."""
    g0: Any
    g1: Any
    """The gradient by (loc/scale, log(scale))."""
    h00: Any
    h01: Any
    h11: Any
    """The Hessian by (loc/scale, log(scale))."""
    summed: Any
    """The sum of q over the nodes."""
    status: Any
    nit: Any
    log_normalizer: Any
    outside: Any
    """The mass of q outside the axis."""
    n_minima: Any
    runner_up: Any
    """The divergence at the second-best minimum."""
    runner_loc: Any
    runner_scale: Any
    nodes_read: Any
    runs: Any
    lower: Any
    """The divergence of a member of the lattice that is below all minima of a reverse fit, or NaN."""
    lower_loc: Any
    lower_scale: Any


LOC, SCALE, VALUE, G0, G1, H00, H01, H11, SUMMED, STATUS, NIT = range(11)
END = 11
LOG_NORMALIZER, OUTSIDE, N_MINIMA, RUNNER_UP, RUNNER_LOC, RUNNER_SCALE, NODES_READ, RUNS = range(END, END + 8)
LOWER, LOWER_LOC, LOWER_SCALE = range(END + 8, END + 11)
FIELDS = END + 11
"""Places of the numbers of a `Record`; those of the end of a run are the first `END` of `FIELDS`."""

MOST_RUNS = 64
"""Largest number of runs in a row."""

SLACK = 0.03
"""Divergence by which members of the lattice on the scales beside it may be below one from which a run begins: a
shallow minimum does not show on all scales."""
AT_FLOOR = 1.05
"""Scale, in steps of the nodes, below which a run that wants to shrink below one step ends."""
NEARLY_SAME = 5e-2
"""Distance in any coordinate below which a run goes to a minimum that is known."""
DIGITS_ABOVE = 0.05
"""Divergence above which a difference of sums has its digits; a smaller one is summed by non-negative terms."""
POINTLIKE, RESOLVED = 1e-6, 2.0
"""Scales, in steps, below which p has no spread, and from which on a sum over the nodes is an integral."""
LOG_SQRT_2PI, ROOT_HALF = 0.9189385332046727, 0.7071067811865476
HUGE, LARGE, SMALL = 1e300, 1e150, 1e-150


class RowsOfTable(NamedTuple):
    """Rows of values, as they lie in memory."""

    load: int
    """Address of the function that reads numbers as doubles."""
    address: int
    row_step: int
    step: int
    by_log: bool
    floor: float
    """Part of the largest value up to which smaller ones are raised; 0 if none are."""


class Line(NamedTuple):
    """Nodes of an axis with their weights."""

    x: Any
    w: Any
    steps: Any
    """The larger of the distances of each node from its neighbours."""
    lower: float
    upper: float
    """The ends of the line that the weights sum."""
    is_even: bool
    """Whether the nodes are equally spaced, so that a q that they resolve sums to its mass."""


class Limits(NamedTuple):
    """Limits of the runs, as `fit` takes them."""

    gtol: float
    max_passes: int
    mass_tol: float


class Found(NamedTuple):
    """Results of reverse fits."""

    records: Any
    ends: Any
    """The ends of all runs of each row, in rows of `MOST_RUNS`; empty if they are not kept."""


class Room(NamedTuple):
    """Buffers for one row."""

    z: Any
    u: Any
    g: Any
    sums: Any
    tilted: Any
    end: Any
    """A trial of the current run."""
    tally: Any
    """The numbers of ends and of nodes read."""


COUNT, READ = range(2)


@block
def _raise(values, lowest):
    for i in range(values.size):
        values[i] = max(values[i], lowest)


@block
def _take_logs(values, shift, logs):
    for i in range(values.size):
        logs[i] = log(values[i]) - shift


@block
def _take_fast_logs(values, shift, logs):
    for i in range(values.size):
        logs[i] = fast_log(values[i]) - shift


@block
def _shift(values, shift, out):
    for i in range(values.size):
        out[i] = values[i] - shift


@block
def _take_exps(logs, values):
    for i in range(logs.size):
        values[i] = exp_or_zero(logs[i])


@block
def _sum_of_products(w, values):
    total = 0.0
    for i in range(w.size):
        total += w[i] * values[i]
    return total


@block
def _sum_of_exps(w, logs):
    total = 0.0
    for i in range(w.size):
        total += w[i] * exp_or_zero(logs[i])
    return total


@block
def read_row(rows, row, w, values, logs):
    """(status, log_normalizer) of a row: *values* are filled with densities up to a factor, *logs* normalised.

    A logarithm of -inf stands for 0.
    """
    load(rows.load, rows.address + row * rows.row_step, rows.step, values)
    least, most = extremes(values)
    if np.isnan(least) or np.isnan(most):
        return NOT_A_NUMBER, np.nan
    if most == np.inf:
        return INFINITE, np.nan
    if least < 0.0 and not rows.by_log:
        return NEGATIVE, np.nan
    if most == -np.inf if rows.by_log else most == 0.0:
        return NO_MASS, np.nan
    if rows.floor > 0.0:
        raised = most + math.log(rows.floor) if rows.by_log else most * rows.floor
        least = max(least, raised)
        _raise(values, raised)
    if not rows.by_log and SMALL < most < LARGE:
        total = _sum_of_products(w, values)
        normalizer = math.log(total)
        if 0.0 < least < TINY:
            _take_logs(values, normalizer, logs)
        else:  # if there are zeros, smaller numbers do not count beside them
            _take_fast_logs(values, normalizer, logs)
        return CONVERGED, normalizer
    peak = most if rows.by_log else log(most)
    if rows.by_log:
        _shift(values, peak, logs)
    else:
        _take_logs(values, peak, logs)
    _take_exps(logs, values)
    total = _sum_of_products(w, values)
    _shift(logs, math.log(total), logs)
    return CONVERGED, peak + math.log(total)


@scalar
def _index_below(x, place):
    """Number of nodes below *place*."""
    low, high = 0, x.size
    while low < high:
        middle = (low + high) // 2
        if x[middle] < place:
            low = middle + 1
        else:
            high = middle
    return low


@scalar
def _step_at(line, place):
    return line.steps[max(min(_index_below(line.x, place), line.x.size - 2), 1)]


@block
def _tilt(x, w, log_p, loc, slope, z, u, g):
    """Fill in z, u = w exp(-z**2/2) and g = u (-z**2/2 - log p)."""
    for i in range(z.size):
        z[i] = (x[i] - loc) * slope
        e = -0.5 * z[i] * z[i]
        u[i] = w[i] * fast_exp(e)
        g[i] = u[i] * (e - log_p[i])


@block
def _divergence_at(line, logs, loc, scale, room, end):
    """The mass of the Normal on the axis; fills in the end with its divergence and the derivatives.

    The sums are those of `fastkl.kernels.moments`, and the formulas those of `fastkl.fitting.objectives`, for the
    scores z and z**2.
    """
    first = max(_index_below(line.x, loc - WINDOW * scale) - 1, 0)
    after = min(_index_below(line.x, loc + WINDOW * scale) + 1, line.x.size)
    count = after - first
    end[LOC], end[SCALE], end[VALUE] = loc, scale, np.nan
    if count <= 0:
        return 0.0
    room.tally[READ] += count
    for k in range(5):
        room.sums[k], room.tilted[k] = 0.0, 0.0
    z, u, g = room.z[:count], room.u[:count], room.g[:count]
    _tilt(line.x[first:after], line.w[first:after], logs[first:after], loc, 1.0 / scale, z, u, g)
    add_powers(z, u, g, room.sums, room.tilted)
    total = room.sums[0]
    if not total > 0.0:
        return 0.0
    for k in range(5):
        room.sums[k], room.tilted[k] = room.sums[k] / total, room.tilted[k] / total
    _, m1, m2, m3, m4 = room.sums[0], room.sums[1], room.sums[2], room.sums[3], room.sums[4]
    g0, g1, g2, g3, g4 = room.tilted[0], room.tilted[1], room.tilted[2], room.tilted[3], room.tilted[4]
    end[VALUE] = g0 - math.log(total)
    end[G0], end[G1] = g1 - m1 * g0, g2 - m2 * g0
    end[H00] = (m2 - m1 * m1) + (g2 - 2.0 * m1 * g1 + (2.0 * m1 * m1 - m2) * g0)
    end[H01] = (m3 - m1 * m2) + (g3 - m1 * g2 - m2 * g1 + (2.0 * m1 * m2 - m3) * g0) - 2.0 * (g1 - m1 * g0)
    end[H11] = (m4 - m2 * m2) + (g4 - 2.0 * m2 * g2 + (2.0 * m2 * m2 - m4) * g0) - 2.0 * (g2 - m2 * g0)
    end[SUMMED] = total * math.exp(-LOG_SQRT_2PI) / scale
    return end[SUMMED]


@scalar
def _newton_step(g0, g1, a, b, c):
    """(step in loc/scale, step in log(scale), slope along the step, smallest eigenvalue of the Hessian).

    The Hessian has a, b, c in its upper triangle; the step is Newton's, with the eigenvalues made positive, and at most
    `LARGEST_STEP` in any coordinate.
    """
    mean, half = 0.5 * (a + c), 0.5 * (a - c)
    radius = math.sqrt(half * half + b * b)
    low, high = mean - radius, mean + radius
    if radius > 0.0:  # the eigenvector of the larger eigenvalue, without cancellation
        if half > 0.0:
            u, v = half + radius, b
        else:
            u, v = b, radius - half
        norm = math.sqrt(u * u + v * v)
        u, v = (u / norm, v / norm) if norm > 0.0 else (1.0, 0.0)
    else:
        u, v = 1.0, 0.0
    largest = max(abs(low), abs(high), 1e-300)
    along_high = (u * g0 + v * g1) / max(abs(high), 1e-8 * largest)
    along_low = (u * g1 - v * g0) / max(abs(low), 1e-8 * largest)
    if max(abs(along_high), abs(along_low)) < NUDGE * FLAT and low < 0.0:
        along_low = NUDGE
    s0, s1 = -(u * along_high - v * along_low), -(v * along_high + u * along_low)
    size = max(abs(s0), abs(s1))
    if size > LARGEST_STEP:
        s0, s1 = s0 * (LARGEST_STEP / size), s1 * (LARGEST_STEP / size)
    return s0, s1, min(s0 * g0 + s1 * g1, 0.0), low


@scalar
def _apart(loc, scale, other_loc, other_scale):
    """The largest distance of two Normals in any coordinate."""
    shift = abs(loc - other_loc) / min(scale, other_scale)
    return max(shift, abs(math.log(scale / other_scale)))


@scalar
def _norm(end):
    return max(abs(end[G0]), abs(end[G1]))


@scalar
def _gtol(end, limits):
    """The gradient of a converged run: what gtol allows, and what a change of loc by its last place makes of it."""
    size = abs(end[LOC]) / end[SCALE]
    return limits.gtol + (LAST_PLACES * size * max(abs(end[H00]), abs(end[H01])) if size > FAR else 0.0)


@block
def _run(line, logs, limits, room, ends, loc, scale):
    """Run from a Normal, and add the end to the ends, unless it is a minimum that is known.

    A run that comes close to a known minimum stops there.
    """
    count, passes, nit, share, status = int(room.tally[COUNT]), 1, 0, 1.0, -1
    end, trial = ends[count], room.end
    inside = _divergence_at(line, logs, loc, scale, room, end)
    s0, s1, slope, low = _newton_step(end[G0], end[G1], end[H00], end[H01], end[H11])
    while status < 0:
        if not inside >= MASS_OF_ESCAPE:
            status = ESCAPED
        elif _norm(end) <= _gtol(end, limits) and low > 0.0:
            status = CONVERGED
        elif passes >= limits.max_passes:
            status = OUT_OF_PASSES
        else:
            loc, scale = end[LOC] + share * s0 * end[SCALE], end[SCALE] * math.exp(share * s1)
            if scale < _step_at(line, loc):
                share *= 0.5
                if share < SMALLEST_SHARE or end[SCALE] < AT_FLOOR * _step_at(line, end[LOC]):
                    status = AT_STEP
                continue
            mass = _divergence_at(line, logs, loc, scale, room, trial)
            passes += 1
            norm, rounding = _norm(end), ROUNDING * max(abs(end[VALUE]), 1.0)
            if not (mass > 0.0 and trial[VALUE] <= end[VALUE] + SUFFICIENT * share * slope + rounding):
                share *= 0.5
                if share < SMALLEST_SHARE:
                    status = STALLED
                continue
            if trial[VALUE] >= end[VALUE] - rounding and _norm(trial) >= norm and norm > _gtol(end, limits):
                status = STALLED
                continue
            inside, share, nit = mass, 1.0, nit + 1
            for k in range(END):
                end[k] = trial[k]
            s0, s1, slope, low = _newton_step(end[G0], end[G1], end[H00], end[H01], end[H11])
            if low > 0.0 and _is_known(ends, count, end, NEARLY_SAME):
                return
    end[STATUS], end[NIT] = status, nit
    if status != CONVERGED or not _is_known(ends, count, end, SAME_MINIMUM):
        room.tally[COUNT] += 1.0


@block
def _is_known(ends, count, end, tolerance):
    """Whether there is a minimum among the first *count* ends within the tolerance of *end*."""
    known = False
    for k in range(count):
        if ends[k, STATUS] == CONVERGED:
            known |= _apart(end[LOC], end[SCALE], ends[k, LOC], ends[k, SCALE]) <= tolerance
    return known


@block
def _ranked(ends, tally):
    """Indices of the best end, of the best minimum and of the second-best one; -1 if there is none.

    The best end is the best minimum, or an end that came lower without converging; one that has escaped is the last
    choice. Of minima that differ by less than `TIE` that with the smaller place comes first.
    """
    lowest, first, second = 0, -1, -1
    for k in range(int(tally[COUNT])):
        if _rank(ends[k]) < _rank(ends[lowest]):
            lowest = k
        if ends[k, STATUS] == CONVERGED:
            if first < 0 or _comes_before(ends[k], ends[first]):
                first, second = k, first
            elif second < 0 or _comes_before(ends[k], ends[second]):
                second = k
    best = lowest
    if first >= 0 and (ends[lowest, STATUS] == ESCAPED or not _is_lower(ends[lowest, VALUE], ends[first, VALUE])):
        best = first
    return best, first, second


@scalar
def _rank(end):
    return end[VALUE] + (HUGE if end[STATUS] == ESCAPED else 0.0)


@scalar
def _comes_before(end, other):
    gap = other[VALUE] - end[VALUE]
    return gap > TIE or (gap >= -TIE and end[LOC] < other[LOC])


@scalar
def _is_lower(value, other):
    return value < other - LOWER_BY * max(1.0, abs(other))


@block
def _pooled(lattice, logs):
    """Fill in the means of log p over the pools of all levels; the first level is there."""
    for level in range(1, lattice.levels.size - 1):
        begin, first, after = lattice.levels[level - 1], lattice.levels[level], lattice.levels[level + 1]
        end = first - 1
        for i in range(after - first):
            left = begin + 2 * i
            right = min(left + 1, end)
            share = lattice.blends[first - lattice.levels[1] + i]
            low, high, pool = logs[left], logs[right], logs[first + i]
            for lane in range(pool.size):
                pool[lane] = low[lane] + share * (high[lane] - low[lane])


@block
def _mean_across(shares, logs, out):
    """Fill in the mean of every row of a block with the same shares, a multiple of `TOGETHER` of them."""
    for lane in range(out.size):
        out[lane] = 0.0
    for i in range(0, shares.size, TOGETHER):
        s0, s1, s2, s3 = shares[i], shares[i + 1], shares[i + 2], shares[i + 3]
        r0, r1, r2, r3 = logs[i], logs[i + 1], logs[i + 2], logs[i + 3]
        for lane in range(out.size):
            out[lane] += fma(s3, r3[lane], fma(s2, r2[lane], fma(s1, r1[lane], s0 * r0[lane])))


@block
def _scan(lattice, logs, values):
    """Fill in the divergences of all members of the lattice from the rows of a block, a row for each."""
    for k in range(lattice.windows.shape[0]):
        begin, size, at = lattice.windows[k, 0], lattice.windows[k, 1], lattice.windows[k, 2]
        _mean_across(lattice.shares[at : at + size], logs[begin : begin + size], values[k])
        for lane in range(values.shape[1]):
            values[k, lane] = lattice.normals[k, 2] - values[k, lane]


class Candidates(NamedTuple):
    """Members of the lattice from which runs begin, for every row of a block."""

    counts: Any
    starts: Any
    """Rows of numbers of members, one for each row of the block: the lowest ones, if there are more than runs."""
    lowest: Any
    """The least divergence from a member that has no more than the allowed mass outside."""
    at: Any
    """The number of that member."""
    flags: Any


@block
def _starting(value, left, right, finer, coarser, flags):
    """Fill in 1 for every row whose divergence is below its neighbours, else 0; the result is their number."""
    count = 0.0
    for lane in range(value.size):
        v, beside = value[lane], left[lane] if left[lane] < right[lane] else right[lane]
        across = (finer[lane] if finer[lane] < coarser[lane] else coarser[lane]) + SLACK
        flags[lane] = 1.0 if v <= beside and v <= across else 0.0
        count += flags[lane]
    return count


@block
def _lower(value, k, lowest, at):
    """Note the number k of a member wherever its divergence is the least so far."""
    for lane in range(value.size):
        at[lane] = k if value[lane] < lowest[lane] else at[lane]
        lowest[lane] = value[lane] if value[lane] < lowest[lane] else lowest[lane]


@scalar
def _or_itself(other, k):
    return other if other >= 0 else k


@block
def _keep(k, values, chosen, lane):
    """Note the number k of a member from which a run begins; if there are too many, the highest one is left out."""
    starts, count = chosen.starts[lane], int(chosen.counts[lane])
    if count < MOST_RUNS - 2:
        starts[count] = k
        chosen.counts[lane] += 1
        return
    highest = 0
    for i in range(1, count):
        if values[int(starts[i]), lane] > values[int(starts[highest]), lane]:
            highest = i
    if values[k, lane] < values[int(starts[highest]), lane]:
        starts[highest] = k


@block
def _choose(lattice, values, mass_tol, chosen):
    """Find the members that are closer to p than those around them, and the closest one that is inside the axis."""
    for lane in range(values.shape[1]):
        chosen.counts[lane], chosen.lowest[lane], chosen.at[lane] = 0, np.inf, -1.0
    for k in range(lattice.windows.shape[0]):
        beside = lattice.neighbours[k]
        left, right = values[_or_itself(beside[0], k)], values[_or_itself(beside[1], k)]
        finer, coarser = values[_or_itself(beside[2], k)], values[_or_itself(beside[3], k)]
        if _starting(values[k], left, right, finer, coarser, chosen.flags) > 0.0:
            for lane in range(values.shape[1]):
                if chosen.flags[lane] > 0.0:
                    _keep(k, values, chosen, lane)
        if lattice.normals[k, 3] <= mass_tol:
            _lower(values[k], k, chosen.lowest, chosen.at)
    for lane in range(values.shape[1]):
        if chosen.counts[lane] == 0.0:  # sums beyond the doubles; the run says so
            chosen.starts[lane, 0], chosen.counts[lane] = lattice.windows.shape[0] - 1, 1.0


@tiled(outputs=0)
def reverse_fits(partial, start, stop, rows, line, lattice, limits, found):
    """Fill in the records of reverse fits, and the ends of all runs of a row if there is room for them."""
    n, records, all_ends = line.x.size, found.records, found.ends
    pools, members = lattice.levels[lattice.levels.size - 1], lattice.windows.shape[0]
    values, logs = buffer(n), buffers(LANES, n)
    width = LANES if stop - start > 1 else 1
    across, divergences = buffers(pools + TOGETHER, width), buffers(members, width)
    room = Room(buffer(n), buffer(n), buffer(n), buffer(5), buffer(5), buffer(END), buffer(2))
    ends = buffers(MOST_RUNS, END)
    chosen = Candidates(buffer(LANES), buffers(LANES, MOST_RUNS), buffer(LANES), buffer(LANES), buffer(LANES))
    for begin in range(start, stop, LANES):
        lanes = min(LANES, stop - begin)
        for k in range(lanes):
            record = records[begin + k]
            for i in range(FIELDS):
                record[i] = np.nan
            status, normalizer = read_row(rows, begin + k, line.w, values, logs[k])
            if status == CONVERGED and extremes(logs[k])[0] == -np.inf:
                status = HAS_ZERO
            record[LOG_NORMALIZER], record[STATUS] = normalizer, status
        _enter(records[begin : begin + lanes], logs, across)
        _pooled(lattice, across)
        _scan(lattice, across, divergences)
        _choose(lattice, divergences, limits.mass_tol, chosen)
        for k in range(lanes):
            record = records[begin + k]
            if record[STATUS] == CONVERGED:
                lower = _search(line, logs[k], lattice, chosen, k, limits, room, ends)
                _conclude(line, logs[k], room, ends, record)
                record[RUNS] = chosen.counts[k] + (1.0 if lower >= 0 else 0.0)
                if lower >= 0:
                    record[LOWER] = chosen.lowest[k]
                    record[LOWER_LOC], record[LOWER_SCALE] = lattice.normals[lower, 0], lattice.normals[lower, 1]
                for i in range(int(room.tally[COUNT]) if all_ends.shape[0] > 0 else 0):
                    for j in range(END):
                        all_ends[begin + k, i, j] = ends[i, j]


@block
def _enter(records, logs, across):
    """Put the logarithms of good rows side by side; other lanes are 0."""
    lanes = records.shape[0]
    for i in range(across.shape[0]):
        inside = i < logs.shape[1]
        for k in range(across.shape[1]):
            good = inside and k < lanes and records[min(k, lanes - 1), STATUS] == CONVERGED
            across[i, k] = logs[k, i] if good else 0.0


@block
def _search(line, logs, lattice, chosen, lane, limits, room, ends):
    """Run from the chosen members, and from the lowest member inside the axis if it is below all ends.

    The result is the number of that member, or -1.
    """
    room.tally[COUNT], room.tally[READ] = 0.0, line.x.size
    starts, lower = int(chosen.counts[lane]), -1
    for i in range(starts + 1):
        if i < starts:
            k = int(chosen.starts[lane, i])
        else:
            best, k = ends[_ranked(ends, room.tally)[0]], int(chosen.at[lane])
            least = HUGE if best[STATUS] == ESCAPED else best[VALUE]
            if k < 0 or not _is_lower(chosen.lowest[lane], least):
                break
            _divergence_at(line, logs, lattice.normals[k, 0], lattice.normals[k, 1], room, room.end)
            if not _is_lower(room.end[VALUE], least):
                break
            lower, chosen.lowest[lane] = k, room.end[VALUE]
        _run(line, logs, limits, room, ends, lattice.normals[k, 0], lattice.normals[k, 1])
    return lower


@block
def _conclude(line, logs, room, ends, record):
    """Fill in the record with the best end and the second-best minimum."""
    best, _, second = _ranked(ends, room.tally)
    for i in range(END):
        record[i] = ends[best, i]
    if not record[VALUE] > DIGITS_ABOVE:
        _fill_normal(line.x, record[LOC], record[SCALE], room.g)
        record[VALUE] = _sum_of_terms(line.w, room.g, math.log(_sum_of_exps(line.w, room.g)), logs, 0.0)
    record[OUTSIDE] = _mass_outside(line, record[LOC], record[SCALE])
    record[N_MINIMA], record[NODES_READ] = 0.0, room.tally[READ]
    for k in range(int(room.tally[COUNT])):
        record[N_MINIMA] += 1.0 if ends[k, STATUS] == CONVERGED else 0.0
    if second >= 0:
        record[RUNNER_UP], record[RUNNER_LOC] = ends[second, VALUE], ends[second, LOC]
        record[RUNNER_SCALE] = ends[second, SCALE]


@block
def _fill_normal(x, loc, scale, logs):
    """Fill in -z**2/2."""
    for i in range(x.size):
        z = (x[i] - loc) / scale
        logs[i] = -0.5 * z * z


@block
def _sum_of_terms(w, log_a, shift_a, log_b, shift_b):
    """The sum of the non-negative KL terms of a and b, by logarithms from which shifts are subtracted."""
    total = 0.0
    for i in range(w.size):
        term, _, _ = kl_term_of_logs(log_a[i] - shift_a, log_b[i] - shift_b)
        total += w[i] * term
    return total


@scalar
def _tail(z):
    """The probability of more than z for the standard Normal."""
    return 0.5 * math.erfc(z * ROOT_HALF) if z >= 0.0 else 1.0 - 0.5 * math.erfc(-z * ROOT_HALF)


@scalar
def _mass_outside(line, loc, scale):
    return _tail((loc - line.lower) / scale) + _tail((line.upper - loc) / scale)


@block
def _mean(x, w, p, about, slope):
    """(mass, mean of z), z the distance from a place times *slope*."""
    mass, first = 0.0, 0.0
    for i in range(x.size):
        share = w[i] * p[i]
        mass += share
        first += share * ((x[i] - about) * slope)
    return mass, first / mass


@block
def _spread(x, w, p, logs, about, slope, mean):
    """The sums of p times z - mean, its square and log p."""
    first, second, entropy = 0.0, 0.0, 0.0
    for i in range(x.size):
        share, z = w[i] * p[i], (x[i] - about) * slope - mean
        first += share * z
        second += share * z * z
        entropy += share * (logs[i] if share > 0.0 else 0.0)
    return first, second, entropy


@tiled(outputs=0)
def forward_fits(partial, start, stop, rows, line, records):
    """Fill in the records of forward fits: the Normal with the moments of each row."""
    n = line.x.size
    p, logs, log_q = buffer(n), buffer(n), buffer(n)
    for row in range(start, stop):
        record = records[row]
        for k in range(FIELDS):
            record[k] = np.nan
        status, normalizer = read_row(rows, row, line.w, p, logs)
        record[LOG_NORMALIZER], record[STATUS] = normalizer, status
        if status == CONVERGED:
            _match(line, p, logs, log_q, record)


@block
def _match(line, p, logs, log_q, record):
    """Fill in the record of the Normal with the moments of p."""
    about, unit = line.x[line.x.size // 2], line.x[line.x.size - 1] - line.x[0]  # squares of z are doubles
    mass, distance = _mean(line.x, line.w, p, about, 1.0 / unit)
    first, second, entropy = _spread(line.x, line.w, p, logs, about, 1.0 / unit, distance)
    first, second, entropy = first / mass, second / mass, entropy / mass
    mean, scale = about + unit * (distance + first), unit * math.sqrt(max(second - first * first, 0.0))
    record[LOC], record[SCALE] = mean, scale
    if not scale >= POINTLIKE * _step_at(line, mean):
        record[STATUS] = NO_SPREAD
        return
    record[VALUE] = entropy + 0.5 + math.log(scale) + LOG_SQRT_2PI
    record[G0], record[G1], record[H00], record[H01], record[H11] = 0.0, 0.0, 1.0, 0.0, 2.0
    record[OUTSIDE] = _mass_outside(line, mean, scale)
    record[SUMMED], record[NIT] = 1.0 - record[OUTSIDE], 0.0
    record[N_MINIMA], record[RUNS], record[NODES_READ] = 1.0, 1.0, line.x.size
    if not (line.is_even and record[VALUE] > DIGITS_ABOVE and scale >= RESOLVED * _step_at(line, mean)):
        _fill_normal(line.x, mean, scale, log_q)
        summed = _sum_of_exps(line.w, log_q)
        whole = _sum_of_terms(line.w, logs, 0.0, log_q, math.log(summed))
        record[SUMMED] = summed * math.exp(-LOG_SQRT_2PI) / scale
        record[VALUE] = whole + max(-math.log(record[SUMMED]), 0.0)


class Coarser(NamedTuple):
    """The nodes of two coarser rules, their indices and weights."""

    half: Any
    half_w: Any
    quarter: Any
    quarter_w: Any
    forward: bool
    """Whether the divergence is that of p from q."""


HALF, QUARTER, BY_ALL = range(3)
"""Results of `coarser_divergences`: the divergences by the two rules, and the sum of the Normal by all nodes."""


@tiled(outputs=0)
def coarser_divergences(partial, start, stop, rows, line, coarser, normals, out):
    """Fill in the divergence of each row and its Normal by coarser rules, and the sum of the Normal by all nodes.

    They are NaN for a row without a Normal.
    """
    n, m = line.x.size, coarser.half.size
    values, logs, log_p, log_q = buffer(n), buffer(n), buffer(m), buffer(m)
    for row in range(start, stop):
        loc, scale = normals[row, 0], normals[row, 1]
        for k in range(3):
            out[row, k] = np.nan
        if scale > 0.0:
            read_row(rows, row, line.w, values, logs)
            _fill_normal(line.x, loc, scale, values)
            log_constant = LOG_SQRT_2PI + math.log(scale)
            out[row, BY_ALL] = math.exp(math.log(_sum_of_exps(line.w, values)) - log_constant)
            for k in range(2):
                chosen, w = (coarser.half, coarser.half_w) if k == HALF else (coarser.quarter, coarser.quarter_w)
                for i in range(chosen.size):
                    log_p[i], log_q[i] = logs[chosen[i]], values[chosen[i]]
                of_p, of_q = log_p[: chosen.size], log_q[: chosen.size]
                out[row, k] = _coarser_divergence(w, of_p, of_q, log_constant, coarser.forward)


@block
def _coarser_divergence(w, log_p, log_q, log_constant, forward):
    """The divergence by the nodes that are given; inf if a density lies between them."""
    mass_p, mass_q = _sum_of_exps(w, log_p), _sum_of_exps(w, log_q)
    if not (mass_p > 0.0 and mass_q > 0.0):
        return np.inf
    to_p, to_q = math.log(mass_p), math.log(mass_q)
    if forward:
        return _sum_of_terms(w, log_p, to_p, log_q, to_q) + max(log_constant - to_q, 0.0)
    return _sum_of_terms(w, log_q, to_q, log_p, to_p)
