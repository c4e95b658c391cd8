"""LAPACK on the whole matrix: slow, literal, and sure."""

from __future__ import annotations

import numpy as np

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import Eigenpairs, Map, finish


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """All eigenpairs of H as a dense matrix."""
    n = H.dimension
    # LAPACK's own, or all eigenvectors and five copies of those asked for while `finish` rotates them
    needed = max(4 * n, n + 6 * request.k) * n * H.dtype.itemsize
    require_memory(needed, f"a dense matrix with {n:,} rows", "use another solver")
    request.progress("diagonalising", 0, None)
    energies, vectors = np.linalg.eigh(H.to_sparse().toarray())

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        if remove is None:
            return Eigenpairs(vectors[:, :count], energies[:count])
        outside = [i for i in range(n) if np.linalg.norm(remove(np.ascontiguousarray(vectors[:, i]))) > 0.5]
        return Eigenpairs(vectors[:, outside[:count]], energies[outside[:count]])

    return finish(H, lowest, request, "dense", f"LAPACK on {n:,} rows")
