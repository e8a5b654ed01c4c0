"""Integrals of densities on grids: divergences and masses, with estimates of their errors."""

from fastkl.integrals.divergence import KLResult, common_grid, kl_divergence
from fastkl.integrals.error import error_of_tables, quadrature_error, too_coarse
from fastkl.integrals.quadrature import (
    Integral,
    first_zero,
    integral_of_sums,
    integrate,
    log_mass_inside,
    mass_outside,
    refuse_poles,
    require_mass,
)

__all__ = [
    "Integral",
    "KLResult",
    "common_grid",
    "error_of_tables",
    "first_zero",
    "integral_of_sums",
    "integrate",
    "kl_divergence",
    "log_mass_inside",
    "mass_outside",
    "quadrature_error",
    "refuse_poles",
    "require_mass",
    "too_coarse",
]
