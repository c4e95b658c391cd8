"""The ARNN as a module: the literal formulas, torch.nn.RNN's conventions, the way back, saving, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError
from qunn import ARNN
from qunn.sequence import State
from tests.systems import arnn_reference

SCHEMES = ("symplectic-euler", "leapfrog", "forward-euler")
REVERSIBLE = SCHEMES[:2]
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
# sums of at most 30 terms of order 1 over at most 12 steps, in units of ε
ROUNDINGS = 200


def model(*sizes: int, seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> ARNN:
    torch.manual_seed(seed)
    return ARNN(*sizes, dtype=dtype, **options)


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def first_state(net: ARNN, batch: int, seed: int = 2) -> Any:
    layer = net._layer(0)
    rows = len(net.layers)
    parts = tuple(normal(rows, batch, n, seed=seed + i, dtype=layer.state_dtype) for i, n in enumerate(net.state_sizes))
    return parts[0] if len(parts) == 1 else parts


def parts_of(h: Any) -> State:
    return h if isinstance(h, tuple) else (h,)


def literal(net: ARNN, x: Tensor, h_0: Any, sigma: str = "tanh") -> tuple[np.ndarray, list[np.ndarray]]:
    """The reference's outputs [T, B, o] and last states, [rows, B, H] each, from the module's weights."""
    layers = []
    for q in range(net.num_layers):
        pair = [net._layer(q * net.directions + d) for d in range(net.directions)]
        layers.append(
            [
                {
                    "scheme": net.run.scheme.name,
                    "h": net.run.h,
                    "gamma": net.diffusion,
                    "W": layer.weight.detach().numpy(),
                    "V": layer.weight_in.detach().numpy(),
                    "b": np.zeros(net.hidden_size) if layer.bias is None else layer.bias.detach().numpy(),
                }
                for layer in pair
            ]
        )
    outputs, ends = [], []
    for n in range(x.shape[1]):
        start = [
            [tuple(part[q * net.directions + d, n].numpy() for part in parts_of(h_0)) for d in range(net.directions)]
            for q in range(net.num_layers)
        ]
        ys, end = arnn_reference.network(layers, x[:, n].numpy(), start, sigma)
        outputs.append(ys)
        ends.append([np.stack(parts) for pair in end for parts in pair])  # rows of [parts, H]
    last = np.array(ends)  # [B, rows, parts, H]
    return np.stack(outputs, 1), [last[:, :, i].transpose(1, 0, 2) for i in range(last.shape[2])]


def tolerance(net: ARNN) -> float:
    grid = 0.0 if not net.reversible else 20 * 2.0**-net.fraction_bits
    return ROUNDINGS * torch.finfo(net._layer(0).input_dtype).eps + grid


def close(found: Tensor, wanted: Any, net: ARNN) -> None:
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=0, atol=tolerance(net))


# ------------------------------------------------------------------------------- the formulas


MODES = [
    (scheme, reversible) for scheme in SCHEMES for reversible in (False, True) if scheme != SCHEMES[2] or not reversible
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("scheme", "reversible"), MODES)
def test_forward_is_the_literal_formula(scheme: str, reversible: bool, dtype: torch.dtype) -> None:
    net = model(3, 7, 2, scheme=scheme, h=0.37, reversible=reversible, dtype=dtype)
    x, h_0 = normal(5, 3, 3, dtype=dtype), first_state(net, 3)
    output, h_n = net(x, h_0)
    wanted, last = literal(net, x, h_0)
    assert output.dtype == dtype
    close(output, wanted, net)
    for part, end in zip(parts_of(h_n), last, strict=True):
        assert part.dtype == net._layer(0).state_dtype
        close(part, end, net)


@pytest.mark.parametrize("sigma", sorted(arnn_reference.SIGMA))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_activations(scheme: str, sigma: str) -> None:
    net = model(2, 5, scheme=scheme, activation=sigma, dtype=torch.complex128)
    x, h_0 = normal(6, 2, 2, dtype=torch.complex128), first_state(net, 2)
    close(net(x, h_0)[0], literal(net, x, h_0, sigma)[0], net)


@pytest.mark.parametrize("weight", ["antisymmetric", "imaginary-symmetric"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_both_forms_of_weight(weight: str, dtype: torch.dtype) -> None:
    net = model(1, 6, weight=weight, bias=False, h=0.5, dtype=dtype)
    x, h_0 = normal(4, 2, 1, dtype=dtype), first_state(net, 2)
    close(net(x, h_0)[0], literal(net, x, h_0)[0], net)


def test_the_real_embedding_is_the_complex_network() -> None:
    """With the identity for σ and a purely real input, [Re Y; Im Y] of iS is the embedding's Y."""
    net = model(2, 3, weight="imaginary-symmetric", activation="identity", dtype=torch.complex128)
    twin = model(2, 6, weight="imaginary-symmetric", activation="identity")
    a, b = net._layer(0), twin._layer(0)
    with torch.no_grad():
        b.parametrizations.weight.original0.copy_(a.parametrizations.weight.original0)
        b.weight_in.copy_(torch.cat([a.weight_in.real, a.weight_in.imag]))
        b.bias.copy_(torch.cat([a.bias.real, a.bias.imag]))
    x = normal(20, 4, 2)
    Y, wanted = net(x)[0], twin(x)[0]
    torch.testing.assert_close(torch.cat([Y.real, Y.imag], -1), wanted, rtol=1e-13, atol=1e-13)


def test_diffusion_is_minus_gamma() -> None:
    net = model(2, 4, scheme="forward-euler", diffusion=0.8, h=0.3)
    x, h_0 = normal(9, 3, 2), first_state(net, 3)
    close(net(x, h_0)[0], literal(net, x, h_0)[0], net)
    assert not np.allclose(literal(model(2, 4, scheme="forward-euler", h=0.3), x, h_0)[0], net(x, h_0)[0].detach())


def test_without_h_0_the_state_is_zero() -> None:
    net = model(2, 4, 2)
    x = normal(5, 3, 2)
    zero = tuple(torch.zeros(2, 3, 4, dtype=torch.float64) for _ in range(2))
    assert torch.equal(net(x)[0], net(x, zero)[0])


# ------------------------------------------------------------------ torch.nn.RNN's conventions


@pytest.mark.parametrize("reversible", [False, True])
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_bidirectional(scheme: str, reversible: bool) -> None:
    net = model(3, 5, 2, scheme=scheme, bidirectional=True, reversible=reversible)
    x, h_0 = normal(6, 2, 3), first_state(net, 2)
    output, h_n = net(x, h_0)
    wanted, last = literal(net, x, h_0)
    assert output.shape == (6, 2, 10)
    assert h_n[0].shape == (4, 2, 5)
    close(output, wanted, net)
    close(h_n[0], last[0], net)
    close(h_n[1], last[1], net)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_batch_first_and_unbatched(scheme: str) -> None:
    net, twin = model(3, 5, 2, scheme=scheme), model(3, 5, 2, scheme=scheme, batch_first=True)
    x, h_0 = normal(6, 4, 3), first_state(net, 4)
    output, h_n = net(x, h_0)
    swapped, h_swapped = twin(x.transpose(0, 1), h_0)
    assert torch.equal(swapped.transpose(0, 1), output)
    one, h_one = net(x[:, 1], tuple(p[:, 1] for p in parts_of(h_0)) if isinstance(h_0, tuple) else h_0[:, 1])
    for a, b in zip(parts_of(h_n), parts_of(h_swapped), strict=True):
        assert torch.equal(a, b)
    assert one.shape == (6, 5)
    close(one, output[:, 1].detach(), net)
    for a, b in zip(parts_of(h_n), parts_of(h_one), strict=True):
        close(b, a[:, 1].detach(), net)


@pytest.mark.parametrize("reversible", [False, True])
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_packed_sequences_end_where_they_end(scheme: str, reversible: bool) -> None:
    net = model(2, 5, 2, scheme=scheme, bidirectional=True, reversible=reversible)
    lengths = [3, 7, 1, 7]
    x, h_0 = normal(7, 4, 2), first_state(net, 4)
    packed, h_n = net(pack_padded_sequence(x, lengths, enforce_sorted=False), h_0)
    assert isinstance(packed, PackedSequence)
    output, _ = pad_packed_sequence(packed)
    for n, length in enumerate(lengths):
        wanted, last = literal(net, x[:length, n : n + 1], tuple(part[:, n : n + 1] for part in h_0))
        close(output[:length, n], wanted[:, 0], net)
        close(h_n[0][:, n], last[0][:, 0], net)
        close(h_n[1][:, n], last[1][:, 0], net)
    packed.data.square().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters())


@pytest.mark.parametrize(("activation", "reversible"), [("tanh", False), ("tanh", True), ("sin", False)])
def test_only_the_last_output(activation: str, reversible: bool) -> None:
    options = {"bidirectional": True, "activation": activation, "reversible": reversible}
    whole, last = model(2, 5, 2, **options), model(2, 5, 2, return_sequence=False, **options)
    x = normal(9, 3, 2)
    output, h_n = whole(x)
    end, h_end = last(x)
    assert torch.equal(end, torch.cat([output[-1:, :, :5], output[:1, :, 5:]], -1))
    assert torch.equal(h_n[0], h_end[0])
    (output[-1, :, :5].sum() + output[0, :, 5:].square().sum()).backward()
    (end[0, :, :5].sum() + end[0, :, 5:].square().sum()).backward()
    for a, b in zip(whole.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-14)


def test_dropout_acts_between_layers_while_training() -> None:
    net = model(2, 6, 2, dropout=0.5)
    x = normal(5, 3, 2)
    assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])


@pytest.mark.parametrize("reversible", [False, True])
def test_a_sequence_may_be_cut(reversible: bool) -> None:
    """Cut between stretches of 128 steps, so that every product has the same shape: the same bits."""
    net = model(2, 6, reversible=reversible, h=0.9)
    x = normal(300, 2, 2)
    whole, h_n = net(x)
    first, h = net(x[:256])
    second, h = net(x[256:], h)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(h[0], h_n[0])


def test_a_state_of_the_modules_dtype_is_widened() -> None:
    net = model(2, 4, dtype=torch.float32, reversible=True)
    h_0 = tuple(torch.full((1, 3, 4), 0.1) for _ in range(2))
    output, h_n = net(normal(5, 3, 2, dtype=torch.float32), h_0)
    assert output.dtype == torch.float32
    assert h_n[0].dtype == torch.float64


# ------------------------------------------------------------------------------- the way back


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_reverse_is_exact_in_reversible_mode(scheme: str, dtype: torch.dtype) -> None:
    net = model(3, 7, 3, scheme=scheme, bidirectional=True, reversible=True, h=0.9, dtype=dtype)
    x = normal(400, 3, 3, dtype=dtype)
    start = net(x, first_state(net, 3))[1]  # on the grid
    output, h_n = net(x, start)
    h_0, again = net.reverse(h_n, x)
    assert torch.equal(again, output)
    for a, b in zip(start, h_0, strict=True):
        assert torch.equal(a, b)


def test_reverse_of_a_batch_first_and_of_an_unbatched_input() -> None:
    net = model(2, 6, 2, reversible=True, batch_first=True)
    x = normal(3, 50, 2)
    output, h_n = net(x)
    h_0, again = net.reverse(h_n, x)
    assert torch.equal(output, again)
    assert not any(bool(part.any()) for part in h_0)
    output, h_n = net(x[0])
    h_0, again = net.reverse(h_n, x[0])
    assert torch.equal(output, again)
    assert h_0[0].shape == (2, 6)


@pytest.mark.parametrize("activation", ["tanh", "sin"])
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_reverse_is_exact_up_to_rounding_otherwise(scheme: str, activation: str) -> None:
    net = model(2, 6, 2, scheme=scheme, activation=activation, dtype=torch.complex128)
    x, h_0 = normal(10, 3, 2, dtype=torch.complex128), first_state(net, 3)
    output, h_n = net(x, h_0)
    before, again = net.reverse(h_n, x)
    torch.testing.assert_close(again, output, rtol=0, atol=1e-12)
    for a, b in zip(before, h_0, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_plain_reversal_of_a_nonlinear_network_fails_where_the_grid_does_not() -> None:
    """Spec section 2: linearly stable (h|λ| = .9), and yet rounding grows by a factor of 10^12 and more."""
    errors = {}
    for reversible in (False, True):
        net = model(1, 6, scheme="leapfrog", reversible=reversible)
        (verdict,) = net.linear_stability()
        net = model(1, 6, scheme="leapfrog", reversible=reversible, h=0.1 * 0.9 / verdict.value)
        assert net.linear_stability()[0].stable
        x = normal(1000, 1, 1)
        h_0, _ = net.reverse(net(x)[1], x)
        errors[reversible] = max(float(part.abs().max()) for part in h_0)
    assert errors[True] == 0.0
    assert errors[False] > 1e-3


# ------------------------------------------------------------------------ weights, saving, errors


@pytest.mark.parametrize("weight", ["antisymmetric", "imaginary-symmetric"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_stay_anti_hermitian_while_training(weight: str, dtype: torch.dtype) -> None:
    net = model(2, 6, 2, weight=weight, dtype=dtype)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    before = net._layer(0).weight.detach().clone()
    for _ in range(5):
        optimiser.zero_grad()
        net(normal(8, 4, 2, dtype=dtype))[0].abs().square().mean().backward()
        optimiser.step()
        assert net.anti_hermitian_error() == 0.0
    assert not torch.allclose(net._layer(0).weight, before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_saved_and_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    options: dict[str, Any] = {"scheme": "leapfrog", "weight": "imaginary-symmetric", "h": 0.3, "bias": False}
    options |= {"reversible": True, "fraction_bits": 35, "bidirectional": True, "batch_first": True, "dropout": 0.25}
    net = model(3, 4, 2, activation="relu", return_sequence=False, dtype=dtype, **options)
    net.save(tmp_path / "net.safetensors")
    again = qunn.load(tmp_path / "net.safetensors")
    assert isinstance(again, ARNN)
    assert again.config() == net.config()
    assert again.config().items() >= options.items()
    assert repr(again) == repr(net)
    x = normal(2, 6, 3, dtype=dtype)
    assert torch.equal(net.eval()(x)[0], again.eval()(x)[0])


def test_the_names_of_the_parameters() -> None:
    names = ["weight_in", "bias", "parametrizations.weight.original"]
    assert list(model(2, 4, 2).state_dict()) == [f"layers.{q}.{name}" for q in range(2) for name in names]
    assert "layers.0.parametrizations.weight.original0" in model(2, 4, weight="imaginary-symmetric").state_dict()


def test_a_callable_cannot_be_saved_and_is_run_by_autograd(tmp_path: Path) -> None:
    net = model(2, 4, activation=torch.atan)
    output, _ = net(normal(4, 2, 2))
    output.sum().backward()
    with pytest.raises(InputError, match=r"`activation` must be one of .* to be saved, but is 'atan'"):
        net.save(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "rk4"}, "`scheme` must be one of symplectic-euler, leapfrog, forward-euler, but is 'rk4'"),
        ({"weight": "symmetric"}, "`weight` must be one of antisymmetric, imaginary-symmetric, but is 'symmetric'"),
        ({"h": 0.0}, "`h` must be a positive number, but is 0.0"),
        ({"h": -0.1}, "`h` must be a positive number, but is -0.1"),
        ({"h": float("nan")}, "`h` must be a positive number, but is nan"),
        ({"h": True}, "`h` must be a positive number, but is True"),
        ({"input_size": 0}, "`input_size` must be an integer of at least 1, but is 0"),
        ({"hidden_size": 2.5}, "`hidden_size` must be an integer of at least 1, but is 2.5"),
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1, but is 0"),
        ({"weight": "imaginary-symmetric"}, "`hidden_size` must be even for the real embedding .*, but is 5"),
        ({"diffusion": 0.1}, "`diffusion` must be 0 for symplectic-euler.*, but is 0.1"),
        ({"scheme": "forward-euler", "diffusion": -1.0}, "`diffusion` must be a number of at least 0, but is -1.0"),
        ({"scheme": "forward-euler", "reversible": True}, "`scheme` must be one of symplectic-euler, leapfrog to be"),
        ({"activation": "tan"}, "`activation` must be one of identity, tanh"),
        ({"activation": "sin", "reversible": True}, "`activation` must be one of .* in reversible mode, but is 'sin'"),
        ({"reversible": True, "fraction_bits": 52}, "`fraction_bits` must be an integer from 1 to 51, but is 52"),
        ({"reversible": True, "fraction_bits": 40.0}, "`fraction_bits` must be an integer from 1 to 51, but is 40.0"),
        ({"dtype": torch.float16}, "`dtype` must be one of float32, float64, complex64, complex128"),
        ({"dropout": 1.5}, r"`dropout` must be a probability in \[0, 1\], but is 1.5"),
    ],
)
def test_errors_of_the_constructor(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ARNN(**{"input_size": 3, "hidden_size": 5} | options)


def test_errors_of_calls() -> None:
    x = normal(4, 2, 2)
    with pytest.raises(InputError, match=r"`h_0` must be a tuple of 2 tensors, but is 'Tensor'"):
        model(2, 4)(x, x)
    packed = pack_padded_sequence(x, [4, 2])
    with pytest.raises(InputError, match=r"`input` must be a tensor where return_sequence=False"):
        model(2, 4, return_sequence=False)(packed)
    with pytest.raises(InputError, match=r"`scheme` must be one of symplectic-euler, leapfrog, but is 'forward-euler'"):
        model(2, 4, scheme="forward-euler").reverse(None, x)
    net = model(2, 4, 2, dropout=0.5)
    h_n = net(x)[1]
    with pytest.raises(InputError, match=r"`dropout` must be 0, or the model in eval mode"):
        net.reverse(h_n, x)
    net.eval().reverse(h_n, x)
    with pytest.raises(InputError, match=r"`h_n` must be the state after `input`, but is None"):
        net.reverse(None, x)
    with pytest.raises(InputError, match=r"`input` must be a tensor to be reversed, but is 'PackedSequence'"):
        net.reverse(h_n, packed)


def test_states_beyond_the_grid_are_refused() -> None:
    net = model(1, 4, reversible=True, fraction_bits=48, activation="identity", h=5.0)
    with pytest.raises(InputError, match=r"`fraction_bits` must leave room for the states, .* but is 48: .* = 16"):
        net(normal(200, 1, 1))


@pytest.mark.parametrize("name", ["bias", "reversible", "return_sequence", "batch_first", "bidirectional"])
def test_flags_are_true_or_false(name: str) -> None:
    with pytest.raises(InputError, match=rf"^`{name}` must be True or False, but is 'no'$"):
        qunn.ARNN(3, 6, **{name: "no"})
