"""The Feynman-Kitaev clock Hamiltonian of a Turing machine, and its certified zero-energy ground state.

    from hamiltonians import ClockHamiltonian, ground_state, load_machine
    H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"), "tape")
    ground_state(H).gap

The data flow, a file each: `readers` -> `machine` -> `trajectory` -> `spaces` -> `steps`, `contractions` -> `clock` ->
`solve` -> `report`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.contractions import Gate
    from hamiltonians.errors import InputError, MemoryEstimateError
    from hamiltonians.machine import Rule, TuringMachine
    from hamiltonians.readers import load_machine
    from hamiltonians.report import Report, certify
    from hamiltonians.result import GroundState
    from hamiltonians.solve import ground_state
    from hamiltonians.trajectory import Configuration, Trajectory

# loaded when asked for: numba and scipy take a second, and a command's --help needs neither
_HOME = {
    "ClockHamiltonian": "clock",
    "Configuration": "trajectory",
    "Gate": "contractions",
    "GroundState": "result",
    "InputError": "errors",
    "MemoryEstimateError": "errors",
    "Report": "report",
    "Rule": "machine",
    "Trajectory": "trajectory",
    "TuringMachine": "machine",
    "certify": "report",
    "ground_state": "solve",
    "load_machine": "readers",
}

__all__ = [
    "ClockHamiltonian",
    "Configuration",
    "Gate",
    "GroundState",
    "InputError",
    "MemoryEstimateError",
    "Report",
    "Rule",
    "Trajectory",
    "TuringMachine",
    "certify",
    "ground_state",
    "load_machine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hamiltonians' has no attribute {name!r}")
    return getattr(import_module(f"hamiltonians.{_HOME[name]}"), name)
