"""Scalar functions that LLVM vectorises, and their error bounds.

Nothing in this package validates, allocates or loops over points: the Python layer validates, and kernels loop.
"""

from fastkl.elementary.bits import add_product, float_bits, fma, from_bfloat, from_bits, from_half
from fastkl.elementary.compensated import is_product, two_sum, with_lost
from fastkl.elementary.exponential import (
    exp,
    exp_or_zero,
    fast_exp,
    fast_kl_term_of_logs,
    gap,
    kl_term_of_logs,
    ordinary_exp,
    shares_of_gap,
    shares_of_narrow_gap,
    short_exp,
)
from fastkl.elementary.fast_terms import (
    JS_LARGEST,
    JS_TINY,
    LARGEST,
    LOWERED,
    TINY,
    fast_centred,
    fast_entropy_term,
    fast_js_term,
    fast_kl_term,
    fast_log,
    fast_scaled_kl_term,
    fast_unit_kl_term,
    lifted,
    ordinary_log_ratio,
)
from fastkl.elementary.log1p import log1p
from fastkl.elementary.log_ratio import kl_term, kl_term_of_difference, log, log_ratio

__all__ = [
    "JS_LARGEST",
    "JS_TINY",
    "LARGEST",
    "LOWERED",
    "TINY",
    "add_product",
    "exp",
    "exp_or_zero",
    "fast_centred",
    "fast_entropy_term",
    "fast_exp",
    "fast_js_term",
    "fast_kl_term",
    "fast_kl_term_of_logs",
    "fast_log",
    "fast_scaled_kl_term",
    "fast_unit_kl_term",
    "float_bits",
    "fma",
    "from_bfloat",
    "from_bits",
    "from_half",
    "gap",
    "is_product",
    "kl_term",
    "kl_term_of_difference",
    "kl_term_of_logs",
    "lifted",
    "log",
    "log1p",
    "log_ratio",
    "ordinary_exp",
    "ordinary_log_ratio",
    "shares_of_gap",
    "shares_of_narrow_gap",
    "short_exp",
    "two_sum",
    "with_lost",
]
