"""Mixtures of Normals, of any dimension: the sum over components of exp(factor - |z|**2/2), z = W (x - mean).

W is lower triangular, so the last coordinate enters the last entry of z alone: along a row a component is a Normal
of one dimension, with a factor and a location that depend on the row (`_along_row`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastkl.elementary import exp_or_zero, fast_exp, fma, log
from fastkl.elementary.exponential import LOWEST
from fastkl.jit import block, scalar
from fastkl.kernels.interfaces import BOUND, EVALUATE, REACH
from fastkl.kernels.records import EVEN, FACTOR, Evaluation, evaluation

NEGLIGIBLE = 37.0
"""Difference of exponents beyond which a summand does not count: exp(-37) is less than half an ulp of 1."""


LOG_COUNT = 0
"""Index of the logarithm of the number of components in the values of a record."""

LANES = 64
"""Number of points that a recurrence computes side by side."""

NARROW = 8.0
"""Longest run for a recurrence, in standard deviations: exp(-(k D)**2/2) is e**-32 at its end, no power is large."""


@scalar
def _exponent(x, factor, loc, inverse_scale):
    z = (x - loc) * inverse_scale
    return factor - 0.5 * z * z


@scalar
def _along_row(component, outer):
    """(factor, loc, inverse_scale) of a component on the row with the other coordinates *outer*."""
    inner, at = outer.size, outer.size + 2
    factor, z = component[FACTOR], 0.0
    for i in range(inner + 1):
        z = 0.0
        for j in range(min(i + 1, inner)):
            z += component[at + j] * (outer[j] - component[1 + j])
        at += i + 1
        if i < inner:
            factor -= 0.5 * z * z
    inverse_scale = component[at - 1]
    return factor, component[1 + inner] - z / inverse_scale, inverse_scale


@EVALUATE.implement
def log_normal_mixture(parts, components, values, nodes, outer, at, x, scratch, out):
    """The logarithm of a mixture of Normals.

    It is out + log(total) with the largest exponent in out, so nothing underflows; every further component
    costs one exp. A component that lies so far below the others over the whole run that its addition
    would round away costs nothing, and if one component is left there is no logarithm to take.
    """
    total = scratch
    negligible = NEGLIGIBLE + values[LOG_COUNT]
    left, right = x[0], x[-1]
    floor, ceiling, shared = -np.inf, -np.inf, False  # floor <= out <= ceiling
    for c in range(components.shape[0]):
        factor, loc, inverse_scale = _along_row(components[c], outer)
        lowest = min(_exponent(left, factor, loc, inverse_scale), _exponent(right, factor, loc, inverse_scale))
        highest = _exponent(min(max(loc, left), right), factor, loc, inverse_scale)
        if highest < floor - negligible:
            continue
        if lowest > ceiling + negligible:
            shared = False
            for i in range(x.size):
                out[i] = _exponent(x[i], factor, loc, inverse_scale)
                total[i] = 1.0
        else:
            shared = True
            for i in range(x.size):
                exponent = _exponent(x[i], factor, loc, inverse_scale)
                lead = out[i] - exponent
                ratio = exp_or_zero(-abs(lead))
                total[i] = total[i] + ratio if lead >= 0.0 else total[i] * ratio + 1.0
                out[i] = out[i] if lead >= 0.0 else exponent
        floor, ceiling = max(floor, lowest), max(ceiling, highest)
    if shared:
        for i in range(x.size):
            out[i] += log(total[i])


@block
def _add(factor, z, step, out):
    """Add exp(factor - z_i**2/2), z_i = z + i step, to out[i], by an exp for each point."""
    for i in range(out.size):
        z_i = z + i * step
        out[i] += fast_exp(fma(-0.5 * z_i, z_i, factor))


@block
def _add_by_recurrence(factor, z, step, scratch, out):
    """Add exp(factor - z_i**2/2), z_i = z + i step, to out[i], by two multiplications for each point.

    With i = k LANES + l and D = LANES step this is exp(factor - z_l**2/2) exp(-z_l D)**k exp(-(k D)**2/2). Only the
    powers are made step by step, so that rounding costs an ulp for each of the at most 16 steps, and the argument
    z_l D of the ratio costs as much as z_i**2/2 does in `_add`.
    """
    stride = LANES * step
    power, ratio, falling = scratch[:LANES], scratch[LANES : 2 * LANES], scratch[2 * LANES : 3 * LANES]
    for i in range(LANES):
        z_i = z + i * step
        power[i] = fast_exp(fma(-0.5 * z_i, z_i, factor))
        ratio[i] = fast_exp(-z_i * stride)
        falling[i] = fast_exp(-0.5 * (i * stride) * (i * stride))
    whole = out.size // LANES
    for k in range(whole):
        fallen = falling[k]
        for i in range(LANES):
            out[k * LANES + i] += power[i] * fallen
            power[i] *= ratio[i]
    rest = out[whole * LANES :]
    for i in range(rest.size):
        rest[i] += power[i] * falling[whole]


@EVALUATE.implement
def normal_mixture(parts, components, values, nodes, outer, at, x, scratch, out):
    """The density of a mixture of Normals, if it does not overflow; a value below 1e-304 may be as large as that.

    A component that does not count costs nothing. Any other costs two multiplications a point if the points
    are equally spaced and close, and else an exp.
    """
    for i in range(x.size):
        out[i] = 0.0
    negligible = NEGLIGIBLE + values[LOG_COUNT]
    left, right = x[0], x[-1]
    floor = -np.inf
    for c in range(components.shape[0]):
        factor, loc, inverse_scale = _along_row(components[c], outer)
        highest = _exponent(min(max(loc, left), right), factor, loc, inverse_scale)
        if highest < floor - negligible:
            continue
        lowest = min(_exponent(left, factor, loc, inverse_scale), _exponent(right, factor, loc, inverse_scale))
        floor = max(floor, lowest)
        if at[EVEN] == 0 or x.size == 1:
            for i in range(x.size):
                out[i] += fast_exp(_exponent(x[i], factor, loc, inverse_scale))
            continue
        step = (right - left) * inverse_scale / (x.size - 1)
        z = (left - loc) * inverse_scale
        together = int(NARROW / step) // LANES * LANES
        if together < 4 * LANES or lowest < LOWEST:
            _add(factor, z, step, out)
        else:
            for begin in range(0, x.size, together):
                part = out[begin : min(begin + together, x.size)]
                _add_by_recurrence(factor, z + begin * step, step, scratch, part)


@BOUND.implement
def normal_mixture_bounds(parts, components, values, nodes, lower, upper, out):
    """Bounds of a mixture of Normals from those of the entries of z, each by itself: exact on a row, else wider."""
    D = lower.size
    floor, ceiling = -np.inf, -np.inf
    for c in range(components.shape[0]):
        component = components[c]
        least, most, at = 0.0, 0.0, 1 + D
        for i in range(D):
            low, high = 0.0, 0.0
            for j in range(i + 1):
                entry = component[at + j]
                one, other = entry * (lower[j] - component[1 + j]), entry * (upper[j] - component[1 + j])
                low += min(one, other)
                high += max(one, other)
            at += i + 1
            nearest = max(low, -high, 0.0)
            farthest = max(-low, high)
            least += nearest * nearest
            most += farthest * farthest
        floor, ceiling = max(floor, component[FACTOR] - 0.5 * most), max(ceiling, component[FACTOR] - 0.5 * least)
    out[0], out[1] = floor, ceiling + values[LOG_COUNT]


@REACH.implement
def normal_mixture_reach(parts, components, values, nodes, outer, level, out):
    """Reach of a mixture of Normals: the interval outside which every component is below its share of the level."""
    left, right = np.inf, -np.inf
    for c in range(components.shape[0]):
        factor, loc, inverse_scale = _along_row(components[c], outer)
        excess = factor - level + values[LOG_COUNT]
        if excess > 0.0:
            distance = np.sqrt(2.0 * excess) / inverse_scale
            left, right = min(left, loc - distance), max(right, loc + distance)
    out[0], out[1] = left, right


def evaluation_of_normals(components: Sequence[Sequence[float]]) -> Evaluation:
    """The evaluation of a mixture of Normals, from the rows of its components."""
    return evaluation(
        log_normal_mixture,
        components,
        others=(normal_mixture, normal_mixture_bounds, normal_mixture_reach),
        values=np.array([math.log(len(components))]),
    )
