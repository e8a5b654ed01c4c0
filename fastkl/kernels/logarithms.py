"""Sums over rows of logarithms, of which the divergence of two densities is made, in one pass over the memory.

The logarithms a and b of a row stand for p = exp(a - s) and q = exp(b - s + c). The shift s makes p, and with it the
offset c makes q, of ordinary size; the divergence of the normalised densities depends on neither. With d = a - b - c,

    p log(p/q) - p + q = p (exp(-d) - 1 + d),    q - p = p (exp(-d) - 1),

neither of which cancels as d -> 0 (`fastkl.elementary.shares_of_gap`). a - b is taken as if it were not rounded, so a
number that is added to a whole row, however large, costs no digit.

The shift and the offset are found on the way. The shift is the largest a of the first block, and the offset is a - b at
that place. So rows that differ by a constant have d = 0 everywhere. Where the sums S, P and D of the terms, of p and of
q - p show that q's mass is too far from p's (see `fastkl.measures`), the offset changes: the sums so far are converted,

    S' = S + P (exp(t) - 1 - t) + D (exp(t) - 1),    D' = D + (P + D) (exp(t) - 1),    t the change of c,

and the block is summed again. That happens when the few numbers that hold most of p are met. What the conversions may
have lost by cancellation is estimated, and if it counts in the end, the piece is summed again with the last offset.

Infinite logarithms, and those far below the largest, are summed apart by the definition, after the block has been tried
in vain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastkl.elementary import exp_or_zero, float_bits, from_bits, gap, log, log1p, shares_of_gap, short_exp, two_sum
from fastkl.jit import block, buffer, buffers, holes, instance, scalar, tiled, widest_vectors
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.reductions import fill_with_zeros, load

BLOCK = 512
"""Number of elements that are loaded together."""

LEAST, MOST = -700.0, 200.0
"""Least and largest logarithm of p, in units of the shift, that the short sums take; also the largest one of q."""
FAR = 450.0
"""Largest size of log(p/q) that the short sums take."""
HUGE = 2.0**600
"""Largest sum of q - p over a block that is not scaled first."""

UNBALANCED = 0.5
"""Square of D, in units of S P, above which the offset is changed: phi(D/P) is a quarter of S/P there."""
NO_Q = -1.0 + 1e-6
"""D/P below which q's mass is not known from it."""
LOSS = 16.0
"""Sums that have been converted, in units of the result, from which on it has lost too many digits."""

TOTAL, LOST, MASS, LOST_MASS, SURPLUS, SHIFT, OFFSET, CONVERTED, INFINITE, SEEN, STATE = range(11)
"""Places in the state of a piece: the sums S, P and D, what S and P have lost by rounding, s and c, the size of what
has been converted, and whether S is infinite, and any q above 0. The last is the number of places."""

RESULTS = 5
"""Number of results of a piece: S, P, D, s and c."""

UPPER_BIT, OTHER_BITS = np.int64(63), np.int64(0x7FFFFFFFFFFFFFFF)


class LogWork(NamedTuple):
    """Work of `log_sums`."""

    weighted: bool
    size: int
    """Number of elements in a row."""
    pieces: int
    """Number of pieces that a row is cut into."""
    length: int
    """Number of elements in a piece."""


@scalar
def _misfits(x, d):
    """A negative integer if x is not from `LEAST` to `MOST`, or d is beyond `FAR`; else one that is not negative."""
    middle, half = 0.5 * (LEAST + MOST), 0.5 * (MOST - LEAST)
    return float_bits(half - abs(x - middle)) | float_bits(FAR - abs(d))


@scalar
def _unweighted(p, w):
    return p


@scalar
def _weighted(p, w):
    return w * p


weigh = holes("weigh")


def _sums(u, v, w, shift, offset):
    """The sums S, P and D over a block, and a negative integer if a number does not fit."""
    widest_vectors()
    t, m, e, signs = 0.0, 0.0, 0.0, np.int64(0)
    for i in range(u.size):
        x, d = u[i] - shift, gap(u[i], v[i], offset)
        p = weigh(short_exp(x), w[i])
        surplus, term = shares_of_gap(d)
        t += p * term
        m += p
        e += p * surplus
        signs |= _misfits(x, d)
    return t, m, e, signs


plain_sums = block(instance(_sums, "sums_of_logs", weigh=_unweighted))
weighted_sums = block(instance(_sums, "weighted_sums_of_logs", weigh=_weighted))


@block
def _largest(values):
    """The largest of the *values*, or NaN; compared as integers, since LLVM vectorises that."""
    most = float_bits(-np.inf) ^ OTHER_BITS
    for i in range(values.size):
        bits = float_bits(values[i])
        order = bits ^ ((bits >> UPPER_BIT) & OTHER_BITS)
        most = order if order > most else most
    return from_bits(most ^ ((most >> UPPER_BIT) & OTHER_BITS))


@block
def _sums_of_misfits(u, v, w, state):
    """(S, P, D) of the numbers that do not fit, which get the weight 0; tells the state of infinities and NaNs.

    A p far below the largest one counts only for its logarithm, of a q that is larger.
    """
    shift, offset = state[SHIFT], state[OFFSET]
    t, m, e, infinite, wrong = 0.0, 0.0, 0.0, 0, 0
    for i in range(u.size):
        x, y = u[i] - shift, (v[i] - shift) + offset
        fits = _misfits(x, gap(u[i], v[i], offset)) >= 0 and abs(x) < np.inf and abs(y) < np.inf
        d = x - y
        p, q = exp_or_zero(x), exp_or_zero(y)
        term = q + (p * (d - 1.0) if p > 0.0 and d < np.inf else 0.0)
        counts = not fits and (x >= LEAST or d < -1.0)
        t += w[i] * term if counts else 0.0
        m += w[i] * p if counts else 0.0
        e += w[i] * (q - p) if counts else 0.0
        infinite += 1 if y == -np.inf and x > -np.inf else 0
        wrong += 0 if u[i] < np.inf and v[i] < np.inf else 1
        u[i], v[i] = u[i] if fits else shift, v[i] if fits else shift - offset
        w[i] = w[i] if fits else 0.0
    if infinite > 0:
        state[INFINITE] = 1.0
    return np.nan if wrong > 0 else t, m, e


@block
def _convert(state, change):
    """Convert the sums so far to an offset that is larger by *change*."""
    total, mass, surplus = state[TOTAL] + state[LOST], state[MASS] + state[LOST_MASS], state[SURPLUS]
    offset = state[OFFSET] + change
    growth, excess = shares_of_gap(state[OFFSET] - offset)
    added, moved = mass * excess, surplus * growth
    state[TOTAL], state[LOST], state[MASS], state[LOST_MASS] = max((total + moved) + added, 0.0), 0.0, mass, 0.0
    state[SURPLUS] = surplus + (mass + surplus) * growth
    state[OFFSET] = offset
    state[CONVERTED] += total + added + abs(moved)


@block
def _rescale(state, up_p, up_q):
    """Divide p by exp(up_p), and q by exp(up_q), in the sums so far, with a shift and an offset to match."""
    total, mass, surplus = state[TOTAL] + state[LOST], state[MASS] + state[LOST_MASS], state[SURPLUS]
    factor, factor_q = exp_or_zero(-up_p), exp_or_zero(-up_q)
    p, q = factor * mass, factor_q * (mass + surplus)
    state[TOTAL] = max(factor * (total - surplus + (up_q - up_p) * mass) + (q - p), 0.0)
    state[LOST], state[MASS], state[LOST_MASS], state[SURPLUS] = 0.0, p, 0.0, q - p
    state[CONVERTED] = factor * state[CONVERTED] + p + q
    state[SHIFT] += up_p
    state[OFFSET] += up_p - up_q


@block
def _begin(u, v, w, state):
    """Choose the shift, and the offset if nothing has been seen yet, by the first block in which p is above 0."""
    top = _largest(u)
    if -np.inf < top < np.inf:
        if state[SURPLUS] > 0.0:
            state[OFFSET] += top - state[SHIFT]
        else:
            j = 0
            while u[j] != top:
                j += 1
            state[OFFSET] = u[j] - v[j]
        state[SHIFT] = top
    elif state[SURPLUS] == 0.0:
        state[OFFSET] = -np.inf
    if not abs(state[OFFSET]) < np.inf:
        top = _largest(v)
        state[OFFSET] = state[SHIFT] - top if abs(top) < np.inf else 0.0


@block
def _sums_of_block(u, v, w, spare, weighted, free, state):
    """(S, P, D) of a block; *free* says that the scales of p and q may still be changed for it."""
    if weighted:
        t, m, e, signs = weighted_sums(u, v, w, state[SHIFT], state[OFFSET])
    else:
        t, m, e, signs = plain_sums(u, v, u, state[SHIFT], state[OFFSET])
    if signs >= 0 and t - t == 0.0 and abs(e) < HUGE:
        state[SEEN] = 1.0
        return t, m, e
    n = u.size
    x, y, z = spare[0, :n], spare[1, :n], spare[2, :n]
    for i in range(n):
        x[i], y[i], z[i] = u[i], v[i], w[i] if weighted else 1.0
    top_p, top_q = _largest(x), _largest(y)
    if free and top_p < np.inf and top_q < np.inf:
        up_p, up_q = top_p - state[SHIFT], (top_q - state[SHIFT]) + state[OFFSET]
        if state[SEEN] == 0.0 and -np.inf < up_q < -FAR:
            state[OFFSET] -= up_q
        up_p, up_q = up_p if up_p > MOST else 0.0, up_q if up_q > MOST else 0.0
        if up_p > 0.0 or up_q > 0.0:
            _rescale(state, up_p, up_q)
    if top_q > -np.inf:
        state[SEEN] = 1.0
    a, b, c = _sums_of_misfits(x, y, z, state)
    t, m, e, _ = weighted_sums(x, y, z, state[SHIFT], state[OFFSET])
    return t + a, m + b, e + c


@block
def _change_of_offset(state, v, t, m, e):
    """Change of the offset that balances the sums so far and those of a block; 0 if they are balanced."""
    total, mass, surplus = state[TOTAL] + t, state[MASS] + m, state[SURPLUS] + e
    if not mass > 0.0 or (surplus * surplus <= UNBALANCED * total * mass and abs(surplus) <= 0.5 * mass):
        return 0.0
    relative = surplus / mass
    if relative > NO_Q:
        return -log1p(relative)
    before, top = state[MASS] + state[SURPLUS], (_largest(v) - state[SHIFT]) + state[OFFSET]
    top = max(top, log(before)) if before > 0.0 else top
    return log(mass) - top if abs(top) < np.inf else 0.0


@block
def _add(state, t, m, e):
    """Add the sums of a block to the state."""
    state[TOTAL], lost = two_sum(state[TOTAL], t)
    state[LOST] += lost
    state[MASS], lost = two_sum(state[MASS], m)
    state[LOST_MASS] += lost
    state[SURPLUS] += e


@block
def _has_lost_digits(state):
    """Whether conversions may have lost digits of the divergence; D**2/(2 P) stands for the part of S that is none."""
    total, mass, surplus = state[TOTAL], state[MASS], state[SURPLUS]
    return state[CONVERTED] > LOSS * (total - 0.5 * surplus * (surplus / mass))


@tiled(outputs=0, even=True)
def log_sums(partial, start, stop, work, given, sums):
    """Sums over rows of logarithms, in pieces, with the shift and the offset of each.

    A point of this kernel is a piece. Result k of a piece of a row goes to ``sums[k, piece, row]``. S is NaN if a
    logarithm is NaN or inf, and inf if q is 0 where p is not; P, or P + D, is 0 if all p, or all q, are.
    """
    _sum_rows(start, stop, work, given, sums, buffers(3, BLOCK), buffers(3, BLOCK), buffer(STATE))


@block
def _sum_rows(start, stop, work, given, sums, room, spare, state):
    """The sums of `log_sums`; a block, since counting references takes time."""
    fill_with_zeros(room)
    for point in range(start, stop):
        row, piece = point // work.pieces, point % work.pieces
        at_p = given.p.address + row * given.p.row_step
        at_q = given.q.address + row * given.q.row_step
        at_w = given.w.address + row * given.w.row_step
        first, end = piece * work.length, min(piece * work.length + work.length, work.size)
        shift, offset, free, looks = 0.0, 0.0, True, 1
        while looks > 0:
            for k in range(STATE):
                state[k] = 0.0
            state[SHIFT], state[OFFSET] = shift, offset
            for begin in range(first, end, BLOCK):
                n = min(BLOCK, end - begin)
                u, v, w = room[0, :n], room[1, :n], room[2, :n]
                load(given.p.load, at_p + begin * given.p.step, given.p.step, u)
                load(given.q.load, at_q + begin * given.q.step, given.q.step, v)
                if work.weighted:
                    load(given.w.load, at_w + begin * given.w.step, given.w.step, w)
                    for i in range(n):
                        u[i], v[i] = u[i] if w[i] > 0.0 else -np.inf, v[i] if w[i] > 0.0 else -np.inf
                if free and state[MASS] == 0.0:
                    _begin(u, v, w, state)
                t, m, e = _sums_of_block(u, v, w, spare, work.weighted, free, state)
                change = _change_of_offset(state, v, t, m, e) if free else 0.0
                tries = 2
                while change != 0.0 and tries > 0:
                    _convert(state, change)
                    t, m, e = _sums_of_block(u, v, w, spare, work.weighted, free, state)
                    change, tries = _change_of_offset(state, v, t, m, e), tries - 1
                _add(state, t, m, e)
            looks -= 1
            if free and _has_lost_digits(state):
                shift, offset = state[SHIFT], state[OFFSET] - log1p(state[SURPLUS] / state[MASS])
                free, looks = False, 1
        mass = state[MASS] + state[LOST_MASS]
        sums[0, piece, row] = np.inf if state[INFINITE] > 0.0 and state[TOTAL] >= 0.0 else state[TOTAL] + state[LOST]
        sums[1, piece, row] = mass
        sums[2, piece, row] = state[SURPLUS] if state[SEEN] > 0.0 else -mass
        sums[3, piece, row], sums[4, piece, row] = state[SHIFT], state[OFFSET]
