"""Instances of each family, its log-density in mpmath, and its kernel function over arrays."""

from __future__ import annotations

import mpmath as mp
import numpy as np

from fastkl.densities.families import FAMILIES
from fastkl.jit import holes, instance, tiled

mp.mp.dps = 60

INSTANCES = {
    "laplace": [(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
    "logistic": [(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
    "student_t": [(1, 0, 1), (0.3, 2, 5), (1.5, -4, 0.1), (4, 1e3, 7), (2.5, 0, 1e-5), (30.5, 1, 2)],
    "gamma": [(1, 0, 1), (2.5, -1, 3), (0.4, 0, 2), (1e-3, 0, 1), (30, 100, 0.1), (1.001, 0, 1e-4)],
    "beta": [(1, 1), (2, 3), (1, 4), (4, 1), (0.5, 0.5), (1e-2, 3), (5, 0.1), (1, 0.3), (60, 20)],
    "log_normal": [(1, 1), (0.3, 5), (0.01, 1e3), (3, 1e-4), (10, 1)],
}
"""The parameters of ordinary instances, in the order of the constructor."""

EXTREME = {
    "student_t": [(300.0, 0, 1), (1e5, 0, 1), (1e10, 1, 2), (1e15, 0, 1)],
    "gamma": [(1e4, 0, 1), (1e6, 5, 1e-3), (1e10, 0, 1)],
    "beta": [(1e4, 3), (1, 1e5), (0.5, 1e6), (1e6, 1e6), (1e3, 1e8)],
    "log_normal": [(1e-4, 2)],
}
"""Where SciPy's own log-density loses digits."""


def cases(*tables):
    """(family, parameters) of all entries of the tables."""
    return [(name, parameters) for table in tables for name, entries in table.items() for parameters in entries]


def density(name, parameters):
    return FAMILIES[name](*parameters)


def naive_log_density(name, parameters):
    """The textbook's log-density as a function of an mpmath number inside the support."""
    return TEXTBOOK[name](*map(mp.mpf, map(float, parameters)))


def _laplace(loc, scale):
    return lambda x: -abs(x - loc) / scale - mp.log(2 * scale)


def _logistic(loc, scale):
    return lambda x: -abs(x - loc) / scale - mp.log(scale) - 2 * mp.log1p(mp.exp(-abs(x - loc) / scale))


def _student_t(df, loc, scale):
    half = (df + 1) / 2
    factor = mp.loggamma(half) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2 - mp.log(scale)
    return lambda x: factor - half * mp.log1p(((x - loc) / scale) ** 2 / df)


def _gamma(a, loc, scale):
    factor = -mp.loggamma(a) - a * mp.log(scale)
    return lambda x: factor + (a - 1) * mp.log(x - loc) - (x - loc) / scale


def _beta(a, b):
    factor = mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
    return lambda x: factor + (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x)


def _log_normal(s, scale):
    factor = -mp.log(2 * mp.pi) / 2 - mp.log(s)
    return lambda x: factor - mp.log(x) - (mp.log(x / scale) / s) ** 2 / 2


def _normal(loc, scale):
    return lambda x: -(((x - loc) / scale) ** 2) / 2 - mp.log(2 * mp.pi) / 2 - mp.log(scale)


TEXTBOOK = {
    "normal": _normal,
    "laplace": _laplace,
    "logistic": _logistic,
    "student_t": _student_t,
    "gamma": _gamma,
    "beta": _beta,
    "log_normal": _log_normal,
}


function = holes("function")


def _values(partial, start, stop, x, factor, loc, inverse_scale, first, second, out):
    x, out = x[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = function(x[i], factor, loc, inverse_scale, first, second)


_kernels = {}


def kernel_values(function, parameters, x):
    """A function of `fastkl.kernels.families` at the points x."""
    name = f"{function.__name__}_values"
    if name not in _kernels:
        _kernels[name] = tiled(outputs=0)(instance(_values, name, function=function))
    x = np.asarray(x, dtype=float)
    out = np.empty(x.shape)
    _kernels[name](x.size, x, *map(float, parameters), out)
    return out
