"""A warm-up leaves nothing to be compiled by the first calls of a new process."""

from __future__ import annotations

import re

import pytest

from fastkl import warmup
from fastkl.families import FAMILIES
from fastkl.jit import JIT_DISABLED
from tests.cli import run
from tests.processes import run_python

FIRST_CALLS = """
import numpy as np
from numba.core import compiler
from fastkl import Mixture, Normal, entropy, fit

compile_extra, compiled = compiler.compile_extra, []
compiler.compile_extra = lambda *args, **settings: compiled.append(args) or compile_extra(*args, **settings)
p = Mixture([Normal(-2, 0.6), Normal(2, 0.6)])
for direction in ("forward", "reverse"):
    fit(p, "normal", direction=direction)
entropy(*np.random.default_rng(0).random((2, 50, 60)), axis=1)
print(len(compiled))
"""

pytestmark = [pytest.mark.cold, pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")]


def test_every_task_runs_and_the_next_process_compiles_nothing(capsys, tmp_path):
    status, out, err = run(capsys, "warmup", "--jobs", "2")
    tasks = re.fullmatch(r"(\d+) tasks are compiled, and so is all that they use\n", out)
    assert (status, err) == (0, "")
    assert tasks
    assert int(tasks[1]) > 2 * len(FAMILIES)  # fits in both directions, and the functions of arrays
    assert int(run_python(FIRST_CALLS)) == 0
    assert int(run_python(FIRST_CALLS, NUMBA_CACHE_DIR=str(tmp_path))) > 10


def test_a_number_of_jobs_below_one_is_refused(capsys):
    assert run(capsys, "warmup", "--jobs", "0") == (2, "", "fastkl: error: jobs must be at least 1, got 0\n")
    with pytest.raises(ValueError, match="got -3"):
        warmup.warm_up(-3)
