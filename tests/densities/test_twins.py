"""What NumPy evaluates for few points against the kernels that do it for many."""

import numpy as np
import pytest

import fastkl.densities.moments as of_moments
import fastkl.densities.values as of_values
import fastkl.fitting.landscape as of_landscape
from fastkl import Grid, Mixture, MultivariateNormal, Normal, Tabulated

LINE = Grid.uniform(-6, 7, 301)
PLANE = Grid.uniform([-6, -5], [7, 6], [61, 51])
ON_LINE = Mixture([Normal(-2, 0.6), Normal(1.5, 1.3)], [0.3, 0.7])
ON_PLANE = Mixture([MultivariateNormal([-1, 0], [[1, 0.3], [0.3, 1]]), MultivariateNormal([2, 1], np.eye(2))])
CASES = {
    "a line": (ON_LINE, LINE),
    "a plane": (ON_PLANE, PLANE),
    "a table": (Tabulated(LINE, ON_LINE.pdf(LINE.axes[0])), LINE),
}
each_case = pytest.mark.parametrize(("p", "grid"), CASES.values(), ids=CASES)


def without_numpy(monkeypatch):
    for module in (of_values, of_moments, of_landscape):
        monkeypatch.setattr(module, "numpy_suffices", lambda points: False)


@each_case
def test_log_densities(p, grid, monkeypatch):
    by_numpy = of_values.log_values(p, grid)
    without_numpy(monkeypatch)
    # a few ulp of exponents of up to 100
    np.testing.assert_allclose(of_values.log_values(p, grid), by_numpy, rtol=1e-13, atol=1e-13)


@each_case
def test_moments(p, grid, monkeypatch):
    by_numpy = of_moments.moments(p, grid)
    without_numpy(monkeypatch)
    monkeypatch.setattr(of_moments, "ROUGH_POINTS", 100)  # the few points of a grid of hundreds
    for one, other in zip(of_moments.moments(p, grid), by_numpy, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


@each_case
def test_landscapes(p, grid, monkeypatch):
    by_numpy = of_landscape.landscape(p, grid)
    without_numpy(monkeypatch)
    found = of_landscape.landscape(p, grid)
    np.testing.assert_allclose(found.peak, by_numpy.peak, rtol=1e-13, atol=1e-13)
    assert found.has_zero == by_numpy.has_zero
    for axes in ("centres", "widths"):
        for one, other in zip(getattr(found, axes), getattr(by_numpy, axes), strict=True):
            np.testing.assert_array_equal(one, other)
