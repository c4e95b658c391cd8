"""A claim, what every backend says of it, and whether they agree: the data of the cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np
from qiskit.exceptions import QiskitError

from hamiltonians.errors import InputError, MemoryEstimateError


class AbsentError(Exception):
    """A backend has nothing to say of this object, or no room for it; the message says why."""


Value = float | str | list[float] | None

#: what an implementation that is wrong may raise instead of giving a wrong number; anything else is a defect here
_FAULTS = (ValueError, ArithmeticError, IndexError, QiskitError, RuntimeError)  # torch raises the last


@final
@dataclass(frozen=True)
class Cell:
    """What one backend says of one claim.

    Attributes
    ----------
    value : a number, a text or a few numbers; None where there is none.
    difference : from the row's reference, in the row's own measure; None for the reference itself, and where nothing
        was computed.
    tolerance : what is allowed for it. why : where that comes from.
    passed : difference ≤ tolerance; None where nothing was compared.
    note : in words, what the numbers do not say: why a cell is empty, what an implementation raised, what else was
        found.
    detail : the numbers behind the value, such as errors at three step sizes.
    """

    value: Value = None
    difference: float | None = None
    tolerance: float | None = None
    why: str | None = None
    passed: bool | None = None
    note: str | None = None
    detail: list[float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no number that is not finite: such a one is a text, "nan" or "inf"."""
        return asdict(self) | {"value": _finite(self.value), "detail": _finite(self.detail)}


def _finite(value: Value) -> Any:
    if isinstance(value, list):
        return [_finite(x) for x in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def reference(value: Value, note: str | None = None) -> Cell:
    """The cell that the others are compared with."""
    return Cell(value=value, note=note)


def compared(
    value: Value,
    difference: float,
    tolerance: float,
    why: str,
    note: str | None = None,
    detail: list[float] | None = None,
) -> Cell:
    """A cell that agrees where difference ≤ tolerance; one that is not finite never does.

    Where everything would be allowed nothing is compared.
    """
    known = bool(np.isfinite(difference))
    if known and not np.isfinite(tolerance):
        return Cell(value, float(difference), note="rounding has no finite bound here", detail=detail)
    passed = known and bool(difference <= tolerance)
    return Cell(value, float(difference) if known else None, float(tolerance), why, passed, note, detail)


def absent(reason: str) -> Cell:
    """A backend that has nothing to say here, and why."""
    return Cell(note=reason)


@final
@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes
    ----------
    key : its name. claim : the sentence that is checked. source : its equation or theorem, and erratum.
    measure : what the differences are. cells : column -> what it says, in the order of the columns.
    """

    key: str
    claim: str
    source: str
    measure: str
    cells: Mapping[str, Cell]

    @property
    def worst(self) -> Cell | None:
        """The cell that comes closest to its tolerance, or misses it most; None where nothing was compared."""
        found = [cell for cell in self.cells.values() if cell.passed is not None]
        return max(found, key=_strain, default=None)

    @property
    def passed(self) -> bool | None:
        """Whether all cells that were compared agree; None where none was."""
        found = [cell.passed for cell in self.cells.values() if cell.passed is not None]
        return all(found) if found else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the cells, and the worst one's difference, tolerance and reason beside the verdict."""
        worst = self.worst or Cell()
        return {
            "key": self.key,
            "claim": self.claim,
            "source": self.source,
            "measure": self.measure,
            "cells": {name: cell.as_dict() for name, cell in self.cells.items()},
            "difference": worst.difference,
            "tolerance": worst.tolerance,
            "why": worst.why,
            "passed": self.passed,
        }


def _strain(cell: Cell) -> float:
    if cell.difference is None:
        return np.inf
    assert cell.tolerance is not None
    return cell.difference / cell.tolerance if cell.tolerance else np.inf * cell.difference if cell.difference else 0.0


def row(
    key: str, claim: str, source: str, measure: str, columns: Sequence[str], cells: Mapping[str, Callable[[], Cell]]
) -> Row:
    """Ask every column; one that is not among `cells` has nothing to say.

    An implementation that raises what a wrong one may raise fails its cell, with the message; one that has nothing to
    say (`AbsentError`), or asks for more memory than is free, is left out, with the message.
    """
    return Row(key, claim, source, measure, {name: _asked(cells.get(name)) for name in columns})


def _asked(ask: Callable[[], Cell] | None) -> Cell:
    if ask is None:
        return absent("says nothing of this")
    try:
        with np.errstate(all="ignore"):  # what overflows is a difference that is not finite, and fails
            return ask()
    except (AbsentError, MemoryEstimateError) as reason:
        return absent(str(reason))
    except MemoryError:  # an allocation that was not asked for first
        return absent("out of memory")
    except _FAULTS as fault:
        return Cell(passed=False, note=f"{type(fault).__name__}: {' '.join(str(fault).split())}")


@final
@dataclass(frozen=True)
class Curve:
    """One line of a picture. style : "line" for a prediction, "dots" for what was measured."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "dots"


@final
@dataclass(frozen=True)
class Picture:
    """What the page draws; says : a sentence on what is to be seen."""

    title: str
    says: str
    x: str
    y: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False


def drawn(draw: Iterable[Callable[[], Picture | None]]) -> list[Picture]:
    """The pictures that what was computed allows; a backend that says nothing, or is wrong, has a row that says why."""
    found = []
    for picture in draw:
        try:
            made = picture()
        except (AbsentError, MemoryError, *_FAULTS):
            continue
        if made is not None and all(np.isfinite(curve.y).all() for curve in made.curves):
            found.append(made)
    return found


@final
@dataclass(frozen=True)
class Subject:
    """One machine or one model, with all its rows.

    Attributes
    ----------
    kind : "machine" or "model". name : of the file. facts : what it is, as pairs of a name and a value.
    columns : the backends, with a sentence each on what they call.
    """

    kind: str
    name: str
    facts: Mapping[str, str | int | float | None]
    columns: Mapping[str, str]
    rows: Sequence[Row]
    pictures: Sequence[Picture] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Whether no row failed."""
        return all(r.passed is not False for r in self.rows)

    def row(self, key: str) -> Row:
        """The row of that key.

        Raises
        ------
        InputError : there is none.
        """
        for found in self.rows:
            if found.key == key:
                return found
        raise InputError(f"`key` must be one of {', '.join(r.key for r in self.rows)}, but is {key!r}", "key")

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the pictures."""
        return {
            "kind": self.kind,
            "name": self.name,
            "facts": dict(self.facts),
            "columns": dict(self.columns),
            "rows": [r.as_dict() for r in self.rows],
            "verified": self.verified,
        }


@final
@dataclass(frozen=True)
class Validation:
    """What `python -m circuits.cross_validate` finds.

    Attributes
    ----------
    broken : the mutation that was asked for, None in earnest. seconds : taken.
    """

    subjects: Sequence[Subject]
    broken: str | None = None
    seconds: float | None = None

    @property
    def verified(self) -> bool:
        """Whether no row of any subject failed, and some were compared."""
        compared = any(r.passed is not None for subject in self.subjects for r in subject.rows)
        return compared and all(subject.verified for subject in self.subjects)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "subjects": [subject.as_dict() for subject in self.subjects],
            "broken": self.broken,
            "verified": self.verified,
            "seconds": self.seconds,
        }
