"""The end of a run of a fit: a density q, and the local shape of the divergence there."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastkl.fitting.charts import Chart
from fastkl.validation import Floats


class Outcome(enum.Enum):
    """How a run ends; the value is the message of a fit that ends so, empty if it may be a success."""

    CONVERGED = ""
    ESCAPED = (
        "no minimum on the grid: all {runs} runs escaped, with more than half of q outside; "
        "is p still falling at its edge, or flat?"
    )
    AT_STEP = "q has shrunk to the step of the grid, {step:.3g}; {remedy}"
    NOT_IDENTIFIED = (
        "not identified: the counts fill {cells} of an axis, and q fits them ever better as it shrinks, with a "
        "divergence that tends to 0; take narrower cells, or hold a parameter"
    )
    AT_END = "no minimum: q would be closer to p if it ended before p does, where it may not be 0"
    AT_LIMIT = "no minimum: {limit}"
    OUT_OF_PASSES = "not converged: a gradient of {gradient:.2g} after max_passes; raise max_passes"
    FLAT = "not identified: the divergence is flat at a gradient of {gradient:.2g}, so that other q are as close{hint}"
    STALLED = "not converged: the divergence no longer falls at a gradient of {gradient:.2g}, above gtol{hint}"


@dataclass(frozen=True, eq=False)
class Point:
    """The end of a run: a q, the gradient and the Hessian there, and how the run ended."""

    chart: Chart
    state: Floats
    value: float
    gradient: Floats
    hessian: Floats
    outcome: Outcome
    nit: int = 0

    @property
    def q(self) -> Any:
        return self.chart.density(self.state)

    @property
    def gradient_norm(self) -> float:
        return float(np.abs(self.gradient).max())

    @property
    def smallest_scale(self) -> float:
        """The smallest scale of q on any axis."""
        return float(self.chart.scales(self.state[np.newaxis]).min())

    @property
    def min_eigenvalue(self) -> float:
        if self.hessian.shape == (2, 2):
            return float(smaller_eigenvalue(self.hessian[0, 0], self.hessian[0, 1], self.hessian[1, 1]))
        return float(np.linalg.eigvalsh(self.hessian)[0]) if np.isfinite(self.hessian).all() else float("nan")

    def apart(self, other: Point) -> float:
        """The largest difference from another point in any coordinate."""
        return self.chart.apart(self.state, other.state)


def smaller_eigenvalue(a: Any, b: Any, c: Any) -> Any:
    """The smaller eigenvalue of symmetric matrices [[a, b], [b, c]], of numbers or arrays."""
    half = 0.5 * (a - c)
    return 0.5 * (a + c) - np.sqrt(half * half + b * b)
