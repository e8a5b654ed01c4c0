"""Methods that solve a fit, one file each, and the table that says which fit takes which."""

from __future__ import annotations

from typing import Any

from fastkl.fitting.charts import MixtureChart, NormalChart
from fastkl.fitting.methods import laplace, mixture, moments, newton
from fastkl.fitting.methods.method import Method, Options, Search
from fastkl.fitting.problem import Problem
from fastkl.fitting.univariate import LaplaceChart

METHODS: dict[tuple[str, type[Any]], Method] = {
    ("forward", NormalChart): moments.solve,
    ("forward", MixtureChart): mixture.solve,
    ("forward", LaplaceChart): laplace.solve_forward,
    ("reverse", LaplaceChart): laplace.solve_reverse,
}
"""Methods by direction and chart; all others are solved by Newton's."""


def solve(problem: Problem, options: Options) -> Search:
    """The ends of all runs, by the method for this direction and family."""
    return METHODS.get((problem.direction, type(problem.chart)), newton.solve)(problem, options)


__all__ = ["METHODS", "Options", "Search", "solve"]
