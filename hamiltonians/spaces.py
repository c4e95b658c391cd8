"""From a machine to the steps of the three data spaces (Appendix A of the paper; docs/mathematics)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hamiltonians.clock import SPACES, ClockHamiltonian, Space
from hamiltonians.errors import InputError, must_be, one_of
from hamiltonians.machine import DEFAULT_MAX_STEPS, TuringMachine
from hamiltonians.memory import in_figures, require_memory
from hamiltonians.progress import Progress, no_progress
from hamiltonians.readout import ConfigurationReadout, FunctionReadout, TapeReadout
from hamiltonians.steps import CellSteps, HistorySteps, ImageSteps
from hamiltonians.trajectory import Configuration, Trajectory

_MOST_CELLS = 100_000  # of a tape window: |Σ|^cells is an exact integer, and stays one that can be worked with
_LONGEST_INPUT = 60  # 2^60 inputs are refused for their memory; longer ones before they are counted
_BYTES_PER_CONFIGURATION = 600  # a frozen Configuration with a short tape and its dictionary entry, measured


def hamiltonian_of_machine(
    machine: TuringMachine,
    space: Space,
    *,
    input: str | Sequence[str] | None,
    input_length: int | None,
    history: Literal["bennett"] | None,
    tape_cells: int | None,
    max_steps: int | None,
    progress: Progress,
) -> ClockHamiltonian:
    """`ClockHamiltonian.from_machine`, see there."""
    _check_options(space, input_length=input_length, history=history, tape_cells=tape_cells)
    limit = DEFAULT_MAX_STEPS if max_steps is None else max_steps
    if space == "function":
        assert input_length is not None
        return function_hamiltonian(machine, input_length, input, history, limit, progress)
    trajectory = machine.run(input, limit, lambda steps: progress("running the machine", steps, None))
    return hamiltonian_of_trajectory(trajectory, space, tape_cells=tape_cells)


def hamiltonian_of_trajectory(
    trajectory: Trajectory, space: Space, *, tape_cells: int | None = None
) -> ClockHamiltonian:
    """`ClockHamiltonian.from_trajectory`, see there."""
    _check_options(space, tape_cells=tape_cells)
    if space == "configuration":
        return ClockHamiltonian(HistorySteps(trajectory.steps), space, readout=ConfigurationReadout(trajectory))
    if space == "tape":
        return _tape_hamiltonian(trajectory, tape_cells)
    raise must_be("space", "configuration or tape for a single run", space)


def _check_options(space: str, **options: object) -> None:
    if space not in SPACES:
        raise must_be("space", one_of(SPACES), space)
    belongs = {"input_length": "function", "history": "function", "tape_cells": "tape"}
    for name, value in options.items():
        if value is not None and belongs[name] != space:
            raise InputError(f"`{name}` must be left out in the `{space}` space; it belongs to `{belongs[name]}`", name)
    if options.get("history") not in (None, "bennett"):
        raise must_be("history", "bennett", options["history"])
    if space == "function" and options.get("input_length", 0) is None:
        raise InputError("`input_length` must be given in the `function` space", "input_length")


def _tape_hamiltonian(trajectory: Trajectory, tape_cells: int | None) -> ClockHamiltonian:
    first, last = trajectory.cells_read or (0, -1)
    span = last - first + 1
    cells = span if tape_cells is None else tape_cells
    if cells < span:
        raise must_be("tape_cells", f"at least {span}, the span of the cells read", cells)
    if cells > _MOST_CELLS:
        raise must_be("tape_cells", f"at most {_MOST_CELLS:,}", cells)
    done = trajectory.operations()
    base = len(trajectory.machine.alphabet)
    steps = CellSteps(done.cell - first, done.read, done.write, base, cells)
    return ClockHamiltonian(steps, "tape", readout=TapeReadout(trajectory, first, cells))


def function_hamiltonian(
    machine: TuringMachine,
    input_length: int,
    selected: str | Sequence[str] | None,
    history: Literal["bennett"] | None,
    max_steps: int,
    progress: Progress = no_progress,
) -> ClockHamiltonian:
    """All inputs of one length at once (Theorem 5): U_j maps every live configuration at time j to its successor.

    The data basis is the union of all configurations visited. Halted runs idle until the slowest one halts. With
    `history="bennett"` a basis state is a configuration and the list of rules that led to it, which makes steps
    injective.

    Raises
    ------
    InputError : two configurations merge: U_j would be no partial isometry and H not positive; the message names them.
    MemoryEstimateError : the configurations do not fit.
    """
    if input_length < 0:
        raise must_be("input_length", "at least 0", input_length)
    if input_length > _LONGEST_INPUT and len(machine.input_symbols) > 1:
        raise must_be("input_length", f"at most {_LONGEST_INPUT}, so that all inputs can be run", input_length)
    words = len(machine.input_symbols) ** input_length
    if words == 0:
        raise must_be("input_alphabet", "at least one symbol, so that there are inputs", list(machine.input_symbols))
    require_memory(_BYTES_PER_CONFIGURATION * words, f"{in_figures(words)} inputs", "choose a smaller `input_length`")
    runs: dict[str, Trajectory] = {}
    for done, word in enumerate(product(machine.input_symbols, repeat=input_length)):
        progress("running the inputs", done, words)
        runs[machine.text(word)] = machine.run(word, max_steps)
    if len(runs) < words:
        raise InputError(
            "`input_alphabet` must not hold the blank: inputs would differ by blanks alone", "input_alphabet"
        )
    total = sum(run.steps + 1 for run in runs.values())
    T = max(run.steps for run in runs.values())
    way_out = "choose a smaller `input_length`"
    require_memory(_BYTES_PER_CONFIGURATION * total + 4 * T * total, f"{total:,} configurations", way_out)

    configurations, live = _number_configurations(list(runs.values()), T, history)
    _refuse_merging(machine, list(runs), configurations, live)
    images = np.full((T, len(configurations)), -1, np.int32)
    for j in range(T):
        images[j, live[j]] = live[j + 1]
    starts = dict(zip(runs, live[0].tolist(), strict=True))
    initial = None
    if selected is not None:
        chosen = machine.text(machine.word(selected))
        if chosen not in starts:
            raise must_be("input", f"a word of {input_length} symbols, each {one_of(machine.input_symbols)}", chosen)
        initial = np.zeros(len(configurations))
        initial[starts[chosen]] = 1.0
        starts, runs = {chosen: starts[chosen]}, {chosen: runs[chosen]}
    readout = FunctionReadout(machine, runs, starts, configurations)
    return ClockHamiltonian(ImageSteps(images), "function", initial, readout)


def _number_configurations(
    runs: list[Trajectory], T: int, history: Literal["bennett"] | None
) -> tuple[list[Configuration], NDArray[np.int32]]:
    """The data basis, and the basis state of every run at every clock time, shape (T+1, runs).

    With a rule history a basis state is told apart by its configuration and its predecessor, which stand for the whole
    list of rules: the rule and the successor determine the predecessor's configuration.
    """
    number: dict[tuple[Configuration, int | None], int] = {}
    configurations: list[Configuration] = []
    live = np.empty((T + 1, len(runs)), np.int32)
    for column, run in enumerate(runs):
        before: int | None = None
        for t, configuration in enumerate(run.configurations):
            key = configuration, before if history == "bennett" else None
            data = number.setdefault(key, len(configurations))
            if data == len(configurations):
                configurations.append(configuration)
            live[t, column] = before = data
        live[run.steps :, column] = live[run.steps, column]
    return configurations, live


def _refuse_merging(
    machine: TuringMachine, inputs: list[str], configurations: list[Configuration], live: NDArray[np.int32]
) -> None:
    for j in range(len(live) - 1):
        order = np.argsort(live[j + 1], kind="stable")
        same = np.flatnonzero(np.diff(live[j + 1, order]) == 0)
        if len(same):
            one, other = order[same[0]], order[same[0] + 1]
            named = [f"{_named(machine, configurations[live[j, c]])} (input {inputs[c]!r})" for c in (one, other)]
            both = _named(machine, configurations[live[j + 1, one]])
            raise InputError(
                f"step {j + 1} merges two configurations, {named[0]} and {named[1]}, both into {both}: it is no "
                "partial isometry and H would have a negative energy; `--history bennett` keeps the rule history and "
                "cures it",
                "history",
            )


def _named(machine: TuringMachine, c: Configuration) -> str:
    return f"[state {c.state}, head on cell {c.head}, tape {machine.text(c.tape)!r} from cell {c.offset}]"
