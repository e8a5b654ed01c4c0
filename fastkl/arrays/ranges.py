"""Ranges that the short formulas of sums are meant for; `fastkl.elementary.fast_terms` says why."""

from __future__ import annotations

import math

SCALED_MASS_EXPONENT = 350
"""Exponent of the mass of scaled numbers, 2**350, chosen so that a number of 2**-1400 times the mass still counts."""

LEAST_TERM, LEAST_JS_TERM = 2.0**-700, 2.0**-480
"""Least sum of terms, per number, for which numbers that count as TINY do not matter; JS for Jensen-Shannon terms."""

EQUAL_MASSES, EQUAL_MASSES_OF_SINGLES = 1e-15, 2.0**-24
"""Largest difference d of two masses, relative to their mean, for which both are normalised by the mean.

By Taylor's theorem the Jensen-Shannon divergence J is then off by (KL(q||m) - KL(p||m)) d/4, which is at most J d/2,
and by d**2 / 8, which counts if p and q are close and is subtracted. So the distance is off by a factor of at most
1 + d/4: in single precision, in which rounding leaves no two sums equal, a quarter of an ulp.
"""

LEAST_RATIO = 2.0**-26
"""Least ratio of p's mass to q's for which q times the ratio is no smaller than TINY in a careful KL term.

There q, a multiple of 2**-1074, is multiplied by 2**200 before.
"""

LARGEST_LOG = 700.0
"""Largest logarithm that is summed by kernels: their exponential is meant for less than 709."""

LN2 = math.log(2.0)
