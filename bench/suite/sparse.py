"""Divergences of sparse rows and of many distributions, in units of the same on dense arrays in the same run."""

import numpy as np

from . import fastkl
from .blocks import ratio


def rows(share, shape=(4000, 2000)):
    """Two matrices of which so large a share of the cells has an entry."""
    rng = np.random.default_rng(0)
    return tuple(np.where(rng.random(shape) < share, rng.random(shape), 0.0) for _ in range(2))


class AgainstDense:
    """The rows of two CSR arrays, in units of the dense arrays that they stand for."""

    params = (("entropy(p)", "entropy(p, q)", "jensenshannon"), (0.01, 0.1), (0.0, 0.5))
    param_names = ("function", "entries", "pseudocount")
    timeout = 300

    def setup(self, function, share, pseudocount):
        from scipy import sparse

        name = function.partition("(")[0]
        number = 1 if function == "entropy(p)" else 2
        dense = rows(share)[:number]
        compute, settings = getattr(fastkl, name), {"axis": 1, "pseudocount": pseudocount}
        made = [sparse.csr_array(values) for values in dense]
        self.ours, self.dense = (lambda: compute(*made, **settings)), (lambda: compute(*dense, **settings))
        try:
            self.ours()
        except TypeError:
            raise NotImplementedError("this version takes no sparse arrays") from None

    def time_fastkl(self, function, share, pseudocount):
        self.ours()

    def track_ratio_to_dense(self, function, share, pseudocount):
        return ratio(self.ours, self.dense, blocks=3, calls=8)

    track_ratio_to_dense.unit = "dense"


class ManyDistributions:
    """`generalized_jensenshannon` of 16 distributions, in units of the difference of entropies that loses digits."""

    timeout = 300

    def setup(self):
        if not hasattr(fastkl, "generalized_jensenshannon"):
            raise NotImplementedError("this version has no generalized_jensenshannon")
        self.p = np.random.default_rng(0).dirichlet(np.ones(500), size=(200, 16))
        self.ours = lambda: fastkl.generalized_jensenshannon(self.p)
        self.ours()

    def time_fastkl(self):
        self.ours()

    def track_ratio_to_entropies(self):
        from scipy.stats import entropy

        def theirs():
            return entropy(self.p.mean(axis=1), axis=1) - entropy(self.p, axis=2).mean(axis=1)

        return ratio(self.ours, theirs, blocks=3, calls=4)

    track_ratio_to_entropies.unit = "SciPy's entropies"
