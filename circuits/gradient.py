"""Gradients of the read-out with respect to p1 and p2, by the adjoint method on circuits.

With ψ_k = U_k … U_1 ψ_0 and λ_k = U_{k+1}† … U_L† λ_L, both made by circuits, λ_L being the gradient of a real function
with respect to the last state,

    d/dp = Σ_k Re <λ_k| ∂U_k/∂p |ψ_{k-1}>,    ∂ exp(hG)/∂p = ∫_0^1 exp(shG) h ∂G/∂p exp((1-s)hG) ds

where the integral (the Fréchet derivative of the exponential) lives on span{A, b, PA, Pb, ∂A, P∂A}: six dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from circuits.element import Element
from circuits.encoding import encoded
from circuits.layer import LowRank
from circuits.runs import Runs

if TYPE_CHECKING:
    from circuits.network import QUNNCircuit

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Slopes:
    """∂U_k/∂p1 and ∂U_k/∂p2 of one layer, each zero outside its small space."""

    p1: LowRank
    p2: LowRank


def slopes(at: Element, p2: float, h: float) -> list[Slopes]:
    """Those of the layers k = 1 … L of exp(h G_k), G = (1-p1) W + (p1/2) [P, W]."""
    found = []
    A = np.zeros_like(at.layers[0].A)
    dA = A
    for layer in at.layers:
        dA = (1 - p2) * dA - A + np.outer(layer.Y_before, layer.c_before)  # ∂A_k/∂p2
        A = layer.A
        span = np.concatenate([layer.spanning, np.stack([v.reshape(-1) for v in (dA, layer.permuted(dA))], 1)], 1)
        Q, _ = np.linalg.qr(span)
        R = Q.conj().T @ span  # the columns A, b, PA, Pb, ∂A, P∂A in the frame
        W, PW = _hop(R, 0, 1), _hop(R, 2, 1) + _hop(R, 0, 3)  # |A><b| - h.c.;  [P, W]
        dW, dPW = _hop(R, 4, 1), _hop(R, 5, 1) + _hop(R, 4, 3)
        G = h * ((1 - layer.p1) * W + layer.p1 / 2 * PW)
        by_p1, by_p2 = h * (PW / 2 - W), h * ((1 - layer.p1) * dW + layer.p1 / 2 * dPW)
        frechet: list[Array] = [scipy.linalg.expm_frechet(G, E, compute_expm=False) for E in (by_p1, by_p2)]  # type: ignore[misc]
        found.append(Slopes(*(LowRank(Q, E, 0.0) for E in frechet)))
    return found


def _hop(R: Array, i: int, j: int) -> Array:
    """|i><j| - |j><i| of columns of R."""
    one: Array = np.outer(R[:, i], R[:, j].conj())
    return one - one.conj().T


def gradient(
    circuit: QUNNCircuit, elements: Sequence[Element], positions: Sequence[int], p2: Sequence[float], by_output: Array
) -> tuple[Array, Array]:
    """The gradient of a real function of the read-outs with respect to p1 [N] and p2 [N].

    by_output [M, d] : its gradient with respect to every read-out; of complex ones ∂/∂Re + i ∂/∂Im, as torch has it.
    positions [M] : l of every element. p2 [N] : with which the elements were made.
    """
    N = circuit.model.period
    total = np.zeros((2, N))
    runs = Runs(circuit.backend)
    for at, l, slope in zip(elements, positions, by_output, strict=True):  # noqa: E741
        if at.empty or not slope.any() or not at.read.any():
            continue
        before, after = _states(circuit, at, slope, runs)
        for k, by in enumerate(slopes(at, p2[l % N], circuit.model.step)):
            for row, one in enumerate((by.p1, by.p2)):
                total[row, l % N] += np.vdot(after[k], one.apply(before[k])).real
    return total[0], total[1]


def _states(circuit: QUNNCircuit, at: Element, slope: Array, runs: Runs) -> tuple[Array, Array]:
    """ψ_{k-1} and λ_k for k = 1 … L [L, dN], each from its own circuit, all in one job."""
    registers = at.registers
    last = np.outer(slope, at.read).reshape(-1)  # <λ_L|K> = <slope| (I ⊗ c̃ᵀ) K>
    parts = circuit.evolutions(at)
    forward, backward = [encoded(at.K, registers)], [encoded(last, registers)]
    for part in parts[:-1]:
        forward.append(forward[-1].compose(part, forward[-1].qubits))
    for part in reversed(parts[1:]):
        backward.append(backward[-1].compose(part.inverse(), backward[-1].qubits))
    states = registers.extracted(runs.states([*forward, *reversed(backward)]))
    L = len(parts)
    return np.linalg.norm(at.K) * states[:L], np.linalg.norm(last) * states[L:]


class _Adjoint(torch.autograd.Function):
    """The output of a circuit as a function of p1 and p2."""

    @staticmethod
    def forward(ctx: Any, p1: Tensor, p2: Tensor, output: Tensor, circuit: QUNNCircuit, input: Tensor) -> Tensor:
        """The output that was found already; its elements are kept, since parameters may change until `backward`."""
        ctx.circuit, ctx.input = circuit, input
        ctx.elements, ctx.p2 = circuit.elements(circuit.model.as_batch(input)[0]), p2.tolist()
        ctx.like = p1, p2
        return output.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *by_output: Tensor) -> tuple[Tensor | None, ...]:
        """By circuits, see `gradient`."""
        circuit: QUNNCircuit = ctx.circuit
        Y, batched = circuit.model.as_batch(ctx.input)
        slope = by_output[0]
        if not batched:
            slope = slope[None]
        elif not circuit.model.batch_first:
            slope = slope.transpose(0, 1)
        positions = list(range(1, Y.shape[1] + 1)) * len(Y)
        numbers = slope.reshape(-1, slope.shape[-1]).detach().cpu().numpy()
        found = gradient(circuit, ctx.elements, positions, ctx.p2, numbers)
        return *(torch.from_numpy(g).to(like) for g, like in zip(found, ctx.like, strict=True)), None, None, None


def with_gradient(circuit: QUNNCircuit, input: Tensor, output: Tensor) -> Tensor:
    """The output of a unitary model's circuits, attached to the graph of `model.p1` and `model.p2`.

    First derivatives only: a gradient of the gradient would lack what comes through the circuits.
    """
    model = circuit.model
    if not (model.p1.requires_grad or model.p2.requires_grad):
        return output
    found: Tensor = _Adjoint.apply(  # type: ignore[no-untyped-call]
        model.p1, model.p2, output, circuit, input.detach()
    )
    return found
