"""The elementwise functions of `scipy.special`, with their special values."""

from __future__ import annotations

import numpy as np

from fastkl.elementary.fast_terms import ordinary_log_ratio
from fastkl.elementary.log_ratio import kl_term, log, log_ratio
from fastkl.jit import scalar


@scalar
def rel_entr(x, y):
    """x log(x/y); 0 for x = 0 <= y; inf where one is negative, and for y = 0 < x; NaN for a NaN."""
    if x > 0.0 and y > 0.0:
        return x * log_ratio(x, y)
    if x == 0.0 and y >= 0.0:
        return 0.0
    return np.nan if np.isnan(x) or np.isnan(y) else np.inf


@scalar
def kl_div(x, y):
    """x log(x/y) - x + y; inf where one is negative or infinite, and for y = 0 < x; NaN for a NaN or two infs."""
    if x >= 0.0 and y >= 0.0:
        return kl_term(x + 0.0, y + 0.0)  # -0 is 0
    return np.nan if np.isnan(x) or np.isnan(y) else np.inf


@scalar
def entr(x):
    """-x log(x); 0 for 0, -inf below and for inf; NaN for a NaN."""
    if x > 0.0:
        return -x * log(x)
    return 0.0 if x == 0.0 else np.nan if np.isnan(x) else -np.inf


@scalar
def ordinary_rel_entr(x, y):
    """x log(x/y), with the bits of `rel_entr`, for x and y from `TINY` to `LARGEST`, or 0."""
    value = x * ordinary_log_ratio(x, y)
    above_0 = np.inf if y == 0.0 else value
    return above_0 if x > 0.0 else 0.0


@scalar
def ordinary_entr(x):
    """-x log(x), with the bits of `entr`, for x from `TINY` to `LARGEST`, or 0."""
    value = -x * ordinary_log_ratio(x, 1.0)
    return value if x > 0.0 else 0.0
