"""The commands that a sweep can call, and the values of their flags as words of a command line.

A command is found by the name of its module when it is asked for: its flags are those that it has itself, and `qunn`
imports nothing of `circuits`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import click

from hamiltonians.errors import InputError, must_be

FILE = "file"
#: flags that belong to the sweep, write files, start processes or show something else than a report
_LEFT_OUT = (
    *("json", "quiet", "threads", "version", "help", "list", "explain", "load", "resume"),
    *("out", "output", "plot", "save", "export", "html", "checkpoint", "ranks", "plan"),
)


@final
@dataclass(frozen=True)
class Command:
    """A command line that prints a report with --json.

    Attributes
    ----------
    name : as in `python -m NAME`. module : where its `main` is.
    writes : flags for files that it insists on writing, and their names in a folder that is thrown away.
    no_file : what FILE may be without being the name of a file, as a regular expression.
    """

    name: str
    module: str
    writes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    no_file: str = r"bb:.*"

    @property
    def main(self) -> click.Command:
        """What is called."""
        return _main(self.module)

    @property
    def flags(self) -> dict[str, click.Parameter]:
        """The flags that a sweep can set, by their names without dashes; what is no flag is `file`."""
        found = {_name(parameter): parameter for parameter in self.main.params}
        return {name: parameter for name, parameter in found.items() if name not in _LEFT_OUT}


COMMANDS = MappingProxyType(
    {
        command.name: command
        for command in (
            Command("qunn.ground_state", "qunn.ground_state"),
            Command("qunn.train", "qunn.train", {"out": "run"}),
            Command("qunn.forecast", "qunn.forecast", {"output": "forecast.csv", "plot": "forecast.png"}, r"(?!)"),
            Command("qunn.stability", "qunn.stability.__main__", no_file=r"(?!.*\.safetensors$).*"),
            Command("circuits.run", "circuits.run"),
            Command("circuits.ground_state", "circuits.ground_state", no_file=r"(?!)"),
            Command("circuits.cross_validate", "circuits.cross_validate"),
        )
    }
)


@cache
def _main(module: str) -> click.Command:
    main = import_module(module).main
    assert isinstance(main, click.Command)
    return main


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return FILE
    return max(parameter.opts, key=len).lstrip("-")


@final
@dataclass(frozen=True)
class Setting:
    """A flag with its value: as it is shown in the table, and as words of a command line."""

    flag: str
    value: Any
    words: tuple[str, ...]


def setting(command: Command, flag: str, given: str | list[str], at: str) -> Setting:
    """A flag of a command with a value, checked as the command itself would.

    `NAME.KEY` with a value is `--NAME KEY=VALUE`, for flags such as --model-option. A list repeats a flag.

    Raises
    ------
    InputError : no such flag, a value that it does not take, a file that is not there; `at` is the place that it names.
    """
    known = command.flags
    name, _, key = flag.partition(".")
    if name not in known:
        allowed = ", ".join(name for name in known)
        raise must_be(at, f"one of the flags of {command.name} that a sweep can set ({allowed})", flag)
    parameter = known[name]
    if isinstance(parameter, click.Argument):
        if not isinstance(given, str) or key:
            raise must_be(at, "one file", given)
        _check_file(command, given, at)
        return Setting(flag, given, (given,))
    assert isinstance(parameter, click.Option)
    if parameter.is_flag:
        return _switch(parameter, flag, given, at)
    option = f"--{name}"
    if key:
        if not parameter.multiple or not isinstance(given, str):
            raise must_be(at, f"{name} with one text, for --{name} takes no KEY=VALUE", flag)
        return Setting(flag, _number(given), (f"{option}={key}={given}",))
    if isinstance(given, list):
        if not parameter.multiple:
            raise must_be(at, f"one value, for {option} is given once", given)
        return Setting(flag, given, tuple(f"{option}={word}" for word in given))
    value = _converted(command, parameter, given, at)
    return Setting(flag, [value] if parameter.multiple else value, (f"{option}={given}",))


def _switch(parameter: click.Option, flag: str, given: str | list[str], at: str) -> Setting:
    if given not in ("true", "false"):
        raise must_be(at, "true or false", given)
    words = parameter.opts if given == "true" else parameter.secondary_opts
    return Setting(flag, given == "true", (max(words, key=len),) if words else ())


def _converted(command: Command, parameter: click.Option, given: str, at: str) -> Any:
    try:
        return parameter.type.convert(given, parameter, click.Context(command.main))
    except click.BadParameter as error:
        raise InputError(f"`{at}` must be a value of --{_name(parameter)}: {error.message}", at) from None


def _check_file(command: Command, name: str, at: str) -> None:
    if name == "-":
        raise must_be(at, "a file, for the points of a sweep have no standard input", name)
    if not re.fullmatch(command.no_file, name) and not Path(name).is_file():
        raise InputError(f"`{at}` must be a file, but there is no {name!r} in {str(Path.cwd())!r}", at)


def _number(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
