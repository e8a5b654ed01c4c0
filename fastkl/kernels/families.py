"""The log-density of each family at a point, as LLVM vectorises it.

All functions have the same arguments, with z = (x - loc) * inverse_scale: `factor` is the constant, and `first` and
`second` are the shape parameters. The log-density is -inf outside the support and for an infinite x, and NaN for NaN.

The constant of a `gamma` or `beta` with a mode inside the support is the log-density at the mode, and the rest is
a non-negative KL term. The textbook's normaliser and powers would be huge numbers that cancel: at
a = b = 1e6 ten digits would be lost.
"""

from __future__ import annotations

import numpy as np

from fastkl.elementary import exp_or_zero, kl_term, log, log_ratio
from fastkl.jit import scalar

FAR = 2.0**60
"""Number beyond which log(1 + u**2) is 2 log(1 + u) to the last place, and u**2 may overflow."""


@scalar
def log1p(u):
    """log(1 + u) for u >= -1: the logarithm of the rounded sum, and a correction for the rounding."""
    total = 1.0 + u
    correction = (u - (total - 1.0)) / total
    correction = correction if correction - correction == 0.0 else 0.0  # not finite if 1 + u is 0 or inf
    return log(total) + correction


@scalar
def normal(x, factor, loc, inverse_scale, first, second):
    """Log-density of a Normal: factor - z**2/2."""
    z = (x - loc) * inverse_scale
    return factor - 0.5 * z * z


@scalar
def laplace(x, factor, loc, inverse_scale, first, second):
    """Log-density of a Laplace distribution: factor - |z|."""
    return factor - abs((x - loc) * inverse_scale)


@scalar
def logistic(x, factor, loc, inverse_scale, first, second):
    """Log-density of a logistic distribution: factor - |z| - 2 log(1 + exp(-|z|))."""
    distance = abs((x - loc) * inverse_scale)
    return factor - distance - 2.0 * log1p(exp_or_zero(-distance))


@scalar
def student_t(x, factor, loc, inverse_scale, first, second):
    """Log-density of a Student t distribution: factor - (df + 1)/2 log(1 + z**2/df), df = `first`."""
    u = abs((x - loc) * inverse_scale) * (1.0 / np.sqrt(first))
    far = u > FAR
    return factor - 0.5 * (first + 1.0) * (2.0 if far else 1.0) * log1p(u if far else u * u)


@scalar
def gamma(x, factor, loc, inverse_scale, first, second):
    """Log-density of a gamma distribution: factor - [m log(m/z) - m + z], m = a - 1, a = `first`.

    For a < 1 it is factor - [z - m log z].
    """
    z = (x - loc) * inverse_scale + 0.0  # turns -0 into 0
    m = first - 1.0
    distance = kl_term(m, z) if m >= 0.0 else z - m * log(z)
    distance = np.inf if z < 0.0 else distance
    return factor - distance


@scalar
def _product(power, logarithm):
    return 0.0 if power == 0.0 else power * logarithm  # not 0 * -inf


@scalar
def beta(x, factor, loc, inverse_scale, first, second):
    """Log-density of a beta distribution: factor - [m log(m/(n z)) + k log(k/(n (1 - z)))], n = m + k.

    m = a - 1 and k = b - 1 with a = `first` and b = `second`. For a < 1 or b < 1 it is
    factor + m log z + k log(1 - z).
    """
    z = (x - loc) * inverse_scale + 0.0  # turns -0 into 0
    m, k = first - 1.0, second - 1.0
    n, rest = m + k, 1.0 - z
    if min(m, k) >= 0.0:
        distance = kl_term(m, n * z) + kl_term(k, n * rest)
    else:
        distance = -(_product(m, log(z)) + _product(k, log1p(-z)))
    distance = np.inf if (z < 0.0) | (z > 1.0) else distance
    return factor - distance


@scalar
def log_normal(x, factor, loc, inverse_scale, first, second):
    """Log-density of a log-normal: factor - l - (l/s)**2/2, l = log((x - loc)/scale), s = `first`, scale = `second`."""
    position = x - loc
    logarithm = log_ratio(position, second)
    z = logarithm * (1.0 / first)
    distance = np.inf if position <= 0.0 else logarithm + 0.5 * z * z
    return factor - distance
