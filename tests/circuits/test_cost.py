"""Counts on circuits whose cost is known by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import random_clifford, random_unitary

from circuits.cost import resources
from hamiltonians import InputError


def test_counts_by_hand() -> None:
    """h, rz, cx, swap (3 cx), a merged pair of one-qubit gates, and an idle qubit."""
    circuit = QuantumCircuit(4)
    circuit.h(0)
    circuit.rz(0.3, 0)
    circuit.cx(0, 1)
    circuit.swap(1, 2)
    circuit.ry(0.7, 2)
    circuit.barrier()
    circuit.measure_all()
    found = resources(circuit)
    assert (found.qubits, found.cx, found.gates, found.depth) == (4, 4, 6, 6)
    assert found.rotations == 2
    assert found.t_count == math.ceil(6 * math.log2(2 / 1e-10))
    assert found.trotter_bound is None
    assert found.seconds is None


def test_toffoli_takes_seven_t_gates_and_six_cx() -> None:
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 2, 1)
    found = resources(circuit)
    assert (found.cx, found.rotations, found.t_count) == (6, 0, 7)


@pytest.mark.parametrize("seed", range(5))
def test_clifford_circuits_take_no_t_gate_in_any_words(seed: int) -> None:
    circuit = random_clifford(4, seed=seed).to_circuit()
    circuit.rz(5 * np.pi / 2, 0)
    circuit.rx(-np.pi / 2, 1)
    circuit.u(np.pi / 2, np.pi, -np.pi / 2, 2)
    circuit.cp(np.pi, 0, 3)
    found = resources(circuit)
    assert (found.rotations, found.t_count) == (0, 0)


def test_merging_does_not_spoil_clifford_and_t() -> None:
    """T H T H T H T is a one-qubit gate with three generic angles, and four T gates."""
    circuit = QuantumCircuit(1)
    for _ in range(4):
        circuit.rz(-3 * np.pi / 4, 0)
        circuit.h(0)
    assert (resources(circuit).rotations, resources(circuit).t_count) == (0, 4)


def test_merging_saves_rotations() -> None:
    circuit = QuantumCircuit(1)
    for k in range(10):
        circuit.rz(0.1 + k, 0)
        circuit.rx(0.2 + k, 0)
    found = resources(circuit, error=1e-6)
    assert (found.gates, found.rotations) == (1, 3)
    assert found.t_count == math.ceil(9 * math.log2(3 / 1e-6))


def test_generic_two_qubit_gate() -> None:
    """Three CX and at most fifteen angles (Shende, Bullock and Markov 2004)."""
    circuit = QuantumCircuit(2)
    circuit.unitary(random_unitary(4, seed=3), [1, 0])
    found = resources(circuit)
    assert found.cx == 3
    assert 15 <= found.rotations <= 24  # eight u of three angles each where nothing is shared


def test_a_parameter_is_a_rotation_like_any_other() -> None:
    circuit = QuantumCircuit(1)
    circuit.rz(Parameter("a"), 0)
    assert resources(circuit).rotations == 1


def test_nothing_costs_nothing() -> None:
    found = resources(QuantumCircuit(0, global_phase=0.3))
    assert (found.qubits, found.depth, found.cx, found.gates, found.rotations, found.t_count) == (0,) * 6


def test_as_dict_goes_into_json() -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(0.1, 0)
    circuit.cx(0, 1)
    found = resources(circuit, trotter_bound=1e-3, seconds=0.5)
    back = json.loads(json.dumps(found.as_dict()))
    assert back["trotter_bound"] == 1e-3
    assert back["seconds"] == 0.5
    assert back["cx"] == 1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"error": 0.0}, r"`error` must be in \(0, 1\)"),
        ({"error": float("nan")}, r"`error` must be in \(0, 1\)"),
        ({"trotter_bound": -1.0}, "`trotter_bound` must be at least 0"),
        ({"seconds": float("nan")}, "`seconds` must be at least 0"),
    ],
)
def test_wrong_numbers(options: dict[str, float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        resources(QuantumCircuit(1), **options)


def test_control_flow_has_no_cost_known_beforehand() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(0)
    with pytest.raises(InputError, match="without control flow"):
        resources(circuit)
