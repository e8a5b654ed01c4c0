"""Densities from text and files: the targets of the command line."""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastkl.densities import Density, Mixture, Tabulated
from fastkl.densities.containers import on_tensor_grid
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.files import Columns, complete, is_file, is_number, listed, read_columns, title
from fastkl.grids import Grid
from fastkl.validation import Floats, as_reals

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?N\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*")
_VECTOR_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?N\(\s*(\[[^][]*\])\s*,\s*(\[\s*\[[^()]*\]\s*\])\s*\)\s*")

GRAMMAR = (
    'a mixture such as "0.5*N(-2,0.6) + 0.5*N(2,0.6)" (N(loc, standard deviation)) or "N([0,0],[[1,0.5],[0.5,1]])" '
    "(N(mean, covariance)), or a file such as a .npz, .csv, .txt or .parquet, or - for standard input"
)


class Target(NamedTuple):
    """A density and the account of its file."""

    density: Density
    n_rows: int = 0
    """Number of rows in the file; 0 for a formula."""
    n_dropped: int = 0
    """Number of rows that were left out because a number is missing in them."""


def parse_target(text: str, **options: Any) -> Density:
    """The density that *text* describes or that the file of that name holds; `read_target` has the options."""
    return read_target(text, **options).density


def read_target(
    text: str,
    *,
    samples: str | None = None,
    bandwidth: str | float = "scott",
    grid: Grid | None = None,
    support: tuple[float, float] | None = None,
    x: Sequence[str] = (),
    p: str | None = None,
    logp: str | None = None,
    floor: float | None = None,
    pseudocount: float | None = None,
    drop_nan: bool = False,
) -> Target:
    """The density that *text* describes or that the file of that name holds.

    Parameters
    ----------
    text : str
        A mixture of Normals in the notation of `GRAMMAR`; or the name of a file with columns ``x`` and ``p`` or
        ``logp``, for several axes ``x``, ``y`` (and ``z``) or ``x0``, ``x1`` ..., one row for each node of the grid in
        any order; or of a .npz archive, in which the values may also have the shape of the grid; or ``-`` for text on
        standard input. Columns ``left``, ``right`` and ``count``, or ``edge`` and ``count``, make a histogram, as
        arrays ``edges`` and ``counts`` of an archive do, in any case of letters.
    samples : str, optional
        The column of a file that holds raw observations.
    bandwidth : str or float
        Bandwidth for `samples`, as in `Tabulated.from_samples`.
    grid : Grid, optional
        Grid for `samples`, as in `Tabulated.from_samples`.
    support : (float, float), optional
        Ends of the possible values of `samples`, as in `Tabulated.from_samples`.
    x : sequence of str
        Other names of the columns of the axes.
    p, logp : str, optional
        Other name of the column of densities or of log-densities.
    floor : float, optional
        As in `Tabulated`, for a file.
    pseudocount : float, optional
        As in `Tabulated.from_histogram`, for a file of counts.
    drop_nan : bool
        Whether rows of a file in which a number is missing are left out; by default they are an error.

    Raises
    ------
    ValueError
        If the text or the file is malformed; the message names the place.
    OSError
        If the file cannot be read.
    """
    if p is not None and logp is not None:
        raise ValueError(f"the values are densities or log-densities, got both --p {p} and --logp {logp}")
    if samples is not None:
        if x or p or logp or floor is not None or pseudocount is not None:
            raise ValueError("--x, --p, --logp, --floor and --pseudocount are for a table, not for --samples")
        columns = read_columns(text, lambda names: [_known(text, names, samples)], drop_nan=drop_nan)
        _require_finite(text, columns, [samples])
        estimate = Tabulated.from_samples(columns.numbers[samples], grid, support=support, bandwidth=bandwidth)
        return Target(estimate, columns.n_rows, columns.n_dropped)
    if not is_file(text):
        return Target(parse_mixture(text))
    read = _from_npz if text.lower().endswith(".npz") else _from_table
    return read(text, _Names(tuple(x), p, logp), _Options(floor, pseudocount, drop_nan))


def parse_mixture(text: str) -> Normal | MultivariateNormal | Mixture:
    """A Normal or a mixture from its formula."""
    parts: list[Normal | MultivariateNormal] = []
    weights, at = [], 0
    while True:
        term = _TERM.match(text, at) or _VECTOR_TERM.match(text, at)
        if term is None:
            raise ValueError(f"cannot read {text[at:].strip()!r} at position {at} of {text!r}: expected {GRAMMAR}")
        weight, place, spread = term.groups()
        parts.append(_normal(place, spread))
        weights.append(1.0 if weight is None else float(weight))
        at = term.end()
        if at == len(text):
            break
        if text[at] != "+":
            raise ValueError(f"expected '+' at position {at} of {text!r}, got {text[at]!r}")
        at += 1
    return parts[0] if len(parts) == 1 and weights == [1.0] else Mixture(parts, weights)


def _normal(place: str, spread: str) -> Normal | MultivariateNormal:
    if not place.startswith("["):
        return Normal(float(place), float(spread))
    try:
        mean, cov = (json.loads(re.sub(r"(?<![\d.])\.(?=\d)", "0.", part)) for part in (place, spread))  # .5 as 0.5
    except json.JSONDecodeError as error:
        raise ValueError(f"cannot read N({place}, {spread}): {error}") from None
    return MultivariateNormal(mean, cov)


class _Options(NamedTuple):
    """How the values of a file are taken."""

    floor: float | None
    pseudocount: float | None
    drop_nan: bool


CELLS = ("left", "right", "count"), ("edge", "count")
"""Columns of a histogram: both edges of each cell, or its lower edge, and a last row with the last edge alone."""
ARRAYS = ("edges", "counts")
"""Arrays of a histogram in an archive, as `numpy.histogram` gives them."""


class _Names(NamedTuple):
    """The names of columns that were asked for."""

    x: tuple[str, ...]
    p: str | None
    logp: str | None

    def axes(self, source: str, names: Sequence[str]) -> list[str]:
        """The columns of the axes, each of which the file has."""
        if len(set(self.x)) < len(self.x):
            raise ValueError(f"{title(source)}: each axis has a column of its own, got --x {' --x '.join(self.x)}")
        if self.x:
            return [_known(source, names, name) for name in self.x]
        numbered = [name for name in (f"x{d}" for d in range(len(names))) if name in names]
        return ["x", *(name for name in ("y", "z") if name in names)] if "x" in names or not numbered else numbered

    def value(self, source: str, names: Sequence[str], axes: Sequence[str]) -> tuple[str, bool]:
        """The column of the values, and whether it holds logarithms."""
        given = self.p or self.logp
        if given is not None:
            return _known(source, names, given), self.p is None
        if not set(axes) <= set(names) or ("p" in names) == ("logp" in names):
            raise ValueError(
                f"{title(source)}: expected x and either p or logp, or the cells of a histogram "
                f"({'; '.join(', '.join(columns) for columns in CELLS)}; in .npz {' and '.join(ARRAYS)}), got "
                f"{_listed(names)}; --x and --p or --logp name other columns, --samples one of raw observations"
            )
        return ("p", False) if "p" in names else ("logp", True)


def _of_histogram(source: str, names: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """The columns of a histogram, whose names may be in any case of letters; empty if one of them is missing."""
    found = {}
    for column in columns:
        alike = [name for name in names if name.lower() == column]
        if len(alike) > 1 and column not in alike:
            raise ValueError(f"{title(source)}: columns {_listed(alike)} differ only in the case of letters")
        found[column] = column if column in alike else "".join(alike)
    return found if all(found.values()) else {}


def _known(source: str, names: Sequence[str], name: str) -> str:
    """*name* itself, if the file has a column of that name."""
    if name not in names:
        raise ValueError(f"{title(source)}: no column {name!r}, only {_listed(names)}")
    return name


def _listed(names: Sequence[str]) -> str:
    """The names of columns for a message, with a word about a table that seems to have none."""
    no_names = names and all(map(is_number, names))
    return listed(names) + (" (the first row, or a comment above it, must name the columns)" if no_names else "")


def _from_table(source: str, wanted: _Names, options: _Options) -> Target:
    axes: list[str] = []
    value, log = "", False
    cells: dict[str, str] = {}

    def choose(names: Sequence[str]) -> Sequence[str]:
        nonlocal axes, value, log, cells
        if wanted == _Names((), None, None):
            cells = next(filter(None, (_of_histogram(source, names, columns) for columns in CELLS)), {})
            if cells:
                return list(cells.values())
        axes = wanted.axes(source, names)
        value, log = wanted.value(source, names, axes)
        return [_known(source, names, name) for name in (*axes, value)]

    columns = read_columns(source, choose, drop_nan=options.drop_nan, last_may_lack="count")
    if cells:
        numbers = {column: columns.numbers[name] for column, name in cells.items()}
        return _of_cells(source, columns._replace(numbers=numbers), options)
    return _in_long_form(source, columns, axes, value, log=log, options=options)


def _refuse_floor(source: str, options: _Options) -> None:
    """Refuse a floor for counts."""
    if options.floor is not None:
        raise ValueError(f"{title(source)}: --floor is for a table of densities, for counts there is --pseudocount")


def _of_cells(source: str, columns: Columns, options: _Options) -> Target:
    """A histogram with one row for each cell, in order."""
    _refuse_floor(source, options)
    counts = columns.numbers["count"]
    if "edge" in columns.numbers:
        edges = columns.numbers["edge"]
        if not (np.isnan(counts[-1]) or counts[-1] == 0.0):
            raise ValueError(
                f"{title(source)}, {columns.place(counts.size - 1)}: the last row holds the last edge, without a "
                f"count, got {counts[-1]:g}"
            )
        counts = counts[:-1]
    else:
        left, right = columns.numbers["left"], columns.numbers["right"]
        apart = np.flatnonzero(left[1:] != right[:-1])
        if apart.size:
            at = int(apart[0])
            raise ValueError(
                f"{title(source)}, {columns.place(at + 1)}: the cell begins at {left[at + 1]:g}, where the one before "
                f"ends at {right[at]:g}; cells follow one another, with a count of 0 where there is nothing"
            )
        edges = np.append(left, right[-1:])
        _require_counts(source, columns, counts)
    try:
        density = Tabulated.from_histogram(counts, edges, pseudocount=options.pseudocount or 0.0)
    except ValueError as error:
        raise ValueError(f"{title(source)}: {error}") from None
    return Target(density, columns.n_rows, columns.n_dropped)


def _require_counts(source: str, columns: Columns, counts: Floats) -> None:
    if np.isnan(counts).any():
        at = int(np.argmax(np.isnan(counts)))
        raise ValueError(
            f"{title(source)}, {columns.place(at)}: expected a number in column 'count', got an empty cell"
        )


def _in_long_form(
    source: str, columns: Columns, axes: Sequence[str], value: str, *, log: bool, options: _Options
) -> Target:
    """A table with one row for each node of its grid."""
    if options.pseudocount is not None:
        raise ValueError(f"{title(source)}: --pseudocount is for columns left, right, count or edge, count")
    _require_finite(source, columns, axes)
    lines, values = {name: columns.numbers[name] for name in axes}, columns.numbers[value]
    falling = np.flatnonzero(np.diff(lines[axes[0]]) <= 0.0) + 1 if len(axes) == 1 else ()
    bad = [*falling, *np.flatnonzero((values == np.inf) | ((values < 0.0) & (not log)))]
    place = f", {columns.place(int(bad[0]))}" if bad else ""
    try:
        grid, values = (Grid.from_axes(lines[axes[0]]), values) if len(axes) == 1 else on_tensor_grid(lines, values)
        density = Tabulated(grid, values, log=log, floor=options.floor)
    except ValueError as error:
        raise ValueError(f"{title(source)}{place}: {error}") from None
    return Target(density, columns.n_rows, columns.n_dropped)


def _require_finite(source: str, columns: Columns, names: Sequence[str]) -> None:
    """Refuse infinite numbers in some of the columns."""
    for name in names:
        infinite = np.flatnonzero(np.isinf(columns.numbers[name]))
        if infinite.size:
            at = int(infinite[0])
            raise ValueError(
                f"{title(source)}, {columns.place(at)}: column {name!r} must be finite, got {columns.numbers[name][at]}"
            )


def _from_npz(source: str, wanted: _Names, options: _Options) -> Target:
    try:
        with open(source, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a name")
            arrays = {name: content[name] for name in content.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{source}: not a readable .npz file: {error}") from None
    names = list(arrays)
    cells = _of_histogram(source, names, ARRAYS) if wanted == _Names((), None, None) else {}
    if cells:
        _refuse_floor(source, options)
        edges, counts = (arrays[name] for name in cells.values())
        try:
            if counts.ndim > edges.ndim == 1:
                _refuse_batch(cells["counts"], counts, f"Tabulated.from_histogram({', '.join(ARRAYS[::-1])})")
            found = Tabulated.from_histogram(counts, edges, pseudocount=options.pseudocount or 0.0)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{source}: {error}") from None
        return Target(found)
    axes = wanted.axes(source, names) if wanted.x or "x" not in arrays else ["x"]  # another y need not be an axis
    value, log = wanted.value(source, names, axes)
    try:
        reals = {name: as_reals(arrays[name], name) for name in (*axes, value)}
        if reals[value].ndim > 1 and len(axes) > 1:
            grid = Grid.from_axes(*(reals[name] for name in axes))
            return Target(Tabulated(grid, reals[value], log=log, floor=options.floor))
        if reals[value].ndim > 1 and reals[axes[0]].shape == reals[value].shape[-1:]:
            table = f"Tabulated(fastkl.Grid.from_axes({axes[0]}), {value}{', log=True' if log else ''})"
            _refuse_batch(value, reals[value], table)
        _require_one_length(reals)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from None
    columns = complete(source, reals, lambda row: f"row {row + 1}", drop_nan=options.drop_nan)
    return _in_long_form(source, columns, axes, value, log=log, options=options)


def _refuse_batch(name: str, values: NDArray[Any], table: str) -> NoReturn:
    """Refuse rows of densities on one axis, of which the commands take one."""
    raise ValueError(
        f"array {name!r} of shape {values.shape} holds {math.prod(values.shape[:-1])} densities, and the command takes "
        f"one; in Python, fastkl.fit(fastkl.{table}, 'normal', direction='forward') fits them all"
    )


def _require_one_length(columns: dict[str, Floats]) -> None:
    """Refuse columns of different lengths."""
    shapes = {column.shape for column in columns.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        text = ", ".join(f"{name} of shape {column.shape}" for name, column in columns.items())
        raise ValueError(f"columns must be one-dimensional and of one length, got {text}")
