"""The compiled Turing-machine runner: one loop, used for running, replaying and recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hamiltonians.machine import TransitionTable

HALTED, OUT_OF_STEPS, OUT_OF_TAPE = 0, 1, 2


@dataclass
class TapeState:
    """A machine in the middle of a run; mutable, and private to one run or one replay.

    `tape[i]` is the symbol on cell `i - origin`; `low` and `high` are the outermost cells read by a step so far
    (`low > high` before the first).
    """

    state: int
    head: int
    tape: NDArray[np.uint8]
    origin: int
    step: int = 0
    low: int = 2**62
    high: int = -(2**62)

    @classmethod
    def start(cls, state: int, word: NDArray[np.uint8], blank: int) -> TapeState:
        """The state at clock 1: the word from cell 0 on, the head on cell 0."""
        margin = 64
        tape = np.full(len(word) + 2 * margin, blank, np.uint8)
        tape[margin : margin + len(word)] = word
        return cls(state, 0, tape, margin)

    def copy(self) -> TapeState:
        """An independent copy."""
        return TapeState(self.state, self.head, self.tape.copy(), self.origin, self.step, self.low, self.high)


@dataclass(frozen=True)
class Operations:
    """What the steps of a run did, one entry a step: the cell under the head, the symbol read, the symbol written."""

    cell: NDArray[np.int64]
    read: NDArray[np.uint8]
    write: NDArray[np.uint8]


def advance(
    machine: TransitionTable, at: TapeState, blank: int, max_steps: int, record: Operations | None = None
) -> bool:
    """Take up to `max_steps` steps in place; True if the machine halted.

    Parameters
    ----------
    record : arrays of at least `max_steps` entries that take what each step did.
    """
    nothing = np.empty(0, np.int64), np.empty(0, np.uint8)
    cell, read, write = (nothing[0], nothing[1], nothing[1]) if record is None else (
        record.cell, record.read, record.write,
    )  # fmt: skip
    left, done = max_steps, 0
    while True:
        status, at.state, head, steps, low, high = _advance(
            machine.to_state, machine.write, machine.move, at.tape, at.state, at.head + at.origin, left,
            cell[done:], read[done:], write[done:], at.origin,
        )  # fmt: skip
        at.head = head - at.origin
        at.step += steps
        left -= steps
        done += steps if record is not None else 0
        at.low, at.high = min(at.low, low), max(at.high, high)
        if status != OUT_OF_TAPE:
            return bool(status == HALTED)
        margin = len(at.tape) // 2
        at.tape = np.pad(at.tape, margin, constant_values=blank)
        at.origin += margin


@njit(cache=True)
def _advance(to_state, write_of, move_of, tape, state, head, max_steps, cell, read, write, origin):  # type: ignore[no-untyped-def]
    recording = len(cell) > 0
    low, high = 2**62, -(2**62)
    steps = 0
    status = OUT_OF_STEPS
    while steps < max_steps:
        if head < 0 or head >= len(tape):
            status = OUT_OF_TAPE
            break
        symbol = tape[head]
        successor = to_state[state, symbol]
        if successor < 0:
            status = HALTED
            break
        if recording:
            cell[steps] = head - origin
            read[steps] = symbol
            write[steps] = write_of[state, symbol]
        low, high = min(low, head), max(high, head)
        tape[head] = write_of[state, symbol]
        head += move_of[state, symbol]
        state = successor
        steps += 1
    if low <= high:
        low, high = low - origin, high - origin
    return status, state, head, steps, low, high
