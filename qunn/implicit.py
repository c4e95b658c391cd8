"""Implicit stages: K = G(K) by Newton's method or a fixed point, differentiated by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from hamiltonians.errors import must_be, one_of
from hamiltonians.memory import require_memory
from qunn.derivatives import first_only
from qunn.sequence import check_size

METHODS = ("auto", "newton", "fixed-point")
_FAST = 0.5  # "auto" leaves the fixed point for Newton when the residual falls by less than this a turn
_HALVINGS = 30  # of a Newton step that does not lessen the residual


class NotConverged(ArithmeticError):
    """The implicit stages of a step were not solved to the stated tolerance; the message says how far it came."""


@final
@dataclass(frozen=True)
class Solver:
    """How the stage equations K = G(K) are solved, and when they count as solved.

    Attributes
    ----------
    method : "fixed-point", K <- G(K), cheap, converges where G contracts, h‖α‖ sup σ' < 1; "newton", dense Jacobian,
        steps halved where the residual grows; or "auto": the fixed point while it halves the residual every time, and
        Newton from where it stopped. The backward pass solves its linear system in the same two ways.
    tol : max|K - G(K)| ≤ tol·(1 + max|K|) for every sample, or with Newton max|ΔK| ≤ tol·(1 + max|K|) for the last
        correction ΔK, the error that is left: a stiff G, h‖W‖² ≫ 1, multiplies the rounding of K in the first, not in
        the second. None: 100 machine epsilons of the dtype, a few roundings of sums above what can be reached.
    max_iterations : after so many the step has failed, and `NotConverged` says so.
    """

    method: str = "auto"
    tol: float | None = None
    max_iterations: int = 100

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise must_be("method", one_of(METHODS), self.method)
        if self.tol is not None and not (isinstance(self.tol, int | float) and 0 < self.tol < 1):
            raise must_be("tol", "a number between 0 and 1", self.tol)
        check_size("max_iterations", self.max_iterations)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"method": self.method, "tol": self.tol, "max_iterations": self.max_iterations}

    def tolerance(self, dtype: torch.dtype) -> float:
        """The stated tolerance in that dtype."""
        return 100 * torch.finfo(dtype).eps if self.tol is None else self.tol


@final
@dataclass(frozen=True)
class Solved:
    """What solving the implicit stages came to: the largest numbers of all blocks and time steps of the last call."""

    iterations: int
    residual: float
    tolerance: float

    def or_harder(self, other: Solved | None) -> Solved:
        """The larger of the numbers of both."""
        if other is None:
            return self
        iterations, residual = max(self.iterations, other.iterations), max(self.residual, other.residual)
        return Solved(iterations, residual, self.tolerance)


Stages = tuple[Tensor, ...]
Map = Callable[[Stages], Stages]
Residual = Callable[[Tensor], Tensor]


def solve(G: Map, bare: Map, start: Stages, solver: Solver) -> tuple[Stages, Solved]:
    """K with K = G(K), each part [B, p]; gradients with respect to everything that G uses.

    `bare` is the same map without the graph of what G uses: the iteration differentiates it in K alone.

    With F(K, θ) = K - G(K, θ) = 0 the implicit function theorem gives dK = (I - ∂G/∂K)^{-1} (∂G/∂θ) dθ: the backward
    pass solves one linear system with the transposed Jacobian at the solution and never unrolls the iteration. Complex
    parts count as pairs of real numbers, since a split activation is not holomorphic.

    Raises
    ------
    NotConverged : the tolerance was not reached.
    MemoryEstimateError : the Jacobian, B·P² numbers, is larger than what is free.
    """
    packing = _Packing(start)

    def residual(v: Tensor) -> Tensor:
        return v - packing.pack(bare(packing.unpack(v)))

    v = packing.pack(tuple(part.detach() for part in start))
    with torch.no_grad():
        v, solved = _iterate(residual, v, solver)
    if not torch.is_grad_enabled():
        return packing.unpack(v), solved
    image = packing.pack(G(packing.unpack(v)))
    if image.requires_grad:
        image = _ImplicitFunction.apply(image, lambda g: _adjoint(residual, v, g, solver))  # type: ignore[no-untyped-call]
    return packing.unpack(image), solved


def _iterate(residual: Residual, v: Tensor, solver: Solver) -> tuple[Tensor, Solved]:
    F = residual(v)
    newton = solver.method == "newton"
    for iteration in range(solver.max_iterations + 1):
        if bool(_small(F, v, solver).all()):
            return v, Solved(iteration, _relative(F, v), solver.tolerance(v.dtype))
        finite = bool(torch.isfinite(F).all())
        if iteration == solver.max_iterations or not (finite or (solver.method == "auto" and not newton)):
            break
        if newton:
            step = _solved_with_jacobian(residual, v, F)
            met = _small(F, v, solver) | _small(step, v, solver)
            v, F = _damped(residual, v, F, step)
            if bool(met.all()) and bool(torch.isfinite(F).all()):
                return v, Solved(iteration + 1, _relative(F, v), solver.tolerance(v.dtype))
            continue
        after = residual(v - F)
        if solver.method == "auto" and not bool(after.abs().max() <= _FAST * F.abs().max()):
            newton = True  # also where the fixed point left the numbers: v is still what it was
            continue
        v, F = v - F, after
    raise NotConverged(
        f"the implicit stages did not converge: {solver.method} reached max|K - G(K)|/(1 + max|K|) = "
        f"{_relative(F, v):.3g} after {iteration} iterations, and {solver.tolerance(v.dtype):.3g} was asked for; "
        f"a smaller `h`, another `method` or a larger `tol` may help"
    )


def _damped(residual: Residual, v: Tensor, F: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """v - λ·step, λ halved for the samples whose ‖F‖₂ would grow: of that norm the step is a direction of descent."""
    before = torch.linalg.vector_norm(F, dim=1, keepdim=True)
    scale = torch.ones_like(before)
    for _ in range(_HALVINGS):
        after = residual(v - scale * step)
        grows = ~(torch.linalg.vector_norm(after, dim=1, keepdim=True) <= before)  # also where it is not a number
        if not bool(grows.any()):
            return v - scale * step, after
        scale = torch.where(grows, scale / 2, scale)
    # at rounding level nothing lessens it any more; whether that is enough, the tolerance tells
    v = v - scale * step
    return v, residual(v)


def _small(difference: Tensor, v: Tensor, solver: Solver) -> Tensor:
    """Whether it is within the tolerance, for every sample [B]."""
    return difference.abs().amax(1) <= solver.tolerance(v.dtype) * (1 + v.abs().amax(1))


def _relative(F: Tensor, v: Tensor) -> float:
    return float((F.abs().amax(1) / (1 + v.abs().amax(1))).max())


def _adjoint(residual: Residual, v: Tensor, g: Tensor, solver: Solver) -> Tensor:
    """w with (I - ∂G/∂K)^T w = g at the solution, by w <- g + (∂G/∂K)^T w or by the dense Jacobian."""
    if solver.method == "newton":
        return _solved_with_jacobian(residual, v, g, transposed=True)
    with torch.enable_grad():
        at = v.detach().requires_grad_()
        F = residual(at)  # I - ∂G/∂K is its Jacobian
    tolerance = solver.tolerance(v.dtype) * g.abs().amax(1, keepdim=True)
    w, before = g, torch.inf
    for _ in range(solver.max_iterations):
        (image,) = torch.autograd.grad(F, at, w, retain_graph=True)
        change = g - image  # what w misses the equation by
        if bool((change.abs() <= tolerance).all()):
            return w
        size = float(change.abs().max())
        if solver.method == "auto" and not size <= _FAST * before:
            return _solved_with_jacobian(residual, v, g, transposed=True)
        w, before = w + change, size
    raise NotConverged(
        f"the gradient of the implicit stages did not converge: {solver.method} is off by {size:.3g} after "
        f"{solver.max_iterations} iterations; a smaller `h` or another `method` may help"
    )


def _solved_with_jacobian(residual: Residual, v: Tensor, right: Tensor, transposed: bool = False) -> Tensor:
    """(∂F/∂v)^{-1} right or (∂F/∂v)^{-T} right, for every sample."""
    needed = 3 * v.shape[0] * v.shape[1] ** 2 * v.element_size()
    require_memory(
        needed, "the Jacobian of the implicit stages", "a smaller batch, or fewer stages at once, needs less"
    )
    LU, pivots, singular = torch.linalg.lu_factor_ex(_jacobian(residual, v))
    if bool(singular.any()):
        raise NotConverged("the implicit stages were not solved: their Jacobian is singular; another `h` may help")
    return torch.linalg.lu_solve(LU, pivots, right.unsqueeze(-1), adjoint=transposed).squeeze(-1)


def _jacobian(residual: Residual, v: Tensor) -> Tensor:
    """∂F/∂v for every sample by itself [B, P, P]: one batched backward pass, since samples do not mix."""
    with torch.enable_grad():
        at = v.detach().requires_grad_()
        F = residual(at)
        unit = torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
        rows = unit.unsqueeze(1).expand(-1, v.shape[0], -1)  # [P, B, P]
        (J,) = torch.autograd.grad(F, at, rows, is_grads_batched=True)
    return J.transpose(0, 1)


class _ImplicitFunction(torch.autograd.Function):
    """Identity on G(K*); the cotangent g becomes (I - ∂G/∂K)^{-T} g. First derivatives only, and it says so."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.adjoint = adjoint
        ctx.save_for_backward(image)
        return image.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        with torch.no_grad():
            w = ctx.adjoint(g)
        return first_only(w, ctx.saved_tensors, "implicit stages"), None


class _Packing:
    """Several stages [B, p_q], real or complex, as one real array [B, P] and back."""

    def __init__(self, like: Stages) -> None:
        self.complex = like[0].is_complex()
        self.sizes = [part.shape[1] * (2 if self.complex else 1) for part in like]

    def pack(self, parts: Stages) -> Tensor:
        flat = [torch.view_as_real(p.resolve_conj()).flatten(1) for p in parts] if self.complex else list(parts)
        return torch.cat(flat, 1)

    def unpack(self, v: Tensor) -> Stages:
        parts = torch.split(v, self.sizes, 1)
        if not self.complex:
            return parts
        return tuple(torch.view_as_complex(p.reshape(p.shape[0], -1, 2)) for p in parts)
