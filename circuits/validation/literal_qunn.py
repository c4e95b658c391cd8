"""The QUNN straight from Eqs. (32)-(36) as they are read here (E5, E6, E14, E17), one time and one layer at a time.

numpy and scipy only, nothing of `qunn`: every matrix on data ⊗ clock is written out with numpy.kron, index
data * N + clock. It is slow, and what everything faster is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[Any]
Function = Callable[[Array], Array]


def split(sigma: Function) -> Function:
    """σ on the real and the imaginary part by themselves."""
    return lambda v: sigma(v.real) + 1j * sigma(v.imag) if np.iscomplexobj(v) else sigma(v)


SIGMA: dict[str, Function] = {
    "identity": lambda v: v,
    "tanh": split(np.tanh),
    "sigmoid": split(lambda v: 1 / (1 + np.exp(-v))),
    "relu": split(lambda v: np.maximum(v, 0)),
    "softplus": split(lambda v: np.where(v > 20, v, np.log1p(np.exp(np.minimum(v, 20))))),  # as torch has it
    "sin": split(np.sin),
    "leaky_relu": split(lambda v: np.where(v > 0, v, 0.01 * v)),
    "elu": split(lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0)))),
    "gelu": split(lambda v: v * (1 + erf(v / np.sqrt(2))) / 2),
}


@dataclass(frozen=True)
class Network:
    """The numbers of a QUNN.

    Attributes
    ----------
    p1, p2 : by l mod N [N]. skip : S_k, k = 1 … L, each a number, a diagonal [dN] or a matrix [dN, dN].
    profile, read_profile : f of a learned clock, f̃ of its read-out [N]; None: one-hot, and the same as the clock.
    block : whether what lies before l's block of N counts as 0. unitary : Eq. (31) in place of Eq. (32). h : the step.
    sigma : σ_1, σ_2, σ_out.
    """

    p1: Array
    p2: Array
    skip: Any
    profile: Array | None = None
    read_profile: Array | None = None
    block: bool = False
    unitary: bool = False
    h: float = 1.0
    sigma: tuple[Function, Function, Function] = (SIGMA["tanh"], SIGMA["tanh"], SIGMA["identity"])

    @property
    def N(self) -> int:
        """The period."""
        return len(self.p1)

    @property
    def L(self) -> int:
        """The number of layers."""
        return len(self.skip)

    def c(self, m: int) -> Array:
        """c_m: Σ_r f_r e_{(m+r) mod N}."""
        return self._clock(m, self.profile)

    def c_read(self, m: int) -> Array:
        """c̃_m, the same of the read-out."""
        return self._clock(m, self.profile if self.read_profile is None else self.read_profile)

    def _clock(self, m: int, profile: Array | None) -> Array:
        c = np.zeros(self.N)
        if profile is None:
            c[m % self.N] = 1
            return c
        for r in range(self.N):
            c[(m + r) % self.N] += profile[r]
        return c


def lagged(net: Network, Y: dict[int, Array], l: int, k: int) -> Array:  # noqa: E741
    """Y_{l-k}: 0 where there is none, and with block history 0 before the first element of l's block 1 … N, N+1 … ."""
    first = (l - 1) // net.N * net.N + 1
    if net.block and l - k < first:
        return np.zeros_like(Y[l])
    return Y.get(l - k, np.zeros_like(Y[l]))


def matrices(net: Network, Y: dict[int, Array], l: int) -> list[tuple[Array, Array]]:  # noqa: E741
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


def rotated(G: Array, K: Array) -> Array:
    """exp(G) K of an anti-Hermitian G, by its eigenvalues.

    Rounding is as large as ‖G‖ makes it, and no more: the Padé approximants of `scipy.linalg.expm` lose up to some ten
    times that where they scale and square a large G.
    """
    energies, states = np.linalg.eigh(1j * G)
    found = (states * np.exp(-1j * energies)) @ (states.conj().T @ K)
    return found if np.iscomplexobj(G) or np.iscomplexobj(K) else found.real


def one_pass(net: Network, Y: dict[int, Array], l: int) -> list[Array]:  # noqa: E741
    """K^0, K^1 … K^L at time l, each [dN]."""
    sigma_1, sigma_2, _ = net.sigma
    found = [sigma_1(np.kron(Y[l], net.c(l)))]
    for (D, W), S in zip(matrices(net, Y, l), net.skip, strict=True):
        K, H = found[-1], D @ W
        if net.unitary:
            found.append(rotated(net.h * (H - H.conj().T) / 2, K))
        else:
            kept = S @ K if np.ndim(S) == 2 else S * K
            found.append(kept + net.h * sigma_2(H @ K))
    return found


def one_output(net: Network, Y: dict[int, Array], l: int) -> Array:  # noqa: E741
    """The prediction of Y_{l+1} [d]."""
    d = len(Y[l])
    return net.sigma[2](np.kron(np.eye(d), net.c_read(l + 1)[None, :]) @ one_pass(net, Y, l)[-1])


def by_time(inputs: Array, before: Array | None = None, position: int = 0) -> dict[int, Array]:
    """Y_l by l: the inputs Y_{position+1}, … [T, d], and before them the rows of `before`, the latest last."""
    Y = {position + 1 + t: row for t, row in enumerate(inputs)}
    for back, row in enumerate([] if before is None else before[::-1]):
        Y[position - back] = row
    return Y


def outputs(net: Network, inputs: Array, before: Array | None = None, position: int = 0) -> Array:
    """The outputs [T, d] for the inputs Y_{position+1}, … [T, d]; arguments as for `by_time`."""
    Y = by_time(inputs, before, position)
    return np.array([one_output(net, Y, position + 1 + t) for t in range(len(inputs))])


def states(net: Network, inputs: Array) -> Array:
    """K^0 … K^L of the inputs Y_1, … [T, d]: [T, L+1, dN]."""
    Y = by_time(inputs)
    return np.array([one_pass(net, Y, 1 + t) for t in range(len(inputs))])
