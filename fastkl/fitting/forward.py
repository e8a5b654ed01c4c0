"""The forward fit of a Normal: the moments of p, which one pass gives.

KL(p||q) is a constant minus E[log q] under p; its gradient in (loc/scale, log(scale)) is
-(E z, E z**2 - 1) with z = (x - loc)/scale, and its Hessian at the moments is diag(1, 2).
"""

from __future__ import annotations

import numpy as np

from fastkl.densities.summary import Summary
from fastkl.fitting.point import CONVERGED, STALLED, Point


def moment_match(summary: Summary, gtol: float) -> Point:
    """The Normal with the mean and the standard deviation of p."""
    _, mean, std = summary.moments()
    if not std > 0.0:
        raise ValueError(f"p sits on the single grid point x = {mean:.6g}, which no Normal has as its only value")
    # what rounding has left of the two conditions, seen from the other end: the moments about the fit
    shift, spread = summary.moments_about(mean, std)
    gradient = np.array([-shift, 1.0 - spread])
    hessian = np.array([[1.0, 2.0 * shift], [2.0 * shift, 2.0 * spread]])
    point = Point(mean, std, np.nan, gradient, hessian)
    return point.ended(CONVERGED if point.is_minimum(gtol) else STALLED, nit=0)
