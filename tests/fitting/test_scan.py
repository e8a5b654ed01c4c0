"""Modes that the end of a grid cuts off, which runs of a reverse fit leave the grid on their way to."""

import numpy as np
import pytest

import fastkl
from fastkl import Grid, Tabulated, fit, kl_divergence


def bump(x, loc, scale, height=0.0):
    return height - 0.5 * ((x - loc) / scale) ** 2


def cut_off(x):
    """A wide mode at the lower end, and a spike beside it that is higher and narrow."""
    return np.logaddexp(bump(x, 0.0, 0.225), bump(x, 0.6625, 0.0038, 0.9))


def half_a_bump(x):
    return np.logaddexp(bump(x, 0.0, 0.3), bump(x, 0.8, 0.004, -1.0))


def on_a_slope(x):
    return np.logaddexp(-9.0 * x, bump(x, 0.8, 0.004, 0.0))


def at_the_upper_end(x):
    return cut_off(1.0 - x)


@pytest.mark.parametrize("n", [401, 1001, 6001])
@pytest.mark.parametrize("logs", [cut_off, half_a_bump, on_a_slope, at_the_upper_end])
def test_a_spike_is_no_success_where_a_wide_q_on_the_grid_is_closer(logs, n):
    grid = Grid.from_edges(np.linspace(0, 1, n + 1))
    p = Tabulated(grid, logs(grid.axes[0]), log=True)
    wide = fastkl.Normal(0.87 if logs is at_the_upper_end else 0.13, 0.026)
    assert wide.mass_outside(grid) < 1e-6
    result = fit(p, "normal", direction="reverse", rtol=1e-2)
    assert len(result.minima) == 1
    assert result.q.scale < 0.01
    assert result.divergence > kl_divergence(wide, p)
    assert not result.success
    assert "take a wider range of data" in result.message
    assert "lower" in result.message


def test_a_table_whose_mode_is_cut_off_by_the_first_of_its_cells():
    """A table of 1,001 cells as a user had it, of which a narrow second mode was called the best fit."""
    x = np.linspace(-0.08279, -0.08015, 1001)
    half = 0.5 * (x[1] - x[0])
    grid = Grid.from_edges(np.append(x - half, x[-1] + half))
    logs = np.logaddexp(bump(x, -0.08279, 5.85e-4), bump(x, -0.081041, 9.96e-6, 0.87))
    result = fit(Tabulated(grid, logs, log=True), "normal", direction="reverse")
    np.testing.assert_allclose((result.q.loc, result.q.scale), (-0.081041, 1.02e-5), rtol=5e-3)
    assert result.converged
    assert not result.success
    assert "the divergence from N(-0.0823" in result.message


def test_a_plane_whose_mode_is_cut_off():
    grid = Grid.uniform([0, 0], [10, 10], [161, 161])
    x, y = np.meshgrid(*grid.axes, indexing="ij")
    p = Tabulated(grid, np.logaddexp(bump(x, 0, 2) + bump(y, 5, 1.5), bump(x, 7, 0.4) + bump(y, 5, 0.4)), log=True)
    result = fit(p, "multivariate_normal", direction="reverse")
    assert result.converged
    assert not result.success
    assert "lower" in result.message


def test_a_mode_inside_the_grid_is_a_success_beside_one_that_is_cut_off():
    grid = Grid.uniform(0, 10, 2001)
    x = grid.axes[0]
    result = fit(
        Tabulated(grid, np.logaddexp(bump(x, 0, 2, -6), bump(x, 6, 0.5)), log=True), "normal", direction="reverse"
    )
    assert result.success
    np.testing.assert_allclose(result.q.loc, 6, rtol=1e-3)


@pytest.mark.parametrize("family", ["normal", "laplace", "logistic", "student_t", "gumbel"])
def test_the_scan_costs_usual_fits_hardly_a_pass(family, monkeypatch):
    grid = Grid.uniform(-12, 12, 1001)
    p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    table = Tabulated(grid, p.logpdf(grid.axes[0]), log=True)
    with_scan = fit(table, family, direction="reverse")
    monkeypatch.setattr("fastkl.fitting.scan.SCALES", 0)
    without = fit(table, family, direction="reverse")
    assert with_scan.passes <= 1.05 * without.passes
    assert with_scan.divergence == without.divergence
