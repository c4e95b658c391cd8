"""One layer of a known network with its weights under their own names: what all members share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hamiltonians.errors import must_be
from qunn.coefficients import Coefficient, Part, Source, Vector
from qunn.equations import Equations
from qunn.sequence import draw_uniform

History = tuple[Tensor, ...]


class Member(Source, ABC):
    """One layer of a known network: Y = [x; h] or [x; h; c], with the x block overwritten by the next input.

    Attributes
    ----------
    m, H : features of x and of h. kind : its name in a file. biased : whether it has biases.
    arguments : what a file needs to build it again.
    """

    kind: ClassVar[str]
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, *, bias: bool = True, dtype: torch.dtype | None = None, **others: Any
    ) -> None:
        super().__init__()
        self.m, self.H, self.biased = input_size, hidden_size, bias
        self.arguments = {"input_size": input_size, "hidden_size": hidden_size, "bias": bias} | others
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        if not isinstance(self.dtype, torch.dtype) or not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise must_be("dtype", "a real or complex floating-point dtype", dtype)
        for name, shape in self.shapes().items():
            kind = self.dtype.to_real() if self.is_real(name) else self.dtype
            self.register_parameter(name, nn.Parameter(torch.zeros(shape, dtype=kind)))

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights' names and shapes."""

    @abstractmethod
    def equations(self) -> Equations:
        """The layer with these weights."""

    def is_real(self, name: str) -> bool:
        """Whether that parameter of a complex network is real."""
        return name == "modrelu_bias"

    def copy(self, weights: Mapping[str, Tensor]) -> Member:
        """Take over the numbers, and whether they are trained."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(weights[name])
                parameter.requires_grad_(weights[name].requires_grad or weights[name].grad_fn is not None)
        return self

    def reset_parameters(self) -> None:
        """Uniform in ±1/√H, as torch's networks do."""
        draw_uniform(self, self.H)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self.arguments

    # --- what several of them need ---

    @property
    def weight(self) -> Tensor:
        """[V U]: the weights of x and of h side by side [rows, m + H]."""
        return torch.cat([self.weight_ih, self.weight_hh], 1)

    @property
    def of_x(self) -> Tensor:
        """[V_n 0]: of the third block of a GRU's rows, what acts on x [H, m + H]."""
        V = self.weight_ih[2 * self.H :]
        return torch.cat([V, V.new_zeros(self.H, self.H)], 1)

    def block(self, *which: str) -> Tensor:
        """0 or I for every block of Y = [x; h (; c)], stacked: [s, H]."""
        rows = [
            torch.zeros(self.m if i == 0 else self.H, self.H, dtype=self.dtype)
            if entry == "0"
            else torch.eye(self.H, dtype=self.dtype)
            for i, entry in enumerate(which)
        ]
        return torch.cat(rows)

    def optional_bias(self, name: str) -> Coefficient | None:
        """A bias that may not be there."""
        return Vector(Part(self, name)) if self.biased else None

    def gate(self, Y: Tensor, q: int) -> Tensor:
        """sigmoid(V_q x + U_q h + b_q) with the q-th block of H rows [B, H]."""
        rows = slice(q * self.H, (q + 1) * self.H)
        z = Y[:, : self.m] @ self.weight_ih[rows].mT + Y[:, self.m : self.m + self.H] @ self.weight_hh[rows].mT
        return torch.sigmoid(z + self.summed_bias[rows] if self.biased else z)

    @property
    def summed_bias(self) -> Tensor:
        """The biases of x and of h, which torch keeps apart, added."""
        b: Tensor = self.bias_ih + self.bias_hh
        return b

    def to_h(self, gate: Tensor) -> Tensor:
        """A gate on the h block of Y and 0 on x: [B, m + H]."""
        return torch.cat([gate.new_zeros(gate.shape[0], self.m), gate], -1)

    def _torch_shapes(self, gates: int) -> dict[str, tuple[int, ...]]:
        rows = gates * self.H
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, self.m), "weight_hh": (rows, self.H)}
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if self.biased else {})

    def _equations(self, n: int, **coefficients: Any) -> Equations:
        return Equations(n, 1, input_size=self.m, x_block=True, source=self, **coefficients)
