"""Whether the error estimate of a divergence on a grid covers its true error, for ``docs/errors.md``.

``python -m bench.coverage [N]`` solves N random problems and writes the table there; ``--quick`` solves a few,
writes nothing and fails where an estimate is too small.

The truth is the divergence over the whole space in extended precision, on nodes of its own: on a line, 24
Gauss-Legendre nodes in each half of a panel of `fastkl.grids.panels`; in the logarithm or the logit for densities on
(0, inf) and (0, 1), and in the plane, equal steps of a 16th of the smallest scale or less.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import mpmath
import numpy as np

from bench.pages import write_part
from fastkl import Beta, Gamma, Grid, Laplace, Logistic, LogNormal, Mixture, MultivariateNormal, Normal, StudentT
from fastkl.densities import Density
from fastkl.grids.panels import DivergentTailError, panels
from fastkl.integrals import kl_divergence

SEED = 20260301
QUICK = 60
ENOUGH = 0.999
LD = np.longdouble

FLOOR = 2.0 * 2.0**-52
"""Relative error of the truth: with more nodes it changes by 1e-16, the share of tails that its panels leave out."""

FAR = 45.0
"""Logarithm of what is left out of the truth, in the plane and in a logarithm or logit: e**-45 is 3e-20."""

GROUPS = {
    "1-D, automatic": 0.2,
    "1-D, trapezoid": 0.12,
    "1-D, simpson": 0.11,
    "1-D, midpoint": 0.11,
    "1-D, gauss-legendre": 0.11,
    "1-D, random nodes": 0.10,
    "other families, automatic": 0.15,
    "2-D, automatic": 0.03,
    "2-D, given": 0.07,
}
"""The share of the problems in each group; a grid of the plane takes longer."""


class Outcome(NamedTuple):
    """What became of one problem."""

    group: str
    value: float
    error: float
    truth: float
    true_error: float
    problem: str

    @property
    def floor(self) -> float:
        return FLOOR * self.truth

    @property
    def covered(self) -> bool:
        return self.true_error <= self.error + self.floor

    @property
    def ratio(self) -> float:
        return self.error / self.true_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=10_000, help="problems")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} problems; leave the page as it is")
    arguments = parser.parse_args()
    if np.finfo(LD).nmant < 63:
        sys.exit(f"the truth needs extended precision, and here a long double has {np.finfo(LD).nmant} bits")
    n = QUICK if arguments.quick else arguments.n
    outcomes = solve(n, processes=1 if arguments.quick else 2)
    text = "\n".join(_table(outcomes))
    print(text)
    misses = [o for o in outcomes if not o.covered]
    for o in misses:
        print(f"missed: {o.group}: {o.value!r} +- {o.error:.3g}, but {o.true_error:.3g} off: {o.problem}")
    if not arguments.quick:
        write_part("errors.md", "coverage", text)
    if len(misses) > (1.0 - ENOUGH) * n:
        sys.exit(f"the estimate is too small in {len(misses)} of {n} problems")


def solve(n: int, processes: int) -> list[Outcome]:
    """The outcomes of n problems, the same ones for the same n and seed."""
    counts = {group: max(round(share * n), 1) for group, share in GROUPS.items()}
    tasks = [(group, i) for group, count in counts.items() for i in range(count)]
    if processes == 1:
        return list(itertools.starmap(outcome, tasks))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(outcome, *zip(*tasks, strict=True), chunksize=32))


def outcome(group: str, i: int) -> Outcome:
    """Problem i of a group."""
    p, q, grid = problem(group, i)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = kl_divergence(p, q, grid, full_output=True)
    exact = truth(p, q)
    described = f"#{i}: KL({p!r} || {q!r}) on {grid!r}"
    return Outcome(group, result.value, result.error, float(exact), abs(float(LD(result.value) - exact)), described)


# ---- problems ----


def problem(group: str, i: int) -> tuple[Density, Density, Grid]:
    """Two densities and a grid, always the same."""
    rng = np.random.default_rng([SEED, list(GROUPS).index(group), i])
    draw = _families if group.startswith("other") else _normals if group.startswith("1-D") else _multivariate
    while True:
        p, q = draw(rng)
        try:
            if group.endswith("automatic"):
                return p, q, Grid.cover(p, q)
            panels(p, q) if p.ndim == 1 else None
        except (DivergentTailError, ValueError):  # an infinite divergence, or one that no grid resolves
            continue
        rule = group.split(", ")[1] if p.ndim == 1 else str(rng.choice(["trapezoid", "simpson", "gauss-legendre"]))
        return p, q, _given(rng, p, q, rule)


def _weights(rng: np.random.Generator, n: int) -> Any:
    weights = rng.random(n) + 0.05
    return weights / weights.sum()


def _mixed(rng: np.random.Generator, parts: list[Any]) -> Density:
    return parts[0] if len(parts) == 1 else Mixture(parts, _weights(rng, len(parts)))


def _near(rng: np.random.Generator) -> float:
    """How much q differs from p, where it hardly does."""
    return float(10.0 ** rng.uniform(-6, -1))


def _normals(rng: np.random.Generator) -> tuple[Density, Density]:
    spread = 10.0 ** rng.uniform(-0.5, 1.3)

    def parts(n: int) -> list[Normal]:
        scales = 10.0 ** rng.uniform(-0.5, 0.5, n)
        return [Normal(*pair) for pair in zip(rng.normal(0, spread, n), scales, strict=True)]

    own = parts(rng.integers(1, 6))
    p, kind = _mixed(rng, own), rng.random()
    if kind < 0.25:
        d = _near(rng)
        moved = [Normal(o.loc + d * o.scale * rng.normal(), o.scale * math.exp(d * rng.normal())) for o in own]
        return p, Mixture(moved, p.weights) if isinstance(p, Mixture) else moved[0]
    if kind < 0.6:
        return p, Normal(p.mean + p.std * rng.normal(), p.std * math.exp(0.5 * rng.normal()))
    return p, _mixed(rng, parts(rng.integers(1, 6)))


def _multivariate(rng: np.random.Generator) -> tuple[Density, Density]:
    spread = rng.uniform(0, 3)

    def part() -> MultivariateNormal:
        scales = 10.0 ** rng.uniform(-0.25, 0.25, 2)
        off = rng.uniform(-0.8, 0.8) * scales.prod()
        return MultivariateNormal(rng.normal(0, spread, 2), [[scales[0] ** 2, off], [off, scales[1] ** 2]])

    own = [part() for _ in range(rng.integers(1, 5))]
    p, kind = _mixed(rng, own), rng.random()
    if kind < 0.25:
        d = _near(rng)
        moved = [MultivariateNormal(o.mean + d * rng.normal(size=2), o.cov * math.exp(d * rng.normal())) for o in own]
        return p, Mixture(moved, p.weights) if isinstance(p, Mixture) else moved[0]
    if kind < 0.6:
        return p, MultivariateNormal(p.mean + rng.normal(size=2), p.cov * math.exp(0.5 * rng.normal()))
    return p, _mixed(rng, [part() for _ in range(rng.integers(1, 5))])


def _families(rng: np.random.Generator) -> tuple[Density, Density]:
    def on_line() -> Any:
        loc, scale = 3.0 * rng.normal(), 10.0 ** rng.uniform(-0.5, 0.5)
        return rng.choice([Normal, Laplace, Logistic, lambda *a: StudentT(rng.uniform(1, 30), *a)])(loc, scale)

    def above_zero() -> Any:
        scale = 10.0 ** rng.uniform(-0.5, 0.5)
        return Gamma(rng.uniform(0.7, 20), 0.0, scale) if rng.random() < 0.5 else LogNormal(rng.uniform(0.2, 1), scale)

    def in_unit() -> Any:
        return Beta(*rng.uniform(0.7, 20, 2))

    part = (on_line, above_zero, in_unit)[rng.integers(3)]
    p, q = (_mixed(rng, [part() for _ in range(rng.integers(1, 4))]) for _ in "pq")
    if rng.random() < 0.2 and isinstance(p, Mixture):
        weights = np.array(p.weights) * np.exp(_near(rng) * rng.normal(size=len(p.weights)))
        q = Mixture(p.components, weights / weights.sum())
    return p, q


def _given(rng: np.random.Generator, p: Density, q: Density, rule: str) -> Grid:
    """A grid that cuts tails off at 2 to 10 scales, with 1 to 16 steps in the smallest scale."""
    bumps = [*p._bumps(), *q._bumps()]
    fineness = 16.0 ** rng.random() if p.ndim == 1 else 8.0 ** rng.random()
    lines = []
    for d in range(p.ndim):
        low, high = rng.uniform(2, 10, 2)
        lower = min(float(b.place[d] - low * b.reach[d]) for b in bumps)
        upper = max(float(b.place[d] + high * b.reach[d]) for b in bumps)
        n = max(math.ceil(fineness * (upper - lower) / min(float(b.scale[d]) for b in bumps)), 9)
        lines.append((lower, upper, n))
    lower, upper, n = (list(column) for column in zip(*lines, strict=True))
    if rule == "trapezoid":
        return Grid.uniform(lower, upper, n)
    if rule == "gauss-legendre":
        return Grid.gauss_legendre(lower, upper, [min(count, 250) for count in n])
    if rule == "random nodes":
        return Grid.from_axes(_jittered(rng, *lines[0]))
    even = rng.random() < 0.5
    nodes = [np.linspace(*line) if even else _jittered(rng, *line) for line in lines]
    if rule == "midpoint":
        return Grid.from_edges(*nodes)
    odd = [line if line.size % 2 else np.append(line, 2.0 * line[-1] - line[-2]) for line in nodes]
    return Grid.from_axes(*odd, rule="simpson")


def _jittered(rng: np.random.Generator, lower: float, upper: float, n: int) -> Any:
    gaps = rng.uniform(0.5, 1.5, n - 1)
    return lower + (upper - lower) * np.concatenate([[0.0], np.cumsum(gaps) / gaps.sum()])


# ---- truth ----


def truth(p: Density, q: Density) -> Any:
    """The divergence over the whole space, in extended precision."""
    total = LD(0.0)
    for log_p, log_q, weights in _logs(p, q):
        d = log_p - log_q
        density = np.exp(log_p)
        near = np.abs(d) < 1.0
        d_near = np.where(near, d, LD(0.0))
        term = np.where(near, density * (d_near + np.expm1(-d_near)), density * d - density + np.exp(log_q))
        total += (weights * term).sum()
    return total / math.fsum(getattr(p, "weights", (1.0,)))


def _logs(p: Density, q: Density) -> Iterator[tuple[Any, Any, Any]]:
    """Log-densities at nodes, and the weights of these."""
    if p.ndim == 2:
        yield _plane(p, q)
        return
    if p.support == (-math.inf, math.inf):
        found = panels(p, q, rtol=1e-12)
        edges = found.edges.astype(LD)
        edges = np.sort(np.append(edges, 0.5 * (edges[1:] + edges[:-1])))
        shares, unit = _legendre(24)
        width = np.diff(edges)[:, None]
        weighted = width * unit
        weighted[:2] *= found.tails[0]  # the halves of the panels that stand for the tails
        weighted[-2:] *= found.tails[1]
        t, weights = (edges[:-1, None] + width * shares).ravel(), weighted.ravel()
    else:
        smallest, centres = zip(*(_logarithmic(part) for d in (p, q) for part in _parts(d)), strict=True)
        h = LD(min(smallest)) / 20
        reach = FAR / 0.7 + max(map(abs, centres))  # exp(a t), a >= 0.7
        t = h * np.arange(-math.ceil(reach / float(h)), math.ceil(reach / float(h)) + 1)
        weights = np.full(t.size, h)
    yield log_density(p, t), log_density(q, t), weights


def _parts(density: Density) -> tuple[Any, ...]:
    return density.components if isinstance(density, Mixture) else (density,)


def _logarithmic(part: Any) -> tuple[float, float]:
    """Width and centre in the logarithm of x, or in its logit."""
    if isinstance(part, LogNormal):
        return part.s, math.log(part.scale)
    if isinstance(part, Gamma):
        return min(part.a**-0.5, 1.0), math.log(part.a * part.scale)
    return min((1.0 / part.a + 1.0 / part.b) ** 0.5, 1.0), math.log(part.a / part.b)


def log_density(density: Any, t: Any) -> Any:
    """The log-density of x, t = x on the line; of log x above 0 and of logit x in (0, 1), as densities of t."""
    if isinstance(density, Mixture):
        parts = zip(density.weights, density.components, strict=True)
        return np.logaddexp.reduce([np.log(LD(w)) + log_density(part, t) for w, part in parts])
    if isinstance(density, LogNormal):
        return _log_normal(t - np.log(LD(density.scale)), density.s)
    if isinstance(density, Gamma):
        log_x = t - np.log(LD(density.scale))
        return density.a * log_x - np.exp(np.minimum(log_x, 11000)) - _extended(mpmath.loggamma(density.a))
    if isinstance(density, Beta):
        far = np.minimum(np.abs(t), 11000)
        log_x, log_rest = np.minimum(t, 0) - np.log1p(np.exp(-far)), np.minimum(-t, 0) - np.log1p(np.exp(-far))
        return density.a * log_x + density.b * log_rest - _extended(mpmath.log(mpmath.beta(density.a, density.b)))
    if isinstance(density, Normal):
        return _log_normal(t - LD(density.loc), density.scale)
    scale = LD(density.scale)
    z = np.abs((t - LD(density.loc)) / scale)
    if isinstance(density, Laplace):
        return -z - np.log(2 * scale)
    if isinstance(density, Logistic):
        return -z - 2 * np.log1p(np.exp(-z)) - np.log(scale)
    df = LD(density.df)
    half = mpmath.mpf(density.df) / 2
    constant = mpmath.loggamma(half + 0.5) - mpmath.loggamma(half) - mpmath.log(mpmath.pi * 2 * half) / 2
    return _extended(constant) - np.log(scale) - (df + 1) / 2 * np.log1p(z * z / df)


def _log_normal(distance: Any, scale: float) -> Any:
    z = distance / LD(scale)
    return -0.5 * z * z - np.log(LD(scale)) - 0.5 * _extended(mpmath.log(2 * mpmath.pi))


def _extended(number: Any) -> Any:
    return LD(mpmath.nstr(number, 25))


def _plane(p: Any, q: Any) -> tuple[Any, Any, Any]:
    """At the points of a uniform grid where p or q is not negligible."""
    bumps = [*p._bumps(), *q._bumps()]
    reach = math.sqrt(2.0 * FAR)
    steps = [min(float(b.scale[d]) for b in bumps) / 16 for d in range(2)]
    lower = [min(float(b.place[d] - reach * b.reach[d]) for b in bumps) for d in range(2)]
    upper = [max(float(b.place[d] + reach * b.reach[d]) for b in bumps) for d in range(2)]
    axes = [
        LD(low) + LD(step) * np.arange(math.ceil((high - low) / step))
        for low, high, step in zip(lower, upper, steps, strict=True)
    ]
    rough = [axis.astype(float) for axis in axes]
    i, j = np.nonzero(
        np.any([_log_normal_2d(part, rough[0][:, None], rough[1]) > -FAR for d in (p, q) for part in _parts(d)], axis=0)
    )
    x, y = axes[0][i], axes[1][j]
    log_p, log_q = (
        np.logaddexp.reduce(
            [
                np.log(LD(w)) + _log_normal_2d(part, x, y)
                for w, part in zip(getattr(d, "weights", (1.0,)), _parts(d), strict=True)
            ]
        )
        for d in (p, q)
    )
    return log_p, log_q, LD(steps[0]) * LD(steps[1])


def _log_normal_2d(part: MultivariateNormal, x: Any, y: Any) -> Any:
    cov = part.cov.astype(x.dtype)
    first = np.sqrt(cov[0, 0])
    slope = cov[1, 0] / first
    second = np.sqrt(cov[1, 1] - slope * slope)
    u = (x - part.mean[0].astype(x.dtype)) / first
    v = (y - part.mean[1].astype(x.dtype) - slope * u) / second
    constant = _extended(mpmath.log(2 * mpmath.pi)).astype(x.dtype) + np.log(first) + np.log(second)
    return -0.5 * (u * u + v * v) - constant


def _legendre(order: int) -> tuple[Any, Any]:
    """Nodes and weights on [0, 1], by a step of Newton's method from those in double precision."""
    x = np.polynomial.legendre.leggauss(order)[0].astype(LD)
    for _ in range(2):
        before, now = np.ones(order, LD), x
        for k in range(2, order + 1):
            before, now = now, ((2 * k - 1) * x * now - (k - 1) * before) / k
        slope = order * (before - x * now) / (1 - x * x)
        x = x - now / slope
    return 0.5 + 0.5 * x, 1 / ((1 - x * x) * slope**2)


# ---- table ----


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        groups[o.group].append(o)
    groups["all"] = outcomes
    yield "| grid | problems | too coarse | covered | median estimate/error | 90th percentile | worst error/estimate |"
    yield "|---|---|---|---|---|---|---|"
    for group, members in groups.items():
        known = [o for o in members if math.isfinite(o.error)]
        covered = sum(o.covered for o in known) / len(known)
        ratios = np.array([o.ratio for o in known if o.true_error > o.floor])
        numbers = np.quantile(ratios, [0.5, 0.9]) if ratios.size else [math.nan] * 2
        worst = max((o.true_error - o.floor) / o.error if o.error else math.inf * o.true_error for o in known)
        yield (
            f"| {group} | {len(members)} | {1 - len(known) / len(members):.1%} | {covered:.2%} | {numbers[0]:.2g} | "
            f"{numbers[1]:.2g} | {worst:.2g} |"
        )


if __name__ == "__main__":
    main()
