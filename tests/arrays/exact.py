"""Entropies and distances of arrays by their definition, in 60 digits: slow, readable oracles."""

from __future__ import annotations

from typing import Any

import mpmath as mp

mp.mp.dps = 60


def numbers(values: Any) -> list[mp.mpf]:
    """*values* as they are stored."""
    return [mp.mpf(float(v)) for v in values]


def normalised(values: list[mp.mpf], weights: list[mp.mpf] | None = None) -> list[mp.mpf]:
    """*values* divided by their sum, or by their weighted sum."""
    mass = mp.fsum(values) if weights is None else mp.fdot(weights, values)
    return [v / mass for v in values]


def kl(p: list[mp.mpf], q: list[mp.mpf], weights: list[mp.mpf] | None = None) -> mp.mpf:
    """KL(p||q) of the normalised numbers; inf where q is 0 and p is not."""
    w = weights or [mp.mpf(1)] * len(p)
    terms = zip(w, normalised(p, weights), normalised(q, weights), strict=True)
    return mp.fsum(mp.inf if b == 0 else c * a * mp.log(a / b) for c, a, b in terms if a * c)


def entropy(p: list[mp.mpf], weights: list[mp.mpf] | None = None) -> mp.mpf:
    """The Shannon entropy of the normalised numbers."""
    w = weights or [mp.mpf(1)] * len(p)
    return -mp.fsum(c * a * mp.log(a) for c, a in zip(w, normalised(p, weights), strict=True) if a)


def jensenshannon(p: list[mp.mpf], q: list[mp.mpf], weights: list[mp.mpf] | None = None) -> mp.mpf:
    """The Jensen-Shannon distance of the normalised numbers."""
    w = weights or [mp.mpf(1)] * len(p)
    total = mp.mpf(0)
    for c, a, b in zip(w, normalised(p, weights), normalised(q, weights), strict=True):
        m = (a + b) / 2
        total += c * mp.fsum(x * mp.log(x / m) for x in (a, b) if x)
    return mp.sqrt(total / 2)


def kl_of_logs(a: list[mp.mpf], b: list[mp.mpf]) -> mp.mpf:
    """KL(p||q) of the normalised exponentials of a and b; inf where b is -inf and a is not."""
    top_a, top_b = max(a), max(b)
    p, q = [mp.exp(x - top_a) for x in a], [mp.exp(y - top_b) for y in b]
    mass_p, mass_q = mp.fsum(p), mp.fsum(q)
    apart = mp.log(mass_p / mass_q) + top_a - top_b
    terms = zip(p, a, b, strict=True)
    return mp.fsum(mp.inf if y == -mp.inf else x * (u - y - apart) for x, u, y in terms if u > -mp.inf) / mass_p
