"""Encodings: unit vectors, by their formulas, and one clear line where there is no direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hamiltonians import InputError
from qunn.quantum.encoders import AffineEncoder, AmplitudeEncoder, AngleEncoder, Encoder, make_encoder

TINY = 1e-15  # a few roundings of numbers of size 1


def random(*shape: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def affine(m: int, d: int = 3, dtype: torch.dtype = torch.float64) -> AffineEncoder:
    torch.manual_seed(1)
    return AffineEncoder(m, d, dtype=dtype)


ENCODERS: dict[str, Callable[[int], Encoder]] = {
    "affine": affine,
    "affine d = 1": lambda m: affine(m, 1),
    "angle": AngleEncoder,
    "angle x_max = 1": lambda m: AngleEncoder(m, x_max=1),
    "product": lambda m: AngleEncoder(m, product=True),
    "amplitude": AmplitudeEncoder,
    "amplitude a = -3": lambda m: AmplitudeEncoder(m, constant=-3),
    "amplitude a = 0": lambda m: AmplitudeEncoder(m, constant=0),
}
every_encoder = pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
every_size = pytest.mark.parametrize("m", [1, 2, 5])


def literal(encoder: Any, x: np.ndarray) -> np.ndarray:
    """The formula for one vector, entry by entry."""
    if isinstance(encoder, AngleEncoder):
        theta = [np.pi * one / (2 * encoder.x_max) for one in x]
        qubits = [np.array([np.cos(t), np.sin(t)]) for t in theta]
        if not encoder.product:
            return np.concatenate(qubits) / np.sqrt(len(x))
        Y = np.ones(1)
        for qubit in qubits:
            Y = np.kron(Y, qubit)
        return Y
    if isinstance(encoder, AmplitudeEncoder):
        v = np.append(x, encoder.constant) if encoder.constant else x
    else:
        v = encoder.linear.weight.detach().numpy() @ x + encoder.linear.bias.detach().numpy()
    return v / np.sqrt(np.sum(v**2))


@every_encoder
@every_size
def test_equals_the_formula(make: Callable[[int], Encoder], m: int) -> None:
    encoder, x = make(m), 2 * random(3, 4, m)
    Y = encoder(x)
    assert Y.shape == (3, 4, encoder.output_size)
    for i, j in np.ndindex(3, 4):
        np.testing.assert_allclose(Y[i, j].detach(), literal(encoder, x[i, j].numpy()), rtol=0, atol=TINY)
    torch.testing.assert_close(encoder(x[1, 2]), Y[1, 2], rtol=0, atol=TINY)


@every_encoder
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_vectors_have_length_1_whatever_the_scale(
    make: Callable[[int], Encoder], dtype: torch.dtype, scale: float
) -> None:
    """Squares of 1e-30 vanish in float32, and those of 1e30 overflow."""
    x = (scale * random(50, 3)).to(dtype)
    norm = make(3).to(dtype)(x).norm(dim=-1)
    assert norm.dtype == dtype
    assert (norm - 1).abs().max() < 4 * torch.finfo(dtype).eps


@every_encoder
@every_size
def test_gradients(make: Callable[[int], Encoder], m: int) -> None:
    encoder = make(m)
    parameters = tuple(encoder.parameters())

    def of(x: Tensor, *_: Tensor) -> Tensor:
        return encoder(x)

    assert torch.autograd.gradcheck(of, (random(2, 2, m).requires_grad_(), *parameters))


def test_angles_within_the_range_are_encoded_uniquely() -> None:
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    Y = AngleEncoder(1, x_max=2)(x)
    torch.testing.assert_close(torch.atan2(Y[:, 1], Y[:, 0]), x[:, 0] * (torch.pi / 4), rtol=0, atol=4e-16)
    torch.testing.assert_close(AngleEncoder(1, x_max=2)(x + 8), Y, rtol=0, atol=4e-15)  # period 4 x_max


@pytest.mark.parametrize("d", [2, 3, 7])
def test_affine_begins_with_rays_that_pass_the_origin(d: int) -> None:
    encoder = affine(4, d)
    A, a = encoder.linear.weight.detach().clone(), encoder.linear.bias.detach().clone()
    assert a.norm() == pytest.approx(1, abs=1e-15)
    assert (a @ A).abs().max() < 1e-15
    assert (A.norm(dim=0) - 0.5).abs().max() < 1e-15
    torch.manual_seed(5)
    encoder.reset_parameters()
    assert not torch.equal(encoder.linear.bias, a)
    again = affine(4, d)
    torch.manual_seed(5)
    again.reset_parameters()
    assert torch.equal(again.linear.weight, encoder.linear.weight)


def test_a_zero_vector_is_named_by_its_index() -> None:
    x = random(2, 3, 2)
    x[1, 2] = 0
    message = "`input` must not be zero for amplitude encoding, but is at index (1, 2): no unit vector"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        AmplitudeEncoder(2, constant=0)(x)
    AmplitudeEncoder(2)(x)
    encoder = affine(1, 2)
    with torch.no_grad():
        encoder.linear.weight.copy_(torch.tensor([[2.0], [-4.0]]))
        encoder.linear.bias.copy_(torch.tensor([1.0, -2.0]))
    message = "`input` must not be zero for affine encoding, but is at index (0, 1): no unit vector"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        encoder(torch.tensor([[[0.5], [-0.5]]], dtype=torch.float64))
    assert AmplitudeEncoder(2, constant=0)(x[:0]).shape == (0, 3, 2)


@every_encoder
def test_a_wrong_input_is_refused(make: Callable[[int], Encoder]) -> None:
    encoder, x = make(2), random(4, 3, 2)
    x[1, 2, 0] = torch.nan
    for wrong, message in (
        (x, "`input` must be finite, but is nan at index (1, 2, 0)"),
        (random(4, 3), "`input` must be of 2 features in its last dimension, but is (4, 3)"),
        (torch.tensor(1.0), "`input` must be of 2 features in its last dimension, but is ()"),
        ([1.0, 2.0], "`input` must be of 2 features in its last dimension, but is 'list'"),
        (random(4, 2).to(torch.complex128), "`input` must be real, of a floating-point dtype, but is torch.complex128"),
        (torch.ones(4, 2, dtype=torch.long), "`input` must be real, of a floating-point dtype, but is torch.int64"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            encoder(wrong)
    if any(True for _ in encoder.parameters()):
        with pytest.raises(InputError, match=r"`input` must be of dtype torch.float64, that of the module"):
            encoder(random(4, 2, dtype=torch.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AngleEncoder(0), "`input_size` must be an integer of at least 1, but is 0"),
        (lambda: AngleEncoder(21, product=True), "`input_size` must be at most 20 for a product of qubits"),
        (lambda: AngleEncoder(2, product="no"), "`product` must be True or False, but is 'no'"),  # type: ignore[arg-type]
        (lambda: AmplitudeEncoder(1, constant=1e39)(torch.ones(1)), "`constant` must be a number that torch.float32"),
        (lambda: AngleEncoder(1, x_max=0), "`x_max` must be a positive number, but is 0"),
        (lambda: AngleEncoder(1, x_max=float("inf")), "`x_max` must be a positive number, but is inf"),
        (lambda: AmplitudeEncoder(1.5), "`input_size` must be an integer of at least 1, but is 1.5"),
        (lambda: AmplitudeEncoder(1, constant=float("nan")), "`constant` must be a finite number, but is nan"),
        (lambda: AmplitudeEncoder(1, constant=True), "`constant` must be a finite number, but is True"),
        (lambda: AffineEncoder(1, 0), "`output_size` must be an integer of at least 1, but is 0"),
        (lambda: AffineEncoder(-1, 2), "`input_size` must be an integer of at least 1, but is -1"),
        (lambda: make_encoder("phase", 1, 2), "`encoding` must be one of affine, angle, amplitude, but is 'phase'"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize(("name", "d"), [("affine", 7), ("angle", 6), ("amplitude", 4)])
def test_encoders_by_name(name: str, d: int) -> None:
    encoder = make_encoder(name, 3, 7, dtype=torch.float64)
    assert (encoder.input_size, encoder.output_size) == (3, d)
    assert encoder(random(2, 3)).shape == (2, d)
