"""The conditions under which an ODERNN is contractive: I and II of Theorem 1, and III, which E3 adds.

I     Q ⪰ 0, the Burrage-Butcher tensor Q_ij = β_i a_ij + β_j a_ji - β_i β_j (Eq. 5), with K_i = f(Y + h Σ_j a_ij K_j);
      for matrices the block form β_i† a_ij + a_ji† β_j - β_i† β_j, for which the energy identity holds (E16).
II    β_k ⪰ 0 for every k.
III   no delays; the form γ_q = 0, α_qk = W_q a_qk, β_k constant numbers, γ_{n+1} = κ_{n+1} = 1, W_{n+1} = 0,
      σ_{n+1} = identity; and the field, which `monotone` examines.

Then ‖ΔY_{l+1}‖² = ‖ΔY_l‖² + 2h Σ_i β_i <ΔK_i, ΔY_i> - h² Σ_ij Q_ij <ΔK_i, ΔK_j> ≤ ‖ΔY_l‖².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qunn.coefficients import Part
from qunn.equations import Equations
from qunn.stability.definite import Definite, semidefinite
from qunn.stability.monotone import StageField
from qunn.stability.realview import real_matrix, real_vector

_EPS = torch.finfo(torch.float64).eps


def functions(layer: Equations) -> list[str]:
    """The names of coefficients that are functions of the moment; the conditions speak of constants."""
    return [name for name, slot in layer.structure.slots.items() if slot.moving]


def dense(layer: Equations, name: str, rows: int, columns: int) -> Tensor:
    """A constant coefficient as a real matrix in double precision, [rows, columns] or twice as large if complex."""
    dtype = torch.complex128 if layer.state_dtype.is_complex else torch.float64
    slot, value = layer.coefficient(name), layer.value(name)
    if slot is None:
        return real_matrix(torch.zeros(rows, columns, dtype=dtype))
    value = value.detach().cpu().to(dtype) if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)
    if slot.kind == "scalar":
        value = value * torch.eye(rows, columns, dtype=dtype)
    elif slot.kind == "diagonal":
        value = torch.diag(value)
    return real_matrix(value)


def multiple_of_identity(M: Tensor) -> float | None:
    """c where M = c I up to rounding, else None."""
    if M.shape[0] != M.shape[1]:
        return None
    c = float(M.diagonal().mean())
    error = (M - c * torch.eye(len(M), dtype=M.dtype)).abs().max()
    return c if float(error) <= 8 * _EPS * abs(c) else None


@final
@dataclass(frozen=True)
class Weights:
    """The a_ij and β_j of a layer: numbers where all of them are, else blocks on the data.

    Attributes
    ----------
    a : [n, n], or [n, n, s, s]; None where no a solves α_qk = W_q a_qk.
    beta : [n], or [n, s, s]. scalar : whether they are numbers. missing : the first α that is not W_q times something.
    eps : the rounding of the coarsest tensor among α, a and β; numbers are doubles.
    """

    a: Tensor | None
    beta: Tensor
    scalar: bool
    missing: str | None
    eps: float


def weights(layer: Equations) -> Weights | None:
    """What I and II speak of; None where the K_k are not of the size of Y, or a coefficient is a function."""
    n, s = layer.n, layer.state_size
    named = [name for q in range(1, n + 2) for _, name, _ in layer.structure.couplings(q)]
    named += [f"W_{q}" for q in range(1, n + 1)]
    sizes = (*layer.structure.sizes, layer.structure.inner[n])
    if set(named) & set(functions(layer)) or any(size != s for size in sizes):
        return None
    tensors = [layer.value(name) for q in range(1, n + 2) for _, name, _ in layer.structure.couplings(q)]
    eps = max([torch.finfo(v.dtype).eps for v in tensors if isinstance(v, Tensor)], default=_EPS)
    beta = [dense(layer, f"beta_{k}", s, s) for k in range(1, n + 1)]
    a, missing = _stage_weights(layer, eps)
    found = [multiple_of_identity(M) for M in (*beta, *a)]
    if all(c is not None for c in found):
        c = torch.tensor([0.0 if x is None else x for x in found], dtype=torch.float64)
        return Weights(None if missing else c[n:].reshape(n, n), c[:n], True, missing, eps)
    blocks = torch.stack(beta)
    return Weights(None if missing else torch.stack(a).reshape(n, *blocks.shape), blocks, False, missing, eps)


def _stage_weights(layer: Equations, eps: float) -> tuple[list[Tensor], str | None]:
    """a_qk row by row, and the first α_qk for which there is none."""
    n, s = layer.n, layer.state_size
    a: list[Tensor] = []
    for q in range(1, n + 1):
        p = layer.structure.inner[q - 1]
        W = dense(layer, f"W_{q}", p, s)
        for k in range(1, n + 1):
            if layer.structure.inside:
                a.append(dense(layer, f"a_{q}_{k}", s, s))
                continue
            alpha = dense(layer, f"alpha_{q}_{k}", p, s)
            solution = _multiple(alpha, W, eps)
            if solution is None:
                return a, f"alpha_{q}_{k}"
            a.append(solution)
    return a, None


def _multiple(alpha: Tensor, W: Tensor, eps: float) -> Tensor | None:
    """a with W a = α: a number times I where there is one, else the least-squares solution where that is one."""
    norm = float((W * W).sum())
    identity = torch.eye(W.shape[1], dtype=W.dtype)
    size = float(alpha.abs().max()) if alpha.numel() else 0.0
    if size == 0.0:
        return torch.zeros_like(identity)
    if norm == 0.0:
        return None
    c = float((W * alpha).sum()) / norm
    if bool(((alpha - c * W).abs() <= 16 * eps * alpha.abs()).all()):  # entry by entry: W may have tiny rows
        return c * identity
    solved: Tensor = torch.linalg.lstsq(W, alpha, driver="gelsd").solution
    # a solution only if it reproduces α; the bound is that of a product of these matrices
    bound = 64 * eps * len(W) * max(size, float(W.abs().max() * solved.abs().max()))
    return solved if float((W @ solved - alpha).abs().max()) <= bound else None


def burrage_butcher(a: Tensor, beta: Tensor) -> Tensor:
    """Q [n, n] for numbers; [n·s, n·s] for blocks, β_i† a_ij + a_ji† β_j - β_i† β_j, which is symmetric."""
    n = len(beta)
    if beta.dim() == 1:
        weighted = beta[:, None] * a
        return weighted + weighted.mT - beta[:, None] * beta[None, :]
    s = beta.shape[-1]
    weighted = beta.mT.unsqueeze(1) @ a  # [i, j, s, s]: β_i† a_ij
    outer = beta.mT.unsqueeze(1) @ beta.unsqueeze(0)
    blocks = weighted + weighted.transpose(0, 1).mT - outer
    return blocks.permute(0, 2, 1, 3).reshape(n * s, n * s)


def algebraic(a: Tensor, beta: Tensor, eps: float = _EPS) -> Definite:
    """Whether Q ⪰ 0 up to the rounding `eps` of a and β."""
    return semidefinite(burrage_butcher(a, beta), _terms(a.abs(), beta.abs()), eps)


def _terms(a: Tensor, beta: Tensor) -> Tensor:
    """|β_i|† |a_ij| + |a_ji|† |β_j| + |β_i|† |β_j|: the sizes of what Q is a sum of, from |a| and |β|."""
    return burrage_butcher(a, beta) + 2 * burrage_butcher(torch.zeros_like(a), beta).abs()


def departures(layer: Equations, found: Weights | None) -> list[str]:
    """What of the form in III does not hold, in words; delays apart."""
    n = layer.n
    wrong = [f"{name} is a function of the step, the history or the input" for name in functions(layer)]
    sizes = layer.structure.sizes[:n]
    wrong += [f"K_{k} has {p} entries, not {layer.state_size}" for k, p in enumerate(sizes, 1) if p != layer.state_size]
    wrong += [f"gamma_{q} is not 0" for q in range(2, n + 1) if layer.coefficient(f"gamma_{q}") is not None]
    if found is not None and found.missing:
        wrong.append(f"{found.missing} is not W_q times any a_qk")
    if found is not None and not found.scalar:
        wrong.append("a_qk and beta_k are matrices, not numbers")
    one = f"gamma_{n + 1}"
    if layer.coefficient(one) is None:
        wrong.append(f"{one} is 0, not 1")
    elif one not in functions(layer) and multiple_of_identity(_square(layer, one)) != 1.0:
        wrong.append(f"{one} is not 1")
    kappa = f"kappa_{n + 1}"
    if layer.coefficient(kappa) is not None and (
        kappa not in functions(layer) and multiple_of_identity(_square(layer, kappa)) != 1.0
    ):
        wrong.append(f"{kappa} is not 1")
    if layer.coefficient(f"W_{n + 1}") is not None:
        wrong.append(f"W_{n + 1} is not 0")
    if layer.sigma[-1].slope != (1.0, 1.0):  # a name alone, of a callable, proves nothing
        wrong.append(f"sigma_{n + 1} is {layer.sigma[-1].name}, not the identity")
    if layer.x_block:
        wrong.append("the next input overwrites a block of Y")
    return wrong


def _square(layer: Equations, name: str) -> Tensor:
    slot = layer.coefficient(name)
    assert slot is not None
    size = layer.state_size
    return dense(layer, name, slot.shape[0] if slot.shape else size, slot.shape[-1] if slot.shape else size)


def delays(layer: Equations) -> list[tuple[int, int]]:
    """(q, delay) of every W_q that reads an older Y."""
    found = enumerate(layer.structure.delays, 1)
    return [(q, d) for q, d in found if d and layer.coefficient(f"W_{q}") is not None]


def stage_fields(layer: Equations) -> list[StageField] | None:
    """The distinct fields y -> κ_q σ_q(W_q y + b_q) of the stages; None where they are no fields on Y."""
    n, s = layer.n, layer.state_size
    if any(size != s for size in layer.structure.sizes[:n]):
        return None
    unsteady = set(functions(layer))
    fields: list[StageField] = []
    seen: set[tuple[object, ...]] = set()
    for q in range(1, n + 1):
        parts = [f"W_{q}", f"b_{q}", f"kappa_{q}"]
        if unsteady & set(parts):
            return None
        key = (*(_identity(layer, name) for name in parts), layer.sigma[q - 1])
        if key in seen:
            continue
        seen.add(key)
        fields.append(_stage_field(layer, q))
    return fields


def _identity(layer: Equations, name: str) -> object:
    """What tells two coefficients apart without reading them."""
    slot = layer.coefficient(name)
    if slot is None:
        return None
    if isinstance(slot.value, Part):
        return slot.value.name, id(slot.value.module)
    return id(slot.value) if isinstance(slot.value, Tensor) else slot.value


def _stage_field(layer: Equations, q: int) -> StageField:
    p, s = layer.structure.inner[q - 1], layer.state_size
    W = dense(layer, f"W_{q}", p, s)
    b = layer.value(f"b_{q}")
    complex_ = layer.state_dtype.is_complex
    bias = torch.zeros(len(W), dtype=torch.float64)
    if b is not None:
        bias = real_vector(b.detach().cpu().to(torch.complex128 if complex_ else torch.float64))
    if layer.coefficient(f"kappa_{q}") is None:
        kappa = torch.eye(len(W), dtype=torch.float64)
    else:
        kappa = dense(layer, f"kappa_{q}", s, p)
    return StageField(W, bias, kappa, layer.sigma[q - 1], complex_)
