"""What normalising two densities adds to the sum of their non-negative terms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def phi(u: float) -> float:
    """u - log(1 + u) >= 0 for u > -1, without cancellation.

    log(1 + u) = 2 atanh(s) with s = u/(2 + u), and u - 2 s = u s.
    """
    if abs(u) > 0.1:
        return u - math.log1p(u)
    s = u / (2.0 + u)
    return float(u * s - _tail(s))


def phi_of_array(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for many; NaN for u < -1, inf for u = -1."""
    with np.errstate(all="ignore"):
        s = u / (2.0 + u)
        result: NDArray[np.float64] = np.where(np.abs(u) > 0.1, u - np.log1p(u), u * s - _tail(s))
        return result


def _tail(s: Any) -> Any:
    """2 atanh(s) - 2 s for |s| <= 0.053."""
    z = s * s
    return s * z * (2 / 3 + z * (2 / 5 + z * (2 / 7 + z * (2 / 9 + z * (2 / 11 + z * 2 / 13)))))
