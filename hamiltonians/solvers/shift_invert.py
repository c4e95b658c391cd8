"""Shift-invert Lanczos: ARPACK on (H + shift)⁻¹ with SuperLU factors, for any steps."""

from __future__ import annotations

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import Eigenpairs, Map, factorised, finish, lanczos, needs_rows, shift_for


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of H by a shift just below zero (at zero H is singular)."""
    needs_rows(H, request.k, "shift-invert")
    request.progress("factorising", 0, None)
    shift = shift_for(H.clock_states)
    lu = factorised(H.to_sparse(), shift)
    request.progress("Lanczos", 0, None)

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        return lanczos(lu.solve, H.dimension, H.dtype, count, remove, request.seed)

    return finish(
        H, lowest, request, "shift-invert", f"shift -{shift:.1e}, {lu.L.nnz + lu.U.nnz:,} entries in the factors"
    )
