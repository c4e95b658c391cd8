"""The machines in `examples/`: beside the packages in a clone, inside `hamiltonians` in an installed wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hamiltonians
from hamiltonians.machine import TuringMachine
from hamiltonians.readers import detect_format, load_machine

#: of files that are no machines, beside those in folders: a text, series, circuits, models
_OTHERS = (".md", ".csv", ".qasm", ".safetensors")


@dataclass(frozen=True)
class Example:
    """A machine file that comes with the distribution."""

    path: Path
    format: str
    machine: TuringMachine


def examples_folder() -> Path:
    """Where the example machines lie."""
    package = Path(hamiltonians.__file__).parent
    inside = package / "examples"
    return inside if inside.is_dir() else package.parent / "examples"


def examples() -> list[Example]:
    """All example machines, by name."""
    paths = sorted(p for p in examples_folder().iterdir() if p.is_file() and p.suffix not in _OTHERS)
    return [Example(p, detect_format(p.read_text(encoding="utf-8")), load_machine(p)) for p in paths]
