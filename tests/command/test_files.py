"""Files of every layout and format, and what is said about those that cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from fastkl import FitResult, Grid
from fastkl.jit import JIT_DISABLED
from fastkl.targets import parse_target, read_target
from tests.cli import run

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="fits take minutes without compiled code")

X = np.linspace(-6.0, 6.0, 121)
P = np.exp(-0.5 * X * X)
ROWS = [f"{x!r},{p!r}" for x, p in zip(X.tolist(), P.tolist(), strict=True)]
CSV = "\n".join(["x,p", *ROWS]) + "\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _joined(by, header="x,p", above=(), below=()):
    return "\n".join([*above, header.replace(",", by), *below, *(row.replace(",", by) for row in ROWS)]) + "\n"


LAYOUTS = {
    "semicolons": _joined(";"),
    "tabs": _joined("\t"),
    "blanks": _joined("   "),
    "blanks before and behind": "\n".join(f"  {line}  " for line in _joined("\t ").splitlines()),
    "comments": _joined(",", above=["# from a, b; and \t c", "  # of today", ""], below=["# numbers:"]),
    "semicolons and a comma in a name": _joined(";", header="x;p;a, b, c").replace("\n", ";0\n").replace("c;0", "c"),
    "names in a comment, as np.savetxt writes them": _joined(" ", header="# x,p", above=["# a table"]),
    "names in a comment, commas": _joined(",", header="# x , p"),
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layout_of_a_text_does_not_matter(text):
    Path("table.txt").write_text(text)
    density = parse_target("table.txt")
    assert (density.grid.axes[0].tolist(), density.values.tolist()) == (X.tolist(), P.tolist())


def test_numpy_writes_a_table_that_is_read():
    np.savetxt("table.dat", np.column_stack([X, P]), header="x p", fmt="%.17g")
    assert parse_target("table.dat").values.tolist() == P.tolist()


def test_one_column_may_have_a_name_of_two_words():
    Path("lengths.csv").write_text("petal length\n1.5\n2.5\n4\n")
    assert read_target("lengths.csv", samples="petal length").n_rows == 3


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize(("suffix", "pack"), PACKERS.items())
def test_a_compressed_text_is_read_and_a_damaged_one_is_named(suffix, pack):
    name = f"table.csv{suffix}"
    Path(name).write_bytes(pack(CSV.encode()))
    assert parse_target(name).values.tolist() == P.tolist()
    for damaged in (pack(CSV.encode())[:-40], CSV.encode()):
        Path(name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}: the compressed data are damaged"):
            parse_target(name)


def test_utf_16_is_text_too():
    Path("table.csv").write_text(CSV, encoding="utf-16")
    assert parse_target("table.csv").values.tolist() == P.tolist()


def test_a_file_with_another_ending_is_text():
    Path("table").write_text(CSV)
    assert parse_target("table").values.tolist() == P.tolist()


def _frame():
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"lon": X, "density": P, "name": "a"})


FORMATS = {
    ".parquet": ("pyarrow", "to_parquet", {}),
    ".feather": ("pyarrow", "to_feather", {}),
    ".xlsx": ("openpyxl", "to_excel", {"index": False}),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_pandas_reads_other_formats(suffix):
    package, write, options = FORMATS[suffix]
    frame = _frame()
    pytest.importorskip(package)
    getattr(frame, write)(f"table{suffix}", **options)
    density = parse_target(f"table{suffix}", x=["lon"], p="density")
    np.testing.assert_allclose(density.values, P, rtol=1e-15)
    with pytest.raises(ValueError, match="no column 'z', only lon, density, name"):
        parse_target(f"table{suffix}", x=["z"], p="density")
    with pytest.raises(ValueError, match="column 'name' must be numbers"):
        parse_target(f"table{suffix}", x=["lon"], p="name")
    frame.loc[7, "density"] = np.nan
    getattr(frame, write)(f"table{suffix}", **options)
    with pytest.raises(ValueError, match=r"row 8: .* 1 of 121 rows lacks one: --drop-nan"):
        parse_target(f"table{suffix}", x=["lon"], p="density")
    Path(f"table{suffix}").write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    with pytest.raises(ValueError, match=rf"table{suffix}: not a readable {suffix} file"):
        parse_target(f"table{suffix}")


def test_an_index_with_a_name_is_a_column():
    frame = _frame()
    pytest.importorskip("pyarrow")
    frame.set_index("lon").to_parquet("table.parquet")
    assert parse_target("table.parquet", x=["lon"], p="density").values.tolist() == P.tolist()


@pytest.mark.parametrize(
    ("missing", "words"),
    [("pandas", "table.parquet | pandas | pip install 'fastkl[files]'"), ("pyarrow", "table.parquet | pyarrow")],
)
def test_a_package_that_is_missing_is_named(capsys, monkeypatch, missing, words):
    pytest.importorskip("pandas")
    Path("table.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, missing, None)
    status, out, err = run(capsys, "fit", "table.parquet")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in words.split(" | ")), err


def test_plain_files_need_no_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    Path("table.csv").write_text(CSV)
    np.savez("table.npz", x=X, p=P)
    assert parse_target("table.csv").values.tolist() == parse_target("table.npz").values.tolist() == P.tolist()


# Long form


def _plane(rows=slice(None)):
    """A table on 10 x 12 nodes, in any order."""
    x, y = np.linspace(0, 9, 10), np.linspace(-1, 1, 12) ** 3
    table = np.column_stack([*(line.ravel() for line in np.meshgrid(x, y, indexing="ij")), np.arange(1.0, 121.0)])
    return x, y, np.random.default_rng(3).permutation(table)[rows]


def _write(name, header, table):
    np.savetxt(name, table, delimiter=",", header=header, comments="", fmt="%.17g")


@pytest.mark.parametrize(("header", "names"), [("x,y,p", {}), ("x0,x1,p", {}), ("a,b,c", {"x": ["a", "b"], "p": "c"})])
def test_a_table_in_long_form_may_have_any_order(header, names):
    x, y, table = _plane()
    _write("plane.csv", header, table)
    density = parse_target("plane.csv", **names)
    assert density.grid == Grid.from_axes(x, y)
    assert density.values.tolist() == np.arange(1.0, 121.0).reshape(10, 12).tolist()


def test_an_archive_may_hold_a_long_form_or_a_whole_array():
    x, y, table = _plane()
    np.savez("long.npz", a=table[:, 0], b=table[:, 1], c=table[:, 2])
    np.savez("whole.npz", a=x, b=y, c=np.arange(1.0, 121.0).reshape(10, 12))
    for name in ("long.npz", "whole.npz"):
        density = parse_target(name, x=["a", "b"], p="c")
        assert density.grid == Grid.from_axes(x, y)
        assert density.values.tolist() == np.arange(1.0, 121.0).reshape(10, 12).tolist()


def test_the_order_of_the_axes_is_that_of_the_names():
    x, y, table = _plane()
    _write("plane.csv", "x,y,p", table)
    assert parse_target("plane.csv", x=["y", "x"]).grid == Grid.from_axes(y, x)


def test_a_node_without_a_row_or_with_two_is_named():
    _, _, table = _plane()
    _write("plane.csv", "x,y,p", np.delete(table, [5, 50], axis=0))
    with pytest.raises(ValueError, match=r"plane.csv: .* 10 x 12 nodes, but 2 of them have no row") as error:
        parse_target("plane.csv")
    missing = table[[5, 50]]
    first = missing[np.lexsort(missing[:, 1::-1].T)[0]]
    assert f"x = {first[0]:.6g}, y = {first[1]:.6g}" in str(error.value)
    _write("plane.csv", "x,y,p", np.vstack([table, table[7], table[7]]))
    place = f"x = {table[7, 0]:.6g}, y = {table[7, 1]:.6g}"
    with pytest.raises(ValueError, match=rf"but 1 of them stand in more than one row, the first at {place}"):
        parse_target("plane.csv")


def test_scattered_points_are_no_grid_and_take_no_memory():
    _write("points.csv", "x,y,z,p", np.random.default_rng(0).random((20_000, 4)))
    with pytest.raises(ValueError, match="20000 x 20000 x 20000 nodes, but 7999999980000 of them have no row"):
        parse_target("points.csv")


# Numbers that are missing


@pytest.mark.parametrize("cell", ["", "NaN", "nan", "NA", " n/a ", "null"])
def test_rows_without_a_number_are_counted_and_dropped_on_request(capsys, cell):
    rows = [f"{x!r},{cell}" if i in (3, 70) else f"{x!r},{p!r}" for i, (x, p) in enumerate(zip(X, P, strict=True))]
    text = "\n".join(["# a table", "x,p", *rows]).replace("np.float64(", "").replace(")", "")
    Path("gaps.csv").write_text(text)
    status, out, err = run(capsys, "fit", "gaps.csv")
    assert (status, out) == (2, "")
    assert "gaps.csv, line 6: " in err
    assert "2 of 121 rows lack one: --drop-nan" in err
    options = ["--drop-nan", "--direction", "forward", "--rtol", "1", "--json", "fit.json"]
    _, out, err = run(capsys, "fit", "gaps.csv", *options)
    assert err == ""
    assert "gaps.csv, 2 of 121 rows dropped\ngrid  119 points" in out
    assert json.loads(Path("fit.json").read_text())["n_dropped"] == 2
    _, out, _ = run(capsys, "kl", "gaps.csv", "N(0,1)", "--drop-nan")
    assert "dropped       2 of 121 rows of P" in out


def test_a_file_of_nothing_but_gaps_stays_an_error():
    Path("gaps.csv").write_text("v\nNA\nNA\n")
    with pytest.raises(ValueError, match=r"gaps.csv: all 2 rows lack a number"):
        parse_target("gaps.csv", samples="v", drop_nan=True)


def test_gaps_in_other_columns_do_not_matter():
    Path("table.csv").write_text(CSV.replace("\n", ",\n").replace("x,p,", "x,p,note"))
    assert read_target("table.csv")[1:] == (121, 0)


# Files that cannot be read

BINARY = {
    "picture.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)),
    "table.csv": b"PK\x03\x04\x14\x00\x00\x00" + bytes(range(256)),
    "picture": b"\x1f\x8b\x08\x08" + bytes(range(256)),
    "page.pdf": b"%PDF-1.4\n%\xac\xdc \xab\xba\n1 0 obj\nstream\n" + bytes(range(256)),
}


@pytest.mark.parametrize(("name", "content"), BINARY.items())
def test_binary_data_are_named_and_never_shown(capsys, name, content):
    Path(name).write_bytes(content)
    status, out, err = run(capsys, "fit", name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"fastkl: error: {name}: the file holds binary data" in err
    assert ".parquet" in err
    assert err.isascii()


def test_a_table_without_names_is_told_so(capsys):
    Path("numbers.txt").write_text("1.5\n2.5\n4\n")
    for options in ([], ["--samples", "v"]):
        status, _, err = run(capsys, "fit", "numbers.txt", *options)
        assert status == 2
        assert "1.5 (the first row, or a comment above it, must name the columns)" in err
    Path("years.csv").write_text("2019,2020\n1,2\n3,4\n5,7\n")  # names that happen to be numbers
    assert read_target("years.csv", samples="2020").n_rows == 3


def test_many_columns_are_not_all_listed():
    Path("wide.csv").write_text(",".join(f"c{i}" for i in range(500)) + "\n")
    with pytest.raises(ValueError, match=r"c18, c19 and 480 more; --x and --p or --logp name other columns, --samples"):
        parse_target("wide.csv")


# Standard input and output


def _standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_target_comes_from_standard_input_and_json_goes_to_standard_output(capsys, monkeypatch):
    _standard_input(monkeypatch, CSV.encode())
    status, out, err = run(capsys, "fit", "-", "--direction", "forward", "--rtol", "1", "--json", "-")
    assert (status, err) == (0, "")
    content = json.loads(out)  # nothing but JSON
    np.testing.assert_allclose(FitResult.from_dict(content["results"][0]).q.scale, 1.0, rtol=1e-6)
    assert list(Path().iterdir()) == []


def test_observations_come_from_standard_input(capsys, monkeypatch):
    _standard_input(monkeypatch, b"v\n1\n2.5\n-0.4\n")
    status, out, _ = run(capsys, "fit", "-", "--samples", "v", "--direction", "forward")
    assert status == 0
    assert out.startswith("p     standard input, column v\n")


def test_a_line_of_standard_input_is_named(capsys, monkeypatch):
    _standard_input(monkeypatch, b"x,p\n1,2\n2,oops\n")
    assert "standard input, line 3: expected a number, got 'oops'" in run(capsys, "kl", "-", "N(0,1)")[2]


@pytest.mark.parametrize("command", [["kl", "N(0,1)", "N(1,1)"], ["surface", "--direction", "forward"]])
def test_every_command_writes_json_to_standard_output(capsys, command):
    status, out, err = run(capsys, *command, "--json", "-")
    assert (status, err) == (0, "")
    assert isinstance(json.loads(out), dict)


# Options of columns


def test_other_names_of_columns_and_a_floor(capsys):
    box = np.where(abs(X) < 3, P, 0.0)
    _write("table.csv", "lon,density", np.column_stack([X, box]))
    _write("logs.csv", "lon,height", np.column_stack([X, -0.5 * X * X]))
    assert run(capsys, "fit", "table.csv", "--x", "lon", "--p", "density", "--direction", "reverse")[0] == 2
    status, out, _ = run(capsys, "fit", "table.csv", "--x", "lon", "--p", "density", "--floor", "1e-9", "--rtol", "1")
    assert (status, out.count("success: ")) == (0, 2)
    assert parse_target("table.csv", x=["lon"], p="density", floor=1e-9).n_floored == int((box == 0.0).sum())
    density = parse_target("logs.csv", x=["lon"], logp="height")
    assert (density.log, density.values.tolist()) == (True, (-0.5 * X * X).tolist())


BAD_OPTIONS = {
    "column of a formula": (["fit", "N(0,1)", "--p", "density"], "--p is for a file | 'N(0,1)'"),
    "drop of a formula": (["kl", "N(0,1)", "N(1,1)", "--drop-nan"], "--drop-nan is for a file"),
    "unknown axis": (["fit", "table.csv", "--x", "lat"], "table.csv: no column 'lat', only x, p"),
    "unknown values": (["fit", "table.csv", "--p", "q"], "table.csv: no column 'q', only x, p"),
    "an axis twice": (["fit", "table.csv", "--x", "x", "--x", "x"], "each axis | --x x --x x"),
    "both": (["fit", "table.csv", "--p", "p", "--logp", "p"], "--logp | not allowed with argument --p"),
    "floor": (["fit", "table.csv", "--floor", "2"], "table.csv: floor must lie between 0 and 1, got 2.0"),
    "samples": (["fit", "table.csv", "--samples", "x", "--p", "p"], "--p | not for --samples"),
    "rtol": (["fit", "table.csv", "--rtol", "-1"], "rtol must be >= 0, got -1.0"),
    "mass_tol": (["fit", "table.csv", "--mass-tol", "-1"], "mass_tol must be >= 0, got -1.0"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_options_that_do_not_fit_are_refused(capsys, arguments, words):
    Path("table.csv").write_text(CSV)
    status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in words.split(" | ")), err


def test_tolerances_reach_the_fit(capsys):
    narrow = ["fit", "N(0,1)", "--grid=-3:3:601", "--direction", "reverse"]
    assert run(capsys, *narrow)[0] == 1
    assert run(capsys, *narrow, "--mass-tol", "0.01")[0] == 0


# One direction that is refused


def _zeros():
    _write("zeros.csv", "x,p", np.column_stack([X, np.where(abs(X) < 3, P, 0.0)]))


def test_the_forward_fit_is_shown_where_the_reverse_one_is_refused(capsys):
    _zeros()
    status, out, err = run(capsys, "fit", "zeros.csv", "--rtol", "1", "--json", "fit.json")
    assert (status, err) == (1, "")
    forward, reverse = out[out.index("forward ") :].split("\n\n")
    assert "success: " in forward
    assert reverse.startswith("reverse  min KL(q||p)  seeks a mode\n  REFUSED: p is 0 at x = -6")
    assert "--floor" in reverse
    content = json.loads(Path("fit.json").read_text())
    assert [result["direction"] for result in content["results"]] == ["forward"]
    assert "p is 0 at x = -6" in content["refused"]["reverse"]


def test_a_picture_of_the_fit_that_there_is(capsys):
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    _zeros()
    assert run(capsys, "fit", "zeros.csv", "--plot", "fit.png")[0] == 1
    assert Path("fit.png").stat().st_size > 1000


def test_two_refusals_are_both_explained_on_one_line(capsys):
    x = np.linspace(0, 1, 101)
    _write("zeros.csv", "x,p", np.column_stack([x, np.where(x < 0.5, 1.0, 0.0)]))
    status, out, err = run(capsys, "fit", "zeros.csv", "--family", "gamma")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "forward: p is positive at x = 0" in err
    assert "reverse: p is 0 at x = 0.5" in err
    status, out, err = run(capsys, "fit", "zeros.csv", "--family", "cauchy")
    assert (status, err.count("'cauchy'")) == (2, 1)  # one reason for both is said once


def test_a_mixture_is_fitted_in_its_only_direction(capsys):
    status, out, err = run(capsys, "fit", "--family", "mixture", "--components", "2")
    assert (status, err) == (0, "")
    assert "reverse" not in out


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"x": X, "p": [P, P]},
            "array 'p' of shape (2, 121) holds 2 densities | Tabulated(fastkl.Grid.from_axes(x), p)",
        ),
        (
            {"x": X, "logp": [[P]]},
            "array 'logp' of shape (1, 1, 121) holds 1 densities | from_axes(x), logp, log=True)",
        ),
        ({"edges": range(5), "counts": np.ones((3, 4))}, "holds 3 densities | Tabulated.from_histogram(counts, edges)"),
    ],
)
def test_a_batch_is_refused_with_the_call_that_takes_it(arrays, words):
    np.savez("batch.npz", **arrays)
    with pytest.raises(ValueError, match="the command takes one; in Python") as error:
        parse_target("batch.npz")
    assert all(word in str(error.value) for word in words.split(" | ")), error.value
