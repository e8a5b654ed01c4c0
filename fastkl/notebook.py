"""Tables of results for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def html_table(caption: str, rows: Sequence[Sequence[object]]) -> str:
    """An HTML table, the first cell of each row a header; all text is escaped."""
    lines = [
        f"<tr><th>{escape(str(head))}</th>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
        for head, *cells in rows
    ]
    return "\n".join(["<table>", f"<caption>{escape(caption)}</caption>", *lines, "</table>"])
