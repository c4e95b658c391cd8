"""How numbers, verdicts and notes of a cross-validation are worded, in the terminal and in HTML alike."""

from __future__ import annotations

import math
from typing import Final

from circuits.validation.claim import Cell, Row, Subject, Validation, Value
from hamiltonians.memory import in_figures

NOTHING: Final = "-"
WRONG: Final = "✗"
#: the note of a column that a row does not ask: so common that pages do not repeat it
SILENT: Final = "says nothing of this"


def number(x: float) -> str:
    """Six digits at most; three where an exponent is needed. Whole numbers are whole."""
    if math.isfinite(x) and x == int(x) and abs(x) < 1e9:
        return str(int(x))
    return f"{x:.6g}" if 1e-3 <= abs(x) < 1e6 else f"{x:.3g}"


def short(x: float | None) -> str:
    """A difference or a tolerance: three digits."""
    return NOTHING if x is None else f"{x:.3g}"


def parts(value: Value) -> list[str]:
    """The words of a cell: one number, each number of several, or one text."""
    if value is None:
        return []
    if isinstance(value, str):
        return [plain(value) or "(blank)"]
    return [number(x) for x in value] if isinstance(value, (list, tuple)) else [number(value)]


def fact(value: str | int | float | None) -> str:
    """A value of a subject's facts."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain(value) or "(blank)"
    return in_figures(value) if isinstance(value, int) else number(value)


def shots_in_words(shots: int) -> str:
    """ "1 shot", "4,096 shots"."""
    return "1 shot" if shots == 1 else f"{shots:,} shots"


def plain(text: str) -> str:
    """One line without control characters, which a machine's name may hold, and which a terminal would obey."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def sentence(row: Row) -> str:
    """The claim, and its source where it has one."""
    source = plain(row.source)
    return plain(row.claim) + ("" if source in ("", NOTHING) else f" ({source})")


def verdict(passed: bool | None) -> str:
    """Of a row or a cell."""
    return "not run" if passed is None else "ok" if passed else "FAILED"


def cell_verdict(cell: Cell) -> str:
    """What became of one cell; "reference" where it is what the others are compared with."""
    if cell.passed is None:
        return NOTHING if cell.value is None else "reference"
    return verdict(cell.passed)


def shortfall(cell: Cell) -> str:
    """By how much a failed cell missed, or what it raised, or that it gave no number to compare."""
    if cell.tolerance is None:
        return shown_note(cell) or "no difference was found"
    why = f": {plain(cell.why)}" if cell.why else ""
    allowed = f"{short(cell.tolerance)} is allowed"
    if cell.difference is None or not math.isfinite(cell.difference):
        return f"the difference is not a finite number; {allowed}{why}"
    times = cell.difference / cell.tolerance if cell.tolerance > 0 else math.inf
    much = f", {times:.4g} times less" if math.isfinite(times) else ""
    return f"off by {short(cell.difference)}; {allowed}{much}{why}"


def shown_note(cell: Cell) -> str | None:
    """The cell's note, unless every reader knows it."""
    return None if cell.note in (None, "", SILENT) else plain(str(cell.note))


def failed_cells(row: Row) -> list[tuple[str, Cell]]:
    """The columns that fail the row."""
    return [(name, cell) for name, cell in row.cells.items() if cell.passed is False]


def counted(rows: list[Row]) -> str:
    """How many rows agree, fail and were not run, in words."""
    agree = sum(row.passed is True for row in rows)
    fail = sum(row.passed is False for row in rows)
    silent = len(rows) - agree - fail
    words = [f"{agree} of {len(rows)} rows agree"]
    if fail:
        words.append(f"{fail} failed")
    if silent:
        words.append(f"{silent} {'was' if silent == 1 else 'were'} not run")
    return ", ".join(words)


def outcome(of: Validation | Subject) -> str:
    """ "verified", "NOT VERIFIED", or that there was nothing to verify."""
    rows = of.rows if isinstance(of, Subject) else [row for subject in of.subjects for row in subject.rows]
    if all(row.passed is None for row in rows):
        return "nothing was compared"
    return "verified" if of.verified else "NOT VERIFIED"


def broken_notice(validation: Validation) -> str | None:
    """That a backend was broken on purpose, where one was."""
    if validation.broken is None:
        return None
    return f"a backend was broken on purpose: {plain(validation.broken)}"
