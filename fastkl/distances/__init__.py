"""Matrices of divergences between rows, in the layout of `scipy.spatial.distance`."""

from fastkl.distances.matrices import cdist, pdist

__all__ = ["cdist", "pdist"]
