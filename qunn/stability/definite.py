"""Is a symmetric matrix positive semidefinite whose entries are known up to rounding?

S ⪰ 0 if and only if D S D ⪰ 0, D diagonal and positive. With the D that takes the terms of S's diagonal to 1, a small
weight beside a large one is not lost in the rounding of the large one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

_ROUNDINGS = 8  # in an entry: its products and sums, and the eigenvalue solver
_EPS = torch.finfo(torch.float64).eps


@final
@dataclass(frozen=True)
class Definite:
    """The verdict on S ⪰ 0.

    Attributes
    ----------
    holds : up to rounding. smallest : eigenvalue of D S D. rounding : what it may be off by.
    vector : v of norm 1; v†S v < 0 where it does not hold.
    """

    holds: bool
    smallest: float
    rounding: float
    vector: Tensor


def semidefinite(S: Tensor, terms: Tensor, eps: float = _EPS) -> Definite:
    """Whether S [m, m], or every S of [N, m, m], is positive semidefinite.

    `terms` [m, m] ≥ |S|: the sums of the absolute values of the terms that entries of S are sums of; every entry is
    known to a few `eps` times that. What is not a number is not positive.
    """
    d = _scale(terms)
    rounding = _ROUNDINGS * eps * float((d[:, None] * terms * d).sum(1).max())
    scaled = d[:, None] * S * d
    if not bool(torch.isfinite(scaled).all()):
        return Definite(False, float("nan"), rounding, torch.zeros_like(d))
    values, vectors = torch.linalg.eigh(scaled)
    values, vectors = values[..., 0].reshape(-1), vectors[..., 0].reshape(-1, len(d))
    worst = int(values.argmin())
    smallest = float(values[worst])
    v = d * vectors[worst]
    return Definite(smallest >= -rounding, smallest, rounding, v / v.norm())


def _scale(terms: Tensor) -> Tensor:
    """D: 1/√(terms_ii), and for a zero there, where other entries of the row must be 0 too, what takes them to 1."""
    diagonal = terms.diagonal()
    d = torch.where(diagonal > 0, diagonal.clamp_min(1e-300).rsqrt(), 1.0)
    across = (terms * d).amax(1)
    return torch.where((diagonal > 0) | (across == 0), d, 1 / across.clamp_min(1e-300))
