"""The jit policy holds: one room names Numba, elementary code stays strict, hot loops are vectorised."""

from __future__ import annotations

import importlib
import inspect
import json
import platform
import re
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding
import numpy as np
import pytest

import fastkl
from fastkl.jit import JIT_DISABLED, TiledKernel, holes, instance, scalar
from fastkl.jit.options import tile
from tests.processes import run_python

PACKAGE = Path(fastkl.__file__).parent
NUMBA_WORDS = re.compile(r"\bn?jit\s*\(|\bnjit\b|vectorize\b|\bprange\b|\b(?:import|from) (?:numba|llvmlite)\b")
EVERYTHING_FAST = re.compile(r"""fastmath["']?\s*[=:]\s*True""")

needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="needs compiled code")

CODE = """
import json
import numpy as np
import fastkl
from fastkl.kernels.integrals import kl_integral
from fastkl.kernels.normal_mixture import log_normal_mixture
from fastkl.kernels.sums import kl_sums

kl_sums(100, np.ones(100), np.ones(100))
mixture = fastkl.Mixture([fastkl.Normal(0.0, 1.0), fastkl.Normal(1.0, 1.0)])
fastkl.kl_divergence(mixture, fastkl.Normal(0.0, 2.0), fastkl.Grid.uniform(-8.0, 8.0, 100))
functions = [kl_sums.tile_function, kl_integral.tile_function, log_normal_mixture.function]
print(json.dumps([["\\n".join(f.inspect_llvm().values()), "\\n".join(f.inspect_asm().values())] for f in functions]))
"""

FLOAT_OPERATION = re.compile(
    r"= (?:(?:tail |musttail |notail )?call (?P<call_flags>[\w ]*?)(?:<\d+ x )?(?:double|float)>? @(?P<call>[\w.]+)\("
    r"|(?P<op>fadd|fsub|fmul|fdiv|frem|fneg) (?P<flags>[a-z ]*?)(?:<\d+ x )?double)"
)

LABEL = re.compile(r"^(\.?LBB\d+_\d+):")
JUMP = re.compile(r"^\s+(?:j\w+|b|b\.\w+|cbn?z|tbn?z)\s(?:.*[\s,])?(\.?LBB\d+_\d+)\s*$")
PACKED_FMA = re.compile(r"\bvfn?m(?:add|sub)\d+pd\b|\bfn?m(?:la|ls|ad|sb)\s+(?:v\d+\.2d|z\d+\.d)")
PACKED_DIVISION = re.compile(r"\bvdivpd\b|\bfdivr?\s+(?:v\d+\.2d|z\d+\.d)")


class Compiled(NamedTuple):
    """What LLVM made of a kernel."""

    ir: str
    assembly: str

    def operations(self) -> set[tuple[str, str]]:
        """(operation, flags) of every arithmetic instruction and call on doubles."""
        found = FLOAT_OPERATION.finditer(self.ir)
        return {(m["op"] or m["call"], (m["flags"] or m["call_flags"] or "").strip()) for m in found}

    def innermost_loops(self) -> list[str]:
        """The lines between a label and the last jump back to it, where no shorter such run is inside."""
        lines = self.assembly.splitlines()
        label_at = {m[1]: i for i, line in enumerate(lines) if (m := LABEL.match(line))}
        last_jump = {
            label_at[m[1]]: i for i, line in enumerate(lines) if (m := JUMP.match(line)) and label_at[m[1]] <= i
        }
        loops = [range(start, end + 1) for start, end in last_jump.items()]
        return [
            "\n".join(lines[loop.start : loop.stop])
            for loop in loops
            if not any(other != loop and other.start in loop and other[-1] in loop for other in loops)
        ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """The kernels as a process compiles them that has no cache; one that was loaded keeps no IR."""
    printed = run_python(CODE, NUMBA_CACHE_DIR=str(tmp_path_factory.mktemp("empty")))
    names = "kl_sums", "kl_integral", "log_normal_mixture"
    return {name: Compiled(*texts) for name, texts in zip(names, json.loads(printed), strict=True)}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_numba_is_named_in_the_jit_room_alone() -> None:
    naming = {path.relative_to(PACKAGE).parts[0] for path in sources() if NUMBA_WORDS.search(path.read_text("utf-8"))}
    assert naming == {"jit"}


def test_arithmetic_is_nowhere_set_free_altogether() -> None:
    assert [path for path in sources() if EVERYTHING_FAST.search(path.read_text("utf-8"))] == []


MOST_PARAMETERS = 8


def test_no_kernel_has_too_many_parameters() -> None:
    modules = [
        importlib.import_module(f"fastkl.kernels.{path.stem}") for path in (PACKAGE / "kernels").glob("[a-z]*.py")
    ]
    kernels = {kernel for module in modules for kernel in vars(module).values() if isinstance(kernel, TiledKernel)}
    parameters = {k.__name__: inspect.signature(inspect.unwrap(k.tile_function)).parameters for k in kernels}
    assert len(parameters) > 15
    assert {name: len(own) for name, own in parameters.items() if len(own) > MOST_PARAMETERS} == {}


first, second = holes("first", "second")


def one_of_two(x):
    return first(x)


def test_an_instance_fills_all_holes_of_its_template() -> None:
    assert instance(one_of_two, "tripled", first=lambda x: 3 * x)(4) == 12
    assert instance(one_of_two, "tripled", first=lambda x: 3 * x, second=abs)(4) == 12  # other templates have that hole
    with pytest.raises(TypeError, match=r"squared: holes stay empty: \['first'\]; no holes: \['frist'\]"):
        instance(one_of_two, "squared", frist=lambda x: x * x)


@scalar
def rounding_error(a, b):
    total = a + b
    return b - (total - a)


@tile
def sum_of_rounding_errors(out, a, b):
    lost = 0.0
    for i in range(a.size):
        lost += rounding_error(a[i], b[i])
    out[0] = lost


def test_a_scalar_function_keeps_its_rounding_in_a_tile_that_may_reassociate() -> None:
    a, b, out = np.arange(1.0, 1001.0), np.full(1000, 2.0**-60), np.empty(1)
    sum_of_rounding_errors(out, a, b)
    assert out[0] == 1000 * 2.0**-60


@needs_jit
def test_only_the_sums_of_the_tile_may_be_reassociated(compiled: dict[str, Compiled]) -> None:
    operations = compiled["kl_sums"].operations()
    free = {operation for operation, flags in operations if flags}
    strict = {operation for operation, flags in operations if not flags}
    assert "fadd" in free <= {"fadd", "fsub"}
    assert {"fdiv", "fmul", "fneg"} <= strict
    assert any(operation.startswith("llvm.fma.v") for operation in strict)
    assert {flags for _, flags in operations} == {"", "reassoc"}


@needs_jit
@pytest.mark.parametrize("name", ["kl_sums", "kl_integral", "log_normal_mixture"])
def test_a_fused_multiply_add_has_no_flags(compiled: dict[str, Compiled], name: str) -> None:
    flags = {flags for operation, flags in compiled[name].operations() if operation.startswith("llvm.fma.")}
    assert flags == {""}


def can_vectorise() -> bool:
    features = llvmlite.binding.get_host_cpu_features()
    on_x86 = features.get("avx2", False) and features.get("fma", False)
    return on_x86 or any(features.get(name, False) for name in ("neon", "asimd")) or platform.machine() == "arm64"


@needs_jit
@pytest.mark.skipif(not can_vectorise(), reason=f"no avx2 with fma, and no neon, on {platform.machine()}")
@pytest.mark.parametrize(
    ("name", "loops", "multiply_adds", "divides"),
    [
        pytest.param("kl_sums", 1, 12, True, id="the KL terms of kl_sums"),
        pytest.param("kl_integral", 1, 20, False, id="the KL terms of kl_integral"),
        pytest.param("log_normal_mixture", 1, 12, True, id="the logarithm of a mixture"),
        pytest.param("log_normal_mixture", 2, 10, False, id="and its exponential"),
    ],
)
def test_a_hot_loop_works_on_packed_doubles(
    compiled: dict[str, Compiled], name: str, loops: int, multiply_adds: int, divides: bool
) -> None:
    packed = [
        loop
        for loop in compiled[name].innermost_loops()
        if len(PACKED_FMA.findall(loop)) >= multiply_adds and (PACKED_DIVISION.search(loop) or not divides)
    ]
    assert len(packed) >= loops
