"""The report of `python -m circuits.run` as a page for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from circuits.run_report import RunReport
from qunn.page import console, print_sections


def print_run(report: RunReport) -> None:
    """What was run, what it costs, how it compares, and the verdict."""
    out = console()
    print_sections(out, ("Run", _run(report)), ("Circuit", _cost(report)), ("Comparison", _comparison(report)))
    if report.errors:
        out.print(_errors(report))
        out.print()
    verdict = Text("verified", style="bold green") if report.verified else Text("NOT VERIFIED", style="bold red")
    if not report.checks:
        verdict = Text("nothing is promised here, so nothing was checked", style="bold yellow")
    out.print(verdict + Text("" if report.seconds is None else f" in {report.seconds:.2f} s"))


def _run(report: RunReport) -> list[tuple[str, str]]:
    rows = [(report.kind, report.name)]
    if report.kind == "model":
        rows.append(("QUNN", f"{report.mode}, d = {report.d}, N = {report.N}, L = {report.layers}"))
        rows.append(("times run", f"{report.elements:,} with {report.circuits:,} circuits"))
    else:
        rows.append(("Hamiltonian", f"T = {report.steps:,} steps, d = {report.d:,}, {report.encoding} clock"))
        rows.append(("evolution", f"exp(-iHt), t = {report.time:g}"))
    how = report.synthesis
    if report.terms is not None:
        how += f" over {report.terms} terms, {report.reps:,} repetition{'s' if report.reps != 1 else ''}"
    rows.append(("synthesis", how))
    rows.append(("backend", f"Aer {report.method} on {report.device}, {report.precision} precision"))
    if report.noise:
        rows.append(("noise", report.noise))
    rows.append(("read-out", "exact state" if report.shots is None else f"{report.shots:,} shots a circuit"))
    return rows


def _cost(report: RunReport) -> list[tuple[str, str]]:
    cost = report.resources
    return [
        ("qubits", f"{cost.qubits}"),
        ("CX", f"{cost.cx:,}"),
        ("depth", f"{cost.depth:,}"),
        ("T gates", f"about {cost.t_count:,}"),
    ]


def _comparison(report: RunReport) -> list[tuple[str, str]]:
    rows = []
    if report.max_difference is not None:
        against = "from torch's output" if report.kind == "model" else "from the history state"
        rows.append(("difference", f"{report.max_difference:.3g}   (largest, {against})"))
    if report.trotter_bound:
        rows.append(("formula's bound", f"{report.trotter_bound:.3g}   (operator norm, all layers)"))
    if report.success_probability is not None and report.mode == "literal":
        rows.append(("success", f"{report.success_probability:.3g}   (least probability that no ancilla shows 1)"))
    if report.infidelity is not None:
        rows.append(("infidelity", f"{report.infidelity:.3g}   (1 - |<history|final>|² / <final|final>)"))
    for check in report.checks:
        mark = "ok" if check.passed else "FAILED"
        rows.append((check.name, f"{mark}: {check.found:.3g}, expected {check.expected}"))
    return rows


def _errors(report: RunReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("terms", "formula", "reps", "error", "bound"):
        table.add_column(name, justify="left" if name in ("terms", "formula") else "right")
    for p in report.errors:
        bound = "-" if p.bound is None else f"{p.bound:.2e}"
        table.add_row(p.terms, p.synthesis, str(p.reps), f"{p.error:.2e}", bound)
    return table
