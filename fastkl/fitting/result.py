"""Results of fits: the fitted density, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Density, Mixture
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.statistics import CountStatistics, count_statistics
from fastkl.grids import Grid
from fastkl.integrals import kl_divergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Direction = Literal["forward", "reverse"]

ROUNDS_TO_ZERO = 1e-8
"""Size of loc/scale below which loc is printed as 0: a fit knows loc/scale to about gtol, 1e-9."""


@dataclass(frozen=True)
class Minimum:
    """A local minimum of the divergence."""

    q: Any
    divergence: float
    gradient_norm: float
    min_eigenvalue: float


@dataclass(frozen=True, eq=False)
class FitResult:
    """The best approximation q of a density p, and how good it is.

    All divergences are in nats.

    Attributes
    ----------
    q : Density
        The fitted density: the best minimum, or the best point so far if there is none.
    p : Density
    grid : Grid
    direction : {'forward', 'reverse'}
    divergence : float
        KL(p||q) forward, KL(q||p) reverse, as `kl_divergence` gives it on `grid`.
    minima : tuple of Minimum
        Every local minimum that was found, best first; ties within 1e-12 are ordered by loc.
    hessian : ndarray, shape (k, k)
        Hessian of the divergence at q, with respect to the parameters of `parameter_names`.
    parameter_names : tuple of str
        Names of the k parameters, which may be any numbers: positive ones are taken by their logarithms. They are
        the `names` of `kl_objective`. A mixture's means are in units of the Cholesky factor L of their component.
    gradient_norm : float
        Largest entry of the gradient at q, by coordinates without units: a place in scales (of a covariance L L', in
        L), and everything else by its logarithm or relative to L.
    min_eigenvalue : float
        Smallest eigenvalue of the Hessian at q, by the coordinates of `gradient_norm`.
    log_normalizer : float
        Logarithm of the integral of p as it was given.
    quadrature_error : float
        Estimated error of `divergence`.
    mass_outside : float
        Probability of q outside the grid.
    mass_outside_p : float
        Probability of p outside the grid, as far as it can be known.
    nit : int
        Newton steps that led to q, on all grids.
    passes : int
        Passes over the grid that the search took, each counted by the share of the points that it read; the divergence
        and its error may take one or two more.
    converged : bool
        Whether the gradient is at most gtol and the Hessian positive definite.
    success : bool
        Whether the fit converged, and the quadrature error and the mass outside are within their tolerances.
    message : str
        The check that failed, and the keyword that sets it; or that all passed.
    rtol, atol, mass_tol : float
        The tolerances that were used; inf if the quadrature error counts for nothing.
    """

    q: Any
    p: Density
    grid: Grid
    direction: Direction
    divergence: float
    minima: tuple[Minimum, ...]
    hessian: NDArray[np.float64]
    gradient_norm: float
    min_eigenvalue: float
    log_normalizer: float
    quadrature_error: float
    mass_outside: float
    mass_outside_p: float
    nit: int
    passes: float
    converged: bool
    success: bool
    message: str
    parameter_names: tuple[str, ...]
    rtol: float
    atol: float
    mass_tol: float

    @cached_property
    def forward(self) -> float:
        """KL(p||q), computed on first access if the fit was a reverse one."""
        return self.divergence if self.direction == "forward" else kl_divergence(self.p, self.q, self.grid)

    @cached_property
    def reverse(self) -> float:
        """KL(q||p), computed on first access if the fit was a forward one."""
        return self.divergence if self.direction == "reverse" else kl_divergence(self.q, self.p, self.grid)

    @cached_property
    def elbo(self) -> float:
        """log_normalizer - KL(q||p), the evidence lower bound, computed like `reverse`."""
        return self.log_normalizer - self.reverse

    @cached_property
    def statistics(self) -> CountStatistics | None:
        """Standard errors, likelihood, AIC, BIC and a G-test of a forward fit to counts; None for any other fit."""
        return count_statistics(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw p, q and the other minima; see `plot_fits`. Needs the extra ``fastkl[plot]``."""
        from fastkl.plotting import plot_fits

        return plot_fits(self, ax=None if ax is None else [ax])[0]

    def __str__(self) -> str:
        title = {"forward": "forward  min KL(p||q)  covers p", "reverse": "reverse  min KL(q||p)  seeks a mode"}
        lines = [
            title[self.direction],
            f"  q             {short(self.q)}",
            f"  KL(p||q)      {self.forward:.6g}",
            f"  KL(q||p)      {self.reverse:.6g}",
        ]
        if self.direction == "reverse":
            lines.append(f"  minima        {len(self.minima)}")
            lines += [f"    {m.divergence:<12.6g}{short(m.q)}" for m in self.minima]
        if self.statistics is not None:
            found = self.statistics
            errors = ", ".join(f"{name} {error:.3g}" for name, error in found.standard_errors.items())
            lines += [
                f"  std. errors   {errors}",
                f"  AIC, BIC      {found.aic:.6g}, {found.bic:.6g}  (n = {found.n})",
                f"  G-test        2n KL = {found.g:.6g}, df = {found.df}, p = {found.pvalue:.3g}",
            ]
        lines += [
            f"  error         {self.quadrature_error:.1e}",
            f"  mass outside  {self.mass_outside:.1e} of q, {self.mass_outside_p:.1e} of p",
            f"  {'success' if self.success else 'NO SUCCESS'}: {self.message}",
        ]
        return "\n".join(lines)


def short(q: Any, digits: int = 6) -> str:
    """Short text for q, such as N(loc, scale); a mean that is 0 to the precision of a fit reads 0."""
    if isinstance(q, Normal):
        return f"N({_place(q.loc, q.scale, digits)}, {q.scale:.{digits}g})"
    if isinstance(q, MultivariateNormal):
        mean = ", ".join(_place(m, s, digits) for m, s in zip(q.mean, np.sqrt(np.diag(q.cov)), strict=True))
        cov = ", ".join("[" + ", ".join(f"{c:.{digits}g}" for c in row) + "]" for row in q.cov)
        return f"N([{mean}], [{cov}])"
    if isinstance(q, Mixture):
        parts = zip(q.weights, q.components, strict=True)
        return " + ".join(f"{weight:.{digits}g}*{short(part, digits)}" for weight, part in parts)
    numbers = ", ".join(f"{field.name}={getattr(q, field.name):.{digits}g}" for field in fields(q))
    return f"{type(q).__name__}({numbers})"


def _place(loc: float, scale: float, digits: int) -> str:
    return f"{0.0 if abs(loc) < ROUNDS_TO_ZERO * scale else loc:.{digits}g}"
