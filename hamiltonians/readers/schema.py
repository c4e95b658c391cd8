"""What the formats share: the schema's base, errors that name a field, and the checks on rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.machine import Rule, TuringMachine

_MAX_NAME = 100  # characters; a message that shows a name stays readable

Path = tuple[str | int, ...]


def _printable(value: str) -> str:
    # reports and one-line messages print names: control characters would break both
    if not (0 < len(value) <= _MAX_NAME and value.isprintable()):
        raise PydanticCustomError("name", "1 to {length} printable characters", {"length": _MAX_NAME})
    return value


#: a state or a symbol
Name = Annotated[str, AfterValidator(_printable)]


class Schema(BaseModel):
    """A mapping with exactly the keys of its fields; an unknown one is an error that lists them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        keys = [field.alias or name for name, field in cls.model_fields.items()]
        for key in data if isinstance(data, dict) else ():
            if key not in keys:
                allowed = f"one of the keys {', '.join(keys)}"
                raise PydanticCustomError("unknown_key", "an allowed key", {"allowed": allowed, "key": key})
        return data


SchemaT = TypeVar("SchemaT", bound=Schema)

_A_MAPPING, _A_LIST, _A_STRING = "a mapping of keys to values", "a list", "a string"
_ALLOWED = {
    "string_type": _A_STRING,
    "string_unicode": _A_STRING + " in Unicode",
    "list_type": _A_LIST,
    "tuple_type": _A_LIST,
    "dict_type": _A_MAPPING,
    "model_type": _A_MAPPING,
}


def validated(schema: type[SchemaT], data: object, at: Path = ()) -> SchemaT:
    """`data` as an instance of `schema`; the first error is raised as an `InputError` with its path below `at`."""
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise _input_error(error, at) from None


def _input_error(errors: ValidationError, at: Path) -> InputError:
    try:
        error = errors.errors(include_url=False)[0]
    except UnicodeEncodeError:  # pydantic cannot name a key with half a surrogate pair
        return InputError(f"`{dotted(at)}` must be Unicode, but has a key with half a surrogate pair", dotted(at))
    kind, context = error["type"], error.get("ctx", {})
    path = at + tuple(part for part in error["loc"] if part != "[key]")
    if kind == "missing":
        return InputError(f"`{dotted(path)}` must be given, but is missing", dotted(path))
    if kind == "unknown_key":
        return wrong((*path, context["key"]), context["allowed"], context["key"])
    if kind == "literal_error":
        return wrong(path, "one of " + context["expected"].replace("'", "").replace(" or ", ", "), error["input"])
    if kind == "too_long":
        return wrong(path, f"a list of {context['max_length']} items", error["input"])
    return wrong(path, _ALLOWED.get(kind, error["msg"]), error["input"])


def wrong(path: Path, allowed: str, value: object) -> InputError:
    """The error "`path` must be `allowed`, but is `value`"; a nested value is named by its kind alone."""
    field = dotted(path)
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else f"a list of {len(value)}"
        return InputError(f"`{field}` must be {allowed}, but is {kind}", field)
    if value is None:
        return InputError(f"`{field}` must be {allowed}, but is null", field)
    return must_be(field, allowed, value)


def twice(path: Path) -> InputError:
    """The error for a key that its mapping has twice, where a parser would silently keep one of them."""
    return InputError(f"`{dotted(path)}` must come once, but comes twice", dotted(path))


def dotted(path: Path) -> str:
    """`("transitions", "q0", 1, "read")` as `transitions.q0[1].read`; the empty path is the whole `document`."""
    if not path:
        return "document"
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in path).removeprefix(".")


def _shown(key: str) -> str:
    # keys come from strangers: keep messages short, on one line and free of control characters
    return key if key.strip() and key.isprintable() and len(key) <= _MAX_NAME else repr(key[:_MAX_NAME])


@dataclass(frozen=True)
class WrittenRule:
    """A rule as a file has it, and the path of each part for messages."""

    state: str
    read: str
    rule: Rule
    state_at: Path
    read_at: Path
    write_at: Path
    to_state_at: Path


def with_rules(machine: TuringMachine, written: Iterable[WrittenRule]) -> TuringMachine:
    """The machine with these rules in place of its own, each name checked where it was written.

    Raises
    ------
    InputError : an unknown state or symbol, or a second rule for the same state and symbol.
    """
    states, symbols = frozenset(machine.states), frozenset(machine.alphabet)
    rules: dict[tuple[str, str], Rule] = {}
    for entry in written:
        for path, name, known, listed in (
            (entry.state_at, entry.state, states, machine.states),
            (entry.read_at, entry.read, symbols, machine.alphabet),
            (entry.write_at, entry.rule.write, symbols, machine.alphabet),
            (entry.to_state_at, entry.rule.to_state, states, machine.states),
        ):
            if name not in known:
                raise wrong(path, one_of(listed), name)
        if (entry.state, entry.read) in rules:
            raise wrong(entry.read_at, f"a symbol without a rule in state {entry.state} so far", entry.read)
        rules[entry.state, entry.read] = entry.rule
    return replace(machine, rules=rules)


@contextmanager
def fields_called(names: Mapping[str, str]) -> Iterator[None]:
    """Errors of `TuringMachine` in a format's own words: `names` maps our field -> the format's key."""
    try:
        yield
    except InputError as error:
        field = error.field or ""
        name = names.get(field, field)
        raise InputError(str(error).replace(f"`{field}`", f"`{name}`", 1), name) from None
