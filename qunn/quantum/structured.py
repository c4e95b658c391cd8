"""Eqs. (32)-(36) for all times at once, without a matrix on data ⊗ clock.

    W^k = |A_k><b| - |b><A_k|,    b = Y_l ⊗ c_l,    A_k = (1-p2) A_{k-1} + p2 Y_{l-k} ⊗ c_{l-k},    A_0 = 0

so that D^k W^k K takes two inner products and a few multiples of vectors. Vectors on data ⊗ clock are kept as
[N, d, M]: the clock in the frame that moves with l (see `clock`), the data, and the M elements of all sequences.

With a one-hot clock and σ(0) = 0, layer k can write on the entries 0 … k of the clock only: the others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qunn.activations import Activation
from qunn.exponential import exponential
from qunn.quantum.clock import frame_index
from qunn.quantum.history import History

_LONG = 4.0  # ‖h C U†U‖, up to which φ is right to a few ε


@final
@dataclass(frozen=True)
class Elements:
    """The M elements (sequence and time) that are worked on together.

    Attributes
    ----------
    lags : Y_l, Y_{l-1}, … Y_{l-L}, each [d, M]. l : their positions [M]. p1, p2 : at l [M].
    """

    lags: list[Tensor]
    l: Tensor  # noqa: E741
    p1: Tensor
    p2: Tensor


@final
@dataclass(frozen=True)
class Stack:
    """The layers, the same for all elements.

    Attributes
    ----------
    clock : c_{l-k} in the moving frame for k = 0 … L [L+1, N]. read : c̃_{l+1} [N].
    one_hot : whether `clock` holds unit vectors.
    skip : S_k: [L], diagonal [L, dN], or matrices [L, dN, dN].
    activations : σ_1, σ_2, σ_out. h : the step.
    unitary : K <- exp(h anti(D W)) K instead of Eq. (32).
    """

    clock: Tensor
    read: Tensor
    one_hot: bool
    skip: Tensor | None
    activations: tuple[Activation, Activation, Activation]
    h: float
    unitary: bool

    @property
    def grows(self) -> bool:
        """Whether layer k leaves the clock entries above k at zero."""
        return (
            self.one_hot and (self.skip is None or self.skip.dim() < 3) and all(map(_keeps_zero, self.activations[:2]))
        )


def elements(past: History, p1: Tensor, p2: Tensor, times: slice = slice(None)) -> Elements:
    """The elements of a history at these times; p1, p2 by l mod N [N]."""
    lags = [past.lag(k, times).flatten(0, 1).T for k in range(past.depth + 1)]
    position = past.l[:, times].flatten()
    at = position % len(p1)
    return Elements(lags, position, p1[at], p2[at])


def outputs(stack: Stack, elements: Elements) -> Tensor:
    """σ_out((I ⊗ c̃_{l+1}ᵀ) K^L) of every element [d, M]."""
    K = hidden(stack, elements)
    read = (K * _on_clock(stack.read[: len(K)], K)).sum(0)
    sigma = stack.activations[2]
    return sigma(read) if sigma.pointwise else sigma(read.T).T  # [d, M]; a callable of its own sees vectors [M, d]


def hidden(stack: Stack, elements: Elements) -> Tensor:
    """K^L of every element in the moving frame [N, d, M]."""
    Y = elements.lags[0]
    N = stack.clock.shape[1]
    frame = frame_index(elements.l, N)
    width = 1 if stack.grows else N
    K = _pointwise(stack.activations[0], Y * _on_clock(stack.clock[0, :width], Y), frame)
    A = torch.zeros_like(K)
    for k in range(1, len(elements.lags)):
        if stack.grows and width < N:
            width += 1
            K, A = _widened(K), _widened(A)
        c, c_before = stack.clock[0, :width], stack.clock[k, :width]
        A = (1 - elements.p2) * A + (elements.p2 * elements.lags[k]) * _on_clock(c_before, A)
        if stack.unitary:
            K = K + _rotation(_spanning(A, Y, c, c_before), elements.p1, K, stack.h)
            continue
        change = _pointwise(stack.activations[1], _dw(K, A, Y, c, c_before, elements.p1), frame)
        K = _skipped(stack.skip, k, K, frame) + stack.h * change
    return K if width == N else torch.nn.functional.pad(K, (0, 0, 0, 0, 0, N - width))


def _dw(K: Tensor, A: Tensor, Y: Tensor, c: Tensor, c_before: Tensor, p1: Tensor) -> Tensor:
    """D^k W^k K."""
    on_b = (Y.conj() * _contracted(c, K)).sum(0)  # <b, K> [M]
    on_A = (A.conj() * K).sum((0, 1))  # <A, K> [M]
    WK = A * on_b - (Y * on_A) * _on_clock(c, A)
    return (1 - p1) * WK + p1 * _permuted(WK, c, c_before)


def _permuted(v: Tensor, c: Tensor, c_before: Tensor) -> Tensor:
    """P v = (I ⊗ (c_{l-k} c_lᵀ - c_l c_{l-k}ᵀ)) v."""
    return _contracted(c, v) * _on_clock(c_before, v) - _contracted(c_before, v) * _on_clock(c, v)


def _spanning(A: Tensor, Y: Tensor, c: Tensor, c_before: Tensor) -> Tensor:
    """A, b, P A, P b [4, N, d, M], which span the range of anti(D W)."""
    b = Y * _on_clock(c, A)
    return torch.stack([A, b, _permuted(A, c, c_before), _permuted(b, c, c_before)])


def _rotation(U: Tensor, p1: Tensor, K: Tensor, h: float) -> Tensor:
    """exp(h G) K - K for G = anti(D W) = U C U†, U = [A, b, PA, Pb] and C real and antisymmetric, 4 x 4.

    exp(h U C U†) = 1 + U φ(h C U†U) h C U† with φ(z) = (e^z - 1)/z: exact, whatever the rank of U is, and smooth. φ is
    the corner of the exponential of [[z, 1], [0, 0]]. Its rounding grows as ε‖z‖³, since z is not normal: the values of
    long steps come from an orthonormal frame of U, which has no derivative where U loses rank.
    """
    zero = torch.zeros_like(p1)
    half, rest = p1 / 2, 1 - p1
    rows = ((zero, rest, zero, half), (-rest, zero, -half, zero), (zero, half, zero, zero), (-half, zero, zero, zero))
    C = torch.stack([torch.stack(row, -1) for row in rows], -2).to(U.dtype)  # [M, 4, 4]
    flat = U.flatten(1, 2).permute(2, 1, 0)  # [M, Nd, 4]
    hC = h * C
    z = hC @ (flat.mH @ flat)
    block = torch.zeros(*z.shape[:-2], 8, 8, dtype=U.dtype, device=U.device)
    block[..., :4, :4] = z
    block[..., :4, 4:] = torch.eye(4, dtype=U.dtype, device=U.device)
    phi = exponential(block)[..., :4, 4:]
    along = flat.mH @ K.flatten(0, 1).T.unsqueeze(-1)  # U†K [M, 4, 1]
    coefficients = (phi @ (hC @ along)).squeeze(-1).T  # [4, M]
    change = (U * coefficients[:, None, None]).sum(0)
    long = z.detach().abs().sum(-1).amax(-1) > _LONG  # [M]: no element's path depends on another
    if not bool(long.any()):
        return change
    exactly = _rotation_in_frame(flat.detach(), hC.detach(), K.detach())
    if not change.requires_grad:
        return torch.where(long, exactly, change)
    return change + torch.where(long, exactly - change.detach(), 0)


def _rotation_in_frame(flat: Tensor, hC: Tensor, K: Tensor) -> Tensor:
    """The same for U = Q R with orthonormal columns Q: Q (e^m - 1) Q†K, m = R hC R† by its spectrum."""
    Q, R = torch.linalg.qr(flat)
    energies, states = torch.linalg.eigh(1j * (R @ hC @ R.mH))  # [M, 4], [M, 4, 4]
    along = (Q.mH @ K.flatten(0, 1).T.unsqueeze(-1)).to(states.dtype)
    turned = states @ (torch.expm1(-1j * energies).unsqueeze(-1) * (states.mH @ along))
    change = (Q @ (turned if K.is_complex() else turned.real)).squeeze(-1)  # [M, Nd]
    return change.T.reshape(K.shape)


def _on_clock(c: Tensor, like: Tensor) -> Tensor:
    """c [N] as a factor of [N, d, M]."""
    return c[:, None, None].to(like.dtype)


def _contracted(c: Tensor, v: Tensor) -> Tensor:
    """(I ⊗ cᵀ) v [d, M]; c is real."""
    return torch.tensordot(c.to(v.dtype), v, dims=1)


def _widened(v: Tensor) -> Tensor:
    return torch.nn.functional.pad(v, (0, 0, 0, 0, 0, 1))


def _keeps_zero(sigma: Activation) -> bool:
    return sigma.pointwise and not bool(sigma(torch.zeros(1, dtype=torch.float64)).any())


def _to_vectors(v: Tensor, frame: Tensor) -> Tensor:
    """[N, d, M] in the moving frame -> [M, dN], indexed data * N + clock."""
    return v.gather(0, frame[:, None].expand_as(v)).permute(2, 1, 0).flatten(1)


def _from_vectors(v: Tensor, frame: Tensor) -> Tensor:
    return (
        v.reshape(len(v), -1, len(frame))
        .permute(2, 1, 0)
        .gather(0, frame[:, None].expand(-1, v.shape[1] // len(frame), -1))
    )


def _pointwise(sigma: Activation, v: Tensor, frame: Tensor) -> Tensor:
    """σ(v); a callable of which nothing is known sees the vectors of the formula."""
    if sigma.pointwise:
        return sigma(v)
    return _from_vectors(sigma(_to_vectors(v, frame)), frame)


def _skipped(skip: Tensor | None, k: int, K: Tensor, frame: Tensor) -> Tensor:
    """S_k K."""
    if skip is None:
        return K
    S = skip[k - 1]
    if S.dim() == 0:
        return S * K
    if S.dim() == 2:
        return _from_vectors(_to_vectors(K, frame) @ S.T.to(K.dtype), frame)
    on_frame = S.reshape(K.shape[1], len(frame)).T[frame[: len(K)]]  # [width, M, d]
    return on_frame.transpose(1, 2) * K
