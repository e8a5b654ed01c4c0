"""Masses in the cells of a histogram, against mpmath and closed forms."""

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from fastkl import (
    Beta,
    Gamma,
    GeneralizedPareto,
    Grid,
    Laplace,
    LogNormal,
    Mixture,
    MultivariateNormal,
    Normal,
    StudentT,
    Tabulated,
    Weibull,
    as_density,
)
from fastkl.densities.cells import log_masses
from fastkl.families import FAMILIES
from tests.references import REFERENCES, density

TOLERANCE = 1e-12
"""Error that is asked for, in units of the logarithm where that is above 1."""


def assert_masses(q, edges, expected):
    found = log_masses(q, [np.asarray(edges, float)])
    for value, mass in zip(found, expected, strict=True):
        wanted = mp.log(mass) if mass > 0 else mp.ninf
        assert value == wanted or abs(value - wanted) <= TOLERANCE * max(1, abs(wanted)), (q, edges, value, wanted)


def members():
    return [(name, numbers) for name, r in REFERENCES.items() for numbers in r.instances]


@pytest.mark.parametrize(("name", "numbers"), members(), ids=lambda value: str(value))
def test_a_mass_is_the_difference_of_two_probabilities(name, numbers):
    q = density(name, numbers)
    place, scale = (float(x) for x in q._place_and_scale())
    place += getattr(q, "loc", 0.0) if "loc" in q._held else 0.0
    steps = np.array([-30.0, -6.0, -1.0, -0.3, -0.2, 0.0, 0.01, 0.5, 2.0, 7.0])
    edges = place + scale * steps
    lower, upper = q.support
    edges = np.unique(np.clip(edges, lower, upper))
    edges = np.concatenate([[lower], edges[(edges > lower) & (edges < upper)], [upper]])
    names = [name for name, _ in type(q)._fields]
    exact = dict(zip(names, (mp.mpf(getattr(q, n)) for n in names), strict=True))
    below = [
        mp.mpf(0) if x == lower else mp.mpf(1) if x == upper else REFERENCES[name].below(mp.mpf(x), **exact)
        for x in edges
    ]
    assert_masses(q, edges, np.diff(below))  # of 60 digits, of which neighbours share at most 30


@pytest.mark.parametrize(
    ("q", "lower", "upper", "log_mass"),
    [
        (Normal(0, 1), 40, 41, "log((erfc(40/sqrt(2)) - erfc(41/sqrt(2)))/2)"),
        (Normal(0, 1), 40, np.inf, "log(erfc(40/sqrt(2))/2)"),
        (Normal(0, 1), -np.inf, -38, "log(erfc(38/sqrt(2))/2)"),
        (Normal(0, 1e-3), -1, 5, "log(1 - erfc(1000/sqrt(2))/2)"),
        (Normal(0, 1), -np.inf, np.inf, "mpf(0)"),
        (Laplace(0, 1), 50, 51, "log((exp(-50) - exp(-51))/2)"),
        (Laplace(0.3, 0.01), 0, 1, "log(1 - (exp(-30) + exp(-70))/2)"),
        (Gamma(0.02), 0, 1, "log(gammainc(mpf(0.02), 0, 1, regularized=True))"),
        (Gamma(0.02), 0, 1e-250, "log(gammainc(mpf(0.02), 0, mpf(1e-250), regularized=True))"),
        (Gamma(1e6), 0, 990000, "log(gammainc(mpf(1e6), 0, 990000, regularized=True))"),
        (Beta(0.1, 0.2), 0.9, 1, "log(betainc(mpf(0.2), mpf(0.1), 0, 1 - mpf(0.9), regularized=True))"),
        (Beta(0.1, 0.2), 0.25, 1, "log(1 - betainc(mpf(0.1), mpf(0.2), 0, 0.25, regularized=True))"),
        (Beta(200, 3), 0, 0.1, "log(betainc(200, 3, 0, mpf(0.1), regularized=True))"),
        (StudentT(0.2), 5, np.inf, "log(betainc(mpf(0.2)/2, 0.5, 0, mpf(0.2)/(mpf(0.2) + 25), regularized=True)/2)"),
        (LogNormal(7), 1e-3, 5, "log((erf(log(5)/7/sqrt(2)) - erf(log(mpf(1e-3))/7/sqrt(2)))/2)"),
        (Weibull(0.2), 0, 1e-3, "log(-expm1(-mpf(1e-3)**mpf(0.2)))"),
        (GeneralizedPareto(2.0), 1e9, np.inf, "-log(1 + mpf(2e9))/2"),
        (Gamma(2, loc=3), 3, 3.5, "log(gammainc(2, 0, 0.5, regularized=True))"),
    ],
)
def test_a_mass_keeps_its_digits_in_far_wide_and_singular_cells(q, lower, upper, log_mass):
    wanted = eval(log_mass, {name: getattr(mp, name) for name in dir(mp)})
    (found,) = log_masses(q, [np.array([lower, upper], float)])
    assert abs(found - wanted) <= TOLERANCE * max(1, abs(wanted))


@pytest.mark.parametrize("name", [name for name, kind in FAMILIES.items() if kind._common_support[0] == 0.0])
def test_cells_below_the_support_are_empty(name):
    q = density(name, REFERENCES[name].member)
    found = log_masses(q, [np.array([-3.0, -2.0, -1.0, 0.0, 0.5])])
    assert (found[:3] == -np.inf).all()
    assert found[3] > -np.inf


def exact_on_plane(mean, cov, low, high):
    """The mass of a Normal in a rectangle: the conditional probability of y, integrated over x in 120 panels."""
    mean, cov = [mp.mpf(m) for m in mean], [[mp.mpf(c) for c in row] for row in cov]
    slope, std = cov[0][1] / cov[0][0], mp.sqrt(cov[1][1] - cov[0][1] ** 2 / cov[0][0])

    def at(x):
        a, b = ((y - mean[1] - slope * (x - mean[0])) / std / mp.sqrt(2) for y in (low[1], high[1]))
        a, b = (-b, -a) if a + b < 0 else (a, b)
        inner = mp.erfc(a) - mp.erfc(b)
        return mp.exp(-((x - mean[0]) ** 2) / cov[0][0] / 2) * inner / 2

    ends = [mp.mpf(max(low[0], -12)), mp.mpf(min(high[0], 12))]
    whole = mp.quad(at, mp.linspace(*ends, 121))
    return whole / mp.sqrt(2 * mp.pi * cov[0][0])


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.9, 0.99])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((0, 0), (0.01, 0.01)),
        ((0, 0), (1, 1)),
        ((-3, -4), (5, 6)),
        ((-30, 2), (30, 3)),
        ((3, -8), (4, -6)),
        ((5, -1), (9, 7)),
        ((-11, -40), (11, 40)),
    ],
)
def test_a_rectangle_holds_its_mass_of_a_correlated_normal(correlation, low, high):
    cov = np.array([[1.0, correlation * 1.5], [correlation * 1.5, 2.25]])
    edges = [np.array([a, b], float) for a, b in zip(low, high, strict=True)]
    with mp.workdps(30):
        wanted = mp.log(exact_on_plane([0.1, 0.2], cov.tolist(), low, high))
    found = log_masses(MultivariateNormal([0.1, 0.2], cov), edges)[0, 0]
    assert abs(found - wanted) <= TOLERANCE * max(1, abs(wanted))


@pytest.mark.parametrize(
    ("low", "high"), [((0, 0, 0), (1, 1, 1)), ((-9, -0.5, 2), (9, 30, 2.5)), ((2, 2, 2), (9, 9, 9))]
)
def test_a_box_holds_its_mass_of_a_normal_with_one_factor(low, high):
    # x_i = sqrt(r) f + sqrt(1 - r) e_i with independent f, e_i: given f the coordinates are independent
    r = mp.mpf("0.6")
    with mp.workdps(30):

        def given(f):
            shares = []
            for a, b in zip(low, high, strict=True):
                u, v = ((x - mp.sqrt(r) * f) / mp.sqrt(1 - r) / mp.sqrt(2) for x in (a, b))
                u, v = (-v, -u) if u + v < 0 else (u, v)
                shares.append((mp.erfc(u) - mp.erfc(v)) / 2)
            return mp.fprod(shares) * mp.npdf(f)

        wanted = mp.log(mp.quad(given, mp.linspace(-14, 14, 57)))
    cov = np.full((3, 3), 0.6) + 0.4 * np.eye(3)
    found = log_masses(
        MultivariateNormal(np.zeros(3), cov), [np.array(pair, float) for pair in zip(low, high, strict=True)]
    )
    assert abs(found.item() - wanted) <= TOLERANCE * max(1, abs(wanted))


def test_the_cells_of_a_plane_have_the_probability_that_scipy_finds():
    cov = np.array([[1.0, 0.5], [0.5, 2.0]])
    edges = [np.array([-np.inf, -1.0, 0.0, 2.5]), np.array([-2.0, 0.0, 1.0, np.inf])]
    found = np.exp(log_masses(MultivariateNormal([0.3, -0.2], cov), edges))
    exact = stats.multivariate_normal([0.3, -0.2], cov)
    for i, j in np.ndindex(found.shape):
        low, high = [edges[0][i], edges[1][j]], [edges[0][i + 1], edges[1][j + 1]]
        # SciPy's integral is good to about 1e-8
        np.testing.assert_allclose(found[i, j], exact.cdf(high, lower_limit=low), rtol=1e-6)


def test_a_mixture_a_table_and_a_function_have_their_masses():
    edges = np.array([-4.0, -1.0, -0.5, 0.7, 3.0])
    q = Mixture([Normal(-1, 0.5), StudentT(3, 1)], [0.3, 0.7])
    exact = 0.3 * np.diff(stats.norm.cdf(edges, -1, 0.5)) + 0.7 * np.diff(stats.t.cdf(edges, 3, 1))
    np.testing.assert_allclose(np.exp(log_masses(q, [edges])), exact, rtol=1e-13)
    normal = np.diff(stats.norm.cdf(edges))
    function = as_density(stats.norm())
    np.testing.assert_allclose(np.exp(log_masses(function, [edges])), normal, rtol=1e-12)
    line = Grid.uniform(-9, 9, 3601)
    table = Tabulated(line, -0.5 * line.axes[0] ** 2, log=True)
    # a density that is linear in the log between nodes h apart is off by h**2/12 of its curvature: 2e-6
    np.testing.assert_allclose(np.exp(log_masses(table, [edges])), normal, rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_masses(table, [np.array([-20.0, 0.0, 20.0])])), 0.5, rtol=1e-13)


def test_a_mass_that_cannot_be_known_is_refused():
    with pytest.raises(TypeError, match=r"in a cell without an end is not known: take finite edges"):
        log_masses(as_density(stats.norm()), [np.array([0.0, np.inf])])
    plane = Grid.uniform([0, 0], [1, 1], 9)
    with pytest.raises(TypeError, match="in cells of 2 dimensions is not known: give a Normal"):
        log_masses(Tabulated(plane, np.ones((9, 9))), [np.array([0.0, 0.5]), np.array([0.0, 0.5])])
