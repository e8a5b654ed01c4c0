"""The gate's verdict on samples that are known, and its answers to bad use."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import regress
from bench.gate_power import PLANTED

ROOT = Path(regress.__file__).resolve().parent.parent
ROUNDS, REPEAT = 9, 30

Samples = tuple[float | None, list[float] | None]


def samples(seed: int, factor: float = 1.0, noise: float = 0.01) -> Samples:
    rng = np.random.default_rng(seed)
    values = factor * 1e-3 * np.exp(noise * rng.standard_normal((ROUNDS, 1)) + 0.1 * rng.random((ROUNDS, REPEAT)))
    return float(np.median(values)), values.ravel().tolist()


def complaints(base: dict[str, Samples], head: dict[str, Samples]) -> dict[str, str]:
    return {row.name: row.complaint for row in regress.verdicts(base, head, ROUNDS) if row.complaint}


def test_an_unchanged_table_passes_and_a_loss_fails_in_its_row() -> None:
    names = [f"gate.Cases.time_case({k})" for k in range(29)]
    base = {name: samples(k) for k, name in enumerate(names)}
    head = {name: samples(100 + k) for k, name in enumerate(names)}
    assert complaints(base, head) == {}
    head[names[3]] = samples(103, factor=1.15)
    assert complaints(base, head) == {names[3]: "slower by more than 3%"}


def test_a_gain_and_a_small_loss_pass() -> None:
    base, head = {"gate.Cases.time_case(a)": samples(0)}, {"gate.Cases.time_case(a)": samples(1, factor=0.5)}
    assert complaints(base, head) == {}
    head = {"gate.Cases.time_case(a)": samples(1, factor=1.02)}
    assert complaints(base, head) == {}


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    rng, inside, cases = np.random.default_rng(0), 0, 400
    for mean, half in regress.intervals((0.02 * rng.standard_normal((cases, ROUNDS))).tolist()):
        inside += mean - half <= 0.0
    # all cases share an error of 5 %: 0.05 are expected outside, and 4 or more once in 4 million times
    assert inside > cases - 4


def test_a_round_that_was_hit_does_not_hide_a_loss() -> None:
    quiet = (0.01 * np.random.default_rng(1).standard_normal((20, ROUNDS))).tolist()
    quiet[0] = [x + math.log(1.15) for x in quiet[0]]
    quiet[0][4] -= math.log(2.0)  # the base was hit in that round
    mean, half = regress.intervals(quiet)[0]
    assert mean - half > math.log(1.03)


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("digits.Sums.track_ulps(entropy)", 0.5, 0.6, "less exact"),
        ("digits.Sums.track_ulps(entropy)", 0.5, 0.4, ""),
        ("machine_code.MachineCode.track_width(kl_sums)", 512.0, 256.0, "narrower vectors"),
        ("machine_code.MachineCode.track_width(kl_sums)", 256.0, 512.0, ""),
        ("machine_code.MachineCode.track_instructions(kl_sums)", 5.0, 6.0, ""),
        ("digits.Sums.track_ulps(entropy)", 0.5, math.nan, "gives NaN"),
        ("digits.Sums.track_ulps(entropy)", 0.5, None, "fails"),
    ],
)
def test_figures_without_noise(name: str, old: float, new: float | None, complaint: str) -> None:
    assert complaints({name: (old, None)}, {name: (new, None)}) == ({name: complaint} if complaint else {})


def test_what_base_does_not_have_is_no_loss() -> None:
    name = "digits.Sums.track_ulps(jeffreys)"
    assert complaints({name: (math.nan, None)}, {name: (0.5, None)}) == {}
    assert complaints({}, {name: (0.5, None)}) == {}


def test_samples_that_do_not_make_whole_rounds_are_refused() -> None:
    with pytest.raises(regress.Unusable, match="269 samples are not those of 9 rounds"):
        regress.of_rounds([1.0] * 269, ROUNDS)


def test_the_table_says_what_is_worse_first() -> None:
    base = {f"gate.Cases.time_case({k})": samples(int(k)) for k in "1234"}
    head = {name: samples(9 + int(name[-2]), factor=1.3 if "3" in name else 1.0) for name in base}
    text = regress.table(list(regress.verdicts(base, head, ROUNDS)), 100.0)
    assert text.startswith("**1 of 4 rows are worse.**")
    assert "time_case(3)" in text.splitlines()[4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-commit"], "git knows no commit 'no-such-commit'"),
        (["HEAD", "--rounds", "4"], "4 rounds have no confidence interval"),
        (["HEAD", "--cases", "nosuchcase"], "--cases 'nosuchcase' matches no case; the cases are: "),
        (["HEAD", "--cases", "("], "--cases '(' is no regular expression: "),
    ],
)
def test_bad_use_is_one_clear_line(arguments: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "bench.regress", *arguments], cwd=ROOT, capture_output=True, text=True)
    if not (ROOT / ".git").exists():
        pytest.skip("the sources are not a git repository, which the gate compares commits of")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_planted_cases_are_cases() -> None:
    from bench.cases import CASES

    assert set(PLANTED.values()) <= set(CASES)
