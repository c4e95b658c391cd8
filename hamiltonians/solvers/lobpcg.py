"""LOBPCG with the exact preconditioner: sweeps along the clock for unitary steps, LU factors for others.

Without a preconditioner path Laplacians break LOBPCG; with the inverse as preconditioner it takes a few iterations.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.sparse.linalg import LinearOperator, lobpcg

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import require_memory
from hamiltonians.null_space import ground_space
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import RESIDUAL_PER_GAP, Eigenpairs, Map, factorised, finish, needs_rows, shift_for
from hamiltonians.solvers.sweep import pseudo_inverse

_ITERATIONS = 60
_ATTEMPTS = 30  # runs, each from where the last one stopped; few are needed
_GUARDS = 2  # vectors more than asked for: the last ones of a block converge badly
_TOP = 5.0  # above ‖H‖ ≤ 4, and 5 with H_in
_TOLERANCE = 1e-13  # of a residual: the rounding of Hψ


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of H from random blocks of k vectors."""
    needs_rows(H, request.k, "lobpcg")
    request.progress("preparing the preconditioner", 0, None)
    vectors = 6 * (request.k + _GUARDS) + 4  # LOBPCG's three blocks and their images, and what a product needs
    require_memory(vectors * H.memory_estimate("vector"), f"{vectors} vectors for LOBPCG", "ask for fewer `k`")
    name = "sweeps along the clock" if H.steps.unitary else "LU factors"
    precondition = _by_sweeps(H) if H.steps.unitary else factorised(H.to_sparse(), shift_for(H.clock_states)).solve
    iterations = 0
    # no tighter than `finish` asks for: past that, rounding is all that is left to search in
    tolerance = max(_TOLERANCE, RESIDUAL_PER_GAP / H.clock_states**2)

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

        def apply(v: np.ndarray) -> np.ndarray:
            # what is kept out is lifted to the top of the spectrum, not put to zero, where it would be found again
            v = np.ascontiguousarray(v.reshape(-1), dtype)
            inside = keep(v)
            return H.apply(inside) + _TOP * (v - inside)

        rng = np.random.default_rng(request.seed)
        operator = LinearOperator((n, n), matvec=apply, dtype=dtype)
        M = LinearOperator((n, n), matvec=preconditioner, dtype=dtype)

        def fresh() -> np.ndarray:
            return np.stack([keep(rng.standard_normal(n)) for _ in range(block)], axis=1)

        block = min(count + _GUARDS, n - 1)
        vectors, energies, failure = fresh(), np.zeros(block), None
        for _ in range(_ATTEMPTS):
            # an exact preconditioner can leave no new direction to search in: LOBPCG stops there, or stumbles over the
            # linear dependence; it goes on from one step of inverse iteration, or from a new block
            try:
                energies, vectors = _run_quietly(operator, vectors, M, tolerance)
                failure = None
            except (ValueError, np.linalg.LinAlgError) as error:
                vectors, failure = fresh(), f"LOBPCG broke down: {error}"
                continue
            residuals = np.stack([operator.matvec(v) for v in vectors.T], axis=1) - vectors * energies
            if np.linalg.norm(residuals, axis=0)[np.argsort(energies)[:count]].max() <= tolerance:
                break
            vectors = np.linalg.qr(np.stack([preconditioner(v) for v in vectors.T], axis=1))[0]
        order = np.argsort(energies)[:count]
        return Eigenpairs(np.linalg.qr(vectors[:, order])[0], energies[order], failure)

    return finish(H, lowest, request, "lobpcg", f"preconditioned by {name}")


def _run_quietly(
    operator: LinearOperator, start: np.ndarray, M: LinearOperator, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """LOBPCG without its warnings that its own tolerance is not met: `finish` judges by the residual itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        warnings.filterwarnings("ignore", category=LinAlgWarning)
        return lobpcg(operator, start, M=M, largest=False, tol=tolerance, maxiter=_ITERATIONS)


def _by_sweeps(H: ClockHamiltonian) -> Map:
    ground = ground_space(H)

    def precondition(v: np.ndarray) -> np.ndarray:
        # H⁺ and the identity on the ground space: positive definite, and exact where it matters
        return pseudo_inverse(H, ground, v) + v - ground.remove(v)

    return precondition
