"""Arrays of other libraries: read in place, and answered in their own type."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.validation import Floats

HALVES = "float16", "bfloat16"
SINGLES = (*HALVES, "float32")
"""Names of the types whose results have single precision; NumPy has bfloat16 from `ml_dtypes`."""


def as_array(values: Any, name: str) -> NDArray[Any]:
    """*values* as an array of real numbers, in the same memory if possible; masks are left to the caller.

    *name* is the argument's name in error messages.
    """
    if values is None:
        raise ValueError(f"{name}: at least one array or dtype is required, got None")
    if is_sparse(values):
        raise TypeError(f"{name} is a sparse {type(values).__name__}; pass {name}.toarray()")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = _of_tensor(values, name)
    array = np.ma.getdata(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    kind = array.dtype
    is_real = kind.kind in "biu" or (kind.kind == "f" and np.can_cast(kind, np.float64)) or kind.name == "bfloat16"
    if not is_real:
        raise TypeError(
            f"{name} must be real numbers of at most double precision, which float64 can hold, got {kind} "
            f"({_glimpse(array)}); numpy.asarray({name}, dtype=float) makes them so where that is possible"
        )
    return array


def is_sparse(values: Any) -> bool:
    """Whether *values* is a sparse matrix or array, of SciPy or of a similar library."""
    return hasattr(values, "toarray") and hasattr(values, "nnz")


def _of_tensor(tensor: Any, name: str) -> Any:
    if tensor.requires_grad:
        raise TypeError(f"{name} is a tensor that requires a gradient, and fastkl computes none; pass {name}.detach()")
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is a tensor on {tensor.device}, and fastkl computes on the CPU; pass {name}.cpu()")
    if str(tensor.dtype) != "torch.bfloat16":
        return tensor.numpy()
    try:
        from ml_dtypes import bfloat16
    except ModuleNotFoundError:
        raise TypeError(
            f"{name} is a tensor of bfloat16, which NumPy has from ml_dtypes; install that, or pass {name}.float()"
        ) from None
    return tensor.view(sys.modules["torch"].int16).numpy().view(bfloat16)


def _glimpse(array: NDArray[Any]) -> str:
    return repr(array.flat[0]) if array.size else "no element"


def in_the_type_of(*given: Any) -> Callable[[Any], Any]:
    """Function that turns a result into a torch tensor or a JAX array if one of *given* is one, else the identity."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    for values in given:
        if torch is not None and isinstance(values, torch.Tensor):
            return lambda result: torch.from_numpy(np.array(result))
        if jax is not None and isinstance(values, jax.Array):
            return lambda result: jax.numpy.asarray(result)
    return lambda result: result


def checked_pseudocount(
    pseudocount: Any, *, log: bool, normalize: bool, weights: Any, of_cells: str = "weights"
) -> float:
    """*pseudocount* as a float, refused if the numbers that it is added to are not counts.

    *of_cells* is the name of the argument *weights*.
    """
    if not isinstance(pseudocount, int | float | np.integer | np.floating):
        raise TypeError(f"pseudocount must be a real number, got {pseudocount!r}")
    number = float(pseudocount)
    if not 0.0 <= number < np.inf:
        raise ValueError(f"pseudocount must be finite and >= 0, got {pseudocount!r}")
    if number > 0.0:
        for is_other, what in (
            (log, "log=True: the numbers are logarithms; pass numpy.exp of them"),
            (not normalize, "normalize=False: the numbers are taken as they stand; add it to them"),
            (weights is not None, f"{of_cells}=: the numbers are densities; add pseudocount / {of_cells} to them"),
        ):
            if is_other:
                raise ValueError(f"pseudocount={pseudocount!r} is added to counts, which does not go with {what}")
    return number


def checked_weights(weights: Any, name: str = "weights") -> tuple[Floats, int]:
    """(weights, exponent of the power of two that divides them, which is 0 if the largest is of ordinary size).

    *name* is the argument's name in error messages.
    """
    if np.ma.is_masked(weights):
        raise TypeError(f"{name} must not be masked; mask p or q where a point is left out, or give it the weight 0")
    w = np.asarray(as_array(weights, name), dtype=np.float64)
    bad = ~(np.isfinite(w) & (w >= 0.0))
    if bad.any():
        raise ValueError(f"{name} must be finite and >= 0, got {float(w[bad].flat[0])!r}")
    exponent = int(np.frexp(w.max(initial=0.0))[1])
    if abs(exponent) > ORDINARY_EXPONENT:
        return np.atleast_1d(np.ldexp(w, -exponent)), exponent
    return np.atleast_1d(w), 0


ORDINARY_EXPONENT = 40
"""Largest exponent of weights for which sums of their products with ordinary numbers are ordinary."""
