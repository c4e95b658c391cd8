"""JSON, strictly: a key that comes twice is an error, not the last one's victory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from hamiltonians.errors import InputError
from hamiltonians.readers.schema import Path, twice


def parse_json(text: str) -> object:
    """The value that the text holds.

    Raises
    ------
    InputError : it is no JSON (the message says where), or an object has a key twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"`{place}` must be JSON, but is not: {error.msg}", place) from None
    except ValueError:  # Python converts no integer of more than some thousand digits
        raise InputError("`document` must hold no numbers, but has one of thousands of digits", "document") from None
    for path in _repeated(value, ()):
        raise twice(path)
    return value


@dataclass(frozen=True)
class _Repeating:
    """Stands for an object that has `key` twice until its path is known."""

    key: str


def _object(pairs: list[tuple[str, object]]) -> object:
    mapping: dict[str, object] = {}
    for key, value in pairs:
        if key in mapping:
            return _Repeating(key)
        mapping[key] = value
    return mapping


def _repeated(value: object, at: Path) -> Iterator[Path]:
    if isinstance(value, _Repeating):
        yield (*at, value.key)
    elif isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _repeated(below, (*at, key))
