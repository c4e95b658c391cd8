"""The flow e^{hDW} as a sum of unitaries: linear combination of Hamiltonian simulation, a check of the dilation.

With D W = S + G, S Hermitian and G anti-Hermitian, and a shift s = max(0, λ_max(h S)) that makes s - h S ≥ 0,

    e^{hDW} = ∫ dk g(k) e^{s (1 - ik)} exp(h G + i k h S),    g(k) = e^{2^β} / (2π (1 - ik) e^{(1+ik)^β}),    0 < β < 1

(An, Liu, Lin, PRL 131, 150603 (2023); this kernel: An, Childs, Lin, arXiv:2312.03916, β = 0.8). ∫ g = 1. The
integral becomes a sum by the trapezoid rule in u, k = 4 sinh u, |k| ≤ 120: |g| falls as e^{-0.31 |k|^0.8}, which
leaves 3e-10, and 128 nodes are within 2e-7 of e^{-x} for 0 ≤ x ≤ 1/2 and within 2e-4 for x ≤ 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from circuits.exact import subspace
from circuits.layer import Layer, LowRank
from hamiltonians.errors import must_be

Array = NDArray[Any]

BETA = 0.8

_FARTHEST, _STRETCH = 120.0, 4.0


@final
@dataclass(frozen=True)
class Lchs:
    """Σ_j coefficients[j] · unitaries[j], close to e^{hDW}.

    layer, h : whose flow. coefficients [nodes], complex. unitaries : exp(h G + i k_j h S), each the identity outside
    the space of the layer.
    """

    layer: Layer
    h: float
    coefficients: Array
    unitaries: tuple[LowRank, ...]

    @property
    def one_norm(self) -> float:
        """Σ_j |coefficient_j|, by which a block encoding of the sum is scaled down."""
        return float(np.abs(self.coefficients).sum())

    @property
    def total(self) -> LowRank:
        """The sum."""
        m = np.einsum("j,jab->ab", self.coefficients, np.stack([U.m for U in self.unitaries]))
        return LowRank(self.layer.frame, m, complex(self.coefficients.sum()))

    def dense(self) -> Array:
        """The sum as a matrix [dN, dN]."""
        return self.total.dense()

    def distance(self) -> float:
        """‖the sum - e^{hDW}‖, the spectral norm."""
        flow = self.layer.flow(self.h)
        inside = np.linalg.norm(self.total.m - flow.m, 2) if flow.m.size else 0.0
        return float(max(inside, abs(self.total.outside - flow.outside)))

    def circuits(self, preparation: str = "cheapest") -> list[QuantumCircuit]:
        """One for each unitary: the sum of their final states is e^{hDW} of the initial one."""
        return [subspace(U, self.layer, preparation=preparation) for U in self.unitaries]


def lchs(layer: Layer, h: float, nodes: int = 128) -> Lchs:
    """The flow e^{hDW} of a layer as a sum of `nodes` unitaries.

    Raises
    ------
    InputError : fewer than two nodes; h not finite.
    """
    if nodes < 2:
        raise must_be("nodes", "at least 2", nodes)
    if not np.isfinite(h):
        raise must_be("h", "finite", h)
    H = layer.weight.m
    S, G = h * (H + H.conj().T) / 2, h * (H - H.conj().T) / 2
    shift = max(0.0, float(np.linalg.eigvalsh(S).max(initial=0.0)))
    k, step = _nodes(nodes)
    coefficients = step * kernel(k) * np.exp(shift * (1 - 1j * k))
    unitaries = tuple(LowRank(layer.frame, G + 1j * at * S).exponential(1.0) for at in k)
    return Lchs(layer, h, coefficients, unitaries)


def kernel(k: Array) -> Array:
    """g(k), with ∫ g(k) e^{-ikx} dk = e^{-x} for x ≥ 0."""
    z = 1 + 1j * k
    return np.exp(2**BETA - z**BETA) / (2 * np.pi * z.conj())


def _nodes(count: int) -> tuple[Array, Array]:
    """The k_j and their weights."""
    farthest = np.arcsinh(_FARTHEST / _STRETCH)
    u = np.linspace(-farthest, farthest, count)
    return _STRETCH * np.sinh(u), _STRETCH * np.cosh(u) * (u[1] - u[0])
