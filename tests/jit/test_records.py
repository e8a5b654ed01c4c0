"""Named tuples reach a kernel whole, by every way in which it is run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from fastkl.jit import SMALL_POINTS, tiled
from fastkl.kernels.sums import kl_sums


class Inner(NamedTuple):
    offsets: Any
    count: int


class Outer(NamedTuple):
    x: Any
    inner: Inner
    y: Any


@tiled(outputs=1)
def products(partial, start, stop, factor, outer, last):
    """Sum of factor x y + offsets[0] count + last."""
    for i in range(start, stop):
        partial[0] += factor * outer.x[i] * outer.y[i] + outer.inner.offsets[0] * outer.inner.count + last


@pytest.mark.parametrize("size", [100, 3 * SMALL_POINTS], ids=["a tile", "the driver"])
def test_nested_records_among_other_arguments(size: int) -> None:
    x = np.linspace(0.0, 1.0, size)
    total = products.total(size, 2.0, Outer(x, Inner(np.full(3, 0.5), 4), 1.0 - x), 1)
    np.testing.assert_allclose(total, [np.sum(2.0 * x * (1.0 - x) + 0.5 * 4 + 1)], rtol=1e-12)


def test_a_driver_takes_a_kernel_with_and_without_its_last_argument() -> None:
    p, q = np.random.default_rng(0).random((2, 3 * SMALL_POINTS))
    for given in ((p, q), (p, q, 1.0), (p, q)):
        np.testing.assert_array_equal(kl_sums.total(p.size, *given), kl_sums.total(p.size, p, q))
