"""One source text, compiled for several functions that it calls."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


def instance(
    template: Callable[..., Any], name: str, beside: Callable[..., Any] | None = None, /, **functions: Any
) -> FunctionType:
    """A copy of *template* in which the global names of *functions* mean these.

    It goes by *name* and, if *beside* is given, says that it lives where that function does. Numba's disk
    cache knows a function by its name, file and line; a global is part of none of these, whereas a closure
    or an argument that is itself a compiled function would miss the cache in every process.
    """
    home = (beside or template).__code__
    code = template.__code__.replace(co_filename=home.co_filename, co_firstlineno=home.co_firstlineno)
    copy = FunctionType(code, {**template.__globals__, **functions}, name, template.__defaults__)
    copy.__module__ = (beside or template).__module__
    copy.__qualname__ = name
    return copy
