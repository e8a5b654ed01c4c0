"""What the hot loops of arrays are made of: wide vectors on every processor, and no arithmetic on subnormal numbers."""

from __future__ import annotations

import json
import platform
import re
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastkl.jit import JIT_DISABLED
from fastkl.kernels import sums
from tests.arrays.strata import STRATA, Stratum
from tests.processes import run_python

ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
pytestmark = [
    pytest.mark.cold,
    pytest.mark.skipif(JIT_DISABLED or not ON_X86, reason="reads the machine code and flags of x86-64"),
]

COMPILED = """
import json
from numba import types
from fastkl.kernels import elements, sums

array, integer, number = types.Array(types.float64, 1, "C"), types.int64, types.float64
two = array, integer, integer, array, array
signatures = {
    sums.kl_sums: (*two, number),
    sums.scaled_js_sums: (*two, number),
    sums.entropy_sums: (array, integer, integer, array, number),
    elements.rel_entr_elements: (*two, array, types.boolean),
    elements.kl_div_elements: (*two, array, types.boolean),
}
texts = {}
for kernel, signature in signatures.items():
    kernel.tile_function.compile(signature)
    texts[kernel.__name__] = kernel.tile_function.inspect_asm(signature)
print(json.dumps(texts))
"""

LOGITS = """
import json
from fastkl.kernels import logarithms

kinds = logarithms.of_doubles, logarithms.of_singles, logarithms.of_halves, logarithms.of_bfloats
texts = {}
for kind in (function for pair in kinds for function in pair):
    kind.function.compile(kind.arguments)
    texts[kind.__name__] = kind.function.inspect_asm(kind.arguments)
print(json.dumps(texts))
"""

PAIRS = """
import json
import numpy as np
import fastkl
from fastkl.kernels import pairs

rows = np.ones((20, 70))
for metric in ("js", "kl"):
    fastkl.cdist(rows, rows, metric)
texts = {}
for kernel in (pairs.add_mixed_terms, pairs.add_products):
    (signature,) = kernel.tile_function.signatures
    texts[kernel.__name__] = kernel.tile_function.inspect_asm(signature)
print(json.dumps(texts))
"""

USERS = """
import json
import numpy as np
import numba
import fastkl

@numba.njit
def users(x):
    for i in range(x.size):
        x[i] = x[i] * x[i]

users.compile("void(float64[::1])")
print(json.dumps(users.inspect_asm(users.signatures[0])))
"""


def widths(assembly: str, operation: str = "div") -> set[str]:
    """The registers of packed divisions, or of another operation."""
    return set(re.findall(rf"v{operation}pd.*%([xyz]mm)\d+$", assembly, re.MULTILINE))


def compiled_for(code: str, processor: str, cache: Any) -> Any:
    # without features of its own Numba would take those of the machine at hand
    names = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(cache)}
    return json.loads(run_python(code, **names))


@pytest.mark.parametrize(
    ("processor", "width"),
    [("x86-64-v3", "ymm"), ("skylake-avx512", "zmm"), ("sapphirerapids", "zmm"), ("znver4", "zmm")],
)
def test_loops_have_the_widest_vectors(processor: str, width: str, tmp_path: Any) -> None:
    for name, assembly in compiled_for(COMPILED, processor, tmp_path).items():
        # the sums of one vector wait for the divider in vectors of either width
        assert widths(assembly) & ({width, "ymm"} if name == "entropy_sums" else {width}), name


@pytest.mark.parametrize(("processor", "width"), [("x86-64-v3", "ymm"), ("sapphirerapids", "zmm"), ("znver4", "zmm")])
def test_logits_of_every_type_are_summed_in_the_widest_vectors(processor: str, width: str, tmp_path: Any) -> None:
    for name, assembly in compiled_for(LOGITS, processor, tmp_path).items():
        assert widths(assembly, "fmadd213") & {width}, name
        assert "call" not in assembly.split(), name


@pytest.mark.parametrize(("processor", "width"), [("x86-64-v3", "ymm"), ("sapphirerapids", "zmm")])
def test_loops_over_pairs_of_rows_have_the_widest_vectors(processor: str, width: str, tmp_path: Any) -> None:
    texts = compiled_for(PAIRS, processor, tmp_path)
    assert width in widths(texts["add_mixed_terms"])
    assert width in widths(texts["add_products"], r"fmadd\d*")


def test_code_of_a_user_keeps_the_width_that_llvm_prefers(tmp_path: Any) -> None:
    assert widths(compiled_for(USERS, "sapphirerapids", tmp_path), "mul") == {"ymm"}


def _control(name: str) -> Any:
    """A function of Numba that stores or loads the register of floating-point flags."""

    @intrinsic
    def access(typing_context: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, operands: Any) -> Any:
            room = cgutils.alloca_once_value(builder, operands[0])
            byte = ir.IntType(8).as_pointer()
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [byte]), name)
            builder.call(function, [builder.bitcast(room, byte)])
            return builder.load(room)

        return numba.types.uint32(numba.types.uint32), emit

    return access


read_flags, write_flags = _control("llvm.x86.sse.stmxcsr"), _control("llvm.x86.sse.ldmxcsr")
DENORMAL, UNDERFLOW = 0x02, 0x10
"""Flags that stay raised when an operation had a subnormal operand, or a result too small to be a normal number."""


@numba.njit
def flags_of_kl(out, p, q, b):
    before = read_flags(np.uint32(0))
    write_flags(np.uint32(before & ~np.uint32(0x3F)))
    plain_kl(out, 0, p.size, p, q, 1.0)
    scaled_kl(out, 0, p.size, p, q, b)
    plain_js(out, 0, p.size, p, q, 1.0)
    scaled_js(out, 0, p.size, p, q, b)
    entropies(out, 0, p.size, p, 1.0)
    after = read_flags(np.uint32(0))
    write_flags(before)
    return after


plain_kl, scaled_kl = sums.kl_sums.tile_function, sums.scaled_kl_sums.tile_function
plain_js, scaled_js = sums.js_sums.tile_function, sums.scaled_js_sums.tile_function
entropies = sums.entropy_sums.tile_function

WITHOUT_SUBNORMALS = [s for s in STRATA if not s.subnormal and "sigma" not in s.name]


@pytest.mark.parametrize("stratum", WITHOUT_SUBNORMALS, ids=lambda stratum: stratum.name)
@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_no_operation_is_on_a_subnormal_number(stratum: Stratum, kind: str) -> None:
    """Each would take an Intel processor some 150 cycles: empty bins were 50 times slower than others."""
    p, q = stratum.pair((4096,), kind, seed=21)
    assert flags_of_kl(np.empty(4), p, q, 1.25) & (DENORMAL | UNDERFLOW) == 0


def test_the_flags_are_seen() -> None:
    p, q = next(s for s in STRATA if s.subnormal).pair((4096,))
    assert flags_of_kl(np.empty(4), p, q, 1.25) & DENORMAL
