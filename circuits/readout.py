"""Amplitudes with their signs from counts, by interference with a known reference.

An ancilla in |+> holds the reference beside the state: (|0>|ref> + |1>|ψ>)/√2. After a Hadamard gate on it,

    P(0, i) - P(1, i) = Re(ref_i* ψ_i),    and Im(ref_i* ψ_i) with an S† before the Hadamard gate.

Only what prepares ψ from |0…0> and the central phases of its evolution are controlled by the ancilla: without them the
evolution is the identity, and the reference passes through it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister

from circuits.registers import Registers
from hamiltonians.errors import must_be


def interferometer(
    registers: Registers,
    reference: QuantumCircuit,
    encoding: QuantumCircuit,
    evolution: list[QuantumCircuit],
    *,
    imaginary: bool,
) -> QuantumCircuit:
    """(|0>|ref> + |1> U|v>)/√2 and the Hadamard gate on the ancilla, which is the highest qubit.

    reference, encoding : |0…0> -> ref and v on the registers. evolution : U in parts, on the registers, above them what
    ancillas these have of their own, and on top the control.
    """
    own = evolution[0].num_qubits - registers.qubits - 1 if evolution else 0
    circuit = registers.circuit(*([QuantumRegister(own, "dilation")] if own else []), QuantumRegister(1, "ancilla"))
    ancilla, qubits = circuit.num_qubits - 1, list(range(registers.qubits))
    circuit.h(ancilla)
    for part, state in ((reference, 0), (encoding, 1)):
        gate = part.to_gate().control(1, ctrl_state=state, annotated=False)
        circuit.append(gate, [ancilla, *qubits])
    for part in evolution:
        circuit.compose(part, circuit.qubits, inplace=True)
    if imaginary:
        circuit.sdg(ancilla)
    circuit.h(ancilla)
    return circuit


def overlaps(counts: Mapping[int, int], rows: NDArray[np.int64], ancilla: int) -> NDArray[np.float64]:
    """P(0, i) - P(1, i) for the basis states i in `rows`, estimated from counts with the ancilla at that bit."""
    shots = sum(counts.values())
    plus = np.array([counts.get(int(i), 0) for i in rows])
    minus = np.array([counts.get(int(i) | 1 << ancilla, 0) for i in rows])
    return (plus - minus) / shots


def deviation(shots: int, d: int, scale: float) -> float:
    """The largest standard deviation that a component of the read-out has after so many shots.

    One shot gives ±1 with probability (1/d + |ψ_i|²)/2 and 0 otherwise, and a component is scale √d times the mean, so
    that its variance is at most scale² (1 + d) / (2 shots).

    scale : ‖K^0‖ ‖c̃_{l+1}‖. Of complex data this is the deviation of either part.
    """
    return scale * math.sqrt((1 + d) / (2 * shots))


def shots_needed(error: float, d: int, scale: float, sigmas: float = 1.0) -> int:
    """Shots after which `sigmas` times `deviation` is at most `error`; complex data need as many for each part.

    Raises
    ------
    InputError : an error that is not positive.
    """
    if not (isinstance(error, int | float) and math.isfinite(error) and error > 0):
        raise must_be("error", "a positive number", error)
    shots = (sigmas * deviation(1, d, scale) / error) ** 2
    return max(1, math.ceil(shots * (1 - 8 * sys.float_info.epsilon)))  # what rounding alone adds is no shot
