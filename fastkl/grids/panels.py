"""Panels for Gauss-Legendre quadrature, chosen for the KL integral of any two densities on a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastkl.grids.rules import gauss_legendre
from fastkl.measures import phi
from fastkl.validation import Floats

ORDER = 16
"""Number of nodes in a panel. On [x, 4 x] a power of x is then integrated to 3**-32, which is 5e-16."""

GRADING = 4.0
"""Ratio of the distances of neighbouring edges from a place; see `ORDER`."""

FIRST_PANEL = 2.0
"""Width of the panel beside a place, in units of the width there, which resolves a Cauchy peak to 1e-14."""

LADDER = 128
"""Number of panels of an infinite tail: at 4**128 = 1e77 a mass like x**-0.3 is 1e-23, and x**2 does not overflow."""

TAIL_PANELS = 8
"""Number of panels over which the power of a tail is measured, so that rounding does not show in it."""

LOWEST = -700.0
"""Logarithm of a density from which up its doubles have all their digits."""

FARTHEST = 1e300
"""Largest distance of an edge from a place, so that sums and products with weights stay finite."""

END_CUTS = 8
"""Number of cuts of a panel towards a kink or an end of a support beside it: a singularity takes few generations."""

MARGIN = 1e-4
"""Share of rtol to which panels are refined: errors of panels add up, and analytic densities get it for nothing."""

PROGRESS = 10.0
"""Least gain of a cut if 16 nodes are about to resolve a density; at a kink a cut gains 4, with rounding errors 2."""

PATIENCE = 2
"""Number of generations without `PROGRESS` after which an error below rtol is left alone: it may be rounding."""

MIN_ULPS = 2.0**10
"""Width of the narrowest panel in units of the last place: its 16 nodes are 5 to 97 of these apart."""

NEARLY_EQUAL = 0.1
"""Size of log p - log q below which the term of p and q would cancel if it were computed by subtraction."""

MAX_PANELS = 4096
"""Largest number of panels; typical pairs of densities take 10 to 100."""


class Landmarked(Protocol):
    """A density on a line that states its support, kinks and landmarks."""

    @property
    def support(self) -> tuple[float, float]:
        """The interval outside of which the density is 0."""
        ...

    @property
    def _kinks(self) -> Sequence[float]:
        """Points where the density is not smooth; for a mixture, ends of its components' supports among them."""
        ...

    @property
    def _landmarks(self) -> Sequence[tuple[float, float]]:
        """Place and width of every component, at least one."""
        ...

    def logpdf(self, x: Floats, /) -> Floats: ...


class DivergentTailError(ValueError):
    """An integral to infinity that is infinite, or that converges too slowly to be summed."""


class Panels(NamedTuple):
    """Edges of panels, and factors by which the first and the last of them stand for all that lies beyond."""

    edges: Floats
    tails: tuple[float, float] = (1.0, 1.0)


class _Sums(NamedTuple):
    """Integrals over panels, one row for each integrand, and whether an integrand is infinite in a panel."""

    values: Floats
    infinite: NDArray[np.bool_]


def panels(p: Landmarked, q: Landmarked | None = None, *, rtol: float = 1e-10) -> Panels:
    """Panels on which Gauss-Legendre quadrature of `ORDER` nodes gives KL(p||q).

    The masses of p and q and the integral of the non-negative term p log(p/q) - p + q are each resolved
    to `rtol` of themselves, and much better if densities are analytic. Without q, the mass of p and the
    integral of p log p are.

    Parameters
    ----------
    p, q : Landmarked
        Densities with `logpdf`, `support`, `kinks` and `landmarks`.
    rtol : float, default 1e-10
        Relative tolerance of the integrals.

    Returns
    -------
    Panels
        Strictly increasing edges, and the factors on the sums of the end panels; see
        `fastkl.grids.Axis.gauss_legendre`.

    Raises
    ------
    DivergentTailError
        A ValueError: if an integral does not converge within 1e77 widths and does not follow a power there that could
        be integrated beyond, as KL(Cauchy||Normal) does not.
    ValueError
        If `rtol` is not between 0 and 1, a log-density is NaN, p has no mass near its landmarks, or 4096 panels do not
        resolve an integral.

    Notes
    -----
    The first panels grow geometrically with the distance from every place, from the width there up to the
    middle between two places or, in an infinite tail, to 1e77 widths; negligible panels of a tail are dropped. Where
    the sums of the last panels fall like a geometric series, because the integrand is a power of x, the last one is
    multiplied by the sum of that series.
    A panel is then cut if its sum differs from that of its parts, in halves, or geometrically towards a
    kink or an end of a support, where a density may be singular. Where q = 0 < p the term counts as 0 here.

    Points closer to an end of the support than 1000 units of the last place cannot be resolved. At 0 that
    costs nothing, but (1 - x)**(b - 1) before 1 keeps an error of a few times 1e-13**b.
    """
    if not 0.0 < rtol < 1.0:
        raise ValueError(f"rtol must lie between 0 and 1, got {rtol!r}")
    densities = (p,) if q is None else (p, q)
    edges = _graded_edges(densities)
    sums = _integrals(densities, edges[:-1], edges[1:])
    if not sums.values[0].sum() > 0.0:
        raise ValueError(f"{p!r} has no mass near its landmarks {tuple(p._landmarks)!r}")
    kept, tails = _without_tails(densities, edges, sums, rtol)
    refined = _refined(densities, edges[kept.start : kept.stop + 1], sums.values[:, kept], rtol)
    return Panels(refined, tails)


def _hull(densities: Sequence[Landmarked]) -> tuple[float, float]:
    return min(d.support[0] for d in densities), max(d.support[1] for d in densities)


def _corners(densities: Sequence[Landmarked]) -> list[float]:
    """The kinks and the finite ends of the supports, at which a density may be singular."""
    return [x for d in densities for x in (*d._kinks, *d.support) if math.isfinite(x)]


def _graded_edges(densities: Sequence[Landmarked]) -> Floats:
    """Edges whose distance grows with the distance from the nearest place, and never passes over a place.

    No landmark lies between two neighbouring anchors. So, up to the middle between them, the distance from
    the nearer anchor bounds that from any landmark, and panels may grow with it.
    """
    lower, upper = _hull(densities)
    places, widths = np.array([mark for d in densities for mark in d._landmarks], dtype=np.float64).T

    def size(x: float) -> float:
        return float(np.min(np.maximum(widths, np.abs(x - places))))

    anchors: list[float] = []
    for corner in sorted(_corners(densities)):
        if not anchors or corner - anchors[-1] >= MIN_ULPS * np.spacing(abs(corner)):
            anchors.append(corner)
    for place in places[np.argsort(widths)].tolist():
        # Beside another anchor, a place that is near by its own measure adds nothing but a narrow panel.
        if lower < place < upper and all(abs(place - a) > 0.5 * size(place) for a in anchors):
            anchors.append(place)
    beyond = [end for end in (lower, upper) if math.isinf(end)]
    ladder = FIRST_PANEL * GRADING ** np.arange(LADDER)
    edges = [np.array(anchors)]
    for a, b in pairwise(sorted(anchors + beyond)):
        reach = min(0.5 * (b - a), FARTHEST)
        for anchor, outwards in ((a, 1.0), (b, -1.0)):
            if math.isfinite(anchor):
                steps = size(anchor) * ladder
                # A step from either side that ends at the middle, up to rounding, would leave a panel without room.
                edges.append(anchor + outwards * steps[reach - steps >= MIN_ULPS * np.spacing(abs(anchor))])
    return np.unique(np.concatenate(edges))


def _log_density(density: Landmarked, x: Floats) -> Floats:
    with np.errstate(all="ignore"):  # a far x may be squared, the logarithm of 0 taken
        values = np.asarray(density.logpdf(x.ravel()), dtype=np.float64)
    if np.isnan(values).any():
        at = float(x.ravel()[int(np.argmax(np.isnan(values)))])
        raise ValueError(f"the log-density of {density!r} is NaN at x = {at!r}")
    return values.reshape(x.shape)


def _integrals(densities: Sequence[Landmarked], left: Floats, right: Floats) -> _Sums:
    """The sums over every panel of p, q and the term, or of p and p log p."""
    nodes, weights = gauss_legendre(left, right, ORDER)
    logs = [_log_density(d, nodes) for d in densities]
    with np.errstate(all="ignore"):  # 0 * inf where p is 0
        values = [np.exp(log) for log in logs]
        values.append(_term(*logs) if len(logs) == 2 else np.where(values[0] > 0.0, values[0] * logs[0], 0.0))
        integrands = np.stack(values)
        infinite = ~np.isfinite(integrands)
        integrands[infinite] = 0.0
        return _Sums(np.sum(weights * integrands, axis=-1), infinite.any(axis=(0, 2)))


def _term(log_p: Floats, log_q: Floats) -> Floats:
    """The term p log(p/q) - p + q, from the larger of p and q, and without cancellation if they are close."""
    p, q, d = np.exp(log_p), np.exp(log_q), log_p - log_q
    near = p * phi(np.expm1(-d))
    far = np.where(d > 0.0, p * (d + np.expm1(-d)), q * (d * np.exp(d) - np.expm1(d)))
    return np.where(p > 0.0, np.where(np.abs(d) < NEARLY_EQUAL, near, far), q)


def _without_tails(
    densities: Sequence[Landmarked], edges: Floats, sums: _Sums, rtol: float
) -> tuple[slice, tuple[float, float]]:
    """The panels that remain after negligible ones at either end are dropped, and the factors of the end panels.

    A panel with p > 0 = q remains, because the divergence is infinite then.
    """
    size = np.abs(sums.values)
    total = size.sum(axis=1)
    drop, factors = [], []
    for side, end in zip((slice(None), slice(None, None, -1)), _hull(densities), strict=True):
        tail = np.cumsum(size[:, side], axis=1)
        factor, last = 1.0, 0
        if math.isinf(end) and not sums.infinite.any():  # otherwise the divergence is infinite anyway
            last = _last_seen(densities, edges[side][:-1]) if end in densities[0].support else 0
            share = size[:, side][:, last] / np.where(total > 0.0, total, 1.0)
            factor = _beyond(size[:, side][:, last:], total, rtol) if share.max() > MARGIN * rtol else 1.0
            if math.isnan(factor) and share.max() > rtol:
                row = int(np.argmax(share > rtol))
                raise DivergentTailError(
                    f"the integral of {_name(densities, row)} towards {end} is infinite or converges too slowly: "
                    f"{share[row]:.3g} of its sum lies in the last of {LADDER} panels, "
                    f"at x = {edges[side][last]:.3g}"
                )
        negligible = (tail <= MARGIN * rtol * total[:, None]).all(axis=0) & ~np.cumsum(sums.infinite[side]).astype(bool)
        drop.append(last if factor > 1.0 else int(np.argmin(negligible)))
        factors.append(factor if factor > 1.0 else 1.0)
    return slice(drop[0], edges.size - 1 - drop[1]), (factors[0], factors[1])


def _last_seen(densities: Sequence[Landmarked], ends: Floats) -> int:
    """The first panel, from the outside, in which a power of x that counts, p, has all its digits; otherwise 0.

    The logarithm of a power falls little across a panel; an exponential one is multiplied by `GRADING` or more.
    """
    logs = [_log_density(density, ends) for density in densities]
    last = int(np.argmax(logs[0] > LOWEST))
    is_power = logs[0][min(last + 1, ends.size - 1)] < 0.5 * LOWEST
    return last if is_power and all(logs[0][last] > other[last] for other in logs[1:]) else 0


def _beyond(size: Floats, total: Floats, rtol: float) -> float:
    """Factor by which the first panel stands for itself and all beyond, panels being counted inwards.

    The sums of panels that grow by a factor are a geometric series where the integrand is a power of x. NaN if that
    would leave an error above `rtol` in any integral.
    """
    if size.shape[1] <= 2 * TAIL_PANELS:
        return math.nan
    last, before, earlier = size[:, 0], size[:, TAIL_PANELS], size[:, 2 * TAIL_PANELS]
    with np.errstate(all="ignore"):  # sums may be 0, or not fall
        series, previous = (
            np.where(last > 0.0, -1.0 / np.expm1(np.log(one / other) / TAIL_PANELS), 1.0)
            for one, other in ((last, before), (before, earlier))
        )
        share = last / total
        factor = series[int(np.argmax(share))]
        error = share * (np.abs(series - previous) * series + np.abs(series - factor))
    return float(factor) if factor > 1.0 and (series >= 1.0).all() and (error <= rtol)[last > 0.0].all() else math.nan


def _refined(densities: Sequence[Landmarked], edges: Floats, values: Floats, rtol: float) -> Floats:
    """Cut panels until each agrees with the sum of its parts, for every integrand."""
    left, right = edges[:-1], edges[1:]
    corners = np.array(_corners(densities))
    settled = [edges[-1:]]
    settled_sum = np.zeros(len(values))
    error_before, stalled = np.full(left.size, np.inf), np.zeros(left.size, dtype=np.int64)
    while left.size:
        starts, first = _cut(left, right, corners)
        stops = np.append(starts[1:], 0.0)
        count = np.diff(first, append=starts.size)
        stops[first + count - 1] = right
        parts = _integrals(densities, starts, stops).values
        whole = np.add.reduceat(parts, first, axis=1)
        total = settled_sum + np.abs(whole).sum(axis=1)
        difference = np.abs(values - whole)
        errors = np.divide(difference, total[:, None], out=np.zeros_like(difference), where=difference > 0.0)
        error = errors.max(axis=0)
        stalled = np.where(error > error_before / PROGRESS, stalled + 1, 0)
        # Rounding leaves few digits of the term of nearly equal p and q: its error is judged relative to the mass.
        beside_mass = (difference / np.maximum(total, total[0])[:, None]).max(axis=0)
        accurate = (error <= MARGIN * rtol) | ((stalled >= PATIENCE) & (beside_mass <= rtol))
        done = accurate | (count == 1)
        settled.append(left[done])
        settled_sum += np.abs(whole[:, done]).sum(axis=1)
        again = np.repeat(~done, count)
        if sum(map(len, settled)) + np.count_nonzero(again) > MAX_PANELS:
            worst = int(np.argmax(np.where(done, 0.0, error)))
            unresolved = _name(densities, int(np.argmax(errors[:, worst])))
            raise ValueError(
                f"{MAX_PANELS} panels do not resolve the integrals: that of {unresolved} between "
                f"{left[worst]:.9g} and {right[worst]:.9g} is known to {error[worst]:.2g} of the total; "
                "is a kink or a landmark missing?"
            )
        left, right, values = starts[again], stops[again], parts[:, again]
        error_before, stalled = np.repeat(error, count)[again], np.repeat(stalled, count)[again]
    return np.sort(np.concatenate(settled))


def _cut(left: Floats, right: Floats, corners: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The left edges of the parts of every panel, and the index of the first part of each.

    A panel that is too narrow to cut has itself as its only part.
    """
    width = right - left
    steps = width[:, None] * GRADING ** -np.arange(1.0, END_CUTS + 1.0)
    cuts = np.full(steps.shape, np.nan)
    cuts[:, 0] = left + 0.5 * width
    at_left, at_right = np.isin(left, corners), np.isin(right, corners)
    cuts[at_right] = right[at_right, None] - steps[at_right]
    cuts[at_left] = left[at_left, None] + steps[at_left, ::-1]
    with np.errstate(invalid="ignore"):
        room = np.minimum(cuts - left[:, None], right[:, None] - cuts)
        wide = room >= MIN_ULPS * np.spacing(np.abs(cuts))
    starts = np.column_stack([left, cuts])
    is_start = np.column_stack([np.ones(left.size, dtype=bool), wide])
    counts = np.count_nonzero(is_start, axis=1)
    return starts[is_start], np.cumsum(counts) - counts


def _name(densities: Sequence[Landmarked], row: int) -> str:
    return ("p", "q", "p log(p/q) - p + q")[row] if len(densities) == 2 else ("p", "p log p")[row]
