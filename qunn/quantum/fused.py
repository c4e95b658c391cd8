"""Eqs. (32)-(36) on a CPU: each element goes through all layers in cache, forwards and backwards (see `stacks`).

The backward pass runs the elements forwards once more, so that nothing but the inputs is kept for it. Second
derivatives, batches of cotangents, forward-mode derivatives and torch's function transforms go through `structured`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from qunn.quantum import structured
from qunn.quantum.history import History
from qunn.quantum.structured import Stack

#: σ -> its number in `layers`
CODES = {"identity": 0, "tanh": 1, "relu": 2, "sigmoid": 3}
#: σ' for σ > 0, σ' for σ <= 0, and what is added for each σ and each σ²
SLOPES = {"identity": (1, 1, 0, 0), "tanh": (1, 1, 0, -1), "relu": (1, 0, 0, 0), "sigmoid": (0, 0, 1, -1)}
PARTS = 64
SCRATCH_BYTES = 2**23
_enabled = True


@contextmanager
def disabled() -> Iterator[None]:
    """Take `structured` for everything meanwhile; for tests and benchmarks."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def serves(stack: Stack, past: History, p1: Tensor, p2: Tensor) -> bool:
    """Whether these layers and elements have compiled kernels."""
    tensors = (past.joined, p1, p2, stack.clock, stack.read)
    if not _enabled or torch.compiler.is_compiling() or not past.l.numel():
        return False
    if stack.unitary or stack.skip is None or stack.skip.dim() != 1:
        return False
    if not all(sigma.named and sigma.name in CODES for sigma in stack.activations):
        return False
    kind = past.joined.dtype
    return kind in (torch.float32, torch.float64) and all(_plain(t, kind) for t in (*tensors, stack.skip))


def _plain(tensor: Tensor, kind: torch.dtype) -> bool:
    """A tensor with numbers on the CPU, without a tangent, seen by no transform of torch.func."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == kind
        and type(tensor) in (Tensor, torch.nn.Parameter)
        and not _wrapped(tensor)
        and forward_ad.unpack_dual(tensor).tangent is None  # type: ignore[no-untyped-call]
    )


def _wrapped(tensor: Tensor) -> bool:
    """Whether a transform of torch.func, or a batch of cotangents, hides the numbers."""
    inside = torch._C._functorch
    return inside.is_functorch_wrapped_tensor(tensor) or inside.is_legacy_batchedtensor(tensor)


def outputs(stack: Stack, past: History, p1: Tensor, p2: Tensor) -> Tensor:
    """σ_out((I ⊗ c̃_{l+1}ᵀ) K^L) of every element [B, T, d]; p1, p2 by l mod N [N]."""
    assert stack.skip is not None
    problem = _Problem(stack, past)
    found = _Fused.apply(problem, past.joined, p1, p2, stack.skip, stack.clock, stack.read)  # type: ignore[no-untyped-call]
    assert isinstance(found, Tensor)
    return found


@final
@dataclass(frozen=True)
class _Problem:
    """What is not differentiated in; the tensors in `stack` and `past` are looked at for their shapes only."""

    stack: Stack
    past: History

    def general(self, joined: Tensor, p1: Tensor, p2: Tensor, skip: Tensor, clock: Tensor, read: Tensor) -> Tensor:
        past = copy.copy(self.past)
        past.joined = joined
        stack = replace(self.stack, skip=skip, clock=clock, read=read)
        return structured.outputs(stack, structured.elements(past, p1, p2)).T.reshape(*past.l.shape, joined.shape[2])

    def arrays(self, tensors: tuple[Tensor, ...], backward: bool, clock_needed: bool = False) -> Any:
        """The kernels' input."""
        from qunn.quantum import stacks  # numba takes a while to load

        joined, p1, p2, skip, clock, read = (t.detach().contiguous().numpy() for t in tensors)
        N, L, d = clock.shape[1], len(skip), joined.shape[2]
        l = self.past.l.flatten().numpy()  # noqa: E741
        reach = np.full(len(l), L) if self.past.offset is None else self.past.offset.flatten().numpy()
        widths = np.minimum(np.arange(1, L + 2), N) if self.stack.grows else np.full(L + 1, N)
        codes = np.array([CODES[sigma.name] for sigma in self.stack.activations])
        h = np.array([self.stack.h], joined.dtype)
        slope = np.array(SLOPES[self.stack.activations[1].name], joined.dtype)
        V = lanes(len(l), vectors(L, backward) * N * d * joined.itemsize)
        return stacks.Problem(joined, l % N, reach, p1, p2, skip, clock, read, widths, codes, slope, h, clock_needed, V)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: _Problem, *tensors: Tensor) -> Tensor:
        ctx.problem = problem
        ctx.save_for_backward(*tensors)
        return torch.from_numpy(_forward(problem.arrays(tensors, backward=False)))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (cotangent,), tensors, needed = cotangents, ctx.saved_tensors, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or _wrapped(cotangent):
            return None, *_general_gradients(ctx.problem, tensors, needed, cotangent)
        arrays = ctx.problem.arrays(tensors, backward=True, clock_needed=needed[4] or needed[5])
        found = _backward(arrays, cotangent.contiguous().numpy())
        return None, *(torch.from_numpy(g) if wanted else None for g, wanted in zip(found, needed, strict=True))


def _general_gradients(
    problem: _Problem, tensors: tuple[Tensor, ...], needed: tuple[bool, ...], cotangent: Tensor
) -> list[Tensor | None]:
    """Gradients with a graph of their own where one is asked for."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [t if t.requires_grad else t.detach() for t in tensors]
        wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
        result = problem.general(*inputs)
        found = iter(torch.autograd.grad(result, wanted, cotangent, create_graph=create_graph, materialize_grads=True))
    return [next(found) if need else None for need in needed]


def vectors(L: int, backward: bool) -> int:
    """How many vectors on data ⊗ clock the kernels keep of an element."""
    return 3 * (L + 1) + 2 if backward else 5


def lanes(elements: int, each: int) -> int:
    """V, a power of 2 from 16 to 128: long loops, within the cache, and work for several threads."""
    V = 16
    while V < 128 and 2 * V * each <= SCRATCH_BYTES and elements >= 16 * V:
        V *= 2
    return V


def bytes_needed(stack: Stack, past: History) -> int:
    """What a run holds beyond its inputs: outputs, the gradients of both, and the threads' scratch."""
    assert stack.skip is not None
    L, N, d = len(stack.skip), stack.clock.shape[1], past.joined.shape[2]
    size, elements = past.joined.element_size(), past.l.numel()
    each = size * vectors(L, torch.is_grad_enabled()) * N * d
    scratch = lanes(elements, each) * (each + size * (2 * (L + 1) * (d + N) + 6 * L * d))
    held = 2 * past.joined.numel() * size + 3 * elements * (d * size + 8)
    parts = PARTS * size * (L * d + (L + 2) * N)
    return held + parts + torch.get_num_threads() * scratch


def _bounds(elements: int, V: int) -> NDArray[np.int64]:
    """Parts of whole groups of V elements, cut the same way for every number of threads."""
    groups = -(-elements // V)
    parts = min(groups, PARTS)
    return np.minimum(np.arange(parts + 1) * groups // parts * V, elements)


def _forward(arrays: Any) -> NDArray[Any]:
    from qunn.quantum import stacks

    steps = arrays.joined.shape[1] - len(arrays.skip)
    found = np.empty((len(arrays.joined) * steps, arrays.joined.shape[2]), arrays.joined.dtype)
    bounds = _bounds(len(found), arrays.V)
    _spread(len(bounds) - 1, lambda start, stop: stacks.forward(arrays, bounds, start, stop, found))
    return found.reshape(len(arrays.joined), steps, -1)


def _backward(arrays: Any, cotangent: NDArray[Any]) -> list[NDArray[Any]]:
    """∂ in joined, p1, p2, skip, clock, read."""
    from qunn.quantum import stacks

    batch, length, d = arrays.joined.shape
    L = len(arrays.skip)
    cotangent = cotangent.reshape(-1, d)
    bounds = _bounds(len(cotangent), arrays.V)
    first = bounds[:-1] // (length - L) * length + bounds[:-1] % (length - L)
    last = bounds[1:] - 1
    behind = last // (length - L) * length + last % (length - L) + L + 1
    rows = np.concatenate([[0], np.cumsum(behind - first)])
    parts, kind = len(first), arrays.joined.dtype
    pieces = np.zeros((rows[-1], d), kind)
    names = ("p1", "p2", "skip", "clock", "read")
    own = [np.zeros((parts, *getattr(arrays, name).shape)) for name in names]  # many summands: float64
    _spread(parts, lambda start, stop: stacks.backward(arrays, bounds, start, stop, cotangent, rows, pieces, *own))
    joined = np.zeros((batch * length, d), kind)
    for i in range(parts):
        joined[first[i] : behind[i]] += pieces[rows[i] : rows[i + 1]]
    return [joined.reshape(batch, length, d), *(each.sum(0).astype(kind, copy=False) for each in own)]


def _spread(parts: int, work: Callable[[int, int], None]) -> None:
    """work(start, stop) over all parts on torch's number of threads; the kernels let go of Python's lock."""
    threads = min(torch.get_num_threads(), parts)
    cuts = [parts * i // threads for i in range(threads + 1)]
    others = [_pool(os.getpid(), threads).submit(work, cuts[i], cuts[i + 1]) for i in range(1, threads)]
    work(cuts[0], cuts[1])
    for other in others:
        other.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads
    return ThreadPoolExecutor(threads, thread_name_prefix="qunn")
