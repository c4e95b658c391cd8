"""Clock Hamiltonians run as circuits: evolution, history state, phase estimation and relaxation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from qiskit import QuantumCircuit
from qiskit.circuit.library import StatePreparation
from qiskit.quantum_info import Operator, Statevector, random_unitary

from circuits import clock
from circuits.clock.encoding import ENCODINGS, encoding_of
from hamiltonians import ClockHamiltonian, Gate, InputError
from qunn.quantum.clock_link import relax
from tests.systems.machines import BB2, BB3_STEPS, BY_NAME, EQUALITY, SMALL, Case

EXACT = 1e-10


def small_circuit() -> ClockHamiltonian:
    qc = QuantumCircuit(2, global_phase=0.4)
    qc.h(0)
    qc.cx(0, 1)
    qc.t(1)
    qc.append(random_unitary(4, seed=1).to_instruction(), [1, 0])
    return clock.from_circuit(qc)


def ran(circuit: QuantumCircuit, state: np.ndarray | None = None) -> np.ndarray:
    return (
        (Statevector.from_int(0, 2**circuit.num_qubits) if state is None else Statevector(state)).evolve(circuit).data
    )


def infidelity(psi: np.ndarray, phi: np.ndarray) -> float:
    """Of the directions: gates that Qiskit synthesises keep norms to about 1e-14 each."""
    return 1 - abs(np.vdot(psi, phi)) ** 2 / (np.linalg.norm(psi) * np.linalg.norm(phi)) ** 2


RUNS = {
    "BB(2) configuration": ClockHamiltonian.from_machine(BB2),
    "BB(2) tape": ClockHamiltonian.from_machine(BB2, "tape"),
    "BB(3) tape": ClockHamiltonian.from_machine(BB3_STEPS, "tape"),
    "BB(3) configuration": ClockHamiltonian.from_machine(BB3_STEPS),
    "circuit": small_circuit(),
}


# ------------------------------------------------------------------------------------ history state


def check_history(case: Case, encoding: str) -> None:
    H = case.H
    qubits = encoding_of(H.d, H.T, encoding)
    if qubits.qubits > 10:
        pytest.skip("too many qubits")
    found = ran(clock.history(H, encoding=encoding))
    assert np.abs(found - qubits.padded(H.history_state())).max() < EXACT


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", np.random.default_rng(1).choice(np.array(SMALL), 12, replace=False), ids=str)
def test_the_history_circuit_prepares_the_history_state(case: Case, encoding: str) -> None:
    check_history(case, encoding)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_the_history_circuit_of_every_small_machine(case: Case, encoding: str) -> None:
    check_history(case, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_history_of_gates_and_of_any_input(encoding: str) -> None:
    rng = np.random.default_rng(2)
    unitary = [np.linalg.qr(rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))[0] for _ in range(3)]
    H = ClockHamiltonian.from_steps(unitary)
    x = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    x /= np.linalg.norm(x)
    for K, start in ((H, x), (small_circuit(), None)):
        qubits = encoding_of(K.d, K.T, encoding)
        found = ran(clock.history(K, start, encoding=encoding))
        assert np.abs(found - qubits.padded(K.history_state(start))).max() < EXACT


def test_a_history_that_loses_norm_has_no_circuit() -> None:
    H = ClockHamiltonian.from_steps([np.array([1, 2, -1]), np.array([2, 1, -1])])
    clock.history(H, np.eye(3)[0])
    with pytest.raises(InputError, match=r"`steps\[1\]` must keep the norm"):
        clock.history(H, np.eye(3)[1])
    with pytest.raises(InputError, match="`x` must be given"):
        clock.history(H)


# ------------------------------------------------------------------------------------ evolution


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", RUNS)
def test_one_lie_step_by_term_keeps_the_history_state(name: str, encoding: str) -> None:
    """Spec section 5: infidelity at most 1e-12 at t = 7.3."""
    H = RUNS[name]
    qubits = encoding_of(H.d, H.T, encoding)
    if qubits.qubits > 12:
        pytest.skip("a unary clock of 21 qubits")
    psi = qubits.padded(H.history_state())
    after = ran(clock.evolution(H, 7.3, encoding=encoding), psi)
    assert abs(infidelity(psi, after)) < 1e-12
    assert np.abs(after - psi).max() < EXACT  # energy 0: no phase either


@pytest.mark.parametrize(("synthesis", "order", "reps"), [("lie", 1, 32), ("suzuki2", 2, 16), ("suzuki4", 4, 4)])
def test_pauli_strings_do_not_keep_it_and_their_infidelity_falls_at_twice_the_formulas_order(
    synthesis: str, order: int, reps: int
) -> None:
    """An error of the state ∝ reps^-p is an infidelity ∝ reps^-2p; at t = 7.3 it is not small."""
    H = ClockHamiltonian.from_machine(EQUALITY, "tape")
    qubits = encoding_of(H.d, H.T, "binary")
    psi = qubits.padded(H.history_state())

    def lost(t: float, reps: int) -> float:
        return infidelity(psi, ran(clock.evolution(H, t, reps=reps, synthesis=synthesis, terms="pauli"), psi))

    assert lost(7.3, 1) > 1e-2
    found = [lost(2.0, r) for r in (reps, 2 * reps)]
    assert np.log2(found[0] / found[1]) / 2 == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("terms", ["natural", "pauli"])
@pytest.mark.parametrize(("synthesis", "order", "reps"), [("lie", 1, 16), ("suzuki2", 2, 8), ("suzuki4", 4, 4)])
def test_the_operators_error_falls_at_the_formulas_order(synthesis: str, order: int, reps: int, terms: str) -> None:
    H = ClockHamiltonian.from_machine(EQUALITY, "tape")
    exact = scipy.linalg.expm(-1j * clock.operator(H).to_matrix())

    def error(reps: int) -> float:
        made = Operator(clock.evolution(H, 1.0, reps=reps, synthesis=synthesis, terms=terms)).data
        return float(np.linalg.norm(made - exact, 2))

    assert np.log2(error(reps) / error(2 * reps)) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("synthesis", "terms"), [("unitary", "natural"), ("lie", "natural"), ("lie", "pauli"), ("suzuki2", "pauli")]
)
def test_a_controlled_evolution_is_the_evolution_where_the_control_is_one(
    synthesis: str, terms: str, encoding: str
) -> None:
    H = BY_NAME["one_step-tape-tape_cells=2"].H
    options = {"synthesis": synthesis, "terms": terms, "encoding": encoding, "reps": 2}
    plain = Operator(clock.evolution(H, 0.7, **options)).data
    found = Operator(clock.evolution(H, 0.7, controlled=True, **options)).data
    assert np.abs(found - scipy.linalg.block_diag(np.eye(len(plain)), plain)).max() < EXACT
    if synthesis == "unitary":
        exact = scipy.linalg.expm(-0.7j * clock.operator(H, encoding).to_matrix())
        assert np.abs(plain - exact).max() < EXACT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"synthesis": "trotter"}, "`synthesis` must be one of lie, suzuki2, suzuki4, unitary, but is 'trotter'"),
        ({"terms": "bonds"}, "`terms` must be one of natural, pauli"),
        ({"reps": 0}, "`reps` must be an integer of at least 1, but is 0"),
        ({"reps": 1.5}, "`reps`"),
        ({"t": float("nan")}, "`t` must be finite"),
        ({"encoding": "gray"}, "`encoding`"),
    ],
)
def test_an_evolution_without_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        clock.evolution(RUNS["BB(2) tape"], **({"t": 1.0} | options))


# ------------------------------------------------------------------------------------ phase estimation


def eigenstate(H: ClockHamiltonian, k: int) -> tuple[float, QuantumCircuit]:
    energies, states = np.linalg.eigh(H.to_sparse().toarray())
    qubits = encoding_of(H.d, H.T, "binary")
    circuit = QuantumCircuit(qubits.qubits)
    circuit.append(StatePreparation(qubits.padded(states[:, k]).astype(complex)), circuit.qubits)
    return float(energies[k]), circuit


@pytest.mark.parametrize(("name", "qubits", "t"), [("BB(2) configuration", 3, None), ("BB(2) tape", 4, 1.1)])
def test_the_history_state_has_energy_zero_with_certainty(name: str, qubits: int, t: float | None) -> None:
    """One Lie step a power of U, by term: every factor leaves the state alone."""
    H = RUNS[name]
    found = clock.phase_estimation(H, clock.history(H), qubits=qubits, t=t)
    assert found.energy == 0
    assert abs(1 - found.probabilities[0]) < 1e-9
    assert found.probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("k", [1, 7, 30, 48])
def test_an_eigenstate_has_its_own_energy_within_the_resolution(k: int) -> None:
    H = RUNS["BB(2) configuration"]
    energy, circuit = eigenstate(H, k)
    found = clock.phase_estimation(H, circuit, qubits=6, synthesis="unitary")
    assert found.resolution == pytest.approx(2 * np.pi / (found.t * 64))
    assert abs(found.energy - energy) < found.resolution
    near = found.probabilities[np.abs(found.energies - energy) < found.resolution]
    assert near.sum() > 0.81  # 8/π²: both neighbours together


def test_outcomes_have_the_probabilities_of_the_textbook() -> None:
    """|sin(2^m δ/2) / (2^m sin(δ/2))|² with δ = Et - 2πk/2^m."""
    H = ClockHamiltonian.from_machine(EQUALITY, "tape")
    energy, circuit = eigenstate(H, 9)
    found = clock.phase_estimation(H, circuit, qubits=4, t=1.234, synthesis="unitary")
    delta = (energy - found.energies) * found.t
    expected = (np.sin(8 * delta) / (16 * np.sin(delta / 2))) ** 2
    assert 0.1 < energy < 3.9
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-10)


def test_an_eigenstate_through_a_product_formula() -> None:
    H = ClockHamiltonian.from_machine(EQUALITY, "tape")
    energy, circuit = eigenstate(H, 9)
    found = clock.phase_estimation(H, circuit, qubits=4, synthesis="suzuki4", reps=2)
    assert abs(found.energy - energy) < found.resolution


def test_a_time_beyond_the_phases_is_refused() -> None:
    H = RUNS["BB(2) tape"]
    with pytest.raises(InputError, match="`t` must be above 0 and below π/2"):
        clock.phase_estimation(H, clock.history(H), qubits=2, t=1.6)
    with pytest.raises(InputError, match="`qubits` must be an integer of at least 1"):
        clock.phase_estimation(H, clock.history(H), qubits=0)
    with pytest.raises(InputError, match="`state_circuit` must be on 7 qubits, but is 3"):
        clock.phase_estimation(H, QuantumCircuit(3), qubits=2)


# ------------------------------------------------------------------------------------ relaxation


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("h", [0.3, 0.45, 0.7])
def test_by_operator_it_is_the_qunns_relaxation_step_for_step(h: float, encoding: str) -> None:
    """h = 0.7 diverges, here as there; the block is divided by its norm then."""
    H = RUNS["circuit"]
    rng = np.random.default_rng(4)
    K0 = 2 * (rng.standard_normal(H.dimension) + 1j * rng.standard_normal(H.dimension))
    dense, steps = H.to_sparse().toarray(), 12
    found = clock.relaxation(H, K0, h=h, steps=steps, encoding=encoding)
    there = relax(torch.tensor(dense), torch.tensor(K0), h, steps)
    K = K0
    for m in range(steps):
        after = K - h * dense @ K
        assert np.abs(found.K[m + 1] - after).max() < EXACT * np.abs(after).max()
        chance = np.linalg.norm(after) ** 2 / (found.scale * np.linalg.norm(K)) ** 2
        assert found.success[m] == pytest.approx(chance, abs=1e-10)
        K = after
    np.testing.assert_allclose(found.K[-1], there.K.numpy(), atol=EXACT * np.abs(K).max())
    np.testing.assert_allclose(found.target, there.target.numpy(), atol=EXACT)
    np.testing.assert_allclose(found.distances, there.distances.numpy(), rtol=1e-8)
    assert (found.scale > 1) == (h > 2 / there.largest)


def test_by_term_it_is_the_product_of_exponentials_and_tends_to_the_history_state() -> None:
    H, tau = ClockHamiltonian.from_machine(EQUALITY, "tape"), 1.3
    rng = np.random.default_rng(5)
    K0 = rng.standard_normal(H.dimension)
    found = clock.relaxation(H, K0, tau=tau, steps=30, by="term")
    rows = encoding_of(H.d, H.T, "binary").rows
    sweep = np.eye(H.dimension)
    for term in clock.terms(H):
        if term.name != "padding":
            sweep = scipy.linalg.expm(-tau * term.operator().to_matrix()[np.ix_(rows, rows)].real) @ sweep
    K = K0
    for m in range(30):
        assert np.abs(found.K[m] - K).max() < EXACT
        assert found.success[m] == pytest.approx(np.linalg.norm(sweep @ K) ** 2 / np.linalg.norm(K) ** 2)
        K = sweep @ K
    assert (np.diff(found.distances) < 0).all()
    assert found.distances[-1] < 1e-3 * found.distances[0]
    assert found.fidelities[-1] == pytest.approx(1, abs=1e-5)
    assert np.abs(H.to_sparse() @ found.target).max() < 1e-12


@pytest.mark.parametrize("name", ["BB(2) tape", "BB(2) configuration", "circuit"])
def test_by_term_it_leaves_the_history_state_alone_at_any_step(name: str) -> None:
    H = RUNS[name]
    psi = H.history_state()
    found = clock.relaxation(H, psi, tau=3.7, steps=2, by="term")
    assert np.abs(found.K - psi).max() < EXACT
    np.testing.assert_allclose(found.success, 1, atol=1e-10)
    np.testing.assert_allclose(found.fidelities, 1, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"h": 0.3, "by": "term"}, '`h` must be left out with `by="term"`, which takes `tau`'),
        ({"tau": 0.3}, '`tau` must be left out with `by="operator"`'),
        ({"h": -1.0}, "`h` must be positive and finite, but is -1.0"),
        ({"by": "term"}, "`tau` must be positive and finite, but is None"),
        ({"h": 0.3, "by": "string"}, "`by` must be one of operator, term"),
        ({"h": 0.3, "steps": -1}, "`steps` must be an integer"),
        ({"h": 0.3, "K0": np.zeros(112)}, "`K0` must be finite, and not 0"),
        ({"h": 0.3, "K0": np.zeros(3)}, "`K0` must be a vector of 112 numbers"),
    ],
)
def test_a_relaxation_without_sense_is_refused(options: dict[str, object], message: str) -> None:
    H = RUNS["BB(2) tape"]
    with pytest.raises(InputError, match=message):
        clock.relaxation(H, **({"K0": np.ones(112), "steps": 2} | options))


def test_gates_keep_their_order_of_qubits_on_the_circuit() -> None:
    """An asymmetric two-qubit gate: exchanging its qubits, or data and clock, would show."""
    U = random_unitary(4, seed=8).data
    H = ClockHamiltonian.from_steps([Gate(U, (0, 2)), Gate(U, (1, 0))], np.eye(8)[3], n_qubits=3)
    found = ran(clock.history(H))
    assert np.abs(found - encoding_of(8, 2, "binary").padded(H.history_state())).max() < EXACT
