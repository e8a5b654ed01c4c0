"""The table of references of the families on the line: formulas in mpmath, instances, and grids for fits.

A family is tested through its entry here; every test of families goes over the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np

from fastkl import Grid
from fastkl.families import FAMILIES
from fastkl.jit import JIT_DISABLED, holes, instance, tiled

mp.mp.dps = 60

FEWER = 8 if JIT_DISABLED else 1
"""Divisor of numbers of nodes, which take seconds in plain Python."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Reference:
    """The reference of a family; parameters are in the order of the constructor."""

    log_density: Callable[..., Callable[[Any], Any]]
    """The textbook's log-density: a function of the parameters that gives one of x, inside the support."""
    below: Callable[..., Any]
    """The probability of less than x, a function of x and the parameters by name."""
    instances: Sequence[Numbers]
    """Ordinary members."""
    tame: Sequence[Numbers]
    """Three members whose divergences from one another the textbook's quadrature reaches."""
    member: Numbers
    """A member that is fitted to its own values on `grid`."""
    grid: Grid
    shape: Numbers
    """A member whose sum over `grid_of_shape` is not above 1: it is flat at the ends, or the grid cuts them."""
    grid_of_shape: Grid
    scored: Sequence[Numbers]
    """Two members for sums of scores, on [-6, 7], or on (0, 1) for a family on the half-line or on that interval."""
    step: float = 0.01
    """Step of central differences: its sixth power times an eighth derivative of the divergence is below 1e-9."""
    extreme: Sequence[Numbers] = ()
    """Members at which SciPy's log-density loses digits."""
    statistics: Callable[..., tuple[Any, Any]] | None = None
    """Sufficient statistics as functions of x and the parameters, if the family is exponential."""
    at_ends: Numbers = ()
    """A member that is 0 at 0, for sums of statistics."""
    divergence: Callable[..., Any] | None = None
    """The textbook's divergence: a function of the parameters of p and then of q; None if there is no formula."""
    pairs: Sequence[tuple[Numbers, Numbers]] = ()
    """Pairs of members for the formula."""
    moments: Callable[..., tuple[Any, Any, Any]] | None = None
    """Entropy, mean and variance, if there is a formula for the divergence from a Normal."""
    to_normal: Sequence[tuple[Numbers, Numbers]] = ()
    """Pairs of a member and a Normal for that formula."""


def cases(*tables: str) -> list[tuple[str, Numbers]]:
    """(family, parameters) of all entries of the named fields."""
    return [(name, p) for name, reference in REFERENCES.items() for table in tables for p in getattr(reference, table)]


def density(name: str, parameters: Numbers) -> Any:
    return FAMILIES[name](*parameters)


def naive_log_density(name: str, parameters: Numbers) -> Callable[[Any], Any]:
    """The textbook's log-density as a function of an mpmath number inside the support."""
    return REFERENCES[name].log_density(*map(mp.mpf, map(float, parameters)))


def _normal(loc, scale):
    return lambda x: -(((x - loc) / scale) ** 2) / 2 - mp.log(2 * mp.pi) / 2 - mp.log(scale)


def _laplace(loc, scale):
    return lambda x: -abs(x - loc) / scale - mp.log(2 * scale)


def _logistic(loc, scale):
    return lambda x: -abs(x - loc) / scale - mp.log(scale) - 2 * mp.log1p(mp.exp(-abs(x - loc) / scale))


def _moments_of_t(df, loc, scale):
    """Entropy, mean and variance."""
    half = df / 2
    entropy = (half + mp.mpf(0.5)) * (mp.psi(0, half + mp.mpf(0.5)) - mp.psi(0, half)) + mp.log(
        mp.sqrt(df) * mp.beta(half, 0.5)
    )
    return entropy + mp.log(scale), loc, scale**2 * df / (df - 2)


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


def _symmetric(tail):
    """The distribution function of a symmetric density from the tail of z >= 0, with digits where it is small."""

    def below(x, loc, scale, **shape):
        share = tail(abs(x - loc) / scale, **shape)
        return share if x < loc else 1 - share

    return below


def _tail_of_t(z, df):
    return mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + z * z), regularized=True) / 2


def _normal_divergence(m, s, loc, scale):
    return mp.log(scale / s) + (s**2 + (m - loc) ** 2) / (2 * scale**2) - mp.mpf(1) / 2


def _laplace_divergence(m, s, loc, scale):
    d = abs(m - loc)
    return mp.log(scale / s) + (s * mp.exp(-d / s) + d) / scale - 1


def _gamma_divergence(a, _, s, shape, __, scale):
    powers = (a - shape) * mp.psi(0, a) - mp.loggamma(a) + mp.loggamma(shape)
    return powers + shape * mp.log(scale / s) + a * (s - scale) / scale


def _log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def _beta_divergence(a, b, c, d):
    powers = (a - c) * mp.psi(0, a) + (b - d) * mp.psi(0, b) + (c - a + d - b) * mp.psi(0, a + b)
    return _log_beta(c, d) - _log_beta(a, b) + powers


def _log_normal_divergence(s, scale, s_q, scale_q):
    return _normal_divergence(mp.log(scale), s, mp.log(scale_q), s_q)


def _laplace_moments(loc, scale):
    return 1 + mp.log(2 * scale), loc, 2 * scale**2


def _gamma_moments(a, loc, scale):
    entropy = a + mp.log(scale) + mp.loggamma(a) + (1 - a) * mp.psi(0, a)
    return entropy, loc + a * scale, a * scale**2


def _inverse_gamma_moments(a, loc, scale):
    entropy = a + mp.log(scale) + mp.loggamma(a) - (1 + a) * mp.psi(0, a)
    return entropy, loc + scale / (a - 1), scale**2 / ((a - 1) ** 2 * (a - 2))


def _beta_moments(a, b):
    c = a + b
    entropy = _log_beta(a, b) - (a - 1) * mp.psi(0, a) - (b - 1) * mp.psi(0, b) + (c - 2) * mp.psi(0, c)
    return entropy, a / c, a * b / (c**2 * (c + 1))


def _gumbel_divergence(m, s, loc, scale):
    r = s / scale
    return -mp.log(r) + mp.euler * (r - 1) + (m - loc) / scale + mp.exp((loc - m) / scale) * mp.gamma(1 + r) - 1


def _weibull_divergence(k, _, s, c, __, scale):
    powers = mp.log(k / s**k) - mp.log(c / scale**c) + (k - c) * (mp.log(s) - mp.euler / k)
    return powers + (s / scale) ** c * mp.gamma(c / k + 1) - 1


def _weibull_moments(c, loc, scale):
    first, second = (mp.gamma(1 + k / c) for k in (1, 2))
    entropy = mp.euler * (1 - 1 / c) + mp.log(scale / c) + 1
    return entropy, loc + scale * first, scale**2 * (second - first**2)


def _log_t_over_c(c, z):
    """log(1 + c z)/c; inf beyond the end of the support."""
    return z if c == 0 else mp.log1p(c * z) / c if c * z > -1 else mp.inf


def _generalized_pareto(c, loc, scale):
    return lambda x: -mp.log(scale) - (1 + c) * _log_t_over_c(c, (x - loc) / scale)


def _pareto_divergence(c, _, s, of_q, __, scale):
    """From an exponential density: minus the entropy, and the mean of -log q."""
    assert of_q == 0
    return -mp.log(s) - c - 1 + mp.log(scale) + s / (1 - c) / scale


CLOSE = 1.0 + 1e-6

WIDE_LINE = Grid.uniform(-14, 14, 401)
HALF_LINE = Grid.from_edges(np.linspace(0, 40, 501))


def _squares(end: float) -> Grid:
    """A grid from 0 to *end* whose cells grow."""
    return Grid.from_edges(np.linspace(0, np.sqrt(end), 2000 // FEWER) ** 2)


REFERENCES = {
    "normal": Reference(
        _normal,
        _symmetric(lambda z: mp.erfc(z / mp.sqrt(2)) / 2),
        instances=[(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
        tame=[(0, 1), (1, 2), (-0.5, 0.1)],
        member=(1, 2),
        grid=Grid.uniform(-25, 27, 1200 // FEWER),
        shape=(0.3, 1.7),
        grid_of_shape=WIDE_LINE,
        scored=(),
        divergence=_normal_divergence,
        pairs=[
            ((0, 1), (1, 2)),
            ((0, 1), (0, 1e-3)),
            ((0, 1e-3), (3, 10)),
            ((1, 2), (1, 2 * CLOSE)),
            ((1, 2), (CLOSE, 2)),
            ((1, 2), (CLOSE, 2 / CLOSE)),
        ],
    ),
    "laplace": Reference(
        _laplace,
        _symmetric(lambda z: mp.exp(-z) / 2),
        instances=[(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
        tame=[(0, 1), (1, 2), (-0.5, 0.1)],
        member=(1, 2),
        grid=Grid.uniform(-79, 81, 3200 // FEWER),
        shape=(0.3, 1.3),
        grid_of_shape=Grid.uniform(-30, 30, 301),  # 0.3 is between the nodes 0.2 and 0.4
        scored=[(0.31, 0.8), (1.2, 0.4)],
        divergence=_laplace_divergence,
        pairs=[
            ((0, 1), (1, 2)),
            ((0, 1), (10, 0.3)),
            ((0, 0.01), (0.5, 20)),
            ((1, 2), (1, 2 * CLOSE)),
            ((1, 2), (CLOSE, 2)),
            ((1, 2), (CLOSE, 2 / CLOSE)),
            ((1, 2), (2.9, 2)),
            ((1, 2), (3.1, 2)),
        ],
        moments=_laplace_moments,
        to_normal=[((0, 1), (0, 2**0.5)), ((0, 1), (3, 0.5)), ((0, 1), (CLOSE, 20)), ((5, 0.01), (5, 1))],
    ),
    "logistic": Reference(
        _logistic,
        _symmetric(lambda z: 1 / (1 + mp.exp(z))),
        instances=[(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
        tame=[(0, 1), (1, 2), (-0.5, 0.1)],
        member=(1, 2),
        grid=Grid.uniform(-69, 71, 1400 // FEWER),
        shape=(0.3, 1.1),
        grid_of_shape=WIDE_LINE,
        scored=[(0.31, 0.8), (1.2, 0.4)],
    ),
    "gumbel": Reference(
        lambda loc, scale: lambda x: -mp.log(scale) - (x - loc) / scale - mp.exp((loc - x) / scale),
        lambda x, loc, scale: mp.exp(-mp.exp((loc - x) / scale)),
        instances=[(0, 1), (1.5, 0.3), (-1e3, 20.0), (1e-3, 1e-6)],
        tame=[(0, 1), (1, 2), (-0.5, 0.7)],
        member=(1, 2),
        grid=Grid.uniform(-9, 81, 1400 // FEWER),
        shape=(0.3, 1.1),
        grid_of_shape=Grid.uniform(-4, 24, 401),
        scored=[(0.31, 0.8), (1.2, 0.9)],
        divergence=_gumbel_divergence,
        pairs=[
            ((0, 1), (1, 2)),
            ((0, 1), (5, 0.3)),
            ((0, 0.01), (0.5, 20)),
            ((3, 1), (0, 4)),
            ((1, 2), (1, 2 * CLOSE)),
            ((1, 2), (CLOSE, 2)),
            ((1, 2), (CLOSE, 2 / CLOSE)),
            ((1, 2 / CLOSE), (CLOSE, 2)),
        ],
        moments=lambda loc, scale: (mp.log(scale) + mp.euler + 1, loc + mp.euler * scale, (mp.pi * scale) ** 2 / 6),
        to_normal=[((0, 1), (0.6, 1.3)), ((0, 1), (3, 0.5)), ((0, 1), (CLOSE, 20)), ((5, 0.01), (5, 1))],
    ),
    "student_t": Reference(
        _student_t,
        _symmetric(_tail_of_t),
        instances=[(1, 0, 1), (0.3, 2, 5), (1.5, -4, 0.1), (4, 1e3, 7), (2.5, 0, 1e-5), (30.5, 1, 2)],
        extreme=[(300.0, 0, 1), (1e5, 0, 1), (1e10, 1, 2), (1e15, 0, 1)],
        tame=[(2, 0, 1), (3, 1, 2), (10, 0, 0.5)],
        member=(5, 1, 2),
        grid=Grid.uniform(-60, 62, 2400 // FEWER),
        shape=(5, 0.3, 1.1),
        grid_of_shape=WIDE_LINE,
        scored=[(1.5, 0.31, 0.8), (30.0, 1.2, 0.4)],
        moments=_moments_of_t,
        to_normal=[((12, 1, 2), (0, 4)), ((30, 0, 1), (0, 1.02)), ((39.9, 0, 1), (0, 1.02)), ((1e4, 0, 1), (0, 1))],
    ),
    "gamma": Reference(
        _gamma,
        lambda x, a, loc, scale: mp.gammainc(a, 0, (x - loc) / scale, regularized=True),
        instances=[(1, 0, 1), (2.5, -1, 3), (0.4, 0, 2), (1e-3, 0, 1), (30, 100, 0.1), (1.001, 0, 1e-4)],
        extreme=[(1e4, 0, 1), (1e6, 5, 1e-3), (1e10, 0, 1)],
        tame=[(1, 0, 1), (2.5, 0, 3), (40, 0, 0.1)],
        member=(3, 0, 2),
        grid=_squares(90),
        shape=(3.5, 0, 1.8),
        grid_of_shape=HALF_LINE,
        scored=[(0.4, 0, 2.0), (30.0, 0, 0.05)],
        at_ends=(3.4, 0, 0.2),
        statistics=lambda x, a, loc, scale: (np.log(x / (a * scale)), x / (a * scale) - 1),
        divergence=_gamma_divergence,
        pairs=[
            ((2, 0, 1), (3, 0, 2)),
            ((0.5, 0, 1), (0.1, 0, 3)),
            ((0.3, 0, 2), (30, 0, 0.1)),
            ((30, 0, 1), (0.3, 0, 4)),
            ((2, 1, 3), (2 * CLOSE, 1, 3)),
            ((2, 1, 3), (2, 1, 3 * CLOSE)),
            ((2, 1, 3), (2 * CLOSE, 1, 3 / CLOSE)),
            ((0.4, 0, 3), (0.4 * CLOSE, 0, 3 * CLOSE)),
            ((1e3, 0, 1), (1e3 * CLOSE, 0, 1 / CLOSE)),
            ((1e3, 0, 1), (1e3 * CLOSE, 0, CLOSE)),
            ((1e4, 0, 1), (1.1e4, 0, 0.9)),
        ],
        moments=_gamma_moments,
        to_normal=[
            ((2, 0, 1), (2, 2**0.5)),
            ((0.2, 1, 3), (0, 4)),
            ((7.9, 0, 1), (8, 3)),
            ((8.1, 0, 1), (8.1, 8.1**0.5)),
            ((1e4, 0, 1), (1e4, 100)),
            ((1, 0, 1), (50, 0.7)),
        ],
    ),
    "inverse_gamma": Reference(
        lambda a, loc, scale: (
            lambda x: a * mp.log(scale) - mp.loggamma(a) - (a + 1) * mp.log(x - loc) - scale / (x - loc)
        ),
        lambda x, a, loc, scale: mp.gammainc(a, scale / (x - loc), mp.inf, regularized=True),
        instances=[(1, 0, 1), (2.5, -1, 3), (0.4, 0, 2), (30, 100, 0.1), (1.001, 0, 1e-4)],
        extreme=[(1e4, 0, 1), (1e6, 0, 1e-3)],
        tame=[(3, 0, 1), (4, 0, 3), (40, 0, 50)],
        member=(5, 0, 3),
        grid=_squares(400),
        shape=(3.5, 0, 15),
        grid_of_shape=HALF_LINE,
        scored=[(0.4, 0, 0.3), (30.0, 0, 15.0)],
        at_ends=(3.4, 0, 0.8),
        statistics=lambda x, a, loc, scale: (np.log(scale / a / x), scale / a / x - 1),
        divergence=lambda a, _, s, shape, __, scale: _gamma_divergence(a, _, 1 / s, shape, __, 1 / scale),
        pairs=[
            ((2, 0, 1), (3, 0, 2)),
            ((0.5, 0, 1), (0.1, 0, 3)),
            ((0.3, 0, 2), (30, 0, 0.1)),
            ((2, 1, 3), (2 * CLOSE, 1, 3)),
            ((2, 1, 3), (2, 1, 3 * CLOSE)),
            ((2, 1, 3), (2 * CLOSE, 1, 3 * CLOSE)),
            ((1e3, 0, 1), (1e3 * CLOSE, 0, CLOSE)),
        ],
        moments=_inverse_gamma_moments,
        to_normal=[
            ((3, 0, 1), (0.5, 0.5)),
            ((7.9, 0, 1), (0.1, 0.3)),
            ((8.1, 1, 3), (1.4, 0.2)),
            ((1e4, 0, 1e4), (1, 0.1)),
            ((5, 0, 1), (50, 0.7)),
        ],
    ),
    "beta": Reference(
        _beta,
        lambda x, a, b: mp.betainc(a, b, 0, x, regularized=True),
        instances=[(1, 1), (2, 3), (1, 4), (4, 1), (0.5, 0.5), (1e-2, 3), (5, 0.1), (1, 0.3), (60, 20)],
        extreme=[(1e4, 3), (1, 1e5), (0.5, 1e6), (1e6, 1e6), (1e3, 1e8)],
        tame=[(1, 1), (2, 5), (40, 20)],
        member=(2, 3),
        grid=Grid.from_edges(np.linspace(0, 1, 2000 // FEWER)),
        shape=(3.5, 4.8),
        grid_of_shape=Grid.from_edges(np.linspace(0.02, 0.97, 401)),
        scored=[(0.3, 2.5), (20.0, 4.0)],
        at_ends=(3.0, 4.0),
        statistics=lambda x, a, b: (np.log(x / a * (a + b)), np.log((1 - x) / b * (a + b))),
        divergence=_beta_divergence,
        pairs=[
            ((2, 3), (3, 2)),
            ((0.5, 0.5), (2, 1)),
            ((2, 1), (0.3, 4)),
            ((30, 5), (3, 0.5)),
            ((2, 3), (2 * CLOSE, 3)),
            ((2, 3), (2, 3 * CLOSE)),
            ((2, 3), (2 * CLOSE, 3 * CLOSE)),
            ((2, 3), (2 * CLOSE, 3 / CLOSE)),
            ((0.5, 0.4), (0.5 * CLOSE, 0.4)),
            ((300, 200), (300 * CLOSE, 200 * CLOSE)),
            ((300, 2), (300 * CLOSE, 2 / CLOSE)),
            ((5e4, 4e4), (0.01, 0.07)),
        ],
        moments=_beta_moments,
        to_normal=[
            ((2, 3), (0.4, 0.2)),
            ((0.5, 0.3), (0.5, 0.4)),
            ((1, 1), (0.5, 12**-0.5)),
            ((300, 20), (0.93, 0.015)),
            ((40, 40), (0.5, 0.055)),
            ((2, 5), (3, 0.4)),
            ((1e5, 2), (1.0, 1.5e-5)),
        ],
    ),
    "log_normal": Reference(
        _log_normal,
        lambda x, s, scale: mp.erfc(-mp.log(x / scale) / s / mp.sqrt(2)) / 2 if x else mp.mpf(0),
        instances=[(1, 1), (0.3, 5), (0.01, 1e3), (3, 1e-4), (10, 1)],
        extreme=[(1e-4, 2)],
        tame=[(0.5, 1), (1, 2), (0.1, 1.5)],
        member=(0.5, 3),
        grid=_squares(100),
        shape=(0.6, 5),
        step=0.006,  # of log(scale), in units of s
        grid_of_shape=HALF_LINE,
        scored=[(0.5, 0.5), (1.5, 1.2)],
        at_ends=(0.5, 0.5),
        statistics=lambda x, s, scale: (np.log(x / scale) / s, (np.log(x / scale) / s) ** 2),
        divergence=_log_normal_divergence,
        pairs=[
            ((0.5, 2), (1, 3)),
            ((1, 1), (0.2, 1.5)),
            ((0.5, 2), (0.5 * CLOSE, 2)),
            ((0.5, 2), (0.5, 2 * CLOSE)),
            ((0.01, 2), (0.01 / CLOSE, 2 * CLOSE)),
        ],
    ),
    "weibull": Reference(
        lambda c, loc, scale: (
            lambda x: mp.log(c / scale) + (c - 1) * mp.log((x - loc) / scale) - ((x - loc) / scale) ** c
        ),
        lambda x, c, loc, scale: -mp.expm1(-(((x - loc) / scale) ** c)),
        instances=[(1, 0, 1), (2.5, -1, 3), (0.4, 0, 2), (30, 0, 0.1), (1.001, 0, 1e-4)],
        extreme=[(1e4, 0, 1), (1e6, 0, 1e-3)],
        tame=[(1, 0, 1), (2.5, 0, 3), (4, 0, 0.5)],
        member=(3, 0, 2),
        grid=_squares(9),
        shape=(3.3, 0, 6),
        step=0.004,  # of log(scale), in which the density is narrow
        grid_of_shape=HALF_LINE,
        scored=[(0.8, 0, 0.5), (4.0, 0, 0.7)],
        divergence=_weibull_divergence,
        pairs=[
            ((2, 0, 1), (3, 0, 2)),
            ((0.5, 0, 1), (0.7, 0, 3)),
            ((3, 0, 2), (0.3, 0, 0.1)),
            ((2, 1, 3), (2 * CLOSE, 1, 3)),
            ((2, 1, 3), (2, 1, 3 * CLOSE)),
            ((2, 1, 3), (2 * CLOSE, 1, 3 / CLOSE)),
            ((40, 0, 3), (40 * CLOSE, 0, 3 * CLOSE)),
        ],
        moments=_weibull_moments,
        to_normal=[((2, 0, 1), (1, 0.5)), ((0.6, 1, 3), (0, 4)), ((3.6, 0, 1), (0.9, 0.28)), ((40, 0, 1), (1, 0.03))],
    ),
    "generalized_pareto": Reference(
        _generalized_pareto,
        lambda x, c, loc, scale: 1 - mp.exp(-_log_t_over_c(c, (x - loc) / scale)),
        instances=[(0, 0, 1), (0.5, -1, 3), (2, 0, 2), (-0.25, 100, 3), (-0.5, 0, 1), (1e-9, 0, 1), (-1e-3, 0, 1e-4)],
        extreme=[(1e-300, 0, 1), (-1, 0, 1), (30, 0, 1e-3)],
        tame=[(0.1, 0, 1), (0.25, 0, 3), (0, 0, 0.5)],
        member=(0.125, 0, 2),
        grid=_squares(400),
        shape=(0.1, 0, 8),
        step=0.004,  # of c, which bends the tail
        grid_of_shape=HALF_LINE,
        scored=[(0.3, 0, 0.5), (-0.25, 0, 5.0)],
        divergence=_pareto_divergence,
        pairs=[
            ((0.3, 0, 1), (0, 0, 2)),
            ((-0.4, 1, 1), (0, 1, 3)),
            ((0.9, 0, 1), (0, 0, 0.1)),
            ((0, 0, 3), (0, 0, 3 * CLOSE)),
            ((1e-6, 0, 3), (0, 0, 3 * CLOSE)),
            ((-1e-6, 0, 3), (0, 0, 3)),
        ],
        moments=lambda c, loc, scale: (
            mp.log(scale) + c + 1,
            loc + scale / (1 - c),
            scale**2 / ((1 - c) ** 2 * (1 - 2 * c)),
        ),
        to_normal=[((0, 0, 1), (1, 1)), ((0.3, 1, 3), (0, 4)), ((-0.5, 0, 1), (0.9, 0.28)), ((0.4, 0, 1), (1, 3))],
    ),
}

function = holes("function")


def _values(partial, start, stop, x, factor, loc, inverse_scale, first, second, out):
    x, out = x[start:stop], out[start:stop]
    for i in range(x.size):
        out[i] = function(x[i], factor, loc, inverse_scale, first, second)


_kernels = {}


def kernel_values(name, function, parameters, x):
    """A family's log-density in a kernel, the function called *name* here, at the points x."""
    if name not in _kernels:
        _kernels[name] = tiled(outputs=0)(instance(_values, f"{name}_values", function=function))
    x = np.asarray(x, dtype=float)
    out = np.empty(x.shape)
    _kernels[name](x.size, x, *map(float, parameters), out)
    return out
