"""Fits of every row of a batch: each is the fit of that row alone, and a bad row is a status and touches no other."""

from __future__ import annotations

import dataclasses
import io
import math
import pickle
import re
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest

import fastkl
from fastkl import FitResults, FitStatus, Grid, Laplace, Mixture, Normal, Tabulated, fit
from fastkl.densities.values import Fault
from fastkl.fitting import batch as batches
from fastkl.fitting.charts import FITTED
from fastkl.fitting.status import REASONS
from fastkl.jit import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="hundreds of fits take minutes without compiled code")

RNG = np.random.default_rng(16)
LINE, UNIT = Grid.uniform(-9.0, 9.0, 121), Grid.from_edges(np.linspace(0.0, 1.0, 122))
X = LINE.axes[0]
EDGES = np.linspace(0.0, 1.0, 13)

FIELDS = [
    "divergence", "hessian", "gradient_norm", "min_eigenvalue", "log_normalizer", "quadrature_error", "mass_outside",
    "mass_outside_p", "nit", "passes", "converged", "status", "success", "forward", "reverse", "elbo",
]  # fmt: skip
"""Fields of `FitResults` that a `FitResult` has as well."""
CASES = [(family, direction) for family in FITTED for direction in ("forward", "reverse") if family != "mixture"]
CASES.append(("mixture", "forward"))
each_fit = pytest.mark.parametrize(("family", "direction"), CASES)


def bumps(grid, count):
    """Rows of one to three bumps with noise, positive everywhere."""
    x, width = grid.axes[0], grid.axes[0][-1] - grid.axes[0][0]
    places = grid.axes[0][0] + width * RNG.uniform(0.25, 0.75, (count, 3, 1))
    scales, heights = width * RNG.uniform(0.03, 0.08, (count, 3, 1)), RNG.random((count, 3, 1))
    shapes = (heights * np.exp(-0.5 * ((x - places) / scales) ** 2)).sum(axis=1)
    return shapes * np.exp(0.02 * RNG.standard_normal(shapes.shape)) + 1e-7


def options_of(family):
    return {"n_components": 2} if family == "mixture" else {}


def assert_same_rows(results, direction, family, **options):
    """Every row of *results* is, bit for bit, the fit of that row alone."""
    for index in np.ndindex(results.shape):
        assert FitStatus(results.status[index]).has_fit
        alone = fit(results.p[index], family, direction=direction, **options)
        for one in (alone, results[index]):
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(results, name)[index], getattr(one, name), err_msg=name)
            assert repr(one.q) == repr(results.q[index])
            assert len(one.minima) == results.n_minima[index]
            second = one.minima[1] if len(one.minima) > 1 else None
            np.testing.assert_array_equal(results.runner_up[index], second.divergence if second else np.nan)
            if second:
                assert repr(second.q) == repr(results.runner_up_q[index])


KINDS = [(*case, "f8") for case in CASES] + [
    (family, direction, kind)
    for family, direction in [("normal", "reverse"), ("gamma", "forward"), ("laplace", "reverse")]
    for kind in ("f4", "logs in f4", "a floor")
]


@pytest.mark.parametrize(("family", "direction", "kind"), KINDS)
def test_rows_are_those_of_single_fits(family, direction, kind):
    values = bumps(UNIT, 3).astype("f8" if kind == "f8" else "f4")
    if kind == "a floor":
        values[:, 7:11] = 0.0
    batch = Tabulated(
        UNIT, np.log(values) if "logs" in kind else values, log="logs" in kind,
        floor=1e-6 if kind == "a floor" else None,
    )  # fmt: skip
    results = fit(batch, family, direction=direction, **options_of(family))
    assert isinstance(results, FitResults)
    assert results.p is batch
    assert_same_rows(results, direction, family, **options_of(family))


@each_fit
def test_rows_of_histograms_are_those_of_single_fits(family, direction):
    counts = RNG.poisson(40.0 * np.exp(-0.5 * ((EDGES[:-1] - [[0.3], [0.6]]) / 0.15) ** 2))
    pseudocount = 0.5 if direction == "reverse" else 0.0
    batch = Tabulated.from_histogram(counts, EDGES, pseudocount=pseudocount)
    assert batch.batch_shape == (2,)
    assert np.shares_memory(batch.counts, counts)
    results = fit(batch, family, direction=direction, **options_of(family))
    assert_same_rows(results, direction, family, **options_of(family))
    alone = Tabulated.from_histogram(counts[1], EDGES, pseudocount=pseudocount)
    assert repr(results[1].q) == repr(fit(alone, family, direction=direction, **options_of(family)).q)
    assert results[1].p.n == (counts[1].sum() if direction == "forward" else None)


def test_options_are_those_of_the_fit():
    batch = Tabulated(LINE, bumps(LINE, 2))
    generator = (start for start in [(0.0, 1.0), Normal(2.0, 1.0)])
    results = fit(batch, "student_t", direction="reverse", df=4.0, starts=generator, gtol=1e-7, max_passes=60)
    given = {"df": 4.0, "starts": [(0.0, 1.0), Normal(2.0, 1.0)], "gtol": 1e-7, "max_passes": 60}
    assert_same_rows(results, "reverse", "student_t", **given)
    assert results.parameter_names == ("loc", "log(scale)")
    assert (results.q.df == 4.0).all()
    strict = fit(batch, "normal", direction="forward", rtol=0.0, atol=0.0)
    assert (strict.rtol, strict.atol) == (0.0, 0.0)
    assert (strict.status == FitStatus.INEXACT).all()
    assert strict.converged.all()
    assert math.isinf(fit(batch, "normal", direction="forward").rtol)


def test_a_reverse_fit_leaves_out_a_node_at_the_end_of_the_support_of_a_row():
    grid = Grid.uniform(0, 40, 201)
    x = grid.axes[0]
    batch = Tabulated(grid, np.stack([np.exp(-x), x * np.exp(-x)]))
    results = fit(batch, "gamma", direction="reverse")
    assert_same_rows(results, "reverse", "gamma")
    assert results[0].grid.size == 200  # where p is positive at 0, q may be infinite
    assert results[1].grid == grid
    np.testing.assert_allclose(results.q.a[0], 1.0, rtol=1e-8)


@pytest.mark.parametrize("shape", [(1,), (0,), (0, 3), (3, 0), (2, 3), (2, 1, 2)], ids=str)
def test_shapes(shape):
    values = bumps(LINE, math.prod(shape)).reshape(*shape, X.size)
    results = fit(values, "normal", LINE, direction="reverse")
    assert results.shape == shape
    assert len(results) == shape[0]
    for field in dataclasses.fields(results):
        value = getattr(results, field.name)
        if isinstance(value, np.ndarray):
            assert value.shape[: len(shape)] == shape
            assert value.shape[len(shape) :] == ((2, 2) if field.name == "hessian" else ())
    assert results.q.loc.shape == results.q.scale.shape == results.forward.shape == shape
    assert {column.shape for column in results.to_columns().values()} == {(math.prod(shape),)}
    assert str(results).startswith("reverse  min KL(q||p)  seeks a mode\n  rows ")
    if results.success.size:
        assert_same_rows(results, "reverse", "normal")


def test_a_single_density_has_a_single_result():
    assert isinstance(fit(bumps(LINE, 1)[0], "normal", LINE, direction="forward"), fastkl.FitResult)


def test_views_and_memory_that_cannot_be_written_to():
    values = np.asfortranarray(np.repeat(bumps(LINE, 6), 2, axis=1)).astype("f4")
    values.flags.writeable = False
    strided = values[::-2, ::2]
    results, copied = (fit(v, "normal", LINE, direction="reverse") for v in (strided, strided.copy()))
    np.testing.assert_array_equal(results.divergence, copied.divergence)
    assert np.shares_memory(results.p.values, values)
    broadcast = fit(np.broadcast_to(values[0, ::2], (2, X.size)), "normal", LINE, direction="reverse")
    np.testing.assert_array_equal(broadcast.divergence[0], broadcast.divergence[1])


# Statuses

FLAT, PEAK = np.ones(X.size), np.exp(-0.5 * X**2)


def _with(values, place, value):
    changed = values.copy()
    changed[place] = value
    return changed


def _cut_off():
    x = np.linspace(0.0, 1.0, 402)
    grid = Grid.from_edges(x)
    x = grid.axes[0]
    wide, spike = np.exp(-0.5 * (x / 0.225) ** 2), np.exp(0.9 - 0.5 * ((x - 0.6625) / 0.0038) ** 2)
    return Tabulated(grid, [wide + spike])


def _table(values, log=False, grid=LINE, **options):
    return Tabulated(grid, [values], log=log, **options)


def _cells(counts, edges=None):
    return Tabulated.from_histogram([counts], range(len(counts) + 1) if edges is None else edges)


TO_40 = Grid.uniform(0.0, 40.0, 201)
NODES = Grid.gauss_legendre(0.0, 1.0, 201)
FAIL = {
    "ESCAPED": lambda: fit(_table(FLAT), "normal", direction="reverse"),
    "AT_STEP": lambda: fit(_table(_with(1e-9 * FLAT, 60, 1.0)), "normal", direction="reverse"),
    "NOT_IDENTIFIED": lambda: fit(_cells([0, 0, 5, 7, 0, 0, 0]), "normal", direction="forward"),
    "AT_END": lambda: fit(
        _table(fastkl.Beta(1.5, 5).pdf(NODES.axes[0]), grid=NODES), "generalized_pareto", direction="forward"
    ),
    "AT_LIMIT": lambda: fit(_table(PEAK), "student_t", direction="forward"),
    "OUT_OF_PASSES": lambda: fit(_table(PEAK + 0.1), "logistic", direction="forward", max_passes=1),
    "FLAT": lambda: fit(_table(PEAK), "mixture", direction="forward", n_components=2),
    "STALLED": lambda: fit(_table(PEAK + 0.01), "logistic", direction="forward", gtol=0.0),
    "NOT_RESOLVED": lambda: fit(_table(_with(0.0 * FLAT, [60, 61], [1.0, 0.01])), "normal", direction="forward"),
    "NOT_LOWEST": lambda: fit(_cut_off(), "normal", direction="reverse"),
    "MASS_OUTSIDE": lambda: fit(_table(PEAK), "normal", direction="reverse", mass_tol=1e-30),
    "INEXACT": lambda: fit(_table(PEAK + 0.1), "normal", direction="forward", rtol=0.0, atol=0.0),
}  # fmt: skip
NAN = {
    "NAN": lambda: fit(_table(_with(PEAK, 3, np.nan)), "normal", direction="forward"),
    "INFINITE": lambda: fit(_table(_with(PEAK, 3, np.inf)), "normal", direction="forward"),
    "NEGATIVE": lambda: fit(_table(_with(PEAK, 3, -1e-9)), "normal", direction="forward"),
    "NO_MASS": lambda: fit(_table(0.0 * PEAK), "normal", direction="forward"),
    "ZERO": lambda: fit(_table(_with(PEAK, 70, 0.0)), "normal", direction="reverse"),
    "POSITIVE_AT_END": lambda: fit(_table(-TO_40.axes[0], True, TO_40), "gamma", direction="forward"),
    "OUTSIDE_SUPPORT": lambda: fit(_cells([1, 5, 3, 2], [-1, 0, 1, 2, 3]), "gamma", direction="forward"),
    "NO_SPREAD": lambda: fit(_table(_with(0.0 * FLAT, 60, 1.0)), "normal", direction="forward"),
    "FEW_NODES": lambda: fit(
        _table(_with(0.0 * FLAT, slice(60, 66), 1.0)), "mixture", direction="forward", n_components=2
    ),
}
BAD_AS_WELL = {
    "NaN in logs": ("NAN", lambda: _table(_with(PEAK, 3, np.nan), log=True)),
    "infinite logs": ("INFINITE", lambda: _table(_with(PEAK, 3, np.inf), log=True)),
    "no mass in logs": ("NO_MASS", lambda: _table(np.full(X.size, -np.inf), log=True)),
    "NaN and negative": ("NAN", lambda: _table(_with(_with(PEAK, 3, -1.0), 5, np.nan))),
    "negative with a floor": ("NEGATIVE", lambda: _table(_with(PEAK, 3, -1.0), floor=1e-3)),
    "no mass with a floor": ("NO_MASS", lambda: _table(0.0 * PEAK, floor=1e-3)),
    "empty cells alone": ("NO_MASS", lambda: Tabulated.from_histogram([[0, 0, 0]], range(4), pseudocount=0.5)),
    "negative counts": ("NEGATIVE", lambda: _cells([1, -1, 3])),
    "NaN counts": ("NAN", lambda: _cells([1, np.nan, 3])),
    "an empty cell": ("ZERO", lambda: _cells([1, 0, 3])),
}


@pytest.mark.parametrize("name", FAIL)
def test_a_fit_that_is_no_success_has_a_status(name):
    results = FAIL[name]()
    assert FitStatus(results.status[0]).name == name
    assert FitStatus[name].has_fit
    assert not results.success[0]
    assert np.isfinite(results.divergence[0])
    alone = results[0]
    assert (alone.status, alone.success) == (FitStatus[name], False)
    assert results.message == f"0 of 1 rows are a success; 1 of 1 rows is no success: {FitStatus[name].reason}"


@pytest.mark.parametrize("name", NAN)
def test_a_row_that_cannot_be_fitted_is_nan_with_its_status(name):
    _is_nan(NAN[name](), name)


@pytest.mark.parametrize(("name", "make"), BAD_AS_WELL.values(), ids=BAD_AS_WELL)
def test_other_bad_rows(name, make):
    _is_nan(fit(make(), "normal", direction="reverse"), name)


def _is_nan(results, name):
    assert FitStatus(results.status[0]).name == name
    assert not FitStatus[name].has_fit
    for own in ("divergence", "forward", "reverse", "elbo", "quadrature_error", "runner_up", "passes", "hessian"):
        assert np.isnan(getattr(results, own)).all(), own
    assert (results.n_minima[0], results.nit[0], results.converged[0], results.success[0]) == (0, 0, False, False)
    assert all(np.isnan(array).all() for q in (results.q, results.runner_up_q) for array in q.parameters.values())
    assert results.message == f"0 of 1 rows are a success; 1 of 1 rows is NaN: {FitStatus[name].reason}"
    with pytest.raises(ValueError, match="row 0 has no fit"):
        _ = results.q[0]
    with pytest.raises(ValueError, match=r"\w+"):  # the reason in full
        _ = results[0]


def test_an_error_of_another_kind_is_a_status_and_leaves_the_other_rows_alone(monkeypatch):
    fitted = batches.solution

    def fails_at_the_second(p, *rest):
        if p.values[0] == 2.0:
            raise np.linalg.LinAlgError("no eigenvalues")
        return fitted(p, *rest)

    values = bumps(LINE, 3)
    values[1, 0] = 2.0
    alone = fit(values[::2], "logistic", LINE, direction="reverse")
    monkeypatch.setattr(batches, "solution", fails_at_the_second)
    results = fit(values, "logistic", LINE, direction="reverse")
    assert results.status.tolist() == [0, FitStatus.REFUSED, 0]
    np.testing.assert_array_equal(results.divergence[::2], alone.divergence)


def test_every_status_is_tested_and_has_words():
    of_formulas = {"COARSE_GRID", "GRIDS_DISAGREE"}
    assert {*FAIL, *NAN, *of_formulas, "SUCCESS", "REFUSED"} == {status.name for status in FitStatus}
    assert set(REASONS) == set(FitStatus)
    assert {fault.name for fault in Fault} - {"NONE"} == {name for name in NAN if name in Fault.__members__}
    documented = dict(re.findall(r"^    (\w+) : (\d+)$", FitStatus.__doc__, flags=re.MULTILINE))
    assert {name: int(code) for name, code in documented.items()} == {s.name: s.value for s in FitStatus}


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bad_rows_touch_no_other(direction, dtype):
    good = bumps(LINE, 8).astype(dtype)
    values = good.copy()
    values[1, 5], values[2], values[4, 0], values[6, 9] = np.nan, 0.0, -1.0, np.inf
    results, known = (fit(v, "normal", LINE, direction=direction) for v in (values, good))
    bad = [1, 2, 4, 6]
    assert [FitStatus(code).name for code in results.status[bad]] == ["NAN", "NO_MASS", "NEGATIVE", "INFINITE"]
    kept = [row for row in range(8) if row not in bad]
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(results, name)[kept], getattr(known, name)[kept])
    assert results.message == (
        "4 of 8 rows are a success; 1 of 8 rows is NaN: p is NaN somewhere; 1 of 8 rows is NaN: p is infinite "
        "somewhere; 1 of 8 rows is NaN: p is negative; 1 of 8 rows is NaN: p is 0 everywhere"
    )


# The object


@pytest.fixture(scope="module")
def many():
    values = bumps(LINE, 6).reshape(2, 3, -1)
    values[1, 1] = 0.0
    return fit(Tabulated(LINE, values), "normal", direction="reverse")


@pytest.mark.parametrize(
    "index", [slice(1, None), (slice(None), 1), (..., 0), (slice(None), [0, 2]), np.array([True, False])], ids=str
)
def test_a_part_has_the_rows_of_the_whole(many, index):
    _ = many.forward
    part = many[index]
    places = np.arange(6).reshape(2, 3)[index]
    assert part.shape == places.shape
    assert "forward" in vars(part)
    for name in [*FIELDS, "n_minima", "runner_up"]:
        own = getattr(many, name).reshape(6, *getattr(many, name).shape[2:])
        np.testing.assert_array_equal(getattr(part, name), own[places])
    np.testing.assert_array_equal(part.q.scale, many.q.scale.ravel()[places])
    np.testing.assert_array_equal(part.p.values, many.p.values.reshape(6, -1)[places])


def test_a_mask_of_all_axes_and_places_from_the_end(many):
    good = many[many.success]
    assert good.shape == (np.count_nonzero(many.success),)
    assert good.success.all()
    assert repr(many[-1, -1].q) == repr(many[1, 2].q) == repr(many.q[-1, -1])
    assert repr(many[-1][2].q) == repr(many[1, 2].q)
    for index in (2, (0, 3), (0, 0, 0)):
        with pytest.raises(IndexError):
            _ = many[index]
        with pytest.raises(IndexError):
            _ = many.q[index]


def test_members_are_arrays_and_densities(many):
    q = many.q
    assert (q.family, q.shape, len(q)) == (Normal, (2, 3), 2)
    assert q[0, 1] == Normal(q.loc[0, 1], q.scale[0, 1])
    assert {"loc", "scale"} < set(dir(q))
    assert repr(q) == "Members(Normal, shape=(2, 3))"
    with pytest.raises(AttributeError, match="loc, scale, but no df"):
        _ = q.df
    two = fit(bumps(LINE, 2), "mixture", LINE, direction="forward", n_components=2)
    assert two.q.weights.shape == two.q.loc.shape == (2, 2)
    assert isinstance(two.q[1], Mixture)
    assert [name for name in two.to_columns() if name.startswith("loc")] == ["loc0", "loc1"]
    one = fit(bumps(LINE, 2), "multivariate_normal", LINE, direction="forward")
    assert (one.q.mean.shape, one.q.cov.shape) == ((2, 1), (2, 1, 1))
    np.testing.assert_allclose(one.q.cov[:, 0, 0], one.p.cov, rtol=1e-12)


def test_results_pickle_and_are_frozen(many):
    back = pickle.loads(pickle.dumps(many))
    for name in [*FIELDS, "runner_up"]:
        np.testing.assert_array_equal(getattr(back, name), getattr(many, name))
    assert repr(back[0, 0].q) == repr(many[0, 0].q)
    assert str(back) == str(many)
    with pytest.raises(dataclasses.FrozenInstanceError):
        many.divergence = None


class _Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.cells = []
        self.feed(text)

    def handle_data(self, data):
        if data.strip():
            self.cells.append(data)


def test_tables(many):
    text = str(many)
    assert text.splitlines()[:3] == [
        "reverse  min KL(q||p)  seeks a mode",
        "  rows          2 x 3, on 121 points",
        "  family        normal",
    ]
    assert re.search(r"^  KL\(q\|\|p\)      [\d.e-]+ \(5%\), [\d.e-]+ \(50%\), .* \(100%\)$", text, flags=re.MULTILINE)
    several = np.count_nonzero(many.n_minima > 1)
    assert f"  minima        {several} of 6 rows have more than one" in text
    assert text.endswith("  5 of 6 rows are a success\n  1 of 6 rows is NaN: p is 0 everywhere")
    assert many.message == "5 of 6 rows are a success; 1 of 6 rows is NaN: p is 0 everywhere"
    assert repr(many) == f"FitResults(Normal, direction='reverse', shape=(2, 3): {many.message})"
    cells = _Cells(many._repr_html_()).cells
    assert all(cell in " ".join(cells) for cell in ("normal", "KL(q||p)", "5 of 6 rows", "is NaN: p is 0 everywhere"))
    assert "minima" not in str(fit(bumps(LINE, 2), "normal", LINE, direction="forward"))


def test_a_row_with_one_minimum_has_no_second_one_and_says_so():
    results = fit(Tabulated(LINE, [-0.5 * X**2], log=True), "normal", direction="reverse")
    assert results.success.all()
    with pytest.raises(ValueError, match=r"row 0 .* no second minimum"):
        _ = results.runner_up_q[0]


@pytest.mark.filterwarnings("error")
def test_a_curvature_beyond_the_doubles_is_infinite_in_silence():
    grid = Grid.uniform(-1e-200, 1e-200, 121)
    results = fit(Tabulated(grid, [-0.5 * X**2], log=True), "normal", direction="forward")
    assert results.success.all()
    assert results.hessian[0, 0, 0] == results[0].hessian[0, 0] == np.inf


def test_columns_make_a_table(many):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(many.to_columns())
    assert len(frame) == 6
    assert frame["success"].sum() == 5
    np.testing.assert_array_equal(frame["loc"], many.q.loc.ravel())
    np.testing.assert_array_equal(frame["runner_up_scale"], many.runner_up_q.scale.ravel())


# Memory, progress and Ctrl-C


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_fit_of_many_rows_copies_no_batch(direction):
    """Beside 20 MB of input there are the arrays of the result, 160 bytes a row, and blocks of 32,768 rows."""
    values = np.broadcast_to(PEAK.astype("f4"), (40_000, X.size)).copy()
    values[7] = np.nan
    fit(values[:3], "normal", LINE, direction=direction)
    tracemalloc.start()
    results = fit(Tabulated(LINE, values, floor=1e-9), "normal", direction=direction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert results.status.tolist().count(0) == 39_999
    arrays = [*vars(results).values(), *results.q.parameters.values(), *results.runner_up_q.parameters.values()]
    assert peak < sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) + 16e6


@pytest.mark.parametrize("view", [np.s_[:, :150], np.s_[::-1], np.s_[:]])
def test_fits_of_rows_that_lie_apart_copy_a_few_of_them_at_a_time(view):
    values = np.broadcast_to(PEAK.astype("f4"), (300, 300, X.size)).copy()[view].swapaxes(0, 1)  # 22 to 44 MB
    values[3, 7, 60:] = 0.01
    _ = fit(values[:2, :2], "normal", LINE, direction="forward").quadrature_error
    tracemalloc.start()
    results = fit(values, "normal", LINE, direction="forward")
    errors = results.quadrature_error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160 * results.status.size + 16e6
    for index in ((3, 7), (7, 3), (-1, -1)):
        alone = results[index]
        assert (results.divergence[index], errors[index]) == (alone.divergence, alone.quadrature_error)
    assert results.divergence[3, 7] != results.divergence[7, 3]


@pytest.mark.parametrize("of", ["divergence", "floor", "moments", "counts"])
def test_other_work_on_a_batch_takes_blocks_of_rows(of):
    values = np.broadcast_to(PEAK.astype("f4"), (60_000, X.size)).copy()  # 29 MB
    q = Normal(0.0, 2.0)
    work = {
        "divergence": lambda n: fastkl.kl_divergence(Tabulated(LINE, values[:n]), q),
        "floor": lambda n: fastkl.kl_divergence(Tabulated(LINE, values[:n], floor=1e-3), q),
        "moments": lambda n: Tabulated(LINE, values[:n]).std,
        "counts": lambda n: fastkl.kl_divergence(
            Tabulated.from_histogram(values[:n], np.linspace(-9, 9, X.size + 1), pseudocount=0.5), q
        ),
    }[of]
    work(3)
    tracemalloc.start()
    work(None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_a_bar_counts_rows_and_the_rate():
    file = io.StringIO()
    with fastkl.progress(file=file, delay=0, mininterval=0):
        fit(bumps(LINE, 5), "laplace", LINE, direction="reverse")
    states = [state for state in file.getvalue().split("\r") if state.strip()]
    assert "5.00/5.00" in states[-1]
    assert re.match(r"fits: 100%.*row/s\]|fits: 100%.*s/row\]", states[-1])
    assert all("point" not in state and "pass" not in state for state in states[1:])


@pytest.mark.parametrize(("family", "part"), [("normal", "records_of"), ("logistic", "solution")])
def test_ctrl_c_between_rows_leaves_nothing_behind(monkeypatch, family, part):
    fitted, seen = getattr(batches, part), []

    def interrupted(p, *rest):
        seen.append(p)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return fitted(p, *rest)

    values = bumps(LINE, 3)
    with monkeypatch.context() as patch:
        patch.setattr(batches, part, interrupted)
        patch.setattr(batches, "ROWS_AT_ONCE", 1)
        with pytest.raises(KeyboardInterrupt):
            fit(values, family, LINE, direction="reverse")
    file = io.StringIO()
    with fastkl.progress(file=file, delay=0, mininterval=0):  # kernels report again
        fastkl.kl_divergence(Tabulated(LINE, values[0]), Laplace(0.0, 1.0), LINE)
        results = fit(values, family, LINE, direction="reverse")
    assert "pass 1" in file.getvalue()
    assert results.success.all()
