"""The lowest levels of a direct sum of paths, from how many paths there are of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hamiltonians import paths
from hamiltonians.paths import PathKind
from hamiltonians.solve import Request
from hamiltonians.solvers.inverse import RELATIVE_ERROR

Census = dict[PathKind, int]


@final
@dataclass(frozen=True)
class Level:
    """Eigenvalue number `number` of every path of one kind, so many times in the spectrum."""

    energy: float
    kind: PathKind
    number: int
    count: int


def lowest_levels(census: Census, request: Request) -> list[Level]:
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


def _needed(census: Census, levels: list[Level], k: int) -> tuple[list[Level], float]:
    """The levels up to the k-th energy and the first above the ground space, and what ends them (inf if too few)."""
    above = len(ground_levels(census, levels))
    if above == len(levels):
        return levels, np.inf
    total = np.cumsum([level.count for level in levels], dtype=object)
    last = max(above, next((i for i, so_far in enumerate(total) if so_far >= k), len(levels)))
    return (levels, np.inf) if last == len(levels) else (levels[: last + 1], levels[last].energy)


def ground_levels(census: Census, levels: list[Level]) -> list[Level]:
    """The first levels, those of the ground space: at zero, or where nothing is at zero the lowest one."""
    if any(kind.zero_modes for kind in census):
        return [level for level in levels if level.number < level.kind.zero_modes]
    return [level for level in levels if level.energy <= levels[0].energy * (1 + RELATIVE_ERROR)]


def energies_of(levels: list[Level], k: int) -> NDArray[np.float64]:
    """The k lowest energies, each as often as it occurs."""
    counts = np.array([min(level.count, k) for level in levels])
    return np.repeat([level.energy for level in levels], counts)[:k]
