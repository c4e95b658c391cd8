"""Options given as KEY=VALUE on a command line, or as keywords: checked against names and defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hamiltonians.errors import must_be, one_of


def parsed(pairs: Iterable[str], flag: str) -> dict[str, str]:
    """The words KEY=VALUE as a mapping.

    Raises
    ------
    InputError : a word without `=`, or a key given twice.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise must_be(flag, "NAME=VALUE", pair)
        if key in options:
            raise must_be(flag, f"given once for {key}", pair)
        options[key] = value
    return options


def checked(options: Mapping[str, Any], defaults: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The options, each of the type of its default; text is converted.

    Raises
    ------
    InputError : an unknown key, or a value that is not of the default's type.
    """
    return {key: _converted(key, value, defaults, what) for key, value in options.items()}


def _converted(key: str, value: Any, defaults: Mapping[str, Any], what: str) -> Any:
    if key not in defaults:
        raise must_be(what, one_of(defaults), key)
    default = defaults[key]
    if isinstance(default, bool):
        words = {"true": True, "false": False}
        if isinstance(value, bool) or str(value).lower() in words:
            return words[str(value).lower()]
        raise must_be(key, "true or false", value)
    if isinstance(default, str):
        return str(value)
    try:
        number = type(default)(value)
    except (TypeError, ValueError):
        number = None
    whole = isinstance(default, int)
    fits = number is not None and math.isfinite(number) and (isinstance(value, str) or number == value)
    if isinstance(value, bool) or not fits:
        raise must_be(key, "an integer" if whole else "a finite number", value)
    return number
