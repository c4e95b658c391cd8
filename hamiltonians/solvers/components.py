"""Exact components: every path by Sturm counts and the recurrence of B†B, every other block by LAPACK or ARPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hamiltonians import paths, state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.components import Blocks, Paths
from hamiltonians.memory import require_memory
from hamiltonians.null_space import ground_space
from hamiltonians.paths import PathKind
from hamiltonians.result import GroundState
from hamiltonians.solve import DENSE_LIMIT, Request
from hamiltonians.solvers.inverse import Eigenpairs, Map, finish, lowest_of_matrix
from hamiltonians.solvers.levels import Level, energies_of, ground_levels, lowest_levels


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of the direct sum of H's connected components."""
    H.require_row_numbers()
    parts = H.restricted()
    return _solve_paths(parts, request) if isinstance(parts, Paths) else _solve_blocks(parts, request)


# ---------------------------------------------------------------------------------------- paths


def _solve_paths(parts: Paths, request: Request) -> GroundState:
    levels = lowest_levels(parts.census, request)
    energies = energies_of(levels, request.k)
    indices, states = _states(parts, levels, request.vectors)
    first = state.SparseState(indices, np.ascontiguousarray(states[:, 0]))
    # energies of the states that were made are taken from them, ‖Bψ‖² over the whole space
    for i in range(states.shape[1]):
        psi = state.SparseState(indices, np.ascontiguousarray(states[:, i]))
        energies[i] = state.energy(parts.H, psi)
    energies.sort()  # those of one level, which rounding puts in any order
    kinds = len(parts.census)
    ground = ground_levels(parts.census, levels)
    above = next(iter(levels[len(ground) :]), None)
    return GroundState(
        energies=energies,
        states=states,
        indices=indices,
        residual=state.residual(parts.H, first, energies[0]),
        degeneracy=sum(level.count for level in ground),
        gap=None if above is None else above.energy,
        gap_component=None if above is None else above.kind,
        converged=True,
        solver="components",
        message=f"{sum(parts.census.values()):,} paths of {kinds:,} kind{'s' if kinds > 1 else ''}, every row counted",
        error=paths.RELATIVE_ERROR,
    )


def _states(parts: Paths, levels: list[Level], wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Eigenvectors of the first `wanted` energies on the union of their paths: (rows, states)."""
    chosen: list[tuple[PathKind, tuple[int, int], float]] = []
    for level in levels:
        starts = parts.starts(level.kind, min(level.count, wanted - len(chosen)))
        chosen += [(level.kind, start, level.energy) for start in starts]
        if len(chosen) == wanted:
            break
    distinct = dict.fromkeys((kind, start) for kind, start, _ in chosen)
    rows = sum(kind.m for kind, _ in distinct)
    require_memory(8 * rows * (2 + wanted), f"{wanted} states on {rows:,} rows", "ask for fewer states (smaller `k`)")
    walked = [parts.rows(kind, start) for kind, start in distinct]
    indices = walked[0] if len(walked) == 1 else np.concatenate(walked)
    ascending = len(walked) == 1 and bool(state.is_ascending(indices))
    order = None if ascending else np.argsort(indices)
    offset = dict(zip(distinct, np.cumsum([0] + [len(w) for w in walked[:-1]]), strict=True))
    if len(chosen) == 1 and ascending:
        kind, _, energy = chosen[0]
        return indices, paths.eigenvector(kind, energy)[:, None]
    states = np.zeros((rows, wanted))
    for column, (kind, start, energy) in enumerate(chosen):
        at = offset[kind, start]
        states[at : at + kind.m, column] = paths.eigenvector(kind, energy)
    return (indices, states) if order is None else (indices[order], states[order])


# ---------------------------------------------------------------------------------------- other blocks


def _solve_blocks(parts: Blocks, request: Request) -> GroundState:
    H = parts.H

    def lowest(count: int, remove: Map | None) -> Eigenpairs:
        # outside the ground space: its zero modes come first, so that so many more are wanted of every block
        skipped = 0 if remove is None else ground_space(H).degeneracy
        found: list[tuple[float, int, NDArray[Any]]] = []
        failure = None
        for i, rows in enumerate(parts.rows):
            request.progress("solving components", i, len(parts.rows))
            wanted = min(count + skipped, len(rows))
            pairs = _block_pairs(parts.block(i), wanted, request)
            failure = failure or pairs.failure
            found += [(float(e), i, v) for e, v in zip(pairs.energies, pairs.vectors.T, strict=True)]
            found = sorted(found, key=lambda pair: pair[:2])[: count + skipped]
        chosen = found[skipped:]
        vectors = np.zeros((H.dimension, len(chosen)), H.dtype)
        for column, (_, i, v) in enumerate(chosen):
            vectors[parts.rows[i], column] = v
        return Eigenpairs(vectors, np.array([e for e, _, _ in chosen]), failure)

    sizes = f"the largest of {max(len(r) for r in parts.rows):,} rows"
    return finish(H, lowest, request, "components", f"{len(parts.rows):,} connected components, {sizes}")


def _block_pairs(block: sp.csr_array, wanted: int, request: Request) -> Eigenpairs:
    if block.shape[0] <= DENSE_LIMIT:
        energies, vectors = np.linalg.eigh(block.toarray())
        return Eigenpairs(vectors[:, :wanted], energies[:wanted])
    return lowest_of_matrix(block, wanted, request)
