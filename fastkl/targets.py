"""Densities from text and files: the targets of the command line."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastkl.densities import Density, Mixture, Tabulated
from fastkl.families import MultivariateNormal
from fastkl.families.normal import Normal
from fastkl.grids import Grid
from fastkl.validation import Floats, as_reals

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?N\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*")
_VECTOR_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?N\(\s*(\[[^][]*\])\s*,\s*(\[\s*\[[^()]*\]\s*\])\s*\)\s*")

GRAMMAR = (
    'a mixture such as "0.5*N(-2,0.6) + 0.5*N(2,0.6)" (N(loc, standard deviation)) or "N([0,0],[[1,0.5],[0.5,1]])" '
    "(N(mean, covariance)), or a .npz or .csv file"
)


def parse_target(
    text: str, *, samples: str | None = None, bandwidth: str | float = "scott", grid: Grid | None = None
) -> Density:
    """The density that *text* describes or that the file of that name holds.

    Parameters
    ----------
    text : str
        A mixture of Normals in the notation of `GRAMMAR`, or the name of a file with columns ``x`` and
        ``p`` or ``logp``; for several axes, of a .npz file with ``x0``, ``x1`` ... and ``p`` or ``logp`` of that shape.
    samples : str, optional
        The column of a .csv file that holds raw observations.
    bandwidth : str or float
        Bandwidth for `samples`, as in `Tabulated.from_samples`.
    grid : Grid, optional
        Grid for `samples`, as in `Tabulated.from_samples`.

    Raises
    ------
    ValueError
        If the text or the file is malformed; the message names the place.
    OSError
        If the file cannot be read.
    """
    path = Path(text)
    if samples is not None:
        return Tabulated.from_samples(_observations(path, samples), grid, bandwidth=bandwidth)
    if path.suffix.lower() == ".npz":
        return _from_npz(path)
    if path.suffix.lower() == ".csv":
        return _from_csv(path)
    return parse_mixture(text)


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


def _tabulated(path: Path, x: Floats, name: str, values: Floats) -> Tabulated:
    if x.shape != values.shape:
        raise ValueError(f"{path}: x and {name} must have one length, got shapes {x.shape} and {values.shape}")
    try:
        return Tabulated(Grid.from_axes(x), values, log=name == "logp")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _value_column(path: Path, names: Sequence[str]) -> str:
    """The one of the columns 'p' and 'logp' that stands beside 'x'."""
    if "x" not in names or ("p" in names) == ("logp" in names):
        raise ValueError(f"{path}: expected x and either p or logp, got {', '.join(names) or 'nothing'}")
    return "p" if "p" in names else "logp"


def _from_npz(path: Path) -> Tabulated:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a name")
            arrays = {name: content[name] for name in content.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable .npz file: {error}") from None
    axes = [f"x{d}" for d in range(len(arrays)) if f"x{d}" in arrays]
    if axes and "x" not in arrays:
        return _on_axes(path, arrays, axes)
    name = _value_column(path, list(arrays))
    return _tabulated(path, as_reals(arrays["x"], f"{path}: x"), name, as_reals(arrays[name], f"{path}: {name}"))


def _on_axes(path: Path, arrays: dict[str, Any], axes: list[str]) -> Tabulated:
    """A table on the axes with these names."""
    name = _value_column(path, ["x", *arrays])
    try:
        return Tabulated(Grid.from_axes(*(arrays[axis] for axis in axes)), arrays[name], log=name == "logp")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _from_csv(path: Path) -> Tabulated:
    with _csv_rows(path) as (header, rows):
        name = _value_column(path, header)
        columns = _numbers(path, header, rows, ["x", name])
    return _tabulated(path, columns["x"], name, columns[name])


def _observations(path: Path, column: str) -> Floats:
    with _csv_rows(path) as (header, rows):
        if column not in header:
            raise ValueError(f"{path}: no column {column!r}, only {', '.join(header) or 'an empty header'}")
        return _numbers(path, header, rows, [column])[column]


@contextlib.contextmanager
def _csv_rows(path: Path) -> Iterator[tuple[list[str], Any]]:
    """The header of a .csv file and a reader of the rows below it."""
    # bytes that are no UTF-8 do no harm in other columns, and are spelled out in the message if they are in a number
    with path.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        rows = csv.reader(file, strict=True)
        try:
            yield [name.strip() for name in next(rows, [])], rows
        except csv.Error as error:
            raise ValueError(f"{path}, line {rows.line_num}: {error}") from None


def _numbers(path: Path, header: list[str], rows: Any, names: list[str]) -> dict[str, Floats]:
    """The columns with these names; blank lines are passed over."""
    places = [header.index(name) for name in names]
    numbers = [[_cell(path, rows.line_num, row, place) for place in places] for row in rows if any(map(str.strip, row))]
    if not numbers:
        raise ValueError(f"{path}: no numbers below the header")
    return dict(zip(names, np.array(numbers).T, strict=True))


def _cell(path: Path, line: int, row: list[str], place: int) -> float:
    try:
        return float(row[place])
    except IndexError:
        raise ValueError(f"{path}, line {line}: expected at least {place + 1} columns, got {len(row)}") from None
    except ValueError:
        raise ValueError(f"{path}, line {line}: expected a number, got {row[place]!r}") from None
