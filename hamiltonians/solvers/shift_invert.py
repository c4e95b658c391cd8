"""Shift-invert Lanczos: ARPACK on (H + shift)⁻¹ with SuperLU factors, for any steps."""

from __future__ import annotations

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import (
    LANCZOS_VECTORS,
    Eigenpairs,
    Map,
    factorised,
    finish,
    lanczos,
    needs_rows,
    shift_for,
)


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of H by a shift just below zero (at zero H is singular)."""
    needs_rows(H, request.k, "shift-invert")
    vectors = LANCZOS_VECTORS + 2 * request.k
    require_memory(vectors * H.memory_estimate("vector"), f"{vectors} vectors for Lanczos", "ask for fewer `k`")
    request.progress("factorising", 0, None)
    shift = shift_for(H.clock_states)
    lu = factorised(H.to_sparse(), shift)
    request.progress("Lanczos", 0, None)

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        return lanczos(lu.solve, H.dimension, H.dtype, count, remove, request.seed)

    return finish(
        H, lowest, request, "shift-invert", f"shift -{shift:.1e}, {lu.L.nnz + lu.U.nnz:,} entries in the factors"
    )
