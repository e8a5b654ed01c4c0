"""Functions of two close numbers, with all digits, of which closed forms of divergences are made.

Every closed form is a sum of terms that are never negative, each with all its digits, so it keeps its digits as q comes
close to p. The textbook forms are differences of large numbers there. They are rewritten with:

- phi(u) = u - log(1 + u), for ratios of scales;
- p log(p/q) - p + q = p phi((q - p)/p), for the x log x part of log Gamma;
- the Bregman divergence of the rest of log Gamma, integrated from its second derivative (`fastkl.families.stirling`);
- KL(p, Normal) = KL(p, n) + KL(n, Normal), where n is the Normal with the moments of p. The first summand
  depends on the shape of p alone.

The textbook forms: F. Nielsen and R. Nock, "Entropies and cross-entropies of exponential families", ICIP 2010, for
members of one family; M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate
continuous distributions", Information Sciences 249 (2013), for these and the Laplace.
"""

from __future__ import annotations

import math

from fastkl.measures import phi

LARGEST = 709.0
"""Number whose exponential is a double."""


def exp_or_inf(x: float) -> float:
    """exp(x); inf beyond the range, as in SciPy."""
    return math.exp(x) if x <= LARGEST else math.inf


def log_ratio(p: float, q: float) -> float:
    """log(p/q) for positive numbers, with all digits even if they are close."""
    if 0.5 * q < p < 2.0 * q:
        return math.log1p((p - q) / q)
    return math.log(p) - math.log(q)


def in_units(a: float, b: float, unit: float) -> float:
    """(a - b)/unit, also where a - b is beyond the doubles."""
    difference = a - b
    return difference / unit if math.isfinite(difference) else a / unit - b / unit


def phi_of(u: float, logarithm: float) -> float:
    """phi(u), given log(1 + u) as `logarithm`, because 1 + u has no digits near 0."""
    return phi(u) if u > -0.5 else u - logarithm


def kl_term(p: float, q: float, difference: float) -> float:
    """The term p log(p/q) - p + q, given q - p as `difference`."""
    u = difference / p
    return p * phi_of(u, log_ratio(q, p) if u <= -0.5 else 0.0)
