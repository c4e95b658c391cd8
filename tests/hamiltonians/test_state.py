"""States by their non-zero rows, against dense vectors: also those that do not fill whole components."""

from __future__ import annotations

import numpy as np
import pytest

from hamiltonians import ClockHamiltonian, InputError, MemoryEstimateError, state
from hamiltonians.memory import memory_limit
from hamiltonians.state import SparseState
from tests.systems import reference
from tests.systems.machines import SMALL, Case
from tests.systems.step_lists import SYSTEMS, System

EPSILON = np.finfo(float).eps
MONOMIAL = [s for s in SYSTEMS if s.steps.monomial]  # with any H_in
monomial = pytest.mark.parametrize("system", [*SMALL[::2], *MONOMIAL], ids=str)
FILLED = pytest.mark.parametrize("filled", [0.0, 0.2, 0.6, 1.0], ids=["a row", "few", "most", "all"])


def random_state(
    n: int, filled: float, rng: np.random.Generator, *, real: bool = False
) -> tuple[SparseState, np.ndarray]:
    """A state on a random part of the rows, and the same as a vector."""
    rows = np.flatnonzero(rng.random(n) < filled)
    rows = rng.integers(n, size=1) if len(rows) == 0 else rows
    values = rng.standard_normal(len(rows)) + (0 if real else 1j * rng.standard_normal(len(rows)))
    dense = np.zeros(n, values.dtype)
    dense[rows] = values
    return SparseState(rows, values), dense


@monomial
@FILLED
def test_functions_of_one_state(system: Case | System, filled: float, rng: np.random.Generator) -> None:
    H, matrix = system.H, system.matrix
    for real in (False, True):
        psi, dense = random_state(len(matrix), filled, rng, real=real)
        norm = np.linalg.norm(dense)
        slack = 64 * EPSILON * norm  # a row of H has at most 3 + d entries
        assert psi.norm() == pytest.approx(norm, rel=1e-14)
        np.testing.assert_array_equal(psi.dense(H), dense)

        image = state.apply(H, psi)
        assert np.all(np.diff(image.indices) > 0)
        np.testing.assert_allclose(image.dense(H), matrix @ dense, rtol=0, atol=slack)

        for energy in (0.0, 1.3):
            expected = np.linalg.norm(matrix @ dense - energy * dense)
            assert state.residual(H, psi, energy) == pytest.approx(expected, rel=1e-12, abs=slack)

        assert state.energy(H, psi) == pytest.approx((dense.conj() @ matrix @ dense).real / norm**2, rel=1e-12)
        np.testing.assert_allclose(
            state.bond_energies(H, psi), H.bond_energies(H.clock_major(dense)), rtol=0, atol=64 * EPSILON * norm**2
        )


@monomial
def test_energy_without_one_clock_time(system: Case | System, rng: np.random.Generator) -> None:
    psi, dense = random_state(system.H.dimension, 0.8, rng)
    for clock in range(system.H.clock_states):
        cut = dense.reshape(-1, system.H.clock_states).copy()
        cut[:, clock] = 0
        cut = cut.reshape(-1)
        if np.linalg.norm(cut) == 0:
            continue
        expected = (cut.conj() @ system.matrix @ cut).real / np.linalg.norm(cut) ** 2
        assert state.energy(system.H, psi, without_clock=clock) == pytest.approx(expected, rel=1e-11)


@monomial
@FILLED
def test_clock_slice(system: Case | System, filled: float, rng: np.random.Generator) -> None:
    psi, dense = random_state(system.H.dimension, filled, rng)
    for clock in range(system.H.clock_states):
        data, values = psi.clock_slice(system.H, clock)
        at_clock = np.zeros(system.H.d, complex)
        at_clock[data] = values
        np.testing.assert_array_equal(at_clock, dense.reshape(-1, system.H.clock_states)[:, clock])


@monomial
@FILLED
def test_block(system: Case | System, filled: float, rng: np.random.Generator) -> None:
    rows = random_state(system.H.dimension, filled, rng)[0].indices
    block = state.block(system.H, rows).toarray()
    np.testing.assert_allclose(block, system.matrix[np.ix_(rows, rows)], rtol=0, atol=4 * EPSILON)


def test_combine_and_inner(rng: np.random.Generator) -> None:
    n = 40
    states, dense = zip(*(random_state(n, filled, rng) for filled in (0.5, 0.0, 1.0, 0.3)), strict=True)
    coefficients = rng.standard_normal(4) + 1j * rng.standard_normal(4)
    total = state.combine(coefficients, states)
    expected = np.zeros(n, complex)
    expected[total.indices] = total.values
    np.testing.assert_allclose(expected, np.tensordot(coefficients, np.stack(dense), 1), rtol=0, atol=64 * EPSILON)
    for a, x in zip(states, dense, strict=True):
        for b, y in zip(states, dense, strict=True):
            assert state.inner(a, b) == pytest.approx(np.vdot(x, y), abs=64 * EPSILON)
    same = state.combine([1.0, 2.0], [states[0], states[0]])
    np.testing.assert_allclose(same.values, 3 * states[0].values, rtol=4 * EPSILON)
    assert state.combine([1j, 1j], [SparseState(np.array([1]), np.array([1j]))] * 2).values.dtype == float


def test_inner_of_states_that_do_not_meet() -> None:
    a, b = (SparseState(np.array(rows), np.ones(2)) for rows in ([0, 2], [1, 3]))
    assert state.inner(a, b) == 0


def test_sums_in_pieces_are_right() -> None:
    n = 3 * 2**12 + 5
    a, b = np.arange(n) + 1j, np.ones(n)
    assert state.dot(a, b) == np.vdot(a, b)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_walk_follows_the_run(case: Case) -> None:
    H, N = case.H, case.H.clock_states
    for path, start in zip(case.literal.live, case.H.readout.starts.values(), strict=False):
        rows = state.walk(H, start, 0, N)
        np.testing.assert_array_equal(rows % N, np.arange(N))
        if case.space != "function":
            np.testing.assert_array_equal(rows // N, path)
        middle = int(rows[N // 2])
        np.testing.assert_array_equal(state.walk(H, middle // N, N // 2, N - N // 2), rows[N // 2 :])


def test_walk_refuses_what_is_not_there() -> None:
    H = ClockHamiltonian.from_steps([np.array([1, -1, 2]), np.array([0, 2, -1])])
    np.testing.assert_array_equal(state.try_walk(H, 2, 0, 3), [6, 7])
    with pytest.raises(InputError, match="data state 2 at clock 0 ends after 2 rows, not 3"):
        state.walk(H, 2, 0, 3)
    token = memory_limit.set(10)
    try:
        with pytest.raises(MemoryEstimateError, match="free"):
            state.walk(H, 0, 0, 3)
    finally:
        memory_limit.reset(token)


def test_row_numbers_beyond_64_bits_are_refused() -> None:
    from hamiltonians.steps import CellSteps

    H = ClockHamiltonian(CellSteps(np.zeros(1, int), np.zeros(1, np.uint8), np.zeros(1, np.uint8), 2, 80), "tape")
    assert not H.has_row_numbers
    with pytest.raises(InputError, match="2\\^63"):
        state.walk(H, 0, 0, 2)


@pytest.mark.parametrize("case", [c for c in SMALL if c.literal.T], ids=str)
def test_the_history_has_no_bond_energy_and_a_broken_one_has(case: Case) -> None:
    history = case.H.history()
    assert state.bond_energies(case.H, history).max() < 1e-30
    values = history.values.copy()
    values[0] = -values[0]
    clock = int(history.indices[0]) % case.H.clock_states
    broken = state.bond_energies(case.H, SparseState(history.indices, values))
    touched = [j for j in (clock - 1, clock) if 0 <= j < case.literal.T]
    np.testing.assert_allclose(np.flatnonzero(broken[:-1] > 1e-20), touched)
    np.testing.assert_allclose(broken[touched], (2 * values[0]) ** 2, rtol=1e-12)


def test_terms_are_those_of_the_printed_sum(rng: np.random.Generator) -> None:
    for system in MONOMIAL:
        psi, dense = random_state(system.H.dimension, 0.7, rng)
        terms = reference.printed_energy_terms(system.steps.dense, dense.reshape(system.steps.d, -1))
        np.testing.assert_allclose(state.bond_energies(system.H, psi)[:-1], terms, rtol=0, atol=1e-13)
