"""Every solver on every system it applies to, against LAPACK on the literal matrix."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh

from hamiltonians import ClockHamiltonian, Gate, InputError, MemoryEstimateError, ground_state
from hamiltonians.memory import memory_limit
from hamiltonians.paths import PathKind
from hamiltonians.result import GroundState
from hamiltonians.solve import SOLVERS
from hamiltonians.solvers import components, dense, inverse, sweep
from hamiltonians.steps import HistorySteps
from tests.systems.machines import BY_NAME, Case
from tests.systems.step_lists import LISTS, SYSTEMS, StepList, System, degeneracy, embedded, gap, unit, unitary

ALL = [s for s in SOLVERS if s != "auto"]
KRYLOV = ("shift-invert", "lobpcg")
NAMED = (
    "1RB1LB_1LA1RZ-configuration",
    "1RB1LB_1LA1RZ-tape",
    "1RB1LB_1LA1RZ-tape-tape_cells=6",
    "1LB1LZ_1RB0LA-tape",
    "a_single_symbol-tape",
    "halts_at_once-tape-tape_cells=2",
    "one_step-tape",
    "one_step-configuration",
    "runs_of_different_length-function-input_length=2",
    "runs_of_different_length-function-input_length=2-input=00",
    "right_to_the_end,_left_to_the_start,_leaving_marks-function-input_length=1",
)
MACHINES = [BY_NAME[name] for name in NAMED]
EVERYTHING: list[Case | System] = [*MACHINES, *SYSTEMS]

# a solver promises residuals below 1e-6 of the gap; an energy is then wrong by less than the square of that over the
# distance to the next one, and Rayleigh-Ritz energies are sums of squares with relative rounding
ENERGY = 1e-10
ORTHONORMAL = 1e-10


def applies(solver: str, system: Case | System, k: int) -> bool:
    H = system.H
    if solver == "sweep":
        return H.steps.unitary
    return solver not in KRYLOV or H.dimension >= 5 * (min(k, H.dimension) + 1)


def assert_low_end(result: GroundState, system: Case | System, k: int) -> None:
    matrix, spectrum = system.matrix, system.spectrum
    n = len(matrix)
    k = min(k, n)
    assert result.converged, result.message
    assert result.energies.shape == (k,)
    np.testing.assert_allclose(result.energies, spectrum[:k], rtol=0, atol=ENERGY)
    assert np.all(np.diff(result.energies) >= -ENERGY)
    assert result.degeneracy == degeneracy(spectrum)
    expected = gap(spectrum)
    assert (result.gap is None) == (expected is None)
    if expected is not None:
        assert result.gap == pytest.approx(expected, rel=1e-9)

    states = embedded(result, n)
    assert states.shape == (n, k)
    np.testing.assert_allclose(states.conj().T @ states, np.eye(k), rtol=0, atol=ORTHONORMAL)
    residuals = np.linalg.norm(matrix @ states - states * result.energies, axis=0)
    assert residuals.max() <= max(1e-6 * (expected or 0), 1e-12)
    assert result.residual == pytest.approx(residuals[0], abs=1e-13)
    for i in range(k):
        np.testing.assert_array_equal(result.state(i).dense(system.H), states[:, i])


def _runs() -> list[object]:
    """Every solver and system, k = 1 and 4, above the degeneracy, and above the dimension."""
    runs = []
    for system in EVERYTHING:
        d = degeneracy(system.spectrum)
        for k in sorted({1, 4, d + 2, system.H.dimension + 3}):
            for solver in ALL:
                if applies(solver, system, k):
                    runs.append(pytest.param(solver, system, k, id=f"{solver}-{system}-{k}"))
    return runs


@pytest.mark.parametrize(("solver", "system", "k"), _runs())
def test_low_end(solver: str, system: Case | System, k: int) -> None:
    assert_low_end(ground_state(system.H, k, solver), system, k)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", EVERYTHING, ids=str)
def test_auto_chooses_what_applies(system: Case | System) -> None:
    result = ground_state(system.H)
    named = {"components": isinstance(system, Case) or system.path_like, "sweep": system.H.steps.unitary}
    expected = next((name for name, fits in named.items() if fits), "dense")
    assert result.solver == f"{expected} (chosen by auto)"
    assert_low_end(result, system, 4)


@pytest.mark.parametrize("system", EVERYTHING[::3], ids=str)
def test_fewer_vectors_than_energies(system: Case | System) -> None:
    k = min(4, system.H.dimension)
    result = ground_state(system.H, 4, vectors=1)
    assert embedded(result, system.H.dimension).shape == (system.H.dimension, 1)
    np.testing.assert_allclose(result.energies, system.spectrum[:k], rtol=0, atol=ENERGY)


# ------------------------------------------------------------------------------------ hard spectra


def _stacked(d: int, T: int, *, same: bool) -> System:
    """d copies of one path, exactly: every eigenvalue d-fold."""
    rng = np.random.default_rng(d)
    steps = [np.eye(d) if same else unitary(d, rng) for _ in range(T)]
    return System(StepList(f"{d} copies", steps, steps), None, "identical" if same else "turned")


COPIES = [_stacked(12, 7, same=True), _stacked(12, 7, same=False), _stacked(3, 40, same=False)]


@pytest.mark.parametrize(
    ("solver", "system", "k"),
    [
        pytest.param(solver, system, k, id=f"{solver}-{system}-{k}")
        for solver in ALL
        for system in COPIES
        for k in (1, 5, 12, 13, 17)
        if applies(solver, system, k)
    ],
)
def test_no_copy_is_missed(solver: str, system: System, k: int) -> None:
    assert_low_end(ground_state(system.H, k, solver), system, k)  # type: ignore[arg-type]


GENERAL = ("components", "shift-invert", "lobpcg", "dense")


@pytest.mark.parametrize("loss", [1e-13, 1e-12, 1e-10, 1e-8, 1e-4])
@pytest.mark.parametrize("solver", GENERAL)
def test_copies_that_lose_the_same_norm_are_one_level(solver: str, loss: float) -> None:
    """‖ψ‖² - ‖Uψ‖² has an absolute rounding, which is no small part of an energy of the same size."""
    H = ClockHamiltonian.from_steps([(1 - loss) * U for U in COPIES[1].steps.dense])
    result = ground_state(H, 1, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.degeneracy == 12
    assert result.gap == pytest.approx(np.linalg.eigvalsh(H.to_sparse().toarray())[12], rel=1e-9)
    assert result.gap_residual is not None


@pytest.mark.parametrize("loss", [3e-14, 1e-13, 1e-12])
@pytest.mark.parametrize("solver", ["shift-invert", "dense"])
def test_a_loss_just_above_rounding(solver: str, loss: float) -> None:
    """Of sixty data states seven keep their norm but for some hundred epsilons: more than √d, fewer than 16 d."""
    rng = np.random.default_rng(3)
    frames = [unitary(60, rng) for _ in range(6)]
    kept = np.diag([1 - loss] * 7 + [0.5] * 53)
    H = ClockHamiltonian.from_steps([after @ kept @ before.conj().T for before, after in pairwise(frames)])
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    result = ground_state(H, 8, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.degeneracy == 7
    assert result.gap == pytest.approx(spectrum[7], rel=1e-9)
    np.testing.assert_allclose(result.energies, spectrum[:8], rtol=0, atol=H.steps.rounding)


@pytest.mark.parametrize("solver", GENERAL)
def test_levels_that_can_be_told_apart_are_two(solver: str) -> None:
    steps = [np.diag([0.99, 0.99 - 1e-9, 0.5, 0.4, 0.3])] * 4
    H = ClockHamiltonian.from_steps(steps)
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    assert 1e-8 < spectrum[1] / spectrum[0] - 1 < 1e-6
    result = ground_state(H, 1, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.degeneracy == 1
    assert result.gap == pytest.approx(spectrum[1], rel=1e-9)


@pytest.mark.parametrize("solver", ["sweep", "shift-invert", "dense"])
def test_steps_that_count_as_unitary_keep_every_norm(solver: str) -> None:
    """A norm that falls by 5e-14 a step falls by more than the rounding of a product of nine."""
    rng = np.random.default_rng(3)
    H = ClockHamiltonian.from_steps([(1 - 5e-14) * unitary(60, rng) for _ in range(9)], unit(60, rng))
    assert H.steps.unitary
    result = ground_state(H, 2, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.degeneracy == 1
    assert result.gap == pytest.approx(4 * np.sin(np.pi / 21 / 2) ** 2, rel=1e-9)


def test_residuals_are_judged_one_by_one() -> None:
    """Each by a millionth of the gap or, far above it, by a part of its own energy; NaN is not small."""
    H, far = COPIES[0].H, 1e-3
    assert inverse.large_residual(H, [0.0, far], [1e-10, 9e-13], gap=1e-3, gap_residual=1e-9) is None
    assert inverse.large_residual(H, [0.0, 0.1], [1e-16, 9e-11], gap=1e-8, gap_residual=1e-15) is None
    for residuals, gap_residual in (([2e-9], 0.0), ([np.nan], 0.0), ([0.0], 2e-9), ([0.0, 2e-9], None)):
        assert "a residual of" in str(inverse.large_residual(H, [0.0, far], residuals, 1e-3, gap_residual))
    assert inverse.large_residual(H, [0.0], [0.0], 1e-3, 2e-9, gap_rounding=3e-9) is None


def test_a_basis_that_is_too_short_is_made_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty levels 1e-6 apart, and a single restart for each basis."""
    rng = np.random.default_rng(0)
    steps = [np.diag(1 - 1e-6 * np.arange(40))] * 4
    system = System(StepList("forty levels", steps, steps), unit(40, rng, real=True), "vector")
    bases = []

    def told(*arguments: Any, ncv: int, **options: Any) -> Any:
        bases.append(ncv)
        return eigsh(*arguments, ncv=ncv, **options)

    monkeypatch.setattr(inverse, "eigsh", told)
    monkeypatch.setattr(inverse, "_RESTARTS", 1)
    assert_low_end(ground_state(system.H, 4, "shift-invert"), system, 4)
    assert bases[:2] == [20, 40]
    monkeypatch.setattr(inverse, "available_memory", lambda: 0)
    result = ground_state(system.H, 4, "shift-invert")
    assert not result.converged
    assert "Lanczos did not converge with 20 vectors" in result.message


# ------------------------------------------------------------------------------------ the frame V


def _of_odd_sizes(d: int, T: int) -> System:
    rng = np.random.default_rng(d)
    steps = [unitary(d, rng) for _ in range(T)]
    return System(StepList(f"unitary {d}", steps, steps), unit(d, rng), f"{T} steps")


@pytest.mark.parametrize("k", [2, 10**6])
@pytest.mark.parametrize("system", [_of_odd_sizes(7, 6), _of_odd_sizes(3, 14), _of_odd_sizes(1, 5)], ids=str)
def test_sweep_makes_no_krylov_space(system: System, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """H_in, complex steps, odd sizes: two and all of the energies and states of the literal matrix."""
    monkeypatch.setattr(inverse, "eigsh", None)
    assert_low_end(ground_state(system.H, k, "sweep"), system, k)


def test_a_gap_that_the_whole_space_contradicts_is_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    system = _of_odd_sizes(7, 6)
    monkeypatch.setattr(sweep, "census_of", lambda H: {PathKind(H.clock_states, False, False): H.d})
    result = ground_state(system.H, 1, "sweep")
    assert not result.converged
    assert "inverse iteration gives" in result.message


@pytest.mark.parametrize("T", [3, 13, 60])
@pytest.mark.parametrize("solver", ["dense", "sweep", "shift-invert"])
def test_gates_in_single_precision(solver: str, T: int) -> None:
    """They leave residuals near 4e-8 whatever the gap is, and the error of the gap is told."""
    rng = np.random.default_rng(4)
    gates = [Gate(unitary(4, rng).astype(np.complex64), (j % 3, (j + 1) % 3)) for j in range(T)]
    H = ClockHamiltonian.from_steps(gates, unit(8, rng), n_qubits=3)
    result = ground_state(H, 5, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.gap is not None
    exact = np.linalg.eigvalsh(H.to_sparse().toarray())[1]
    assert 1e-8 * exact < abs(result.gap - exact) <= result.error * exact < 1e-3 * exact


@pytest.mark.parametrize("solver", ["components", "sweep"])
def test_energies_of_one_level_ascend(solver: str) -> None:
    """They are those of the states, and every state has a rounding of its own."""
    machine = BY_NAME["1RB1LB_1LA1RZ-tape"].H
    rng = np.random.default_rng(8)
    rotations = ClockHamiltonian.from_steps([unitary(7, rng) for _ in range(5)])
    result = ground_state(machine if solver == "components" else rotations, 42, solver)  # type: ignore[arg-type]
    assert np.all(np.diff(result.energies) >= 0)


@pytest.mark.parametrize(
    ("solver", "d", "k"), [("sweep", 2**16, 1), ("sweep", 2**10, 1000), ("sweep", 2**10, 2000), ("dense", 2**7, 2**8)]
)
def test_memory_that_is_asked_for(solver: str, d: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step: data vectors are half as large as the states, and as many as fill the data space; or all states."""
    asked: list[int] = []
    for module in (sweep, dense):
        monkeypatch.setattr(module, "require_memory", lambda needed, *_: asked.append(needed))
    rng = np.random.default_rng(d)
    for length, count in ((4, 1), (d, k)):  # the first compiles what the second runs
        H = ClockHamiltonian.from_steps([rng.permutation(length)], unit(length, rng))
        tracemalloc.start()
        ground_state(H, count, solver)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert asked[-1] / 2 < peak < asked[-1]


def test_lobpcg_where_it_breaks_down() -> None:
    """The preconditioner is the exact inverse, so that the search directions become dependent after a step or two."""
    system = next(s for s in SYSTEMS if s.steps.name == "rank one, chained" and s.label == "free")
    for seed in range(6):
        assert_low_end(ground_state(system.H, 4, "lobpcg", seed=seed), system, 4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("solver", ["sweep", "shift-invert", "lobpcg"])
def test_seeds_change_nothing_but_the_basis(solver: str, seed: int) -> None:
    assert_low_end(ground_state(COPIES[1].H, 4, solver, seed=seed), COPIES[1], 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", ["components", "sweep", "shift-invert", "lobpcg"])
@pytest.mark.parametrize("T", [300])
def test_a_small_gap(solver: str, T: int) -> None:
    """Gap 1e-4 against ‖H‖ = 4, with H_in: energies keep their relative accuracy."""
    rng = np.random.default_rng(T)
    H = ClockHamiltonian.from_steps([unitary(2, rng) for _ in range(T)], unit(2, rng))
    result = ground_state(H, 1, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.gap == pytest.approx(4 * np.sin(np.pi / (2 * T + 3) / 2) ** 2, rel=1e-8)
    assert abs(result.energies[0]) < 1e-15
    assert result.degeneracy == 1


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["sweep", "shift-invert", "components"])
def test_a_larger_circuit(solver: str) -> None:
    """8,020 rows, the ground space 20-fold."""
    system = _stacked(20, 400, same=False)
    result = ground_state(system.H, 3, solver)  # type: ignore[arg-type]
    assert result.converged, result.message
    assert result.degeneracy == 20
    assert result.gap == pytest.approx(4 * np.sin(np.pi / 401 / 2) ** 2, rel=1e-8)
    H, states = system.H, embedded(result, system.H.dimension)
    for energy, psi in zip(result.energies, states.T, strict=True):
        assert np.linalg.norm(H.to_sparse() @ psi - energy * psi) <= 1e-6 * result.gap


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"solver": "guess"}, "`solver` must be one of"),
        ({"engine": "abacus"}, "`engine` must be one of"),
        ({"k": 0}, "`k` must be an integer, at least 1"),
        ({"k": -2}, "`k` must be an integer, at least 1"),
        ({"k": 2, "vectors": 3}, "`vectors` must be from 1 to k = 2"),
        ({"k": 2, "vectors": 0}, "`vectors` must be"),
    ],
)
def test_bad_requests(options: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ground_state(SYSTEMS[0].H, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", [s for s in EVERYTHING if not s.H.steps.unitary], ids=str)
def test_sweep_needs_unitary_steps(system: Case | System) -> None:
    with pytest.raises(InputError, match="needs unitary steps"):
        ground_state(system.H, solver="sweep")


@pytest.mark.parametrize("solver", KRYLOV)
def test_krylov_methods_need_rows(solver: str) -> None:
    H = ClockHamiltonian.from_steps([np.eye(3)])
    with pytest.raises(InputError, match="so few rows"):
        ground_state(H, 4, solver)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", ["dense", "shift-invert", "lobpcg"])
def test_huge_matrices_are_refused_at_once(solver: str) -> None:
    H = ClockHamiltonian(HistorySteps(47_176_870), "configuration")
    with pytest.raises(MemoryEstimateError, match="free"):
        ground_state(H, solver=solver)  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", ALL)
def test_a_low_limit_is_obeyed(solver: str) -> None:
    system = next(s for s in SYSTEMS if s.steps.name == "gates on four qubits" and s.label == "free")
    token = memory_limit.set(100)
    try:
        with pytest.raises(MemoryEstimateError, match="free"):
            ground_state(system.H, solver=solver)  # type: ignore[arg-type]
    finally:
        memory_limit.reset(token)


def test_initial_within_its_own_tolerance_is_still_a_ground_state() -> None:
    """A norm that is accepted as 1 must not cost the ground state."""
    steps = next(s for s in LISTS if s.name == "complex unitaries")
    x = unit(steps.d, np.random.default_rng(0)) * (1 - 9e-13)
    H = ClockHamiltonian.from_steps(steps.steps, x)
    assert ground_state(H, 1).degeneracy == 1


FAILURES = {
    "Lanczos did not converge": ArpackNoConvergence("No convergence", np.empty(0), np.empty((0, 0))),
    "Lanczos failed": ArpackError(-9),
}


@pytest.mark.parametrize("said", FAILURES)
def test_a_method_that_fails_is_a_result_that_says_so(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise FAILURES[said]

    monkeypatch.setattr(inverse, "eigsh", failing)
    rng = np.random.default_rng(2)
    H = ClockHamiltonian.from_steps([unitary(9, rng) for _ in range(20)], unit(9, rng))
    result = ground_state(H, k=2, solver="shift-invert")
    assert not result.converged
    assert said in result.message


def test_components_too_large_for_lapack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "DENSE_LIMIT", 8)
    rng = np.random.default_rng(3)
    steps = [np.kron(np.diag([1, 0]), unitary(3, rng)) + np.kron(np.diag([0, 1]), unitary(3, rng)) for _ in range(9)]
    H = ClockHamiltonian.from_steps(steps)  # two components of 30 rows
    result = ground_state(H, k=8, solver="components")
    assert result.converged
    spectrum = np.linalg.eigvalsh(H.to_sparse().toarray())
    np.testing.assert_allclose(result.energies, spectrum[:8], atol=ENERGY)
    assert result.degeneracy == degeneracy(spectrum) == 6
    assert result.gap == pytest.approx(gap(spectrum), abs=ENERGY)
