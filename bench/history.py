"""The figures of all versions, in asv's format under ``bench/history``, and ``docs/history.md`` of them.

``python -m bench.history`` adds what is missing: machine code and accuracy of every version (90 s each, one after the
other), and the times of those that are named with ``--times``. A version whose package is that of an earlier one has
its figures. ``--page`` writes the page alone, and ``asv publish`` makes the site.
"""

from __future__ import annotations

import argparse
import ast
import html
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asv.publishing import OutputPublisher

from bench.pages import write_part

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "history"
MACHINE = "zen5-2-cores"
"""The machine of the recorded times; a graph never mixes two of them."""

WITHOUT_NOISE = "^(machine_code|digits)"
TIMES = "^gate"
CHANGED = {"times": 0.05, "figures": 1e-9}
"""Relative difference that the page calls a change."""
LONGEST = 25
"""Rows of a table of the page."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--times", nargs="+", default=[], metavar="COMMIT", help="versions whose cases are timed as well"
    )
    parser.add_argument("--page", action="store_true", help="write the page from what is recorded, and measure nothing")
    arguments = parser.parse_args()
    if not arguments.page:
        asv("machine", "--yes", "--machine", MACHINE, "--os", "Linux", "--ram", "24 GB")
        versions = packages()
        run(WITHOUT_NOISE, [measured(same) for same in versions])
        for same in versions:
            share(measured(same), same)
        run(TIMES, [git("rev-parse", name)[0] for name in arguments.times])
    write_part("history.md", "changes", page())


def git(*arguments: str) -> list[str]:
    """The lines that git prints."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\n").split("\n") if done.stdout else []


def asv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "asv", *arguments], cwd=ROOT)  # fails if a single benchmark does


def run(pattern: str, commits: Sequence[str]) -> None:
    """Let asv run the benchmarks in these versions, where it has not yet."""
    if commits:
        with tempfile.NamedTemporaryFile("w", suffix=".hashes") as file:
            file.write("\n".join(commits) + "\n")
            file.flush()
            flags = ("--machine", MACHINE, "--skip-existing-successful")
            asv("run", *flags, "--bench", pattern, f"HASHFILE:{file.name}")


def packages() -> list[list[str]]:
    """Versions with one and the same package, the oldest first in each group."""
    groups: dict[str, list[str]] = {}
    for commit in git("log", "--first-parent", "--reverse", "--format=%H"):
        tree = git("ls-tree", "-d", "--format=%(objectname)", commit, "fastkl")
        if tree:
            groups.setdefault(tree[0], []).append(commit)
    return list(groups.values())


def measured(same: Sequence[str]) -> str:
    """The version in which figures are measured: one that has some, or the oldest."""
    return next((commit for commit in same if _files(commit)), same[0])


def _files(commit: str) -> list[Path]:
    return list((RESULTS / MACHINE).glob(f"{commit[:8]}-*.json"))


def share(source: str, same: Sequence[str]) -> None:
    """Give the figures without noise of one version to the others, whose package is the same."""
    for path in _files(source):
        recorded = json.loads(path.read_text())
        kept = {name: result for name, result in recorded["results"].items() if not name.startswith("gate")}
        for commit in same:
            if not _files(commit):
                date = int(git("show", "--no-patch", "--format=%ct", commit)[0]) * 1000
                copy = recorded | {"commit_hash": commit, "date": date, "results": kept}
                path.with_name(path.name.replace(source[:8], commit[:8])).write_text(json.dumps(copy))


class Change(NamedTuple):
    """A row of the history, then and now."""

    name: str
    since: str
    """The version of the older figure."""
    then: float
    now: float

    @property
    def ratio(self) -> float:
        return self.now / self.then if self.then else 1.0 if self.now == self.then else math.inf


def changes() -> list[Change]:
    """Every row of the newest version that has it, against the last release or else its first version."""
    order = git("log", "--first-parent", "--reverse", "--format=%H")
    tags = [tag for tag in git("tag", "--merged", "HEAD", "--sort=creatordate") if tag.startswith("v")]
    release = order.index(git("rev-list", "-n1", tags[-1])[0]) if tags else 0
    found: dict[str, list[tuple[str, float]]] = {}
    for commit in order[release:]:
        for name, value in rows_of(commit):
            if value is not None and not math.isnan(value):
                found.setdefault(name, []).append((commit, value))
    return [Change(name, seen[0][0], seen[0][1], seen[-1][1]) for name, seen in found.items() if len(seen) > 1]


def rows_of(commit: str) -> Iterator[tuple[str, float | None]]:
    """Names and values of what is recorded of a version."""
    from asv.benchmarks import Benchmarks
    from asv.commands.compare import unroll_result
    from asv.config import Config
    from asv.results import iter_results_for_machine_and_hash

    benchmarks = Benchmarks.load(Config.load(str(ROOT / "asv.conf.json")))
    for result in iter_results_for_machine_and_hash(str(RESULTS), MACHINE, commit):
        for name in result.get_result_keys(benchmarks):
            params = benchmarks[name]["params"]
            for row, value, _ in unroll_result(name, params, result.get_result_value(name, params), None):
                yield row, value


def page() -> str:
    """What got faster, slower, more and less exact, in Markdown."""
    found = changes()
    parts = [
        _section("Times of the cases", "ms", 1e3, [c for c in found if c.name.startswith("gate")], "times"),
        _section("Accuracy", "ulp", 1, [c for c in found if c.name.startswith("digits")], "figures"),
        _section(
            "Width of the vectors", "bits", 1, [c for c in found if "track_width" in c.name], "figures", more=True
        ),
        _section("Instructions for a number", "", 1, [c for c in found if "track_instructions" in c.name], "figures"),
    ]
    versions = len({path.name[:8] for path in (RESULTS / MACHINE).glob("*-*.json")})
    return "\n\n".join([f"{versions} versions are recorded, on `{MACHINE}`.", *parts])


def _section(title: str, unit: str, scale: float, found: Sequence[Change], kind: str, more: bool = False) -> str:
    """A table of the rows that have changed; with *more*, a larger figure is the better one."""
    different = sorted((c for c in found if abs(c.ratio - 1) > CHANGED[kind]), key=lambda c: c.ratio, reverse=not more)
    worse = sum((c.ratio < 1) if more else (c.ratio > 1) for c in different)
    lines = [
        f"### {title}",
        "",
        f"{len(different) - worse} of {len(found)} rows got better and {worse} got worse.",
    ]
    shown = different if len(different) <= LONGEST else [*different[: LONGEST // 2], *different[-(LONGEST // 2) :]]
    if shown:
        lines += ["", f"| row | since | then{unit and f' ({unit})'} | now | ratio |", "|---|---|---|---|---|"]
    for c in shown:
        lines.append(
            f"| {_label(c.name)} | {c.since[:8]} | {c.then * scale:.4g} | {c.now * scale:.4g} | {c.ratio:.3g} |"
        )
    if len(shown) < len(different):
        lines += ["", f"The worst and the best {LONGEST // 2} of {len(different)} are shown; the site has all."]
    return "\n".join(lines)


def _label(name: str) -> str:
    """The parameters of a row, without those that all have in common."""
    benchmark, _, params = name.partition("(")
    shown = [p for p in ast.literal_eval(f"({params.rstrip(')')},)") if not str(p).startswith("LLVM")]
    of = {"Integrals": "KL, ", "Fits": "fit, "}.get(benchmark.split(".")[1], "")
    return (of + ", ".join(map(str, shown))).replace("|", "\\|")


class Commits(OutputPublisher):
    """A page of the site with all versions, which its graphs link to: for a repository that is on no forge."""

    name, button_label, description = "commits", "Versions", "All versions"

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:
        body = []
        for entry in "\n".join(git("log", "--format=%x1e%H%n%as%n%s%n%b")).split("\x1e")[1:]:
            commit, date, subject, *text = entry.strip().split("\n")
            body.append(
                f'<h3 id="{commit}">{html.escape(subject)}</h3><p>{date} {commit}</p>'
                f"<pre>{html.escape(chr(10).join(text).strip())}</pre>"
            )
        page = "<!doctype html><meta charset=utf-8><style>:target{background:#ffc}</style>" + "\n".join(body)
        Path(conf.html_dir, "commits.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
