"""What LLVM makes of the hot loops, for processors that need not be at hand: no noise, and no timing."""

from __future__ import annotations

import json
from pathlib import Path

from bench import asv_bench_numba

COMMITTED = Path(__file__).resolve().parent.parent / "machine_code.json"
"""The figures of this version; CI holds it against them (`python -m bench.machine_code`)."""

PROCESSORS = ("x86-64-v3", "skylake-avx512", "sapphirerapids", "znver4", "apple-m1")
FUNCTIONS = tuple(json.loads(COMMITTED.read_text())["figures"]) if COMMITTED.exists() else ()

CODE = "from bench.cases import compile_all; compile_all()"


class MachineCode:
    """Figures of the loop that does the work in each compiled function, for a number or a point."""

    params = (FUNCTIONS, PROCESSORS, (asv_bench_numba.compiler(),))
    param_names = ("function", "processor", "compiler")
    timeout = 600

    def setup_cache(self):
        return asv_bench_numba.figures(CODE, PROCESSORS)

    setup_cache.timeout = 600

    def _figure(self, figures, name, function, processor):
        return figures.get(function, {}).get(processor, {}).get(name, float("nan"))

    def track_width(self, figures, function, processor, compiler):
        return self._figure(figures, "width", function, processor)

    def track_instructions(self, figures, function, processor, compiler):
        return self._figure(figures, "instructions", function, processor)

    def track_divisions(self, figures, function, processor, compiler):
        return self._figure(figures, "divisions", function, processor)

    def track_spills(self, figures, function, processor, compiler):
        return self._figure(figures, "spills", function, processor)

    def track_cycles(self, figures, function, processor, compiler):
        return self._figure(figures, "cycles", function, processor)

    track_width.unit = "bits"
    track_instructions.unit = track_divisions.unit = track_spills.unit = track_cycles.unit = "a number"
