"""How close mixtures come to estimates from real samples, for ``docs/fits.md``.

``python -m bench.mixtures_of_data`` fits mixtures of 2, 3 and 4 Normals, forward, to the kernel estimates of all
columns of scikit-learn's sets that have more than ten distinct values, and writes the table there; ``--quick`` takes
every eighth column and writes nothing. Either fails where a target is missed.

Each fit is compared with two of `sklearn.mixture.GaussianMixture`, with 20 starts each: one to the samples themselves,
and one to as many quantiles of the estimate as make its own likelihood nearly the divergence that fastkl minimises,
started at random places. The latter knows the same p, so that what it finds and fastkl does not is a missed minimum.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bench.pages import write_part
from fastkl import Mixture, Normal, Tabulated, fit, kl_divergence

SETS = "iris", "wine", "breast_cancer", "diabetes"
DISTINCT = 10
"""Number of distinct values up to which a column is not a quantity."""
COMPONENTS = 2, 3, 4
STARTS = 20
QUANTILES = 1000
ABOVE = 1.01
"""Largest ratio of the divergences of fastkl's mixture and of scikit-learn's."""
QUICK = 24


class Outcome(NamedTuple):
    """One fit: the ratios of its divergence to those of scikit-learn's mixtures, and whether it is a success."""

    name: str
    column: str
    components: int
    to_samples: float
    to_quantiles: float
    success: bool
    message: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few columns; leave the page as it is")
    arguments = parser.parse_args()
    every = QUICK if arguments.quick else 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the grid is too coarse for a Mixture")  # one of scikit-learn's, on one value
        outcomes = [outcome(*column, k) for column in list(columns())[::every] for k in COMPONENTS]
    text = "\n".join(_table(outcomes))
    print(text)
    for o in outcomes:
        if o.to_samples > ABOVE or o.to_quantiles > ABOVE:
            print(f"{o.name}, {o.column}, k = {o.components}: {o.to_samples:.4f} and {o.to_quantiles:.4f} times theirs")
    for message, count in Counter(o.message for o in outcomes if not o.success).items():
        print(f"{count} no success: {message}")
    if not arguments.quick:
        write_part("fits.md", "mixtures of data", text)
    if any(o.to_samples > ABOVE for o in outcomes):
        sys.exit(f"a mixture of scikit-learn's is closer by more than {ABOVE - 1.0:.0%}")


def columns() -> Iterator[tuple[str, str, Any]]:
    """Names of the sets and their columns, and the samples."""
    from sklearn import datasets

    for name in SETS:
        data = getattr(datasets, f"load_{name}")()
        for column, x in zip(data.feature_names, data.data.T, strict=True):
            if np.unique(x).size > DISTINCT:
                yield name, column, x


def outcome(name: str, column: str, x: Any, k: int) -> Outcome:
    """The fit of a mixture of k Normals to the estimate of a column, beside those of scikit-learn."""
    p = Tabulated.from_samples(x)
    result = fit(p, Mixture, direction="forward", n_components=k)
    by_samples = kl_divergence(p, by_scikit_learn(x, k), p.grid)
    by_quantiles = kl_divergence(p, by_scikit_learn(quantiles(p), k, init_params="random_from_data"), p.grid)
    ratios = result.divergence / by_samples, result.divergence / by_quantiles
    return Outcome(name, column, k, *ratios, result.success, result.message)


def quantiles(p: Tabulated) -> Any:
    """Equally likely points of p."""
    nodes, mass = p.grid.axes[0], p.grid.weights[0] * p.pdf(p.grid.axes[0])
    passed = np.cumsum(mass) - 0.5 * mass
    return np.interp((np.arange(QUANTILES) + 0.5) / QUANTILES, passed / mass.sum(), nodes)


def by_scikit_learn(x: Any, k: int, **options: Any) -> Mixture:
    """The mixture of k Normals with the largest likelihood that scikit-learn finds, in units of the samples' spread."""
    from sklearn.mixture import GaussianMixture

    loc, scale = x.mean(), x.std()
    model = GaussianMixture(k, n_init=STARTS, random_state=0, max_iter=2000, tol=1e-6, **options)
    model.fit(((x - loc) / scale)[:, np.newaxis])
    means, scales = loc + scale * model.means_[:, 0], scale * np.sqrt(model.covariances_[:, 0, 0])
    parts = [Normal(*pair) for pair in zip(means.tolist(), scales.tolist(), strict=True)]
    return Mixture(parts, (model.weights_ / model.weights_.sum()).tolist())


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    yield "| samples | fits | as close as GaussianMixture of the samples | of p | largest ratio | successes |"
    yield "|---|---|---|---|---|---|"
    for name in (*SETS, "all"):
        own = [o for o in outcomes if name in (o.name, "all")]
        if own:
            samples, of_p = (
                [ratio <= ABOVE for ratio in ratios] for ratios in zip(*(o[3:5] for o in own), strict=True)
            )
            largest = max(max(o.to_samples, o.to_quantiles) for o in own)
            successes = sum(o.success for o in own)
            yield f"| {name} | {len(own)} | {sum(samples)} | {sum(of_p)} | {largest:.3f} | {successes} |"


if __name__ == "__main__":
    main()
