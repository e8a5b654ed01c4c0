"""Methods that solve a fit, one file each, and the table that says which fit takes which."""

from __future__ import annotations

from typing import Any

from fastkl.densities import Histogram, Mixture
from fastkl.families import MultivariateNormal
from fastkl.families.laplace import Laplace
from fastkl.families.normal import Normal
from fastkl.fitting.methods import laplace, mixture, moments, newton
from fastkl.fitting.methods.method import Found, Method, Options, Search
from fastkl.fitting.reading import Reading

METHODS: dict[tuple[str, type[Any]], Method] = {
    ("forward", Normal): moments.solve,
    ("forward", MultivariateNormal): moments.solve,
    ("forward", Mixture): mixture.solve,
    ("forward", Laplace): laplace.solve_forward,
    ("reverse", Laplace): laplace.solve_reverse,
}
"""Methods by direction and family; all others are solved by Newton's."""


def solve(reading: Reading, options: Options) -> Search:
    """The ends of all runs, by the method for the direction and the family of the task."""
    task = reading.task
    if isinstance(task.target, Histogram) and task.chart.family is not Mixture:
        return newton.solve(reading, options)  # the counts in a cell do not show its moments
    return METHODS.get((task.direction, task.chart.family), newton.solve)(reading, options)


__all__ = ["METHODS", "Found", "Options", "Search", "solve"]
