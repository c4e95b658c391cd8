"""Known networks as members of the family: `as_odernn(module)` against the module, and against the formulas."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError
from qunn import as_odernn
from qunn.odernn import ODERNN
from tests.systems import rnn_reference as reference

F64, C128 = torch.float64, torch.complex128
EXACT = 1e-12  # the maximal difference that is asked for, in float64 over 50 steps
T, B, M, H = 50, 4, 3, 5


def random(*shape: int, seed: int = 2, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


#: name -> (its module of m inputs and L layers, n and t of the ODERNN, parts of the state)
Make = Callable[..., Any]
TORCH: dict[str, tuple[Make, tuple[int, int]]] = {
    "RNN": (lambda m, L, **k: nn.RNN(m, H, L, dtype=F64, **k), (1, 1)),
    "RNN relu": (lambda m, L, **k: nn.RNN(m, H, L, nonlinearity="relu", dtype=F64, **k), (1, 1)),
    "LSTM": (lambda m, L, **k: nn.LSTM(m, H, L, dtype=F64, **k), (2, 1)),
    "GRU": (lambda m, L, **k: nn.GRU(m, H, L, dtype=F64, **k), (2, 1)),
}


def arnn(scheme: str, **more: Any) -> Make:
    return lambda m, L, **k: qunn.ARNN(m, 6, L, scheme=scheme, **{"dtype": F64} | more | k)


def urnn(**more: Any) -> Make:
    return lambda m, L, **k: qunn.URNN(m, H, L, **{"dtype": F64} | more | k)


OURS: dict[str, tuple[Make, tuple[int, int]]] = {
    "URNN": (urnn(), (1, 1)),
    "URNN tanh": (urnn(activation="tanh"), (1, 1)),
    "URNN complex": (urnn(dtype=C128), (1, 1)),
    "URNN complex tanh": (urnn(activation="tanh", dtype=C128), (1, 1)),
    "CW-RNN": (lambda m, L, **k: qunn.CWRNN(m, 6, L, periods=(1, 2, 5), dtype=F64, **k), (1, 1)),
    "reset-before GRU": (lambda m, L, **k: qunn.ResetBeforeGRU(m, H, L, dtype=F64, **k), (2, 1)),
    "TorchRNN": (lambda m, L, **k: qunn.TorchRNN("lstm", m, H, L, dtype=F64, **k), (2, 1)),
    "symplectic Euler": (arnn("symplectic-euler"), (2, 1)),
    "symplectic Euler, iS": (arnn("symplectic-euler", weight="imaginary-symmetric", h=0.3), (2, 1)),
    "symplectic Euler, complex": (arnn("symplectic-euler", weight="imaginary-symmetric", dtype=C128), (2, 1)),
    "leapfrog": (arnn("leapfrog"), (2, 2)),
    "leapfrog, sin": (arnn("leapfrog", activation="sin", h=0.2), (2, 2)),
    "forward Euler": (arnn("forward-euler", diffusion=0.3), (1, 1)),
    "forward Euler, complex": (arnn("forward-euler", dtype=C128), (1, 1)),
}
ALL = TORCH | OURS
every_torch = pytest.mark.parametrize("name", TORCH)
every_own = pytest.mark.parametrize("name", OURS)
every_one = pytest.mark.parametrize("name", ALL)


def build(name: str, m: int = M, L: int = 1, seed: int = 1, **more: Any) -> Any:
    """A module with random weights, also where it starts from zeros or near them."""
    torch.manual_seed(seed)
    module = ALL[name][0](m, L, **more)
    with torch.no_grad():
        for key, p in module.named_parameters():
            if "bias" in key:
                p.add_(0.3 * torch.randn_like(p))
    return module.eval()


def dtype_of(module: Any) -> torch.dtype:
    return C128 if any(p.is_complex() for p in module.parameters()) else F64


def state_of(module: Any, L: int, batch: int = B, seed: int = 7) -> Any:
    """Random h_0, as the module wants it."""
    with torch.no_grad():
        _, last = module(torch.zeros(1, batch, M, dtype=dtype_of(module)))
    drawn = [
        0.5 * random(*p.shape, seed=seed + i, dtype=p.dtype)
        for i, p in enumerate(last if type(last) is tuple else [last])
    ]
    return tuple(drawn) if type(last) is tuple else drawn[0]


def parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def difference(a: Any, b: Any) -> float:
    """max|a - b| of output and state, relative where the numbers are larger than 1."""
    (x, h), (y, g) = a, b
    if isinstance(x, PackedSequence):
        for one, other in zip(x[1:], y[1:], strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)
        x, y = x.data, y.data
    assert type(h) is type(g)
    pairs = list(zip((x, *parts(h)), (y, *parts(g)), strict=True))
    assert all(p.shape == q.shape and p.dtype == q.dtype for p, q in pairs)
    return max(float((p - q).abs().max() / max(1.0, float(q.abs().max()))) for p, q in pairs)


# --- torch's networks ---


@every_torch
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("L", [1, 2, 3, 4])
def test_torch_networks_are_reproduced(name: str, L: int, bias: bool) -> None:
    for seed in range(3):
        module = build(name, L=L, seed=seed, bias=bias)
        x, h = random(T, B, M, seed=seed), state_of(module, L, seed=seed)
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(1.0 + seed / 2)
            expected = module(x, h)
            assert difference(as_odernn(module)(x, h), expected) <= EXACT
            assert difference(as_odernn(module)(x), module(x)) <= EXACT
        assert expected[0].abs().mean() > 1e-3


@every_one
def test_batch_first_unbatched_and_packed(name: str) -> None:
    L = 2
    module = build(name, L=L)
    member, h = as_odernn(module), state_of(module, L)
    dtype = dtype_of(module)
    x = random(9, B, M, dtype=dtype)
    turned, alone = build(name, L=L, batch_first=True), tuple(p[:, 1] for p in parts(h))
    one = alone if isinstance(h, tuple) else alone[0]
    packed = pack_padded_sequence(x, torch.tensor([4, 9, 1, 4]), enforce_sorted=False)
    with torch.no_grad():
        assert difference(as_odernn(turned)(x.transpose(0, 1), h), turned(x.transpose(0, 1), h)) <= EXACT
        assert difference(member(x[:, 1], one), module(x[:, 1], one)) <= EXACT
        assert difference(member(packed, h), module(packed, h)) <= EXACT
        assert pad_packed_sequence(member(packed)[0])[0].shape[:2] == (9, B)


@every_one
@pytest.mark.parametrize("L", [1, 2])
def test_gradients_of_weights_input_and_state_agree(name: str, L: int) -> None:
    """Where W is computed from a parameter, the gradient with respect to W itself."""
    module = build(name, L=L)
    member, h = as_odernn(module), state_of(module, L)
    dtype = dtype_of(module)
    x = random(20, B, M, dtype=dtype)
    gradients = []
    for net in (module, member):
        leaves = [x.clone().requires_grad_(), *(p.clone().requires_grad_() for p in parts(h))]
        output, last = net(leaves[0], tuple(leaves[1:]) if isinstance(h, tuple) else leaves[1])
        weight = random(*output.shape, seed=9, dtype=output.dtype)
        loss = (weight.conj() * output).real.sum() + sum(p.abs().square().sum() for p in parts(last))
        loss.backward()
        gradients.append([leaf.grad for leaf in leaves])
    for got, wanted in zip(*gradients, strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
    compared = 0
    for key, wanted in weights_of(module, name):
        got = dict(member.named_parameters())[key].grad
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
        compared += 1
    assert compared == len(list(member.named_parameters())) - (L if computed(module) else 0)


def computed(module: Any) -> bool:
    """Whether one weight of every layer is computed from a parameter of another shape or symmetry."""
    return isinstance(module, qunn.URNN | qunn.ARNN)


def weights_of(module: Any, name: str) -> list[tuple[str, Tensor]]:
    """The member's name for every parameter that both have, and its gradient in the module."""
    if name in (*TORCH, "TorchRNN"):
        found = []
        for key, p in module.named_parameters():
            base, _, q = key.removeprefix("rnn.").rpartition("_l")
            found.append((f"layers.{q}.source.{base}", p.grad))
        return found
    found = []
    for key, p in module.named_parameters():
        if "parametrizations" not in key:
            layers, q, base = key.split(".")
            found.append((f"{layers}.{q}.source.{base}", p.grad))
    return found


# --- this project's networks ---


@every_own
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("L", [1, 2])
def test_own_networks_are_reproduced(name: str, L: int, bias: bool) -> None:
    module = build(name, L=L, bias=bias)
    x, h = random(T, B, M, dtype=dtype_of(module)), state_of(module, L)
    clock = {"step": 3} if name == "CW-RNN" else {}
    with torch.no_grad():
        expected = module(x, h, **clock)
        assert difference(as_odernn(module)(x, h, **clock), expected) <= EXACT
    assert expected[0].abs().mean() > 0.03


def test_the_clock_starts_at_the_step_that_is_given() -> None:
    module = build("CW-RNN")
    member, x = as_odernn(module), random(7, B, M)
    with torch.no_grad():
        answers = [member(x, step=step)[0] for step in range(4)]
        for step, answer in enumerate(answers):
            assert float((answer - module(x, step=step)[0]).abs().max()) <= EXACT
            assert step == 0 or (answer - answers[0]).abs().max() > 1e-3
        first, h = member(x[:3], step=3)
        second, _ = member(x[3:], h, step=6)
        torch.testing.assert_close(torch.cat([first, second]), answers[3], rtol=0, atol=EXACT)


@every_one
def test_a_sequence_in_pieces_is_the_whole(name: str) -> None:
    module = build(name, L=2)
    member, x = as_odernn(module), random(9, B, M, dtype=dtype_of(module))
    with torch.no_grad():
        whole, h, pieces, at = member(x), None, [], 0
        for piece in torch.tensor_split(x, (1, 5)):
            output, h = member(piece, h, step=at)
            pieces.append(output)
            at += len(piece)
    assert difference((torch.cat(pieces), h), whole) <= EXACT


# --- a member stands on its own ---


@every_one
def test_the_original_is_neither_called_nor_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(name, L=2)
    x, h = random(9, B, M, dtype=dtype_of(module)), state_of(module, 2)
    with torch.no_grad():
        expected = module(x, h)
        kinds = {type(module), *(type(layer) for layer in getattr(module, "layers", [])), nn.RNN, nn.LSTM, nn.GRU}

        def never(*arguments: Any, **more: Any) -> None:
            raise AssertionError("the original was called")

        for kind in kinds:
            monkeypatch.setattr(kind, "scan" if hasattr(kind, "scan") else "forward", never)
        member = as_odernn(module)
        assert isinstance(member, ODERNN)
        for p in module.parameters():
            p.fill_(float("nan"))
        originals = {id(p) for p in module.parameters()}
        del module
        assert not originals & {id(p) for p in member.parameters()}
        assert difference(member(x, h), expected) <= EXACT


@every_one
def test_training_the_copy_leaves_the_original_alone(name: str) -> None:
    module = build(name, L=2)
    before = copy.deepcopy(module.state_dict())
    member, x = as_odernn(module), random(9, B, M, dtype=dtype_of(module))
    expected = member(x)[0].detach()
    optimiser = torch.optim.Adam(member.parameters(), 0.1)
    member(x)[0].abs().sum().backward()
    optimiser.step()
    assert all(torch.equal(p, before[key]) for key, p in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert (member(x)[0] - expected).abs().max() > 1e-3


@every_one
@pytest.mark.parametrize("grad", [True, False], ids=["in a graph", "in no_grad"])
def test_what_is_trained_is_copied(name: str, grad: bool) -> None:
    module = build(name, L=2)
    frozen = build(name, L=2).requires_grad_(False)
    with torch.set_grad_enabled(grad):
        assert all(p.requires_grad for p in as_odernn(module).parameters())
        assert not any(p.requires_grad for p in as_odernn(frozen).parameters())


def test_a_frozen_weight_stays_frozen_alone() -> None:
    module = build("LSTM", L=2)
    module.bias_ih_l1.requires_grad_(False)
    frozen = [key for key, p in as_odernn(module).named_parameters() if not p.requires_grad]
    assert frozen == ["layers.1.source.bias_ih"]


@every_one
def test_mode_dropout_and_order_of_axes_are_copied(name: str) -> None:
    module = build(name, L=2, dropout=0.5, batch_first=True)
    for mode in (True, False):
        member = as_odernn(module.train(mode))
        assert (member.training, member.dropout, member.batch_first) == (mode, 0.5, True)
    x = random(B, 9, M, dtype=dtype_of(module))
    with torch.no_grad():
        assert difference(member(x), module(x)) <= EXACT
        member.train()
        assert (member(x)[0] - member(x)[0]).abs().max() > 1e-3


@every_one
def test_all_tensors_are_where_the_original_was(name: str) -> None:
    """ "meta" stands for any other device than the first."""
    member = as_odernn(ALL[name][0](M, 2).to("meta"))
    assert {t.device.type for t in (*member.parameters(), *member.buffers())} == {"meta"}


@every_one
def test_single_precision(name: str) -> None:
    module = build(name)
    single = torch.complex64 if dtype_of(module) == C128 else torch.float32
    module = module.float() if single == torch.float32 else build(name, dtype=single) if name in OURS else module
    x = random(9, B, M, dtype=single)
    with torch.no_grad():
        got, expected = as_odernn(module)(x)[0], module(x)[0]
    assert got.dtype == expected.dtype == single
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@every_one
def test_n_and_t_are_those_of_the_structure(name: str) -> None:
    member = as_odernn(build(name, L=2))
    assert (member.n, member.t) == ALL[name][1]


def test_reset_parameters_keeps_what_the_network_stands_for() -> None:
    """W unitary, or anti-Hermitian; everything drawn anew."""
    for name, key in (("URNN", "weight_hh"), ("URNN complex", "weight_hh"), ("leapfrog", "weight")):
        member = as_odernn(build(name))
        before = member.state_dict()[f"layers.0.source.{key}"].clone()
        torch.manual_seed(5)
        member.reset_parameters()
        W = member.state_dict()[f"layers.0.source.{key}"]
        assert (W - before).abs().max() > 0.1
        wrong = W + W.mH if key == "weight" else W.mH @ W - torch.eye(len(W), dtype=W.dtype)
        assert wrong.abs().max() < 1e-13
    lstm = as_odernn(build("LSTM"))
    lstm.reset_parameters()
    assert 0.8 * H**-0.5 < max(float(p.detach().abs().max()) for p in lstm.parameters()) <= H**-0.5


# --- the GRU question: reset after the product, or before it ---


def gru_with_the_weights_of(module: Any) -> dict[str, Any]:
    """torch's weights, without the second bias, which the paper's formula has no place for."""
    return {"W_ih": module.weight_ih_l0.detach().numpy(), "W_hh": module.weight_hh_l0.detach().numpy()}


def literal(cell: Callable[..., Any], x: Tensor, h: Tensor, weights: dict[str, Any]) -> Tensor:
    """Sample by sample."""
    runs = [reference.run(cell, x[:, i].numpy(), h[0, i].numpy(), weights)[0] for i in range(x.shape[1])]
    return torch.from_numpy(np.stack(runs, 1))


def test_torchs_gru_is_its_own_formula_and_not_the_papers() -> None:
    module = build("GRU", bias=False)
    x, h, weights = random(T, B, M), 0.5 * random(1, B, H, seed=4), gru_with_the_weights_of(module)
    with torch.no_grad():
        output = as_odernn(module)(x, h)[0]
    torch.testing.assert_close(output, literal(reference.torch_gru, x, h, weights), rtol=0, atol=EXACT)
    for wrong in (reference.reset_before_gru, reference.swapped_gru):
        assert (output - literal(wrong, x, h, weights)).abs().max() > 0.01


def test_the_papers_gru_is_its_own_formula_and_not_torchs() -> None:
    module = build("reset-before GRU", bias=False)
    layer = module.layers[0]
    weights = {"W_ih": layer.weight_ih.detach().numpy(), "W_hh": layer.weight_hh.detach().numpy()}
    x, h = random(T, B, M), 0.5 * random(1, B, H, seed=4)
    with torch.no_grad():
        output = as_odernn(module)(x, h)[0]
    torch.testing.assert_close(output, literal(reference.reset_before_gru, x, h, weights), rtol=0, atol=EXACT)
    for wrong in (reference.torch_gru, reference.swapped_gru):
        assert (output - literal(wrong, x, h, weights)).abs().max() > 0.01


def test_a_swapped_update_gate_is_undone_by_the_sign_of_its_weights_and_the_reset_by_nothing() -> None:
    """With r = 1 (a large bias of the reset gate) the two networks agree up to that sign."""
    ours = build("reset-before GRU")
    torchs = nn.GRU(M, H, dtype=F64)
    with torch.no_grad():
        layer = ours.layers[0]
        layer.bias[:H] = 50.0
        sign = torch.cat([torch.ones(H, dtype=F64), -torch.ones(H, dtype=F64), torch.ones(H, dtype=F64)])
        torchs.weight_ih_l0.copy_(sign[:, None] * layer.weight_ih)
        torchs.weight_hh_l0.copy_(sign[:, None] * layer.weight_hh)
        torchs.bias_ih_l0.copy_(sign * layer.bias)
        torchs.bias_hh_l0.zero_()
        x = random(T, B, M)
        same = (as_odernn(ours)(x)[0] - as_odernn(torchs)(x)[0]).abs().max()
        layer.bias[:H] = 0.0
        torchs.bias_ih_l0[:H] = 0.0
        other = (as_odernn(ours)(x)[0] - as_odernn(torchs)(x)[0]).abs().max()
    assert same < EXACT
    assert other > 1e-3


# --- the formulas once more, and the cascade ---


def test_the_lstm_is_its_literal_formula() -> None:
    module = build("LSTM", L=2)
    x, (h, c) = random(T, B, M), state_of(module, 2)
    names = {"W_ih": "weight_ih_l", "W_hh": "weight_hh_l", "b_ih": "bias_ih_l", "b_hh": "bias_hh_l"}
    weights = [{k: getattr(module, f"{v}{q}").detach().numpy() for k, v in names.items()} for q in range(2)]
    with torch.no_grad():
        output, (h_n, c_n) = as_odernn(module)(x, (h, c))
    for i in range(B):
        states = [(h[q, i].numpy(), c[q, i].numpy()) for q in range(2)]
        y, last = reference.run_layers(reference.lstm, x[:, i].numpy(), states, weights)
        np.testing.assert_allclose(output[:, i].numpy(), y, rtol=0, atol=EXACT)
        np.testing.assert_allclose(h_n[:, i].numpy(), [end[0] for end in last], rtol=0, atol=EXACT)
        np.testing.assert_allclose(c_n[:, i].numpy(), [end[1] for end in last], rtol=0, atol=EXACT)


def test_a_layer_reads_the_new_output_of_the_layer_below_and_not_the_old_one() -> None:
    """The old one, h_l of layer 1 beside h_l of layer 2, differs by some .01."""
    torch.manual_seed(1)
    module = nn.LSTM(M, H, 2, dtype=F64)
    x = random(T, B, M)
    member = as_odernn(module)
    below, above = (ODERNN(member.equations[q]) for q in range(2))
    with torch.no_grad():
        between, _ = below(x)
        old = torch.cat([torch.zeros_like(between[:1]), between[:-1]])
        expected = module(x)[0]
        assert (above(between)[0] - expected).abs().max() <= EXACT
        assert 0.003 < (above(old)[0] - expected).abs().max() < 0.5


def test_x_of_the_step_before_is_not_read() -> None:
    """The x block of Y is overwritten: what it held before has no effect, not even on the first step."""
    module = build("LSTM")
    layer = as_odernn(module).equations[0]
    x, h = random(3, B, M), state_of(module, 1)
    with torch.no_grad():
        member = as_odernn(module)
        whole, _ = member(x, h)
        first, after = member(x[:1], h)
        second, _ = member(x[1:], after)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=0)
    assert layer.state_size == M + 2 * H
    assert member.state_sizes == (H, H)


# --- what is refused, word for word ---


KNOWN = "RNN, LSTM, GRU, ResetBeforeGRU, URNN, CWRNN, ARNN"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a linear map": (lambda: nn.Linear(2, 2), f"`module` must be one of {KNOWN}, but is 'Linear'"),
    "a cell": (lambda: nn.LSTMCell(2, 2), f"`module` must be one of {KNOWN}, but is 'LSTMCell'"),
    "no module": (lambda: "LSTM", f"`module` must be one of {KNOWN}, but is 'str'"),
    "a subclass": (lambda: type("Mine", (nn.LSTM,), {})(2, 2), f"`module` must be one of {KNOWN}, but is 'Mine'"),
    "both directions": (
        lambda: nn.LSTM(2, 2, bidirectional=True),
        "`module` must be unidirectional: Eqs. (2)-(4) run forward in time only, but is 'bidirectional'",
    ),
    "both directions of ours": (
        lambda: qunn.URNN(2, 2, bidirectional=True),
        "`module` must be unidirectional: Eqs. (2)-(4) run forward in time only, but is 'bidirectional'",
    ),
    "projection": (
        lambda: nn.LSTM(2, 3, proj_size=2),
        "`module` must be without a projection (`proj_size` 0), but is 2",
    ),
    "callable in a URNN": (
        lambda: qunn.URNN(2, 2, activation=torch.sin),
        "`module` must be a URNN with a named activation, one of modrelu, identity, tanh, sigmoid, relu, leaky_relu, "
        "softplus, elu, sin, gelu, but is 'sin'",
    ),
    "callable in an ARNN": (
        lambda: qunn.ARNN(2, 2, activation=torch.cos),
        "`module` must be an ARNN with a named activation, one of identity, tanh, sigmoid, relu, leaky_relu, softplus, "
        "elu, sin, gelu, but is 'cos'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_member_is_refused_in_one_line(name: str) -> None:
    make, message = REFUSED[name]
    module = make()
    with pytest.raises(InputError) as caught:
        as_odernn(module)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == message


@pytest.mark.parametrize("more", [{"reversible": True}, {"return_sequence": False}])
def test_an_arnn_on_a_grid_or_with_the_last_output_only_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^`module` must be an ARNN with reversible=False and return_sequence=True"):
        as_odernn(qunn.ARNN(2, 2, **more))


def test_a_member_refuses_what_torch_refuses() -> None:
    member = as_odernn(build("LSTM", L=2))
    x = random(5, B, M)
    for call, message in (
        (lambda: member(x[..., :2]), f"`input` must be of {M} features in its last dimension, but is (5, {B}, 2)"),
        (lambda: member(x, x), "`h_0` must be a tuple of 2 tensors, but is 'Tensor'"),
        (
            lambda: member(x, (x[:2, :, :2], x[:2, :, :2])),
            f"`h_0` must be of shape (2, {B}, {H}), but is (2, {B}, 2)",
        ),
        (
            lambda: member(x.float()),
            "`input` must be of dtype torch.float64, that of the module (`.to(float64)`), but is torch.float32",
        ),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_shared_and_computed_weights_are_read_as_they_are_used(kind: type[nn.Module]) -> None:
    tied = kind(5, 5, 2).double()
    tied.weight_hh_l1 = tied.weight_hh_l0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch: weight_norm is the old way, which people still use
        normed = torch.nn.utils.weight_norm(kind(5, 5).double(), "weight_hh_l0")
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    for module in (tied, normed):
        assert (as_odernn(module)(x)[0] - module(x)[0]).abs().max() < 1e-12


def test_an_empty_batch() -> None:
    x = torch.randn(4, 0, 3, dtype=torch.float64)
    for module in (nn.RNN(3, 5), nn.LSTM(3, 5), nn.GRU(3, 5)):
        assert as_odernn(module.double())(x)[0].shape == (4, 0, 5)
