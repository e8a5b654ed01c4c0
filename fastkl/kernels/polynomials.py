"""Sums of polynomials of D coordinates over a grid, row by row.

Along a row only the last coordinate changes. So a row gives a few sums of powers of that coordinate, and every
monomial takes one of them, times a monomial of the other coordinates, which costs nothing compared with the points.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkl.jit import block

Indices = NDArray[np.int64]


class Monomials(NamedTuple):
    """Table of all monomials of D coordinates up to a degree, in the order of :func:`exponents`, for kernels."""

    parent: Indices
    """Index of the parent of each monomial of the coordinates but the last, which is its parent times a coordinate."""
    factor: Indices
    """Index of the coordinate that, times its parent, gives each monomial of the coordinates but the last."""
    outer: Indices
    """Index of the monomial of the coordinates but the last that each monomial contains."""
    power: Indices
    """Power of the last coordinate that each monomial contains."""


@cache
def exponents(ndim: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """The exponents of every monomial, low degrees first: 1, the coordinates, their products ..."""
    found = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(range(ndim), total):
            found.append(tuple(chosen.count(d) for d in range(ndim)))
    return tuple(found)


@cache
def monomials(ndim: int, degree: int) -> Monomials:
    """The table of the monomials of *ndim* coordinates up to *degree*."""
    outer = exponents(ndim - 1, degree)
    parent, factor = np.zeros(len(outer), np.int64), np.zeros(len(outer), np.int64)
    for i, powers in enumerate(outer[1:], start=1):
        d = next(d for d, power in enumerate(powers) if power)
        parent[i] = outer.index((*powers[:d], powers[d] - 1, *powers[d + 1 :]))
        factor[i] = d
    rows = [(outer.index(powers[:-1]), powers[-1]) for powers in exponents(ndim, degree)]
    return Monomials(parent, factor, *np.ascontiguousarray(np.array(rows, dtype=np.int64).T))


@block
def enter_component(W, centre, outer, z):
    """(|z|**2 without the last entry, location at which that is 0) on a row, z = W (x - centre); fills in the rest."""
    inner = outer.size
    squared, shift = 0.0, 0.0
    for i in range(inner):
        z[i] = 0.0
        for j in range(i + 1):
            z[i] += W[i, j] * (outer[j] - centre[j])
        squared += z[i] * z[i]
        shift += W[inner, i] * (outer[i] - centre[i])
    return squared, centre[inner] - shift / W[inner, inner]


@block
def fill_products(share, z, monomials, products):
    """Fill in *products*, share times every monomial of the coordinates but the last."""
    products[0] = share
    for i in range(1, monomials.parent.size):
        products[i] = products[monomials.parent[i]] * z[monomials.factor[i]]


@block
def add_row(products, sums, monomials, out):
    """Add the sums of a row, by powers of the last coordinate, to those of all monomials."""
    for m in range(monomials.outer.size):
        out[m] += products[monomials.outer[m]] * sums[monomials.power[m]]
