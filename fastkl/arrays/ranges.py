"""What the short formulas of sums are meant for; `fastkl.elementary.fast_terms` says why."""

from __future__ import annotations

import math

SCALED_MASS_EXPONENT = 350
"""Numbers that are scaled have the mass 2**350, so that what is 2**-1400 of it still counts."""

LEAST_TERM, LEAST_JS_TERM = 2.0**-700, 2.0**-480
"""For each number, what the sum of the terms must be, so that the numbers which count as TINY do not matter."""

EQUAL_MASSES, EQUAL_MASSES_OF_SINGLES = 1e-15, 2.0**-24
"""Masses whose difference, d times their mean, is no larger than this are normalised by the mean.

By Taylor's theorem the Jensen-Shannon divergence J is then off by (KL(q||m) - KL(p||m)) d/4, which is at most J d/2,
and by d**2 / 8, which counts where p and q are close and is subtracted. So the distance is off by a factor of at most
1 + d/4: in single precision, where rounding leaves no two sums equal, a quarter of an ulp.
"""

LARGEST_LOG = 700.0
"""The kernels' exponential is meant for less than 709."""

LN2 = math.log(2.0)
