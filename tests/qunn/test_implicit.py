"""Implicit stages: what they are solved to, what is said where they are not, and their gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from qunn.coefficients import Diagonal, Scalar
from qunn.equations import Equations
from qunn.fields import AffineField, FunctionField, GradientField, HamiltonianField
from qunn.implicit import METHODS, NotConverged, Solver
from qunn.odernn import ODERNN

F64, C128 = torch.float64, torch.complex128
every_method = pytest.mark.parametrize("method", METHODS)
every_dtype = pytest.mark.parametrize("dtype", [F64, C128], ids=["real", "complex"])


def random(*shape: int, seed: int = 2, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def parameter(*shape: int, seed: int, dtype: torch.dtype, size: float = 0.5) -> nn.Parameter:
    return nn.Parameter(size * random(*shape, seed=seed, dtype=dtype))


def close(a: Tensor, b: Tensor, atol: float) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def two_stages(form: str, dtype: torch.dtype, method: str, t: int = 1) -> tuple[ODERNN, dict[str, nn.Parameter]]:
    """Fully implicit, every kind of coefficient a parameter, s = 2 and stages of the same size; contracts."""

    def draw(*shape: int, size: float = 0.5) -> nn.Parameter:
        nonlocal seed
        seed += 1
        return parameter(*shape, seed=seed, dtype=dtype, size=size)

    seed, s = 0, 2
    lists: dict[str, Any] = {
        "W": [draw(s, s), draw(s), draw()],
        "b": [draw(s), None, draw(s)],
        "V": [draw(s, 2), None, draw(s, 2)],
        "gamma": [0, draw(s), draw(s, s)],
        "kappa": [draw(s, s), draw(), draw(s)],
        "beta": [draw(s, s), draw(s)],
        form: [[draw(size=0.3), draw(s, size=0.3)], [draw(s, s, size=0.3), draw(s, size=0.3)]],
    }
    layer = Equations(2, t, h=0.4, input_size=2, solver=Solver(method, 1e-13), **lists)
    network = ODERNN(layer)
    return network, dict(network.named_parameters())


def called(network: ODERNN, names: tuple[str, ...], *values: Tensor) -> tuple[Tensor, ...]:
    """x, h_0 and the parameters -> output and h_n."""
    x, *rest = values
    parts = len(network.state_sizes)
    h = tuple(rest[:parts])
    given = dict(zip(names, rest[parts:], strict=True))
    output, last = torch.func.functional_call(network, given, (x, h if parts > 1 else h[0]))
    return output, *(last if parts > 1 else (last,))


@every_method
@every_dtype
@pytest.mark.parametrize("form", ["alpha", "a"])
def test_gradcheck_of_every_kind_of_parameter(form: str, dtype: torch.dtype, method: str) -> None:
    network, parameters = two_stages(form, dtype, method, t=2)
    assert network.equations[0].implicit
    assert len(parameters) == 18
    x, h = random(2, 1, 2, dtype=dtype), [random(1, 1, 2, seed=i, dtype=dtype) for i in (3, 4)]
    inputs = [v.detach().clone().requires_grad_() for v in (x, *h, *parameters.values())]
    names = tuple(parameters)
    fast = dtype.is_complex or method == "fixed-point"
    assert torch.autograd.gradcheck(lambda *v: called(network, names, *v), inputs, fast_mode=fast)


@every_method
@pytest.mark.parametrize("name", ["gauss2", "sdirk23", "lobatto_iiia3", "lobatto_iiib2"])
def test_gradcheck_of_fields(name: str, method: str) -> None:
    """Blocks of two stages, of one after the other, after an explicit one; a kappa computed from a parameter."""
    torch.manual_seed(3)
    kinds = [GradientField(2, 1, inner=3, dtype=F64), HamiltonianField(2, 1, dtype=F64)]
    for field in kinds if method == "auto" else kinds[:1]:
        network = ODERNN.from_tableau(name, field, 0.3, solver=Solver(method))
        names, values = zip(*network.named_parameters(), strict=True)
        inputs = [v.detach().clone().requires_grad_() for v in (random(2, 2, 1), random(1, 2, 2), *values)]
        assert torch.autograd.gradcheck(lambda *v, n=network, k=names: called(n, k, *v), inputs)


@every_method
def test_gradcheck_through_coefficients_that_are_functions(method: str) -> None:
    U, W = random(2, 2).requires_grad_(), random(2, 2, seed=3).requires_grad_()
    gate = Diagonal(lambda step, Y, x: torch.sigmoid(Y[0] @ U.T + x.sum() + step), 2)
    layer = Equations(1, W=[torch.eye(2, dtype=F64), None], kappa=[gate, None], alpha=[[gate]], beta=[1.0], h=0.5)
    network = ODERNN(layer)
    network.equations[0].solver = Solver(method)

    def outputs(U_: Tensor, W_: Tensor, y: Tensor) -> Tensor:
        nonlocal U
        U = U_
        return network(torch.zeros(3, 2, 0, dtype=F64), (y @ W_.T).unsqueeze(0))[0]

    assert torch.autograd.gradcheck(outputs, (U, W, random(2, 2, seed=5).requires_grad_()))


@every_method
@every_dtype
@pytest.mark.parametrize("form", ["alpha", "a"])
def test_values_and_gradients_are_those_of_a_long_unrolled_iteration(
    form: str, dtype: torch.dtype, method: str
) -> None:
    """K <- G(K) a hundred times, every step of it in the graph, from the formula (3) written out."""
    network, named = two_stages(form, dtype, method)
    p = {name.removeprefix("layers.0."): value for name, value in named.items()}
    x, y_0 = random(3, 4, 2, dtype=dtype), random(4, 2, seed=8, dtype=dtype)
    leaves = [*named.values(), x.requires_grad_(), y_0.requires_grad_()]

    def sigma(z: Tensor) -> Tensor:
        return torch.complex(torch.tanh(z.real), torch.tanh(z.imag)) if z.is_complex() else torch.tanh(z)

    def unrolled() -> Tensor:
        Y, h, outputs = y_0, 0.4, []
        c = {k: v for k, v in p.items() if k.startswith(f"{form}_")}
        for x_l in x:
            K = [torch.zeros_like(Y), torch.zeros_like(Y)]
            for _ in range(100):
                first = h * (c[f"{form}_1_1"] * K[0] + c[f"{form}_1_2"] * K[1])
                second = h * (K[0] @ c[f"{form}_2_1"].T + c[f"{form}_2_2"] * K[1])
                if form == "a":
                    z = [(Y + first) @ p["W_1"].T, p["W_2"] * (Y + second)]
                else:
                    z = [Y @ p["W_1"].T + first, p["W_2"] * Y + second]
                K = [
                    sigma(z[0] + p["b_1"] + x_l @ p["V_1"].T) @ p["kappa_1"].T,
                    p["gamma_2"] * K[0] + p["kappa_2"] * sigma(z[1]),
                ]
            z_3 = p["W_3"] * Y + p["b_3"] + x_l @ p["V_3"].T + h * (K[0] @ p["beta_1"].T + p["beta_2"] * K[1])
            Y = Y @ p["gamma_3"].T + p["kappa_3"] * z_3
            outputs.append(Y)
        return torch.stack(outputs)

    weights = random(3, 4, 2, seed=9, dtype=dtype)
    output, expected = network(x, y_0.unsqueeze(0))[0], unrolled()
    close(output, expected, 1e-12)
    gradients = [torch.autograd.grad((weights * y).real.sum(), leaves) for y in (output, expected)]
    for got, wanted in zip(*gradients, strict=True):
        assert wanted.abs().max() > 1e-4
        close(got, wanted, 1e-11)


def test_a_stiff_step_where_no_fixed_point_converges_has_the_right_gradient() -> None:
    """y' = -λ sinh(y), hλ = 50: Newton, and "auto" that must turn to it, forward and backward."""
    for method in ("newton", "auto"):
        y = torch.tensor([[0.7, -1.2]], dtype=F64, requires_grad=True)
        field = FunctionField(lambda v: -50 * torch.sinh(v), 2, dtype=F64)
        network = ODERNN.from_tableau("backward_euler", field, 1.0, solver=Solver(method))
        after = network.integrate(y, 1)[1]
        close(after + 50 * torch.sinh(after), y, 1e-11)
        (gradient,) = torch.autograd.grad(after.sum(), y)
        close(gradient, 1 / (1 + 50 * torch.cosh(after.detach())), 1e-12)
    network = ODERNN.from_tableau("backward_euler", field, 1.0, solver=Solver("fixed-point"))
    with pytest.raises(NotConverged):
        network.integrate(y, 1)


@every_method
def test_a_second_derivative_is_refused_instead_of_wrong(method: str) -> None:
    """Also where the cotangent of the stages is a constant, since the output is linear in them."""
    network, parameters = two_stages("alpha", F64, method)
    refused = pytest.raises(
        RuntimeError, match=r"^implicit stages have a first derivative only; the second was asked for$"
    )
    y, x = random(1, 2, 2).requires_grad_(), random(1, 2, 2)
    for loss in (torch.sum, lambda v: v.square().sum()):
        (gradient,) = torch.autograd.grad(loss(network(x, y)[0]), y, create_graph=True)
        close(gradient, torch.autograd.grad(loss(network(x, y)[0]), y)[0], 0)
        with refused:
            torch.autograd.grad(gradient.square().sum(), y, retain_graph=True)
        with refused:
            torch.autograd.grad(gradient.sum(), parameters["layers.0.W_1"], retain_graph=True)
        with refused:
            gradient.sum().backward()


def test_the_backward_pass_may_run_twice_and_keeps_no_iteration() -> None:
    network, _ = two_stages("alpha", F64, "newton")
    y = random(1, 2, 2).requires_grad_()
    output, _ = network(random(6, 2, 2), y)
    first = torch.autograd.grad(output.sum(), y, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(output.sum(), y)[0], first)


def nodes(output: Tensor) -> int:
    seen, queue = set(), [output.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in seen:
            seen.add(node)
            queue += [after for after, _ in node.next_functions]
    return len(seen)


def test_the_graph_does_not_grow_with_the_iterations() -> None:
    """One evaluation of G at the solution a step, however many it took to find it."""
    counts, iterations = set(), set()
    for tol in (1e-2, 1e-13):
        network, _ = two_stages("alpha", F64, "fixed-point")
        network.equations[0].solver = Solver("fixed-point", tol)
        output, _ = network(random(3, 2, 2), random(1, 2, 2))
        counts.add(nodes(output))
        solved = network.solved[0]
        assert solved is not None
        iterations.add(solved.iterations)
    assert len(counts) == 1
    assert max(iterations) > min(iterations) + 5


# --- what it is solved to ---


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.complex64, C128], ids=str)
def test_solved_tells_iterations_and_a_residual_below_the_tolerance(method: str, dtype: torch.dtype) -> None:
    """The default is 100 machine epsilons of the real dtype."""
    torch.manual_seed(4)
    network = ODERNN.from_tableau("gauss2", AffineField(5, 2, dtype=dtype), 0.2, solver=Solver(method))
    assert network.solved == [None]
    network(random(6, 3, 2, dtype=dtype))
    (solved,) = network.solved
    assert solved is not None
    assert solved.tolerance == 100 * torch.finfo(dtype).eps
    assert solved.residual <= solved.tolerance
    assert 1 <= solved.iterations <= (5 if method == "newton" else 30)
    again = ODERNN.from_tableau("gauss2", AffineField(5, 2, dtype=dtype), 0.2, solver=Solver(method, 1e-3))
    again(random(6, 3, 2, dtype=dtype))
    (rough,) = again.solved
    assert rough is not None
    assert rough.residual <= rough.tolerance == 1e-3
    assert rough.iterations < solved.iterations or method == "newton"


def test_solved_is_the_worst_of_all_steps_of_the_last_call() -> None:
    field = FunctionField(lambda v: -(v**3), 1, dtype=F64)
    network = ODERNN.from_tableau("backward_euler", field, 1.0, solver=Solver("newton", 1e-6))
    counts = []
    for y in (0.01, 3.0, 0.01):
        network.integrate(torch.tensor([y], dtype=F64), 1)
        counts.append(network.solved[0].iterations)
    assert counts[0] == counts[2] < counts[1]
    network.integrate(torch.tensor([3.0], dtype=F64), 20)  # the first step is the hard one
    assert network.solved[0].iterations >= counts[1]


def test_solved_counts_every_stretch_of_a_packed_sequence() -> None:
    """The second stretch, where the longer sequence is alone, rests at 0 and needs no iteration."""
    eye = torch.eye(1, dtype=F64)
    layer = Equations(
        1, W=[eye, None], alpha=[[-1.0]], beta=[1.0], V=[eye, None], input_size=1, solver=Solver("newton")
    )
    network = ODERNN(layer)
    sequences = [torch.zeros(5, 1, dtype=F64), torch.ones(2, 1, dtype=F64)]
    network(nn.utils.rnn.pack_sequence(sequences))
    assert network.solved[0].iterations > 0
    network(torch.zeros(2, 1, 1, dtype=F64))
    assert network.solved[0].iterations == 0


@pytest.mark.parametrize("method", ["newton", "auto"])
def test_samples_of_a_batch_do_not_influence_each_other(method: str) -> None:
    """One that is easy, one far out, one that makes the damped Newton steps shorter."""
    field = FunctionField(lambda v: -torch.sinh(3 * v), 2, dtype=F64)
    y = torch.tensor([[1e-3, 0.0], [2.0, -1.0], [5.0, 4.0], [0.3, 0.1]], dtype=F64, requires_grad=True)
    network = ODERNN.from_tableau("gauss2", field, 0.05, solver=Solver(method))
    whole = network.integrate(y, 4)
    weights = random(5, 4, 2)
    (gradient,) = torch.autograd.grad((weights * whole).sum(), y)
    for i in range(4):
        alone = network.integrate(y[i : i + 1], 4)
        close(alone[:, 0], whole[:, i], 1e-12)
        (one,) = torch.autograd.grad((weights[:, i] * alone[:, 0]).sum(), y)
        close(one[i], gradient[i], 1e-11)
        assert not one[[j for j in range(4) if j != i]].any()


def test_the_three_methods_find_the_same_solution() -> None:
    torch.manual_seed(2)
    field, x, y = AffineField(4, 2, dtype=F64), random(5, 3, 2), random(1, 3, 4)
    answers = [ODERNN.from_tableau("radau_iia3", field, 0.2, solver=Solver(m))(x, y)[0] for m in METHODS]
    for answer in answers[1:]:
        close(answer, answers[0], 1e-12)
    with torch.no_grad():
        close(ODERNN.from_tableau("radau_iia3", field, 0.2)(x, y)[0], answers[0], 1e-12)


def test_a_conjugating_activation_is_solved_too() -> None:
    """K = conj(Y + K/2): a stage whose value is a view that torch conjugates lazily."""
    layer = Equations(
        1, W=[torch.eye(2, dtype=C128), None], sigma=[torch.conj, "identity"], alpha=[[0.5]], beta=[1.0], h=1.0
    )
    Y = random(3, 2, dtype=C128)
    K = ODERNN(layer)(torch.zeros(1, 3, 0, dtype=C128), Y.unsqueeze(0))[0][0]
    close(K, torch.conj(Y + K / 2), 1e-13)


def test_explicit_stages_are_not_solved_for() -> None:
    """Only the third and fourth of four need each other."""
    eye = torch.eye(2, dtype=F64)
    alpha = [[0, 0, 0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0.5], [0, 0, 1.0, 0]]
    calls = []

    def counted(z: Tensor) -> Tensor:
        calls.append(z)
        return torch.tanh(z)

    sigma = [counted, "tanh", "tanh", "tanh", "identity"]
    ODERNN(Equations(4, W=[eye] * 4 + [None], sigma=sigma, alpha=alpha, beta=[1.0] * 4, h=0.3)).integrate(
        torch.ones(2, dtype=F64), 1
    )
    assert len(calls) == 1


# --- what is said where it is not solved ---


NUMBERS = (
    r"^the implicit stages did not converge: (?P<method>[a-z-]+) reached max\|K - G\(K\)\|/\(1 \+ max\|K\|\) = "
    r"(?P<reached>[^ ]+) after (?P<iterations>\d+) iterations, and (?P<asked>[^ ]+) was asked for; "
    r"a smaller `h`, another `method` or a larger `tol` may help$"
)


def failure(network: ODERNN, y: Tensor) -> dict[str, str]:
    with pytest.raises(NotConverged) as caught:
        network.integrate(y, 3)
    assert isinstance(caught.value, ArithmeticError)
    found = re.match(NUMBERS, str(caught.value))
    assert found is not None, str(caught.value)
    return found.groupdict()


@every_method
def test_too_few_iterations_are_reported_with_the_numbers(method: str) -> None:
    network = ODERNN.from_tableau("gauss2", FunctionField(torch.cos, 2, dtype=F64), 0.5, solver=Solver(method, None, 1))
    told = failure(network, torch.ones(2, dtype=F64))
    assert told["method"] == method
    assert told["iterations"] == "1"
    assert 1e-6 < float(told["reached"]) < 1
    assert float(told["asked"]) == pytest.approx(100 * np.finfo(float).eps, rel=0.01)


@every_method
def test_the_residual_told_is_that_of_the_last_iterate(method: str) -> None:
    """K = y + K/2 from 0: the residual of the k-th fixed-point iterate is y/2^k, and K = 2(1 - 2^-k) y."""
    field = FunctionField(lambda v: v, 1, dtype=F64)
    network = ODERNN.from_tableau("backward_euler", field, 0.5, solver=Solver(method, 1e-13, 7))
    if method == "newton":
        network.integrate(torch.ones(1, dtype=F64), 1)
        assert network.solved[0].iterations == 1
    else:
        told = failure(network, torch.ones(1, dtype=F64))
        reached = 2.0**-7 / (1 + 2 * (1 - 2.0**-7))
        assert float(told["reached"]) == pytest.approx(reached, rel=0.01)


def test_a_fixed_point_that_diverges_is_reported() -> None:
    network = ODERNN.from_tableau(
        "backward_euler", FunctionField(lambda v: -3 * v, 1, dtype=F64), 1.0, solver=Solver("fixed-point")
    )
    told = failure(network, torch.ones(1, dtype=F64))
    assert told["iterations"] == "100"
    assert float(told["reached"]) > 1
    network = ODERNN.from_tableau(
        "backward_euler", FunctionField(lambda v: v**3, 1, dtype=F64), 1.0, solver=Solver("fixed-point")
    )
    assert int(failure(network, 9 * torch.ones(1, dtype=F64))["iterations"]) < 50  # it left the numbers


@every_method
def test_stages_without_a_solution_are_reported(method: str) -> None:
    """K = 1 + K² + y has none, and Newton's Jacobian 1 - 2K is singular on the way."""
    network = ODERNN.from_tableau(
        "backward_euler", FunctionField(lambda v: 1 + v**2, 1, dtype=F64), 1.0, solver=Solver(method)
    )
    failure(network, 2 * torch.ones(1, dtype=F64))


@every_method
def test_a_singular_jacobian_at_the_start_is_reported(method: str) -> None:
    """K = y + K + 1: no solution, Jacobian 0."""
    one = torch.ones(1, dtype=F64)
    layer = Equations(
        1, W=[one, None], b=[one, None], sigma=["identity"] * 2, alpha=[[1.0]], beta=[1.0], solver=Solver(method)
    )
    with pytest.raises(NotConverged, match=r"Jacobian is singular|did not converge: fixed-point"):
        ODERNN(layer).integrate(torch.zeros(1, dtype=F64), 3)


def test_one_sample_of_a_batch_without_a_solution_is_enough() -> None:
    network = ODERNN.from_tableau("backward_euler", FunctionField(lambda v: 1 + v**2, 1, dtype=F64), 0.1)
    network.integrate(torch.tensor([[0.0]], dtype=F64), 1)
    failure(network, torch.tensor([[0.0], [9.0]], dtype=F64))


def test_a_gradient_that_the_fixed_point_does_not_reach_is_reported() -> None:
    """Forward is already solved at the start, K = 0; backward I - ∂G/∂K = -1."""
    layer = Equations(1, W=[torch.eye(1, dtype=F64), None], alpha=[[2.0]], beta=[1.0], solver=Solver("fixed-point"))
    y = torch.zeros(1, 1, 1, dtype=F64, requires_grad=True)
    output, _ = ODERNN(layer)(torch.zeros(1, 1, 0, dtype=F64), y)
    with pytest.raises(
        NotConverged, match=r"^the gradient of the implicit stages did not converge: fixed-point is off"
    ):
        output.sum().backward()
    for method in ("newton", "auto"):
        layer.solver = Solver(method)
        output, _ = ODERNN(layer)(torch.zeros(1, 1, 0, dtype=F64), y)
        close(torch.autograd.grad(output.sum(), y)[0], torch.full((1, 1, 1), -1.0, dtype=F64), 1e-14)


@contextmanager
def limited(size: int) -> Iterator[None]:
    token = memory_limit.set(size)
    try:
        yield
    finally:
        memory_limit.reset(token)


def test_a_jacobian_larger_than_the_memory_is_refused() -> None:
    """3·B·P²·8 bytes for B = 7 samples, P = 2·5 unknowns: 16,800."""
    field = AffineField(5, dtype=F64)
    network = ODERNN.from_tableau("gauss2", field, 0.1, solver=Solver("newton"))
    y = random(7, 5)
    with limited(16_800):
        network.integrate(y, 1)
    message = (
        r"^the Jacobian of the implicit stages: 16\.4 KiB needed, but 16\.4 KiB may be taken "
        r"\(`--memory-limit`, or what is free\); a smaller batch, or fewer stages at once, needs less$"
    )
    with limited(16_799), pytest.raises(MemoryEstimateError, match=message):
        network.integrate(y, 1)


def test_a_fixed_point_needs_no_jacobian() -> None:
    field = AffineField(5, dtype=F64)
    for method in ("fixed-point", "auto"):
        network = ODERNN.from_tableau("gauss2", field, 0.05, solver=Solver(method))
        with limited(1):
            network.integrate(random(7, 5), 1).sum().backward()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "neuton"}, "`method` must be one of auto, newton, fixed-point, but is 'neuton'"),
        ({"tol": 0}, "`tol` must be a number between 0 and 1, but is 0"),
        ({"tol": -1e-3}, "`tol` must be a number between 0 and 1, but is -0.001"),
        ({"tol": float("nan")}, "`tol` must be a number between 0 and 1, but is nan"),
        ({"tol": 1.0}, "`tol` must be a number between 0 and 1, but is 1.0"),
        ({"max_iterations": 0}, "`max_iterations` must be an integer of at least 1, but is 0"),
        ({"max_iterations": 1.5}, "`max_iterations` must be an integer of at least 1, but is 1.5"),
    ],
)
def test_a_solver_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Solver(**given)
    assert str(caught.value) == message


def test_a_scalar_function_may_make_a_stage_implicit() -> None:
    """α_11(step): K = tanh(y + α K), and no α at all in even steps."""
    alpha = Scalar(lambda step, Y, x: torch.full((), 0.5 * (step % 2), dtype=Y[0].dtype) + 0 * x.sum())
    layer = Equations(1, W=[torch.eye(2, dtype=F64), None], alpha=[[alpha]], beta=[1.0])
    Y = random(1, 3, 2)
    output, _ = ODERNN(layer)(torch.zeros(2, 3, 0, dtype=F64), Y)
    close(output[0], torch.tanh(Y[0]), 1e-14)
    close(output[1], torch.tanh(output[0] + 0.5 * output[1]), 1e-13)


def test_a_singular_jacobian_is_named() -> None:
    field = AffineField(1, activation="identity", bias=False, dtype=torch.float64)
    with torch.no_grad():
        field.W.fill_(10.0)  # h a W = 1
    network = ODERNN.from_tableau("backward_euler", field, 0.1)
    y = torch.zeros(1, 1, 1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(NotConverged, match="singular"):
        network(torch.zeros(1, 1, 0, dtype=torch.float64), y)[0].sum().backward()


@pytest.mark.parametrize("size", [10.0, 30.0])
def test_stiff_stages_are_solved(size: float) -> None:
    """h‖K‖² of some thousands: the residual cannot fall to 100 ε, the correction does."""
    generator = torch.Generator().manual_seed(3)
    field = GradientField(4, dtype=torch.float64)
    with torch.no_grad():
        field.K.copy_(size * torch.randn(4, 4, generator=generator, dtype=torch.float64))
    network = ODERNN.from_tableau("implicit_midpoint", field, 0.5)
    y = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    after = network.integrate(y, 5)
    K = field((after[0] + after[1]) / 2)  # the stage of the implicit midpoint rule
    scale = 1e-12 * size**2 * (1 + y.abs().max())  # rounding of Y, times K†K
    assert (after[1] - after[0] - 0.5 * K).abs().max() < scale


def test_autocast_leaves_implicit_stages_their_precision() -> None:
    network = ODERNN.from_tableau("gauss2", GradientField(8, 2), 0.5)
    x = torch.randn(6, 4, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = network(x)[0]
    assert torch.equal(inside, network(x)[0])
