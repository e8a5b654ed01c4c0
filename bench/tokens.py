"""The KL of every token, for ``docs/tokens.md``: ``python -m bench.tokens [--quick]``.

Rows of 151,936 made logits, as many as a page of text has tokens, with noise on the second of each pair. The peer that
does the least is a sum of both arrays seen as 64-bit integers, on all threads: it reads the same memory. All work in
turns, in blocks of calls, and medians are compared; torch has the threads that it takes by itself, and one.
"""

from __future__ import annotations

import argparse
import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

import fastkl
from bench.figures import machine
from bench.pages import write_part
from bench.suite.blocks import medians

TOKENS, ROWS, QUICK_ROWS = 151_936, 256, 64
NOISE = 0.15
CHUNK = 2**16

Call = Callable[[], Any]


def logits(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Made logits in single precision: a bulk, some tokens that stand out in a row, and noise on the second array."""
    rng = np.random.default_rng(seed)
    a, b = (np.empty((rows, TOKENS), np.float32) for _ in range(2))
    for i in range(rows):
        a[i] = rng.standard_normal(TOKENS, np.float32) * 2.5
        a[i, rng.integers(0, TOKENS, 50)] += rng.uniform(3.0, 20.0, 50).astype(np.float32)
        b[i] = a[i] + NOISE * rng.standard_normal(TOKENS, np.float32)
    return a, b


@numba.njit(parallel=True, fastmath={"reassoc"})
def _sum(values: Any) -> Any:
    """The sum of 64-bit integers."""
    total = np.int64(0)
    for k in numba.prange(-(-values.size // CHUNK)):
        part = values[k * CHUNK : (k + 1) * CHUNK]
        own = np.int64(0)
        for i in range(part.size):
            own += part[i]
        total += own
    return total


def reading(a: Any, b: Any) -> Call:
    """The sum of both arrays seen as 64-bit integers."""
    given = [x.reshape(-1).view(np.int64) for x in (a, b)]
    return lambda: [_sum(x) for x in given]


def ours(a: Any, b: Any) -> Call:
    return lambda: fastkl.entropy(a, b, log=True, axis=-1)


def by_scipy(a: Any, b: Any) -> Call:
    """The usual formula, in the type of the logits."""
    from scipy.special import log_softmax

    def kl() -> Any:
        p, q = log_softmax(a, axis=-1), log_softmax(b, axis=-1)
        return (np.exp(p) * (p - q)).sum(axis=-1)

    return kl


def by_torch(a: Any, b: Any, threads: int | None = None) -> Call:
    """The usual call of torch, in the type of the logits."""
    import torch
    from torch.nn.functional import kl_div, log_softmax

    kinds = {"bfloat16": torch.bfloat16}
    given = [
        torch.from_numpy(x.view(np.int16)).view(kinds[x.dtype.name]) if x.dtype.name in kinds else torch.from_numpy(x)
        for x in (a, b)
    ]

    def kl() -> Any:
        p, q = (log_softmax(x, dim=-1) for x in given)
        return kl_div(q, p, log_target=True, reduction="none").sum(-1)

    def with_threads() -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            return kl()
        finally:
            torch.set_num_threads(before)

    return with_threads


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(number)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def kinds() -> dict[str, Any]:
    """Types of logits that are timed."""
    found: dict[str, Any] = {"float32": np.float32, "float16": np.float16}
    with contextlib.suppress(ModuleNotFoundError):
        import ml_dtypes

        found["bfloat16"] = ml_dtypes.bfloat16
    return found


def speed(rows: int, blocks: int, calls: int) -> Iterator[str]:
    """Lines of the table of times."""
    a, b = logits(rows)
    given = {name: (a.astype(kind), b.astype(kind)) for name, kind in kinds().items()}
    yield "| logits | threads | fastkl, ns a pair | of reading | of float32 | torch | SciPy |"
    yield "|---|---|---|---|---|---|---|"
    for number in sorted({1, numba.config.NUMBA_NUM_THREADS}):
        with threads(number):
            singles = ours(*given["float32"])
            for name, pair in given.items():
                competitors = [ours(*pair), singles, reading(*pair)]
                with contextlib.suppress(ModuleNotFoundError):
                    competitors.append(by_torch(*pair, None if number > 1 else 1))
                for call in competitors:
                    call()
                seconds = medians(*competitors, blocks=blocks, calls=calls)
                scipys = 0.0
                if name == "float32":
                    few = tuple(x[: max(rows // 16, 1)] for x in pair)
                    scipys = medians(by_scipy(*few), blocks=1, calls=3)[0] * (rows / len(few[0]))
                own, base, read = seconds[:3]
                torchs = f"{seconds[3] / own:.3g}" if len(seconds) > 3 else ""
                numpys = f"{scipys / own:.3g}" if scipys else ""
                yield (
                    f"| {name} | {number} | {own / a.size * 1e9:.2f} | {own / read:.2f} | {own / base:.2f} "
                    f"| {torchs} | {numpys} |"
                )


def memory(rows: int) -> Iterator[str]:
    """A line on the memory that is allocated beside the arrays."""
    a, b = logits(rows)
    peaks = []
    for kind in kinds().values():
        call = ours(a.astype(kind), b.astype(kind))
        call()
        tracemalloc.start()
        call()
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    yield f"Memory beside the arrays, {2 * a.nbytes / 2**20:,.0f} MiB in float32: at most {max(peaks):.2f} MiB."


def digits() -> Iterator[str]:
    """Lines of the table of values: one row of float32 logits, and what becomes of it."""
    a, _ = (x[0] for x in logits(1, seed=1))
    rng = np.random.default_rng(2)
    top, noise = int(a.argmax()), rng.standard_normal(TOKENS, np.float32)
    one = a.copy()
    one[top] = np.nextafter(a[top], np.float32(np.inf))
    cases = {
        "the same row": a.copy(),
        "the likeliest token differs by one last place": one,
        "all logits + 8": a + np.float32(8.0),
        "noise of 10⁻⁴": a + np.float32(1e-4) * noise,
        "noise of 10⁻²": a + np.float32(1e-2) * noise,
    }
    yield "| second row | fastkl | torch | SciPy's log_softmax |"
    yield "|---|---|---|---|"
    for name, b in cases.items():
        values = [f"{float(ours(a, b)()):.7g}"]
        with contextlib.suppress(ModuleNotFoundError):
            values.append(f"{float(by_torch(a, b)()):.7g}")
        values += [""] * (2 - len(values))
        values.append(f"{float(by_scipy(a, b)()):.7g}")
        yield f"| {name} | {' | '.join(values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tokens", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows and short timings; print, and write nothing")
    quick = parser.parse_args().quick
    rows, blocks, calls = (QUICK_ROWS, 3, 4) if quick else (ROWS, 7, 8)
    parts = {
        "digits": list(digits()),
        "speed": [*speed(rows, blocks, calls), "", *memory(rows), "", machine("python -m bench.tokens")],
    }
    for name, lines in parts.items():
        if quick:
            print("\n".join(lines), end="\n\n")
        else:
            write_part("tokens.md", name, "\n".join(lines))


if __name__ == "__main__":
    main()
