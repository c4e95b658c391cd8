"""Weights that are anti-Hermitian whatever the optimiser does, for `torch.nn.utils.parametrize`.

    parametrize.register_parametrization(layer, "weight", Antisymmetric())

An anti-Hermitian W = -Wᴴ has purely imaginary eigenvalues. ᴴ is the conjugate transpose: with a
plain transpose, W = iS would be symmetric instead, and symplectic Euler unstable at every step h.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from hamiltonians.errors import InputError, must_be

_ROUNDINGS = 64  # in units of ε·max|W|: what an assigned weight may miss its symmetry by


@final
class Antisymmetric(nn.Module):
    """A [d, d], real or complex -> W = A - Aᴴ [d, d].

    Raises
    ------
    InputError : a weight that is assigned is not square, or not anti-Hermitian up to rounding.
    """

    def forward(self, A: Tensor) -> Tensor:
        """A - Aᴴ."""
        return A - A.mH

    def right_inverse(self, W: Tensor) -> Tensor:
        """W/2, which `forward` maps to W."""
        check_anti_hermitian(W)
        return W / 2


@final
class ImaginarySymmetric(nn.Module):
    """R [d, d], real -> W = iS with S = (R + Rᵀ)/2: complex [d, d], or its real embedding [[0, -S], [S, 0]] [2d, 2d].

    Parameters
    ----------
    embedded : the real embedding, which acts on (Re y, Im y) as iS acts on y.

    Raises
    ------
    InputError : a weight that is assigned is not of that form up to rounding.
    """

    def __init__(self, embedded: bool) -> None:
        super().__init__()
        self.embedded = embedded

    def forward(self, R: Tensor) -> Tensor:
        """iS, or [[0, -S], [S, 0]]."""
        S = (R + R.mT) / 2
        if not self.embedded:
            return torch.complex(torch.zeros_like(S), S)
        zero = torch.zeros_like(S)
        return torch.cat([torch.cat([zero, -S], -1), torch.cat([zero + S, zero], -1)], -2)

    def right_inverse(self, W: Tensor) -> tuple[Tensor]:
        """(S,): a tuple, because torch wants a single tensor to keep the dtype of W."""
        check_anti_hermitian(W)
        if not self.embedded:
            if not W.is_complex():
                raise must_be("weight", "complex, or `embedded` true", W.dtype)
            S = W.imag
            _check_zero(W.real, W, "purely imaginary")
            return (S.clone(),)
        d, odd = divmod(W.shape[-1], 2)
        if odd or W.is_complex():
            raise must_be("weight", "real and of an even size", (tuple(W.shape), W.dtype))
        S = W[d:, :d]
        _check_zero(torch.cat([W[:d, :d], W[d:, d:], W[:d, d:] + S], -1), W, "of the form [[0, -S], [S, 0]]")
        return (S.clone(),)

    def extra_repr(self) -> str:
        """The argument."""
        return f"embedded={self.embedded}"


def anti_hermitian_error(W: Tensor) -> float:
    """max |W + Wᴴ|, which is 0 for an anti-Hermitian W [d, d], d ≥ 1."""
    return float((W + W.mH).detach().abs().max())


def check_anti_hermitian(W: Tensor, name: str = "weight") -> None:
    """Refuse a W that is not square, not finite, or not anti-Hermitian up to rounding."""
    if W.dim() != 2 or W.shape[0] != W.shape[1] or not W.numel():
        raise must_be(name, "a square matrix", tuple(W.shape))
    if not bool(torch.isfinite(W).all()):
        raise InputError(f"`{name}` must be finite, but has entries that are not", name)
    W = W.detach()
    _check_zero(W + W.mH, W, "anti-Hermitian (W = -Wᴴ)", name)


def _check_zero(what: Tensor, W: Tensor, form: str, name: str = "weight") -> None:
    error = float(what.abs().max())
    if error > _ROUNDINGS * torch.finfo(W.dtype).eps * float(W.abs().max()):
        raise InputError(f"`{name}` must be {form}, but misses it by {error:.3g}", name)
