"""What `python -m qunn.forecast` shows on a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from qunn.page import console
from qunn.rows import print_rows

_ROWS = 12  # steps that are shown; the file has all


def print_forecast(report: dict[str, Any]) -> None:
    """The period, the scores beside the simple forecasts, the first steps, and the files."""
    out = console()
    out.print(Text(f"{report['column']} of {report['file']}", style="bold"), f"{report['values']:,} values")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if report["period_confidence"] is None:
        how = "   (given)"
    else:
        how = f"   (from the autocorrelation; confidence {report['period_confidence']:.4f})"
    table.add_row("period N", Text(str(report["period"]) + how))
    table.add_row("model", f"{report['model']}, {report['parameters']:,} parameters, {report['epochs']} epochs")
    form = "change from the last value" if report["residual"] else "value"
    form += f", normalised by the last {report['causal_window']}" if report["causal_window"] else ", not normalised"
    chosen = f"   (of {report['forms_tried']}, by the validation part)" if report["forms_tried"] > 1 else ""
    table.add_row("foretold", form + chosen)
    covered = "-" if report["coverage"] is None else f"{report['coverage']:.1%}"
    table.add_row("interval", f"{100 * report['level']:.4g}%; of the test part it holds {covered}")
    table.add_row("seconds", f"{report['seconds']:.1f}")
    out.print(table)
    out.print()
    scores = {"this forecast": {key: report[key] for key in ("mase", "mase_n_step")}} | report["baselines"]
    rows = [(name, _number(one["mase"]), _number(one["mase_n_step"])) for name, one in scores.items()]
    print_rows(out, ("MASE on the test part", "1 step", f"{report['period']} steps"), rows)
    if advice := better(report):
        out.print(Text(advice, style="yellow"))
    out.print()
    shown = list(zip(report["forecast"], report["lower"], report["upper"], strict=True))[:_ROWS]
    steps = [(f"+{k}", *(_number(x) for x in row)) for k, row in enumerate(shown, 1)]
    print_rows(out, ("step", "value", "lower", "upper"), steps)
    if report["steps"] > len(shown):
        out.print(f"… {report['steps'] - len(shown):,} more in {report['output']}")


def better(report: dict[str, Any]) -> str | None:
    """What to try where a forecast that needs no training has the lower error one step or N steps ahead; else None."""
    lower = [
        name
        for name, one in report["baselines"].items()
        if any(None not in (one[key], report[key]) and one[key] < report[key] for key in ("mase", "mase_n_step"))
    ]
    if not lower:
        return None
    ways = "--epochs, --lr and --model-option heads=… change the fit"
    return f"{' and '.join(lower)} {'has' if len(lower) == 1 else 'have'} a lower error here; {ways}."


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.5g}"
