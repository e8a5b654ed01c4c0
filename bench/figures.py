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

from bench.pages import write_part
from bench.suite import arrays, fits
from bench.suite.blocks import medians
from bench.suite.integrals import AgainstJax, Billion, Tables
from bench.suite.startup import FIRST_FITS
from bench.suite.sums import KLSum

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
    text = f"{table}\n\n{_machine()}"
    print(text)
    if not quick:
        write_part("performance.md", "figures", text)


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


def _machine() -> str:
    packages = ", ".join(f"{name} {_version(name)}" for name in ("numba", "numpy", "scipy", "jax"))
    cores = os.cpu_count()
    return (
        f"Measured on {datetime.date.today()} with `python -m bench.figures`: {cores} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"


if __name__ == "__main__":
    main()
