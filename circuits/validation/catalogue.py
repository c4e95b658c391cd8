"""What there is to compare and to break: `python -m circuits.cross_validate --list`."""

from __future__ import annotations

from rich.text import Text

from circuits.validation.machine import ROWS
from circuits.validation.model_mutations import MODEL_FAILS
from circuits.validation.mutations import MUTATIONS, fails, says
from qunn.page import console


def row_keys() -> dict[str, list[str]]:
    """Kind of subject -> the keys of its rows. Those of a model are what its mutations fail: a test fails them all."""
    return {"machine": list(ROWS), "model": list(dict.fromkeys(key for rows in MODEL_FAILS.values() for key in rows))}


def print_list() -> None:
    """Rows by kind, and mutations with what they do and the rows that must show it."""
    out = console()
    for kind, keys in row_keys().items():
        out.print(Text(f"Rows of a {kind}", style="bold"))
        out.print(Text("  " + ", ".join(keys)))
        out.print()
    out.print(Text("What --break takes", style="bold"))
    for name in MUTATIONS:
        out.print(Text(f"  {name}: ", style="bold") + Text(says(name)))
        for kind, rows in fails(name).items():
            if rows:
                out.print(Text(f"    fails of a {kind}: {', '.join(rows)}", style="dim"))
