"""H as matrix, operator, B†B and sums of squares, against the printed formula term by term."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from circuits.validation.literal_clock import clock_hamiltonian
from hamiltonians import ClockHamiltonian, InputError, MemoryEstimateError
from hamiltonians.contractions import GateSteps
from hamiltonians.memory import memory_limit
from hamiltonians.steps import CellSteps, HistorySteps
from tests.systems import reference
from tests.systems.machines import BB2, CASES, SMALL, Case
from tests.systems.reference import EIGENVALUE
from tests.systems.step_lists import SYSTEMS, System, unit

EPSILON = np.finfo(float).eps
# sums of at most d + 4 products of numbers ≤ 2, d ≤ 16; a factor 4 to spare
ROUNDING = 4 * 20 * 2 * EPSILON

systems = pytest.mark.parametrize("system", SYSTEMS, ids=str)
small_cases = pytest.mark.parametrize("case", SMALL, ids=str)
all_cases = pytest.mark.parametrize("case", CASES, ids=str)


def random_vector(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(n) + 1j * rng.standard_normal(n)


def test_reference_by_sparse_kron_is_the_reference_by_numpy_kron() -> None:
    for system in SYSTEMS[::5]:
        arguments = system.steps.dense, system.steps.d, system.initial
        by_sparse = clock_hamiltonian(*arguments, lambda a, b: sp.kron(sp.csr_array(a), sp.csr_array(b)))
        np.testing.assert_array_equal(by_sparse.toarray(), clock_hamiltonian(*arguments))


# ------------------------------------------------------------------------------------ forms of H


@systems
def test_matrix_is_the_printed_formula(system: System) -> None:
    H = system.H.to_sparse()
    assert H.shape == system.matrix.shape == (system.H.dimension,) * 2
    np.testing.assert_allclose(H.toarray(), system.matrix, rtol=0, atol=ROUNDING)
    if system.initial is None:
        np.testing.assert_array_equal(H.toarray(), system.matrix)  # nothing is computed, only placed
    assert H.dtype == system.H.dtype == system.matrix.dtype


@systems
def test_operator_is_the_matrix(system: System, rng: np.random.Generator) -> None:
    H, operator = system.matrix, system.H.as_linear_operator()
    v = random_vector(len(H), rng)
    np.testing.assert_allclose(operator @ v, H @ v, rtol=0, atol=ROUNDING * np.linalg.norm(v))
    np.testing.assert_allclose(operator.H @ v, H @ v, rtol=0, atol=ROUNDING * np.linalg.norm(v))
    np.testing.assert_allclose(operator @ v.real, H @ v.real, rtol=0, atol=ROUNDING * np.linalg.norm(v))
    several = np.stack([v, v.conj(), 1j * v], axis=1)
    np.testing.assert_allclose(operator @ several, H @ several, rtol=0, atol=ROUNDING * np.linalg.norm(v))


@systems
def test_incidence_factors_H_which_is_positive(system: System) -> None:
    H, B = system.matrix, system.H.incidence().toarray()
    # (I - U†U)^{1/2} is cut off where its square is below 16dε
    np.testing.assert_allclose(B.conj().T @ B, H, rtol=0, atol=ROUNDING + 16 * system.steps.d * EPSILON)
    assert system.spectrum[0] >= -EIGENVALUE
    assert system.spectrum[-1] <= 4 + (system.initial is not None) + EIGENVALUE


@systems
def test_bond_energies_sum_to_the_energy(system: System, rng: np.random.Generator) -> None:
    psi = random_vector(system.H.dimension, rng)
    terms = system.H.bond_energies(system.H.clock_major(psi))
    by_term = reference.printed_energy_terms(system.steps.dense, psi.reshape(system.steps.d, system.T + 1))
    slack = 64 * EPSILON * np.vdot(psi, psi).real
    np.testing.assert_allclose(terms[:-1], by_term, rtol=0, atol=slack)
    assert terms.sum() == pytest.approx(np.vdot(psi, system.matrix @ psi).real, abs=system.T * slack)
    assert terms.sum() == pytest.approx(np.linalg.norm(system.H.incidence() @ psi) ** 2, abs=system.T * slack)


@systems
def test_residual_without_a_second_vector(system: System, rng: np.random.Generator) -> None:
    psi = random_vector(system.H.dimension, rng)
    expected = np.linalg.norm(system.matrix @ psi - 0.37 * psi)
    assert system.H.residual_clock_major(system.H.clock_major(psi), 0.37) == pytest.approx(expected, rel=1e-13)


@all_cases
def test_machine_matrix_is_the_literal_one_exactly(case: Case) -> None:
    H = case.H.to_sparse()
    np.testing.assert_array_equal(H.toarray(), case.matrix)
    assert abs(H - H.T).max() == 0


@all_cases
def test_machine_operator_and_incidence(case: Case, rng: np.random.Generator) -> None:
    H, literal = case.H, sp.csr_array(case.matrix)
    v = random_vector(H.dimension, rng)
    np.testing.assert_allclose(H.as_linear_operator() @ v, literal @ v, rtol=0, atol=8 * EPSILON * np.abs(v).max() * 4)
    B = H.incidence()
    assert abs(B.T @ B - literal).max() == 0  # entries of B are 0 and ±1
    assert np.linalg.norm(B @ v) ** 2 == pytest.approx(H.bond_energies(H.clock_major(v)).sum(), rel=1e-13)


# ------------------------------------------------------------------------------------ vectors


@systems
def test_clock_major_and_back(system: System, rng: np.random.Generator) -> None:
    psi = random_vector(system.H.dimension, rng)
    X = system.H.clock_major(psi)
    assert X.shape == (system.T + 1, system.steps.d)
    np.testing.assert_array_equal(X, psi.reshape(system.steps.d, system.T + 1).T)
    np.testing.assert_array_equal(system.H.data_major(X), psi)


@systems
def test_history_state(system: System, rng: np.random.Generator) -> None:
    x = unit(system.steps.d, rng) if system.initial is None else system.initial
    psi0 = system.H.history_state(x)
    np.testing.assert_allclose(psi0, system.history(x), rtol=0, atol=ROUNDING)
    if system.initial is not None:
        np.testing.assert_array_equal(system.H.history_state(), psi0)
    # the terms telescope: what is lost of the norm on the way is the energy, zero for an isometric history
    last = psi0.reshape(system.steps.d, -1)[:, -1]
    lost = 1 / (system.T + 1) - np.linalg.norm(last) ** 2
    energy = system.H.bond_energies(system.H.clock_major(psi0)).sum()
    assert energy == pytest.approx(lost, abs=ROUNDING)
    if system.steps.unitary:
        assert energy <= system.H.dimension * EPSILON**2 * 64
        assert np.linalg.norm(system.matrix @ psi0) <= ROUNDING


def isometric() -> list[System]:
    return [s for s in SYSTEMS if s.steps.unitary]


@pytest.mark.parametrize("system", isometric(), ids=str)
def test_frame_V_turns_H_into_a_path_laplacian(system: System) -> None:
    d, T = system.steps.d, system.T
    V = np.zeros((d * (T + 1),) * 2, complex)
    product = np.eye(d)
    for j in range(T + 1):
        V += np.kron(product, np.outer(np.eye(T + 1)[j], np.eye(T + 1)[j]))
        product = system.steps.dense[j] @ product if j < T else product
    np.testing.assert_allclose(V.conj().T @ V, np.eye(len(V)), rtol=0, atol=ROUNDING)
    laplacian = np.diag([1.0] + [2.0] * (T - 1) + [1.0]) - np.eye(T + 1, k=1) - np.eye(T + 1, k=-1)
    inner = np.kron(np.eye(d), laplacian)
    if system.initial is not None:
        pinned = np.eye(d) - np.outer(system.initial, system.initial.conj())
        inner = inner + np.kron(pinned, np.diag([1.0] + [0.0] * T))
    np.testing.assert_allclose(system.H.to_sparse().toarray(), V @ inner @ V.conj().T, rtol=0, atol=ROUNDING)
    expected = np.repeat(2 - 2 * np.cos(np.pi * np.arange(T + 1) / (T + 1)), d)
    if system.initial is None:
        np.testing.assert_allclose(system.spectrum, np.sort(expected), rtol=0, atol=EIGENVALUE)


@all_cases
def test_machine_history_is_the_literal_one_with_energy_zero(case: Case) -> None:
    psi0 = case.H.history_state()
    expected = case.literal.history()
    if case.space == "function":
        expected = expected[case.rows]
    np.testing.assert_allclose(psi0, expected, rtol=0, atol=EPSILON)
    assert np.linalg.norm(sp.csr_array(case.matrix) @ psi0) <= 8 * EPSILON
    assert np.linalg.norm(psi0) == pytest.approx(1, abs=1e-14)


@small_cases
def test_history_path_has_the_laplacian_spectrum(case: Case) -> None:
    rows = case.H.restricted().rows(*_first_history(case))
    T = case.literal.T
    block = case.matrix[np.ix_(rows, rows)]
    expected = 2 - 2 * np.cos(np.pi * np.arange(T + 1) / (T + 1))
    np.testing.assert_allclose(np.linalg.eigvalsh(block), expected, rtol=0, atol=EIGENVALUE)


def _first_history(case: Case):  # type: ignore[no-untyped-def]
    from hamiltonians.paths import PathKind

    return PathKind(case.H.clock_states, False, False), (next(iter(case.H.readout.starts.values())), 0)


def test_history_needs_to_know_where_it_starts() -> None:
    H = ClockHamiltonian.from_steps([np.eye(2)])
    with pytest.raises(InputError, match="`x` must be given"):
        H.history_state()
    with pytest.raises(InputError, match=r"history_state\(x\)"):
        H.history()
    with pytest.raises(InputError, match="unit vector"):
        H.history_state([1, 1])


# ------------------------------------------------------------------------------------ export


@pytest.mark.parametrize("system", SYSTEMS[:: len(SYSTEMS) // 12], ids=str)
def test_matrix_market_round_trip(system: System, tmp_path: Path) -> None:
    path = tmp_path / "H.mtx"
    system.H.save_matrix_market(str(path))
    assert "hermitian" in path.read_text() if system.H.dtype.kind == "c" else "symmetric" in path.read_text()
    np.testing.assert_allclose(scipy.io.mmread(path).toarray(), system.matrix, rtol=0, atol=ROUNDING)
    assert list(tmp_path.iterdir()) == [path]  # nothing temporary is left


def test_matrix_market_of_a_machine_is_exact(tmp_path: Path) -> None:
    H = ClockHamiltonian.from_machine(BB2, "tape")
    H.save_matrix_market(str(tmp_path / "H.mtx"))
    assert abs(scipy.io.mmread(tmp_path / "H.mtx") - H.to_sparse()).max() == 0


def test_matrix_market_into_no_folder(tmp_path: Path) -> None:
    H = ClockHamiltonian.from_machine(BB2)
    with pytest.raises(InputError, match="file"):
        H.save_matrix_market(str(tmp_path / "nowhere" / "H.mtx"))


# ------------------------------------------------------------------------------------ memory


HUGE = ClockHamiltonian(HistorySteps(47_176_870), "configuration")  # (T+1)² = 2·10^15 rows
LONG_TAPE = ClockHamiltonian(
    CellSteps(np.zeros(5, np.int64), np.zeros(5, np.uint8), np.ones(5, np.uint8), 2, 200), "tape"
)  # 2^200 strings
MANY_QUBITS = ClockHamiltonian(GateSteps(np.zeros((3, 16)), np.ones((3, 2), np.int64), 60))
FORMS = ("sparse", "incidence", "operator", "vector")


@pytest.mark.parametrize("H", [HUGE, LONG_TAPE, MANY_QUBITS], ids=["configuration", "tape", "gates"])
def test_huge_forms_are_refused_at_once(H: ClockHamiltonian, tmp_path: Path) -> None:
    requests = [
        H.to_sparse,
        H.incidence,
        H.as_linear_operator,
        lambda: H.history_state(np.ones(1)),
        lambda: H.save_matrix_market(str(tmp_path / "H.mtx")),
    ]
    for request in requests:
        with pytest.raises(MemoryEstimateError, match=r"(about 10\^\d+ bytes|[0-9.]+ [PT]iB) needed, but"):
            request()
    assert not list(tmp_path.iterdir())
    assert HUGE.dimension == 47_176_871**2
    assert LONG_TAPE.dimension == 2**200 * 6


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_is_obeyed_and_both_numbers_are_told(form: str) -> None:
    H = SYSTEMS[0].H
    needed = H.memory_estimate(form)  # type: ignore[arg-type]
    token = memory_limit.set(needed - 1)
    try:
        with pytest.raises(MemoryEstimateError, match=r"\d \w+ needed, but [\d.]+ \w+ may be taken .*; \w+"):
            H.require(form)  # type: ignore[arg-type]
        memory_limit.set(needed)
        H.require(form)  # type: ignore[arg-type]
    finally:
        memory_limit.reset(token)


@systems
def test_estimates_cover_what_is_built(system: System) -> None:
    H = system.H
    for form, matrix in (("sparse", H.to_sparse()), ("incidence", H.incidence())):
        held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        assert H.memory_estimate(form) >= held, form  # type: ignore[arg-type]
    assert H.memory_estimate("vector") == H.history_state(np.eye(H.d, dtype=H.dtype)[0]).nbytes
