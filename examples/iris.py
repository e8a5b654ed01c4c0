"""Fit a Normal to real observations with two clusters, in both directions: ``python examples/iris.py``.

The data are the petal lengths of Fisher's iris as scikit-learn ships them; see examples/README.md.
"""

import csv
from pathlib import Path

import fastkl

DATA = Path(__file__).with_name("iris_petal_length.csv")


def main() -> list[fastkl.FitResult]:
    with DATA.open(newline="") as file:
        lengths = [float(row["petal_length"]) for row in csv.DictReader(file)]
    # Half a centimetre blurs the two species that overlap, and keeps the third one apart.
    p = fastkl.Tabulated.from_samples(lengths, bandwidth=0.3)
    results = [fastkl.fit(p, fastkl.Normal, direction=direction) for direction in ("forward", "reverse")]
    for result in results:
        print(result, end="\n\n")
    return results


if __name__ == "__main__":
    main()
