"""Encodings of feature vectors as unit vectors: a QUNN's inputs in the paper's quantum reading.

‖D W‖ grows as ‖Y‖², so that unit vectors are also what keeps the layers of a QUNN bounded.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from hamiltonians.errors import InputError, must_be, one_of
from qunn.sequence import check_finite, check_flag, check_size, check_step


class Encoder(nn.Module, ABC):
    """x [..., m] -> Y [..., d] with ‖Y‖ = 1.

    Attributes
    ----------
    input_size : m. output_size : d.

    Raises
    ------
    InputError : an input of another last dimension, complex, integer, or with a number that is not finite.
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("output_size", output_size)
        self.input_size, self.output_size = input_size, output_size

    def forward(self, x: Tensor) -> Tensor:
        """The unit vectors [..., d]."""
        if not isinstance(x, Tensor) or x.shape[-1:] != (self.input_size,):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise must_be("input", f"of {self.input_size} features in its last dimension", got)
        if not x.is_floating_point():
            raise must_be("input", "real, of a floating-point dtype", x.dtype)
        check_finite(x, "input")
        return self.encode(x)

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The unit vectors of an input that has been checked."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw the parameters anew, if there are any."""


@final
class AngleEncoder(Encoder):
    """Each feature as an angle: Y = m^{-1/2} (cos θ_1, sin θ_1, …, cos θ_m, sin θ_m), θ_i = π x_i / (2 x_max).

    Features within ±x_max have angles within ±π/2 and are encoded uniquely. No parameters; d = 2m.

    product : Y = (cos θ_1, sin θ_1) ⊗ … ⊗ (cos θ_m, sin θ_m) instead, a product state of m qubits; d = 2^m.
    """

    def __init__(self, input_size: int, *, x_max: float = 4.0, product: bool = False) -> None:
        check_size("input_size", input_size)
        check_flag("product", product)
        if product and input_size > 20:
            raise must_be("input_size", "at most 20 for a product of qubits, whose dimension is 2^m", input_size)
        super().__init__(input_size, 2**input_size if product else 2 * input_size)
        check_step(x_max, "x_max")
        self.x_max, self.product = float(x_max), product

    def encode(self, x: Tensor) -> Tensor:
        """The unit vectors [..., d]."""
        theta = x * (math.pi / (2 * self.x_max))
        qubits = torch.stack([theta.cos(), theta.sin()], -1)  # [..., m, 2]
        if not self.product:
            return qubits.flatten(-2) / math.sqrt(self.input_size)
        Y = qubits[..., 0, :]
        for i in range(1, self.input_size):
            Y = (Y[..., :, None] * qubits[..., i, None, :]).flatten(-2)
        return Y

    def reset_parameters(self) -> None:
        """Nothing to draw."""


@final
class AmplitudeEncoder(Encoder):
    """Y = (x, a) / ‖(x, a)‖, with an entry a that keeps the length of x; d = m + 1, or d = m for a = 0.

    Raises
    ------
    InputError : a = 0 and an x that is zero, which has no direction.
    """

    def __init__(self, input_size: int, *, constant: float = 1.0) -> None:
        if isinstance(constant, bool) or not isinstance(constant, int | float) or not math.isfinite(constant):
            raise must_be("constant", "a finite number", constant)
        check_size("input_size", input_size)
        super().__init__(input_size, input_size + (constant != 0))
        self.constant = float(constant)

    def encode(self, x: Tensor) -> Tensor:
        """The unit vectors [..., d]."""
        if self.constant:
            if abs(self.constant) > torch.finfo(x.dtype).max:
                raise must_be("constant", f"a number that {x.dtype} has", self.constant)
            x = torch.cat([x, torch.full_like(x[..., :1], self.constant)], -1)
        return unit(x, "amplitude encoding")

    def reset_parameters(self) -> None:
        """Nothing to draw."""


@final
class AffineEncoder(Encoder):
    """Y = (A x + a) / ‖A x + a‖ with A [d, m] and a [d] learned.

    At first the rays A x + a pass the origin at a distance: a is a random unit vector, and A is orthogonal to it.

    Raises
    ------
    InputError : an x with A x + a = 0, which has no direction.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, output_size)
        self.linear = nn.Linear(input_size, output_size, device=device, dtype=dtype)
        self.reset_parameters()

    def encode(self, x: Tensor) -> Tensor:
        """The unit vectors [..., d]."""
        if x.dtype != self.linear.weight.dtype:
            raise must_be("input", f"of dtype {self.linear.weight.dtype}, that of the module", x.dtype)
        return unit(self.linear(x), "affine encoding")

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """A random direction a, and A across it with columns of length 1/2."""
        a = nn.functional.normalize(torch.randn_like(self.linear.bias), dim=0)
        A = torch.randn_like(self.linear.weight)
        A = A - torch.outer(a, a @ A) if self.output_size > 1 else A
        self.linear.bias.copy_(a)
        self.linear.weight.copy_(A / (2 * A.norm(dim=0)))


ENCODINGS = ("affine", "angle", "amplitude")


def make_encoder(
    encoding: str,
    input_size: int,
    size: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Encoder:
    """The encoder of that name; `size` is d of the affine one, the others have a d of their own.

    Raises
    ------
    InputError : an unknown name.
    """
    if encoding == "affine":
        return AffineEncoder(input_size, size, device=device, dtype=dtype)
    if encoding == "angle":
        return AngleEncoder(input_size)
    if encoding == "amplitude":
        return AmplitudeEncoder(input_size)
    raise must_be("encoding", one_of(ENCODINGS), encoding)


def unit(x: Tensor, what: str) -> Tensor:
    """x / ‖x‖ along the last dimension.

    Raises
    ------
    InputError : a zero vector, named with its index.
    """
    largest = x.detach().abs().amax(-1, keepdim=True)
    zero = largest == 0
    if bool(zero.any()):
        where = tuple(int(i) for i in zero[..., 0].nonzero()[0])
        raise InputError(f"`input` must not be zero for {what}, but is at index {where}: no unit vector", "input")
    x = x / largest  # squares neither overflow nor vanish
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
