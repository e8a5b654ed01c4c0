"""The divergence of rows of logarithms, from sums over their pieces; `fastkl.kernels.logarithms` has the formulas."""

from __future__ import annotations

import numpy as np

from fastkl.measures import divergence_of_sums, phi
from fastkl.validation import Floats

NEAR = 1.0
"""Change of an offset up to which sums are converted by the formula that does not cancel."""


def together(parts: Floats) -> Floats:
    """The sums of pieces of rows, shape ``(5, pieces, ...)``, put together, shape ``(5, ...)``.

    The result has the shift of the piece with the largest p, and an offset that balances the masses of p and q. If all
    pieces have one offset with which their masses are equal, it is that offset to the last bit.
    """
    if parts.shape[1] == 1:
        return parts[:, 0]
    total, mass, surplus, shift, offset = parts
    mass_q = mass + surplus
    with np.errstate(all="ignore"):
        log_p, log_q = shift + np.log(mass), shift + np.log(mass_q)
        heaviest = np.where((log_p > -np.inf).any(axis=0), log_p, log_q - offset).argmax(axis=0)[np.newaxis]
        own_shift, own_offset = (np.take_along_axis(a, heaviest, axis=0)[0] for a in (shift, offset))
        balance = _log_of_sum(log_p) - _log_of_sum(log_q - (offset - own_offset))
        new_offset = own_offset + np.where(np.isfinite(balance), balance, 0.0)
        (change, change_rest), (up, up_rest) = _difference(new_offset, offset), _difference(shift, own_shift)
        up_q, up_q_rest = _difference(change, -up)
        has_p, has_q = mass != 0.0, mass_q != 0.0  # the scales of a piece without p say nothing; a NaN goes on
        factor = np.where(has_p, np.exp(up) * (1.0 + up_rest), 0.0)
        factor_q = np.where(has_q, np.exp(up_q) * (1.0 + (up_q_rest + (change_rest + up_rest))), 0.0)
        p, q = np.where(has_p, factor * mass, 0.0), np.where(has_q, factor_q * mass_q, 0.0)
        growth, near = np.expm1(change), has_p & (np.abs(change) <= NEAR)
        far = q + np.where(has_p, factor * (total - change * mass - mass_q), 0.0)
        converted = np.where(near, factor * ((total + surplus * growth) + mass * phi(growth)), far)
        moved = np.where(near, factor * (surplus + mass_q * growth), q - p)
    return np.stack([np.maximum(converted, 0.0).sum(axis=0), p.sum(axis=0), moved.sum(axis=0), own_shift, new_offset])


def _difference(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a - b as rounded numbers and the rest, which would count where logarithms are 1e4 and their rounding is 1e-12."""
    total = a - b
    shadow = total - a
    return total, (a - (total - shadow)) - (b + shadow)


def _log_of_sum(logs: Floats) -> Floats:
    return np.logaddexp.reduce(logs, axis=0)  # type: ignore[no-any-return]


def divergence(sums: Floats) -> Floats:
    """KL(p||q) of each row, from sums that have been put together; NaN if p or q has no mass."""
    total, mass, surplus = sums[:3]
    with np.errstate(all="ignore"):
        value, _ = divergence_of_sums(total, mass, surplus)
        value = np.where(total == np.inf, np.inf, np.maximum(value, 0.0))
        return np.where((mass > 0.0) & (mass + surplus > 0.0), value, np.nan)
