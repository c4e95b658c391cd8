"""The compiled CPU path against `structured`: values, all gradients, and who takes which path."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from qunn.quantum import fused, lanes
from qunn.quantum.history import History, QUNNState
from qunn.quantum.network import QUNN

CLOCKS = ("one-hot", "learned", "learned-read")
HISTORIES = ("sliding", "block")
SIGMAS = (
    ("tanh", "tanh", "identity"),
    ("identity", "identity", "identity"),
    ("relu", "tanh", "sigmoid"),
    ("sigmoid", "sigmoid", "tanh"),
    ("tanh", "relu", "relu"),
    ("identity", "sigmoid", "identity"),
)


def model(d: int, N: int, L: int, dtype: torch.dtype = torch.float64, seed: int = 0, **options: Any) -> QUNN:
    torch.manual_seed(seed)
    made = QUNN(d, N, L, dtype=dtype, **options)
    with torch.no_grad():
        assert isinstance(made.skip, Tensor)
        made.skip.uniform_(-1, 1)
        made.p1_logit.normal_()
        made.p2_logit.normal_()
    return made


def streamed(net: QUNN, B: int, T: int) -> tuple[Tensor, QUNNState]:
    """An input and a state in the middle of a sequence, at another position in each."""
    dtype = net.p1_logit.dtype
    Y = torch.randn(B, T, net.input_size, dtype=dtype, requires_grad=True)
    past = torch.randn(B, net.num_layers, net.input_size, dtype=dtype, requires_grad=True)
    return Y, QUNNState(past, torch.randint(0, 100, (B,)))


def gradients(net: QUNN, Y: Tensor, state: QUNNState, cotangent: Tensor) -> list[Tensor]:
    """The outputs and their gradients in inputs, past and parameters."""
    output = net(Y, state)[0]
    inputs = [Y, state.history, *net.parameters()]
    return [output, *torch.autograd.grad(output, inputs, cotangent)]


def served(net: QUNN) -> bool:
    Y = torch.zeros(1, 2, net.input_size, dtype=net.p1_logit.dtype)
    past = History(Y, net._state(None, Y, batched=True), net.history, net.period)
    return fused.serves(net._stack(), past, net.p1, net.p2)


def check_equal(net: QUNN, B: int, T: int, tolerance: float) -> None:
    assert served(net)
    Y, state = streamed(net, B, T)
    cotangent = torch.randn_like(Y)
    found = gradients(net, Y, state, cotangent)
    with fused.disabled():
        wanted = gradients(net, Y, state, cotangent)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().max() <= tolerance * (1 + theirs.abs().max())
    with torch.no_grad():
        assert torch.equal(net(Y, state)[0], found[0])


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("sigmas", SIGMAS)
@pytest.mark.parametrize("extra", [-1, 0, 1, None])
def test_outputs_and_gradients_are_those_of_structured(
    clock: str, history: str, sigmas: Any, extra: int | None
) -> None:
    """L from N-1 to 2N; the sizes change with the case."""
    case = CLOCKS.index(clock) + HISTORIES.index(history) + SIGMAS.index(sigmas)
    N, d, B, T = [2, 3, 5, 7][case % 4], [1, 3, 2, 5][case % 3], [1, 7, 3][case % 3], [1, 5, 23, 61][case % 4]
    L = 2 * N if extra is None else N + extra
    options = {"clock": clock, "history": history, "activations": sigmas, "step": 0.7, "share": case % 2 == 1}
    check_equal(model(d, N, L, seed=case, **options), B, T, 1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_random_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    N, d, B, T = (int(rng.integers(*between)) for between in ((2, 14), (1, 18), (1, 9), (1, 70)))
    L = int(rng.integers(N - 1, 2 * N + 1))
    options = {"clock": CLOCKS[seed % 3], "history": HISTORIES[seed % 2]}
    check_equal(model(d, N, L, seed=seed, **options), B, T, 1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_float32_is_as_near_to_float64_as_structured_is(seed: int) -> None:
    """A chaotic stack loses digits on every path."""
    rng = np.random.default_rng(seed)
    N, d, B, T = (int(rng.integers(*between)) for between in ((2, 14), (1, 18), (1, 9), (1, 70)))
    net = model(d, N, N + seed % 2, torch.float32, seed, clock=CLOCKS[seed % 3], history=HISTORIES[seed % 2])
    Y, state = streamed(net, B, T)
    cotangent = torch.randn_like(Y)
    found = gradients(net, Y, state, cotangent)
    with fused.disabled():
        other = gradients(net, Y, state, cotangent)
        double = [v.detach().double().requires_grad_() for v in (Y, state.history)]
        exact = gradients(net.double(), double[0], QUNNState(double[1], state.position), cotangent.double())
    for mine, theirs, truth in zip(found, other, exact, strict=True):
        off, theirs_off = ((value - truth).norm() for value in (mine, theirs))
        assert off <= 3 * theirs_off + 2e-5 * truth.norm()


def test_the_training_case_in_float32() -> None:
    for clock in CLOCKS:
        net = QUNN(2, 12, clock=clock, dtype=torch.float32)  # type: ignore[arg-type]
        Y = torch.nn.functional.normalize(torch.randn(32, 48, 2), dim=-1).requires_grad_()
        state = net._state(None, Y, batched=True)
        state.history.requires_grad_()
        found = gradients(net, Y, state, torch.ones_like(Y) / Y.numel())
        with fused.disabled():
            wanted = gradients(net, Y, state, torch.ones_like(Y) / Y.numel())
        for mine, theirs in zip(found, wanted, strict=True):
            assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("history", HISTORIES)
def test_gradients_by_differences(clock: str, history: str) -> None:
    net = model(2, 3, 4, clock=clock, history=history, step=0.5)
    Y, state = streamed(net, 2, 4)
    names, values = zip(*net.named_parameters(), strict=True)

    def run(Y: Tensor, past: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(net, named, (Y, QUNNState(past, state.position)))[0]
        return found

    inputs = (Y, state.history, *(value.detach().clone().requires_grad_() for value in values))
    assert torch.autograd.gradcheck(run, inputs, check_batched_grad=True)


def test_second_derivatives_are_those_of_structured() -> None:
    net = model(1, 2, 2, clock="learned")
    Y, state = streamed(net, 1, 3)
    past = state.history.detach()
    assert torch.autograd.gradgradcheck(lambda Y: net(Y, QUNNState(past, state.position))[0], (Y,))
    gradient = torch.autograd.grad(net(Y)[0].sum(), Y, create_graph=True)[0].sum()
    found = torch.autograd.grad(gradient, list(net.parameters()))
    with fused.disabled():
        gradient = torch.autograd.grad(net(Y)[0].sum(), Y, create_graph=True)[0].sum()
        wanted = torch.autograd.grad(gradient, list(net.parameters()))
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # within torch's own forward mode
def test_forward_mode_and_function_transforms_take_the_general_path() -> None:
    net = model(2, 3, 3, clock="learned")
    Y, _ = streamed(net, 2, 5)
    Y = Y.detach()
    tangent = torch.randn_like(Y)
    _, along = torch.func.jvp(lambda Y: net(Y)[0].sum(), (Y,), (tangent,))
    gradient = torch.func.grad(lambda Y: net(Y)[0].sum())(Y)
    Y.requires_grad_()
    (wanted,) = torch.autograd.grad(net(Y)[0].sum(), Y)
    assert torch.allclose(gradient, wanted, atol=1e-12)
    assert torch.allclose(along, (tangent * wanted).sum(), atol=1e-12)


def test_a_strided_input_and_cotangent() -> None:
    net = model(3, 4, 4)
    wide = torch.randn(5, 9, 6, dtype=torch.float64)
    strided, plain = wide[:, :, ::2].requires_grad_(), wide[:, :, ::2].clone().requires_grad_()
    cotangent = torch.randn(3, 9, 5, dtype=torch.float64).permute(2, 1, 0)
    found, wanted = (torch.autograd.grad(net(Y)[0], Y, cotangent)[0] for Y in (strided, plain))
    assert torch.equal(found, wanted)
    assert torch.equal(*(torch.autograd.grad(net(Y)[0].sum(), Y)[0] for Y in (strided, plain)))


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_number_of_threads_gives_the_same_bits(clock: str) -> None:
    net = model(2, 5, 7, clock=clock)
    Y, state = streamed(net, 5, 67)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(gradients(net, Y, state, torch.ones_like(Y)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    net = model(2, 3, 3, clock="learned")
    assert net.clock.profile is not None
    net.clock.profile.requires_grad_(False)
    net(torch.randn(2, 9, 2, dtype=torch.float64))[0].sum().backward()
    assert net.clock.profile.grad is None
    assert net.p1_logit.grad is not None
    assert not net.requires_grad_(False)(torch.randn(2, 9, 2, dtype=torch.float64))[0].requires_grad


def test_an_input_changed_before_the_backward_pass_is_noticed() -> None:
    net = model(2, 3, 3)
    output = net(torch.randn(2, 9, 2, dtype=torch.float64))[0].sum()
    with torch.no_grad():
        net.skip.add_(1)  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


def test_who_is_served() -> None:
    assert served(model(2, 3, 3))
    assert served(model(2, 3, 3, torch.float32, recompute=True))
    assert not served(QUNN(2, 3, mode="unitary"))
    for skip in ("diagonal", "matrix"):
        assert not served(QUNN(2, 3, skip=skip))  # type: ignore[arg-type]
    assert not served(QUNN(2, 3, activations=("tanh", "gelu", "identity")))
    assert not served(QUNN(2, 3, activations=(torch.cos, "tanh", "identity")))
    assert not served(QUNN(2, 3, dtype=torch.bfloat16))
    with fused.disabled():
        assert not served(model(2, 3, 3))
    net = model(2, 3, 3)
    assert net(torch.randn(1, 4, 2, dtype=torch.complex128))[0].is_complex()
    assert net(torch.randn(1, 4, 2, dtype=torch.float64, device="cpu")[:, :1])[0].shape == (1, 1, 2)


def test_recompute_changes_nothing() -> None:
    net = model(2, 4, 5)
    other = QUNN(2, 4, 5, recompute=True, dtype=torch.float64)
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    Y, state = streamed(net, 3, 20)
    for a, b in zip(*(gradients(n, Y, state, torch.ones_like(Y)) for n in (net, other)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("elements", "each"), [(1, 10), (100, 10**9), (10**6, 100), (10**6, 10**5)])
def test_lanes(elements: int, each: int) -> None:
    V = fused.lanes(elements, each)
    assert V in (16, 32, 64, 128)
    assert V == 16 or (V * each <= fused.SCRATCH_BYTES and elements >= 8 * V)


# --- tanh and sigmoid ---


@njit(**lanes.OPTIONS)
def tanhs(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = lanes.tanh(x[i])


@njit(**lanes.OPTIONS)
def sigmoids(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        out[i] = lanes.sigmoid(x[i])


def numbers(dtype: Any, size: int = 100_000) -> Any:
    """Of every size."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    exponents = rng.uniform(np.log10(float(info.smallest_subnormal)) + 1, 2, size)
    signs = rng.choice([-1.0, 1.0], size)
    return np.concatenate([rng.uniform(-1, 1, size), rng.uniform(-20, 20, size), signs * 10**exponents]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_three_units_in_the_last_place(dtype: Any, name: str) -> None:
    x = numbers(dtype)
    found, kernel = np.empty_like(x), tanhs if name == "tanh" else sigmoids
    kernel(x, found)
    with np.errstate(over="ignore"):
        exact = np.tanh(x.astype(np.longdouble)) if name == "tanh" else 1 / (1 + np.exp(-x.astype(np.longdouble)))
    unit = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    least = -87 if dtype is np.float32 else -700  # below, sigmoid stays at its value here
    assert np.max((np.abs(found - exact) / unit)[(name == "tanh") | (x > least)]) < 3
    assert np.all(np.abs(found) <= 1)
    kernel(-x, mirrored := np.empty_like(x))
    off = 0 if name == "tanh" else 2 * np.finfo(dtype).eps
    assert np.allclose(mirrored, -found if name == "tanh" else 1 - found, rtol=0, atol=off)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_at_the_edge(dtype: Any) -> None:
    info = np.finfo(dtype)
    edge = [0.0, np.inf, np.nan, info.smallest_subnormal, info.tiny, info.max, 1e-20, 19.0, 45.0]
    x = np.array(edge + [-number for number in edge], dtype)
    tanhs(x, found := np.empty_like(x))
    assert np.allclose(found, np.tanh(x), rtol=3 * info.eps, atol=0, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(x))
    sigmoids(x, found)
    with np.errstate(over="ignore"):
        exact = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    assert np.allclose(found, exact, rtol=3 * info.eps, atol=2e-38, equal_nan=True)
