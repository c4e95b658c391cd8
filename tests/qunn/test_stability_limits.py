"""Attempts to make the stability report say something false: scales far apart, rounding, unknown σ, random networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from hamiltonians import InputError
from qunn import ODERNN, tableaux
from qunn.activations import Activation
from qunn.coefficients import Diagonal, Vector
from qunn.equations import Equations
from qunn.fields import FunctionField, GradientField
from qunn.implicit import NotConverged, Solver
from qunn.networks.urnn import modrelu
from qunn.stability import StageField, measure, monotonicity
from qunn.stability.conditions import stage_fields
from qunn.stability.definite import semidefinite
from tests.systems.stability_reference import (
    C128,
    F64,
    NUMPY,
    STABLE,
    diagonal,
    gradient,
    in_numpy,
    normal,
    report,
    runge_kutta,
    unproved,
    verdicts,
)

# --- positive semidefinite up to rounding ---


def test_semidefinite_agrees_with_the_eigenvalues_of_well_scaled_matrices() -> None:
    for seed in range(50):
        R = normal(4, 4, seed=seed)
        S = R @ R.mT - (seed % 5) * torch.eye(4, dtype=F64)
        found = semidefinite(S, S.abs())
        assert found.holds == (float(torch.linalg.eigvalsh(S)[0]) >= 0)
        assert found.holds or float(found.vector @ S @ found.vector) < 0
        assert float(found.vector.norm()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("S", "holds"),
    [
        (diagonal(1, -1e-17), False),  # known to its own rounding, which is smaller
        (diagonal(1e20, -1e-20), False),
        (diagonal(1e20, 1e-20), True),
        (diagonal(1, 0), True),
        (torch.zeros(2, 2, dtype=F64), True),
        (torch.tensor([[1, 1e-9], [1e-9, 0]], dtype=F64), False),
        (torch.tensor([[1, 1 + 1e-16], [1 + 1e-16, 1]], dtype=F64), True),
        (torch.full((2, 2), float("nan"), dtype=F64), False),
    ],
)
def test_semidefinite_whatever_the_scales(S: Tensor, holds: bool) -> None:
    found = semidefinite(S, S.abs())
    assert found.holds is holds
    assert holds or bool(S.isnan().any()) or float(found.vector @ S @ found.vector) < 0


def test_terms_that_cancel_to_rounding_are_zero() -> None:
    """Gauss's Q = 0 comes out with eigenvalues near -1e-17; 1e-12 is no rounding."""
    S, terms = torch.tensor([[-1e-17]], dtype=F64), torch.ones(1, 1, dtype=F64)
    assert semidefinite(S, terms).holds
    assert not semidefinite(torch.tensor([[-1e-12]], dtype=F64), terms).holds
    assert semidefinite(torch.tensor([[-1e-9]], dtype=F64), terms, eps=torch.finfo(torch.float32).eps).holds


# --- what cannot be measured ---


def test_stages_that_are_not_solved_leave_the_proof_and_no_measurement() -> None:
    model = gradient("gauss2", solver=Solver(method="fixed-point", max_iterations=1))
    found = report(model)
    line = found.line("contraction")
    assert line.verdict == "not applicable"
    assert "did not converge" in line.detail
    assert found.layers[0].contraction is None
    assert found.contractive is True  # a theorem on the exact stages
    assert found.as_dict()["layers"][0]["contraction"] is None
    with pytest.raises(NotConverged):
        measure(model.equations[0])


def test_orbits_that_overflow_are_followed_as_far_as_they_go() -> None:
    model = runge_kutta("euler", 100 * torch.ones(3, 3), sigma="relu", h=1.0)  # float32
    found = report(model, steps=100)
    contraction = found.layers[0].contraction
    assert contraction is not None
    assert contraction.steps < 100
    assert found.contractive is False
    json.dumps(found.as_dict(), allow_nan=False)
    with pytest.raises(InputError, match="orbits"):
        report(runge_kutta("euler", 1e40 * torch.ones(3, 3, dtype=F64), sigma="relu", h=1e80))


# --- attempts to make it say something false ---


@pytest.mark.parametrize("h", [1e-8, 0.1, 1e4, 1e8])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_constant_drift_of_any_size_is_not_refuted(implicit: bool, h: float) -> None:
    """b only: all orbits move alike, and their distance is known to ε h only."""
    b = torch.tensor([1.0, 2.0], dtype=F64)
    table = "implicit_midpoint" if implicit else "euler"
    found = report(runge_kutta(table, None, b=b, h=h, state_size=2))
    assert found.contractive is (True if implicit else None)
    assert unproved(found) == (set() if implicit else {"I"})


@pytest.mark.parametrize("W", [diagonal(-1e4, 1e-4), diagonal(-1, 1e-14), diagonal(-1e10, 1e-8), diagonal(-1, 1e-16)])
def test_a_slow_expansion_beside_a_fast_contraction_is_refuted(W: Tensor) -> None:
    found = report(runge_kutta("backward_euler", W, h=1e-9), samples=200)
    assert unproved(found) == {"field"}
    assert found.contractive is not True


def test_a_small_rotation_beside_a_large_gradient_is_refuted() -> None:
    """κ's first column is -1e12 times W's first row, the others turn: -1e-4 and 1e-4 are no rounding of 1e12."""
    kappa = torch.tensor([[-1e12, 0, 0], [0, 0, -1e-4], [0, 1e-4, 0]], dtype=F64)
    model = runge_kutta("backward_euler", torch.eye(3, dtype=F64), kappa, h=1e-13)
    assert unproved(report(model, samples=300)) == {"field"}


def test_a_small_part_of_kappa_off_the_gradient_is_not_proved() -> None:
    K = normal(3, 3)
    for off in (1e-3, 1e-5):  # it expands at the rate off²/4, which must be above the rounding of 1
        kappa = -K.mT.clone()
        kappa[0, 1] += off
        assert verdicts(report(runge_kutta("gauss2", K, kappa), samples=100))["field"] != "proved"
    kappa = -K.mT.clone()
    kappa[:, 1] *= -1e-9  # against the gradient, if only a little
    assert verdicts(report(runge_kutta("gauss2", K, kappa), samples=100))["field"] != "proved"
    kappa = -K.mT * torch.tensor([1.0, 1e9, 0.0], dtype=F64)  # C ≥ 0 of any size
    assert verdicts(report(runge_kutta("gauss2", K, kappa, h=1e-9)))["field"] == "proved"


@pytest.mark.parametrize("size", [1e-40, 1e-12, 1e6, 1e12])
def test_a_scale_changes_no_verdict(size: float) -> None:
    K = normal(4, 2)
    good = runge_kutta("radau_iia2", size * K, -size * K.mT, h=0.1 / size**2)
    bad = runge_kutta("radau_iia2", size * K, size * K.mT, h=0.01 / size**2)
    assert verdicts(report(good))["field"] == "proved"
    assert report(good).contractive is not False
    assert verdicts(report(bad))["field"] == "refuted"
    assert report(bad).contractive is not True


def test_zero_weights_are_contractive() -> None:
    zero = torch.zeros(2, 2, dtype=F64)
    for kappa in (None, zero, -torch.eye(2, dtype=F64), 5.0):
        assert report(runge_kutta("gauss2", zero, kappa, b=torch.ones(2, dtype=F64))).contractive is True


@pytest.mark.parametrize("W", [2.0, -2.0])
def test_one_dimension_and_numbers_for_everything(W: float) -> None:
    """f = -W σ(W y): κ and W numbers; γ a full identity, κ_{n+1} a full one."""
    eye = torch.eye(1, dtype=F64)
    model = runge_kutta("backward_euler", W, [-W, eye], state_size=1, gamma=[0, eye])
    assert report(model).contractive is True
    assert unproved(report(runge_kutta("backward_euler", W, W, state_size=1, gamma=[0, eye]))) == {"field"}


def test_functions_as_coefficients_are_never_proved() -> None:
    K = normal(2, 2)
    minus = Diagonal(lambda *_: -torch.ones(2, dtype=F64), 2)
    found = report(runge_kutta("backward_euler", torch.eye(2, dtype=F64), minus))
    assert found.line("field").verdict == "not applicable"
    assert "kappa_1 is a function" in found.line("form").detail
    assert found.contractive is None
    driven = Vector(lambda *moment: 9 * moment[1][0], 2)
    model = runge_kutta("backward_euler", K, -K.mT, driven, h=2.0)
    assert report(model).contractive is not True


def test_callables_of_unknown_slope_are_sampled() -> None:
    for sigma in (lambda z: torch.tanh(z) * 1, lambda z: (z > 0).to(z.dtype), lambda z: torch.zeros_like(z)):
        found = report(gradient("euler", sigma=sigma))
        assert found.line("field").verdict == "sampled"
        assert found.contractive is not True
    wave = report(gradient("gauss2", sigma=lambda z: torch.sin(3 * z)))
    assert wave.line("field").verdict == "refuted"


@pytest.mark.parametrize("shift", [-0.1, 0.0])
def test_a_complex_callable_that_is_not_pointwise_is_sampled(shift: float) -> None:
    """modReLU acts on the modulus; -K†modReLU(K y) is monotone for b ≤ 0, and nothing here can prove it."""
    W, b = normal(3, 3, dtype=C128), torch.full((3,), shift, dtype=F64)
    found = report(runge_kutta("gauss2", W, -W.mH, sigma=lambda z: modrelu(z, b)))
    assert unproved(found) == {"field"}
    assert found.line("field").verdict == "sampled"
    assert found.contractive is None
    turned = report(runge_kutta("gauss2", W, W.mH, sigma=lambda z: modrelu(z, b)))
    assert turned.line("field").verdict == "refuted"


def test_a_function_field_is_refuted_or_sampled() -> None:
    cubic = report(ODERNN.from_tableau("gauss2", FunctionField(lambda y: -(y**3), 2, dtype=F64), 0.01))
    assert cubic.line("field").verdict == "sampled"
    assert cubic.contractive is None
    growing = report(ODERNN.from_tableau("gauss2", FunctionField(lambda y: y - y**3, 2, dtype=F64), 0.01))
    assert growing.line("field").verdict == "refuted"


def test_a_steep_point_without_a_pair_hides_no_other() -> None:
    """At y = 0 alone the slope of f_1 is 100, and no pair shows it; f_2 = y_2 expands everywhere."""
    alone, around = torch.tensor([100.0, 1.0], dtype=F64), torch.tensor([-1.0, 1.0], dtype=F64)
    field = FunctionField(lambda y: torch.where(y == 0, alone * y, around * y), 2, dtype=F64)
    found = report(ODERNN.from_tableau("euler", field, 0.01))
    assert found.line("field").verdict == "refuted"


def test_a_large_shift_that_an_activation_undoes_is_not_refuted() -> None:
    """σ(z) = z - 1e10 of W y + 1e10, W antisymmetric: the product is 0, and the rounding of 1e10 is no violation."""
    S = torch.tensor([[0, 1.0, 2], [-1, 0, 3], [-2, -3, 0]], dtype=F64)
    b = 1e10 * torch.ones(3, dtype=F64)
    f = StageField(S, b, torch.eye(3, dtype=F64), Activation("shift", lambda z: z - 1e10, pointwise=False), False)
    for seed in range(20):
        assert monotonicity(f, None, 50, torch.Generator().manual_seed(seed)).verdict == "sampled"


def test_a_shift_that_cancels_in_the_null_space_is_not_refuted() -> None:
    """Wᵀb = 0, σ(z) = z - b, κ W antisymmetric: no point of size 1e10 is near, but b is."""
    W = normal(6, 3)
    Q, _ = torch.linalg.qr(torch.cat([W, normal(6, 3, seed=2)], 1))
    b = 1e10 * Q[:, 3:] @ normal(3, seed=3)
    S = torch.tensor([[0, 1.0, 2], [-1, 0, 3], [-2, -3, 0]], dtype=F64)
    f = StageField(W, b, S @ torch.linalg.pinv(W), Activation("shift", lambda z: z - b, pointwise=False), False)
    for seed in range(20):
        assert monotonicity(f, None, 50, torch.Generator().manual_seed(seed)).verdict == "sampled"


@pytest.mark.parametrize("pointwise", [False, True])
def test_a_slope_proves_something_only_of_a_pointwise_function(pointwise: bool) -> None:
    """z ↦ z turned round has no slope, whatever is claimed."""
    sigma = Activation("flip", lambda z: z if pointwise else z.flip(-1), slope=(0.0, 1.0), pointwise=pointwise)
    K = normal(2, 2)
    for W, kappa in ((K, -K.mT), (-torch.eye(2, dtype=F64), None)):
        verdict = verdicts(report(runge_kutta("gauss2", W, kappa, sigma=sigma)))["field"]
        assert verdict == ("proved" if pointwise else "refuted")


# --- rounding and the solver's tolerance are no violations ---


def test_a_jump_of_any_size_is_no_violation() -> None:
    """b_{n+1} moves all orbits alike; what is known of their distance afterwards is ε times the jump."""
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)  # Gauss's step of a rotation keeps distances
    model = runge_kutta("gauss2", skew, b=[None, None, 1e8 * torch.ones(2, dtype=F64)], sigma="identity")
    assert report(model).contractive is True


def test_stages_that_cancel_are_no_violation() -> None:
    """-Kᵀrelu(K y + b) + Kᵀrelu(-K y + b) with b = 1e12: -2KᵀK y, known to ε b."""
    K = 1e-2 * normal(2, 3)
    W = torch.cat([K, -K])
    b = 1e12 * torch.ones(4, dtype=F64)
    found = report(runge_kutta("euler", W, -W.mT, b, "relu", 0.01))
    assert unproved(found) == {"I"}
    assert found.contractive is None


@pytest.mark.parametrize(("size", "h"), [(1.0, 0.1), (1e-3, 100.0)])
def test_a_fixed_point_that_is_stopped_early_is_no_violation(size: float, h: float) -> None:
    """Gauss's step of a rotation keeps distances, and the stages' error is h times the tolerance."""
    skew = size * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    solver = Solver(method="fixed-point", tol=1e-3)
    assert report(runge_kutta("gauss2", skew, sigma="identity", h=h, solver=solver), pairs=256).contractive is True
    exact = report(runge_kutta("gauss2", skew, sigma="identity", h=h))
    assert exact.layers[0].contraction.largest_step == pytest.approx(1, abs=1e-9)


def test_a_large_metric_makes_rounding_no_violation() -> None:
    """tanh is saturated almost everywhere: distances stay as they are up to rounding."""
    M = 1e8 * torch.tensor([[1.0, 0.3], [0.3, 1.0]], dtype=F64)
    found = report(runge_kutta("implicit_midpoint", -M, h=1e-12), pairs=256)
    assert found.contractive is True
    assert "inner product" in found.line("field").detail


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.complex64, C128], ids=str)
def test_near_a_fixed_point_rounding_is_no_violation(dtype: torch.dtype) -> None:
    """Both orbits have arrived: their distance is rounding, and goes up and down."""
    torch.manual_seed(8)
    field = GradientField(3, activation="identity", dtype=dtype)
    with torch.no_grad():
        field.K.add_(3 * torch.eye(3))
    found = report(ODERNN.from_tableau("radau_iia3", field, 5.0), steps=40)
    assert found.contractive is True
    large = runge_kutta(
        "radau_iia2",
        torch.eye(2, dtype=F64),
        -torch.eye(2, dtype=F64),
        1e6 * torch.ones(2, dtype=F64),
        "identity",
        10.0,
    )
    assert report(large, steps=30).contractive is True


def test_a_loose_solver_is_no_violation() -> None:
    model = gradient("gauss2", size=3, solver=Solver(tol=1e-4), h=1.0)
    assert report(model, steps=20).contractive is True


def test_an_output_of_another_size_than_the_state_has_no_Q() -> None:
    """κ_{n+1} [2, 3] and β [3, 2]: II has nothing to speak of."""
    eye = torch.eye(2, dtype=F64)
    model = ODERNN(Equations(1, W=[eye, None], kappa=[None, normal(2, 3)], beta=[normal(3, 2)], gamma=[0, 1.0], h=0.1))
    found = report(model)
    assert found.line("I").verdict == found.line("II").verdict == "not applicable"
    assert found.contractive is not True


def random_network(seed: int) -> ODERNN:
    """A small network that may or may not be contractive, of scales that differ by many decades."""
    rng = np.random.default_rng(seed)
    s, p = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    W = torch.tensor(rng.standard_normal((p, s)) * 10.0 ** rng.uniform(-4, 4, (p, 1)))
    kappa = -W.mT * torch.tensor(10.0 ** rng.uniform(-3, 3, p))
    kind = rng.integers(4)
    if kind == 1:
        kappa = kappa + 10.0 ** rng.uniform(-17, 0) * torch.tensor(rng.standard_normal((s, p)))
    if kind == 2:
        kappa[:, rng.integers(p)] *= -(10.0 ** rng.uniform(-18, 0))
    if kind == 3:
        W = torch.tensor(rng.standard_normal((s, s)))
        W, kappa = W - W.mT + torch.diag(torch.tensor(10.0 ** rng.uniform(-18, 1, s) * rng.choice([-1, 1], s))), None
    b = torch.tensor(rng.standard_normal(len(W)) * 10.0 ** rng.uniform(-3, 3))
    table = str(rng.choice(STABLE if rng.random() < 0.8 else list(tableaux)))
    sigma = str(rng.choice(list(NUMPY)))
    return runge_kutta(table, W, kappa, b, sigma, float(10.0 ** rng.uniform(-4, 1)), solver=Solver(max_iterations=20))


def check_random_network(seed: int) -> None:
    """All conditions proved and a measured violation contradict each other; so does a proof and a pair in numpy."""
    model = random_network(seed)
    try:
        found = report(model, pairs=48, steps=4, samples=60, seed=seed)
    except InputError:  # explicit and stiff: orbits of infinite size from the first step on
        return
    assert (found.contractive is True) == (not unproved(found)), f"seed {seed}: {found.line('contraction').detail}"
    layer = model.equations[0]
    (f,) = stage_fields(layer) or []
    g, line = in_numpy(f, layer.sigma[0].name), found.line("field")
    rng = np.random.default_rng(seed)
    W, kappa, b = (np.abs(np.asarray(v, np.longdouble)) for v in (f.W, f.kappa, f.b))
    if line.witness is not None:
        x, y = (np.array(line.witness[key], np.longdouble) for key in "xy")
        assert float((g(x) - g(y)) @ (x - y)) > 0, f"seed {seed}"
    elif line.verdict == "proved" and "inner product" not in line.detail:
        centre = -np.linalg.lstsq(f.W.numpy(), f.b.numpy(), rcond=None)[0]
        for _ in range(50):
            x = centre * rng.integers(2) + rng.standard_normal(f.W.shape[1]) * 10.0 ** rng.uniform(-6, 4)
            apart = rng.standard_normal(f.W.shape[1]) * 10.0 ** rng.uniform(-6, 4)
            y = x + apart
            product = float((g(x) - g(y)) @ (x - y))
            size = np.abs(x - y) @ (kappa @ (W @ (np.abs(x - y) + 1e-4 * (np.abs(x) + np.abs(y))) + 1e-4 * (b + 1)))
            assert product <= 1e-13 * float(size), f"seed {seed}"


@pytest.mark.parametrize("part", range(4))
def test_random_networks_give_no_false_verdict(part: int) -> None:
    for seed in range(10 * part, 10 * part + 10):
        check_random_network(seed)


@pytest.mark.slow
def test_many_random_networks_give_no_false_verdict() -> None:
    for seed in range(100, 200):
        check_random_network(seed)
