"""The report as a page for a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hamiltonians.memory import in_figures
from qunn.ranks import launched

if TYPE_CHECKING:
    from hamiltonians.explain import Explanation
    from hamiltonians.readers.examples import Example
    from hamiltonians.report import Check, Report

_LONGEST = 60  # characters of a tape shown
_ROWS = 8  # rows of an {input: output} table shown
_NOTHING = "-"


def console() -> Console:
    """Stdout; as wide as the terminal, 100 columns in a pipe, so that numbers stay whole there.

    mpirun puts a terminal of its own, of no width, between a rank and whatever reads it: that counts as a pipe, unless
    COLUMNS tells the width of the one beyond (`--ranks` does).
    """
    terminal = sys.stdout.isatty() and (not launched() or "COLUMNS" in os.environ)
    plain = None if terminal or not launched() else False  # None: rich finds out
    return Console(file=sys.stdout, width=None if terminal else 100, highlight=False, force_terminal=plain)


def print_sections(out: Console, *sections: tuple[str, list[tuple[str, str]]]) -> None:
    """Each a title over rows of a name and a value."""
    for title, rows in sections:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(name, Text(value))
        out.print(Text(title, style="bold"))
        out.print(table)
        out.print()


def print_report(report: Report) -> None:
    """Everything in the report, its certificate, and the verdict."""
    out = console()
    print_sections(
        out,
        ("Machine", _machine(report)),
        ("Clock Hamiltonian", _hamiltonian(report)),
        ("Ground state", _ground(report)),
        ("Gap", _gap(report)),
    )
    out.print(Text("Certificate", style="bold"))
    out.print(_certificate(report.checks))
    verdict = Text("verified", style="bold green") if report.verified else Text("NOT VERIFIED", style="bold red")
    if report.first_bad_step is not None:
        verdict.append(f"; the state leaves the null space at step {report.first_bad_step:,}")
    took = "" if report.seconds is None else f" in {report.seconds:.2f} s"
    out.print(verdict + Text(took))


def _machine(report: Report) -> list[tuple[str, str]]:
    several = isinstance(report.final_state, Mapping)
    rows = [
        ("machine", report.machine or _NOTHING),
        ("input", _input(report)),
        ("steps T", f"{report.steps:,}" + (" (the slowest input)" if several else "")),
    ]
    if several:
        accepted = sum(report.accepted.values())
        stuck = len(report.accepted) - accepted
        rows.append(("halts", f"{accepted:,} inputs accepted, {stuck:,} stuck"))
    elif report.final_state is not None:
        how = "accepted" if report.accepted else "stuck: no rule, and the state is not final"
        rows.append(("halts in", f"{report.final_state} ({how})"))
    return rows


def _input(report: Report) -> str:
    if isinstance(report.output, Mapping) and report.input is None:
        return f"all {len(report.output):,} words of one length"
    return "blank tape" if report.input == "" else _cut(report.input)


def _hamiltonian(report: Report) -> list[tuple[str, str]]:
    return [
        ("data space", f"{report.space}, d = {in_figures(report.data_dimension)}"),
        ("dimension", f"{in_figures(report.dimension)} = d·(T+1)"),
        ("solver", report.solver),
        ("", report.solver_message),
    ]


def _ground(report: Report) -> list[tuple[str, str]]:
    rows = [
        ("ground energy", f"{report.ground_energy:.3g}   (‖Bψ‖²; Theorem 5: 0)"),
        ("residual", f"{report.residual:.3g}   (‖Hψ - Eψ‖)"),
        ("degeneracy", f"{in_figures(report.degeneracy)}{_beside(report.degeneracy_predicted, 'predicted')}"),
        ("history overlap", f"{_float(report.history_overlap)}   (‖Pψ0‖²; Theorem 5: 1)"),
        (
            "Eq. (40) as printed",
            f"energy {_float(report.printed_eq40_energy)}   (E9: 1/T = {_float(report.printed_eq40_closed_form)})",
        ),
    ]
    if isinstance(report.output, Mapping) and isinstance(report.machine_output, Mapping):
        shown = list(report.output)[:_ROWS]
        rows.append(("output, from ψ", f"{len(report.output):,} inputs; machine's beside it"))
        rows += [
            (f"  {word or 'empty'}", f"{_cut(report.output[word])}   {_cut(report.machine_output[word])}")
            for word in shown
        ]
        if len(report.output) > len(shown):
            rows.append(("", f"… {len(report.output) - len(shown):,} more in --json"))
    elif report.machine_output is not None:
        rows.append(("output, from ψ", _cut(report.output if isinstance(report.output, str) else None)))
        rows.append(("machine's output", _cut(str(report.machine_output))))
    return rows


def _gap(report: Report) -> list[tuple[str, str]]:
    closed = report.energies_closed_form
    rows = [
        ("gap", f"{_float(report.gap)}{_beside(report.gap_closed_form, 'closed form')}"),
        ("where", report.gap_component or _NOTHING),
        ("history path's gap", f"{_float(report.gap_history_path)}   (2 - 2cos(π/(T+1)))"),
    ]
    for i, energy in enumerate(report.energies):
        beside = _beside(closed[i], "closed form") if closed else ""
        rows.append(("energies" if i == 0 else "", f"{_float(energy)}{beside}"))
    return rows


def _certificate(checks: list[Check]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("", "check", "found", "expected"):
        table.add_column(name, overflow="fold", no_wrap=name in ("", "check"))
    for check in checks:
        mark = Text("ok", style="green") if check.passed else Text("FAILED", style="bold red")
        table.add_row(mark, check.name, Text(_found(check.found)), Text(check.expected))
    return table


def _found(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} outputs"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return in_figures(value)
    return _cut(None if value is None else str(value))


def _float(x: float | None) -> str:
    return _NOTHING if x is None else f"{x:.12g}"


def _beside(value: float | None, what: str) -> str:
    if value is None:
        return ""
    return f"   ({what} {in_figures(value) if isinstance(value, int) else _float(value)})"


def _cut(text: str | None) -> str:
    if text is None:
        return _NOTHING
    if text == "":
        return "(blank)"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def print_explanation(key: str, explanation: Explanation) -> None:
    """One key of the report."""
    out = console()
    out.print(Text(key, style="bold"), Text(explanation.meaning))
    for name, value in (
        ("formula", explanation.formula),
        ("source", explanation.source),
        ("erratum", explanation.erratum),
    ):
        if value:
            out.print(Text(f"  {name}: ", style="dim") + Text(value))


def print_examples(examples: list[Example]) -> None:
    """A table of machines to try."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("file", "what it computes", "input", "format"):
        table.add_column(name, overflow="fold")
    for example in examples:
        word = example.machine.text(example.machine.input)
        table.add_row(_short_path(example.path), example.machine.name, word or "(blank)", example.format)
    console().print(table)


def _short_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
