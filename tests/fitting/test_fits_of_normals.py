"""Fits of Normals to tables on a line: digits, all minima, certificates, and bits that depend on nothing else."""

import itertools

import mpmath
import numpy as np
import pytest

import fastkl
from fastkl import Grid, Normal, Tabulated, fit
from fastkl.fitting import normals

LINE = Grid.uniform(-10, 10, 301)
X = LINE.axes[0]
GRIDS = {
    "even": LINE,
    "simpson": Grid.from_axes(X, rule="simpson"),
    "cells": Grid.from_edges(10.0 * np.sinh(np.linspace(-1.5, 1.5, 202)) / np.sinh(1.5)),
    "panels": Grid.gauss_legendre(-10, 10, 96),
    "random": Grid.from_axes(np.sort(np.append(np.random.default_rng(5).uniform(-10, 10, 298), [-10.0, 10.0]))),
}


def bumps(x, count, seed=0, noise=0.02):
    """Rows of 1 to 4 bumps with noise and stored zeros, as a survey has them."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, x.size))
    for row in rows:
        for _ in range(rng.integers(1, 5)):
            row += rng.uniform(0.2, 1.0) * np.exp(-0.5 * ((x - rng.uniform(-7, 7)) / rng.uniform(0.4, 1.5)) ** 2)
    rows *= np.exp(noise * rng.standard_normal(rows.shape))
    rows[rows < 1e-4 * rows.max(axis=1, keepdims=True)] = 0.0
    return rows


def divergence_by_mpmath(grid, values, q, direction):
    """The divergence of q and a table as `kl_divergence` defines it."""
    with mpmath.workdps(40):
        w, x = [[mpmath.mpf(float(v)) for v in line] for line in (grid.weights[0], grid.axes[0])]
        p = [mpmath.mpf(float(v)) for v in values]
        loc, scale = mpmath.mpf(q.loc), mpmath.mpf(q.scale)
        u = [mpmath.npdf(t, loc, scale) for t in x]
        mass_p, mass_q = mpmath.fdot(w, p), mpmath.fdot(w, u)
        p, q = [v / mass_p for v in p], [v / mass_q for v in u]
        a, b = (p, q) if direction == "forward" else (q, p)
        lost = max(-mpmath.log(min(mass_q, 1)), 0) if direction == "forward" else 0
        return mpmath.fsum(wi * ai * mpmath.log(ai / bi) for wi, ai, bi in zip(w, a, b, strict=True) if ai) + lost


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_divergences_have_13_digits(grid, direction):
    x = grid.axes[0]
    near = np.exp(-0.5 * (x / 1.5) ** 2) * (1.0 + 1e-6 * np.cos(x))
    two = np.exp(-0.5 * (x + 2) ** 2) + 0.7 * np.exp(-0.5 * (x - 2) ** 2 / 0.5)
    for values in (near, two, 1e-200 * two, 1e250 * two):
        result = fit(Tabulated(grid, values), "normal", direction=direction)
        assert result.converged
        exact = divergence_by_mpmath(grid, values, result.q, direction)
        rounding = 4.0 * 2.0**-52 * mpmath.sqrt(exact)  # of densities that are off by a few ulp
        rounding += 16.0 * 2.0**-52 if direction == "forward" else 0.0  # of log(B), B the sum of q
        assert abs(result.divergence - exact) <= 1e-13 * exact + rounding + 1e-27


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_minimum_is_one_of_the_objective(grid):
    for values in bumps(grid.axes[0], 6, seed=1):
        p = Tabulated(grid, values, floor=1e-6)
        for minimum in fit(p, "normal", direction="reverse").minima:
            objective = fastkl.kl_objective(p, "normal", direction="reverse")
            value, gradient, hessian = objective([minimum.q.loc, np.log(minimum.q.scale)])
            assert value == pytest.approx(minimum.divergence, rel=1e-9)
            assert abs(gradient[0]) * minimum.q.scale < 1e-8
            assert abs(gradient[1]) < 1e-8
            assert np.linalg.eigvalsh(hessian)[0] > 0.0


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_no_other_start_leads_lower(grid):
    """Starts all over the grid take the general road, which does not know the lattice."""
    starts = list(itertools.product(np.linspace(-8, 8, 9), (0.5, 1.0, 2.0, 4.0)))
    for values in bumps(grid.axes[0], 5, seed=2):
        p = Tabulated(grid, values, floor=1e-6)
        result, other = (fit(p, "normal", direction="reverse", starts=s) for s in (None, starts))
        assert result.divergence <= other.divergence * (1.0 + 1e-9)
        for minimum in other.minima:
            apart = [abs(m.q.loc - minimum.q.loc) / m.q.scale for m in result.minima]
            assert min(apart) < 1e-5


def test_the_three_minima_of_two_bumps():
    p = Tabulated(LINE, np.exp(-0.5 * ((X + 2) / 0.6) ** 2) + np.exp(-0.5 * ((X - 2) / 0.6) ** 2))
    result = fit(p, "normal", direction="reverse")
    assert [round(m.divergence, 4) for m in result.minima] == [0.6918, 0.6918, 1.1384]
    assert result.minima[0].q.loc < 0.0 < result.minima[1].q.loc
    assert result.success


def test_a_table_of_a_normal_is_found_exactly():
    q = Normal(0.3, 1.0)
    for direction in ("forward", "reverse"):
        result = fit(Tabulated(LINE, q.logpdf(X), log=True), "normal", direction=direction)
        rtol = {"forward": 1e-13, "reverse": 1e-9}[direction]  # the mass outside is 3e-22; gtol
        np.testing.assert_allclose((result.q.loc, result.q.scale), (0.3, 1.0), rtol=rtol)
        assert result.divergence < 1e-19
        assert result.success
        assert len(result.minima) == 1


def test_records_depend_on_neither_the_other_rows_nor_their_order_nor_their_memory():
    values = bumps(X, 150, seed=3).astype("f4")
    values[11] = np.nan
    whole = fit(Tabulated(LINE, values, floor=1e-6), "normal", direction="reverse")
    order = np.random.default_rng(0).permutation(150)
    strided = np.empty((300, 602), "f4")[::2, ::2]
    strided[:] = values[order]
    again = fit(Tabulated(LINE, strided, floor=1e-6), "normal", direction="reverse")
    alone = fit(Tabulated(LINE, values[149:], floor=1e-6), "normal", direction="reverse")
    as_doubles = fit(Tabulated(LINE, values.astype("f8"), floor=1e-6), "normal", direction="reverse")
    for name in (
        "divergence",
        "gradient_norm",
        "hessian",
        "runner_up",
        "n_minima",
        "status",
        "nit",
        "quadrature_error",
    ):
        figure = getattr(whole, name)
        np.testing.assert_array_equal(getattr(again, name), figure[order], err_msg=name)
        np.testing.assert_array_equal(getattr(alone, name), figure[149:], err_msg=name)
        np.testing.assert_array_equal(getattr(as_doubles, name), figure, err_msg=name)


def test_a_larger_table_takes_the_general_road_and_agrees():
    grid = Grid.uniform(-10, 10, normals.MOST_NODES + 1)
    values = bumps(grid.axes[0], 3, seed=4, noise=0.0)
    for row in values:
        large, small = (
            fit(Tabulated(g, v, floor=1e-6), "normal", direction="reverse")
            for g, v in ((grid, row), (Grid.uniform(-10, 10, 1025), row[::4]))
        )
        assert len(large.minima) == len(small.minima)
        np.testing.assert_allclose(
            [m.q.loc for m in large.minima], [m.q.loc for m in small.minima], rtol=1e-3, atol=1e-3
        )


def test_a_spike_a_flat_table_and_a_slope_are_no_success():
    spike, flat, slope = np.full(X.size, 1e-9), np.ones(X.size), np.exp(3.0 * X)
    spike[150] = 1.0
    results = fit(np.array([spike, flat, slope]), "normal", LINE, direction="reverse")
    assert [fastkl.FitStatus(s).name for s in results.status] == ["AT_STEP", "ESCAPED", "ESCAPED"]
    assert not results.converged.any()


@pytest.mark.parametrize("max_passes", [1, 2])
def test_too_few_passes_are_said(max_passes):
    result = fit(
        Tabulated(LINE, bumps(X, 1, noise=0.0)[0], floor=1e-9), "normal", direction="reverse", max_passes=max_passes
    )
    assert not result.success
    assert "raise max_passes" in result.message


@pytest.mark.parametrize("lower", [2_459_000.0, 1.7e9, -1.7e9])
def test_the_last_place_of_a_large_loc_is_enough(lower):
    """Julian dates and seconds since 1970: the gradient cannot fall to gtol, because loc is a double."""
    grid, near = Grid.uniform(lower, lower + 0.25, 301), Grid.uniform(0.0, 0.25, 301)
    rows = bumps(X, 40, seed=6)
    far, close = (fit(Tabulated(g, rows, floor=1e-6), "normal", direction="reverse") for g in (grid, near))
    np.testing.assert_array_equal(far.status, close.status)
    np.testing.assert_array_equal(far.n_minima, close.n_minima)
    last_place = np.spacing(abs(lower))
    assert np.abs(far.q.loc - lower - close.q.loc).max() < 4.0 * last_place  # the nodes are rounded as well
    for family in ("logistic", "normal"):  # with starts, Normals take the general road too
        starts = [(lower + 0.1, 0.02)]
        result = fit(Tabulated(grid, rows[0], floor=1e-6), family, direction="reverse", starts=starts)
        assert result.converged


def test_logarithms_beyond_all_sums_are_no_success_and_touch_no_other_row():
    rows = np.array([-0.5 * X**2, np.where(np.arange(X.size) % 2 == 0, 1e308, -1.7e308)])
    results = fit(Tabulated(LINE, rows, log=True), "normal", direction="reverse")
    assert results.success.tolist() == [True, False]
    alone = fit(Tabulated(LINE, rows[0], log=True), "normal", direction="reverse")
    assert results.divergence[0] == alone.divergence
