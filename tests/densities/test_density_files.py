"""Densities in .npz and .csv files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastkl import Grid
from fastkl.targets import parse_target

X = np.linspace(-4.0, 4.0, 81)
P = np.exp(-0.5 * X * X)
ROWS = "".join(f"{x!r},{p!r}\n" for x, p in zip(X.tolist(), P.tolist(), strict=True))


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".NPZ", ".CSV"])
@pytest.mark.parametrize("name", ["p", "logp"])
def test_a_density_file_holds_the_same_numbers(tmp_path, suffix, name):
    path, values = tmp_path / f"density{suffix}", P if name == "p" else -0.5 * X * X
    if suffix.lower() == ".npz":
        with path.open("wb") as file:
            np.savez(file, x=X, other=np.array(["ignored"]), **{name: values})
    else:  # 17 digits give every double back
        np.savetxt(path, np.column_stack([X, values]), delimiter=",", header=f"x,{name}", comments="", fmt="%.17g")
    density = parse_target(str(path))
    assert density.grid == Grid.from_axes(X)
    assert density.log is (name == "logp")
    assert density.values.tolist() == values.tolist()


SAME_CSV = {
    "plain": "x,p\n" + ROWS,
    "byte order mark": "\ufeffx,p\n" + ROWS,
    "spaces": " x , p\n" + ROWS.replace(",", " ,\t"),
    "blank lines": "x,p\n\n" + ROWS.replace("\n", "\n\n") + " , \n",
    "Windows line ends": ("x,p\n" + ROWS).replace("\n", "\r\n"),
    "no last line end": ("x,p\n" + ROWS).rstrip("\n"),
    "quotes": '"x","p"\n' + "".join('"{}","{}"\n'.format(*row.split(",")) for row in ROWS.splitlines()),
    "other order": "p,x\n" + "".join("{1},{0}\n".format(*row.split(",")) for row in ROWS.splitlines()),
    "more columns": "name,x,p,note\n" + "".join(f"a,{row},b\n" for row in ROWS.splitlines()),
}


@pytest.mark.parametrize("text", SAME_CSV.values(), ids=SAME_CSV)
def test_the_layout_of_a_csv_file_does_not_matter(tmp_path, text):
    path = tmp_path / "density.csv"
    path.write_bytes(text.encode())
    density = parse_target(str(path))
    assert (density.grid.axes[0].tolist(), density.values.tolist()) == (X.tolist(), P.tolist())


BAD_CSV = {
    "a word": ("x,p\n1,2\n2,oops\n", "line 3", "'oops'", "number"),
    "a word after a blank line": ("x,p\n1,2\n\n2,oops\n", "line 4", "'oops'"),
    "an empty cell": ("x,p\n1,2\n2,\n", "line 3", "empty cell", "number"),
    "a short row": ("x,p\n1,2\n2\n", "line 3", "2 columns", "got 1"),
    "not UTF-8": ("x,p\n1,2\n2,3\xe9\n", "line 3", "xe9"),
    "a quote that never ends": ('x,p,name\n1,2,"a\n2,3,b\n', "line "),
    "no header": ("0,1\n1,2\n", "x and either p or logp", "0, 1"),
    "no p": ("x,q\n0,1\n", "x and either p or logp", "x, q"),
    "p and logp": ("x,p,logp\n0,1,0\n", "x and either p or logp", "x, p, logp"),
    "empty": ("",),
    "only a header": ("x,p\n", "no numbers"),
    "two columns of one name": ("x,p,p\n0,1,2\n1,2,3\n", "2 columns are named 'p'"),
    "few points": ("x,p\n0,1\n1,1\n", "at least 8 points", "got 2"),
    "falling": ("x,p\n" + "".join(f"{-i},1\n" for i in range(9)), "line 3", "increase", "node 1 is -1.0"),
    "infinite x": ("x,p\n" + "".join(f"{i},1\n" for i in range(8)) + "inf,1\n", "line 10", "finite", "inf"),
    "negative": ("x,p\n" + "".join(f"{i},{2 - i}\n" for i in range(9)), "line 5", ">= 0", "x = 3", "-1.0"),
    "NaN": ("x,p\n" + "".join(f"{i},nan\n" for i in range(9)), "line 2", "NaN", "9 of 9 rows", "--drop-nan"),
    "all zero": ("x,p\n" + "".join(f"{i},0\n" for i in range(9)), "no mass", "0.0"),
}


@pytest.mark.parametrize(("text", "words"), [(t, w) for t, *w in BAD_CSV.values()], ids=BAD_CSV)
def test_an_error_in_a_csv_file_names_the_file_and_the_place(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse_target(str(path))
    assert all(word in str(error.value) for word in [str(path), *words]), str(error.value)


BAD_NPZ = {
    "no x": ({"p": P}, "x and either p or logp"),
    "p and logp": ({"x": X, "p": P, "logp": P}, "x, p, logp"),
    "lengths": ({"x": X, "p": P[1:]}, "(81,)", "(80,)"),
    "a matrix": ({"x": X.reshape(9, 9), "p": P.reshape(9, 9)}, "one-dimensional", "(9, 9)"),
    "objects": ({"x": X, "p": np.array([None] * 81)}, "bject"),
    "text": ({"x": X, "p": np.array(["a"] * 81)}, "'a'"),
    "complex": ({"x": X, "p": P + 1j}, "complex"),
    "falling": ({"x": X[::-1], "p": P}, "increase", "node 0 is 4.0"),
}


@pytest.mark.parametrize(("arrays", "words"), [(a, w) for a, *w in BAD_NPZ.values()], ids=BAD_NPZ)
def test_an_error_in_an_npz_file_names_the_file_and_the_value(tmp_path, arrays, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises((ValueError, TypeError)) as error:
        parse_target(str(path))
    assert all(word in str(error.value) for word in [str(path), *words]), str(error.value)


def _damaged(path: Path, how: str) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, x=X, p=P) if how != "an .npy file" else np.save(file, P)
    content = bytearray(path.read_bytes())
    if how == "bad compression":
        content[120:180] = bytes(byte ^ 0xFF for byte in content[120:180])
    cut = {"truncated": content[:300], "empty": b"", "text": b"x,p\n1,2\n"}
    path.write_bytes(cut.get(how, content))


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "an .npy file", "bad compression"])
def test_a_damaged_npz_file_is_named(tmp_path, how):
    path = tmp_path / "damaged.npz"
    _damaged(path, how)
    with pytest.raises(ValueError, match="npz") as error:
        parse_target(str(path))
    assert str(path) in str(error.value)
