"""The command line: what it prints, and what it says to bad input."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli import run

ROOT = Path(__file__).parents[2]
GRID = "--grid=-12:12:241"
"""Wide and fine enough for six digits of every number of the reference example."""

TABLE = r"""p     0\.5\*N\(-2,0\.6\) \+ 0\.5\*N\(2,0\.6\)
grid  241 points from -12 to 12

forward .*
  q +N\(0, 2\.08806\)
  KL\(p\|\|q\) +0\.555156
  KL\(q\|\|p\) +\d\.\d+
  error +\S+
  mass outside +\S+ of q, \S+ of p
  success: .*

reverse .*
  q +N\(-1\.997\d*, 0\.60[45]\d*\)
  KL\(p\|\|q\) +\d+\.\d+
  KL\(q\|\|p\) +0\.69183\d
  minima +3
 +0\.69183\d +N\(-1\.997\d*, 0\.60[45]\d*\)
 +0\.69183\d +N\(1\.997\d*, 0\.60[45]\d*\)
 +1\.1383\d +N\(0, 1\.790\d*\)
  error +\S+
  mass outside +\S+ of q, \S+ of p
  success: .*
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_fit_without_a_target_prints_the_reference_example(capsys):
    status, out, err = run(capsys, "fit", GRID)
    assert (status, err) == (0, "")
    assert re.fullmatch(TABLE, out), out


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_one_direction_is_one_block(capsys, direction):
    options = ["--direction", direction, "--family", "normal", "--grid=-19:21:161"]
    status, out, err = run(capsys, "fit", "N(1,2)", *options)
    assert (status, err) == (0, "")
    assert re.findall("^(forward|reverse) ", out, re.MULTILINE) == [direction]
    assert "N(1, 2)" in out
    assert "  success: " in out
    divergences = re.findall(r"^  KL\(.*\) +(\S+)$", out, re.MULTILINE)
    assert [float(d) < 1e-12 for d in divergences] == [True, True]  # q is p: the bound that was asked for


def test_the_bounds_of_a_grid_may_be_a_word_of_their_own(capsys):
    assert run(capsys, "fit", "N(1,2)", "--grid", "-19:21:161") == run(capsys, "fit", "N(1,2)", "--grid=-19:21:161")


KL = {
    "nats": ([], 0.5, "nats"),
    "bits": (["--base", "2"], 0.5 / math.log(2), "bits"),
    "hartleys": (["--base", "10"], 0.5 / math.log(10), "hartleys"),
    "base e": (["--base", "e"], 0.5, "nats"),
    "base 3": (["--base", "3"], 0.5 / math.log(3), "units of log(3)"),
    "grid": (["--grid=-12:13:251"], 0.5, "trapezoid, 251 points"),
}


@pytest.mark.parametrize(("options", "value", "words"), KL.values(), ids=KL)
def test_kl_prints_the_divergence(capsys, options, value, words):
    status, out, err = run(capsys, "kl", "N(0,1)", "N(1,1)", *options)
    assert (status, err) == (0, "")
    assert float(out.split()[1]) == pytest.approx(value, rel=1e-13)  # 15 digits are printed, a few may be rounded
    assert words in out


def test_a_column_of_observations_is_a_target(capsys):
    Path("data.csv").write_text("v,name\n1,a\n2.5,b\n-0.4,c\n")
    options = ["--samples", "v", "--bandwidth", "0.5", "--direction", "forward", "--grid=-5:6:221"]
    status, out, err = run(capsys, "fit", "data.csv", *options)
    assert (status, err) == (0, "")
    assert "data.csv, column v" in out
    # Four digits: the mean is kept, and binning onto 2049 points adds less than 1e-4 to a variance of 1.65.
    assert re.search(r" q +N\(1\.033\d*, 1\.285\d*\)", out), out


def test_python_m_fastkl_is_the_command():
    command = [sys.executable, "-m", "fastkl", "fit", GRID]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(TABLE, result.stdout)
    bad = subprocess.run([*command, "--family", "cauchy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)


@pytest.fixture
def files():
    """Files of every kind, most of them bad."""
    x = np.linspace(-4, 4, 81)
    np.savez("box.npz", x=x, p=(abs(x) < 2.05).astype(float))
    np.savez("negative.npz", x=x, p=-np.ones(81))
    Path("text.npz").write_text("x,p\n1,2\n")
    Path("word.csv").write_text("x,p\n1,2\n2,oops\n")
    Path("short.csv").write_text("x,p\n1,2\n2\n")
    Path("semicolons.csv").write_text("x;p\n1;2\n")
    Path("data.csv").write_text("v\n1\n2\n3\n")
    Path("folder.csv").mkdir()
    Path("folder").mkdir()


# What the line on stderr must contain stands behind each call, between bars.
BAD_CALLS = {
    "no command": ([], "COMMAND"),
    "unknown command": (["draw"], "'draw' | 'fit', 'surface', 'kl'"),
    "unknown option": (["fit", "--colour"], "--colour"),
    "no Q": (["kl", "N(0,1)"], "Q"),
    "formula": (["fit", "N(0;1)"], "position 0 | 'N(0;1)' | 0.5*N(-2,0.6)"),
    "formula of two lines": (["fit", "N(0,1)\n-N(1,1)"], "position 7 | '-' | '+'"),
    "scale": (["fit", "N(0,-1.5)"], "scale | > 0 | -1.5"),
    "weights": (["kl", "N(0,1)", "0.5*N(0,1)+0.4*N(1,1)"], "sum to 1 | 0.9"),
    "neither": (["fit", "data.doc"], "'data.doc' | .npz | .csv"),
    "no file": (["fit", "no.csv"], "no.csv: No such file"),
    "no archive": (["kl", "no.npz", "N(0,1)"], "no.npz: No such file"),
    "folder": (["fit", "folder.csv"], "folder.csv: Is a directory"),
    "not a number": (["fit", "word.csv"], "word.csv, line 3 | 'oops' | number"),
    "short row": (["fit", "short.csv"], "short.csv, line 3 | 2 columns | got 1"),
    "short table": (["fit", "semicolons.csv"], "semicolons.csv | at least 8 points"),
    "text for an archive": (["fit", "text.npz"], "text.npz | .npz"),
    "negative": (["fit", "negative.npz"], "negative.npz | >= 0 | -1.0"),
    "zeros": (["fit", "box.npz", "--direction", "reverse"], "x = -4 | log | floor"),
    "no mass": (["fit", "N(0,0.001)", "--grid=10:20:101"], "no mass | [10.0, 20.0]"),
    "no column": (["fit", "data.csv", "--samples", "w"], "'w' | v"),
    "samples without a file": (["fit", "--samples", "v"], "TARGET"),
    "support": (["fit", "data.csv", "--samples", "v", "--support", "0"], "A:B | 0:inf | '0'"),
    "support turned": (["fit", "data.csv", "--samples", "v", "--support=inf:0"], "lower < upper | (inf, 0)"),
    "support without samples": (["fit", "N(0,1)", "--support=0:inf"], "--support | --samples"),
    "bandwidth": (["fit", "data.csv", "--samples", "v", "--bandwidth", "wide"], "'wide' | 'scott' | 'silverman'"),
    "bandwidth without samples": (["fit", "data.csv", "--bandwidth", "0.5"], "--bandwidth | --samples"),
    "mixture": (["fit", "N(0,1)", "--family", "mixture"], "--family mixture | --components"),
    "folder without ending": (["fit", "folder"], "folder: Is a directory"),
    "folder of samples": (["fit", "folder", "--samples", "v"], "folder: Is a directory"),
    "folder with columns": (["kl", "folder", "N(0,1)", "--x", "v"], "folder: Is a directory"),
    "no table": (["fit", "data.csv"], "x and either p or logp | left, right, count; edge, count | edges and counts"),
    "bandwidth 0": (["fit", "data.csv", "--samples", "v", "--bandwidth", "0"], "> 0 | 0.0"),
    "grid of two": (["fit", "--grid=0:1"], "LO:HI:N | '0:1'"),
    "grid of four": (["fit", "--grid=0:1:9:9"], "LO:HI:N | '0:1:9:9'"),
    "grid of words": (["fit", "--grid=a:b:c"], "'a:b:c'"),
    "grid falls": (["fit", "--grid=1:0:101"], "lower < upper | '1:0:101'"),
    "grid of NaN": (["kl", "N(0,1)", "N(0,2)", "--grid=nan:1:101"], "finite | 'nan:1:101'"),
    "grid of 7": (["fit", "--grid=0:1:7"], "at least 8 | '0:1:7'"),
    "grid of 10.5": (["fit", "--grid=0:1:10.5"], "'0:1:10.5'"),
    "direction": (["fit", "--direction", "up"], "'up' | 'both', 'forward', 'reverse'"),
    "family": (["fit", GRID, "--family", "cauchy"], "'cauchy' | 'normal'"),
    "base": (["kl", "N(0,1)", "N(0,2)", "--base", "1"], "base | 1.0"),
    "base of words": (["kl", "N(0,1)", "N(0,2)", "--base", "two"], "--base | 'two'"),
    "plot of a kind": (["fit", GRID, "--plot", "fits.doc"], "'fits.doc' | png | svg | pdf"),
    "plot in no folder": (["fit", GRID, "--plot", "no/fits.png"], "no/fits.png | there is no folder"),
    "json in no folder": (["fit", GRID, "--json", "no/fit.json"], "no/fit.json | there is no folder"),
    "json is a folder": (["fit", GRID, "--json", "folder.csv"], "folder.csv | it is a folder"),
}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("arguments", "words"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_is_one_line_on_stderr_and_status_2(capsys, arguments, words):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"fastkl( fit| kl| surface)?: error: [^\n]+\n", err)
    assert all(word in err for word in words.split(" | ")), err


def test_a_fit_that_is_no_success_is_printed_with_status_1(capsys):
    status, out, err = run(capsys, "fit", "N(0,1)", "--grid=-3:3:101")
    assert (status, err) == (1, "")
    assert "NO SUCCESS" in out
    assert "mass_tol" in out


def test_a_ranking_whose_best_fit_is_no_success_is_printed_with_status_1(capsys):
    status, out, err = run(capsys, "fit", "N(0,1)", "--family", "all", "--direction", "forward", "--grid=-3:3:101")
    assert (status, err) == (1, "")
    assert "normal" in out


def test_observations_are_estimated_on_the_grid_that_is_asked_for(capsys):
    Path("data.csv").write_text("v\n1\n2.5\n-0.4\n")
    status, out, _ = run(capsys, "fit", "data.csv", "--samples", "v", "--grid=-20:20:801")
    assert status == 0
    assert "grid  801 points from -20 to 20" in out


@pytest.mark.parametrize("support", [[], ["--support", "0:inf"]])
def test_a_family_with_an_end_is_fitted_to_observations(capsys, support):
    amounts = np.random.default_rng(3).gamma(2.0, 3.0, 50)
    Path("data.csv").write_text("v\n" + "\n".join(map(repr, amounts.tolist())))
    status, out, err = run(capsys, "fit", "data.csv", "--samples", "v", "--family", "gamma", *support)
    assert (status, err) == (0, "")
    assert ("support=(0, inf)" in out) == (not support)
    assert len(re.findall(r" q +Gamma\(a=\d", out)) == 2
