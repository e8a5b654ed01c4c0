"""SciPy's own tests pass with fastkl in the place of SciPy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fastkl.jit import JIT_DISABLED
from tests.scipy_suite import SELECTED, command

pytestmark = pytest.mark.study

pytest.importorskip("scipy.stats.tests", reason="this SciPy was installed without its tests")


@pytest.mark.skipif(JIT_DISABLED, reason="SciPy's tests use arrays that take minutes without compiled code")
@pytest.mark.parametrize("module", SELECTED)
def test_the_tests_of_scipy_pass_with_fastkl_substituted(module: str) -> None:
    done = subprocess.run(command(module), cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
