"""Memory that the calls of arrays take above their input: ``python -m bench.memory [--quick]``.

The whole study has 10**8 numbers (1.6 GB of input), ``--quick`` a hundredth of that.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np

import fastkl

LIMIT = 8 * 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10**6 numbers instead of 10**8")
    n = 10**6 if parser.parse_args().quick else 10**8
    rng = np.random.default_rng(0)
    p, q = rng.random(n), rng.random(n)
    side = round(n**0.5)
    rows, columns = (p.reshape(side, side), q.reshape(side, side)), (p.reshape(side, side).T, q.reshape(side, side).T)
    halves = tuple(x.astype("f2") for x in rows)
    left, right = p[: n // 100].reshape(-1, 1, 100), q[: n // 100].reshape(1, -1, 100)
    calls: dict[str, Callable[[], object]] = {
        "entropy(p, q)": lambda: fastkl.entropy(p, q),
        "entropy(p)": lambda: fastkl.entropy(p),
        "jensenshannon(p, q)": lambda: fastkl.jensenshannon(p, q),
        "every other number": lambda: fastkl.entropy(p[::2], q[::2]),
        "reversed": lambda: fastkl.entropy(p[::-1], q[::-1]),
        "rows": lambda: fastkl.entropy(*rows, axis=1),
        "columns": lambda: fastkl.entropy(*rows, axis=0),
        "transposed": lambda: fastkl.entropy(*columns, axis=1),
        "byte-swapped": lambda: fastkl.entropy(p.view(">f8"), q.view(">f8"), normalize=False),
        "logits": lambda: fastkl.entropy(*rows, axis=1, log=True),
        "logits of float16": lambda: fastkl.entropy(*halves, axis=1, log=True),
        "columns of logits": lambda: fastkl.entropy(*halves, axis=0, log=True),
        "broadcast": lambda: fastkl.entropy(left[:1000], right[:, :100], axis=2),
    }
    worst = 0
    for name, call in calls.items():
        call()  # what is compiled or loaded now does not count
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        worst = max(worst, peak)
        print(f"{name:20s} {peak / 2**20:8.3f} MiB")
    return int(worst >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
