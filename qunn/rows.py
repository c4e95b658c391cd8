"""Rows for a terminal: a table where there is room, else a record a row."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_ROOM = 72  # columns below which a table's cells would be cut into syllables


def print_rows(
    out: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], whole: Sequence[str] = ()
) -> None:
    """`rows` under the names `columns`, of which those in `whole` are never folded."""
    if out.width < _ROOM:
        _print_records(out, columns, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    out.print(table)


def _print_records(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    for first, *others in rows:
        out.print(Text.assemble((_text(first).plain, "bold")))
        for name, cell in zip(columns[1:], others, strict=True):
            out.print(Text.assemble((f"  {name}: ", "dim"), _text(cell)))


def _text(cell: str | Text) -> Text:
    """Never markup: brackets in a formula are brackets."""
    return Text(cell) if isinstance(cell, str) else cell
