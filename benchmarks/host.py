"""What every benchmark here shares: the machine it ran on, medians with their spread, and peak memory of a process."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """What this was measured on."""
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), "?"
    )
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": date.today().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": pages,
        "system": platform.platform(),
        "versions": {p: version(p) for p in packages} | {"python": platform.python_version()},
    }


def in_words(where: dict[str, Any]) -> str:
    """The machine in a sentence."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    cores, memory = where["cores"], where["memory_bytes"] / 1e9
    return f"{where['date']}: {where['cpu']}, {cores} cores, {memory:.0f} GB; {versions}"


def spread(values: Sequence[float]) -> str:
    """The median, and in brackets the least and the most."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


def reset_peak() -> None:
    """Forget the high-water mark of importing (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process has had resident since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM"))
