"""Fits to histograms: maximum likelihood of binned observations, and the best q by its masses in the cells."""

import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from fastkl import (
    Beta,
    Gamma,
    GeneralizedPareto,
    Laplace,
    MultivariateNormal,
    Normal,
    StudentT,
    Tabulated,
    fit,
    kl_divergence,
)
from fastkl.densities.cells import log_masses
from fastkl.families import FAMILIES
from tests.laws import check_derivatives
from tests.references import REFERENCES, density

COLUMNS = {
    "alcohol": load_wine().data[:, 0],
    "malic acid": load_wine().data[:, 1],
    "area": load_breast_cancer().data[:, 3],
    "blood pressure": load_diabetes(scaled=False).data[:, 3],
}
"""Positive columns of real data."""


def histogram(x, bins, **options):
    return Tabulated.from_histogram(*np.histogram(x, bins), **options)


def edges_for(kind):
    lower, upper = kind._common_support
    if upper == 1.0:
        return np.array([0.0, 0.02, 0.1, 0.3, 0.35, 0.5, 0.77, 0.9, 1.0])
    return np.array([0.0 if lower == 0.0 else -2.0, 0.5, 0.9, 1.5, 1.8, 2.9, 4.0, 9.0])


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_objective_has_its_derivatives(name, direction):
    kind = FAMILIES[name]
    edges = edges_for(kind)
    p = Tabulated.from_histogram(3.0 + np.cos(np.arange(edges.size - 1)), edges)
    q = Laplace(0.6, 1.3) if kind is Laplace else density(name, REFERENCES[name].shape)
    step = 1e-3 if name in ("inverse_gamma", "log_normal", "weibull") else 0.01
    check_derivatives(p, kind, q, None, direction, step=step)


@pytest.mark.parametrize(("c", "step"), [(-0.09, 2e-3), (-0.11, 2e-3), (-0.39, 2e-3), (-0.7, 1e-3)])
def test_the_objective_of_a_density_that_ends_in_a_cell_has_its_derivatives(c, step):
    p = Tabulated.from_histogram([3, 4, 2, 1], [0, 0.02, 0.7, 1.1, 2.6])
    check_derivatives(p, GeneralizedPareto, GeneralizedPareto(c, scale=0.9), None, "forward", step=step)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_objective_of_a_held_df_has_its_derivatives(direction):
    p = Tabulated.from_histogram([1, 4, 9, 3, 2], [-3, -1, 0, 0.5, 2, 9])
    check_derivatives(p, StudentT, StudentT(5, 0.3, 1.1), None, direction, df=5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_the_objective_on_two_axes_has_its_derivatives(covariance_type, direction):
    edges = [np.array([-3.0, -1.0, 0.0, 0.5, 2.0, 5.0]), np.array([-2.0, 0.0, 1.0, 1.5, 3.0])]
    p = Tabulated.from_histogram(3.0 + np.cos(np.arange(20.0)).reshape(5, 4), edges)
    cov = {"full": [[1.1, 0.3], [0.3, 1.2]], "diag": np.diag([1.1, 1.2]), "spherical": 1.2 * np.eye(2)}
    q = MultivariateNormal([0.2, 0.1], cov[covariance_type])
    check_derivatives(p, MultivariateNormal, q, None, direction, covariance_type=covariance_type)


@pytest.mark.parametrize("name", FAMILIES)
def test_wide_cells_give_back_the_density_that_filled_them(name):
    kind = FAMILIES[name]
    q = density(name, REFERENCES[name].member)
    edges = edges_for(kind)
    edges = np.concatenate([edges[:-1], [np.inf]]) if kind._common_support[1] > 1 else edges
    edges = edges if np.isfinite(kind._common_support[0]) else np.concatenate([[-np.inf], edges])
    p = Tabulated.from_histogram(np.exp(log_masses(q, [edges])), edges)
    result = fit(p, kind, direction="forward")
    assert result.success, result.message
    assert result.divergence < 1e-15
    for parameter, _ in kind._fields:
        # a divergence below 1e-15 leaves the parameters 1e-7 of the scale, and one of little effect more
        assert getattr(result.q, parameter) == pytest.approx(getattr(q, parameter), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("bins", [7, 50, 300])
def test_a_forward_fit_is_maximum_likelihood_of_the_counts(column, bins):
    counts, edges = np.histogram(COLUMNS[column], bins)
    result = fit(Tabulated.from_histogram(counts, edges), "normal", direction="forward")
    assert result.success, result.message

    def loss(theta):
        below = stats.norm.cdf(edges, theta[0], np.exp(theta[1]))
        return -counts @ np.log(np.maximum(np.diff(below), 1e-300))

    start = [COLUMNS[column].mean(), np.log(COLUMNS[column].std())]
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    # SciPy's cells lose digits, and the simplex stops within sqrt(1e-9/n) or so of the optimum
    assert result.q.loc == pytest.approx(best.x[0], abs=1e-4 * result.q.scale)
    assert result.q.scale == pytest.approx(np.exp(best.x[1]), rel=1e-4)
    assert -result.statistics.log_likelihood == pytest.approx(best.fun, rel=1e-10)


def test_wide_bins_do_not_bias_a_heavy_tail():
    q = stats.lognorm(2, scale=40)
    edges = np.append(np.linspace(0, 60_000, 51), np.inf)
    p = Tabulated.from_histogram(np.diff(q.cdf(edges)), edges)
    found = fit(p, "log_normal", direction="forward").q
    assert found.s == pytest.approx(2, rel=1e-6)
    assert found.scale == pytest.approx(40, rel=1e-6)


def test_statistics_of_a_fit_to_counts():
    rng = np.random.default_rng(5)
    x = rng.normal(3, 2, 4000)
    counts, edges = np.histogram(x, np.linspace(-8, 14, 45))
    result = fit(Tabulated.from_histogram(counts, edges), "normal", direction="forward")
    found = result.statistics
    assert found.n == counts.sum()
    # bins of a quarter of the scale cost little information: the errors are those of the observations, to 1 percent
    assert found.standard_errors["loc"] == pytest.approx(2 / np.sqrt(found.n), rel=0.03)
    assert found.standard_errors["scale"] == pytest.approx(2 / np.sqrt(2 * found.n), rel=0.03)
    filled = counts > 0
    expected = np.exp(log_masses(result.q, [edges]))[filled]
    assert found.log_likelihood == pytest.approx(counts[filled] @ np.log(expected), rel=1e-12)
    assert found.g == pytest.approx(2 * counts[filled] @ np.log(counts[filled] / found.n / expected), rel=1e-9)
    assert (found.df, found.aic) == (41, 4 - 2 * found.log_likelihood)
    assert found.bic == pytest.approx(2 * np.log(found.n) - 2 * found.log_likelihood)
    assert found.pvalue == stats.chi2.sf(found.g, 41)
    assert 0.001 < found.pvalue < 0.999
    assert 0 < found.rare < 44
    assert "G-test" in str(result)


@pytest.mark.parametrize("case", ["reverse", "masses", "pseudocount", "table"])
def test_statistics_are_for_forward_fits_to_counts(case):
    counts, edges = np.array([2, 5, 9, 4, 1]), np.arange(6.0)
    p = {
        "reverse": Tabulated.from_histogram(counts, edges),
        "masses": Tabulated.from_histogram(counts / 21, edges),
        "pseudocount": Tabulated.from_histogram(counts, edges, pseudocount=0.5),
        "table": histogram(COLUMNS["alcohol"], 9, density=True),
    }[case]
    direction = "reverse" if case == "reverse" else "forward"
    assert fit(p, "normal", direction=direction).statistics is None


@pytest.mark.parametrize("family", ["normal", "gamma", "laplace", "weibull"])
def test_empty_cells_stop_a_reverse_fit_alone(family):
    p = histogram(COLUMNS["malic acid"], 60)
    assert fit(p, family, direction="forward").success
    empty = np.count_nonzero(p.counts == 0)
    with pytest.raises(ValueError, match=rf"{empty} of 60 cells are empty.*pseudocount.*from_samples.*forward"):
        fit(p, family, direction="reverse")
    assert fit(histogram(COLUMNS["malic acid"], 60, pseudocount=0.5), family, direction="reverse").converged


@pytest.mark.parametrize("column", COLUMNS)
def test_a_reverse_fit_is_the_best_of_many_starts(column):
    p = histogram(COLUMNS[column], 30, pseudocount=0.5)
    result = fit(p, "normal", direction="reverse")
    edges, log_p = p.edges[0], np.log(p.probabilities)

    def loss(theta):
        log_q = log_masses(Normal(theta[0], np.exp(theta[1])), [edges])
        log_q -= np.logaddexp.reduce(log_q)
        return np.exp(log_q) @ (log_q - log_p)

    rng = np.random.default_rng(1)
    starts = zip(rng.uniform(edges[0], edges[-1], 20), np.log(rng.uniform(0.1, 1.0, 20) * p.std), strict=True)
    found = [minimize(loss, start, method="Nelder-Mead", options={"fatol": 1e-10, "xatol": 1e-8}) for start in starts]
    width = edges[1] - edges[0]
    inside = [r.fun for r in found if edges[0] < r.x[0] < edges[-1] and np.exp(r.x[1]) > 0.1 * width]
    assert result.divergence <= min(inside) + 1e-8


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("counts", [[0, 7, 0, 0, 0], [0, 7, 2, 0, 0], [7, 2], [0, 0, 0, 3, 9]])
@pytest.mark.parametrize("family", ["normal", "laplace", "student_t", "gumbel"])
def test_one_or_two_filled_cells_do_not_identify_a_density(family, counts, direction):
    if direction == "reverse" and 0 in counts:
        return  # refused for its empty cells
    result = fit(Tabulated.from_histogram(counts, np.arange(len(counts) + 1.0)), family, direction=direction)
    assert not result.success
    assert not result.converged
    assert result.message.startswith("not identified: the counts fill")
    assert "max_passes" not in result.message


def test_a_flat_valley_is_not_identified():
    # every Beta with this probability of less than 1/2 fits two cells exactly, and every StudentT three open ones
    result = fit(Tabulated.from_histogram([3, 1], [0, 0.5, 1]), Beta, direction="forward")
    assert result.message.startswith("not identified")
    open_cells = Tabulated.from_histogram([3, 5, 3], [-np.inf, -1, 1, np.inf])
    result = fit(open_cells, StudentT, direction="forward")
    assert not result.success
    assert result.message.startswith("not identified")


def test_a_full_cell_between_two_others_places_a_narrow_density():
    p = Tabulated.from_histogram([2, 996, 2], [0, 1, 2, 3])
    result = fit(p, "normal", direction="forward")
    assert result.success
    assert result.q.loc == pytest.approx(1.5)
    # the mass beyond each edge is 0.002, so the edge is 2.8782 scales away
    assert 0.5 / result.q.scale == pytest.approx(2.878, abs=0.01)


def test_cells_without_ends_take_part_in_a_forward_fit_alone():
    incomes = Tabulated.from_histogram([20, 35, 30, 10, 5], [-np.inf, 20, 40, 60, 100, np.inf])
    result = fit(incomes, "normal", direction="forward")
    assert result.success
    expected = np.diff(stats.norm.cdf(incomes.edges[0], result.q.loc, result.q.scale))
    assert result.divergence == pytest.approx(stats.entropy(incomes.probabilities, expected), abs=1e-12)
    assert result.mass_outside == pytest.approx(0.0, abs=1e-14)
    with pytest.raises(ValueError, match=r"a reverse fit takes cells of finite width, but one reaches from -inf to 20"):
        fit(incomes, "normal", direction="reverse")


def test_counts_outside_the_support_of_a_family_are_named():
    p = Tabulated.from_histogram([1, 3, 5, 2], [-2, -1, 0, 1, 2])
    with pytest.raises(ValueError, match=r"a Gamma lives .*, but 2 cells outside are filled, first .*-2 to -1"):
        fit(p, Gamma, direction="forward")
    straddling = Tabulated.from_histogram([3, 5, 2, 1], [-0.5, 0.5, 1, 2, 4])
    assert fit(straddling, Gamma, direction="forward").success


def test_a_histogram_is_fitted_on_its_own_cells():
    from fastkl import Grid

    p = Tabulated.from_histogram([1, 3, 5, 2], [-2, -1, 0, 1, 2])
    with pytest.raises(ValueError, match="is fitted on its own cells: leave out the grid"):
        fit(p, "normal", Grid.uniform(-2, 2, 101), direction="forward")
    assert fit(p, "normal", p.grid, direction="forward").success


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_counts_on_two_axes_give_back_a_normal(covariance_type):
    cov = {"full": [[1.0, 0.7], [0.7, 2.0]], "diag": np.diag([1.0, 2.0]), "spherical": 1.5 * np.eye(2)}[covariance_type]
    q = MultivariateNormal([0.3, -0.5], cov)
    edges = [np.array([-np.inf, -2.0, 0.0, 1.0, 2.5, np.inf]), np.array([-np.inf, -2.0, -0.5, 1.0, np.inf])]
    p = Tabulated.from_histogram(np.exp(log_masses(q, edges)), edges)
    result = fit(p, "multivariate_normal", direction="forward", covariance_type=covariance_type)
    assert result.success, result.message
    np.testing.assert_allclose(result.q.mean, q.mean, atol=1e-6)
    np.testing.assert_allclose(result.q.cov, q.cov, atol=1e-6)


def test_counts_of_real_pairs_and_triples():
    data = load_wine().data[:, [0, 2, 6]]
    for columns in ([0, 1], [0, 1, 2]):
        counts, edges = np.histogramdd(data[:, columns], bins=[8, 7, 6][: len(columns)])
        p = Tabulated.from_histogram(counts, edges)
        assert p.n == 178
        result = fit(p, "multivariate_normal", direction="forward")
        assert result.success, result.message
        # Sheppard: cells of width h add h**2/12 to a variance
        np.testing.assert_allclose(result.q.mean, data[:, columns].mean(axis=0), rtol=0.02)
        np.testing.assert_allclose(result.q.cov, np.cov(data[:, columns].T), rtol=0.3, atol=0.02)
        smooth = Tabulated.from_histogram(counts, edges, pseudocount=0.05)
        assert fit(smooth, "multivariate_normal", direction="reverse", mass_tol=1).converged


def test_the_other_direction_of_a_fit_counts_by_cells_too():
    p = histogram(COLUMNS["alcohol"], 12)
    result = fit(p, "normal", direction="forward")
    assert result.forward == pytest.approx(kl_divergence(p, result.q), rel=1e-13)
    assert result.reverse == pytest.approx(kl_divergence(result.q, p), rel=1e-13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(result)


def test_a_result_and_its_statistics_outlive_json():
    import json

    from fastkl import FitResult

    result = fit(Tabulated.from_histogram([3, 9, 12, 4, 2], np.arange(6.0)), "gamma", direction="forward")
    content = json.loads(json.dumps(result.to_dict(values=True), allow_nan=False))
    again = FitResult.from_dict(content)
    assert again.statistics == result.statistics
    assert (again.q, again.p.n) == (result.q, 30)
    assert FitResult.from_dict(json.loads(json.dumps(result.to_dict()))).statistics == result.statistics
    assert "G-test" in result._repr_html_()


def test_a_steep_end_of_a_generalized_pareto_is_no_limit_in_cells():
    from scipy.stats import genpareto

    edges = np.array([0, 0.4, 0.8, 1.1, 1.3, 1.45])
    q = genpareto(-0.7)  # it ends at 1.4286, in the last cell
    p = Tabulated.from_histogram(np.diff(q.cdf(edges)), edges)
    result = fit(p, "generalized_pareto", direction="forward")
    assert result.success, result.message
    assert (result.q.c, result.q.scale) == (pytest.approx(-0.7, abs=1e-6), pytest.approx(1, abs=1e-6))
    box = fit(Tabulated.from_histogram([1, 1, 1, 1.5], np.arange(5.0)), "generalized_pareto", direction="forward")
    assert box.message == "no minimum: c has passed -1: q is infinite where it ends"


def test_a_mixture_is_fitted_to_counts():
    from sklearn.datasets import load_iris
    from sklearn.mixture import GaussianMixture

    x = load_iris().data[:, 2]
    counts, edges = np.histogram(x, np.arange(0.85, 7.1, 0.1))
    p = Tabulated.from_histogram(counts, edges)
    result = fit(p, "mixture", direction="forward", n_components=2)
    assert result.success, result.message
    weights = np.array(result.q.weights)
    of_parts = [np.diff(stats.norm.cdf(edges, c.loc, c.scale)) for c in result.q.components]
    filled = counts > 0
    log_likelihood = counts[filled] @ np.log((weights @ of_parts)[filled])
    assert result.divergence == pytest.approx(-stats.entropy(counts) - log_likelihood / 150, abs=1e-9)
    # against the likelihood of the single observations, cells of 0.1 lose little
    by_points = GaussianMixture(2, n_init=5, random_state=0).fit(x[:, None])
    np.testing.assert_allclose([c.loc for c in result.q.components], np.sort(by_points.means_.ravel()), atol=0.02)
    assert result.statistics.aic < fit(p, "normal", direction="forward").statistics.aic


def test_a_mixture_in_cells_without_ends_gives_back_itself():
    from fastkl import Mixture

    q = Mixture([Normal(-1, 0.5), Normal(2, 1)], [0.3, 0.7])
    edges = np.concatenate([[-np.inf], np.linspace(-3, 5, 13), [np.inf]])
    p = Tabulated.from_histogram(np.exp(log_masses(q, [edges])), edges)
    result = fit(p, "mixture", direction="forward", n_components=2)
    assert result.divergence < 1e-14
    assert [c.loc for c in result.q.components] == pytest.approx([-1, 2], abs=1e-4)


@pytest.mark.parametrize("family", ["normal", "gamma", "weibull", "logistic", "laplace"])
def test_narrow_cells_beside_wide_ones_are_told_apart_in_reverse(family):
    p = Tabulated.from_histogram([25, 25, 25, 25], [0, 110, 113, 117, 255])
    forward = fit(p, family, direction="forward")
    result = fit(p, family, direction="reverse")
    assert result.success, result.message
    assert result.divergence <= kl_divergence(forward.q, p)


def test_a_component_on_an_edge_ends_in_a_few_passes():
    counts, edges = np.histogram(load_breast_cancer().data[:, 13], 30)
    p = Tabulated.from_histogram(counts, edges)
    result = fit(p, "mixture", direction="forward", n_components=2, max_passes=10_000)
    assert "max_passes" not in result.message
    assert result.gradient_norm <= 1e-9
    assert result.passes < 5000
