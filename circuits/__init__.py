"""QUNN layers and clock Hamiltonians as Trotterised Qiskit circuits on Aer.

    from circuits import QUNNCircuit, resources
    circuit = QUNNCircuit(model, synthesis="suzuki2", terms="natural", reps=4)
    circuit.run(input)           # what model(input)[0] is
    resources(circuit.circuit(5))

The data flow, a file each: `layer` (a QUNN's layer as a matrix on four dimensions) -> `preparation`, `exact`, `pauli`,
`formulas`, `evolution` (circuits of its exponential), `dilation` (of what is not unitary) -> `network` -> `backends`.
`clock` is the same for clock Hamiltonians.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits import clock
    from circuits.backends import Backend, backend
    from circuits.cost import Resources, resources
    from circuits.export import read_circuit
    from circuits.network import Evaluation, QUNNCircuit

# loaded when asked for: qiskit and torch take seconds, and a command's --help needs neither
_HOME = {
    "Backend": "backends",
    "Evaluation": "network",
    "QUNNCircuit": "network",
    "Resources": "cost",
    "backend": "backends",
    "read_circuit": "export",
    "resources": "cost",
}

__all__ = [
    "Backend",
    "Evaluation",
    "QUNNCircuit",
    "Resources",
    "backend",
    "clock",
    "read_circuit",
    "resources",
]


def __getattr__(name: str) -> Any:
    if name == "clock":
        return import_module("circuits.clock")
    if name not in _HOME:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    return getattr(import_module(f"circuits.{_HOME[name]}"), name)
