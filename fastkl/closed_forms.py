"""Divergences that have a formula.

Every formula is a sum of terms that are never negative, each with all its digits, so it keeps its
digits as q comes close to p. The textbook forms are differences of large numbers there. They are
rewritten with:

- phi(u) = u - log(1 + u), for ratios of scales;
- p log(p/q) - p + q = p phi((q - p)/p), for the x log x part of log Gamma;
- the Bregman divergence of the rest of log Gamma, integrated from its second derivative;
- KL(p, Normal) = KL(p, n) + KL(n, Normal), where n is the Normal with the moments of p. The first summand
  depends on the shape of p alone.

The textbook forms: F. Nielsen and R. Nock, "Entropies and cross-entropies of exponential families",
ICIP 2010, for members of one family; M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for
commonly used univariate continuous distributions", Information Sciences 249 (2013), for these and the Laplace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density, MultivariateNormal, Normal, Tabulated
from fastkl.densities.skewed import Beta, Gamma, LogNormal, log_ratio
from fastkl.densities.stirling import curvature, stirling, stirling_slope
from fastkl.densities.symmetric import Laplace, StudentT
from fastkl.grids.rules import legendre
from fastkl.measures import phi

LAPLACE_TO_NORMAL = 0.5 * (math.log(math.pi) - 1.0)
"""KL of a Laplace density from the Normal with its moments."""

ORDER = 14
"""Gauss-Legendre nodes on [0, 1]: exact to 1e-16 for the second derivative of log Gamma over a factor of 2."""

SIMILAR = 0.5
"""Largest difference from 1 of the ratio of variances, in any direction, of two covariances that are similar."""


def closed_form(p: Density, q: Density) -> float | None:
    """KL(p, q) = E_p[log p(x) - log q(x)] in nats, by a formula.

    Parameters
    ----------
    p, q : Density

    Returns
    -------
    float or None
        The divergence, >= 0 and 0.0 for equal p and q. inf if p has mass off the support of q, or tails
        that are too heavy. None if there is no formula.

    Examples
    --------
    >>> from fastkl import Normal
    >>> from fastkl.closed_forms import closed_form
    >>> from fastkl import Gamma, Logistic
    >>> closed_form(Normal(0, 1), Normal(1, 1))
    0.5
    >>> closed_form(Normal(0, 1), Gamma(2))
    inf
    >>> closed_form(Normal(0, 1), Logistic(0, 1)) is None
    True
    """
    if p == q:
        return 0.0
    if p.ndim == q.ndim == 1 and _leaves(p, q):
        return math.inf
    formula = FORMULAS.get((type(p), type(q)))
    return None if formula is None else formula(p, q)


def _leaves(p: Density, q: Density) -> bool:
    """Whether p has mass off the support of q; a table has zeros of its own, which only a sum can see."""
    if isinstance(p, Tabulated) or isinstance(q, Tabulated):
        return False
    return p.support[0] < q.support[0] or p.support[1] > q.support[1]


def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> float:
    return multivariate_normal_kl(p.mean, p.cov, q.mean, q.cov)


def _normal_normal(p: Normal, q: Normal) -> float:
    return _between_normals(p.loc - q.loc, p.scale, q.scale)


def _log_normal_log_normal(p: LogNormal, q: LogNormal) -> float:
    return _between_normals(log_ratio(p.scale, q.scale), p.s, q.s)


def _between_normals(distance: float, p_std: float, q_std: float) -> float:
    """KL of two Normals, [r**2 - 1 - log(r**2)]/2 + (distance/q_std)**2/2 with r = p_std/q_std."""
    z = distance / q_std
    u = (p_std - q_std) / q_std * ((p_std + q_std) / q_std)
    return 0.5 * _phi(u, 2.0 * log_ratio(p_std, q_std)) + 0.5 * z * z


def _phi(u: float, logarithm: float) -> float:
    """phi(u), given log(1 + u) as `logarithm`, because 1 + u has no digits near 0."""
    return phi(u) if u > -0.5 else u - logarithm


def _kl_term(p: float, q: float, difference: float) -> float:
    """The term p log(p/q) - p + q, given q - p as `difference`."""
    u = difference / p
    return p * _phi(u, log_ratio(q, p) if u <= -0.5 else 0.0)


def _laplace_laplace(p: Laplace, q: Laplace) -> float:
    """KL of two Laplaces, phi(r - 1) + r (t + exp(-t) - 1), r = p.scale/q.scale, t = |p.loc - q.loc|/p.scale."""
    t = abs(p.loc - q.loc) / p.scale
    fallen = math.expm1(-t)
    shift = phi(fallen) if t < 1.0 else t + fallen  # t = -log(1 + fallen)
    return _phi((p.scale - q.scale) / q.scale, log_ratio(p.scale, q.scale)) + p.scale / q.scale * shift


def _gamma_gamma(p: Gamma, q: Gamma) -> float | None:
    """KL of two Gamma densities, q.a phi(m - 1) + D(p.a, q.a), m the ratio of the means, D `_log_gamma_divergence`.

    In shape and mean the Fisher information is diagonal, so the two parts do not cancel.
    """
    if p.loc != q.loc:
        return None
    difference = p.a - q.a
    ratio = p.scale / q.scale
    u = ratio * (difference / q.a) + (p.scale - q.scale) / q.scale
    means = _phi(u, log_ratio(p.a, q.a) + log_ratio(p.scale, q.scale))
    return q.a * means + _log_gamma_divergence(p.a, q.a, -difference)


def _beta_beta(p: Beta, q: Beta) -> float:
    """KL of two Betas, D(p.a, q.a) + D(p.b, q.b) - D(p.a + p.b, q.a + q.b), and (q.a + q.b) times that of the means.

    D is the divergence of `_log_gamma_divergence`. The means of q and p count as probabilities of two outcomes.
    """
    da, db = q.a - p.a, q.b - p.b
    p_total, q_total = p.a + p.b, q.a + q.b
    shapes = _log_gamma_divergence(p.a, q.a, da) + _log_gamma_divergence(p.b, q.b, db)
    shapes -= _log_gamma_divergence(p_total, q_total, da + db)
    near = p.a * abs(db) + p.b * abs(da) < p.a * q.b + p.b * q.a  # of two differences, the one that cancels less
    gap = (p.a * db - p.b * da if near else p.a * q.b - p.b * q.a) / p_total
    means = _kl_term(q.a, p.a / p_total * q_total, gap) + _kl_term(q.b, p.b / p_total * q_total, -gap)
    return max(shapes, 0.0) + means


def _log_gamma_divergence(p: float, q: float, difference: float) -> float:
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
    return float(np.sum(weights * (lever / x) * (steps[:, None] / x) * curvature(x)))


def _laplace_normal(p: Laplace, q: Normal) -> float:
    return LAPLACE_TO_NORMAL + _moments_to(p, q)


def _gamma_normal(p: Gamma, q: Normal) -> float:
    return _shape_to_normal(p.a) + _moments_to(p, q)


def _beta_normal(p: Beta, q: Normal) -> float:
    """KL of a Beta from a Normal by the entropy log B(a, b) - (a-1) psi(a) - (b-1) psi(b) + (c-2) psi(c), c = a + b."""
    c = p.a + p.b
    shape = _shape_to_normal(p.a) + _shape_to_normal(p.b)
    shape -= 1.0 / c - stirling(c) + (c - 2.0) * stirling_slope(c) + 0.5 * math.log1p(1.0 / c)
    distance = (p.a * (1.0 - q.loc) - p.b * q.loc) / c  # the mean itself may be rounded by more than q.scale
    return max(shape, 0.0) + _between_normals(distance, p.std, q.scale)


def _shape_to_normal(a: float) -> float:
    """KL of a Gamma density from the Normal with its moments; 1/(3 a) for large a.

    It is log(2 pi e a)/2 less the entropy a + log Gamma(a) + (1 - a) psi(a), with log Gamma and psi as
    Stirling's formula and its remainder.
    """
    return 0.5 / a - stirling(a) + (a - 1.0) * stirling_slope(a)


def _moments_to(p: Density, q: Normal) -> float:
    """KL of the Normal with the moments of p from q."""
    return _between_normals(p.mean - q.loc, p.std, q.scale)


def _student_t_normal(p: StudentT, q: Normal) -> float | None:
    """KL of a StudentT from a Normal: inf if p has no variance; otherwise None, for there is no formula."""
    return math.inf if p.df <= 2.0 else None


FORMULAS: dict[tuple[type[Density], type[Density]], Callable[[Any, Any], float | None]] = {
    (MultivariateNormal, MultivariateNormal): _multivariate,
    (Normal, Normal): _normal_normal,
    (Laplace, Laplace): _laplace_laplace,
    (Gamma, Gamma): _gamma_gamma,
    (Beta, Beta): _beta_beta,
    (LogNormal, LogNormal): _log_normal_log_normal,
    (Laplace, Normal): _laplace_normal,
    (Gamma, Normal): _gamma_normal,
    (Beta, Normal): _beta_normal,
    (StudentT, Normal): _student_t_normal,
}
"""Formula for KL(p, q), by the types of p and q."""


def multivariate_normal_kl(mean_p: ArrayLike, cov_p: ArrayLike, mean_q: ArrayLike, cov_q: ArrayLike) -> float:
    """KL(p, q) in nats between two Normals in D dimensions.

    It is the sum of phi(e)/2 over the eigenvalues e of L**-1 (cov_p - cov_q) L**-T, L L**T = cov_q, and of
    |L**-1 (mean_p - mean_q)|**2 / 2. The factors of both covariances would lose the digits of their difference.

    Parameters
    ----------
    mean_p, mean_q : array_like, shape (D,)
    cov_p, cov_q : array_like, shape (D, D)
        Symmetric and positive definite.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a covariance is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastkl.closed_forms import multivariate_normal_kl
    >>> multivariate_normal_kl([0, 0], np.eye(2), [1, 1], np.eye(2))
    1.0
    """
    from scipy.linalg import solve_triangular

    p, q = np.asarray(cov_p, dtype=float), np.asarray(cov_q, dtype=float)
    p_factor, q_factor = np.linalg.cholesky(p), np.linalg.cholesky(q)
    z = solve_triangular(q_factor, np.asarray(mean_p, dtype=float) - np.asarray(mean_q, dtype=float), lower=True)
    excess = solve_triangular(q_factor, solve_triangular(q_factor, p - q, lower=True).T, lower=True)
    eigenvalues = np.linalg.eigvalsh(excess)
    if np.abs(eigenvalues).max() <= SIMILAR:
        spread = phi(eigenvalues).sum()
    else:  # an eigenvalue near -1 would have no digits in log(1 + e)
        relative = solve_triangular(q_factor, p_factor, lower=True)
        m = np.diag(relative)
        spread = np.sum((m - 1.0) * (m + 1.0) - 2.0 * np.log(m)) + np.sum(np.tril(relative, -1) ** 2)
    return float(0.5 * spread + 0.5 * (z @ z))
