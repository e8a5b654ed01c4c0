"""Numba's options for the kinds of functions that are compiled.

Besides drivers, pasted functions and callbacks from C, there are four kinds of functions:

``scalar``
    A function of numbers, or of a few entries of an array, with strict IEEE arithmetic, inlined into the
    loops that call it, where LLVM vectorises it; its strict flags travel with it.
``block``
    A loop over a block of points, called from tile functions or from other blocks.
``tile``
    A loop over a tile; the only kind that Python calls.
``routine``
    A function that a user's compiled code calls: strict, whatever the flags of its caller are; it may allocate.

In a block and a tile LLVM may reassociate the *sums written in the function's own body*, without which
no reduction is vectorised. NaN, inf and signed zeros keep their meaning everywhere.

``fastmath=False`` has to be stated: a function without it is compiled with its caller's flags.
``error_model='numpy'`` makes x / 0 an inf instead of a branch that raises, which would stop the
vectoriser. ``nogil`` lets other Python threads run. Parts that take longer to compile than the functions
themselves are left out: wrappers for callers that do not exist, and, below the tiles, the counting of references
(``_nrt``), since nothing is allocated there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import config, types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic, overload

from fastkl.jit.cache import cached

JIT_DISABLED: bool = bool(config.DISABLE_JIT)

_STRICT = {"error_model": "numpy", "nogil": True, "fastmath": False, "no_cfunc_wrapper": True}
_INNER = {**_STRICT, "no_cpython_wrapper": True, "_nrt": False}
_SCALAR = {**_INNER, "forceinline": True}
_BLOCK = {**_INNER, "fastmath": {"reassoc"}}
_ROUTINE = {**_STRICT, "no_cpython_wrapper": True}
_TILE = {**_STRICT, "fastmath": {"reassoc"}}
_STRICT_CALLBACK = {"error_model": "numpy", "fastmath": False, "_nrt": False}
_PARALLEL = {**_STRICT, "parallel": True}


def scalar(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers that compiled loops call."""
    return numba.njit(**_SCALAR)(function)


def block(function: Callable[..., Any]) -> Any:
    """Compile a loop over a block of points that tile functions call."""
    return numba.njit(**_BLOCK)(function)


def pasted(function: Callable[..., Any]) -> Any:
    """Paste the body of a function that only calls others into each of its callers."""
    return numba.njit(inline="always", **_STRICT)(function)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a function that a user's compiled code calls."""
    return numba.njit(**_ROUTINE)(function)


def tile(function: Callable[..., Any]) -> Any:
    """Compile a loop over a tile."""
    return cached(numba.njit(**_TILE)(function))


def serial(function: Callable[..., Any]) -> Any:
    """Compile a loop over tiles that runs in the calling thread (``prange`` reads as ``range``)."""
    return cached(numba.njit(**_STRICT)(function))


def parallel(function: Callable[..., Any]) -> Any:
    """Compile a loop over tiles that runs in Numba's threads."""
    return cached(numba.njit(**_PARALLEL)(function))


def c_callback(function: Callable[..., Any], signature: str) -> Any:
    """Compile a function that C calls; the result has an ``address``."""
    callback = CFunc(function, normalize_signature(signature), {}, dict(_STRICT_CALLBACK))
    cached(callback)
    callback.compile()
    return callback


def callable_from_compiled_code(function: Callable[..., Any], choose: Callable[..., Any]) -> None:
    """Let a user's compiled code call *function*, which is plain Python.

    *choose* has the same argument names, is called with the arguments' types in Numba, and returns the function that
    is compiled in the place of the call, or None if there is none for such arguments.
    """
    overload(function, strict=False)(choose)


def is_vector(kind: Any) -> bool:
    """Whether the Numba type *kind* is that of a one-dimensional array of single or double precision."""
    return isinstance(kind, types.Array) and kind.ndim == 1 and kind.dtype in (types.float32, types.float64)


def is_missing(kind: Any) -> bool:
    """Whether the Numba type *kind* is that of an argument which is None or left out."""
    return kind is None or (isinstance(kind, types.NoneType | types.Omitted) and getattr(kind, "value", None) is None)


def ternary_instruction(python_twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorator for a function of three doubles that LLVM has an instruction for.

    The decorated function receives LLVM's IR builder and the three operands and returns the result.
    With the JIT switched off, *python_twin* takes its place.
    """

    def declare(emit: Callable[..., Any]) -> Any:
        if JIT_DISABLED:
            return python_twin
        double = types.float64
        signature = double(double, double, double)

        def implementation(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
            return signature, lambda context, builder, sig, operands: emit(builder, *operands)

        implementation.__name__ = emit.__name__
        return intrinsic(implementation)

    return declare


def _extreme(sign: str) -> Any:
    """``min`` or ``max`` of integers or of doubles, for compiled code: the first one that no other is beyond."""

    def choose(typing_context: Any, *numbers: Any) -> Any:
        kind = types.float64 if any(isinstance(n, types.Float) for n in numbers) else types.int64
        signature = kind(types.StarArgTuple.from_types(numbers))

        def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            values = cgutils.unpack_tuple(builder, operands[0])
            found, *others = (context.cast(builder, v, n, kind) for v, n in zip(values, numbers, strict=True))
            compare = builder.fcmp_ordered if kind is types.float64 else builder.icmp_signed
            for other in others:
                found = builder.select(compare(sign, other, found), other, found)
            return found

        return signature, emit

    return intrinsic(choose)


least: Any = min if JIT_DISABLED else _extreme("<")
"""``least(a, b, ...)``: Python's ``min``, in whose place kernels import it; Numba's own compiles a function per use."""
most: Any = max if JIT_DISABLED else _extreme(">")
"""``most(a, b, ...)``: Python's ``max``, in whose place kernels import it; Numba's own compiles a function per use."""

_WIDEST = '"prefer-vector-width"="512"'
"""LLVM attribute of a function in which vectors of 512 bits are preferred."""


def _widest(typing_context: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        # llvmlite's own `add` accepts only attributes that are keywords, although any attribute is printed
        set.add(builder.function.attributes, _WIDEST)
        return context.get_dummy_value()

    return types.none(), emit


widest_vectors: Any = (lambda: None) if JIT_DISABLED else intrinsic(_widest)
"""``widest_vectors()``: let the loops of the calling function, and of those that it inlines, use 512-bit vectors.

For Intel's processors with AVX-512 LLVM prefers 256 bits, since the first of them slowed down for wider vectors. The
attribute belongs to one function: it changes neither Numba's options nor its cache keys, nor any other function.
It has no effect on a processor without 512-bit vectors.
"""
