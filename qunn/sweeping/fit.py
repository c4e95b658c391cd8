"""Two columns of a table as groups of points, and the power law through a group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from hamiltonians.errors import InputError
from qunn.sweeping.columns import STATUS, resolved


@final
@dataclass
class Group:
    """The points of one value of the column `by`, in the order of x."""

    by: Any
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)


@final
@dataclass(frozen=True)
class Selection:
    """What a picture shows: the names of its columns, its groups, and how many rows have no number in one of them."""

    x: str
    y: str
    by: str | None
    groups: list[Group]
    left_out: int


@final
@dataclass(frozen=True)
class PowerLaw:
    """y = factor · x^exponent, by least squares on log y against log x, with the standard error of the exponent.

    `standard_error` is None for two points, through which a line goes exactly.
    """

    by: Any
    exponent: float
    standard_error: float | None
    factor: float
    points: int


def select(rows: Iterator[dict[str, Any]], x: str, y: str, by: str | None) -> Selection:
    """The rows of points that did not fail, by columns of the report or flags.

    Raises
    ------
    InputError : no such column, or no row with a number in both.
    """
    known: dict[str, None] = {}
    found: list[dict[str, Any]] = []
    for row in rows:
        known |= dict.fromkeys(row)
        if row[STATUS] == 0:
            # three values a row, and not the row
            names = {f for name in (x, y, by) if name is not None for f in (name, f"flag.{name}")}
            found.append({name: row[name] for name in names if name in row})
    columns = [resolved("--x", x, known), resolved("--y", y, known)]
    key = None if by is None else resolved("--by", by, known)
    groups: dict[str, Group] = {}
    for row in found:
        values = [row.get(column) for column in columns]
        if all(_is_number(value) for value in values):
            value = None if key is None else row.get(key)
            group = groups.setdefault(repr(value), Group(value))
            group.x.append(float(values[0]))  # type: ignore[arg-type]
            group.y.append(float(values[1]))  # type: ignore[arg-type]
    used = sum(len(group.x) for group in groups.values())
    if used == 0:
        raise InputError(f"`--x` and `--y` must be columns of numbers, but no row has them in both {x} and {y}", "--x")
    for group in groups.values():
        order = sorted(zip(group.x, group.y, strict=True))
        group.x, group.y = [a for a, _ in order], [b for _, b in order]
    ordered = sorted(groups.values(), key=lambda group: _order(group.by))
    return Selection(columns[0], columns[1], key, ordered, len(found) - used)


def power_law(group: Group) -> PowerLaw | None:
    """None where fewer than two different x have positive values."""
    pairs = [(math.log(x), math.log(y)) for x, y in zip(group.x, group.y, strict=True) if x > 0 and y > 0]
    n = len(pairs)
    if len({x for x, _ in pairs}) < 2:
        return None
    mean_x, mean_y = (math.fsum(values) / n for values in zip(*pairs, strict=True))
    spread = math.fsum((x - mean_x) ** 2 for x, _ in pairs)
    exponent = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs) / spread
    intercept = mean_y - exponent * mean_x
    rest = math.fsum((y - intercept - exponent * x) ** 2 for x, y in pairs)
    error = None if n == 2 else math.sqrt(rest / (n - 2) / spread)
    return PowerLaw(group.by, exponent, error, math.exp(intercept), n)


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers before texts."""
    return (False, value, "") if _is_number(value) else (True, 0.0, str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
