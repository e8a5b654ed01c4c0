"""Tables after they are made: distribution functions, quantiles, draws, marginals, and moments of batches."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import stats

from fastkl import Grid, Normal, Tabulated

LINE = Grid.uniform(0, 40, 401)
EXPONENTIAL = Tabulated(LINE, -LINE.axes[0], log=True)
"""exp(-x) is linear in the log: the table is exact between its nodes."""


def test_cdf_and_quantile_of_an_exponential_are_exact():
    x = np.concatenate([np.geomspace(1e-12, 40, 200), LINE.axes[0]])
    # a sum of 401 intervals, each right to an ulp or two
    np.testing.assert_allclose(EXPONENTIAL.cdf(x), stats.truncexpon(40).cdf(x), rtol=1e-14)
    q = np.concatenate([np.geomspace(1e-300, 1, 100), np.linspace(0, 0.99, 100)])
    np.testing.assert_allclose(EXPONENTIAL.quantile(q), stats.truncexpon(40).ppf(q), rtol=2e-14)


def _by_mpmath(nodes, logs, x):
    """The integral of exp of the line through the logarithms up to x, over that up to the last node."""

    def upto(x):
        total = mpmath.mpf(0)
        for a, b, low, high in zip(nodes[:-1], nodes[1:], logs[:-1], logs[1:], strict=True):
            end = min(mpmath.mpf(x), mpmath.mpf(b))
            if end <= a or not np.isfinite([low, high]).all():
                continue
            a, b, low, high = map(mpmath.mpf, (a, b, low, high))
            slope = (high - low) / (b - a)
            width = end - a
            total += mpmath.exp(low) * (mpmath.expm1(slope * width) / slope if slope else width)
        return total

    with mpmath.workdps(60):
        return float(upto(x) / upto(nodes[-1]))


def _random_table(seed, spread):
    rng = np.random.default_rng(seed)
    nodes = np.cumsum(rng.exponential(size=24))
    logs = spread * rng.normal(size=24)
    logs[[0, 9, 15, 16]] = -np.inf
    logs[[20, 21]] = logs[19]  # level intervals
    return nodes, logs, Tabulated(Grid.from_axes(nodes), logs, log=True)


@pytest.mark.parametrize("spread", [1e-9, 1.0, 30.0, 900.0])
def test_a_cdf_is_the_exact_integral_of_the_density_between_nodes(spread):
    nodes, logs, table = _random_table(7, spread)
    x = np.sort(np.random.default_rng(1).uniform(nodes[0], nodes[-1], 60))
    expected = np.array([_by_mpmath(nodes, logs, one) for one in x])
    # an exponent of up to 3000, itself rounded, costs 3000 ulps
    np.testing.assert_allclose(table.cdf(x), expected, rtol=1e-14 + 1e-15 * spread, atol=1e-300)


@pytest.mark.parametrize("spread", [1e-9, 1.0, 30.0, 900.0])
def test_a_quantile_inverts_the_cdf(spread):
    _, _, table = _random_table(7, spread)
    q = np.random.default_rng(2).random(400)
    np.testing.assert_allclose(table.cdf(table.quantile(q)), q, rtol=1e-13 + 2e-15 * spread)
    assert (np.diff(table.quantile(np.sort(q))) >= 0.0).all()


def test_a_cdf_with_a_floor_is_that_of_the_raised_values():
    values = np.array([0.0, 0, 1, 5, 10, 5, 1, 1e-9, 0, 0])
    nodes = np.arange(10.0)
    raised = Tabulated(Grid.from_axes(nodes), np.maximum(values, 0.1))
    x = np.linspace(-1, 10, 50)
    np.testing.assert_allclose(Tabulated(Grid.from_axes(nodes), values, floor=0.01).cdf(x), raised.cdf(x), rtol=1e-14)


def test_ends_gaps_and_numbers_that_are_no_probability():
    table = Tabulated(Grid.from_axes(np.arange(10.0)), [0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
    assert table.cdf([-np.inf, -1, 2, 2.5, 3, 4.5, 6, 7, 9, np.inf]).tolist() == [
        0, 0, 0, 0.25, 0.5, 0.5, 0.5, 1, 1, 1,
    ]  # fmt: skip
    assert np.isnan(table.cdf(np.nan))
    assert table.quantile([0.0, 0.25, 0.5, 0.75, 1.0]).tolist() == [2.0, 2.5, 3.0, 6.5, 7.0]
    assert np.isnan(table.quantile([-0.1, 1.1, np.nan])).all()


def test_shapes_are_those_of_the_arguments():
    for function in (EXPONENTIAL.cdf, EXPONENTIAL.quantile):
        assert isinstance(function(0.5), float)
        assert function([[0.25, 0.5]]).shape == (1, 2)
        assert function([]).shape == (0,)


def test_a_table_without_mass_between_its_nodes_says_so():
    lonely = Tabulated(Grid.uniform(0, 9, 10), np.eye(10)[4])
    for call in (lambda: lonely.cdf(1.0), lambda: lonely.quantile(0.5), lambda: lonely.rvs()):
        with pytest.raises(ValueError, match=r"no mass between its nodes.* floor"):
            call()
    square = Tabulated(Grid.uniform([0, 0], [9, 9], 10), np.outer(np.eye(10)[4], np.ones(10)))
    with pytest.raises(ValueError, match="no mass between its nodes"):
        square.rvs()


def test_a_table_of_several_axes_has_a_cdf_of_its_marginals_only():
    square = Tabulated(Grid.uniform([0, 0], [9, 9], 10), np.ones((10, 10)))
    for call in (lambda: square.cdf(1.0), lambda: square.quantile(0.5)):
        with pytest.raises(ValueError, match=r"one dimension, got 2: take one with marginal\(axis\)"):
            call()
    assert square.marginal(1).cdf(4.5) == pytest.approx(0.5, rel=1e-14)


# Draws


def test_draws_on_the_line_follow_the_cdf():
    _, _, table = _random_table(3, 1.0)
    x = table.rvs(5000, random_state=4)
    assert stats.kstest(x, table.cdf).pvalue > 0.01  # of one seed


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_draws_have_the_shape_that_is_asked_for_and_a_seed(ndim):
    grid = Grid.uniform([0.0] * ndim, [1.0] * ndim, 8)
    table = Tabulated(grid, np.ones(grid.shape))
    last = () if ndim == 1 else (ndim,)
    for size, shape in ((None, ()), (5, (5,)), ((2, 3), (2, 3)), (0, (0,))):
        assert np.shape(table.rvs(size, random_state=0)) == shape + last
        assert np.shape(table.rvs(size=size)) == shape + last
    same = [table.rvs(9, random_state=seed).tolist() for seed in (7, np.random.default_rng(7))]
    assert same[0] == same[1]
    assert table.rvs(9, random_state=8).tolist() != same[0]
    with pytest.raises(ValueError, match=r"size must be >= 0, got -1"):
        table.rvs(-1)
    with pytest.raises(TypeError, match=r"size must be a whole number, got 2.5"):
        table.rvs(2.5)
    legacy = np.random.RandomState(1)
    assert table.rvs(9, legacy).shape == (9, *last)
    assert table.rvs().tolist() != table.rvs().tolist()


@pytest.mark.parametrize("steep", [1.0, 5.0])
def test_draws_on_two_axes_have_the_density_of_the_table(steep):
    rng = np.random.default_rng(5)
    axes = np.cumsum(rng.exponential(size=(2, 8)), axis=1)
    logs = steep * rng.normal(size=(8, 8))
    logs[2, 3] = -np.inf  # the four cells around it are empty
    table = Tabulated(Grid.from_axes(*axes), logs, log=True)
    x = table.rvs(20_000, random_state=6)
    assert np.isfinite(table.logpdf(x)).all()
    # each cell in four: masses by Gauss-Legendre nodes in each quarter, where the density is smooth
    edges = [np.sort(np.concatenate([a, 0.5 * (a[1:] + a[:-1])])) for a in axes]
    grids = [Grid.gauss_legendre(e[i], e[i + 1], 24) for e in edges for i in range(14)]
    nodes = [np.concatenate([g.axes[0] for g in part]) for part in (grids[:14], grids[14:])]
    weights = [np.concatenate([g.weights[0] for g in part]) for part in (grids[:14], grids[14:])]
    fine = table.pdf(np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)) * np.outer(*weights)
    mass = fine.reshape(14, 24, 14, 24).sum(axis=(1, 3)).ravel()
    counts = np.histogram2d(*x.T, bins=edges)[0].ravel()
    often = mass * len(x) > 20 * mass.sum()
    found = np.append(counts[often], counts[~often].sum())
    expected = np.append(mass[often], mass[~often].sum()) / mass.sum() * len(x)
    assert often.sum() > 5
    assert stats.chisquare(found, expected).pvalue > 0.01  # of one seed


def test_a_density_too_steep_for_draws_says_so():
    x = np.arange(8.0)
    logs = -2000.0 * (x[:, None, None] + x[:, None] + x)
    table = Tabulated(Grid.from_axes(x, x, x), logs, log=True)
    with pytest.raises(ValueError, match=r"points were accepted: .* take a finer grid"):
        table.rvs(3, random_state=0)


# Marginals

BOX = Grid((*Grid.uniform(-7, 7, 71)._parts, *Grid.from_edges(np.linspace(0, 20, 41))._parts,
            *Grid.gauss_legendre(-3, 3, 12)._parts))  # fmt: skip


def _joint(log):
    x, y, z = np.meshgrid(*BOX.axes, indexing="ij")
    logs = -0.5 * (x - 0.1 * y) ** 2 - 0.3 * y - 0.25 * (z - 0.2 * x * y / 10) ** 2 + 5.0
    return logs, Tabulated(BOX, logs if log else np.exp(logs), log=log)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), (2, 0), (0, 1, 2)])
def test_a_marginal_is_the_sum_over_the_other_axes(axis, log):
    logs, joint = _joint(log)
    kept = [d % 3 for d in np.atleast_1d(axis)]
    weighted = np.exp(logs)
    for d in set(range(3)) - set(kept):
        weighted = weighted * np.expand_dims(BOX.weights[d], [k for k in range(3) if k != d])
    sums = weighted.sum(axis=tuple(set(range(3)) - set(kept)))
    sums = sums if kept == sorted(kept) else sums.T
    marginal = joint.marginal(axis)
    assert marginal.grid == Grid(tuple(BOX._parts[d] for d in kept))
    np.testing.assert_allclose(np.exp(marginal.values), sums, rtol=1e-13)
    np.testing.assert_allclose(marginal.log_normalizer, joint.log_normalizer, rtol=1e-13)
    np.testing.assert_allclose(np.atleast_1d(marginal.mean), joint.mean[kept], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(np.atleast_2d(marginal.cov), joint.cov[np.ix_(kept, kept)], rtol=1e-10, atol=1e-13)


def test_far_tails_of_a_marginal_do_not_underflow():
    square = Grid.uniform([-60, -60], [60, 60], 121)
    x, y = np.meshgrid(*square.axes, indexing="ij")
    marginal = Tabulated(square, -0.5 * (x * x + y * y), log=True).marginal(0)
    line = square.axes[0]
    # a sum over the other axis at steps of its scale is the integral up to exp(-2 pi**2), 2.7e-9
    np.testing.assert_allclose(marginal.logpdf(line), Normal(0, 1).logpdf(line), rtol=1e-8)


def test_zeros_and_floors_reach_the_marginal():
    values = np.zeros((8, 9))
    values[2:5, 3:7] = 1.0
    square = Grid.uniform([0, 0], [7, 8], [8, 9])
    assert np.isneginf(Tabulated(square, values).marginal(0).values).sum() == 5
    raised = Tabulated(square, np.maximum(values, 1e-3))
    floored = Tabulated(square, values, floor=1e-3)
    np.testing.assert_allclose(floored.marginal(1).values, raised.marginal(1).values, rtol=1e-14)


def test_the_marginal_of_a_batch_is_a_batch():
    square = Grid.uniform([0, 0], [7, 8], [8, 9])
    values = np.random.default_rng(0).random((2, 3, 8, 9)).astype(np.float32)
    batch = Tabulated(square, values)
    for axis in (0, 1, (1, 0)):
        marginal = batch.marginal(axis)
        assert marginal.batch_shape == (2, 3)
        for index in np.ndindex(2, 3):
            np.testing.assert_allclose(marginal[index].values, batch[index].marginal(axis).values, rtol=1e-14)


BAD_AXES = {"twice": ((0, 0), ValueError, "different"), "twice, by the end": ((1, -1), ValueError, "different"),
            "none": ((), ValueError, "keeps one axis"), "beyond": (2, IndexError, "2 axes has no axis 2"),
            "before": (-3, IndexError, "no axis -3")}  # fmt: skip


@pytest.mark.parametrize(("axis", "kind", "words"), BAD_AXES.values(), ids=BAD_AXES)
def test_axes_that_are_not_there_are_refused(axis, kind, words):
    square = Tabulated(Grid.uniform([0, 0], [9, 9], 10), np.ones((10, 10)))
    with pytest.raises(kind, match=words):
        square.marginal(axis)


# Moments of batches


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("grid", [Grid.uniform(-9, 40, 301), Grid.from_edges(np.linspace(0, 1, 30) ** 2)])
def test_moments_of_a_batch_on_the_line_are_those_of_its_tables(grid, dtype, log):
    rng = np.random.default_rng(8)
    values = rng.normal(size=(3, 2 * grid.size, 4)).astype(dtype).swapaxes(1, 2)[..., ::2]  # strided
    batch = Tabulated(grid, values if log else np.exp(values), log=log)
    for name in ("mean", "std", "cov"):
        found = getattr(batch, name)
        assert found.shape == (3, 4)
        expected = [[getattr(batch[i, k], name) for k in range(4)] for i in range(3)]
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_moments_of_a_batch_of_several_axes():
    _, joint = _joint(True)
    shifts = np.linspace(-1, 1, 5)[:, None, None, None] * BOX.axes[0][:, None, None]
    batch = Tabulated(BOX, joint.values + shifts, log=True)
    assert (batch.mean.shape, batch.cov.shape) == ((5, 3), (5, 3, 3))
    np.testing.assert_allclose(batch.mean, [batch[i].mean for i in range(5)], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(batch.cov, [batch[i].cov for i in range(5)], rtol=1e-11, atol=1e-13)
    with pytest.raises(TypeError, match="covariance"):
        _ = batch.std


def test_a_narrow_table_on_a_far_grid_keeps_its_digits():
    grid = Grid.uniform(1e6, 1e6 + 1e3, 100_001)
    offsets = grid.axes[0] - (1e6 + 700.25)
    batch = Tabulated(grid, np.stack([-0.5 * (offsets / 0.1) ** 2, -0.5 * (offsets / 0.5) ** 2]), log=True)
    np.testing.assert_allclose(batch.mean, 1e6 + 700.25, rtol=1e-15)
    np.testing.assert_allclose(batch.std, [0.1, 0.5], rtol=1e-9)  # nodes at 1e6 are rounded by 1e-10


def test_a_table_of_a_batch_without_mass_has_no_moments():
    grid = Grid.uniform(0, 1, 8)
    batch = Tabulated(grid, np.stack([np.zeros(8), np.ones(8)]))
    assert np.isnan(batch.mean[0])
    assert np.isnan(batch.std[0])
    assert batch.mean[1] == pytest.approx(0.5)


def test_an_empty_batch_has_empty_moments():
    batch = Tabulated(Grid.uniform(0, 1, 8), np.ones((0, 3, 8)))
    assert (batch.mean.shape, batch.cov.shape) == ((0, 3), (0, 3))


@pytest.mark.parametrize("call", [lambda b: b.cdf(0.0), lambda b: b.quantile(0.5), lambda b: b.rvs()])
def test_a_batch_is_no_law(call):
    with pytest.raises(ValueError, match="no single density; take one with"):
        call(Tabulated(Grid.uniform(0, 1, 8), np.ones((3, 8))))
