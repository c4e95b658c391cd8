"""One column of a table against another, with the power laws that were fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator, NullLocator

from hamiltonians.files import written_atomically
from qunn.sweeping.fit import PowerLaw, Selection

_IN_A_LEGEND = 12
_NAMED = 6
# Okabe and Ito's colours, which colour-blind readers tell apart too, each with a mark of its own
_STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("#E69F00", "P"),
    ("black", "X"),
)


def plot(path: str, title: str, shown: Selection, log: tuple[bool, bool], laws: list[PowerLaw | None]) -> None:
    """Draw the groups; `laws` has one for each of them, or None."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for i, (group, law) in enumerate(zip(shown.groups, laws, strict=True)):
        colour, mark = _STYLES[i % len(_STYLES)]
        label = "" if shown.by is None else f"{_plain(shown.by)} = {group.by}"
        if law is not None:
            label += (", " if label else "") + f"exponent {told(law)}"
        joined = "" if law is not None else "-"
        axes.plot(group.x, group.y, mark + joined, color=colour, markersize=4, linewidth=1, label=label or None)
        if law is not None:
            ends = [x for x in group.x if x > 0]
            x = np.geomspace(ends[0], ends[-1], 100)
            axes.plot(x, law.factor * x**law.exponent, color=colour, linewidth=1, alpha=0.7)
    for wanted, scale in zip(log, (axes.set_xscale, axes.set_yscale), strict=True):
        if wanted:
            scale("log", nonpositive="mask")
    _ticks(axes, shown, log[0])
    axes.grid(visible=True, linewidth=0.5, alpha=0.4)
    axes.set_xlabel(_plain(shown.x))
    axes.set_ylabel(_plain(shown.y))
    axes.set_title(title, fontsize=10)
    if axes.get_legend_handles_labels()[0] and len(shown.groups) <= _IN_A_LEGEND:
        axes.legend(fontsize=8)
    with written_atomically(path) as file:
        figure.savefig(file, format=Path(path).suffix.lower().lstrip("."), dpi=150)


def _ticks(axes: Axes, shown: Selection, log: bool) -> None:
    """Whole numbers at whole numbers; few of them on a logarithmic axis are named themselves."""
    values = sorted({x for group in shown.groups for x in group.x})
    if not all(x.is_integer() for x in values):
        return
    if not log:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif len(values) <= _NAMED and values[0] > 0:
        axes.set_xticks(values, [f"{x:.0f}" for x in values])
        axes.xaxis.set_minor_locator(NullLocator())
    elif 0 < values[-1] < 100 * values[0]:  # 4 and 6, not 4·10⁰ and 6·10⁰
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def told(law: PowerLaw) -> str:
    """The exponent with its standard error."""
    return f"{law.exponent:.4f}" + ("" if law.standard_error is None else f" ± {law.standard_error:.1g}")


def _plain(column: str) -> str:
    return column.removeprefix("flag.")
