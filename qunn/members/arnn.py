"""The ARNNs as members (Sec. 2.3): each scheme with its weights in Eqs. (2)-(4)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from qunn.activations import ACTIVATIONS
from qunn.coefficients import part
from qunn.equations import Equations
from qunn.members.base import Member


@final
class ARNNMember(Member):
    """`ARNN`, with the anti-Hermitian W itself (W - γI where there is diffusion); x enters through V_q.

    forward-euler      (n, t) = (1, 1): β_1 = 1, γ_2 = 1.
    leapfrog           (2, 2): K_2 = Y_{l-1} through the delay t_1 = 1; hβ = (2h, 1), γ_3 = 0.
    symplectic-euler   (2, 1) on [Y; Z]: K_1 = σ(W†Y + …), K_2 = σ(W(Z - hK_1) + …). The paper's 1-2 counts the pair as
                       t = 2 and the two halves, which do not depend on each other's K within a partition, as n = 1.
    """

    kind = "ARNN"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """`ARNN`'s, W in place of what it is computed from."""
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.H, self.H), "weight_in": (self.H, self.m)}
        return shapes | ({"bias": (self.H,)} if self.biased else {})

    def equations(self) -> Equations:
        """By the scheme's name."""
        build = {
            "forward-euler": self._forward_euler,
            "leapfrog": self._leapfrog,
            "symplectic-euler": self._symplectic_euler,
        }
        return build[self.arguments["scheme"]]()

    def _forward_euler(self) -> Equations:
        return Equations(
            1,
            W=[part(self, "W"), None],
            b=[self.optional_bias("bias"), None],
            V=[part(self, "weight_in"), None],
            sigma=[ACTIVATIONS[self.arguments["activation"]], "identity"],
            a=[[0]],
            beta=[1.0],
            gamma=[0, 1.0],
            h=self.arguments["h"],
            input_size=self.m,
            source=self,
        )

    def _leapfrog(self) -> Equations:
        return Equations(
            2,
            2,
            W=[part(self, "W"), 1.0, None],
            b=[self.optional_bias("bias"), None, None],
            V=[part(self, "weight_in"), None, None],
            sigma=[ACTIVATIONS[self.arguments["activation"]], "identity", "identity"],
            beta=[2.0, 1.0 / self.arguments["h"]],
            h=self.arguments["h"],
            state_size=self.H,
            input_size=self.m,
            source=self,
        )

    def _symplectic_euler(self) -> Equations:
        sigma, b, V = ACTIVATIONS[self.arguments["activation"]], self.optional_bias("bias"), part(self, "weight_in")
        eye, zero = torch.eye(self.H, dtype=self.dtype), torch.zeros(self.H, self.H, dtype=self.dtype)
        return Equations(
            2,
            W=[part(self, "of_y"), part(self, "of_z"), None],
            b=[b, b, None],
            V=[V, V, None],
            sigma=[sigma, sigma, "identity"],
            alpha=[[0, 0], [part(self, "minus_W"), 0]],
            beta=[torch.cat([zero, -eye]), torch.cat([eye, zero])],
            gamma=[0, 0, 1.0],
            h=self.arguments["h"],
            input_size=self.m,
            parts=(self.H, self.H),
            read=slice(0, self.H),
            source=self,
        )

    def reset_parameters(self) -> None:
        """W = A - A†, A and the others uniform in ±1/√H."""
        super().reset_parameters()
        with torch.no_grad():
            self.get_parameter("weight").sub_(self.get_parameter("weight").mH.clone())

    @property
    def W(self) -> Tensor:
        """W - γI."""
        W: Tensor = self._parameters["weight"]  # type: ignore[assignment]
        gamma = self.arguments["diffusion"]
        return W - gamma * torch.eye(self.H, dtype=W.dtype, device=W.device) if gamma else W

    @property
    def of_y(self) -> Tensor:
        """[W† 0]."""
        W = self.W.mH
        return torch.cat([W, torch.zeros_like(W)], 1)

    @property
    def of_z(self) -> Tensor:
        """[0 W]."""
        return torch.cat([torch.zeros_like(self.W), self.W], 1)

    @property
    def minus_W(self) -> Tensor:
        """-W."""
        return -self.W
