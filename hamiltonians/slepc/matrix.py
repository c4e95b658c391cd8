"""Rows of the steps and of H that one rank holds, and H as a distributed sparse matrix (AIJ)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hamiltonians.contractions import GateSteps, MatrixSteps
from hamiltonians.errors import InputError
from hamiltonians.slepc.layout import Layout, Mat, require_on_ranks
from hamiltonians.steps import CellSteps, HistorySteps, ImageSteps, Steps

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.slepc.libraries import Libraries


def rows_of_step(steps: Steps, j: int, layout: Layout, *, adjoint: bool = False) -> sp.csr_array:
    """This rank's rows of U_j (of U_j† where `adjoint`), shape (count, d), columns ascending."""
    y = np.arange(layout.first, layout.first + layout.count)
    if isinstance(steps, GateSteps):
        rows = _rows_of_gate(steps.coefficients[j].reshape(4, 4), steps.strides[j], y, layout.d, adjoint)
    elif isinstance(steps, MatrixSteps):
        U = steps.matrices[j]
        rows = U[:, layout.own].conj().T if adjoint else U[layout.own]
    else:
        rows = sp.csr_array(_ones_of_step(steps, j, y, adjoint), shape=(layout.count, layout.d))
    rows = sp.csr_array(rows)
    rows.sort_indices()
    return rows


def _rows_of_gate(gate: NDArray[Any], strides: NDArray[np.int64], y: NDArray[np.int64], d: int, adjoint: bool) -> Any:
    if adjoint:
        gate = gate.conj().T
    a, b = int(strides[0]), int(strides[1])
    bit_a, bit_b = y // a % 2, y // b % 2
    values = gate[2 * bit_a + bit_b]  # (count, 4)
    rest = y - bit_a * a - bit_b * b
    columns = rest[:, None] + np.array([0, b, a, a + b])
    rows = sp.csr_array((values.reshape(-1), columns.reshape(-1), np.arange(0, values.size + 1, 4)), shape=(len(y), d))
    rows.eliminate_zeros()
    return rows


def _ones_of_step(steps: Steps, j: int, y: NDArray[np.int64], adjoint: bool) -> Any:
    """(ones, (local row, column)) of a partial permutation."""
    if isinstance(steps, HistorySteps):
        at, other = (j, j + 1) if adjoint else (j + 1, j)
        inside = np.flatnonzero(y == at)
        columns = np.full(len(inside), other)
    elif isinstance(steps, CellSteps):
        place, read, write, base = (int(i) for i in steps.ints[j])
        here, there = (read, write) if adjoint else (write, read)
        inside = np.flatnonzero(y // place % base == here)
        columns = y[inside] + (there - here) * place
    else:
        assert isinstance(steps, ImageSteps)
        if adjoint:
            images = steps.images[j, y]
            inside = np.flatnonzero(images >= 0)
            columns = images[inside].astype(np.int64)
        else:
            inside = steps.images[j].astype(np.int64) - (y[0] if len(y) else 0)
            columns = np.flatnonzero((inside >= 0) & (inside < len(y)) & (steps.images[j] >= 0))
            inside = inside[columns]
    return np.ones(len(inside)), (inside, columns)


def rows_of_clock(H: ClockHamiltonian, layout: Layout, j: int) -> sp.csr_array:
    """This rank's rows of H at clock j, shape (count, dimension)."""
    N, count = H.clock_states, layout.count
    own = np.arange(count)
    parts: list[tuple[Any, Any, Any]] = [(own, (layout.first + own) * N + j, np.full(count, H.touching()[j]))]
    for step, adjoint, clock in ((j - 1, False, j - 1), (j, True, j + 1)):
        if 0 <= step < H.T:
            U = rows_of_step(H.steps, step, layout, adjoint=adjoint).tocoo()
            parts.append((U.row, U.col.astype(np.int64) * N + clock, -U.data))
    if j == 0 and H.initial is not None:
        parts.append((own, (layout.first + own) * N, np.ones(count)))
        x = np.flatnonzero(H.initial)
        here = np.flatnonzero(H.initial[layout.own])
        values = -np.outer(H.initial[layout.own][here], H.initial[x].conj())
        parts.append((np.repeat(here, len(x)), np.tile(x * N, len(here)), values.reshape(-1)))
    rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    block = sp.csr_array((values, (rows, columns)), shape=(count, H.dimension))
    block.sum_duplicates()
    return block


def assembled(H: ClockHamiltonian, libraries: Libraries) -> Mat:
    """H as AIJ: every rank makes its own rows, clock time by clock time, into memory that was counted before.

    Raises
    ------
    InputError : PETSc cannot number so many rows, or so many entries on one rank.
    MemoryEstimateError : on every rank, where it would not fit on one of the machines.
    """
    PETSc, layout, N = libraries.PETSc, Layout.of(H, libraries), H.clock_states
    counts = np.zeros((2, layout.count, N), PETSc.IntType)  # entries a row, in columns of this rank and of others
    first, stop = layout.first * N, (layout.first + layout.count) * N
    for j in range(N):
        block = rows_of_clock(H, layout, j)
        inside = (block.indices >= first) & (block.indices < stop)
        row = np.repeat(np.arange(layout.count), np.diff(block.indptr))
        counts[0, :, j] = np.bincount(row[inside], minlength=layout.count)
        counts[1, :, j] = np.bincount(row[~inside], minlength=layout.count)
    entries, item = int(counts.sum(dtype=np.int64)), PETSc.IntType().itemsize
    limit = int(np.iinfo(PETSc.IntType).max)
    if max(libraries.comm.allgather(entries)) > limit:
        raise InputError(
            f"`solver` must not assemble H here: a rank would hold more than the {limit:,} entries that this PETSc can "
            "number; use solver='sweep', more ranks, or a PETSc with 64-bit indices",
            "solver",
        )
    needed = entries * (layout.dtype.itemsize + item) + 4 * item * layout.count * N
    require_on_ranks(libraries, needed, "H as a matrix", "use solver='sweep', which forms no matrix")
    sizes = layout.count * N, H.dimension
    A = PETSc.Mat().create(comm=PETSc.COMM_WORLD)
    A.setSizes((sizes, sizes))
    A.setType("aij")
    A.setPreallocationNNZ((counts[0].reshape(-1), counts[1].reshape(-1)))
    A.setOption(PETSc.Mat.Option.NEW_NONZERO_ALLOCATION_ERR, True)
    for j in range(N):
        block = rows_of_clock(H, layout, j)
        rows = (first + np.arange(layout.count) * N + j).astype(PETSc.IntType)
        indptr, columns = block.indptr.astype(PETSc.IntType), block.indices.astype(PETSc.IntType)
        A.setValuesIJV(indptr, columns, block.data.astype(layout.dtype), addv=False, rowmap=rows)
    A.assemble()
    A.setOption(PETSc.Mat.Option.HERMITIAN, True)
    if H.dtype.kind != "c":
        A.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    return A


__all__ = ["assembled", "rows_of_clock", "rows_of_step"]
