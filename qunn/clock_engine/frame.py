"""Unitary steps on a device: energies and states in the frame V of `hamiltonians.solvers.frame`.

That the gap is really there is seen by inverse iteration from a random vector of the whole space, which knows nothing
of V's paths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hamiltonians.solve import Request
from hamiltonians.solvers.frame import census_of, eigenvectors
from hamiltonians.solvers.inverse import gap_error
from hamiltonians.solvers.levels import Level, energies_of, ground_levels, lowest_levels
from qunn.clock_engine.found import Found, checked, history_rows, to_host
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.sweeps import energy_rounding, lowest_excited, residual_rounding


def solve(H: DeviceHamiltonian, request: Request) -> Found:
    """Energies by counts, states in the frame V, and the gap's own vector by inverse iteration."""
    census = census_of(H.H)
    levels = lowest_levels(census, request)
    energies = energies_of(levels, request.k)
    ground = ground_levels(census, levels)
    gap = levels[len(ground)].energy if len(ground) < len(levels) else None
    error = gap_error(H.H)
    gap_residual, failure, message = None, None, "every energy counted on a path along the clock"
    if gap is not None:
        found = lowest_excited(H, request.precision, request.seed, request.progress)
        gap_residual = found.residual
        if not found.settled:
            failure = f"the gap still changed after {found.iterations} iterations"
        elif abs(found.energy - gap) > error * gap + energy_rounding(request.precision):
            failure = f"inverse iteration gives {found.energy:.12g} for the gap, but counts {gap:.12g}"
        message += f"; {found.iterations} inverse iterations of two sweeps for the gap"
        error = max(error, energy_rounding(request.precision) / gap)
    states, residuals = _states(H, levels, energies, request)
    energies.sort()  # within a level, to rounding
    degeneracy = sum(level.count for level in ground)
    rounding = residual_rounding(request.precision) if request.precision == "float32" else 0.0
    return Found(
        energies, states, None, residuals, degeneracy, gap, error, message, failure, gap_residual, gap_rounding=rounding
    )


def _states(
    H: DeviceHamiltonian, levels: list[Level], energies: NDArray[np.float64], request: Request
) -> tuple[NDArray[Any], list[float]]:
    """Eigenvectors in the frame V; their energies, ‖Bψ‖² of each, replace what was counted."""
    states = np.empty((H.H.dimension, request.vectors), H.H.dtype, order="F")
    residuals: list[float] = []
    for i, (y, phi) in enumerate(eigenvectors(H.H, levels, request)):
        rows = history_rows(H, torch.from_numpy(y).to(H.device, H.work), phi)
        energies[i], residual = checked(H, rows)
        residuals.append(residual)
        to_host(H, rows, states[:, i])
    return states, residuals


__all__ = ["solve"]
