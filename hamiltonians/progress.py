"""How long work tells how far it is; what shows it is the caller's business."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]  # what is being done, how far, of how many (None: unknown)


def no_progress(_what: str, _done: int, _total: int | None) -> None:
    """Show nothing."""
