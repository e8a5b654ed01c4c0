"""The interface between kernels and densities: up to four functions, called by address on runs of points along a row.

A kernel knows nothing of families. Every function takes what a `fastkl.kernels.records.DensityRecord` holds beside
the functions, ``(parts, components, values, nodes)``, and then

``(outer, at, x, scratch, out)``
    for the logarithm of the density, and for the density itself: out[i] is the one or the other at the point with
    the last coordinate x[i] and the other coordinates `outer`. x increases; scratch holds `BLOCK` numbers. `at` is the
    place of the values in a table on the same grid: value i is number
    ``at[BASE] + min((at[START] + i) * at[EVERY], at[END])``; ``at[EVEN]`` is 1 if x is equally spaced.
``(lower, upper, out)``
    for bounds: out[0] <= log-density <= out[1] in the box between these corners.
``(outer, level, out)``
    for the reach on a row: outside the interval from out[0] to out[1] the log-density is at most `level`.
"""

from __future__ import annotations

from fastkl.jit import Interface

BLOCK = 1024
"""Number of points that are evaluated together: five buffers of that length stay in an L1 cache of 48 kB."""

_RECORD = "int64[::1], float64[:, ::1], float64[::1], float64[::1]"
EVALUATE = Interface(f"void({_RECORD}, float64[::1], int64[::1], float64[::1], float64[::1], float64[::1])")
BOUND = Interface(f"void({_RECORD}, float64[::1], float64[::1], float64[::1])")
REACH = Interface(f"void({_RECORD}, float64[::1], float64, float64[::1])")
evaluate = EVALUATE.call
bound = BOUND.call
reach = REACH.call
