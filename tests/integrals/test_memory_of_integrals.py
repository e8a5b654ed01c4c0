"""A divergence of formulas takes no memory that grows with the grid."""

from __future__ import annotations

import sys

import pytest

from fastkl.jit import JIT_DISABLED
from tests.processes import run_python

MEBIBYTE = 2**20
LIMIT = 8 * MEBIBYTE
"""Above a grid of a thousand points. A single array of doubles over the larger grids would be 32 and 80 MB."""

pytestmark = [
    pytest.mark.skipif(JIT_DISABLED, reason="millions of points take minutes without compiled code"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs resource.getrusage"),
]

MEASURE = """
import fastkl
from bench.suite.peak import peak
from fastkl import Gamma, Grid, Laplace, Mixture, MultivariateNormal, Normal, StudentT, kl_divergence

{pair}
# what is compiled or loaded now does not count; 200000 points are enough for the parallel driver
for size in {small}:
    kl_divergence(p, q, {grid}, full_output=True)
before = peak()
size = {large}
result = kl_divergence(p, q, {grid}, full_output=True)
assert result.n_evaluated + result.n_skipped >= 4_000_000
print(peak() - before)
"""

LINE = {"grid": "Grid.uniform(-12, 13, size)", "small": "(1000, 200_000)", "large": "10_000_000"}
CUBE = {"grid": "Grid.uniform([-9] * 3, [9] * 3, size)", "small": "(10, 60)", "large": "160"}
CASES = {
    "mixtures of Normals on a line": (
        LINE,
        "p, q = Mixture([Normal(-2, 0.6), Normal(2, 0.6)]), Mixture([Normal(0, 2), Normal(1, 3)])",
    ),
    "families on a line": (LINE, "p, q = Mixture([Laplace(0, 1), Normal(2, 1)]), StudentT(3)"),
    "Normals in three dimensions": (
        CUBE,
        "p = MultivariateNormal([0, 0.5, 1], [[1, 0.3, 0], [0.3, 2, 0.1], [0, 0.1, 1.5]])\n"
        "q = Mixture([p, MultivariateNormal([1, 0, 0], [[2, 0, 0], [0, 1, 0], [0, 0, 1]])])",
    ),
}


@pytest.mark.parametrize(("grid", "pair"), CASES.values(), ids=CASES)
def test_formulas_take_no_memory_of_the_size_of_the_grid(grid, pair):
    above = int(run_python(MEASURE.format(pair=pair, **grid)))
    assert above < LIMIT
