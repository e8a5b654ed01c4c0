"""Approximate a real posterior by Normals, in both directions: ``python examples/posterior.py [--quick] [--write]``.

The posterior is that of a logistic regression with two parameters. The data are petal widths of Fisher's iris as
scikit-learn ships them (see examples/README.md): which of 100 flowers are virginica, and which versicolor? With
``--quick`` the grid is a coarse one; with ``--write`` the table goes into docs/posterior.md, and the picture beside it.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats
from sklearn.datasets import load_iris

import fastkl

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "posterior.png"

PRIOR_STD = 10.0
"""Of both parameters, whose prior is Normal around 0, independently."""

LOWER, UPPER = (-24.0, -2.5), (4.0, 15.5)
"""The box for (intercept, slope). `Comparison.edge` says how low the posterior is on its boundary."""

CHUNK = 100
"""Rows of the grid that are tabulated at a time, which bounds the memory for what comes up on the way."""

KINDS = {"full": "full", "diag": "mean field"}
DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Regression:
    """How many flowers there are of each width, and how many of them are virginica."""

    x: NDArray[np.float64]
    flowers: NDArray[np.float64]
    virginica: NDArray[np.float64]

    def log_density(self, intercept: ArrayLike, slope: ArrayLike) -> NDArray[np.float64]:
        """The logarithm of likelihood times prior, so that its integral is the evidence."""
        a, b = np.asarray(intercept), np.asarray(slope)
        total = -(a * a + b * b) / (2.0 * PRIOR_STD**2) - math.log(2.0 * math.pi * PRIOR_STD**2)
        for x, flowers, virginica in zip(self.x, self.flowers, self.virginica, strict=True):
            log_odds = a + b * x
            total = total + virginica * log_odds - flowers * np.logaddexp(0.0, log_odds)
        return total


@dataclass(frozen=True)
class Approximation:
    """A Normal in the place of the posterior p, and what it says about the evidence."""

    method: str
    covariance: str
    q: fastkl.MultivariateNormal
    forward: float
    reverse: float
    log_evidence: float
    elbo: float

    @property
    def name(self) -> str:
        return f"{self.method}, {self.covariance}"


@dataclass(frozen=True)
class Quadrature:
    """The same figures by `scipy.integrate.cubature`, which shares nothing with fastkl but the log-density."""

    mean: NDArray[np.float64]
    cov: NDArray[np.float64]
    log_evidence: float
    forward: NDArray[np.float64]
    reverse: NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """All that the example finds."""

    p: fastkl.Tabulated
    fits: dict[tuple[str, str], fastkl.FitResult]
    approximations: list[Approximation]
    quadrature: Quadrature
    edge: float
    """The largest log-density on the boundary of the grid, above that of the mode."""


def main(arguments: Sequence[str] | None = None) -> Comparison:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="400 points on each axis, not 2000")
    parser.add_argument("--write", action="store_true", help="write docs/posterior.md and docs/posterior.png")
    options = parser.parse_args(arguments)
    found = compare(400 if options.quick else 2000)
    text = f"{table(found)}\n\n{checks(found)}"
    print(text)
    if options.write:
        from bench.pages import write_part

        write_part("posterior.md", "posterior", text)
        draw(found, PICTURE)
    return found


def compare(n: int) -> Comparison:
    """Everything, on a grid of n points along each axis."""
    regression = iris()
    p = tabulate(regression, fastkl.Grid.uniform(LOWER, UPPER, [n, n]))
    fits = {
        (direction, kind): fastkl.fit(p, "multivariate_normal", direction=direction, covariance_type=kind)
        for kind in KINDS
        for direction in DIRECTIONS
    }
    approximations = [
        Approximation(
            direction,
            KINDS[kind],
            result.q,
            result.forward,
            result.reverse,
            result.log_normalizer,
            result.elbo,
        )
        for (direction, kind), result in fits.items()
    ]
    approximations.append(laplace(regression, p))
    quadrature = integrals(regression, [found.q for found in approximations])
    return Comparison(p, fits, approximations, quadrature, _edge(p.values))


def iris() -> Regression:
    """Petal widths in standard deviations of versicolor from its mean; flowers of the same width are one entry."""
    data = load_iris()
    versicolor, virginica = (data.target == list(data.target_names).index(name) for name in ("versicolor", "virginica"))
    widths = data.data[:, data.feature_names.index("petal width (cm)")]
    kept, place = np.unique(widths[versicolor | virginica], return_inverse=True)
    x = (kept - widths[versicolor].mean()) / widths[versicolor].std()
    is_virginica = virginica[versicolor | virginica].astype(float)
    return Regression(x, np.bincount(place).astype(float), np.bincount(place, weights=is_virginica))


def tabulate(regression: Regression, grid: fastkl.Grid) -> fastkl.Tabulated:
    """The posterior at the nodes of the grid, some rows at a time."""
    intercepts, slopes = grid.axes
    values = np.empty(grid.shape)
    for start in range(0, intercepts.size, CHUNK):
        rows = slice(start, start + CHUNK)
        values[rows] = regression.log_density(intercepts[rows, np.newaxis], slopes)
    return fastkl.Tabulated(grid, values, log=True)


def laplace(regression: Regression, p: fastkl.Tabulated) -> Approximation:
    """The Normal that has the mode of the posterior and its curvature there."""
    mode, precision = newton(regression)
    q = fastkl.MultivariateNormal(mode, np.linalg.inv(precision))
    forward = fastkl.kl_divergence(p, q)
    reverse = fastkl.kl_divergence(q, p)
    volume = math.log(2.0 * math.pi) - 0.5 * np.linalg.slogdet(precision).logabsdet
    log_evidence = float(regression.log_density(*mode) + volume)
    return Approximation("Laplace", "full", q, forward, reverse, log_evidence, p.log_normalizer - reverse)


def newton(regression: Regression, steps: int = 50) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mode and the negative Hessian there; the log-density is concave, and from 0 plain steps converge."""
    design = np.stack([np.ones_like(regression.x), regression.x], axis=1)
    mode = np.zeros(2)
    for _ in range(steps):
        probability = 1.0 / (1.0 + np.exp(-design @ mode))
        gradient = design.T @ (regression.virginica - regression.flowers * probability) - mode / PRIOR_STD**2
        weights = regression.flowers * probability * (1.0 - probability)
        precision = design.T @ (weights[:, np.newaxis] * design) + np.eye(2) / PRIOR_STD**2
        step = np.linalg.solve(precision, gradient)
        if np.abs(step).max() < 1e-13:
            return mode, precision
        mode = mode + step
    raise RuntimeError(f"the mode was not found in {steps} steps; the last one was {step}")


def integrals(regression: Regression, normals: Sequence[fastkl.MultivariateNormal]) -> Quadrature:
    """Evidence, moments and divergences by adaptive Gauss-Kronrod rules, all from one vector of integrands."""
    mode, _ = newton(regression)
    peak = regression.log_density(*mode)
    frozen = [stats.multivariate_normal(q.mean, q.cov) for q in normals]

    def integrands(points: NDArray[np.float64]) -> NDArray[np.float64]:
        log_p = regression.log_density(*points.T) - peak
        p = np.exp(log_p)
        a, b = (points - mode).T
        columns = [p, p * a, p * b, p * a * a, p * a * b, p * b * b]
        log_ratios = [log_p - q.logpdf(points) for q in frozen]
        columns += [p * log_ratio for log_ratio in log_ratios]
        columns += [-q.pdf(points) * log_ratio for q, log_ratio in zip(frozen, log_ratios, strict=True)]
        return np.stack(columns, axis=-1)

    found = integrate.cubature(integrands, LOWER, UPPER, rtol=1e-11, atol=1e-13)
    if found.status != "converged":
        raise RuntimeError(f"the check by cubature did not converge: {found.error.max():.2g}")
    mass = found.estimate[0]
    a, b, aa, ab, bb = found.estimate[1:6] / mass
    forward, reverse = found.estimate[6:].reshape(2, -1)
    return Quadrature(
        mean=mode + np.array([a, b]),
        cov=np.array([[aa - a * a, ab - a * b], [ab - a * b, bb - b * b]]),
        log_evidence=float(peak + math.log(mass)),
        forward=forward / mass - math.log(mass),
        reverse=reverse + math.log(mass),
    )


def table(found: Comparison) -> str:
    """Every figure of every approximation, and of the posterior by cubature."""
    exact, rows = found.quadrature, found.approximations
    moments = [figures(exact.mean, exact.cov), *(figures(row.q.mean, row.q.cov) for row in rows)]
    lines = {name: [column[name] for column in moments] for name in moments[0]}
    lines["KL(p‖q)"] = [0.0, *(row.forward for row in rows)]
    lines["KL(q‖p)"] = [0.0, *(row.reverse for row in rows)]
    lines["elbo"] = [exact.log_evidence, *(row.elbo for row in rows)]
    lines["log evidence"] = [exact.log_evidence, *(row.log_evidence for row in rows)]
    head = ["", "posterior, by cubature", *(row.name for row in rows)]
    body = [[name, *(f"{value:.5f}" for value in values)] for name, values in lines.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *body))


def figures(mean: NDArray[np.float64], cov: NDArray[np.float64]) -> dict[str, float]:
    """The rows of the table that a mean and a covariance give."""
    std = np.sqrt(np.diag(cov))
    return {
        "mean of the intercept": mean[0],
        "mean of the slope": mean[1],
        "std of the intercept": std[0],
        "std of the slope": std[1],
        "correlation": cov[0, 1] / (std[0] * std[1]),
    }


def checks(found: Comparison) -> str:
    """What makes the table believable, in sentences."""
    exact, rows, fits = found.quadrature, found.approximations, list(found.fits.values())
    moments_of_p = found.fits["forward", "full"].q
    moments = _digits(
        list(figures(moments_of_p.mean, moments_of_p.cov).values()), list(figures(exact.mean, exact.cov).values())
    )
    evidence = _digits(found.p.log_normalizer, exact.log_evidence)
    forward = _digits([row.forward for row in rows], exact.forward)
    reverse = _digits([row.reverse for row in rows], exact.reverse)
    points = " by ".join(map(str, found.p.grid.shape))
    done = sum(fit.success for fit in fits)
    error = max(fit.quadrature_error for fit in fits)
    edge = math.ceil(found.edge)
    outside = max(fit.mass_outside for fit in fits)
    return "\n".join(
        [
            f"On {points} points {done} of {len(fits)} fits are a success: the quadrature errors are at most",
            f"{error:.0e}, and at most {outside:.0e} of a q lies outside the grid, on whose boundary p is below",
            f"e^{edge} of its peak. fastkl and cubature agree in at least {moments} digits of the moments,",
            f"{evidence} of the log evidence, {forward} of KL(p‖q) and {reverse} of KL(q‖p).",
        ]
    )


def _digits(ours: ArrayLike, theirs: ArrayLike) -> int:
    """How many digits agree in every pair, 15 at most."""
    apart = np.max(np.abs(np.asarray(ours) / np.asarray(theirs) - 1.0))
    return int(-math.log10(max(apart, 1e-15)))


def _edge(values: NDArray[np.float64]) -> float:
    return float(max(values[[0, -1]].max(), values[:, [0, -1]].max()) - values.max())


def draw(found: Comparison, path: Path) -> None:
    """The posterior in grey, and each approximation on top: regions of the same probability."""
    from matplotlib.figure import Figure

    from fastkl.plotting import COLOR

    colors = {**COLOR, "Laplace": "#009E73"}
    titles = {
        "forward": "forward: min KL(p‖q)\nthe moments of p",
        "reverse": "reverse: min KL(q‖p)\nthe largest elbo",
        "Laplace": "Laplace\nthe mode of p and the curvature there",
    }
    figure = Figure(figsize=(12.0, 4.6), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, (method, title) in zip(panels, titles.items(), strict=True):
        _draw_posterior(ax, found.p)
        for row in found.approximations:
            if row.method == method:
                _draw_normal(ax, row, colors[method])
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("intercept")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=9, loc="upper right")
    panels[0].set(ylabel="slope", xlim=(-8.2, -0.8), ylim=(0.6, 5.7))
    figure.savefig(path, dpi=150)


def _draw_posterior(ax, p: fastkl.Tabulated) -> None:
    """Filled regions that hold as much of p as 1, 2 and 3 standard deviations hold of a Normal in the plane."""
    from fastkl.plotting import REGIONS

    thin = slice(None, None, max(1, p.grid.shape[0] // 400))
    intercepts, slopes = (axis[thin] for axis in p.grid.axes)
    density = np.exp(p.values[thin, thin] - p.values.max())
    falling = np.sort(density[density > 1e-9])[::-1]
    held = np.cumsum(falling) / falling.sum()
    levels = [float(falling[np.searchsorted(held, share)]) for share in reversed(REGIONS)]
    ax.contourf(intercepts, slopes, density.T, levels=[*levels, 1.001], colors=["0.91", "0.82", "0.73"])
    ax.fill_between([], [], color="0.82", label="p")


def _draw_normal(ax, row: Approximation, color: str) -> None:
    """The ellipses of 1, 2 and 3 standard deviations."""
    is_full = row.covariance == "full"
    line = {"color": color, "linestyle": "-" if is_full else "--", "linewidth": 1.5}
    mark = {"marker": "o", "markersize": 4} if is_full else {"marker": "o", "markersize": 9, "markerfacecolor": "none"}
    angle = np.linspace(0.0, 2.0 * math.pi, 361)
    circle = np.linalg.cholesky(row.q.cov) @ np.stack([np.cos(angle), np.sin(angle)])
    for radius in (1.0, 2.0, 3.0):
        ax.plot(*(row.q.mean[:, np.newaxis] + radius * circle), **line)
    ax.plot(*row.q.mean, linestyle="none", color=color, **mark)
    ax.plot([], [], label=f"q, {row.covariance}", **line, **mark)


if __name__ == "__main__":
    main()
