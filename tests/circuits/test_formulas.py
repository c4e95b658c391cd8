"""Product formulas as circuits against the literal product of matrix exponentials, in order, global phase included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp

from circuits.evolution import SYNTHESES, append_rotation, evolution, weights
from circuits.formulas import FORMULAS, drawn, exponentials, stages
from circuits.layer import Layer
from circuits.pauli import generator_terms, odd_in_y, pauli_terms
from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from tests.systems.layers import random_layer

Array = NDArray[Any]

TINY = 1e-10
PAULI = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
# odd sizes, which need padding, and one state of data or clock among them
SIZES = [(2, 2), (1, 3), (3, 1), (3, 2), (2, 3)]
FORMULA_NAMES = tuple(FORMULAS)


def literal_strings(M: Array) -> Iterator[Array]:
    """c_P P for every string of a Hermitian matrix, by traces; in the order of X part, parity of Y, Z part."""
    n = len(M).bit_length() - 1

    def place(label: tuple[str, ...]) -> tuple[list[bool], int, list[bool]]:
        return [c in "XY" for c in label], label.count("Y") % 2, [c in "YZ" for c in reversed(label)]

    for label in sorted(itertools.product("IXYZ", repeat=n), key=place):
        P = np.eye(1)
        for letter in label:
            P = np.kron(P, PAULI[letter])
        c = np.trace(P @ M) / 2**n
        if abs(c) > 1e-14:
            yield c * P


def dense_terms(layer: Layer, terms: str) -> list[Array]:
    """T_γ [2^n, 2^n], from the definition of G alone."""
    b = np.kron(layer.Y, layer.c)
    A = layer.A.reshape(-1)
    W = np.outer(A, b.conj()) - np.outer(b, A.conj())
    C = np.outer(layer.c_before, layer.c)
    P = np.kron(np.eye(len(layer.Y)), C - C.T)
    pad = layer.registers.padded_matrix
    hop, permutation = pad((1 - layer.p1) * W), pad(layer.p1 / 2 * (P @ W - W @ P))
    if terms == "natural":
        return [hop, permutation]
    return [-1j * term for term in literal_strings(1j * (hop + permutation))]


def literal_step(formula: str, T: list[Array], t: float) -> Array:
    """S_1, S_2, S_4 by their own recursion; the first factor of a product is applied last."""
    if formula == "lie":
        product = np.eye(len(T[0]))
        for term in T:
            product = scipy.linalg.expm(t * term) @ product
        return product
    if formula == "suzuki2":
        forwards = literal_step("lie", T, t / 2)
        backwards = np.eye(len(T[0]))
        for term in reversed(T):
            backwards = scipy.linalg.expm(t / 2 * term) @ backwards
        return backwards @ forwards
    u = 1 / (4 - 4 ** (1 / 3))
    outer = literal_step("suzuki2", T, u * t)
    return outer @ outer @ literal_step("suzuki2", T, (1 - 4 * u) * t) @ outer @ outer


def controlled(U: Array) -> Array:
    """|0><0| ⊗ 1 + |1><1| ⊗ U."""
    return scipy.linalg.block_diag(np.eye(len(U)), U)


def distance(circuit: QuantumCircuit, U: Array) -> float:
    return float(np.linalg.norm(Operator.from_circuit(circuit).data - U, 2))


@pytest.mark.parametrize("formula", FORMULA_NAMES)
@pytest.mark.parametrize("terms", ["pauli", "natural"])
@pytest.mark.parametrize("complex_data", [False, True])
def test_circuit_is_the_literal_product(rng: np.random.Generator, formula: str, terms: str, complex_data: bool) -> None:
    for (d, N), reps in zip(SIZES, (1, 2, 1, 2, 3), strict=True):
        if formula == "suzuki4" and terms == "pauli":
            reps = 1
        layer, h = random_layer(rng, d, N, complex_data), float(rng.uniform(-2, 2))
        U = np.linalg.matrix_power(literal_step(formula, dense_terms(layer, terms), h / reps), reps)
        assert distance(evolution(layer, h, formula, terms=terms, reps=reps), U) < TINY
        with_control = evolution(layer, h, formula, terms=terms, reps=reps, controlled=True)
        assert distance(with_control, controlled(U)) < TINY


def test_no_clock_and_no_data_qubits(rng: np.random.Generator) -> None:
    for complex_data in (False, True):
        layer = random_layer(rng, 1, 1, complex_data)
        G = sum(dense_terms(layer, "natural"))
        for synthesis in ("lie", "suzuki2", "suzuki4"):
            circuit = evolution(layer, 0.7, synthesis)
            assert circuit.num_qubits == 0
            assert abs(np.exp(1j * float(circuit.global_phase)) - np.exp(0.7 * G[0, 0])) < TINY
            assert (
                distance(evolution(layer, 0.7, synthesis, controlled=True), np.diag([1, np.exp(0.7 * G[0, 0])])) < TINY
            )


@pytest.mark.parametrize("synthesis", ["subspace", "unitary"])
def test_exact_syntheses_are_passed_on(rng: np.random.Generator, synthesis: str) -> None:
    for d, N in SIZES:
        layer, h = random_layer(rng, d, N, True), float(rng.uniform(-2, 2))
        U = scipy.linalg.expm(h * sum(dense_terms(layer, "natural")))
        assert distance(evolution(layer, h, synthesis), U) < TINY
        assert distance(evolution(layer, h, synthesis, controlled=True), controlled(U)) < TINY


@pytest.mark.parametrize("terms", ["pauli", "natural"])
@pytest.mark.parametrize("complex_data", [False, True])
def test_qdrift_is_the_literal_product_of_its_draws(rng: np.random.Generator, terms: str, complex_data: bool) -> None:
    layer, h, N = random_layer(rng, 2, 3, complex_data), 0.8, 9
    T = dense_terms(layer, terms)
    norms = [np.linalg.norm(term, 2) for term in T]
    np.testing.assert_allclose(weights(layer, terms), norms, atol=1e-12)
    U = np.eye(len(T[0]))
    for j, fraction in drawn(weights(layer, terms), N, seed=4):
        np.testing.assert_allclose(fraction, sum(norms) / (N * norms[j]))
        U = scipy.linalg.expm(h * sum(norms) / N * T[j] / norms[j]) @ U
    assert distance(evolution(layer, h, "qdrift", terms=terms, reps=N, seed=4), U) < TINY
    assert distance(evolution(layer, h, "qdrift", terms=terms, reps=N, seed=4, controlled=True), controlled(U)) < TINY
    other = evolution(layer, h, "qdrift", terms=terms, reps=N, seed=5)
    assert distance(other, U) > 1e-3


def test_draws_follow_the_weights() -> None:
    w = np.array([0.5, 0.0, 0.2, 1.3])
    N = 40_000
    found = drawn(w, N, seed=1)
    share = np.bincount([j for j, _ in found], minlength=4) / N
    p = w / w.sum()
    assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / N)).all()
    assert share[1] == 0
    assert found == drawn(w, N, seed=1)
    assert drawn(np.zeros(3), N, seed=1) == []
    assert drawn([], N, seed=1) == []


@pytest.mark.parametrize("formula", FORMULA_NAMES)
@pytest.mark.parametrize(("count", "reps"), [(1, 1), (2, 1), (2, 3), (5, 2)])
def test_stages_share_out_the_whole_time(formula: str, count: int, reps: int) -> None:
    plan = stages(formula, count, reps)
    share = np.zeros(count)
    for j, fraction in plan:
        share[j] += fraction
    np.testing.assert_allclose(share, 1, atol=1e-14)
    assert all(a[0] != b[0] for a, b in itertools.pairwise(plan))
    assert plan[0][0] == 0  # the first term is applied first, and is outermost where the formula is symmetric
    if formula != "lie":
        assert plan[-1][0] == 0
        np.testing.assert_allclose([f for _, f in plan], [f for _, f in plan[::-1]])


def test_stages_of_two_terms() -> None:
    assert stages("lie", 2, 2) == [(0, 0.5), (1, 0.5)] * 2
    assert stages("suzuki2", 2, 2) == [(0, 0.25), (1, 0.5), (0, 0.5), (1, 0.5), (0, 0.25)]
    assert len(stages("suzuki4", 2, 1)) == 11
    assert stages("suzuki4", 0, 3) == []
    for formula, count, reps in itertools.product(FORMULA_NAMES, (1, 3), (1, 4)):
        assert len(stages(formula, count, reps)) <= exponentials(formula, count, reps)


# --- Pauli strings ---


@pytest.mark.parametrize(("d", "N"), [(2, 2), (1, 3), (3, 5), (5, 3), (1, 1), (2, 1)])
@pytest.mark.parametrize("complex_data", [False, True])
def test_strings_sum_to_the_generator(rng: np.random.Generator, d: int, N: int, complex_data: bool) -> None:
    layer = random_layer(rng, d, N, complex_data)
    terms = generator_terms(layer)
    G = sum(dense_terms(layer, "natural"))
    dense = sum((c * P for c, P in zip(terms.coeffs, terms.paulis.to_matrix(), strict=True)), np.zeros_like(G))
    np.testing.assert_allclose(dense, 1j * G, atol=1e-14)
    assert (terms.coeffs.imag == 0).all()
    if not complex_data:
        assert odd_in_y(terms).all()
        assert [str(label).count("Y") % 2 for label in terms.paulis.to_labels()] == [1] * len(terms)
        assert len(terms) <= (4**layer.registers.qubits - 2**layer.registers.qubits) // 2


def test_rounding_is_no_string(rng: np.random.Generator) -> None:
    one = SparsePauliOp(["XYZ", "ZII"], [0.7, -0.2]).to_matrix()
    noise = rng.normal(size=(8, 8)) * 1e-17
    found = pauli_terms(one + noise)
    assert sorted(found.paulis.to_labels()) == ["XYZ", "ZII"]
    assert len(pauli_terms(np.zeros((4, 4)))) == 0
    assert pauli_terms(np.array([[2.5]])).coeffs.tolist() == [2.5]


def test_strings_in_single_precision(rng: np.random.Generator) -> None:
    v = rng.normal(size=(8, 2))
    M = (1j * (np.outer(v[:, 0], v[:, 1]) - np.outer(v[:, 1], v[:, 0]))).astype(np.complex64)
    terms = pauli_terms(M)
    assert odd_in_y(terms).all()
    np.testing.assert_allclose(terms.to_matrix(), M, atol=1e-5)


@pytest.mark.parametrize(
    ("M", "words"),
    [
        (np.zeros((3, 3)), "power of two rows"),
        (np.zeros((2, 4)), "power of two rows"),
        (np.array([[0.0, 1.0], [0.0, 0.0]]), "Hermitian"),
        (np.array([[np.nan, 0.0], [0.0, 0.0]]), "finite"),
    ],
)
def test_matrices_without_strings(M: Array, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        pauli_terms(M)
    assert "\n" not in str(caught.value)


def test_every_string_is_rotated_exactly(rng: np.random.Generator) -> None:
    for label in itertools.product("IXYZ", repeat=3):
        text, angle = "".join(label), float(rng.uniform(-3, 3))
        letters = text[::-1]  # from the lowest qubit
        x, z = [c in "XY" for c in letters], [c in "YZ" for c in letters]
        P = np.kron(np.kron(PAULI[label[0]], PAULI[label[1]]), PAULI[label[2]])
        U = scipy.linalg.expm(-1j * angle * P)
        plain, with_control = QuantumCircuit(3), QuantumCircuit(4)
        append_rotation(plain, x, z, angle, False)
        append_rotation(with_control, x, z, angle, True)
        assert distance(plain, U) < TINY
        assert distance(with_control, controlled(U)) < TINY


# --- arguments ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"synthesis": "trotter"}, "`synthesis` must be one of lie, suzuki2"),
        ({"terms": "strings"}, "`terms` must be one of pauli, natural"),
        ({"reps": 0}, "`reps` must be an integer of at least 1, but is 0"),
        ({"reps": 1.5}, "`reps` must be an integer of at least 1, but is 1.5"),
        ({"h": float("nan")}, "`h` must be finite"),
        ({"h": float("inf"), "synthesis": "subspace"}, "`h` must be finite"),
    ],
)
def test_arguments_without_a_circuit(rng: np.random.Generator, change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"h": 0.5, "synthesis": "lie"} | change
    with pytest.raises(InputError, match=words) as caught:
        evolution(random_layer(rng, 2, 2, False), **given)
    assert "\n" not in str(caught.value)


def test_layer_that_is_not_finite(rng: np.random.Generator) -> None:
    layer = random_layer(rng, 2, 2, False)
    for broken in (
        Layer(layer.Y * np.nan, layer.Y_before, layer.c, layer.c_before, layer.A, layer.p1),
        Layer(layer.Y, layer.Y_before, layer.c, layer.c_before, layer.A, np.inf),
    ):
        for synthesis in SYNTHESES:
            with pytest.raises(InputError, match="`layer` must be finite"):
                evolution(broken, 0.5, synthesis)


def test_memory_is_asked_first(rng: np.random.Generator) -> None:
    layer = random_layer(rng, 4, 8, False)
    token = memory_limit.set(4096)
    try:
        with pytest.raises(MemoryEstimateError, match="5 qubits as Pauli strings"):
            evolution(layer, 0.5, "lie")
        memory_limit.set(10**6)
        with pytest.raises(MemoryEstimateError, match="a circuit of"):
            evolution(layer, 0.5, "suzuki4", reps=10)
        for terms in ("pauli", "natural"):
            with pytest.raises(MemoryEstimateError, match="a circuit of"):
                evolution(layer, 0.5, "qdrift", terms=terms, reps=10**9)
    finally:
        memory_limit.reset(token)


def test_a_layer_without_generator_does_nothing() -> None:
    nothing = Layer(np.zeros(2), np.zeros(2), np.eye(2)[0], np.eye(2)[1], np.zeros((2, 2)), 0.3)
    for synthesis, terms in itertools.product((*FORMULA_NAMES, "qdrift"), ("pauli", "natural")):
        assert distance(evolution(nothing, 0.5, synthesis, terms=terms), np.eye(4)) < TINY
