"""Rankings of families."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from fastkl import Comparison, Grid, MultivariateNormal, Normal, Tabulated, compare, fit
from fastkl.families import FAMILIES

MALIC = load_wine().data[:, 1]
P = Tabulated.from_histogram(*np.histogram(MALIC, 20))


def test_counts_are_ranked_by_aic():
    found = compare(P, direction="forward")
    assert isinstance(found, Comparison)
    assert found.criterion == "aic"
    assert set(found.names) | set(found.refused) == set(FAMILIES)
    assert list(found.refused) == ["beta"]
    assert "lives between 0 and 1" in found.refused["beta"]
    good = [result.statistics.aic for result in found if result.success]
    assert good == sorted(good)
    assert [r.success for r in found] == sorted((r.success for r in found), reverse=True)
    for name, result in zip(found.names, found, strict=True):
        assert result.divergence == fit(P, name, direction="forward").divergence
    assert found.best is found[0]
    assert len(found[:3]) == 3


def test_a_third_parameter_has_to_pay_by_aic():
    rng = np.random.default_rng(3)
    counts, edges = np.histogram(rng.normal(size=3000), 30)
    by_counts = compare(Tabulated.from_histogram(counts, edges), ["student_t", Normal], direction="forward")
    assert by_counts.names[0] == "normal"


def test_densities_are_ranked_by_the_divergence():
    p = Tabulated.from_histogram(P.counts, P.edges, pseudocount=0.5)
    found = compare(p, ["normal", "gamma", "log_normal", "gumbel"], direction="reverse", mass_tol=1)
    assert found.criterion == "divergence"
    values = [result.divergence for result in found]
    assert values == sorted(values)
    assert "KL(q||p)" in str(found)
    assert "AIC" not in str(found)


def test_on_several_axes_the_covariance_types_are_compared():
    p = Tabulated.from_histogram(*np.histogramdd(load_iris().data[:, [0, 2]], 8))
    found = compare(p, direction="forward")
    assert set(found.names) == {"full normal", "diag normal", "spherical normal"}
    assert found.names[0] == "full normal"
    assert isinstance(found.best.q, MultivariateNormal)
    with pytest.raises(ValueError, match="one dimension"):
        compare(p, ["gamma"], direction="forward")


def test_a_ranking_is_a_table():
    found = compare(P, ["normal", "gamma", "beta"], direction="forward")
    head, first, second, reason = str(found).splitlines()
    assert head.split() == ["family", "KL(p||q)", "AIC", "q"]
    assert first.startswith("1  gamma")
    assert second.startswith("2  normal")
    assert reason.startswith("beta: a Beta lives between 0 and 1")
    html = found._repr_html_()
    assert html.count("<tr>") == 4
    assert "Gamma(a=" in html


def test_a_ranking_is_drawn_into_one_panel():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    ax = compare(P, ["normal", "gamma", "weibull"], direction="forward").plot(most=2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "p"
    assert len(labels) == 3
    assert labels[1].startswith("gamma, 0.188")
    pyplot.close("all")


def test_bad_input_is_named():
    with pytest.raises(TypeError, match="a direction is required"):
        compare(P)
    with pytest.raises(TypeError, match=r"families is a sequence of families, got the single name 'gamma'"):
        compare(P, "gamma", direction="forward")
    with pytest.raises(ValueError, match="family must be 'normal'"):
        compare(P, ["nosuch"], direction="forward")
    with pytest.raises(ValueError, match="no family can be fitted: beta: a Beta lives between 0 and 1"):
        compare(P, ["beta"], direction="forward")
    with pytest.raises(ValueError, match="do not fit a grid"):
        compare(np.ones(7), grid=Grid.uniform(0, 1, 9), direction="forward")


def test_samples_are_estimated_once_for_all_families():
    p = Tabulated.from_samples(MALIC)
    found = compare(p, ["normal", "gamma", "log_normal", "beta"], direction="forward")
    assert set(found.names) == {"normal", "gamma", "log_normal"}
    assert len({result.p.support for result in found}) == 1
    assert found[0].p.support == (0.0, np.inf)
    assert "beta" in found.refused
    shares = Tabulated.from_samples(MALIC / 10)
    both = compare(shares, ["normal", "gamma", "beta"], direction="forward")
    assert {result.p.support for result in both} == {(0.0, 1.0)}
