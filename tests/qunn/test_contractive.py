"""ContractiveRNN: two orbits with the same input never separate, before, while and after it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError
from qunn import ContractiveRNN, stability, tableaux
from qunn.activations import ACTIVATIONS
from qunn.equations import Equations
from qunn.fields import AffineField, Field, GradientField
from qunn.implicit import Solver
from qunn.networks.contractive import STABLE

F64, C128 = torch.float64, torch.complex128
NON_DECREASING = [name for name, sigma in ACTIVATIONS.items() if sigma.non_decreasing]
CHUNK = 2000  # pairs at once


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def network(seed: int = 0, **arguments: Any) -> ContractiveRNN:
    torch.manual_seed(seed)
    return ContractiveRNN(**({"input_size": 2, "hidden_size": 4, "dtype": F64} | arguments))


def separated(layer: Any, pairs: int, steps: int, seed: int) -> tuple[int, float]:
    """Steps in which a pair with one input separates, and the largest ratio; the literal check, by the layer itself."""
    g = torch.Generator().manual_seed(seed)
    worst, count = 0.0, 0
    dtype = layer.state_dtype
    for first in range(0, pairs, CHUNK):
        n = min(CHUNK, pairs - first)
        size = 10 ** (2 * torch.rand(n, 1, generator=g, dtype=F64) - 1)
        apart = 10 ** (5 * torch.rand(n, 1, generator=g, dtype=F64) - 4)
        Y = (size * torch.randn(n, layer.state_size, generator=g, dtype=F64)).to(dtype)
        Z = Y + (apart * torch.randn(n, layer.state_size, generator=g, dtype=F64)).to(dtype)
        x = torch.randn(steps, n, layer.input_size, generator=g, dtype=F64).to(dtype)
        with torch.no_grad():
            for step in range(steps):
                before, scale = (Y - Z).norm(dim=1), 1 + torch.maximum(Y.norm(dim=1), Z.norm(dim=1))
                _, (both,) = layer.scan(torch.cat([x[step], x[step]]).unsqueeze(0), (torch.cat([Y, Z]),), step)
                Y, Z = both.split(n)
                after = (Y - Z).norm(dim=1)
                rounding = 200 * torch.finfo(dtype).eps * (scale + Y.norm(dim=1))  # of the solver's tolerance too
                clear = before > 1e3 * rounding
                count += int((after > before + rounding).sum())
                worst = max(worst, float((after / before)[clear].max()) if bool(clear.any()) else 0.0)
    return count, worst


def never_separates(net: ContractiveRNN, pairs: int = 200, steps: int = 4, seed: int = 0) -> None:
    for layer in net.layers:
        count, worst = separated(layer, pairs, steps, seed)
        assert count == 0
        assert worst < 1 + 1e-6


# --- the invariant ---


@pytest.mark.parametrize("tableau", STABLE)
def test_no_tableau_separates_orbits(tableau: str) -> None:
    for h in (0.1, 10.0):
        never_separates(network(tableau=tableau, h=h, hidden_size=3))


@pytest.mark.parametrize("activation", NON_DECREASING)
@pytest.mark.parametrize("dtype", [F64, C128, torch.float32], ids=str)
def test_no_activation_separates_orbits(activation: str, dtype: torch.dtype) -> None:
    net = network(activation=activation, dtype=dtype, num_layers=2, inner=7)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    never_separates(net)
    report = stability.report(net, pairs=32, steps=3)
    assert report.contractive is True


def train(
    net: ContractiveRNN, optimizer: torch.optim.Optimizer, epochs: int, pairs: int, every: int = 1
) -> list[float]:
    """Epochs on a small task, the orbits compared before the first, after some, and after the last."""
    x, wanted = normal(12, 16, 2), normal(16, net.hidden_size, seed=2)
    losses = []
    never_separates(net, pairs, steps=2)
    for epoch in range(epochs):
        optimizer.zero_grad()
        output, _ = net(x)
        loss = (output[-1] - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if epoch % every == 0:
            never_separates(net, pairs, steps=2, seed=epoch)
            found = net.invariants()
            assert found["contraction_violations"] == 0
            assert found["largest_step_ratio"] <= 1 + 1e-6
    never_separates(net, pairs, steps=2, seed=epochs)
    return losses


def optimiser(kind: str, net: ContractiveRNN) -> torch.optim.Optimizer:
    if kind == "adam":
        return torch.optim.Adam(net.parameters(), lr=0.3)
    return torch.optim.SGD(net.parameters(), lr=2.0)


@pytest.mark.parametrize(
    ("tableau", "kind"),
    [
        ("implicit_midpoint", "adam"),
        ("gauss2", "sgd"),
        ("lobatto_iiic3", "sgd"),
        ("sdirk23", "adam"),
        *(
            pytest.param(tableau, kind, marks=[pytest.mark.slow, pytest.mark.exhaustive])
            for tableau, kind in (
                ("implicit_midpoint", "sgd"),
                ("gauss2", "adam"),
                ("lobatto_iiic3", "adam"),
                ("sdirk23", "sgd"),
            )
        ),
    ],
)
def test_training_with_large_steps_never_separates_orbits(kind: str, tableau: str) -> None:
    net = network(tableau=tableau, num_layers=2)
    before = [p.detach().clone() for p in net.parameters()]
    losses = train(net, optimiser(kind, net), epochs=6, pairs=50, every=2)
    moved = max(float((p.detach() - q).abs().max()) for p, q in zip(net.parameters(), before, strict=True))
    assert moved > 0.5  # it really went somewhere, downhill or not
    assert len(set(losses)) == len(losses)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adam", pytest.param("sgd", marks=pytest.mark.exhaustive)])
def test_ten_thousand_pairs_before_during_and_after_training(kind: str) -> None:
    net = network(tableau="gauss2", num_layers=2)
    train(net, optimiser(kind, net), epochs=7, pairs=10_000, every=3)


@pytest.mark.parametrize("size", [1e-6, 30.0])
def test_weights_of_any_size_never_separate_orbits(size: float) -> None:
    net = network(h=1.0, solver=Solver(tol=1e-11))
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(size)
    never_separates(net)


# --- the check can fail ---


class Ascent(Field):
    """+Kᵀσ(K y + b): the gradient of a convex function with the wrong sign."""

    def __init__(self, field: GradientField) -> None:
        super().__init__(field.size, field.input_size, field.size, field.sigma, True, dtype=F64)
        self.K = field.K
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        return self.K

    @property
    def kappa(self) -> Tensor:
        return self.K.mT


def stiff() -> GradientField:
    """With relu a pair may start where the slope is 900 and end where it is 0."""
    torch.manual_seed(3)
    field = GradientField(3, 2, activation="relu", dtype=F64)
    with torch.no_grad():
        field.K.copy_(torch.diag(torch.tensor([1.0, 5.0, 30.0])))
    return field


@pytest.mark.parametrize("how", ["ascent", "not algebraically stable", "affine", "explicit"])
def test_a_sabotaged_network_is_caught_by_the_same_check(how: str) -> None:
    torch.manual_seed(1)
    field: Field = Ascent(GradientField(3, 2, dtype=F64)) if how == "ascent" else stiff()
    if how == "affine":
        field = AffineField(3, 2, dtype=F64)
    tableau, h = {"not algebraically stable": ("trapezoid", 1.0), "explicit": ("rk4", 0.5)}.get(how, ("gauss2", 0.3))
    layer = Equations.from_field(tableaux[tableau], field, h, solver=Solver(tol=1e-10))
    count, worst = separated(layer, 400, 4, seed=0)
    assert count > 0
    assert worst > 1.001
    found = stability.measure(layer, pairs=400, steps=4)
    assert found.violations > 0
    assert found.witness is not None


def test_invariants_report_a_sabotage() -> None:
    net = network()
    assert set(net.invariants()) == {"largest_step_ratio", "contraction_violations"}
    torch.manual_seed(1)
    net.layers[0] = Equations.from_field(tableaux["gauss2"], Ascent(GradientField(4, 2, dtype=F64)), 0.3)
    found = net.invariants()
    assert found["contraction_violations"] > 0
    assert found["largest_step_ratio"] > 1.001


# --- torch.nn.RNN's conventions ---


def test_it_is_the_ODERNN_of_its_tableau_and_field() -> None:
    net = network(num_layers=2)
    x, h_0 = normal(5, 3, 2), normal(2, 3, 4, seed=2)
    output, h_n = net(x, h_0)
    same, state = net.odernn()(x, h_0)
    torch.testing.assert_close(output, same, rtol=0, atol=0)
    torch.testing.assert_close(h_n, state, rtol=0, atol=0)
    assert output.shape == (5, 3, 4)
    assert h_n.shape == (2, 3, 4)
    assert [p.data_ptr() for p in net.odernn().parameters()] == [p.data_ptr() for p in net.parameters()]


def test_one_step_solves_the_implicit_equation() -> None:
    """K = -Kᵀσ(K(y + h/2 K) + V x + b) for the implicit midpoint, literally."""
    net = network(h=0.7)
    (field,) = (layer.source for layer in net.layers)
    x, y = normal(1, 1, 2), normal(1, 1, 4, seed=2)
    output, _ = net(x, y)
    stage = (output[0] - y[0]) / 0.7
    torch.testing.assert_close(field(y[0] + 0.35 * stage, x[0]), stage, rtol=1e-12, atol=1e-12)


def test_batch_first_and_packed_sequences() -> None:
    net, first = network(num_layers=2), network(num_layers=2, batch_first=True)
    x = normal(5, 3, 2)
    output, h_n = net(x)
    torch.testing.assert_close(first(x.transpose(0, 1))[0], output.transpose(0, 1))
    packed = pack_padded_sequence(x, torch.tensor([5, 2, 4]), enforce_sorted=False)
    ended, state = net(packed)
    padded, lengths = pad_packed_sequence(ended)
    for i, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(padded[:length, i], net(x[:length, i])[0])
        torch.testing.assert_close(state[:, i], net(x[:length, i])[1])
    assert h_n.shape == state.shape


def test_bidirectional_and_dropout() -> None:
    net = network(num_layers=2, bidirectional=True, dropout=0.3)
    output, h_n = net(normal(5, 3, 2))
    assert output.shape == (5, 3, 8)
    assert h_n.shape == (4, 3, 4)
    never_separates(net)
    assert net.invariants()["contraction_violations"] == 0
    with pytest.raises(InputError, match="bidirectional"):
        net.odernn()


# --- gradients, saving, errors ---


def test_gradients_are_finite_and_those_of_differences() -> None:
    net = network(num_layers=2, hidden_size=2, tableau="gauss2")
    x, h_0 = normal(3, 2, 2).requires_grad_(), normal(2, 2, 2, seed=2).requires_grad_()
    names = [name for name, _ in net.named_parameters()]

    def run(x: Tensor, h_0: Tensor, *values: Tensor) -> Tensor:
        output, h_n = torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x, h_0))
        return torch.cat([output.flatten(), h_n.flatten()])

    values = [p.detach().clone().requires_grad_() for p in net.parameters()]
    assert torch.autograd.gradcheck(run, (x, h_0, *values), atol=1e-7)
    run(x, h_0, *values).square().sum().backward()
    assert all(bool(torch.isfinite(v.grad).all()) and float(v.grad.abs().max()) > 0 for v in values)


def test_gradients_of_a_long_sequence_do_not_explode() -> None:
    net = network(h=0.5)
    h_0 = normal(1, 3, 4).requires_grad_()
    _, h_n = net(normal(300, 3, 2), h_0)
    h_n.sum().backward()
    assert float(h_0.grad.norm()) <= float(torch.ones(3, 4).norm()) * (1 + 1e-9)  # contraction of the tangent map


@pytest.mark.parametrize("arguments", [{}, {"tableau": "radau_iia3", "num_layers": 2, "inner": 6, "bias": False}])
def test_a_saved_network_is_the_same(tmp_path: Path, arguments: dict[str, Any]) -> None:
    net = network(batch_first=True, activation="relu", h=0.3, solver=Solver(tol=1e-10), **arguments)
    net.save(tmp_path / "net.safetensors")
    again = qunn.load(tmp_path / "net.safetensors")
    assert isinstance(again, ContractiveRNN)
    assert again.config() == net.config()
    x = normal(2, 5, 2)
    torch.testing.assert_close(again(x)[0], net(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tableau": "rk4"}, "`tableau` must be algebraically stable"),
        ({"tableau": "trapezoid"}, "`tableau` must be algebraically stable"),
        ({"tableau": "gauss9"}, "`tableau` must be algebraically stable"),
        ({"activation": "sin"}, "`activation` must be non-decreasing, but is 'sin'"),
        ({"activation": "gelu"}, "`activation` must be non-decreasing"),
        ({"activation": torch.cos}, "`activation` must be non-decreasing"),
        ({"activation": "tanhh"}, "`activation` must be one of"),
        ({"h": 0.0}, "`h` must be a positive number"),
        ({"h": -1.0}, "`h` must be a positive number"),
        ({"h": float("nan")}, "`h` must be a positive number"),
        ({"h": float("inf")}, "`h` must be a positive number"),
        ({"input_size": 0}, "`input_size` must be"),
        ({"hidden_size": 0}, "`hidden_size` must be"),
        ({"inner": 0}, "`inner` must be"),
        ({"num_layers": 0}, "`num_layers` must be"),
    ],
)
def test_what_would_not_be_contractive_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        network(**arguments)
    assert said in str(caught.value)


def test_STABLE_is_what_the_tableaus_say() -> None:
    assert set(STABLE) == {name for name, table in tableaux.items() if table.algebraically_stable()}
