"""LOBPCG with the exact preconditioner: sweeps along the clock for unitary steps, LU factors for others.

Without a preconditioner path Laplacians break LOBPCG; with the inverse as preconditioner it takes a few iterations.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse.linalg import LinearOperator, lobpcg

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.null_space import ground_space
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import Eigenpairs, Map, factorised, finish, needs_rows, shift_for
from hamiltonians.solvers.sweep import pseudo_inverse

_ITERATIONS = 60


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of H from random blocks of k vectors."""
    needs_rows(H, request.k, "lobpcg")
    request.progress("preparing the preconditioner", 0, None)
    name = "sweeps along the clock" if H.steps.unitary else "LU factors"
    precondition = _by_sweeps(H) if H.steps.unitary else factorised(H.to_sparse(), shift_for(H.clock_states)).solve
    iterations = 0

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        nonlocal iterations
        n, dtype = H.dimension, H.dtype

        def keep(v: np.ndarray) -> np.ndarray:
            v = np.ascontiguousarray(v.reshape(-1), dtype)
            return v if remove is None else remove(v)

        def preconditioner(v: np.ndarray) -> np.ndarray:
            nonlocal iterations
            iterations += 1
            request.progress("LOBPCG", iterations, None)
            return keep(precondition(keep(v)))

        rng = np.random.default_rng(request.seed)
        start = np.stack([keep(rng.standard_normal(n)) for _ in range(count)], axis=1)
        operator = LinearOperator((n, n), matvec=lambda v: H.apply(keep(v)), dtype=dtype)
        M = LinearOperator((n, n), matvec=preconditioner, dtype=dtype)
        with warnings.catch_warnings():
            # it warns where its own tolerance is not met; `finish` judges by the residual itself
            warnings.filterwarnings("ignore", category=UserWarning)
            energies, vectors = lobpcg(operator, start, M=M, largest=False, tol=1e-13, maxiter=_ITERATIONS)
        order = np.argsort(energies)
        return Eigenpairs(vectors[:, order], energies[order])

    return finish(H, lowest, request, "lobpcg", f"preconditioned by {name}")


def _by_sweeps(H: ClockHamiltonian) -> Map:
    ground = ground_space(H)

    def precondition(v: np.ndarray) -> np.ndarray:
        # H⁺ and the identity on the ground space: positive definite, and exact where it matters
        return pseudo_inverse(H, ground, v) + v - ground.remove(v)

    return precondition
