"""The stability report against literal formulas, the counterexamples (E3), and witnesses evaluated anew in numpy."""

from __future__ import annotations

import json
from math import e, exp
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hamiltonians import InputError
from qunn import ARNN, CWRNN, ODERNN, URNN, ContractiveRNN, Readout, ResetBeforeGRU, TorchRNN, stability, tableaux
from qunn.activations import ACTIVATIONS, Activation
from qunn.coefficients import Scalar, Vector
from qunn.equations import Equations
from qunn.fields import AffineField, AntisymmetricField, DefiniteField, GradientField
from qunn.implicit import Solver
from qunn.stability import StabilityReport, StageField, measure, monotonicity
from qunn.stability.conditions import burrage_butcher, stage_fields, weights
from qunn.tableau import ButcherTableau
from tests.systems.stability_reference import (
    C128,
    F64,
    LINES,
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

ROUNDING = 1e-13  # of sums of some hundred numbers of size 1
NON_DECREASING = [name for name, sigma in ACTIVATIONS.items() if sigma.non_decreasing]


def rerun(model: ODERNN, witness: dict[str, Any]) -> Tensor:
    """‖ΔY_l‖ for l = 0, 1, … of the witness's pair, by the module itself; of Y_l only where there are delays."""
    layer = model.equations[0]
    dtype = layer.state_dtype

    def parts(start: list[Any]) -> tuple[Tensor, ...]:
        return tuple(torch.tensor([complex(z) if dtype.is_complex else z for z in part], dtype=dtype) for part in start)

    distances = []
    states = [tuple(p.unsqueeze(0) for p in parts(witness[key])) for key in ("Y_0", "Y'_0")]
    for step in range(20):
        newest = [state[0] if layer.t > 1 else torch.cat(state, -1) for state in states]
        distances.append((newest[0] - newest[1]).norm())
        states = [layer.scan(torch.zeros(1, 1, 0, dtype=dtype), state, step)[1] for state in states]
    return torch.stack(distances)


def check_witness(model: ODERNN, found: StabilityReport) -> None:
    line = found.line("contraction")
    assert line.verdict == "refuted"
    assert found.contractive is False
    assert line.witness is not None
    distances = rerun(model, line.witness)
    step = line.witness["step"]
    assert float(distances[step + 1] / distances[step]) == pytest.approx(line.witness["step_ratio"], rel=1e-6)
    assert line.witness["step_ratio"] > 1


# --- the Burrage-Butcher tensor ---


def dagger(M: Any) -> Any:
    return M.conj().T


def literal_Q(a: Any, beta: Any) -> Any:
    """β_i† a_ij + a_ji† β_j - β_i† β_j, a sum at a time."""
    n, s = beta.shape[:2]
    Q = np.zeros((n, s, n, s), beta.dtype)
    for i in range(n):
        for j in range(n):
            for m in range(s):
                Q[i, :, j] += np.outer(beta[i][m].conj(), a[i, j][m])
                Q[i, :, j] += np.outer(a[j, i][m].conj(), beta[j][m])
                Q[i, :, j] -= np.outer(beta[i][m].conj(), beta[j][m])
    return Q


def printed_Q(a: Any, beta: Any) -> Any:
    """Eq. (5) as printed: β_i a_ij + β_j a_ji - β_i β_jᵀ."""
    n, s = beta.shape[:2]
    Q = np.zeros((n, s, n, s), beta.dtype)
    for i in range(n):
        for j in range(n):
            Q[i, :, j] = beta[i] @ a[i, j] + beta[j] @ a[j, i] - beta[i] @ beta[j].T
    return Q


def blocks(kind: str, n: int, s: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    a, beta = rng.standard_normal((n, n, s, s)), rng.standard_normal((n, s, s))
    if kind == "complex":
        a, beta = a + 1j * rng.standard_normal(a.shape), beta + 1j * rng.standard_normal(beta.shape)
    return a, beta


def energy_error(Q: Any, a: Any, beta: Any, h: float, seed: int) -> float:
    """‖ΔY'‖² - ‖ΔY‖² - 2h Σ Re<β_i ΔK_i, ΔY_i> + h² Σ ΔK_i† Q_ij ΔK_j for random ΔY and ΔK, relative."""
    n, s = beta.shape[:2]
    rng = np.random.default_rng(seed)
    Y, K = rng.standard_normal(s), rng.standard_normal((n, s))
    if np.iscomplexobj(beta):
        Y, K = Y + 1j * rng.standard_normal(s), K + 1j * rng.standard_normal((n, s))
    stages = [Y + h * sum(a[i, j] @ K[j] for j in range(n)) for i in range(n)]
    after = Y + h * sum(beta[j] @ K[j] for j in range(n))
    work = sum(np.vdot(beta[i] @ K[i], stages[i]).real for i in range(n))
    quadratic = sum(np.vdot(K[i], Q[i, :, j] @ K[j]).real for i in range(n) for j in range(n))
    left, right = np.vdot(after, after).real, np.vdot(Y, Y).real + 2 * h * work - h * h * quadratic
    return float(abs(left - right) / left)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_Q_of_numbers_is_the_formula(n: int) -> None:
    a, beta = normal(n, n), normal(n, seed=2)
    wanted = [[beta[i] * a[i, j] + beta[j] * a[j, i] - beta[i] * beta[j] for j in range(n)] for i in range(n)]
    torch.testing.assert_close(burrage_butcher(a, beta), torch.tensor(wanted), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("n", "s"), [(1, 1), (1, 3), (2, 3), (4, 2)])
def test_Q_of_blocks_is_the_literal_sum(n: int, s: int) -> None:
    a, beta = blocks("real", n, s, 3)
    Q = burrage_butcher(torch.tensor(a), torch.tensor(beta))
    np.testing.assert_allclose(Q, literal_Q(a, beta).reshape(n * s, n * s), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(Q, Q.T, atol=1e-13)


def test_Q_of_complex_blocks_is_the_real_view_of_the_literal_sum() -> None:
    n, s = 2, 3
    a, beta = blocks("complex", n, s, 4)

    def real(M: Any) -> Any:
        return np.block([[M.real, -M.imag], [M.imag, M.real]])

    Q = burrage_butcher(
        torch.tensor(np.array([[real(a[i, j]) for j in range(n)] for i in range(n)])),
        torch.tensor(np.array([real(beta[i]) for i in range(n)])),
    )
    literal = literal_Q(a, beta)
    wanted = np.block([[real(literal[i, :, j]) for j in range(n)] for i in range(n)])
    np.testing.assert_allclose(Q, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize(("n", "s"), [(1, 1), (1, 4), (2, 3), (3, 2)])
def test_energy_identity_holds_for_the_block_form(kind: str, n: int, s: int) -> None:
    for seed in range(20):
        a, beta = blocks(kind, n, s, seed)
        assert energy_error(literal_Q(a, beta), a, beta, 0.3, seed) < ROUNDING


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_energy_identity_fails_for_Eq_5_as_printed_which_is_not_symmetric(kind: str) -> None:
    """E16; for numbers the two agree."""
    a, beta = blocks(kind, 2, 3, 1)
    Q = printed_Q(a, beta)
    flat = Q.reshape(6, 6)
    assert np.abs(flat - dagger(flat)).max() > 0.1
    assert energy_error(Q, a, beta, 0.3, 1) > 1e-3
    a, beta = blocks("real", 3, 1, 1)
    np.testing.assert_allclose(printed_Q(a, beta), literal_Q(a, beta), rtol=1e-14)


# --- lines I and II ---


@pytest.mark.parametrize("name", tableaux)
def test_line_I_is_the_tableaus_algebraic_stability(name: str) -> None:
    found = report(gradient(name), pairs=16, steps=2)
    layer = found.layers[0]
    assert (verdicts(found)["I"] == verdicts(found)["II"] == "proved") == tableaux[name].algebraically_stable()
    assert layer.Q_eigenvalues == pytest.approx(
        np.linalg.eigvalsh(tableaux[name].burrage_butcher()), abs=tableaux[name].rounding
    )
    assert layer.beta == pytest.approx(tableaux[name].b, abs=1e-16)
    assert found.contractive is (True if name in STABLE else None)
    assert unproved(found) <= {"I", "II"}
    line = found.line("I")
    if line.witness is not None:
        v = np.array(line.witness["vector"])
        assert v @ tableaux[name].burrage_butcher() @ v < 0


@pytest.mark.parametrize("name", [name for name, table in tableaux.items() if table.explicit])
def test_explicit_networks_are_refuted_by_I_for_Q_ii_is_minus_beta_squared(name: str) -> None:
    """E3: Theorem 1 is vacuous for them."""
    table = tableaux[name]
    np.testing.assert_allclose(table.burrage_butcher().diagonal(), -(table.b**2), rtol=1e-14)
    assert verdicts(report(gradient(name), pairs=8, steps=1))["I"] == "refuted"


def test_an_explicit_network_passes_I_only_with_beta_zero() -> None:
    assert unproved(report(gradient("rk4", beta=[0, 0, 0, 0]))) == set()
    for k in range(4):
        for size in (1e-10, 1.0):
            beta = [size if q == k else 0 for q in range(4)]
            assert unproved(report(gradient("rk4", beta=beta), pairs=8, steps=1)) == {"I"}


@pytest.mark.parametrize("name", ["gauss2", "gauss3", "lobatto_iiic3"])
def test_a_tableau_off_by_1e_12_is_caught(name: str) -> None:
    table = tableaux[name]
    for sign in (-1.0, 1.0):
        A = table.A.copy()
        A[0, 0] += sign * 1e-12
        off = ButcherTableau("off", A, table.b, order=1)
        smallest = np.linalg.eigvalsh(off.burrage_butcher())[0]
        found = report(gradient(off), pairs=8, steps=1)
        assert (verdicts(found)["I"] == "refuted") == (smallest < -1e-14)
        assert sign > 0 or verdicts(found)["I"] == "refuted"


def test_a_tiny_explicit_stage_beside_a_large_implicit_one_is_caught() -> None:
    """Q_22 = -β_2² = -1e-16 is no rounding of β_1 = 1: with a stiff field it amplifies."""
    table = ButcherTableau("tiny", [[0.5, 0], [1, 0]], [1, 1e-8], order=1)
    eye = torch.eye(2, dtype=F64)
    model = runge_kutta(table, eye, -eye, sigma="identity", h=1e6)
    found = report(model)
    assert unproved(found) == {"I"}
    y = torch.tensor([1.0, 0.0], dtype=F64)
    stiff = runge_kutta(table, 100 * eye, -100 * eye, sigma="identity", h=1e6, solver=Solver(tol=1e-9))
    assert float(stiff.integrate(y, 1)[1].norm()) > 50


def test_II_is_refuted_by_a_negative_weight() -> None:
    table = ButcherTableau("negative", [[-0.5]], [-1], order=1)  # Q = 0
    found = report(gradient(table))
    assert unproved(found) == {"II"}
    assert found.line("II").witness == {"k": 1, "smallest_eigenvalue": -1.0}


def test_II_of_matrices_asks_for_the_symmetric_part() -> None:
    beta = torch.tensor([[1.0, 5.0], [-5.0, 1.0]], dtype=F64)
    good = report(gradient("backward_euler", size=2, beta=[beta]), pairs=8, steps=1)
    assert verdicts(good)["II"] == "proved"
    sheared = torch.tensor([[1.0, 5.0], [0.0, 1.0]], dtype=F64)  # eigenvalues 1 and 1
    for wrong, smallest in ((beta - 1.5 * torch.eye(2, dtype=F64), -0.5), (sheared, -1.5)):
        bad = report(gradient("backward_euler", size=2, beta=[wrong]), pairs=8, steps=1)
        assert verdicts(bad)["II"] == "refuted"
        assert bad.line("II").witness is not None
        assert bad.line("II").witness["smallest_eigenvalue"] == pytest.approx(smallest)


# --- the counterexamples (E3): each refuted on the line where it should be ---


def test_a_monotone_activation_does_not_make_the_field_monotone() -> None:
    """2-stage Gauss, W = I, tanh, h = 0.1: two orbits separate by up to e² in 20 steps."""
    model = runge_kutta("gauss2", torch.eye(3, dtype=F64))
    found = stability.report(model, pairs=256, steps=20)
    assert unproved(found) == {"field"}
    assert 6.5 < found.layers[0].contraction.largest_growth < e**2
    check_witness(model, found)
    pair = torch.tensor([[1e-6, 0, 0], [-1e-6, 0, 0]], dtype=F64)
    orbit = model.integrate(pair, 20)
    distance = (orbit[:, 0] - orbit[:, 1]).norm(dim=1)
    assert float(distance[-1] / distance[0]) == pytest.approx(exp(2), rel=1e-4)


def test_a_delayed_stage_is_refuted_and_separates_orbits() -> None:
    eye = 5 * torch.eye(2, dtype=F64)
    model = runge_kutta("gauss2", eye, -eye / 5, h=1.0, t=2)
    found = report(model, pairs=128, steps=15)
    assert unproved(found) == {"delays"}
    assert "W_2 reads Y_(l-1)" in found.line("delays").detail
    assert (found.layers[0].n, found.layers[0].t) == (2, 2)
    check_witness(model, found)


def test_one_stage_has_no_delay_whatever_t_is() -> None:
    found = report(gradient("implicit_midpoint", t=3))
    assert unproved(found) == set()
    assert found.layers[0].t == 1
    assert found.contractive is True


def test_matrix_weights_amplify_although_Q_is_zero() -> None:
    """β = diag(9, 1), a = β/2: Q = 0 and II hold, but β_k must be numbers."""
    beta = diagonal(9, 1)
    K = torch.tensor([[1.0, 1.0], [0.0, 0.1]], dtype=F64)
    model = runge_kutta("implicit_midpoint", K, -K.mT, beta=[beta], a=[[beta / 2]], h=1.0)
    found = report(model, pairs=256, steps=10)
    assert unproved(found) == {"form"}
    assert found.layers[0].Q_eigenvalues == pytest.approx([0, 0], abs=1e-14)
    assert found.layers[0].beta is None
    assert "matrices" in found.line("form").detail
    check_witness(model, found)


def test_a_W_in_the_output_separates_orbits() -> None:
    model = gradient("backward_euler", W=[normal(3, 3, seed=5), 1.0])
    found = report(model)
    assert unproved(found) == {"form"}
    assert "W_2 is not 0" in found.line("form").detail
    check_witness(model, found)


@pytest.mark.parametrize(
    "kappa", [-1.0, 1.5, torch.tensor([1.0, 1.0, 1.2], dtype=F64), 1.001 * torch.eye(3, dtype=F64)]
)
def test_a_kappa_in_the_output_must_be_one(kappa: Any) -> None:
    found = report(gradient(kappa=[-normal(3, 3, seed=5).mT] * 2 + [kappa]))
    assert unproved(found) == {"form"}
    assert found.line("form").detail == "kappa_3 is not 1"
    assert found.contractive is not True


def test_a_kappa_in_the_output_may_separate_orbits() -> None:
    """κ_{n+1} = -1 integrates backwards, where the field expands."""
    model = gradient("backward_euler", kappa=[-normal(3, 3, seed=5).mT, -1.0])
    check_witness(model, report(model))


@pytest.mark.parametrize("gamma", [1.1, -1.0, 0.5, torch.tensor([1.0, 1.0, 1.2], dtype=F64), None])
def test_a_gamma_in_the_output_must_be_one(gamma: Any) -> None:
    model = gradient(gamma=[0, 0, gamma])
    found = report(model)
    assert unproved(found) == {"form"}
    assert found.line("form").detail == ("gamma_3 is 0, not 1" if gamma is None else "gamma_3 is not 1")
    if isinstance(gamma, float) and gamma > 1:
        check_witness(model, found)


def test_an_explicit_first_stage_is_refuted_by_I() -> None:
    """Eq. (2) as printed: nothing at all stands in the bracket."""
    table = tableaux["gauss2"]
    A = table.A.copy()
    A[0] = 0
    found = report(gradient(ButcherTableau("explicit first", A, table.b, order=1)))
    assert unproved(found) == {"I"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gamma": [0, 0.5, 1.0]}, "gamma_2 is not 0"),
        ({"sigma": ["tanh", "tanh", "tanh"]}, "sigma_3 is tanh, not the identity"),
        ({"kappa": [1.0, 1.0, Scalar(lambda *_: torch.ones((), dtype=F64))]}, "kappa_3 is a function"),
        ({"beta": [0.5, Scalar(lambda *_: torch.ones((), dtype=F64))]}, "beta_2 is a function"),
        ({"b": [None, None, Vector(lambda *moment: moment[1][0].sin(), 3)]}, "b_3 is a function"),
    ],
)
def test_whatever_else_is_not_of_the_form(change: dict[str, Any], said: str) -> None:
    found = report(gradient(**change), pairs=8, steps=1)
    assert verdicts(found)["form"] == "refuted"
    assert said in found.line("form").detail
    assert found.contractive is not True


def test_a_block_that_the_input_overwrites_is_not_of_the_form() -> None:
    found = report(gradient("backward_euler", x_block=True, input_size=1))
    assert unproved(found) == {"form"}
    assert found.line("form").detail == "the next input overwrites a block of Y"


def test_the_identity_is_known_by_its_slope_and_not_by_its_name() -> None:
    def identity(v: Tensor) -> Tensor:
        return -v

    model = gradient("backward_euler", sigma=["tanh", identity])
    found = report(model)
    assert unproved(found) == {"form"}
    check_witness(model, found)
    shifted = Activation("shift", lambda v: v + 1, slope=(1.0, 1.0))  # moves all orbits alike
    assert report(gradient("backward_euler", sigma=["tanh", shifted])).contractive is True


# --- what is contractive is proved ---


@pytest.mark.parametrize("sigma", NON_DECREASING)
@pytest.mark.parametrize(("dtype", "inner"), [(F64, 3), (F64, 7), (F64, 1), (C128, 2), (C128, 5), (torch.float32, 4)])
def test_minus_the_gradient_of_a_convex_function_is_proved(sigma: str, dtype: torch.dtype, inner: int) -> None:
    torch.manual_seed(inner)
    field = GradientField(3, 2, inner=inner, activation=sigma, dtype=dtype)
    with torch.no_grad():
        field.K.mul_(3)
    found = report(ODERNN.from_tableau("radau_iia2", field, 0.7), pairs=32, steps=3)
    assert unproved(found) == set()
    assert found.contractive is True
    assert found.line("contraction").verdict == "sampled"


@pytest.mark.parametrize("sigma", ["sin", "gelu"])
def test_an_activation_that_decreases_somewhere_is_refuted(sigma: str) -> None:
    found = report(gradient(sigma=sigma), samples=300)
    assert unproved(found) == {"field"}
    assert found.contractive is not True


@pytest.mark.parametrize("sigma", ["tanh", "relu", "softplus"])
def test_a_definite_field_is_monotone_in_its_own_inner_product_only(sigma: str) -> None:
    torch.manual_seed(4)
    field = DefiniteField(4, activation=sigma, dtype=F64)
    with torch.no_grad():
        field.L.mul_(torch.tensor([10.0, 1.0, 1.0, 0.1], dtype=F64)[:, None])
    model = ODERNN.from_tableau("gauss2", field, 0.3)
    (f,) = stage_fields(model.equations[0]) or []
    g = torch.Generator().manual_seed(1)
    euclidean = monotonicity(f, None, 500, g)
    assert euclidean.verdict == "refuted"
    M = field.M.detach()
    own = monotonicity(f, M, 500, g)
    assert own.verdict == "proved"
    found = report(model)
    assert found.contractive is True
    assert "inner product" in found.line("field").detail
    orbit = model.integrate(torch.stack([normal(4), normal(4, seed=9)]), 30).detach()
    apart = orbit[:, 0] - orbit[:, 1]
    in_M = (apart * (apart @ M)).sum(1)
    assert bool((in_M[1:] <= in_M[:-1] * (1 + 1e-12)).all())


def test_a_definite_field_may_separate_orbits_in_the_euclidean_norm() -> None:
    """So that the M inner product is needed and not only convenient."""
    M = torch.tensor([[10.0, 2.9], [2.9, 1.0]], dtype=F64)
    model = runge_kutta("backward_euler", -M, h=0.5)
    assert report(model).contractive is True
    plain = measure(model.equations[0], pairs=512, steps=5, seed=2)
    assert plain.violations > 0
    own = measure(model.equations[0], pairs=512, steps=5, seed=2, metric=M)
    assert own.violations == 0


def test_an_indefinite_M_is_no_inner_product() -> None:
    M = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=F64)
    assert unproved(report(runge_kutta("backward_euler", -M))) == {"field"}
    positive = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=F64)
    for kappa in (None, 3.0, torch.tensor([2.0, 0.5], dtype=F64)):  # C of P κ = -W†C
        assert report(runge_kutta("backward_euler", -positive, kappa)).contractive is True
    assert unproved(report(runge_kutta("backward_euler", -positive, -1.0))) == {"field"}


def test_a_hermitian_definite_field_is_proved_too() -> None:
    A = normal(3, 3, dtype=C128)
    found = report(runge_kutta("backward_euler", -(A @ A.mH + 0.1 * torch.eye(3)), h=0.5))
    assert found.contractive is True
    assert "inner product" in found.line("field").detail


def test_slopes_between_their_ends_prove_what_is_no_gradient() -> None:
    """σ(W y) with W strictly row-diagonally dominant enough: sym(D W) < 0 for all D in [0.01, 1]."""
    W = torch.tensor([[-1.0, 0.05], [-0.05, -1.0]], dtype=F64)
    found = report(runge_kutta("gauss2", W, sigma="leaky_relu"))
    assert found.contractive is True
    assert "2^2 ends" in found.line("field").detail
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    linear = report(runge_kutta("gauss2", skew, sigma="identity"))
    assert linear.contractive is True
    assert "constant slope" in linear.line("field").detail
    assert unproved(report(runge_kutta("gauss2", skew))) == {"field"}


def test_a_small_growth_is_measured() -> None:
    """Euler's step of a rotation: a factor √(1 + h²) = 1 + 5e-5."""
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    model = runge_kutta("euler", skew, sigma="identity", h=0.01)
    found = report(model)
    assert unproved(found) == {"I"}
    check_witness(model, found)
    assert found.layers[0].contraction.largest_step == pytest.approx(1.00005, abs=1e-8)


def test_a_field_whose_slopes_are_too_many_is_sampled() -> None:
    W = -torch.eye(13, dtype=F64) + 1e-3 * normal(13, 13)
    found = report(runge_kutta("gauss2", W, sigma="leaky_relu"), pairs=8, steps=1)
    assert verdicts(found)["field"] == "sampled"
    assert found.contractive is None


def test_all_stages_need_one_common_inner_product() -> None:
    """Two fields, each monotone in an inner product of its own."""
    M, N = torch.tensor([[10.0, 2.9], [2.9, 1.0]], dtype=F64), torch.tensor([[1.0, 2.9], [2.9, 10.0]], dtype=F64)
    found = report(runge_kutta("gauss2", [-M, -N, None]))
    assert unproved(found) == {"field"}
    assert found.contractive is not True
    K, L = normal(2, 2), normal(5, 2, seed=3)
    both = report(runge_kutta("gauss2", [K, L, None], [-K.mT, -L.mT, None]))
    assert both.contractive is True
    for flipped in (
        runge_kutta("gauss2", [K, L, None], [-K.mT, L.mT, None]),
        runge_kutta("gauss2", K, [-K.mT, K.mT, None]),
        runge_kutta("gauss2", K, -K.mT, sigma=["tanh", "sin", "identity"]),
    ):
        assert unproved(report(flipped, samples=300)) == {"field"}


@pytest.mark.parametrize("name", STABLE)
def test_every_stable_tableau_with_a_gradient_field_contracts(name: str) -> None:
    found = report(gradient(name, size=4, h=3.0), pairs=64, steps=5)
    assert found.contractive is True
    assert found.layers[0].contraction.violations == 0
    assert found.layers[0].contraction.largest_step <= 1 + 1e-9


# --- witnesses of fields, evaluated anew ---


@pytest.mark.parametrize("sigma", NUMPY)
@pytest.mark.parametrize("seed", range(6))
def test_field_witnesses_violate_in_extended_precision(sigma: str, seed: int) -> None:
    s, p = 3, 3 + seed % 3
    W, kappa, b = normal(p, s, seed=seed), normal(s, p, seed=seed + 50), 3 * normal(p, seed=seed + 99)
    f = StageField(W, b, kappa, ACTIVATIONS[sigma], False)
    found = monotonicity(f, None, 300, torch.Generator().manual_seed(seed))
    assert found.verdict == "refuted"
    assert found.witness is not None
    g = in_numpy(f, sigma)
    x, y = (np.array(found.witness[key], np.longdouble) for key in "xy")
    product = float((g(x) - g(y)) @ (x - y))
    assert product > 0
    assert product == pytest.approx(found.witness["product"], rel=1e-6)


def test_a_complex_witness_violates_too() -> None:
    W = normal(2, 2, dtype=C128)
    found = report(runge_kutta("gauss2", W))
    witness = found.line("field").witness
    assert witness is not None
    x, y = (np.array(witness[key])[:2] + 1j * np.array(witness[key])[2:] for key in "xy")

    def f(v: Any) -> Any:
        z = W.numpy() @ v
        return np.tanh(z.real) + 1j * np.tanh(z.imag)

    assert np.vdot(f(x) - f(y), x - y).real == pytest.approx(witness["product"])
    assert witness["product"] > 0


# --- α in place of a ---


@pytest.mark.parametrize(
    ("rows", "kind"), [(3, "square"), (6, "tall"), (2, "wide"), (3, "singular"), (3, "scalar"), (3, "diagonal")]
)
def test_a_is_recovered_from_alpha(rows: int, kind: str) -> None:
    table, s = tableaux["gauss2"], 3
    W: Any = normal(rows, s)
    kappa: Any = -W.mT
    if kind == "singular":
        W = W[:, :1] @ W[:1]
        kappa = -W.mT
    if kind == "scalar":
        W, kappa = 2.0, -2.0
    if kind == "diagonal":
        W, kappa = W[0], -W[0]
    alpha = [[float(a) * W for a in row] for row in table.A]
    model = runge_kutta(table, W, kappa, alpha=alpha, state_size=s)
    found = weights(model.equations[0])
    assert found is not None
    assert found.a is not None
    assert found.scalar
    np.testing.assert_allclose(found.a, table.A, rtol=1e-14)
    assert report(model).contractive is True


def test_alpha_of_single_precision_is_known_to_single_precision() -> None:
    table, W = tableaux["gauss2"], normal(3, 3).float()
    alpha = [[(torch.tensor(a) * W.double()).float() for a in row] for row in table.A]
    assert report(runge_kutta(table, W, -W.mT, alpha=alpha), pairs=16, steps=2).contractive is True
    alpha[0][0] = 1.001 * alpha[0][0]
    alpha[1][1] = 0.999 * alpha[1][1]
    assert unproved(report(runge_kutta(table, W, -W.mT, alpha=alpha), pairs=16, steps=2)) == {"I"}


def test_alpha_that_is_W_times_a_matrix_is_recovered_as_one() -> None:
    W, a = normal(3, 3), normal(3, 3, seed=2)
    model = runge_kutta("backward_euler", W, -W.mT, alpha=[[W @ a]])
    found = weights(model.equations[0])
    assert found is not None
    assert not found.scalar
    torch.testing.assert_close(found.a, a.reshape(1, 1, 3, 3), rtol=1e-9, atol=1e-9)
    line = report(model, pairs=8, steps=1).line("I")
    assert "block form" in line.detail


def test_alpha_that_is_W_times_nothing_is_not_of_the_form() -> None:
    W = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=F64)
    model = runge_kutta("backward_euler", W, -W.mT, alpha=[[torch.eye(2, dtype=F64)]])
    found = report(model, pairs=8, steps=1)
    assert found.line("I").verdict == "not applicable"
    assert "alpha_1_1 is not W_q times any a_qk" in found.line("form").detail
    zero = runge_kutta(
        "backward_euler", None, alpha=[[torch.eye(2, dtype=F64)]], b=torch.ones(2, dtype=F64), state_size=2
    )
    assert "alpha_1_1" in report(zero, pairs=8, steps=1).line("form").detail


def test_a_small_row_of_W_counts_as_much_as_a_large_one() -> None:
    """α = diag(1, 0) is not 1·W for W = diag(1, 1e-14)."""
    W = diagonal(1, 1e-14)
    model = runge_kutta("backward_euler", W, -W.mT, alpha=[[diagonal(1, 0)]])
    assert unproved(report(model, pairs=8, steps=1)) >= {"form"}


# --- known networks, devices of all kinds ---


def known(L: int, dtype: torch.dtype) -> dict[str, nn.Module]:
    torch.manual_seed(L)
    kind: dict[str, Any] = {"dtype": dtype}
    wide: dict[str, Any] = {"dtype": dtype.to_complex()}
    return {
        "LSTM": nn.LSTM(2, 3, L, **kind),
        "GRU": nn.GRU(2, 3, L, **kind),
        "RNN": nn.RNN(2, 3, L, **kind),
        "relu RNN": nn.RNN(2, 3, L, nonlinearity="relu", **kind),
        "TorchRNN": TorchRNN("gru", 2, 3, L, **kind),
        "URNN": URNN(2, 3, L, **kind),
        "complex URNN": URNN(2, 3, L, **wide),
        "CWRNN": CWRNN(2, 4, L, **kind),
        "ResetBeforeGRU": ResetBeforeGRU(2, 3, L, **kind),
        "symplectic": ARNN(2, 4, L, **kind),
        "leapfrog": ARNN(2, 4, L, scheme="leapfrog", **kind),
        "forward": ARNN(2, 4, L, scheme="forward-euler", diffusion=0.1, **kind),
        "complex ARNN": ARNN(2, 4, L, weight="imaginary-symmetric", **wide),
        "reversible": ARNN(2, 4, L, reversible=True, return_sequence=False, **kind),
        "Readout": Readout(ARNN(2, 4, L, **kind), 1),
    }


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
@pytest.mark.parametrize("L", [1, 2])
def test_no_known_network_is_called_contractive(L: int, dtype: torch.dtype) -> None:
    for name, module in known(L, dtype).items():
        found = report(module, pairs=16, steps=3, samples=20)
        assert len(found.layers) == L, name
        assert found.contractive is not True, name
        if name != "forward":  # which is Euler's method, and refuted by I
            assert all(verdicts(found, q)["form"] == "refuted" for q in range(L)), name
        assert found.model == type(module).__name__
        json.dumps(found.as_dict(), allow_nan=False)


def test_a_contractive_network_is_proved_layer_by_layer() -> None:
    for dtype in (torch.float32, F64, torch.complex64, C128):
        torch.manual_seed(3)
        found = report(ContractiveRNN(2, 3, 2, dtype=dtype), pairs=16, steps=3)
        assert [layer.contractive for layer in found.layers] == [True, True]
        assert found.contractive is True
        assert found.model == "ContractiveRNN"


def test_one_refuted_layer_is_enough() -> None:
    torch.manual_seed(3)
    good, bad = GradientField(3, 2, dtype=F64), AffineField(3, 3, dtype=F64)
    with torch.no_grad():
        bad.W.copy_(2 * torch.eye(3))
    found = report(ODERNN.from_tableau("gauss2", [good, bad], 0.3))
    assert [layer.contractive for layer in found.layers] == [True, False]
    assert found.contractive is False
    assert found.line("field", 1).verdict == "refuted"
    assert found.line("field", 0).verdict == "proved"
    layers = [
        Equations.from_field(tableaux[t], good if t == "gauss2" else GradientField(3, 3, dtype=F64), 0.1)
        for t in ("gauss2", "rk4")
    ]
    half_open = report(ODERNN(layers), pairs=8, steps=1)
    assert [layer.contractive for layer in half_open.layers] == [True, None]
    assert half_open.contractive is None


# --- linear stability of ARNNs ---


@pytest.mark.parametrize("value", [1.99, 2.01])
def test_linear_line_of_symplectic_euler(value: float) -> None:
    torch.manual_seed(2)
    model = ARNN(1, 4, dtype=F64)
    s = float(torch.linalg.matrix_norm(model.layers[0].weight.detach(), 2))
    model = scaled(value / s)
    (linear,) = report(model, pairs=8, steps=2).linear
    assert linear.value == pytest.approx(value)
    assert linear.stable is (value < 2)
    assert linear.limit == 2


def scaled(h: float, scheme: Any = "symplectic-euler") -> ARNN:
    torch.manual_seed(2)
    return ARNN(1, 4, h=h, scheme=scheme, dtype=F64)


@pytest.mark.parametrize("value", [0.99, 1.01])
def test_linear_line_of_leapfrog(value: float) -> None:
    W = scaled(1.0, "leapfrog").layers[0].weight.detach()
    largest = float(torch.linalg.eigvals(W).abs().max())
    found = report(scaled(value / largest, "leapfrog"), pairs=8, steps=2)
    (linear,) = found.linear
    assert linear.value == pytest.approx(value)
    assert linear.stable is (value < 1)
    shown = json.loads(json.dumps(found.as_dict()))
    assert shown["linear"][0]["stable"] is (value < 1)


def test_a_linear_line_a_layer_and_none_for_others() -> None:
    assert len(report(ARNN(1, 4, 3, dtype=F64), pairs=8, steps=1).linear) == 3
    assert report(gradient(), pairs=8, steps=1).as_dict()["linear"] is None


def test_a_reversible_network_is_examined_in_its_own_precision() -> None:
    torch.manual_seed(2)
    model = ARNN(1, 4, reversible=True, return_sequence=False, dtype=F64)
    found, plain = report(model), report(scaled(0.1))
    assert found.layers == plain.layers


# --- the report as a value ---


def test_as_dict_is_plain_JSON_with_null_for_what_does_not_apply() -> None:
    for model in (
        gradient(),
        runge_kutta("gauss2", torch.eye(2, dtype=F64)),
        nn.LSTM(2, 3),
        ARNN(2, 4, dtype=torch.complex64),
    ):
        found = report(model, pairs=8, steps=2)
        shown = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert set(shown) == {"model", "layers", "linear", "contractive"}
        keys = {"n", "t", "lines", "contraction", "Q_eigenvalues", "beta", "metric", "contractive"}
        assert all(set(layer) == keys for layer in shown["layers"])
        assert [line["name"] for line in shown["layers"][0]["lines"]] == [*LINES, "contraction"]
    lstm = report(nn.LSTM(2, 3), pairs=8, steps=1).as_dict()["layers"][0]
    assert lstm["Q_eigenvalues"] is None
    assert lstm["beta"] is None


def test_a_seed_gives_the_same_report_and_another_seed_another() -> None:
    model = runge_kutta("gauss2", normal(3, 3))
    assert report(model, seed=4) == report(model, seed=4)
    assert report(model, seed=4).layers[0].contraction != report(model, seed=5).layers[0].contraction
    torch.manual_seed(1)
    before = torch.rand(3)
    torch.manual_seed(1)
    report(model)
    torch.testing.assert_close(torch.rand(3), before)  # the global generator is left alone


def test_a_report_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = ContractiveRNN(2, 3, dtype=F64).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(InputError, match="module"):
        report(nn.Linear(2, 2))
    with pytest.raises(InputError, match="unidirectional"):
        report(nn.GRU(2, 2, bidirectional=True))
    for name in ("pairs", "steps", "samples"):
        with pytest.raises(InputError, match=f"`{name}` must be an integer of at least 1, but is 0"):
            report(gradient(), **{name: 0})


def test_numbers_that_are_not_finite_are_refused() -> None:
    model = ContractiveRNN(2, 3, dtype=F64)
    for bad in (float("nan"), float("inf"), 1e200):
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] = bad
        with pytest.raises(InputError, match="finite"):
            report(model)


def test_antisymmetric_fields_are_not_monotone_with_tanh() -> None:
    torch.manual_seed(1)
    found = report(ODERNN.from_tableau("gauss2", AntisymmetricField(4, dtype=F64), 0.3))
    assert unproved(found) == {"field"}
    linear = report(ODERNN.from_tableau("gauss2", AntisymmetricField(4, activation="identity", dtype=F64), 0.3))
    assert linear.contractive is True


def test_the_norm_of_a_proof_is_named() -> None:
    """σ(-My) contracts in the norm of M; in the Euclidean one orbits separate, and the report says both."""
    M = torch.tensor([[2.0, 1.9], [1.9, 2.0]], dtype=torch.float64)
    layer = Equations(1, W=[-M, None], a=[[1.0]], beta=[1.0], gamma=[0, 1.0], h=5.0)
    found = stability.report(ODERNN(layer))
    assert found.contractive is True
    assert "<Δ, M Δ>, M = -W" in found.line("contraction").claim
    assert "in the Euclidean norm, which nothing is proved of: 1." in found.line("contraction").detail
    assert torch.equal(torch.tensor(found.layers[0].metric, dtype=torch.float64), M)
    assert stability.measure(layer).violations > 0


def test_both_directions_are_examined() -> None:
    found = stability.report(ContractiveRNN(2, 3, 2, bidirectional=True, dtype=torch.float64), pairs=8, steps=3)
    assert len(found.layers) == 4
    assert found.contractive is True
