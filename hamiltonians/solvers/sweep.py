"""Shift-invert without a factorisation: two sweeps along the clock apply H⁺ for unitary steps (the frame V).

With V = Σ_j U_j…U_1⊗|j+1><j+1| one has H = V(I⊗L)V†, L the path Laplacian, so that B, and with it H = B†B, is
inverted by substitution: first B†g = b from the last clock down, then Bx = g from the first one up. The shift is
exactly zero: the ground space, which is known from B, is projected out instead, and nothing has to be removed from
the result. Each half reads and writes the vector once, and the vector is the only large array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamiltonians import kernels
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError
from hamiltonians.memory import require_memory
from hamiltonians.null_space import GroundSpace, ground_space
from hamiltonians.result import GroundState
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import LANCZOS_VECTORS, Eigenpairs, Excited, Map, assemble, finish, lanczos

_TOLERANCE = (
    1e-11  # change of the Rayleigh quotient in one iteration; the error left is smaller by the rate of about 1/15
)
_ITERATIONS = 60


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The ground space from B's null space, the gap by inverse iteration from a random vector of the whole space.

    Where more energies are asked for than the ground space has, the others come from Lanczos on H⁺.

    Raises
    ------
    InputError : a step is not unitary.
    """
    if not H.steps.unitary:
        raise InputError(
            "`solver` must not be sweep here: it needs unitary steps; use components or shift-invert", "solver"
        )
    ground = ground_space(H)
    if request.k > ground.degeneracy:
        return _by_lanczos(H, ground, request)
    vector = H.memory_estimate("vector")
    large = f"{request.vectors} states and a work vector of {H.dimension:,} rows"
    require_memory((request.vectors + 1) * vector + H.steps.bytes_per_vector_step, large, "keep fewer `vectors`")

    X = np.empty((H.clock_states, H.d), H.dtype)
    excited = _lowest_excited(H, ground, X, request)
    states = np.empty((H.dimension, request.vectors), H.dtype, order="F")
    energies, residuals = np.zeros(request.k), []
    for i, x in enumerate(ground.data_vectors(request.vectors, np.random.default_rng(request.seed)).T):
        request.progress("ground states", i, request.vectors)
        H.fill_history(X, x)
        energies[i] = H.bond_energies(X).sum()
        residuals.append(H.residual_clock_major(X, energies[i]))
        H.data_major(X, states[:, i])
    message = f"{excited.iterations} inverse iterations of two sweeps for the gap"
    return assemble(H, energies, states, residuals, ground.degeneracy, excited, "sweep", message)


def _by_lanczos(H: ClockHamiltonian, ground: GroundSpace, request: Request) -> GroundState:
    require_memory(
        (LANCZOS_VECTORS + 2 * request.k) * H.memory_estimate("vector"), "Lanczos vectors", "ask for fewer `k`"
    )

    def outside(count: int) -> Eigenpairs:
        def inverse(v: NDArray[Any]) -> NDArray[Any]:
            return pseudo_inverse(H, ground, v)

        return lanczos(inverse, H.dimension, H.dtype, count, ground.remove, request.seed)

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        if remove is not None:
            return outside(count)
        inside = min(count, ground.degeneracy)
        columns = []
        for x in ground.data_vectors(inside, np.random.default_rng(request.seed)).T:
            X = np.empty((H.clock_states, H.d), H.dtype)
            H.fill_history(X, x)
            columns.append(H.data_major(X))
        if count == inside:
            return Eigenpairs(np.stack(columns, axis=1), np.zeros(inside))
        others = outside(count - inside)
        vectors = np.concatenate([np.array(columns).reshape(inside, H.dimension).T, others.vectors], axis=1)
        return Eigenpairs(vectors, np.concatenate([np.zeros(inside), others.energies]), others.failure)

    return finish(H, lowest, request, "sweep", "Lanczos on two sweeps along the clock")


def pseudo_inverse(H: ClockHamiltonian, ground: GroundSpace, b: NDArray[Any]) -> NDArray[Any]:
    """H⁺b for unitary steps, shape (dimension,): exact up to rounding, zero on the ground space."""
    X = H.clock_major(b)
    apply_inverse(H, ground, X, 1.0)
    return ground.remove(H.data_major(X))


def apply_inverse(H: ClockHamiltonian, ground: GroundSpace, X: NDArray[Any], scale: float) -> tuple[float, float]:
    """X becomes H⁺(scale·X) plus some vector of the ground space, in place.

    Returns ‖X‖² of the old X outside the ground space, and ‖BX‖² of the new one.
    """
    steps = H.steps.data().cast(X.dtype)
    norm = kernels.sweep_bonds(steps, X, scale)
    total = -X[0]  # scale·Σ_j U_1†…U_j† X_j, everything carried back to the first clock
    mean = ground.project_data(total) / H.clock_states
    X[0] = 0 if H.initial is None else H.outside_initial(total)
    bonds = float(np.linalg.norm(X[0])) ** 2
    inside = H.clock_states * float(np.linalg.norm(mean)) ** 2 / scale**2
    return norm - inside, bonds + kernels.sweep_nodes(steps, X, mean.copy())


def _lowest_excited(H: ClockHamiltonian, ground: GroundSpace, X: NDArray[Any], request: Request) -> Excited:
    """Inverse iteration outside the ground space; X is a work array. Rate (λ1/λ2)² in the energy, about 1/16."""
    if ground.degeneracy == H.dimension:
        return Excited(None, None)
    numbers = X.reshape(-1).view(np.float64)
    np.random.default_rng(request.seed).random(out=numbers)
    numbers -= 0.5
    energy, bonds, settled, iteration = 1.0, np.nan, False, 0
    while not settled and iteration < _ITERATIONS:
        request.progress("inverse iteration", iteration, None)
        norm, new_bonds = apply_inverse(H, ground, X, energy)
        previous, energy = energy, bonds / norm if iteration else 1.0
        settled = iteration > 1 and abs(energy - previous) <= _TOLERANCE * energy
        bonds, iteration = new_bonds, iteration + 1
    steps = H.steps.data().cast(H.dtype)
    mean = np.empty_like(X[0])
    kernels.sweep_back(steps, X, mean)
    kernels.subtract_history(steps, X, ground.project_data(mean) / H.clock_states)
    X /= np.linalg.norm(X)
    energy = H.bond_energies(X).sum()
    failure = None if settled else f"the gap still changed after {iteration} iterations"
    return Excited(float(energy), H.residual_clock_major(X, energy), iteration, failure)
