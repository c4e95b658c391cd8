"""What a sweep says when it is over."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from qunn.page import console, print_sections
from qunn.sweeping.fit import PowerLaw
from qunn.sweeping.picture import told


def print_sweep(report: dict[str, Any], laws: list[PowerLaw]) -> None:
    """Counts, the errors that came up most, and the exponents."""
    out = console()
    counts = [
        ("command", report["command"]),
        ("points", f"{report['points']:,}"),
        ("finished", f"{report['finished']:,}, {report['ran']:,} of them now"),
        ("failed", f"{report['failed']:,}"),
        ("table", report["table"]),
    ]
    if report["other_rows"]:
        counts.append(("other rows", f"{report['other_rows']:,}, of points that are not in this sweep"))
    sections = [("Sweep", counts)]
    if report["errors"]:
        sections.append(
            ("Failures", [(f"{e['points']:,} ×", e["error"] or "a check failed") for e in report["errors"]])
        )
    if laws:
        name = f"{report['y']} against {report['x']}"
        rows = [("" if law.by is None else str(law.by), f"exponent {told(law)}, {law.points:,} points") for law in laws]
        sections.append((f"Power law, {name}", rows))
    print_sections(out, *sections)
    took = f" in {report['seconds']:.2f} s"
    failed = report["failed"]
    verdict = Text(f"{failed:,} failed", style="bold red") if failed else Text("finished", style="bold green")
    out.print(verdict + took)
