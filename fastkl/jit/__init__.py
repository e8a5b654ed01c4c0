"""The JIT policy: every Numba option, tile size, thread rule and cache decision of fastkl is in this package.

No other package of fastkl imports Numba. `options` says how code is compiled, `cache` where it is kept, `driver`
how it is run, `records` how named tuples reach it, `templates` how one source text serves several functions,
`interface` how kernels call functions that they do not know, `memory` how they read arrays of any kind, and `ufuncs`
how NumPy calls compiled loops.
"""

from fastkl.jit.driver import (
    SMALL_POINTS,
    TILE,
    Progress,
    TiledKernel,
    counting,
    numpy_suffices,
    progress,
    report_progress,
    tiled,
)
from fastkl.jit.interface import Implementation, Interface
from fastkl.jit.memory import (
    buffer,
    buffers,
    integers,
    read_double,
    read_half,
    read_integer,
    read_short,
    read_single,
    view_of_doubles,
    write_double,
    write_single,
)
from fastkl.jit.options import (
    JIT_DISABLED,
    block,
    callable_from_compiled_code,
    is_missing,
    is_vector,
    least,
    most,
    pasted,
    routine,
    scalar,
    ternary_instruction,
    widest_vectors,
)
from fastkl.jit.templates import holes, instance
from fastkl.jit.ufuncs import callable_from_numba, ufunc

__all__ = [
    "JIT_DISABLED",
    "SMALL_POINTS",
    "TILE",
    "Implementation",
    "Interface",
    "Progress",
    "TiledKernel",
    "block",
    "buffer",
    "buffers",
    "callable_from_compiled_code",
    "callable_from_numba",
    "counting",
    "holes",
    "instance",
    "integers",
    "is_missing",
    "is_vector",
    "least",
    "most",
    "numpy_suffices",
    "pasted",
    "progress",
    "read_double",
    "read_half",
    "read_integer",
    "read_short",
    "read_single",
    "report_progress",
    "routine",
    "scalar",
    "ternary_instruction",
    "tiled",
    "ufunc",
    "view_of_doubles",
    "widest_vectors",
    "write_double",
    "write_single",
]
