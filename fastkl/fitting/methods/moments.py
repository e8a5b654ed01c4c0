"""The forward fit of a Normal: the moments of p, in one pass."""

from __future__ import annotations

import numpy as np

from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.problem import Problem
from fastkl.fitting.search import descend


def solve(problem: Problem, options: Options) -> Search:
    """The Normal with the moments of p, and the gradient there."""
    state = problem.state_of_moments(problem.moments.mean, problem.moments.cov)
    ends = descend(problem.objective, state[np.newaxis], gtol=options.gtol, max_passes=1)
    return Search(problem, ends, problem.points_read)
