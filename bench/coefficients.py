"""Derive the polynomials of ``fastkl/elementary``: ``python -m bench.coefficients`` prints them.

Each is a Chebyshev fit in 60-digit arithmetic, which is within a small factor of the best polynomial.
The printed error is the largest relative error over the interval before the coefficients are rounded
to double precision.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60


def atanh_tail(z: mp.mpf) -> mp.mpf:
    """R(z)/z, where 2 atanh(s) = 2 s + s R(s**2)."""
    return mp.nsum(lambda j: 2 * z**j / (2 * j + 3), [0, 60])


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1 - r) / r**2."""
    return mp.nsum(lambda j: r**j / mp.factorial(j + 2), [0, 40])


POLYNOMIALS: dict[str, tuple[Callable[[mp.mpf], mp.mpf], float, float, int]] = {
    "ATANH_TAIL": (atanh_tail, 0.0, 0.0401, 7),
    "WIDE_ATANH_TAIL": (atanh_tail, 0.0, 0.1112, 8),
    "EXP_TAIL": (exp_tail, -0.3467, 0.3467, 9),
    "WIDE_EXP_TAIL": (exp_tail, -1.0, 1.0, 13),
}

if __name__ == "__main__":
    for name, (function, lower, upper, degree) in POLYNOMIALS.items():
        # numba walks Horner's rule from the highest power down, so that is the order printed
        coefficients = mp.chebyfit(function, [lower, upper], degree + 1)
        points = mp.linspace(lower, upper, 501)
        error = max(abs(mp.polyval(coefficients, x) / function(x) - 1) for x in points)
        print(f"# degree {degree} on [{lower}, {upper}], relative error {mp.nstr(error, 2)}")
        print(f"{name} = (")
        for c in coefficients:
            print(f"    {float(c)!r},")
        print(")")
