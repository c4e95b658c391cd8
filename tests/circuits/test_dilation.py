"""The one-ancilla dilation against the dense padded map, and the linear combination of unitaries against both."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from numpy.typing import NDArray
from qiskit.quantum_info import Operator, Statevector

from circuits.dilation import dilated, polar
from circuits.layer import Layer, LowRank, stacked_layers
from circuits.lchs import kernel, lchs
from hamiltonians.errors import InputError

Array = NDArray[Any]


def random_layer(seed: int, largest: int = 5) -> Layer:
    rng = np.random.default_rng(seed)
    d, N = (int(n) for n in rng.integers(1, largest + 1, 2))
    L = int(rng.integers(1, N + 2))
    complex_, learned = bool(seed & 1), bool(seed & 2)
    Y = [rng.normal(size=d) + 1j * rng.normal(size=d) if complex_ else rng.normal(size=d) for _ in range(L + 1)]
    f = rng.normal(size=N) if learned else np.eye(N)[0]
    f /= np.linalg.norm(f)
    p1, p2 = [(rng.random(), rng.random()), (0.0, 1.0), (1.0, 0.3)][seed % 3]
    layers = stacked_layers([v / np.linalg.norm(v) for v in Y], [np.roll(f, -k) for k in range(L + 1)], p1, p2)
    return layers[int(rng.integers(L))]


def dense_weight(layer: Layer) -> Array:
    """D W, written out."""
    d, N = layer.A.shape
    A, b = layer.A.reshape(-1), np.kron(layer.Y, layer.c)
    P = np.kron(np.eye(d), np.outer(layer.c_before, layer.c) - np.outer(layer.c, layer.c_before))
    W = np.outer(A, b.conj()) - np.outer(b, A.conj())
    return ((1 - layer.p1) * np.eye(d * N) + layer.p1 * P) @ W


def padded(layer: Layer, M: Array, c: float) -> Array:
    d, N = layer.A.shape
    D, C = 2 ** int(np.ceil(np.log2(d))), 2 ** int(np.ceil(np.log2(N)))
    rows = [data * C + clock for data in range(d) for clock in range(N)]
    full = c * np.eye(D * C, dtype=complex)
    full[np.ix_(rows, rows)] = M
    return full


def maps(layer: Layer, h: float) -> list[tuple[LowRank, Array, float]]:
    """Maps, their dense form and what they are outside."""
    H = dense_weight(layer)
    one = np.eye(len(H))
    return [
        (layer.euler(h), one + h * H, 1.0),
        (layer.euler(h, -0.3), -0.3 * one + h * H, -0.3),
        (layer.euler(h, 0.0), h * H, 0.0),
        (layer.flow(h), scipy.linalg.expm(h * H), 1.0),
        (layer.weight, H, 0.0),
        (layer.rotation(h), scipy.linalg.expm(h * (H - H.conj().T) / 2), 1.0),
    ]


@pytest.mark.parametrize("seed", range(18))
def test_dilation_holds_the_map(seed: int) -> None:
    layer = random_layer(seed)
    v = np.random.default_rng(seed).normal(size=(2, layer.A.size)).T @ [1, 0.5j]
    for M, dense, c in maps(layer, 0.6):
        if not np.abs(M.m).max(initial=0) > 0 and c == 0:
            continue
        D, wanted = dilated(M, layer), padded(layer, dense, c)
        sizes = np.linalg.svd(wanted, compute_uv=False)
        whole = Operator(D.circuit).data
        np.testing.assert_allclose(whole @ whole.conj().T, np.eye(len(whole)), atol=1e-10)
        assert np.linalg.norm(whole[: len(wanted), : len(wanted)] - wanted / sizes[0], 2) < 1e-10
        assert D.scale == pytest.approx(sizes[0], rel=1e-12)
        assert D.least_probability == pytest.approx((sizes[-1] / sizes[0]) ** 2, abs=1e-12)
        chance = np.linalg.norm(dense @ v) ** 2 / (sizes[0] * np.linalg.norm(v)) ** 2
        assert D.success_probability(v) == pytest.approx(chance, rel=1e-12, abs=1e-15)
        assert D.least_probability <= chance + 1e-12


def test_probability_is_that_of_the_ancilla() -> None:
    layer = random_layer(4)
    D = dilated(layer.euler(0.9, 0.8), layer)
    v = np.random.default_rng(0).normal(size=layer.A.size)
    start = np.zeros(2**D.circuit.num_qubits, complex)
    start[layer.registers.rows] = v / np.linalg.norm(v)
    end = Statevector(start).evolve(D.circuit).data
    half = len(end) // 2
    assert np.linalg.norm(end[:half]) ** 2 == pytest.approx(D.success_probability(v), abs=1e-12)
    M = 0.8 * np.eye(len(v)) + 0.9 * dense_weight(layer)
    np.testing.assert_allclose(layer.registers.extracted(end[:half]), M @ v / np.linalg.norm(v) / D.scale, atol=1e-10)


def test_polar_of_a_reflection_is_a_rotation() -> None:
    m = np.random.default_rng(0).normal(size=(4, 4))
    for sign in (1, -1):
        m[:, 0] *= sign
        U, sigma, B = polar(m)
        np.testing.assert_allclose(U @ B @ np.diag(sigma) @ B.T, m, atol=1e-14)
        assert np.linalg.det(U) == pytest.approx(1)


def test_errors() -> None:
    layer = random_layer(4)
    with pytest.raises(InputError, match="`map` must be other than 0"):
        dilated(LowRank(layer.frame, 0 * layer.weight.m, 0.0), layer)
    for wrong in (LowRank(layer.frame, layer.weight.m, 1j), LowRank(layer.frame, np.nan * layer.weight.m, 1.0)):
        with pytest.raises(InputError, match="`map` must be finite, and real outside"):
            dilated(wrong, layer)
    with pytest.raises(InputError, match="`v` must be a non-zero vector"):
        dilated(layer.flow(0.1), layer).success_probability(np.zeros(layer.A.size))
    with pytest.raises(InputError, match="`nodes` must be at least 2"):
        lchs(layer, 0.1, 1)
    with pytest.raises(InputError, match="`h` must be finite"):
        lchs(layer, np.inf)


@pytest.mark.parametrize("x", [0.0, 0.3, 2.0])
def test_kernel_is_normalised(x: float) -> None:
    """By adaptive quadrature, which knows nothing of the nodes."""
    real, _ = scipy.integrate.quad(lambda k: (kernel(np.array(k)) * np.exp(-1j * k * x)).real, -150, 150, limit=2000)
    imaginary, _ = scipy.integrate.quad(
        lambda k: (kernel(np.array(k)) * np.exp(-1j * k * x)).imag, -150, 150, limit=2000, epsabs=1e-10
    )
    assert real == pytest.approx(np.exp(-x), abs=1e-8)
    assert imaginary == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("h", [0.5, -0.4])
def test_sum_of_unitaries_is_the_flow(seed: int, h: float) -> None:
    layer = random_layer(seed)
    found = lchs(layer, h)
    off = np.linalg.norm(found.dense() - scipy.linalg.expm(h * dense_weight(layer)), 2)
    assert off < 4e-5
    assert found.distance() == pytest.approx(off, abs=1e-7)
    assert found.one_norm > 1
    for U in found.unitaries[::40]:
        np.testing.assert_allclose(U.dense() @ U.dense().conj().T, np.eye(layer.A.size), atol=1e-12)


def test_more_nodes_come_closer() -> None:
    layer = random_layer(4)
    distances = [lchs(layer, 0.8, nodes).distance() for nodes in (16, 32, 64, 128)]
    assert all(later < before / 3 for before, later in pairwise(distances))


def test_circuits_sum_to_what_the_dilation_gives() -> None:
    """Two independent routes to e^{hDW} v."""
    layer = random_layer(4)
    h, rng = 0.5, np.random.default_rng(1)
    v = rng.normal(size=layer.A.size)
    start = Statevector(layer.registers.padded(v / np.linalg.norm(v)))
    found = lchs(layer, h, 64)
    ends = [start.evolve(circuit).data for circuit in found.circuits()]
    total = np.einsum("j,js->s", found.coefficients, np.stack(ends))
    D = dilated(layer.flow(h), layer)
    zero = np.concatenate([start.data, 0 * start.data])
    end = D.scale * Statevector(zero).evolve(D.circuit).data[: len(total)]
    np.testing.assert_allclose(total, end, atol=max(1e-10, 2 * found.distance()))
    assert found.distance() < 1e-4
