"""exp(hG) exactly: V† W† D W V on the space of at most four dimensions where it differs from the identity.

V (`circuits.preparation`) moves the space to at most two core qubits, W on those takes its eigenvectors to basis
states, and D = Σ_j e^{iω_j} |j><j| gives them their phases where all other qubits are |0>. With Walsh angles,
ω = mean + (pair means) Z_1 + (within the pairs, by core qubit 1) Z_0: for an antisymmetric real generator the ω are
±α, ±β, and one multiplexed, multi-controlled RZ does it all. W counts up to a diagonal on its left, which commutes
with D and cancels. Only D needs a control for the whole to be controlled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit.library import CXGate, PhaseGate, UnitaryGate
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer
from qiskit.synthesis.multi_controlled import synth_mcx_n_dirty_i15

from circuits.layer import Layer, LowRank
from circuits.preparation import Preparation, orthonormal, prepared
from circuits.sweeps import ROUNDING, Rotation, columns
from hamiltonians.errors import must_be
from hamiltonians.memory import require_memory

Array = NDArray[Any]


def subspace(
    map: LowRank,
    layer: Layer,
    *,
    preparation: str = "cheapest",
    controlled: bool = False,
) -> QuantumCircuit:
    """A unitary M = I + Q (m - I) Q† as a circuit, exact, with its global phase; the identity on unused states.

    map : M, such as `layer.rotation(h)`. preparation : see `circuits.preparation`. controlled : by one qubit more, the
    highest.

    Raises
    ------
    InputError : M is not unitary, or not 1 outside its space; an unknown preparation.
    """
    _check_unitary(map)
    Q, m = support(map)
    V = prepared(Q, layer, preparation)
    n = layer.registers.qubits
    circuit = layer.registers.circuit(*_control(controlled))
    circuit.compose(V.circuit, range(n), inplace=True)
    zeros = [q for q in range(n) if q not in V.core]
    central(circuit, on_core(V, m, 1.0), V.core, zeros, [n] if controlled else [])
    circuit.compose(V.circuit.inverse(), range(n), inplace=True)
    return circuit


def unitary(map: LowRank, layer: Layer, *, controlled: bool = False) -> QuantumCircuit:
    """The same by a UnitaryGate of the whole matrix: the reference, of about 4^n CX.

    Raises
    ------
    InputError : M is not unitary, or not 1 outside its space.
    MemoryEstimateError : 4^n numbers are too many.
    """
    _check_unitary(map)
    registers = layer.registers
    size = 2 ** (registers.qubits + controlled)
    require_memory(6 * 16 * size**2, f"a dense unitary on {registers.qubits} qubits", 'take synthesis="subspace"')
    matrix = registers.padded_matrix(map.dense(), 1.0).astype(complex)
    if controlled:
        matrix = scipy.linalg.block_diag(np.eye(len(matrix)), matrix)
    circuit = registers.circuit(*_control(controlled))
    circuit.append(UnitaryGate(matrix), circuit.qubits)
    return circuit


def _control(controlled: bool) -> list[QuantumRegister]:
    return [QuantumRegister(1, "control")] if controlled else []


def _check_unitary(M: LowRank) -> None:
    off = max(np.abs(M.m.conj().T @ M.m - np.eye(len(M.m))).max(initial=0.0), abs(M.outside - 1))
    if not off < 1e-10:  # NaN too
        raise must_be("map", "unitary, and the identity outside its space", f"{off:.1e} off")


def support(M: LowRank) -> tuple[Array, Array]:
    """Where M differs from c I: orthonormal columns Q' [dN, r'] and M there [r', r'].

    Fewer dimensions than M.Q has where the layer is simpler than it could be: two for p1 = 0.
    """
    differs = M.m - M.outside * np.eye(len(M.m))
    if not differs.size:
        return M.Q, M.m
    scale = max(1.0, np.linalg.norm(M.m, 2))
    B = orthonormal(np.hstack([differs, differs.conj().T]) / scale)
    return M.Q @ B, B.conj().T @ M.m @ B


def on_core(V: Preparation, m: Array, outside: complex) -> Array:
    """The matrix m [r, r] on the prepared space as one on the core qubits [2^q, 2^q], `outside` elsewhere."""
    K = V.vectors
    return outside * (np.eye(len(K)) - K @ K.conj().T) + K @ m @ K.conj().T


def central(
    circuit: QuantumCircuit,
    U: Array,
    core: Sequence[int],
    zeros: Sequence[int],
    ones: Sequence[int],
    phase: int | None = None,
) -> None:
    """Append the unitary U [2^q, 2^q] of q ≤ 2 core qubits where all `zeros` are |0> and all `ones` |1>.

    phase : a qubit on whose |0> alone U need be right; the mean phase then costs one RZ of it, not a controlled phase,
    whose CX are quadratic in the number of controls.
    """
    triangle, vectors = scipy.linalg.schur(U.astype(complex), "complex")
    omega = np.angle(np.diag(triangle))
    turns = np.round(omega.sum() / (2 * np.pi))
    omega[np.argmax(omega * np.sign(turns))] -= 2 * np.pi * turns
    order = np.argsort(omega)[[0, 3, 1, 2]] if len(omega) == 4 else np.argsort(omega)  # pairs ±α, ±β
    omega, W = omega[order], vectors[:, order].conj().T
    change = basis_change(W)
    circuit.compose(change, core, inplace=True)
    if len(core) == 2:
        pairs = omega.reshape(2, 2).mean(1)
        selected_rotation(circuit, "z", [pairs[1] - pairs[0]], core[1], [], zeros, ones)
    if len(core) >= 1:
        pairs = omega.reshape(-1, 2)
        selected_rotation(circuit, "z", pairs[:, 1] - pairs[:, 0], core[0], core[1:], zeros, ones)
    mean = float(omega.mean())
    if abs(mean) > ROUNDING:
        if phase is None:
            _phase(circuit, mean, zeros, ones)
        else:
            selected_rotation(circuit, "z", [-2 * mean], phase, [], zeros, ones)
    circuit.compose(change.inverse(), core, inplace=True)


def _phase(circuit: QuantumCircuit, angle: float, zeros: Sequence[int], ones: Sequence[int]) -> None:
    """e^{i angle} where all `zeros` are |0> and all `ones` |1>."""
    if not zeros and not ones:
        circuit.global_phase += angle
        return
    _flip(circuit, zeros)
    *controls, target = [*zeros, *ones]
    gate = PhaseGate(angle)
    circuit.append(gate.control(len(controls), annotated=False) if controls else gate, [*controls, target])
    _flip(circuit, zeros)


def _flip(circuit: QuantumCircuit, qubits: Sequence[int]) -> None:
    for q in qubits:
        circuit.x(q)


def basis_change(W: Array) -> QuantumCircuit:
    """W on 0, 1 or 2 qubits up to a diagonal on its left: two CX (Shende, Bullock, Markov 2006), rarely more."""
    circuit = QuantumCircuit(len(W).bit_length() - 1)
    if len(W) == 2:
        circuit.append(UnitaryGate(W), [0])
    if len(W) == 4:
        circuit.compose(_two_qubits(W), inplace=True)
    return circuit


def _two_qubits(W: Array) -> QuantumCircuit:
    """diag · W with two CX, for the diagonal e^{-iψ/2 ZZ} that makes two enough.

    With U in SU(4) and γ = U YY Uᵀ YY, two CX are enough if and only if tr γ is real. Where eigenvalues of γ nearly
    coincide, Qiskit's Weyl decomposition is off by up to 5e-8; the rows of W are swept to basis states then, for up to
    a dozen CX.
    """
    YY = np.fliplr(np.diag([-1.0, 1.0, 1.0, -1.0]))
    U = W.astype(complex)
    U /= np.linalg.det(U) ** 0.25
    g = np.diag(U @ YY @ U.T @ YY)
    inner, outer = g[1] + g[2], g[0] + g[3]
    psi = np.arctan2(inner.imag + outer.imag, outer.real - inner.real)
    matrix = np.exp(-0.5j * psi * np.array([1, -1, -1, 1]))[:, None] * U
    decompose = TwoQubitBasisDecomposer(CXGate())
    # fidelity, by which Qiskit would choose the number of CX, sees errors only squared: the matrix itself decides here
    for uses in range(3):
        found: QuantumCircuit = decompose(matrix, _num_basis_uses=uses)
        if np.abs(Operator(found).data - matrix).max() < 1e-12:
            return found
    swept = QuantumCircuit(2)
    for gate in columns(U.conj().T.copy()):
        gate.append_to(swept)
    return swept


# --- rotations that many qubits allow and few select ---


def selected_rotation(
    circuit: QuantumCircuit,
    axis: Literal["y", "z"],
    angles: Sequence[float] | Array,
    target: int,
    selectors: Sequence[int],
    zeros: Sequence[int],
    ones: Sequence[int],
) -> None:
    """Append the rotation of `target` by the angle that the selectors' value picks, if `zeros` and `ones` are so.

    angles [2^len(selectors)]. With k qubits that allow it, the cheaper of a rotation multiplexed by them too, of
    2^{k+s} CX, and A X_1 A† X_2 A X_1 A† X_2, with X_i a NOT that half of them control and A a quarter of the rotation
    (Vale et al., arXiv:2302.06377); the last CX of the A's cancel across X_2.
    """
    theta = np.asarray(angles, float)
    if np.abs(theta).max() < ROUNDING:
        return
    allowing = [*zeros, *ones]
    k, s = len(allowing), len(selectors)
    _flip(circuit, zeros)
    if multiplexed_is_cheaper(k, s):
        table = np.zeros(2 ** (k + s))
        table[-(2**s) :] = theta
        Rotation(axis, table, target, (*selectors, *allowing)).append_to(circuit)
    else:
        _in_halves(circuit, Rotation(axis, theta / 4, target, tuple(selectors)), allowing)
    _flip(circuit, zeros)


def multiplexed_is_cheaper(k: int, s: int) -> bool:
    """Whether one multiplexer costs no more than two halves, for k qubits that allow and s that select."""
    halves = 2 * (_NOT_CX(k - k // 2) + _NOT_CX(k // 2)) + (4 * 2**s - 4 if s else 0)
    return k <= 1 or 2 ** (k + s) <= halves


def _NOT_CX(k: int) -> int:
    """CX of a NOT with k controls and k - 2 qubits to borrow (Iten et al. 2016)."""
    return {0: 0, 1: 1, 2: 6, 3: 14}.get(k, 8 * k - 6)


def _in_halves(circuit: QuantumCircuit, quarter: Rotation, allowing: Sequence[int]) -> None:
    """A† X_2 A X_1 A† X_2 A X_1 as operators, A = quarter^{-1}: quarter^4 where all allow it, else the identity."""
    half = len(allowing) - len(allowing) // 2
    first, second = allowing[:half], allowing[half:]
    A = QuantumCircuit(circuit.num_qubits)
    Rotation(quarter.axis, -quarter.angles, quarter.target, quarter.controls).append_to(A)
    for _ in range(2):
        _not(circuit, first, quarter.target, [*second, *quarter.controls])
        circuit.compose(A, inplace=True)
        _not(circuit, second, quarter.target, [*first, *quarter.controls])
        circuit.compose(A.inverse(), inplace=True)


def _not(circuit: QuantumCircuit, controls: Sequence[int], target: int, borrowed: Sequence[int]) -> None:
    """A NOT of `target` by all controls; the borrowed qubits, in any state, come back as they were."""
    gate = synth_mcx_n_dirty_i15(len(controls))
    spare = gate.num_qubits - len(controls) - 1
    circuit.compose(gate, [*controls, target, *borrowed[:spare]], inplace=True)
