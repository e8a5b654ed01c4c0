"""What a warm-up leaves behind: no first call compiles anything."""

from __future__ import annotations

import pytest

from fastkl import warmup
from fastkl.jit import JIT_DISABLED
from tests.command import run
from tests.jit.processes import run_python

FIRST_CALLS = """
import numba
from fastkl import Mixture, Normal, entropy, fit
import numpy as np

compiled = []
from numba.core import compiler
compile_extra = compiler.compile_extra
compiler.compile_extra = lambda *a, **k: (compiled.append(a[2].__name__), compile_extra(*a, **k))[1]
from numba.core import registry
p = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
for direction in ("forward", "reverse"):
    fit(p, "normal", direction=direction)
entropy(*np.random.default_rng(0).random((2, 50, 60)), axis=1)
print(len(compiled))
"""


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_every_task_runs_and_the_next_process_compiles_nothing() -> None:
    assert run("warmup", "--jobs", "2").out.endswith("so is all that they use\n")
    assert run_python(FIRST_CALLS).strip() == "0"


def test_a_number_of_jobs_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        warmup.warm_up(0)
