"""Pictures of fits, which need matplotlib: ``pip install fastkl[plot]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastkl.densities import Histogram
from fastkl.fitting import FitResult, KLSurface
from fastkl.fitting.result import short
from fastkl.validation import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from fastkl.fitting.compare import Comparison

# Two colours of Okabe and Ito's palette, which the colour-blind can tell apart; in grey print the
# line styles still do.
COLOR = {"forward": "#0072B2", "reverse": "#D55E00"}
TITLE = {
    "forward": "forward: min KL(p‖q)\nq covers all of p",
    "reverse": "reverse: min KL(q‖p)\nq settles on a mode",
}

CURVE_POINTS = 1501
"""Number of points of a curve in a picture."""
VISIBLE = 1e-3
"""Share of its peak below which every curve has fallen at the ends of the picture."""

PIXELS = 241
"""Number of points along each side of a picture of two axes."""

REGIONS = (0.393, 0.865, 0.989)
"""Shares of a density that contours hold: for a Normal, the ellipses of 1, 2 and 3 standard deviations."""

SURFACE_LEVELS = 24
"""Number of levels of the colours of a surface."""


def plot_fits(*results: FitResult, ax: Sequence[Axes] | None = None) -> list[Axes]:
    """Draw fits side by side: p filled, the fitted q on top, its other minima faint.

    On one axis these are curves, and steps for a histogram; on two, contours that hold 39, 86 and 99 % of each density,
    with a mark at every minimum.

    Parameters
    ----------
    *results : FitResult
        Usually one forward and one reverse fit of the same p.
    ax : sequence of Axes, optional
        Axes to draw on, one for each result; by default a new figure with a row of panels.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        If there is no result, there are not as many axes as results, or the results do not all have one dimension or
        all two.
    ModuleNotFoundError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastkl
    >>> p = fastkl.Mixture([fastkl.Normal(-2, 0.6), fastkl.Normal(2, 0.6)])
    >>> fits = [fastkl.fit(p, "normal", direction=d) for d in ("forward", "reverse")]
    >>> axes = fastkl.plot_fits(*fits)
    >>> axes[0].figure.savefig("fits.png")  # doctest: +SKIP
    """
    if not results:
        raise ValueError("plot_fits needs at least one result, got none")
    for result in results:
        if not isinstance(result, FitResult):
            raise TypeError(f"plot_fits draws FitResult objects, got {type(result).__name__}")
        if result.p is None:
            raise ValueError("a result without p cannot be drawn: give p= to FitResult.from_dict")
        if result.grid.ndim > 2 or result.grid.ndim != results[0].grid.ndim:
            raise ValueError(f"plot_fits draws fits on one axis or on two, got a grid of shape {result.grid.shape}")
        if isinstance(result.p, Histogram):
            result.p.require_ends("a picture")
    if ax is None:
        from matplotlib import pyplot

        size = (4.6 * len(results), 3.8)
        _, panels = pyplot.subplots(
            1, len(results), sharex=True, sharey=True, squeeze=False, figsize=size, layout="constrained"
        )
        ax = list(panels[0])
    if len(ax) != len(results):
        raise ValueError(f"{len(results)} results need as many axes, got {len(ax)}")
    if results[0].grid.ndim == 1:
        lower, upper = np.transpose([_visible_range(result) for result in results])
        x = np.linspace(lower.min(), upper.max(), CURVE_POINTS)
        for result, axes in zip(results, ax, strict=True):
            _draw_curves(result, axes, x)
    else:
        lines = _visible_box(results)
        for result, axes in zip(results, ax, strict=True):
            _draw_contours(result, axes, lines)
    return list(ax)


def plot_comparison(found: Comparison, ax: Axes | None = None, *, most: int = 5) -> Axes:
    """Draw p filled, and the first *most* fits of a comparison on top, in one dimension."""
    if found.best.grid.ndim > 1:
        raise ValueError(f"a comparison is drawn on one axis, got a grid of shape {found.best.grid.shape}")
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    shown = found.results[:most]
    lower, upper = np.transpose([_visible_range(result) for result in shown])
    x = np.linspace(lower.min(), upper.max(), CURVE_POINTS)
    _draw_target(found.best, ax, x)
    styles = ("-", "--", "-.", ":")
    for k, (name, result) in enumerate(zip(found.names, shown, strict=False)):
        label = f"{name}, {result.divergence:.3g}"
        ax.plot(x, _finite(result.q.pdf(x)), linewidth=1.6, linestyle=styles[k % len(styles)], label=label)
    ax.set_xlim(x[0], x[-1])
    ax.set_xlabel("x")
    ax.set_ylabel("density")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    return ax


def _draw_target(result: FitResult, ax: Axes, x: Floats) -> None:
    if isinstance(result.p, Histogram):
        ax.stairs(result.p.values, result.p.edges[0], fill=True, color="0.85", label="p")
        ax.stairs(result.p.values, result.p.edges[0], color="0.45", linewidth=1)
        return
    p = _finite(result.p.pdf(x))
    filled = ax.fill_between(x, p, color="0.85", linewidth=0, label="p")
    filled.sticky_edges.y.append(0.0)  # the axis starts at 0 and stays free above
    ax.plot(x, p, color="0.45", linewidth=1)


def _draw_curves(result: FitResult, ax: Axes, x: Floats) -> None:
    color = COLOR[result.direction]
    _draw_target(result, ax, x)
    for minimum in result.minima[1:]:
        ax.plot(x, _finite(minimum.q.pdf(x)), color=color, alpha=0.45, linewidth=1.2, linestyle=":")
    if len(result.minima) > 1:
        ax.plot([], [], color=color, alpha=0.45, linewidth=1.2, linestyle=":", label="other minima")
    label = f"q = {short(result.q, digits=3)}"
    linestyle = "--" if result.direction == "forward" else "-"
    ax.plot(x, _finite(result.q.pdf(x)), color=color, linewidth=2, linestyle=linestyle, label=label)
    ax.set_xlabel("x")
    ax.set_ylabel("density")
    ax.set_xlim(x[0], x[-1])
    _finish(result, ax)


def _finish(result: FitResult, ax: Axes) -> None:
    ax.set_title(f"{TITLE[result.direction]}, divergence {result.divergence:.4g}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def _draw_contours(result: FitResult, ax: Axes, lines: tuple[Floats, Floats]) -> None:
    color = COLOR[result.direction]
    points = np.stack(np.meshgrid(*lines), axis=-1)
    if isinstance(result.p, Histogram):
        top = 2.0 * result.p.values.max()  # the fullest cell is half grey, so that lines can be seen on it
        ax.pcolormesh(*result.p.edges, result.p.values.T, cmap="Greys", vmax=top, rasterized=True)
    else:
        p = result.p.pdf(points)
        ax.contourf(*lines, p, levels=[*_levels(p), max(p.max(), 1e-300) * 1.001], colors=["0.9", "0.8", "0.7"])
    ax.plot([], [], color="0.7", linewidth=6, label="p")
    for minimum in result.minima[1:]:
        other = minimum.q.pdf(points)
        ax.contour(*lines, other, levels=_levels(other)[1:2], colors=color, alpha=0.45, linestyles=":")
        ax.plot(*minimum.q.mean, "x", color=color, alpha=0.45)
    if len(result.minima) > 1:
        ax.plot([], [], "x:", color=color, alpha=0.45, label="other minima")
    q = result.q.pdf(points)
    linestyle = "--" if result.direction == "forward" else "-"
    ax.contour(*lines, q, levels=_levels(q), colors=color, linestyles=linestyle, linewidths=1.5)
    ax.plot(*result.q.mean, "o", color=color, linestyle=linestyle, label="q")
    ax.set_xlabel("x[0]")
    ax.set_ylabel("x[1]")
    _finish(result, ax)


def _finite(density: Floats) -> Floats:
    """Values of a density with 0 at its poles, which no picture can show."""
    return np.where(np.isfinite(density), density, 0.0)


def _levels(density: Floats) -> list[float]:
    """Increasing levels whose contours hold `REGIONS` of the density in the picture."""
    falling = np.sort(density.ravel())[::-1]
    held = np.cumsum(falling)
    levels = [float(falling[min(int(np.searchsorted(held, share * held[-1])), falling.size - 1)]) for share in REGIONS]
    return sorted({max(level, 1e-300 * (k + 1)) for k, level in enumerate(levels)})


def _visible_box(results: Sequence[FitResult]) -> tuple[Floats, Floats]:
    """Nodes along both axes over the part of the grid on which p or a minimum is visible."""
    curves = [curve for result in results for curve in (result.p, result.q, *(m.q for m in result.minima))]
    grid = results[0].grid
    wide = [np.linspace(lower, upper, PIXELS) for lower, upper in zip(grid.lower, grid.upper, strict=True)]
    seen = [np.zeros(PIXELS, dtype=bool) for _ in wide]
    points = np.stack(np.meshgrid(*wide, indexing="ij"), axis=-1)
    for curve in curves:
        density = curve.pdf(points)
        visible = density > VISIBLE * density.max()
        for axis, line in enumerate(seen):
            line |= visible.any(axis=1 - axis)
    ends = [np.flatnonzero(line)[[0, -1]] if line.any() else np.array([0, PIXELS - 1]) for line in seen]
    first, second = (
        np.linspace(line[max(a - 1, 0)], line[min(b + 1, PIXELS - 1)], PIXELS)
        for line, (a, b) in zip(wide, ends, strict=True)
    )
    return first, second


def plot_surface(surface: KLSurface, ax: Axes | None = None) -> Axes:
    """Draw the levels of a surface of divergences, and mark its minima."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(5.2, 4.2), layout="constrained")
    finite = surface.divergence[np.isfinite(surface.divergence)]
    if min(surface.divergence.shape) < 2:
        raise ValueError(f"a surface of shape {surface.divergence.shape} has no levels to draw: take 2 by 2 or more")
    if finite.size == 0:
        raise ValueError("every divergence of this surface is infinite: there is nothing to draw")
    levels = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, SURFACE_LEVELS)))
    shown = np.ma.masked_invalid(surface.divergence.T)
    if levels.size > 1:
        shades = colormaps["viridis_r"]
        norm = BoundaryNorm(levels, shades.N)  # a colour for each level, however close the levels are
        filled = ax.contourf(surface.loc, surface.scale, shown, levels=levels, cmap=shades, norm=norm)
        ax.contour(surface.loc, surface.scale, shown, levels=levels, colors="white", linewidths=0.3)
        ax.figure.colorbar(filled, ax=ax, label="divergence", format="%.3g")
    for k, minimum in enumerate(surface.minima):
        ax.plot(minimum.q.loc, minimum.q.scale, "*" if k == 0 else "x", color=COLOR["reverse"], markersize=11)
        place = (minimum.q.loc, minimum.q.scale)
        ax.annotate(f" {minimum.divergence:.3g}", place, color=COLOR["reverse"], fontsize=9)
    if np.ptp(np.diff(surface.scale)) > 1e-6 * np.ptp(surface.scale):
        ax.set_yscale("log")
        for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            formatter("{x:g}")
    ax.set_xlabel("loc")
    ax.set_ylabel("scale")
    ax.set_title("KL(p‖q)" if surface.direction == "forward" else "KL(q‖p)", fontsize=10)
    return ax


def _visible_range(result: FitResult) -> tuple[float, float]:
    """The ends of the part of the grid on which p or a minimum is visible."""
    x = np.linspace(result.grid._line.lower, result.grid._line.upper, 20 * CURVE_POINTS)
    curves = [result.p, result.q, *(m.q for m in result.minima)]
    seen = np.zeros(x.size, dtype=bool)
    for curve in curves:
        density = _finite(curve.pdf(x))
        seen |= density > VISIBLE * density.max()
    at = np.flatnonzero(seen)
    return float(x[max(at[0] - 1, 0)]), float(x[min(at[-1] + 1, x.size - 1)])
