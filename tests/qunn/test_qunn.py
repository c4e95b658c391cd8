"""The QUNN of Definition 5: both backends against the literal formula, gradients, the unitary mode, causality.

Tolerances: TINY (1e-12) is the promise, relative to the largest output where that is above 1. The sums have up to some
10² terms of the size of the hidden state in each of up to 18 layers.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import qunn
from circuits.validation import literal_qunn as reference
from circuits.validation.literal_qunn import SIGMA, Network
from hamiltonians import InputError
from qunn.exponential import exponential
from qunn.quantum import fused
from qunn.quantum.history import History

TINY = 1e-12
CLOCKS, SKIPS, HISTORIES = (
    ("one-hot", "learned", "learned-read"),
    ("scalar", "diagonal", "matrix"),
    ("sliding", "block"),
)
BACKENDS = ("structured", "dense")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_clock = pytest.mark.parametrize("clock", CLOCKS)
every_history = pytest.mark.parametrize("history", HISTORIES)


def ramp(v: Tensor) -> Tensor:
    """Not pointwise: shrinks the vector by its length, and weighs every entry of data ⊗ clock by its index."""
    weights = torch.linspace(0.5, 1.5, v.shape[-1], dtype=torch.float64)
    return 2 * v * weights / (1 + (v * v.conj()).real.sum(-1, keepdim=True)).sqrt()


def ramp_reference(v: np.ndarray) -> np.ndarray:
    return 2 * v * np.linspace(0.5, 1.5, len(v)) / np.sqrt(1 + np.linalg.norm(v) ** 2)


@dataclass(frozen=True)
class Case:
    """A QUNN and what it is fed with."""

    d: int = 2
    N: int = 3
    L: int = 3
    clock: str = "one-hot"
    skip: str = "scalar"
    history: str = "sliding"
    mode: str = "literal"
    step: float = 1.0
    sigma: tuple[str, str, str] = ("tanh", "tanh", "identity")
    data: torch.dtype = torch.float64
    module: torch.dtype = torch.float64
    share: bool = False
    unit: bool = True
    T: int = 7
    position: int = 0
    seed: int = 0

    def numbers(self, *shape: int, complex_: bool = False, salt: int = 0) -> np.ndarray:
        rng = np.random.default_rng([self.seed, salt, *shape])
        v = rng.normal(size=shape)
        return v + 1j * rng.normal(size=shape) if complex_ else v

    @property
    def p(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 99])
        p1, p2 = rng.uniform(0.02, 0.98, (2, self.N))
        return (np.full(self.N, p1[0]), np.full(self.N, p2[0])) if self.share else (p1, p2)

    def model(self, backend: str, **rest: Any) -> qunn.QUNN:
        """p1, p2 different for every l, and S_k for every k."""
        torch.manual_seed(self.seed)
        unitary = self.mode == "unitary"
        named = tuple(ramp if name == "ramp" else name for name in self.sigma)
        given: dict[str, Any] = {
            "clock": self.clock,
            "history": self.history,
            "mode": self.mode,
            "step": self.step,
            "share": self.share,
            "p1": self.p[0][0] if self.share else self.p[0],
            "p2": self.p[1][0] if self.share else self.p[1],
        }
        if not unitary:
            given |= {"activations": named, "skip": self.skip}
        model = qunn.QUNN(self.d, self.N, self.L, backend=backend, dtype=self.module, **(given | rest))  # type: ignore[arg-type]
        if model.skip is not None:
            change = self.numbers(*model.skip.shape, complex_=model.skip.is_complex(), salt=1)
            with torch.no_grad():
                model.skip += 0.3 * torch.from_numpy(np.asarray(change)) / (self.d * self.N) ** (self.skip == "matrix")
        return model

    def network(self, model: qunn.QUNN) -> Network:
        skip: Any = np.ones(self.L) if model.skip is None else model.skip.detach().numpy()
        profiles = [None if f is None else f.detach().numpy() for f in (model.clock.profile, model.clock.read_profile)]
        unitary = self.mode == "unitary"
        names = ("identity",) * 3 if unitary else self.sigma
        functions = tuple(ramp_reference if name == "ramp" else SIGMA[name] for name in names)
        return Network(*self.p, skip, *profiles, self.history == "block", unitary, self.step, functions)  # type: ignore[arg-type]

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Y [T, d] and the past before it [L, d], 0 where position is."""
        Y = self.numbers(self.L + self.T, self.d, complex_=self.data.is_complex, salt=2)
        Y = Y / np.linalg.norm(Y, axis=1, keepdims=True) if self.unit else 0.7 * Y
        past, Y = Y[: self.L], Y[self.L :]
        past[: max(0, self.L - self.position)] = 0
        return Y, past

    def state(self, past: np.ndarray) -> Any:
        return torch.from_numpy(past), torch.tensor(self.position)

    def output(self, backend: str) -> np.ndarray:
        Y, past = self.inputs()
        return self.model(backend)(torch.from_numpy(Y), self.state(past))[0].detach().numpy()

    def expected(self) -> np.ndarray:
        """A complex S_k makes the inputs complex: the split σ_1 then acts on their imaginary part 0 too."""
        (Y, past), net = self.inputs(), self.network(self.model("dense"))
        kind = np.result_type(Y, net.skip)
        return reference.outputs(net, Y.astype(kind), past.astype(kind), self.position)


def random_case(seed: int, most: int = 6, longest: int = 9) -> Case:
    rng = np.random.default_rng([7, seed])
    d, N = int(rng.integers(1, most + 1)), int(rng.integers(2, longest + 1))
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    names = (*SIGMA, "ramp")
    module = pick(torch.float64, torch.float64, torch.complex128)
    return Case(
        d=d,
        N=N,
        L=int(rng.integers(max(1, N - 1), 2 * N + 1)),
        clock=pick(*CLOCKS),
        skip=pick(*SKIPS),
        history=pick(*HISTORIES),
        mode=pick("literal", "literal", "literal", "unitary"),
        step=float(pick(1.0, rng.uniform(0.1, 1.5))),
        sigma=(pick("tanh", "identity", *names), pick("tanh", "identity", *names), pick("identity", *names)),
        data=pick(torch.float64, torch.complex128),
        module=module,
        share=bool(rng.integers(4) == 0),
        unit=bool(rng.integers(2)),
        T=int(rng.integers(1, 6)),
        position=int(pick(0, rng.integers(0, 3 * N))),
        seed=seed,
    )


def close(a: Any, b: Any, atol: float = TINY) -> None:
    """Equal to atol, relative to the largest number where that is above 1."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.isfinite(b).all()
    np.testing.assert_allclose(a, b, rtol=0, atol=atol * max(1.0, np.abs(b).max()))


# --- the formula ---


def check_formula(case: Case) -> None:
    expected = case.expected()
    for backend in BACKENDS:
        close(case.output(backend), expected)
    with fused.disabled():  # the general code of the structured backend, where a compiled kernel was taken
        close(case.output("structured"), expected)


@pytest.mark.parametrize("seed", range(50))
def test_both_backends_are_the_formula(seed: int) -> None:
    check_formula(random_case(seed, most=4, longest=6))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_both_backends_are_the_formula_at_every_size(seed: int) -> None:
    check_formula(random_case(seed))


@every_clock
@pytest.mark.parametrize("skip", [*SKIPS, "unitary"])
@every_history
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
def test_every_kind_of_qunn_is_the_formula(clock: str, skip: str, history: str, data: torch.dtype) -> None:
    """Over more than two blocks, with more layers than the period."""
    mode = "unitary" if skip == "unitary" else "literal"
    case = Case(2, 3, 5, clock, "scalar" if skip == "unitary" else skip, history, mode, data=data, T=8)
    assert np.abs(case.expected()).mean() > 0.01
    check_formula(case)
    check_formula(replace(case, position=4, step=0.3, unit=False))


@pytest.mark.parametrize("name", [*SIGMA, "ramp"])
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
def test_every_activation_in_every_place(name: str, data: torch.dtype) -> None:
    rest = ("tanh", "tanh", "identity")
    for place in range(3):
        sigma = tuple(name if i == place else rest[i] for i in range(3))
        check_formula(Case(2, 3, 4, "learned", sigma=sigma, data=data, T=4))  # type: ignore[arg-type]
        check_formula(Case(2, 3, 4, "one-hot", "diagonal", sigma=sigma, data=data, T=4))  # type: ignore[arg-type]


@settings(max_examples=40)
@given(st.integers(2, 9), st.integers(0, 11), st.integers(1, 6), st.sampled_from(CLOCKS), st.sampled_from(HISTORIES))
def test_every_depth_and_dimension(N: int, extra: int, d: int, clock: str, history: str) -> None:
    check_formula(Case(d, N, min(N - 1 + extra, 2 * N), clock, history=history, T=2, position=2 * N - 1))


@pytest.mark.parametrize(("p1", "p2"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.4), (0.6, 1.0)])
@pytest.mark.parametrize("mode", ["literal", "unitary"])
def test_fixed_weights(p1: float, p2: float, mode: str) -> None:
    case = Case(3, 4, 5, "learned", mode=mode, T=9)
    Y, _ = case.inputs()
    net = replace(case.network(case.model("dense")), p1=np.full(4, p1), p2=np.full(4, p2))
    for backend in BACKENDS:
        found = case.model(backend, p1=p1, p2=p2)(torch.from_numpy(Y))[0]
        close(found.detach(), reference.outputs(net, Y))


def test_the_reference_by_hand() -> None:
    """N = 2, d = 1, L = 1, all linear: D W = [[p1 y z, -(1-p1)…]…], every number written out.

    l = 2 (clock e_0), Y_1 = z on e_1, Y_2 = y: K^0 = (y, 0). W = p2 [[0, -yz], [yz, 0]], D = [[1-p1, -p1], [p1, 1-p1]].
    W K^0 = p2 (0, y²z), D W K^0 = p2 (-p1 y²z, (1-p1) y²z), and clock l+1 = 3 is read: e_1.
    """
    y, z, p1, p2, S, h = 0.6, -0.7, 0.3, 0.2, 0.9, 0.5
    identity = (SIGMA["identity"],) * 3
    net = Network(np.full(2, p1), np.full(2, p2), np.array([S]), h=h, sigma=identity)
    expected = [0.0, h * p2 * (1 - p1) * y * y * z]
    close(reference.outputs(net, np.array([[z], [y]]))[:, 0], expected, 1e-16)
    for backend in BACKENDS:
        model = qunn.QUNN(1, 2, 1, p1=p1, p2=p2, step=h, activations=("identity",) * 3, backend=backend).double()
        close(model(torch.tensor([[z], [y]], dtype=torch.float64))[0][:, 0].detach(), expected, 1e-7)  # p via float32


@pytest.mark.parametrize("change", ["sign", "no conjugate", "late p", "no step", "data wrap", "transposed hops"])
def test_a_wrong_formula_is_another_network(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above would see: each slip moves the outputs by far more than their tolerance."""
    case = Case(3, 4, 5, "learned-read", data=torch.complex128, history="block", step=0.7, T=9)
    right = case.expected()
    net = case.network(case.model("dense"))
    Y, _ = case.inputs()
    match change:
        case "sign":
            net = replace(net, h=-net.h)
        case "no conjugate":

            class Plain(np.ndarray):
                def conj(self, *_: Any) -> Any:
                    return self

            Y = Y.view(Plain)
        case "late p":
            net = replace(net, p1=np.roll(net.p1, 1), p2=np.roll(net.p2, 1))
        case "no step":
            net = replace(net, h=1.0)
        case "data wrap":
            net = replace(net, block=False)
        case "transposed hops":
            kron = np.kron
            monkeypatch.setattr(reference.np, "kron", lambda a, b: kron(a, b).T if b.shape == (4, 4) else kron(a, b))
    assert np.abs(reference.outputs(net, Y) - right).max() > 1e-4


def test_single_precision_is_the_same_network() -> None:
    for clock in CLOCKS:
        case = Case(3, 4, 6, clock, "matrix", T=9)
        Y, _ = case.inputs()
        for backend in BACKENDS:
            found = case.model(backend).float()(torch.from_numpy(Y).float())[0]
            assert found.dtype == torch.float32
            close(found.detach().double(), case.expected(), 1e-5)


# --- gradients ---

GRADIENT_CASES = {
    "plain": Case(2, 3, 3, T=4),
    "learned": Case(2, 3, 4, "learned", "diagonal", T=3),
    "read": Case(2, 2, 3, "learned-read", "matrix", "block", T=3),
    "complex": Case(2, 3, 3, "learned-read", "diagonal", data=torch.complex128, module=torch.complex128, T=3),
    "complex matrix": Case(1, 3, 3, skip="matrix", data=torch.complex128, module=torch.complex128, T=3),
    "complex data": Case(2, 3, 2, data=torch.complex128, T=4),
    "linear": Case(2, 3, 3, "learned", sigma=("identity",) * 3, T=3),
    "others": Case(2, 3, 3, sigma=("sin", "softplus", "sigmoid"), T=3),
    "ramp": Case(2, 3, 3, "learned", sigma=("ramp", "ramp", "ramp"), T=3),
    "shared": Case(2, 3, 3, share=True, step=0.4, T=4),
    "unitary": Case(2, 3, 4, mode="unitary", T=4),
    "unitary learned": Case(2, 3, 4, "learned-read", mode="unitary", history="block", step=0.6, T=4),
    "unitary complex": Case(2, 2, 3, "learned", mode="unitary", data=torch.complex128, T=3),
}
every_gradient = pytest.mark.parametrize("case", GRADIENT_CASES.values(), ids=GRADIENT_CASES)


def function_of_all(model: qunn.QUNN, Y: np.ndarray, past: np.ndarray, position: int) -> tuple[Any, list[Tensor]]:
    """(Y, past, *parameters) -> outputs, and values of these that require a gradient."""
    names, values = zip(*model.named_parameters(), strict=True)

    def outputs(Y: Tensor, past: Tensor, *parameters: Tensor) -> Tensor:
        state = (past, torch.tensor(position))
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (Y, state))[0]

    given = [torch.from_numpy(Y), torch.from_numpy(past), *values]
    return outputs, [t.detach().clone().requires_grad_() for t in given]


@every_gradient
def test_gradients(case: Case) -> None:
    check_gradients(case, "structured")


@pytest.mark.parametrize("name", ["plain", "read", "complex data", "unitary"])
def test_gradients_of_the_dense_backend(name: str) -> None:
    check_gradients(replace(GRADIENT_CASES[name], T=2), "dense")


def check_gradients(case: Case, backend: str) -> None:
    case = replace(case, position=2)
    outputs, values = function_of_all(case.model(backend), *case.inputs(), case.position)
    assert torch.autograd.gradcheck(outputs, values)


@pytest.mark.parametrize("seed", range(20))
def test_both_backends_have_the_same_gradients(seed: int) -> None:
    case = replace(random_case(seed + 300, most=3, longest=5), T=6)
    found = []
    for backend, compiled in (("structured", True), ("structured", False), ("dense", True)):
        outputs, values = function_of_all(case.model(backend), *case.inputs(), case.position)
        with nullcontext() if compiled else fused.disabled():
            output = outputs(*values)
        weights = torch.from_numpy(case.numbers(*output.shape, complex_=output.is_complex(), salt=3))
        (weights.conj() * output).sum().real.backward()
        found.append([torch.zeros_like(v) if v.grad is None else v.grad for v in values])
    size = max(g.abs().max().item() for g in found[-1] if g.numel())
    for structured, general, dense in zip(*found, strict=True):
        close(structured, dense, TINY * max(1, size))
        close(general, dense, TINY * max(1, size))


@pytest.mark.parametrize("name", ["plain", "learned", "complex data", "unitary"])
def test_second_derivatives_of_the_dense_backend(name: str) -> None:
    case = replace(GRADIENT_CASES[name], T=2, d=1)
    outputs, values = function_of_all(case.model("dense"), *case.inputs(), 0)
    assert torch.autograd.gradgradcheck(outputs, values)


@pytest.mark.parametrize("name", ["plain", "learned", "complex data", "unitary", "ramp"])
def test_second_derivatives_are_right(name: str) -> None:
    case = replace(GRADIENT_CASES[name], T=2, d=1)
    outputs, values = function_of_all(case.model("structured"), *case.inputs(), 0)
    assert torch.autograd.gradgradcheck(outputs, values)


# --- the unitary mode (Eq. 31) ---


@every_clock
@every_history
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
@pytest.mark.parametrize("step", [1.0, 0.3, 2.5])
def test_the_unitary_layer_is_the_exponential_of_the_generator(
    clock: str, history: str, data: torch.dtype, step: float
) -> None:
    case = Case(3, 4, 7, clock, mode="unitary", history=history, step=step, data=data, T=6)
    Y = torch.from_numpy(case.inputs()[0])
    model = case.model("structured")
    l = 6  # noqa: E741
    K = torch.kron(Y[l - 1], model.clock.vector(l).to(data))
    for G in model.generators(Y[:l], l).anti_hermitian:
        assert torch.equal(G, -G.mH)
        K = torch.matrix_exp(torch.stack([step * G, step * G]))[0] @ K  # of one matrix torch's is off (see `dense`)
    read = K.reshape(3, 4) @ model.clock.vector(l + 1, read=True).to(data)
    close(model(Y)[0][l - 1].detach(), read.detach(), 1e-11)
    start = Y[l - 1].norm() * model.clock.vector(l).norm()
    assert K.norm().item() == pytest.approx(start.item(), rel=1e-14)


@every_clock
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
@pytest.mark.parametrize("step", [30.0, 1e4])
@pytest.mark.parametrize("d", [1, 3])  # one dimension: the four vectors that span G's range are of rank 2
def test_long_unitary_steps_keep_the_norm_and_the_angle(clock: str, data: torch.dtype, step: float, d: int) -> None:
    """An angle h‖G‖ is known to its own rounding; what is lost beyond that would grow as the cube of it."""
    case = Case(d, 3, 4, clock, mode="unitary", step=step, data=data, T=4)
    Y = torch.from_numpy(case.inputs()[0])
    model = case.model("structured")
    l = 4  # noqa: E741
    K, allowed = torch.kron(Y[l - 1], model.clock.vector(l).to(data)).to(torch.complex128), 1e-14
    for G in model.generators(Y[:l], l).anti_hermitian:
        energies, states = torch.linalg.eigh(1j * G)
        K = states @ (torch.exp(-1j * step * energies) * (states.mH @ K))
        allowed += 16 * torch.finfo(torch.float64).eps * step * float(energies.detach().abs().max())
    first, last = (norm.detach() for norm in model.norms(Y))
    torch.testing.assert_close(last, first, rtol=1e-13, atol=0)
    read = K.reshape(d, 3) @ model.clock.vector(l + 1, read=True).to(K.dtype)
    allowed *= float(first[l - 1]) * float(model.clock.vector(0, read=True).detach().norm())
    with torch.no_grad():
        assert (model(Y)[0][l - 1] - read).norm() <= allowed
    assert (model(Y)[0][l - 1].detach() - read).norm() <= allowed


def test_gradients_of_long_unitary_steps() -> None:
    """Of which the value comes from a frame and the derivative from φ."""
    case = Case(2, 3, 3, "learned", mode="unitary", step=8.0, T=4)
    model, Y = case.model("structured"), case.inputs()[0]
    outputs, values = function_of_all(model, Y, np.zeros((case.L, case.d)), 0)
    assert torch.autograd.gradcheck(outputs, values)


@every_clock
@pytest.mark.parametrize("step", [1.0, 0.1])
def test_a_thousand_unitary_layers_keep_the_norm(clock: str, step: float) -> None:
    """1e-12 over 10³ layers: 1e-15 a layer. All p are met, each with a whole past of unit vectors."""
    case = Case(3, 4, 1000, clock, mode="unitary", step=step)
    assert 0 < case.model("structured").invariants()["norm_drift"] < 1e-12


def test_norms_take_what_forward_takes() -> None:
    """One sequence, a batch, and time first give the same norms, sequence by sequence."""
    torch.manual_seed(2)
    Y = torch.randn(2, 7, 3, dtype=torch.float64)
    model = qunn.QUNN(3, 4, dtype=torch.float64)
    first, last = model.norms(Y)
    torch.testing.assert_close(first, torch.tanh(Y).flatten(0, 1).norm(dim=-1))  # K^0 = σ_1(Y_l ⊗ c_l)
    one = model.norms(Y[1])
    torch.testing.assert_close(torch.stack(one), torch.stack([first[7:], last[7:]]))
    model.batch_first = False
    torch.testing.assert_close(torch.stack(model.norms(Y.transpose(0, 1))), torch.stack([first, last]))
    with pytest.raises(InputError, match="`input` must be"):
        model.norms(Y[0, 0])


def test_a_thousand_unitary_layers_keep_the_norm_in_the_formula_too() -> None:
    case = Case(2, 3, 1000, mode="unitary", T=2, position=1503)
    Y, past = case.inputs()
    outputs = [case.model(backend)(torch.from_numpy(Y), case.state(past))[0].detach() for backend in BACKENDS]
    close(*outputs, 1e-11)
    history = torch.from_numpy(np.concatenate([past, Y]))
    K = torch.kron(history[-1], torch.eye(3, dtype=torch.float64)[1505 % 3])
    for G in case.model("dense").generators(history, 1505).anti_hermitian:
        K = torch.from_numpy(scipy.linalg.expm(G.detach().numpy())) @ K
    assert K.norm().item() == pytest.approx(1, abs=1e-12)
    close(outputs[0][-1], K.reshape(2, 3)[:, 1506 % 3], 1e-11)


def deficient(kind: str) -> tuple[Case, Any, np.ndarray]:
    """Cases in which A, b, P A, P b are linearly dependent, or 0."""
    case = Case(2, 3, 4, "learned", mode="unitary", T=3)
    given: dict[str, Any] = {}
    Y = np.tile([[0.6, 0.8]], (3, 1))
    if kind == "A is 0":
        Y = Y[:1]
        case = replace(case, T=1)
    if kind == "b is 0":
        Y = Y * 0
    if kind == "one-hot":
        case = replace(case, clock="one-hot")
    given |= {"p1 is 0": {"p1": 0.0}, "p1 is 1": {"p1": 1.0}, "p2 is 0": {"p2": 0.0}, "p2 is 1": {"p2": 1.0}}.get(
        kind, {}
    )
    given |= {"both are 1": {"p1": 1.0, "p2": 1.0}}.get(kind, {})
    return case, given, Y


@pytest.mark.parametrize(
    "kind",
    ["parallel", "A is 0", "b is 0", "one-hot", "p1 is 0", "p1 is 1", "p2 is 0", "p2 is 1", "both are 1"],
)
@every_backend
def test_unitary_layers_of_low_rank(kind: str, backend: str) -> None:
    """Parallel: constant inputs and a flat profile, c_m the same for all m, so that A is a multiple of b and P = 0."""
    case, given_p, Y = deficient(kind)
    model = case.model(backend, **given_p)
    if kind == "parallel":
        with torch.no_grad():
            model.clock.profile.fill_(0.5)  # type: ignore[union-attr]
    net = replace(case.network(model), p1=model.p1.detach().numpy(), p2=model.p2.detach().numpy())
    close(model(torch.from_numpy(Y))[0].detach(), reference.outputs(net, Y))
    if list(model.parameters()):
        outputs, values = function_of_all(model, Y, np.zeros((case.L, case.d)), 0)
        assert torch.autograd.gradcheck(outputs, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_the_exponential_is_right_where_torchs_is_not(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """A rotation by θ, for which torch.matrix_exp of a single matrix is off by 1e-10 or 3e-5 (pytorch issue 196592)."""
    for theta in (1e-3, 0.04, 0.1, 0.5, 1.0, 3.0):
        A = torch.tensor([[0, -theta], [theta, 0]], dtype=dtype).expand(*shape, 2, 2)
        exact = torch.tensor([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]], dtype=dtype)
        rounding = 20 * torch.finfo(dtype).eps
        torch.testing.assert_close(exponential(A), exact.expand_as(A), rtol=0, atol=rounding)


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_euler_steps_converge_to_the_unitary_layer_at_order_one(step: float) -> None:
    """K + (h/r) anti(D W) K, r substeps in each of L layers, run through Eq. (32); fitted over r = 16 … 256."""
    case = Case(3, 4, 5, mode="unitary", step=step, T=8)
    Y = torch.from_numpy(case.inputs()[0])
    model = case.model("structured")
    exact = model(Y)[0][-1].detach()
    start = torch.kron(Y[-1], model.clock.vector(8))
    errors = []
    for r in (16, 32, 64, 128, 256):
        K = start
        for G in model.generators(Y, 8).anti_hermitian:
            for _ in range(r):
                K = qunn.layer(K, G, None, 1.0, None, step / r)
        assert K.norm() > start.norm()  # Euler's steps do not keep it
        errors.append((K.reshape(3, 4)[:, 1] - exact).norm().item())
    order = -np.polyfit(np.log([16, 32, 64, 128, 256]), np.log(errors), 1)[0]
    assert order == pytest.approx(1, abs=0.05)


def test_unitary_has_no_skip_and_no_activations() -> None:
    model = qunn.QUNN(3, 4, mode="unitary")
    assert model.skip is None
    assert sum(p.numel() for p in model.parameters()) == 8
    qunn.QUNN(3, 4, mode="unitary", activations=("identity",) * 3)
    with pytest.raises(InputError, match="unitary"):
        qunn.QUNN(3, 4, mode="unitary", activations=("relu", "relu", "identity"))
    with pytest.raises(InputError, match='`skip` must be left out with mode="unitary"'):
        qunn.QUNN(3, 4, mode="unitary", skip="matrix")


# --- no output depends on a later input ---


def assert_causal(model: qunn.QUNN, Y: Tensor) -> None:
    """Whatever comes after l is changed by a large amount: outputs up to l are the same bits; and no gradient."""
    output = model(Y)[0].detach()
    for t in range(Y.shape[-2] - 1):
        later = Y.clone()
        later[..., t + 1 :, :] += 1e3 * (1 + torch.rand(later[..., t + 1 :, :].shape, dtype=torch.float64))
        changed = model(later)[0].detach()
        assert torch.equal(changed[..., : t + 1, :], output[..., : t + 1, :]), t
        assert not torch.equal(changed[..., t + 1 :, :], output[..., t + 1 :, :])
        Z = Y.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(Z)[0][..., t, :].abs().sum(), Z)
        assert not gradient[..., t + 1 :, :].any(), t


@every_backend
@every_clock
@every_history
@pytest.mark.parametrize("skip", [*SKIPS, "unitary", "ramp"])
def test_no_output_depends_on_a_later_input(backend: str, clock: str, history: str, skip: str) -> None:
    mode = "unitary" if skip == "unitary" else "literal"
    case = Case(2, 3, 4, clock, skip if skip in SKIPS else "scalar", history, mode, T=8)
    if skip == "ramp":
        case = replace(case, sigma=("ramp", "ramp", "ramp"))
    assert_causal(case.model(backend), torch.from_numpy(case.inputs()[0]))


@every_backend
def test_no_output_depends_on_another_sequence_of_the_batch(backend: str) -> None:
    for sigma in (("tanh", "tanh", "identity"), ("ramp", "ramp", "ramp")):
        case = Case(2, 3, 4, "learned-read", "matrix", sigma=sigma, T=8)
        model = case.model(backend)
        Y = torch.from_numpy(case.numbers(3, 8, 2))
        output = model(Y)[0].detach()
        Y[1] += 1e3
        changed = model(Y)[0].detach()
        assert torch.equal(changed[0], output[0])
        assert torch.equal(changed[2], output[2])
        assert not torch.equal(changed[1], output[1])


@every_backend
@every_clock
def test_wrapping_the_data_index_is_a_label_leak_and_is_caught(
    backend: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the label wraps, never the data index: Y_{l-k} taken within l's block, cyclically, is Y_{l+N-k}: for
    k = N - 1 the very target."""

    def wrapped(self: History, k: int, times: slice = slice(None)) -> Tensor:
        N = 3
        l = self.l[:, times]  # noqa: E741
        first = (l - 1) // N * N  # time before the block
        index = first + (l - 1 - k) % N
        rows = index.clamp(max=self.steps - 1)
        return torch.stack([self.joined[b, self.depth + rows[b]] for b in range(len(l))])

    case = Case(2, 3, 4, clock, history="block", T=9)
    Y = torch.from_numpy(case.inputs()[0])
    assert_causal(case.model(backend), Y)
    monkeypatch.setattr(History, "lag", wrapped)
    with pytest.raises(AssertionError), fused.disabled():  # which asks no History for its lags
        assert_causal(case.model(backend), Y)


@every_backend
@every_history
def test_the_last_output_sees_as_far_back_as_it_may(backend: str, history: str) -> None:
    """All of Y_l … Y_{l-L}, and with block history no element of an earlier block."""
    case = Case(2, 4, 5, "learned", history=history, T=11)
    Z = torch.from_numpy(case.inputs()[0]).requires_grad_()
    (gradient,) = torch.autograd.grad(case.model(backend)(Z)[0][-1].sum(), Z)
    first = 8 if history == "block" else 11 - 1 - 5
    assert (gradient[first:].abs().amax(1) > 0).all()
    assert not gradient[:first].any()


# --- L, and what the one-hot clock computes ---


@every_backend
@pytest.mark.parametrize("N", [2, 3, 5, 7])
def test_too_few_layers_give_zero(N: int, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for L in range(1, N - 1):
        with pytest.raises(InputError, match="one-hot clock") as error:
            qunn.QUNN(2, N, L)
        assert error.value.field == "num_layers"
        assert str(N - 1) in str(error.value)
        assert "\n" not in str(error.value)
    monkeypatch.setattr("qunn.quantum.network.require_depth", lambda *_: None)
    for L in range(1, N + 2):
        for sigma in (("tanh", "tanh", "identity"), ("relu", "identity", "sin"), ("identity", "ramp", "tanh")):
            for skip in ("scalar", "diagonal"):
                case = Case(3, N, L, skip=skip, sigma=sigma, T=2 * N, unit=False, seed=N)
                output = case.output(backend)
                assert bool(output.any()) == (L >= N - 1)
                assert (reference.outputs(case.network(case.model("dense")), case.inputs()[0]) == 0).all() == (
                    L < N - 1
                )


@every_backend
def test_too_few_layers_and_another_activation_give_a_constant(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qunn.quantum.network.require_depth", lambda *_: None)
    case = Case(2, 5, 3, sigma=("tanh", "tanh", "sigmoid"), T=8)
    assert (case.output(backend) == 0.5).all()
    check_formula(case)


@every_backend
@pytest.mark.parametrize("clock", ["learned", "learned-read"])
def test_a_learned_clock_is_not_bound_by_that(clock: str, backend: str) -> None:
    for L in (1, 2):
        case = Case(2, 5, L, clock, T=6)
        assert np.abs(case.output(backend)[1:]).max() > 1e-3
        check_formula(case)


@every_backend
@every_history
def test_the_first_output_is_that_of_no_past(backend: str, history: str) -> None:
    """σ_out(0) at l = 1, and with block history at the first of each block."""
    case = Case(2, 3, 3, history=history, sigma=("tanh", "tanh", "sigmoid"), T=9)
    output = case.output(backend)
    without = (output == 0.5).all(1)
    assert without[0]
    assert not without[1:3].all()
    assert without[[3, 6]].all() == (history == "block")


def read_block(v: np.ndarray, l: int, N: int) -> np.ndarray:  # noqa: E741
    return v.reshape(-1, N)[:, (l + 1) % N]


@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
def test_layer_n_minus_1_is_a_gated_seasonal_naive(data: torch.dtype) -> None:
    """To the block that is read it adds p2 (1-p1) <b, K> Y_{l+1-N} - p1 <A, K> Y_l, for every K; no earlier layer adds
    anything where K is 0 off the clock states that have been written."""
    case = Case(4, 5, 5, data=data, T=12, unit=False)
    model, Y = case.model("structured"), case.inputs()[0]
    N, l = 5, 11  # noqa: E741
    p1, p2 = (p[l % N] for p in case.p)
    now = Y[l - 1]
    b = np.kron(now, np.eye(N)[l % N])
    A = sum(p2 * (1 - p2) ** (N - 1 - j) * np.kron(Y[l - 1 - j], np.eye(N)[(l - j) % N]) for j in range(1, N))
    H = model.layer_matrices(torch.from_numpy(Y[:l]), l).H.detach().numpy()
    K = case.numbers(20, complex_=data.is_complex, salt=5).astype(b.dtype)
    K.reshape(4, N)[:, (l + 1) % N] = 0  # not yet written
    gate = p2 * (1 - p1)
    expected = gate * np.vdot(b, K) * Y[l - N] - p1 * np.vdot(A, K) * now
    close(read_block(H[N - 2] @ K, l, N), expected, 1e-13)
    close(read_block(H[N - 2] @ b, l, N) + p1 * np.vdot(A, b) * now, gate * np.vdot(now, now) * Y[l - N], 1e-13)
    written = np.zeros((4, N), b.dtype)
    for k in range(1, N - 1):
        written[:, (l - k + 1) % N] = case.numbers(4, salt=10 + k)
        assert not read_block(H[k - 1] @ written.flatten(), l, N).any()


@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
@pytest.mark.parametrize("seed", range(5))
def test_the_trace_of_a_layer(data: torch.dtype, seed: int) -> None:
    """Re tr(D^k W^k) = -2 p1 p2 Re<Y_l, Y_{l-k}> for k < N, 0 at k = N (one-hot clock): D W is not anti-Hermitian."""
    case = Case(3, 4, 4, data=data, T=9, unit=False, seed=seed)
    Y = case.inputs()[0]
    for l in (7, 9):  # noqa: E741
        p1, p2 = (p[l % 4] for p in case.p)
        matrices = case.model("dense").layer_matrices(torch.from_numpy(Y[:l]), l)
        trace = matrices.H.diagonal(dim1=-2, dim2=-1).sum(-1).real.detach().numpy()
        overlaps = [np.vdot(Y[l - 1], Y[l - 1 - k]).real for k in (1, 2, 3)]
        close(trace, [-2 * p1 * p2 * x for x in overlaps] + [0], 1e-14)
        assert np.abs(trace[:3]).max() > 1e-3


@every_clock
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
def test_ranks(clock: str, data: torch.dtype) -> None:
    """W^k = |A><b| - |b><A| has rank 2, anti(D^k W^k) rank 4 at most; both are met. The rest is rounding."""
    case = Case(4, 5, 5, clock, data=data, T=12)
    Y = torch.from_numpy(case.inputs()[0])
    model = case.model("dense")
    l = 12  # noqa: E741
    W = model.layer_matrices(Y, l).W.detach()
    parts = model.generators(Y, l)
    assert torch.equal(W, -W.mH)
    values = torch.linalg.svdvals(W)
    assert values[:, 2:].max() < 1e-15 * len(W[0])
    assert values[:, 1].min() > 1e-3
    values = torch.linalg.svdvals(parts.anti_hermitian.detach())
    assert values[:, 4:].max() < 1e-15 * len(W[0])
    assert values[:-1, 3].min() > 1e-4
    P_is_0 = values[-1, 2] < 1e-15 * len(W[0])  # at k = N the labels l and l - k are the same
    assert P_is_0
    H = model.layer_matrices(Y, l).H.detach()
    close(parts.anti_hermitian.detach() + parts.hermitian.detach(), H, 1e-15)
    assert torch.equal(parts.hermitian, parts.hermitian.mH)


@every_backend
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
def test_linear_one_hot_outputs_lie_in_the_span_of_two_inputs(backend: str, data: torch.dtype) -> None:
    """L = N: in span{Y_l, Y_{l+1-N}}; with a learned clock in no such plane."""
    case = Case(5, 4, 4, sigma=("identity",) * 3, data=data, T=10)

    def distances(case: Case) -> list[float]:
        Y, output = case.inputs()[0], case.output(backend)
        found = []
        for t in range(4, 10):
            plane = np.stack([Y[t], Y[t + 1 - 4]], 1)
            coefficients = np.linalg.lstsq(plane, output[t], rcond=None)[0]
            found.append(float(np.linalg.norm(plane @ coefficients - output[t])))
            if case.clock == "one-hot":
                assert np.abs(coefficients).min() > 1e-5  # both take part
        return found

    assert max(distances(case)) < 1e-14
    assert min(distances(replace(case, clock="learned"))) > 1e-4


@every_backend
def test_a_season_is_continued(backend: str) -> None:
    """p1 = 0, p2 = 1, linear, S = 1: the block that is read is a multiple of Y_{l+1-N}: the direction of the naive
    forecast, and so the next element itself where the series repeats."""
    case = Case(3, 4, 4, sigma=("identity",) * 3)
    season = case.numbers(4, 3)
    Y = np.tile(season / np.linalg.norm(season, axis=1, keepdims=True), (4, 1))
    output = case.model(backend, p1=0.0, p2=1.0)(torch.from_numpy(Y))[0].detach().numpy()
    for t in range(4, 15):
        cosine = output[t] @ Y[t + 1] / np.linalg.norm(output[t])
        assert cosine == pytest.approx(1, abs=1e-14)


# --- the layers as matrices ---


@every_clock
@every_history
@pytest.mark.parametrize("data", [torch.float64, torch.complex128])
@pytest.mark.parametrize("length", [1, 2, 4, 7, 20])
def test_layer_matrices_are_the_formulas(clock: str, history: str, data: torch.dtype, length: int) -> None:
    """Histories shorter and longer than the L + 1 elements that count, at any l."""
    case = Case(2, 3, 5, clock, history=history, data=data, T=length, unit=False)
    Y = case.inputs()[0]
    for backend in BACKENDS:
        model = case.model(backend)
        for l in (20, 21, 22):  # noqa: E741
            past = {l - back: row for back, row in enumerate(Y[::-1])}
            D, W = (np.array(part) for part in zip(*reference.matrices(case.network(model), past, l), strict=True))
            found = model.layer_matrices(torch.from_numpy(Y), l)
            for a, b in zip(found, (D, W, D @ W), strict=True):
                close(a.detach(), b, 1e-14)
            H = D @ W
            parts = model.generators(torch.from_numpy(Y), l)
            close(parts.anti_hermitian.detach(), (H - H.conj().swapaxes(1, 2)) / 2, 1e-14)
            close(parts.hermitian.detach(), (H + H.conj().swapaxes(1, 2)) / 2, 1e-14)


@every_clock
def test_the_layers_one_by_one_are_the_network(clock: str) -> None:
    """`qunn.layer` with the matrices of `layer_matrices` from K^0 to the read-out."""
    case = Case(2, 3, 5, clock, "matrix", step=0.7, data=torch.complex128, module=torch.complex128, T=8)
    model = case.model("structured")
    Y = torch.from_numpy(case.inputs()[0])
    l, sigma = 8, model.activations  # noqa: E741
    K = sigma[0](torch.kron(Y[-1], model.clock.vector(l).to(Y.dtype)))
    assert model.skip is not None
    for D, W, S in zip(*model.layer_matrices(Y, l)[:2], model.skip, strict=True):
        K = qunn.layer(K, W, D, S, sigma[1], 0.7)
    read = K.reshape(2, 3) @ model.clock.vector(l + 1, read=True).to(Y.dtype)
    close(model(Y)[0][-1].detach(), read.detach())


def test_the_layer_on_batches_and_with_every_skip() -> None:
    """S K + h σ(D W K) against numpy, K [n] and [2, 5, n], W of one matrix and of one a K."""
    rng = np.random.default_rng(3)
    n = 4
    K, W, D = rng.normal(size=(2, 5, n)), rng.normal(size=(2, 5, n, n)), rng.normal(size=(n, n))
    for S in (0.3, rng.normal(size=n), rng.normal(size=(n, n))):
        expected = np.array(
            [
                [
                    (S @ K[i, j] if np.ndim(S) == 2 else S * K[i, j]) + 0.2 * np.tanh(D @ W[i, j] @ K[i, j])
                    for j in range(5)
                ]
                for i in range(2)
            ]
        )
        skip = S if isinstance(S, float) else torch.from_numpy(S)
        K_, W_, D_ = (torch.from_numpy(v) for v in (K, W, D))
        close(qunn.layer(K_, W_, D_, skip, torch.tanh, 0.2), expected, 1e-14)
        close(qunn.layer(K_[1, 2], W_[1, 2], D_, skip, torch.tanh, 0.2), expected[1, 2], 1e-14)
    close(qunn.layer(K_, W_[0, 0]), K + K @ W[0, 0].T, 1e-14)


def test_the_learned_clock_is_circulant() -> None:
    model = Case(2, 5, 5, "learned-read").model("dense")
    f, f_read = (p.detach().numpy() for p in (model.clock.profile, model.clock.read_profile))  # type: ignore[union-attr]
    for m in (-3, 0, 1, 7, 12):
        for r in range(5):
            assert model.clock.vector(m)[(m + r) % 5] == f[r]
            assert model.clock.vector(m, read=True)[(m + r) % 5] == f_read[r]
    assert math.isclose(f[0], 1, abs_tol=0.5)
