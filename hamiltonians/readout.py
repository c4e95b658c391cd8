"""How a data index of a machine's Hamiltonian reads as a tape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hamiltonians.machine import TuringMachine
from hamiltonians.trajectory import Configuration, Trajectory


class Readout(ABC):
    """Decodes basis states of the data space.

    Attributes
    ----------
    machine : whose tapes they are.
    trajectories : input as text -> its run; one entry except in `function` space.
    starts : input as text -> the basis state at clock 1.
    window : first and last cell that pictures show.
    """

    machine: TuringMachine
    trajectories: Mapping[str, Trajectory]
    starts: Mapping[str, int]
    window: tuple[int, int]

    @abstractmethod
    def tape(self, data: int) -> NDArray[np.uint8]:
        """Symbol indices on the cells of `window` in basis state `data`."""

    @abstractmethod
    def output(self, data: int) -> str:
        """The tape of basis state `data` from its first to its last non-blank cell."""

    def head(self, data: int) -> int | None:  # noqa: ARG002 - overridden where configurations are known
        """The head's cell in basis state `data`, or None where the data space does not hold it."""
        return None

    def symbols(self, tape: NDArray[np.uint8]) -> str:
        """A row of symbol indices as text."""
        return self.machine.text(self.machine.alphabet[s] for s in tape)


@dataclass(frozen=True)
class RunReadout(Readout):
    """The readout of a data space that one run spans."""

    trajectory: Trajectory

    @property
    def machine(self) -> TuringMachine:  # type: ignore[override]
        """The machine of the run."""
        return self.trajectory.machine

    @property
    def trajectories(self) -> Mapping[str, Trajectory]:  # type: ignore[override]
        """The one run."""
        return {self.machine.text(self.trajectory.input): self.trajectory}


@final
@dataclass(frozen=True)
class ConfigurationReadout(RunReadout):
    """`configuration` space: data index i is configuration i of the run."""

    @property
    def starts(self) -> Mapping[str, int]:  # type: ignore[override]
        """The first configuration."""
        return dict.fromkeys(self.trajectories, 0)

    @property
    def window(self) -> tuple[int, int]:  # type: ignore[override]
        """Cells that the run or its input touches."""
        return self.trajectory.configurations.span

    def tape(self, data: int) -> NDArray[np.uint8]:
        """Replayed from the nearest checkpoint."""
        return self.trajectory.configurations.tape(data, *self.window)

    def head(self, data: int) -> int:
        """Replayed from the nearest checkpoint."""
        return self.trajectory.configurations[data].head

    def output(self, data: int) -> str:
        """Replayed from the nearest checkpoint."""
        return self.machine.text(self.trajectory.configurations[data].tape)


@final
@dataclass(frozen=True)
class TapeReadout(RunReadout):
    """`tape` space: the digits of the data index are the window's symbols; cells outside hold what they held at first.

    first : the cell number of the window's left end.
    """

    first: int
    cells: int

    @property
    def starts(self) -> Mapping[str, int]:  # type: ignore[override]
        """The input on the window's cells."""
        data = 0
        for symbol in self.trajectory.configurations.tape(0, self.first, self.first + self.cells - 1):
            data = data * len(self.machine.alphabet) + int(symbol)
        return dict.fromkeys(self.trajectories, data)

    @property
    def window(self) -> tuple[int, int]:  # type: ignore[override]
        """The window, or the input where that is longer."""
        last = self.first + self.cells - 1
        return min(self.first, 0), max(last, len(self.trajectory.input) - 1, 0)

    def tape(self, data: int) -> NDArray[np.uint8]:
        """Digits of `data` inside the window, the input outside it."""
        left, right = self.window
        tape = self.trajectory.configurations.tape(0, left, right)
        for cell in range(self.first + self.cells - 1, self.first - 1, -1):
            data, tape[cell - left] = divmod(data, len(self.machine.alphabet))
        return tape

    def output(self, data: int) -> str:
        """The tape as text."""
        return self.symbols(self.tape(data))


@final
@dataclass(frozen=True)
class FunctionReadout(Readout):
    """`function` space: data index i is `configurations[i]`, whichever input led there."""

    machine: TuringMachine
    trajectories: Mapping[str, Trajectory]
    starts: Mapping[str, int]
    configurations: Sequence[Configuration]

    @property
    def window(self) -> tuple[int, int]:  # type: ignore[override]
        """Cells that any run touches."""
        ends = [(min(c.head, c.offset), max(c.head, c.offset + len(c.tape) - 1)) for c in self.configurations]
        return min(first for first, _ in ends), max(last for _, last in ends)

    def tape(self, data: int) -> NDArray[np.uint8]:
        """The configuration's tape on the window."""
        left, right = self.window
        tape = np.full(right - left + 1, self.machine.symbol_index[self.machine.blank], np.uint8)
        configuration = self.configurations[data]
        for i, symbol in enumerate(configuration.tape):
            tape[configuration.offset - left + i] = self.machine.symbol_index[symbol]
        return tape

    def head(self, data: int) -> int:
        """The configuration's head."""
        return self.configurations[data].head

    def output(self, data: int) -> str:
        """The configuration's tape as text."""
        return self.machine.text(self.configurations[data].tape)
