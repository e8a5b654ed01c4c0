"""Figures of the machine code that Numba makes, for any list of processors, on any machine, without noise.

Timings on a shared machine differ by a tenth from run to run; what LLVM made of a loop does not. This module compiles
the functions that a piece of code uses for processors that need not be at hand, finds the loop in each of them that
does the work, and counts: the width of the vectors, and the instructions, divisions, spills and cycles that a number
takes. It knows nothing of the project whose code it looks at:

    from . import asv_bench_numba  # beside the benchmarks, which asv takes for a package

    CODE = "import numpy as np, mine; mine.kernel(np.ones(10))"
    PROCESSORS = ("x86-64-v3", "sapphirerapids", "znver4", "apple-m1")

    class MachineCode:
        params = (("kernel[f8]",), PROCESSORS, (asv_bench_numba.compiler(),))
        param_names = ("function", "processor", "compiler")

        def setup_cache(self):
            return asv_bench_numba.figures(CODE, PROCESSORS)

        def track_instructions(self, figures, function, processor, compiler):
            return figures[function][processor]["instructions"]

``python asv_bench_numba.py CODE PROCESSOR ...`` prints the same as JSON, with code or the name of a file for CODE, and
``python asv_bench_numba.py --list`` the names of all processors.

A function is represented by one of its loops; `main_loop` says which. A loop that is to be watched and is another one
wants a function of its own.

Method: while the code runs in a new process, the LLVM modules are recorded as Numba's front end makes them. They then
go through Numba's own pipeline once for every processor, and the assembly is read. Cycles are those that llvm-mca
predicts for the loop, all data in the first cache; it has to be of LLVM's version in llvmlite (in Debian: ``llvm-22``),
and without it cycles are NaN.
"""

from __future__ import annotations

import argparse
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
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class OfProcessors(dict[str, dict[str, float]]):
    """Figures of a function by the names of processors, then of figures."""

    def __missing__(self, processor: str) -> dict[str, float]:
        raise KeyError(f"no loop with floating-point arithmetic for {processor!r}; there are {', '.join(self)}")


class Figures(dict[str, OfProcessors]):
    """Figures by the names of functions, then of processors, then of figures."""

    def __missing__(self, function: str) -> OfProcessors:
        raise KeyError(
            f"no loop with floating-point arithmetic in a function {function!r}; there are {', '.join(self)}"
        )


MCA_ITERATIONS = 100


def figures(code: str, processors: Sequence[str], **environment: str) -> Figures:
    """The figures of all functions with loops of floating-point arithmetic that *code* compiles, for all processors.

    Parameters
    ----------
    code : str
        Python code that calls what is to be looked at, with small arrays. It runs in a new process, which finds modules
        where this one does, and compiles everything, whatever is in Numba's caches.
    processors : sequence of str
        LLVM's names, such as "znver4" or "apple-m1"; `processor_names` has all.
    **environment : str
        Variables for the new process.

    Returns
    -------
    dict
        ``figures[function][processor][figure]``. A function is named as in Python, with the types of the
        floating-point numbers in its arrays, or in its other arguments, or else of the integers in its arrays, and with
        a number if that is not enough. The figures are those of `Loop`, for the loop that `main_loop` takes. A function
        without a loop of floating-point arithmetic is not in it.

    Raises
    ------
    TypeError
        If *processors* is a string, or *code* is none.
    ValueError
        If LLVM does not know a processor, or *processors* is empty.
    RuntimeError
        If the code fails, or compiles no function with a loop of floating-point arithmetic.
    """
    if not isinstance(code, str):
        raise TypeError(f"code is a string of Python, got {code!r}")
    if isinstance(processors, str):
        raise TypeError(f"processors is the string {processors!r}; give a list of names, [{processors!r}]")
    processors = list(processors)
    if not processors:
        raise ValueError("processors is empty; give names such as 'x86-64-v3' or 'apple-m1'")
    for processor in processors:
        triple_of(processor)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "figures.json")
        task = {"code": code, "processors": processors, "path": sys.path, "result": str(result)}
        always = {"NUMBA_CACHE_DIR": folder, "NUMBA_OPT": "0", "NUMBA_DISABLE_JIT": "0"}
        command = [sys.executable, os.path.abspath(__file__), "--task"]
        variables = {**os.environ, **always, **{name: str(value) for name, value in environment.items()}}
        done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, env=variables)
        if not result.exists():
            printed = done.stderr[-2000:].strip() or f"it ended with status {done.returncode}, and printed no error"
            raise RuntimeError(f"the code to be compiled failed:\n{printed}")
        found = json.loads(result.read_text())
    if not found:
        raise RuntimeError("the code has compiled no function with a loop of floating-point arithmetic: call one in it")
    return Figures({function: OfProcessors(by) for function, by in found.items()})


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
_ONLY_32_BITS = re.compile(
    r"i[3-6]86|pentium.*|yonah|prescott|lakemont|k6.*|athlon(?!64|-fx).*|geode|winchip.*|c3.*", re.ASCII
)
_VECTOR_SCALES = {"a64fx": 4, "neoverse-v1": 2, "neoverse-512tvb": 2}
"""Lengths of scalable vectors, in units of 128 bits, of processors on which it is not 1."""
_MARKETED = {"graviton2": "neoverse-n1", "graviton3": "neoverse-v1", "graviton4": "neoverse-v2"}


def processor_names() -> list[str]:
    """LLVM's names of the 64-bit processors that figures can be had for."""
    return sorted({name for triple in TRIPLES for name in _names(triple)})


def triple_of(processor: str) -> str:
    """The architecture that has a processor of that name."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for triple in TRIPLES:
        if processor in _names(triple):
            return triple
    known, low = processor_names(), str(processor).lower()
    _MARKETED["native"] = llvm.get_host_cpu_name()
    same = [_MARKETED[low]] if low in _MARKETED else [name for name in known if low in name]
    near = same[:4] or difflib.get_close_matches(low, known, n=4, cutoff=0.4) or known[:4]
    raise ValueError(
        f"LLVM {llvm.llvm_version_info[0]} knows no 64-bit processor {processor!r}; it knows {', '.join(near)} "
        f"and {len(known) - len(near)} others, which 'python {os.path.relpath(__file__)} --list' prints"
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
        names = re.findall(r"^\s+(\S+)\s+- Select", listed, re.MULTILINE)
        _known[triple] = {name for name in names if not _ONLY_32_BITS.fullmatch(name)}
    return _known[triple]


_known: dict[str, set[str]] = {}


class Recorded:
    """A library of Numba before it was optimised: the text of its modules, and the libraries that it links."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.types = ""  # of the arguments, as Numba prints them
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
    from numba.core.lowering import BaseLower

    known: dict[Any, Recorded] = {}
    add_module, add_library = CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library
    prepare = BaseLower.__init__

    def record(library: Any) -> Recorded:
        return known.setdefault(library, Recorded(library.name))

    def noting_module(self: Any, module: Any) -> None:
        record(self).modules.append(str(module))
        add_module(self, module)

    def noting_library(self: Any, library: Any) -> None:
        record(self).linked.append(record(library))
        add_library(self, library)

    def noting_types(self: Any, context: Any, library: Any, function: Any, *rest: Any, **named: Any) -> None:
        record(library).types = str(function.argtypes)
        prepare(self, context, library, function, *rest, **named)

    all_recorded: list[Recorded] = []
    CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library = noting_module, noting_library
    BaseLower.__init__ = noting_types
    try:
        yield all_recorded
    finally:
        CPUCodeLibrary.add_llvm_module, CPUCodeLibrary.add_linking_library = add_module, add_library
        BaseLower.__init__ = prepare
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
    """Bits of the widest registers that it calculates in; 0 if it only moves numbers and calls functions."""
    points: float
    """Numbers that are dealt with at once: how far the loop's counter goes, as LLVM vectorised and unrolled it.

    A loop over every k-th number counts those that it leaves out.
    """
    instructions: float
    """Instructions for a number, as all that follow."""
    divisions: float
    spills: float
    """Loads and stores of registers that there was no room for."""
    calls: float
    """Calls of functions, whose own instructions are not counted."""
    cycles: float
    """Cycles that llvm-mca predicts; NaN if the loop calls functions."""


_LABEL = re.compile(r'^("?[\w.$]+"?):')
_COMMENT = re.compile(r"(?:#|//)\s?(.*)$")
_HEADER = re.compile(r"(?:#|//) =>.*This Inner Loop Header")
_INSIDE = re.compile(r"in Loop: Header=(BB\d+_\d+)")
_DIVISION = re.compile(r"^v?divs?[sp][sd]|^fdivr?$")
_CALL = re.compile(r"^(?:callq?|blr?)$")
_REGISTER = re.compile(r"%[xyz]mm|\b[vzds]\d+\b")
_DEPTH = re.compile(r"Header: Depth=(\d+)")
_ARITHMETIC = re.compile(
    r"^(?:v?(?:add|sub|mul|div|sqrt|max|min|round|rndscale|rcp|rcp14|rsqrt|rsqrt14|cmp\w*?|u?comi|"
    r"fn?m(?:add|sub)\d+)[sp][sd]|"
    r"fn?m(?:ul|add|sub|la|ls|ad|sb)|f(?:add|sub|div|sqrt)r?|f(?:max|min)(?:nm)?[vp]?|fadd[avp]|fcm\w+|frint\w|fr(?:ecp|sqrt)\w|fabd)$"
)


def loops(ir: str, assembly: str, processor: str) -> list[Loop]:
    """The innermost loops over floating-point numbers, in the order of the machine code.

    Loops for the rest of the numbers, which LLVM adds where it vectorises or unrolls a loop, are not among them.
    """
    scale = _VECTOR_SCALES.get(processor, 1)
    steps = _steps(ir, scale)
    found = []
    for function, block, depth, lines in _innermost(assembly):
        instructions = [line.split(None, 1) for line in lines]
        names = [words[0] for words in instructions]
        points = steps.get((function, block), 1)
        calls = sum(1 for name in names if _CALL.match(name))
        moves_numbers = any(_REGISTER.search(line) for line in lines)
        if not points or not (any(map(_ARITHMETIC.match, names)) or (calls and moves_numbers)):
            continue
        divisions = sum(1 for name in names if _DIVISION.match(name))
        spills = sum(1 for line in lines if re.search(r"(?:#|//).*(?:Spill|Reload)", line))
        cycles = math.nan if calls else _cycles(lines, processor)
        counts = [count / points for count in (len(names), divisions, spills, calls, cycles)]
        found.append((depth, Loop(_width(instructions, scale), points, *counts)))
    if not any(loop.width > 64 for _, loop in found):  # an outer loop may be there again for few rounds of the inner
        deepest = max((depth for depth, _ in found), default=0)
        found = [(depth, loop) for depth, loop in found if depth == deepest]
    return [loop for _, loop in found]


def main_loop(found: Sequence[Loop]) -> Loop:
    """The loop that does the work.

    Where loops divide, it is the one of them that deals with most numbers at once, and of several the leanest, because
    the others are for unusual numbers. Elsewhere it is the longest that calculates in vectors, or else that calculates.
    """
    if dividing := [loop for loop in found if loop.divisions]:
        return max(dividing, key=lambda loop: (loop.width * loop.points, -loop.instructions))
    working = [loop for loop in found if loop.width > 64] or [loop for loop in found if loop.width] or found
    return max(working, key=lambda loop: loop.instructions * loop.points)


def _innermost(assembly: str) -> Iterator[tuple[str, str, int, list[str]]]:
    """Function, name of the first block in LLVM's IR, depth and instructions of every innermost loop."""
    function, header, block = "", None, ""
    bodies: dict[str, list[str]] = {}
    heads: dict[str, tuple[str, str, int]] = {}
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
                depth = _DEPTH.search(line)
                heads[header] = function, block, int(depth[1]) if depth else 1
        if (inside := _INSIDE.search(line)) and (label or line.startswith(("#", "//"))):
            header = inside[1]
        if line.startswith("\t") and header and not line.startswith("\t."):
            bodies.setdefault(header, []).append(line.strip())
    for header, (function, block, depth_of_loop) in heads.items():
        if not function.startswith(("_ZN7cpython", "cfunc.")):  # wrappers, with copies of what they call
            yield function, block, depth_of_loop, bodies.get(header, [])


def _steps(ir: str, scale: int) -> dict[tuple[str, str], int]:
    """By function and first block of a loop: how far its counter goes at once; 0 for a loop over the rest of numbers.

    The counter is that of LLVM's vectoriser; in a loop that it did not make, it is the one that goes farthest, or a
    pointer. *scale* is the length of scalable vectors.
    """
    steps = {}
    for text in re.split(r"^define ", ir, flags=re.MULTILINE)[1:]:
        function = re.search(r'@("?)([^"(]+)\1\(', text)
        added = _additions(text, scale)
        counters: dict[str, dict[str, list[tuple[str, str]]]] = {}
        block = ""
        for line in text.splitlines():
            if label := re.match(r'^"?([\w.$-]+)"?:', line):
                block = label[1]
            elif counter := re.match(r"\s+%(\S+) = phi (?:i64|ptr) (.*)$", line):
                counters.setdefault(block, {})[counter[1]] = re.findall(r"\[ ([^ ,]+), %([^ ]+) \]", counter[2])
        phis = {name: incoming for found in counters.values() for name, incoming in found.items()}
        for block, found in counters.items():
            by_name = {name: _step(name, incoming, added) for name, incoming in found.items()}
            moving = {name: step for name, step in by_name.items() if step}
            if not moving or not function:
                continue
            of_vectors = [step for name, step in moving.items() if name.startswith("index")]
            rest = re.search(r"\.(?:prol|epil)|^vec\.epilog", block) or (
                not of_vectors and any(_follows_vectors(name, phis, set()) for name in moving)
            )
            steps[function[2], block] = 0 if rest else max(of_vectors or moving.values())
    return steps


def _additions(text: str, scale: int) -> dict[str, tuple[str, int]]:
    """What is added to what, by the name of the sum; a pointer that goes to the next number goes 1 ahead."""
    scales = dict.fromkeys(re.findall(r"%(\S+) = (?:tail )?call i64 @llvm\.vscale", text), scale)
    for name, how, base, amount in re.findall(r"%(\S+) = (shl|mul) (?:nuw )?(?:nsw )?i64 %(\S+), (\d+)$", text, re.M):
        if base in scales:
            scales[name] = scales[base] << int(amount) if how == "shl" else scales[base] * int(amount)
    added = {}
    for name, base, amount in re.findall(r"%(\S+) = add (?:nuw )?(?:nsw )?i64 %(\S+), (-?\d+|%\S+)$", text, re.M):
        known = scales.get(amount[1:]) if amount.startswith("%") else int(amount)
        if known is not None:
            added[name] = base, known
    size = min((int(bits) // 8 for bits in re.findall(r"load (?:double|float|i)(\d+)", _with_sizes(text))), default=8)
    for name, base, offset in re.findall(r"%(\S+) = getelementptr [^,]*i8, ptr %(\S+), i64 (\S+)$", text, re.M):
        added[name] = base, 1 if offset.startswith("%") else max(abs(int(offset)) // size, 1)
    return added


def _with_sizes(text: str) -> str:
    return text.replace("load double", "load double64").replace("load float", "load float32")


def _step(name: str, incoming: Sequence[tuple[str, str]], added: dict[str, tuple[str, int]]) -> int:
    """How far a counter goes in a round of its loop, by the additions that lead back to it; 0 if none do."""
    for value, _ in incoming:
        step, at = 0, value.removeprefix("%")
        while at in added:
            at, amount = added[at]
            step += amount
        if at == name and step:
            return abs(step)
    return 0


def _follows_vectors(name: str, phis: dict[str, list[tuple[str, str]]], seen: set[str]) -> bool:
    """Whether a counter can start where that of a vectorised loop has ended."""
    seen.add(name)
    starts = [value.removeprefix("%") for value, _ in phis[name]]
    return any("middle.block" in block or "vec.epilog" in block for _, block in phis[name]) or any(
        start in phis and start not in seen and _follows_vectors(start, phis, seen) for start in starts
    )


_BITS = {"x": 128, "y": 256, "z": 512}


def _width(instructions: Sequence[Sequence[str]], scale: int) -> int:
    widths = [0]
    for name, *rest in instructions:
        if not _ARITHMETIC.match(name):
            continue
        operands = " ".join(rest)
        if registers := re.findall(r"%([xyz])mm", operands):
            scalar = 64 if name.endswith("sd") else 32 if name.endswith("ss") else None
            widths.append(scalar or _BITS[max(registers)])
        elif registers := re.findall(r"\b([vz])\d+\.", operands):
            widths.append(128 * (scale if "z" in registers else 1))
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


_KINDS = r"array\((float|complex)", r"\b(float|complex)", r"array\((u?int)"


def _label(recorded: Recorded) -> str:
    """The function's name with the types of its arrays, or those of its numbers if it has none."""
    while not recorded.types and recorded.linked:  # a ufunc's loop, which Numba makes around the function
        recorded = recorded.linked[0]
    kinds = next(filter(None, (re.findall(rf"{kind}(\d+)", recorded.types) for kind in _KINDS)), [])
    short = sorted({f"{kind[0]}{int(bits) // 8}" for kind, bits in kinds})
    return f"{recorded.name.split('.')[-1]}[{' '.join(short)}]"


def _measure(code: str, processors: Sequence[str]) -> Figures:
    """Run *code*, and measure what it compiled that nothing else has linked."""
    with recording() as recorded:
        try:
            exec(compile(code, "<code to be compiled>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            if end.code not in (None, 0):
                sys.exit(f"it ended by sys.exit({end.code!r})")
        except Exception as error:
            # the frames of the code, without this one
            traceback.print_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
            sys.exit(1)
    from numba.core import config

    config.OPT = config._OptLevel(3)
    linked = {id(other) for library in recorded for other in library.linked}
    roots = [library for library in recorded if library.modules and id(library) not in linked]
    labels: dict[str, Recorded] = {}
    seen: Counter[str] = Counter()
    for root in roots:
        label = _label(root)
        seen[label] += 1
        labels[f"{label} {seen[label]}" if seen[label] > 1 else label] = root
    found = Figures()
    for processor in processors:
        compiled = pipeline(processor)
        for label, root in labels.items():
            if not root.is_for(triple_of(processor)):
                continue
            ir, assembly = compiled(root)
            if measured := loops(ir, assembly, processor):
                found.setdefault(label, OfProcessors())[processor] = main_loop(measured)._asdict()
    return found


def _work() -> None:
    """The new process of `figures`."""
    task = json.load(sys.stdin)
    sys.path[:] = task["path"]
    found = _measure(task["code"], task["processors"])
    Path(task["result"]).write_text(json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the figures of machine code that Numba makes.")
    parser.add_argument("code", nargs="?", help="Python code, or a file, that calls what is looked at")
    parser.add_argument("processors", nargs="*", help="LLVM's names, such as znver4 or apple-m1")
    parser.add_argument("--list", action="store_true", help="print the names of all processors")
    parser.add_argument("--task", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        _work()
    elif arguments.list:
        print("\n".join(processor_names()))
    elif not arguments.code:
        parser.error("give code and names of processors, or --list")
    else:
        sys.path.insert(0, os.getcwd())  # as ``python -c`` does
        code = arguments.code
        try:
            if code.endswith(".py") and "\n" not in code:
                code = Path(code).read_text(encoding="utf-8")
            print(json.dumps(figures(code, arguments.processors), indent=1))
        except (OSError, ValueError, RuntimeError) as reason:
            print(f"{parser.prog}: {reason}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
