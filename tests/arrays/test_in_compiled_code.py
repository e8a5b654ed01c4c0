"""The divergences of vectors in a user's own compiled code."""

from __future__ import annotations

import warnings

import numba
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED
from tests.arrays.strata import STRATA, Stratum

pytestmark = [pytest.mark.cold, pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")]


@numba.njit(fastmath=True)
def all_of_them(p, q):
    return (
        fastkl.entropy(p, q),
        fastkl.entropy(p),
        fastkl.jensenshannon(p, q),
        fastkl.jeffreys(p, q),
        fastkl.entropy(p, q, 2),
        fastkl.entropy(p, base=10.0),
        fastkl.jensenshannon(p, q, base=2.0),
        fastkl.jeffreys(p, q, 2.0),
    )


def in_python(p, q):
    return all_of_them.py_func(p, q)


@pytest.mark.parametrize("stratum", STRATA, ids=lambda stratum: stratum.name)
@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_compiled_code_has_the_values_of_python(stratum: Stratum, kind: str) -> None:
    p, q = stratum.pair((300,), kind, seed=11)
    rtol = 1e-13 if kind == "f8" else 1.2e-7  # an ulp
    np.testing.assert_allclose(all_of_them(p, q), in_python(p, q), rtol=rtol)
    np.testing.assert_allclose(all_of_them(p[::3], q[::3]), in_python(p[::3], q[::3]), rtol=rtol)


@pytest.mark.parametrize("exponents", [(-290, 290), (290, -290), (-200, 3), (0, 100), (-320, -310)])
def test_masses_of_any_size(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(12)
    p, q = (np.ldexp(rng.random(70), int(e / np.log10(2))) for e in exponents)
    np.testing.assert_allclose(all_of_them(p, q), in_python(p, q), rtol=1e-13)


def test_small_numbers_of_q_count_if_its_mass_is_large() -> None:
    p, q = np.ones(2), np.array([2.0**40, 1e-310])
    np.testing.assert_allclose(all_of_them(p, q), in_python(p, q), rtol=1e-13)


def test_special_vectors() -> None:
    one = np.array([3.0])
    assert all_of_them(one, np.array([5e-324])) == (0.0,) * 8
    none = np.array([0.0, 0.0])
    assert np.isnan(all_of_them(none, none)).all()
    assert np.isnan(all_of_them(np.array([-1.0, 2.0]), np.array([1.0, 2.0]))[0])
    assert all_of_them(np.array([1.0, 2.0]), np.array([0.0, 2.0]))[0] == np.inf
    assert all_of_them(np.array([1.0, 0.0]), np.array([0.0, 1.0]))[2] == np.sqrt(np.log(2.0))
    with pytest.raises(ValueError, match="the same length"):
        all_of_them(np.ones(3), np.ones(4))


@numba.njit
def distance(p, q):
    return fastkl.jensenshannon(p, q)


def test_neighbours_of_real_histograms() -> None:
    """The nearest of 1797 images of digits, as histograms of intensity over 64 pixels, are those of all distances."""
    pynndescent = pytest.importorskip("pynndescent")
    from sklearn.datasets import load_digits

    images = load_digits().data.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own compiled code
        index = pynndescent.NNDescent(images, metric=distance, n_neighbors=15, random_state=0)
        found, distances = index.neighbor_graph
    few = slice(0, 200)
    exact = fastkl.jensenshannon(images[few, None], images[None], axis=-1)
    nearest = np.argsort(exact, axis=1)[:, :10]
    shared = [len(set(a[:10]) & set(b)) for a, b in zip(found[few], nearest, strict=True)]
    assert np.mean(shared) >= 9.5
    np.testing.assert_allclose(distances[few], np.take_along_axis(exact, found[few], axis=1), rtol=1e-5, atol=1e-6)
