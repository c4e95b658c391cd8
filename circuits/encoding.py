"""Vectors on data ⊗ clock as amplitudes: the circuits that prepare them."""

from __future__ import annotations

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
        _prepare(circuit, registers.padded(v / np.linalg.norm(v)), registers.clock + registers.data)
        return circuit
    # the first singular vectors are Y and c up to phases that cancel in the product
    _prepare(circuit, right[0], registers.clock)
    _prepare(circuit, left[:, 0], registers.data)
    return circuit


def clock_state(registers: Registers, clock: Array) -> QuantumCircuit:
    """|0> -> c on the clock register alone, c [N] of any length but 0."""
    circuit = registers.circuit()
    _prepare(circuit, clock, registers.clock)
    return circuit


def _prepare(circuit: QuantumCircuit, amplitudes: Array, qubits: list[int]) -> None:
    """The inverse of the sweep that takes the vector to |0…0>.

    Not Qiskit's StatePreparation, which fails on amplitudes near 1e-8 ("Input matrix is not unitary").
    """
    v = np.zeros((2 ** len(qubits), 1), np.result_type(amplitudes, float))
    v[: len(amplitudes), 0] = amplitudes / np.linalg.norm(amplitudes)
    gates = sweep(v, 0) if qubits else []
    away = QuantumCircuit(len(qubits))
    for gate in gates:
        gate.append_to(away)
    circuit.compose(away.inverse(), qubits, inplace=True)
    circuit.global_phase += float(np.angle(v[0, 0]))
