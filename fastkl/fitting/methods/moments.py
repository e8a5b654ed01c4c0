"""The forward fit of a Normal: the moments of p, in one pass."""

from __future__ import annotations

from fastkl.fitting.methods.method import Options, Search
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import descend
from fastkl.fitting.starts import state_of_moments


def solve(reading: Reading, options: Options) -> Search:
    """The Normal with the moments of p, and the gradient there."""
    state = state_of_moments(reading.task, reading.moments.mean, reading.moments.cov)
    return Search(reading, descend(reading.objective, state[None], gtol=options.gtol, max_passes=1))
