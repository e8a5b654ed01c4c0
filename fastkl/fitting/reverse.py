"""The reverse fit of a Normal: every local minimum of KL(q||p), by damped Newton steps, coarse to fine.

With q conditioned on the grid, q_i = u_i / sum(u), u = w exp(-z**2/2), and G = log(q/p), the divergence is
E[G] under q. Its derivatives in (loc/scale, log(scale)) follow from the scores s = (z, z**2) and their
own derivatives C = ((-1, -2 z), (-2 z, -2 z**2)):

    gradient  cov(s, G)
    Hessian   cov(s, s) + E[(s - E s)(s - E s)' (G - E G)] + cov(C, G).

All of it is made of ten sums, E[z**k] and E[z**k G] for k up to 4: one pass is one Newton step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from fastkl.densities import Density
from fastkl.densities.normal import LOG_SQRT_2PI
from fastkl.fitting.point import AT_STEP, CONVERGED, ESCAPED, OUT_OF_PASSES, STALLED, Point
from fastkl.fitting.starts import Start
from fastkl.grids import Grid
from fastkl.kernels.moments import normal_moments
from fastkl.validation import Floats

WINDOW = 12.0
"""Nodes more than this many scales from loc weigh less than 1e-31."""

COARSE_STEPS = 8
"""Points in a scale on the coarse grid: a Normal needs 2 for 15 digits, the rest is for p."""
TOO_COARSE = 4.0
"""A coarse minimum with fewer points in a scale is sought again on a finer grid."""

COARSE_GTOL = 1e-6
MAX_COARSE_PASSES = 200
MAX_STEP = 1.0
"""In either coordinate: a scale or a factor of e."""
SAME_MINIMUM = 1e-6
"""Distance in either coordinate below which two minima are one."""
NEARLY_SAME = 1e-2
MASS_OF_ESCAPE = 0.5
"""Mass outside the grid at which a run has escaped."""

AT_KINK = 1e-12
"""Where the masses agree to this, their ratio counts as 1: for q = p, the minimum lies on that kink."""
SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises which a step has to bring (Armijo)."""
SMALLEST_SHARE = 1e-9
"""Share of a Newton step below which the run has stalled."""
ROUNDING = 1e-13
"""Relative differences of the objective below this mean nothing."""


class ReverseObjective:
    """KL(q||p) on a grid as a function of (loc, scale), with gradient and Hessian."""

    def __init__(self, p: Density, grid: Grid, *, mass: float, log_mass_inside: float) -> None:
        """*mass* is the sum of p over the grid, *log_mass_inside* that of `fastkl.integrals` (B)."""
        self.p_record = p.record(grid)
        self.grid = grid
        self.log_mass = math.log(mass)
        self.log_mass_inside = log_mass_inside
        self.points_read = 0

    def __call__(self, loc: float, scale: float, stride: int = 1) -> Point:
        first, count = self.grid.line.window(loc - WINDOW * scale, loc + WINDOW * scale, stride)
        p, axis = self.p_record, self.grid.record(stride)
        sums = normal_moments.total(count, loc, scale, *p, *axis, offset=first, work=p.work)
        self.points_read += count
        total, m, g = sums[0], sums[:5] / sums[0], sums[5:] / sums[0]

        value = g[0] - math.log(total) + self.log_mass
        cov_s = np.array([[m[2] - m[1] * m[1], m[3] - m[1] * m[2]], [m[3] - m[1] * m[2], m[4] - m[2] * m[2]]])
        cov_g = np.array([g[1] - m[1] * g[0], g[2] - m[2] * g[0]])
        mean_s, mean_sg = m[1:3], g[1:3]
        crossed = np.outer(mean_s, mean_sg)
        third = np.array([[g[2], g[3]], [g[3], g[4]]]) - crossed - crossed.T
        third += np.outer(mean_s, mean_s) * g[0] - cov_s * g[0]
        cov_c = -2.0 * np.array([[0.0, cov_g[0]], [cov_g[0], cov_g[1]]])
        gradient, hessian = cov_g, cov_s + third + cov_c

        # Where the grid holds more of q than of p, the divergence has log(A/B) on top.
        log_inside = min(math.log(total) - math.log(scale) - LOG_SQRT_2PI, 0.0)
        if log_inside > self.log_mass_inside + AT_KINK:
            value += log_inside - self.log_mass_inside
            if log_inside < 0.0:
                gradient = gradient + np.array([m[1], m[2] - 1.0])
                hessian = hessian + cov_s - np.array([[1.0, 2.0 * m[1]], [2.0 * m[1], 2.0 * m[2]]])
        return Point(float(loc), float(scale), float(value), gradient, hessian)

    def descend(self, start: Start, stride: int, gtol: float, max_passes: int) -> Point:
        """Damped Newton steps from *start* until the gradient is below *gtol*, or another reason to stop."""
        loc, scale = start
        point = self(loc, max(scale, self.grid.line.step_near(loc) * stride), stride)
        passes = 1
        for nit in itertools.count():
            if point.is_minimum(gtol):
                return point.ended(CONVERGED, nit)
            if point.q.mass_outside(self.grid) > MASS_OF_ESCAPE:
                return point.ended(ESCAPED, nit)
            step, slope = newton_step(point.gradient, point.hessian)
            smallest = self.grid.line.step_near(point.loc) * stride
            if point.scale <= smallest and point.gradient[1] > 0.0:
                return point.ended(AT_STEP, nit)
            rounding = ROUNDING * max(abs(point.value), 1.0)
            share = 1.0
            while True:
                if passes >= max_passes:
                    return point.ended(OUT_OF_PASSES, nit)
                if share < SMALLEST_SHARE:
                    return point.ended(STALLED, nit)
                loc = point.loc + share * step[0] * point.scale
                trial = self(loc, max(point.scale * math.exp(share * step[1]), smallest), stride)
                passes += 1
                if trial.value <= point.value + SUFFICIENT * share * slope + rounding:
                    break
                share *= 0.5
            if trial.value >= point.value - rounding and trial.gradient_norm >= point.gradient_norm > gtol:
                return point.ended(STALLED, nit)
            point = trial
        raise AssertionError("unreachable: the count of Newton steps has no end")


def newton_step(gradient: Floats, hessian: Floats) -> tuple[Floats, float]:
    """A step downhill and its slope: Newton's, with the Hessian's eigenvalues made positive, and bounded."""
    eigenvalues, vectors = np.linalg.eigh(hessian)
    curvature = np.maximum(np.abs(eigenvalues), 1e-8 * max(np.abs(eigenvalues).max(), 1e-300))
    step = -vectors @ ((vectors.T @ gradient) / curvature)
    step = step * min(1.0, MAX_STEP / max(np.abs(step).max(), 1e-300))
    return step, float(step @ gradient)


def ends_of_runs(objective: ReverseObjective, starts: Iterable[Start], *, gtol: float, max_passes: int) -> list[Point]:
    """Where the runs from all starts end, without repetition: coarse from each, fine from each end of those."""
    coarse: list[Point] = []
    for start in starts:
        _add_new(coarse, _coarse(objective, start), NEARLY_SAME)
    fine: list[Point] = []
    for end in coarse:
        if end.status != ESCAPED:
            polished = objective.descend((end.loc, end.scale), 1, gtol, max_passes)
            end = polished.ended(polished.status, end.nit + polished.nit)
        _add_new(fine, end, SAME_MINIMUM)
    return fine


def _add_new(points: list[Point], point: Point, tolerance: float) -> None:
    if all(point.status != other.status or point.distance(other) > tolerance for other in points):
        points.append(point)


def _coarse(objective: ReverseObjective, start: Start) -> Point:
    """Descend on as few nodes as the scale allows, and on more when it has shrunk."""
    nit = 0
    while True:
        stride = max(1, int(start[1] / (COARSE_STEPS * objective.grid.line.step_near(start[0]))))
        point = objective.descend(start, stride, COARSE_GTOL, MAX_COARSE_PASSES)
        nit += point.nit
        fine_enough = point.scale >= TOO_COARSE * objective.grid.line.step_near(point.loc) * stride
        if stride == 1 or fine_enough or point.status == ESCAPED:
            return point.ended(point.status, nit)
        start = (point.loc, point.scale)
