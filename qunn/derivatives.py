"""Gradients that are written out once, and say so when somebody asks for their gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def first_only(gradient: Tensor, inputs: Sequence[Tensor], what: str) -> Tensor:
    """`gradient`, made such that differentiating it again in one of the `inputs` raises instead of giving zero.

    For the backward pass of an autograd function, under `create_graph=True`. torch's `once_differentiable` refuses only
    where the cotangent has a graph of its own, and silently drops the second derivative of a plain sum.

    Raises
    ------
    NotImplementedError : later, in the second backward pass.
    """
    if not torch.is_grad_enabled():
        return gradient
    refused = _Refused.apply(what, gradient, *inputs)  # type: ignore[no-untyped-call]
    assert isinstance(refused, Tensor)
    return refused


class _Refused(torch.autograd.Function):
    """Identity on the gradient, which depends on the inputs in a way that nobody has written down."""

    @staticmethod
    def forward(ctx: Any, what: str, gradient: Tensor, *inputs: Tensor) -> Tensor:  # noqa: ARG004
        ctx.what = what
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[None, ...]:
        raise NotImplementedError(f"{ctx.what} have a first derivative only; the second was asked for")
