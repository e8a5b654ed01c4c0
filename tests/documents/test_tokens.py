"""The page on the KL of every token runs, and its values are those that it prints."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastkl.jit import JIT_DISABLED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tokens.md").read_text(encoding="utf-8")


@pytest.mark.skipif(JIT_DISABLED, reason="thousands of rows take minutes without compiled code")
def test_the_page_on_tokens_runs(capsys):
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    names = {"original": rng.normal(size=(2, 30)), "quantised": rng.normal(size=(2, 30))}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    (table,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    printed, expected = capsys.readouterr().out.splitlines(), table.splitlines()
    assert [line[:18] for line in printed] == [line[:18] for line in expected]
    for line, other in zip(printed, expected, strict=True):  # the weights are fitted to a tolerance
        assert float(line[18:].split()[0]) == pytest.approx(float(other[18:].split()[0]), rel=0.1), line
    assert (names["own"] > 0.0).all()
    assert 0.2 < (names["usual"] < 0.0).mean() < 0.8
