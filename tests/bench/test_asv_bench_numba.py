"""Static figures of machine code: right for loops that can be counted by hand, and the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import asv_bench_numba
from fastkl.jit import JIT_DISABLED

pytestmark = [pytest.mark.cold, pytest.mark.skipif(JIT_DISABLED, reason="reads machine code")]

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

@numba.njit(error_model="numpy", fastmath=True)
def reciprocals(x):
    total = np.float32(0)
    for i in range(x.size):
        total += np.float32(1) / x[i]
    return total

@numba.njit
def largest(x):
    result = x[0]
    for i in range(x.size):
        result = max(result, x[i])
    return result

@numba.njit
def exponentials(x, out):
    for i in range(x.size):
        out[i] = np.exp(x[i])

@numba.njit
def squares(x, out):
    for i in range(x.size):
        out[i] = x[i] * x[i]

@numba.vectorize(["f8(f8)", "f4(f4)"])
def doubled(x):
    return 2 * x

@numba.guvectorize(["(f8[:], f8[:])"], "(n)->()")
def total(x, out):
    out[0] = 0
    for i in range(x.size):
        out[0] += x[i]

@numba.njit
def copied(x, out):
    for i in range(x.size):
        out[i] = x[i]

@numba.njit(fastmath=True)
def in_any_order(x):
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total

@numba.njit
def sums_of_rows(x, out):
    for i in range(x.shape[0]):
        out[i] = x[i].sum()

x, out = np.ones((2, 9))
in_any_order(x), sums_of_rows(np.ones((9, 9)), out)
for kind in ("f8", "f4"):
    divide(*np.ones((3, 9), kind))
in_order(x), reciprocals(np.ones(9, "f4")), largest(x), exponentials(x, out), squares(1j * x, 1j * out), copied(x, out)
doubled(x), total(x)
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


@pytest.mark.parametrize("function", ["in_order", "largest"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_loop_that_cannot_be_vectorised_has_the_width_of_a_number(
    figures: asv_bench_numba.Figures, function: str, processor: str
) -> None:
    loop = figures[f"{function}[f8]"][processor]
    assert loop["width"] == 64
    assert 2 < loop["instructions"] <= 5, "a load, one or two operations, and a share of counting, unrolled or not"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_loop_for_the_rest_of_the_numbers_does_not_do_the_work(
    figures: asv_bench_numba.Figures, processor: str
) -> None:
    """Vectors of reciprocals need no division where the processor estimates them; the rest of the numbers does."""
    loop = figures["reciprocals[f4]"][processor]
    assert loop["width"] >= 128
    assert loop["divisions"] <= 32 / loop["width"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_loop_that_moves_a_pointer_is_counted_by_numbers(figures: asv_bench_numba.Figures, processor: str) -> None:
    """NumPy's functions, which Numba unrolls twice, and which have a loop for short rows beside."""
    assert 1 < figures["sums_of_rows[f8]"][processor]["instructions"] <= 2


@pytest.mark.parametrize(("processor", "bits"), [("neoverse-v1", 256), ("neoverse-v2", 128), ("a64fx", 512)])
def test_scalable_vectors_have_the_length_that_the_processor_has(processor: str, bits: int) -> None:
    figures = asv_bench_numba.figures(CODE, [processor])
    loop = figures["in_any_order[f8]"][processor]
    assert loop["width"] == bits
    assert loop["points"] % (bits // 64) == 0
    assert (
        loop["instructions"] <= 3.5 * 64 / bits
    )  # two loads and additions, a step, a comparison and a jump, for two vectors
    assert "sums_of_rows[f8]" in figures, "there are additions of vectors in order, fadda"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_calls_of_functions_are_counted(figures: asv_bench_numba.Figures, processor: str) -> None:
    loop = figures["exponentials[f8]"][processor]
    assert (loop["width"], loop["calls"]) == (0, 1)
    assert loop["cycles"] != loop["cycles"]


def test_functions_are_named_with_the_types_of_their_numbers(figures: asv_bench_numba.Figures) -> None:
    assert {"doubled[f4]", "doubled[f8]", "total[f8]", "squares[c16]"} < set(figures)


def test_a_function_without_such_a_loop_is_named() -> None:
    figures = asv_bench_numba.figures(CODE, ["znver4"])
    with pytest.raises(
        KeyError, match=r"no loop with floating-point arithmetic in a function 'copied\[f8\]'; there are"
    ):
        figures["copied[f8]"]
    with pytest.raises(KeyError, match=r"no loop with floating-point arithmetic for 'znver5'; there are znver4"):
        figures["divide[f8]"]["znver5"]


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
    with pytest.raises(ValueError, match="knows no 64-bit processor 'zen99'"):
        asv_bench_numba.figures(CODE, ["zen99"])


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("zen4", "znver4"),
        ("ZNVER5", "znver5"),
        ("graviton4", "neoverse-v2"),
        ("athlon", "athlon64"),
        ("i386", "x86-64"),
    ],
)
def test_the_nearest_names_are_suggested(name: str, suggested: str) -> None:
    with pytest.raises(ValueError, match=rf"no 64-bit processor '{name}'; it knows (?:[\w-]+, )*{suggested}\b"):
        asv_bench_numba.figures(CODE, [name])


def test_code_is_a_string() -> None:
    with pytest.raises(TypeError, match="code is a string of Python, got None"):
        asv_bench_numba.figures(None, ["znver4"])  # type: ignore[arg-type]


def test_an_error_in_the_code_is_shown_without_the_frames_around_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        asv_bench_numba.figures("def f():\n    return 1 / 0\nf()", ["znver4"])
    assert "asv_bench_numba.py" not in str(caught.value)
    assert 'File "<code to be compiled>", line 2, in f' in str(caught.value)


def test_processors_are_a_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"give a list of names, \['znver4'\]"):
        asv_bench_numba.figures(CODE, "znver4")
    with pytest.raises(ValueError, match="processors is empty"):
        asv_bench_numba.figures(CODE, [])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", r"sys\.exit\(3\)"),
        ("import os; os._exit(4)", "status 4, and printed no error"),
        ("import numpy", "no function with a loop of floating-point arithmetic"),
    ],
)
def test_code_that_fails_says_why(code: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        asv_bench_numba.figures(code, ["znver4"])


def test_code_may_print_and_end_as_it_likes() -> None:
    code = CODE + "import atexit, sys; atexit.register(print, 'bye'); print('hello'); sys.exit(0)"
    assert "divide[f8]" in asv_bench_numba.figures(code, ["znver4"])


def test_code_is_compiled_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "divide[f8]" in asv_bench_numba.figures(CODE, ["znver4"])


def test_code_finds_the_modules_that_its_caller_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    assert "divide[f8]" in asv_bench_numba.figures("import kernels", ["znver4"])
    command = [sys.executable, asv_bench_numba.__file__, "import kernels", "znver4"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "divide[f8]" in json.loads(done.stdout)
    command[2] = "kernels.py"
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == done.stdout


def test_as_a_command_it_lists_the_processors_and_says_in_one_line_what_is_wrong() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, asv_bench_numba.__file__, *arguments], capture_output=True, text=True)

    assert {"znver4", "apple-m1"} < set(run("--list").stdout.split())
    wrong = run(CODE, "znver44")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert run().returncode == 2


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
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "knows no 64-bit processor 'znver44'; it knows znver4, " in done.stderr
