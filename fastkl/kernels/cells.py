"""Masses of densities in cells, with the means of their scores there: integrals over each cell by adaptive quadrature.

A cell may be as narrow or as wide as it likes, reach to infinity, or to an end of the support where the density is
infinite. So the integral starts at the point of the cell that is nearest to the place of the density, and goes to both
ends in panels: of double width each time, or, towards an end of the support, of half the width. A panel takes a rule
of Gauss and Kronrod, and is halved until both agree. All sums are relative to the largest density that was met, whose
logarithm is kept, so nothing underflows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastkl.elementary import exp_or_zero, log
from fastkl.jit import block, buffer, buffers, tiled
from fastkl.kernels.scores import MOST, PAIRS, scores_at

KRONROD_NODES = np.array([
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851, 0.864864423359769072789712788640926,
    0.741531185599394439863864773280788, 0.586087235467691130294144691010385, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0,
])  # fmt: skip
"""Nodes of the rule of 15 points on [-1, 1] that are not negative; every second one is a node of Gauss's of 7."""
KRONROD_WEIGHTS = np.array([
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204, 0.104790010322250183839876322541518,
    0.140653259715525918745189590510238, 0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714,
])  # fmt: skip
GAUSS_WEIGHTS = np.array([
    0.129484966168869693270611432679082, 0.279705391489276667901467771423780, 0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
])  # fmt: skip


def _both_sides(half):
    """The rule on [-1, 1] from its part on [-1, 0]: the same numbers again, in reverse."""
    return np.concatenate([half, half[-2::-1]])


NODES = _both_sides(-KRONROD_NODES)
NODES[8:] *= -1.0
WEIGHTS = _both_sides(KRONROD_WEIGHTS)
DIFFERENCE = WEIGHTS.copy()
"""Weights of the difference of both rules."""
DIFFERENCE[1::2] -= _both_sides(GAUSS_WEIGHTS)

AGREE = 1e-9
"""Largest difference of both rules, in units of the integral: the error of the better one is then below 1e-14."""
NOISE, MOST_NOISE = 1e-13, 1e-2
"""Relative error of a density that its logarithm, a number rounded to 1e-16 of its size, may bring, and a limit."""
DEPTH = 50
"""Largest number of times that a panel is halved."""
MOST_HALVES = 1000
"""Largest number of parts of a panel that are looked at, for a density whose logarithm is too large to have digits."""
MOST_PANELS = 2100
"""Largest number of panels on the way to an end: the doubles have room for as many halvings."""
NARROW = 2.0**-40
"""Least width of a panel, in units of its distance from 0, so that its nodes differ."""
TINY = 1e-300
"""Distance from an end of the support at 0 at which the rest of a density is taken for a power of the distance."""
FARTHER = 2.0**400
"""Ratio of two distances that show the exponent of that power to 15 digits."""
NEGLIGIBLE = 1e-18
"""Share of the integral below which a panel ends the sum, if it has less than the panel before it."""

OUTPUTS = 1 + MOST + PAIRS
"""Number of rows for a cell: the logarithm of its mass, and means of scores and of their products and derivatives."""


@block
def _add(sums, x, of_q, weights, half, coordinates, top):
    """Add a panel to the sums, which are relative to exp(top)."""
    for i in range(x.size):
        share = half * weights[i] * exp_or_zero(of_q[0, i] - top)
        if share > 0.0:
            sums[0] += share
            at = 1 + coordinates
            for a in range(coordinates):
                sums[1 + a] += share * of_q[1 + a, i]
                for b in range(a, coordinates):
                    sums[at] += share * (of_q[1 + a, i] * of_q[1 + b, i] + of_q[at, i])
                    at += 1


@block
def _panel(scores, parameters, begin, end, top, coordinates, sums, x, of_q, stack):
    """Add the integral over a panel to *sums*, by halving it until the rules agree; the result is the new *top*."""
    stack[0, 0], stack[0, 1], stack[0, 2] = begin, end, 0.0
    count, evaluated = 1, 0
    while count > 0:
        count -= 1
        evaluated += 1
        left, right, depth = stack[count, 0], stack[count, 1], stack[count, 2]
        half, middle = 0.5 * (right - left), 0.5 * left + 0.5 * right
        for i in range(x.size):
            x[i] = middle + half * NODES[i]
        scores_at(scores, parameters, x, of_q)
        highest = top
        for i in range(x.size):
            highest = max(highest, of_q[0, i])
        if highest > top:
            shrink = exp_or_zero(top - highest)
            for k in range(sums.size):
                sums[k] *= shrink
            top = highest
        if top == -np.inf:
            continue
        integral, difference = 0.0, 0.0
        for i in range(x.size):
            value = half * exp_or_zero(of_q[0, i] - top)
            integral += WEIGHTS[i] * value
            difference += DIFFERENCE[i] * value
        tolerance = AGREE + min(NOISE * abs(top), MOST_NOISE)
        if abs(difference) <= tolerance * (sums[0] + integral) or depth >= DEPTH or evaluated >= MOST_HALVES:
            _add(sums, x, of_q, WEIGHTS, half, coordinates, top)
        else:
            stack[count, 0], stack[count, 1], stack[count, 2] = left, middle, depth + 1.0
            stack[count + 1, 0], stack[count + 1, 1], stack[count + 1, 2] = middle, right, depth + 1.0
            count += 2
    return top


@block
def _side(scores, parameters, begin, end, at_end, width, top, coordinates, sums, x, of_q, stack):
    """Add the integral from *begin* to *end*, on either side, to *sums*; the result is the new *top*.

    The panels grow from *width* on, or, if the support ends there (*at_end*), shrink with the distance from its end.
    """
    sign = 1.0 if end > begin else -1.0
    here, before = begin, 0.0
    for _ in range(MOST_PANELS):
        width = max(width, NARROW * abs(here))
        ahead = 0.5 * (here + end) if at_end else here + sign * width
        if not sign * ahead < sign * end:
            ahead = end
        if ahead == here:
            break
        known, top_before = sums[0], top
        top = _panel(scores, parameters, min(here, ahead), max(here, ahead), top, coordinates, sums, x, of_q, stack)
        shrink = exp_or_zero(top_before - top) if top > -np.inf else 1.0
        gained, before = sums[0] - known * shrink, before * shrink
        here, width = ahead, 2.0 * width
        if end == 0.0 and abs(here) < TINY and gained > NEGLIGIBLE * sums[0]:  # a power of x is left, to be integrated
            x[:], x[0] = here * FARTHER, here
            scores_at(scores, parameters, x, of_q)
            power = (of_q[0, 1] - of_q[0, 0]) / log(FARTHER)
            sums[0] += exp_or_zero(of_q[0, 0] - top) * abs(here) / (power + 1.0)
            break
        if here == end or top == -np.inf or (gained <= NEGLIGIBLE * sums[0] and gained < before):
            break
        before = gained
    return top


class Placed(NamedTuple):
    """A member of a family, as `cell_scores` takes it."""

    scores: int
    """Address of the function that gives log q and its derivatives."""
    parameters: Any
    coordinates: int
    """Number of scores that are wanted."""
    where: Any
    """The place, the scale, and the ends of the support."""
    lowest: float
    """Logarithm of a mass below which a cell in a tail counts as empty; -inf if every mass is wanted."""


@tiled(outputs=0)
def cell_scores(partial, start, stop, member, lower, upper, out):
    """Fill in, for the cells from *lower* to *upper*, the logarithm of the mass of q and the means of its scores there.

    The rows of *out* are the logarithm, the mean of each score, and those of each product of two scores plus their
    derivative, which are 0 if there is no mass.
    """
    x, of_q, sums, stack = buffer(NODES.size), buffers(OUTPUTS, NODES.size), buffer(OUTPUTS), buffers(DEPTH + 3, 3)
    scores, parameters, coordinates = member.scores, member.parameters, member.coordinates
    place, scale, first, last = member.where[0], member.where[1], member.where[2], member.where[3]
    for i in range(start, stop):
        left, right = max(lower[i], first), min(upper[i], last)
        for k in range(OUTPUTS):
            sums[k], out[k, i] = 0.0, 0.0
        out[0, i] = -np.inf
        if not left < right:
            continue
        near = min(max(place, left), right)
        if near != place and left > first and right < last and member.lowest > -np.inf:
            x[:] = near  # in a tail the density is largest there
            scores_at(scores, parameters, x, of_q)
            if of_q[0, 0] + log(right - left) < member.lowest:
                continue
        top = -np.inf
        if near < right:
            at_end = right == last and right < np.inf
            top = _side(scores, parameters, near, right, at_end, scale, top, coordinates, sums, x, of_q, stack)
        if near > left:
            at_end = left == first and left > -np.inf
            top = _side(scores, parameters, near, left, at_end, scale, top, coordinates, sums, x, of_q, stack)
        if sums[0] > 0.0:
            out[0, i] = top + log(sums[0])
            for k in range(1, OUTPUTS):
                out[k, i] = sums[k] / sums[0]
