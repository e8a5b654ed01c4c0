"""The elementary functions over whole arrays, so that tests can call them from Python."""

from __future__ import annotations

import numba
import numpy as np

from fastkl import elementary


def _over_arrays(function, outputs=1):
    """Compile a loop that applies *function* to its arguments, element by element."""

    @numba.njit(error_model="numpy")
    def one(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    @numba.njit(error_model="numpy")
    def two(x, y, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    @numba.njit(error_model="numpy")
    def three(x, y, z, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i], z[i])

    def apply(*arrays):
        arrays = [np.atleast_1d(np.asarray(a, dtype=float)) for a in arrays]
        out = np.empty(arrays[0].shape if outputs == 1 else (*arrays[0].shape, outputs))
        with np.errstate(all="ignore"):  # plain Python warns where compiled code does not
            (one, two, three)[len(arrays) - 1](*arrays, out)
        return out

    return apply


exp = _over_arrays(elementary.exp)
log = _over_arrays(elementary.log)
log_ratio = _over_arrays(elementary.log_ratio)
kl_term = _over_arrays(elementary.kl_term)
kl_term_of_difference = _over_arrays(elementary.kl_term_of_difference)
kl_term_of_logs = _over_arrays(elementary.kl_term_of_logs, outputs=3)
fast_kl_term_of_logs = _over_arrays(elementary.fast_kl_term_of_logs, outputs=3)
gap = _over_arrays(elementary.gap)
shares_of_gap = _over_arrays(elementary.shares_of_gap, outputs=2)
shares_of_narrow_gap = _over_arrays(elementary.shares_of_narrow_gap, outputs=2)
short_exp = _over_arrays(elementary.short_exp)
fast_log = _over_arrays(elementary.fast_log)
ordinary_exp = _over_arrays(elementary.ordinary_exp)
fast_kl_term = _over_arrays(elementary.fast_kl_term)
fast_scaled_kl_term = _over_arrays(elementary.fast_scaled_kl_term)
ordinary_log_ratio = _over_arrays(elementary.ordinary_log_ratio)
lifted = _over_arrays(elementary.lifted)
fast_entropy_term = _over_arrays(elementary.fast_entropy_term)
fast_js_term = _over_arrays(elementary.fast_js_term)
fast_unit_kl_term = _over_arrays(elementary.fast_unit_kl_term)
fast_centred = _over_arrays(elementary.fast_centred, outputs=4)
