"""A series from a CSV file: delimiter, header, dates and gaps are told by the content. Loads no torch."""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import InputError, must_be, one_of

MISSING = ("", "na", "nan", "n/a", "null", "none", "-", ".", "?")
AXES = ("date", "time", "datetime", "timestamp", "year", "month", "week", "day", "hour", "index", "t", "ds")
LARGEST = 1e100  # beyond it sums of squares overflow
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' ]\d{3})+([.,]\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d(-\d\d.*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@final
@dataclass(frozen=True)
class Series:
    """One column of a file.

    Attributes
    ----------
    values : [L]. column : its name, or its number, counted from 1, where the file has no names.
    labels : of the first column, dates say, where that is no data; else None. filled : gaps that were filled.
    """

    file: str
    column: str
    values: NDArray[np.float64]
    labels: list[str] | None
    filled: int


@final
@dataclass(frozen=True)
class _Table:
    """Rows of text with the numbers of their lines; names of the columns, or their numbers."""

    name: str
    names: list[str]
    lines: list[int]
    rows: list[list[str]]
    number: Callable[[str], float | None]

    def cells(self, k: int) -> list[str]:
        return [row[k] for row in self.rows]

    def is_numeric(self, k: int) -> bool:
        """Whether numbers and gaps are all there is, and more than gaps."""
        filled = [cell for cell in self.cells(k) if not is_missing(cell)]
        return bool(filled) and all(self.number(cell) is not None for cell in filled)


def read_series(file: str, column: str | None = None, fill: str | None = None) -> Series:
    """A column of a CSV file, or of standard input for "-".

    column : its name, or its number counted from 1; where it is left out the only one with numbers. A first column of
        dates, of text, or of numbers in even steps (years, say) beside others is an axis and no data.
    fill : "forward": a gap repeats the value before it.

    Raises
    ------
    InputError : no such file, no text, no numbers, rows of unequal length, several columns and none chosen; dates that
        fall; a gap without `fill`, or something else than a number, with its line.
    """
    table = _table(_text(file), "stdin" if file == "-" else file)
    axis = _has_axis(table)
    k = _chosen(table, column, axis)
    if k != 0 and _runs_backwards(table):
        raise InputError(f"{table.name}: `SERIES` must begin with its oldest value, but its dates fall", "SERIES")
    values, filled = _values(table, k, fill)
    return Series(table.name, table.names[k], values, table.cells(0) if axis and k != 0 else None, filled)


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a value that is not there."""
    return cell.strip().lower() in MISSING


# --- the file ---


def _text(file: str) -> str:
    if file == "-":
        if sys.stdin is None:
            raise InputError("`-` must have a standard input to read, but it is closed", "FILE")
        content, name = sys.stdin.buffer.read(), "stdin"
    else:
        name = file
        try:
            content = Path(file).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{file}: `SERIES` must be a CSV file that can be read, but {reason}", "SERIES") from error
    try:
        if b"\0" in content:
            raise ValueError("zero bytes")
        return content.decode("utf-8-sig")
    except ValueError as error:
        raise InputError(f"{name}: `SERIES` must be a CSV file, text in UTF-8, but is binary", "SERIES") from error


def _table(text: str, name: str) -> _Table:
    lines = [(k, line) for k, line in enumerate(text.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"]
    if not lines:
        raise InputError(f"{name}: `SERIES` must hold numbers, but is empty", "SERIES")
    delimiter = _delimiter([line for _, line in lines[:200]])
    number = _decimal_comma if delimiter in ";\t" and _has_decimal_commas(lines, delimiter) else _decimal_point
    try:
        rows = [[cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))] for _, line in lines]
    except (csv.Error, StopIteration) as error:
        raise InputError(f"{name}: `SERIES` must be a CSV file, but {error}", "SERIES") from error
    for (at, _), row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            wanted = f"as many columns in each line as in its first, {len(rows[0])}"
            raise InputError(f"{name}: `SERIES` must have {wanted}, but line {at} has {len(row)}", "SERIES")
    numbers = [at for at, _ in lines]
    if len(rows[0]) == 1:
        numbers, rows = _with_gaps(text, numbers, rows)
    header = _is_header(rows, number)
    names = rows[0] if header else [str(k) for k in range(1, len(rows[0]) + 1)]
    return _Table(name, names, numbers[header:], rows[header:], number)


def _with_gaps(text: str, numbers: list[int], rows: list[list[str]]) -> tuple[list[int], list[list[str]]]:
    """Of a single column an empty line between two rows is a gap, unless there is a comment too."""
    whole, made = text.splitlines(), dict(zip(numbers, rows, strict=True))
    for before, after in pairwise(numbers):
        if not any(line.strip() for line in whole[before : after - 1]):
            made |= {at: [""] for at in range(before + 1, after)}
    order = sorted(made)
    return order, [made[at] for at in order]


def _delimiter(lines: Sequence[str]) -> str:
    """Of comma, semicolon and tab the one that cuts all lines alike; a semicolon or a tab goes before commas."""
    for mark in "\t;,":
        counts = {len(row) for row in csv.reader(lines, delimiter=mark)}
        if counts != {1} and (len(counts) == 1 or mark == "," or min(counts) > 1):
            return mark
    return ","


def _has_decimal_commas(lines: Sequence[tuple[int, str]], delimiter: str) -> bool:
    cells = [cell for _, line in lines for cell in line.split(delimiter)]
    return any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell) for cell in cells)


def _decimal_point(cell: str) -> float | None:
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else None


def _decimal_comma(cell: str) -> float | None:
    return _decimal_point(cell.replace(",", "."))


def _is_header(rows: list[list[str]], number: Callable[[str], float | None]) -> bool:
    """Whether the first row has a word where a number stands below."""
    if len(rows) < 2:
        return False
    for k, cell in enumerate(rows[0]):
        below = [row[k] for row in rows[1:] if not is_missing(row[k])]
        if not is_missing(cell) and number(cell) is None and below and number(below[0]) is not None:
            return True
    return False


# --- the column ---


def _has_axis(table: _Table) -> bool:
    """Whether the first column only says when: text, even steps, or a name for a time and increasing numbers."""
    if len(table.names) == 1:
        return False
    if not table.is_numeric(0):
        return True
    numbers = [table.number(cell) for cell in table.cells(0)]
    if any(x is None for x in numbers) or len(numbers) < 3:
        return False
    steps = np.diff(np.array(numbers, np.float64))
    even = bool((steps > 0).all() and np.ptp(steps) <= 1e-9 * abs(steps[0]))
    return even or (table.names[0].lower() in AXES and bool((steps > 0).all()))


def _runs_backwards(table: _Table) -> bool:
    """Whether the first column's dates, or numbers under a name for a time, fall from row to row."""
    cells = table.cells(0)
    if len(cells) > 1 and all(_DATE.fullmatch(cell) for cell in cells):
        return all(a > b for a, b in pairwise(cells))
    numbers = [table.number(cell) for cell in cells]
    if table.names[0].lower() not in AXES or any(x is None for x in numbers):
        return False
    return len(numbers) > 1 and bool((np.diff(np.array(numbers, np.float64)) < 0).all())


def _chosen(table: _Table, column: str | None, axis: bool) -> int:
    if column is not None:
        if column in table.names:
            k = table.names.index(column)
        elif column.isdecimal() and 1 <= int(column) <= len(table.names):
            k = int(column) - 1
        else:
            raise must_be("--column", one_of(table.names) + f", or a number up to {len(table.names)}", column)
        if not any(table.number(cell) is not None for cell in table.cells(k)):
            raise must_be("--column", "a column of numbers", column)
        return k
    numeric = [k for k in range(int(axis), len(table.names)) if _has_numbers(table, k)]
    if not numeric:
        separated = next((cell for row in table.rows for cell in row if _THOUSANDS.fullmatch(cell)), None)
        why = "" if separated is None else f": {separated!r} has separators between thousands"
        raise InputError(f"{table.name}: `SERIES` must have a column of numbers, but has none{why}", "SERIES")
    if len(numeric) > 1:
        names = [table.names[k] for k in numeric]
        raise InputError(f"`--column` must be given for a file with several: {one_of(names)}", "--column")
    return numeric[0]


def _has_numbers(table: _Table, k: int) -> bool:
    """Whether most of a column is numbers, so that a word in it is an error and not a column of text."""
    return 2 * sum(table.number(cell) is not None or is_missing(cell) for cell in table.cells(k)) > len(
        table.rows
    ) and any(table.number(cell) is not None for cell in table.cells(k))


def _values(table: _Table, k: int, fill: str | None) -> tuple[NDArray[np.float64], int]:
    values: list[float] = []
    filled = 0
    for at, cell in zip(table.lines, table.cells(k), strict=True):
        x = table.number(cell)
        where = f"{table.name}, line {at}: `{table.names[k]}`"
        if x is None and not is_missing(cell):
            raise InputError(f"{where} must be a number, but is {cell[:40]!r}", "SERIES")
        if x is None:
            if fill is None or not values:
                how = "a number before the first gap" if fill else "a number (or `--fill forward`)"
                raise InputError(f"{where} must be {how}, but is missing", "SERIES")
            x, filled = values[-1], filled + 1
        elif not math.isfinite(x) or abs(x) > LARGEST:
            raise InputError(f"{where} must be a number below {LARGEST:g}, but is {cell[:40]!r}", "SERIES")
        values.append(x)
    return np.array(values), filled
