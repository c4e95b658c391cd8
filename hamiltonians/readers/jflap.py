"""One-tape Turing machines of JFLAP 4 to 7 (`.jff`, XML).

JFLAP's blank square is stored as an empty element and shown as □. By default JFLAP accepts on entering a final state,
whatever rules leave it; here a machine runs while a rule applies, so those rules are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.machine import Rule, TuringMachine
from hamiltonians.readers.schema import Name, Schema, WrittenRule, dotted, fields_called, validated, with_rules, wrong

_BLANK = "□"
_ANY = "~"  # reads any symbol; written: keeps it
_MOVES = {"L": -1, "S": 0, "R": +1}
_KEYS = {"alphabet": "transition.read", "states": "state.name"}


def _one_character(value: str) -> str:
    if len(value) > 1 or not value.isprintable():  # longer ones are JFLAP's variables, `!x` and `a,b}w`
        raise PydanticCustomError("symbol", "empty or one printable character (variables and ! are not read)")
    return value or _BLANK


Symbol = Annotated[str, AfterValidator(_one_character)]


class State(Schema):
    """A `<state>`, or a `<block>` without a machine inside, as which JFLAP 6.4 and later save plain states."""

    id: Name
    name: str = ""
    initial: bool
    final: bool


class Transition(Schema):
    """A `<transition>`; `from` and `to` are ids."""

    from_: Name = Field(alias="from")
    to: Name
    read: Symbol
    write: Symbol
    move: Literal["L", "R", "S"]


class JflapMachine(Schema):
    """The states and transitions, in the file's order."""

    state: list[State]
    transition: list[Transition]


def read(text: str, name: str) -> TuringMachine:
    """The machine in a JFLAP text; the format has no name and no input."""
    data = _validated(_automaton(text))
    alphabet = tuple(dict.fromkeys([_BLANK, *(s for t in data.transition for s in (t.read, t.write) if s != _ANY)]))
    named = _names(data.state)
    with fields_called(_KEYS):
        machine = TuringMachine(
            name=name,
            alphabet=alphabet,
            blank=_BLANK,
            states=tuple(named.values()),
            initial=_initial(data.state, named),
            finals=frozenset(named[state.id] for state in data.state if state.final),
            rules={},
        )
    return with_rules(machine, _written(data, machine, named))


def _automaton(text: str) -> Element:
    try:
        root: Element = fromstring(text)
    except ParseError as error:
        raise InputError(f"`document` must be XML, but is not: {error}", "document") from None
    except DefusedXmlException:
        raise InputError("`document` must be XML without entities of its own, but declares one", "document") from None
    except ValueError as error:  # characters that no encoding has
        raise InputError(f"`document` must be XML, but is not: {error}", "document") from None
    kind = (root.findtext("type") or "").strip()
    if kind not in ("turing", "turingbb"):  # 7.1 names the editor that knows building blocks
        raise must_be("type", "turing", kind)
    tapes = (root.findtext("tapes") or "1").strip()
    if tapes != "1":
        raise must_be("tapes", "1, since the machines here have one tape", tapes)
    automaton = root.find("automaton")
    return root if automaton is None else automaton


def _validated(automaton: Element) -> JflapMachine:
    machines_inside = {element.tag for element in automaton if len(element)}
    for block in automaton.iterfind("block"):
        if (block.findtext("tag") or "").strip() in machines_inside or block.find("automaton") is not None:
            field = dotted(("block", block.get("name", "")))
            raise InputError(f"`{field}` must be a plain state, but is a building block with a machine inside", field)
    states = [
        {**_attributes(s), "initial": s.find("initial") is not None, "final": s.find("final") is not None}
        for s in automaton
        if s.tag in ("state", "block")
    ]
    transitions = [_parts(t, i) for i, t in enumerate(automaton.iterfind("transition"))]
    return validated(JflapMachine, {"state": states, "transition": transitions})


def _attributes(state: Element) -> dict[str, str]:
    return {key: value for key in ("id", "name") if (value := state.get(key)) is not None}


def _parts(transition: Element, index: int) -> dict[str, str]:
    parts: dict[str, str] = {}
    for key in ("from", "to", "read", "write", "move"):
        elements = transition.findall(key)
        if len(elements) > 1:
            field = dotted(("transition", index, key))
            raise InputError(f"`{field}` must be given for one tape, but is {len(elements)} times", field)
        if elements:
            parts[key] = (elements[0].text or "").strip()
    return parts


def _written(data: JflapMachine, machine: TuringMachine, named: Mapping[str, str]) -> Iterator[WrittenRule]:
    for i, t in enumerate(data.transition):
        at = ("transition", i)
        for key, state in (("from", t.from_), ("to", t.to)):
            if state not in named:
                raise wrong((*at, key), one_of(named), state)
        if named[t.from_] in machine.finals:
            continue
        for symbol in machine.alphabet if t.read == _ANY else (t.read,):
            rule = Rule(named[t.to], symbol if t.write == _ANY else t.write, _MOVES[t.move])
            yield WrittenRule(named[t.from_], symbol, rule, (*at, "from"), (*at, "read"), (*at, "write"), (*at, "to"))


def _names(states: list[State]) -> dict[str, str]:
    """Id -> the state's name; ids themselves unless every state bears a name of its own."""
    seen: set[str] = set()
    for i, state in enumerate(states):
        if state.id in seen:
            raise wrong(("state", i, "id"), "an id that no other state has", state.id)
        seen.add(state.id)
    names = [state.name for state in states]
    distinct = len(set(names)) == len(names) and all(n and n.isprintable() for n in names)
    return {state.id: state.name if distinct else state.id for state in states}


def _initial(states: list[State], named: dict[str, str]) -> str:
    initial = [named[state.id] for state in states if state.initial]
    if len(initial) != 1:
        raise InputError(f"`state.initial` must be given for one state, but is for {len(initial)}", "state.initial")
    return initial[0]
