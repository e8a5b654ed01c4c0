"""Forward fits to tables: the sum over the nodes, with q normalised on them, is the divergence that is asked for."""

import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from fastkl import Gamma, Grid, Tabulated, Weibull, fit, kl_divergence, kl_objective
from fastkl.jit import JIT_DISABLED

NODES = np.linspace(1e-6, 40, 200)
GRID = Grid.from_axes(NODES)
"""Nodes of which the first is so near 0 that powers of x are steep there."""


@pytest.mark.parametrize(
    ("family", "q"),
    [
        ("gamma", Gamma(1, scale=3.5)),
        ("weibull", Weibull(1, scale=3.5)),
    ],
)
def test_a_table_of_a_member_gives_it_back_beside_the_end_of_the_support(family, q):
    result = fit(Tabulated(GRID, np.exp(-NODES / 3.5)), family, direction="forward")
    assert result.success, result.message
    assert result.divergence < 1e-20
    for name, value in vars(q).items():
        assert getattr(result.q, name) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("family", ["gamma", "weibull", "laplace"])
def test_no_other_member_has_a_smaller_divergence(family):
    x = np.random.default_rng(0).exponential(3.5, 5000)
    p = Tabulated(GRID, stats.gaussian_kde(x)(NODES))
    result = fit(p, family, direction="forward")
    assert result.success, result.message
    objective = kl_objective(p, family, direction="forward")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a q that is tried may sum to more than 1
        found = minimize(
            lambda theta: kl_divergence(p, objective.density(theta)),
            objective.theta(result.q) + 0.05,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-13},
        )
    # log(B) up to 1e-3 is left out of a fit, whose optimum it moves by its slope: the square of 1e-3 and less
    assert result.divergence <= found.fun + 1e-5


def test_a_table_whose_nodes_do_not_resolve_q_says_so_in_silence():
    result = fit(Tabulated(GRID, np.exp(-NODES / 3.5)), "log_normal", direction="forward")
    assert not result.success
    assert "the nodes of the table do not resolve q" in result.message
    assert "finer grid" not in result.message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(result)


def test_a_laplace_on_given_nodes_is_the_lowest_of_the_minima_that_they_make():
    nodes = Grid.from_edges(np.linspace(0, 8, 302)).axes[0]
    p = Tabulated(Grid.from_edges(np.linspace(0, 8, 302)), np.exp(-0.5 * ((nodes - 6) / 0.3) ** 2) + 1e-9)
    result = fit(p, "laplace", direction="reverse")
    assert result.success
    objective = kl_objective(p, "laplace", direction="reverse")
    theta = objective.theta(result.q)
    shifts = np.linspace(-0.06, 0.06, 241)  # two steps to each side
    around = [objective.fun(theta + np.array([shift, 0.0])) for shift in shifts]
    # the scale would follow the place, which lowers a value by the square of a change of a few thousandths
    assert result.divergence <= min(around) + 1e-5


def test_a_success_says_how_much_of_it_is_the_table():
    def message(n, **options):
        nodes = np.linspace(-8, 8, n)
        p = Tabulated(Grid.uniform(-8, 8, n), np.logaddexp(-0.5 * nodes**2, -2 * (nodes - 2) ** 2), log=True)
        result = fit(p, "normal", direction="forward", **options)
        assert result.success
        return result.message

    def digits(n):
        words = message(n).split("; ")
        assert words[:2] == ["converged", "the mass outside is within its tolerance"]
        number, rest = words[2].split(" ", 1)
        assert rest == "digits of the divergence do not depend on the nodes of the table"
        return int(number)

    assert digits(401) >= 12
    assert digits(33) < 6
    assert message(401, rtol=1e-6) == "converged; quadrature error and mass outside are within their tolerances"
    counts = Tabulated.from_histogram([1, 4, 6, 2], range(5))
    assert fit(counts, "normal", direction="forward").message.endswith("a sum over cells has no quadrature error")


@pytest.mark.skipif(JIT_DISABLED, reason="passes over thousands of nodes take minutes without compiled code")
@pytest.mark.parametrize("lines", [70, 120])
def test_of_more_modes_than_runs_the_lowest_ones_get_them(lines):
    grid, places = Grid.uniform(0, 1, 4096), (np.arange(lines) + 0.5) / lines
    scales = np.full(lines, 0.05 / lines)
    scales[-3:] *= [1.05, 1.2, 1.1]  # the lowest minima are those that are found last
    values = 1e-9 + np.exp(-0.5 * ((grid.axes[0] - places[:, None]) / scales[:, None]) ** 2).sum(axis=0)
    result = fit(Tabulated(grid, values), "normal", direction="reverse")
    assert result.success, result.message
    np.testing.assert_allclose([m.q.loc for m in result.minima[:3]], places[[-2, -1, -3]], atol=0.01 / lines)


def test_a_mass_outside_just_above_its_limit_is_told_from_it():
    x = np.linspace(0, 1, 101)
    table = Tabulated(Grid.uniform(0, 1, 101), -0.5 * ((x - 0.2) / 0.15) ** 2, log=True)
    outside = fit(table, "normal", direction="reverse", mass_tol=0.5).mass_outside
    for limit in (0.5 * outside, 0.99 * outside, 0.9999 * outside):
        message = fit(table, "normal", direction="reverse", mass_tol=limit).message
        assert "above mass_tol" in message
        assert outside * 1.01 > float(message.split()[0]) > limit, message
