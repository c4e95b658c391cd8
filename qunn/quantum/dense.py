"""Eqs. (32)-(36) as printed, matrix by matrix, at one time l: the reference for everything faster.

Vectors on data ⊗ clock [dN] are indexed data * N + clock, as numpy.kron(Y, c) is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hamiltonians.memory import require_memory
from qunn.exponential import exponential
from qunn.quantum.clock import Clock

#: bytes for which the machine is asked first; to ask takes longer than to make what is smaller
_ASKED_FOR = 2**24


class LayerMatrices(NamedTuple):
    """D^k, W^k and H^k = D^k W^k of the layers k = 1 … L, each [L, dN, dN]."""

    D: Tensor
    W: Tensor
    H: Tensor


class Generators(NamedTuple):
    """The anti-Hermitian and the Hermitian part of every D^k W^k, each [L, dN, dN]."""

    anti_hermitian: Tensor
    hermitian: Tensor


def layer(
    K: Tensor,
    W: Tensor,
    D: Tensor | None = None,
    S: Tensor | float = 1.0,
    sigma: Callable[[Tensor], Tensor] | None = None,
    h: float = 1.0,
) -> Tensor:
    """Eqs. (32), (33) with a step h: S K + h σ_2(D W K).

    K : [..., n]. W, D : [n, n], or with K's leading dimensions; D is left out for the identity. S : a number, a
    diagonal [n], or a matrix [n, n]. sigma : σ_2; the identity where it is left out.

    Examples
    --------
    >>> import torch
    >>> from qunn import layer
    >>> K, W = torch.tensor([3.0, 1.0]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    >>> layer(K, W, h=0.5).tolist()  # K + h W K
    [3.5, -0.5]
    """
    change = _applied(W if D is None else D @ W, K)
    kept = S * K if not isinstance(S, Tensor) or S.dim() < 2 else _applied(S, K)
    return kept + h * (change if sigma is None else sigma(change))


def layer_matrices(past: Sequence[Tensor], l: int, p1: Tensor, p2: Tensor, clock: Clock) -> LayerMatrices:  # noqa: E741
    """D^k, W^k, H^k at time l (Eqs. 33-35), with W^0 = 0 (E6) and † for ᵀ where the data are complex.

    past : Y_l, Y_{l-1}, … Y_{l-L}, each [d]. p1, p2 : at l, numbers.

    Raises
    ------
    MemoryEstimateError : the matrices would not fit.
    """
    n = len(past[0]) * clock.period
    needed = bytes_needed(len(past) - 1, n, past[0].element_size())
    if needed > _ASKED_FOR:
        require_memory(needed, f"the layer matrices of {n} rows", 'backend="structured" needs none of them')
    Y, c = past[0], clock.vector(l).to(past[0].dtype)
    one = torch.eye(len(Y), dtype=Y.dtype, device=Y.device)
    identity = torch.eye(len(Y) * clock.period, dtype=Y.dtype, device=Y.device)
    W = torch.zeros_like(identity)
    found: list[tuple[Tensor, Tensor]] = []
    for k in range(1, len(past)):
        before, c_before = past[k], clock.vector(l - k).to(Y.dtype)
        hop, back = torch.outer(c_before, c), torch.outer(c, c_before)
        D = (1 - p1) * identity + p1 * (torch.kron(one, hop) - torch.kron(one, back))
        forward = torch.kron(torch.outer(before, Y.conj()), hop)
        backward = torch.kron(torch.outer(Y, before.conj()), back)
        W = (1 - p2) * W + p2 * (forward - backward)
        found.append((D, W))
    D, W = (torch.stack(parts) for parts in zip(*found, strict=True))
    return LayerMatrices(D, W, D @ W)


def bytes_needed(L: int, n: int, size: int) -> int:
    """What `layer_matrices` takes for matrices [n, n] of numbers of `size` bytes: D, W twice each, H, and some more."""
    return (5 * L + 6) * n**2 * size


def generators(matrices: LayerMatrices) -> Generators:
    """(H - H†)/2 and (H + H†)/2 of every H^k = D^k W^k."""
    H = matrices.H
    return Generators((H - H.mH) / 2, (H + H.mH) / 2)


def evolve(K: Tensor, generator: Tensor, h: float) -> Tensor:
    """exp(h G) K (Eq. 31): K [n], G [n, n]."""
    return exponential(h * generator) @ K


def _applied(M: Tensor, K: Tensor) -> Tensor:
    """M K; one may be real and the other complex."""
    kind = torch.promote_types(M.dtype, K.dtype)
    return (M.to(kind) @ K.to(kind).unsqueeze(-1)).squeeze(-1)
