"""Complex layers as real ones: y -> [Re y; Im y], M -> [[Re M, -Im M], [Im M, Re M]], so that <x, y> is Re x†y."""

from __future__ import annotations

import torch
from torch import Tensor

from qunn.activations import Activation


def real_matrix(M: Tensor) -> Tensor:
    """M [p, q] itself in double precision, or its real embedding [2p, 2q]."""
    M = M.detach()
    if not M.is_complex():
        return M.double()
    M = M.to(torch.complex128)
    return torch.cat([torch.cat([M.real, -M.imag], 1), torch.cat([M.imag, M.real], 1)])


def real_vector(v: Tensor) -> Tensor:
    """v [..., p] itself in double precision, or [Re v; Im v] [..., 2p]."""
    v = v.detach()
    if not v.is_complex():
        return v.double()
    v = v.to(torch.complex128)
    return torch.cat([v.real, v.imag], -1)


def real_activation(sigma: Activation, z: Tensor, complex_: bool) -> Tensor:
    """σ on a real view [..., 2p] of complex numbers, or on real ones."""
    if not complex_ or sigma.pointwise:
        return sigma(z)
    p = z.shape[-1] // 2
    value = sigma(torch.complex(z[..., :p].contiguous(), z[..., p:].contiguous()))
    return torch.cat([value.real, value.imag], -1)
