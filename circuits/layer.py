"""One layer of a QUNN at one time as a small matrix on the space where it acts (docs/mathematics/qunn.md).

    b = Y_l ⊗ c_l,    A_k = Σ_{j≤k} p2 (1-p2)^{k-j} Y_{l-j} ⊗ c_{l-j},    P = I ⊗ (c_{l-k} c_lᵀ - c_l c_{l-k}ᵀ)
    W = |A><b| - |b><A|,    D = (1-p1) I + p1 P,    H = D W,    G = (H - H†)/2 = (1-p1) W + (p1/2) [P, W]

H, and G, live on U = span{A, b, PA, Pb}: at most four dimensions, whatever d and N are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from circuits.registers import Registers

if TYPE_CHECKING:
    from torch import Tensor

    from qunn import QUNN

Array = NDArray[Any]

_EPSILON = float(np.finfo(np.float64).eps)


@final
@dataclass(frozen=True)
class Layer:
    """Layer k at time l.

    Attributes
    ----------
    Y : Y_l [d]. Y_before : Y_{l-k} [d]. c, c_before : c_l and c_{l-k} [N], real. A : A_k as data by clock [d, N].
    p1 : at l.
    """

    Y: Array
    Y_before: Array
    c: Array
    c_before: Array
    A: Array
    p1: float

    @property
    def registers(self) -> Registers:
        """The qubits for d and N."""
        return Registers(len(self.Y), len(self.c))

    @cached_property
    def spanning(self) -> Array:
        """A, b, PA, Pb as columns [dN, 4]."""
        b = np.outer(self.Y, self.c)
        columns = (self.A, b, self.permuted(self.A), self.permuted(b))
        return np.stack([v.reshape(-1) for v in columns], 1)

    def permuted(self, v: Array) -> Array:
        """P v for v [d, N]."""
        return np.outer(v @ self.c, self.c_before) - np.outer(v @ self.c_before, self.c)

    @cached_property
    def frame(self) -> Array:
        """Q: an orthonormal basis of U as columns [dN, r], r ≤ 4."""
        left, size, _ = np.linalg.svd(self.spanning, full_matrices=False)
        # what is below rounding of the largest is no direction: it would be one of pure noise
        return left[:, size > len(left) * _EPSILON * size[0]] if size[0] else left[:, :0]

    # --- the matrices, each as Q m Q† ---

    def _in_frame(self, C: Array) -> Array:
        """Q† (U C U†) Q [r, r]."""
        R = self.frame.conj().T @ self.spanning
        return R @ C @ R.conj().T

    @property
    def weight(self) -> LowRank:
        """H = D W."""
        C = np.zeros((4, 4))
        C[0, 1], C[1, 0] = 1 - self.p1, -(1 - self.p1)
        C[2, 1], C[3, 0] = self.p1, -self.p1
        return LowRank(self.frame, self._in_frame(C), 0.0)

    @property
    def hop(self) -> LowRank:
        """(1-p1) W, the first of the two natural terms of G."""
        C = np.zeros((4, 4))
        C[0, 1], C[1, 0] = 1 - self.p1, -(1 - self.p1)
        return LowRank(self.frame, self._in_frame(C), 0.0)

    @property
    def permutation(self) -> LowRank:
        """(p1/2) [P, W], the second of them."""
        C = np.zeros((4, 4))
        C[2, 1], C[1, 2] = self.p1 / 2, -self.p1 / 2
        C[0, 3], C[3, 0] = self.p1 / 2, -self.p1 / 2
        return LowRank(self.frame, self._in_frame(C), 0.0)

    @property
    def generator(self) -> LowRank:
        """G, the anti-Hermitian part of D W."""
        return LowRank(self.frame, self.hop.m + self.permutation.m, 0.0)

    def rotation(self, h: float) -> LowRank:
        """exp(h G): unitary (Eq. 31)."""
        return self.generator.exponential(h)

    def flow(self, h: float) -> LowRank:
        """exp(h D W): what the layers of a literal QUNN without activations tend to with many small steps."""
        return self.weight.exponential(h)

    def euler(self, h: float, S: float = 1.0) -> LowRank:
        """S + h D W: Eq. (32) without σ_2."""
        H = self.weight
        return LowRank(H.Q, S * np.eye(len(H.m)) + h * H.m, S)


@final
@dataclass(frozen=True)
class LowRank:
    """M = c (I - Q Q†) + Q m Q†: a matrix [dN, dN] that is a multiple c of the identity outside a small space.

    Q [dN, r] : orthonormal columns. m [r, r]. outside : c.
    """

    Q: Array
    m: Array
    outside: complex = 0.0

    def dense(self) -> Array:
        """M [dN, dN]."""
        return (
            self.outside * np.eye(len(self.Q))
            + self.Q @ (self.m - self.outside * np.eye(len(self.m))) @ self.Q.conj().T
        )

    def apply(self, v: Array) -> Array:
        """M v for v [dN]."""
        on_Q = self.Q.conj().T @ v
        return self.outside * v + self.Q @ (self.m @ on_Q - self.outside * on_Q)

    def exponential(self, h: float) -> LowRank:
        """exp(h M). Of an anti-Hermitian m by its spectrum: unitary to rounding however large h ‖m‖ is."""
        outside = complex(np.exp(h * self.outside)).real
        m = self.m
        if np.abs(m + m.conj().T).max(initial=0.0) > 8 * _EPSILON * np.abs(m).max(initial=0.0):
            return LowRank(self.Q, scipy.linalg.expm(h * m), outside)
        energies, states = np.linalg.eigh(1j * m)
        exact = (states * np.exp(-1j * h * energies)) @ states.conj().T
        return LowRank(self.Q, exact if np.iscomplexobj(m) else exact.real, outside)


def layers(model: QUNN, history: Tensor, l: int) -> list[Layer]:  # noqa: E741
    """The layers k = 1 … L of a QUNN at time l; arguments as for `QUNN.layer_matrices`.

    history [m, d] : the inputs up to Y_l, the last of them.
    """
    past = model.lags(history, l)
    Y = [as_numpy(v) for v in past]
    c = [as_numpy(model.clock.vector(l - k)).real for k in range(len(Y))]
    at = l % model.period
    p1, p2 = model.p1[at].item(), model.p2[at].item()
    return stacked_layers(Y, c, p1, p2)


def stacked_layers(Y: Sequence[Array], c: Sequence[Array], p1: float, p2: float) -> list[Layer]:
    """The layers k = 1 … L from Y_l, Y_{l-1}, … Y_{l-L} and c_l, c_{l-1}, … c_{l-L}."""
    found = []
    A = np.zeros((len(Y[0]), len(c[0])), Y[0].dtype)
    for k in range(1, len(Y)):
        A = (1 - p2) * A + p2 * np.outer(Y[k], c[k])
        found.append(Layer(Y[0], Y[k], c[0], c[k], A, p1))
    return found


def as_numpy(v: Tensor) -> Array:
    """In double precision, in which circuits are built and compared."""
    numbers = v.detach().cpu().numpy()
    return numbers.astype(np.result_type(numbers.dtype, np.float64))
