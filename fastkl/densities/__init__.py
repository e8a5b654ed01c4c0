"""Densities that are no family: mixtures, values on a grid, functions, and densities of other libraries."""

from fastkl.densities.adapted import as_density
from fastkl.densities.histogram import Histogram
from fastkl.densities.mixture import Mixture
from fastkl.densities.tabulated import Tabulated
from fastkl.density import Density

__all__ = ["Density", "Histogram", "Mixture", "Tabulated", "as_density"]
