"""Backends of a machine that are broken on purpose, each in one way, and the rows that must show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from torch import Tensor

from circuits.clock.encoding import Encoding, encoding_of
from circuits.clock.natural_terms import register
from circuits.encoding import prepare
from circuits.validation.machine_tools import MachineTools
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.result import GroundState
from qunn.quantum.clock_link import Relaxation

Array = NDArray[Any]


def _wrong_sign(tools: MachineTools) -> MachineTools:
    """The CSR matrix and its solver have +U_j for -U_j: the spectrum stays, the states do not."""

    def flipped(H: ClockHamiltonian) -> ClockHamiltonian:
        return ClockHamiltonian.from_steps([-H.steps.matrix(j) for j in range(H.T)], H.initial)

    def sparse_matrix(H: ClockHamiltonian) -> sp.csr_array:
        return tools.sparse_matrix(flipped(H))

    def factorised(H: ClockHamiltonian, k: int) -> GroundState:
        return tools.factorised(flipped(H), k)

    return replace(tools, sparse_matrix=sparse_matrix, factorised=factorised)


def _swapped_registers(tools: MachineTools) -> MachineTools:
    """States are written on and read from the qubits with data and clock exchanged."""

    def places(qubits: Encoding) -> NDArray[np.int64]:
        clock, data = np.arange(qubits.T + 1), np.arange(qubits.d)
        return (clock[None, :] << qubits.data_qubits | data[:, None]).reshape(-1)

    def on_rows(qubits: Encoding, psi: Array) -> Array:
        return psi[..., places(qubits)]

    def on_qubits(qubits: Encoding, psi: Array) -> Array:
        full = np.zeros((*psi.shape[:-1], 2**qubits.qubits), psi.dtype)
        full[..., places(qubits)] = psi
        return full

    return replace(tools, on_rows=on_rows, on_qubits=on_qubits)


def _missing_h(tools: MachineTools) -> MachineTools:
    """K - HK for K - hHK (E8): it grows where λ_max is above 2."""

    def relax(H: Tensor, K0: Tensor, _h: float, steps: int) -> Relaxation:
        return tools.relax(H, K0, 1.0, steps)

    return replace(tools, relax=relax)


def _acyclic_clock(tools: MachineTools) -> MachineTools:
    """The QUNN's labels j mod N are taken for the positions j - 1 (E5)."""

    def weights(Y: Tensor) -> Tensor:
        G = tools.weights(Y)
        N = len(Y)
        return G.reshape(-1, N, G.shape[0] // N, N).roll((1, 1), (1, 3)).reshape(G.shape)

    return replace(tools, weights=weights)


def _printed_eq40(tools: MachineTools) -> MachineTools:
    """Eq. (40) as printed, without its initial term, is taken for the history state (E9)."""

    def history(H: ClockHamiltonian) -> QuantumCircuit:
        qubits = encoding_of(H.d, H.T, "binary")
        circuit = register(qubits)
        prepare(circuit, qubits.padded(tools.printed_eq40(H)), list(range(qubits.qubits)))
        return circuit

    return replace(tools, history=history, history_state=tools.printed_eq40)


def _initial_term_kept(tools: MachineTools) -> MachineTools:
    """The row on the printed equation is given the mended one."""
    return replace(tools, printed_eq40=tools.history_state)


def _split_by_strings(tools: MachineTools) -> MachineTools:
    """Product formulas split H by Pauli strings, whatever is asked for."""

    def evolution(H: ClockHamiltonian, t: float, **options: Any) -> QuantumCircuit:
        return tools.evolution(H, t, **(options | {"terms": "pauli"}))

    return replace(tools, evolution=evolution)


def _split_by_terms(tools: MachineTools) -> MachineTools:
    """Product formulas split H by its natural terms, whatever is asked for."""

    def evolution(H: ClockHamiltonian, t: float, **options: Any) -> QuantumCircuit:
        return tools.evolution(H, t, **(options | {"terms": "natural"}))

    return replace(tools, evolution=evolution)


def _single_repetition(tools: MachineTools) -> MachineTools:
    """Product formulas take one step, whatever the repetitions are."""

    def evolution(H: ClockHamiltonian, t: float, **options: Any) -> QuantumCircuit:
        return tools.evolution(H, t, **(options | {"reps": 1}))

    return replace(tools, evolution=evolution)


def _missing_step(tools: MachineTools) -> MachineTools:
    """The product along the clock, and its solver, leave the last step out: nothing joins the last clock state."""

    def shorter(H: ClockHamiltonian) -> ClockHamiltonian:
        steps = [H.steps.matrix(j) for j in range(H.T)]
        return ClockHamiltonian.from_steps([*steps[:-1], 0 * steps[-1]], H.initial)

    def product(H: ClockHamiltonian, psi: Array) -> Array:
        return tools.product(shorter(H), psi)

    def matrix_free(H: ClockHamiltonian, k: int) -> GroundState:
        return tools.matrix_free(shorter(H), k)

    return replace(tools, product=product, matrix_free=matrix_free)


def _miscounted(tools: MachineTools) -> MachineTools:
    """Lanczos takes its first excited state for a ground state."""

    def factorised(H: ClockHamiltonian, k: int) -> GroundState:
        found = tools.factorised(H, k + 1)
        count = found.degeneracy + 1
        above = [float(e) for e in found.energies[count:]]
        return replace(found, degeneracy=count, gap=above[0] if above else None)

    return replace(tools, factorised=factorised)


def _early_output(tools: MachineTools) -> MachineTools:
    """The output is read where the run begins and not on |T+1> (E10)."""

    def read_output(H: ClockHamiltonian, psi: Any) -> Any:
        first = psi.indices % H.clock_states == 0
        moved = type(psi)(psi.indices[first] + H.T, psi.values[first])
        return tools.read_output(H, moved)

    return replace(tools, read_output=read_output)


def _half_precision(tools: MachineTools) -> MachineTools:
    """float16 is taken for float32."""

    def single(x: Array) -> Array:
        if np.iscomplexobj(x):
            return (x.real.astype(np.float16) + 1j * x.imag.astype(np.float16)).astype(np.complex64)
        return x.astype(np.float16).astype(np.float32)

    return replace(tools, single=single)


def _stale_device(tools: MachineTools) -> MachineTools:
    """A device of which the CPU plays the part computes with other numbers than it was given."""

    def to_cuda(x: Tensor) -> Tensor:
        return x.to(torch.complex64).to(x.dtype)

    return replace(
        tools, cuda_fault=lambda: None, to_cuda=to_cuda, aer_fault=lambda: None, aer_gpu=tools.single_backend
    )


#: by name
MACHINE: Final[Mapping[str, Callable[[MachineTools], MachineTools]]] = {
    "wrong-sign": _wrong_sign,
    "swapped-registers": _swapped_registers,
    "missing-h": _missing_h,
    "acyclic-clock": _acyclic_clock,
    "printed-eq40": _printed_eq40,
    "initial-term-kept": _initial_term_kept,
    "split-by-strings": _split_by_strings,
    "split-by-terms": _split_by_terms,
    "single-repetition": _single_repetition,
    "missing-step": _missing_step,
    "miscounted": _miscounted,
    "early-output": _early_output,
    "half-precision": _half_precision,
    "stale-device": _stale_device,
}

_CIRCUITS: Final = ("circuit", "evolution", "phases")

#: name -> the rows that must fail and the columns in which they must; a column that is empty cannot
MACHINE_FAILS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "wrong-sign": dict.fromkeys(("hamiltonian", "history-state", "printed-eq40", "dynamics"), ("sparse",)),
    # in the configuration space the history Σ_j |j>⊗|j> is the same with the registers exchanged; H is not
    "swapped-registers": {"hamiltonian": ("circuit",), "dynamics": ("circuit", "evolution")},
    "missing-h": dict.fromkeys(("ground-energy", "gap", "history-state", "relaxation"), ("QUNN",)),
    "acyclic-clock": dict.fromkeys(("hamiltonian", "ground-energy", "history-state", "printed-eq40"), ("QUNN",)),
    "printed-eq40": {"ground-energy": _CIRCUITS, "history-state": _CIRCUITS, "kept-by-terms": ("matrix-free",)},
    "initial-term-kept": {"printed-eq40": ("dense", "sparse", "matrix-free", "QUNN", "circuit")},
    "split-by-strings": {"kept-by-terms": ("evolution",), "history-state": ("evolution",)},
    "split-by-terms": {"lie-by-strings": ("evolution",)},
    "single-repetition": dict.fromkeys(
        ("lie-by-terms", "suzuki2-by-terms", "suzuki4-by-terms", "dynamics"), ("evolution",)
    ),
    "missing-step": dict.fromkeys(
        ("hamiltonian", "ground-energy", "spectrum", "gap", "history-state", "dynamics"),
        ("matrix-free",),
    ),
    "miscounted": dict.fromkeys(("degeneracy", "gap"), ("sparse",)),
    "early-output": {"output": ("dense", "sparse", "matrix-free", "QUNN", "circuit", "evolution", "phases")},
    "half-precision": {"float32": ("sparse", "matrix-free", "QUNN", "circuit")},
    "stale-device": {"GPU": ("QUNN", "circuit")},
}
