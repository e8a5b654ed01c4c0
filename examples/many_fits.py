"""Fit the grey values of every block of a picture: ``python examples/many_fits.py [--write]``.

The picture is china.jpg, a photograph of a pavilion that scikit-learn ships; it is cut into 13 x 20 blocks of 32 x 32
pixels, and each block is a histogram of its grey values. With ``--write`` the figure goes beside docs/many_fits.md,
which tells the same story. Needs scikit-learn and ``fastkl[plot]``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import fastkl

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "many_fits.png"
SIDE = 32
"""Pixels along a side of a block."""
EDGES = np.arange(257.0)
SHOWN = 4
"""Number of blocks that are drawn from either end."""


def grey_values() -> Any:
    """The grey values of the picture, 416 x 640 of them."""
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")[:416].mean(axis=2)  # thirds of whole numbers, from 0 to 255


def blocks_of(grey: Any) -> Any:
    """The pixels of each block, shape (13, 20, 1024)."""
    m, n = (length // SIDE for length in grey.shape)
    return grey.reshape(m, SIDE, n, SIDE).swapaxes(1, 2).reshape(m, n, SIDE * SIDE)


def counts_of(blocks: Any) -> Any:
    """The histogram of each block, shape (13, 20, 256)."""
    return np.apply_along_axis(lambda pixels: np.histogram(pixels, EDGES)[0], -1, blocks)


def main() -> fastkl.FitResults:
    counts = counts_of(blocks_of(grey_values()))
    results = fastkl.fit(fastkl.Tabulated.from_histogram(counts, EDGES), "normal", direction="forward")
    print(results)
    return results


def by_divergence(results: fastkl.FitResults) -> list[Any]:
    """The places of all blocks whose fit is a success, the best one first."""
    divergence = np.where(results.success, results.divergence, np.nan)
    places = np.unravel_index(np.argsort(divergence, axis=None), results.shape)
    return list(zip(*places, strict=True))[: np.count_nonzero(results.success)]


def draw(results: fastkl.FitResults) -> Any:
    """The picture, the divergence of every block, and the best and the worst fits."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    ranked = by_divergence(results)
    chosen = {"best": ranked[:SHOWN], "worst": ranked[: -SHOWN - 1 : -1]}
    colours = {"best": "tab:blue", "worst": "tab:red"}
    figure = plt.figure(figsize=(11, 8.6), layout="constrained")
    above, *below = figure.subfigures(3, 1, height_ratios=[1.6, 1, 1])
    photograph, chart = above.subplots(1, 2)
    photograph.imshow(grey_values(), cmap="gray")
    photograph.set_title("china.jpg, and the blocks below")
    image = chart.imshow(results.divergence, cmap="viridis", extent=(0, 640, 416, 0))
    chart.set_title("KL(p||q) of every block")
    above.colorbar(image, ax=chart, label="nats", shrink=0.8)
    for row, (name, places) in zip(below, chosen.items(), strict=True):
        for k, (panel, place) in enumerate(zip(row.subplots(1, SHOWN), places, strict=True), start=1):
            panel.stairs(results.p.probabilities[place] / np.diff(EDGES), EDGES, fill=True, color="0.8")
            filled = EDGES[:-1][results.p.counts[place] > 0]
            x = np.linspace(filled[0] - 5.0, filled[-1] + 6.0, 1001)
            panel.plot(x, results.q[place].pdf(x), color=colours[name])
            panel.set_title(f"{name} {k}: KL = {results.divergence[place]:.3f}", fontsize=10)
            panel.set_yticks([])
            panel.set_xlim(x[0], x[-1])
            corner = place[1] * SIDE, place[0] * SIDE
            photograph.add_patch(Rectangle(corner, SIDE, SIDE, fill=False, edgecolor=colours[name], linewidth=1.5))
            text = {"color": colours[name], "fontsize": 9, "fontweight": "bold", "ha": "center", "va": "center"}
            photograph.text(corner[0] + SIDE / 2, corner[1] + SIDE / 2, str(k), **text)
        row.supxlabel("grey value", fontsize=9)
    return figure


if __name__ == "__main__":
    found = main()
    if "--write" in sys.argv[1:]:
        draw(found).savefig(PICTURE, dpi=100)
