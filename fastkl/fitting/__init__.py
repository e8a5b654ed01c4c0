"""Fits of families of densities, forward and reverse."""

from fastkl.fitting.compare import Comparison, compare
from fastkl.fitting.fit import fit
from fastkl.fitting.objective import KLObjective, kl_objective
from fastkl.fitting.result import FitResult, Minimum
from fastkl.fitting.results import FitResults, Members
from fastkl.fitting.status import FitStatus
from fastkl.fitting.surface import KLSurface, kl_surface

__all__ = [
    "Comparison",
    "FitResult",
    "FitResults",
    "FitStatus",
    "KLObjective",
    "KLSurface",
    "Members",
    "Minimum",
    "compare",
    "fit",
    "kl_objective",
    "kl_surface",
]
