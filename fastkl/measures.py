"""The divergence of two normalised densities, from sums over the densities as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

CANCELLED = 0.25
"""Largest share of a sum that the correction for unequal masses may take; beyond it, q is scaled and summed again."""


def divergence_of_sums(total: Any, mass: Any, surplus: Any) -> tuple[Any, Any]:
    """(KL of the normalised densities, whether it has lost digits, so that q has to be scaled first).

    *total*, *mass* and *surplus* are S, P and D, the sums of the terms p log(p/q) - p + q, of p and of q - p. The
    divergence is S/P - phi(D/P). If the second part takes much of the first, or one of the masses P and Q is more
    than twice the other, the caller scales q by P/Q, which makes D about 0.
    """
    whole, relative = total / mass, surplus / mass
    if not (isinstance(surplus, float) or surplus.any()):
        return whole, np.zeros(np.shape(whole), bool)
    correction = phi(relative)
    return whole - correction, (correction > CANCELLED * whole) | (relative < -0.5) | (relative > 1.0)


def phi(u: Any) -> Any:
    """u - log(1 + u) >= 0 of a number or an array, without cancellation.

    It is inf for u = -1; for u < -1 it is inf for a number, and NaN in an array.

    log(1 + u) = 2 atanh(s) with s = u/(2 + u), and u - 2 s = u s.
    """
    if isinstance(u, float):
        if abs(u) > 0.1:
            return u - math.log1p(u) if -1.0 < u < math.inf else math.inf
        s = u / (2.0 + u)
        return u * s - _tail(s)
    with np.errstate(all="ignore"):
        s = u / (2.0 + u)
        near, far = u * s - _tail(s), np.abs(u) > 0.1
        return np.where(far, u - np.log1p(u), near) if np.any(far) else near


def _tail(s: Any) -> Any:
    """2 atanh(s) - 2 s for |s| <= 0.053."""
    z = s * s
    return s * z * (2 / 3 + z * (2 / 5 + z * (2 / 7 + z * (2 / 9 + z * (2 / 11 + z * 2 / 13)))))
