"""Named tuples as arguments of kernels.

Numba cannot take a named tuple into a parallel loop (numba#4846, numba#10139), but it can make one inside. So a
driver is handed all members one after the other, and puts the named tuples together again for every tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

Layout = tuple[Any, ...]
"""The class and the layout of the members of every argument, or None for an argument that is no named tuple."""


def layout_of(arguments: tuple[Any, ...]) -> Layout:
    """The layout of arguments: which of them are named tuples, and with which members; empty if none is."""
    layout = tuple((type(a), layout_of(a)) if hasattr(a, "_fields") else None for a in arguments)
    return layout if any(layout) else ()


def flattened(arguments: tuple[Any, ...]) -> Iterator[Any]:
    """The arguments, with the members of a named tuple in its place."""
    for argument in arguments:
        if hasattr(argument, "_fields"):
            yield from flattened(argument)
        else:
            yield argument


def packer(layout: Layout) -> Any:
    """Function ``pack(members)`` for compiled code, which makes the arguments of *layout* of all their members.

    An empty layout stands for arguments without named tuples.
    """

    def types_of(layout: Layout, members: Iterator[Any]) -> list[Any]:
        return [
            types.BaseTuple.from_types(types_of(_members(part), members), part[0]) if part else next(members)
            for part in layout
        ]

    def pack(typing_context: Any, members: Any) -> Any:
        whole = layout or (None,) * len(members.types)
        arguments = types.BaseTuple.from_types(types_of(whole, iter(members.types)))

        def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            values = iter(cgutils.unpack_tuple(builder, operands[0]))

            def made(kind: Any, layout: Layout) -> Any:
                parts = [
                    made(own, _members(part)) if part else next(values)
                    for own, part in zip(kind.types, layout, strict=True)
                ]
                return context.make_tuple(builder, kind, parts)

            return impl_ret_borrowed(context, builder, signature.return_type, made(arguments, whole))

        return arguments(members), emit

    return intrinsic(pack)


def _members(part: tuple[Any, Layout]) -> Layout:
    """The layout of the members of a named tuple, an entry for each of them."""
    return part[1] or (None,) * len(part[0]._fields)
