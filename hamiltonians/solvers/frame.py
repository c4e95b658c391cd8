"""Unitary steps in the frame V = Σ_j U_j…U_1⊗|j+1><j+1| of their products: paths along the clock.

    H = V ( I⊗L + (I - |x><x|)⊗|1><1| ) V†,    L the Laplacian of a path of T + 1 nodes

The bracket is diagonal in any data basis that holds x: H is d free paths, or with H_in one free path and d - 1 that
begin at a wall. So energies are those of a single path of either kind, and states are φ_j U_j…U_1 y, φ an eigenvector
of the path and y any of d orthonormal data vectors, or x, or any of those orthogonal to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamiltonians.clock import ClockHamiltonian
from hamiltonians.paths import PathKind, eigenvector
from hamiltonians.solve import Request
from hamiltonians.solvers.levels import Census, Level


def census_of(H: ClockHamiltonian) -> Census:
    """How many paths of which kind there are in the frame V."""
    free = H.d if H.initial is None else 1
    kinds = {PathKind(H.clock_states, False, False): free, PathKind(H.clock_states, True, False): H.d - free}
    return {kind: count for kind, count in kinds.items() if count}


def eigenvectors(
    H: ClockHamiltonian, levels: list[Level], request: Request
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """y (d,) and φ (T+1,) of the first `vectors` states φ_j U_j…U_1 y, in order of their levels."""
    data: dict[PathKind, NDArray[Any]] = {}
    done = 0
    for level in levels:
        wanted = min(level.count, request.vectors - done)
        if not wanted:
            return
        if level.kind not in data:  # higher levels of a kind take the same ones
            data[level.kind] = _data_vectors(H, level.kind, wanted, request.seed)
        phi = eigenvector(level.kind, level.energy)
        for y in data[level.kind][:, :wanted].T:
            request.progress("states", done, request.vectors)
            yield np.ascontiguousarray(y), phi
            done += 1


def _data_vectors(H: ClockHamiltonian, kind: PathKind, k: int, seed: int) -> NDArray[Any]:
    """k random orthonormal data vectors (d, k) for the paths of a kind; x for the free one of H_in."""
    if H.initial is not None and not kind.wall_first:
        return H.initial.astype(H.dtype)[:, None]
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((H.d, k)).astype(H.dtype)
    if H.dtype.kind == "c":
        y += 1j * rng.standard_normal((H.d, k))
    for _ in range(1 if H.initial is None else 2):  # twice against what rounding leaves of x
        if H.initial is not None:
            y -= np.outer(H.initial, H.initial.conj() @ y)
        y = np.linalg.qr(y)[0]
    return y
