"""Ground states on the ranks against LAPACK on the literal matrix and against the numpy engine.

    mpirun -n 2 python -m pytest tests/mpi/collective/test_search.py

Every rank computes the expected numbers for itself, so that 1, 2 and 4 ranks agree with one another as they agree with
them. States are on rank 0; they are handed to all ranks before they are looked at, so that a check fails everywhere.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamiltonians import ClockHamiltonian, InputError, MemoryEstimateError, certify, ground_state, load_machine
from hamiltonians.memory import memory_limit
from hamiltonians.progress import no_progress
from hamiltonians.readers.examples import Example, examples
from hamiltonians.result import GroundState
from hamiltonians.slepc import checkpoint, krylov, search, shells
from hamiltonians.slepc.frame import frame_of
from hamiltonians.slepc.libraries import Libraries
from hamiltonians.slepc.shells import ShiftInvert
from tests.systems.machines import BB3_STEPS, BB4, BY_NAME, SOME, Case
from tests.systems.step_lists import SYSTEMS, StepList, System, contraction, degeneracy, embedded, gap, unit, unitary

SOLVERS = ("sweep", "shift-invert")
# the engine promises 1e-10: LAPACK on the literal matrix errs by a few hundred roundings of ‖H‖ = 5
ENERGY = 1e-10
ROUNDING = 1e-12
ORTHONORMAL = 1e-10
ON_BOTH_SIDES = BY_NAME["right_to_the_end,_left_to_the_start,_leaving_marks-function-input_length=1"]
EVERYTHING: list[Case | System] = [*SOME, ON_BOTH_SIDES, *SYSTEMS]


def found(libraries: Libraries, H: ClockHamiltonian, *arguments: Any, **options: Any) -> GroundState:
    """Rank 0's result on all ranks, after a check that the others' have the same numbers and no rows."""
    if H.dtype.kind == "c" and libraries.build == "real":
        pytest.skip("complex steps need the complex build")
    own = ground_state(H, *arguments, engine="slepc", **options)
    comm = libraries.comm
    if comm.rank:
        assert own.states.shape == (0, own.states.shape[1])
        assert len(own.indices) == 0
    numbers = {f.name: getattr(own, f.name) for f in fields(own) if f.name not in ("states", "indices")}
    numbers["energies"] = own.energies.tobytes()
    assert all(other == numbers for other in comm.allgather(numbers))
    return comm.bcast(own, root=0)


def assert_low_end(low: GroundState, system: Case | System, k: int) -> None:
    matrix, spectrum = system.matrix, system.spectrum
    n, expected = len(matrix), gap(system.spectrum)
    k = min(k, n)
    assert low.converged, low.message
    np.testing.assert_allclose(low.energies, spectrum[:k], rtol=ENERGY, atol=ROUNDING)
    assert low.degeneracy == degeneracy(spectrum)
    assert low.gap == (None if expected is None else pytest.approx(expected, rel=ENERGY, abs=ROUNDING))
    assert (low.gap_residual is None) == (expected is None)
    states = embedded(low, n)
    assert states.shape == (n, k)
    np.testing.assert_allclose(states.conj().T @ states, np.eye(k), rtol=0, atol=ORTHONORMAL)
    allowed = max(1e-6 * (expected or 0), ROUNDING)
    assert np.linalg.norm(matrix @ states - states * low.energies, axis=0).max() <= allowed
    assert max(low.residual, low.gap_residual or 0) <= allowed


def assert_like_numpy(low: GroundState, H: ClockHamiltonian, k: int) -> None:
    truth = ground_state(H, k)
    np.testing.assert_allclose(low.energies, truth.energies, rtol=ENERGY, atol=ROUNDING)
    assert low.converged, low.message
    assert low.degeneracy == truth.degeneracy
    assert low.gap == (None if truth.gap is None else pytest.approx(truth.gap, rel=ENERGY))


# ------------------------------------------------------------------------------------ every kind of step


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("system", EVERYTHING, ids=str)
def test_low_end(libraries: Libraries, system: Case | System, solver: str) -> None:
    """The gap alone, which needs the least rows, and a few energies above the ground space."""
    few = min(degeneracy(system.spectrum) + 2, system.H.dimension)
    for k in (1, few):
        assert_low_end(found(libraries, system.H, k, solver), system, k)


@pytest.mark.parametrize("system", EVERYTHING[::3], ids=str)
def test_all_of_a_spectrum(libraries: Libraries, system: Case | System) -> None:
    k = system.H.dimension
    assert_low_end(found(libraries, system.H, k, "sweep"), system, k)


def _random(seed: int) -> System:
    """Unitary steps or contractions of some kind, large enough for a Krylov space."""
    rng = np.random.default_rng(seed)
    d, T, real = int(rng.integers(9, 13)), int(rng.integers(7, 12)), seed % 2 == 0
    kind = ("permutations", "partial", "unitary", "contractions")[seed // 2 % 4]
    if kind in ("permutations", "partial"):
        images = np.array([rng.permutation(d) for _ in range(T)])
        if kind == "partial":
            images[rng.random((T, d)) < 0.02] = -1
        dense = [np.where((row >= 0) & (np.arange(d)[:, None] == row), 1.0, 0.0) for row in images]
        steps: list[Any] = list(images)
    elif kind == "unitary":
        steps = dense = [unitary(d, rng, real=real) for _ in range(T)]
    else:
        values = np.concatenate([[1.0], rng.random(d - 1)])
        steps = dense = [contraction(d, values, rng, real=real) for _ in range(T)]
    initial = (None, np.eye(d)[d // 2], unit(d, rng, real=real))[seed % 3]
    return System(StepList(f"{kind} {seed}", steps, dense), initial, "random")


@pytest.mark.parametrize(
    ("solver", "seed"), [(solver, seed) for seed in range(24) for solver in SOLVERS[: 2 if seed % 3 == 0 else 1]]
)
def test_random_steps(libraries: Libraries, solver: str, seed: int) -> None:
    system = _random(seed)
    k = min(degeneracy(system.spectrum), 4) + 3
    low = found(libraries, system.H, k, solver, seed=seed)
    assert_low_end(low, system, k)
    assert_like_numpy(low, system.H, k)


def _copies(d: int, T: int) -> System:
    """d copies of one path, exactly: every eigenvalue d-fold."""
    rng = np.random.default_rng(d)
    steps = [unitary(d, rng, real=True) for _ in range(T)]
    return System(StepList(f"{d} copies", steps, steps), None, "free")


COPIES = [_copies(12, 9), _copies(3, 40)]
# H_in pins all copies but one, whose energies then are another (d-1)-fold ladder
PINNED = [System(c.steps, np.eye(c.steps.d)[0], "pinned") for c in COPIES]
COLLAPSING = System(StepList("shrinking", s := [0.9 * U for U in COPIES[0].steps.dense], s), None, "free")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("system", "k"),
    [
        (COPIES[0], 5),
        (COPIES[0], 17),
        (COPIES[1], 12),
        (PINNED[0], 13),
        (PINNED[1], 5),
        (COLLAPSING, 1),
        (COLLAPSING, 13),
    ],
    ids=str,
)
def test_no_copy_is_missed(libraries: Libraries, solver: str, system: System, k: int) -> None:
    assert_low_end(found(libraries, system.H, k, solver), system, k)


def test_what_rounding_sets_apart_is_one_level(libraries: Libraries) -> None:
    """Twelve copies that lose 2e-11 of their norm: ‖ψ‖² - ‖Uψ‖² knows that to 1e-5 only."""
    H = ClockHamiltonian.from_steps([(1 - 1e-11) * U for U in COPIES[0].steps.dense])
    low = found(libraries, H, 1, "sweep")
    assert low.converged, low.message
    assert low.degeneracy == 12
    assert low.gap == pytest.approx(gap(COPIES[0].spectrum), rel=1e-9)


def _apart(distance: float) -> System:
    """H_in on twelve norms that differ by so much: the levels above the gap lie as close."""
    rng = np.random.default_rng(0)
    frames = [unitary(12, rng, real=True) for _ in range(5)]
    norms = np.diag(1 - distance * np.arange(12))
    steps = [after @ norms @ before.T for before, after in pairwise(frames)]
    return System(StepList(f"{distance:.0e} apart", steps, steps), unit(12, rng, real=True), "vector")


@pytest.mark.parametrize(("distance", "k"), [(1e-6, 1), (1e-10, 4)])
def test_levels_too_close_for_a_short_basis(libraries: Libraries, distance: float, k: int) -> None:
    """Restarts of a short basis do not separate them in any time; a longer one does."""
    system = _apart(distance)
    low = found(libraries, system.H, k, "sweep")
    assert low.converged, low.message
    np.testing.assert_allclose(low.energies, system.spectrum[:k], rtol=0, atol=ENERGY)
    assert low.gap == pytest.approx(system.spectrum[1], abs=ENERGY)
    told = re.search(r"(\d+) restarts of a basis of (\d+) vectors", low.message)
    assert told
    assert int(told[1]) <= 3 * krylov._RESTARTS
    assert int(told[2]) > krylov.basis_size(k + 1)


def test_a_longer_basis_that_does_not_fit(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryEstimateError("11 vectors: 8 KiB needed, but 0 bytes are free")

    monkeypatch.setattr(krylov, "require_on_ranks", full)
    low = found(libraries, _apart(1e-10).H, 1, "sweep")
    assert not low.converged
    told = r"found 1 of 2 eigenpairs with a basis of 7 vectors, and more do not fit: 11 vectors: 8 KiB needed"
    assert re.search(told, low.message)


def test_energies_far_above_a_small_gap(libraries: Libraries) -> None:
    """A gap of 1e-8: a millionth of it is less than the residuals that energies of 0.1 need."""
    steps = list(COPIES[0].steps.dense)
    steps[4] = steps[4] @ np.diag([1 - 1e-6, 1 - 2e-6] + [0.5] * 10)
    system = System(StepList("two levels and others", steps, steps), None, "free")
    low = found(libraries, system.H, 8, "sweep")
    assert low.converged, low.message
    np.testing.assert_allclose(low.energies, system.spectrum[:8], rtol=1e-9, atol=ROUNDING)


@pytest.mark.parametrize("seed", range(3))
def test_seeds_change_nothing_but_the_basis(libraries: Libraries, seed: int) -> None:
    assert_low_end(found(libraries, COPIES[0].H, 15, "sweep", seed=seed), COPIES[0], 15)


def test_the_start_is_the_same_for_any_number_of_ranks(libraries: Libraries) -> None:
    frame = frame_of(COLLAPSING.H, libraries, 1e-3)
    begin = krylov.Search(frame, ShiftInvert(frame, "sweep"), 5, no_progress)
    whole = np.concatenate(libraries.comm.allgather(begin._random_start().getArray().copy()))
    expected = np.random.Generator(np.random.PCG64([5, 1])).random(COLLAPSING.H.dimension) - 0.5
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("solver", SOLVERS)
def test_polishing_takes_off_what_is_high_in_energy(libraries: Libraries, solver: str) -> None:
    """(H + shift)⁻¹(ψ + ηn) = θ(ψ + ηn'), ‖n'‖ ≤ ‖n‖: the residual falls from η‖H‖ to η(E + shift)."""
    H, shift, eta = COLLAPSING.H, 1e-3, 1e-6
    energies, states = np.linalg.eigh(H.to_sparse().toarray())
    frame = frame_of(H, libraries, shift)
    i = frame.degeneracy
    rough = states[:, i] + eta * unit(H.dimension, np.random.default_rng(3), real=True)
    search = krylov.Search(frame, ShiftInvert(frame, solver), 0, no_progress)
    search.inverse.prepare()
    x = frame.vector()
    x.setArray(rough[slice(*x.getOwnershipRange())])
    assert frame.residual(x, energies[i]) > 0.3 * eta
    (pair,) = search._polished([x])
    assert pair.energy == pytest.approx(energies[i], rel=1e-9)
    assert frame.residual(pair.vector, pair.energy) < 2 * eta * (energies[i] + shift)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_small_gap(libraries: Libraries, solver: str) -> None:
    """Gap 2e-6 against ‖H‖ = 4, with H_in: energies keep their relative accuracy."""
    rng, T = np.random.default_rng(0), 1000
    images = np.array([rng.permutation(5) for _ in range(T)], np.int32)
    H = ClockHamiltonian.from_steps(images, unit(5, rng, real=True))
    low = found(libraries, H, 1, solver)
    assert low.converged, low.message
    assert low.gap == pytest.approx(4 * np.sin(np.pi / (2 * T + 3) / 2) ** 2, rel=ENERGY)


# ------------------------------------------------------------------------------------ the edges


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("d", [1, 2, 40])
@pytest.mark.parametrize("pinned", [False, True])
def test_no_step_at_all(libraries: Libraries, solver: str, d: int, pinned: bool) -> None:
    H = ClockHamiltonian.from_steps([np.arange(d)], np.eye(d)[0] if pinned else None)
    H = replace(H, steps=replace(H.steps, images=H.steps.images[:0]))
    assert H.T == 0
    low = found(libraries, H, min(3, d), solver)
    assert low.converged, low.message
    gapless = d == 1 or not pinned
    assert (low.degeneracy, low.gap) == (1 if pinned else d, None if gapless else pytest.approx(1))
    np.testing.assert_allclose(low.energies, [0] + [float(pinned)] * (min(3, d) - 1), atol=ROUNDING)


def test_fewer_vectors_than_energies(libraries: Libraries) -> None:
    low = found(libraries, COPIES[0].H, 14, "sweep", vectors=2)
    assert low.states.shape == (COPIES[0].H.dimension, 2)
    np.testing.assert_allclose(low.energies, COPIES[0].spectrum[:14], atol=ENERGY)


# ------------------------------------------------------------------------------------ machines


def _small(example: Example) -> bool:
    return example.machine.run().steps <= 60


EXAMPLES = [example for example in examples() if example.path.stem != "busy_beaver_5"]
SMALL = [example for example in EXAMPLES if _small(example)]
BY_INPUT = [e for e in SMALL if e.machine.input_symbols]


def certified(libraries: Libraries, H: ClockHamiltonian, k: int = 4, solver: str = "auto", **options: Any) -> None:
    low = found(libraries, H, k, solver, **options)
    assert_like_numpy(low, H, k)
    report = certify(H, low)
    assert report.verified, [check for check in report.checks if not check.passed]
    assert report.output == report.machine_output


@pytest.mark.parametrize(
    ("example", "solver"),
    [(e, solver) for e in EXAMPLES for solver in SOLVERS[: 2 if _small(e) else 1]],
    ids=lambda part: getattr(part, "path", Path(str(part))).stem,
)
def test_every_example_is_certified(libraries: Libraries, example: Example, solver: str) -> None:
    certified(libraries, ClockHamiltonian.from_machine(example.machine), 4, solver)


def test_the_largest_example_is_refused_in_one_line(libraries: Libraries) -> None:
    machine = next(e.machine for e in examples() if e.path.stem == "busy_beaver_5")
    with pytest.raises((InputError, MemoryEstimateError), match=r"rows|dimension") as raised:
        ground_state(ClockHamiltonian.from_machine(machine), engine="slepc")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cells", [None, 8], ids=["least cells", "8 cells"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_tapes(libraries: Libraries, solver: str, cells: int | None) -> None:
    certified(libraries, ClockHamiltonian.from_machine(BB3_STEPS, "tape", tape_cells=cells), 20, solver)


@pytest.mark.parametrize("selected", [False, True], ids=["all inputs", "one input"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("example", BY_INPUT[::4], ids=lambda e: e.path.stem)
def test_functions_with_their_history(libraries: Libraries, example: Example, solver: str, selected: bool) -> None:
    machine = example.machine
    word = list(machine.input_symbols[:1]) * 2 if selected else None
    try:
        H = ClockHamiltonian.from_machine(machine, "function", input_length=2, history="bennett", input=word)
    except InputError as error:
        pytest.skip(str(error))  # not every machine halts on every word
    certified(libraries, H, 6, solver)


@pytest.mark.slow
def test_a_tape_of_a_million_rows(libraries: Libraries) -> None:
    certified(libraries, ClockHamiltonian.from_machine(BB4, "tape"), 1, "sweep", vectors=1)


def test_the_history_comes_as_its_rows(libraries: Libraries) -> None:
    H = ClockHamiltonian.from_machine(BB3_STEPS, "tape")
    low = found(libraries, H, 1, "sweep")
    history = H.history()
    np.testing.assert_array_equal(low.indices, history.indices)
    np.testing.assert_allclose(low.states[:, 0], history.values, rtol=1e-15)


# ------------------------------------------------------------------------------------ words


def test_the_message_says_what_was_done(libraries: Libraries) -> None:
    ranks = f"{libraries.comm.size} rank{'s' * (libraries.comm.size > 1)}: "
    heard: list[tuple[str, int, int | None]] = []
    shrinking = _random(6).H
    swept = ground_state(shrinking, 3, "sweep", "slepc", progress=lambda *told: heard.append(told))
    assert swept.message.startswith(ranks)
    for words in ("restarts of a basis of", "conjugate gradients", "MiB a rank"):
        assert words in swept.message
    assert swept.solver == "sweep, slepc"
    if libraries.comm.rank == 0:
        assert all(re.fullmatch(r"\d+ eigenpairs converged, restart", what) for what, _, _ in heard)
        assert [done for _, done, _ in heard][:2] == [1, 2]
    else:
        assert not heard
    assert "MUMPS" in ground_state(shrinking, 3, "auto", "slepc").message
    assert "LAPACK" in ground_state(COPIES[0].H, 90, "auto", "slepc").message


# ------------------------------------------------------------------------------------ refusals, on all ranks


@pytest.mark.parametrize("solver", ["components", "lobpcg", "dense"])
def test_other_solvers_are_named(libraries: Libraries, solver: str) -> None:
    with pytest.raises(InputError, match="`solver` must be one of auto, sweep, shift-invert on slepc"):
        ground_state(COPIES[0].H, 1, solver, "slepc")  # type: ignore[arg-type]


@pytest.mark.parametrize("on", ["all ranks", "the last rank"])
def test_a_low_limit_is_obeyed_by_all(libraries: Libraries, on: str) -> None:
    here = on == "all ranks" or libraries.comm.rank == libraries.comm.size - 1
    token = memory_limit.set(100 if here else None)
    try:
        with pytest.raises(MemoryEstimateError, match="needed, but 100 bytes"):
            ground_state(COPIES[0].H, 1, "sweep", "slepc")
    finally:
        memory_limit.reset(token)


def test_rank_0_must_have_room_for_the_states(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for the search itself is left out, so that the limit is met at the end."""
    monkeypatch.setattr(search, "_require_vectors", lambda *_: None)
    rng = np.random.default_rng(5)
    H = ClockHamiltonian.from_steps(np.array([rng.permutation(100) for _ in range(50)], np.int32))
    token = memory_limit.set(300_000)
    try:
        with pytest.raises(MemoryEstimateError, match="30 states of 1,530 rows on rank 0"):
            ground_state(H, 30, "sweep", "slepc")
    finally:
        memory_limit.reset(token)


def test_factors_that_do_not_fit_are_told_by_all(libraries: Libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "_MUMPS_MEMORY", 23)  # of MUMPS: the megabytes that it may take,
    monkeypatch.setattr(shells, "MUMPS_MORE_MEMORY", 1)  # which is far too little
    rng = np.random.default_rng(0)
    H = ClockHamiltonian.from_steps([unitary(40, rng, real=True) for _ in range(150)])
    with pytest.raises(MemoryEstimateError, match="MUMPS has not enough memory"):
        ground_state(H, 1, "shift-invert", "slepc")


@pytest.mark.parametrize("differing", ["steps", "initial", "k", "d", "vectors", "checkpoint"])
def test_all_ranks_must_have_one_problem(libraries: Libraries, file: Path, differing: str) -> None:
    last = libraries.comm.size > 1 and libraries.comm.rank == libraries.comm.size - 1
    d = 9 if last and differing == "d" else 8
    images = np.array([np.roll(np.arange(d), 1 + (last and differing == "steps"))] * 9)
    initial = np.eye(d)[1 if last and differing == "initial" else 0]
    H, k = ClockHamiltonian.from_steps(images, initial), 3 if last and differing == "k" else 2
    options: dict[str, Any] = {"vectors": 1 if last and differing == "vectors" else 2}
    options["checkpoint"] = None if last and differing == "checkpoint" else file
    if libraries.comm.size == 1:
        assert ground_state(H, k, "sweep", "slepc", **options).converged
        return
    with pytest.raises(InputError, match=f"`{differing}` must be the same on all ranks"):
        ground_state(H, k, "sweep", "slepc", **options)


# ------------------------------------------------------------------------------------ checkpoints


@pytest.fixture
def file(libraries: Libraries) -> Iterator[Path]:
    """One name for all ranks; `tmp_path` would have the ranks clear one another's folders."""
    folder = tempfile.mkdtemp() if libraries.comm.rank == 0 else None
    yield Path(libraries.comm.bcast(folder)) / "low.json"
    libraries.comm.Barrier()
    if folder:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _written_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "WRITING_SHARE", 1e9)


PROBLEM = PINNED[0]
K = 9


def _on_rank_0(libraries: Libraries, action: Any) -> None:
    if libraries.comm.rank == 0:
        action()
    libraries.comm.Barrier()


def _stopped(libraries: Libraries, file: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> GroundState:
    """A search that gives up after some restarts."""
    with monkeypatch.context() as patch:
        patch.setattr(krylov, "_RESTARTS", after)
        patch.setattr(krylov, "_MOST_SPARE", krylov.SPARE_VECTORS)
        low = found(libraries, PROBLEM.H, K, "sweep", checkpoint=file)
    assert not low.converged
    assert "Krylov-Schur found" in low.message
    return low


def _inverses(low: GroundState) -> int:
    """How often something was inverted, in this run."""
    told = re.search(r"([\d,]+) times", low.message)
    assert told
    return int(told[1].replace(",", ""))


@pytest.mark.parametrize("after", [2, 3])
def test_going_on_from_a_checkpoint(
    libraries: Libraries, file: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    _stopped(libraries, file, monkeypatch, after)
    saved = json.loads(file.read_bytes())
    assert saved["searched"] == 0
    assert saved["ritz"] > 0
    assert saved["restarts"] == after - 1  # the last one ended the search
    low = found(libraries, PROBLEM.H, K, "sweep", checkpoint=file)
    assert_low_end(low, PROBLEM, K)
    assert f"{after - 1} of them before the checkpoint" in low.message

    plain = found(libraries, PROBLEM.H, K, "sweep")
    assert _inverses(low) < _inverses(plain)
    np.testing.assert_allclose(low.energies, plain.energies, rtol=ENERGY, atol=ROUNDING)
    again = found(libraries, PROBLEM.H, K, "sweep", checkpoint=file)  # at once: nothing is left to do
    assert "0 times (H + shift)⁻¹" in again.message
    assert again.energies.tolist() == low.energies.tolist()
    assert again.gap == low.gap
    np.testing.assert_array_equal(embedded(again, 120), embedded(low, 120))
    assert sorted(p.name for p in file.parent.iterdir()) in (["low.json", f"low.json.vectors{i}"] for i in (0, 1))


def test_a_basis_in_which_nothing_has_converged_is_worth_something(
    libraries: Libraries, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    H = ClockHamiltonian.from_steps(np.array([rng.permutation(30) for _ in range(100)], np.int32))
    monkeypatch.setattr(krylov, "SPARE_VECTORS", 2)  # many restarts
    with monkeypatch.context() as patch:
        patch.setattr(krylov, "_RESTARTS", 3)
        patch.setattr(krylov, "_MOST_SPARE", 2)
        patch.setattr(krylov, "_RESIDUAL", 1e-15)  # never
        assert not found(libraries, H, 30, "sweep", checkpoint=file).converged
    assert json.loads(file.read_bytes())["found"] == 0
    low = found(libraries, H, 30, "sweep", checkpoint=file)
    assert_like_numpy(low, H, 30)
    assert _inverses(low) < _inverses(found(libraries, H, 30, "sweep"))


def test_complete_without_a_search(libraries: Libraries, file: Path) -> None:
    """LAPACK's results are kept too, and those of a lowest energy that is not zero."""
    for system, k in ((COPIES[0], 60), (COLLAPSING, 5)):
        name = file.with_name(str(k))
        low = found(libraries, system.H, k, "sweep", checkpoint=name)
        again = found(libraries, system.H, k, "sweep", checkpoint=name)
        assert_low_end(again, system, k)
        assert again.energies.tolist() == low.energies.tolist()


def _with(key: str, value: Any) -> Any:
    def change(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_bytes()) | {key: value}))

    return change


def _vectors(file: Path) -> Path:
    return file.with_name(json.loads(file.read_bytes())["vectors"])


def _flip(file: Path) -> None:
    whole = bytearray(_vectors(file).read_bytes())
    whole[len(whole) // 2] ^= 1
    _vectors(file).write_bytes(whole)


BROKEN = {
    "empty": (lambda file: file.write_bytes(b""), "that this engine wrote"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-9]), "that this engine wrote"),
    "another JSON": (lambda file: file.write_text('{"format": 3}'), "that this engine wrote"),
    "a list": (lambda file: file.write_text("[]"), "that this engine wrote"),
    "not text": (lambda file: file.write_bytes(b"\xff\x00\x81"), "that this engine wrote"),
    "vectors elsewhere": (_with("vectors", "../other"), "that this engine wrote"),
    "a count below zero": (_with("found", -1), "that this engine wrote"),
    "more than was written": (_with("ritz", 10**6), "is not as it was"),
    "no vectors": (lambda file: _vectors(file).unlink(), "vectors beside it"),
    "torn vectors": (lambda file: _vectors(file).write_bytes(_vectors(file).read_bytes()[:-8]), "is not as it was"),
    "a bit flipped": (_flip, "is not as it was"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "is a folder"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_checkpoint_is_refused(libraries: Libraries, file: Path, broken: str) -> None:
    found(libraries, PROBLEM.H, 2, "sweep", checkpoint=file)
    change, reason = BROKEN[broken]
    _on_rank_0(libraries, lambda: change(file))
    with pytest.raises(InputError, match=reason) as raised:
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file)
    assert str(raised.value).startswith(f"{file}: `checkpoint` must")
    assert "\n" not in str(raised.value)


OTHERS: dict[str, tuple[System, int, str]] = {
    "k = 2, not 3": (PROBLEM, 3, "sweep"),
    "solver = sweep, not shift-invert": (PROBLEM, 2, "shift-invert"),
    "another `initial`": (System(PROBLEM.steps, np.eye(12)[1], "other"), 2, "sweep"),
    "another `steps`": (System(_copies(12, 9).steps, np.eye(12)[0], "other"), 2, "sweep"),
    "d = 12, not 3": (PINNED[1], 2, "sweep"),
    "T = 9, not 8": (System(_copies(12, 8).steps, np.eye(12)[0], "shorter"), 2, "sweep"),
}
OTHERS["another `steps`"][0].steps.dense[3] = -OTHERS["another `steps`"][0].steps.dense[3]


@pytest.mark.parametrize("told", OTHERS)
def test_another_problems_checkpoint_is_refused(libraries: Libraries, file: Path, told: str) -> None:
    found(libraries, PROBLEM.H, 2, "sweep", checkpoint=file)
    before = file.read_bytes()
    system, k, solver = OTHERS[told]
    with pytest.raises(InputError, match=told) as raised:
        ground_state(system.H, k, solver, "slepc", checkpoint=file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert file.read_bytes() == before


def test_numpys_integers_are_integers(libraries: Libraries, file: Path) -> None:
    """A checkpoint is JSON, which rank 0 would fail to write while the others wait."""
    low = ground_state(PROBLEM.H, np.int64(2), "sweep", "slepc", vectors=np.int64(1), checkpoint=file)
    assert low.converged


@pytest.mark.parametrize("taken", ["vectors0", "vectors1"])
def test_a_folder_in_the_place_of_the_vectors_is_told_first(libraries: Libraries, file: Path, taken: str) -> None:
    _on_rank_0(libraries, lambda: file.with_name(f"{file.name}.{taken}").mkdir())
    with pytest.raises(InputError, match=f"{taken}: `checkpoint` must be the name of a file, but is a folder"):
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file)


def test_a_name_that_leaves_no_room_for_its_vectors_is_told_first(libraries: Libraries, file: Path) -> None:
    with pytest.raises(InputError, match="`checkpoint` must be one that can be written, but File name too long"):
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file.with_name("x" * 245))


def test_a_folder_that_is_not_there_is_told_first(libraries: Libraries, file: Path) -> None:
    with pytest.raises(InputError, match="`checkpoint` must be one that can be written"):
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file.parent / "missing" / "low.json")


def test_a_full_disk_is_told(libraries: Libraries, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="of room, but 1000 bytes are free"):
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file)


def test_a_folder_that_is_gone_is_told_by_all(
    libraries: Libraries, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(checkpoint.shutil, "disk_usage", gone)
    with pytest.raises(InputError, match="`checkpoint` must be one that can be written, but No such file"):
        ground_state(PROBLEM.H, 2, "sweep", "slepc", checkpoint=file)


def test_machines_from_files_have_one_fingerprint(libraries: Libraries) -> None:
    H = [ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"), "tape") for _ in range(2)]
    first, second = (checkpoint.fingerprint(h, 4, "sweep", libraries.build) for h in H)
    assert first == second
