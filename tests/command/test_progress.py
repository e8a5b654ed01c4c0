"""The progress bar: on a terminal, when the work is long; never in a file; and in Python where it is asked for."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import fastkl
from fastkl.jit import JIT_DISABLED

ROOT = Path(__file__).parents[2]
ONE_THREAD = {**os.environ, "NUMBA_NUM_THREADS": "1"}
"""So that the work is as long on a machine with many cores."""
COMMAND = ["kl", "0.5*N(-2,0.6)+0.5*N(2,0.6)", "N(0,2)", "--grid=-20:20:100000001"]
LONG = [sys.executable, "-c", f"import sys; from fastkl import bar, cli; bar.DELAY = 0; sys.exit(cli.main({COMMAND}))"]
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


FIT = ["fit", "--family", "student_t", "--direction", "reverse", "--grid=-20:20:20000001"]
"""A second of work, in a dozen passes."""


def test_a_fit_counts_its_passes_on_a_terminal():
    code = f"import sys; from fastkl import bar, cli; bar.DELAY = 0; sys.exit(cli.main({FIT}))"
    out, seen = _on_a_terminal([sys.executable, "-c", code])
    assert max(map(int, re.findall(rb"pass (\d+)", seen))) > 1
    assert out.startswith(b"p     0.5*N(-2,0.6)")


P, LINE = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)]), fastkl.Grid.uniform(-20, 20, 1_000_001)


def _shown(**options):
    """The states of a bar, one after the other, that a fit shows in a file."""
    file = io.StringIO()
    with fastkl.progress(file=file, **options):
        fastkl.fit(P, "student_t", LINE, direction="reverse")
    return [state for state in file.getvalue().split("\r") if state.strip()]


def test_a_context_shows_the_passes_of_a_fit_and_how_much_of_each_is_done():
    states = _shown(delay=0, mininterval=0)
    found = [re.match(r"pass (\d+): +(\d+)%", state) for state in states]
    passes = [int(match[1]) for match in found if match]
    assert passes == sorted(passes)
    assert set(passes) == set(range(1, passes[-1] + 1))
    assert passes[-1] > 3
    assert max(int(match[2]) for match in found if match) == 100


def test_a_short_call_shows_nothing():
    assert _shown(delay=1e6) == []


def test_options_of_tqdm_are_taken():
    assert _shown(delay=0, disable=True) == []
    kept = io.StringIO()
    with fastkl.progress(delay=0, file=kept, leave=True, desc="a divergence"):
        fastkl.kl_divergence(P, fastkl.Normal(0, 2), LINE)
    assert kept.getvalue().endswith("\n")


def test_after_the_context_there_is_no_bar(capsys):
    with fastkl.progress(delay=0, disable=True):
        pass
    fastkl.kl_divergence(P, fastkl.Normal(0, 2), LINE)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("delay", [-1.0, float("nan")])
def test_a_delay_that_is_no_time_is_refused(delay):
    with pytest.raises(ValueError, match="delay must be"), fastkl.progress(delay=delay):
        pass
