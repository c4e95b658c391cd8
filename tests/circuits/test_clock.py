"""Clock Hamiltonians on qubits: operators, natural terms and circuits of Qiskit against dense literal matrices."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import scipy.linalg
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.library import PauliEvolutionGate, QFTGate, XGate
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

from circuits import clock
from circuits.clock.encoding import ENCODINGS, cover, encoding_of
from circuits.clock.from_qiskit import unitary_part
from hamiltonians import ClockHamiltonian, Gate, InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from tests.systems.machines import BB2, BY_NAME, SMALL, Case

EXACT = 1e-10
FEW = (
    "1LB1LZ_1RB0LA-tape",
    "one_step-tape-tape_cells=2",
    "stays,_with_long_symbols,_input_longer_than_what_is_read-tape",  # an alphabet of 3
    "right_to_the_end,_left_to_the_start,_leaving_marks-function-input_length=1-input=b",
)


def random_contraction(d: int, rng: np.random.Generator, singular: tuple[float, ...]) -> np.ndarray:
    A, B = (np.linalg.qr(rng.standard_normal((d, d)) + 1j * rng.standard_normal((d, d)))[0] for _ in range(2))
    return A @ np.diag(np.resize(singular, d)) @ B


def other_hamiltonians() -> dict[str, ClockHamiltonian]:
    """Steps that no machine has: odd sizes, complex, H_in."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    x /= np.linalg.norm(x)
    unitary = [np.linalg.qr(rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))[0] for _ in range(4)]
    one, two = random_unitary(2, seed=5).data, random_unitary(4, seed=6).data
    gates = [Gate(two, (2, 0)), Gate(one, (1,)), Gate(two, (0, 1))]
    return {
        "unitary": ClockHamiltonian.from_steps(unitary, x),
        "contractions": ClockHamiltonian.from_steps([random_contraction(3, rng, (1, 0.6, 0)) for _ in range(3)]),
        "partial isometries": ClockHamiltonian.from_steps([random_contraction(4, rng, (1, 1, 0)) for _ in range(2)]),
        "images": ClockHamiltonian.from_steps([np.array([1, 0, -1, 4, 2]), np.array([4, 3, 2, 1, 0])]),
        "nothing": ClockHamiltonian.from_steps([np.array([-1, -1])]),
        "gates": ClockHamiltonian.from_steps(gates, np.eye(8)[5], n_qubits=3),
        "one state": ClockHamiltonian.from_steps([np.array([[1j]]), np.array([[-1.0]])]),
    }


OTHERS = other_hamiltonians()


def literal_qubits(H: ClockHamiltonian, matrix: np.ndarray, encoding: str) -> np.ndarray:
    """H on the qubits, from the literal matrix, or for a unary clock from projectors as tensor products.

    Kitaev's unary form is written down a second time here, with numpy.kron from the highest qubit to the lowest.
    """
    if encoding == "binary":
        N, clock_states = 2 ** H.T.bit_length(), H.T + 1
        d = 2 ** (H.d - 1).bit_length()
        full = 4 * np.eye(d * N, dtype=matrix.dtype).reshape(d, N, d, N)
        full[: H.d, :clock_states, : H.d, :clock_states] = matrix.reshape(H.d, clock_states, H.d, clock_states)
        return full.reshape(d * N, d * N)
    T, d = H.T, 2 ** (H.d - 1).bit_length()
    used = np.diag((np.arange(d) < H.d).astype(float))

    def on_clock(**factors: np.ndarray) -> np.ndarray:
        at = {int(name[1:]): factor for name, factor in factors.items() if 0 <= int(name[1:]) < T}
        return reduce(np.kron, [at.get(q, np.eye(2)) for q in reversed(range(T))], np.eye(1))

    zero, one, raising = np.diag([1.0, 0]), np.diag([0, 1.0]), np.array([[0, 0], [1.0, 0]])
    full = np.kron(np.eye(d) - used, 4 * np.eye(2**T)).astype(complex)
    for j in range(T):
        around = {f"q{j - 1}": one, f"q{j + 1}": zero}
        U = np.zeros((d, d), complex)
        U[: H.d, : H.d] = H.steps.matrix(j).toarray()
        hop = np.kron(U, on_clock(**{f"q{j}": raising}, **around))
        full += np.kron(used, on_clock(**around)) - hop - hop.conj().T
        if j:
            full += 4 * np.kron(np.eye(d), on_clock(**{f"q{j - 1}": zero, f"q{j}": one}))
    if H.initial is not None:
        outside = used.astype(complex)
        outside[: H.d, : H.d] -= np.outer(H.initial, H.initial.conj())
        full += np.kron(outside, on_clock(q0=zero))
    return full


def check_operator(H: ClockHamiltonian, matrix: np.ndarray, encoding: str) -> np.ndarray:
    """The Pauli strings are the literal matrix; what encodes nothing lies at the penalty and mixes with nothing."""
    qubits = encoding_of(H.d, H.T, encoding)
    found = clock.operator(H, encoding).to_matrix()
    assert np.abs(found - literal_qubits(H, matrix, encoding)).max() < EXACT
    others = np.setdiff1d(np.arange(2**qubits.qubits), qubits.rows)
    assert np.abs(found[np.ix_(qubits.rows, qubits.rows)] - matrix).max() < EXACT
    if len(others):
        assert np.abs(found[np.ix_(qubits.rows, others)]).max() < 1e-14
        assert np.linalg.eigvalsh(found[np.ix_(others, others)])[0] > 4 - 1e-9
    return found


def check_terms(H: ClockHamiltonian, encoding: str, controlled: bool) -> None:
    """Every circuit of every term is the exponential of its matrix; the matrices add up to H."""
    total = 0
    for term in clock.terms(H, encoding):
        K = term.operator().to_matrix()
        total = total + K
        U = scipy.linalg.expm(-0.83j * K)
        assert np.abs(Operator(term.exponential(0.83)).data - U).max() < EXACT, term.name
        if controlled:
            found = Operator(term.exponential(0.83, controlled=True)).data
            assert np.abs(found - scipy.linalg.block_diag(np.eye(len(K)), U)).max() < EXACT, term.name
        if term.name != "padding":
            kept = Operator(term.damping(0.37)).data[: len(K), : len(K)]
            assert np.abs(kept - scipy.linalg.expm(-0.37 * K)).max() < EXACT, term.name
    assert np.abs(total - clock.operator(H, encoding).to_matrix()).max() < EXACT


def fits(H: ClockHamiltonian, encoding: str, most: int) -> bool:
    return 0 < encoding_of(H.d, H.T, encoding).qubits <= most


# ------------------------------------------------------------------------------------ operators and terms


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_the_operator_of_every_small_machine_is_the_padded_literal_matrix(case: Case, encoding: str) -> None:
    if not fits(case.H, encoding, 7):
        pytest.skip("a dense matrix of this many qubits takes too long")
    check_operator(case.H, case.matrix, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", OTHERS)
def test_any_steps_have_their_operator_and_exact_terms(name: str, encoding: str) -> None:
    H = OTHERS[name]
    check_operator(H, H.to_sparse().toarray(), encoding)
    check_terms(H, encoding, controlled=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", FEW)
def test_terms_of_machines_are_exact(name: str, encoding: str) -> None:
    H = BY_NAME[name].H
    if not fits(H, encoding, 6):
        pytest.skip("in the slow test")
    check_terms(H, encoding, controlled=H.dimension < 30)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_terms_of_every_small_machine_are_exact(case: Case, encoding: str) -> None:
    if not fits(case.H, encoding, 6):
        pytest.skip("many matrices of this many qubits take too long")
    check_operator(case.H, case.matrix, encoding)
    check_terms(case.H, encoding, controlled=fits(case.H, encoding, 5))


def test_the_unary_ground_space_is_that_of_H() -> None:
    """Nine qubits, T = 6: the illegal strings add nothing below 4."""
    H = BY_NAME["1RB1LB_1LA1RZ-configuration"].H
    energies, states = np.linalg.eigh(clock.operator(H, "unary").to_matrix().real)
    psi = encoding_of(H.d, H.T, "unary").padded(H.history_state())
    assert abs(energies[0]) < 1e-12
    assert abs(abs(np.vdot(states[:, 0], psi)) - 1) < 1e-12
    exact = np.linalg.eigvalsh(H.to_sparse().toarray())
    np.testing.assert_allclose(energies[: H.dimension], exact, atol=1e-12)


def test_small_strings_are_not_left_out() -> None:
    """Qiskit drops coefficients below 1e-8 unless told otherwise."""
    U = np.diag([1e-9, 0.5, 0.25])
    H = ClockHamiltonian.from_steps([U])
    found = clock.operator(H).to_matrix()
    assert abs(found[1, 0] + 1e-9) < 1e-15


def test_a_step_on_a_binary_alphabet_needs_its_cell_and_the_clock_only() -> None:
    H = ClockHamiltonian.from_machine(BB2, "tape")
    qubits = encoding_of(H.d, H.T, "unary")
    for j, term in enumerate(clock.terms(H, "unary")[: H.T]):
        cell = qubits.data[H.steps.cells - 1 - int(H.steps.cell[j])]
        near = {cell, j - 1, j, j + 1}
        circuit = term.exponential(0.3)
        assert {circuit.find_bit(q).index for gate in circuit.data for q in gate.qubits} <= near


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_cover_marks_each_state_once(k: int) -> None:
    rng = np.random.default_rng(k)
    for density in (0.0, 0.2, 0.5, 0.9, 1.0):
        inside = rng.random(2**k) < density
        marks = np.zeros(2**k, int)
        for pattern in cover(inside, range(k)):
            marks += [all(x >> q & 1 == b for q, b in pattern.items()) for x in range(2**k)]
        assert np.array_equal(marks, inside)


def test_names_and_sizes_that_do_not_fit_are_told() -> None:
    H = OTHERS["unitary"]
    with pytest.raises(InputError, match="`encoding` must be one of binary, unary, but is 'gray'"):
        clock.operator(H, "gray")
    plain = ClockHamiltonian.from_steps([np.linalg.qr(np.random.default_rng(0).standard_normal((300, 300)))[0]])
    with pytest.raises(InputError, match=r"`steps\[0\]` is a plain matrix on 9"):
        clock.terms(plain)
    token = memory_limit.set(2**16)
    try:
        with pytest.raises(MemoryEstimateError):
            clock.operator(ClockHamiltonian.from_machine(BB2, "tape"), "unary")
        with pytest.raises(MemoryEstimateError):
            clock.evolution(ClockHamiltonian.from_machine(BB2), 1.0, synthesis="unitary")
    finally:
        memory_limit.reset(token)


# ------------------------------------------------------------------------------------ circuits of Qiskit


def last_slice(H: ClockHamiltonian) -> np.ndarray:
    return H.history_state().reshape(H.d, H.T + 1)[:, -1] * np.sqrt(H.T + 1)


def asymmetric(n: int, gates: int, seed: int) -> QuantumCircuit:
    rng = np.random.default_rng(seed)
    qc = QuantumCircuit(n, global_phase=float(rng.uniform(0, 6)))
    for _ in range(gates):
        size = min(n, int(rng.integers(1, 4)))
        qubits = rng.permutation(n)[:size].tolist()
        qc.append(random_unitary(2**size, seed=int(rng.integers(1 << 30))).to_instruction(), qubits)
    return qc


@pytest.mark.parametrize(("n", "gates"), [(1, 3), (2, 4), (3, 5), (4, 6), (5, 5)])
def test_the_last_clock_state_holds_the_circuits_state(n: int, gates: int) -> None:
    """Global phase included: it is part of the last step."""
    qc = asymmetric(n, gates, seed=n)
    H = clock.from_circuit(qc)
    assert np.abs(last_slice(H) - Statevector(qc).data).max() < EXACT
    assert H.d == 2**n
    assert np.abs(H.to_sparse() @ H.history_state()).max() < 1e-12


def test_named_gates_on_asymmetric_qubits() -> None:
    qc = QuantumCircuit(4, name="named")
    qc.h(0)
    qc.cx(0, 3)
    qc.barrier()
    qc.ccx(3, 0, 1)
    qc.swap(1, 2)  # no permutation is elided
    qc.append(QFTGate(3), [2, 0, 3])
    qc.append(XGate().control(3, ctrl_state=5, annotated=True), [0, 2, 3, 1])
    qc.delay(10, 0)
    qc.id(1)
    qc.rzz(0.3, 2, 1)
    H = clock.from_circuit(qc)
    assert np.abs(last_slice(H) - Statevector(unitary_part(qc)).data).max() < EXACT
    assert H.initial is not None
    assert np.array_equal(np.flatnonzero(H.initial), [0])


def test_a_step_for_each_small_gate() -> None:
    qc = QuantumCircuit(3, 3)
    qc.h(2)
    qc.cz(0, 2)
    qc.barrier()
    qc.t(1)
    qc.measure([0, 1, 2], [0, 1, 2])
    assert clock.from_circuit(qc).T == 3


def test_a_pauli_evolution_is_its_product_formula() -> None:
    """Qiskit's own operator of that gate is the exact exponential, which no machine runs."""
    qc = QuantumCircuit(3)
    qc.h([0, 1, 2])
    strings, c = ["XXI", "IZY", "YIZ"], [0.5, 0.7, 0.3]
    qc.append(PauliEvolutionGate(SparsePauliOp(strings, c), 0.9), [0, 1, 2])
    state, start = last_slice(clock.from_circuit(qc)), np.full(8, 8**-0.5)
    terms = [-0.9j * x * SparsePauliOp(P).to_matrix() for P, x in zip(strings, c, strict=True)]
    formula = reduce(lambda v, term: scipy.linalg.expm(term) @ v, terms, start)
    assert np.abs(state - formula).max() < EXACT
    assert np.abs(state - scipy.linalg.expm(sum(terms)) @ start).max() > 1e-2


def test_the_input_is_zero_alone() -> None:
    qc = asymmetric(2, 3, seed=9)
    H = clock.from_circuit(qc).to_sparse().toarray()
    energies = np.linalg.eigvalsh(H)
    assert abs(energies[0]) < 1e-12
    assert energies[1] > 1e-2  # Kitaev's form without H_in has four ground states here


def test_circuits_that_are_not_unitary_are_refused_by_instruction() -> None:
    def made(build: object) -> QuantumCircuit:
        qc = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(2, "c"))
        qc.h(0)
        build(qc)  # type: ignore[operator]
        return qc

    def conditional(qc: QuantumCircuit) -> None:
        with qc.if_test((qc.clbits[0], 1)):
            qc.x(1)

    def measured_before(qc: QuantumCircuit) -> None:
        qc.measure(0, 0)
        qc.cx(1, 0)

    refused = {
        r"instruction 2 \(cx\) acts on what instruction 1 measured": measured_before,
        "instruction 1 is reset": lambda qc: qc.reset(1),
        "instruction 1 is if_else": conditional,
        "instruction 1 is initialize": lambda qc: qc.initialize([0, 1], 0),
        "theta are open": lambda qc: qc.rx(Parameter("theta"), 0),
    }
    for message, build in refused.items():
        with pytest.raises(InputError, match=message):
            clock.from_circuit(made(build))
    with pytest.raises(InputError, match="at least one gate"):
        clock.from_circuit(QuantumCircuit(2))
    with pytest.raises(InputError, match="one qubit at least"):
        clock.from_circuit(QuantumCircuit())
    with pytest.raises(InputError, match="a QuantumCircuit"):
        clock.from_circuit("h q[0];")
