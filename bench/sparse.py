"""When matrices of divergences are faster from the entries of rows: ``python -m bench.sparse [--quick]``.

Nanoseconds of a pair of rows on one thread, from their entries (with compressing the matrices) and from all columns,
and whether `fastkl.distances.sparse.pays` would choose the entries.
"""

from __future__ import annotations

import argparse

import numba
import numpy as np

from bench.suite.blocks import medians
from fastkl.distances.matrices import METRICS
from fastkl.distances.pairs import fill_matrix
from fastkl.distances.sparse import compressed, pays, sparse_matrix
from fastkl.distances.table import Options, Table

ROWS = 128
COLUMNS, SHARES = (64, 512, 4096), (0.01, 0.04, 0.1, 0.2, 0.4)
CASES = (("js", 0.0), ("kl", 0.0), ("jeffreys", 0.0), ("js", 0.5), ("kl", 0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one width, and few repetitions")
    quick = parser.parse_args().quick
    numba.set_num_threads(1)
    print("columns  entries  metric    pseudocount  from entries  from columns  ratio  entries pay")
    wrong = 0
    for columns in COLUMNS[1:2] if quick else COLUMNS:
        for share in SHARES:
            rng = np.random.default_rng(0)
            X, Y = (np.where(rng.random((ROWS, columns)) < share, rng.random((ROWS, columns)), 0.0) for _ in range(2))
            X[:, 0] = Y[:, 0] = 1.0
            for metric, pseudocount in CASES:
                seconds = times(X, Y, metric, pseudocount, blocks=3 if quick else 7)
                ours, dense = (1e9 * s / ROWS**2 for s in seconds)
                chosen = pays(ROWS, ROWS, columns, np.count_nonzero(X) / X.size, metric, pseudocount)
                wrong += chosen != (ours < dense) and not 0.7 < ours / dense < 1.4
                print(
                    f"{columns:7}  {share:7.0%}  {metric:8}  {pseudocount:11}  {ours:12.0f}  {dense:12.0f}"
                    f"  {ours / dense:5.2f}  {'yes' if chosen else 'no':>11}"
                )
    print(f"{wrong} choices cost more than a factor of 1.4")


def times(X: np.ndarray, Y: np.ndarray, metric: str, pseudocount: float, blocks: int) -> list[float]:
    """Seconds of a matrix from the entries, and from all columns."""
    out = np.empty((ROWS, ROWS))

    def from_entries() -> None:
        sparse_matrix(compressed(X), compressed(Y), metric, out=out, pseudocount=pseudocount)

    def from_columns() -> None:
        options = Options(pseudocount=pseudocount)
        fill_matrix(Table(X, options), Table(Y, options), METRICS[metric], out, symmetric=False)

    return medians(from_entries, from_columns, blocks=blocks, calls=8, pause=0.0)


if __name__ == "__main__":
    main()
