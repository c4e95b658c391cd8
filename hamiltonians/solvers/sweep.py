"""Shift-invert without a factorisation: two sweeps along the clock apply H⁺ for unitary steps (the frame V).

With V = Σ_j U_j…U_1⊗|j+1><j+1| one has H = V(I⊗L)V†, L the path Laplacian, so that B, and with it H = B†B, is
inverted by substitution: first B†g = b from the last clock down, then Bx = g from the first one up. The shift is
exactly zero: the ground space, which is known from B, is projected out instead, and nothing has to be removed from
the result. Each half reads and writes the vector once, and the vector is the only large array.
"""

from __future__ import annotations

from dataclasses import replace
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
from hamiltonians.solvers.frame import census_of, eigenvectors
from hamiltonians.solvers.inverse import Excited, assemble, gap_error
from hamiltonians.solvers.levels import energies_of, ground_levels, lowest_levels

_TOLERANCE = (
    1e-11  # change of the Rayleigh quotient in one iteration; the error left is smaller by the rate of about 1/15
)
_ITERATIONS = 60


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """Energies and states in the frame V, the gap by inverse iteration from a random vector of the whole space too.

    Raises
    ------
    InputError : a step is not unitary.
    """
    if not H.steps.unitary:
        raise InputError(
            "`solver` must not be sweep here: it needs unitary steps; use components or shift-invert", "solver"
        )
    vector = H.memory_estimate("vector")
    # data vectors: a basis and three copies while it is made orthogonal, and those that a sweep works with
    data = (5 * min(request.vectors, H.d) + 4) * vector // H.clock_states
    large = f"{request.vectors} states and a work vector of {H.dimension:,} rows"
    require_memory((request.vectors + 1) * vector + data + H.steps.bytes_per_vector_step, large, "keep fewer `vectors`")

    census = census_of(H)
    levels = lowest_levels(census, request)
    ground = ground_levels(census, levels)
    X = np.empty((H.clock_states, H.d), H.dtype)
    excited = _lowest_excited(H, ground_space(H), X, request)
    if excited.gap is not None:
        excited = _compared(H, excited, levels[len(ground)].energy)
    energies, residuals = energies_of(levels, request.k), []
    states = np.empty((H.dimension, request.vectors), H.dtype, order="F")
    for i, (y, phi) in enumerate(eigenvectors(H, levels, request)):
        X[0] = y
        kernels.sweep_history(H.steps.data().cast(H.dtype), X)
        X *= phi[:, None]
        energies[i] = H.bond_energies(X).sum()
        residuals.append(H.residual_clock_major(X, energies[i]))
        H.data_major(X, states[:, i])
    energies.sort()  # those of one level, which rounding puts in any order
    degeneracy = sum(level.count for level in ground)
    message = f"energies of a path along the clock, {excited.iterations} inverse iterations of two sweeps for the gap"
    return assemble(H, energies, states, residuals, degeneracy, excited, "sweep", message)


def _compared(H: ClockHamiltonian, excited: Excited, counted: float) -> Excited:
    assert excited.gap is not None
    if excited.failure or abs(excited.gap - counted) <= gap_error(H) * counted:
        return excited
    failure = f"inverse iteration gives {excited.gap:.12g} for the gap, but the path has {counted:.12g}"
    return replace(excited, failure=failure)


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
