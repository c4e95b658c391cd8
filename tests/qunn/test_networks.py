"""URNN, CWRNN and ResetBeforeGRU against their formulas, and what must hold of each whatever its weights are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError
from qunn.exponential import exponential
from qunn.networks.urnn import modrelu
from qunn.sequence import SequenceModule
from tests.systems import rnn_reference as reference

SUMS = 1e-13  # rounding of sums of some ten numbers of size 1, over some ten steps


def array(t: Tensor | None) -> Any:
    return 0 if t is None else t.detach().numpy()


def random(*shape: int, seed: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- every network by name, and its reference ---


@dataclass(frozen=True)
class Kind:
    """How to build a module, and its weights as the reference's cell wants them."""

    make: Callable[..., SequenceModule]
    H: int
    cell: Callable[..., Any]
    weights: Callable[[Any, Any], dict[str, Any]]
    rest: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        return self.rest.get("dtype", torch.float64)

    def __call__(self, m: int, num_layers: int = 1, seed: int = 1, **rest: Any) -> Any:
        torch.manual_seed(seed)
        return self.make(m, self.H, num_layers, **{"dtype": torch.float64} | self.rest | rest)


def _gru(model: Any, layer: Any) -> dict[str, Any]:
    return {"W_ih": array(layer.weight_ih), "W_hh": array(layer.weight_hh), "b": array(layer.bias)}


def _cwrnn(model: Any, layer: Any) -> dict[str, Any]:
    weights = {"W_I": array(layer.weight_ih), "W_H": array(layer.weight_hh), "b": array(layer.bias)}
    return weights | {"periods": model.periods}


def split_tanh(z: Any) -> Any:
    return np.tanh(z.real) + 1j * np.tanh(z.imag)


SIGMA = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "split": split_tanh}


def _urnn(sigma: str) -> Callable[[Any, Any], dict[str, Any]]:
    def weights(model: Any, layer: Any) -> dict[str, Any]:
        function = SIGMA.get(sigma) or (lambda z: reference.modrelu(z, array(layer.modrelu_bias)))
        return {
            "W": array(layer.weight_hh),
            "V": array(layer.weight_ih),
            "b": array(layer.bias),
            "sigma": function,
        }

    return weights


def _cw(H: int, *periods: int) -> Kind:
    return Kind(qunn.CWRNN, H, reference.cwrnn, _cwrnn, {"periods": periods})


def _unitary(sigma: str, **rest: Any) -> Kind:
    return Kind(qunn.URNN, 5, reference.urnn, _urnn(sigma), rest)


COMPLEX = {"dtype": torch.complex128}
KINDS = {
    "reset-before GRU": Kind(qunn.ResetBeforeGRU, 5, reference.reset_before_gru, _gru, {}),
    "CW-RNN": Kind(qunn.CWRNN, 12, reference.cwrnn, _cwrnn, {}),
    "CW-RNN 1 3 4": _cw(9, 1, 3, 4),
    "CW-RNN 2 3": _cw(6, 2, 3),  # at l = 1, 5, 7 nothing runs; at 3 only the slower one
    "CW-RNN 2 2 2": _cw(3, 2, 2, 2),
    "CW-RNN 1": _cw(5, 1),
    "CW-RNN 3 50": _cw(4, 3, 50),
    "URNN": _unitary("modrelu"),
    "URNN tanh": _unitary("tanh", activation="tanh"),
    "URNN relu": _unitary("relu", activation=torch.relu),
    "URNN complex": _unitary("modrelu", **COMPLEX),
    "URNN complex tanh": _unitary("split", activation="tanh", **COMPLEX),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def data(kind: Kind, T: int, B: int, m: int, num_layers: int) -> tuple[Tensor, Tensor]:
    return random(T, B, m, dtype=kind.dtype), 0.5 * random(num_layers, B, kind.H, seed=3, dtype=kind.dtype)


def literal(kind: Kind, model: Any, x: Tensor, h: Tensor, step: int = 0, **wrong: Any) -> tuple[Tensor, Tensor]:
    """The reference, sequence by sequence."""
    weights = [kind.weights(model, layer) | wrong for layer in model.layers]
    outputs, last = [], []
    for i in range(x.shape[1]):
        y, end = reference.run_layers(kind.cell, x[:, i].numpy(), list(h[:, i].numpy()), weights, step)
        outputs.append(torch.from_numpy(y))
        last.append(torch.from_numpy(np.array(end)))
    return torch.stack(outputs, 1), torch.stack(last, 1)


def close(a: tuple[Any, ...], b: tuple[Any, ...], atol: float = SUMS) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=atol)


@every_kind
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_equals_the_formula(kind: Kind, num_layers: int, bias: bool) -> None:
    m, T, B = 3, 11, 3
    model = kind(m, num_layers, bias=bias)
    x, h = data(kind, T, B, m, num_layers)
    expected = literal(kind, model, x, h)
    close(model(x, h), expected)
    assert expected[0].abs().max() < 10
    assert expected[0].abs().mean() > 0.02


@every_kind
def test_equals_the_formula_with_one_feature_one_step_and_a_later_start(kind: Kind) -> None:
    model = kind(1)
    x, h = data(kind, 1, 1, 1, 1)
    for step in (0, 3, 4, 1000):
        close(model(x, h, step=step), literal(kind, model, x, h, step))


@every_kind
def test_single_precision_is_the_same_network(kind: Kind) -> None:
    model = kind(3, 2)
    x, h = data(kind, 11, 3, 3, 2)
    expected = model(x, h)
    single = {torch.float64: torch.float32, torch.complex128: torch.complex64}[kind.dtype]
    output, last = model.float()(x.to(single), h.to(single))
    assert output.dtype == last.dtype == single
    close((output.to(kind.dtype), last.to(kind.dtype)), expected, 1e-5)


@every_kind
def test_gradients(kind: Kind) -> None:
    model = kind(2, 2)
    x, h = data(kind, 4, 2, 2, 2)
    names, values = zip(*model.named_parameters(), strict=True)

    def outputs(x: Tensor, h: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x, h))

    inputs = [t.detach().clone().requires_grad_() for t in (x, h, *values)]
    assert torch.autograd.gradcheck(outputs, inputs)


@every_kind
@pytest.mark.parametrize("cuts", [(1,), (3, 4), (5, 8)])
def test_a_sequence_in_pieces_is_the_whole(kind: Kind, cuts: tuple[int, ...]) -> None:
    model = kind(3, 2)
    x, h = data(kind, 11, 3, 3, 2)
    expected = model(x, h, step=2)
    pieces, at = [], 2
    for piece in torch.tensor_split(x, cuts):
        output, h = model(piece, h, step=at)
        pieces.append(output)
        at += len(piece)
    close((torch.cat(pieces), h), expected)


@every_kind
def test_a_packed_sequence_is_its_sequences_one_by_one(kind: Kind) -> None:
    model = kind(3, 2, bidirectional=True)
    lengths = torch.tensor([6, 9, 2, 6])
    x, h = data(kind, 9, 4, 3, 4)
    output, last = model(pack_padded_sequence(x, lengths, enforce_sorted=False), h, step=1)
    padded, _ = pad_packed_sequence(output)
    for i, length in enumerate(lengths.tolist()):
        close((padded[:length, i], last[:, i]), model(x[:length, i], h[:, i], step=1))


@every_kind
def test_reset_parameters_follows_the_seed(kind: Kind) -> None:
    model = kind(3, 2, seed=5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.reset_parameters()
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    torch.manual_seed(5)
    model.reset_parameters()
    other = kind(3, 2, seed=5)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


@every_kind
def test_learns(kind: Kind) -> None:
    """The mean of the inputs so far, from a linear read-out: the error falls at least by half."""
    model = kind(1)
    x = random(12, 16, 1)
    target = x.cumsum(0) / torch.arange(1, 13)[:, None, None]
    read = nn.Linear(2 * kind.H if kind.dtype.is_complex else kind.H, 1, dtype=torch.float64)
    optimiser = torch.optim.Adam([*model.parameters(), *read.parameters()], 0.02)
    errors = []
    for _ in range(80):
        output = model(x)[0]
        flat = torch.view_as_real(output).flatten(-2) if output.is_complex() else output
        error = (read(flat) - target).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < errors[0] / 2


# --- the references themselves, and torch's two gated networks ---


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("theirs", "cell", "parts"),
    [(nn.RNN, reference.elman, 1), (nn.LSTM, reference.lstm, 2), (nn.GRU, reference.torch_gru, 1)],
)
def test_the_reference_is_torchs(theirs: Any, cell: Any, parts: int, num_layers: int) -> None:
    torch.manual_seed(0)
    model = theirs(3, 5, num_layers, dtype=torch.float64)
    x = random(7, 3)
    start = [random(num_layers, 5, seed=4 + i) for i in range(parts)]
    names = ("W_ih", "W_hh", "b_ih", "b_hh")
    weights = [dict(zip(names, map(array, layer), strict=True)) for layer in model.all_weights]
    first = [part.numpy() for part in start]
    states = [tuple(part[q] for part in first) if parts == 2 else first[0][q] for q in range(num_layers)]
    output, last = reference.run_layers(cell, x.numpy(), states, weights)
    expected, end = model(x, tuple(start) if parts == 2 else start[0])
    close((torch.from_numpy(output),), (expected,))
    for p, part in enumerate(end if parts == 2 else (end,)):
        close((torch.from_numpy(np.array([s[p] if parts == 2 else s for s in last])),), (part,))


def _grus(r_bias: float = 0.0) -> tuple[qunn.ResetBeforeGRU, nn.GRU]:
    """Ours and torch's with the same weights; z's sign is turned, so that both weigh old and new alike."""
    torch.manual_seed(1)
    ours = qunn.ResetBeforeGRU(3, 5, dtype=torch.float64)
    theirs = nn.GRU(3, 5, dtype=torch.float64)
    layer: Any = ours.layers[0]
    z = slice(5, 10)
    with torch.no_grad():
        layer.bias[:5] += r_bias
        for mine, name in (
            (layer.weight_ih, "weight_ih_l0"),
            (layer.weight_hh, "weight_hh_l0"),
            (layer.bias, "bias_ih_l0"),
        ):
            p = theirs.get_parameter(name)
            p.copy_(mine)
            p[z] *= -1
        theirs.bias_hh_l0.zero_()
    return ours, theirs


def test_the_reset_comes_before_the_product_and_not_after_as_in_torch() -> None:
    """Both directions: our weights in torch's order differ from ours, and are torch.nn.GRU once z is turned."""
    ours, theirs = _grus()
    kind = KINDS["reset-before GRU"]
    x, h = data(kind, 11, 3, 3, 1)
    after = Kind(kind.make, 5, reference.swapped_gru, kind.weights, {})
    mine, wrong = ours(x, h), literal(after, ours, x, h)
    close(wrong, theirs(x, h))
    assert (mine[0] - wrong[0]).abs().max() > 1e-2


def test_with_an_open_reset_gate_the_order_does_not_matter() -> None:
    ours, theirs = _grus(r_bias=50.0)
    x, h = data(KINDS["reset-before GRU"], 11, 3, 3, 1)
    close(ours(x, h), theirs(x, h))


def test_z_is_swapped_against_torch() -> None:
    """With torch's own weights, z unturned, the networks differ even where the order does not matter."""
    ours, theirs = _grus(r_bias=50.0)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
            theirs.get_parameter(name)[5:10] *= -1
    x, h = data(KINDS["reset-before GRU"], 11, 3, 3, 1)
    assert (ours(x, h)[0] - theirs(x, h)[0]).abs().max() > 1e-2


# --- URNN ---

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("H", [1, 2, 33])
def test_stays_unitary_while_trained(dtype: torch.dtype, H: int) -> None:
    """Large steps, weight decay and a huge parameter by hand: W†W = I to some rounding (measured: 5 ε at H = 64)."""
    torch.manual_seed(0)
    model = qunn.URNN(2, H, 2, dtype=dtype)
    bound = 20 * torch.finfo(dtype).eps
    assert model.unitarity_error() < bound
    layer: Any = model.layers[1]
    before = layer.weight_hh.detach().clone()
    optimiser = torch.optim.AdamW(model.parameters(), 0.3, weight_decay=0.1)
    x = random(6, 3, 2, dtype=dtype)
    for _ in range(15):
        optimiser.zero_grad()
        (model(x)[0] - 1).abs().square().mean().backward()
        optimiser.step()
        assert model.unitarity_error() < bound
    moved = (layer.weight_hh - before).abs().max()
    assert moved > 0.1 or (H == 1 and not dtype.is_complex)  # a rotation of one dimension is 1
    with torch.no_grad():
        layer.get_parameter("parametrizations.weight_hh.original").mul_(10)
    assert model.unitarity_error() < bound
    if not dtype.is_complex:
        assert torch.linalg.det(layer.weight_hh).item() == pytest.approx(1, abs=1e-4)


def test_unitarity_error_measures() -> None:
    """1.1 W is off by 0.21 in the spectral norm, and one layer in three is enough."""
    model = qunn.URNN(2, 4, 3, dtype=torch.complex128)
    assert model.unitarity_error() < 1e-14

    class Longer(nn.Module):
        def forward(self, W: Tensor) -> Tensor:
            return 1.1 * W

    nn.utils.parametrize.register_parametrization(model.layers[1], "weight_hh", Longer())
    assert model.unitarity_error() == pytest.approx(0.21)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_neither_vanishes_nor_explodes(dtype: torch.dtype) -> None:
    """Without input and activation the norm of the state, and of the gradient, is the same after 500 steps."""
    model = qunn.URNN(1, 8, activation="identity", bias=False, dtype=dtype)
    h = random(1, 1, 8, dtype=dtype).requires_grad_()
    v = random(1, 1, 8, seed=7, dtype=dtype)
    last = model(torch.zeros(500, 1, 1, dtype=dtype), h)[1]
    (last * v.conj()).sum().real.backward()
    assert h.grad is not None
    norm = torch.linalg.vector_norm
    torch.testing.assert_close(norm(last), norm(h), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm(h.grad), norm(v), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_first_angles_fill_the_circle(dtype: torch.dtype) -> None:
    """Wigner's semicircle of radius π: the mean square angle is π²/4 (its sample at H = 200 strays by a percent)."""
    torch.manual_seed(0)
    layer: Any = qunn.URNN(1, 200, dtype=dtype).layers[0]
    angles = torch.linalg.eigvals(layer.weight_hh.detach()).angle()
    assert angles.square().mean().item() == pytest.approx(np.pi**2 / 4, rel=0.04)
    assert layer.weight_ih.abs().square().mean().item() == pytest.approx(1 / 600, rel=0.2)


def test_the_whole_unitary_matrix_is_trained() -> None:
    """H² real parameters for a complex dtype, H(H-1)/2 for a real one: as many as the groups have dimensions."""
    for dtype, dimensions in ((torch.complex128, 25), (torch.float64, 10)):
        torch.manual_seed(0)
        layer: Any = qunn.URNN(1, 5, dtype=dtype).layers[0]
        X = layer.get_parameter("parametrizations.weight_hh.original").detach()

        def W(parts: Tensor, layer: Any = layer) -> Tensor:
            X = torch.view_as_complex(parts) if parts.dim() == 3 else parts
            out = layer.parametrizations.weight_hh[0](X)
            return torch.view_as_real(out) if out.is_complex() else out

        parts = torch.view_as_real(X) if X.is_complex() else X
        J = torch.autograd.functional.jacobian(W, parts).reshape(parts.numel(), parts.numel())
        assert torch.linalg.matrix_rank(J, tol=1e-6) == dimensions


def test_without_the_recurrence_over_time_it_has_no_memory() -> None:
    """Eq. (28) as printed (E15) is this network with W K left out: it forgets, ours does not."""
    kind = KINDS["URNN complex"]
    model = kind(3)
    x, h = data(kind, 11, 3, 3, 1)
    printed = literal(kind, model, x, h, W=np.zeros((5, 5)))
    assert (model(x, h)[0] - printed[0]).abs().max() > 0.1


def test_modrelu_shifts_the_modulus_and_keeps_the_phase() -> None:
    z = torch.tensor([3 + 4j, -3j, 0.1, 0, -2], dtype=torch.complex128)
    b = torch.tensor([-1.0, 0.5, -0.2, 0.7, 0.0], dtype=torch.float64)
    expected = torch.tensor([0.8 * (3 + 4j), -3.5j, 0, 0, -2], dtype=torch.complex128)
    torch.testing.assert_close(modrelu(z, b), expected)
    real = torch.tensor([5.0, -3.0, 0.1, 0.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(modrelu(real, b), torch.tensor([4.0, -3.5, 0, 0, -2], dtype=torch.float64))
    for values in (z, real):
        torch.testing.assert_close(modrelu(values, b).numpy(), reference.modrelu(values.numpy(), b.numpy()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_modrelu_is_finite_at_zero_and_next_to_it(dtype: torch.dtype) -> None:
    kind = torch.finfo(dtype)
    for size in (0.0, kind.tiny / 4, kind.tiny, 2 * kind.tiny / kind.eps, 1.0):
        z = torch.tensor([size, -size], dtype=dtype, requires_grad=True)
        b = torch.tensor([1000.0, -1000.0], dtype=dtype.to_real(), requires_grad=True)
        modrelu(z, b).abs().sum().backward()
        assert z.grad is not None
        assert b.grad is not None
        assert torch.isfinite(torch.cat([z.grad, b.grad])).all()
    output = qunn.URNN(2, 3, bias=False, dtype=dtype)(torch.zeros(4, 1, 2, dtype=dtype))[0]
    assert not output.any()


def test_conversions_change_all_parts_of_a_complex_network() -> None:
    model = qunn.URNN(2, 5, dtype=torch.complex64)

    def kinds() -> set[torch.dtype]:
        return {p.dtype for p in model.parameters()}

    assert kinds() == {torch.complex64, torch.float32}
    before = model.layers[0].get_parameter("weight_ih").detach().clone()
    assert kinds() == {torch.complex64, torch.float32}
    nn.Sequential(model).double()
    assert kinds() == {torch.complex128, torch.float64}
    assert model.unitarity_error() < 20 * torch.finfo(torch.float64).eps
    assert torch.equal(model.layers[0].get_parameter("weight_ih"), before.to(torch.complex128))
    model.to(torch.float32)
    assert kinds() == {torch.complex64, torch.float32}
    assert torch.equal(model.layers[0].get_parameter("weight_ih"), before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: complex modules are a new feature
        model.to(torch.complex128)
        assert kinds() == {torch.complex128, torch.float64}
        assert {p.dtype for p in qunn.URNN(2, 5).to(torch.complex128).parameters()} == {torch.float64}
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_one_exponential_serves_a_packed_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("qunn.networks.urnn.exponential", lambda A: calls.append(1) or exponential(A))
    model = qunn.URNN(2, 3)
    calls.clear()
    lengths = torch.tensor([5, 4, 3, 1])
    model(pack_padded_sequence(torch.zeros(5, 4, 2), lengths))
    assert len(calls) == 1
    model(torch.zeros(5, 4, 2))
    assert len(calls) == 2  # nothing is kept between calls: the parameters may have moved


# --- CW-RNN ---

CLOCKS = [name for name in KINDS if name.startswith("CW-RNN")]
every_clock = pytest.mark.parametrize("name", CLOCKS)


def units(model: Any) -> list[tuple[int, slice]]:
    """(period, units) of every module."""
    k = model.hidden_size // len(model.periods)
    return [(period, slice(i * k, (i + 1) * k)) for i, period in enumerate(model.periods)]


@every_clock
def test_an_inactive_module_keeps_its_state_to_the_bit(name: str) -> None:
    kind = KINDS[name]
    model = kind(3)
    x, h = data(kind, 25, 3, 3, 1)
    states = torch.cat([h, model(x, h)[0]])
    for period, rows in units(model):
        for l in range(25):  # noqa: E741
            same = torch.equal(states[l + 1, :, rows], states[l, :, rows])
            assert same == (l % period != 0)


@pytest.mark.parametrize("name", ["CW-RNN 2 3", "CW-RNN 2 2 2", "CW-RNN 3 50"])
def test_where_all_modules_sleep_the_gradient_passes_to_the_bit(name: str) -> None:
    kind = KINDS[name]
    model = kind(3)
    x, h = data(kind, 1, 2, 3, 1)
    h.requires_grad_()
    output, _ = model(x, h, step=1)
    v = random(*output.shape, seed=9)
    (gradient,) = torch.autograd.grad(output, h, v)
    assert torch.equal(gradient, v)
    assert torch.equal(output, h)


@every_clock
def test_a_slower_module_never_hears_of_a_faster_one(name: str) -> None:
    kind = KINDS[name]
    model = kind(3)
    x, h = data(kind, 9, 1, 3, 1)
    for i, (_, rows) in enumerate(units(model)):
        start = h.clone().requires_grad_()
        model(x, start)[0][..., rows].sum().backward()
        assert start.grad is not None
        for j, (_, columns) in enumerate(units(model)):
            heard = start.grad[..., columns]
            assert heard.any() if j >= i else not heard.any()


@every_clock
def test_the_zero_blocks_stay_zero_while_trained(name: str) -> None:
    model = KINDS[name](2, 2)
    x = random(9, 3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.1)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(10):
        optimiser.zero_grad()
        (model(x)[0] - 1).square().mean().backward()
        for layer in model.layers:
            assert not layer.weight_hh.grad[~layer.sees].any()
        optimiser.step()
    for layer in model.layers:
        blocks = [(i, j) for i in range(len(model.periods)) for j in range(len(model.periods))]
        for i, j in blocks:
            block = layer.weight_hh[units(model)[i][1], units(model)[j][1]]
            assert block.all() if j >= i else not block.any()
            assert torch.equal(layer.recurrent_weight()[units(model)[i][1], units(model)[j][1]], block)
    assert all((p - q).abs().max() > 0.01 for p, q in zip(model.parameters(), before, strict=True))


def test_the_mask_holds_against_weights_set_by_hand() -> None:
    kind = KINDS["CW-RNN 1 3 4"]
    model = kind(3)
    x, h = data(kind, 9, 2, 3, 1)
    expected = model(x, h)
    layer: Any = model.layers[0]
    with torch.no_grad():
        layer.weight_hh.masked_fill_(~layer.sees, 7.0)
    close(model(x, h), expected, 0)


def test_one_period_of_one_is_an_elman_network() -> None:
    model = KINDS["CW-RNN 1"](3)
    theirs = nn.RNN(3, 5, dtype=torch.float64)
    layer: Any = model.layers[0]
    with torch.no_grad():
        for name, p in (
            ("weight_ih_l0", layer.weight_ih),
            ("weight_hh_l0", layer.weight_hh),
            ("bias_ih_l0", layer.bias),
        ):
            theirs.get_parameter(name).copy_(p)
        theirs.bias_hh_l0.zero_()
    x, h = data(KINDS["CW-RNN 1"], 9, 2, 3, 1)
    close(model(x, h), theirs(x, h))


@pytest.mark.parametrize("name", ["CW-RNN", "CW-RNN 1 3 4", "CW-RNN 2 3"])
def test_equation_29_as_printed_is_another_network(name: str) -> None:
    """Zero rows for inactive modules: their states are lost."""
    kind = KINDS[name]
    model = kind(3)
    x, h = data(kind, 11, 3, 3, 1)
    zeroed = literal(kind, model, x, h, asleep="zero")
    close(model(x, h), literal(kind, model, x, h, asleep="keep"))
    assert (model(x, h)[0] - zeroed[0]).abs().max() > 0.1


def test_pieces_need_their_step() -> None:
    model = KINDS["CW-RNN"](3)
    x, h = data(KINDS["CW-RNN"], 11, 3, 3, 1)
    _, middle = model(x[:3], h)
    assert (model(x[3:], middle)[0] - model(x, h)[0][3:]).abs().max() > 0.1


# --- arguments ---


@every_kind
def test_config_builds_it_again(kind: Kind) -> None:
    if kind.rest.get("activation") is torch.relu:
        assert kind(3).config()["activation"] == "relu"  # torch's own functions are known by their names
    model = kind(3, 2, bias=False, batch_first=True, dropout=0.25, bidirectional=True)
    again = type(model)(**model.config(), dtype=kind.dtype)
    assert repr(again) == repr(model)
    assert again.config() == model.config()
    assert {k: (v.shape, v.dtype) for k, v in again.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in model.state_dict().items()
    }


def test_prints_its_arguments() -> None:
    assert qunn.URNN(2, 3).extra_repr() == "2, 3"
    assert qunn.URNN(2, 3, activation="tanh", bias=False).extra_repr() == "2, 3, activation=tanh, bias=False"
    assert qunn.CWRNN(2, 4, 2).extra_repr() == "2, 4, num_layers=2, periods=(1, 2, 4, 8)"
    assert qunn.CWRNN(2, 4, periods=[2], bias=False).extra_repr() == "2, 4, periods=(2,), bias=False"
    assert qunn.ResetBeforeGRU(2, 3, bias=False, dropout=0.5).extra_repr() == "2, 3, dropout=0.5, bias=False"


def test_follows_the_default_dtype_and_the_device() -> None:
    for make in (qunn.URNN, qunn.CWRNN, qunn.ResetBeforeGRU):
        assert {p.dtype for p in make(2, 4).parameters()} == {torch.float32}
        tensors = [*make(2, 4, device="meta").parameters(), *make(2, 4, device="meta").buffers()]
        assert {t.device.type for t in tensors} == {"meta"}


def test_a_callable_activation_runs_but_has_no_name() -> None:
    model = qunn.URNN(2, 3, activation=lambda z: z / 2, dtype=torch.float64)
    named = qunn.URNN(2, 3, activation="identity", dtype=torch.float64)
    named.load_state_dict(model.state_dict())
    x = random(1, 1, 2)
    torch.testing.assert_close(model(x)[0] * 2, named(x)[0])
    with pytest.raises(InputError, match=r"^`activation` must be a name, for a model that is saved, but is <function"):
        model.config()


NAMES = "identity, tanh, sigmoid, relu, leaky_relu, softplus, elu, sin, gelu"
INTEGER = "an integer of at least 1"
REAL = "a real floating-point dtype"


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (qunn.URNN, {"hidden_size": 0}, f"`hidden_size` must be {INTEGER}, but is 0"),
        (qunn.URNN, {"input_size": -1}, f"`input_size` must be {INTEGER}, but is -1"),
        (qunn.URNN, {"hidden_size": 3.0}, f"`hidden_size` must be {INTEGER}, but is 3.0"),
        (
            qunn.URNN,
            {"activation": "max"},
            f"`activation` must be one of modrelu, {NAMES}, or a callable, but is 'max'",
        ),
        (qunn.URNN, {"activation": 3}, f"`activation` must be one of {NAMES}, or a callable, but is 3"),
        (
            qunn.URNN,
            {"dtype": torch.int64},
            "`dtype` must be one of float32, float64, complex64, complex128, but is torch.int64",
        ),
        (qunn.URNN, {"dropout": 2}, "`dropout` must be a probability in [0, 1], but is 2"),
        (qunn.URNN, {"num_layers": 0}, f"`num_layers` must be {INTEGER}, but is 0"),
        (qunn.ResetBeforeGRU, {"hidden_size": True}, f"`hidden_size` must be {INTEGER}, but is True"),
        (qunn.ResetBeforeGRU, {"input_size": "3"}, f"`input_size` must be {INTEGER}, but is '3'"),
        (qunn.ResetBeforeGRU, {"dtype": torch.complex64}, f"`dtype` must be {REAL}, but is torch.complex64"),
        (qunn.CWRNN, {"dtype": torch.complex64}, f"`dtype` must be {REAL}, but is torch.complex64"),
        (qunn.CWRNN, {"input_size": 0}, f"`input_size` must be {INTEGER}, but is 0"),
        (qunn.CWRNN, {"hidden_size": "8"}, f"`hidden_size` must be {INTEGER}, but is '8'"),
        (
            qunn.CWRNN,
            {"hidden_size": 6},
            "`hidden_size` must be a multiple of 4, the number of periods, but is 6",
        ),
        (qunn.CWRNN, {"periods": ()}, "`periods` must be a non-empty list of integers, but is ()"),
        (qunn.CWRNN, {"periods": 2}, "`periods` must be a non-empty list of integers, but is 2"),
        (qunn.CWRNN, {"periods": "12"}, "`periods` must be a non-empty list of integers, but is '12'"),
        (qunn.CWRNN, {"periods": (0, 1)}, f"`periods` must be {INTEGER}, but is 0"),
        (qunn.CWRNN, {"periods": (1, 2.0)}, f"`periods` must be {INTEGER}, but is 2.0"),
        (qunn.CWRNN, {"periods": (2, 1)}, "`periods` must be sorted, the shortest first, but is (2, 1)"),
    ],
)
def test_bad_arguments_are_named(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make(**{"input_size": 3, "hidden_size": 8} | arguments)
    assert str(error.value) == message
