"""A finished point as a flat row: `point.…` is about the call, `flag.…` what was asked for, the rest its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hamiltonians.errors import must_be
from qunn.sweeping.call import Outcome
from qunn.sweeping.points import Point

KEY, STATUS, ERROR = "point.key", "point.status", "point.error"


def row(point: Point, outcome: Outcome, keep: Collection[str]) -> dict[str, Any]:
    """The row of a point: nested keys are joined with dots, lists stay lists."""
    report = flat(outcome.report)
    return {
        KEY: point.key,
        STATUS: outcome.status,
        ERROR: outcome.error,
        "point.command": point.command,
        "point.seconds": outcome.seconds,
        "point.host": outcome.host,
        "point.version": outcome.version,
        **{f"flag.{name}": value for name, value in point.settings.items()},
        **(report if not keep else {name: report.get(name) for name in keep}),
    }


def flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found


def resolved(flag: str, name: str, known: Collection[str]) -> str:
    """The column of a name: a key of the report, or a flag of the sweep.

    Raises
    ------
    InputError : there is no such column; the message lists all.
    """
    for column in (name, f"flag.{name}"):
        if column in known:
            return column
    raise must_be(flag, "one of the table's columns (" + ", ".join(sorted(known)) + ")", name)
