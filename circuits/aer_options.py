"""Options of AerSimulator that `backend` has no argument for: several cards, several processes, Aer's own tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from qiskit_aer import AerSimulator
from qiskit_aer.backends.aer_compiler import BACKEND_RUN_ARG_TYPES, AerConfig

from hamiltonians.errors import InputError, must_be

#: arguments of `backend` and its methods, or objects that are no plain value
_ELSEWHERE = {
    *("shots", "method", "device", "precision", "noise_model", "seed_simulator", "max_parallel_threads", "memory"),
    *("executor", "max_job_size", "max_shot_size", "parameterizations"),
}
#: Aer documents these, but its simulator takes them only when it runs
AT_RUN = frozenset(("target_gpus", "fusion_parallelization_threshold"))


def aer_options() -> dict[str, type]:
    """Every option by its name in Aer, and the type of its value."""
    defaults = AerSimulator._default_options()
    found = {}
    for name, types in BACKEND_RUN_ARG_TYPES.items():
        if name not in _ELSEWHERE:
            first = types[0] if isinstance(types, tuple) else types
            # Aer's table calls one switch a number
            found[name] = bool if isinstance(getattr(defaults, name, None), bool) else first
    return found


def checked_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options as plain values.

    Raises
    ------
    InputError : a name that Aer has not, one that is an argument of `backend`, or a value of another type or beyond the
        numbers that Aer takes.
    """
    if given is not None and not isinstance(given, Mapping):
        raise must_be("aer", "a table of names and values", given)
    known, options = aer_options(), {}
    for name, value in (given or {}).items():
        kind = _kind(name, known)
        plain = value.item() if isinstance(value, np.generic) else value
        if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
            plain = float(plain)
        if kind is list:
            plain = _cards(name, plain)
        elif type(plain) is not kind:
            raise must_be(f"aer: {name}", _WORDS[kind], value)
        try:
            setattr(AerConfig(), name, plain)
        except TypeError:  # some numbers have no sign there, and all have an end
            raise must_be(f"aer: {name}", f"{_WORDS[kind]} that Aer takes", value) from None
        options[name] = plain
    return options


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """The options that a command line gives as KEY=VALUE: true or false, a number, numbers with commas, or a word.

    Raises
    ------
    InputError : as above, no `=`, or a key that comes twice.
    """
    known, options = aer_options(), {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator:
            raise must_be("--aer", "KEY=VALUE", word)
        kind = _kind(name, known)
        if name in options:
            raise InputError(f"`aer: {name}` must be given once, but is there twice", "aer")
        options[name] = _read(name, kind, text)
    return checked_options(options)


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "whole numbers from 0"}


def _kind(name: str, known: Mapping[str, type]) -> type:
    if name in _ELSEWHERE:
        raise InputError(f"`aer` must not hold {name}: it has an argument of its own, or no plain value", "aer")
    if name not in known:
        near = get_close_matches(str(name), known, n=3, cutoff=0.0)
        raise must_be("aer", f"named as AerSimulator's options are ({', '.join(near)}, …)", name)
    return known[name]


def _read(name: str, kind: type, text: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is list:
            return [int(number) for number in text.split(",")]
        return kind(text)
    except (KeyError, ValueError):
        raise must_be(f"aer: {name}", _WORDS[kind], text) from None


def _cards(name: str, value: Any) -> list[int]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    whole = [int(n) for n in numbers if isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0]
    if not whole or len(whole) < len(numbers):
        raise must_be(f"aer: {name}", _WORDS[list], value)
    return whole


__all__ = ["AT_RUN", "aer_options", "checked_options", "read_options"]
