"""Search for all local minima by damped Newton steps, from many starts at once, on a coarse and then the whole grid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastkl.fitting.objectives import Local, Objective
from fastkl.fitting.point import Outcome, Point
from fastkl.kernels.descent import (
    FAR,
    FLAT,
    LARGEST_STEP,
    LAST_PLACES,
    MASS_OF_ESCAPE,
    NUDGE,
    ROUNDING,
    SAME_MINIMUM,
    SMALLEST_SHARE,
    SUFFICIENT,
)
from fastkl.validation import Floats

FINEST_IN_SCALE = 3.0
"""Number of points in a scale below which a coarse run moves to a finer grid."""

GTOLS = 1e-3, 1e-11
"""Gradient tolerances on the coarse and the middle level: so tight that the whole grid only confirms the minimum."""
MAX_COARSE_PASSES = 200
"""Largest number of passes of a run over a coarse grid."""
MAX_REFINEMENTS = 12
"""Largest number of times that a run moves to a finer grid: each halves a stride, which is 4096 at most."""
NEARLY_SAME = 1e-2
"""Distance in any coordinate below which two runs on a coarse grid go on as one."""


def ends_of_runs(objective: Objective, starts: Iterable[Floats], *, gtol: float, max_passes: int) -> list[Point]:
    """Distinct ends of the runs from all starts, on ever finer grids, each begun at the ends on the one before."""
    states = np.array(list(starts))
    nits = np.zeros(len(states), np.int64)
    ends: list[Point] = []
    for level in range(len(GTOLS)):
        going: list[Point] = []
        for end in _coarse(objective, states, nits, level, min(max_passes, MAX_COARSE_PASSES)):
            add_new(ends if end.outcome is Outcome.ESCAPED else going, end, NEARLY_SAME)
        states, nits = np.array([end.state for end in going]), np.array([end.nit for end in going])
        if not going:
            break
    if not states.size:
        return ends
    fine = descend(objective, states, gtol=gtol, max_passes=max_passes, nits=nits)
    for end in sorted(fine, key=lambda end: end.value):
        add_new(ends, end, max(SAME_MINIMUM, _ripple(objective, end)))
    return ends


def _ripple(objective: Objective, end: Point) -> float:
    """Distance of the minima into which the nodes split one if q has a kink: two steps, in scales; otherwise 0."""
    if not objective.chart.kinked:
        return 0.0
    state = end.state[np.newaxis]
    return float((2.0 * objective.steps(state) / objective.chart.scales(state)).max())


def add_new(points: list[Point], point: Point, tolerance: float) -> None:
    """Add a point unless there is one that ended in the same way within *tolerance*."""
    if all(point.outcome is not other.outcome or point.apart(other) > tolerance for other in points):
        points.append(point)


def _coarse(objective: Objective, states: Floats, nits: Any, level: int, max_passes: int) -> list[Point]:
    """Ends of runs on as few nodes as the scales allow, and on more if a scale shrinks."""
    ends: list[Point] = []
    for _ in range(MAX_REFINEMENTS):
        strides = objective.strides(states, level)
        found = descend(objective, states, strides, gtol=GTOLS[level], max_passes=max_passes, nits=nits)
        finer = [
            end.outcome is Outcome.AT_STEP and bool((own > 1).any()) for end, own in zip(found, strides, strict=True)
        ]
        ends += [end for end, more in zip(found, finer, strict=True) if not more]
        again = [end for end, more in zip(found, finer, strict=True) if more]
        if not again:
            break
        states, nits = np.array([end.state for end in again]), [end.nit for end in again]
    else:
        ends += again
    return ends


def descend(
    objective: Objective, states: Floats, strides: Any = None, *, gtol: float, max_passes: int, nits: Any = 0
) -> list[Point]:
    """Ends of damped Newton steps from each state, taken until the gradient is at most *gtol* or a run has to stop.

    *nits* are the numbers of steps that led to the states; without *strides* every node counts.
    """
    runs = _Runs(objective, states, strides, nits, gtol)
    for _ in range(max_passes - 1):
        if not runs.advance():
            break
    return runs.ends()


class _Runs:
    """Several runs side by side; a pass over the grid tries one step of each."""

    def __init__(self, objective: Objective, states: Floats, strides: Any, nits: Any, gtol: float) -> None:
        self.objective, self.chart, self.gtol = objective, objective.chart, gtol
        self.states = np.array(states, dtype=np.float64)
        self.strides = np.ones((len(states), objective.grid.ndim), np.int64) if strides is None else strides
        coarse = np.where(self.strides > 1, FINEST_IN_SCALE, 1.0) * self.strides
        self.floor = coarse * objective.steps(self.states)
        self.local = objective(self.states, self.strides)
        self.nit = np.zeros(len(states), np.int64) + nits
        self.gtols = self._gtols(slice(None))
        self.share = np.ones(len(states))
        self.step, self.slope, lowest = newton_steps(self.local)
        self.outcomes: list[Outcome | None] = [None] * len(states)
        self._look(range(len(states)), lowest)

    def advance(self) -> bool:
        """Try a step of every run that goes on; False if there is none."""
        active = np.array([k for k, outcome in enumerate(self.outcomes) if outcome is None], dtype=np.int64)
        while active.size:  # a scale below the floor needs no pass to be refused
            trial = self.chart.move(self.states[active], self.share[active, np.newaxis] * self.step[active])
            covers = self.chart.covers(trial)
            fine = (
                (self.chart.scales(trial) >= self.floor[active]).all(axis=1) & np.isfinite(trial).all(axis=1) & covers
            )
            if fine.all():
                break
            self.share[active[~fine]] *= 0.5
            for k, reaches in zip(active[~fine].tolist(), covers[~fine].tolist(), strict=True):
                near = (self.chart.scales(self.states[k : k + 1])[0] < 1.5 * self.floor[k]).any()
                if self.share[k] < SMALLEST_SHARE or near:
                    self.outcomes[k] = Outcome.AT_STEP if reaches else Outcome.AT_END
            active = np.array([k for k in active.tolist() if self.outcomes[k] is None], dtype=np.int64)
        if not active.size:
            return False
        found = self.objective(trial, self.strides[active])
        before = self.local.value[active]
        rounding = ROUNDING * np.maximum(np.abs(before), 1.0)
        promised = SUFFICIENT * self.share[active] * self.slope[active]
        with np.errstate(invalid="ignore"):
            taken: Any = np.asarray(found.value <= before + promised + rounding)
        norms, norms_before = (np.abs(g).max(axis=1) for g in (found.gradient, self.local.gradient[active]))
        for i, k in enumerate(active.tolist()):
            if not taken[i]:
                self.share[k] *= 0.5
                if self.share[k] < SMALLEST_SHARE:
                    ahead = self.chart.move(self.states[k : k + 1], self.step[k : k + 1])
                    self.outcomes[k] = Outcome.STALLED if self.chart.covers(ahead)[0] else Outcome.AT_END
            elif found.value[i] >= before[i] - rounding[i] and norms[i] >= norms_before[i] > self.gtols[k]:
                self.outcomes[k] = Outcome.STALLED
                taken[i] = False
        chosen = active[taken]
        self.states[chosen] = trial[taken]
        for mine, theirs in zip(self.local, found, strict=True):
            mine[chosen] = theirs[taken]
        self.gtols[chosen] = self._gtols(chosen)
        self.nit[chosen] += 1
        self.share[chosen] = 1.0
        self.step[chosen], self.slope[chosen], lowest = newton_steps(found.at(taken))
        self._look(chosen.tolist(), lowest)
        return True

    def _gtols(self, runs: Any) -> Floats:
        """The gradients of converged runs: what gtol allows, and what a change by a last place makes of them."""
        sizes = self.chart.sizes(self.states[runs])[:, np.newaxis]
        if not (sizes > FAR).any():
            return np.full(len(sizes), self.gtol)
        changes = np.abs(self.local.hessian[runs]) * np.where(sizes > FAR, LAST_PLACES * sizes, 0.0)
        return np.asarray(self.gtol + changes.sum(axis=-1).max(axis=-1))

    def _look(self, runs: Iterable[int], lowest: Floats) -> None:
        """Note the runs that have converged, escaped or reached a limit; *lowest* are their smallest eigenvalues."""
        for k, eigenvalue in zip(runs, lowest.tolist(), strict=True):
            norm = np.abs(self.local.gradient[k]).max()
            if not self.local.inside[k] >= MASS_OF_ESCAPE:
                self.outcomes[k] = Outcome.ESCAPED
            elif self.chart.limit(self.states[k]):
                self.outcomes[k] = Outcome.AT_LIMIT
            elif norm <= self.gtols[k] and eigenvalue > 0.0:
                self.outcomes[k] = Outcome.CONVERGED

    def ends(self) -> list[Point]:
        """The points at which the runs are now."""
        return [
            Point(
                self.chart, self.states[k], float(self.local.value[k]), self.local.gradient[k], self.local.hessian[k],
                self.outcomes[k] or Outcome.OUT_OF_PASSES, int(self.nit[k]),
            )
            for k in range(len(self.states))
        ]  # fmt: skip


def newton_steps(local: Local) -> tuple[Floats, Floats, Floats]:
    """Steps downhill, their slopes, and the smallest eigenvalues of the Hessians.

    The steps are Newton's, with the eigenvalues made positive, and at most `LARGEST_STEP` in any coordinate.
    """
    usable: Any = np.isfinite(local.gradient).all(axis=1) & np.isfinite(local.hessian).all(axis=(1, 2))
    gradient = np.where(usable[:, np.newaxis], local.gradient, 0.0)
    hessian = np.where(usable[:, np.newaxis, np.newaxis], local.hessian, np.eye(gradient.shape[1]))
    eigenvalues, vectors = np.linalg.eigh(hessian)
    largest = np.maximum(np.abs(eigenvalues).max(axis=1, keepdims=True), 1e-300)
    curvature = np.maximum(np.abs(eigenvalues), 1e-8 * largest)
    along = np.einsum("nij,ni->nj", vectors, gradient) / curvature
    flat = np.abs(along).max(axis=1) < NUDGE * FLAT
    along[:, 0] = np.where(flat & (eigenvalues[:, 0] < 0.0), NUDGE, along[:, 0])
    step = -np.einsum("nij,nj->ni", vectors, along)
    step *= np.minimum(1.0, LARGEST_STEP / np.maximum(np.abs(step).max(axis=1), 1e-300))[:, np.newaxis]
    return step, np.minimum((step * gradient).sum(axis=1), 0.0), eigenvalues[:, 0]
