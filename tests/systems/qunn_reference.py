"""The QUNN straight from Eqs. (32)-(36) with the spec's readings (E5, E6, E14, E17), one time and one layer at a time.

numpy only, no code of the package: every matrix on data ⊗ clock is written out with numpy.kron, index data * N + clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import erf

from tests.systems.arnn_reference import SIGMA as FIRST
from tests.systems.arnn_reference import split

Function = Callable[[np.ndarray], np.ndarray]

SIGMA: dict[str, Function] = FIRST | {
    "leaky_relu": split(lambda v: np.where(v > 0, v, 0.01 * v)),
    "elu": split(lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0)))),
    "gelu": split(lambda v: v * (1 + erf(v / np.sqrt(2))) / 2),
}


@dataclass(frozen=True)
class Network:
    """p1, p2 [N] by l mod N. skip: S_k, k = 1 … L, each a number, a diagonal [dN] or a matrix [dN, dN].

    profile, read_profile: f of a learned clock, f̃ of its read-out [N]; None: one-hot, and the same as the clock.
    """

    p1: np.ndarray
    p2: np.ndarray
    skip: Any
    profile: np.ndarray | None = None
    read_profile: np.ndarray | None = None
    block: bool = False
    unitary: bool = False
    h: float = 1.0
    sigma: tuple[Function, Function, Function] = (SIGMA["tanh"], SIGMA["tanh"], SIGMA["identity"])

    @property
    def N(self) -> int:
        return len(self.p1)

    @property
    def L(self) -> int:
        return len(self.skip)

    def c(self, m: int) -> np.ndarray:
        """c_m: Σ_r f_r e_{(m+r) mod N}."""
        return self._clock(m, self.profile)

    def c_read(self, m: int) -> np.ndarray:
        return self._clock(m, self.profile if self.read_profile is None else self.read_profile)

    def _clock(self, m: int, profile: np.ndarray | None) -> np.ndarray:
        c = np.zeros(self.N)
        if profile is None:
            c[m % self.N] = 1
            return c
        for r in range(self.N):
            c[(m + r) % self.N] += profile[r]
        return c


def lagged(net: Network, Y: dict[int, np.ndarray], l: int, k: int) -> np.ndarray:  # noqa: E741
    """Y_{l-k}: 0 where there is none, and with block history 0 before the first element of l's block 1 … N, N+1 … ."""
    first = (l - 1) // net.N * net.N + 1
    if net.block and l - k < first:
        return np.zeros_like(Y[l])
    return Y.get(l - k, np.zeros_like(Y[l]))


def matrices(net: Network, Y: dict[int, np.ndarray], l: int) -> list[tuple[np.ndarray, np.ndarray]]:  # noqa: E741
    """(D^k, W^k) for k = 1 … L."""
    d, N = len(Y[l]), net.N
    p1, p2 = net.p1[l % N], net.p2[l % N]
    W = np.zeros((d * N, d * N))
    found = []
    for k in range(1, net.L + 1):
        now, then = Y[l][:, None], lagged(net, Y, l, k)[:, None]  # columns
        c, c_then = net.c(l)[:, None], net.c(l - k)[:, None]
        D = (1 - p1) * np.kron(np.eye(d), np.eye(N)) + p1 * (
            np.kron(np.eye(d), c_then @ c.T) - np.kron(np.eye(d), c @ c_then.T)
        )
        W = (1 - p2) * W + p2 * (
            np.kron(then @ now.conj().T, c_then @ c.T) - np.kron(now @ then.conj().T, c @ c_then.T)
        )
        found.append((D, W))
    return found


def one_output(net: Network, Y: dict[int, np.ndarray], l: int) -> np.ndarray:  # noqa: E741
    """The prediction of Y_{l+1} [d]."""
    d = len(Y[l])
    sigma_1, sigma_2, sigma_out = net.sigma
    K = sigma_1(np.kron(Y[l], net.c(l)))
    for (D, W), S in zip(matrices(net, Y, l), net.skip, strict=True):
        H = D @ W
        if net.unitary:
            K = scipy.linalg.expm(net.h * (H - H.conj().T) / 2) @ K
        else:
            kept = S @ K if np.ndim(S) == 2 else S * K
            K = kept + net.h * sigma_2(H @ K)
    return sigma_out(np.kron(np.eye(d), net.c_read(l + 1)[None, :]) @ K)


def outputs(net: Network, inputs: np.ndarray, before: np.ndarray | None = None, position: int = 0) -> np.ndarray:
    """inputs Y_{position+1}, … [T, d], before them the rows of `before`, the latest last -> outputs [T, d]."""
    Y = {position + 1 + t: row for t, row in enumerate(inputs)}
    for back, row in enumerate([] if before is None else before[::-1]):
        Y[position - back] = row
    return np.array([one_output(net, Y, position + 1 + t) for t in range(len(inputs))])
