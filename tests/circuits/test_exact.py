"""`subspace` and `unitary` against the dense exponential of the generator, with global phase and unused states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Operator

from circuits.exact import central, selected_rotation, subspace, support, unitary
from circuits.layer import Layer, LowRank, stacked_layers
from circuits.preparation import prepared
from circuits.sweeps import Rotation, columns
from hamiltonians.errors import InputError
from tests.systems import layers

Array = NDArray[Any]

TOLERANCE = 1e-10


def stack(rng: np.random.Generator, d: int, N: int, L: int, *, learned: bool, complex_: bool, p1: float, p2: float,
          missing: int = 0) -> list[Layer]:  # fmt: skip
    """Layers 1 … L of random unit vectors, the oldest `missing` of them 0."""
    Y = [rng.normal(size=d) + 1j * complex_ * rng.normal(size=d) for _ in range(L + 1)]
    Y = [v / np.linalg.norm(v) if complex_ else (v / np.linalg.norm(v)).real for v in Y]
    for i in range(missing):
        Y[-1 - i] = 0 * Y[0]
    f = rng.normal(size=N) if learned else np.eye(N)[0]
    c = [np.roll(f / np.linalg.norm(f), 3 - k) for k in range(L + 1)]
    return stacked_layers(Y, c, p1, p2)


def dense_generator(layer: Layer) -> Array:
    """(D W - (D W)†)/2, written out."""
    d, N = layer.A.shape
    A, b = layer.A.reshape(-1), np.kron(layer.Y, layer.c)
    W = np.outer(A, b.conj()) - np.outer(b, A.conj())
    P = np.kron(np.eye(d), np.outer(layer.c_before, layer.c) - np.outer(layer.c, layer.c_before))
    H = ((1 - layer.p1) * np.eye(d * N) + layer.p1 * P) @ W
    return (H - H.conj().T) / 2


def padded(layer: Layer, h: float, controlled: bool) -> Array:
    """exp(hG) with the identity on unused states, and where the control is |0>."""
    d, N = layer.A.shape
    D, C = 2 ** int(np.ceil(np.log2(d))), 2 ** int(np.ceil(np.log2(N)))
    rows = [data * C + clock for data in range(d) for clock in range(N)]
    U = np.eye(D * C, dtype=complex)
    U[np.ix_(rows, rows)] = scipy.linalg.expm(h * dense_generator(layer))
    return scipy.linalg.block_diag(np.eye(D * C), U) if controlled else U


def off(circuit: QuantumCircuit, wanted: Array) -> float:
    return float(np.linalg.norm(Operator(circuit).data - wanted, 2))


def cx(circuit: QuantumCircuit) -> int:
    return transpile(circuit, basis_gates=["cx", "u"], optimization_level=1).count_ops().get("cx", 0)


def random_layer(seed: int, largest: int = 6) -> tuple[Layer, float]:
    rng = np.random.default_rng(seed)
    d, N = (int(n) for n in rng.integers(1, largest + 1, 2))
    p1, p2 = [(rng.random(), rng.random()), (0.0, 1.0), (1.0, 0.3), (0.4, 0.0), (0.3, 1.0)][seed % 5]
    L = int(rng.integers(1, N + 3))
    missing = int(rng.integers(0, min(3, L + 1))) * int(rng.integers(2))
    found = stack(rng, d, N, L, learned=bool(rng.integers(2)), complex_=bool(rng.integers(2)), p1=p1, p2=p2,
                  missing=missing)  # fmt: skip
    return found[int(rng.integers(L))], float(rng.normal() * rng.choice([0.1, 1, 5]))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("preparation", ["isometry", "clock-structured"])
def test_subspace_is_the_dense_exponential(seed: int, preparation: str) -> None:
    layer, h = random_layer(seed)
    for controlled in (False, True):
        circuit = subspace(layer.rotation(h), layer, preparation=preparation, controlled=controlled)
        assert circuit.num_qubits == layer.registers.qubits + controlled
        assert off(circuit, padded(layer, h, controlled)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(("d", "N"), [(d, N) for d in range(1, 65) for N in range(1, 65) if d * N <= 64])
def test_every_size_to_64(d: int, N: int) -> None:
    rng = np.random.default_rng([d, N])
    L = int(rng.integers(1, N + 3))
    for complex_ in (False, True):
        layer = stack(rng, d, N, L, learned=bool(rng.integers(2)), complex_=complex_, p1=0.3, p2=0.4)[-1]
        for preparation in ("isometry", "clock-structured"):
            circuit = subspace(layer.rotation(0.7), layer, preparation=preparation)
            assert off(circuit, padded(layer, 0.7, False)) < TOLERANCE


@pytest.mark.parametrize("h", [1e3, 1e6])
def test_a_rotation_is_unitary_however_long_the_step_is(h: float) -> None:
    """SciPy's expm squares its approximation log2 ‖hG‖ times, and is off by ε ‖hG‖ then."""
    m = layers.random_layer(np.random.default_rng(1), 3, 5, complex_data=True).rotation(h).m
    np.testing.assert_allclose(m.conj().T @ m, np.eye(len(m)), atol=1e-14)


@pytest.mark.parametrize("seed", range(6))
def test_unitary_is_the_dense_exponential(seed: int) -> None:
    layer, h = random_layer(seed, 4)
    for controlled in (False, True):
        circuit = unitary(layer.rotation(h), layer, controlled=controlled)
        assert off(circuit, padded(layer, h, controlled)) < TOLERANCE


@pytest.mark.parametrize(("d", "N", "k"), [(1, 1, 1), (1, 5, 2), (5, 1, 1), (3, 5, 5), (3, 5, 4), (4, 3, 5), (2, 2, 1)])
@pytest.mark.parametrize("complex_", [False, True])
def test_special_sizes(d: int, N: int, k: int, complex_: bool) -> None:
    rng = np.random.default_rng(d + 10 * N)
    layer = stack(rng, d, N, k, learned=False, complex_=complex_, p1=0.3, p2=0.4)[-1]
    assert off(subspace(layer.rotation(0.7), layer), padded(layer, 0.7, False)) < TOLERANCE


def test_vectors_that_vanish_or_agree() -> None:
    Y, c = np.array([0.6, 0.8, 0.0]), np.eye(4)
    zero = stacked_layers([0 * Y, 0 * Y], [c[0], c[3]], 0.2, 0.4)[0]
    assert off(subspace(zero.rotation(1.0), zero), np.eye(16)) < TOLERANCE
    for older in (Y, -Y, 1j * Y, Y + 1e-9 * np.array([0, 0, 1.0])):
        for layer in stacked_layers([Y, older, older, Y, older], [c[1], c[0], c[3], c[2], c[1]], 0.2, 0.4):
            assert off(subspace(layer.rotation(1.3), layer), padded(layer, 1.3, False)) < TOLERANCE


def test_half_a_turn_and_a_tiny_one() -> None:
    layer = random_layer(7)[0]
    alpha = np.abs(np.linalg.eigvals(layer.generator.m)).max()
    for h in (np.pi / alpha, 2 * np.pi / alpha, 1e-9):
        assert off(subspace(layer.rotation(h), layer), padded(layer, h, False)) < TOLERANCE


@pytest.mark.parametrize(("size", "hop", "whole"), [(4, 34, 95), (8, 72, 250), (16, 210, 800)])
def test_cost_of_a_hop_and_of_a_layer(size: int, hop: int, whole: int) -> None:
    """4, 6 and 8 qubits; UnitaryGate takes 95, 1,783 and 29,655."""
    rng = np.random.default_rng(size)
    layer = stack(rng, size, size, 1, learned=False, complex_=False, p1=0.0, p2=0.7)[0]
    assert cx(subspace(layer.rotation(0.7), layer)) <= hop
    layer = stack(rng, size, size, size - 1, learned=False, complex_=False, p1=0.3, p2=0.4)[-1]
    assert cx(subspace(layer.rotation(0.7), layer)) <= whole
    learned = stack(rng, size, size, size - 1, learned=True, complex_=False, p1=0.3, p2=0.4)[-1]
    assert cx(subspace(learned.rotation(0.7), learned)) <= whole


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("preparation", ["isometry", "clock-structured"])
def test_cost_is_predicted(learned: bool, preparation: str) -> None:
    rng = np.random.default_rng(5)
    layer = stack(rng, 8, 8, 5, learned=learned, complex_=False, p1=0.3, p2=0.4)[-1]
    V = prepared(support(layer.rotation(0.5))[0], layer, preparation)
    assert cx(V.circuit) == V.cx
    if preparation == "isometry":
        assert V.cx == 4 * 2**6 + 2 * 6 - 11
    cheapest = prepared(support(layer.rotation(0.5))[0], layer)
    assert cheapest.cx <= V.cx


def test_a_simple_layer_has_a_small_space() -> None:
    layer = stack(np.random.default_rng(0), 3, 4, 1, learned=False, complex_=False, p1=0.0, p2=0.5)[0]
    Q, m = support(layer.rotation(0.4))
    assert Q.shape == (12, 2)
    np.testing.assert_allclose(LowRank(Q, m, 1.0).dense(), layer.rotation(0.4).dense(), atol=1e-14)


@pytest.mark.parametrize("axis", ["y", "z"])
@pytest.mark.parametrize("k", range(4))
def test_multiplexed_rotation(axis: Any, k: int) -> None:
    angles = np.random.default_rng(k).normal(size=2**k)
    controls = (3, 0, 2)[:k]
    circuit = QuantumCircuit(4)
    gate = Rotation(axis, angles, 1, controls)
    gate.append_to(circuit)
    wanted = np.eye(16, dtype=complex)
    gate.apply(wanted)
    assert off(circuit, wanted) < 1e-13
    for state in range(16):
        value = sum((state >> c & 1) << i for i, c in enumerate(controls))
        half, down = angles[value] / 2, state & ~2
        expected = np.zeros(16, complex)
        if axis == "z":
            expected[state] = np.exp((1j if state & 2 else -1j) * half)
        else:
            expected[down], expected[down | 2] = (
                (-np.sin(half), np.cos(half)) if state & 2 else (np.cos(half), np.sin(half))
            )
        np.testing.assert_allclose(wanted[:, state], expected, atol=1e-15)


@pytest.mark.parametrize("complex_", [False, True])
def test_columns_are_swept_to_basis_states(complex_: bool) -> None:
    rng = np.random.default_rng(1)
    v = np.linalg.qr(rng.normal(size=(16, 4)) + 1j * complex_ * rng.normal(size=(16, 4)))[0]
    swept = v.astype(complex)
    circuit = QuantumCircuit(4)
    for gate in columns(swept):
        gate.append_to(circuit)
    np.testing.assert_allclose(np.abs(swept), np.eye(16, 4), atol=1e-14)
    np.testing.assert_allclose(Operator(circuit).data @ v, swept, atol=1e-13)


@pytest.mark.parametrize("allowing", range(8))
@pytest.mark.parametrize("selecting", range(3))
def test_selected_rotation(allowing: int, selecting: int) -> None:
    n = allowing + selecting + 1
    if n > 9:
        return
    rng = np.random.default_rng(n)
    order = rng.permutation(n).tolist()
    target, selectors, rest = order[0], order[1 : 1 + selecting], order[1 + selecting :]
    zeros, ones = rest[: allowing // 2], rest[allowing // 2 :]
    angles = rng.normal(size=2**selecting)
    circuit = QuantumCircuit(n)
    selected_rotation(circuit, "y", angles, target, selectors, zeros, ones)
    wanted = np.eye(2**n, dtype=complex)
    for state in range(2**n):
        if state >> target & 1 or any(state >> q & 1 for q in zeros) or not all(state >> q & 1 for q in ones):
            continue
        half = angles[sum((state >> q & 1) << i for i, q in enumerate(selectors))] / 2
        pair = [state, state | 1 << target]
        wanted[np.ix_(pair, pair)] = [[np.cos(half), -np.sin(half)], [np.sin(half), np.cos(half)]]
    assert off(circuit, wanted) < 1e-12


@pytest.mark.parametrize("core", [(), (2,), (3, 1)])
def test_central_on_any_unitary(core: tuple[int, ...]) -> None:
    size = 2 ** len(core)
    U = np.linalg.qr(np.random.default_rng(size).normal(size=(size, size, 2)) @ [1, 1j])[0]
    zeros = [q for q in range(4) if q not in core]
    circuit = QuantumCircuit(5)
    central(circuit, U, core, zeros, [4])
    states = [16 + sum((value >> i & 1) << q for i, q in enumerate(core)) for value in range(size)]
    wanted = np.eye(32, dtype=complex)
    wanted[np.ix_(states, states)] = U
    assert off(circuit, wanted) < TOLERANCE


def test_errors() -> None:
    layer = stack(np.random.default_rng(0), 3, 4, 2, learned=False, complex_=False, p1=0.3, p2=0.4)[-1]
    with pytest.raises(InputError, match="`preparation` must be one of cheapest, isometry, clock-structured"):
        subspace(layer.rotation(0.1), layer, preparation="magic")
    for not_unitary in (layer.euler(0.5), layer.generator, LowRank(layer.frame, layer.rotation(0.1).m, 0.5)):
        with pytest.raises(InputError, match="`map` must be unitary"):
            subspace(not_unitary, layer)
        with pytest.raises(InputError, match="`map` must be unitary"):
            unitary(not_unitary, layer)


def test_a_space_that_is_not_the_layers() -> None:
    layer = stack(np.random.default_rng(0), 8, 8, 2, learned=False, complex_=False, p1=0.3, p2=0.4)[-1]
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 4)))[0]
    m = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    with pytest.raises(InputError, match="columns in the space of the layer"):
        subspace(LowRank(Q, m, 1.0), layer, preparation="clock-structured")
    anywhere = LowRank(Q, m, 1.0)
    assert off(subspace(anywhere, layer, preparation="isometry"), anywhere.dense()) < TOLERANCE
