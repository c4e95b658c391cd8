"""Errors of product formulas: their orders, and every one of them under its bound.

Errors are measured against scipy's exponential of G written out from its definition, on all 2^n states.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import Statevector
from qiskit.synthesis import LieTrotter

from circuits import bounds
from circuits.bounds import error, error_coefficient, trotter_bound
from circuits.evolution import evolution, weights
from circuits.formulas import FORMULAS, drawn
from circuits.layer import Layer
from circuits.pauli import generator_terms
from hamiltonians import InputError, MemoryEstimateError
from hamiltonians.memory import memory_limit
from tests.systems.layers import random_layer

Array = NDArray[Any]

FORMULA_NAMES = tuple(FORMULAS)
ROUNDING = 1e-11  # of an error measured through up to 10^5 gates


def literal_generator(layer: Layer) -> Array:
    """G [2^n, 2^n] as the anti-Hermitian part of D W."""
    b, A = np.kron(layer.Y, layer.c), layer.A.reshape(-1)
    W = np.outer(A, b.conj()) - np.outer(b, A.conj())
    C = np.outer(layer.c_before, layer.c)
    D = (1 - layer.p1) * np.eye(len(b)) + layer.p1 * np.kron(np.eye(len(layer.Y)), C - C.T)
    H = D @ W
    return layer.registers.padded_matrix((H - H.conj().T) / 2)


# --- orders ---


@pytest.mark.parametrize("formula", FORMULA_NAMES)
@pytest.mark.parametrize("terms", ["pauli", "natural"])
@pytest.mark.parametrize("complex_data", [False, True])
def test_fitted_order(rng: np.random.Generator, formula: str, terms: str, complex_data: bool) -> None:
    reps = np.array([2, 3, 4, 6])
    for d, N in ((2, 2), (3, 2)):
        layer = random_layer(rng, d, N, complex_data, size=1.2)
        errors = [error(layer, 1.5, evolution(layer, 1.5, formula, terms=terms, reps=int(r))) for r in reps]
        order = -np.polyfit(np.log(reps), np.log(errors), 1)[0]
        assert abs(order - FORMULAS[formula].order) < 0.15


# --- errors under their bounds ---


def check_bound(layer: Layer, h: float, formula: str, terms: str, reps: int) -> float:
    """Asserts error ≤ bound; returns bound / error."""
    measured = error(layer, h, evolution(layer, h, formula, terms=terms, reps=reps))
    bound = trotter_bound(layer, h, formula, terms=terms, reps=reps)
    assert measured <= bound + ROUNDING
    return bound / measured if measured > ROUNDING else np.nan


# how far above the errors the bounds may lie in the median: looser than this they would be of no use
LOOSEST = {("natural", "lie"): 1.2, ("natural", "suzuki2"): 2, ("natural", "suzuki4"): 20}
LOOSEST |= {("pauli", "lie"): 8, ("pauli", "suzuki2"): 8, ("pauli", "suzuki4"): 80}


@pytest.mark.parametrize("formula", FORMULA_NAMES)
@pytest.mark.parametrize("terms", ["pauli", "natural"])
def test_error_lies_under_its_bound(rng: np.random.Generator, formula: str, terms: str) -> None:
    sizes = [(2, 2), (1, 3), (2, 3), (3, 2), (1, 4), (4, 1), (3, 1), (2, 2)]
    ratios = []
    for i, (d, N) in enumerate(sizes * (1 if terms == "pauli" and formula == "suzuki4" else 3)):
        layer = random_layer(rng, d, N, bool(i % 2), size=rng.uniform(0.5, 1.5))
        ratios.append(check_bound(layer, float(rng.uniform(-2, 2)), formula, terms, int(rng.integers(1, 4))))
    ratio = float(np.nanmedian(ratios))
    print(f"{terms} {formula}: bound / error {np.nanmin(ratios):.3g} … {np.nanmax(ratios):.3g}, median {ratio:.3g}")
    assert 1 <= ratio < LOOSEST[terms, formula]


@pytest.mark.parametrize("formula", FORMULA_NAMES)
def test_bounds_with_cheap_norms(rng: np.random.Generator, formula: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves many qubits, on few: it holds there too, and is never below what exact norms give."""
    for d, N in ((2, 2), (3, 2), (1, 3)):
        layer = random_layer(rng, d, N, d == 3, size=1.2)
        tight = error_coefficient(layer, formula)
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "EXACT_ROWS", 0)
            assert error_coefficient(layer, formula) >= tight * (1 - 1e-12)
            check_bound(layer, 0.9, formula, "pauli", 2)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("formula", FORMULA_NAMES)
def test_bounds_on_six_qubits(rng: np.random.Generator, formula: str) -> None:
    layer = random_layer(rng, 5, 8, False, size=1.2)
    check_bound(layer, 1.1, formula, "pauli", 1)
    check_bound(layer, 1.1, formula, "natural", 2)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("terms", ["pauli", "natural"])
def test_many_errors_lie_under_their_bounds(rng: np.random.Generator, terms: str) -> None:
    for i in range(150):
        d, N = (int(v) for v in rng.integers(1, 4, 2))
        layer = random_layer(rng, d, N, bool(i % 2), size=rng.uniform(0.5, 2))
        for formula in FORMULA_NAMES:
            check_bound(layer, float(rng.uniform(-2, 2)), formula, terms, int(rng.integers(1, 3)))


def test_the_order_of_the_terms_matters(rng: np.random.Generator) -> None:
    """Proposition 10 holds for H_1 outermost; with the terms reversed its number is no bound on the error."""
    broken, t = 0, 0.05
    for _ in range(40):
        T = (rng.normal(size=(2, 4, 4)) + 1j * rng.normal(size=(2, 4, 4))) * np.array([1, 0.02])[:, None, None]
        T = T - T.conj().transpose(0, 2, 1)
        bound = bounds._second_order(bounds.Matrices(T)) * t**3
        exact = scipy.linalg.expm(t * T.sum(0))
        assert np.linalg.norm(strang(T, t) - exact, 2) <= bound
        broken += bool(np.linalg.norm(strang(T[::-1], t) - exact, 2) > bound)
    assert broken > 0


def strang(T: Array, t: float) -> Array:
    """S_2, the first term outermost."""
    there = back = np.eye(len(T[0]))
    for term in T:
        there, back = scipy.linalg.expm(t / 2 * term) @ there, back @ scipy.linalg.expm(t / 2 * term)
    return back @ there


def test_bounds_of_any_order_on_general_matrices(rng: np.random.Generator) -> None:
    """`remainder` of two to four terms, of S_4 and, for which it serves as well, of S_2."""
    u = 1 / (4 - 4 ** (1 / 3))
    for _ in range(40):
        T = rng.normal(size=(int(rng.integers(2, 5)), 3, 3)) * rng.uniform(0.1, 1)
        T, t = T - T.transpose(0, 2, 1), float(rng.uniform(0.05, 0.5))
        outer = strang(T, u * t)
        S4 = outer @ outer @ strang(T, (1 - 4 * u) * t) @ outer @ outer
        exact = scipy.linalg.expm(t * T.sum(0))
        terms = bounds.Matrices(T)
        assert np.linalg.norm(S4 - exact, 2) <= bounds.remainder(terms, "suzuki4") * t**5 + 1e-14
        assert np.linalg.norm(strang(T, t) - exact, 2) <= bounds.remainder(terms, "suzuki2") * t**3 + 1e-14


def nested(word: str, A: Array, B: Array) -> float:
    """‖[w_1, [w_2, … [w_{p}, w_{p+1}]]]‖."""
    X = {"A": A, "B": B}[word[-1]]
    for letter in reversed(word[:-1]):
        Z = {"A": A, "B": B}[letter]
        X = Z @ X - X @ Z
    return float(np.linalg.norm(X, 2))


def test_fourth_order_bound_is_tighter_than_the_printed_one(rng: np.random.Generator) -> None:
    """Childs et al., Appendix M: two terms, A outermost or innermost, whichever printed sum is the smaller."""
    words = ("AAABA", "AABBA", "ABABA", "ABBBA", "BAABA", "BABBA", "BBABA", "BBBBA")
    constants = (0.0047, 0.0057, 0.0046, 0.0074, 0.0097, 0.0097, 0.0173, 0.0284)
    for _ in range(30):
        A, B = rng.normal(size=(2, 4, 4)) + 1j * rng.normal(size=(2, 4, 4))
        A, B = A - A.conj().T, B - B.conj().T
        printed = [
            sum(c * nested(w, *pair) for w, c in zip(words, constants, strict=True)) for pair in ((A, B), (B, A))
        ]
        assert bounds.remainder(bounds.Matrices(np.stack([A, B])), "suzuki4") < min(printed)


@pytest.mark.parametrize("complex_data", [False, True])
def test_groups_of_commuting_strings(rng: np.random.Generator, complex_data: bool) -> None:
    for d, N in ((1, 1), (1, 2), (3, 2), (2, 5)):
        layer = random_layer(rng, d, N, complex_data)
        strings = generator_terms(layer)
        groups = bounds.Groups(strings)
        states = 2**layer.registers.qubits
        assert groups.rows == states
        assert groups.count <= (2 * states - 1 if complex_data else states - 1)
        X = rng.normal(size=(2, states, states)) + 1j * rng.normal(size=(2, states, states))
        start = 0
        for j in range(groups.count):
            T = groups.element(j)
            # the group is the strings from `start` on that make up its weight, and they commute with each other
            weight, stop = np.linalg.norm(T) ** 2 / states, start
            while stop < len(strings) and weight > 1e-14:
                weight -= abs(strings.coeffs[stop]) ** 2
                stop += 1
            members = strings.paulis[start:stop]
            assert all(members.commutes(P).all() for P in members)
            matrices = zip(strings.coeffs[start:stop], members.to_matrix(), strict=True)
            np.testing.assert_allclose(T, sum(-1j * c * P for c, P in matrices), atol=1e-14)
            np.testing.assert_allclose(groups.adjoint(j, X), T @ X - X @ T, atol=1e-12)
            start = stop
        assert start == len(strings)


def test_cheap_norms_are_above_the_exact_ones(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    X = rng.normal(size=(20, 8, 8)) + 1j * rng.normal(size=(20, 8, 8))
    X = X - X.conj().transpose(0, 2, 1)
    exact = np.linalg.norm(X, 2, axis=(1, 2))
    np.testing.assert_allclose(bounds.norms(X), exact)
    monkeypatch.setattr(bounds, "EXACT_ROWS", 4)
    assert (bounds.norms(X) >= exact).all()
    assert (bounds.norms(X) <= 8**0.25 * exact).all()


@pytest.mark.parametrize("formula", FORMULA_NAMES)
def test_bound_scales_as_its_order(rng: np.random.Generator, formula: str) -> None:
    layer, p = random_layer(rng, 2, 3, True), FORMULAS[formula].order
    for terms in ("pauli", "natural"):
        one = trotter_bound(layer, 0.6, formula, terms=terms)
        assert one > 0
        np.testing.assert_allclose(trotter_bound(layer, -0.6, formula, terms=terms, reps=4), one / 4**p)
        np.testing.assert_allclose(trotter_bound(layer, 1.2, formula, terms=terms), one * 2 ** (p + 1))


def test_exact_syntheses_have_no_error(rng: np.random.Generator) -> None:
    layer = random_layer(rng, 3, 2, True)
    for synthesis in ("subspace", "unitary"):
        assert trotter_bound(layer, 0.9, synthesis) == 0
        assert error(layer, 0.9, evolution(layer, 0.9, synthesis)) < 1e-10


def test_error_on_no_qubits(rng: np.random.Generator) -> None:
    layer = random_layer(rng, 1, 1, True)
    for terms in ("pauli", "natural"):
        circuit = evolution(layer, 0.9, "suzuki2", terms=terms)
        assert error(layer, 0.9, circuit) < 1e-14
        assert trotter_bound(layer, 0.9, "suzuki2", terms=terms) < 1e-14
    assert error(layer, 0.0, circuit) > 1e-3


def test_layers_whose_terms_commute(rng: np.random.Generator) -> None:
    nothing = Layer(np.zeros(2), np.zeros(2), np.eye(2)[0], np.eye(2)[1], np.zeros((2, 2)), 0.3)
    alone = random_layer(rng, 1, 2, False)  # iG is one string, Y
    for formula in FORMULA_NAMES:
        for terms in ("pauli", "natural"):
            assert trotter_bound(nothing, 0.5, formula, terms=terms) == 0
            assert trotter_bound(alone, 0.5, formula, terms=terms) < 1e-14
    assert trotter_bound(nothing, 0.5, "qdrift") == 0


# --- qDRIFT ---


@pytest.mark.parametrize("terms", ["pauli", "natural"])
def test_qdrift_on_average_over_seeds(rng: np.random.Generator, terms: str) -> None:
    """½‖ρ̄ - ρ‖₁ of the output averaged over seeds; 5σ for the mean of m states of purity 1 in 2^n dimensions.

    E ‖ρ̄_m - ρ̄‖_F² ≤ 1/m, and the trace norm is at most 2^(n/2) times the Frobenius norm.
    """
    m = 1500
    for d, N, reps in ((2, 2, 10), (1, 3, 40)):
        layer, h = random_layer(rng, d, N, True, size=1.2), 0.9
        T = dense_terms(layer, terms)
        w = weights(layer, terms)
        factors = {j: scipy.linalg.expm(h * w.sum() / (reps * w[j]) * T[j]) for j in range(len(w)) if w[j]}
        psi = rng.normal(size=4) + 1j * rng.normal(size=4)
        psi /= np.linalg.norm(psi)
        mean, spread = np.zeros((4, 4), complex), 0.0
        exact = scipy.linalg.expm(h * literal_generator(layer)) @ psi
        for seed in range(m):
            out = psi
            for j, _ in drawn(w, reps, seed):
                out = factors[j] @ out
            if seed < 3:  # the circuits are these products
                circuit = evolution(layer, h, "qdrift", terms=terms, reps=reps, seed=seed)
                np.testing.assert_allclose(Statevector(psi).evolve(circuit).data, out, atol=1e-10)
            mean += np.outer(out, out.conj()) / m
            spread += np.linalg.norm(np.outer(out, out.conj()) - np.outer(exact, exact.conj())) ** 2 / m
        off = np.linalg.norm(mean - np.outer(exact, exact.conj()), "nuc") / 2
        allowance = 5 * np.sqrt(4 * spread / m) / 2
        bound = trotter_bound(layer, h, "qdrift", terms=terms, reps=reps)
        np.testing.assert_allclose(bound, 2 * (h * sum(np.linalg.norm(t, 2) for t in T)) ** 2 / reps)
        assert off <= bound + allowance


@pytest.mark.parametrize("terms", ["pauli", "natural"])
def test_qdrift_channel_lies_under_its_bound(rng: np.random.Generator, terms: str) -> None:
    """The mean channel without sampling, (Σ_j p_j U_j ⊗ U_j*)^N, on states entangled with a copy, and its order 1/N."""
    for complex_data in (False, True):
        layer, h = random_layer(rng, 2, 2, complex_data, size=1.3), 0.8
        T, w = dense_terms(layer, terms), weights(layer, terms)
        exact = scipy.linalg.expm(h * literal_generator(layer))
        found = []
        for reps in (8, 16, 32):
            factors = [scipy.linalg.expm(h * w.sum() / (reps * w[j]) * T[j]) for j in range(len(w))]
            step = sum(p * np.kron(U, U.conj()) for p, U in zip(w / w.sum(), factors, strict=True))
            mean = np.linalg.matrix_power(step, reps)
            # the Choi state of the difference: reshuffled, divided by the dimension
            choi = (mean - np.kron(exact, exact.conj())).reshape(4, 4, 4, 4).transpose(0, 2, 1, 3).reshape(16, 16) / 4
            found.append(np.linalg.norm(choi, "nuc") / 2)
            assert found[-1] <= trotter_bound(layer, h, "qdrift", terms=terms, reps=reps)
        assert abs(np.log2(found[-2] / found[-1]) - 1) < 0.15


def dense_terms(layer: Layer, terms: str) -> list[Array]:
    """T_γ [2^n, 2^n]."""
    if terms == "natural":
        return [layer.registers.padded_matrix(term.dense()) for term in (layer.hop, layer.permutation)]
    return [-1j * string.to_matrix() for string in generator_terms(layer)]


# --- the measure of errors ---


def test_error_sees_the_synthesis_and_the_phase(rng: np.random.Generator) -> None:
    layer, h = random_layer(rng, 2, 2, True), 0.8
    gate = PauliEvolutionGate(generator_terms(layer), h, synthesis=LieTrotter())
    circuit = QuantumCircuit(2)
    circuit.append(gate, range(2))
    np.testing.assert_allclose(error(layer, h, circuit), error(layer, h, evolution(layer, h, "lie")), atol=1e-12)
    exact = evolution(layer, h, "unitary")
    exact.global_phase += 0.3
    np.testing.assert_allclose(error(layer, h, exact), abs(np.exp(0.3j) - 1), atol=1e-10)


def test_arguments(rng: np.random.Generator) -> None:
    layer = random_layer(rng, 2, 2, False)
    with pytest.raises(InputError, match="`circuit` must be on the layer's 2 qubits, but is 3"):
        error(layer, 0.5, QuantumCircuit(3))
    with pytest.raises(InputError, match="`synthesis` must be one of lie, suzuki2, suzuki4"):
        error_coefficient(layer, "qdrift")
    for change, words in (
        ({"synthesis": "trotter"}, "`synthesis`"),
        ({"terms": "strings"}, "`terms`"),
        ({"reps": 0}, "`reps`"),
        ({"h": np.inf}, "`h`"),
    ):
        given: dict[str, Any] = {"h": 0.5, "synthesis": "lie"} | change
        with pytest.raises(InputError, match=words):
            trotter_bound(layer, **given)
    token = memory_limit.set(1000)
    try:
        with pytest.raises(MemoryEstimateError, match="2 qubits as matrices"):
            error(layer, 0.5, QuantumCircuit(2))
    finally:
        memory_limit.reset(token)
