"""What the iterative solvers share: Lanczos on an inverse, the search for missed copies, and the final report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, SuperLU, eigsh, splu

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.memory import available_memory, require_memory
from hamiltonians.null_space import ground_space
from hamiltonians.result import GroundState
from hamiltonians.solve import Request

Map = Callable[[NDArray[Any]], NDArray[Any]]

#: an eigenpair counts as converged when its residual is below this part of the gap: the energy's error is its square
RESIDUAL_PER_GAP = 1e-6
#: relative error of a gap so found: the square of that, and the rounding of Hψ against gaps down to 1e-7
RELATIVE_ERROR = 1e-9
_FEW_ROWS = 5  # times the eigenpairs: with fewer rows LAPACK takes the inverse as a dense matrix
_NOTHING = 1e-12  # an inverse's eigenvalue below this part of the largest is that of the subspace kept out
LANCZOS_VECTORS = 20  # ARPACK's basis for few eigenpairs,
_RESTARTS = 100  # and how often it is restarted before it is made longer
_SAME = 1e-9  # two energies closer than this, relatively, are copies of one eigenvalue
_SHIFT_PER_GAP = 0.1  # of the shift to 1/N², the scale of a path's gap: small against the gap, far from singular
_LU_BYTES_PER_ENTRY = 16  # SuperLU: a value and an index for each of L and U where nothing fills in


@dataclass(frozen=True)
class Eigenpairs:
    """Vectors as columns (dimension, m), ascending energies (m,), and why the method did not converge, if so."""

    vectors: NDArray[Any]
    energies: NDArray[np.float64]
    failure: str | None = None


#: count of eigenpairs, and a projection that keeps the search out of a subspace -> the lowest ones there
Lowest = Callable[[int, Map | None], Eigenpairs]


def factorised(H: sp.csr_array, shift: float) -> SuperLU:
    """LU factors of H + shift, without pivoting: the matrix is positive definite."""
    needed = _LU_BYTES_PER_ENTRY * 2 * H.nnz + 12 * H.nnz
    require_memory(needed, "a factorisation without fill-in", "use solver='sweep' or solver='components'")
    shifted = sp.csc_array(H + shift * sp.eye_array(H.shape[0]))
    return splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def shift_for(clock_states: int) -> float:
    """The shift below zero at which H is factorised."""
    return _SHIFT_PER_GAP / clock_states**2


def lanczos(inverse: Map, n: int, dtype: np.dtype[Any], count: int, remove: Map | None, seed: int) -> Eigenpairs:
    """The `count` lowest eigenvectors as the top of an inverse, by ARPACK.

    A Krylov space holds one vector of a multiple eigenvalue, and copies appear only by rounding: so what was found is
    projected out and the search repeated until nothing new lies below the highest one found. Where ARPACK
    does not converge, its basis is made twice as long.
    """
    rng, basis = np.random.default_rng(seed), LANCZOS_VECTORS
    found: NDArray[Any] = np.empty((n, 0), dtype)
    tops: NDArray[np.float64] = np.empty(0)

    def apply(v: NDArray[Any]) -> NDArray[Any]:
        w = v.reshape(-1).astype(dtype)
        for side in range(2):
            w = w - found @ (found.conj().T @ w)
            w = w if remove is None else remove(w)
            w = inverse(w) if side == 0 else w
        return w

    if n < _FEW_ROWS * (count + 1):
        columns = np.stack([apply(e) for e in np.eye(n)], axis=1)
        mu, vectors = np.linalg.eigh((columns + columns.conj().T) / 2)
        kept = np.flatnonzero(mu > _NOTHING * mu[-1])[::-1][:count]
        return Eigenpairs(vectors[:, kept], 1 / mu[kept])
    while True:
        wanted = min(max(1, count - len(tops)), n - found.shape[1] - 2)
        if wanted < 1:
            break
        start = rng.standard_normal(n).astype(dtype)
        operator = LinearOperator((n, n), matvec=apply, dtype=dtype)
        ncv = min(n, max(2 * wanted + 1, basis))
        try:
            mu, vectors = eigsh(operator, k=wanted, which="LA", v0=apply(start), ncv=ncv, maxiter=_RESTARTS)
        except ArpackNoConvergence as error:
            basis = 2 * ncv
            if ncv < n and basis * start.nbytes <= available_memory():
                continue
            told = f"Lanczos did not converge with {ncv} vectors: {error}"
            return Eigenpairs(found, 1 / tops, told.split(":  ")[0])
        except ArpackError as error:
            if remove is None and not len(tops):
                return Eigenpairs(found, 1 / tops, f"Lanczos failed: {error}")
            break  # the start vector vanished: the whole space was found
        new = mu > 0 if len(tops) < count else mu > tops.min() * (1 + _SAME)
        if not new.any():
            break
        found = np.linalg.qr(np.concatenate([found, vectors[:, new]], axis=1))[0]
        tops = np.concatenate([tops, mu[new]])
        order = np.argsort(-tops, kind="stable")[: max(count, 1)]
        found, tops = found[:, order], tops[order]
    return Eigenpairs(found, 1 / tops)


def lowest_of_matrix(H: sp.csr_array, count: int, request: Request) -> Eigenpairs:
    """Shift-invert Lanczos on a matrix of its own; energies are Rayleigh quotients."""
    shift = 1e-8
    lu = factorised(H, shift)
    pairs = lanczos(lu.solve, H.shape[0], H.dtype, count, None, request.seed)
    return Eigenpairs(pairs.vectors, pairs.energies - shift, pairs.failure)


@dataclass(frozen=True)
class Excited:
    """The lowest energy above the ground space, the residual of its vector, and why it may be wrong, if so."""

    gap: float | None
    residual: float | None
    iterations: int = 0
    failure: str | None = None


def finish(H: ClockHamiltonian, lowest: Lowest, request: Request, solver: str, message: str) -> GroundState:
    """Energies from ‖Bψ‖², the degeneracy from B's null space, and the gap by a search outside the ground space."""
    ground = ground_space(H)
    pairs = rotated(H, lowest(request.k, None))
    residuals = [residual(H, v, e) for v, e in zip(pairs.vectors.T, pairs.energies, strict=True)]
    degeneracy, excited = ground.degeneracy, Excited(None, None)
    if degeneracy == 0:
        degeneracy, excited = _above_the_lowest(H, lowest, pairs, request)
    elif degeneracy < len(pairs.energies):
        excited = Excited(float(pairs.energies[degeneracy]), residuals[degeneracy])
    elif degeneracy < H.dimension:
        above = rotated(H, lowest(1, ground.remove))
        if len(above.energies):
            energy = float(above.energies[0])
            excited = Excited(energy, residual(H, above.vectors[:, 0], energy), failure=above.failure)
        else:
            excited = Excited(None, None, failure=above.failure or "nothing was found above the ground space")
    failure = pairs.failure
    if len(pairs.energies) < request.k:
        failure = failure or f"only {len(pairs.energies)} of {request.k} eigenpairs were found"
    zeros = int(np.count_nonzero(pairs.energies <= converged_below(H, excited.gap)))
    if ground.degeneracy and excited.gap is not None and zeros < min(ground.degeneracy, len(pairs.energies)):
        failure = failure or f"only {zeros} of the {ground.degeneracy} zero modes were found"
    excited = replace(excited, failure=failure or excited.failure)
    kept = pairs.vectors[:, : request.vectors]
    return assemble(H, pairs.energies, kept, residuals, degeneracy, excited, solver, message)


def assemble(
    H: ClockHamiltonian,
    energies: NDArray[np.float64],
    states: NDArray[Any],
    residuals: list[float],
    degeneracy: int,
    excited: Excited,
    solver: str,
    message: str,
) -> GroundState:
    """A `GroundState`, judged by its residuals."""
    failure = excited.failure or large_residual(H, energies, residuals, excited.gap, excited.residual)
    return GroundState(
        energies=energies,
        states=states,
        indices=None,
        residual=residuals[0] if residuals else np.inf,
        degeneracy=degeneracy,
        gap=excited.gap,
        gap_residual=excited.residual,
        converged=failure is None,
        solver=solver,
        message=message if failure is None else f"{message}; not converged: {failure}",
        error=gap_error(H),
    )


def gap_error(H: ClockHamiltonian) -> float:
    """Relative error of a gap: `RELATIVE_ERROR`, and what steps that are unitary to a tolerance only leave open.

    U†U = I + η changes a bond of B by η/2, its least singular value, which is at least 1/N, by no more than that, and
    the square by Nη.
    """
    return RELATIVE_ERROR + H.clock_states * H.steps.tolerance


def converged_below(H: ClockHamiltonian, gap: float | None) -> float:
    """Largest residual that counts as converged: a part of the gap, but no less than the rounding of Hψ (‖H‖ ≤ 4)."""
    rounding = 64 * 4 * float(np.finfo(np.float64).eps) * np.sqrt(H.dimension)
    return max(RESIDUAL_PER_GAP * (gap or 0.0), min(rounding, 1e-9))


def large_residual(
    H: ClockHamiltonian,
    energies: Iterable[float],
    residuals: Iterable[float],
    gap: float | None,
    gap_residual: float | None,
    gap_rounding: float = 0.0,
) -> str | None:
    """Why residuals, of the first energies and of the gap, are not what their tolerance promises, or None.

    An eigenvalue lies within the residual of an energy, so that one far above a small gap may have more, and no method
    leaves less than `Steps.rounding`. The vector of the gap may have `gap_rounding`, where it is stored in less than
    double precision.
    """
    allowed = max(converged_below(H, gap), H.steps.rounding)
    judged = [(r, max(allowed, RELATIVE_ERROR * energy)) for energy, r in zip(energies, residuals, strict=False)]
    if gap_residual is not None:
        judged.append((gap_residual, max(allowed, gap_rounding)))
    for found, limit in judged:
        if not found <= limit:  # nor is NaN
            return f"a residual of {found:.1e} is above the {limit:.1e} that its tolerance allows"
    return None


def lowest_level(H: ClockHamiltonian, energies: NDArray[np.float64]) -> int:
    """How many of some ascending energies are the lowest one, as far as their errors can tell.

    All solvers know an energy to `RELATIVE_ERROR`, and to `Steps.rounding` where it holds what contractions lose.
    """
    return int(np.count_nonzero(energies <= energies[:1] * (1 + RELATIVE_ERROR) + H.steps.rounding))


def rotated(H: ClockHamiltonian, pairs: Eigenpairs) -> Eigenpairs:
    """Rayleigh-Ritz in the span of the vectors, with energies from ‖Bψ‖², ascending."""
    if pairs.vectors.shape[1] == 0:
        return pairs
    basis = np.linalg.qr(pairs.vectors)[0]
    images = np.stack([H.apply(np.ascontiguousarray(v)) for v in basis.T], axis=1)
    _, rotation = np.linalg.eigh(basis.conj().T @ images)
    vectors = basis @ rotation
    energies = np.array([H.bond_energies(H.clock_major(np.ascontiguousarray(v))).sum() for v in vectors.T])
    order = np.argsort(energies, kind="stable")
    return Eigenpairs(vectors[:, order], energies[order], pairs.failure)


def residual(H: ClockHamiltonian, psi: NDArray[Any], energy: float) -> float:
    """‖Hψ - Eψ‖ for ‖ψ‖ = 1."""
    return H.residual_clock_major(H.clock_major(np.ascontiguousarray(psi)), energy)


def needs_rows(H: ClockHamiltonian, k: int, solver: str) -> None:
    """Refuse a matrix that is too small for a Krylov method.

    Raises
    ------
    InputError : says what to use instead.
    """
    least = 5 * (k + 1)
    if H.dimension < least:
        raise InputError(
            f"`solver` must not be {solver} for so few rows ({H.dimension}, at least {least} for k = {k}); use dense",
            "solver",
        )


def _above_the_lowest(H: ClockHamiltonian, lowest: Lowest, pairs: Eigenpairs, request: Request) -> tuple[int, Excited]:
    """Multiplicity of a lowest energy that is not zero, and what lies above it."""
    count = request.k
    while True:
        same = lowest_level(H, pairs.energies)
        if same < len(pairs.energies):
            energy = float(pairs.energies[same])
            return same, Excited(energy, residual(H, pairs.vectors[:, same], energy), failure=pairs.failure)
        if len(pairs.energies) < count or count >= H.dimension:
            return same, Excited(None, None, failure=pairs.failure)
        count = min(2 * count, H.dimension)
        pairs = rotated(H, lowest(count, None))
