"""fastkl and its peers on the same work, for the README: ``python -m bench.peers [--quick]``.

Every peer has a process of its own, so that their thread pools do not meet; the processes work in blocks of calls that
take turns, and the median of all calls of all blocks but their first quarter counts. A peer that is not installed is
left out. Threads are as each peer has them by default.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from bench.cases import COUNTS, DATA, DENSE, TAILS, ZEROS
from bench.figures import machine
from bench.pages import write_part

Call = Callable[[], Any]
Pair = tuple[Any, Any]

BLOCKS, CALLS = 7, 12
LARGE = 10**6


class Work(NamedTuple):
    """What is to be computed, on which data."""

    function: str
    data: str = DENSE
    size: int = LARGE
    kind: str = "f8"

    def __str__(self) -> str:
        kind = ", single precision" if self.kind == "f4" else ""
        data = "" if self.data == DENSE else f", {self.data}"
        return f"{self.function}, N = {self.size:,}{kind}{data}"

    def pair(self) -> Pair:
        """P and q, normalised as most peers want them."""
        p, q = DATA[self.data].pair((self.size,))
        return (p / p.sum()).astype(self.kind), (q / q.sum()).astype(self.kind)


WORKS = (
    *(Work("KL", data) for data in (DENSE, ZEROS, COUNTS, TAILS)),
    Work("KL", kind="f4"),
    Work("KL", size=4096),
    Work("KL", size=100),
    *(Work("Jensen-Shannon", data) for data in (DENSE, ZEROS, COUNTS, TAILS)),
    Work("Jensen-Shannon", kind="f4"),
    Work("Jensen-Shannon", size=4096),
    Work("Jensen-Shannon", size=100),
    *(Work("elements of rel_entr", data) for data in (DENSE, ZEROS)),
)


def _fastkl(work: Work, p: Any, q: Any) -> Call:
    import fastkl

    name = {"KL": "entropy", "Jensen-Shannon": "jensenshannon"}.get(work.function, "rel_entr")
    compute = getattr(fastkl, name)
    return lambda: compute(p, q)


def _scipy(work: Work, p: Any, q: Any) -> Call:
    from scipy.spatial.distance import jensenshannon
    from scipy.special import rel_entr
    from scipy.stats import entropy

    compute = {"KL": entropy, "Jensen-Shannon": jensenshannon}.get(work.function, rel_entr)
    return lambda: compute(p, q)


def _numpy(work: Work, p: Any, q: Any) -> Call:
    def terms(p: Any, q: Any) -> Any:
        return np.where(p > 0, p * np.log(p / q), 0.0)

    if work.function == "Jensen-Shannon":
        return lambda: math.sqrt(0.5 * (terms(p, 0.5 * (p + q)).sum() + terms(q, 0.5 * (p + q)).sum()))
    return lambda: terms(p, q).sum() if work.function == "KL" else terms(p, q)


def _numexpr(work: Work, p: Any, q: Any) -> Call:
    import numexpr

    names = {"p": p, "q": q}
    term = "where({0} > 0, {0} * log({0} / ({1})), 0)"
    if work.function == "Jensen-Shannon":
        m = "(0.5 * (p + q))"
        expression = f"sum({term.format('p', m)} + {term.format('q', m)})"
        return lambda: math.sqrt(0.5 * float(numexpr.evaluate(expression, local_dict=names)))
    expression = term.format("p", "q")
    if work.function == "KL":
        expression = f"sum({expression})"
    return lambda: numexpr.evaluate(expression, local_dict=names)


def _torch(work: Work, p: Any, q: Any) -> Call:
    import torch
    from torch.nn.functional import kl_div

    p, q = torch.from_numpy(p), torch.from_numpy(q)
    if work.function == "Jensen-Shannon":

        def distance() -> float:
            log_m = (0.5 * (p + q)).log()
            return math.sqrt(0.5 * float(kl_div(log_m, p, reduction="sum") + kl_div(log_m, q, reduction="sum")))

        return distance
    if work.function == "KL":
        return lambda: float(kl_div(q.log(), p, reduction="sum"))
    return lambda: kl_div(q.log(), p, reduction="none")


def _jax(work: Work, p: Any, q: Any) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    from jax.scipy.special import rel_entr

    def distance(p: Any, q: Any) -> Any:
        m = 0.5 * (p + q)
        return (0.5 * (rel_entr(p, m) + rel_entr(q, m)).sum()) ** 0.5

    forms = {"KL": lambda p, q: rel_entr(p, q).sum(), "Jensen-Shannon": distance}
    compute, given = jax.jit(forms.get(work.function, rel_entr)), (jax.device_put(p), jax.device_put(q))
    return lambda: compute(*given).block_until_ready()


def _numkong(work: Work, p: Any, q: Any) -> Call:
    import numkong

    names = {"KL": "kullbackleibler", "Jensen-Shannon": "jensenshannon"}
    if work.function not in names:
        raise NotImplementedError
    compute = getattr(numkong, names[work.function])
    return lambda: compute(p, q)


PEERS: dict[str, Callable[[Work, Any, Any], Call]] = {
    "fastkl": _fastkl,
    "SciPy": _scipy,
    "NumPy": _numpy,
    "numexpr": _numexpr,
    "torch": _torch,
    "jax": _jax,
    "NumKong": _numkong,
}


class Worker:
    """A process that computes with one peer."""

    def __init__(self, peer: str) -> None:
        command = [sys.executable, "-m", "bench.peers", "--worker", peer]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, question: object) -> Any:
        """The answer to a question, as `_serve` has it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def _serve(peer: str) -> None:
    """Prepare work when asked with a list, and time so many calls when asked with a number."""
    call: Call | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if isinstance(question, list):
            work = Work(*question)
            try:
                with np.errstate(all="ignore"):
                    call = PEERS[peer](work, *work.pair())
                    value = call()
                answer: Any = None if work.function.startswith("elements") else float(value)
            except NotImplementedError:
                answer = "absent"
            print(json.dumps(answer), flush=True)
        else:
            assert call is not None
            seconds = []
            with np.errstate(all="ignore"):
                for _ in range(question):
                    began = time.perf_counter()
                    call()
                    seconds.append(time.perf_counter() - began)
            print(json.dumps(seconds[question // 4 :]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short timings of some rows; print, and write nothing")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _serve(arguments.worker)
        return
    installed = [peer for peer in PEERS if peer in ("fastkl", "SciPy", "NumPy") or _is_installed(peer)]
    workers = {peer: Worker(peer) for peer in installed}
    lines = ["| work | fastkl | " + " | ".join(installed[1:]) + " |", "|---" * (len(installed) + 1) + "|"]
    for work in WORKS[:: 6 if arguments.quick else 1]:
        lines.append(_row(work, workers, blocks=2 if arguments.quick else BLOCKS))
        print(lines[-1], flush=True)
    for worker in workers.values():
        worker.end()
    versions = ", ".join(f"{peer} {version(peer.lower())}" for peer in installed[1:])
    head = "Times of the peers in units of fastkl's: bold where fastkl loses, and marked where the answer is wrong.\n"
    text = "\n".join([head, *lines, "", machine(f"python -m bench.peers; {versions}")])
    if arguments.quick:
        print(text)
    else:
        write_part("../README.md", "peers", text)


def _row(work: Work, workers: dict[str, Worker], blocks: int) -> str:
    """Fastkl's time, and that of each peer in units of it; a wrong answer is marked."""
    answers = {peer: worker.ask(list(work)) for peer, worker in workers.items()}
    seconds: dict[str, list[float]] = {peer: [] for peer in workers}
    calls = CALLS if work.size == LARGE else 400
    for _ in range(blocks):
        for peer, worker in workers.items():
            if answers[peer] != "absent":
                time.sleep(0.02)
                seconds[peer] += worker.ask(calls)
    times = {peer: statistics.median(seen) if seen else math.nan for peer, seen in seconds.items()}
    ours, true = times["fastkl"], answers["fastkl"]
    cells = []
    for peer in list(workers)[1:]:
        if answers[peer] == "absent":
            cells.append("")
            continue
        given = answers[peer]
        tolerance = 1e-4 if work.kind == "f4" else 1e-9
        wrong = true is not None and not (given == true or abs(given - true) <= tolerance * abs(true))
        ratio = times[peer] / ours
        shown = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
        cells.append(f"{'**' if ratio < 1 else ''}{shown}{'**' if ratio < 1 else ''}{' (wrong)' if wrong else ''}")
    return f"| {work} | {ours * 1e6:,.3g} µs | {' | '.join(cells)} |"


def _is_installed(peer: str) -> bool:
    try:
        version(peer.lower())
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
