"""Pictures of fits. Needs matplotlib: ``pip install fastkl[plot]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastkl.fitting import FitResult
from fastkl.fitting.result import short
from fastkl.validation import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Two colours of Okabe and Ito's palette, which the colour-blind can tell apart; in grey print the
# line styles still do.
COLOR = {"forward": "#0072B2", "reverse": "#D55E00"}
TITLE = {
    "forward": "forward: min KL(p‖q)\nq covers all of p",
    "reverse": "reverse: min KL(q‖p)\nq settles on a mode",
}

CURVE_POINTS = 1501
VISIBLE = 1e-3
"""The picture reaches to where every curve has fallen below this share of its peak."""


def plot_fits(*results: FitResult, ax: Sequence[Axes] | None = None) -> list[Axes]:
    """Draw fits side by side: p filled, the fitted q on top, its other minima faint.

    Parameters
    ----------
    *results : FitResult
        Usually one forward and one reverse fit of the same p.
    ax : sequence of Axes, optional
        One for each result; by default a new figure with a row of panels.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        If there is no result, or the number of axes is another one.
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
    if ax is None:
        from matplotlib import pyplot

        size = (4.6 * len(results), 3.8)
        _, panels = pyplot.subplots(
            1, len(results), sharex=True, sharey=True, squeeze=False, figsize=size, layout="constrained"
        )
        ax = list(panels[0])
    if len(ax) != len(results):
        raise ValueError(f"{len(results)} results need as many axes, got {len(ax)}")
    lower, upper = np.transpose([_visible_range(result) for result in results])
    x = np.linspace(lower.min(), upper.max(), CURVE_POINTS)
    for result, axes in zip(results, ax, strict=True):
        _draw(result, axes, x)
    return list(ax)


def _draw(result: FitResult, ax: Axes, x: Floats) -> None:
    color = COLOR[result.direction]
    p = result.p.pdf(x)
    filled = ax.fill_between(x, p, color="0.85", linewidth=0, label="p")
    filled.sticky_edges.y.append(0.0)  # the axis starts at 0 and stays free above
    ax.plot(x, p, color="0.45", linewidth=1)
    for minimum in result.minima[1:]:
        ax.plot(x, minimum.q.pdf(x), color=color, alpha=0.45, linewidth=1.2, linestyle=":")
    if len(result.minima) > 1:
        ax.plot([], [], color=color, alpha=0.45, linewidth=1.2, linestyle=":", label="other minima")
    label = f"q = {short(result.q, digits=3)}"
    linestyle = "--" if result.direction == "forward" else "-"
    ax.plot(x, result.q.pdf(x), color=color, linewidth=2, linestyle=linestyle, label=label)
    ax.set_title(f"{TITLE[result.direction]}, divergence {result.divergence:.4g}", fontsize=10)
    ax.set_xlabel("x")
    ax.set_ylabel("density")
    ax.set_xlim(x[0], x[-1])
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def _visible_range(result: FitResult) -> tuple[float, float]:
    """The part of the grid where p or a minimum is visible."""
    x = np.linspace(result.grid.line.lower, result.grid.line.upper, 20 * CURVE_POINTS)
    curves = [result.p, result.q, *(m.q for m in result.minima)]
    seen = np.zeros(x.size, dtype=bool)
    for curve in curves:
        density = curve.pdf(x)
        seen |= density > VISIBLE * density.max()
    at = np.flatnonzero(seen)
    return float(x[max(at[0] - 1, 0)]), float(x[min(at[-1] + 1, x.size - 1)])
