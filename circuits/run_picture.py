"""The picture of a run: its circuit, and the error of the product formulas against the repetitions."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from qiskit import QuantumCircuit

from circuits.run_report import RunReport
from hamiltonians.errors import InputError, one_of
from hamiltonians.files import written_atomically

FORMATS: Final = ("png", "svg", "pdf")
_GATES: Final = 60  # of a circuit that is drawn; of a longer one the beginning
_FOLD: Final = 32  # columns a line: two lines of six qubits are as wide as the page
# Okabe and Ito's colours, which colour-blind readers tell apart too
_STYLES: Final = {"lie": ("#D55E00", "s"), "suzuki2": ("#0072B2", "o"), "suzuki4": ("#009E73", "^")}


def plot(path: str | os.PathLike[str], report: RunReport, circuit: QuantumCircuit) -> None:
    """Above the circuit, below error against reps, the bounds dashed; PNG, SVG or PDF, atomically.

    Raises
    ------
    InputError : another suffix, or a file that cannot be written.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise InputError(f"`path` must end in {one_of('.' + f for f in FORMATS)}, but is {str(path)!r}", "path")
    figure = Figure(figsize=(9, 8 if report.errors else 4.5), layout="constrained")
    if report.errors:
        kinds = sorted({point.terms for point in report.errors})
        grid = figure.add_gridspec(2, len(kinds), height_ratios=(1, 1.1))
        _draw(figure.add_subplot(grid[0, :]), circuit, report)
        for i, kind in enumerate(kinds):
            _errors(figure.add_subplot(grid[1, i]), report, kind)
    else:
        _draw(figure.subplots(), circuit, report)
    with written_atomically(path) as file:
        figure.savefig(file, format=suffix, dpi=150)


def _draw(axes: Axes, circuit: QuantumCircuit, report: RunReport) -> None:
    """The circuit, or its beginning, as Qiskit draws it."""
    shown, cut = _beginning(circuit)
    drawing = shown.draw("mpl", fold=_FOLD, idle_wires=True)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=200, bbox_inches="tight")
    buffer.seek(0)
    axes.imshow(imread(buffer))
    axes.axis("off")
    cost = report.resources
    first = f"the first {_GATES} gates of " if cut else ""
    axes.set_title(f"{first}{report.name}: {cost.qubits} qubits, {cost.cx:,} CX, depth {cost.depth:,}", fontsize=10)


def _beginning(circuit: QuantumCircuit) -> tuple[QuantumCircuit, bool]:
    shown = circuit.copy_empty_like()
    for instruction in circuit.data[:_GATES]:
        shown.append(instruction)
    return shown, len(circuit.data) > _GATES


def _errors(axes: Axes, report: RunReport, kind: str) -> None:
    for name, (colour, marker) in _STYLES.items():
        points = [p for p in report.errors if p.terms == kind and p.synthesis == name]
        reps = [p.reps for p in points]
        axes.loglog(reps, [max(p.error, 1e-16) for p in points], marker + "-", color=colour, label=name, markersize=4)
        if all(p.bound is not None for p in points):
            axes.loglog(reps, [p.bound for p in points], "--", color=colour, linewidth=1)
    axes.set_xlabel("repetitions of the formula")
    reps_named = sorted({p.reps for p in report.errors})
    axes.set_xticks(reps_named, [str(r) for r in reps_named])
    axes.minorticks_off()
    of_model = report.kind == "model"
    axes.set_ylabel("error, operator norm (dashed: its bound)" if of_model else "distance from the history state")
    axes.set_ylim(1e-16, 3)
    complete = len(_STYLES) * len(reps_named) == sum(p.terms == kind for p in report.errors)
    axes.set_title(f"{kind.capitalize()} terms" + ("" if complete else "; longer circuits are not run"), fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
