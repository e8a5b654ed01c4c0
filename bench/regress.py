"""The gate: is the working tree slower or less exact than BASE? ``python -m bench.regress BASE``.

asv builds both versions, and runs the cases of `bench.cases` in rounds that take turns; then it runs the static
figures (`bench.suite.machine_code`) and the accuracy (`bench.suite.digits`) of both. asv compares one row at a time,
and takes its samples for independent, which on a shared machine calls many an unchanged run a regression. What
is added here is a verdict over all rows:

time
    A round gives a ratio of medians for each case, and the rounds of a case a trimmed mean of its logarithms (Yuen
    1974): on a shared machine a round is hit now and then. The variance of a case is estimated from few rounds, so it
    is moved towards the median of all cases (the moderated t of Smyth 2004). The lower confidence bound is one of 95 %
    for the whole table (Bonferroni: the error is shared among the rows). The gate fails if that bound is a loss of more
    than 3 %.
machine code, accuracy
    Figures without noise: the gate fails if vectors are narrower, or if an error has grown.
failures
    The gate fails if a benchmark fails or gives NaN where it did not in BASE.

The exit status is 0 for yes, 1 for a regression, and 2 if nothing could be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

LARGEST_LOSS = 0.03
"""Loss of time that the gate lets pass."""
CONFIDENCE = 0.95
ROUNDS = 9
PRIOR = 8
"""Degrees of freedom that the variance of all cases counts for in that of one."""
SAME = 1e-9
"""Relative difference of figures without noise that is none."""

TIMES, STATIC, DIGITS = "gate.Cases", "machine_code.MachineCode", "digits."


class Unusable(Exception):
    """Nothing can be compared; the message says why, and what to do."""


class Row(NamedTuple):
    """A line of the table."""

    name: str
    base: float
    head: float
    ratio: float
    low: float
    """Lower end of the confidence interval of the ratio, or the ratio itself."""
    high: float
    complaint: str = ""
    """Why the gate fails; empty if it does not."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.regress", description=__doc__.partition("\n")[0])
    parser.add_argument("base", help="commit, branch or tag to compare the working tree with")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of samples (default {ROUNDS})")
    parser.add_argument("--cases", default="", help="regular expression: only cases whose names match")
    parser.add_argument("--times-only", action="store_true", help="leave out machine code and accuracy")
    parser.add_argument("--output", type=Path, help="write the table there as well, in Markdown")
    parser.add_argument("--keep", type=Path, help="folder for asv's results; a temporary one if not given")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            rows, seconds = compare(arguments, arguments.keep or Path(temporary))
    except Unusable as reason:
        print(f"bench.regress: {reason}", file=sys.stderr)
        return 2
    text = table(rows, seconds)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return int(any(row.complaint for row in rows))


def compare(arguments: argparse.Namespace, folder: Path) -> tuple[list[Row], float]:
    """The rows of the table, and the seconds that the rounds of samples took."""
    base, head = commit(arguments.base), commit("HEAD")
    check(arguments.rounds, arguments.cases)
    if base == head:
        raise Unusable(f"BASE {arguments.base!r} is the commit of the working tree; name an older one, such as HEAD~1")
    folder.mkdir(parents=True, exist_ok=True)
    asv = Asv(folder.resolve())
    pattern = rf"^{TIMES}\..*({arguments.cases})"
    asv("machine", "--yes")
    asv.run(pattern, base, head, "--quick")  # builds, and compiles what the samples call
    began = time.perf_counter()
    asv("continuous", "--interleave-rounds", "-a", f"rounds={arguments.rounds}", "--bench", pattern, base, head)
    seconds = time.perf_counter() - began
    if not arguments.times_only:
        asv.run(rf"^({STATIC}|{DIGITS})", base, head)
    return list(verdicts(asv.results(base), asv.results(head), arguments.rounds)), seconds


def commit(name: str) -> str:
    """The hash of a commit."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise Unusable(f"git knows no commit {name!r}; 'git log --oneline' lists them, 'git fetch' brings others")
    return done.stdout.strip()


def check(rounds: int, cases: str) -> None:
    """Whether a comparison can be made here."""
    from bench.cases import CASES

    if rounds < 5:
        raise Unusable(f"{rounds} rounds have no confidence interval that means anything; take 5 or more")
    try:
        matched = any(re.search(cases, name) for name in CASES)
    except re.error as error:
        raise Unusable(f"--cases {cases!r} is no regular expression: {error}") from None
    if not matched:
        raise Unusable(f"--cases {cases!r} matches no case; the cases are: {'; '.join(CASES)}")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    if changed:
        first = changed.splitlines()[0].strip()
        raise Unusable(
            f"the working tree has changes that are not committed ({first}); asv builds commits: commit them"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        raise Unusable("one core is too few for the cases of two threads; take two or more")
    try:
        import asv  # noqa: F401
        import virtualenv  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unusable(f"{error.name} is not installed; run: python -m pip install -e '.[bench,dev]'") from None


class Asv:
    """The commands of asv with this project's configuration, and results of their own."""

    def __init__(self, folder: Path, fresh: bool = True) -> None:
        self.folder, self.results_folder = folder, folder / "results"
        self.configuration = folder / "asv.conf.json"
        if not fresh:
            return
        settings = json.loads((ROOT / "asv.conf.json").read_text())
        settings |= {
            "repo": str(ROOT),
            "branches": ["HEAD"],
            "benchmark_dir": str(ROOT / settings["benchmark_dir"]),
            "env_dir": str(ROOT / settings["env_dir"]),
            "results_dir": str(self.results_folder),
            "html_dir": str(folder / "html"),
        }
        self.configuration.write_text(json.dumps(settings))

    def __call__(self, command: str, *arguments: str) -> None:
        """Run a command; a benchmark that fails shows in the results."""
        line = [sys.executable, "-m", "asv", "--config", str(self.configuration), command, *arguments]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        if done.returncode not in (0, 1, 2) or "UserError" in done.stderr:
            raise Unusable(f"asv {command} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        with (self.folder / "asv.log").open("a", encoding="utf-8") as log:
            log.write(done.stdout + done.stderr)

    def run(self, pattern: str, base: str, head: str, *flags: str) -> None:
        commits = self.folder / "commits"
        commits.write_text(f"{base}\n{head}\n")
        self("run", "--bench", pattern, *flags, f"HASHFILE:{commits}")

    def results(self, commit: str) -> dict[str, tuple[float | None, list[float] | None]]:
        """Value and samples of every row that was run; None is the value of one that failed."""
        from asv.benchmarks import Benchmarks
        from asv.commands.compare import unroll_result
        from asv.config import Config
        from asv.results import iter_results_for_machine_and_hash

        configuration = Config.load(str(self.configuration))
        benchmarks = Benchmarks.load(configuration)
        found = {}
        for machine in (path.name for path in self.results_folder.iterdir() if path.is_dir()):
            for result in iter_results_for_machine_and_hash(str(self.results_folder), machine, commit):
                for name in result.get_result_keys(benchmarks):
                    params = benchmarks[name]["params"]
                    values = result.get_result_value(name, params)
                    samples = result.get_result_samples(name, params)
                    for row, value, sample in unroll_result(name, params, values, samples):
                        found[row] = value, sample
        if not found:
            raise Unusable(f"asv has no results of {commit[:8]}; its log is {self.folder / 'asv.log'}")
        return found


Results = Mapping[str, tuple[float | None, Sequence[float] | None]]


def verdicts(base: Results, head: Results, rounds: int) -> Iterator[Row]:
    """A row for everything that was run in both versions."""
    timed = {}
    for name, (new, new_samples) in head.items():
        old, old_samples = base.get(name, (math.nan, None))
        if old is None or math.isnan(old):
            continue  # nothing to lose
        if new is None or math.isnan(new):
            yield Row(name, old, math.nan, math.nan, math.nan, math.nan, "fails" if new is None else "gives NaN")
        elif name.startswith(TIMES):
            timed[name] = of_rounds(old_samples or [], rounds), of_rounds(new_samples or [], rounds)
        else:
            yield static_row(name, old, new)
    logs = {name: [math.log(b / a) for a, b in zip(old, new, strict=True)] for name, (old, new) in timed.items()}
    for (name, (before, after)), (mean, half) in zip(timed.items(), intervals(list(logs.values())), strict=True):
        low = math.exp(mean - half)
        complaint = f"slower by more than {LARGEST_LOSS:.0%}" if low > 1 + LARGEST_LOSS else ""
        old, new = statistics.median(before), statistics.median(after)
        yield Row(name, old, new, math.exp(mean), low, math.exp(mean + half), complaint)


def intervals(table: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """For the logarithms of the ratios of each case: the middle and half the width of the confidence interval."""
    from scipy.stats import t

    means, variances = zip(*map(_trimmed, table), strict=True) if table else ((), ())
    usual = statistics.median(variances) if table else 0.0
    each = len(table[0]) - 2 * _cut(len(table[0])) - 1 if table else 1
    quantile = float(t.ppf(1 - (1 - CONFIDENCE) / max(len(table), 1), each + PRIOR))
    moderated = [(PRIOR * usual + each * variance) / (PRIOR + each) for variance in variances]
    return [(mean, quantile * math.sqrt(variance)) for mean, variance in zip(means, moderated, strict=True)]


def _cut(rounds: int) -> int:
    """Rounds that are left out at either end."""
    return rounds // 4


def _trimmed(logs: Sequence[float]) -> tuple[float, float]:
    """The trimmed mean and its variance, by the winsorised one."""
    n, cut = len(logs), _cut(len(logs))
    ordered, kept = sorted(logs), n - 2 * cut
    inner = ordered[cut : n - cut]
    winsorised = [*[inner[0]] * cut, *inner, *[inner[-1]] * cut]
    return statistics.fmean(inner), (n - 1) * statistics.variance(winsorised) / (kept * (kept - 1))


def of_rounds(samples: Sequence[float], rounds: int) -> list[float]:
    """A figure for each round: the median of its samples, of which all rounds have as many."""
    each, rest = divmod(len(samples), rounds)
    if each == 0 or rest:
        raise Unusable(
            f"{len(samples)} samples are not those of {rounds} rounds; was a round cut short by its timeout?"
        )
    return [statistics.median(samples[k * each : (k + 1) * each]) for k in range(rounds)]


def static_row(name: str, old: float, new: float) -> Row:
    """A figure without noise."""
    ratio = new / old if old else 1.0 if new == old else math.inf
    complaint = ""
    if name.startswith(DIGITS) and new > old * (1 + SAME):
        complaint = "less exact"
    if "track_width" in name and new < old:
        complaint = "narrower vectors"
    return Row(name, old, new, ratio, ratio, ratio, complaint)


def table(rows: Sequence[Row], seconds: float) -> str:
    """The verdict, and the table in Markdown: all times, and what has changed of the rest."""
    complaints = [row for row in rows if row.complaint]
    timed = [row for row in rows if row.name.startswith(TIMES)]
    rest = [row for row in rows if not row.name.startswith(TIMES)]
    changed = [row for row in rest if row.complaint or abs(row.ratio - 1) > SAME]
    head = f"{len(complaints)} of {len(rows)} rows are worse" if complaints else f"None of {len(rows)} rows is worse"
    lines = [
        f"**{head}.** Rounds of samples: {seconds:.0f} s. Machine code and accuracy: {len(rest)} rows, {len(changed)} "
        "of them changed.",
        "",
        "| row | base | now | ratio | confidence interval | |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted([*timed, *changed], key=lambda row: (not row.complaint, row not in timed)):
        milli = 1e3 if row.name.startswith(TIMES) else 1
        unit = " ms" if row.name.startswith(TIMES) else ""
        lines.append(
            f"| {row.name} | {row.base * milli:.4g}{unit} | {row.head * milli:.4g}{unit} | {row.ratio:.3f} "
            f"| {row.low:.3f} to {row.high:.3f} | {row.complaint} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
