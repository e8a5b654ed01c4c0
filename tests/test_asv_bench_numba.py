"""Static figures of machine code: right for loops that can be counted by hand, and the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import asv_bench_numba
from fastkl.jit import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="reads machine code")

CODE = """
import numba, numpy as np

@numba.njit(error_model="numpy")
def divide(x, y, out):
    for i in range(x.size):
        out[i] = x[i] / y[i] + 1.0

@numba.njit
def in_order(x):
    total = 0.0
    for i in range(x.size):
        total = total * 0.5 + x[i]
    return total

for kind in ("f8", "f4"):
    divide(*np.ones((3, 9), kind))
in_order(np.ones(9))
"""
PROCESSORS = ("x86-64-v3", "sapphirerapids", "znver4", "apple-m1")


@pytest.fixture(scope="module")
def figures() -> asv_bench_numba.Figures:
    return asv_bench_numba.figures(CODE, PROCESSORS)


@pytest.mark.parametrize(
    ("processor", "bits"), [("x86-64-v3", 256), ("sapphirerapids", 256), ("znver4", 512), ("apple-m1", 128)]
)
def test_a_division_is_counted_in_vectors_of_the_processor(
    figures: asv_bench_numba.Figures, processor: str, bits: int
) -> None:
    doubles = figures["divide[f8]"][processor]
    assert doubles["width"] == bits
    assert doubles["divisions"] == 64 / bits
    assert doubles["points"] % (bits // 64) == 0
    assert doubles["instructions"] >= 4 * 64 / bits  # load, divide, add, store
    assert doubles["spills"] == 0
    assert figures["divide[f4]"][processor]["divisions"] == 32 / bits


def test_a_loop_that_cannot_be_vectorised_has_the_width_of_a_number(figures: asv_bench_numba.Figures) -> None:
    assert {figures["in_order[f8]"][processor]["width"] for processor in PROCESSORS} == {64}
    assert {figures["in_order[f8]"][processor]["points"] for processor in PROCESSORS} == {1}


def test_figures_have_no_noise(figures: asv_bench_numba.Figures) -> None:
    again = asv_bench_numba.figures(CODE, PROCESSORS)
    assert repr(again) == repr(figures)  # NaN cycles, where there is no llvm-mca, included


def test_cycles_need_llvm_mca(figures: asv_bench_numba.Figures) -> None:
    cycles = figures["divide[f8]"]["znver4"]["cycles"]
    if asv_bench_numba.mca() is None:
        assert cycles != cycles
    else:
        assert 0.5 < cycles < 2.0  # a division of eight doubles takes 7 to 9 cycles, by the tables of uops.info


def test_an_unknown_processor_is_named() -> None:
    with pytest.raises(ValueError, match="knows no processor 'zen99'"):
        asv_bench_numba.figures(CODE, ["zen99"])


def test_code_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        asv_bench_numba.figures("1 / 0", ["znver4"])


def test_the_module_stands_alone() -> None:
    folder = Path(asv_bench_numba.__file__).parent
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import asv_bench_numba; "
        "print([name for name in sys.modules if name.startswith('fastkl')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_processor_that_llvm_does_not_know_gets_one_line() -> None:
    command = [sys.executable, "-m", "bench.machine_code", "--processors", "znver4", "znver44"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "knows no processor 'znver44'; it knows znver4, " in done.stderr
