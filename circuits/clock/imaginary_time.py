"""Relaxation to the history state: exp(-τH) on a circuit, by dilations whose ancilla is post-selected on 0."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import AncillaRegister, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector

from circuits.clock.encoding import Encoding, encoding_of
from circuits.clock.natural_terms import register, terms
from hamiltonians.clock import ClockHamiltonian
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.memory import require_memory
from hamiltonians.null_space import ground_space

Array = NDArray[Any]

KINDS = ("operator", "term")


@final
@dataclass(frozen=True)
class Relaxation:
    """K_0, K_1, … as the circuits gave them, with the norm that post-selection takes put back.

    Attributes
    ----------
    K [steps + 1, d(T+1)] : the unnormalised states, K_0 as given.
    target [d(T+1)] : P K_0, P the projection on the ground space of H.
    distances [steps + 1] : ‖K_m - P K_0‖. fidelities [steps + 1] : |<K_m, P K_0>|² / (‖K_m‖² ‖P K_0‖²); 0 where P K_0
        is.
    success [steps] : the probability that the ancilla, or all of a step's, is found 0.
    circuits : those of one step, one ancilla (the highest qubit) each; applied in order, the ancilla 0 at the start
        and post-selected on 0 at the end of each.
    scale : λ; a step's circuits apply its map divided by λ.

    Examples
    --------
    >>> import numpy as np
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0]])  # a NOT: the state 0 at clock 1 belongs to 1 at clock 2
    >>> found = clock.relaxation(H, [1, 0, 0, 0], steps=2, tau=0.5, by="term")
    >>> found.target.real.round(9).tolist(), found.K.shape, len(found.circuits)
    ([0.5, 0.0, 0.0, 0.5], (3, 4), 1)
    >>> np.allclose(found.distances[1:] / found.distances[:-1], np.exp(-2 * 0.5))  # e^{-2τ} a step
    True
    """

    K: Array
    target: Array
    distances: NDArray[np.float64]
    fidelities: NDArray[np.float64]
    success: NDArray[np.float64]
    circuits: tuple[QuantumCircuit, ...]
    scale: float


def relaxation(
    H: ClockHamiltonian,
    K0: ArrayLike,
    *,
    steps: int,
    h: float | None = None,
    tau: float | None = None,
    by: str = "operator",
    encoding: str = "binary",
) -> Relaxation:
    """Let K_0 relax to its part in the ground space of H, by circuits.

    by="operator" : K <- K - hHK, Eq. (32) with S = 1, σ_2 = identity and the weight -H, as
        `qunn.quantum.clock_link.relax` has it: (I - hH)/λ, λ = max(1, ‖I - hH‖), is the upper left block of one
        unitary on one ancilla more. It converges for 0 < h < 2/λ_max.
    by="term" : K <- e^{-τh_T} … e^{-τh_1} K (then H_in), each factor by its own small dilation: an RY of the ancilla by
        2 arccos e^{-2τ} on the difference of every pair that the step joins, by 2 arccos e^{-τ} where it is not
        defined. Every factor leaves the ground space exactly alone, and is at most 1: the product converges to the
        projection on it, for any τ > 0.

    Parameters
    ----------
    K0 [d(T+1)] : not 0. h, or tau : the step, the one that belongs to `by`. steps : how many of them.
    encoding : "binary" or "unary", see `circuits.clock.terms`.

    Raises
    ------
    InputError : an unknown name, a K0 of another shape, not finite or 0, a step that is not positive or belongs to the
        other kind.
    MemoryEstimateError : the unitary, or the states, do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from circuits import clock
    >>> from hamiltonians import ClockHamiltonian
    >>> H = ClockHamiltonian.from_steps([[1, 0]])  # energies 0 and 2
    >>> found = clock.relaxation(H, [1, 0, 0, 0], steps=3, h=0.25)
    >>> np.allclose(found.distances[1:] / found.distances[:-1], 1 - 0.25 * 2)
    True
    """
    start = _checked(H, K0, steps, h, tau, by)
    qubits = encoding_of(H.d, H.T, encoding)
    require_memory(
        16 * ((steps + 1) * H.dimension + 4 * 2 ** (qubits.qubits + 1)),
        f"{steps} states on {qubits.qubits + 1} qubits",
        "take fewer steps",
    )
    if by == "operator":
        assert h is not None
        made, scale = _block_encoded(H, qubits, h)
    else:
        assert tau is not None
        made = tuple(term.damping(tau) for term in terms(H, encoding) if term.dampings)
        scale = 1.0
    K, success = _run(start, qubits, made, scale, steps)
    target = H.data_major(ground_space(H).project(H.clock_major(start)))
    overlaps = np.abs(K @ target.conj()) ** 2
    norms = np.linalg.norm(K, axis=1) ** 2 * np.linalg.norm(target) ** 2
    fidelities = np.divide(overlaps, norms, out=np.zeros(len(K)), where=norms > 0)
    return Relaxation(K, target, np.linalg.norm(K - target, axis=1), fidelities, success, made, scale)


def _checked(H: ClockHamiltonian, K0: ArrayLike, steps: int, h: float | None, tau: float | None, by: str) -> Array:
    if by not in KINDS:
        raise must_be("by", one_of(KINDS), by)
    wanted, other = (("h", h), ("tau", tau)) if by == "operator" else (("tau", tau), ("h", h))
    if other[1] is not None:
        raise must_be(other[0], f'left out with `by="{by}"`, which takes `{wanted[0]}`', other[1])
    if wanted[1] is None or not 0 < wanted[1] < np.inf:
        raise must_be(wanted[0], "positive and finite", wanted[1])
    if not isinstance(steps, Integral) or steps < 0:
        raise must_be("steps", "an integer of at least 0", steps)
    start = np.asarray(K0)
    if start.shape != (H.dimension,) or start.dtype.kind not in "biufc":
        raise must_be("K0", f"a vector of {H.dimension} numbers", start.shape)
    if not (np.isfinite(start).all() and start.any()):
        raise InputError("`K0` must be finite, and not 0", "K0")
    return start.astype(complex)


def _block_encoded(H: ClockHamiltonian, qubits: Encoding, h: float) -> tuple[tuple[QuantumCircuit, ...], float]:
    """[[M, sqrt(I - M²)], [sqrt(I - M²), -M]] for M = (I - hH)/λ, Hermitian; 0 in place of M on unused states."""
    n = qubits.qubits
    require_memory(16 * 4 ** (n + 1) * 4, f"I - hH as a unitary on {n + 1} qubits", 'take `by="term"`')
    energies, states = np.linalg.eigh(H.to_sparse().toarray())
    values = 1 - h * energies
    scale = max(1.0, float(np.abs(values).max()))
    values = values / scale
    M, root = np.zeros((2**n, 2**n), states.dtype), np.eye(2**n, dtype=states.dtype)
    block = np.ix_(qubits.rows, qubits.rows)
    M[block] = (states * values) @ states.conj().T
    root[block] = (states * np.sqrt(np.maximum(1 - values**2, 0))) @ states.conj().T
    circuit = register(qubits, AncillaRegister(1, "ancilla"))
    circuit.append(UnitaryGate(np.block([[M, root], [root, -M]])), circuit.qubits)
    return (circuit,), scale


def _run(
    start: Array, qubits: Encoding, made: tuple[QuantumCircuit, ...], scale: float, steps: int
) -> tuple[Array, NDArray[np.float64]]:
    """Every circuit on the normalised state with a fresh ancilla; the kept norms are multiplied up."""
    size = 2**qubits.qubits
    norm = float(np.linalg.norm(start))
    state = qubits.padded(start / norm)
    K, success = [start], []
    for _ in range(steps):
        chance = 1.0
        for circuit in made:
            kept = Statevector(np.concatenate([state, np.zeros(size)])).evolve(circuit).data[:size]
            probability = float(np.linalg.norm(kept)) ** 2
            chance *= probability
            state = kept / np.sqrt(probability) if probability else kept
        norm *= scale * float(np.sqrt(chance))
        success.append(chance)
        K.append(norm * qubits.extracted(state))
    return np.array(K), np.array(success)
