"""The past inputs Y_{l-1} … Y_{l-L} of every element of a sequence, as shifted views of one tensor."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

KINDS = ("sliding", "block")


class QUNNState(NamedTuple):
    """What a QUNN knows when a sequence goes on.

    history [B, L, d] : the last L inputs, the latest last; zeros before the first. position [B] : how many inputs there
    were; the next one is l = position + 1. Without B for an unbatched input.
    """

    history: Tensor
    position: Tensor


@final
class History:
    """Sequences Y [B, T, d] behind their past [B, L, d].

    kind : "sliding": Y_{l-k} is the true past; "block": 0 where l-k lies before the first element of l's block of N,
        l = 1 … N, N+1 … 2N and so on.
    """

    def __init__(self, Y: Tensor, state: QUNNState, kind: str, period: int) -> None:
        self.joined = torch.cat([state.history, Y], 1)  # [B, L+T, d]
        self.depth = state.history.shape[1]
        self.steps = Y.shape[1]
        after = torch.arange(1, self.steps + 1, device=Y.device)
        self.l = state.position[:, None] + after  # [B, T]
        self.offset = (self.l - 1) % period if kind == "block" else None

    def lag(self, k: int, times: slice = slice(None)) -> Tensor:
        """Y_{l-k} for the l at `times` [B, times, d]; k = 0 is Y_l itself."""
        start = self.depth - k
        Y = self.joined[:, start : start + self.steps][:, times]
        if self.offset is None:
            return Y
        return Y * (self.offset[:, times, None] >= k)

    def after(self, lengths: Tensor | None = None) -> QUNNState:
        """The state behind the sequences, or behind the first `lengths` [B] elements of each."""
        if lengths is None:
            return QUNNState(self.joined[:, self.steps :], self.l[:, -1])
        rows = lengths[:, None] + torch.arange(self.depth, device=lengths.device)
        batch = torch.arange(len(lengths), device=lengths.device)[:, None]
        return QUNNState(self.joined[batch, rows], self.l[:, 0] - 1 + lengths)
