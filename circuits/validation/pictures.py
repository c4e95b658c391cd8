"""The pictures of the HTML page, as SVG: text stays text, and colours of lines and letters follow the page's scheme.

The same picture gives the same bytes: no date, no random identifiers.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from circuits.validation.claim import Cell, Curve, Picture, Subject
from circuits.validation.wording import failed_cells, plain, short

#: Okabe and Ito's colours, told apart by colour-blind readers, without yellow and black; each with a marker of its own
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b07d00", "#8a63d2", "#7f7f7f")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES: Final = ("-", "--", "-.", ":")
#: stands for the colour of letters, axes and grid, until the SVG is written
_INK: Final = "#010203"
_SCHEME: Final = "<style>:root{--ink:#1f2328}@media (prefers-color-scheme:dark){:root{--ink:#d7dde4}}</style>"
_RC: Final[Any] = {
    "svg.fonttype": "none",  # text that can be read, searched and enlarged, and a small file
    "svg.hashsalt": "circuits.cross_validate",
    "text.parse_math": False,  # a dollar is a dollar
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": False,
} | dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), _INK)
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LINE, _AIR = 0.16, 0.20  # inches: of a comparison in the overview, and between its rows
_FEW = 8  # positions on an axis that are all marked
_LOWEST = -20  # power of ten: smaller differences say no more than 0 does


def picture(of: Picture) -> tuple[str, str]:
    """One picture, and its caption: what is to be seen, and how many points cannot be drawn."""
    with _figure(7.2, 4.2) as (figure, finished):
        axes = figure.subplots()
        lost = sum(_draw(axes, curve, i, of) for i, curve in enumerate(_numbered(of.curves)))
        if of.log_x:
            _logarithmic(axes, "x")
            if len(found := sorted({float(x) for curve in of.curves for x in curve.x if x > 0})) <= _FEW:
                axes.set_xticks(found, [_power(x) for x in found])
        elif all(float(x).is_integer() for curve in of.curves for x in curve.x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if of.log_y:
            _logarithmic(axes, "y")
        axes.set_xlabel(plain(of.x))
        axes.set_ylabel(plain(of.y))
        axes.grid(alpha=0.2, linewidth=0.6)
        if len(of.curves) > 1 and axes.has_data():
            figure.legend(loc="outside upper left", ncols=min(len(of.curves), 3), frameon=False, fontsize=9)
        svg = finished()
    why = "that are not finite, or not above 0 on a logarithmic axis, cannot be drawn"
    beside = f" {lost} {'point' if lost == 1 else 'points'} {why}." if lost else ""
    return svg, plain(of.says) + beside


def overview(of: Subject) -> str:
    """Every comparison of the subject: a dot at its difference, a bar at its tolerance, on a logarithmic axis.

    Differences of exactly 0 lie on the left edge, those that are no finite number on the right one.
    """
    rows = [row for row in of.rows if row.worst is not None]
    names = list(of.columns)
    found: list[_Comparison] = []
    ticks, bands, y = [], [], 0.0
    for row in rows:
        top = y
        for name, cell in row.cells.items():
            if cell.passed is not None:
                found.append(_Comparison(names.index(name), y, cell))
                y += _LINE
        ticks.append((top + y - _LINE) / 2)
        bands.append((top - (_LINE + _AIR) / 2, y - _LINE + (_LINE + _AIR) / 2))
        y += _AIR
    with _figure(8.2, y + 1.5) as (figure, finished):
        axes = figure.subplots()
        axes.set_xscale("log")
        edges = _edges([one.cell for one in found])
        for top, bottom in bands[1::2]:
            axes.axhspan(top, bottom, color=_INK, alpha=0.05, linewidth=0)
        used = sorted({one.column for one in found})
        for column in used:
            _dumbbells(axes, [one for one in found if one.column == column], edges)
        _rings(axes, found, edges)
        axes.set_ylim(bands[-1][1] if bands else 1, -(_LINE + _AIR) / 2)
        axes.set_yticks(ticks, [plain(row.key) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("difference from the reference, in the measure of each row")
        _decades(axes, edges)
        handles = [*(_handle(column, plain(names[column])) for column in used), *_signs()]
        figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
        return finished()


def overview_says(of: Subject) -> str:
    """The overview in a sentence or two, for those who do not see it."""
    found = [(row, name, cell) for row in of.rows for name, cell in row.cells.items() if cell.passed is not None]
    if not found:
        return "Nothing was compared."
    failed = sum(len(failed_cells(row)) for row in of.rows)
    rows = sum(row.worst is not None for row in of.rows)
    text = f"{len(found)} differences in {rows} rows, each beside its tolerance; "
    text += "none is larger." if not failed else f"{failed} {'is' if failed == 1 else 'are'} larger, or no number."
    near = [f for f in found if f[2].passed and f[2].difference and f[2].tolerance]
    if near:
        row, name, cell = max(near, key=lambda f: (f[2].difference or 0) / (f[2].tolerance or 1))
        text += f" The least margin of those that agree: {plain(row.key)}, {plain(name)}, "
        text += f"{short(cell.difference)} of {short(cell.tolerance)} allowed."
    return text


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """A figure, and what makes it an SVG."""
    with rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # measured as a box; the reader's own font draws the letter
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, lambda: _svg(figure)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue().replace(_INK, "var(--ink)")
    text = text[text.index("<svg") :]
    return text.replace("<defs>", f"<defs>{_SCHEME}", 1)


def _numbered(curves: Sequence[Curve]) -> list[tuple[int, Curve]]:
    """Each with its number among those of its style: a prediction and what was measured share a colour."""
    seen: dict[str, int] = {}
    numbers = []
    for curve in curves:
        seen[curve.style] = seen.get(curve.style, -1) + 1
        numbers.append((seen[curve.style], curve))
    return numbers


def _draw(axes: Axes, numbered: tuple[int, Curve], order: int, of: Picture) -> int:
    """One curve; how many of its points could not be drawn."""
    n, curve = numbered
    points = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    shown = [(x, y) for x, y in points if _drawable(x, of.log_x) and _drawable(y, of.log_y)]
    look: dict[str, Any] = {
        "color": _COLOURS[n % len(_COLOURS)],
        "label": plain(curve.name),
        "zorder": 3 + 0.01 * order,
    }
    if curve.style == "line":
        look |= {"linestyle": _DASHES[n % len(_DASHES)], "linewidth": 1.5}
    else:  # smaller ones on larger ones, and a line is seen through them
        look |= {"linestyle": "none", "marker": _MARKERS[n % len(_MARKERS)], "markersize": max(8 - 2 * n, 3.5)}
        if any(other.style == "line" for other in of.curves):
            look["markerfacecolor"] = "none"
    axes.plot([x for x, _ in shown], [y for _, y in shown], **look)
    return len(points) - len(shown)


def _drawable(x: float, logarithmic: bool) -> bool:
    return math.isfinite(x) and (x > 0 or not logarithmic)


def _logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers, marked more finely where it spans less than a decade or two."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    narrow = low > 0 and high / low < 100
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: _power(x)))
    axis.set_minor_locator(NullLocator())


def _power(x: float) -> str:
    """10⁻¹² for a power of ten outside 0.01 … 1000, else the number."""
    if x <= 0:
        return "0"
    exponent = round(math.log10(x))
    if 0.01 <= x <= 1000 or not math.isclose(x, 10.0**exponent, rel_tol=1e-9):
        return f"{x:g}"
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


@dataclass(frozen=True)
class _Comparison:
    """A cell of the overview: the number of its column, and its height."""

    column: int
    y: float
    cell: Cell


@dataclass(frozen=True)
class _Edges:
    """Powers of ten: of the edges, and of the first and the last tick between them.

    cut : whether the left edge stands also for numbers that are not 0 but below the first tick.
    """

    left: int
    first: int
    last: int
    right: int
    cut: bool

    def place(self, x: float | None) -> float:
        """Where a number is; at the edges what is 0, or no finite number."""
        if x is None or not math.isfinite(x):
            return 10.0**self.right
        return x if x >= 10.0**self.first else 10.0**self.left


def _edges(cells: Sequence[Cell]) -> _Edges:
    numbers = [x for cell in cells for x in (cell.difference, cell.tolerance) if x is not None and x > 0]
    finite = [x for x in numbers if math.isfinite(x)] or [1e-16, 1.0]
    lowest, last = math.floor(math.log10(min(finite))), math.ceil(math.log10(max(finite)))
    first = max(lowest, _LOWEST)
    last = max(last, first + 1)
    room = max(1, math.ceil(0.09 * (last - first)))
    return _Edges(first - room, first, last, last + room, lowest < first)


def _dumbbells(axes: Axes, column: Sequence[_Comparison], edges: _Edges) -> None:
    """The dots and bars of one column, and the lines between them."""
    number = column[0].column
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    heights = [one.y for one in column]
    dots = [edges.place(one.cell.difference) for one in column]
    bars = [(dot, edges.place(c.cell.tolerance), c.y) for dot, c in zip(dots, column, strict=True) if _bounded(c)]
    axes.hlines([y for *_, y in bars], [x for x, *_ in bars], [t for _, t, _ in bars], color=colour, lw=0.8, alpha=0.6)
    axes.plot([t for _, t, _ in bars], [y for *_, y in bars], "|", markersize=9, markeredgewidth=1.8, color=colour)
    axes.plot(dots, heights, linestyle="none", marker=marker, markersize=5, color=colour, zorder=4)


def _bounded(one: _Comparison) -> bool:
    return one.cell.tolerance is not None


def _rings(axes: Axes, found: Sequence[_Comparison], edges: _Edges) -> None:
    """Round what failed."""
    failed = [one for one in found if not one.cell.passed]
    places = [edges.place(one.cell.difference) for one in failed]
    look: dict[str, Any] = {"markersize": 11, "markerfacecolor": "none", "color": _INK, "markeredgewidth": 1.2}
    axes.plot(places, [one.y for one in failed], linestyle="none", marker="o", zorder=5, **look)


def _decades(axes: Axes, edges: _Edges) -> None:
    """Ticks at powers of ten between the edges, which have names instead."""
    step = max(1, math.ceil((edges.last - edges.first) / 8))
    powers = [10.0**e for e in range(edges.first, edges.last + 1, step)]
    zero = f"0, or\nbelow\n{_power(10.0**edges.first)}" if edges.cut else "exactly\n0"
    left, right = 10.0**edges.left, 10.0**edges.right
    axes.set_xlim(left / 3, right * 3)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([left, *powers, right], [zero, *(_power(x) for x in powers), "not\nfinite"])
    axes.grid(axis="x", alpha=0.15, linewidth=0.6)
    for edge in (10 ** ((edges.left + edges.first) / 2), 10 ** ((edges.last + edges.right) / 2)):
        axes.axvline(edge, color=_INK, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.6)


def _handle(column: int, name: str) -> Line2D:
    marker, colour = _MARKERS[column % len(_MARKERS)], _COLOURS[column % len(_COLOURS)]
    return Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=5, label=name)


def _signs() -> list[Line2D]:
    bar = Line2D([], [], linestyle="none", marker="|", color=_INK, markersize=9, markeredgewidth=1.8, label="tolerance")
    ring = Line2D(
        [], [], linestyle="none", marker="o", color=_INK, markerfacecolor="none", markersize=10, label="failed"
    )
    return [bar, ring]
