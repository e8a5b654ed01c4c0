"""The remainder S of Stirling's formula for log Gamma, and functions made of it.

    log Gamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + S(x),    S(x) = 1/(12 x) - 1/(360 x**3) + ...

In a divergence or a normaliser the large parts cancel by algebra; S remains, to all digits.
Method: the asymptotic series (DLMF 5.11.1) from 8 up, and the recurrence of Gamma down to there.

Worst relative errors seen against mpmath, x from 1e-6 to 1e9: S 4e-14, S' 3e-14, the curvature 1e-15.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastkl.grids.rules import legendre

LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)

BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
)  # fmt: skip
"""Bernoulli numbers B(2), B(4), ... B(20)."""

ASYMPTOTIC = 8
"""Argument from which up the asymptotic series is exact to 1e-15 of its value."""

ORDER = 14
"""Gauss-Legendre nodes on [0, 1]: exact to 1e-16 for the second derivative of log Gamma over a factor of 2."""


def stirling(x: float) -> float:
    """The remainder S(x) of Stirling's formula, > 0, for x > 0."""
    total = 0.0
    while x < ASYMPTOTIC:
        total += (x + 0.5) * math.log1p(1.0 / x) - 1.0
        x += 1.0
    return total + sum(b / (2 * k * (2 * k - 1)) * x ** (1 - 2 * k) for k, b in enumerate(BERNOULLI, 1))


def stirling_slope(x: float) -> float:
    """The derivative S'(x) of `stirling`, < 0, for x > 0."""
    total = 0.0
    while x < ASYMPTOTIC:
        total += math.log1p(1.0 / x) - (x + 0.5) / x / (x + 1.0)
        x += 1.0
    return total - sum(b / (2 * k) * x ** (-2 * k) for k, b in enumerate(BERNOULLI, 1))


def curvature(x: Any) -> Any:
    """x**2 (psi'(x) - 1/x) = 1/2 + x**2 S''(x), between 1 at 0 and 1/2 at infinity; a sum of positive terms."""
    above = x + ASYMPTOTIC
    total = 0.5 + x / above * (x / above) * sum(b * above ** (1 - 2 * k) for k, b in enumerate(BERNOULLI, 1))
    for i in range(ASYMPTOTIC):
        total = total + 0.5 * (x / (x + i) / (x + i + 1.0)) ** 2
    return total


def log_factorial_excess(m: float) -> float:
    """log Gamma(m + 1) - m log m + m for m >= 0, which grows like log(2 pi m)/2."""
    return stirling(m) + LOG_SQRT_2PI + 0.5 * math.log(m) if m > 0.0 else 0.0


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function B(a, b); its error is that of b log(a + b) for b <= a."""
    a, b = max(a, b), min(a, b)
    grown = math.log1p(b / a)
    excess = log_factorial_excess(a) - log_factorial_excess(a + b)
    return math.lgamma(b) + excess - (a - 1.0) * grown - b * math.log(a + b) + b


def log_gamma_divergence(p: float, q: float, difference: float) -> float:
    """Bregman divergence g(q) - g(p) - g'(p) (q - p) >= 0 of the convex g(x) = log Gamma(x) - x log x + x.

    It is the integral of (q - x) g''(x) from p to q, here over pieces of at most a factor of 2. `difference`
    is q - p, which the caller may know better.
    """
    pieces = max(math.ceil(abs(math.log2(q) - math.log2(p))), 1)
    edges = np.geomspace(p, q, pieces + 1)
    edges[0], edges[-1] = p, q
    steps = np.array([difference]) if pieces == 1 else np.diff(edges)
    nodes, weights = legendre(ORDER)
    nodes, weights = 0.5 + 0.5 * nodes, 0.5 * weights
    x = edges[:-1, None] + steps[:, None] * nodes
    lever = (q - edges[1:, None]) + steps[:, None] * (1.0 - nodes)
    with np.errstate(over="ignore"):  # a sum of positive terms, which may be beyond the doubles
        return float(np.sum(weights * (lever / x) * (steps[:, None] / x) * curvature(x)))


def shape_to_normal(a: float) -> float:
    """KL of a Gamma density from the Normal with its moments; 1/(3 a) for large a.

    It is log(2 pi e a)/2 less the entropy a + log Gamma(a) + (1 - a) psi(a), with log Gamma and psi as
    Stirling's formula and its remainder.
    """
    return 0.5 / a - stirling(a) + (a - 1.0) * stirling_slope(a)
