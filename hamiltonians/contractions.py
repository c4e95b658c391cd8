"""Steps that are more than permutations: gates, any other contractions, and the entry that takes a list of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from hamiltonians import kernels
from hamiltonians.errors import InputError, must_be
from hamiltonians.steps import Entries, ImageSteps, Steps, stacked, step_data

_MOST_QUBITS = 40  # a vector of one clock time has 16 TiB then
#: rounding allowed for U†U = I and ‖U‖ ≤ 1 of a d×d step, in units of the double-precision epsilon times d
_ROUNDING = 16


@final
@dataclass(frozen=True)
class Gate:
    """A one- or two-qubit gate: `matrix` is 2×2 or 4×4, `qubits` its positions, the first the more significant bit.

    Qubit 0 is the most significant bit of the data index, as `numpy.kron(matrix, I)` has it for qubit 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hamiltonians import ClockHamiltonian, Gate
    >>> hadamard = Gate(np.array([[1, 1], [1, -1]]) / np.sqrt(2), (0,))
    >>> cnot = Gate(np.eye(4)[[0, 1, 3, 2]], (0, 1))  # qubit 0 controls
    >>> H = ClockHamiltonian.from_steps([hadamard, cnot], [1, 0, 0, 0], n_qubits=2)
    >>> psi = H.history_state().reshape(4, 3)[:, 2] * np.sqrt(3)  # at the last clock state
    >>> np.allclose(psi, [np.sqrt(1 / 2), 0, 0, np.sqrt(1 / 2)])  # the Bell state
    True
    """

    matrix: NDArray[Any]
    qubits: tuple[int, ...]


@final
@dataclass(frozen=True)
class GateSteps(Steps):
    """One- and two-qubit gates on n qubits, d = 2^n; never formed as d×d matrices.

    coefficients : (T, 16), a 4×4 matrix a step in row-major order over |ab>.
    strides : (T, 2), the weights of the bits a and b in the data index.
    epsilon : rounding of the precision in which the gates were given.
    """

    coefficients: NDArray[Any]
    strides: NDArray[np.int64]
    n_qubits: int
    epsilon: float = float(np.finfo(np.float64).eps)
    monomial: ClassVar[bool] = False

    @classmethod
    def from_gates(cls, gates: Sequence[Gate], n_qubits: int) -> GateSteps:
        """Check every gate and pack it; a one-qubit gate gets an idle neighbour.

        Raises
        ------
        InputError : a gate has the wrong shape, a qubit that is not there or one twice, or is not unitary.
        """
        if not 2 <= n_qubits <= _MOST_QUBITS:
            raise must_be("n_qubits", f"from 2 (one qubit: use plain matrices) to {_MOST_QUBITS}", n_qubits)
        complex_valued = any(np.iscomplexobj(g.matrix) for g in gates)
        coefficients = np.empty((len(gates), 16), np.complex128 if complex_valued else np.float64)
        strides = np.empty((len(gates), 2), np.int64)
        for j, gate in enumerate(gates):
            matrix, qubits = np.asarray(gate.matrix), gate.qubits
            if matrix.shape != (2 ** len(qubits),) * 2 or len(qubits) not in (1, 2):
                raise must_be(
                    f"steps[{j}]", "a 2×2 gate on one qubit or a 4×4 gate on two", f"{matrix.shape} on {qubits}"
                )
            if len(set(qubits)) < len(qubits) or not all(0 <= q < n_qubits for q in qubits):
                raise must_be(f"steps[{j}].qubits", f"distinct numbers from 0 to {n_qubits - 1}", qubits)
            tolerance = _ROUNDING * 4 * _epsilon(matrix)
            if not np.abs(matrix.conj().T @ matrix - np.eye(len(matrix))).max() <= tolerance:  # NaN is not either
                raise InputError(f"`steps[{j}]` must be a unitary gate (to rounding), but U†U differs from I", "steps")
            if len(qubits) == 1:
                matrix, qubits = np.kron(matrix, np.eye(2)), (qubits[0], 0 if qubits[0] else 1)
            coefficients[j] = matrix.reshape(-1)
            strides[j] = [2 ** (n_qubits - 1 - q) for q in qubits]
        epsilon = max((_epsilon(np.asarray(g.matrix)) for g in gates), default=cls.epsilon)
        return cls(coefficients, strides, n_qubits, epsilon)

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the coefficients."""
        return self.coefficients.dtype

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of gates."""
        return len(self.strides)

    @property
    def d(self) -> int:  # type: ignore[override]
        """2^n."""
        return 2**self.n_qubits

    @property
    def tolerance(self) -> float:
        """That of 4×4 matrices."""
        return _ROUNDING * 4 * self.epsilon

    @property
    def rounding(self) -> float:
        """That of 4×4 matrices."""
        return _ROUNDING * 2 * self.epsilon

    @property
    def unitary(self) -> bool:
        """Checked gate by gate on construction."""
        return True

    def data(self) -> kernels.StepData:
        """Sixteen coefficients and two strides a step."""
        return step_data(kernels.GATE, self.dtype, ints=self.strides, coefficients=self.coefficients)

    @property
    def nnz(self) -> int:
        """Up to four elements a column."""
        return 4 * self.d * self.T

    def entries(self) -> Entries:
        """The gates as sparse matrices, by the bits of the data index."""
        x = np.arange(self.d)
        rows, columns, values = [], [], []
        for gate, (a, b) in zip(self.coefficients.reshape(-1, 4, 4), self.strides, strict=True):
            rest = x - x // a % 2 * a - x // b % 2 * b
            source = 2 * (x // a % 2) + x // b % 2
            rows.append(np.concatenate([rest + (t // 2) * a + (t % 2) * b for t in range(4)]))
            columns.append(np.tile(x, 4))
            values.append(np.concatenate([gate[t, source] for t in range(4)]))
        return stacked(rows, columns, values, self.dtype)

    @property
    def bytes_per_vector_step(self) -> int:
        """Sixteen coefficients and two strides a step."""
        return self.coefficients.nbytes + self.strides.nbytes


@final
@dataclass(frozen=True)
class MatrixSteps(Steps):
    """Any contractions, as sparse d×d matrices; epsilon is the rounding of the precision in which they were given.

    Raises
    ------
    InputError : a step is no contraction (its largest singular value exceeds 1 beyond rounding), is not finite, or has
        another shape than the first.
    """

    matrices: tuple[sp.csr_array, ...]
    epsilon: float = float(np.finfo(np.float64).eps)
    monomial: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for j, U in enumerate(self.matrices):
            if U.shape != (self.d, self.d):
                raise must_be(f"steps[{j}]", f"a {self.d}×{self.d} matrix like the first", U.shape)
            if not np.isfinite(U.data).all():
                raise InputError(f"`steps[{j}]` must hold finite numbers only", "steps")
            if largest_singular_value(U) > 1 + self.tolerance:
                raise must_be(
                    f"steps[{j}]", "a contraction (largest singular value ≤ 1)", round(largest_singular_value(U), 6)
                )

    @property
    def dtype(self) -> np.dtype[Any]:
        """complex128 where a matrix is complex."""
        return np.dtype(np.complex128 if any(np.iscomplexobj(U.data) for U in self.matrices) else np.float64)

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return len(self.matrices)

    @property
    def d(self) -> int:  # type: ignore[override]
        """Data dimension."""
        return int(self.matrices[0].shape[0])

    @property
    def tolerance(self) -> float:
        """In units of d epsilon, as one of ‖U‖ too."""
        return _ROUNDING * self.d * self.epsilon

    @property
    def rounding(self) -> float:
        """That of the elements of U, √d ε in ‖U‖, of U†U and of its eigenvalues."""
        return float(_ROUNDING * np.sqrt(self.d) * self.epsilon)

    @cached_property
    def unitary(self) -> bool:
        """U†U = I for every step, to `tolerance`."""
        eye = sp.eye_array(self.d)
        return all(abs(U.conj().T @ U - eye).max() <= self.tolerance for U in self.matrices)

    def data(self) -> kernels.StepData:
        """The CSR arrays behind each other."""
        return self._packed

    @cached_property
    def _packed(self) -> kernels.StepData:
        offsets = np.cumsum([0] + [U.nnz for U in self.matrices])
        indptr = np.stack([U.indptr + at for U, at in zip(self.matrices, offsets[:-1], strict=True)]).astype(np.int64)
        indices = np.concatenate([U.indices for U in self.matrices]).astype(np.int32)
        values = np.concatenate([U.data for U in self.matrices]).astype(self.dtype)
        return step_data(kernels.MATRIX, self.dtype, indptr=indptr, indices=indices, values=values)

    @property
    def nnz(self) -> int:
        """Stored elements."""
        return sum(U.nnz for U in self.matrices)

    def entries(self) -> Entries:
        """Stored elements."""
        coo = [U.tocoo() for U in self.matrices]
        return stacked([c.row for c in coo], [c.col for c in coo], [c.data for c in coo], self.dtype)

    @property
    def bytes_per_vector_step(self) -> int:
        """The CSR arrays."""
        return sum(U.data.nbytes + U.indices.nbytes + U.indptr.nbytes for U in self.matrices)

    @cached_property
    def defects(self) -> tuple[NDArray[Any], ...]:
        """(I - U_j†U_j)^{1/2} of every step, dense; eigenvalues below `rounding` count as 0."""
        roots = []
        for U in self.matrices:
            dense = U.toarray()
            w, v = np.linalg.eigh(np.eye(self.d) - dense.conj().T @ dense)
            w[w < self.rounding] = 0
            roots.append((v * np.sqrt(w)) @ v.conj().T)
        return tuple(roots)

    def matrix(self, j: int) -> sp.csr_array:
        """U_{j+1} of the paper."""
        return self.matrices[j]


Step = ArrayLike | sp.sparray | sp.spmatrix | Gate


def as_steps(steps: Sequence[Step], n_qubits: int | None = None) -> Steps:
    """The class that holds a list of steps best.

    A step is a d×d matrix (dense or sparse), a one-dimensional integer array of images (x goes to `step[x]`, -1:
    nowhere) or a `Gate`; gates need `n_qubits`.

    Raises
    ------
    InputError : no step, kinds mixed in a way that has no common data space, or a step that is no contraction.
    """
    if len(steps) == 0:
        raise InputError("`steps` must hold at least one step", "steps")
    if all(isinstance(s, Gate) for s in steps):
        if n_qubits is None:
            raise InputError("`n_qubits` must be given for gates", "n_qubits")
        return GateSteps.from_gates([s for s in steps if isinstance(s, Gate)], n_qubits)
    if any(isinstance(s, Gate) for s in steps):
        raise InputError("`steps` must be all gates or no gates", "steps")
    if isinstance(steps, np.ndarray) and steps.ndim == 2 and np.issubdtype(steps.dtype, np.integer):
        if steps.size and not -1 <= steps.min() <= steps.max() < steps.shape[1]:
            wrong = int(steps.min() if steps.min() < -1 else steps.max())
            raise must_be("steps", f"images from -1 (none) to {steps.shape[1] - 1}", wrong)
        return ImageSteps(np.ascontiguousarray(steps, np.int32))
    arrays = [s if sp.issparse(s) else np.asarray(s) for s in steps]
    for j, a in enumerate(arrays):
        if a.ndim not in (1, 2) or a.dtype.kind not in "iufc" or 0 in a.shape:
            raise must_be(f"steps[{j}]", "a numeric matrix or an array of images", f"{a.dtype} of shape {a.shape}")
        if a.ndim == 1 and a.dtype.kind not in "iu":
            raise must_be(f"steps[{j}]", "an integer array where it lists images", str(a.dtype))
        if a.ndim == 1 and not -1 <= a.min() <= a.max() < len(a):
            raise must_be(
                f"steps[{j}]", f"images from -1 (none) to {len(a) - 1}", int(a.min() if a.min() < -1 else a.max())
            )
    d = arrays[0].shape[-1]
    if all(a.ndim == 1 for a in arrays):
        lengths = {len(a) for a in arrays}
        if len(lengths) > 1:
            raise must_be("steps", f"images of one length ({d})", sorted(lengths))
        return ImageSteps(np.stack(arrays).astype(np.int32))
    return MatrixSteps(tuple(_as_matrix(a) for a in arrays), max(_epsilon(a) for a in arrays))


def _epsilon(array: Any) -> float:
    """The rounding of an array's precision; that of double precision for integers."""
    return float(np.finfo(array.dtype if array.dtype.kind in "fc" else np.float64).eps)


def largest_singular_value(U: sp.csr_array) -> float:
    """‖U‖ of a sparse matrix: the cheap bound √(‖U‖₁‖U‖_∞) where that is ≤ 1 already, else exactly."""
    size = abs(U)
    bound = float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()))
    return bound if bound <= 1 else float(np.linalg.norm(U.toarray(), 2))


def _as_matrix(step: Any) -> sp.csr_array:
    if sp.issparse(step) or step.ndim == 2:
        dtype = np.complex128 if np.iscomplexobj(step) else np.float64
        matrix = sp.csr_array(step).astype(dtype)
        matrix.sum_duplicates()
        return matrix
    defined = np.flatnonzero(step >= 0)
    return sp.csr_array((np.ones(len(defined)), (step[defined], defined)), shape=(len(step), len(step)))
