"""Machine files: five formats, told apart by their content, read into a `TuringMachine`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import cast

from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.machine import TuringMachine

__all__ = ["FORMATS", "detect_format", "load_machine", "machine_of", "read_machine_text", "standard_input"]

# loaded on demand: pydantic, yaml and defusedxml take longer to import than most machines to run
_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "native": "hamiltonians.readers.native",
        "automata-lib": "hamiltonians.readers.automata_lib",
        "turingmachine-io": "hamiltonians.readers.turingmachine_io",
        "jflap": "hamiltonians.readers.jflap",
        "busy-beaver": "hamiltonians.readers.busy_beaver",
    }
)

#: the names that `format` may have
FORMATS = tuple(_MODULES)

_MAX_BYTES = 16 * 2**20  # no sensible machine comes near; read no more than that of an endless device

_MAX_SOURCE = 100  # characters: a table no longer than that stands for itself in messages

# deliberately wider than a correct table, so that a table with a slip in it gets the table's error
_TABLE_LIKE = re.compile(r"\s*(bb:.*|([0-9][LR][A-Z]|---)[0-9A-Za-z_\s-]*)", re.DOTALL)
_JSON_KEY = r'"(?:%s)"\s*:'
_AUTOMATA_LIB_KEYS = re.compile(_JSON_KEY % "input_symbols|tape_symbols|initial_state|blank_symbol|final_states")
_YAML_KEYS = re.compile(_JSON_KEY % "start state|source code|table")


def load_machine(path_or_text: str | os.PathLike[str], format: str | None = None) -> TuringMachine:
    """The machine in a file, or in the text itself.

    Parameters
    ----------
    path_or_text : a path, `bb:TABLE`, or a machine as text in one of the formats.
    format : one of `FORMATS`; default: recognised by the content.

    Raises
    ------
    InputError : names the file, the field in that format's own words, and what is allowed there.

    Examples
    --------
    >>> from hamiltonians import load_machine
    >>> machine = load_machine("bb:1RB1LB_1LA1RZ")  # for A, B on 0 and 1: write, move, next state
    >>> machine.rules["A", "0"], machine.states
    (Rule(to_state='B', write='1', move=1), ('A', 'B', 'Z'))
    """
    if isinstance(path_or_text, str) and _is_text(path_or_text):
        short = path_or_text.startswith("bb:") and len(path_or_text) <= _MAX_SOURCE
        source = path_or_text.strip() if short else "text"
        return read_machine_text(path_or_text, source, format)
    path = os.fspath(path_or_text)
    return read_machine_text(_content(path), path, format)


def machine_of(name: str, format: str | None = None) -> TuringMachine:
    """What a command line calls FILE: as `load_machine`, and `-` for the standard input.

    Raises
    ------
    InputError : see `load_machine` and `standard_input`.
    """
    return load_machine(name, format) if name != "-" else read_machine_text(standard_input(), "stdin", format)


def standard_input(most: int = _MAX_BYTES) -> bytes:
    """Everything that stands on the standard input.

    Raises
    ------
    InputError : it is closed, or longer than `most` bytes.
    """
    if sys.stdin is None:
        raise InputError("`-` must have a standard input to read, but it is closed", "FILE")
    content = sys.stdin.buffer.read(most + 1)
    if len(content) > most:
        raise InputError(f"`-` must be at most {most // 2**20} MiB, but is longer", "FILE")
    return content


def read_machine_text(text: str | bytes, source: str, format: str | None = None) -> TuringMachine:
    """The machine that `text` describes.

    Parameters
    ----------
    text : a machine in one of the formats; bytes must be UTF-8.
    source : where the text comes from; errors begin with it, and its stem names a machine that bears no name.
    format : one of `FORMATS`; default: recognised by the content.

    Raises
    ------
    InputError : see `load_machine`.
    """
    if format is not None and format not in FORMATS:
        raise must_be("format", one_of(FORMATS), format)
    try:
        if isinstance(text, bytes):
            text = text.decode()
        text = text.removeprefix("\ufeff")  # a byte-order mark
        module = import_module(_MODULES[format or detect_format(text)])
        read = cast(Callable[[str, str], TuringMachine], module.read)
        return read(text, Path(source).stem)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: `document` must be text in UTF-8, but byte {error.start} is not", "document"
        ) from None
    except RecursionError:
        raise InputError(f"{source}: `document` must be nested less deeply", "document") from None
    except InputError as error:
        raise InputError(f"{source}: {error}", error.field) from error


def detect_format(text: str) -> str:
    """Which of `FORMATS` the text looks like; nothing but its content decides.

    Raises
    ------
    InputError : it looks like none.
    """
    start = text.lstrip()[:1]
    if start == "<":
        return "jflap"
    if start == "{":
        if _AUTOMATA_LIB_KEYS.search(text):
            return "automata-lib"
        return "turingmachine-io" if _YAML_KEYS.search(text) else "native"
    if _TABLE_LIKE.fullmatch(text):
        return "busy-beaver"
    if ":" in text:
        return "turingmachine-io"
    raise InputError(f"`format` must be {one_of(FORMATS)}, but the content looks like none of them", "format")


def _is_text(path_or_text: str) -> bool:
    starts_like_text = path_or_text.lstrip().startswith(("{", "<"))
    return starts_like_text or "\n" in path_or_text or _TABLE_LIKE.fullmatch(path_or_text) is not None


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: `file` must be readable, but is not: {error.strerror}", "file") from None
    except ValueError:  # a NUL in the name, or a lone surrogate
        raise InputError(f"{path!r}: `file` must be the name of a file, but no file can bear it", "file") from None
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path}: `file` must be at most {_MAX_BYTES // 2**20} MiB, but is larger", "file")
    return content
