"""Fits of every family on the line, in both directions."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import digamma, polygamma
from scipy.stats import genpareto

import fastkl
from fastkl import (
    Beta,
    Gamma,
    GeneralizedPareto,
    Grid,
    Laplace,
    Logistic,
    LogNormal,
    Mixture,
    Normal,
    StudentT,
    Tabulated,
    Weibull,
    fit,
    kl_divergence,
    kl_objective,
)
from fastkl.families import FAMILIES
from fastkl.jit import JIT_DISABLED
from tests.laws import check_derivatives
from tests.references import REFERENCES, density

slow = pytest.mark.skipif(
    JIT_DISABLED, reason="runs on grids of thousands of points take minutes without compiled code"
)
DIRECTIONS = ("forward", "reverse")
both_directions = pytest.mark.parametrize("direction", DIRECTIONS)

MEMBERS = {name: (density(name, reference.member), reference.grid) for name, reference in REFERENCES.items()}
"""A member of each family, and a grid for it."""
TWO_BUMPS = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
every_family = pytest.mark.parametrize("name", MEMBERS)


def table_of(p, grid):
    return Tabulated(grid, p.logpdf(grid.axes[0]), log=True)


def numbers(q):
    return np.array([getattr(q, field) for field in q.__dataclass_fields__])


@slow
@every_family
@both_directions
def test_a_formula_is_its_own_fit(name, direction):
    p = MEMBERS[name][0]
    result = fit(p, name, direction=direction)
    assert result.success, result.message
    assert type(result.q) is type(p)
    # a gradient of gtol = 1e-9 is a distance of about 1e-9 over the smallest eigenvalue, which is 0.01 or more here;
    # and the square of that distance, times the curvature, is a divergence
    np.testing.assert_allclose(numbers(result.q), numbers(p), rtol=1e-7)
    assert 0 <= result.divergence < 1e-14
    assert len(result.minima) == 1


@slow
@every_family
def test_a_table_is_its_own_fit_in_reverse(name):
    p, grid = MEMBERS[name]
    result = fit(table_of(p, grid), name, direction="reverse")
    assert result.converged
    assert result.success or name == "laplace", result.message  # whose kink lies between two nodes: see the error
    # both are divided by their sums over the same nodes, so that the grid plays no part
    np.testing.assert_allclose(numbers(result.q), numbers(p), rtol=1e-7)
    assert 0 <= result.divergence < 1e-14


@every_family
def test_a_table_is_its_own_fit_forward_as_far_as_the_grid_is_fine(name):
    p, grid = MEMBERS[name]
    result = fit(table_of(p, grid), name, grid, direction="forward")
    assert result.converged
    # q is not divided by its sum S over the nodes, so the fit is off by S - 1 and the slopes of S, over the curvature
    step = 1e-3
    slopes = [abs(grid.integrate(type(p)(*moved).pdf(grid.axes[0])) - 1) for moved in _around(p, step)]
    largest = max(slopes) / step + 1e-9
    np.testing.assert_allclose(numbers(result.q), numbers(p), rtol=30 * largest)


def _around(p, step):
    """p itself, and p with each parameter moved by a share of itself."""
    yield numbers(p)
    for i, number in enumerate(numbers(p)):
        for side in (-step, step):
            moved = numbers(p)
            moved[i] += side * number
            yield moved


# the sums of these q over the grids are not above 1; p is a bump that no family has
SHAPES = {name: (density(name, reference.shape), reference.grid_of_shape, {}) for name, reference in REFERENCES.items()}
SHAPES["student_t of df"] = (StudentT(2.2, 0.3, 1.1), REFERENCES["student_t"].grid_of_shape, {"df": 2.2})


@slow
@both_directions
@pytest.mark.parametrize("name", SHAPES)
def test_derivatives(name, direction):
    q, grid, options = SHAPES[name]
    x = grid.axes[0]
    u = (x - x[0]) / (x[-1] - x[0])
    p = Tabulated(grid, 3 * np.log(u + 0.1) + 5 * np.log(1.1 - u) + 0.3 * np.sin(9 * u), log=True)
    family = name.split()[0]
    check_derivatives(p, family, q, grid, direction, REFERENCES[family].step, **options)


@slow
@both_directions
@pytest.mark.parametrize("name", [name for name in REFERENCES if name != "laplace"])  # whose kink meets nodes
def test_derivatives_where_the_grid_holds_more_of_q_than_of_p(name, direction):
    """KL(q||p) then has the logarithm of the masses on top; forward it is a constant where p is cut more."""
    q, support = density(name, REFERENCES[name].shape), FAMILIES[name]._common_support
    inside = support[0] == 0.0
    grid = Grid.from_edges(np.linspace(*((0.1, 0.8) if support[1] == 1.0 else (1.0, 9.0)), 301)) if inside else None
    grid = Grid.uniform(-3, 4, 301) if grid is None else grid
    wide = Beta(0.8, 0.9) if support[1] == 1.0 else Gamma(2, 0, 8) if inside else Normal(2, 6)
    more = kl_divergence(q, wide, grid, full_output=True)
    assert more.mass_outside_p < more.mass_outside_q
    if direction == "reverse":
        check_derivatives(wide, name, q, grid, direction, REFERENCES[name].step)
    else:  # what is fitted forward must hold more than q for the logarithm to be a constant
        narrow = Beta(30, 35) if support[1] == 1.0 else Gamma(40, 0, 0.1) if inside else Normal(0.4, 0.3)
        check_derivatives(narrow, name, q, grid, direction, REFERENCES[name].step)


@slow
@pytest.mark.parametrize(
    ("p", "member"),
    [
        (GeneralizedPareto(-0.3, 0, 2), GeneralizedPareto(-0.3, 0, 2)),
        (Beta(1, 3), GeneralizedPareto(-1 / 3, 0, 1 / 3)),
        (Beta(1, 2.5), GeneralizedPareto(-0.4, 0, 0.4)),
    ],
)
def test_forward_of_a_density_that_ends_where_p_does(p, member):
    result = fit(p, "generalized_pareto", direction="forward")
    assert result.success, result.message
    assert result.q.support[1] >= p.support[1]
    np.testing.assert_allclose(numbers(result.q), numbers(member), rtol=1e-7)
    assert 0 <= result.divergence < 1e-14


@slow
@pytest.mark.parametrize(("p", "best"), [(Weibull(1.3, 0, 2), 0.0), (Beta(1.2, 4), None)])
def test_forward_where_q_would_end_before_p_there_is_no_minimum(p, best):
    result = fit(p, "generalized_pareto", direction="forward")
    assert not result.success
    assert "q would be closer to p if it ended before p does" in result.message
    if best is None:
        assert result.q.support[1] == pytest.approx(p.support[1], rel=1e-6)
    else:
        assert result.q.c == pytest.approx(best, abs=1e-8)  # an exponential density, with the mean of p
        assert result.q.scale == pytest.approx(p.mean, rel=1e-3)


NODES_AT_0 = Grid.uniform(0, 1, 2001)


@slow
@pytest.mark.parametrize("grid", [Grid.gauss_legendre(0, 1, 200), NODES_AT_0], ids=["panels", "nodes at 0"])
def test_forward_of_a_table_may_end_beyond_it(grid):
    p = Tabulated(grid, GeneralizedPareto(-0.3, 0, 0.4).pdf(grid.axes[0]))
    result = fit(p, "generalized_pareto", direction="forward")
    assert result.converged, result.message
    assert result.q.support[1] > 1.0
    share, x = share_of_nodes(p), grid.axes[0]

    def cross_entropy(theta):
        return -share @ genpareto.logpdf(x, theta[0], 0, np.exp(theta[1]))

    best = minimize(cross_entropy, [-0.2, -1.0], method="Nelder-Mead", tol=1e-12)
    # the search stops where differences of values of about 1 have no digits left
    np.testing.assert_allclose([result.q.c, np.log(result.q.scale)], best.x, atol=1e-5)


def test_forward_of_counts_of_sunspots_is_the_maximum_likelihood():
    sunspots = pytest.importorskip("statsmodels.api").datasets.sunspots.load_pandas().data["SUNACTIVITY"]
    counts, edges = np.histogram(sunspots[sunspots > 0], 60, (0, 194))
    q = fit(counts, "generalized_pareto", Grid.from_edges(edges), direction="forward").q
    # scipy.stats.genpareto.fit(x, floc=0) gives c = -0.2887 and scale 64.86 for the observations themselves
    assert q.c == pytest.approx(-0.288, abs=2e-3)
    assert q.scale == pytest.approx(64.7, abs=0.1)


@slow
def test_a_generalized_pareto_that_ends_too_steeply_says_so():
    result = fit(Beta(1, 1.5), "generalized_pareto", direction="forward")
    assert not result.success
    assert "c has passed -0.5" in result.message


LINE = Grid.uniform(-30, 30, 241 if JIT_DISABLED else 601)
HALF_LINE = Grid.from_edges(np.linspace(0, np.sqrt(60), 201 if JIT_DISABLED else 601) ** 2)
UNIT = Grid.from_edges(np.linspace(0, 1, 201 if JIT_DISABLED else 401))
P = Mixture([Normal(-2, 0.9), Normal(2, 1.6)], [0.3, 0.7])


def forward_table(grid):
    x = grid.axes[0]
    u = x / grid.upper[0]
    return Tabulated(grid, 2 * np.log(u) + 3 * np.log1p(-u) + 0.5 * np.sin(7 * u), log=True)


def share_of_nodes(p):
    """The mass of p at each node."""
    return p.grid.weights[0] * p.pdf(p.grid.axes[0])


def test_forward_gamma_has_the_means_of_x_and_log_x():
    p = forward_table(HALF_LINE)
    q, share, x = fit(p, "gamma", direction="forward", gtol=1e-13).q, share_of_nodes(p), HALF_LINE.axes[0]
    # the parameters follow from Newton steps to 1e-13; the means are sums, rounded to a few 1e-16
    np.testing.assert_allclose(q.a * q.scale, share @ x, rtol=1e-12)
    np.testing.assert_allclose(digamma(q.a) + np.log(q.scale), share @ np.log(x), rtol=1e-12)


def test_forward_beta_has_the_means_of_both_logarithms():
    p = forward_table(UNIT)
    q, share, x = fit(p, "beta", direction="forward", gtol=1e-13).q, share_of_nodes(p), UNIT.axes[0]
    both = digamma(q.a + q.b)
    np.testing.assert_allclose(digamma(q.a) - both, share @ np.log(x), rtol=1e-12)
    np.testing.assert_allclose(digamma(q.b) - both, share @ np.log1p(-x), rtol=1e-12)


def test_forward_log_normal_has_the_moments_of_log_x():
    p = forward_table(HALF_LINE)
    q, share, logs = (
        fit(p, "log_normal", direction="forward", gtol=1e-13).q,
        share_of_nodes(p),
        np.log(HALF_LINE.axes[0]),
    )
    mean = share @ logs
    np.testing.assert_allclose(np.log(q.scale), mean, rtol=1e-12)
    np.testing.assert_allclose(q.s**2, share @ (logs - mean) ** 2, rtol=1e-12)


MANY = {
    "gamma": (Grid.uniform(1e-3, 60, 2_000_001), Gamma(3, 0, 1), lambda q: q.a * q.scale),
    "log_normal": (Grid.uniform(1e-3, 60, 2_000_001), LogNormal(0.4, 4), lambda q: np.log(q.scale)),
    "beta": (Grid.uniform(1e-5, 1 - 1e-5, 2_000_001), Beta(3, 5), lambda q: digamma(q.a) - digamma(q.a + q.b)),
    "normal": (Grid.uniform(-9, 90, 2_000_001), Normal(1, 2), lambda q: q.loc),
}
"""A grid with more points than are looked at first, a member, and what a forward fit has in common with p."""
OF_X = {"gamma": lambda x: x, "log_normal": np.log, "beta": np.log, "normal": lambda x: x}


def is_fitted(name, p, **tolerances):
    grid, _, common = MANY[name]
    result = fit(p, name, direction="forward", **tolerances)
    assert result.converged
    np.testing.assert_allclose(common(result.q), share_of_nodes(p) @ OF_X[name](grid.axes[0]), rtol=1e-12)
    assert result.divergence == pytest.approx(kl_divergence(p, result.q, grid), rel=1e-12, abs=1e-14)


@slow
@pytest.mark.parametrize("noise", [0.0, 1.0])  # of noise, few points tell as much as a small sample
@pytest.mark.parametrize("name", MANY)
def test_forward_of_many_points(name, noise):
    grid, member, _ = MANY[name]
    x = grid.axes[0]
    logs = member.logpdf(x) + 0.3 * np.sin(x * 100 / np.ptp(x))
    logs += noise * np.random.default_rng(7).normal(size=x.size)
    is_fitted(name, Tabulated(grid, logs, log=True), gtol=1e-13)


@slow
@pytest.mark.parametrize("name", ["gamma", "log_normal", "normal"])  # a Beta would have b = 10^8, and too few digits
def test_forward_of_what_few_points_do_not_show(name):
    grid, _, _ = MANY[name]
    logs = -0.5 * ((np.arange(grid.size) - 2_013.0) / 5.0) ** 2
    is_fitted(name, Tabulated(grid, logs, log=True), gtol=1e-10)


@slow
@both_directions
@pytest.mark.parametrize("relative", [0.01, 1e-3, 1e-4])
@pytest.mark.parametrize(("name", "place"), [("gamma", 5.0), ("beta", 0.3), ("log_normal", 5.0)])
def test_a_narrow_density_keeps_its_digits(name, place, relative, direction):
    scale = relative * place  # of a Gamma, a = 1/relative**2
    grid = Grid.uniform(place - 12 * scale, place + 12 * scale, 20_001)
    p = Mixture([Normal(place - scale, 0.7 * scale), Normal(place + scale, 0.7 * scale)])
    p = Tabulated(grid, p.logpdf(grid.axes[0]), log=True)
    result = fit(p, name, direction=direction)
    pair = (p, result.q) if direction == "forward" else (result.q, p)
    assert result.divergence == pytest.approx(kl_divergence(*pair, grid), rel=1e-12)
    # a place is known to an ulp, and moves the gradient by place**2/scale**2 of that
    assert result.gradient_norm < max(1e-9, 100 * 2.2e-16 / relative**2)


def test_forward_laplace_of_a_table_has_its_median_and_mean_distance():
    p = table_of(P, LINE)
    result = fit(p, "laplace", direction="forward")
    q, share, x = result.q, share_of_nodes(p), LINE.axes[0]
    assert q.loc == x[np.searchsorted(np.cumsum(share), 0.5)]  # the node where half of the mass is passed
    assert share[x < q.loc].sum() <= 0.5 <= share[x <= q.loc].sum()
    np.testing.assert_allclose(q.scale, share @ np.abs(x - q.loc), rtol=1e-12)
    assert result.converged


@slow
def test_forward_laplace_of_a_formula_has_its_median_and_mean_distance():
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.stats import norm

    result = fit(P, Laplace, direction="forward")
    assert result.success, result.message
    parts = list(zip(P.weights, P.components, strict=True))
    median = brentq(lambda x: sum(w * norm.cdf(x, n.loc, n.scale) for w, n in parts) - 0.5, -5, 5, xtol=1e-14)
    distance = quad(lambda x: abs(x - median) * P.pdf(x), -30, 30, points=[-2, median, 2], epsabs=1e-12, limit=200)[0]
    assert result.q.loc == pytest.approx(median, abs=1e-9)  # gtol
    assert result.q.scale == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("name", ["logistic", "student_t"])
def test_forward_scores_have_no_mean(name):
    p = table_of(Mixture([Normal(0.3, 0.8), Normal(1, 3)]), LINE)
    result = fit(p, name, direction="forward", gtol=1e-12)
    assert result.converged
    q, share, x = result.q, share_of_nodes(p), LINE.axes[0]
    z = (x - q.loc) / q.scale
    if name == "logistic":
        of_z = -np.tanh(z / 2)
    else:
        of_z = -(q.df + 1) * z / (q.df + z * z)
        of_df = digamma((q.df + 1) / 2) - digamma(q.df / 2) - 1 / q.df - np.log1p(z * z / q.df)
        of_df += (q.df + 1) * z * z / (q.df * (q.df + z * z))
        assert share @ of_df * q.df / 2 == pytest.approx(0, abs=2e-12)
    # twice gtol
    assert share @ of_z == pytest.approx(0, abs=2e-12)
    assert share @ (-z * of_z - 1) == pytest.approx(0, abs=2e-12)


CLOSED = {
    "log_normal of a gamma": (Gamma(2.5, 0, 1.5), "log_normal"),
    "gamma of a log_normal": (LogNormal(0.5, 2), "gamma"),
    "laplace of a normal": (Normal(1, 2), "laplace"),
    "normal of a laplace": (Laplace(1, 2), "normal"),
    "normal of a gamma": (Gamma(4, 0, 0.5), "normal"),
    "normal of a beta": (Beta(2, 3), "normal"),
}


def closed_forward(case):
    """The forward fit in closed form, where the conditions above can be solved."""
    if case == "log_normal of a gamma":
        return LogNormal(np.sqrt(polygamma(1, 2.5)), 1.5 * np.exp(digamma(2.5)))
    if case == "gamma of a log_normal":
        from scipy.optimize import brentq

        mean, log_mean = 2 * np.exp(0.125), np.log(2)
        a = brentq(lambda a: np.log(a) - digamma(a) - np.log(mean) + log_mean, 0.1, 100, xtol=1e-14)
        return Gamma(a, 0, mean / a)
    if case == "laplace of a normal":
        return Laplace(1, 2 * np.sqrt(2 / np.pi))
    p = CLOSED[case][0]
    return Normal(p.mean, p.std)


@slow
@pytest.mark.parametrize("case", CLOSED)
def test_forward_in_closed_form(case):
    p, family = CLOSED[case]
    result = fit(p, family, direction="forward")
    assert result.success, result.message
    expected = closed_forward(case)
    # gtol = 1e-9 over a curvature of 0.3 or more; p has a grid good to 1e-10
    np.testing.assert_allclose(numbers(result.q), numbers(expected), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(result.divergence, kl_divergence(p, expected), rtol=1e-9)


@slow
def test_reverse_in_closed_form():
    """KL(q||p) of a Laplace and a Normal p = N(m, s): loc = m, and -log b + (b/s)**2 is least at b = s/sqrt(2)."""
    result = fit(Normal(1, 2), "laplace", direction="reverse")
    assert result.success, result.message
    np.testing.assert_allclose(numbers(result.q), [1, np.sqrt(2)], rtol=1e-8)


@slow
@both_directions
def test_a_held_df_stays(direction):
    p, grid = MEMBERS["student_t"]
    table = table_of(p, grid)
    free = fit(table, "student_t", direction=direction)
    held = fit(table, StudentT, direction=direction, df=3)
    assert held.q.df == 3
    assert held.converged
    assert len(held.parameter_names) == len(free.parameter_names) - 1
    assert held.divergence > free.divergence + 1e-4
    same = fit(table, "student_t", direction=direction, df=free.q.df)
    np.testing.assert_allclose(numbers(same.q), numbers(free.q), rtol=1e-7)


@slow
@pytest.mark.parametrize("grid", [None, MEMBERS["normal"][1]], ids=["no grid", "a grid"])
def test_a_normal_has_no_df(grid):
    result = fit(Normal(1, 2), "student_t", grid, direction="reverse")
    assert not result.success
    assert result.minima == ()
    assert "df" in result.message
    assert result.q.df > 1e4  # the best so far


@pytest.mark.parametrize("df", [0, -1.5, np.nan, "a"])
def test_a_df_that_is_none_is_refused(df):
    with pytest.raises((ValueError, TypeError), match=rf"df.*{df}"):
        fit(P, "student_t", LINE, direction="forward", df=df)


def test_df_is_for_a_student_t():
    with pytest.raises(ValueError, match=r"df=3 is for the family 'student_t'"):
        fit(P, "normal", LINE, direction="forward", df=3)


SPELLINGS = {name: (family, family.__name__, name.upper(), name.replace("_", "")) for name, family in FAMILIES.items()}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_family_is_a_class_or_its_name(name):
    p, grid = MEMBERS[name]
    table, family = table_of(p, grid), FAMILIES[name]
    names = kl_objective(table, name, grid, direction="reverse").names
    for spelling in SPELLINGS[name]:
        assert type(kl_objective(table, spelling, grid, direction="reverse").density([0.0] * len(names))) is family
    assert type(fit(table, SPELLINGS[name][0], direction="forward").q) is SPELLINGS[name][0]


@pytest.mark.parametrize("family", ["norm", "t", "", None, 3, Normal(0, 1), "uniform", Tabulated])
def test_an_unknown_family_is_named_with_those_that_are_known(family):
    with pytest.raises(ValueError, match=r"'student_t'.*got") as caught:
        fit(P, family, LINE, direction="forward")
    assert str(family) in str(caught.value)
    assert all(f"'{name}'" in str(caught.value) for name in MEMBERS)


@slow
@pytest.mark.parametrize("name", ["laplace", "logistic", "student_t"])
def test_starts_lead_to_known_minima(name):
    p = table_of(Mixture([StudentT(5, -8, 0.7), StudentT(5, 8, 0.7)]), LINE)  # df has an end, too
    plain = fit(p, name, direction="reverse")
    member = {"laplace": Laplace(7, 1), "logistic": Logistic(7, 1), "student_t": StudentT(9, 7, 1)}[name]
    given = fit(p, name, direction="reverse", starts=[member, (-7, 2), Normal(7, 0.5)])
    assert [m.q.loc for m in plain.minima[:2]] == pytest.approx([-8, 8], abs=0.1)
    assert given.divergence == pytest.approx(plain.divergence, rel=1e-12)
    # a sum over nodes has a kink wherever the loc of a Laplace meets a node, and so minima on both sides of it
    apart = LINE._line.step if name == "laplace" else 1e-6
    for m in given.minima:
        assert min(abs(m.q.loc - known.q.loc) for known in plain.minima) < apart


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Laplace(0, 1), r"Gamma.*Laplace"),
        (Gamma(2, 1, 1), r"loc = 0.*loc=1"),
        (3, r"density or a pair.*3"),
        ((1, 2, 3), r"density or a pair.*\(1, 2, 3\)"),
        (fastkl.MultivariateNormal([0, 0], np.eye(2)), r"1 dimensions"),
    ],
    ids=str,
)
def test_a_start_that_is_none_is_refused(start, words):
    p, grid = MEMBERS["gamma"]
    with pytest.raises((ValueError, TypeError), match=words):
        fit(table_of(p, grid), "gamma", direction="reverse", starts=[start])


@both_directions
@pytest.mark.parametrize("family", ["gamma", "log_normal"])
def test_a_family_of_the_half_line_is_refused_on_negative_axes(family, direction):
    with pytest.raises(ValueError, match=r"between 0 and inf.*-1.5"):
        fit(Normal(1, 2), family, Grid.uniform(-1.5, 4, 101), direction=direction)


@both_directions
@pytest.mark.parametrize(("lower", "upper", "value"), [(0.25, 1.25, "1.25"), (-0.5, 0.9, "-0.5")])
def test_a_beta_is_refused_outside_the_unit_interval(lower, upper, value, direction):
    with pytest.raises(ValueError, match=rf"Beta.*between 0 and 1.*{value}"):
        fit(Normal(0.5, 0.2), "beta", Grid.uniform(lower, upper, 101), direction=direction)


@pytest.mark.parametrize("family", ["gamma", "log_normal"])
def test_a_node_at_the_end_of_the_support_is_refused_forward_where_p_is_positive(family):
    with pytest.raises(ValueError, match=r"positive at x = 0.*from_edges"):
        fit(Normal(1, 2), family, Grid.uniform(0, 14, 101), direction="forward")


@slow
@both_directions
def test_a_node_at_the_end_of_the_support_is_fine_where_both_are_0(direction):
    grid = Grid.uniform(0, 60, 601)
    result = fit(table_of(Gamma(3, 0, 2), grid), "gamma", direction=direction)
    assert result.converged
    # the trapezoid rule errs by step**2/12 times the jump of the slopes at 0, which are 0: by the fourth order
    np.testing.assert_allclose(numbers(result.q), [3, 0, 2], rtol=1e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_more_axes_need_a_multivariate_normal(name):
    p = fastkl.MultivariateNormal([0, 0], np.eye(2))
    with pytest.raises(ValueError, match=r"one of 2.*multivariate_normal"):
        fit(p, name, Grid.uniform([-5, -5], [5, 5], 21), direction="forward")


@slow
@both_directions
@every_family
def test_str_names_the_parameters(name, direction):
    p, grid = MEMBERS[name]
    text = str(fit(table_of(p, grid), name, direction=direction))
    if name != "normal":
        assert type(p).__name__ in text
        assert all(f"{field}=" in text for field in p.__dataclass_fields__)
    assert "KL(p||q)" in text


@slow
@pytest.mark.parametrize("name", ["laplace", "logistic", "student_t"])
def test_affine_equivariance(name):
    factor, shift = 1e-3, 500.0
    moved = Mixture([Normal(shift + factor * n.loc, factor * n.scale) for n in P.components], P.weights)
    there_grid = Grid.uniform(shift - 30 * factor, shift + 30 * factor, LINE.size)
    for direction in DIRECTIONS:
        here, there = fit(P, name, LINE, direction=direction), fit(moved, name, there_grid, direction=direction)
        # places of about 500 are rounded to 1e-13, which is 1e-10 of the scale
        np.testing.assert_allclose(there.divergence, here.divergence, rtol=1e-8)
        np.testing.assert_allclose((there.q.loc - shift) / factor, here.q.loc, atol=1e-6)
        np.testing.assert_allclose(there.q.scale / factor, here.q.scale, rtol=1e-6)


@slow
def test_a_reverse_laplace_has_its_kink_where_the_integral_wants_it():
    # minimised by composite Gauss-Legendre quadrature broken at loc, and Nelder-Mead
    result = fit(TWO_BUMPS, "laplace", direction="reverse")
    assert result.success, result.message
    found = [(m.q.loc, m.q.scale, m.divergence) for m in result.minima]
    expected = [(-1.96896722, 0.46568936, 0.735950666184), (1.96896722, 0.46568936, 0.735950666184)]
    np.testing.assert_allclose(found, expected, rtol=2e-8)


@slow
@pytest.mark.parametrize("df", [1.0, 1.5, 2.0])
def test_an_infinite_divergence_is_no_success(df):
    forward = fit(StudentT(df), "normal", direction="forward")
    assert not forward.success
    assert "inf" in forward.message
    reverse = fit(TWO_BUMPS, "student_t", direction="reverse", df=df)
    assert not reverse.success


@slow
def test_a_start_that_the_nodes_cannot_see_does_no_harm():
    result = fit(Normal(0, 1), "normal", direction="reverse", starts=[(0, 1e-300), (0, 1e300), (1e300, 1)])
    assert result.success, result.message
    assert result.divergence < 1e-15
    with pytest.raises(TypeError, match="starts is a sequence"):
        fit(Normal(0, 1), "normal", direction="reverse", starts=Normal(0, 1))


@slow
def test_forward_log_normal_of_a_pole():
    result = fit(Gamma(0.5), "log_normal", direction="forward")
    np.testing.assert_allclose(result.q.s, np.sqrt(polygamma(1, 0.5)), rtol=1e-9)
    np.testing.assert_allclose(result.q.scale, np.exp(digamma(0.5)), rtol=1e-9)


@pytest.mark.parametrize("family", ["gamma", "normal"])
def test_a_pole_at_a_node_is_named(family):
    with pytest.raises(ValueError, match=r"infinite at the node x = 0\.0"):
        fit(Gamma(0.5), family, Grid.uniform(0, 40, 101), direction="reverse" if family == "gamma" else "forward")


def test_a_support_that_does_not_hold_the_grid_is_named():
    with pytest.raises(ValueError, match="p lives between 0 and inf"):
        fit(Gamma(3), "normal", Grid.uniform(-1, 20, 101), direction="reverse")


@slow
@pytest.mark.parametrize("s", [1.0, 2.0, 3.0, 4.0])
def test_moments_on_a_grid_far_wider_than_p(s):
    p = LogNormal(s)  # its panels reach up to 10^22
    result = fit(p, "normal", direction="forward")
    assert result.success
    np.testing.assert_allclose([result.q.loc, result.q.scale], [p.mean, p.std], rtol=1e-11)
    table = Tabulated(grid := Grid.from_edges(np.geomspace(1e-9, 1e22, 100_001)), p.logpdf(grid.axes[0]), log=True)
    result = fit(table, "normal", direction="forward")
    share, x = share_of_nodes(table), grid.axes[0]
    np.testing.assert_allclose(result.q.loc, share @ x, rtol=1e-13)
    np.testing.assert_allclose(result.q.scale**2, share @ (x - share @ x) ** 2, rtol=1e-13)


@slow
def test_a_forward_gamma_of_a_heavy_tail():
    result = fit(LogNormal(2), "gamma", direction="forward")
    assert result.success
    np.testing.assert_allclose(result.q.a * result.q.scale, np.exp(2), rtol=1e-9)
    np.testing.assert_allclose(digamma(result.q.a) + np.log(result.q.scale), 0.0, atol=1e-9)


@slow
@pytest.mark.parametrize("df", [1.0, 1.5, 2.0])
def test_a_reverse_fit_to_tails_that_no_forward_one_could_cover(df):
    result = fit(StudentT(df), "normal", direction="reverse")
    assert result.success
    assert result.divergence == pytest.approx(kl_divergence(result.q, StudentT(df)), rel=1e-9)


def test_a_sum_above_1_is_part_of_the_error():
    x = np.geomspace(6e-8, 34, 1000)
    p = Tabulated(Grid.from_axes(x), Gamma(0.6).logpdf(x), log=True)
    result = fit(p, "gamma", direction="forward")
    inside = 1.0 - result.q.mass_outside(p.grid)
    truth = result.divergence - np.log(inside)  # q was counted as if all of it were inside
    assert abs(result.divergence - truth) <= result.quadrature_error
    assert result.success  # the sum over the table is what was asked for
    assert "rtol" in fit(p, "gamma", direction="forward", rtol=1e-6).message


@pytest.mark.parametrize("family", ["normal", "laplace", "gamma"])
def test_one_node_that_outweighs_all_others_is_named(family):
    logs = np.full(101, -700.0)
    logs[40] = 0.0
    with pytest.raises(ValueError, match=r"single grid point x = 4\.00"):
        fit(logs, family, Grid.uniform(0.01, 10, 101), direction="forward", log=True)


def test_two_cells_say_nothing_of_the_error():
    result = fit([1.0, 2.0], "normal", Grid.from_edges([0, 1, 2]), direction="forward")
    assert result.quadrature_error == np.inf
    assert not result.success


@slow
def test_the_divergence_of_a_run_that_escaped_is_that_of_the_whole_grid():
    p = Tabulated(Grid.from_edges(np.linspace(0, 1, 30_001)), np.ones(30_000))
    result = fit(p, "log_normal", direction="reverse")
    assert "escaped" in result.message
    assert result.divergence == kl_divergence(result.q, p)


@slow
def test_a_reverse_fit_whose_tails_decide_takes_a_grid_for_them():
    # KL(q||p) is E[x**2]/2 - log(scale) + ..., least where the variance of q is 1
    result = fit(Normal(0, 1), "student_t", df=3, direction="reverse")
    assert result.success
    np.testing.assert_allclose(result.q.scale, np.sqrt(1 / 3), rtol=1e-9)
