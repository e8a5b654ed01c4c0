"""The interface between kernels and densities: up to four functions, called by address on runs of points along a row.

A kernel knows nothing of families. Every function takes what a `fastkl.kernels.records.DensityRecord` holds beside
the functions, ``(parts, components, values, nodes)``, and then

``(outer, at, x, scratch, out)``
    for the logarithm of the density, and for the density itself: out[i] = the one at the point whose last
    coordinate is x[i] and whose others are `outer`. x increases; scratch holds `BLOCK` numbers. `at` is where a
    table on the same grid has its values: value i is number ``at[BASE] + min((at[START] + i) * at[EVERY], at[END])``;
    ``at[EVEN]`` is 1 where x is equally spaced.
``(lower, upper, out)``
    for bounds: out[0] <= log-density <= out[1] in the box between these corners.
``(outer, level, out)``
    for the reach on a row: off the interval from out[0] to out[1] the log-density is at most `level`.
"""

from __future__ import annotations

from fastkl.jit import Interface

BLOCK = 1024
"""Points that are evaluated together: five buffers of them stay in a L1 cache of 48 kB."""

_RECORD = "int64[::1], float64[:, ::1], float64[::1], float64[::1]"
EVALUATE = Interface(f"void({_RECORD}, float64[::1], int64[::1], float64[::1], float64[::1], float64[::1])")
BOUND = Interface(f"void({_RECORD}, float64[::1], float64[::1], float64[::1])")
REACH = Interface(f"void({_RECORD}, float64[::1], float64, float64[::1])")
evaluate = EVALUATE.call
bound = BOUND.call
reach = REACH.call
