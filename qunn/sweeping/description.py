"""What a sweep is: a YAML file with a command, its flags, and which of them vary."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import final

import yaml
from pydantic import Field

from hamiltonians.errors import InputError, must_be
from hamiltonians.readers.schema import Schema, dotted, twice, validated
from hamiltonians.readers.yaml_text import yaml_node
from qunn.sweeping.commands import COMMANDS, FILE, Command

Value = str | list[str]


@final
class Description(Schema):
    """The whole file.

    Attributes
    ----------
    command : one of `COMMANDS`.
    flags : the same for all points. grid : a list of values a flag; their product is swept.
    points : sets of flags, each of which is joined with every point of the grid.
    keep : columns of the report that go into the table; all of them where none is named.

    Every value is the text that was written, as on a command line.
    """

    command: str
    flags: dict[str, Value] = Field(default_factory=dict)
    grid: dict[str, list[Value]] = Field(default_factory=dict)
    points: list[dict[str, Value]] = Field(default_factory=list)
    keep: list[str] = Field(default_factory=list)

    @property
    def called(self) -> Command:
        """The command that every point calls."""
        return COMMANDS[self.command]


def read_description(path: str) -> Description:
    """The description in a file, or in standard input for `-`.

    Raises
    ------
    InputError : a file that cannot be read or is no description; one line that names the key.
    """
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        node = yaml_node(raw.decode("utf-8"))
        found = validated(Description, None if node is None else _plain(node, ()))
        _check(found)
    except OSError as error:
        raise InputError(f"{path}: `SWEEP` must be a file that can be read, but {error.strerror}", "SWEEP") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: `SWEEP` must be text in UTF-8, but is not", "SWEEP") from None
    except InputError as error:
        raise InputError(f"{path}: {error}", error.field) from None
    return found


def _plain(node: yaml.Node, path: tuple[str | int, ...]) -> object:
    """Dictionaries, lists and texts; a key that comes twice is an error."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, i)) for i, item in enumerate(node.value)]
    mapping: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"`{dotted(path)}` must have texts as keys, but has a nested one", dotted(path))
        if key.value in mapping:
            raise twice((*path, key.value))
        mapping[key.value] = _plain(value, (*path, key.value))
    return mapping


def _check(found: Description) -> None:
    """What a schema cannot tell; the flags themselves are checked where they become words."""
    if found.command not in COMMANDS:
        raise must_be("command", f"one of {', '.join(COMMANDS)}", found.command)
    if not found.grid and not found.points:
        raise InputError("`grid` must name a flag with its values, or `points` list sets of flags: there is no point")
    for flag, values in found.grid.items():
        if not values:
            raise InputError(f"`grid.{flag}` must have a value at least, but is empty", f"grid.{flag}")
    for flag in chain(found.grid, *found.points):
        places = [flag in found.flags, flag in found.grid, any(flag in point for point in found.points)]
        if sum(places) > 1:
            raise InputError(f"`{flag}` must be in one of `flags`, `grid` and `points`, but is in {sum(places)}", flag)
    if FILE in found.called.flags and FILE not in found.flags | found.grid:
        for i, point in enumerate(found.points or [{}]):
            if FILE not in point:
                where = f"points[{i}].file" if found.points else "grid.file"
                raise InputError(f"`{where}` must be given: {found.command} reads a file", where)
