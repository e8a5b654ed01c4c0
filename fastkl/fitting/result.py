"""Results of fits: the fitted density, and the evidence for it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Density, Mixture
from fastkl.densities.dictionaries import (
    density_as_dict,
    density_from_dict,
    family_name,
    grid_as_dict,
    grid_from_dict,
    parameters,
    plain,
    with_parameters,
)
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.statistics import CountStatistics, count_statistics
from fastkl.fitting.status import FitStatus
from fastkl.grids import Grid
from fastkl.integrals import kl_divergence
from fastkl.notebook import html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Direction = Literal["forward", "reverse"]

TITLE = {"forward": "forward  min KL(p||q)  covers p", "reverse": "reverse  min KL(q||p)  seeks a mode"}
"""First line of the table of a result."""

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
        The target; None in a result from a dictionary that does not hold it.
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
        Whether the gradient is at most gtol, or what the last place of a parameter changes it by, and the Hessian is
        positive definite.
    success : bool
        Whether the fit converged, no q on the grid is known to be closer to p, and the quadrature error and the mass
        outside are within their tolerances.
    message : str
        The check that failed, and the keyword that sets it; or that all passed.
    rtol, atol, mass_tol : float
        The tolerances that were used; inf if the quadrature error counts for nothing.
    status : FitStatus or None
        The check that failed as a number, 0 for a success; None in a result from a dictionary that lacks it.
    """

    q: Any
    p: Any
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
    status: FitStatus | None = None

    @cached_property
    def forward(self) -> float:
        """KL(p||q), computed on first access if the fit was a reverse one."""
        return self.divergence if self.direction == "forward" else self._divergence(self.p, self.q)

    @cached_property
    def reverse(self) -> float:
        """KL(q||p), computed on first access if the fit was a forward one."""
        return self.divergence if self.direction == "reverse" else self._divergence(self.q, self.p)

    def _divergence(self, a: Any, b: Any) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # `message` says whether the grid resolves q
            return float(kl_divergence(a, b, self.grid))

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

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        """The result as a dictionary that `json.dumps` takes, from which `from_dict` restores it.

        Parameters
        ----------
        values : bool, default False
            Whether a `Tabulated` p is kept with its grid and its values. Without them, and for a p of another library,
            the restored result has no p; families and mixtures are always kept.

        Returns
        -------
        dict
            The attributes by name: densities by their parameters, arrays as lists, the grid by the ends, numbers of
            nodes and rules of its axes; the `statistics` if there are any. ``family`` is the name of the family of q,
            and ``forward``, ``reverse`` and ``elbo`` are there too, for which p is read once more if they have not been
            asked for. inf and NaN, which JSON lacks, are the strings 'inf', '-inf' and 'nan', which `float` reads.

        Examples
        --------
        >>> import json, fastkl
        >>> result = fastkl.fit(fastkl.Mixture([fastkl.Normal(0, 1)]), "normal", direction="forward")
        >>> text = json.dumps(result.to_dict(), allow_nan=False)
        >>> fastkl.FitResult.from_dict(json.loads(text)).q == result.q
        True
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content.update(
            family=family_name(self.q),
            q=parameters(self.q),
            p=density_as_dict(self.p, values=values),
            grid=grid_as_dict(self.grid),
            minima=[{**vars(minimum), "q": parameters(minimum.q)} for minimum in self.minima],
        )
        if self.statistics is not None:
            content["statistics"] = vars(self.statistics)
        return dict(plain({**content, **{name: getattr(self, name) for name in DERIVED}}))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, p: Density | None = None) -> FitResult:
        """The result that gave *content* by `to_dict`, perhaps by way of JSON.

        Parameters
        ----------
        content : mapping
            A dictionary as `to_dict` returns it; keys that it does not know are passed over.
        p : Density, optional
            The target, for a dictionary that does not hold it. Without a target the result has p = None and cannot be
            drawn.

        Raises
        ------
        ValueError
            If a key is missing, or a family is unknown.
        """
        needed = ["family", *(field.name for field in fields(cls) if field.default is MISSING)]
        missing = [name for name in needed if name not in content]
        if missing:
            raise ValueError(f"the dictionary is not one of FitResult.to_dict: it lacks {', '.join(missing)}")
        family = content["family"]
        given = {f.name: _decoded(f.type, content[f.name]) for f in fields(cls) if f.name in content}
        given["q"] = with_parameters(family, content["q"])
        given["p"] = density_from_dict(content["p"]) if p is None else p
        given["status"] = None if given.get("status") is None else FitStatus(given["status"])
        given["grid"] = grid_from_dict(content["grid"])
        given["minima"] = tuple(
            Minimum(with_parameters(family, m["q"]), *(float(m[f.name]) for f in fields(Minimum)[1:]))
            for m in content["minima"]
        )
        result = cls(**given)
        vars(result).update({name: float(content[name]) for name in DERIVED if name in content})
        if "statistics" in content:
            vars(result)["statistics"] = CountStatistics(**_numbers(content["statistics"]))
        return result

    def __str__(self) -> str:
        rows = [f"  {name:<14}{value}" for name, value in self._rows()]
        return "\n".join([TITLE[self.direction], *rows, f"  {self._verdict}: {self.message}"])

    def _repr_html_(self) -> str:
        """The table of `str`, for a notebook."""
        return html_table(TITLE[self.direction], [*self._rows(), (self._verdict, self.message)])

    @property
    def _verdict(self) -> str:
        return "success" if self.success else "NO SUCCESS"

    def _rows(self) -> list[tuple[str, str]]:
        """Names and values of the table."""
        minima = [("minima", f"{len(self.minima)}"), *((f"  {m.divergence:.6g}", short(m.q)) for m in self.minima)]
        return [
            ("q", short(self.q)),
            ("KL(p||q)", f"{self.forward:.6g}"),
            ("KL(q||p)", f"{self.reverse:.6g}"),
            *(minima if self.direction == "reverse" else []),
            *(self.statistics.rows() if self.statistics is not None else []),
            ("error", f"{self.quadrature_error:.1e}"),
            ("mass outside", f"{self.mass_outside:.1e} of q, {self.mass_outside_p:.1e} of p"),
        ]


DERIVED = ("forward", "reverse", "elbo")
"""Attributes that are computed when they are first asked for."""


def _numbers(value: Any) -> Any:
    """Entries of a dictionary with numbers for the strings that stand for inf and NaN."""
    if isinstance(value, dict):
        return {name: _numbers(entry) for name, entry in value.items()}
    return float(value) if isinstance(value, str) else value


def _decoded(annotation: Any, value: Any) -> Any:
    """An entry of a dictionary as the attribute with this annotation."""
    if isinstance(value, list):
        return np.array(value, dtype=np.float64) if "NDArray" in annotation else tuple(value)
    return float(value) if "float" in annotation and value is not None else value


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
