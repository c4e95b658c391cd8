"""The Feynman-Kitaev clock Hamiltonian as an operator: what H is, never how it is solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator

from hamiltonians import kernels
from hamiltonians.contractions import MatrixSteps, Step, as_steps
from hamiltonians.errors import InputError, must_be
from hamiltonians.memory import in_figures, require_memory
from hamiltonians.progress import Progress, no_progress
from hamiltonians.steps import Steps

if TYPE_CHECKING:
    from hamiltonians.components import Components
    from hamiltonians.machine import TuringMachine
    from hamiltonians.readout import Readout
    from hamiltonians.state import SparseState
    from hamiltonians.trajectory import Trajectory

Space = Literal["configuration", "tape", "function", "steps"]
SPACES: tuple[Space, ...] = ("configuration", "tape", "function")
_INDEX_LIMIT = 2**63  # row numbers are 64-bit integers
_UNIT_NORM = 1e-12  # rounding allowed in the norm of `initial`; sqrt(d) epsilon for d up to 10^7


@final
@dataclass(frozen=True)
class ClockHamiltonian:
    """H_TM of Appendix A (the equation before Eq. (40)) for steps U_1 … U_T on a d-dimensional data space.

        H = Σ_{j=1}^{T} ( I⊗|j><j| - U_j⊗|j+1><j| - U_j†⊗|j><j+1| + I⊗|j+1><j+1| )  [ + (I - |x><x|)⊗|1><1| ]

    The printed formula has U_j = |w_j><r_j|. Row numbers are `data * clock_states + clock`, clock from 0, as
    `numpy.kron(data, clock)` orders them. The bracket is H_in, present where `initial` is given. Energies are in
    units of the hopping strength.

    Attributes
    ----------
    steps : U_1 … U_T, see `hamiltonians.steps` and `hamiltonians.contractions`.
    space : which data space: "configuration", "tape", "function" (see `from_machine`), or "steps" for a plain list.
    initial : x of H_in, a unit vector of length d, or None.
    readout : how a data index of a machine's space reads as a tape; None for plain steps.

    Examples
    --------
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 2, 0], [2, 1, 0]], initial=[1, 0, 0])  # two permutations of 0, 1, 2
    >>> H.d, H.T, H.dimension
    (3, 2, 9)
    >>> psi = H.history_state()
    >>> float(abs(H.apply(psi)).max()) < 1e-15  # the history of the computation is a ground state
    True
    """

    steps: Steps
    space: Space = "steps"
    initial: NDArray[Any] | None = None
    readout: Readout | None = None

    # ---------------------------------------------------------------- construction

    @classmethod
    def from_machine(
        cls,
        machine: TuringMachine,
        space: Space = "configuration",
        *,
        input: str | Sequence[str] | None = None,
        input_length: int | None = None,
        history: Literal["bennett"] | None = None,
        tape_cells: int | None = None,
        max_steps: int | None = None,
        progress: Progress = no_progress,
    ) -> ClockHamiltonian:
        """Run the machine and build H in one of the three data spaces of docs/mathematics/clock-hamiltonian.md.

        Parameters
        ----------
        input : `configuration`, `tape`: the word on the tape (default: the machine's own). `function`: selects this one
            input by H_in.
        input_length : `function`: all words of this length over the machine's `input_symbols` at once.
        history : `function`: "bennett" keeps the rules applied so far in the configuration, so that no two merge.
        tape_cells : `tape`: cells of the window, at least the span of cells read; spare ones come after the right end.
        max_steps : a run may take at most so many steps (default 10^8).

        Raises
        ------
        InputError : not halting, an option that does not belong to the space, or two configurations that merge.
        MemoryEstimateError : the record of the run is larger than the memory that is free.

        Examples
        --------
        >>> from hamiltonians import ClockHamiltonian, load_machine
        >>> machine = load_machine("bb:1RB1LB_1LA1RZ")  # the second busy beaver: 6 steps on 4 cells
        >>> ClockHamiltonian.from_machine(machine).dimension, (6 + 1) ** 2
        (49, 49)
        >>> ClockHamiltonian.from_machine(machine, "tape").dimension, 2**4 * (6 + 1)
        (112, 112)
        """
        from hamiltonians.spaces import hamiltonian_of_machine

        return hamiltonian_of_machine(
            machine,
            space,
            input=input,
            input_length=input_length,
            history=history,
            tape_cells=tape_cells,
            max_steps=max_steps,
            progress=progress,
        )

    @classmethod
    def from_trajectory(
        cls, trajectory: Trajectory, space: Space = "configuration", *, tape_cells: int | None = None
    ) -> ClockHamiltonian:
        """H of one run in the `configuration` or the `tape` space.

        Examples
        --------
        >>> from hamiltonians import ClockHamiltonian, load_machine
        >>> run = load_machine("bb:1RB1LB_1LA1RZ").run()
        >>> H = ClockHamiltonian.from_trajectory(run, "tape")
        >>> H.T == run.steps, H.readout.trajectories[""] is run
        (True, True)
        """
        from hamiltonians.spaces import hamiltonian_of_trajectory

        return hamiltonian_of_trajectory(trajectory, space, tape_cells=tape_cells)

    @classmethod
    def from_steps(
        cls, steps: Sequence[Step], initial: ArrayLike | None = None, *, n_qubits: int | None = None
    ) -> ClockHamiltonian:
        """H of any list of d×d contractions: matrices, image arrays (partial permutations) or `Gate`s.

        Parameters
        ----------
        initial : unit vector x of length d; adds H_in. Without it the ground space of unitary steps is d-fold.
        n_qubits : the number of qubits where the steps are gates.

        Raises
        ------
        InputError : a step is no contraction, or `initial` is no unit vector of length d.

        Examples
        --------
        >>> from hamiltonians import ClockHamiltonian, ground_state
        >>> steps = [[1, 2, 3, 4, 0], [0, 1, 4, 3, 2]]  # a cyclic shift, then 2 and 4 swapped
        >>> ground_state(ClockHamiltonian.from_steps(steps)).degeneracy
        5
        >>> ground_state(ClockHamiltonian.from_steps(steps, initial=[0, 0, 1, 0, 0])).degeneracy
        1
        """
        packed = as_steps(steps, n_qubits)
        return cls(packed, "steps", None if initial is None else _unit_vector(initial, packed.d))

    # ---------------------------------------------------------------- sizes

    @property
    def d(self) -> int:
        """Dimension of the data space."""
        return self.steps.d

    @property
    def T(self) -> int:
        """Number of steps."""
        return self.steps.T

    @property
    def clock_states(self) -> int:
        """N = T + 1."""
        return self.T + 1

    @property
    def dimension(self) -> int:
        """d·(T+1), an exact integer of any size."""
        return self.d * self.clock_states

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64, or complex128 where a step or `initial` is complex."""
        return np.result_type(self.steps.dtype, np.float64 if self.initial is None else self.initial.dtype)

    @property
    def has_row_numbers(self) -> bool:
        """Whether every row number fits in 64 bits."""
        return self.dimension < _INDEX_LIMIT

    def require_row_numbers(self) -> None:
        """Refuse what numbers its rows where 64 bits do not hold a row number.

        Raises
        ------
        InputError : names the dimension and the way out.
        """
        if not self.has_row_numbers:
            raise InputError(
                f"`dimension` must be below 2^63, so that rows can be numbered, but is {in_figures(self.dimension)}; "
                "use the `configuration` space or a smaller tape window",
                "dimension",
            )

    def memory_estimate(self, form: Literal["vector", "operator", "sparse", "incidence"] = "sparse") -> int:
        """Bytes at the peak of building a form of H: a vector, a matrix-free product, CSR, or B; nothing is allocated.

        Matrices are assembled from triplets (two indices and a value, held together with the CSR that is made of them).
        """
        item = self.dtype.itemsize
        vector = item * self.dimension
        bonds = self.steps.nnz
        per_entry = 2 * (16 + item)
        pinned = 0 if self.initial is None else int(np.count_nonzero(self.initial)) ** 2 + self.d
        if form == "vector":
            return vector
        if form == "operator":
            return 4 * vector + self.steps.bytes_per_vector_step
        if form == "sparse":
            return per_entry * (self.dimension + 2 * bonds + pinned)
        defects = 2 * self.d**2 * self.T if isinstance(self.steps, MatrixSteps) else self.dimension
        return per_entry * (self.T * self.d + bonds + defects + pinned)

    def require(self, form: Literal["vector", "operator", "sparse", "incidence"], way_out: str = "") -> None:
        """Refuse a form that does not fit, before it is built.

        Raises
        ------
        MemoryEstimateError : states what is needed, what is free, and the way out.
        """
        way_out = way_out or "use `restricted()` or `ground_state(H, solver='components')`, which keep only blocks"
        require_memory(
            self.memory_estimate(form), f"the {form} form of H with {in_figures(self.dimension)} rows", way_out
        )

    # ---------------------------------------------------------------- forms of H

    def to_sparse(self) -> sp.csr_array:
        """H as a CSR matrix.

        Raises
        ------
        MemoryEstimateError : it would not fit.

        Examples
        --------
        >>> from hamiltonians import ClockHamiltonian
        >>> H = ClockHamiltonian.from_steps([[[1]], [[1]], [[1]]])  # on a single state: a path's Laplacian
        >>> print(H.to_sparse().toarray().astype(int))
        [[ 1 -1  0  0]
         [-1  2 -1  0]
         [ 0 -1  2 -1]
         [ 0  0 -1  1]]
        """
        self.require("sparse")
        N, d = self.clock_states, self.d
        e = self.steps.entries()
        after, before = e.row * N + e.j + 1, e.column * N + e.j
        rows = [np.arange(self.dimension), after, before]
        columns = [np.arange(self.dimension), before, after]
        values = [np.tile(self.touching(), d), -e.value, -e.value.conj()]
        if self.initial is not None:
            projector = sp.eye_array(d) - sp.csr_array(self.initial[:, None]) @ sp.csr_array(
                self.initial.conj()[None, :]
            )
            p = sp.coo_array(projector)
            rows.append(p.row * N)
            columns.append(p.col * N)
            values.append(p.data)
        triplets = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        H = sp.coo_array(triplets, shape=(self.dimension, self.dimension)).tocsr()
        H.sum_duplicates()
        return H

    def as_linear_operator(self) -> LinearOperator:
        """H as a SciPy operator that applies the steps along the clock and never forms a matrix.

        Raises
        ------
        MemoryEstimateError : its working vectors would not fit.
        """
        self.require("operator", "choose a smaller data space")
        return LinearOperator(
            (self.dimension, self.dimension), matvec=self.apply, rmatvec=self.apply, dtype=self.dtype
        )  # H is Hermitian

    def incidence(self) -> sp.csr_array:
        """B with H = B†B: rows U_jψ_j - ψ_{j+1} for every j, then (I - U_j†U_j)^{1/2}ψ_j, then (I - |x><x|)ψ_1.

        Bond rows come first, numbered `data * T + j`; of the others only non-zero ones are kept.

        Raises
        ------
        MemoryEstimateError : it would not fit.
        """
        self.require("incidence")
        d, T, N = self.d, self.T, self.clock_states
        e = self.steps.entries()
        data, j = np.divmod(np.arange(d * T), T) if T else (np.empty(0, np.int64), np.empty(0, np.int64))
        bonds = sp.coo_array(
            (
                np.concatenate([e.value, -np.ones(d * T)]),
                (
                    np.concatenate([e.row * T + e.j, np.arange(d * T)]),
                    np.concatenate([e.column * N + e.j, data * N + j + 1]),
                ),
            ),
            shape=(d * T, self.dimension),
        ).tocsr()
        blocks = [bonds, *self._defect_rows()]
        if self.initial is not None:
            Q = sp.eye_array(d) - sp.csr_array(self.initial[:, None]) @ sp.csr_array(self.initial.conj()[None, :])
            blocks.append(_on_clock(sp.csr_array(Q), 0, N))
        return sp.csr_array(sp.vstack(blocks, format="csr"))

    def restricted(self) -> Components:
        """H as the direct sum of its connected components, exactly; see `hamiltonians.components`."""
        from hamiltonians.components import components_of

        return components_of(self)

    # ---------------------------------------------------------------- vectors

    def touching(self) -> NDArray[np.float64]:
        """How many of the T terms touch each clock time: the diagonal of H without H_in, shape (T+1,)."""
        n = np.full(self.clock_states, 2.0)
        n[0] -= 1
        n[-1] -= 1
        return n

    def apply(self, psi: NDArray[Any]) -> NDArray[Any]:
        """Hψ, matrix-free; `psi` has shape (dimension,) or (dimension, 1)."""
        X = self.clock_major(psi)
        Y = self.apply_clock_major(X)
        return self.data_major(Y).reshape(psi.shape)

    def apply_clock_major(self, X: NDArray[Any]) -> NDArray[Any]:
        """HX for X of shape (T+1, d), clock-major."""
        Y = np.empty_like(X)
        kernels.apply_hamiltonian(self.steps.data().cast(X.dtype), X, Y)
        if self.initial is not None:
            Y[0] += self.outside_initial(X[0])
        return Y

    def residual_clock_major(self, X: NDArray[Any], energy: float) -> float:
        """‖HX - energy·X‖ for X of shape (T+1, d), clock-major, without a second vector."""
        pinned = np.zeros_like(X[0]) if self.initial is None else self.outside_initial(X[0])
        return float(np.sqrt(kernels.residual_square(self.steps.data().cast(X.dtype), X, pinned, energy)))

    def outside_initial(self, x: NDArray[Any]) -> NDArray[Any]:
        """(I - |x><x|) applied to a data vector, x = `initial`."""
        assert self.initial is not None
        return x - self.initial * np.vdot(self.initial, x)

    def bond_energies(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The terms of ‖BX‖² for X of shape (T+1, d), clock-major: entry j for the step from clock j, and H_in last.

        Each is a sum of squares and keeps its relative accuracy where X†HX would cancel; the sum is the energy.
        """
        terms = np.zeros(self.T + 1)
        steps = self.steps.data().cast(X.dtype)
        kernels.bond_terms(steps, X, terms)
        if isinstance(self.steps, MatrixSteps):
            if not self.steps.unitary:
                for j, defect in enumerate(self.steps.defects):
                    terms[j] += np.linalg.norm(defect @ X[j]) ** 2
        elif not self.steps.unitary:
            kernels.defect_terms(steps, X, terms)
        if self.initial is not None:
            terms[-1] = np.linalg.norm(self.outside_initial(X[0])) ** 2
        return terms

    def clock_major(self, psi: NDArray[Any]) -> NDArray[Any]:
        """A copy of a vector as (T+1, d)."""
        source = np.ascontiguousarray(psi, np.result_type(psi.dtype, self.dtype)).reshape(self.d, self.clock_states)
        X = np.empty((self.clock_states, self.d), source.dtype)
        kernels.transpose(source, X)
        return X

    def data_major(self, X: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """A copy of X of shape (T+1, d) in the public order, shape (dimension,)."""
        psi = np.empty(self.dimension, X.dtype) if out is None else out
        kernels.transpose(X, psi.reshape(self.d, self.clock_states))
        return psi

    def history_state(self, x: ArrayLike | None = None) -> NDArray[Any]:
        """|ψ0> = (T+1)^{-1/2} ( |x>⊗|1> + Σ_j |U_j…U_1 x>⊗|j+1> ), shape (dimension,); Eq. (40) with E9 mended.

        Parameters
        ----------
        x : the state at clock 1, a unit vector. Default: `initial`; for machines that of the run, in `function` space
            the uniform superposition of all inputs.

        Raises
        ------
        InputError : no x is given and none is known.
        MemoryEstimateError : a vector does not fit; `history()` needs T+1 rows only.

        Examples
        --------
        >>> from hamiltonians import ClockHamiltonian
        >>> H = ClockHamiltonian.from_steps([[1, 2, 0], [2, 1, 0]])  # 0 -> 1 -> 1
        >>> psi = H.history_state([1, 0, 0]).reshape(3, 3)  # data, clock
        >>> print((psi * (H.T + 1) ** 0.5).round(12))
        [[1. 0. 0.]
         [0. 1. 1.]
         [0. 0. 0.]]
        """
        self.require("vector", "`history()` keeps only its non-zero rows")
        if x is None and self.initial is None and self.readout is not None:
            return self.history().dense(self)
        start = self.initial if x is None else _unit_vector(x, self.d)
        if start is None:
            raise InputError("`x` must be given: without `initial` every x has a history state", "x")
        X = np.empty((self.clock_states, self.d), np.result_type(self.dtype, start.dtype))
        self.fill_history(X, start)
        return self.data_major(X)

    def fill_history(self, X: NDArray[Any], x: NDArray[Any]) -> None:
        """Overwrite X, shape (T+1, d) clock-major, with the history state of the data vector x."""
        X[0] = x
        kernels.sweep_history(self.steps.data().cast(X.dtype), X)
        X /= np.sqrt(self.clock_states)

    def history(self) -> SparseState:
        """The history state of a machine as its non-zero rows.

        Raises
        ------
        InputError : this H does not come from a machine.
        """
        from hamiltonians.state import history_of_starts

        if self.readout is None:
            raise InputError("`history()` must have a machine's run; for plain steps use `history_state(x)`", "steps")
        return history_of_starts(self, list(self.readout.starts.values()))

    # ---------------------------------------------------------------- export

    def save_matrix_market(self, path: str) -> None:
        """Write H as a Matrix Market file (Hermitian or symmetric, one triangle), atomically.

        Raises
        ------
        MemoryEstimateError : H does not fit as a matrix.
        """
        from scipy.io import mmwrite

        from hamiltonians.files import written_atomically

        symmetry: Literal["hermitian", "symmetric"] = "hermitian" if self.dtype.kind == "c" else "symmetric"
        comment = f"clock Hamiltonian, space {self.space}, d = {self.d}, T = {self.T}; row = data * (T+1) + clock"
        H = self.to_sparse()
        with written_atomically(path) as file:
            mmwrite(file, H, comment=comment, symmetry=symmetry)

    def _defect_rows(self) -> list[sp.csr_array]:
        if isinstance(self.steps, MatrixSteps):
            if self.steps.unitary:
                return []
            return [
                _on_clock(sp.csr_array(D[np.abs(D).max(axis=1) > 0]), j, self.clock_states)
                for j, D in enumerate(self.steps.defects)
            ]
        if self.steps.unitary:
            return []
        e = self.steps.entries()
        defined = np.zeros((self.T, self.d), bool)
        defined[e.j, e.column] = True
        j, x = np.nonzero(~defined)
        shape = (len(j), self.dimension)
        return [sp.csr_array((np.ones(len(j)), (np.arange(len(j)), x * self.clock_states + j)), shape=shape)]


def _on_clock(rows: sp.csr_array, j: int, N: int) -> sp.csr_array:
    """Rows that act on the data at clock j, as rows of the whole space."""
    coo = rows.tocoo()
    return sp.csr_array((coo.data, (coo.row, coo.col * N + j)), shape=(rows.shape[0], rows.shape[1] * N))


def _unit_vector(x: ArrayLike, d: int) -> NDArray[Any]:
    try:
        vector = np.asarray(x)
    except ValueError as error:  # nested sequences of different lengths
        raise must_be("initial", "a vector of numbers", x) from error
    if vector.dtype.kind not in "biufc":
        raise must_be("initial", "a vector of numbers", x)
    rounding = max(_UNIT_NORM, 64 * float(np.finfo(vector.dtype).eps)) if vector.dtype.kind in "fc" else _UNIT_NORM
    vector = vector.astype(np.result_type(vector.dtype, np.float64))
    if vector.shape != (d,):
        raise must_be("initial", f"a vector of length {d}", f"of shape {vector.shape}")
    if not abs(np.linalg.norm(vector) - 1) <= rounding:
        raise must_be("initial", "a unit vector", f"of norm {np.linalg.norm(vector)}")
    return vector / np.linalg.norm(vector)
