"""Problems of fits: the target, the grid, the family and the direction, all checked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density, Mixture, Tabulated
from fastkl.densities.moments import Moments, moments, rough_moments
from fastkl.families.normal import Normal
from fastkl.fitting.charts import Chart, LineChart, MixtureChart, NormalChart, chart_of, family_of
from fastkl.fitting.landscape import Landscape, landscape
from fastkl.fitting.objectives import (
    ForwardExponential,
    ForwardNormal,
    ForwardUnivariate,
    Objective,
    ReverseNormal,
    ReverseUnivariate,
    Statistics,
    statistics,
)
from fastkl.fitting.point import Outcome, Point
from fastkl.fitting.result import Direction
from fastkl.fitting.search import descend
from fastkl.grids import Grid, as_grid
from fastkl.grids.panels import DivergentTailError
from fastkl.integrals import (
    Integral,
    common_grid,
    first_zero,
    integral_of_sums,
    integrate,
    mass_inside,
    refuse_poles,
    require_mass,
)
from fastkl.jit import SMALL_POINTS
from fastkl.validation import Floats

DIRECTIONS = "'forward' (min KL(p||q), q covers all of p) or 'reverse' (min KL(q||p), q settles on a mode of p)"

RESOLVED = 2.0
"""Number of steps in a scale from which a sum over the nodes counts as an integral."""

GTOL, PASSES = 1e-10, 50
"""Gradient tolerance and largest number of passes of a fit to few points."""

FLAT = 1e-12
"""Eigenvalue of the correlations of p below which p has no spread in some direction, up to rounding."""

POINTLIKE = 1e-6
"""Standard deviation of p, in steps of the grid, below which p sits on one node."""

STEPS_OF_START = 2.0
"""Smallest standard deviation of a start, in steps of the grid."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A search for the member q of a family with the least divergence from `target` on `grid`, in one direction."""

    target: Density
    grid: Grid
    direction: Direction
    chart: Chart
    chosen: bool
    """Whether the grid is chosen automatically, and so may be chosen anew."""

    @cached_property
    def landscape(self) -> Landscape:
        """The landscape of the target, from one pass."""
        found = landscape(self.target, self.grid)
        if found.peak.max() == math.inf:
            refuse_poles(self.grid, self.target)
        return found

    @cached_property
    def moments(self) -> Moments:
        """The moments of the target on the grid, from one pass."""
        found = moments(self.target, self.grid)
        self._require_mass(found.mass)
        return found

    @cached_property
    def guess(self) -> Moments:
        """Approximate moments of the target, from a few points if they show it, else from all."""
        found = rough_moments(self.target, self.grid)
        return self.moments if self.chart.of_moments(found.mean, found.cov, self.direction) is None else found

    @cached_property
    def statistics(self) -> Statistics:
        """The statistics of the target for an exponential family, in one pass, relative to a q from a few points."""
        assert isinstance(self.chart, LineChart)
        state = self.state_of_moments(self.guess.mean, self.guess.cov)
        few = statistics(self.target, self.grid, self.chart, state, max(self.grid.size // SMALL_POINTS, 1))
        if 0.0 < few.mass < math.inf:
            near = descend(
                ForwardExponential(self.grid, self.chart, few, 0.0), np.array([state]), gtol=GTOL, max_passes=PASSES
            )
            state = near[0].state if near[0].outcome is Outcome.CONVERGED else state
        found = statistics(self.target, self.grid, self.chart, state)
        self._require_mass(found.mass)
        return found

    def _require_mass(self, mass: float) -> None:
        if not math.isfinite(mass):
            refuse_poles(self.grid, self.target)
        require_mass(self.target, self.grid, mass)

    @cached_property
    def mass(self) -> float:
        """The sum of the target over the grid."""
        if self._is_own_table:
            return 1.0  # a table is normalised to 1 on its own grid
        if self.direction == "forward" and self.chart.is_exponential:
            return self.statistics.mass
        return self.moments.mass

    @property
    def _is_own_table(self) -> bool:
        return isinstance(self.target, Tabulated) and self.target.grid == self.grid

    @property
    def points_read(self) -> int:
        """Number of points that all passes so far have read."""
        passes = sum(name in vars(self) for name in ("landscape", "moments", "statistics"))
        return passes * self.grid.size + self.objective.points_read

    @property
    def log_mass_inside(self) -> float:
        """Logarithm of the target's mass on the grid, as the divergence counts it."""
        return math.log(mass_inside(self.target, self.mass))

    def order(self, q: Density) -> tuple[Density, Density]:
        """The pair (p, q) forward, (q, p) in reverse: the fit minimises KL of the first from the second."""
        return (self.target, q) if self.direction == "forward" else (q, self.target)

    def integral(self, end: Point) -> Integral:
        """The divergence at the end of a run, without another pass if an earlier one has given it."""
        q, state, objective = end.q, end.state[np.newaxis], self.objective
        order = self.order(q)
        if isinstance(objective, ForwardExponential):
            fallen = objective.fallen(end.state)
            whole = None if fallen is None else integral_of_sums(*order, self.grid, objective.found.sums)
            if fallen is not None and whole is not None:
                return whole._replace(divergence=max(whole.divergence - fallen, 0.0))
        resolved = (self.chart.scales(state) >= RESOLVED * objective.steps(state)).all()
        if self._is_own_table and resolved and end.outcome is Outcome.CONVERGED and end.value > objective.digits_above:
            mass_q = 1.0 - q.mass_outside(self.grid)
            mass_a, mass_b = (1.0, mass_q) if self.direction == "forward" else (mass_q, 1.0)
            return Integral(end.value, mass_a, mass_b, 0)
        return integrate(*order, self.grid)

    def covering(self, minima: Iterable[Density]) -> Problem:
        """The problem on a grid that covers the target and the minima."""
        q = Mixture(minima)  # type: ignore[arg-type]
        grid = common_grid(self.target, q) if self.direction == "forward" else _for_either(q, self.target)
        return replace(self, grid=grid)

    @cached_property
    def objective(self) -> Objective:
        """Objective that the fit minimises."""
        sums = {"mass": self.mass, "log_mass_inside": self.log_mass_inside}
        if isinstance(self.chart, NormalChart):
            if self.direction == "forward":
                return ForwardNormal(self.grid, self.chart, self.moments, self.log_mass_inside)
            return ReverseNormal(self.target, self.grid, self.chart, **sums)
        assert isinstance(self.chart, LineChart)
        if self.direction == "reverse":
            return ReverseUnivariate(self.target, self.grid, self.chart, **sums)
        if self.chart.is_exponential:
            return ForwardExponential(self.grid, self.chart, self.statistics, self.log_mass_inside)
        return ForwardUnivariate(self.target, self.grid, self.chart, **sums)

    def state_of_moments(self, mean: Floats, cov: Floats) -> Floats:
        """The state of the member of the family with these moments."""
        state = self.chart.of_moments(mean, cov, self.direction)
        std = np.sqrt(np.maximum(np.diag(cov), 0.0))
        flat = state is not None and cov.shape[0] > 1 and self._is_full() and _least_share(cov, std) < FLAT
        steps = [axis.step_near(x) for axis, x in zip(self.grid._parts, mean, strict=True)]
        if state is None or flat or (std < POINTLIKE * np.array(steps)).any():
            places = np.where(np.abs(mean) < 1e-9 * np.array(steps), 0.0, mean)
            place = ", ".join(f"{x:.6g}" for x in places)
            raise ValueError(
                f"p sits on the single grid point x = {place}, or has no spread in some direction, which no q has"
            )
        return state

    def _is_full(self) -> bool:
        return isinstance(self.chart, NormalChart) and self.chart.covariance_type == "full"

    def starts(self) -> list[Floats]:
        """States at which the runs begin."""
        if isinstance(self.objective, ForwardExponential):
            return [self.objective.found.state]  # there is one minimum, and it is near
        found = [self._wide_enough(*pair) for pair in self._pairs()]
        return [state for state in found if state is not None]

    def _pairs(self) -> Iterable[tuple[Floats, Floats]]:
        if self.direction == "reverse":
            yield from self.landscape.starts()
        else:
            mean, cov = self.guess.mean, self.guess.cov
            yield from ((mean, share * cov) for share in (1.0, 0.1))

    def _wide_enough(self, mean: Floats, cov: Floats) -> Floats | None:
        steps = [STEPS_OF_START * axis.step_near(x) for axis, x in zip(self.grid._parts, mean, strict=True)]
        return self.chart.of_moments(mean, cov + np.diag(np.square(steps)), self.direction)

    def as_state(self, start: Any) -> Floats:
        """The state of a start given by the user, a density or a pair (loc, scale)."""
        if not isinstance(start, Density):
            try:
                loc, scale = start
            except (TypeError, ValueError):
                raise TypeError(f"a start must be a density or a pair (loc, scale), got {start!r}") from None
            start = Normal(loc, scale)
        if start.ndim != self.grid.ndim:
            raise ValueError(f"a start must have {self.grid.ndim} dimensions, got {start!r}")
        if isinstance(start, Normal) and not (isinstance(self.chart, NormalChart) and self.chart.line):
            return self.state_of_moments(np.array([start.loc]), np.array([[start.scale**2]]))
        state = self.chart.state(start)
        if self.direction == "reverse":
            places, scales = self.chart.places(state[np.newaxis])[0], self.chart.scales(state[np.newaxis])[0]
            if (scales < self.objective.steps(state[np.newaxis])[0]).any():  # too narrow for the nodes to see
                wider = self._wide_enough(places, np.diag(scales**2))
                return state if wider is None else wider
        return state

    def refuse_zeros(self) -> None:
        """Refuse a reverse fit of a p that is 0 where every q is positive, which makes every divergence infinite."""
        zero = first_zero(self.target, self.grid, self.chart.support) if self.landscape.has_zero else None
        if zero is None:
            return
        place = ", ".join(f"{x:.6g}" for x in zero)
        start = f"p is 0 at x = {place}, so KL(q||p) is infinite for every q that is not 0 there; "
        if self.grid.ndim == 1 and not self.target.support[0] <= zero[0] <= self.target.support[1]:
            lower, upper = self.target.support
            raise ValueError(f"{start}p lives between {lower:g} and {upper:g}: take a family that does, or that grid")
        if isinstance(self.target, Tabulated) and not self.target.grid.contains(self.grid):
            raise ValueError(f"{start}its table lives on {self.target.grid!r}: fit on that grid")
        raise ValueError(
            f"{start}give p as log-densities (log=True, a column logp), which do not underflow, or choose a floor "
            "(Tabulated(..., floor=1e-300)); a forward fit is not affected"
        )


def problem_of(
    p: Density | ArrayLike,
    family: Any,
    grid: Grid | None,
    direction: str | None,
    *,
    log: bool = False,
    covariance_type: str = "full",
    n_components: int | None = None,
    df: float | None = None,
) -> Problem:
    """The problem that the arguments of `fit` state, all of them checked."""
    known = checked_direction(direction)
    kind = family_of(family)
    target, grid, chosen = target_of(p, grid, log)
    upper = target.support[1] if known == "forward" else -math.inf
    chart = chart_of(kind, target.ndim, covariance_type, n_components, df, upper)
    if isinstance(chart, MixtureChart) and known == "reverse":
        raise ValueError("a mixture is fitted with direction='forward', by expectation maximisation; got 'reverse'")
    if grid is None:
        grid = _cover(target, chart, known)
    problem = Problem(target, grid, known, chart, chosen)
    _check_support(problem, kind.__name__)
    return problem


def _least_share(cov: Floats, std: Floats) -> float:
    """The smallest eigenvalue of the correlation matrix."""
    return float(np.linalg.eigvalsh(cov / np.outer(std, std))[0])


def target_of(p: Density | ArrayLike, grid: Grid | None, log: bool) -> tuple[Density, Grid | None, bool]:
    """(the density, the grid or None if it has to be chosen, whether it has to be chosen)."""
    if isinstance(p, Density):
        if log:
            raise TypeError(f"log=True is for arrays; a {type(p).__name__} knows itself whether it holds logarithms")
        if grid is not None and as_grid(grid).ndim != p.ndim:
            dimensions = "1 dimension" if p.ndim == 1 else f"{p.ndim} dimensions"
            raise ValueError(f"p has {dimensions}, but the grid is of shape {grid.shape}")
        if isinstance(p, Tabulated):
            return p, p.grid if grid is None else grid, False
        return p, grid, grid is None
    if grid is None:
        raise TypeError(
            f"p is not a density but a {type(p).__name__}: values at the nodes of a grid need grid=, "
            "and raw observations go through Tabulated.from_samples"
        )
    return Tabulated(as_grid(grid), p, log=log), grid, False


def _cover(target: Density, chart: Chart, direction: Direction) -> Grid:
    """A grid for p and for a q that covers all of it, which may be wider than every part of p."""
    try:
        mean = np.atleast_1d(target.mean)
    except TypeError:
        raise TypeError(f"{target!r} does not say where it is: give grid=") from None
    cov = np.atleast_2d(target.std**2 if target.ndim == 1 else target.cov)  # type: ignore[attr-defined]
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        return common_grid(target)
    if isinstance(chart, MixtureChart):
        return common_grid(target)
    state = chart.of_moments(mean, cov, direction)
    if state is None:
        return common_grid(target)
    q = chart.density(state)
    return common_grid(target, q) if direction == "forward" else _for_either(target, q)


def _for_either(a: Density, b: Any) -> Grid:
    """A grid for KL(a||b), or for KL(b||a) if KL(a||b) is infinite."""
    try:
        return common_grid(a, b)
    except DivergentTailError:
        return common_grid(b, a)


def _check_support(problem: Problem, family: str) -> None:
    lower, upper = problem.chart.support
    if math.isinf(lower) and math.isinf(upper):
        return
    line = problem.grid._line
    first, last = line.node(0), line.node(line.n - 1)
    if first < lower or last > upper:
        outside = first if first < lower else last
        raise ValueError(
            f"a {family} lives between {lower:g} and {upper:g}, but the grid has a node at {outside:.6g}, where it is 0"
        )
    if problem.direction == "forward":
        for x in (first, last):
            if x in (lower, upper) and problem.target.logpdf(x) > -math.inf:
                raise ValueError(
                    f"p is positive at x = {x:g}, where a {family} may be 0 or infinite: take a grid whose nodes lie "
                    "inside (Grid.from_edges, Grid.gauss_legendre, or later nodes)"
                )


def checked_direction(direction: str | None) -> Direction:
    """*direction* itself, or an error that explains both directions."""
    if direction is None:
        raise TypeError(f"a direction is required: {DIRECTIONS}")
    for known in get_args(Direction):
        if direction == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"direction must be {DIRECTIONS}; got {direction!r}")
