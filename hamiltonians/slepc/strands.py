"""H for partial permutations: tridiagonal matrices on strands, worked on where they start; see `kernels`.

A strand belongs to the rank that holds its row at one clock time, chosen so that strands stay at home for long. While
it is there, its loops read and write the rank's rows in place. The rows of other ranks that it visits are fetched by
one PETSc scatter before the loops and taken back by its reverse after them: nothing is sent where no strand leaves, and
nothing at all on a single rank.

H_in adds 1 on clock 0 of every strand but x for a basis state x, which keeps H tridiagonal. For any other x it adds 1
on every strand and takes |x><x| off clock 0: with M' = M + |x><x|⊗|1><1|

    M⁻¹b = M'⁻¹b + c·M'⁻¹x,    c = <x|M'⁻¹b>/(1 - <x|M'⁻¹x>)                     (Sherman and Morrison)

where M'⁻¹ on clock 0 of strand s is 1/(1 + g_s), so that the denominator is Σ_s |x_s|² g_s/(1 + g_s) and loses no
digits. `solve` is exact for every H of this form. Strands belong to the rank of their first row then, where x acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.kernels import CELL, HOP
from hamiltonians.slepc import kernels
from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.kernels import Walks
from hamiltonians.slepc.layout import Layout, Vec, require_on_ranks
from hamiltonians.steps import CellSteps, ImageSteps

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.slepc.libraries import Libraries

_ROUNDING = 16  # times T√d epsilon: the norm that T steps keep, as in `hamiltonians.null_space`
# a visited row: its value, its row number, and PETSc's own tables and buffers, while the scatter is made
_BYTES_PER_VISIT = 60
_BYTES_PER_STRAND = 64
_SAMPLE = 257  # strands, and clock times, that are looked at to choose where strands belong


@final
class Strands(Frame):
    """Steps HOP, CELL, PARTIAL and PERMUTATION."""

    exact = True

    def __init__(self, H: ClockHamiltonian, libraries: Libraries, shift: float) -> None:
        super().__init__(H, libraries, shift)
        layout, N = self.layout, H.clock_states
        tables, way_out = _bytes_of_tables(H, layout.count), "use fewer ranks a machine or a smaller data space"
        require_on_ranks(libraries, tables, "the strands", way_out)
        self._walks = _walks_of(H, layout)
        if libraries.comm.size > 1 and (H.initial is None or _is_basis_state(H.initial)):
            self._walks = _at_home(self._walks, layout)
        self._lengths = np.empty(layout.count, np.int64)
        kernels.survey(self._walks, self._lengths)
        self._excess = np.empty((2, N))
        kernels.fill_excess(shift, self._excess)
        self._away, self._scatter = self._visits()
        self._find_ground_space()

    @staticmethod
    def bytes_per_rank(H: ClockHamiltonian, size: int) -> int:
        """A table of visits, at worst of all rows; a few numbers a strand; the completed images of partial steps."""
        strands = -(-H.d // size)
        visited = 0 if size == 1 else strands * H.clock_states
        if size > 1 and isinstance(H.steps, ImageSteps | CellSteps):
            visited = min(visited, (H.d - strands) * H.clock_states)
        elif size > 1:
            visited = 3 * H.clock_states  # the history, and a row of each strand that it crosses
        item = 2 * (H.dtype.itemsize - 8)  # complex numbers, in the array and while they are sent
        return visited * (_BYTES_PER_VISIT + item) + _bytes_of_tables(H, strands)

    @property
    def visits(self) -> int:
        """Rows of other ranks through which this rank's strands go."""
        return int(self._walks.visits[-1])

    # ---------------------------------------------------------------- construction

    def _visits(self) -> tuple[Vec, Any]:
        """The array of visited rows, and the scatter that fetches them; None where no strand leaves its rank."""
        PETSc, layout = self.libraries.PETSc, self.layout
        visits = self.visits
        needed = (_BYTES_PER_VISIT + 2 * (layout.dtype.itemsize - 8)) * visits
        way_out = "use fewer ranks, so that strands stay on them, or more machines"
        require_on_ranks(self.libraries, needed, "rows of other ranks that strands visit", way_out)
        away = PETSc.Vec().createMPI((visits, PETSc.DECIDE), comm=PETSc.COMM_WORLD)
        if layout.sum(visits) == 0:
            return away, None
        rows = np.empty(visits, PETSc.IntType)
        kernels.visited_rows(self._walks, rows)
        # PETSc takes a copy of the numbers: this one is let go before it makes its tables
        theirs = PETSc.IS().createGeneral(rows, comm=PETSc.COMM_SELF)
        del rows
        first, _ = away.getOwnershipRange()
        mine = PETSc.IS().createStride(visits, first, 1, comm=PETSc.COMM_SELF)
        x = self.vector()
        scatter = PETSc.Scatter().create(x, theirs, away, mine)
        for done in (theirs, mine, x):
            done.destroy()
        return away, scatter

    def _find_ground_space(self) -> None:
        """Which strands are pinned, and which hold a zero mode: all bonds and no pin, or all of x."""
        H, layout = self.H, self.layout
        whole = self._lengths == H.T
        self._pinned = np.zeros(layout.count, bool)
        self._x: NDArray[Any] | None = None  # this rank's part of an x that is no basis state
        self._kept: NDArray[Any] | None = None  # the same, a unit vector on whole strands, where it is a zero mode
        if H.initial is None:
            self._zero_modes = whole
            self.degeneracy = layout.sum(int(whole.sum()))
            return
        if _is_basis_state(H.initial):
            self._pinned[:] = H.initial[self._walks.starts] == 0
            self._zero_modes = whole & ~self._pinned
            self.degeneracy = layout.sum(int(self._zero_modes.sum()))
            return
        self._pinned[:] = True
        self._x = H.initial[layout.own].astype(layout.dtype)
        self._zero_modes = whole
        kept = np.where(whole, self._x, 0)
        norm = float(np.sqrt(layout.sum(_square(kept))))
        tolerance = _ROUNDING * H.T * np.sqrt(H.d) * H.steps.epsilon
        self.degeneracy = int(1 - norm <= tolerance)
        if self.degeneracy:
            self._kept = kept / norm
        ends = np.where(whole, 0, 1)
        g = self._excess[ends, self._lengths]
        self._denominator = layout.sum(float(np.sum(np.abs(self._x) ** 2 * g / (1 + g))))

    # ---------------------------------------------------------------- strands and rows

    def _fetch(self, x: Vec) -> None:
        if self._scatter is not None:
            self._scatter.scatter(x, self._away)

    def _take_back(self, x: Vec) -> None:
        if self._scatter is not None:
            self._scatter.scatter(self._away, x, mode="reverse")

    def _in_place(self, kernel: Callable[..., None], x: Vec, *given: Any) -> None:
        self._fetch(x)
        kernel(self._walks, *given, x.getArray(), self._away.getArray())
        self._take_back(x)

    def _between(self, kernel: Callable[..., None], x: Vec, y: Vec, *given: Any) -> None:
        self._fetch(x)
        kernel(self._walks, *given, x.getArray(readonly=True), y.getArray(), self._away.getArray())
        self._take_back(y)

    def _read(self, kernel: Callable[..., Any], x: Vec, *given: Any) -> Any:
        self._fetch(x)
        return kernel(self._walks, *given, x.getArray(readonly=True), self._away.getArray())

    def _along_initial(self, x: Vec) -> NDArray[Any]:
        """|x><x| of H_in on clock 0, where H_in is more than pins; else zeros."""
        if self._x is None:
            return np.zeros(self.layout.count, self.layout.dtype)
        return self._x * self.layout.sum(np.vdot(self._x, self.layout.at_first_clock(x)))

    # ---------------------------------------------------------------- the frame

    def apply(self, x: Vec, y: Vec) -> None:
        """Three terms a row."""
        self._between(kernels.apply_strands, x, y, self._pinned, self._along_initial(x))

    def solve(self, b: Vec, x: Vec) -> None:
        """LDL† on every strand, and where H_in is no pin the response to it."""
        self._between(kernels.solve_strands, b, x, self._pinned, self._excess)
        if self._x is not None:
            source = self._along_initial(x) / self._denominator
            self._in_place(kernels.add_response, x, source, self._lengths, self._excess)

    def remove_ground(self, x: Vec) -> None:
        """The mean of each strand that holds a zero mode, or the overlap with the history of x."""
        if self.degeneracy == 0:
            return
        if self._x is None:
            self._in_place(kernels.remove_means, x, self._zero_modes)
            return
        assert self._kept is not None
        means = np.empty_like(self._kept)
        self._read(kernels.strand_means, x, self._zero_modes, means)
        self._in_place(kernels.add_constants, x, -self._kept * self.layout.sum(np.vdot(self._kept, means)))

    def ground_vectors(self, count: int, seed: int) -> Iterator[Vec]:  # noqa: ARG002 - nothing is left to chance
        """Histories of basis states, N non-zero rows each, or that of x."""
        if self._kept is not None:
            yield from (self._history(self._kept) for _ in range(min(count, 1)))
            return
        for start in self._first_zero_modes(count):
            yield self._history((self._walks.starts == start).astype(self.layout.dtype))

    def bonds(self, x: Vec) -> float:
        """A sum of squares on the strands, and that of (I - |x><x|)ψ_1 where x is no basis state."""
        pinned = np.zeros_like(self._pinned) if self._x is not None else self._pinned
        squares = float(self._read(kernels.bond_squares, x, pinned))
        if self._x is not None:
            squares += _square(self.layout.at_first_clock(x) - self._along_initial(x))
        return float(self.layout.sum(squares))

    def residual(self, x: Vec, energy: float) -> float:
        """Nothing as long as x is stored."""
        square = self._read(kernels.residual_square, x, self._pinned, self._along_initial(x), energy)
        return float(np.sqrt(self.layout.sum(float(square))))

    def _history(self, start: NDArray[Any]) -> Vec:
        x = self.vector()
        self._in_place(kernels.add_constants, x, start / np.sqrt(self.H.clock_states))
        return x

    def _first_zero_modes(self, count: int) -> list[int]:
        """Where strands with a zero mode start: a machine's inputs first, then the others in order."""
        inputs = {} if self.H.readout is None else dict.fromkeys(self.H.readout.starts.values())
        own = np.sort(self._walks.starts[self._zero_modes])
        mine = own[np.isin(own, list(inputs))].tolist(), own[: count + len(inputs)].tolist()
        gathered = self.libraries.comm.allgather(mine)
        whole = {start for starts, _ in gathered for start in starts}
        first = [start for start in inputs if start in whole]
        others = sorted(start for _, lowest in gathered for start in lowest if start not in whole)
        return (first + others)[:count]


def _walks_of(H: ClockHamiltonian, layout: Layout) -> Walks:
    steps, data = H.steps, H.steps.data()
    moves, places, base = np.empty((0, 4), np.int64), np.empty(0, np.int64), 1
    images = np.empty((0, 0), np.int32)
    if isinstance(steps, CellSteps):
        base = steps.base
        places = np.array([base ** (steps.cells - 1 - c) for c in range(steps.cells)], np.int64)
        place, read, write = steps.ints[:, 0], steps.ints[:, 1], steps.ints[:, 2]
        moves = np.stack([steps.cell.astype(np.int64), read, write, (write - read) * place], axis=1)
    elif isinstance(steps, ImageSteps):
        images = data.images
        if not steps.unitary:
            images = np.where(images < 0, -1 - steps.completed().images, images).astype(np.int32, copy=False)
    starts, visits = np.arange(layout.first, layout.first + layout.count), np.zeros(layout.count + 1, np.int64)
    rows = layout.clock_states, layout.first, layout.count
    return Walks(data.kind, moves, places, base, images, *rows, starts, visits)


def _at_home(walks: Walks, layout: Layout) -> Walks:
    """The same with strands that belong to the rank of their data state at the best of some clock times.

    The best is that at which the most rows of a sample of strands, at these clock times, are on the rank where the
    strand is then. The sample is the same on every rank.
    """
    sample = np.unique(np.linspace(0, layout.d - 1, _SAMPLE).astype(np.int64))
    clocks = np.unique(np.linspace(0, walks.clock_states - 1, _SAMPLE).astype(np.int64))
    data = np.empty((len(sample), len(clocks)), np.int64)
    kernels.data_states(walks._replace(starts=sample), clocks, data)
    ranks = layout.rank_of(data)
    at_home = [np.count_nonzero(ranks == ranks[:, i, None]) for i in range(len(clocks))]
    best = int(clocks[int(np.argmax(at_home))])
    if walks.kind in (HOP, CELL):
        starts = walks.starts.copy()
        kernels.carry_back(walks, best, starts)
        return walks._replace(starts=starts)
    states = np.arange(layout.d)
    for images in walks.images[:best]:
        after = images[states]
        states = np.where(after < 0, -1 - after, after)
    return walks._replace(starts=np.argsort(states)[layout.own])


def _bytes_of_tables(H: ClockHamiltonian, strands: int) -> int:
    """Numbers of the strands, pivots, lanes, and the completed images of partial steps while they are made."""
    N = H.clock_states
    lanes = min(kernels.LANES * N, max(N, kernels.IN_CACHE))
    partial = isinstance(H.steps, ImageSteps) and not H.steps.unitary
    images = 3 * H.steps.bytes_per_vector_step if partial else 0
    return _BYTES_PER_STRAND * strands + 40 * N + (9 + H.dtype.itemsize) * lanes + images


def _is_basis_state(x: NDArray[Any]) -> bool:
    return np.count_nonzero(x) == 1


def _square(x: NDArray[Any]) -> float:
    return float(np.vdot(x, x).real)


__all__ = ["Strands"]
