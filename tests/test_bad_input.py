"""What the Python interface says to bad input: the value it got, and what it would accept."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

from fastkl import (
    Beta,
    Grid,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Tabulated,
    as_density,
    fit,
    kl_divergence,
    plot_fits,
)
from fastkl.grids import Axis

GRID = Grid.uniform(-4, 4, 81)
X = GRID.axes[0]
ONES = np.ones(81)
N = Normal(0, 1)
DAYS = np.array(["2026-01-01", "2026-01-02", "2026-01-05"], "M8[D]")
LAGS = DAYS - DAYS[0]
M4 = MultivariateNormal([0] * 4, np.eye(4))
ELSEWHERE = Grid.uniform(3, 4, 81)
"""Where Normal(0, 1e-3) is 0 in doubles."""


def _ones_but(value, *places):
    """Ones on GRID but for *value* at *places*."""
    values = ONES.copy()
    values[[int(np.argmin(abs(X - place))) for place in places]] = value
    return values


_samples = Tabulated.from_samples
_forward = functools.partial(fit, family="normal", direction="forward")
_reverse = functools.partial(fit, family="normal", direction="reverse")

# What the message must contain stands behind each call, between bars.
VALUE_ERRORS = {
    "Grid: bounds fall": (lambda: Grid.uniform(4, -4, 81), "lower < upper | 4.0 | -4.0"),
    "Grid: NaN bound": (lambda: Grid.uniform(np.nan, 1, 81), "finite | nan"),
    "Grid: infinite bound": (lambda: Grid.uniform(-np.inf, 1, 81), "finite | -inf"),
    "Grid: 7 points": (lambda: Grid.uniform(0, 1, 7), "at least 8 | got 7"),
    "Grid: finer than doubles": (lambda: Grid.uniform(1, 1 + 1e-15, 100), "100 points | 1.000000000000001"),
    "Grid: axis falls": (lambda: Grid.from_axes(-X), "increase | node 0 is 4.0 | node 1 is 3.9"),
    "Grid: axis repeats": (lambda: Grid.from_axes([0, 1, 2, 2, 3, 4, 5, 6]), "increase | node 3 is 2.0"),
    "Grid: axis has NaN": (lambda: Grid.from_axes([0, 1, np.nan, 3, 4, 5, 6, 7]), "finite | node 2 is nan"),
    "Grid: axis has inf": (lambda: Grid.from_axes([0, 1, 2, 3, 4, 5, 6, np.inf]), "finite | node 7 is inf"),
    "Grid: axis of 7": (lambda: Grid.from_axes(range(7)), "at least 8 | got 7"),
    "Grid: axis is a matrix": (lambda: Grid.from_axes(np.ones((9, 9))), "one-dimensional | (9, 9)"),
    "Grid: no axis": (lambda: Grid.from_axes(), "at least one axis"),
    "Grid: rule": (lambda: Grid.from_axes(X, rule="boole"), "'trapezoid' | 'simpson' | 'boole'"),
    "Grid: Simpson's rule on even nodes": (lambda: Grid.from_axes(X[:-1], rule="simpson"), "odd | 80"),
    "Grid: bounds of three axes and two": (
        lambda: Grid.uniform([0, 0, 0], [1, 1], 9),
        "3 axes | upper | 2",
    ),
    "Grid: too many points": (lambda: Grid.uniform([0] * 6, [1] * 6, 10**3), "1000000000000000000 | 2**53"),
    "Grid: edges that fall": (lambda: Grid.from_edges(X[::-1]), "edge 0 | increase"),
    "Grid: Gauss-Legendre on 3 nodes": (lambda: Grid.gauss_legendre(0, 1, 3), "at least 8 | 3"),
    "kl_divergence: a slip in four dimensions": (
        lambda: kl_divergence(M4, M4, Grid.uniform([-9] * 4, [9] * 4, 3000)),
        "(3000, 3000, 3000, 3000) | 81000000000000",
    ),
    "kl_divergence: numbers of dimensions": (lambda: kl_divergence(N, M4), "1 | 4"),
    "kl_divergence: a grid of other dimensions": (lambda: kl_divergence(M4, M4, GRID), "4 dimensions | (81,)"),
    "MultivariateNormal: an eigenvalue": (
        lambda: MultivariateNormal([0, 0], [[1, 2], [2, 1]]),
        "positive definite | -1",
    ),
    "MultivariateNormal: not symmetric": (
        lambda: MultivariateNormal([0, 0], [[1, 0.5], [0.25, 1]]),
        "symmetric | cov[0, 1] is 0.5 | cov[1, 0] 0.25",
    ),
    "MultivariateNormal: shapes": (lambda: MultivariateNormal([0, 0], np.eye(3)), "(2, 2) | (3, 3)"),
    "MultivariateNormal: points": (lambda: M4.logpdf([1.0, 2.0]), "(..., 4) | (2,)"),
    "Grid: Gauss-Legendre bounds of three axes and two": (
        lambda: Grid.gauss_legendre([0, 0, 0], [1, 1], 9),
        "3 axes | upper | 2",
    ),
    "Grid: bounds are a matrix": (lambda: Grid.uniform([[0, 0], [1, 1]], 1, 9), "lower | (2, 2)"),
    "Grid: no axis at all": (lambda: Grid.uniform([], [], []), "at least one axis"),
    "Grid: no edges": (lambda: Grid.from_edges(), "at least one axis"),
    "Grid: 3 nodes in a panel": (lambda: Axis.gauss_legendre([0, 1, 2, 3], 3), "at least 4 | 3"),
    "Grid: chunk of no points": (lambda: next(GRID.chunk(0)), "at least 1 | n=0"),
    "MultivariateNormal: empty": (lambda: MultivariateNormal([], np.empty((0, 0))), "at least one number | none"),
    "MultivariateNormal: NaN": (
        lambda: MultivariateNormal([0, 0], [[1, np.nan], [np.nan, 1]]),
        "cov | finite | nan",
    ),
    "Tabulated: a batch with a floor": (
        lambda: Tabulated(GRID, np.ones((3, 81)), floor=1.5),
        "floor | between 0 and 1 | 1.5",
    ),
    "Tabulated: negative in a batch": (
        lambda: Tabulated(GRID, [ONES, _ones_but(-0.25, 1)])[1],
        "value 50 (x = 1) | -0.25",
    ),
    "Tabulated: marginal of a batch with a floor": (
        lambda: Tabulated(GRID, np.ones((3, 81)), floor=0.1).marginal(0),
        "(3,) | batch[index]",
    ),
    "from_histogram: rows of another length": (
        lambda: Tabulated.from_histogram(np.ones((3, 4)), range(4)),
        "rows of 4 counts | 5 edges | got 4",
    ),
    "from_histogram: a batch on two axes": (
        lambda: Tabulated.from_histogram(np.ones((3, 4, 5)), [range(5), range(6)]),
        "3 dimensions | got 2 | a batch of histograms has one axis",
    ),
    "from_histogram: two batches of other cells": (
        lambda: kl_divergence(*(Tabulated.from_histogram(np.ones((3, n)), np.linspace(0, 1, n + 1)) for n in (4, 5))),
        "(3,) | batch[index]",
    ),
    "kl_divergence: full_output of a batch": (
        lambda: kl_divergence(Tabulated(GRID, [ONES, ONES]), N, full_output=True),
        "full_output | batch[index]",
    ),
    "kl_divergence: batches": (
        lambda: kl_divergence(Tabulated(GRID, [ONES] * 2), Tabulated(GRID, [ONES] * 3)),
        "(2,) | (3,) | broadcast",
    ),
    "fit: a batch and an unknown family": (lambda: fit(np.ones((0, 81)), "norm", GRID, direction="forward"), "'norm'"),
    "fit: a batch that begins below 0": (
        lambda: fit(np.ones((2, 81)), "gamma", GRID, direction="forward"),
        "between 0 and inf | -4",
    ),
    "fit: two dimensions": (lambda: _forward(M4), "one dimension | 4"),
    "fit: a grid of two axes": (lambda: _forward(N, grid=Grid.uniform([0, 0], [1, 1], 9)), "1 dimension | (9, 9)"),
    "as_density: NaN": (
        lambda: kl_divergence(as_density(lambda x: x * np.nan), N, GRID),
        ">= 0 | nan | x = -4.0",
    ),
    "as_density: shape": (lambda: kl_divergence(as_density(lambda x: 1.0), N, GRID), "() | 81 points"),
    "kl_divergence: infinite at a node": (
        lambda: kl_divergence(Beta(0.5, 0.5), Beta(2, 2), Grid.uniform(0, 1, 101)),
        "Beta(a=0.5, b=0.5) | infinite | x = 0.0 | from_edges",
    ),
    "Tabulated: cdf of a batch": (lambda: Tabulated(GRID, [ONES, ONES]).cdf(0.0), "(2,) | batch[index]"),
    "Grid: one cell": (lambda: Grid.from_edges([0, 1]), "at least 2 cells | 1"),
    "as_density: no dimension": (lambda: as_density(abs, ndim=0), "at least 1 | ndim=0"),
    "Laplace: scale": (lambda: Laplace(0, -1), "scale | > 0 | -1.0"),
    "Beta: shape": (lambda: Beta(0, 1), "a must be > 0 | 0.0"),
    "Mixture: numbers of dimensions": (lambda: Mixture([N, M4]), "[1, 4]"),
    "Grid: cover of too much": (
        lambda: Grid.cover(MultivariateNormal([0, 0], np.eye(2)), MultivariateNormal([1, 0], 1e-18 * np.eye(2))),
        "1e-09 | 200000000 | grid",
    ),
    "Grid: cover of two numbers of dimensions": (lambda: Grid.cover(N, M4), "[1, 4]"),
    "Grid: cover to rtol 2": (lambda: Grid.cover(N, rtol=2.0), "rtol | 2.0"),
    "Grid: integrate": (lambda: GRID.integrate([1, 2, 3]), "(3,) | (81,)"),
    "Normal: scale 0": (lambda: Normal(0, 0), "scale | > 0 | 0.0"),
    "Normal: scale -1.5": (lambda: Normal(0, -1.5), "scale | > 0 | -1.5"),
    "Normal: scale NaN": (lambda: Normal(0, np.nan), "scale | finite | nan"),
    "Normal: loc inf": (lambda: Normal(np.inf, 1), "loc | finite | inf"),
    "Normal: loc beyond doubles": (lambda: Normal(10**400, 1), "loc | finite"),
    "Mixture: no component": (lambda: Mixture([]), "at least one | none"),
    "Mixture: 3 weights for 2": (lambda: Mixture([N, N], [0.5, 0.25, 0.25]), "2 components | got 3"),
    "Mixture: weight negative": (lambda: Mixture([N, N], [1.5, -0.5]), ">= 0 | -0.5"),
    "Mixture: weight NaN": (lambda: Mixture([N, N], [0.5, np.nan]), "weight | finite | nan"),
    "Mixture: weights sum to 0.9": (lambda: Mixture([N, N], [0.5, 0.4]), "sum to 1 | 0.9"),
    "Tabulated: 80 values on 81": (lambda: Tabulated(GRID, ONES[1:]), "(80,) | (81,)"),
    "Tabulated: negative": (lambda: Tabulated(GRID, _ones_but(-0.25, 1)), ">= 0 | x = 1) | -0.25"),
    "Tabulated: mostly negative": (lambda: Tabulated(GRID, -_ones_but(-0.25, 1)), ">= 0 | -1.0 | log=True"),
    "Tabulated: negative and large": (lambda: Tabulated(GRID, _ones_but(-30.0, 1)), ">= 0 | -30.0 | log=True"),
    "Tabulated: negative by rounding": (
        lambda: Tabulated(GRID, _ones_but(-1e-18, 1)),
        "x = 1) is -1e-18, tiny beside the largest, 1, as rounding leaves it: give numpy.maximum(values, 0)",
    ),
    "Tabulated: NaN": (lambda: Tabulated(GRID, _ones_but(np.nan, 1, 2)), "NaN | value 50 (x = 1)"),
    "Tabulated: inf": (lambda: Tabulated(GRID, _ones_but(np.inf, 1)), "finite | x = 1) | inf"),
    "Tabulated: all 0": (lambda: Tabulated(GRID, 0 * ONES), "all 81 densities are 0.0 | mass"),
    "Tabulated: log NaN": (lambda: Tabulated(GRID, _ones_but(np.nan, 1), log=True), "NaN | x = 1) | nan"),
    "Tabulated: all -inf": (lambda: Tabulated(GRID, ONES * -np.inf, log=True), "-inf | mass"),
    "Tabulated: floor 0": (lambda: Tabulated(GRID, ONES, floor=0.0), "between 0 and 1 | 0.0"),
    "from_samples: one": (lambda: _samples([1.0]), "at least 2 | got 1"),
    "from_samples: NaN": (lambda: _samples([1.0, np.nan]), "finite | number 1 is nan"),
    "from_samples: 5 axes": (lambda: _samples(np.ones((9, 5))), "(n, ndim) | 3 axes | (9, 5) | transpose"),
    "from_samples: an axis without spread": (lambda: _samples(np.ones((3, 3))), "vary on axis 0 | all 3 | 1.0"),
    "from_samples: points on a line": (lambda: _samples(X[:, None] * [1, 2]), "every direction | singular"),
    "from_samples: a grid of one axis for two": (lambda: _samples([[1, 2], [2, 5]], GRID), "2 axes | (81,)"),
    "from_samples: 0 at the end": (lambda: _samples([0.0, 1, 0, 2], support=(0, np.inf)), "2 of 4 | (0, inf) | 0.0"),
    "from_samples: 2 above the end": (lambda: _samples([0.1, 2, 0.3], support=(0, 1)), "1 of 3 | (0, 1) | 2.0"),
    "from_samples: support turned": (lambda: _samples([1, 2], support=(1, 0)), "lower < upper | (1, 0)"),
    "from_samples: support NaN": (lambda: _samples([1, 2], support=(np.nan, 3)), "lower < upper | nan"),
    "from_samples: a support": (lambda: _samples([1, 2], support=(0,)), "a pair (lower, upper) | (0,)"),
    "from_samples: one support for two axes": (lambda: _samples([[1, 2], [2, 5]], support=(0, 1)), "one for each"),
    "from_samples: 3 times 1.5": (lambda: _samples([1.5] * 3), "vary | 1.5"),
    "from_samples: 5 times 1.5, whose mean is rounded": (lambda: _samples([1.5] * 5), "vary | 1.5"),
    "from_samples: rule": (lambda: _samples([1, 2], bandwidth="foo"), "'scott' | 'silverman' | 'foo'"),
    "from_samples: bandwidth 0": (lambda: _samples([1, 2], bandwidth=0.0), "> 0 | 0.0"),
    "from_samples: bandwidth small": (lambda: _samples([1, 2], GRID, bandwidth=0.01), "0.01 | step of 0.1 | points"),
    "from_samples: 2 weights for 3": (lambda: _samples([1, 2, 3], weights=[1, 2]), "3 observations | (2,)"),
    "from_samples: weight negative": (lambda: _samples([1, 2], weights=[2, -0.5]), ">= 0 | -0.5"),
    "from_samples: weights 0": (lambda: _samples([1, 2], weights=[0, 0]), "not all 0 | 0.0"),
    "from_samples: off the grid": (lambda: _samples([1, 30], GRID), "observation | 30.0 | [-4.0, 4.0]"),
    "kl_divergence: base 1": (lambda: kl_divergence(N, N, base=1.0), "base | other than 1 | 1.0"),
    "kl_divergence: base -2": (lambda: kl_divergence(N, N, base=-2.0), "positive | -2.0"),
    "kl_divergence: base NaN": (lambda: kl_divergence(N, N, base=np.nan), "finite | nan"),
    "kl_divergence: two grids": (
        lambda: kl_divergence(Tabulated(GRID, ONES), Tabulated(Grid.uniform(-3, 3, 81), ONES)),
        "different grids | [-4.0, 4.0] | [-3.0, 3.0] | grid=",
    ),
    "kl_divergence: p is 0": (lambda: kl_divergence(Normal(0, 0.001), N, ELSEWHERE), "no mass | 0.001 | [3.0, 4.0]"),
    "kl_divergence: q is 0": (lambda: kl_divergence(N, Normal(0, 0.001), ELSEWHERE), "no mass | 0.001 | [3.0, 4.0]"),
    "kl_divergence: table is elsewhere": (
        lambda: kl_divergence(Tabulated(GRID, ONES), Normal(10, 1), Grid.uniform(5, 15, 81)),
        "no mass | [5.0, 15.0]",
    ),
    "fit: direction": (lambda: fit(N, "normal", direction="up"), "'forward' | 'reverse' | 'up'"),
    "fit: family": (lambda: fit(N, "cauchy", direction="forward"), "'normal' | 'cauchy'"),
    "fit: 80 values on 81": (lambda: _forward(ONES[1:], grid=GRID), "(80,) | (81,)"),
    "fit: negative": (lambda: _forward(_ones_but(-0.25, 1), grid=GRID), ">= 0 | x = 1) | -0.25"),
    "fit: NaN": (lambda: _reverse(_ones_but(np.nan, 1), grid=GRID), "NaN | x = 1) | nan"),
    "fit: all 0": (lambda: _forward(0 * ONES, grid=GRID), "0.0 | mass"),
    "fit: one point": (lambda: _forward((X == 0).astype(float), grid=GRID), "single grid point | x = 0"),
    "fit: 0 inside": (lambda: _reverse(_ones_but(0.0, 1, -2), grid=GRID), "p is 0 at x = -2, | log=True | floor="),
    "fit: start": (lambda: _reverse(N, grid=GRID, starts=[(0, -1)]), "scale | > 0 | -1.0"),
    "fit: no mass, forward": (lambda: _forward(Normal(0, 0.001), grid=ELSEWHERE), "no mass | [3.0, 4.0]"),
    "fit: no mass, reverse": (lambda: _reverse(Normal(0, 0.001), grid=ELSEWHERE), "no mass | [3.0, 4.0]"),
    "plot_fits: no result": (lambda: plot_fits(), "at least one | none"),
    "plot_fits: no axes for one": (lambda: plot_fits(_forward(N, grid=GRID), ax=[]), "1 results | got 0"),
}
TYPE_ERRORS = {
    "fit: a batch and log": (
        lambda: fit(Tabulated(GRID, [ONES, ONES]), "normal", direction="forward", log=True),
        "log=True is for arrays | Tabulated",
    ),
    "fit: a batch and no direction": (lambda: fit(np.ones((0, 81)), "normal", GRID), "'forward'"),
    "fit: a batch and a start of another family": (
        lambda: fit(np.ones((2, 81)), "laplace", GRID, direction="reverse", starts=[Beta(2, 2)]),
        "a Laplace | Beta(a=2",
    ),
    "as_density: an array": (lambda: as_density(X), "Tabulated | from_samples"),
    "as_density: not frozen": (lambda: as_density(stats.norm), "frozen"),
    "as_density: number": (lambda: as_density(3), "logpdf | function | 3"),
    "as_density: complex": (lambda: kl_divergence(as_density(lambda x: x + 1j), N, GRID), "real | complex"),
    "kl_divergence: a function without a grid": (lambda: kl_divergence(as_density(abs), N), "grid="),
    "MultivariateNormal: std": (lambda: M4.std, "4 dimensions | cov"),
    "Tabulated: std of a plane": (
        lambda: Tabulated(Grid.uniform([0, 0], [1, 1], 9), np.ones((9, 9))).std,
        "2 dimensions | cov",
    ),
    "Grid: 10.5 points": (lambda: Grid.uniform(0, 1, 10.5), "whole number | 10.5"),
    "Grid: cover of an array": (lambda: Grid.cover(X), "ndarray"),
    "Grid: cover of a table": (lambda: Grid.cover(Tabulated(GRID, ONES)), "Tabulated | grid="),
    "Normal: loc text": (lambda: Normal("a", 1), "loc | real number | 'a'"),
    "Mixture: component is a tuple": (lambda: Mixture([(0, 1)]), "fastkl.Normal | (0, 1)"),
    "Tabulated: no grid": (lambda: Tabulated(X, ONES), "fastkl.Grid | ndarray"),
    "Tabulated: a masked batch": (
        lambda: Tabulated(GRID, np.ma.masked_greater([ONES, 2 * ONES], 1.5)),
        "values must not be masked | 81",
    ),
    "Tabulated: a masked batch in single precision": (
        lambda: fit(np.ma.masked_greater(np.float32([ONES, 2 * ONES]), 1.5), "normal", GRID, direction="forward"),
        "values must not be masked | 81",
    ),
    "Tabulated: complex": (lambda: Tabulated(GRID, ONES * 1j), "real | complex"),
    "from_samples: dates": (
        lambda: _samples(DAYS),
        "observations must be numbers | datetime64[D] | / numpy.timedelta64",
    ),
    "from_samples: durations": (lambda: _samples(LAGS), "observations must be numbers | timedelta64[D]"),
    "from_samples: dates as objects": (lambda: _samples([1.5, *DAYS]), "observations must be numbers | datetime64[D]"),
    "from_samples: weights": (
        lambda: _samples([1, 2, 3], weights=LAGS),
        "weights must be numbers | timedelta",
    ),
    "from_histogram: dates": (lambda: Tabulated.from_histogram([1, 2], DAYS), "edges must be numbers | datetime64[D]"),
    "from_histogram: durations": (
        lambda: Tabulated.from_histogram(LAGS, range(4)),
        "counts must be | timedelta",
    ),
    "from_histogram: density": (
        lambda: Tabulated.from_histogram([1, 2], [0, 1, 2], density="yes"),
        "density must be True or False | 'yes'",
    ),
    "Tabulated: durations": (lambda: Tabulated(GRID, X.astype("m8[s]")), "values must be numbers | timedelta64[s]"),
    "Grid: dates": (lambda: Grid.from_axes(DAYS), "must be numbers | datetime64[D]"),
    "Normal: logpdf of durations": (lambda: N.logpdf(LAGS), "x must be numbers | timedelta64[D]"),
    "from_samples: no grid": (lambda: _samples([1, 2], X), "fastkl.Grid | ndarray"),
    "kl_divergence: p is an array": (lambda: kl_divergence(X, N), "p must be | Mixture, a Tabulated | ndarray"),
    "kl_divergence: q is a list": (lambda: kl_divergence(N, [1, 2]), "q must be | Mixture, a Tabulated | list"),
    "kl_divergence: grid is an array": (lambda: kl_divergence(N, N, X), "fastkl.Grid | ndarray"),
    "fit: no direction": (lambda: fit(N, "normal"), "direction | 'forward' | 'reverse'"),
    "fit: grid is an array": (lambda: _forward(N, grid=X), "fastkl.Grid | ndarray"),
    "fit: array without grid": (lambda: _forward(X), "ndarray | grid= | from_samples"),
    "plot_fits: a density": (lambda: plot_fits(N), "FitResult | Normal"),
    "plot_fits: a list": (lambda: plot_fits([_forward(N, grid=GRID)]), "FitResult | list"),
}
EITHER_ERROR = {
    "Grid: bound is text": (lambda: Grid.uniform("a", 1, 81), "'a'"),
    "Grid: NaN points": (lambda: Grid.uniform(0, 1, np.nan), "n must be | nan"),
    "Grid: infinitely many points": (lambda: Grid.uniform(0, 1, np.inf), "n must be | inf"),
    "Grid: axis is complex": (lambda: Grid.from_axes(X + 1j), "complex"),
    "Grid: axis is text": (lambda: Grid.from_axes(list("abcdefgh")), "'a'"),
}
CASES = {
    name: (call, error, words.split(" | "))
    for error, table in (
        (ValueError, VALUE_ERRORS),
        (TypeError, TYPE_ERRORS),
        ((ValueError, TypeError), EITHER_ERROR),
    )
    for name, (call, words) in table.items()
}


@pytest.mark.parametrize(("call", "error", "words"), CASES.values(), ids=CASES)
def test_bad_input_is_refused_with_its_value_and_what_is_accepted(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
    assert "np." not in str(caught.value)  # 1.5, not np.float64(1.5)


UNDERFLOWS = Grid.uniform(-60, 60, 241)
LOGS = -0.5 * UNDERFLOWS.axes[0] ** 2
HELP = {
    "log=True": lambda: _reverse(LOGS, grid=UNDERFLOWS, log=True),
    "floor=1e-300": lambda: _reverse(Tabulated(UNDERFLOWS, np.exp(LOGS), floor=1e-300), grid=UNDERFLOWS),
}


def test_a_density_that_underflows_is_refused_at_its_first_zero():
    with pytest.raises(ValueError, match=r"p is 0 at x = -60,.*log=True.*floor=1e-300"):
        _reverse(np.exp(LOGS), grid=UNDERFLOWS)


@pytest.mark.parametrize("call", HELP.values(), ids=HELP)
def test_what_the_message_about_zeros_suggests_helps(call):
    result = call()
    assert result.success, result.message
    # 2 points in a standard deviation: the trapezoid rule errs by 2 exp(-8 pi**2) = 1e-34 here; 1e-9 is gtol.
    assert (result.q.loc, result.q.scale) == pytest.approx((0, 1), abs=1e-9)


def _calls(x, p, logs, weights, shares):
    """Every way to hand over an array or a list."""
    grid = Grid.from_axes(x)
    tables = [Tabulated(grid, p), Tabulated(grid, logs, log=True), Tabulated(grid, p, floor=1e-3)]
    for table in tables:
        table.logpdf(x), table.pdf(x)
        kl_divergence(table, tables[0], full_output=True)
    grid.integrate(p), N.logpdf(x), Mixture([N, N], shares).pdf(x)
    _samples(x, grid, weights=weights)
    for direction in ("forward", "reverse"):
        fit(p, "normal", grid, direction=direction)
        fit(logs, "normal", grid, direction=direction, log=True)


@pytest.mark.parametrize("kind", [np.array, list, np.float32], ids=["arrays", "lists", "single precision"])
def test_arguments_are_not_changed(kind):
    logs = -0.5 * X * X
    p = np.exp(logs).tolist()
    arguments = [kind(a) for a in (X.tolist(), p, logs.tolist(), p, [0.25, 0.75])]
    before = [np.array(a) for a in arguments]
    _calls(*arguments)
    for argument, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(argument, copy)
        assert not isinstance(argument, np.ndarray) or argument.flags.writeable


@pytest.mark.parametrize("kind", [np.array, list, iter], ids=["array", "list", "iterator"])
def test_starts_may_be_any_iterable_of_pairs(kind):
    assert _reverse(N, grid=GRID, starts=kind([[0.5, 2.0], [-0.5, 0.5]])).q.loc == pytest.approx(0, abs=1e-9)  # gtol
