"""Scalar functions that LLVM vectorises, and their error bounds.

Nothing here validates, allocates or loops over points; the kernels do the last, the edge the first.
"""

from fastkl.elementary.exponential import exp, exp_or_zero, kl_term_of_logs
from fastkl.elementary.log_ratio import kl_term, log, log_ratio

__all__ = ["exp", "exp_or_zero", "kl_term", "kl_term_of_logs", "log", "log_ratio"]
