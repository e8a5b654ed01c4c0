"""Fits of Normals: alone, in units of one divergence, and against jax with SciPy's L-BFGS-B."""

import subprocess
import sys

import numpy as np

from . import fastkl
from .blocks import ratio
from .integrals import line, pair

POINTS_AT_ONCE = 2**16
N = 10**7


def two_bumps():
    parts = ([-2, 0], [[1, 0.5], [0.5, 1]]), ([2, 1], [[0.5, -0.2], [-0.2, 1]])
    return fastkl.Mixture([fastkl.MultivariateNormal(*part) for part in parts])


CASES = {
    "1-D, 10^7 points": lambda: (pair()[0], line(), "normal"),
    "2-D, 2000 x 2000": lambda: (
        two_bumps(),
        fastkl.Grid.uniform([-12.0] * 2, [12.0] * 2, 2000),
        "multivariate_normal",
    ),
}
"""What makes (p, grid, family); p is tabulated as log values."""


def positive():
    return fastkl.Grid.uniform(120 / N, 120, N)


EXPONENTIAL = {
    "Gamma, 10^7 points": lambda: (
        fastkl.Mixture([fastkl.Gamma(3, 0, 1), fastkl.Gamma(9, 0, 1)]),
        positive(),
        "gamma",
    ),
    "LogNormal, 10^7 points": lambda: (
        fastkl.Mixture([fastkl.LogNormal(0.4, 3), fastkl.LogNormal(0.3, 9)]),
        positive(),
        "log_normal",
    ),
    "Beta, 10^7 points": lambda: (
        fastkl.Mixture([fastkl.Beta(3, 7), fastkl.Beta(9, 4)]),
        fastkl.Grid.uniform(1 / N, 1 - 1 / N, N),
        "beta",
    ),
}
"""The like for exponential families whose forward fit needs more than moments."""


def tabulated(p, grid):
    logs = np.empty(grid.size)
    for run, points in grid.chunk(POINTS_AT_ONCE):
        logs[run] = p.logpdf(points)
    return fastkl.Tabulated(grid, logs.reshape(grid.shape), log=True)


class Fit:
    params = (("forward", "reverse"), (10_000, 1_000_000))
    param_names = ("direction", "points")

    def setup(self, direction, n):
        self.p, self.grid = pair()[0], line(n)
        self.fit(direction)

    def fit(self, direction):
        return fastkl.fit(self.p, fastkl.Normal, self.grid, direction=direction)

    def time_fit(self, direction, n):
        self.fit(direction)


class FitOfCounts:
    params = (("normal", "gamma", "student_t"), ("forward", "reverse"), (30, 300))
    param_names = ("family", "direction", "cells")

    def setup(self, family, direction, n):
        edges = np.linspace(0.0, 20.0, n + 1)
        counts = np.random.default_rng(0).poisson(1.0 + 1e5 / n * np.exp(-0.5 * (edges[1:] - 8.0) ** 2 / 4.0))
        self.p = fastkl.Tabulated.from_histogram(counts, edges)
        self.time_fit(family, direction, n)

    def time_fit(self, family, direction, n):
        fastkl.fit(self.p, family, direction=direction)


FLOOR, NODES = 1e-6, 301


def survey(count, seed=0):
    """Rows of one to four bumps on 301 points with 3 % of noise, in single precision, 0 below a ten-thousandth."""
    x = np.linspace(-8.0, 8.0, NODES)
    rows, at_once = np.empty((count, NODES), np.float32), 1000
    for start in range(0, count, at_once):
        rng = np.random.default_rng([seed, start])
        part = rows[start : start + at_once]
        shape = len(part), 4, 1
        places, scales = rng.uniform(-4.0, 4.0, shape), rng.uniform(0.3, 1.2, shape)
        heights = rng.uniform(0.2, 1.0, shape) * (np.arange(4)[:, np.newaxis] < rng.integers(1, 5, (len(part), 1, 1)))
        bumps = (heights * np.exp(-0.5 * ((x - places) / scales) ** 2)).sum(axis=1)
        bumps *= np.exp(0.03 * rng.standard_normal(bumps.shape))
        part[:] = np.where(bumps < 1e-4 * bumps.max(axis=1, keepdims=True), 0.0, bumps)
    return rows


def survey_grid():
    return fastkl.Grid.uniform(-8.0, 8.0, NODES)


class FitOfRows:
    """A fit of every row of a batch, and the same in units of one `kl_divergence` of the batch."""

    params = (("normal", "logistic"), ("forward", "reverse"))
    param_names = ("family", "direction")
    rows = 100

    def setup(self, family, direction):
        if not hasattr(fastkl, "FitResults"):
            raise NotImplementedError("this version fits no batches")
        self.p = fastkl.Tabulated(survey_grid(), survey(self.rows), floor=FLOOR)
        self.time_fit(family, direction)
        self.divergence()

    def time_fit(self, family, direction):
        fastkl.fit(self.p, family, direction=direction)

    def divergence(self):
        return fastkl.kl_divergence(self.p, fastkl.Normal(0.0, 3.0))

    def track_ratio_to_divergence(self, family, direction):
        return ratio(lambda: self.time_fit(family, direction), self.divergence, blocks=3, calls=2)

    track_ratio_to_divergence.unit = "kl_divergence of the batch"


class AgainstDivergence:
    """A fit, with all its minima, in units of one `kl_divergence` of the same p and the fitted q."""

    params = (tuple(CASES) + tuple(EXPONENTIAL), ("forward", "reverse"))
    param_names = ("case", "direction")
    timeout = 600

    def setup(self, case, direction):
        p, self.grid, self.family = (CASES | EXPONENTIAL)[case]()
        self.p, self.direction = tabulated(p, self.grid), direction
        self.q = self.fit().q

    def fit(self):
        return fastkl.fit(self.p, self.family, direction=self.direction)

    def divergence(self):
        pair = (self.p, self.q) if self.direction == "forward" else (self.q, self.p)
        return fastkl.kl_divergence(*pair)

    def track_ratio_to_divergence(self, case, direction):
        return ratio(self.fit, self.divergence, blocks=5, calls=5)

    track_ratio_to_divergence.unit = "kl_divergence"


class AgainstJax:
    """A reverse fit of all minima, against one run of L-BFGS-B with values and gradients by jax.jit.

    Two forms of the divergence: written out along the axes, and of points with a triangular solve, as one finds it in
    variational inference.
    """

    params = (tuple(CASES), ("along the axes", "of points"))
    param_names = ("case", "jax form")
    timeout = 600

    def setup(self, case, form):
        try:
            import jax
        except ModuleNotFoundError:
            raise NotImplementedError("jax is not installed") from None
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp
        from jax.scipy.linalg import solve_triangular

        p, self.grid, self.family = CASES[case]()
        self.p = tabulated(p, self.grid)
        D = self.grid.ndim
        rows, columns = np.tril_indices(D)
        cell = float(np.prod([axis.step for axis in self.grid._parts]))

        def factor(theta):
            L = jnp.zeros((D, D)).at[rows, columns].set(theta[D:])
            return L - jnp.diag(jnp.diag(L)) + jnp.diag(jnp.exp(jnp.diag(L)))

        def squares_along_axes(theta, axes):
            W = jnp.linalg.inv(factor(theta))
            return sum(sum(W[i, j] * (axes[j] - theta[j]) for j in range(i + 1)) ** 2 for i in range(D))

        def squares_of_points(theta, points):
            return jnp.sum(solve_triangular(factor(theta), (points - theta[:D]).T, lower=True) ** 2, axis=0)

        if form == "of points":
            squares, log_p = squares_of_points, jnp.asarray(self.p.values.ravel())
            points = self.grid.points(np.arange(self.grid.size)).reshape(-1, D)
            where = jnp.asarray(points)
        else:
            squares, log_p = squares_along_axes, jnp.asarray(self.p.values)
            shapes = [[-1 if k == d else 1 for k in range(D)] for d in range(D)]
            where = [jnp.asarray(x).reshape(shape) for x, shape in zip(self.grid.axes, shapes, strict=True)]

        def divergence(theta, where, log_p):
            log_scale = jnp.sum(jnp.log(jnp.diag(factor(theta))))
            log_q = -0.5 * squares(theta, where) - log_scale - 0.5 * D * jnp.log(2 * jnp.pi)
            return cell * jnp.sum(jnp.exp(log_q) * (log_q - log_p))

        compiled = jax.jit(jax.value_and_grad(divergence))
        self.value_and_gradient = lambda theta: compiled(theta, where, log_p)
        self.start = np.zeros(D + len(rows))
        self.descend()

    def descend(self):
        from scipy.optimize import minimize

        def value_and_gradient(theta):
            value, gradient = self.value_and_gradient(theta)
            return float(value), np.asarray(gradient)

        return minimize(value_and_gradient, self.start, jac=True, method="L-BFGS-B")

    def fit(self):
        return fastkl.fit(self.p, self.family, direction="reverse")

    def track_ratio_to_jax(self, case, form):
        return ratio(self.fit, self.descend, blocks=3, calls=2)

    track_ratio_to_jax.unit = "L-BFGS-B with jax.jit"


PEAK = """
import sys, numpy as np, fastkl
from bench.suite.peak import peak
n, direction = int(sys.argv[1]), sys.argv[2]
grid = fastkl.Grid.uniform(-20.0, 20.0, n)
logs = np.empty(n)
for run, x in grid.chunk(2**16):
    logs[run] = np.logaddexp(-0.5 * ((x + 2) / 0.6) ** 2, -0.5 * ((x - 2) / 0.6) ** 2)
fastkl.fit(fastkl.Tabulated(grid, logs, log=True), "normal", direction=direction)
print((peak() - logs.nbytes) / 2**20)
"""


class Memory:
    """MiB that a fit of 10^8 tabulated points takes at its peak, above the table and above a fit of 10^6 points."""

    params = ("forward", "reverse")
    param_names = ("direction",)
    timeout = 600

    def peak(self, n, direction):
        command = [sys.executable, "-c", PEAK, str(n), direction]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def track_peak(self, direction):
        return self.peak(10**8, direction) - self.peak(10**6, direction)

    track_peak.unit = "MiB"
