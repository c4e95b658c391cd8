"""The scan's gradient against autograd, the exact return, and what breaks it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import qunn
from hamiltonians import InputError
from qunn.activations import ACTIVATIONS, Activation
from qunn.arnn import stretch
from qunn.arnn.couplings import ReversalError, scan, unscan
from qunn.arnn.schemes import SCHEMES, Recurrence
from qunn.sequence import State

REVERSIBLE = ("symplectic-euler", "leapfrog")
#: (scheme, fraction_bits): stored states, and states on the grid
MODES = [("symplectic-euler", None), ("leapfrog", None), ("forward-euler", None)]
MODES += [("symplectic-euler", 40), ("leapfrog", 40)]
SLOPED = [name for name, a in ACTIVATIONS.items() if a.slope_from_value]


def normal(*shape: int, seed: int, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def problem(
    scheme: str, T: int, B: int, H: int, m: int = 2, dtype: torch.dtype = torch.float64, scale: float = 0.5
) -> tuple[Tensor, State, Tensor, Tensor, Tensor]:
    """x, state, W (of no symmetry: the gradient must not rely on any), V, b; all ask for gradients."""
    state = tuple(normal(B, H, seed=i, dtype=dtype) for i in range(SCHEMES[scheme].lag + 1))
    W, V = normal(H, H, seed=3, dtype=dtype, scale=scale), normal(H, m, seed=4, dtype=dtype)
    x, b = normal(T, B, m, seed=5, dtype=dtype), normal(H, seed=6, dtype=dtype)
    for t in (x, *state, W, V, b):
        t.requires_grad_()
    return x, state, W, V, b


# ------------------------------------------------------------- the same forward pass under autograd


def nearest(v: Tensor, f: int | None) -> Tensor:
    """v on the grid, with the gradient of the identity; v + (r - v) is r exactly, both sums being representable."""
    if f is None:
        return v
    parts = torch.view_as_real(v.detach()) if v.is_complex() else v.detach()
    rounded = torch.round(parts * 2.0**f) / 2.0**f
    r = torch.view_as_complex(rounded) if v.is_complex() else rounded
    return v + (r - v.detach())


def step_by_step(run: Recurrence, x: Tensor, state: State, W: Tensor, V: Tensor, b: Tensor) -> tuple[Tensor, State]:
    """The three schemes, each written out, for torch's own gradient."""
    h, f = run.h, run.fraction_bits
    state = tuple(nearest(part, f) for part in state)
    outputs = []
    u = torch.cat([part @ V.mT + b for part in x.split(run.chunk)])
    for u_l in u:
        if run.scheme.name == "symplectic-euler":
            y, z = state
            z = z + nearest(-h * run.sigma(torch.addmm(u_l, y, W.conj())), f)  # rows: (Wᴴ y)ᵀ = yᵀ W̄
            y = y + nearest(h * run.sigma(torch.addmm(u_l, z, W.mT)), f)
            state = (y, z)
        elif run.scheme.name == "leapfrog":
            y, y_before = state
            state = (y_before + nearest(2 * h * run.sigma(torch.addmm(u_l, y, W.mT)), f), y)
        else:
            (y,) = state
            state = (y + h * run.sigma(torch.addmm(u_l, y, W.mT)),)
        outputs.append(state[0])
    return torch.stack(outputs), state


def loss(output: Tensor, state: State, which: str) -> Tensor:
    """A function of all outputs and states, or of some of them."""
    parts = {"outputs": [output], "state": list(state), "last": [output[-1]], "both": [output, *state]}[which]
    return sum((((part - 0.3) * (1 + part)).abs() ** 2).mean() * (i + 1) for i, part in enumerate(parts))  # type: ignore[return-value]


def gradients(value: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, tensors, allow_unused=False)


def relative(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


def compare(run: Recurrence, tensors: Any, which: str = "both") -> float:
    x, state, W, V, b = tensors
    flat = (x, *state, W, V, b)
    output, after = scan(run, x, state, W, V, b)
    wanted, wanted_after = step_by_step(run, x, state, W, V, b)
    torch.testing.assert_close(output, wanted, rtol=0, atol=1e-10)
    return relative(gradients(loss(output, after, which), flat), gradients(loss(wanted, wanted_after, which), flat))


@pytest.mark.parametrize("which", ["outputs", "state", "last", "both"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(("scheme", "f"), MODES)
def test_gradient_is_that_of_autograd(scheme: str, f: int | None, dtype: torch.dtype, which: str) -> None:
    for T, chunk in ((1, 128), (7, 3), (9, 3), (5, 1)):
        run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f, chunk=chunk)
        assert compare(run, problem(scheme, T, 3, 5, dtype=dtype), which) < 1e-10


@pytest.mark.parametrize("sigma", SLOPED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(("scheme", "f"), MODES)
def test_gradient_for_every_activation_with_a_slope(scheme: str, f: int | None, dtype: torch.dtype, sigma: str) -> None:
    run = Recurrence(SCHEMES[scheme], 0.2, ACTIVATIONS[sigma], f, chunk=4)
    assert compare(run, problem(scheme, 10, 2, 3, dtype=dtype, scale=0.3)) < 1e-10


@pytest.mark.parametrize("scheme", [mode[0] for mode in MODES[:3]])
def test_other_activations_are_left_to_autograd(scheme: str) -> None:
    run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["gelu"])
    assert compare(run, problem(scheme, 6, 2, 3)) < 1e-12


@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_a_slope_that_returns_its_argument_is_safe(scheme: str) -> None:
    """exp is its own slope: what is kept of σ must not be written over."""
    exp = Activation("exp", torch.exp, lambda y: y, (0.0, float("inf")))
    run = Recurrence(SCHEMES[scheme], 0.05, exp)
    assert compare(run, problem(scheme, 4, 2, 3, scale=0.2)) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(("scheme", "f"), [*MODES[:3], ("symplectic-euler", 48), ("leapfrog", 48)])
def test_gradcheck(scheme: str, f: int | None, dtype: torch.dtype) -> None:
    """Finite differences of step 1e-6 see a grid of 2^-48 = 3.6e-15 as a relative noise of 1e-8."""
    run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f, chunk=2)
    x, state, W, V, b = problem(scheme, 5, 2, 3, dtype=dtype)

    def function(x: Tensor, W: Tensor, V: Tensor, b: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        output, after = scan(run, x, state, W, V, b)
        return (output, *after)

    assert torch.autograd.gradcheck(function, (x, W, V, b, *state), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
@pytest.mark.parametrize(("scheme", "f"), MODES)
def test_single_precision(scheme: str, f: int | None, dtype: torch.dtype) -> None:
    tensors = problem(scheme, 9, 3, 5, dtype=dtype)
    x, state, W, V, b = tensors
    run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f, chunk=4)
    wide = tuple(part.to(run.wide(dtype)) for part in state)
    output, after = scan(run, x, wide, W, V, b)
    assert output.dtype == dtype
    assert after[0].dtype == run.wide(dtype)
    found = gradients(loss(output, after, "both"), (x, *state, W, V, b))
    double = torch.promote_types(dtype, torch.float64)
    exact = [t.detach().to(double).requires_grad_() for t in (x, *state, W, V, b)]
    n = len(state)
    y, last = step_by_step(run, exact[0], tuple(exact[1 : n + 1]), *exact[n + 1 :])
    wanted = gradients(loss(y, last, "both"), tuple(exact))
    assert relative(tuple(g.to(double) for g in found), wanted) < 1e-4


def test_what_needs_no_gradient_gets_none() -> None:
    x, state, W, V, b = problem("leapfrog", 6, 2, 3)
    run = Recurrence(SCHEMES["leapfrog"], 0.3, ACTIVATIONS["tanh"], 40)
    output, _ = scan(run, x.detach(), tuple(p.detach() for p in state), W, V.detach(), None)
    (found,) = torch.autograd.grad(output.sum(), (W,))
    wanted, _ = step_by_step(run, x.detach(), tuple(p.detach() for p in state), W, V.detach(), torch.zeros_like(b))
    assert relative((found,), torch.autograd.grad(wanted.sum(), (W,))) < 1e-10


def test_the_gradient_is_taken_once() -> None:
    x, state, W, V, b = problem("leapfrog", 4, 2, 3)
    output, _ = scan(Recurrence(SCHEMES["leapfrog"], 0.3, ACTIVATIONS["tanh"]), x, state, W, V, b)
    (first,) = torch.autograd.grad(output.square().sum(), (W,), create_graph=True)
    with pytest.raises(RuntimeError, match="first derivative only"):
        first.sum().backward()


@pytest.mark.parametrize(("scheme", "f"), MODES)
def test_autocast_changes_nothing(scheme: str, f: int | None) -> None:
    """Else the products of the way back would not be those of the way there."""
    x, state, W, V, b = problem(scheme, 9, 2, 3, dtype=torch.float32)
    run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f)
    wide = tuple(part.to(run.wide(x.dtype)) for part in state)
    wanted, _ = scan(run, x, wide, W, V, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = scan(run, x, wide, W, V, b)
        assert torch.equal(output, wanted)
        (found,) = torch.autograd.grad(output.sum(), (W,))
    assert torch.equal(found, torch.autograd.grad(wanted.sum(), (W,))[0])


@pytest.mark.parametrize(("scheme", "f"), MODES)
def test_an_empty_batch(scheme: str, f: int | None) -> None:
    x, state, W, V, b = problem(scheme, 9, 0, 3)
    output, _ = scan(Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f), x, state, W, V, b)
    assert output.shape == (9, 0, 3)
    assert not bool(torch.autograd.grad(output.sum(), (W,))[0].any())


# ------------------------------------------------------------------------------- the exact return


@pytest.mark.parametrize("T", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_the_initial_state_is_recovered_bit_for_bit(scheme: str, dtype: torch.dtype, T: int) -> None:
    run = Recurrence(SCHEMES[scheme], 0.9, ACTIVATIONS["tanh"], 40)
    with torch.no_grad():
        x, state, W, V, b = problem(scheme, T, 3, 16, dtype=dtype)
        W = W - W.mH  # so that the states stay in the range
        start = tuple(stretch.to_grid(run, part.to(run.wide(dtype))) for part in state)
        output, after = scan(run, x, start, W, V, b)
        again, before = unscan(run, x, after, W, V, b)
        plain = Recurrence(SCHEMES[scheme], 0.9, ACTIVATIONS["tanh"])
        lost = unscan(plain, x, scan(plain, x, state, W, V, b)[1], W, V, b)[1]
    assert float((after[0] - start[0]).abs().max()) > 1
    assert torch.equal(output, again)
    for a, b_ in zip(start, before, strict=True):
        assert torch.equal(a, b_)
    assert float((lost[0] - start[0]).abs().max()) > 0.1  # nothing but the grid brings it back


@pytest.mark.parametrize("B", [1, 3, 8])
@pytest.mark.parametrize("H", [1, 5, 7, 16, 33])
def test_it_is_exact_for_every_shape(B: int, H: int) -> None:
    """Rows at any address modulo 64 bytes."""
    for dtype in (torch.float32, torch.float64, torch.complex64):
        run = Recurrence(SCHEMES["symplectic-euler"], 0.5, ACTIVATIONS["tanh"], 40, sequence=False)
        x, state, W, V, b = problem("symplectic-euler", 300, B, H, dtype=dtype)
        wide = tuple(part.to(run.wide(dtype)) for part in state)
        output, _ = scan(run, x, wide, W, V, b)
        output.abs().sum().backward()  # raises ReversalError if a bit is wrong
        assert W.grad is not None


@pytest.mark.parametrize("T", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_long_gradients(scheme: str, T: int) -> None:
    """Against autograd. Rows are 64 bytes long, so that both sides' products see the same alignment: equal bits."""
    x, state, W, V, b = problem(scheme, T, 2, 8, scale=0.1)
    with torch.no_grad():
        W -= W.mH.clone()
        x *= 0.1
    run = Recurrence(SCHEMES[scheme], 0.02, ACTIVATIONS["tanh"], 40)
    assert compare(run, (x, state, W, V, b)) < 1e-8


@pytest.mark.parametrize("scheme", REVERSIBLE)
def test_memory_of_the_reversible_mode_does_not_grow(scheme: str) -> None:
    """What is kept for the backward pass, less the input; a stored run keeps (1 + 1) p·B·H numbers a step."""

    def kept(T: int, f: int | None) -> int:
        sizes = []
        run = Recurrence(SCHEMES[scheme], 0.3, ACTIVATIONS["tanh"], f, sequence=False)
        x, state, W, V, b = problem(scheme, T, 2, 4)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            scan(run, x, state, W, V, b)
        return sum(sizes) - x.nbytes

    assert kept(1000, 40) == kept(10, 40)
    p = SCHEMES[scheme].p
    assert kept(1000, None) - kept(10, None) == pytest.approx(2 * p * 8 * 8 * 990, rel=0.01)


# ------------------------------------------------------------------------------- what breaks it


def test_a_wrong_past_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x, state, W, V, b = problem("leapfrog", 20, 2, 3)
    run = Recurrence(SCHEMES["leapfrog"], 0.3, ACTIVATIONS["tanh"], 40, chunk=8)
    output, _ = scan(run, x, state, W, V, b)
    project = stretch.Weights.project
    monkeypatch.setattr(stretch.Weights, "project", lambda self, x: project(self, x) + 1e-9)
    with pytest.raises(ReversalError, match=r"recovered .* is off by .*use reversible=False"):
        output.sum().backward()


def test_weights_that_changed_in_between_are_an_error() -> None:
    x, state, W, V, b = problem("leapfrog", 20, 2, 3)
    output, _ = scan(Recurrence(SCHEMES["leapfrog"], 0.3, ACTIVATIONS["tanh"], 40), x, state, W, V, b)
    with torch.no_grad():
        V += 1e-3
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_the_range_is_checked_at_both_ends_and_for_nan() -> None:
    run = Recurrence(SCHEMES["leapfrog"], 1.0, ACTIVATIONS["identity"], 49, chunk=4)  # below 8
    x = torch.zeros(4, 1, 1, dtype=torch.float64)
    V = torch.zeros(1, 1, dtype=torch.float64)
    for sign in (1.0, -1.0, float("nan")):
        b = torch.tensor([sign * 1.9], dtype=torch.float64)  # Y grows by 3.8 in every second step: 3.8, 3.8, 7.6, 7.6
        state = tuple(torch.zeros(1, 1, dtype=torch.float64) for _ in range(2))
        if sign == sign:
            scan(run, x, state, V, V, b)
        with pytest.raises(InputError, match=r"the grid ends at 2\^\(52 - fraction_bits\) = 8"):
            scan(run, torch.cat([x, x]), state, V, V, b)


# ------------------------------------------------------------------------------- linear networks


@pytest.mark.parametrize(("scheme", "limit"), [("symplectic-euler", 2.0), ("leapfrog", 1.0)])
def test_linear_networks_return_without_the_grid(scheme: str, limit: float) -> None:
    run = Recurrence(SCHEMES[scheme], 0.1, ACTIVATIONS["identity"])
    with torch.no_grad():
        x, state, W, V, b = problem(scheme, 10_000, 2, 8)
        W = W - W.mH
        W *= 0.9 * limit / (run.h * torch.linalg.matrix_norm(W, 2))
        x *= 0.01
        output, after = scan(run, x, state, W, V, b)
        again, before = unscan(run, x, after, W, V, b)
    torch.testing.assert_close(again, output, rtol=0, atol=1e-8)
    for a, b_ in zip(state, before, strict=True):
        torch.testing.assert_close(a, b_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("bits", [None, 40])
def test_a_second_derivative_is_refused_and_not_silently_zero(bits: int | None) -> None:
    """A gradient penalty would otherwise contribute nothing: the cotangent of a sum has no graph of its own."""
    model = qunn.ARNN(2, 4, reversible=bits is not None, dtype=torch.float64)
    x = torch.randn(5, 1, 2, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(model(x)[0].sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivative only"):
        g.square().sum().backward()
