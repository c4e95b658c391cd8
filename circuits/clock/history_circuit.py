"""The history state from the machine's steps: the ground state, prepared without solving for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import RYGate

from circuits.clock.blocks import append_controlled
from circuits.clock.encoding import encoding_of
from circuits.clock.hops import Pairs, hops
from circuits.clock.natural_terms import register
from circuits.encoding import prepare
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError

_ROUNDING = 1e-10  # of the norm of a state after T steps


def history(H: ClockHamiltonian, x: ArrayLike | None = None, *, encoding: str = "binary") -> QuantumCircuit:
    """A circuit that prepares |ψ0> = (T+1)^{-1/2} (|x>⊗|1> + Σ_j |U_j…U_1 x>⊗|j+1>) from |0…0>.

    x on the first clock state, then step by step a rotation by arccos(1/sqrt(T+1-j)), j = 0 … T-1, of all that U_j
    joins: the amplitude 1/sqrt(T+1) stays at clock j, and the rest moves on to U_j's image at clock j + 1. In closed
    form exp(θ(U_j⊗|j+1><j| - h.c.)), one multi-controlled RY a pattern of basis states; global phase as of
    `H.history_state()`.

    Parameters
    ----------
    x : the data at the first clock state, a unit vector. Default: as of `H.history_state`: `initial`, the machine's
        run, in `function` space the uniform superposition of all inputs.
    encoding : "binary" or "unary", see `circuits.clock.terms`.

    Raises
    ------
    InputError : no x is given and none is known; a step does not keep the norm of what reaches it.
    MemoryEstimateError : a vector of the whole space does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Statevector
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0], [1, 0], [0, 1]], initial=[1, 0])  # 2·4 rows fill three qubits
    >>> np.allclose(Statevector(clock.history(H)), H.history_state())
    True
    """
    qubits = encoding_of(H.d, H.T, encoding)
    psi = H.clock_major(H.history_state(x))  # (T+1, d)
    first = psi[0] * np.sqrt(H.clock_states)
    _check_norms(psi)
    circuit = register(qubits)
    prepare(circuit, first, qubits.data)
    for j, hop in enumerate(hops(H, qubits)):
        angle = float(np.arccos(1 / np.sqrt(H.T + 1 - j)))
        for pairs in hop.pairs:
            _append_transfer(circuit, pairs, angle)
    return circuit


def _append_transfer(circuit: QuantumCircuit, pairs: Pairs, angle: float) -> None:
    """exp(angle (U⊗|after><before| - h.c.)) on the pairs that hop with strength 1; a history is in no others."""
    circuit.compose(pairs.frame, range(pairs.frame.num_qubits), inplace=True)
    turn = RYGate(-2 * angle if pairs.before else 2 * angle)
    for strength, pattern in pairs.strengths:
        if strength == 1:
            append_controlled(circuit, turn, pattern, pairs.target)
    circuit.compose(pairs.frame.inverse(), range(pairs.frame.num_qubits), inplace=True)


def _check_norms(psi: NDArray[Any]) -> None:
    """A state that loses norm on the way is no history state, and no unitary prepares it."""
    norms = np.linalg.norm(psi, axis=1) * np.sqrt(len(psi))
    lost = np.flatnonzero(np.abs(norms - 1) > _ROUNDING)
    if len(lost):
        raise InputError(
            f"`steps[{lost[0] - 1}]` must keep the norm of the state that reaches it, but leaves {norms[lost[0]]:.6g}",
            "steps",
        )
