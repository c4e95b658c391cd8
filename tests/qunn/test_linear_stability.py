"""The sharp limits of the linear networks against orbits of the networks themselves and against dense eigenvalues."""

from __future__ import annotations

from math import acosh, log

import pytest
import torch
from torch import Tensor

from hamiltonians import InputError
from qunn import ARNN
from qunn.activations import ACTIVATIONS
from qunn.arnn.couplings import scan
from qunn.arnn.linear_stability import linear_stability, propagation
from qunn.arnn.schemes import SCHEMES, Recurrence

F64, C128 = torch.float64, torch.complex128


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def anti_hermitian(d: int, dtype: torch.dtype = F64, largest: float = 1.0) -> Tensor:
    A = normal(d, d, dtype=dtype)
    W = A - A.mH
    return W * (largest / torch.linalg.matrix_norm(W, 2))


def orbit(scheme: str, W: Tensor, h: float, steps: int, seed: int = 7) -> Tensor:
    """|Y| after every step of the linear network without input."""
    H = W.shape[0]
    run = Recurrence(SCHEMES[scheme], h, ACTIVATIONS["identity"])
    state = tuple(normal(1, H, seed=seed + i, dtype=W.dtype) for i in range(run.scheme.lag + 1))
    x, V = torch.zeros(steps, 1, 1, dtype=W.dtype), torch.zeros(H, 1, dtype=W.dtype)
    return scan(run, x, state, W, V, None)[0].flatten(1).norm(dim=1)


@pytest.mark.parametrize("dtype", [F64, C128], ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_propagation_is_one_step(scheme: str, dtype: torch.dtype) -> None:
    H, h = 5, 0.3
    W = normal(H, H, dtype=dtype)
    parts = SCHEMES[scheme].lag + 1
    s = normal(1, parts * H, seed=4, dtype=dtype)
    run = Recurrence(SCHEMES[scheme], h, ACTIVATIONS["identity"])
    zero = torch.zeros(1, 1, 1, dtype=dtype)
    _, after = scan(run, zero, tuple(s.split(H, 1)), W, torch.zeros(H, 1, dtype=dtype), None)
    wanted = s @ propagation(SCHEMES[scheme], W, h).mT
    torch.testing.assert_close(torch.cat(after, 1), wanted, rtol=1e-13, atol=1e-13)


def test_propagation_of_symplectic_euler_in_blocks() -> None:
    W, h, eye = normal(4, 4, dtype=C128), 0.3, torch.eye(4, dtype=C128)
    wanted = torch.cat([torch.cat([eye - h * h * W @ W.mH, h * W], 1), torch.cat([-h * W.mH, eye], 1)])
    torch.testing.assert_close(propagation(SCHEMES["symplectic-euler"], W, h), wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [F64, C128], ids=str)
@pytest.mark.parametrize(("scheme", "limit"), [("symplectic-euler", 2.0), ("leapfrog", 1.0)])
def test_on_both_sides_of_the_limit(scheme: str, limit: float, dtype: torch.dtype) -> None:
    """Half a percent above, orbits grow by e^μ a step, μ = 2 arccosh(h s/2) or arccosh(h|λ|)."""
    W, h, steps = anti_hermitian(6, dtype, largest=4.0), 0.25, 1000
    below, above = 0.995 * limit * W, 1.005 * limit * W
    stable = linear_stability(scheme, below, h)
    assert stable.stable
    assert stable.limit == limit
    assert stable.value == pytest.approx(0.995 * limit, rel=1e-12)
    assert stable.spectral_radius == pytest.approx(1.0, abs=1e-12)
    assert float(orbit(scheme, below, h, steps).max()) < 100
    unstable = linear_stability(scheme, above, h)
    mu = (2 if scheme == "symplectic-euler" else 1) * acosh(1.005)
    assert not unstable.stable
    assert log(unstable.spectral_radius) == pytest.approx(mu, rel=1e-9)
    grown = orbit(scheme, above, h, steps)
    assert float((grown[-1] / grown[499]).log()) / 500 == pytest.approx(mu, rel=1e-3)


@pytest.mark.parametrize(("scheme", "limit"), [("symplectic-euler", 2.0), ("leapfrog", 1.0)])
def test_at_the_limit_orbits_grow_linearly(scheme: str, limit: float) -> None:
    """The defective case: a spectral radius of 1, and yet not stable."""
    W = torch.tensor([[0.0, -limit], [limit, 0.0]], dtype=F64)
    verdict = linear_stability(scheme, W, 1.0)
    assert not verdict.stable
    assert verdict.spectral_radius == pytest.approx(1.0, abs=1e-6)
    grown = orbit(scheme, W, 1.0, 2000)
    assert float(grown[-1] / grown[999]) == pytest.approx(2.0, rel=0.01)


def test_singular_values_decide_where_eigenvalues_mislead() -> None:
    """W nilpotent: all eigenvalues 0, s = 10."""
    W = torch.zeros(3, 3, dtype=F64)
    W[0, 1] = 10.0
    assert linear_stability("symplectic-euler", W, 0.19).stable
    assert float(orbit("symplectic-euler", W, 0.19, 2000).max()) < 100
    assert not linear_stability("symplectic-euler", W, 0.21).stable
    assert float(orbit("symplectic-euler", W, 0.21, 500).max()) > 1e100


@pytest.mark.parametrize("seed", range(5))
def test_general_weights_of_symplectic_euler(seed: int) -> None:
    W = normal(7, 7, seed=seed, dtype=C128)
    s = float(torch.linalg.matrix_norm(W, 2))
    for value in (0.5, 1.9, 2.1, 3.0):
        verdict = linear_stability("symplectic-euler", W, value / s)
        assert verdict.stable == (value < 2)
        assert (verdict.spectral_radius < 1 + 1e-7) == verdict.stable


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_weight_at_all_is_stable(scheme: str) -> None:
    W = torch.zeros(3, 3, dtype=F64)
    verdict = linear_stability(scheme, W, 0.5)
    assert verdict.stable
    assert float(orbit(scheme, W, 0.5, 500).max()) < 10


def test_forward_euler_needs_diffusion() -> None:
    """|1 + h(-γ + iω)| ≤ 1 iff h(γ² + ω²) ≤ 2γ; even an ω that 1 + h²ω² rounds away is unstable without it."""
    W = anti_hermitian(5, largest=1.5)
    for h, gamma, stable in (
        (0.1, 0.0, False),
        (0.1, 0.1, False),
        (0.1, 0.12, True),
        (1.0, 1.0, False),
        (2.1, 1.0, False),
    ):
        verdict = linear_stability("forward-euler", W, h, gamma)
        assert verdict.stable == stable
        assert verdict.spectral_radius == pytest.approx(verdict.value, rel=1e-12)
    assert linear_stability("forward-euler", 0 * W, 2.0, 1.0).stable  # y ↦ -y: the limit is included
    tiny = linear_stability("forward-euler", 1e-10 * W, 0.1)
    assert tiny.value == 1.0
    assert not tiny.stable


def test_a_plain_transpose_would_be_unstable_for_imaginary_weights() -> None:
    """W = iS, Eq. (1) as printed with Wᵀ = W: the spectral radius is above 1 at every h; with Wᴴ it is 1."""
    S = normal(4, 4)
    W, eye, zero = 1j * (S + S.mT), torch.eye(4, dtype=C128), torch.zeros(4, 4, dtype=C128)
    for h in (1e-3, 1e-2, 1e-1):

        def radius(transposed: Tensor, h: float = h) -> float:
            kick = torch.cat([torch.cat([eye, zero], 1), torch.cat([-h * transposed, eye], 1)])
            drift = torch.cat([torch.cat([eye, h * W], 1), torch.cat([zero, eye], 1)])
            return float(torch.linalg.eigvals(drift @ kick).abs().max())

        assert radius(W.mT) > 1 + h
        assert radius(W.mH) == pytest.approx(1.0, abs=1e-12)
        assert linear_stability("symplectic-euler", W, h).spectral_radius == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [F64, C128, torch.float32], ids=str)
def test_every_layer_of_a_model(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = ARNN(2, 6, 2, bidirectional=True, dtype=dtype, h=0.7, weight="imaginary-symmetric")
    verdicts = net.linear_stability()
    assert len(verdicts) == 4
    for verdict, layer in zip(verdicts, net.layers, strict=True):
        s = float(torch.linalg.svdvals(layer.weight.detach()).max())
        assert verdict.value == pytest.approx(0.7 * s, rel=1e-5)
        assert verdict.quantity == "h·s_max(W)"
    assert ARNN(2, 4, scheme="forward-euler", diffusion=0.5).linear_stability()[0].quantity == "max|1 + h(-γ + iω)|"


@pytest.mark.parametrize("scheme", ["leapfrog", "forward-euler"])
def test_weights_that_are_not_anti_hermitian_are_refused(scheme: str) -> None:
    with pytest.raises(InputError, match=r"`weight` must be anti-Hermitian \(W = -Wᴴ\), but misses it by"):
        linear_stability(scheme, normal(3, 3), 0.1)
