"""Charts of Normals of any dimension."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from fastkl.density import Density
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.families.stirling import LOG_SQRT_2PI
from fastkl.fitting.charts.chart import Chart
from fastkl.kernels.moments import DEGREE, TILTED_DEGREE
from fastkl.kernels.polynomials import exponents
from fastkl.validation import Floats

NDArrayInt = np.ndarray[Any, np.dtype[np.int64]]


class NormalChart(Chart):
    """Normals of any dimension, with mean m and covariance L L': a state is m and then L, row by row.

    A step (d, N) leads to m + L d and L R, where R is N below the diagonal and exp(N) on it. The columns of `basis` are
    the family's steps among those of a full covariance: for N, each entry, those on the diagonal, or one for all of it.
    """

    def __init__(self, ndim: int, covariance_type: str = "full", *, line: bool = False) -> None:
        self.ndim = ndim
        self.line = line
        self.family = Normal if line else MultivariateNormal
        self.covariance_type = covariance_type
        self.is_correlated = ndim > 1 and covariance_type == "full"
        self.entries = [(i, j) for i in range(ndim) for j in range(i + 1)]
        full = ndim + len(self.entries)
        factors = [f"log(L[{i},{i}])" if i == j else f"L[{i},{j}]" for i, j in self.entries]
        basis = np.eye(full)
        on_diagonal = [ndim + k for k, (i, j) in enumerate(self.entries) if i == j]
        if covariance_type == "diag":
            kept = [*range(ndim), *on_diagonal]
            basis, factors = basis[:, kept], [factors[k - ndim] for k in on_diagonal]
        elif covariance_type == "spherical":
            basis = np.column_stack([basis[:, :ndim], basis[:, on_diagonal].sum(axis=1)])
            factors = ["log(scale)"]
        self.basis = basis
        self.parameter_names = ("loc", "log(scale)") if line else (*(f"mean[{i}]" for i in range(ndim)), *factors)

    def state(self, q: Density) -> Floats:
        if isinstance(q, Normal):
            return np.array([q.loc, q.scale])
        if not isinstance(q, MultivariateNormal):
            raise TypeError(f"expected a Normal, got {q!r}")
        return np.concatenate([q.mean, self._restricted(q.cov).ravel()])

    def density(self, state: Floats) -> Normal | MultivariateNormal:
        if self.line:
            return Normal(*state)
        mean, L = self.split(state)
        return MultivariateNormal(mean, L @ L.T)

    def split(self, states: Floats) -> tuple[Floats, Floats]:
        """Means, shape (..., D), and factors L, shape (..., D, D), of states."""
        D = self.ndim
        return states[..., :D], states[..., D:].reshape(*states.shape[:-1], D, D)

    def of_moments(self, mean: Floats, cov: Floats, direction: str = "forward") -> Floats | None:
        try:
            return np.concatenate([mean, self._restricted(cov, direction).ravel()])
        except np.linalg.LinAlgError:
            return None

    def _restricted(self, cov: Floats, direction: str = "forward") -> Floats:
        """The factor L of the member closest to a Normal with *cov*: forward by variances, reverse by precisions."""
        if self.covariance_type == "full":
            return np.asarray(np.linalg.cholesky(cov), dtype=np.float64)
        numbers = np.diag(cov if direction == "forward" else np.linalg.inv(cov))
        shared = np.full(self.ndim, numbers.mean()) if self.covariance_type == "spherical" else numbers
        if not (shared > 0.0).all():
            raise np.linalg.LinAlgError("a variance is not positive")
        return np.diag(shared ** (0.5 if direction == "forward" else -0.5))

    def move(self, states: Floats, steps: Floats) -> Floats:
        D, full = self.ndim, steps @ self.basis.T
        means, L = self.split(states)
        R = np.zeros_like(L)
        for k, (i, j) in enumerate(self.entries):
            R[:, i, j] = np.exp(full[:, D + k]) if i == j else full[:, D + k]
        moved = means + np.einsum("nij,nj->ni", L, full[:, :D])
        return np.concatenate([moved, (L @ R).reshape(len(states), -1)], axis=1)

    def whitenings(self, states: Floats) -> Floats:
        """Inverses W of the Cholesky factors L, shape (n, D, D)."""
        inverse: Floats = np.tril(np.linalg.inv(self.split(states)[1]))
        return inverse

    def places(self, states: Floats) -> Floats:
        return states[:, : self.ndim]

    def scales(self, states: Floats) -> Floats:
        if self.ndim == 1:
            return states[:, 1:]  # a square might not be a double
        scales: Floats = 1.0 / np.sqrt((self.whitenings(states) ** 2).sum(axis=1))
        return scales

    def in_parameters(self, state: Floats, gradient: Floats, hessian: Floats) -> tuple[Floats, Floats]:
        if not self.line:
            return super().in_parameters(state, gradient, hessian)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # of scales below 1e-154
            per_unit = np.array([1.0 / state[1], 1.0])
            return gradient * per_unit, hessian * per_unit * per_unit[:, np.newaxis]

    def sizes(self, states: Floats) -> Floats:
        sizes = np.zeros((len(states), len(self.parameter_names)))
        if self.ndim == 1:
            sizes[:, 0] = np.abs(states[:, 0] / states[:, 1])
            return sizes
        sizes[:, : self.ndim] = (np.abs(self.whitenings(states)) @ np.abs(self.places(states))[..., np.newaxis])[..., 0]
        return sizes

    def apart(self, state: Floats, other: Floats) -> float:
        both = np.stack([state, other])
        means, L = self.split(both)
        W = self.whitenings(both)
        shift = np.abs(W @ (means[1] - means[0])).max()
        ratio = W[0] @ L[1]
        stretch = np.abs(np.log(np.diag(ratio))).max()
        return float(max(shift, stretch, np.abs(np.tril(ratio, -1)).max(initial=0.0)))

    def _free(self) -> list[tuple[int, int]]:
        """The entries of L that are parameters; for a spherical covariance the first stands for the whole diagonal."""
        on_diagonal = [(i, i) for i in range(self.ndim)]
        return {"full": self.entries, "diag": on_diagonal, "spherical": on_diagonal[:1]}[self.covariance_type]

    def parameters_of_state(self, state: Floats) -> Floats:
        mean, L = self.split(state)
        return np.array([*mean, *(math.log(L[i, i]) if i == j else L[i, j] for i, j in self._free())])

    def state_of_parameters(self, parameters: Floats) -> Floats:
        mean, rest = parameters[: self.ndim], parameters[self.ndim :]
        if self.covariance_type == "spherical":
            L = np.exp(rest[0]) * np.eye(self.ndim)
        else:
            L = np.zeros((self.ndim, self.ndim))
            for (i, j), number in zip(self._free(), rest.tolist(), strict=True):
                L[i, j] = math.exp(number) if i == j else number
        return np.concatenate([mean, L.ravel()])

    def tangent(self, state: Floats) -> Floats:
        D, L = self.ndim, self.split(state)[1]
        free = self._free()
        tangent = np.zeros((D + len(free), D + len(free)))
        tangent[:D, :D] = L
        for a, (i, j) in enumerate(free):
            for b, (k, m) in enumerate(free):
                if i == j and a == b:
                    tangent[D + a, D + b] = 1.0
                elif i > j and m == j and k <= i:
                    tangent[D + a, D + b] = L[i, k]
        return tangent

    def bend(self, state: Floats, gradient: Floats) -> Floats:
        """The second derivatives of entries of L R below the diagonal, which have a term L[i, j] exp(N[j, j])."""
        D, L, free = self.ndim, self.split(state)[1], self._free()
        bend = np.zeros((gradient.size, gradient.size))
        for a, (i, j) in enumerate(free):
            if i > j:
                b = D + free.index((j, j))
                bend[b, b] += gradient[D + a] * L[i, j]
        return bend

    def log_constants(self, states: Floats) -> Floats:
        """The logarithm of the integral of exp(-|z|**2/2) over x, z = W (x - m), for each state."""
        L = self.split(states)[1]
        constants: Floats = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1) + self.ndim * LOG_SQRT_2PI
        return constants

    @cached_property
    def slope_of_constant(self) -> Floats:
        """The gradient of `log_constants` in the coordinates of a full covariance; the second derivatives are 0."""
        return np.array([0.0] * self.ndim + [float(i == j) for i, j in self.entries])

    @cached_property
    def scores(self) -> NDArrayInt:
        """Index of the monomial of z that each score is: z_i for the mean, z_i z_j for the entries of L."""
        return np.array([self._place([i]) for i in range(self.ndim)] + [self._place([i, j]) for i, j in self.entries])

    @cached_property
    def products(self) -> NDArrayInt:
        """Index of the monomial of z that each product of two scores is, shape (k, k)."""
        factors = [[i] for i in range(self.ndim)] + [[i, j] for i, j in self.entries]
        return np.array([[self._place([*a, *b]) for b in factors] for a in factors])

    def _place(self, factors: list[int]) -> int:
        powers = tuple(factors.count(d) for d in range(self.ndim))
        return exponents(self.ndim, TILTED_DEGREE).index(powers)

    @cached_property
    def curvature(self) -> Floats:
        """The second derivatives of -|z|**2/2 as sums of monomials up to degree 2, shape (k, k, monomials).

        With R z' = z - d, the second differential is -|d + N z|**2 + sum of N_ii**2 z_i**2 - 2 z'N d - 2 z'N N z.
        """
        D, k = self.ndim, self.ndim + len(self.entries)
        second = np.zeros((k, k, len(exponents(D, DEGREE))))
        for i in range(D):
            second[i, i, 0] = -1.0
        for a, (i, j) in enumerate(self.entries):
            for m in range(D):
                if m == i:
                    second[m, D + a, self._place([j])] -= 1.0
                if m == j:
                    second[m, D + a, self._place([i])] -= 1.0
                second[D + a, m] = second[m, D + a]
            for b, (r, s) in enumerate(self.entries):
                if i == r:
                    second[D + a, D + b, self._place([j, s])] -= 1.0
                if j == r:
                    second[D + a, D + b, self._place([i, s])] -= 1.0
                if s == i:
                    second[D + a, D + b, self._place([r, j])] -= 1.0
                if i == j == r == s:
                    second[D + a, D + b, self._place([i, i])] += 1.0
        return second
