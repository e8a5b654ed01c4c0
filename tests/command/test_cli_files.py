"""The files that the command line writes: what is in them, and that they are whole or not there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import fastkl
from tests.cli import run

GRID = "--grid=-12:12:241"
FORWARD = [GRID, "--direction", "forward"]
REFERENCE = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in an empty folder and draw without a window."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pyplot.close("all")


def _strict(path):
    """The content of a JSON file that has no NaN and no Infinity, which are not JSON."""
    return json.loads(Path(path).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_holds_what_fit_returns(capsys):
    assert run(capsys, "fit", "--json", "fit.json", GRID)[0] == 0
    grid = fastkl.Grid.uniform(-12, 12, 241)
    for written, direction in zip(_strict("fit.json")["results"], ("forward", "reverse"), strict=True):
        result = fastkl.fit(REFERENCE, "normal", grid, direction=direction)
        assert written["direction"] == direction
        assert fastkl.Normal(**written["q"]) == result.q  # JSON gives every double back
        assert [fastkl.Normal(**m["q"]) for m in written["minima"]] == [m.q for m in result.minima]
        for name in ("forward", "reverse", "quadrature_error", "mass_outside", "elbo", "success", "message"):
            assert written[name] == getattr(result, name)


def test_json_of_an_infinite_divergence_reads_back(capsys):
    x = np.linspace(-4, 4, 81)
    np.savez("box.npz", x=x, p=(abs(x) < 2.05).astype(float))  # KL(q||p) is inf for every Normal q
    status, out, err = run(capsys, "fit", "box.npz", "--direction", "forward", "--json", "fit.json")
    assert (status, err) == (0, "")
    assert "KL(q||p)      inf" in out
    assert float(_strict("fit.json")["results"][0]["reverse"]) == math.inf
    status, out, err = run(capsys, "kl", "N(0,1)", "box.npz", "--json", "kl.json")
    assert (status, err) == (0, "")
    assert "first at x = -4" in out
    content = _strict("kl.json")
    assert (float(content["value"]), content["first_infinite"]) == (math.inf, -4.0)
    assert math.isnan(float(content["error"]))


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.SVG", b"<?xml")])
def test_plot_writes_the_format_that_the_name_asks_for(capsys, here, name, magic):
    assert run(capsys, "fit", "--plot", name, *FORWARD)[0] == 0
    assert (here / name).read_bytes().startswith(magic)
    assert os.listdir(here) == [name]


def test_a_plot_leaves_no_figure_open(capsys):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert run(capsys, "fit", "--plot", "a.png", *FORWARD)[0] == 0
    assert pyplot.get_fignums() == []


def test_a_file_is_replaced_and_has_the_usual_mode(capsys, here):
    (here / "fit.json").write_text("old")
    assert run(capsys, "fit", "N(1,2)", "--json", "fit.json", *FORWARD)[0] == 0
    _strict("fit.json")
    (here / "usual").touch()
    assert (here / "fit.json").stat().st_mode == (here / "usual").stat().st_mode


@contextlib.contextmanager
def _full_disk():
    """No file can grow beyond 100 bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITES = {
    "fit --json": (["fit", *FORWARD, "--json", "out.json"], "out.json"),
    "kl --json": (["kl", "N(0,1)", "N(1,1)", "--json", "out.json"], "out.json"),
    "fit --plot": (["fit", *FORWARD, "--plot", "out.png"], "out.png"),
}


@pytest.mark.parametrize("old", [None, "old and whole"], ids=["new file", "old file"])
@pytest.mark.parametrize(("arguments", "name"), WRITES.values(), ids=WRITES)
def test_a_full_disk_leaves_no_part_of_a_file(capsys, here, arguments, name, old):
    assert run(capsys, *arguments)[0] == 0  # everything is imported and cached now
    (here / name).unlink()
    if old is not None:
        (here / name).write_text(old)
    with _full_disk():
        status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "File too large" in err
    assert {path.name: path.read_text() for path in here.iterdir()} == ({} if old is None else {name: old})


@pytest.mark.parametrize(("arguments", "name"), WRITES.values(), ids=WRITES)
def test_a_folder_in_the_place_of_a_file_stays_as_it_is(capsys, here, arguments, name):
    (here / name).mkdir()
    assert run(capsys, *arguments)[0] == 2
    assert (os.listdir(here), os.listdir(here / name)) == ([name], [])


def test_ctrl_c_while_drawing_leaves_no_part_of_a_file(capsys, here, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")

    def interrupted(self, path, **options):
        Path(path).write_bytes(b"\x89PNG")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure.Figure, "savefig", interrupted)
    status, out, err = run(capsys, "fit", *FORWARD, "--plot", "out.png")
    assert (status, out, err) == (130, "", "fastkl: interrupted\n")
    assert os.listdir(here) == []


def test_without_matplotlib_a_plot_is_refused_and_nothing_else(capsys, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    status, out, err = run(capsys, "fit", *FORWARD, "--plot", "out.png")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "fastkl[plot]" in err
    assert run(capsys, "fit", *FORWARD)[0] == 0
    assert os.listdir(here) == []


def test_a_link_is_followed_and_a_mode_kept(capsys, here):
    (here / "real.json").write_text("{}")
    (here / "real.json").chmod(0o600)
    (here / "link.json").symlink_to("real.json")
    assert run(capsys, "fit", "--json", "link.json", *FORWARD)[0] == 0
    assert (here / "link.json").is_symlink()
    assert (here / "real.json").stat().st_mode & 0o777 == 0o600
    assert _strict("real.json")["results"]


def test_a_device_stays_a_device(capsys):
    assert run(capsys, "fit", "--json", os.devnull, *FORWARD)[0] == 0
    assert not Path(os.devnull).is_file()
