"""Circuits in the gates that a method of Aer runs, exactly."""

from __future__ import annotations

from functools import cache

from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit import CircuitInstruction
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford
from qiskit.transpiler import PassManager, Target
from qiskit_aer import AerSimulator

from hamiltonians.errors import must_be

# Aer's stabilizer method runs these and, of other gates, not even those that are Clifford at their angle
_STABILIZER = frozenset(
    ("x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "id", "barrier", "measure", "reset")
)


def lowered(circuit: QuantumCircuit, method: str) -> QuantumCircuit:
    """The same circuit in gates that Aer runs by `method`; for stabilizer up to the global phase, which it has not.

    Raises
    ------
    InputError : a gate that is not Clifford, for stabilizer.
    """
    return _clifford(circuit) if method == "stabilizer" else _lowering(circuit.num_qubits, method).run(circuit)


@cache
def _lowering(n: int, method: str) -> PassManager:
    """Circuits of n qubits to gates that Aer's method runs, exactly: level 0.

    A target of its own, for Aer's allows no more qubits than a state vector has room for, whatever the method, and its
    multiplexer crashes the process on real matrices: that is taken apart. Kept, for making it takes longer than using.
    """
    aer = AerSimulator(method=method).target
    target = Target(num_qubits=n)
    for name in aer.operation_names:
        if name != "multiplexer":
            target.add_instruction(aer.operation_from_name(name), name=name)
    return generate_preset_pass_manager(optimization_level=0, target=target, seed_transpiler=0)


def _clifford(circuit: QuantumCircuit) -> QuantumCircuit:
    """Every gate that the stabilizer method lacks as Clifford gates that it has."""
    ready = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.operation.name in _STABILIZER:
            ready.append(instruction)
        elif instruction.operation.name != "global_phase":
            ready.compose(_tableau(instruction, circuit).to_circuit(), instruction.qubits, inplace=True)
    return ready


def _tableau(instruction: CircuitInstruction, circuit: QuantumCircuit) -> Clifford:
    try:
        return Clifford(instruction.operation)
    except (QiskitError, TypeError, ValueError) as error:
        qubits = ", ".join(str(circuit.find_bit(q).index) for q in instruction.qubits)
        shown = f"{instruction.operation.name}({', '.join(f'{p}' for p in instruction.params)})"
        raise must_be("circuits", "of Clifford gates for stabilizer", f"{shown} on qubit {qubits}") from error
