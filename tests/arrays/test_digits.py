"""Digits that SciPy loses, against mpmath."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import fastkl
from fastkl.jit import JIT_DISABLED
from tests.naive import kl_term, p_log_ratio, ulps

pytestmark = pytest.mark.study

TRIALS = 3 if JIT_DISABLED else 60
SIZES = [2, 3, 10, 100] if JIT_DISABLED else [2, 3, 10, 100, 1000]


def exact(values: Any) -> list[mp.mpf]:
    numbers = [mp.mpf(float(v)) for v in values]
    return [v / mp.fsum(numbers) for v in numbers]


def exact_kl(p: Any, q: Any) -> mp.mpf:
    return mp.fsum(a * mp.log(a / b) for a, b in zip(exact(p), exact(q), strict=True) if a)


def exact_entropy(p: Any) -> mp.mpf:
    return -mp.fsum(a * mp.log(a) for a in exact(p) if a)


def exact_distance(p: Any, q: Any) -> mp.mpf:
    pairs = [(a, b, (a + b) / 2) for a, b in zip(exact(p), exact(q), strict=True)]
    terms = [x * mp.log(x / m) for a, b, m in pairs for x in (a, b) if x]
    return mp.sqrt(mp.fsum(terms) / 2)


def single_ulps(value: Any, truth: mp.mpf) -> float:
    return float(abs(mp.mpf(float(value)) - truth) / mp.mpf(float(np.spacing(np.float32(float(truth))))))


def neighbours(rng: np.random.Generator) -> tuple[Any, Any]:
    n, epsilon = int(rng.choice(SIZES)), 10.0 ** -rng.uniform(1, 14)
    p = rng.random(n)
    return p / p.sum(), np.abs(p / p.sum() * (1.0 + epsilon * rng.standard_normal(n)))


@pytest.mark.parametrize(
    ("masses", "limit"),
    [pytest.param(False, 4.0, id="sums of about 1"), pytest.param(True, 8.0, id="any masses")],
)
def test_entropy_keeps_its_digits_as_q_approaches_p(masses: bool, limit: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(TRIALS):
        p, q = neighbours(rng)
        if masses:
            p, q = p * 10.0 ** rng.uniform(-8, 8), q * 10.0 ** rng.uniform(-8, 8)
        truth = exact_kl(p, q)
        assert ulps(float(fastkl.entropy(p, q)), truth) <= limit
        assert ulps(float(fastkl.entropy(np.stack([p, p]), q, axis=1)[1]), truth) <= limit
        assert ulps(float(fastkl.entropy(np.stack([p] * 70, axis=1), q[:, None])[3]), truth) <= limit


def test_scipy_does_not() -> None:
    p, q = neighbours(np.random.default_rng(6))
    q = p * (1.0 + 1e-9 * np.random.default_rng(7).standard_normal(p.size))
    assert ulps(float(scipy.stats.entropy(p, q)), exact_kl(p, q)) > 1e6


def test_other_functions_keep_their_digits() -> None:
    rng = np.random.default_rng(8)
    for _ in range(TRIALS):
        p, q = neighbours(rng)
        factor = 10.0 ** rng.uniform(-3, 3)
        # the square root of a sum that is within 8 ulp, and the square of a difference of masses taken off
        assert ulps(float(fastkl.jensenshannon(p, q)), exact_distance(p, q)) <= 8.0
        assert ulps(float(fastkl.jensenshannon(p * factor, q)), exact_distance(p * factor, q)) <= 8.0
        # the sum is rounded, which moves its logarithm by up to 2**-53
        truth = exact_entropy(p * factor)
        assert abs(mp.mpf(float(fastkl.entropy(p * factor))) - truth) <= 4.0 * math.ulp(float(truth)) + 2.0**-53
        assert ulps(float(fastkl.jeffreys(p, q)), exact_kl(p, q) + exact_kl(q, p)) <= 8.0


def test_single_precision_is_rounded_once() -> None:
    rng = np.random.default_rng(9)
    for _ in range(TRIALS):
        p, q = (values.astype(np.float32) for values in neighbours(rng))
        truth = exact_kl(p, q)
        if truth > 1e-37:
            assert single_ulps(fastkl.entropy(p, q), truth) <= 1.0
        assert single_ulps(fastkl.entropy(p), exact_entropy(p)) <= 1.0
        distance = exact_distance(p, q)
        if distance > 1e-37:
            assert single_ulps(fastkl.jensenshannon(p, q), distance) <= 1.0


STRATA = {
    "near": lambda rng, y: y * (1 + 10.0 ** -rng.uniform(0.3, 14, y.size) * rng.choice([-1, 1], y.size)),
    "moderate": lambda rng, y: y * np.exp(rng.uniform(-2, 2, y.size)),
    "far": lambda rng, y: y * np.exp(rng.uniform(-300, 300, y.size)),
    "tiny": lambda rng, y: y * 2.0**-1040,
    "huge": lambda rng, y: y * 2.0**1020,
}


@pytest.mark.parametrize("stratum", STRATA)
def test_elements_are_no_worse_than_scipys_anywhere(stratum: str) -> None:
    rng = np.random.default_rng(10)
    y = rng.random(60 if JIT_DISABLED else 1500) + 1e-3
    x = STRATA[stratum](rng, y)
    for name, truth in (("rel_entr", p_log_ratio), ("kl_div", kl_term)):
        expected = [truth(a, b) for a, b in zip(x, y, strict=True)]
        ours, theirs = (
            max(ulps(float(v), e) for v, e in zip(f(x, y), expected, strict=True) if e)
            for f in (getattr(fastkl, name), getattr(scipy.special, name))
        )
        assert ours <= min(theirs + 0.5, 4.0)


@pytest.mark.skipif(JIT_DISABLED, reason="the kernels for large arrays are not used without compiled code")
@pytest.mark.parametrize("stratum", STRATA)
def test_large_arrays_of_elements_are_as_good(stratum: str) -> None:
    rng = np.random.default_rng(11)
    y = np.resize(rng.random(1500) + 1e-3, 70_000)
    x = np.resize(STRATA[stratum](rng, y[:1500]), 70_000)
    for name, truth in (("rel_entr", p_log_ratio), ("kl_div", kl_term)):
        expected = [truth(a, b) for a, b in zip(x[:1500], y[:1500], strict=True)]
        ours, theirs = (
            max(ulps(float(v), e) for v, e in zip(f(x, y), expected, strict=False) if e)
            for f in (getattr(fastkl, name), getattr(scipy.special, name))
        )
        assert ours <= min(theirs + 0.5, 4.0)


FAR_APART = [
    ([1e-85, 1e-85], [1.0, 1e-250]),
    ([1e-80, 1e-80], [1e100, 1e-200]),
    ([1e-60, 1e-60], [1e60, 1e-200]),
    ([1.0, 1.0], [1e110, 1e-200]),
    ([1.0, 1.0], [1e15, 5e-324]),
    ([1.0, 1.0], [2.0**25, 5e-324]),
]
"""p and q whose masses differ much, with a number of q that is far below both."""


@pytest.mark.parametrize(("p", "q"), FAR_APART)
def test_small_numbers_count_however_far_apart_the_masses_are(p: list[float], q: list[float]) -> None:
    truth = exact_kl(p, q)
    for value in (
        fastkl.entropy(p, q),
        fastkl.entropy(np.array([p, p]), q, axis=1)[1],
        fastkl.entropy(np.array([p] * 70).T, np.array([q] * 70).T)[3],
        fastkl.entropy(p, q, weights=[1.0, 1.0]),
    ):
        assert ulps(float(value), truth) <= 8.0
    assert ulps(float(fastkl.jeffreys(p, q)), truth + exact_kl(q, p)) <= 8.0


def test_a_number_above_0_where_q_is_0_makes_the_divergence_infinite_even_if_it_underflows() -> None:
    p, q = [2.28e-242, 6e195, 1.0], [0.0, 1e245, 1e-300]
    assert fastkl.entropy(p, q) == math.inf
    assert fastkl.entropy([p, p], q, axis=1)[1] == math.inf


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([np.nextafter(0.5, 1), 0.5], [0.5, 0.5]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([1e-45, 1.0], [1.0, 1e-45]),
        ([0.1] * 10, [0.1] * 10),
        ([1e-40, 1e-44], [1e-44, 1e-40]),
        ([1e30, 1.0], [1.0, 1e30]),
        ([3e-45, 0.0, 1e-45], [0.0, 1e-45, 1e-45]),
    ],
)
def test_a_distance_lies_between_0_and_its_largest_value(p: list[float], q: list[float], kind: str) -> None:
    a, b, largest = np.array(p, kind), np.array(q, kind), math.sqrt(math.log(2.0))
    for value in (fastkl.jensenshannon(a, b), fastkl.jensenshannon(np.stack([a, a]), b, axis=-1)[0]):
        assert 0.0 <= value <= (largest if kind == "f8" else np.float32(largest))
    assert fastkl.jensenshannon(a, a) == 0.0


def test_weights_are_cell_widths() -> None:
    rng = np.random.default_rng(12)
    p, q, w = rng.random((3, 40)), rng.random((3, 40)), rng.random(40)
    counts = rng.integers(1, 5, 40)
    repeated = [np.repeat(values, counts, axis=1) for values in (p, q)]
    for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
        ours = function(p, q, axis=-1, weights=counts)
        np.testing.assert_allclose(ours, function(*repeated, axis=1), rtol=1e-13)
        np.testing.assert_allclose(
            function(p[0], q[0], weights=w, log=False), function(p, q, axis=1, weights=w)[0], rtol=1e-13
        )
    grid = fastkl.Grid.uniform(-9, 9, 301)
    x, w = grid.axes[0], grid.weights[0]
    a, b = fastkl.Normal(0, 1), fastkl.Normal(0.5, 1.5)
    expected = fastkl.kl_divergence(fastkl.Tabulated(grid, a.pdf(x)), fastkl.Tabulated(grid, b.pdf(x)))
    assert fastkl.entropy(a.pdf(x), b.pdf(x), weights=w) == pytest.approx(expected, rel=1e-13)
    # the entropy of a standard Normal density is log sqrt(2 pi e)
    assert fastkl.entropy(a.pdf(x), weights=w) == pytest.approx(0.5 * math.log(2 * math.pi * math.e), rel=1e-13)


def test_the_entropy_of_a_narrow_density_is_negative() -> None:
    expected = fastkl.entropy([1, 2, 3]) + math.log(0.1)
    assert fastkl.entropy([1, 2, 3], weights=[0.1] * 3) == pytest.approx(expected, rel=1e-14)
    assert math.isnan(fastkl.entropy([1, 1], [1, 1], weights=[0, 0]))


def test_sums_near_the_end_of_the_range_are_scaled() -> None:
    p, q = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.00000001, 3.0])
    for value in (fastkl.entropy(p * 1e-308, q * 1e-308), fastkl.jensenshannon(p * 1e-308, q * 1e-308)):
        assert 0.0 <= value < 1e-7
    assert fastkl.entropy([0, 0], [0, 0], normalize=False) == 0.0
    assert fastkl.entropy([800.0, 0], [0, 0], log=True, normalize=False) == math.inf
    assert fastkl.entropy([800.0, 0], log=True, normalize=False) == -math.inf


@pytest.mark.parametrize("axis", [None, -1])
def test_logarithms_with_masks_and_nans(axis: Any) -> None:
    p, q = np.array([[0.0, 1.0, 2.0]]), np.array([[0.5, 1.0, 0.0]])
    left = np.exp(p[:, ::2]), np.exp(q[:, ::2])
    masked = np.ma.masked_array(p, [[0, 1, 0]])
    with_nan = np.where([[False, True, False]], np.nan, p)
    for function in (fastkl.entropy, fastkl.jensenshannon):
        np.testing.assert_allclose(function(masked, q, axis=axis, log=True), function(*left, axis=axis), rtol=1e-14)
    omitted = fastkl.entropy(with_nan, q, axis=axis, log=True, nan_policy="omit")
    np.testing.assert_allclose(omitted, fastkl.entropy(*left, axis=axis), rtol=1e-14)


def test_a_weight_of_0_leaves_a_point_out() -> None:
    assert fastkl.entropy([1.0, 2.0, 1.0], [1.0, 1.0, 0.0], weights=[1.0, 1.0, 0.0]) == pytest.approx(
        fastkl.entropy([1.0, 2.0], [1.0, 1.0]), rel=1e-15
    )


def test_logarithms_may_be_far_below_what_doubles_can_hold() -> None:
    rng = np.random.default_rng(13)
    p, q = rng.normal(size=(4, 30)), rng.normal(size=(4, 30))
    p[1, 3] = q[1, 3] = q[2, 5] = p[2, 5] = p[3, 7] = -math.inf
    for shift in (0.0, -5000.0, 600.0):
        for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
            ours = function(p + shift, q - shift, axis=1, log=True)
            np.testing.assert_allclose(ours, function(np.exp(p), np.exp(q), axis=1), rtol=1e-11)
        ours = fastkl.entropy(p + shift, axis=1, log=True)
        np.testing.assert_allclose(ours, fastkl.entropy(np.exp(p), axis=1), rtol=1e-11)
    assert math.isnan(fastkl.entropy([-math.inf, -math.inf], log=True))


def test_without_normalising_the_terms_are_summed_as_they_stand() -> None:
    p, q = np.array([0.2, 0.3, 0.0]), np.array([0.3, 0.1, 0.2])
    plain = float(scipy.special.rel_entr(p, q).sum())
    assert fastkl.entropy(p, q, normalize=False) == pytest.approx(plain, rel=1e-14)
    assert fastkl.entropy(q[:2], [5.0, 7.0], normalize=False) < 0.0
    assert fastkl.entropy(p, normalize=False) == pytest.approx(float(scipy.special.entr(p).sum()), rel=1e-14)
    with np.errstate(divide="ignore"):
        logs = np.log(p), np.log(q)
    assert fastkl.entropy(*logs, normalize=False, log=True) == pytest.approx(plain, rel=1e-13)
    assert fastkl.entropy([1.0, -1.0], [1.0, 1.0], normalize=False) == math.inf


def test_logarithms_with_large_offsets_keep_their_digits() -> None:
    rng = np.random.default_rng(14)
    for offset in (100.0, 2.0**13, 2.0**20, 2.0**30):
        # whole numbers and eighths, so that the sums with the offsets are exact
        p, q = rng.integers(-40, 1, (2, 9)) / 8.0
        p[0] = q[1] = 0.0
        for function in (fastkl.entropy, fastkl.jensenshannon, fastkl.jeffreys):
            plain = function(p, q, log=True)
            assert function(p - offset, q + 0.875 * offset, log=True) == pytest.approx(float(plain), rel=1e-14)
            rows = function(np.stack([p - offset] * 3), q + 0.875 * offset, log=True, axis=-1)
            np.testing.assert_allclose(rows, plain, rtol=1e-14)


@pytest.mark.parametrize("axis", [-1, 0])
def test_the_distance_of_equal_arrays_is_0_and_not_minus_0(axis: int) -> None:
    for function in (fastkl.jensenshannon, fastkl.entropy, fastkl.jeffreys):
        for p in (np.ones(3), np.ones((2, 3)), np.ones((3, 100)), np.eye(5)):
            value = np.asarray(function(p, p, axis=axis))
            assert (value == 0.0).all()
            assert not np.signbit(value).any()


def test_masked_weights_are_refused() -> None:
    with pytest.raises(TypeError, match="weights must not be masked"):
        fastkl.entropy([1, 2, 3], weights=np.ma.masked_array([1, 9, 1], [0, 1, 0]))
