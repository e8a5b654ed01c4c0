"""Parts of the kernels that several families share."""

from __future__ import annotations

from fastkl.elementary import kl_term
from fastkl.jit import scalar


@scalar
def location_scale(z: float, slope: float, curvature: float) -> tuple[float, float, float, float, float]:
    """Scores and second derivatives in the coordinates (loc/scale, log(scale)): (s1, s2, c11, c12, c22).

    *slope* and *curvature* are the derivatives of log q with respect to z = (x - loc)/scale.
    """
    return -slope, -z * slope - 1.0, curvature, z * curvature + slope, z * z * curvature + z * slope


@scalar
def power(exponent: float, logarithm: float) -> float:
    """The logarithm of a power, exponent * logarithm; 0 for the exponent 0, whatever the logarithm is."""
    return 0.0 if exponent == 0.0 else exponent * logarithm  # not 0 * -inf


@scalar
def around(a: float, z: float) -> tuple[float, float]:
    """(a log(z/a), a log(a/z) - a + z); their sum is z - a, and near z = a they have all digits, for any size of a."""
    distance = kl_term(a, z)
    return (z - a) - distance, distance


@scalar
def log_of_power(a: float, z: float, distance: float) -> float:
    """a log(z/a) - z + a - log(z/a) from *distance* = a log(a/z) - a + z, which is infinite at z = 0."""
    factor = 1.0 - 1.0 / a
    return (a - z) / a - (factor * distance if factor != 0.0 else 0.0)
