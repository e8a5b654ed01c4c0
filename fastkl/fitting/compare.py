"""Fits of several families to one density, ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from fastkl.densities import Density
from fastkl.densities.samples import Estimate
from fastkl.families import FAMILIES, MultivariateNormal
from fastkl.families.univariate import Univariate
from fastkl.fitting.charts import COVARIANCE_TYPES, family_of
from fastkl.fitting.fit import fit
from fastkl.fitting.result import FitResult, short
from fastkl.fitting.task import checked_direction, target_of
from fastkl.grids import Grid
from fastkl.notebook import html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Names = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Comparison(Sequence[FitResult]):
    """Fits of several families to one density, the best first; made by `compare`.

    A sequence of `FitResult`. Fits that are a success come first, ordered by `criterion`; the others follow, ordered by
    it too.

    Attributes
    ----------
    results : tuple of FitResult
    names : tuple of str
        Name of the family of each result, with the covariance type on several axes.
    criterion : {'aic', 'divergence'}
        Akaike's criterion where p is a histogram that knows its number of observations and the fits are forward; the
        divergence otherwise, which never prefers the smaller of two nested families.
    refused : dict of str to str
        Families that cannot be fitted to p, and why.
    """

    results: tuple[FitResult, ...]
    names: Names
    criterion: str
    refused: dict[str, str]

    @overload
    def __getitem__(self, index: int) -> FitResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FitResult]: ...
    def __getitem__(self, index: Any) -> Any:
        """The result at a place of the ranking, or those of a slice."""
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    @property
    def best(self) -> FitResult:
        """The first result."""
        return self.results[0]

    def __str__(self) -> str:
        head, *rows = self._rows()
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head) - 1)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
            for row in (head, *rows)
        ]
        return "\n".join([*lines, *(f"{name}: {reason}" for name, reason in self.refused.items())])

    def _repr_html_(self) -> str:
        """The table of `str`, for a notebook."""
        return html_table("families", [*self._rows(), *self.refused.items()])

    def _rows(self) -> list[list[str]]:
        """A row of words for the head and for each result."""
        by_counts = self.criterion == "aic"
        forward = self.results[0].direction == "forward"
        head = ["", "family", "KL(p||q)" if forward else "KL(q||p)", *(["AIC"] if by_counts else []), "q", ""]
        rows = []
        for rank, (name, result) in enumerate(zip(self.names, self.results, strict=True), start=1):
            aic = [f"{result.statistics.aic:.6g}"] if result.statistics is not None else []
            verdict = "" if result.success else result.message
            rows.append([f"{rank}", name, f"{result.divergence:.6g}", *aic, short(result.q), verdict])
        return [head, *rows]

    def plot(self, ax: Axes | None = None, *, most: int = 5) -> Axes:
        """Draw p and the first *most* of the fits into one panel. Needs the extra ``fastkl[plot]``."""
        from fastkl.plotting import plot_comparison

        return plot_comparison(self, ax, most=most)


def compare(
    p: Density | ArrayLike,
    families: Iterable[type[Density] | str] | None = None,
    grid: Grid | None = None,
    *,
    direction: str | None = None,
    log: bool = False,
    **options: Any,
) -> Comparison:
    """Fit several families to p, and rank them.

    Parameters
    ----------
    p, grid, direction, log
        As in `fit`. An estimate from samples is made once for all, on the smallest support of a family that holds them.
    families : iterable of type or str, optional
        The families, as `fit` takes them. By default all families on the line, or on several axes the Normals of every
        covariance type.
    **options
        Other arguments of `fit`, such as `rtol` or `mass_tol`.

    Returns
    -------
    Comparison
        The results, the best first, and the families that cannot hold p with the reason.

    Raises
    ------
    ValueError, TypeError
        As `fit` does for a bad p, grid or direction; a ValueError also if no family can be fitted.

    Notes
    -----
    Akaike's criterion, twice the number of parameters less twice the log-likelihood, ranks the forward fits of a
    histogram of counts. Without counts the divergence ranks them: of two nested families it prefers the larger one.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Tabulated.from_histogram([12, 30, 22, 13, 9, 4, 3, 1], range(9))
    >>> found = fastkl.compare(p, ["normal", "gamma", "weibull", "beta"], direction="forward")
    >>> found.criterion, found.names, list(found.refused)
    ('aic', ('gamma', 'weibull', 'normal'), ['beta'])
    """
    checked_direction(direction)
    target, _, _ = target_of(p, grid, log)
    candidates = list(_candidates(target.ndim, families))
    if isinstance(target, Estimate) and target.ndim == 1 and grid is None:
        target = _for_all(target, [kind for _, kind, _ in candidates])
    found: list[tuple[str, FitResult]] = []
    refused: dict[str, str] = {}
    for name, family, own in candidates:
        try:
            found.append((name, fit(target, family, grid, direction=direction, **own, **options)))
        except ValueError as error:
            refused[name] = str(error)
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise ValueError(f"no family can be fitted: {reasons}")
    by_counts = all(result.statistics is not None for _, result in found)
    found.sort(key=lambda pair: _rank(pair[1], by_counts))
    names, results = zip(*found, strict=True)
    return Comparison(results, names, "aic" if by_counts else "divergence", refused)


def _for_all(target: Estimate, kinds: Iterable[Any]) -> Estimate:
    """The estimate on the smallest support of a family that holds all observations, so that all fits have one p."""
    supports = [kind._common_support for kind in kinds if issubclass(kind, Univariate)]
    holding = [ends for ends in supports if ends[0] < target.sample.x.min() and target.sample.x.max() < ends[1]]
    for ends in holding:
        target = target.on(ends)
    return target


def _candidates(ndim: int, families: Iterable[Any] | None) -> Iterable[tuple[str, Any, dict[str, Any]]]:
    """(name, family, own options) for each of the families."""
    if families is None:
        families = FAMILIES if ndim == 1 else ["multivariate_normal"]
    elif isinstance(families, str):
        raise TypeError(f"families is a sequence of families, got the single name {families!r}: write [{families!r}]")
    for family in families:
        kind = family_of(family)
        if kind is MultivariateNormal and ndim > 1:
            yield from (
                (f"{covariance} normal", kind, {"covariance_type": covariance}) for covariance in COVARIANCE_TYPES
            )
        else:
            yield str(kind._name()) if hasattr(kind, "_name") else str(family), kind, {}


def _rank(result: FitResult, by_counts: bool) -> tuple[bool, float]:
    figure = result.divergence
    if by_counts and result.statistics is not None:
        figure = result.statistics.aic
    return not result.success, math.inf if np.isnan(figure) else figure
