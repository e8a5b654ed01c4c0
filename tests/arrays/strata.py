"""Arrays as people have them, one generator for each kind: the table of tests, of accuracy and of benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Pair = tuple[Floats, Floats]
Shape = tuple[int, ...]


class Stratum(NamedTuple):
    """A kind of data."""

    name: str
    make: Callable[[np.random.Generator, Shape], Pair]
    """``make(rng, shape)``: p and q in double precision, with their distributions along the last axis."""
    finite: bool = True
    """Whether KL(p||q) is."""
    subnormal: bool = False
    """Whether nothing but subnormal numbers is in it: the hardware is slow there."""

    def pair(self, shape: Shape, kind: str = "f8", seed: int = 0) -> Pair:
        """P and q of that shape and type; in single precision what is less than its least number becomes 0."""
        p, q = self.make(np.random.default_rng(seed), shape)
        if self.subnormal and kind == "f4":  # the subnormal numbers of that type
            p, q = np.ldexp(p, 1074 - 149 - 29), np.ldexp(q, 1074 - 149 - 29)
        if self.finite and kind == "f4":
            q = np.where(q.astype(kind) == 0.0, np.where(p.astype(kind) > 0.0, np.finfo(kind).smallest_subnormal, q), q)
        return p.astype(kind), q.astype(kind)


def _dense(rng: np.random.Generator, shape: Shape) -> Pair:
    return rng.random(shape) + 1e-9, rng.random(shape) + 1e-9


def _zeros(share: float, where: str) -> Callable[[np.random.Generator, Shape], Pair]:
    """Zeros at random places of p, of q, of both alike ('same'), or of each for itself ('different')."""

    def make(rng: np.random.Generator, shape: Shape) -> Pair:
        p, q = _dense(rng, shape)
        empty = rng.random(shape) < share
        if where != "q":
            p[empty] = 0.0
        if where in ("q", "same"):
            q[empty] = 0.0
        if where == "different":
            q[rng.random(shape) < share] = 0.0
        p[..., 0] = q[..., 0] = 0.5  # no row is empty
        return p, q

    return make


def _one_hot(rng: np.random.Generator, shape: Shape) -> Pair:
    p, (_, q) = np.zeros(shape), _dense(rng, shape)
    np.put_along_axis(p, rng.integers(0, shape[-1], (*shape[:-1], 1)), 1.0, axis=-1)
    return p, q


def _counts(rng: np.random.Generator, shape: Shape) -> Pair:
    rate = 0.2 * rng.gamma(0.5, 2.0, shape)
    p, q = rng.poisson(rate).astype(float), rng.poisson(rate).astype(float)
    p[..., 0] = q[..., 0] = 1.0
    return p, q


def _smoothed_counts(rng: np.random.Generator, shape: Shape) -> Pair:
    p, q = _counts(rng, shape)
    return p, q + 0.5


@cache
def _real_columns() -> Floats:
    """Columns of real measurements, each between 0 and 1: 30 of 569 tumours."""
    from sklearn.datasets import load_breast_cancer

    columns = load_breast_cancer().data.T
    low, high = columns.min(axis=1, keepdims=True), columns.max(axis=1, keepdims=True)
    return (columns - low) / (high - low)  # type: ignore[no-any-return]


def _histograms(rng: np.random.Generator, shape: Shape) -> Pair:
    """Histograms of real columns, whose right half is mostly empty; of a whole array, or of its rows."""
    columns = _real_columns()
    counts = [np.histogram(column, min(shape[-1], 200), (0.0, 1.0))[0].astype(float) for column in columns]
    rows = int(np.prod(shape[:-1]))
    repeated = [np.resize(c, shape[-1]) for c in counts]
    p = np.stack([repeated[k % len(counts)] for k in range(rows)]).reshape(shape)
    return p, np.stack([repeated[(k + 1) % len(counts)] for k in range(rows)]).reshape(shape) + 0.5


def _tails(rng: np.random.Generator, shape: Shape) -> Pair:
    """Two Normals from -60 to 60 standard deviations, which underflow on both sides."""
    x = np.linspace(-60.0, 60.0, shape[-1])
    p, q = np.exp(-0.5 * x**2), np.exp(-0.5 * (x / 1.1) ** 2) / 1.1
    return np.broadcast_to(p, shape).copy(), np.broadcast_to(q, shape).copy()


def _subnormals(rng: np.random.Generator, shape: Shape) -> Pair:
    least = np.finfo(float).smallest_subnormal
    return rng.integers(1, 2**50, shape) * least, rng.integers(1, 2**50, shape) * least


def _heavy(rng: np.random.Generator, shape: Shape) -> Pair:
    return np.exp(rng.uniform(-80.0, 0.0, shape)), np.exp(rng.uniform(-80.0, 0.0, shape))


def _near(rng: np.random.Generator, shape: Shape) -> Pair:
    p, _ = _dense(rng, shape)
    return p, p * (1.0 + 1e-6 * rng.standard_normal(shape))


STRATA = (
    Stratum("dense", _dense),
    *(Stratum(f"{share} % zeros in p", _zeros(share / 100, "p")) for share in (1, 10, 50, 90, 99)),
    *(Stratum(f"{share} % zeros in q", _zeros(share / 100, "q"), finite=False) for share in (10, 50, 90)),
    *(Stratum(f"{share} % zeros in both, same places", _zeros(share / 100, "same")) for share in (10, 50, 90, 99)),
    *(
        Stratum(f"{share} % zeros in both, different places", _zeros(share / 100, "different"), finite=False)
        for share in (10, 50, 90, 99)
    ),
    Stratum("one-hot rows", _one_hot),
    Stratum("counts, most bins empty", _counts, finite=False),
    Stratum("counts against smoothed counts", _smoothed_counts),
    Stratum("histograms of real columns", _histograms),
    Stratum("two Normals on ±60 sigma", _tails),
    Stratum("subnormal numbers", _subnormals, subnormal=True),
    Stratum("heavy ratios", _heavy),
    Stratum("q near p", _near),
)
"""Every kind of data, the dense one first."""
