"""Every kind of step: its matrices, its compiled application, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from hamiltonians import ClockHamiltonian, Gate, InputError, kernels
from hamiltonians.contractions import MatrixSteps, as_steps
from hamiltonians.steps import CellSteps, HistorySteps, ImageSteps
from tests.systems.machines import SMALL, Case
from tests.systems.step_lists import LISTS, StepList, gate_matrix, unitary

ROUNDING = 32 * np.finfo(float).eps  # of a product with a contraction of at most 16 columns

lists = pytest.mark.parametrize("steps", LISTS, ids=lambda s: s.name.replace(" ", "_"))
X, Z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
CNOT = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])


@lists
def test_matrices_entries_and_properties(steps: StepList) -> None:
    packed = as_steps(steps.steps, steps.n_qubits)
    assert (packed.d, packed.T) == (steps.d, len(steps.dense))
    assert packed.unitary == steps.unitary
    assert packed.monomial == steps.monomial
    e = packed.entries()
    assert np.all(np.diff(e.j) >= 0)
    for j, U in enumerate(steps.dense):
        np.testing.assert_array_equal(packed.matrix(j).toarray(), U)
        here = e.j == j
        from_entries = sp.coo_array((e.value[here], (e.row[here], e.column[here])), shape=U.shape)
        np.testing.assert_array_equal(from_entries.toarray(), U)
    assert packed.nnz >= sum(np.count_nonzero(U) for U in steps.dense)
    assert packed.bytes_per_vector_step >= 0


@lists
def test_compiled_application_and_its_adjoint(steps: StepList, rng: np.random.Generator) -> None:
    data = as_steps(steps.steps, steps.n_qubits).data().cast(np.dtype(complex))
    for j, U in enumerate(steps.dense):
        x = rng.standard_normal(steps.d) + 1j * rng.standard_normal(steps.d)
        out = np.full(steps.d, np.nan + 0j)
        kernels.apply_step(data, j, x, out)
        np.testing.assert_allclose(out, U @ x, rtol=0, atol=ROUNDING * np.linalg.norm(x))
        kernels.apply_adjoint(data, j, x, out)
        np.testing.assert_allclose(out, U.conj().T @ x, rtol=0, atol=ROUNDING * np.linalg.norm(x))


@pytest.mark.parametrize("case", SMALL[::3], ids=str)
def test_images_and_preimages_of_machines(case: Case) -> None:
    steps = case.H.steps
    for j, U in enumerate(_in_order_of_H(case)):
        np.testing.assert_array_equal(steps.matrix(j).toarray(), U)
        columns = [int(np.flatnonzero(c)[0]) if c.any() else -1 for c in U.T]
        rows = [int(np.flatnonzero(r)[0]) if r.any() else -1 for r in U]
        assert [kernels.image(steps.data(), j, x) for x in range(steps.d)] == columns
        assert [kernels.preimage(steps.data(), j, x) for x in range(steps.d)] == rows


def _in_order_of_H(case: Case) -> list[np.ndarray]:
    if case.space != "function":
        return case.literal.steps
    order = case.rows[:: case.literal.T + 1] // (case.literal.T + 1)
    return [U[np.ix_(order, order)] for U in case.literal.steps]


def test_kinds_are_recognised() -> None:
    images = np.array([[1, 0, 2], [0, -1, 1]])
    assert isinstance(as_steps(images), ImageSteps)
    assert isinstance(as_steps(list(images)), ImageSteps)
    assert isinstance(as_steps([np.eye(2)]), MatrixSteps)
    assert isinstance(as_steps([np.eye(2, dtype=int)]), MatrixSteps)  # a list of matrices, not of images
    assert isinstance(as_steps(np.stack([np.eye(2)] * 3)), MatrixSteps)
    assert as_steps([sp.eye_array(2), np.array([1, -1])]).T == 2
    assert HistorySteps(0).unitary
    assert not HistorySteps(1).unitary
    assert CellSteps(np.zeros(2, int), np.zeros(2, np.uint8), np.zeros(2, np.uint8), 1, 3).unitary


def test_completed_images_are_permutations_that_extend_the_step() -> None:
    images = ImageSteps(np.array([[1, -1, 3, -1], [-1, -1, -1, -1], [2, 0, 1, 3]], np.int32))
    completed = images.completed()
    assert completed.unitary
    assert not images.unitary
    assert np.all((images.images < 0) | (completed.images == images.images))
    np.testing.assert_array_equal(completed.images[1], np.arange(4))


def test_gate_convention_is_that_of_numpy_kron() -> None:
    I2 = np.eye(2)
    np.testing.assert_array_equal(gate_matrix(Gate(X, (0,)), 3), np.kron(X, np.kron(I2, I2)))
    np.testing.assert_array_equal(gate_matrix(Gate(CNOT, (0, 1)), 3), np.kron(CNOT, I2))
    np.testing.assert_array_equal(gate_matrix(Gate(CNOT, (1, 2)), 3), np.kron(I2, CNOT))
    H = ClockHamiltonian.from_steps([Gate(CNOT, (0, 1)), Gate(CNOT, (1, 0))], n_qubits=2)
    np.testing.assert_array_equal(H.steps.matrix(0).toarray(), CNOT)
    swapped = CNOT.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
    np.testing.assert_array_equal(H.steps.matrix(1).toarray(), swapped)


# ------------------------------------------------------------------------------------ refusals

REFUSED = {
    "no step": ([], {}, "at least one step"),
    "no contraction": ([np.eye(2), 1.01 * np.eye(2)], {}, r"steps\[1\].*contraction"),
    "no contraction, though every column is short": ([np.full((4, 4), 0.4)], {}, r"steps\[0\].*contraction"),
    "a shear": ([np.array([[1, 0.2], [0, 1]])], {}, "contraction"),
    "two shapes": ([np.eye(2), np.eye(3)], {}, r"steps\[1\].*2×2"),
    "not square": ([np.zeros((2, 3))], {}, r"steps\[0\]"),
    "three dimensions": ([np.zeros((2, 2, 2))], {}, r"steps\[0\]"),
    "a number": ([3.0], {}, r"steps\[0\]"),
    "an empty matrix": ([np.zeros((0, 0))], {}, r"steps\[0\]"),
    "text": ([np.array([["a"]])], {}, r"steps\[0\]"),
    "NaN": ([np.array([[1, 0], [0, np.nan]])], {}, "finite"),
    "NaN in a sparse matrix": ([sp.csr_array(np.array([[1, 0], [0, np.nan]]))], {}, "finite"),
    "infinity": ([np.array([[np.inf, 0], [0, 1]])], {}, "finite"),
    "fractional images": ([np.array([0.0, 1.0])], {}, "integer"),
    "images of two lengths": ([np.array([0, 1]), np.array([0, 1, 2])], {}, "one length"),
    "an image twice": ([np.array([0, 1, 2]), np.array([1, 1, 0])], {}, r"steps\[1\].*0 and 1 both to 1"),
    "an image too large": ([np.array([0, 2])], {}, r"steps\[0\].*2"),
    "an image below -1": ([np.array([0, -2])], {}, r"steps\[0\].*-2"),
    "a table with an image too large": (np.array([[0, 1], [0, 2]]), {}, r"`steps` must be images.*2"),
    "a table with an image below -1": (np.array([[0, 1], [-3, 1]]), {}, r"`steps` must be images.*-3"),
    "gates without a number of qubits": ([Gate(X, (0,))], {}, "n_qubits"),
    "gates and matrices": ([Gate(X, (0,)), np.eye(4)], {"n_qubits": 2}, "all gates or no gates"),
    "one qubit": ([Gate(X, (0,))], {"n_qubits": 1}, "from 2 "),
    "a qubit that is not there": ([Gate(CNOT, (0, 2))], {"n_qubits": 2}, r"steps\[0\].qubits"),
    "a negative qubit": ([Gate(CNOT, (0, -1))], {"n_qubits": 2}, r"steps\[0\].qubits"),
    "a qubit twice": ([Gate(CNOT, (1, 1))], {"n_qubits": 2}, r"steps\[0\].qubits"),
    "a two-qubit matrix on one qubit": ([Gate(CNOT, (1,))], {"n_qubits": 2}, "2×2 gate"),
    "three qubits": ([Gate(np.eye(8), (0, 1, 2))], {"n_qubits": 3}, "2×2 gate"),
    "a gate that is not unitary": ([Gate(0.9 * X, (0,))], {"n_qubits": 2}, "unitary gate"),
    "initial of another length": ([np.eye(2)], {"initial": [1, 0, 0]}, "initial.*length 2"),
    "initial of rows of two lengths": ([np.eye(2)], {"initial": [[1], [0, 1]]}, "initial.*a vector of numbers"),
    "initial as text": ([np.eye(2)], {"initial": ["1", "0"]}, "initial.*a vector of numbers"),
    "initial as a column": ([np.eye(2)], {"initial": [[1], [0]]}, "initial.*length 2"),
    "initial not of unit norm": ([np.eye(2)], {"initial": [1, 1]}, "unit vector"),
    "initial with NaN": ([np.eye(2)], {"initial": [np.nan, 0]}, "unit vector"),
    "initial zero": ([np.eye(2)], {"initial": [0, 0]}, "unit vector"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name: str) -> None:
    steps, options, reason = REFUSED[name]
    with pytest.raises(InputError, match=reason) as caught:
        ClockHamiltonian.from_steps(steps, **options)
    assert "\n" not in str(caught.value)


EASY_TO_MISS = {
    "a gate with NaN": ([Gate(np.full((2, 2), np.nan), (0,))], {"n_qubits": 2}),
    "an image beyond 32 bits": ([np.array([2**32, 1])], {}),
    "an image too large beside a matrix": ([np.array([7, 1]), np.eye(2)], {}),
    "an image below -1 beside a matrix": ([np.array([-5, 1]), np.eye(2)], {}),
}


@pytest.mark.parametrize("name", EASY_TO_MISS)
def test_refused_although_scipy_or_numpy_would_take_it_or_complain(name: str) -> None:
    steps, options = EASY_TO_MISS[name]
    with pytest.raises(InputError, match=r"steps\[0\]"):
        ClockHamiltonian.from_steps(steps, **options)


def test_single_precision_unitaries_are_contractions_to_their_own_rounding() -> None:
    assert as_steps([unitary(3).astype(np.complex64)]).d == 3


def test_a_random_unitary_passes_at_any_size() -> None:
    for d in (2, 17, 64):
        assert as_steps([unitary(d)]).unitary


@pytest.mark.parametrize("wrong", [-2, 3])
def test_a_table_of_images_refuses_what_is_no_state(wrong: int) -> None:
    with pytest.raises(InputError, match=rf"`steps\[1\]` must be images from -1 \(none\) to 2, but is {wrong}"):
        ImageSteps(np.array([[0, 1, 2], [0, wrong, 1]], np.int32))
