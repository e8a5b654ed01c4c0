"""Tables from pandas, polars and xarray: the containers bring their own axes."""

from __future__ import annotations

import numpy as np
import pytest

from fastkl import Grid, Tabulated

X = np.linspace(-3, 3, 31) ** 3
P = np.exp(-0.1 * X**2)
T, H = np.geomspace(1, 9, 10), np.linspace(-4, 4, 12)
PLANE = np.exp(-T[:, None] / 3 - 0.5 * (H - 0.2 * T[:, None]) ** 2)


# A Series and its index


def test_a_series_has_its_index_for_x():
    pd = pytest.importorskip("pandas")
    for index, dtype in ((X, float), (np.arange(31), "Float64"), (np.arange(31, dtype=np.float32), np.float32)):
        table = Tabulated.from_series(pd.Series(P, index=index, dtype=dtype))
        assert table.grid == Grid.from_axes(index)
        assert table.values.tolist() == P.astype(np.float32 if dtype is np.float32 else float).tolist()
    logs = Tabulated.from_series(pd.Series(np.log(P), index=X), log=True, floor=1e-3)
    assert (logs.log, logs.n_floored) == (True, int((1e-3 * P.max() > P).sum()))


@pytest.mark.parametrize("names", [["t", "h"], [None, None], ["same", None], ["same", "same"]])
def test_an_index_of_several_levels_makes_as_many_axes(names):
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_product([T, H], names=names)
    shuffled = pd.Series(PLANE.ravel(), index=index).sample(frac=1, random_state=0)
    table = Tabulated.from_series(shuffled)
    assert table.grid == Grid.from_axes(T, H)
    assert table.values.tolist() == PLANE.tolist()
    with pytest.raises(ValueError, match=r"10 x 12 nodes, but 1 of them have no row, the first at .* = "):
        Tabulated.from_series(shuffled.iloc[1:])
    with pytest.raises(ValueError, match=r"but 2 of them stand in more than one row"):
        Tabulated.from_series(pd.concat([shuffled, shuffled.iloc[:2]]))


def _series(index, values=None):
    pd = pytest.importorskip("pandas")
    return pd.Series(np.ones(len(index)) if values is None else values, index=index)


TEN = np.arange(10.0)
BAD_SERIES = {
    "falls": (lambda: _series(TEN[::-1]), ValueError, r"entry 0 is 9.0 and entry 1 is 8.0; .*sort_index\(\)"),
    "repeats": (lambda: _series(TEN // 2), ValueError, "entry 0 is 0.0 and entry 1 is 0.0; every x has one value"),
    "NaN in the index": (lambda: _series(np.where(TEN == 3, np.nan, TEN)), ValueError, "finite, but number 3 is nan"),
    "words": (lambda: _series(list("abcdefghij")), TypeError, "the index must be numbers, got (str|object)"),
    "dates": (
        lambda: _series(np.arange("2026-01-01", "2026-01-11", dtype="M8[D]")),
        TypeError,
        r"the index must be numbers, got datetime64.* since a start",
    ),
    "NaN": (lambda: _series(TEN, np.where(TEN == 3, np.nan, 1)), ValueError, r"NaN, but value 3 \(x = 3\)"),
    "text": (lambda: _series(TEN, list("abcdefghij")), TypeError, "values must be numbers, got 'a'"),
    "few": (lambda: _series(TEN[:5]), ValueError, "at least 8 points, got 5"),
    "a frame": (lambda: _series(TEN).to_frame(), TypeError, "pandas Series, whose index is x, got DataFrame"),
    "a list": (lambda: [1.0] * 10, TypeError, "got list"),
}


@pytest.mark.parametrize(("make", "kind", "words"), BAD_SERIES.values(), ids=BAD_SERIES)
def test_a_bad_series_is_named(make, kind, words):
    with pytest.raises(kind, match=words):
        Tabulated.from_series(make())


def test_columns_of_polars_are_arrays():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"x": X, "p": P})
    table = Tabulated(Grid.from_axes(frame["x"]), frame["p"])
    assert (table.grid, table.values.tolist()) == (Grid.from_axes(X), P.tolist())
    with pytest.raises(TypeError, match=r"got Series; columns, such as those of a polars DataFrame, go into Tabulated"):
        Tabulated.from_series(frame["p"])


# A DataArray and its coordinates


def _array(values=PLANE, **coords):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(values, dims=("t", "h"), coords={"t": T, "h": H, **coords})


def test_a_data_array_brings_its_axes():
    for array in (_array(), _array()[::-1], _array()[:, ::-1], _array()[::-1, ::-1], _array(PLANE.astype(np.float32))):
        table = Tabulated.from_xarray(array)
        assert table.grid == Grid.from_axes(T, H)
        np.testing.assert_allclose(table.values, PLANE, rtol=1e-7 if array.dtype == np.float32 else 0)
    assert Tabulated.from_xarray(_array().T).grid == Grid.from_axes(H, T)
    table = Tabulated.from_xarray(np.log(_array()[3]), log=True, floor=1e-2)
    assert (table.grid, table.log, table.floor) == (Grid.from_axes(H), True, 1e-2)
    np.testing.assert_allclose(np.exp(table.values), PLANE[3], rtol=1e-14)


def test_a_data_array_in_chunks_is_read():
    pytest.importorskip("dask")
    assert Tabulated.from_xarray(_array().chunk({"t": 3})).values.tolist() == PLANE.tolist()


def test_further_coordinates_do_not_matter():
    array = _array().assign_coords(run=7, label=("t", list("abcdefghij")))
    assert Tabulated.from_xarray(array).grid == Grid.from_axes(T, H)


BAD_ARRAYS = {
    "no coordinate": (
        lambda: _array().drop_vars("h"),
        ValueError,
        r"dimension 'h' has no coordinate: .*array.assign_coords\(\{'h': nodes\}\)",
    ),
    "not monotonic": (
        lambda: _array(h=np.where(H[3] == H, 9, H)),
        ValueError,
        r"'h' must increase or decrease strictly, but 9.0 and -1.09\d+ are neighbours; .*sortby\('h'\)",
    ),
    "repeats": (lambda: _array(t=np.maximum(T, T[1])), ValueError, "'t' must increase or decrease strictly"),
    "dates": (
        lambda: _array(t=np.arange("2026-01-01", "2026-01-11", dtype="M8[D]").astype("M8[ns]")),
        TypeError,
        "coordinate 't' must be numbers, got datetime64",
    ),
    "few": (lambda: _array()[:5], ValueError, "coordinate 't': a grid needs at least 8 points, got 5"),
    "a number": (lambda: _array()[0, 0], ValueError, "without dimensions"),
    "a dataset": (lambda: _array().to_dataset(name="p"), TypeError, r"got Dataset; take one of its variables"),
    "an array": (lambda: PLANE, TypeError, "xarray.DataArray, got ndarray"),
    "negative": (lambda: _array(-PLANE), ValueError, "densities must be >= 0"),
}


@pytest.mark.parametrize(("make", "kind", "words"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_bad_data_array_is_named(make, kind, words):
    pytest.importorskip("xarray")
    with pytest.raises(kind, match=words):
        Tabulated.from_xarray(make())


@pytest.mark.parametrize("dtype", ["Int64", "Float64"])
def test_nullable_numbers_are_observations_and_counts(dtype):
    pd = pytest.importorskip("pandas")
    numbers = [1, 2, 5, 7]
    given = pd.Series(numbers, dtype=dtype)
    expected = Tabulated.from_samples(numbers, weights=numbers)
    np.testing.assert_array_equal(Tabulated.from_samples(given, weights=given).values, expected.values)
    found = Tabulated.from_histogram(given[:3], given)
    assert (found.n, found.edges[0].tolist()) == (8, numbers)
    pair = pd.DataFrame({"a": [0, 3, 1, 1], "b": numbers}).convert_dtypes()
    np.testing.assert_array_equal(
        Tabulated.from_samples(pair).values, Tabulated.from_samples(pair.to_numpy(dtype=float)).values
    )


# Versions of pandas differ in whether NA arrives as NaN, and so in the type of the error.
MISSING = (ValueError, TypeError)


@pytest.mark.parametrize("dtype", ["Int64", "Float64"])
@pytest.mark.parametrize("container", ["Series", "array"])
def test_a_missing_nullable_number_is_named(dtype, container):
    pd = pytest.importorskip("pandas")
    given = getattr(pd, container)([1, 2, None, 4], dtype=dtype)
    with pytest.raises(MISSING, match=r"observations must be (finite, but number 2 is nan|numbers, got <NA>)"):
        Tabulated.from_samples(given)
    with pytest.raises(MISSING, match=r"weights must be (finite, but number 2 is nan|numbers, got <NA>)"):
        Tabulated.from_samples([1, 2, 3, 4], weights=given)
    with pytest.raises(MISSING, match=r"counts must be (>= 0 and finite, but that of cell 2 is nan|numbers, got <NA>)"):
        Tabulated.from_histogram(given, range(5))
    with pytest.raises(MISSING, match=r"edges must be (finite, .* but one is nan|numbers, got <NA>)"):
        Tabulated.from_histogram([1, 2, 3], given)
