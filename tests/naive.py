"""Slow, readable oracles: one beside every compiled function, in mpmath or with fsum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mpmath as mp

mp.mp.dps = 60


def log_ratio(p: float, q: float) -> mp.mpf:
    """log(p/q) for positive finite numbers."""
    return mp.log(mp.mpf(p) / mp.mpf(q))


def p_log_ratio(p: float, q: float) -> mp.mpf:
    """p log(p/q)."""
    return mp.mpf(p) * log_ratio(p, q)


def kl_term(p: float, q: float) -> mp.mpf:
    """p log(p/q) - p + q."""
    return p_log_ratio(p, q) - mp.mpf(p) + mp.mpf(q)


def exp(x: float) -> mp.mpf:
    """exp(x)."""
    return mp.exp(mp.mpf(x))


def kl_term_of_logs(log_p: float, log_q: float) -> mp.mpf:
    """p log(p/q) - p + q from exact logarithms."""
    a, b = mp.mpf(log_p), mp.mpf(log_q)
    return mp.exp(a) * (a - b) - mp.exp(a) + mp.exp(b)


def ulps(computed: float, exact: mp.mpf) -> float:
    """The error of *computed* in units of the last place of the exact value rounded to a double."""
    nearest = float(exact)
    if math.isinf(nearest) or math.isinf(computed):
        return 0.0 if computed == nearest else math.inf
    return float(abs(mp.mpf(computed) - exact) / mp.mpf(math.ulp(nearest)))


def relative(computed: float, exact: mp.mpf) -> float:
    """The relative error of *computed*."""
    return float(abs(mp.mpf(computed) - exact) / abs(exact))


def trapezoid_weights(x: Sequence[float]) -> list[mp.mpf]:
    """Half the distance between the neighbours of each node."""
    x = [mp.mpf(float(node)) for node in x]
    return [(x[min(i + 1, len(x) - 1)] - x[max(i - 1, 0)]) / 2 for i in range(len(x))]


def normal_pdf(x: mp.mpf, loc: float, scale: float) -> mp.mpf:
    """The Normal density."""
    z = (mp.mpf(x) - mp.mpf(loc)) / mp.mpf(scale)
    return mp.exp(-z * z / 2) / (mp.mpf(scale) * mp.sqrt(2 * mp.pi))


def conditional_kl(x: Sequence[float], a: Sequence[mp.mpf], b: Sequence[mp.mpf]) -> mp.mpf:
    """KL(a||b) of two lists of values at the nodes x, both normalised by the trapezoid rule."""
    w = trapezoid_weights(x)
    A, B = mp.fdot(w, a), mp.fdot(w, b)
    return mp.fsum(wi * ai / A * mp.log((ai / A) / (bi / B)) for wi, ai, bi in zip(w, a, b, strict=True) if ai)


def divergence(x: Sequence[float], a: Sequence[mp.mpf], b: Sequence[mp.mpf]) -> mp.mpf:
    """What `kl_divergence` is defined to be for two formulas: see its docstring."""
    w = trapezoid_weights(x)
    inside_a, inside_b = (min(mp.mpf(1), mp.fdot(w, values)) for values in (a, b))
    return conditional_kl(x, a, b) + max(mp.log(inside_a / inside_b), mp.mpf(0))
