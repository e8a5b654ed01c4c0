"""How often the gate is right, for ``docs/benchmarks.md``: ``python -m bench.gate_power [--record FOLDER ...]``.

Unchanged runs of the gate (two commits with the same kernels, ``python -m bench.regress HEAD~1 --keep FOLDER``) are
recorded: the median time of every case in every round, in ``bench/gate_rounds.json``. A run is then drawn from these
rounds, with replacement and for all cases together, so that what disturbs several cases at once still does; a planted
loss multiplies the times of one case. Counted is how often an unchanged run fails, and how often a loss is found.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.pages import write_part
from bench.regress import LARGEST_LOSS, ROUNDS, TIMES, Asv, intervals, of_rounds

RECORDED = Path(__file__).resolve().parent / "gate_rounds.json"

PLANTED = {
    "kl_sums": "entropy(p, q)",
    "js_sums": "jensenshannon",
    "entropy_sums": "entropy(p)",
    "rel_entr": "rel_entr",
    "row_sums": "entropy(p, q), rows of 300",
    "kl_integral": "KL(mixture||Normal)",
}
"""Kernels, and the case of each that is slowed down."""
LOSSES = (0.08, 0.15)
UNCHANGED, CHANGED = 100, 100

Rounds = dict[str, NDArray[np.float64]]
"""By case: the logarithm of the ratio of times in every round."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gate_power", description=__doc__.partition("\n")[0])
    parser.add_argument("--record", type=Path, nargs="+", metavar="FOLDER", help="results of unchanged runs to take in")
    parser.add_argument("--quick", action="store_true", help="few drawn runs; print, and leave the page as it is")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.record)
    recorded = json.loads(RECORDED.read_text())
    rounds = {case: np.array(logs) for case, logs in recorded["rounds"].items()}
    runs = 10 if arguments.quick else UNCHANGED
    text = study(rounds, runs, 3 if arguments.quick else CHANGED)
    text += (
        f"\n\nDrawn from {len(next(iter(rounds.values())))} rounds of {recorded['runs']} runs, {ROUNDS} rounds each."
    )
    print(text)
    if not arguments.quick:
        write_part("benchmarks.md", "gate", text)


def study(rounds: Rounds, unchanged: int, changed: int) -> str:
    """The table of how often the gate is right."""
    rng = np.random.default_rng(0)
    alarms = sum(bool(failing(draw(rounds, rng))) for _ in range(unchanged))
    lines = [
        "| work | runs | gate fails |",
        "|---|---|---|",
        f"| nothing changed | {unchanged} | {alarms} |",
    ]
    for loss in LOSSES:
        for kernel, case in PLANTED.items():
            found = 0
            for _ in range(changed):
                drawn = draw(rounds, rng)
                drawn[case] = drawn[case] + math.log1p(loss)
                found += case in failing(drawn)
            lines.append(f"| {loss:.0%} lost in `{kernel}` | {changed} | {found} |")
    noise = statistics.median(float(np.std(logs)) for logs in rounds.values())
    lines.append(f"\nA ratio of one round scatters by {noise:.1%} (standard deviation, the median of all cases).")
    return "\n".join(lines)


def draw(rounds: Rounds, rng: np.random.Generator) -> Rounds:
    """A run of the gate: so many rounds, the same for all cases; base and head change places at random."""
    size = len(next(iter(rounds.values())))
    chosen, signs = rng.integers(0, size, ROUNDS), rng.choice([-1.0, 1.0], ROUNDS)
    return {case: logs[chosen] * signs for case, logs in rounds.items()}


def failing(rounds: Rounds) -> list[str]:
    """The cases that the gate complains of."""
    found = intervals([logs.tolist() for logs in rounds.values()])
    return [case for case, (mean, half) in zip(rounds, found, strict=True) if mean - half > math.log1p(LARGEST_LOSS)]


def record(folders: Sequence[Path]) -> None:
    """Write what the gate saw in its rounds."""
    found: dict[str, list[float]] = {}
    for folder in folders:
        base, head = (folder / "commits").read_text().split()
        asv = Asv(folder.resolve(), fresh=False)
        old, new = asv.results(base), asv.results(head)
        for name, (_, samples) in new.items():
            if name.startswith(TIMES) and samples:
                before = of_rounds(old[name][1] or [], ROUNDS)
                logs = [math.log(b / a) for a, b in zip(before, of_rounds(samples, ROUNDS), strict=True)]
                found.setdefault(name.partition("'")[2].rpartition("'")[0], []).extend(round(x, 5) for x in logs)
    RECORDED.write_text(json.dumps({"runs": len(folders), "rounds": found}, indent=0) + "\n")


if __name__ == "__main__":
    main()
