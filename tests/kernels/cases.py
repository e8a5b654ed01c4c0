"""Grids, densities and slow, readable oracles for the tests of kernels."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest

from fastkl import Grid, Mixture, MultivariateNormal, Normal
from fastkl.kernels.polynomials import exponents
from tests import naive

GRIDS = {
    "uniform": Grid.uniform(-6, 7, 130),
    "any spacing": Grid.from_axes(np.sort(np.random.default_rng(1).uniform(-6, 7, 130))),
}
P = Mixture([Normal(-2, 0.6), Normal(1.5, 0.9), Normal(0, 2)], [0.5, 0.3, 0.2])
Q = Normal(0.3, 1.7)


def exact_p(x):
    parts = zip(P.weights, P.components, strict=True)
    return mp.fsum(mp.mpf(w) * naive.normal_pdf(x, part.loc, part.scale) for w, part in parts)


def exact_q(x):
    return naive.normal_pdf(x, Q.loc, Q.scale)


BOX = Grid.uniform([-5, -4, -6], [4, 5, 5], [9, 10, 11])
GRIDS_OF_MORE_AXES = {
    "two uniform axes": Grid.uniform([-5, -6], [6, 5], [31, 24]),
    "a uniform axis and given nodes": Grid.from_axes(
        np.linspace(-5, 5, 12), np.sort(GRIDS["any spacing"].axes[0][:20])
    ),
    "Simpson's rule": Grid.from_axes(np.linspace(-5, 5, 13), np.linspace(-6, 4, 15) ** 3 / 20, rule="simpson"),
    "cells": Grid.from_edges(np.linspace(-6, 5, 20), np.linspace(-2, 2, 14) ** 3),
    "Gauss-Legendre": Grid.gauss_legendre([-6, -5], [5, 7], [14, 11]),
    "three axes": BOX,
}
RNG = np.random.default_rng(6)


def random_normal(ndim):
    A = RNG.normal(size=(ndim, ndim))
    return MultivariateNormal(RNG.normal(size=ndim), A @ A.T + 0.5 * np.eye(ndim))


NORMALS = {ndim: [random_normal(ndim) for _ in range(4)] for ndim in (2, 3)}


def exact_normal(q, x):
    d = mp.matrix([mp.mpf(a) - mp.mpf(b) for a, b in zip(x, q.mean.tolist(), strict=True)])
    cov = mp.matrix(q.cov.tolist())
    return mp.exp(-(d.T * cov**-1 * d)[0] / 2) / mp.sqrt((2 * mp.pi) ** q.ndim * mp.det(cov))


def naive_points(grid):
    """(weight, point) one after the other, the last axis fastest."""
    for number in np.ndindex(grid.shape):
        yield (
            mp.fprod(mp.mpf(float(w[i])) for w, i in zip(grid.weights, number, strict=True)),
            [float(x[i]) for x, i in zip(grid.axes, number, strict=True)],
        )


LINES = {f"one axis, {name}": grid for name, grid in GRIDS.items()}
GRIDS_OF_ANY_AXES = LINES | GRIDS_OF_MORE_AXES
every_grid = pytest.mark.parametrize("grid", GRIDS_OF_ANY_AXES.values(), ids=GRIDS_OF_ANY_AXES)


def mixture_on(grid):
    return P if grid.ndim == 1 else Mixture(NORMALS[grid.ndim][:3], [0.5, 0.3, 0.2])


def points_and_weights(grid, strides=None):
    """Of every so many-th node of each axis and always the last, by the trapezoid rule; shape (points, ndim)."""
    axes, weights = grid.axes, grid.weights
    if strides is not None and max(strides) > 1:
        axes = [np.append(x[:-1:s], x[-1]) for x, s in zip(axes, strides, strict=True)]
        padded = [np.pad(x, 1, mode="edge") for x in axes]
        weights = [0.5 * (x[2:] - x[:-2]) for x in padded]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, grid.ndim)
    return points, np.prod(np.stack(np.meshgrid(*weights, indexing="ij")), axis=0).ravel()


def logs_of(p, points):
    return p.logpdf(points if p.ndim > 1 else points[:, 0])


def powers_of(z, degree):
    """Every monomial at every z, shape (monomials, points)."""
    return np.array([np.prod(z**power, axis=1) for power in exponents(z.shape[1], degree)])


def sums_and_sizes(terms):
    """Of each row of terms, and of their magnitudes, which is what a sum is accurate to."""
    return terms.sum(axis=-1), np.abs(terms).sum(axis=-1)


def tasks_of(points, cut):
    """Runs of all points of each Normal that end anywhere, also within a row."""
    tasks = []
    for k, n in enumerate(points):
        ends = [0, *(int(share * n) for share in cut), n]
        tasks += [(k, begin, end) for begin, end in pairwise(ends)]
    return np.array(tasks, dtype=np.int64)
