"""The KL integral over a grid, both densities evaluated on the way, against jax.jit of the same sum."""

import numpy as np

import fastkl

from .blocks import ratio

P = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
Q = fastkl.Normal(0, 2.08806)
LOWER, UPPER = -20.0, 20.0


class GridIntegral:
    params = (10_000, 1_000_000, 10_000_000)
    param_names = ("points",)

    def setup(self, n):
        self.grid = fastkl.Grid.uniform(LOWER, UPPER, n)
        self.integral()

    def integral(self):
        return fastkl.kl_divergence(P, Q, self.grid)

    def time_kl_divergence(self, n):
        self.integral()


class AgainstJax:
    """Both forms that people write: of densities, and of log-densities, which is right in the tails."""

    params = ("densities", "log-densities")
    param_names = ("jax form",)
    timeout = 300

    def setup(self, form):
        try:
            import jax
        except ModuleNotFoundError:
            raise NotImplementedError("jax is not installed") from None  # asv's way to skip a benchmark
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp
        from jax.scipy.stats import norm

        n = 10_000_000
        self.grid = fastkl.Grid.uniform(LOWER, UPPER, n)
        x, step = jnp.linspace(LOWER, UPPER, n), (UPPER - LOWER) / (n - 1)

        def of_densities(x):
            p = 0.5 * norm.pdf(x, -2, 0.6) + 0.5 * norm.pdf(x, 2, 0.6)
            return step * jnp.sum(p * (jnp.log(p) - norm.logpdf(x, Q.loc, Q.scale)))

        def of_log_densities(x):
            half = jnp.log(0.5)
            log_p = jnp.logaddexp(half + norm.logpdf(x, -2, 0.6), half + norm.logpdf(x, 2, 0.6))
            return step * jnp.sum(jnp.exp(log_p) * (log_p - norm.logpdf(x, Q.loc, Q.scale)))

        compiled = jax.jit(of_densities if form == "densities" else of_log_densities)
        self.jax = lambda: compiled(x).block_until_ready()
        np.testing.assert_allclose(float(self.jax()), self.fastkl(), rtol=1e-9)

    def fastkl(self):
        return fastkl.kl_divergence(P, Q, self.grid)

    def track_ratio_to_jax(self, form):
        return ratio(self.fastkl, self.jax)

    track_ratio_to_jax.unit = "jax.jit"
