"""Results after the fit: as dictionaries and back, and as tables for notebooks."""

from __future__ import annotations

import dataclasses
import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

import fastkl
from fastkl import FitResult, Grid, Mixture, MultivariateNormal, Normal, Tabulated
from fastkl.jit import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="dozens of passes take seconds each without compiled code")

TWO = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
PLANE = Mixture([MultivariateNormal([-1, 0], [[1, 0.5], [0.5, 1]]), MultivariateNormal([2, 1], np.eye(2))])
LINE = Grid.uniform(-12, 12, 241)
ODD = Grid.from_axes(np.sinh(np.linspace(-3, 3, 301)), rule="simpson")
CELLS = Grid.from_edges(np.linspace(0.0, 30.0, 301))


def _gamma_table(grid=CELLS):
    return Tabulated(grid, stats.gamma(3).logpdf(grid.axes[0]), log=True)


FITS = {
    "reverse": lambda: fastkl.fit(TWO, "normal", LINE, direction="reverse"),
    "automatic grid": lambda: fastkl.fit(fastkl.Gamma(3), "log_normal", direction="reverse"),
    "simpson": lambda: fastkl.fit(TWO, "student_t", ODD, direction="forward", df=7.0),
    "cells": lambda: fastkl.fit(fastkl.Gamma(3), "gamma", CELLS, direction="forward"),
    "mixture": lambda: fastkl.fit(TWO, "mixture", LINE, direction="forward", n_components=2),
    "plane": lambda: fastkl.fit(
        PLANE, "multivariate_normal", Grid.uniform([-8, -8], [9, 9], 101), direction="reverse", covariance_type="diag"
    ),
    "mixed families": lambda: fastkl.fit(
        Mixture([fastkl.Laplace(0, 1), fastkl.Logistic(1, 2)], [0.3, 0.7]), "normal", direction="forward"
    ),
    "no success": lambda: fastkl.fit(TWO, "normal", Grid.uniform(-2, 2, 41), direction="forward"),
}


def _same(a, b):
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b or a != a


@pytest.mark.parametrize("make", FITS.values(), ids=FITS)
def test_a_result_comes_back_from_json(make):
    result = make()
    back = FitResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)))
    names = [field.name for field in dataclasses.fields(result)]
    differing = [name for name in names if not _same(getattr(result, name), getattr(back, name))]
    assert differing == []
    assert (back.forward, back.reverse, back.elbo) == (result.forward, result.reverse, result.elbo)
    assert str(back) == str(result)
    assert type(back.hessian) is np.ndarray


def test_a_table_is_kept_with_its_values_only():
    p = _gamma_table()
    result = fastkl.fit(p, "gamma", direction="reverse")
    without, whole = (json.loads(json.dumps(result.to_dict(values=kept))) for kept in (False, True))
    assert FitResult.from_dict(without).p is None
    back = FitResult.from_dict(whole)
    assert (back.p.grid, back.p.values.tolist(), back.p.log) == (p.grid, p.values.tolist(), True)
    assert FitResult.from_dict(without, p=p).p is p
    assert FitResult.from_dict(without).elbo == result.elbo  # it is in the dictionary, and needs no p


def test_a_result_without_p_says_so_instead_of_a_picture():
    result = fastkl.fit(_gamma_table(), "gamma", direction="forward")
    with pytest.raises(ValueError, match=r"without p .*from_dict"):
        FitResult.from_dict(result.to_dict()).plot()


def test_a_density_of_another_library_is_named():
    p = fastkl.as_density(stats.gumbel_r())
    content = fastkl.fit(p, "normal", direction="forward").to_dict()
    assert content["p"] == {"family": None, "repr": repr(p)}
    assert FitResult.from_dict(content).p is None


def test_infinity_and_nan_are_strings_that_float_reads():
    x = np.linspace(-4, 4, 81)
    result = fastkl.fit(Tabulated(Grid.from_axes(x), abs(x) < 2.05), "normal", direction="forward")
    result = dataclasses.replace(result, hessian=np.array([[1.0, np.nan], [np.nan, -np.inf]]), gradient_norm=np.nan)
    content = result.to_dict()
    assert (content["reverse"], content["hessian"]) == ("inf", [[1.0, "nan"], ["nan", "-inf"]])
    back = FitResult.from_dict(json.loads(json.dumps(content, allow_nan=False)))
    assert (back.reverse, back.elbo) == (math.inf, -math.inf)
    assert math.isnan(back.gradient_norm)
    np.testing.assert_array_equal(back.hessian, result.hessian)


def test_a_dictionary_that_is_no_result_is_refused():
    content = fastkl.fit(TWO, "normal", LINE, direction="forward").to_dict()
    with pytest.raises(ValueError, match="'cauchy'"):
        FitResult.from_dict({**content, "family": "cauchy"})
    del content["q"]
    with pytest.raises(ValueError, match="it lacks q"):
        FitResult.from_dict(content)


class _Text(HTMLParser):
    """The texts of the cells of a table, and a check that every element is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.cells.append(data.strip())


def _cells(html):
    parser = _Text()
    parser.feed(html)
    assert parser.open == []
    return parser.cells


def test_a_notebook_shows_the_table_of_str():
    result = fastkl.fit(TWO, "normal", LINE, direction="reverse")
    cells = _cells(result._repr_html_())
    assert " ".join(cells).split() == str(result).replace("success:", "success").split()


def test_a_notebook_shows_a_divergence():
    result = fastkl.kl_divergence(Normal(0, 1), Normal(1, 2), LINE, full_output=True)
    cells = _cells(result._repr_html_())
    assert cells[:3] == ["KL(p||q)", "value", repr(result.value)]
    assert cells[cells.index("method") + 1] == "trapezoid"


def test_markup_in_a_message_is_text():
    result = fastkl.fit(TWO, "normal", LINE, direction="forward")
    html = dataclasses.replace(result, message="<script>a & b</script>")._repr_html_()
    assert "&lt;script&gt;a &amp; b&lt;/script&gt;" in html
    assert "<script>" not in html
