"""Which rank holds which rows, and what all ranks must agree on before they go on."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import InputError, MemoryEstimateError
from hamiltonians.memory import in_figures, require_memory

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.slepc.libraries import Libraries

# petsc4py is not there where types are checked
Vec = Any
Mat = Any


@final
@dataclass(frozen=True)
class Layout:
    """Data states in blocks, as even as they go, the larger ones first; a rank holds all rows of its data states.

    Attributes
    ----------
    first, count : this rank's data states are first, …, first + count - 1; none where there are more ranks than states.
    """

    libraries: Libraries
    d: int
    clock_states: int
    first: int
    count: int

    @classmethod
    def of(cls, H: ClockHamiltonian, libraries: Libraries) -> Layout:
        """The layout of H's rows.

        Raises
        ------
        InputError : PETSc cannot number so many rows.
        """
        limit = int(np.iinfo(libraries.PETSc.IntType).max)
        if H.dimension > limit:
            bits = 8 * np.dtype(libraries.PETSc.IntType).itemsize
            raise InputError(
                f"`dimension` must be at most {limit:,} for this PETSc, which numbers rows with {bits}-bit integers, "
                f"but is {in_figures(H.dimension)}; use a PETSc with 64-bit indices (Debian: the packages with "
                "petsc64 in their names) or a smaller data space",
                "dimension",
            )
        rank, size = libraries.comm.rank, libraries.comm.size
        even, more = divmod(H.d, size)
        return cls(libraries, H.d, H.clock_states, rank * even + min(rank, more), even + (rank < more))

    @property
    def dtype(self) -> np.dtype[Any]:
        """PETSc's numbers: float64, or complex128 in a complex build."""
        return np.dtype(self.libraries.PETSc.ScalarType)

    @property
    def own(self) -> slice:
        """This rank's part of a data vector."""
        return slice(self.first, self.first + self.count)

    def rank_of(self, data: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which rank holds a data state."""
        even, more = divmod(self.d, self.libraries.comm.size)
        larger = more * (even + 1)
        return np.where(data < larger, data // (even + 1), more + (data - larger) // max(even, 1))

    def vector(self) -> Vec:
        """A zero vector of all rows."""
        return self._zero(self.count * self.clock_states, self.d * self.clock_states)

    def data_vector(self) -> Vec:
        """A zero data vector, as it stands on one clock time."""
        return self._zero(self.count, self.d)

    def at_first_clock(self, x: Vec) -> NDArray[Any]:
        """A copy of this rank's part of x on clock 0."""
        local: NDArray[Any] = x.getArray(readonly=True)
        return local[:: self.clock_states].copy()

    def sum(self, value: Any) -> Any:
        """Σ over the ranks of a number or an array, the same on every rank to the bit."""
        return self.libraries.comm.allreduce(value)

    def _zero(self, local: int, whole: int) -> Vec:
        PETSc = self.libraries.PETSc
        x = PETSc.Vec().create(comm=PETSc.COMM_WORLD)
        x.setSizes((local, whole))
        x.setType("mpi")
        x.set(0)
        return x


def require_on_ranks(libraries: Libraries, needed: int, what: str, way_out: str) -> None:
    """`require_memory` of `needed` bytes on this rank, decided together: ranks of one machine share what is free there.

    Raises
    ------
    MemoryEstimateError : on every rank, where it is too much for one of the machines.
    """
    comm = libraries.comm
    machine = comm.Split_type(importlib.import_module("mpi4py.MPI").COMM_TYPE_SHARED)
    ranks, together = machine.size, machine.allreduce(needed)
    machine.Free()
    refusal = None
    try:
        require_memory(together, f"{what} on {ranks} ranks of one machine" if ranks > 1 else what, way_out)
    except MemoryEstimateError as error:
        refusal = str(error)
    for message in comm.allgather(refusal):
        if message is not None:
            raise MemoryEstimateError(message)


__all__ = ["Layout", "Mat", "Vec", "require_on_ranks"]
