"""The dictionary that automata-lib's `DTM` takes, as JSON (sets and tuples written as lists)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hamiltonians.machine import Rule, TuringMachine
from hamiltonians.readers.json_text import parse_json
from hamiltonians.readers.schema import Name, Schema, WrittenRule, fields_called, validated, with_rules, wrong

_MOVES = {"L": -1, "N": 0, "R": +1}
_KEYS = {
    "alphabet": "tape_symbols",
    "blank": "blank_symbol",
    "initial": "initial_state",
    "finals": "final_states",
    "input_alphabet": "input_symbols",
}


class AutomataLibMachine(Schema):
    """The whole file; the order of the lists is the order of states and symbols."""

    states: list[Name]
    input_symbols: list[Name]
    tape_symbols: list[Name]
    transitions: dict[Name, dict[Name, tuple[Name, Name, Literal["L", "R", "N"]]]]
    initial_state: Name
    blank_symbol: Name
    final_states: list[Name]


def read(text: str, name: str) -> TuringMachine:
    """The machine in an automata-lib JSON text; the format has no name and no default input."""
    data = validated(AutomataLibMachine, parse_json(text))
    for state in data.final_states:
        if data.transitions.get(state):  # automata-lib stops on entering a final state and refuses these as well
            raise wrong(("transitions", state), "empty, since the state is final", data.transitions[state])
    with fields_called(_KEYS):
        machine = TuringMachine(
            name=name,
            alphabet=tuple(data.tape_symbols),
            blank=data.blank_symbol,
            states=tuple(data.states),
            initial=data.initial_state,
            finals=frozenset(data.final_states),
            rules={},
            input_alphabet=tuple(data.input_symbols),
        )
    return with_rules(machine, _written(data))


def _written(data: AutomataLibMachine) -> Iterator[WrittenRule]:
    for state, row in data.transitions.items():
        for symbol, (to_state, write, move) in row.items():
            at = ("transitions", state, symbol)
            rule = Rule(to_state, write, _MOVES[move])
            yield WrittenRule(state, symbol, rule, ("transitions", state), at, (*at, 1), (*at, 0))
