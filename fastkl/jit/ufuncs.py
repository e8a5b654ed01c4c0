"""NumPy ufuncs made of scalar functions.

A real `numpy.ufunc` has all that users expect of one: broadcasting, ``out=``, ``where=``, casting, and
``__array_ufunc__``, by which pandas, xarray and dask get their own type back. NumPy's C interface takes an
address for each type of number; the loops behind these addresses are compiled here, and kept on disk.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.ufunc.dufunc import DUFunc
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]  # NumPy's own name for its C interface

from fastkl.jit.memory import read_double, read_integer, read_single, write_double, write_single
from fastkl.jit.options import JIT_DISABLED, c_callback
from fastkl.jit.templates import holes, instance

if platform.machine().lower() in ("x86_64", "amd64"):  # SSE has its flags in a register that is quick to reach
    _RESULT, _READ_FLAGS, _WRITE_FLAGS = ir.VoidType(), "llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr"
else:
    _RESULT, _READ_FLAGS, _WRITE_FLAGS = ir.IntType(32), "fegetenv", "fesetenv"
    if not JIT_DISABLED:  # LLVM does not find these functions by itself on every system
        _library = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("ucrtbase")
        for _name in (_READ_FLAGS, _WRITE_FLAGS):
            llvmlite.binding.add_symbol(_name, ctypes.cast(getattr(_library, _name), ctypes.c_void_p).value)


def _environment(typing_context: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), 16))  # an fenv_t, which has at most 32 bytes
        _call(builder, _READ_FLAGS, room)
        return builder.ptrtoint(room, ir.IntType(64))

    return types.int64(), emit


def _restore(typing_context: Any, environment: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        _call(builder, _WRITE_FLAGS, builder.inttoptr(operands[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.none(types.int64), emit


def _call(builder: Any, name: str, pointer: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_RESULT, [byte]), name)
    builder.call(function, [builder.bitcast(pointer, byte)])


# Floating-point flags that a loop raises make NumPy warn. The loops of this module compute every case of a function
# and choose one of them, so that their flags say nothing, and the flags from before a loop are restored.
flags_before: Any = (lambda: 0) if JIT_DISABLED else intrinsic(_environment)
restore_flags: Any = (lambda before: None) if JIT_DISABLED else intrinsic(_restore)

_LOOP = "void(int64, int64, int64, int64)"
"""Signature of a loop that NumPy calls: arrays of operands' addresses, of sizes, of steps in bytes; unused data."""

_POINTER = 8


read, write, narrow, compute, WIDTH = holes("read", "write", "narrow", "compute", "WIDTH")


def _unary(operands, sizes, steps, data):  # type: ignore[no-untyped-def]
    before = flags_before()
    x, out = read_integer(operands, 0), read_integer(operands, 8)
    step_x, step_out = read_integer(steps, 0), read_integer(steps, 8)
    if step_x == step_out == WIDTH:
        for i in range(read_integer(sizes, 0)):
            write(out, i * WIDTH, narrow(compute(np.float64(read(x, i * WIDTH)))))
    else:
        for i in range(read_integer(sizes, 0)):
            write(out, i * step_out, narrow(compute(np.float64(read(x, i * step_x)))))
    restore_flags(before)


def _binary(operands, sizes, steps, data):  # type: ignore[no-untyped-def]
    before = flags_before()
    x, y, out = read_integer(operands, 0), read_integer(operands, 8), read_integer(operands, 16)
    step_x, step_y, step_out = read_integer(steps, 0), read_integer(steps, 8), read_integer(steps, 16)
    if step_x == step_y == step_out == WIDTH:
        for i in range(read_integer(sizes, 0)):
            at = i * WIDTH
            write(out, at, narrow(compute(np.float64(read(x, at)), np.float64(read(y, at)))))
    else:
        for i in range(read_integer(sizes, 0)):
            u, v = np.float64(read(x, i * step_x)), np.float64(read(y, i * step_y))
            write(out, i * step_out, narrow(compute(u, v)))
    restore_flags(before)


_KINDS: dict[str, dict[str, Any]] = {
    "f": {"read": read_single, "write": write_single, "narrow": np.float32, "WIDTH": 4},
    "d": {"read": read_double, "write": write_double, "narrow": np.float64, "WIDTH": 8},
}
"""Kinds of numbers that a ufunc has loops for, as in SciPy: NumPy takes the first one that all operands fit in."""

_kept: list[Any] = []
"""Objects that NumPy and Numba point to, kept alive for as long as the process lasts."""


def ufunc(name: str, doc: str, compute: Any, n_inputs: int) -> np.ufunc:
    """A ufunc named *name* that applies *compute*, a compiled scalar function of doubles, to float32 and float64."""
    template = {1: _unary, 2: _binary}[n_inputs]
    loops = [instance(template, f"{name}_{code}", compute=compute, **kind) for code, kind in _KINDS.items()]
    callbacks = [_callback(loop) for loop in loops]
    addresses = (ctypes.c_void_p * len(loops))(*(address for address, _ in callbacks))
    spare = (ctypes.c_void_p * len(loops))()
    kinds = b"".join(np.dtype(code).num.to_bytes(1, "little") * (n_inputs + 1) for code in _KINDS)
    texts = name.encode(), doc.encode()
    _kept.append((callbacks, addresses, spare, kinds, texts))
    made: np.ufunc = _function_of_numpy()(addresses, spare, kinds, len(loops), n_inputs, 1, _ZERO, *texts, 0)
    return made


_ZERO = 0
"""Identity of the ufuncs, the same as in SciPy."""


def _callback(loop: Callable[..., None]) -> tuple[int, Any]:
    """(address of a C function that runs *loop*, object to be kept alive for it)."""
    if JIT_DISABLED:

        def quietly(*arguments: int) -> None:
            with np.errstate(all="ignore"):
                loop(*arguments)
            np.add(1.0, 1.0)  # clears the floating-point flags

        in_python = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(quietly)
        return ctypes.cast(in_python, ctypes.c_void_p).value or 0, in_python
    compiled = c_callback(loop, _LOOP)
    return compiled.address, compiled


def _function_of_numpy() -> Any:
    """``PyUFunc_FromFuncAndData``, the second entry of NumPy's table of C functions for ufuncs."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(_multiarray_umath._UFUNC_API, None)
    address = ctypes.c_size_t.from_address(table + _POINTER).value
    signature = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_int] * 4]
    return ctypes.PYFUNCTYPE(ctypes.py_object, *signature, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)(address)


def callable_from_numba(compute: Callable[..., Any]) -> Any:
    """The Numba type of a global that a user's compiled code may call like *compute*, with scalars and arrays."""
    function = DUFunc(compute, targetoptions={"fastmath": False})
    _kept.append(function)
    return cpu_target.typing_context.resolve_value_type(function)
