"""Unitary steps: in the frame V of their products H is d paths along the clock, with H_in one free and d - 1 pinned.

H = V(I⊗L + (I - |x><x|)⊗|1><1|)V†, V = Σ_j U_j…U_1⊗|j+1><j+1|: energies come from the counts of one path each, with
their multiplicity, and states as φ_j U_j…U_1 y. That the gap is really there is seen by inverse iteration from a random
vector of the whole space, which knows nothing of V's paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from hamiltonians.paths import PathKind, eigenvector
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import RELATIVE_ERROR
from qunn.clock_engine.found import Found, checked, history_rows, random_vectors, to_host
from qunn.clock_engine.levels import lowest_levels, relative_error
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.pivots import PathCounter
from qunn.clock_engine.sweeps import energy_rounding, lowest_excited, residual_rounding


@final
@dataclass(frozen=True)
class Copies:
    """One eigenvalue of a free or pinned path, in so many orthogonal copies."""

    energy: float
    pinned: bool
    count: int


def solve(H: DeviceHamiltonian, request: Request) -> Found:
    """Energies by counts, states in the frame V, and the gap's own vector by inverse iteration."""
    levels = _levels(H, request)
    energies = np.repeat([i.energy for i in levels], [min(i.count, request.k) for i in levels])[: request.k]
    excited = [i for i in levels if i.energy > 0]
    gap = excited[0].energy if excited else None
    N = H.T + 1
    error = max(RELATIVE_ERROR, relative_error(N))
    gap_residual, failure, message = None, None, "every energy counted on a path along the clock"
    if gap is not None:
        found = lowest_excited(H, request.precision, request.seed, request.progress)
        gap_residual = found.residual
        # steps given in single precision are unitary to its rounding, and so is what the frame promises
        given = 64 * N * H.H.steps.epsilon if H.H.steps.epsilon > np.finfo(np.float64).eps else 0.0
        allowed = error * gap + energy_rounding(request.precision) + given
        if not found.settled:
            failure = f"the gap still changed after {found.iterations} iterations"
        elif abs(found.energy - gap) > allowed:
            failure = f"inverse iteration gives {found.energy:.12g} for the gap, but counts {gap:.12g}"
        message += f"; {found.iterations} inverse iterations of two sweeps for the gap"
        error = max(error, energy_rounding(request.precision) / gap)
    states, residuals = _states(H, levels, energies, request)
    ground = sum(i.count for i in levels if i.energy == 0)
    rounding = residual_rounding(request.precision) if request.precision == "float32" else 0.0
    return Found(
        energies, states, None, residuals, ground, gap, error, message, failure, gap_residual, gap_rounding=rounding
    )


def _levels(H: DeviceHamiltonian, request: Request) -> list[Copies]:
    """The lowest levels of both sorts of path, ascending: at least k eigenvalues and the gap."""
    N = H.T + 1
    sorts = [(False, H.d)] if H.initial is None else [(False, 1), (True, H.d - 1)]
    levels = []
    for pinned, copies in sorts:
        if not copies:
            continue
        # a path is short, and its pivots are single numbers: they are counted on the host
        counter = PathCounter(N, pinned, torch.device("cpu"))
        wanted = min(N, -(-request.k // copies) + 1)
        for level in lowest_levels(counter, wanted, request.progress):
            levels += [Copies(level.energy, pinned, copies)] * level.count
    return sorted(levels, key=lambda i: (i.energy, i.pinned))


def _states(
    H: DeviceHamiltonian, levels: list[Copies], energies: NDArray[np.float64], request: Request
) -> tuple[NDArray[Any], list[float]]:
    """Eigenvectors in the frame V; their energies, ‖Bψ‖² of each, replace what was counted."""
    states = np.empty((H.H.dimension, request.vectors), H.H.dtype, order="F")
    residuals: list[float] = []
    data = _data_vectors(H, request)
    for level in levels:
        kind = PathKind(H.T + 1, level.pinned, False)
        phi = None
        for x in data[level.pinned][:, : level.count].T:
            column = len(residuals)
            if column == request.vectors:
                return states, residuals
            request.progress("states", column, request.vectors)
            phi = eigenvector(kind, level.energy) if phi is None else phi
            rows = history_rows(H, torch.from_numpy(np.ascontiguousarray(x)).to(H.device, H.work), phi)
            energies[column], residual = checked(H, rows)
            residuals.append(residual)
            to_host(H, rows, states[:, column])
    return states, residuals


def _data_vectors(H: DeviceHamiltonian, request: Request) -> dict[bool, NDArray[Any]]:
    """Orthonormal data vectors for free and for pinned paths: any, or x of H_in and those that it leaves."""
    x0, d, k, dtype = H.H.initial, H.d, min(request.vectors, H.d), H.H.dtype
    if x0 is None:
        return {False: random_vectors(d, k, dtype, request.seed, lambda x: x)}

    def outside(x: NDArray[Any]) -> NDArray[Any]:
        return x - np.outer(x0, x0.conj() @ x)

    pinned = random_vectors(d, min(k, d - 1), dtype, request.seed, outside)
    return {False: x0.astype(dtype)[:, None], True: pinned}


__all__ = ["solve"]
