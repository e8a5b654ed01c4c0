"""Matrices of divergences, against SciPy and a matrix product in the same run."""

import numpy as np

from . import fastkl
from .blocks import ratio


def rows(n, columns, empty=0.0):
    rng = np.random.default_rng(0)
    made = rng.random((2, n, columns)) * (rng.random((2, n, columns)) >= empty)
    made[..., 0] += made[..., 0] == 0.0
    return made / made.sum(axis=2, keepdims=True)


class Matrices:
    """The time of ``cdist``."""

    params = (("js", "kl", "jeffreys"), ("dense", "96 % zeros", "alike"))
    param_names = ("metric", "rows")
    timeout = 300

    def setup(self, metric, kind):
        self.a, self.b = rows(300, 1000, 0.96 if kind == "96 % zeros" else 0.0)
        if kind == "alike":
            rng = np.random.default_rng(1)
            self.a, self.b = self.a[0] * (1.0 + 0.02 * rng.standard_normal((2, 300, 1000)))
        fastkl.cdist(self.a, self.b, metric)

    def time_cdist(self, metric, kind):
        fastkl.cdist(self.a, self.b, metric)


class AgainstPeers:
    """``cdist`` in units of SciPy's, of a tenth of the rows, or of ``P @ log(Q).T``."""

    params = ("js against SciPy", "js of empty rows against SciPy", "kl against a product")
    param_names = ("work",)
    timeout = 300

    def setup(self, work):
        from scipy.spatial import distance

        metric = work[:2]
        self.a, self.b = rows(256, 512, 0.96) if "empty" in work else rows(300, 1000)
        few = self.a[::10]
        self.share = len(few) / len(self.a) if metric == "js" else 1.0
        self.ours = lambda: fastkl.cdist(self.a, self.b, metric)
        if metric == "js":
            self.theirs = lambda: distance.cdist(few, self.b, "jensenshannon")
        else:
            self.theirs = lambda: self.a @ np.log(self.b).T
        self.ours()

    def track_ratio(self, work):
        return self.share * ratio(self.ours, self.theirs, calls=8, blocks=5)

    track_ratio.unit = "peer"
