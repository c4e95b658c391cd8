"""The three data spaces of a machine: dimensions, gaps and degeneracies, merging and its cure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuits.validation.literal_clock import clock_hamiltonian
from hamiltonians import ClockHamiltonian, InputError, TuringMachine, ground_state, state
from hamiltonians.components import Paths
from tests.systems import reference
from tests.systems.machines import (
    BB2,
    BB3_STEPS,
    CASES,
    CERTAIN,
    EQUALITY,
    ERASER,
    HALTED,
    ONE_STEP,
    ONE_SYMBOL,
    SHUTTLE,
    STAYS,
    UNEVEN,
    Case,
    Certain,
    busy_beaver,
    example_machines,
)  # fmt: skip
from tests.systems.step_lists import degeneracy, gap

cases = pytest.mark.parametrize("case", CASES, ids=str)
certain = pytest.mark.parametrize("known", CERTAIN, ids=lambda k: k.machine.name)


def path_gap(T: int) -> float:
    return 2 - 2 * np.cos(np.pi / (T + 1))


# ------------------------------------------------------------------------------------ the printed table


@certain
def test_steps_and_ones(known: Certain) -> None:
    run = reference.simulate(known.machine)
    assert (run.T, len(run.snapshots[-1][2])) == (known.steps, known.ones)
    trajectory = known.machine.run()
    assert (trajectory.steps, trajectory.output.count("1")) == (known.steps, known.ones)


@pytest.mark.parametrize(
    ("table", "steps", "ones"), [("1RB2LB1RZ_2LA2RB1LB", 38, 9), ("1RB2LA1RA1RA_1LB1LA3RB1RZ", 3_932_964, 2050)]
)
def test_steps_and_ones_of_more_symbols(table: str, steps: int, ones: int) -> None:
    trajectory = busy_beaver(table).run()
    assert trajectory.steps == steps
    assert sum(symbol != "0" for symbol in trajectory.output) == ones


@certain
def test_tape_space_of_the_table(known: Certain) -> None:
    H = ClockHamiltonian.from_machine(known.machine, "tape")
    assert H.dimension == known.tape_dimension
    result = ground_state(H, 1)
    assert result.gap == pytest.approx(known.gap, abs=known.digits if known.gap > 1e-3 else 5e-9)
    assert path_gap(known.steps) == pytest.approx(known.path_gap, abs=known.digits)
    assert result.gap < path_gap(known.steps)
    assert result.degeneracy == 1


def test_equality_of_the_two_gaps() -> None:
    case = Case(EQUALITY, "tape")
    assert gap(case.spectrum) == pytest.approx(path_gap(case.literal.T), rel=1e-12)
    assert ground_state(case.H).gap == pytest.approx(path_gap(case.literal.T), rel=1e-12)


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_spare_cells_multiply_the_ground_space(spare: int) -> None:
    case = Case(BB2, "tape", (("tape_cells", 4 + spare),))
    assert degeneracy(case.spectrum) == case.H.restricted().zero_modes == 2**spare
    assert ground_state(case.H, 1).degeneracy == 2**spare


# ------------------------------------------------------------------------------------ all small machines


@cases
def test_ground_space_and_gap_of_the_whole_space(case: Case) -> None:
    result = ground_state(case.H)
    expected = gap(case.spectrum)
    assert result.degeneracy == degeneracy(case.spectrum)
    if expected is None:
        assert result.gap is None
        return
    assert result.gap == pytest.approx(expected, rel=1e-11)
    T = case.literal.T
    if case.space == "configuration":
        assert expected == pytest.approx(min(path_gap(T), 1), rel=1e-11)
    if case.space == "tape":
        cells = (
            round(np.log(case.literal.d) / np.log(len(case.machine.alphabet))) if len(case.machine.alphabet) > 1 else 1
        )
        read = {cell for cell, _, _ in reference.simulate(case.machine).operations}
        unread = cells - len(read)
        assert result.degeneracy == len(case.machine.alphabet) ** unread
        if T:
            assert expected <= path_gap(T) * (1 + 1e-12)


@cases
def test_dimension_is_exact(case: Case) -> None:
    assert case.H.dimension == case.literal.d * (case.literal.T + 1)
    assert case.H.T == case.literal.T
    assert case.H.space == case.space


def function_cases() -> list[Case]:
    return [c for c in CASES if c.space == "function"]


@pytest.mark.parametrize("case", function_cases(), ids=str)
def test_function_space_gap(case: Case) -> None:
    """One ground state an input; with H_in one, and the gap 2 - 2cos(π/(2T+3)) where there were at least two.

    Rows off the histories have energy 1 at the clock ends (2 at the first with H_in), 2 between: for T = 1 that is
    below the path's 2 - 2cos(π/2) = 2.
    """
    T, inputs = case.literal.T, len(case.literal.live)
    selected = case.literal.initial is not None
    assert degeneracy(case.spectrum) == (1 if selected else inputs)
    candidates = [path_gap(T)] if T else []
    if selected and inputs >= 2:
        candidates.append(2 - 2 * np.cos(np.pi / (2 * T + 3)))
    ends = {path[-1] for path in case.literal.live}
    if T and case.literal.d > len(ends):
        candidates.append(1.0)
    if candidates:
        assert gap(case.spectrum) == pytest.approx(min(candidates), rel=1e-10)


@pytest.mark.parametrize("case", [c for c in function_cases() if c.literal.initial is None and c.literal.T], ids=str)
def test_steps_completed_to_permutations(case: Case) -> None:
    """d ground states, the frame V exists, and the gap is that of a path."""
    H = ClockHamiltonian.from_steps(case.H.steps.completed().images)
    result = ground_state(H, 1)
    assert H.steps.unitary
    assert result.degeneracy == case.literal.d
    assert result.gap == pytest.approx(path_gap(case.literal.T), rel=1e-11)
    # on the live configurations nothing has changed
    psi0 = case.H.history()
    assert state.residual(H, psi0, 0.0) < 1e-14


# ------------------------------------------------------------------------------------ Eq. (40)


@pytest.mark.parametrize("case", [c for c in CASES if c.literal.T and c.literal.initial is None], ids=str)
def test_eq40_as_printed_has_energy_one_over_T(case: Case) -> None:
    psi = case.literal.history().reshape(case.literal.d, -1).copy()
    psi[:, 0] = 0
    psi = psi.reshape(-1) / np.linalg.norm(psi)
    H = case.literal.matrix()
    assert psi @ H @ psi == pytest.approx(1 / case.literal.T, rel=1e-12)
    assert state.energy(case.H, case.H.history(), without_clock=0) == pytest.approx(1 / case.literal.T, rel=1e-12)


@cases
def test_output_stands_on_the_last_clock_state(case: Case) -> None:
    readout = case.H.readout
    for word, start in readout.starts.items():
        run = readout.trajectories[word]
        last = int(state.walk(case.H, start, 0, case.H.clock_states)[-1]) // case.H.clock_states
        assert readout.output(last) == run.output
        reference_run = reference.simulate(case.machine, run.input)
        separator = "" if all(len(s) == 1 for s in case.machine.alphabet) else " "
        assert run.output == reference_run.output(case.machine.blank, separator)


# ------------------------------------------------------------------------------------ nothing to do


@pytest.mark.parametrize("machine", [HALTED, UNEVEN, ONE_STEP])
def test_no_step_at_all(machine: TuringMachine) -> None:
    """T = 0: H = 0 on a clock of one state, in every space; with H_in it is the projector alone."""
    stuck = TuringMachine("stuck", machine.alphabet, machine.blank, ("a",), "a", frozenset("a"), {}, ())
    for space, options, d in (
        ("configuration", {}, 1),
        ("tape", {}, 1),
        ("tape", {"tape_cells": 2}, len(machine.alphabet) ** 2),
        ("function", {"input_length": 2}, (len(machine.alphabet) - 1) ** 2),
    ):
        H = ClockHamiltonian.from_machine(stuck, space, **options)
        assert (H.T, H.d, H.dimension) == (0, d, d)
        assert H.to_sparse().nnz == 0 or abs(H.to_sparse()).max() == 0
        result = ground_state(H)
        assert (result.degeneracy, result.gap) == (d, None)
        np.testing.assert_array_equal(result.energies, np.zeros(min(4, d)))
    word = (machine.alphabet[-1],) * 2
    H = ClockHamiltonian.from_machine(stuck, "function", input_length=2, input=word)
    np.testing.assert_array_equal(np.sort(H.to_sparse().diagonal()), [0.0] + [1.0] * (H.d - 1))
    assert ground_state(H).gap == (1.0 if H.d > 1 else None)


# ------------------------------------------------------------------------------------ merging


def merging() -> list[tuple[TuringMachine, int]]:
    machines = [ERASER, *example_machines()]
    found = []
    for machine in machines:
        for length in (1, 2) if machine.input_symbols and "1LC1RB" not in machine.name else ():
            literal = reference.function_space(machine, length)
            if reference.merges(literal) and literal.d * (literal.T + 1) <= 1000:
                found.append((machine, length))
    return found


MERGING = merging()


@pytest.mark.parametrize(("machine", "length"), MERGING, ids=[f"{m.name}-{n}" for m, n in MERGING])
def test_merging_is_refused_and_bennett_cures_it(machine: TuringMachine, length: int) -> None:
    with pytest.raises(InputError, match=r"step \d+ merges two configurations, \[state .*\] \(input .*\) and \[state"):
        ClockHamiltonian.from_machine(machine, "function", input_length=length)
    literal = reference.function_space(machine, length)
    assert np.linalg.eigvalsh(literal.matrix())[0] < -1e-3  # what the refusal protects from
    worst = []
    for U in literal.steps:
        term = clock_hamiltonian([U], literal.d)
        worst.append(np.linalg.eigvalsh(term)[0])
    assert min(worst) <= 1 - np.sqrt(2) + 1e-12
    cured = ClockHamiltonian.from_machine(machine, "function", input_length=length, history="bennett")
    assert ground_state(cured, 1).degeneracy == len(literal.live)


def test_the_merging_step_and_both_configurations_are_named() -> None:
    with pytest.raises(InputError) as caught:
        ClockHamiltonian.from_machine(ERASER, "function", input_length=1)
    message = str(caught.value)
    assert "step 1 merges" in message
    assert "[state start, head on cell 0, tape '0' from cell 0] (input '0')" in message
    assert "[state start, head on cell 0, tape '1' from cell 0] (input '1')" in message
    assert "into [state start, head on cell 1, tape '' from cell 0]" in message
    assert "bennett" in message


def test_a_run_that_meets_an_idle_one_merges_too() -> None:
    """Input b halts at once in the state and on the tape into which input a comes with its first step."""
    meets = TuringMachine(
        "meets", ("_", "a", "b"), "_", ("s",), "s", frozenset("s"), {("s", "a"): _rule("s", "b", 0)}, ()
    )
    literal = reference.function_space(meets, 1)
    assert reference.merges(literal)
    with pytest.raises(InputError, match="step 1 merges"):
        ClockHamiltonian.from_machine(meets, "function", input_length=1)


def _rule(to_state: str, write: str, move: int):  # type: ignore[no-untyped-def]
    from hamiltonians import Rule

    return Rule(to_state, write, move)


# ------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("space", "options", "reason"),
    [
        ("nowhere", {}, "`space` must be"),
        ("configuration", {"tape_cells": 5}, "`tape_cells` must be left out"),
        ("tape", {"input_length": 2}, "`input_length` must be left out"),
        ("tape", {"history": "bennett"}, "`history` must be left out"),
        ("tape", {"tape_cells": 1}, "`tape_cells` must be at least"),
        ("tape", {"tape_cells": 10**9}, "`tape_cells` must be at most"),
        ("function", {}, "`input_length` must be given"),
        ("function", {"input_length": -1}, "`input_length` must be at least 0"),
        ("function", {"input_length": 2, "history": "other"}, "`history` must be bennett"),
        ("function", {"input_length": 2, "input": "a"}, "`input` must be"),
        ("function", {"input_length": 2, "input": "ax"}, "`input` must be"),
        ("configuration", {"max_steps": 3}, "did not halt within 3 steps"),
        ("configuration", {"max_steps": -3}, "`max_steps` must be"),
        ("configuration", {"input": "x"}, "`input` must be"),
    ],
)
def test_options_that_do_not_fit(space: str, options: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ClockHamiltonian.from_machine(SHUTTLE, space, **options)  # type: ignore[arg-type]


def test_exactly_the_steps_needed_are_enough() -> None:
    T = reference.simulate(BB3_STEPS).T
    assert ClockHamiltonian.from_machine(BB3_STEPS, max_steps=T).T == T
    with pytest.raises(InputError, match="did not halt"):
        ClockHamiltonian.from_machine(BB3_STEPS, max_steps=T - 1)


def test_a_machine_without_input_symbols_is_refused_politely() -> None:
    with pytest.raises(InputError):
        ClockHamiltonian.from_machine(ONE_SYMBOL, "function", input_length=1)


def test_inputs_must_not_differ_by_blanks_alone() -> None:
    machine = replace(BB2, input_alphabet=("0", "1"))  # 0 is its blank: "1" and "10" are one tape
    with pytest.raises(InputError, match="`input_alphabet` must not hold the blank"):
        ClockHamiltonian.from_machine(machine, "function", input_length=2)


def test_the_empty_word_of_a_machine_without_input_symbols() -> None:
    H = ClockHamiltonian.from_machine(ONE_SYMBOL, "function", input_length=0)
    assert (H.T, H.d) == (2, 3)
    assert isinstance(H.restricted(), Paths)


def test_input_longer_than_the_cells_read_keeps_its_tail() -> None:
    H = ClockHamiltonian.from_machine(STAYS, "tape")
    assert H.d == 3  # a single cell is read; the rest of the input is no part of the window
    assert H.readout.output(0) == "two two"
    wide = ClockHamiltonian.from_machine(STAYS, "tape", tape_cells=2)
    assert ground_state(wide, 1).degeneracy == 3


def test_one_trajectory_in_both_of_its_spaces() -> None:
    trajectory = SHUTTLE.run()
    for space in ("configuration", "tape"):
        H = ClockHamiltonian.from_trajectory(trajectory, space)  # type: ignore[arg-type]
        assert abs(H.to_sparse() - ClockHamiltonian.from_machine(SHUTTLE, space).to_sparse()).max() == 0  # type: ignore[arg-type]
    with pytest.raises(InputError, match="space"):
        ClockHamiltonian.from_trajectory(trajectory, "function")
