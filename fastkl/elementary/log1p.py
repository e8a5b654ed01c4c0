"""log(1 + u), of the rounded sum 1 + u and a correction for the rounding."""

from __future__ import annotations

from fastkl.elementary.log_ratio import log
from fastkl.jit import scalar


@scalar
def log1p(u):
    """log(1 + u) for u >= -1, within 2 ulp."""
    total = 1.0 + u
    correction = (u - (total - 1.0)) / total
    correction = correction if correction - correction == 0.0 else 0.0  # not finite if 1 + u is 0 or inf
    return log(total) + correction
