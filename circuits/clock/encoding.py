"""How the clock of a clock Hamiltonian lies on qubits: as a binary number, or as Kitaev's domain wall.

A basis state is `data * 2^(clock qubits) + code(clock)`: Qiskit is little-endian, the clock lies on the low qubits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from circuits.registers import Registers
from hamiltonians.errors import must_be, one_of

Pattern = Mapping[int, int]  # qubit -> bit: the basis states that have these bits, whatever the other qubits hold

ENCODINGS = ("binary", "unary")
#: energy of every basis state that encodes nothing: the bound on a clock Hamiltonian's own energies
PENALTY = 4.0


@dataclass(frozen=True)
class Encoding(ABC):
    """The qubits of data ⊗ clock.

    d : dimension of the data. T : steps; the clock has T + 1 states.
    """

    d: int
    T: int

    @property
    @abstractmethod
    def clock_qubits(self) -> int:
        """Qubits of the clock, the low ones."""

    @abstractmethod
    def code(self, clock: int) -> int:
        """The basis state of the clock's qubits that stands for a clock state 0 … T."""

    @abstractmethod
    def at(self, clock: int) -> Pattern:
        """Bits that tell this clock state from all other legal ones: as few as possible."""

    @abstractmethod
    def window(self, j: int) -> tuple[Pattern, Pattern]:
        """Bits of clock j and j + 1, on the same qubits, that tell the two from all other legal states."""

    @property
    @abstractmethod
    def penalties(self) -> list[tuple[float, Pattern]]:
        """Energies of the clock's illegal states, a sum of diagonal patterns."""

    @abstractmethod
    def filling(self, taken: NDArray[np.float64]) -> list[tuple[float, Pattern]]:
        """What lifts unused data from the energies that the terms give it to the penalty, a sum of patterns.

        taken [T+1] : those energies at every clock state, as whole numbers.
        """

    @property
    def data_qubits(self) -> int:
        """ceil(log2 d)."""
        return (self.d - 1).bit_length()

    @property
    def qubits(self) -> int:
        """Of data and clock."""
        return self.data_qubits + self.clock_qubits

    @property
    def data(self) -> list[int]:
        """Positions of the data qubits, the least significant first."""
        return list(range(self.clock_qubits, self.qubits))

    @property
    def clock(self) -> list[int]:
        """Positions of the clock qubits."""
        return list(range(self.clock_qubits))

    @property
    def rows(self) -> NDArray[np.int64]:
        """The basis state of every row data * (T+1) + clock of H [d(T+1)]."""
        codes = np.array([self.code(c) for c in range(self.T + 1)], np.int64)
        return (np.arange(self.d)[:, None] * 2**self.clock_qubits + codes).reshape(-1)

    def padded(self, v: NDArray[Any]) -> NDArray[Any]:
        """Vectors [..., d(T+1)] on the qubits [..., 2^n], zero elsewhere."""
        full = np.zeros((*v.shape[:-1], 2**self.qubits), v.dtype)
        full[..., self.rows] = v
        return full

    def extracted(self, v: NDArray[Any]) -> NDArray[Any]:
        """Vectors [..., 2^n] on the rows of H [..., d(T+1)]."""
        return v[..., self.rows]

    def data_pattern(self, x: int) -> Pattern:
        """The bits of data state x on the data qubits."""
        return bits(x, self.data)


@final
@dataclass(frozen=True)
class Binary(Encoding):
    """Clock c is the binary number c on ceil(log2(T+1)) qubits, as `Registers` has it."""

    @property
    def registers(self) -> Registers:
        """The same qubits, for d and N = T + 1."""
        return Registers(self.d, self.T + 1)

    @property
    def clock_qubits(self) -> int:
        """ceil(log2(T+1))."""
        return self.registers.clock_qubits

    def code(self, clock: int) -> int:
        """The number itself."""
        return clock

    def at(self, clock: int) -> Pattern:
        """All bits."""
        return bits(clock, self.clock)

    def window(self, j: int) -> tuple[Pattern, Pattern]:
        """All bits of both."""
        return self.at(j), self.at(j + 1)

    @property
    def penalties(self) -> list[tuple[float, Pattern]]:
        """4 on the numbers above T."""
        return [(PENALTY, p) for p in cover(np.arange(2**self.clock_qubits) > self.T, self.clock)]

    def filling(self, taken: NDArray[np.float64]) -> list[tuple[float, Pattern]]:
        """4 less what is there, clock states of one energy together."""
        missing = np.zeros(2**self.clock_qubits)
        missing[: self.T + 1] = PENALTY - taken
        return [(e, p) for e in np.unique(missing[missing > 0]).tolist() for p in cover(missing == e, self.clock)]


@final
@dataclass(frozen=True)
class Unary(Encoding):
    """Clock c is Kitaev's domain wall |1^c 0^(T-c)> on T qubits, the string read from qubit 0 on.

    A legal string holds no 01; a hop touches the qubits j - 1, j, j + 1 only.
    """

    @property
    def clock_qubits(self) -> int:
        """T."""
        return self.T

    def code(self, clock: int) -> int:
        """2^c - 1: the c lowest qubits are 1."""
        return 2**clock - 1

    def at(self, clock: int) -> Pattern:
        """10 on the two qubits at the wall; at the ends one of them is enough."""
        wall = {clock - 1: 1, clock: 0}
        return {q: b for q, b in wall.items() if 0 <= q < self.T}

    def window(self, j: int) -> tuple[Pattern, Pattern]:
        """100 and 110 on the qubits j - 1, j, j + 1, as far as they exist."""
        around = {q: b for q, b in {j - 1: 1, j + 1: 0}.items() if 0 <= q < self.T}
        return around | {j: 0}, around | {j: 1}

    @property
    def penalties(self) -> list[tuple[float, Pattern]]:
        """4 for every 01."""
        return [(PENALTY, {i: 0, i + 1: 1}) for i in range(self.T - 1)]

    def filling(self, taken: NDArray[np.float64]) -> list[tuple[float, Pattern]]:
        """4 less every term's own pattern: an illegal string keeps at least the penalty of its 01s."""
        pinned = taken[0] - min(self.T, 1)
        windows = [(-1.0, p) for j in range(self.T) for p in self.window(j)]
        return [(PENALTY, {}), *windows, *([(-float(pinned), self.at(0))] if pinned else [])]


def encoding_of(d: int, T: int, name: str) -> Encoding:
    """The encoding of that name.

    Raises
    ------
    InputError : an unknown name.
    """
    if name not in ENCODINGS:
        raise must_be("encoding", one_of(ENCODINGS), name)
    return Binary(d, T) if name == "binary" else Unary(d, T)


def bits(number: int, qubits: Sequence[int]) -> dict[int, int]:
    """The binary digits of a number on these qubits, the least significant first."""
    return {q: number >> i & 1 for i, q in enumerate(qubits)}


def cover(inside: NDArray[np.bool_], qubits: Sequence[int]) -> list[Pattern]:
    """Disjoint patterns whose union is the set of basis states marked by `inside` [2^k] on k qubits.

    Few, not always fewest: bits on which the set does not depend are left out, then bits with an empty half are fixed.
    """
    axes = list(qubits)[::-1]  # the first axis is the most significant bit
    return _cover(inside.reshape((2,) * len(axes)), axes)


def _cover(inside: NDArray[np.bool_], axes: list[int]) -> list[Pattern]:
    if inside.all():
        return [{}]
    if not inside.any():
        return []
    halves = [tuple(np.moveaxis(inside, i, 0)) for i in range(len(axes))]
    for i, (low, high) in enumerate(halves):
        if np.array_equal(low, high):
            return _cover(low, axes[:i] + axes[i + 1 :])
    # the most lopsided bit first: an empty half costs no pattern at all
    best = int(np.argmax([abs(int(low.sum()) - int(high.sum())) for low, high in halves]))
    rest = axes[:best] + axes[best + 1 :]
    return [{axes[best]: bit, **p} for bit, half in enumerate(halves[best]) for p in _cover(half, rest)]
