"""The picture of a ground state: the tape's space-time diagram from its amplitudes, and the low spectrum."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, one_of
from hamiltonians.files import written_atomically
from hamiltonians.memory import in_figures
from hamiltonians.report import Report
from hamiltonians.state import SparseState, clock_slices

FORMATS = ("png", "svg", "pdf")
_CLOCK_ROWS = 600  # clock times drawn at most: more than a page's pixels
_HEADS = 80  # the head is drawn while its dots do not run into each other
_LEGEND = 8  # symbols named in the legend
_BLANK, _MISSING = "#f4f1ea", "#b0b0b0"  # a blank cell; a clock time at which ψ has no weight


def plot(path: str | os.PathLike[str], H: ClockHamiltonian, psi: SparseState, report: Report) -> None:
    """Draw a machine's ground state into a file, by its suffix PNG, SVG or PDF; written atomically.

    Left: clock time downwards, cells to the right. A cell's colour is the mean of its symbol's colours over the data
    states that ψ holds at that clock time, weighted by their probability; a row pales where ψ has less than its share
    1/(T+1) of the norm. Right: the computed energies, the closed forms, and the levels of the history's own path.

    Raises
    ------
    InputError : another suffix, or a Hamiltonian that does not come from a machine.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise InputError(f"`--plot` must end in {one_of('.' + f for f in FORMATS)}, but is {str(path)!r}", "plot")
    if H.readout is None:
        raise InputError("`plot` must have a machine's Hamiltonian: plain steps have no tape", "plot")
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    draw_space_time(left, H, psi)
    draw_spectrum(right, report)
    figure.suptitle(_title(report), fontsize=11)
    with written_atomically(path) as file:
        figure.savefig(file, format=suffix, dpi=150)


def draw_space_time(axes: Axes, H: ClockHamiltonian, psi: SparseState) -> None:
    """The tape at every clock time, from the amplitudes of ψ."""
    readout = H.readout
    assert readout is not None
    first, last = readout.window
    clocks = np.unique(np.linspace(0, H.T, min(H.clock_states, _CLOCK_ROWS)).astype(np.int64))
    colours = symbol_colours(readout.machine.alphabet, readout.machine.blank)
    image = np.tile(np.array(to_rgb(_MISSING)), (len(clocks), last - first + 1, 1))
    heads = []
    for row, (clock, (data, values)) in enumerate(zip(clocks, clock_slices(H, psi, clocks), strict=True)):
        weights = np.abs(values) ** 2
        total = weights.sum()
        if total == 0:
            continue
        cells = sum(w / total * colours[readout.tape(int(x))] for x, w in zip(data, weights, strict=True))
        share = min(1.0, total * H.clock_states)
        image[row] = share * np.asarray(cells) + (1 - share) * image[row]
        heads += [(readout.head(int(x)), clock + 1) for x in data]
    edges = (first - 0.5, last + 0.5, H.T + 1.5, 0.5)
    axes.imshow(image, extent=edges, aspect="auto", interpolation="nearest")
    dots = [(cell, clock) for cell, clock in heads if cell is not None]
    if dots and H.clock_states <= _HEADS:
        axes.plot(*zip(*dots, strict=True), "o", color="black", markersize=3, label="head")
    axes.set(xlabel="tape cell (0: first symbol of the input)", ylabel="clock time j")
    if H.T == 0:
        axes.set_yticks([1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if H.T:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    mixed = "; colours mix where it holds several tapes" if len(readout.starts) > 1 else ""
    axes.set_title(f"tape at clock time j, from the amplitudes of ψ{mixed}", fontsize=9)
    _legend(axes, readout.machine.alphabet, readout.machine.blank, colours, bool(dots) and H.clock_states <= _HEADS)


def draw_spectrum(axes: Axes, report: Report) -> None:
    """The k lowest energies against the closed forms."""
    number = np.arange(len(report.energies))
    if report.steps:
        levels = 4 * np.sin(np.pi * np.arange(max(2, len(number))) / (2 * report.clock_states)) ** 2
        top = max(1.3 * max(report.energies), levels[1])
        for i, level in enumerate(levels[levels <= top][: report.clock_states]):
            axes.axhline(
                level, color="0.8", linewidth=1, zorder=0, label=None if i else "history path, 2-2cos(πk/(T+1))"
            )
    axes.plot(number, report.energies, "o", markersize=9, fillstyle="none", label="computed")
    if report.energies_closed_form is not None:
        axes.plot(number, report.energies_closed_form, "x", label="closed form")
    if report.gap is not None:
        axes.axhline(report.gap, color="tab:red", linewidth=1, linestyle=":", label=f"gap {report.gap:.6g}")
    axes.set(xlabel="number", ylabel="energy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    axes.legend(fontsize=8, loc="upper left")
    axes.set_title(f"lowest energies of all {in_figures(report.dimension)} rows", fontsize=9)


def symbol_colours(alphabet: tuple[str, ...], blank: str) -> NDArray[np.float64]:
    """A colour a symbol, shape (symbols, 3); the blank is pale."""
    table = colormaps["tab10" if len(alphabet) <= 11 else "hsv"]
    others = [s for s in alphabet if s != blank]
    chosen = {s: table(i if len(others) <= 10 else i / len(others))[:3] for i, s in enumerate(others)}
    return np.array([to_rgb(_BLANK) if s == blank else chosen[s] for s in alphabet])


def _legend(axes: Axes, alphabet: tuple[str, ...], blank: str, colours: NDArray[Any], heads: bool) -> None:
    shown = [
        Patch(facecolor=tuple(colours[i]), edgecolor="0.5", label="blank" if s == blank else repr(s)[1:-1])
        for i, s in enumerate(alphabet[:_LEGEND])
    ]
    extra = axes.get_legend_handles_labels()[0] if heads else []
    axes.legend(
        handles=[*shown, *extra], fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False
    )


def _title(report: Report) -> str:
    name = report.machine or ""
    name = name if len(name) <= 60 else name[:57] + "…"
    word = f", input {report.input!r}" if report.input and len(report.input) <= 30 else ""
    verdict = "verified" if report.verified else "NOT VERIFIED"
    return f"{name}{word}: {report.space} space, T = {report.steps:,}, E0 = {report.ground_energy:.1e}, {verdict}"
