"""The jit policy: every Numba option, tile size, thread rule and cache decision is taken in this room.

Nobody else imports Numba. `options` says how code is compiled, `cache` where it is kept, and `driver`
how it is run.
"""

from fastkl.jit.driver import TILE, TiledKernel, progress, tiled
from fastkl.jit.options import JIT_DISABLED, block, compile_apart, scalar, ternary_instruction

__all__ = [
    "JIT_DISABLED",
    "TILE",
    "TiledKernel",
    "block",
    "compile_apart",
    "progress",
    "scalar",
    "ternary_instruction",
    "tiled",
]
