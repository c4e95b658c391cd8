"""Clock Hamiltonians as circuits: H_TM on qubits, its evolution, its history state, and what is measured of them.

    from circuits import clock
    H = hamiltonians.ClockHamiltonian.from_machine(hamiltonians.load_machine("bb:1RB1LB_1LA1RZ"))
    clock.evolution(H, 7.3)          # exp(-iHt), a gate pattern a natural term
    clock.history(H)                 # its ground state, from the machine's steps

The flow, a file each: `encoding` -> `hops` -> `blocks`, `natural_terms` -> `time_evolution`, `history_circuit`,
`energy_readout`, `imaginary_time`; `strings`, `pauli_operator` beside them; `from_qiskit` makes an H of any circuit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits.clock.energy_readout import PhaseEstimation, phase_estimation
    from circuits.clock.from_qiskit import from_circuit
    from circuits.clock.history_circuit import history
    from circuits.clock.imaginary_time import Relaxation, relaxation
    from circuits.clock.natural_terms import Term, terms
    from circuits.clock.pauli_operator import operator
    from circuits.clock.time_evolution import evolution

# loaded when asked for: qiskit takes a second, and a command's --help does not need it
_HOME = {
    "PhaseEstimation": "energy_readout",
    "Relaxation": "imaginary_time",
    "Term": "natural_terms",
    "evolution": "time_evolution",
    "from_circuit": "from_qiskit",
    "history": "history_circuit",
    "operator": "pauli_operator",
    "phase_estimation": "energy_readout",
    "relaxation": "imaginary_time",
    "terms": "natural_terms",
}

__all__ = [
    "PhaseEstimation",
    "Relaxation",
    "Term",
    "evolution",
    "from_circuit",
    "history",
    "operator",
    "phase_estimation",
    "relaxation",
    "terms",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'circuits.clock' has no attribute {name!r}")
    return getattr(import_module(f"circuits.clock.{_HOME[name]}"), name)
