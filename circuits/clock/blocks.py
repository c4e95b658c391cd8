"""Terms of a Hamiltonian as numbers in a frame: exp(-itK) and exp(-τK) with one multi-controlled gate a number.

K = Σ_i E_i F_i† |pattern_i><pattern_i| F_i, with commuting summands: F is a circuit, the frame, and a pattern the bits
that select the states on which K is E_i there. A control need only hold the phases: F and F† cancel without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import PhaseGate, RYGate, RZGate

from circuits.clock.encoding import Pattern


@final
@dataclass(frozen=True)
class Level:
    """E on the states of a pattern; with a `target`, ±E: E where that qubit is 1, and -E where it is 0."""

    energy: float
    pattern: Pattern
    target: int | None = None


@final
@dataclass(frozen=True)
class Block:
    """Levels in one frame; `frame` is applied before them, and undone after."""

    frame: QuantumCircuit
    levels: tuple[Level, ...]


def append_exponential(circuit: QuantumCircuit, blocks: Sequence[Block], t: float, control: int | None = None) -> None:
    """exp(-itK) for the blocks' K, global phase included; `control`: a qubit that must be 1 for it to happen."""
    extra = {} if control is None else {control: 1}
    for block in blocks:
        circuit.compose(block.frame, range(block.frame.num_qubits), inplace=True)
        for level in block.levels:
            pattern = {**level.pattern, **extra}
            if level.target is None:
                append_phase(circuit, -t * level.energy, pattern)
            else:
                append_controlled(circuit, RZGate(-2 * t * level.energy), pattern, level.target)
        circuit.compose(block.frame.inverse(), range(block.frame.num_qubits), inplace=True)


def append_damping(circuit: QuantumCircuit, blocks: Sequence[Block], tau: float, ancilla: int) -> None:
    """A dilation: <0|_ancilla circuit |0>_ancilla = exp(-τK) for blocks whose levels exclude each other, E ≥ 0."""
    for block in blocks:
        circuit.compose(block.frame, range(block.frame.num_qubits), inplace=True)
        for level in block.levels:
            angle = 2 * float(np.arccos(np.exp(-tau * level.energy)))
            append_controlled(circuit, RYGate(angle), level.pattern, ancilla)
        circuit.compose(block.frame.inverse(), range(block.frame.num_qubits), inplace=True)


def append_phase(circuit: QuantumCircuit, angle: float, pattern: Pattern) -> None:
    """e^{i angle} on the states of a pattern; a global phase where the pattern is empty."""
    if not pattern:
        circuit.global_phase += angle
        return
    # a qubit that must be 1 carries the phase, so that it needs no X around it
    target = max(pattern, key=lambda q: pattern[q])
    others = {q: b for q, b in pattern.items() if q != target}
    if not pattern[target]:
        circuit.x(target)
    append_controlled(circuit, PhaseGate(angle), others, target)
    if not pattern[target]:
        circuit.x(target)


def append_controlled(circuit: QuantumCircuit, gate: Gate, pattern: Pattern, target: int) -> None:
    """A one-qubit gate on `target` where the other qubits hold a pattern."""
    controls = list(pattern)
    state = sum(pattern[q] << i for i, q in enumerate(controls))
    made = gate.control(len(controls), ctrl_state=state, annotated=False) if controls else gate
    circuit.append(made, [*controls, target])
