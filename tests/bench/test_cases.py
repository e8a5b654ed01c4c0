"""The table of work that is timed: every case gives the right answer, so that no benchmark times a wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cases import CASES, SMALL
from fastkl.jit import JIT_DISABLED

BY_SCIPY = [name for name, case in CASES.items() if case.by_scipy]


@pytest.mark.parametrize("name", BY_SCIPY)
def test_a_function_of_arrays_agrees_with_scipy(name: str) -> None:
    case = CASES[name]
    assert case.by_scipy is not None
    # SciPy sums singles as singles: a rounding of each of 1000 terms
    tolerance = SMALL * float(np.finfo("f4").eps) if "f4" in name else 1e-12
    np.testing.assert_allclose(case.make(SMALL)(), case.by_scipy(SMALL)(), rtol=tolerance, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("KL")])
def test_an_integral_is_finite_and_positive(name: str) -> None:
    assert np.all(np.isfinite(found := CASES[name].make(SMALL)()))
    assert np.all(np.asarray(found) > 0.0)


@pytest.mark.skipif(JIT_DISABLED, reason="a fit on as many points as are timed takes plain Python minutes")
@pytest.mark.parametrize("name", [name for name in CASES if "fit" in name])
def test_a_fit_is_a_success(name: str) -> None:
    case = CASES[name]
    result = case.make(case.size)()
    assert np.all(result.success), result.message


def test_every_case_is_checked_and_the_list_is_short_enough_for_the_gate() -> None:
    others = [name for name in CASES if name.startswith("KL") or "fit" in name]
    assert sorted([*BY_SCIPY, *others]) == sorted(CASES)
    assert len(CASES) <= 34
