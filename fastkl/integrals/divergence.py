"""The divergence of two densities on a grid, with an account of its error."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from fastkl.arrays import entropy
from fastkl.closed_forms import closed_form
from fastkl.densities import Density, Histogram, Tabulated
from fastkl.densities.adapted import why_no_density
from fastkl.densities.histogram import on_common_cells
from fastkl.grids import Grid, as_grid
from fastkl.integrals.batches import batch_divergence, is_batch
from fastkl.integrals.error import by_cells, estimate, too_coarse
from fastkl.integrals.quadrature import first_infinite, integrate, mass_outside
from fastkl.notebook import html_table
from fastkl.validation import nats_per_unit

CLOSED_FORM_ERROR = 1e-13
"""Relative error to which the closed forms are tested."""

MISSED = 0.9
"""Mass outside the grid above which a warning says that the grid misses the density."""

UNRESOLVED = 1e-2
"""Largest difference between the sum of a density over the grid and its mass there that gives no warning."""

MOST_POINTS = 10**12
"""Largest number of points, an hour or so on one core: more are taken for a slip, such as 1000 on each of five axes."""


@dataclass(frozen=True)
class KLResult:
    """A divergence and what is known about it.

    Attributes
    ----------
    value : float
        The divergence, in nats unless a base was given; >= 0.
    error : float
        An estimate that is meant to be above the error of `value`, in the same unit: from coarser sums, kinks, the
        parts beyond the ends of the grid, unequal masses, skipped points and rounding. inf if a warning says that
        the grid is too coarse for a formula.
    mass_outside_p, mass_outside_q : float
        Probability outside the grid; in several dimensions a bound on it, the sum over the axes.
    n_evaluated, n_skipped : int
        Numbers of points that were evaluated, and that were skipped because their terms are known to be negligible.
    method : str
        'closed form', 'cells' for histograms, or the rule of the grid.
    first_infinite : float, tuple of float or None
        The first node where q = 0 < p, if the value is inf.
    expected_by_chance : float or None
        For two histograms of counts in the same cells: about the value to be expected if both are drawn from one
        distribution, (cells - 1)/2 (1/n + 1/m), over the cells that are filled in either. With few counts in a cell
        chance may make it inf.
    pvalue : float or None
        Probability of a larger difference by chance then, by the G-test of both rows of counts, which is the same for
        (q, p) and finite where the divergence is not; it is rough if many cells have fewer than 5 counts.
    """

    value: float
    error: float
    mass_outside_p: float
    mass_outside_q: float
    n_evaluated: int
    n_skipped: int
    method: str
    first_infinite: float | tuple[float, ...] | None
    expected_by_chance: float | None = None
    pvalue: float | None = None

    def _repr_html_(self) -> str:
        """The attributes as a table, for a notebook."""
        return html_table("KL(p||q)", list(vars(self).items()))


@overload
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: Literal[False] = False
) -> Any: ...
@overload
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: Literal[True]
) -> KLResult: ...
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: bool = False
) -> Any:
    """The Kullback-Leibler divergence KL(p||q), the integral of p log(p/q).

    On a grid, p and q are both normalised and the integral is a sum of the non-negative terms
    p log(p/q) - p + q, so it is >= 0 without any tolerance, and 0 for q = p. If the grid holds less of q
    than of p, the logarithm of the ratio of these masses is added: a q that is wider than the grid
    is not mistaken for a narrower one. The mass outside the grid is reported, not guessed.

    Parameters
    ----------
    p, q : Density
    grid : Grid, optional
        The grid of the sum. Without one: the closed form if there is one, the grid of a `Tabulated`,
        or else `Grid.cover`.
    base : float, optional
        Base of the logarithm; by default the result is in nats.
    full_output : bool, default False
        Whether to return a `KLResult` instead of a float.

    Returns
    -------
    float, ndarray or KLResult
        The divergence; inf if q is 0 and p is not at any node. An array for a batch of `Tabulated`, in the shape of
        the batches of p and q broadcast against each other, with NaN where p or q is no density: NaN, infinite,
        negative or without mass.

    Raises
    ------
    ValueError
        If a density has no mass on the grid, an integral to infinity does not converge, two `Tabulated` have
        different grids and none is given, numbers of dimensions differ, or `base` is not a positive number other
        than 1.
    TypeError
        If p or q is not a density of this package.

    Warns
    -----
    UserWarning
        If the step of the grid is above the scale of a density that lies on it, more than 0.9 of a density lies
        outside, or the sum of a density over the grid is not its mass there.

    Notes
    -----
    Kullback and Leibler (1951), On information and sufficiency, Ann. Math. Stat. 22, 79-86.

    Examples
    --------
    >>> import fastkl
    >>> p, q = fastkl.Normal(0, 1), fastkl.Normal(1, 2)
    >>> round(fastkl.kl_divergence(p, q), 9)
    0.443147181
    >>> result = fastkl.kl_divergence(p, q, fastkl.Grid.uniform(-9, 9, 201), full_output=True)
    >>> round(result.value, 9), result.method, result.error < 1e-12
    (0.443147181, 'trapezoid', True)
    """
    for name, density in (("p", p), ("q", q)):
        if not isinstance(density, Density):
            raise TypeError(_refusal(name, density))
    unit = nats_per_unit(base)
    if unit == 0.0 or not math.isfinite(unit):
        raise ValueError(f"base must be a finite positive number other than 1, or None for nats, got {base!r}")
    if p.ndim != q.ndim:
        raise ValueError(f"p has {p.ndim} dimensions and q has {q.ndim}")
    several = is_batch(p) or is_batch(q)
    exact = closed_form(p, q) if grid is None and not several else None
    if exact is not None:
        value = exact / unit
        error = math.nan if math.isinf(value) else CLOSED_FORM_ERROR * abs(value)
        return KLResult(value, error, 0.0, 0.0, 0, 0, "closed form", None) if full_output else value
    if any(isinstance(d, Histogram) and grid in (None, d.grid) for d in (p, q)):
        p, q = on_common_cells(p, q)
    grid = common_grid(p, q) if grid is None else as_grid(grid)
    if p.ndim != grid.ndim:
        raise ValueError(f"densities of {p.ndim} dimensions need a grid of as many, got one of shape {grid.shape}")
    if grid.size > MOST_POINTS:
        raise ValueError(f"a grid of shape {grid.shape} has {grid.size} points, more than {MOST_POINTS}: take fewer")
    coarse = too_coarse(p, grid) or too_coarse(q, grid)
    if coarse:
        warnings.warn(coarse, stacklevel=2)
    if several:
        if full_output:
            raise ValueError("full_output=True is for single densities; take one of the batch with batch[index]")
        return batch_divergence(p, q, grid) / unit
    whole = integrate(p, q, grid)
    if not coarse:
        for name, density, mass in (("p", p, whole.mass_a), ("q", q, whole.mass_b)):
            complaint = _complaint(name, density, grid, mass)
            if complaint:
                warnings.warn(complaint, stacklevel=2)
    if not full_output:
        return whole.divergence / unit
    outside = mass_outside(p, grid, whole.mass_a), mass_outside(q, grid, whole.mass_b)
    infinite = math.isinf(whole.divergence)
    where = first_infinite(p, q, grid) if infinite else None
    return KLResult(
        value=whole.divergence / unit,
        error=math.nan if infinite else math.inf if coarse else estimate(p, q, grid, whole, outside[0]) / unit,
        mass_outside_p=outside[0],
        mass_outside_q=outside[1],
        n_evaluated=grid.size - whole.skipped,
        n_skipped=whole.skipped,
        method="cells" if by_cells(p, q, grid) else grid.rule,
        first_infinite=where[0] if where is not None and len(where) == 1 else where,
        **_by_chance(p, q, unit),
    )


def _by_chance(p: Density, q: Density, unit: float) -> dict[str, float]:
    """The divergence to be expected of two histograms of counts that one distribution filled, and a G-test of that."""
    if not (isinstance(p, Histogram) and isinstance(q, Histogram) and p.n and q.n):
        return {}
    from scipy.stats import chi2

    counts = np.stack([p.counts.ravel(), q.counts.ravel()])
    counts = counts[:, counts.any(axis=0)]
    df = counts.shape[1] - 1
    both = counts.sum(axis=0)
    g = 2.0 * sum(n * entropy(own, both) for n, own in ((p.n, counts[0]), (q.n, counts[1])))
    pvalue = float(chi2.sf(g, df)) if df else 1.0
    return {"expected_by_chance": 0.5 * df * (1.0 / p.n + 1.0 / q.n) / unit, "pvalue": pvalue}


def _refusal(name: str, obj: Any) -> str:
    """Message about the argument *name*, an object that is no density."""
    way = why_no_density(obj)
    if way:
        return f"{name} cannot be compared: {way}"
    return (
        f"{name} must be a fastkl density (a family, a Mixture, a Tabulated), got {type(obj).__name__}; "
        "values on a grid go into Tabulated(grid, values), other objects into as_density"
    )


def _complaint(name: str, density: Density, grid: Grid, mass: float) -> str:
    """Warning about a density whose mass on the grid is not what it should be; empty if there is nothing to warn of."""
    exact = density.mass_outside(grid)
    if isinstance(density, Tabulated) and exact is not None:
        return ""  # a table lives on the grid
    beyond = max(1.0 - mass, 0.0) if exact is None or density.ndim > 1 else exact  # on more axes `exact` is a bound
    if beyond > MISSED:
        return f"the grid misses {name}: {beyond:.6g} of its mass lies outside {grid!r}"
    if exact is None and mass <= 1.0 + UNRESOLVED:
        return ""
    expected = 1.0 if exact is None else 1.0 - exact
    if density.ndim == 1 and abs(mass - expected) > UNRESOLVED:
        return f"{name} sums to {mass:.6g} on the grid, not to {expected:.6g}: is it resolved, and normalised?"
    return ""


def common_grid(p: Density, q: Density | None = None) -> Grid:
    """The grid to use if none is given: that of a table, or one that covers the formulas."""
    grids = [d.grid for d in (p, q) if isinstance(d, Tabulated)]
    if not grids:
        return Grid.cover(p, q)
    if grids[0] != grids[-1]:
        raise ValueError(f"p and q are tabulated on different grids, {grids[0]!r} and {grids[-1]!r}; give grid=")
    return grids[0]
