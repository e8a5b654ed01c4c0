"""The KL sum of two arrays, against the dot product that reads the same bytes."""

import numpy as np

from .blocks import ratio


class KLSum:
    params = (100_000, 10_000_000)
    param_names = ("N",)

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.p, self.q = rng.random(n), rng.random(n)
        self.p /= self.p.sum()
        self.q /= self.q.sum()
        self.kl_sum()

    def kl_sum(self):
        from fastkl.kernels.sums import kl_sums

        return kl_sums.total(self.p.size, self.p, self.q)

    def time_kl_sum(self, n):
        self.kl_sum()

    def time_dot(self, n):
        self.p @ self.q

    def track_ratio_to_dot(self, n):
        return ratio(self.kl_sum, lambda: self.p @ self.q)

    track_ratio_to_dot.unit = "p @ q"
