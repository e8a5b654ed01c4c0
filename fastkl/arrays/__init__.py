"""Divergences of arrays, as in SciPy: in one pass over memory of any shape, stride and type."""

from fastkl.arrays import compiled
from fastkl.arrays.divergences import entropy, jeffreys, jensenshannon
from fastkl.arrays.elementwise import entr, kl_div, log_ratio, rel_entr
from fastkl.arrays.many import generalized_jensenshannon

compiled.register()

__all__ = [
    "entr",
    "entropy",
    "generalized_jensenshannon",
    "jeffreys",
    "jensenshannon",
    "kl_div",
    "log_ratio",
    "rel_entr",
]
