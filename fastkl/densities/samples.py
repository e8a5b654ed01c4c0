"""Kernel density estimates: observations, binned linearly onto a fine lattice, each bin smoothed into a Normal.

On a support with an end the estimate is made in a coordinate that runs over the whole line: log(x - a) above an end a,
-log(b - x) below an end b, the difference of both logarithms between two ends. So no mass lies beyond an end, the
estimate is finite there and keeps its tail as a logarithm, and its bandwidth follows the size of x, as the spread of
positive quantities does.

On more axes the Normals have the covariance H = L L'. With z = L^-1 x they are round, and since L is lower triangular
the nodes on one axis of the grid share their entry of z for each choice of nodes on the axes before: the sum over all
bins is taken along one entry of z after the other, in logarithms.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkl.densities.tabulated import Tabulated
from fastkl.grids import Grid, as_grid
from fastkl.grids.axis import MIN_POINTS, Axis
from fastkl.kernels.density import log_density
from fastkl.kernels.normal_mixture import evaluation_of_normals
from fastkl.kernels.records import NormalComponent
from fastkl.validation import Floats, as_line, as_real, as_reals

FEWEST_POINTS = {1: 2049, 2: 257, 3: 65}
"""Smallest number of points of an axis of the default grid, by the number of axes."""
MOST_POINTS = {1: 2**16, 2: 2**24, 3: 2**25}
"""Largest number of points of the whole default grid, by the number of axes."""
STEPS_IN_BANDWIDTH, NODES_IN_BANDWIDTH = 1.25, 1.6
"""Steps of the default grid in the bandwidth along an axis, and on Gauss-Legendre panels, whose nodes are up to 1.53
times as far apart as they are on average."""
REACH = {1: 8.0, 2: 6.0, 3: 6.0}
"""Reach of the default grid: bandwidths beyond the observations, and standard deviations from the mean."""
LOGARITHMIC_REACH = 2
"""Factor of the reach and of the number of points in a logarithm, where a q may fall off as a power of the distance."""
ORDER = 16
"""Number of Gauss-Legendre nodes in a panel of the default grid on a support with an end."""
NEAREST = 1e-13
"""Distance from an end of the support, relative to the end, below which doubles resolve it too coarsely."""
FARTHEST = 1e300
"""Largest distance from an end of the support that the default grid reaches, and the inverse of the smallest."""

BINS_IN_BANDWIDTH = {1: 64, 2: 16, 3: 4}
"""Steps of the lattice of bins in a bandwidth, by the number of axes."""

FLAT = 1e-12
"""Eigenvalue of the correlations below which the observations do not vary in some direction, up to rounding."""
UNRESOLVED = 0.01
"""Largest share of the observations that may lie between nodes farther apart than a bandwidth."""

RULES = ("scott", "silverman")
"""Rules for the bandwidth, as in `scipy.stats.gaussian_kde`."""

LINE = (-math.inf, math.inf)
Support = tuple[float, float]


class Coordinate:
    """A coordinate y that runs over the whole line while x runs over a support: x itself, or a logarithm."""

    def __init__(self, lower: float, upper: float) -> None:
        if not lower < upper:
            raise ValueError(f"a support needs lower < upper, got ({lower:g}, {upper:g})")
        self.support, self.lower, self.upper = (lower, upper), lower, upper
        self.is_plain = self.support == LINE
        nearest = [max(NEAREST * abs(end), 1.0 / FARTHEST) if math.isfinite(end) else math.inf for end in self.support]
        self.first = lower + nearest[0] if math.isfinite(lower) else upper - FARTHEST
        """The first x that doubles tell from the lower end; `last` is its counterpart."""
        self.last = upper - nearest[1] if math.isfinite(upper) else lower + FARTHEST

    @property
    def name(self) -> str:
        """The coordinate as a formula."""
        if self.is_plain:
            return "x"
        below = "" if math.isinf(self.lower) else "log(x)" if self.lower == 0.0 else f"log(x - {self.lower:g})"
        above = "" if math.isinf(self.upper) else f"-log({self.upper:g} - x)"
        return below + above

    def inside(self, x: Floats) -> NDArray[np.bool_]:
        """Whether points lie between the ends, as far as doubles can tell."""
        return np.asarray(np.isfinite(x) if self.is_plain else (x >= self.first) & (x <= self.last))

    def y(self, x: Floats) -> Floats:
        """The coordinates of points inside."""
        return x if self.is_plain else self._log(x - self.lower) - self._log(self.upper - x)

    def x(self, y: Floats) -> Floats:
        """The points with these coordinates."""
        if self.is_plain:
            return y
        if math.isinf(self.upper):
            return self.lower + np.exp(y)
        if math.isinf(self.lower):
            return self.upper - np.exp(-y)
        from scipy.special import expit

        width = self.upper - self.lower
        return np.asarray(np.where(y < 0.0, self.lower + width * expit(y), self.upper - width * expit(-y)))

    def log_slope(self, x: Floats) -> Floats:
        """Logarithm of dy/dx."""
        if self.is_plain:
            return np.zeros_like(x)
        width = np.array(self.upper - self.lower)
        return np.asarray(self._log(width) - self._log(x - self.lower) - self._log(self.upper - x))

    def axis(self, lower: float, upper: float, n: int) -> Axis:
        """An axis of about n nodes between two coordinates: equally spaced, or on panels of equal width in y."""
        if self.is_plain:
            return Axis.uniform(lower, upper, n)
        ends = self.y(np.array([self.first, self.last]))
        y = np.linspace(max(lower, ends[0]), min(upper, ends[1]), math.ceil(n / ORDER) + 1)
        return Axis.gauss_legendre(self.x(y), ORDER)

    @staticmethod
    def _log(distance: Floats) -> Floats:
        """The logarithm of the distance from an end, 0 if that is infinite."""
        return np.zeros_like(distance) if np.isinf(distance).all() else np.log(distance)


class Sample(NamedTuple):
    """Observations, and how their density is estimated."""

    x: Floats
    """Shape (n, ndim)."""
    shares: Floats
    """The share of each observation; their sum is 1."""
    bandwidth: str | float
    coordinates: tuple[Coordinate, ...]

    @property
    def supports(self) -> list[Support]:
        return [coordinate.support for coordinate in self.coordinates]


class Estimate(Tabulated):
    """The kernel density estimate of a sample on a grid, which can be made again on another support."""

    def __init__(self, sample: Sample, grid: Grid | None) -> None:
        self.sample, self.chosen = sample, grid is None
        smoother = _Smoother(sample)
        grid = smoother.default_grid() if grid is None else grid
        super().__init__(grid, smoother.log_density(grid), log=True)

    @property
    def support(self) -> Support:
        return self.sample.supports[0] if self.ndim == 1 else LINE

    def on(self, support: Support) -> Estimate:
        """The estimate on the part of its support that lies in *support*, in one dimension.

        It is this one if that is all of it, or if its grid was given. A bandwidth that is a number keeps its ratio to
        the standard deviation.
        """
        within = max(self.support[0], support[0]), min(self.support[1], support[1])
        if not self.chosen or within == self.support or not within[0] < within[1]:
            return self
        sample = self.sample._replace(coordinates=(Coordinate(*within),))
        if not isinstance(sample.bandwidth, str):
            std, here = (math.sqrt(_covariance(_in_coordinates(s), s.shares)[0, 0]) for s in (sample, self.sample))
            sample = sample._replace(bandwidth=sample.bandwidth * std / here)
        return Estimate(sample, None)

    def __repr__(self) -> str:
        sample = self.sample
        support = "" if all(c.is_plain for c in sample.coordinates) else f", support={sample.supports}"
        return (
            f"Tabulated.from_samples({len(sample.x)} observations, {self.grid!r}{support}, "
            f"bandwidth={sample.bandwidth!r})"
        )


def estimate(
    x: ArrayLike, grid: Grid | None, *, support: Any, weights: ArrayLike | None, bandwidth: str | float
) -> Estimate:
    """The kernel density estimate of observations; see `Tabulated.from_samples`."""
    points = as_reals(x, "observations")
    if points.ndim == 1:
        points = points[:, np.newaxis]
    if points.ndim != 2 or not 1 <= points.shape[1] <= max(FEWEST_POINTS):
        raise ValueError(
            f"observations have shape (n,), or (n, ndim) with up to {max(FEWEST_POINTS)} axes, got an array of shape "
            f"{points.shape}; gaussian_kde takes the transpose"
        )
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0].tolist()
        raise ValueError(f"observations must be finite, but number {row} is {points[row, column]}")
    n, ndim = points.shape
    if n < 2:
        raise ValueError(f"a density estimate needs at least 2 observations, got {n}")
    if not isinstance(bandwidth, str):
        bandwidth = as_real(bandwidth, "bandwidth")
    pairs = [LINE] * ndim if support is None else [support] if ndim == 1 else support
    if np.shape(pairs) != (ndim, 2):
        raise ValueError(f"support must be a pair (lower, upper), on several axes one for each, got {support!r}")
    coordinates = tuple(Coordinate(*map(float, pair)) for pair in pairs)
    if grid is not None and as_grid(grid).ndim != ndim:
        raise ValueError(f"observations on {ndim} axes do not fit a grid of shape {grid.shape}")
    return Estimate(Sample(points.copy(), _shares(weights, n), bandwidth, coordinates), grid)


class _Smoother:
    """A sample in its coordinates, and the covariance of the Normals that smooth it."""

    def __init__(self, sample: Sample) -> None:
        self.sample, self.coordinates = sample, sample.coordinates
        self.ndim = len(self.coordinates)
        self.y = _in_coordinates(sample)
        self.cov = _covariance(self.y, sample.shares)
        n_effective = 1.0 / float(sample.shares @ sample.shares)
        self.factor = _factor(sample.bandwidth, self.ndim, n_effective, math.sqrt(self.cov[0, 0]))
        """The ratio of the scales of the Normals to those of the sample."""
        self.L = self.factor * np.linalg.cholesky(self.cov)
        self.widths = 1.0 / np.sqrt((np.linalg.inv(self.L) ** 2).sum(axis=0))
        """Standard deviation of the Normals along each axis, with the other coordinates held."""

    def default_grid(self) -> Grid:
        """A grid that reaches beyond the observations, and resolves the Normals."""
        sides = self._sides()
        if math.prod(n for _, _, n in sides) > MOST_POINTS[self.ndim]:
            raise ValueError(self._why_unaffordable())
        return Grid(tuple(c.axis(*side) for c, side in zip(self.coordinates, sides, strict=True)))

    def _sides(self, ratio: float = 1.0) -> list[tuple[float, float, int]]:
        """The ends, as coordinates, and the number of points of each axis, for *ratio* times the bandwidth."""
        mean, std = self.sample.shares @ self.y, np.sqrt(np.diag(self.cov))
        marginal = ratio * np.sqrt(np.diag(self.L @ self.L.T))
        sides = []
        for d, coordinate in enumerate(self.coordinates):
            further = 1 if coordinate.is_plain else LOGARITHMIC_REACH
            reach = further * REACH[self.ndim]
            lower = min(self.y[:, d].min() - reach * marginal[d], mean[d] - reach * std[d])
            upper = max(self.y[:, d].max() + reach * marginal[d], mean[d] + reach * std[d])
            steps = STEPS_IN_BANDWIDTH if coordinate.is_plain else NODES_IN_BANDWIDTH
            wanted = math.ceil(steps * (upper - lower) / (ratio * self.widths[d])) | 1
            sides.append((float(lower), float(upper), max(wanted, further * FEWEST_POINTS[self.ndim])))
        return sides

    def _why_unaffordable(self) -> str:
        """Message about a default grid that would have too many points, with remedies that work."""
        std, most = np.sqrt(np.diag(self.cov)), MOST_POINTS[self.ndim]
        remedies = []
        if self.ndim > 1:
            sizes = np.abs(np.triu(self.cov / np.outer(std, std), 1))
            i, j = np.unravel_index(int(np.argmax(sizes)), sizes.shape)
            remedies.append(f"fewer or less correlated columns ({i} and {j} have a correlation of {sizes[i, j]:.4g})")
        # Normals as wide as the sample smooth everything away.
        ratios = np.geomspace(1.0, max(1.0 / self.factor, 1.0), 200)
        for ratio in ratios:
            if math.prod(n for _, _, n in self._sides(ratio)) <= most:
                suffices = ratio * self.factor * (std[0] if self.ndim == 1 else 1.0)
                digit = 10.0 ** (math.floor(math.log10(suffices)) - 2)
                remedies.append(f"bandwidth={digit * math.ceil(suffices / digit):.3g} or more")
                break
        steps = ", ".join(
            f"{0.99 * width:.3g}{'' if coordinate.is_plain else f' of {coordinate.name}'}"
            for coordinate, width in zip(self.coordinates, self.widths, strict=True)
        )
        shape = " x ".join(str(n) for _, _, n in self._sides())
        return (
            f"the default grid would take {shape} points, more than {most}, to resolve the bandwidth: take "
            f"{', '.join(remedies)}, or grid= with steps of at most {steps}"
        )

    def log_density(self, grid: Grid) -> Floats:
        """The log-density at the nodes of a grid, -inf at nodes that are not inside the support."""
        out = np.full(grid.shape, -np.inf)
        inside = [coordinate.inside(nodes) for coordinate, nodes in zip(self.coordinates, grid.axes, strict=True)]
        nodes = [line[mask] for line, mask in zip(grid.axes, inside, strict=True)]
        lines = [coordinate.y(line) for coordinate, line in zip(self.coordinates, nodes, strict=True)]
        for d, line in enumerate(lines):
            self._check(grid, d, line)
        values = (self._on_line if self.ndim == 1 else self._on_axes)(lines)
        for d, (coordinate, line) in enumerate(zip(self.coordinates, nodes, strict=True)):
            values += coordinate.log_slope(line).reshape([-1 if i == d else 1 for i in range(self.ndim)])
        out[np.ix_(*inside)] = values
        return out

    def _check(self, grid: Grid, d: int, line: Floats) -> None:
        """Refuse an axis that does not hold the observations, or whose steps do not resolve the Normals."""
        axis, x = grid._parts[d], self.sample.x[:, d]
        if x.min() < axis.lower or x.max() > axis.upper:
            off = x.min() if x.min() < axis.lower else x.max()
            raise ValueError(f"observation {off} lies off the grid [{axis.lower!r}, {axis.upper!r}]")
        if line.size < MIN_POINTS:
            raise ValueError(f"{line.size} nodes lie inside the support, at least {MIN_POINTS} are needed")
        beside = np.clip(np.searchsorted(line, self.y[:, d]), 1, line.size - 1)
        coarse = (line[beside] - line[beside - 1]) > self.widths[d]
        if float(self.sample.shares[coarse].sum()) > UNRESOLVED:
            step, name = float(np.diff(line)[beside[coarse] - 1].max()), self.coordinates[d].name
            enough = math.ceil(1.001 * step / self.widths[d] * line.size) + 1
            raise ValueError(
                f"a bandwidth of {self.widths[d]:.6g}{'' if name == 'x' else f' of {name}'} is below the grid's step "
                f"of {step:.6g} at {int(coarse.sum())} observations: take {enough} points instead of {line.size}"
                f"{f' on axis {d}' if self.ndim > 1 else ''}, or a larger bandwidth"
            )

    def _bins(self) -> tuple[list[Floats], Floats, float]:
        """Linear bins of the observations in z = L^-1 y: places on each axis, shares, and the scale of a bin's Normal.

        A bin stands for observations up to a step away, which widens it by a sixth of a step squared, on average.
        """
        step = 1.0 / BINS_IN_BANDWIDTH[self.ndim]
        z = np.linalg.solve(self.L, self.y.T) / step
        left = np.floor(z).astype(np.int64)
        fraction = z - left
        places, shares = [], []
        for corner in itertools.product((0, 1), repeat=self.ndim):
            side = np.array(corner)[:, np.newaxis]
            places.append(left + side)
            shares.append(self.sample.shares * np.where(side == 1, fraction, 1.0 - fraction).prod(axis=0))
        axes, numbers = zip(*(np.unique(row, return_inverse=True) for row in np.hstack(places)), strict=True)
        shape = tuple(axis.size for axis in axes)
        sums = np.bincount(np.ravel_multi_index(numbers, shape), np.concatenate(shares), math.prod(shape))
        return [step * axis for axis in axes], sums.reshape(shape), math.sqrt(1.0 - step * step / 6.0)

    def _on_line(self, lines: list[Floats]) -> Floats:
        """The log-density at coordinates on the line, by the kernel of mixtures of Normals."""
        (places,), shares, scale = self._bins()
        width = self.L[0, 0]
        filled = np.flatnonzero(shares)
        logs = np.log(shares[filled]) - math.log(width * scale * math.sqrt(2.0 * math.pi))
        centres = places[filled] * width
        rows = [
            NormalComponent(log, at, 1.0 / (width * scale))
            for log, at in zip(logs.tolist(), centres.tolist(), strict=True)
        ]
        out = np.empty(lines[0].size)
        log_density(out.size, evaluation_of_normals(rows).by_logs(), Grid((Axis.through(lines[0]),))._record(), 0, out)
        return out

    def _on_axes(self, lines: list[Floats]) -> Floats:
        """The log-density at coordinates on several axes, by a sum over the bins along one entry of z at a time."""
        places, shares, scale = self._bins()
        with np.errstate(divide="ignore"):
            logs = np.log(shares)[np.newaxis]  # (targets on the axes before, bins on this axis, bins on those after)
        before = np.zeros((1, 0))  # entries of z of the targets
        for d, line in enumerate(lines):
            z = (line - (before @ self.L[d, :d])[:, np.newaxis]) / self.L[d, d]
            logs = _spread(logs.reshape(len(z), places[d].size, -1), places[d], z, scale)
            before = np.column_stack([np.repeat(before, line.size, axis=0), z.ravel()])
        constant = np.log(np.diag(self.L)).sum() + self.ndim * math.log(scale * math.sqrt(2.0 * math.pi))
        return np.asarray(logs.reshape([line.size for line in lines]) - constant)


def _spread(logs: Floats, places: Floats, z: Floats, scale: float) -> Floats:
    """log(sum over s of exp(logs[r, s, c] - (z[r, t] - places[s])**2 / (2 scale**2))), as an array [r, t, c]."""
    out = np.empty((*z.shape, logs.shape[2]))
    for t in range(z.shape[1]):
        exponents = logs - 0.5 * (((z[:, t, np.newaxis] - places) / scale) ** 2)[:, :, np.newaxis]
        top = exponents.max(axis=1, keepdims=True)
        top[top == -np.inf] = 0.0
        exponents -= top
        with np.errstate(divide="ignore"):
            out[:, t] = np.log(np.exp(exponents, out=exponents).sum(axis=1)) + top[:, 0]
    return out.reshape(-1, logs.shape[2])


def _in_coordinates(sample: Sample) -> Floats:
    """The observations in their coordinates; an error if one lies outside the support."""
    for coordinate, x in zip(sample.coordinates, sample.x.T, strict=True):
        outside = ~coordinate.inside(x)
        if outside.any():
            lower, upper = coordinate.support
            raise ValueError(
                f"{int(outside.sum())} of {x.size} observations lie outside the support ({lower:g}, {upper:g}), whose "
                f"ends do not belong to it, the first of them {x[np.argmax(outside)]}: leave them out, take a wider "
                "support, or count them in the cells of a histogram, which hold their edges"
            )
    return np.column_stack([c.y(x) for c, x in zip(sample.coordinates, sample.x.T, strict=True)])


def _covariance(y: Floats, shares: Floats) -> Floats:
    """The unbiased covariance of weighted observations."""
    present = y[shares > 0.0]
    for d in np.flatnonzero(present.min(axis=0) == present.max(axis=0)).tolist():
        axis = f" on axis {d}" if y.shape[1] > 1 else ""
        raise ValueError(
            f"the observations must vary{axis}, but all {len(present)} of positive weight are {present[0, d]}"
        )
    offset = y - shares @ y
    cov = np.asarray((offset * shares[:, np.newaxis]).T @ offset / (1.0 - float(shares @ shares)))
    std = np.sqrt(np.diag(cov))
    if np.linalg.eigvalsh(cov / np.outer(std, std))[0] < FLAT:
        raise ValueError(
            f"the observations must vary in every direction, but the covariance of all {len(present)} is singular"
        )
    return cov


def _shares(weights: ArrayLike | None, n: int) -> Floats:
    if weights is None:
        return np.full(n, 1.0 / n)
    array = as_line(weights, "weights")
    if array.size != n:
        raise ValueError(f"{n} observations need as many weights, got an array of shape {array.shape}")
    if not (array.min() >= 0.0 and array.sum() > 0.0):
        raise ValueError(f"weights must be >= 0 and not all 0, got {array.min()} ... {array.max()}")
    shares: Floats = array / array.sum()
    return shares


def _factor(bandwidth: str | float, ndim: int, n_effective: float, std: float) -> float:
    """The ratio of the scales of the Normals to those of the sample; a number is such a ratio on several axes."""
    if isinstance(bandwidth, str):
        if bandwidth not in RULES:
            raise ValueError(f"bandwidth must be {' or '.join(map(repr, RULES))} or a number, got {bandwidth!r}")
        share = 1.0 if bandwidth == "scott" else (ndim + 2.0) / 4.0
        return float((share * n_effective) ** (-1.0 / (ndim + 4)))
    if bandwidth <= 0.0:
        raise ValueError(f"bandwidth must be > 0, got {bandwidth!r}")
    return bandwidth / std if ndim == 1 else bandwidth
