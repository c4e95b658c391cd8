"""How far a linear ARNN (σ the identity, no input) can be stepped: the sharp limit and the spectral radius.

Spec section 2. For one step s ↦ P s of the state s = (Y, Z) or (Y_l, Y_{l-1}):

    symplectic Euler   P = [[I - h²WWᴴ, hW], [-hWᴴ, I]]   stable iff h·s < 2, s the largest singular value of W, any W
    leapfrog           P = [[2hW, I], [I, 0]]             W anti-Hermitian: stable iff h·max|λ| < 1
    forward Euler      P = I + h(W - γI)                  W anti-Hermitian: stable iff all |1 + h(-γ + iω)| ≤ 1, λ = iω

Stable: every orbit stays bounded. At the limit of the first two a double eigenvalue on the unit circle has only one
eigenvector, and orbits grow linearly although the spectral radius is 1. Forward Euler's P is normal and has no such
case. Nothing here speaks about a bounded σ such as tanh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from qunn.arnn.parametrizations import check_anti_hermitian
from qunn.arnn.schemes import SCHEMES, Scheme


@final
@dataclass(frozen=True)
class LinearStability:
    """The verdict on one layer.

    Attributes
    ----------
    scheme : its name.
    quantity : the formula of `value`.
    value : what is compared with `limit`.
    limit : where stability ends; excluded for the reversible schemes, included for forward Euler.
    stable : whether every orbit of the linear network stays bounded. A value that rounding cannot tell from an excluded
        limit is not stable.
    spectral_radius : of P, from its dense eigenvalues: an independent number. Near the limit it is off by about √ε.
    """

    scheme: str
    quantity: str
    value: float
    limit: float
    stable: bool
    spectral_radius: float


def linear_stability(scheme: Scheme | str, W: Tensor, h: float, diffusion: float = 0.0) -> LinearStability:
    """The limit for W [H, H], computed in double precision.

    Raises
    ------
    InputError : for leapfrog and forward Euler, a W that is not anti-Hermitian: its eigenvalues would decide nothing.
    """
    scheme = SCHEMES[scheme] if isinstance(scheme, str) else scheme
    if scheme.name != "symplectic-euler":
        check_anti_hermitian(W)
    W = _double(W)
    radius = float(torch.linalg.eigvals(propagation(scheme, W, h, diffusion)).abs().max())
    if scheme.name == "forward-euler":
        omega = _frequencies(W)
        value = float(torch.hypot(torch.full_like(omega, 1 - h * diffusion), h * omega).max())
        # |1 + h(-γ + iω)|² - 1 = h (h(γ² + ω²) - 2γ): its sign without the 1 that swallows a small ω
        stable = float((h * (diffusion**2 + omega**2)).max()) <= 2 * diffusion
        return LinearStability(scheme.name, "max|1 + h(-γ + iω)|", value, 1.0, stable, radius)
    if scheme.name == "leapfrog":
        quantity, value, limit = "h·max|λ(W)|", h * float(_frequencies(W).abs().max()), 1.0
    else:
        quantity, value, limit = "h·s_max(W)", h * float(torch.linalg.matrix_norm(W, 2)), 2.0
    rounding = 8 * W.shape[0] * torch.finfo(torch.float64).eps
    return LinearStability(scheme.name, quantity, value, limit, value < limit * (1 - rounding), radius)


def propagation(scheme: Scheme, W: Tensor, h: float, diffusion: float = 0.0) -> Tensor:
    """P [(lag+1)H, (lag+1)H] of one time step of (s_0, s_{-1}): the product of its couplings, each a block matrix."""
    identity = torch.eye(W.shape[0], dtype=W.dtype, device=W.device)
    if scheme.lag == 0:
        return identity + h * (W - diffusion * identity)
    P = torch.eye(2 * W.shape[0], dtype=W.dtype, device=W.device)
    for factor, adjoint in zip(scheme.factors, scheme.adjoint, strict=True):
        M = W.mH if adjoint else W
        coupling = torch.cat(
            [torch.cat([h * factor * M, identity], -1), torch.cat([identity, torch.zeros_like(M)], -1)], -2
        )  # (s_j, s_{j-1}) ↦ (s_{j-1} + c M s_j, s_j)
        P = coupling @ P
    return P


def _frequencies(W: Tensor) -> Tensor:
    """The ω of W's eigenvalues iω, W anti-Hermitian: those of the Hermitian -iW."""
    return torch.linalg.eigvalsh(-1j * W)


def _double(W: Tensor) -> Tensor:
    return W.detach().to(torch.complex128 if W.is_complex() else torch.float64)
