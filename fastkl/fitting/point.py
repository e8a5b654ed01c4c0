"""One q on the way of a fit, with the local shape of the divergence there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastkl.densities import Normal
from fastkl.validation import Floats

CONVERGED, ESCAPED, AT_STEP, STALLED, OUT_OF_PASSES = (
    "converged",
    "escaped",
    "at the step of the grid",
    "stalled",
    "out of passes",
)


@dataclass(frozen=True)
class Point:
    """A q, the gradient and the Hessian there in (loc/scale, log(scale)), and how the run stands."""

    loc: float
    scale: float
    value: float
    gradient: Floats
    hessian: Floats
    status: str = ""
    nit: int = 0

    @property
    def q(self) -> Normal:
        return Normal(self.loc, self.scale)

    @property
    def gradient_norm(self) -> float:
        return float(np.abs(self.gradient).max())

    @property
    def min_eigenvalue(self) -> float:
        return float(np.linalg.eigvalsh(self.hessian)[0])

    def is_minimum(self, gtol: float) -> bool:
        """Whether the gradient is at most *gtol* and the Hessian positive definite."""
        return self.gradient_norm <= gtol and self.min_eigenvalue > 0.0

    def ended(self, status: str, nit: int) -> Point:
        """The same point, as the end of a run."""
        return replace(self, status=status, nit=nit)

    def distance(self, other: Point) -> float:
        """The larger of the distances in loc/scale and in log(scale)."""
        along = abs(self.loc - other.loc) / min(self.scale, other.scale)
        return float(max(along, abs(np.log(self.scale / other.scale))))
