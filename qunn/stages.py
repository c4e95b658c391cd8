"""The right-hand sides of Eqs. (2)-(4) at one moment, when every coefficient is a number or a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from qunn.activations import Activation
from qunn.coefficients import Value, add_multiple, multiply


@final
@dataclass(frozen=True)
class Stage:
    """The right-hand side of one of Eqs. (2)-(4) at one moment; None stands for 0, in kappa for 1."""

    sigma: Activation
    delay: int
    inner: int
    W: Value | None
    gamma: Value | None
    kappa: Value | None
    outside: list[tuple[int, Value]]  # (k, h α_qk)
    inside: list[tuple[int, Value]]  # (k, h a_qk), summed before W_q acts

    def evaluate(
        self, drive: Tensor | None, K: Sequence[Tensor], history: Sequence[Tensor], carried: Tensor | None
    ) -> Tensor:
        """γ·carried + κ σ(W (Y + h Σ_k a_k K_k) + drive + h Σ_k α_k K_k), drive = b + V x."""
        Y, z = history[self.delay], drive
        if self.W is not None:
            for k, value in self.inside:
                Y = add_multiple(Y, value, K[k])
            kind, W = self.W
            if z is not None and z.dim() == 2 and kind == "full" and W.dim() == 2:
                z = torch.addmm(z, Y, W.mT)
            else:
                z = multiply(self.W, Y) if z is None else z + multiply(self.W, Y)
        for k, value in self.outside:
            z = multiply(value, K[k]) if z is None else add_multiple(z, value, K[k])
        if z is None or z.dim() == 1:
            z = Y.new_zeros(Y.shape[0], self.inner) if z is None else z.expand(Y.shape[0], -1)
        result = self.sigma(z)
        if self.kappa is not None:
            result = multiply(self.kappa, result)
        if self.gamma is not None:
            assert carried is not None
            result = add_multiple(result, self.gamma, carried)
        return result

    def detached(self) -> Stage:
        """The same numbers without the graph they come from."""
        return replace(
            self,
            W=_detached(self.W),
            gamma=_detached(self.gamma),
            kappa=_detached(self.kappa),
            outside=[(k, (kind, _bare(c))) for k, (kind, c) in self.outside],
            inside=[(k, (kind, _bare(c))) for k, (kind, c) in self.inside],
        )


def _detached(value: Value | None) -> Value | None:
    return None if value is None else (value[0], _bare(value[1]))


def _bare(c: Any) -> Any:
    return c.detach() if isinstance(c, Tensor) else c


@final
@dataclass(frozen=True)
class RightSides:
    """The right-hand sides of Eqs. (2)-(4) at one moment: everything but the K."""

    stages: Sequence[Stage]
    drives: Sequence[Tensor | None]
    history: tuple[Tensor, ...]

    def evaluate(self, q: int, K: Sequence[Tensor]) -> Tensor:
        """K_{q+1} of the K before it, or of all in a block; Y_{l+1} for q = n."""
        carried = self.history[0] if q == len(self.stages) - 1 else K[q - 1] if q else None
        return self.stages[q].evaluate(self.drives[q], K, self.history, carried)

    def detached(self, stages: Sequence[Stage]) -> RightSides:
        """The same numbers without the graph they come from; `stages` are already so, for all moments alike."""
        return RightSides(
            stages,
            [None if drive is None else drive.detach() for drive in self.drives],
            tuple(Y.detach() for Y in self.history),
        )
