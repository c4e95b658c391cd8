"""Scanning a sequence by couplings, with the gradient written out, and scanning it back.

Time is cut into stretches of CHUNK steps (`qunn.arnn.stretch`). The input's projection, the slopes and the gradients of
the weights are one product a stretch; the loop over couplings keeps what is truly sequential. The gradient goes through
the stretches from the last to the first: through stored ones, or in reversible mode through ones that are recomputed
from the state behind them, so that nothing is kept but the first and the last state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hamiltonians.errors import must_be
from qunn.arnn.schemes import Recurrence
from qunn.arnn.stretch import Stretch, Weights, to_grid
from qunn.derivatives import first_only


class ReversalError(RuntimeError):
    """The past that was recomputed is not the past that was: the gradient would be wrong."""


def scan(
    run: Recurrence, x: Tensor, state: tuple[Tensor, ...], W: Tensor, V: Tensor, b: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(*) over x [T, B, m] from `state` = (s_0, s_{-1}), each [B, H]; differentiable once.

    Returns the outputs [T, B, H] ([1, B, H] without `run.sequence`) and (s_{pT}, s_{pT-1}).

    Where σ' is no function of σ, autograd records an ordinary loop instead, which is slower and differentiable twice.

    Raises
    ------
    InputError : a state leaves the grid's range.
    ReversalError : in the backward pass, if the recovered past differs from the past.
    """
    if not run.written_out:
        return unrolled(run, x, state, W, V, b)
    tensors = (x, *state, W, V, *(() if b is None else (b,)))
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    with torch.autocast(x.device.type, enabled=False):  # the way back must see the very same products
        out, *after = _Couplings.apply(run, keep, x, W, V, b, *state)  # type: ignore[no-untyped-call]
    return out, tuple(after)


@torch.no_grad()
def unscan(
    run: Recurrence, x: Tensor, state: tuple[Tensor, ...], W: Tensor, V: Tensor, b: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The reverse of `scan`: from the state after x, the same outputs and the state before x.

    Exact on the grid, if x is cut into the same stretches as in `scan`; up to rounding, which may grow, otherwise.
    """
    if not run.scheme.reversible:
        raise must_be("scheme", "reversible", run.scheme.name)
    weights, right = Weights(W, V, b), Weights(W, V, b).right(run.scheme)
    pair = [to_grid(run, part) for part in state]
    out = _outputs(run, x, pair[0], W.dtype)
    for t in reversed(range(0, x.shape[0], run.chunk)):
        stretch = Stretch(run, x[t : t + run.chunk], pair[0].shape, W.dtype)
        stretch.put(stretch.J, pair)
        stretch.retreat(weights.project(stretch.x), right)
        pair = stretch.pair(0)
        if run.sequence:
            out[t : t + run.chunk] = stretch.outputs()
    return out, tuple(pair)


def unrolled(
    run: Recurrence, x: Tensor, state: tuple[Tensor, ...], W: Tensor, V: Tensor, b: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`scan` as an ordinary loop under autograd, for any σ."""
    p, lag = run.scheme.p, run.scheme.lag
    u = torch.nn.functional.linear(x, V, b)
    states = list(reversed(state))  # s_{-1}, s_0 for lag 1
    outputs = []
    for j in range(p * x.shape[0]):
        M = W.mH if run.scheme.adjoint[j % p] else W
        v = states[lag] @ M.mT + u[j // p]
        states.append(states[0] + run.h * run.scheme.factors[j % p] * run.sigma(v))
        del states[0]
        if (j + 1) % p == 0:
            outputs.append(states[lag])
    return torch.stack(outputs if run.sequence else outputs[-1:]), tuple(reversed(states))


def _outputs(run: Recurrence, x: Tensor, s: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for all outputs, or the last output."""
    return torch.empty((x.shape[0], *s.shape), dtype=dtype, device=s.device) if run.sequence else s.to(dtype)[None]


class _Gradients:
    """dL/dW, dL/dV, dL/db and dL/dx, gathered stretch by stretch."""

    def __init__(self, run: Recurrence, weights: Weights, x: Tensor, needed: tuple[bool, ...]) -> None:
        self.run, self.weights = run, weights
        self.x = torch.empty_like(x, memory_format=torch.contiguous_format) if needed[0] else None
        self.W = torch.zeros_like(weights.W) if needed[1] else None
        self.V = torch.zeros_like(weights.V) if needed[2] else None
        self.b = torch.zeros_like(weights.b) if needed[3] and weights.b is not None else None

    def add(self, stretch: Stretch, DV: Tensor, t: int) -> None:
        """One product for W and one for V: Σ_i dv_iᵀ s̄_i for M = W; for M = Wᴴ its adjoint Σ_i s_iᵀ dv̄_i."""
        p, k = stretch.p, stretch.k
        by_step = DV.view(k, p, *DV.shape[1:])  # [k, p, B, H]
        if self.W is not None:
            sources = stretch.S[stretch.lag : stretch.lag + stretch.J].view(k, p, *DV.shape[1:])
            for q, adjoint in enumerate(self.run.scheme.adjoint):
                dv = by_step[:, q].reshape(-1, DV.shape[-1])
                s = sources[:, q].to(DV.dtype).reshape(-1, DV.shape[-1])
                self.W.addmm_(*((s.mT, dv.conj()) if adjoint else (dv.mT, s.conj())))
        du = (DV if p == 1 else by_step.sum(1)).flatten(0, 1)
        if self.V is not None:
            self.V.addmm_(du.mT, stretch.x.flatten(0, 1).conj())
        if self.b is not None:
            self.b.add_(du.sum(0))
        if self.x is not None:
            torch.mm(du, self.weights.V.conj(), out=self.x[t : t + k].flatten(0, 1))


class _Couplings(torch.autograd.Function):
    """`scan` with its backward pass written out, from stored states or from recovered ones."""

    @staticmethod
    def forward(
        ctx: Any, run: Recurrence, keep: bool, x: Tensor, W: Tensor, V: Tensor, b: Tensor | None, *state: Tensor
    ) -> tuple[Tensor, ...]:
        weights = Weights(W, V, b)
        right = weights.right(run.scheme)
        stored = keep and run.fraction_bits is None
        start = [to_grid(run, part) for part in state]
        pair, chunks = start, []
        buffers: tuple[Tensor, ...] = ()
        out = torch.empty((x.shape[0], *start[0].shape), dtype=W.dtype, device=W.device) if run.sequence else None
        for t in range(0, x.shape[0], run.chunk):
            stretch = Stretch(run, x[t : t + run.chunk], start[0].shape, W.dtype, buffers)
            stretch.put(0, pair)
            stretch.advance(weights.project(stretch.x), right)
            pair = stretch.pair(stretch.J)
            if out is not None:
                out[t : t + run.chunk] = stretch.outputs()
            if stored:
                chunks += [stretch.S, stretch.G]
            else:
                buffers = buffers or (stretch.S, stretch.G)
        if keep:
            ctx.run = run
            ctx.save_for_backward(x, W, V, b, *state, *(chunks if stored else [*start, *pair]))
        ctx.set_materialize_grads(False)
        return (pair[0].to(W.dtype, copy=True)[None] if out is None else out, *pair)

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *given_state: Tensor | None) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            found = _Couplings.gradients(ctx, given, *given_state)
        inputs = [t for t in ctx.saved_tensors[: 5 + ctx.run.scheme.lag] if t is not None]
        return tuple(None if g is None else first_only(g, inputs, "an ARNN's states") for g in found)

    @staticmethod
    def gradients(ctx: Any, given: Tensor | None, *given_state: Tensor | None) -> tuple[Tensor | None, ...]:
        """With respect to every argument of `forward`."""
        run: Recurrence = ctx.run
        x, W, V, b, *rest = ctx.saved_tensors
        rest = rest[run.scheme.lag + 1 :]  # after the state
        weights = Weights(W, V, b)
        gradients = _Gradients(run, weights, x, ctx.needs_input_grad[2:6])
        cur, other = _adjoint_pair(run, given_state, rest[0].shape[-2:], W)
        if given is not None and not run.sequence:
            cur.add_(given[0])
            given = None
        back = [r.mH.resolve_conj().contiguous() for r in weights.right(run.scheme)]
        with torch.autocast(x.device.type, enabled=False):
            stretches = _kept(run, x, rest) if run.fraction_bits is None else _recovered(run, weights, x, rest)
            for t, stretch in stretches:
                grad = None if given is None else given[t : t + run.chunk]
                if grad is not None:
                    cur.add_(grad[-1])
                DV, cur, other = stretch.adjoint(back, cur, other, grad)
                gradients.add(stretch, DV, t)
        state = [part.to(run.wide(W.dtype)) for part in (cur, other)[: run.scheme.lag + 1]]
        return (None, None, gradients.x, gradients.W, gradients.V, gradients.b, *state)


def _adjoint_pair(
    run: Recurrence, given: tuple[Tensor | None, ...], shape: torch.Size, W: Tensor
) -> tuple[Tensor, Tensor]:
    """dL/ds_J and dL/ds_{J-1} as buffers of the weights' dtype that may be written to; one buffer for lag = 0."""
    parts = [torch.zeros(shape, dtype=W.dtype, device=W.device) for _ in given]
    for part, grad in zip(parts, given, strict=True):
        if grad is not None:
            part.copy_(grad)
    return parts[0], parts[run.scheme.lag]


def _kept(run: Recurrence, x: Tensor, chunks: list[Tensor]) -> Iterator[tuple[int, Stretch]]:
    """The stretches that the forward pass stored, last first."""
    for t in reversed(range(0, x.shape[0], run.chunk)):
        S, G = chunks[2 * (t // run.chunk) :][:2]
        yield t, Stretch(run, x[t : t + run.chunk], S.shape[1:], G.dtype, (S, G))


def _recovered(run: Recurrence, weights: Weights, x: Tensor, ends: list[Tensor]) -> Iterator[tuple[int, Stretch]]:
    """The stretches, recomputed from the last states, last first; then a check that the first states are the same."""
    half = len(ends) // 2
    start, pair = ends[:half], ends[half:]
    right = weights.right(run.scheme)
    longest = Stretch(run, x[: run.chunk], start[0].shape, weights.W.dtype)
    for t in reversed(range(0, x.shape[0], run.chunk)):
        stretch = Stretch(run, x[t : t + run.chunk], start[0].shape, weights.W.dtype, (longest.S, longest.G))
        stretch.put(stretch.J, pair)
        stretch.retreat(weights.project(stretch.x), right)
        pair = stretch.pair(0)
        yield t, stretch
    if not all(torch.equal(a, b) for a, b in zip(start, pair, strict=True)):
        error = max(float((a - b).abs().max()) for a, b in zip(start, pair, strict=True))
        raise ReversalError(
            f"the initial state recovered from the final one is off by {error:.3g}, where it must be the same bit for "
            "bit: the matrix product gave other bits in the backward pass (another number of threads, or a "
            "nondeterministic kernel?); use reversible=False"
        )
