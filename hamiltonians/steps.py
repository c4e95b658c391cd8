"""The steps U_1 … U_T of a clock Hamiltonian, one class a kind of step, all read by the same compiled loops.

In Python steps count from 0: `steps.matrix(0)` is the paper's U_1, and step j leads from clock j to clock j + 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from hamiltonians import kernels
from hamiltonians.errors import InputError, must_be

#: rounding allowed for U†U = I and ‖U‖ ≤ 1 of a d×d step, in units of the double-precision epsilon times d
_ROUNDING = 16


@dataclass(frozen=True)
class Entries:
    """All nonzero elements of all steps: step `j` has `value` at (`row`, `column`)."""

    j: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    value: NDArray[Any]


class Steps(ABC):
    """T contractions on a data space of dimension d.

    Attributes
    ----------
    d, T : data dimension, number of steps.
    monomial : every column holds at most a single 1, so that H falls apart into paths.
    """

    d: int
    T: int
    monomial: ClassVar[bool]

    @property
    def dtype(self) -> np.dtype[Any]:
        """complex128 where a step is complex, else float64."""
        return np.dtype(np.float64)

    @property
    @abstractmethod
    def unitary(self) -> bool:
        """Whether every step is unitary: then the frame V of spec section 4 exists and H = V (I⊗Laplacian) V†."""

    @abstractmethod
    def data(self) -> kernels.StepData:
        """The arrays for the compiled loops."""

    @property
    @abstractmethod
    def nnz(self) -> int:
        """Nonzero elements of all steps together."""

    @abstractmethod
    def entries(self) -> Entries:
        """All nonzero elements of all steps, in order of j."""

    @property
    @abstractmethod
    def bytes_per_vector_step(self) -> int:
        """Bytes of the step arrays: what a sweep reads beside the vectors."""

    def matrix(self, j: int) -> sp.csr_array:
        """U_{j+1} of the paper as a sparse d×d matrix."""
        e = self.entries()
        here = e.j == j
        return sp.csr_array((e.value[here], (e.row[here], e.column[here])), shape=(self.d, self.d))


def _data(kind: int, dtype: np.dtype[Any], **arrays: Any) -> kernels.StepData:
    empty = kernels.StepData(
        kind,
        np.empty((0, 4), np.int64),
        np.empty((0, 0), np.int32),
        np.empty((0, 16), dtype),
        np.empty((0, 0), np.int64),
        np.empty(0, np.int32),
        np.empty(0, dtype),
    )
    return empty._replace(**arrays)


@final
@dataclass(frozen=True)
class HistorySteps(Steps):
    """`configuration` space: U_j = |j+1><j|, the configurations of a halting run numbered in order. d = T + 1."""

    T: int
    monomial: ClassVar[bool] = True

    @property
    def d(self) -> int:  # type: ignore[override]
        """Data dimension: the T + 1 distinct configurations."""
        return self.T + 1

    @property
    def unitary(self) -> bool:
        """Rank one is unitary only on a single configuration with no step."""
        return self.T == 0

    def data(self) -> kernels.StepData:
        """No array at all."""
        return _data(kernels.HOP, self.dtype)

    @property
    def nnz(self) -> int:
        """One element a step."""
        return self.T

    def entries(self) -> Entries:
        """(j, j+1, j, 1) for every step."""
        j = np.arange(self.T)
        return Entries(j, j + 1, j, np.ones(self.T))

    @property
    def bytes_per_vector_step(self) -> int:
        """Nothing is stored."""
        return 0


@final
@dataclass(frozen=True)
class CellSteps(Steps):
    """`tape` space: step j turns symbol `read[j]` on cell `cell[j]` into `write[j]`, and is undefined on other symbols.

    A tape string is the integer Σ_c symbol(c) base^(cells-1-c), cell 0 the leftmost: the most significant digit.
    """

    cell: NDArray[np.int64]
    read: NDArray[np.uint8]
    write: NDArray[np.uint8]
    base: int
    cells: int
    monomial: ClassVar[bool] = True

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return len(self.cell)

    @property
    def d(self) -> int:  # type: ignore[override]
        """|Σ|^cells, an exact integer."""
        return int(self.base) ** self.cells

    @property
    def unitary(self) -> bool:
        """Only a machine with one symbol, or no step, leaves nothing out."""
        return self.T == 0 or self.base == 1

    @cached_property
    def ints(self) -> NDArray[np.int64]:
        """(place value, symbol read, symbol written, base) of every step; fits where d does."""
        places = np.array([self.base ** (self.cells - 1 - c) for c in range(self.cells)], np.int64)
        place = places[self.cell] if self.T else self.cell
        columns = place, self.read, self.write, np.full(self.T, self.base)
        return np.stack([np.asarray(c, np.int64) for c in columns], axis=1)

    def data(self) -> kernels.StepData:
        """Four integers a step."""
        return _data(kernels.CELL, self.dtype, ints=self.ints)

    @property
    def nnz(self) -> int:
        """Every step is defined on one |Σ|-th of the strings."""
        return self.T * (self.d // self.base)

    def entries(self) -> Entries:
        """The strings with the symbol read, each to the one with the symbol written."""
        x = np.arange(self.d)
        columns = [x[(x // place) % self.base == read] for place, read, _, _ in self.ints]
        rows = [c + (int(w) - int(r)) * p for c, (p, r, w, _) in zip(columns, self.ints, strict=True)]
        return _stacked(rows, columns)

    @property
    def bytes_per_vector_step(self) -> int:
        """Four integers a step."""
        return 32 * self.T


@final
@dataclass(frozen=True)
class ImageSteps(Steps):
    """Partial permutations: step j sends basis state x to `images[j, x]`, and nowhere where that is -1.

    Raises
    ------
    InputError : two states of one step have the same image (that step would be no contraction), or an image is no
        state; the message names them.
    """

    images: NDArray[np.int32]
    monomial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for j, row in enumerate(self.images):
            if len(row) and (row.min() < -1 or row.max() >= self.d):
                bad = int(row.min()) if row.min() < -1 else int(row.max())
                raise must_be(f"steps[{j}]", f"images from -1 (none) to {self.d - 1}", bad)
            defined = row[row >= 0]
            counts = np.bincount(defined, minlength=self.d)
            if counts.max(initial=0) > 1:
                y = int(counts.argmax())
                first, second = np.flatnonzero(row == y)[:2]
                raise InputError(f"`steps[{j}]` must be injective, but sends {first} and {second} both to {y}", "steps")

    @property
    def T(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return len(self.images)

    @property
    def d(self) -> int:  # type: ignore[override]
        """Data dimension."""
        return self.images.shape[1]

    @cached_property
    def unitary(self) -> bool:
        """Injective and defined everywhere."""
        return bool((self.images >= 0).all())

    def data(self) -> kernels.StepData:
        """The table of images."""
        return _data(kernels.PERMUTATION if self.unitary else kernels.PARTIAL, self.dtype, images=self.images)

    @cached_property
    def nnz(self) -> int:
        """Every defined image."""
        return int(np.count_nonzero(self.images >= 0))

    def entries(self) -> Entries:
        """Every defined image."""
        j, column = np.nonzero(self.images >= 0)
        return Entries(j, self.images[j, column].astype(np.int64), column, np.ones(len(j)))

    @property
    def bytes_per_vector_step(self) -> int:
        """Four bytes an image."""
        return self.images.nbytes

    def completed(self) -> ImageSteps:
        """Every step completed to a permutation of the whole data space: free states to free images, in order."""
        images = self.images.copy()
        for row in images:
            free = np.setdiff1d(np.arange(self.d), row)
            row[row < 0] = free
        return ImageSteps(images)


@final
@dataclass(frozen=True)
class Gate:
    """A one- or two-qubit gate: `matrix` is 2×2 or 4×4, `qubits` its positions, the first the more significant bit.

    Qubit 0 is the most significant bit of the data index, as `numpy.kron(matrix, I)` has it for qubit 0.
    """

    matrix: NDArray[Any]
    qubits: tuple[int, ...]


@final
@dataclass(frozen=True)
class GateSteps(Steps):
    """One- and two-qubit gates on n qubits, d = 2^n; never formed as d×d matrices.

    coefficients : (T, 16), a 4×4 matrix a step in row-major order over |ab>.
    strides : (T, 2), the weights of the bits a and b in the data index.
    """

    coefficients: NDArray[Any]
    strides: NDArray[np.int64]
    n_qubits: int
    monomial: ClassVar[bool] = False

    @classmethod
    def from_gates(cls, gates: Sequence[Gate], n_qubits: int) -> GateSteps:
        """Check every gate and pack it; a one-qubit gate gets an idle neighbour.

        Raises
        ------
        InputError : a gate has the wrong shape, a qubit that is not there or one twice, or is not unitary.
        """
        if n_qubits < 2:
            raise must_be("n_qubits", "at least 2 for gates (use plain matrices for one qubit)", n_qubits)
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
            if np.abs(matrix.conj().T @ matrix - np.eye(len(matrix))).max() > _ROUNDING * 4 * np.finfo(float).eps:
                raise InputError(f"`steps[{j}]` must be a unitary gate (to rounding), but U†U differs from I", "steps")
            if len(qubits) == 1:
                matrix, qubits = np.kron(matrix, np.eye(2)), (qubits[0], 0 if qubits[0] else 1)
            coefficients[j] = matrix.reshape(-1)
            strides[j] = [2 ** (n_qubits - 1 - q) for q in qubits]
        return cls(coefficients, strides, n_qubits)

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
    def unitary(self) -> bool:
        """Checked gate by gate on construction."""
        return True

    def data(self) -> kernels.StepData:
        """Sixteen coefficients and two strides a step."""
        return _data(kernels.GATE, self.dtype, ints=self.strides, coefficients=self.coefficients)

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
        return _stacked(rows, columns, values, self.dtype)

    @property
    def bytes_per_vector_step(self) -> int:
        """Sixteen coefficients and two strides a step."""
        return self.coefficients.nbytes + self.strides.nbytes


@final
@dataclass(frozen=True)
class MatrixSteps(Steps):
    """Any contractions, as sparse d×d matrices.

    Raises
    ------
    InputError : a step is no contraction (its largest singular value exceeds 1 beyond rounding), is not finite, or has
        another shape than the first.
    """

    matrices: tuple[sp.csr_array, ...]
    monomial: ClassVar[bool] = False

    def __post_init__(self) -> None:
        tolerance = _ROUNDING * self.d * np.finfo(float).eps
        for j, U in enumerate(self.matrices):
            if U.shape != (self.d, self.d):
                raise must_be(f"steps[{j}]", f"a {self.d}×{self.d} matrix like the first", U.shape)
            if not np.isfinite(U.data).all():
                raise InputError(f"`steps[{j}]` must hold finite numbers only", "steps")
            if largest_singular_value(U) > 1 + tolerance:
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

    @cached_property
    def unitary(self) -> bool:
        """U†U = I for every step, to rounding."""
        tolerance = _ROUNDING * self.d * np.finfo(float).eps
        eye = sp.eye_array(self.d)
        return all(abs(U.conj().T @ U - eye).max() <= tolerance for U in self.matrices)

    def data(self) -> kernels.StepData:
        """The CSR arrays behind each other."""
        offsets = np.cumsum([0] + [U.nnz for U in self.matrices])
        indptr = np.stack([U.indptr + at for U, at in zip(self.matrices, offsets[:-1], strict=True)]).astype(np.int64)
        indices = np.concatenate([U.indices for U in self.matrices]).astype(np.int32)
        values = np.concatenate([U.data for U in self.matrices]).astype(self.dtype)
        return _data(kernels.MATRIX, self.dtype, indptr=indptr, indices=indices, values=values)

    @property
    def nnz(self) -> int:
        """Stored elements."""
        return sum(U.nnz for U in self.matrices)

    def entries(self) -> Entries:
        """Stored elements."""
        coo = [U.tocoo() for U in self.matrices]
        return _stacked([c.row for c in coo], [c.col for c in coo], [c.data for c in coo], self.dtype)

    @property
    def bytes_per_vector_step(self) -> int:
        """The CSR arrays."""
        return sum(U.data.nbytes + U.indices.nbytes + U.indptr.nbytes for U in self.matrices)

    @cached_property
    def defects(self) -> tuple[NDArray[Any], ...]:
        """(I - U_j†U_j)^{1/2} of every step, dense; eigenvalues below rounding count as 0."""
        roots = []
        for U in self.matrices:
            dense = U.toarray()
            w, v = np.linalg.eigh(np.eye(self.d) - dense.conj().T @ dense)
            w[w < _ROUNDING * self.d * np.finfo(float).eps] = 0
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
        return ImageSteps(np.ascontiguousarray(steps, np.int32))
    arrays = [s if sp.issparse(s) else np.asarray(s) for s in steps]
    for j, a in enumerate(arrays):
        if a.ndim not in (1, 2) or a.dtype.kind not in "iufc" or 0 in a.shape:
            raise must_be(f"steps[{j}]", "a numeric matrix or an array of images", f"{a.dtype} of shape {a.shape}")
        if a.ndim == 1 and a.dtype.kind not in "iu":
            raise must_be(f"steps[{j}]", "an integer array where it lists images", str(a.dtype))
    d = arrays[0].shape[-1]
    if all(a.ndim == 1 for a in arrays):
        lengths = {len(a) for a in arrays}
        if len(lengths) > 1:
            raise must_be("steps", f"images of one length ({d})", sorted(lengths))
        return ImageSteps(np.stack(arrays).astype(np.int32))
    return MatrixSteps(tuple(_as_matrix(a) for a in arrays))


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


def _stacked(
    rows: list[NDArray[Any]],
    columns: list[NDArray[Any]],
    values: list[NDArray[Any]] | None = None,
    dtype: np.dtype[Any] | type = np.float64,
) -> Entries:
    j = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    row = np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64)
    column = np.concatenate([np.empty(0, np.int64), *columns]).astype(np.int64)
    value = np.ones(len(row)) if values is None else np.concatenate([np.empty(0, dtype), *values])
    return Entries(j, row, column, value)
