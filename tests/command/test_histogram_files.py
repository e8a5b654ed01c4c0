"""Histograms on the command line: files of cells and counts."""

import json

import numpy as np
import pytest

from fastkl import Histogram, Tabulated, fit
from fastkl.targets import parse_target
from tests.cli import run

CELLS = "left,right,count\n0,1,3\n1,2,8\n2,4,5\n4,6,2\n"
EDGES = "# of a survey\nedge;count\n0;3\n1;8\n2;5\n4;2\n6;{}\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", [CELLS, EDGES.format(""), EDGES.format("0"), EDGES.format("NaN")])
def test_both_layouts_hold_the_same_counts(here, text):
    (here / "h.csv").write_text(text)
    p = parse_target("h.csv")
    assert isinstance(p, Histogram)
    assert (p.counts.tolist(), p.edges[0].tolist(), p.n) == ([3, 8, 5, 2], [0, 1, 2, 4, 6], 18)
    assert parse_target("h.csv", pseudocount=0.5).pseudocount == 0.5


@pytest.mark.parametrize("case", [str.lower, str.title, str.upper])
def test_arrays_of_numpy_are_read(here, case):
    counts, edges = np.histogram([1, 2, 2, 5, 7.5], 4)
    np.savez(here / "h.npz", **{case("counts"): counts, case("edges"): edges})
    p = parse_target("h.npz")
    assert (p.counts.tolist(), p.edges[0].tolist()) == (counts.tolist(), edges.tolist())
    with pytest.raises(ValueError, match="--floor is for a table of densities"):
        parse_target("h.npz", floor=0.1)
    with pytest.raises(ValueError, match="no column 'mass'"):
        parse_target("h.npz", x=["mass"])


@pytest.mark.parametrize("text", [CELLS, EDGES.format("")])
@pytest.mark.parametrize("case", [str.title, str.upper])
def test_names_may_be_in_any_case_of_letters(here, text, case):
    (here / "h.csv").write_text(case(text))
    assert parse_target("h.csv").counts.tolist() == [3, 8, 5, 2]


def test_names_that_differ_only_in_the_case_of_letters_say_too_little(here):
    (here / "h.csv").write_text("left,right,Count,COUNT\n0,1,3,4\n1,2,8,9\n")
    with pytest.raises(ValueError, match="columns Count, COUNT differ only in the case of letters"):
        parse_target("h.csv")
    (here / "h.csv").write_text("left,right,Count,count\n0,1,3,4\n1,2,8,9\n")
    assert parse_target("h.csv").counts.tolist() == [4, 9]


def test_a_fit_of_counts_has_its_statistics(here, capsys):
    (here / "h.csv").write_text(CELLS)
    status, out, err = run(capsys, "fit", "h.csv", "--family", "gamma", "--json", "h.json")
    assert (status, err) == (0, "")
    assert "grid  4 cells from 0 to 6" in out
    assert "G-test" in out
    forward = json.loads((here / "h.json").read_text())["results"][0]
    expected = fit(Tabulated.from_histogram([3, 8, 5, 2], [0, 1, 2, 4, 6]), "gamma", direction="forward")
    assert forward["statistics"]["aic"] == expected.statistics.aic


def test_an_empty_cell_refuses_the_reverse_fit_alone(here, capsys):
    (here / "h.csv").write_text(CELLS.replace("2,4,5", "2,4,0"))
    status, out, _ = run(capsys, "fit", "h.csv")
    assert status == 1
    assert "REFUSED: 1 of 4 cells are empty, first that at x = 3" in out
    _, out, _ = run(capsys, "fit", "h.csv", "--pseudocount", "0.5")
    assert "REFUSED" not in out
    assert out.count("KL(q||p)") == 3  # twice a value, and the title of the reverse fit


def test_two_files_of_counts_say_what_chance_gives(here, capsys):
    (here / "a.csv").write_text(CELLS)
    (here / "b.csv").write_text(CELLS.replace("1,2,8", "1,2,9"))
    status, out, _ = run(capsys, "kl", "a.csv", "b.csv")
    assert status == 0
    assert "method        cells, 4 of them" in out
    assert "by chance     0.162 expected if one law filled both, p = " in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CELLS.replace("2,4,5", "2.5,4,5"), "h.csv, line 4: the cell begins at 2.5, where the one before ends at 2"),
        (CELLS.replace("2,4,5", "2,4,-5"), r"h.csv: counts must be >= 0 and finite, but that of cell 2 is -5\.0"),
        (CELLS.replace("4,6,2", "4,6,"), "h.csv, line 5: expected a number in column 'count', got an empty cell"),
        (EDGES.format("7"), "h.csv, line 7: the last row holds the last edge, without a count, got 7"),
        (EDGES.format("").replace("1;8", "1;"), "h.csv, line 4: expected a number in column 'count', got NaN"),
        (EDGES.format("").replace("2;5", "0.5;5"), "h.csv: edges must increase strictly"),
    ],
)
def test_bad_counts_are_named_with_their_place(here, text, message):
    (here / "h.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_target("h.csv")


def test_options_that_do_not_fit_are_named(here):
    (here / "h.csv").write_text(CELLS)
    (here / "t.csv").write_text("x,p\n" + "".join(f"{x},1\n" for x in range(9)))
    with pytest.raises(ValueError, match=r"--floor is for a table of densities, for counts there is --pseudocount"):
        parse_target("h.csv", floor=0.1)
    with pytest.raises(ValueError, match=r"--pseudocount is for columns left, right, count or edge, count"):
        parse_target("t.csv", pseudocount=0.5)


def test_all_families_are_ranked(here, capsys):
    (here / "h.csv").write_text(CELLS)
    status, out, _ = run(capsys, "fit", "h.csv", "--family", "all", "--direction", "forward", "--json", "all.json")
    assert status == 0
    assert "beta: a Beta lives between 0 and 1" in out
    content = json.loads((here / "all.json").read_text())
    aic = [r["statistics"]["aic"] for r in content["results"] if r["success"]]
    assert aic == sorted(aic)
    assert list(content["refused"]["forward"]) == ["beta"]
