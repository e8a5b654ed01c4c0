"""The generalised Jensen-Shannon divergence, against mpmath, its laws and its special case of two distributions."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from numpy.typing import NDArray

import fastkl
from fastkl import generalized_jensenshannon
from fastkl.jit import JIT_DISABLED
from tests.arrays import exact

RTOL = 1e-13

SIZES, PAIRS = ((8,), 3) if JIT_DISABLED else ((8, 40, 300), 25)


def definition(P: NDArray[Any], weights: Any = None, widths: Any = None) -> mp.mpf:
    w = [mp.mpf(1) / len(P)] * len(P) if weights is None else exact.normalised(exact.numbers(weights))
    cells = exact.numbers(np.ones(P.shape[1]) if widths is None else widths)
    left = [(a, exact.normalised(exact.numbers(p), cells)) for a, p in zip(w, P, strict=True) if a]
    m = [mp.fsum(a * p[j] for a, p in left) for j in range(P.shape[1])]
    return mp.fsum(
        a * mp.fsum(c * x * mp.log(x / y) for c, x, y in zip(cells, p, m, strict=True) if x) for a, p in left
    )


def assert_exact(P: NDArray[Any], weights: Any = None, widths: Any = None) -> None:
    truth = definition(P.astype(float), weights, widths)
    value = generalized_jensenshannon(P, weights, widths=widths)
    assert abs(mp.mpf(float(value)) - truth) <= RTOL * truth + mp.mpf(10) ** -60


STRATA = {
    "plain": lambda p, rng: p,
    "other masses": lambda p, rng: p * 10.0 ** rng.uniform(-20, 20, (len(p), 1)),
    "half empty": lambda p, rng: np.where(rng.random(p.shape) < 0.5, 0.0, p) + np.eye(*p.shape),
    "alike to 1e-8": lambda p, rng: p[:1] * (1.0 + 1e-8 * rng.standard_normal(p.shape)),
    "alike to 1e-14": lambda p, rng: 3.7 * p[:1] * (1.0 + 1e-14 * rng.standard_normal(p.shape)),
    "one that differs": lambda p, rng: np.vstack([np.tile(p[:1] * (1.0 + 1e-9 * p[1:2]), (len(p) - 1, 1)), p[:1]]),
    "disjoint": lambda p, rng: np.where(np.arange(p.shape[1]) % len(p) == np.arange(len(p))[:, None], p, 0.0),
    "tiny": lambda p, rng: p * 2.0**-1030,
    "huge": lambda p, rng: p * 2.0**1023,
    "wide": lambda p, rng: p * np.exp(rng.uniform(-300, 300, p.shape)),
}


@pytest.mark.parametrize("stratum", STRATA)
@pytest.mark.parametrize("k", [2, 3, 7])
def test_every_digit_but_the_last_ones_is_right(stratum: str, k: int) -> None:
    rng = np.random.default_rng(k)
    for n in SIZES:
        P = STRATA[stratum](rng.random((k, n)), rng)
        weights = rng.dirichlet(np.ones(k))
        assert_exact(P)
        assert_exact(P, weights)
        assert_exact(P, np.where(np.arange(k) == k - 1, 0.0, 1.0 / (k - 1)))
        if stratum not in ("tiny", "huge", "wide"):
            assert_exact(P, weights, widths=rng.random(n))


def test_of_two_it_is_the_square_of_the_distance() -> None:
    rng = np.random.default_rng(0)
    P = rng.random((2 * PAIRS, 2, 40))
    P[:PAIRS, 1] = P[:PAIRS, 0] * (1.0 + 10.0 ** -rng.uniform(1, 12, (PAIRS, 1)) * rng.standard_normal((PAIRS, 40)))
    squares = fastkl.jensenshannon(P[:, 0], P[:, 1], axis=1) ** 2
    np.testing.assert_allclose(generalized_jensenshannon(P), squares, rtol=4e-15)
    for settings in ({"base": 2}, {"pseudocount": 0.5}, {"keepdims": False}):
        plain = fastkl.jensenshannon(P[:, 0], P[:, 1], axis=1, **settings) ** 2
        np.testing.assert_allclose(generalized_jensenshannon(P, **settings), plain, rtol=4e-15)
    widths = rng.random(40)
    squares = fastkl.jensenshannon(P[:, 0], P[:, 1], axis=1, weights=widths) ** 2
    np.testing.assert_allclose(generalized_jensenshannon(P, widths=widths), squares, rtol=1e-13)
    squares = fastkl.jensenshannon(P[PAIRS:, 0], P[PAIRS:, 1], axis=1, log=True) ** 2
    np.testing.assert_allclose(generalized_jensenshannon(P[PAIRS:] - 5000.0, log=True), squares, rtol=1e-11)


def test_it_is_0_for_equal_and_largest_for_disjoint_distributions() -> None:
    p, weights = np.random.default_rng(1).random(50), [0.2, 0.5, 0.3]
    assert generalized_jensenshannon([p, p, p]) == 0.0
    assert generalized_jensenshannon([[1, 2, 3], [3, 6, 9], [7, 14, 21]], weights) == 0.0
    assert generalized_jensenshannon([p, 3.0 * p], [1.0, 0.0]) == 0.0
    assert generalized_jensenshannon([p]) == 0.0
    assert generalized_jensenshannon([p, p[::-1]]) > 0.0
    for kind in ("f4", "f8"):
        largest = np.array(fastkl.entropy(weights)).astype(kind)
        assert generalized_jensenshannon(np.eye(3, dtype=kind), weights) == largest
    assert generalized_jensenshannon(np.eye(4), base=2) == pytest.approx(2.0, rel=1e-15)


def test_laws() -> None:
    rng = np.random.default_rng(2)
    P, w = rng.random((5, 30)), rng.dirichlet(np.ones(5))
    whole, order = generalized_jensenshannon(P, w), rng.permutation(5)
    assert generalized_jensenshannon(P[order], w[order]) == pytest.approx(float(whole), rel=1e-14)
    # two copies of a distribution share its weight
    twice = generalized_jensenshannon(np.vstack([P, P[:1]]), [0.5 * w[0], *w[1:], 0.5 * w[0]])
    assert twice == pytest.approx(float(whole), rel=1e-13)
    # merging cells loses information
    assert generalized_jensenshannon(P.reshape(5, 15, 2).sum(axis=-1), w) <= whole
    # the divergence within groups adds to that of their means: the chain rule
    Q = P / P.sum(axis=1, keepdims=True)
    parts = [slice(0, 2), slice(2, 5)]
    masses = [w[s].sum() for s in parts]
    means = [w[s] @ Q[s] for s in parts]
    within = sum(m * generalized_jensenshannon(Q[s], w[s] / m) for s, m in zip(parts, masses, strict=True))
    assert generalized_jensenshannon(means, masses) + within == pytest.approx(float(whole), rel=1e-13)
    expected = fastkl.entropy(w @ Q) - w @ fastkl.entropy(Q, axis=1)
    assert whole == pytest.approx(float(expected), rel=1e-12)


def test_axes_types_and_memory() -> None:
    rng = np.random.default_rng(3)
    P = rng.random((4, 5, 6, 3))
    weights = rng.dirichlet(np.ones(6), size=(4, 5))
    expected = np.array([[generalized_jensenshannon(P[i, j], weights[i, j]) for j in range(5)] for i in range(4)])
    np.testing.assert_array_equal(generalized_jensenshannon(P, weights), expected)
    moved = np.moveaxis(P, (2, 3), (0, 1))
    np.testing.assert_array_equal(generalized_jensenshannon(moved, weights, axis=1, over=0), expected)
    assert generalized_jensenshannon(moved, weights, axis=1, over=0, keepdims=True).shape == (1, 1, 4, 5)
    np.testing.assert_array_equal(generalized_jensenshannon(P[::-1], weights[::-1]), expected[::-1])
    np.testing.assert_allclose(generalized_jensenshannon(P[..., ::-1], weights), expected, rtol=1e-14)
    np.testing.assert_array_equal(generalized_jensenshannon(P.astype(">f8"), weights), expected)
    singles = P.astype("f4")
    result = generalized_jensenshannon(singles, weights)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, generalized_jensenshannon(singles.astype("f8"), weights).astype("f4"))
    counts = rng.integers(0, 5, (2, 3, 50) if JIT_DISABLED else (70, 3, 1000))
    np.testing.assert_array_equal(generalized_jensenshannon(counts), generalized_jensenshannon(counts.astype(float)))
    assert generalized_jensenshannon(P.tolist()).shape == (4, 5)
    assert generalized_jensenshannon(np.ones((0, 3, 4))).shape == (0,)
    assert generalized_jensenshannon(np.ones((3, 0))) == 0.0


def test_sums_of_0_and_nans() -> None:
    P = np.array([[1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]])
    assert math.isnan(generalized_jensenshannon(P[:2]))
    assert math.isnan(generalized_jensenshannon(P[[0, 2]]))
    assert generalized_jensenshannon(P, [1.0, 0.0, 0.0]) == 0.0
    assert generalized_jensenshannon(P[:2], pseudocount=1) == pytest.approx(
        float(generalized_jensenshannon([[2, 3], [1, 1]])), rel=1e-15
    )


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: generalized_jensenshannon([1.0, 2.0]), r"got shape \(2,\)"),
        (lambda: generalized_jensenshannon([[1.0, 2.0], [1.0]]), r"the same cells, got shapes \(1,\) and \(2,\)"),
        (lambda: generalized_jensenshannon(np.eye(2), [0.5, 0.6]), r"sum to 1 within 1e-09, got 1\.1; divide them"),
        (lambda: generalized_jensenshannon(np.eye(2), [1.5, -0.5]), r"weights must be finite and >= 0, got -0\.5"),
        (lambda: generalized_jensenshannon(np.ones((2, 3)), np.ones(3)), r"2 distributions, got shape \(3,\).*widths="),
        (lambda: generalized_jensenshannon(-np.eye(2)), r"P must be finite and >= 0, got -1\.0"),
        (lambda: generalized_jensenshannon([[np.inf, 1.0], [1.0, 1.0]]), "P must be finite and >= 0, got inf"),
        (lambda: generalized_jensenshannon([[np.inf, 1.0], [1.0, 1.0]], log=True), "P must hold logarithms below inf"),
        (lambda: generalized_jensenshannon(np.eye(2), widths=[1.0, -2.0]), r"widths must be finite.*got -2\.0"),
        (lambda: generalized_jensenshannon(np.eye(2), widths=[1, 1], pseudocount=1), "go with widths=.*count / widths"),
        (lambda: generalized_jensenshannon(np.eye(2), axis=1, over=-1), "two axes, got 1 and -1"),
        (lambda: generalized_jensenshannon(np.eye(2), widths=[1.0]), r"each of 2 cells, got shape \(1,\)"),
        (lambda: generalized_jensenshannon(np.eye(2), base=-1), "`base` must be a positive number"),
        (lambda: generalized_jensenshannon(np.eye(2), log=True, pseudocount=1), "does not go with log=True"),
        (lambda: generalized_jensenshannon(np.eye(2), pseudocount=-1), "pseudocount must be finite"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


def test_masked_and_sparse_distributions_are_refused() -> None:
    from scipy import sparse

    with pytest.raises(TypeError, match=r"P must not be masked.*P\.filled\(0\)"):
        generalized_jensenshannon(np.ma.masked_array(np.eye(2), np.eye(2)))
    with pytest.raises(TypeError, match=r"P must not be sparse; pass P\.toarray\(\)"):
        generalized_jensenshannon(sparse.eye_array(3))
