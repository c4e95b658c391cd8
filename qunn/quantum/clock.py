"""The clock vectors c_m of Definition 5: one-hot and cyclic, or a learned profile moved round (E5).

    c_m = Σ_r f_r e_{(m + r) mod N};    one-hot: f = e_0

A shift of all labels by l is a permutation of the clock states that commutes with every pointwise σ. In the frame
that moves with l, where entry n stands for the clock state (l - n) mod N, the clock vectors are the same for every l:

    c_{l-k} -> f_{(k - n) mod N},       c_{l+1} -> f_{(-1 - n) mod N}

so that all times of a sequence share them.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

KINDS = ("one-hot", "learned", "learned-read")


@final
class Clock(nn.Module):
    """Clock vectors [N] as the absolute ones of the formula and as those of the moving frame.

    kind : "one-hot"; "learned": a profile f; "learned-read": a second profile c̃ for the read-out of Eq. (36).
    """

    def __init__(
        self,
        kind: str,
        period: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.period = kind, period
        empty = torch.empty(period, device=device, dtype=dtype)
        self.profile = nn.Parameter(empty.clone(), requires_grad=True) if kind != "one-hot" else None
        self.read_profile = nn.Parameter(empty.clone()) if kind == "learned-read" else None
        self.register_buffer("first", _first(empty), persistent=False)

    @property
    def one_hot(self) -> bool:
        """Whether the clock vectors are the unit vectors."""
        return self.kind == "one-hot"

    def reset_parameters(self) -> None:
        """Profiles near the one-hot one: e_0 and a normal deviation of 0.1 in every entry."""
        with torch.no_grad():
            for profile in (self.profile, self.read_profile):
                if profile is not None:
                    profile.normal_(0.0, 0.1)[0] += 1

    def vector(self, m: int, *, read: bool = False) -> Tensor:
        """c_m [N], or c̃_m with `read`."""
        return self._f(read).roll(m % self.period)

    def moving(self, num_layers: int) -> Tensor:
        """c_{l-k} in the frame of l for k = 0 … L [L+1, N]."""
        k = torch.arange(num_layers + 1)[:, None] - torch.arange(self.period)
        return self._f()[k % self.period]

    def moving_read(self) -> Tensor:
        """c̃_{l+1} in the frame of l [N]."""
        return self._f(read=True)[(-1 - torch.arange(self.period)) % self.period]

    def _f(self, read: bool = False) -> Tensor:
        if read and self.read_profile is not None:
            return self.read_profile
        if self.profile is not None:
            return self.profile
        first = self.first
        assert isinstance(first, Tensor)
        return first


def _first(like: Tensor) -> Tensor:
    return torch.zeros_like(like).index_fill_(0, torch.zeros(1, dtype=torch.long, device=like.device), 1)


def frame_index(position: Tensor, period: int) -> Tensor:
    """(l - n) mod N for n = 0 … N-1 [N, M]: the clock state of each entry of the moving frame, and the other way round.

    position [M] : l.
    """
    n = torch.arange(period, device=position.device)
    return (position - n[:, None]) % period
