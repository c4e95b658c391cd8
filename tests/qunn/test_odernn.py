"""ODERNN against a literal reading of Eqs. (2)-(4), a sample and a time at a time, and torch.nn.RNN's conventions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import qunn
from hamiltonians import InputError
from qunn.coefficients import Diagonal, Full, Scalar, Vector, part
from qunn.equations import Equations
from qunn.fields import AffineField, AntisymmetricField, DefiniteField, FunctionField, GradientField, HamiltonianField
from qunn.implicit import Solver
from qunn.odernn import ODERNN
from qunn.tableau import ButcherTableau, tableaux
from tests.systems import odernn_reference as reference

F64, C128 = torch.float64, torch.complex128
#: rounding of sums of some ten numbers of size 1 over some five steps, and implicit stages to 2e-14 in each
CLOSE = 1e-12


def array(c: Any) -> Any:
    return c.detach().numpy() if isinstance(c, Tensor) else c


def random(*shape: int, seed: int = 2, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def parameter(*shape: int, seed: int = 2, dtype: torch.dtype = F64) -> nn.Parameter:
    return nn.Parameter(0.5 * random(*shape, seed=seed, dtype=dtype))


def same(value: Any) -> Callable[..., Any]:
    """A function of (step, history, x) that looks at the step at most."""

    def function(step: int, history: Any, x: Any) -> Any:
        return value(step) if callable(value) else value

    return function


def close(a: Any, b: Any, atol: float = CLOSE) -> None:
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=0, atol=atol)


def refused(make: Callable[[], Any]) -> str:
    """The message of the InputError, which is a ValueError of one line."""
    with pytest.raises(InputError) as caught:
        make()
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- random networks, both ways ---

STRUCTURES = {
    "explicit": lambda q, k: k < q,
    "diagonally implicit": lambda q, k: k <= q,
    "fully implicit": lambda q, k: q + k >= 0,
    "explicit, then implicit": lambda q, k: k < q or (q >= 1 and k >= 1),
    "implicit, then explicit": lambda q, k: k < q or (q <= 1 and k <= 1),
    "two implicit pairs": lambda q, k: k < q or q // 2 == k // 2,
}


class Drawn:
    """A random layer: `torch` for Equations, `reference` for the literal evaluator, from the same numbers."""

    def __init__(
        self, seed: int, n: int, t: int, structure: str, *, equal: bool, dtype: torch.dtype, **more: Any
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.n, self.t = dtype, n, t
        self.s = int(self.rng.integers(3, 6))
        self.m = more.get("input_size", int(self.rng.integers(0, 3)))
        self.x_block = more.get("x_block", False)
        sizes = [self.s] * n if equal else [int(p) for p in self.rng.integers(2, 6, n)]
        inner = [*(sizes if equal else (int(r) for r in self.rng.integers(2, 6, n))), self.s if equal else 4]
        W = [self.draw(r, self.s) for r in inner]
        b = [self.full(r) if self.rng.random() < 0.7 else None for r in inner]
        V = [self.full(r, self.m) if self.m and self.rng.random() < 0.7 else None for r in inner]
        kappa = [self.draw(p, r, some=p == r) for p, r in zip([*sizes, self.s], inner, strict=True)]
        gamma = [
            None,
            *(self.draw(p, o, 0.3) for p, o in zip(sizes[1:], sizes, strict=False)),
            self.draw(self.s, self.s),
        ]
        kept = STRUCTURES[structure]
        alpha = [
            [self.draw(inner[q], sizes[k], 0.3, some=q != k) if kept(q, k) else None for k in range(n)]
            for q in range(n)
        ]
        beta = [self.draw(inner[-1], p) for p in sizes]
        sigma = [str(self.rng.choice(["tanh", "sigmoid", "sin", "softplus", "identity"])) for _ in range(n + 1)]
        lists = {"W": W, "b": b, "V": V, "gamma": gamma, "kappa": kappa, "alpha": alpha, "beta": beta, "sigma": sigma}
        self.torch = lists | {"h": 0.4, "input_size": self.m, "state_size": self.s, "x_block": self.x_block}
        plain = {
            name: [[array(c) for c in e] if isinstance(e, list) else array(e) for e in entries]
            for name, entries in lists.items()
        }
        self.reference = reference.Layer(n, t, 0.4, sizes=sizes, x_block=self.x_block, **plain)

    def full(self, *shape: int, size: float = 0.4) -> Tensor:
        v = self.rng.standard_normal(shape)
        if self.dtype.is_complex:
            v = (v + 1j * self.rng.standard_normal(shape)) / np.sqrt(2)
        return torch.from_numpy(size * np.asarray(v))

    def draw(self, rows: int, columns: int, size: float = 0.4, some: bool = True) -> Any:
        """A full coefficient, or where the shape allows, a scalar, a diagonal one, or none."""
        if rows != columns:
            return self.full(rows, columns, size=size)
        which = self.rng.choice(["none", "scalar", "diagonal", "full"] if some else ["scalar", "diagonal", "full"])
        if which == "none":
            return None
        if which == "scalar":
            return float(size * self.rng.uniform(0.5, 1.5))
        return self.full(rows, size=size) if which == "diagonal" else self.full(rows, columns, size=size)

    def equations(self, **more: Any) -> Equations:
        return Equations(self.n, self.t, **self.torch | more)

    def data(self, T: int = 5, B: int = 3) -> tuple[Tensor, list[Tensor]]:
        """x [T, B, m] and the history Y_l, Y_{l-1}, … [B, s]."""
        return self.full(T, B, self.m, size=1), [self.full(B, self.s, size=1) for _ in range(self.t)]

    def state(self, history: list[Tensor]) -> Any:
        """As h_0 of one layer."""
        skip = self.m if self.x_block else 0
        return tuple(Y.unsqueeze(0) for Y in history) if self.t > 1 else history[0][:, skip:].unsqueeze(0)

    def literal(self, x: Tensor, history: list[Tensor], step: int = 0) -> tuple[Tensor, Any]:
        """Outputs and h_n, sample by sample."""
        runs = [
            reference.run(self.reference, x[:, i].numpy(), [Y[i].numpy() for Y in history], step)
            for i in range(x.shape[1])
        ]
        skip = self.m if self.x_block else 0
        outputs = torch.from_numpy(np.stack([run[0] for run in runs], 1))[..., skip:]
        return outputs, self.state([torch.from_numpy(np.array(Y)) for Y in zip(*(run[1] for run in runs), strict=True)])


def compare(drawn: Drawn, network: ODERNN, atol: float = CLOSE) -> None:
    x, history = drawn.data()
    output, h_n = network(x, drawn.state(history), step=3)
    expected, last = drawn.literal(x, history, 3)
    assert 0.01 < expected.abs().max() < 1e3
    scale = float(expected.abs().max())
    close(output, expected, atol * max(1, scale))
    for got, wanted in zip(h_n, last, strict=True):
        close(got, wanted, atol * max(1, scale))


def seed_of(*what: Any) -> int:
    """The same for the same case in every run."""
    return sum((i + 1) * ord(c) for i, c in enumerate(repr(what)))


@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
@pytest.mark.parametrize("equal", [True, False], ids=["equal sizes", "stages of other sizes"])
@pytest.mark.parametrize("t", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_explicit_networks_equal_the_literal_equations(n: int, t: int, equal: bool, dtype: torch.dtype) -> None:
    for seed in range(3):
        drawn = Drawn(seed_of(n, t, equal, seed), n, t, "explicit", equal=equal, dtype=dtype)
        network = ODERNN(drawn.equations())
        assert not network.equations[0].implicit
        compare(drawn, network)
        assert network.solved == [None]


@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
@pytest.mark.parametrize("equal", [True, False], ids=["equal sizes", "stages of other sizes"])
@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "explicit"])
def test_implicit_networks_equal_the_literal_equations(structure: str, equal: bool, dtype: torch.dtype) -> None:
    for n, t in ((1, 1), (2, 1), (3, 2), (4, 5)):
        drawn = Drawn(seed_of(n, t, equal, structure), n, t, structure, equal=equal, dtype=dtype)
        network = ODERNN(drawn.equations(solver=Solver("newton")))
        assert network.equations[0].implicit == any(STRUCTURES[structure](q, k) for q in range(n) for k in range(q, n))
        compare(drawn, network)


@pytest.mark.parametrize(("n", "t"), [(1, 1), (2, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize("structure", ["explicit", "diagonally implicit", "fully implicit"])
def test_x_overwrites_the_first_block_of_the_state(n: int, t: int, structure: str) -> None:
    drawn = Drawn(seed_of(n, t, structure), n, t, structure, equal=n % 2 == 0, dtype=F64, x_block=True, input_size=2)
    compare(drawn, ODERNN(drawn.equations()))


def test_a_delay_is_t_q_over_n_rounded_down() -> None:
    """n = 3, t = 5: K_q sees Y_l, Y_{l-1}, Y_{l-3}, and so does the output for q = 3; no other entry of the history."""
    eye = torch.eye(1, dtype=F64)
    for q, delay in ((1, 0), (2, 1), (3, 3)):
        W = [eye if k == q else None for k in (1, 2, 3)]
        beta = [1.0 if k == q else 0 for k in (1, 2, 3)]
        layer = Equations(3, 5, W=[*W, None], sigma=["identity"] * 4, beta=beta, state_size=1)
        history = [torch.tensor([[2.0**k]], dtype=F64) for k in range(5)]
        output, _ = ODERNN(layer)(torch.zeros(1, 1, 0, dtype=F64), tuple(Y.unsqueeze(0) for Y in history))
        assert output.item() == 2.0**delay
        assert ODERNN(layer).t == 1 + delay
    layer = Equations(3, 5, W=[None, None, None, eye], sigma=["identity"] * 4, beta=[0, 0, 0])
    output, _ = ODERNN(layer)(torch.zeros(1, 1, 0, dtype=F64), tuple(Y.unsqueeze(0) for Y in history))
    assert output.item() == 2.0**3
    assert (ODERNN(layer).n, ODERNN(layer).t) == (0, 4)


@pytest.mark.parametrize("structure", ["explicit", "diagonally implicit", "fully implicit"])
@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
def test_the_form_alpha_is_W_a_equals_alpha_multiplied_out(structure: str, dtype: torch.dtype) -> None:
    n, s = 3, 4
    drawn = Drawn(11, n, 2, structure, equal=True, dtype=dtype, input_size=2)
    drawn.torch["W"][:n] = [drawn.full(s := drawn.s, s), 0.7, drawn.full(s)]
    kept = STRUCTURES[structure]
    kinds = [0.3, drawn.full(s, size=0.2), drawn.full(s, s, size=0.2)]
    a = [[kinds[(q + k) % 3] if kept(q, k) else 0 for k in range(n)] for q in range(n)]
    plain = [[None if not kept(q, k) else array(c) for k, c in enumerate(row)] for q, row in enumerate(a)]
    W = [array(c) for c in drawn.torch["W"]]
    multiplied = [
        [None if c is None else reference.matrix(W[q], s, s) @ reference.matrix(c, s, s) for c in row]
        for q, row in enumerate(plain)
    ]
    drawn.reference = replace(drawn.reference, W=W, alpha=multiplied)
    compare(drawn, ODERNN(drawn.equations(alpha=None, a=a)))
    as_alpha = [
        [0 if c is None else torch.from_numpy(np.array(c, complex if dtype.is_complex else float)) for c in row]
        for row in multiplied
    ]
    compare(drawn, ODERNN(drawn.equations(alpha=as_alpha)))


def test_the_a_form_may_be_rectangular_where_W_is() -> None:
    """W_q [3, 4]: a_qk [4, 3] adds to Y, inside W_q."""
    s, r = 4, 3
    W, a = random(r, s, seed=4), 0.3 * random(s, r, seed=5)
    layer = Equations(2, W=[W, W, None], a=[[a, 0], [a, a]], beta=[random(s, r, seed=6), random(s, r, seed=7)], h=0.5)
    beta = [array(layer.value("beta_1")), array(layer.value("beta_2"))]
    w, c = W.numpy(), (W @ a).numpy()
    none = [None] * 3
    plain = reference.Layer(
        2, 1, 0.5, [w, w, None], none, none, ["tanh", "tanh", "identity"], none, none, [[c, None], [c, c]], beta, [r, r]
    )
    Y = random(2, s)
    output, _ = ODERNN(layer)(torch.zeros(4, 2, 0, dtype=F64), Y.unsqueeze(0))
    for i in range(2):
        close(output[:, i], reference.run(plain, np.zeros((4, 0)), [Y[i].numpy()])[0])


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_single_precision_is_the_same_network() -> None:
    for dtype, single in ((F64, torch.float32), (C128, torch.complex64)):
        for structure in ("explicit", "fully implicit"):
            drawn = Drawn(5, 3, 2, structure, equal=True, dtype=dtype, input_size=2)
            network = ODERNN(drawn.equations())
            x, history = drawn.data()
            expected, _ = network(x, drawn.state(history))
            output, h_n = network.to(single)(x.to(single), tuple(Y.to(single) for Y in drawn.state(history)))
            assert output.dtype == h_n[1].dtype == single
            close(output.to(dtype), expected, 2e-5)


# --- coefficients that are functions ---


def gates(batched: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every family of coefficients as a function of the step, of Y_l and Y_{l-2}, of x; n = t = 3, s = 3, m = 2."""
    U = {
        name: random(*shape, seed=i) for i, (name, shape) in enumerate({"d": (3, 3), "x": (3, 2), "w": (3, 3)}.items())
    }
    P = {name: u.numpy() for name, u in U.items()}

    def made(of_sample: Callable[..., Any]) -> Callable[..., Tensor]:
        """The torch function, from that of one sample; unbatched it looks at the step only."""
        if not batched:
            return same(
                lambda step: of_sample(torch, U, step, [torch.ones(3, dtype=F64)] * 3, torch.ones(2, dtype=F64))
            )

        def batch(step: int, Y: tuple[Tensor, ...], x: Tensor) -> Tensor:
            return torch.stack([of_sample(torch, U, step, [y[i] for y in Y], x[i]) for i in range(len(x))])

        return batch

    def literal(of_sample: Callable[..., Any]) -> Callable[..., Any]:
        if not batched:
            return same(lambda step: of_sample(np, P, step, [np.ones(3)] * 3, np.ones(2)))
        return lambda step, Y, x: of_sample(np, P, step, Y, x)

    def scalar(lib: Any, U: Any, step: int, Y: Any, x: Any) -> Any:
        return lib.tanh(Y[2][0] + 0.1 * step)

    def diagonal(lib: Any, U: Any, step: int, Y: Any, x: Any) -> Any:
        return lib.sin(U["d"] @ Y[0] + 0.3 * step)

    def of_x(lib: Any, U: Any, step: int, Y: Any, x: Any) -> Any:
        return lib.tanh(U["x"] @ x - 0.2 * step)

    def matrix(lib: Any, U: Any, step: int, Y: Any, x: Any) -> Any:
        return 0.4 * U["w"] * lib.cos(U["d"] @ Y[2] + x[0] + step)[:, None]

    S, D = lambda f: Scalar(made(f)), lambda f: Diagonal(made(f), 3)
    M, v = lambda f: Full(made(f), (3, 3)), lambda f: Vector(made(f), 3)
    constant = random(3, 3, seed=9)
    lists = {
        "W": [M(matrix), D(diagonal), S(scalar), constant],
        "b": [v(of_x), None, v(diagonal), v(of_x)],
        "V": [None, U["x"], U["x"], None],
        "gamma": [0, D(of_x), M(matrix), S(scalar)],
        "kappa": [S(scalar), M(matrix), None, D(diagonal)],
        "alpha": [[0, 0, 0], [M(matrix), 0, 0], [S(scalar), D(diagonal), 0]],
        "beta": [D(of_x), 1.5, M(matrix)],
    }
    s, d, x, w = literal(scalar), literal(diagonal), literal(of_x), literal(matrix)
    plain = {
        "W": [w, d, s, constant.numpy()],
        "b": [x, None, d, x],
        "V": [None, P["x"], P["x"], None],
        "gamma": [None, x, w, s],
        "kappa": [s, w, None, d],
        "alpha": [[None, None, None], [w, None, None], [s, d, None]],
        "beta": [x, 1.5, w],
    }
    return lists, plain


@pytest.mark.parametrize("batched", [True, False], ids=["a value a sample", "one value for the batch"])
@pytest.mark.parametrize("implicit", [False, True])
def test_coefficients_may_be_functions_of_step_history_and_input(batched: bool, implicit: bool) -> None:
    lists, plain = gates(batched)
    if implicit:  # stage 1 needs stage 3, which depends on a gate
        lists["alpha"][0][2], plain["alpha"][0][2] = 0.2, 0.2
    sigma = ["tanh", "sigmoid", "sin", "identity"]
    network = ODERNN(Equations(3, 3, sigma=sigma, input_size=2, h=0.6, **lists))
    layer = reference.Layer(3, 3, 0.6, sigma=sigma, sizes=[3, 3, 3], **plain)
    x, history = random(6, 4, 2), [random(4, 3, seed=i) for i in range(3)]
    output, h_n = network(x, tuple(Y.unsqueeze(0) for Y in history), step=2)
    for i in range(4):
        expected, last = reference.run(layer, x[:, i].numpy(), [Y[i].numpy() for Y in history], 2)
        close(output[:, i], expected)
        for Y, wanted in zip(h_n, last, strict=True):
            close(Y[0, i], wanted)
    assert output.abs().max() > 0.1


def test_a_scalar_function_may_return_one_number_a_sample_with_or_without_a_second_dimension() -> None:
    """As many samples as features: a [B] that were taken for a diagonal would go unseen."""
    s = 3

    def network(f: Callable[..., Tensor]) -> Tensor:
        layer = Equations(
            1,
            W=[None, None],
            kappa=[1, Scalar(f)],
            gamma=[0, Scalar(f)],
            b=[None, torch.ones(s)],
            beta=[0],
            state_size=s,
        )
        return ODERNN(layer)(torch.zeros(2, s, 0), torch.ones(1, s, s))[0]

    of_sample = torch.tensor([1.0, 2.0, 3.0])
    flat, column = network(same(of_sample)), network(same(of_sample[:, None]))
    assert torch.equal(flat, column)
    assert torch.equal(flat[0], 2 * of_sample[:, None].expand(s, s))
    assert torch.equal(network(same(torch.tensor(2.0)))[0], torch.full((s, s), 4.0))


@pytest.mark.parametrize(
    ("coefficient", "message"),
    [
        (Scalar(same(0.5)), "`kappa_1` must be a function that returns a tensor, but is 0.5"),
        (
            Diagonal(same(torch.ones(5, 3)), 3),
            "`kappa_1` must be a function that returns a tensor of shape one of (3,), (2, 3), but is (5, 3)",
        ),
        (
            Full(same(torch.ones(3)), (3, 3)),
            "`kappa_1` must be a function that returns a tensor of shape one of (3, 3), (2, 3, 3), but is (3,)",
        ),
        (
            Scalar(same(torch.ones(3))),
            "`kappa_1` must be a function that returns a tensor of shape one of (), (2,), (2, 1), but is (3,)",
        ),
        (
            Diagonal(same(torch.ones(3, dtype=F64)), 3),
            "`kappa_1` must be a function that returns torch.float32, as the state, but is torch.float64",
        ),
    ],
)
def test_a_function_that_returns_something_else_is_refused(coefficient: Any, message: str) -> None:
    network = ODERNN(Equations(1, W=[torch.eye(3), None], kappa=[coefficient, None], beta=[1]))
    assert refused(lambda: network(torch.zeros(1, 2, 0))) == message


def test_a_module_as_a_function_is_trained_and_converted_with_the_network() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3, dtype=F64)

        def forward(self, step: int, history: tuple[Tensor, ...], x: Tensor) -> Tensor:
            return torch.sigmoid(self.inner(history[0]) + 0.1 * step + x.sum())

    network = ODERNN(Equations(1, W=[parameter(3, 3), None], kappa=[Diagonal(Gate(), 3), None], beta=[1.0]))
    assert len(list(network.parameters())) == 3
    network(torch.zeros(2, 2, 0, dtype=F64), torch.ones(1, 2, 3, dtype=F64))[0].sum().backward()
    assert all(bool(p.grad.abs().max() > 0) for p in network.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in network.parameters())
    other = copy.deepcopy(network).to(torch.float32)
    assert other(torch.zeros(2, 2, 0))[0].dtype == torch.float32
    assert network(torch.zeros(2, 2, 0, dtype=F64))[0].dtype == F64


# --- parameters and their gradients ---


@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
def test_gradients_of_every_kind_of_parameter(dtype: torch.dtype) -> None:
    s, n = 2, 2
    lists = {
        "W": [parameter(s, s, seed=1, dtype=dtype), parameter(s, seed=2, dtype=dtype), parameter(seed=3, dtype=dtype)],
        "b": [parameter(s, seed=4, dtype=dtype), None, parameter(s, seed=5, dtype=dtype)],
        "V": [parameter(s, 2, seed=6, dtype=dtype), None, parameter(s, 2, seed=7, dtype=dtype)],
        "gamma": [0, parameter(s, seed=8, dtype=dtype), parameter(s, s, seed=9, dtype=dtype)],
        "kappa": [
            parameter(s, s, seed=10, dtype=dtype),
            parameter(seed=11, dtype=dtype),
            parameter(s, seed=12, dtype=dtype),
        ],
        "beta": [parameter(s, s, seed=13, dtype=dtype), parameter(s, seed=14, dtype=dtype)],
    }
    alpha = [[0, 0], [parameter(s, s, seed=15, dtype=dtype), 0]]
    layer = Equations(n, 2, alpha=alpha, h=0.3, input_size=2, **lists)
    network = ODERNN(layer)
    names, values = zip(*network.named_parameters(), strict=True)
    assert len(names) == 15

    def outputs(x: Tensor, Y: Tensor, before: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        output, last = torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x, (Y, before)))
        return output, *last

    given = (random(2, 1, 2, dtype=dtype), random(1, 1, s, seed=3, dtype=dtype), random(1, 1, s, seed=4, dtype=dtype))
    inputs = [v.detach().clone().requires_grad_() for v in (*given, *values)]
    assert torch.autograd.gradcheck(outputs, inputs)


def test_parameters_are_trained_and_other_tensors_are_buffers() -> None:
    W, b = parameter(3, 3), random(3)
    network = ODERNN(Equations(1, W=[W, None], b=[b, None], beta=[1.0]))
    assert dict(network.named_parameters()) == {"layers.0.W_1": W}
    assert [name for name, _ in network.named_buffers()] == ["layers.0.b_1"]
    assert set(network.state_dict()) == {"layers.0.W_1", "layers.0.b_1"}
    before = network(torch.zeros(1, 1, 0, dtype=F64), torch.ones(1, 1, 3, dtype=F64))[0]
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    before.sum().backward()
    optimiser.step()
    assert not torch.equal(network(torch.zeros(1, 1, 0, dtype=F64), torch.ones(1, 1, 3, dtype=F64))[0], before)
    network.load_state_dict({"layers.0.W_1": torch.zeros(3, 3), "layers.0.b_1": torch.ones(3)})
    close(network(torch.zeros(1, 1, 0, dtype=F64))[0], torch.tanh(torch.ones(1, 1, 3, dtype=F64)))


def test_a_parameter_may_stand_in_several_places() -> None:
    W = parameter(3, 3)
    network = ODERNN(Equations(2, W=[W, W, None], alpha=[[0, 0], [W, 0]], beta=[1.0, W]))
    assert len(list(network.parameters())) == 1
    separate = [nn.Parameter(W.detach().clone()) for _ in range(4)]
    other = ODERNN(Equations(2, W=[*separate[:2], None], alpha=[[0, 0], [separate[2], 0]], beta=[1.0, separate[3]]))
    x, h = torch.zeros(3, 2, 0, dtype=F64), random(1, 2, 3)
    for net in (network, other):
        net(x, h)[0].square().sum().backward()
    assert W.grad is not None
    close(W.grad, sum(p.grad for p in separate if p.grad is not None))


def test_reset_parameters_draws_within_one_over_the_root_of_the_size() -> None:
    W = nn.Parameter(torch.full((4, 4), 9.0))
    network = ODERNN(Equations(1, W=[W, None], beta=[1.0]))
    network.reset_parameters()
    assert 0.3 < W.abs().max() <= 0.5
    field = AffineField(4)
    network = ODERNN.from_tableau("rk4", field, 0.1)
    with torch.no_grad():
        field.W.fill_(9.0)
    network.reset_parameters()
    assert 0.3 < field.W.abs().max() <= 0.5
    member = qunn.as_odernn(qunn.URNN(3, 4, dtype=torch.complex128))
    torch.manual_seed(3)
    member.reset_parameters()
    W = dict(member.named_parameters())["layers.0.source.weight_hh"].detach()
    close(W.mH @ W, torch.eye(4, dtype=C128))


# --- the conventions of torch.nn.RNN ---


def cascaded(t: int = 2, dropout: float = 0.0, batch_first: bool = False) -> tuple[ODERNN, list[Drawn]]:
    """Two layers; the second takes what the first puts out."""
    below = Drawn(21, 2, t, "explicit", equal=True, dtype=F64, input_size=2)
    above = Drawn(21, 2, t, "diagonally implicit", equal=True, dtype=F64, input_size=below.s)
    if above.torch["V"][0] is None:
        V = above.full(above.s, above.m)
        above.torch["V"][0] = V
        above.reference.V = [V.numpy(), *above.reference.V[1:]]
    assert above.s == below.s
    layers = [below.equations(), above.equations()]
    return ODERNN(layers, dropout=dropout, batch_first=batch_first), [below, above]


@pytest.mark.parametrize("t", [1, 2, 3])
def test_layers_form_a_cascade_through_their_new_outputs(t: int) -> None:
    network, drawn = cascaded(t)
    s = drawn[0].s
    x, h_0 = random(5, 3, 2), tuple(random(2, 3, s, seed=i) for i in range(t))
    output, h_n = network(x, h_0 if t > 1 else h_0[0])
    h_n = h_n if t > 1 else (h_n,)
    for i in range(3):
        histories = [[part[q, i].numpy() for part in h_0] for q in range(2)]
        expected, ends = reference.cascade([d.reference for d in drawn], x[:, i].numpy(), histories)
        close(output[:, i], expected)
        for q in range(2):
            for got, wanted in zip(h_n, ends[q], strict=True):
                close(got[q, i], wanted)
    assert len(h_n) == t
    assert h_n[0].shape == (2, 3, s)


@pytest.mark.parametrize("cuts", [(1,), (2, 3), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("t", [1, 2, 5])
def test_a_sequence_in_pieces_is_the_whole(t: int, cuts: tuple[int, ...]) -> None:
    network, drawn = cascaded(t)
    s = drawn[0].s
    x, h = random(7, 3, 2), tuple(random(2, 3, s, seed=i) for i in range(t))
    state: Any = h if t > 1 else h[0]
    expected, last = network(x, state)
    pieces = []
    for piece in torch.tensor_split(x, cuts):
        output, state = network(piece, state)
        pieces.append(output)
    close(torch.cat(pieces), expected)
    close(torch.stack(tuple(state)), torch.stack(tuple(last)))


@pytest.mark.parametrize("x_block", [True, False])
def test_a_sequence_in_pieces_is_the_whole_with_clocks_and_an_x_block(x_block: bool) -> None:
    """κ_1 depends on the step and on Y_{l-2}: the pieces must hand on both."""
    s, m = 4, 2
    gate = Diagonal(lambda step, Y, x: torch.sigmoid(Y[2][:, :3] + x[:, :1] + step), 3)
    network = ODERNN(
        Equations(
            2,
            3,
            W=[random(3, s), random(3, s, seed=3), None],
            V=[None, random(3, m), None],
            kappa=[gate, None, None],
            beta=[random(s, 3, seed=4), random(s, 3, seed=5)],
            input_size=m,
            x_block=x_block,
        )
    )
    x, state = random(7, 2, m), tuple(random(1, 2, s, seed=i) for i in range(3))
    expected, last = network(x, state, step=1)
    pieces = []
    for at, piece in ((1, x[:1]), (2, x[1:4]), (5, x[4:])):
        output, state = network(piece, state, step=at)
        pieces.append(output)
    close(torch.cat(pieces), expected)
    for a, b in zip(state, last, strict=True):
        close(a, b)


@pytest.mark.parametrize("t", [1, 2])
def test_batch_first_and_unbatched_input(t: int) -> None:
    network, drawn = cascaded(t)
    x, h = random(5, 3, 2), tuple(random(2, 3, drawn[0].s, seed=i) for i in range(t))
    expected, last = network(x, h if t > 1 else h[0])
    turned, _ = cascaded(t, batch_first=True)
    output, h_n = turned(x.transpose(0, 1), h if t > 1 else h[0])
    close(output.transpose(0, 1), expected)
    close(torch.stack(tuple(h_n)), torch.stack(tuple(last)))
    for net in (network, turned):
        alone = tuple(part[:, 1] for part in h)
        output, h_n = net(x[:, 1], alone if t > 1 else alone[0])
        close(output, expected[:, 1])
        close(h_n[0] if t > 1 else h_n, (last[0] if t > 1 else last)[:, 1])


def test_the_state_left_out_is_zero() -> None:
    network, drawn = cascaded(2)
    x, zero = random(5, 3, 2), torch.zeros(2, 3, drawn[0].s, dtype=F64)
    assert torch.equal(network(x)[0], network(x, (zero, zero))[0])


def test_a_packed_sequence_is_its_sequences_one_by_one() -> None:
    network, drawn = cascaded(3)
    lengths = torch.tensor([4, 6, 1, 4])
    x, h = random(6, 4, 2), tuple(random(2, 4, drawn[0].s, seed=i) for i in range(3))
    output, last = network(pack_padded_sequence(x, lengths, enforce_sorted=False), h)
    padded, _ = pad_packed_sequence(output)
    for i, length in enumerate(lengths.tolist()):
        alone, end = network(x[:length, i], tuple(part[:, i] for part in h))
        close(padded[:length, i], alone)
        for a, b in zip(last, end, strict=True):
            close(a[:, i], b)


def test_dropout_acts_between_the_layers_while_training() -> None:
    network, drawn = cascaded(1, dropout=0.4)
    plain, _ = cascaded(1)
    x, h = random(5, 3, 2), random(2, 3, drawn[0].s)
    assert torch.equal(network.eval()(x, h)[0], plain(x, h)[0])
    torch.manual_seed(4)
    dropped, last = network.train()(x, h)
    below, above = (ODERNN(d.equations()) for d in drawn)
    between, first = below(x, h[:1])
    torch.manual_seed(4)
    expected, second = above(nn.functional.dropout(between, 0.4), h[1:])
    close(dropped, expected)
    close(last, torch.cat([first, second]))
    assert (dropped - plain(x, h)[0]).abs().max() > 1e-3


def test_parts_and_read_say_how_state_and_output_are_cut() -> None:
    drawn = Drawn(7, 2, 1, "explicit", equal=True, dtype=F64, input_size=1, x_block=True)
    s = drawn.s
    x, history = drawn.data()
    expected, last = drawn.literal(x, history)
    network = ODERNN(drawn.equations(parts=(1, s - 2), read=slice(2, s)))
    assert (network.output_size, network.state_sizes) == (s - 2, (1, s - 2))
    output, h_n = network(x, (history[0][:, 1:2].unsqueeze(0), history[0][:, 2:].unsqueeze(0)))
    close(output, expected[..., 1:])
    close(torch.cat(h_n, -1), last)


def test_integrate_is_the_call_without_an_input() -> None:
    torch.manual_seed(1)
    for batch_first in (False, True):
        network = ODERNN.from_tableau("rk4", AffineField(3, dtype=F64), 0.2, batch_first=batch_first)
        for shape in ((3,), (2, 3)):
            y_0 = random(*shape)
            path = network.integrate(y_0, 5)
            assert path.shape == (6, *shape)
            assert torch.equal(path[0], y_0)
            y = y_0 if len(shape) == 2 else y_0.unsqueeze(0)
            empty = torch.zeros((len(y), 5, 0) if batch_first else (5, len(y), 0), dtype=F64)
            output, _ = network(empty, y.unsqueeze(0))
            output = output.transpose(0, 1) if batch_first else output
            close(path[1:], output if len(shape) == 2 else output[:, 0])


def test_repr_names_sizes_n_and_t() -> None:
    network, _ = cascaded(2, dropout=0.5, batch_first=True)
    assert "num_layers=2, batch_first=True, dropout=0.5, n=2, t=2" in repr(network)


# --- n and t from the structure ---

I3 = torch.eye(3)


@pytest.mark.parametrize(
    ("n", "t", "given", "expected"),
    [
        (1, 1, {"W": [I3, None], "beta": [1]}, (1, 1)),
        (1, 5, {"W": [I3, None], "beta": [1]}, (1, 1)),  # n = 1 has no delay
        (2, 2, {"W": [I3, I3, None], "beta": [1, 1]}, (2, 2)),
        (2, 2, {"W": [I3, None, None], "beta": [1, 1]}, (2, 1)),  # nothing reads Y_{l-1}
        (2, 2, {"W": [I3, None, I3], "beta": [1, 0]}, (1, 2)),  # the output reads Y_{l-1}, and not K_2
        (2, 1, {"W": [I3, I3, None], "beta": [0, 1]}, (1, 1)),  # K_1 leads nowhere
        (2, 1, {"W": [I3, I3, None], "beta": [0, 1], "gamma": [0, 1, 0]}, (2, 1)),  # but through γ_2
        (2, 1, {"W": [I3, I3, None], "beta": [0, 1], "alpha": [[0, 0], [1, 0]]}, (2, 1)),  # or α_21
        (
            2,
            1,
            {"W": [I3, None, None], "beta": [0, 1], "a": [[0, 0], [1, 0]]},
            (1, 1),
        ),  # not through a_21 inside W_2 = 0
        (3, 1, {"W": [I3] * 3 + [None], "beta": [0, 0, 1], "alpha": [[0] * 3, [1, 0, 0], [0, 1, 0]]}, (3, 1)),
        (3, 1, {"W": [I3] * 3 + [None], "beta": [1, 0, 0], "alpha": [[0, 0, 1], [1, 0, 0], [0] * 3]}, (2, 1)),
        (3, 7, {"W": [I3] * 3 + [None], "beta": [1, 1, 1]}, (3, 5)),  # floor(14/3) = 4
        (4, 3, {"W": [I3, I3, I3, None, None], "beta": [1, 1, 1, 1]}, (4, 2)),  # floor(6/4) = 1
        (1, 1, {"W": [None, None], "gamma": [0, 1], "beta": [0], "state_size": 3}, (0, 1)),
    ],
)
def test_n_and_t_are_read_off_the_coefficients(
    n: int, t: int, given: dict[str, Any], expected: tuple[int, int]
) -> None:
    network = ODERNN(Equations(n, t, **given))
    assert (network.n, network.t) == expected


def test_n_and_t_of_a_network_are_those_of_its_largest_layer() -> None:
    kinds = {"V": [I3, None], "input_size": 3}
    two = Equations(2, W=[I3, I3, None], beta=[1, 1], V=[I3, None, None], input_size=3)
    assert ODERNN([Equations(1, W=[I3, None], beta=[1], **kinds), two]).n == 2


@pytest.mark.parametrize("name", list(tableaux))
def test_n_of_a_tableau_is_the_number_of_stages_that_count(name: str) -> None:
    """All of them, but Dormand-Prince's seventh, which only its error estimate uses."""
    network = ODERNN.from_tableau(name, AffineField(3), 0.1)
    assert (network.n, network.t) == (6 if name == "dopri5" else tableaux[name].n, 1)


# --- a Runge-Kutta method is a member ---


def runge_kutta(table: ButcherTableau, f: Callable[[Tensor], Tensor], y: Tensor, h: float) -> Tensor:
    """One step, K = f(y + hAK) by a long fixed-point iteration."""
    A, b = torch.from_numpy(table.A.copy()), torch.from_numpy(table.b.copy())
    K = torch.zeros(table.n, *y.shape, dtype=y.dtype)
    for _ in range(80):
        K = torch.stack([f(y + h * torch.einsum("k,k...->...", A[q].to(y.dtype), K)) for q in range(table.n)])
    return y + h * torch.einsum("k,k...->...", b.to(y.dtype), K)


FIELDS: dict[str, Callable[..., Any]] = {
    "affine": AffineField,
    "antisymmetric": lambda *a, **k: AntisymmetricField(*a, diffusion=0.3, **k),
    "definite": DefiniteField,
    "gradient": lambda *a, **k: GradientField(*a, inner=5, **k),
    "hamiltonian": HamiltonianField,
}


@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
@pytest.mark.parametrize("field", FIELDS)
def test_from_tableau_is_the_runge_kutta_method_of_the_field(field: str, dtype: torch.dtype) -> None:
    if field == "definite" and dtype.is_complex:
        pytest.skip("real only")
    torch.manual_seed(5)
    f = FIELDS[field](4, 2, dtype=dtype)
    x, y = random(3, 2, 2, dtype=dtype), random(2, 4, seed=3, dtype=dtype)
    for name in ("rk4", "gauss2", "sdirk34", "lobatto_iiib3"):
        with torch.no_grad():
            output, _ = ODERNN.from_tableau(name, f, 0.1)(x, y.unsqueeze(0))
            expected = y
            for l in range(3):  # noqa: E741 - the paper's time
                expected = runge_kutta(tableaux[name], lambda v, at=x[l]: f(v, at), expected, 0.1)
                close(output[l], expected)


def test_fields_are_what_their_docstrings_say() -> None:
    torch.manual_seed(6)
    y, x = random(2, 4), random(2, 2, seed=8)
    affine = AffineField(4, 2, dtype=F64)
    close(affine(y, x), torch.tanh(y @ affine.W.T + x @ affine.V.T + affine.b))
    gradient = GradientField(4, 2, inner=3, dtype=F64, activation="sigmoid")
    close(gradient(y, x), -torch.sigmoid(y @ gradient.K.T + x @ gradient.V.T + gradient.b) @ gradient.K)
    hamiltonian = HamiltonianField(4, dtype=F64, bias=False)
    u, v = y.split(2, -1)
    W = hamiltonian.W
    close(hamiltonian(y), torch.cat([torch.tanh(v @ W.T), -torch.tanh(u @ W)], -1))
    antisymmetric = AntisymmetricField(4, diffusion=0.2, dtype=F64)
    A = antisymmetric.weight + 0.2 * torch.eye(4, dtype=F64)
    close(A, -A.T)
    definite = DefiniteField(4, dtype=F64, epsilon=0.3)
    assert torch.linalg.eigvalsh(definite.M).min() >= 0.3 - CLOSE
    close(definite(y), torch.tanh(-y @ definite.M + definite.b))


def test_complex_fields_take_the_conjugate_transpose_and_activate_the_parts_by_themselves() -> None:
    torch.manual_seed(6)
    y, z = random(50, 4, dtype=C128), random(50, 4, seed=3, dtype=C128)

    def split_tanh(v: Tensor) -> Tensor:
        return torch.complex(torch.tanh(v.real), torch.tanh(v.imag))

    gradient = GradientField(4, inner=3, dtype=C128)
    K = gradient.K.detach()
    close(gradient(y), -split_tanh(y @ K.T + gradient.b) @ K.conj())
    assert ((gradient(y) - gradient(z)).conj() * (y - z)).sum(-1).real.max() < 0  # monotone
    hamiltonian = HamiltonianField(4, dtype=C128, bias=False)
    W, (u, v) = hamiltonian.W.detach(), y.split(2, -1)
    close(hamiltonian(y), torch.cat([split_tanh(v @ W.T), -split_tanh(u @ W.conj())], -1))
    A = AntisymmetricField(4, dtype=C128).weight.detach()
    close(A, -A.T.conj())
    assert (A + A.T).abs().max() > 0.1


def test_the_number_zero_and_nothing_are_the_same_coefficient() -> None:
    zero, none = (
        Equations(1, W=[random(3, 3), z], b=[z, z], V=[z, z], gamma=[z, z], alpha=[[z]], beta=[1.0])
        for z in (0.0, None)
    )
    assert list(zero.structure.slots) == list(none.structure.slots) == ["W_1", "beta_1"]
    assert torch.equal(answer(ODERNN(zero)), answer(ODERNN(none)))


def test_a_network_may_consist_of_numbers_only() -> None:
    """It has no tensor that could tell its dtype: `.to` still does."""
    layer = Equations(1, W=[0.5, None], beta=[1.0], gamma=[0, 2.0], state_size=3)
    network = ODERNN(layer)
    y = torch.tensor([[1.0, 2.0, 3.0]])
    close(network.integrate(y, 1)[1], 2 * y + torch.tanh(0.5 * y), 1e-6)
    y = y.double()
    close(network.double().integrate(y, 1)[1], 2 * y + torch.tanh(0.5 * y))
    turning = ODERNN(Equations(1, W=[1j, None], sigma=["identity"] * 2, beta=[1.0], state_size=3))
    assert torch.equal(turning.integrate(torch.ones(1, 3), 2)[2, 0], torch.full((3,), -1 + 0j))


# --- copies and files ---


def kinds_of_networks() -> dict[str, ODERNN]:
    torch.manual_seed(8)
    shared = parameter(3, 3)
    drawn = Drawn(4, 2, 2, "fully implicit", equal=False, dtype=F64, input_size=2)
    buffer = torch.eye(3, dtype=F64)
    field = AffineField(3, 3, dtype=F64)
    custom = ButcherTableau("gauss2", [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]], [0.2, 0.3, 0.5], order=1)
    three = {"V": [parameter(3, 3, seed=3), None], "input_size": 3}
    return {
        "coefficients": ODERNN(drawn.equations(solver=Solver("newton", 1e-6, 20)), batch_first=True),
        "shared parameters": ODERNN(
            Equations(2, W=[shared, shared, None], alpha=[[0, 0], [shared, 0]], beta=[buffer, buffer], gamma=[0, 0, 1])
        ),
        "parameters shared by layers": ODERNN(
            [Equations(1, W=[shared, None], beta=[buffer], **three) for _ in range(2)], dropout=0.3
        ),
        "complex": ODERNN(Drawn(6, 2, 1, "explicit", equal=True, dtype=C128, input_size=1).equations()),
        "x block": ODERNN(
            Drawn(9, 2, 1, "explicit", equal=True, dtype=F64, input_size=1, x_block=True).equations(
                read=slice(1, None, 2)
            )
        ),
        "numbers": ODERNN(Equations(1, W=[0.5, None], beta=[1.0], state_size=3)).double(),
        "tableau": ODERNN.from_tableau("gauss2", GradientField(4, 2, inner=3, dtype=F64), 0.2, solver=Solver("newton")),
        "a tableau of one's own": ODERNN.from_tableau(
            custom, AffineField(3, 2, activation="sin", bias=False, dtype=F64), 0.2
        ),
        "one field in two layers": ODERNN.from_tableau("rk4", [field, field], 0.2),
        "antisymmetric": ODERNN.from_tableau("heun", AntisymmetricField(3, 2, diffusion=0.1, dtype=F64), 0.1),
        "complex field": ODERNN.from_tableau("heun", HamiltonianField(4, 2, dtype=C128), 0.1),
        "LSTM": qunn.as_odernn(nn.LSTM(2, 3, 2, dtype=F64, dropout=0.1)),
        "complex URNN": qunn.as_odernn(qunn.URNN(2, 3, 2, dtype=C128)),
        "leapfrog": qunn.as_odernn(qunn.ARNN(2, 4, scheme="leapfrog", dtype=F64)),
    }


every_network = pytest.mark.parametrize("name", list(kinds_of_networks()))


def answer(network: ODERNN) -> Tensor:
    dtype = network.equations[0].state_dtype
    wide = C128 if dtype.is_complex else F64
    x, sizes = random(2, 2, network.input_size, dtype=wide).to(dtype), network.state_sizes
    h = tuple(random(network.num_layers, 2, size, seed=i, dtype=wide).to(dtype) for i, size in enumerate(sizes))
    return network.eval()(x, h if len(h) > 1 else h[0])[0].detach()


@every_network
def test_comes_back_from_a_file_bit_for_bit(name: str, tmp_path: Path) -> None:
    network = kinds_of_networks()[name]
    network.save(tmp_path / "model.safetensors")
    torch.manual_seed(99)
    back = qunn.load(tmp_path / "model.safetensors")
    assert repr(back) == repr(network)
    assert json.dumps(back.config()) == json.dumps(network.config())
    assert list(back.state_dict()) == list(network.state_dict())
    assert torch.equal(answer(back), answer(network))
    trained = [(key, p.requires_grad) for key, p in network.named_parameters()]
    assert [(key, p.requires_grad) for key, p in back.named_parameters()] == trained
    for layer, other in zip(back.equations, network.equations, strict=True):
        assert layer.solver == other.solver


def test_shared_parameters_are_written_once_and_shared_again(tmp_path: Path) -> None:
    for name, kept in (
        ("shared parameters", ["W_1", "beta_1"]),
        ("parameters shared by layers", ["V_1", "W_1", "beta_1"]),
    ):
        network = kinds_of_networks()[name]
        network.save(tmp_path / "model.safetensors")
        assert sorted(load_file(tmp_path / "model.safetensors")) == [f"layers.0.{key}" for key in kept]
        back = qunn.load(tmp_path / "model.safetensors")
        assert len(list(back.parameters())) == len(list(network.parameters()))
        before = answer(back)
        with torch.no_grad():
            next(iter(back.parameters())).add_(0.1)
            next(iter(network.parameters())).add_(0.1)
        assert torch.equal(answer(back), answer(network))
        assert not torch.equal(answer(back), before)


@every_network
def test_a_deep_copy_is_independent(name: str) -> None:
    network = kinds_of_networks()[name]
    before = answer(network)
    other = copy.deepcopy(network)
    assert torch.equal(answer(other), before)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.mul_(1.5)
    assert torch.equal(answer(network), before)
    assert name == "numbers" or not torch.equal(answer(other), before)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("how", ["to", "to the real dtype", "float"])
@every_network
def test_a_conversion_reaches_every_tensor(name: str, how: str) -> None:
    network = kinds_of_networks()[name]
    single = torch.complex64 if "complex" in name else torch.float32
    before = answer(network)
    real = [key for key, p in network.named_parameters() if not p.is_complex()]
    if how == "float":
        network.float()
    else:
        network.to(single if how == "to" else torch.float32)
    assert [key for key, p in network.named_parameters() if not p.is_complex()] == real
    assert {p.dtype for p in (*network.parameters(), *network.buffers())} <= {single, torch.float32}
    after = answer(network)
    assert after.dtype == single
    close(after.to(before.dtype), before, 1e-5)


def not_to_be_saved() -> dict[str, tuple[Callable[[], ODERNN], str]]:
    function = "which no file can hold"
    return {
        "function": (
            lambda: ODERNN(Equations(1, W=[I3, None], kappa=[Scalar(same(I3[0, 0])), None], beta=[1])),
            f"`kappa_1` is a function, {function}",
        ),
        "complex number": (
            lambda: ODERNN(Equations(1, W=[1j, None], beta=[1], state_size=2)),
            f"`W_1` is a complex number, {function}",
        ),
        "part of a module": (
            lambda: ODERNN(Equations(1, W=[part(AffineField(3), "weight"), None], beta=[1])),
            f"`W_1` is a function, {function}",
        ),
        "callable sigma": (
            lambda: ODERNN(Equations(1, W=[I3, None], sigma=[torch.cos, "identity"], beta=[1])),
            f"`sigma_1` is the callable 'cos', {function}",
        ),
        "callable in a field": (
            lambda: ODERNN.from_tableau("rk4", AffineField(3, activation=torch.cos), 0.1),
            f"`activation` is the callable 'cos', {function}",
        ),
    }


@pytest.mark.parametrize("name", list(not_to_be_saved()))
def test_a_function_cannot_be_saved(name: str, tmp_path: Path) -> None:
    make, message = not_to_be_saved()[name]
    network = make()
    assert refused(lambda: network.save(tmp_path / "model.safetensors")) == message
    assert not list(tmp_path.iterdir())


def test_a_function_field_cannot_be_saved(tmp_path: Path) -> None:
    network = ODERNN.from_tableau("rk4", FunctionField(torch.tanh, 3), 0.1)
    fields = "affine, antisymmetric, definite, gradient, hamiltonian"
    message = refused(lambda: network.save(tmp_path / "model.safetensors"))
    assert message == f"`field` must be one of {fields} to be saved, but is FunctionField"
    assert not list(tmp_path.iterdir())


# --- what is refused, word for word ---


def one(**given: Any) -> Callable[[], Equations]:
    return lambda: Equations(1, **{"W": [I3, None], "beta": [1]} | given)


def two(**given: Any) -> Callable[[], Equations]:
    return lambda: Equations(2, **{"W": [I3, I3, None], "beta": [1, 1]} | given)


def nan(*shape: int) -> Tensor:
    return torch.full(shape, float("nan"))


F4 = AffineField(4)
NAMES = "identity, tanh, sigmoid, relu, leaky_relu, softplus, elu, sin, gelu"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no stage": (lambda: Equations(0, W=[None], beta=[]), "`n` must be an integer of at least 1, but is 0"),
    "t": (lambda: Equations(1, 0, W=[I3, None], beta=[1]), "`t` must be an integer of at least 1, but is 0"),
    "n true": (lambda: Equations(True, W=[I3, None], beta=[1]), "`n` must be an integer of at least 1, but is True"),
    "h = 0": (one(h=0), "`h` must be a positive number, but is 0"),
    "h < 0": (one(h=-0.5), "`h` must be a positive number, but is -0.5"),
    "h NaN": (one(h=float("nan")), "`h` must be a positive number, but is nan"),
    "h infinite": (one(h=float("inf")), "`h` must be a positive number, but is inf"),
    "short W": (one(W=[I3]), "`W` must be a list of 2 entries, but is '1 entries'"),
    "W a tensor": (one(W=I3), "`W` must be a list of 2 entries, but is 'Tensor'"),
    "long beta": (one(beta=[1, 1]), "`beta` must be a list of 1 entries, but is '2 entries'"),
    "short alpha": (two(alpha=[[0, 0]]), "`alpha` must be a list of 2 entries, but is '1 entries'"),
    "short row": (two(alpha=[[0, 0], [1]]), "`alpha[2]` must be a list of 2 entries, but is '1 entries'"),
    "sigma short": (one(sigma=["tanh"]), "`sigma` must be a list of 2 names or callables, but is ['tanh']"),
    "sigma text": (one(sigma="tanh"), "`sigma` must be a list of 2 names or callables, but is 'tanh'"),
    "sigma unknown": (
        one(sigma=["tanhh", "identity"]),
        f"`sigma_1` must be one of {NAMES}, or a callable, but is 'tanhh'",
    ),
    "a and alpha": (
        one(a=[[0]], alpha=[[0]]),
        "`a` must be left out where `alpha` is given: it means α_qk = W_q a_qk, but is 'given'",
    ),
    "no size": (
        lambda: Equations(1, W=[2.0, None], beta=[1]),
        "`state_size` must be given where no W_q is a vector or a matrix, but is None",
    ),
    "state size 0": (one(state_size=0), "`state_size` must be an integer of at least 1, but is 0"),
    "non-square W": (
        one(W=[torch.ones(3, 4), None]),
        "`the right side of Eq. (4), q = 2,` must be of size 4, as Y, but is 3",
    ),
    "W of another state": (two(W=[I3, torch.eye(4), None]), "`W_2` must be of 3 columns, but is (4, 4)"),
    "b": (one(b=[torch.ones(4), None]), "`b_1` must be of 3 rows, as W_1, but is 4"),
    "b a matrix": (one(b=[I3, None]), "`b_1` must be a vector, or Vector(f, size), but is (3, 3)"),
    "b a number": (one(b=[1.5, None]), "`b_1` must be a vector, or Vector(f, size), but is 1.5"),
    "V without input": (
        one(V=[torch.ones(3, 2), None]),
        "`V_1` must be a constant matrix of 0 columns, as x, but is (3, 2)",
    ),
    "V of another input": (
        one(V=[torch.ones(3, 2), None], input_size=1),
        "`V_1` must be a constant matrix of 1 columns, as x, but is (3, 2)",
    ),
    "V moving": (
        one(V=[Full(same(I3), (3, 3)), None], input_size=3),
        "`V_1` must be a constant matrix of 3 columns, as x, but is (3, 3)",
    ),
    "gamma_1": (one(gamma=[1, 0]), "`gamma_1` must be 0: there is no K_0, but is 1"),
    "gamma_2": (two(gamma=[0, torch.ones(4), 0]), "`gamma_2` must be of 3 columns, but is (4,)"),
    "gamma_2 of other rows": (
        two(gamma=[0, torch.ones(4, 3), 0]),
        "`gamma_2` must be of 3 rows, as what it is added to, but is (4, 3)",
    ),
    "kappa 0": (one(kappa=[0, 1]), "`kappa_1` must be other than 0: such a stage would vanish, but is 0"),
    "kappa": (one(kappa=[torch.ones(3, 2), None]), "`kappa_1` must be of 3 rows, as W_1, but is 2"),
    "alpha": (two(alpha=[[0, 0], [torch.ones(2, 3), 0]]), "`alpha_2_1` must be of 3 rows, as W_2, but is 2"),
    "alpha columns": (two(alpha=[[0, 0], [torch.ones(3, 2), 0]]), "`alpha_2_1` must be of 3 columns, but is (3, 2)"),
    "beta": (one(beta=[torch.ones(3, 4)]), "`beta_1` must be of 3 columns, but is (3, 4)"),
    "three dimensions": (
        one(beta=[torch.zeros(1, 1, 1)]),
        "`beta_1` must be a number, a vector, a matrix, or a function in Scalar, Diagonal or Full, but is "
        "tensor([[[0.]]])",
    ),
    "text": (
        one(beta=["1"]),
        "`beta_1` must be a number, a vector, a matrix, or a function in Scalar, Diagonal or Full, but is '1'",
    ),
    "truth value": (
        one(beta=[True]),
        "`beta_1` must be a number, a vector, a matrix, or a function in Scalar, Diagonal or Full, but is True",
    ),
    "bare function": (
        one(kappa=[len, None]),
        "`kappa_1` must be wrapped when it is a function: Scalar(f), Diagonal(f, size) or Full(f, shape), but is "
        "<built-in function len>",
    ),
    "vector for W": (
        one(W=[Vector(torch.ones(3)), None]),
        "`W_1` must be Scalar(…), Diagonal(…) or Full(…), but is 'Vector(…)'",
    ),
    "no size of a function": (
        lambda: Diagonal(len),
        "`size` must be given beside a function, for a diagonal coefficient, but is None",
    ),
    "no shape of a function": (
        lambda: Full(len),
        "`shape` must be given beside a function, for a full coefficient, but is None",
    ),
    "diagonal of a matrix": (lambda: Diagonal(I3), "`diagonal` must be of 1 dimensions, but is (3, 3)"),
    "full of a text": (
        lambda: Full("W"),
        "`full` must be a number, a tensor, or a function of (step, history, x), but is 'W'",
    ),
    "NaN": (one(b=[nan(3), None]), "`b_1` must be finite, but is [nan, nan, nan]"),
    "NaN in W": (one(W=[nan(1, 1), None]), "`W_1` must be finite, but is [[nan]]"),
    "infinite number": (one(beta=[float("inf")]), "`beta_1` must be finite, but is inf"),
    "infinite parameter": (one(W=[nn.Parameter(nan(1, 1)), None]), "`W_1` must be finite, but is [[nan]]"),
    "integers": (
        one(W=[torch.eye(3, dtype=torch.int64), None]),
        "`W_1` must be of a floating-point or complex dtype, but is torch.int64",
    ),
    "a complex b": (
        one(b=[torch.zeros(3, dtype=torch.complex64), None]),
        "`b_1` must be of one dtype with the others, torch.float32, but is torch.complex64",
    ),
    "a double b": (
        one(b=[torch.zeros(3, dtype=F64), None]),
        "`b_1` must be of one dtype with the others, torch.float32, but is torch.float64",
    ),
    "a complex number": (one(beta=[1j]), "`beta_1` must be real, as the tensors, torch.float32, but is 1j"),
    "x block too large": (
        one(x_block=True, input_size=3),
        "`input_size` must be between 1 and 2 where x is a block of Y, but is 3",
    ),
    "parts": (one(parts=(1, 1)), "`parts` must be sizes that add up to 3, but is (1, 1)"),
    "parts and delays": (
        lambda: Equations(2, 2, W=[I3, I3, None], beta=[1, 1], parts=(3,)),
        "`parts` must be left out for t > 1, where the parts are Y_l, Y_{l-1}, …, but is (3,)",
    ),
    "solver": (one(solver="newton"), "`solver` must be a Solver, but is 'newton'"),
    "no layers": (lambda: ODERNN([]), "`layers` must be Equations, or a list of at least one, but is []"),
    "no layer": (
        lambda: ODERNN([F4]),
        "`layers` must be Equations, or a list of at least one, but is [AffineField()]",
    ),
    "layers that do not meet": (
        lambda: ODERNN([one()(), one()()]),
        "`layers` must be such that 3 outputs meet as many inputs, but is 0",
    ),
    "layers of other sizes": (
        lambda: ODERNN(
            [one()(), Equations(1, W=[torch.eye(4), None], V=[torch.ones(4, 3), None], input_size=3, beta=[1])]
        ),
        "`layers` must be layers whose states have the sizes (3,), but is (4,)",
    ),
    "bidirectional": (
        lambda: ODERNN(one()(), bidirectional=True),
        "`bidirectional` must be False: Eqs. (2)-(4) run forward in time only, but is True",
    ),
    "dropout": (lambda: ODERNN(one()(), dropout=1.5), "`dropout` must be a probability in [0, 1], but is 1.5"),
    "tableau": (
        lambda: ODERNN.from_tableau("gaus2", F4, 0.1),
        f"`tableau` must be one of {', '.join(tableaux)}, but is 'gaus2'",
    ),
    "no tableau": (lambda: ODERNN.from_tableau(4, F4, 0.1), "`tableau` must be a name or a ButcherTableau, but is 4"),
    "tableau b": (
        lambda: ButcherTableau("mine", [[0, 0], [1, 0]], [1], order=1),
        "`b` must be of shape (2,), one number a stage, but is of shape (1,)",
    ),
    "tableau A": (
        lambda: ButcherTableau("mine", [[0, 0]], [1], order=1),
        "`A` must be a square matrix, but is of shape (1, 2)",
    ),
    "step": (lambda: ODERNN.from_tableau("rk4", F4, 0), "`h` must be a positive number, but is 0"),
    "step a text": (lambda: ODERNN.from_tableau("rk4", F4, "1"), "`h` must be a positive number, but is '1'"),
    "no field": (
        lambda: ODERNN.from_tableau("rk4", len, 0.1),
        "`field` must be a Field, or a list of them (a function y ↦ f(y) is a FunctionField), but is "
        "<built-in function len>",
    ),
    "a list with no field": (
        lambda: ODERNN.from_tableau("rk4", [3], 0.1),
        "`field` must be a Field, or a list of them (a function y ↦ f(y) is a FunctionField), but is [3]",
    ),
    "field size": (lambda: AffineField(0), "`size` must be an integer of at least 1, but is 0"),
    "field activation": (
        lambda: AffineField(2, activation="tan"),
        f"`activation` must be one of {NAMES}, or a callable, but is 'tan'",
    ),
    "odd pair": (lambda: HamiltonianField(3), "`size` must be even, two halves y and z, but is 3"),
    "pair of a text": (lambda: HamiltonianField("x"), "`size` must be an integer of at least 1, but is 'x'"),
    "inner": (lambda: GradientField(3, inner=0), "`inner` must be an integer of at least 1, but is 0"),
    "epsilon": (lambda: DefiniteField(3, epsilon=0), "`epsilon` must be a positive number, but is 0"),
    "complex definite": (
        lambda: DefiniteField(3, dtype=torch.complex64),
        "`dtype` must be real: L Lᵀ would not be Hermitian, but is torch.complex64",
    ),
    "diffusion": (lambda: AntisymmetricField(3, diffusion=-1), "`diffusion` must be a number of at least 0, but is -1"),
    "field without x": (
        lambda: AffineField(2, 1)(torch.ones(2)),
        "`x` must be a tensor of 1 features, but is None",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(name: str) -> None:
    make, message = REFUSED[name]
    assert refused(make) == message


def with_input() -> ODERNN:
    return ODERNN(Equations(2, 2, W=[I3, I3, None], V=[torch.ones(3, 2), None, None], input_size=2, beta=[1, 1]))


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "features": (
        lambda: with_input()(torch.zeros(4, 1, 3)),
        "`input` must be of 2 features in its last dimension, but is (4, 1, 3)",
    ),
    "dimensions": (
        lambda: with_input()(torch.zeros(2)),
        "`input` must be of shape (time, batch, features), or (time, features), but is (2,)",
    ),
    "no steps": (
        lambda: with_input()(torch.zeros(0, 1, 2)),
        "`input` must be at least one time step long, but is (0, 1, 2)",
    ),
    "dtype": (
        lambda: with_input()(torch.zeros(4, 1, 2, dtype=F64)),
        "`input` must be of dtype torch.float32, that of the module (`.to(float32)`), but is torch.float64",
    ),
    "NaN": (lambda: with_input()(nan(4, 1, 2)), "`input` must be finite, but is nan at index (0, 0, 0)"),
    "one state": (
        lambda: with_input()(torch.zeros(4, 1, 2), torch.zeros(1, 1, 3)),
        "`h_0` must be a tuple of 2 tensors, but is 'Tensor'",
    ),
    "state": (
        lambda: with_input()(torch.zeros(4, 1, 2), (torch.zeros(1, 1, 3), torch.zeros(1, 2, 3))),
        "`h_0` must be of shape (1, 1, 3), but is (1, 2, 3)",
    ),
    "NaN in the state": (
        lambda: with_input()(torch.zeros(4, 1, 2), (torch.zeros(1, 1, 3), nan(1, 1, 3))),
        "`h_0` must be finite, but is nan at index (0, 0, 0)",
    ),
    "step": (
        lambda: with_input()(torch.zeros(4, 1, 2), step=-1),
        "`step` must be an integer of at least 0, but is -1",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_does_not_fit_is_refused_in_one_line(name: str) -> None:
    call, message = CALLS[name]
    assert refused(call) == message


def test_integrate_is_for_one_layer_without_delays_and_input() -> None:
    message = refused(lambda: with_input().integrate(torch.ones(3), 2))
    assert message.startswith("`integrate` must be called on one layer with t = 1 and no input, but is ")
    network = ODERNN.from_tableau("rk4", AffineField(3, dtype=F64), h=0.1)
    shape = "`y_0` must be a tensor of shape (batch, 3) or (3,), but is "
    assert refused(lambda: network.integrate(torch.ones(4, dtype=F64), 2)) == shape + "(4,)"
    assert refused(lambda: network.integrate([1.0, 2.0, 3.0], 2)) == shape + "[1.0, 2.0, 3.0]"
    dtype = "`y_0` must be of dtype torch.float64, that of the network, but is torch.float32"
    assert refused(lambda: network.integrate(torch.ones(3), 2)) == dtype


# --- the n-t-ARNN in general ---


@pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])
@pytest.mark.parametrize("weight", ["antisymmetric", "imaginary-symmetric"])
@pytest.mark.parametrize(("n", "t"), [(1, 1), (2, 1), (2, 2), (3, 4)])
def test_the_general_arnn_equals_the_literal_equations(n: int, t: int, weight: str, dtype: torch.dtype) -> None:
    """W_q from the saved parameters by hand, all a_qk and β_k moved away from where they start."""
    s, m, h = 4, 2, 0.3
    torch.manual_seed(2)
    network = ODERNN.anti_hermitian(n, t, m, s, h=h, weight=weight, dtype=dtype)
    p = {name.removeprefix("layers.0.source."): value for name, value in network.named_parameters()}
    with torch.no_grad():
        for name, value in p.items():
            if name.startswith(("a_", "beta_")):
                assert value.dtype == F64
                value.add_(0.1 * torch.randn((), dtype=F64))
    raw = [
        p[f"parametrizations.weight_{q}.original" + ("0" if weight != "antisymmetric" else "")] for q in range(1, n + 1)
    ]
    W = []
    for A in (array(A) for A in raw):
        if weight == "antisymmetric":
            W.append(A - A.conj().T)
            continue
        S = (A + A.T) / 2
        zero = np.zeros_like(S)
        W.append(1j * S if dtype.is_complex else np.block([[zero, -S], [S, zero]]))
    alpha = [[W[q] * p[f"a_{q + 1}_{k + 1}"].item() if k < q else None for k in range(n)] for q in range(n)]
    layer = reference.Layer(
        n,
        t,
        h,
        [*W, None],
        [*(array(p[f"bias_{q}"]) for q in range(1, n + 1)), None],
        [*(array(p[f"weight_in_{q}"]) for q in range(1, n + 1)), None],
        ["tanh"] * n + ["identity"],
        [None] * n + [1.0],
        [None] * (n + 1),
        alpha,
        [p[f"beta_{q}"].item() for q in range(1, n + 1)],
        [s] * n,
    )
    x, history = random(5, 2, m, dtype=dtype), [random(2, s, seed=i, dtype=dtype) for i in range(t)]
    state = tuple(Y.unsqueeze(0) for Y in history) if t > 1 else history[0].unsqueeze(0)
    output, _ = network(x, state)
    for i in range(2):
        close(output[:, i], reference.run(layer, x[:, i].numpy(), [Y[i].numpy() for Y in history])[0])
    assert (network.n, network.t) == (n, 1 + (t * (n - 1)) // n)


def test_the_general_arnn_starts_as_the_midpoint_rule_and_stays_anti_hermitian() -> None:
    torch.manual_seed(3)
    network = ODERNN.anti_hermitian(2, 1, 3, 3, 2, h=0.2, dtype=F64)
    assert network.num_layers == 2
    member = network.equations[0].source
    assert member is not None
    with torch.no_grad():
        member.weight_2 = member.weight_1  # one field for both stages
        member.weight_in_2.copy_(member.weight_in_1)
        member.bias_2.copy_(member.bias_1)
        field = AntisymmetricField(3, 3, dtype=F64)
        field.W, field.V, field.b = member.weight_1, nn.Parameter(member.weight_in_1), nn.Parameter(member.bias_1)
        x = random(4, 2, 3)
        below = ODERNN(network.equations[0])
        close(below(x)[0], ODERNN.from_tableau("midpoint", field, 0.2)(x)[0])
    optimiser = torch.optim.Adam(network.parameters(), 0.1)
    network(x)[0].square().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused
    optimiser.step()
    for layer in network.equations:
        for q in (1, 2):
            W = layer.value(f"W_{q}")
            close(W, -W.mH)


def test_the_general_arnn_comes_back_from_a_file(tmp_path: Path) -> None:
    for dtype in (F64, C128):
        torch.manual_seed(4)
        network = ODERNN.anti_hermitian(2, 3, 2, 4, weight="imaginary-symmetric", h=0.2, activation="sin", dtype=dtype)
        network.save(tmp_path / "model.safetensors")
        torch.manual_seed(5)
        back = qunn.load(tmp_path / "model.safetensors")
        assert torch.equal(answer(back), answer(network))
        assert repr(back) == repr(network)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "`n` must be an integer of at least 1, but is 0"),
        ({"t": 0}, "`t` must be an integer of at least 1, but is 0"),
        ({"hidden_size": 0}, "`hidden_size` must be an integer of at least 1, but is 0"),
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1, but is 0"),
        ({"h": -1.0}, "`h` must be a positive number, but is -1.0"),
        ({"weight": "symmetric"}, "`weight` must be one of antisymmetric, imaginary-symmetric, but is 'symmetric'"),
        ({"activation": "tan"}, f"`activation` must be one of {NAMES}, but is 'tan'"),
        (
            {"weight": "imaginary-symmetric", "hidden_size": 3},
            "`hidden_size` must be even for the real embedding [[0, -S], [S, 0]], but is 3",
        ),
    ],
)
def test_a_general_arnn_that_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    sizes = {"n": 2, "t": 1, "input_size": 2, "hidden_size": 4}
    assert refused(lambda: ODERNN.anti_hermitian(**(sizes | given))) == message
