"""The native format: a JSON object whose keys are `TuringMachine`'s own, its rules listed by state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from hamiltonians.machine import MOVES, Rule, TuringMachine
from hamiltonians.readers.json_text import parse_json
from hamiltonians.readers.schema import Name, Schema, WrittenRule, validated, with_rules

_SHORT = {"L": "LEFT", "R": "RIGHT", "N": "STAY", "S": "STAY"}


def _word(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(symbol, str) for symbol in value):
        return value
    raise PydanticCustomError("word", "a string or a list of strings")


class Transition(Schema):
    """In the state that lists it: read `read`, write `write`, move by `action`, go to `to_state`."""

    read: Name
    to_state: Name
    write: Name
    action: Literal["LEFT", "RIGHT", "STAY", "L", "R", "N", "S"]


class NativeMachine(Schema):
    """The whole file."""

    name: Name | None = None
    alphabet: list[Name]
    blank: Name
    states: list[Name]
    initial: Name
    finals: list[Name]
    transitions: dict[Name, list[Transition]]
    input: Annotated[str | list[str], PlainValidator(_word)] = ""
    input_alphabet: list[Name] | None = None


def read(text: str, name: str) -> TuringMachine:
    """The machine in a native JSON text; `name` is used where the file gives none."""
    data = validated(NativeMachine, parse_json(text))
    machine = TuringMachine(
        name=data.name or name,
        alphabet=tuple(data.alphabet),
        blank=data.blank,
        states=tuple(data.states),
        initial=data.initial,
        finals=frozenset(data.finals),
        rules={},
        input_alphabet=None if data.input_alphabet is None else tuple(data.input_alphabet),
    )
    return with_rules(replace(machine, input=machine.word(data.input)), _written(data))


def _written(data: NativeMachine) -> Iterator[WrittenRule]:
    for state, transitions in data.transitions.items():
        for i, t in enumerate(transitions):
            at = ("transitions", state, i)
            rule = Rule(t.to_state, t.write, MOVES[_SHORT.get(t.action, t.action)])
            yield WrittenRule(
                state, t.read, rule, ("transitions", state), (*at, "read"), (*at, "write"), (*at, "to_state")
            )


def to_native(machine: TuringMachine) -> dict[str, Any]:
    """The machine as the object that `read` reads, and that gives the same machine back."""
    action = {move: name for name, move in MOVES.items()}
    transitions: dict[str, list[dict[str, str]]] = {}
    for (state, symbol), rule in machine.rules.items():
        written = {"read": symbol, "to_state": rule.to_state, "write": rule.write, "action": action[rule.move]}
        transitions.setdefault(state, []).append(written)
    native: dict[str, Any] = {
        "name": machine.name,
        "alphabet": list(machine.alphabet),
        "blank": machine.blank,
        "states": list(machine.states),
        "initial": machine.initial,
        "finals": sorted(machine.finals),
        "input": list(machine.input),
        "transitions": transitions,
    }
    return native if machine.input_alphabet is None else native | {"input_alphabet": list(machine.input_alphabet)}
