"""One-stage networks as members: Elman, unitary and clockwork (Claims 3 and 4)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from qunn.activations import ACTIVATIONS, Activation
from qunn.coefficients import Diagonal, Method, part
from qunn.equations import Equations
from qunn.exponential import exponential
from qunn.members.base import History, Member
from qunn.networks.urnn import MODRELU, modrelu


@final
class ElmanMember(Member):
    """torch.nn.RNN: K_1 = σ(V x + U h + b), Y_{l+1} = [·; K_1]."""

    kind = "RNN"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """torch's."""
        return self._torch_shapes(1)

    def equations(self) -> Equations:
        """n = 1: W_1 = [V U], β_1 = [0; I]."""
        return self._equations(
            1,
            W=[part(self, "weight"), None],
            b=[self.optional_bias("summed_bias"), None],
            sigma=[self.arguments["nonlinearity"], "identity"],
            beta=[self.block("0", "I")],
        )


@final
class URNNMember(Member):
    """`URNN`: K_1 = σ(V x + W h + b), with the unitary W itself (Eq. 28 mended by E15; not Claim 3, whose W_q is 0)."""

    kind = "URNN"

    modrelu_bias: Tensor

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`URNN`'s, W in place of what it is computed from."""
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (self.H, self.m), "weight_hh": (self.H, self.H)}
        shapes |= {"bias": (self.H,)} if self.biased else {}
        return shapes | ({"modrelu_bias": (self.H,)} if self.arguments["activation"] == MODRELU else {})

    def equations(self) -> Equations:
        """n = 1: W_1 = [V W], β_1 = [0; I]; modReLU with its bias is σ_1."""
        name = self.arguments["activation"]
        sigma = Activation(name, self.rotate, pointwise=False) if name == MODRELU else ACTIVATIONS[name]
        return self._equations(
            1,
            W=[part(self, "weight"), None],
            b=[self.optional_bias("bias"), None],
            sigma=[sigma, "identity"],
            beta=[self.block("0", "I")],
        )

    def reset_parameters(self) -> None:
        """W = exp(A - A†), unitary, A and the others uniform in ±1/√H."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight_hh.copy_(exponential(self.weight_hh - self.weight_hh.mH))

    def rotate(self, z: Tensor) -> Tensor:
        """ReLU(|z| + b) z/|z|."""
        return modrelu(z, self.modrelu_bias)


@final
class CWRNNMember(Member):
    """`CWRNN` (Koutník et al. 2014): κ_1 = D[awake], γ_2 = D[0; 1 - awake]: who sleeps keeps its state (not Eq. 29)."""

    kind = "CWRNN"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`CWRNN`'s."""
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (self.H, self.m), "weight_hh": (self.H, self.H)}
        return shapes | ({"bias": (self.H,)} if self.biased else {})

    def equations(self) -> Equations:
        """n = 1: W_1 = [W_I W_H] with W_H block upper triangular, β_1 = [0; I]."""
        return self._equations(
            1,
            W=[part(self, "weight"), None],
            b=[self.optional_bias("bias"), None],
            sigma=["tanh", "identity"],
            kappa=[Diagonal(Method(self, "awake"), self.H), None],
            beta=[self.block("0", "I")],
            gamma=[0, Diagonal(Method(self, "asleep"), self.m + self.H)],
        )

    @property
    def weight(self) -> Tensor:
        """[W_I W_H], the blocks that look at faster modules zero."""
        module = torch.arange(self.H, device=self.weight_hh.device) // (self.H // len(self.arguments["periods"]))
        return torch.cat([self.weight_ih, self.weight_hh * (module[:, None] <= module)], 1)

    def awake(self, step: int, history: History, x: Tensor) -> Tensor:  # noqa: ARG002
        """1 for the units whose period divides the step."""
        periods = self.arguments["periods"]
        on = [float(step % period == 0) for period in periods]
        return self.weight_hh.new_tensor(on).repeat_interleave(self.H // len(periods))

    def asleep(self, step: int, history: History, x: Tensor) -> Tensor:
        """[0; 1 - awake]."""
        awake = self.awake(step, history, x)
        return torch.cat([awake.new_zeros(self.m), 1 - awake])
