"""Scores of families on the line, for fits: log q with its first and second derivatives, and their moments.

The derivatives are with respect to coordinates in which a step means the same everywhere: loc in units of the scale,
and the logarithms of all other parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastkl.elementary import exp_or_zero, kl_term, log_ratio
from fastkl.jit import Interface, block, buffer, buffers, scalar, tiled
from fastkl.kernels.axes import grid_of
from fastkl.kernels.families import log1p
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.walk import fill_logs, new_run, next_run

MOST = 3
"""Largest number of coordinates of a family."""

PAIRS = MOST * (MOST + 1) // 2

SCORES = Interface("void(float64[::1], float64[::1], float64[:, ::1])")
"""Interface ``(parameters, x, out)`` to fill in rows of log q, k scores, and their derivatives' upper triangle."""
_scores = SCORES.call


@scalar
def _location_scale(z, slope, curvature):
    """Scores and their derivatives from those of log q with respect to z: (s1, s2, c11, c12, c22)."""
    return -slope, -z * slope - 1.0, curvature, z * curvature + slope, z * z * curvature + z * slope


@SCORES.implement
def laplace(parameters, x, out):
    """Scores of a Laplace distribution in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        sign = 1.0 if z > 0.0 else -1.0 if z < 0.0 else 0.0
        out[0, i] = factor - abs(z)
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = _location_scale(z, -sign, 0.0)


@SCORES.implement
def logistic(parameters, x, out):
    """Scores of a logistic distribution in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        e = exp_or_zero(-abs(z))
        half = (1.0 - e) / (1.0 + e)
        out[0, i] = factor - abs(z) - 2.0 * log1p(e)
        curvature = -2.0 * e / ((1.0 + e) * (1.0 + e))
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = _location_scale(
            z, -half if z >= 0.0 else half, curvature
        )


@SCORES.implement
def student_t(parameters, x, out):
    """Scores of a Student t distribution in the coordinates (loc/scale, log(scale), log(df))."""
    factor, loc, inverse_scale, df = parameters[0], parameters[1], parameters[2], parameters[3]
    of_df, of_df_twice = parameters[4], parameters[5]  # derivatives of -A, the log of the constant, by log(df)
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        square, total = z * z, df + z * z
        logarithm = log1p(square / df)
        s1, s2, c11, c12, c22 = _location_scale(
            z, -(df + 1.0) * z / total, -(df + 1.0) * (df - square) / (total * total)
        )
        along = df * (square - 1.0) / (total * total)
        out[0, i] = factor - 0.5 * (df + 1.0) * logarithm
        out[1, i], out[2, i] = s1, s2
        out[3, i] = of_df - 0.5 * df * logarithm + 0.5 * (df + 1.0) * square / total
        out[4, i], out[5, i], out[6, i], out[7, i], out[8, i] = c11, c12, z * along, c22, square * along
        bend = -0.5 * logarithm + square / total - 0.5 * (df + 1.0) * square / (total * total)
        out[9, i] = of_df_twice + df * bend


@SCORES.implement
def student_t_of_df(parameters, x, out):
    """Scores of a Student t distribution of a given df in the coordinates (loc/scale, log(scale))."""
    factor, loc, inverse_scale, df = parameters[0], parameters[1], parameters[2], parameters[3]
    for i in range(x.size):
        z = (x[i] - loc) * inverse_scale
        square, total = z * z, df + z * z
        out[0, i] = factor - 0.5 * (df + 1.0) * log1p(square / df)
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = _location_scale(
            z, -(df + 1.0) * z / total, -(df + 1.0) * (df - square) / (total * total)
        )


@scalar
def around(a, z):
    """(a log(z/a), a log(a/z) - a + z); their sum is z - a, and near z = a they have all digits, for any size of a."""
    distance = kl_term(a, z)
    return (z - a) - distance, distance


@scalar
def log_of_power(a, z, distance):
    """a log(z/a) - z + a - log(z/a) from *distance* = a log(a/z) - a + z, which is infinite at z = 0."""
    power = 1.0 - 1.0 / a
    return (a - z) / a - (power * distance if power != 0.0 else 0.0)


@SCORES.implement
def gamma(parameters, x, out):
    """Scores of a gamma distribution in (log(a), log(scale)); derivatives of the constant come with the parameters."""
    factor, a, scale, of_a, of_a_twice = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
    for i in range(x.size):
        z = x[i] / scale
        logarithm, distance = around(a, z)
        out[0, i] = factor + log_of_power(a, z, distance)
        out[1, i] = logarithm + of_a
        out[2, i] = z - a
        out[3, i] = logarithm + of_a_twice
        out[4, i] = -a
        out[5, i] = -z


@SCORES.implement
def beta(parameters, x, out):
    """Scores of a beta distribution in (log(a), log(b)); derivatives of the constant come with the parameters."""
    factor, a, b = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        y, z = (a + b) * x[i], (a + b) * (1.0 - x[i])
        left, from_left = around(a, y)
        right, from_right = around(b, z)
        out[0, i] = factor + log_of_power(a, y, from_left) + log_of_power(b, z, from_right)
        out[1, i] = left + parameters[3]
        out[2, i] = right + parameters[4]
        out[3, i] = left + parameters[5]
        out[4, i] = parameters[6]
        out[5, i] = right + parameters[7]


@SCORES.implement
def log_normal(parameters, x, out):
    """Scores of a log-normal, a Normal in log x, in the coordinates (log(scale)/s, log(s))."""
    factor, scale, inverse_s = parameters[0], parameters[1], parameters[2]
    for i in range(x.size):
        logarithm = log_ratio(x[i], scale)
        z = logarithm * inverse_s
        out[0, i] = factor - logarithm - 0.5 * z * z
        out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = _location_scale(z, -z, -1.0)


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
            _scores(members.scores, members.parameters[q], run.x[:n], of_q)
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
