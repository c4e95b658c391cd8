"""The points of a sweep, one after the other; they are never all in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from math import prod
from pathlib import Path
from typing import Any, final

from qunn.sweeping.commands import FILE, Command, Setting, setting
from qunn.sweeping.description import Description


@final
@dataclass(frozen=True)
class Point:
    """One call of a command, which can be sent to another process.

    Attributes
    ----------
    key : what the point is known by: a hash of the command and its settings, whatever their order.
    command : the name. words : its arguments. settings : flags and values, for the table. folder : where it is called.
    """

    key: str
    command: str
    words: tuple[str, ...]
    settings: dict[str, Any]
    folder: str

    @property
    def line(self) -> str:
        """As a person would write it."""
        import shlex

        return shlex.join(["python", "-m", self.command, *self.words])


@final
class Points:
    """All points of a description; every value is checked when this is made.

    Raises
    ------
    InputError : see `qunn.sweeping.commands.setting`.
    """

    def __init__(self, description: Description) -> None:
        called = description.called
        self._command = called
        self._fixed = [setting(called, flag, given, f"flags.{flag}") for flag, given in description.flags.items()]
        self._sets = [
            [setting(called, flag, given, f"points[{i}].{flag}") for flag, given in one.items()]
            for i, one in enumerate(description.points or [{}])
        ]
        self._axes = [
            [setting(called, flag, given, f"grid.{flag}[{i}]") for i, given in enumerate(values)]
            for flag, values in description.grid.items()
        ]

    def __len__(self) -> int:
        """How many, one that is listed twice counted twice."""
        return len(self._sets) * prod(len(axis) for axis in self._axes)

    def __iter__(self) -> Iterator[Point]:
        folder = str(Path.cwd())
        for one in self._sets:
            for combination in product(*self._axes):
                yield point(self._command, [*self._fixed, *one, *combination], folder)


def point(command: Command, settings: list[Setting], folder: str) -> Point:
    """The call of a command with these settings."""
    shown = {s.flag: s.value for s in settings}
    key = hashlib.sha256(json.dumps([command.name, shown], sort_keys=True).encode()).hexdigest()[:16]
    flags = list(chain.from_iterable(s.words for s in settings if s.flag != FILE))
    files = [word for s in settings if s.flag == FILE for word in s.words]
    words = (*flags, *(["--"] if any(word.startswith("-") for word in files) else []), *files)
    return Point(key, command.name, words, shown, folder)
