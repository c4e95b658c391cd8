"""What there is to compare and to break: `python -m circuits.cross_validate --list`."""

from __future__ import annotations

from rich.text import Text

from circuits.validation.machine import ROWS as MACHINE_ROWS
from circuits.validation.model_rows import ROWS as MODEL_ROWS
from circuits.validation.mutations import MUTATIONS, fails, says
from circuits.validation.page import paragraph
from qunn.page import console


def row_keys() -> dict[str, list[str]]:
    """Kind of subject -> the keys of its rows."""
    return {"machine": list(MACHINE_ROWS), "model": list(MODEL_ROWS)}


def print_list() -> None:
    """Rows by kind, and mutations with what they do and the rows that must show it."""
    out = console()
    for kind, keys in row_keys().items():
        out.print(Text(f"Rows of a {kind}", style="bold"))
        paragraph(out, ", ".join(keys), 2)
        out.print()
    out.print(Text("What --break takes", style="bold"))
    for name in MUTATIONS:
        out.print(Text(f"  {name}", style="bold"))
        paragraph(out, says(name), 4)
        for kind, rows in fails(name).items():
            if rows:
                paragraph(out, f"fails of a {kind}: {', '.join(rows)}", 4, "dim")
