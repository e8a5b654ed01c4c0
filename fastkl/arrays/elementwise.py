"""Drop-in replacements for the elementwise functions of `scipy.special`, and the logarithm of a ratio."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

import numpy as np

from fastkl.arrays.containers import is_sparse
from fastkl.elementary import log_ratio as _log_ratio
from fastkl.elementary import special
from fastkl.jit import JIT_DISABLED, TiledKernel, callable_from_numba, ufunc
from fastkl.kernels.elements import entr_elements, kl_div_elements, rel_entr_elements

ndarray = np.ndarray  # saves a lookup, since nanoseconds count

PARALLEL_SIZE = 2**16
"""Number of elements from which on arrays whose elements lie side by side are computed in threads."""


_ABSENT: Any = object()


class Elementwise:
    """A NumPy ufunc that works on large arrays in threads.

    It has everything that a `numpy.ufunc` has: ``out=``, ``where=``, ``.reduce``, ``.types`` and so on.
    A user's own compiled function may call it, with scalars or arrays.
    """

    def __init__(self, name: str, n_inputs: int, compute: Any, kernel: TiledKernel | None, doc: str) -> None:
        self.__name__ = name
        self.__qualname__ = name
        self.__module__ = "fastkl"
        self.__doc__ = doc
        self._n_inputs = n_inputs
        self._compute = compute
        names = [inspect.Parameter(x, inspect.Parameter.POSITIONAL_ONLY) for x in "xy"[:n_inputs]]
        out = inspect.Parameter("out", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
        where = inspect.Parameter("where", inspect.Parameter.KEYWORD_ONLY, default=True)
        self.__signature__ = inspect.Signature(
            [*names, out, where, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
        )
        self._kernel = kernel

    def __getattr__(self, name: str) -> Any:
        if name == "ufunc":
            self.ufunc = ufunc(self.__name__, self.__doc__ or "", self._compute, self._n_inputs)
            return self.ufunc
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.ufunc, name)

    @cached_property
    def _numba_type_(self) -> Any:
        return callable_from_numba(self._compute.py_func)

    def __call__(self, x: Any, y: Any = _ABSENT, out: Any = None, /, **kwargs: Any) -> Any:
        if not kwargs and out is None and (type(x) is not ndarray or x.size < PARALLEL_SIZE):
            try:
                return self.ufunc(x) if y is _ABSENT else self.ufunc(x, y)  # written out, to save time
            except TypeError:
                _refuse_sparse(self.__name__, x, y)
                raise
        given = (x,) if y is _ABSENT else (x, y) if out is None else (x, y, out)
        if self._kernel is not None and not JIT_DISABLED and kwargs.keys() <= {"out"}:
            inputs, rest = given[: self._n_inputs], given[self._n_inputs :]
            target = rest[0] if rest else kwargs.get("out")
            target = target[0] if type(target) is tuple and len(target) == 1 else target
            if len(inputs) == self._n_inputs and not (rest and kwargs) and _side_by_side(inputs, target):
                target = np.empty_like(x) if target is None else target
                vectors = [array.reshape(-1, order="A") for array in (inputs[0], inputs[-1], target)]
                in_place = any(array.ctypes.data == target.ctypes.data for array in inputs)
                self._kernel(x.size, *vectors, in_place)
                return target
        return self.ufunc(*given, **kwargs)

    def __repr__(self) -> str:
        return f"<fastkl ufunc {self.__name__!r}>"

    def __reduce__(self) -> str:
        return self.__name__


def _refuse_sparse(name: str, *given: Any) -> None:
    """Refuse a sparse matrix, saying what to pass instead: NumPy's own message blames the ufunc."""
    for values in given:
        if is_sparse(values):
            raise TypeError(f"{name} takes arrays, got a sparse {type(values).__name__}; pass its .toarray()") from None


def _side_by_side(inputs: tuple[Any, ...], out: Any) -> bool:
    """Whether *inputs* and *out*, if any, are large, of one shape, type and dense order, and do not overlap partly."""
    first = inputs[0]
    if type(first) is not np.ndarray or first.size < PARALLEL_SIZE:
        return False
    if first.dtype not in (np.float64, np.float32) or not first.dtype.isnative or not first.flags.aligned:
        return False
    for array in inputs if out is None else (*inputs, out):
        if type(array) is not np.ndarray or array.shape != first.shape or array.dtype != first.dtype:
            return False
        dense = array.flags.c_contiguous if first.flags.c_contiguous else array.flags.f_contiguous
        if not dense or not array.flags.aligned:
            return False
    if out is None:
        return True
    apart = (array.ctypes.data == out.ctypes.data or not np.may_share_memory(array, out) for array in inputs)
    return bool(out.flags.writeable) and all(apart)


rel_entr = Elementwise(
    "rel_entr",
    2,
    special.rel_entr,
    rel_entr_elements,
    """rel_entr(x, y, /, out=None, *, where=True, ...)

The elements of relative entropy, x log(x/y), as `scipy.special.rel_entr`.

Parameters
----------
x, y : array_like
    Real; broadcast against each other. pandas, xarray and dask objects come back as their own type.
out, where, ...
    As for every `numpy.ufunc`.

Returns
-------
scalar or ndarray
    In nats. 0 for x = 0 <= y; inf for y = 0 < x and where an argument is negative; -inf for y = inf > x > 0;
    NaN for a NaN and for two infinities. Single precision for arguments that fit in it without loss
    (float16, float32, bool, 8 and 16 bit integers), else double.

Raises
------
TypeError
    If the arguments are complex, longdouble, strings or objects.

Notes
-----
The error is at most 2 ulp for all positive arguments: the quotient x/y is never formed.

Examples
--------
>>> import fastkl
>>> float(fastkl.rel_entr(2.0, 1.0))
1.3862943611198906
""",
)

kl_div = Elementwise(
    "kl_div",
    2,
    special.kl_div,
    kl_div_elements,
    """kl_div(x, y, /, out=None, *, where=True, ...)

The non-negative terms of a divergence, x log(x/y) - x + y, as `scipy.special.kl_div`.

Parameters
----------
x, y : array_like
    Real; broadcast against each other. pandas, xarray and dask objects come back as their own type.
out, where, ...
    As for every `numpy.ufunc`.

Returns
-------
scalar or ndarray
    In nats, >= 0. y for x = 0; inf for y = 0 < x, and if an argument is negative or infinite;
    NaN for a NaN and for two infinities. Types as in `rel_entr`.

Raises
------
TypeError
    If the arguments are complex, longdouble, strings or objects.

Notes
-----
Within 4 ulp, however close x and y are.

Examples
--------
>>> import fastkl
>>> float(fastkl.kl_div(1.0, 1.0 + 1e-9))
5.0000008274037e-19
""",
)

entr = Elementwise(
    "entr",
    1,
    special.entr,
    entr_elements,
    """entr(x, /, out=None, *, where=True, ...)

The elements of entropy, -x log(x), as `scipy.special.entr`.

Parameters
----------
x : array_like
    Real. pandas, xarray and dask objects come back as their own type.
out, where, ...
    As for every `numpy.ufunc`.

Returns
-------
scalar or ndarray
    In nats. 0 for x = 0; -inf for x < 0 and x = inf; NaN for NaN. Types as in `rel_entr`.

Raises
------
TypeError
    If the argument is complex, longdouble, strings or objects.

Examples
--------
>>> import fastkl
>>> float(fastkl.entr(0.5))
0.34657359027997264
""",
)

log_ratio = Elementwise(
    "log_ratio",
    2,
    _log_ratio,
    None,
    """log_ratio(x, y, /, out=None, *, where=True, ...)

log(x/y) without forming the quotient: nothing overflows, and all digits are kept as y -> x.

Parameters
----------
x, y : array_like
    Real, >= 0; broadcast against each other.
out, where, ...
    As for every `numpy.ufunc`.

Returns
-------
scalar or ndarray
    In nats, within 1 ulp. -inf for x = 0 or y = inf, inf for y = 0 or x = inf, NaN for 0/0, inf/inf, a
    negative and a NaN. Types as in `rel_entr`.

Raises
------
TypeError
    If the arguments are complex, longdouble, strings or objects.

Examples
--------
>>> import fastkl
>>> float(fastkl.log_ratio(1e300, 1e-300))
1381.5510557964274
""",
)
