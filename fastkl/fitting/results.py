"""Results of the fits of a batch: the members of a family and the evidence for them, as arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Mixture, Tabulated
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.fitting.charts import FITTED, Chart, MixtureChart
from fastkl.fitting.normals import ROWS_AT_ONCE, errors_of, pieces_of
from fastkl.fitting.result import TITLE, Direction
from fastkl.fitting.solution import Settings, solution
from fastkl.fitting.status import FitStatus
from fastkl.fitting.task import Task
from fastkl.grids import Grid
from fastkl.integrals import kl_divergence
from fastkl.jit import counting
from fastkl.notebook import html_table
from fastkl.validation import Floats

Parameters = dict[str, Floats]


def layout_of(chart: Chart) -> dict[str, tuple[int, ...]]:
    """The names of the parameters of a member of a family on one axis, and their shapes."""
    if isinstance(chart, MixtureChart):
        return dict.fromkeys(("weights", "loc", "scale"), (chart.parts,))
    if chart.family is MultivariateNormal:
        return {"mean": (1,), "cov": (1, 1)}
    return {field.name: () for field in fields(chart.family)}


def numbers_of(q: Any) -> dict[str, Any]:
    """The parameters of a member of a family on one axis, by the names of `layout_of`."""
    if isinstance(q, Mixture):
        return {"weights": q.weights, **{name: [getattr(c, name) for c in q.components] for name in ("loc", "scale")}}
    if isinstance(q, MultivariateNormal):
        return {"mean": q.mean, "cov": q.cov}
    return dict(vars(q))


def _member(family: Any, numbers: Mapping[str, Any]) -> Any:
    """The member with these parameters."""
    if family is Mixture:
        components = [Normal(*pair) for pair in zip(numbers["loc"], numbers["scale"], strict=True)]
        return Mixture(components, numbers["weights"])
    return family(**numbers)


@dataclass(frozen=True, eq=False)
class Members:
    """The fitted densities of a batch: members of one family, whose parameters are arrays.

    Attributes
    ----------
    family : type
        The class of the members.
    parameters : dict of str to ndarray
        The parameters by name, each an array of the shape of the batch, NaN where there is no fit. They are attributes
        as well, such as ``q.loc`` and ``q.scale``. Those of a mixture are ``weights``, ``loc`` and ``scale``, with an
        axis for its components at the end; a MultivariateNormal has ``mean`` and ``cov``, with one and two such axes.
    shape : tuple of int
        The shape of the batch; ``q[index]`` is a member, or several.

    Examples
    --------
    >>> import fastkl
    >>> grid = fastkl.Grid.uniform(-8, 8, 301)
    >>> rows = fastkl.Normal(0, 1).pdf(grid.axes[0] - [[-1.0], [0.5]])
    >>> q = fastkl.fit(rows, "normal", grid, direction="forward").q
    >>> q.scale.round(6).tolist(), round(q[1].loc, 6)
    ([1.0, 1.0], 0.5)
    """

    family: type[Any]
    parameters: Parameters
    shape: tuple[int, ...]

    def __getattr__(self, name: str) -> Floats:
        found = vars(self).get("parameters", {})
        if name not in found:
            raise AttributeError(f"the members of a family have {', '.join(found)}, but no {name}")
        return found[name]  # type: ignore[no-any-return]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.parameters]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """The member at *index*, or several; a ValueError for a row that has none."""
        rows = np.arange(math.prod(self.shape)).reshape(self.shape)[index]
        found = {name: _taken(array, self.shape, rows) for name, array in self.parameters.items()}
        if rows.ndim:
            return Members(self.family, found, rows.shape)
        if any(np.isnan(array).any() for array in found.values()):
            raise ValueError(f"row {index} has no fit, as its status says, or, in a runner_up_q, no second minimum")
        return _member(self.family, {name: array.tolist() for name, array in found.items()})

    def __repr__(self) -> str:
        return f"Members({self.family.__name__}, shape={self.shape})"


def _taken(array: NDArray[Any], shape: tuple[int, ...], rows: NDArray[np.intp]) -> Any:
    """The entries of some rows of an array, whose first axes are those of the batch."""
    return array.reshape(-1, *array.shape[len(shape) :])[rows] if array.size else array


@dataclass(frozen=True, eq=False)
class FitResults:
    """The best approximations of the densities of a batch, and how good they are: a `FitResult` of arrays.

    Every figure is an array of the batch shape, NaN in a row that has no fit; ``status`` says why. Rows are equal, bit
    for bit, to the same densities fitted alone: ``results[index]`` is the `FitResult` of one row, for which it is
    fitted once more, with all minima; a slice, a mask or a list of rows gives the results of several.

    Attributes
    ----------
    q : Members
        The fitted densities: ``q.loc`` and ``q.scale`` are arrays, ``q[index]`` is a density.
    p : Tabulated
        The batch.
    grid : Grid
        The grid of the batch.
    direction : {'forward', 'reverse'}
    divergence : ndarray
        KL(p||q) forward, KL(q||p) reverse, in nats.
    n_minima : ndarray of int
        Number of local minima that were found.
    runner_up : ndarray
        Divergence of the second-best minimum; NaN if there is none.
    runner_up_q : Members
        The densities there.
    hessian : ndarray, shape (..., k, k)
    gradient_norm, min_eigenvalue, log_normalizer, quadrature_error, mass_outside, mass_outside_p : ndarray
    passes : ndarray
    nit : ndarray of int
    converged : ndarray of bool
        As in `FitResult`.
    status : ndarray of int
        The `FitStatus`: 0 for a success, and otherwise the check that failed, or the reason why p cannot be fitted.
    parameter_names : tuple of str
        Names of the k parameters of the Hessian.
    rtol, atol, mass_tol : float
        The tolerances that were used.
    settings : Settings
        The arguments of the fit.

    Examples
    --------
    >>> import numpy as np, fastkl
    >>> grid = fastkl.Grid.uniform(-8, 8, 301)
    >>> rows = fastkl.Normal(0, 1).pdf(grid.axes[0] - [[-1.0], [0.5], [2.0]])
    >>> rows[1, 150] = -1.0
    >>> results = fastkl.fit(rows, "normal", grid, direction="forward")
    >>> results.status.tolist(), results.message
    ([0, 22, 0], '2 of 3 rows are a success; 1 of 3 rows is NaN: p is negative')
    >>> round(results[2].q.loc, 6)
    2.0
    """

    q: Members
    p: Tabulated
    grid: Grid
    direction: Direction
    divergence: Floats
    n_minima: NDArray[np.int64]
    runner_up: Floats
    runner_up_q: Members
    hessian: Floats
    gradient_norm: Floats
    min_eigenvalue: Floats
    log_normalizer: Floats
    mass_outside: Floats
    mass_outside_p: Floats
    nit: NDArray[np.int64]
    passes: Floats
    converged: NDArray[np.bool_]
    status: NDArray[np.int8]
    parameter_names: tuple[str, ...]
    rtol: float
    atol: float
    mass_tol: float
    settings: Settings

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the batch."""
        return self.status.shape

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def success(self) -> NDArray[np.bool_]:
        """Whether the fit of each row has passed every check."""
        return np.asarray(self.status == FitStatus.SUCCESS)

    @cached_property
    def quadrature_error(self) -> Floats:
        """Estimated error of `divergence`, computed on first access if no check needs it."""
        columns = [array.ravel() for array in (self.q.loc, self.q.scale, self.divergence, self.mass_outside)]
        found = np.empty(self.status.size)
        for at, part in pieces_of(self.p, ROWS_AT_ONCE):
            loc, scale, divergence, outside = (column[at] for column in columns)
            found[at] = errors_of(part, self.direction, np.column_stack([loc, scale]), divergence, outside)
        return found.reshape(self.shape)

    @cached_property
    def forward(self) -> Floats:
        """KL(p||q), computed row by row on first access if the fits were reverse ones."""
        if self.direction == "forward":
            return self.divergence
        return self._each(lambda task, q: kl_divergence(task.target, q, task.grid))

    @cached_property
    def reverse(self) -> Floats:
        """KL(q||p), computed row by row on first access if the fits were forward ones."""
        if self.direction == "reverse":
            return self.divergence
        return self._each(lambda task, q: kl_divergence(q, task.target, task.grid))

    @property
    def elbo(self) -> Floats:
        """log_normalizer - KL(q||p), the evidence lower bound, computed like `reverse`."""
        return self.log_normalizer - self.reverse

    def _each(self, figure: Callable[[Task, Any], float]) -> Floats:
        """A figure of every row that has a fit."""
        found = np.full(self.shape, np.nan)
        with warnings.catch_warnings(), counting("row") as report:
            warnings.simplefilter("ignore", UserWarning)  # `status` says whether the grid resolves q
            for done, index in enumerate(np.ndindex(self.shape), start=1):
                if FitStatus(int(self.status[index])).has_fit:
                    found[index] = figure(self.settings.task(self.p[index]), self.q[index])
                report(done, self.status.size)
        return found

    def __getitem__(self, index: Any) -> Any:
        """The `FitResult` of one row, which is fitted once more, or the results of several rows."""
        rows = np.arange(self.status.size).reshape(self.shape)[index]
        if not rows.ndim:
            return solution(self.p[np.unravel_index(rows, self.shape)], None, self.settings).result()
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        taken = {name: _taken(array, self.shape, rows) for name, array in own.items() if isinstance(array, np.ndarray)}
        part = replace(self, q=self.q[index], p=self.p[index], runner_up_q=self.runner_up_q[index], **taken)
        known = {name: _taken(vars(self)[name], self.shape, rows) for name in DERIVED if name in vars(self)}
        vars(part).update(known)
        return part

    def to_columns(self) -> dict[str, NDArray[Any]]:
        """One-dimensional arrays by name, as ``pandas.DataFrame`` and other tables take them, one entry for each row.

        Returns
        -------
        dict
            The parameters of q, those of components with their number, such as ``loc0``; every figure except the
            Hessian; and the parameters of the runner-up, as ``runner_up_loc``. A batch of several axes is in C order.

        Examples
        --------
        >>> import fastkl
        >>> p = fastkl.Tabulated.from_histogram([[6, 24, 38, 24, 8], [1, 6, 24, 36, 20]], [0, 10, 20, 30, 40, 50])
        >>> columns = fastkl.fit(p, "normal", direction="forward").to_columns()
        >>> columns["loc"].round(2).tolist(), columns["success"].tolist()
        ([25.4, 32.81], [True, True])
        """
        figures = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "hessian"}
        return {
            **_columns(self.q, ""),
            **{name: array.ravel() for name, array in figures.items() if isinstance(array, np.ndarray)},
            "quadrature_error": self.quadrature_error.ravel(),
            **_columns(self.runner_up_q, "runner_up_"),
            "success": self.success.ravel(),
        }

    @property
    def message(self) -> str:
        """The numbers of rows by their status, with the reasons in words."""
        return "; ".join(f"{head} {text}" for head, text in self._counted())

    def _counted(self) -> list[tuple[str, str]]:
        """Numbers of rows, and words about them: successes, and then every other status, the most frequent first."""
        total = self.status.size
        known, counts = np.unique(self.status, return_counts=True)
        by_status = dict(zip(known.tolist(), counts.tolist(), strict=True))
        good = by_status.pop(FitStatus.SUCCESS, 0)
        rows = [(f"{good} of {total} rows", f"{'is' if good == 1 else 'are'} a success")]
        for code, count in sorted(by_status.items(), key=lambda pair: (-pair[1], pair[0])):
            status, verb = FitStatus(code), "is" if count == 1 else "are"
            verdict = f"{verb} no success" if status.has_fit else f"{verb} NaN"
            rows.append((f"{count} of {total} rows", f"{verdict}: {status.reason}"))
        return rows

    def __str__(self) -> str:
        rows = [f"  {name:<14}{value}" for name, value in self._rows()]
        return "\n".join([TITLE[self.direction], *rows, *(f"  {head} {text}" for head, text in self._counted())])

    def _repr_html_(self) -> str:
        """The table of `str`, for a notebook."""
        return html_table(TITLE[self.direction], [*self._rows(), *self._counted()])

    def __repr__(self) -> str:
        return f"FitResults({self.q.family.__name__}, direction={self.direction!r}, shape={self.shape}: {self.message})"

    def _rows(self) -> list[tuple[str, str]]:
        """Names and values of the table."""
        name = next(name for name, family in FITTED.items() if family is self.q.family)
        rows = [("rows", f"{' x '.join(map(str, self.shape))}, on {self.grid.size} points"), ("family", name)]
        known = self.divergence[~np.isnan(self.divergence)]
        if known.size:
            shares = np.quantile(known, QUANTILES)
            text = ", ".join(f"{x:.6g} ({share:.0%})" for share, x in zip(QUANTILES, shares.tolist(), strict=True))
            rows.append(("KL(p||q)" if self.direction == "forward" else "KL(q||p)", text))
        if known.size and self.direction == "reverse":
            several = int(np.count_nonzero(self.n_minima > 1))
            rows.append(("minima", f"{several} of {self.status.size} rows have more than one"))
        return rows


QUANTILES = (0.05, 0.5, 0.95, 1.0)
"""Shares of the rows below the divergences that a table of results shows."""

DERIVED = ("quadrature_error", "forward", "reverse")
"""Attributes that are computed when they are first asked for."""


def _columns(q: Members, prefix: str) -> dict[str, Floats]:
    """The parameters of members as columns, those of several components numbered."""
    columns = {}
    for name, array in q.parameters.items():
        own = array.shape[len(q.shape) :]
        flat = array.reshape(math.prod(q.shape), math.prod(own))
        for k in range(flat.shape[1]):
            columns[f"{prefix}{name}{k if own else ''}"] = flat[:, k]
    return columns
