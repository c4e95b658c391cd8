"""H as the direct sum of its connected components, exactly.

For partial permutations every component is a path along the clock, so that a census - how many paths of which length
with which ends - is the whole spectrum. In `tape` space the census is taken by counting, without visiting |Σ|^cells
strings. For other steps the components are those of the matrix's graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import final

import numpy as np
import scipy.sparse as sp
from numba import njit
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from hamiltonians import kernels, state
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.memory import in_figures, require_memory
from hamiltonians.paths import PathKind, eigenvector
from hamiltonians.steps import CellSteps, HistorySteps

Start = tuple[int, int]  # data state and clock time of a path's first node


@final
@dataclass(frozen=True)
class Paths:
    """Components that are all paths.

    Attributes
    ----------
    H : the Hamiltonian.
    census : how many paths there are of every kind; lengths times counts add up to the dimension.
    """

    H: ClockHamiltonian
    census: dict[PathKind, int]

    @property
    def zero_modes(self) -> int:
        """Dimension of the ground space: the full paths."""
        return sum(count * kind.zero_modes for kind, count in self.census.items())

    def starts(self, kind: PathKind, count: int) -> list[Start]:
        """The first nodes of up to `count` paths of one kind, those of the machine's own histories first."""
        first: list[Start] = []
        if kind.walls == 0 and self.H.readout is not None:
            first = [(x, 0) for x in self.H.readout.starts.values()]
        return list(islice(_unique(first, _starts(self.H, kind, count + len(first))), count))

    def rows(self, kind: PathKind, start: Start) -> NDArray[np.int64]:
        """Row numbers of a path, in order of the clock."""
        return state.walk(self.H, *start, kind.m)


@final
@dataclass(frozen=True)
class Blocks:
    """Components of a general H as row numbers and the matrix itself."""

    H: ClockHamiltonian
    matrix: sp.csr_array
    rows: tuple[NDArray[np.int64], ...]

    def block(self, i: int) -> sp.csr_array:
        """H restricted to component i."""
        return self.matrix[self.rows[i]][:, self.rows[i]]


Components = Paths | Blocks


def is_path_like(H: ClockHamiltonian) -> bool:
    """Whether H falls apart into paths: partial permutations, and an H_in on a basis state if any."""
    return H.steps.monomial and (H.initial is None or np.count_nonzero(H.initial) == 1)


def components_of(H: ClockHamiltonian) -> Components:
    """`ClockHamiltonian.restricted`, see there.

    Raises
    ------
    MemoryEstimateError : a general H does not fit as a matrix.
    """
    if not is_path_like(H):
        matrix = H.to_sparse()
        pattern = sp.csr_array((matrix.data != 0, matrix.indices, matrix.indptr), shape=matrix.shape)
        _, labels = connected_components(pattern, directed=False)
        order = np.argsort(labels, kind="stable")
        rows = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        return Blocks(H, matrix, tuple(rows))
    census = _census(H)
    counted = sum(kind.m * count for kind, count in census.items())
    if counted != H.dimension:  # an exact identity between integers: a failure would be a defect of the census
        raise ArithmeticError(f"the paths hold {in_figures(counted)} rows, but H has {in_figures(H.dimension)}")
    return Paths(H, census)


def project_on_full_paths(parts: Paths, psi: state.SparseState) -> state.SparseState:
    """P ψ for a superposition of histories: its part along the zero mode of every full path it touches at clock 0."""
    H = parts.H
    kind = PathKind(H.clock_states, False, False)
    zero_mode = eigenvector(kind, 0.0)
    projections = []
    for x in psi.clock_slice(H, 0)[0].tolist():
        rows = state.try_walk(H, x, 0, kind.m)
        if len(rows) < kind.m or pinned_state(H) not in (-1, x):
            continue
        at = np.searchsorted(psi.indices, rows)
        found = psi.indices[np.minimum(at, len(psi.indices) - 1)] == rows
        values = np.where(found, psi.values[np.minimum(at, len(psi.indices) - 1)], 0)
        order = np.argsort(rows)
        projections.append(state.SparseState(rows[order], (zero_mode * np.vdot(zero_mode, values))[order]))
    if not projections:
        return state.SparseState(psi.indices[:0], psi.values[:0])
    indices = np.concatenate([p.indices for p in projections])
    order = np.argsort(indices)
    return state.SparseState(indices[order], np.concatenate([p.values for p in projections])[order])


def pinned_state(H: ClockHamiltonian) -> int:
    """The basis state x of H_in, or -1 without H_in."""
    return -1 if H.initial is None else int(np.flatnonzero(H.initial)[0])


def _census(H: ClockHamiltonian) -> dict[PathKind, int]:
    if isinstance(H.steps, HistorySteps) and H.initial is None:
        return _history_census(H.T)
    if isinstance(H.steps, CellSteps) and H.initial is None:
        return _TapeCensus(H, H.steps).count()
    return _swept_census(H)


def _starts(H: ClockHamiltonian, kind: PathKind, count: int) -> Iterator[Start]:
    if isinstance(H.steps, HistorySteps) and H.initial is None:
        return _history_starts(H.T, kind)
    if isinstance(H.steps, CellSteps) and H.initial is None:
        return _TapeCensus(H, H.steps).starts(kind)
    found = np.empty((count, 2), np.int64)
    _, number = _sweep_census(H.steps.data(), H.d, H.T, pinned_state(H), found, kind.m, kind.wall_first, kind.wall_last)
    return iter([(int(x), int(j)) for x, j in found[:number]])


# -------------------------------------------------------------------------------- `configuration` space


def _history_census(T: int) -> dict[PathKind, int]:
    """The history's path, and (T+1)² - (T+1) rows on their own: T at either clock end, T at every time between."""
    census = Counter({PathKind(T + 1, False, False): 1})
    if T:
        census[PathKind(1, False, True)] += T
        census[PathKind(1, True, False)] += T
        if T > 1:
            census[PathKind(1, True, True)] += (T - 1) * T
    return dict(census)


def _history_starts(T: int, kind: PathKind) -> Iterator[Start]:
    if kind == PathKind(T + 1, False, False):
        yield 0, 0
    elif kind.m == 1:
        clocks = {(False, True): range(1), (True, False): range(T, T + 1), (True, True): range(1, T)}
        for j in clocks[kind.wall_first, kind.wall_last]:
            yield from ((x, j) for x in range(T + 1) if x != j)


# -------------------------------------------------------------------------------- `tape` space


class _TapeCensus:
    """Counts paths by which cells hold a wrong symbol.

    Let `order(a)` be the cells that are read at clock a or later, in order of their next reading. A tape string at
    clock a follows the run until the first reading of a cell whose symbol is not what the run has there: if that is
    the k-th cell of order(a), read at step b, the path ends at clock b. It began at clock a > 0 iff the cell written
    by step a - 1 differs from what was written. So a path is: a, the first wrong cell, and any symbols on the cells
    behind it.
    """

    def __init__(self, H: ClockHamiltonian, steps: CellSteps) -> None:
        self._base, self._cells, self._steps, self._T = steps.base, steps.cells, steps, H.T

    def _orders(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """(a, order(a), clock of the next reading of each), from a = T down to 0."""
        order: list[int] = []
        next_reading: dict[int, int] = {}
        yield self._T, [], []
        for a in range(self._T - 1, -1, -1):
            cell = int(self._steps.cell[a])
            if cell in next_reading:
                order.remove(cell)
            order.insert(0, cell)
            next_reading[cell] = a
            yield a, order, [next_reading[c] for c in order]

    def count(self) -> dict[PathKind, int]:
        """The census."""
        census: Counter[PathKind] = Counter()
        wrong, T, cells = self._base - 1, self._T, self._cells
        for a, order, reading in self._orders():
            origin = int(self._steps.cell[a - 1]) if a else None  # the cell that must be wrong
            for k, (cell, b) in enumerate(zip(order, reading, strict=True)):
                fixed = k + 1 + (origin is not None and cell != origin)  # right ones, the wrong one, the origin
                ways = wrong * self._base ** (cells - fixed) * (wrong if fixed > k + 1 else 1)
                census[PathKind(b - a + 1, a > 0, True)] += ways
                if cell == origin:
                    break
            else:
                free = cells - len(order) - (origin is not None)
                ways = self._base**free * (1 if origin is None else wrong)
                census[PathKind(T - a + 1, a > 0, False)] += ways
        return {kind: count for kind, count in census.items() if count}

    def starts(self, kind: PathKind) -> Iterator[Start]:
        """Every path of a kind; symbols that are free run through the alphabet."""
        for a, order, reading in self._orders():
            if (a > 0) != kind.wall_first:
                continue
            origin = int(self._steps.cell[a - 1]) if a else None
            right = {c: int(self._steps.read[b]) for c, b in zip(order, reading, strict=True)}
            if not kind.wall_last:
                if kind.m == self._T - a + 1 and origin not in right:
                    yield from self._strings(a, right, len(order), origin)
                continue
            b = a + kind.m - 1
            k = reading.index(b) if b in reading else None
            if k is not None and (origin not in order[:k]):
                yield from self._strings(a, {c: right[c] for c in order[: k + 1]}, k, origin)

    def _strings(self, a: int, right: dict[int, int], k: int, origin: int | None) -> Iterator[Start]:
        """Strings at clock a: the first k cells of `right` as they are, the next one wrong, the origin wrong."""
        excluded = {c: s for i, (c, s) in enumerate(right.items()) if i >= k}
        if origin is not None:
            excluded[origin] = int(self._steps.write[a - 1])
        fixed = dict(islice(right.items(), k))
        choices = [
            [fixed[c]] if c in fixed else [s for s in range(self._base) if s != excluded.get(c)]
            for c in range(self._cells)
        ]
        for string in product(*choices):
            data = 0
            for symbol in string:
                data = data * self._base + symbol
            yield data, a


# -------------------------------------------------------------------------------- tables of images


def _swept_census(H: ClockHamiltonian) -> dict[PathKind, int]:
    H.require_row_numbers()
    require_memory(40 * H.d + 40 * H.T, f"a sweep over {in_figures(H.d)} data states", "choose a smaller data space")
    nothing = np.empty((0, 2), np.int64)
    counts, _ = _sweep_census(H.steps.data(), H.d, H.T, pinned_state(H), nothing, 0, False, False)
    first, last, length = np.nonzero(counts)
    return {
        PathKind(int(m), bool(f), bool(b)): int(counts[f, b, m]) for f, b, m in zip(first, last, length, strict=True)
    }


@njit(cache=True)
def _sweep_census(steps, d, T, pinned, found, m, wall_first, wall_last):  # type: ignore[no-untyped-def]
    """Counts [wall first, wall last, length], and the starts of paths of one kind as far as `found` holds them."""
    counts = np.zeros((2, 2, T + 2), np.int64)
    number = 0
    origin = np.arange(d)
    begun = np.zeros(d, np.int64)
    following, follows = np.empty(d, np.int64), np.empty(d, np.int64)
    for j in range(T + 1):
        following[:] = -1
        for x in range(d):
            y = kernels.image(steps, j, x) if j < T else -1
            if y >= 0:
                following[y] = origin[x]
                follows[y] = begun[x]
                continue
            first = begun[x] > 0 or (pinned >= 0 and origin[x] != pinned)
            length = j - begun[x] + 1
            counts[int(first), int(j < T), length] += 1
            if length == m and first == wall_first and (j < T) == wall_last and number < len(found):
                found[number, 0], found[number, 1] = origin[x], begun[x]
                number += 1
        for x in range(d):
            if following[x] >= 0:
                origin[x], begun[x] = following[x], follows[x]
            else:
                origin[x], begun[x] = x, j + 1
    return counts, number


def _unique(first: list[Start], rest: Iterator[Start]) -> Iterator[Start]:
    yield from first
    seen = set(first)
    yield from (s for s in rest if s not in seen)


__all__ = ["Blocks", "Components", "PathKind", "Paths", "components_of", "is_path_like", "pinned_state"]
