"""Partial permutations with H_in on a vector that is no basis state: counts for energies, inverse iteration for states.

H_in binds the paths that x touches to each other, so that eigenvectors are on all of their rows. They come from
(H - μ)⁻¹ at a μ just beside the energy: the pivots of all clocks are kept, and two sweeps along the clock solve. Vector
and pivots are float64 in either precision: next to an eigenvalue float32 would have no digits left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamiltonians.null_space import ground_space
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import RELATIVE_ERROR
from qunn.clock_engine.found import Found, checked, history_rows, to_host
from qunn.clock_engine.levels import Level, floor_of, lowest_levels, relative_error
from qunn.clock_engine.memory import clocks_at_once
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.pivots import StrandCounter, trust

_BESIDE = 2.0**-26  # of the energy, from it to the shift: about the root of ε, so that a few iterations are enough
_FARTHER = 16  # times this are all other energies from the shift
_ITERATIONS = 12
_EPSILON = float(np.finfo(np.float64).eps)


def solve(H: DeviceHamiltonian, request: Request) -> Found:
    """Energies by counts, degeneracy from B's null space, states by inverse iteration."""
    counter = StrandCounter(H, None)
    ground = ground_space(H.H).degeneracy
    # `ground_space` takes a norm as kept up to its rounding, and the energy that a loss costs is below this
    floor = min(64 * float(np.sqrt(H.d)) * _EPSILON, 0.01 * floor_of(H.T + 1))
    levels = lowest_levels(counter, request.k, request.progress, floor)
    energies = np.repeat([i.energy for i in levels], [min(i.count, request.k) for i in levels])[: request.k]
    counted = levels[0].count if levels[0].low == 0 else 0
    failure = None
    if counted != ground:
        failure = f"{counted} zero modes were counted, but B has {ground} null vectors"
    counts = energies.copy()
    states, residuals, above = _states(counter, levels, energies, request)
    gap, gap_residual = above or (None, None)
    error = max(RELATIVE_ERROR, relative_error(H.T + 1))
    for energy, count in zip([*energies, gap or 0.0], [*counts, levels[1].energy if gap else 0.0], strict=True):
        if not abs(energy - count) <= error * count + floor:
            failure = failure or f"a vector has the energy {energy:.12g}, but counted was {count:.12g}"
    message = f"negative pivots of H - μ counted over {H.H.dimension:,} rows; states by inverse iteration in float64"
    return Found(energies, states, None, residuals, levels[0].count, gap, error, message, failure, gap_residual)


def _states(
    counter: StrandCounter, levels: list[Level], energies: NDArray[np.float64], request: Request
) -> tuple[NDArray[Any], list[float], tuple[float, float] | None]:
    """States that are kept and their residuals, and (energy, residual) of a vector behind the gap.

    ‖Bψ‖² of each state replaces its counted energy.
    """
    H, residuals, above = counter.H, list[float](), None
    states = np.empty((H.H.dimension, request.vectors), H.H.dtype, order="F")
    X = torch.empty(H.T + 1, H.d, dtype=H.work, device=H.device)
    pivots = torch.empty(H.T + 1, H.d, dtype=torch.float64, device=H.device)
    for number, level in enumerate(levels):
        kept = max(0, min(level.count, request.vectors - len(residuals)))
        own = states[:, len(residuals) : len(residuals) + kept]
        for i in range(max(kept, int(number == 1))):
            request.progress("states", len(residuals), request.vectors)
            if level.low == 0:
                assert H.initial is not None
                rows = history_rows(H, H.initial, np.full(H.T + 1, 1 / np.sqrt(H.T + 1)))
            else:
                _inverse_iteration(counter, X, pivots, level, states[:, : len(residuals)], request.seed + i)
                rows = H.stored(X)
            energy, residual = checked(H, rows)
            if number == 1 and i == 0:
                above = energy, residual
            if i < kept:
                energies[len(residuals)] = energy
                residuals.append(residual)
                to_host(H, rows, own[:, i])
    return states, residuals, above


def _inverse_iteration(
    counter: StrandCounter, X: Tensor, pivots: Tensor, level: Level, others: NDArray[Any], seed: int
) -> None:
    """X becomes a unit eigenvector of the level, orthogonal to `others` (dimension, i), from a random one.

    The others are all that were kept before, and not only those of this level: another may be next to it.
    """
    H = counter.H

    def keep(clock: int, p: Tensor, t: Tensor) -> None:  # noqa: ARG001
        pivots[clock] = p[0]

    counter.eliminate([_beside(counter, level)], keep)
    secular = float(counter.secular(pivots[:1], pivots[:1] - 1)[0])
    numbers = torch.view_as_real(X) if X.is_complex() else X
    numbers.uniform_(-0.5, 0.5, generator=torch.Generator(H.device).manual_seed(seed))
    enough = 16 * _EPSILON
    previous = np.inf
    for _ in range(_ITERATIONS):
        solve_shifted(H, X, pivots, secular)
        _remove(H, X, others)
        X /= torch.linalg.vector_norm(X)
        residual = checked(H, H.stored(X))[1]
        if residual <= enough or residual > previous / 2:
            return
        previous = residual


def _beside(counter: StrandCounter, level: Level) -> float:
    """A shift next to a level, so close that by the counts all other energies are much farther."""
    offset = _BESIDE
    while offset > trust(counter.clock_states):
        ends = [level.energy * (1 + side * _FARTHER * offset) for side in (-1, 1)]
        if counter.count(ends) == [level.below, level.below + level.count]:
            break
        offset /= _FARTHER
    return level.energy * (1 + offset)


def solve_shifted(H: DeviceHamiltonian, X: Tensor, pivots: Tensor, secular: float) -> None:
    """X becomes (H - μ)⁻¹X in place, from the pivots of every clock and 1 - <x|p_0⁻¹|x>."""
    buffer = H.data_vector()
    for j in range(H.T - 1, -1, -1):
        H.steps.adjoint(j, X[j + 1] / pivots[j + 1], buffer)
        X[j] += buffer
    X[0] /= pivots[0]
    if H.initial is not None:
        x0 = H.initial
        X[0] += x0 / pivots[0] * (torch.vdot(x0, X[0]) / secular)
    for j in range(H.T):
        H.steps.apply(j, X[j], buffer)
        X[j + 1].add_(buffer).div_(pivots[j + 1])


def _remove(H: DeviceHamiltonian, X: Tensor, others: NDArray[Any]) -> None:
    """X less its parts along vectors on the host, one at a time, twice against cancellation."""
    for _ in range(2):
        for psi in others.T:
            overlap = torch.zeros((), dtype=H.work, device=H.device)
            for there, here in _blocks(H, psi, X):
                overlap += (there.conj() * here).sum()
            for there, here in _blocks(H, psi, X):
                here -= there * overlap


def _blocks(H: DeviceHamiltonian, psi: NDArray[Any], X: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some clock states at a time of a vector on the host, brought to the device, and views of the same ones of X."""
    source, most = psi.reshape(H.d, H.T + 1), clocks_at_once(H.d)
    for first in range(0, H.T + 1, most):
        some = np.ascontiguousarray(source[:, first : first + most].T)
        yield torch.from_numpy(some).to(H.device), X[first : first + most]


__all__ = ["solve", "solve_shifted"]
