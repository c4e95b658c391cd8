"""Lists of contractions of every kind, each with the same steps as dense matrices made here.

A system is a list with or without H_in. Sizes are odd and entries complex and asymmetric wherever the kind allows it,
so that a transpose, a missing conjugate or a swapped index changes the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from hamiltonians import ClockHamiltonian, Gate, GroundState
from tests.systems.reference import ZERO, dense_hamiltonian, history

_rng = np.random.default_rng(40)


def unit(d: int, rng: np.random.Generator = _rng, *, real: bool = False) -> np.ndarray:
    """A random unit vector."""
    x = rng.standard_normal(d) + (0 if real else 1j * rng.standard_normal(d))
    return x / np.linalg.norm(x)


def unitary(d: int, rng: np.random.Generator = _rng, *, real: bool = False) -> np.ndarray:
    """A random unitary or orthogonal matrix."""
    A = rng.standard_normal((d, d)) + (0 if real else 1j * rng.standard_normal((d, d)))
    return np.linalg.qr(A)[0]


def contraction(d: int, values: Sequence[float], rng: np.random.Generator = _rng, *, real: bool = False) -> np.ndarray:
    """A random matrix with these singular values."""
    return unitary(d, rng, real=real) @ np.diag(values) @ unitary(d, rng, real=real)


def embedded(result: GroundState, n: int) -> np.ndarray:
    """A result's states on all n rows, whether they are given by rows or not."""
    if result.indices is None:
        return result.states
    assert np.all(np.diff(result.indices) > 0)
    states = np.zeros((n, result.states.shape[1]), result.states.dtype)
    states[result.indices] = result.states
    return states


def images_matrix(images: Sequence[int]) -> np.ndarray:
    """Column x has its 1 in row images[x]; a column with -1 is zero."""
    U = np.zeros((len(images), len(images)))
    for x, y in enumerate(images):
        if y >= 0:
            U[y, x] = 1
    return U


def gate_matrix(gate: Gate, n_qubits: int) -> np.ndarray:
    """<row|U|column> bit by bit: qubit 0 is the most significant bit of the data index, `qubits[0]` of the gate's."""
    d = 2**n_qubits
    U = np.zeros((d, d), gate.matrix.dtype)
    for row in range(d):
        for column in range(d):
            r, c = (f"{index:0{n_qubits}b}" for index in (row, column))
            if all(r[q] == c[q] for q in range(n_qubits) if q not in gate.qubits):
                U[row, column] = gate.matrix[tuple(int("".join(b[q] for q in gate.qubits), 2) for b in (r, c))]
    return U


@dataclass(frozen=True, eq=False)
class StepList:
    """Steps as the package takes them, and as dense matrices."""

    name: str
    steps: Sequence[Any]
    dense: list[np.ndarray]
    n_qubits: int | None = None

    @property
    def d(self) -> int:
        return len(self.dense[0])

    @property
    def unitary(self) -> bool:
        return all(np.allclose(U.conj().T @ U, np.eye(self.d), atol=1e-12) for U in self.dense)

    @property
    def monomial(self) -> bool:
        return all(np.ndim(s) == 1 for s in self.steps if not isinstance(s, Gate)) and self.n_qubits is None


@dataclass(frozen=True, eq=False)
class System:
    """A list of steps, with the vector of H_in or None."""

    steps: StepList
    initial: np.ndarray | None
    label: str

    def __str__(self) -> str:
        return f"{self.steps.name.replace(' ', '_')}-{self.label}"

    @cached_property
    def H(self) -> ClockHamiltonian:
        return ClockHamiltonian.from_steps(self.steps.steps, self.initial, n_qubits=self.steps.n_qubits)

    @cached_property
    def matrix(self) -> np.ndarray:
        return dense_hamiltonian(self.steps.dense, self.steps.d, self.initial)

    @cached_property
    def spectrum(self) -> np.ndarray:
        return np.linalg.eigvalsh(self.matrix)

    @property
    def T(self) -> int:
        return len(self.steps.dense)

    @property
    def path_like(self) -> bool:
        return self.steps.monomial and (self.initial is None or np.count_nonzero(self.initial) == 1)

    def history(self, x: np.ndarray) -> np.ndarray:
        return history(self.steps.dense, x)


def _of_images(name: str, *images: Sequence[int]) -> StepList:
    return StepList(name, [np.array(i) for i in images], [images_matrix(i) for i in images])


def _of_matrices(name: str, *matrices: np.ndarray) -> StepList:
    return StepList(name, matrices, list(matrices))


def _of_gates(name: str, n_qubits: int, *gates: Gate) -> StepList:
    return StepList(name, gates, [gate_matrix(g, n_qubits) for g in gates], n_qubits)


def _gates(n_qubits: int, *qubits: tuple[int, ...], real: bool = False) -> list[Gate]:
    return [Gate(unitary(2 ** len(q), real=real), q) for q in qubits]


def _partly_kept() -> list[np.ndarray]:
    """Contractions that keep the norm of a plane only, each in a basis that the one before leads into."""
    frames = [unitary(5) for _ in range(4)]
    kept = np.diag([1, 1, 0.7, 0.3, 0])
    return [after @ kept @ before.conj().T for before, after in pairwise(frames)]


def _rank_one_chain(T: int, d: int) -> list[np.ndarray]:
    """|w_j><r_j| with r_{j+1} = w_j: Eq. (37)."""
    w = [unit(d) for _ in range(T + 1)]
    return [np.outer(after, before.conj()) for before, after in pairwise(w)]


_chain = _rank_one_chain(4, 5)
_mixed_images = [2, -1, 0, 3, -1]
_mixed = [contraction(5, [1, 0.9, 0.5, 0.2, 0]), sp.random_array((5, 5), density=0.4, rng=_rng).tocoo() / 4]

LISTS: tuple[StepList, ...] = (
    _of_images("permutations", [1, 2, 0, 4, 3], [4, 0, 1, 2, 3], [0, 2, 1, 3, 4], [3, 4, 0, 1, 2]),
    _of_images(
        "partial permutations",
        [1, 2, -1, 0, 5, 3], [-1, 4, 0, 2, 1, -1], [5, 0, -1, -1, 2, 3], [3, 1, 0, -1, 5, 2], [0, 1, -1, 4, -1, 3],
    ),
    _of_images("a step defined nowhere", [1, 2, 0], [-1, -1, -1], [2, 0, 1], [0, -1, 2]),
    _of_images("identities", *[range(4)] * 3),
    _of_images("one step", [2, -1, 0, 1, -1]),
    _of_gates("real gates, both orders", 3, *_gates(3, (0, 1), (2, 0), (1, 2), (2, 1), (1,), real=True)),
    _of_gates("complex gates", 3, *_gates(3, (0, 2), (2, 1), (1, 0), (0,), (2,), (1,))),
    _of_gates("gates on four qubits", 4, *_gates(4, (3, 0), (1, 3), (2, 1), (3,), (0, 2))),
    _of_matrices("complex unitaries", *[unitary(5) for _ in range(4)]),
    _of_matrices("orthogonal", *[unitary(7, real=True) for _ in range(3)]),
    _of_matrices("a single data state", *[unitary(1) for _ in range(6)]),
    _of_matrices("contractions", *[contraction(4, [1, 0.9, 0.4, 0.05]) for _ in range(4)]),
    _of_matrices("real contractions", *[contraction(3, [0.8, 0.5, 0], real=True) for _ in range(6)]),
    _of_matrices("partial isometries", *[contraction(6, [1, 1, 1, 1, 0, 0]) for _ in range(3)]),
    _of_matrices("a plane kept", *_partly_kept()),
    _of_matrices("zero steps", *[np.zeros((3, 3))] * 2),
    _of_matrices("rank one, chained", *_chain),
    _of_matrices("rank one, unrelated", *[np.outer(unit(5), unit(5)) for _ in range(3)]),
    StepList(
        "sparse",
        [sp.csr_array(images_matrix([1, 2, 0, 3])), sp.coo_matrix(np.diag([1j, 1, -1, 1])), sp.csc_array(unitary(4))],
        [],
    ),
    StepList(
        "mixed",
        [np.array(_mixed_images), _mixed[0], _mixed[1], unitary(5).tolist()],
        [],
    ),
)  # fmt: skip
for _steps in LISTS:  # those given as sparse matrices or in a mixture
    if not _steps.dense:
        for _step in _steps.steps:
            dense = _step.toarray() if sp.issparse(_step) else np.asarray(_step)
            _steps.dense.append(images_matrix(dense) if dense.ndim == 1 else dense)


def _kept_vector(steps: StepList) -> np.ndarray:
    """A vector whose norm the steps keep as far as any does: the first right singular vector of their product."""
    product = np.eye(steps.d)
    for U in steps.dense:
        product = U @ product
    return np.linalg.svd(product)[2][0].conj()


SYSTEMS: tuple[System, ...] = tuple(
    System(steps, x, label)
    for steps in LISTS
    for label, x in (
        ("free", None),
        ("basis", np.eye(steps.d)[-1]),
        ("vector", unit(steps.d)),
        ("kept", _kept_vector(steps)),
    )
)


def degeneracy(spectrum: np.ndarray) -> int:
    """How often the lowest eigenvalue occurs: those within `ZERO` of it, absolutely."""
    return int(np.count_nonzero(spectrum < spectrum[0] + ZERO))


def gap(spectrum: np.ndarray) -> float | None:
    """The lowest eigenvalue above the ground space, or None."""
    above = spectrum[degeneracy(spectrum) :]
    return float(above[0]) if len(above) else None
