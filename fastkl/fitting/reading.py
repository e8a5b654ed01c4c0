"""The reading of p on the grid of a task: all that passes over it find, each pass made once, when it is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastkl.densities import Histogram, Tabulated
from fastkl.densities.moments import Moments, moments, rough_moments
from fastkl.fitting.binned import Binned
from fastkl.fitting.charts import ExponentialChart
from fastkl.fitting.landscape import Landscape, landscape
from fastkl.fitting.objectives import OBJECTIVES, ForwardExponential, Objective, Statistics, statistics
from fastkl.fitting.point import Outcome
from fastkl.fitting.search import descend
from fastkl.fitting.starts import state_of_moments
from fastkl.fitting.status import FitStatus, RefusedFitError
from fastkl.fitting.task import Task
from fastkl.integrals import first_zero, log_mass_inside, refuse_poles, require_mass
from fastkl.jit import SMALL_POINTS
from fastkl.validation import Floats

GTOL, PASSES = 1e-10, 50
"""Gradient tolerance and largest number of passes of a fit to few points."""


@dataclass(eq=False)
class Count:
    """The number of points at which a fit has evaluated densities, on all of its grids."""

    points: int = 0


class Reading:
    """Passes over the target of a task, counted in `count`."""

    def __init__(self, task: Task, count: Count | None = None) -> None:
        self.task = task
        self.count = Count() if count is None else count

    def on(self, task: Task) -> Reading:
        """The reading of the target on the grid of another task, which goes on counting."""
        return Reading(task, self.count)

    @cached_property
    def landscape(self) -> Landscape:
        """The landscape of the target, from one pass."""
        task = self.task
        found = landscape(task.target, task.grid)
        self.count.points += task.grid.size
        if found.peak.max() == math.inf:
            refuse_poles(task.grid, task.target)
        return found

    @cached_property
    def moments(self) -> Moments:
        """The moments of the target on the grid, from one pass."""
        found = moments(self.task.target, self.task.grid)
        self.count.points += self.task.grid.size
        self._require_mass(found.mass)
        return found

    @cached_property
    def guess(self) -> Moments:
        """Approximate moments of the target, from a few points if they show it, else from all."""
        task = self.task
        found = rough_moments(task.target, task.grid)
        return self.moments if task.chart.of_moments(found.mean, found.cov, task.direction) is None else found

    @cached_property
    def statistics(self) -> Statistics:
        """The statistics of the target for an exponential family, in one pass, relative to a q from a few points."""
        target, grid, chart = self.task.target, self.task.grid, self.task.chart
        assert isinstance(chart, ExponentialChart)
        state = self._of_few_points(chart)
        found = statistics(target, grid, chart, state)
        self.count.points += grid.size
        self._require_mass(found.mass)
        return found

    def _of_few_points(self, chart: ExponentialChart) -> Floats:
        """The state of the fit to a few of the points, or of the moments if these do not show p."""
        target, grid = self.task.target, self.task.grid
        state = state_of_moments(self.task, self.guess.mean, self.guess.cov)
        few = statistics(target, grid, chart, state, max(grid.size // SMALL_POINTS, 1))
        if not 0.0 < few.mass < math.inf:
            return state
        near = descend(ForwardExponential(grid, chart, few, 0.0), state[None], gtol=GTOL, max_passes=PASSES)[0]
        return near.state if near.outcome is Outcome.CONVERGED else state

    def _require_mass(self, mass: float) -> None:
        if not math.isfinite(mass):
            refuse_poles(self.task.grid, self.task.target)
        require_mass(self.task.target, self.task.grid, mass)

    @cached_property
    def mass(self) -> float:
        """The sum of the target over the grid."""
        if self.is_own_table:
            return 1.0  # a table is normalised to 1 on its own grid
        if self.task.direction == "forward" and isinstance(self.task.chart, ExponentialChart):
            return self.statistics.mass
        return self.moments.mass

    @property
    def is_own_table(self) -> bool:
        """Whether the target is a table on the nodes of the grid."""
        return isinstance(self.task.target, Tabulated) and self.task.target.grid == self.task.grid

    @property
    def log_mass_inside(self) -> float:
        """Logarithm of the target's mass on the grid, as the divergence counts it."""
        return log_mass_inside(self.task.target, self.mass)

    @cached_property
    def objective(self) -> Objective:
        """The divergence that the fit minimises, as a function of states."""
        if isinstance(self.task.target, Histogram):
            return Binned(self)
        return OBJECTIVES[self.task.direction, type(self.task.chart)](self)

    def refuse_zeros(self) -> None:
        """Refuse a reverse fit of a p that is 0 where every q is positive, which makes every divergence infinite."""
        target, grid, chart = self.task.target, self.task.grid, self.task.chart
        zero = first_zero(target, grid, chart.support) if self.landscape.has_zero else None
        if zero is None:
            return
        place = ", ".join(f"{x:.6g}" for x in zero)
        if isinstance(target, Histogram):
            raise RefusedFitError.of(
                FitStatus.ZERO,
                f"{np.count_nonzero(target.counts == 0.0)} of {target.counts.size} cells are empty, first that at "
                f"x = {place}, so KL(q||p) is infinite for every q with mass there: add a pseudocount (0.5 for each "
                "cell: from_histogram(..., pseudocount=0.5)), estimate a smooth p from the observations themselves "
                "(Tabulated.from_samples), or fit with direction='forward', which takes empty cells as they are",
            )
        start = f"p is 0 at x = {place}, so KL(q||p) is infinite for every q that is not 0 there; "
        if grid.ndim == 1 and not target.support[0] <= zero[0] <= target.support[1]:
            lower, upper = target.support
            raise ValueError(f"{start}p lives between {lower:g} and {upper:g}: take a family that does, or that grid")
        if isinstance(target, Tabulated) and not target.grid.contains(grid):
            raise ValueError(f"{start}its table lives on {target.grid!r}: fit on that grid")
        raise RefusedFitError.of(
            FitStatus.ZERO,
            f"{start}give p as log-densities (log=True, a column logp), which do not underflow, or choose a floor "
            "(Tabulated(..., floor=1e-300), --floor on the command line); a forward fit is not affected",
        )
