"""The certificate: true results pass, and every single thing that can be wrong in one is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hamiltonians import ClockHamiltonian, GroundState, InputError, certify, ground_state, state
from hamiltonians.report import Report
from hamiltonians.state import SparseState
from tests.systems import reference
from tests.systems.machines import BB2, BB4, BY_NAME, CASES, EXAMPLES, HALTED, SMALL, Case, example_machines
from tests.systems.step_lists import SYSTEMS, System, degeneracy, gap, unitary

STEPPING = [c for c in SMALL if c.literal.T >= 3]
SPACES = [
    BY_NAME["1RB1LB_1LA1RZ-configuration"],
    BY_NAME["1RB1LB_1LA1RZ-tape"],
    BY_NAME["1RB1LB_1LA1RZ-tape-tape_cells=5"],
    BY_NAME["runs_of_different_length-function-input_length=2"],
    BY_NAME["runs_of_different_length-function-input_length=2-input=00"],
    BY_NAME["parity_bit-function-input_length=3"],
    BY_NAME["erases_its_input,_so_that_runs_merge-function-input_length=3-history=bennett"],
]
spaces = pytest.mark.parametrize("case", SPACES, ids=str)


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


# ------------------------------------------------------------------------------------ what is right


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_small_machine_is_verified(case: Case) -> None:
    H, T = case.H, case.literal.T
    report = certify(H, ground_state(H), seconds=1.5)
    assert report.verified, failed(report)
    assert all(check.passed for check in report.checks)
    assert (report.steps, report.clock_states, report.dimension, report.space) == (
        T,
        T + 1,
        len(case.matrix),
        case.space,
    )
    assert report.ground_energy <= 1e-28
    assert report.residual <= 1e-14
    assert report.history_overlap == pytest.approx(1, abs=1e-13)
    assert report.degeneracy == report.degeneracy_predicted == degeneracy(case.spectrum)
    expected = gap(case.spectrum)
    assert (report.gap is None) == (expected is None)
    if expected is not None:
        assert report.gap == pytest.approx(expected, rel=1e-11)
        assert report.gap_closed_form == pytest.approx(expected, rel=1e-11)
    assert report.printed_eq40_energy == (pytest.approx(1 / T, rel=1e-12) if T else None)
    assert report.printed_eq40_closed_form == (1 / T if T else None)
    assert report.first_bad_step is None
    assert report.seconds == 1.5
    assert json.loads(json.dumps(report.as_dict(), default=str))["verified"] is True
    if case.space != "function":
        run = reference.simulate(case.machine)
        separator = "" if all(len(s) == 1 for s in case.machine.alphabet) else " "
        assert report.output == report.machine_output == run.output(case.machine.blank, separator)
        assert report.final_state == run.snapshots[-1][0]
        assert report.accepted == (run.snapshots[-1][0] in case.machine.finals)


# the busy beaver of five states takes 47 million steps: a benchmark, not a test
BRIEF = [m for m in example_machines() if not m.name.startswith("bb:1RB1LC")]


@pytest.mark.parametrize("machine", BRIEF, ids=lambda m: m.name)
@pytest.mark.parametrize("space", ["configuration", "tape"])
def test_every_example_is_verified(machine: Any, space: str) -> None:
    H = ClockHamiltonian.from_machine(machine, space)  # type: ignore[arg-type]
    report = certify(H, ground_state(H, 1))
    assert report.verified, failed(report)
    assert report.output == machine.run().output


def test_there_are_examples() -> None:
    assert EXAMPLES.is_dir()
    assert len(example_machines()) >= 12


@spaces
@pytest.mark.parametrize("solver", ["components", "dense", "shift-invert"])
def test_the_results_of_other_solvers_are_verified_too(case: Case, solver: str) -> None:
    result = ground_state(case.H, 2, solver)  # type: ignore[arg-type]
    report = certify(case.H, result)
    assert report.verified, failed(report)
    assert report.solver == solver


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s.steps.unitary], ids=str)
def test_unitary_lists_are_verified(system: System) -> None:
    report = certify(system.H, ground_state(system.H))
    assert report.verified, failed(report)
    assert report.degeneracy_predicted == (1 if system.initial is not None else system.steps.d)
    for name in ("machine", "input", "output", "machine_output", "final_state", "accepted"):
        assert getattr(report, name) is None
    if system.initial is None:
        assert report.history_overlap is None
        assert report.printed_eq40_energy is None
    else:
        assert report.history_overlap == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("system", [s for s in SYSTEMS if s.steps.unitary and s.initial is not None], ids=str)
def test_eq40_of_unitary_lists(system: System) -> None:
    report = certify(system.H, ground_state(system.H))
    assert report.printed_eq40_energy == pytest.approx(1 / system.T, rel=1e-11)


@pytest.mark.parametrize("space", ["configuration", "tape", "function"])
def test_without_a_step_what_does_not_apply_is_none(space: str) -> None:
    options = {"input_length": 2} if space == "function" else {}
    stuck = replace(HALTED, rules={}, input=("1", "0"))
    H = ClockHamiltonian.from_machine(stuck, space, **options)  # type: ignore[arg-type]
    report = certify(H, ground_state(H))
    assert report.verified
    for name in ("gap", "gap_closed_form", "gap_history_path", "printed_eq40_energy", "printed_eq40_closed_form"):
        assert getattr(report, name) is None, name
    assert report.first_bad_step is None
    assert report.degeneracy == H.d
    expected: Any = {w: w for w in ("00", "01", "10", "11")} if space == "function" else "10"
    assert report.output == report.machine_output == expected


@pytest.mark.parametrize("system", [s for s in SYSTEMS if not s.steps.unitary], ids=str)
def test_lists_that_lose_norm_are_verified_only_if_a_history_survives(system: System) -> None:
    report = certify(system.H, ground_state(system.H))
    has_zero_mode = bool(system.spectrum[0] < reference.ZERO)
    if system.initial is None:
        assert report.verified == has_zero_mode
    else:
        assert report.verified == (
            has_zero_mode and np.linalg.norm(system.matrix @ system.history(system.initial)) < 1e-12
        )


def test_more_lowest_states_than_were_asked_for() -> None:
    system = next(s for s in SYSTEMS if str(s) == "zero_steps-vector")
    result = ground_state(system.H, k=2)
    assert result.degeneracy == degeneracy(system.spectrum) > 2
    report = certify(system.H, result)
    assert not report.verified
    assert report.history_overlap == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------ a wrong state


def one_clock_wrong(case: Case, clock: int) -> SparseState:
    """The history, with the data at one clock time put into a state where no run is then."""
    psi = case.H.history()
    N = case.H.clock_states
    here = np.flatnonzero(psi.indices % N == clock)
    taken = set((psi.indices[here] // N).tolist())
    free = next(x for x in range(case.H.d) if x not in taken)
    rows = psi.indices.copy()
    rows[here[0]] = free * N + clock
    order = np.argsort(rows)
    return SparseState(rows[order], psi.values[order])


def wrong_from(case: Case, clock: int) -> SparseState:
    """The history, which at one clock time goes astray and then follows the steps as far as they lead."""
    psi = case.H.history()
    N = case.H.clock_states
    start = next(iter(case.H.readout.starts.values()))
    path = state.walk(case.H, start, 0, N)
    taken = set((psi.indices[psi.indices % N == clock] // N).tolist())
    free = next(x for x in range(case.H.d) if x not in taken)
    astray = state.try_walk(case.H, free, clock, N - clock)
    rows = np.concatenate([np.setdiff1d(psi.indices, path[clock:]), astray])
    rows = np.unique(rows)
    return SparseState(rows, np.full(len(rows), 1 / np.sqrt(len(rows))))


def _steps_of(case: Case) -> list[int]:
    T = case.literal.T
    return sorted({1, T // 2, T})


@pytest.mark.parametrize("make", [one_clock_wrong, wrong_from])
@pytest.mark.parametrize(
    ("case", "step"), [pytest.param(c, s, id=f"{c}-step {s}") for c in [*SPACES, *STEPPING[::5]] for s in _steps_of(c)]
)
def test_a_wrong_step_is_named(case: Case, step: int, make: Callable[[Case, int], SparseState]) -> None:
    report = certify(case.H, ground_state(case.H), psi=make(case, step))
    assert not report.verified
    assert report.first_bad_step == step
    assert {"ground energy", "residual", "history overlap"} <= failed(report)
    assert report.ground_energy > 1e-4


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("system", [s for s in SYSTEMS if s.steps.name == "complex unitaries"][1:], ids=str)
def test_a_wrong_step_of_a_circuit_is_named(system: System, step: int, rng: np.random.Generator) -> None:
    X = system.H.clock_major(system.H.history_state())
    X[step] = unitary(system.steps.d, rng) @ X[step]
    for j in range(step, system.T):
        X[j + 1] = system.steps.dense[j] @ X[j]
    psi = system.H.data_major(X)
    report = certify(system.H, ground_state(system.H), psi=SparseState(np.arange(len(psi)), psi))
    assert not report.verified
    assert report.first_bad_step == step


@spaces
def test_a_corrupted_end_changes_the_output(case: Case) -> None:
    result = ground_state(case.H)
    right = certify(case.H, result)
    N, readout = case.H.clock_states, case.H.readout
    psi = case.H.history()
    last = np.flatnonzero(psi.indices % N == N - 1)
    ends = {readout.output(int(x)) for x in psi.indices[last] // N}
    other = next(x for x in range(case.H.d) if readout.output(x) not in ends)
    rows = psi.indices.copy()
    rows[last[0]] = other * N + N - 1
    order = np.argsort(rows)
    report = certify(case.H, result, psi=SparseState(rows[order], psi.values[order]))
    assert report.output != right.output == report.machine_output
    assert "output" in failed(report)
    assert not report.verified


@spaces
def test_the_printed_state_of_eq40_fails(case: Case) -> None:
    T = case.literal.T
    history = case.H.history()
    kept = history.indices % (T + 1) > 0
    printed = SparseState(history.indices[kept], history.values[kept])
    report = certify(case.H, ground_state(case.H), psi=printed)
    assert not report.verified
    assert report.ground_energy == pytest.approx(1 / T, rel=1e-12)
    assert report.first_bad_step == 1
    assert report.history_overlap == pytest.approx(T / (T + 1), rel=1e-12)


@spaces
def test_small_errors_are_seen(case: Case, rng: np.random.Generator) -> None:
    """A perturbation whose residual is above 1e-6 of the gap fails, one at rounding passes."""
    result, psi = ground_state(case.H), case.H.history()
    noise = rng.standard_normal(len(psi.values))
    assert not certify(case.H, result, psi=SparseState(psi.indices, psi.values + 1e-5 * noise)).verified
    assert certify(case.H, result, psi=SparseState(psi.indices, psi.values + 1e-15 * noise)).verified


def test_a_state_of_any_norm_is_normalised() -> None:
    case = SPACES[1]
    psi = case.H.history()
    assert certify(case.H, ground_state(case.H), psi=SparseState(psi.indices, 17 * psi.values)).verified
    with pytest.raises(InputError, match="no part"):
        certify(case.H, ground_state(case.H), psi=SparseState(psi.indices, 0 * psi.values))


def test_the_wrong_input_is_not_blamed_on_a_step() -> None:
    """Another input's history violates H_in alone: no step is bad, or the first one; there is no step T + 1."""
    selected = BY_NAME["parity_bit-function-input_length=2-input=11"]
    everyone = BY_NAME["parity_bit-function-input_length=2"]
    x = everyone.H.readout.starts["01"]
    rows = np.sort(state.walk(everyone.H, x, 0, everyone.H.clock_states))
    psi = SparseState(rows, np.full(len(rows), len(rows) ** -0.5))
    report = certify(selected.H, ground_state(selected.H), psi=psi)
    assert not report.verified
    assert report.first_bad_step is None or report.first_bad_step <= selected.H.T


# ------------------------------------------------------------------------------------ a wrong result

WRONG: dict[str, tuple[Callable[[GroundState], dict[str, Any]], str]] = {
    "degeneracy too high": (lambda r: {"degeneracy": r.degeneracy + 1}, "degeneracy"),
    "degeneracy too low": (lambda r: {"degeneracy": r.degeneracy - 1}, "degeneracy"),
    "gap too high": (lambda r: {"gap": r.gap * (1 + 1e-8)}, "gap"),
    "gap too low": (lambda r: {"gap": r.gap * (1 - 1e-8)}, "gap"),
    "energy": (lambda r: {"energies": r.energies + 1e-6}, "lowest energy"),
    "an energy above the ground space": (
        lambda r: {"energies": np.append(r.energies[:-1], 3.9)},
        "",
    ),
    "not converged": (lambda _: {"converged": False}, "converged"),
}


@pytest.mark.parametrize("name", WRONG)
@spaces
def test_a_wrong_result_fails(case: Case, name: str) -> None:
    change, check = WRONG[name]
    result = ground_state(case.H)
    changed = replace(result, **change(result))
    report = certify(case.H, changed, psi=case.H.history())
    assert not report.verified
    assert not check or check in failed(report)


@spaces
def test_a_missing_gap_fails(case: Case) -> None:
    report = certify(case.H, replace(ground_state(case.H), gap=None), psi=case.H.history())
    assert not report.verified


def test_the_gap_of_the_history_path_is_not_that_of_tape_space() -> None:
    case = BY_NAME["1RB1LB_1LA1RZ-tape"]
    report = certify(case.H, replace(ground_state(case.H), gap=2 - 2 * np.cos(np.pi / 7)))
    assert failed(report) == {"gap"}


def test_a_gap_where_there_is_none_fails() -> None:
    H = ClockHamiltonian.from_machine(replace(HALTED, rules={}), "configuration")
    report = certify(H, replace(ground_state(H), gap=1.0))
    assert failed(report) == {"gap"}


def test_a_wrong_state_of_the_result_itself_fails() -> None:
    case = SPACES[0]
    result = ground_state(case.H, 2)
    assert not certify(case.H, replace(result, states=result.states[:, ::-1])).verified


@pytest.mark.slow
@pytest.mark.parametrize("space", ["configuration", "tape"])
def test_bb4(space: str) -> None:
    H = ClockHamiltonian.from_machine(BB4, space)  # type: ignore[arg-type]
    report = certify(H, ground_state(H))
    assert report.verified
    assert report.output == "10111111111111"
    assert BB2.run().output == "1111"
