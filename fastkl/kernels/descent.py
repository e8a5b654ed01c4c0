"""Numbers of the search for minima by damped Newton steps, which the runs in kernels and in `fastkl.fitting` share."""

LARGEST_STEP = 1.0
"""Largest step in any coordinate: one scale, or a factor of e."""
NUDGE = 0.1
"""Step that leaves a saddle, along the direction in which the divergence bends down."""
FLAT = 1e-9
"""Size of a Newton step, in units of `NUDGE`, below which it leads nowhere."""
SAME_MINIMUM = 1e-6
"""Distance in any coordinate below which two minima are one."""
MASS_OF_ESCAPE = 0.5
"""Mass of q outside the grid above which a run has escaped."""

LAST_PLACES = 2.0**-51
"""Relative distance of two neighbouring doubles, twice."""
FAR = 1e3
"""Distance of a place from 0, in scales, from which on its last place counts."""
SUFFICIENT = 1e-4
"""Share of the decrease promised by the slope that a step has to bring (Armijo)."""
SMALLEST_SHARE = 1e-9
"""Share of a Newton step below which the run has stalled."""
ROUNDING = 1e-13
"""Relative difference of the objective below which it is rounding."""
LOWER_BY = 1e-9
"""Relative distance below a minimum from which a q that has not converged counts as lower."""
TIE = 1e-12
"""Difference up to which divergences count as equal, so that their minima are ordered by place."""
