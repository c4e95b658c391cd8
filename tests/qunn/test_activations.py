"""The activations, and what is said of their slopes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hamiltonians import InputError
from qunn.activations import ACTIVATIONS, Activation, activation

NAMES = list(ACTIVATIONS)
KINKS = {"relu": (0.0,), "leaky_relu": (0.0,), "elu": (0.0,)}  # where σ'' does not exist
every_name = pytest.mark.parametrize("name", NAMES)


def grid(name: str) -> Tensor:
    """[-8, 8] without a margin about the kinks."""
    v = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    for kink in KINKS.get(name, ()):
        v = v[(v - kink).abs() > 1e-3]
    return v


def slope(name: str, v: Tensor) -> Tensor:
    """Central differences, of error 1e-10: δ² times a third derivative below 3, and ε/δ."""
    delta = 6e-6
    sigma = ACTIVATIONS[name]
    return (sigma(v + delta) - sigma(v - delta)) / (2 * delta)


@every_name
def test_the_slope_from_the_value_is_the_slope(name: str) -> None:
    sigma = ACTIVATIONS[name]
    if sigma.slope_from_value is None:
        assert name in ("sin", "gelu")  # many v with one σ(v) and different slopes
        return
    v = grid(name)
    torch.testing.assert_close(sigma.slope_from_value(sigma(v)), slope(name, v), rtol=0, atol=1e-9)
    w = v.clone().requires_grad_()
    sigma(w).sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(
        sigma.slope_from_value(sigma(v)), w.grad, rtol=0, atol=1e-8
    )  # softplus: linear from 20 on
    assert sigma.slope_from_value(sigma(v.float())).dtype == torch.float32


@every_name
def test_the_bounds_hold_and_are_sharp(name: str) -> None:
    sigma = ACTIVATIONS[name]
    assert sigma.slope is not None
    low, high = sigma.slope
    seen = slope(name, grid(name))
    assert seen.min() > low - 1e-9
    assert seen.max() < high + 1e-9
    assert seen.min() < low + 1e-3  # e⁻⁸ for the saturating ones
    assert seen.max() > high - 1e-3
    assert sigma.non_decreasing is (low >= 0)
    assert sigma.non_decreasing is (name not in ("sin", "gelu"))


@every_name
def test_complex_numbers_are_split(name: str) -> None:
    sigma = ACTIVATIONS[name]
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)
    for w in (z, z.T, z.conj(), z[:, ::2], z[:0]):
        out = sigma(w)
        assert out.dtype == w.dtype
        torch.testing.assert_close(out, torch.complex(sigma(w.real), sigma(w.imag)), rtol=1e-15, atol=0)
    assert sigma(z.to(torch.complex64)).dtype == torch.complex64


@every_name
def test_complex_gradients(name: str) -> None:
    z = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(ACTIVATIONS[name], [z])


def test_a_callable_sees_complex_numbers_as_they_are() -> None:
    z = torch.tensor([1 + 2j, -3j])
    sigma = activation(torch.conj)
    assert torch.equal(sigma(z), z.conj())
    assert sigma.slope is None
    assert sigma.non_decreasing is None
    assert not sigma.named


@every_name
def test_a_name_and_its_activation_give_each_other(name: str) -> None:
    sigma = activation(name)
    assert sigma is ACTIVATIONS[name]
    assert sigma.name == name
    assert sigma.named
    assert activation(sigma) is sigma


def test_torchs_own_functions_have_names() -> None:
    for function in (torch.tanh, torch.sigmoid, torch.relu, torch.nn.functional.relu):
        assert activation(function).name == function.__name__
        assert activation(function).named


def test_a_namesake_is_not_the_named_one() -> None:
    def tanh(v: Tensor) -> Tensor:
        return v

    assert activation(tanh).name == "tanh"
    assert not activation(tanh).named
    assert not Activation("tanh", torch.tanh).named
    assert activation(torch.nn.Hardtanh()).name == "Hardtanh"


@pytest.mark.parametrize("bad", ["Tanh", "", None, 3, ["tanh"]])
def test_anything_else_is_an_error(bad: Any) -> None:
    with pytest.raises(InputError) as error:
        activation(bad, "sigma_1")
    assert str(error.value) == f"`sigma_1` must be one of {', '.join(NAMES)}, or a callable, but is {bad!r}"
