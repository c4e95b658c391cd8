"""A halting run, and its configurations replayed from checkpoints."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hamiltonians.errors import InputError, must_be
from hamiltonians.machine import TuringMachine, Word
from hamiltonians.memory import require_memory
from hamiltonians.runner import Operations, TapeState, advance

_CHECKPOINTS = 256  # kept at most so many; then every other one goes and the distance doubles
_FIRST_DISTANCE = 4096  # steps between checkpoints at the start
_PROGRESS_STEPS = 2**24  # a report at least every so many steps


@dataclass(frozen=True)
class Configuration:
    """A whole configuration: state, head cell and the tape from its first to its last non-blank cell.

    `tape[0]` lies on cell `offset`; cells are numbered from the input's first symbol. A blank tape is `()` at 0, so
    that equal configurations are equal objects.

    Examples
    --------
    >>> from hamiltonians import Configuration, load_machine
    >>> run = load_machine("bb:1RB1LB_1LA1RZ").run()
    >>> run.configurations[2] == Configuration(state="A", head=0, tape=("1", "1"), offset=0)
    True
    """

    state: str
    head: int
    tape: Word
    offset: int


@dataclass(frozen=True)
class Trajectory:
    """A run that halted after `steps` steps, as (T+1) configurations.

    Attributes
    ----------
    machine, input : what was run on what.
    steps : T, the transitions taken, the halting one included.
    final_state : the state in which no rule applied.
    accepted : whether that state is final.
    output : the last tape from its first to its last non-blank cell.
    cells_read : first and last cell that a step read, or None for T = 0.
    configurations : a lazy sequence of T+1 `Configuration`s.

    Examples
    --------
    >>> from hamiltonians import load_machine
    >>> run = load_machine("bb:1RB1LB_1LA1RZ").run()
    >>> run.steps, run.output, run.final_state, run.accepted
    (6, '1111', 'Z', True)
    >>> len(run.configurations), run.cells_read
    (7, (-2, 1))
    """

    machine: TuringMachine
    input: Word
    steps: int
    final_state: str
    accepted: bool
    output: str
    cells_read: tuple[int, int] | None
    configurations: Configurations

    def operations(self) -> Operations:
        """Cell, symbol read and symbol written of every step: arrays of length T.

        Raises
        ------
        MemoryEstimateError : ten bytes a step are more than is free.
        """
        require_memory(10 * self.steps, "the record of every step", "use the `configuration` space, which needs none")
        record = Operations(
            np.empty(self.steps, np.int64), np.empty(self.steps, np.uint8), np.empty(self.steps, np.uint8)
        )
        start = self.configurations.checkpoint(0)
        advance(self.machine.table, start, self.configurations.blank, self.steps, record)
        return record


class Configurations(Sequence[Configuration]):
    """The configurations of a run, replayed from the nearest checkpoint; reading on from the last one read is cheap."""

    def __init__(self, machine: TuringMachine, checkpoints: list[TapeState], steps: int) -> None:
        self._machine = machine
        self._checkpoints = checkpoints
        self._steps = steps
        self._cursor = checkpoints[0].copy()
        self.blank = machine.symbol_index[machine.blank]

    def __len__(self) -> int:
        return self._steps + 1

    @overload
    def __getitem__(self, index: int) -> Configuration: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Configuration]: ...
    def __getitem__(self, index: int | slice) -> Configuration | Sequence[Configuration]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"configuration {index} of a run with {len(self)}")
        return _frozen(self._machine, self._seek(index % len(self)))

    def checkpoint(self, index: int) -> TapeState:
        """A copy of the last checkpoint at or before configuration `index`."""
        at = bisect_right(self._checkpoints, index, key=lambda c: c.step) - 1
        return self._checkpoints[at].copy()

    def tape(self, index: int, first: int, last: int) -> NDArray[np.uint8]:
        """The symbol indices on the cells `first` … `last` of configuration `index`."""
        at = self._seek(index)
        window = np.full(last - first + 1, self.blank, np.uint8)
        low, high = max(first, -at.origin), min(last, len(at.tape) - 1 - at.origin)
        if low <= high:
            window[low - first : high - first + 1] = at.tape[low + at.origin : high + 1 + at.origin]
        return window

    def _seek(self, index: int) -> TapeState:
        nearest = bisect_right(self._checkpoints, index, key=lambda c: c.step) - 1
        if not self._checkpoints[nearest].step <= self._cursor.step <= index:
            self._cursor = self._checkpoints[nearest].copy()
        advance(self._machine.table, self._cursor, self.blank, index - self._cursor.step)
        return self._cursor

    @cached_property
    def span(self) -> tuple[int, int]:
        """First and last cell that ever held the head or the input."""
        last = self._checkpoints[-1].copy()
        advance(self._machine.table, last, self.blank, self._steps - last.step)
        width = len(self._checkpoints[0].tape) - 2 * self._checkpoints[0].origin
        return min(last.low, last.head, 0), max(last.high, last.head, width - 1, 0)


def run_machine(
    machine: TuringMachine, word: Word, max_steps: int, progress: Callable[[int], None] | None = None
) -> Trajectory:
    """`TuringMachine.run`, see there."""
    if max_steps < 0:
        raise must_be("max_steps", "at least 0", max_steps)
    blank = machine.symbol_index[machine.blank]
    symbols = np.array([machine.symbol_index[s] for s in word], np.uint8)
    at = TapeState.start(machine.states.index(machine.initial), symbols, blank)
    checkpoints, distance, halted = [at.copy()], _FIRST_DISTANCE, False
    while not halted:
        # one step more than allowed is never taken, but halting exactly at the limit must be seen
        budget = min(distance - at.step % distance, max_steps - at.step)
        halted = advance(machine.table, at, blank, budget) or _has_halted(machine, at)
        if not halted and at.step >= max_steps:
            raise InputError(
                f"`{machine.name}` did not halt within {max_steps:,} steps; raise `--max-steps` if it should",
                "max_steps",
            )
        if not halted:
            checkpoints.append(at.copy())
            if len(checkpoints) > _CHECKPOINTS:
                checkpoints, distance = checkpoints[::2], 2 * distance
        if progress is not None and at.step % _PROGRESS_STEPS == 0:
            progress(at.step)
    state = machine.states[at.state]
    return Trajectory(
        machine=machine,
        input=word,
        steps=at.step,
        final_state=state,
        accepted=state in machine.finals,
        output=machine.text(machine.alphabet[s] for s in at.tape),
        cells_read=(at.low, at.high) if at.step else None,
        configurations=Configurations(machine, checkpoints, at.step),
    )


def _has_halted(machine: TuringMachine, at: TapeState) -> bool:
    cell = at.head + at.origin
    symbol = at.tape[cell] if 0 <= cell < len(at.tape) else machine.symbol_index[machine.blank]
    return bool(machine.table.to_state[at.state, symbol] < 0)


def _frozen(machine: TuringMachine, at: TapeState) -> Configuration:
    used = np.flatnonzero(at.tape != machine.symbol_index[machine.blank])
    first, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (at.origin, at.origin)
    tape = tuple(machine.alphabet[s] for s in at.tape[first:stop])
    return Configuration(machine.states[at.state], at.head, tape, first - at.origin)
