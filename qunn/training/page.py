"""What `python -m qunn.train` shows on a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from qunn.page import console


def print_summary(summary: dict[str, Any]) -> None:
    """The test score with what needs no training beside it, every seed, and where the files are."""
    out, metric = console(), summary["metric"]
    out.print(Text(f"{summary['model']} on {summary['task']}", style="bold"), Text(summary["description"]))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    spread = "" if summary["test_spread"] is None else f" ± {summary['test_spread']:.2g}"
    ended = len(summary["seeds"]) - len(summary["diverged"])
    many = f"   (mean and standard deviation of {ended} seeds)" if len(summary["seeds"]) > 1 else ""
    table.add_row(f"test {metric}", Text(_number(summary["test_mean"]) + spread + many, style="bold"))
    for name, value in summary["baselines"].items():
        table.add_row(f"  {name}", _number(value))
    table.add_row("parameters", f"{summary['parameters']:,}")
    table.add_row("seconds", f"{summary['seconds']:.1f}")
    table.add_row("files", f"{summary['out']}/seed-…: best.safetensors, metrics.jsonl, tensorboard")
    out.print(table)
    out.print()
    out.print(_seeds(summary["runs"], metric))


def _seeds(runs: list[dict[str, Any]], metric: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("seed", "epochs", "best epoch", "validation loss", f"test {metric}", "ended by"):
        table.add_column(name, justify="left" if name == "ended by" else "right")
    for one in runs:
        ended = f"DIVERGENCE in epoch {one['diverged_at']}" if one["diverged_at"] else one["stopped"]
        score = None if one["test"] is None else one["test"][metric]
        numbers = (str(one["seed"]), str(one["epochs"]), str(one["best_epoch"] or "-"))
        table.add_row(*numbers, _number(one["best_loss"]), _number(score), Text(ended))
    return table


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.5g}"


def print_list(listed: dict[str, list[dict[str, Any]]]) -> None:
    """Models and tasks with their options."""
    for kind in ("models", "tasks"):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in (kind.removesuffix("s"), "what it is", f"--{kind.removesuffix('s')}-option"):
            table.add_column(name, overflow="fold", no_wrap=name == kind.removesuffix("s"))
        for one in listed[kind]:
            options = " ".join(f"{key}={_word(value)}" for key, value in one["options"].items())
            table.add_row(one["name"], Text(one["description"]), Text(options))
        console().print(table)
        console().print()


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
