"""Access to memory by address, so that one compiled kernel serves arrays of every stride and type.

An address is a number of bytes; the caller that passes it keeps the array alive. With the JIT switched off, the same
memory is accessed through ctypes.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from fastkl.jit.options import JIT_DISABLED


def _access(
    kind: Any, llvm_type: Any, c_type: Any
) -> tuple[Callable[[int, int], Any], Callable[[int, int, Any], None]]:
    """Functions (read, write) for one kind of number."""
    if JIT_DISABLED:
        scalar = np.dtype(str(kind)).type

        def write_through_ctypes(address: int, offset: int, value: Any) -> None:
            c_type.from_address(int(address + offset)).value = value

        return lambda address, offset: scalar(c_type.from_address(int(address + offset)).value), write_through_ctypes

    def place(builder: Any, address: Any, offset: Any) -> Any:
        at = builder.gep(builder.inttoptr(address, ir.IntType(8).as_pointer()), [offset])
        return builder.bitcast(at, llvm_type.as_pointer())

    def read(typing_context: Any, address: Any, offset: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            return builder.load(place(builder, *operands), align=1)

        return kind(types.int64, types.int64), emit

    def write(typing_context: Any, address: Any, offset: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            address, offset, value = operands
            builder.store(value, place(builder, address, offset), align=1)
            return context.get_dummy_value()

        return types.none(types.int64, types.int64, kind), emit

    return intrinsic(read), intrinsic(write)


# Functions ``read(address, offset)`` and ``write(address, offset, value)`` for the number *offset* bytes behind the
# address, aligned or not.
read_double, write_double = _access(types.float64, ir.DoubleType(), ctypes.c_double)
read_single, write_single = _access(types.float32, ir.FloatType(), ctypes.c_float)
read_integer, _ = _access(types.int64, ir.IntType(64), ctypes.c_int64)
read_short, _ = _access(types.int16, ir.IntType(16), ctypes.c_int16)


def _converts_halves() -> bool:
    """Whether the processor that is compiled for surely has instructions for halves; LLVM calls a library otherwise."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return config.CPU_NAME is None and bool(llvmlite.binding.get_host_cpu_features().get("f16c"))


def _read_half(typing_context: Any, address: Any, offset: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        at = builder.gep(builder.inttoptr(operands[0], ir.IntType(8).as_pointer()), [operands[1]])
        half = builder.load(builder.bitcast(at, ir.HalfType().as_pointer()), align=1)
        return builder.fpext(half, ir.DoubleType())

    return types.float64(types.int64, types.int64), emit


read_half: Any = None if JIT_DISABLED or not _converts_halves() else intrinsic(_read_half)
"""``read_half(address, offset)``: a half, as a double; None without instructions that convert it."""


def _view_in_python(address: int, size: int) -> Any:
    return np.ctypeslib.as_array((ctypes.c_double * int(size)).from_address(int(address)))


def _view(typing_context: Any, address: Any, size: Any) -> Any:
    array = types.Array(types.float64, 1, "C")

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        from numba.np.arrayobj import make_array, populate_array  # takes 40 ms, which compiling pays anyway

        at, length = operands
        double, stride = ir.DoubleType(), ir.Constant(ir.IntType(64), 8)
        view = make_array(array)(context, builder)
        data = builder.inttoptr(at, double.as_pointer())
        populate_array(view, data=data, shape=(length,), strides=(stride,), itemsize=stride, meminfo=None)
        return view._getvalue()

    return array(types.int64, types.int64), emit


view_of_doubles: Callable[[int, int], Any] = _view_in_python if JIT_DISABLED else intrinsic(_view)
"""``view_of_doubles(address, size)``: the contiguous doubles at *address*, as an array that does not own them."""


LINE = 64
"""Number of bytes in a cache line, and in the longest vector."""


def _allocate(kind: Any, *dimensions: Any) -> Any:
    array = types.Array(kind, len(dimensions), "C")

    def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
        from numba.np.arrayobj import make_array, populate_array

        number, integer = context.get_value_type(kind), ir.IntType(64)
        strides = [ir.Constant(integer, context.get_abi_sizeof(number))]
        for length in reversed(operands):
            strides.insert(0, builder.mul(strides[0], length))
        room = make_array(array)(context, builder)
        owner = context.nrt.meminfo_alloc_aligned(builder, strides[0], LINE)
        data = builder.bitcast(context.nrt.meminfo_data(builder, owner), number.as_pointer())
        populate_array(room, data=data, shape=operands, strides=strides[1:], itemsize=strides[-1], meminfo=owner)
        return room._getvalue()

    return array(*(types.int64 for _ in dimensions)), emit


def _buffer(typing_context: Any, size: Any) -> Any:
    return _allocate(types.float64, size)


def _buffers(typing_context: Any, rows: Any, size: Any) -> Any:
    return _allocate(types.float64, rows, size)


def _integers(typing_context: Any, size: Any) -> Any:
    return _allocate(types.int64, size)


buffer: Callable[[int], Any] = np.empty if JIT_DISABLED else intrinsic(_buffer)
"""``buffer(size)``: an uninitialised array of *size* doubles, which begins at a cache line.

An array that compiled code makes with NumPy begins at any multiple of 16 bytes, and loops over it are up to a fifth
slower in one process than in another.
"""

buffers: Callable[[int, int], Any] = (lambda *shape: np.empty(shape)) if JIT_DISABLED else intrinsic(_buffers)
"""``buffers(rows, size)``: an uninitialised array of *rows* times *size* doubles, which begins at a cache line."""

integers: Callable[[int], Any] = (lambda size: np.empty(size, np.int64)) if JIT_DISABLED else intrinsic(_integers)
"""``integers(size)``: an uninitialised array of *size* integers. Unlike ``np.empty``, it takes no time to compile."""
