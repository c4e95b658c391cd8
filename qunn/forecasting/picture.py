"""The picture of a forecast: the tail of the series, the back-test on its test part, and what follows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hamiltonians.files import written_atomically
from qunn.forecasting.backtest import Floats, Result

LONGEST = 400  # values of the tail that are drawn
_SERIES, _TEST, _FORECAST = "0.25", "tab:blue", "tab:red"


def plot(path: str, title: str, x: Floats, result: Result, level: float, labels: list[str] | None) -> None:
    """Draw it into a PNG, SVG or PDF file, written atomically.

    Blue: forecasts of as many steps as the forecast has, from the values before each of the blocks, which the dots
    begin. Red: the forecast with its interval.
    """
    L, steps = len(x), len(result.forecast)
    first = max(L - LONGEST, 0, min(int(result.test.origins[0]), L - 6 * steps) - 2 * steps)
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    t = np.arange(first, L)
    axes.plot(t, x[first:], color=_SERIES, linewidth=1.2, label="series")
    label: str | None = f"back-test, {steps} steps ahead from each dot"
    end = first
    for at, forecasts in zip(result.test.origins.tolist(), result.test.forecasts, strict=True):
        if at >= end:
            made = forecasts[: min(steps, L - at)]
            axes.plot(np.arange(at, at + len(made)), made, color=_TEST, linewidth=1.2, label=label)
            axes.plot(at, made[0], "o", color=_TEST, markersize=3)
            label, end = None, at + steps
    ahead = np.arange(L - 1, L + steps)
    parts = (np.r_[x[-1], part] for part in (result.forecast, result.lower, result.upper))
    forecast, lower, upper = parts
    axes.fill_between(
        ahead, lower, upper, color=_FORECAST, alpha=0.18, linewidth=0, label=f"{100 * level:.4g}% interval"
    )
    axes.plot(ahead, forecast, color=_FORECAST, linewidth=1.6, label="forecast")
    axes.axvline(L - 1, color="0.6", linewidth=0.8, linestyle=":")
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if labels is None:
        axes.set_xlabel("value number, from 0")
    else:
        names = [_plain(label) for label in labels]
        axes.xaxis.set_major_formatter(lambda at, _: names[int(at)] if 0 <= int(at) < L else f"+{int(at) - L + 1}")
        axes.set_xlabel("first column of the file; +: steps beyond it")
    axes.set_ylabel("value of the series")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))  # room for the legend
    axes.legend(fontsize=8, loc="upper left", ncols=4, frameon=False)
    axes.set_title(_plain(title), fontsize=10)
    with written_atomically(path) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is a box
        figure.savefig(file, format=Path(path).suffix.lower().lstrip("."), dpi=150)


def _plain(text: str) -> str:
    """No mathematics: a dollar is a dollar."""
    return text.replace("$", r"\$")
