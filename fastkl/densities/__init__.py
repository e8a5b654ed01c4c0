"""Densities: given by a formula, by values on a grid, by a function, or by another library."""

from fastkl.densities.adapted import as_density
from fastkl.densities.density import Density
from fastkl.densities.mixture import Mixture
from fastkl.densities.normal import MultivariateNormal, Normal
from fastkl.densities.skewed import Beta, Gamma, LogNormal
from fastkl.densities.symmetric import Laplace, Logistic, StudentT
from fastkl.densities.tabulated import Tabulated

__all__ = [
    "Beta",
    "Density",
    "Gamma",
    "Laplace",
    "LogNormal",
    "Logistic",
    "Mixture",
    "MultivariateNormal",
    "Normal",
    "StudentT",
    "Tabulated",
    "as_density",
]
