"""The YAML of turingmachine.io, bare or wrapped as that site exports it (`source code: |` holds the YAML).

Everything is read as the text that was written: YAML's own booleans, numbers and nulls would turn the symbols `0`,
`01`, `yes` or `N` into something else. Only a value that is left empty is no text.

A state without instructions is final.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from hamiltonians.errors import InputError
from hamiltonians.machine import Rule, TuringMachine
from hamiltonians.readers.schema import (
    Name,
    Path,
    Schema,
    WrittenRule,
    dotted,
    fields_called,
    twice,
    validated,
    with_rules,
    wrong,
)
from hamiltonians.readers.yaml_text import yaml_node

_MOVES = {"L": -1, "R": +1, "N": 0}  # N is that site's later addition
_KEYS = {"initial": "start state"}


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("input", "printable characters")
    return value


def _no_instructions(value: object) -> object:
    return {} if value in (None, "~", "null") else value


class Instruction(Schema):
    """`{write: x, L: next}`: an instruction keeps the symbol without `write` and the state without a name."""

    write: Name = ""  # not None: `write:` left empty is a slip for `write: ' '`
    L: Name | None = None
    R: Name | None = None
    N: Name | None = None


class Program(Schema):
    """The machine; an instruction is a bare `L`, `R` or `N`, a synonym, or an `Instruction`."""

    name: Name | None = None
    blank: Name
    start_state: Name = Field(alias="start state")
    input: Annotated[str, AfterValidator(_printable)] | None = None
    synonyms: dict[Name, Any] | None = None
    table: dict[Name, Annotated[dict[Name, Any], BeforeValidator(_no_instructions)]]


class Document(Schema):
    """What the site exports; the layout of its diagram is not needed here."""

    name: Name | None = None
    source_code: str = Field(alias="source code")
    positions: Any = None
    editor_contents: Any = Field(None, alias="editor contents")


def read(text: str, name: str) -> TuringMachine:
    """The machine in a turingmachine.io text; `name` is used where the document gives none."""
    data = _parse(text)
    if not (isinstance(data, dict) and "source code" in data):
        return _machine(data, name)
    document = validated(Document, data)
    try:
        return _machine(_parse(document.source_code), document.name or name)
    except InputError as error:
        field = f"source code.{error.field}"
        raise InputError(str(error).replace(f"`{error.field}`", f"`{field}`", 1), field) from None


def _machine(data: object, name: str) -> TuringMachine:
    program = validated(Program, data)
    written = list(_written(program))
    symbols = [program.blank]
    for entry in written:
        symbols += entry.read, entry.rule.write
    if program.input and all(len(symbol) == 1 for symbol in symbols):
        symbols += program.input
    with fields_called(_KEYS):
        machine = TuringMachine(
            name=program.name or name,
            alphabet=tuple(dict.fromkeys(symbols)),
            blank=program.blank,
            states=tuple(program.table),
            initial=program.start_state,
            finals=frozenset(state for state, row in program.table.items() if not row),
            rules={},
        )
        machine = replace(machine, input=machine.word(program.input or ""))
    return with_rules(machine, written)


def _written(program: Program) -> Iterator[WrittenRule]:
    synonyms = {name: _instruction(value, ("synonyms", name), {}) for name, value in (program.synonyms or {}).items()}
    for state, row in program.table.items():
        for symbol, value in row.items():
            at: Path = ("table", state, symbol)
            instruction, at = _instruction(value, at, synonyms)
            move = next(m for m in _MOVES if m in instruction.model_fields_set)
            rule = Rule(getattr(instruction, move) or state, instruction.write or symbol, _MOVES[move])
            yield WrittenRule(
                state, symbol, rule, ("table", state), ("table", state, symbol), (*at, "write"), (*at, move)
            )


def _instruction(value: object, at: Path, synonyms: dict[str, tuple[Instruction, Path]]) -> tuple[Instruction, Path]:
    """An instruction, and the path where it stands."""
    if isinstance(value, str) and value in synonyms and value not in _MOVES:
        return synonyms[value]
    if isinstance(value, str):
        if value not in _MOVES:
            raise wrong(at, "L, R, N, a synonym or a mapping such as {write: x, R: state}", value)
        value = {value: None}
    instruction = validated(Instruction, value, at)
    if len(instruction.model_fields_set & _MOVES.keys()) != 1:
        raise wrong(at, "an instruction with exactly one of L, R and N", value)
    return instruction, at


def _parse(text: str) -> object:
    node = yaml_node(text)
    return None if node is None else _value(node, ())


def _value(node: yaml.Node, path: Path) -> object:
    """Nodes as dictionaries, lists and strings, None for a value left empty; a state's `[a, b]: x` is x for a and b."""
    if isinstance(node, yaml.ScalarNode):
        return None if node.value == "" and node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i)) for i, item in enumerate(node.value)]
    mapping: dict[str, object] = {}
    for key_node, value_node in node.value:
        # only symbols may be listed: nested lists of keys would multiply a few lines to more than fits into memory
        listed = isinstance(key_node, yaml.SequenceNode) and len(path) == 2
        for key in key_node.value if listed else [key_node]:
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"`{dotted(path)}` must have plain texts as keys, but has a nested one", dotted(path))
            if key.value in mapping:
                raise twice((*path, key.value))
            mapping[key.value] = _value(value_node, (*path, key.value))
    return mapping
