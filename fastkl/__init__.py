"""fastkl: Kullback-Leibler divergences and fits on grids, by compiled kernels."""

# Numba first: deep in a stack of imports, at the end of a chunk of Python's frames, its own import takes 0.15 s longer
import fastkl.jit  # noqa: F401
from fastkl.arrays import entr, entropy, generalized_jensenshannon, jeffreys, jensenshannon, kl_div, log_ratio, rel_entr
from fastkl.bar import progress
from fastkl.densities import Density, Histogram, Mixture, Tabulated, as_density
from fastkl.distances import cdist, pdist
from fastkl.families import MultivariateNormal, table
from fastkl.families.table import *  # noqa: F403
from fastkl.fitting import (
    Comparison,
    FitResult,
    FitResults,
    FitStatus,
    KLObjective,
    KLSurface,
    Members,
    Minimum,
    compare,
    fit,
    kl_objective,
    kl_surface,
)
from fastkl.grids import Grid
from fastkl.integrals import KLResult, kl_divergence
from fastkl.plotting import plot_fits

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Density",
    "FitResult",
    "FitResults",
    "FitStatus",
    "Grid",
    "Histogram",
    "KLObjective",
    "KLResult",
    "KLSurface",
    "Members",
    "Minimum",
    "Mixture",
    "MultivariateNormal",
    "Tabulated",
    "as_density",
    "cdist",
    "compare",
    "entr",
    "entropy",
    "fit",
    "generalized_jensenshannon",
    "jeffreys",
    "jensenshannon",
    "kl_div",
    "kl_divergence",
    "kl_objective",
    "kl_surface",
    "log_ratio",
    "pdist",
    "plot_fits",
    "progress",
    "rel_entr",
]
__all__ += table.__all__
