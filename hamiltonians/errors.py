"""The two errors that this package raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable

_LISTED = 12  # a one-line message names at most so many allowed values


class InputError(ValueError):
    """Something a user can mend: worded "`field` must …, but is …", always one line.

    Attributes
    ----------
    field : the name of the offending key or argument, or None where the input as a whole is at fault.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.field = field


class MemoryEstimateError(MemoryError):
    """More memory would be needed than is free; raised before anything is allocated."""


def must_be(field: str, allowed: str, value: object) -> InputError:
    """The error "`field` must be `allowed`, but is `value`"."""
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return InputError(f"`{field}` must be {allowed}, but is {shown}", field)


def one_of(values: Iterable[str]) -> str:
    """The words "one of a, b, c" for a message; long lists are cut."""
    names = [str(v) for v in values]
    listed = ", ".join(names[:_LISTED])
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    return f"one of {listed}{more}" if names else "one of (none)"
