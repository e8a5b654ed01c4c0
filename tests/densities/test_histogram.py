"""Histograms: cells, counts, unions of edges, and their divergences."""

import pickle
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from fastkl import Gamma, Grid, Histogram, MultivariateNormal, Normal, Tabulated, as_density, kl_divergence

COUNTS, EDGES = np.array([1, 2, 3, 0, 4]), np.array([0.0, 1.0, 2.0, 4.0, 5.0, 7.0])
P = Tabulated.from_histogram(COUNTS, EDGES)


def test_a_count_is_a_mass_whatever_the_width():
    assert isinstance(P, Histogram)
    np.testing.assert_allclose(P.probabilities, COUNTS / 10, rtol=1e-15)
    np.testing.assert_allclose(P.pdf([0.5, 3.0, 4.5, 6.0]), [0.1, 0.15, 0.0, 0.2], rtol=1e-14)
    assert P.n == 10
    assert repr(P) == "Histogram(5 cells on [0, 7], n=10)"
    density, _ = np.histogram(np.repeat([0.5, 1.5, 3, 6], [1, 2, 3, 4]), EDGES, density=True)
    again = Tabulated.from_histogram(density, EDGES, density=True)
    np.testing.assert_allclose(again.probabilities, P.probabilities, rtol=1e-14)
    assert again.n is None
    assert repr(again).endswith("masses)")


def test_the_arguments_stay_the_callers():
    counts, edges = COUNTS.astype(float), EDGES.copy()
    p = Tabulated.from_histogram(counts, edges)
    counts[0], edges[0] = 9.0, -9.0
    assert (p.counts[0], p.edges[0][0]) == (1.0, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        p.counts[0] = 2.0


def test_mean_and_variance_are_those_of_a_density_that_is_constant_in_cells():
    exact = stats.rv_histogram((COUNTS, EDGES), density=False)
    assert P.mean == pytest.approx(exact.mean(), rel=1e-14)
    assert P.std == pytest.approx(exact.std(), rel=1e-13)
    x = np.random.default_rng(2).normal(size=(500, 2)) @ [[1.0, 0.4], [0.0, 1.0]]
    plane = Tabulated.from_histogram(*np.histogramdd(x, 9))
    middles = [0.5 * (line[1:] + line[:-1]) for line in plane.edges]
    mean = [(plane.probabilities.sum(axis=1 - d)) @ middles[d] for d in range(2)]
    np.testing.assert_allclose(plane.mean, mean, rtol=1e-12)
    widths = [np.diff(line)[0] for line in plane.edges]
    np.testing.assert_allclose(np.diag(plane.cov), [
        plane.probabilities.sum(axis=1 - d) @ (middles[d] - mean[d]) ** 2 + widths[d] ** 2 / 12 for d in range(2)
    ], rtol=1e-12)  # fmt: skip


def test_a_distribution_of_scipy_brings_its_cells():
    for source in (
        stats.rv_histogram((COUNTS, EDGES), density=False),
        stats.rv_histogram((COUNTS, EDGES), density=False)(),
    ):
        again = Tabulated.from_histogram(source)
        np.testing.assert_allclose(again.probabilities, P.probabilities, rtol=1e-14)
        np.testing.assert_array_equal(again.edges[0], EDGES)
        assert isinstance(as_density(source), Histogram)


def test_a_divergence_is_that_of_the_masses():
    q = Normal(3, 2)
    masses = np.diff(stats.norm.cdf(EDGES, 3, 2))
    filled = COUNTS > 0
    expected = (COUNTS / 10)[filled] @ np.log((COUNTS / 10)[filled] / masses[filled])
    result = kl_divergence(P, q, full_output=True)
    assert result.value == pytest.approx(expected, rel=1e-13)
    assert result.error <= 1e-14 * result.value
    assert (result.method, result.mass_outside_p) == ("cells", 0.0)
    assert result.mass_outside_q == pytest.approx(1 - masses.sum(), rel=1e-12)
    assert kl_divergence(q, P) == np.inf
    smooth = Tabulated.from_histogram(COUNTS, EDGES, pseudocount=0.5)
    share = masses / masses.sum()
    assert kl_divergence(q, smooth) == pytest.approx(share @ np.log(share / smooth.probabilities), rel=1e-13)
    assert smooth.probabilities == pytest.approx((COUNTS + 0.5) / 12.5)


def test_a_divergence_from_a_far_density_does_not_underflow():
    p = Tabulated.from_histogram([1, 1], [40, 41, 42])
    tails = [mp.erfc(x / mp.sqrt(2)) / 2 for x in (40, 41, 42)]
    expected = float(-mp.log(2) - sum(mp.log(a - b) for a, b in pairwise(tails)) / 2)
    assert kl_divergence(p, Normal(0, 1)) == pytest.approx(expected, rel=1e-14)


def test_two_histograms_meet_on_the_union_of_their_edges():
    ten = Tabulated.from_histogram(np.ones(10), np.linspace(0, 1, 11))
    twenty = Tabulated.from_histogram(np.ones(20), np.linspace(0, 1, 21))
    assert kl_divergence(ten, twenty) == pytest.approx(0.0, abs=1e-15)
    one, other = Tabulated.from_histogram([1, 3], [0, 1, 2]), Tabulated.from_histogram([1, 2, 1], [-1, 0.5, 1.5, 2])
    # on [0, .5], [.5, 1], [1, 1.5], [1.5, 2]: 1/8, 1/8, 3/8, 3/8 against 1/12, 1/4, 1/4, 1/4
    exact = np.array([1, 1, 3, 3]) / 8 @ np.log(np.array([1 / 8, 1 / 8, 3 / 8, 3 / 8]) / [1 / 12, 1 / 4, 1 / 4, 1 / 4])
    assert kl_divergence(one, other) == pytest.approx(exact, rel=1e-13)
    assert kl_divergence(other, one) == np.inf


def test_two_histograms_on_planes_meet_on_the_union_of_their_edges():
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 9, (3, 2))
    coarse = Tabulated.from_histogram(counts, [np.arange(4.0), np.arange(3.0)])
    fine = Tabulated.from_histogram(np.kron(counts, np.ones((2, 3))), [np.linspace(0, 3, 7), np.linspace(0, 2, 7)])
    assert kl_divergence(coarse, fine) == pytest.approx(0.0, abs=1e-15)
    flat = Tabulated.from_histogram(np.ones((3, 2)), [np.arange(4.0), np.arange(3.0)])
    assert kl_divergence(fine, flat) == pytest.approx(stats.entropy(counts.ravel(), np.ones(6)), rel=1e-13)


def test_a_histogram_is_constant_in_its_cells_on_any_other_grid():
    line = Grid.from_edges(np.linspace(0, 7, 701))
    assert line.integrate(P.pdf(line.axes[0])) == pytest.approx(1.0, abs=1e-12)
    flat = Tabulated(line, np.ones(line.size))
    filled = COUNTS > 0
    expected = (COUNTS / 10)[filled] @ np.log(COUNTS / 10 / np.diff(EDGES) * 7, where=filled, out=np.zeros(5))[filled]
    assert kl_divergence(P, flat, line) == pytest.approx(expected, rel=1e-12)
    # by their masses in the cells, a flat table has the share of each width; it ends at its last nodes, a 1400th early
    assert kl_divergence(P, flat) == pytest.approx(expected, abs=2e-3)
    plane = Tabulated.from_histogram([[1, 2], [3, 4.0]], [[0, 1, 3], [0, 2, 3]])
    np.testing.assert_allclose(plane.pdf([[0.5, 0.5], [2.9, 2.9], [3, 3], [1, 2], [4, 1]]), [0.05, 0.2, 0.2, 0.2, 0])


def test_mostly_empty_real_counts_lose_no_mass():
    from sklearn.datasets import load_breast_cancer

    counts, edges = np.histogram(load_breast_cancer().data[:, 13], 200)
    p = Tabulated.from_histogram(counts, edges)
    line = Grid.from_edges(np.linspace(edges[0], edges[-1], 20001))
    # the new cells that an edge of p cuts count as a whole: 200 of 20,000
    assert line.integrate(p.pdf(line.axes[0])) == pytest.approx(1.0, abs=0.01)


def test_equal_counts_have_a_divergence_of_zero():
    rng = np.random.default_rng(4)
    for _ in range(50):
        counts = rng.integers(0, 3, 30)
        p = Tabulated.from_histogram(counts + (counts.sum() == 0), np.arange(31.0))
        result = kl_divergence(p, Tabulated.from_histogram(p.counts, p.edges), full_output=True)
        assert (result.value, result.error) == (0.0, 0.0)


def test_two_histograms_of_counts_say_what_chance_gives():
    rng = np.random.default_rng(6)
    shares, edges = np.full(12, 1 / 12), np.arange(13.0)
    values, found = [], None
    for _ in range(400):
        p, q = (Tabulated.from_histogram(rng.multinomial(n, shares), edges) for n in (3000, 5000))
        found = kl_divergence(p, q, full_output=True)
        values.append(found.value)
    # the standard deviation of a chi-square of 11 is sqrt(22) of 11, and 400 draws halve it 4 times: 2 percent
    assert found.expected_by_chance == pytest.approx(np.mean(values), rel=0.1)
    assert found.expected_by_chance == pytest.approx(11 / 2 * (1 / 3000 + 1 / 5000))
    table = np.stack([p.counts, q.counts])
    test = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    assert found.pvalue == pytest.approx(test.pvalue, rel=1e-9)
    assert kl_divergence(p, Normal(6, 3), full_output=True).pvalue is None


def test_a_cell_that_one_sample_leaves_empty_is_no_proof_of_a_difference():
    p, q = (Tabulated.from_histogram(counts, range(5)) for counts in ([11, 20, 10, 1], [10, 19, 12, 0]))
    test = stats.chi2_contingency([p.counts, q.counts], correction=False, lambda_="log-likelihood")
    for pair in ((p, q), (q, p)):
        assert kl_divergence(*pair, full_output=True).pvalue == pytest.approx(test.pvalue, rel=1e-12)
    assert kl_divergence(p, q) == np.inf


def test_pickling_and_parts():
    again = pickle.loads(pickle.dumps(P))
    assert kl_divergence(again, P) == 0.0
    assert again.n == 10
    assert P.support == (0.0, 7.0)


INFINITE = Tabulated.from_histogram([1, 2, 3, 4], [-np.inf, 0, 1, 2, np.inf])


def test_a_cell_without_an_end_counts_the_mass_beyond():
    masses = np.diff(stats.norm.cdf([-np.inf, 0, 1, 2, np.inf], 1, 1))
    assert kl_divergence(INFINITE, Normal(1, 1)) == pytest.approx(stats.entropy([1, 2, 3, 4], masses), rel=1e-13)
    assert kl_divergence(INFINITE, Tabulated.from_histogram([2, 2, 3, 3], INFINITE.edges)) > 0
    for what, act in {
        "a mean or a variance": lambda: INFINITE.mean,
        "a density off the cells": lambda: INFINITE.pdf(0.5),
        "a union of different edges": lambda: kl_divergence(INFINITE, P),
    }.items():
        with pytest.raises(ValueError, match=rf"{what} takes cells of finite width, but one reaches from .*inf"):
            act()


@pytest.mark.parametrize(
    ("counts", "edges", "message"),
    [
        ([1, 2], [0, 1], r"edges must be a line of at least 3 numbers, got an array of shape \(2,\)"),
        ([1, 2, 3], [0, 1, 2], "3 counts need 4 edges, got 3"),
        ([1, 2], [0, 2, 1], "edges must increase strictly, but edge 1 is 2 and edge 2 is 1"),
        ([1, 2], [0, 1, np.nan], "but one is nan"),
        ([1, 2, 3], [0, np.inf, 1, 2], "the first and the last may be infinite, but one is inf"),
        ([1, -2], [0, 1, 2], r"counts must be >= 0 and finite, but that of cell 1 is -2\.0"),
        ([1, np.nan], [0, 1, 2], "but that of cell 1 is nan"),
        ([0, 0], [0, 1, 2], "all 2 counts are 0: there is no mass"),
        ([1, 1], [-np.inf, 0, np.inf], "need at least one cell with two ends"),
        ([[1, 2], [3, 4]], [[0, 1, 2]] * 3, "counts of 2 dimensions need the edges of as many axes, got 3"),
        ([[1, 2], [3, 4]], [[0, 1, 2], [0, 1, 2, 3]], r"need as many edges on each axis plus 1, got \[3, 4\]"),
        ([[1, 2], [3, -4]], [[0, 1, 2], [0, 1, 2]], r"cell \(1, 1\) is -4\.0"),
    ],
)
def test_bad_counts_and_edges_are_named(counts, edges, message):
    with pytest.raises(ValueError, match=message):
        Tabulated.from_histogram(counts, edges)


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match=r"pseudocount must be >= 0, got -1"):
        Tabulated.from_histogram([1, 2], [0, 1, 2], pseudocount=-1)
    with pytest.raises(TypeError, match=r"counts need edges, one more than there are counts; got list alone"):
        Tabulated.from_histogram([1, 2])
    with pytest.raises(ValueError, match="a density in a cell without an end has no mass: give counts"):
        Tabulated.from_histogram([1, 2, 3], [0, 1, 2, np.inf], density=True)
    with pytest.raises(ValueError, match=r"Gamma.* has no mass in any cell of Histogram"):
        kl_divergence(Tabulated.from_histogram([1, 2], [-3, -2, -1]), Gamma(2))
    with pytest.raises(ValueError, match="p has 1 dimensions and q has 2"):
        kl_divergence(P, MultivariateNormal([0, 0], np.eye(2)))


def test_the_law_is_that_of_uniform_cells():
    exact = stats.rv_histogram((COUNTS, EDGES), density=False)
    x = np.array([-1.0, 0.0, 0.3, 1.0, 3.9, 4.0, 4.5, 5.0, 6.2, 7.0, 9.0])
    np.testing.assert_allclose(P.cdf(x), exact.cdf(x), atol=1e-15)
    q = np.array([0.05, 0.1, 0.2, 0.55, 0.61, 0.99])
    np.testing.assert_allclose(P.quantile(q), exact.ppf(q), rtol=1e-14)
    np.testing.assert_allclose(P.quantile([0.0, 0.6, 1.0, -0.1, 1.1]), [0.0, 4.0, 7.0, np.nan, np.nan], rtol=1e-15)
    late = Tabulated.from_histogram([0, 2, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(late.quantile([0.0, 0.5, 1.0]), [1.0, 1.5, 2.0])
    draws = P.rvs((2000, 3), random_state=7)
    assert draws.shape == (2000, 3)
    assert stats.kstest(draws.ravel(), P.cdf).pvalue > 1e-4
    assert np.ndim(P.rvs(random_state=1)) == 0
    with pytest.raises(ValueError, match="a distribution function takes cells of finite width"):
        INFINITE.cdf(0.5)


def test_marginals_and_draws_on_several_axes():
    counts = np.random.default_rng(8).integers(0, 9, (3, 4, 2))
    edges = [np.arange(4.0), np.array([0.0, 1, 3, 4, 9]), np.array([-1.0, 0, 1])]
    p = Tabulated.from_histogram(counts, edges)
    swapped = p.marginal([2, 0])
    np.testing.assert_array_equal(swapped.counts, counts.sum(axis=1).T)
    assert [line.size for line in swapped.edges] == [3, 4]
    assert swapped.n == counts.sum()
    assert p.marginal(-2).mean == pytest.approx(p.mean[1], rel=1e-13)
    np.testing.assert_array_equal(p.marginal([2, 0, 1]).counts, counts.transpose(2, 0, 1))
    smooth = Tabulated.from_histogram(counts, edges, pseudocount=0.5)
    np.testing.assert_allclose(smooth.marginal(0).probabilities, smooth.probabilities.sum(axis=(1, 2)), rtol=1e-14)
    draws = p.rvs(4000, random_state=9)
    again, _ = np.histogramdd(draws, edges)
    filled = counts.ravel() > 0
    expected = 4000 * p.probabilities.ravel()[filled]
    assert stats.chisquare(again.ravel()[filled], expected).pvalue > 1e-4
    assert not again.ravel()[~filled].any()


# Batches: one set of edges, many rows of counts

ROWS = np.random.default_rng(5).poisson(4.0, (3, 2, 6))
SIX = np.array([0.0, 1.0, 1.5, 3.0, 4.0, 6.0, 7.0])
OPEN = np.array([-np.inf, 1.0, 1.5, 3.0, 4.0, 6.0, np.inf])
BATCHES = {
    "counts": ({}, SIX),
    "a pseudocount": ({"pseudocount": 0.5}, SIX),
    "densities": ({"density": True}, SIX),
    "cells without an end": ({}, OPEN),
}


@pytest.mark.parametrize(("options", "edges"), BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("dtype", ["i8", "u1", "f4", "f8"])
def test_a_batch_is_its_histograms(options, edges, dtype):
    counts = ROWS.astype(dtype)
    batch = Tabulated.from_histogram(counts, edges, **options)
    assert np.shares_memory(batch.counts, counts)
    assert batch.counts.dtype == counts.dtype
    parts = [Tabulated.from_histogram(row, edges, **options) for row in counts.reshape(6, 6)]
    for index, part in zip(np.ndindex(3, 2), parts, strict=True):
        assert repr(batch[index]) == repr(part)
        np.testing.assert_array_equal(batch[index].values, part.values)
        np.testing.assert_array_equal(batch[index].probabilities, part.probabilities)
    np.testing.assert_array_equal(batch.values.reshape(6, 6), [part.values for part in parts])
    np.testing.assert_allclose(batch.probabilities.reshape(6, 6), [part.probabilities for part in parts], rtol=1e-15)
    q = Normal(3.0, 2.0)
    for pair in (lambda p: (p, q), lambda p: (q, p), lambda p: (p, parts[0])):
        expected = [kl_divergence(*pair(part)) for part in parts]
        np.testing.assert_allclose(kl_divergence(*pair(batch)).ravel(), expected, rtol=1e-12, atol=1e-16)
    if edges is SIX:
        for name in ("mean", "std", "cov"):
            np.testing.assert_allclose(getattr(batch, name).ravel(), [getattr(p, name) for p in parts], rtol=1e-12)
    else:
        with pytest.raises(ValueError, match="a mean or a variance takes cells of finite width"):
            _ = batch.mean


def test_a_row_of_a_batch_that_is_no_histogram_is_nan():
    counts = ROWS[:, 0].astype(np.float64)
    counts[0, 2], counts[1] = np.nan, 0.0
    batch = Tabulated.from_histogram(counts, SIX, pseudocount=1.0)
    for figure in (kl_divergence(batch, Normal(3, 2)), batch.mean, batch.std, batch.probabilities.sum(axis=1)):
        np.testing.assert_array_equal(np.isnan(figure), [True, True, False])
    with pytest.raises(ValueError, match="that of cell 2 is nan"):
        _ = batch[0]


def test_a_part_of_a_batch_of_histograms():
    batch = Tabulated.from_histogram(ROWS, SIX, pseudocount=0.5)
    for index in (0, (slice(None), 1), (..., 0), np.array([True, False, True])):
        np.testing.assert_array_equal(batch[index].counts, ROWS[_rows(index)])
        assert batch[index].pseudocount == 0.5
    back = pickle.loads(pickle.dumps(batch))
    np.testing.assert_array_equal(back.values, batch.values)
    assert repr(back) == repr(batch) == "Histogram(6 cells on [0, 7], batch_shape=(3, 2))"
    with pytest.raises(ValueError, match=r"read-only|destination"):
        batch.counts[0, 0, 0] = 1


def _rows(index):
    """An index into counts, whose last axis is that of the cells."""
    return (..., 0, slice(None)) if isinstance(index, tuple) and index[0] is Ellipsis else index


@pytest.mark.parametrize("call", ["cdf", "quantile", "pdf", "logpdf"])
def test_a_batch_of_histograms_is_no_single_density(call):
    batch = Tabulated.from_histogram(ROWS, SIX)
    with pytest.raises(ValueError, match=r"a batch of shape \(3, 2\) is no single density"):
        getattr(batch, call)(0.5)
    for other in (batch.rvs, lambda: batch.marginal(0)):
        with pytest.raises(ValueError, match=r"a batch of shape \(3, 2\) is no single density"):
            other()
