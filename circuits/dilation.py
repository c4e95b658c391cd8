"""A non-unitary layer by one ancilla: <0| circuit |0> = M/λ on the ancilla, for M = c (I - Q Q†) + Q m Q†.

λ = max(|c|, σ_max). With the polar form m = U P, P = Σ_j σ_j |b_j><b_j|, the ancilla is rotated about y until <0|·|0>
is c/λ everywhere, and further to σ_j/λ on b_j: a rotation that the core selects and that the other qubits allow
(`circuits.exact`), between the same V and V† that serve for U. Euler steps S + h D W, the flow e^{h D W}, and D W
alone (c = 0) are of this kind. Where det m < 0 in real data one σ_j is counted negative, so that U is a rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister

from circuits.exact import basis_change, central, on_core, selected_rotation, support
from circuits.layer import Layer, LowRank
from circuits.preparation import prepared
from hamiltonians.errors import must_be

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Dilation:
    """M/λ as the part of a unitary in which the ancilla, the highest qubit, begins and ends in |0>.

    circuit : on n + 1 qubits; unused states are multiplied by c/λ as all that is outside the space. scale : λ.
    least_probability : (σ_min/σ_max)², of M on all 2^n states: no state's ancilla is found in |0> less often. map : M.
    """

    circuit: QuantumCircuit
    scale: float
    least_probability: float
    map: LowRank

    def success_probability(self, v: Array) -> float:
        """‖M v‖² / (λ² ‖v‖²) for v [dN]: how often the ancilla is found in |0>.

        Raises
        ------
        InputError : v = 0.
        """
        norm = float(np.linalg.norm(v))
        if not norm > 0:
            raise must_be("v", "a non-zero vector", v)
        return float(np.linalg.norm(self.map.apply(v)) / (self.scale * norm)) ** 2


def dilated(map: LowRank, layer: Layer, *, preparation: str = "cheapest") -> Dilation:
    """M as a circuit with one ancilla. map : M, such as `layer.euler(h)`; preparation : see `circuits.preparation`.

    Raises
    ------
    InputError : M is 0 or not finite, or its outside is not real; an unknown preparation.
    """
    c = complex(map.outside)
    if c.imag != 0 or not np.isfinite(map.m).all() or not np.isfinite(c):
        raise must_be("map", "finite, and real outside its space", map.outside)
    sizes = np.linalg.svd(map.m, compute_uv=False)
    n = layer.registers.qubits
    # where Q spans all states there is no outside
    every = sizes if len(sizes) == 2**n else np.append(sizes, abs(c))
    scale = float(every.max())
    if scale == 0:
        raise must_be("map", "other than 0", map.m)
    circuit = _circuit(map, c.real, scale, layer, preparation)
    return Dilation(circuit, scale, float(every.min() / scale) ** 2, map)


def _circuit(M: LowRank, c: float, scale: float, layer: Layer, preparation: str) -> QuantumCircuit:
    """V, the ancilla, U and V†."""
    n = layer.registers.qubits
    circuit = layer.registers.circuit(QuantumRegister(1, "ancilla"))
    Q, m = support(M)
    U, sigma, B = polar(m)
    V = prepared(Q, layer, preparation)
    # states of the core that are not in the space: treated as what is outside
    K = np.hstack([V.vectors @ B, scipy.linalg.null_space(V.vectors.conj().T)]) if V.core else V.vectors @ B
    wanted = np.append(sigma, np.full(len(K) - len(sigma), c))
    outside = _angle(c / scale)
    if abs(outside) > 0:
        circuit.ry(outside, n)
    if not len(m):
        return circuit
    zeros = [q for q in range(n) if q not in V.core]
    change = basis_change(K.conj().T)
    circuit.compose(V.circuit, range(n), inplace=True)
    circuit.compose(change, V.core, inplace=True)
    selected_rotation(circuit, "y", _angle(wanted / scale) - outside, n, V.core, zeros, [])
    circuit.compose(change.inverse(), V.core, inplace=True)
    central(circuit, on_core(V, U, 1.0), V.core, zeros, [], phase=n)
    circuit.compose(V.circuit.inverse(), range(n), inplace=True)
    return circuit


def polar(m: Array) -> tuple[Array, Array, Array]:
    """U, σ, B with m = U B diag(σ) B†; for real m U is a rotation, at the price of a negative σ if det m < 0."""
    left, sigma, right = np.linalg.svd(m)
    if len(m) and not np.iscomplexobj(m) and np.linalg.det(left) * np.linalg.det(right) < 0:
        left[:, -1] *= -1
        sigma[-1] *= -1
    return left @ right, sigma, right.conj().T


def _angle(cosine: Any) -> Any:
    """θ with cos(θ/2) = cosine, for the RY that leaves it in <0|·|0>."""
    return 2 * np.arccos(np.clip(cosine, -1.0, 1.0))
