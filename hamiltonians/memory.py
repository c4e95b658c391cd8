"""Memory is estimated before it is taken."""

from __future__ import annotations

import math
from contextvars import ContextVar

import psutil

from hamiltonians.errors import MemoryEstimateError

#: a user's own limit in bytes (the command line's --memory-limit); None means what the machine has free
memory_limit: ContextVar[int | None] = ContextVar("memory_limit", default=None)


def available_memory() -> int:
    """Bytes that may be taken now: what is free, or the user's limit where that is lower."""
    free = int(psutil.virtual_memory().available)
    limit = memory_limit.get()
    return free if limit is None else min(free, limit)


def require_memory(needed: int, what: str, way_out: str) -> None:
    """Refuse `what` before allocation if it needs more bytes than are free.

    Raises
    ------
    MemoryEstimateError : states both numbers and the way out.
    """
    free = available_memory()
    if needed > free:
        allowed = "are free" if memory_limit.get() is None else "may be taken (`--memory-limit`, or what is free)"
        raise MemoryEstimateError(f"{what}: {in_units(needed)} needed, but {in_units(free)} {allowed}; {way_out}")


def in_units(size: int) -> str:
    """A number of bytes as a person reads it; powers of 1,024."""
    if size >= 2**60:
        return f"{in_figures(size)} bytes"
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def in_figures(n: int) -> str:
    """An exact integer with its thousands apart, or its power of ten where nobody would read it."""
    return f"{n:,}" if n < 10**18 else f"about 10^{int(math.log10(n))}"
