"""The README and pages of data keep their promises: their commands are those that CI runs, and their Python runs."""

import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from fastkl.cli import main
from fastkl.jit import JIT_DISABLED

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OWN_DATA = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
MANY_FITS = (ROOT / "docs" / "many_fits.md").read_text(encoding="utf-8")


def blocks(language, page=README):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_ci_runs_exactly_the_two_commands():
    commands = [line for block in blocks("sh") for line in block.splitlines() if "pip install" in line]
    assert len(commands) == 2
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert all(command in ci for command in commands)


@pytest.mark.skipif(JIT_DISABLED, reason="grids of thousands of points take minutes without compiled code")
def test_every_other_command_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("fastkl ")]
    assert len(lines) == 5
    for line in lines:
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(JIT_DISABLED, reason="grids of thousands of points take minutes without compiled code")
def test_the_python_runs_and_the_printed_table_is_right():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["result"].success
    assert f"{names['fastkl'].kl_divergence(names['p'], names['q'], names['grid']):.4f}" in README
    pyplot.close("all")
    (table,) = blocks("text")
    printed = str(names["fastkl"].fit(names["p"], "normal", direction="reverse"))
    rounding = ("error", "mass outside")  # of the order of rounding, which differs between processors
    assert [line for line in table.splitlines() if line.split(maxsplit=1)[0] not in ("error", "mass")] == [
        line for line in printed.splitlines() if not line.strip().startswith(rounding)
    ]


@pytest.mark.skipif(JIT_DISABLED, reason="fits of all families take minutes without compiled code")
def test_the_page_on_your_own_data_runs(capsys, monkeypatch, tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python", OWN_DATA):
        exec(block, names)
    assert names["best"].success
    assert names["best"].statistics.pvalue > 0.05
    assert (tmp_path / "wine.png").stat().st_size > 10_000
    for line in (line for block in blocks("sh", OWN_DATA) for line in block.splitlines()):
        main(shlex.split(line)[1:])
    assert capsys.readouterr().err == ""
    pyplot.close("all")


@pytest.mark.skipif(JIT_DISABLED, reason="hundreds of fits take minutes without compiled code")
def test_the_page_on_many_fits_runs_and_the_printed_table_is_right(capsys):
    for package in ("sklearn", "PIL"):  # scikit-learn opens its pictures with Pillow
        pytest.importorskip(package)
    names = {}
    for block in blocks("python", MANY_FITS):
        exec(block, names)
    (table,) = blocks("text", MANY_FITS)
    assert str(names["results"]) == table.rstrip("\n")
    assert f"{np.count_nonzero(~names['tones'].success)} of the blocks are no success" in MANY_FITS
    assert names["two"].sum() > 5
    statuses = [names["fastkl"].FitStatus(code).name for code in names["checked"].status[0, :3]]
    assert statuses == ["NAN", "NO_MASS", "NEGATIVE"]
    assert "1 of 260 rows is NaN: p is negative" in capsys.readouterr().out


def test_the_page_on_matrices_runs():
    failed, attempted = doctest.testfile(str(ROOT / "docs" / "distances.md"), module_relative=False)
    assert attempted
    assert not failed
