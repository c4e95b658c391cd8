"""Distributed vectors brought to rank 0, which alone holds the states of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.layout import Vec, require_on_ranks

_INDEX_BYTES = 8
_SPARSE_BELOW = 0.5  # of the bytes of all rows: then only the non-zero rows are sent and kept


def gathered(frame: Frame, vectors: Sequence[Vec]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """`states` and `indices` of a `GroundState`: all of them on rank 0, zero rows on the others; collective.

    Vectors that are exactly zero on most rows, such as the histories of machines, come as their other rows with
    `indices`; else all rows come and `indices` is None on rank 0.

    Raises
    ------
    MemoryEstimateError : rank 0 has no room for them; on all ranks.
    """
    comm, columns = frame.libraries.comm, len(vectors)
    parts = [v.getArray(readonly=True) for v in vectors]
    if frame.H.dtype.kind == "f" and not comm.allreduce(any(bool(np.any(p.imag)) for p in parts)):
        parts = [p.real for p in parts]  # a complex build holds real numbers
    dtype = np.result_type(*parts) if parts else frame.H.dtype
    kept, first = _rows_that_count(frame, parts)
    sizes = comm.allgather(len(kept))
    row_bytes = dtype.itemsize * columns
    sparse = sum(sizes) * (_INDEX_BYTES + row_bytes) <= _SPARSE_BELOW * frame.H.dimension * row_bytes
    if not sparse:
        sizes = comm.allgather(len(parts[0]) if parts else 0)
    total = sum(sizes)
    needed = total * (row_bytes + _INDEX_BYTES * sparse)
    what = f"{columns} states of {total:,} rows on rank 0"
    require_on_ranks(frame.libraries, needed if comm.rank == 0 else 0, what, "keep fewer `vectors`")

    states = np.empty((total if comm.rank == 0 else 0, columns), dtype, order="F")
    for i, part in enumerate(parts):
        _collect(comm, part[kept] if sparse else part, states[:, i], sizes)
    if not sparse:
        return states, None if comm.rank == 0 else np.empty(0, np.int64)
    indices = np.empty(len(states), np.int64)
    _collect(comm, kept + first, indices, sizes)
    return states, indices


def _rows_that_count(frame: Frame, parts: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], int]:
    """This rank's rows, from 0, on which some vector is not zero, and the number of its first row."""
    mask = np.zeros(len(parts[0]) if parts else 0, bool)
    for part in parts:
        mask |= part != 0
    return np.flatnonzero(mask), frame.layout.first * frame.H.clock_states


def _collect(comm: Any, part: NDArray[Any], whole: NDArray[Any], sizes: list[int]) -> None:
    comm.Gatherv(np.ascontiguousarray(part), [whole, sizes] if comm.rank == 0 else None, root=0)
