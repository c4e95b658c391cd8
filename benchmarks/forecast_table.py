"""The tables of benchmarks/forecast.py: benchmarks/results/forecast.md, from the lines of its log."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from forecast_models import ROWS, SPACES
from host import in_words

Line = dict[str, Any]
BASELINES = ("persistence", "seasonal-naive", "AR(N)")


def write_tables(folder: Path, lines: list[Line], where: dict[str, Any], protocol: dict[str, Any]) -> None:
    """forecast.md, with what was measured between two marks; what stands around them is kept."""
    path = folder / "forecast.md"
    begin, end = "<!-- measured -->", "<!-- end -->"
    text = path.read_text() if path.exists() else f"# Forecasts\n\n{begin}\n{end}\n"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    path.write_text(head + begin + "\n" + _measured(lines, where, protocol) + end + tail)


def _measured(lines: list[Line], where: dict[str, Any], protocol: dict[str, Any]) -> str:
    names = list(dict.fromkeys(line["series"] for line in lines))
    runs = [line for line in lines if line["model"] not in BASELINES]
    cpu = sum(line["seconds"] for line in runs) / 60
    seeds = ", ".join(map(str, protocol["seeds"]))
    text = [
        f"{in_words(where)}.",
        "",
        f"{len(runs)} training runs, {cpu:.0f} minutes of CPU in all, of a budget of 240 (two hours on two cores); "
        f"{protocol['steps']} steps of Adam a run, {protocol['trials']} trials a row and series with seed 0, then "
        f"seeds {seeds}.",
        "Mean ± standard deviation over the seeds. One step and N steps are MASE on the test part, lower is better; "
        "seconds are CPU seconds of one training run.",
        "",
    ]
    for name in names:
        text += [f"### {name}", "", *_table([line for line in lines if line["series"] == name]), ""]
    return "\n".join([*text, *_summary(lines, names), ""])


def _table(lines: list[Line]) -> list[str]:
    rows = ["| model | size | parameters | one step | N steps | seconds |", "|---|---|---|---|---|---|"]
    for model, size in (*((name, "own") for name in BASELINES), *ROWS):
        mine = _finals(lines, model, size)
        if not mine:
            continue
        cells = (_spread([x[what] for x in mine]) for what in ("one_step", "n_step"))
        seconds = statistics.median(x["seconds"] for x in mine)
        size_word = "" if size == "own" else size
        rows.append(f"| {model} | {size_word} | {mine[0]['parameters']} | {' | '.join(cells)} | {seconds:.1f} |")
    return rows


def _finals(lines: list[Line], model: str, size: str) -> list[Line]:
    return [x for x in lines if (x["model"], x["size"], x["kind"]) == (model, size, "final")]


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2g}"


def _summary(lines: list[Line], names: list[str]) -> list[str]:
    """On how many series a QUNNForecaster has the lower mean error."""
    rows = ["### QUNNForecaster against each: series with the lower mean error", ""]
    rows += ["| against | one step | N steps | on (one step) |", "|---|---|---|---|"]
    for model, size in (*((name, "own") for name in BASELINES), *ROWS):
        if model == "QUNNForecaster":
            continue
        wins: dict[str, list[str]] = {"one_step": [], "n_step": []}
        both = 0
        for name in names:
            here = [line for line in lines if line["series"] == name]
            ours, theirs = _finals(here, "QUNNForecaster", "own"), _finals(here, model, size)
            both += bool(ours and theirs)
            for what, won in wins.items():
                if ours and theirs and _mean(ours, what) < _mean(theirs, what):
                    won.append(name)
        on = ", ".join(wins["one_step"]) or "none"
        size_word = "" if size == "own" else f", {size}"
        rows.append(
            f"| {model}{size_word} | {len(wins['one_step'])} of {both} | {len(wins['n_step'])} of {both} | {on} |"
        )
    return [*rows, "", *_chosen(lines, names)]


def _mean(lines: list[Line], what: str) -> float:
    return statistics.mean(line[what] for line in lines)


def _chosen(lines: list[Line], names: list[str]) -> list[str]:
    """The options that the trials chose."""
    rows = [
        "### Options that the validation part chose",
        "",
        "| series | model | size | options |",
        "|---|---|---|---|",
    ]
    for name in names:
        for model, size in ROWS:
            mine = _finals([line for line in lines if line["series"] == name], model, size)
            if mine:
                options = ", ".join(f"{key} {mine[0]['options'][key]}" for key in SPACES[model])
                rows.append(f"| {name} | {model} | {size} | {options} |")
    return rows
