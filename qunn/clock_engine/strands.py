"""Partial permutations: energies and multiplicities by counts on data vectors, states on single paths.

No vector over all rows is made. A state is an eigenvector of one path, on the rows that its steps visit: the machine's
histories first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hamiltonians import state
from hamiltonians.components import pinned_state
from hamiltonians.null_space import ground_space
from hamiltonians.paths import PathKind, eigenvector
from hamiltonians.solve import Request
from hamiltonians.state import SparseState
from qunn.clock_engine.found import Found
from qunn.clock_engine.levels import Level, lowest_levels, relative_error
from qunn.clock_engine.operator import DeviceHamiltonian
from qunn.clock_engine.pivots import Strands, strands_of, trust

_FEW_STATES = 2**20  # data states up to which the degeneracy is compared with that of the numpy engine's walk


def solve(H: DeviceHamiltonian, request: Request) -> Found:
    """Counts for all energies, and one path for every state that is kept and for the gap."""
    counter = strands_of(H, None if H.initial is None else pinned_state(H.H))
    levels = lowest_levels(counter, request.k, request.progress)
    energies = np.repeat([i.energy for i in levels], [min(i.count, request.k) for i in levels])[: request.k]
    whole = counter.whole()
    failure = _wrong_degeneracy(H, levels[0], int(whole.sum()))
    kept = _kept(H, counter, whole, levels, request)
    indices, states = _block(kept)
    residuals = []
    for i, psi in enumerate(kept):
        energies[i] = state.energy(H.H, psi)
        residuals.append(state.residual(H.H, psi, energies[i]))
    gap = gap_residual = kind = None
    if len(levels) > 1:
        # the interval's middle, made sharper by the vector of one path
        kind, psi = _eigenvector(H, counter, levels[1], 1)[0]
        gap = state.energy(H.H, psi)
        gap_residual = state.residual(H.H, psi, gap)
        slack = trust(H.T + 1) * levels[1].high
        if not levels[1].low - slack <= gap <= levels[1].high + slack:
            failure = failure or f"the path of the gap has energy {gap:.12g}, outside of what was counted"
    message = f"negative pivots of H - μ counted over {H.H.dimension:,} rows"
    return Found(
        energies,
        states,
        indices,
        residuals,
        levels[0].count,
        gap,
        relative_error(H.T + 1),
        message,
        failure,
        gap_residual,
        gap_component=kind,
    )


def _wrong_degeneracy(H: DeviceHamiltonian, lowest: Level, whole: int) -> str | None:
    """The ground space three ways: by counts, by steps carried back on the device, and by B's null space."""
    counted = lowest.count if lowest.low == 0 else 0
    known = ground_space(H.H).degeneracy if H.d <= _FEW_STATES else whole
    if counted == whole == known:
        return None
    return f"{counted:,} zero modes were counted, but {whole:,} paths are whole, and B has {known:,} null vectors"


def _kept(
    H: DeviceHamiltonian, counter: Strands, whole: torch.Tensor, levels: list[Level], request: Request
) -> list[SparseState]:
    """The first `vectors` eigenvectors, orthogonal because their paths or their energies differ."""
    kept: list[SparseState] = []
    for level in levels:
        wanted = min(level.count, request.vectors - len(kept))
        if not wanted:
            break
        request.progress("states", len(kept), request.vectors)
        if level.low == 0:
            kept += [_on_path(H, x, 0, 0.0)[1] for x in _zero_modes(H, whole, wanted)]
        else:
            kept += [psi for _, psi in _eigenvector(H, counter, level, wanted)]
    return kept


def _zero_modes(H: DeviceHamiltonian, whole: torch.Tensor, wanted: int) -> list[int]:
    """Where whole paths start: the machine's histories first."""
    first = [] if H.H.readout is None else [x for x in H.H.readout.starts.values() if bool(whole[x])]
    others = torch.nonzero(whole)[: wanted + len(first), 0].tolist()
    return list(dict.fromkeys([*first, *map(int, others)]))[:wanted]


def _eigenvector(
    H: DeviceHamiltonian, counter: Strands, level: Level, wanted: int
) -> list[tuple[PathKind, SparseState]]:
    """Eigenvectors of a level on the paths whose counts differ between its ends."""
    slack = trust(H.T + 1)
    starts = counter.starts(level.low * (1 - slack), level.high * (1 + slack), wanted)
    return [_on_path(H, x, clock, level.energy) for x, clock in starts]


def _on_path(H: DeviceHamiltonian, x: int, clock: int, energy: float) -> tuple[PathKind, SparseState]:
    rows = state.try_walk(H.H, x, clock, H.T + 1 - clock)
    pinned = H.initial is not None and clock == 0 and x != pinned_state(H.H)
    kind = PathKind(len(rows), clock > 0 or pinned, clock + len(rows) <= H.T)
    order = np.argsort(rows)
    return kind, SparseState(rows[order], eigenvector(kind, energy)[order])


def _block(kept: list[SparseState]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """All states on the union of their rows."""
    if len(kept) == 1:
        return kept[0].indices, kept[0].values[:, None]
    indices = np.unique(np.concatenate([psi.indices for psi in kept]))
    states = np.zeros((len(indices), len(kept)))
    for column, psi in enumerate(kept):
        states[np.searchsorted(indices, psi.indices), column] = psi.values
    return indices, states


__all__ = ["solve"]
