"""Run Python code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 60.0


def run_python(code: str, **env: str | None) -> str:
    """What *code* prints, once it has ended without an error; None in *env* unsets a variable."""
    changed = {"PYTHONPATH": str(ROOT), **env}
    environment = {name: value for name, value in {**os.environ, **changed}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout
