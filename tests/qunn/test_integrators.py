"""ODERNN built from a tableau as an integrator: its order on problems with a known solution, and SciPy's answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from qunn.fields import (
    AffineField,
    AntisymmetricField,
    DefiniteField,
    Field,
    FunctionField,
    GradientField,
    HamiltonianField,
)
from qunn.odernn import ODERNN
from qunn.tableau import ButcherTableau, tableaux

F64 = torch.float64
Table = str | ButcherTableau
every_tableau = pytest.mark.parametrize("name", list(tableaux))


def twisted(y: Tensor) -> Tensor:
    """z' = z(1 - |z|² + i(1 + |z|²)) for z = u + iv, seen through (u, v + u²/2): no symmetry, no linear part."""
    u, w = y[..., 0], y[..., 1]
    v = w - u**2 / 2
    r = u**2 + v**2
    du, dv = u * (1 - r) - v * (1 + r), v * (1 - r) + u * (1 + r)
    return torch.stack([du, dv + u * du], -1)


def twisted_at(time: float, start: tuple[float, float] = (0.3, -0.5)) -> Tensor:
    """Its solution: ρ = |z|² obeys ρ' = 2ρ(1 - ρ), and the angle grows by t + ∫ρ dt."""
    u, v = start
    rho = u**2 + v**2
    after = 1 / (1 + (1 / rho - 1) * np.exp(-2 * time))
    angle = np.arctan2(v, u) + time + 0.5 * np.log1p(rho * np.expm1(2 * time))
    u, v = np.sqrt(after) * np.cos(angle), np.sqrt(after) * np.sin(angle)
    return torch.tensor([u, v + u**2 / 2], dtype=F64)


def logistic(y: Tensor) -> Tensor:
    return y * (1 - y)


def logistic_at(time: float) -> Tensor:
    return torch.tensor([1 / (1 + 9 * np.exp(-time))], dtype=F64)


#: steps over the time 1 for every order: small enough an h for the leading term, errors far above rounding (1e-14)
STEPS = {1: (16, 32, 64), 2: (16, 32, 64), 3: (16, 24, 36), 4: (16, 24, 36), 5: (12, 18, 27), 6: (8, 12, 18)}
FLOOR = 1e-11  # some ten steps, each with stages to 2e-14


def errors(table: Table, field: Field, exact: Callable[[float], Tensor], steps: tuple[int, ...]) -> list[float]:
    found = []
    for count in steps:
        network = ODERNN.from_tableau(table, field, 1 / count)
        with torch.no_grad():
            path = network.integrate(exact(0.0), count)
        found.append(max(float((path[k] - exact(k / count)).abs().max()) for k in range(count + 1)))
    return found


def slope(steps: tuple[int, ...], found: list[float]) -> float:
    """The order as fitted: error ~ h^p."""
    return float(-np.polyfit(np.log(steps), np.log(found), 1)[0])


@every_tableau
def test_the_fitted_order_is_the_order(name: str) -> None:
    order = tableaux[name].order
    field = FunctionField(twisted, 2, dtype=F64)
    start = (0.1, 0.1) if name == "dopri5" else (0.3, -0.5)  # its h^5 term is so small that h^6 hides it elsewhere
    found = errors(name, field, partial(twisted_at, start=start), STEPS[order])
    assert min(found) > FLOOR
    assert max(found) < 0.1
    assert abs(slope(STEPS[order], found) - order) < 0.2, found


@every_tableau
def test_no_order_is_lost_on_a_scalar_problem(name: str) -> None:
    order = tableaux[name].order
    steps = tuple(max(2, count // 4) for count in STEPS[order])
    found = errors(name, FunctionField(logistic, 1, dtype=F64), logistic_at, steps)
    assert min(found) > 1e-14
    assert slope(steps, found) > order - 0.4, found


def test_the_known_solutions_are_solutions() -> None:
    """By central differences, to the rounding of 1e-5."""
    for f, exact in ((twisted, twisted_at), (logistic, logistic_at)):
        for time in (0.0, 0.4, 1.0):
            slope_there = (exact(time + 1e-5) - exact(time - 1e-5)) / 2e-5
            torch.testing.assert_close(slope_there, f(exact(time)), rtol=0, atol=1e-9)


def perturbed(name: str, i: int, j: int | None) -> ButcherTableau:
    """b_i off by a tenth, or a_ij by a hundredth."""
    table = tableaux[name]
    A, b = table.A.copy(), table.b.copy()
    if j is None:
        b[i] += 0.1
    else:
        A[i, j] += 0.01
    return ButcherTableau(name, A, b, order=table.order)


@every_tableau
def test_a_wrong_weight_is_seen(name: str) -> None:
    """A check that can fail: with Σb ≠ 1 nothing converges."""
    order, field = tableaux[name].order, FunctionField(twisted, 2, dtype=F64)
    weights = np.flatnonzero(tableaux[name].b)
    for i in {int(weights[0]), int(weights[-1])}:
        found = errors(perturbed(name, i, None), field, twisted_at, STEPS[order][:2])
        assert slope(STEPS[order][:2], found) < 0.6, found


@pytest.mark.parametrize("name", [name for name in tableaux if tableaux[name].order > 1])
def test_a_wrong_coefficient_is_seen(name: str) -> None:
    """Any a_ij of a stage that the result depends on."""
    table, field = tableaux[name], FunctionField(twisted, 2, dtype=F64)
    steps = STEPS[table.order]
    used = [i for i in range(table.n) if table.b[i] or (table.order > 2 and table.A[:, i].any())]
    rng = np.random.default_rng(3)
    for i in rng.permutation(used)[:2]:
        choices = [j for j in range(table.n) if table.A[i, j]] or [0]
        wrong = perturbed(name, int(i), int(rng.choice(choices)))
        found = errors(wrong, field, twisted_at, steps)
        assert abs(slope(steps, found) - table.order) > 0.2, (wrong.A, found)


# --- fields against SciPy ---


def made(kind: Callable[..., Field], **more: Any) -> Field:
    torch.manual_seed(7)
    field = kind(4, dtype=F64, **more)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.mul_(2)  # not almost linear
    return field


FIELDS: dict[str, Callable[[], Field]] = {
    "affine": lambda: made(AffineField),
    "affine with input": lambda: made(AffineField, input_size=2, activation="sigmoid"),
    "gradient": lambda: made(GradientField, inner=6),
    "gradient with input": lambda: made(GradientField, inner=3, input_size=2, activation="softplus"),
    "hamiltonian": lambda: made(HamiltonianField),
    "antisymmetric": lambda: made(AntisymmetricField, diffusion=0.2, activation="sin"),
    "definite": lambda: made(DefiniteField),
}
Y_0 = torch.tensor([0.9, -0.4, 0.3, -1.1], dtype=F64)
X = torch.tensor([0.7, -1.2], dtype=F64)


def right_hand_side(field: Field) -> Callable[[float, Any], Any]:
    """The field by hand, in numpy: κ σ(W y + V x + b)."""
    p = {name: value.detach().numpy() for name, value in field.named_parameters()}
    sigma = {
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "softplus": lambda v: np.log1p(np.exp(v)),
        "sin": np.sin,
    }[field.sigma.name]
    shift = p["b"] + (p["V"] @ X.numpy() if "V" in p else 0)
    if isinstance(field, GradientField):
        return lambda _, y: -p["K"].T @ sigma(p["K"] @ y + shift)
    if isinstance(field, HamiltonianField):
        W = p["W"]
        return lambda _, y: np.concatenate([sigma(W @ y[2:] + shift[:2]), -sigma(W.T @ y[:2] + shift[2:])])
    if isinstance(field, DefiniteField):
        M = p["L"] @ p["L"].T + 0.1 * np.eye(4)
        return lambda _, y: sigma(-M @ y + shift)
    if isinstance(field, AntisymmetricField):
        A = p["parametrizations.W.original"]
        return lambda _, y: sigma((A - A.T - 0.2 * np.eye(4)) @ y + shift)
    return lambda _, y: sigma(p["W"] @ y + shift)


@pytest.mark.parametrize("kind", FIELDS)
def test_converges_to_scipys_integrators(kind: str) -> None:
    """Within C·h^p of DOP853 and of Radau at rtol 1e-12, at every order, and much closer at order 6 than at order 1."""
    field, time = FIELDS[kind](), 1.0
    f = right_hand_side(field)
    runs = [solve_ivp(f, (0, time), Y_0.numpy(), method=m, rtol=1e-12, atol=1e-13) for m in ("DOP853", "Radau")]
    truth, other = (torch.from_numpy(run.y[:, -1]) for run in runs)
    torch.testing.assert_close(truth, other, rtol=0, atol=1e-10)
    x = X.expand(1, 1, 2) if field.input_size else torch.zeros(1, 1, 0, dtype=F64)
    for name in ("euler", "trapezoid", "heun", "radau_ia2", "sdirk23", "rk4", "dopri5", "gauss3"):
        order, found = tableaux[name].order, []
        steps = tuple(count // 2 for count in STEPS[order])
        for count in steps:
            with torch.no_grad():
                network = ODERNN.from_tableau(name, field, time / count)
                output, _ = network(x.expand(count, -1, -1), Y_0.expand(1, 1, 4))
            found.append(float((output[-1, 0] - truth).abs().max()))
        assert max(found) < 0.2
        # C of the coarsest h, with which some room is left for higher terms and for SciPy's own error
        bounds = [2 * found[0] * (steps[0] / count) ** order + 1e-11 for count in steps]
        assert all(e <= bound for e, bound in zip(found, bounds, strict=True)), (name, found, bounds)


def test_an_input_is_held_during_its_step() -> None:
    """A piecewise constant x: SciPy from step to step."""
    field = FIELDS["affine with input"]()
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(2), dtype=F64)
    with torch.no_grad():
        output, _ = ODERNN.from_tableau("gauss3", field, 0.1)(x, Y_0.unsqueeze(0))
    y = Y_0.numpy()
    p = {name: value.detach().numpy() for name, value in field.named_parameters()}
    for l in range(5):  # noqa: E741 - the paper's time
        drive = p["V"] @ x[l].numpy() + p["b"]
        run = solve_ivp(
            lambda _, v, d=drive: 1 / (1 + np.exp(-p["W"] @ v - d)),
            (0, 0.1),
            y,
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
        )
        y = run.y[:, -1]
        np.testing.assert_allclose(output[l].numpy(), y, rtol=0, atol=1e-9)


def test_the_linear_problem_is_multiplied_by_the_stability_function() -> None:
    """y' = λy, h = 1: every method gives R(hλ), also where it is stiff."""
    for name, table in tableaux.items():
        for scale in (-0.3, 0.4, -7.0):
            field = FunctionField(lambda v, s=scale: s * v, 1, dtype=F64)
            after = ODERNN.from_tableau(name, field, 1.0).integrate(torch.ones(1, dtype=F64), 1)[1]
            wanted = float(table.stability_function(scale).real)
            np.testing.assert_allclose(after.item(), wanted, rtol=1e-11, atol=1e-13)
