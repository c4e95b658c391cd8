"""The cross-validation as one HTML page that asks for nothing else: styles and pictures are inside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined

from circuits.validation.claim import Cell, Row, Subject, Validation
from circuits.validation.pictures import overview, overview_says, picture
from circuits.validation.wording import (
    NOTHING,
    SILENT,
    WRONG,
    broken_notice,
    cell_verdict,
    counted,
    fact,
    failed_cells,
    outcome,
    parts,
    plain,
    short,
    shortfall,
    verdict,
)
from hamiltonians.files import written_atomically

_TEMPLATE: Final = "page.html.jinja"


@dataclass(frozen=True)
class _Shown:
    """A picture: its SVG as the address of an image, its title, and the sentence that stands for it."""

    title: str
    says: str
    address: str
    wide: bool = False


def write_html(path: str | os.PathLike[str], validation: Validation, version: str, command: str | None = None) -> None:
    """Write the page, atomically; equal findings give equal bytes.

    Parameters
    ----------
    version : of this program. command : the line that made the page; both are at its foot.

    Raises
    ------
    InputError : a file that cannot be written.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"plain": plain, "short": short, "fact": fact, "parts": parts, "verdict": verdict}
    environment.filters |= {
        "cell_verdict": cell_verdict,
        "shortfall": shortfall,
        "share": _share,
        "beginning": _beginning,
    }
    template = environment.from_string(files("circuits.validation").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    rows = [row for subject in validation.subjects for row in subject.rows]
    page = template.render(
        subjects=[(subject, _pictures(subject), _failures(subject)) for subject in validation.subjects],
        outcome=outcome,
        validation=validation,
        broken=broken_notice(validation),
        counted=counted,
        rows=rows,
        version=version,
        command=None if command is None else plain(command),
        nothing=NOTHING,
        silent=SILENT,
        wrong=WRONG,
        empty=Cell(),
    )
    with written_atomically(path) as file:
        file.write(page.encode("utf-8"))


def _pictures(subject: Subject) -> Sequence[_Shown]:
    shown = []
    if any(row.worst is not None for row in subject.rows):
        shown.append(
            _Shown("Differences and tolerances", overview_says(subject), _address(overview(subject)), wide=True)
        )
    for one in subject.pictures:
        svg, says = picture(one)
        shown.append(_Shown(plain(one.title), says, _address(svg)))
    return shown


def _address(svg: str) -> str:
    """A picture by itself, whose identifiers meet those of no other."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def _failures(subject: Subject) -> list[tuple[int, Row, str, Cell]]:
    """The failed cells with the number of their row, from 1."""
    return [(i, row, name, cell) for i, row in enumerate(subject.rows, 1) for name, cell in failed_cells(row)]


def _share(cell: Cell) -> str:
    """The difference over its tolerance, in per cent."""
    if cell.difference is None or not cell.tolerance:
        return NOTHING
    return f"{100 * cell.difference / cell.tolerance:.3g} %"


def _beginning(text: str, most: int) -> str:
    """A text that is longer than `most` is cut there, and says so."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
