"""Functions that kernels call through their address."""

from __future__ import annotations

import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED, Interface
from fastkl.jit.options import tile
from tests.processes import run_python

pytestmark = pytest.mark.cold

CURVE = Interface("void(float64[::1], float64[::1])")


@CURVE.implement
def square(x, out):
    for i in range(x.size):
        out[i] = x[i] * x[i]


@CURVE.implement
def double(x, out):
    for i in range(x.size):
        out[i] = 2.0 * x[i]


fill = CURVE.call


@tile
def fill_at(address, x, out):
    fill(address, x[1:], out[1:])


@tile
def fill_wrongly(address, x, out):
    fill(address, x, out.size)


def test_one_compiled_caller_serves_all_functions() -> None:
    x, out = np.arange(4.0), np.zeros(4)
    fill_at(square.address, x, out)
    assert out.tolist() == [0.0, 1.0, 4.0, 9.0]
    fill_at(double.address, x, out)
    assert out.tolist() == [0.0, 2.0, 4.0, 6.0]
    if not JIT_DISABLED:
        assert len(fill_at.signatures) == 1


def test_a_read_only_array_is_passed_as_it_is() -> None:
    x, out = np.arange(4.0), np.zeros(4)
    x.flags.writeable = False
    fill_at(square.address, x, out)
    assert out.tolist() == [0.0, 1.0, 4.0, 9.0]


@pytest.mark.skipif(JIT_DISABLED, reason="types are checked when code is compiled")
def test_arguments_that_do_not_fit_are_refused_before_they_do_harm() -> None:
    with pytest.raises(Exception, match="do not fit"):
        fill_wrongly(square.address, np.zeros(3), np.zeros(3))


@pytest.mark.skipif(JIT_DISABLED, reason="there is no cache without compiled code")
def test_a_second_process_finds_the_function_in_the_cache(tmp_path) -> None:
    code = (
        "from fastkl.kernels.normal_mixture import normal_mixture as f; f.address; "
        "print(sum(f.function.stats.cache_hits.values()), sum(f.function.stats.cache_misses.values()))"
    )
    printed = [run_python(code, NUMBA_CACHE_DIR=str(tmp_path)).split() for _ in range(2)]
    assert printed == [["0", "1"], ["1", "0"]]
