"""Cluster the colours of two photographs: ``python examples/clusters.py [--write]``.

Each photograph is cut into tiles, and each tile has a histogram of its colours, of which nearly all cells are empty.
`fastkl.pdist` gives the Jensen-Shannon distances of all pairs of histograms, and `scipy.cluster.hierarchy` joins the
tiles, by Ward's method: the distance is that of points in a Euclidean space (Fuglede and Topsøe 2004), as that method
needs. The photographs come with scikit-learn (see examples/README.md). With ``--write`` the picture goes to
docs/clusters.png.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy

import fastkl

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "clusters.png"

PHOTOGRAPHS = "china.jpg", "flower.jpg"
SIDE, LEVELS, CLUSTERS, SHOWN = 53, 8, 8, 12
"""Pixels on a side of a tile, levels of red, green and blue, number of clusters, and most members in the picture."""


class Found(NamedTuple):
    """The tiles and their clusters."""

    tiles: NDArray[np.uint8]
    photographs: NDArray[np.intp]
    """Number of the photograph of each tile."""
    histograms: NDArray[np.int64]
    joined: NDArray[np.float64]
    """The tree, as `scipy.cluster.hierarchy.linkage` gives it."""
    clusters: NDArray[np.intp]
    """Number of the cluster of each tile, from 1 on."""


def tiles_of(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole tiles of a photograph, row by row."""
    rows, columns = photograph.shape[0] // SIDE, photograph.shape[1] // SIDE
    cut = photograph[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return cut.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)


def colours(tile: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of pixels of each of LEVELS**3 colours."""
    red, green, blue = np.moveaxis(tile.astype(np.intp) * LEVELS // 256, -1, 0)
    return np.bincount(((red * LEVELS + green) * LEVELS + blue).ravel(), minlength=LEVELS**3)


def main() -> Found | None:
    try:
        from sklearn.datasets import load_sample_image
    except ModuleNotFoundError:
        print("examples/clusters.py needs scikit-learn, which has the photographs: pip install scikit-learn")
        return None
    cut = [tiles_of(load_sample_image(name)) for name in PHOTOGRAPHS]
    tiles, photographs = np.concatenate(cut), np.repeat(np.arange(len(cut)), [len(c) for c in cut])

    histograms = np.stack([colours(tile) for tile in tiles])
    distances = fastkl.pdist(histograms, "jensenshannon")
    joined = hierarchy.linkage(distances, "ward")
    clusters = hierarchy.fcluster(joined, CLUSTERS, "maxclust")

    print(f"{len(tiles)} tiles, {distances.size} distances; {np.mean(histograms == 0):.1%} of the cells are empty")
    print("cluster  tiles  " + "  ".join(PHOTOGRAPHS) + "  spread (bits)")
    for c in np.unique(clusters):
        own = clusters == c
        counts = np.bincount(photographs[own], minlength=len(cut))
        # how much a colour says about the tile of the cluster that it comes from
        spread = fastkl.generalized_jensenshannon(histograms[own], base=2)
        print(f"{c:7}  {own.sum():5}  " + "  ".join(f"{n:9}" for n in counts) + f"  {spread:13.3f}")
    return Found(tiles, photographs, histograms, joined, clusters)


def draw(found: Found, path: Path) -> None:
    """The tree down to the clusters, and members of each cluster beside it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.2))
    tree = figure.add_axes((0.03, 0.10, 0.30, 0.84))
    cut = hierarchy.dendrogram(
        found.joined,
        CLUSTERS,
        "lastp",
        orientation="left",
        no_labels=True,
        ax=tree,
        color_threshold=0.0,
        above_threshold_color="0.25",
    )
    tree.spines[["top", "left", "right"]].set_visible(False)
    tree.set_yticks([])
    tree.set_xlabel("height in Ward's tree of Jensen-Shannon distances")
    members = hierarchy.to_tree(found.joined, rd=True)[1]
    for place, leaf in enumerate(cut["leaves"]):
        own = np.sort(members[leaf].pre_order())
        shown = own[np.linspace(0, own.size - 1, min(SHOWN, own.size)).astype(int)]
        bottom = 0.10 + 0.84 * (place + 0.08) / len(cut["leaves"])
        row = figure.add_axes((0.34, bottom, 0.60, 0.84 * 0.84 / len(cut["leaves"])))
        gap = np.full((SIDE, 4, 3), 255, np.uint8)
        row.imshow(np.concatenate([part for i in shown for part in (found.tiles[i], gap)], axis=1))
        row.set(xlim=(0, SHOWN * (SIDE + 4)), anchor="W")
        row.axis("off")
        figure.text(0.92, bottom + 0.035, f"{own.size} tiles", fontsize=9, va="center", ha="center")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    clustered = main()
    if clustered is not None and "--write" in sys.argv[1:]:
        draw(clustered, PICTURE)
