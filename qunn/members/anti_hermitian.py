"""The n-t-ARNN in general (Definition 3 of Sec. 2.3): Eqs. (2)-(4) with anti-Hermitian W_q."""

from __future__ import annotations

from typing import final

import torch
from torch.nn.utils import parametrize

from hamiltonians.errors import must_be, one_of
from qunn.activations import ACTIVATIONS
from qunn.arnn.parametrizations import Antisymmetric, ImaginarySymmetric
from qunn.coefficients import part
from qunn.equations import Equations
from qunn.members.base import Member
from qunn.sequence import check_size

WEIGHTS = ("antisymmetric", "imaginary-symmetric")


@final
class AntiHermitianMember(Member):
    """K_q = σ(W_q (Y_{l-t_{q-1}} + h Σ_{k<q} a_qk K_k) + V_q x_l + b_q), Y_{l+1} = Y_l + h Σ_k β_k K_k, W_q = -W_q†.

    Trained: W_q through `torch.nn.utils.parametrize`, V_q, b_q, and the numbers a_qk and β_k. They start as n halves of
    a step: a_{q,q-1} = 1/2, all others 0, β_n = 1; for n = 2 and t = 1 that is the explicit midpoint rule.
    """

    kind = "AntiHermitian"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A set of them a stage; W_q comes after, parametrised."""
        n = self.arguments["n"]
        for name in ("n", "t"):
            check_size(name, self.arguments[name])
        if self.arguments["weight"] not in WEIGHTS:
            raise must_be("weight", one_of(WEIGHTS), self.arguments["weight"])
        if self.arguments["weight"] == "imaginary-symmetric" and not self.dtype.is_complex and self.H % 2:
            raise must_be("hidden_size", "even for the real embedding [[0, -S], [S, 0]]", self.H)
        if not isinstance(self.arguments["activation"], str) or self.arguments["activation"] not in ACTIVATIONS:
            raise must_be("activation", one_of(ACTIVATIONS), self.arguments["activation"])
        shapes: dict[str, tuple[int, ...]] = {}
        for q in range(1, n + 1):
            shapes |= {f"weight_{q}": (self.H, self.H), f"weight_in_{q}": (self.H, self.m), f"beta_{q}": ()}
            shapes |= {f"bias_{q}": (self.H,)} if self.biased else {}
            shapes |= {f"a_{q}_{k}": () for k in range(1, q)}
        return shapes

    def is_real(self, name: str) -> bool:
        """The numbers a_qk and β_k are."""
        return name.startswith(("a_", "beta_"))

    def equations(self) -> Equations:
        """γ_q = 0 and γ_{n+1} = 1, κ = 1, W_{n+1} = 0; a strictly lower triangular."""
        n = self.arguments["n"]
        antisymmetric = self.arguments["weight"] == "antisymmetric"
        form = Antisymmetric() if antisymmetric else ImaginarySymmetric(embedded=not self.dtype.is_complex)
        for q in range(1, n + 1):
            parametrize.register_parametrization(self, f"weight_{q}", form)
        self.reset_parameters()
        stages = range(1, n + 1)
        return Equations(
            n,
            self.arguments["t"],
            W=[*(part(self, f"weight_{q}") for q in stages), None],
            b=[*(self.optional_bias(f"bias_{q}") for q in stages), None],
            V=[*(part(self, f"weight_in_{q}") for q in stages), None],
            sigma=[*[ACTIVATIONS[self.arguments["activation"]]] * n, "identity"],
            a=[[part(self, f"a_{q}_{k}") if k < q else 0 for k in stages] for q in stages],
            beta=[part(self, f"beta_{q}") for q in stages],
            gamma=[*[0] * n, 1.0],
            h=self.arguments["h"],
            state_size=self.H,
            input_size=self.m,
            source=self,
        )

    def reset_parameters(self) -> None:
        """W, V and b uniform in ±1/√H as in torch.nn.RNN; a_{q,q-1} = 1/2, the other a 0, β_n = 1, the other β 0."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if self.is_real(name):
                    q, k = ([*map(int, name.split("_")[1:]), 0])[:2]
                    parameter.fill_(float(q == self.arguments["n"]) if name.startswith("beta") else 0.5 * (k == q - 1))
                else:
                    parameter.uniform_(-(self.H**-0.5), self.H**-0.5)
