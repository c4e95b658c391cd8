"""The cross-validation as a page for a terminal.

A row a claim and a column a backend, where that fits; below that width a block a claim and a line a backend, and below
that two lines a backend. Numbers are never cut. A pipe has no width: it gets the table as wide as it is, so that
`grep` finds a claim with all its numbers on one line, and `less -S` scrolls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from circuits.validation.claim import Cell, Row, Subject, Validation
from circuits.validation.wording import (
    NOTHING,
    WRONG,
    broken_notice,
    cell_verdict,
    counted,
    fact,
    failed_cells,
    outcome,
    parts,
    plain,
    sentence,
    short,
    shortfall,
    shown_note,
    verdict,
)
from qunn.page import console, print_sections

_CLAIM = (26, 46)  # columns of the sentence in the wide table: at least, and at most
_FOLDED = 14  # a text in a cell of the wide table is folded to this width
_MOST_LINES = 4  # of a text in such a cell; the whole is in --json and --html
_LONGEST = 160  # characters of a text in a block
_LEAST_VALUE, _MOST_VALUE = 16, 44  # characters of values in a block with a line a backend
_INDENT, _GAP = 2, 2
_OF_THE_TABLE = (
    "Difference and tolerance are those of the backend that uses most of its tolerance; all are in --html and --json."
)
_STYLES = {"ok": "green", "FAILED": "bold red", "not run": "yellow", "reference": "dim", NOTHING: "dim"}
_OUTCOMES = {"verified": "bold green", "NOT VERIFIED": "bold red", "nothing was compared": "bold yellow"}


class _Footnotes:
    """Texts, each printed once, by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, *texts: str | None) -> str:
        """ " [1]" for one text, " [1,2]" for two, nothing for none."""
        found = [self._numbers.setdefault(plain(t), len(self._numbers) + 1) for t in texts if t]
        return f" [{','.join(map(str, found))}]" if found else ""

    def print(self, out: Console) -> None:
        for text, n in self._numbers.items():
            _hanging(out, f"[{n}] ", text)


def print_validation(validation: Validation) -> None:
    """Every subject with its facts, its claims, what failed by how much, where tolerances come from; the verdict."""
    out = console()
    for subject in validation.subjects:
        _print_subject(out, subject, unbounded=not sys.stdout.isatty())
    if (notice := broken_notice(validation)) is not None:
        out.print(Text(notice, style="bold yellow"))
    found = outcome(validation)
    took = "" if validation.seconds is None else f" in {validation.seconds:.2f} s"
    rows = [row for subject in validation.subjects for row in subject.rows]
    out.print(Text(found, style=_OUTCOMES[found]) + Text(f"{took}: {counted(rows)}"))


def _print_subject(out: Console, subject: Subject, unbounded: bool) -> None:
    facts = [(plain(name), fact(value)) for name, value in subject.facts.items()]
    print_sections(out, (f"{subject.kind.capitalize()} {plain(subject.name)}", facts))
    out.print(Text("Claims", style="bold"))
    notes = _Footnotes()
    table = _wide(subject, notes)
    rest = sum(table.widths[1:]) + _GAP * len(table.widths[1:])
    if fits := unbounded or out.width >= rest + _CLAIM[0]:
        table.print(out, _CLAIM[1] if unbounded else min(out.width - rest, _CLAIM[1]))
    else:
        notes = _Footnotes()
        _print_blocks(out, subject, notes)
    out.print()
    _print_failures(out, subject)
    if subject.rows:
        out.print(Text("Notes", style="bold"))
        if fits:
            _hanging(out, "", _OF_THE_TABLE)
        _hanging(out, f"{NOTHING} ", "the backend says nothing of the claim, or the note beside it says why not")
        notes.print(out)
        out.print()


def _print_failures(out: Console, subject: Subject) -> None:
    failures = [(row, name, cell) for row in subject.rows for name, cell in failed_cells(row)]
    if not failures:
        return
    out.print(Text("Failed", style="bold red"))
    for row, name, cell in failures:
        _hanging(out, f"{WRONG} ", f"{plain(row.key)}, {plain(name)}: {shortfall(cell)}")
    out.print()


@dataclass(frozen=True)
class _Wide:
    """The table: a row's cells, the sentence apart, are lines that fit their widths, so that nothing is cut."""

    headings: Sequence[str]
    rows: Sequence[tuple[Row, Sequence[Text]]]

    @property
    def widths(self) -> list[int]:
        """Of the columns; of the claims' that of its longest key."""
        columns = [[heading] for heading in self.headings]
        for row, cells in self.rows:
            columns[0].append(plain(row.key))
            for column, cell in zip(columns[1:], cells, strict=True):
                column += cell.plain.split("\n")
        return [max(map(cell_len, column)) for column in columns]

    def print(self, out: Console, claim: int) -> None:
        """With so many characters for the claims."""
        widths = [max(claim, self.widths[0]), *self.widths[1:]]
        _print_columns(out, [Text(heading, style="bold") for heading in self.headings], widths)
        _print_line(out, Text("─" * (sum(widths) + _GAP * (len(widths) - 1)), style="dim"))
        for row, cells in self.rows:
            lines = _lines(out, sentence(row), widths[0] - _INDENT)
            first = Text("\n").join(
                [Text(plain(row.key), style="bold"), *(Text(" " * _INDENT) + line for line in lines)]
            )
            _print_columns(out, [first, *cells], widths)


def _wide(subject: Subject, notes: _Footnotes) -> _Wide:
    headings = ["claim", *map(plain, subject.columns), "difference", "tolerance", "verdict"]
    rows = []
    for row in subject.rows:
        cells = [_shown(row.cells.get(name, Cell()), notes) for name in subject.columns]
        rows.append((row, [*cells, *_end(row, notes)]))
    return _Wide(headings, rows)


def _shown(cell: Cell, notes: _Footnotes) -> Text:
    """A cell of the wide table, with its sign and its footnote."""
    lines = parts(cell.value)
    if isinstance(cell.value, str):
        lines = _first(Text(lines[0]).wrap(Console(width=_FOLDED), _FOLDED))
    mark = notes.mark(shown_note(cell))
    if cell.passed is False:
        return Text("\n".join([f"{WRONG} {(lines or ['none'])[0]}{mark}", *lines[1:]]), style="bold red")
    if not lines:
        return Text(f"ok{mark}") if cell.passed else Text(NOTHING + mark, style="dim")
    return Text("\n".join([lines[0] + mark, *lines[1:]]))


def _first(lines: Iterable[Text]) -> list[str]:
    found = [line.plain.rstrip() for line in lines]
    return found if len(found) <= _MOST_LINES else [*found[: _MOST_LINES - 1], "…"]


def _end(row: Row, notes: _Footnotes) -> list[Text]:
    """Difference and tolerance of the cell that strains its tolerance most, and the row's verdict."""
    worst, found = row.worst, verdict(row.passed)
    ending = Text(found, style=_STYLES[found])
    if worst is None:
        return [Text(NOTHING, style="dim"), Text(NOTHING, style="dim"), ending]
    difference = Text(short(worst.difference) + notes.mark(f"difference: {row.measure}"))
    return [difference, Text(short(worst.tolerance) + notes.mark(_reason(worst))), ending]


def _reason(cell: Cell) -> str | None:
    return f"tolerance: {cell.why}" if cell.why else None


def _print_blocks(out: Console, subject: Subject, notes: _Footnotes) -> None:
    """Claim by claim, a line a backend; two where even that is too wide."""
    blocks = [
        [_block_line(name, cell, notes) for name, cell in row.cells.items() if _speaks(cell)] for row in subject.rows
    ]
    every = [line for block in blocks for line in block]
    name, compared, ending = (max((cell_len(line[i]) for line in every), default=0) for i in (0, 2, 3))
    value = out.width - 2 * _INDENT - 3 * _GAP - name - compared - ending
    longest = max((cell_len(word) for line in every for word in line[1].split()), default=0)
    needed = max((cell_len(line[1]) for line in every), default=0)
    widths = [name, min(value, needed, _MOST_VALUE), compared, ending]
    for row, block in zip(subject.rows, blocks, strict=True):
        found = verdict(row.passed)
        _print_line(out, Text(f"{plain(row.key)}  ", style="bold") + Text(found, style=_STYLES[found]))
        paragraph(out, sentence(row), _INDENT)
        paragraph(out, f"difference: {plain(row.measure)}", _INDENT, "dim")
        for line in block:
            if value >= min(longest, _LEAST_VALUE):
                _print_block_line(out, line, widths)
            else:
                _print_block_lines(out, line)
        if silent := [plain(name) for name, cell in row.cells.items() if not _speaks(cell)]:
            paragraph(out, f"{', '.join(silent)}: {NOTHING}", 2 * _INDENT, "dim")


def _speaks(cell: Cell) -> bool:
    """Whether there is more in it than that it has nothing to say."""
    return cell.value is not None or cell.passed is not None or shown_note(cell) is not None


def _block_line(name: str, cell: Cell, notes: _Footnotes) -> tuple[str, str, str, str]:
    """Column, value, difference beside tolerance, verdict, with the footnotes."""
    compared = ""
    if cell.difference is not None or cell.tolerance is not None:
        difference = "none" if cell.difference is None else short(cell.difference)
        allowed = short(cell.tolerance) + notes.mark(_reason(cell))
        compared = f"{difference} {'≤' if cell.passed else '>'} {allowed}"
    sign = f"{WRONG} " if cell.passed is False else ""
    value, mark = "  ".join(parts(cell.value)) or NOTHING, notes.mark(shown_note(cell))
    if isinstance(cell.value, str) and len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}…"
    if cell.value is None and cell.passed is None:
        return plain(name), value + mark, compared, ""
    return plain(name), value, compared, sign + cell_verdict(cell) + mark


def _print_block_line(out: Console, line: Sequence[str], widths: Sequence[int]) -> None:
    style = _style(line[3])
    value = "\n".join(part.plain for part in _lines(out, line[1], widths[1]))
    texts = [Text(text, style=style) for text in (line[0], value, line[2], line[3])]
    _print_columns(out, texts, widths, 2 * _INDENT)


def _print_block_lines(out: Console, line: Sequence[str]) -> None:
    name, value, compared, ending = line
    style = _style(ending)
    paragraph(out, f"{name}: {value}", 2 * _INDENT, style)
    if below := "  ".join(part for part in (compared, ending) if part):
        paragraph(out, below, 3 * _INDENT, style)


def _style(ending: str) -> str:
    return "bold red" if ending.startswith(WRONG) else "" if ending else "dim"


def _print_columns(out: Console, cells: Sequence[Text], widths: Sequence[int], indent: int = 0) -> None:
    """Cells of one or more lines side by side, without spaces at the ends of lines."""
    for parts_of_line in zip_longest(*(cell.split("\n") for cell in cells), fillvalue=Text("")):
        line = Text(" " * indent)
        for part, width in zip(parts_of_line, widths, strict=True):
            line += part
            line += Text(" " * (width - part.cell_len + _GAP))
        line.rstrip()
        _print_line(out, line)


def _print_line(out: Console, line: Text) -> None:
    out.print(line, soft_wrap=True)


def _lines(out: Console, text: str, width: int) -> list[Text]:
    lines = list(Text(text).wrap(out, max(width, 1), overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def paragraph(out: Console, text: str, indent: int, style: str = "") -> None:
    """A text with all its lines indented."""
    _hanging(out, " " * indent, text, style)


def _hanging(out: Console, start: str, text: str, style: str = "") -> None:
    """A paragraph whose first line begins with `start`, and whose others are indented below it."""
    for i, line in enumerate(_lines(out, text, out.width - cell_len(start))):
        line.stylize(style)
        _print_line(out, Text(start if i == 0 else " " * cell_len(start), style=style) + line)
