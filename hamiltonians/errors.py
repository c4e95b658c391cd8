"""The two errors that this package raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable

_LISTED = 12  # a one-line message names at most so many allowed values


class InputError(ValueError):
    """Something a user can mend: worded "`field` must …, but is …", always one line.

    Attributes
    ----------
    field : the name of the offending key or argument, or None where the input as a whole is at fault.

    Examples
    --------
    >>> from hamiltonians import InputError, load_machine
    >>> try:
    ...     load_machine("bb:1RB1LB_1LA1RZ").run("012")
    ... except InputError as error:
    ...     print(error.field, "-", error)
    input - `input` must be in the alphabet (one of 0, 1), but is '2'
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.field = field


class MemoryEstimateError(MemoryError):
    """More memory would be needed than is free; raised before anything is allocated.

    Examples
    --------
    >>> from hamiltonians import ClockHamiltonian, MemoryEstimateError, load_machine
    >>> H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"), "tape", tape_cells=50)
    >>> try:
    ...     H.to_sparse()
    ... except MemoryEstimateError:
    ...     print(f"{H.memory_estimate('sparse') / 2**50:.0f} PiB")
    624 PiB
    """


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
