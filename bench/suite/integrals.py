"""The KL integral over a grid, both densities evaluated on the way, against jax.jit of the same sum."""

import subprocess
import sys
import time
from functools import cache

import numpy as np

from . import fastkl
from .blocks import ratio
from .peak import peak

LOWER, UPPER = -20.0, 20.0


@cache
def pair():
    """A mixture of two Normals, and the Normal with about its moments."""
    return fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)]), fastkl.Normal(0, 2.08806)


def line(points=10_000_000):
    return fastkl.Grid.uniform(LOWER, UPPER, points)


def full_covariances(ndim):
    """Three components with full covariances of about unit size, two apart, and the Normal with their moments."""
    rng = np.random.default_rng(ndim)
    factors = 0.4 * rng.normal(size=(3, ndim, ndim))
    parts = [fastkl.MultivariateNormal(2.0 * rng.normal(size=ndim), A @ A.T + 0.4 * np.eye(ndim)) for A in factors]
    p = fastkl.Mixture(parts)
    return p, fastkl.MultivariateNormal(p.mean, p.cov)


CASES = {
    "1-D, 10^7 points": lambda: (*pair(), line()),
    "2-D, 4000 x 4000": lambda: (*full_covariances(2), fastkl.Grid.uniform([-10.0] * 2, [10.0] * 2, 4000)),
    # the ellipsoid of 8 standard deviations of q, off which 1e-14 of it lies, is 4.8 % of this box
    "3-D, 400^3, mass in 5 % of the box": lambda: (
        *full_covariances(3),
        fastkl.Grid.uniform([-20.0] * 3, [20.0] * 3, 400),
    ),
}
"""What makes (p, q, grid): a mixture of full covariances, and the Normal with its moments."""


class GridIntegral:
    params = (10_000, 1_000_000, 10_000_000)
    param_names = ("points",)

    def setup(self, n):
        self.pair, self.grid = pair(), line(n)
        self.integral()

    def integral(self):
        return fastkl.kl_divergence(*self.pair, self.grid)

    def time_kl_divergence(self, n):
        self.integral()


class AgainstJax:
    """Both forms that people write: of densities, and of log-densities, which is right in the tails."""

    params = (tuple(CASES), ("densities", "log-densities"))
    param_names = ("case", "jax form")
    timeout = 600

    def setup(self, case, form):
        try:
            import jax
        except ModuleNotFoundError:
            raise NotImplementedError("jax is not installed") from None  # asv's way to skip a benchmark
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        self.p, self.q, self.grid = CASES[case]()
        parts = [(w, _log_normal(part)) for w, part in zip(self.p.weights, self.p.components, strict=True)]
        log_q = _log_normal(self.q)
        cell = float(np.prod([axis.step for axis in self.grid._parts]))
        D = self.grid.ndim
        axes = [jnp.asarray(x).reshape([-1 if k == d else 1 for k in range(D)]) for d, x in enumerate(self.grid.axes)]

        def of_densities(axes):
            p = parts[0][0] * jnp.exp(parts[0][1](axes))
            for w, log in parts[1:]:
                p = p + w * jnp.exp(log(axes))
            # p underflows in the tails; a jnp.where takes five times as long, since XLA does not vectorise it
            return cell * jnp.sum(p * (jnp.log(jnp.maximum(p, 1e-300)) - log_q(axes)))

        def of_log_densities(axes):
            log_p = parts[0][1](axes) + jnp.log(parts[0][0])
            for w, log in parts[1:]:
                log_p = jnp.logaddexp(log_p, log(axes) + jnp.log(w))
            return cell * jnp.sum(jnp.exp(log_p) * (log_p - log_q(axes)))

        compiled = jax.jit(of_densities if form == "densities" else of_log_densities)
        self.jax = lambda: compiled(axes).block_until_ready()
        np.testing.assert_allclose(float(self.jax()), self.fastkl(), rtol=1e-9)

    def fastkl(self):
        return fastkl.kl_divergence(self.p, self.q, self.grid)

    def track_ratio_to_jax(self, case, form):
        calls = 20 if self.grid.ndim == 1 else 6
        return ratio(self.fastkl, self.jax, blocks=3, calls=calls)

    track_ratio_to_jax.unit = "jax.jit"


def _log_normal(part):
    """A Normal's log-density for jax, written out along the axes."""
    if isinstance(part, fastkl.Normal):
        return lambda axes: part._log_factor - 0.5 * ((axes[0] - part.loc) / part.scale) ** 2
    W, mean = part.whitening, part.mean

    def log(axes):
        z = [sum(W[i, j] * (axes[j] - mean[j]) for j in range(i + 1)) for i in range(len(mean))]
        return part._log_factor - 0.5 * sum(entry * entry for entry in z)

    return log


class Tables:
    """Two tables of log values, in units of the dot product of the same arrays."""

    timeout = 300

    def setup(self):
        grid = line()
        self.values = [density.logpdf(grid.axes[0]) for density in pair()]
        self.p, self.q = (fastkl.Tabulated(grid, values, log=True) for values in self.values)
        fastkl.kl_divergence(self.p, self.q)

    def track_ratio_to_dot(self):
        a, b = self.values
        return ratio(lambda: fastkl.kl_divergence(self.p, self.q), lambda: a @ b)

    track_ratio_to_dot.unit = "p @ q"


class Batch:
    """A batch of tables in single precision against one density, a row of 301 points each."""

    timeout = 300

    def setup(self):
        self.grid = fastkl.Grid.uniform(-8.0, 8.0, 301)
        values = np.random.default_rng(0).random((100_000, 301), dtype=np.float32)
        self.batch = fastkl.Tabulated(self.grid, values)
        self.q = pair()[1]
        self.time_against_a_formula()

    def time_against_a_formula(self):
        fastkl.kl_divergence(self.batch, self.q, self.grid)


class Billion:
    """10^9 points: the memory that they take above 10^3, and the cost of a point in units of that at 10^6."""

    timeout = 600

    def track_memory(self):
        code = "from bench.suite.integrals import grown; print(grown({}))"
        few, many = (
            int(subprocess.run([sys.executable, "-c", code.format(n)], check=True, capture_output=True).stdout)
            for n in (1_000, 1_000_000_000)
        )
        return (many - few) / 2**20

    track_memory.unit = "MiB"

    def track_cost_of_a_point(self):
        seconds = []
        for n in (1_000_000, 1_000_000_000):
            grid = line(n)
            fastkl.kl_divergence(*pair(), line(1_000_000))
            times = []
            for _ in range(15 if n < 1e9 else 1):
                began = time.perf_counter()
                fastkl.kl_divergence(*pair(), grid)
                times.append(time.perf_counter() - began)
            seconds.append(np.median(times) / n)
        return seconds[1] / seconds[0]

    track_cost_of_a_point.unit = "of a point of 10^6"


def grown(n):
    """Peak memory of a process after an integral over n points."""
    fastkl.kl_divergence(*pair(), line(n))
    return peak()
