"""One q on the way of a fit, with the local shape of the divergence there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastkl.fitting.charts import Chart
from fastkl.validation import Floats

CONVERGED, ESCAPED, AT_STEP, STALLED, OUT_OF_PASSES, AT_LIMIT = (
    "converged",
    "escaped",
    "at the step of the grid",
    "stalled",
    "out of passes",
    "at the limit of the family",
)


@dataclass(frozen=True, eq=False)
class Point:
    """The end of a run: a q, the gradient and the Hessian there, and how the run ended."""

    chart: Chart
    state: Floats
    value: float
    gradient: Floats
    hessian: Floats
    status: str
    nit: int = 0

    @property
    def q(self) -> Any:
        return self.chart.density(self.state)

    @property
    def gradient_norm(self) -> float:
        return float(np.abs(self.gradient).max())

    @property
    def min_eigenvalue(self) -> float:
        return float(np.linalg.eigvalsh(self.hessian)[0]) if np.isfinite(self.hessian).all() else float("nan")

    def apart(self, other: Point) -> float:
        """The largest difference in any coordinate."""
        return self.chart.apart(self.state, other.state)
