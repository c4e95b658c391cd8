"""The pointwise functions σ of Eqs. (2)-(4), with what is known of their slope.

A proof of stability needs σ to be non-decreasing, and a hand-written backward pass needs σ' in terms of σ; both facts
live here, beside the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from hamiltonians.errors import must_be, one_of


@final
@dataclass(frozen=True)
class Activation:
    """A pointwise σ: R -> R; on complex numbers it acts on the real and the imaginary part by themselves.

    That split keeps tanh bounded (the holomorphic tanh has poles) and keeps σ monotone in the real inner product
    Re<x, y>.

    Attributes
    ----------
    name : its name, or the callable's.
    function : σ on real tensors.
    slope_from_value : σ'(v) as a function of y = σ(v), or None where σ' is no function of it.
    slope : (inf σ', sup σ') over the real line, or None where nothing is known.
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    slope_from_value: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    slope: tuple[float, float] | None = None
    pointwise: bool = True

    def __call__(self, v: Tensor) -> Tensor:
        """σ(v), elementwise; the shape and the dtype stay."""
        if v.is_complex() and self.pointwise:
            return torch.view_as_complex(self.function(torch.view_as_real(v.resolve_conj().contiguous())).contiguous())
        return self.function(v)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled by name where it has one: functions without a name cannot be."""
        if self.named:
            return activation, (self.name,)
        return Activation, (self.name, self.function, self.slope_from_value, self.slope, self.pointwise)

    @property
    def non_decreasing(self) -> bool | None:
        """Whether σ' ≥ 0 everywhere; None: not known."""
        return None if self.slope is None else self.slope[0] >= 0

    @property
    def named(self) -> bool:
        """Whether `activation(self.name)` gives it back, so that it can be saved."""
        return ACTIVATIONS.get(self.name) is self


def _identity(v: Tensor) -> Tensor:
    return v


def _leaky(v: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(v, 0.01)


_ALL = (
    Activation("identity", _identity, torch.ones_like, (1.0, 1.0)),
    Activation("tanh", torch.tanh, lambda y: 1 - y * y, (0.0, 1.0)),
    Activation("sigmoid", torch.sigmoid, lambda y: y * (1 - y), (0.0, 0.25)),
    Activation("relu", torch.relu, lambda y: (y > 0).to(y.dtype), (0.0, 1.0)),
    Activation("leaky_relu", _leaky, lambda y: torch.ones_like(y).masked_fill_(y <= 0, 0.01), (0.01, 1.0)),
    Activation("softplus", torch.nn.functional.softplus, lambda y: -torch.expm1(-y), (0.0, 1.0)),
    Activation("elu", torch.nn.functional.elu, lambda y: (y + 1).masked_fill_(y > 0, 1.0), (0.0, 1.0)),
    Activation("sin", torch.sin, None, (-1.0, 1.0)),
    Activation("gelu", torch.nn.functional.gelu, None, (-0.1290, 1.1290)),  # Φ(v) + v φ(v) at v = ∓√2
)
ACTIVATIONS: dict[str, Activation] = {a.name: a for a in _ALL}


def activation(which: str | Activation | Callable[[Tensor], Tensor], field: str = "activation") -> Activation:
    """The activation of that name, or a callable as one of which nothing is known.

    Raises
    ------
    InputError : an unknown name, or neither a name nor a callable.
    """
    if isinstance(which, Activation):
        return which
    if isinstance(which, str) and which in ACTIVATIONS:
        return ACTIVATIONS[which]
    if isinstance(which, str) or not callable(which):
        raise must_be(field, f"{one_of(ACTIVATIONS)}, or a callable", which)
    known = ((torch.tanh, "tanh"), (torch.sigmoid, "sigmoid"), (torch.relu, "relu"), (torch.nn.functional.relu, "relu"))
    for function, name in known:
        if which is function:
            return ACTIVATIONS[name]
    return Activation(getattr(which, "__name__", type(which).__name__), which, pointwise=False)
