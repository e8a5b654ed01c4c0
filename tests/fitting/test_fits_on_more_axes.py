"""Fits of a MultivariateNormal, in both directions."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fastkl import (
    Beta,
    Grid,
    Mixture,
    MultivariateNormal,
    Normal,
    Tabulated,
    as_density,
    fit,
    kl_divergence,
    kl_objective,
)
from fastkl.jit import JIT_DISABLED
from tests.laws import check_derivatives

NAME = "multivariate_normal"
TYPES = ("full", "diag", "spherical")
slow = pytest.mark.skipif(
    JIT_DISABLED, reason="hundreds of passes over thousands of points take minutes in plain Python"
)
both_directions = pytest.mark.parametrize("direction", ["forward", "reverse"])
every_type = pytest.mark.parametrize("covariance_type", TYPES)
dimensions = pytest.mark.parametrize(
    "ndim", [1, 2, pytest.param(3, marks=slow), pytest.param(4, marks=slow)], ids="{} axes".format
)


def correlated(ndim):
    scales = np.array([1.0, 0.8, 1.2, 0.9])[:ndim]
    return MultivariateNormal(
        np.array([0.5, -1.0, 0.0, 2.0])[:ndim], np.outer(scales, scales) * (0.3 + 0.7 * np.eye(ndim))
    )


def independent(ndim, covariance_type):
    """A member of the family."""
    p = correlated(ndim)
    cov = {"full": p.cov, "diag": np.diag(np.diag(p.cov)), "spherical": 0.7 * np.eye(ndim)}[covariance_type]
    return MultivariateNormal(p.mean, cov)


POINTS = {1: 61 if JIT_DISABLED else 121, 2: 21 if JIT_DISABLED else 41, 3: 31, 4: 21}


def grid_of(p, reach=6.0, points=None):
    """Steps of 0.6 standard deviations or less, which sums of a Normal do not notice."""
    std = np.sqrt(np.diag(np.atleast_2d(p.cov)))
    return Grid.uniform(p.mean - reach * std, p.mean + reach * std, points or POINTS[p.ndim])


def points_of(grid):
    return np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)


def table_of(p, grid):
    return Tabulated(grid, p.logpdf(points_of(grid)).reshape(grid.shape), log=True)


def moments_of(table):
    """The mean and the covariance of the part that is on the grid, as sums."""
    grid = table.grid
    points, weights = points_of(grid).reshape(-1, grid.ndim), np.ones(1)
    for w in grid.weights:
        weights = np.multiply.outer(weights, w)
    share = weights.ravel() * np.exp(table.values - table.log_normalizer).ravel()
    mean = share @ points
    return mean, ((points - mean) * share[:, np.newaxis]).T @ (points - mean)


def restricted(cov, covariance_type):
    """The covariance of the best member, forward."""
    if covariance_type == "diag":
        return np.diag(np.diag(cov))
    return np.trace(cov) / len(cov) * np.eye(len(cov)) if covariance_type == "spherical" else cov


@dimensions
@both_directions
@every_type
def test_a_member_is_its_own_fit(ndim, direction, covariance_type):
    p = independent(ndim, covariance_type)
    result = fit(table_of(p, grid_of(p)), NAME, direction=direction, covariance_type=covariance_type)
    assert result.converged
    assert len(result.minima) == 1
    # forward, what lies beyond 6 standard deviations is missing: along each axis 2e-9 of the mass, which counts twice
    # in the divergence (p is divided by its sum, and q is not), and 40 times that of a variance
    np.testing.assert_allclose(result.q.mean, p.mean, atol=1e-9)
    np.testing.assert_allclose(result.q.cov, p.cov, atol=3e-7 if direction == "forward" else 1e-8)
    assert 0 <= result.divergence < (4e-9 * ndim if direction == "forward" else 1e-14)


@slow
@pytest.mark.parametrize("ndim", [1, 2, 3])
@both_directions
@every_type
def test_a_formula_needs_no_grid(ndim, direction, covariance_type):
    p = independent(ndim, covariance_type)
    result = fit(p, MultivariateNormal, direction=direction, covariance_type=covariance_type)
    assert result.success, result.message
    np.testing.assert_allclose(result.q.mean, p.mean, atol=1e-9)  # gtol
    np.testing.assert_allclose(result.q.cov, p.cov, atol=1e-8)
    assert 0 <= result.divergence < 1e-14


def bent(grid):
    """A table that no Normal is, falling to all sides."""
    p = independent(grid.ndim, "full")
    x = (points_of(grid) - p.mean) @ np.linalg.inv(np.linalg.cholesky(p.cov)).T
    return Tabulated(grid, -0.5 * (x**2).sum(axis=-1) + 0.8 * np.sin(x.sum(axis=-1) + 0.4) - 0.1 * x[..., 0], log=True)


@dimensions
@every_type
def test_forward_has_the_moments_of_p(ndim, covariance_type):
    p = bent(grid_of(correlated(ndim)))
    q = fit(p, NAME, direction="forward", covariance_type=covariance_type).q
    mean, cov = moments_of(p)
    np.testing.assert_allclose(q.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(q.cov, restricted(cov, covariance_type), rtol=1e-12, atol=1e-12)


@slow
@dimensions
def test_reverse_mean_field_has_the_conditional_variances(ndim):
    p = correlated(ndim)
    table, precision = (
        table_of(p, grid_of(p, 8.0, {2: 27 if JIT_DISABLED else 41, 4: 29}.get(ndim, 41))),
        np.linalg.inv(p.cov),
    )
    for covariance_type, expected in (
        ("diag", np.diag(1 / np.diag(precision))),
        ("spherical", ndim / np.trace(precision) * np.eye(ndim)),
    ):
        result = fit(table, NAME, direction="reverse", covariance_type=covariance_type, gtol=1e-12)
        assert result.converged
        np.testing.assert_allclose(result.q.mean, p.mean, atol=1e-11)
        # sums over steps of up to 0.85 scales err by exp(-2 pi**2/0.85**2) = 1e-12; 7 scales fit on the grid, and what
        # is beyond is 3e-12 times the height of log(q/p) there, 25
        np.testing.assert_allclose(result.q.cov, expected, rtol=1e-9, atol=1e-12)


@slow
def test_one_axis_is_the_line():
    grid = Grid.uniform(-12, 12, 241)
    p = Mixture([Normal(-2, 0.9), Normal(2, 1.6)], [0.3, 0.7])
    table = Tabulated(grid, p.logpdf(grid.axes[0]), log=True)
    for direction in ("forward", "reverse"):
        line = fit(table, "normal", direction=direction)
        plane = fit(table, NAME, direction=direction)
        assert isinstance(plane.q, MultivariateNormal)
        assert len(plane.minima) == len(line.minima)
        for one, other in zip(plane.minima, line.minima, strict=True):
            # both stop at a gradient of gtol = 1e-9
            np.testing.assert_allclose([one.q.mean[0], one.q.cov[0, 0]], [other.q.loc, other.q.scale**2], atol=1e-8)
            np.testing.assert_allclose(one.divergence, other.divergence, rtol=1e-12)


@slow
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@both_directions
@every_type
def test_derivatives(ndim, direction, covariance_type):
    p = bent(Grid.uniform(-6, 7, POINTS[ndim]) if ndim == 1 else Grid.uniform([-6] * ndim, [7] * ndim, POINTS[ndim]))
    q = independent(ndim, covariance_type)
    q = MultivariateNormal(q.mean + 0.2, 1.3 * q.cov)
    check_derivatives(p, NAME, q, p.grid, direction, covariance_type=covariance_type)


@slow
@every_type
def test_derivatives_where_the_grid_cuts_q_more_than_p(covariance_type):
    p, q = correlated(2), independent(2, covariance_type)
    q = MultivariateNormal(q.mean + 0.3, 1.5 * q.cov)
    grid = Grid.uniform([-1, -3], [2.5, 1.5], POINTS[2])
    for target in (p, MultivariateNormal(q.mean, 6 * np.eye(2))):  # which holds less, and more
        check_derivatives(target, NAME, q, grid, "reverse", covariance_type=covariance_type)


TWO = Mixture(
    [
        MultivariateNormal([-2, 0], [[0.5, 0.1], [0.1, 0.4]]),
        MultivariateNormal([2, 0.5], [[0.6, -0.2], [-0.2, 0.5]]),
    ]
)
PLANE = Grid.uniform([-10, -7], [10, 7.5], [41, 35] if JIT_DISABLED else [101, 81])
TABLE = table_of(TWO, PLANE)


@slow
@pytest.mark.parametrize(("covariance_type", "count"), [("full", 3), ("diag", 3), ("spherical", 2)])
def test_all_minima_of_two_bumps(covariance_type, count):
    # every fourth node, which the error is estimated from, is 0.8 from the next: the estimate is far above the error
    result = fit(TABLE, NAME, direction="reverse", covariance_type=covariance_type, rtol=1e-4)
    assert result.success, result.message
    assert len(result.minima) == count
    assert [m.divergence for m in result.minima] == sorted(m.divergence for m in result.minima)
    objective = kl_objective(TABLE, NAME, direction="reverse", covariance_type=covariance_type)
    found, reached = [objective.theta(m.q) for m in result.minima], set()
    rng = np.random.default_rng(4)
    for _ in range(40):
        scales = np.exp(rng.uniform(-1, 0.8, size=2))
        if covariance_type == "spherical":
            scales[1] = scales[0]
        start = objective.theta(MultivariateNormal(rng.uniform([-3, -1.5], [3, 1.5]), np.diag(scales**2)))
        end = minimize(objective.fun, start, jac=objective.jac, method="BFGS", options={"gtol": 1e-8})
        if end.fun < 1.0:  # and not on its way to infinity
            distances = [np.abs(end.x - theta).max() for theta in found]
            assert min(distances) < 1e-5
            reached.add(int(np.argmin(distances)))
    assert reached == set(range(count))
    for m in result.minima:
        np.testing.assert_allclose(m.divergence, kl_divergence(m.q, TABLE), rtol=1e-12)
        assert m.gradient_norm <= 1e-9
        assert m.min_eigenvalue > 0


@slow
@both_directions
@pytest.mark.parametrize("shift", [-900.0, 12345.678])
def test_the_constant_of_log_values_does_not_matter(direction, shift):
    plain = fit(TABLE, NAME, direction=direction)
    result = fit(TABLE.values + shift, NAME, PLANE, direction=direction, log=True)
    # logs of about 12345 are rounded to 1e-12
    np.testing.assert_allclose(result.divergence, plain.divergence, rtol=1e-9)
    np.testing.assert_allclose(result.log_normalizer, plain.log_normalizer + shift, atol=1e-9)
    assert len(result.minima) == len(plain.minima)
    assert result.elbo == result.log_normalizer - result.reverse


def moved(p, factors, shift):
    A = np.diag(factors)
    return Mixture([MultivariateNormal(A @ n.mean + shift, A @ n.cov @ A) for n in p.components], p.weights)


@slow
@both_directions
@every_type
@pytest.mark.parametrize(
    ("factors", "shift"), [((1e-3, 1e-3), (0, 0)), ((7, 7), (500, -3)), ((1e-3, 50), (0, 500))], ids=str
)
def test_affine_equivariance(direction, covariance_type, factors, shift):
    factors, shift = np.array(factors), np.array(shift)
    if covariance_type == "spherical" and factors[0] != factors[1]:
        factors[:] = factors[1]
    lower, upper = (factors * end + shift for end in (PLANE.lower, PLANE.upper))
    there = table_of(moved(TWO, factors, shift), Grid.uniform(lower, upper, PLANE.shape))
    a = fit(TABLE, NAME, direction=direction, covariance_type=covariance_type)
    b = fit(there, NAME, direction=direction, covariance_type=covariance_type)
    assert len(b.minima) == len(a.minima)
    for one, other in zip(a.minima, b.minima, strict=True):
        # gtol over the smallest eigenvalue, 0.03, and places of 500 rounded to 1e-13 against factors of 7
        np.testing.assert_allclose((other.q.mean - shift) / factors, one.q.mean, atol=1e-7)
        np.testing.assert_allclose(other.q.cov / np.outer(factors, factors), one.q.cov, atol=1e-7)
        np.testing.assert_allclose(other.divergence, one.divergence, rtol=1e-9)


@slow
@both_directions
def test_the_order_of_the_axes_does_not_matter(direction):
    turned = Tabulated(Grid(PLANE._parts[::-1]), np.ascontiguousarray(TABLE.values.T), log=True)
    a, b = fit(TABLE, NAME, direction=direction), fit(turned, NAME, direction=direction)
    assert len(b.minima) == len(a.minima)
    for one, other in zip(a.minima, b.minima, strict=True):
        np.testing.assert_allclose(other.q.mean[::-1], one.q.mean, atol=1e-7)
        np.testing.assert_allclose(other.q.cov[::-1, ::-1], one.q.cov, atol=1e-7)


@slow
@both_directions
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_scales_that_differ_by_a_thousand(direction, covariance_type):
    cov = np.array([[1.0, 600.0], [600.0, 1e6]])
    p = MultivariateNormal([3, -2000], cov)
    result = fit(table_of(p, grid_of(p, 8.0)), NAME, direction=direction, covariance_type=covariance_type)
    assert result.converged
    variances = np.diag(cov) if direction == "forward" else 1 / np.diag(np.linalg.inv(cov))
    expected = cov if covariance_type == "full" else np.diag(variances)
    np.testing.assert_allclose(result.q.mean, p.mean, rtol=1e-9)
    np.testing.assert_allclose(result.q.cov, expected, rtol=1e-8)


@slow
def test_starts_of_any_kind_are_used():
    plain = fit(TABLE, NAME, direction="reverse")
    with_starts = fit(
        TABLE, NAME, direction="reverse", starts=[MultivariateNormal([0, 3], np.eye(2)), TWO.components[1]]
    )
    assert len(with_starts.minima) == len(plain.minima)
    np.testing.assert_allclose(with_starts.divergence, plain.divergence, rtol=1e-12)


@slow
@both_directions
def test_a_grid_that_cuts_p_is_no_success(direction):
    p = correlated(2)
    grid = Grid.uniform([-1, -2.5], [1.5, 1.5], 41)
    result = fit(p, NAME, grid, direction=direction)
    assert not result.success
    assert result.mass_outside_p > 0.1
    assert np.isfinite(result.divergence)
    slightly = Grid.uniform(p.mean - 4.2, p.mean + 4.2, 61)  # 3e-5 outside along the first axis
    result = fit(p, NAME, slightly, direction=direction, rtol=1e-2, atol=1e-2)
    assert not result.success
    assert "mass_tol" in result.message


def spike():
    values = np.zeros(PLANE.shape)
    values[20, 17] = 1.0
    return values


def log_of(shape):
    return shape(points_of(PLANE))


def holed(value):
    values = np.exp(TABLE.values)
    values[5, 7] = value
    return values


def nan_beyond(x):
    return np.where(x[..., 0] > 3, np.nan, np.exp(-(x**2).sum(axis=-1)))


WRONG = {
    "dimensions of the grid": (lambda d: fit(TWO, NAME, Grid.uniform(-3, 3, 50), direction=d), "2 dimensions | (50,)"),
    "dimensions of values": (lambda d: fit(TABLE.values[0], NAME, PLANE, direction=d), "shape | grid"),
    "NaN": (lambda d: fit(holed(np.nan), NAME, PLANE, direction=d), "NaN | nan"),
    "NaN of a function": (lambda d: fit(as_density(nan_beyond, ndim=2), NAME, PLANE, direction=d), "nan at x = "),
    "negative": (lambda d: fit(holed(-0.25), NAME, PLANE, direction=d), "-0.25"),
    "diag of a normal": (
        lambda d: fit(Normal(0, 1), "normal", direction=d, covariance_type="diag"),
        "covariance_type='diag' | 'multivariate_normal'",
    ),
    "spherical of a beta": (
        lambda d: fit(Beta(2, 3), "beta", direction=d, covariance_type="spherical"),
        "covariance_type='spherical' | 'multivariate_normal'",
    ),
    "covariance_type": (
        lambda d: fit(TABLE, NAME, direction=d, covariance_type="tied"),
        "'full' | 'diag' | 'spherical' | 'tied'",
    ),
    "df": (lambda d: fit(TABLE, NAME, direction=d, df=3), "df=3 | 'student_t'"),
    "a normal": (lambda d: fit(TABLE, "normal", direction=d), "one dimension | 2 | 'multivariate_normal'"),
    "max_passes": (lambda d: fit(TABLE, NAME, direction=d, max_passes=0), "max_passes | 0"),
    "gtol": (lambda d: fit(TABLE, NAME, direction=d, gtol=-1e-9), "gtol | -1e-09"),
    "more points than are allowed": (
        lambda d: fit(MultivariateNormal([0] * 6, np.eye(6)), NAME, direction=d),
        "200000000 | grid",
    ),
}
WRONG_IN_ONE = {
    "zero": (lambda: fit(holed(0.0), NAME, PLANE, direction="reverse"), "p is 0 at x = | log=True | floor="),
    "start of three": (
        lambda: fit(TABLE, NAME, direction="reverse", starts=[correlated(3)]),
        "2 dimensions | MultivariateNormal",
    ),
    "start of one": (lambda: fit(TABLE, NAME, direction="reverse", starts=[(0, 1)]), "2 dimensions | Normal"),
    "spike": (lambda: fit(spike(), NAME, PLANE, direction="forward"), "single grid point | x = "),
    "spike in reverse": (lambda: fit(spike(), NAME, PLANE, direction="reverse"), "p is 0 at x = "),
}


@both_directions
@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_bad_input_is_refused_in_both_directions(call, words, direction):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call(direction)
    assert all(word in str(caught.value) for word in words.split(" | ")), str(caught.value)


@pytest.mark.parametrize(("call", "words"), WRONG_IN_ONE.values(), ids=WRONG_IN_ONE)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert all(word in str(caught.value) for word in words.split(" | ")), str(caught.value)


@every_type
def test_a_zero_does_not_matter_forward(covariance_type):
    p = Tabulated(PLANE, holed(0.0))
    result = fit(p, NAME, direction="forward", covariance_type=covariance_type)
    with np.errstate(divide="ignore"):
        logs = Tabulated(PLANE, np.log(p.values), log=True)
    mean, cov = moments_of(logs)
    np.testing.assert_allclose(result.q.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.q.cov, restricted(cov, covariance_type), rtol=1e-12, atol=1e-12)
    assert np.isfinite(result.divergence)


@slow
@every_type
def test_a_spike_shrinks_to_the_step_and_says_so(covariance_type):
    p = Tabulated(PLANE, spike(), floor=1e-100)
    result = fit(p, NAME, direction="reverse", covariance_type=covariance_type)
    assert not result.success
    assert "step" in result.message


@slow
@every_type
def test_a_flat_p_has_no_best_normal_in_reverse(covariance_type):
    assert not fit(np.ones(PLANE.shape), NAME, PLANE, direction="reverse", covariance_type=covariance_type).success


FALLING = {
    "along an axis": lambda x: -x[..., 0] - x[..., 1] ** 2,
    "along both": lambda x: -x[..., 0] - x[..., 1],
    "along a diagonal": lambda x: x[..., 0] + x[..., 1] - (x[..., 0] - x[..., 1]) ** 2,
}


@slow
@every_type
@pytest.mark.parametrize("shape", FALLING.values(), ids=FALLING)
def test_a_falling_p_escapes(shape, covariance_type):
    result = fit(log_of(shape), NAME, PLANE, direction="reverse", log=True, covariance_type=covariance_type)
    assert not result.success
    if result.converged:  # the width comes from the other axis: a minimum on the grid, with much of q outside
        assert covariance_type == "spherical"
        assert result.mass_outside > 0.1
    else:
        assert result.minima == ()
        assert "escaped" in result.message


@slow
@pytest.mark.parametrize("max_passes", [1, 2])
def test_a_run_that_is_cut_short_names_max_passes(max_passes):
    result = fit(TABLE, NAME, direction="reverse", max_passes=max_passes)
    assert not result.success
    assert "max_passes" in result.message
    assert np.isfinite(result.divergence)
    assert fit(TABLE, NAME, direction="forward", max_passes=max_passes).converged  # it takes one


@slow
def test_the_other_direction_and_the_text():
    result = fit(TABLE, NAME, direction="reverse")
    np.testing.assert_allclose(result.forward, kl_divergence(TABLE, result.q), rtol=1e-15)
    np.testing.assert_allclose(result.divergence, kl_divergence(result.q, TABLE), rtol=1e-12)
    for part in ("N([", "KL(p||q)", "minima        3", "mass outside"):
        assert part in str(result)
