"""The examples run, on the real data and on the reference."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from fastkl.cli import main
from fastkl.jit import JIT_DISABLED

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="grids of thousands of points take minutes without compiled code")


def test_iris_has_two_clusters(capsys):
    forward, reverse = runpy.run_path(str(EXAMPLES / "iris.py"))["main"]()
    assert forward.success
    assert reverse.success
    with (EXAMPLES / "iris_petal_length.csv").open(newline="") as file:
        lengths = np.array([float(row["petal_length"]) for row in csv.DictReader(file)])
    # binning and smoothing leave the mean and widen the variance by the square of the bandwidth
    np.testing.assert_allclose(forward.q.loc, lengths.mean(), rtol=1e-6)
    np.testing.assert_allclose(forward.q.scale**2, lengths.var() + 0.3**2, rtol=1e-3)
    # setosa has 50 petals of 1.46 cm on average, the other two species 100 of 4.9 cm
    locs = sorted(m.q.loc for m in reverse.minima)
    np.testing.assert_allclose(locs, [1.46, 4.9], atol=0.1)
    assert "success" in capsys.readouterr().out


def test_the_main_command_runs_on_the_reference_and_on_real_data(capsys, tmp_path):
    assert main(["fit"]) == 0
    assert "N(0, 2.08806)" in capsys.readouterr().out
    picture = tmp_path / "iris.png"
    data = str(EXAMPLES / "iris_petal_length.csv")
    assert main(["fit", data, "--samples", "petal_length", "--plot", str(picture)]) == 0
    assert picture.stat().st_size > 10_000


def test_a_posterior_is_fitted_four_ways(capsys):
    compared = runpy.run_path(str(EXAMPLES / "posterior.py"))["main"](["--quick"])
    fits = compared.fits
    assert all(result.success for result in fits.values())
    posterior = compared.p
    np.testing.assert_allclose(fits["forward", "full"].q.cov, posterior.cov, rtol=1e-12)
    np.testing.assert_allclose(np.diag(fits["forward", "diag"].q.cov), np.diag(posterior.cov), rtol=1e-12)
    # mean field in reverse is too narrow, and has the lower evidence bound
    assert (np.diag(fits["reverse", "diag"].q.cov) < 0.5 * np.diag(posterior.cov)).all()
    assert fits["reverse", "diag"].elbo < fits["reverse", "full"].elbo < posterior.log_normalizer
    assert "log evidence" in capsys.readouterr().out


def test_every_block_of_a_picture_is_fitted_and_the_worst_lie_where_two_tones_meet(tmp_path):
    for package in ("sklearn", "PIL"):  # scikit-learn opens its pictures with Pillow
        pytest.importorskip(package)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    example = runpy.run_path(str(EXAMPLES / "many_fits.py"))
    results = example["main"]()
    assert results.shape == (13, 20)
    assert results.success.all()
    ranked = example["by_divergence"](results)
    counts = results.p.counts

    def spread(place):  # of the grey values of a block
        filled = np.flatnonzero(counts[place])
        return filled[-1] - filled[0]

    assert max(map(spread, ranked[:4])) < 10 < 100 < min(map(spread, ranked[-4:]))
    example["draw"](results).savefig(tmp_path / "many_fits.png")
    pyplot.close("all")


def test_colours_tell_the_photographs_apart(capsys, tmp_path):
    pytest.importorskip("sklearn")
    example = runpy.run_path(str(EXAMPLES / "clusters.py"))
    found = example["main"]()
    assert found.histograms.shape == (192, 512)
    assert (found.histograms.sum(axis=1) == 53 * 53).all()
    # all clusters but one, that of darkness, are of one photograph
    mixed = [c for c in np.unique(found.clusters) if len(set(found.photographs[found.clusters == c])) > 1]
    assert len(mixed) == 1
    assert found.tiles[found.clusters == mixed[0]].mean() < 0.5 * found.tiles.mean()
    assert "93.5% of the cells are empty" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    example["draw"](found, tmp_path / "clusters.png")
    assert (tmp_path / "clusters.png").stat().st_size > 100_000


def test_an_example_names_the_package_that_it_lacks(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert runpy.run_path(str(EXAMPLES / "clusters.py"))["main"]() is None
    assert "needs scikit-learn" in capsys.readouterr().out
