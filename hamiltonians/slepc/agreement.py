"""Errors that all ranks raise together: a rank that left alone would keep the others waiting for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hamiltonians.errors import InputError, MemoryEstimateError

Result = TypeVar("Result")


def agreed(comm: Any, action: Callable[[], Result]) -> Result:
    """What `action` gives on this rank, which must not speak with others; collective.

    Raises
    ------
    InputError, MemoryEstimateError : that of the lowest rank whose action raised one, on all ranks.
    """
    result, error = None, None
    try:
        result = action()
    except (InputError, MemoryEstimateError) as raised:
        error = raised.with_traceback(None)
    told = [e for e in comm.allgather(error) if e is not None]
    try:
        if told:
            raise told[0]
    finally:  # an error that its own traceback holds would live, and PETSc's objects with it, until PETSc has ended
        del told, error
    return result  # type: ignore[return-value]


def at_rank_0(comm: Any, action: Callable[[], Result]) -> Result:
    """What `action` gives on rank 0, on all ranks; collective.

    Raises
    ------
    InputError, MemoryEstimateError : what rank 0 raised, on all ranks.
    """
    result = agreed(comm, action if comm.rank == 0 else lambda: None)
    return comm.bcast(result, root=0)


__all__ = ["agreed", "at_rank_0"]
