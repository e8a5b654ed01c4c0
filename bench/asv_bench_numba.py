"""Figures of the machine code that Numba makes, for any list of processors, on any machine, without noise.

Timings on a shared machine differ by a tenth from run to run; what LLVM made of a loop does not. This module compiles
the functions that a piece of code uses for processors that need not be at hand, finds the loop in each of them that
does the work, and counts: the width of the vectors, and the instructions, divisions, spills and cycles that a number
takes. It knows nothing of the project whose code it looks at:

    import asv_bench_numba

    CODE = "import numpy as np, mine; mine.kernel(np.ones(10))"
    PROCESSORS = ("x86-64-v3", "sapphirerapids", "znver4", "apple-m1")

    class MachineCode:
        params = (("kernel[f8]",), PROCESSORS, (asv_bench_numba.compiler(),))
        param_names = ("function", "processor", "compiler")

        def setup_cache(self):
            return asv_bench_numba.figures(CODE, PROCESSORS)

        def track_instructions(self, figures, function, processor, compiler):
            return figures[function][processor]["instructions"]

``python -m bench.asv_bench_numba CODE PROCESSOR ...`` prints the same as JSON.

Method: while the code runs in a new process, the LLVM modules are recorded as Numba's front end makes them. They then
go through Numba's own pipeline once for every processor, and the assembly is read. Cycles are those that llvm-mca
predicts for the loop, all data in the first cache; it has to be of LLVM's version in llvmlite (in Debian: ``llvm-22``),
and without it cycles are NaN.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Figures = dict[str, dict[str, dict[str, float]]]
"""Names of functions, then of processors, then of figures."""

MCA_ITERATIONS = 100


def figures(code: str, processors: Sequence[str], **environment: str) -> Figures:
    """The figures of all functions with floating-point loops that *code* compiles, for all processors.

    Parameters
    ----------
    code : str
        Python code that calls what is to be looked at, with small arrays; it runs in a new process.
    processors : sequence of str
        LLVM's names, such as "znver4" or "apple-m1".
    **environment : str
        Variables for the new process.

    Returns
    -------
    dict
        ``figures[function][processor][figure]``. A function is named as in Python, with the types of its arrays, and
        with a number where that is not enough. The figures are those of `Loop`.

    Raises
    ------
    ValueError
        If LLVM does not know a processor.
    RuntimeError
        If the code fails; the message has what it printed last.
    """
    for processor in processors:
        triple_of(processor)
    with tempfile.TemporaryDirectory() as empty:
        variables = {**os.environ, "NUMBA_CACHE_DIR": empty, "NUMBA_OPT": "0", **environment}
        command = [sys.executable, os.path.abspath(__file__), "-", *processors]
        done = subprocess.run(command, input=code, capture_output=True, text=True, env=variables, cwd=empty)
    if done.returncode:
        raise RuntimeError(f"the code to be compiled failed:\n{done.stderr[-2000:]}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def compiler() -> str:
    """The versions of LLVM, llvmlite and Numba, which the figures depend on."""
    import llvmlite.binding
    import numba

    llvm = ".".join(map(str, llvmlite.binding.llvm_version_info))
    return f"LLVM {llvm}, llvmlite {llvmlite.__version__}, Numba {numba.__version__}"


def mca() -> str | None:
    """The path of the llvm-mca that belongs to llvmlite's LLVM, or None."""
    import llvmlite.binding

    major = llvmlite.binding.llvm_version_info[0]
    return shutil.which(f"llvm-mca-{major}") or shutil.which("llvm-mca", path=f"/usr/lib/llvm-{major}/bin")


TRIPLES = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")


def triple_of(processor: str) -> str:
    """The architecture that has a processor of that name."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for triple in TRIPLES:
        if processor in _names(triple):
            return triple
    known = sorted(name for triple in TRIPLES for name in _names(triple))
    near = difflib.get_close_matches(processor, known, n=4, cutoff=0.4) or known
    raise ValueError(
        f"LLVM {llvm.llvm_version_info[0]} knows no processor {processor!r}; it knows {', '.join(near[:4])} "
        f"and {len(known) - len(near[:4])} others"
    )


def _names(triple: str) -> set[str]:
    """The processors of an architecture: LLVM prints them, and only to the standard error of a process."""
    if triple not in _known:
        ask = (
            "import sys, llvmlite.binding as llvm; llvm.initialize_all_targets(); "
            "llvm.Target.from_triple(sys.argv[1]).create_target_machine(cpu='help')"
        )
        printed = subprocess.run([sys.executable, "-c", ask, triple], capture_output=True, text=True).stderr
        listed = printed.partition("Available features")[0]
        _known[triple] = set(re.findall(r"^\s+(\S+)\s+- Select", listed, re.MULTILINE))
    return _known[triple]


_known: dict[str, set[str]] = {}


class Recorded:
    """A library of Numba before it was optimised: the text of its modules, and the libraries that it links."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.modules: list[str] = []
        self.linked: list[Recorded] = []

    def is_for(self, triple: str) -> bool:
        """Whether it can be compiled for an architecture: it may call an instruction of another one by name."""
        foreign = "llvm.aarch64." if triple.startswith("x86") else "llvm.x86."
        texts = not any(foreign in text for text in self.modules)
        return texts and all(other.is_for(triple) for other in self.linked)


@contextlib.contextmanager
def recording() -> Iterator[list[Recorded]]:
    """Record all that Numba compiles within this context."""
    from numba.core.codegen import CPUCodeLibrary

    known: dict[Any, Recorded] = {}
    add_module, add_library = CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library

    def record(library: Any) -> Recorded:
        return known.setdefault(library, Recorded(library.name))

    def noting_module(self: Any, module: Any) -> None:
        record(self).modules.append(str(module))
        add_module(self, module)

    def noting_library(self: Any, library: Any) -> None:
        record(self).linked.append(record(library))
        add_library(self, library)

    all_recorded: list[Recorded] = []
    CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library = noting_module, noting_library
    try:
        yield all_recorded
    finally:
        CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library = add_module, add_library
        all_recorded.extend(known.values())


def pipeline(processor: str) -> Any:
    """Numba's pipeline from a module to assembly, for another processor: a function of a `Recorded`."""
    import llvmlite.binding as llvm
    from numba.core.codegen import CPUCodegen, CPUCodeLibrary
    from numba.core.compiler_lock import global_compiler_lock

    triple = triple_of(processor)

    class Library(CPUCodeLibrary):  # type: ignore[misc]
        def _finalize_specific(self) -> None:
            pass

    class Codegen(CPUCodegen):  # type: ignore[misc]
        _library_class = Library
        _loopvect, _opt_level = False, 0  # of Numba's first, cheap pass

        def _init(self, module: Any) -> None:
            target = llvm.Target.from_triple(triple)
            reloc = "static" if triple.startswith("x86") else "default"
            self._tm = target.create_target_machine(
                cpu=processor, features="", opt=3, reloc=reloc, codemodel="jitdefault", jit=True
            )
            self._tm.set_asm_verbosity(True)
            self._data_layout = str(self._tm.target_data)

        def _create_empty_module(self, name: str) -> Any:
            module = super()._create_empty_module(name)
            module.triple = triple
            return module

        def _add_module(self, module: Any) -> None:
            pass

    codegen = Codegen("static")
    done: dict[int, Any] = {}

    def library(recorded: Recorded) -> Any:
        if id(recorded) not in done:
            made = codegen.create_library(recorded.name)
            for text in recorded.modules:
                text = re.sub(r'^target (triple|datalayout) = ".*"$', "", text, flags=re.MULTILINE)
                module = llvm.parse_assembly(f'target triple = "{triple}"\n{text}')
                module.name = recorded.name
                made.add_llvm_module(module)
            for other in recorded.linked:
                made.add_linking_library(library(other))
            made.finalize()
            done[id(recorded)] = made
        return done[id(recorded)]

    def compiled(recorded: Recorded) -> tuple[str, str]:
        with global_compiler_lock:
            made = library(recorded)
        return made.get_llvm_str(), made.get_asm_str()

    return compiled


class Loop(NamedTuple):
    """An innermost loop of a function in machine code."""

    width: float
    """Bits of the widest registers that it calculates in."""
    points: float
    """Numbers that are dealt with at once, as LLVM's vectoriser made the loop; 1 if it did not."""
    instructions: float
    """Instructions for a number, as all that follow."""
    divisions: float
    spills: float
    """Loads and stores of registers that there was no room for."""
    cycles: float
    """Cycles that llvm-mca predicts."""


_LABEL = re.compile(r'^("?[\w.$]+"?):')
_COMMENT = re.compile(r"(?:#|//)\s?(.*)$")
_HEADER = re.compile(r"(?:#|//) =>.*This Inner Loop Header")
_INSIDE = re.compile(r"in Loop: Header=(BB\d+_\d+)")
_DIVISION = re.compile(r"^v?divs?[sp][sd]|^fdivr?$")
_ARITHMETIC = re.compile(
    r"^(?:v?(?:add|sub|mul|div|sqrt|fn?m(?:add|sub)\d+)[sp][sd]|fn?m(?:ul|add|sub|la|ls|ad|sb)|f(?:add|sub|div|sqrt)r?)$"
)


def loops(ir: str, assembly: str, processor: str) -> list[Loop]:
    """The innermost loops with floating-point arithmetic, in the order of the machine code."""
    steps = _steps(ir)
    found = []
    for function, block, lines in _innermost(assembly):
        instructions = [line.split(None, 1) for line in lines]
        names = [words[0] for words in instructions]
        if not any(map(_ARITHMETIC.match, names)):
            continue
        points = steps.get((function, block), 1)
        divisions = sum(1 for name in names if _DIVISION.match(name))
        spills = sum(1 for line in lines if re.search(r"(?:#|//).*(?:Spill|Reload)", line))
        cycles = _cycles(lines, processor)
        counts = (len(names) / points, divisions / points, spills / points, cycles / points)
        found.append(Loop(_width(instructions), points, *counts))
    return found


def main_loop(found: Sequence[Loop]) -> Loop:
    """The loop that does the work.

    Where loops divide, it is the one of them that deals with most numbers at once, and of several the leanest: the
    others are for the rest of the numbers, and for unusual ones. Elsewhere it is the longest that was vectorised.
    """
    if dividing := [loop for loop in found if loop.divisions]:
        return max(dividing, key=lambda loop: (loop.width * loop.points, -loop.instructions))
    vectorised = [loop for loop in found if loop.points > 1] or found
    return max(vectorised, key=lambda loop: loop.instructions * loop.points)


def _innermost(assembly: str) -> Iterator[tuple[str, str, list[str]]]:
    """Function, name of the first block in LLVM's IR, and instructions of every innermost loop."""
    function, header, block = "", None, ""
    bodies: dict[str, list[str]] = {}
    heads: dict[str, tuple[str, str]] = {}
    for line in assembly.splitlines():
        label = _LABEL.match(line)
        if label and not label[1].lstrip(".L").startswith("BB"):
            function, header = label[1].strip('"'), None
        elif label or re.match(r"^(?:#|//) %bb\.\d+:", line):
            name = label[1].lstrip(".L") if label else ""
            block = (_COMMENT.search(line) or ["", ""])[1].strip().removeprefix("%")
            header = None
        elif not line.startswith("\t") and (_HEADER.search(line) or _INSIDE.search(line)):
            inside = _INSIDE.search(line)
            header = inside[1] if inside else name
            if not inside:
                heads[header] = function, block
        if (inside := _INSIDE.search(line)) and (label or line.startswith(("#", "//"))):
            header = inside[1]
        if line.startswith("\t") and header and not line.startswith("\t."):
            bodies.setdefault(header, []).append(line.strip())
    for header, (function, block) in heads.items():
        if not function.startswith(("_ZN7cpython", "cfunc.")):  # wrappers, with copies of what they call
            yield function, block, bodies.get(header, [])


def _steps(ir: str) -> dict[tuple[str, str], int]:
    """By function and block: how far the counter of a loop of the vectoriser goes at once."""
    steps = {}
    for text in re.split(r"^define ", ir, flags=re.MULTILINE)[1:]:
        function = re.search(r'@("?)([^"(]+)\1\(', text)
        added = dict(re.findall(r"%(\S+) = add (?:nuw )?(?:nsw )?i64 (%\S+, \d+)$", text, re.MULTILINE))
        block = ""
        for line in text.splitlines():
            if label := re.match(r'^"?([\w.$-]+)"?:', line):
                block = label[1]
            elif counter := re.match(r"\s+%(index\S*) = phi i64 (.*)$", line):
                for name in re.findall(r"\[ %([^ ,]+),", counter[2]):
                    step, at = 0, name
                    while at in added:
                        base, amount = added[at].split(", ")
                        step, at = step + int(amount), base[1:]
                    if at == counter[1] and step and function:
                        steps[function[2], block] = step
    return steps


_BITS = {"x": 128, "y": 256, "z": 512}


def _width(instructions: Sequence[Sequence[str]]) -> int:
    widths = [0]
    for name, *rest in instructions:
        if not _ARITHMETIC.match(name):
            continue
        operands = " ".join(rest)
        if registers := re.findall(r"%([xyz])mm", operands):
            scalar = 64 if name.endswith("sd") else 32 if name.endswith("ss") else None
            widths.append(scalar or _BITS[max(registers)])
        elif re.search(r"\b[vz]\d+\.", operands):
            widths.append(128)
        else:
            widths.append(32 if re.search(r"\bs\d+\b", operands) else 64)
    return max(widths)


def _cycles(lines: Sequence[str], processor: str) -> float:
    """The cycles that llvm-mca predicts for a round of the loop."""
    tool = mca()
    if tool is None:
        return math.nan
    command = [tool, f"-mtriple={triple_of(processor)}", f"-mcpu={processor}", f"-iterations={MCA_ITERATIONS}"]
    quiet = ["-instruction-info=false", "-resource-pressure=false", "-skip-unsupported-instructions=any"]
    done = subprocess.run([*command, *quiet], input="\n".join(lines), capture_output=True, text=True)
    total = re.search(r"^Total Cycles:\s+(\d+)", done.stdout, re.MULTILINE)
    return int(total[1]) / MCA_ITERATIONS if total else math.nan


def _label(recorded: Recorded) -> str:
    """The function's name with the types of its arrays."""
    defined = re.findall(r'^define .*@"?([^"(]+)"?\(', "\n".join(recorded.modules), re.MULTILINE)
    kinds = sorted({{"d": "f8", "f": "f4"}[kind] for name in defined for kind in re.findall(r"5ArrayI([df])", name)})
    return f"{recorded.name.split('.')[-1]}[{' '.join(kinds)}]"


def _main(code: str, processors: Sequence[str]) -> Figures:
    """Run *code*, and measure what it compiled that nothing else has linked."""
    with recording() as recorded:
        exec(compile(code, "<code to be compiled>", "exec"), {"__name__": "__main__"})
    from numba.core import config

    config.OPT = config._OptLevel(3)
    linked = {id(other) for library in recorded for other in library.linked}
    roots = [library for library in recorded if library.modules and id(library) not in linked]
    found: Figures = {}
    for processor in processors:
        compiled = pipeline(processor)
        seen: dict[str, int] = {}
        for library in filter(lambda root: root.is_for(triple_of(processor)), roots):
            if measured := loops(*compiled(library), processor):
                label = _label(library)
                seen[label] = seen.get(label, 0) + 1
                name = label if seen[label] == 1 else f"{label} {seen[label]}"
                found.setdefault(name, {})[processor] = main_loop(measured)._asdict()
    return found


if __name__ == "__main__":
    if sys.argv[1] == "-":  # the new process of `figures`
        print(json.dumps(_main(sys.stdin.read(), sys.argv[2:])))
    else:
        print(json.dumps(figures(sys.argv[1], sys.argv[2:]), indent=1))
