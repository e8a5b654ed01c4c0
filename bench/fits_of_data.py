"""How often the fit of real data that is right says so, and one that is wrong does not, for ``docs/fits.md``.

``python -m bench.fits_of_data`` fits every family in both directions to columns of scikit-learn's sets, given as
histograms, as kernel estimates on 101 to 3001 nodes, and as such tables with noise, and writes the table there;
``--quick`` takes a few of them and writes nothing. Either fails where a target is missed.

A fit counts as right if no run of a search by SciPy ends lower: Nelder and Mead's method on the same sum, written down
again here, from random starts. Of the wrong ones each is planted: a q narrower than a step, a run cut short, starts
that hide the best minimum, a q of which more than a tenth lies outside.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from bench.pages import write_part
from fastkl import FitResult, Grid, Histogram, Tabulated, fit, kl_objective
from fastkl.densities.cells import log_masses
from fastkl.families import FAMILIES
from fastkl.fitting.landscape import Landscape

SEED = 20261128
STARTS, QUICK_STARTS = 50, 12
TARGET = 0.95
"""Share of the right fits that have to be a success."""
SAME = 1e-6
"""Difference of two divergences, relative and in thousandths of a nat, that is none: the simplex stops there."""
STEPS_OF_SIMPLEX = 400
LARGEST_DF, LOWEST_C, LARGEST_LOG = 1e4, -0.5, 12.0
"""Limits of the families, beyond which there is no best member; the last one is for logarithms of parameters."""
MOST_OUTSIDE = 0.1
"""Mass outside that refuses a reverse fit by default."""

BINS, NODES, NOISE = (10, 30, 100, 300), (101, 301, 1001, 3001), (0.01, 0.05)


class Case(NamedTuple):
    """A p, and the family and the direction of its fit."""

    kind: str
    column: str
    p: Tabulated
    family: str
    direction: str


class Verdict(NamedTuple):
    """One fit: whether the search confirms it, and what it says of itself."""

    case: Case
    confirmed: bool
    bounded: bool
    """Whether the best q that the search found is within the family, and not too far outside the data."""
    success: bool
    message: str
    lower: float
    """Difference by which the search came lower."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few fits; leave the page as it is")
    parser.add_argument("--show", action="store_true", help="print every fit that is not as it should be")
    arguments = parser.parse_args()
    starts = QUICK_STARTS if arguments.quick else STARTS
    verdicts = []
    for case in cases(arguments.quick):
        v = verdict(case, starts)
        verdicts.append(v)
        if arguments.show and ((v.bounded and not v.confirmed) or (v.bounded and v.confirmed and not v.success)):
            print(
                case.kind, case.column, case.family, case.direction, f"{v.lower:.2g}", v.message, sep=" | ", flush=True
            )
    planted = list(plant())
    text = "\n".join(_table(verdicts, planted))
    print(text)
    if not arguments.quick:
        write_part("fits.md", "data", text)
    complaints = list(_missed(verdicts, planted))
    if complaints:
        sys.exit("; ".join(complaints))


def columns(quick: bool) -> dict[str, Any]:
    """Columns of positive numbers."""
    wine, iris = load_wine(), load_iris()
    cancer, diabetes = load_breast_cancer(), load_diabetes(scaled=False)
    found = {
        "malic acid": wine.data[:, 1],
        "mean area": cancer.data[:, 3],
        "petal length": iris.data[:, 2],
        "blood pressure": diabetes.data[:, 3],
        "proline": wine.data[:, 12],
        "area error": cancer.data[:, 13],
        "flavanoids": wine.data[:, 6],
        "serum": diabetes.data[:, 9],
    }
    return dict(list(found.items())[:2]) if quick else found


def cases(quick: bool) -> Iterator[Case]:
    """Every column in every form, for every family, in both directions."""
    for column, x in columns(quick).items():
        for family, kind in FAMILIES.items():
            lower, upper = kind._common_support
            data = x / (1.1 * x.max()) if upper == 1.0 else x
            for name, p in forms(data, lower, upper, quick):
                for direction in ("forward", "reverse"):
                    smooth = isinstance(p, Histogram) and direction == "reverse"
                    own = Tabulated.from_histogram(p.counts, p.edges, pseudocount=0.5) if smooth else p
                    yield Case(name, column, own, family, direction)


def forms(x: Any, lower: float, upper: float, quick: bool) -> Iterator[tuple[str, Any]]:
    for bins in BINS[1:2] if quick else BINS:
        yield f"histogram, {bins} bins", Tabulated.from_histogram(*np.histogram(x, bins))
    lower, upper = max(x.min() - 3 * x.std(), lower), min(x.max() + 3 * x.std(), upper)
    for n in NODES[1:2] if quick else NODES:
        yield f"kernel estimate, {n} nodes", estimate(x, lower, upper, n)
    smooth, rng = estimate(x, lower, upper, 301), np.random.default_rng(SEED)
    for noise in NOISE[:1] if quick else NOISE:
        logs = smooth.values + noise * rng.standard_normal(301)
        yield f"with {noise:.0%} noise, 301 nodes", Tabulated(smooth.grid, logs, log=True)


def estimate(x: Any, lower: float, upper: float, n: int) -> Tabulated:
    """A sum of Normals around the observations, in cells between two ends."""
    grid = Grid.from_edges(np.linspace(lower, upper, n + 1))
    width = max(x.std() * x.size**-0.2, 1.5 * (upper - lower) / n)
    z = (grid.axes[0][:, np.newaxis] - x) / width
    return Tabulated(grid, np.logaddexp.reduce(-0.5 * z * z, axis=1), log=True)


def verdict(case: Case, starts: int) -> Verdict:
    result = fit(case.p, case.family, direction=case.direction)  # type: ignore[arg-type]
    lowest, bounded = search(case, starts)
    lower = result.divergence - lowest
    outside = case.direction == "reverse" and result.mass_outside > MOST_OUTSIDE
    confirmed = lower <= SAME * (lowest + 1e-3)
    return Verdict(case, confirmed, bounded and not outside, result.success, result.message, lower)


def search(case: Case, starts: int) -> tuple[float, bool]:
    """The lowest sum that runs from random starts end at, and whether it is a minimum within the family."""
    p, kind = case.p, FAMILIES[case.family]
    objective = kl_objective(p, kind, direction=case.direction)  # for the order of its parameters alone
    line = p.grid._line
    value = _of_cells(p, case.direction) if isinstance(p, Histogram) else _of_nodes(p, case.direction)
    step = 0.1 * np.diff(line.edges).min() if isinstance(p, Histogram) else np.diff(line.all_nodes).min()
    on_line = math.isinf(kind._common_support[0])

    def loss(theta: Any) -> float:
        try:
            q = objective.density(theta)
            narrow = on_line and q._place_and_scale()[1] < step
            if narrow or (case.direction == "reverse" and q.mass_outside(p.grid) > 0.5):
                return math.inf
            found = value(q)
        except (ValueError, OverflowError):
            return math.inf
        return found if math.isfinite(found) else math.inf

    rng = np.random.default_rng(SEED)
    ends = []
    with np.errstate(all="ignore"):
        for _ in range(starts):
            mean = p.mean + rng.uniform(-1.5, 1.5) * p.std
            parameters = kind._of_moments(mean, (p.std * 10 ** rng.uniform(-1.0, 0.3)) ** 2)
            if parameters is not None:
                start = objective.theta(kind(**parameters))
                ends.append(minimize(loss, start, method="Nelder-Mead", options={"maxfev": STEPS_OF_SIMPLEX}))
        best = min(ends, key=lambda end: end.fun)
        options = {"maxfev": 3000, "fatol": 1e-13, "xatol": 1e-9}
        end = minimize(loss, best.x, method="Nelder-Mead", options=options)
    if not math.isfinite(end.fun):
        return math.inf, False
    q = objective.density(end.x)
    at_limit = getattr(q, "df", 1.0) > LARGEST_DF / 10 or getattr(q, "c", 1.0) < LOWEST_C + 0.01
    escaping = case.direction == "reverse" and q.mass_outside(p.grid) > 0.49
    narrow = on_line and q._place_and_scale()[1] < 1.1 * step
    at_limit |= q.support[1] < line.upper * 1.01 and kind._common_support[1] != 1.0  # p has no more above
    extreme = any(abs(math.log(getattr(q, name))) > LARGEST_LOG for name, positive in kind._fields if positive)
    return float(end.fun), not (at_limit or escaping or narrow or extreme)


def _of_cells(p: Histogram, direction: str) -> Callable[[Any], float]:
    filled = p.probabilities > 0
    P = p.probabilities[filled]

    def value(q: Any) -> float:
        logs = log_masses(q, p.edges)[filled]
        if direction == "forward":
            return float(P @ (np.log(P) - logs))
        logs = logs - np.logaddexp.reduce(logs)
        return float(np.exp(logs) @ np.where(logs > -np.inf, logs - np.log(P), 0.0))

    return value


def _of_nodes(p: Tabulated, direction: str) -> Callable[[Any], float]:
    nodes, weights = p.grid.axes[0], p.grid.weights[0]
    log_p = p.values - p.log_normalizer
    share = weights * np.exp(log_p)

    def value(q: Any) -> float:
        log_q = q.logpdf(nodes)
        mass = np.log(weights) + log_q
        total = np.logaddexp.reduce(mass)
        if direction == "forward":
            return float(share @ (log_p - log_q)) + max(float(total), 0.0)
        u = np.exp(mass - total)
        return float(u @ np.where(u > 0, log_q - total - log_p, 0.0))

    return value


class Planted(NamedTuple):
    """A fit with a fault, and the divergence that a right answer has; inf if there is none."""

    fault: str
    result: FitResult
    right: float

    @property
    def is_right(self) -> bool:
        """Whether the fit has come to the right answer in spite of the fault."""
        return self.result.divergence <= self.right * (1.0 + SAME) and math.isfinite(self.right)


def plant() -> Iterator[Planted]:
    """Fits with a planted fault."""
    x = load_wine().data[:, 1]
    smooth = estimate(x, 0.0, 8.0, 301)
    nodes = smooth.grid.axes[0]
    for at in (60, 150, 250):
        spike = smooth.values - 40.0
        spike[at], spike[at + 1] = 0.0, -8.0
        p = Tabulated(smooth.grid, spike, log=True)
        for direction in ("forward", "reverse"):
            for family in ("normal", "laplace", "logistic"):
                found = fit(p, family, direction=direction)  # type: ignore[arg-type]
                yield Planted("a q narrower than a step", found, math.inf)
    counts = Tabulated.from_histogram(*np.histogram(x, 40))
    for family in ("normal", "student_t", "logistic", "weibull", "generalized_pareto"):
        for p, direction in ((counts, "forward"), (smooth, "reverse")):
            whole = fit(p, family, direction=direction)  # type: ignore[arg-type]
            for passes in (1, 2, 3):
                cut = fit(p, family, direction=direction, max_passes=passes)  # type: ignore[arg-type]
                yield Planted("too few passes", cut, whole.divergence)
    near, far = (np.exp(-0.5 * ((nodes - place) / 0.3) ** 2) for place in (2.0, 6.0))
    p = Tabulated(smooth.grid, near + math.e * far + 1e-300)
    poor = [(np.array([2.0]), np.array([[0.09]]))]
    for family in ("normal", "laplace", "logistic", "student_t"):
        whole = fit(p, family, direction="reverse")
        with mock.patch.object(Landscape, "starts", lambda self: iter(poor)):  # noqa: PT008
            yield Planted(
                "the best minimum hidden from the starts", fit(p, family, direction="reverse"), whole.divergence
            )
    for slope in (0.1, 0.3, 0.6):
        for family in ("normal", "laplace", "logistic"):
            p = Tabulated(smooth.grid, -slope * nodes, log=True)
            yield Planted("more than a tenth outside", fit(p, family, direction="reverse"), math.inf)


def _table(verdicts: list[Verdict], planted: list[Planted]) -> Iterator[str]:
    yield "| p | fits | right, as the search confirms | a success of these | the search came lower |"
    yield "|---|---|---|---|---|"
    kinds = list(dict.fromkeys(v.case.kind for v in verdicts))
    for kind in [*kinds, ""]:
        own = [v for v in verdicts if kind in (v.case.kind, "")]
        right = [v for v in own if v.confirmed and v.bounded]
        lower = sum(v.bounded and not v.confirmed for v in own)
        share = sum(v.success for v in right) / max(len(right), 1)
        yield f"| {kind or 'all'} | {len(own)} | {len(right)} | {share:.1%} | {lower} |"
    yield ""
    yield "| planted fault | fits | right in spite of it | wrong, and called a success |"
    yield "|---|---|---|---|"
    for fault in dict.fromkeys(one.fault for one in planted):
        those = [one for one in planted if one.fault == fault]
        wrong = sum(one.result.success and not one.is_right for one in those)
        yield f"| {fault} | {len(those)} | {sum(one.is_right for one in those)} | {wrong} |"


def _missed(verdicts: list[Verdict], planted: list[Planted]) -> Iterator[str]:
    right = [v for v in verdicts if v.confirmed and v.bounded]
    share = sum(v.success for v in right) / max(len(right), 1)
    if share < TARGET:
        yield f"{share:.1%} of the right fits are a success, asked {TARGET:.0%}"
    wrong = [one.fault for one in planted if one.result.success and not one.is_right]
    if wrong:
        yield f"{len(wrong)} planted faults are a success: {', '.join(wrong)}"


if __name__ == "__main__":
    main()
