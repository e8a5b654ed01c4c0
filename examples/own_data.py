"""Fit a column of your own data, from the file to the picture: ``python examples/own_data.py [--write]``.

The file is examples/wine.csv (see examples/README.md), the column the intensity of the colour of 178 wines. With
``--write`` the picture goes beside docs/data.md, which tells the same story at length.
"""

import csv
import sys
from pathlib import Path

import numpy as np

import fastkl

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parent / "docs" / "data.png"


def main() -> tuple[fastkl.Comparison, fastkl.FitResult]:
    with (HERE / "wine.csv").open(newline="") as file:
        x = np.array([float(row["color_intensity"]) for row in csv.DictReader(file)])

    # counts in cells: a forward fit is maximum likelihood of them, and wide cells do not bias it
    counts, edges = np.histogram(x, bins=40)
    p = fastkl.Tabulated.from_histogram(counts, edges)
    ranking = fastkl.compare(p, direction="forward")
    print(ranking, end="\n\n")
    print(ranking.best, end="\n\n")

    # a reverse fit needs every cell to be possible
    smooth = fastkl.Tabulated.from_histogram(counts, edges, pseudocount=0.5)
    reverse = fastkl.fit(smooth, "gamma", direction="reverse")
    print(reverse)
    return ranking, reverse


if __name__ == "__main__":
    found, _ = main()
    if "--write" in sys.argv[1:]:
        found.plot(most=3).figure.savefig(PICTURE, dpi=120)
