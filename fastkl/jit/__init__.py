"""The jit policy: every Numba option, tile size, thread rule and cache decision is taken in this room.

Nobody else imports Numba. `options` says how code is compiled, `cache` where it is kept, `driver`
how it is run, and `interface` how kernels call functions that they do not know.
"""

from fastkl.jit.driver import TILE, TiledKernel, progress, tiled
from fastkl.jit.interface import Implementation, Interface
from fastkl.jit.options import JIT_DISABLED, block, scalar, ternary_instruction

__all__ = [
    "JIT_DISABLED",
    "TILE",
    "Implementation",
    "Interface",
    "TiledKernel",
    "block",
    "progress",
    "scalar",
    "ternary_instruction",
    "tiled",
]
