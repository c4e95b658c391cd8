"""H for gates and matrices: sweeps along the clock, one distributed d×d matrix U_j at a time.

Vectors are turned to clock-major order first, so that the data vector of one clock time is contiguous on each rank;
PETSc's products with U_j and U_j† carry what other ranks need. M = H + shift is factorised in blocks of one clock time,

    M = L D L†,    L_{j+1,j} = -U_j D_j⁻¹,    D_{j+1} = n_{j+1} + shift - U_j D_j⁻¹ U_j†

with n_j the number of terms that touch clock j. For unitary steps D_j is a number times I, and `solve` is exact. H_in
is then a response added by the formula of Sherman and Morrison (see `strands`): M⁻¹ takes x nowhere but along its
history U_j…U_1 x. For other contractions D_j is replaced by the diagonal that follows from the diagonal before it,

    D_{j+1} = n_{j+1} + shift - |U_j|² D_j⁻¹        (|U|² entry by entry),

which is positive as no row of a contraction is longer than 1, exact for partial permutations and for unitary steps, and
an approximation of M otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hamiltonians.kernels import transpose
from hamiltonians.null_space import ground_space
from hamiltonians.slepc.frame import Frame
from hamiltonians.slepc.kernels import fill_excess
from hamiltonians.slepc.layout import Mat, Vec, require_on_ranks
from hamiltonians.slepc.matrix import rows_of_step

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.slepc.libraries import Libraries


@final
class Stages(Frame):
    """Steps GATE and MATRIX."""

    def __init__(self, H: ClockHamiltonian, libraries: Libraries, shift: float) -> None:
        super().__init__(H, libraries, shift)
        layout = self.layout
        needed = self.bytes_per_rank(H, libraries.comm.size)
        require_on_ranks(libraries, needed, "the steps as distributed matrices", "use more machines or fewer qubits")
        self._given, self._moved = layout.data_vector(), layout.data_vector()
        self._steps = [self._distributed(rows_of_step(H.steps, j, layout)) for j in range(H.T)]
        self._X = np.empty((H.clock_states, layout.count), layout.dtype)  # a vector in clock-major order
        self._x = None if H.initial is None else H.initial[layout.own].astype(layout.dtype)
        self._excess = np.empty((2, H.clock_states))
        fill_excess(shift, self._excess)
        self.exact = H.steps.unitary
        self._inverse_pivots = self._pivots_of_unitary() if self.exact else self._pivots_by_diagonals()
        self._find_ground_space()

    @staticmethod
    def bytes_per_rank(H: ClockHamiltonian, size: int) -> int:
        """A vector in clock-major order, a second one for pivots of what is not unitary, and the steps' entries."""
        vectors = 1 if H.steps.unitary else 2
        # a value, an index and what PETSc keeps a row; on several ranks what comes from others too: measured
        entry = H.dtype.itemsize + (16 if size == 1 else 36)
        return -(-H.d // size) * H.clock_states * H.dtype.itemsize * vectors + entry * -(-H.steps.nnz // size)

    # ---------------------------------------------------------------- construction

    def _distributed(self, rows: sp.csr_array) -> Mat:
        PETSc, layout = self.libraries.PETSc, self.layout
        size = layout.count, layout.d
        csr = rows.indptr.astype(PETSc.IntType), rows.indices.astype(PETSc.IntType), rows.data.astype(layout.dtype)
        U = PETSc.Mat().createAIJ((size, size), csr=csr, comm=PETSc.COMM_WORLD)
        U.assemble()
        return U

    def _pivots_of_unitary(self) -> NDArray[np.float64]:
        """(N, 1): a pivot is a number. H_in counts as a pin of everything; the rest of it is the response."""
        pivots = self._excess[0 if self._x is None else 1].copy()
        pivots[:-1] += 1
        return 1 / pivots[:, None]

    def _pivots_by_diagonals(self) -> NDArray[np.float64]:
        """(N, count): excess over 1 first, which is never negative, as in `kernels`."""
        T, layout = self.H.T, self.layout
        excess = np.empty((T + 1, layout.count))
        excess[0] = self.shift + (0 if self._x is None else np.maximum(1 - np.abs(self._x) ** 2, 0))
        for j in range(T):
            squares = rows_of_step(self.H.steps, j, layout)
            squares = sp.csr_array((np.abs(squares.data) ** 2, squares.indices, squares.indptr), shape=squares.shape)
            lost = np.maximum(1 - np.asarray(squares.sum(axis=1)).reshape(-1), 0)
            U = self._distributed(squares)
            before, moved = (excess[j] / (1 + excess[j])).astype(layout.dtype), np.empty(layout.count, layout.dtype)
            self._multiply(U.mult, before, moved)
            U.destroy()
            excess[j + 1] = self.shift + lost + moved.real
        excess[:-1] += 1
        return 1 / excess

    def _find_ground_space(self) -> None:
        """The degeneracy, and this rank's rows of the data vectors: (count, degeneracy), or None for all of them."""
        H, layout = self.H, self.layout
        if H.initial is None and not H.steps.unitary:
            dense = 5 * H.d**2 * H.dtype.itemsize  # every rank for itself
            require_on_ranks(self.libraries, dense, "a dense product of all steps", "choose a smaller data space")
        ground = ground_space(H)
        # rank 0 decides what rounding may decide otherwise on another processor
        self.degeneracy, basis = self.libraries.comm.bcast((ground.degeneracy, ground.basis))
        self._basis = None if basis is None else basis[layout.own].astype(layout.dtype)

    # ---------------------------------------------------------------- one clock time

    def _multiply(self, product: Any, x: NDArray[Any], out: NDArray[Any]) -> None:
        """out = product(x), both this rank's part of a data vector, in PETSc's hands without a copy."""
        self._given.placeArray(x)
        self._moved.placeArray(out)
        product(self._given, self._moved)
        self._given.resetArray()
        self._moved.resetArray()

    def _forth(self, j: int, x: NDArray[Any], out: NDArray[Any]) -> None:
        """out = U_j x."""
        self._multiply(self._steps[j].mult, x, out)

    def _back(self, j: int, x: NDArray[Any], out: NDArray[Any]) -> None:
        """out = U_j† x."""
        self._multiply(self._steps[j].multHermitian, x, out)

    def _empty(self) -> NDArray[Any]:
        return np.empty(self.layout.count, self.layout.dtype)

    def _dot(self, x: NDArray[Any], y: NDArray[Any]) -> Any:
        return self.layout.sum(np.vdot(x, y))

    def _outside_initial(self, x: NDArray[Any]) -> NDArray[Any]:
        assert self._x is not None
        return x - self._x * self._dot(self._x, x)

    def _take(self, x: Vec) -> NDArray[Any]:
        """x in clock-major order, in the one array that there is for that."""
        rows = x.getArray(readonly=True).reshape(self.layout.count, self.H.clock_states)
        transpose(rows, self._X)
        return self._X

    def _give(self, x: Vec) -> None:
        transpose(self._X, x.getArray().reshape(self.layout.count, self.H.clock_states))

    # ---------------------------------------------------------------- the frame

    def apply(self, x: Vec, y: Vec) -> None:
        """One product with U_j and one with U_j† a step."""
        self._apply(self._take(x), 0.0)
        self._give(y)

    def _apply(self, X: NDArray[Any], energy: float) -> None:
        """X becomes (H - energy)X."""
        T, touching = self.H.T, self.H.touching()
        arriving, leaving, back = self._empty(), self._empty(), self._empty()
        for j in range(T + 1):
            pinned = self._outside_initial(X[0]) if j == 0 and self._x is not None else None
            if j < T:
                self._forth(j, X[j], leaving)
                self._back(j, X[j + 1], back)
            X[j] *= touching[j] - energy
            if j > 0:
                X[j] -= arriving
            if j < T:
                X[j] -= back
            if pinned is not None:
                X[0] += pinned
            arriving, leaving = leaving, arriving

    def solve(self, b: Vec, x: Vec) -> None:
        """A sweep forth and a sweep back, and with H_in one more forth."""
        X, inverse, moved = self._take(b), self._inverse_pivots, self._empty()
        for j in range(self.H.T):
            self._forth(j, X[j] * inverse[j], moved)
            X[j + 1] += moved
        X[-1] *= inverse[-1]
        for j in range(self.H.T - 1, -1, -1):
            self._back(j, X[j + 1], moved)
            X[j] += moved
            X[j] *= inverse[j]
        if self._x is not None and self.exact:
            self._add_response(X)
        self._give(x)

    def _add_response(self, X: NDArray[Any]) -> None:
        """M⁻¹ from the inverse of M + |x><x|⊗|1><1|, both for unitary steps."""
        assert self._x is not None
        excess = self._excess[0, ::-1]  # from the last clock time down
        part, moved = self._x * (self._dot(self._x, X[0]) / excess[0]), self._empty()
        for j in range(self.H.T + 1):
            X[j] += part
            if j < self.H.T:
                self._forth(j, part, moved)
                part = moved / (1 + excess[j + 1])

    def remove_ground(self, x: Vec) -> None:
        """Everything carried back to clock 0, what of it lies in the ground space's data vectors, and its history."""
        if self.degeneracy == 0:
            return
        X = self._take(x)
        data, moved = X[-1].copy(), self._empty()
        for j in range(self.H.T - 1, -1, -1):
            self._back(j, data, moved)
            data = moved + X[j]
        data /= self.H.clock_states
        if self._basis is not None:
            data = self._basis @ self.layout.sum(self._basis.conj().T @ data)
        self._add_history(X, -data)
        self._give(x)

    def ground_vectors(self, count: int, seed: int) -> Iterator[Vec]:
        """Histories of the data vectors that span the ground space; of random ones where all data vectors do."""
        for data in self._data_vectors(min(count, self.degeneracy), seed):
            self._X[:] = 0
            self._add_history(self._X, data / np.sqrt(self.H.clock_states))
            x = self.vector()
            self._give(x)
            yield x

    def _data_vectors(self, count: int, seed: int) -> Iterator[NDArray[Any]]:
        if self._basis is not None:
            yield from (np.ascontiguousarray(column) for column in self._basis[:, :count].T)
            return
        rng = np.random.default_rng(seed)  # every rank draws all of it and keeps its part, however many there are
        found: list[NDArray[Any]] = []
        for _ in range(count):
            x: NDArray[Any] = rng.standard_normal(self.H.d)[self.layout.own].astype(self.layout.dtype)
            if self.H.dtype.kind == "c":
                x += 1j * rng.standard_normal(self.H.d)[self.layout.own]
            for _ in range(2):  # Gram and Schmidt; the second time for what rounding left
                for other in found:
                    x -= other * self._dot(other, x)
                x /= np.sqrt(self._dot(x, x).real)
            found.append(x)
            yield x

    def _add_history(self, X: NDArray[Any], data: NDArray[Any]) -> None:
        """X[j] += U_j…U_1 data; `data` may be overwritten."""
        moved = self._empty()
        for j in range(self.H.T + 1):
            X[j] += data
            if j < self.H.T:
                self._forth(j, data, moved)
                data, moved = moved, data

    def bonds(self, x: Vec) -> float:
        """Sums of squares: ‖U_jψ_j - ψ_{j+1}‖², the norm that step j loses, and H_in.

        The norm lost is ‖ψ_j‖² - ‖U_jψ_j‖² where a step is not unitary, which rounding makes wrong by about
        epsilon·‖ψ_j‖², and negative at times: it counts from 0 then.
        """
        T, X, moved = self.H.T, self._take(x), self._empty()
        terms = np.zeros((2, T + 1))
        for j in range(T):
            self._forth(j, X[j], moved)
            terms[0, j] = _square(moved - X[j + 1])
            if not self.exact:
                terms[1, j] = _square(X[j]) - _square(moved)
        if self._x is not None:
            terms[0, T] = _square(self._outside_initial(X[0]))
        total = self.layout.sum(terms)
        return float(total[0].sum() + np.maximum(total[1], 0).sum())

    def residual(self, x: Vec, energy: float) -> float:
        """The norm of (H - energy)x, in clock-major order."""
        X = self._take(x)
        self._apply(X, energy)
        return float(np.sqrt(self.layout.sum(_square(X.reshape(-1)))))


def _square(x: NDArray[Any]) -> float:
    return float(np.vdot(x, x).real)


__all__ = ["Stages"]
