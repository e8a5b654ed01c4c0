"""Fits in both directions."""

from fastkl.fitting.fit import fit
from fastkl.fitting.result import FitResult, Minimum

__all__ = ["FitResult", "Minimum", "fit"]
