"""The cases of `bench.cases` for pytest-benchmark: ``pytest bench --benchmark-only``.

``-k rel_entr`` takes the cases with that in their names. ``--benchmark-autosave`` keeps a run, and
``--benchmark-compare --benchmark-compare-fail=median:15%`` fails on a loss.
"""

from __future__ import annotations

from typing import Any

import numba
import pytest

from bench.cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_case(benchmark: Any, name: str) -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(min(CASES[name].threads, before))
    try:
        call = CASES[name].prepare()
        call()  # compiles
        benchmark(call)
    finally:
        numba.set_num_threads(before)
