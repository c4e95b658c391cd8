"""Exact components: every path by Sturm counts and the recurrence of B†B, every other block by LAPACK or ARPACK."""

from __future__ import annotations

from dataclasses import dataclass
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

_SAME = 1e-9  # levels of two kinds of path closer than this, relatively, are one: rounding is 1e-12


@dataclass(frozen=True)
class Level:
    """Eigenvalue number `number` of every path of one kind, so many times in the spectrum."""

    energy: float
    kind: PathKind
    number: int
    count: int


def solve(H: ClockHamiltonian, request: Request) -> GroundState:
    """The low end of the direct sum of H's connected components."""
    H.require_row_numbers()
    parts = H.restricted()
    return _solve_paths(parts, request) if isinstance(parts, Paths) else _solve_blocks(parts, request)


# ---------------------------------------------------------------------------------------- paths


def _solve_paths(parts: Paths, request: Request) -> GroundState:
    levels = lowest_levels(parts.census, request)
    energies = _energies(levels, request.k)
    indices, states = _states(parts, levels, request.vectors)
    first = state.SparseState(indices, np.ascontiguousarray(states[:, 0]))
    # energies of the states that were made are taken from them, ‖Bψ‖² over the whole space
    for i in range(states.shape[1]):
        psi = state.SparseState(indices, np.ascontiguousarray(states[:, i]))
        energies[i] = state.energy(parts.H, psi)
    kinds = len(parts.census)
    first_excited = _first_excited(parts.census, levels)
    ground = levels[: first_excited if first_excited is not None else len(levels)]
    above = None if first_excited is None else levels[first_excited]
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


def lowest_levels(census: dict[PathKind, int], request: Request) -> list[Level]:
    """The lowest levels of all paths: at least k eigenvalues with multiplicity, and one above the ground space.

    Kinds are taken from the longest path down. Of each one a Sturm count tells how many eigenvalues lie below what is
    known already, so that no kind is assumed to have none.
    """
    levels: list[Level] = []
    bound = np.inf
    for done, (kind, count) in enumerate(sorted(census.items(), key=lambda item: -item[0].m)):
        request.progress("solving paths", done, len(census))
        wanted = min(request.k + kind.zero_modes, kind.m)
        if np.isfinite(bound):
            wanted = min(wanted, paths.count_below(kind, bound * (1 + paths.RELATIVE_ERROR)))
        found = paths.eigenvalues(kind, wanted)
        levels += [Level(float(energy), kind, i, count) for i, energy in enumerate(found)]
        levels.sort(key=lambda level: (level.energy, -level.kind.m, level.kind))
        levels, bound = _needed(census, levels, request.k)
    return levels


def _needed(census: dict[PathKind, int], levels: list[Level], k: int) -> tuple[list[Level], float]:
    """The levels up to the k-th energy and the first above the ground space, and what ends them (inf if too few)."""
    above = _first_excited(census, levels)
    if above is None:
        return levels, np.inf
    total = np.cumsum([level.count for level in levels], dtype=object)
    last = max(above, next((i for i, so_far in enumerate(total) if so_far >= k), len(levels)))
    return (levels, np.inf) if last == len(levels) else (levels[: last + 1], levels[last].energy)


def _first_excited(census: dict[PathKind, int], levels: list[Level]) -> int | None:
    """Position of the first level above the ground space: above zero, or where nothing is at zero above the lowest."""
    if any(kind.zero_modes for kind in census):
        return next((i for i, level in enumerate(levels) if level.number >= level.kind.zero_modes), None)
    lowest = levels[0].energy * (1 + _SAME)
    return next((i for i, level in enumerate(levels) if level.energy > lowest), None)


def _energies(levels: list[Level], k: int) -> NDArray[np.float64]:
    counts = np.array([min(level.count, k) for level in levels])
    return np.repeat([level.energy for level in levels], counts)[:k]


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
