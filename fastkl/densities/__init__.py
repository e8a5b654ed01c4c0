"""Densities: known by a formula, or by their values on a grid."""

from fastkl.densities.density import Density
from fastkl.densities.mixture import Mixture
from fastkl.densities.normal import Normal
from fastkl.densities.tabulated import Tabulated

__all__ = ["Density", "Mixture", "Normal", "Tabulated"]
