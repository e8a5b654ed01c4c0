"""The progress bar: on a terminal, when the work is long; never in a file."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fastkl.jit import JIT_DISABLED

ROOT = Path(__file__).parents[2]
ONE_THREAD = {**os.environ, "NUMBA_NUM_THREADS": "1"}
"""So that the work is as long on a machine with many cores."""
COMMAND = ["kl", "0.5*N(-2,0.6)+0.5*N(2,0.6)", "N(0,2)", "--grid=-20:20:100000001"]
LONG = [sys.executable, "-c", f"import sys; from fastkl import cli; cli.BAR_AFTER = 0; sys.exit(cli.main({COMMAND}))"]
"""A second of work, which counts as long from its beginning."""

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="10^8 points take hours in plain Python")


def _on_a_terminal(command):
    """What *command* writes to stdout, and to a stderr that is a terminal of 24 rows and 80 columns."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=ONE_THREAD)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    return process.communicate()[0], seen


@pytest.fixture(scope="module")
def terminal():
    return _on_a_terminal(LONG)


def test_long_work_counts_points_on_a_terminal(terminal):
    assert b"point" in terminal[1]


def test_the_bar_shows_how_much_is_left(terminal):
    assert b"%" in terminal[1], terminal[1][:80]


def test_the_bar_is_cleared_and_the_result_stands_alone(terminal):
    out, seen = terminal
    assert seen.endswith(b" \r")
    assert out.startswith(b"KL(P||Q)      0.5570666805")


def test_there_is_no_bar_in_a_file():
    result = subprocess.run(LONG, cwd=ROOT, env=ONE_THREAD, capture_output=True, check=True)
    assert result.stderr == b""
