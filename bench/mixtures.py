"""How often a fit finds every minimum, on random mixtures of Normals, for ``docs/fits.md``.

``python -m bench.mixtures`` solves 500 problems on a line and 500 in the plane and writes the table there; ``--quick``
solves a few and writes nothing. Either fails where a target is missed.

The truth of a reverse fit does not come from the starts of `fastkl.fit`. At a minimum the precision of q is a mean of
curvatures of -log p, so that no q is narrower than the narrowest part of p, and the search is bounded. On a line the
two slopes of the divergence are tabulated over all places and scales, and Newton's method goes on from every cell in
which both change their sign, with derivatives that are known in closed form. In the plane hundreds of runs descend
from random places, sizes and orientations, and from the moments of every set of components; a sample of the problems
is searched again by SciPy. What is found counts as a minimum by finite differences of `kl_divergence` alone.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.optimize import minimize

from bench.pages import write_part
from fastkl import FitResult, Grid, Mixture, MultivariateNormal, Normal, fit, kl_divergence
from fastkl.fitting import point
from fastkl.fitting.reading import Reading
from fastkl.fitting.search import descend
from fastkl.fitting.task import task_of

SEED = 20260302
COUNTS = {1: 500, 2: 500}
QUICK = {1: 20, 2: 6}
COMPONENTS = 2, 3, 4, 5
SPREAD = {1: 20.0, 2: 8.0}
"""The largest distance of a component from the middle, along an axis; in each problem up to that, at least 0.5."""
SCALES = {1: 0.5, 2: 0.2}
"""Decimal logarithm of the largest scale of a component, and less that of the smallest; in each problem up to that."""
MARGIN = 9.0, 2.0
"""From the outermost place to the end of the grid: scales of the widest component, and distances of the outermost
places, because the scale of a q that spans two far-away parts is almost half their distance.
"""
STEPS = {1: 2000, 2: 200}
"""Of the grid, along each axis, or as many as put 3.5 of them into the narrowest scale."""

FIRST, PRESENT = 0.995, 0.98
"""Targets: the share of the problems with the global minimum first, and of all minima that are listed."""
SAME_DIVERGENCE = 1e-9
SAME_MOMENTS = 1e-12
SAME_PLACE = 1e-3
"""Difference of two minima that are one: in the place, in scales, and in the covariance, relative."""

INSIDE = 5.0
"""Scales between the place of a minimum that counts and the end of the grid: 3e-7 of it lies outside."""
DIFFERENCE = 1e-3
"""Step of a finite difference, in scales or factors of e."""

SCALE_RATIO = 0.02
"""Logarithm of the ratio of neighbouring scales in the surface of a line."""
PLACES_IN_SCALE = 16
"""Places in the smallest scale of p."""
SURFACE_REACH = 7.0
LONGEST_STEP = 0.1
NEWTON_STEPS = 40

RANDOM_STARTS = 250
SEARCHED_AGAIN = 100
"""Every so many-th problem of the plane is searched by SciPy too."""
SCIPY_STARTS = 30
SCIPY_ROUNDS = 60
"""Each within half a scale of where the one before has ended."""


class Outcome(NamedTuple):
    """What became of one problem."""

    ndim: int
    components: int
    first: bool
    true: int
    present: int
    false: int
    """Listed, and no minimum or listed before."""
    unknown: int
    """Minima that the fit lists and the truth lacks, or that SciPy finds and it lacks."""
    moments: float
    success: bool
    seconds: float
    passes: float
    complaints: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few problems; leave the page as it is")
    parser.add_argument("--problems", type=int, nargs=2, metavar=("LINE", "PLANE"), help="so many; leave the page")
    arguments = parser.parse_args()
    counts = QUICK if arguments.quick else COUNTS
    if arguments.problems:
        counts = dict(zip(COUNTS, arguments.problems, strict=True))
    outcomes = [outcome(ndim, i) for ndim, count in counts.items() for i in range(count)]
    text = "\n".join(_table(outcomes))
    print(text)
    for line in (complaint for o in outcomes for complaint in o.complaints):
        print(line)
    if counts is COUNTS:
        write_part("fits.md", "mixtures", text)
    missed = list(_missed_targets(outcomes))
    if missed:
        sys.exit("; ".join(missed))


def outcome(ndim: int, i: int) -> Outcome:
    """Problem i on a line or in the plane."""
    p, grid = problem(ndim, i)
    result, seconds = _timed(p, grid, warm=i > 0)
    truth = true_minima(p, grid)
    listed = [m.q for m in result.minima]
    checked = [q for q in listed if any(same(q, other) for other in truth) or is_minimum(q, p, grid)]
    again = _by_scipy(p, grid, _seed(ndim, i, 2)) if ndim == 2 and i % SEARCHED_AGAIN == 0 else []
    others = [*checked, *(q for q in again if is_minimum(q, p, grid))]
    unknown = _without([q for q in others if counts_as_inside(q, grid)], truth)
    truth += unknown
    absent = _without(truth, listed)
    lowest = min((kl_divergence(q, p, grid) for q in truth), default=math.inf)
    first = bool(result.minima) and abs(result.minima[0].divergence - lowest) <= SAME_DIVERGENCE
    moments = _error_of_moments(fit(p, _family(p), grid, direction="forward"), p)
    false = [q for k, q in enumerate(listed) if q not in checked or any(same(q, other) for other in listed[:k])]
    complaints = _complaints(ndim, i, first, absent, false, unknown, result, p)
    return Outcome(
        ndim, len(p.components), first, len(truth), len(truth) - len(absent), len(false), len(unknown), moments,
        result.success, seconds, result.passes, tuple(complaints),
    )  # fmt: skip


def _family(p: Mixture) -> Any:
    return Normal if p.ndim == 1 else MultivariateNormal


def _timed(p: Mixture, grid: Grid, *, warm: bool) -> tuple[FitResult, float]:
    """A reverse fit and its time; the first one compiles."""
    for _ in range(1 if warm else 2):
        begin = time.perf_counter()
        result = fit(p, _family(p), grid, direction="reverse")
        seconds = time.perf_counter() - begin
    return result, seconds


def _complaints(
    ndim: int, i: int, first: bool, absent: list[Any], false: list[Any], unknown: list[Any], result: FitResult, p: Any
) -> Iterator[str]:
    where = f"{ndim}-D #{i}"
    if not first:
        yield f"{where}: the global minimum is not first"
    for word, densities in (("missing", absent), ("false", false), ("not in the truth", unknown)):
        for q in densities:
            yield f"{where}: {word}: {q!r} at {kl_divergence(q, p, result.grid):.9g}, lowest {result.divergence:.9g}"
    if not result.success:
        yield f"{where}: no success: {result.message}"


# ---- problems ----


def problem(ndim: int, i: int) -> tuple[Mixture, Grid]:
    """A mixture and a grid that holds and resolves it, always the same."""
    rng = _seed(ndim, i, 0)
    n = COMPONENTS[i % len(COMPONENTS)]
    spread = rng.uniform(0.5, SPREAD[ndim])
    places = rng.uniform(-spread, spread, (n, ndim))
    scales = 10.0 ** (SCALES[ndim] * rng.random() * rng.uniform(-1.0, 1.0, (n, ndim)))
    weights = rng.random(n) + 0.05
    parts = [_component(rng, *pair) for pair in zip(places, scales, strict=True)]
    margin = MARGIN[0] * scales.max() + MARGIN[1] * np.ptp(places, axis=0)
    lower, upper = places.min(axis=0) - margin, places.max(axis=0) + margin
    narrowest = min(np.linalg.svd(shape(part)[1], compute_uv=False)[-1] for part in parts)
    steps = np.maximum(STEPS[ndim], np.ceil(3.5 * (upper - lower) / narrowest)).astype(int)
    return Mixture(parts, weights / weights.sum()), Grid.uniform(lower, upper, steps + 1)


def _component(rng: np.random.Generator, place: Any, scales: Any) -> Any:
    if place.size == 1:
        return Normal(place[0], scales[0])
    off = rng.uniform(-0.7, 0.7) * scales.prod()
    return MultivariateNormal(place, [[scales[0] ** 2, off], [off, scales[1] ** 2]])


def _seed(ndim: int, i: int, use: int) -> np.random.Generator:
    return np.random.default_rng([SEED, ndim, i, use])


# ---- minima ----


def member(mean: Any, factor: Any) -> Any:
    """The Normal with this mean and the covariance L L'."""
    if mean.size == 1:
        return Normal(mean[0], factor[0, 0])
    return MultivariateNormal(mean, factor @ factor.T)


def shape(q: Any) -> tuple[Any, Any]:
    """Its mean and L."""
    return (np.array([q.loc]), np.array([[q.scale]])) if isinstance(q, Normal) else (q.mean, q.cholesky)


def near(q: Any, step: Any) -> Any:
    """The member m + L d, L exp(diagonal of N) + ... at a step (d, N), N lower triangular."""
    mean, factor = shape(q)
    D = mean.size
    change = np.zeros((D, D))
    change[np.tril_indices(D)] = step[D:]
    change[np.diag_indices(D)] = np.exp(np.diag(change))
    return member(mean + factor @ step[:D], factor @ change)


def is_minimum(q: Any, p: Mixture, grid: Grid) -> bool:
    """Whether the divergence is flat at q and bends up, by its finite differences."""
    D = p.ndim
    k = D + D * (D + 1) // 2
    unit = DIFFERENCE * np.eye(k)

    def at(step: Any) -> float:
        return kl_divergence(near(q, step), p, grid)

    middle = at(np.zeros(k))
    ring = np.array([[at(s * e) for s in (-2, -1, 1, 2)] for e in unit])
    gradient = ring @ [1.0, -8.0, 8.0, -1.0] / (12.0 * DIFFERENCE)
    hessian = np.diag((ring @ [-1.0, 16.0, 16.0, -1.0] - 30.0 * middle) / (12.0 * DIFFERENCE**2))
    for i, j in itertools.combinations(range(k), 2):
        crossed = sum(s * t * at(s * unit[i] + t * unit[j]) for s in (-1, 1) for t in (-1, 1))
        hessian[i, j] = hessian[j, i] = crossed / (4.0 * DIFFERENCE**2)
    bends_up = np.linalg.eigvalsh(hessian)[0] > 0.0
    return bool(bends_up and np.abs(np.linalg.solve(hessian, gradient)).max() < SAME_PLACE)


def counts_as_inside(q: Any, grid: Grid) -> bool:
    """Whether q is inside the grid and wider than its step."""
    mean, factor = shape(q)
    scale = np.sqrt((factor**2).sum(axis=1))
    narrowest = 1.0 / np.sqrt((np.linalg.inv(factor) ** 2).sum(axis=0))
    inside = (mean - INSIDE * scale > grid.lower) & (mean + INSIDE * scale < grid.upper)
    steps = [axis.step_near(x) for axis, x in zip(grid._parts, mean, strict=True)]
    return bool(inside.all() and (narrowest > steps).all())


def same(q: Any, other: Any) -> bool:
    """Whether both are one minimum."""
    mean, factor = shape(q)
    other_mean, other_factor = shape(other)
    whitening = np.linalg.inv(factor)
    ratio = whitening @ other_factor
    shift = np.abs(whitening @ (other_mean - mean)).max()
    return bool(max(shift, np.abs(ratio @ ratio.T - np.eye(mean.size)).max()) < SAME_PLACE)


def _without(densities: Iterable[Any], known: list[Any]) -> list[Any]:
    """Those that are not known, each once."""
    found: list[Any] = []
    for q in densities:
        if not any(same(q, other) for other in (*known, *found)):
            found.append(q)
    return found


def true_minima(p: Mixture, grid: Grid) -> list[Any]:
    """Every minimum that counts."""
    found = _on_line(p, grid) if p.ndim == 1 else _in_plane(p, grid)
    return [q for q in _without(found, []) if counts_as_inside(q, grid) and is_minimum(q, p, grid)]


# ---- on a line ----


class Line:
    """-log p on a line, with two derivatives."""

    def __init__(self, p: Any) -> None:
        self.log_weights = np.log(p.weights)[:, None]
        self.places = np.array([part.loc for part in p.components])[:, None]
        self.scales = np.array([part.scale for part in p.components])[:, None]

    def derivatives(self, x: Any) -> tuple[Any, Any]:
        """The first and the second."""
        z = (x - self.places) / self.scales
        logs = self.log_weights - np.log(self.scales) - 0.5 * z * z
        shares = np.exp(logs - logs.max(axis=0))
        shares /= shares.sum(axis=0)
        slopes = z / self.scales
        first = (shares * slopes).sum(axis=0)
        return first, (shares / self.scales**2).sum(axis=0) - (shares * (slopes - first) ** 2).sum(axis=0)


def _on_line(p: Mixture, grid: Grid) -> list[Any]:
    line = Line(p)
    x = grid._line.nodes_at(np.arange(grid.size))
    starts = _cells_with_both_signs(line)
    return [Normal(*state) for state in _newton(line, x, starts)]


def _cells_with_both_signs(line: Line) -> Any:
    """(place, log scale) of the cells of a surface where neither slope of the divergence keeps its sign."""
    smallest, largest = line.scales.min(), line.scales.max()
    lower, upper = line.places.min() - 2.0 * largest, line.places.max() + 2.0 * largest
    step = smallest / PLACES_IN_SCALE
    log_scales = np.arange(math.log(smallest) - 0.1, math.log(upper - lower), SCALE_RATIO)
    reach = SURFACE_REACH * math.exp(log_scales[-1])
    n = next_fast_len(math.ceil((upper - lower + 2.0 * reach) / step), real=True)
    x = lower - reach + step * np.arange(n)
    shown = (x >= lower) & (x <= upper)
    frequency = 2.0 * math.pi * rfftfreq(n, step)
    transforms = [rfft(derivative) for derivative in line.derivatives(x)]
    place_slope, scale_slope = [], []
    for log_scale in log_scales:
        variance = math.exp(2.0 * log_scale)
        first, second = (irfft(t * np.exp(-0.5 * variance * frequency**2), n)[shown] for t in transforms)
        place_slope.append(first)
        scale_slope.append(variance * second - 1.0)
    scales_at, places_at = np.nonzero(_changes(np.array(place_slope)) & _changes(np.array(scale_slope)))
    return np.column_stack([x[shown][places_at] + 0.5 * step, log_scales[scales_at] + 0.5 * SCALE_RATIO])


def _changes(table: Any) -> Any:
    """The cells whose corners differ in sign."""
    positive = table > 0.0
    corners = [positive[:-1, :-1], positive[1:, :-1], positive[:-1, 1:], positive[1:, 1:]]
    return np.any(corners, axis=0) & ~np.all(corners, axis=0)


def _newton(line: Line, x: Any, states: Any) -> Iterator[tuple[float, float]]:
    """(loc, scale) of the minima among the places of zero slope near these (place, log scale)."""
    first, second = line.derivatives(x)
    step = np.diff(x)[0]
    for _ in range(NEWTON_STEPS):
        scale = np.exp(states[:, 1:])
        z = (x - states[:, :1]) / scale
        q = np.exp(-0.5 * z * z) * (step / math.sqrt(2.0 * math.pi)) / scale
        s, zq = scale[:, 0], z * q
        across = s * (zq @ first)
        gradient = np.column_stack([s * (q @ first), across - 1.0])
        bend = s * s * (zq @ second)
        hessian = np.array([[s * s * (q @ second), bend], [bend, across + s * s * ((z * zq) @ second)]])
        hessian = hessian.transpose(2, 0, 1)
        move = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        move *= np.minimum(1.0, LONGEST_STEP / np.abs(move).max(axis=1, keepdims=True))
        states = states + move * np.column_stack([s, np.ones_like(s)])
    arrived = (np.abs(move).max(axis=1) < 1e-6) & (np.linalg.eigvalsh(hessian)[:, 0] > 0.0)
    for place, log_scale in states[arrived]:
        yield float(place), math.exp(log_scale)


# ---- in the plane ----


def _in_plane(p: Mixture, grid: Grid) -> list[Any]:
    whole = Reading(task_of(p, MultivariateNormal, grid, "reverse"))
    starts = [*_random_starts(p, _seed(2, len(p.components), 1), RANDOM_STARTS), *_moments_of_sets(p)]
    states = np.array([whole.task.chart.state(q) for q in starts])
    ends = descend(whole.objective, states, gtol=1e-9, max_passes=200)
    return [end.q for end in ends if end.outcome is point.Outcome.CONVERGED]


def _random_starts(p: Any, rng: np.random.Generator, n: int) -> Iterator[MultivariateNormal]:
    """Half of them at places drawn from p, half anywhere between its parts."""
    means = np.array([part.mean for part in p.components])
    own = np.array([np.sqrt(np.linalg.eigvalsh(part.cov)) for part in p.components])
    lower, upper = means.min(axis=0) - own.max(), means.max(axis=0) + own.max()
    ends = np.log([own.min(), 0.5 * np.linalg.norm(upper - lower)])
    for k in range(n):
        place = rng.uniform(lower, upper)
        if k % 2:
            part = p.components[rng.choice(len(means), p=p.weights)]
            place = part.mean + part.cholesky @ rng.normal(size=2)
        angle = rng.uniform(0.0, math.pi)
        axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        axes = axes * np.exp(rng.uniform(*ends, 2))
        yield MultivariateNormal(place, axes @ axes.T)


def _moments_of_sets(p: Any) -> Iterator[MultivariateNormal]:
    pairs = list(zip(p.components, p.weights, strict=True))
    for n in range(1, len(pairs) + 1):
        for chosen in itertools.combinations(pairs, n):
            parts, weights = zip(*chosen, strict=True)
            some = Mixture(parts, np.array(weights) / sum(weights))
            yield MultivariateNormal(some.mean, some.cov)


def _by_scipy(p: Mixture, grid: Grid, rng: np.random.Generator) -> list[Any]:
    """Minima by the values of `kl_divergence` alone."""
    found = []
    for start in _random_starts(p, rng, SCIPY_STARTS):
        q, step = start, np.ones(5)
        for _ in range(SCIPY_ROUNDS):
            if np.abs(step).max() < 0.1 * SAME_PLACE:
                break
            step = minimize(
                lambda step, q: kl_divergence(near(q, step), p, grid), np.zeros(5), args=(q,), method="L-BFGS-B",
                bounds=[(-0.5, 0.5)] * 5, options={"ftol": 1e-15, "gtol": 1e-8},
            ).x  # fmt: skip
            q = near(q, step)
            if not counts_as_inside(q, grid):
                break
        found.append(q)
    return [q for q in found if counts_as_inside(q, grid)]


# ---- forward ----


def _error_of_moments(result: FitResult, p: Any) -> float:
    """The largest difference from those of p, in units of its standard deviations or of the mean itself."""
    mean, cov = np.atleast_1d(p.mean), np.atleast_2d(p.cov)
    found_mean, factor = shape(result.q)
    std = np.sqrt(np.diag(cov))
    of_mean = np.abs(found_mean - mean) / np.maximum(std, np.abs(mean))
    of_cov = np.abs(factor @ factor.T - cov) / np.outer(std, std)
    return float(max(of_mean.max(), of_cov.max()))


# ---- table ----


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    yield (
        "| mixtures | problems | global minimum first | minima | found | false | forward moments, worst "
        "| successes | median time | median passes |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for ndim in sorted({o.ndim for o in outcomes}):
        own = [o for o in outcomes if o.ndim == ndim]
        for n in COMPONENTS:
            yield _row(f"{ndim}-D, {n} components", [o for o in own if o.components == n])
        yield _row(f"{ndim}-D", own)
    yield _row("all", outcomes)
    yield f"\nMinima that the fit or SciPy found and the exhaustive search did not: {sum(o.unknown for o in outcomes)}."


def _row(name: str, some: list[Outcome]) -> str:
    if not some:
        return f"| {name} | 0 | | | | | | | | |"
    n, true = len(some), sum(o.true for o in some)
    return (
        f"| {name} | {n} | {sum(o.first for o in some) / n:.1%} | {true} | {sum(o.present for o in some) / true:.2%} "
        f"| {sum(o.false for o in some)} | {max(o.moments for o in some):.0e} "
        f"| {sum(o.success for o in some) / n:.1%} | {np.median([o.seconds for o in some]) * 1e3:.1f} ms "
        f"| {np.median([o.passes for o in some]):.1f} |"
    )


def _missed_targets(outcomes: list[Outcome]) -> Iterator[str]:
    n, true = len(outcomes), sum(o.true for o in outcomes)
    first, present = sum(o.first for o in outcomes) / n, sum(o.present for o in outcomes) / true
    false, moments = sum(o.false for o in outcomes), max(o.moments for o in outcomes)
    if first < FIRST:
        yield f"the global minimum is first in {first:.2%}, less than {FIRST:.1%}"
    if present < PRESENT:
        yield f"{present:.2%} of all minima are found, less than {PRESENT:.0%}"
    if false:
        yield f"{false} false minima are listed"
    if moments > SAME_MOMENTS:
        yield f"moments of a forward fit are {moments:.1e} off, more than {SAME_MOMENTS:g}"


if __name__ == "__main__":
    main()
