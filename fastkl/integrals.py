"""The divergence of two densities on a grid, with an account of its error."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

import numpy as np

from fastkl.densities import Density, Normal, Tabulated
from fastkl.grids import Grid, as_grid
from fastkl.kernels.integrals import kl_integral, kl_integral_of_values
from fastkl.kernels.log_density import log_density
from fastkl.normalization import phi
from fastkl.validation import Floats, as_real

SCALED_PASS = 0.5
"""The share of the sum that the correction for unequal masses may cancel: one bit. Beyond, b is scaled."""


@dataclass(frozen=True)
class KLResult:
    """A divergence and what is known about it.

    Attributes
    ----------
    value : float
        The divergence, in nats unless a base was given; >= 0.
    error : float
        Estimated quadrature error, in the same unit: the difference to the same sum on every other node;
        inf where a warning says that the grid is too coarse for a formula.
    mass_outside_p, mass_outside_q : float
        Probability outside the grid.
    n_evaluated, n_skipped : int
        Points that were evaluated, and points whose contribution was bounded instead.
    method : str
        'closed form' or 'trapezoid'.
    first_infinite : float or None
        The first node where q = 0 < p, if the value is inf.
    """

    value: float
    error: float
    mass_outside_p: float
    mass_outside_q: float
    n_evaluated: int
    n_skipped: int
    method: str
    first_infinite: float | None


@overload
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: Literal[False] = False
) -> float: ...
@overload
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: Literal[True]
) -> KLResult: ...
def kl_divergence(
    p: Density, q: Density, grid: Grid | None = None, *, base: float | None = None, full_output: bool = False
) -> float | KLResult:
    """The Kullback-Leibler divergence KL(p||q), the integral of p log(p/q).

    On a grid, p and q are both normalised and the integral is a sum of the non-negative terms
    p log(p/q) - p + q, so it is >= 0 without any tolerance, and 0 for q = p. If the grid holds less of q
    than of p, the logarithm of the ratio of these masses is added: a q that is wider than the grid
    is not mistaken for a narrower one. What lies outside is reported, not guessed.

    Parameters
    ----------
    p, q : Density
    grid : Grid, optional
        Where to sum. Without one: the closed form if p and q are Normal, the grid of a `Tabulated`,
        or else `Grid.cover`.
    base : float, optional
        Base of the logarithm; by default the result is in nats.
    full_output : bool, default False
        Return a `KLResult` instead of a float.

    Returns
    -------
    float or KLResult
        inf where q is 0 and p is not, at any node.

    Raises
    ------
    ValueError
        If a density has no mass on the grid, two `Tabulated` have different grids and none is given, or
        `base` is not a positive number other than 1.
    TypeError
        If p or q is not a density of this package.

    Warns
    -----
    UserWarning
        If the step of the grid is above the scale of a Normal that lies on it.

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
            raise TypeError(
                f"{name} must be a fastkl density (Normal, Mixture, Tabulated), got {type(density).__name__}; "
                "values on a grid go into Tabulated(grid, values)"
            )
    unit = nats_per_unit(base)
    if grid is None and isinstance(p, Normal) and isinstance(q, Normal):
        result = KLResult(normal_kl(p, q) / unit, 0.0, 0.0, 0.0, 0, 0, "closed form", None)
        return result if full_output else result.value
    grid = common_grid(p, q) if grid is None else as_grid(grid)
    coarse = too_coarse(p, grid) or too_coarse(q, grid)
    if coarse:
        warnings.warn(coarse, stacklevel=2)
    whole = integrate(p, q, grid)
    if not full_output:
        return whole.divergence / unit
    half = integrate(p, q, grid, stride=2)
    infinite = math.isinf(whole.divergence)
    return KLResult(
        value=whole.divergence / unit,
        error=math.nan if infinite else math.inf if coarse else abs(whole.divergence - half.divergence) / unit,
        mass_outside_p=mass_outside(p, grid, whole.mass_a),
        mass_outside_q=mass_outside(q, grid, whole.mass_b),
        n_evaluated=grid.size,
        n_skipped=0,
        method="trapezoid",
        first_infinite=_first_infinite(p, q, grid) if infinite else None,
    )


class Integral(NamedTuple):
    """A divergence on a grid, and the sums of the two densities over it."""

    divergence: float
    mass_a: float
    mass_b: float


def integrate(a: Density, b: Density, grid: Grid, *, stride: int = 1) -> Integral:
    """KL(a||b) on every *stride*-th node of *grid*, as :func:`kl_divergence` defines it.

    With P, Q, D and S the sums of a, b, b - a and a log(a/b) - a + b, the divergence of the normalised
    densities is S/P - phi(D/P), phi(u) = u - log(1 + u). Where the second part would cancel much of the
    first, a second pass with b scaled by P/Q has S/P alone.
    """
    count, axis = grid.count(stride), grid.record(stride)
    both_by_value = all(isinstance(d, Tabulated) and d.has_plain_values and d.grid == grid for d in (a, b))

    def sums(log_factor: float) -> Floats:
        if both_by_value:
            return kl_integral_of_values.total(count, a.values, b.values, math.exp(log_factor), *axis)  # type: ignore[attr-defined]
        record_a, record_b = a.record(grid), b.record(grid)
        work = record_a.work + record_b.work
        return kl_integral.total(count, *record_a, *record_b, log_factor, *axis, work=work)

    total, mass_a, mass_b, surplus = (float(s) for s in sums(0.0))
    for density, mass in ((a, mass_a), (b, mass_b)):
        require_mass(density, grid, mass)
    correction = phi(surplus / mass_a) if mass_a + surplus > 0.0 else math.inf
    if correction > SCALED_PASS * total / mass_a:
        total, correction = float(sums(math.log(mass_a) - math.log(mass_b))[0]), 0.0
    divergence = total / mass_a - correction
    lost = math.log(mass_inside(a, mass_a)) - math.log(mass_inside(b, mass_b))
    return Integral(divergence + max(lost, 0.0), mass_a, mass_b)


def too_coarse(density: Density, grid: Grid) -> str:
    """What to say of a grid whose step is above the scale of a Normal of *density* on it, or nothing."""
    if isinstance(density, Tabulated):
        return ""
    for bump in density.normals():
        step = grid.step_near(bump.loc)
        if step > bump.scale and grid.lower <= bump.loc <= grid.upper:
            where = f"a Normal of scale {bump.scale:.6g} at {bump.loc:.6g}"
            return f"the grid is too coarse for {where}: its step is {step:.6g} there, and the error cannot be known"
    return ""


def require_mass(density: Density, grid: Grid, mass: float) -> None:
    """Refuse a density that is 0, or too small for a double, on all of the grid."""
    if not mass > 0.0:
        raise ValueError(f"{density!r} has no mass on the grid [{grid.lower!r}, {grid.upper!r}]: its sum is {mass!r}")


def normal_kl(p: Normal, q: Normal) -> float:
    """KL(p||q) of two Normals, as a sum of three non-negative parts."""
    widening, shift = (p.scale - q.scale) / q.scale, (p.loc - q.loc) / q.scale
    return phi(widening) + 0.5 * widening * widening + 0.5 * shift * shift


def nats_per_unit(base: float | None) -> float:
    """log(base), or 1 for nats."""
    if base is None:
        return 1.0
    base = as_real(base, "base")
    if base <= 0.0 or base == 1.0:
        raise ValueError(f"base must be a positive number other than 1, or None for nats, got {base!r}")
    return math.log(base)


def common_grid(p: Density, q: Density | None = None) -> Grid:
    """The grid to use when none is given: that of a table, or one that covers the formulas."""
    grids = [d.grid for d in (p, q) if isinstance(d, Tabulated)]
    if not grids:
        return Grid.cover(p, q)
    if grids[0] != grids[-1]:
        raise ValueError(f"p and q are tabulated on different grids, {grids[0]!r} and {grids[-1]!r}; give grid=")
    return grids[0]


def mass_outside(density: Density, grid: Grid, summed: float) -> float:
    """The probability outside the grid, from the formula or else from the sum over the grid."""
    outside = density.mass_outside(grid)
    return max(1.0 - summed, 0.0) if outside is None else outside


def mass_inside(density: Density, summed: float) -> float:
    """The probability inside the grid as the divergence counts it: a table lives on its grid."""
    return 1.0 if isinstance(density, Tabulated) else min(1.0, summed)


def _first_infinite(p: Density, q: Density, grid: Grid) -> float | None:
    for run, nodes in grid.chunk(2**16):
        logs = [np.empty(nodes.size), np.empty(nodes.size)]
        for density, out in zip((p, q), logs, strict=True):
            log_density(nodes.size, *density.record(grid), *grid.record(), run.start, out, offset=run.start)
        infinite = (logs[0] > -np.inf) & (logs[1] == -np.inf)
        if infinite.any():
            return float(nodes[int(np.argmax(infinite))])
    return None
