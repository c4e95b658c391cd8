"""Krylov-Schur with shift-and-invert outside the ground space, repeated until no copy of an eigenvalue is missing.

A Krylov space holds one vector of a multiple eigenvalue. What was found is therefore deflated and the search repeated
until nothing new lies below the highest energy wanted. Levels that are too close for a short basis show by many
restarts, and get a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from hamiltonians.errors import MemoryEstimateError
from hamiltonians.progress import Progress
from hamiltonians.slepc.agreement import at_rank_0
from hamiltonians.slepc.checkpoint import Checkpoint
from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.layout import Vec, require_on_ranks
from hamiltonians.slepc.shells import ShiftInvert, operator

#: vectors in the basis beside the wanted ones. The memory of a search is its basis. Energies of a path grow like j², so
#: that the inverse separates them well: bases from 6 to 20 vectors take about as many inverses, shorter ones more
SPARE_VECTORS = 5
#: restarts of one basis: levels of paths take 5, most of contractions up to 30. Closer levels take thousands of a short
#: basis and few of a longer one: its spare vectors are doubled then, up to so many
_RESTARTS = 32
_MOST_SPARE = 160
_KEPT = 0.5  # SLEPc's part of the basis that a restart keeps beside the converged vectors
_SAME = 1e-9  # two energies closer than this, relatively, are copies of one eigenvalue
_LARGEST = 8.0  # an energy above ‖H‖ ≤ 5 comes from what the inverse was kept out of, where it is zero
_PIECE = 2**20  # random numbers at a time, so that they take no second vector
_RESIDUAL = 1e-10  # energies up to 1e4 times the gap meet what counts as converged
_FEW_ROWS = 4  # times the basis: with fewer rows LAPACK takes H as a dense matrix


def basis_size(count: int) -> int:
    """Vectors of the first basis for `count` eigenpairs."""
    return count + SPARE_VECTORS


def is_dense(dimension: int, count: int) -> bool:
    """Whether there are fewer rows than a Krylov space needs."""
    return dimension < _FEW_ROWS * basis_size(count)


@dataclass(frozen=True)
class Pair:
    """An eigenvector of norm 1 and its energy ‖Bψ‖²."""

    energy: float
    vector: Vec


@final
@dataclass
class Search:
    """The lowest eigenpairs above the ground space.

    Attributes
    ----------
    found : eigenpairs so far, ascending after `lowest`.
    searched : for how many eigenpairs the search has ended.
    start : where the next basis begins, None for a random vector.
    spare : vectors in it beside the wanted ones.
    restarts, restarts_before : of the basis, in all and before the checkpoint that the search goes on from.
    basis : vectors of the longest basis.
    failure : why the method did not converge, if so.
    """

    frame: Frame
    inverse: ShiftInvert
    seed: int
    progress: Progress
    checkpoint: Checkpoint | None = None
    found: list[Pair] = field(default_factory=list)
    searched: int = 0
    start: Vec | None = None
    spare: int = field(default_factory=lambda: SPARE_VECTORS)
    restarts: int = 0
    restarts_before: int = 0
    basis: int = 0
    failure: str | None = None
    _rounds: int = 0

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one."""
        saved = None if self.checkpoint is None else self.checkpoint.load()
        if saved is None:
            return
        if saved.searched:
            self.found = [Pair(self.frame.bonds(x), x) for x in saved.found]
        else:  # some may come from a basis
            self.inverse.prepare()
            self.found = self._polished(saved.found)
        self.found.sort(key=lambda pair: pair.energy)
        self.searched, self.restarts, self.restarts_before = saved.searched, saved.restarts, saved.restarts
        if saved.ritz:
            self.start = _normalised_sum(saved.ritz)

    def lowest(self, count: int) -> list[Pair]:
        """The `count` lowest, ascending; fewer where there are no more, or where `failure` says why."""
        if self.searched >= count:
            return self.found[:count]
        if is_dense(self.frame.H.dimension, count):
            self.found = self._of_few_rows(count)
        else:
            self._search(count)
        if self.failure is None:  # else the last checkpoint holds more, the basis too
            self.searched = count
            self._save()
        return self.found[:count]

    def _search(self, count: int) -> None:
        while self.failure is None:
            missing = count - len(self.found)
            if missing <= 0 and count == 1:
                return  # a random start has a part in every eigenspace, and the lowest energy converges first
            new, ended = self._round(max(missing, 1))
            if missing <= 0:
                new = self._below(new, self.found[count - 1].energy * (1 - _SAME))
            if ended and not new:
                return
            self.found = sorted([*self.found, *new], key=lambda pair: pair.energy)
            for pair in self.found[count:]:
                pair.vector.destroy()
            del self.found[count:]
            if self.failure is None and self.checkpoint is not None and self.checkpoint.due():
                self._save()

    @staticmethod
    def _below(pairs: list[Pair], energy: float) -> list[Pair]:
        for pair in pairs:
            if pair.energy >= energy:
                pair.vector.destroy()
        return [pair for pair in pairs if pair.energy < energy]

    def _round(self, wanted: int) -> tuple[list[Pair], bool]:
        """One basis, restarted until `wanted` eigenpairs outside what was found have converged: those, and whether all
        have; else the next basis is longer."""
        self.inverse.prepare()
        eps = self._solver(wanted)
        try:
            eps.setDeflationSpace([pair.vector for pair in self.found])
            start, self.start = self.start or self._random_start(), None
            eps.setInitialSpace([start])
            eps.setMonitor(self._monitor)
            eps.setUp()
            start.destroy()  # the basis has a copy
            eps.solve()
            vectors = self._converged(eps)
            ended = int(eps.getConvergedReason()) > 0 or len(vectors) >= wanted
        finally:  # also where a checkpoint cannot be written: PETSc must not be left with it at the end of the process
            eps.destroy()
        if not ended:
            self._lengthen(wanted, f"Krylov-Schur found {len(vectors)} of {wanted} eigenpairs")
        return self._polished(vectors), ended

    def _lengthen(self, wanted: int, told: str) -> None:
        """Twice as many spare vectors in the next basis, if they fit; else the search has failed."""
        told = f"{told} with a basis of {self._basis_size(wanted)} vectors"
        if self.spare >= _MOST_SPARE:
            self.failure = told
            return
        self.spare *= 2
        layout, basis = self.frame.layout, self._basis_size(wanted)
        needed = basis * layout.count * layout.clock_states * layout.dtype.itemsize
        try:
            require_on_ranks(self.frame.libraries, needed, f"a basis of {basis} vectors", "start on more machines")
        except MemoryEstimateError as error:
            self.failure = f"{told}, and more do not fit: {error}"

    def _basis_size(self, wanted: int) -> int:
        return min(wanted + self.spare, self.frame.H.dimension)

    def _converged(self, eps: Any) -> list[Vec]:
        vectors = []
        for i in range(eps.getConverged()):
            x = self.frame.vector()
            energy = complex(eps.getEigenpair(i, x)).real
            if -self.frame.shift < energy < _LARGEST:
                vectors.append(x)
            else:
                x.destroy()
        return vectors

    def _polished(self, vectors: list[Vec]) -> list[Pair]:
        """One more inverse for each, after which the residual of Hψ is `tolerance` times the energy; orthonormal."""
        pairs: list[Pair] = []
        for x in vectors:
            y = self.frame.vector()
            self.inverse.apply(None, x, y)
            x.destroy()
            for known in [*self.found, *pairs]:
                y.axpy(-y.dot(known.vector), known.vector)
            pairs.append(self._pair(y))
        return pairs

    def _solver(self, wanted: int) -> Any:
        PETSc, SLEPc = self.frame.libraries.PETSc, self.frame.libraries.SLEPc
        eps = SLEPc.EPS().create(PETSc.COMM_WORLD)
        eps.setOperators(operator(self.frame))
        eps.setProblemType(SLEPc.EPS.ProblemType.HEP)
        eps.setType(SLEPc.EPS.Type.KRYLOVSCHUR)
        eps.setKrylovSchurRestart(_KEPT)
        basis = self._basis_size(wanted)
        self.basis = max(self.basis, basis)
        eps.setDimensions(wanted, basis, basis)
        eps.setTolerances(self.tolerance, _RESTARTS)
        eps.setTarget(-self.frame.shift)
        eps.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
        st = eps.getST()
        st.setType(SLEPc.ST.Type.SINVERT)
        st.setMatMode(SLEPc.ST.MatMode.SHELL)
        ksp = st.getKSP()
        ksp.setType("preonly")
        ksp.getPC().setType("python")
        ksp.getPC().setPythonContext(self.inverse)
        return eps

    @property
    def tolerance(self) -> float:
        """Residual r of an eigenpair of the inverse, relative to its eigenvalue θ = 1/(E + shift).

        With (H + shift)⁻¹ψ = θψ + R, ‖R‖ ≤ rθ, the polished vector φ = (H + shift)⁻¹ψ/θ = ψ + R/θ has
        (H + shift)φ = ψ/θ = (E + shift)(φ - R/θ): a residual of at most r(E + shift), where 1e-6 of the gap counts as
        converged, and an energy that is off by its square. An inverse that has rounding of its own is not asked for
        less than that.
        """
        return max(_RESIDUAL, self.inverse.rounding)

    def _monitor(self, eps: Any, its: int, converged: int, _eigenvalues: Any, _errors: Any) -> None:
        self.restarts += 1
        found = len(self.found)
        if self.frame.libraries.comm.rank == 0:
            self.progress(f"{found + converged} eigenpairs converged, restart", its, None)
        if self.checkpoint is None or int(eps.getConvergedReason()) != 0 or not self.checkpoint.due():
            return  # at the end only what has converged is turned into eigenvectors; `lowest` saves that
        # SLEPc keeps so many beside the converged ones, and has just turned them into Ritz vectors
        size = eps.getDimensions()[1]
        ritz = max(1, int((size - converged) * _KEPT))
        basis = _columns(eps.getBV(), converged + ritz)
        vectors = (v for part in ((pair.vector for pair in self.found), basis) for v in part)
        self.checkpoint.save(vectors, found + converged, ritz, 0, self.restarts)

    def _save(self) -> None:
        if self.checkpoint is not None:
            vectors = (pair.vector for pair in self.found)
            self.checkpoint.save(vectors, len(self.found), 0, self.searched, self.restarts)

    def _of_few_rows(self, count: int) -> list[Pair]:
        """By LAPACK on rank 0, in place of a Krylov space that would hold all of the vectors."""
        H, wanted = self.frame.H, slice(self.frame.degeneracy, self.frame.degeneracy + count)
        vectors = at_rank_0(self.frame.libraries.comm, lambda: np.linalg.eigh(H.to_sparse().toarray())[1][:, wanted])
        pairs = []
        for column in vectors.T:
            x = self.frame.vector()
            x.setArray(column[slice(*x.getOwnershipRange())])
            pairs.append(self._pair(x))
        return sorted(pairs, key=lambda pair: pair.energy)

    def _pair(self, x: Vec) -> Pair:
        self.frame.remove_ground(x)
        x.normalize()
        return Pair(self.frame.bonds(x), x)

    def _random_start(self) -> Vec:
        """The same vector for any number of ranks."""
        self._rounds += 1
        x = self.frame.vector()
        first, last = x.getOwnershipRange()
        numbers = np.random.PCG64([self.seed, self._rounds]).advance(first)  # one draw a row
        for piece in np.array_split(x.getArray(), 1 + (last - first) // _PIECE):
            piece[:] = np.random.Generator(numbers).random(len(piece)) - 0.5
        self.frame.remove_ground(x)
        return x


def _columns(basis: Any, count: int) -> Iterator[Vec]:
    for i in range(count):
        column = basis.getColumn(i)
        yield column
        basis.restoreColumn(i, column)


def _normalised_sum(vectors: list[Vec]) -> Vec | None:
    total, *others = vectors
    for other in others:
        total.axpy(1.0, other)
    return None if total.normalize() == 0 else total


__all__ = ["SPARE_VECTORS", "Pair", "Search", "basis_size", "is_dense"]
