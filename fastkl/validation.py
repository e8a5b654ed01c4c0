"""Numbers and arrays from the user, checked once, with the offending value in the message."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIMES = (np.datetime64, np.timedelta64)
"""Types of dates and durations, which NumPy would turn into numbers of an unnamed unit."""


def as_real(value: Any, name: str) -> float:
    """*value* as a finite float."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be finite, but is beyond the range of a double") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number!r}")
    return number


def nats_per_unit(base: Any) -> float:
    """Nats in a unit of logarithms to *base*: log(base), which is 0 for base 1, or 1 for None."""
    if base is None:
        return 1.0
    if np.ndim(base) > 0:
        raise TypeError(
            f"`base` must be a positive number or `None`, got an array of shape {np.shape(base)}; only two arrays are "
            "compared"
        )
    if not isinstance(base, int | float | np.integer | np.floating):
        raise TypeError(f"`base` must be a positive number or `None`, got {base!r}")
    if base <= 0:
        raise ValueError(f"`base` must be a positive number or `None`, got {base!r}")
    return math.log(base)


def with_article(name: str) -> str:
    """*name* after "a" or "an"."""
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def as_count(value: Any, name: str) -> int:
    """*value* as a whole number."""
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if count != value:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    return count


def require_unmasked(values: Any, name: str) -> None:
    """Refuse a masked array with masked entries, whose numbers below the mask mean nothing."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(f"{name} must not be masked, but {int(np.sum(np.ma.getmaskarray(values)))} of them are")


def as_reals(values: Any, name: str) -> Floats:
    """*values* as an array of doubles; the same memory if it is one already."""
    require_unmasked(values, name)
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise TypeError(f"{name} must be real, got complex numbers")
    kinds = [x.dtype for x in array.flat if isinstance(x, TIMES)] if array.dtype.kind == "O" else [array.dtype]
    if kinds and kinds[0].kind in "mM":
        unit = "(x - x[0]) / numpy.timedelta64(1, 'D')"
        raise TypeError(f"{name} must be numbers, got {kinds[0]}; take them in a unit, as {unit} does")
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {_first_that_is_no_number(array)!r}") from None


def _first_that_is_no_number(array: NDArray[Any]) -> Any:
    for entry in array.ravel().tolist():
        try:
            float(entry)
        except (TypeError, ValueError):
            return entry
    return array.dtype


def as_line(values: Any, name: str, item: str = "number") -> Floats:
    """*values* as a one-dimensional array of finite doubles."""
    array = as_reals(values, name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        at = int(np.argmax(~np.isfinite(array)))
        raise ValueError(f"{name} must be finite, but {item} {at} is {array[at]}")
    return array
