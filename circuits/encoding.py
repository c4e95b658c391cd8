"""Vectors on data ⊗ clock as amplitudes: the circuits that prepare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.registers import Registers
from circuits.sweeps import sweep

Array = NDArray[Any]

_EPSILON = float(np.finfo(np.float64).eps)


def encoded(v: Array, registers: Registers) -> QuantumCircuit:
    """|0…0> -> v / ‖v‖ (amplitude encoding), with its global phase, on the registers' qubits.

    v [dN], not zero. A product Y ⊗ c is prepared factor by factor, with 2^(data qubits) + 2^(clock qubits) CX at most;
    other vectors take 2^n; complex ones twice that.
    """
    circuit = registers.circuit()
    left, size, right = np.linalg.svd(v.reshape(registers.d, registers.N), full_matrices=False)
    if len(size) > 1 and size[1] > len(v) * _EPSILON * size[0]:
        prepare(circuit, registers.padded(v / np.linalg.norm(v)), registers.clock + registers.data)
        return circuit
    # the first singular vectors are Y and c up to phases that cancel in the product
    prepare(circuit, right[0], registers.clock)
    prepare(circuit, left[:, 0], registers.data)
    return circuit


def clock_state(registers: Registers, clock: Array) -> QuantumCircuit:
    """|0> -> c on the clock register alone, c [N] of any length but 0."""
    circuit = registers.circuit()
    prepare(circuit, clock, registers.clock)
    return circuit


def prepare(circuit: QuantumCircuit, amplitudes: Array, qubits: Sequence[int]) -> None:
    """Append |0…0> -> amplitudes / ‖·‖ on these qubits, the least significant first, with its global phase.

    A basis state by X gates, anything else by the inverse of the sweep that takes it to |0…0>: not by Qiskit's
    StatePreparation, which fails on amplitudes near 1e-8 ("Input matrix is not unitary"). What is missing is 0.
    """
    v = np.zeros((2 ** len(qubits), 1), np.result_type(amplitudes, float))
    v[: len(amplitudes), 0] = amplitudes / np.linalg.norm(amplitudes)
    away = QuantumCircuit(len(qubits))
    if np.count_nonzero(v) == 1:
        at = int(np.flatnonzero(v)[0])
        v[0] = v[at]
        for i in range(len(qubits)):
            if at >> i & 1:
                away.x(i)
    elif qubits:
        for gate in sweep(v, 0):
            gate.append_to(away)
    circuit.compose(away.inverse(), qubits, inplace=True)
    circuit.global_phase += float(np.angle(v[0, 0]))
