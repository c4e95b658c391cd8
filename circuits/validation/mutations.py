"""Every backend that can be broken on purpose, by name: what `--break` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from circuits.validation.machine_mutations import MACHINE, MACHINE_FAILS
from circuits.validation.machine_tools import GENUINE as GENUINE_MACHINE
from circuits.validation.machine_tools import MachineTools
from circuits.validation.model_mutations import MODEL, MODEL_FAILS
from circuits.validation.model_tools import GENUINE as GENUINE_MODEL
from circuits.validation.model_tools import ModelTools
from hamiltonians.errors import must_be, one_of

MUTATIONS: Final = (*MACHINE, *(name for name in MODEL if name not in MACHINE))


@final
@dataclass(frozen=True)
class Tools:
    """What both halves call."""

    machine: MachineTools = GENUINE_MACHINE
    model: ModelTools = GENUINE_MODEL


def broken(name: str | None) -> Tools:
    """The tools with that defect; the genuine ones for None. One that only a machine can have leaves models alone.

    Raises
    ------
    InputError : an unknown name.
    """
    if name is None:
        return Tools()
    if name not in MUTATIONS:
        raise must_be("--break", one_of(MUTATIONS), name)
    machine = MACHINE[name](GENUINE_MACHINE) if name in MACHINE else GENUINE_MACHINE
    model = MODEL[name](GENUINE_MODEL) if name in MODEL else GENUINE_MODEL
    return Tools(machine, model)


def says(name: str) -> str:
    """What is wrong there."""
    return " ".join(dict.fromkeys((half[name].__doc__ or "") for half in (MACHINE, MODEL) if name in half))


def fails(name: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """kind of subject -> row -> columns that must fail."""
    found = {"machine": MACHINE_FAILS.get(name, {}), "model": MODEL_FAILS.get(name, {})}
    return {kind: dict(rows) for kind, rows in found.items()}
