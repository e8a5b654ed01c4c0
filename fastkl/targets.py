"""Densities from text and files: what the command line takes as a target."""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

import numpy as np

from fastkl.densities import Density, Mixture, Normal, Tabulated
from fastkl.grids import Floats, Grid

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TERM = re.compile(rf"\s*(?:({_NUMBER})\s*\*\s*)?N\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*")

GRAMMAR = 'a mixture such as "0.5*N(-2,0.6) + 0.5*N(2,0.6)" (N(loc, standard deviation)), or a .npz or .csv file'


def parse_target(text: str, *, samples: str | None = None, bandwidth: str | float = "scott") -> Density:
    """The density that *text* describes or that the file of that name holds.

    Parameters
    ----------
    text : str
        A mixture of Normals in the notation of `GRAMMAR`, or the name of a file with columns ``x`` and
        ``p`` or ``logp``.
    samples : str, optional
        The column of a .csv file that holds raw observations.
    bandwidth : str or float
        For `samples`, as in `Tabulated.from_samples`.

    Raises
    ------
    ValueError
        With the place, if the text or the file is malformed.
    OSError
        If the file cannot be read.
    """
    path = Path(text)
    if samples is not None:
        return Tabulated.from_samples(_columns(path, [samples])[samples], bandwidth=bandwidth)
    if path.suffix.lower() == ".npz":
        return _tabulated(path, _arrays(path))
    if path.suffix.lower() == ".csv":
        return _tabulated(path, _columns(path))
    return parse_mixture(text)


def parse_mixture(text: str) -> Normal | Mixture:
    """A Normal or a mixture from its formula."""
    parts, weights, at = [], [], 0
    while True:
        term = _TERM.match(text, at)
        if term is None:
            raise ValueError(f"cannot read {text[at:].strip()!r} at position {at} of {text!r}: expected {GRAMMAR}")
        weight, loc, scale = term.groups()
        parts.append(Normal(float(loc), float(scale)))
        weights.append(1.0 if weight is None else float(weight))
        at = term.end()
        if at == len(text):
            break
        if text[at] != "+":
            raise ValueError(f"expected '+' at position {at} of {text!r}, got {text[at]!r}")
        at += 1
    return parts[0] if len(parts) == 1 and weights == [1.0] else Mixture(parts, weights)


def _tabulated(path: Path, columns: dict[str, Floats]) -> Tabulated:
    if "x" not in columns or not ("p" in columns) ^ ("logp" in columns):
        raise ValueError(f"{path}: expected x and either p or logp, got {', '.join(columns) or 'nothing'}")
    name = "p" if "p" in columns else "logp"
    x, values = columns["x"], columns[name]
    if x.shape != values.shape:
        raise ValueError(f"{path}: x and {name} must have one length, got shapes {x.shape} and {values.shape}")
    try:
        return Tabulated(Grid.from_axes(x), values, log=name == "logp")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _arrays(path: Path) -> dict[str, Floats]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], dtype=np.float64) for name in file.files if name in ("x", "p", "logp")}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable .npz file: {error}") from None


def _columns(path: Path, wanted: list[str] | None = None) -> dict[str, Floats]:
    """Columns of a .csv file with a header line; by default those of a density."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            header = [name.strip() for name in next(rows, [])]
            names = [n for n in header if n in ("x", "p", "logp")] if wanted is None else wanted
            for name in names:
                if name not in header:
                    raise ValueError(f"{path}: no column {name!r}, only {', '.join(header) or 'an empty header'}")
            places = [header.index(name) for name in names]
            numbers = [
                [_cell(path, rows.line_num, row, place) for place in places]
                for row in rows
                if any(c.strip() for c in row)
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {rows.line_num}: {error}") from None
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
