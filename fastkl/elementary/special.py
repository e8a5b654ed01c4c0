"""The elementwise functions of `scipy.special`, with their special values."""

from __future__ import annotations

import numpy as np

from fastkl.elementary.fast_terms import ordinary_log_ratio
from fastkl.elementary.log_ratio import kl_term, log, log_ratio
from fastkl.jit import scalar


@scalar
def rel_entr(x, y):
    """x log(x/y); 0 for x = 0 <= y; inf for y = 0 < x and if one is negative; NaN if one is NaN."""
    if x > 0.0 and y > 0.0:
        return x * log_ratio(x, y)
    if x == 0.0 and y >= 0.0:
        return 0.0
    return np.nan if np.isnan(x) or np.isnan(y) else np.inf


@scalar
def kl_div(x, y):
    """x log(x/y) - x + y; inf for y = 0 < x and if one is negative or inf; NaN if one is NaN or both are inf."""
    if x >= 0.0 and y >= 0.0:
        return kl_term(x + 0.0, y + 0.0)  # turns -0 into 0
    return np.nan if np.isnan(x) or np.isnan(y) else np.inf


@scalar
def entr(x):
    """-x log(x); 0 for x = 0, -inf for x < 0 and x = inf, NaN for a NaN."""
    if x > 0.0:
        return -x * log(x)
    return 0.0 if x == 0.0 else np.nan if np.isnan(x) else -np.inf


@scalar
def ordinary_rel_entr(x, y):
    """x log(x/y), bit for bit as `rel_entr`, for x and y that are 0 or from `TINY` to `LARGEST`."""
    value = x * ordinary_log_ratio(x, y)
    above_0 = np.inf if y == 0.0 else value
    return above_0 if x > 0.0 else 0.0


@scalar
def ordinary_entr(x):
    """-x log(x), bit for bit as `entr`, for an x that is 0 or from `TINY` to `LARGEST`."""
    value = -x * ordinary_log_ratio(x, 1.0)
    return value if x > 0.0 else 0.0
