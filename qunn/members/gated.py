"""Gated networks as members: LSTM, GRU, and the GRU that the paper prints (Claims 1 and 2)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from qunn.activations import Activation
from qunn.coefficients import Diagonal, Full, Method, part
from qunn.equations import Equations
from qunn.members.base import History, Member


@final
class LSTMMember(Member):
    """torch.nn.LSTM (Claim 1; gates in torch's order i, f, g, o): Y = [x; h; c], K_1 = c_l, K_2 = c_{l+1}."""

    kind = "LSTM"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """torch's."""
        return self._torch_shapes(4)

    def equations(self) -> Equations:
        """γ_2 = D[f], κ_2 = D[i], σ_2 = tanh; β_2 = [0; I; I], κ_3 = D[0; o; 1], σ_3 = (id, tanh, id)."""
        s = self.m + 2 * self.H
        return self._equations(
            2,
            W=[self.block("0", "0", "I").mT.contiguous(), part(self, "candidate"), None],
            b=[None, self.optional_bias("candidate_bias"), None],
            sigma=["identity", "tanh", Activation("identity, tanh, identity", self.squash, pointwise=False)],
            gamma=[0, Diagonal(Method(self, "forget"), self.H), 0],
            kappa=[1, Diagonal(Method(self, "input"), self.H), Diagonal(Method(self, "output"), s)],
            beta=[0, self.block("0", "I", "I")],
            parts=(self.H, self.H),
            read=slice(self.m, self.m + self.H),
        )

    @property
    def candidate(self) -> Tensor:
        """[W_g U_g 0]."""
        rows = self.weight[2 * self.H : 3 * self.H]
        return torch.cat([rows, rows.new_zeros(self.H, self.H)], 1)

    @property
    def candidate_bias(self) -> Tensor:
        """b_g."""
        return self.summed_bias[2 * self.H : 3 * self.H]

    def squash(self, z: Tensor) -> Tensor:
        """σ_3: tanh on the h block only."""
        x, h, c = torch.split(z, [self.m, self.H, self.H], -1)
        return torch.cat([x, torch.tanh(h), c], -1)

    def input(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002 - one signature for all
        """i."""
        return self.gate(history[0], 0)

    def forget(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """f."""
        return self.gate(history[0], 1)

    def output(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """[0; o; 1] on [x; h; c]."""
        o = self.gate(history[0], 3)
        return torch.cat([o.new_zeros(o.shape[0], self.m), o, torch.ones_like(o)], -1)


@final
class GRUMember(Member):
    """torch.nn.GRU, reset after the product, gates r, z, n: K_1 = U_n h + b_hn, K_2 = (1-z)∘tanh(V_n x + b_in + r∘K_1).

    Claim 2 rewrites r∘Y as a pointwise function of Y, which it is not; here D[r] is α_21.
    """

    kind = "GRU"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """torch's."""
        return self._torch_shapes(3)

    def equations(self) -> Equations:
        """α_21 = D[r], κ_2 = D[1-z], β_2 = [0; I], γ_3 = D[0; z]."""
        s = self.m + self.H
        return self._equations(
            2,
            W=[part(self, "of_h"), part(self, "of_x"), None],
            b=[self.optional_bias("bias_of_h"), self.optional_bias("bias_of_x"), None],
            sigma=["identity", "tanh", "identity"],
            alpha=[[0, 0], [Diagonal(Method(self, "reset"), self.H), 0]],
            kappa=[1, Diagonal(Method(self, "renewed"), self.H), 1],
            beta=[0, self.block("0", "I")],
            gamma=[0, 0, Diagonal(Method(self, "kept"), s)],
        )

    @property
    def of_h(self) -> Tensor:
        """[0 U_n]."""
        U = self.weight_hh[2 * self.H :]
        return torch.cat([U.new_zeros(self.H, self.m), U], 1)

    @property
    def bias_of_h(self) -> Tensor:
        """b_hn."""
        return self.bias_hh[2 * self.H :]

    @property
    def bias_of_x(self) -> Tensor:
        """b_in."""
        return self.bias_ih[2 * self.H :]

    def reset(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """r."""
        return self.gate(history[0], 0)

    def renewed(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """1 - z."""
        return 1 - self.gate(history[0], 1)

    def kept(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """[0; z]."""
        return self.to_h(self.gate(history[0], 1))


@final
class ResetBeforeGRUMember(Member):
    """The paper's GRU (Eqs. 22-24): K_1 = r∘h, K_2 = z∘tanh(W_x x + W_g K_1 + b), h' = (1-z)∘h + K_2."""

    kind = "ResetBeforeGRU"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`ResetBeforeGRU`'s: one bias."""
        shapes = self._torch_shapes(3)
        shapes.pop("bias_ih", None)
        shapes.pop("bias_hh", None)
        return shapes | ({"bias": (3 * self.H,)} if self.biased else {})

    def equations(self) -> Equations:
        """W_1 = [0 D[r]], α_21 = W_g, κ_2 = D[z], β_2 = [0; I], γ_3 = D[0; 1-z]."""
        s = self.m + self.H
        return self._equations(
            2,
            W=[Full(Method(self, "reset"), (self.H, s)), part(self, "of_x"), None],
            b=[None, self.optional_bias("bias_of_x"), None],
            sigma=["identity", "tanh", "identity"],
            alpha=[[0, 0], [part(self, "of_h"), 0]],
            kappa=[1, Diagonal(Method(self, "renewed"), self.H), 1],
            beta=[0, self.block("0", "I")],
            gamma=[0, 0, Diagonal(Method(self, "kept"), s)],
        )

    @property
    def summed_bias(self) -> Tensor:
        """The one bias."""
        return self._parameters["bias"]  # type: ignore[return-value]

    @property
    def of_h(self) -> Tensor:
        """W_g."""
        return self.weight_hh[2 * self.H :]

    @property
    def bias_of_x(self) -> Tensor:
        """b_n."""
        return self.summed_bias[2 * self.H :]

    def reset(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """[0 D[r]] for every sample [B, H, s]."""
        r = self.gate(history[0], 0)
        return torch.cat([r.new_zeros(r.shape[0], self.H, self.m), torch.diag_embed(r)], -1)

    def renewed(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """z."""
        return self.gate(history[0], 1)

    def kept(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """[0; 1 - z]."""
        return self.to_h(1 - self.gate(history[0], 1))
