"""Scores of families on the line, for fits: log q with its first and second derivatives, and their moments.

The derivatives are with respect to coordinates in which a step means the same everywhere: loc in units of the scale,
and the logarithms of all other parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastkl.elementary import exp_or_zero
from fastkl.jit import Interface, block, buffer, buffers, tiled
from fastkl.kernels.axes import grid_of
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.walk import fill_logs, new_run, next_run

MOST = 3
"""Largest number of coordinates of a family."""

PAIRS = MOST * (MOST + 1) // 2

SCORES = Interface("void(float64[::1], float64[::1], float64[:, ::1])")
"""Interface ``(parameters, x, out)`` to fill in rows of log q, k scores, and their derivatives' upper triangle."""
scores_at = SCORES.call


@block
def _fill_weights(w, log_p, log_q, by_p, u, tilted):
    """Fill in u and tilted = u g, g = log(q/p); the result is the number of points with u = 0."""
    missing = 0
    for i in range(w.size):
        share = w[i] * exp_or_zero(log_p[i] if by_p else log_q[i])
        there = share > 0.0
        u[i], tilted[i] = share, share * (log_q[i] - log_p[i] if there else 0.0)  # not 0 * inf
        missing += 0 if there else 1
    return missing


@block
def _add(u, tilted, values, at, partial):
    """Add the sums of u * values and of tilted * values to *partial*, from *at* on."""
    plain, with_g = 0.0, 0.0
    for i in range(u.size):
        plain += u[i] * values[i]
        with_g += tilted[i] * values[i]
    partial[at] += plain
    partial[at + 1] += with_g


class Scored(NamedTuple):
    """Members of a family, as `score_sums` takes them."""

    scores: int
    """Address of the function that gives log q and its derivatives."""
    parameters: Any
    """Rows of parameters, one for each member."""
    coordinates: int
    by_p: bool
    """Whether the sums are weighted by p."""


@tiled(outputs=2 * (1 + MOST + 2 * PAIRS))
def score_sums(partial, start, stop, tasks, members, p, grids):
    """Sums of u and of u g, times 1, the scores, their products and their derivatives, pairs in the upper triangle.

    g = log(q/p), and u = w q, or w p if the sums are weighted by p. A task is (number of q, first point, one behind
    the last point).
    """
    run, log_p, one, of_q = new_run(grid_of(grids, 0)), buffer(BLOCK), buffer(BLOCK), buffers(1 + MOST + PAIRS, BLOCK)
    u, tilted, u_score, tilted_score = buffer(BLOCK), buffer(BLOCK), buffer(BLOCK), buffer(BLOCK)
    one[:] = 1.0
    coordinates = members.coordinates
    pairs = coordinates * (coordinates + 1) // 2
    for t in range(start, stop):
        q, point, end = tasks[t, 0], tasks[t, 1], tasks[t, 2]
        grid = grid_of(grids, q)
        while point < end:
            n, _ = next_run(run, grid, point, end)
            point += n
            fill_logs(p, run, n, log_p)
            scores_at(members.scores, members.parameters[q], run.x[:n], of_q)
            missing = _fill_weights(run.w[:n], log_p[:n], of_q[0, :n], members.by_p, u[:n], tilted[:n])
            for row in range(1, 1 + coordinates + pairs if missing > 0 else 0):
                for j in range(n):
                    of_q[row, j] = of_q[row, j] if u[j] > 0.0 else 0.0
            _add(u[:n], tilted[:n], one[:n], 0, partial)
            products, derivatives = 2 * (1 + coordinates), 2 * (1 + coordinates + pairs)
            for a in range(coordinates):
                score = of_q[1 + a]
                _add(u[:n], tilted[:n], score[:n], 2 * (1 + a), partial)
                for j in range(n):
                    u_score[j], tilted_score[j] = u[j] * score[j], tilted[j] * score[j]
                for b in range(a, coordinates):
                    _add(u_score[:n], tilted_score[:n], of_q[1 + b, :n], products, partial)
                    products += 2
            for c in range(pairs):
                _add(u[:n], tilted[:n], of_q[1 + coordinates + c, :n], derivatives + 2 * c, partial)
