"""Scalar functions that LLVM vectorises, and their error bounds.

Nothing here validates, allocates or loops over points; the kernels do the last, the edge the first.
"""

from fastkl.elementary.bits import float_bits, fma
from fastkl.elementary.compensated import two_sum, with_lost
from fastkl.elementary.exponential import (
    exp,
    exp_or_zero,
    fast_exp,
    fast_kl_term_of_logs,
    kl_term_of_logs,
    ordinary_exp,
)
from fastkl.elementary.fast_terms import (
    LARGEST,
    SMALLEST,
    fast_entropy_term,
    fast_js_term,
    fast_kl_term,
    fast_log_ratio,
    fast_scaled_kl_term,
)
from fastkl.elementary.log_ratio import js_term, kl_term, log, log_ratio

__all__ = [
    "LARGEST",
    "SMALLEST",
    "exp",
    "exp_or_zero",
    "fast_entropy_term",
    "fast_exp",
    "fast_js_term",
    "fast_kl_term",
    "fast_kl_term_of_logs",
    "fast_log_ratio",
    "fast_scaled_kl_term",
    "float_bits",
    "fma",
    "js_term",
    "kl_term",
    "kl_term_of_logs",
    "log",
    "log_ratio",
    "ordinary_exp",
    "two_sum",
    "with_lost",
]
