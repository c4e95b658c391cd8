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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, one_of
from hamiltonians.files import written_atomically
from hamiltonians.memory import in_figures
from hamiltonians.readout import Readout
from hamiltonians.report import Report
from hamiltonians.state import SparseState, clock_slices

FORMATS = ("png", "svg", "pdf")
_CLOCK_ROWS = 600  # clock times drawn at most: more than a page's pixels
_COLUMNS = 1200  # of the picture, where its cells are fewer
_PARTS = 60  # of a cell at most: halves, thirds, quarters and fifths come out even
_HEADS = 80  # clock states: the head is drawn while its dots do not run into each other
_SEEN = 1e-3  # probability of a head: a smaller dot is less than a pixel
_DOT = 16.0  # area of a dot of probability 1, in square points
_LEGEND = 8  # symbols named in the legend
_BLANK, _MISSING = "#f4f1ea", "#b0b0b0"  # a blank cell; a clock time at which ψ has no weight
# Okabe and Ito's colours, which colour-blind readers tell apart too
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")


def plot(path: str | os.PathLike[str], H: ClockHamiltonian, psi: SparseState, report: Report) -> None:
    """Draw a machine's ground state into a file, by its suffix PNG, SVG or PDF; written atomically.

    Left: clock time downwards, cells to the right. A cell has the colour of its symbol; where the data states that ψ
    holds at that clock time have several symbols there, it is divided among them by their probability. The area of a
    dot is the probability that the head is there. A row greys where ψ has less than its share 1/(T+1) of the norm.
    Right: the computed energies, the closed forms, and the levels of the history's own path.

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
    cells = last - first + 1
    parts = max(1, min(_PARTS, _COLUMNS // cells))
    clocks = np.unique(np.linspace(0, H.T, min(H.clock_states, _CLOCK_ROWS)).astype(np.int64))
    colours = symbol_colours(readout.machine.alphabet, readout.machine.blank)
    image = np.tile(np.array(to_rgb(_MISSING)), (len(clocks), cells * parts, 1))
    heads: list[tuple[int, int, float]] = []
    for row, (clock, (data, values)) in enumerate(zip(clocks.tolist(), clock_slices(H, psi, clocks), strict=True)):
        weights = np.abs(values) ** 2
        total = weights.sum()
        if total == 0:
            continue
        share = min(1.0, total * H.clock_states)
        image[row] = share * _divided(readout, data, weights / total, parts) @ colours + (1 - share) * image[row]
        if H.clock_states <= _HEADS:
            heads += [(cell, clock + 1, p) for cell, p in _heads(readout, data, weights / total) if p >= _SEEN]
    image = np.rint(255 * image).astype(np.uint8)  # matplotlib would cut what rounding left of a 1
    axes.imshow(image, extent=(first - 0.5, last + 0.5, H.T + 1.5, 0.5), aspect="auto", interpolation="nearest")
    if heads:
        x, y, p = zip(*heads, strict=True)
        axes.scatter(x, y, s=_DOT * np.array(p), color="black", linewidths=0)
    axes.set(xlabel="tape cell (0: first symbol of the input)", ylabel="clock time j")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    named = np.linspace(1, H.clock_states, H.clock_states if H.clock_states <= 16 else 9).round().astype(np.int64)
    axes.set_yticks(named, [f"{j:,}" for j in named])
    several = "; a cell is divided among its symbols" if len(readout.starts) > 1 else ""
    axes.set_title(f"tape at clock time j, from the amplitudes of ψ{several}", fontsize=9)
    _legend(axes, readout.machine.alphabet, readout.machine.blank, colours, bool(heads))


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
    axes.set(xlabel="number k", ylabel="energy", xlim=(-0.5, len(number) - 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter("{x:.4g}")  # no factor above the axis, where the title is
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    axes.legend(fontsize=8, loc="upper left")
    rows = "the one row" if report.dimension == 1 else f"all {in_figures(report.dimension)} rows"
    axes.set_title(f"lowest energies of {rows}", fontsize=9)


def symbol_colours(alphabet: tuple[str, ...], blank: str) -> NDArray[np.float64]:
    """A colour a symbol, shape (symbols, 3); the blank is pale."""
    others = [s for s in alphabet if s != blank]
    many = colormaps["turbo"](np.linspace(0, 1, len(others)))[:, :3]
    chosen = dict(zip(others, _COLOURS if len(others) <= len(_COLOURS) else many, strict=False))
    return np.array([to_rgb(_BLANK if s == blank else chosen[s]) for s in alphabet])


def _divided(readout: Readout, data: NDArray[np.int64], p: NDArray[Any], parts: int) -> NDArray[np.float64]:
    """What share of a part of a cell each symbol has, shape (cells · parts, symbols); p : of the data states."""
    cells = np.arange(readout.window[1] - readout.window[0] + 1)
    share = np.zeros((len(cells), len(readout.machine.alphabet)))
    for x, weight in zip(data.tolist(), p, strict=True):
        share[cells, readout.tape(x)] += weight
    upper = np.cumsum(share, axis=1)[:, None, :]
    left = np.arange(parts)[:, None] / parts
    inside = np.minimum(upper, left + 1 / parts) - np.maximum(upper - share[:, None, :], left)
    return (parts * np.maximum(inside, 0.0)).reshape(-1, share.shape[1])


def _heads(readout: Readout, data: NDArray[np.int64], p: NDArray[Any]) -> list[tuple[int, float]]:
    """The cells where the head may be, with their probabilities; none where the data space does not hold it."""
    found: dict[int, float] = {}
    for x, weight in zip(data.tolist(), p.tolist(), strict=True):
        cell = readout.head(x)
        if cell is not None:
            found[cell] = found.get(cell, 0.0) + weight
    return list(found.items())


def _legend(axes: Axes, alphabet: tuple[str, ...], blank: str, colours: NDArray[Any], heads: bool) -> None:
    shown: list[Patch | Line2D] = [
        Patch(facecolor=tuple(colours[i]), edgecolor="0.5", label="blank" if s == blank else repr(s)[1:-1])
        for i, s in enumerate(alphabet[:_LEGEND])
    ]
    if heads:
        shown.append(Line2D([], [], marker="o", color="black", linestyle="", markersize=_DOT**0.5, label="head"))
    axes.legend(handles=shown, fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _title(report: Report) -> str:
    name = report.machine or ""
    name = name if len(name) <= 60 else name[:57] + "…"
    word = f", input {report.input!r}" if report.input and len(report.input) <= 30 else ""
    verdict = "verified" if report.verified else "NOT VERIFIED"
    return f"{name}{word}: {report.space} space, T = {report.steps:,}, E0 = {report.ground_energy:.1e}, {verdict}"
