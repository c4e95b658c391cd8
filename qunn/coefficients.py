"""The coefficients of Eqs. (2)-(4): scalar, diagonal or full; constant, trained, or a function of what has happened.

    Diagonal(lambda step, history, x: torch.sigmoid(history[0] @ U.T), size=8)     # a gate, D[f_l] of Claim 1

A bare number, vector or matrix is a scalar, diagonal or full coefficient; an `nn.Parameter` is trained, any other
tensor is a buffer, a number stays a number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from hamiltonians.errors import must_be, one_of

#: (step l, history (Y_l, Y_{l-1}, …) [B, s] each, x_l [B, m]) -> value, with or without a batch dimension
Function = Callable[[int, tuple[Tensor, ...], Tensor], Tensor]
#: a coefficient at one moment: its kind, and a number or a tensor
Value = tuple[str, Any]
_RANKS = {"scalar": 0, "diagonal": 1, "vector": 1, "full": 2}
_OF_RANK = ("scalar", "diagonal", "full")


class Source(nn.Module, ABC):
    """A module whose properties are the coefficients: a field, or a known network's weights."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Draw the parameters anew."""


@final
@dataclass(frozen=True)
class Part:
    """A property of another module, such as a field's W: read once a scan, so that a parametrisation runs once."""

    module: nn.Module
    name: str

    def read(self) -> Tensor:
        """Its value now, with the graph to the module's parameters."""
        value = getattr(self.module, self.name)
        assert isinstance(value, Tensor)
        return value


@final
@dataclass(frozen=True)
class Method:
    """A method of another module as a function of the moment; the module keeps the parameters."""

    module: nn.Module
    name: str

    def __call__(self, step: int, history: tuple[Tensor, ...], x: Tensor) -> Tensor:
        """The method's answer."""
        value = getattr(self.module, self.name)(step, history, x)
        assert isinstance(value, Tensor)
        return value


@final
@dataclass(frozen=True)
class Coefficient:
    """One coefficient: what kind of matrix it is, where its value comes from, and its shape without a batch.

    Attributes
    ----------
    kind : "scalar", "diagonal", "full", or "vector" (for b_q, which is added and not multiplied).
    value : a number, a tensor, a `Part`, or a function (step, history, x_l) -> tensor.
    shape : () for a scalar, (p,) for a diagonal or a vector, (p, q) for a full matrix.
    """

    kind: str
    value: Any
    shape: tuple[int, ...]

    @property
    def moving(self) -> bool:
        """Whether it is a function of the moment."""
        return not isinstance(self.value, int | float | complex | Tensor | Part)

    def rows(self, columns: int, name: str) -> int:
        """The size of its product with a vector of `columns` numbers.

        Raises
        ------
        InputError : it does not act on so many.
        """
        if self.kind == "scalar":
            return columns
        if self.shape[-1] != columns:
            raise must_be(name, f"of {columns} columns", self.shape)
        return self.shape[0]


def Scalar(value: Any) -> Coefficient:
    """A number, a 0-dimensional tensor, or a function that returns a 0-dimensional tensor, [B] or [B, 1]."""
    return _coefficient("scalar", value, ())


def Diagonal(value: Any, size: int | None = None) -> Coefficient:
    """D[v]: a vector [p], or a function that returns [p] or [B, p], with its `size` p."""
    return _coefficient("diagonal", value, None if size is None else (size,))


def Full(value: Any, shape: Sequence[int] | None = None) -> Coefficient:
    """A matrix [p, q], or a function that returns [p, q] or [B, p, q], with its `shape` (p, q)."""
    return _coefficient("full", value, None if shape is None else tuple(shape))


def Vector(value: Any, size: int | None = None) -> Coefficient:
    """b_q: a vector [p], or a function that returns [p] or [B, p], with its `size` p."""
    return _coefficient("vector", value, None if size is None else (size,))


def _coefficient(kind: str, value: Any, shape: tuple[int, ...] | None) -> Coefficient:
    if _number(value) and kind == "scalar":
        return Coefficient(kind, value, ())
    if isinstance(value, Part):
        shape = tuple(value.read().shape)
    elif isinstance(value, Tensor):
        shape = tuple(value.shape)
    elif not callable(value):
        raise must_be(kind, "a number, a tensor, or a function of (step, history, x)", value)
    elif shape is None:
        raise must_be("shape" if kind == "full" else "size", f"given beside a function, for a {kind} coefficient", None)
    if len(shape) != _RANKS[kind]:
        raise must_be(kind, f"of {_RANKS[kind]} dimensions", shape)
    return Coefficient(kind, value, shape)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def coefficient(value: Any, name: str) -> Coefficient | None:
    """Whatever a user writes for W, γ, κ, α or β; None and the number 0 are no coefficient at all.

    Raises
    ------
    InputError : a bare function (its kind must be told), more than two dimensions, integers, not finite, or anything
        else.
    """
    if value is None or (_number(value) and value == 0):
        return None
    if isinstance(value, Coefficient):
        if value.kind == "vector":
            raise must_be(name, "Scalar(…), Diagonal(…) or Full(…)", "Vector(…)")
        made = value
    elif _number(value):
        made = Scalar(value)
    elif isinstance(value, Tensor) and value.dim() <= 2:
        made = _coefficient(_OF_RANK[value.dim()], value, None)
    elif callable(value):
        raise must_be(name, "wrapped when it is a function: Scalar(f), Diagonal(f, size) or Full(f, shape)", value)
    else:
        raise must_be(name, "a number, a vector, a matrix, or a function in Scalar, Diagonal or Full", value)
    return _finite(made, name)


def part(module: nn.Module, name: str) -> Coefficient:
    """A property of a module as a coefficient: a matrix is full, a vector diagonal."""
    held = Part(module, name)
    shape = tuple(held.read().shape)
    return Coefficient(_OF_RANK[len(shape)], held, shape)


def vector(value: Any, name: str) -> Coefficient | None:
    """Whatever a user writes for b.

    Raises
    ------
    InputError : neither a vector nor `Vector(f, size)`, or not finite.
    """
    if value is None or (_number(value) and value == 0):
        return None
    if isinstance(value, Coefficient) and value.kind == "vector":
        return _finite(value, name)
    if isinstance(value, Tensor) and value.dim() == 1:
        return _finite(Vector(value), name)
    raise must_be(name, "a vector, or Vector(f, size)", tuple(value.shape) if isinstance(value, Tensor) else value)


def _finite(made: Coefficient, name: str) -> Coefficient:
    value = made.value
    if _number(value):
        value = torch.tensor(value, dtype=torch.complex128)
    if isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex()):
        raise must_be(name, "of a floating-point or complex dtype", value.dtype)
    if isinstance(value, Tensor) and not bool(torch.isfinite(value.detach()).all()):
        raise must_be(name, "finite", made.value if _number(made.value) else value.detach().tolist())
    return made


def evaluated(slot: Coefficient, name: str, now: Any, Y: Tensor) -> Tensor:
    """What a function of the moment returned, checked against the declared shape, and the batch and dtype of Y [B, s].

    Raises
    ------
    InputError : no tensor, another shape, or a wider dtype.
    """
    if not isinstance(now, Tensor):
        raise must_be(name, "a function that returns a tensor", now)
    batch = Y.shape[0]
    shapes = [slot.shape, (batch, *slot.shape)] if slot.shape else [(), (batch,), (batch, 1)]
    if tuple(now.shape) not in shapes:
        raise must_be(name, f"a function that returns a tensor of shape {one_of(map(str, shapes))}", tuple(now.shape))
    if torch.promote_types(now.dtype, Y.dtype) != Y.dtype:
        raise must_be(name, f"a function that returns {Y.dtype}, as the state", now.dtype)
    if slot.kind == "scalar" and now.dim() == 1:
        now = now.unsqueeze(1)
    return now.to(Y.dtype)


def multiply(value: Value, v: Tensor) -> Tensor:
    """The coefficient, with or without a batch dimension, times v [B, q] -> [B, p]."""
    kind, c = value
    if kind == "full":
        return v @ c.mT if c.dim() == 2 else (c @ v.unsqueeze(-1)).squeeze(-1)
    product = c * v
    assert isinstance(product, Tensor)
    return product


def add_multiple(z: Tensor, value: Value, v: Tensor) -> Tensor:
    """z + value·v; one kernel where the value is a number."""
    if isinstance(value[1], float):
        return torch.add(z, v, alpha=value[1])
    return z + multiply(value, v)
