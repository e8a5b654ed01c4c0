"""Matrices of divergences against SciPy and BLAS: ``python -m bench.distances [--quick]``, for ``docs/distances.md``.

Every row is a ratio of medians in one process, whose competitors work in blocks that take turns. The share of pairs
that were computed again is printed beside. The script fails where a target is missed; ``--quick`` takes short timings
of smaller matrices, and writes and judges nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import distance
from scipy.special import entr, rel_entr

import fastkl
from bench.figures import machine
from bench.pages import write_part
from bench.suite.blocks import medians
from fastkl.distances.matrices import METRICS, _evaluate

Call = Callable[[], Any]


class Row(NamedTuple):
    """One comparison."""

    work: str
    metric: str
    a: Any
    b: Any
    peer: str
    theirs: Call
    share: float = 1.0
    """Share of the pairs that the peer computes, all of which cost it the same."""
    target: float | None = None
    """Largest ratio to the peer, on two cores."""

    def ours(self) -> Any:
        """The whole matrix."""
        return fastkl.cdist(self.a, self.b, self.metric)

    def again(self) -> float:
        """Share of the pairs that were computed again."""
        out = np.empty((len(self.a), len(self.b)))
        number = METRICS[self.metric]
        return _evaluate(self.a, self.b, number, self.metric, out, None, True, None, 0.0, False).again / out.size


def _random(rng: Any, n: int, columns: int, empty: float = 0.0) -> Any:
    rows = rng.random((n, columns)) * (rng.random((n, columns)) >= empty)
    rows[:, 0] += rows[:, 0] == 0.0
    return rows / rows.sum(axis=1, keepdims=True)


def _by_pairs(function: Callable[..., Any], a: Any, b: Any) -> Call:
    return lambda: function(a[:, np.newaxis], b[np.newaxis], axis=2)


def _rows(quick: bool) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    small = 4 if quick else 1
    n = 300 // small
    a, b = _random(rng, n, 1000), _random(rng, n, 1000)
    few = a[: max(n // 10, 1)]
    js = "jensenshannon"
    sizes = f"{n} x {n} x 1000"
    yield Row(f"JS, {sizes}", "js", a, b, "SciPy's cdist", lambda: distance.cdist(few, b, js), len(few) / n, 1 / 20)
    yield Row(f"JS, {sizes}, f4", "js", a.astype("f4"), b.astype("f4"), "f8", lambda: fastkl.cdist(a, b))
    yield Row(f"KL, {sizes}", "kl", a, b, "`P @ np.log(Q).T`", lambda: a @ np.log(b).T, target=3.0)
    yield Row(
        f"KL, {sizes}",
        "kl",
        a,
        b,
        "broadcast `rel_entr`",
        lambda: rel_entr(few[:, np.newaxis], b).sum(axis=2),
        len(few) / n,
        1 / 150,
    )
    yield Row(f"Jeffreys, {sizes}", "jeffreys", a, b, "KL", lambda: fastkl.cdist(a, b, "kl"))
    for metric, function in (("kl", fastkl.entropy), ("js", fastkl.jensenshannon)):
        for noise, size in ((0.01, "1e-4"), (0.0224, "5e-4")):
            base = rng.random(1000) + 0.5
            alike = [base * (1.0 + noise * rng.standard_normal((n, 1000))) for _ in range(2)]
            theirs = _by_pairs(function, alike[0][: len(few)], alike[1])
            work = f"{metric.upper()}, alike rows (KL {size}), {sizes}"
            yield Row(work, metric, *alike, "the terms of all pairs", theirs, len(few) / n, 1.1)
    groups = np.repeat(_random(rng, n // 15, 1000), 15, axis=0)
    groups *= 1.0 + 0.01 * rng.standard_normal(groups.shape)
    theirs = _by_pairs(fastkl.jensenshannon, groups[: len(few)], groups)
    yield Row(
        "JS, groups of 15 rows", "js", groups, groups.copy(), "the terms of all pairs", theirs, len(few) / len(groups)
    )
    m = 2000 // small
    c, d = _random(rng, m, 256), _random(rng, m, 256)
    part = c[: m // 20]
    work = f"JS, {m} x {m} x 256"
    yield Row(work, "js", c, d, "SciPy's cdist", lambda: distance.cdist(part, d, js), len(part) / m, 1 / 20)
    e, f = _random(rng, 256, 512, 0.96), _random(rng, 256, 512, 0.96)
    work = "JS, 256 x 256 x 512, 96 % zeros"
    yield Row(work, "js", e, f, "SciPy's cdist", lambda: distance.cdist(e, f, js), target=1 / 5)


def _ratio(ours: float, theirs: float) -> str:
    ratio = ours / theirs
    return f"{ratio:.2g}" if ratio > 0.2 else f"1/{1.0 / ratio:.0f}"


SIMPLE = {
    "disjoint": ([0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]),
    "q has a 0 that p has not": ([0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]),
    "p has a 0 that q has not": ([0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]),
    "both have the same 0": ([0.5, 0.25, 0.25, 0.0], [0.25, 0.5, 0.25, 0.0]),
    "alike to 1e-8": ([0.25, 0.25, 0.25, 0.25], [0.25 + 2.5e-9, 0.25 - 2.5e-9, 0.25, 0.25]),
}
"""Pairs of rows, each repeated to 64 columns."""


def _product(p: Any, q: Any) -> float:
    with np.errstate(all="ignore"):
        return float(-entr(p).sum() - p @ np.log(q))


def _answers() -> str:
    """The answers of peers for rows with zeros."""
    peers: dict[str, Callable[[Any, Any], float]] = {
        "JS, fastkl": lambda p, q: float(fastkl.cdist(p[None], q[None])[0, 0]),
        "JS, SciPy": lambda p, q: float(distance.cdist(p[None], q[None], "jensenshannon")[0, 0]),
        "KL, fastkl": lambda p, q: float(fastkl.cdist(p[None], q[None], "kl")[0, 0]),
        "KL, `p @ log(p) - p @ log(q)`": _product,
    }
    if importlib.util.find_spec("numkong"):
        import numkong

        peers["JS, NumKong"] = lambda p, q: float(numkong.jensenshannon(p, q))
        peers["KL, NumKong"] = lambda p, q: float(numkong.kullbackleibler(p, q))
    names = sorted(peers)
    lines = [f"| rows | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, rows in SIMPLE.items():
        p, q = (np.tile(row, 16) / 16.0 for row in rows)
        lines.append(f"| {name} | {' | '.join(f'{peers[peer](p, q):.4g}' for peer in names)} |")
    return "\n".join([*lines, "", machine("python -m bench.distances")])


def main() -> int:
    """Print the table, and write it unless *quick*."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short timings of smaller matrices; print, write nothing")
    quick = parser.parse_args().quick
    counts: dict[str, Any] = {"blocks": 2, "calls": 4} if quick else {"blocks": 7, "calls": 8}
    lines = ["| work | time | in units of a peer | computed again |", "|---|---|---|---|"]
    missed = []
    for row in _rows(quick):
        row.ours(), row.theirs()
        ours, theirs = medians(row.ours, row.theirs, **counts)
        found = ours * row.share / theirs
        if row.target is not None and found > row.target:
            missed.append(f"{row.work}: {found:.3g} of {row.peer}, at most {row.target:.3g} is the target")
        times = f"{_ratio(found, 1.0)} of {row.peer}"
        lines.append(f"| {row.work} | {ours * 1e3:.1f} ms | {times} | {row.again():.1%} |")
        print(lines[-1], flush=True)
    text = "\n".join([*lines, "", machine("python -m bench.distances")])
    answers = _answers()
    print(answers)
    if quick:
        return 0
    write_part("distances.md", "figures", text)
    write_part("distances.md", "answers", answers)
    print("\n".join(missed))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
