"""Measure the figures of ``docs/performance.md`` and write them there: ``python -m bench.figures [--quick]``.

The same code as in the asv suite is timed, so the page and the regression tracking cannot disagree.
With ``--quick`` every timing is short and nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from statistics import median
from typing import Any

from bench.cases import ELEMENTS
from bench.pages import write_part
from bench.suite import arrays, fits, strata
from bench.suite.blocks import medians
from bench.suite.integrals import AgainstJax, Billion, Tables
from bench.suite.startup import FIRST_FITS
from bench.suite.sums import KLSum
from tests.arrays.strata import Stratum

Row = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short timings; print, and leave the page as it is")
    quick = parser.parse_args().quick
    rows = [*([] if quick else _arrays()), *_sum(quick), *_integral(quick), *_fits(quick), *_startup(quick)]
    table = "\n".join(
        [
            "| work | time | in units of a peer in the same run |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )
    text = f"{table}\n\n{machine()}"
    print(text)
    data = f"{_data(quick)}\n\n{machine()}"
    print(data)
    if not quick:
        write_part("performance.md", "figures", text)
        write_part("performance.md", "data", data)


def _arrays() -> Iterator[Row]:
    """The ratios of `bench.suite.arrays`, as they are tracked."""
    tracked = [
        (arrays.AgainstDot, "track_ratio_to_dot", "{}(p, q), N = 10⁷", "`p @ q`"),
        (arrays.Single, "track_ratio_to_double", "{}(p, q) in single precision, N = 10⁷", "the same in double"),
        (arrays.ElementsAgainstAdd, "track_ratio_to_add", "rel_entr(x, y, out=o), N = 10⁷", "`np.add(x, y, out=o)`"),
        (arrays.AgainstJax, "track_ratio_to_jax", "entropy(p, q), N = 10⁷", "jax.jit of the sum of {}"),
        (arrays.AgainstSciPy, "track_ratio_to_scipy", "{}", "SciPy"),
    ]
    for suite, method, work, peer in tracked:
        for parameter in getattr(suite, "params", [None]):
            bench, given = suite(), [] if parameter is None else [parameter]
            try:
                bench.setup(*given)
            except NotImplementedError as reason:
                yield work.format(parameter), "not measured", str(reason)
                continue
            ratio = getattr(bench, method)(*given)
            inverse = f" (1/{1 / ratio:.0f})" if ratio < 0.2 else ""
            yield work.format(parameter), "", f"{ratio:.2g}{inverse} of {peer.format(parameter)}"


def _data(quick: bool) -> str:
    """Every kind of data: in one layout in full, in the others the worst of all kinds; NumKong; and a busy core."""
    counts = {"blocks": 2, "calls": 4 if quick else 8, "pause": 0.05}
    kinds, layouts = (strata.STRATA[:3], strata.LAYOUTS[:1]) if quick else (strata.STRATA, strata.LAYOUTS)
    lines = [f"| {layouts[0].name} | {' | '.join(strata.FUNCTIONS)} |", "|---" * (len(strata.FUNCTIONS) + 1) + "|"]
    for kind in kinds:
        cells = []
        for function in strata.FUNCTIONS:
            found = strata.timing(function, kind, layouts[0], "f8", **counts)
            n = layouts[0].size
            cells.append(
                f"{found.ours / n * 1e9:.2f} ({found.ours / found.dense:.2f}; {_part(found.ours / found.scipy)})"
            )
        lines.append(f"| {kind.name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| worst of all kinds | {' | '.join(strata.FUNCTIONS)} |",
        "|---" * (len(strata.FUNCTIONS) + 1) + "|",
    ]
    for layout, number in itertools.product(layouts, ("f8", "f4")):
        cells = [_worst(function, kinds, layout, number, counts) for function in strata.FUNCTIONS]
        lines.append(f"| {layout.name}, {number} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_numkong(quick), "", *_busy(quick)])


def _worst(
    function: str, kinds: tuple[Stratum, ...], layout: strata.Layout, number: str, counts: dict[str, Any]
) -> str:
    """The largest ratios to dense numbers and to SciPy, without subnormal numbers, whose own follow."""
    if function in ELEMENTS and layout.row is not None:
        return ""
    found = {
        kind: strata.timing(function, kind, layout, number, with_scipy=layout.row is None, **counts)
        for kind in kinds
        if strata.is_asked(function, kind)
    }
    usual = [timing for kind, timing in found.items() if not kind.subnormal]
    worst = max(t.ours / t.dense for t in usual), max(t.ours / t.scipy for t in usual)
    text = _pair(*worst, 2)
    for kind, t in found.items():
        if kind.subnormal:
            text += f" ({_pair(t.ours / t.dense, t.ours / t.scipy, 1)})"
    return text


def _pair(to_dense: float, to_scipy: float, digits: int) -> str:
    return f"{to_dense:.{digits}f}" + ("" if to_scipy != to_scipy else f"; {_part(to_scipy)}")


def _part(ratio: float) -> str:
    return f"1/{1 / ratio:.0f}" if ratio < 0.2 else f"{ratio:.2f}"


def _numkong(quick: bool) -> list[str]:
    functions, numbers, sizes = strata.AgainstNumKong.params
    lines = [
        "| fastkl's time in units of NumKong's, one thread | " + " | ".join(f"N = {n:,}" for n in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for function, number in itertools.product(functions, numbers):
        cells = []
        for n in sizes[: 1 if quick else None]:
            bench = strata.AgainstNumKong()
            try:
                bench.setup(function, number, n)
            except NotImplementedError as reason:
                return [f"NumKong: not measured, {reason}"]
            cells.append(f"{bench.track_ratio_to_numkong(function, number, n):.2f}")
        lines.append(f"| {function}, {number} | {' | '.join(cells)} |")
    return [*lines, "", *_answers()]


def _answers() -> list[str]:
    """What NumKong answers where fastkl is exact."""
    import numkong
    import numpy as np

    import fastkl

    rng = np.random.default_rng(0)
    p = rng.random(4096)
    p /= p.sum()
    q = p * (1.0 + 1e-9 * rng.standard_normal(p.size))
    q /= q.sum()
    left, right = np.zeros(64), np.zeros(64)
    left[:32] = right[32:] = 1 / 32
    lines = ["| answers in double precision | fastkl | NumKong |", "|---|---|---|"]
    for what, name, a, b in (
        ("Jensen-Shannon distance of disjoint arrays, √ln 2", "jensenshannon", left, right),
        ("KL of disjoint arrays, ∞", "kullbackleibler", left, right),
        ("KL of arrays that differ by 1e-9, 5e-19", "kullbackleibler", p, q),
    ):
        mine = fastkl.jensenshannon(a, b) if name == "jensenshannon" else fastkl.entropy(a, b)
        lines.append(f"| {what} | {float(mine):.6g} | {float(getattr(numkong, name)(a, b)):.6g} |")
    return lines


def _busy(quick: bool) -> list[str]:
    functions, sizes = strata.BusyCore.params
    lines = [
        "| one core kept busy, in units of one thread | " + " | ".join(f"N = {n:,}" for n in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for function in functions:
        cells = []
        for n in sizes[: 1 if quick else None]:
            bench = strata.BusyCore()
            bench.setup(function, n)
            cells.append(f"{bench.track_ratio_to_one_thread(function, n):.2f}")
        lines.append(f"| {function} | {' | '.join(cells)} |")
    return lines


def _sum(quick: bool) -> Iterator[Row]:
    n = 100_000 if quick else 10_000_000
    bench = KLSum()
    bench.setup(n)
    ours, dot = medians(bench.kl_sum, lambda: bench.p @ bench.q, **_counts(quick))
    yield f"KL sum of two arrays, N = {n:.0e}", f"{ours / n * 1e9:.2f} ns an element", f"{ours / dot:.2f} of `p @ q`"


def _integral(quick: bool) -> Iterator[Row]:
    cases, forms = AgainstJax.params
    for case in list(cases)[: 1 if quick else None]:
        for form in forms:
            bench, work = AgainstJax(), f"KL(mixture ‖ Normal), {case}"
            try:
                bench.setup(case, form)
            except NotImplementedError as reason:
                yield work, "not measured", str(reason)
                continue
            counts = _counts(quick) if bench.grid.ndim == 1 else {"blocks": 3, "calls": 6}
            ours, theirs = medians(bench.fastkl, bench.jax, **counts)
            n = bench.grid.size
            yield work, f"{ours / n * 1e9:.2f} ns a point", f"{ours / theirs:.2g} of jax.jit of {form}"
    if not quick:
        tables, billion = Tables(), Billion()
        tables.setup()
        yield "KL of two tables of log values, N = 10⁷", "", f"{tables.track_ratio_to_dot():.2g} of `p @ q`"
        yield (
            "KL(mixture ‖ Normal), 10⁹ points",
            f"{billion.track_memory():.1f} MiB above 10³ points",
            (f"a point costs {billion.track_cost_of_a_point():.2g} of one of 10⁶"),
        )


def _fits(quick: bool) -> Iterator[Row]:
    for direction in fits.Fit.params[0]:
        bench, n = fits.Fit(), 10_000
        bench.setup(direction, n)
        (seconds,) = medians(lambda bench=bench, direction=direction: bench.fit(direction), **_counts(quick))
        yield f"{direction} fit of a Normal, 10⁴ points", f"{seconds * 1e3:.1f} ms", ""
    if quick:
        return
    for case, direction in itertools.product(*fits.AgainstDivergence.params):
        table = fits.AgainstDivergence()
        table.setup(case, direction)
        ratio = table.track_ratio_to_divergence(case, direction)
        yield f"{direction} fit of a table of log values, {case}", "", f"{ratio:.2g} of `kl_divergence(p, q)`"
    for case, form in itertools.product(*fits.AgainstJax.params):
        against, work = fits.AgainstJax(), f"reverse fit of all minima, {case}"
        try:
            against.setup(case, form)
        except NotImplementedError as reason:
            yield work, "not measured", str(reason)
            continue
        ratio = against.track_ratio_to_jax(case, form)
        yield work, "", f"1/{1 / ratio:.0f} of one run of L-BFGS-B with jax.jit, {form}"
    for direction in fits.Memory.params:
        peak = fits.Memory().track_peak(direction)
        yield f"{direction} fit of a table, 10⁸ points", f"{peak:.1f} MiB above the table", ""


def _startup(quick: bool) -> Iterator[Row]:
    repeat = 1 if quick else 7
    peers = "import numba, numpy"
    pairs = [(_process(peers), _process(f"{peers}; import fastkl")) for _ in range(repeat)]
    added = median(whole - bare for bare, whole in pairs)
    scale = median(bare for bare, _ in pairs)

    def row(work: str, seconds: float) -> Row:
        return work, f"{seconds:.2f} s", f"{seconds / scale:.2f} of a process that does `{peers}`"

    yield row(f"`import fastkl` after `{peers}`", added)
    cold = []
    for _ in range(min(repeat, 3)):
        with tempfile.TemporaryDirectory() as empty:
            cold.append(_process(FIRST_FITS, NUMBA_CACHE_DIR=empty))
    yield row("a new process that fits both ways on 10⁴ points, cold cache", median(cold))
    warm = [_process(FIRST_FITS) for _ in range(repeat + 1)][1:]
    yield row("the same, warm cache", median(warm))


def _process(code: str, **environment: str) -> float:
    """Seconds from the start of a new interpreter to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})
    return time.perf_counter() - began


def _counts(quick: bool) -> dict[str, int]:
    return {"blocks": 2, "calls": 4} if quick else {}


def machine(command: str = "python -m bench.figures") -> str:
    """When, where and with what figures were measured."""
    packages = ", ".join(f"{name} {_version(name)}" for name in ("numba", "numpy", "scipy", "jax", "numkong"))
    cores = os.cpu_count()
    return (
        f"Measured on {datetime.date.today()} with `{command}`: {cores} cores of {_processor()}, "
        f"Python {platform.python_version()}, {packages}."
    )


def _processor() -> str:
    """The processor's name, and the one that LLVM has for it."""
    import llvmlite.binding

    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name} (LLVM: {llvmlite.binding.get_host_cpu_name()})"


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"


if __name__ == "__main__":
    main()
