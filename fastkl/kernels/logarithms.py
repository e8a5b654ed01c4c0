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

As long as |d| <= 1, as for two versions of one model, exp(-d) needs no reduction of its argument: that is tried first.
Numbers that lie side by side are read where they are used. All others, and those of a block with a number that does not
fit, are loaded first; infinite logarithms, and those far below the largest, are summed apart, by the definition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import (
    add_product,
    exp_or_zero,
    float_bits,
    from_bits,
    gap,
    log,
    log1p,
    shares_of_gap,
    shares_of_narrow_gap,
    short_exp,
    two_sum,
)
from fastkl.jit import (
    Implementation,
    Interface,
    block,
    buffer,
    buffers,
    holes,
    instance,
    read_double,
    read_single,
    scalar,
    tiled,
    widest_vectors,
)
from fastkl.jit import least as min
from fastkl.jit import most as max
from fastkl.kernels.reductions import bfloat_at, half_at, load

BLOCK = 512
"""Number of elements that are summed together, and again if the offset has to change for them."""

LEAST, MOST = -600.0, 200.0
"""Least and largest logarithm of p, less the shift, that the short sums take; also the largest one of q. Products of
the least p with a difference of 1e-40 are normal doubles."""
FAR = 450.0
"""Largest size of log(p/q) that the short sums take."""
NARROW = 1.0
"""Largest size of log(p/q) that the polynomial without a reduction of its argument takes."""
MISSES = 2
"""Number of blocks with larger ones, from which on that polynomial is not tried any more in a piece."""
HUGE = 2.0**600
"""Largest sum of q - p over a block that is not scaled first."""

UNBALANCED = 0.5
"""Square of D, in units of S P, above which the offset is changed: phi(D/P) is a quarter of S/P there."""
HEAVY = 2.0**144
"""Mass of p from which on its scale is changed before the offset is, since q with that mass would not fit."""
SMALL = 1.0
"""Change of the offset from which on the sums so far are converted by factors, since the formula above would cancel."""
NO_Q = -1.0 + 1e-6
"""D/P below which q's mass is not known from it."""
LOSS = 16.0
"""Sums that have been converted, in units of the result, from which on it has lost too many digits."""

TOTAL, LOST, MASS, LOST_MASS, SURPLUS, SHIFT, OFFSET, CONVERTED, INFINITE, SEEN, WARY, MISSED, OF_BLOCK = range(13)
"""Places in the state of a piece: the sums S, P and D, what S and P have lost by rounding, s and c, the size of what
has been converted, whether S is infinite, any q is above 0, and the block before had a number that did not fit, so that
the short sums need not be tried, and the number of misses of the narrow ones. The results of `SUMS` come last."""
STATE = OF_BLOCK + 4
"""Number of places in the state."""

RESULTS = 5
"""Number of results of a piece: S, P, D, s and c."""

UPPER_BIT, OTHER_BITS = np.int64(63), np.int64(0x7FFFFFFFFFFFFFFF)


SUMS = Interface("void(int64, int64, int64, float64, float64, float64[::1])")
"""Interface ``(at_p, at_q, size, shift, offset, out)`` to fill in the sums S, P and D of logarithms side by side from
two addresses on, and a negative number if one of them does not fit."""
sums_of_block = SUMS.call

NO_SUMS = 0
"""Address that stands for no such function: the numbers are loaded first."""


class LogWork(NamedTuple):
    """Work of `log_sums`."""

    sums: int
    """Address of the function that sums over a block, or `NO_SUMS`."""
    narrow: int
    """Address of the function that does so faster, for small log(p/q)."""
    weighted: bool
    size: int
    """Number of elements in a row."""
    pieces: int
    """Number of pieces that a row is cut into."""
    length: int
    """Number of elements in a piece."""


@scalar
def _misfits(x, d, far):
    """A negative integer if x is not from `LEAST` to `MOST`, or d is beyond *far*; else one that is not negative."""
    middle, half = 0.5 * (LEAST + MOST), 0.5 * (MOST - LEAST)
    return float_bits(half - abs(x - middle)) | float_bits(far - abs(d))


read, width, shares, reach = holes("read", "width", "shares", "reach")


def _sums(at_p, at_q, size, shift, offset, out):
    widest_vectors()
    t, m, e, signs = 0.0, 0.0, 0.0, np.int64(0)
    for i in range(size):
        log_p, log_q = np.float64(read(at_p, i * width)), np.float64(read(at_q, i * width))
        x, d = log_p - shift, gap(log_p, log_q, offset)
        p = short_exp(x)
        surplus, term = shares(d)
        t = add_product(p, term, t)
        m += p
        e = add_product(p, surplus, e)
        signs |= _misfits(x, d, reach)
    out[0], out[1], out[2], out[3] = t, m, e, np.float64(signs)


class Sums(NamedTuple):
    """Functions that sum over a block of one type of numbers."""

    any: Implementation
    narrow: Implementation
    """The function for log(p/q) up to `NARROW`."""


def _sums_of(kind: str, read: Any, width: int) -> Sums:
    forms = {"log_sums": (shares_of_gap, FAR), "narrow_log_sums": (shares_of_narrow_gap, NARROW)}
    return Sums(
        *(
            SUMS.implement(instance(_sums, f"{name}_of_{kind}", read=read, width=width, shares=shares, reach=reach))
            for name, (shares, reach) in forms.items()
        )
    )


of_doubles = _sums_of("doubles", read_double, 8)
of_singles = _sums_of("singles", read_single, 4)
of_halves = _sums_of("halves", half_at, 2)
of_bfloats = _sums_of("bfloats", bfloat_at, 2)


@block
def _weighted_sums(u, v, w, shift, offset):
    """The sums S, P and D over a block that is loaded, and a negative integer if a number does not fit."""
    widest_vectors()
    t, m, e, signs = 0.0, 0.0, 0.0, np.int64(0)
    for i in range(u.size):
        x, d = u[i] - shift, gap(u[i], v[i], offset)
        p = w[i] * short_exp(x)
        surplus, term = shares_of_gap(d)
        t = add_product(p, term, t)
        m += p
        e = add_product(p, surplus, e)
        signs |= _misfits(x, d, FAR)
    return t, m, e, signs


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
    widest_vectors()
    shift, offset = state[SHIFT], state[OFFSET]
    t, m, e, misfits, infinite, wrong = 0.0, 0.0, 0.0, 0, 0, 0
    for i in range(u.size):
        x, y = u[i] - shift, -gap(shift, v[i], offset) if v[i] > -np.inf else -np.inf
        fits = (_misfits(x, gap(u[i], v[i], offset), FAR) >= 0) & (abs(x) < np.inf) & (abs(y) < np.inf)
        d = x - y
        p, q = exp_or_zero(x), exp_or_zero(y)
        term = q + (p * (d - 1.0) if (p > 0.0) & (d < np.inf) else 0.0)
        counts = (fits ^ True) & ((x >= LEAST) | (d < -1.0))
        t += w[i] * term if counts else 0.0
        m += w[i] * p if counts else 0.0
        e += w[i] * (q - p) if counts else 0.0
        misfits += 0 if fits else 1
        infinite += 1 if (y == -np.inf) & (x > -np.inf) else 0
        wrong += 0 if (u[i] < np.inf) & (v[i] < np.inf) else 1
        u[i], v[i] = u[i] if fits else shift, v[i] if fits else shift - offset
        w[i] = w[i] if fits else 0.0
    state[WARY] = 1.0 if misfits > 0 else 0.0
    if infinite > 0:
        state[INFINITE] = 1.0
    return np.nan if wrong > 0 else t, m, e


@block
def _convert(state, change):
    """Convert the sums so far to an offset that is larger by *change*, which is at most `SMALL`."""
    total, mass, surplus = state[TOTAL] + state[LOST], state[MASS] + state[LOST_MASS], state[SURPLUS]
    offset = state[OFFSET] + change
    growth, excess = shares_of_gap(state[OFFSET] - offset)
    added, moved = mass * excess, surplus * growth
    state[TOTAL], state[LOST], state[MASS], state[LOST_MASS] = max((total + moved) + added, 0.0), 0.0, mass, 0.0
    state[SURPLUS] = surplus + (mass + surplus) * growth
    state[OFFSET] = offset
    state[CONVERTED] += total + added + abs(moved)


@scalar
def _difference(a, b):
    """a - b as a rounded number and the rest."""
    return two_sum(a, -b)


@block
def _rescale(state, up_p, up_q):
    """Divide p by about exp(up_p), and q by about exp(up_q), in the sums so far: change the shift and the offset."""
    total, mass, surplus = state[TOTAL] + state[LOST], state[MASS] + state[LOST_MASS], state[SURPLUS]
    shift, offset = state[SHIFT] + up_p, state[OFFSET] + (up_p - up_q)
    up, up_rest = _difference(shift, state[SHIFT])  # a rounding of 1e-12 would count where a logarithm is 1e4
    change, change_rest = _difference(offset, state[OFFSET])
    fall, fall_rest = _difference(up, change)
    factor = exp_or_zero(-up) * (1.0 - up_rest) if mass > 0.0 else 0.0  # without p the shift may fall by any number
    p = factor * mass
    q = exp_or_zero(-fall) * (1.0 - (fall_rest + (up_rest - change_rest))) * (mass + surplus)
    terms = factor * (total - surplus)
    state[TOTAL] = max((terms - change * p) + (q - p), 0.0)
    state[LOST], state[MASS], state[LOST_MASS], state[SURPLUS] = 0.0, p, 0.0, q - p
    state[CONVERTED] = factor * state[CONVERTED] + abs(terms) + abs(change * p) + p + q
    state[SHIFT], state[OFFSET] = shift, offset


@block
def _begin(u, v, state):
    """Choose the shift, and the offset if nothing has been seen yet, by the first block in which p is above 0."""
    top = _largest(u)
    if -np.inf < top < np.inf:
        if state[SURPLUS] > 0.0:
            _rescale(state, top - state[SHIFT], 0.0)
        else:
            j = 0
            while u[j] != top:
                j += 1
            state[SHIFT], state[OFFSET] = top, u[j] - v[j]
    elif state[SURPLUS] == 0.0:
        state[OFFSET] = -np.inf
    if not abs(state[OFFSET]) < np.inf:
        top = _largest(v)
        state[OFFSET] = state[SHIFT] - top if abs(top) < np.inf else 0.0


@block
def _fit_scales(top_p, top_q, state):
    """Change the scales of p and q if the largest logarithms of a block are too large for them."""
    up_p, up_q = top_p - state[SHIFT], (top_q - state[SHIFT]) + state[OFFSET]
    if state[SEEN] == 0.0 and -np.inf < up_q < -FAR:  # the offset was chosen without any q above 0
        state[OFFSET] -= up_q
    up_p, up_q = up_p if up_p > MOST else 0.0, up_q if up_q > MOST else 0.0
    if up_p > 0.0 or up_q > 0.0:
        _rescale(state, up_p, up_q)


class Place(NamedTuple):
    """Place of a block in memory."""

    p: int
    q: int
    w: int
    size: int


@block
def _load(given, here, weighted, room):
    """Load a block into the first rows of *room*; what has the weight 0 becomes -inf."""
    u, v, w = room[0, : here.size], room[1, : here.size], room[2, : here.size]
    load(given.p.load, here.p, given.p.step, u)
    load(given.q.load, here.q, given.q.step, v)
    if weighted:
        load(given.w.load, here.w, given.w.step, w)
        for i in range(here.size):
            u[i], v[i] = u[i] if w[i] > 0.0 else -np.inf, v[i] if w[i] > 0.0 else -np.inf
    else:
        for i in range(here.size):
            w[i] = 1.0
    return u, v, w


@scalar
def _fits(t, e, signs):
    """Whether the short sums over a block, with *signs* of misfits, are right."""
    return signs >= 0.0 and t - t == 0.0 and abs(e) < HUGE


@scalar
def _is_balanced(total, mass, surplus):
    """Whether the masses of p and q are alike, compared with S, or there is no p."""
    alike = surplus * surplus <= UNBALANCED * total * mass and abs(surplus) <= 0.5 * mass
    return alike or not mass > 0.0


@block
def _sum_block(work, given, here, free, room, state, out):
    """Fill in the sums of a block, of any numbers; *free* says that the scales of p and q may be changed for it."""
    wary = state[WARY] > 0.0
    if work.sums != NO_SUMS and not wary:
        sums_of_block(work.sums, here.p, here.q, here.size, state[SHIFT], state[OFFSET], out)
        if _fits(out[0], out[2], out[3]):
            state[SEEN] = 1.0
            return
    u, v, w = _load(given, here, work.weighted, room)
    if work.sums == NO_SUMS and not wary:
        out[0], out[1], out[2], signs = _weighted_sums(u, v, w, state[SHIFT], state[OFFSET])
        if _fits(out[0], out[2], np.float64(signs)):
            state[SEEN] = 1.0
            return
    top_p, top_q = _largest(u), _largest(v)
    if free and top_p < np.inf and top_q < np.inf:
        _fit_scales(top_p, top_q, state)
    if top_q > -np.inf:
        state[SEEN] = 1.0
    t, m, e = _sums_of_misfits(u, v, w, state)
    out[0], out[1], out[2], _ = _weighted_sums(u, v, w, state[SHIFT], state[OFFSET])
    out[0], out[1], out[2] = out[0] + t, out[1] + m, out[2] + e


@block
def _change_of_offset(work, given, here, room, state, mass, surplus):
    """Change of the offset that balances masses of p and q that are not."""
    relative = surplus / mass
    if relative > NO_Q:
        return -log1p(relative)
    _, v, _ = _load(given, here, work.weighted, room)
    before, top = state[MASS] + state[SURPLUS], (_largest(v) - state[SHIFT]) + state[OFFSET]
    top = max(top, log(before)) if before > 0.0 else top
    return log(mass) - top if abs(top) < np.inf else 0.0


@block
def _settle_block(work, given, here, free, room, state, out):
    """Fill in the sums of a block with the shift and the offset that it takes; *out* has them if they may be right."""
    known = out[3] >= 0.0
    if free and state[MASS] == 0.0:
        u, v, _ = _load(given, here, work.weighted, room)
        _begin(u, v, state)
    tries = 4
    while tries > 0:
        if not known:
            _sum_block(work, given, here, free, room, state, out)
        known = False
        total, mass, surplus = state[TOTAL] + out[0], state[MASS] + out[1], state[SURPLUS] + out[2]
        tries = tries - 1 if free and not _is_balanced(total, mass, surplus) else 0
        if tries > 0 and mass > HEAVY:
            _rescale(state, log(mass), 0.0)
        elif tries > 0:
            change = _change_of_offset(work, given, here, room, state, mass, surplus)
            if abs(change) < SMALL:
                _convert(state, change)
            else:
                _rescale(state, 0.0, -change)


@block
def _has_lost_digits(state):
    """Whether conversions may have lost digits of the divergence; D**2/(2 P) stands for the part of S that is none."""
    total, mass, surplus = state[TOTAL], state[MASS], state[SURPLUS]
    return mass > 0.0 and state[CONVERTED] > LOSS * (total - 0.5 * surplus * (surplus / mass))


@tiled(outputs=0, even=True)
def log_sums(partial, start, stop, work, given, sums):
    """Sums over rows of logarithms, in pieces, with the shift and the offset of each.

    A point of this kernel is a piece. Result k of a piece of a row goes to ``sums[k, piece, row]``. S is NaN if a
    logarithm is NaN or inf, and inf if q is 0 where p is not; P, or P + D, is 0 if all p, or all q, are.
    """
    _sum_rows(start, stop, work, given, sums, buffers(3, BLOCK), buffer(STATE))


@block
def _sum_rows(start, stop, work, given, sums, room, state):
    """The sums of `log_sums`; a block, since counting references takes time."""
    out = state[OF_BLOCK:]
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
                n, p, q = min(BLOCK, end - begin), at_p + begin * given.p.step, at_q + begin * given.q.step
                settled, out[3] = False, -1.0
                if work.sums != NO_SUMS and state[MASS] > 0.0 and state[WARY] == 0.0:
                    narrow = state[MISSED] < MISSES
                    sums_of_block(work.narrow if narrow else work.sums, p, q, n, state[SHIFT], state[OFFSET], out)
                    total, mass, surplus = state[TOTAL] + out[0], state[MASS] + out[1], state[SURPLUS] + out[2]
                    if _fits(out[0], out[2], out[3]):
                        state[SEEN] = 1.0
                        settled = not free or _is_balanced(total, mass, surplus)
                    else:
                        state[MISSED] += 1.0
                        out[3] = -1.0
                if not settled:
                    here = Place(p, q, at_w + begin * given.w.step, n)
                    _settle_block(work, given, here, free, room, state, out)
                state[TOTAL], lost = two_sum(state[TOTAL], out[0])
                state[LOST] += lost
                state[MASS], lost = two_sum(state[MASS], out[1])
                state[LOST_MASS] += lost
                state[SURPLUS] += out[2]
            looks -= 1
            if free and _has_lost_digits(state):
                shift, offset = state[SHIFT], state[OFFSET] - log1p(state[SURPLUS] / state[MASS])
                free, looks = False, 1
        mass = state[MASS] + state[LOST_MASS]
        sums[0, piece, row] = np.inf if state[INFINITE] > 0.0 and state[TOTAL] >= 0.0 else state[TOTAL] + state[LOST]
        sums[1, piece, row] = mass
        sums[2, piece, row] = state[SURPLUS] if state[SEEN] > 0.0 else -mass
        sums[3, piece, row], sums[4, piece, row] = state[SHIFT], state[OFFSET]
