"""Noise against dense Kraus sums, against trajectories, and on the qubits that a device has."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary
from qiskit_aer.noise import NoiseModel, depolarizing_error

from circuits.backends import backend
from circuits.noise import depolarising, from_fake, gates, noise_of, pairs
from hamiltonians import InputError

Array = NDArray[np.complex128]
LINE = [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2], [3, 4], [4, 3]]


def asymmetric(n: int = 3, seed: int = 0) -> QuantumCircuit:
    """Two-qubit unitaries on all pairs: no symmetry, no particular order of qubits."""
    rng, circuit = np.random.default_rng(seed), QuantumCircuit(n)
    for high in range(n):
        for low in range(high):
            circuit.unitary(random_unitary(4, seed=int(rng.integers(1 << 30))), [high, low])
    return circuit


def fidelity(rho: Array, circuit: QuantumCircuit) -> float:
    psi = Statevector(circuit).data
    return float((psi.conj() @ rho @ psi).real)


def depolarised(rho: Array, rate: float, qubits: list[int], n: int) -> Array:
    """(1-λ) ρ + λ I/2^k ⊗ tr ρ literally: entry by entry."""
    k, mask = len(qubits), sum(1 << q for q in qubits)
    mixed = np.zeros_like(rho)
    for row in range(2**n):
        for column in range(2**n):
            if (row & mask) == (column & mask):
                others = [sum((v >> j & 1) << q for j, q in enumerate(qubits)) for v in range(2**k)]
                mixed[row, column] = sum(rho[(row & ~mask) | v, (column & ~mask) | v] for v in others) / 2**k
    return (1 - rate) * rho + rate * mixed


# --- the model ---


def test_one_gate_of_each_kind_is_depolarised_as_the_formula_says() -> None:
    circuit = QuantumCircuit(3)
    circuit.ry(0.7, 2)
    circuit.cx(2, 0)
    noise = depolarising(one_qubit=0.02, two_qubit=0.05, readout=0.1)
    found = backend("CPU", "density_matrix", noise=noise).densities([circuit])[0]
    turn = QuantumCircuit(3)
    turn.ry(0.7, 2)
    psi = Statevector(turn).data
    rho = depolarised(np.outer(psi, psi.conj()), 0.02, [2], 3)
    hop = np.zeros((8, 8))
    for column in range(8):
        hop[column ^ (column >> 2 & 1), column] = 1  # qubit 2 controls, qubit 0 is the target
    np.testing.assert_allclose(found, depolarised(hop @ rho @ hop.T, 0.05, [0, 2], 3), atol=1e-12)


def test_readout_flips_bits_alone() -> None:
    circuit, shots = QuantumCircuit(2), 20_000
    circuit.x(1)
    (found,) = backend("CPU", noise=depolarising(readout=0.1), seed=1).counts([circuit], shots)
    for key, p in ((0b10, 0.81), (0b11, 0.09), (0b00, 0.09), (0b01, 0.01)):
        assert abs(found[key] - shots * p) < 5 * np.sqrt(shots * p * (1 - p))


def test_fidelity_falls_with_the_error_rate_and_tends_to_one() -> None:
    circuit = asymmetric()
    rates = [0.0, 1e-7, 1e-5, 1e-3, 1e-2, 0.1, 0.3, 1.0]
    found = []
    for rate in rates:
        run = backend("CPU", "density_matrix", noise=depolarising(rate / 10, rate))
        found.append(fidelity(run.densities([circuit])[0], circuit))
    assert found[0] == pytest.approx(1, abs=1e-12)
    assert 1 - found[1] == pytest.approx((1 - found[2]) / 100, rel=1e-2)  # linear near 0: its limit is 1
    assert 1e-8 < 1 - found[1] < 1e-5
    assert (np.diff(found) < 0).all()
    assert found[-1] < 0.3


@pytest.mark.parametrize("basis", ["computational", "another"])
@pytest.mark.parametrize("method", ["statevector", "matrix_product_state"])
def test_density_matrix_is_the_average_of_trajectories(method: str, basis: str) -> None:
    """Populations in the computational basis, and after a noisy turn of every qubit into another."""
    circuit, shots = asymmetric(seed=4), 10_000 if method == "statevector" else 2_000
    if basis == "another":
        for q in range(3):
            circuit.unitary(random_unitary(2, seed=q), [q])
    noise = depolarising(0.02, 0.05)
    rho = backend("CPU", "density_matrix", noise=noise).densities([circuit])[0]
    (found,) = backend("CPU", method, noise=noise, seed=11).counts([circuit], shots)
    p = rho.diagonal().real
    counts = np.array([found.get(key, 0) for key in range(8)])
    sigma = np.sqrt(shots * p * (1 - p))
    assert (np.abs(counts - shots * p) < 5 * sigma).all()
    ideal = np.abs(Statevector(circuit).data) ** 2
    assert (np.abs(counts - shots * ideal) > 5 * sigma).any()  # the noise is really there


def test_expectations_are_of_the_noisy_state() -> None:
    circuit = asymmetric()
    run = backend("CPU", "density_matrix", noise=depolarising(0.01, 0.03))
    operator = SparsePauliOp(["XYZ", "ZII"], [0.7, -1.2])
    rho = run.densities([circuit])[0]
    expected = np.trace(operator.to_matrix() @ rho).real
    assert run.expectations([circuit], operator)[0] == pytest.approx(expected, abs=1e-12)


# --- a device ---


@pytest.mark.parametrize("seed", range(3))
def test_devices_without_errors_leave_the_state_wherever_its_qubits_went(seed: int) -> None:
    """Routing moves qubits about: with errors of nearly nothing the density matrix must still be the exact one."""
    noise = NoiseModel(basis_gates=["cx", "rz", "sx", "x"])
    for pair in LINE:
        noise.add_quantum_error(depolarizing_error(1e-13, 2), ["cx"], pair)
    circuit = asymmetric(4, seed)
    run = backend("CPU", "density_matrix", noise=noise, seed=seed)
    psi = Statevector(circuit).data
    np.testing.assert_allclose(run.densities([circuit])[0], np.outer(psi, psi.conj()), atol=1e-10)
    operator = SparsePauliOp(["XYZI", "IIZX"], [0.7, -1.2])
    expected = (psi.conj() @ operator.to_matrix() @ psi).real
    assert run.expectations([circuit], operator)[0] == pytest.approx(expected, abs=1e-10)
    (found,) = run.counts([circuit], 10_000)
    p = np.abs(psi) ** 2
    counts = np.array([found.get(key, 0) for key in range(16)])
    assert (np.abs(counts - 10_000 * p) < 5 * np.sqrt(10_000 * p * (1 - p)) + 1).all()


def test_a_device_of_more_qubits_than_memory_holds_a_density_matrix_for() -> None:
    noise = from_fake(GenericBackendV2(24, seed=2, coupling_map=[[i, i + 1] for i in range(23)]))
    rho = backend("CPU", "density_matrix", noise=noise).densities([asymmetric(2)])[0]
    assert rho.shape == (4, 4)
    assert np.trace(rho).real == pytest.approx(1, abs=1e-9)


def test_noise_sits_on_the_gates_that_run() -> None:
    """Trap: a gate, or a pair, that the model does not name runs without any noise."""
    device = GenericBackendV2(5, seed=1, coupling_map=LINE)
    noise = from_fake(device)
    assert set(gates(noise)) == {"cx", "id", "rz", "sx", "x"}
    assert sorted(pairs(noise).get_edges()) == sorted(map(tuple, LINE))
    run = backend("CPU", "density_matrix", noise=noise)
    far = QuantumCircuit(5)
    far.x(0)
    for q in range(1, 5):
        far.cx(0, q)
    ready, _ = run._prepared(far)
    used = {(one.operation.name, tuple(ready.find_bit(q).index for q in one.qubits)) for one in ready.data}
    errors = {
        (name, tuple(at)) for e in noise.to_dict()["errors"] for name in e["operations"] for at in e["gate_qubits"]
    }
    assert {place for place in used if place[0] not in ("rz", "barrier")} <= errors
    near = QuantumCircuit(5)
    near.x(0)
    near.cx(0, 1)
    lost = [1 - fidelity(rho, circuit) for circuit in (near, far) for rho in run.densities([circuit])]
    assert 1e-4 < lost[0] < lost[1] < 0.5


def test_too_many_qubits_for_the_device() -> None:
    noise = from_fake(GenericBackendV2(3, seed=1, coupling_map=[[0, 1], [1, 2]]))
    with pytest.raises(InputError, match="at most the 3 qubits of the device, but is 4"):
        backend("CPU", noise=noise).counts([QuantumCircuit(4)], 1)


# --- names, rates, refusals ---


def test_fake_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeLineV2(GenericBackendV2):
        def __init__(self) -> None:
            super().__init__(3, seed=5, coupling_map=[[0, 1], [1, 2]])

    provider = ModuleType("qiskit_ibm_runtime.fake_provider")
    vars(provider).update(FakeLineV2=FakeLineV2, FakeOld=object)
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", ModuleType("qiskit_ibm_runtime"))
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.fake_provider", provider)
    assert issubclass(FakeLineV2, BackendV2)
    assert noise_of("FakeLineV2") == from_fake(FakeLineV2())
    for name in ("FakeNoneV2", "FakeOld"):
        with pytest.raises(InputError, match="such as FakeManilaV2"):
            from_fake(name)


def test_fake_backends_by_name_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.fake_provider", None)
    with pytest.raises(InputError, match="pip install qiskit-ibm-runtime"):
        from_fake("FakeManilaV2")


def test_rates_of_a_command_line() -> None:
    assert noise_of("0.01") == depolarising(0.001, 0.01, 0.001)
    for text in ("1.5", "-1", "nan"):
        with pytest.raises(InputError, match=r"a rate in \[0, 1\]"):
            noise_of(text)


def test_wrong_rates_and_backends() -> None:
    for name in ("one_qubit", "two_qubit", "readout"):
        for rate in (-0.1, 1.1, float("nan")):
            with pytest.raises(InputError, match=rf"`{name}` must be in \[0, 1\]"):
                depolarising(**{name: rate})
    with pytest.raises(InputError, match="a BackendV2"):
        from_fake(3)  # type: ignore[arg-type]


def test_noise_where_it_cannot_be() -> None:
    noise = depolarising(0.01, 0.01)
    with pytest.raises(InputError, match="`noise` must be None for states"):
        backend("CPU", noise=noise).states([QuantumCircuit(1)])
    with pytest.raises(InputError, match="density_matrix for densities with noise"):
        backend("CPU", noise=noise).densities([QuantumCircuit(1)])
    with pytest.raises(InputError, match="density_matrix for expectations with noise"):
        backend("CPU", noise=noise).expectations([QuantumCircuit(1)], SparsePauliOp(["X"]))
    with pytest.raises(InputError, match="`noise` must be None with stabilizer"):
        backend("CPU", "stabilizer", noise=noise)
