"""Busy-beaver tables: `1RB1LB_1LA1RZ`, a row a state (A, B, …), a cell of write, move, next state a symbol (0, 1, …).

`---` is undefined: the machine halts there without a step. A transition into a letter without a row (Z, H) is taken and
counts as a step; the machine then halts, and that letter is a final state.
"""

from __future__ import annotations

import re
from string import ascii_uppercase, digits

from hamiltonians.errors import InputError, must_be
from hamiltonians.machine import Rule, TuringMachine

_MOVES = {"L": -1, "R": +1}
_UNDEFINED = "---"


def read(text: str, name: str) -> TuringMachine:  # noqa: ARG001 - a table names itself
    """The machine of a one-line table, with or without `bb:`; rows are separated by `_` or white space."""
    rows = [row for row in re.split(r"[_\s]+", text.strip().removeprefix("bb:")) if row]
    if not 1 <= len(rows) <= len(ascii_uppercase):
        raise InputError(f"`table` must have 1 to {len(ascii_uppercase)} rows, but has {len(rows)}", "table")
    width = len(rows[0])
    if width % 3 or width > 3 * len(digits):
        raise must_be("row A", f"1 to {len(digits)} cells of 3 characters", rows[0])
    symbols = tuple(digits[: width // 3])
    rules: dict[tuple[str, str], Rule] = {}
    for state, row in zip(ascii_uppercase, rows, strict=False):
        if len(row) != width:
            raise must_be(f"row {state}", f"{len(symbols)} cells of 3 characters as in row A", row)
        for i, symbol in enumerate(symbols):
            cell = row[3 * i : 3 * i + 3]
            if cell != _UNDEFINED:
                rules[state, symbol] = _rule(cell, symbols, f"row {state}, symbol {symbol}")
    rowed = tuple(ascii_uppercase[: len(rows)])
    halting = tuple(sorted({rule.to_state for rule in rules.values()} - set(rowed)))
    return TuringMachine("bb:" + "_".join(rows), symbols, "0", rowed + halting, "A", frozenset(halting), rules)


def _rule(cell: str, symbols: tuple[str, ...], place: str) -> Rule:
    write, move, to_state = tuple(cell)
    if write not in symbols:
        raise InputError(f"`{place}` must write 0 to {symbols[-1]}, but is {cell!r}", place)
    if move not in _MOVES:
        raise InputError(f"`{place}` must move L or R, but is {cell!r}", place)
    if to_state not in ascii_uppercase:
        raise InputError(f"`{place}` must go to a state A to Z, but is {cell!r}", place)
    return Rule(to_state, write, _MOVES[move])
