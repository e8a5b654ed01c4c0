"""Columns of numbers from files: tables of text in any usual layout, and the formats that pandas reads.

Text is read by the standard library, which knows the line of every number; the other formats need
``pip install fastkl[files]``.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import itertools
import lzma
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastkl.validation import Floats

STANDARD_INPUT = "-"
"""Name that stands for a table of text on standard input."""

TEXT = (".csv", ".tsv", ".txt", ".dat")
"""Endings of tables of text."""
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Openers of compressed tables of text, by the ending behind that of the text."""
BY_PANDAS = {
    ".parquet": ("read_parquet", "pyarrow"),
    ".feather": ("read_feather", "pyarrow"),
    ".xlsx": ("read_excel", "openpyxl"),
}
"""Readers of pandas for other tables, by ending, and the packages that they need."""
READABLE = (
    "a .npz archive, a table of text (.csv, .tsv, .txt, .dat, also compressed: .gz, .bz2, .xz), .parquet, .feather or "
    ".xlsx"
)

MISSING = {"", "na", "n/a", "nan", "null", "none"}
"""Cells that stand for no number, in lower case."""
HEAD = 4096
"""Number of bytes at the beginning of a file that tell text from other data."""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that stand in no text."""
MOST_NAMES = 20
"""Largest number of columns that a message lists."""


class Columns(NamedTuple):
    """Columns of numbers, all of one length."""

    numbers: dict[str, Floats]
    n_rows: int
    """Number of rows in the file."""
    n_dropped: int
    """Number of rows that were left out because a number is missing in them."""
    place: Callable[[int], str]
    """A function that says where a row of these columns stands in the file."""


def is_file(text: str) -> bool:
    """Whether *text* names a file: standard input, a file or folder that exists, or a name with a known ending.

    A folder is refused where it is read.
    """
    suffix = _suffix(text)
    known = suffix in (*TEXT, ".npz", *PACKED, *BY_PANDAS)
    return text == STANDARD_INPUT or known or os.path.isfile(text) or os.path.isdir(text)


def is_number(text: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def title(source: str) -> str:
    """The name of a file in a message."""
    return "standard input" if source == STANDARD_INPUT else source


def listed(names: Sequence[str]) -> str:
    """Names of columns, the first ones if there are many."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(names[:MOST_NAMES]) or "nothing") + more


def read_columns(
    source: str,
    choose: Callable[[Sequence[str]], Sequence[str]],
    *,
    drop_nan: bool = False,
    last_may_lack: str | None = None,
) -> Columns:
    """The columns that *choose* selects from the names in a file.

    Parameters
    ----------
    source : str
        Name of a file, or ``-`` for text on standard input.
    choose : callable
        A function of the names of all columns that returns those to read, or raises a ValueError.
    drop_nan : bool
        Whether rows that lack a number in one of these columns are left out; by default they are an error.
    last_may_lack : str, optional
        The column, in lower case, whose last number may be missing, and is NaN then; its name may be in any case of
        letters.

    Raises
    ------
    ValueError
        If the file is malformed, or a number is missing; the message names the file and the line.
    OSError
        If the file cannot be opened.
    ModuleNotFoundError
        If a package is missing that reads the format.
    """
    read = _from_pandas if _suffix(source) in BY_PANDAS else _from_text
    names, cells, places = read(source, choose)
    numbers = dict(zip(names, cells, strict=True))
    return complete(source, numbers, places, drop_nan=drop_nan, last_may_lack=last_may_lack)


def complete(
    source: str,
    numbers: dict[str, Floats],
    place: Callable[[int], str],
    *,
    drop_nan: bool = False,
    last_may_lack: str | None = None,
) -> Columns:
    """The rows in which no number is missing; an error that counts the others unless they are to be dropped."""
    missing = np.any([np.isnan(column) for column in numbers.values()], axis=0)
    missing[-1:] = any(np.isnan(column[-1]) for name, column in numbers.items() if name.lower() != last_may_lack)
    n, n_rows = int(missing.sum()), missing.size
    if not n:
        return Columns(numbers, n_rows, 0, place)
    if not drop_nan:
        at = int(np.argmax(missing))
        name = next(name for name, column in numbers.items() if np.isnan(column[at]))
        rows = f"{n} of {n_rows} rows lack one" if n > 1 else f"1 of {n_rows} rows lacks one"
        raise ValueError(
            f"{title(source)}, {place(at)}: expected a number in column {name!r}, got NaN or an empty cell; "
            f"{rows}: --drop-nan leaves them out"
        )
    if n == n_rows:
        raise ValueError(f"{title(source)}: all {n_rows} rows lack a number, so none is left after --drop-nan")
    kept = np.flatnonzero(~missing)
    return Columns({name: column[kept] for name, column in numbers.items()}, n_rows, n, lambda row: place(kept[row]))


def _suffix(source: str) -> str:
    """The ending that tells the format, in lower case."""
    return Path(source).suffix.lower()


Found = tuple[Sequence[str], Sequence[Floats], Callable[[int], str]]
"""Names of the chosen columns, their numbers, and a function that says where a row stands in the file."""


def _from_text(source: str, choose: Callable[[Sequence[str]], Sequence[str]]) -> Found:
    with _text(source) as text:
        header, rows = _table(source, text)
        names = choose(header)
        chosen = [_place(source, header, name) for name in names]
        lines, numbers = [], []
        for line, row in rows:
            lines.append(line)
            numbers.append([_cell(source, line, row, at) for at in chosen])
    if not numbers:
        raise ValueError(f"{title(source)}: no numbers below the header")
    return names, list(np.array(numbers).T), lambda row: f"line {lines[row]}"


def _place(source: str, header: Sequence[str], name: str) -> int:
    """The place of the only column with this name."""
    if header.count(name) > 1:
        raise ValueError(
            f"{title(source)}: {header.count(name)} columns are named {name!r}, so the name says too little"
        )
    return header.index(name)


@contextlib.contextmanager
def _text(source: str) -> Iterator[io.TextIOWrapper]:
    """The text of a file, decompressed; an error if the file holds other data."""
    if source == STANDARD_INPUT:
        raw: Any = io.BytesIO(sys.stdin.buffer.read())
    else:
        raw = PACKED.get(_suffix(source), open)(source, "rb")
    with raw:
        try:
            head = raw.read(HEAD)
            encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
            if encoding != "utf-16" and CONTROL.search(head):
                raise ValueError(f"{title(source)}: the file holds binary data, and no table; expected {READABLE}")
            raw.seek(0)
            # bytes that are no UTF-8 do no harm in other columns, and are spelled out in the message if they are in a
            # number
            yield io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", newline="")
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(f"{title(source)}: the compressed data are damaged: {error}") from None


def _table(source: str, text: io.TextIOWrapper) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns of a text, and its rows, each with its line; comments and blank lines are passed over.

    The names stand in the first row, or, above a row of numbers, in the last comment.
    """
    head: list[str] = []
    first: list[str] = []
    caption = ""
    for line in text:
        head.append(line)
        words = line.strip()
        if words and not words.startswith("#"):
            first.append(words)
        elif words and not first:
            caption = words.lstrip("#").strip()
        if len(first) == 2:
            break
    delimiter = _delimiter(*first, *[""] * (2 - len(first)))
    rows = csv.reader(_plain(itertools.chain(head, text), delimiter), delimiter=delimiter, strict=True)
    numbered = _numbered(source, rows)
    line_of_header, header = next(numbered, (0, []))
    names = [name.strip() for name in header]
    if caption and names and all(map(is_number, names)):
        above = [name.strip() for name in next(csv.reader(_plain([caption], delimiter), delimiter=delimiter))]
        if len(above) == len(names) and not any(map(is_number, above)):
            return above, itertools.chain([(line_of_header, header)], numbered)
    return names, numbered


def _delimiter(header: str, row: str) -> str:
    """The character between the columns; a blank stands for any white space."""
    likely = max(",;\t", key=header.count)
    words = len(header.split())
    return likely if likely in header or words < 2 or len(row.split()) != words else " "


def _plain(lines: Iterator[str] | Sequence[str], delimiter: str) -> Iterator[str]:
    """The lines, comments emptied, so that a reader counts them; with single blanks if these delimit the columns."""
    for line in lines:
        if line.lstrip().startswith("#"):
            yield "\n"
        else:
            yield " ".join(line.split()) + "\n" if delimiter == " " else line


def _numbered(source: str, rows: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its line."""
    try:
        for row in rows:
            if any(map(str.strip, row)):
                yield rows.line_num, row
    except csv.Error as error:
        raise ValueError(f"{title(source)}, line {rows.line_num}: {error}") from None


def _cell(source: str, line: int, row: list[str], at: int) -> float:
    if at >= len(row):
        raise ValueError(f"{title(source)}, line {line}: expected at least {at + 1} columns, got {len(row)}")
    try:
        return float(row[at])
    except ValueError:
        if row[at].strip().lower() in MISSING:
            return math.nan
        raise ValueError(f"{title(source)}, line {line}: expected a number, got {row[at]!r}") from None


def _from_pandas(source: str, choose: Callable[[Sequence[str]], Sequence[str]]) -> Found:
    suffix = _suffix(source)
    reader, package = BY_PANDAS[suffix]
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{source}: a {suffix} file is read with pandas: pip install 'fastkl[files]'"
        ) from None
    with open(source, "rb"):  # a file that is missing is an error of its own
        pass
    try:
        frame = getattr(pd, reader)(source)
    except ImportError:
        raise ModuleNotFoundError(
            f"{source}: pandas reads a {suffix} file with {package}: pip install {package}"
        ) from None
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source}: not a readable {suffix} file: {error}") from None
    if frame.index.names != [None]:
        frame = frame.reset_index()  # an index with a name was a column
    names = choose([str(name) for name in frame.columns])
    frame.columns = [str(name) for name in frame.columns]
    numbers = []
    for name in names:
        try:
            numbers.append(frame[name].to_numpy(dtype=np.float64, na_value=np.nan))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: column {name!r} must be numbers: {error}") from None
    if not len(frame):
        raise ValueError(f"{source}: the table has no rows")
    return names, numbers, lambda row: f"row {row + 1}"
