"""The picture of a series' autocorrelation and the period that it shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hamiltonians.errors import InputError, one_of
from hamiltonians.files import written_atomically

if TYPE_CHECKING:
    from qunn.period import Floats, Period

FORMATS = ("png", "svg", "pdf")
_STEMS = 150  # lags that are drawn as stems; more are a line
_UNKNOWN = 120  # lags that are drawn where no period is known


def plot(path: str | os.PathLike[str], period: Period) -> None:
    """Above the autocorrelation of the series, below that of the whitened series with its bound; see `Period.plot`.

    Raises
    ------
    InputError : another suffix, or a file that cannot be written.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise InputError(f"`path` must end in {one_of('.' + f for f in FORMATS)}, but is {str(path)!r}", "path")
    lags = len(period.acf) if period.value is None else max(5 * period.value + 1, 25)
    lags = min(lags, len(period.acf) if period.value is not None else _UNKNOWN, len(period.acf))
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _draw(above, period.acf[:lags], period.value)
    above.set_title("autocorrelation of the series about its cubic trend", fontsize=9)
    _draw(below, period.whitened[:lags], period.value)
    bound = period.bound[:lags]
    k = np.arange(1, lags)
    below.fill_between(k, -bound[1:], bound[1:], color="tab:orange", alpha=0.2, linewidth=0)
    below.plot(k, bound[1:], color="tab:orange", linewidth=1, label="what no lag exceeds by chance")
    below.set_title("autocorrelation of the whitened series, on which the decision rests", fontsize=9)
    below.set_xlabel("lag")
    below.legend(fontsize=8, loc="upper right")
    found = "no period" if period.value is None else f"period {period.value}, confidence {period.confidence:.4f}"
    figure.suptitle(found, fontsize=11)
    with written_atomically(path) as file:
        figure.savefig(file, format=suffix, dpi=150)


def _draw(axes: Axes, r: Floats, period: int | None) -> None:
    lags = np.arange(len(r))
    axes.axhline(0, color="0.6", linewidth=0.8)
    if len(r) <= _STEMS:
        axes.vlines(lags, 0, r, color="0.3", linewidth=1.4)
        axes.plot(lags, r, "o", color="0.3", markersize=2.5)
    else:
        axes.plot(lags, r, color="0.3", linewidth=1)
    if period is not None:
        for j in range(2, (len(r) - 1) // period + 1):
            axes.axvline(j * period, color="tab:red", linewidth=0.8, linestyle=":", alpha=0.5)
        axes.axvline(period, color="tab:red", linewidth=1.2, label=f"period {period}")
        axes.plot(period, r[period], "o", color="tab:red", markersize=5)
    axes.set_ylim(min(-0.25, 1.1 * float(r.min())), 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("autocorrelation r")
