"""The static figures of this version, in ``bench/machine_code.json``.

``python -m bench.machine_code`` writes them (40 seconds), and with ``--check``, as CI runs it, says what has changed: a
change of a kernel is committed together with what it makes of the machine code. ``--processors NAME ...`` prints those
of other processors, and writes nothing. Cycles are not among the committed ones, since they need llvm-mca. Figures of
other versions of LLVM, llvmlite or Numba cannot be compared, nor those that Numba's front end makes on another
architecture; then the check says so and passes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from typing import Any

from bench import asv_bench_numba
from bench.suite.machine_code import CODE, COMMITTED, PROCESSORS

KEPT = ("width", "points", "instructions", "divisions", "spills")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.machine_code", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed figures; 1 if they differ")
    parser.add_argument("--processors", nargs="+", metavar="NAME", help="print the figures of these, and write nothing")
    arguments = parser.parse_args()
    check = arguments.check
    if check and arguments.processors:
        parser.error("--check compares the committed processors; leave out --processors")
    if arguments.processors:
        try:
            print(_table(asv_bench_numba.figures(CODE, arguments.processors)))
        except ValueError as reason:
            print(f"bench.machine_code: {reason}", file=sys.stderr)
            return 2
        return 0
    compiler = asv_bench_numba.compiler()
    if check and (known := json.loads(COMMITTED.read_text()))["compiler"] != compiler:
        print(f"skipped: the committed figures are those of {known['compiler']}, and {compiler} is installed")
        return 0
    if check and platform.machine().lower() not in ("x86_64", "amd64"):
        print(f"skipped: the committed figures were made on x86-64, and this is {platform.machine()}")
        return 0
    found = {
        function: {processor: {name: round(figures[name], 4) for name in KEPT} for processor, figures in by.items()}
        for function, by in asv_bench_numba.figures(CODE, PROCESSORS).items()
    }
    if not check:
        COMMITTED.write_text(json.dumps({"compiler": compiler, "figures": found}, indent=1) + "\n")
        return 0
    changes = list(_changes(known["figures"], found))
    print("\n".join(changes) or f"{len(found)} functions on {len(PROCESSORS)} processors as committed ({compiler})")
    if changes:
        print(
            "If this is meant, run 'python -m bench.machine_code' and commit bench/machine_code.json with the change."
        )
    return int(bool(changes))


def _table(found: asv_bench_numba.Figures) -> str:
    """Markdown of all figures, and of the cycles where llvm-mca is installed."""
    names = [name for name in (*KEPT, "cycles") if name != "points"]
    lines = [f"| function | processor | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for function, by in found.items():
        for processor, figures in by.items():
            cells = (f"{figures[name]:.3g}" for name in names)
            lines.append(f"| {function} | {processor} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    lines = []
    for function in sorted({*old, *new}):
        for processor in PROCESSORS:
            before, now = (figures.get(function, {}).get(processor) for figures in (old, new))
            if before != now:
                lines.append(f"{function} for {processor}: {before} -> {now}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
