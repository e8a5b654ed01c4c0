"""Starts of a fit of a mixture: many mixtures take steps of EM side by side on few cells, and the best are kept.

Expectation maximisation ends in the minimum in whose basin it begins, and a mixture has many. So the race holds the
best mixtures with one component fewer (greedy EM: Verbeek, Vlassis and Kroese 2003) with a component split, or with one
more at a mode of p or where they lack the most; and mixtures at places drawn from p (k-means++: Arthur and
Vassilvitskii 2007). Steps are extrapolated (SQUAREM: Varadhan and Roland 2008), and after each round the worse part
drops out.

In coordinates in which p has the covariance 1 the logarithm of a component is a quadratic polynomial: the logarithms of
all components of all mixtures at all cells are one product of matrices, and so are the sums of a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastkl.fitting.landscape import Landscape
from fastkl.validation import Floats

MOST_CELLS = {1: 256, 2: 40, 3: 16}
"""Largest number of cells of a race along each axis, by the number of axes; the last one for more axes."""
LEAST_MASS = 1e-8
"""Share of p below which a cell does not count."""

ROUNDS = ((8, 12), (12, 6), (12, 3))
"""Rounds of a race: the number of leaps, of three steps of EM each, and of the mixtures that go on."""
HEATS = ((6, 6), (6, 2))
"""Rounds of the races with fewer components, whose winners are split."""
ADDED, SHARE, SCALE = 6, 0.05, 0.2
"""Number of components that are tried where a mixture lacks the most, their share and their scale; that of p is 1."""
NARROW = 0.25
"""Ratio of the covariances of the narrow part of a component and of the component; both parts have its mean."""
DRAWN, NARROWEST = 12, 0.1
"""Number of mixtures at random places, and the smallest scale of their components."""
SAME = 1e-7
"""Difference of divergences below which two mixtures in a race are one."""
LONGEST = 100.0
"""Largest extrapolation, in steps of EM."""
LARGEST = 10.0
"""Largest logarithm of an extrapolated scale: that of p is 0."""
SMALLEST = 1e-8
"""Least share of a component, and least squared distance that counts."""
SEED = 20261128


class Mixtures(NamedTuple):
    """Several mixtures: shares (n, parts), means (n, parts, ndim) and covariances of their components."""

    shares: Floats
    means: Floats
    covs: Floats

    def at(self, chosen: Any) -> Mixtures:
        """The *chosen* mixtures."""
        return Mixtures(*(array[chosen] for array in self))

    def where(self, chosen: Any, others: Mixtures) -> Mixtures:
        """The others where *chosen*, and these elsewhere."""
        pairs = zip(self, others, strict=True)
        return Mixtures(*(np.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in pairs))

    def free(self) -> Floats:
        """Unconstrained parameters, a row for each mixture: logarithms of shares and of the diagonals of factors L."""
        L = np.linalg.cholesky(self.covs)
        diagonal = np.arange(L.shape[-1])
        L[..., diagonal, diagonal] = np.log(L[..., diagonal, diagonal])
        return np.concatenate([a.reshape(len(a), -1) for a in (np.log(self.shares), self.means, L)], axis=1)

    def bound(self, free: Floats) -> Mixtures:
        """The mixtures with these unconstrained parameters, with as many components and axes as these."""
        n, parts, D = self.means.shape
        logs, means, L = np.split(free, [parts, parts * (1 + D)], axis=1)
        logs = np.clip(logs - logs.max(axis=1, keepdims=True), math.log(SMALLEST), 0.0)
        L = L.reshape(n, parts, D, D).copy()
        diagonal = np.arange(D)
        L[..., diagonal, diagonal] = np.exp(np.clip(L[..., diagonal, diagonal], -LARGEST, LARGEST))
        shares = np.exp(logs)
        return Mixtures(shares / shares.sum(axis=1, keepdims=True), means.reshape(n, parts, D), L @ L.swapaxes(-1, -2))


class Race:
    """p on few cells, in coordinates in which its covariance is 1."""

    def __init__(self, landscape: Landscape) -> None:
        points, mass, widths = _cells(landscape)
        self.ndim = points.shape[1]
        self.mean = mass @ points
        offset = points - self.mean
        self.L = np.linalg.cholesky((offset * mass[:, np.newaxis]).T @ offset + np.diag(widths**2 / 12.0))
        self.points, self.mass = np.linalg.solve(self.L, offset.T).T, mass
        inverse = np.linalg.inv(self.L)
        self.least = inverse @ np.diag(widths**2 / 12.0) @ inverse.T
        """Least covariance of a component: that of a cell."""
        self.pairs = np.triu_indices(self.ndim)
        i, j = self.pairs
        self.monomials = np.column_stack([np.ones(len(mass)), self.points, self.points[:, i] * self.points[:, j]])
        self.twice = np.where(i == j, 1.0, 2.0)
        self.rng = np.random.default_rng(SEED)
        basins = landscape.basins[0]
        shares = np.bincount(basins, landscape.mass) / landscape.mass.sum()
        own = [landscape.moments(basins == basin) for basin in range(len(shares))]
        self.bumps = [
            (share, inverse @ (moments[0] - self.mean), inverse @ moments[1] @ inverse.T)
            for share, moments in zip(shares.tolist(), own, strict=True)
            if moments is not None
        ]
        """Share, mean and covariance of p around each of its modes."""

    def winners(self, parts: int) -> Mixtures:
        """The best mixtures of this number of components, best first, in the coordinates of p."""
        best = self._whole()
        for k in range(2, parts + 1):
            entered = self._split(best), self._with_another(best), self._drawn(k)
            field = Mixtures(*map(np.concatenate, zip(*entered, strict=True)))
            best = self._run(field, ROUNDS if k == parts else HEATS)
        return Mixtures(best.shares, self.mean + best.means @ self.L.T, self.L @ best.covs @ self.L.T)

    def _run(self, field: Mixtures, rounds: Sequence[tuple[int, int]]) -> Mixtures:
        """The mixtures that are left after all rounds, best first."""
        for steps, kept in rounds:
            for _ in range(steps):
                values, field = self._leap(field)
            order = np.argsort(values, kind="stable")
            differs = np.append(True, np.diff(values[order]) > SAME)
            field = field.at(order[differs][:kept])
        return field

    def _leap(self, field: Mixtures) -> tuple[Floats, Mixtures]:
        """KL(p||q) up to a constant, and the mixtures after two steps of EM, or a third one from where they lead."""
        _, once = self._step(field)
        between, twice = self._step(once)
        start, r = field.free(), once.free() - field.free()
        v = twice.free() - once.free() - r
        length = np.sqrt((r * r).sum(axis=1) / np.maximum((v * v).sum(axis=1), 1e-300))
        length = np.clip(length, 1.0, LONGEST)[:, np.newaxis]
        further = field.bound(start + 2.0 * length * r + length * length * v)
        after, beyond = self._step(further)
        lower = after <= between
        return np.where(lower, after, between), twice.where(lower, beyond)

    def _logs(self, field: Mixtures) -> Floats:
        """The logarithms of all components at all cells, up to a constant, shape (n, parts, cells)."""
        n, parts, _ = field.means.shape
        i, j = self.pairs
        is_line = self.ndim == 1  # where calls of LAPACK take longer than the numbers
        precisions = np.asarray(1.0 / field.covs if is_line else np.linalg.inv(field.covs))
        log_det = np.log(precisions[..., 0, 0]) if is_line else np.linalg.slogdet(precisions)[1]
        linear = (precisions @ field.means[..., np.newaxis])[..., 0]
        constant = np.log(field.shares) + 0.5 * log_det - 0.5 * (linear * field.means).sum(-1)
        rows = np.concatenate([constant[..., np.newaxis], linear, -0.5 * self.twice * precisions[..., i, j]], axis=-1)
        return np.asarray(rows.reshape(n, parts, -1) @ self.monomials.T)

    def _excess(self, field: Mixtures) -> Floats:
        """p log(p/q) - p + q at the cells where p > q, for each mixture."""
        logs = self._logs(field)
        top = logs.max(axis=1)
        log_q = top + np.log(np.exp(logs - top[:, np.newaxis]).sum(axis=1))
        log_q -= np.logaddexp.reduce(log_q, axis=1)[:, np.newaxis]
        d = np.maximum(np.log(self.mass) - log_q, 0.0)
        return np.asarray(self.mass * (d + np.expm1(-d)))

    def _step(self, field: Mixtures) -> tuple[Floats, Mixtures]:
        """KL(p||q) up to a constant, and the mixtures after a step of EM."""
        n, parts, D = field.means.shape
        i, j = self.pairs
        logs = self._logs(field)
        top = logs.max(axis=1)
        own = np.exp(np.subtract(logs, top[:, np.newaxis], out=logs), out=logs)
        total = own.sum(axis=1)
        values = -(top + np.log(total)) @ self.mass
        own *= (self.mass / total)[:, np.newaxis]
        sums = own @ self.monomials
        shares = np.maximum(sums[..., 0], SMALLEST)
        means = sums[..., 1 : D + 1] / shares[..., np.newaxis]
        covs = np.empty((n, parts, D, D))
        covs[..., i, j] = covs[..., j, i] = sums[..., D + 1 :] / shares[..., np.newaxis]
        covs += self.least - means[..., :, np.newaxis] * means[..., np.newaxis, :]
        return values, Mixtures(shares / shares.sum(axis=1, keepdims=True), means, covs)

    def _whole(self) -> Mixtures:
        """The Normal with the moments of p."""
        return Mixtures(np.ones((1, 1)), np.zeros((1, 1, self.ndim)), np.eye(self.ndim)[np.newaxis, np.newaxis])

    def _split(self, best: Mixtures) -> Mixtures:
        """Mixtures in which one component is two: its halves along an axis of it, or a narrow and a wide one."""
        found = []
        for shares, means, covs in zip(*best, strict=True):
            for k, cov in enumerate(covs):
                variances, directions = np.linalg.eigh(cov)
                shifts = np.sqrt(0.5 * variances)[:, np.newaxis] * directions.T
                halves = [(shift, half, half) for shift in shifts for half in [cov - np.outer(shift, shift)]]
                others = np.arange(len(shares)) != k
                for shift, one, other in (*halves, (0.0 * shifts[0], NARROW * cov, (2.0 - NARROW) * cov)):
                    found.append(
                        (
                            np.append(shares[others], [0.5 * shares[k]] * 2),
                            np.concatenate([means[others], [means[k] - shift, means[k] + shift]]),
                            np.concatenate([covs[others], [one, other]]),
                        )
                    )
        return Mixtures(*map(np.array, zip(*found, strict=True)))

    def _with_another(self, best: Mixtures) -> Mixtures:
        """Mixtures with one more component: around a mode of p, or where p is larger than the mixture."""
        found = []
        excess = self._excess(best)
        for (shares, means, covs), lacking in zip(zip(*best, strict=True), excess, strict=True):
            bumps = list(self.bumps)
            if lacking.sum() > 0.0:
                for cell in self.rng.choice(len(lacking), ADDED, p=lacking / lacking.sum()):
                    bumps.append((SHARE, self.points[cell], SCALE**2 * np.eye(self.ndim) + self.least))
            for share, mean, cov in bumps:
                share = min(max(share, SMALLEST), 0.5)
                found.append(
                    (
                        np.append((1.0 - share) * shares, share),
                        np.concatenate([means, mean[np.newaxis]]),
                        np.concatenate([covs, cov[np.newaxis]]),
                    )
                )
        return Mixtures(*map(np.array, zip(*found, strict=True)))

    def _drawn(self, parts: int) -> Mixtures:
        """Mixtures of equal shares at cells drawn from p, each the likelier the farther it is from those before."""
        means = np.empty((DRAWN, parts, self.ndim))
        for mean in means:
            weight = self.mass
            for k in range(parts):
                mean[k] = self.points[self.rng.choice(len(weight), p=weight / weight.sum())]
                nearest = ((self.points[:, np.newaxis] - mean[: k + 1]) ** 2).sum(axis=2).min(axis=1)
                weight = self.mass * (nearest + SMALLEST)
        scales = np.exp(self.rng.uniform(math.log(NARROWEST), 0.0, (DRAWN, parts)))
        covs = scales[..., np.newaxis, np.newaxis] ** 2 * np.eye(self.ndim) + self.least
        return Mixtures(np.full((DRAWN, parts), 1.0 / parts), means, covs)


def _cells(landscape: Landscape) -> tuple[Floats, Floats, Floats]:
    """Centres, masses (with the sum 1) and widths of the cells that hold p, joined until they are few."""
    shape = landscape.peak.shape
    most = MOST_CELLS.get(len(shape), min(MOST_CELLS.values()))
    held = (landscape.mass > LEAST_MASS * landscape.mass.sum()).reshape(shape)
    places = np.array(np.nonzero(held))
    places -= places.min(axis=1, keepdims=True)
    lengths = places.max(axis=1) + 1
    sides = -(-lengths // most)
    into = np.ravel_multi_index(tuple(places // sides[:, np.newaxis]), tuple(-(-lengths // sides)))
    own, points = landscape.mass[held.ravel()], landscape.points[held.ravel()]
    mass = np.bincount(into, own)
    filled = mass > 0.0
    centres = np.column_stack([np.bincount(into, own * x)[filled] / mass[filled] for x in points.T])
    widths = sides * np.array([np.median(width) for width in landscape.widths])
    return centres, mass[filled] / mass.sum(), widths
