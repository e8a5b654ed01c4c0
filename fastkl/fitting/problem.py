"""A fit to be made: the target, the grid and the direction, all checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from numpy.typing import ArrayLike

from fastkl.densities import Density, Normal, Tabulated
from fastkl.densities.summary import Summary, summarize
from fastkl.fitting.result import Direction
from fastkl.grids import Grid, as_grid
from fastkl.integrals import Integral, common_grid, integrate, mass_inside, require_mass

FAMILIES: dict[str, type[Density]] = {"normal": Normal}

DIRECTIONS = "'forward' (min KL(p||q), q covers all of p) or 'reverse' (min KL(q||p), q settles on a mode of p)"


@dataclass(frozen=True)
class Problem:
    """Find the q that minimises the divergence from `target` on `grid`, in one direction."""

    target: Density
    grid: Grid
    direction: Direction

    @cached_property
    def summary(self) -> Summary:
        """What one pass over the target tells."""
        summary = summarize(self.target, self.grid)
        require_mass(self.target, self.grid, summary.moments()[0])
        return summary

    @property
    def log_mass_inside(self) -> float:
        """Logarithm of the target's mass on the grid, as the divergence counts it."""
        return math.log(mass_inside(self.target, self.summary.moments()[0]))

    def order(self, q: Normal) -> tuple[Density, Density]:
        """p and q, or q and p: KL of the first from the second is to be minimised."""
        return (self.target, q) if self.direction == "forward" else (q, self.target)

    def integral(self, q: Normal) -> Integral:
        """That divergence."""
        return integrate(*self.order(q), self.grid)

    def refuse_zeros(self) -> None:
        """In a reverse fit, a p that is 0 anywhere on the grid makes every divergence infinite."""
        zero = self.summary.zero_index
        if zero is None:
            return
        x = self.grid.line.node(zero)
        start = f"p is 0 at x = {x:.6g}, so KL(q||p) is infinite for every Normal q; "
        if isinstance(self.target, Tabulated) and not self.target.grid.line.lower <= x <= self.target.grid.line.upper:
            table = self.target.grid.line
            raise ValueError(f"{start}its table ends at {table.lower:.6g} and {table.upper:.6g}: fit on that grid")
        raise ValueError(
            f"{start}give p as log-densities (log=True, a column logp), which do not underflow, or choose a floor "
            "(Tabulated(..., floor=1e-300)); a forward fit is not affected"
        )


def problem_of(p: Density | ArrayLike, family: Any, grid: Grid | None, direction: str | None, log: bool) -> Problem:
    """The arguments of `fit`, checked."""
    known = _checked_direction(direction)
    if family is not Normal and not (isinstance(family, str) and family in FAMILIES):
        raise ValueError(f"family must be {' or '.join(map(repr, FAMILIES))} or its class, got {family!r}")
    if grid is not None and as_grid(grid).ndim > 1:
        raise ValueError(f"a Normal is fitted on a grid of one axis, got one of shape {grid.shape}")
    if isinstance(p, Density):
        if p.ndim > 1:
            raise ValueError(f"a Normal is fitted to a density of one dimension, got one of {p.ndim}")
        if log:
            raise TypeError(f"log=True is for arrays; a {type(p).__name__} knows itself whether it holds logarithms")
        if grid is None:
            # a q that covers all of p may be wider than every component of it
            grid = common_grid(p, None if isinstance(p, Tabulated) else Normal(p.mean, p.std))
        return Problem(p, grid, known)
    if grid is None:
        raise TypeError(
            f"p is not a density but a {type(p).__name__}: values at the nodes of a grid need grid=, "
            "and raw observations go through Tabulated.from_samples"
        )
    return Problem(Tabulated(grid, p, log=log), grid, known)


def _checked_direction(direction: str | None) -> Direction:
    if direction is None:
        raise TypeError(f"fit() needs a direction: {DIRECTIONS}")
    for known in get_args(Direction):
        if direction == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"direction must be {DIRECTIONS}; got {direction!r}")
