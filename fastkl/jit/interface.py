"""Block functions that kernels call through their address.

A kernel that calls a block function directly holds a copy of it, and compiles it again. A kernel that calls
through an address holds none: every function is compiled once, and only if it is used, and one compiled kernel
serves them all. A call through an address costs nothing compared with a block of points. An address is a number,
which crosses into parallel code and leaves the disk cache valid, whereas a compiled function as an argument does
neither.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic

from fastkl.jit.cache import cached
from fastkl.jit.options import JIT_DISABLED, block


class Interface:
    """The signature of functions that a kernel can call through one argument, their address.

    Parameters
    ----------
    signature : str
        The types of the arguments, in Numba's notation.
    """

    def __init__(self, signature: str) -> None:
        self.arguments = normalize_signature(signature)[0]
        self.call: Any = _call_in_python if JIT_DISABLED else self._call()
        """Function ``call(address, *arguments)`` for compiled code; compiling it checks the types of the arguments."""

    def implement(self, function: Callable[..., None]) -> Implementation:
        """Implementation of this interface by *function*, which thereby gets an address."""
        return Implementation(function, self.arguments)

    def _call(self) -> Any:
        declared = self.arguments

        def call(typing_context: Any, address: Any, *arguments: Any) -> Any:
            if tuple(map(_writable, arguments)) != declared:
                raise TypeError(f"{arguments} do not fit {declared}")
            signature = types.none(address, types.StarArgTuple.from_types(arguments))

            def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
                convention = context.call_conv
                pointer = convention.get_function_type(types.none, declared).as_pointer()
                function = builder.inttoptr(operands[0], pointer)
                values = cgutils.unpack_tuple(builder, operands[1])
                convention.call_function(builder, function, types.none, declared, values)
                return context.get_dummy_value()

            return signature, emit

        return intrinsic(call)


class Implementation:
    """A block function that kernels can call through its address."""

    def __init__(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self.arguments = arguments
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<Implementation {self.__name__}>"

    @functools.cached_property
    def function(self) -> Any:
        """The function as compiled code calls it."""
        return cached(block(self._function))

    @functools.cached_property
    def address(self) -> Any:
        """Address of the machine code, which is compiled, or loaded from the disk cache, when first asked for.

        With the JIT switched off, the address is the place of the function in a list.
        """
        if JIT_DISABLED:
            _in_python.append(self.function)
            return len(_in_python)
        self.function.compile(self.arguments)
        compiled = self.function.overloads[self.arguments]
        return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


_in_python: list[Callable[..., None]] = []
"""Functions that have an address while the JIT is switched off: their place in this list, counted from 1."""


def _call_in_python(address: int, *arguments: Any) -> None:
    _in_python[int(address) - 1](*arguments)


def _writable(argument: Any) -> Any:
    """The Numba type *argument*, without the mark of a read-only array, which looks the same to machine code."""
    return argument.copy(readonly=False) if isinstance(argument, types.Array) else argument
