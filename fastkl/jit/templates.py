"""Templates: one source text, compiled for several functions that it calls.

A template calls functions by names that are declared as holes at the head of its module::

    short, long = holes("short", "long")


    def _elements(x, out): ...  # calls short and long


    entr = instance(_elements, "entr", short=ordinary_entr, long=entr)
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


class Hole:
    """A global name of templates that has no meaning until an instance gives it one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<hole {self.name}>"


def holes(*names: str) -> Any:
    """Holes with the given names: a list, or the hole itself for a single name."""
    found = [Hole(name) for name in names]
    return found[0] if len(found) == 1 else found


def instance(
    template: Callable[..., Any], name: str, beside: Callable[..., Any] | None = None, /, **functions: Any
) -> FunctionType:
    """A copy of *template* whose holes are filled with *functions*.

    The copy is called *name* and, if *beside* is given, has the module, file and line of that function. Numba's disk
    cache knows a function by its name, file and line; a global is part of none of these, whereas a closure
    or an argument that is itself a compiled function would miss the cache in every process.

    Raises
    ------
    TypeError
        If a hole stays empty, or a name is no hole.
    """
    declared = {key for key, value in template.__globals__.items() if isinstance(value, Hole)}
    empty = declared.intersection(template.__code__.co_names) - functions.keys()
    unknown = functions.keys() - declared
    if empty or unknown:
        raise TypeError(f"{name}: holes stay empty: {sorted(empty)}; no holes: {sorted(unknown)}")
    home = (beside or template).__code__
    code = template.__code__.replace(co_filename=home.co_filename, co_firstlineno=home.co_firstlineno)
    copy = FunctionType(code, {**template.__globals__, **functions}, name, template.__defaults__)
    copy.__module__ = (beside or template).__module__
    copy.__qualname__ = name
    return copy
