"""Grids: the points on which densities are known and integrals are summed."""

from fastkl.grids.axis import Axis
from fastkl.grids.grid import Grid, as_grid

__all__ = ["Axis", "Grid", "as_grid"]
