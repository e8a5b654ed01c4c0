"""Divergences of arrays, as in SciPy: in one pass over memory of any shape, stride and type."""

from fastkl.arrays import compiled
from fastkl.arrays.divergences import entropy, jeffreys, jensenshannon
from fastkl.arrays.elementwise import entr, kl_div, log_ratio, rel_entr

compiled.register()

__all__ = ["entr", "entropy", "jeffreys", "jensenshannon", "kl_div", "log_ratio", "rel_entr"]
