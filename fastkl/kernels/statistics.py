"""The statistics of exponential families on the line, and their sums over a density.

The fit of such a family to p depends only on the means of two functions of x.
"""

from __future__ import annotations

from fastkl.elementary import exp_or_zero, fast_kl_term_of_logs, kl_term_of_logs
from fastkl.jit import Interface, block, buffer, tiled
from fastkl.kernels.integrals import DIVERGENCE, MASS_P, MASS_Q, SKIPPED, SURPLUS, logs_are_ordinary
from fastkl.kernels.interfaces import BLOCK
from fastkl.kernels.walk import fill_logs, new_run, next_run

LOG_RATIO, FIRST, SECOND = 5, 6, 7

STATISTICS = Interface("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1])")
"""Interface ``(parameters, x, first, second, log_q)`` to fill in two statistics, relative to a q, and log q."""
_statistics = STATISTICS.call


@block
def _ordinary_sums(w, log_p, log_q, first, second, found):
    """Fill in the sums of a block; the result is whether they are right, that is, no logarithm is far from 0."""
    term, mass_p, mass_q, surplus, log_ratio, one, two, exceptions = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for i in range(w.size):
        t, p, q = fast_kl_term_of_logs(log_p[i], log_q[i])
        share = w[i] * p
        term += w[i] * t
        mass_p += share
        mass_q += w[i] * q
        surplus += w[i] * (q - p)
        log_ratio += share * (log_p[i] - log_q[i])
        one += share * first[i]
        two += share * second[i]
        exceptions += 0 if logs_are_ordinary(log_p[i], log_q[i]) else 1
    found[DIVERGENCE], found[MASS_P], found[MASS_Q], found[SURPLUS] = term, mass_p, mass_q, surplus
    found[LOG_RATIO], found[FIRST], found[SECOND] = log_ratio, one, two
    return exceptions == 0


@block
def _sums(w, log_p, log_q, first, second, found):
    """Fill in the sums of a block for any logarithms; a statistic may be infinite at a point where p is 0."""
    term, mass_p, mass_q, surplus, log_ratio, one, two = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(w.size):
        t, _, q = kl_term_of_logs(log_p[i], log_q[i])
        p = exp_or_zero(log_p[i])  # whatever q is, even if it overflows
        share = w[i] * p
        term += w[i] * t
        mass_p += share
        mass_q += w[i] * q
        surplus += w[i] * (q - p)
        log_ratio += share * (log_p[i] - log_q[i]) if share > 0.0 else 0.0
        one += share * first[i] if share > 0.0 else 0.0
        two += share * second[i] if share > 0.0 else 0.0
    found[DIVERGENCE], found[MASS_P], found[MASS_Q], found[SURPLUS] = term, mass_p, mass_q, surplus
    found[LOG_RATIO], found[FIRST], found[SECOND] = log_ratio, one, two


@tiled(outputs=8)
def statistic_sums(partial, start, stop, address, parameters, p, grid):
    """The integrals of `kl_integral` for p and q, and those of p times log(p/q) and p times both statistics."""
    run, log_p, log_q, found = new_run(grid), buffer(BLOCK), buffer(BLOCK), buffer(partial.size)
    first, second = buffer(BLOCK), buffer(BLOCK)
    found[SKIPPED] = 0.0
    point = start
    while point < stop:
        n, _ = next_run(run, grid, point, stop)
        fill_logs(p, run, n, log_p)
        _statistics(address, parameters, run.x[:n], first[:n], second[:n], log_q[:n])
        if not _ordinary_sums(run.w[:n], log_p[:n], log_q[:n], first[:n], second[:n], found):
            _sums(run.w[:n], log_p[:n], log_q[:n], first[:n], second[:n], found)
        for k in range(found.size):
            partial[k] += found[k]
        point += n
